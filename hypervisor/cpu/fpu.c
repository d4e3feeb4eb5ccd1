/* fpu.c - x87, SSE, AVX and AVX-512 state: in the CPU and in memory (SDM 1 ch. 13; 2A "FXSAVE", 2D "XSAVE")
 */
/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The guest's vector state is the host's while the guest runs, so the instructions that save and restore it
 * are executed by the host, on a buffer of the vcpu; of that, what the manual says is then copied from or to
 * guest memory. The guest's standard format is the host's.
 *
 * The x87 instruction and data pointers of the live state are those of the translation; the guest's are
 * put in their place (x87.h).
 */
#include <errno.h>
#include <string.h>

#include "hypervisor/cpu/handlers.h"
#include "hypervisor/cpu/vcpu.h"
#include "hypervisor/cpu/vendor.h"
#include "hypervisor/cpu/x87.h"

enum {
    X87 = XSTATE_X87,
    SSE = XSTATE_SSE,
    AVX = XSTATE_AVX,
};
static const u16 component_size[XSAVE_COMPONENTS] = {
    [COMPONENT_AVX] = 256, [COMPONENT_OPMASK] = 64, [COMPONENT_ZMM_HI256] = 512, [COMPONENT_HI16_ZMM] = 1024};
enum { XSAVE_ALIGNMENT = 64, MXCSR_DEFAULT = 0x1f80, MXCSR_MASK_DEFAULT = 0xffbf, FCW_DEFAULT = 0x37f };
#define XCOMP_COMPACTED BIT(63)

static u64 host_xcr0(void)
{
    u32 lo, hi;
    __asm__ volatile("xgetbv" : "=a"(lo), "=d"(hi) : "c"(0));
    return (u64)hi << 32 | lo;
}

static void host_xsave(void *area, u64 mask)
{
    __asm__ volatile("xsave64 (%0)" : : "r"(area), "a"((u32)mask), "d"((u32)(mask >> 32)) : "memory");
}

static void host_xrstor(const void *area, u64 mask)
{
    __asm__ volatile("xrstor64 (%0)" : : "r"(area), "a"((u32)mask), "d"((u32)(mask >> 32)) : "memory");
}

/* CPUID leaf 0xd tells where they are (SDM 1 13.4.3). */
void xsave_layout(u16 offset[XSAVE_COMPONENTS])
{
    u64 present = host_xcr0() & XSTATE_OFFERED;
    for (unsigned n = 0; n < XSAVE_COMPONENTS; n++) {
        u32 size, at = 0, leaf = 0xd, subleaf = n;
        if (component_size[n] && (present >> n & 1))
            __asm__ volatile("cpuid" : "=a"(size), "=b"(at), "+c"(subleaf) : "a"(leaf) : "edx");
        offset[n] = (u16)at;
    }
}

unsigned xsave_size(const u16 offset[XSAVE_COMPONENTS], u64 components)
{
    unsigned size = offsetof(struct xsave_area, ymm_high);
    for (unsigned n = 0; n < XSAVE_COMPONENTS; n++)
        if (components >> n & 1)
            size = max(size, (unsigned)offset[n] + component_size[n]);
    return size;
}

/* No component has a size that would need to be aligned. */
unsigned xsave_compacted_size(u64 components)
{
    unsigned size = offsetof(struct xsave_area, ymm_high);
    for (unsigned n = 0; n < XSAVE_COMPONENTS; n++)
        if (components >> n & 1)
            size += component_size[n];
    return size;
}

/* What else the host may have (PKRU) is the thread's own. */
void fpu_get(struct vcpu *v)
{
    if (v->fpu_live)
        return;
    v->fpu_live = true;
    host_xrstor(v->fpu, XSTATE_OFFERED);
}

/* The registers do not keep the guest's values for whoever called KVM_RUN. */
void fpu_put(struct vcpu *v)
{
    static const _Alignas(64) struct xsave_area initial = {.mxcsr = MXCSR_DEFAULT};
    if (!v->fpu_live)
        return;
    v->fpu_live = false;
    host_xsave(v->fpu, XSTATE_OFFERED);
    x87_save(v, fpu_area(v), true);
    host_xrstor(&initial, XSTATE_OFFERED);
}

static u32 host_mxcsr_mask(struct vcpu *v)
{
    struct xsave_area *a = (struct xsave_area *)v->xsave_buffer;
    a->mxcsr_mask = 0;
    fpu_fxsave(a);
    return a->mxcsr_mask ? a->mxcsr_mask : MXCSR_MASK_DEFAULT;
}

