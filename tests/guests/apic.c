/* apic.c - modes of the local APIC and ways between them (SDM 3A 10.4.3, 10.12.5); what is due comes at once
 */
/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "tests/guests/lib/guest.h"

enum {
    BASE_MSR = 0x1b,
    EXTD = BIT(10),
    EN = BIT(11),
    BSP = BIT(8),
    PAGE = 0xfee00000,
    ELSEWHERE = 0xfed40000
};
enum {
    VERSION = 0x30,
    TPR = 0x80,
    EOI = 0xb0,
    SVR = 0xf0,
    ICR = 0x300,
    LVT_TIMER = 0x320,
    LVT_LINT0 = 0x350,
    INITIAL = 0x380,
    CURRENT = 0x390,
    DIVIDE = 0x3e0,
    PERIODIC = 0x20000,
    DEADLINE = 0x40000
};
enum { VECTOR = 0x51, ICR_SELF = 0x44000 };

static volatile unsigned taken;

static u32 read_at(u64 base, unsigned reg)
{
    return *(volatile u32 *)(base + reg);
}

static void write_at(u64 base, unsigned reg, u32 value)
{
    *(volatile u32 *)(base + reg) = value;
}

static bool x2apic_on(void)
{
    return rdmsr(BASE_MSR) & EXTD;
}

static void write_reg(unsigned reg, u32 value)
{
    if (x2apic_on())
        wrmsr(0x800 + reg / 16, value);
    else
        write_at(PAGE, reg, value);
}

static void take(struct frame *f)
{
    (void)f;
    taken++;
    write_reg(EOI, 0);
}

static u64 without_mode(void)
{
    return rdmsr(BASE_MSR) & ~(u64)(EXTD | EN);
}

static bool has_apic(void)
{
    return cpuid(1, 0).d & BIT(9);
}

static u64 read_cr8(void)
{
    u64 value;
    __asm__ volatile("mov %%cr8, %0" : "=r"(value));
    return value;
}

static void write_cr8(u64 value)
{
    __asm__ volatile("mov %0, %%cr8" ::"r"(value) : "memory");
}

/* As a guest that has disabled its APIC, or uses it by MSRs, finds the page. */
static void page_is_a_hole(const char *name)
{
    u64 cr8 = read_cr8();
    for (unsigned reg = 0; reg < 4096; reg += 4)
        write_at(PAGE, reg, ~0u);
    check_eq(name, read_at(PAGE, VERSION), ~0u);
    check_eq("  writes to it do nothing", read_cr8(), cr8);
    write_cr8(cr8 ^ 15);
    check_eq("  CR8 works", read_cr8(), cr8 ^ 15);
    check_eq("  and is not seen there", read_at(PAGE, TPR), ~0u);
    write_cr8(cr8);
}

static void disabled(void)
{
    u32 version = read_at(PAGE, VERSION);
    u64 base = rdmsr(BASE_MSR);
    write_cr8(3);
    wrmsr(BASE_MSR, without_mode());
    check("disabled: CPUID says so", !has_apic());
    page_is_a_hole("disabled: the page is a hole");
    wrmsr(BASE_MSR, base);
    check("enabled: CPUID says so", has_apic());
    check_eq("  the version is there", read_at(PAGE, VERSION), version);
    check_eq("  the rest as after a reset", read_at(PAGE, SVR), 0xff);
    check_eq("  TPR too", read_at(PAGE, TPR), 0);
    write_cr8(0);
    write_at(PAGE, SVR, 0x1ff);
}

static void moved(void)
{
    u64 base = rdmsr(BASE_MSR);
    u32 version = read_at(PAGE, VERSION);
    wrmsr(BASE_MSR, ELSEWHERE | EN | BSP);
    check_eq("the page can be moved", read_at(ELSEWHERE, VERSION), version);
    RAISES("  not beyond MAXPHYADDR", GP, 0, "wrmsr", ::"c"(BASE_MSR), "a"(PAGE | EN), "d"(1u << 20)
           : "memory");
    RAISES("  no reserved bits", GP, 0, "wrmsr", ::"c"(BASE_MSR), "a"(PAGE | EN | 1), "d"(0) : "memory");
    wrmsr(BASE_MSR, base);
    check_eq("  and back", read_at(PAGE, VERSION), version);
}

