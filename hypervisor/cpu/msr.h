/* msr.h - model-specific registers by number (SDM 4; APM vol. 2 app. A), and their state after power-up */
/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef CPU_MSR_H
#define CPU_MSR_H

#include "hypervisor/cpu/vcpu.h"

/* Names that <linux/kvm_para.h> does not have. */
enum {
    MSR_P5_MC_ADDR = 0x0,
    MSR_P5_MC_TYPE = 0x1,
    MSR_IA32_TSC = 0x10,
    MSR_IA32_PLATFORM_ID = 0x17,
    MSR_IA32_APICBASE = 0x1b,
    MSR_EBL_CR_POWERON = 0x2a,
    MSR_SMI_COUNT = 0x34,
    MSR_IA32_FEAT_CTL = 0x3a,
    MSR_IA32_TSC_ADJUST = 0x3b,
    MSR_IA32_UCODE_WRITE = 0x79,
    MSR_IA32_UCODE_REV = 0x8b,
    MSR_IA32_SMBASE = 0x9e,
    MSR_P6_PERFCTR0 = 0xc1,
    MSR_PLATFORM_INFO = 0xce,
    MSR_IA32_ARCH_CAPABILITIES = 0x10a,
    MSR_MTRRCAP = 0xfe,
    MSR_MISC_FEATURES_ENABLES = 0x140,
    MSR_IA32_SYSENTER_CS = 0x174,
    MSR_IA32_SYSENTER_ESP = 0x175,
    MSR_IA32_SYSENTER_EIP = 0x176,
    MSR_IA32_MCG_CAP = 0x179,
    MSR_IA32_MCG_STATUS = 0x17a,
    MSR_IA32_MCG_CTL = 0x17b,
    MSR_P6_EVNTSEL0 = 0x186,
    MSR_IA32_MISC_ENABLE = 0x1a0,
    MISC_ENABLE_MWAIT = BIT(18),
    MSR_IA32_DEBUGCTL = 0x1d9,
    MSR_IA32_POWER_CTL = 0x1fc,
    MSR_IA32_LASTBRANCHFROMIP = 0x1db,
    MSR_MTRR_PHYSBASE0 = 0x200,
    MSR_MTRR_FIX64K_00000 = 0x250,
    MSR_MTRR_FIX16K_80000 = 0x258,
    MSR_MTRR_FIX4K_C0000 = 0x268,
    MSR_IA32_CR_PAT = 0x277,
    MSR_IA32_MC0_CTL2 = 0x280,
    MSR_MTRRdefType = 0x2ff,
    MSR_IA32_PERF_CAPABILITIES = 0x345,
    MSR_IA32_MC0_CTL = 0x400,
    MSR_IA32_TSC_DEADLINE = 0x6e0,
    MSR_X2APIC_FIRST = 0x800,
};
/* IA32_MCG_CAP beside the bank count (SDM 3B 16.3.1.1), and IA32_MCi_CTL2. */
#define MCG_CTL_P        BIT(8)
#define MCG_CMCI_P       BIT(10)
#define MCG_SER_P        BIT(24)
#define MCI_CTL2_CMCI_EN BIT(30)

enum { PLATFORM_CPUID_FAULTS = (int)BIT(31), MISC_CPUID_FAULTS = BIT(0) };
#define MSR_EFER              0xc0000080u
#define MSR_STAR              0xc0000081u
#define MSR_LSTAR             0xc0000082u
#define MSR_CSTAR             0xc0000083u
#define MSR_SYSCALL_MASK      0xc0000084u
#define MSR_FS_BASE           0xc0000100u
#define MSR_GS_BASE           0xc0000101u
#define MSR_KERNEL_GS_BASE    0xc0000102u
#define MSR_TSC_AUX           0xc0000103u
#define MSR_K7_EVNTSEL0       0xc0010000u
#define MSR_AMD64_SYSCFG      0xc0010010u
#define MSR_K7_HWCR           0xc0010015u
#define MSR_AMD64_NB_CFG      0xc001001fu
#define MSR_AMD64_INT_PENDING 0xc0010055u
#define MSR_VM_HSAVE_PA       0xc0010117u
#define MSR_AMD64_DC_CFG      0xc0011022u
#define MSR_AMD64_TW_CFG      0xc0011023u
#define MSR_AMD64_DE_CFG      0xc0011029u
#define MSR_AMD64_BU_CFG2     0xc001102au
/* IA32_ARCH_CAPABILITIES (SDM 4 table 2-2): RDCL_NO, SKIP_L1DFL_VMENTRY, SSB_NO, MDS_NO, IF_PSCHANGE_MC_NO,
 * TAA_NO, SBDR_SSDP_NO, FBSDP_NO, PSDP_NO, BHI_NO, PBRSB_NO, GDS_NO, RFDS_NO, ITS_NO. What a guest's kernel
 * does against these leaks (another page table in each system call, for one) costs much, and has no effect
 * here: it is the host's kernel that keeps the processor from leaking. */
#define ARCH_CAPABILITIES \
    (BIT(0) | MASK(6, 3) | BIT(8) | MASK(15, 13) | BIT(20) | BIT(24) | MASK(27, 26) | BIT(62))

/* The MSRs of a vcpu as power-up leaves them. bsp: the bootstrap processor. */
void msr_power_up(struct vcpu *v, bool bsp);

#endif
