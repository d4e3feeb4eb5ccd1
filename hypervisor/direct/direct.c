/* direct.c - ring-3 code that computes runs on the host's CPU as it is: entry, exits, shadows of a vcpu */
/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "hypervisor/cpu/segments.h"
#include "hypervisor/cpu/vendor.h"
#include "hypervisor/cpu/x87.h"
#include "hypervisor/direct/backing.h"
#include "hypervisor/direct/conditions.h"
#include "hypervisor/direct/direct.h"
#include "hypervisor/direct/pages.h"
#include "hypervisor/direct/policy.h"
#include "hypervisor/translate/cache.h"
#include "hypervisor/translate/dump.h"
#include "lodge/kvm.h"

enum { SPACES = 4, STOP_NS = 6000 }; /* a stop's price on the side of the process, about */

/* An address space of the guest with a shadow. */
struct space {
    u64 cr3;    /* of its page tables, without the PCID */
    u64 paging; /* conditions_paging */
    u64 ran;    /* nanoseconds, until it was looked at last */
    u64 used;   /* counts entries: the space with the lowest is given up first */
    gva cr2;    /* of the last page fault that was seen at an entry */
    struct shadow_process process;
    struct pages pages;
};

struct direct {
    pthread_mutex_t lock;  /* a leaf: covers inside against the end of that process */
    volatile pid_t inside; /* the process that runs guest code now, or 0 */
    bool never;            /* it failed once: not possible here */
    bool hold;             /* the translator goes on until the vcpu has been in ring 0 */
    pthread_t thread;      /* that traces the shadows */
    u64 entries;
    u64 own; /* nanoseconds that the vcpu's thread has run, at the last look */
    struct space space[SPACES];
    struct policy policy;
    struct scan_result known[SCAN_RESULTS];
    struct direct_statistics stat;
};

/* ---- whether at all ---- */

static enum lodge_kvm_direct mode = LODGE_KVM_DIRECT_OFF;
static bool was_told;

__attribute__((visibility("default"))) void lodge_kvm_direct(enum lodge_kvm_direct how)
{
    mode = how;
    was_told = true;
}

__attribute__((visibility("default"))) int lodge_kvm_madvise(void *address, size_t size, int advice)
{
    bool ours = backing_advised(address, size, advice);
    return (int)syscall(SYS_madvise, address, size, ours && advice == MADV_FREE ? MADV_DONTNEED : advice);
}

__attribute__((visibility("default"))) void lodge_kvm_userfault(void *address, size_t size)
{
    backing_watch(address, size);
}

bool direct_is_wanted(void)
{
    const char *environment = getenv("LODGE_DIRECT");
    bool on = mode != LODGE_KVM_DIRECT_OFF;
    if (environment)
        on = was_told ? on && strcmp(environment, "off") != 0 : !strcmp(environment, "on");
    return on && conditions_host();
}

static u64 cr3_base(const struct vcpu *v)
{
    return v->cr3 & MASK(51, 12);
}

/* ---- being noticed ---- */

void direct_kick(struct vcpu *v)
{
    struct direct *d = v->direct;
    if (!d)
        return;
    pthread_mutex_lock(&d->lock);
    if (d->inside)
        syscall(SYS_tgkill, d->inside, d->inside, SIGURG);
    pthread_mutex_unlock(&d->lock);
}

void direct_signal_came(struct vcpu *v)
{
    struct direct *d = v->direct;
    if (d && d->inside)
        syscall(SYS_tgkill, d->inside, d->inside, SIGURG);
}

static bool somebody_waits(void *arg)
{
    struct vcpu *v = arg;
    return atomic_load(&v->requests) || v->signal_came || v->run->immediate_exit;
}

static void set_inside(struct direct *d, pid_t pid)
{
    pthread_mutex_lock(&d->lock);
    d->inside = pid;
    pthread_mutex_unlock(&d->lock);
}

/* ---- shadows ---- */

static void space_end(struct space *s)
{
    shadow_end(&s->process);
    pages_destroy(&s->pages);
    *s = (struct space){0};
}

