/* faults.c - exceptions: vector, error code, saved state, and what must not have happened (SDM 3A ch. 6) */
/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "tests/guests/lib/guest.h"

#define NON_CANONICAL 0x8000000000000000ull

static u8 scratch[64];

static void divide(void)
{
    RAISES("div by zero", DE, 0, "divl %%ecx", ::"a"(1), "d"(0), "c"(0) : "memory");
    RAISES("div8 overflow", DE, 0, "divb %%cl", ::"a"(0xffff), "c"(1) : "memory");
    RAISES("div64 overflow", DE, 0, "divq %%rcx", ::"a"(0), "d"(5), "c"(5) : "memory");
    volatile u64 zero = 0;
    RAISES("div by zero in memory", DE, 0, "divq %0", ::"m"(zero), "a"(1), "d"(0) : "memory");
    struct trap t = TRY("divl %%ecx", ::"a"(0x1234), "d"(0), "c"(0) : "memory");
    check_eq("div by zero keeps rax", t.rax, 0x1234);
    t = TRY("cltd\n\tidivl %%ecx", ::"a"(0x80000000), "c"(-1) : "rdx", "memory");
    check_trap("idiv overflow", t, DE, 0, 1);
    t = TRY("idivl %%ecx", ::"a"(0), "d"(0), "c"(0) : "memory");
    check_trap("idiv by zero", t, DE, 0, 0);
}

static void invalid_opcode(void)
{
    RAISES("ud2", UD, 0, "ud2", ::: "memory");
    RAISES("ud1", UD, 0, ".byte 0x0f, 0xb9, 0xc0", ::: "memory");
    RAISES("push es in 64-bit mode", UD, 0, ".byte 0x06", ::: "memory");
    RAISES("aaa in 64-bit mode", UD, 0, ".byte 0x37", ::: "memory");
    RAISES("far jump with pointer in 64-bit mode", UD, 0, ".byte 0xea, 0, 0, 0, 0, 8, 0", ::: "memory");
    RAISES("lock with register operand", UD, 0, ".byte 0xf0, 0x01, 0xc0", ::: "memory");
    tcg_differs("accepts lock mov");
    RAISES("lock mov", UD, 0, ".byte 0xf0, 0x89, 0x00", ::"a"(scratch) : "memory");
    RAISES("lock cmp", UD, 0, ".byte 0xf0, 0x39, 0x00", ::"a"(scratch) : "memory");
    RAISES("mov cs, eax", UD, 0, ".byte 0x8e, 0xc8", ::"a"(CODE64) : "memory");
    RAISES("lea with register", UD, 0, ".byte 0x8d, 0xc0", ::: "memory");
    RAISES("mov cr1", UD, 0, ".byte 0x0f, 0x20, 0xc8", ::: "rax", "memory");
    RAISES("mov to cr5", UD, 0, ".byte 0x0f, 0x22, 0xe8", ::"a"(0) : "memory");
}

static void breakpoints(void)
{
    struct trap t = TRY("int3", ::: "memory");
    check_trap("int3", t, BP, 0, 1);
    t = TRY(".byte 0xcd, 3", ::: "memory");
    check_trap("int 3, two bytes", t, BP, 0, 2);
    t = TRY("int $0x81", ::: "memory");
    check_trap("int 0x81", t, 0x81, 0, 2);
    tcg_differs("has no int1");
    t = TRY(".byte 0xf1", ::: "memory");
    check_trap("int1", t, DB, 0, 1);
}

