/* cpuid.c - KVM_GET_SUPPORTED_CPUID, KVM_SET_CPUID2 and KVM_GET_CPUID2 (api.rst 4.46, 4.20) */
/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "tests/api/api.h"

static const struct kvm_cpuid_entry2 *find(const union cpuid *c, uint32_t function, uint32_t index)
{
    for (uint32_t i = 0; i < c->head.nent; i++)
        if (c->head.entries[i].function == function && c->head.entries[i].index == index)
            return &c->head.entries[i];
    return NULL;
}

static union cpuid supported(int kvm)
{
    union cpuid c = {.head.nent = 0};

    CHECK_FAILS(kvm, KVM_GET_SUPPORTED_CPUID, &c, E2BIG);
    c.head.nent = 1;
    CHECK_FAILS(kvm, KVM_GET_SUPPORTED_CPUID, &c, E2BIG);
    CHECK_EQ(c.head.nent, 1); /* not told: the client tries again with more */
    c.head.nent = 256;
    CHECK_OK(kvm, KVM_GET_SUPPORTED_CPUID, &c);
    CHECK(c.head.nent > 5 && c.head.nent < 256);
    uint32_t n = c.head.nent;
    CHECK_OK(kvm, KVM_GET_SUPPORTED_CPUID, &c); /* exactly enough */
    CHECK_EQ(c.head.nent, n);
    c.head.nent = n - 1;
    CHECK_FAILS(kvm, KVM_GET_SUPPORTED_CPUID, &c, E2BIG);
    c.head.nent = n;
    if (!api_is_kernel)
        CHECK(n <= 80); /* what Firecracker and cloud-hypervisor have room for */
    return c;
}

/* What verify_cpu of Linux demands, and the leaf that says which hypervisor this is. */
static void leaves(const union cpuid *c)
{
    const uint32_t required = 1 << 0 | 1 << 5 | 1 << 6 | 1 << 8 | 1 << 15 | 1 << 24 | 1 << 25 | 1 << 26;
    const struct kvm_cpuid_entry2 *basic = find(c, 0, 0), *features = find(c, 1, 0);
    const struct kvm_cpuid_entry2 *extended = find(c, 0x80000001, 0), *hypervisor = find(c, 0x40000000, 0);

    CHECK(basic && basic->eax >= 7);
    CHECK(features && (features->edx & required) == required);
    CHECK(extended && extended->edx & 1 << 29);
    CHECK(hypervisor && !memcmp(&hypervisor->ebx, "KVMKVMKVM\0\0\0", 12));
    CHECK(find(c, 0x40000001, 0));
    CHECK(find(c, 0x80000008, 0));
}

static void set_and_get(int vcpu, union cpuid *c)
{
    union cpuid out = {.head.nent = 256};
    uint32_t n = c->head.nent;

    CHECK_OK(vcpu, KVM_GET_CPUID2, &out);
    CHECK_EQ(out.head.nent, 0); /* a new vcpu has none */
    CHECK_OK(vcpu, KVM_SET_CPUID2, c);
    out.head.nent = 256;
    CHECK_OK(vcpu, KVM_GET_CPUID2, &out);
    if (!api_is_kernel) /* some leave out rows of zeros */
        CHECK_EQ(out.head.nent, n);
    out.head.nent--;
    CHECK_FAILS(vcpu, KVM_GET_CPUID2, &out, E2BIG);
    out.head.nent = 256;
    CHECK_OK(vcpu, KVM_GET_CPUID2, &out);
    CHECK_EQ(out.head.entries[0].ebx, c->head.entries[0].ebx);
    CHECK_OK(vcpu, KVM_SET_CPUID2, &out);
    c->head.nent = 257;
    CHECK_FAILS(vcpu, KVM_SET_CPUID2, c, E2BIG);
    c->head.nent = n;
    struct kvm_cpuid_entry2 *sizes = (struct kvm_cpuid_entry2 *)find(c, 0x80000008, 0);
    sizes->eax = 0x2f30;
    CHECK_FAILS(vcpu, KVM_SET_CPUID2, c, EINVAL); /* 47 bits of virtual address */
    sizes->eax = 0x3030;
    CHECK_OK(vcpu, KVM_SET_CPUID2, c);
    out.head.nent = 0;
    CHECK_OK(vcpu, KVM_SET_CPUID2, &out); /* none at all */
    CHECK_OK(vcpu, KVM_SET_CPUID2, c);
}

/* Once the vcpu has run, CPUID is what it is. */
static void after_run(const struct machine *m, union cpuid *c)
{
    union cpuid out = {.head.nent = 256};

    m->ram[0x1000] = 0xf4; /* hlt */
    enter_protected_mode(m, 0x1000);
    CHECK_OK(m->vcpu, KVM_RUN, 0);
    CHECK_EQ(m->run->exit_reason, KVM_EXIT_HLT);
    CHECK_OK(m->vcpu, KVM_GET_CPUID2, &out);
    CHECK_OK(m->vcpu, KVM_SET_CPUID2, &out); /* the same again */
    if (!api_is_kernel)                      /* KVMs without hardware behind them replace more than that */
        CHECK_OK(m->vcpu, KVM_SET_CPUID2, c);
    c->head.nent--;
    CHECK_FAILS(m->vcpu, KVM_SET_CPUID2, c, EINVAL);
    c->head.nent++;
    c->head.entries[0].eax--;
    CHECK_FAILS(m->vcpu, KVM_SET_CPUID2, c, EINVAL);
}

int main(int argc, char **argv)
{
    int kvm = api_start(argc, argv);
    struct machine m = machine_create(kvm, false, 16);
    union cpuid c = supported(kvm);

    leaves(&c);
    set_and_get(m.vcpu, &c);
    after_run(&m, &c);
    return TEST_DONE();
}
