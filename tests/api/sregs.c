/* sregs.c - KVM_SET_SREGS(2): states that a processor cannot be in are refused; the others come back
 * unchanged */
/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "tests/api/api.h"

enum {
    CR0_PE = 1,
    CR0_ET = 0x10,
    CR0_NW = 1 << 29,
    CR0_CD = 1 << 30,
    CR4_PAE = 0x20,
    CR4_PGE = 0x80,
    EFER_SCE = 1,
    EFER_LME = 0x100,
    EFER_LMA = 0x400,
    EFER_NXE = 0x800,
};
#define CR0_PG 0x80000000ull

static int vcpu;
static struct kvm_sregs reset;

/* The register state after power-up (SDM 3A table 9-1). */
static void power_up(void)
{
    struct kvm_regs regs;

    CHECK_OK(vcpu, KVM_GET_SREGS, &reset);
    CHECK_OK(vcpu, KVM_GET_REGS, &regs);
    CHECK_EQ(regs.rip, 0xfff0);
    CHECK_EQ(regs.rflags, 2);
    CHECK_EQ(regs.rsp, 0);
    CHECK_EQ(reset.cr0, CR0_CD | CR0_NW | CR0_ET);
    CHECK_EQ(reset.cr2 | reset.cr3 | reset.cr4 | reset.cr8 | reset.efer, 0);
    CHECK_EQ(reset.cs.selector, 0xf000);
    CHECK_EQ(reset.cs.base, 0xffff0000);
    CHECK_EQ(reset.cs.limit, 0xffff);
    CHECK_EQ(reset.cs.type, 11);
    CHECK_EQ(reset.cs.present, 1);
    CHECK_EQ(reset.cs.unusable, 0);
    CHECK_EQ(reset.ds.type, 3);
    CHECK_EQ(reset.ss.base | reset.ss.selector, 0);
    CHECK_EQ(reset.ldt.type, 2);
    CHECK_EQ(reset.tr.type, 11);
    CHECK_EQ(reset.gdt.limit, 0xffff);
    CHECK_EQ(reset.idt.limit, 0xffff);
    CHECK_EQ(reset.apic_base, 0xfee00900); /* enabled, bootstrap processor */
}

/* Valid 64-bit mode to vary. */
static struct kvm_sregs long_mode(void)
{
    struct kvm_sregs s = reset;

    s.cr0 = CR0_PG | CR0_ET | CR0_PE;
    s.cr4 = CR4_PAE;
    s.cr3 = 0x3000;
    s.efer = EFER_LME | EFER_LMA;
    s.cs =
        (struct kvm_segment){.selector = 8, .limit = ~0u, .type = 11, .present = 1, .s = 1, .l = 1, .g = 1};
    s.ss = s.ds = s.es = s.fs = s.gs =
        (struct kvm_segment){.selector = 16, .limit = ~0u, .type = 3, .present = 1, .s = 1, .db = 1, .g = 1};
    return s;
}

