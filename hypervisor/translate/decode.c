/* decode.c - Zydis' view of an instruction turned into ours */
/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <string.h>

#include "hypervisor/cpu/vcpu.h"
#include "hypervisor/translate/decoded.h"
#include "hypervisor/translate/evex.h"
#include "hypervisor/translate/mode.h"

u8 seg_number(ZydisRegister r)
{
    switch (r) {
    case ZYDIS_REGISTER_ES: return SEG_ES;
    case ZYDIS_REGISTER_CS: return SEG_CS;
    case ZYDIS_REGISTER_SS: return SEG_SS;
    case ZYDIS_REGISTER_FS: return SEG_FS;
    case ZYDIS_REGISTER_GS: return SEG_GS;
    default: return SEG_DS;
    }
}

static u8 gpr_number(ZydisRegister r)
{
    if (r == ZYDIS_REGISTER_NONE)
        return GPR_NONE;
    return (u8)ZydisRegisterGetId(r);
}

static bool is_gpr(ZydisRegister r)
{
    switch (ZydisRegisterGetClass(r)) {
    case ZYDIS_REGCLASS_GPR8:
    case ZYDIS_REGCLASS_GPR16:
    case ZYDIS_REGCLASS_GPR32:
    case ZYDIS_REGCLASS_GPR64: return true;
    default: return false;
    }
}

static bool is_high_byte(ZydisRegister r)
{
    return r >= ZYDIS_REGISTER_AH && r <= ZYDIS_REGISTER_BH;
}

/* The register's number in an encoding without regard to its width. */
static u8 gpr_index(ZydisRegister r)
{
    if (is_high_byte(r))
        return (u8)(r - ZYDIS_REGISTER_AH);
    ZydisRegister wide = ZydisRegisterGetLargestEnclosing(ZYDIS_MACHINE_MODE_LONG_64, r);
    return (u8)ZydisRegisterGetId(wide);
}

static u8 segment_override(const struct decoded *d)
{
    static const struct {
        ZydisInstructionAttributes attribute;
        u8 seg;
    } overrides[] = {
        {ZYDIS_ATTRIB_HAS_SEGMENT_CS, SEG_CS}, {ZYDIS_ATTRIB_HAS_SEGMENT_SS, SEG_SS},
        {ZYDIS_ATTRIB_HAS_SEGMENT_ES, SEG_ES}, {ZYDIS_ATTRIB_HAS_SEGMENT_FS, SEG_FS},
        {ZYDIS_ATTRIB_HAS_SEGMENT_GS, SEG_GS},
    };
    for (size_t i = 0; i < ARRAY_SIZE(overrides); i++)
        if (d->i.attributes & overrides[i].attribute)
            return overrides[i].seg;
    return SEG_DS;
}

static bool is_addressed(const ZydisDecodedOperand *o)
{
    return o->type == ZYDIS_OPERAND_TYPE_MEMORY && o->visibility == ZYDIS_OPERAND_VISIBILITY_EXPLICIT;
}

static u8 access_of(ZydisOperandActions a)
{
    u8 access = 0;
    if (a & ZYDIS_OPERAND_ACTION_MASK_READ)
        access |= OPERAND_READ;
    if (a & ZYDIS_OPERAND_ACTION_MASK_WRITE)
        access |= OPERAND_WRITE;
    return access;
}

/* Base 101 with mod 00 is no base, whatever REX.B says (SDM 2A table 2-5); Zydis takes r13 with 32-bit
 * addresses. */
static bool sib_without_base(const struct decoded *d)
{
    const ZydisDecodedInstructionRaw *raw = &d->i.raw;
    return raw->sib.offset && raw->modrm.mod == 0 && raw->sib.base == 5;
}

