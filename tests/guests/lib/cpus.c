/* cpus.c - several processors in a 64-bit guest: starting them, work for all of them, interrupts between them
 */
/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "tests/guests/lib/cpus.h"

enum { AP_PAGE = 0x8000, APIC_PAGE = 0xfee00000 };

extern char ap_start[], ap_end[], ap_gdtr[];
extern volatile u32 ap_next;

unsigned cpu_count = 1;
volatile u32 apic_id[MAX_CPUS];
static volatile u32 present = 1, round, finished, met;
static void (*volatile task)(unsigned cpu);

u32 apic_read(unsigned offset)
{
    return *(volatile u32 *)(u64)(APIC_PAGE + offset);
}

void apic_write(unsigned offset, u32 value)
{
    *(volatile u32 *)(u64)(APIC_PAGE + offset) = value;
}

void apic_send(u32 command, u32 destination)
{
    enum { PENDING = 1 << 12, ICR_HIGH = 0x310 };
    while (apic_read(APIC_ICR) & PENDING)
        pause();
    apic_write(ICR_HIGH, destination << 24);
    apic_write(APIC_ICR, command);
}

static void apic_enable(unsigned cpu)
{
    enum { ENABLED = 0x100, SPURIOUS = 0xff };
    apic_id[cpu] = apic_read(APIC_ID) >> 24;
    apic_write(APIC_SVR, ENABLED | SPURIOUS);
}

void ap_main(unsigned cpu);
void ap_main(unsigned cpu)
{
    idt_load();
    apic_enable(cpu);
    u32 seen = round;
    __atomic_fetch_add(&present, 1, __ATOMIC_SEQ_CST);
    for (;;) {
        while (round == seen)
            pause();
        seen++;
        task(cpu);
        __atomic_fetch_add(&finished, 1, __ATOMIC_SEQ_CST);
    }
}

/* The trampoline, with the GDT where it will look for it. */
static void place_trampoline(void)
{
    struct {
        u16 limit;
        u32 base;
    } __attribute__((packed)) gdtr = {GDT_FREE - 1, (u32)(u64)gdt};
    u8 *page = (u8 *)AP_PAGE;
    memcpy(page, ap_start, (size_t)(ap_end - ap_start));
    memcpy(page + (ap_gdtr - ap_start), &gdtr, sizeof(gdtr));
}

/* Leaf 1 tells how many IDs are set aside for the package. */
static unsigned expected(void)
{
    unsigned n = cpuid(1, 0).b >> 16 & 0xff;
    return n > MAX_CPUS ? MAX_CPUS : n;
}

unsigned cpus_start(void)
{
    cpu_count = expected();
    apic_enable(0);
    place_trampoline();
    if (cpu_count > 1) {
        apic_send(ICR_OTHERS | ICR_ASSERT | ICR_INIT, 0);
        apic_send(ICR_OTHERS | ICR_ASSERT | ICR_STARTUP | AP_PAGE >> 12, 0);
    }
    while (present < cpu_count)
        pause();
    return cpu_count;
}

void cpus_run(void (*work)(unsigned cpu))
{
    task = work;
    finished = 0;
    met = 0;
    __atomic_fetch_add(&round, 1, __ATOMIC_SEQ_CST);
    work(0);
    while (finished < cpu_count - 1)
        pause();
}

void cpus_meet(void)
{
    u32 turn = __atomic_fetch_add(&met, 1, __ATOMIC_SEQ_CST) / cpu_count;
    while (met < (turn + 1) * cpu_count)
        pause();
}
