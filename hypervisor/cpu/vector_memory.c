/* vector_memory.c - vector instructions whose elements access memory one by one (SDM 2B "MASKMOV", 2C
 * "VGATHER", "VSCATTER") */
/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * An element that its mask leaves out does not fault, so no one host access can stand for all of them. These
 * work on the saved image of the registers: fpu_put, the elements, fpu_get. If an element faults, the state
 * stays saved, and the run loop loads it again. The vector length is in->opsize; the register of VEX.vvvv, or
 * the opmask of EVEX.aaa, in->imm2.
 */
#include <string.h>
#include <Zydis/Mnemonic.h>

#include "hypervisor/cpu/handlers.h"
#include "hypervisor/cpu/vcpu.h"
#include "hypervisor/cpu/vendor.h"
#include "hypervisor/cpu/xsave.h"

static void require_avx(struct vcpu *v, bool avx2)
{
    const u64 vectors = XSTATE_SSE | XSTATE_AVX;
    if (!in_protected(v) || !(v->cr4 & CR4_OSXSAVE) || (v->xcr0 & vectors) != vectors)
        raise_exception(v, EXC_UD);
    if (avx2 && !cpuid_has(v, 7, 0, 1, 5))
        raise_exception(v, EXC_UD);
    if (v->cr0 & CR0_TS)
        raise_exception(v, EXC_NM);
}

static void require_avx512(struct vcpu *v)
{
    const u64 needed = XSTATE_SSE | XSTATE_AVX | XSTATE_AVX512;
    if (!in_protected(v) || !(v->cr4 & CR4_OSXSAVE) || (v->xcr0 & needed) != needed)
        raise_exception(v, EXC_UD);
    if (v->cr0 & CR0_TS)
        raise_exception(v, EXC_NM);
}

/* ---- a vector register in the saved image ---- */

struct vector {
    u8 bytes[64];
};

static struct vector vector_read(struct vcpu *v, u8 n)
{
    struct vector r = {{0}};
    const u8 *upper = fpu_component(v, COMPONENT_ZMM_HI256), *high = fpu_component(v, COMPONENT_HI16_ZMM);
    if (n >= 16) {
        memcpy(r.bytes, high + (n & 15) * 64, 64);
        return r;
    }
    memcpy(r.bytes, fpu_area(v)->xmm[n], 16);
    memcpy(r.bytes + 16, fpu_area(v)->ymm_high[n], 16);
    if (upper)
        memcpy(r.bytes + 32, upper + n * 32, 32);
    return r;
}

static void vector_write(struct vcpu *v, u8 n, const struct vector *r)
{
    u8 *upper = fpu_component(v, COMPONENT_ZMM_HI256), *high = fpu_component(v, COMPONENT_HI16_ZMM);
    if (n >= 16) {
        memcpy(high + (n & 15) * 64, r->bytes, 64);
        fpu_area(v)->xstate_bv |= XSTATE_HI16_ZMM;
        return;
    }
    memcpy(fpu_area(v)->xmm[n], r->bytes, 16);
    memcpy(fpu_area(v)->ymm_high[n], r->bytes + 16, 16);
    fpu_area(v)->xstate_bv |= XSTATE_SSE | XSTATE_AVX;
    if (upper) {
        memcpy(upper + n * 32, r->bytes + 32, 32);
        fpu_area(v)->xstate_bv |= XSTATE_ZMM_HI256;
    }
}

static u64 *opmask(struct vcpu *v, u8 n)
{
    fpu_area(v)->xstate_bv |= XSTATE_OPMASK;
    return (u64 *)fpu_component(v, COMPONENT_OPMASK) + (n & 7);
}

static u64 element_get(const struct vector *r, unsigned i, unsigned size)
{
    u64 value = 0;
    memcpy(&value, r->bytes + i * size, size);
    return value;
}

static void element_set(struct vector *r, unsigned i, unsigned size, u64 value)
{
    memcpy(r->bytes + i * size, &value, size);
}

static bool element_selected(const struct vector *mask, unsigned i, unsigned size)
{
    return mask->bytes[i * size + size - 1] & 0x80;
}

static void clear_from(struct vector *r, unsigned first_byte)
{
    memset(r->bytes + first_byte, 0, sizeof(r->bytes) - first_byte);
}