static void take_memory(struct tinsn *t, const struct decoded *d, const ZydisDecodedOperand *o, u32 mode)
{
    struct insn *in = &t->in;
    in->rm_is_mem = true;
    in->mem.base = sib_without_base(d) ? GPR_NONE : gpr_number(o->mem.base);
    in->mem.index = gpr_number(o->mem.index);
    in->mem.scale = o->mem.scale ? o->mem.scale : 1;
    in->mem.seg = seg_number(o->mem.segment);
    in->mem.size = (u8)min(o->size / 8u, 255u);
    in->mem.disp = sib_without_base(d)            ? d->i.raw.disp.value
                   : o->mem.disp.has_displacement ? o->mem.disp.value
                                                  : 0;
    if (o->mem.base == ZYDIS_REGISTER_RIP || o->mem.base == ZYDIS_REGISTER_EIP) {
        in->mem.base = mode & MODE_MOVABLE ? GPR_RIP : GPR_NONE;
        in->mem.disp += (s64)(in->rip + in->length);
    }
    t->has_mem = o->mem.type == ZYDIS_MEMOP_TYPE_MEM || o->mem.type == ZYDIS_MEMOP_TYPE_VSIB;
    t->access = access_of(o->actions);
    if (d->i.encoding == ZYDIS_INSTRUCTION_ENCODING_EVEX)
        evex_take_masking(t, d, o);
    if (!t->access) /* an address only (invlpg, nop, prefetch) */
        t->has_mem = d->i.mnemonic == ZYDIS_MNEMONIC_LEA;
}

/* BSF and BSR keep their destination when the source is 0. */
static bool keeps_destination(const struct decoded *d)
{
    return d->i.mnemonic == ZYDIS_MNEMONIC_BSF || d->i.mnemonic == ZYDIS_MNEMONIC_BSR;
}

static void take_field(struct field *f, const struct decoded *d, const ZydisDecodedOperand *o)
{
    f->used = true;
    f->byte_high = is_high_byte(o->reg.value);
    f->gpr = gpr_index(o->reg.value);
    f->size = (u8)(o->size / 8);
    f->written = o->actions & ZYDIS_OPERAND_ACTION_MASK_WRITE;
    f->replaced = o->actions == ZYDIS_OPERAND_ACTION_WRITE && f->size >= 4 && !keeps_destination(d);
}

static void take_register(struct tinsn *t, const struct decoded *d, const ZydisDecodedOperand *o)
{
    if (!is_gpr(o->reg.value))
        return;
    switch (o->encoding) {
    case ZYDIS_OPERAND_ENCODING_MODRM_REG: take_field(&t->reg, d, o); break;
    case ZYDIS_OPERAND_ENCODING_MODRM_RM: take_field(&t->rm, d, o); break;
    case ZYDIS_OPERAND_ENCODING_NDSNDD: take_field(&t->v, d, o); break;
    case ZYDIS_OPERAND_ENCODING_OPCODE: take_field(&t->op, d, o); break;
    default: t->implicit_gprs |= (u16)(1u << gpr_index(o->reg.value)); break;
    }
}

static void take_operands(struct tinsn *t, const struct decoded *d, u32 mode)
{
    t->in.mem.base = t->in.mem.index = GPR_NONE;
    t->in.mem.scale = 1;
    t->in.mem.seg = segment_override(d);
    for (unsigned i = 0; i < d->i.operand_count; i++) {
        const ZydisDecodedOperand *o = &d->op[i];
        if (is_addressed(o))
            take_memory(t, d, o, mode);
        else if (o->type == ZYDIS_OPERAND_TYPE_REGISTER)
            take_register(t, d, o);
    }
}

