/* vendor.h - where AMD's and Intel's processors differ, in what guest code can see and C code or translation
 * decides */
/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Guest code runs on the host's CPU, so what is done in the CPU's place is done as the host's does it. Seen
 * by fuzz-cpu on AMD's Zen 3, 4 and 5 and on Intel's Emerald Rapids; docs/engine.md has the same list for
 * readers. What follows the guest's CPUID is elsewhere: x87's pointers (x87.h), SYSCALL and SYSENTER
 * (syscall.c).
 */
#ifndef CPU_VENDOR_H
#define CPU_VENDOR_H

#include "base/base.h"

static inline bool host_is_amd(void)
{
    return __builtin_cpu_is("amd");
}

/* ---- AMD's ---- */

/* 66 before a near branch in 64-bit mode makes it a 16-bit one (APM vol. 3 1.2.2); Intel's ignore it. */
static inline bool near_branches_obey_size_prefix(void)
{
    return host_is_amd();
}

/* F2 and F3 before LOOPE and LOOPNE choose the condition. */
static inline bool loops_obey_rep_prefix(void)
{
    return host_is_amd();
}

/* Where both operands fault, CMPS shows the one at rDI, but REPE CMPSB the one at rSI: on Zen 4 and 5, which
 * alone of AMD's have AVX-512, not on Zen 3. */
static inline bool repe_cmpsb_reads_source_first(void)
{
    return host_is_amd() && __builtin_cpu_supports("avx512f");
}

/* Far RET reads CS before the address, IRET the flags before both, as the address of a page fault shows. Seen
 * on a Zen 3, in 64-bit mode. */
static inline bool far_returns_read_highest_first(void)
{
    return host_is_amd();
}

/* XSAVE and XRSTOR look at the first part of their area before they find that its end is not canonical. */
static inline bool xsave_faults_by_part(void)
{
    return host_is_amd();
}

/* Where alignment is checked (#AC), operands of vectors are: to 16 bytes, or by the elements that an opmask
 * selects; those of gathers and scatters too. Intel's check what is below 16 bytes, as a whole. */
static inline bool vectors_are_aligned(void)
{
    return host_is_amd();
}

/* FDP is kept as FIP is: the bits beyond a linear address are copies of its highest. */
static inline bool fdp_is_sign_extended(void)
{
    return host_is_amd();
}

/* ---- Intel's ---- */

/* The SHA instructions want their operand aligned, as others of SSE do. */
static inline bool sha_operands_are_aligned(void)
{
    return !host_is_amd();
}

/* CMPS and SCAS under REP write the flags when they end: a fault or trap in the middle shows the old ones. */
static inline bool repeated_compares_set_flags_at_end(void)
{
    return !host_is_amd();
}

/* VEX gathers begin by filling each element of the mask with its sign, and clearing the rest of the register
 * (SDM 2C "VGATHERDPS", operation). */
static inline bool gathers_fill_mask_first(void)
{
    return !host_is_amd();
}

/* MASKMOVDQU accesses the upper eight bytes of its operand before the lower ones. */
static inline bool maskmovdqu_probes_upper_half_first(void)
{
    return !host_is_amd();
}

/* An x87 store that raises an unmasked exception does not look at its operand. */
static inline bool x87_stores_raise_before_access(void)
{
    return !host_is_amd();
}

/* FSTP and FBSTP of ten bytes store eight first, and then may fault at the others. */
static inline bool x87_stores_ten_bytes_in_pieces(void)
{
    return !host_is_amd();
}

/* ROL and ROR by an immediate leave OF alone if the operand is a register, but not if it is in memory. */
static inline bool rotates_of_memory_differ(void)
{
    return !host_is_amd();
}

/* The first element of a VEX gather clears what lies beyond the vector length. */
static inline bool gathers_clear_beyond_first(void)
{
    return !host_is_amd();
}

/* String instructions under REP with 32-bit addresses first clear the upper half of rCX, and MOVS and STOS
 * those of their pointers, also where the count is 0 or the first element faults. */
static inline bool repetitions_truncate_first(void)
{
    return !host_is_amd();
}

/* An MMX store that faults has cleared TOP, though not the tags. */
static inline bool mmx_stores_clear_top_first(void)
{
    return !host_is_amd();
}

#endif
