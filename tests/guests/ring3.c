/* ring3.c - user mode: ways in and out, and what it may not do (SDM 3A 5.8, 6.12; 2B SYSCALL, SYSRET) */
/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "tests/guests/lib/guest.h"

/* Runs code in ring 3, 64-bit, on a stack of its own, until it raises an exception. */
static u8 user_stack[4096] __attribute__((aligned(16)));

#define USER(code, ...)                                                                                    \
    TRY("pushq $0x2b\n\tpushq $user_stack + 4096\n\tpushq $0x202\n\tpushq $0x33\n\tpushq $775f\n\tiretq\n" \
        "775:\t" code "\n\tud2",                                                                           \
        __VA_ARGS__)
/* Where the code to be checked starts: TRY's own offset counts from before the iretq. */
volatile u64 user_mark;
#define MARK "lea 776f(%%rip), %%r15\n\tmov %%r15, user_mark\n776:\t"

#define USER_RAISES(name, vector, error, code, ...)    \
    ({                                                 \
        struct trap u_ = USER(MARK code, __VA_ARGS__); \
        u_.offset = (s64)(u_.rip - user_mark);         \
        check_trap(name, u_, vector, error, 0);        \
        check_eq(name " (cs)", u_.cs, USER_CODE64);    \
    })

#define USER_CLOBBERS "r15", "memory", "cc"

static void entry_and_exit(void)
{
    struct trap t = USER("mov %%cs, %%eax\n\tmov %%ss, %%ecx", ::: "rax", "rcx", USER_CLOBBERS);
    check_eq("ud2 in ring 3: vector", (u64)t.vector, UD);
    check_eq("cs there", t.rax, USER_CODE64);
    check_eq("ss there", t.rcx, USER_DATA);
    check_eq("saved cs", t.cs, USER_CODE64);
    check_eq("saved ss", t.ss, USER_DATA);
    check_eq("saved rsp", t.rsp, (u64)user_stack + 4096);
    check_eq("interrupts were on", t.rflags & IF, IF);
    t = USER("int $0x80", ::: USER_CLOBBERS);
    tcg_differs("counts 16 bytes a gate in the error code");
    check_trap("int 0x80 through a gate of ring 0", t, GP, 0x80 * 8 + 2, t.offset);
    idt_set(0x80, trap_entries[0x80], CODE64, 0xee, 0);
    t = USER("int $0x80", ::: USER_CLOBBERS);
    check_trap("int 0x80 through a gate of ring 3", t, 0x80, 0, t.offset);
    t = USER("int3", ::: USER_CLOBBERS);
    check_eq("int3 through a gate of ring 0: vector", (u64)t.vector, GP);
    t = USER("xor %%ecx, %%ecx\n\tdiv %%ecx", ::"a"(1), "d"(0) : "rcx", USER_CLOBBERS);
    check_trap("an exception ignores the gate's privilege", t, DE, 0, t.offset);
}