enum unit unit_of(const struct decoded *d)
{
    ZydisISAExt ext = d->i.meta.isa_ext;
    if (ext == ZYDIS_ISA_EXT_AVX512EVEX || ext == ZYDIS_ISA_EXT_AVX512VEX)
        return UNIT_AVX512;
    if (d->i.encoding == ZYDIS_INSTRUCTION_ENCODING_VEX)
        return ext == ZYDIS_ISA_EXT_BMI1 || ext == ZYDIS_ISA_EXT_BMI2 ? UNIT_NONE : UNIT_AVX;
    if (ext == ZYDIS_ISA_EXT_X87 || d->i.mnemonic == ZYDIS_MNEMONIC_FISTTP)
        return UNIT_X87;
    if (d->i.mnemonic == ZYDIS_MNEMONIC_LDMXCSR || d->i.mnemonic == ZYDIS_MNEMONIC_STMXCSR)
        return UNIT_SSE;
    enum unit unit = ext == ZYDIS_ISA_EXT_MMX ? UNIT_MMX : UNIT_NONE;
    for (unsigned i = 0; i < d->i.operand_count; i++) {
        if (d->op[i].type != ZYDIS_OPERAND_TYPE_REGISTER)
            continue;
        ZydisRegisterClass class = ZydisRegisterGetClass(d->op[i].reg.value);
        if (class == ZYDIS_REGCLASS_XMM)
            return UNIT_SSE;
        if (class == ZYDIS_REGCLASS_MMX)
            unit = UNIT_MMX;
    }
    return unit;
}

/* The host runs the instruction in 64-bit mode, where 66 always means 16 bits: outside 64-bit mode the prefix
 * is made anew from the operand size, but for vector instructions, of which it is a part. */
static bool size_depends_on_mode(const struct tinsn *t, const struct decoded *d)
{
    return t->in.bits != 64 && unit_of(d) == UNIT_NONE;
}

static void take_legacy(struct tinsn *t, const struct decoded *d)
{
    t->encoding = ENCODING_LEGACY;
    bool by_mode = size_depends_on_mode(t, d);
    if (by_mode && t->in.opsize == 2)
        t->prefix[t->prefix_count++] = 0x66;
    for (unsigned i = 0; i < d->i.raw.prefix_count && t->prefix_count < ARRAY_SIZE(t->prefix); i++) {
        u8 p = d->i.raw.prefixes[i].value;
        bool size_override = p == 0x66 && by_mode && d->i.raw.prefixes[i].type != ZYDIS_PREFIX_TYPE_MANDATORY;
        if ((p == 0x66 || p == 0xf2 || p == 0xf3 || p == 0xf0) && !size_override)
            t->prefix[t->prefix_count++] = p;
    }
    t->rex_present = d->i.attributes & ZYDIS_ATTRIB_HAS_REX;
    t->w = t->rex_present && d->i.raw.rex.W;
}

static void take_vex(struct tinsn *t, const struct decoded *d)
{
    const u8 *vex = t->in.bytes + d->i.raw.vex.offset;
    u8 last = vex[d->i.raw.vex.size - 1];
    t->encoding = ENCODING_VEX;
    t->w = d->i.raw.vex.size == 3 && (last & 0x80);
    t->vex_l = last >> 2 & 1;
    t->vex_pp = last & 3;
    t->vvvv = ~last >> 3 & (t->in.bits == 64 ? 15 : 7);
}

/* Outside 64-bit mode W does not widen what is moved between vector and general registers, or memory. */
static bool ignores_w(const struct tinsn *t, const struct decoded *d)
{
    switch (d->i.mnemonic) {
    case ZYDIS_MNEMONIC_VMOVD:
    case ZYDIS_MNEMONIC_VMOVW:
    case ZYDIS_MNEMONIC_VPINSRD:
    case ZYDIS_MNEMONIC_VPEXTRD:
    case ZYDIS_MNEMONIC_VCVTSI2SS:
    case ZYDIS_MNEMONIC_VCVTSI2SD:
    case ZYDIS_MNEMONIC_VCVTSI2SH:
    case ZYDIS_MNEMONIC_VCVTUSI2SS:
    case ZYDIS_MNEMONIC_VCVTUSI2SD:
    case ZYDIS_MNEMONIC_VCVTUSI2SH: return true;
    default: return t->reg.used || t->rm.used || t->v.used;
    }
}

