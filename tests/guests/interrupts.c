/* interrupts.c - interrupts from the chips and how the CPU takes them (SDM 3A ch. 6, 10; 8259A, 8254 data
 * sheets) */
/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "tests/guests/lib/guest.h"

enum { PIC1 = 0x20, PIC2 = 0xa0, PIT = 0x40, PIT_CONTROL = 0x43, EOI = 0x20 };
enum {
    APIC_ID = 0x20,
    APIC_TPR = 0x80,
    APIC_EOI = 0xb0,
    APIC_SPURIOUS = 0xf0,
    APIC_ISR = 0x100,
    APIC_IRR = 0x200,
    APIC_ICR = 0x300,
    APIC_ICR_HIGH = 0x310,
    APIC_LVT_TIMER = 0x320,
    APIC_LVT_LINT0 = 0x350,
    APIC_INITIAL = 0x380,
    APIC_CURRENT = 0x390,
    APIC_DIVIDE = 0x3e0
};
enum { PIC_BASE = 0x30, TIMER = 0x40, IPI = 0x50, HIGH_IPI = 0x90 };

static volatile unsigned count[256];
static volatile u64 taken_at; /* rip that was interrupted last */

static void write_apic(unsigned reg, u32 v)
{
    *(volatile u32 *)(0xfee00000ull + reg) = v;
}

static u32 read_apic(unsigned reg)
{
    return *(volatile u32 *)(0xfee00000ull + reg);
}

static void counted(struct frame *f)
{
    count[f->vector]++;
    taken_at = f->rip;
}

static void apic_interrupt(struct frame *f)
{
    counted(f);
    write_apic(APIC_EOI, 0);
}

static void pic_interrupt(struct frame *f)
{
    counted(f);
    outb(PIC1, EOI);
}

/* Spins until the vector has come that often; false after a while. */
static bool arrives(unsigned vector, unsigned times)
{
    for (u64 i = 0; i < 200000000 && count[vector] < times; i++)
        __asm__ volatile("pause");
    return count[vector] >= times;
}

static void send_self(u8 vector)
{
    write_apic(APIC_ICR_HIGH, read_apic(APIC_ID) & 0xff000000);
    write_apic(APIC_ICR, 0x4000 | vector);
}

static void setup(void)
{
    for (unsigned v = 0x30; v < 256; v++)
        trap_handle(v, v < PIC_BASE + 16 ? pic_interrupt : apic_interrupt);
    static const u8 first[] = {0x11, PIC_BASE, 4, 1}, second[] = {0x11, PIC_BASE + 8, 2, 1};
    for (unsigned i = 0; i < 4; i++) {
        outb(PIC1 + (i > 0), first[i]);
        outb(PIC2 + (i > 0), second[i]);
    }
    outb(PIC1 + 1, 0xff);
    outb(PIC2 + 1, 0xff);
    write_apic(APIC_SPURIOUS, 0x1ff);
    write_apic(APIC_LVT_LINT0, 0x700); /* the PIC */
}

/* The PIC has latched an interrupt that it could not yet deliver; false if none comes. */
static bool pic_requests(unsigned pin)
{
    for (u64 i = 0; i < 20000000; i++) {
        outb(PIC1, 0x0a); /* OCW3: the next read gives IRR */
        if (inb(PIC1) >> pin & 1)
            return true;
    }
    return false;
}

