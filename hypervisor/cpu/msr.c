/* msr.c - model-specific registers (SDM 4 ch. 2; APM vol. 2 app. A; Documentation/virt/kvm/x86/msr.rst) */
/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * One table, sorted by index. A row is a register or a range of them; a plain one names the field of struct
 * vcpu that holds it. A row without a write function is read-only. All other indices do not exist: #GP.
 */
#include <linux/kvm_para.h>

#include "hypervisor/cpu/msr.h"
#include "hypervisor/cpu/msr_exit.h"
#include "hypervisor/cpu/vcpu.h"
#include "hypervisor/irq/irq.h"
#include "hypervisor/vm.h"

struct access {
    u32 nth;   /* of the row's range */
    u32 index; /* the MSR */
    u32 field; /* offset in struct vcpu of the row's first one */
    bool host; /* from an ioctl */
};

struct msr {
    u32 first, last;
    bool (*read)(struct vcpu *v, const struct access *a, u64 *value);
    bool (*write)(struct vcpu *v, const struct access *a, u64 value); /* false: #GP */
    u32 field;
    u32 pv; /* KVM_FEATURE_* that goes with it */
};

static u64 *field_of(struct vcpu *v, const struct access *a)
{
    return (u64 *)((char *)v + a->field) + a->nth;
}

static bool field_read(struct vcpu *v, const struct access *a, u64 *value)
{
    *value = *field_of(v, a);
    return true;
}

static bool field_write(struct vcpu *v, const struct access *a, u64 value)
{
    *field_of(v, a) = value;
    return true;
}

static bool canonical_write(struct vcpu *v, const struct access *a, u64 value)
{
    return is_canonical(value) && field_write(v, a, value);
}

/* Registers that only user space sets. */
static bool host_write(struct vcpu *v, const struct access *a, u64 value)
{
    return a->host && field_write(v, a, value);
}

static bool zero_read(struct vcpu *v, const struct access *a, u64 *value)
{
    (void)v, (void)a;
    *value = 0;
    return true;
}

static bool ignored_write(struct vcpu *v, const struct access *a, u64 value)
{
    (void)v, (void)a, (void)value;
    return true;
}

/* ---- time ---- */

static bool tsc_read(struct vcpu *v, const struct access *a, u64 *value)
{
    (void)a;
    *value = guest_tsc(v);
    return true;
}

/* User space that restores a guest reads its page as it was saved (QEMU does, to go on from there): what user
 * space writes changes the page when the vcpu runs. */
static void clock_changed(struct vcpu *v, bool by_host)
{
    if (by_host)
        atomic_fetch_or(&v->requests, REQ_CLOCK); /* it is not running: its ioctls come one at a time */
    else
        kvmclock_update(v);
}

static void tsc_changed(struct vcpu *v, bool by_host)
{
    clock_changed(v, by_host);
    if (v->lapic)
        lapic_tsc_changed(v);
}

void tsc_set_offset(struct vcpu *v, u64 offset, bool by_host)
{
    v->tsc_offset = offset;
    tsc_changed(v, by_host);
}

void tsc_set_khz(struct vcpu *v, u32 khz)
{
    u32 host = host_tsc_khz();
    v->tsc_khz = khz;
    v->tsc_ratio = khz == host ? 0 : (u64)(((unsigned __int128)khz << TSC_RATIO_BITS) / host);
    tsc_changed(v, true);
}

/* User space cannot write the TSCs of several vcpus at one instant. So a value within a second of the first
 * vcpu's is taken as meant to be equal to it, and 0, which it writes at start, as no wish at all (api.rst,
 * KVM_SET_MSRS). */
static u64 tsc_synchronized_offset(const struct vcpu *v, u64 value)
{
    const struct vcpu *first = v->vm->vcpu_count ? v->vm->vcpu[0] : v;
    u64 offset = value - tsc_scale(v, host_tsc()), second = (u64)v->tsc_khz * 1000;
    if (v->tsc_ratio != first->tsc_ratio)
        return offset;
    bool close = offset - first->tsc_offset + second < 2 * second;
    return value == 0 || close ? first->tsc_offset : offset;
}

