/* vector.c - x87, SSE and AVX: state across exceptions, FXSAVE, XSAVE, #NM, #MF, #XM (SDM 1 ch. 8 to 14; 3A
 * ch. 13) */
/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "tests/guests/lib/guest.h"

static u8 area[4096] __attribute__((aligned(64))), other[4096] __attribute__((aligned(64)));

static void nothing(struct frame *f)
{
    (void)f;
}

/* The state is there after an exception, and after the slow ways that memory can go. */
static void kept(void)
{
    u64 x[4], st;
    trap_handle(BP, nothing);
    __asm__ volatile("fninit\n\tfld1\n\tfldpi\n\t"
                     "movq %4, %%xmm0\n\tmovq %5, %%xmm7\n\tmovq %4, %%xmm15\n\t"
                     "int3\n\t"
                     "movq %%xmm0, %0\n\tmovq %%xmm7, %1\n\tmovq %%xmm15, %2\n\t"
                     "fstp %%st(0)\n\tfistpq %3"
                     : "=r"(x[0]), "=r"(x[1]), "=r"(x[2]), "=m"(st)
                     : "r"(0x1111222233334444), "r"(0x5555666677778888)
                     : "memory");
    trap_handle(BP, NULL);
    check("xmm across an exception",
          x[0] == 0x1111222233334444 && x[1] == 0x5555666677778888 && x[2] == x[0]);
    check_eq("the x87 stack across an exception", st, 1);
    u32 mxcsr = 0x3f80, back;
    __asm__ volatile("ldmxcsr %1\n\tcpuid\n\tstmxcsr %0"
                     : "=m"(back)
                     : "m"(mxcsr)
                     : "rax", "rbx", "rcx", "rdx", "memory");
    check_eq("MXCSR", back, mxcsr);
    mxcsr = 0x1f80;
    tcg_differs("accepts it");
    RAISES("a reserved bit of MXCSR", GP, 0, "ldmxcsr %0", ::"m"((u32){0x10000}) : "memory");
    __asm__ volatile("ldmxcsr %0" ::"m"(mxcsr));
    u16 control = 0x27f, control_back;
    __asm__ volatile("fldcw %1\n\tfnstcw %0\n\tfninit" : "=m"(control_back) : "m"(control));
    check_eq("x87 control word", control_back, control);
}

static void fxsave(void)
{
    __asm__ volatile(
        "fninit\n\tfld1\n\tmovq %1, %%xmm3\n\tfxsave64 (%0)\n\tfstp %%st(0)\n\tpxor %%xmm3, %%xmm3" ::"r"(
            area),
        "r"(0xabcdefull)
        : "memory");
    check_eq("FXSAVE: control word", *(u16 *)area, 0x37f);
    check_eq("FXSAVE: tags, abridged", area[4], 0x80);
    check_eq("FXSAVE: MXCSR", *(u32 *)(area + 24), 0x1f80);
    check_eq("FXSAVE: st0", *(u64 *)(area + 32), 0x8000000000000000);
    check_eq("FXSAVE: xmm3", *(u64 *)(area + 160 + 48), 0xabcdef);
    u64 x;
    __asm__ volatile("fxrstor64 (%1)\n\tmovq %%xmm3, %0\n\tfninit" : "=r"(x) : "r"(area) : "memory");
    check_eq("FXRSTOR: xmm3", x, 0xabcdef);
    RAISES("FXSAVE, unaligned", GP, 0, "fxsave (%0)", ::"r"(area + 8) : "memory");
    *(u32 *)(area + 24) = 0xffffffff;
    tcg_differs("accepts it");
    RAISES("FXRSTOR of a bad MXCSR", GP, 0, "fxrstor (%0)", ::"r"(area) : "memory");
}

