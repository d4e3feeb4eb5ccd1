/* protected32.c - 32-bit protected mode: gates, stacks, task state, segments, string and stack widths (SDM 3A
 * ch. 5, 6) */
/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "tests/guests/lib/guest.h"

u32 data[64]; /* code names it */
static u8 user_stack[4096] __attribute__((aligned(16)));

/* Runs code in ring 3 until it raises an exception. */
#define USER(code, ...)                                                                              \
    TRY("pushl $0x2b\n\tpushl %0\n\tpushl $0x202\n\tpushl $0x23\n\tpushl $775f\n\tiret\n775:\t" code \
        "\n\tud2",                                                                                   \
        ::"i"(user_stack + sizeof(user_stack)), __VA_ARGS__)

static void set_descriptor(unsigned selector, u32 base, u32 limit, unsigned type, unsigned flags)
{
    gdt[selector / 8] = (limit & 0xffff) | (u64)(base & 0xffffff) << 16 | (u64)type << 40 |
                        (u64)(limit >> 16 & 15) << 48 | (u64)flags << 52 | (u64)(base >> 24) << 56;
}

static void exceptions(void)
{
    RAISES("ud2", UD, 0, "ud2", ::: "memory");
    RAISES("div by zero", DE, 0, "divl %%ecx", ::"a"(1), "d"(0), "c"(0) : "memory");
    struct trap t = TRY("int3", ::: "memory");
    check_trap("int3", t, BP, 0, 1);
    t = TRY("int $0x77", ::: "memory");
    check_trap("int 0x77", t, 0x77, 0, 2);
    t = TRY("mov $0x7fffffff, %%eax\n\tinc %%eax\n\tinto", ::: "eax", "memory", "cc");
    check_trap("into", t, OF, 0, 7);
    RAISES("null ss", GP, 0, "mov %0, %%ss", ::"r"(0) : "memory");
    RAISES("selector beyond the GDT", GP, 0x1000, "mov %0, %%ds", ::"r"(0x1000) : "memory");
    set_descriptor(GDT_FREE, 0, 0xfffff, 0x13, 12);
    RAISES("segment not present", NP, GDT_FREE, "mov %0, %%es", ::"r"(GDT_FREE) : "memory");
    RAISES("stack segment not present", SS, GDT_FREE, "mov %0, %%ss", ::"r"(GDT_FREE) : "memory");
    idt_set(0x90, trap_entries[0x90], CODE32, 0x0e, 0);
    RAISES("int to an absent gate", NP, 0x90 * 8 + 2, "int $0x90", ::: "memory");
    RAISES("rdmsr of EFER is there", NONE, 0, "rdmsr", ::"c"(EFER) : "eax", "edx", "memory");
    RAISES("syscall in protected mode without SCE", UD, 0, ".byte 0x0f, 0x05", ::: "ecx", "memory");
}

static void user_mode(void)
{
    struct trap t = USER("mov %%cs, %%eax\n\tmov %%ss, %%ecx", "i"(0) : "eax", "ecx", "memory");
    check_eq("ring 3: vector of the ud2", (u64)(s64)t.vector, UD);
    check_eq("  cs", t.rax & 0xffff, USER_CODE32);
    check_eq("  ss", t.rcx & 0xffff, USER_DATA);
    check_eq("  saved esp", t.rsp, (u32)(user_stack + sizeof(user_stack)));
    check_eq("  saved ss", t.ss & 0xffff, USER_DATA);
    t = USER("cli", "i"(0) : "memory");
    check_eq("  cli: vector", (u64)(s64)t.vector, GP);
    t = USER("hlt", "i"(0) : "memory");
    check_eq("  hlt: vector", (u64)(s64)t.vector, GP);
    t = USER("inb $0x80, %%al", "i"(0) : "eax", "memory");
    check_eq("  in: vector", (u64)(s64)t.vector, GP);
    t = USER("int $0x80", "i"(0) : "memory");
    check_eq("  int 0x80 through a gate of ring 0: error", t.error, 0x80 * 8 + 2);
    idt_set(0x80, trap_entries[0x80], CODE32, 0xee, 0);
    t = USER("int $0x80", "i"(0) : "memory");
    check_eq("  int 0x80 through a gate of ring 3: vector", (u64)(s64)t.vector, 0x80);
    /* Data segments of ring 0 become null when it returns to ring 3. */
    t = TRY(
        "mov $0x18, %%eax\n\tmov %%eax, %%fs\n\tpushl $0x2b\n\tpushl %0\n\tpushl $0x202\n\tpushl $0x23\n\tpushl $1f\n\tiret\n1:\tmov %%fs, %%eax\n\tud2",
        ::"i"(user_stack + sizeof(user_stack))
        : "eax", "memory");
    check_eq("  a segment of ring 0 is null there", t.rax & 0xffff, 0);
}

