/* debug.c - breakpoints, single steps, and the debugger of KVM_SET_GUEST_DEBUG (SDM 3B ch. 17; api.rst 4.87)
 */
/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "hypervisor/cpu/debug.h"

enum { BREAKPOINTS = 4 };
enum breakpoint_type { ON_EXECUTE, ON_WRITE, ON_IO, ON_ACCESS }; /* R/W of DR7 */

static bool is_for_host(const struct vcpu *v)
{
    return v->debug.control & KVM_GUESTDBG_USE_HW_BP;
}

u64 debug_dr7(const struct vcpu *v)
{
    return is_for_host(v) ? v->debug.host_dr[7] : v->dr[7];
}

static bool is_enabled(u64 dr7, unsigned n)
{
    return dr7 >> n * 2 & 3;
}

static enum breakpoint_type type_of(u64 dr7, unsigned n)
{
    return (enum breakpoint_type)(dr7 >> (16 + n * 4) & 3);
}

static u64 length_of(u64 dr7, unsigned n)
{
    static const u8 length[] = {1, 2, 8, 4};
    return length[dr7 >> (18 + n * 4) & 3];
}

gva debug_address(const struct vcpu *v, unsigned n)
{
    gva a = is_for_host(v) ? v->debug.host_dr[n] : v->dr[n];
    u64 dr7 = debug_dr7(v);
    return type_of(dr7, n) == ON_EXECUTE ? a : ALIGN_DOWN(a, length_of(dr7, n));
}

void debug_update(struct vcpu *v)
{
    u64 dr7 = debug_dr7(v);
    u8 of_type[4] = {0};
    for (unsigned n = 0; n < BREAKPOINTS; n++)
        if (is_enabled(dr7, n))
            of_type[type_of(dr7, n)] |= (u8)BIT(n);
    v->debug.code = of_type[ON_EXECUTE];
    v->debug.io = of_type[ON_IO];
    v->debug.read = of_type[ON_ACCESS];
    v->debug.write = of_type[ON_WRITE] | of_type[ON_ACCESS];
    v->debug.changed = true;
}

void debug_set_dr7(struct vcpu *v, u64 value)
{
    if (v->dr[7] == value)
        return;
    v->dr[7] = value;
    debug_update(v);
}

/* ---- matching ---- */

u64 debug_match_code(const struct vcpu *v, gva pc)
{
    u64 hit = 0;
    for (unsigned n = 0; n < BREAKPOINTS; n++)
        if ((v->debug.code >> n & 1) && debug_address(v, n) == pc)
            hit |= BIT(n);
    return hit;
}

bool debug_in_code_page(const struct vcpu *v, gva pc)
{
    for (unsigned n = 0; n < BREAKPOINTS; n++)
        if ((v->debug.code >> n & 1) && debug_address(v, n) >> 12 == pc >> 12)
            return true;
    return false;
}

bool debug_watches(const struct vcpu *v, gva a, u64 n)
{
    for (unsigned i = 0; i < BREAKPOINTS; i++) {
        u64 page = debug_address(v, i) >> 12;
        if ((v->debug.write >> i & 1) && (page == a >> 12 || page == (a + n - 1) >> 12))
            return true;
    }
    return false;
}

static void note_overlaps(struct vcpu *v, u8 armed, u64 first, u64 n)
{
    for (unsigned i = 0; i < BREAKPOINTS; i++) {
        u64 start = debug_address(v, i);
        bool overlaps = first - start < length_of(debug_dr7(v), i) || start - first < n;
        if ((armed >> i & 1) && overlaps)
            v->debug.trap |= BIT(i);
    }
}

void debug_data_access(struct vcpu *v, gva a, u64 n, bool write)
{
    note_overlaps(v, write ? v->debug.write : v->debug.read, a, n);
}

void debug_io_access(struct vcpu *v, u16 port, unsigned n)
{
    if (v->debug.io && (v->cr4 & CR4_DE))
        note_overlaps(v, v->debug.io, port, n);
}

void debug_step_by_new_flags(struct vcpu *v)
{
    v->debug.single_step = v->debug.control & KVM_GUESTDBG_SINGLESTEP;
    if (v->rflags & FLAG_TF)
        v->debug.trap |= DR6_BS;
}

/* ---- for user space ---- */

static gva linear_rip(const struct vcpu *v)
{
    return in_64bit(v) ? v->rip : (u32)(v->rip + v->seg[SEG_CS].base);
}

_Noreturn void debug_exit(struct vcpu *v, u8 vector, u64 dr6)
{
    v->run->debug.arch = (struct kvm_debug_exit_arch){
        .exception = vector,
        .pc = linear_rip(v),
        .dr6 = vector == EXC_DB ? dr6 | DR6_FIXED : 0,
        .dr7 = debug_dr7(v),
    };
    vcpu_exit(v, KVM_EXIT_DEBUG);
}