static void not_available(void)
{
    write_cr0(read_cr0() | CR0_TS);
    RAISES("TS: x87", NM, 0, "fld1", ::: "memory");
    RAISES("TS: SSE", NM, 0, "movaps %%xmm0, %%xmm1", ::: "memory");
    RAISES("TS: SSE with memory", NM, 0, "movups (%0), %%xmm1", ::"r"(area) : "memory");
    RAISES("TS: fwait", NM, 0, "fwait", ::: "memory");
    RAISES("TS: fxsave", NM, 0, "fxsave (%0)", ::"r"(area) : "memory");
    RAISES("TS: before the page fault", NM, 0, "movups (%0), %%xmm1", ::"r"(TEST_VA) : "memory");
    __asm__ volatile("clts");
    NO_FAULT("after clts", "fld1\n\tfstp %%st(0)", ::: "memory");
    write_cr0((read_cr0() | CR0_EM) & ~(word)CR0_MP);
    RAISES("EM: x87", NM, 0, "fld1", ::: "memory");
    RAISES("EM: SSE", UD, 0, "movaps %%xmm0, %%xmm1", ::: "memory");
    write_cr0((read_cr0() & ~(word)CR0_EM) | CR0_MP);
    write_cr4(read_cr4() & ~(word)CR4_OSFXSR);
    RAISES("no OSFXSR: SSE", UD, 0, "movaps %%xmm0, %%xmm1", ::: "memory");
    write_cr4(read_cr4() | CR4_OSFXSR);
    NO_FAULT("OSFXSR again", "movaps %%xmm0, %%xmm1", ::: "memory");
}

static void numeric_exceptions(void)
{
    u16 unmasked = 0x37b; /* zero divide */
    struct trap t = TRY("fninit\n\tfldcw %0\n\tfld1\n\tfldz\n\tfdivrp\n\tnop\n\tfwait", ::"m"(unmasked)
                        : "memory");
    check_eq("x87 divide by zero: vector", (u64)t.vector, MF);
    u16 status;
    __asm__ volatile("fnstsw %0\n\tfninit" : "=m"(status));
    check_eq("  status word: ZE, ES", status & 0x84, 0x84);
    NO_FAULT("masked divide by zero", "fninit\n\tfld1\n\tfldz\n\tfdivrp\n\tfwait\n\tfninit", ::: "memory");
    u32 mxcsr = 0x1d80; /* zero divide unmasked */
    __asm__ volatile("ldmxcsr %0" ::"m"(mxcsr));
    t = TRY("pxor %%xmm1, %%xmm1\n\tcvtsi2sdl %0, %%xmm0\n\tdivsd %%xmm1, %%xmm0", ::"r"(1) : "memory");
    tcg_differs("raises no #XM");
    check_eq("SSE divide by zero: vector", (u64)t.vector, XM);
    tcg_differs("raises no #XM");
    check_eq("  at the instruction", t.offset, 8);
    __asm__ volatile("stmxcsr %0" : "=m"(mxcsr));
    check_eq("  MXCSR: ZE", mxcsr & 4, 4);
    mxcsr = 0x1d80;
    __asm__ volatile("ldmxcsr %0" ::"m"(mxcsr));
    write_cr4(read_cr4() & ~(word)CR4_OSXMMEXCPT);
    t = TRY("divsd %%xmm1, %%xmm0", ::: "memory");
    tcg_differs("raises no #XM");
    check_trap("without OSXMMEXCPT", t, UD, 0, 0);
    write_cr4(read_cr4() | CR4_OSXMMEXCPT);
    mxcsr = 0x1f80;
    __asm__ volatile("ldmxcsr %0" ::"m"(mxcsr));
}

static bool enable_xsave(void)
{
    if (!(cpuid(1, 0).c & BIT(26))) {
        skip("XSAVE and AVX", "not offered");
        return false;
    }
    RAISES("xgetbv without OSXSAVE", UD, 0, "xgetbv", ::"c"(0) : "rax", "rdx", "memory");
    check_eq("OSXSAVE in CPUID before", cpuid(1, 0).c >> 27 & 1, 0);
    write_cr4(read_cr4() | CR4_OSXSAVE);
    check_eq("OSXSAVE in CPUID after", cpuid(1, 0).c >> 27 & 1, 1);
    RAISES("XCR0 without x87", GP, 0, "xsetbv", ::"c"(0), "a"(2), "d"(0) : "memory");
    RAISES("XCR0 with AVX and without SSE", GP, 0, "xsetbv", ::"c"(0), "a"(5), "d"(0) : "memory");
    RAISES("XCR1", GP, 0, "xsetbv", ::"c"(1), "a"(1), "d"(0) : "memory");
    RAISES("reserved bit of XCR0", GP, 0, "xsetbv", ::"c"(0), "a"(3), "d"(0x40000000) : "memory");
    return true;
}

