/* system.c - control and debug registers, system instructions, flags: checks in order, and side effects */
/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <linux/kvm.h>
#include <linux/kvm_para.h>

#define UNIT_CPU_OWN_PAGING
#include "hypervisor/cpu/control.h"
#include "hypervisor/irq/irq.h"
#include "hypervisor/vm.h"
#include "tests/unit/access_fake.h"
#include "tests/unit/test.h"

/* ---- what the handlers call ---- */

enum { FLUSH_NONE, FLUSH_PAGE, FLUSH_NONGLOBAL, FLUSH_ALL };
static unsigned flushed, kicked;
static gva flushed_page;
static bool pdptes_good, no_features;
static u64 pdptes_of, tpr;

void vcpu_kick(struct vcpu *vcpu, u32 request)
{
    (void)vcpu;
    kicked |= request;
}

void tlb_flush_all(struct vcpu *vcpu)
{
    (void)vcpu;
    flushed = FLUSH_ALL;
}

void tlb_flush_nonglobal(struct vcpu *vcpu)
{
    (void)vcpu;
    flushed = FLUSH_NONGLOBAL;
}

static u64 switched_from, forgotten;
static bool switch_keeps;

void tlb_switch(struct vcpu *vcpu, u64 from, bool keeps)
{
    (void)vcpu;
    switched_from = from;
    switch_keeps = keeps;
}

void tlb_forget_space(struct vcpu *vcpu, u64 pcid)
{
    (void)vcpu;
    forgotten = pcid;
}

void tlb_flush_page(struct vcpu *vcpu, gva a)
{
    (void)vcpu;
    flushed = FLUSH_PAGE;
    flushed_page = a;
}

bool paging_load_pdptes(struct vcpu *vcpu, u64 cr3)
{
    (void)vcpu;
    pdptes_of = cr3;
    return pdptes_good;
}

bool cpuid_has(struct vcpu *vcpu, u32 leaf, u32 subleaf, unsigned reg, unsigned bit)
{
    (void)vcpu, (void)leaf, (void)subleaf, (void)reg, (void)bit;
    return !no_features;
}

u64 lapic_get_tpr(struct vcpu *vcpu)
{
    (void)vcpu;
    return tpr;
}

void lapic_set_tpr(struct vcpu *vcpu, u64 cr8)
{
    (void)vcpu;
    tpr = cr8;
}

bool msr_read(struct vcpu *vcpu, u32 index, u64 *value, bool host)
{
    (void)vcpu;
    *value = 0x1122334455667788;
    return index == 1 && !host;
}

static u64 msr_written;
bool msr_write(struct vcpu *vcpu, u32 index, u64 value, bool host)
{
    (void)vcpu;
    msr_written = value;
    return index == 1 && !host;
}

/* ---- */

static struct kvm_run run;

static void start(enum machine m, unsigned cpl)
{
    vcpu_new(m, cpl);
    memset(&run, 0, sizeof(run));
    v->run = &run;
    v->maxphyaddr_mask = MASK(63, 46);
    v->cr4_reserved = ~(u64)(CR4_PAE | CR4_PGE | CR4_PSE | CR4_PCIDE | CR4_SMEP | CR4_SMAP | CR4_OSXSAVE |
                             CR4_UMIP | CR4_TSD | CR4_DE);
    if (m == LONG) {
        v->cr0 |= CR0_PG;
        v->cr4 |= CR4_PAE;
    }
    flushed = FLUSH_NONE;
    pdptes_good = true;
    pdptes_of = 0;
    no_features = false;
}

static enum outcome write_cr(u8 n, u64 value)
{
    struct insn in = instruction(n, GPR_RBX, 8);
    v->gpr[GPR_RBX] = value;
    return run_handler(insn_mov_to_cr, &in);
}

#define CHECK_GP(outcome)                  \
    do {                                   \
        CHECK_EQ(outcome, RAISED);         \
        CHECK_EQ(v->event.vector, EXC_GP); \
        CHECK_EQ(v->event.error_code, 0);  \
    } while (0)

