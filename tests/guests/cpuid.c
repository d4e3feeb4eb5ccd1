/* cpuid.c - CPUID tells the truth: what is offered works, and the leaves agree with each other (SDM 2A CPUID)
 */
/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "tests/guests/lib/guest.h"

/* An instruction of an extension works if it is offered, and is #UD if it is not. */
static void extension(const char *name, bool offered, struct trap t)
{
    if (!result(name, t.vector == (offered ? NONE : UD)))
        return;
    print(offered ? ": offered, and raises vector " : ": not offered, and ends with vector ");
    print_hex((u64)t.vector & 0xff);
    print("\n");
}

#define WORKS(name, offered, code) \
    extension(name, offered, TRY(code, ::"r"(memory) : "rax", "rcx", "rdx", "memory", "cc"))

static u8 memory[64] __attribute__((aligned(64)));

static void leaves(void)
{
    struct cpuid first = cpuid(0, 0), features = cpuid(1, 0), extended = cpuid(0x80000000, 0),
                 ext = cpuid(0x80000001, 0);
    check("basic leaves reach at least 13", first.a >= 13);
    check("extended leaves reach at least 0x80000008", extended.a >= 0x80000008);
    check("long mode, and its addresses", ext.d & BIT(29));
    struct cpuid size = cpuid(0x80000008, 0);
    check_eq("linear address bits agree with LA57", size.a >> 8 & 0xff, cpuid(7, 0).c & BIT(16) ? 57 : 48);
    check("physical addresses", (size.a & 0xff) >= 36);
    check_eq("APIC ID agrees with the APIC's own", features.b >> 24, *(volatile u32 *)0xfee00020ull >> 24);
    check_eq("the hypervisor bit", features.c >> 31, 1);
    check("FPU, TSC, MSR, PAE, CX8, APIC, PGE, CMOV, FXSR, SSE, SSE2",
          (features.d & 0x0700a371) == 0x0700a371);
    u64 base = rdmsr(0x1b);
    check_eq("APIC base: enabled, bootstrap processor, address", base & 0xfffffd00, 0xfee00900);
    if (features.d & BIT(19)) /* CLFSH */
        check_eq("line size", features.b >> 8 & 0xff, 8);
    check("brand string is there", cpuid(0x80000002, 0).a != 0);
}

