/* run.c - KVM_RUN: the life of a vcpu between two exits to user space (Documentation/virt/kvm/api.rst 4.10)
 */
/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * vcpu_loop is the whole of it: first what others want of the vcpu (requests), then what is to be delivered
 * (events), then guest code, until something is for user space. Code below it that must leave the current
 * instruction unwinds to its head (vcpu_unwind), having said why in the vcpu.
 */
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <unistd.h>

#include "hypervisor/api/dirty_ring.h"
#include "hypervisor/cpu/msr_exit.h"
#include "hypervisor/cpu/smm.h"
#include "hypervisor/direct/direct.h"
#include "hypervisor/irq/irq.h"
#include "hypervisor/signals.h"
#include "hypervisor/translate/access.h"
#include "hypervisor/translate/dump.h"
#include "hypervisor/translate/engine.h"
#include "hypervisor/translate/cache.h"
#include "hypervisor/translate/execute.h"
#include "lodge/kvm_abi.h"

_Noreturn void vcpu_unwind(struct vcpu *v)
{
    while (v->engine_locks)
        engine_unlock(v);
    __builtin_longjmp(v->unwind, 1);
}

_Noreturn void vcpu_exit(struct vcpu *v, u32 reason)
{
    v->run->exit_reason = reason;
    v->exiting = true;
    vcpu_unwind(v);
}

_Noreturn void vcpu_exit_internal_error(struct vcpu *v, u32 suberror, const struct insn *in)
{
    v->run->internal.suberror = suberror;
    v->run->internal.ndata = 0;
    if (in) { /* as struct kvm_run.emulation_failure: flags, size, bytes */
        v->run->emulation_failure.ndata = 3;
        v->run->emulation_failure.flags = KVM_INTERNAL_ERROR_EMULATION_FLAG_INSTRUCTION_BYTES;
        v->run->emulation_failure.insn_size = in->length;
        for (unsigned i = 0; i < sizeof(in->bytes); i++)
            v->run->emulation_failure.insn_bytes[i] = in->bytes[i];
    }
    vcpu_exit(v, KVM_EXIT_INTERNAL_ERROR);
}

/* ---- being noticed ---- */

void vcpu_kick(struct vcpu *v, u32 request)
{
    atomic_fetch_or(&v->requests, request);
    atomic_store(&v->poll, engine_poll_armed(v->engine));
    if (atomic_load(&v->state) == STATE_WAITING) {
        u64 one = 1;
        ssize_t n = write(v->wake_fd, &one, sizeof(one));
        (void)n; /* EAGAIN: it is awake already */
    }
    direct_kick(v);
}

/* A kick sets the request first and arms the poll second: taken in between, the request leaves an armed poll
 * behind, which vcpu_step finds. */
static u32 take_requests(struct vcpu *v)
{
    atomic_store(&v->poll, engine_poll_quiet(v->engine));
    return atomic_exchange(&v->requests, 0);
}

/* ---- waiting (HLT, and processors not yet started) ---- */

/* KVM_CAP_HALT_POLL: a wait that soon ends is cheaper awake. The guest may know better
 * (MSR_KVM_POLL_CONTROL). */
static void poll_for_kick(struct vcpu *v)
{
    u64 ns = v->poll_control_msr & 1 ? v->vm->halt_poll_ns : 0, end = ns ? host_now_ns() + ns : 0;

    while (end && !atomic_load(&v->requests) && !v->run->immediate_exit && !v->signal_came &&
           host_now_ns() < end)
        __builtin_ia32_pause();
}

/* Sleeps until a kick or a signal. All signals are blocked between the last look at immediate_exit and the
 * sleep, so that a handler that sets it cannot come in between. -EINTR: a signal came. */
static int wait_for_kick(struct vcpu *v)
{
    struct pollfd p = {.fd = v->wake_fd, .events = POLLIN};
    sigset_t all, old;
    int r = 0;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &old);
    paravirt_leaving(v);
    pv_eoi_leave(v);
    gate_leave(v, STATE_WAITING);
    if (!atomic_load(&v->requests) && !v->run->immediate_exit && !v->signal_came &&
        ppoll(&p, 1, NULL, &old) < 0)
        r = -errno;
    gate_enter(v);
    paravirt_entered(v);
    pthread_sigmask(SIG_SETMASK, &old, NULL);
    u64 count;
    if (r == 0 && p.revents && read(v->wake_fd, &count, sizeof(count)) < 0)
        r = 0; /* EAGAIN: taken already */
    return r;
}

static bool interrupts_enabled(const struct vcpu *v)
{
    return (v->rflags & FLAG_IF) && !v->interrupt_shadow;
}

static void wake_if_due(struct vcpu *v)
{
    bool interrupt = interrupts_enabled(v) && lapic_pending(v) >= 0;
    v->interrupt_waits |= interrupt; /* its kick may not have been seen yet, and it is to come before code */
    bool unhalted = atomic_exchange(&v->pv_unhalted, false);
    if (interrupt || unhalted || (v->nmi_pending && !v->nmi_blocked) || smi_is_due(v) || v->event.pending ||
        v->debug.trap)
        v->mp_state = KVM_MP_STATE_RUNNABLE;
}

