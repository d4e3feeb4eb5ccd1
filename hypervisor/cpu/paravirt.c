/* paravirt.c - what a guest that knows KVM may ask for beside the clock
 * (Documentation/virt/kvm/x86/hypercalls.rst, msr.rst) */
/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A vcpu here is a thread like others, so it may be off the processor while another vcpu waits for it. A
 * guest that knows that sleeps instead of spinning (kick), leaves alone who does not run (the preempted flag,
 * TLB flushes by a bit beside it), and accounts for the time that it did not get (steal).
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/kvm_para.h>
#include <sched.h>
#include <time.h>
#include <unistd.h>

#include "hypervisor/direct/direct.h"
#include "hypervisor/cpu/handlers.h"
#include "hypervisor/irq/irq.h"
#include "hypervisor/vm.h"

/* ---- spinning ---- */

/* PAUSEs in quick succession are a loop that waits for another vcpu. After a while that one is given the
 * processor, in case it waits for it: the work of pause-loop exiting (SDM 3C 25.1.3). */
void insn_pause(struct vcpu *v, const struct insn *in)
{
    enum { GAP = 8192, WINDOW = 65536 }; /* of the TSC */
    (void)in;
    __builtin_ia32_pause();
    if (v->vm->vcpu_count == 1)
        return;
    u64 now = host_tsc();
    if (now - v->spin.last > GAP)
        v->spin.first = now;
    v->spin.last = now;
    if (now - v->spin.first < WINDOW)
        return;
    sched_yield();
    v->spin.first = v->spin.last = host_tsc();
}

/* MONITOR and MWAIT of a guest that was not told of them do nothing, as KVM has it, or are undefined. */
void insn_monitor(struct vcpu *v, const struct insn *in)
{
    u32 out[4];
    cpuid_query(v, 1, 0, out);
    if (v->cpl != 0 || (!(out[2] & BIT(3)) && !vm_has_quirk(v->vm, KVM_X86_QUIRK_MWAIT_NEVER_UD_FAULTS)))
        insn_ud(v, in);
}

/* ---- steal time: struct kvm_steal_time in guest memory ---- */

/* How old the page may become: while the guest runs, and where it comes back. */
enum { STEAL_ENABLED = BIT(0), TICK_NS = 1000000, ENTRY_NS = 100000 };

static struct kvm_steal_time *steal_page(struct vcpu *v)
{
    gpa a = v->steal_msr & ~(u64)STEAL_ENABLED;
    bool writable;
    u8 *page =
        v->steal_msr & STEAL_ENABLED ? phys_page(vm_memory(v->vm), ALIGN_DOWN(a, 4096), &writable) : NULL;
    return page && writable ? (struct kvm_steal_time *)(page + (a & 4095)) : NULL;
}

static void mark_dirty(struct vcpu *v)
{
    gpa a = v->steal_msr & ~(u64)STEAL_ENABLED;
    memory_mark_dirty(v, memory_find(vm_memory(v->vm), a), a);
}

/* The file has to be opened when the vcpu is made, as a VMM may confine its threads before they run. */
void paravirt_created(struct vcpu *v)
{
    v->steal.maker = gettid();
    v->steal.schedstat = open("/proc/thread-self/schedstat", O_RDONLY | O_CLOEXEC);
}

void paravirt_destroy(struct vcpu *v)
{
    if (v->steal.schedstat >= 0)
        close(v->steal.schedstat);
}

/* How long this thread was ready and had no processor, in KVM_RUN and out of it: the second number of the
 * file (Documentation/scheduler/sched-stats.rst). false: another thread runs the vcpu than has made it. */
static bool run_delay(const struct vcpu *v, u64 *ns)
{
    char text[64];
    ssize_t n, i = 0;
    if (v->steal.schedstat < 0 || v->steal.maker != gettid())
        return false;
    n = pread(v->steal.schedstat, text, sizeof(text), 0);
    while (i < n && text[i] != ' ')
        i++;
    for (*ns = 0, i++; i < n && text[i] >= '0' && text[i] <= '9'; i++)
        *ns = *ns * 10 + (u64)(text[i] - '0');
    return i < n;
}

static u64 thread_ns(void)
{
    struct timespec t;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
    return (u64)t.tv_sec * 1000000000 + (u64)t.tv_nsec;
}

/* In a shadow another thread works for the vcpu. */
static u64 shadows_ns(const struct vcpu *v)
{
    struct direct_statistics s;
    direct_statistics(v, &s);
    return s.nanoseconds;
}

