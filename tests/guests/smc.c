/* smc.c - self-modifying code: a store is seen by the next instruction fetched (SDM 3A 8.1.3, 11.6) */
/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "tests/guests/lib/guest.h"

enum { MOV_EAX = 0xb8, RET = 0xc3, NOP = 0x90, INC_EAX_0 = 0xff, INC_EAX_1 = 0xc0, JMP_SHORT = 0xeb };

static u8 *code, *next; /* two pages in a row */

static u64 call(const void *f)
{
    u64 r;
    __asm__ volatile("call *%1"
                     : "=a"(r)
                     : "r"(f)
                     : "rcx", "rdx", "rsi", "rdi", "r8", "r9", "r10", "r11", "memory", "cc");
    return r;
}

static u64 call_with(const void *f, u64 argument)
{
    u64 r;
    __asm__ volatile("call *%1"
                     : "=a"(r), "+r"(f), "+D"(argument)
                     :
                     : "rcx", "rdx", "rsi", "r8", "r9", "r10", "r11", "memory", "cc");
    return r;
}

/* mov $value, %eax; ret */
static void put_constant(u8 *at, u32 value)
{
    at[0] = MOV_EAX;
    memcpy(at + 1, &value, 4);
    at[5] = RET;
}

static void rewritten(void)
{
    put_constant(code, 1);
    check_eq("first version", call(code), 1);
    put_constant(code, 2);
    check_eq("second version", call(code), 2);
    code[1] = 3;
    check_eq("one byte of the immediate", call(code), 3);
    *(volatile u32 *)(code + 1) = 0x12345678;
    check_eq("the whole immediate", call(code), 0x12345678);
    __asm__ volatile("lock addl $1, (%0)" ::"r"(code + 1) : "memory", "cc");
    check_eq("a locked add", call(code), 0x12345679);
    u32 value = 77;
    __asm__ volatile("xchg %0, (%1)" : "+r"(value) : "r"(code + 1) : "memory");
    check_eq("an exchange", call(code), 77);
    unsigned wrong = 0;
    for (u32 i = 0; i < 2000; i++) {
        *(volatile u32 *)(code + 1) = i;
        wrong += call(code) != i;
    }
    check_eq("2000 versions, wrong ones", wrong, 0);
}

/* A page of functions is made anew as a whole, called, and then written to as data. */
static void whole_page(void)
{
    enum { SIZE = 16, COUNT = 4096 / SIZE };
    unsigned wrong = 0;
    for (u32 round = 0; round < 20; round++) {
        for (u32 i = 0; i < COUNT; i++)
            put_constant(code + i * SIZE, round * 1000 + i);
        for (u32 i = round & 3; i < COUNT; i += 1 + (round & 7)) /* not all are run */
            wrong += call(code + i * SIZE) != round * 1000 + i;
        for (u32 i = 0; i < (round & 1 ? 64 : 4) * 8; i++) /* behind the functions */
            ((volatile u8 *)code)[i % COUNT * SIZE + 8] = (u8)i;
        put_constant(code, ~round);
        wrong += call(code) != (u32)~round;
    }
    check_eq("a page of functions 20 times, wrong ones", wrong, 0);
    memset(code, 0, 4096);
}

static void by_string_instructions(void)
{
    u8 *source = page_alloc();
    put_constant(source, 10);
    memcpy(code, source, 6);
    check_eq("copied by rep movsb", call(code), 10);
    put_constant(source, 11);
    memcpy(code, source, 6);
    check_eq("copied over by rep movsb", call(code), 11);
    void *d = code + 1;
    u64 n = 1;
    __asm__ volatile("rep stosl" : "+D"(d), "+c"(n) : "a"(0x55) : "memory");
    check_eq("an immediate by rep stosl", call(code), 0x55);
    put_constant(code, 0x66);
    __asm__ volatile("movd %0, %%xmm0\n\tmovd %%xmm0, (%1)" ::"r"(0x67), "r"(code + 1) : "memory");
    check_eq("an immediate by movd", call(code), 0x67);
    __asm__ volatile("push %0\n\tpop (%1)" ::"r"(0xc300000068b8ull), "r"(code) : "memory");
    check_eq("all by pop", call(code), 0x68);
}