static void cr0(void)
{
    start(PROTECTED, 0);
    CHECK_GP(write_cr(0, CR0_PG));
    CHECK_GP(write_cr(0, CR0_PE | CR0_NW));
    CHECK_EQ(write_cr(0, CR0_PE | CR0_WP | BIT(10)), COMPLETED);
    CHECK_EQ(v->cr0, CR0_PE | CR0_WP | CR0_ET);
    CHECK_EQ(flushed, FLUSH_ALL);
    start(LONG, 0);
    CHECK_GP(write_cr(0, BIT(32) | CR0_PE | CR0_PG));
    CHECK_GP(write_cr(0, CR0_PE)); /* paging off in 64-bit mode */
}

static void long_mode_switch(void)
{
    start(PROTECTED, 0);
    v->efer = EFER_LME;
    CHECK_GP(write_cr(0, CR0_PE | CR0_PG)); /* without PAE */
    v->cr4 = CR4_PAE;
    v->seg[SEG_TR].attributes = 0x83;
    CHECK_GP(write_cr(0, CR0_PE | CR0_PG)); /* a 16-bit TSS */
    v->seg[SEG_TR].attributes = 0x8b;
    CHECK_EQ(write_cr(0, CR0_PE | CR0_PG), COMPLETED);
    CHECK_EQ(v->efer, EFER_LME | EFER_LMA);
    CHECK_EQ(pdptes_of, 0);
    CHECK_GP(write_cr(4, 0)); /* PAE stays */
    CHECK_EQ(write_cr(0, CR0_PE), COMPLETED);
    CHECK_EQ(v->efer, EFER_LME);
}

static void pae(void)
{
    start(PROTECTED, 0);
    v->cr3 = 0x7000;
    v->cr4 = CR4_PAE;
    pdptes_good = false;
    CHECK_GP(write_cr(0, CR0_PE | CR0_PG));
    CHECK_EQ(v->cr0 & CR0_PG, 0);
    pdptes_good = true;
    CHECK_EQ(write_cr(0, CR0_PE | CR0_PG), COMPLETED);
    CHECK_EQ(pdptes_of, 0x7000);
    CHECK_EQ(write_cr(3, 0x9020), COMPLETED);
    CHECK_EQ(pdptes_of, 0x9020);
    pdptes_of = 0;
    CHECK_EQ(write_cr(4, CR4_PAE | CR4_OSXSAVE), COMPLETED);
    CHECK_EQ(pdptes_of, 0);
    CHECK_EQ(write_cr(4, CR4_PAE | CR4_PGE), COMPLETED);
    CHECK_EQ(pdptes_of, 0x9020);
}

static void cr3(void)
{
    start(LONG, 0);
    CHECK_GP(write_cr(3, BIT(46)));
    CHECK_GP(write_cr(3, BIT(63)));
    CHECK_EQ(write_cr(3, 0x123456000), COMPLETED);
    CHECK_EQ(flushed, FLUSH_NONGLOBAL);
    v->cr4 |= CR4_PCIDE;
    CHECK_EQ(write_cr(3, BIT(63) | 0x5005), COMPLETED);
    CHECK_EQ(v->cr3, 0x5005);
    CHECK_EQ(switched_from, 0x123456000);
    CHECK_EQ(switch_keeps, true);
    CHECK_EQ(write_cr(3, 0x6006), COMPLETED);
    CHECK_EQ(switched_from, 0x5005);
    CHECK_EQ(switch_keeps, false);
}

static void cr4(void)
{
    start(LONG, 0);
    CHECK_GP(write_cr(4, CR4_PAE | CR4_LA57));
    CHECK_GP(write_cr(4, CR4_PAE | BIT(40)));
    CHECK_GP(write_cr(4, CR4_PGE));
    v->cr3 = 0x1001;
    CHECK_GP(write_cr(4, CR4_PAE | CR4_PCIDE));
    v->cr3 = 0x1000;
    CHECK_EQ(write_cr(4, CR4_PAE | CR4_PCIDE), COMPLETED);
    CHECK_EQ(flushed, FLUSH_ALL);
    flushed = FLUSH_NONE;
    CHECK_EQ(write_cr(4, v->cr4 | CR4_OSXSAVE), COMPLETED);
    CHECK_EQ(flushed, FLUSH_NONE);
    start(PROTECTED, 0);
    CHECK_GP(write_cr(4, CR4_PCIDE)); /* only in IA-32e mode */
}

