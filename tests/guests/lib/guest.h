/* guest.h - what bare-metal guests share: results on the serial port, expected faults, registers, page tables
 */
/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A guest is one file here with a main, linked with lib/ to an ELF that is entered by PVH. Files named *32.c
 * run in 32-bit mode, all others in 64-bit mode with the first 4 GiB mapped one to one. Each check prints `ok
 * NAME`, or `FAIL NAME: got X, want Y`, or `skip NAME: why`; the last line is `done`, after which the guest
 * powers off. The same ELF runs under other machines, so that a check can be held against them.
 */
#ifndef GUEST_H
#define GUEST_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef uint8_t u8;
typedef uint16_t u16;
typedef uint32_t u32;
typedef uint64_t u64;
typedef int32_t s32;
typedef int64_t s64;
typedef unsigned long word; /* as wide as a register */

#define ARRAY_SIZE(a) (sizeof(a) / sizeof((a)[0]))
#define BIT(n)        (1ull << (n))
#define barrier()     __asm__ volatile("" ::: "memory")

enum {
    CODE32 = 0x08,
    CODE64 = 0x10,
    CODE16 = 0x10,
    DATA = 0x18,
    USER_CODE32 = 0x23,
    USER_DATA = 0x2b,
    USER_CODE64 = 0x33,
    TSS = 0x38,
    GDT_FREE = 0x48
};
enum { DE, DB, NMI, BP, OF, BR, UD, NM, DF, TS = 10, NP, SS, GP, PF, MF = 16, AC, MC, XM };
enum { PF_P = 1, PF_W = 2, PF_U = 4, PF_RSVD = 8, PF_I = 16 };
enum {
    CF = 1,
    PARITY = 4,
    AF = 0x10,
    ZF = 0x40,
    SF = 0x80,
    TF = 0x100,
    IF = 0x200,
    DIRECTION = 0x400,
    OVERFLOW = 0x800,
    NT = 0x4000,
    RF = 0x10000,
    AC_FLAG = 0x40000,
    ID = 0x200000
};
enum { CR0_MP = 2, CR0_EM = 4, CR0_TS = 8, CR0_WP = 0x10000 };
#define CR0_PG 0x80000000u
enum {
    CR4_TSD = 4,
    CR4_DE = 8,
    CR4_PSE = 0x10,
    CR4_PAE = 0x20,
    CR4_PGE = 0x80,
    CR4_OSFXSR = 0x200,
    CR4_OSXMMEXCPT = 0x400,
    CR4_UMIP = 0x800,
    CR4_FSGSBASE = 0x10000,
    CR4_PCIDE = 0x20000,
    CR4_OSXSAVE = 0x40000,
    CR4_SMEP = 0x100000,
    CR4_SMAP = 0x200000
};
enum { EFER = 0xc0000080, STAR, LSTAR, CSTAR, SFMASK, FS_BASE = 0xc0000100, GS_BASE, KERNEL_GS_BASE };
enum { EFER_SCE = 1, EFER_LME = 0x100, EFER_NXE = 0x800 };

/* ---- results ---- */
void print(const char *s);
void print_hex(u64 v);
void check_eq(const char *name, u64 got, u64 want);
void check(const char *name, bool good);
bool result(const char *name,
            bool good); /* the first part of the line; gives whether got and want are to follow */
void skip(const char *name, const char *why);
_Noreturn void guest_exit(void);
/* The next check may fail under QEMU's TCG, which differs from the manual: it is skipped there, with this
 * reason. */
void tcg_differs(const char *how);
bool on_tcg(void); /* for checks that TCG does not survive */

/* ---- exceptions and interrupts ---- */
#ifdef __x86_64__
struct frame { /* as the entries in start64.S leave it */
    u64 r15, r14, r13, r12, r11, r10, r9, r8, rdi, rsi, rbp, rbx, rdx, rcx, rax;
    u64 vector, error, rip, cs, rflags, rsp, ss;
};
#define WORD "q"
#else
struct frame { /* start32.S; rsp and ss stand there only when the privilege changed */
    u32 es, ds, rdi, rsi, rbp, unused, rbx, rdx, rcx, rax;
    u32 vector, error, rip, cs, rflags, rsp, ss;
};
#define WORD "l"
#endif

enum { NONE = -1 };
struct trap {   /* of one TRY */
    s32 vector; /* NONE: no exception */
    u64 error, cr2, rflags;
    s64 offset; /* of the saved instruction pointer from TRY's code */
    u64 rip, rsp, cs, ss;
    u64 rax, rcx, rsi, rdi; /* at the fault */
};
extern volatile struct trap trap_last;
extern volatile word trap_start, trap_resume, trap_rsp;
void trap_clear(void);
void check_trap(const char *name, struct trap t, s32 vector, u64 error, s64 offset);

/* Runs code, and gives what exception it raised, if any. After one, the program goes on behind the code with
 * the stack pointer and privilege it had before. The rest are an asm statement's operands and clobbers. */
#define TRY(code, ...)                                                     \
    ({                                                                     \
        trap_clear();                                                      \
        barrier();                                                         \
        __asm__ volatile("mov" WORD " $771f, trap_start\n\t"               \
                         "mov" WORD " $772f, trap_resume\n\t"              \
                         "mov %%" RSP ", trap_rsp\n"                       \
                         "771:\t" code "\n"                                \
                         "772:\tmov" WORD " $0, trap_resume" __VA_ARGS__); \
        barrier();                                                         \
        *(struct trap *)&trap_last;                                        \
    })
