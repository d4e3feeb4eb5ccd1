/* msr.c - model-specific registers: what exists, what may be written, and what a write does */
/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <linux/kvm_para.h>

#include "hypervisor/cpu/msr.h"
#include "hypervisor/irq/irq.h"
#include "tests/unit/cpu.h"
#include "tests/unit/test.h"

/* ---- what msr.c calls ---- */

static bool no_long_mode, deadline_set, lapic_refuses;
static u64 flushes, clock_updates;

bool cpuid_has(struct vcpu *vcpu, u32 leaf, u32 subleaf, unsigned reg, unsigned bit)
{
    (void)vcpu, (void)subleaf, (void)reg;
    return !(no_long_mode && leaf == 0x80000001 && bit == 29);
}

void tlb_flush_all(struct vcpu *vcpu)
{
    (void)vcpu;
    flushes++;
}

void kvmclock_update(struct vcpu *vcpu)
{
    (void)vcpu;
    clock_updates++;
}

void kvmclock_write_system_time(struct vcpu *vcpu, u64 msr)
{
    (void)vcpu, (void)msr;
}

void kvmclock_write_wall_clock(struct vm *vm, u64 msr)
{
    (void)vm, (void)msr;
}

void lapic_tsc_changed(struct vcpu *vcpu)
{
    (void)vcpu;
}

bool lapic_set_base(struct vcpu *vcpu, u64 value, bool host)
{
    (void)host;
    vcpu->apic_base = value;
    return !lapic_refuses;
}

bool lapic_msr_read(struct vcpu *vcpu, u32 index, u64 *value)
{
    (void)vcpu;
    *value = index;
    return index != 0x8ff;
}

bool lapic_msr_write(struct vcpu *vcpu, u32 index, u64 value)
{
    (void)vcpu, (void)value;
    return index != 0x8ff;
}

void lapic_set_tsc_deadline(struct vcpu *vcpu, u64 value)
{
    (void)vcpu, (void)value;
    deadline_set = true;
}

u64 lapic_get_tsc_deadline(struct vcpu *vcpu)
{
    (void)vcpu;
    return 77;
}

/* ---- */

static struct vm vm = {.tsc_khz = 1000000};

static void start(void)
{
    vcpu_new(LONG, 0);
    vm.vcpu_count = 0;
    v->vm = &vm;
    v->tsc_khz = vm.tsc_khz;
    v->maxphyaddr_mask = MASK(63, 46);
    v->mcg_cap = 10 | BIT(8);
    msr_power_up(v, true);
}

static u64 get(u32 index)
{
    u64 value = 0xbad;
    CHECK(msr_read(v, index, &value, false));
    return value;
}

static bool set(u32 index, u64 value)
{
    return msr_write(v, index, value, false);
}

static void plain(void)
{
    static const u32 indices[] = {MSR_STAR,
                                  MSR_LSTAR,
                                  MSR_CSTAR,
                                  MSR_SYSCALL_MASK,
                                  MSR_KERNEL_GS_BASE,
                                  MSR_FS_BASE,
                                  MSR_GS_BASE,
                                  MSR_IA32_SYSENTER_CS,
                                  MSR_IA32_SYSENTER_ESP,
                                  MSR_IA32_SYSENTER_EIP,
                                  MSR_TSC_AUX,
                                  MSR_IA32_MCG_STATUS};
    start();
    for (u64 i = 0; i < ARRAY_SIZE(indices); i++)
        CHECK(set(indices[i], 0x1000 + i));
    for (u64 i = 0; i < ARRAY_SIZE(indices); i++)
        CHECK_EQ(get(indices[i]), 0x1000 + i);
    CHECK_EQ(v->seg_base[SEG_FS], v->seg[SEG_FS].base);
    CHECK_EQ(v->seg[SEG_GS].base, 0x1006);
}