static void state_clear(struct vcpu *v)
{
    struct xsave_area *a = fpu_area(v);
    memset(v->fpu, 0, sizeof(v->fpu));
    a->fcw = FCW_DEFAULT;
    a->mxcsr = MXCSR_DEFAULT;
    a->mxcsr_mask = v->mxcsr_mask;
}

void fpu_reset(struct vcpu *v)
{
    v->mxcsr_mask = host_mxcsr_mask(v);
    xsave_layout(v->xsave_offset);
    state_clear(v);
    x87_forget(v);
}

/* ---- KVM's structs. XSAVE writes the initial values of components in their initial state, and so do the
 * setters: the area is valid without regard to XSTATE_BV. ---- */

void fpu_get_kvm(struct vcpu *v, struct kvm_fpu *f)
{
    fpu_put(v);
    const struct xsave_area *a = fpu_area(v);
    memset(f, 0, sizeof(*f));
    memcpy(f->fpr, a->st, sizeof(f->fpr));
    memcpy(f->xmm, a->xmm, sizeof(f->xmm));
    f->fcw = a->fcw;
    f->fsw = a->fsw;
    f->ftwx = a->ftw;
    f->last_opcode = a->fop;
    f->last_ip = a->fip;
    f->last_dp = a->fdp;
    f->mxcsr = a->mxcsr;
}

int fpu_set_kvm(struct vcpu *v, const struct kvm_fpu *f)
{
    fpu_put(v);
    struct xsave_area *a = fpu_area(v);
    if (f->mxcsr & ~v->mxcsr_mask)
        return -EINVAL;
    memcpy(a->st, f->fpr, sizeof(a->st));
    memcpy(a->xmm, f->xmm, sizeof(a->xmm));
    a->fcw = f->fcw;
    a->fsw = f->fsw;
    a->ftw = f->ftwx;
    a->fop = f->last_opcode;
    a->fip = f->last_ip;
    a->fdp = f->last_dp;
    x87_restore(v, a, true);
    a->mxcsr = f->mxcsr;
    a->xstate_bv |= X87 | SSE;
    return 0;
}

/* Of what there is of the components, which is less than a struct kvm_xsave. */
static unsigned state_size(const struct vcpu *v)
{
    unsigned size = xsave_size(v->xsave_offset, XSTATE_OFFERED);
    ASSERT(size <= sizeof(struct kvm_xsave) && size <= sizeof(v->xsave_buffer));
    return size;
}

void fpu_get_xsave(struct vcpu *v, struct kvm_xsave *x)
{
    fpu_put(v);
    memset(x, 0, sizeof(*x));
    memcpy(x, v->fpu, state_size(v));
}

static bool is_zero(const void *p, size_t n)
{
    const u8 *b = p;
    for (size_t i = 0; i < n; i++)
        if (b[i])
            return false;
    return true;
}

/* What the guest's CPUID has does not matter: user space restores registers before or after it. */
static bool xsave_is_valid(const struct vcpu *v, const struct xsave_area *a)
{
    u64 allowed = v->xcr0_host | X87 | SSE;
    return !(a->xstate_bv & ~allowed) && !a->xcomp_bv && is_zero(a->reserved2, sizeof(a->reserved2)) &&
           !(a->mxcsr & ~v->mxcsr_mask);
}

static void take_component(struct vcpu *v, const struct kvm_xsave *from, unsigned n)
{
    u8 *to = fpu_component(v, n);
    if (to)
        memcpy(to, (const u8 *)from + v->xsave_offset[n], component_size[n]);
}

/* Components that XSTATE_BV leaves out get their initial state; MXCSR is taken with SSE or AVX. */
int fpu_set_xsave(struct vcpu *v, const struct kvm_xsave *x)
{
    const struct xsave_area *from = (const struct xsave_area *)x;
    fpu_put(v);
    if (!xsave_is_valid(v, from))
        return -EINVAL;
    struct xsave_area *a = fpu_area(v);
    u64 present = from->xstate_bv;
    state_clear(v);
    x87_forget(v);
    if (present & X87) {
        memcpy(a, from, offsetof(struct xsave_area, mxcsr));
        memcpy(a->st, from->st, sizeof(a->st));
        x87_restore(v, a, true);
    }
    if (present & (SSE | AVX))
        a->mxcsr = from->mxcsr;
    if (present & SSE)
        memcpy(a->xmm, from->xmm, sizeof(a->xmm));
    for (unsigned n = COMPONENT_AVX; n < XSAVE_COMPONENTS; n++)
        if (present >> n & 1)
            take_component(v, x, n);
    a->xstate_bv = present;
    return 0;
}