static void end_all(struct direct *d)
{
    for (unsigned i = 0; i < SPACES; i++)
        if (d->space[i].process.pid)
            space_end(&d->space[i]);
}

/* Where the guest has nothing: the top level of its page tables has no entry there. */
static bool is_unused(struct vcpu *v, u64 stub)
{
    const u8 *top = phys_page(vcpu_memory(v), cr3_base(v), NULL);
    return top && !(((const u64 *)top)[stub >> 39 & 511] & 1);
}

static u64 find_stub(struct vcpu *v)
{
    static const unsigned candidates[] = {0x2c, 0x6d, 0x91, 0x13, 0xc5, 0xe2};
    for (unsigned i = 0; i < ARRAY_SIZE(candidates); i++)
        if (is_unused(v, (u64)candidates[i] << 39))
            return ((u64)candidates[i] << 39) + ((host_tsc() & 0x3fffff) << 12);
    return 0;
}

/* How many filters of system calls this thread has: what is tried with more than those with which the program
 * started, which are its surroundings', may be answered with the program's end. */
static int seccomp_filters(void)
{
    char text[4096], *line;
    int fd = open("/proc/thread-self/status", O_RDONLY | O_CLOEXEC);
    ssize_t n = fd < 0 ? -1 : read(fd, text, sizeof(text) - 1);
    if (fd >= 0)
        close(fd);
    if (n < 0)
        return -1;
    text[n] = 0;
    line = strstr(text, "Seccomp_filters:");
    return line ? atoi(line + strlen("Seccomp_filters:")) : prctl(PR_GET_SECCOMP);
}

static int filters_at_start;

static __attribute__((constructor)) void count_filters(void)
{
    filters_at_start = seccomp_filters();
}

static bool space_start(struct vcpu *v, struct space *s)
{
    u64 stub = find_stub(v);
    if (!stub)
        return false;
    *s = (struct space){.cr3 = cr3_base(v), .paging = conditions_paging(v), .cr2 = v->cr2};
    const char *why = NULL;
    if (mode != LODGE_KVM_DIRECT_FILTERED && seccomp_filters() != filters_at_start)
        why = "its thread has got a filter of system calls";
    else if (!pages_create(&s->pages, v, &s->process, v->direct->known) ||
             shadow_start(&s->process, backing_fd(v->vm->backing), stub))
        why = "a process that it traces cannot be made";
    if (!why) {
        DUMP(v, DUMP_RING3, "vcpu %u: cr3 %09llx runs directly in process %d\n", v->id,
             (unsigned long long)s->cr3, s->process.pid);
        return true;
    }
    DUMP(v, DUMP_RING3, "vcpu %u: nothing runs directly: %s\n", v->id, why);
    space_end(s);
    v->direct->never = true;
    return false;
}

static struct space *space_of(struct vcpu *v)
{
    struct direct *d = v->direct;
    struct space *oldest = &d->space[0];
    for (unsigned i = 0; i < SPACES; i++) {
        struct space *s = &d->space[i];
        if (s->process.pid && s->cr3 == cr3_base(v))
            return s;
        if (s->used < oldest->used)
            oldest = s;
    }
    if (oldest->process.pid)
        space_end(oldest);
    return space_start(v, oldest) ? oldest : NULL;
}

/* ---- state ---- */

static void put_state(struct vcpu *v, struct space *s)
{
    struct user_regs_struct *r = &s->process.regs;
    struct shadow_entry *e = s->process.entry;
    memcpy(e->gpr, v->gpr, sizeof(e->gpr));
    e->rip = v->rip;
    e->rflags = rflags_get(v) & ~(u64)FLAG_RF;
    r->ds = v->seg[SEG_DS].selector;
    r->es = v->seg[SEG_ES].selector;
    r->fs = v->seg[SEG_FS].selector;
    r->gs = v->seg[SEG_GS].selector;
    r->fs_base = v->seg[SEG_FS].base;
    r->gs_base = v->seg[SEG_GS].base;
}

