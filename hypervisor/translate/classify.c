/* classify.c - what is done with an instruction: copied, wrapped, a branch, or sensitive (design: four
 * classes) */
/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "hypervisor/cpu/handlers.h"
#include "hypervisor/cpu/vcpu.h"
#include "hypervisor/translate/decoded.h"
#include "hypervisor/translate/evex.h"
#include "hypervisor/translate/features.h"
#include "hypervisor/translate/mode.h"

static void insn_undefined(struct vcpu *v, const struct insn *in)
{
    (void)in;
    raise_exception(v, EXC_UD);
}

static void insn_too_long(struct vcpu *v, const struct insn *in)
{
    (void)in;
    raise_exception_code(v, EXC_GP, 0);
}

/* What the guest may execute natively: the extensions that cpuid.c offers. Others are undefined. */
static bool extension_offered(ZydisISAExt ext)
{
    switch (ext) {
    case ZYDIS_ISA_EXT_ADOX_ADCX:
    case ZYDIS_ISA_EXT_AES:
    case ZYDIS_ISA_EXT_AMD3DNOW_PREFETCH:
    case ZYDIS_ISA_EXT_AVX:
    case ZYDIS_ISA_EXT_AVX2:
    case ZYDIS_ISA_EXT_AVX2GATHER:
    case ZYDIS_ISA_EXT_AVX512EVEX:
    case ZYDIS_ISA_EXT_AVX512VEX:
    case ZYDIS_ISA_EXT_AVXAES:
    case ZYDIS_ISA_EXT_AVX_VNNI:
    case ZYDIS_ISA_EXT_BASE:
    case ZYDIS_ISA_EXT_BMI1:
    case ZYDIS_ISA_EXT_BMI2:
    case ZYDIS_ISA_EXT_CET: /* decodes as the hint nops that it is made of */
    case ZYDIS_ISA_EXT_CLDEMOTE:
    case ZYDIS_ISA_EXT_CLFLUSHOPT:
    case ZYDIS_ISA_EXT_CLFSH:
    case ZYDIS_ISA_EXT_CLWB:
    case ZYDIS_ISA_EXT_F16C:
    case ZYDIS_ISA_EXT_FMA:
    case ZYDIS_ISA_EXT_GFNI:
    case ZYDIS_ISA_EXT_INVPCID:
    case ZYDIS_ISA_EXT_LONGMODE:
    case ZYDIS_ISA_EXT_LZCNT:
    case ZYDIS_ISA_EXT_MMX:
    case ZYDIS_ISA_EXT_MONITOR:
    case ZYDIS_ISA_EXT_MOVBE:
    case ZYDIS_ISA_EXT_PAUSE:
    case ZYDIS_ISA_EXT_PCLMULQDQ:
    case ZYDIS_ISA_EXT_RDPID:
    case ZYDIS_ISA_EXT_RDRAND:
    case ZYDIS_ISA_EXT_RDSEED:
    case ZYDIS_ISA_EXT_RDTSCP:
    case ZYDIS_ISA_EXT_RDWRFSGS:
    case ZYDIS_ISA_EXT_SERIALIZE:
    case ZYDIS_ISA_EXT_SHA:
    case ZYDIS_ISA_EXT_SMAP:
    case ZYDIS_ISA_EXT_SSE:
    case ZYDIS_ISA_EXT_SSE2:
    case ZYDIS_ISA_EXT_SSE3:
    case ZYDIS_ISA_EXT_SSE4:
    case ZYDIS_ISA_EXT_SSSE3:
    case ZYDIS_ISA_EXT_VAES:
    case ZYDIS_ISA_EXT_VPCLMULQDQ:
    case ZYDIS_ISA_EXT_SVM:
    case ZYDIS_ISA_EXT_VTX:
    case ZYDIS_ISA_EXT_X87:
    case ZYDIS_ISA_EXT_XSAVE:
    case ZYDIS_ISA_EXT_XSAVEC:
    case ZYDIS_ISA_EXT_XSAVEOPT:
    case ZYDIS_ISA_EXT_XSAVES: return true;
    default: return false;
    }
}