/* What the thread has waited; where that is not known, or another one worked for it, time in KVM_RUN, not
 * asleep, in which neither had a processor. */
static u64 stolen_since_last(struct vcpu *v, u64 now)
{
    u64 shadows = shadows_ns(v), cpu = thread_ns() + shadows, delay = 0;
    u64 ran = v->steal.ran + (now - v->steal.entered), had = cpu - v->steal.cpu;
    u64 stolen = ran > had ? ran - had : 0;
    bool known = run_delay(v, &delay);
    if (known && v->steal.delay_known && shadows == v->steal.shadows)
        stolen = delay - v->steal.delay;
    v->steal.ran = 0;
    v->steal.entered = v->steal.updated = now;
    v->steal.cpu = cpu;
    v->steal.shadows = shadows;
    v->steal.delay = delay;
    v->steal.delay_known = known;
    return stolen;
}

static void steal_update(struct vcpu *v, struct kvm_steal_time *s, u64 now)
{
    u32 version = __atomic_load_n(&s->version, __ATOMIC_RELAXED) | 1;
    u64 stolen = stolen_since_last(v, now);
    __atomic_store_n(&s->version, version, __ATOMIC_RELEASE);
    __atomic_store_n(&s->steal, s->steal + stolen, __ATOMIC_RELEASE);
    __atomic_store_n(&s->version, version + 1, __ATOMIC_RELEASE);
    mark_dirty(v);
}

bool steal_write(struct vcpu *v, u64 msr)
{
    const u64 reserved = MASK(5, 1);
    if (msr & reserved)
        return false;
    v->steal_msr = msr;
    stolen_since_last(v, host_now_ns());
    return true;
}

void paravirt_entered(struct vcpu *v)
{
    struct kvm_steal_time *s = steal_page(v);
    if (!s)
        return;
    u64 now = v->steal.entered = host_now_ns();
    if (__atomic_exchange_n(&s->preempted, 0, __ATOMIC_SEQ_CST) & KVM_VCPU_FLUSH_TLB)
        tlb_flush_all(v);
    if (now - v->steal.updated >= ENTRY_NS)
        steal_update(v, s, now);
    else
        __atomic_fetch_add(&s->version, 2, __ATOMIC_RELEASE); /* looked at: guests may count these */
}

void paravirt_leaving(struct vcpu *v)
{
    struct kvm_steal_time *s = steal_page(v);
    if (!s)
        return;
    v->steal.ran += host_now_ns() - v->steal.entered;
    __atomic_store_n(&s->preempted, KVM_VCPU_PREEMPTED, __ATOMIC_SEQ_CST);
    mark_dirty(v);
}

void paravirt_tick(struct vcpu *v)
{
    struct kvm_steal_time *s = steal_page(v);
    u64 now = host_now_ns();
    if (s && now - v->steal.updated >= TICK_NS)
        steal_update(v, s, now);
}

/* ---- asynchronous page faults ---- */

/* A guest may ask for them, and none will come: guest memory is the client's, and when its pages come from
 * disk the vcpu's thread waits for them in the middle of an instruction. */
bool async_pf_write(struct vcpu *v, u64 msr)
{
    const u64 reserved = MASK(5, 4);
    const struct {
        u64 bit;
        u32 feature;
    } deliveries[] = {
        {KVM_ASYNC_PF_DELIVERY_AS_PF_VMEXIT, BIT(KVM_FEATURE_ASYNC_PF_VMEXIT)},
        {KVM_ASYNC_PF_DELIVERY_AS_INT, BIT(KVM_FEATURE_ASYNC_PF_INT)},
    };
    if (msr & reserved)
        return false;
    for (size_t i = 0; i < ARRAY_SIZE(deliveries); i++)
        if ((msr & deliveries[i].bit) && !pv_offers(v, deliveries[i].feature))
            return false;
    if (!v->lapic)
        return msr == 0;
    v->async_pf_msr = msr;
    bool enabled = (msr & KVM_ASYNC_PF_ENABLED) && (msr & KVM_ASYNC_PF_DELIVERY_AS_INT);
    return !enabled || phys_page(vm_memory(v->vm), msr & ~(u64)0xfff, NULL);
}

bool pv_offers(struct vcpu *v, u32 features)
{
    u32 out[4];
    if (!features || !v->enforce_pv)
        return true;
    cpuid_query(v, KVM_CPUID_FEATURES, 0, out);
    return (out[0] & features) == features;
}

/* ---- hypercalls ---- */

