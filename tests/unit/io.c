/* io.c - port instructions: permission, KVM_EXIT_IO and its completion, chips in the library */
/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <linux/kvm.h>

#include "hypervisor/api/io_bus.h"
#include "hypervisor/irq/irq.h"
#include "tests/unit/access_fake.h"
#include "tests/unit/test.h"

enum { BUFFER = 0x10000, CHIP_PORT = 0x40, PORT = 0x1f0, REP = 0xf3, PORT_IN_DX = 0xec };

static unsigned chip_writes, chip_reads;
static u32 chip_last;

bool irqchip_port_read(struct vcpu *vcpu, u16 port, unsigned len, u32 *value)
{
    (void)vcpu, (void)len;
    if (port != CHIP_PORT)
        return false;
    *value = 0x80 + chip_reads++;
    return true;
}

bool irqchip_port_write(struct vcpu *vcpu, u16 port, unsigned len, u32 value)
{
    (void)vcpu, (void)len;
    if (port != CHIP_PORT)
        return false;
    chip_writes++;
    chip_last = value;
    return true;
}

bool io_bus_write(struct vcpu *vcpu, enum io_bus_kind kind, u64 address, unsigned len, const void *value)
{
    (void)vcpu, (void)kind, (void)address, (void)len, (void)value;
    return false;
}

static struct vm vm;
static _Alignas(4096) u8 mapping[3 * 4096];
static u8 *const data = mapping + 4096;

static void start(enum machine m, unsigned cpl)
{
    vcpu_new(m, cpl);
    memset(mapping, 0, sizeof(mapping));
    memset(device, 0, sizeof(device));
    v->run = (struct kvm_run *)mapping;
    vm.irqchip = (struct irqchip *)&vm;
    v->vm = &vm;
    chip_reads = chip_writes = device_accesses = 0;
    v->gpr[GPR_RDX] = PORT;
}

static struct insn port_insn(u8 opcode, u8 size, u8 rep)
{
    struct insn in = instruction(0, 0, size);
    in.opcode = opcode;
    in.rep = rep;
    in.mem.seg = SEG_DS;
    return in;
}

static void check_exit(u8 direction, u16 port, u8 size, u32 count)
{
    CHECK_EQ(exit_reason, KVM_EXIT_IO);
    CHECK_EQ(v->run->io.direction, direction);
    CHECK_EQ(v->run->io.port, port);
    CHECK_EQ(v->run->io.size, size);
    CHECK_EQ(v->run->io.count, count);
    CHECK_EQ(v->run->io.data_offset, 4096);
}

static void in_and_out(void)
{
    start(LONG, 0);
    struct insn in = port_insn(0xed, 4, 0);
    v->gpr[GPR_RAX] = ~0ull;
    CHECK_EQ(run_handler(insn_in, &in), EXITED);
    check_exit(KVM_EXIT_IO_IN, PORT, 4, 1);
    CHECK_EQ(v->rip, 0x5000);
    memcpy(data, "\x11\x22\x33\x44", 4);
    pio_complete(v);
    CHECK_EQ(v->gpr[GPR_RAX], 0x44332211);
    CHECK_EQ(v->rip, 0x5002);
    pio_complete(v);
    CHECK_EQ(v->rip, 0x5002);

    in = port_insn(0xe7, 2, 0);
    in.imm = ~0ull << 8 | 0x80; /* sign-extended, as an immediate is */
    CHECK_EQ(run_handler(insn_out, &in), EXITED);
    check_exit(KVM_EXIT_IO_OUT, 0x80, 2, 1);
    CHECK(!memcmp(data, "\x11\x22", 2));
    CHECK_EQ(v->rip, 0x5002);
    pio_complete(v);
    CHECK_EQ(v->rip, 0x5004);
}

/* User space has set rip meanwhile: the answer is for nobody. */
static void answer_after_reset(void)
{
    start(LONG, 0);
    struct insn in = port_insn(0xed, 4, 0);
    CHECK_EQ(run_handler(insn_in, &in), EXITED);
    v->rip = 0x7000;
    pio_complete(v);
    CHECK_EQ(v->rip, 0x7000);
    CHECK_EQ(v->gpr[GPR_RAX], 0);
}

static void chips(void)
{
    start(LONG, 0);
    v->gpr[GPR_RDX] = CHIP_PORT;
    v->gpr[GPR_RAX] = 0x1234;
    struct insn in = port_insn(0xee, 1, 0);
    CHECK_EQ(run_handler(insn_out, &in), COMPLETED);
    CHECK_EQ(chip_last, 0x34);
    in = port_insn(PORT_IN_DX, 1, 0);
    CHECK_EQ(run_handler(insn_in, &in), COMPLETED);
    CHECK_EQ(v->gpr[GPR_RAX], 0x1280);
    v->gpr[GPR_RCX] = 3;
    v->gpr[GPR_RDI] = BUFFER;
    in = port_insn(0x6c, 1, REP);
    CHECK_EQ(run_handler(insn_ins, &in), COMPLETED);
    CHECK_EQ(peek(BUFFER, 4), 0x838281);
    CHECK_EQ(v->gpr[GPR_RCX], 0);
    v->gpr[GPR_RCX] = 2;
    v->gpr[GPR_RSI] = BUFFER;
    in = port_insn(0x6e, 1, REP);
    CHECK_EQ(run_handler(insn_outs, &in), COMPLETED);
    CHECK_EQ(chip_writes, 3);
    CHECK_EQ(chip_last, 0x82);
    vm.irqchip = NULL;
    in = port_insn(PORT_IN_DX, 1, 0);
    CHECK_EQ(run_handler(insn_in, &in), EXITED);
}