/* The store is in the same straight run of instructions as what it changes, a few bytes further. */
static void patched_ahead(void)
{
    u64 r;
    __asm__ volatile("lea 1f(%%rip), %%rcx\n\t"
                     "movb $2, 1(%%rcx)\n\t"
                     "1: mov $1, %%eax\n\t" /* becomes mov $2 */
                     : "=a"(r)::"rcx", "memory");
    check_eq("the next instruction", r, 2);
    __asm__ volatile("lea 1f(%%rip), %%rcx\n\t"
                     "mov $0, %%eax\n\t"
                     "movw $0xc0ff, (%%rcx)\n\t" /* inc %eax */
                     "inc %%eax\n\tinc %%eax\n\t"
                     "1: nop\n\tnop\n\t"
                     : "=a"(r)::"rcx", "memory", "cc");
    check_eq("two instructions further", r, 3);
    __asm__ volatile("lea 1f(%%rip), %%rcx\n\t"
                     "mov $5, %%eax\n\t"
                     "movw $0x03eb, (%%rcx)\n\t" /* jmp over the following three bytes */
                     "1: nop\n\tnop\n\t"
                     "add $9, %%eax\n\t"
                     "nop"
                     : "=a"(r)::"rcx", "memory", "cc");
    check_eq("a jump where there was none", r, 5);
}

/* A loop changes its own body while it runs: 10 rounds of add $1, the 5th makes it add $100. */
static void loop_body(void)
{
    u64 r;
    __asm__ volatile("lea 2f(%%rip), %%rdx\n\t"
                     "movb $1, 2(%%rdx)\n\t"
                     "xor %%eax, %%eax\n\t"
                     "mov $10, %%ecx\n\t"
                     "1: cmp $6, %%ecx\n\t"
                     "jne 2f\n\t"
                     "movb $100, 2(%%rdx)\n\t"
                     "2: add $1, %%eax\n\t"
                     "loop 1b"
                     : "=a"(r)::"rcx", "rdx", "memory", "cc");
    check_eq("a loop's body, once", r, 4 + 600);
    __asm__ volatile("lea 2f(%%rip), %%rdx\n\t"
                     "movb $0, 2(%%rdx)\n\t"
                     "xor %%eax, %%eax\n\t"
                     "mov $100, %%ecx\n\t"
                     "2: add $0, %%eax\n\t"
                     "incb 2(%%rdx)\n\t"
                     "loop 2b"
                     : "=a"(r)::"rcx", "rdx", "memory", "cc");
    check_eq("a loop's body, each round", r, 99 * 100 / 2);
}

/* Data beside code, in the same page and in the same line: right, and not only not wrong but possible 100,000
 * times. */
static void data_beside_code(void)
{
    volatile u64 *data = (u64 *)(code + 64), *far = (u64 *)(code + 2048);
    put_constant(code, 21);
    u64 sum = 0;
    for (unsigned i = 0; i < 20000; i++) {
        (*data)++;
        *far += 2;
        sum += call(code);
    }
    check_eq("code beside data", sum, 20000 * 21);
    check_eq("data in the next line", *data, 20000);
    check_eq("data in the same page", *far, 40000);
    *data = *far = 0;
}

static void next_page(void)
{
    put_constant(next, 31);
    check_eq("next page, first version", call(next), 31);
    /* Code in this page changes code in the next one, and goes there. */
    u8 *at = next - 12; /* movb $32, 6(%rip) = next + 1; jmp next */
    static const u8 text[] = {0xc6, 0x05, 0x06, 0, 0, 0, 32, JMP_SHORT, 3, NOP, NOP, NOP};
    memcpy(at, text, sizeof(text));
    check_eq("changed from the page before", call(at), 32);
    next[1] = 33;
    check_eq("changed from here", call(at + 7), 33);
}

/* An instruction that has bytes in both pages. */
static void straddling(void)
{
    for (unsigned head = 1; head <= 4; head++) {
        put_constant(next - head, 41);
        check_eq("straddling, first version", call(next - head), 41);
        *(next - head + 4) = 1; /* the immediate's last byte: in the second page */
        check_eq("straddling, changed in the second page", call(next - head), 41 + (1 << 24));
        if (head > 1) {
            *(next - head + 1) = 42; /* its first byte: in the first page */
            check_eq("straddling, changed in the first page", call(next - head), 42 + (1 << 24));
        }
        u64 eight;
        memcpy(&eight, next - 4, 8);
        *(volatile u64 *)(next - 4) = eight + (1ull << (8 * (4 - head + 2))); /* one store over the edge */
        u32 want = (u32)(42 - (head == 1) + (1 << 24)) + (1 << 8);
        check_eq("straddling, changed across the edge", call(next - head), want);
        memset(next - 8, NOP, 16);
    }
}

