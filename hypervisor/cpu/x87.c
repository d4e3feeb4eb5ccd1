/* x87.c - the x87 environment and state in memory (SDM 1 8.1.10; 2A "FSTENV", "FSAVE"), and its pointers */
/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <string.h>

#include "hypervisor/cpu/handlers.h"
#include "hypervisor/cpu/vendor.h"
#include "hypervisor/cpu/x87.h"

struct pointers {
    u64 ip, dp;
    u16 op, cs, ds;
};

static u16 code_selector(const struct vcpu *v)
{
    return v->x87.op & X87_CURRENT ? v->seg[SEG_CS].selector : v->x87.cs;
}

static u16 data_selector(const struct vcpu *v)
{
    return v->x87.segment & X87_CURRENT ? v->seg[v->x87.segment & ~X87_CURRENT].selector : v->x87.ds;
}

/* FOP has ModRM as its low byte. */
static bool has_memory_operand(u32 op)
{
    return (op & 0xc0) != 0xc0;
}

/* error: an unmasked exception waits. */
static void x87_latch(struct vcpu *v, bool error)
{
    if (!error || (v->x87.op & X87_QUIET))
        return;
    v->x87.raised.op = v->x87.op & X87_OPCODE;
    if (!has_memory_operand(v->x87.op))
        return;
    v->x87.raised.dp = v->x87.dp;
    v->x87.raised.ds = data_selector(v);
}

static struct pointers pointers_shown(struct vcpu *v, bool error)
{
    struct pointers p = {v->x87.ip, v->x87.dp, v->x87.op & X87_OPCODE, code_selector(v), data_selector(v)};
    u32 rules = v->x87.rules;
    x87_latch(v, error);
    if (rules & X87_OPCODE_AT_ERROR)
        p.op = v->x87.raised.op;
    if (rules & X87_OPERAND_AT_ERROR) {
        p.dp = v->x87.raised.dp;
        p.ds = v->x87.raised.ds;
    }
    if (rules & X87_NO_SELECTORS)
        p.cs = p.ds = 0;
    return p;
}

static void pointers_set(struct vcpu *v, struct pointers p)
{
    v->x87.ip = p.ip;
    v->x87.dp = p.dp;
    v->x87.op = (p.op & X87_OPCODE) | X87_QUIET;
    v->x87.segment = 0;
    v->x87.cs = p.cs;
    v->x87.ds = v->x87.raised.ds = p.ds;
    v->x87.raised.op = p.op & X87_OPCODE;
    v->x87.raised.dp = p.dp;
}

void x87_forget(struct vcpu *v)
{
    pointers_set(v, (struct pointers){0});
}

void x87_save(struct vcpu *v, struct xsave_area *a, bool wide)
{
    bool error = a->fsw & FSW_ERROR_SUMMARY;
    struct pointers p = {0};
    if (error || !(v->x87.rules & X87_SAVED_AT_ERROR))
        p = pointers_shown(v, error);
    a->fop = p.op;
    a->fip = wide ? p.ip : (u32)p.ip | (u64)p.cs << 32;
    a->fdp = wide ? p.dp : (u32)p.dp | (u64)p.ds << 32;
}

void x87_restore(struct vcpu *v, const struct xsave_area *a, bool wide)
{
    unsigned kept = v->x87.address_bits;
    struct pointers p = {sign_extend(a->fip, kept), a->fdp, a->fop, 0, 0};
    if (fdp_is_sign_extended())
        p.dp = sign_extend(a->fdp, kept);
    if (!(a->fsw & FSW_ERROR_SUMMARY) && (v->x87.rules & X87_RESTORED_AT_ERROR))
        return;
    if (!wide)
        p = (struct pointers){(u32)a->fip, (u32)a->fdp, a->fop, (u16)(a->fip >> 32), (u16)(a->fdp >> 32)};
    pointers_set(v, p);
}

/* ---- FNSTENV, FNSAVE, FLDENV, FRSTOR. The host's own instructions, with and without the prefix for the
 * 16-bit image; the address is in rax. ---- */

typedef void host_fn(void *image, bool narrow);

static void host_fnstenv(void *image, bool narrow)
{
    if (narrow)
        __asm__ volatile(".byte 0x66, 0xd9, 0x30" : : "a"(image) : "memory");
    else
        __asm__ volatile("fnstenv (%0)" : : "a"(image) : "memory");
}

static void host_fnsave(void *image, bool narrow)
{
    if (narrow)
        __asm__ volatile(".byte 0x66, 0xdd, 0x30" : : "a"(image) : "memory");
    else
        __asm__ volatile("fnsave (%0)" : : "a"(image) : "memory");
}

static void host_fldenv(void *image, bool narrow)
{
    if (narrow)
        __asm__ volatile(".byte 0x66, 0xd9, 0x20" : : "a"(image) : "memory");
    else
        __asm__ volatile("fldenv (%0)" : : "a"(image) : "memory");
}

static void host_frstor(void *image, bool narrow)
{
    if (narrow)
        __asm__ volatile(".byte 0x66, 0xdd, 0x20" : : "a"(image) : "memory");
    else
        __asm__ volatile("frstor (%0)" : : "a"(image) : "memory");
}

/* The image as it is in protected mode; in real and virtual-8086 mode the addresses are linear, and their
 * upper bits stand in the place of the selectors (SDM 1 figures 8-9 to 8-12). */
