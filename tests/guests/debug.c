/* debug.c - #DB: breakpoints on instructions, data and ports, single steps, RF, general detect (SDM 3B ch.
 * 17)
 */
/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "tests/guests/lib/guest.h"

enum { BS = 0x4000, BD = 0x2000, DR6_BITS = 0xe00f, GD = 0x2000 };
enum { EXECUTE, WRITE, PORT, ACCESS_ }; /* R/W of DR7 */
enum { LEN1, LEN2, LEN8, LEN4 };

/* ---- what the handler of #DB saw ---- */

struct seen {
    u64 rip, dr6, rflags, rcx, rdi;
};
static volatile struct seen seen[32];
static volatile unsigned count;
static volatile unsigned stop_after; /* then TF is cleared */

static void note_debug(struct frame *f)
{
    u64 dr6 = read_dr6();
    write_dr6(0xffff0ff0);
    if (count < ARRAY_SIZE(seen)) {
        seen[count].rip = f->rip;
        seen[count].dr6 = dr6 & DR6_BITS;
        seen[count].rflags = f->rflags;
        seen[count].rcx = f->rcx;
        seen[count].rdi = f->rdi;
    }
    if (++count == stop_after)
        f->rflags &= ~(u64)TF;
    if (dr6 & 15)
        f->rflags |= RF;
}

static void arm(unsigned n, const volatile void *where, unsigned rw, unsigned len)
{
    u64 a = (u64)where;
    static const u64 global = 2;
    switch (n) {
    case 0: __asm__ volatile("mov %0, %%dr0" ::"r"(a)); break;
    case 1: __asm__ volatile("mov %0, %%dr1" ::"r"(a)); break;
    case 2: __asm__ volatile("mov %0, %%dr2" ::"r"(a)); break;
    default: __asm__ volatile("mov %0, %%dr3" ::"r"(a));
    }
    count = 0;
    write_dr7(read_dr7() | global << n * 2 | (u64)(len << 2 | rw) << (16 + n * 4));
}

static void disarm(void)
{
    write_dr7(0x400);
}

static void check_seen(const char *name, unsigned n, const char *rip, u64 dr6)
{
    check_eq(name, seen[n].rip, (u64)rip);
    check_eq("  dr6", seen[n].dr6, dr6);
}

/* Code with names for its instructions: SYMBOL(x) stands before one. */
#define SYMBOL(name) ".globl " #name "\n" #name ":\n\t"
#define TF_ON        "pushfq\n\torl $0x100, (%%rsp)\n\tpopfq\n\t"

/* ---- instructions ---- */

extern const char at_loop[], at_rep[], at_page2[];

static void on_instructions(void)
{
    u64 n = 3;
    arm(0, at_loop, EXECUTE, LEN1);
    __asm__ volatile("mov $5, %%eax\n" SYMBOL(at_loop) "dec %0\n\tjnz at_loop" : "+r"(n)::"eax", "cc");
    check_eq("instruction breakpoint in a loop", count, 3);
    check_seen("  rip", 0, at_loop, 1);
    tcg_differs("sets RF");
    check_eq("  pushes RF as it is", seen[0].rflags & RF, 0);
    check_eq("  the instruction was executed", n, 0);
    disarm();

    static u8 buffer[16];
    u8 *to = buffer;
    u64 bytes = 5;
    arm(3, at_rep, EXECUTE, LEN1);
    __asm__ volatile("cld\n" SYMBOL(at_rep) "rep stosb" : "+D"(to), "+c"(bytes) : "a"(7) : "memory");
    tcg_differs("breaks at each element");
    check_eq("on a repeated instruction: once", count, 1);
    check_seen("  rip", 0, at_rep, 8);
    check_eq("  all was done", buffer[4], 7);
    disarm();
}

