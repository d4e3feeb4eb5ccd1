/* elements.c - the elements of a memory operand that an instruction accesses (SDM 1 15.6.4) */
/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * AVX-512 neither accesses the elements that an opmask leaves out nor lets them fault. The instruction itself
 * runs on the host, which sees to that within a page that the TLB has; what misses there is put together in
 * vcpu.bounce from the elements that this file tells.
 */
#include "hypervisor/translate/elements.h"
#include "hypervisor/translate/translate.h"

static u64 opmask_read(unsigned n)
{
    u64 k[8];
    __asm__ volatile("kmovq %%k0, (%1)\n\tkmovq %%k1, 8(%1)\n\tkmovq %%k2, 16(%1)\n\tkmovq %%k3, 24(%1)\n\t"
                     "kmovq %%k4, 32(%1)\n\tkmovq %%k5, 40(%1)\n\tkmovq %%k6, 48(%1)\n\tkmovq %%k7, 56(%1)"
                     : "=m"(k)
                     : "r"(k));
    return k[n];
}

static u64 first_bits(unsigned n)
{
    return n < 64 ? BIT(n) - 1 : ~0ull;
}

/* Broadcasts have fewer elements than bits, and start again with the first one. */
static u64 fold(u64 mask, unsigned elements)
{
    u64 folded = 0;
    for (unsigned done = 0; done < 64; done += elements)
        folded |= mask >> done & first_bits(elements);
    return folded;
}

struct elements elements_of(u32 descriptor)
{
    unsigned opmask = descriptor >> ACCESS_OPMASK_SHIFT & 7, operand_size = descriptor & ACCESS_SIZE;
    if (!opmask)
        return (struct elements){.accessed = 1, .checked = 1, .size = operand_size};
    unsigned bits = 1u << (descriptor >> ACCESS_BITS_SHIFT & 7);
    unsigned count = 1u << (descriptor >> ACCESS_ELEMENTS_SHIFT & 7);
    enum masking masking = (enum masking)(descriptor >> ACCESS_MASKING_SHIFT & 3);
    u64 mask = opmask_read(opmask) & first_bits(bits);
    u64 accessed =
        masking == MASKING_PACKED ? first_bits((unsigned)__builtin_popcountll(mask)) : fold(mask, count);
    return (struct elements){.accessed = accessed,
                             .checked = masking == MASKING_PROBED ? first_bits(count) : accessed,
                             .size = operand_size / count};
}
