/* smp-tlb.c - translations that one processor changes and others use: shootdown by interrupts (SDM 3A 4.10.5)
 */
/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "tests/guests/lib/cpus.h"

enum { VECTOR = 0x40, ROUNDS = 200 };

static u64 *pages[2];
static volatile u32 acknowledged, generation, stop;
static volatile u64 faults, wrong[MAX_CPUS], reads[MAX_CPUS], stores[MAX_CPUS];

/* Since it was asked last. */
static u64 wrong_ones(void)
{
    u64 sum = total(wrong, cpu_count);
    memset((void *)wrong, 0, sizeof(wrong));
    return sum;
}

static void shoot(struct frame *f)
{
    (void)f;
    invlpg(TEST_VA);
    __atomic_fetch_add(&acknowledged, 1, __ATOMIC_SEQ_CST);
    apic_write(APIC_EOI, 0);
}

/* All others have invalidated the page when it returns. */
static void shootdown(void)
{
    acknowledged = 0;
    invlpg(TEST_VA);
    apic_send(ICR_OTHERS | ICR_ASSERT | VECTOR, 0);
    while (acknowledged < cpu_count - 1)
        pause();
}

static void readers(unsigned cpu, void (*change)(u32 round))
{
    invlpg(TEST_VA);
    cpus_meet();
    if (cpu == 0) {
        for (u32 i = 1; i <= ROUNDS; i++) {
            generation = 2 * i - 1;
            change(i);
            shootdown();
            generation = 2 * i;
        }
        stop = 1;
        return;
    }
    __asm__ volatile("sti");
    while (!stop) {
        u32 before = generation;
        barrier();
        u64 got = *(volatile u64 *)TEST_VA;
        barrier();
        u32 after = generation;
        wrong[cpu] += got > 1 || (before == after && before % 2 == 0 && got != before / 2 % 2);
        reads[cpu]++;
        pause();
    }
    __asm__ volatile("cli");
}

static void remap(u32 round)
{
    *page_entry(TEST_VA, 1) = (u64)pages[round % 2] | PTE_P | PTE_W;
}

static void remap_work(unsigned cpu)
{
    readers(cpu, remap);
}

/* After the shootdown the old page is nobody's: it is given another content, which none may read. */
static void reuse(u32 round)
{
    u64 *old = pages[(round + 1) % 2];
    remap(round);
    shootdown();
    *(volatile u64 *)old = 0xdead;
    for (unsigned spin = 0; spin < 20; spin++)
        pause();
    *(volatile u64 *)old = (round + 1) % 2;
}

static void reuse_work(unsigned cpu)
{
    readers(cpu, reuse);
}

/* Write rights are taken away: after the shootdown the page does not change any more. */
static void rights_work(unsigned cpu)
{
    invlpg(TEST_VA);
    cpus_meet();
    if (cpu == 0) {
        for (unsigned i = 0; i < ROUNDS; i++) {
            *page_entry(TEST_VA, 1) &= ~(u64)PTE_W;
            shootdown();
            u64 now = pages[0][1];
            for (unsigned spin = 0; spin < 20; spin++)
                pause();
            wrong[0] += *(volatile u64 *)&pages[0][1] != now;
            *page_entry(TEST_VA, 1) |= PTE_W;
        }
        stop = 1;
        return;
    }
    __asm__ volatile("sti");
    while (!stop) {
        __atomic_fetch_add((u64 *)TEST_VA + 1, 1, __ATOMIC_SEQ_CST);
        stores[cpu]++;
        pause();
    }
    __asm__ volatile("cli");
}

/* A store without the right is tried again, until the right is back. */
static void late_store(struct frame *f)
{
    faults += f->error == (PF_P | PF_W);
    pause();
}

int main(void)
{
    cpus_start();
    check("several processors", cpu_count > 1);
    for (unsigned i = 0; i < 2; i++) {
        pages[i] = page_alloc();
        pages[i][0] = i;
    }
    trap_handle(VECTOR, shoot);
    page_map(TEST_VA, (u64)pages[0], PTE_P | PTE_W, 1);
    cpus_run(remap_work);
    check_eq("remapped pages, wrong reads", wrong_ones(), 0);
    check("reads were made", total(reads, cpu_count) > 0);
    stop = generation = 0;
    remap(0);
    cpus_run(reuse_work);
    check_eq("reused pages, wrong reads", wrong_ones(), 0);
    stop = 0;
    remap(0);
    trap_handle(PF, late_store);
    cpus_run(rights_work);
    check_eq("stores after the right was taken", wrong_ones(), 0);
    check_eq("stores made", pages[0][1], total(stores, cpu_count));
    check("some were late", faults > 0);
    return 0;
}