/* Code on a page, called before and after a breakpoint is set there: no old translation is used. */
static void on_known_code(void)
{
    u8 *page = page_alloc();
    static const u8 code[] = {0x31, 0xc0, 0xff, 0xc0, 0xff, 0xc0, 0xc3}; /* xor eax, eax; inc, inc; ret */
    memcpy(page, code, sizeof(code));
    u64 r;
    for (unsigned i = 0; i < 3; i++)
        __asm__ volatile("call *%1" : "=a"(r) : "r"(page) : "memory", "cc");
    arm(1, page + 4, EXECUTE, LEN1);
    __asm__ volatile("call *%1" : "=a"(r) : "r"(page) : "memory", "cc");
    check_eq("in code that ran before", count, 1);
    check_seen("  rip", 0, (char *)page + 4, 2);
    check_eq("  result", r, 2);
    disarm();
    __asm__ volatile("call *%1" : "=a"(r) : "r"(page) : "memory", "cc");
    check_eq("  not when removed", count, 1);
}

/* ---- data ---- */

static volatile union {
    u64 q;
    u32 l[2];
    u8 b[8];
} watched __attribute__((aligned(16)));
static u64 two_pages[1024] __attribute__((aligned(4096)));

extern const char after_store[], after_push[], after_call[], at_stos[];

static void on_writes(void)
{
    arm(0, &watched, WRITE, LEN4);
    __asm__ volatile("movl $5, %0\n" SYMBOL(after_store) "nop" : "=m"(watched.l[0]));
    check_eq("write", count, 1);
    check_seen("  rip of the next instruction", 0, after_store, 1);
    check_eq("  the store was done", watched.l[0], 5);
    u32 v = watched.l[0];
    check_eq("no trap for a read", count, 1);
    watched.l[1] = v;
    check_eq("no trap for the bytes behind", count, 1);
    watched.b[3] = 1;
    check_eq("the last byte", count, 2);
    __asm__ volatile("movl $0, 2(%0)" ::"r"(&watched) : "memory");
    check_eq("an overlap", count, 3);
    __asm__ volatile("lock incq (%0)" ::"r"(&watched) : "memory", "cc");
    check_eq("a locked increment", count, 4);
    __asm__ volatile("xchg %%rax, (%0)" ::"r"(&watched) : "rax", "memory");
    check_eq("an exchange", count, 5);
    disarm();
    watched.b[0] = 0;
    check_eq("none when removed", count, 5);
}

static void on_accesses(void)
{
    u64 v;
    arm(2, &watched, ACCESS_, LEN8);
    __asm__ volatile("mov %1, %0" : "=r"(v) : "m"(watched.q));
    check_eq("read", count, 1);
    check_eq("  dr6", seen[0].dr6, 4);
    __asm__ volatile("cmpb $0, 7(%0)" ::"r"(&watched) : "cc");
    check_eq("compare of the last byte", count, 2);
    disarm();
    arm(0, &two_pages[512], WRITE, LEN1);
    __asm__ volatile("movq $-1, (%0)" ::"r"((u8 *)&two_pages[512] - 4) : "memory");
    check_eq("a store that crosses into the page", count, 1);
    check_eq("  was done", two_pages[512], 0xffffffff);
    __asm__ volatile("movq $-1, (%0)" ::"r"((u8 *)&two_pages[512] - 8) : "memory");
    check_eq("one that ends before", count, 1);
    disarm();
}

static void on_stack(void)
{
    u64 *slot = &two_pages[600];
    arm(0, slot, WRITE, LEN8);
    __asm__ volatile("mov %%rsp, %%rbx\n\tlea 8(%0), %%rsp\n\tpush %%rax\n" SYMBOL(
                         after_push) "mov %%rbx, %%rsp" ::"r"(slot)
                     : "rbx", "memory");
    check_eq("push", count, 1);
    check_seen("  rip", 0, after_push, 1);
    count = 0;
    __asm__ volatile("mov %%rsp, %%rbx\n\tlea 8(%0), %%rsp\n\tcall after_call\n" SYMBOL(
                         after_call) "mov %%rbx, %%rsp" ::"r"(slot)
                     : "rbx", "memory");
    check_eq("call", count, 1);
    check_seen("  rip of the target", 0, after_call, 1);
    count = 0;
    watched.q = 77;
    __asm__ volatile("mov %%rsp, %%rbx\n\tlea 8(%0), %%rsp\n\tpushq %1\n\tmov %%rbx, %%rsp" ::"r"(slot),
                     "m"(watched.q)
                     : "rbx", "memory");
    check_eq("push of memory", count, 1);
    check_eq("  pushed", *slot, 77);
    disarm();
}

