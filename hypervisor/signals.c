/* signals.c - signals of the program around us, which end KVM_RUN (api.rst 4.10) */
/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The kernel's KVM_RUN returns EINTR when a signal is to be handled. Here the handler runs in the middle of
 * guest code, and nothing tells that it did, unless by way of immediate_exit. So each handler of the program
 * is called through ours, which notes on the vcpu that one came: those that are there when a vcpu first runs,
 * and those that lodge_kvm_sigaction installs later. The faults that guest code raises (faults.c) are ours
 * from the first VM on. To the program all is as if its own were installed: flags and mask are its own, and a
 * disposition that it saves and puts back works as before. The table is the process's, as dispositions are.
 *
 * A mask that KVM_SET_SIGNAL_MASK has set is the thread's in KVM_RUN. A signal that it lets through and the
 * thread's own mask does not is not for the handler: it ends KVM_RUN and is pending then. So our handler
 * blocks it, and sends it once more.
 */
#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <sys/syscall.h>
#include <ucontext.h>
#include <unistd.h>

#include "base/base.h"
#include "hypervisor/sigaction.h"
#include "hypervisor/signals.h"
#include "hypervisor/translate/faults.h"
#include "lodge/kvm.h"

typedef void signal_handler(int number, siginfo_t *info, void *context);

/* What the program wants of a signal. A change goes to the other half of the row, as a handler may just then
 * be reading. */
static struct {
    struct sigaction action[2];
    _Atomic u8 current;
    signal_handler *ours; /* is installed instead; NULL: the program's own */
} program[NSIG];
static pthread_mutex_t lock =
    PTHREAD_MUTEX_INITIALIZER; /* one at a time changes rows, with signals blocked */
static bool watching;          /* a vcpu has run */

static const struct sigaction *wanted(int number)
{
    return &program[number].action[atomic_load(&program[number].current)];
}

static void want(int number, const struct sigaction *a)
{
    u8 other = !atomic_load(&program[number].current);
    program[number].action[other] = *a;
    atomic_store(&program[number].current, other);
}

static bool has_handler(const struct sigaction *a)
{
    return (a->sa_flags & SA_SIGINFO) || (a->sa_handler != SIG_DFL && a->sa_handler != SIG_IGN);
}

static u64 bit_of(int number)
{
    return BIT(number - 1); /* as the kernel's sigset has it */
}

static u64 mask_change(int how, u64 mask)
{
    u64 old = 0;
    syscall(SYS_rt_sigprocmask, how, &mask, &old, sizeof(mask));
    return old;
}

static void keep_pending(int number, siginfo_t *info, ucontext_t *context)
{
    mask_change(SIG_BLOCK, bit_of(number));
    sigaddset(&context->uc_sigmask, number);
    syscall(SYS_rt_tgsigqueueinfo, getpid(), (pid_t)syscall(SYS_gettid), number, info);
}

/* The program has no handler. */
static void default_action(int number)
{
    struct sigaction a = {.sa_handler = SIG_DFL};
    __sigaction(number, &a, NULL);
    syscall(SYS_tgkill, getpid(), (pid_t)syscall(SYS_gettid), number);
    mask_change(SIG_UNBLOCK, bit_of(number));
}

void signals_pass_on(int number, siginfo_t *info, void *context)
{
    struct sigaction a = *wanted(number);
    if (a.sa_flags & SA_RESETHAND)
        want(number, &(struct sigaction){.sa_handler = SIG_DFL});
    if (a.sa_flags & SA_SIGINFO)
        a.sa_sigaction(number, info, context);
    else if (a.sa_handler == SIG_DFL)
        default_action(number);
    else if (a.sa_handler != SIG_IGN)
        a.sa_handler(number);
}

static void on_signal(int number, siginfo_t *info, void *context)
{
    struct vcpu *v = engine_signal_came();
    if (v && (v->held_signals & bit_of(number)))
        keep_pending(number, info, context);
    else
        signals_pass_on(number, info, context);
}

/* ---- faults: ours has flags of its own, and does what the kernel would do by the program's ---- */

void signals_pass_fault(int number, siginfo_t *info, void *context)
{
    const struct sigaction *a = wanted(number);
    u64 mask;
    __builtin_memcpy(&mask, &a->sa_mask, sizeof(mask));
    if (!has_handler(a) && info->si_code > 0) /* raised by an instruction: it cannot be ignored */
        default_action(number);
    if (has_handler(a))
        mask_change(SIG_BLOCK, a->sa_flags & SA_NODEFER ? mask : mask | bit_of(number));
    signals_pass_on(number, info, context);
}

