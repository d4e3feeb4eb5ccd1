/* cpuid.c - what is offered to the guest, and what of it depends on the vcpu's state */
/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <stdlib.h>
#include <string.h>
#include <cpuid.h>
#include <linux/kvm_para.h>

#include "hypervisor/cpu/xsave.h"
#include "hypervisor/vm.h"
#include "tests/unit/test.h"

enum { EAX, EBX, ECX, EDX, ENTRIES = 80 /* what Firecracker asks with */ };

static struct kvm_cpuid_entry2 entries[ENTRIES];
static unsigned count;
static struct vcpu *v;
static struct vm vm;

static void vcpu_new(void)
{
    free(v);
    v = aligned_alloc(_Alignof(struct vcpu), sizeof(*v));
    memset(v, 0, offsetof(struct vcpu, tlb)); /* the tables are never touched */
    v->vm = &vm;
    memcpy(v->cpuid, entries, count * sizeof(entries[0]));
    v->cpuid_count = count;
    v->xcr0 = 1;
    v->apic_base = 0xfee00900;
    xsave_layout(v->xsave_offset);
    cpuid_update(v);
}

static const struct kvm_cpuid_entry2 *find(u32 leaf, u32 subleaf)
{
    for (unsigned i = 0; i < count; i++)
        if (entries[i].function == leaf && entries[i].index == subleaf)
            return &entries[i];
    return NULL;
}

static void fits_and_is_unique(void)
{
    count = cpuid_supported(entries, ENTRIES);
    CHECK(count > 10 && count < ENTRIES);
    for (unsigned i = 0; i < count; i++)
        for (unsigned j = 0; j < i; j++)
            CHECK(entries[i].function != entries[j].function || entries[i].index != entries[j].index);
    struct kvm_cpuid_entry2 few[3];
    CHECK_EQ(cpuid_supported(few, 3), 3);
    CHECK_EQ(few[1].function, entries[1].function);
}

/* Bits that the guest executes natively are the host's. */
static void natives_are_the_hosts(void)
{
    u32 r[4];
    __cpuid_count(1, 0, r[0], r[1], r[2], r[3]);
    u32 made = BIT(21) | BIT(24) | BIT(31);
    CHECK_EQ(find(1, 0)->eax, r[EAX]);
    CHECK_EQ(find(1, 0)->ecx & ~made & ~r[ECX], 0);
    CHECK_EQ(find(1, 0)->edx & ~r[EDX], 0);
    __cpuid_count(7, 0, r[0], r[1], r[2], r[3]);
    CHECK_EQ(find(7, 0)->ebx & ~(u32)BIT(1) & ~r[EBX], 0);
    CHECK_EQ(find(7, 0)->ecx & ~(u32)BIT(2) & ~r[ECX], 0);
    CHECK_EQ(find(7, 0)->edx & ~(u32)BIT(29) & ~r[EDX], 0); /* IA32_ARCH_CAPABILITIES is KVM's on any host */
}

static void not_offered(void)
{
    CHECK_EQ(find(1, 0)->ecx & (BIT(3) | BIT(5)), 0);  /* monitor vmx */
    CHECK_EQ(find(1, 0)->edx & BIT(28), 0);            /* vme htt */
    CHECK_EQ(find(7, 0)->ebx & (BIT(4) | BIT(11)), 0); /* hle rtm */
    CHECK_EQ(find(7, 0)->ecx & (BIT(3) | BIT(16)), 0); /* pku la57 */
    CHECK_EQ(find(0x80000001, 0)->ecx & BIT(2), 0);    /* svm */
    CHECK_EQ(find(0xd, 0)->eax & ~(u32)XSTATE_OFFERED, 0);
    CHECK_EQ(find(0xd, 1)->eax & BIT(3), 0); /* xsaves */
}

/* All of it or nothing: the features, the three components and their subleaves. */
static void avx512(void)
{
    const u32 features = BIT(16) | BIT(17) | BIT(21) | BIT(28) | BIT(30) | BIT(31);
    const struct kvm_cpuid_entry2 *more = find(7, 1);
    u32 components = find(0xd, 0)->eax & XSTATE_AVX512, r[4];
    if (!components) {
        CHECK_EQ(find(7, 0)->ebx & features, 0);
        CHECK_EQ(find(7, 0)->ecx & (BIT(1) | BIT(6) | BIT(11) | BIT(12) | BIT(14)), 0);
        CHECK(!more || !more->eax);
        CHECK(!find(0xd, COMPONENT_OPMASK));
        return;
    }
    CHECK_EQ(components, XSTATE_AVX512);
    CHECK(find(7, 0)->ebx & BIT(16));
    CHECK_EQ(find(7, 0)->eax, more ? 1 : 0);
    u32 end = 0;
    for (u32 n = COMPONENT_OPMASK; n <= COMPONENT_HI16_ZMM; n++) {
        __cpuid_count(0xd, n, r[0], r[1], r[2], r[3]);
        CHECK_EQ(find(0xd, n)->eax, r[EAX]);
        CHECK_EQ(find(0xd, n)->ebx, r[EBX]);
        end = r[EAX] + r[EBX];
    }
    CHECK_EQ(find(0xd, 0)->ecx, end);
    CHECK_EQ(find(0xd, 1)->ebx, 576 + 256 + 64 + 512 + 1024);
}

