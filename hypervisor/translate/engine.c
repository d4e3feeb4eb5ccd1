/* engine.c - creation and destruction of a VM's engine and of vcpus */
/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <unistd.h>

#include "hypervisor/direct/backing.h"
#include "hypervisor/direct/direct.h"
#include "hypervisor/large_page.h"
#include "hypervisor/translate/cache.h"
#include "hypervisor/translate/engine.h"
#include "hypervisor/translate/execute.h"
#include "hypervisor/translate/faults.h"
#include "hypervisor/translate/ibtc.h"
#include "hypervisor/translate/thunks.h"
#include "hypervisor/translate/tlb.h"
#include "hypervisor/translate/translate.h"
#include "hypervisor/translate/vcpu_engine.h"

#define CHECK_OFFSET(field, offset) \
    _Static_assert(offsetof(struct vcpu, field) - VCPU_BIAS == (offset), #field " is where thunks.h says")
CHECK_OFFSET(gpr, (size_t)VCPU_GPR(0));
CHECK_OFFSET(rip, VCPU_RIP);
CHECK_OFFSET(cc, VCPU_CC);
CHECK_OFFSET(spill, VCPU_SPILL(0));
CHECK_OFFSET(poll, VCPU_POLL);
CHECK_OFFSET(seg_base, VCPU_SEG_BASE(0));
CHECK_OFFSET(host_rsp, VCPU_HOST_RSP);
CHECK_OFFSET(code_page, VCPU_CODE_PAGE);
CHECK_OFFSET(exit_host_pc, VCPU_EXIT_HOST_PC);
CHECK_OFFSET(thunk, VCPU_THUNK(0));
CHECK_OFFSET(cc_host, VCPU_CC_HOST);
CHECK_OFFSET(group, VCPU_GROUP(0));
_Static_assert(sizeof(struct vcpu) < 1u << 30, "the tables are within reach of a displacement");

static void *map_anonymous(size_t size)
{
    void *p = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    return p == MAP_FAILED ? NULL : p;
}

/* A table that processes for direct execution, which the program forks, would only copy the mappings of. */
static void *map_table(size_t size)
{
    void *p = map_anonymous(size);
    if (p)
        madvise(p, size, MADV_DONTFORK);
    return p;
}

/* The code cache: one memory, a writable view and an executable one. Anonymous memory, as perf looks into its
 * map file (perf_map.c) for no other; a remapping of no bytes is a second view (mremap(2)). What belongs to
 * the blocks lies beside it, as code reads some of that (checked.c). */
static int map_code(struct engine *e)
{
    e->meta_mapped = map_table(META_SIZE + CODE_SIZE + LARGE_PAGE);
    if (!e->meta_mapped)
        return -errno;
    e->meta = (u8 *)ALIGN_UP((uintptr_t)e->meta_mapped, LARGE_PAGE);
    e->code_exec = e->meta + META_SIZE;
    e->code_write =
        mmap(NULL, CODE_SIZE, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (e->code_write == MAP_FAILED)
        return -errno;
    if (mremap(e->code_write, 0, CODE_SIZE, MREMAP_MAYMOVE | MREMAP_FIXED, e->code_exec) == MAP_FAILED ||
        mprotect(e->code_exec, CODE_SIZE, PROT_READ | PROT_EXEC) < 0)
        return -errno;
    return 0;
}

static int map_poll(struct engine *e)
{
    e->poll_page = map_anonymous(2 * 4096);
    if (!e->poll_page)
        return -ENOMEM;
    e->poll_guard = e->poll_page + 4096;
    return mprotect(e->poll_guard, 4096, PROT_NONE) < 0 ? -errno : 0;
}

int engine_create(struct vm *vm)
{
    struct engine *e = map_anonymous(sizeof(*e));
    if (!e)
        return -ENOMEM;
    vm->engine = e;
    e->vm = vm;
    e->has_bmi2 = __builtin_cpu_supports("bmi2");
    stress_init(&e->stress);
    pthread_mutex_init(&e->lock, NULL);
    e->by_code = map_table(MAX_BLOCKS * sizeof(*e->by_code));
    e->translator = map_table(sizeof(*e->translator));
    int r = e->by_code && e->translator ? map_code(e) : -ENOMEM;
    if (e->stress.modes & STRESS_DIRECT || direct_is_wanted())
        vm->backing = backing_create(vm); /* NULL: without */
    if (!r)
        r = map_poll(e);
    if (!r)
        r = faults_install();
    if (r)
        engine_destroy(vm);
    return r;
}

static void unmap(void *p, size_t size)
{
    if (p && p != MAP_FAILED)
        munmap(p, size);
}

void engine_destroy(struct vm *vm)
{
    struct engine *e = vm->engine;
    large_pages_end(e);
    unmap(e->meta_mapped, META_SIZE + CODE_SIZE + LARGE_PAGE); /* and code_exec */
    unmap(e->by_code, MAX_BLOCKS * sizeof(*e->by_code));
    unmap(e->translator, sizeof(*e->translator));
    unmap(e->code_write, CODE_SIZE);
    unmap(e->poll_page, 2 * 4096);
    pthread_mutex_destroy(&e->lock);
    unmap(e, sizeof(*e));
    vm->engine = NULL;
    if (vm->backing)
        backing_destroy(vm->backing);
    vm->backing = NULL;
}

static void set_thunks(struct vcpu *v)
{
    v->thunk[THUNK_LOOKUP] = thunk_lookup;
    v->thunk[THUNK_LINK] = thunk_link;
    v->thunk[THUNK_HELPER] = thunk_helper;
    v->thunk[THUNK_HELPER_END] = thunk_helper_end;
    v->thunk[THUNK_MISS] = thunk_miss;
    v->thunk[THUNK_COMMIT] = thunk_commit;
    v->thunk[THUNK_SEGMENT] = thunk_segment;
    v->thunk[THUNK_GROUP] = thunk_group;
    v->thunk[THUNK_LOOKUP_CC] = thunk_lookup_cc;
    v->thunk[THUNK_CHANGED] = thunk_changed;
}

static size_t vcpu_mapping_size(void)
{
    return VCPU_MMAP_SIZE + ALIGN_UP(sizeof(struct vcpu), 4096);
}

struct vcpu *engine_create_vcpu(struct vm *vm, u32 id, int fd)
{
    u8 *base = map_anonymous(vcpu_mapping_size());
    if (!base)
        return NULL;
    struct vcpu *v = (struct vcpu *)(base + VCPU_MMAP_SIZE);
    v->priv = map_anonymous(sizeof(*v->priv));
    v->wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    void *run = mmap(base, VCPU_MMAP_SIZE, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_FIXED, fd, 0);
    if (!v->priv || v->wake_fd < 0 || run == MAP_FAILED) {
        int error = errno;
        engine_destroy_vcpu(v);
        errno = error;
        return NULL;
    }
    v->run = run;
    v->vm = vm;
    v->engine = vm->engine;
    v->id = id;
    v->fd = fd;
    v->poll = engine_poll_quiet(vm->engine);
    pthread_mutex_init(&v->lock, NULL);
    pthread_mutex_init(&v->priv->tlb_lock, NULL);
    set_thunks(v);
    tlb_init(v);
    ibtc_init(v);
    if (direct_create_vcpu(v)) {
        engine_destroy_vcpu(v);
        errno = ENOMEM;
        return NULL;
    }
    large_pages_start(vm->engine);
    return v;
}

void engine_destroy_vcpu(struct vcpu *v)
{
    direct_destroy_vcpu(v);
    if (v->wake_fd >= 0)
        close(v->wake_fd);
    unmap(v->priv, sizeof(*v->priv));
    pthread_mutex_destroy(&v->lock);
    unmap((u8 *)v - VCPU_MMAP_SIZE, vcpu_mapping_size());
}

void engine_slots_changed(struct vm *vm)
{
    for (unsigned i = 0; i < vm->vcpu_count; i++)
        if (vm->vcpu[i]) {
            tlb_flush_all(vm->vcpu[i]);
            direct_forget_all(vm->vcpu[i]);
        }
}