struct image32 {
    u16 control, reserved0, status, reserved1, tag, reserved2;
    u32 ip;
    u16 cs, op; /* real: of the two words together, ip in bits 27:12 and op in bits 10:0 */
    u32 dp;
    u16 ds, reserved3;
};
struct image16 {
    u16 control, status, tag, ip, cs, dp, ds; /* real: cs has ip in bits 15:12 and op in bits 10:0 */
};
_Static_assert(sizeof(struct image32) == 28 && sizeof(struct image16) == 14, "SDM 1 8.1.10");

static void linear_to_image(const struct pointers *p, void *image, bool narrow)
{
    u32 ip = ((u32)p->cs << 4) + (u32)p->ip, dp = ((u32)p->ds << 4) + (u32)p->dp;
    struct image32 *wide = image;
    struct image16 *small = image;
    if (narrow) {
        small->ip = (u16)ip;
        small->cs = (u16)((ip >> 16 & 15) << 12 | p->op);
        small->dp = (u16)dp;
        small->ds = (u16)((dp >> 16 & 15) << 12);
        return;
    }
    wide->ip = ip | 0xffff0000;
    wide->cs = (u16)((ip >> 16 & 15) << 12 | p->op);
    wide->op = (u16)(ip >> 20);
    wide->dp = dp | 0xffff0000;
    wide->ds = (u16)((dp >> 16 & 15) << 12);
    wide->reserved3 = (u16)(dp >> 20);
}

static struct pointers linear_from_image(const void *image, bool narrow)
{
    const struct image32 *wide = image;
    const struct image16 *small = image;
    u16 cs = narrow ? small->cs : wide->cs, ds = narrow ? small->ds : wide->ds;
    struct pointers p = {.ip = (u32)(cs >> 12) << 16 | (narrow ? small->ip : (u16)wide->ip),
                         .dp = (u32)(ds >> 12) << 16 | (narrow ? small->dp : (u16)wide->dp),
                         .op = cs & X87_OPCODE};
    if (!narrow) {
        p.ip |= (u32)(wide->op & 0xfff) << 20;
        p.dp |= (u32)(wide->reserved3 & 0xfff) << 20;
    }
    return p;
}

static void pointers_to_image(struct vcpu *v, void *image, bool narrow)
{
    struct image32 *wide = image;
    struct image16 *small = image;
    bool error = (narrow ? small->status : wide->status) & FSW_ERROR_SUMMARY;
    struct pointers p = pointers_shown(v, error);
    if (!in_protected(v)) {
        linear_to_image(&p, image, narrow);
    } else if (narrow) {
        small->ip = (u16)p.ip;
        small->cs = p.cs;
        small->dp = (u16)p.dp;
        small->ds = p.ds;
    } else {
        wide->ip = (u32)p.ip;
        wide->cs = p.cs;
        wide->op = p.op;
        wide->dp = (u32)p.dp;
        wide->ds = p.ds;
    }
}

static struct pointers pointers_of_image(const struct vcpu *v, const void *image, bool narrow)
{
    const struct image32 *wide = image;
    const struct image16 *small = image;
    if (!in_protected(v))
        return linear_from_image(image, narrow);
    if (narrow)
        return (struct pointers){small->ip, small->dp, 0, small->cs, small->ds};
    return (struct pointers){wide->ip, wide->dp, wide->op, wide->cs, wide->ds};
}

/* They are accessed word by word: a page fault may come before a bad last address. */
static gva image_address(struct vcpu *v, const struct insn *in, bool write)
{
    unsigned word = in->opsize == 2 ? 2 : 4;
    gva a = operand_linear(v, in, word, write);
    require_alignment(v, a, word);
    (write ? guest_probe_write : guest_probe_read)(v, a, word, AS_CPL);
    return operand_linear(v, in, in->mem.size, write);
}

static void require_x87(struct vcpu *v)
{
    if (v->cr0 & (CR0_EM | CR0_TS))
        raise_exception(v, EXC_NM);
}

static void store_image(struct vcpu *v, const struct insn *in, host_fn *host)
{
    bool narrow = in->opsize == 2;
    require_x87(v);
    gva a = image_address(v, in, true);
    guest_probe_write(v, a, in->mem.size, AS_CPL); /* FNSAVE resets the state: nothing may fault behind it */
    host(v->xsave_buffer, narrow);
    pointers_to_image(v, v->xsave_buffer, narrow);
    guest_write(v, a, v->xsave_buffer, in->mem.size, AS_CPL);
}

static void load_image(struct vcpu *v, const struct insn *in, host_fn *host)
{
    bool narrow = in->opsize == 2;
    require_x87(v);
    if (fpu_error_pending())
        raise_exception(v, EXC_MF);
    guest_read(v, image_address(v, in, false), v->xsave_buffer, in->mem.size, AS_CPL);
    host(v->xsave_buffer, narrow);
    pointers_set(v, pointers_of_image(v, v->xsave_buffer, narrow));
}

void insn_fnstenv(struct vcpu *v, const struct insn *in)
{
    store_image(v, in, host_fnstenv);
}

void insn_fnsave(struct vcpu *v, const struct insn *in)
{
    store_image(v, in, host_fnsave);
    x87_forget(v);
}

void insn_fnclex(struct vcpu *v, const struct insn *in)
{
    (void)in;
    require_x87(v);
    x87_latch(v, fpu_error_pending());
    __asm__ volatile("fnclex");
}

void insn_fldenv(struct vcpu *v, const struct insn *in)
{
    load_image(v, in, host_fldenv);
}

void insn_frstor(struct vcpu *v, const struct insn *in)
{
    load_image(v, in, host_frstor);
}
