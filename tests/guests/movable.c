/* movable.c - a program's code at several addresses: by turns, in two address spaces, and twice in one */
/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Two pages of code, then a page of data, find out where they are by rip, by what CALL pushes, by a direct
 * branch to the other page and back, and by indirect branches. What they say must follow from the address
 * that they were called at, however often the same pages ran elsewhere before.
 */
#include "tests/guests/lib/guest.h"

extern u8 code[], code_fault[];
__asm__(".pushsection .rodata\n"
        "       .balign 4096\n"
        "code:  lea     code(%rip), %rax\n"
        "       add     code + 0x2000(%rip), %rax\n"
        "       xor     %ecx, %ecx\n"
        "       mov     $50, %edx\n"
        "1:     call    code_far\n"
        "       dec     %edx\n"
        "       jnz     1b\n"
        "       lea     code_back(%rip), %rdi\n"
        "       call    *%rdi\n"
        "       call    2f\n"
        "2:     pop     %rsi\n"
        "       lea     code(%rip), %rdi\n"
        "       sub     %rdi, %rsi\n"
        "       ret\n"
        "code_tail:\n"
        "       lea     code_tail(%rip), %rdi\n"
        "       add     %rdi, %rcx\n"
        "       ret\n"
        "code_back:\n"
        "       inc     %rcx\n"
        "       ret\n"
        "       .balign 4096\n"
        "code_far:\n"
        "       lea     code(%rip), %rdi\n"
        "       add     %rdi, %rcx\n"
        "       add     code + 0x2000(%rip), %rcx\n"
        "       jmp     code_tail\n"
        "code_fault:\n"
        "       nop\n"
        "       mov     (%rdi), %al\n"
        "       ret\n"
        "       .balign 4096\n"
        "       .globl code_tail_offset, code_pop_offset\n"
        "code_tail_offset: .quad code_tail - code\n"
        "code_pop_offset: .quad 2b - code\n"
        ".popsection");
extern const u64 code_tail_offset, code_pop_offset;

static u8 user_stack[4096] __attribute__((aligned(16), used));
enum { FAR_AWAY = 0x123456000, NEAR = 0x10000, PLACES = 3 };
static const u64 place[PLACES] = {TEST_VA, TEST_VA + NEAR, TEST_VA + FAR_AWAY};
static u8 *text[2], *data[PLACES];

static struct trap run(u64 at, u64 rdi)
{
    return TRY(
        "pushq $0x2b\n\tpushq $user_stack + 4096\n\tpushq $0x202\n\tpushq $0x33\n\tpushq $775f\n\tiretq\n"
        "775:\tcall *%0\n\tud2",
        ::"b"(at), "D"(rdi)
        : "rax", "rcx", "rdx", "rsi", "memory", "cc");
}

static void put(unsigned n)
{
    page_map(place[n], (u64)text[0], PTE_P | PTE_U, 1);
    page_map(place[n] + 4096, (u64)text[1], PTE_P | PTE_U, 1);
    page_map(place[n] + 8192, (u64)data[n], PTE_P | PTE_U, 1);
}

/* How much of what the code says at the place is wrong. */
static unsigned wrong_at(unsigned n)
{
    u64 base = place[n], word = *(u64 *)data[n];
    struct trap t = run(base, 0);
    return (t.vector != UD) + (t.rax != base + word) +
           (t.rcx != 50 * (base + word + base + code_tail_offset) + 1) + (t.rsi != code_pop_offset);
}

static void fault_at(const char *name, unsigned n)
{
    u64 offset = (u64)(code_fault - code);
    struct trap t = run(place[n] + offset, 0xffff800000000000);
    check_eq(name, t.rip, place[n] + offset + 1);
}

static void twice_in_one_space(void)
{
    put(0);
    check_eq("at the first place", wrong_at(0), 0);
    fault_at("a fault there", 0);
    put(1);
    put(2);
    check_eq("at the second", wrong_at(1), 0);
    fault_at("a fault there, too", 1);
    check_eq("at the third", wrong_at(2), 0);
    unsigned wrong = 0;
    for (unsigned i = 0; i < 300; i++)
        wrong += wrong_at(i % PLACES);
    check_eq("in turns, wrong", wrong, 0);
    write_cr3(read_cr3());
    for (unsigned i = 0; i < 300; i++)
        wrong += wrong_at(i * i % PLACES);
    check_eq("and after a flush", wrong, 0);
    fault_at("a fault at the third", 2);
}

static u64 space_with(unsigned n)
{
    u64 *pml4 = page_alloc(), old = read_cr3();
    memcpy(pml4, (void *)old, 4096);
    pml4[TEST_VA >> 39 & 511] = 0;
    u64 *low = page_alloc();
    memcpy(low, (void *)(((u64 *)old)[0] & PTE_ADDR), 4096);
    pml4[0] = (u64)low | 7;
    low[TEST_VA >> 30 & 511] = low[(TEST_VA + FAR_AWAY) >> 30 & 511] = 0;
    write_cr3((u64)pml4);
    put(n);
    write_cr3(old);
    return (u64)pml4;
}

