/* stats_fd.c - KVM_GET_STATS_FD: counters of a VM or a vcpu, as a file that describes itself (api.rst 4.131)
 */
/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The counters stand in a page of their own. At the first request the page becomes one of a memfd, behind the
 * page that describes it, so that a reader of the file sees them as they count.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "hypervisor/api/api.h"
#include "hypervisor/translate/cache.h"

enum { NAME_SIZE = 48, PAGE_SIZE = 4096 }; /* KVM_STATS_NAME_SIZE */
#define COUNTER (KVM_STATS_TYPE_CUMULATIVE | KVM_STATS_UNIT_NONE | KVM_STATS_BASE_POW10)
#define BYTES   (KVM_STATS_TYPE_INSTANT | KVM_STATS_UNIT_BYTES | KVM_STATS_BASE_POW2)

struct counter {
    const char *name;
    u32 flags;
    u32 offset; /* in the page */
};

#define OF_VCPU(field) (offsetof(struct vcpu, field) - offsetof(struct vcpu, stat_exits))
#define EXITS(why)     OF_VCPU(stat_exit[STAT_##why])
static const struct counter of_vcpu[] = {
    /* without holes: clients read all of them in one piece */
    {"exits", COUNTER, OF_VCPU(stat_exits)},
    {"translations", COUNTER, OF_VCPU(stat_translations)},
    {"tlb_misses", COUNTER, OF_VCPU(stat_tlb_misses)},
    {"code_invalidations", COUNTER, OF_VCPU(stat_invalidations)},
    {"event_injections", COUNTER, OF_VCPU(stat_injections)},
    {"other_exits", COUNTER, EXITS(OTHER)},
    {"io_exits", COUNTER, EXITS(IO)},
    {"mmio_exits", COUNTER, EXITS(MMIO)},
    {"halt_exits", COUNTER, EXITS(HALT)},
    {"signal_exits", COUNTER, EXITS(SIGNAL)},
    {"debug_exits", COUNTER, EXITS(DEBUG)},
    {"shutdown_exits", COUNTER, EXITS(SHUTDOWN)},
    {"irq_window_exits", COUNTER, EXITS(IRQ_WINDOW)},
};
_Static_assert(ARRAY_SIZE(of_vcpu) * sizeof(u64) == OF_VCPU(stat_end), "all of them");
_Static_assert(offsetof(struct vcpu, stat_exits) % PAGE_SIZE == 0, "a page of their own");

#define OF_ENGINE(field) (offsetof(struct engine, field) - offsetof(struct engine, code_used))
static const struct counter of_vm[] = {
    {"code_cache_bytes", BYTES, OF_ENGINE(code_used)},
    {"code_table_bytes", BYTES, OF_ENGINE(meta_used)},
    {"code_cache_flushes", COUNTER, OF_ENGINE(flushes)},
};
_Static_assert(offsetof(struct engine, code_used) % PAGE_SIZE == 0, "a page of their own");

static void describe(u8 *page, const char *id, const struct counter *c, u32 count)
{
    const size_t step = sizeof(struct kvm_stats_desc) + NAME_SIZE;
    struct kvm_stats_header h = {.name_size = NAME_SIZE,
                                 .num_desc = count,
                                 .id_offset = sizeof(h),
                                 .desc_offset = sizeof(h) + NAME_SIZE,
                                 .data_offset = PAGE_SIZE};

    memcpy(page, &h, sizeof(h));
    snprintf((char *)page + h.id_offset, NAME_SIZE, "%s", id);
    for (u32 i = 0; i < count; i++) {
        struct kvm_stats_desc *d = (struct kvm_stats_desc *)(page + h.desc_offset + i * step);
        *d = (struct kvm_stats_desc){.flags = c[i].flags, .size = 1, .offset = c[i].offset};
        snprintf(d->name, NAME_SIZE, "%s", c[i].name);
    }
}

/* Nobody counts meanwhile. A descriptor, or -errno. */
static int file_create(const char *id, const struct counter *c, u32 count, void *counters)
{
    _Alignas(8) u8 head[PAGE_SIZE] = {0};
    int fd = memfd_create("kvm-stats", MFD_CLOEXEC);

    describe(head, id, c, count);
    if (fd < 0 || pwrite(fd, head, PAGE_SIZE, 0) != PAGE_SIZE ||
        pwrite(fd, counters, PAGE_SIZE, PAGE_SIZE) != PAGE_SIZE ||
        mmap(counters, PAGE_SIZE, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_FIXED, fd, PAGE_SIZE) ==
            MAP_FAILED) {
        int e = errno;
        if (fd >= 0)
            close(fd);
        return -e;
    }
    return fd;
}

/* A descriptor to read from, for the client. */
static int reader(int fd)
{
    char path[32];

    snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
    int r = open(path, O_RDONLY | O_CLOEXEC);
    return r < 0 ? -errno : r;
}

int vcpu_get_stats_fd(struct vcpu *v, union ioctl_arg arg)
{
    char id[NAME_SIZE];

    (void)arg;
    snprintf(id, sizeof(id), "kvm-%d/vcpu-%u", getpid(), v->id);
    if (!v->stats_file) {
        int fd = file_create(id, of_vcpu, ARRAY_SIZE(of_vcpu), &v->stat_exits);
        if (fd < 0)
            return fd;
        v->stats_file = fd;
    }
    return reader(v->stats_file);
}

int vm_get_stats_fd(struct vm *vm, union ioctl_arg arg)
{
    char id[NAME_SIZE];

    (void)arg;
    snprintf(id, sizeof(id), "kvm-%d", getpid());
    if (!vm->stats_file) {
        vm_stop_vcpus(vm);
        int fd = file_create(id, of_vm, ARRAY_SIZE(of_vm), &vm->engine->code_used);
        vm_resume_vcpus(vm);
        if (fd < 0)
            return fd;
        vm->stats_file = fd;
    }
    return reader(vm->stats_file);
}
