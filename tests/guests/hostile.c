/* hostile.c - a guest that tries to overrun the code cache, a block, and the end of its memory, and lives */
/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "tests/guests/lib/guest.h"

#ifdef __x86_64__
#define RAX        "rax"
#define RCX        "rcx"
#define RDX        "rdx"
#define RSI        "rsi"
#define RDI        "rdi"
#define RBP        "rbp"
#define WORD_BYTES "8"
#else
#define RAX        "eax"
#define RCX        "ecx"
#define RDX        "edx"
#define RSI        "esi"
#define RDI        "edi"
#define RBP        "ebp"
#define WORD_BYTES "4"
#endif

static u32 call(const void *f)
{
    u32 r = 0;
    __asm__ volatile("call *%1" : "+a"(r) : "D"(f) : "memory", "cc");
    return r;
}

/* ---- more blocks than a cache holds ---- */

/* That is 1.2 million; 32-bit code need not show it again. */
enum { AREA = 0x4000000, JUMPS = sizeof(word) == 8 ? 1200000 : 50000, BLOCK_COUNT_EVERY = 1000 };

/* Each jump to the next is a block; now and then one is counted. */
static u32 make_jumps(u8 *p)
{
    u32 counted = 0;
    for (u32 i = 0; i < JUMPS; i++) {
        *p++ = 0xeb;
        *p++ = 0;
        if (i % BLOCK_COUNT_EVERY == 0) {
            *p++ = 0xff; /* inc %eax */
            *p++ = 0xc0;
            counted++;
        }
    }
    *p = 0xc3;
    return counted;
}

static void many_blocks(void)
{
    u8 *area = (u8 *)AREA;
    u32 counted = make_jumps(area);
    check_eq("a block for each jump", call(area), counted);
    check_eq("  once more", call(area), counted);
    *(volatile u8 *)area = 0xeb; /* its page has translations */
    check_eq("  after a store to one of them", call(area), counted);
}

/* ---- the largest blocks: 64 times what needs the most host code ---- */

struct encoding {
    const char *name;
    u8 bytes[12], length;
};

/* Operands at ebx, or at r12 with r13 as index, which are not in host registers. */
static const struct encoding dense[] = {
    {"push of memory", {0xff, 0x33}, 2},
    {"lock xadd", {0xf0, 0x0f, 0xc1, 0x03}, 4},
    {"lock cmpxchg8b", {0xf0, 0x0f, 0xc7, 0x0b}, 4},
    {"adc to memory", {0x11, 0x03}, 2},
    {"rcl by 1", {0xd1, 0x13}, 2},
    {"shld", {0x0f, 0xa4, 0x03, 0x03}, 4},
    {"bts by a register", {0x0f, 0xab, 0x33}, 3},
    {"xchg of 16 bits", {0x66, 0x87, 0x33}, 3},
    {"segment override", {0x65, 0x01, 0x33}, 3},
    {"16-bit addresses", {0x67, 0x01, 0x33}, 3},
    {"seto to memory", {0x0f, 0x90, 0x03}, 3},
    {"mul by memory", {0xf7, 0x23}, 2},
    {"fld of 80 bits", {0xdb, 0x2b}, 2},
    {"fstp of 80 bits", {0xdb, 0x3b}, 2},
    {"fnstenv", {0xd9, 0x33}, 2},
    {"cpuid", {0x0f, 0xa2}, 2},
    {"lahf", {0x9f}, 1},
    {"movs", {0xa4}, 1},
    {"pushf", {0x9c}, 1},
    {"enter", {0xc8, 0, 0, 1}, 4},
    {"jo", {0x70, 0}, 2},
    {"loop", {0xe2, 0}, 2},
    {"call of the next", {0xe8, 0, 0, 0, 0}, 5},
#ifdef __x86_64__
    {"lock xadd, indexed", {0xf0, 0x4f, 0x0f, 0xc1, 0xbc, 0xec, 0, 1, 0, 0}, 10},
    {"bts, indexed, by r13", {0x4f, 0x0f, 0xab, 0xac, 0xec, 0, 1, 0, 0}, 9},
    {"lock cmpxchg16b", {0xf0, 0x49, 0x0f, 0xc7, 0x0c, 0x24}, 6},
    {"push of memory, indexed", {0x43, 0xff, 0xb4, 0xec, 0, 1, 0, 0}, 8},
    {"adc to memory, gs", {0x65, 0x4d, 0x11, 0x74, 0x24, 8}, 6},
#else
    {"pusha", {0x60}, 1},
    {"daa", {0x27}, 1},
    {"lgs", {0x0f, 0xb5, 0x33}, 3},
    {"arpl", {0x63, 0x33}, 2},
    {"bound", {0x62, 0x33}, 2},
    {"pop of a segment", {0x0f, 0xa1}, 2},
    {"push of memory, 16-bit address", {0x67, 0xff, 0x34}, 3},
#endif
};

/* Where the code's ret finds its way back, whatever became of the stack. */
static word saved_rsp;

static u8 *put_return(u8 *to)
{
    u32 address = (u32)(word)&saved_rsp;
    static const u8 load[] = {
#ifdef __x86_64__
        0x48, 0x8b, 0x24, 0x25};
#else
        0x8b, 0x25};
#endif
    memcpy(to, load, sizeof(load));
    memcpy(to + sizeof(load), &address, 4);
    to[sizeof(load) + 4] = 0xc3;
    return to + sizeof(load) + 5;
}

