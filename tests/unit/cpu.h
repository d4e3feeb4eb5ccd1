/* cpu.h - a vcpu without an engine, for the tests of hypervisor/cpu */
/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Stands in for access.c and run.c: linear memory is the array ram, of which single pages can be made not
 * present; what unwinds to the run loop comes back to run_handler or deliver as a value.
 */
#ifndef UNIT_CPU_H
#define UNIT_CPU_H

#include <setjmp.h>
#include <stdlib.h>
#include <string.h>

#include "hypervisor/cpu/handlers.h"
#include "hypervisor/cpu/segments.h"
#include "hypervisor/vm.h"

enum { RAM_SIZE = 1 << 20 };
static _Alignas(4096) u8 ram[RAM_SIZE];
static bool absent[RAM_SIZE >> 12];
static struct vcpu *v;

enum outcome { COMPLETED, RAISED, EXITED, INTERNAL_ERROR };
static jmp_buf run_loop;
static u32 exit_reason;
static const char *cpu_vendor = "GenuineIntel";

void vcpu_unwind(struct vcpu *vcpu)
{
    (void)vcpu;
    longjmp(run_loop, RAISED);
}

void vcpu_exit(struct vcpu *vcpu, u32 reason)
{
    (void)vcpu;
    exit_reason = reason;
    longjmp(run_loop, EXITED);
}

void vcpu_exit_internal_error(struct vcpu *vcpu, u32 suberror, const struct insn *in)
{
    (void)vcpu, (void)suberror, (void)in;
    longjmp(run_loop, INTERNAL_ERROR);
}

void cpuid_query(struct vcpu *vcpu, u32 leaf, u32 subleaf, u32 out[4])
{
    (void)vcpu, (void)leaf, (void)subleaf;
    memcpy(&out[1], cpu_vendor, 4);
    memcpy(&out[3], cpu_vendor + 4, 4);
    memcpy(&out[2], cpu_vendor + 8, 4);
}

static u8 *linear(struct vcpu *vcpu, gva a, size_t n, bool write, enum access_as as)
{
    bool user = as == AS_USER || (as == AS_CPL && vcpu->cpl == 3);
    for (gva p = a; p < a + n; p++)
        if (p >= RAM_SIZE || absent[p >> 12])
            raise_page_fault(vcpu, p, (write ? PF_W : 0) | (user ? PF_U : 0));
    return ram + a;
}

u64 guest_load(struct vcpu *vcpu, gva a, unsigned size, enum access_as as)
{
    u64 value = 0;
    memcpy(&value, linear(vcpu, a, size, false, as), size);
    return value;
}

void guest_store(struct vcpu *vcpu, gva a, unsigned size, u64 value, enum access_as as)
{
    memcpy(linear(vcpu, a, size, true, as), &value, size);
}

void guest_probe_write(struct vcpu *vcpu, gva a, size_t n, enum access_as as)
{
    linear(vcpu, a, n, true, as);
}

void *guest_rmw_address(struct vcpu *vcpu, gva a, unsigned size, enum access_as as)
{
    return linear(vcpu, a, size, true, as);
}

void guest_rmw_done(struct vcpu *vcpu)
{
    (void)vcpu;
}

void guest_commit(struct vcpu *vcpu)
{
    (void)vcpu;
}

#ifndef UNIT_CPU_OWN_PAGING /* the test has its own of these */
void tlb_flush_nonglobal(struct vcpu *vcpu)
{
    (void)vcpu;
}

bool paging_load_pdptes(struct vcpu *vcpu, u64 cr3)
{
    (void)vcpu, (void)cr3;
    return true;
}
#endif

/* ---- building a machine ---- */

__attribute__((unused)) static u64 peek(gva a, unsigned size)
{
    u64 value = 0;
    memcpy(&value, ram + a, size);
    return value;
}

__attribute__((unused)) static void poke(gva a, unsigned size, u64 value)
{
    memcpy(ram + a, &value, size);
}

/* Where the tests keep their tables. */
enum {
    GDT = 0x1000,
    IDT = 0x2000,
    LDT = 0x3000,
    TSS = 0x4000,
    STACK0 = 0x8000,
    STACK3 = 0x9000,
    IST1 = 0xa000
};

/* attributes as in struct segment; limit in its unit. */
static u64 descriptor(u32 base, u32 limit, u16 attributes)
{
    return (limit & 0xffff) | (u64)(base & 0xffffff) << 16 | (u64)attributes << 40 |
           (u64)(limit >> 16 & 15) << 48 | (u64)(base >> 24) << 56;
}

__attribute__((unused)) static void set_gdt(u16 selector, u32 base, u32 limit, u16 attributes)
{
    poke(GDT + (selector & ~7u), 8, descriptor(base, limit, attributes));
}

/* Selectors of the GDT that vcpu_new sets up, and flat descriptors' attributes. */
enum {
    CS0 = 0x08,
    SS0 = 0x10,
    CS3 = 0x1b,
    SS3 = 0x23,
    CS64 = 0x28,
    CS64U = 0x33,
    CS0C = 0x38,
    TSS_SEL = 0x40,
    FREE = 0x50
};
enum { A_CODE32 = 0xc09a, A_DATA = 0xc092, A_CODE64 = 0xa09a, A_CONFORMING = 0xc09e, A_DPL3 = 0x60 };