static void canonical(void)
{
    static const u32 indices[] = {MSR_LSTAR,   MSR_CSTAR,   MSR_KERNEL_GS_BASE,
                                  MSR_FS_BASE, MSR_GS_BASE, MSR_IA32_SYSENTER_EIP};
    start();
    for (unsigned i = 0; i < ARRAY_SIZE(indices); i++) {
        CHECK(!set(indices[i], BIT(47)));
        CHECK(!set(indices[i], BIT(63)));
        CHECK(set(indices[i], ~0ull << 47));
    }
}

static void unknown(void)
{
    u64 value;
    start();
    static const u32 indices[] = {0x48, 0x49, 0x6f, 0x480, 0xc0000105, 0x40000000, 0xffffffff, 0x4b564d09};
    for (unsigned i = 0; i < ARRAY_SIZE(indices); i++) {
        CHECK(!msr_read(v, indices[i], &value, true));
        CHECK(!msr_write(v, indices[i], 0, true));
    }
    CHECK(!set(MSR_MTRRCAP, 0));
    CHECK(!set(MSR_IA32_MCG_CAP, 0));
    CHECK(!set(MSR_IA32_ARCH_CAPABILITIES, 0));
}

/* Everything on the list can be read by user space and written back. */
static void listed(void)
{
    u64 value;
    start();
    for (unsigned i = 0; i < msr_index_count; i++) {
        CHECK(msr_read(v, msr_index_list[i], &value, true));
        CHECK(msr_write(v, msr_index_list[i], value, true));
    }
}

static void efer(void)
{
    start();
    v->efer = 0;
    CHECK(set(MSR_EFER, EFER_LME | EFER_SCE | EFER_NXE | EFER_LMA));
    CHECK_EQ(v->efer, EFER_LME | EFER_SCE | EFER_NXE); /* LMA is not written */
    CHECK(!set(MSR_EFER, EFER_SVME));
    v->cr0 |= CR0_PG;
    CHECK(!set(MSR_EFER, EFER_SCE));
    flushes = 0;
    CHECK(set(MSR_EFER, EFER_LME | EFER_SCE));
    CHECK_EQ(flushes, 1);
    no_long_mode = true;
    CHECK(!set(MSR_EFER, EFER_LME));
    CHECK(msr_write(v, MSR_EFER, EFER_LME, true));
    no_long_mode = false;
}

static void memory_types(void)
{
    start();
    CHECK(set(MSR_IA32_CR_PAT, 0x0007010600070106));
    CHECK(!set(MSR_IA32_CR_PAT, 0x02));
    CHECK(!set(MSR_IA32_CR_PAT, 0x0800000000000000));
    CHECK(set(MSR_MTRRdefType, BIT(11) | BIT(10) | 6));
    CHECK(!set(MSR_MTRRdefType, 7));
    CHECK(!set(MSR_MTRRdefType, BIT(9)));
    CHECK(set(MSR_MTRR_PHYSBASE0 + 14, 0x3ffffffff000 | 6));
    CHECK(!set(MSR_MTRR_PHYSBASE0 + 14, BIT(46) | 6));
    CHECK(!set(MSR_MTRR_PHYSBASE0 + 14, 2));
    CHECK(set(MSR_MTRR_PHYSBASE0 + 15, 0x3ffffffff000 | BIT(11)));
    CHECK(!set(MSR_MTRR_PHYSBASE0 + 15, BIT(10)));
    CHECK_EQ(get(MSR_MTRR_PHYSBASE0 + 14), 0x3ffffffff006);
    CHECK_EQ(get(MSR_MTRR_PHYSBASE0 + 15), 0x3ffffffff800);
    CHECK(set(MSR_MTRR_FIX64K_00000, 0x0606060606060606));
    CHECK(set(MSR_MTRR_FIX4K_C0000 + 7, 0x0505050505050505));
    CHECK(!set(MSR_MTRR_FIX4K_C0000, 0x0707070707070707));
    CHECK_EQ(get(MSR_MTRR_FIX4K_C0000 + 7), 0x0505050505050505);
    CHECK_EQ(get(MSR_MTRRCAP) & 0xff, 8);
}

