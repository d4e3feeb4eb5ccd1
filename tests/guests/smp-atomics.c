/* smp-atomics.c - locked operations of several processors on the same memory (SDM 3A 8.1.2) */
/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "tests/guests/lib/cpus.h"

enum { ROUNDS = 20000, SLOW_ROUNDS = 3000 };

static volatile u64 counter, exchanged, bits[4], wide[2] __attribute__((aligned(16)));
static volatile u32 spinlock;
static u64 guarded;
static u8 *page; /* two pages in a row */
static volatile u64 seen[MAX_CPUS][8], split_rounds[MAX_CPUS];

static void add_work(unsigned cpu)
{
    for (unsigned i = 0; i < ROUNDS; i++)
        __asm__ volatile("lock incq %0" : "+m"(counter));
    for (unsigned i = 0; i < ROUNDS; i++) {
        u64 one = 1;
        __asm__ volatile("lock xaddq %1, %0" : "+m"(counter), "+r"(one));
        if (one % 1024 == 0) /* each value is met by one processor only */
            seen[cpu][0]++;
    }
}

static void compare_work(unsigned cpu)
{
    (void)cpu;
    for (unsigned i = 0; i < ROUNDS; i++) {
        u64 old = exchanged;
        while (!__atomic_compare_exchange_n(&exchanged, &old, old + 3, false, __ATOMIC_SEQ_CST,
                                            __ATOMIC_SEQ_CST))
            ;
        u64 lo = wide[0], hi = wide[1];
        bool done;
        do
            __asm__ volatile("lock cmpxchg16b %1"
                             : "=@cce"(done), "+m"(wide), "+a"(lo), "+d"(hi)
                             : "b"(lo + 1), "c"(hi + 2)
                             : "memory");
        while (!done);
    }
}

static void spin_lock(void)
{
    u32 taken = 1;
    for (;;) {
        __asm__ volatile("xchg %0, %1" : "+r"(taken), "+m"(spinlock)::"memory");
        if (!taken)
            return;
        while (spinlock)
            pause();
    }
}

static void lock_work(unsigned cpu)
{
    (void)cpu;
    for (unsigned i = 0; i < ROUNDS / 4; i++) {
        spin_lock();
        guarded++;
        barrier();
        spinlock = 0;
    }
}

/* Each processor has its own bits of the same words. */
static void bit_work(unsigned cpu)
{
    for (unsigned i = 0; i < ROUNDS; i++) {
        u64 bit = cpu * 32 + i % 32;
        bool was;
        __asm__ volatile("lock btsq %2, %1" : "=@ccc"(was), "+m"(bits) : "r"(bit) : "memory");
        seen[cpu][1] += was;
        __asm__ volatile("lock btrq %2, %1" : "=@ccc"(was), "+m"(bits) : "r"(bit) : "memory");
        seen[cpu][2] += !was;
    }
}

/* The operand has bytes in two pages, or in two lines. A host that detects split locks may take milliseconds
 * for each (SDM 3A 9.1.2.3), so it is done for a while only. */
static void split_work(unsigned cpu)
{
    volatile u64 *over_pages = (u64 *)(page + 4096 - 3), *over_lines = (u64 *)(page + 64 - 5);
    const u64 end = rdtsc() + BIT(29);
    for (unsigned i = 0; i < SLOW_ROUNDS && (i < 4 || rdtsc() < end); i++) {
        __asm__ volatile("lock addq $0x10001, %0" : "+m"(*over_pages));
        __asm__ volatile("lock addq $0x10001, %0" : "+m"(*over_lines));
        split_rounds[cpu]++;
    }
}

/* The counters stand beside code that all of them run. */
static void beside_code_work(unsigned cpu)
{
    volatile u64 *count = (u64 *)(page + 512), *own = (u64 *)(page + 520) + cpu;
    for (unsigned i = 0; i < SLOW_ROUNDS; i++) {
        u64 r;
        __asm__ volatile("lock incq %0" : "+m"(*count));
        *own += 1;
        __asm__ volatile("call *%1" : "=a"(r) : "r"(page + 256) : "memory");
        seen[cpu][3] += r;
    }
}