static void cr8(void)
{
    start(LONG, 0);
    CHECK_GP(write_cr(8, 16));
    CHECK_EQ(write_cr(8, 9), COMPLETED);
    CHECK_EQ(run.cr8, 9);
    CHECK_EQ(write_cr(8, 3), EXITED);
    CHECK_EQ(exit_reason, KVM_EXIT_SET_TPR);
    CHECK_EQ(v->rip, 0x5004);
    v->lapic = (struct lapic *)v;
    CHECK_EQ(write_cr(8, 5), COMPLETED);
    CHECK_EQ(tpr, 5);
}

static void cr_that_do_not_exist(void)
{
    static const u8 numbers[] = {1, 5, 6, 7, 9, 15};
    start(LONG, 3); /* #UD comes before #GP */
    for (unsigned i = 0; i < ARRAY_SIZE(numbers); i++) {
        struct insn in = instruction(numbers[i], 0, 8);
        CHECK_FAULT(insn_mov_to_cr, &in, EXC_UD, 0);
        CHECK_FAULT(insn_mov_from_cr, &in, EXC_UD, 0);
    }
    struct insn in = instruction(8, 0, 4);
    CHECK_FAULT(insn_mov_from_cr, &in, EXC_GP, 0);
    start(PROTECTED, 0);
    CHECK_FAULT(insn_mov_from_cr, &in, EXC_UD, 0);
}

static void msw(void)
{
    struct insn in;
    start(PROTECTED, 0);
    v->cr0 |= CR0_TS;
    v->gpr[GPR_RAX] = CR0_MP;
    in = instruction(0, GPR_RAX, 2);
    CHECK_EQ(run_handler(insn_lmsw, &in), COMPLETED);
    CHECK_EQ(v->cr0 & 0xf, CR0_PE | CR0_MP); /* PE stays */
    CHECK_EQ(run_handler(insn_clts, &in), COMPLETED);
    v->cr0 = 0x80010013;
    v->gpr[GPR_RAX] = 0x12345678;
    CHECK_EQ(run_handler(insn_smsw, &in), COMPLETED);
    CHECK_EQ(v->gpr[GPR_RAX], 0x12340013);
    in = memory_instruction(0, 4, 0x6000);
    poke(0x6000, 4, ~0u);
    CHECK_EQ(run_handler(insn_smsw, &in), COMPLETED);
    CHECK_EQ(peek(0x6000, 4), 0xffff0013);
    start(PROTECTED, 3);
    CHECK_FAULT(insn_lmsw, &in, EXC_GP, 0);
    CHECK_FAULT(insn_clts, &in, EXC_GP, 0);
    CHECK_EQ(run_handler(insn_smsw, &in), COMPLETED);
    v->cr4 |= CR4_UMIP;
    CHECK_FAULT(insn_smsw, &in, EXC_GP, 0);
}

static void xcr0(void)
{
    struct insn in;
    start(LONG, 0);
    in = instruction(0, 0, 4);
    v->gpr[GPR_RCX] = 0;
    v->xcr0 = 1;
    v->xcr0_supported = 7;
    CHECK_FAULT(insn_xsetbv, &in, EXC_UD, 0);
    CHECK_FAULT(insn_xgetbv, &in, EXC_UD, 0);
    v->cr4 |= CR4_OSXSAVE;
    static const u8 bad[] = {0, 2, 5, 6, 9};
    for (unsigned i = 0; i < ARRAY_SIZE(bad); i++) {
        v->gpr[GPR_RAX] = bad[i];
        CHECK_FAULT(insn_xsetbv, &in, EXC_GP, 0);
    }
    v->gpr[GPR_RAX] = 7;
    CHECK_EQ(run_handler(insn_xsetbv, &in), COMPLETED);
    v->gpr[GPR_RDX] = 99;
    CHECK_EQ(run_handler(insn_xgetbv, &in), COMPLETED);
    CHECK_EQ(v->gpr[GPR_RAX], 7);
    CHECK_EQ(v->gpr[GPR_RDX], 0);
    v->gpr[GPR_RCX] = 1;
    CHECK_FAULT(insn_xgetbv, &in, EXC_GP, 0);
    CHECK_FAULT(insn_xsetbv, &in, EXC_GP, 0);
}