static void machine_check(void)
{
    u64 value;
    start();
    CHECK(set(MSR_IA32_MC0_CTL, ~0ull));
    CHECK(set(MSR_IA32_MC0_CTL + 16, ~0ull & ~BIT(10)));
    CHECK(!set(MSR_IA32_MC0_CTL, 5));
    CHECK(set(MSR_IA32_MC0_CTL + 1, 0));
    CHECK(!set(MSR_IA32_MC0_CTL + 1, 1));
    CHECK(msr_write(v, MSR_IA32_MC0_CTL + 1, 1, true));
    CHECK(set(MSR_IA32_MC0_CTL + 39, 3));
    CHECK(!set(MSR_IA32_MC0_CTL + 40, 0)); /* the eleventh bank */
    CHECK(set(MSR_IA32_MCG_CTL, ~0ull));
    CHECK(!set(MSR_IA32_MCG_CTL, 1));
    v->mcg_cap = 0xff; /* more than there are */
    CHECK(set(MSR_IA32_MC0_CTL + 127, 0));
    CHECK(!msr_read(v, MSR_IA32_MC0_CTL + 128, &value, true));
    CHECK(!msr_read(v, MSR_IA32_MCG_CTL, &value, false));
}

static bool near(u64 a, u64 b)
{
    return a - b + 100000000 < 200000000;
}

static void tsc(void)
{
    start();
    CHECK(near(get(MSR_IA32_TSC), 0));
    clock_updates = 0;
    CHECK(set(MSR_IA32_TSC, 1ull << 40));
    CHECK(near(get(MSR_IA32_TSC), 1ull << 40));
    CHECK(near(get(MSR_IA32_TSC_ADJUST), 1ull << 40));
    CHECK_EQ(clock_updates, 1);
    u64 adjust = get(MSR_IA32_TSC_ADJUST);
    CHECK(set(MSR_IA32_TSC_ADJUST, adjust + (1ull << 50)));
    CHECK(near(get(MSR_IA32_TSC), (1ull << 40) + (1ull << 50)));
    CHECK(msr_write(v, MSR_IA32_TSC_ADJUST, 0, true)); /* the register alone */
    CHECK(near(get(MSR_IA32_TSC), (1ull << 40) + (1ull << 50)));
}

/* What user space writes to the second vcpu, a little later, means the same TSC. */
static void tsc_of_two(void)
{
    static struct vcpu first;
    start();
    first.tsc_offset = 5000 - host_tsc();
    vm.vcpu[0] = &first;
    vm.vcpu_count = 1;
    CHECK(msr_write(v, MSR_IA32_TSC, 5000, true));
    CHECK_EQ(v->tsc_offset, first.tsc_offset);
    CHECK(msr_write(v, MSR_IA32_TSC, 1ull << 50, true));
    CHECK(near(get(MSR_IA32_TSC), 1ull << 50));
    CHECK(msr_write(v, MSR_IA32_TSC, 0, true));
    CHECK_EQ(v->tsc_offset, first.tsc_offset);
    msr_power_up(v, false);
    CHECK_EQ(v->tsc_offset, first.tsc_offset);
    vm.vcpu_count = 0;
}

static void apic(void)
{
    u64 value;
    start();
    CHECK_EQ(get(MSR_IA32_APICBASE), 0xfee00900);
    CHECK(!set(MSR_IA32_APICBASE, 0xfee00c00)); /* no x2APIC without a local APIC here */
    CHECK(!set(0x808, 0));
    CHECK(!set(MSR_IA32_TSC_DEADLINE, 1));
    CHECK(msr_write(v, MSR_IA32_TSC_DEADLINE, 0, true));
    v->lapic = (struct lapic *)v;
    CHECK(set(0x808, 0));
    CHECK_EQ(get(0x80b), 0x80b);
    CHECK(!set(0x8ff, 0));
    CHECK(!msr_read(v, 0x8ff, &value, false));
    CHECK(set(MSR_IA32_TSC_DEADLINE, 1));
    CHECK(deadline_set);
    CHECK_EQ(get(MSR_IA32_TSC_DEADLINE), 77);
    lapic_refuses = true;
    CHECK(!set(MSR_IA32_APICBASE, 0));
}

