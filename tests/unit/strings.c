/* strings.c - string instructions: runs and single elements give the same, faults and leaves are restartable
 */
/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <linux/kvm.h>

#include "tests/unit/access_fake.h"
#include "tests/unit/test.h"

enum { FROM = 0x10000, TO = 0x20000, REPE = 0xf3, REPNE = 0xf2, DOWN = FLAG_DF };
static struct kvm_run run;

static void start(enum machine m, u64 from, u64 to, u64 count, u64 df)
{
    vcpu_new(m, 0);
    memset(device, 0, sizeof(device));
    memset(&run, 0, sizeof(run));
    device_accesses = 0;
    v->run = &run;
    v->gpr[GPR_RSI] = from;
    v->gpr[GPR_RDI] = to;
    v->gpr[GPR_RCX] = count;
    v->rflags |= df;
}

static struct insn string(u8 size, u8 rep)
{
    struct insn in = instruction(0, 0, size);
    in.mem.seg = SEG_DS;
    in.rep = rep;
    return in;
}

static void number(gva a, unsigned n)
{
    for (unsigned i = 0; i < n; i++)
        ram[a + i] = (u8)(i * 7 + 1);
}

static void move_over_pages(void)
{
    struct insn in;
    start(LONG, FROM + 0xff9, TO + 0x13, 0x2100, 0);
    number(FROM, 0x4000);
    in = string(1, REPE);
    CHECK_EQ(run_handler(insn_movs, &in), COMPLETED);
    CHECK(!memcmp(ram + TO + 0x13, ram + FROM + 0xff9, 0x2100));
    CHECK_EQ(ram[TO + 0x13 + 0x2100], 0);
    CHECK_EQ(v->gpr[GPR_RCX], 0);
    CHECK_EQ(v->gpr[GPR_RSI], FROM + 0xff9 + 0x2100);
    CHECK_EQ(v->gpr[GPR_RDI], TO + 0x13 + 0x2100);
}

/* Elements that cross pages are no part of a run. */
static void move_unaligned(u64 df)
{
    struct insn in;
    u64 distance = 8 * 0x300;
    start(LONG, FROM + 0x2005, TO + 0x2003, 0x300, df);
    number(FROM, 0x6000);
    in = string(8, REPE);
    CHECK_EQ(run_handler(insn_movs, &in), COMPLETED);
    s64 first = df ? -(s64)distance + 8 : 0;
    CHECK(!memcmp(ram + TO + 0x2003 + first, ram + FROM + 0x2005 + first, distance));
    CHECK_EQ(v->gpr[GPR_RSI], FROM + 0x2005 + (df ? -distance : distance));
    CHECK_EQ(v->gpr[GPR_RDI], TO + 0x2003 + (df ? -distance : distance));
}

/* A move onto itself, one element on, repeats the first element. */
static void move_overlapping(void)
{
    struct insn in;
    start(LONG, FROM, FROM + 2, 100, 0);
    poke(FROM, 2, 0xbeef);
    in = string(2, REPE);
    CHECK_EQ(run_handler(insn_movs, &in), COMPLETED);
    for (unsigned i = 0; i <= 100; i++)
        CHECK_EQ(peek(FROM + 2 * i, 2), 0xbeef);
}

static void fault_in_the_middle(void)
{
    struct insn in;
    start(LONG, FROM, TO, 0x1800, 0);
    number(FROM, 0x2000);
    absent[(TO >> 12) + 1] = true;
    in = string(1, REPE);
    CHECK_FAULT(insn_movs, &in, EXC_PF, PF_W);
    CHECK_EQ(v->event.payload, TO + 0x1000);
    CHECK_EQ(v->gpr[GPR_RCX], 0x800);
    CHECK_EQ(v->gpr[GPR_RSI], FROM + 0x1000);
    absent[(TO >> 12) + 1] = false;
    CHECK_EQ(run_handler(insn_movs, &in), COMPLETED);
    CHECK(!memcmp(ram + TO, ram + FROM, 0x1800));
}

/* Downwards, the fault names the element and not the lowest byte of its page. */
static void fault_downwards(void)
{
    struct insn in;
    start(LONG, 0, TO + 0x100, 0x100, DOWN);
    absent[TO >> 12] = true;
    in = string(4, REPE);
    CHECK_FAULT(insn_stos, &in, EXC_PF, PF_W);
    CHECK_EQ(v->event.payload, TO + 0x100);
}

static void devices(void)
{
    struct insn in;
    start(LONG, FROM, TO, 3, 0);
    device[FROM >> 12] = true;
    in = string(4, REPE);
    CHECK_EQ(run_handler(insn_lods, &in), COMPLETED);
    CHECK_EQ(v->gpr[GPR_RCX], 0);
    CHECK_EQ(v->gpr[GPR_RSI], FROM + 12);
}

static void requests_leave(void)
{
    struct insn in;
    start(LONG, 0, TO, 0x3000, 0);
    v->requests = REQ_EVENT;
    v->gpr[GPR_RAX] = 0x5a;
    in = string(1, REPE);
    u64 rip = v->rip;
    CHECK_EQ(run_handler(insn_stos, &in), RAISED);
    CHECK_EQ(v->rip, rip);
    CHECK(v->gpr[GPR_RCX] > 0 && v->gpr[GPR_RCX] < 0x3000);
    CHECK_EQ(v->gpr[GPR_RDI] - TO, 0x3000 - v->gpr[GPR_RCX]);
    v->requests = 0;
    CHECK_EQ(run_handler(insn_stos, &in), COMPLETED);
    CHECK_EQ(ram[TO + 0x2fff], 0x5a);
    CHECK_EQ(ram[TO + 0x3000], 0);
}

