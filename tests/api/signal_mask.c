/* signal_mask.c - KVM_SET_SIGNAL_MASK: signals that end KVM_RUN and stay pending (api.rst 4.17) */
/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <pthread.h>
#include <signal.h>
#include <time.h>

#include "tests/api/api.h"

enum { CODE = 0x1000, RAM_PAGES = 16 };

static struct machine m;
static volatile int handled;

static void on_signal(int number)
{
    handled = number;
}

static uint64_t bit(int number)
{
    return 1ull << (number - 1);
}

/* Those that are given are let through, and all others held back but for faults: not every KVM is a kernel.
 */
static void let_through(int a, int b)
{
    union {
        struct kvm_signal_mask head;
        uint8_t room[sizeof(struct kvm_signal_mask) + 8];
    } mask = {.head.len = 8};
    uint64_t bits =
        ~(bit(a) | bit(b) | bit(SIGSEGV) | bit(SIGBUS) | bit(SIGILL) | bit(SIGFPE) | bit(SIGTRAP));

    memcpy(mask.head.sigset, &bits, sizeof(bits));
    CHECK_OK(m.vcpu, KVM_SET_SIGNAL_MASK, &mask);
}

static bool is_pending(int number)
{
    sigset_t s;

    sigpending(&s);
    return sigismember(&s, number);
}

static void take(int number)
{
    sigset_t s;

    sigemptyset(&s);
    sigaddset(&s, number);
    CHECK_EQ(sigtimedwait(&s, NULL, &(struct timespec){0}), number);
}

struct sender {
    pthread_t to;
    int first, number; /* first: 0 for none */
};

static void *send_soon(void *sender)
{
    const struct sender *s = sender;

    nanosleep(&(struct timespec){.tv_nsec = 20000000}, NULL);
    if (s->first)
        pthread_kill(s->to, s->first);
    pthread_kill(s->to, s->number);
    return NULL;
}

/* Into an endless loop of the guest, that the second of two signals ends. */
static void run_until(int first, int number)
{
    struct sender s = {pthread_self(), first, number};
    pthread_t other;

    enter_protected_mode(&m, CODE);
    pthread_create(&other, NULL, send_soon, &s);
    CHECK_FAILS(m.vcpu, KVM_RUN, 0, EINTR);
    pthread_join(other, NULL);
    CHECK_EQ(m.run->exit_reason, KVM_EXIT_INTR);
}

static void stays_pending(int number)
{
    run_until(0, number);
    CHECK_EQ(handled, 0);
    CHECK(is_pending(number));
    CHECK_FAILS(m.vcpu, KVM_RUN, 0, EINTR); /* at once */
    CHECK(is_pending(number));
    take(number);
    CHECK(!is_pending(number));
}

/* One that the thread has not blocked is held back in KVM_RUN, and handled after it. */
static void held_back(void)
{
    run_until(SIGALRM, SIGUSR1);
    CHECK(is_pending(SIGUSR1));
    CHECK_EQ(handled, SIGALRM);
    take(SIGUSR1);
    handled = 0;
}

static void refused(void)
{
    struct kvm_signal_mask head = {.len = 4};

    CHECK_FAILS(m.vcpu, KVM_SET_SIGNAL_MASK, &head, EINVAL);
    head.len = 128;
    CHECK_FAILS(m.vcpu, KVM_SET_SIGNAL_MASK, &head, EINVAL);
    CHECK_FAILS(m.vcpu, KVM_SET_SIGNAL_MASK, 8, EFAULT);
}

int main(int argc, char **argv)
{
    static const uint8_t forever[] = {0xeb, 0xfe};
    int kvm = api_start(argc, argv);
    sigset_t blocked;

    m = machine_create(kvm, false, RAM_PAGES);
    memcpy(m.ram + CODE, forever, sizeof(forever));
    signal(SIGUSR1, on_signal);
    signal(SIGALRM, on_signal);
    sigemptyset(&blocked);
    sigaddset(&blocked, SIGUSR1);
    sigaddset(&blocked, SIGUSR2); /* which has no handler, and would end the process */
    pthread_sigmask(SIG_BLOCK, &blocked, NULL);
    refused();
    let_through(SIGUSR1, SIGUSR2);
    stays_pending(SIGUSR1);
    stays_pending(SIGUSR2);
    stays_pending(SIGUSR1);
    held_back();
    CHECK_OK(m.vcpu, KVM_SET_SIGNAL_MASK, 0);
    raise(SIGUSR1); /* blocked, and without a mask it does not end KVM_RUN */
    run_until(0, SIGALRM);
    CHECK_EQ(handled, SIGALRM);
    CHECK(is_pending(SIGUSR1));
    return TEST_DONE();
}