static void paravirtual(void)
{
    u64 value;
    start();
    CHECK(set(MSR_KVM_SYSTEM_TIME_NEW, 0x1001));
    CHECK_EQ(get(MSR_KVM_SYSTEM_TIME), 0x1001);
    CHECK(set(MSR_KVM_WALL_CLOCK, 0x2000));
    CHECK_EQ(get(MSR_KVM_WALL_CLOCK_NEW), 0x2000);
    CHECK(set(MSR_KVM_STEAL_TIME, 0x2041));
    CHECK_EQ(get(MSR_KVM_STEAL_TIME), 0x2041);
    CHECK(!set(MSR_KVM_STEAL_TIME, 0x2021)); /* not a multiple of 64 */
    CHECK(!set(MSR_KVM_MIGRATION_CONTROL, 0));
    CHECK(!msr_read(v, MSR_KVM_MIGRATION_CONTROL, &value, false));
    CHECK(msr_read(v, MSR_KVM_MIGRATION_CONTROL, &value, true));
    CHECK(msr_write(v, MSR_KVM_MIGRATION_CONTROL, 0, true));
    CHECK(!msr_write(v, MSR_KVM_MIGRATION_CONTROL, 1, true));
    CHECK_EQ(get(MSR_KVM_POLL_CONTROL), 1);
    CHECK(set(MSR_KVM_POLL_CONTROL, 0));
    CHECK(!set(MSR_KVM_POLL_CONTROL, 2));
}

/* What KVM delivers through a local APIC cannot be asked for without one. */
static void without_local_apic(void)
{
    start();
    for (u32 index = MSR_KVM_PV_EOI_EN; index <= MSR_KVM_ASYNC_PF_INT; index++) {
        if (index == MSR_KVM_POLL_CONTROL)
            continue;
        CHECK(!set(index, 0));
        CHECK(msr_write(v, index, 0, true));
        CHECK_EQ(get(index), 0);
        CHECK(!msr_write(v, index, 1, true));
    }
    CHECK(set(MSR_KVM_ASYNC_PF_ACK, 1));
    CHECK_EQ(get(MSR_KVM_ASYNC_PF_ACK), 0);
}

static void configuration(void)
{
    start();
    u64 misc = get(MSR_IA32_MISC_ENABLE);
    CHECK(set(MSR_IA32_MISC_ENABLE, misc | MISC_ENABLE_MWAIT | BIT(7) | 1));
    CHECK_EQ(get(MSR_IA32_MISC_ENABLE), misc | MISC_ENABLE_MWAIT | 1);
    CHECK(!set(MSR_IA32_MISC_ENABLE, 1)); /* performance monitoring is unavailable */
    CHECK(msr_write(v, MSR_IA32_UCODE_REV, 0x1234, true));
    CHECK(set(MSR_IA32_UCODE_REV, 0));
    CHECK_EQ(get(MSR_IA32_UCODE_REV), 0x1234);
    CHECK(!set(MSR_SMI_COUNT, 1));
    CHECK(msr_write(v, MSR_SMI_COUNT, 1, true));
    CHECK(!set(MSR_K7_HWCR, BIT(30)));
    CHECK(!set(MSR_IA32_DEBUGCTL, BIT(6)));
    CHECK_EQ(get(MSR_K7_EVNTSEL0 + 7), 0);
    CHECK_EQ(get(MSR_IA32_FEAT_CTL), 1);
    CHECK(set(MSR_TSC_AUX, 2));
    CHECK(!set(MSR_TSC_AUX, 0x100000003));
    CHECK_EQ(get(MSR_TSC_AUX), 2);
    cpu_vendor = "AuthenticAMD";
    CHECK(set(MSR_TSC_AUX, 0x100000003));
    CHECK_EQ(get(MSR_TSC_AUX), 3);
    cpu_vendor = "GenuineIntel";
}

int main(void)
{
    plain();
    canonical();
    unknown();
    listed();
    efer();
    memory_types();
    machine_check();
    tsc();
    tsc_of_two();
    apic();
    paravirtual();
    without_local_apic();
    configuration();
    return TEST_DONE();
}
