/* memory_region2.c - KVM_SET_USER_MEMORY_REGION2, and slots at the limits of addresses (api.rst 4.140) */
/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "tests/api/api.h"

static int vm;

static int region2(uint32_t flags, uint64_t gpa, uint64_t size, void *host)
{
    struct kvm_userspace_memory_region2 r = {
        .flags = flags, .guest_phys_addr = gpa, .memory_size = size, .userspace_addr = (uint64_t)host};

    return KVM(vm, KVM_SET_USER_MEMORY_REGION2, &r);
}

int main(int argc, char **argv)
{
    int kvm = api_start(argc, argv);
    void *host = pages(2);

    vm = KVM(kvm, KVM_CREATE_VM, 0);
    CHECK_RETURNS(kvm, KVM_CHECK_EXTENSION, KVM_CAP_USER_MEMORY2, 1);
    CHECK_FAILS(vm, KVM_SET_USER_MEMORY_REGION2, 8, EFAULT);
    CHECK(region2(1u << 30, 0, PAGE, host) == -1 && errno == EINVAL);
    CHECK(region2(0, 0, 0, host) == -1 && errno == EINVAL);
    CHECK_EQ(region2(0, 0, PAGE, host), 0);
    CHECK_EQ(region2(KVM_MEM_LOG_DIRTY_PAGES, 0, PAGE, host), 0);
    CHECK(set_region(vm, 1, 0, 0, PAGE, host) == -1 && errno == EEXIST); /* the same slots */
    CHECK_EQ(region2(0, 0, 0, host), 0);
    for (unsigned bit = 12; bit < 46; bit++) {
        CHECK_EQ(region2(0, 1ull << bit, 2 * PAGE, host), 0);
        CHECK_EQ(region2(0, 0, 0, NULL), 0);
    }
    return TEST_DONE();
}
