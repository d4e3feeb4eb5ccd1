/* handlers.h - the handlers of the sensitive instructions (design: "call"), by the file that has them */
/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef CPU_HANDLERS_H
#define CPU_HANDLERS_H

#include "hypervisor/cpu/insn.h"

/* Segmentation and control transfers (SDM 3A ch. 5 and 6). Those of MOV, PUSH, POP, JMP, CALL and RET are
 * named by the decoder, as only some forms of these mnemonics are sensitive. */
/* segments.c */
sensitive_fn insn_mov_from_sreg, insn_mov_to_sreg, insn_push_sreg, insn_pop_sreg;
sensitive_fn insn_load_far_pointer; /* LDS, LES, LFS, LGS, LSS */
/* selectors.c */
sensitive_fn insn_arpl, insn_lar, insn_lsl, insn_verr, insn_verw;
sensitive_fn insn_lldt, insn_ltr, insn_sldt, insn_str;
/* transfers.c */
sensitive_fn insn_call_far, insn_jmp_far;
sensitive_fn insn_int, insn_int1, insn_int3, insn_into;
/* returns.c */
sensitive_fn insn_ret_far, insn_iret;
/* syscall.c */
sensitive_fn insn_syscall, insn_sysenter, insn_sysexit, insn_sysret;
sensitive_fn insn_rdfsbase, insn_rdgsbase, insn_wrfsbase, insn_wrgsbase, insn_swapgs;

/* system.c */
sensitive_fn insn_mov_from_cr, insn_mov_to_cr, insn_mov_from_dr,
    insn_mov_to_dr; /* reg: CR or DR, rm: the GPR */
sensitive_fn insn_clts, insn_lmsw, insn_smsw;
sensitive_fn insn_lgdt, insn_lidt, insn_sgdt, insn_sidt;
sensitive_fn insn_invlpg, insn_invpcid, insn_invd, insn_clflush;
sensitive_fn insn_hlt, insn_cpuid, insn_rdmsr, insn_wrmsr;
sensitive_fn insn_rdtsc, insn_rdtscp, insn_rdpid, insn_rdpmc, insn_serialize;
sensitive_fn insn_xgetbv, insn_xsetbv;
sensitive_fn insn_vmcall, insn_monitor, insn_pause,
    insn_ud; /* insn_ud: what this CPU does not have, and UD0 to UD2 */
/* smm.c */
sensitive_fn insn_rsm;
/* fpu.c */
sensitive_fn insn_fxsave, insn_fxrstor, insn_xsave, insn_xsaveopt, insn_xsavec, insn_xrstor;
/* x87.c */
sensitive_fn insn_fnclex;
sensitive_fn insn_fnstenv, insn_fnsave, insn_fldenv, insn_frstor;
/* strings.c */
sensitive_fn insn_movs, insn_stos, insn_lods, insn_cmps, insn_scas;
/* io.c */
sensitive_fn insn_in, insn_out, insn_ins, insn_outs;
/* flags.c */
sensitive_fn insn_pushf, insn_popf, insn_cli, insn_sti, insn_cld, insn_std, insn_stac, insn_clac;
/* legacy.c */
sensitive_fn insn_pusha, insn_popa, insn_bound, insn_enter, insn_xlat, insn_salc;
sensitive_fn insn_daa, insn_das, insn_aaa, insn_aas, insn_aam, insn_aad;
/* vector_memory.c */
sensitive_fn insn_vgather, insn_vmaskmov, insn_maskmov;
sensitive_fn insn_vgather_opmask, insn_vscatter; /* EVEX: named by the decoder */

/* flags.c: virtual-8086 mode whose IF is VIF (CR4.VME, IOPL below 3); may be #GP. The image of FLAGS that its
 * program sees, and a new one that it wants. */
bool vm86_has_virtual_if(struct vcpu *v, const struct insn *in);
u64 vm86_virtual_flags(const struct vcpu *v);
void vm86_set_virtual_flags(struct vcpu *v, u64 image);

#endif
