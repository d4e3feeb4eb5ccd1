/* direct.c - ring-3 code as compilers make it, under every event that can end it (hypervisor/direct) */
/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The state of the processor is what a 64-bit kernel sets up, so that LODGE_STRESS=direct can run the ring-3
 * parts on the host's CPU as they are. What is checked holds anywhere.
 */
#include "tests/guests/lib/guest.h"

static u8 user_stack[4096] __attribute__((aligned(16), used));
volatile u64 user_value, user_rip;

#define USER(code, ...)                                                                                    \
    TRY("pushq $0x2b\n\tpushq $user_stack + 4096\n\tpushq $0x202\n\tpushq $0x33\n\tpushq $775f\n\tiretq\n" \
        "775:\t" code "\n\tud2",                                                                           \
        __VA_ARGS__)
#define USER_CLOBBERS "r15", "memory", "cc"
/* Where the trapping instruction is, so that its rip can be told. */
#define HERE "lea 776f(%%rip), %%r15\n\tmov %%r15, user_rip\n776:\t"

static void computing(void)
{
    struct trap t =
        USER("xor %%eax, %%eax\n\tmov $1000, %%ecx\n1:\tadd %%rcx, %%rax\n\tdec %%ecx\n\tjnz 1b", ::
                 : "rax", "rcx", USER_CLOBBERS);
    check_eq("a loop: vector of the ud2", (u64)t.vector, UD);
    check_eq("its sum", t.rax, 500500);
    t = USER("mov $0x1122334455667788, %%rax\n\tmov %%rax, user_value\n\tmov user_value, %%rcx", ::
                 : "rax", "rcx", USER_CLOBBERS);
    check_eq("a store", user_value, 0x1122334455667788);
    t = USER("push %%rax\n\tpopf\n\tpushf\n\tpop %%rax", ::"a"(0x202 | CF | ZF | DIRECTION) : USER_CLOBBERS);
    check_eq("flags by popf, pushf", t.rax, 0x202 | CF | ZF | DIRECTION);
    check_eq("and in the frame", t.rflags & (CF | ZF | DIRECTION | IF), CF | ZF | DIRECTION | IF);
}

static void exceptions(void)
{
    struct trap t = USER(HERE "div %%ecx", ::"a"(1), "d"(0), "c"(0) : USER_CLOBBERS);
    check_eq("divide error: vector", (u64)t.vector, DE);
    check_eq("its rip", t.rip, user_rip);
    t = USER(HERE "hlt", ::: USER_CLOBBERS);
    check_eq("hlt: vector", (u64)t.vector, GP);
    check_eq("its rip", t.rip, user_rip);
    idt_set(3, trap_entries[3], CODE64, 0xee, 0);
    t = USER(HERE "int3", ::: USER_CLOBBERS);
    check_eq("int3: vector", (u64)t.vector, BP);
    check_eq("its rip", t.rip, user_rip + 1);
    t = USER(HERE ".byte 0xcd, 3", ::: USER_CLOBBERS);
    check_eq("int 3: vector", (u64)t.vector, BP);
    check_eq("its rip", t.rip, user_rip + 2);
    idt_set(0x80, trap_entries[0x80], CODE64, 0xee, 0);
    t = USER(HERE "int $0x80", ::"a"(0x123456789abcdef0) : USER_CLOBBERS);
    check_eq("int 0x80: vector", (u64)t.vector, 0x80);
    check_eq("its rip", t.rip, user_rip + 2);
    check_eq("its rax", t.rax, 0x123456789abcdef0);
    t = USER("pushf\n\torl $0x100, (%%rsp)\n\tpopf\n\t" HERE "nop", ::: USER_CLOBBERS);
    check_eq("single step: vector", (u64)t.vector, DB);
    t = USER(HERE "movabs %%al, 0x1234567812345678", ::: USER_CLOBBERS);
    check_eq("an address that is not canonical: vector", (u64)t.vector, GP);
    check_eq("its rip", t.rip, user_rip);
    t = USER(HERE "movaps 1(%%rsp), %%xmm0", ::: USER_CLOBBERS);
    check_eq("misaligned movaps: vector", (u64)t.vector, GP);
    check_eq("its rip", t.rip, user_rip);
}

static void telling(void)
{
    struct cpuid want = cpuid(0, 0);
    struct trap t = USER("xor %%eax, %%eax\n\txor %%ecx, %%ecx\n\tcpuid", ::
                             : "rax", "rbx", "rcx", "rdx", USER_CLOBBERS);
    check_eq("cpuid: eax", t.rax, want.a);
    check_eq("its ecx", t.rcx, want.c);
    u64 before = rdtsc();
    t = USER("rdtsc\n\tshl $32, %%rdx\n\tor %%rdx, %%rax", ::: "rax", "rdx", USER_CLOBBERS);
    check_eq("rdtsc is the guest's", t.rax - before < 1ull << 40, 1);
    t = USER("sldt %%eax", ::: "rax", USER_CLOBBERS);
    check_eq("sldt: eax", t.rax, 0);
}