static void privileged_instructions(void)
{
    USER_RAISES("hlt", GP, 0, "hlt", ::: USER_CLOBBERS);
    USER_RAISES("cli", GP, 0, "cli", ::: USER_CLOBBERS);
    USER_RAISES("sti", GP, 0, "sti", ::: USER_CLOBBERS);
    USER_RAISES("mov from cr0", GP, 0, "mov %%cr0, %%rax", ::: "rax", USER_CLOBBERS);
    USER_RAISES("mov to cr3", GP, 0, "mov %%rax, %%cr3", ::"a"(read_cr3()) : USER_CLOBBERS);
    USER_RAISES("mov from dr7", GP, 0, "mov %%dr7, %%rax", ::: "rax", USER_CLOBBERS);
    USER_RAISES("lgdt", GP, 0, "lgdt user_stack", ::: USER_CLOBBERS);
    USER_RAISES("lidt", GP, 0, "lidt user_stack", ::: USER_CLOBBERS);
    USER_RAISES("lldt", GP, 0, "lldt %%ax", ::"a"(0) : USER_CLOBBERS);
    USER_RAISES("ltr", GP, 0, "ltr %%ax", ::"a"(TSS) : USER_CLOBBERS);
    USER_RAISES("lmsw", GP, 0, "lmsw %%ax", ::"a"(1) : USER_CLOBBERS);
    USER_RAISES("clts", GP, 0, "clts", ::: USER_CLOBBERS);
    USER_RAISES("invlpg", GP, 0, "invlpg user_stack", ::: USER_CLOBBERS);
    USER_RAISES("wbinvd", GP, 0, "wbinvd", ::: USER_CLOBBERS);
    USER_RAISES("rdmsr", GP, 0, "rdmsr", ::"c"(EFER) : "rax", "rdx", USER_CLOBBERS);
    USER_RAISES("wrmsr", GP, 0, "wrmsr", ::"c"(EFER), "a"(0), "d"(0) : USER_CLOBBERS);
    USER_RAISES("sysret with SCE clear", UD, 0, "sysretq", ::: USER_CLOBBERS);
    wrmsr(EFER, rdmsr(EFER) | EFER_SCE);
    USER_RAISES("sysret", GP, 0, "sysretq", ::: USER_CLOBBERS);
    wrmsr(EFER, rdmsr(EFER) & ~(u64)EFER_SCE);
    USER_RAISES("swapgs", GP, 0, "swapgs", ::: USER_CLOBBERS);
    tcg_differs("looks at the privilege first");
    USER_RAISES("xsetbv", cpuid(1, 0).c & BIT(26) && read_cr4() & CR4_OSXSAVE ? GP : UD, 0, "xsetbv",
                ::"a"(1), "c"(0), "d"(0)
                : USER_CLOBBERS);
    USER_RAISES("loading ss of ring 0", GP, DATA, "mov %%eax, %%ss", ::"a"(DATA) : USER_CLOBBERS);
    USER_RAISES("loading ds of ring 0", GP, DATA, "mov %%eax, %%ds", ::"a"(DATA) : USER_CLOBBERS);
    struct trap t = USER("pushq $0x10\n\tpushq $0\n\tlretq", ::: USER_CLOBBERS);
    check_trap("far return to ring 0", t, GP, CODE64, t.offset);
}

static void memory_rights(void)
{
    u8 *page = page_alloc();
    u64 *pte = page_map(TEST_VA, (u64)page, PTE_P | PTE_W, 1);
    invlpg(TEST_VA);
    page[0] = 0x90;
    page[1] = 0x0f;
    page[2] = 0x0b;
    struct trap t = USER("mov (%0), %%al", ::"r"(TEST_VA) : "rax", USER_CLOBBERS);
    check_trap("load from a supervisor page", t, PF, PF_P | PF_U, t.offset);
    check_eq("cr2", t.cr2, TEST_VA);
    t = USER("movb $1, (%0)", ::"r"(TEST_VA + 9) : USER_CLOBBERS);
    check_trap("store to a supervisor page", t, PF, PF_P | PF_U | PF_W, t.offset);
    t = USER("jmp *%0", ::"r"(TEST_VA) : USER_CLOBBERS);
    check_trap("fetch from a supervisor page", t, PF, PF_P | PF_U | PF_I, t.offset);
    check_eq("its rip", t.rip, TEST_VA);
    t = USER("mov (%0), %%al", ::"r"(0xffff800000000000ull) : "rax", USER_CLOBBERS);
    check_trap("load from an absent page", t, PF, PF_U, t.offset);
    *pte |= PTE_U;
    invlpg(TEST_VA);
    t = USER("jmp *%0", ::"r"(TEST_VA) : USER_CLOBBERS);
    check_eq("fetch from a user page: rip of the ud2 there", t.rip, TEST_VA + 1);
    *pte &= ~(u64)PTE_W;
    invlpg(TEST_VA);
    write_cr0(read_cr0() & ~(word)CR0_WP);
    t = USER("movb $1, (%0)", ::"r"(TEST_VA) : USER_CLOBBERS);
    check_trap("ring 3 obeys read-only without WP too", t, PF, PF_P | PF_U | PF_W, t.offset);
    write_cr0(read_cr0() | CR0_WP);
}

