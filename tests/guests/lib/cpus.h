/* cpus.h - several processors in a 64-bit guest: starting them, work for all of them, interrupts between them
 */
/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef GUEST_CPUS_H
#define GUEST_CPUS_H

#include "tests/guests/lib/guest.h"

enum { MAX_CPUS = 8 };

/* Starts all others by INIT and SIPI; gives how many there are, this one included. Their number is the order
 * in which they came; APIC ids are apic_id[number]. */
unsigned cpus_start(void);
extern unsigned cpu_count;
extern volatile u32 apic_id[MAX_CPUS];
/* Runs work on all processors at once, this one being number 0, and waits until all have done it. */
void cpus_run(void (*work)(unsigned cpu));
/* All processors meet here before any goes on: inside of work. */
void cpus_meet(void);

/* The xAPIC's page. */
u32 apic_read(unsigned offset);
void apic_write(unsigned offset, u32 value);
enum { APIC_ID = 0x20, APIC_EOI = 0xb0, APIC_LDR = 0xd0, APIC_DFR = 0xe0, APIC_SVR = 0xf0, APIC_ICR = 0x300 };
enum { ICR_LOWEST = 1 << 8, ICR_NMI = 4 << 8, ICR_INIT = 5 << 8, ICR_STARTUP = 6 << 8 };
enum {
    ICR_LOGICAL = 1 << 11,
    ICR_ASSERT = 1 << 14,
    ICR_SELF = 1 << 18,
    ICR_ALL = 2 << 18,
    ICR_OTHERS = 3 << 18
};
/* An interrupt command with an 8-bit destination, sent when the one before is out. */
void apic_send(u32 command, u32 destination);

static inline void pause(void)
{
    __asm__ volatile("pause" ::: "memory");
}

/* The counts of several processors of one event. */
static inline u64 total(const volatile u64 *count, unsigned n)
{
    u64 sum = 0;
    for (unsigned i = 0; i < n; i++)
        sum += count[i];
    return sum;
}

#endif
