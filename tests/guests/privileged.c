/* privileged.c - CLI, STI, SWAPGS, STAC, CLAC, RDTSC and PUSHF in code of CPL 0: what they change, and that
 * flags stay (SDM 2A, 2B) */
/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "tests/guests/lib/guest.h"

enum { ARITHMETIC = CF | PARITY | AF | ZF | SF | OVERFLOW };

/* Runs code with each of the arithmetic flags set, then clear. Gives RFLAGS behind it, and counts what
 * changed. */
static unsigned changed;
#define FLAGS_BEHIND(code)                                                                               \
    ({                                                                                                   \
        word all_, none_;                                                                                \
        __asm__ volatile("pushf\n\torq $0x8d5, (%%rsp)\n\tpopf\n\t" code "\n\tpushf\n\tpop %0\n\t"       \
                         "pushf\n\tandq $~0x8d5, (%%rsp)\n\tpopf\n\t" code "\n\tpushf\n\tpop %1"         \
                         : "=&r"(all_), "=&r"(none_)::"memory", "cc");                                   \
        changed +=                                                                                       \
            (all_ & ARITHMETIC) != ARITHMETIC || (none_ & ARITHMETIC) || ((all_ ^ none_) & ~ARITHMETIC); \
        none_;                                                                                           \
    })

static void interrupt_flag(void)
{
    unsigned wrong = 0;
    for (unsigned i = 0; i < 100; i++) {
        wrong += (FLAGS_BEHIND("nop") & IF) != 0;
        __asm__ volatile("sti\n\tnop" ::: "memory");
        wrong += (FLAGS_BEHIND("nop") & IF) == 0;
        __asm__ volatile("cli" ::: "memory");
        wrong += (FLAGS_BEHIND("cli\n\tcli") & IF) != 0;
    }
    check_eq("cli and sti, wrong", wrong, 0);
}

/* Both halves are 32 bits, each reading is later than the one before, and nothing else changes. */
static void time_stamps(void)
{
    unsigned wrong = 0;
    u64 last = 0;
    for (unsigned i = 0; i < 100; i++) {
        u64 low, high;
        __asm__ volatile("mov $-1, %%rax\n\tmov %%rax, %%rdx\n\trdtsc" : "=&a"(low), "=&d"(high));
        u64 now = high << 32 | low;
        wrong += low >> 32 || high >> 32 || now <= last;
        last = now;
    }
    check_eq("rdtsc, wrong", wrong, 0);
    FLAGS_BEHIND("push %%rax\n\tpush %%rdx\n\trdtsc\n\tpop %%rdx\n\tpop %%rax");
    wrmsr(0x10, 1ull << 50); /* TIME_STAMP_COUNTER */
    u32 low, high;
    __asm__ volatile("rdtsc" : "=a"(low), "=d"(high));
    tcg_differs("ignores the write");
    check_eq("rdtsc behind a write of the MSR", high >> 18, 1);
}

/* One PUSHF among others whose stack faults is in faults.c; here what it pushes, beside the arithmetic flags.
 */
static void pushed_flags(void)
{
    u64 set, clear, before, after;
    __asm__ volatile(
        "pushf\n\torq $0x640400, (%%rsp)\n\tandq $~0x240000, (%%rsp)\n\tpopf\n\tpushf\n\tpop %0\n\t"
        "pushf\n\tandq $~0x400, (%%rsp)\n\tpopf\n\tpushf\n\tpop %1"
        : "=&r"(set), "=&r"(clear)::"memory", "cc");
    check_eq("DF as pushed, set and clear", (set ^ clear) & ~ARITHMETIC, 0x400);
    check_eq("the fixed bits", set & 0x3802a, 2);
    __asm__ volatile("mov %%rsp, %0\n\tpushf\n\tmov %%rsp, %1\n\tpop %%rax"
                     : "=&r"(before), "=&r"(after)::"memory", "rax");
    check_eq("rsp behind pushf", before - after, 8);
}

static void gs_bases(void)
{
    u64 here[2] = {11, 12};
    wrmsr(GS_BASE, (u64)&here[0]);
    wrmsr(KERNEL_GS_BASE, (u64)&here[1]);
    u64 a, b, c;
    __asm__ volatile("mov %%gs:0, %0\n\tswapgs\n\tmov %%gs:0, %1\n\tswapgs\n\tmov %%gs:0, %2"
                     : "=&r"(a), "=&r"(b), "=&r"(c)::"memory");
    check_eq("gs before swapgs", a, 11);
    check_eq("behind it", b, 12);
    check_eq("behind another", c, 11);
    FLAGS_BEHIND("swapgs\n\tswapgs\n\tswapgs");
    check_eq("MSR GS_BASE after six", rdmsr(GS_BASE), (u64)&here[0]);
    __asm__ volatile("swapgs" ::: "memory");
    check_eq("after seven", rdmsr(GS_BASE), (u64)&here[1]);
    check_eq("and the other one", rdmsr(KERNEL_GS_BASE), (u64)&here[0]);
}

static void access_flag(void)
{
    if (!(cpuid(7, 0).b & BIT(20))) {
        skip("stac and clac", "no SMAP");
        return;
    }
    u64 carries, rounds = 100, with = read_cr4() | CR4_SMAP, without = read_cr4();
    /* All of the guest's pages are user pages: behind clac nothing is in memory. */
    __asm__ volatile("stac\n\tmov %2, %%cr4\n\txor %0, %0\n"
                     "1:\tstc\n\tclac\n\tadc $0, %0\n\tclac\n\tstc\n\tstac\n\tadc $0, %0\n\t"
                     "stc\n\tstac\n\tadc $0, %0\n\tdec %1\n\tjnz 1b\n\tmov %3, %%cr4"
                     : "=&r"(carries), "+r"(rounds)
                     : "r"(with), "r"(without)
                     : "memory", "cc");
    check_eq("carries kept over stac and clac with SMAP", carries, 300);
    check_eq("AC behind stac", FLAGS_BEHIND("stac") & AC_FLAG, AC_FLAG);
    check_eq("AC behind clac", FLAGS_BEHIND("clac") & AC_FLAG, 0);
}

int main(void)
{
    interrupt_flag();
    time_stamps();
    pushed_flags();
    gs_bases();
    access_flag();
    check_eq("arithmetic flags that changed", changed, 0);
    return 0;
}