/* A call gate with two parameters, which are copied to the new stack; lret $8 takes them off again. */
static void call_gate(void)
{
    u32 target;
    __asm__ volatile("mov $gate_target, %0" : "=r"(target));
    gdt[GDT_FREE / 8] =
        (target & 0xffff) | (u64)CODE32 << 16 | (u64)2 << 32 | (u64)0xec << 40 | (u64)(target >> 16) << 48;
    struct trap t =
        USER("push $0x1111\n\tpush $0x2222\n\tlcall $0x4b, $0\n\tmov %%esp, %%ecx\n\tjmp 1f\n"
             "gate_target:\tmov 8(%%esp), %%eax\n\tshl $16, %%eax\n\tadd 12(%%esp), %%eax\n\tlret $8\n1:",
             "i"(0)
             : "eax", "ecx", "memory", "cc");
    check_eq("a call gate to ring 0: parameters", t.rax, 0x22221111);
    check_eq("  esp after lret $8", t.rcx, (u32)(user_stack + sizeof(user_stack)));
    gdt[GDT_FREE / 8] &= ~((u64)0x60 << 40); /* now of ring 0 */
    t = USER("lcall $0x4b, $0", "i"(0) : "memory");
    check_eq("a call gate of ring 0: error", t.error, GDT_FREE);
}

static void segments(void)
{
    for (unsigned i = 0; i < 64; i++)
        data[i] = 0x100 + i;
    set_descriptor(GDT_FREE, (u32)data, 255, 0x93, 4);
    u32 a, b;
    __asm__ volatile("mov %2, %%gs\n\tmov %%gs:252, %0\n\tmov $8, %1\n\tmov %%gs:(%1), %1"
                     : "=r"(a), "=&r"(b)
                     : "r"(GDT_FREE)
                     : "memory");
    check_eq("a base is added", a, 0x13f);
    check_eq("  with a register", b, 0x102);
    tcg_differs("has no limits");
    RAISES("beyond the limit", GP, 0, "mov %%gs:253, %%eax", ::: "eax", "memory");
    tcg_differs("has no limits");
    RAISES("a byte beyond the limit", GP, 0, "movb %%gs:256, %%al", ::: "eax", "memory");
    NO_FAULT("the last byte", "movb %%gs:255, %%al", ::: "eax", "memory");
    __asm__ volatile("mov %0, %%gs" ::"r"(0));
    tcg_differs("does not check");
    RAISES("a null segment", GP, 0, "mov %%gs:0, %%eax", ::: "eax", "memory");
    tcg_differs("has no types");
    RAISES("a store to the code segment", GP, 0, "movb $0, %%cs:data", ::: "memory");
    check_eq("a load from it", ({
                 u32 r;
                 __asm__ volatile("mov %%cs:data, %0" : "=r"(r));
                 r;
             }),
             0x100);
}

/* Runs code at offset 0 of a code segment of 64 bytes, in which 9: is its end. */
#define LIMITED(code, ...)                                                                          \
    TRY("mov $9f - 64, %%eax\n\tmov %%ax, gdt + 0x4a\n\tshr $16, %%eax\n\tmov %%al, gdt + 0x4c\n\t" \
        "mov %%ah, gdt + 0x4f\n\tljmp $0x48, $0\n8:\t" code "\n\t.org 8b + 64\n9:",                 \
        __VA_ARGS__)

/* A near branch beyond the limit of CS faults itself, its registers as before (SDM 2A CALL, Jcc, JMP, LOOP;
 * 2B RET). */
static void beyond_cs(const char *name, struct trap t, u32 at, s32 pushed)
{
    check(name, t.vector == GP && t.error == 0 && t.cs == GDT_FREE);
    check_eq("  eip", t.rip, at);
    check_eq("  esp", t.rsp, trap_rsp - (u32)pushed);
}

