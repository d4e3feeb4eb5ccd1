/* x87.c - FNSTENV and FNSAVE, whose image would tell where the translation is (SDM 1 8.1.9, 8.1.10) */
/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <string.h>

#include "hypervisor/cpu/handlers.h"
#include "hypervisor/cpu/vcpu.h"

/* Both host instructions, with and without the prefix for the 16-bit image; the address is in rax. */
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

/* The instruction and data pointers of the live state are the host's; the guest sees 0, as in FXSAVE (fpu.c).
 */
static void forget_pointers(u8 *image, bool narrow)
{
    if (narrow)
        memset(image + 6, 0, 8);
    else
        memset(image + 12, 0, 14);
}

static void store_image(struct vcpu *v, const struct insn *in, void (*host)(void *image, bool narrow))
{
    bool narrow = in->opsize == 2;
    if (v->cr0 & (CR0_EM | CR0_TS))
        raise_exception(v, EXC_NM);
    unsigned word = narrow ? 2 : 4; /* stored word by word: a page fault may come before a bad last address */
    gva a = operand_linear(v, in, word, true);
    guest_probe_write(v, a, word, AS_CPL);
    operand_linear(v, in, in->mem.size, true);
    guest_probe_write(v, a, in->mem.size, AS_CPL); /* FNSAVE resets the state: nothing may fault behind it */
    host(v->xsave_buffer, narrow);
    forget_pointers(v->xsave_buffer, narrow);
    guest_write(v, a, v->xsave_buffer, in->mem.size, AS_CPL);
}

void insn_fnstenv(struct vcpu *v, const struct insn *in)
{
    store_image(v, in, host_fnstenv);
}

void insn_fnsave(struct vcpu *v, const struct insn *in)
{
    store_image(v, in, host_fnsave);
}