static bool tsc_write(struct vcpu *v, const struct access *a, u64 value)
{
    u64 offset = a->host ? tsc_synchronized_offset(v, value) : value - tsc_scale(v, host_tsc());
    if (!a->host)
        v->tsc_adjust += offset - v->tsc_offset;
    if (offset != v->tsc_offset)
        tsc_set_offset(v, offset, a->host);
    return true;
}

/* The guest moves its TSC by the difference; user space restores the register only. */
static bool tsc_adjust_write(struct vcpu *v, const struct access *a, u64 value)
{
    u64 difference = value - v->tsc_adjust;
    v->tsc_adjust = value;
    if (!a->host && difference)
        tsc_set_offset(v, v->tsc_offset + difference, a->host);
    return true;
}

static bool tsc_deadline_read(struct vcpu *v, const struct access *a, u64 *value)
{
    (void)a;
    *value = v->lapic ? lapic_get_tsc_deadline(v) : 0;
    return true;
}

static bool tsc_deadline_write(struct vcpu *v, const struct access *a, u64 value)
{
    if (!v->lapic)
        return a->host && value == 0;
    lapic_set_tsc_deadline(v, value);
    return true;
}

static bool kvmclock_write(struct vcpu *v, const struct access *a, u64 value)
{
    v->kvmclock_msr = value;
    clock_changed(v, a->host);
    return true;
}

static bool wall_clock_write(struct vcpu *v, const struct access *a, u64 value)
{
    v->wall_clock_msr = value;
    if (!a->host)
        kvmclock_write_wall_clock(v->vm, value);
    return true;
}

static bool steal_time_write(struct vcpu *v, const struct access *a, u64 value)
{
    (void)a;
    return steal_write(v, value);
}

static bool async_pf_en_write(struct vcpu *v, const struct access *a, u64 value)
{
    (void)a;
    return async_pf_write(v, value);
}

/* The vector of the interrupt that tells of pages that have come. */
static bool async_pf_int_write(struct vcpu *v, const struct access *a, u64 value)
{
    return v->lapic ? value <= UINT8_MAX && field_write(v, a, value) : a->host && value == 0;
}

static bool pv_eoi_en_write(struct vcpu *v, const struct access *a, u64 value)
{
    return v->lapic ? pv_eoi_write(v, value) : a->host && value == 0;
}

/* Bit 0: the hypervisor may wait awake for a while when the guest halts. */
static bool poll_control_write(struct vcpu *v, const struct access *a, u64 value)
{
    return value <= 1 && field_write(v, a, value);
}

/* CPUID does not offer it, and user space may only confirm that. */
static bool unoffered_write(struct vcpu *v, const struct access *a, u64 value)
{
    (void)v;
    return a->host && value == 0;
}

/* ---- local APIC ---- */

static bool apic_base_write(struct vcpu *v, const struct access *a, u64 value)
{
    enum { RESERVED = 0x2ff, X2APIC = BIT(10) };
    if (v->lapic)
        return lapic_set_base(v, value, a->host);
    return !(value & (RESERVED | X2APIC | v->maxphyaddr_mask)) && field_write(v, a, value);
}

static bool x2apic_read(struct vcpu *v, const struct access *a, u64 *value)
{
    return v->lapic && lapic_msr_read(v, a->index, value);
}

static bool x2apic_write(struct vcpu *v, const struct access *a, u64 value)
{
    return v->lapic && lapic_msr_write(v, a->index, value);
}

/* ---- memory types (SDM 3A 11.11, 11.12): kept and checked, without effect here ---- */

enum { MEMORY_TYPES = BIT(0) | BIT(1) | BIT(4) | BIT(5) | BIT(6), PAT_TYPES = MEMORY_TYPES | BIT(7) };

static bool memory_types_are_valid(u64 value, unsigned count, u32 allowed)
{
    for (unsigned i = 0; i < count; i++) {
        u8 type = value >> (8 * i) & 0xff;
        if (type > 7 || !(allowed & BIT(type)))
            return false;
    }
    return true;
}

static bool pat_write(struct vcpu *v, const struct access *a, u64 value)
{
    return memory_types_are_valid(value, 8, PAT_TYPES) && field_write(v, a, value);
}

