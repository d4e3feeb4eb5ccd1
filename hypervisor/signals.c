/* signals.c - signals of the program around us, which end KVM_RUN (api.rst 4.10) */
/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The kernel's KVM_RUN returns EINTR when a signal is to be handled. Here the handler runs in the middle of
 * guest code, and nothing tells that it did, unless by way of immediate_exit. So each handler that the
 * program has when a vcpu first runs is called through ours, which notes on the vcpu that one came. To the
 * program the two are alike: flags and mask are its own, and a disposition that it saves and puts back works
 * as before. The table is the process's, as dispositions are.
 */
#include <errno.h>
#include <pthread.h>
#include <signal.h>

#include "base/base.h"
#include "hypervisor/signals.h"
#include "hypervisor/translate/faults.h"

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER; /* one at a time replaces handlers */
static struct sigaction program[NSIG]; /* written before ours is installed, and constant then */

static void on_signal(int number, siginfo_t *info, void *context)
{
    const struct sigaction *a = &program[number];
    engine_signal_came();
    if (a->sa_flags & SA_SIGINFO)
        a->sa_sigaction(number, info, context);
    else
        a->sa_handler(number);
}

/* A signal that an instruction raises is not the run's end; of those faults.c takes care. */
static bool is_fault(int number)
{
    return number == SIGSEGV || number == SIGBUS || number == SIGFPE || number == SIGILL || number == SIGTRAP;
}

static void watch(int number)
{
    struct sigaction a;
    if (is_fault(number) || sigaction(number, NULL, &a) < 0)
        return;
    bool is_handler = (a.sa_flags & SA_SIGINFO) || (a.sa_handler != SIG_DFL && a.sa_handler != SIG_IGN);
    if (!is_handler || a.sa_sigaction == on_signal)
        return;
    program[number] = a;
    a.sa_sigaction = on_signal;
    a.sa_flags |= SA_SIGINFO;
    sigaction(number, &a, NULL);
}

void signals_watch(void)
{
    int error = errno;
    pthread_mutex_lock(&lock);
    for (int n = 1; n < NSIG; n++)
        watch(n);
    pthread_mutex_unlock(&lock);
    errno = error;
}