/* What the host is too slow for is made up later (pit.c), so only the time since the start counts. */
static void pit_through_pic(void)
{
    u64 start = rdtsc();
    outb(PIC1 + 1, 0xfe);
    outb(PIT_CONTROL, 0x34); /* channel 0, rate generator */
    outb(PIT, 0xa9);
    outb(PIT, 0x04); /* 1193: 1 ms */
    __asm__ volatile("sti");
    check("PIT: ten interrupts", arrives(PIC_BASE, 10));
    arrives(PIC_BASE, 60);
    check("PIT: 60 interrupts take time", rdtsc() - start > 10000000);
    __asm__ volatile("cli");
    unsigned before = count[PIC_BASE];
    check("PIT: one more is requested", pic_requests(0));
    check_eq("cli holds them off", count[PIC_BASE], before);
    __asm__ volatile("sti\n\tnop\n\tnop");
    check("one was pending", count[PIC_BASE] > before);
    for (unsigned i = 0; i < 5; i++) {
        unsigned now = count[PIC_BASE];
        __asm__ volatile("hlt");
        check("hlt wakes by an interrupt", count[PIC_BASE] > now);
    }
    outb(PIC1 + 1, 0xff);
    before = count[PIC_BASE];
    for (unsigned i = 0; i < 3000000; i++)
        __asm__ volatile("pause");
    check("masked at the PIC", count[PIC_BASE] <= before + 1);
    __asm__ volatile("cli");
    outb(PIT_CONTROL, 0x30);
}

static void self_ipi(void)
{
    send_self(IPI);
    check_eq("with IF clear it waits", count[IPI], 0);
    check_eq("  in IRR", read_apic(APIC_IRR + (IPI / 32) * 16) >> (IPI % 32) & 1, 1);
    u64 after;
    __asm__ volatile("sti\n1:\tnop\n2:\tlea 2b(%%rip), %0" : "=r"(after)::"memory");
    check_eq("it comes after the instruction that follows sti", taken_at, after);
    check_eq("once", count[IPI], 1);
    check_eq("  and IRR is clear", read_apic(APIC_IRR + (IPI / 32) * 16), 0);
    send_self(IPI);
    check("with IF set it comes", arrives(IPI, 2));

    /* The shadow of sti: sti; cli lets nothing in. */
    __asm__ volatile("cli");
    send_self(IPI);
    __asm__ volatile("sti\n\tcli\n\tnop\n\tnop");
    check_eq("sti; cli lets nothing in", count[IPI], 2);
    __asm__ volatile("sti\n\tnop\n\tcli");
    check_eq("sti; nop; cli does", count[IPI], 3);
    send_self(IPI);
    __asm__ volatile("pushf\n\torl $0x200, (%%rsp)\n\tpopf\n\tcli" ::: "memory", "cc");
    check_eq("popf has no shadow", count[IPI], 4);
    send_self(IPI);
    u64 there;
    __asm__ volatile(
        "mov %%ss, %%eax\n\tlea 1f(%%rip), %0\n\tpushf\n\torl $0x200, (%%rsp)\n\tpopf\n1:\tmov %%eax, %%ss\n\tcli"
        : "=&r"(there)::"rax", "memory", "cc");
    check_eq("popf, then mov to ss: taken before that", taken_at, there);
    send_self(IPI);
    __asm__ volatile("sti\n\thlt\n\tcli");
    check_eq("sti; hlt is woken by one that is pending", count[IPI], 6);
    __asm__ volatile("sti");
    send_self(IPI);
    arrives(IPI, 7);
    __asm__ volatile("cli");
    check_eq("all came", count[IPI], 7);
}

/* A handler with interrupts on is interrupted by a higher class, and not by a lower one. */
static volatile u64 order;
static void low_class(struct frame *f)
{
    counted(f);
    order = order * 16 + 1;
    __asm__ volatile("sti");
    send_self(HIGH_IPI);
    arrives(HIGH_IPI, 1);
    send_self(IPI + 1); /* same class: waits */
    for (unsigned i = 0; i < 1000; i++)
        __asm__ volatile("pause");
    order = order * 16 + 2;
    __asm__ volatile("cli");
    write_apic(APIC_EOI, 0);
}
static void high_class(struct frame *f)
{
    order = order * 16 + 3;
    apic_interrupt(f);
}
static void same_class(struct frame *f)
{
    order = order * 16 + 4;
    apic_interrupt(f);
}