static void on_strings(void)
{
    u8 *to = (u8 *)&two_pages[700];
    u64 bytes = 6;
    arm(1, to + 2, WRITE, LEN1);
    __asm__ volatile("cld\n" SYMBOL(at_stos) "rep stosb" : "+D"(to), "+c"(bytes) : "a"(9) : "memory");
    check_eq("in the middle of rep stos", count, 1);
    tcg_differs("is one element late");
    check_eq("  after the element: rcx", seen[0].rcx, 3);
    check_seen("  rip", 0, at_stos, 2);
    tcg_differs("has no RF between elements");
    check_eq("  RF", seen[0].rflags & RF, RF);
    check_eq("  all was done", to[-1], 9);
    disarm();
}

/* Memory-mapped registers: here the task priority of the local APIC. */
static void on_devices(void)
{
    arm(0, (void *)0xfee00080, ACCESS_, LEN4);
    (void)*(volatile u32 *)0xfee00080;
    check_eq("read of the local APIC", count, 1);
    *(volatile u32 *)0xfee00080 = 0;
    check_eq("write to it", count, 2);
    disarm();
}

/* ---- ports ---- */

extern const char after_out[];

static void on_ports(void)
{
    write_cr4(read_cr4() | CR4_DE);
    arm(0, (void *)0x80, PORT, LEN1);
    __asm__ volatile("out %%al, $0x80\n" SYMBOL(after_out) "nop" ::"a"(0));
    check_eq("out", count, 1);
    check_seen("  rip", 0, after_out, 1);
    inb(0x80);
    check_eq("in", count, 2);
    inb(0x71);
    check_eq("not for another port", count, 2);
    disarm();
    write_cr4(read_cr4() & ~(word)CR4_DE);
}

/* ---- general detect ---- */

static void general_detect(void)
{
    if (on_tcg()) {
        skip("general detect", "TCG has none");
        return;
    }
    write_dr7(0x400 | GD);
    count = 0;
    trap_handle(DB, NULL);
    struct trap t = TRY("mov %%dr0, %%rax", ::: "rax", "memory");
    u64 dr6 = read_dr6();
    check_trap("general detect", t, DB, 0, 0);
    check_eq("  dr6", dr6 & DR6_BITS, BD);
    check_eq("  GD is clear in the handler", read_dr7(), 0x400);
    check_eq("  a fault with RF", t.rflags & RF, RF);
    write_dr6(0xffff0ff0);
    trap_handle(DB, note_debug);
}

/* ---- single steps ---- */

extern const char step1[], step2[], step3[], step_rep[], step_end[], shadow1[], shadow2[], over_int[];

static void start_steps(unsigned n)
{
    count = 0;
    stop_after = n;
}

static void steps(void)
{
    start_steps(3);
    __asm__ volatile(TF_ON
                     "nop\n" SYMBOL(step1) "nop\n" SYMBOL(step2) "mov $1, %%eax\n" SYMBOL(step3) "nop" ::
                         : "eax", "memory", "cc");
    check_eq("each instruction after the one that sets TF", count, 3);
    check_seen("  first", 0, step1, BS);
    check_seen("  second", 1, step2, BS);
    check_seen("  third", 2, step3, BS);
    check_eq("  TF in the saved flags", seen[0].rflags & TF, TF);
    check_eq("  RF is clear", seen[0].rflags & RF, 0);

    static u8 buffer[8];
    u8 *to = buffer;
    u64 n = 3;
    start_steps(4);
    __asm__ volatile(TF_ON SYMBOL(step_rep) "rep stosb\n" SYMBOL(step_end) "nop"
                     : "+D"(to), "+c"(n)
                     : "a"(1)
                     : "memory", "cc");
    check_eq("elements of rep stos are steps", count, 4);
    check_seen("  first", 0, step_rep, BS);
    check_eq("  rcx", seen[0].rcx, 2);
    check_seen("  second", 1, step_rep, BS);
    check_seen("  third", 2, step_end, BS);
}

