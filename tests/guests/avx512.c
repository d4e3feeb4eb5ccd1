/* avx512.c - AVX-512: state, opmasks that suppress faults, gathers and scatters (SDM 1 ch. 15; 2A 2.7) */
/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "tests/guests/lib/guest.h"

static u8 area[4096] __attribute__((aligned(64)));
static u32 from[16] __attribute__((aligned(64))), to[16] __attribute__((aligned(64)));

/* Two pages, of which only the first is there; edge is where it ends. */
static u8 *const edge = (u8 *)TEST_VA + 4096;
static u64 *second_page;

static void nothing(struct frame *f)
{
    (void)f;
}

static void set_xcr0(u32 value)
{
    __asm__ volatile("xsetbv" ::"c"(0), "a"(value), "d"(0));
}

static void enabling(void)
{
    write_cr4(read_cr4() | CR4_OSXSAVE);
    struct cpuid state = cpuid(13, 0);
    check_eq("XCR0 has all of AVX-512", state.a & 0xe0, 0xe0);
    RAISES("XCR0: only the opmasks", GP, 0, "xsetbv", ::"c"(0), "a"(0x27), "d"(0) : "memory");
    RAISES("XCR0: without ZMM16 to ZMM31", GP, 0, "xsetbv", ::"c"(0), "a"(0x67), "d"(0) : "memory");
    RAISES("XCR0: without AVX", GP, 0, "xsetbv", ::"c"(0), "a"(0xe3), "d"(0) : "memory");
    set_xcr0(7);
    check_eq("XSAVE area with AVX", cpuid(13, 0).b, 832);
    RAISES("without XCR0: a ZMM register", UD, 0, "vpaddd %%zmm0, %%zmm0, %%zmm0", ::: "memory");
    RAISES("without XCR0: XMM16", UD, 0, "vpaddd %%xmm16, %%xmm0, %%xmm0", ::: "memory");
    RAISES("without XCR0: an opmask", UD, 0, "kmovw %%k1, %%eax", ::: "rax", "memory");
    set_xcr0(0xe7);
    check_eq("XSAVE area with AVX-512", cpuid(13, 0).b, state.c);
    write_cr0(read_cr0() | CR0_TS);
    RAISES("TS: a ZMM register", NM, 0, "vpaddd %%zmm0, %%zmm0, %%zmm0", ::: "memory");
    RAISES("TS: an opmask", NM, 0, "kmovw %%k1, %%eax", ::: "rax", "memory");
    RAISES("TS: a scatter", NM, 0, "vpscatterdd %%zmm0, (%0,%%zmm1)%{%%k1%}", ::"r"(to) : "memory");
    write_cr0(read_cr0() & ~(word)CR0_TS);
}

static void set_mask(u64 mask)
{
    __asm__ volatile("kmovq %0, %%k1" ::"r"(mask));
}

static bool same(const u32 *a, const u32 *b)
{
    return !memcmp(a, b, 64);
}

static void state(void)
{
    u64 k;
    for (u32 i = 0; i < 16; i++)
        from[i] = 0x1000 + i;
    trap_handle(BP, nothing);
    __asm__ volatile("vmovdqu32 %2, %%zmm31\n\tkmovq %3, %%k7\n\tint3\n\t"
                     "xor %%eax, %%eax\n\tcpuid\n\tvmovdqu32 %%zmm31, %0\n\tkmovq %%k7, %1"
                     : "=m"(to), "=&r"(k)
                     : "m"(from), "r"(0x123456789abcdef0)
                     : "rax", "rbx", "rcx", "rdx", "memory");
    trap_handle(BP, NULL);
    check("ZMM31 across an exception", same(to, from));
    check_eq("k7 across an exception", k, 0x123456789abcdef0);
    __asm__ volatile("xsavec64 (%2)\n\tvpxorq %%zmm31, %%zmm31, %%zmm31\n\tkxorq %%k7, %%k7, %%k7\n\t"
                     "xrstor64 (%2)\n\tvmovdqu32 %%zmm31, %0\n\tkmovq %%k7, %1"
                     : "=m"(to), "=&r"(k)
                     : "r"(area), "a"(~0u), "d"(0)
                     : "memory");
    check("ZMM31 through XSAVEC and XRSTOR", same(to, from));
    check_eq("k7 through XSAVEC and XRSTOR", k, 0x123456789abcdef0);
    check_eq("XCOMP_BV", *(u64 *)(area + 520), BIT(63) | 0xe7);
    check_eq("k7 in the compacted format", *(u64 *)(area + 576 + 256 + 56), k);
    __asm__ volatile("xsave64 (%0)" ::"r"(area), "a"(~0u), "d"(0) : "memory");
    check_eq("k7 in the standard format", *(u64 *)(area + cpuid(13, 5).b + 56), k);
    check("ZMM31 in the standard format", same((u32 *)(area + cpuid(13, 7).b + 960), from));
}