static void priorities(void)
{
    trap_handle(IPI, low_class);
    trap_handle(IPI + 1, same_class);
    trap_handle(HIGH_IPI, high_class);
    order = 0;
    __asm__ volatile("sti");
    send_self(IPI);
    arrives(IPI + 1, 1);
    check_eq("nesting by class", order, 0x1324);
    check_eq("nothing in service after", read_apic(APIC_ISR + (IPI / 32) * 16), 0);
    trap_handle(IPI, apic_interrupt);

    write_apic(APIC_TPR, 0x50);
    unsigned before = count[IPI];
    send_self(IPI);
    for (unsigned i = 0; i < 1000; i++)
        __asm__ volatile("pause");
    check_eq("TPR holds off its own class", count[IPI], before);
    u64 cr8;
    __asm__ volatile("mov %%cr8, %0" : "=r"(cr8));
    check_eq("CR8 is the TPR's class", cr8, 5);
    __asm__ volatile("mov %0, %%cr8" ::"r"(0ull));
    check("and lets it in when it is lowered", arrives(IPI, before + 1));
    __asm__ volatile("cli");
    tcg_differs("ignores the others");
    RAISES("CR8 has four bits", GP, 0, "mov %0, %%cr8", ::"r"(16ull) : "memory");

    order = 0;
    send_self(HIGH_IPI);
    send_self(IPI + 1);
    __asm__ volatile("sti\n\tnop\n\tnop\n\tnop\n\tcli");
    check_eq("of two pending the higher comes first", order, 0x34);
}

static void apic_timer(void)
{
    write_apic(APIC_DIVIDE, 0xb); /* by 1 */
    write_apic(APIC_LVT_TIMER, TIMER);
    write_apic(APIC_INITIAL, 100000);
    __asm__ volatile("sti");
    check("one-shot comes", arrives(TIMER, 1));
    check_eq("  and has run down", read_apic(APIC_CURRENT), 0);
    for (unsigned i = 0; i < 1000000; i++)
        __asm__ volatile("pause");
    check_eq("  once", count[TIMER], 1);
    write_apic(APIC_LVT_TIMER, 0x20000 | TIMER);
    write_apic(APIC_INITIAL, 1000000);
    check("periodic comes ten times", arrives(TIMER, 11));
    u32 current = read_apic(APIC_CURRENT);
    check("  counts down from its start", current <= 1000000);
    write_apic(APIC_LVT_TIMER, 0x30000 | TIMER);
    unsigned before = count[TIMER];
    for (unsigned i = 0; i < 3000000; i++)
        __asm__ volatile("pause");
    check("  masked", count[TIMER] <= before + 1);
    write_apic(APIC_INITIAL, 0);
    if (!(cpuid(1, 0).c & BIT(24))) {
        skip("TSC deadline", "not offered");
        __asm__ volatile("cli");
        return;
    }
    before = count[TIMER];
    write_apic(APIC_LVT_TIMER, 0x40000 | TIMER);
    u64 deadline = rdtsc() + 5000000;
    wrmsr(0x6e0, deadline);
    check("TSC deadline comes", arrives(TIMER, before + 1));
    check("  not early", rdtsc() >= deadline);
    check_eq("  and is disarmed", rdmsr(0x6e0), 0);
    wrmsr(0x6e0, 1);
    check("a deadline in the past comes at once", arrives(TIMER, before + 2));
    __asm__ volatile("cli");
}

/* Registers, flags and vector state survive interrupts at any instruction of a loop. */
static void sum_while_interrupted(u64 *sum, u64 *vector, u64 *wrong)
{
    __asm__ volatile("sti\n\t"
                     "movq %2, %%xmm0\n\tpxor %%xmm1, %%xmm1\n\t"
                     "xor %0, %0\n\txor %1, %1\n\t"
                     "mov $3000000, %%ecx\n"
                     "1:\tlea (%0, %%rcx), %0\n\t"
                     "paddq %%xmm0, %%xmm1\n\t"
                     "cmp $1500000, %%ecx\n\t"
                     "push %0\n\tpop %%rdx\n\t"
                     "seta %%al\n\tsetbe %%ah\n\t"
                     "cmp %%rdx, %0\n\tje 2f\n\tinc %1\n"
                     "2:\tadd %%ah, %%al\n\tcmp $1, %%al\n\tje 3f\n\tinc %1\n"
                     "3:\tdec %%ecx\n\tjnz 1b\n\tcli"
                     : "=&r"(*sum), "=&r"(*wrong)
                     : "r"(3ull)
                     : "rax", "rcx", "rdx", "memory", "cc");
    __asm__ volatile("movq %%xmm1, %0" : "=r"(*vector));
}