static void stores(void)
{
    struct insn in;
    start(LONG, 0, TO + 0x1008, 0x401, DOWN);
    v->gpr[GPR_RAX] = 0x1122334455667788;
    in = string(8, REPE);
    CHECK_EQ(run_handler(insn_stos, &in), COMPLETED);
    CHECK_EQ(peek(TO + 0x1008, 8), 0x1122334455667788);
    CHECK_EQ(peek(TO - 0x1000 + 8, 8), 0x1122334455667788);
    CHECK_EQ(peek(TO - 0x1000, 8), 0x0);
    in = string(2, 0);
    CHECK_EQ(run_handler(insn_stos, &in), COMPLETED);
    CHECK_EQ(peek(TO - 0xff8 - 8, 2), 0x7788);
}

static void compares(void)
{
    struct insn in;
    start(LONG, FROM, TO, 0x2000, 0);
    number(FROM, 0x2000);
    memcpy(ram + TO, ram + FROM, 0x2000);
    ram[TO + 0x1234]++;
    in = string(1, REPE);
    CHECK_EQ(run_handler(insn_cmps, &in), COMPLETED);
    CHECK_EQ(v->gpr[GPR_RSI], FROM + 0x1235);
    CHECK_EQ(v->gpr[GPR_RCX], 0x2000 - 0x1235);
    CHECK_EQ(rflags_get(v) & (FLAG_ZF | FLAG_CF), FLAG_CF);
    CHECK_EQ(run_handler(insn_cmps, &in), COMPLETED);
    CHECK_EQ(v->gpr[GPR_RCX], 0);
    CHECK_EQ(rflags_get(v) & (FLAG_ZF | FLAG_CF), FLAG_ZF);
}

static void scans(void)
{
    struct insn in;
    start(LONG, 0, TO, ~0ull, 0);
    memset(ram + TO, 'x', 0x2345);
    in = string(1, REPNE);
    CHECK_EQ(run_handler(insn_scas, &in), COMPLETED); /* strlen */
    CHECK_EQ(~v->gpr[GPR_RCX], 0x2346);
    CHECK(rflags_get(v) & FLAG_ZF);
    start(LONG, 0, TO + 6, 4, DOWN);
    for (unsigned i = 0; i < 4; i++)
        poke(TO + 2 * i, 2, 100 + i);
    v->gpr[GPR_RAX] = 101;
    in = string(2, REPNE);
    CHECK_EQ(run_handler(insn_scas, &in), COMPLETED);
    CHECK_EQ(v->gpr[GPR_RDI], TO);
    CHECK_EQ(v->gpr[GPR_RCX], 1);
    /* With a count of 0 nothing happens, to flags neither. */
    v->gpr[GPR_RCX] = 0;
    v->cc = 0x4001;
    CHECK_EQ(run_handler(insn_scas, &in), COMPLETED);
    CHECK_EQ(v->cc, 0x4001);
}

/* 16-bit pointers wrap at 64 KiB, 32-bit ones zero the upper halves. */
static void wraps(void)
{
    struct insn in;
    start(LONG, 0xffffffff00000000 + FROM, 0xabcd00000000 + TO, 0x7700000004, 0);
    number(FROM, 16);
    in = string(4, REPE);
    in.addrsize = 4;
    CHECK_EQ(run_handler(insn_movs, &in), COMPLETED);
    CHECK_EQ(v->gpr[GPR_RSI], FROM + 16);
    CHECK_EQ(v->gpr[GPR_RCX], 0);
    CHECK(!memcmp(ram + TO, ram + FROM, 16));

    start(REAL, 0, 0xfffe, 4, 0);
    in = string(1, REPE);
    in.addrsize = 2;
    v->gpr[GPR_RAX] = 0x77;
    CHECK_EQ(run_handler(insn_stos, &in), COMPLETED);
    CHECK_EQ(v->gpr[GPR_RDI], 2);
    gva es = v->seg[SEG_ES].base;
    CHECK_EQ(peek(es + 0xfffe, 2), 0x7777);
    CHECK_EQ(peek(es, 2), 0x7777);
    CHECK_EQ(peek(es + 0x10000, 2), 0);
}

/* A limit in the middle of a page ends the run, and what lies beyond faults. */
static void limits(void)
{
    struct insn in;
    start(PROTECTED, 0, 0x80, 0x100, 0);
    struct segment es = v->seg[SEG_ES];
    es.base = TO;
    es.limit = 0xff;
    vcpu_set_segment(v, SEG_ES, es);
    v->gpr[GPR_RAX] = 0x66;
    in = string(1, REPE);
    CHECK_FAULT(insn_stos, &in, EXC_GP, 0);
    CHECK_EQ(v->gpr[GPR_RDI], 0x100);
    CHECK_EQ(v->gpr[GPR_RCX], 0x80);
    CHECK_EQ(ram[TO + 0xff], 0x66);
    CHECK_EQ(ram[TO + 0x100], 0);
}

static void single_step(void)
{
    struct insn in;
    start(LONG, 0, TO, 3, 0);
    v->rflags |= FLAG_TF;
    in = string(1, REPE);
    u64 rip = v->rip;
    CHECK_EQ(run_handler(insn_stos, &in), RAISED);
    CHECK_EQ(v->debug.trap, BIT(14));
    CHECK_EQ(v->rflags & FLAG_RF, FLAG_RF);
    CHECK_EQ(v->rip, rip);
    CHECK_EQ(v->gpr[GPR_RCX], 2);
}

int main(void)
{
    move_over_pages();
    move_unaligned(0);
    move_unaligned(DOWN);
    move_overlapping();
    fault_in_the_middle();
    fault_downwards();
    devices();
    requests_leave();
    stores();
    compares();
    scans();
    wraps();
    limits();
    single_step();
    return TEST_DONE();
}