static void debug_registers(void)
{
    struct insn in;
    start(LONG, 0);
    in = instruction(7, GPR_RAX, 8);
    v->gpr[GPR_RAX] = BIT(32);
    CHECK_FAULT(insn_mov_to_dr, &in, EXC_GP, 0);
    v->gpr[GPR_RAX] = 0xffffffff & ~DR7_GD;
    CHECK_EQ(run_handler(insn_mov_to_dr, &in), COMPLETED);
    CHECK_EQ(v->dr[7], 0xffff0fff);
    in = instruction(4, GPR_RAX, 8);
    CHECK_EQ(run_handler(insn_mov_to_dr, &in), COMPLETED);
    CHECK_EQ(v->dr[6], 0xffffcfff);
    v->cr4 |= CR4_DE;
    CHECK_FAULT(insn_mov_to_dr, &in, EXC_UD, 0);
    in = instruction(8, GPR_RAX, 8);
    CHECK_FAULT(insn_mov_from_dr, &in, EXC_UD, 0);
    v->dr[7] |= DR7_GD;
    v->dr[6] = DR6_FIXED;
    in = instruction(0, GPR_RAX, 8);
    CHECK_EQ(run_handler(insn_mov_from_dr, &in), RAISED);
    CHECK_EQ(v->event.vector, EXC_DB);
    CHECK_EQ(v->event.payload, DR6_BD);
    CHECK(v->event.fault);
}

static void table_registers(void)
{
    struct insn in;
    start(LONG, 0);
    in = memory_instruction(0, 8, 0x6000);
    poke(0x6000, 2, 0x1234);
    poke(0x6002, 8, 0xffff800000001000);
    CHECK_EQ(run_handler(insn_lgdt, &in), COMPLETED);
    CHECK_EQ(v->gdtr.base, 0xffff800000001000);
    CHECK_EQ(v->gdtr.limit, 0x1234);
    poke(0x6002, 8, BIT(50));
    CHECK_FAULT(insn_lidt, &in, EXC_GP, 0);
    in = memory_instruction(0, 8, 0x7000);
    CHECK_EQ(run_handler(insn_sgdt, &in), COMPLETED);
    CHECK_EQ(peek(0x7002, 8), 0xffff800000001000);
    start(PROTECTED, 0);
    in = memory_instruction(0, 2, 0x6000);
    poke(0x6000, 8, 0xaabbccddeeff1122);
    CHECK_EQ(run_handler(insn_lidt, &in), COMPLETED);
    CHECK_EQ(v->idtr.base, 0xddeeff);
    start(PROTECTED, 3);
    CHECK_FAULT(insn_lgdt, &in, EXC_GP, 0);
    CHECK_EQ(run_handler(insn_sidt, &in), COMPLETED);
    v->cr4 |= CR4_UMIP;
    CHECK_FAULT(insn_sidt, &in, EXC_GP, 0);
}

static void invlpg(void)
{
    struct insn in;
    start(LONG, 0);
    in = memory_instruction(0, 8, (gva)0xffff800000001234);
    v->seg[SEG_DS].base = 0x1000; /* no meaning in 64-bit mode */
    CHECK_EQ(run_handler(insn_invlpg, &in), COMPLETED);
    CHECK_EQ(flushed_page, 0xffff800000001234);
    in.mem.seg = SEG_GS;
    v->seg[SEG_GS].base = 0x10000;
    CHECK_EQ(run_handler(insn_invlpg, &in), COMPLETED);
    CHECK_EQ(flushed_page, 0xffff800000011234);
    start(LONG, 3);
    CHECK_FAULT(insn_invlpg, &in, EXC_GP, 0);
}