static struct segment flat(u16 selector, u16 attributes)
{
    return (struct segment){selector, attributes | 1, 0xffffffff, 0};
}

enum machine { REAL, PROTECTED, VM86, LONG };

static void set_privilege(enum machine m, unsigned cpl)
{
    u16 dpl = cpl ? A_DPL3 : 0;
    u16 code = m == LONG ? A_CODE64 : A_CODE32;
    u16 cs = m == LONG ? (cpl ? CS64U : CS64) : (cpl ? CS3 : CS0);
    vcpu_set_segment(v, SEG_CS, flat(cs, code | dpl));
    vcpu_set_segment(v, SEG_SS, flat(cpl ? SS3 : SS0, A_DATA | dpl));
    for (unsigned s = SEG_DS; s <= SEG_GS; s++)
        vcpu_set_segment(v, (enum seg)s, flat(cpl ? SS3 : SS0, A_DATA | dpl));
    vcpu_set_segment(v, SEG_ES, v->seg[SEG_DS]);
    v->gpr[GPR_RSP] = cpl ? STACK3 : STACK0;
}

static void set_real_segments(void)
{
    for (unsigned s = 0; s < 6; s++) {
        struct segment d = {0x100 + s, 0x93, 0xffff, 0x1000 + s * 16};
        vcpu_set_segment(v, (enum seg)s, d);
        vcpu_set_segment(v, (enum seg)s, segment_real(v, (enum seg)s, d.selector));
    }
    v->gpr[GPR_RSP] = 0x800;
}

/* A clean machine in mode m at privilege cpl (0 or 3); in virtual-8086 mode cpl is 3. */
__attribute__((unused)) static void vcpu_new(enum machine m, unsigned cpl)
{
    static const struct {
        u16 selector, attributes;
    } gdt[] = {{CS0, A_CODE32},        {SS0, A_DATA},    {CS3, A_CODE32 | A_DPL3},
               {SS3, A_DATA | A_DPL3}, {CS64, A_CODE64}, {CS64U, A_CODE64 | A_DPL3},
               {CS0C, A_CONFORMING}};
    static void *allocated;
    free(allocated);
    allocated = calloc(1, sizeof(*v) + _Alignof(struct vcpu)); /* mostly zero pages, never touched */
    v = (struct vcpu *)ALIGN_UP((uintptr_t)allocated, _Alignof(struct vcpu));
    memset(ram, 0, sizeof(ram));
    memset(absent, 0, sizeof(absent));
    cpu_vendor = "GenuineIntel";
    for (unsigned i = 0; i < ARRAY_SIZE(gdt); i++)
        set_gdt(gdt[i].selector, 0, 0xfffff, gdt[i].attributes);
    v->gdtr = (struct table_register){GDT, 0xff};
    v->idtr = (struct table_register){m == REAL ? 0 : IDT, 0xfff};
    v->rip = 0x5000;
    v->rflags = FLAG_FIXED | FLAG_IF;
    v->cr0 = m == REAL ? 0 : CR0_PE;
    if (m == LONG)
        v->efer = EFER_LMA | EFER_LME | EFER_SCE;
    if (m == VM86)
        v->rflags |= FLAG_VM | FLAG_IOPL;
    if (m == REAL || m == VM86)
        set_real_segments();
    else
        set_privilege(m, cpl);
    v->seg[SEG_TR] = (struct segment){TSS_SEL, 0x8b, 0x67, TSS};
    if (m == LONG) {
        poke(TSS + 4, 8, STACK0);
        poke(TSS + 36, 8, IST1);
    } else {
        poke(TSS + 4, 4, STACK0);
        poke(TSS + 8, 2, SS0);
    }
}

/* ---- running ---- */

/* Runs a handler as the run loop does. */
__attribute__((unused)) static enum outcome run_handler(sensitive_fn *handler, const struct insn *in)
{
    v->event.pending = false;
    v->next_rip = v->rip + in->length;
    enum outcome o = (enum outcome)setjmp(run_loop);
    if (o)
        return o;
    handler(v, in);
    v->rip = v->next_rip;
    return COMPLETED;
}

/* Runs the handler and expects that exception. */
#define CHECK_FAULT(handler, in, want_vector, want_code) \
    do {                                                 \
        CHECK_EQ(run_handler(handler, in), RAISED);      \
        CHECK_EQ(v->event.vector, want_vector);          \
        CHECK_EQ(v->event.error_code, want_code);        \
    } while (0)

/* A register-form instruction of 2 bytes. */
__attribute__((unused)) static struct insn instruction(u8 reg, u8 rm, u8 opsize)
{
    u8 bits = in_64bit(v) ? 64 : v->seg[SEG_CS].attributes & SEG_DB ? 32 : 16;
    return (struct insn){.rip = v->rip,
                         .length = 2,
                         .opsize = opsize,
                         .addrsize = bits / 8,
                         .bits = bits,
                         .reg = reg,
                         .rm = rm,
                         .rex = bits == 64};
}

/* One with a memory operand at offset disp of DS. */
__attribute__((unused)) static struct insn memory_instruction(u8 reg, u8 opsize, gva disp)
{
    struct insn in = instruction(reg, 0, opsize);
    in.rm_is_mem = true;
    in.mem = (struct memop){GPR_NONE, GPR_NONE, 1, SEG_DS, opsize, (s64)disp};
    return in;
}

#endif
