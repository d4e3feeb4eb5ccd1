/* crossing.c - operands and instructions over a page's edge: all of it or nothing (SDM 3A 4.7, 8.1.1) */
/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "tests/guests/lib/guest.h"

#define VA   TEST_VA
#define EDGE (VA + 4096)

/* Two pages in a row at VA, whose memory is in two places that are not neighbours. */
static u8 *low, *high;
static u64 *low_pte, *high_pte;

static void map(u64 low_flags, u64 high_flags)
{
    *low_pte = (u64)low | low_flags;
    *high_pte = (u64)high | high_flags;
    invlpg(VA);
    invlpg(EDGE);
}

enum { RW = PTE_P | PTE_W, RO = PTE_P };

static void fill(void)
{
    for (unsigned i = 0; i < 64; i++) {
        low[4096 - 64 + i] = (u8)(0x40 + i);
        high[i] = (u8)(0x80 + i);
    }
}

/* The byte that fill left at EDGE + i. */
static u8 filled(s64 i)
{
    return (u8)(0x80 + i);
}

static u64 expected(s64 at, unsigned size)
{
    u64 v = 0;
    for (unsigned i = 0; i < size; i++)
        v |= (u64)filled(at + i) << (8 * i);
    return v;
}

static bool untouched(void)
{
    for (s64 i = -64; i < 64; i++)
        if ((i < 0 ? low[4096 + i] : high[i]) != filled(i))
            return false;
    return true;
}

static void loads(void)
{
    map(RW, RW);
    fill();
    unsigned wrong = 0;
    for (s64 at = -9; at < 2; at++) {
        u64 a = EDGE + (u64)at, r;
        __asm__ volatile("mov (%1), %0" : "=r"(r) : "r"(a) : "memory");
        wrong += r != expected(at, 8);
        __asm__ volatile("movl (%1), %k0" : "=r"(r) : "r"(a) : "memory");
        wrong += r != expected(at, 4);
        __asm__ volatile("movzwl (%1), %k0" : "=r"(r) : "r"(a) : "memory");
        wrong += r != expected(at, 2);
        __asm__ volatile("movslq (%1), %0" : "=r"(r) : "r"(a) : "memory");
        wrong += r != (u64)(s64)(s32)expected(at, 4);
        __asm__ volatile("mov $1, %k0\n\tadd (%1), %0" : "=&r"(r) : "r"(a) : "memory", "cc");
        wrong += r != expected(at, 8) + 1;
        __asm__ volatile("push (%1)\n\tpop %0" : "=r"(r) : "r"(a) : "memory");
        wrong += r != expected(at, 8);
    }
    check_eq("loads around the edge, wrong ones", wrong, 0);
}

static void vector_loads(void)
{
    u8 got[32] __attribute__((aligned(32)));
    unsigned wrong = 0;
    map(RW, RW);
    fill();
    for (s64 at = -17; at < 2; at++) {
        __asm__ volatile("movdqu (%0), %%xmm3\n\tmovdqu %%xmm3, (%1)" ::"r"(EDGE + (u64)at), "r"(got)
                         : "memory");
        wrong += memcmp(got, (u64[]){expected(at, 8), expected(at + 8, 8)}, 16) != 0;
    }
    check_eq("16-byte loads around the edge, wrong ones", wrong, 0);
    wrong = 0;
    for (s64 at = -17; at < 2; at++) {
        __asm__ volatile("movdqu (%0), %%xmm4\n\tmovdqu %%xmm4, (%1)" ::"r"(got), "r"(EDGE + (u64)at)
                         : "memory");
        __asm__ volatile("movdqu (%0), %%xmm3\n\tmovdqu %%xmm3, (%1)" ::"r"(EDGE + (u64)at), "r"(got + 16)
                         : "memory");
        wrong += memcmp(got, got + 16, 16) != 0;
    }
    check_eq("16-byte stores around the edge, wrong ones", wrong, 0);
    fill();
    RAISES("movdqa of an unaligned address", GP, 0, "movdqa (%0), %%xmm0", ::"r"(EDGE - 8) : "memory");
    RAISES("an SSE operand that is unaligned", GP, 0, "paddd (%0), %%xmm0", ::"r"(EDGE - 8) : "memory");
    map(RW, 0);
    RAISES_PF("movdqu to an absent page", PF_W, EDGE, "movdqu %%xmm0, (%0)", ::"r"(EDGE - 8) : "memory");
    tcg_differs("writes the first half");
    check("movdqu wrote nothing", untouched());
    __asm__ volatile("fldz");
    RAISES_PF("fstpt to an absent page", PF_W, EDGE, "fstpt (%0)", ::"r"(EDGE - 4) : "memory");
    tcg_differs("writes the first half");
    check("fstpt wrote nothing", untouched());
    __asm__ volatile("fninit");
}