/* ---- the guest's instructions ---- */

static struct xsave_area *buffer_of(struct vcpu *v)
{
    return (struct xsave_area *)v->xsave_buffer;
}

/* The pieces of an area: where they are in which component (0: the legacy area), whom they belong to, and
 * whether only 64-bit mode reads and writes them (registers 8 to 31). MXCSR belongs to SSE and AVX. */
static const struct piece {
    u8 component, components;
    bool long_mode;
    u16 offset, size;
} pieces[] = {
    {0, X87, false, 0, 24},
    {0, SSE | AVX, false, 24, 8},
    {0, X87, false, 32, 128},
    {0, SSE, false, 160, 128},
    {0, SSE, true, 288, 128},
    {COMPONENT_AVX, AVX, false, 0, 128},
    {COMPONENT_AVX, AVX, true, 128, 128},
    {COMPONENT_OPMASK, XSTATE_OPMASK, false, 0, 64},
    {COMPONENT_ZMM_HI256, XSTATE_ZMM_HI256, false, 0, 256},
    {COMPONENT_ZMM_HI256, XSTATE_ZMM_HI256, true, 256, 256},
    {COMPONENT_HI16_ZMM, XSTATE_HI16_ZMM, true, 0, 1024},
};
enum { PIECE_MXCSR = 1 };

static bool piece_is_used(const struct vcpu *v, const struct piece *p, u64 components)
{
    return (p->components & components) && (!p->long_mode || in_64bit(v));
}

static u8 *piece_buffer(struct vcpu *v, const struct piece *p)
{
    return v->xsave_buffer + v->xsave_offset[p->component] + p->offset;
}

/* An area in guest memory: in the standard format, or compacted with these components. */
struct area {
    gva at;
    u64 compacted;
};

static gva piece_address(const struct vcpu *v, const struct area *a, const struct piece *p)
{
    if (!p->component || !a->compacted)
        return a->at + v->xsave_offset[p->component] + p->offset;
    return a->at + xsave_compacted_size(a->compacted & (BIT(p->component) - 1)) + p->offset;
}

static void area_read(struct vcpu *v, const struct area *a, u64 components)
{
    for (size_t i = 0; i < ARRAY_SIZE(pieces); i++)
        if (piece_is_used(v, &pieces[i], components))
            guest_read(v, piece_address(v, a, &pieces[i]), piece_buffer(v, &pieces[i]), pieces[i].size,
                       AS_CPL);
}

/* Pieces of the components, and MXCSR if mxcsr. */
static void area_write(struct vcpu *v, const struct area *a, u64 components, bool mxcsr)
{
    for (size_t i = 0; i < ARRAY_SIZE(pieces); i++) {
        const struct piece *p = &pieces[i];
        if (i == PIECE_MXCSR ? mxcsr : piece_is_used(v, p, components))
            guest_write(v, piece_address(v, a, p), piece_buffer(v, p), p->size, AS_CPL);
    }
}

enum { FXSAVE_SIZE = 512, FXSAVE_ALIGNMENT = 16 };

/* Checked in this order: the first byte, its alignment, the last byte. Where alignment is checked the manual
 * lets FXSAVE and FXRSTOR raise #AC instead of #GP for any width: AMD's and Intel's processors do for 4
 * bytes. */
static gva area_address(struct vcpu *v, const struct insn *in, unsigned size, unsigned alignment, bool write)
{
    gva a = operand_linear(v, in, 1, write);
    if (alignment == FXSAVE_ALIGNMENT)
        require_alignment(v, a, 4);
    if (a & (alignment - 1))
        raise_exception_code(v, EXC_GP, 0);
    if (alignment == XSAVE_ALIGNMENT && !is_canonical(a + size - 1) && xsave_faults_by_part())
        (write ? guest_probe_write : guest_probe_read)(v, a, 1, AS_CPL);
    return operand_linear(v, in, size, write);
}

static void require_fxsave(struct vcpu *v)
{
    if (v->cr0 & (CR0_EM | CR0_TS))
        raise_exception(v, EXC_NM);
}

/* The REX.W forms differ in the pointers only. */
static void host_fxrstor(struct vcpu *v, bool wide)
{
    if (wide)
        fpu_fxrstor(v->xsave_buffer);
    else
        __asm__ volatile("fxrstor (%0)" : : "r"(v->xsave_buffer) : "memory");
}

static bool is_wide(const struct insn *in)
{
    return in->opsize == 8;
}