/* ---- INIT and SIPI (SDM 3A 8.4) ---- */

static void start_at(struct vcpu *v, u8 vector)
{
    struct segment cs = v->seg[SEG_CS];
    cs.selector = (u16)(vector << 8);
    cs.base = (u64)vector << 12;
    vcpu_set_segment(v, SEG_CS, cs);
    v->rip = 0;
    v->mp_state = KVM_MP_STATE_RUNNABLE;
}

static void take_startup(struct vcpu *v)
{
    for (unsigned e = lapic_accept_init(v); e; e = lapic_accept_init(v)) {
        if (e & LAPIC_INIT) {
            fpu_put(v);
            vcpu_reset(v, true);
        }
        if (e & LAPIC_STARTUP)
            start_at(v, v->sipi_vector);
    }
}

/* ---- the loop ---- */

static void handle_requests(struct vcpu *v)
{
    u32 r = take_requests(v);
    direct_interrupted(v);
    if (r & REQ_STOP) {
        gate_leave(v, STATE_OUTSIDE);
        gate_enter(v);
    }
    if (r & REQ_TLB_FLUSH)
        tlb_flush_all(v);
    if (r & REQ_CLOCK)
        kvmclock_update(v);
    if (r & REQ_EVENT) {
        v->interrupt_waits = true;
        paravirt_tick(v);
    }
}

/* MOV to SS holds off debug traps too (SDM 3A 6.8.3). */
static bool trap_is_due(const struct vcpu *v)
{
    return v->debug.trap && v->interrupt_shadow != KVM_X86_SHADOW_INT_MOV_SS;
}

/* Delivers the most urgent event, if any may be delivered now (SDM 3A table 6-2). May unwind. */
static void deliver_events(struct vcpu *v)
{
    bool blocked = v->debug.control & KVM_GUESTDBG_BLOCKIRQ;
    if (!v->event.pending && trap_is_due(v))
        event_queue_debug(v);
    if (!v->event.pending && smi_is_due(v))
        smm_enter(v);
    if (!v->event.pending && v->nmi_pending && !v->nmi_blocked && !v->interrupt_shadow && !blocked) {
        event_queue_nmi(v);
    }
    if (!v->event.pending && v->interrupt_waits && interrupts_enabled(v) && !blocked) {
        int vector = lapic_pending(v) >= 0 ? lapic_accept(v) : -1;
        v->interrupt_waits = vector >= 0;
        if (vector >= 0)
            event_queue_interrupt(v, (u8)vector);
    }
    if (!v->event.pending)
        return;
    v->stat_injections++;
    DUMP(v, DUMP_EXCEPTION, "deliver vector %u error %x rip %016llx cr2 %016llx\n", v->event.vector,
         v->event.error_code, (unsigned long long)v->rip, (unsigned long long)v->cr2);
    event_deliver(v);
}

/* exclusive: an instruction that must be atomic, and is not so natively. The others wait for it. */
static void execute(struct vcpu *v)
{
    if (v->exclusive) {
        vcpu_stop_others(v);
        v->alone = true;
    }
    engine_execute(v);
}

static void end_alone(struct vcpu *v)
{
    v->alone = v->exclusive = false;
    vcpu_resume_others(v);
}

/* An IOAPIC in user space hears of the end of its interrupts. */
static bool exit_for_eoi(struct vcpu *v)
{
    int vector = lapic_take_user_eoi(v);
    if (vector < 0)
        return false;
    v->run->exit_reason = KVM_EXIT_IOAPIC_EOI;
    v->run->eoi.vector = (u8)vector;
    return true;
}

/* User space wants to hear that the guest writes its task priority. */
static bool exit_for_tpr(struct vcpu *v)
{
    if (!v->tpr_access.written)
        return false;
    v->tpr_access.written = false;
    v->run->exit_reason = KVM_EXIT_TPR_ACCESS;
    v->run->tpr_access.rip = v->tpr_access.rip;
    v->run->tpr_access.is_write = 1;
    return true;
}

bool vcpu_interrupt_window(struct vcpu *v)
{
    return interrupts_enabled(v) && !v->event.pending && (!v->lapic || lapic_takes_extint(v));
}

/* A PIC in user space has an interrupt that did not fit in before. */
static bool exit_for_window(struct vcpu *v)
{
    if (!v->run->request_interrupt_window || irqchip_has_pic(v->vm) || !vcpu_interrupt_window(v))
        return false;
    v->run->exit_reason = KVM_EXIT_IRQ_WINDOW_OPEN;
    return true;
}

enum { LOOP_AGAIN = 1 }; /* else the result of KVM_RUN */