static void general_protection(void)
{
    RAISES("read of non-canonical address", GP, 0, "mov (%0), %%eax", ::"S"(NON_CANONICAL) : "rax", "memory");
    RAISES("write of non-canonical address", GP, 0, "movl $1, (%0)", ::"D"(NON_CANONICAL) : "memory");
    RAISES("read-modify-write of non-canonical address", GP, 0, "incl (%0)", ::"S"(0x0000800000000000ull)
           : "memory");
    RAISES("lock of non-canonical address", GP, 0, "lock incl (%0)", ::"S"(0xffff7fffffffffffull) : "memory");
    tcg_differs("does not check for canonical stack addresses");
    RAISES("non-canonical address by rsp is a stack fault", SS, 0, "mov (%%rsp, %0), %%eax",
           ::"r"(NON_CANONICAL)
           : "rax", "memory");
    tcg_differs("loads ss with a null selector of another privilege");
    RAISES("null selector with RPL 3 to ss", GP, 0, "mov %0, %%ss", ::"r"(3) : "memory");
    RAISES("selector beyond the GDT", GP, 0x1000, "mov %0, %%ds", ::"r"(0x1000) : "memory");
    RAISES("selector of an empty descriptor", GP, GDT_FREE, "mov %0, %%fs", ::"r"(GDT_FREE) : "memory");
    __asm__ volatile("lldt %w0" ::"r"(0));
    RAISES("selector in an absent LDT", GP, 0x0c, "mov %0, %%gs", ::"r"(0x0c) : "memory");
    RAISES("code segment to ss", GP, CODE64, "mov %0, %%ss", ::"r"(CODE64) : "memory");
    RAISES("ring 3 data to ss", GP, USER_DATA & ~3, "mov %0, %%ss", ::"r"(USER_DATA) : "memory");
    gdt[GDT_FREE / 8] = 0x00cf13000000ffff; /* data, not present */
    RAISES("segment not present", NP, GDT_FREE, "mov %0, %%es", ::"r"(GDT_FREE) : "memory");
    RAISES("stack segment not present", SS, GDT_FREE, "mov %0, %%ss", ::"r"(GDT_FREE) : "memory");
    gdt[GDT_FREE / 8] = 0;
    tcg_differs("ignores unknown MSRs");
    RAISES("wrmsr of an unknown MSR", GP, 0, "wrmsr", ::"c"(0x12345678), "a"(0), "d"(0) : "memory");
    tcg_differs("ignores unknown MSRs");
    RAISES("rdmsr of an unknown MSR", GP, 0, "rdmsr", ::"c"(0x12345678) : "rax", "rdx", "memory");
    RAISES("ltr of a busy TSS", GP, TSS, "ltr %w0", ::"r"(TSS) : "memory");
}

u64 nowhere = NON_CANONICAL; /* code names it */

/* A near branch to no canonical address faults itself, at code + at, its registers as before (SDM 2A, 2B). */
static void bad_branch(const char *name, struct trap t, s64 at, s64 pushed)
{
    tcg_differs("faults at the target");
    check_trap(name, t, GP, 0, at);
    tcg_differs("faults at the target");
    check_eq("  rsp", t.rsp, trap_rsp - (u64)pushed);
}

static void branches(void)
{
    bad_branch("jmp to no canonical address", TRY("jmp *%0", ::"a"(NON_CANONICAL) : "memory"), 0, 0);
    bad_branch("  by memory", TRY("jmp *nowhere", ::: "memory"), 0, 0);
    bad_branch("  the first that is none", TRY("jmp *%0", ::"a"(0x0000800000000000ull) : "memory"), 0, 0);
    bad_branch("call", TRY("call *%0", ::"a"(NON_CANONICAL) : "memory"), 0, 0);
    bad_branch("  by memory", TRY("call *nowhere", ::: "memory"), 0, 0);
    bad_branch("ret", TRY("push nowhere\n\tret", ::: "memory"), 7, 8);
    bad_branch("  with bytes to leave", TRY("push nowhere\n\tret $24", ::: "memory"), 7, 8);
    bad_branch("  behind a prefix", TRY("push nowhere\n\trepz ret", ::: "memory"), 7, 8);
    bad_branch("  in the middle of flags that are used",
               TRY("push nowhere\n\tcmp %0, %0\n\tret", ::"a"(1)
                   : "memory", "cc"),
               9, 8);
    check_eq("  which stay", trap_last.rflags & 0x40, 0x40);
    bad_branch("  when it is stepped over",
               TRY("push nowhere\n\tpush $0x102\n\tpopf\n\tret", ::
                       : "memory", "cc"),
               13, 8);
}

#define CANONICAL_END 0x0000800000000000ull
static u8 user_stack[4096] __attribute__((aligned(16), used));

/* The last instruction of the lower half; what faults is at CANONICAL_END - at. */
static const struct {
    const char *name;
    u8 code[8];
    unsigned length, at;
} last[] = {
    {"nop", {0x90}, 1, 0},
    {"add", {0x48, 0x01, 0xc0}, 3, 0},
    {"jmp", {0xeb, 0x10}, 2, 2},
    {"jmp with 32 bits", {0xe9, 0, 0, 0, 0}, 5, 5},
    {"je", {0x48, 0x39, 0xc0, 0x74, 0x01}, 5, 2},
    {"jne, which is not taken", {0x48, 0x39, 0xc0, 0x75, 0x01}, 5, 0},
    {"loop", {0xe2, 0x00}, 2, 2},
    {"jrcxz, which is not taken", {0xe3, 0x00}, 2, 0},
    {"call", {0xe8, 0, 0, 0, 0}, 5, 5},
    {"vmcall", {0x0f, 0x01, 0xc1}, 3, 0},
    {"half an instruction", {0x48}, 1, 1},
};