static void code_limit(void)
{
    if (on_tcg()) {
        skip("branches beyond CS's limit", "TCG has no limits, and runs on there");
        return;
    }
    set_descriptor(GDT_FREE, 0, 63, 0x9b, 4);
    struct trap t;
    beyond_cs("jmp beyond CS's limit", LIMITED("nop\n\tjmp 9f", ::: "eax", "memory"), 1, 0);
    beyond_cs("jcc", LIMITED("cmp %%eax, %%eax\n\tje 9f", ::: "eax", "memory", "cc"), 2, 0);
    beyond_cs("call", LIMITED("nop\n\tcall 9f", ::: "eax", "memory"), 1, 0);
    beyond_cs("indirect jmp", LIMITED("mov $64, %%eax\n\tjmp *%%eax", ::: "eax", "memory"), 5, 0);
    beyond_cs("indirect call", LIMITED("mov $64, %%eax\n\tcall *%%eax", ::: "eax", "memory"), 5, 0);
    beyond_cs("ret", LIMITED("push $64\n\tret $8", ::: "eax", "memory"), 2, 4);
    beyond_cs("loop", t = LIMITED("mov $5, %%ecx\n\tloop 9f", ::: "eax", "ecx", "memory"), 5, 0);
    check_eq("  ecx", t.rcx, 5);
    beyond_cs("jecxz", LIMITED("xor %%ecx, %%ecx\n\tjecxz 9f", ::: "eax", "ecx", "memory", "cc"), 2, 0);
    beyond_cs("running on",
              LIMITED("jmp 7f\n\t.org 8b + 62\n7:\tmov %%eax, %%eax", ::
                          : "eax", "memory"),
              64, 0);
}

static void widths(void)
{
    u32 r;
    __asm__ volatile("pushw $0x1234\n\tpushw $0x5678\n\tpop %0" : "=r"(r));
    check_eq("two 16-bit pushes, one 32-bit pop", r, 0x12345678);
    __asm__ volatile("pushfw\n\tpopfw\n\tpushal\n\tmov 28(%%esp), %0\n\tadd $32, %%esp"
                     : "=r"(r)
                     : "a"(77)
                     : "cc");
    check_eq("pusha's order", r, 77);
    __asm__ volatile("mov $0x12345678, %%eax\n\taddr16 lea 0x10(%%bx), %%ax\n\tmov %%eax, %0"
                     : "=r"(r)
                     : "b"(0xfff8)
                     : "eax");
    check_eq("16-bit lea", r, 0x12340008);
    data[0] = 0xaabbccdd;
    u32 count = 4;
    void *to = data + 8, *from = data;
    __asm__ volatile("rep movsb" : "+D"(to), "+S"(from), "+c"(count)::"memory");
    check_eq("rep movsb", data[8], 0xaabbccdd);
    check_eq("  edi", (u32)to, (u32)(data + 9));
    __asm__ volatile("mov $0x1ffff, %%ecx\n\txor %0, %0\n1:\tinc %0\n\t.byte 0x67\n\tloop 1b"
                     : "=&r"(r)::"ecx", "cc");
    check_eq("loopw counts cx", r, 0xffff);
    __asm__ volatile("mov $0x10203040, %0\n\tbswap %0" : "=r"(r));
    check_eq("bswap", r, 0x40302010);
    __asm__ volatile("mov $data, %%ebx\n\tmov $3, %%al\n\txlat\n\tmovzbl %%al, %0"
                     : "=r"(r)::"eax", "ebx", "memory");
    check_eq("xlat", r, 0xaa);
    u32 lo = 1, hi = 2;
    data[2] = 1;
    data[3] = 2;
    bool equal;
    __asm__ volatile("lock cmpxchg8b data + 8\n\tsete %0"
                     : "=m"(equal), "+a"(lo), "+d"(hi)
                     : "b"(7), "c"(8)
                     : "memory", "cc");
    check("cmpxchg8b", equal && data[2] == 7 && data[3] == 8);
}

int main(void)
{
    exceptions();
    user_mode();
    call_gate();
    segments();
    code_limit();
    widths();
    return 0;
}
