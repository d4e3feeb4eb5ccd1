/* signals.c - signals of the program around us, which end KVM_RUN (api.rst 4.10) */
/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The kernel's KVM_RUN returns EINTR when a signal is to be handled. Here the handler runs in the middle of
 * guest code, and nothing tells that it did, unless by way of immediate_exit. So each handler that the
 * program has when a vcpu first runs is called through ours, which notes on the vcpu that one came. To the
 * program the two are alike: flags and mask are its own, and a disposition that it saves and puts back works
 * as before. The table is the process's, as dispositions are.
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
#include "hypervisor/signals.h"
#include "hypervisor/translate/faults.h"

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER; /* one at a time replaces handlers */
static struct sigaction program[NSIG]; /* written before ours is installed, and constant then */

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

/* The program has no handler; ours is there for a mask's sake. */
static void default_action(int number)
{
    signal(number, SIG_DFL);
    syscall(SYS_tgkill, getpid(), (pid_t)syscall(SYS_gettid), number);
    mask_change(SIG_UNBLOCK, bit_of(number));
}

static void on_signal(int number, siginfo_t *info, void *context)
{
    const struct sigaction *a = &program[number];
    struct vcpu *v = engine_signal_came();
    if (v && (v->held_signals & bit_of(number)))
        keep_pending(number, info, context);
    else if (a->sa_flags & SA_SIGINFO)
        a->sa_sigaction(number, info, context);
    else if (a->sa_handler != SIG_DFL)
        a->sa_handler(number);
    else
        default_action(number);
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

/* held: the default action too is to wait. */
static void watch(int number, bool held)
{
    struct sigaction a;
    if (is_fault(number) || sigaction(number, NULL, &a) < 0)
        return;
    bool is_handler = (a.sa_flags & SA_SIGINFO) || (a.sa_handler != SIG_DFL && a.sa_handler != SIG_IGN);
    bool is_default = !is_handler && a.sa_handler == SIG_DFL && !is_ignored_by_default(number);
    if (!(is_handler || (is_default && held)) || a.sa_sigaction == on_signal)
        return;
    program[number] = a;
    a.sa_sigaction = on_signal;
    a.sa_flags |= SA_SIGINFO | (is_default ? SA_RESTART : 0);
    sigaction(number, &a, NULL);
}

static void watch_all(u64 held)
{
    int error = errno;
    pthread_mutex_lock(&lock);
    for (int n = 1; n < NSIG; n++)
        watch(n, held & bit_of(n));
    pthread_mutex_unlock(&lock);
    errno = error;
}

void signals_watch(void)
{
    watch_all(0);
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
