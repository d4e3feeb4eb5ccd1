/* operand.c - effective addresses, and registers of all widths */
/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "tests/unit/cpu.h"
#include "tests/unit/test.h"

static u64 offset(u8 addrsize, u8 base, u8 index, u8 scale, s64 disp)
{
    struct insn in = {.addrsize = addrsize, .mem = {base, index, scale, SEG_DS, 4, disp}};
    return operand_offset(v, &in);
}

static void offsets(void)
{
    vcpu_new(LONG, 0);
    v->gpr[GPR_RBX] = 0xffffffffffff0000;
    v->gpr[GPR_R14] = 0x1234;
    CHECK_EQ(offset(8, GPR_NONE, GPR_NONE, 1, -8), -8ull);
    CHECK_EQ(offset(8, GPR_RBX, GPR_R14, 8, 0x10), 0xffffffffffff0000 + 0x1234 * 8 + 0x10);
    CHECK_EQ(offset(4, GPR_RBX, GPR_R14, 8, 0x10), (u32)(0xffff0000 + 0x1234 * 8 + 0x10));
    CHECK_EQ(offset(2, GPR_RBX, GPR_R14, 1, -0x1235), 0xffff);
    CHECK_EQ(offset(4, GPR_NONE, GPR_R14, 2, 0), 0x2468);
}

static void registers(void)
{
    struct insn legacy = {.rex = false}, rex = {.rex = true};
    vcpu_new(LONG, 0);
    v->gpr[GPR_RAX] = 0x1122334455667788;
    v->gpr[GPR_RSP] = 0xaabbccddeeff0011;
    CHECK_EQ(reg_read(v, &legacy, 4, 1), 0x77);
    CHECK_EQ(reg_read(v, &rex, 4, 1), 0x11);
    CHECK_EQ(reg_read(v, &legacy, 0, 1), 0x88);
    CHECK_EQ(reg_read(v, &legacy, 0, 2), 0x7788);
    CHECK_EQ(reg_read(v, &legacy, 0, 4), 0x55667788);
    CHECK_EQ(reg_read(v, &legacy, 0, 8), 0x1122334455667788);

    reg_write(v, &legacy, 4, 1, 0x1ff);
    CHECK_EQ(v->gpr[GPR_RAX], 0x112233445566ff88);
    reg_write(v, &rex, 4, 1, 0x199);
    CHECK_EQ(v->gpr[GPR_RSP], 0xaabbccddeeff0099);
    reg_write(v, &legacy, 0, 2, 0xabcdef);
    CHECK_EQ(v->gpr[GPR_RAX], 0x112233445566cdef);
    reg_write(v, &legacy, 0, 4, 0x99887766554433);
    CHECK_EQ(v->gpr[GPR_RAX], 0x66554433);
    reg_write(v, &legacy, 0, 8, ~0ull);
    CHECK_EQ(v->gpr[GPR_RAX], ~0ull);
}

static void memory(void)
{
    vcpu_new(LONG, 0);
    struct insn in = memory_instruction(0, 4, 0x6000);
    poke(0x6000, 8, 0x8877665544332211);
    CHECK_EQ(operand_read_rm(v, &in, 2), 0x2211);
    CHECK_EQ(operand_read_rm(v, &in, 8), 0x8877665544332211);
    operand_write_rm(v, &in, 4, 0x123456789abcdef0);
    CHECK_EQ(peek(0x6000, 8), 0x887766559abcdef0);
    in.rm_is_mem = false;
    in.rm = GPR_RCX;
    operand_write_rm(v, &in, 4, 0x123456789);
    CHECK_EQ(v->gpr[GPR_RCX], 0x23456789);
    CHECK_EQ(operand_read_rm(v, &in, 1), 0x89);
}

int main(void)
{
    offsets();
    registers();
    memory();
    return TEST_DONE();
}
