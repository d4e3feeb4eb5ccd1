/* mmio.c - operands that are no memory: every width and form, on the local APIC, on nothing, on PCI
 * configuration */
/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "tests/guests/lib/guest.h"

/* The APIC's ICR, high half: bits 31:24 are stored, the rest is reserved. */
#define ICR_HIGH ((volatile u32 *)0xfee00310ull)
/* Nobody is here, on our board and on others. */
#define NOBODY 0xfd000000ull

static u32 icr(void)
{
    return *ICR_HIGH & 0xff000000;
}

/* Runs code with the register holding `from`, and checks what is there after. */
#define FORM(name, from, code, want, ...)                                                          \
    do {                                                                                           \
        *ICR_HIGH = (from);                                                                        \
        __asm__ volatile(code ::"r"(ICR_HIGH), __VA_ARGS__ : "rax", "rdx", "rdi", "memory", "cc"); \
        check_eq(name, icr(), (want));                                                             \
    } while (0)

static void stores(void)
{
    FORM("mov r32", 0, "movl %k1, (%0)", 0x12000000, "r"(0x12000000));
    FORM("mov imm32", 0, "movl $0x13000000, (%0)", 0x13000000, "r"(0));
    FORM("mov by eax, absolute", 0, "mov %k1, %%eax\n\taddr32 mov %%eax, 0xfee00310", 0x14000000,
         "r"(0x14000000));
    FORM("movnti", 0, "movnti %k1, (%0)", 0x15000000, "r"(0x15000000));
    FORM("movd from xmm", 0, "movd %k1, %%xmm0\n\tmovd %%xmm0, (%0)", 0x16000000, "r"(0x16000000));
    FORM("movss from xmm", 0, "movd %k1, %%xmm0\n\tmovss %%xmm0, (%0)", 0x17000000, "r"(0x17000000));
    FORM("stosl", 0, "mov %0, %%rdi\n\tmov %k1, %%eax\n\tstosl", 0x18000000, "r"(0x18000000));
    FORM("fistp", 0, "fildl %1\n\tfistpl (%0)", 0x19000000, "m"((u32){0x19000000}));
    FORM("with an index", 0, "movl %k1, (%0, %2, 4)", 0x1a000000, "r"(0x1a000000), "r"(0ull));
}

static void read_modify_writes(void)
{
    FORM("add", 0x01000000, "addl %k1, (%0)", 0x03000000, "r"(0x02000000));
    FORM("add imm", 0x01000000, "addl $0x7f000000, (%0)", 0x80000000, "r"(0));
    FORM("adc", 0x01000000, "stc\n\tadcl %k1, (%0)", 0x03000000, "r"(0x01ffffff));
    FORM("sub", 0x05000000, "subl %k1, (%0)", 0x03000000, "r"(0x02000000));
    FORM("sbb", 0x05000000, "stc\n\tsbbl %k1, (%0)", 0x03000000, "r"(0x01ffffff));
    FORM("and", 0xff000000, "andl %k1, (%0)", 0x0f000000, "r"(0x0fffffff));
    FORM("or", 0x01000000, "orl %k1, (%0)", 0x11000000, "r"(0x10000000));
    FORM("xor", 0xff000000, "xorl %k1, (%0)", 0xf0000000, "r"(0x0f000000));
    FORM("not", 0x0f000000, "notl (%0)", 0xf0000000, "r"(0));
    FORM("neg", 0x01000000, "negl (%0)", 0xff000000, "r"(0));
    FORM("inc", 0xff000000, "incl (%0)", 0xff000000, "r"(0));
    FORM("dec", 0x02000000, "decl (%0)", 0x01000000, "r"(0));
    FORM("shl imm", 0x01000000, "shll $3, (%0)", 0x08000000, "r"(0));
    FORM("shr", 0x10000000, "shrl (%0)", 0x08000000, "r"(0));
    FORM("rol cl", 0x81000000, "roll %%cl, (%0)", 0x10000000, "c"(4));
    FORM("sar", 0x80000000, "sarl $4, (%0)", 0xf8000000, "r"(0));
    FORM("shld", 0x01000000, "shldl $4, %k1, (%0)", 0x10000000, "r"(0));
    FORM("bts", 0, "btsl $28, (%0)", 0x10000000, "r"(0));
    FORM("btr reg", 0x30000000, "btrl %k1, (%0)", 0x20000000, "r"(28));
    FORM("btc beyond the operand", 0, "btcl %k1, -8(%0)", 0x01000000, "r"(64 + 24));
    FORM("xchg", 0x01000000, "mov %k1, %%eax\n\txchgl %%eax, (%0)\n\taddl %%eax, (%0)", 0x03000000,
         "r"(0x02000000));
    FORM("xadd", 0x01000000, "mov %k1, %%eax\n\txaddl %%eax, (%0)\n\taddl %%eax, (%0)", 0x04000000,
         "r"(0x02000000));
    FORM("cmpxchg, equal", 0x01000000, "mov $0x01000000, %%eax\n\tcmpxchgl %k1, (%0)", 0x07000000,
         "r"(0x07000000));
    FORM("cmpxchg, different", 0x02000000, "mov $0x01000000, %%eax\n\tcmpxchgl %k1, (%0)", 0x02000000,
         "r"(0x07000000));
    FORM("lock add", 0x01000000, "lock addl %k1, (%0)", 0x03000000, "r"(0x02000000));
    FORM("lock inc", 0x01000000, "lock orl %k1, (%0)", 0x05000000, "r"(0x04000000));
    FORM("lock cmpxchg", 0x01000000, "mov $0x01000000, %%eax\n\tlock cmpxchgl %k1, (%0)", 0x09000000,
         "r"(0x09000000));
}