void insn_fxsave(struct vcpu *v, const struct insn *in)
{
    require_fxsave(v);
    gva a = area_address(v, in, FXSAVE_SIZE, FXSAVE_ALIGNMENT, true);
    guest_probe_write(v, a + FXSAVE_SIZE - 1, 1, AS_CPL); /* the end is looked at first */
    fpu_fxsave(v->xsave_buffer);
    x87_save(v, buffer_of(v), is_wide(in));
    guest_probe_write(v, a, FXSAVE_SIZE, AS_CPL);
    area_write(v, &(struct area){a, 0}, X87 | SSE, true);
}

/* The registers that 32-bit code cannot name keep their values: they are in the buffer already. */
void insn_fxrstor(struct vcpu *v, const struct insn *in)
{
    require_fxsave(v);
    gva a = area_address(v, in, FXSAVE_SIZE, FXSAVE_ALIGNMENT, false);
    guest_probe_read(v, a + FXSAVE_SIZE - 1, 1, AS_CPL);
    fpu_fxsave(v->xsave_buffer);
    area_read(v, &(struct area){a, 0}, X87 | SSE);
    if (buffer_of(v)->mxcsr & ~v->mxcsr_mask)
        raise_exception_code(v, EXC_GP, 0);
    host_fxrstor(v, is_wide(in));
    x87_restore(v, buffer_of(v), is_wide(in));
}

static void require_xsave(struct vcpu *v)
{
    if (!(v->cr4 & CR4_OSXSAVE))
        raise_exception(v, EXC_UD);
    if (v->cr0 & CR0_TS)
        raise_exception(v, EXC_NM);
}

static void require_xsave_feature(struct vcpu *v, u32 feature)
{
    if (!(v->xsave_features & feature))
        raise_exception(v, EXC_UD);
}

/* RFBM, the requested-feature bitmap (SDM 1 13.6). */
static u64 requested(const struct vcpu *v)
{
    return (v->gpr[GPR_RDX] << 32 | (u32)v->gpr[GPR_RAX]) & v->xcr0;
}

enum { XSTATE_BV_OFFSET = 512, HEADER_SIZE = 64 };

/* The state of the requested components into the buffer, whose XSTATE_BV then tells which are in use. */
static gva save_to_buffer(struct vcpu *v, const struct insn *in, u64 rfbm, unsigned size)
{
    require_xsave(v);
    gva a = area_address(v, in, size, XSAVE_ALIGNMENT, true);
    struct xsave_area *b = buffer_of(v);
    memset(&b->xstate_bv, 0, HEADER_SIZE);
    host_xsave(b, rfbm);
    if (rfbm & X87)
        x87_save(v, b, is_wide(in));
    return a;
}

/* XSAVE and XSAVEOPT: standard format. The bits of XSTATE_BV of other components stay. */
static void save_standard(struct vcpu *v, const struct insn *in, bool optimized)
{
    u64 rfbm = requested(v);
    unsigned size = xsave_size(v->xsave_offset, rfbm);
    gva a = save_to_buffer(v, in, rfbm, size);
    u64 old = guest_load(v, a + XSTATE_BV_OFFSET, 8, AS_CPL), in_use = buffer_of(v)->xstate_bv;
    guest_probe_write(v, a, size, AS_CPL);
    area_write(v, &(struct area){a, 0}, optimized ? rfbm & in_use : rfbm, rfbm & (SSE | AVX));
    guest_store(v, a + XSTATE_BV_OFFSET, 8, (old & ~rfbm) | (in_use & rfbm), AS_CPL);
}

void insn_xsave(struct vcpu *v, const struct insn *in)
{
    save_standard(v, in, false);
}

/* The init optimization, not the modified one (SDM 1 13.9). */
void insn_xsaveopt(struct vcpu *v, const struct insn *in)
{
    require_xsave_feature(v, XSAVE_FEATURE_XSAVEOPT);
    save_standard(v, in, true);
}

/* Compacted format (SDM 1 13.10). SSE counts as in use when MXCSR is not at its initial value. */
void insn_xsavec(struct vcpu *v, const struct insn *in)
{
    require_xsave_feature(v, XSAVE_FEATURE_XSAVEC);
    u64 rfbm = requested(v);
    unsigned size = xsave_compacted_size(rfbm);
    gva a = save_to_buffer(v, in, rfbm, size);
    u64 saved = buffer_of(v)->xstate_bv & rfbm;
    if ((rfbm & SSE) && buffer_of(v)->mxcsr != MXCSR_DEFAULT)
        saved |= SSE;
    guest_probe_write(v, a, size, AS_CPL);
    area_write(v, &(struct area){a, rfbm | XCOMP_COMPACTED}, saved, saved & SSE);
    guest_store(v, a + XSTATE_BV_OFFSET, 8, saved, AS_CPL);
    guest_store(v, a + XSTATE_BV_OFFSET + 8, 8, rfbm | XCOMP_COMPACTED, AS_CPL);
}

