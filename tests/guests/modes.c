/* modes.c - compatibility mode, segments, and the ways between the modes (SDM 3A ch. 3, 5.8, 6.14; 2A CALL,
 * IRET) */
/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "tests/guests/lib/guest.h"

/*
 * Code in 32-bit compatibility mode is reached by a far return and left by ud2 through TRY, whose handler
 * gives the registers. Its text is assembled with .code32 between.
 */
#define COMPAT(code, ...)                              \
    TRY("pushq $0x08\n\tpushq $775f\n\tlretq\n"        \
        "775:\t.code32\n\t" code "\n\tud2\n\t.code64", \
        __VA_ARGS__)

/* A 32-bit program's segment: base and limit as given; type as in a descriptor, 0x93 data or 0x9b code. */
static void set_descriptor(unsigned selector, u32 base, u32 limit, unsigned type, unsigned flags)
{
    gdt[selector / 8] = (limit & 0xffff) | (u64)(base & 0xffffff) << 16 | (u64)type << 40 |
                        (u64)(limit >> 16 & 15) << 48 | (u64)flags << 52 | (u64)(base >> 24) << 56;
}

enum { SEGMENT = GDT_FREE, SEGMENT2 = GDT_FREE + 8, GATE = GDT_FREE + 16 /* and the next */ };
u32 data[64]; /* code names it */

static void instructions(void)
{
    struct trap t = COMPAT("mov %%cs, %%eax\n\tmov $5, %%ecx", ::: "rax", "rcx", "memory", "cc");
    check_eq("ud2 in compatibility mode: vector", (u64)t.vector, UD);
    check_eq("cs", t.rax, CODE32);
    check_eq("saved cs", t.cs, CODE32);
    t = COMPAT("mov $0xffffffff, %%eax\n\tinc %%eax\n\t.byte 0x40", ::"a"(0) : "memory", "cc");
    check_eq("0x40 is inc, and registers have 32 bits", t.rax, 1);
    t = COMPAT("mov $0x99, %%al\n\tadd $1, %%al\n\tdaa", ::"a"(0) : "memory", "cc");
    check_eq("daa", t.rax, 0);
    t = COMPAT("mov $0x3f, %%al\n\taaa", ::"a"(0) : "memory", "cc");
    check_eq("aaa", t.rax, 0x105);
    t = COMPAT("mov $123, %%al\n\taam", ::"a"(0) : "memory", "cc");
    check_eq("aam", t.rax, 12 << 8 | 3);
    t = COMPAT("mov $0x0703, %%eax\n\taad", ::"a"(0) : "memory", "cc");
    check_eq("aad", t.rax, 73);
    t = COMPAT("stc\n\t.byte 0xd6", ::"a"(0) : "memory", "cc");
    check_eq("salc", t.rax, 0xff);
    t = COMPAT("mov $7, %%ecx\n\tpusha\n\tmov $1, %%ecx\n\tpopa", ::: "rcx", "memory");
    check_eq("pusha, popa", t.rcx, 7);
    t = COMPAT("push $0x12345678\n\tpop %%eax\n\tpushw $0x1111\n\tpopw %%ax", ::"a"(0) : "memory");
    check_eq("push and pop of 32 and 16 bits", t.rax, 0x12341111);
    t = COMPAT("call 1f\n\tmov $3, %%ecx\n\tjmp 2f\n1:\tmov $9, %%eax\n\tret\n2:", ::
                   : "rax", "rcx", "memory");
    check_eq("call and ret", t.rax + t.rcx, 12);
    t = COMPAT(
        "push %%ebp\n\tenter $8, $0\n\tmovl $6, -4(%%ebp)\n\tmov -4(%%ebp), %%eax\n\tleave\n\tpop %%ebp", ::
            : "rax", "memory");
    check_eq("enter, leave", t.rax, 6);
    t = COMPAT(
        "mov $3, %%ecx\n\txor %%eax, %%eax\n1:\tadd %%ecx, %%eax\n\tloop 1b\n\tjecxz 2f\n\tud2\n2:\tadd $100, %%eax",
        ::
            : "rax", "rcx", "memory", "cc");
    check_eq("loop, jecxz", t.rax, 106);
    t = COMPAT(
        "mov $0x80000000, %%esi\n\tmov $4, %%ecx\n\tlea (%%esi, %%esi), %%eax\n\tlea 16(%%eax, %%ecx, 8), %%ecx",
        ::
            : "rax", "rcx", "rsi", "memory");
    check_eq("addresses wrap at 32 bits", t.rcx, 48);
    check_eq("lea", t.rax, 0);
    t = COMPAT("addr16 lea 2(%%bx, %%si), %%eax", ::"b"(0xffff), "S"(0x10) : "rax", "memory");
    check_eq("and 16-bit ones at 16", t.rax, 0x11);
    data[0] = 0x11223344;
    t = COMPAT("mov data, %%eax\n\tmov (%%esi), %%cx", ::"S"(data), "c"(0) : "rax", "memory");
    check_eq("load by absolute address", t.rax, 0x11223344);
    check_eq("load of 16 bits", t.rcx, 0x3344);
    t = COMPAT("mov $0x7fffffff, %%eax\n\tinc %%eax\n\tinto", ::: "rax", "memory", "cc");
    check_eq("into: vector", (u64)t.vector, OF);
    t = COMPAT("xor %%eax, %%eax\n\tinto", ::: "rax", "memory", "cc");
    check_eq("into without overflow goes on to ud2: vector", (u64)t.vector, UD);
    t = COMPAT("movd %%esi, %%xmm0\n\tpaddd %%xmm0, %%xmm0\n\tmovd %%xmm0, %%eax", ::"S"(21)
               : "rax", "memory");
    check_eq("SSE", t.rax, 42);
    t = COMPAT("arpl %%cx, %%ax", ::"a"(0x10), "c"(3) : "memory", "cc");
    check_eq("arpl", t.rax, 0x13);
}

