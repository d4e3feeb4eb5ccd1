/* clock.c - KVM_GET/SET_CLOCK and the TSC's frequency (api.rst 4.29, 4.30, 4.55) */
/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <time.h>

#include "tests/api/api.h"

#define SECOND 1000000000ull

static void clock_goes(int vm)
{
    struct kvm_clock_data a, b;

    CHECK_OK(vm, KVM_GET_CLOCK, &a);
    CHECK(a.clock < 60 * SECOND); /* starts with the VM */
    nanosleep(&(struct timespec){.tv_nsec = 20000000}, NULL);
    CHECK_OK(vm, KVM_GET_CLOCK, &b);
    CHECK(b.clock - a.clock >= 19000000 && b.clock - a.clock < SECOND);
}

static void clock_is_set(int vm)
{
    struct kvm_clock_data c = {.clock = 5000 * SECOND};

    CHECK_OK(vm, KVM_SET_CLOCK, &c);
    CHECK_OK(vm, KVM_GET_CLOCK, &c);
    CHECK(c.clock >= 5000 * SECOND && c.clock < 5001 * SECOND);
    c = (struct kvm_clock_data){.clock = 10 * SECOND}; /* back is allowed: a snapshot is restored */
    CHECK_OK(vm, KVM_SET_CLOCK, &c);
    CHECK_OK(vm, KVM_GET_CLOCK, &c);
    CHECK(c.clock >= 10 * SECOND && c.clock < 11 * SECOND);
    c.flags = 1u << 31;
    CHECK_FAILS(vm, KVM_SET_CLOCK, &c, EINVAL);
}

/* With the real time at which it was read, a clock is brought to where it would be now. */
static void clock_catches_up(int kvm, int vm)
{
    struct timespec now;
    struct kvm_clock_data c;

    if (!(KVM(kvm, KVM_CHECK_EXTENSION, KVM_CAP_ADJUST_CLOCK) & KVM_CLOCK_REALTIME))
        return;
    clock_gettime(CLOCK_REALTIME, &now);
    uint64_t real = (uint64_t)now.tv_sec * SECOND;
    c = (struct kvm_clock_data){
        .clock = 1000 * SECOND, .flags = KVM_CLOCK_REALTIME, .realtime = real - 500 * SECOND};
    CHECK_OK(vm, KVM_SET_CLOCK, &c);
    CHECK_OK(vm, KVM_GET_CLOCK, &c);
    CHECK(c.clock >= 1500 * SECOND && c.clock < 1510 * SECOND);
    c = (struct kvm_clock_data){
        .clock = 1000 * SECOND, .flags = KVM_CLOCK_REALTIME, .realtime = real + 500 * SECOND};
    CHECK_OK(vm, KVM_SET_CLOCK, &c); /* never back */
    CHECK_OK(vm, KVM_GET_CLOCK, &c);
    CHECK(c.clock >= 1000 * SECOND && c.clock < 1010 * SECOND);
}

static uint64_t tsc(int vcpu)
{
    union msrs m = {.head = {.nmsrs = 1}};

    m.head.entries[0].index = 0x10; /* IA32_TSC */
    CHECK_RETURNS(vcpu, KVM_GET_MSRS, &m, 1);
    return m.head.entries[0].data;
}

static uint64_t host_tsc(void)
{
    return __builtin_ia32_rdtsc();
}

/* Guest ticks for each thousand of the host's. */
static uint64_t tsc_rate(int vcpu)
{
    uint64_t guest = tsc(vcpu), host = host_tsc();

    nanosleep(&(struct timespec){.tv_nsec = 50000000}, NULL);
    return (tsc(vcpu) - guest) * 1000 / (host_tsc() - host);
}

static void scaled(int kvm, int vm, int vcpu)
{
    int khz = KVM(vcpu, KVM_GET_TSC_KHZ, 0);

    if (!KVM(kvm, KVM_CHECK_EXTENSION, KVM_CAP_TSC_CONTROL)) {
        CHECK_FAILS(vcpu, KVM_SET_TSC_KHZ, khz / 2, EINVAL);
        return;
    }
    CHECK_OK(vcpu, KVM_SET_TSC_KHZ, khz / 2);
    CHECK_EQ(KVM(vcpu, KVM_GET_TSC_KHZ, 0), khz / 2);
    uint64_t half = tsc_rate(vcpu);
    CHECK(half > 450 && half < 550);
    CHECK_OK(vcpu, KVM_SET_TSC_KHZ, khz + khz / 4);
    uint64_t more = tsc_rate(vcpu);
    CHECK(more > 1200 && more < 1300);
    CHECK_FAILS(vcpu, KVM_SET_TSC_KHZ, 0xffffffff, EINVAL);
    CHECK_OK(vcpu, KVM_SET_TSC_KHZ, 0);
    CHECK_EQ(KVM(vcpu, KVM_GET_TSC_KHZ, 0), khz);

    CHECK_FAILS(vm, KVM_SET_TSC_KHZ, khz / 2, EINVAL); /* it has a vcpu */
    int other = KVM(kvm, KVM_CREATE_VM, 0);
    CHECK_OK(other, KVM_SET_TSC_KHZ, khz / 2);
    CHECK_EQ(KVM(other, KVM_GET_TSC_KHZ, 0), khz / 2);
    CHECK_EQ(KVM(KVM(other, KVM_CREATE_VCPU, 0), KVM_GET_TSC_KHZ, 0), khz / 2);
}

static void frequency(int vm, int vcpu)
{
    int khz = KVM(vcpu, KVM_GET_TSC_KHZ, 0);

    CHECK(khz > 100000);
    CHECK(KVM(vm, KVM_GET_TSC_KHZ, 0) > 100000);
    CHECK_OK(vcpu, KVM_SET_TSC_KHZ, 0);
    CHECK_OK(vcpu, KVM_SET_TSC_KHZ, khz);
    CHECK_OK(vcpu, KVM_SET_TSC_KHZ, khz + khz / 10000);
    CHECK(KVM(vcpu, KVM_GET_TSC_KHZ, 0) >=
          khz); /* the measured or the wanted one: they are as good as equal */
    CHECK_FAILS(vcpu, KVM_KVMCLOCK_CTRL, 0, EINVAL); /* the guest has no clock page */
}

int main(int argc, char **argv)
{
    int kvm = api_start(argc, argv);
    struct machine m = machine_create(kvm, true, 1);

    clock_goes(m.vm);
    clock_is_set(m.vm);
    clock_catches_up(kvm, m.vm);
    frequency(m.vm, m.vcpu);
    scaled(kvm, m.vm, m.vcpu);
    return TEST_DONE();
}