static bool mtrr_fixed_write(struct vcpu *v, const struct access *a, u64 value)
{
    return memory_types_are_valid(value, 8, MEMORY_TYPES) && field_write(v, a, value);
}

static bool mtrr_cap_read(struct vcpu *v, const struct access *a, u64 *value)
{
    enum { FIXED = BIT(8), WRITE_COMBINING = BIT(10) };
    (void)a;
    *value = FIXED | WRITE_COMBINING | ARRAY_SIZE(v->mtrr_base);
    return true;
}

static bool mtrr_def_type_write(struct vcpu *v, const struct access *a, u64 value)
{
    enum { TYPE = 0xff, FE = BIT(10), E = BIT(11) };
    if (value & ~(u64)(TYPE | FE | E) || !memory_types_are_valid(value, 1, MEMORY_TYPES))
        return false;
    return field_write(v, a, value);
}

/* IA32_MTRR_PHYSBASEn and PHYSMASKn alternate. */
static u64 *mtrr_variable(struct vcpu *v, const struct access *a)
{
    u32 n = a->nth;
    return n & 1 ? &v->mtrr_mask[n / 2] : &v->mtrr_base[n / 2];
}

static bool mtrr_variable_read(struct vcpu *v, const struct access *a, u64 *value)
{
    *value = *mtrr_variable(v, a);
    return true;
}

static bool mtrr_variable_write(struct vcpu *v, const struct access *a, u64 value)
{
    enum { MASK_RESERVED = 0x7ff, BASE_RESERVED = 0xf00 };
    bool is_mask = a->nth & 1;
    u64 reserved = v->maxphyaddr_mask | (is_mask ? MASK_RESERVED : BASE_RESERVED);
    if ((value & reserved) || (!is_mask && !memory_types_are_valid(value & 0xff, 1, MEMORY_TYPES)))
        return false;
    *mtrr_variable(v, a) = value;
    return true;
}

/* ---- machine checks (SDM 3B 15.3) ---- */

enum { MCG_COUNT = 0xff };
enum { HWCR_MC_STATUS_WR_EN = BIT(18), HWCR_TSC_FREQ_SEL = BIT(24) }; /* of AMD */

static bool mcg_ctl_write(struct vcpu *v, const struct access *a, u64 value)
{
    if (!(v->mcg_cap & MCG_CTL_P))
        return a->host && value == 0;
    return (value == 0 || value == ~0ull) && field_write(v, a, value);
}

static bool mcg_ctl_read(struct vcpu *v, const struct access *a, u64 *value)
{
    return (a->host || (v->mcg_cap & MCG_CTL_P)) && field_read(v, a, value);
}

static bool mc_bank_exists(const struct vcpu *v, const struct access *a)
{
    return a->nth / 4 < (v->mcg_cap & MCG_COUNT);
}

static bool mc_bank_read(struct vcpu *v, const struct access *a, u64 *value)
{
    return mc_bank_exists(v, a) && field_read(v, a, value);
}

/* APM vol. 2 9.3.2.1, McStatusWrEn: for tests of the handler. */
static bool may_set_status(struct vcpu *v)
{
    return cpuid_is_amd(v) && (v->hwcr & HWCR_MC_STATUS_WR_EN);
}

/* IA32_MCi_CTL takes all ones or zeros, but that Linux clears bit 10 in bank 4 on AMD; a guest may only clear
 * IA32_MCi_STATUS. */
static bool mc_bank_write(struct vcpu *v, const struct access *a, u64 value)
{
    enum { CTL, STATUS };
    unsigned which = a->nth & 3;
    if (!mc_bank_exists(v, a))
        return false;
    if (which == CTL && value && (value | BIT(10)) != ~0ull)
        return false;
    if (which == STATUS && value && !a->host && !may_set_status(v))
        return false;
    return field_write(v, a, value);
}

/* IA32_MCi_CTL2: whether corrected errors interrupt (16.5). */
static bool mc_ctl2_exists(const struct vcpu *v, const struct access *a)
{
    return a->nth < (v->mcg_cap & MCG_COUNT) && (a->host || (v->mcg_cap & MCG_CMCI_P));
}

