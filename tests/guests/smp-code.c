/* smp-code.c - code that one processor writes and others run: cross-modifying code (SDM 3A 8.1.3) */
/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "tests/guests/lib/cpus.h"

enum { VERSIONS = 10000, PAGES = 100, RACES = 100 };

static u8 *code;
static volatile u32 version, stop;
static u8 *volatile published;
static volatile u64 stale[MAX_CPUS], calls[MAX_CPUS];

/* Since it was asked last. */
static u64 stale_calls(void)
{
    u64 sum = total(stale, cpu_count);
    memset((void *)stale, 0, sizeof(stale));
    return sum;
}

static u32 call(const void *f)
{
    u64 r;
    __asm__ volatile("call *%1" : "=a"(r) : "r"(f) : "memory");
    return (u32)r;
}

/* mov $value, %eax; ret - with the immediate aligned */
static void put(u8 *at, u32 value)
{
    at[3] = 0xb8;
    at[8] = 0xc3;
    barrier();
    *(volatile u32 *)(at + 4) = value;
}

static void serialize(void)
{
    cpuid(0, 0);
}

/* Processor 0 stores an immediate and then its number; who reads the number and serializes calls nothing
 * older. */
static void versions_work(unsigned cpu)
{
    if (cpu == 0) {
        for (u32 i = 1; i <= VERSIONS || total(calls, cpu_count) < VERSIONS; i++) {
            *(volatile u32 *)(code + 4) = i;
            version = i;
            if (i % 16 == 0)
                for (unsigned spin = 0; spin < 50; spin++)
                    pause();
        }
        stop = 1;
        return;
    }
    while (!stop) {
        u32 known = version;
        serialize();
        u32 got = call(code + 3);
        stale[cpu] += got < known || got > version + 1;
        calls[cpu]++;
    }
}

static void versions(void)
{
    put(code, 0);
    cpus_run(versions_work);
    tcg_differs("may go on with code that another processor has replaced");
    check_eq("one writer, stale calls", stale_calls(), 0);
}

/* Code that nobody has run before is published by a plain store, and needs no serialization. */
static void fresh_work(unsigned cpu)
{
    static u8 *pages[PAGES];
    for (u32 i = 0; i < PAGES; i++) {
        if (cpu == 0) {
            if (!pages[i])
                pages[i] = page_alloc();
            put(pages[i], 1000 + i);
            published = pages[i];
        }
        while (!published || (cpu && (u32)(1000 + i) != *(volatile u32 *)(published + 4)))
            pause();
        stale[cpu] += call(published + 3) != 1000 + i;
        cpus_meet();
    }
}

/* A page that becomes code while another processor is storing to it: the last store counts. */
static u8 *race_page;

static void race_work(unsigned cpu)
{
    if (cpu == 0) {
        for (u32 i = 1; i <= 2000; i++)
            *(volatile u32 *)(race_page + 4) = i;
    } else {
        for (unsigned spin = 0; spin < 37 * cpu; spin++)
            pause();
        calls[cpu] += call(race_page + 3) <= 2000;
    }
    cpus_meet();
    serialize();
    stale[cpu] += call(race_page + 3) != 2000;
}

static void races(void)
{
    for (unsigned i = 0; i < RACES; i++) {
        race_page = page_alloc();
        put(race_page, 0);
        cpus_run(race_work);
    }
    tcg_differs("may go on with code that another processor has replaced");
    check_eq("a page that becomes code under stores, stale calls", stale_calls(), 0);
}

/* The classical protocol: INT3 over the first byte, then the rest, then the first byte, with interrupts to
 * have all serialize in between. Here a jump's displacement changes in one aligned store instead, and loops
 * go through it. */
static void loop_work(unsigned cpu)
{
    if (cpu == 0) {
        for (u32 i = 0; i < 400; i++) {
            *(volatile u32 *)(code + 4) = i & 1 ? 0 : 8; /* jmp +0 or +8 */
            for (unsigned spin = 0; spin < 20; spin++)
                pause();
        }
        stop = 1;
        return;
    }
    while (!stop) {
        u32 got = call(code);
        stale[cpu] += got != 1 && got != 2;
    }
}

static void patched_jump(void)
{
    static const u8 text[] = {
        0x66, 0x90, 0x90,                         /* nop */
        0xe9, 0,    0,    0, 0,                   /* jmp */
        0xb8, 1,    0,    0, 0, 0xc3, 0x90, 0x90, /* mov $1, %eax; ret */
        0xb8, 2,    0,    0, 0, 0xc3,             /* mov $2, %eax; ret */
    };
    memcpy(code, text, sizeof(text));
    stop = 0;
    cpus_run(loop_work);
    tcg_differs("may go on with code that another processor has replaced");
    check_eq("a jump patched under those who run it, neither target", stale_calls(), 0);
    *(volatile u32 *)(code + 4) = 8;
    tcg_differs("may go on with code that another processor has replaced");
    check_eq("the last target", call(code), 2);
}

/* Processors change their own code in one page that all run. */
static void own_code_work(unsigned cpu)
{
    u8 *own = code + 1024 + 64 * cpu;
    put(own, 0);
    for (u32 i = 0; i < 500; i++) {
        *(volatile u32 *)(own + 4) = i;
        stale[cpu] += call(own + 3) != i;
    }
}

int main(void)
{
    cpus_start();
    check("several processors", cpu_count > 1);
    code = page_alloc();
    versions();
    cpus_run(fresh_work);
    tcg_differs("may go on with code that another processor has replaced");
    check_eq("fresh code, wrong calls", stale_calls(), 0);
    races();
    patched_jump();
    cpus_run(own_code_work);
    tcg_differs("may go on with code that another processor has replaced");
    check_eq("own code in a shared page, stale calls", stale_calls(), 0);
    return 0;
}