/* ---- VGATHER, VPGATHER, VSCATTER, VPSCATTER ---- */

struct vsib {
    u8 index_size, size; /* of an index, of an element */
};

static struct vsib vsib_form(u16 mnemonic)
{
    static const struct {
        u16 mnemonic;
        struct vsib form;
    } forms[] = {
        {ZYDIS_MNEMONIC_VGATHERDPS, {4, 4}},  {ZYDIS_MNEMONIC_VPGATHERDD, {4, 4}},
        {ZYDIS_MNEMONIC_VGATHERDPD, {4, 8}},  {ZYDIS_MNEMONIC_VPGATHERDQ, {4, 8}},
        {ZYDIS_MNEMONIC_VGATHERQPS, {8, 4}},  {ZYDIS_MNEMONIC_VPGATHERQD, {8, 4}},
        {ZYDIS_MNEMONIC_VSCATTERDPS, {4, 4}}, {ZYDIS_MNEMONIC_VPSCATTERDD, {4, 4}},
        {ZYDIS_MNEMONIC_VSCATTERDPD, {4, 8}}, {ZYDIS_MNEMONIC_VPSCATTERDQ, {4, 8}},
        {ZYDIS_MNEMONIC_VSCATTERQPS, {8, 4}}, {ZYDIS_MNEMONIC_VPSCATTERQD, {8, 4}},
    };
    for (size_t i = 0; i < ARRAY_SIZE(forms); i++)
        if (forms[i].mnemonic == mnemonic)
            return forms[i].form;
    return (struct vsib){8, 8};
}

static gva vsib_address(struct vcpu *v, const struct insn *in, unsigned i, struct vsib f, bool write)
{
    const struct memop *m = &in->mem;
    struct vector indices = vector_read(v, m->index);
    u64 index = element_get(&indices, i, f.index_size);
    u64 offset = (u64)m->disp + sign_extend(index, f.index_size * 8) * m->scale;
    if (m->base != GPR_NONE)
        offset += v->gpr[m->base & 15];
    if (in->addrsize == 4)
        offset = (u32)offset;
    return segment_linear(v, m->seg, offset, f.size, write);
}

/* An element into the destination. It then leaves the mask, so that a later fault starts behind it. */
static void gather_element(struct vcpu *v, const struct insn *in, struct vsib f, unsigned i)
{
    u64 value = 0;
    gva a = vsib_address(v, in, i, f, false);
    if (vectors_are_aligned())
        require_alignment(v, a, f.size);
    guest_read(v, a, &value, f.size, AS_CPL);
    struct vector to = vector_read(v, in->reg);
    element_set(&to, i, f.size, value);
    vector_write(v, in->reg, &to);
}

/* What a fault leaves beyond the elements no manual tells. */
static void gather_element_and_clear(struct vcpu *v, const struct insn *in, struct vsib f, unsigned i)
{
    gather_element(v, in, f, i);
    struct vector to = vector_read(v, in->reg);
    clear_from(&to, in->opsize);
    vector_write(v, in->reg, &to);
}

/* What the mask leaves out goes out of it too. */
static void gather_element_by_vector(struct vcpu *v, const struct insn *in, struct vsib f, unsigned i)
{
    u8 mask_number = (u8)in->imm2;
    struct vector mask = vector_read(v, mask_number);
    if (element_selected(&mask, i, f.size))
        (gathers_clear_beyond_first() ? gather_element_and_clear : gather_element)(v, in, f, i);
    element_set(&mask, i, f.size, 0);
    vector_write(v, mask_number, &mask);
    guest_commit(v);
}

static unsigned vsib_count(const struct insn *in, struct vsib f)
{
    return in->opsize / max(f.index_size, f.size);
}

/* What of the destination lies beyond the elements becomes zero. */
static void gather_end(struct vcpu *v, const struct insn *in, struct vsib f)
{
    struct vector to = vector_read(v, in->reg);
    clear_from(&to, vsib_count(in, f) * f.size);
    vector_write(v, in->reg, &to);
}

/* Of what there are at least 128 bits. */
static void fill_mask(struct vcpu *v, u8 number, unsigned bytes, unsigned size)
{
    struct vector mask = vector_read(v, number);
    bytes = max(bytes, 16u);
    for (unsigned i = 0; i < bytes / size; i++)
        element_set(&mask, i, size, element_selected(&mask, i, size) ? ~0ull : 0);
    clear_from(&mask, bytes);
    vector_write(v, number, &mask);
}