static bool mc_ctl2_read(struct vcpu *v, const struct access *a, u64 *value)
{
    return mc_ctl2_exists(v, a) && field_read(v, a, value);
}

static bool mc_ctl2_write(struct vcpu *v, const struct access *a, u64 value)
{
    enum { THRESHOLD = 0x7fff };
    u64 allowed = v->mcg_cap & MCG_CMCI_P ? MCI_CTL2_CMCI_EN | THRESHOLD : 0;
    return mc_ctl2_exists(v, a) && !(value & ~allowed) && field_write(v, a, value);
}

/* ---- system calls, segments, EFER ---- */

static u64 efer_allowed(struct vcpu *v)
{
    u64 allowed = 0;
    if (cpuid_has(v, 0x80000001, 0, 3, 11))
        allowed |= EFER_SCE;
    if (cpuid_has(v, 0x80000001, 0, 3, 20))
        allowed |= EFER_NXE;
    if (cpuid_has(v, 0x80000001, 0, 3, 29))
        allowed |= EFER_LME | EFER_LMA;
    return allowed;
}

/* LMA follows CR0.PG and is not written. LME cannot change while paging is on (SDM 3A 2.2.1). */
static bool efer_write(struct vcpu *v, const struct access *a, u64 value)
{
    const u64 defined = EFER_SCE | EFER_LME | EFER_LMA | EFER_NXE;
    if (value & ~(a->host ? defined : efer_allowed(v)))
        return false;
    u64 changed = (value ^ v->efer) & ~(u64)EFER_LMA;
    if (!a->host && (changed & EFER_LME) && (v->cr0 & CR0_PG))
        return false;
    v->efer ^= changed;
    if (changed & (EFER_NXE | EFER_LME))
        tlb_flush_all(v);
    return true;
}

/* The guest moves it by what it leaves in the save area. */
static bool smbase_read(struct vcpu *v, const struct access *a, u64 *value)
{
    *value = v->smm.base;
    return a->host;
}

static bool smbase_write(struct vcpu *v, const struct access *a, u64 value)
{
    if (a->host)
        v->smm.base = (u32)value;
    return a->host;
}

/* MSR_FS_BASE and MSR_GS_BASE are the bases in the segment registers. */
static enum seg base_segment(const struct access *a)
{
    return a->nth == 0 ? SEG_FS : SEG_GS;
}

static bool segment_base_read(struct vcpu *v, const struct access *a, u64 *value)
{
    *value = v->seg[base_segment(a)].base;
    return true;
}

static bool segment_base_write(struct vcpu *v, const struct access *a, u64 value)
{
    enum seg s = base_segment(a);
    struct segment d = v->seg[s];
    if (!is_canonical(value))
        return false;
    d.base = value;
    vcpu_set_segment(v, s, d);
    return true;
}

/* A vcpu without CPUID has it, too. */
static bool has_tsc_aux(struct vcpu *v, const struct access *a)
{
    return a->host || !v->cpuid_count || cpuid_has(v, 0x80000001, 0, 3, 27) || cpuid_has(v, 7, 0, 2, 22);
}

static bool tsc_aux_read(struct vcpu *v, const struct access *a, u64 *value)
{
    return has_tsc_aux(v, a) && field_read(v, a, value);
}

/* RDTSCP and RDPID read 32 bits. Intel's processors refuse the others, AMD's drop them. */
static bool tsc_aux_write(struct vcpu *v, const struct access *a, u64 value)
{
    if (value >> 32 && !cpuid_is_amd(v))
        return false;
    return has_tsc_aux(v, a) && field_write(v, a, (u32)value);
}

/* ---- identity and configuration ---- */

/* A guest that writes 0 before it reads, as SDM 3A 9.11.7 says, finds the revision that user space has set.
 */
static bool microcode_write(struct vcpu *v, const struct access *a, u64 value)
{
    return a->host ? field_write(v, a, value) : true;
}

/* Performance monitoring is absent for good; the guest cannot change what says so. The bit of MONITOR is only
 * kept, unless a quirk is off: then CPUID follows it (cpuid.c). */