static enum outcome invpcid(u64 type, u64 pcid, u64 address)
{
    struct insn in = memory_instruction(GPR_RBX, 8, 0x6000);
    poke(0x6000, 8, pcid);
    poke(0x6008, 8, address);
    v->gpr[GPR_RBX] = type;
    flushed = FLUSH_NONE;
    return run_handler(insn_invpcid, &in);
}

static void invpcids(void)
{
    start(LONG, 0);
    CHECK_GP(invpcid(4, 0, 0));
    CHECK_GP(invpcid(3, BIT(12), 0));
    CHECK_GP(invpcid(0, 0, BIT(47)));
    CHECK_GP(invpcid(1, 5, 0)); /* without CR4.PCIDE */
    CHECK_EQ(invpcid(0, 0, 0x5000), COMPLETED);
    CHECK_EQ(flushed, FLUSH_PAGE);
    v->cr4 |= CR4_PCIDE;
    v->cr3 = 0x1005;
    CHECK_EQ(invpcid(1, 6, 0), COMPLETED);
    CHECK_EQ(flushed, FLUSH_NONE);
    CHECK_EQ(forgotten, 6);
    CHECK_EQ(invpcid(1, 5, 0), COMPLETED);
    CHECK_EQ(flushed, FLUSH_NONGLOBAL);
    CHECK_EQ(invpcid(2, 0, 0), COMPLETED);
    CHECK_EQ(flushed, FLUSH_ALL);
    no_features = true;
    CHECK_EQ(invpcid(2, 0, 0), RAISED);
    CHECK_EQ(v->event.vector, EXC_UD);
}

static void hlt(void)
{
    static struct vm vm;
    struct insn in;
    start(LONG, 0);
    v->vm = &vm;
    in = instruction(0, 0, 4);
    v->interrupt_shadow = KVM_X86_SHADOW_INT_STI;
    CHECK_EQ(run_handler(insn_hlt, &in), EXITED);
    CHECK_EQ(exit_reason, KVM_EXIT_HLT);
    CHECK_EQ(v->rip, 0x5002);
    CHECK_EQ(v->interrupt_shadow, 0);
    v->lapic = (struct lapic *)v;
    CHECK_EQ(run_handler(insn_hlt, &in), RAISED); /* to the run loop */
    CHECK_EQ(v->mp_state, KVM_MP_STATE_HALTED);
    CHECK_EQ(v->rip, 0x5004);
    start(LONG, 3);
    CHECK_FAULT(insn_hlt, &in, EXC_GP, 0);
}

static void time_stamp(void)
{
    struct insn in;
    start(LONG, 3);
    in = instruction(0, GPR_RBX, 4);
    v->tsc_offset = BIT(40) - host_tsc();
    v->tsc_aux = 0x77;
    v->gpr[GPR_RDX] = v->gpr[GPR_RAX] = ~0ull;
    CHECK_EQ(run_handler(insn_rdtscp, &in), COMPLETED);
    CHECK_EQ(v->gpr[GPR_RDX], BIT(8));
    CHECK_EQ(v->gpr[GPR_RAX] >> 32, 0);
    CHECK_EQ(v->gpr[GPR_RCX], 0x77);
    CHECK_EQ(run_handler(insn_rdpid, &in), COMPLETED);
    CHECK_EQ(v->gpr[GPR_RBX], 0x77);
    v->cr4 |= CR4_TSD;
    CHECK_FAULT(insn_rdtsc, &in, EXC_GP, 0);
    CHECK_FAULT(insn_rdtscp, &in, EXC_GP, 0);
    CHECK_FAULT(insn_rdpmc, &in, EXC_GP, 0);
    no_features = true;
    CHECK_FAULT(insn_rdtscp, &in, EXC_UD, 0);
    CHECK_FAULT(insn_rdpid, &in, EXC_UD, 0);
}