/* A byte store must not carry its neighbours along (SDM 3A 8.2.2). */
static void neighbours_work(unsigned cpu)
{
    volatile u8 *own = page + 1024 + cpu;
    for (unsigned i = 0; i < ROUNDS; i++) {
        *own = (u8)i;
        seen[cpu][4] += *own != (u8)i;
    }
}

/* An entry's bits that software owns are changed while processors set A and D in it. */
static void page_entry_work(unsigned cpu)
{
    u64 *entry = page_entry(TEST_VA, 1);
    if (cpu == 0) {
        for (unsigned i = 0; i < SLOW_ROUNDS * 4; i++)
            __atomic_fetch_add((u64 *)entry, 1ull << 52, __ATOMIC_SEQ_CST);
        return;
    }
    for (unsigned i = 0; i < SLOW_ROUNDS; i++) {
        __atomic_fetch_and((u64 *)entry, ~(u64)(PTE_A | PTE_D), __ATOMIC_SEQ_CST);
        invlpg(TEST_VA);
        *(volatile u8 *)(TEST_VA + cpu) = (u8)i;
        seen[cpu][5]++;
    }
}

static u64 sum_of(unsigned what)
{
    u64 sum = 0;
    for (unsigned i = 0; i < cpu_count; i++)
        sum += seen[i][what];
    return sum;
}

int main(void)
{
    unsigned n = cpus_start();
    page = page_alloc();
    check("the two pages are neighbours", (u8 *)page_alloc() == page + 4096);
    check("several processors", n > 1);

    cpus_run(add_work);
    check_eq("lock inc and lock xadd", counter, 2ull * n * ROUNDS);
    u64 want = 0;
    for (u64 i = 0; i < 2ull * n * ROUNDS; i++)
        want += i % 1024 == 0;
    check("lock xadd gives each value once", sum_of(0) <= want);
    cpus_run(compare_work);
    check_eq("lock cmpxchg", exchanged, 3ull * n * ROUNDS);
    check_eq("lock cmpxchg16b, low half", wide[0], (u64)n * ROUNDS);
    check_eq("lock cmpxchg16b, high half", wide[1], 2ull * n * ROUNDS);
    cpus_run(lock_work);
    check_eq("a spin lock by xchg", guarded, (u64)n * (ROUNDS / 4));
    cpus_run(bit_work);
    check_eq("lock bts of a clear bit, found set", sum_of(1), 0);
    check_eq("lock btr of a set bit, found clear", sum_of(2), 0);
    cpus_run(split_work);
    u64 split[2];
    memcpy(&split[0], page + 4096 - 3, 8);
    memcpy(&split[1], page + 64 - 5, 8);
    const u64 splits = total((u64 *)split_rounds, n);
    check("each made some", splits >= 4ull * n);
    check_eq("lock add across two pages", split[0], 0x10001ull * splits);
    check_eq("lock add across two lines", split[1], 0x10001ull * splits);
    static const u8 code[] = {0xb8, 7, 0, 0, 0, 0xc3};
    memcpy(page + 256, code, sizeof(code));
    cpus_run(beside_code_work);
    check_eq("lock inc beside code", *(u64 *)(page + 512), (u64)n * SLOW_ROUNDS);
    check_eq("plain stores beside code", total((u64 *)(page + 520), n), (u64)n * SLOW_ROUNDS);
    check_eq("the code beside them", sum_of(3), 7ull * n * SLOW_ROUNDS);
    cpus_run(neighbours_work);
    check_eq("neighbouring bytes, lost stores", sum_of(4), 0);
    page_map(TEST_VA, (u64)page, PTE_P | PTE_W, 1);
    cpus_run(page_entry_work);
    check_eq("changes of an entry while A and D are set", *page_entry(TEST_VA, 1) >> 52 & 0x7ff,
             SLOW_ROUNDS * 4 & 0x7ff);
    check_eq("accesses through it", sum_of(5), (u64)(n - 1) * SLOW_ROUNDS);
    return 0;
}