/* The three vector registers must differ. At the end the mask is zero. */
void insn_vgather(struct vcpu *v, const struct insn *in)
{
    struct vsib f = vsib_form(in->mnemonic);
    u8 mask_number = (u8)in->imm2;
    require_avx(v, true);
    if (in->reg == in->mem.index || in->reg == mask_number || in->mem.index == mask_number)
        raise_exception(v, EXC_UD);
    fpu_put(v);
    if (gathers_fill_mask_first())
        fill_mask(v, mask_number, vsib_count(in, f) * f.size, f.size);
    for (unsigned i = 0; i < vsib_count(in, f); i++)
        gather_element_by_vector(v, in, f, i);
    gather_end(v, in, f);
    vector_write(v, mask_number, &(struct vector){{0}});
    fpu_get(v);
}

typedef void element_fn(struct vcpu *v, const struct insn *in, struct vsib f, unsigned i);

/* Elements from the lowest up, each out of the mask when it is done. */
static void each_chosen(struct vcpu *v, const struct insn *in, struct vsib f, element_fn *access)
{
    u64 *mask = opmask(v, (u8)in->imm2);
    for (unsigned i = 0; i < vsib_count(in, f); i++) {
        if (!(*mask >> i & 1))
            continue;
        access(v, in, f, i);
        *mask &= ~BIT(i);
        guest_commit(v);
    }
    *mask = 0;
}

void insn_vgather_opmask(struct vcpu *v, const struct insn *in)
{
    struct vsib f = vsib_form(in->mnemonic);
    require_avx512(v);
    if (in->reg == in->mem.index || !in->imm2)
        raise_exception(v, EXC_UD);
    fpu_put(v);
    each_chosen(v, in, f, gather_element_and_clear);
    gather_end(v, in, f);
    fpu_get(v);
}

static void scatter_element(struct vcpu *v, const struct insn *in, struct vsib f, unsigned i)
{
    struct vector from = vector_read(v, in->reg);
    u64 element = element_get(&from, i, f.size);
    gva a = vsib_address(v, in, i, f, true);
    if (vectors_are_aligned())
        require_alignment(v, a, f.size);
    guest_write(v, a, &element, f.size, AS_CPL);
}

void insn_vscatter(struct vcpu *v, const struct insn *in)
{
    struct vsib f = vsib_form(in->mnemonic);
    require_avx512(v);
    if (!in->imm2)
        raise_exception(v, EXC_UD);
    fpu_put(v);
    each_chosen(v, in, f, scatter_element);
    fpu_get(v);
}

/* ---- VMASKMOV, VPMASKMOV ---- */

static bool is_masked_store(const struct insn *in)
{
    return in->opcode == 0x2e || in->opcode == 0x2f || in->opcode == 0x8e;
}

static unsigned masked_size(u16 mnemonic)
{
    return mnemonic == ZYDIS_MNEMONIC_VMASKMOVPS || mnemonic == ZYDIS_MNEMONIC_VPMASKMOVD ? 4 : 8;
}

/* Linear address of element i, alone checked. */
static gva masked_address(struct vcpu *v, const struct insn *in, unsigned i, unsigned size, bool write)
{
    u64 offset = operand_offset(v, in) + i * size;
    if (in->addrsize == 4)
        offset = (u32)offset;
    return segment_linear(v, in->mem.seg, offset, size, write);
}

static void masked_load(struct vcpu *v, const struct insn *in, const struct vector *mask, unsigned size)
{
    struct vector to = {{0}};
    for (unsigned i = 0; i < in->opsize / size; i++) {
        u64 element = 0; /* without an alignment check */
        if (element_selected(mask, i, size))
            guest_read(v, masked_address(v, in, i, size, false), &element, size, AS_CPL);
        element_set(&to, i, size, element);
    }
    vector_write(v, in->reg, &to);
}