/* Nor are there more than eight registers, whatever bits name them (SDM 2A 2.3.5, 2.3.6, 2.7.11). */
static void narrow_vector_encoding(struct tinsn *t, const struct decoded *d)
{
    enum { EVEX_W = 0x80, IS4_HIGH = 0x80 };
    if (ignores_w(t, d)) {
        t->w = false;
        t->evex[1] &= (u8)~EVEX_W;
    }
    for (unsigned i = 0; i < d->i.operand_count_visible; i++)
        if (d->op[i].encoding == ZYDIS_OPERAND_ENCODING_IS4)
            t->imm[0] &= (u8)~IS4_HIGH;
}

static u8 map_number(ZydisOpcodeMap m)
{
    return m == ZYDIS_OPCODE_MAP_0F ? 1 : m == ZYDIS_OPCODE_MAP_0F38 ? 2 : m == ZYDIS_OPCODE_MAP_0F3A ? 3 : 0;
}

/* R, X, B of a REX or VEX prefix, not inverted: bit 2, 1, 0. */
static u8 extension_bits(const struct tinsn *t, const struct decoded *d)
{
    if (t->encoding == ENCODING_EVEX)
        return ~t->evex[0] >> 5 & 7;
    if (t->in.bits != 64)
        return 0;
    if (t->encoding == ENCODING_VEX) {
        u8 first = t->in.bytes[d->i.raw.vex.offset + 1];
        return d->i.raw.vex.size == 3 ? ~first >> 5 & 7 : (~first >> 7 & 1) << 2;
    }
    if (!t->rex_present)
        return 0;
    return (u8)(d->i.raw.rex.R << 2 | d->i.raw.rex.X << 1 | d->i.raw.rex.B);
}

/* Where the bytes after ModRM, SIB and displacement begin: immediates, is4. */
static unsigned immediate_offset(const struct decoded *d)
{
    const ZydisDecodedInstructionRaw *raw = &d->i.raw;
    if (d->i.attributes & ZYDIS_ATTRIB_HAS_MODRM)
        return raw->modrm.offset + 1u + (raw->sib.offset != 0) + raw->disp.size / 8;
    return raw->imm[0].size ? raw->imm[0].offset : d->i.length;
}

static void take_encoding(struct tinsn *t, const struct decoded *d)
{
    if (d->i.encoding == ZYDIS_INSTRUCTION_ENCODING_VEX)
        take_vex(t, d);
    else if (d->i.encoding == ZYDIS_INSTRUCTION_ENCODING_EVEX)
        evex_take_encoding(t, d);
    else
        take_legacy(t, d);
    u8 ext = extension_bits(t, d);
    t->map = map_number(d->i.opcode_map);
    t->opcode = d->i.opcode;
    t->has_modrm = d->i.attributes & ZYDIS_ATTRIB_HAS_MODRM;
    t->modrm_reg = (u8)(d->i.raw.modrm.reg | (ext & 4) << 1);
    t->modrm_rm = (u8)(d->i.raw.modrm.rm | (ext & 1) << 3);
    if (t->op.used)
        t->op.gpr = t->op.byte_high ? t->op.gpr : (u8)((t->opcode & 7) | (ext & 1) << 3);
    unsigned start = immediate_offset(d);
    t->imm_size = (u8)min(d->i.length - start, (unsigned)sizeof(t->imm));
    memcpy(t->imm, t->in.bytes + start, t->imm_size);
    if (t->encoding != ENCODING_LEGACY && t->in.bits != 64)
        narrow_vector_encoding(t, d);
}

static void take_immediates(struct tinsn *t, const struct decoded *d)
{
    unsigned n = 0;
    for (unsigned i = 0; i < d->i.operand_count_visible; i++) {
        const ZydisDecodedOperand *o = &d->op[i];
        if (o->type == ZYDIS_OPERAND_TYPE_POINTER) {
            t->in.imm = o->ptr.offset;
            t->in.imm2 = o->ptr.segment;
        } else if (o->type == ZYDIS_OPERAND_TYPE_IMMEDIATE) {
            u64 value = o->imm.value.u;
            *(n++ ? &t->in.imm2 : &t->in.imm) = value;
        }
    }
}

