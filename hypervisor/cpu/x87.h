/* x87.h - what x87 keeps of its last instruction: its address, its operand's, its opcode (SDM 1 8.1.8, 8.1.9)
 */
/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The host's x87 keeps where the translation is, and its operand in our memory; and an AMD host's kernel
 * loses even that when it suspends a thread. So translated code notes the guest's after each instruction that
 * counts (translate/x87.c), and nobody looks at the host's. The selectors are taken from the segment
 * registers when somebody asks, or before these change.
 *
 * Processors differ in what they show of it; the guest's CPUID says which one it has:
 * - AMD's save it in FXSAVE and XSAVE only while an unmasked exception waits, and without XSAVEERPTR restore
 * it only then too (APM vol. 2 11.4.4.3);
 * - Intel's have in FOP, and with FDP_EXCPTN_ONLY in FDP, those of the last instruction that raised an
 * unmasked exception, until they are loaded; an instruction without an operand in memory leaves FDP alone
 * even then. With ZERO_FCS_FDS they have no selectors (SDM 1 8.1.8, 8.1.9.1).
 *
 * Whether an instruction raised one is seen late, as it leaves the error summary set until somebody clears
 * it: whoever is about to (FNCLEX, FNSTENV, FNSAVE) or wants to know asks x87_latch first. What sets the
 * error summary without raising anything (FLDCW, loading a state) says X87_QUIET of the instruction before
 * it.
 */
#ifndef CPU_X87_H
#define CPU_X87_H

#include "hypervisor/cpu/xsave.h"

/* Of the status word: an unmasked exception waits. */
enum { FSW_ERROR_SUMMARY = BIT(7) };

/* v->x87.rules */
enum {
    X87_SAVED_AT_ERROR = BIT(0),
    X87_RESTORED_AT_ERROR = BIT(1),
    X87_OPCODE_AT_ERROR = BIT(2),
    X87_OPERAND_AT_ERROR = BIT(3),
    X87_NO_SELECTORS = BIT(4),
};

void x87_forget(struct vcpu *v);
/* The pointers of an FXSAVE or XSAVE area whose status word is there. wide: offsets of 64 bits, no selectors.
 */
void x87_save(struct vcpu *v, struct xsave_area *a, bool wide);
void x87_restore(struct vcpu *v, const struct xsave_area *a, bool wide);

/* Segment register s is about to get another selector. */
static inline void x87_keep_selector(struct vcpu *v, enum seg s)
{
    if (s == SEG_CS && (v->x87.op & X87_CURRENT)) {
        v->x87.op &= ~X87_CURRENT;
        v->x87.cs = v->seg[s].selector;
    }
    if (v->x87.segment == (X87_CURRENT | s)) {
        v->x87.segment = 0;
        v->x87.ds = v->seg[s].selector;
    }
}

#endif
