/* set_mce.c - KVM_X86_SET_MCE: machine checks from user space (api.rst 4.105) */
/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "tests/api/api.h"

#define VALID       (1ull << 63)
#define OVERFLOW    (1ull << 62)
#define UNCORRECTED (1ull << 61)
enum { BANK = 1, MC1_STATUS = 0x405, MC1_ADDR = 0x406 };

static uint64_t msr(int vcpu, uint32_t index)
{
    union msrs m = {.head.nmsrs = 1};

    m.head.entries[0].index = index;
    CHECK_RETURNS(vcpu, KVM_GET_MSRS, &m, 1);
    return m.head.entries[0].data;
}

static void corrected(int vcpu)
{
    struct kvm_x86_mce e = {.status = VALID | 5, .addr = 0x1234, .mcg_status = 1, .bank = BANK};

    CHECK_OK(vcpu, KVM_X86_SET_MCE, &e);
    CHECK_EQ(msr(vcpu, MC1_STATUS), VALID | 5);
    CHECK_EQ(msr(vcpu, MC1_ADDR), 0x1234);
    e.status = VALID | 6;
    CHECK_OK(vcpu, KVM_X86_SET_MCE, &e);
    CHECK_EQ(msr(vcpu, MC1_STATUS), VALID | OVERFLOW | 6);
}

/* Without CR4.MCE the processor shuts down. */
static void uncorrected(const struct machine *m)
{
    struct kvm_x86_mce e = {.status = VALID | UNCORRECTED, .mcg_status = 5, .bank = BANK};

    enter_protected_mode(m, 0x1000);
    CHECK_OK(m->vcpu, KVM_X86_SET_MCE, &e);
    CHECK_OK(m->vcpu, KVM_RUN, 0);
    CHECK_EQ(m->run->exit_reason, KVM_EXIT_SHUTDOWN);
}

/* An error that asks for no action interrupts, where the bank and the local APIC let it. */
static void interrupting(int kvm)
{
    enum { CMCI = 1 << 10, MC1_CTL2 = 0x281, VECTOR = 0x51, LVT_CMCI = 0x2f0, SVR = 0xf0 };
    enum { IRR = 0x200 + VECTOR / 32 * 16, VERSION = 0x30 };
    struct machine m = machine_create(kvm, true, 4);
    struct kvm_x86_mce e = {.status = VALID | UNCORRECTED, .addr = 0x1000, .bank = BANK};
    struct kvm_lapic_state s;
    union msrs on = {.head.nmsrs = 1};
    uint64_t cap = 10, supported;

    on.head.entries[0] = (struct kvm_msr_entry){.index = MC1_CTL2, .data = 1 << 30};
    CHECK_OK(kvm, KVM_X86_GET_MCE_CAP_SUPPORTED, &supported);
    if (!(supported & CMCI))
        return;
    CHECK_OK(m.vcpu, KVM_X86_SETUP_MCE, &cap);
    CHECK_RETURNS(m.vcpu, KVM_SET_MSRS, &on, 0);
    cap |= CMCI;
    CHECK_OK(m.vcpu, KVM_X86_SETUP_MCE, &cap);
    CHECK_OK(m.vcpu, KVM_GET_LAPIC, &s);
    CHECK_EQ(s.regs[VERSION + 2], 6);
    CHECK_EQ(s.regs[LVT_CMCI + 2], 1); /* masked */
    *(uint32_t *)(s.regs + SVR) = 0x1ff;
    *(uint32_t *)(s.regs + LVT_CMCI) = VECTOR;
    CHECK_OK(m.vcpu, KVM_SET_LAPIC, &s);
    for (unsigned want = 0; want < 2; want++) {
        CHECK_OK(m.vcpu, KVM_X86_SET_MCE, &e);
        CHECK_EQ(msr(m.vcpu, MC1_ADDR), 0x1000);
        CHECK_OK(m.vcpu, KVM_GET_LAPIC, &s);
        CHECK_EQ(*(uint32_t *)(s.regs + IRR) >> VECTOR % 32 & 1, want);
        CHECK_RETURNS(m.vcpu, KVM_SET_MSRS, &on, 1);
    }
    on.head.entries[0].data = 1 << 29;
    CHECK_RETURNS(m.vcpu, KVM_SET_MSRS, &on, 0);
}

int main(int argc, char **argv)
{
    int kvm = api_start(argc, argv);
    struct machine m = machine_create(kvm, false, 4);
    struct kvm_x86_mce e = {.status = VALID, .bank = BANK};
    uint64_t banks = 10;

    CHECK_OK(m.vcpu, KVM_X86_SETUP_MCE, &banks);
    CHECK_FAILS(m.vcpu, KVM_X86_SET_MCE, 8, EFAULT);
    e.bank = 10;
    CHECK_FAILS(m.vcpu, KVM_X86_SET_MCE, &e, EINVAL);
    e = (struct kvm_x86_mce){.bank = BANK};
    CHECK_FAILS(m.vcpu, KVM_X86_SET_MCE, &e, EINVAL);
    corrected(m.vcpu);
    uncorrected(&m);
    interrupting(kvm);
    return TEST_DONE();
}