static bool misc_enable_write(struct vcpu *v, const struct access *a, u64 value)
{
    enum { EMON = BIT(7), BTS_UNAVAILABLE = BIT(11), PEBS_UNAVAILABLE = BIT(12) };
    u64 changed = value ^ v->misc_enable;
    if (!a->host && (changed & (BTS_UNAVAILABLE | PEBS_UNAVAILABLE)))
        return false;
    if (!a->host)
        value = (value & ~(u64)EMON) | (v->misc_enable & EMON);
    if (!vm_has_quirk(v->vm, KVM_X86_QUIRK_MISC_ENABLE_NO_MWAIT) && (changed & MISC_ENABLE_MWAIT) &&
        !cpuid_has(v, 1, 0, 2, 0)) /* SSE3 */
        return false;
    return field_write(v, a, value);
}

static bool feature_control_read(struct vcpu *v, const struct access *a, u64 *value)
{
    enum { LOCKED = BIT(0) };
    (void)v, (void)a;
    *value = LOCKED;
    return true;
}

/* Neither last-branch records nor single-stepping on branches are there: LBR and BTF stay 0. */
static bool debugctl_write(struct vcpu *v, const struct access *a, u64 value)
{
    enum { LBR = BIT(0), BTF = BIT(1) };
    (void)v, (void)a;
    return !(value & ~(u64)(LBR | BTF));
}

/* CPUID that faults at CPL 3 (SDM 3A, MSR_PLATFORM_INFO[31]) is there; what else the register tells is user
 * space's. */
static bool platform_info_read(struct vcpu *v, const struct access *a, u64 *value)
{
    return (a->host || !v->vm->no_platform_info) && field_read(v, a, value);
}

static bool arch_capabilities_read(struct vcpu *v, const struct access *a, u64 *value)
{
    enum { EDX = 3, FEATURE = 29 };
    return (a->host || cpuid_has(v, 7, 0, EDX, FEATURE)) && field_read(v, a, value);
}

static bool misc_features_write(struct vcpu *v, const struct access *a, u64 value)
{
    u64 allowed = v->platform_info & PLATFORM_CPUID_FAULTS ? MISC_CPUID_FAULTS : 0;
    return !(value & ~allowed) && field_write(v, a, value);
}

/* Caches that are told to ignore something (TlbCacheDis, FFDis, IGNNE_EM) are not there to be told. */
static bool hwcr_write(struct vcpu *v, const struct access *a, u64 value)
{
    const u64 ignored = BIT(3) | BIT(6) | BIT(8), kept = HWCR_MC_STATUS_WR_EN | HWCR_TSC_FREQ_SEL;
    return !(value & ~(ignored | kept)) && field_write(v, a, value & kept);
}

/* LFENCE serializes: the guest's is the host's, whose kernel sees to it. */
static bool de_cfg_read(struct vcpu *v, const struct access *a, u64 *value)
{
    enum { LFENCE_SERIALIZE = BIT(1) };
    (void)v, (void)a;
    *value = LFENCE_SERIALIZE;
    return true;
}

#define FIELD(name)        .field = offsetof(struct vcpu, name)
#define ONE(index)         .first = (index), .last = (index)
#define MANY(index, count) .first = (index), .last = (index) + (count)-1
#define PLAIN(name)        .read = field_read, .write = field_write, FIELD(name)
#define PV(feature)        .pv = BIT(KVM_FEATURE_##feature)
#define ZERO_IGNORED       .read = zero_read, .write = ignored_write