/* A sector by REP INSW: as much at a time as is in a page. */
static void string_in(void)
{
    start(LONG, 0);
    struct insn in = port_insn(0x6d, 2, REP);
    v->gpr[GPR_RCX] = 0x100;
    v->gpr[GPR_RDI] = BUFFER + 0x1000 - 0x80;
    CHECK_EQ(run_handler(insn_ins, &in), EXITED);
    check_exit(KVM_EXIT_IO_IN, PORT, 2, 0x40);
    memset(data, 0x5a, 0x80);
    pio_complete(v);
    CHECK_EQ(v->rip, 0x5000);
    CHECK_EQ(v->gpr[GPR_RCX], 0xc0);
    CHECK_EQ(v->gpr[GPR_RDI], BUFFER + 0x1000);
    CHECK_EQ(ram[BUFFER + 0xfff], 0x5a);
    CHECK_EQ(run_handler(insn_ins, &in), EXITED);
    check_exit(KVM_EXIT_IO_IN, PORT, 2, 0xc0);
    memset(data, 0x5b, 0x180);
    pio_complete(v);
    CHECK_EQ(v->rip, 0x5002);
    CHECK_EQ(v->gpr[GPR_RCX], 0);
    CHECK_EQ(ram[BUFFER + 0x117f], 0x5b);
    CHECK_EQ(ram[BUFFER + 0x1180], 0);
}

static void string_in_faults(void)
{
    start(LONG, 0);
    struct insn in = port_insn(0x6d, 2, REP);
    v->gpr[GPR_RCX] = 4;
    v->gpr[GPR_RDI] = BUFFER;
    absent[BUFFER >> 12] = true;
    CHECK_FAULT(insn_ins, &in, EXC_PF, PF_W); /* before the port is asked */
    CHECK(!v->pio.active);
    v->gpr[GPR_RCX] = 0;
    CHECK_EQ(run_handler(insn_ins, &in), COMPLETED);
}

static void string_out(void)
{
    start(LONG, 0);
    struct insn in = port_insn(0x6f, 4, REP);
    v->rflags |= FLAG_DF;
    v->gpr[GPR_RCX] = 3;
    v->gpr[GPR_RSI] = BUFFER + 8;
    for (unsigned i = 0; i < 3; i++)
        poke(BUFFER + 4 * i, 4, 100 + i);
    CHECK_EQ(run_handler(insn_outs, &in), EXITED);
    check_exit(KVM_EXIT_IO_OUT, PORT, 4, 3);
    CHECK_EQ(((u32 *)data)[0], 102);
    CHECK_EQ(((u32 *)data)[2], 100);
    CHECK_EQ(v->gpr[GPR_RSI], BUFFER + 8);
    pio_complete(v);
    CHECK_EQ(v->gpr[GPR_RSI], BUFFER - 4);
    CHECK_EQ(v->gpr[GPR_RCX], 0);
    CHECK_EQ(v->rip, 0x5002);
}

/* What is no RAM is handed out element by element. */
static void string_out_of_device(void)
{
    start(LONG, 0);
    struct insn in = port_insn(0x6e, 1, REP);
    v->gpr[GPR_RCX] = 2;
    v->gpr[GPR_RSI] = BUFFER;
    device[BUFFER >> 12] = true;
    CHECK_EQ(run_handler(insn_outs, &in), EXITED);
    check_exit(KVM_EXIT_IO_OUT, PORT, 1, 1);
    pio_complete(v);
    CHECK_EQ(v->gpr[GPR_RCX], 1);
    CHECK_EQ(v->rip, 0x5000);
}

/* ---- permission ---- */

static bool may(u16 port, u8 size)
{
    struct insn in = port_insn(PORT_IN_DX, size, 0);
    v->gpr[GPR_RDX] = port;
    enum outcome o = run_handler(insn_in, &in);
    v->pio.active = false;
    if (o == RAISED)
        CHECK_EQ(v->event.vector, EXC_GP);
    return o != RAISED;
}

static void bitmap(enum machine m)
{
    start(m, 3);
    poke(TSS + 102, 2, 0x68);
    if (m != VM86) {
        CHECK(!may(PORT, 1)); /* the limit of the TSS leaves no room */
        v->rflags |= FLAG_IOPL;
        CHECK(may(PORT, 1));
        v->rflags &= ~(u64)FLAG_IOPL;
    }
    v->seg[SEG_TR].limit = 0x88 + 0x40;
    poke(TSS + 102, 2, 0x88);
    memset(ram + TSS + 0x88, 0xff, 0x100);
    ram[TSS + 0x88 + 0x1f0 / 8] = 0xfc;
    CHECK(may(0x1f0, 1));
    CHECK(may(0x1f1, 1));
    CHECK(!may(0x1f2, 1));
    CHECK(may(0x1f0, 2));
    CHECK(!may(0x1f1, 2));
    CHECK(!may(0x1f0, 4));
    memset(ram + TSS + 0x88, 0, 0x100);
    CHECK(may(0x1f7, 2)); /* over the end of a byte */
    CHECK(may(0x1ff, 1));
    CHECK(!may(0x200, 1)); /* its second byte is beyond the limit */
    CHECK(!may(0xffff, 4));
    v->seg[SEG_TR].attributes = 0x83;
    CHECK(!may(0x1f0, 1)); /* a 16-bit TSS has no bitmap */
}

int main(void)
{
    in_and_out();
    answer_after_reset();
    chips();
    string_in();
    string_in_faults();
    string_out();
    string_out_of_device();
    bitmap(LONG);
    bitmap(PROTECTED);
    bitmap(VM86);
    return TEST_DONE();
}