/* ---- masked accesses at the end of a page ---- */

static void masked_loads(void)
{
    set_mask(0x00ff);
    NO_FAULT("a load, the rest masked", "vmovdqu32 (%1), %%zmm2%{%%k1%}%{z%}\n\tvmovdqu32 %%zmm2, %0",
             : "=m"(to)
             : "r"(edge - 32)
             : "memory");
    check("  has the elements", !memcmp(to, edge - 32, 32) && !to[8] && !to[15]);
    set_mask(0x01ff);
    RAISES_PF("a load of one element more", 0, (u64)edge, "vmovdqu32 (%0), %%zmm2%{%%k1%}", ::"r"(edge - 32)
              : "memory");
    set_mask(0x8000);
    RAISES_PF("a load, where only the last one faults", 0, (u64)edge + 28, "vmovdqu32 (%0), %%zmm2%{%%k1%}",
              ::"r"(edge - 32)
              : "memory");
    set_mask(0);
    NO_FAULT("a load of nothing", "vmovdqu8 (%0), %%zmm2%{%%k1%}", ::"r"(edge) : "memory");
    NO_FAULT("a broadcast of nothing", "vpaddd (%0)%{1to16%}, %%zmm2, %%zmm2%{%%k1%}", ::"r"(edge)
             : "memory");
    NO_FAULT("a load of nothing from where no address is", "vmovdqu8 (%0), %%zmm2%{%%k1%}",
             ::"r"(0x8000000000000000)
             : "memory");
    set_mask(0x8000);
    RAISES_PF("a broadcast for one element", 0, (u64)edge, "vpaddd (%0)%{1to16%}, %%zmm2, %%zmm2%{%%k1%}",
              ::"r"(edge)
              : "memory");
    set_mask(0xf0f0f0f0);
    NO_FAULT("an expanding load", "vpexpandb (%0), %%ymm2%{%%k1%}", ::"r"(edge - 16) : "memory");
    RAISES_PF("an expanding load of too many", 0, (u64)edge, "vpexpandb (%0), %%ymm2%{%%k1%}",
              ::"r"(edge - 15)
              : "memory");
}

static void masked_stores(void)
{
    memset(edge - 64, 0x11, 64);
    set_mask(0x0055);
    NO_FAULT("a store, the rest masked", "vmovdqu32 %1, %%zmm2\n\tvmovdqu32 %%zmm2, (%0)%{%%k1%}",
             ::"r"(edge - 32), "m"(from)
             : "memory");
    check_eq("  writes the chosen", *(u32 *)(edge - 24), from[2]);
    check_eq("  leaves the others", *(u32 *)(edge - 28), 0x11111111);
    set_mask(0x0155);
    memset(edge - 64, 0x11, 64);
    RAISES_PF("a store of one element more", PF_W, (u64)edge, "vmovdqu32 %%zmm2, (%0)%{%%k1%}",
              ::"r"(edge - 32)
              : "memory");
    check_eq("  has written nothing", *(u32 *)(edge - 32), 0x11111111);
    set_mask(0x8421);
    NO_FAULT("a compressing store", "vpcompressd %%zmm2, (%0)%{%%k1%}", ::"r"(edge - 16) : "memory");
    check_eq("  first", *(u32 *)(edge - 16), from[0]);
    check_eq("  last", *(u32 *)(edge - 4), from[15]);
    set_mask(0x00ff);
    NO_FAULT("a narrowing store", "vpmovdb %%zmm2, (%0)%{%%k1%}", ::"r"(edge - 8) : "memory");
    check_eq("  its last byte", edge[-1], (u8)from[7]);
    RAISES("an aligned store that is not", GP, 0, "vmovdqa32 %%zmm2, (%0)%{%%k1%}", ::"r"(edge - 36)
           : "memory");
    set_mask(1);
    RAISES_PF("VEXTRACT's faults are not suppressed", PF_W, (u64)edge,
              "vextracti32x4 $1, %%zmm2, (%0)%{%%k1%}", ::"r"(edge - 4)
              : "memory");
}