static void stores(void)
{
    map(RW, RW);
    unsigned wrong = 0;
    for (s64 at = -9; at < 2; at++) {
        u64 a = EDGE + (u64)at, r;
        __asm__ volatile("mov %0, (%1)" ::"r"(0x0123456789abcdefull), "r"(a) : "memory");
        __asm__ volatile("mov (%1), %0" : "=r"(r) : "r"(a) : "memory");
        wrong += r != 0x0123456789abcdefull;
        __asm__ volatile("addl $0x11111111, (%1)\n\tmovl (%1), %k0" : "=r"(r) : "r"(a) : "memory", "cc");
        wrong += r != 0x89abcdef + 0x11111111u;
        __asm__ volatile("lock addq $1, (%1)\n\tmov (%1), %0" : "=r"(r) : "r"(a) : "memory", "cc");
        wrong += r != 0x012345679abcdf01ull;
        __asm__ volatile("lock xaddl %k0, (%1)" : "=r"(r) : "r"(a), "0"(5ul) : "memory", "cc");
        wrong += (u32)r != 0x9abcdf01u;
        __asm__ volatile("rorw $4, (%1)\n\tmovzwl (%1), %k0" : "=r"(r) : "r"(a) : "memory", "cc");
        wrong += r != 0x6df0;
    }
    check_eq("stores and read-modify-writes around the edge, wrong ones", wrong, 0);
}

static void refused_stores(void)
{
    static const struct {
        const char *name;
        u64 low, high;
        u64 error, cr2;
    } cases[] = {
        {"second page absent", RW, 0, PF_W, EDGE},    {"second page read-only", RW, RO, PF_P | PF_W, EDGE},
        {"first page absent", 0, RW, PF_W, EDGE - 3}, {"first page read-only", RO, RW, PF_P | PF_W, EDGE - 3},
        {"both absent", 0, 0, PF_W, EDGE - 3},
    };
    for (unsigned i = 0; i < ARRAY_SIZE(cases); i++) {
        struct trap t[6];
        u64 a = EDGE - 3;
        fill();
        map(cases[i].low, cases[i].high);
        t[0] = TRY("movq %1, (%0)", ::"r"(a), "r"(0ull) : "memory");
        t[1] = TRY("addl $1, (%0)", ::"r"(a) : "memory", "cc");
        t[2] = TRY("lock incq (%0)", ::"r"(a) : "memory", "cc");
        t[3] = TRY("xchgl %%ecx, (%0)", ::"r"(a), "c"(0) : "memory");
        t[4] = TRY("pop (%0)", ::"r"(a) : "memory");
        t[5] = TRY("movnti %1, (%0)", ::"r"(a), "r"(0ull) : "memory");
        unsigned wrong = 0;
        for (unsigned k = 0; k < ARRAY_SIZE(t); k++) {
            bool tcg_reads = on_tcg() && (cases[i].low != RO && cases[i].high != RO);
            u64 error = tcg_reads ? t[k].error | PF_W : t[k].error;
            wrong += t[k].vector != PF || error != cases[i].error || t[k].cr2 != cases[i].cr2 || t[k].offset;
        }
        check_eq(cases[i].name, wrong, 0);
        check("  nothing was written", untouched());
    }
}

/* push and call write to a stack whose page ends. */
static void stack(void)
{
    u64 kept;
    fill();
    map(0, RW);
    struct trap t = TRY("mov %%rsp, %0\n\tmov %1, %%rsp\n\tpush %%rax\n\t",
                        : "=&b"(kept)
                        : "r"(EDGE + 4)
                        : "memory");
    check_eq("push over the edge: vector", (u64)t.vector, DF); /* the handler has no stack either */
    check("push wrote nothing", untouched());
    map(RW, RW);
    t = TRY("mov %%rsp, %0\n\tmov %1, %%rsp\n\tpush %2\n\tpop %%rcx\n\tmov %0, %%rsp",
            : "=&b"(kept)
            : "r"(EDGE + 4), "r"(0x1122334455667788ull)
            : "rcx", "memory");
    check_trap("push and pop over the edge", t, NONE, 0, 0);
    check_eq("what was pushed, low half", *(u32 *)(low + 4092), 0x55667788);
    check_eq("what was pushed, high half", *(u32 *)high, 0x11223344);
    fill();
    u64 frame;
    __asm__ volatile("mov %%rsp, %%rbx\n\tmov %%rbp, %%rcx\n\tmov %1, %%rsp\n\tmov %%rsp, %%rbp\n\t"
                     "enter $16, $0\n\tmov %%rbp, %0\n\tleave\n\t"
                     "mov %%rbx, %%rsp\n\tmov %%rcx, %%rbp"
                     : "=&r"(frame)
                     : "r"(EDGE + 4)
                     : "rbx", "rcx", "memory");
    check_eq("enter over the edge", frame, EDGE - 4);
}