/* Copies of the same code at many places run right, and the original's change does not reach them. */
static void copies(void)
{
    unsigned wrong = 0;
    for (u32 i = 0; i < 200; i++)
        put_constant(code + 16 * i, i);
    for (u32 i = 0; i < 200; i++)
        wrong += call(code + 16 * i) != i;
    put_constant(code, 1000);
    for (u32 i = 1; i < 200; i++)
        wrong += call(code + 16 * i) != i;
    check_eq("200 copies, wrong ones", wrong, 0);
}

/* Written through another linear address of the same page. */
static void through_alias(void)
{
    page_map(TEST_VA, (u64)code, PTE_P | PTE_W, 1);
    invlpg(TEST_VA);
    put_constant(code, 51);
    check_eq("before", call(code), 51);
    *(volatile u8 *)(TEST_VA + 1) = 52;
    check_eq("changed through an alias", call(code), 52);
    check_eq("called through the alias", call((void *)TEST_VA), 52);
    code[1] = 53;
    check_eq("changed here, called through the alias", call((void *)TEST_VA), 53);
}

/* Another page with other code comes to the same linear address. */
static void remapped(void)
{
    put_constant(code, 61);
    put_constant(next, 62);
    u64 *pte = page_map(TEST_VA, (u64)code, PTE_P | PTE_W, 1);
    invlpg(TEST_VA);
    check_eq("one page", call((void *)TEST_VA), 61);
    *pte = (u64)next | PTE_P | PTE_W;
    invlpg(TEST_VA);
    check_eq("another page", call((void *)TEST_VA), 62);
    *pte = (u64)code | PTE_P;
    invlpg(TEST_VA);
    check_eq("the first again, read-only", call((void *)TEST_VA), 61);
    put_constant(code, 63);
    check_eq("and changed where it is writable", call((void *)TEST_VA), 63);
}

/* ---- over and over ---- */

static u8 *put(u8 *p, unsigned n, const char *bytes)
{
    memcpy(p, bytes, n);
    return p + n;
}

static u8 *put32(u8 *p, u32 value)
{
    memcpy(p, &value, 4);
    return p + 4;
}

static u8 *put_op(u8 *p, bool wide, unsigned reg, u8 opcode, u8 modrm)
{
    *p++ = (u8)(0x40 | wide << 3 | reg >> 3);
    *p++ = modrm ? opcode : (u8)(opcode | (reg & 7));
    if (modrm)
        *p++ = (u8)(modrm | (reg & 7));
    return p;
}

/* (flags << 32 | result) of an operation of group 1, with carry set before it; 8: TEST. */
static u64 expected(unsigned op, u32 a, u32 b)
{
    static const u8 opcodes[] = {0x01, 0x09, 0x11, 0x19, 0x21, 0x29, 0x31, 0x39, 0x85};
    u8 *p = put(next, 5, "\xf9\x89\xf8\x48\xbe"); /* stc; mov %edi, %eax; mov $..., %rsi */
    p = put32(put32(p, b), 0);
    *p++ = opcodes[op];
    put(p, 4, "\xf0\x9c\x5a\xc3"); /* ... %esi, %eax; pushf; pop %rdx; ret */
    u64 r, d, f = (u64)next;
    __asm__ volatile("call *%2" : "=a"(r), "=d"(d), "+r"(f) : "D"((u64)a) : "rsi", "memory", "cc");
    u64 undefined = op == 8 || op == 1 || op == 4 || op == 6 ? 0x10 : 0; /* AF */
    return ((d & 0x8d5 & ~undefined) << 32) | (u32)r;
}

/* push %reg; mov $a, %reg; stc; op $b, %reg; mov %reg32, %eax; pushf; pop %rdx; pop %reg; ret */
static u64 observed(unsigned op, unsigned reg, bool wide, u32 a, u32 b)
{
    u8 *p = put_op(code + 128 * op + 8 * reg, false, reg, 0x50, 0);
    if (wide)
        p = put32(put_op(p, true, reg, 0xc7, 0xc0), a);
    else
        p = put32(put_op(p, false, reg, 0xb8, 0), a);
    *p++ = 0xf9;
    if (reg == 0 && !wide) { /* the accumulator's own form */
        *p++ = op == 8 ? 0xa9 : (u8)(op << 3 | 5);
        p = put32(p, b);
    } else {
        p = put32(put_op(p, false, reg, op == 8 ? 0xf7 : 0x81, op == 8 ? 0xc0 : (u8)(0xc0 | op << 3)), b);
    }
    *p++ = (u8)(0x40 | reg >> 3 << 2);
    *p++ = 0x89;
    *p++ = (u8)(0xc0 | (reg & 7) << 3);
    p = put(p, 2, "\x9c\x5a");
    if (reg == 0 || reg == 2) /* what they had is in the results' way */
        p = put(p, 1, "\x59");
    else
        p = put_op(p, false, reg, 0x58, 0);
    *p = RET;
    u64 r, d, f = (u64)(code + 128 * op + 8 * reg),
              undefined = op == 8 || op == 1 || op == 4 || op == 6 ? 0x10 : 0;
    __asm__ volatile("call *%2" : "=a"(r), "=d"(d), "+r"(f) : : "rcx", "memory", "cc");
    return ((d & 0x8d5 & ~undefined) << 32) | (u32)r;
}