/* The selector that the program has loaded is null or, by conditions.c, the flat data segment that SS is. */
static void get_segment(struct vcpu *v, enum seg n, u64 selector, u64 base)
{
    struct segment s = v->seg[n];
    if (s.selector != selector)
        s = selector_is_null((u16)selector) ? segment_null((u16)selector) : v->seg[SEG_SS];
    s.selector = (u16)selector;
    s.base = base;
    vcpu_set_segment(v, n, s);
}

static void get_segments(struct vcpu *v, const struct user_regs_struct *r)
{
    get_segment(v, SEG_DS, r->ds, 0);
    get_segment(v, SEG_ES, r->es, 0);
    get_segment(v, SEG_FS, r->fs, r->fs_base);
    get_segment(v, SEG_GS, r->gs, r->gs_base);
}

/* AMD's processors save them only while an unmasked exception waits. */
static void get_x87_pointers(struct vcpu *v)
{
    struct xsave_area *a = fpu_area(v);
    if (!host_is_amd() || (a->fsw & FSW_ERROR_SUMMARY))
        x87_restore(v, a, true);
    else
        x87_forget(v);
    x87_save(v, a, true);
}

static void get_state(struct vcpu *v, struct space *s)
{
    const struct shadow_entry *e = s->process.entry;
    memcpy(v->gpr, e->gpr, sizeof(e->gpr));
    v->rip = e->rip;
    rflags_set(v, e->rflags & ~(u64)FLAG_RF);
    get_segments(v, &s->process.regs);
    fpu_area(v)->xstate_bv &= XSTATE_OFFERED;
    get_x87_pointers(v);
}

/* ---- why it stopped ---- */

/* The byte before rip, which the guest has just executed. */
static u8 byte_before(struct vcpu *v, u64 rip)
{
    struct translation t;
    u32 error;
    if (!page_walk(v, rip - 1, ACCESS_FETCH, true, false, &t, &error))
        return 0;
    const u8 *page = phys_page(vcpu_memory(v), t.gpa, NULL);
    return page ? page[t.gpa & 4095] : 0;
}

/* So that the translator finds the instruction before it, and does it. */
static void undo_syscall(struct shadow_process *p)
{
    p->entry->gpr[GPR_RAX] = p->regs.orig_rax;
    p->entry->rip -= 2;
}

enum { TRAP_BREAKPOINT = 1, TRAP_STEP = 2, TRAP_DEBUG_REGISTER = 4 }; /* si_code of SIGTRAP */

static void undo_trap(struct vcpu *v, struct shadow_entry *e, int code)
{
    if (code == TRAP_STEP)                /* POPF had set TF */
        v->debug.trap |= BIT(14);         /* DR6.BS */
    else if (code == TRAP_DEBUG_REGISTER) /* before an instruction that scan.c found */
        ;
    else if (code == TRAP_BREAKPOINT || byte_before(v, e->rip) == 0xcc)
        e->rip -= 1; /* INT1, INT3 */
    else
        e->rip -= 2; /* INT 3 in two bytes */
}

/* The kernel has begun to emulate a call into the vsyscall page, and gave it up at the filter. */
static void undo_vsyscall(struct shadow_entry *e, u64 address)
{
    e->rip = address;
    e->gpr[GPR_RSP] -= 8;
}

static void undo(struct vcpu *v, struct shadow_process *p, const struct shadow_stop *stop)
{
    if (stop->event == SHADOW_SYSCALL)
        undo_syscall(p);
    else if (stop->event == SHADOW_FAULT && stop->number == SIGTRAP)
        undo_trap(v, p->entry, stop->code);
    else if (stop->event == SHADOW_FAULT && stop->number == SIGSYS)
        undo_vsyscall(p->entry, stop->address);
}

static bool is_page_fault(const struct shadow_stop *stop)
{
    return stop->event == SHADOW_FAULT && stop->number == SIGSEGV &&
           (stop->code == SEGV_MAPERR || stop->code == SEGV_ACCERR);
}

/* ---- running ---- */

