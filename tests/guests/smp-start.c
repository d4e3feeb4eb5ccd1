/* smp-start.c - INIT and SIPI, and interrupts between processors (SDM 3A 8.4, 10.6) */
/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "tests/guests/lib/cpus.h"

enum { VECTOR = 0x51, MODE_PAGE = 0x9000, X2APIC_ICR = 0x830, X2APIC_ID = 0x802, X2APIC_LDR = 0x80d };

static volatile u32 taken[MAX_CPUS], done, in_x2apic;

static unsigned self(void)
{
    u32 id = in_x2apic ? (u32)rdmsr(X2APIC_ID) : apic_read(APIC_ID) >> 24;
    for (unsigned i = 0; i < cpu_count; i++)
        if (apic_id[i] == id)
            return i;
    return 0;
}

static void eoi(void)
{
    if (in_x2apic)
        wrmsr(0x80b, 0);
    else
        apic_write(APIC_EOI, 0);
}

static void take(struct frame *f)
{
    __atomic_fetch_add(&taken[self()], 1, __ATOMIC_SEQ_CST);
    if (f->vector != NMI)
        eoi();
}

static u32 all_taken(void)
{
    u32 sum = 0;
    for (unsigned i = 0; i < cpu_count; i++)
        sum += taken[i];
    return sum;
}

/* The others sleep, and are woken by each interrupt. */
static void sleep_work(unsigned cpu)
{
    (void)cpu;
    while (!done)
        __asm__ volatile("sti\n\thlt\n\tcli" ::: "memory");
}

static void send(u32 command, u32 destination)
{
    if (in_x2apic)
        wrmsr(X2APIC_ICR, (u64)destination << 32 | command);
    else
        apic_send(command, destination);
}

/* Sends, and waits until so many have taken it; then a little, for those that should not. */
static void expect(const char *name, u32 command, u32 destination, const u32 *want)
{
    u32 sum = 0;
    for (unsigned i = 0; i < cpu_count; i++)
        sum += want[i];
    memset((void *)taken, 0, sizeof(taken));
    send(command | ICR_ASSERT, destination);
    __asm__ volatile("sti\n\tnop\n\tcli");
    while (all_taken() < sum)
        __asm__ volatile("sti\n\tpause\n\tcli" ::: "memory");
    for (unsigned i = 0; i < 2000; i++)
        pause();
    for (unsigned i = 0; i < cpu_count; i++)
        if (taken[i] != want[i]) {
            check_eq(name, taken[i], want[i]);
            return;
        }
    check(name, true);
}

static void end_work(void)
{
    done = 1;
    barrier();
    send(ICR_OTHERS | ICR_ASSERT | VECTOR, 0);
}

static void xapic_work(unsigned cpu)
{
    apic_write(APIC_DFR, 0xffffffff);
    apic_write(APIC_LDR, 1u << (24 + cpu));
    cpus_meet();
    if (cpu) {
        sleep_work(cpu);
        return;
    }
    expect("to one by its ID", VECTOR, apic_id[1], (const u32[MAX_CPUS]){0, 1});
    expect("to all others", VECTOR | ICR_OTHERS, 0, (const u32[MAX_CPUS]){0, 1, 1, 1});
    expect("to all", VECTOR | ICR_ALL, 0, (const u32[MAX_CPUS]){1, 1, 1, 1});
    expect("to itself", VECTOR | ICR_SELF, 0, (const u32[MAX_CPUS]){1});
    expect("broadcast by destination", VECTOR, 0xff, (const u32[MAX_CPUS]){1, 1, 1, 1});
    expect("logical, flat: two of them", VECTOR | ICR_LOGICAL, 0xa, (const u32[MAX_CPUS]){0, 1, 0, 1});
    expect("lowest priority among one", VECTOR | ICR_LOGICAL | ICR_LOWEST, 4, (const u32[MAX_CPUS]){0, 0, 1});
    expect("NMI", ICR_NMI, apic_id[2], (const u32[MAX_CPUS]){0, 0, 1});
    memset((void *)taken, 0, sizeof(taken));
    for (u32 i = 1; i <= 8; i++) {
        send(VECTOR | ICR_LOGICAL | ICR_LOWEST | ICR_ASSERT, 0xe);
        while (all_taken() < i)
            pause();
    }
    check_eq("lowest priority: one takes each", all_taken(), 8);
    end_work();
}

static void cluster_work(unsigned cpu)
{
    apic_write(APIC_DFR, 0x0fffffff);
    apic_write(APIC_LDR, (cpu / 2) << 28 | 1u << (24 + cpu % 2));
    cpus_meet();
    if (cpu) {
        sleep_work(cpu);
        return;
    }
    expect("logical, cluster 1, both", VECTOR | ICR_LOGICAL, 0x13, (const u32[MAX_CPUS]){0, 0, 1, 1});
    expect("logical, cluster 0, second", VECTOR | ICR_LOGICAL, 0x02, (const u32[MAX_CPUS]){0, 1});
    end_work();
}

static void x2apic_work(unsigned cpu)
{
    wrmsr(0x1b, rdmsr(0x1b) | 1 << 10);
    cpus_meet();
    in_x2apic = 1;
    cpus_meet();
    if (cpu) {
        sleep_work(cpu);
        return;
    }
    check_eq("the logical ID follows from the ID", rdmsr(X2APIC_LDR), 1u << apic_id[0]);
    expect("x2APIC, to one by its ID", VECTOR, apic_id[3], (const u32[MAX_CPUS]){0, 0, 0, 1});
    expect("x2APIC, logical: two of them", VECTOR | ICR_LOGICAL, 1u << apic_id[1] | 1u << apic_id[2],
           (const u32[MAX_CPUS]){0, 1, 1});
    expect("x2APIC, all others", VECTOR | ICR_OTHERS, 0, (const u32[MAX_CPUS]){0, 1, 1, 1});
    expect("x2APIC, broadcast by destination", VECTOR, 0xffffffff, (const u32[MAX_CPUS]){1, 1, 1, 1});
    end_work();
}

