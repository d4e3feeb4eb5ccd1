/* reinject_control.c - KVM_REINJECT_CONTROL: what becomes of the PIT's ticks that a guest misses
 * (api.rst 4.72) */
/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "tests/api/api.h"

int main(int argc, char **argv)
{
    int kvm = api_start(argc, argv), vm = KVM(kvm, KVM_CREATE_VM, 0);
    struct kvm_reinject_control control = {.pit_reinject = 0};
    struct kvm_pit_config config = {.flags = 0};

    CHECK_RETURNS(kvm, KVM_CHECK_EXTENSION, KVM_CAP_REINJECT_CONTROL, 1);
    CHECK_FAILS(vm, KVM_REINJECT_CONTROL, 8, EFAULT);
    CHECK_FAILS(vm, KVM_REINJECT_CONTROL, &control, ENXIO);
    CHECK_OK(vm, KVM_CREATE_IRQCHIP, 0);
    CHECK_FAILS(vm, KVM_REINJECT_CONTROL, &control, ENXIO);
    CHECK_OK(vm, KVM_CREATE_PIT2, &config);
    CHECK_OK(vm, KVM_REINJECT_CONTROL, &control);
    control.pit_reinject = 1;
    CHECK_OK(vm, KVM_REINJECT_CONTROL, &control);
    return TEST_DONE();
}
