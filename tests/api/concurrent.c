/* concurrent.c - a vcpu runs while other threads change memory, interrupt it, ask for it, and let go of it */
/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>

#include "tests/api/api.h"

enum { CODE = 0x1000, COUNTER = 0x2000, HOLE = 0x100000, STACK = 16 };

static struct machine m;
static _Atomic int run_result, run_errno;
static __thread struct kvm_run *own_run;

static void on_kick(int signal)
{
    (void)signal;
    if (own_run)
        own_run->immediate_exit = 1;
}

static void *run_vcpu(void *argument)
{
    (void)argument;
    own_run = m.run;
    m.run->immediate_exit = 0;
    run_result = KVM(m.vcpu, KVM_RUN, 0);
    run_errno = errno;
    return NULL;
}

static volatile uint32_t *counter(void)
{
    return (volatile uint32_t *)(m.ram + COUNTER);
}

/* Whether the guest goes on counting within some seconds. */
static bool counts(void)
{
    uint32_t before = *counter();

    for (unsigned i = 0; i < 5000 && *counter() == before; i++)
        usleep(1000);
    return *counter() != before;
}

static pthread_t start_counting(void)
{
    static const uint8_t code[] = {0xff, 0x05, 0x00, 0x20, 0x00, 0x00, /* inc dword [COUNTER] */
                                   0xeb, 0xf8};                        /* jmp back */
    pthread_t thread;

    memcpy(m.ram + CODE, code, sizeof(code));
    enter_protected_mode(&m, CODE);
    pthread_create(&thread, NULL, run_vcpu, NULL);
    CHECK(counts());
    return thread;
}

static void kick(pthread_t thread)
{
    pthread_kill(thread, SIGUSR1);
    pthread_join(thread, NULL);
    CHECK_EQ(run_result, -1);
    CHECK_EQ(run_errno, EINTR);
}

static void memory_changes(void)
{
    uint64_t bitmap[1];
    struct kvm_dirty_log log = {.slot = 0, .dirty_bitmap = bitmap};
    void *other = pages(4);

    CHECK_EQ(set_region(m.vm, 0, KVM_MEM_LOG_DIRTY_PAGES, 0, STACK * PAGE, m.ram), 0);
    for (unsigned i = 0; i < 100; i++) {
        CHECK_EQ(set_region(m.vm, 1, 0, HOLE, 4 * PAGE, other), 0);
        CHECK_EQ(set_region(m.vm, 1, 0, HOLE + 8 * PAGE, 4 * PAGE, other), 0);
        CHECK_EQ(set_region(m.vm, 1, 0, 0, 0, NULL), 0);
        CHECK_OK(m.vm, KVM_GET_DIRTY_LOG, &log);
    }
    CHECK(counts());
    CHECK_OK(m.vm, KVM_GET_DIRTY_LOG, &log);
    CHECK_EQ(bitmap[0], 1 << COUNTER / PAGE);
    CHECK_EQ(set_region(m.vm, 0, 0, 0, STACK * PAGE, m.ram), 0);
}

static _Atomic bool answered;

static void *ask_registers(void *argument)
{
    struct kvm_regs *regs = argument;

    CHECK_OK(m.vcpu, KVM_GET_REGS, regs);
    answered = true;
    return NULL;
}

/* An ioctl on a vcpu waits until it has left KVM_RUN (api.rst 1: one at a time). */
static void ioctl_waits(pthread_t running)
{
    struct kvm_regs regs = {0};
    pthread_t asking;

    pthread_create(&asking, NULL, ask_registers, &regs);
    usleep(50000);
    CHECK(!answered);
    kick(running);
    pthread_join(asking, NULL);
    CHECK(answered);
    CHECK(regs.rip == CODE || regs.rip == CODE + 6);
}

/* Descriptors go away under a running vcpu: it runs on until it leaves. */
static void closed_while_running(void)
{
    pthread_t running = start_counting();

    CHECK_EQ(kvm_close(m.vm), 0);
    CHECK_EQ(kvm_close(m.vcpu), 0);
    CHECK(counts());
    kick(running);
}

int main(int argc, char **argv)
{
    struct sigaction action = {.sa_handler = on_kick};

    sigaction(SIGUSR1, &action, NULL);
    m = machine_create(api_start(argc, argv), false, STACK);
    pthread_t running = start_counting();
    memory_changes();
    ioctl_waits(running);
    closed_while_running();
    return TEST_DONE();
}
