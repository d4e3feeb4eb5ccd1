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
    struct kvm_x86_mce e = {.status = VALID | 5, .addr = 0x1234, .bank = BANK};

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

int main(int argc, char **argv)
{
    struct machine m = machine_create(api_start(argc, argv), false, 4);
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
    return TEST_DONE();
}