/* 90 is XCHG with rAX where REX.B stands, also behind F3, where Zydis sees a PAUSE (SDM 2B "NOP", "PAUSE").
 */
static bool is_exchange_with_r8(const struct decoded *d)
{
    return d->i.mnemonic == ZYDIS_MNEMONIC_PAUSE && (d->i.attributes & ZYDIS_ATTRIB_HAS_REX) &&
           d->i.raw.rex.B;
}

static bool obeys_size_prefix(const struct decoded *d, unsigned bits)
{
    bool near =
        d->i.meta.branch_type == ZYDIS_BRANCH_TYPE_NEAR || d->i.meta.branch_type == ZYDIS_BRANCH_TYPE_SHORT;
    bool wide = d->i.attributes & ZYDIS_ATTRIB_HAS_REX && d->i.raw.rex.W;
    return bits == 64 && near && !wide && (d->i.attributes & ZYDIS_ATTRIB_HAS_OPERANDSIZE) &&
           near_branches_obey_size_prefix();
}

static void take_insn(struct tinsn *t, const struct decoded *d, u64 rip, u32 mode)
{
    struct insn *in = &t->in;
    unsigned bits = mode_bits(mode);
    in->rip = rip;
    in->length = d->i.length;
    in->opsize = obeys_size_prefix(d, bits) ? 2 : d->i.operand_width / 8;
    in->addrsize = d->i.address_width / 8;
    in->bits = (u8)bits;
    in->mnemonic = (u16)d->i.mnemonic;
    in->opcode = d->i.opcode;
    in->lock = d->i.attributes & ZYDIS_ATTRIB_HAS_LOCK;
    if (d->i.attributes & (ZYDIS_ATTRIB_HAS_REP | ZYDIS_ATTRIB_HAS_REPE))
        in->rep = 0xf3;
    else if (d->i.attributes & ZYDIS_ATTRIB_HAS_REPNE)
        in->rep = 0xf2;
    take_operands(t, d, mode);
    if (is_exchange_with_r8(d)) {
        t->op = (struct field){.used = true, .written = true, .gpr = GPR_R8};
        t->implicit_gprs |= BIT(GPR_RAX);
    }
    take_encoding(t, d);
    take_immediates(t, d);
    in->rex = t->rex_present;
    in->reg = t->has_modrm ? t->modrm_reg : (u8)((t->opcode & 7) | (extension_bits(t, d) & 1) << 3);
    in->rm = t->modrm_rm;
    if (t->encoding == ENCODING_VEX) {
        in->opsize = t->vex_l ? 32 : 16;
        in->imm2 = t->vvvv;
    }
}

/* Shifts and rotates leave the flags alone when the masked count is 0. */
static bool count_may_be_zero(const struct tinsn *t)
{
    switch (t->in.mnemonic) {
    case ZYDIS_MNEMONIC_SHL:
    case ZYDIS_MNEMONIC_SHR:
    case ZYDIS_MNEMONIC_SAR:
    case ZYDIS_MNEMONIC_ROL:
    case ZYDIS_MNEMONIC_ROR:
    case ZYDIS_MNEMONIC_RCL:
    case ZYDIS_MNEMONIC_RCR:
    case ZYDIS_MNEMONIC_SHLD:
    case ZYDIS_MNEMONIC_SHRD: break;
    default: return false;
    }
    bool by_one = t->map == 0 && (t->opcode == 0xd0 || t->opcode == 0xd1);
    if (by_one)
        return false;
    return !t->imm_size || !(t->imm[0] & (t->in.opsize == 8 ? 63 : 31));
}

