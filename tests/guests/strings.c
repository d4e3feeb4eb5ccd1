/* strings.c - string instructions: directions, sizes, counts, faults in the middle (SDM 2A/2B, REP) */
/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "tests/guests/lib/guest.h"

#define VA TEST_VA

enum { PAGES = 4 };
static u8 *memory; /* four pages in a row, and the same ones at VA, where they can be made to go */
static u64 *ptes[PAGES];

static void present(unsigned page, bool yes)
{
    *ptes[page] = ((u64)memory + 4096 * page) | (yes ? PTE_P | PTE_W : 0);
    invlpg(VA + 4096 * page);
}

struct state {
    u64 di, si, cx, ax;
    bool zero;
};

#define STRING(code, s)                                                                                  \
    __asm__ volatile(code "\n\tsete %4\n\tcld"                                                           \
                     : "+D"((s).di), "+S"((s).si), "+c"((s).cx), "+a"((s).ax), "=m"((s).zero)::"memory", \
                       "cc")

static void check_state(const char *name, struct state s, u64 di, u64 si, u64 cx)
{
    check(name, s.di == di && s.si == si && s.cx == cx);
}

static void single(void)
{
    memcpy(memory, "abcdefgh", 8);
    struct state s = {VA + 100, VA, 5, 0, false};
    STRING("movsb", s);
    check_state("movsb", s, VA + 101, VA + 1, 5);
    STRING("std\n\tmovsw", s);
    check_state("movsw backward", s, VA + 99, VA - 1, 5);
    check_eq("what they moved", *(u32 *)(memory + 100) & 0xffffff, 'a' | 'b' << 8 | 'c' << 16);
    s = (struct state){VA + 200, VA, 0, 0x1122334455667788, false};
    STRING("stosq", s);
    check_state("stosq", s, VA + 208, VA, 0);
    check_eq("what it stored", *(u64 *)(memory + 200), 0x1122334455667788);
    s.si = VA;
    STRING("lodsl", s);
    check_eq("lodsl zero-extends", s.ax, 0x64636261);
    STRING("lodsb", s);
    check_eq("lodsb merges", s.ax, 0x64636265);
}

static void repeated(void)
{
    for (unsigned i = 0; i < 8192; i++)
        memory[i] = (u8)(i * 7);
    struct state s = {VA + 8192, VA + 1, 5000, 0, false};
    STRING("rep movsb", s);
    check_state("rep movsb", s, VA + 13192, VA + 5001, 0);
    check_eq("rep movsb's copy", (u64)memcmp(memory + 8192, memory + 1, 5000), 0);
    s = (struct state){VA + 8192 + 4999, VA + 5000 - 1, 5000, 0, false};
    STRING("std\n\trep movsb", s);
    check_state("rep movsb backward", s, VA + 8191, VA - 1, 0);
    check_eq("its copy", (u64)memcmp(memory + 8192, memory, 5000), 0);
    s = (struct state){VA + 8192 + 3, VA + 5, 700, 0, false};
    STRING("rep movsq", s);
    check_state("rep movsq", s, VA + 8192 + 5603, VA + 5605, 0);
    check_eq("its copy", (u64)memcmp(memory + 8192 + 3, memory + 5, 5600), 0);
    s = (struct state){VA + 9000, VA, 300, 0xa5a5c3c3, false};
    STRING("rep stosl", s);
    check_state("rep stosl", s, VA + 10200, VA, 0);
    check_eq("its last element", *(u32 *)(memory + 10196), 0xa5a5c3c3);
    s = (struct state){VA, VA, 0, 0, false};
    STRING("rep movsb", s);
    check_state("a count of zero", s, VA, VA, 0);
    /* A forward copy to just behind itself repeats the first element. */
    memory[0] = 'x';
    s = (struct state){VA + 1, VA, 1000, 0, false};
    STRING("rep movsb", s);
    check("overlapping forward copy repeats", memory[1] == 'x' && memory[500] == 'x' && memory[1000] == 'x');
    memcpy(memory, "12345678", 8);
    s = (struct state){VA + 2, VA, 6, 0, false};
    STRING("rep movsb", s);
    check_eq("with a distance of two", (u64)memcmp(memory, "12121212", 8), 0);
    /* With 32-bit addresses only the low halves of the registers count, and they are zero-extended when
     * written. */
    s = (struct state){0xffffffff00000000 + (u64)memory + 8, 0xffffffff00000000 + (u64)memory,
                       0xffffffff00000004, 0, false};
    STRING("addr32 rep movsb", s);
    check_state("32-bit addresses", s, (u64)memory + 12, (u64)memory + 4, 0);
    check_eq("what they moved", (u64)memcmp(memory + 8, memory, 4), 0);
}

static void compared(void)
{
    memset(memory, 'a', 8192);
    memory[3000] = 'b';
    struct state s = {VA + 1, VA, 8000, 'b', false};
    s.di = VA;
    STRING("repne scasb", s);
    check_state("repne scasb finds", s, VA + 3001, VA, 8000 - 3001);
    check("and says so", s.zero);
    s = (struct state){VA, VA, 2000, 'b', false};
    STRING("repne scasb", s);
    check_state("repne scasb does not find", s, VA + 2000, VA, 0);
    check("and says so too", !s.zero);
    s = (struct state){VA + 4000, VA, 4000, 0, false};
    STRING("repe cmpsb", s);
    check_state("repe cmpsb differs", s, VA + 7001, VA + 3001, 4000 - 3001);
    check("ZF clear", !s.zero);
    s = (struct state){VA + 4000, VA, 100, 0, false};
    STRING("repe cmpsq", s);
    check_state("repe cmpsq, equal", s, VA + 4800, VA + 800, 0);
    check("ZF set", s.zero);
    s = (struct state){VA + 4000, VA, 0, 0, false};
    STRING("cmp %%rsp, %%rsp\n\trepe cmpsb", s);
    check("a count of zero leaves ZF", s.zero);
    s = (struct state){VA + 3999, VA + 7000, 1000, 0, false};
    STRING("std\n\trepe cmpsw", s);
    check_state("repe cmpsw backward", s, VA + 3999 - 2 * 501, VA + 7000 - 2 * 501, 499);
}