/* ---- KVM's hypercalls (Documentation/virt/kvm/x86/hypercalls.rst) ---- */

enum { KVM_FEATURES = 0x40000001, PV_UNHALT = 7, PV_SEND_IPI = 11, HC_KICK_CPU = 5, HC_SEND_IPI = 10 };

static volatile u32 sleeping, woken;

static u64 hypercall(u64 number, u64 a0, u64 a1, u64 a2, u64 a3)
{
    u64 r;
    if (cpuid(0, 0).c == 0x444d4163) /* AuthenticAMD */
        __asm__ volatile("vmmcall" : "=a"(r) : "a"(number), "b"(a0), "c"(a1), "d"(a2), "S"(a3) : "memory");
    else
        __asm__ volatile("vmcall" : "=a"(r) : "a"(number), "b"(a0), "c"(a1), "d"(a2), "S"(a3) : "memory");
    return r;
}

static void hypercall_work(unsigned cpu)
{
    if (cpu == 1) {
        sleeping = 1;
        __asm__ volatile("cli\n\thlt" ::: "memory"); /* only the kick wakes it */
        woken = 1;
    }
    if (cpu) {
        sleep_work(cpu);
        return;
    }
    while (!sleeping)
        pause();
    check_eq("it sleeps with interrupts off", woken, 0);
    check_eq("the kick", hypercall(HC_KICK_CPU, 0, apic_id[1], 0, 0), 0);
    while (!woken)
        pause();
    u64 ids = 1ull << apic_id[2] | 1ull << apic_id[3];
    memset((void *)taken, 0, sizeof(taken));
    check_eq("interrupts by hypercall: how many took one", hypercall(HC_SEND_IPI, ids, 0, 0, VECTOR), 2);
    while (all_taken() < 2)
        pause();
    check_eq("the first", taken[2], 1);
    check_eq("the second", taken[3], 1);
    check_eq("a shorthand is refused", hypercall(HC_SEND_IPI, ids, 0, 0, VECTOR | ICR_ALL), (u64)-22);
    end_work();
}

static void hypercalls(void)
{
    struct cpuid name = cpuid(0x40000000, 0), features = cpuid(KVM_FEATURES, 0);
    bool kvm = name.b == 0x4b4d564b && name.c == 0x564b4d56 && name.d == 0x4d;
    if (kvm && features.a & BIT(PV_UNHALT) && features.a & BIT(PV_SEND_IPI))
        cpus_run(hypercall_work);
    else
        skip("hypercalls", "not offered");
}

/* ---- INIT and SIPI ---- */

/* Real-mode code: tells its segment, and halts or spins. */
static const u8 real_mode_code[] = {
    0xfa,                         /* cli */
    0x31, 0xc0, 0x8e, 0xd8,       /* xor %ax, %ax; mov %ax, %ds */
    0x8c, 0xc8, 0xa3, 0x00, 0xa0, /* mov %cs, %ax; mov %ax, 0xa000 */
    0xff, 0x06, 0x02, 0xa0,       /* incw 0xa002 */
    0xeb, 0xfe,                   /* jmp . */
};
static volatile u16 *const told = (u16 *)0xa000;

static void wait_told(u16 times)
{
    while (told[1] < times)
        pause();
}

static void restarts(void)
{
    unsigned victim = cpu_count - 1;
    u32 id = apic_id[victim];
    memcpy((void *)MODE_PAGE, real_mode_code, sizeof(real_mode_code));
    told[0] = told[1] = 0;
    send(ICR_STARTUP | ICR_ASSERT | MODE_PAGE >> 12, id);
    for (unsigned i = 0; i < 20000; i++)
        pause();
    check_eq("a SIPI without INIT is ignored", told[1], 0);
    for (u16 i = 1; i <= 20; i++) {
        told[0] = 0;
        send(ICR_INIT | ICR_ASSERT, id);
        send(ICR_STARTUP | ICR_ASSERT | MODE_PAGE >> 12, id);
        wait_told(i);
    }
    check_eq("INIT and SIPI out of a loop, 20 times: CS", told[0], MODE_PAGE >> 4);
    send(ICR_STARTUP | ICR_ASSERT | MODE_PAGE >> 12, id);
    for (unsigned i = 0; i < 20000; i++)
        pause();
    check_eq("a second SIPI is ignored", told[1], 20);
    send(ICR_INIT | ICR_ASSERT, id);
    for (unsigned i = 0; i < 20000; i++)
        pause();
    tcg_differs("it keeps the SIPI that it ignored");
    check_eq("INIT alone waits for a SIPI", told[1], 20);
}

int main(void)
{
    if (cpus_start() < 4) {
        skip("interrupts between processors", "it takes four of them");
        return 0;
    }
    trap_handle(VECTOR, take);
    trap_handle(NMI, take);
    cpus_run(xapic_work);
    done = 0;
    cpus_run(cluster_work);
    done = 0;
    hypercalls();
    done = 0;
    if (cpuid(1, 0).c & BIT(21))
        cpus_run(x2apic_work);
    else
        skip("x2APIC", "not offered");
    restarts();
    return 0;
}