/* Flags that the manual leaves undefined, and that processors leave alone. */
static bool keeps_undefined_flags(const struct tinsn *t)
{
    switch (t->in.mnemonic) {
    case ZYDIS_MNEMONIC_MUL:
    case ZYDIS_MNEMONIC_IMUL:
    case ZYDIS_MNEMONIC_DIV:
    case ZYDIS_MNEMONIC_IDIV:
    case ZYDIS_MNEMONIC_BT:
    case ZYDIS_MNEMONIC_BTC:
    case ZYDIS_MNEMONIC_BTR:
    case ZYDIS_MNEMONIC_BTS:
    case ZYDIS_MNEMONIC_BSF:
    case ZYDIS_MNEMONIC_BSR:
    case ZYDIS_MNEMONIC_TZCNT:
    case ZYDIS_MNEMONIC_LZCNT: return true;
    default: return false;
    }
}

static void take_flags(struct tinsn *t, const struct decoded *d)
{
    const ZydisAccessedFlags *f = d->i.cpu_flags;
    if (!f)
        return;
    t->flags_read = f->tested & FLAGS_ARITH;
    t->flags_changed = (f->modified | f->set_0 | f->set_1 | f->undefined) & FLAGS_ARITH;
    t->flags_written = count_may_be_zero(t) ? 0 : t->flags_changed;
    if (keeps_undefined_flags(t))
        t->flags_written &= ~f->undefined;
}

static void decode_invalid(struct tinsn *t, const u8 *code, size_t n, u64 rip, u32 mode, bool too_long)
{
    memset(t, 0, sizeof(*t));
    t->in.rip = rip;
    t->in.bits = (u8)mode_bits(mode);
    /* Any of the bytes may be why, and the block is valid as long as they are the same. */
    t->in.length = (u8)min(n, sizeof(t->in.bytes));
    t->in.mem.base = t->in.mem.index = GPR_NONE;
    memcpy(t->in.bytes, code, min(n, sizeof(t->in.bytes)));
    classify_invalid(t, too_long);
}

static void decoder_init(ZydisDecoder *z, u32 mode)
{
    static const struct {
        ZydisMachineMode machine;
        ZydisStackWidth width;
    } modes[] = {
        [MODE_16] = {ZYDIS_MACHINE_MODE_LEGACY_16, ZYDIS_STACK_WIDTH_16},
        [MODE_32] = {ZYDIS_MACHINE_MODE_LEGACY_32, ZYDIS_STACK_WIDTH_32},
        [MODE_64] = {ZYDIS_MACHINE_MODE_LONG_64, ZYDIS_STACK_WIDTH_64},
    };
    unsigned m = mode & MODE_BITS;
    ZydisDecoderInit(z, modes[m].machine, modes[m].width);
    ZydisDecoderEnableMode(z, ZYDIS_DECODER_MODE_MPX, ZYAN_FALSE);
    ZydisDecoderEnableMode(z, ZYDIS_DECODER_MODE_AMD_BRANCHES, near_branches_obey_size_prefix());
}

enum decode_result decode(struct tinsn *t, const u8 *code, size_t n, u64 rip, u32 mode)
{
    ZydisDecoder z;
    struct decoded d;
    decoder_init(&z, mode);
    n = min(n, (size_t)ZYDIS_MAX_INSTRUCTION_LENGTH);
    ZyanStatus s = ZydisDecoderDecodeFull(&z, code, n, &d.i, d.op);
    if (s == ZYDIS_STATUS_NO_MORE_DATA && n < ZYDIS_MAX_INSTRUCTION_LENGTH)
        return DECODE_TRUNCATED;
    if (!ZYAN_SUCCESS(s)) {
        bool too_long = s == ZYDIS_STATUS_INSTRUCTION_TOO_LONG || s == ZYDIS_STATUS_NO_MORE_DATA;
        decode_invalid(t, code, n, rip, mode, too_long);
        return DECODE_OK;
    }
    memset(t, 0, sizeof(*t));
    memcpy(t->in.bytes, code, min(n, sizeof(t->in.bytes)));
    take_insn(t, &d, rip, mode);
    take_flags(t, &d);
    t->unit = (u8)unit_of(&d);
    classify(t, &d, mode);
    return DECODE_OK;
}
