/* sensitive.c - the sensitive instructions: which, and who executes them (SDM 3A 2.8, 5.9; design: "call") */
/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * MOV, PUSH, POP, JMP, CALL and RET have no row: only some of their forms are sensitive, and the decoder
 * tells them apart. MOVSD and CMPSD also name instructions of SSE2; the rows are those of the string
 * instructions.
 */
#include <Zydis/Mnemonic.h>

#include "hypervisor/cpu/handlers.h"

#define ROW(name, flags, handler) [ZYDIS_MNEMONIC_##name] = {ZYDIS_MNEMONIC_##name, flags, handler}
#define ENDS                      SENSITIVE_ENDS
#define REP                       SENSITIVE_REP

static const struct sensitive table[ZYDIS_MNEMONIC_MAX_VALUE + 1] = {
    /* Control, debug and table registers (MOV to and from them: the decoder). */
    ROW(CLTS, ENDS, insn_clts),
    ROW(LMSW, ENDS, insn_lmsw),
    ROW(SMSW, 0, insn_smsw),
    ROW(LGDT, 0, insn_lgdt),
    ROW(LIDT, 0, insn_lidt),
    ROW(SGDT, 0, insn_sgdt),
    ROW(SIDT, 0, insn_sidt),
    ROW(LLDT, ENDS, insn_lldt),
    ROW(LTR, 0, insn_ltr),
    ROW(SLDT, 0, insn_sldt),
    ROW(STR, 0, insn_str),
    ROW(XGETBV, 0, insn_xgetbv),
    ROW(XSETBV, ENDS, insn_xsetbv),

    /* The machine: MSRs, TLB, caches, time, identity. */
    ROW(RDMSR, 0, insn_rdmsr),
    ROW(WRMSR, ENDS, insn_wrmsr),
    ROW(INVLPG, ENDS, insn_invlpg),
    ROW(INVPCID, ENDS, insn_invpcid),
    ROW(INVD, 0, insn_invd),
    ROW(WBINVD, 0, insn_invd),
    ROW(CLFLUSH, 0, insn_clflush),
    ROW(CLFLUSHOPT, 0, insn_clflush),
    ROW(CLWB, 0, insn_clflush),
    ROW(HLT, ENDS, insn_hlt),
    ROW(PAUSE, 0, insn_pause),
    ROW(CPUID, 0, insn_cpuid),
    ROW(RDTSC, 0, insn_rdtsc),
    ROW(RDTSCP, 0, insn_rdtscp),
    ROW(RDPID, 0, insn_rdpid),
    ROW(RDPMC, ENDS, insn_rdpmc),
    ROW(VMCALL, ENDS, insn_vmcall),
    ROW(VMMCALL, ENDS, insn_vmcall),

    /* Segments. */
    ROW(LDS, ENDS, insn_load_far_pointer),
    ROW(LES, ENDS, insn_load_far_pointer),
    ROW(LFS, ENDS, insn_load_far_pointer),
    ROW(LGS, ENDS, insn_load_far_pointer),
    ROW(LSS, ENDS, insn_load_far_pointer),
    ROW(ARPL, 0, insn_arpl),
    ROW(LAR, 0, insn_lar),
    ROW(LSL, 0, insn_lsl),
    ROW(VERR, 0, insn_verr),
    ROW(VERW, 0, insn_verw),
    ROW(RDFSBASE, 0, insn_rdfsbase),
    ROW(RDGSBASE, 0, insn_rdgsbase),
    ROW(WRFSBASE, 0, insn_wrfsbase),
    ROW(WRGSBASE, 0, insn_wrgsbase),
    ROW(SWAPGS, 0, insn_swapgs),

    /* Transfers through gates, and returns from them. */
    ROW(INT, ENDS, insn_int),
    ROW(INT1, ENDS, insn_int1),
    ROW(INT3, ENDS, insn_int3),
    ROW(INTO, ENDS, insn_into),
    ROW(IRET, ENDS, insn_iret),
    ROW(IRETD, ENDS, insn_iret),
    ROW(IRETQ, ENDS, insn_iret),
    ROW(SYSCALL, ENDS, insn_syscall),
    ROW(SYSRET, ENDS, insn_sysret),
    ROW(SYSENTER, ENDS, insn_sysenter),
    ROW(SYSEXIT, ENDS, insn_sysexit),

    /* Flags with a privileged part. STAC and CLAC choose the TLB. */
    ROW(PUSHF, 0, insn_pushf),
    ROW(PUSHFD, 0, insn_pushf),
    ROW(PUSHFQ, 0, insn_pushf),
    ROW(POPF, ENDS, insn_popf),
    ROW(POPFD, ENDS, insn_popf),
    ROW(POPFQ, ENDS, insn_popf),
    ROW(CLI, 0, insn_cli),
    ROW(STI, ENDS, insn_sti),
    ROW(CLD, 0, insn_cld),
    ROW(STD, 0, insn_std),
    ROW(STAC, ENDS, insn_stac),
    ROW(CLAC, ENDS, insn_clac),

    /* Ports. */
    ROW(IN, ENDS, insn_in),
    ROW(OUT, ENDS, insn_out),
    ROW(INSB, ENDS | REP, insn_ins),
    ROW(INSW, ENDS | REP, insn_ins),
    ROW(INSD, ENDS | REP, insn_ins),
    ROW(OUTSB, ENDS | REP, insn_outs),
    ROW(OUTSW, ENDS | REP, insn_outs),
    ROW(OUTSD, ENDS | REP, insn_outs),

    /* Strings. */
    ROW(MOVSB, REP, insn_movs),
    ROW(MOVSW, REP, insn_movs),
    ROW(MOVSD, REP, insn_movs),
    ROW(MOVSQ, REP, insn_movs),
    ROW(STOSB, REP, insn_stos),
    ROW(STOSW, REP, insn_stos),
    ROW(STOSD, REP, insn_stos),
    ROW(STOSQ, REP, insn_stos),
    ROW(LODSB, REP, insn_lods),
    ROW(LODSW, REP, insn_lods),
    ROW(LODSD, REP, insn_lods),
    ROW(LODSQ, REP, insn_lods),
    ROW(CMPSB, REP, insn_cmps),
    ROW(CMPSW, REP, insn_cmps),
    ROW(CMPSD, REP, insn_cmps),
    ROW(CMPSQ, REP, insn_cmps),
    ROW(SCASB, REP, insn_scas),
    ROW(SCASW, REP, insn_scas),
    ROW(SCASD, REP, insn_scas),
    ROW(SCASQ, REP, insn_scas),

    /* Vector state in memory, and vector accesses whose elements fault one by one. */
    ROW(FNSTENV, 0, insn_fnstenv),
    ROW(FNSAVE, 0, insn_fnsave),
    ROW(FXSAVE, 0, insn_fxsave),
    ROW(FXSAVE64, 0, insn_fxsave),
    ROW(FXRSTOR, 0, insn_fxrstor),
    ROW(FXRSTOR64, 0, insn_fxrstor),
    ROW(XSAVE, 0, insn_xsave),
    ROW(XSAVE64, 0, insn_xsave),
    ROW(XSAVEOPT, 0, insn_xsaveopt),
    ROW(XSAVEOPT64, 0, insn_xsaveopt),
    ROW(XSAVEC, 0, insn_xsavec),
    ROW(XSAVEC64, 0, insn_xsavec),
    ROW(XRSTOR, 0, insn_xrstor),
    ROW(XRSTOR64, 0, insn_xrstor),
    ROW(VGATHERDPS, 0, insn_vgather),
    ROW(VGATHERDPD, 0, insn_vgather),
    ROW(VGATHERQPS, 0, insn_vgather),
    ROW(VGATHERQPD, 0, insn_vgather),
    ROW(VPGATHERDD, 0, insn_vgather),
    ROW(VPGATHERDQ, 0, insn_vgather),
    ROW(VPGATHERQD, 0, insn_vgather),
    ROW(VPGATHERQQ, 0, insn_vgather),
    ROW(VMASKMOVPS, 0, insn_vmaskmov),
    ROW(VMASKMOVPD, 0, insn_vmaskmov),
    ROW(VPMASKMOVD, 0, insn_vmaskmov),
    ROW(VPMASKMOVQ, 0, insn_vmaskmov),
    ROW(MASKMOVQ, 0, insn_maskmov),
    ROW(MASKMOVDQU, 0, insn_maskmov),
    ROW(VMASKMOVDQU, 0, insn_maskmov),

    /* What long mode dropped, and what is too seldom to be worth a translation. */
    ROW(PUSHA, 0, insn_pusha),
    ROW(PUSHAD, 0, insn_pusha),
    ROW(POPA, 0, insn_popa),
    ROW(POPAD, 0, insn_popa),
    ROW(BOUND, 0, insn_bound),
    ROW(ENTER, 0, insn_enter),
    ROW(XLAT, 0, insn_xlat),
    ROW(SALC, 0, insn_salc),
    ROW(DAA, 0, insn_daa),
    ROW(DAS, 0, insn_das),
    ROW(AAA, 0, insn_aaa),
    ROW(AAS, 0, insn_aas),
    ROW(AAM, 0, insn_aam),
    ROW(AAD, 0, insn_aad),

    /* Not offered: undefined. The host may have some of them, so they must not reach it. */
    ROW(UD0, ENDS, insn_ud),
    ROW(UD1, ENDS, insn_ud),
    ROW(UD2, ENDS, insn_ud),
    ROW(RSM, ENDS, insn_ud),
    ROW(MONITOR, ENDS, insn_ud),
    ROW(MWAIT, ENDS, insn_ud),
    ROW(MONITORX, ENDS, insn_ud),
    ROW(MWAITX, ENDS, insn_ud),
    ROW(GETSEC, ENDS, insn_ud),
    ROW(XSAVES, ENDS, insn_ud),
    ROW(XSAVES64, ENDS, insn_ud),
    ROW(XRSTORS, ENDS, insn_ud),
    ROW(XRSTORS64, ENDS, insn_ud),
    ROW(RDPKRU, ENDS, insn_ud),
    ROW(WRPKRU, ENDS, insn_ud),
    ROW(CLZERO, ENDS, insn_ud),
    ROW(RDPRU, ENDS, insn_ud),
    ROW(INVEPT, ENDS, insn_ud),
    ROW(INVVPID, ENDS, insn_ud),
    ROW(VMCLEAR, ENDS, insn_ud),
    ROW(VMFUNC, ENDS, insn_ud),
    ROW(VMLAUNCH, ENDS, insn_ud),
    ROW(VMPTRLD, ENDS, insn_ud),
    ROW(VMPTRST, ENDS, insn_ud),
    ROW(VMREAD, ENDS, insn_ud),
    ROW(VMRESUME, ENDS, insn_ud),
    ROW(VMWRITE, ENDS, insn_ud),
    ROW(VMXOFF, ENDS, insn_ud),
    ROW(VMXON, ENDS, insn_ud),
    ROW(CLGI, ENDS, insn_ud),
    ROW(STGI, ENDS, insn_ud),
    ROW(INVLPGA, ENDS, insn_ud),
    ROW(SKINIT, ENDS, insn_ud),
    ROW(VMLOAD, ENDS, insn_ud),
    ROW(VMRUN, ENDS, insn_ud),
    ROW(VMSAVE, ENDS, insn_ud),
};

const struct sensitive *sensitive_find(u16 mnemonic)
{
    if (mnemonic > ZYDIS_MNEMONIC_MAX_VALUE || !table[mnemonic].handler)
        return NULL;
    return &table[mnemonic];
}