/* A fault in the middle: the registers say how far it came, and what came before is done. */
static void faults(void)
{
    present(1, false);
    memset(memory, 0, 4096 * PAGES);
    struct trap t = TRY("rep stosb", ::"D"(VA + 4000), "c"(200), "a"(0x77) : "memory");
    check_trap("rep stosb into an absent page", t, PF, PF_W, 0);
    check_eq("cr2", t.cr2, VA + 4096);
    check_eq("rdi", t.rdi, VA + 4096);
    check_eq("rcx", t.rcx, 104);
    check("the first part is done", memory[4000] == 0x77 && memory[4095] == 0x77 && memory[4096] == 0);

    t = TRY("rep movsb", ::"D"(VA + 8192), "S"(VA + 4090), "c"(50) : "memory");
    check_trap("rep movsb from an absent page", t, PF, 0, 0);
    check_eq("rsi", t.rsi, VA + 4096);
    check_eq("rdi", t.rdi, VA + 8198);
    check_eq("rcx", t.rcx, 44);

    t = TRY("rep movsq", ::"D"(VA + 4096 - 20), "S"(VA + 8192), "c"(10) : "memory");
    check_trap("rep movsq over the edge to an absent page", t, PF, PF_W, 0);
    check_eq("rdi", t.rdi, VA + 4096 - 4);
    check_eq("rsi", t.rsi, VA + 8192 + 16);
    check_eq("rcx", t.rcx, 8);
    check_eq("nothing of the element that faults is written", *(u32 *)(memory + 4092), 0x77777777);

    t = TRY("std\n\trep stosb", ::"D"(VA + 8194), "c"(20), "a"(0x66) : "memory");
    check_trap("rep stosb backward into an absent page", t, PF, PF_W, 1);
    check_eq("rdi", t.rdi, VA + 8191);
    check_eq("rcx", t.rcx, 17);

    t = TRY("repne scasb", ::"D"(VA + 4095 - 50), "c"(100), "a"(0x11) : "memory");
    check_trap("scasb into an absent page", t, PF, 0, 0);
    check_eq("rcx", t.rcx, 49);
    memset(memory + 4080, 5, 16);
    t = TRY("repe cmpsb", ::"D"(VA + 4090), "S"(VA + 4089), "c"(100) : "memory");
    check_trap("cmpsb into an absent page", t, PF, 0, 0);
    check_eq("rcx", t.rcx, 94);
    present(1, true);

    RAISES("movsb to a non-canonical address", GP, 0, "movsb", ::"D"(BIT(63)), "S"(VA) : "memory");
    t = TRY("rep movsb", ::"D"(0x7fffffffff00ull), "S"(BIT(62)), "c"(0) : "memory");
    check_trap("a count of zero touches nothing", t, NONE, 0, 0);
}

/* The handler repairs the page, and the instruction goes on. */
static unsigned repairs;
static void repair(struct frame *f)
{
    (void)f;
    repairs++;
    for (unsigned i = 0; i < PAGES; i++)
        if (VA + 4096 * i == (read_cr2() & ~4095ull))
            present(i, true);
}

static void demand_paged(void)
{
    for (unsigned i = 0; i < PAGES; i++)
        present(i, false);
    trap_handle(PF, repair);
    struct state s = {VA, VA, 4096 * PAGES / 8, 0x0101010101010101, false};
    STRING("rep stosq", s);
    trap_handle(PF, NULL);
    check_eq("each page was asked for once", repairs, PAGES);
    unsigned wrong = 0;
    for (unsigned i = 0; i < 4096 * PAGES; i++)
        wrong += memory[i] != 1;
    check_eq("all is written", wrong, 0);
}

/* A trap flag stops after each element. */
static volatile unsigned steps;
static void step(struct frame *f)
{
    steps++;
    write_dr6(0xffff0ff0);
    if (steps > 20)
        f->rflags &= ~(u64)TF;
}

static void single_stepped(void)
{
    trap_handle(DB, step);
    struct state s = {VA, VA, 5, 9, false};
    STRING("pushf\n\torl $0x100, (%%rsp)\n\tpopf\n\trep stosb\n\tpushf\n\tandl $0xfffffeff, (%%rsp)\n\tpopf",
           s);
    trap_handle(DB, NULL);
    check_eq("rep stosb of 5 elements has 5 steps, and 3 instructions follow", steps, 5 + 3);
    check_state("registers after it", s, VA + 5, VA, 0);
}

int main(void)
{
    memory = page_alloc();
    for (unsigned i = 1; i < PAGES; i++)
        page_alloc();
    for (unsigned i = 0; i < PAGES; i++)
        ptes[i] = page_map(VA + 4096 * i, (u64)memory + 4096 * i, PTE_P | PTE_W, 1);
    single();
    repeated();
    compared();
    faults();
    demand_paged();
    single_stepped();
    return 0;
}