static const struct msr msrs[] = {
    {MANY(MSR_P5_MC_ADDR, 2), .read = zero_read},
    {ONE(MSR_IA32_TSC), .read = tsc_read, .write = tsc_write},
    {ONE(MSR_KVM_WALL_CLOCK), PV(CLOCKSOURCE), .read = field_read, .write = wall_clock_write,
     FIELD(wall_clock_msr)},
    {ONE(MSR_KVM_SYSTEM_TIME), PV(CLOCKSOURCE), .read = field_read, .write = kvmclock_write,
     FIELD(kvmclock_msr)},
    {ONE(MSR_IA32_PLATFORM_ID), .read = zero_read},
    {ONE(MSR_IA32_APICBASE), .read = field_read, .write = apic_base_write, FIELD(apic_base)},
    {ONE(MSR_EBL_CR_POWERON), ZERO_IGNORED},
    {ONE(MSR_SMI_COUNT), .read = field_read, .write = host_write, FIELD(smi_count)},
    {ONE(MSR_IA32_FEAT_CTL), .read = feature_control_read},
    {ONE(MSR_IA32_TSC_ADJUST), .read = field_read, .write = tsc_adjust_write, FIELD(tsc_adjust)},
    {ONE(MSR_IA32_UCODE_WRITE), .read = zero_read, .write = ignored_write},
    {ONE(MSR_IA32_UCODE_REV), .read = field_read, .write = microcode_write, FIELD(microcode)},
    {ONE(MSR_IA32_SMBASE), .read = smbase_read, .write = smbase_write},
    {MANY(MSR_P6_PERFCTR0, 2), ZERO_IGNORED},
    {ONE(MSR_PLATFORM_INFO), .read = platform_info_read, .write = host_write, FIELD(platform_info)},
    {ONE(MSR_MTRRCAP), .read = mtrr_cap_read},
    {ONE(MSR_IA32_ARCH_CAPABILITIES), .read = arch_capabilities_read, .write = host_write,
     FIELD(arch_capabilities)},
    {ONE(MSR_MISC_FEATURES_ENABLES), .read = field_read, .write = misc_features_write, FIELD(misc_features)},
    {ONE(MSR_IA32_SYSENTER_CS), PLAIN(sysenter_cs)},
    {ONE(MSR_IA32_SYSENTER_ESP), .read = field_read, .write = canonical_write, FIELD(sysenter_esp)},
    {ONE(MSR_IA32_SYSENTER_EIP), .read = field_read, .write = canonical_write, FIELD(sysenter_eip)},
    {ONE(MSR_IA32_MCG_CAP), .read = field_read, FIELD(mcg_cap)},
    {ONE(MSR_IA32_MCG_STATUS), PLAIN(mcg_status)},
    {ONE(MSR_IA32_MCG_CTL), .read = mcg_ctl_read, .write = mcg_ctl_write, FIELD(mcg_ctl)},
    {MANY(MSR_P6_EVNTSEL0, 2), ZERO_IGNORED},
    {ONE(MSR_IA32_MISC_ENABLE), .read = field_read, .write = misc_enable_write, FIELD(misc_enable)},
    {ONE(MSR_IA32_DEBUGCTL), .read = zero_read, .write = debugctl_write},
    {MANY(MSR_IA32_LASTBRANCHFROMIP, 4), .read = zero_read},
    {ONE(MSR_IA32_POWER_CTL), PLAIN(power_ctl)},
    {MANY(MSR_MTRR_PHYSBASE0, 16), .read = mtrr_variable_read, .write = mtrr_variable_write},
    {ONE(MSR_MTRR_FIX64K_00000), .read = field_read, .write = mtrr_fixed_write, FIELD(mtrr_fixed[0])},
    {MANY(MSR_MTRR_FIX16K_80000, 2), .read = field_read, .write = mtrr_fixed_write, FIELD(mtrr_fixed[1])},
    {MANY(MSR_MTRR_FIX4K_C0000, 8), .read = field_read, .write = mtrr_fixed_write, FIELD(mtrr_fixed[3])},
    {ONE(MSR_IA32_CR_PAT), .read = field_read, .write = pat_write, FIELD(pat)},
    {MANY(MSR_IA32_MC0_CTL2, 32), .read = mc_ctl2_read, .write = mc_ctl2_write, FIELD(mci_ctl2)},
    {ONE(MSR_MTRRdefType), .read = field_read, .write = mtrr_def_type_write, FIELD(mtrr_def_type)},
    {ONE(MSR_IA32_PERF_CAPABILITIES), .write = unoffered_write},
    {MANY(MSR_IA32_MC0_CTL, 32 * 4), .read = mc_bank_read, .write = mc_bank_write, FIELD(mce_banks)},
    {ONE(MSR_IA32_TSC_DEADLINE), .read = tsc_deadline_read, .write = tsc_deadline_write},
    {MANY(MSR_X2APIC_FIRST, 256), .read = x2apic_read, .write = x2apic_write},
    {ONE(MSR_KVM_WALL_CLOCK_NEW), PV(CLOCKSOURCE2), .read = field_read, .write = wall_clock_write,
     FIELD(wall_clock_msr)},
    {ONE(MSR_KVM_SYSTEM_TIME_NEW), PV(CLOCKSOURCE2), .read = field_read, .write = kvmclock_write,
     FIELD(kvmclock_msr)},
    {ONE(MSR_KVM_ASYNC_PF_EN), PV(ASYNC_PF), .read = field_read, .write = async_pf_en_write,
     FIELD(async_pf_msr)},
    {ONE(MSR_KVM_STEAL_TIME), PV(STEAL_TIME), .read = field_read, .write = steal_time_write,
     FIELD(steal_msr)},
    {ONE(MSR_KVM_PV_EOI_EN), PV(PV_EOI), .read = field_read, .write = pv_eoi_en_write, FIELD(pv_eoi_msr)},
    {ONE(MSR_KVM_POLL_CONTROL), PV(POLL_CONTROL), .read = field_read, .write = poll_control_write,
     FIELD(poll_control_msr)},
    {ONE(MSR_KVM_ASYNC_PF_INT), PV(ASYNC_PF_INT), .read = field_read, .write = async_pf_int_write,
     FIELD(async_pf_int_msr)},
    {ONE(MSR_KVM_ASYNC_PF_ACK), PV(ASYNC_PF_INT), ZERO_IGNORED},
    {ONE(MSR_KVM_MIGRATION_CONTROL), .write = unoffered_write},
    {ONE(MSR_EFER), .read = field_read, .write = efer_write, FIELD(efer)},
    {ONE(MSR_STAR), PLAIN(star)},
    {ONE(MSR_LSTAR), .read = field_read, .write = canonical_write, FIELD(lstar)},
    {ONE(MSR_CSTAR), .read = field_read, .write = canonical_write, FIELD(cstar)},
    {ONE(MSR_SYSCALL_MASK), PLAIN(sfmask)},
    {MANY(MSR_FS_BASE, 2), .read = segment_base_read, .write = segment_base_write},
    {ONE(MSR_KERNEL_GS_BASE), .read = field_read, .write = canonical_write, FIELD(kernel_gs_base)},
    {ONE(MSR_TSC_AUX), .read = tsc_aux_read, .write = tsc_aux_write, FIELD(tsc_aux)},
    {MANY(MSR_K7_EVNTSEL0, 8), ZERO_IGNORED},
    {ONE(MSR_AMD64_SYSCFG), ZERO_IGNORED},
    {ONE(MSR_K7_HWCR), .read = field_read, .write = hwcr_write, FIELD(hwcr)},
    {ONE(MSR_AMD64_NB_CFG), ZERO_IGNORED},
    {ONE(MSR_AMD64_INT_PENDING), ZERO_IGNORED},
    {ONE(MSR_VM_HSAVE_PA), ZERO_IGNORED},
    {MANY(MSR_AMD64_DC_CFG, 2), ZERO_IGNORED},
    {ONE(MSR_AMD64_DE_CFG), .read = de_cfg_read, .write = ignored_write},
    {ONE(MSR_AMD64_BU_CFG2), ZERO_IGNORED},
};