static void paravirtual(void)
{
    char name[13] = {0};
    const struct kvm_cpuid_entry2 *e = find(KVM_CPUID_SIGNATURE, 0);
    memcpy(name, &e->ebx, 12);
    CHECK_STR(name, "KVMKVMKVM");
    CHECK_EQ(e->eax, KVM_CPUID_FEATURES);
    CHECK(find(KVM_CPUID_FEATURES, 0)->eax & BIT(KVM_FEATURE_CLOCKSOURCE2));
    CHECK(find(KVM_CPUID_FEATURES, 0)->eax & BIT(KVM_FEATURE_PV_EOI));
    CHECK_EQ(find(KVM_CPUID_FEATURES, 0)->eax & BIT(KVM_FEATURE_MIGRATION_CONTROL), 0);
}

static void run_time_bits(void)
{
    u32 r[4];
    vcpu_new();
    cpuid_query(v, 1, 0, r);
    CHECK_EQ(r[ECX] & BIT(27), 0);
    CHECK_EQ(r[ECX] & (BIT(21) | BIT(24)), 0); /* there is no local APIC in the library */
    CHECK(r[EDX] & BIT(9));
    v->cr4 = CR4_OSXSAVE;
    v->apic_base = 0xfee00100;
    v->lapic = (struct lapic *)v;
    cpuid_query(v, 1, 0, r);
    CHECK(r[ECX] & BIT(27));
    CHECK_EQ(r[ECX] & (BIT(21) | BIT(24)), BIT(21) | BIT(24));
    CHECK_EQ(r[EDX] & BIT(9), 0);
    cpuid_query(v, 0xd, 0, r);
    CHECK_EQ(r[EBX], 576);
    v->xcr0 = v->xcr0_supported;
    cpuid_query(v, 0xd, 0, r);
    CHECK_EQ(r[EBX], find(0xd, 0)->ecx);
    v->xcr0 = 3;
    cpuid_query(v, 0xd, 0, r);
    CHECK_EQ(r[EBX], 576);
}

static void beyond(void)
{
    u32 r[4];
    vcpu_new();
    cpuid_query(v, 0x12345678, 0, r);
    bool intel = entries[0].ecx == 0x6c65746e;
    if (!intel)
        CHECK_EQ(r[EAX] | r[EBX] | r[ECX] | r[EDX], 0);
    cpuid_query(v, 0x40001000, 0, r);
    CHECK_EQ(r[EAX] | r[EBX] | r[ECX] | r[EDX], 0);
    cpuid_query(v, 3, 0, r);
    CHECK_EQ(r[EAX] | r[EBX] | r[ECX] | r[EDX], 0);
}

/* Intel: the highest basic leaf answers for those above it. */
static void beyond_on_intel(void)
{
    u32 r[4];
    vcpu_new();
    v->cpuid[0].ebx = 0x756e6547;
    v->cpuid[0].edx = 0x49656e69;
    v->cpuid[0].ecx = 0x6c65746e;
    v->cpuid[0].eax = 0xd;
    cpuid_query(v, 0x20, 0, r);
    CHECK_EQ(r[EAX], find(0xd, 0)->eax);
    cpuid_query(v, 0x40001000, 0, r);
    CHECK_EQ(r[EAX], 0);
}

static void derived(void)
{
    vcpu_new();
    CHECK_EQ(v->maxphyaddr_mask, ~0ull << (find(0x80000008, 0)->eax & 0xff));
    CHECK_EQ(v->cr4_reserved & (CR4_PAE | CR4_PGE | CR4_OSFXSR), 0);
    CHECK_EQ(v->cr4_reserved & (CR4_VME | CR4_PVI | CR4_LA57 | CR4_PKE), CR4_LA57 | CR4_PKE);
    v->cpuid_count = 0;
    cpuid_update(v);
    CHECK_EQ(v->maxphyaddr_mask, ~0ull << 36);
    CHECK_EQ(v->cr4_reserved & (CR4_PAE | CR4_PKE), CR4_PKE); /* what is supported */
    CHECK_EQ(v->xcr0_supported, 0);
    CHECK_EQ(v->xsave_features, 0);
}

/* A client may claim what the engine does not have: the vcpu still cannot turn it on. */
static void absurd_claims(void)
{
    vcpu_new();
    for (unsigned i = 0; i < count; i++)
        v->cpuid[i].eax = v->cpuid[i].ebx = v->cpuid[i].ecx = v->cpuid[i].edx = ~0u;
    cpuid_update(v);
    CHECK_EQ(v->xcr0_supported & ~(u64)XSTATE_OFFERED, 0);
    CHECK_EQ(v->cr4_reserved & (CR4_LA57 | CR4_PKE), CR4_LA57 | CR4_PKE);
    CHECK_EQ(v->maxphyaddr_mask, ~0ull << 52);
}

int main(void)
{
    fits_and_is_unique();
    natives_are_the_hosts();
    not_offered();
    avx512();
    paravirtual();
    run_time_bits();
    beyond();
    beyond_on_intel();
    derived();
    absurd_claims();
    return TEST_DONE();
}