static void flags_of_them(void)
{
    u64 f;
    *ICR_HIGH = 0xff000000;
    __asm__ volatile("addl %1, (%2)\n\tpushf\n\tpop %0"
                     : "=r"(f)
                     : "r"(0x01000000), "r"(ICR_HIGH)
                     : "memory", "cc");
    check_eq("flags of add", f & 0x8d5, CF | ZF | PARITY);
    __asm__ volatile("stc\n\tmovl %1, (%2)\n\tpushf\n\tpop %0"
                     : "=r"(f)
                     : "r"(0x01000000), "r"(ICR_HIGH)
                     : "memory", "cc");
    check_eq("flags over mov", f & CF, CF);
    __asm__ volatile("cmpl %1, (%2)\n\tpushf\n\tpop %0"
                     : "=r"(f)
                     : "r"(0x02000000), "r"(ICR_HIGH)
                     : "memory", "cc");
    check_eq("flags of cmp", f & 0x8c5, CF | SF | PARITY);
    __asm__ volatile("stc\n\tincl (%1)\n\tpushf\n\tpop %0" : "=r"(f) : "r"(ICR_HIGH) : "memory", "cc");
    check_eq("inc keeps CF", f & CF, CF);
    u64 taken = 0;
    *ICR_HIGH = 0x01000000;
    __asm__ volatile("testl $0x01000000, (%1)\n\tjz 1f\n\tinc %0\n1:"
                     : "+r"(taken)
                     : "r"(ICR_HIGH)
                     : "memory", "cc");
    check_eq("test and jz", taken, 1);
}