/* What user space saves and restores. */
const u32 msr_index_list[] = {
    MSR_IA32_TSC,
    MSR_KVM_WALL_CLOCK,
    MSR_KVM_SYSTEM_TIME,
    MSR_IA32_APICBASE,
    MSR_SMI_COUNT,
    MSR_IA32_SMBASE,
    MSR_IA32_TSC_ADJUST,
    MSR_IA32_UCODE_REV,
    MSR_IA32_SYSENTER_CS,
    MSR_IA32_SYSENTER_ESP,
    MSR_IA32_SYSENTER_EIP,
    MSR_IA32_MCG_STATUS,
    MSR_IA32_MCG_CTL,
    MSR_IA32_MISC_ENABLE,
    MSR_PLATFORM_INFO,
    MSR_IA32_ARCH_CAPABILITIES,
    MSR_MISC_FEATURES_ENABLES,
    MSR_IA32_POWER_CTL,
    MSR_IA32_CR_PAT,
    MSR_MTRRdefType,
    MSR_IA32_TSC_DEADLINE,
    MSR_KVM_WALL_CLOCK_NEW,
    MSR_KVM_SYSTEM_TIME_NEW,
    MSR_KVM_ASYNC_PF_EN,
    MSR_KVM_STEAL_TIME,
    MSR_KVM_PV_EOI_EN,
    MSR_KVM_POLL_CONTROL,
    MSR_KVM_ASYNC_PF_INT,
    MSR_KVM_ASYNC_PF_ACK,
    MSR_EFER,
    MSR_STAR,
    MSR_LSTAR,
    MSR_CSTAR,
    MSR_SYSCALL_MASK,
    MSR_FS_BASE,
    MSR_GS_BASE,
    MSR_KERNEL_GS_BASE,
    MSR_TSC_AUX,
    MSR_K7_HWCR,
};
const unsigned msr_index_count = ARRAY_SIZE(msr_index_list);

