/* cancel.c - pthread_cancel(3) of a thread that is cancelled wherever it is, and is in an ioctl of ours */
/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * glibc cancels such a thread by a signal of its own, whose handler unwinds the stack from where it finds it.
 * In the kernel's KVM_RUN that signal ends the ioctl first. Here it would find the thread in guest code, or
 * with the library's locks held. So our handler stands before glibc's: in an ioctl it ends KVM_RUN and leaves
 * the signal pending, which comes again where the ioctl returns to the program.
 */
#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdint.h>
#include <sys/syscall.h>
#include <ucontext.h>
#include <unistd.h>

#include "hypervisor/shim/preload/preload.h"
#include "lodge/kvm.h"

enum { SIGCANCEL = 32 }; /* of glibc; its functions for signals refuse it */
#define CANCEL_BIT (UINT64_C(1) << (SIGCANCEL - 1))

struct kernel_sigaction { /* of rt_sigaction(2) on x86-64 */
    void (*handler)(int number, siginfo_t *info, void *context);
    unsigned long flags;
    void (*restorer)(void);
    uint64_t mask;
};

static struct kernel_sigaction glibcs;
static __thread struct {
    volatile bool inside, held;
} thread __attribute__((tls_model("initial-exec")));

static long change(const struct kernel_sigaction *a, struct kernel_sigaction *old)
{
    return NEXT(syscall)(SYS_rt_sigaction, SIGCANCEL, a, old, sizeof(a->mask));
}

static void on_cancel(int number, siginfo_t *info, void *context)
{
    ucontext_t *c = context;
    int e = errno;

    if (!thread.inside) {
        glibcs.handler(number, info, context);
        return;
    }
    thread.held = true;
    c->uc_sigmask.__val[0] |= CANCEL_BIT;
    NEXT(syscall)(SYS_rt_tgsigqueueinfo, getpid(), gettid(), SIGCANCEL, info);
    lodge_kvm_interrupt();
    errno = e;
}

static void *cancelled(void *unused)
{
    pause();
    return unused;
}

/* glibc installs its handler with the first thread that is cancelled: that is one of ours. */
static void take_handler(void)
{
    struct kernel_sigaction ours;
    pthread_t t;

    if (pthread_create(&t, NULL, cancelled, NULL))
        return;
    NEXT(pthread_cancel)(t);
    pthread_join(t, NULL);
    if (change(NULL, &glibcs) || !(glibcs.flags & SA_SIGINFO))
        return;
    ours = glibcs;
    ours.handler = on_cancel;
    change(&ours, NULL);
}

EXPORT int pthread_cancel(pthread_t t)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;

    pthread_once(&once, take_handler);
    return NEXT(pthread_cancel)(t);
}

bool cancel_hold(void)
{
    bool outer = !thread.inside;

    thread.inside = true;
    return outer;
}

void cancel_release(bool outer)
{
    uint64_t mask = CANCEL_BIT;

    if (!outer)
        return;
    thread.inside = false;
    if (!thread.held)
        return;
    thread.held = false;
    NEXT(syscall)(SYS_rt_sigprocmask, SIG_UNBLOCK, &mask, NULL, sizeof(mask));
}
