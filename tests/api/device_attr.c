/* device_attr.c - KVM_HAS/GET/SET_DEVICE_ATTR of the system and of vcpus: XCR0, TSC offset (api.rst 4.80) */
/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "tests/api/api.h"

static void xcr0(int kvm)
{
    uint64_t mask = 0;
    struct kvm_device_attr a = {.attr = KVM_X86_XCOMP_GUEST_SUPP, .addr = (uint64_t)&mask};

    CHECK_OK(kvm, KVM_HAS_DEVICE_ATTR, &a);
    CHECK_OK(kvm, KVM_GET_DEVICE_ATTR, &a);
    CHECK_EQ(mask & 3, 3); /* x87 and SSE */
    a.addr = 8;
    CHECK_FAILS(kvm, KVM_GET_DEVICE_ATTR, &a, EFAULT);
    a.attr = 999;
    CHECK_FAILS(kvm, KVM_HAS_DEVICE_ATTR, &a, ENXIO);
    CHECK_FAILS(kvm, KVM_GET_DEVICE_ATTR, &a, ENXIO);
    CHECK_FAILS(kvm, KVM_HAS_DEVICE_ATTR, 8, EFAULT);
}

static uint64_t tsc(int vcpu)
{
    union msrs m = {.head.nmsrs = 1};

    m.head.entries[0].index = 0x10;
    CHECK_RETURNS(vcpu, KVM_GET_MSRS, &m, 1);
    return m.head.entries[0].data;
}

/* A TSC that is moved by 2^50 reads higher by at least that. */
static void tsc_offset(int vcpu)
{
    uint64_t before, now = 0, far = 1ull << 50;
    struct kvm_device_attr a = {
        .group = KVM_VCPU_TSC_CTRL, .attr = KVM_VCPU_TSC_OFFSET, .addr = (uint64_t)&before};

    CHECK_OK(vcpu, KVM_HAS_DEVICE_ATTR, &a);
    CHECK_OK(vcpu, KVM_GET_DEVICE_ATTR, &a);
    uint64_t old = tsc(vcpu), moved = before + far;
    a.addr = (uint64_t)&moved;
    CHECK_OK(vcpu, KVM_SET_DEVICE_ATTR, &a);
    uint64_t new = tsc(vcpu);
    a.addr = (uint64_t)&now;
    CHECK_OK(vcpu, KVM_GET_DEVICE_ATTR, &a);
    if (now == 0 && api_is_kernel) {
        puts("skipped: a moved TSC: this KVM runs guests with the host's");
    } else {
        CHECK(new - old >= far);
        CHECK_EQ(now, moved);
    }
    a.addr = 8;
    CHECK_FAILS(vcpu, KVM_GET_DEVICE_ATTR, &a, EFAULT);
    CHECK_FAILS(vcpu, KVM_SET_DEVICE_ATTR, &a, EFAULT);
    a.group = 77;
    CHECK_FAILS(vcpu, KVM_HAS_DEVICE_ATTR, &a, ENXIO);
    CHECK_FAILS(vcpu, KVM_GET_DEVICE_ATTR, &a, ENXIO);
    CHECK_FAILS(vcpu, KVM_SET_DEVICE_ATTR, &a, ENXIO);
}

int main(int argc, char **argv)
{
    int kvm = api_start(argc, argv);
    struct machine m = machine_create(kvm, false, 1);

    CHECK_RETURNS(kvm, KVM_CHECK_EXTENSION, KVM_CAP_SYS_ATTRIBUTES, 1);
    CHECK_RETURNS(kvm, KVM_CHECK_EXTENSION, KVM_CAP_VCPU_ATTRIBUTES, 1);
    xcr0(kvm);
    tsc_offset(m.vcpu);
    return TEST_DONE();
}