static void bounds(void)
{
    data[0] = 10;
    data[1] = 20;
    struct trap t = COMPAT("mov $15, %%ecx\n\tbound %%ecx, data", ::: "rcx", "memory");
    check_eq("bound, inside, goes on to ud2: vector", (u64)t.vector, UD);
    t = COMPAT("mov $21, %%ecx\n\tbound %%ecx, data", ::: "rcx", "memory");
    check_eq("bound, outside: vector", (u64)t.vector, BR);
    t = COMPAT("mov $-1, %%ecx\n\tbound %%ecx, data", ::: "rcx", "memory");
    check_eq("bound is signed: vector", (u64)t.vector, BR);
}

static void segments(void)
{
    for (unsigned i = 0; i < 64; i++)
        data[i] = 0x100 + i;
    set_descriptor(SEGMENT, (u32)(u64)data, 255, 0x93, 4);
    struct trap t =
        COMPAT("mov %%eax, %%ds\n\tmov 8, %%eax\n\tmov $16, %%esi\n\tmov (%%esi), %%ecx", ::"a"(SEGMENT)
               : "rcx", "rsi", "memory");
    check_eq("a base is added: absolute address", t.rax, 0x102);
    check_eq("  by register", t.rcx, 0x104);
    t = COMPAT("mov %%eax, %%es\n\tmov %%es:252, %%eax\n\tmov $4, %%edi\n\tmov %%es:(%%edi), %%ecx",
               ::"a"(SEGMENT)
               : "rcx", "rdi", "memory");
    check_eq("override, the last dword", t.rax, 0x13f);
    check_eq("override, by register", t.rcx, 0x101);
    t = COMPAT("mov %%eax, %%ds\n\tmov $253, %%esi\n\tmov (%%esi), %%ecx", ::"a"(SEGMENT)
               : "rcx", "rsi", "memory");
    tcg_differs("has no limits");
    check_eq("beyond the limit: vector", (u64)t.vector, GP);
    t = COMPAT("mov %%eax, %%ds\n\tmovb $1, 256", ::"a"(SEGMENT) : "memory");
    tcg_differs("has no limits");
    check_eq("a store beyond the limit: vector", (u64)t.vector, GP);
    set_descriptor(SEGMENT, (u32)(u64)data, 255, 0x91, 4);
    t = COMPAT("mov %%eax, %%ds\n\tmov 0, %%eax\n\tmovb $1, 0", ::"a"(SEGMENT) : "memory");
    tcg_differs("has no types");
    check_eq("a store to a read-only segment: vector", (u64)t.vector, GP);
    check_eq("  and the load before was done", t.rax, 0x100);
    t = COMPAT("mov %%eax, %%ds\n\tmov data, %%eax", ::"a"(0) : "memory");
    tcg_differs("does not check");
    check_eq("a null segment: vector", (u64)t.vector, GP);
    t = COMPAT("movb $0, %%cs:data", ::: "memory");
    tcg_differs("has no types");
    check_eq("a store to the code segment: vector", (u64)t.vector, GP);
    set_descriptor(SEGMENT, (u32)(u64)data - 4096, 4095, 0x97, 4); /* expand down: above 4095 */
    t = COMPAT("mov %%eax, %%ds\n\tmov 4100, %%eax\n\tmov 4095, %%eax", ::"a"(SEGMENT) : "memory");
    tcg_differs("has no limits");
    check_eq("below an expand-down segment: vector", (u64)t.vector, GP);
    tcg_differs("has no limits");
    check_eq("  and above it the load was done", t.rax, 0x101);
    /* A stack segment with a base. */
    set_descriptor(SEGMENT, (u32)(u64)data, 255, 0x93, 4);
    t = COMPAT(
        "mov %%esp, %%ecx\n\tmov %%eax, %%ss\n\tmov $256, %%esp\n\tpush $0x77\n\tmov (%%esp), %%eax\n\t"
        "mov $0x18, %%esi\n\tmov %%esi, %%ss\n\tmov %%ecx, %%esp",
        ::"a"(SEGMENT)
        : "rcx", "rsi", "memory");
    check_eq("a push to a stack with a base", t.rax, 0x77);
    check_eq("  is there", data[63], 0x77);
    /* lds and friends load pointer and segment. */
    data[0] = 0x20;
    data[1] = SEGMENT;
    t = COMPAT("les data, %%edi\n\tmov %%es:(%%edi), %%eax", ::: "rax", "rdi", "memory");
    check_eq("les", t.rax, 0x108);
    t = COMPAT("lsl %%eax, %%ecx\n\tlar %%eax, %%eax", ::"a"(SEGMENT) : "rcx", "memory", "cc");
    check_eq("lsl", t.rcx, 255);
    check_eq("lar", t.rax, 0x409300);
    __asm__ volatile("mov %0, %%ds\n\tmov %0, %%es" ::"r"(DATA));
}