static void msrs(void)
{
    static struct vm vm;
    struct insn in;
    start(LONG, 0);
    v->vm = &vm;
    in = instruction(0, 0, 4);
    v->gpr[GPR_RCX] = 0xffffffff00000001;
    CHECK_EQ(run_handler(insn_rdmsr, &in), COMPLETED);
    CHECK_EQ(v->gpr[GPR_RAX], 0x55667788);
    CHECK_EQ(v->gpr[GPR_RDX], 0x11223344);
    v->gpr[GPR_RDX] |= BIT(40);
    CHECK_EQ(run_handler(insn_wrmsr, &in), COMPLETED);
    CHECK_EQ(msr_written, 0x1122334455667788);
    v->gpr[GPR_RCX] = 2;
    CHECK_FAULT(insn_rdmsr, &in, EXC_GP, 0);
    CHECK_FAULT(insn_wrmsr, &in, EXC_GP, 0);
    start(LONG, 3);
    CHECK_FAULT(insn_rdmsr, &in, EXC_GP, 0);
}

static void cpuid_faulting(void)
{
    struct insn in;
    start(LONG, 3);
    in = instruction(0, 0, 4);
    CHECK_EQ(run_handler(insn_cpuid, &in), COMPLETED);
    v->misc_features = 1;
    CHECK_FAULT(insn_cpuid, &in, EXC_GP, 0);
    v->cpl = 0;
    CHECK_EQ(run_handler(insn_cpuid, &in), COMPLETED);
    v->misc_features = 0;
}

static u64 hypercall(u64 number)
{
    struct insn in = instruction(0, 0, 4);
    v->gpr[GPR_RAX] = number;
    CHECK_EQ(run_handler(insn_vmcall, &in), COMPLETED);
    return v->gpr[GPR_RAX];
}

static void hypercalls(void)
{
    start(LONG, 0);
    CHECK_EQ(hypercall(KVM_HC_VAPIC_POLL_IRQ), 0);
    CHECK_EQ(kicked, REQ_EVENT);
    CHECK_EQ(hypercall(KVM_HC_SEND_IPI), (u64)-KVM_ENOSYS);
    CHECK_EQ(hypercall(KVM_HC_CLOCK_PAIRING), (u64)-KVM_EOPNOTSUPP);
    start(PROTECTED, 3);
    CHECK_EQ(hypercall(KVM_HC_VAPIC_POLL_IRQ), (u32)-1);
}

/* ---- flags.c ---- */

static void popf_as(unsigned cpl, u64 iopl, u64 value, u64 want)
{
    struct insn in;
    start(LONG, cpl);
    in = instruction(0, 0, 8);
    v->rflags = FLAG_FIXED | iopl << 12;
    v->cc = 0;
    poke(v->gpr[GPR_RSP], 8, value);
    CHECK_EQ(run_handler(insn_popf, &in), COMPLETED);
    CHECK_EQ(rflags_get(v), want | FLAG_FIXED);
}

static void flags(void)
{
    u64 user = FLAGS_ARITH | FLAG_TF | FLAG_DF | FLAG_NT | FLAG_AC | FLAG_ID;
    popf_as(0, 0, ~0ull, user | FLAG_IF | FLAG_IOPL);
    popf_as(3, 0, ~0ull, user);
    popf_as(3, 3, ~0ull, user | FLAG_IF | FLAG_IOPL);
    popf_as(3, 3, 0, FLAG_IOPL);
    struct insn in;
    start(LONG, 0);
    in = instruction(0, 0, 8);
    v->rflags = FLAG_FIXED | FLAG_RF | FLAG_AC;
    v->cc = FLAG_ZF << 8 | 1;
    CHECK_EQ(run_handler(insn_pushf, &in), COMPLETED);
    CHECK_EQ(peek(STACK0 - 8, 8), FLAG_FIXED | FLAG_AC | FLAG_ZF | FLAG_OF);
    CHECK_EQ(v->gpr[GPR_RSP], STACK0 - 8);
    start(VM86, 3);
    v->rflags &= ~(u64)FLAG_IOPL;
    CHECK_FAULT(insn_pushf, &in, EXC_GP, 0);
    CHECK_FAULT(insn_popf, &in, EXC_GP, 0);
    CHECK_FAULT(insn_cli, &in, EXC_GP, 0);
}