static void xsave(void)
{
    struct cpuid info = cpuid(13, 0);
    check_eq("XCR0 after reset", info.b, 576);
    if (!(info.a & 4)) {
        skip("AVX", "not offered");
        return;
    }
    RAISES("AVX before XCR0 allows it", UD, 0, "vxorps %%ymm0, %%ymm0, %%ymm0", ::: "memory");
    __asm__ volatile("xsetbv" ::"c"(0), "a"(7), "d"(0));
    u32 lo, hi;
    __asm__ volatile("xgetbv" : "=a"(lo), "=d"(hi) : "c"(0));
    check_eq("XCR0", (u64)hi << 32 | lo, 7);
    struct cpuid avx = cpuid(13, 2);
    check_eq("size of AVX state", avx.a, 256);
    check_eq("XSAVE area now", cpuid(13, 0).b, avx.b + 256);
    u64 in[4] = {1, 2, 3, 4}, out[4] = {0};
    trap_handle(BP, nothing);
    __asm__ volatile("vmovdqu (%0), %%ymm5\n\tint3\n\tvmovdqu %%ymm5, (%1)" ::"r"(in), "r"(out) : "memory");
    trap_handle(BP, NULL);
    check_eq("ymm across an exception", (u64)memcmp(in, out, 32), 0);
    memset(area, 0, sizeof(area));
    __asm__ volatile("fninit\n\tvzeroall\n\tvmovdqu (%1), %%ymm9\n\txsave64 (%0)\n\tvzeroall" ::"r"(area),
                     "r"(in), "a"(-1), "d"(-1)
                     : "memory");
    check_eq("XSAVE: the parts in use, SSE and AVX at least", area[512] & 6, 6);
    check_eq("XSAVE: low half", (u64)memcmp(area + 160 + 9 * 16, in, 16), 0);
    check_eq("XSAVE: high half", (u64)memcmp(area + avx.b + 9 * 16, in + 2, 16), 0);
    memset(out, 0, 32);
    __asm__ volatile("xrstor64 (%0)\n\tvmovdqu %%ymm9, (%1)" ::"r"(area), "r"(out), "a"(-1), "d"(-1)
                     : "memory");
    check_eq("XRSTOR", (u64)memcmp(in, out, 32), 0);
    /* Only what the mask asks for. */
    memset(other, 0xcc, sizeof(other));
    __asm__ volatile("xsave64 (%0)" ::"r"(other), "a"(2), "d"(0) : "memory");
    check("XSAVE of SSE alone leaves the rest",
          other[0] == 0xcc && other[avx.b] == 0xcc && other[160 + 9 * 16] == 1);
    /* What the header does not have goes to its initial state. */
    area[512] = 2;
    __asm__ volatile("xrstor64 (%0)\n\tvmovdqu %%ymm9, (%1)" ::"r"(area), "r"(out), "a"(-1), "d"(-1)
                     : "memory");
    check("XRSTOR without AVX in the header clears it", out[0] == 1 && out[1] == 2 && !out[2] && !out[3]);
    RAISES("XSAVE, unaligned", GP, 0, "xsave (%0)", ::"r"(area + 16), "a"(7), "d"(0) : "memory");
    area[512 + 16] = 1;
    tcg_differs("does not look at the header");
    RAISES("XRSTOR, reserved part of the header", GP, 0, "xrstor (%0)", ::"r"(area), "a"(7), "d"(0)
           : "memory");
    area[512 + 16] = 0;
    if (cpuid(13, 1).a & 1)
        NO_FAULT("XSAVEOPT", "xsaveopt (%0)", ::"r"(other), "a"(7), "d"(0) : "memory");
    if (!(cpuid(13, 1).a & 2))
        RAISES("XSAVEC is not offered", UD, 0, "xsavec (%0)", ::"r"(other), "a"(7), "d"(0) : "memory");
}