/* SDM 2D "XRSTOR", the causes of #GP(0) in the header. */
static bool header_is_valid(const struct vcpu *v, const struct xsave_area *h)
{
    if (!is_zero(h->reserved2, sizeof(h->reserved2[0])) || (h->xstate_bv & ~v->xcr0))
        return false;
    if (!(h->xcomp_bv & XCOMP_COMPACTED))
        return !h->xcomp_bv;
    u64 components = h->xcomp_bv & ~XCOMP_COMPACTED;
    return (v->xsave_features & XSAVE_FEATURE_XSAVEC) && !(components & ~v->xcr0) &&
           !(h->xstate_bv & ~components) && is_zero(h->reserved2, sizeof(h->reserved2));
}

/* MXCSR goes with SSE and, in the standard format, with AVX, even where XSTATE_BV leaves them out: the
 * compacted format then has its initial value (SDM 1 13.8.1, 13.8.2). */
static void load_mxcsr(struct vcpu *v, gva a, const struct xsave_area *header, u64 rfbm)
{
    struct xsave_area *b = buffer_of(v);
    bool compacted = header->xcomp_bv & XCOMP_COMPACTED;
    if (compacted && (rfbm & ~header->xstate_bv & SSE))
        b->mxcsr = MXCSR_DEFAULT;
    if (compacted ? !(rfbm & header->xstate_bv & SSE) : !(rfbm & (SSE | AVX)))
        return;
    b->mxcsr = (u32)guest_load(v, a + offsetof(struct xsave_area, mxcsr), 4, AS_CPL);
    if (b->mxcsr & ~v->mxcsr_mask)
        raise_exception_code(v, EXC_GP, 0);
}

static void clear_pieces(struct vcpu *v, u64 components)
{
    for (size_t i = 0; i < ARRAY_SIZE(pieces); i++)
        if (i != PIECE_MXCSR && piece_is_used(v, &pieces[i], components))
            memset(piece_buffer(v, &pieces[i]), 0, pieces[i].size);
}

/* Outside 64-bit mode registers 8 to 31 are kept. The buffer has their values, so the vector components are
 * loaded from it even where the guest asks for the initial state, which is then written out. */
static void keep_high_registers(struct vcpu *v, struct xsave_area *b, u64 rfbm, u64 loaded)
{
    u64 vectors = rfbm & (SSE | AVX | XSTATE_ZMM_HI256 | XSTATE_HI16_ZMM);
    clear_pieces(v, vectors & ~loaded);
    b->xstate_bv = loaded | vectors;
}

static void restore_from_buffer(struct xsave_area *b, u64 rfbm, bool wide)
{
    if (wide)
        host_xrstor(b, rfbm);
    else
        __asm__ volatile("xrstor (%0)" : : "r"(b), "a"((u32)rfbm), "d"(0) : "memory");
}

void insn_xrstor(struct vcpu *v, const struct insn *in)
{
    require_xsave(v);
    u64 rfbm = requested(v);
    gva a = area_address(v, in, xsave_size(v->xsave_offset, rfbm), XSAVE_ALIGNMENT, false);
    struct xsave_area header, *b = buffer_of(v);
    guest_read(v, a + XSTATE_BV_OFFSET, &header.xstate_bv, HEADER_SIZE, AS_CPL);
    if (!header_is_valid(v, &header))
        raise_exception_code(v, EXC_GP, 0);
    u64 loaded = header.xstate_bv & rfbm;
    host_xsave(b, rfbm);
    area_read(v, &(struct area){a, header.xcomp_bv & XCOMP_COMPACTED ? header.xcomp_bv : 0}, loaded);
    load_mxcsr(v, a, &header, rfbm);
    memset(&b->xstate_bv, 0, HEADER_SIZE);
    b->xstate_bv = loaded;
    if (!in_64bit(v))
        keep_high_registers(v, b, rfbm, loaded);
    restore_from_buffer(b, rfbm, is_wide(in));
    if (loaded & X87)
        x87_restore(v, b, is_wide(in));
    else if (rfbm & X87)
        x87_forget(v);
}