static void loads(void)
{
    u64 r;
    *ICR_HIGH = 0x87000000;
#define LOAD(name, code, want, ...)                              \
    do {                                                         \
        __asm__ volatile(code                                    \
                         : "=&r"(r)                              \
                         : "r"(ICR_HIGH), ##__VA_ARGS__          \
                         : "rcx", "rdx", "rax", "memory", "cc"); \
        check_eq(name, r, (want));                               \
    } while (0)
    LOAD("mov to r32", "movl (%1), %k0", 0x87000000);
    LOAD("movslq", "movslq (%1), %0", 0xffffffff87000000);
    LOAD("add to register", "mov $1, %k0\n\taddl (%1), %k0", 0x87000001);
    LOAD("imul", "imull $2, (%1), %k0", 0x0e000000);
    LOAD("cmov, true", "xor %k0, %k0\n\tcmovzl (%1), %k0", 0x87000000);
    LOAD("cmov, false", "xor %k0, %k0\n\tcmovnzl (%1), %k0", 0);
    LOAD("bt", "btl $31, (%1)\n\tsbb %k0, %k0", 0xffffffff);
    LOAD("bsf", "bsfl (%1), %k0", 24);
    LOAD("bsr", "bsrl (%1), %k0", 31);
    LOAD("mul", "mov $4, %%eax\n\tmull (%1)\n\tmov %%edx, %k0", 2);
    LOAD("div", "mov $1, %%edx\n\txor %%eax, %%eax\n\tdivl (%1)\n\tmov %%eax, %k0", 1);
    LOAD("movd to xmm", "movd (%1), %%xmm0\n\tmovq %%xmm0, %0", 0x87000000);
    LOAD("cvtsi2sd", "cvtsi2sdl (%1), %%xmm0\n\tcvttsd2siq %%xmm0, %0", 0xffffffff87000000);
    LOAD("fild", "fildl (%1)\n\tpush %%rax\n\tfistpq (%%rsp)\n\tpop %0", 0xffffffff87000000);
    LOAD("lodsl", "mov %1, %%rax\n\tpush %%rsi\n\tmov %%rax, %%rsi\n\tlodsl\n\tpop %%rsi\n\tmov %%eax, %k0",
         0x87000000);
    LOAD("cmp", "xor %k0, %k0\n\tcmpl $0x87000000, (%1)\n\tsete %b0", 1);
    if (cpuid(7, 0).b & BIT(8))
        LOAD("shlx", "shlxl %2, (%1), %k0", 0x70000000, "r"(4));
    if (cpuid(1, 0).c & BIT(22))
        LOAD("movbe", "movbel (%1), %k0", 0x87);
    if (cpuid(1, 0).c & BIT(23))
        LOAD("popcnt", "popcntl (%1), %k0", 4);
}

/* Where nobody answers, reads give ones in every width, and writes go nowhere. */
static void nobody(void)
{
    u64 r, a = NOBODY;
    u8 got[32] __attribute__((aligned(32)));
#define ONES(name, code, want)                                       \
    do {                                                             \
        __asm__ volatile(code : "=&r"(r) : "r"(a) : "memory", "cc"); \
        check_eq(name, r, (want));                                   \
    } while (0)
    tcg_differs("reads zeroes");
    ONES("8 bits", "movzbl (%1), %k0", 0xff);
    tcg_differs("reads zeroes");
    ONES("8 bits, merged", "mov $0x1200, %k0\n\tmovb (%1), %b0", 0x12ff);
    tcg_differs("reads zeroes");
    ONES("16 bits", "movzwl (%1), %k0", 0xffff);
    tcg_differs("reads zeroes");
    ONES("16 bits, signed", "movswq (%1), %0", ~0ull);
    tcg_differs("reads zeroes");
    ONES("32 bits", "movl (%1), %k0", 0xffffffff);
    tcg_differs("reads zeroes");
    ONES("64 bits", "movq (%1), %0", ~0ull);
    tcg_differs("reads zeroes");
    ONES("64 bits, unaligned", "movq 3(%1), %0", ~0ull);
    tcg_differs("reads zeroes");
    ONES("64 bits, pushed", "push (%1)\n\tpop %0", ~0ull);
    __asm__ volatile("movdqu (%0), %%xmm0\n\tmovdqu %%xmm0, (%1)" ::"r"(a), "r"(got) : "memory");
    tcg_differs("reads zeroes");
    check("128 bits", *(u64 *)got == ~0ull && *(u64 *)(got + 8) == ~0ull);
    __asm__ volatile("movdqa (%0), %%xmm0\n\tmovdqu %%xmm0, (%1)" ::"r"(a), "r"(got) : "memory");
    tcg_differs("reads zeroes");
    check("128 bits, aligned form", *(u64 *)got == ~0ull && *(u64 *)(got + 8) == ~0ull);
    memset(got, 0, sizeof(got));
    u64 count = 4;
    void *to = got;
    const void *from = (void *)a;
    __asm__ volatile("rep movsq" : "+D"(to), "+S"(from), "+c"(count)::"memory");
    tcg_differs("reads zeroes");
    check("copied by rep movsq", *(u64 *)(got + 24) == ~0ull);
    check("  registers after", to == got + 32 && from == (void *)(a + 32) && !count);
    NO_FAULT(
        "writes of all widths",
        "movb $1, (%0)\n\tmovw $1, (%0)\n\tmovl $1, (%0)\n\tmovq $1, (%0)\n\t"
        "movdqu %%xmm0, (%0)\n\tmovdqa %%xmm0, (%0)\n\tsetc (%0)\n\tpush $1\n\tpop (%0)\n\tfnstcw (%0)\n\tfstpt 3(%0)\n\t"
        "stmxcsr (%0)\n\tincb (%0)\n\tlock decw (%0)\n\tnotq (%0)\n\tlock cmpxchg16b (%0)",
        ::"r"(a)
        : "rax", "rdx", "memory", "cc");
    __asm__ volatile("fninit");
    to = (void *)a;
    count = 1000;
    __asm__ volatile("rep stosb" : "+D"(to), "+c"(count) : "a"(0) : "memory");
    check("rep stosb", to == (void *)(a + 1000) && !count);
}

