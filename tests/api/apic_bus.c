/* apic_bus.c - KVM_CAP_X86_APIC_BUS_CYCLES_NS: the clock of local APICs' timers (api.rst 8.42) */
/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <time.h>

#include "tests/api/api.h"

enum { CYCLE_NS = 40, LEAST_NS = 20000000 };
enum { SVR = 0xf0, LVT_TIMER = 0x320, INITIAL = 0x380, CURRENT = 0x390, DIVIDE = 0x3e0 };

static void set_cycle(int vm, uint64_t ns, int error)
{
    struct kvm_enable_cap c = {.cap = KVM_CAP_X86_APIC_BUS_CYCLES_NS, .args = {ns}};

    if (error)
        CHECK_FAILS(vm, KVM_ENABLE_CAP, &c, error);
    else
        CHECK_OK(vm, KVM_ENABLE_CAP, &c);
}

static uint64_t now_ns(void)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000000000 + (uint64_t)t.tv_nsec;
}

static uint32_t *reg(struct kvm_lapic_state *s, unsigned offset)
{
    return (uint32_t *)(s->regs + offset);
}

/* A timer that is started, and looked at later: its count is between what must and what can have passed. */
static void counts(int vcpu)
{
    struct kvm_lapic_state s;

    CHECK_OK(vcpu, KVM_GET_LAPIC, &s);
    *reg(&s, SVR) = 0x1ff;
    *reg(&s, LVT_TIMER) = 1 << 16; /* masked, one-shot */
    *reg(&s, DIVIDE) = 0xb;        /* by 1 */
    *reg(&s, INITIAL) = *reg(&s, CURRENT) = UINT32_MAX;
    uint64_t before = now_ns();
    CHECK_OK(vcpu, KVM_SET_LAPIC, &s);
    uint64_t started = now_ns();
    while (now_ns() - started < LEAST_NS)
        ;
    CHECK_OK(vcpu, KVM_GET_LAPIC, &s);
    uint64_t most = (now_ns() - before) / CYCLE_NS + 1, passed = UINT32_MAX - *reg(&s, CURRENT);
    CHECK(passed >= LEAST_NS / CYCLE_NS);
    CHECK(passed <= most);
}

int main(int argc, char **argv)
{
    int kvm = api_start(argc, argv), vm = KVM(kvm, KVM_CREATE_VM, 0);

    if (!KVM(kvm, KVM_CHECK_EXTENSION, KVM_CAP_X86_APIC_BUS_CYCLES_NS)) {
        printf("this KVM has one clock only\n");
        return SKIPPED;
    }
    set_cycle(vm, 0, EINVAL);
    set_cycle(vm, UINT64_MAX / 1000000, EINVAL);
    set_cycle(vm, CYCLE_NS, ENXIO);
    CHECK_OK(vm, KVM_CREATE_IRQCHIP, 0);
    set_cycle(vm, CYCLE_NS, 0);
    int vcpu = KVM(vm, KVM_CREATE_VCPU, 0);
    set_cycle(vm, CYCLE_NS, EINVAL);
    counts(vcpu);
    return TEST_DONE();
}