#define REFUSED(change)                                                        \
    do {                                                                       \
        struct kvm_sregs s = long_mode();                                      \
        change;                                                                \
        test_failure(KVM(vcpu, KVM_SET_SREGS, &s), EINVAL, __FILE__, __LINE__, \
                     "KVM_SET_SREGS with " #change);                           \
    } while (0)
#define ACCEPTED(change)                                                                               \
    do {                                                                                               \
        struct kvm_sregs s = long_mode();                                                              \
        change;                                                                                        \
        test_call(KVM(vcpu, KVM_SET_SREGS, &s), 0, __FILE__, __LINE__, "KVM_SET_SREGS with " #change); \
    } while (0)

static void combinations(void)
{
    ACCEPTED((void)s);
    REFUSED(s.cr0 &= ~(uint64_t)CR0_PE); /* paging without protection */
    REFUSED(s.cr0 |= CR0_NW);            /* NW without CD */
    ACCEPTED(s.cr0 |= CR0_NW | CR0_CD);
    REFUSED(s.cr0 |= 1ull << 32);
    REFUSED(s.cr4 = 0); /* long mode without PAE */
    REFUSED(s.efer = EFER_LME);
    REFUSED(s.efer = EFER_LMA);
    REFUSED(s.efer = 0); /* a 64-bit code segment outside long mode */
    ACCEPTED(s.efer = EFER_LME | EFER_LMA | EFER_NXE | EFER_SCE);
    REFUSED(s.cr3 = 1ull << 60);
    REFUSED(s.cr4 |= 1ull << 63);
    REFUSED(s.cr4 |= 1 << 15); /* reserved */
    REFUSED(s.apic_base |= 1ull << 60);
    REFUSED(s.apic_base = 0xfee00400); /* x2APIC without the enable bit */
    ACCEPTED(s.efer = s.cs.l = 0; s.cr4 = 0; s.cr0 = CR0_PE | CR0_ET);
    ACCEPTED(s.efer = EFER_LME; s.cs.l = 0; s.cs.db = 1; s.cr0 = CR0_PE | CR0_ET); /* prepared, not active */
    ACCEPTED(s.cs.l = 0; s.cs.db = 1);                                             /* compatibility mode */
}

/* A refused state leaves the old one. */
static void refused_changes_nothing(void)
{
    struct kvm_sregs before, bad, after;

    CHECK_OK(vcpu, KVM_GET_SREGS, &before);
    bad = long_mode();
    bad.cr4 = 0;
    bad.cr2 = 0x1234;
    bad.gdt.base = 0x5678;
    CHECK_FAILS(vcpu, KVM_SET_SREGS, &bad, EINVAL);
    CHECK_OK(vcpu, KVM_GET_SREGS, &after);
    CHECK(!memcmp(&before, &after, sizeof(before)));
}

static void comes_back(void)
{
    struct kvm_sregs in = long_mode(), out;

    in.cr2 = 0xdeadbeef000;
    in.cr8 = 5;
    in.cr4 |= CR4_PGE;
    in.gdt.base = 0xffff800000001000;
    in.gdt.limit = 0x7f;
    in.idt.base = 0xffff800000002000;
    in.idt.limit = 0xfff;
    in.fs.base = 0x7fff12345678;
    in.gs.base = 0xffff888000000000;
    in.tr = (struct kvm_segment){
        .base = 0xffff800000003000, .limit = 0x2067, .selector = 0x40, .type = 11, .present = 1};
    in.cs.dpl = in.ss.dpl = 3;
    in.cs.avl = 1;
    CHECK_OK(vcpu, KVM_SET_SREGS, &in);
    CHECK_OK(vcpu, KVM_GET_SREGS, &out);
    CHECK_EQ(out.cr2, in.cr2);
    CHECK_EQ(out.cr8, in.cr8);
    CHECK_EQ(out.cr4, in.cr4);
    CHECK_EQ(out.efer, in.efer);
    CHECK(!memcmp(&out.cs, &in.cs, sizeof(in.cs)));
    CHECK(!memcmp(&out.ss, &in.ss, sizeof(in.ss)));
    CHECK(!memcmp(&out.fs, &in.fs, sizeof(in.fs)));
    CHECK(!memcmp(&out.gs, &in.gs, sizeof(in.gs)));
    CHECK(!memcmp(&out.tr, &in.tr, sizeof(in.tr)));
    CHECK_EQ(out.gdt.base, in.gdt.base);
    CHECK_EQ(out.gdt.limit, in.gdt.limit);
    CHECK_EQ(out.idt.base, in.idt.base);
    CHECK_EQ(out.idt.limit, in.idt.limit);
}

static void unusable_segment(void)
{
    struct kvm_sregs s = long_mode();

    s.es = s.ldt = (struct kvm_segment){.unusable = 1};
    CHECK_OK(vcpu, KVM_SET_SREGS, &s);
    CHECK_OK(vcpu, KVM_GET_SREGS, &s);
    CHECK_EQ(s.es.unusable, 1);
    CHECK_EQ(s.es.present, 0);
    CHECK_EQ(s.ldt.unusable, 1);
    CHECK_EQ(s.cs.unusable, 0);
}

static void injected_interrupt(void)
{
    struct kvm_sregs s = long_mode();
    struct kvm_vcpu_events none = {0};

    s.interrupt_bitmap[0x31 / 64] = 1ull << (0x31 % 64);
    CHECK_OK(vcpu, KVM_SET_SREGS, &s);
    memset(&s, 0, sizeof(s));
    CHECK_OK(vcpu, KVM_GET_SREGS, &s);
    CHECK_EQ(s.interrupt_bitmap[0], 1ull << 0x31);
    CHECK_OK(vcpu, KVM_SET_VCPU_EVENTS, &none);
    CHECK_OK(vcpu, KVM_GET_SREGS, &s);
    CHECK_EQ(s.interrupt_bitmap[0], 0);
}

static void pae_pointers(uint8_t *ram)
{
    struct kvm_sregs s = long_mode();
    struct kvm_sregs2 s2;

    memcpy(ram + 0x3020, (uint64_t[4]){0x4001, 0x5001, 0x6001, 0x7001}, 32);
    s.efer = s.cs.l = 0;
    s.cs.db = 1;
    s.cr3 = 0x3020;
    CHECK_OK(vcpu, KVM_SET_SREGS, &s);
    CHECK_OK(vcpu, KVM_GET_SREGS2, &s2);
    if (api_is_kernel && !(s2.cr0 & CR0_PG)) {
        printf("skipped: this KVM has no paging outside long mode\n");
        return;
    }
    CHECK_EQ(s2.flags, KVM_SREGS2_FLAGS_PDPTRS_VALID);
    CHECK_EQ(s2.pdptrs[0], 0x4001);
    CHECK_EQ(s2.pdptrs[3], 0x7001);
    s2.pdptrs[3] = 0;
    CHECK_OK(vcpu, KVM_SET_SREGS2, &s2);
    CHECK_OK(vcpu, KVM_GET_SREGS2, &s2);
    CHECK_EQ(s2.pdptrs[3], 0);
    s2.flags |= 2;
    CHECK_FAILS(vcpu, KVM_SET_SREGS2, &s2, EINVAL);
    s2.flags = KVM_SREGS2_FLAGS_PDPTRS_VALID;
    s2.cr4 = 0; /* pointers without PAE paging */
    CHECK_FAILS(vcpu, KVM_SET_SREGS2, &s2, EINVAL);
}

int main(int argc, char **argv)
{
    int kvm = api_start(argc, argv);
    struct machine m = machine_create(kvm, true, 16);

    vcpu = m.vcpu;
    power_up();
    set_supported_cpuid(kvm, vcpu);
    combinations();
    refused_changes_nothing();
    comes_back();
    unusable_segment();
    injected_interrupt();
    pae_pointers(m.ram);
    return TEST_DONE();
}