/* CR4.VME and CR4.PVI: SDM 3A 20.3.3.4, 20.4. */
static void virtual_interrupt_flag(void)
{
    struct insn in = instruction(0, 0, 2);
    start(VM86, 3);
    v->cr4 |= CR4_VME;
    v->rflags = (v->rflags & ~(u64)(FLAG_IOPL | FLAG_IF)) | FLAG_VM;
    u64 flags = v->rflags;
    CHECK_EQ(run_handler(insn_sti, &in), COMPLETED);
    CHECK_EQ(v->rflags, flags | FLAG_VIF);
    gva sp = v->seg_base[SEG_SS] + (u16)v->gpr[GPR_RSP];
    CHECK_EQ(run_handler(insn_pushf, &in), COMPLETED);
    CHECK_EQ(peek(sp - 2, 2) & (FLAG_IF | FLAG_IOPL), FLAG_IF | FLAG_IOPL);
    poke(sp - 2, 2, FLAG_DF | FLAG_IOPL);
    CHECK_EQ(run_handler(insn_popf, &in), COMPLETED);
    CHECK_EQ(v->rflags, flags | FLAG_DF);
    v->gpr[GPR_RSP] -= 2;
    v->rflags |= FLAG_VIP;
    poke(sp - 2, 2, FLAG_IF);
    CHECK_FAULT(insn_popf, &in, EXC_GP, 0);
    CHECK_FAULT(insn_sti, &in, EXC_GP, 0);
    poke(sp - 2, 2, FLAG_TF);
    CHECK_FAULT(insn_popf, &in, EXC_GP, 0);
    in = instruction(0, 0, 4);
    CHECK_FAULT(insn_pushf, &in, EXC_GP, 0);
    start(PROTECTED, 3);
    v->cr4 |= CR4_VME;
    v->rflags &= ~(u64)FLAG_IOPL;
    CHECK_FAULT(insn_sti, &in, EXC_GP, 0);
    v->cr4 = (v->cr4 & ~(u64)CR4_VME) | CR4_PVI;
    CHECK_EQ(run_handler(insn_sti, &in), COMPLETED);
    CHECK(v->rflags & FLAG_VIF);
    CHECK_EQ(run_handler(insn_cli, &in), COMPLETED);
    CHECK(!(v->rflags & FLAG_VIF));
}

static void interrupt_flag(void)
{
    struct insn in;
    start(LONG, 3);
    in = instruction(0, 0, 8);
    CHECK_FAULT(insn_cli, &in, EXC_GP, 0);
    CHECK_FAULT(insn_sti, &in, EXC_GP, 0);
    v->rflags |= FLAG_IOPL;
    CHECK_EQ(run_handler(insn_sti, &in), COMPLETED);
    CHECK_EQ(v->interrupt_shadow, 0); /* was enabled already */
    CHECK_EQ(run_handler(insn_cli, &in), COMPLETED);
    CHECK_EQ(v->rflags & FLAG_IF, 0);
    CHECK_EQ(run_handler(insn_sti, &in), COMPLETED);
    CHECK_EQ(v->interrupt_shadow, KVM_X86_SHADOW_INT_STI);
    CHECK_FAULT(insn_stac, &in, EXC_UD, 0);
    start(LONG, 0);
    CHECK_EQ(run_handler(insn_stac, &in), COMPLETED);
    CHECK(v->rflags & FLAG_AC);
    CHECK_EQ(run_handler(insn_clac, &in), COMPLETED);
    CHECK(!(v->rflags & FLAG_AC));
    no_features = true;
    CHECK_FAULT(insn_stac, &in, EXC_UD, 0);
}

int main(void)
{
    cr0();
    long_mode_switch();
    pae();
    cr3();
    cr4();
    cr8();
    cr_that_do_not_exist();
    msw();
    xcr0();
    debug_registers();
    table_registers();
    invlpg();
    invpcids();
    hlt();
    time_stamp();
    msrs();
    cpuid_faulting();
    hypercalls();
    flags();
    virtual_interrupt_flag();
    interrupt_flag();
    return TEST_DONE();
}
