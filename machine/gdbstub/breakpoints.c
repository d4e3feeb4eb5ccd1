/* breakpoints.c - GDB's breakpoints and its view of memory: INT3 bytes, and the debug registers (SDM 3B 17.2)
 */
/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <errno.h>
#include <string.h>

#include "machine/gdbstub/gdbstub.h"
#include "machine/machine.h"

enum { INT3 = 0xcc, PAGE = 4096 };

/* ---- memory ---- */

/* Host address of the byte at gva, with the rest of its page behind it; or NULL. */
static u8 *translate(struct gdbstub *g, u64 gva)
{
    struct machine *m = g->machine;
    struct kvm_translation t = {.linear_address = gva};
    int fd = gdb_vcpu(g, g->thread)->fd;
    if (m->kvm->ioctl(fd, KVM_TRANSLATE, (unsigned long)&t) < 0 || !t.valid)
        return NULL;
    return ram_at(&m->ram, t.physical_address, PAGE - (t.physical_address & (PAGE - 1)));
}

static size_t piece(u64 gva, size_t n)
{
    return min(n, (size_t)(PAGE - (gva & (PAGE - 1))));
}

bool gdb_memory_read(struct gdbstub *g, u64 gva, u8 *bytes, size_t n)
{
    for (size_t done = 0, k; done < n; done += k) {
        const u8 *at = translate(g, gva + done);
        k = piece(gva + done, n - done);
        if (!at)
            return false;
        memcpy(bytes + done, at, k);
    }
    for (unsigned i = 0; i < GDB_SOFTWARE_BREAKPOINTS; i++) {
        u64 offset = g->breakpoints.software[i].gva - gva;
        if (g->breakpoints.software[i].used && offset < n && bytes[offset] == INT3)
            bytes[offset] = g->breakpoints.software[i].byte;
    }
    return true;
}

static bool write_raw(struct gdbstub *g, u64 gva, const u8 *bytes, size_t n)
{
    for (size_t done = 0, k; done < n; done += k) {
        u8 *at = translate(g, gva + done);
        k = piece(gva + done, n - done);
        if (!at)
            return false;
        memcpy(at, bytes + done, k);
    }
    return true;
}

/* Breakpoints stay where they are, over the new bytes. */
bool gdb_memory_write(struct gdbstub *g, u64 gva, const u8 *bytes, size_t n)
{
    const u8 int3 = INT3;
    bool good = write_raw(g, gva, bytes, n);
    for (unsigned i = 0; i < GDB_SOFTWARE_BREAKPOINTS && good; i++) {
        u64 offset = g->breakpoints.software[i].gva - gva;
        if (!g->breakpoints.software[i].used || offset >= n)
            continue;
        g->breakpoints.software[i].byte = bytes[offset];
        good = write_raw(g, gva + offset, &int3, 1);
    }
    return good;
}

/* ---- INT3 ---- */

static int software_find(const struct gdbstub *g, u64 gva)
{
    for (int i = 0; i < GDB_SOFTWARE_BREAKPOINTS; i++)
        if (g->breakpoints.software[i].used && g->breakpoints.software[i].gva == gva)
            return i;
    return -ENOENT;
}

static int software_insert(struct gdbstub *g, u64 gva)
{
    const u8 int3 = INT3;
    unsigned i = 0;
    u8 byte;
    if (software_find(g, gva) >= 0)
        return 0;
    while (i < GDB_SOFTWARE_BREAKPOINTS && g->breakpoints.software[i].used)
        i++;
    if (i == GDB_SOFTWARE_BREAKPOINTS)
        return -ENOSPC;
    if (!gdb_memory_read(g, gva, &byte, 1) || !write_raw(g, gva, &int3, 1))
        return -EFAULT;
    g->breakpoints.software[i].used = true;
    g->breakpoints.software[i].gva = gva;
    g->breakpoints.software[i].byte = byte;
    return 0;
}

/* A byte that the guest has overwritten since is the guest's. */
static int software_remove(struct gdbstub *g, u64 gva)
{
    int i = software_find(g, gva);
    if (i < 0)
        return i;
    g->breakpoints.software[i].used = false;
    const u8 *at = translate(g, gva);
    if (at && *at == INT3)
        write_raw(g, gva, &g->breakpoints.software[i].byte, 1);
    return 0;
}

/* ---- debug registers ---- */

static int hardware_find(const struct gdbstub *g, enum gdb_break type, u64 gva, u64 length)
{
    for (int i = 0; i < GDB_HARDWARE_BREAKPOINTS; i++)
        if (g->breakpoints.hardware[i].used && g->breakpoints.hardware[i].type == type &&
            g->breakpoints.hardware[i].gva == gva && g->breakpoints.hardware[i].length == length)
            return i;
    return -ENOENT;
}