static void shadows(void)
{
    start_steps(2);
    __asm__ volatile(TF_ON "mov %0, %%ss\n" SYMBOL(shadow1) "nop\n" SYMBOL(shadow2) "nop" ::"r"(DATA)
                     : "memory", "cc");
    tcg_differs("steps after mov to ss");
    check_eq("no step after mov to ss", seen[0].rip, (u64)shadow2);
    start_steps(2);
    __asm__ volatile("push %0\n\t" TF_ON "pop %%rax\n\tnop" ::"r"((u64)DATA) : "rax", "memory", "cc");
    check_eq("steps after pop", count, 2);
    /* The trap of a watched operand of mov ss waits, here until int is in its handler. */
    watched.q = DATA;
    idt_set(0x90, trap_entries[0x90], CODE64, 0x8e, 0);
    arm(0, &watched, ACCESS_, LEN2);
    struct trap t = TRY("mov %0, %%ss\n\tint $0x90", ::"m"(watched.q) : "memory");
    disarm();
    check_eq("mov ss, then int: the interrupt", (u64)t.vector, 0x90);
    tcg_differs("traps at once");
    check_eq("  the trap comes in its handler", seen[0].rip, (u64)trap_entries[0x90]);
    check_eq("  once", count, 1);
}

extern const char after_cpuid[], after_in[], after_sti[], after_hlt[];

/* Instructions that a hypervisor does itself step as others do. */
static void over_emulated(void)
{
    start_steps(3);
    __asm__ volatile(TF_ON "cpuid\n" SYMBOL(after_cpuid) "mov $0x3fd, %%edx\n\tin %%dx, %%al\n" SYMBOL(
                         after_in) "nop" ::"a"(0)
                     : "ebx", "ecx", "edx", "memory", "cc");
    check_seen("steps: over cpuid", 0, after_cpuid, BS);
    check_seen("  over in", 2, after_in, BS);
    start_steps(1);
    __asm__ volatile("cli\n\t" TF_ON "sti\n" SYMBOL(after_sti) "nop\n\tcli" ::: "memory", "cc");
    tcg_differs("steps after the instruction behind sti");
    check_seen("  sti holds off none", 0, after_sti, BS);
    if (on_tcg()) {
        skip("  hlt ends with one", "TCG halts for good");
        return;
    }
    start_steps(1);
    __asm__ volatile(TF_ON "hlt\n" SYMBOL(after_hlt) "nop" ::: "memory", "cc");
    check_seen("  hlt ends with one", 0, after_hlt, BS);
}

extern const char ss_icebp1[], ss_icebp2[], ss_icebp3[], ss_detect[], ss_detected[];

/* MOV to SS holds off steps, but neither INT1 nor general detect, which are none. */
static void over_shadows(void)
{
    if (on_tcg()) {
        skip("mov to ss, then int1 or general detect", "TCG has neither");
        return;
    }
    start_steps(3);
    __asm__ volatile(TF_ON "mov %0, %%ss\n\t.byte 0xf1\n" SYMBOL(ss_icebp1) ".byte 0xf1\n" SYMBOL(
                         ss_icebp2) "nop\n" SYMBOL(ss_icebp3) "nop" ::"r"(DATA)
                     : "memory", "cc");
    check_seen("mov to ss, int1: no step, but int1", 0, ss_icebp1, 0);
    check_seen("  nor is the next int1 one", 1, ss_icebp2, 0);
    check_seen("  the step after them", 2, ss_icebp3, BS);
    write_dr7(0x400 | GD);
    start_steps(2);
    __asm__ volatile(
        TF_ON "mov %0, %%ss\n" SYMBOL(ss_detect) "mov %1, %%dr1\n" SYMBOL(ss_detected) "nop" ::"r"(DATA),
        "r"(0ul)
        : "memory", "cc");
    check_seen("mov to ss, general detect", 0, ss_detect, BD);
    check_seen("  then the step over it", 1, ss_detected, BS);
}

static u64 breakpoint_rip;

static void note_breakpoint(struct frame *f)
{
    breakpoint_rip = f->rip;
}

extern const char after_long_int3[];