/* AVX with memory: crossing pages, and masked stores that touch nothing. */
static void avx_memory(void)
{
    if (!(cpuid(13, 0).a & 4) || !(cpuid(1, 0).c & BIT(28)))
        return;
    u8 *low = page_alloc();
    page_alloc();
    u8 *high = page_alloc();
    page_map(TEST_VA, (u64)low, PTE_P | PTE_W, 1);
    u64 *pte = page_map(TEST_VA + 4096, (u64)high, PTE_P | PTE_W, 1);
    u64 in[4] = {0x1111111111111111, 0x2222222222222222, 0x3333333333333333, 0x4444444444444444}, out[4];
    __asm__ volatile(
        "vmovdqu (%0), %%ymm0\n\tvmovdqu %%ymm0, (%1)\n\tvmovdqu (%1), %%ymm1\n\tvmovdqu %%ymm1, (%2)" ::"r"(
            in),
        "r"(TEST_VA + 4096 - 12), "r"(out)
        : "memory");
    check_eq("32 bytes over a page's edge", (u64)memcmp(in, out, 32), 0);
    check("  in both pages", low[4095] == 0x22 && high[0] == 0x22 && high[19] == 0x44);
    RAISES("vmovdqa, unaligned", GP, 0, "vmovdqa (%0), %%ymm1", ::"r"(TEST_VA + 16) : "memory");
    *pte = 0;
    invlpg(TEST_VA + 4096);
    memset(low + 4064, 0x77, 32);
    RAISES_PF("32 bytes to an absent second page", PF_W, TEST_VA + 4096, "vmovdqu %%ymm0, (%0)",
              ::"r"(TEST_VA + 4096 - 12)
              : "memory");
    tcg_differs("writes the first part");
    check("  nothing was written", low[4084] == 0x77 && low[4095] == 0x77);
    u64 mask[4] = {0, BIT(63), 0, 0};
    struct trap t =
        TRY("vmovdqu (%0), %%ymm2\n\tvmaskmovpd %%ymm0, %%ymm2, (%1)", ::"r"(mask), "r"(TEST_VA + 4096 - 16)
            : "memory");
    check_trap("a masked store to the absent page, masked there", t, NONE, 0, 0);
    check_eq("  wrote its one element", *(u64 *)(low + 4088), 0x2222222222222222);
    t = TRY("vmaskmovpd (%1), %%ymm2, %%ymm3\n\tvmovdqu %%ymm3, (%0)", ::"r"(out), "r"(TEST_VA + 4096 - 16)
            : "memory");
    tcg_differs("reads all of it");
    check_trap("a masked load from there", t, NONE, 0, 0);
    tcg_differs("reads all of it");
    check("  has its one element", !out[0] && out[1] == 0x2222222222222222 && !out[2] && !out[3]);
    if (!(cpuid(7, 0).b & BIT(5))) {
        skip("gather", "AVX2 is not offered");
        return;
    }
    u32 index[4] = {0, 8, 16, 4096}, mask32[4] = {~0u, ~0u, ~0u, 0}, got[4];
    for (unsigned i = 0; i < 3; i++)
        *(u32 *)(low + 8 * i) = 0x100 + i;
    t = TRY("vmovdqu (%0), %%xmm1\n\tvmovdqu (%1), %%xmm2\n\tvpxor %%xmm0, %%xmm0, %%xmm0\n\t"
            "vpgatherdd %%xmm2, (%3, %%xmm1), %%xmm0\n\tvmovdqu %%xmm0, (%2)",
            ::"r"(index), "r"(mask32), "r"(got), "r"(TEST_VA)
            : "memory");
    check_trap("a gather with one element masked that is absent", t, NONE, 0, 0);
    check("  its elements", got[0] == 0x100 && got[1] == 0x101 && got[2] == 0x102 && got[3] == 0);
    mask32[3] = ~0u;
    t = TRY("vmovdqu (%0), %%xmm1\n\tvmovdqu (%1), %%xmm2\n\tvpgatherdd %%xmm2, (%2, %%xmm1), %%xmm0",
            ::"r"(index), "r"(mask32), "r"(TEST_VA)
            : "memory");
    check_eq("a gather of an absent element: vector", (u64)t.vector, PF);
    check_eq("  cr2", t.cr2, TEST_VA + 4096);
}

int main(void)
{
    kept();
    fxsave();
    not_available();
    numeric_exceptions();
    if (enable_xsave()) {
        xsave();
        avx_memory();
    }
    return 0;
}