/* An instruction with bytes in both pages: mov $imm32, %eax; ret, of which `head` bytes are in the first. */
static void instructions(void)
{
    for (unsigned head = 1; head <= 5; head++) {
        static const u8 text[] = {0xb8, 0x11, 0x22, 0x33, 0x44, 0xc3};
        u64 start = EDGE - head;
        map(RW, RW);
        memcpy((void *)start, text, sizeof(text));
        u64 r;
        __asm__ volatile("call *%1" : "=a"(r) : "r"(start) : "memory");
        check_eq("an instruction in two pages", r, 0x44332211);
        map(RW, 0);
        struct trap t = TRY("call *%0", ::"r"(start) : "rax", "memory");
        check_eq("  second page gone: vector", (u64)t.vector, PF);
        check_eq("  error", t.error, PF_I);
        check_eq("  cr2", t.cr2, EDGE);
        check_eq("  rip", t.rip, head < 5 ? start : EDGE);
        map(RW, RW | PTE_NX);
        t = TRY("call *%0", ::"r"(start) : "rax", "memory");
        check_eq("  second page not executable: error", t.error, PF_P | PF_I);
        map(RW, RW);
        __asm__ volatile("call *%1" : "=a"(r) : "r"(start) : "memory");
        check_eq("  and back", r, 0x44332211);
        if (head == 5)
            continue;
        /* Another second page: other last bytes of the same instruction. */
        u8 *other = page_alloc();
        memcpy(other, high, 16);
        other[4 - head] = 0x55;
        *high_pte = (u64)other | RW;
        invlpg(EDGE);
        __asm__ volatile("call *%1" : "=a"(r) : "r"(start) : "memory");
        check_eq("  with another second page", r, 0x55332211);
    }
    /* Fifteen bytes are the longest instruction; one more is #GP, before the second page is looked at or not.
     */
    map(RW, RW);
    memset((void *)(EDGE - 15), 0x66, 16);
    *(u8 *)(EDGE - 1) = 0x90;
    *(u8 *)EDGE = 0xc3;
    struct trap t = TRY("call *%0", ::"r"(EDGE - 15) : "memory");
    check_trap("fifteen bytes", t, NONE, 0, 0);
    *(u8 *)(EDGE - 1) = 0x66;
    *(u8 *)EDGE = 0x90;
    *(u8 *)(EDGE + 1) = 0xc3;
    t = TRY("call *%0", ::"r"(EDGE - 15) : "memory");
    check_eq("sixteen bytes: vector", (u64)t.vector, GP);
}

/* An access at the end of the address space wraps to its start in 64-bit mode. */
static void top_of_memory(void)
{
    u64 *last = page_map(0xfffffffffffff000ull, (u64)high, RW, 1);
    invlpg(0xfffffffffffff000ull);
    *(u32 *)(high + 4092) = 0xcafef00d;
    check_eq("the last four bytes", *(volatile u32 *)0xfffffffffffffffcull, 0xcafef00d);
    *last = 0;
    invlpg(0xfffffffffffff000ull);
}

/* Absolute addresses 2^63 apart, of which the lower one is mapped: the other must not be found at a distance.
 */
static void far_apart(void)
{
    enum { SECOND = 10 }; /* offset of the second instruction */
    u64 *pte = page_map(0xffff800000000000ull, (u64)high, RW, 1);
    invlpg(0xffff800000000000ull);
    struct trap t = TRY("movabs 0xffff800000000000, %%rax\n\tmovabs 0x7fff800000000000, %%rax", ::
                            : "rax", "memory");
    check_trap("2^63 above a mapped address", t, GP, 0, SECOND);
    t = TRY("movabs 0xffff800000000000, %%rax\n\tmovabs 0x7fff800070000000, %%rax", ::: "rax", "memory");
    check_trap("and further above", t, GP, 0, SECOND);
    t = TRY("movabs 0xffff800000000000, %%rax\n\tmovabs %%rax, 0x7fff800070000000", ::: "rax", "memory");
    check_trap("stores as well", t, GP, 0, SECOND);
    *pte = 0;
    invlpg(0xffff800000000000ull);
}

int main(void)
{
    low = page_alloc();
    page_alloc();
    high = page_alloc();
    low_pte = page_map(VA, (u64)low, RW, 1);
    high_pte = page_map(EDGE, (u64)high, RW, 1);
    __asm__ volatile("pxor %xmm0, %xmm0");
    loads();
    vector_loads();
    stores();
    refused_stores();
    stack();
    instructions();
    top_of_memory();
    far_apart();
    return 0;
}