/* Control transfers whose target comes from there. */
static void transfers(void)
{
    struct trap t = TRY("jmp *(%0)", ::"r"(NOBODY) : "memory");
    if (on_tcg())
        skip("jump through an address of ones", "TCG reads zeroes");
    else
        check_eq("jump through an address of ones: rip", t.rip, ~0ull);
    t = TRY("movl %k1, (%0)\n\tmovl (%0), %%eax\n\tmov (%2), %%eax", ::"r"(ICR_HIGH), "r"(0x21000000),
            "r"(TEST_VA)
            : "rax", "memory");
    check_eq("a fault right behind: rax", t.rax, 0x21000000);
    check_eq("  vector", (u64)t.vector, PF);
}

static u32 pci_read(u8 reg)
{
    outl(0xcf8, 0x80000000 | reg);
    return inl(0xcfc);
}

/* PCI Express's configuration window: the first device's identity is known from the ports. */
static void configuration(void)
{
    static const u64 windows[] = {0xe0000000, 0xb0000000};
    u32 identity = pci_read(0);
    u64 at = 0;
    for (unsigned i = 0; i < ARRAY_SIZE(windows) && !at; i++)
        if (*(volatile u32 *)windows[i] == identity)
            at = windows[i];
    if (!at) {
        skip("PCI Express configuration window", "none found");
        return;
    }
    check_eq("identity, 16 bits", *(volatile u16 *)at, identity & 0xffff);
    check_eq("identity, next 16 bits", *(volatile u16 *)(at + 2), identity >> 16);
    check_eq("identity, a byte", *(volatile u8 *)(at + 1), identity >> 8 & 0xff);
    u64 both;
    __asm__ volatile("movq (%1), %0" : "=r"(both) : "r"(at) : "memory");
    check_eq("64 bits", both & 0xffffffff, identity);
    check_eq("an absent device", *(volatile u32 *)(at + (16 << 15)), 0xffffffff);
    u8 old = *(volatile u8 *)(at + 0x3c);
    *(volatile u8 *)(at + 0x3c) = 0x5a;
    check_eq("a byte written is read by the ports", pci_read(0x3c) & 0xff, *(volatile u8 *)(at + 0x3c));
    *(volatile u8 *)(at + 0x3c) = old;
}

int main(void)
{
    __asm__ volatile("fninit\n\tpxor %xmm0, %xmm0");
    stores();
    read_modify_writes();
    flags_of_them();
    loads();
    nobody();
    transfers();
    configuration();
    *ICR_HIGH = 0;
    return 0;
}
