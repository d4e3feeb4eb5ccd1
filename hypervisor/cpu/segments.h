/* segments.h - descriptors, and what loads, far transfers and event delivery check of them (SDM 3A 3.4.5, ch.
 * 5) */
/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef CPU_SEGMENTS_H
#define CPU_SEGMENTS_H

#include "hypervisor/cpu/vcpu.h"

/* System descriptor types (SDM 3A table 3-2). In IA-32e mode the 32-bit ones are the 64-bit ones. */
enum {
    DESC_TSS16 = 1,
    DESC_LDT = 2,
    DESC_TSS16_BUSY = 3,
    DESC_CALL_GATE16 = 4,
    DESC_TASK_GATE = 5,
    DESC_INT_GATE16 = 6,
    DESC_TRAP_GATE16 = 7,
    DESC_TSS = 9,
    DESC_TSS_BUSY = 11,
    DESC_CALL_GATE = 12,
    DESC_INT_GATE = 14,
    DESC_TRAP_GATE = 15
};
enum { SEG_ACCESSED = 1, SEG_TSS_BUSY = 2 }; /* bits of the type that the processor sets */

struct descriptor {
    u64 raw;                /* as it stands in the GDT or LDT */
    gva address;            /* where it stands */
    struct segment segment; /* with the selector it was found by */
};

/* Bits of struct segment's attributes. */
static inline unsigned seg_dpl(u16 attributes)
{
    return attributes >> SEG_DPL_SHIFT & 3;
}
static inline bool seg_is_64bit(const struct vcpu *v, const struct segment *cs)
{
    return in_long_mode(v) && (cs->attributes & SEG_L);
}
static inline bool seg_is_code(u16 attributes)
{
    return (attributes & 0x18) == 0x18;
}
static inline bool seg_is_conforming(u16 attributes)
{
    return (attributes & 0x1c) == 0x1c;
}
static inline bool seg_is_writable_data(u16 attributes)
{
    return (attributes & 0x1a) == 0x12;
}
static inline bool seg_is_readable(u16 attributes) /* data, or code that may be read */
{
    return (attributes & SEG_S) && (attributes & 0xa) != 8;
}
static inline unsigned system_type(u16 attributes) /* 0 (reserved) where it is a code or data segment */
{
    return attributes & SEG_S ? 0 : attributes & SEG_TYPE;
}

/* The null selectors are 0 to 3. */
static inline bool selector_is_null(u16 selector)
{
    return !(selector & ~3);
}
/* As an error code: without the RPL, which is the place of EXT and IDT (SDM 3A 6.13). */
static inline u32 selector_error(u16 selector)
{
    return selector & ~3u;
}

/* Reads the descriptor of a selector that is not null. false: beyond the limit of its table, or there is no
 * LDT. May fault. */
bool descriptor_read(struct vcpu *v, u16 selector, struct descriptor *d);
/* The upper half of a 16-byte system descriptor in IA-32e mode. false: beyond the table's limit. */
bool descriptor_read_upper(struct vcpu *v, const struct descriptor *d, u64 *upper);
/* Sets a bit of the type, in memory by a locked access and in *d. May fault. */
void descriptor_set_type_bit(struct vcpu *v, struct descriptor *d, u8 bit);
void descriptor_clear_type_bit(struct vcpu *v, struct descriptor *d, u8 bit);

/* linear + n, with the wrap at 4 GiB outside 64-bit mode. */
static inline gva linear_add(const struct vcpu *v, gva a, u64 n)
{
    return in_64bit(v) ? a + n : (u32)(a + n);
}
/* Whether size bytes at offset are within the limit, upwards or downwards; 64-bit mode does not ask. */
bool segment_in_limit(const struct segment *d, u64 offset, u64 size);
struct far_pointer {
    u16 selector;
    u64 offset;
};
/* The memory operand of LxS and of a far JMP or CALL. */
struct far_pointer far_pointer_load(struct vcpu *v, const struct insn *in);
/* The rip to continue at in a new code segment, cut to its width; #GP(ext) where it is beyond the limit, or
 * in 64-bit code not canonical. */
u64 segment_check_rip(struct vcpu *v, const struct segment *cs, u64 rip, u32 ext);
/* What real and virtual-8086 mode make of a selector. */
struct segment segment_real(const struct vcpu *v, enum seg s, u16 selector);
/* A null selector in a data segment register. */
struct segment segment_null(u16 selector);
/* SS for a stack at privilege cpl, SDM 2A "MOV": checks and marks accessed; faults as MOV SS does, but with
 * #TS in place of #GP when tss (5.8.5: stacks out of a TSS), and ext in the error code. The null selector is
 * the caller's. */
struct segment segment_check_stack(struct vcpu *v, u16 selector, unsigned cpl, bool tss, u32 ext);
/* The same for ES, DS, FS and GS; the null selector makes a null segment. tss: of a new task (7.3). */
struct segment segment_check_data(struct vcpu *v, u16 selector, bool tss, u32 ext);

#endif
