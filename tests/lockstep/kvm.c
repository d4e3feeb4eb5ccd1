/* kvm.c - runs a case through the KVM API: on the library, or on /dev/kvm */
/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <errno.h>
#include <fcntl.h>
#include <linux/kvm.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/time.h>
#include <unistd.h>

#include "lodge/kvm.h"
#include "tests/lockstep/lockstep.h"

enum { LIMIT_MS = 10, MAX_EXITS = 1000 };

struct kvm {
    struct reference reference;
    bool kernel;
    int system, vm, vcpu;
    struct kvm_run *run;
    u8 *ram;
};

static int call(const struct kvm *k, int fd, unsigned long request, void *arg)
{
    return k->kernel ? ioctl(fd, request, arg) : lodge_kvm_ioctl(fd, request, (unsigned long)arg);
}

/* ---- state in and out ---- */

static struct kvm_segment to_kvm(const struct segment_state *s)
{
    u16 a = s->attributes;
    return (struct kvm_segment){
        .base = s->base,
        .limit = s->limit,
        .selector = s->selector,
        .type = a & 15,
        .s = a >> 4 & 1,
        .dpl = a >> 5 & 3,
        .present = a >> 7 & 1,
        .avl = a >> 12 & 1,
        .l = a >> 13 & 1,
        .db = a >> 14 & 1,
        .g = a >> 15 & 1,
        .unusable = !(a >> 7 & 1),
    };
}

static struct segment_state from_kvm(const struct kvm_segment *k)
{
    unsigned present = k->present && !k->unusable;
    return (struct segment_state){
        .selector = k->selector,
        .attributes = (u16)(k->type | k->s << 4 | k->dpl << 5 | present << 7 | k->avl << 12 | k->l << 13 |
                            k->db << 14 | k->g << 15),
        .limit = k->limit,
        .base = k->base,
    };
}

static const size_t segment_offset[SEGMENTS] = {
    [ES] = offsetof(struct kvm_sregs, es),    [CS] = offsetof(struct kvm_sregs, cs),
    [SS] = offsetof(struct kvm_sregs, ss),    [DS] = offsetof(struct kvm_sregs, ds),
    [FS] = offsetof(struct kvm_sregs, fs),    [GS] = offsetof(struct kvm_sregs, gs),
    [LDTR] = offsetof(struct kvm_sregs, ldt), [TR] = offsetof(struct kvm_sregs, tr),
};
static struct kvm_segment *segment_in(struct kvm_sregs *s, unsigned i)
{
    return (struct kvm_segment *)((char *)s + segment_offset[i]);
}

/* Where struct kvm_regs has the registers in the order of their encoding. */
static const u8 place_in_regs[16] = {0, 2, 3, 1, 6, 7, 4, 5, 8, 9, 10, 11, 12, 13, 14, 15};

union msr_list {
    struct kvm_msrs head;
    u8 room[sizeof(struct kvm_msrs) + MSRS * sizeof(struct kvm_msr_entry)];
};

static bool put_state(struct kvm *k, const struct state *s)
{
    struct kvm_sregs sregs = {0};
    struct kvm_regs regs = {.rip = s->rip, .rflags = s->rflags};
    struct kvm_debugregs debug = {.dr6 = s->dr[6], .dr7 = s->dr[7]};
    struct kvm_vcpu_events events = {0};
    struct kvm_fpu fpu = {.fcw = 0x37f, .mxcsr = 0x1f80};
    struct kvm_mp_state mp = {KVM_MP_STATE_RUNNABLE};
    union msr_list msrs = {.head.nmsrs = MSRS};
    if (call(k, k->vcpu, KVM_GET_SREGS, &sregs))
        return false;
    for (unsigned i = 0; i < SEGMENTS; i++)
        *segment_in(&sregs, i) = to_kvm(&s->segment[i]);
    sregs.gdt = (struct kvm_dtable){.base = s->gdtr.base, .limit = s->gdtr.limit};
    sregs.idt = (struct kvm_dtable){.base = s->idtr.base, .limit = s->idtr.limit};
    sregs.cr0 = s->cr0, sregs.cr2 = s->cr2, sregs.cr3 = s->cr3, sregs.cr4 = s->cr4, sregs.cr8 = 0;
    sregs.efer = s->efer;
    k->run->cr8 = 0;
    for (unsigned i = 0; i < 16; i++)
        ((u64 *)&regs)[place_in_regs[i]] = s->gpr[i];
    for (unsigned i = 0; i < 4; i++)
        debug.db[i] = s->dr[i];
    for (unsigned i = 0; i < MSRS; i++)
        msrs.head.entries[i] = (struct kvm_msr_entry){.index = msr_number[i], .data = s->msr[i]};
    if (call(k, k->vcpu, KVM_SET_VCPU_EVENTS, &events) || call(k, k->vcpu, KVM_SET_SREGS, &sregs) ||
        call(k, k->vcpu, KVM_SET_REGS, &regs) || call(k, k->vcpu, KVM_SET_DEBUGREGS, &debug) ||
        call(k, k->vcpu, KVM_SET_MSRS, &msrs) != MSRS || call(k, k->vcpu, KVM_SET_MP_STATE, &mp) ||
        call(k, k->vcpu, KVM_SET_FPU, &fpu))
        return false;
    /* RFLAGS.VM took part in SET_REGS only: once more, now that the privilege follows from it. */
    return call(k, k->vcpu, KVM_SET_SREGS, &sregs) == 0;
}