/* All selected elements are probed before the first is written. */
static void masked_store(struct vcpu *v, const struct insn *in, const struct vector *mask, unsigned size)
{
    struct vector from = vector_read(v, in->reg);
    unsigned count = in->opsize / size;
    for (unsigned i = 0; i < count; i++)
        if (element_selected(mask, i, size))
            guest_probe_write(v, masked_address(v, in, i, size, true), size, AS_CPL);
    for (unsigned i = 0; i < count; i++) {
        u64 element = element_get(&from, i, size);
        if (element_selected(mask, i, size))
            guest_write(v, masked_address(v, in, i, size, true), &element, size, AS_CPL);
    }
}

void insn_vmaskmov(struct vcpu *v, const struct insn *in)
{
    unsigned size = masked_size(in->mnemonic);
    bool integer = in->mnemonic == ZYDIS_MNEMONIC_VPMASKMOVD || in->mnemonic == ZYDIS_MNEMONIC_VPMASKMOVQ;
    require_avx(v, integer);
    fpu_put(v);
    struct vector mask = vector_read(v, (u8)in->imm2);
    if (is_masked_store(in))
        masked_store(v, in, &mask, size);
    else
        masked_load(v, in, &mask, size);
    fpu_get(v);
}

/* ---- MASKMOVDQU, MASKMOVQ ---- */

/* Bytes of from whose mask byte has its top bit set, to DS:rDI. */
static void store_bytes(struct vcpu *v, const struct insn *in, const u8 *from, const u8 *mask, unsigned n)
{
    for (unsigned pass = 0; pass < 2; pass++)
        for (unsigned i = 0; i < n; i++) {
            if (!(mask[i] & 0x80))
                continue;
            u64 offset = v->gpr[GPR_RDI] + i;
            if (in->addrsize < 8)
                offset &= BIT(in->addrsize * 8) - 1;
            gva a = segment_linear(v, in->mem.seg, offset, 1, true);
            if (pass == 0)
                guest_probe_write(v, a, 1, AS_CPL);
            else
                guest_store(v, a, 1, from[i], AS_CPL);
        }
}

static void require_mmx(struct vcpu *v)
{
    if (v->cr0 & CR0_EM)
        raise_exception(v, EXC_UD);
    if (v->cr0 & CR0_TS)
        raise_exception(v, EXC_NM);
    if (fpu_error_pending())
        raise_exception(v, EXC_MF);
}

static void require_sse(struct vcpu *v)
{
    if ((v->cr0 & CR0_EM) || !(v->cr4 & CR4_OSFXSR))
        raise_exception(v, EXC_UD);
    if (v->cr0 & CR0_TS)
        raise_exception(v, EXC_NM);
}

/* Any MMX instruction puts the x87 stack into MMX mode, where ST(i) is MMi (SDM 1 9.5.1): the host's does it
 * here. */
static void enter_mmx(void)
{
    u32 ignored;
    __asm__ volatile("movd %%mm0, %0" : "=r"(ignored));
}

/* A processor may fault for bytes that the mask leaves out (SDM 2B "MASKMOVQ"): AMD's and Intel's do. */
static void probe_all(struct vcpu *v, const struct insn *in, unsigned size)
{
    u64 offset = v->gpr[GPR_RDI];
    if (in->addrsize < 8)
        offset &= BIT(in->addrsize * 8) - 1;
    gva a = segment_linear(v, in->mem.seg, offset, size, true);
    require_alignment(v, a, vectors_are_aligned() ? size : 8);
    if (size == 16 && maskmovdqu_probes_upper_half_first())
        guest_probe_write(v, a + 8, 8, AS_CPL);
    guest_probe_write(v, a, size, AS_CPL);
}

void insn_maskmov(struct vcpu *v, const struct insn *in)
{
    bool mmx = in->mnemonic == ZYDIS_MNEMONIC_MASKMOVQ;
    if (mmx)
        require_mmx(v);
    else if (in->mnemonic == ZYDIS_MNEMONIC_VMASKMOVDQU)
        require_avx(v, false);
    else
        require_sse(v);
    if (mmx)
        enter_mmx();
    probe_all(v, in, mmx ? 8 : 16);
    fpu_put(v);
    const struct xsave_area *a = fpu_area(v);
    const u8 *from = mmx ? a->st[in->reg & 7] : a->xmm[in->reg & 15];
    const u8 *mask = mmx ? a->st[in->rm & 7] : a->xmm[in->rm & 15];
    store_bytes(v, in, from, mask, mmx ? 8 : 16);
    fpu_get(v);
}