static int vcpu_step(struct vcpu *v)
{
    if (atomic_load(&v->requests) || atomic_load(&v->poll) != engine_poll_quiet(v->engine))
        handle_requests(v);
    if (v->debug.changed)
        engine_debug_changed(v);
    if (v->mmio_reads &&
        !v->event.pending) { /* user space has answered: the instruction is completed before all else */
        execute(v);
        guest_commit(v); /* it ran alone (MODE_STEP) and is complete, even if its last access was in RAM */
        return LOOP_AGAIN;
    }
    guest_commit(v);
    if (v->run->immediate_exit || v->signal_came) {
        if (v->under_way || v->signal_came) /* on the way in, the reason stays that of the exit before */
            v->run->exit_reason = KVM_EXIT_INTR;
        return -EINTR;
    }
    v->under_way = true;
    if (v->triple_fault) {
        v->triple_fault = false;
        v->run->exit_reason = KVM_EXIT_SHUTDOWN;
        return 0;
    }
    if (dirty_ring_is_full(v)) {
        v->run->exit_reason = KVM_EXIT_DIRTY_RING_FULL;
        return 0;
    }
    if (exit_for_eoi(v) || exit_for_tpr(v))
        return 0;
    if ((v->init_pending || v->mp_state == KVM_MP_STATE_SIPI_RECEIVED) && !v->smm.active)
        take_startup(v);
    if (v->mp_state == KVM_MP_STATE_HALTED)
        wake_if_due(v);
    if (v->mp_state != KVM_MP_STATE_RUNNABLE) {
        v->run->exit_reason = KVM_EXIT_INTR;
        engine_trim(v);
        poll_for_kick(v);
        return wait_for_kick(v) < 0 ? -EINTR : LOOP_AGAIN;
    }
    deliver_events(v);
    if (trap_is_due(v)) /* the delivery itself met a breakpoint */
        return LOOP_AGAIN;
    if (exit_for_window(v))
        return 0;
    vapic_enter(v);
    execute(v);
    return LOOP_AGAIN;
}

/* api.rst, KVM_CAP_MEMORY_FAULT_INFO: which page of the guest it is that the client's mapping does not have.
 */
static void report_memory_fault(struct vcpu *v)
{
    const struct memory *m = vcpu_memory(v);
    v->run->exit_reason = KVM_EXIT_UNKNOWN;
    for (unsigned i = 0; i < m->count; i++) {
        u64 offset = v->efault_host - (uintptr_t)m->slot[i].host;
        if (offset >= m->slot[i].pages << 12)
            continue;
        v->run->exit_reason = KVM_EXIT_MEMORY_FAULT;
        *LODGE_MEMORY_FAULT(v->run) =
            (struct lodge_memory_fault){.gpa = m->slot[i].base + ALIGN_DOWN(offset, 4096), .size = 4096};
        return;
    }
}

static int vcpu_loop(struct vcpu *v)
{
    __builtin_setjmp(v->unwind);
    for (;;) {
        if (v->alone)
            end_alone(v);
        if (v->efault) {
            v->efault = false;
            report_memory_fault(v);
            return -EFAULT;
        }
        if (v->exiting) {
            v->exiting = false;
            return 0;
        }
        if (v->vm->dead)
            return -EIO;
        if (mmio_next_write(v))
            return 0;
        int r = vcpu_step(v);
        if (r != LOOP_AGAIN)
            return r;
    }
}

/* Completing a string input may fault, and an MSR be refused: that unwinds to here, and the loop delivers it.
 */
static void complete_io(struct vcpu *v)
{
    mmio_complete(v);
    if ((v->pio.active || v->msr_pending.active) && __builtin_setjmp(v->unwind) == 0) {
        pio_complete(v);
        msr_complete(v);
    }
}

static void count_exit(struct vcpu *v, u32 reason)
{
    static const u8 counted_as[] = {
        [KVM_EXIT_IO] = STAT_IO,
        [KVM_EXIT_MMIO] = STAT_MMIO,
        [KVM_EXIT_HLT] = STAT_HALT,
        [KVM_EXIT_INTR] = STAT_SIGNAL,
        [KVM_EXIT_DEBUG] = STAT_DEBUG,
        [KVM_EXIT_SHUTDOWN] = STAT_SHUTDOWN,
        [KVM_EXIT_IRQ_WINDOW_OPEN] = STAT_IRQ_WINDOW,
    };
    v->stat_exits++;
    v->stat_exit[reason < ARRAY_SIZE(counted_as) ? counted_as[reason] : STAT_OTHER]++;
}

int vcpu_run(struct vcpu *v)
{
    v->signal_came = v->under_way = false;
    engine_attach(v);
    signals_enter(v);
    gate_enter(v);
    paravirt_entered(v);
    atomic_fetch_add(&v->vm->generation, 1); /* user space has had its turn: cache.h */
    v->interrupt_waits = true;
    atomic_fetch_or(&v->requests, REQ_EVENT);
    complete_io(v);
    int r = vcpu_loop(v);
    fpu_put(v);
    paravirt_leaving(v);
    pv_eoi_leave(v);
    gate_leave(v, STATE_OUTSIDE);
    signals_leave(v);
    engine_detach(v);
    count_exit(v, r == -EINTR ? KVM_EXIT_INTR : v->run->exit_reason);
    DUMP(v, DUMP_EXIT, "exit %d reason %u rip %016llx\n", r, v->run->exit_reason, (unsigned long long)v->rip);
    return r;
}