static void far_transfers(void)
{
    struct trap t = COMPAT("push $0x18\n\tpush $3f\n\tljmp $0x10, $1f\n\t.code64\n"
                           "1:\tmov %%cs, %%eax\n\tmov $-1, %%rcx\n\tud2\n\t.code32\n3:",
                           ::
                               : "rax", "rcx", "memory");
    check_eq("ljmp to 64-bit mode: cs", t.rax, CODE64);
    check_eq("  registers have 64 bits there", t.rcx, ~0ull);
    t = COMPAT("lcall $0x08, $1f\n\tmov $4, %%ecx\n\tud2\n1:\tmov (%%esp), %%eax\n\tsub $2f, %%eax\n2:\tlret",
               ::
                   : "rax", "rcx", "memory", "cc");
    check_eq("lcall and lret within 32-bit code", t.rcx, 4);
    static struct {
        u64 offset;
        u16 selector;
    } __attribute__((packed)) pointer;
    pointer.selector = CODE32;
    t = TRY("movq $1f, %0\n\t.byte 0x48\n\tljmp *%0\n1:\t.code32\n\tmov %%cs, %%eax\n\tud2\n\t.code64",
            : "+m"(pointer.offset)::"rax", "memory");
    check_eq("far jump by memory to 32-bit code: cs", t.rax, CODE32);

    /* A call gate of 64-bit mode, from ring 3 to ring 0: new stack, and back by far return. */
    u64 target;
    __asm__ volatile("mov $gate_target, %k0" : "=r"(target));
    gdt[GATE / 8] = (target & 0xffff) | (u64)CODE64 << 16 | (u64)0xec << 40 | (target >> 16 & 0xffff) << 48;
    gdt[GATE / 8 + 1] = target >> 32;
    static u8 user_stack[4096];
    static struct {
        u32 offset;
        u16 selector;
    } __attribute__((packed)) gate = {0, GATE | 3};
    u64 stack = (u64)(user_stack + sizeof(user_stack));
    t = TRY("pushq $0x2b\n\tpush %0\n\tpushq $2\n\tpushq $0x33\n\tpushq $1f\n\tiretq\n"
            "1:\tlcall *%1\n\tmov %%cs, %%ecx\n\tud2\n"
            "gate_target:\tmov %%cs, %%eax\n\tlretq",
            ::"r"(stack), "m"(gate)
            : "rax", "rcx", "memory");
    check_eq("a call gate to ring 0: cs there", t.rax, CODE64);
    check_eq("  and back in ring 3", t.rcx, USER_CODE64);
    check_eq("  on its own stack", t.rsp, stack);

    /* Far returns to another privilege or to nothing. */
    t = TRY("pushq $0x20\n\tpushq $0\n\tlretq", ::: "memory");
    check_eq("far return to a segment of another privilege: vector", (u64)t.vector, GP);
    check_eq("  error code", t.error, 0x20);
    t = TRY("pushq $0\n\tpushq $0\n\tlretq", ::: "memory");
    check_eq("far return to a null segment: vector", (u64)t.vector, GP);
    t = TRY("pushq $0x18\n\tpushq $0\n\tlretq", ::: "memory");
    check_eq("far return to a data segment: error code", t.error, DATA);
}