/* A watched operand of MOV to SS, and INT3 of 12 bytes: one trap, and the INT3 is whole. */
static void watched_int3(void)
{
    trap_handle(BP, note_breakpoint);
    watched.q = DATA;
    arm(0, &watched, ACCESS_, LEN2);
    __asm__ volatile(
        "mov %0, %%ss\n\t.fill 11, 1, 0x2e\n\t.byte 0xcc\n" SYMBOL(after_long_int3) "nop" ::"m"(watched.q)
        : "memory");
    disarm();
    check_eq("mov ss, then a long int3", breakpoint_rip, (u64)after_long_int3);
    check_eq("  traps", count, 1);
    trap_handle(BP, NULL);
}

static void skip_breakpoint(struct frame *f)
{
    check_eq("handlers are entered with TF clear", read_flags() & TF, 0);
    check_eq("  and the interrupted TF is saved", f->rflags & TF, TF);
}

static void over_interrupts(void)
{
    trap_handle(BP, skip_breakpoint);
    start_steps(2);
    __asm__ volatile(TF_ON "int3\n\tnop\n" SYMBOL(over_int) "nop" ::: "memory", "cc");
    check_seen("int3 is no step, the instruction after it is", 0, over_int, BS);
    check_eq("  in all", count, 2);
    trap_handle(BP, NULL);
}

extern const char after_icebp[], after_watched_icebp[], user_after[], syscall_entry[];

static void icebp(void)
{
    if (on_tcg()) {
        skip("icebp", "TCG has no int1");
        return;
    }
    start_steps(0);
    __asm__ volatile(".byte 0xf1\n" SYMBOL(after_icebp) "nop" ::: "memory");
    check_seen("icebp", 0, after_icebp, 0);
    static volatile u64 stack_selector;
    write_dr6(0xffff0ff0);
    __asm__ volatile("mov %%ss, %0" : "=r"(stack_selector));
    arm(1, &stack_selector, ACCESS_, LEN8);
    __asm__ volatile("mov %0, %%ss\n.byte 0xf1\n" SYMBOL(after_watched_icebp) "nop" ::"m"(stack_selector)
                     : "memory");
    disarm();
    check_eq("icebp with a breakpoint that mov to ss holds off: times", count, 1);
    check_seen("  where", 0, after_watched_icebp, 2);
}

/* SYSCALL clears TF by SFMASK before it would step; SYSRET steps as soon as it has set TF. */
static u8 user_stack[4096] __attribute__((aligned(16)));
__asm__(".text\nsyscall_entry: nop\n sysretq\n");

static void over_syscall(void)
{
    wrmsr(EFER, rdmsr(EFER) | EFER_SCE);
    wrmsr(STAR, (u64)(USER_CODE32 & ~3) << 48 | (u64)CODE64 << 32);
    wrmsr(LSTAR, (u64)syscall_entry);
    wrmsr(SFMASK, TF | IF);
    start_steps(3);
    struct trap t =
        TRY("pushq $0x2b\n\tpushq %0\n\tpushq $0x102\n\tpushq $0x33\n\tpushq $771f\n\tiretq\n771:\t"
            "nop\n\tsyscall\n" SYMBOL(user_after) "nop\n\tud2",
            ::"r"(user_stack + sizeof(user_stack))
            : "rcx", "r11", "memory", "cc");
    check_eq("syscall: reaches the end", (u64)t.vector, UD);
    check_eq("  steps", count, 3);
    check_seen("  none in the kernel, one at sysret", 1, user_after, BS);
    wrmsr(SFMASK, IF); /* now TF stays on */
    start_steps(3);
    t = TRY("pushq $0x2b\n\tpushq %0\n\tpushq $0x102\n\tpushq $0x33\n\tpushq $771f\n\tiretq\n771:\t"
            "nop\n\tsyscall\n\tnop\n\tud2",
            ::"r"(user_stack + sizeof(user_stack))
            : "rcx", "r11", "memory", "cc");
    check_seen("  with TF not masked, at the kernel's entry", 1, syscall_entry, BS);
}

int main(void)
{
    trap_handle(DB, note_debug);
    on_instructions();
    on_known_code();
    on_writes();
    on_accesses();
    on_stack();
    on_strings();
    on_devices();
    on_ports();
    general_detect();
    steps();
    shadows();
    over_emulated();
    over_shadows();
    watched_int3();
    over_interrupts();
    icebp();
    over_syscall();
    return 0;
}