static void make_sensitive(struct tinsn *t, sensitive_fn *handler, u8 flags)
{
    t->kind = KIND_SENSITIVE;
    t->handler = handler;
    t->sensitive_flags = flags;
}

static bool operand_is(const struct decoded *d, unsigned i, ZydisRegisterClass class)
{
    return i < d->i.operand_count_visible && d->op[i].type == ZYDIS_OPERAND_TYPE_REGISTER &&
           ZydisRegisterGetClass(d->op[i].reg.value) == class;
}

/* MOV, PUSH and POP with a segment, control or debug register. */
static bool classify_system_move(struct tinsn *t, const struct decoded *d)
{
    static const struct {
        u16 mnemonic;
        u8 operand;
        ZydisRegisterClass class;
        sensitive_fn *handler;
        u8 flags;
    } forms[] = {
        {ZYDIS_MNEMONIC_MOV, 0, ZYDIS_REGCLASS_SEGMENT, insn_mov_to_sreg, SENSITIVE_ENDS},
        {ZYDIS_MNEMONIC_MOV, 1, ZYDIS_REGCLASS_SEGMENT, insn_mov_from_sreg, 0},
        {ZYDIS_MNEMONIC_MOV, 0, ZYDIS_REGCLASS_CONTROL, insn_mov_to_cr, SENSITIVE_ENDS},
        {ZYDIS_MNEMONIC_MOV, 1, ZYDIS_REGCLASS_CONTROL, insn_mov_from_cr, 0},
        {ZYDIS_MNEMONIC_MOV, 0, ZYDIS_REGCLASS_DEBUG, insn_mov_to_dr, SENSITIVE_ENDS},
        {ZYDIS_MNEMONIC_MOV, 1, ZYDIS_REGCLASS_DEBUG, insn_mov_from_dr, 0},
        {ZYDIS_MNEMONIC_PUSH, 0, ZYDIS_REGCLASS_SEGMENT, insn_push_sreg, 0},
        {ZYDIS_MNEMONIC_POP, 0, ZYDIS_REGCLASS_SEGMENT, insn_pop_sreg, SENSITIVE_ENDS},
    };
    for (size_t i = 0; i < ARRAY_SIZE(forms); i++) {
        if (d->i.mnemonic != forms[i].mnemonic || !operand_is(d, forms[i].operand, forms[i].class))
            continue;
        if (forms[i].class == ZYDIS_REGCLASS_SEGMENT)
            t->in.reg &= 7; /* REX.R does not count */
        if (forms[i].mnemonic != ZYDIS_MNEMONIC_MOV)
            t->in.reg = seg_number(d->op[0].reg.value);
        make_sensitive(t, forms[i].handler, forms[i].flags);
        return true;
    }
    return false;
}

static bool classify_far(struct tinsn *t, const struct decoded *d)
{
    if (d->i.meta.branch_type != ZYDIS_BRANCH_TYPE_FAR)
        return false;
    switch (d->i.mnemonic) {
    case ZYDIS_MNEMONIC_JMP: make_sensitive(t, insn_jmp_far, SENSITIVE_ENDS); return true;
    case ZYDIS_MNEMONIC_CALL: make_sensitive(t, insn_call_far, SENSITIVE_ENDS); return true;
    case ZYDIS_MNEMONIC_RET: make_sensitive(t, insn_ret_far, SENSITIVE_ENDS); return true;
    default: return false;
    }
}

static bool classify_sensitive(struct tinsn *t, const struct decoded *d)
{
    bool string_name = d->i.mnemonic == ZYDIS_MNEMONIC_MOVSD || d->i.mnemonic == ZYDIS_MNEMONIC_CMPSD;
    if (string_name && d->i.meta.category != ZYDIS_CATEGORY_STRINGOP) /* SSE2's */
        return false;
    if (d->i.mnemonic == ZYDIS_MNEMONIC_PAUSE && t->op.used) /* an exchange with r8 */
        return false;
    const struct sensitive *s = sensitive_find((u16)d->i.mnemonic);
    if (!s)
        return false;
    make_sensitive(t, s->handler, s->flags);
    return true;
}