/* Each form of an immediate that code made anew is likely to have another value of. */
static void immediates(void)
{
    unsigned wrong = 0;
    u32 a = 1, b = 0x80000001;
    for (unsigned round = 0; round < 50; round++)
        for (unsigned op = 0; op < 9; op++)
            for (unsigned reg = 0; reg < 16; reg++, a = a * 69069 + 1, b = b * 1664525 + 1013904223) {
                if (reg == 4 || reg == 5) /* the stack's, and the frame's */
                    continue;
                u32 x = round & 1 ? a : a >> 30, y = round & 2 ? b : b >> 30;
                bool wide = a >> 16 & 1;
                wrong += observed(op, reg, wide, x, y) != expected(op, x, y);
            }
    check_eq("immediates in 9 operations, wrong ones", wrong, 0);
    for (u64 i = 0; i < 2000; i++) {
        u64 value = i * 0x123456789abcdef1;
        u8 *p = put_op(code + 8, true, 0, 0xb8, 0);
        memcpy(p, &value, 8);
        p[8] = RET;
        wrong += call(code + 8) != value;
        p = put32(put_op(code + 24, true, 0, 0xc7, 0xc0), (u32)value); /* extended by its sign */
        *p = RET;
        wrong += call(code + 24) != (u64)(s32)value;
    }
    check_eq("wide immediates, wrong ones", wrong, 0);
}

/* Code that stores into the instruction behind the store, at each place in a line. */
static void own_next(void)
{
    static const u8 text[] = {0x89,    0x3d, 1, 0, 0, 0,
                              MOV_EAX, 1,    0, 0, 0, RET}; /* mov %edi, 1(%rip); mov $1, %eax */
    unsigned wrong = 0;
    for (u32 i = 0; i < 4000; i++) {
        u8 *at = code + i % 80;
        if (i % 80 == 0)
            memset(code, NOP, 128);
        if (i / 80 & 1)
            memcpy(at, text, sizeof(text));
        else
            for (unsigned k = sizeof(text); k--;)
                ((volatile u8 *)at)[k] = text[k];
        wrong += call_with(at, i) != i;
        wrong += call_with(at, ~i) != (u32)~i;
    }
    check_eq("stores to the next instruction, wrong ones", wrong, 0);
}

/* Other instructions in the same place, more of them than anybody would keep translations of, and now and
 * then the same for a long while. */
static void versions(void)
{
    static const u8 text[12][3] = {{0x8d, 0x47, 1}, {0x8d, 0x47, 2}, {0x89, 0xf8, NOP}, {0x31, 0xc0, NOP},
                                   {0x8d, 0x47, 3}, {0x8d, 0x47, 4}, {0x8d, 0x47, 5},   {0x8d, 0x47, 6},
                                   {0x8d, 0x47, 7}, {0x8d, 0x47, 8}, {0x6a, 9, 0x58},   {0x0f, 0xb7, 0xc7}};
    static const u8 adds[12] = {1, 2, 0, 0, 3, 4, 5, 6, 7, 8, 9, 0};
    unsigned wrong = 0;
    for (u32 i = 0; i < 4000; i++) {
        unsigned k = i < 2000 ? i % 5 : i % 12;
        memcpy(code + 61, text[k], 3);
        code[64] = RET;
        u32 want = k == 3 || k == 10 ? adds[k] : 100 + i + adds[k];
        for (u64 end = i % 1000 == 999 ? rdtsc() + 300000000 : 0, first = 1; first || rdtsc() < end;
             first = 0)
            wrong += call_with(code + 61, 100 + i) != want;
    }
    check_eq("12 versions, wrong ones", wrong, 0);
}

int main(void)
{
    code = page_alloc();
    next = page_alloc();
    check("the two pages are neighbours", next == code + 4096);
    rewritten();
    whole_page();
    by_string_instructions();
    patched_ahead();
    loop_body();
    data_beside_code();
    next_page();
    straddling();
    copies();
    through_alias();
    remapped();
    immediates();
    own_next();
    versions();
    return 0;
}