/* 32-bit code in ring 3, as an operating system runs old programs. */
static void user_compatibility(void)
{
    static u8 stack[4096];
    idt_set(0x80, trap_entries[0x80], CODE64, 0xee, 0);
    struct trap t =
        TRY("pushq $0x2b\n\tpush %0\n\tpushq $2\n\tpushq $0x23\n\tpushq $1f\n\tiretq\n1:\t.code32\n\t"
            "mov %%cs, %%eax\n\tpush $7\n\tpop %%ecx\n\tint $0x80\n\t.code64",
            ::"r"((u64)(stack + sizeof(stack)))
            : "rax", "rcx", "memory");
    check_eq("int 0x80 from 32-bit ring 3: vector", (u64)t.vector, 0x80);
    check_eq("  cs there", t.rax, USER_CODE32);
    check_eq("  push and pop there", t.rcx, 7);
    check_eq("  saved cs", t.cs, USER_CODE32);
    check_eq("  saved rsp", t.rsp, (u64)(stack + sizeof(stack)));
    t = TRY(
        "mov $0x23, %%ecx\n\tmov %%ecx, %%ds\n\tpushq $0x2b\n\tpush %0\n\tpushq $2\n\tpushq $0x23\n\tpushq $1f\n\tiretq\n1:\t.code32\n\t"
        "mov data, %%eax\n\tud2\n\t.code64",
        ::"r"((u64)(stack + sizeof(stack)))
        : "rax", "rcx", "memory");
    check_eq("a readable code segment as data: the load", t.rax, data[0]);

    wrmsr(EFER, rdmsr(EFER) | EFER_SCE);
    u64 star = (u64)CODE64 << 32 | (u64)USER_CODE32 << 48;
    wrmsr(STAR, star);
    t = TRY(
        "mov $1f, %%ecx\n\tmov $2, %%r11d\n\tmov %0, %%rsp\n\tsysretl\n1:\t.code32\n\tmov %%cs, %%eax\n\tmov %%ss, %%ecx\n\tud2\n\t.code64",
        ::"r"((u64)(stack + sizeof(stack)))
        : "rax", "rcx", "r11", "memory");
    check_eq("sysretl: cs", t.rax, USER_CODE32);
    check_eq("  ss", t.rcx, USER_DATA);

    wrmsr(0x174, CODE64);
    wrmsr(0x175, (u64)stack_top - 4096);
    u64 entry;
    __asm__ volatile("mov $sysenter_target, %k0" : "=r"(entry));
    wrmsr(0x176, entry);
    t = TRY(
        "pushq $0x2b\n\tpush %0\n\tpushq $0x202\n\tpushq $0x33\n\tpushq $1f\n\tiretq\n1:\txor %%eax, %%eax\n\tsysenter\n"
        "sysenter_target:\tmov %%cs, %%eax\n\tpushfq\n\tpop %%rcx\n\tmov $1f, %%edx\n\tmov %0, %%rcx\n\t.byte 0x48, 0x0f, 0x35\n1:\tud2",
        ::"r"((u64)(stack + sizeof(stack)))
        : "rax", "rcx", "rdx", "memory", "cc");
    if (t.vector == UD && t.cs == USER_CODE64 && !t.rax) {
        skip("sysenter in long mode", "this processor has none");
        return;
    }
    check_eq("sysenter: cs", t.rax, CODE64);
}

int main(void)
{
    instructions();
    bounds();
    segments();
    far_transfers();
    user_compatibility();
    return 0;
}