static bool classify_near_branch(struct tinsn *t, const struct decoded *d)
{
    bool direct = d->op[0].type == ZYDIS_OPERAND_TYPE_IMMEDIATE;
    switch (d->i.mnemonic) {
    case ZYDIS_MNEMONIC_JMP: t->kind = direct ? KIND_JMP : KIND_JMP_INDIRECT; return true;
    case ZYDIS_MNEMONIC_CALL: t->kind = direct ? KIND_CALL : KIND_CALL_INDIRECT; return true;
    case ZYDIS_MNEMONIC_RET: t->kind = KIND_RET; return true;
    case ZYDIS_MNEMONIC_LOOP:
    case ZYDIS_MNEMONIC_LOOPE:
    case ZYDIS_MNEMONIC_LOOPNE:
    case ZYDIS_MNEMONIC_JCXZ:
    case ZYDIS_MNEMONIC_JECXZ:
    case ZYDIS_MNEMONIC_JRCXZ: t->kind = KIND_LOOP; return true;
    default: break;
    }
    if (d->i.meta.category != ZYDIS_CATEGORY_COND_BR)
        return false;
    t->kind = KIND_JCC;
    return true;
}

/* PREFETCHW's opcode with a register is undefined on some processors, a no-operation on others: the host
 * knows. */
static bool is_prefetch_of_register(const struct decoded *d)
{
    return d->i.opcode_map == ZYDIS_OPCODE_MAP_0F && d->i.opcode == 0x0d && d->i.raw.modrm.mod == 3;
}

static bool is_hint(const struct decoded *d)
{
    if (is_prefetch_of_register(d))
        return false;
    switch (d->i.meta.category) {
    case ZYDIS_CATEGORY_NOP:
    case ZYDIS_CATEGORY_WIDENOP:
    case ZYDIS_CATEGORY_PREFETCH: return true;
    default: return d->i.meta.isa_ext == ZYDIS_ISA_EXT_CET || d->i.meta.isa_ext == ZYDIS_ISA_EXT_CLDEMOTE;
    }
}

static bool is_bit_string(const struct tinsn *t)
{
    switch (t->in.mnemonic) {
    case ZYDIS_MNEMONIC_BT:
    case ZYDIS_MNEMONIC_BTS:
    case ZYDIS_MNEMONIC_BTR:
    case ZYDIS_MNEMONIC_BTC: return t->has_mem && t->reg.used;
    default: return false;
    }
}

static void classify_native(struct tinsn *t, const struct decoded *d)
{
    switch (d->i.mnemonic) {
    case ZYDIS_MNEMONIC_LEA: t->kind = KIND_LEA; return;
    case ZYDIS_MNEMONIC_PUSH: t->kind = KIND_PUSH; return;
    case ZYDIS_MNEMONIC_POP: t->kind = KIND_POP; return;
    case ZYDIS_MNEMONIC_LEAVE: t->kind = KIND_LEAVE; return;
    default: break;
    }
    t->bit_string = is_bit_string(t);
    t->kind = t->has_mem ? KIND_WRAP : KIND_COPY;
}

/* Of CET, which is not offered, only what is made of hint no-operations remains. */
static bool needs_shadow_stacks(const struct decoded *d)
{
    if (d->i.meta.isa_ext != ZYDIS_ISA_EXT_CET)
        return false;
    switch (d->i.mnemonic) {
    case ZYDIS_MNEMONIC_ENDBR32:
    case ZYDIS_MNEMONIC_ENDBR64:
    case ZYDIS_MNEMONIC_RDSSPD:
    case ZYDIS_MNEMONIC_RDSSPQ: return false;
    default: return true;
    }
}

/* A misaligned operand raises #GP (SDM 2A table 2-19, 2-20, 2-22: types 1, 2 and 4 of legacy SSE, 1 of AVX
 * and AVX-512).
 */
