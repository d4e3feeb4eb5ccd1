/* steal_time.c - MSR_KVM_STEAL_TIME: what the guest is told of time that its thread waited for a processor
 * (Documentation/virt/kvm/x86/msr.rst) */
/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <linux/kvm_para.h>
#include <pthread.h>
#include <sched.h>

#include "tests/api/api.h"

enum { CODE = 0x1000, PAGE_AT = 0x3000, RAM_PAGES = 16, LEAST_NS = 2000000 };

static struct machine m;
static volatile bool stop;

static uint64_t thread_waited(void)
{
    unsigned long long ran, waited = 0;
    FILE *f = fopen("/proc/thread-self/schedstat", "r");

    if (!f || fscanf(f, "%llu %llu", &ran, &waited) != 2)
        waited = 0;
    if (f)
        fclose(f);
    return waited;
}

static void *spin(void *unused)
{
    while (!stop)
        ;
    return unused;
}

/* The thread waits, outside of KVM_RUN, for another one on the same processor. */
static uint64_t wait_a_while(void)
{
    uint64_t before = thread_waited();
    pthread_t t;

    stop = false;
    if (pthread_create(&t, NULL, spin, NULL))
        return 0;
    for (unsigned i = 0; i < 1000000 && thread_waited() - before < LEAST_NS; i++)
        sched_yield();
    stop = true;
    pthread_join(t, NULL);
    return thread_waited() - before;
}

static void run(void)
{
    m.ram[CODE] = 0xf4;
    enter_protected_mode(&m, CODE);
    CHECK_OK(m.vcpu, KVM_RUN, 0);
    CHECK_EQ(m.run->exit_reason, KVM_EXIT_HLT);
}

int main(int argc, char **argv)
{
    int kvm = api_start(argc, argv);
    volatile struct kvm_steal_time *page;
    union msrs on = {.head.nmsrs = 1};
    cpu_set_t one;

    CPU_ZERO(&one);
    CPU_SET(sched_getcpu(), &one);
    sched_setaffinity(0, sizeof(one), &one);
    m = machine_create(kvm, false, RAM_PAGES);
    set_supported_cpuid(kvm, m.vcpu);
    page = (void *)(m.ram + PAGE_AT);
    on.head.entries[0] = (struct kvm_msr_entry){.index = MSR_KVM_STEAL_TIME, .data = PAGE_AT | 1};
    if (KVM(m.vcpu, KVM_SET_MSRS, &on) != 1) {
        printf("this KVM has no steal time\n");
        return SKIPPED;
    }
    run();
    uint32_t version = page->version;
    CHECK(version && version % 2 == 0);
    run();
    CHECK(page->version > version && page->version % 2 == 0);
    uint64_t stolen = page->steal, waited = wait_a_while();
    CHECK(waited >= LEAST_NS || !thread_waited());
    run();
    CHECK(page->steal - stolen >= waited);
    CHECK(page->steal <= thread_waited());
    return TEST_DONE();
}