/* Of the local APIC's registers only the chosen one: the destination, which does not send the command beside
 * it.
 */
static void devices(void)
{
    enum { DESTINATION = 4 };
    volatile u32 *command = (u32 *)0xfee00300;
    from[DESTINATION] = 0x2b000000;
    set_mask(BIT(DESTINATION));
    command[DESTINATION] = 0;
    u32 before = command[0];
    __asm__ volatile("vmovdqu32 %1, %%zmm2\n\tvmovdqu32 %%zmm2, (%0)%{%%k1%}" ::"r"(command), "m"(from)
                     : "memory");
    check_eq("a masked store to a device", command[DESTINATION], 0x2b000000);
    check_eq("  leaves the next register", command[0], before);
    __asm__ volatile("vmovdqu32 (%1), %%zmm2%{%%k1%}%{z%}\n\tvmovdqu32 %%zmm2, %0"
                     : "=m"(to)
                     : "r"(command)
                     : "memory");
    check_eq("a masked load from a device", to[DESTINATION], 0x2b000000);
    from[DESTINATION] = 0x1000 + DESTINATION;
}

/* ---- gathers and scatters ---- */

static unsigned faults;

static void map_second(struct frame *f)
{
    (void)f;
    faults++;
    *second_page |= PTE_P;
    invlpg((word)edge);
}

static void unmap_second(void)
{
    *second_page &= ~(u64)PTE_P;
    invlpg((word)edge);
}

/* Elements go from the page that is there to the one that is not, and back. */
static void restarts(void)
{
    static u32 indices[16] __attribute__((aligned(64)));
    u64 left;
    for (u32 i = 0; i < 16; i++)
        indices[i] = i % 4 == 3 ? i : i - 16;
    trap_handle(PF, map_second);
    set_mask(0xfff7);
    faults = 0;
    __asm__ volatile("vmovdqu32 %2, %%zmm2\n\tvmovdqu32 %3, %%zmm3\n\t"
                     "vpscatterdd %%zmm2, (%1,%%zmm3,4)%{%%k1%}\n\tkmovq %%k1, %0"
                     : "=r"(left)
                     : "r"(edge), "m"(from), "m"(indices)
                     : "memory");
    check_eq("a scatter faults once", faults, 1);
    check_eq("  and ends with an empty mask", left, 0);
    bool good = true;
    for (u32 i = 0; i < 16; i++)
        good &= i == 3 || *(u32 *)(edge + 4 * (s32)indices[i]) == from[i];
    check("  having written its elements", good);
    unmap_second();
    faults = 0;
    set_mask(0xfff7);
    memset(to, 0x22, sizeof(to));
    __asm__ volatile("vmovdqu32 %0, %%zmm18\n\tvmovdqu32 %2, %%zmm19\n\t"
                     "vpgatherdd (%1,%%zmm19,4), %%zmm18%{%%k1%}\n\tvmovdqu32 %%zmm18, %0"
                     : "+m"(to)
                     : "r"(edge), "m"(indices)
                     : "memory");
    check_eq("a gather faults once", faults, 1);
    good = true;
    for (u32 i = 0; i < 16; i++)
        good &= to[i] == (i == 3 ? 0x22222222 : from[i]);
    check("  and has its elements", good);
    trap_handle(PF, NULL);
    unmap_second();
    set_mask(0x0c);
    RAISES_PF("a scatter that stays in the middle", PF_W, (u64)edge + 12,
              "vpscatterdd %%zmm2, (%0,%%zmm3,4)%{%%k1%}", ::"r"(edge)
              : "memory");
    __asm__ volatile("kmovq %%k1, %0" : "=r"(left));
    check_eq("  has taken what it did out of its mask", left, 8);
}

int main(void)
{
    if (!(cpuid(7, 0).b & BIT(16)) || !(cpuid(7, 0).b & BIT(30))) {
        skip("AVX-512", "the processor has none");
        check_eq("nor state components for it", cpuid(13, 0).a & 0xe0, 0);
        return 0;
    }
    page_map(TEST_VA, (u64)page_alloc(), PTE_P | PTE_W, 1);
    second_page = page_map(TEST_VA + 4096, (u64)page_alloc(), PTE_W, 1);
    enabling();
    state();
    masked_loads();
    masked_stores();
    devices();
    restarts();
    return 0;
}
