/* privileged.c - privileged instructions whose effect is a few moves within the vcpu, in line (SDM 2A, 2B) */
/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * In 64-bit code, and with what their row asks for, they cannot fault. None of this changes the host's flags.
 *
 * STI holds off interrupts until after the next instruction. In line that one follows in the same block,
 * before any poll; if an interrupt waits already, C has the run loop step over it.
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

/* IF is shifted out at the left, as bit 63, and the new value comes in at the right in its place. */
static void emit_interrupt_flag(struct translator *t, bool set)
{
    enum { IF_BIT = 9 };
    emit_load(&t->e, H_SCRATCH, state(offsetof(struct vcpu, rflags)));
    emit_rorx(t, IF_BIT + 1);
    emit_lea(&t->e, H_SCRATCH, (struct host_mem){H_SCRATCH, H_SCRATCH, 1, set});
    emit_rorx(t, 64 - IF_BIT);
    emit_store(&t->e, state(offsetof(struct vcpu, rflags)), H_SCRATCH);
}

static void emit_cli(struct translator *t, const struct tinsn *i)
{
    (void)i;
    emit_interrupt_flag(t, false);
}

/* request_interrupt_window, the first byte of kvm_run: user space wants to hear of it too. */
static void emit_sti(struct translator *t, const struct tinsn *i)
{
    struct emitter *e = &t->e;
    flags_to_host(t);
    emit_store(e, spill(SPILL_BRANCH), H_RCX);
    emit_op_mem(e, 0x0fb6, false, H_RCX, state(offsetof(struct vcpu, interrupt_waits)));
    emit_op_mem(e, 0x0fb6, false, H_SCRATCH, at(H_VCPU, VCPU_RUN));
    emit_lea32(e, H_RCX, (struct host_mem){H_RCX, H_SCRATCH, 1, 0});
    emit8(e, 0xe3); /* jrcxz */
    emit8(e, 0);
    u8 *none = e->p - 1;
    emit_load(e, H_RCX, spill(SPILL_BRANCH));
    emit_helper(t, i, true);
    if (!e->overflow)
        *none = (u8)(e->p - (none + 1));
    emit_load(e, H_RCX, spill(SPILL_BRANCH));
    emit_interrupt_flag(t, true);
}

/* The instruction behind an STI in line: it neither polls nor calls. */
static bool is_simple(const struct tinsn *i)
{
    return i->kind == KIND_COPY || i->kind == KIND_SKIP || i->kind == KIND_LEA || i->kind == KIND_WRAP ||
           i->kind == KIND_PUSH || i->kind == KIND_POP;
}

void privileged_plan(struct translator *t)
{
    for (unsigned n = 0; n < t->count; n++) {
        struct tinsn *i = &t->insn[n];
        if (i->kind != KIND_PRIVILEGED || i->handler != insn_sti ||
            (n + 1 < t->count && is_simple(&t->insn[n + 1])))
            continue;
        i->kind = KIND_SENSITIVE;
        i->sensitive_flags = SENSITIVE_ENDS;
        t->count = n + 1;
        t->block->length = (u16)(i->in.rip + i->in.length - t->block->pc);
    }
}

/* edx:eax = the host's TSC + tsc_offset */
static void emit_rdtsc(struct translator *t, const struct tinsn *i)
{
    static const u8 to_r12[] = {0xc4, 0x63, 0xfb, 0xf0, 0xe2, 32};   /* rorx $32, %rdx, %r12 */
    static const u8 from_r12[] = {0xc4, 0xc3, 0xfb, 0xf0, 0xd4, 32}; /* rorx $32, %r12, %rdx */
    struct emitter *e = &t->e;
    (void)i;
    t->in_address = NULL;
    emit8(e, 0x0f); /* rdtsc */
    emit8(e, 0x31);
    emit_bytes(e, to_r12, sizeof(to_r12));
    emit_lea(e, H_SCRATCH, (struct host_mem){H_SCRATCH, H_RAX, 1, 0});
    emit_load(e, H_ADDRESS, state(offsetof(struct vcpu, tsc_offset)));
    emit_lea(e, H_SCRATCH, (struct host_mem){H_SCRATCH, H_ADDRESS, 1, 0});
    emit_move32(e, H_RAX, H_SCRATCH);
    emit_bytes(e, from_r12, sizeof(from_r12));
    emit_move32(e, H_RDX, H_RDX);
}

static void emit_swapgs(struct translator *t, const struct tinsn *i)
{
    struct emitter *e = &t->e;
    (void)i;
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

static void emit_stac(struct translator *t, const struct tinsn *i)
{
    (void)i;
    emit_access_flag(t, TLB_KERNEL_AC);
}

static void emit_clac(struct translator *t, const struct tinsn *i)
{
    (void)i;
    emit_access_flag(t, TLB_KERNEL);
}

static const struct {
    sensitive_fn *handler;
    u32 mode;  /* what it needs of the mode, beside 64 bits */
    bool bmi2; /* and of the host */
    bool ends; /* the code behind it is of another mode */
    operand_fn *emit;
} forms[] = {
    {insn_cli, MODE_CPL0, true, false, emit_cli},
    {insn_sti, MODE_CPL0, true, false, emit_sti},
    {insn_swapgs, MODE_CPL0, false, false, emit_swapgs},
    {insn_stac, MODE_CPL0 | MODE_SMAP, false, true, emit_stac},
    {insn_clac, MODE_CPL0 | MODE_SMAP, false, true, emit_clac},
    {insn_rdtsc, MODE_TSC, true, false, emit_rdtsc},
    {insn_pushf, 0, false, false, emit_pushf_insn},
};

static unsigned form_of(const struct tinsn *i)
{
    unsigned n = 0;
    while (n < ARRAY_SIZE(forms) && forms[n].handler != i->handler)
        n++;
    return n;
}

void privileged_in_line(const struct translator *t, struct tinsn *i)
{
    unsigned n = form_of(i);
    if (n == ARRAY_SIZE(forms) || !is_64(t) || (t->mode & MODE_STEP))
        return;
    if ((t->mode & forms[n].mode) != forms[n].mode || (!t->engine->has_bmi2 && forms[n].bmi2))
        return;
    bool stacks = i->handler == insn_pushf;
    if (stacks && i->in.opsize != 8)
        return;
    i->kind = stacks ? KIND_PUSHF : KIND_PRIVILEGED;
    i->sensitive_flags = forms[n].ends ? SENSITIVE_ENDS : 0;
}

void emit_privileged_insn(struct translator *t, const struct tinsn *i)
{
    forms[form_of(i)].emit(t, i);
}