_Noreturn static void lost(struct vcpu *v, struct space *s)
{
    set_inside(v->direct, 0);
    space_end(s);
    v->direct->never = true;
    vcpu_exit_internal_error(v, KVM_INTERNAL_ERROR_EMULATION, NULL);
}

static u64 cpu_ns(clockid_t clock)
{
    struct timespec t;
    return clock_gettime(clock, &t) ? 0 : (u64)t.tv_sec * 1000000000 + (u64)t.tv_nsec;
}

/* Nanoseconds that the process has run since this was asked last. */
static u64 process_ran(struct direct *d, struct space *s)
{
    u64 ran = cpu_ns((clockid_t)(~(unsigned)s->process.pid << 3 | 2)); /* clock_getcpuclockid(3) */
    u64 more = ran - s->ran;
    s->ran = ran;
    d->stat.nanoseconds += more;
    return more;
}

/* maps: what of the process's time went into mappings. */
static void account(struct vcpu *v, struct space *s, u64 maps)
{
    struct direct *d = v->direct;
    u64 ran = process_ran(d, s), own = cpu_ns(CLOCK_THREAD_CPUTIME_ID);
    if (!policy_account(&d->policy, s->cr3, ran > STOP_NS ? ran - STOP_NS : 0, own - d->own + STOP_NS + maps,
                        own + d->stat.nanoseconds))
        DUMP(v, DUMP_RING3, "vcpu %u: cr3 %09llx does not pay\n", v->id, (unsigned long long)s->cr3);
    d->own = own;
}

/* What is to be done about a stop. true: guest code goes on. */
static bool take_stop(struct vcpu *v, struct space *s, const struct shadow_stop *stop)
{
    struct direct *d = v->direct;
    if (is_page_fault(stop)) {
        d->stat.faults++;
        return pages_fault(&s->pages, stop->address, s->process.entry->rip);
    }
    if (stop->event == SHADOW_KICKED) {
        d->stat.kicks++;
        return !somebody_waits(v);
    }
    *(stop->event == SHADOW_SYSCALL ? &d->stat.system_calls : &d->stat.others) += 1;
    return false;
}

/* false: they cannot be made. */
static bool make_maps(struct vcpu *v, struct space *s, u64 *took)
{
    *took = 0;
    if (!s->process.entry->count)
        return true;
    bool good = shadow_apply(&s->process);
    *took = process_ran(v->direct, s);
    return good;
}

/* Until something is not for us. */
static void run(struct vcpu *v, struct space *s, struct shadow_stop *stop)
{
    bool again = true;
    u64 maps;
    while (again) {
        stop->event = SHADOW_REFUSED;
        if (!make_maps(v, s, &maps))
            return;
        stop->event = SHADOW_KICKED;
        if (somebody_waits(v)) /* a kick while mappings were made has got lost */
            return;
        shadow_resume(&s->process, stop, somebody_waits, v);
        if (stop->event == SHADOW_DEAD)
            lost(v, s);
        again = take_stop(v, s, stop);
        account(v, s, maps);
        again = again && policy_wants(&v->direct->policy, s->cr3);
    }
}

static bool enter(struct vcpu *v, struct space *s)
{
    struct direct *d = v->direct;
    size_t size = xsave_size(v->xsave_offset, XSTATE_OFFERED);
    struct shadow_stop stop;
    s->used = ++d->entries;
    d->stat.entries++;
    if (s->paging != conditions_paging(v)) {
        s->paging = conditions_paging(v);
        atomic_store(&s->pages.forget, true);
    }
    put_state(v, s);
    if (s->cr2 != v->cr2)
        pages_expect(&s->pages, s->cr2 = v->cr2);
    if (!pages_update(&s->pages)) {
        space_end(s);
        d->hold = true;
        return false;
    }
    shadow_set_vectors(&s->process, v->fpu, size, XSTATE_OFFERED & v->xcr0_host);
    set_inside(d, s->process.pid);
    run(v, s, &stop);
    set_inside(d, 0);
    if (!shadow_get_vectors(&s->process, v->fpu, size))
        lost(v, s);
    undo(v, &s->process, &stop);
    get_state(v, s);
    d->hold = stop.event != SHADOW_KICKED;
    if (stop.event == SHADOW_REFUSED)
        space_end(s);
    return stop.event == SHADOW_KICKED || v->debug.trap;
}