static void extensions(void)
{
    struct cpuid f = cpuid(1, 0), s = cpuid(7, 0), e = cpuid(0x80000001, 0);
    if (f.c & BIT(26)) {
        write_cr4(read_cr4() | CR4_OSXSAVE);
        __asm__ volatile("xsetbv" ::"c"(0), "a"(cpuid(13, 0).a & 0xe7), "d"(0));
    }
    WORKS("SSE3", f.c & BIT(0), "addsubps %%xmm0, %%xmm0");
    WORKS("PCLMULQDQ", f.c & BIT(1), "pclmulqdq $0, %%xmm0, %%xmm0");
    /* KVM lets it do nothing where it is not offered (api.rst 7.31, KVM_X86_QUIRK_MWAIT_NEVER_UD_FAULTS). */
    WORKS("MONITOR", !on_tcg() || (f.c & BIT(3)),
          "mov %0, %%rax\n\txor %%ecx, %%ecx\n\txor %%edx, %%edx\n\tmonitor");
    WORKS("SSSE3", f.c & BIT(9), "pabsb %%xmm0, %%xmm0");
    WORKS("FMA", f.c & BIT(12), "vfmadd231ps %%xmm0, %%xmm0, %%xmm0");
    WORKS("CMPXCHG16B", f.c & BIT(13), "cmpxchg16b (%0)");
    WORKS("SSE4.1", f.c & BIT(19), "pmulld %%xmm0, %%xmm0");
    WORKS("SSE4.2", f.c & BIT(20), "pcmpgtq %%xmm0, %%xmm0");
    WORKS("MOVBE", f.c & BIT(22), "movbe (%0), %%eax");
    WORKS("POPCNT", f.c & BIT(23), "popcnt %%eax, %%eax");
    WORKS("AES", f.c & BIT(25), "aesenc %%xmm0, %%xmm0");
    WORKS("AVX", f.c & BIT(28), "vaddps %%ymm0, %%ymm0, %%ymm0");
    WORKS("F16C", f.c & BIT(29), "vcvtph2ps %%xmm0, %%ymm0");
    WORKS("RDRAND", f.c & BIT(30), "rdrand %%rax");
    WORKS("BMI1", s.b & BIT(3), "andn %%eax, %%eax, %%eax");
    WORKS("AVX2", s.b & BIT(5), "vpaddd %%ymm0, %%ymm0, %%ymm0");
    WORKS("BMI2", s.b & BIT(8), "shlx %%eax, %%eax, %%eax");
    WORKS("INVPCID", s.b & BIT(10), "mov $2, %%eax\n\tinvpcid (%0), %%rax");
    WORKS("RTM", s.b & BIT(11), "xbegin 1f\n\txend\n1:");
    WORKS("AVX512F", s.b & BIT(16), "vpaddd %%zmm0, %%zmm0, %%zmm0");
    WORKS("AVX512BW", s.b & BIT(30), "vpaddb %%zmm0, %%zmm0, %%zmm0");
    WORKS("AVX512_VBMI2", s.c & BIT(6), "vpcompressb %%zmm0, %%zmm0");
    WORKS("AVX512_BF16", cpuid(7, 1).a & BIT(5), "vcvtneps2bf16 %%zmm0, %%ymm0");
    tcg_differs("executes it");
    WORKS("RDSEED", s.b & BIT(18), "rdseed %%rax");
    WORKS("ADX", s.b & BIT(19), "adcx %%eax, %%eax");
    WORKS("SMAP", s.b & BIT(20), "clac");
    WORKS("CLFLUSHOPT", s.b & BIT(23), "clflushopt (%0)");
    WORKS("CLWB", s.b & BIT(24), "clwb (%0)");
    WORKS("SHA", s.b & BIT(29), "sha1msg1 %%xmm0, %%xmm0");
    if (!(s.c & BIT(3)))
        RAISES("PKU: not offered", GP, 0, "mov %0, %%cr4", ::"r"(read_cr4() | BIT(22)) : "memory");
    WORKS("VAES", s.c & BIT(9), "vaesenc %%ymm0, %%ymm0, %%ymm0");
    WORKS("GFNI", s.c & BIT(8), "gf2p8mulb %%xmm0, %%xmm0");
    WORKS("RDPID", s.c & BIT(22), "rdpid %%rax");
    WORKS("RDTSCP", e.d & BIT(27), "rdtscp");
    RAISES("VMX, not switched on", UD, 0, "vmxoff", ::: "memory");
    RAISES("SVM, not switched on", UD, 0, "clgi", ::: "memory");
    WORKS("LZCNT", true, "lzcnt %%eax, %%eax"); /* bsr where it is not offered */
    WORKS("SSE4A", e.c & BIT(6), "extrq $1, $1, %%xmm0");
    WORKS("3DNow!", e.d & BIT(31), ".byte 0x0f, 0x0f, 0xc0, 0x9e"); /* pfadd */
    WORKS("MWAITX", e.c & BIT(29), "mov %0, %%rax\n\txor %%ecx, %%ecx\n\txor %%edx, %%edx\n\tmonitorx");
    if (on_tcg()) {
        skip("XOP, FMA4, TBM", "TCG takes them for pop");
        return;
    }
    WORKS("XOP", e.c & BIT(11), ".byte 0x8f, 0xe9, 0x78, 0x80, 0xc0");     /* vfrczps */
    WORKS("FMA4", e.c & BIT(16), ".byte 0xc4, 0xe3, 0xf9, 0x68, 0xc0, 0"); /* vfmaddps */
    WORKS("TBM", e.c & BIT(21), ".byte 0x8f, 0xe9, 0x78, 0x01, 0xc8");     /* blcfill */
}