static void base_refused(const char *name, u64 mode)
{
    RAISES(name, GP, 0, "wrmsr", ::"c"(BASE_MSR), "a"((u32)(without_mode() | mode)), "d"(0) : "memory");
}

static void x2apic(void)
{
    u64 base = rdmsr(BASE_MSR);
    if (!(cpuid(1, 0).c & BIT(21))) {
        skip("x2APIC", "not offered");
        return;
    }
    base_refused("xAPIC to the invalid state", EXTD);
    wrmsr(BASE_MSR, base | EXTD);
    base_refused("x2APIC to the invalid state", EXTD);
    base_refused("x2APIC to xAPIC", EN);
    page_is_a_hole("x2APIC: the page is a hole");
    taken = 0;
    wrmsr(0x80f, 0x1ff);
    __asm__ volatile("sti\n\tnop\n\twrmsr\n\tcli" ::"c"(0x83f), "a"(VECTOR), "d"(0) : "memory");
    check_eq("x2APIC: an interrupt to oneself comes before the next instruction", taken, 1);
    wrmsr(BASE_MSR, without_mode());
    base_refused("disabled to the invalid state", EXTD);
    base_refused("disabled to x2APIC", EN | EXTD);
    wrmsr(BASE_MSR, base);
    write_at(PAGE, SVR, 0x1ff);
}

static void at_once(void)
{
    taken = 0;
    __asm__ volatile("sti\n\tnop\n\tmovl %1, (%0)\n\tcli" ::"r"(PAGE + (u64)ICR), "r"(ICR_SELF | VECTOR)
                     : "memory");
    tcg_differs("its devices work beside the processor");
    check_eq("an interrupt to oneself comes before the next instruction", taken, 1);
    if (!(cpuid(1, 0).c & BIT(24))) {
        skip("TSC deadline", "not offered");
        return;
    }
    write_at(PAGE, LVT_TIMER, DEADLINE | VECTOR);
    u64 now = rdtsc();
    __asm__ volatile("sti\n\tnop\n\twrmsr\n\tcli" ::"c"(0x6e0), "a"((u32)now), "d"((u32)(now >> 32))
                     : "memory");
    check_eq("a deadline that has passed, too", taken, 2);
}

static void count_below(u32 limit)
{
    while (read_at(PAGE, CURRENT) >= limit)
        __asm__ volatile("pause");
}

static void timer_modes(void)
{
    enum { COUNT = 0x9999999 };
    write_at(PAGE, DIVIDE, 0xb);
    write_at(PAGE, LVT_TIMER, 0x10000 | VECTOR);
    write_at(PAGE, INITIAL, COUNT);
    check("one-shot counts", read_at(PAGE, CURRENT));
    count_below(COUNT / 2);
    write_at(PAGE, LVT_TIMER, 0x10000 | PERIODIC | VECTOR);
    check("periodic from there: it goes on", read_at(PAGE, CURRENT) < COUNT / 2);
    while (read_at(PAGE, CURRENT) <= COUNT / 2)
        __asm__ volatile("pause");
    check("  and starts again", read_at(PAGE, CURRENT) > COUNT / 2);
    write_at(PAGE, LVT_TIMER, 0x10000 | VECTOR);
    count_below(1);
    check_eq("one-shot from there: it ends", read_at(PAGE, CURRENT), 0);
    for (int i = 0; i < 1000; i++) /* what is left of the last count */
        read_at(PAGE, CURRENT);
    write_at(PAGE, LVT_TIMER, 0x10000 | PERIODIC | VECTOR);
    tcg_differs("starts a period");
    check_eq("periodic after its end: nothing starts", read_at(PAGE, CURRENT), 0);
    write_at(PAGE, INITIAL, 0);
}

int main(void)
{
    trap_handle(VECTOR, take);
    write_at(PAGE, SVR, 0x1ff);
    at_once();
    timer_modes();
    if (on_tcg()) {
        skip("modes", "TCG of QEMU 7.2 has the page always, and takes any base");
        return 0;
    }
    disabled();
    moved();
    x2apic();
    return 0;
}