static const struct msr *msr_find(u32 index)
{
    size_t low = 0, high = ARRAY_SIZE(msrs);
    while (low < high) {
        size_t middle = (low + high) / 2;
        if (index > msrs[middle].last)
            low = middle + 1;
        else
            high = middle;
    }
    return low < ARRAY_SIZE(msrs) && index >= msrs[low].first ? &msrs[low] : NULL;
}

bool msr_exists(u32 index)
{
    return msr_find(index);
}

static struct access access_to(const struct msr *m, u32 index, bool host)
{
    return (struct access){.nth = index - m->first, .index = index, .field = m->field, .host = host};
}

bool msr_read(struct vcpu *v, u32 index, u64 *value, bool host)
{
    const struct msr *m = msr_find(index);
    if (!m || !pv_offers(v, m->pv))
        return false;
    struct access a = access_to(m, index, host);
    if (!m->read) /* not offered to the guest; user space finds it unused */
        return host && zero_read(v, &a, value);
    return m->read(v, &a, value);
}

bool msr_write(struct vcpu *v, u32 index, u64 value, bool host)
{
    const struct msr *m = msr_find(index);
    if (!m || !m->write || !pv_offers(v, m->pv))
        return false;
    struct access a = access_to(m, index, host);
    return m->write(v, &a, value);
}

/* TSCs of one VM run together; the first vcpu's starts at 0. */
static u64 power_up_tsc_offset(const struct vcpu *v)
{
    const struct vcpu *first = v->vm->vcpu_count ? v->vm->vcpu[0] : v;
    bool alone = first == v || first->tsc_ratio != v->tsc_ratio;
    return alone ? -tsc_scale(v, host_tsc()) : first->tsc_offset;
}

void msr_power_up(struct vcpu *v, bool bsp)
{
    enum { APIC_BASE = 0xfee00000, APIC_BSP = BIT(8), APIC_ENABLE = BIT(11) };
    enum { BTS_UNAVAILABLE = BIT(11), PEBS_UNAVAILABLE = BIT(12) };
    v->star = v->lstar = v->cstar = v->sfmask = v->kernel_gs_base = v->tsc_aux = 0;
    v->sysenter_cs = v->sysenter_esp = v->sysenter_eip = 0;
    v->apic_base = (u32)APIC_BASE | APIC_ENABLE | (bsp ? APIC_BSP : 0);
    v->pat = 0x0007040600070406;
    v->misc_enable = BTS_UNAVAILABLE | PEBS_UNAVAILABLE;
    v->microcode = BIT(32);
    v->platform_info = PLATFORM_CPUID_FAULTS;
    v->arch_capabilities = ARCH_CAPABILITIES;
    v->hwcr = v->power_ctl = 0;
    v->misc_features = 0;
    v->tsc_adjust = 0;
    v->kvmclock_msr = v->wall_clock_msr = v->steal_msr = v->pv_eoi_msr = 0;
    v->async_pf_msr = v->async_pf_int_msr = 0;
    v->poll_control_msr = 1;
    v->tsc_offset = power_up_tsc_offset(v);
    v->xcr0 = 1;
}