static void in_several_spaces(void)
{
    u64 old = read_cr3(), space[PLACES];
    unsigned wrong = 0;
    for (unsigned n = 0; n < PLACES; n++)
        space[n] = space_with(n);
    for (unsigned i = 0; i < 300; i++) {
        unsigned n = i * (i + 1) / 2 % PLACES;
        write_cr3(space[n]);
        wrong += wrong_at(n);
    }
    write_cr3(space[2]);
    fault_at("a fault at the third of three spaces", 2);
    write_cr3(old);
    check_eq("three address spaces, wrong", wrong, 0);
}

/* Of 12 contexts, each with one of the address spaces, in an order that comes back to some soon and to others
 * late. */
enum { CONTEXTS = 12 };
static u64 context(const u64 *space, unsigned n)
{
    return space[n % PLACES] | (n + 1) | BIT(63);
}

static unsigned wrong_in_contexts(const u64 *space)
{
    unsigned wrong = 0;
    for (unsigned i = 0; i < 600; i++) {
        unsigned n = i & 3 ? i * (i + 1) / 2 % 3 : i / 4 % CONTEXTS;
        write_cr3(context(space, n));
        wrong += wrong_at(n % PLACES);
    }
    return wrong;
}

static void in_contexts(void)
{
    if (!(cpuid(1, 0).c & BIT(17)) || !(cpuid(7, 0).b & BIT(10))) {
        skip("address spaces with PCIDs", "not offered");
        return;
    }
    static const u8 other[] = {0x48, 0xff, 0xc9, 0xc3}; /* dec %rcx; ret */
    u64 old = read_cr3(), space[PLACES];
    for (unsigned n = 0; n < PLACES; n++)
        space[n] = space_with(n);
    write_cr4(read_cr4() | CR4_PGE | CR4_PCIDE);
    check_eq("12 contexts in turns, wrong", wrong_in_contexts(space), 0);

    /* A store to the code, by way of another mapping, from the context of another space. */
    u8 *far = text[1] + 2, was = *far;
    write_cr3(context(space, 1));
    *(volatile u8 *)far = (u8)(was ^ 0x80);
    write_cr3(context(space, 0));
    check_eq("a byte of the code changed in another context", wrong_at(0) != 0, 1);
    *(volatile u8 *)far = was;
    check_eq("and back, wrong", wrong_in_contexts(space), 0);

    /* Another page of code, of which the context is told while it is not the current one. */
    u8 *page = page_alloc();
    memcpy(page, other, sizeof(other));
    write_cr3(context(space, 0));
    check_eq("the old page", wrong_at(0), 0);
    page_map(place[0] + 4096, (u64)page, PTE_P | PTE_U, 1);
    write_cr3(context(space, 1));
    check_eq("the other space", wrong_at(1), 0);
    struct {
        u64 pcid, gva;
    } d = {1, place[0] + 4096};
    __asm__ volatile("invpcid %0, %1" ::"m"(d), "r"(0ull) : "memory");
    write_cr3(context(space, 0));
    check_eq("a page of code replaced: a direct call finds it", run(place[0], 0).rcx, (u64)-50 + 1);
    page_map(place[0] + 4096, (u64)text[1], PTE_P | PTE_U, 1);
    write_cr3(context(space, 1));
    __asm__ volatile("invpcid %0, %1" ::"m"(d), "r"(1ull) : "memory");
    write_cr3(context(space, 0));
    check_eq("and back by its context", wrong_at(0), 0);
    page_map(place[0] + 8192, (u64)data[1], PTE_P | PTE_U, 1);
    write_cr3(context(space, 1));
    write_cr3(context(space, 0) & ~BIT(63));
    u64 base = place[0] + *(u64 *)data[1];
    check_eq("other data, seen where bit 63 is not set", run(place[0], 0).rax, base);
    write_cr3(old);
    write_cr4(read_cr4() & ~(word)CR4_PCIDE);
}

/* The second page's code is replaced at one of the places. */
static void other_page_changes(void)
{
    static const u8 other[] = {0x48, 0xff, 0xc9, 0xc3}; /* dec %rcx; ret */
    u8 *page = page_alloc();
    memcpy(page, other, sizeof(other));
    write_cr3(read_cr3());
    check_eq("before the change", wrong_at(0), 0);
    page_map(place[0] + 4096, (u64)page, PTE_P | PTE_U, 1);
    invlpg(place[0] + 4096);
    check_eq("a direct call finds the new code", run(place[0], 0).rcx, (u64)-50 + 1);
    check_eq("the old code elsewhere", wrong_at(1), 0);
    check_eq("and the new code again", run(place[0], 0).rcx, (u64)-50 + 1);
}

int main(void)
{
    for (unsigned i = 0; i < 2; i++) {
        text[i] = page_alloc();
        memcpy(text[i], code + 4096 * i, 4096);
    }
    for (unsigned n = 0; n < PLACES; n++) {
        data[n] = page_alloc();
        *(u64 *)data[n] = 0x1000001 * (n + 1);
    }
    twice_in_one_space();
    in_several_spaces();
    in_contexts();
    other_page_changes();
    return 0;
}
