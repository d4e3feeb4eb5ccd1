/* avx51232.c - AVX-512 in 32-bit code: eight registers, operands in segments with limits (SDM 2A 2.7.11) */
/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "tests/guests/lib/guest.h"

static u32 data[64] __attribute__((aligned(64)));
static u32 to[16] __attribute__((aligned(64)));

static void set_descriptor(unsigned selector, u32 base, u32 limit, unsigned type, unsigned flags)
{
    gdt[selector / 8] = (limit & 0xffff) | (u64)(base & 0xffffff) << 16 | (u64)type << 40 |
                        (u64)(limit >> 16 & 15) << 48 | (u64)flags << 52 | (u64)(base >> 24) << 56;
}

static void set_mask(u32 mask)
{
    __asm__ volatile("kmovd %0, %%k1" ::"r"(mask));
}

/* The element that the mask chooses is looked at, and no other one. */
static void limits(void)
{
    set_descriptor(GDT_FREE, (u32)data, 16 * 4 - 1, 0x93, 4);
    __asm__ volatile("mov %0, %%fs" ::"r"(GDT_FREE));
    set_mask(0x000f);
    NO_FAULT("a load, the part beyond the limit masked",
             "vmovdqu32 %%fs:48, %%zmm2%{%%k1%}%{z%}\n\tvmovdqu32 %%zmm2, %0",
             : "=m"(to)::"memory");
    check_eq("  its last element", to[3], data[15]);
    check_eq("  and the first that is masked", to[4], 0);
    set_mask(0x0010);
    RAISES("a load of an element beyond the limit", GP, 0, "vmovdqu32 %%fs:48, %%zmm2%{%%k1%}", ::: "memory");
    set_mask(0);
    NO_FAULT("a store of nothing", "vmovdqu32 %%zmm2, %%fs:64%{%%k1%}", ::: "memory");
    set_mask(3);
    NO_FAULT("a store of two elements", "vmovdqu32 %%zmm2, %%fs:56%{%%k1%}", ::: "memory");
    check_eq("  is in the segment", data[15], to[1]);
    RAISES("the second of them beyond the limit", GP, 0, "vmovdqu32 %%zmm2, %%fs:60%{%%k1%}", ::: "memory");
}

/* vmovd (%eax), %xmm2 with W, which 32-bit code ignores; vpaddd with bits that would name ZMM8 and ZMM16. */
static void encodings(void)
{
    u32 low, high;
    __asm__ volatile(".byte 0x62, 0xf1, 0xfd, 0x08, 0x6e, 0x10\n\t"
                     "vmovd %%xmm2, %0\n\tvpextrd $1, %%xmm2, %1"
                     : "=r"(low), "=r"(high)
                     : "a"(&data[4])
                     : "memory");
    check_eq("VMOVD with W", low, data[4]);
    check_eq("  moves four bytes", high, 0);
    __asm__ volatile("vmovd %1, %%xmm0\n\t.byte 0x62, 0xf1, 0x3d, 0x48, 0xfe, 0xc8\n\tvmovd %%xmm1, %0"
                     : "=r"(low)
                     : "r"(21));
    check_eq("the fourth bit of vvvv", low, 42);
}

int main(void)
{
    if (!(cpuid(7, 0).b & BIT(30)) || (cpuid(13, 0).a & 0xe7) != 0xe7) {
        skip("AVX-512", "the processor has none");
        check_eq("nor all its state components", (cpuid(13, 0).a & 0xe7) == 0xe7, 0);
        return 0;
    }
    write_cr4(read_cr4() | CR4_OSFXSR | CR4_OSXMMEXCPT | CR4_OSXSAVE);
    __asm__ volatile("xsetbv" ::"c"(0), "a"(0xe7), "d"(0));
    for (u32 i = 0; i < ARRAY_SIZE(data); i++)
        data[i] = 0x4000 + i;
    limits();
    encodings();
    return 0;
}