#ifdef __x86_64__
#define PREPARE "mov %%rbx, %%r12\n\txor %%r13d, %%r13d\n\t"
#define EVICTED "r8", "r9", "r10", "r11", "r12", "r13", "r14", "r15",
#else
#define PREPARE
#define EVICTED
#endif

/* What faults in between ends there. */
__attribute__((noinline)) static void repeated(const struct encoding *e, u8 *code, u8 *data)
{
    enum { TIMES = 64 };
    for (unsigned i = 0; i < TIMES; i++)
        memcpy(code + i * e->length, e->bytes, e->length);
    put_return(code + TIMES * e->length);
    for (unsigned i = 0; i < 2; i++) {
        void *to = code, *from = data;
        TRY(PREPARE "mov %1, %%" RDI "\n\txor %%esi, %%esi\n\tmov %%" RSP ", %%" RBP
                    "\n\tmov $1, %%ecx\n\tcall 1f\n\tjmp 2f\n"
                    "1:\tmov %%" RSP ", %2\n\tsub $0x1000, %%" RSP "\n\tjmp *%0\n2:",
            : "+a"(to), "+b"(from), "=m"(saved_rsp)
            :
            : EVICTED RCX, RDX, RSI, RDI, RBP, "memory", "cc");
    }
}

static void large_blocks(void)
{
    u8 *code = page_alloc(), *data = page_alloc();
    for (unsigned i = 0; i < ARRAY_SIZE(dense); i++) {
        repeated(&dense[i], code, data + 256);
        check(dense[i].name, true); /* it came back */
    }
}

/* ---- the end of the memory ---- */

enum { RAM_END = 0x8000000, FILL = 0x5a }; /* -m 128 */

static u8 *const end = (u8 *)RAM_END;
static u8 buffer[1024] __attribute__((aligned(64)));

/* An access of which so many bytes are still in memory, and whose rest is nobody's. */
#define ACROSS(name, inside, code, ...)                                                 \
    ({                                                                                  \
        memset(end - 64, FILL, 64);                                                     \
        struct trap t_ = TRY(code, ::"r"(end - (inside)), __VA_ARGS__);                 \
        check(name, t_.vector == NONE && end[-64] == FILL && end[-(inside)-1] == FILL); \
    })

static void stores_across(void)
{
    ACROSS("a store of 8 bytes", 4, "movq %%mm0, (%0)", "i"(0) : "memory");
    check("  what is in memory was stored", end[-1] != FILL || end[-2] != FILL || end[-4] != FILL);
    ACROSS("16 bytes", 9, "movups %%xmm0, (%0)", "i"(0) : "memory");
    ACROSS("fstp of 80 bits", 5, "fninit\n\tfld1\n\tfstpt (%0)", "i"(0) : "memory");
    ACROSS("fnsave", 60, "fnsave (%0)", "i"(0) : "memory");
    ACROSS("a locked add", 2, "lock addl $1, (%0)", "i"(0) : "memory", "cc");
    ACROSS("an exchange", 1, "xchg %w1, (%0)", "a"(7) : "memory");
    ACROSS("a push", 2,
           "mov %%" RSP ", %%" RCX "\n\tlea " WORD_BYTES "(%0), %%" RSP "\n\tpush %%" RAX "\n\tmov %%" RCX
           ", %%" RSP,
           "a"(7)
           : RCX, "memory");
    memset(end - 64, FILL, 64);
    void *to = end - 16;
    word count = 64;
    __asm__ volatile("rep stosb" : "+D"(to), "+c"(count) : "a"(1) : "memory");
    check("rep stosb", to == end + 48 && !count && end[-1] == 1 && end[-16] == 1 && end[-17] == FILL);
}

static void loads_across(void)
{
    memset(end - 64, FILL, 64);
    const void *from = end - 16;
    void *to = buffer;
    word count = 64;
    __asm__ volatile("rep movsb" : "+S"(from), "+D"(to), "+c"(count)::"memory");
    check("rep movsb", !count && buffer[0] == FILL && buffer[15] == FILL && buffer[16] == buffer[63]);
    u16 got;
    __asm__ volatile("movw (%1), %0" : "=r"(got) : "r"(end - 1) : "memory");
    check_eq("a load: its byte in memory", got & 0xff, FILL);
    struct trap t = TRY("fxrstor (%0)", ::"r"(end - 256) : "memory");
    check("fxrstor", t.vector == NONE || t.vector == GP);
    __asm__ volatile("fninit");
}

#ifdef __x86_64__
/* A page table in nobody's memory has zeroes or ones: not present, or reserved bits. */
static void tables_outside(void)
{
    page_map(TEST_VA, 0, PTE_P | PTE_W, 1);
    *page_entry(TEST_VA, 2) = RAM_END | PTE_P | PTE_W;
    write_cr3(read_cr3());
    struct trap t = TRY("mov (%0), %%eax", ::"r"(TEST_VA) : "rax", "memory");
    check("a page table outside", t.vector == PF && !(t.error & PF_P) == !(t.error & PF_RSVD));
}
#else
static void tables_outside(void)
{
}
#endif

int main(void)
{
    write_cr4(read_cr4() | CR4_OSFXSR);
    many_blocks();
    large_blocks();
    stores_across();
    loads_across();
    tables_outside();
    return 0;
}
