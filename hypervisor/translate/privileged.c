/* privileged.c - privileged instructions whose effect is a few moves within the vcpu, in line (SDM 2A, 2B) */
/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * In 64-bit code of CPL 0 they cannot fault. None of this changes the host's flags.
 */
#include "hypervisor/cpu/handlers.h"
#include "hypervisor/translate/translate.h"

static struct host_mem state(size_t offset)
{
    return at(H_VCPU, (s32)offset - VCPU_BIAS);
}

/* r12 = r12 rotated right by n < 64. */
static void emit_rorx(struct translator *t, u8 n)
{
    const u8 rorx[] = {0xc4, 0x43, 0xfb, 0xf0, 0xe4, n};
    emit_bytes(&t->e, rorx, sizeof(rorx));
}

/* IF is shifted out at the left, as bit 63, and 0 comes in at the right in its place. */
static void emit_cli(struct translator *t)
{
    enum { IF_BIT = 9 };
    emit_load(&t->e, H_SCRATCH, state(offsetof(struct vcpu, rflags)));
    emit_rorx(t, IF_BIT + 1);
    emit_lea(&t->e, H_SCRATCH, (struct host_mem){H_SCRATCH, H_SCRATCH, 1, 0});
    emit_rorx(t, 64 - IF_BIT);
    emit_store(&t->e, state(offsetof(struct vcpu, rflags)), H_SCRATCH);
}

static void emit_swapgs(struct translator *t)
{
    struct emitter *e = &t->e;
    t->in_address = NULL;
    emit_load(e, H_ADDRESS, at(H_VCPU, VCPU_SEG_BASE(SEG_GS)));
    emit_load(e, H_SCRATCH, state(offsetof(struct vcpu, kernel_gs_base)));
    emit_store(e, state(offsetof(struct vcpu, kernel_gs_base)), H_ADDRESS);
    emit_store(e, at(H_VCPU, VCPU_SEG_BASE(SEG_GS)), H_SCRATCH);
    emit_store(e, state(offsetof(struct vcpu, seg[SEG_GS].base)), H_SCRATCH);
}

/* With CR4.SMAP the mode's TLB tells what AC is; the code behind is of the mode of the other one. */
static void emit_access_flag(struct translator *t, enum tlb_context context)
{
    struct emitter *e = &t->e;
    bool set = context == TLB_KERNEL_AC;
    if (mode_context(t->mode) == context)
        return;
    emit_load(e, H_SCRATCH, state(offsetof(struct vcpu, rflags)));
    emit_lea(e, H_SCRATCH, at(H_SCRATCH, set ? FLAG_AC : -(s32)FLAG_AC));
    emit_store(e, state(offsetof(struct vcpu, rflags)), H_SCRATCH);
    t->next_mode = (t->mode & ~(u32)MODE_CONTEXT) | (u32)context << MODE_CONTEXT_SHIFT;
    emit_op_mem(e, 0xc7, false, 0, state(offsetof(struct vcpu, mode)));
    emit32(e, t->next_mode);
}

static void emit_stac(struct translator *t)
{
    emit_access_flag(t, TLB_KERNEL_AC);
}

static void emit_clac(struct translator *t)
{
    emit_access_flag(t, TLB_KERNEL);
}

static const struct {
    sensitive_fn *handler;
    u32 mode;  /* what it needs of the mode, beside 64 bits and CPL 0 */
    bool bmi2; /* and of the host */
    void (*emit)(struct translator *t);
} forms[] = {
    {insn_cli, 0, true, emit_cli},
    {insn_swapgs, 0, false, emit_swapgs},
    {insn_stac, MODE_SMAP, false, emit_stac},
    {insn_clac, MODE_SMAP, false, emit_clac},
};

static unsigned form_of(const struct tinsn *i)
{
    unsigned n = 0;
    while (n < ARRAY_SIZE(forms) && forms[n].handler != i->handler)
        n++;
    return n;
}

bool is_in_line(const struct translator *t, const struct tinsn *i)
{
    unsigned n = form_of(i);
    if (n == ARRAY_SIZE(forms) || !is_64(t) || !(t->mode & MODE_CPL0) || (t->mode & MODE_STEP))
        return false;
    return (t->mode & forms[n].mode) == forms[n].mode && (t->engine->has_bmi2 || !forms[n].bmi2);
}

void emit_privileged_insn(struct translator *t, const struct tinsn *i)
{
    forms[form_of(i)].emit(t);
}