struct hypercall {
    u64 a[4]; /* rbx, rcx, rdx, rsi */
    bool wide;
};

static struct vcpu *vcpu_of_apic(struct vcpu *v, u64 id)
{
    for (unsigned i = 0; i < v->vm->vcpu_count; i++)
        if (v->vm->vcpu[i]->id == id)
            return v->vm->vcpu[i];
    return NULL;
}

/* The guest has lowered a priority that nobody watches: irq/vapic.c. */
static s64 poll_irq(struct vcpu *v, const struct hypercall *h)
{
    (void)h;
    vcpu_kick(v, REQ_EVENT);
    return 0;
}

static s64 clock_pairing(struct vcpu *v, const struct hypercall *h)
{
    (void)v, (void)h;
    return -KVM_EOPNOTSUPP;
}

/* Wakes a processor that sleeps in HLT, with interrupts on or off. */
static s64 kick_cpu(struct vcpu *v, const struct hypercall *h)
{
    struct vcpu *target = vcpu_of_apic(v, h->a[1]);
    if (target) {
        atomic_store(&target->pv_unhalted, true);
        vcpu_kick(target, REQ_EVENT);
    }
    return 0;
}

/* a0, a1: a bitmap of APIC ids from a2 on; a3: the interrupt command. */
static s64 send_ipi(struct vcpu *v, const struct hypercall *h)
{
    return v->lapic ? lapic_send_many(v, h->a, h->wide ? 64 : 32, h->a[2], (u32)h->a[3]) : -KVM_ENOSYS;
}

static s64 yield_to(struct vcpu *v, const struct hypercall *h)
{
    struct vcpu *target = vcpu_of_apic(v, h->a[0]);
    if (target && target != v && atomic_load(&target->state) == STATE_RUNNING)
        sched_yield();
    return 0;
}

static const struct {
    u32 number;
    u32 pv; /* KVM_FEATURE_* that goes with it */
    s64 (*call)(struct vcpu *v, const struct hypercall *h);
} hypercalls[] = {
    {KVM_HC_VAPIC_POLL_IRQ, 0, poll_irq},
    {KVM_HC_KICK_CPU, BIT(KVM_FEATURE_PV_UNHALT), kick_cpu},
    {KVM_HC_CLOCK_PAIRING, 0, clock_pairing},
    {KVM_HC_SEND_IPI, BIT(KVM_FEATURE_PV_SEND_IPI), send_ipi},
    {KVM_HC_SCHED_YIELD, BIT(KVM_FEATURE_PV_SCHED_YIELD), yield_to},
};

static s64 hypercall(struct vcpu *v)
{
    static const u8 argument[] = {GPR_RBX, GPR_RCX, GPR_RDX, GPR_RSI};
    struct hypercall h = {.wide = in_64bit(v)};
    u64 mask = h.wide ? ~0ull : UINT32_MAX, number = v->gpr[GPR_RAX] & mask;
    if (v->cpl != 0)
        return -KVM_EPERM;
    for (size_t i = 0; i < ARRAY_SIZE(argument); i++)
        h.a[i] = v->gpr[argument[i]] & mask;
    for (size_t i = 0; i < ARRAY_SIZE(hypercalls); i++)
        if (hypercalls[i].number == number && pv_offers(v, hypercalls[i].pv))
            return hypercalls[i].call(v, &h);
    return -KVM_ENOSYS;
}

/* VMCALL is of Intel's processors, and VMMCALL of AMD's. For the other one KVM writes the right one into the
 * guest's code, or it is undefined. A vcpu without CPUID has both. */
static void require_own_hypercall(struct vcpu *v, const struct insn *in)
{
    enum { VMCALL = 0xc1, VMMCALL = 0xd9 };
    u8 own = cpuid_is_amd(v) ? VMMCALL : VMCALL;
    if (!v->cpuid_count || in->bytes[in->length - 1] == own)
        return;
    if (!vm_has_quirk(v->vm, KVM_X86_QUIRK_FIX_HYPERCALL_INSN))
        raise_exception(v, EXC_UD);
    guest_store(v, v->seg_base[SEG_CS] + v->rip + in->length - 1, 1, own, AS_SYSTEM);
}

/* The number in rax, the result in rax. */
void insn_vmcall(struct vcpu *v, const struct insn *in)
{
    require_own_hypercall(v, in);
    s64 result = hypercall(v);
    reg_write(v, in, GPR_RAX, in_64bit(v) ? 8 : 4, (u64)result);
}