static void transparent(void)
{
    unsigned before = count[TIMER];
    u64 sum = 0, vector = 0, wrong = 0;
    write_apic(APIC_LVT_TIMER, 0x20000 | TIMER);
    write_apic(APIC_INITIAL, 20011);
    for (unsigned i = 0; i < 100 && count[TIMER] < before + 3; i++) /* a busy host interrupts rarely */
        sum_while_interrupted(&sum, &vector, &wrong);
    check_eq("a sum over interrupts", sum, 3000000ull * 3000001 / 2);
    check_eq("  and in a vector register", vector, 9000000);
    check_eq("  wrong flags or stack", wrong, 0);
    check("  there were some", count[TIMER] > before);
    write_apic(APIC_INITIAL, 0);
    write_apic(APIC_LVT_TIMER, 0x10000);
}

/* NMI: sent to itself; held off until iret. */
static volatile unsigned nmis, nmi_depth, nmi_deepest;
static void nmi(struct frame *f)
{
    (void)f;
    nmis++;
    if (++nmi_depth > nmi_deepest)
        nmi_deepest = nmi_depth;
    if (nmis == 1) {
        write_apic(APIC_ICR, 0x4400); /* another one, in the handler */
        for (unsigned i = 0; i < 1000; i++)
            __asm__ volatile("pause");
    }
    nmi_depth--;
}

static void non_maskable(void)
{
    trap_handle(NMI, nmi);
    __asm__ volatile("cli");
    write_apic(APIC_ICR_HIGH, read_apic(APIC_ID) & 0xff000000);
    write_apic(APIC_ICR, 0x4400);
    for (u64 i = 0; i < 100000000 && nmis < 2; i++)
        __asm__ volatile("pause");
    check_eq("NMI comes with IF clear, and the second after the first's iret", nmis, 2);
    check_eq("  not nested", nmi_deepest, 1);
}

static void io_apic(void)
{
    volatile u32 *select = (u32 *)0xfec00000ull, *window = (u32 *)0xfec00010ull;
    *select = 1;
    unsigned inputs = (*window >> 16 & 0xff) + 1;
    check_eq("IOAPIC inputs", inputs, 24);
    outb(PIC1 + 1, 0xff);
    /* The PIT is on input 2, or on 0 where a board has no reason to move it; edge, fixed, to this processor.
     */
    for (unsigned input = 0; input <= 2; input += 2) {
        *select = 0x10 + input * 2 + 1;
        *window = read_apic(APIC_ID) & 0xff000000;
        *select = 0x10 + input * 2;
        *window = 0x60;
    }
    outb(PIT_CONTROL, 0x34);
    outb(PIT, 0xa9);
    outb(PIT, 0x04);
    __asm__ volatile("sti");
    check("PIT through the IOAPIC", arrives(0x60, 10));
    for (unsigned input = 0; input <= 2; input += 2) {
        *select = 0x10 + input * 2;
        *window = 0x10060;
    }
    unsigned before = count[0x60];
    for (unsigned i = 0; i < 3000000; i++)
        __asm__ volatile("pause");
    check("  masked there", count[0x60] <= before + 1);
    __asm__ volatile("cli");
    outb(PIT_CONTROL, 0x30);
}

int main(void)
{
    setup();
    pit_through_pic();
    self_ipi();
    priorities();
    apic_timer();
    transparent();
    non_maskable();
    io_apic();
    return 0;
}