static bool must_be_aligned(const struct decoded *d)
{
    switch (d->i.mnemonic) {
    case ZYDIS_MNEMONIC_MOVUPS:
    case ZYDIS_MNEMONIC_MOVUPD:
    case ZYDIS_MNEMONIC_MOVDQU:
    case ZYDIS_MNEMONIC_LDDQU:
    case ZYDIS_MNEMONIC_PCMPESTRI:
    case ZYDIS_MNEMONIC_PCMPESTRM:
    case ZYDIS_MNEMONIC_PCMPISTRI:
    case ZYDIS_MNEMONIC_PCMPISTRM: return false;
    case ZYDIS_MNEMONIC_CMPXCHG16B:
    case ZYDIS_MNEMONIC_CVTPD2PI:
    case ZYDIS_MNEMONIC_CVTTPD2PI: return true;
    default: break;
    }
    if (d->i.meta.isa_ext == ZYDIS_ISA_EXT_SHA && !sha_operands_are_aligned())
        return false;
    switch (d->i.meta.exception_class) {
    case ZYDIS_EXCEPTION_CLASS_SSE1:
    case ZYDIS_EXCEPTION_CLASS_SSE2:
    case ZYDIS_EXCEPTION_CLASS_SSE4:
    case ZYDIS_EXCEPTION_CLASS_AVX1:
    case ZYDIS_EXCEPTION_CLASS_E1:
    case ZYDIS_EXCEPTION_CLASS_E1NF: return true;
    default: return false;
    }
}

static bool waits_for_x87(const struct tinsn *t)
{
    switch (t->in.mnemonic) {
    case ZYDIS_MNEMONIC_FNSTCW:
    case ZYDIS_MNEMONIC_FNSTSW: return false;
    default: return t->unit == UNIT_X87 || t->unit == UNIT_MMX;
    }
}

/* Intel's processors check operands below 16 bytes (vendor.h), but not these of 8. */
static bool is_never_misaligned(const struct tinsn *t)
{
    bool half = t->in.mnemonic == ZYDIS_MNEMONIC_VCVTPS2PH || t->in.mnemonic == ZYDIS_MNEMONIC_VCVTPH2PS;
    return half && !vectors_are_aligned();
}

/* An x87 store writes nothing where it raises an unmasked exception: what memory has must go through bounce.
 */
static void take_operand_checks(struct tinsn *t, const struct decoded *d)
{
    t->aligned = t->has_mem && t->in.mem.size >= 16 && must_be_aligned(d);
    t->unaligned = is_never_misaligned(t);
    t->waits = waits_for_x87(t);
    t->traps = t->unit != UNIT_NONE || t->aligned || t->in.mnemonic == ZYDIS_MNEMONIC_DIV ||
               t->in.mnemonic == ZYDIS_MNEMONIC_IDIV || is_prefetch_of_register(d);
    if (t->unit == UNIT_X87 && t->access == OPERAND_WRITE)
        t->access |= OPERAND_READ;
}

static bool is_offered(const struct decoded *d, u32 mode)
{
    bool vector =
        d->i.encoding == ZYDIS_INSTRUCTION_ENCODING_VEX || d->i.encoding == ZYDIS_INSTRUCTION_ENCODING_EVEX;
    bool encoded = d->i.encoding == ZYDIS_INSTRUCTION_ENCODING_LEGACY ||
                   (vector && !(mode & MODE_REAL)); /* SDM 2A 2.3.1 */
    return encoded && extension_offered(d->i.meta.isa_ext) && !needs_shadow_stacks(d) && !host_lacks(d);
}

void classify(struct tinsn *t, const struct decoded *d, u32 mode)
{
    take_operand_checks(t, d);
    if (!is_offered(d, mode))
        make_sensitive(t, insn_undefined, SENSITIVE_ENDS);
    else if (classify_system_move(t, d) || classify_far(t, d) || evex_classify(t, d) ||
             classify_sensitive(t, d) || classify_near_branch(t, d))
        return;
    else if (is_hint(d))
        t->kind = KIND_SKIP;
    else
        classify_native(t, d);
}

void classify_invalid(struct tinsn *t, bool too_long)
{
    make_sensitive(t, too_long ? insn_too_long : insn_undefined, SENSITIVE_ENDS);
}