static int hardware_insert(struct gdbstub *g, enum gdb_break type, u64 gva, u64 length)
{
    bool sized = length == 1 || length == 2 || length == 4 || length == 8;
    unsigned i = 0;
    if (!sized || gva % length)
        return -EINVAL;
    if (hardware_find(g, type, gva, length) >= 0)
        return 0;
    while (i < GDB_HARDWARE_BREAKPOINTS && g->breakpoints.hardware[i].used)
        i++;
    if (i == GDB_HARDWARE_BREAKPOINTS)
        return -ENOSPC;
    g->breakpoints.hardware[i].used = true;
    g->breakpoints.hardware[i].type = type;
    g->breakpoints.hardware[i].gva = gva;
    g->breakpoints.hardware[i].length = length;
    return 0;
}

static int hardware_remove(struct gdbstub *g, enum gdb_break type, u64 gva, u64 length)
{
    int i = hardware_find(g, type, gva, length);
    if (i < 0)
        return i;
    g->breakpoints.hardware[i].used = false;
    return 0;
}

/* The processor has no breakpoint for reads alone. */
int gdb_break_insert(struct gdbstub *g, enum gdb_break type, u64 gva, u64 length)
{
    switch (type) {
    case BREAK_SOFTWARE: return software_insert(g, gva);
    case BREAK_HARDWARE: return hardware_insert(g, type, gva, 1);
    case WATCH_WRITE:
    case WATCH_ACCESS: return hardware_insert(g, type, gva, length);
    default: return -EOPNOTSUPP;
    }
}

int gdb_break_remove(struct gdbstub *g, enum gdb_break type, u64 gva, u64 length)
{
    if (type == BREAK_SOFTWARE)
        return software_remove(g, gva);
    return hardware_remove(g, type, gva, type == BREAK_HARDWARE ? 1 : length);
}

void gdb_break_clear(struct gdbstub *g)
{
    for (unsigned i = 0; i < GDB_SOFTWARE_BREAKPOINTS; i++)
        if (g->breakpoints.software[i].used)
            software_remove(g, g->breakpoints.software[i].gva);
    memset(&g->breakpoints, 0, sizeof(g->breakpoints));
}

static u64 dr7_field(enum gdb_break type, u64 length)
{
    static const u8 lengths[] = {[1] = 0, [2] = 1, [4] = 3, [8] = 2};
    u64 rw = type == BREAK_HARDWARE ? 0 : type == WATCH_WRITE ? 1 : 3;
    return (u64)lengths[length] << 2 | rw;
}

static void fill_hardware(const struct gdbstub *g, struct kvm_guest_debug *d)
{
    enum { DR7_FIXED = 0x400, DR7_G0 = 2 };
    for (unsigned i = 0; i < GDB_HARDWARE_BREAKPOINTS; i++) {
        if (!g->breakpoints.hardware[i].used)
            continue;
        u64 field = dr7_field(g->breakpoints.hardware[i].type, g->breakpoints.hardware[i].length);
        d->control |= KVM_GUESTDBG_USE_HW_BP;
        d->arch.debugreg[i] = g->breakpoints.hardware[i].gva;
        d->arch.debugreg[7] |= DR7_FIXED | (u64)DR7_G0 << i * 2 | field << (16 + i * 4);
    }
}

/* A step is the program's own: interrupts wait, where KVM can hold them. */
static u32 step_control(const struct machine *m)
{
    int known = m->kvm->ioctl(m->sys_fd, KVM_CHECK_EXTENSION, KVM_CAP_SET_GUEST_DEBUG2);
    return KVM_GUESTDBG_SINGLESTEP | (known > 0 ? (u32)known & KVM_GUESTDBG_BLOCKIRQ : 0);
}

int gdb_break_apply(struct gdbstub *g, struct vcpu *v, u32 inject)
{
    const struct machine *m = g->machine;
    struct kvm_guest_debug d = {.control = inject};
    for (unsigned i = 0; i < GDB_SOFTWARE_BREAKPOINTS; i++)
        if (g->breakpoints.software[i].used)
            d.control |= KVM_GUESTDBG_USE_SW_BP;
    fill_hardware(g, &d);
    if (g->stepping == v->id + 1)
        d.control |= step_control(m);
    if (d.control & ~inject)
        d.control |= KVM_GUESTDBG_ENABLE;
    return m->kvm->ioctl(v->fd, KVM_SET_GUEST_DEBUG, (unsigned long)&d) < 0 ? -errno : 0;
}
