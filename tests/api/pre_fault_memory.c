/* pre_fault_memory.c - KVM_PRE_FAULT_MEMORY (api.rst 4.143) */
/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "tests/api/api.h"

enum { RAM_PAGES = 16 };

static bool resident(void *page)
{
    unsigned char there = 0;

    mincore(page, PAGE, &there);
    return there & 1;
}

int main(int argc, char **argv)
{
    int kvm = api_start(argc, argv);
    struct machine m = machine_create(kvm, false, RAM_PAGES);
    struct kvm_pre_fault_memory range = {.gpa = 2 * PAGE, .size = 4 * PAGE};

    if (api_is_kernel && KVM(kvm, KVM_CHECK_EXTENSION, KVM_CAP_PRE_FAULT_MEMORY) != 1)
        return SKIPPED;
    CHECK_RETURNS(kvm, KVM_CHECK_EXTENSION, KVM_CAP_PRE_FAULT_MEMORY, 1);
    CHECK_OK(m.vcpu, KVM_PRE_FAULT_MEMORY, &range);
    CHECK_EQ(range.size, 0);
    CHECK_EQ(range.gpa, 6 * PAGE);
    CHECK(resident(m.ram + 2 * PAGE) && resident(m.ram + 5 * PAGE));
    CHECK(!resident(m.ram + 8 * PAGE));

    range = (struct kvm_pre_fault_memory){.gpa = 14 * PAGE, .size = 4 * PAGE}; /* beyond the slot's end */
    CHECK_OK(m.vcpu, KVM_PRE_FAULT_MEMORY, &range);
    CHECK_EQ(range.size, 2 * PAGE);
    CHECK_EQ(range.gpa, RAM_PAGES * PAGE);
    CHECK_FAILS(m.vcpu, KVM_PRE_FAULT_MEMORY, &range, ENOENT);

    range = (struct kvm_pre_fault_memory){.gpa = 1, .size = PAGE};
    CHECK_FAILS(m.vcpu, KVM_PRE_FAULT_MEMORY, &range, EINVAL);
    range = (struct kvm_pre_fault_memory){.gpa = 0, .size = PAGE - 1};
    CHECK_FAILS(m.vcpu, KVM_PRE_FAULT_MEMORY, &range, EINVAL);
    range = (struct kvm_pre_fault_memory){.gpa = 0, .size = 0};
    CHECK_FAILS(m.vcpu, KVM_PRE_FAULT_MEMORY, &range, EINVAL);
    range = (struct kvm_pre_fault_memory){.gpa = -(uint64_t)PAGE, .size = 2 * PAGE};
    CHECK_FAILS(m.vcpu, KVM_PRE_FAULT_MEMORY, &range, EINVAL);
    range = (struct kvm_pre_fault_memory){.gpa = 0, .size = PAGE, .flags = 1};
    CHECK_FAILS(m.vcpu, KVM_PRE_FAULT_MEMORY, &range, EINVAL);
    CHECK_FAILS(m.vcpu, KVM_PRE_FAULT_MEMORY, 8, EFAULT);
    return TEST_DONE();
}