static void port_rights(void)
{
    USER_RAISES("out without permission", GP, 0, "outb %%al, $0x80", ::"a"(0) : USER_CLOBBERS);
    USER_RAISES("in without permission", GP, 0, "inb $0x80, %%al", ::: "rax", USER_CLOBBERS);
    enum { IOMAP = 104 };
    tss[IOMAP + 0x80 / 8] = 0xfe; /* port 0x80 alone */
    struct trap t = USER("outb %%al, $0x80", ::"a"(0) : USER_CLOBBERS);
    check_eq("out with permission from the map: vector of the ud2", (u64)t.vector, UD);
    USER_RAISES("a wider out needs all bits", GP, 0, "outw %%ax, $0x80", ::"a"(0) : USER_CLOBBERS);
    USER_RAISES("the next port", GP, 0, "outb %%al, $0x81", ::"a"(0) : USER_CLOBBERS);
    tss[IOMAP + 0x80 / 8] = 0xff;
    t = TRY("pushq $0x2b\n\tpushq $user_stack + 4096\n\tpushq $0x3202\n\tpushq $0x33\n\tpushq $1f\n\tiretq\n"
            "1: outb %%al, $0x81\n\tcli\n\tsti\n\tud2",
            ::"a"(0)
            : "memory");
    check_eq("IOPL 3 allows ports, cli and sti: vector of the ud2", (u64)t.vector, UD);
}

/* Flags that ring 3 may not change with popf are kept without a fault. */
static void flags(void)
{
    struct trap t = USER("pushq $0x3002\n\tpopfq\n\tpushfq\n\tpop %%rax", ::: "rax", USER_CLOBBERS);
    check_eq("popf of ring 3 changes neither IF nor IOPL", t.rax & (IF | 0x3000), IF);
    t = USER("pushq $0x44ad7\n\tpopfq\n\tpushfq\n\tpop %%rax\n\tcld\n\tpushq $2\n\tpopfq", ::
                 : "rax", USER_CLOBBERS);
    check_eq("but the others", t.rax & 0x44cd5, 0x44ad7 & 0x44cd5);
}

/* ---- SYSCALL and SYSRET ---- */

volatile u64 in_syscall[4]; /* rcx, r11, rflags, cs */

static void syscalls(void)
{
    RAISES("syscall with SCE clear", UD, 0, "syscall", ::: "rcx", "r11", "memory");
    wrmsr(EFER, rdmsr(EFER) | EFER_SCE);
    wrmsr(STAR, (u64)CODE64 << 32 | (u64)USER_CODE32 << 48);
    wrmsr(SFMASK, 0x700);
    u64 entry, after;
    struct trap t =
        TRY("lea 3f(%%rip), %0\n\tlea 2f(%%rip), %1\n\t"
            "mov %0, %%rax\n\tmov %0, %%rdx\n\tshr $32, %%rdx\n\tmov $0xc0000082, %%ecx\n\twrmsr\n\t"
            "pushq $0x2b\n\tpushq $user_stack + 4096\n\tpushq $0xad7\n\tpushq $0x33\n\tpushq $1f\n\tiretq\n"
            "1: syscall\n"
            "2: mov %%cs, %%eax\n\tmov %%ss, %%ecx\n\tud2\n"
            "3: mov %%rcx, in_syscall\n\tmov %%r11, in_syscall + 8\n\t"
            "pushf\n\tpop in_syscall + 16\n\tmov %%cs, %%eax\n\tmov %%rax, in_syscall + 24\n\t"
            "sysretq",
            : "=&r"(entry), "=&r"(after)::"rax", "rcx", "rdx", "r11", "memory", "cc");
    check_eq("after sysret: vector", (u64)t.vector, UD);
    check_eq("rcx of syscall is the next instruction", in_syscall[0], after);
    check_eq("r11 of syscall has the flags", in_syscall[1], 0xad7);
    tcg_differs("clears the arithmetic flags");
    check_eq("the mask is applied", in_syscall[2] & 0xfd7, 0xad7 & ~0x700);
    check_eq("cs in syscall", in_syscall[3], CODE64);
    check_eq("cs after sysret", t.rax, USER_CODE64);
    check_eq("ss after sysret", t.rcx, USER_DATA);
    check_eq("flags after sysret", t.rflags & 0xfd7 & ~RF, 0xad7);
    t = TRY("mov %0, %%rcx\n\tmov $2, %%r11d\n\tsysretq", ::"r"(BIT(63)) : "rcx", "r11", "memory");
    check_eq("sysret to a non-canonical address: vector", (u64)t.vector,
             GP); /* in ring 0 on Intel's, 3 on AMD's */
}

