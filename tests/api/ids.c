/* ids.c - numbers of vcpus: the boot processor's, and the highest (KVM_SET_BOOT_CPU_ID, api.rst 4.61;
 * KVM_CAP_MAX_VCPU_ID, 7.32) */
/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "tests/api/api.h"

static void set_max(int vm, uint64_t max, int error)
{
    struct kvm_enable_cap c = {.cap = KVM_CAP_MAX_VCPU_ID, .args = {max}};

    if (error)
        CHECK_FAILS(vm, KVM_ENABLE_CAP, &c, error);
    else
        CHECK_OK(vm, KVM_ENABLE_CAP, &c);
}

int main(int argc, char **argv)
{
    int kvm = api_start(argc, argv), vm = KVM(kvm, KVM_CREATE_VM, 0);
    int limit = KVM(vm, KVM_CHECK_EXTENSION, KVM_CAP_MAX_VCPU_ID);

    CHECK(limit > 0);
    if (!api_is_kernel) { /* before 6.10 it took what it was given */
        CHECK_FAILS(vm, KVM_SET_BOOT_CPU_ID, limit + 1, EINVAL);
        CHECK_FAILS(vm, KVM_SET_BOOT_CPU_ID, 1ul << 32, EINVAL);
    }
    CHECK_OK(vm, KVM_SET_BOOT_CPU_ID, 2);
    set_max(vm, (uint64_t)limit + 1, EINVAL);
    if (!api_is_kernel)
        set_max(vm, 1, EINVAL); /* below the boot processor */
    set_max(vm, 3, 0);
    set_max(vm, 3, 0);
    set_max(vm, 4, EINVAL);
    CHECK_FAILS(vm, KVM_CREATE_VCPU, 3, EINVAL);
    CHECK(KVM(vm, KVM_CREATE_VCPU, 2) >= 0);
    CHECK_FAILS(vm, KVM_SET_BOOT_CPU_ID, 1, EBUSY);
    return TEST_DONE();
}
