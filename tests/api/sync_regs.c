/* sync_regs.c - registers in kvm_run: KVM_CAP_SYNC_REGS (api.rst, kvm_valid_regs and kvm_dirty_regs) */
/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "tests/api/api.h"

enum { CODE = 0x1000, RAM_PAGES = 16 };
enum { ALL = KVM_SYNC_X86_REGS | KVM_SYNC_X86_SREGS | KVM_SYNC_X86_EVENTS };

static struct machine m;

static void refused(void)
{
    m.run->kvm_valid_regs = 1u << 30;
    CHECK_FAILS(m.vcpu, KVM_RUN, 0, EINVAL);
    m.run->kvm_valid_regs = ALL + 1;
    CHECK_FAILS(m.vcpu, KVM_RUN, 0, EINVAL);
    m.run->kvm_valid_regs = 0;
    m.run->kvm_dirty_regs = 1u << 30;
    CHECK_FAILS(m.vcpu, KVM_RUN, 0, EINVAL);
    m.run->kvm_dirty_regs = 0;
}

static void handed_out(void)
{
    struct kvm_regs regs;
    struct kvm_sregs sregs;
    struct kvm_vcpu_events events;

    enter_protected_mode(&m, CODE);
    m.run->kvm_valid_regs = ALL;
    CHECK_OK(m.vcpu, KVM_RUN, 0);
    CHECK_EQ(m.run->exit_reason, KVM_EXIT_HLT);
    CHECK_OK(m.vcpu, KVM_GET_REGS, &regs);
    CHECK_OK(m.vcpu, KVM_GET_SREGS, &sregs);
    CHECK_OK(m.vcpu, KVM_GET_VCPU_EVENTS, &events);
    CHECK(!memcmp(&m.run->s.regs.regs, &regs, sizeof(regs)));
    CHECK(!memcmp(&m.run->s.regs.sregs, &sregs, sizeof(sregs)));
    CHECK(!memcmp(&m.run->s.regs.events, &events, sizeof(events)));
    CHECK_EQ(regs.rbx, 1);
}

static void taken(void)
{
    struct kvm_regs regs;

    m.run->kvm_valid_regs = KVM_SYNC_X86_REGS;
    m.run->kvm_dirty_regs = KVM_SYNC_X86_REGS | KVM_SYNC_X86_SREGS;
    m.run->s.regs.regs.rip = CODE;
    m.run->s.regs.regs.rbx = 0x1000;
    m.run->s.regs.sregs.cr2 = 0x5000;
    CHECK_OK(m.vcpu, KVM_RUN, 0);
    CHECK_EQ(m.run->kvm_dirty_regs, 0);
    CHECK_EQ(m.run->s.regs.regs.rbx, 0x1001);
    CHECK_OK(m.vcpu, KVM_GET_SREGS, &m.run->s.regs.sregs);
    CHECK_EQ(m.run->s.regs.sregs.cr2, 0x5000);

    m.run->s.regs.regs.rip = CODE; /* without its bit, it is not looked at */
    m.run->s.regs.regs.rbx = 0x2000;
    m.run->kvm_valid_regs = 0;
    CHECK_OK(m.vcpu, KVM_GET_REGS, &regs);
    regs.rip = CODE;
    CHECK_OK(m.vcpu, KVM_SET_REGS, &regs);
    CHECK_OK(m.vcpu, KVM_RUN, 0);
    CHECK_EQ(m.run->s.regs.regs.rbx, 0x2000); /* nor written */
    CHECK_OK(m.vcpu, KVM_GET_REGS, &regs);
    CHECK_EQ(regs.rbx, 0x1002);
}

static void bad_state(void)
{
    uint64_t cr0 = m.run->s.regs.sregs.cr0;

    m.run->kvm_dirty_regs = KVM_SYNC_X86_SREGS;
    m.run->s.regs.sregs.cr0 = 0x80000000; /* paging without protection */
    CHECK_FAILS(m.vcpu, KVM_RUN, 0, EINVAL);
    m.run->s.regs.sregs.cr0 = cr0;
    m.run->kvm_dirty_regs = KVM_SYNC_X86_EVENTS;
    m.run->s.regs.events = (struct kvm_vcpu_events){.exception = {.injected = 1, .nr = 32}};
    CHECK_FAILS(m.vcpu, KVM_RUN, 0, EINVAL);
    m.run->kvm_dirty_regs = 0;
}

int main(int argc, char **argv)
{
    static const uint8_t code[] = {0x43 /* inc ebx */, 0xf4 /* hlt */};
    int kvm = api_start(argc, argv);

    CHECK_RETURNS(kvm, KVM_CHECK_EXTENSION, KVM_CAP_SYNC_REGS, ALL);
    m = machine_create(kvm, false, RAM_PAGES);
    memcpy(m.ram + CODE, code, sizeof(code));
    refused();
    handed_out();
    taken();
    bad_state();
    return TEST_DONE();
}