static void time_stamps(void)
{
    u64 before = rdtsc();
    u64 after = rdtsc();
    check("the TSC goes up", after > before);
    write_cr4(read_cr4() | CR4_TSD);
    NO_FAULT("rdtsc in ring 0 with TSD", "rdtsc", ::: "rax", "rdx", "memory");
    write_cr4(read_cr4() & ~(word)CR4_TSD);
    wrmsr(0x10, 1000);
    u64 set = rdtsc();
    tcg_differs("ignores a TSC that is written");
    check("a TSC that is written goes on from there", set >= 1000 && set < 1000000000);
    if (cpuid(0x80000001, 0).d & BIT(27)) {
        wrmsr(0xc0000103, 0x1234);
        u32 aux;
        __asm__ volatile("rdtscp" : "=c"(aux)::"rax", "rdx");
        check_eq("rdtscp has TSC_AUX", aux, 0x1234);
    }
}

static void model_specific(void)
{
    static const struct {
        const char *name;
        u32 index;
        u64 value;
    } kept[] = {
        {"STAR", STAR, 0x0023001000000000},
        {"LSTAR", LSTAR, 0xffffffff80001000},
        {"CSTAR", CSTAR, 0xffffffff80002000},
        {"SFMASK", SFMASK, 0x47700},
        {"FS.base", FS_BASE, 0x7fff12345678},
        {"GS.base", GS_BASE, 0xffff800000000000},
        {"KERNEL_GS_BASE", KERNEL_GS_BASE, 0xffffc00000000000},
        {"SYSENTER_CS", 0x174, 0x10},
        {"SYSENTER_ESP", 0x175, 0x123456},
        {"SYSENTER_EIP", 0x176, 0x654321},
        {"PAT", 0x277, 0x0007010600070106},
    };
    for (unsigned i = 0; i < ARRAY_SIZE(kept); i++) {
        u64 old = rdmsr(kept[i].index);
        wrmsr(kept[i].index, kept[i].value);
        check_eq(kept[i].name, rdmsr(kept[i].index), kept[i].value);
        wrmsr(kept[i].index, old);
    }
    tcg_differs("accepts every type");
    RAISES("PAT with a reserved type", GP, 0, "wrmsr", ::"c"(0x277), "a"(0x02), "d"(0) : "memory");
}

/* A hypervisor that says it is KVM has KVM's clock. */
static void paravirtual_clock(void)
{
    struct cpuid h = cpuid(0x40000000, 0);
    if (h.b != 0x4b4d564b || h.c != 0x564b4d56 || h.d != 0x4d) { /* "KVMKVMKVM" */
        skip("kvmclock", "the hypervisor is not KVM");
        return;
    }
    static const u32 generations[][2] = {{0x12, 0x11}, {0x4b564d01, 0x4b564d00}};
    for (unsigned i = 0; i < 2; i++) {
        struct {
            u32 version, pad;
            u64 tsc, system_time;
            u32 multiplier;
            signed char shift;
            u8 flags, pad2[2];
        } volatile *clock = page_alloc();
        volatile u32 *wall = page_alloc();
        wrmsr(generations[i][0], (u64)clock | 1);
        wrmsr(generations[i][1], (u64)wall);
        check("kvmclock: an even version, not zero", clock->version && !(clock->version & 1));
        check("  a multiplier", clock->multiplier != 0);
        check("  a time stamp that was", clock->tsc <= rdtsc());
        check("  a wall clock after 2020", wall[1] > 1577836800);
        wrmsr(generations[i][0], 0);
    }
}

int main(void)
{
    leaves();
    extensions();
    time_stamps();
    model_specific();
    paravirtual_clock();
    return 0;
}