static bool is_wanted(struct vcpu *v)
{
    struct direct *d = v->direct;
    return d && !d->never && !d->hold && v->cpl == 3 && policy_wants(&d->policy, cr3_base(v));
}

bool direct_waits(struct vcpu *v)
{
    if (v->direct && v->cpl != 3)
        v->direct->hold = false;
    return is_wanted(v) && conditions_hold(v);
}

bool direct_run(struct vcpu *v)
{
    struct direct *d = v->direct;
    if (d && v->cpl != 3)
        d->hold = false;
    if (!is_wanted(v) || !conditions_hold(v))
        return false;
    if (!pthread_equal(d->thread, pthread_self())) {
        end_all(d);
        d->thread = pthread_self();
    }
    fpu_put(v); /* what makes a shadow calls libc, which has no regard for vector registers */
    d->own = cpu_ns(CLOCK_THREAD_CPUTIME_ID);
    struct space *s = space_of(v);
    if (s && !is_unused(v, s->process.stub)) {
        space_end(s); /* the guest has come to have something there */
        s = NULL;
    }
    if (!s)
        d->hold = true;
    return s && enter(v, s);
}

void direct_interrupted(struct vcpu *v)
{
    if (v->direct && !v->direct->never && v->cpl == 3)
        policy_sample(&v->direct->policy, cr3_base(v),
                      cpu_ns(CLOCK_THREAD_CPUTIME_ID) + v->direct->stat.nanoseconds);
}

/* ---- what makes mappings invalid ---- */

static struct pages *pages_at(struct vcpu *v, unsigned i)
{
    return v->direct && v->direct->space[i].pages.region ? &v->direct->space[i].pages : NULL;
}

void direct_flush(struct vcpu *v)
{
    for (unsigned i = 0; i < SPACES; i++)
        if (pages_at(v, i))
            pages_at(v, i)->stale = true;
}

void direct_flush_page(struct vcpu *v, gva a)
{
    for (unsigned i = 0; i < SPACES; i++) {
        struct pages *p = pages_at(v, i);
        if (!p || p->stale)
            continue;
        if (p->stale_pages == STALE_PAGES)
            p->stale = true;
        else
            p->stale_page[p->stale_pages++] = a;
    }
}

void direct_forget_all(struct vcpu *v)
{
    for (unsigned i = 0; i < SPACES; i++)
        if (pages_at(v, i))
            atomic_store(&pages_at(v, i)->forget, true);
}

void direct_code_changed(struct vcpu *v, const u8 *host_page)
{
    unsigned bit = page_mark(host_page);
    for (unsigned i = 0; i < SPACES; i++) {
        struct pages *p = pages_at(v, i);
        if (!p)
            continue;
        atomic_fetch_or(&p->mark[bit / 64], BIT(bit % 64));
        atomic_store(&p->marked, true);
    }
}

/* ---- with the vcpu ---- */

int direct_create_vcpu(struct vcpu *v)
{
    if (!v->vm->backing)
        return 0;
    struct direct *d = calloc(1, sizeof(*d));
    if (!d)
        return -ENOMEM;
    pthread_mutex_init(&d->lock, NULL);

    d->policy.always = v->engine->stress.modes & STRESS_DIRECT;
    v->direct = d;
    return 0;
}

void direct_destroy_vcpu(struct vcpu *v)
{
    if (!v->direct)
        return;
    end_all(v->direct);
    pthread_mutex_destroy(&v->direct->lock);
    free(v->direct);
    v->direct = NULL;
}

void direct_statistics(const struct vcpu *v, struct direct_statistics *s)
{
    *s = v->direct ? v->direct->stat : (struct direct_statistics){0};
    for (unsigned i = 0; v->direct && i < SPACES; i++)
        s->mapped += v->direct->space[i].pages.stat_mapped;
}