static void pages(void)
{
    u8 *one = page_alloc(), *two = page_alloc();
    one[0] = 1;
    two[0] = 2;
    u64 *pte = page_map(TEST_VA, (u64)one, PTE_P | PTE_W | PTE_U, 1);
    invlpg(TEST_VA);
    struct trap t = USER("mov (%0), %%al", ::"r"(TEST_VA) : "rax", USER_CLOBBERS);
    check_eq("a load: value", t.rax & 255, 1);
    check_eq("accessed", *pte & PTE_A, PTE_A);
    check_eq("not dirty", *pte & PTE_D, 0);
    t = USER("movb $7, (%0)", ::"r"(TEST_VA + 5) : USER_CLOBBERS);
    check_eq("a store: value", one[5], 7);
    check_eq("dirty", *pte & PTE_D, PTE_D);
    *pte = (u64)two | PTE_P | PTE_U;
    invlpg(TEST_VA);
    t = USER("mov (%0), %%al", ::"r"(TEST_VA) : "rax", USER_CLOBBERS);
    check_eq("another page, after invlpg", t.rax & 255, 2);
    t = USER(HERE "movb $1, (%0)", ::"r"(TEST_VA + 9) : USER_CLOBBERS);
    check_trap("a store to it, read-only", t, PF, PF_P | PF_U | PF_W, t.offset);
    check_eq("its rip", t.rip, user_rip);
    check_eq("its cr2", t.cr2, TEST_VA + 9);
    *pte = 0;
    write_cr3(read_cr3());
    t = USER(HERE "mov (%0), %%al", ::"r"(TEST_VA + 17) : "rax", USER_CLOBBERS);
    check_trap("a load from it, gone after a write to cr3", t, PF, PF_U, t.offset);
    check_eq("its cr2", t.cr2, TEST_VA + 17);
}

/* mov $n, %eax; ret, which a program writes over, calls, and writes over again. */
static void changing(void)
{
    u8 *code = page_alloc();
    page_map(TEST_VA, (u64)code, PTE_P | PTE_W | PTE_U, 1);
    invlpg(TEST_VA);
    struct trap t = USER("movb $0xb8, (%0)\n\tmovl $1, 1(%0)\n\tmovb $0xc3, 5(%0)\n\t"
                         "xor %%esi, %%esi\n\tmov $50, %%ecx\n"
                         "1:\tmov %%ecx, 1(%0)\n\tcall *%0\n\tadd %%rax, %%rsi\n\tdec %%ecx\n\tjnz 1b",
                         ::"D"(TEST_VA)
                         : "rax", "rsi", "rcx", USER_CLOBBERS);
    check_eq("a function written over: vector of the ud2", (u64)t.vector, UD);
    check_eq("the sum of what it returned", t.rsi, 1275);
    code[1] = 99; /* by the kernel's alias */
    t = USER("call *%0", ::"D"(TEST_VA) : "rax", USER_CLOBBERS);
    check_eq("written over through another address", t.rax, 99);
}

static void vectors(void)
{
    struct trap t = USER("mov $0x5555aaaa, %%eax\n\tmovd %%eax, %%xmm5\n\tmov $200, %%ecx\n"
                         "1:\tpaddd %%xmm5, %%xmm6\n\tdec %%ecx\n\tjnz 1b",
                         ::
                             : "rax", "rcx", USER_CLOBBERS);
    check_eq("a loop of paddd: vector of the ud2", (u64)t.vector, UD);
    u32 kept;
    __asm__ volatile("movd %%xmm5, %0" : "=r"(kept));
    check_eq("xmm5 afterwards", kept, 0x5555aaaa);
    t = USER("movd %%xmm5, %%eax", ::: "rax", USER_CLOBBERS);
    check_eq("and in ring 3 again", (u32)t.rax, 0x5555aaaa);
}

void main(void)
{
    write_cr4(read_cr4() | CR4_OSFXSR | CR4_OSXMMEXCPT);
    if (cpuid(1, 0).c & BIT(26)) {
        write_cr4(read_cr4() | CR4_OSXSAVE);
        __asm__ volatile("xsetbv" ::"a"(cpuid(0xd, 0).a), "d"(0), "c"(0));
    }
    if (cpuid(7, 0).b & 1)
        write_cr4(read_cr4() | CR4_FSGSBASE);
    write_cr0((read_cr0() | 0x20) & ~(word)(CR0_EM | CR0_TS));
    wrmsr(EFER, rdmsr(EFER) | EFER_SCE);
    computing();
    exceptions();
    telling();
    pages();
    changing();
    vectors();
}