void signals_take_fault(int number, signal_handler *ours)
{
    struct sigaction a = {.sa_sigaction = ours, .sa_flags = SA_SIGINFO | SA_ONSTACK | SA_NODEFER}, old;
    if (__sigaction(number, NULL, &old) < 0)
        return;
    want(number, &old);
    program[number].ours = ours;
    __sigaction(number, &a, NULL);
}

/* A signal that an instruction raises is not the run's end; of those faults.c takes care. */
static bool is_fault(int number)
{
    return number == SIGSEGV || number == SIGBUS || number == SIGFPE || number == SIGILL || number == SIGTRAP;
}

static bool is_ignored_by_default(int number)
{
    return number == SIGCHLD || number == SIGURG || number == SIGWINCH || number == SIGCONT;
}

/* Ours, in the form that the program wants of its own. */
static int watch_as(int number, const struct sigaction *a, int more_flags)
{
    struct sigaction ours = *a;
    ours.sa_sigaction = on_signal;
    ours.sa_flags |= SA_SIGINFO | more_flags;
    want(number, a);
    program[number].ours = on_signal;
    return __sigaction(number, &ours, NULL);
}

/* held: the default action too is to wait. */
static void watch(int number, bool held)
{
    struct sigaction a;
    if (is_fault(number) || __sigaction(number, NULL, &a) < 0 || a.sa_sigaction == on_signal)
        return;
    if (has_handler(&a))
        watch_as(number, &a, 0);
    else if (held && a.sa_handler == SIG_DFL && !is_ignored_by_default(number))
        watch_as(number, &a, SA_RESTART);
}

static u64 lock_rows(void)
{
    u64 mask = mask_change(SIG_BLOCK, ~0ull); /* a handler may install another */
    pthread_mutex_lock(&lock);
    return mask;
}

static void unlock_rows(u64 mask)
{
    pthread_mutex_unlock(&lock);
    mask_change(SIG_SETMASK, mask);
}

static void watch_all(u64 held)
{
    int error = errno;
    u64 mask = lock_rows();
    watching = true;
    for (int n = 1; n < NSIG; n++)
        watch(n, held & bit_of(n));
    unlock_rows(mask);
    errno = error;
}

void signals_watch(void)
{
    watch_all(0);
}

/* Another handler, or none, instead of the program's that ours stands before. */
static int replace(int number, const struct sigaction *a)
{
    if (is_fault(number)) {
        want(number, a);
        return 0;
    }
    if (has_handler(a))
        return watch_as(number, a, 0);
    program[number].ours = NULL;
    return __sigaction(number, a, NULL);
}

static int change(int number, const struct sigaction *a, struct sigaction *old)
{
    struct sigaction was;
    bool served = program[number].ours || (watching && !is_fault(number));
    if (!served)
        return __sigaction(number, a, old);
    if (__sigaction(number, NULL, &was) < 0)
        return -1;
    if (program[number].ours && was.sa_sigaction == program[number].ours)
        was = *wanted(number);
    int r = a ? replace(number, a) : 0;
    if (r == 0 && old)
        *old = was;
    return r;
}

__attribute__((visibility("default"))) int lodge_kvm_sigaction(int number, const struct sigaction *action,
                                                               struct sigaction *old)
{
    if (number <= 0 || number >= NSIG)
        return __sigaction(number, action, old);
    struct sigaction copy, was;
    if (action)
        copy = *action; /* a bad pointer faults before anything is held */
    u64 mask = lock_rows();
    int r = change(number, action ? &copy : NULL, &was), error = errno;
    unlock_rows(mask);
    errno = error;
    if (r == 0 && old)
        *old = was;
    return r;
}

__attribute__((visibility("default"))) void lodge_kvm_interrupt(void)
{
    engine_signal_came();
}

void signals_set_mask(struct vcpu *v, const u64 *mask)
{
    v->has_signal_mask = mask;
    if (!mask)
        return;
    v->signal_mask = *mask;
    watch_all(mask_change(SIG_BLOCK, 0) & ~*mask);
}

void signals_enter(struct vcpu *v)
{
    if (!v->has_signal_mask)
        return;
    u64 own = mask_change(SIG_BLOCK, 0);
    v->own_signal_mask = own;
    v->held_signals = own & ~v->signal_mask;
    mask_change(SIG_SETMASK, v->signal_mask);
}

void signals_leave(struct vcpu *v)
{
    if (v->has_signal_mask)
        mask_change(SIG_SETMASK, v->own_signal_mask);
    v->held_signals = 0;
}