static bool get_state(struct kvm *k, struct state *s)
{
    struct kvm_sregs sregs;
    struct kvm_regs regs;
    struct kvm_debugregs debug;
    union msr_list msrs = {.head.nmsrs = MSRS};
    for (unsigned i = 0; i < MSRS; i++)
        msrs.head.entries[i].index = msr_number[i];
    if (call(k, k->vcpu, KVM_GET_SREGS, &sregs) || call(k, k->vcpu, KVM_GET_REGS, &regs) ||
        call(k, k->vcpu, KVM_GET_DEBUGREGS, &debug) || call(k, k->vcpu, KVM_GET_MSRS, &msrs) != MSRS)
        return false;
    memset(s, 0, sizeof(*s));
    for (unsigned i = 0; i < SEGMENTS; i++)
        s->segment[i] = from_kvm(segment_in(&sregs, i));
    s->gdtr = (struct table_state){sregs.gdt.base, sregs.gdt.limit};
    s->idtr = (struct table_state){sregs.idt.base, sregs.idt.limit};
    s->cr0 = sregs.cr0, s->cr2 = sregs.cr2, s->cr3 = sregs.cr3, s->cr4 = sregs.cr4, s->efer = sregs.efer;
    for (unsigned i = 0; i < 16; i++)
        s->gpr[i] = ((u64 *)&regs)[place_in_regs[i]];
    s->rip = regs.rip, s->rflags = regs.rflags;
    for (unsigned i = 0; i < 4; i++)
        s->dr[i] = debug.db[i];
    s->dr[6] = debug.dr6, s->dr[7] = debug.dr7;
    for (unsigned i = 0; i < MSRS; i++)
        s->msr[i] = msrs.head.entries[i].data;
    return true;
}

/* ---- running ---- */

/* What the alarm stops. One case runs at a time. */
static struct kvm_run *_Atomic running;

static void stop_running(int signal)
{
    struct kvm_run *r = running;
    (void)signal;
    if (r)
        r->immediate_exit = 1;
}

static void set_alarm(struct kvm_run *run, unsigned ms)
{
    struct itimerval t = {.it_value = {.tv_usec = ms * 1000}, .it_interval = {.tv_usec = ms * 1000}};
    running = run;
    if (run)
        run->immediate_exit = 0;
    setitimer(ITIMER_REAL, &t, NULL);
}

static void unknown(struct result *out, const char *why, unsigned number)
{
    out->end = END_UNKNOWN;
    snprintf(out->why, sizeof(out->why), "%s %u", why, number);
}

/* Addresses where nobody is read as 0 in QEMU too; but it has firmware below 4 GiB. */
static bool answer_mmio(struct kvm *k, struct result *out)
{
    enum { FIRMWARE = 0xfffc0000 };
    if (k->run->mmio.phys_addr >= FIRMWARE && k->run->mmio.phys_addr >> 32 == 0) {
        unknown(out, "firmware is read,", 0);
        return false;
    }
    memset(k->run->mmio.data, 0, sizeof(k->run->mmio.data));
    return true;
}

/* Ports and addresses where nobody is: what QEMU has there. true: go on. */
static bool answer_exit(struct kvm *k, struct result *out)
{
    struct kvm_run *run = k->run;
    switch (run->exit_reason) {
    case KVM_EXIT_IO:
        if (run->io.direction == KVM_EXIT_IO_IN)
            memset((char *)run + run->io.data_offset, 0xff, run->io.size * run->io.count);
        return true;
    case KVM_EXIT_MMIO: return answer_mmio(k, out);
    case KVM_EXIT_SET_TPR: return true;
    case KVM_EXIT_HLT: out->end = END_HALT; return false;
    case KVM_EXIT_SHUTDOWN: out->end = END_SHUTDOWN; return false;
    case KVM_EXIT_INTERNAL_ERROR: unknown(out, "internal error", run->internal.suberror); return false;
    default: unknown(out, "exit", run->exit_reason); return false;
    }
}