static void check_last(unsigned i, struct trap t, const char *name)
{
    tcg_differs("has addresses in full");
    check_eq(name, t.vector == GP && t.error == 0 ? t.rip : 0, CANONICAL_END - last[i].at);
    tcg_differs("has addresses in full");
    check_eq("  rcx", t.rcx, 5);
}

static void end_of_addresses(void)
{
    u8 *page = page_alloc();
    page_map(CANONICAL_END - 4096, (u64)page, PTE_P | PTE_W | PTE_U, 1);
    for (unsigned i = 0; i < sizeof(last) / sizeof(last[0]); i++) {
        u64 start = CANONICAL_END - last[i].length;
        memset(page, 0x90, 4096);
        memcpy(page + 4096 - last[i].length, last[i].code, last[i].length);
        struct trap t = TRY("mov %%rsp, %%rsi\n\tjmp *%0", ::"d"(start), "c"(5ull), "a"(-1)
                            : "rsi", "memory", "cc");
        check_last(i, t, last[i].name);
        tcg_differs("has addresses in full");
        check_eq("  rsp", t.rsp, t.rsi);
        t = TRY("pushq $0x2b\n\tpushq $user_stack + 4096\n\tpushq $0x202\n\tpushq $0x33\n\tpushq %0\n\tiretq",
                ::"d"(start), "c"(5ull), "a"(-1)
                : "memory", "cc");
        check_last(i, t, "  in ring 3");
        tcg_differs("has addresses in full");
        check_eq("  rsp", t.rsp, (u64)user_stack + 4096);
    }
}

static void control_registers(void)
{
    if (on_tcg()) {
        skip("control register checks", "TCG does them not, or hangs");
        return;
    }
    word cr4 = read_cr4();
    RAISES("reserved bit of CR4", GP, 0, "mov %0, %%cr4", ::"r"(cr4 | BIT(40)) : "memory");
    RAISES("reserved low bit of CR4", GP, 0, "mov %0, %%cr4", ::"r"(cr4 | BIT(15)) : "memory");
    RAISES("clearing PAE in long mode", GP, 0, "mov %0, %%cr4", ::"r"(cr4 & ~(word)CR4_PAE) : "memory");
    RAISES("CR0 with PG and without PE", GP, 0, "mov %0, %%cr0", ::"r"(0x80000010ull) : "memory");
    RAISES("CR0 with NW and without CD", GP, 0, "mov %0, %%cr0", ::"r"(read_cr0() | BIT(29)) : "memory");
    RAISES("CR0 above 32 bits", GP, 0, "mov %0, %%cr0", ::"r"(read_cr0() | BIT(32)) : "memory");
    RAISES("CR3 above the physical address", GP, 0, "mov %0, %%cr3", ::"r"(read_cr3() | BIT(60)) : "memory");
    RAISES("reserved bit of EFER", GP, 0, "wrmsr", ::"c"(EFER), "a"((u32)rdmsr(EFER) | 0x10000), "d"(0)
           : "memory");
    RAISES("clearing LME under paging", GP, 0, "wrmsr", ::"c"(EFER), "a"(EFER_NXE), "d"(0) : "memory");
    RAISES("non-canonical LSTAR", GP, 0, "wrmsr", ::"c"(LSTAR), "a"(0), "d"(0x80000000) : "memory");
    RAISES("non-canonical FS base", GP, 0, "wrmsr", ::"c"(FS_BASE), "a"(0), "d"(0x80000000) : "memory");
    check_eq("CR4 is as it was", read_cr4(), cr4);
}

/* A #GP for an IDT entry has the vector and the IDT bit in its error code; the inner fault's EXT bit is clear
 * for int. */
static void idt_faults(void)
{
    idt_set(0x90, trap_entries[0x90], CODE64, 0x0e, 0); /* not present */
    tcg_differs("counts 16 bytes a gate in the error code");
    RAISES("int to an absent gate", NP, 0x90 * 8 + 2, "int $0x90", ::: "memory");
    idt_set(0x90, trap_entries[0x90], CODE64, 0x80, 0); /* not a gate */
    tcg_differs("counts 16 bytes a gate in the error code");
    RAISES("int to something that is no gate", GP, 0x90 * 8 + 2, "int $0x90", ::: "memory");
    idt_set(0x90, trap_entries[0x90], DATA, 0x8e, 0);
    RAISES("int to a data segment", GP, DATA, "int $0x90", ::: "memory");
    idt_set(0x90, trap_entries[0x90], 0, 0x8e, 0);
    RAISES("int to a null segment", GP, 0, "int $0x90", ::: "memory");
    idt_set(0x90, trap_entries[0x90], CODE64, 0x8e, 0);
    struct trap t = TRY("int $0x90", ::: "memory");
    check_trap("int to a repaired gate", t, 0x90, 0, 2);
}