static void segment_bases(void)
{
    static u64 values[2] = {0x1111, 0x2222};
    wrmsr(GS_BASE, (u64)&values[0]);
    wrmsr(KERNEL_GS_BASE, (u64)&values[1]);
    u64 a, b, c;
    __asm__ volatile("mov %%gs:0, %0\n\tswapgs\n\tmov %%gs:0, %1\n\tswapgs\n\tmov %%gs:0, %2"
                     : "=r"(a), "=r"(b), "=r"(c)::"memory");
    check("swapgs changes the base and back", a == 0x1111 && b == 0x2222 && c == 0x1111);
    __asm__ volatile("mov %0, %%gs" ::"r"(DATA));
    wrmsr(GS_BASE, (u64)&values[1]);
    struct trap null = USER("mov %%gs, %%ecx\n\tmov %%gs:0, %%rax", ::: "rax", "rcx", USER_CLOBBERS);
    check_eq("a segment of ring 0 becomes null in ring 3", null.rcx, 0);
    check_eq("  and keeps its base", null.rax, 0x2222);
    wrmsr(FS_BASE, (u64)values - 0x100);
    __asm__ volatile("mov %%fs:0x108, %0\n\tmov $0x100, %%ecx\n\tmov %%fs:(%%rcx), %1"
                     : "=r"(a), "=r"(b)::"rcx", "memory");
    check("fs base is added", a == 0x2222 && b == 0x1111);
    __asm__ volatile("mov %0, %%fs\n\tmov %0, %%gs" ::"r"(0));
    if (!(cpuid(7, 0).b & 1)) {
        skip("wrfsbase", "not offered");
        return;
    }
    RAISES("wrfsbase without CR4.FSGSBASE", UD, 0, "wrfsbase %0", ::"r"(values) : "memory");
    write_cr4(read_cr4() | CR4_FSGSBASE);
    struct trap t = USER("wrfsbase %0\n\tmov %%fs:8, %%rax\n\twrgsbase %0\n\trdgsbase %%rcx", ::"r"(values)
                         : "rax", "rcx", USER_CLOBBERS);
    check_eq("wrfsbase in ring 3", t.rax, 0x2222);
    check_eq("rdgsbase in ring 3", t.rcx, (u64)values);
    tcg_differs("does not check");
    RAISES("wrgsbase of a non-canonical base", GP, 0, "wrgsbase %0", ::"r"(BIT(63)) : "memory");
    write_cr4(read_cr4() & ~(word)CR4_FSGSBASE);
    wrmsr(FS_BASE, 0);
    wrmsr(GS_BASE, 0);
}

/* An exception in ring 3 with an interrupt stack of its own, and iretq's checks. */
static void stacks(void)
{
    static u8 ist[4096] __attribute__((aligned(16)));
    tss_set_ist(2, (u64)(ist + sizeof(ist) - 8)); /* unaligned: the CPU aligns it */
    idt_set(0x91, trap_entries[0x91], CODE64, 0x8e, 2);
    struct trap t = TRY("int $0x91", ::: "memory");
    check_trap("through an interrupt stack", t, 0x91, 0, 2);
    check("it was used", ist[sizeof(ist) - 16 - 8] == DATA);
    t = TRY("pushq $0\n\tpushq $0\n\tpushq $2\n\tpushq $0x33\n\tpushq $0\n\tiretq", ::: "memory");
    check_trap("iretq to a null ss for ring 3", t, GP, 0, t.offset);
    check_eq("  and it is raised in ring 0", t.cs, CODE64);
    t = TRY("pushq $0x2b\n\tpushq $0\n\tpushq $2\n\tpushq $0x30\n\tpushq $0\n\tiretq", ::: "memory");
    check_trap("iretq to a code segment of another privilege", t, GP, 0x30, t.offset);
    t = TRY("pushq $0x18\n\tpushq %%rsp\n\tpushq $2\n\tpushq $0x10\n\tpush %0\n\tiretq", ::"r"(BIT(63))
            : "memory");
    check_trap("iretq to a non-canonical address", t, GP, 0, t.offset);
}

int main(void)
{
    entry_and_exit();
    privileged_instructions();
    memory_rights();
    port_rights();
    flags();
    syscalls();
    segment_bases();
    stacks();
    return 0;
}