static void run_to_end(struct kvm *k, struct result *out)
{
    for (unsigned exits = 0; exits < MAX_EXITS; exits++) {
        int r = call(k, k->vcpu, KVM_RUN, NULL);
        if (r < 0 && (errno == EINTR || errno == EAGAIN)) {
            out->end = END_LIMIT;
            return;
        }
        if (r < 0) {
            unknown(out, "errno", (unsigned)errno);
            return;
        }
        if (!answer_exit(k, out))
            return;
    }
    out->end = END_LIMIT;
}

/* A software KVM may have modes that it does not know, and then forgets the bits that select them. */
static bool keeps_state(struct kvm *k, const struct state *s)
{
    struct state now;
    return get_state(k, &now) && now.cr0 == s->cr0 && now.cr4 == s->cr4 && now.efer == s->efer &&
           now.rflags == s->rflags && now.segment[CS].attributes == s->segment[CS].attributes;
}

static void kvm_run_case(struct reference *r, const struct guest *g, struct result *out)
{
    struct kvm *k = container_of(r, struct kvm, reference);
    memcpy(k->ram, g->ram, RAM_SIZE);
    out->ram = k->ram;
    if (!put_state(k, &g->state)) {
        unknown(out, "state refused, errno", (unsigned)errno);
        return;
    }
    if (!keeps_state(k, &g->state)) {
        unknown(out, "state not kept", 0);
        return;
    }
    set_alarm(k->run, LIMIT_MS);
    run_to_end(k, out);
    set_alarm(NULL, 0);
    k->run->immediate_exit = 0;
    if (!get_state(k, &out->state))
        unknown(out, "state not given, errno", (unsigned)errno);
}

/* ---- setting up ---- */

/* SYSCALL and SYSENTER follow the vendor. TCG's is AMD, and it has none of Intel's rules for legacy modes. */
static void be_amd(struct kvm_cpuid_entry2 *e)
{
    memcpy(&e->ebx, "Auth", 4);
    memcpy(&e->edx, "enti", 4);
    memcpy(&e->ecx, "cAMD", 4);
}

/* The guest's CPUID is the library's for both, with the vendor and the address width that TCG has. */
static bool set_cpuid(struct kvm *k)
{
    struct kvm_cpuid2 *c = calloc(1, sizeof(*c) + 256 * sizeof(c->entries[0]));
    c->nent = 256;
    bool good = call(k, k->system, KVM_GET_SUPPORTED_CPUID, c) == 0;
    for (unsigned i = 0; good && i < c->nent; i++) {
        struct kvm_cpuid_entry2 *e = &c->entries[i];
        if (e->function == 0 || e->function == 0x80000000)
            be_amd(e);
        if (e->function == 0x80000008)
            e->eax = (e->eax & ~0xffu) | 40;
    }
    good = good && call(k, k->vcpu, KVM_SET_CPUID2, c) == 0;
    free(c);
    return good;
}

static bool set_up(struct kvm *k)
{
    k->system = k->kernel ? open("/dev/kvm", O_RDWR | O_CLOEXEC) : lodge_kvm_open();
    if (k->system < 0)
        return false;
    k->vm = call(k, k->system, KVM_CREATE_VM, NULL);
    struct kvm_userspace_memory_region region = {.memory_size = RAM_SIZE, .userspace_addr = (u64)k->ram};
    if (k->vm < 0 || call(k, k->vm, KVM_SET_USER_MEMORY_REGION, &region))
        return false;
    k->vcpu = call(k, k->vm, KVM_CREATE_VCPU, NULL);
    if (k->vcpu < 0 || !set_cpuid(k))
        return false;
    int size = call(k, k->system, KVM_GET_VCPU_MMAP_SIZE, NULL);
    k->run = mmap(NULL, (size_t)size, PROT_READ | PROT_WRITE, MAP_SHARED, k->vcpu, 0);
    return k->run != MAP_FAILED;
}

static void kvm_close(struct reference *r)
{
    free(container_of(r, struct kvm, reference));
}

struct reference *kvm_reference(bool kernel)
{
    struct kvm *k = calloc(1, sizeof(*k));
    k->reference = (struct reference){kernel ? "/dev/kvm" : "lodge", false, kvm_run_case, kvm_close, false};
    k->kernel = kernel;
    k->ram = mmap(NULL, RAM_SIZE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (!set_up(k)) {
        printf("%s: %s\n", k->reference.name, strerror(errno));
        free(k);
        return NULL;
    }
    signal(SIGALRM, stop_running);
    return &k->reference;
}