/* #PF on delivery of #UD, whose handler cannot be pushed to the stack that is not there, is a double fault.
 */
static void double_fault(void)
{
    struct trap t = TRY("mov %0, %%rsp\n\tud2", ::"r"(TEST_VA) : "memory");
    check_eq("no stack for #PF: vector", (u64)t.vector, DF);
    check_eq("no stack for #PF: error code", t.error, 0);
    check_eq("no stack for #PF: saved rsp", t.rsp, TEST_VA);
}

static volatile u64 order;
static void nested_breakpoint(struct frame *f)
{
    (void)f;
    order = order * 10 + 3;
}
static void outer_invalid(struct frame *f)
{
    order = order * 10 + 1;
    __asm__ volatile("int3");
    order = order * 10 + 2;
    f->rip += 2; /* over ud2 */
}

static void nested(void)
{
    trap_handle(BP, nested_breakpoint);
    trap_handle(UD, outer_invalid);
    order = 0;
    u64 kept = 0x1122334455667788;
    __asm__ volatile("ud2" : "+r"(kept)::"memory");
    check_eq("a breakpoint in the handler of #UD", order, 132);
    check_eq("registers after nested handlers", kept, 0x1122334455667788);
    trap_handle(BP, NULL);
    trap_handle(UD, NULL);
}

/* Saved arithmetic flags are those of the instructions before, exactly, whatever was computed since by none.
 */
static void saved_flags(void)
{
    enum { STATUS = CF | PARITY | AF | ZF | SF | OVERFLOW };
    struct trap t = TRY("xor %%eax, %%eax\n\tud2", ::: "rax", "memory");
    check_eq("flags of xor", t.rflags & STATUS & ~AF, ZF | PARITY);
    t = TRY("mov $0x7f, %%al\n\tadd $1, %%al\n\tud2", ::: "rax", "memory");
    check_eq("flags of add overflowing", t.rflags & STATUS, SF | OVERFLOW | AF);
    t = TRY("mov $1, %%al\n\tsub $2, %%al\n\tmovl $5, (%0)", ::"r"(TEST_VA) : "rax", "memory");
    check_eq("flags of sub at a later page fault", t.rflags & STATUS, CF | SF | AF | PARITY);
    t = TRY("stc\n\tmov (%0), %%eax\n\tadd $1, %%eax", ::"r"(TEST_VA) : "rax", "memory");
    check_eq("flags at a fault before they die", t.rflags & CF, CF);
    t = TRY("stc\n\tadc %%eax, (%0)", ::"r"(TEST_VA) : "rax", "memory");
    check_eq("flags at a faulting adc", t.rflags & CF, CF);
    t = TRY("std\n\tud2", ::: "memory");
    check_eq("direction flag is saved", t.rflags & DIRECTION, DIRECTION);
    t = TRY("xor %%eax, %%eax\n\tinc %%eax\n\tdiv %%cl", ::"c"(0) : "rax", "rdx", "memory");
    tcg_differs("has no resume flag");
    check_eq("resume flag is set by a fault", t.rflags & RF, RF);
    t = TRY("int3", ::: "memory");
    check_eq("resume flag is clear after a trap", t.rflags & RF, 0);
}

static volatile unsigned steps;
static volatile u64 step_dr6;
static void single_step(struct frame *f)
{
    steps++;
    step_dr6 = read_dr6();
    write_dr6(0xffff0ff0);
    if (steps == 4)
        f->rflags &= ~(u64)TF;
}

static void trap_flag(void)
{
    trap_handle(DB, single_step);
    steps = 0;
    __asm__ volatile("pushf\n\torl $0x100, (%%rsp)\n\tpopf\n\tnop\n\tnop\n\tnop\n\tnop\n\tnop" ::
                         : "memory", "cc");
    check_eq("TF traps after each instruction until it is cleared", steps, 4);
    check_eq("DR6.BS", step_dr6 & BIT(14), BIT(14));
    trap_handle(DB, NULL);
}

int main(void)
{
    divide();
    invalid_opcode();
    breakpoints();
    general_protection();
    branches();
    end_of_addresses();
    control_registers();
    idt_faults();
    double_fault();
    nested();
    saved_flags();
    trap_flag();
    return 0;
}
