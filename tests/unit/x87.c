/* x87.c - the environment's four images, the pointers in save areas, and what the guest's CPUID makes of them
 */
/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "hypervisor/cpu/handlers.h"
#include "hypervisor/cpu/x87.h"
#include "tests/unit/access_fake.h"
#include "tests/unit/test.h"

enum { IMAGE = 0x8000, CS_SELECTOR = 0x1230, DS_SELECTOR = 0x4560, OPCODE = 0x5a3, ERROR = 0x80 };

static void start(enum machine m)
{
    vcpu_new(m, m == VM86 ? 3 : 0);
    fpu_reset(v);
    v->x87.ip = 0x89ab;
    v->x87.dp = 0xcdef;
    v->x87.op = OPCODE;
    v->x87.cs = CS_SELECTOR;
    v->x87.ds = DS_SELECTOR;
}

static void run(sensitive_fn *handler, unsigned opsize, unsigned size)
{
    struct insn in = memory_instruction(0, (u8)opsize, IMAGE);
    in.mem.size = (u8)size;
    fpu_get(v);
    CHECK_EQ(run_handler(handler, &in), COMPLETED);
    fpu_put(v);
}

static u32 image(unsigned offset, unsigned size)
{
    return (u32)peek(v->seg[SEG_DS].base + IMAGE + offset, size);
}

static void check_pointers(u64 ip, u64 dp, u32 op, u16 cs, u16 ds)
{
    CHECK_EQ(v->x87.ip, ip);
    CHECK_EQ(v->x87.dp, dp);
    CHECK_EQ(v->x87.op & X87_OPCODE, op);
    CHECK_EQ(v->x87.cs, cs);
    CHECK_EQ(v->x87.ds, ds);
}

static void protected_images(void)
{
    start(PROTECTED);
    run(insn_fnstenv, 4, 28);
    CHECK_EQ(image(12, 4), 0x89ab);
    CHECK_EQ(image(16, 4), OPCODE << 16 | CS_SELECTOR);
    CHECK_EQ(image(20, 4), 0xcdef);
    CHECK_EQ(image(24, 2), DS_SELECTOR);
    x87_forget(v);
    run(insn_fldenv, 4, 28);
    check_pointers(0x89ab, 0xcdef, OPCODE, CS_SELECTOR, DS_SELECTOR);
    run(insn_fnstenv, 2, 14);
    CHECK_EQ(image(6, 4), CS_SELECTOR << 16 | 0x89ab);
    CHECK_EQ(image(10, 4), (u32)DS_SELECTOR << 16 | 0xcdef);
    run(insn_fldenv, 2, 14);
    check_pointers(0x89ab, 0xcdef, 0, CS_SELECTOR, DS_SELECTOR);
}

/* Linear addresses, which may have 21 bits. */
static void real_images(enum machine m)
{
    start(m);
    run(insn_fnstenv, 4, 28);
    CHECK_EQ(image(12, 2), (0x12300 + 0x89ab) & 0xffff);
    CHECK_EQ(image(16, 4), 1 << 12 | OPCODE);
    CHECK_EQ(image(20, 2), (0x45600 + 0xcdef) & 0xffff);
    CHECK_EQ(image(24, 4), 5 << 12);
    run(insn_fldenv, 4, 28);
    check_pointers(0x12300 + 0x89ab, 0x45600 + 0xcdef, OPCODE, 0, 0);
    run(insn_fnstenv, 2, 14);
    CHECK_EQ(image(6, 4), (1u << 12 | OPCODE) << 16 | ((0x12300 + 0x89ab) & 0xffff));
    CHECK_EQ(image(10, 4), 5u << 28 | ((0x45600 + 0xcdef) & 0xffff));
    v->x87.cs = v->x87.ds = 0xffff;
    v->x87.ip = v->x87.dp = 0xffff;
    run(insn_fnstenv, 4, 28);
    CHECK_EQ(image(16, 4), 0x10u << 12 | OPCODE);
    run(insn_fldenv, 4, 28);
    check_pointers(0x10ffef, 0x10ffef, OPCODE, 0, 0);
}

/* A selector is the one of the time of the instruction. */
static void selectors(void)
{
    start(PROTECTED);
    v->x87.op = OPCODE | X87_CURRENT;
    v->x87.segment = SEG_DS | X87_CURRENT;
    run(insn_fnstenv, 4, 28);
    CHECK_EQ(image(16, 2), v->seg[SEG_CS].selector);
    CHECK_EQ(image(24, 2), v->seg[SEG_DS].selector);
    u16 cs = v->seg[SEG_CS].selector, ds = v->seg[SEG_DS].selector;
    vcpu_set_segment(v, SEG_CS, flat(CS0C, A_CONFORMING));
    vcpu_set_segment(v, SEG_DS, flat(SS3, A_DATA));
    vcpu_set_segment(v, SEG_DS, flat(SS0, A_DATA));
    run(insn_fnsave, 4, 108);
    CHECK_EQ(image(16, 2), cs);
    CHECK_EQ(image(24, 2), ds);
    check_pointers(0, 0, 0, 0, 0);
}

static void areas(void)
{
    struct xsave_area a = {.fsw = 0}, forged = {.fip = 1, .fdp = 2, .fop = 3};
    start(PROTECTED);
    x87_save(v, &a, false);
    CHECK_EQ(a.fip, (u64)CS_SELECTOR << 32 | 0x89ab);
    CHECK_EQ(a.fdp, (u64)DS_SELECTOR << 32 | 0xcdef);
    x87_save(v, &a, true);
    CHECK_EQ(a.fip, 0x89ab);
    v->x87.rules = X87_NO_SELECTORS | X87_OPCODE_AT_ERROR | X87_OPERAND_AT_ERROR; /* Intel's of today */
    x87_save(v, &a, false);
    CHECK(a.fip == 0x89ab && !a.fdp && !a.fop);
    a.fsw = ERROR;
    x87_save(v, &a, false);
    CHECK(a.fip == 0x89ab && a.fdp == 0xcdef && a.fop == OPCODE);
    v->x87.op = OPCODE ^ 1; /* the next instruction raises nothing */
    v->x87.dp = 1;
    a.fsw = 0;
    x87_save(v, &a, true);
    CHECK(a.fdp == 0xcdef && a.fop == OPCODE);
    v->x87.op = OPCODE | 0xc0; /* one without an operand raises */
    a.fsw = ERROR;
    x87_save(v, &a, true);
    CHECK(a.fdp == 0xcdef && a.fop == (OPCODE | 0xc0));
    v->x87.op = OPCODE;
    v->x87.dp = 0xcdef;
    v->x87.rules = X87_SAVED_AT_ERROR | X87_RESTORED_AT_ERROR; /* AMD's before XSAVEERPTR */
    a.fsw = 0;
    x87_save(v, &a, true);
    CHECK(!a.fip && !a.fdp && !a.fop);
    x87_restore(v, &forged, true);
    check_pointers(0x89ab, 0xcdef, OPCODE, CS_SELECTOR, DS_SELECTOR);
    forged.fsw = ERROR;
    x87_restore(v, &forged, true);
    check_pointers(1, 2, 3, 0, 0);
}

int main(void)
{
    TEST_NEEDS_VECTORS();
    protected_images();
    real_images(REAL);
    real_images(VM86);
    selectors();
    areas();
    return TEST_DONE();
}