#ifdef __x86_64__
#define RSP "rsp"
#else
#define RSP "esp"
#endif

#define RAISES(name, vector, error, code, ...) check_trap(name, TRY(code, __VA_ARGS__), vector, error, 0)
#define NO_FAULT(name, code, ...)              check_trap(name, TRY(code, __VA_ARGS__), NONE, 0, 0)
#define RAISES_PF(name, error, gva, code, ...)     \
    ({                                             \
        struct trap pf_ = TRY(code, __VA_ARGS__);  \
        check_trap(name, pf_, PF, error, 0);       \
        if (pf_.vector == PF)                      \
            check_eq(name " (cr2)", pf_.cr2, gva); \
    })

/* fn is called for the vector; it may change the frame. NULL: unexpected unless in TRY. */
void trap_handle(unsigned vector, void (*fn)(struct frame *f));
struct idt_entry;
/* type: 0x8e interrupt gate, 0x8f trap gate, 0xee the same for ring 3; ist: 0 or 1..7. */
void idt_set(unsigned vector, void *entry, u16 selector, unsigned type, unsigned ist);
void idt_load(void);
extern u64 gdt[];
extern u8 stack_top[];
extern char trap_entries[][16];
extern word start_info;
void tss_set_stack(unsigned ring, u64 stack);
void tss_set_ist(unsigned ist, u64 stack);
void tss_set_iomap(u16 offset);
void tss_load(void);
extern u8 tss[];

/* ---- registers ---- */
#define ACCESS(reg)                                                 \
    static inline word read_##reg(void)                             \
    {                                                               \
        word v;                                                     \
        __asm__ volatile("mov %%" #reg ", %0" : "=r"(v)::"memory"); \
        return v;                                                   \
    }                                                               \
    static inline void write_##reg(word v)                          \
    {                                                               \
        __asm__ volatile("mov %0, %%" #reg ::"r"(v) : "memory");    \
    }
ACCESS(cr0)
ACCESS(cr2)
ACCESS(cr3)
ACCESS(cr4)
ACCESS(dr0)
ACCESS(dr6)
ACCESS(dr7)

static inline u64 rdmsr(u32 index)
{
    u32 lo, hi;
    __asm__ volatile("rdmsr" : "=a"(lo), "=d"(hi) : "c"(index) : "memory");
    return (u64)hi << 32 | lo;
}
static inline void wrmsr(u32 index, u64 v)
{
    __asm__ volatile("wrmsr" ::"c"(index), "a"((u32)v), "d"((u32)(v >> 32)) : "memory");
}
struct cpuid {
    u32 a, b, c, d;
};
static inline struct cpuid cpuid(u32 leaf, u32 subleaf)
{
    struct cpuid r;
    __asm__ volatile("cpuid" : "=a"(r.a), "=b"(r.b), "=c"(r.c), "=d"(r.d) : "a"(leaf), "c"(subleaf));
    return r;
}
static inline void outb(u16 port, u8 v)
{
    __asm__ volatile("outb %0, %1" ::"a"(v), "Nd"(port) : "memory");
}
static inline void outw(u16 port, u16 v)
{
    __asm__ volatile("outw %0, %1" ::"a"(v), "Nd"(port) : "memory");
}
static inline void outl(u16 port, u32 v)
{
    __asm__ volatile("outl %0, %1" ::"a"(v), "Nd"(port) : "memory");
}
static inline u8 inb(u16 port)
{
    u8 v;
    __asm__ volatile("inb %1, %0" : "=a"(v) : "Nd"(port) : "memory");
    return v;
}
static inline u32 inl(u16 port)
{
    u32 v;
    __asm__ volatile("inl %1, %0" : "=a"(v) : "Nd"(port) : "memory");
    return v;
}
static inline u64 rdtsc(void)
{
    u32 lo, hi;
    __asm__ volatile("rdtsc" : "=a"(lo), "=d"(hi)::"memory");
    return (u64)hi << 32 | lo;
}
static inline void invlpg(word a)
{
    __asm__ volatile("invlpg (%0)" ::"r"(a) : "memory");
}
static inline word read_flags(void)
{
    word v;
    __asm__ volatile("pushf\n\tpop %0" : "=r"(v)::"memory");
    return v;
}

/* ---- memory ---- */
void *memcpy(void *d, const void *s, size_t n);
void *memset(void *d, int c, size_t n);
int memcmp(const void *a, const void *b, size_t n);

enum { PTE_P = 1, PTE_W = 2, PTE_U = 4, PTE_A = 0x20, PTE_D = 0x40, PTE_PS = 0x80, PTE_G = 0x100 };
#define PTE_NX   BIT(63)
#define PTE_ADDR 0xffffffffff000ull
void *page_alloc(void); /* zeroed; never freed */

#ifdef __x86_64__
/* Maps a page of 4 KiB (level 1), 2 MiB (2) or 1 GiB (3) below the current CR3; the tables above allow
 * everything. Gives the entry. Does not flush. */
u64 *page_map(u64 gva, u64 gpa, u64 flags, unsigned level);
u64 *page_entry(u64 gva, unsigned level); /* the entry at that level, whose table must exist */
/* Where tests map: far from what is mapped one to one. */
#define TEST_VA 0x1000000000ull
#endif

#endif
