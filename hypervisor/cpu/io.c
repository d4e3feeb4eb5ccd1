/* io.c - IN, OUT, INS, OUTS: permission, chips in the library, KVM_EXIT_IO (SDM 1 ch. 18; api.rst 5) */
/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A port that no chip of the library answers leaves KVM_RUN with KVM_EXIT_IO. As in the kernel's KVM, rip
 * then is still at the instruction (but for OUT to port 0x7e, of which a BIOS expects otherwise), and the
 * next KVM_RUN completes it, if rip is unchanged: registers, memory, rip. String forms hand out as many
 * elements as fit the data page.
 */
#include <string.h>

#include "hypervisor/api/io_bus.h"
#include "hypervisor/cpu/control.h"
#include "hypervisor/cpu/handlers.h"
#include "hypervisor/cpu/segments.h"
#include "hypervisor/cpu/strings.h"
#include "hypervisor/irq/irq.h"
#include "hypervisor/vm.h"

enum { PIO_DATA_OFFSET = 4096, PIO_DATA_SIZE = 4096 }; /* in the mapping of the vcpu */

_Noreturn static void raise_gp(struct vcpu *v)
{
    raise_exception_code(v, EXC_GP, 0);
}

/* The I/O permission bitmap in the TSS (SDM 1 18.5.2). The processor reads two bytes of it, and so wants both
 * within the limit. */
static bool bitmap_allows(struct vcpu *v, u16 port, unsigned size)
{
    enum { IO_MAP_BASE = 102 };
    const struct segment *tr = &v->seg[SEG_TR];
    if ((tr->attributes & SEG_TYPE) != DESC_TSS_BUSY || tr->limit < IO_MAP_BASE + 1)
        return false;
    u32 at = (u32)guest_load(v, linear_add(v, tr->base, IO_MAP_BASE), 2, AS_SYSTEM) + port / 8;
    if (at + 1 > tr->limit)
        return false;
    u64 bits = guest_load(v, linear_add(v, tr->base, at), 2, AS_SYSTEM) >> (port & 7);
    return !(bits & (BIT(size) - 1));
}

static void require_io(struct vcpu *v, u16 port, unsigned size)
{
    unsigned iopl = v->rflags >> 12 & 3;
    bool vm86 = v->rflags & FLAG_VM;
    if (!(v->cr0 & CR0_PE) || (!vm86 && v->cpl <= iopl))
        return;
    if (!bitmap_allows(v, port, size))
        raise_gp(v);
}

static u16 port_of(const struct vcpu *v, const struct insn *in)
{
    enum { PORT_IN_DX = 8 }; /* of the opcodes e4..e7, ec..ef */
    return in->opcode & PORT_IN_DX ? (u16)v->gpr[GPR_RDX] : (u8)in->imm;
}

static unsigned size_of(const struct insn *in)
{
    return min(in->opsize, (u8)4);
}

static u8 *pio_data(struct vcpu *v)
{
    return (u8 *)v->run + PIO_DATA_OFFSET;
}

static void pio_prepare(struct vcpu *v, bool in, u16 port, unsigned size, u64 count)
{
    v->run->io.direction = in ? KVM_EXIT_IO_IN : KVM_EXIT_IO_OUT;
    v->run->io.size = (u8)size;
    v->run->io.port = port;
    v->run->io.count = (u32)count;
    v->run->io.data_offset = PIO_DATA_OFFSET;
    v->pio = (struct pio_pending){
        .active = true,
        .in = in,
        .size = (u8)size,
        .count = (u32)count,
        .rip = v->rip,
        .next_rip = v->next_rip,
    };
}

/* ---- IN and OUT ---- */

static void in_complete(struct vcpu *v, unsigned size, u64 value)
{
    static const struct insn no_high_bytes = {.rex = true};
    reg_write(v, &no_high_bytes, GPR_RAX, size, value);
}

void insn_in(struct vcpu *v, const struct insn *in)
{
    u16 port = port_of(v, in);
    unsigned size = size_of(in);
    u32 value = 0;
    require_io(v, port, size);
    debug_io_access(v, port, size);
    if (v->vm->irqchip && irqchip_port_read(v, port, size, &value)) {
        in_complete(v, size, value);
        return;
    }
    pio_prepare(v, true, port, size, 1);
    vcpu_exit(v, KVM_EXIT_IO);
}

/* Whether it needs no user space. */
static bool port_write(struct vcpu *v, u16 port, unsigned size, u32 value)
{
    return irqchip_port_write(v, port, size, value) || io_bus_write(v, BUS_PIO, port, size, &value);
}

void insn_out(struct vcpu *v, const struct insn *in)
{
    enum { VAPIC_PORT = 0x7e };
    u16 port = port_of(v, in);
    unsigned size = size_of(in);
    u32 value = (u32)reg_read(v, in, GPR_RAX, size);
    require_io(v, port, size);
    debug_io_access(v, port, size);
    if (port_write(v, port, size, value))
        return;
    pio_prepare(v, false, port, size, 1);
    memcpy(pio_data(v), &value, size);
    if (port == VAPIC_PORT && vm_has_quirk(v->vm, KVM_X86_QUIRK_OUT_7E_INC_RIP)) {
        v->pio.active = false;
        instruction_retire(v);
    }
    vcpu_exit(v, KVM_EXIT_IO);
}

/* ---- INS and OUTS ---- */

/* Elements for one exit: those of a run in RAM; one elsewhere, and where each may end with a #DB. Faults as
 * the first element does. */
static u64 batch(struct vcpu *v, const struct string_pointer *p, u64 count, bool write)
{
    if (debug_stepping(v) || v->debug.io)
        count = 1;
    u64 n = string_run(v, p, min(count, (u64)(PIO_DATA_SIZE / p->size)), write);
    if (write)
        guest_probe_write(v, string_linear(v, p, true), p->size, AS_CPL);
    bool ram = n && string_run_host(v, p, n, write);
    if (ram && write)
        guest_rmw_done(v);
    return ram ? n : 1;
}

static u64 load_element(struct vcpu *v, const struct string_pointer *p)
{
    return guest_load(v, string_linear(v, p, false), p->size, AS_CPL);
}

/* The run of n elements, of which the first has been read already, into the data page. */
static void load_run(struct vcpu *v, struct string_pointer p, u64 first, u64 n)
{
    u64 pointer = v->gpr[p.gpr];
    memcpy(pio_data(v), &first, p.size);
    for (u64 i = 1; i < n; i++) {
        string_advance(v, &p, 1);
        u64 value = load_element(v, &p);
        memcpy(pio_data(v) + i * p.size, &value, p.size);
    }
    v->gpr[p.gpr] = pointer;
}

static void store_element(struct vcpu *v, const struct string_pointer *p, const u8 *data)
{
    u64 value = 0;
    memcpy(&value, data, p->size);
    guest_store(v, string_linear(v, p, true), p->size, value, AS_CPL);
    string_advance(v, p, 1);
}

static u64 io_count(const struct vcpu *v, const struct insn *in)
{
    return in->rep ? string_count(v, in->addrsize) : 1;
}

/* After an element that a chip of the library has answered: true if more follow. */
static bool goes_on(struct vcpu *v, const struct insn *in)
{
    u64 count = io_count(v, in) - 1;
    if (in->rep)
        string_set_count(v, in->addrsize, count);
    guest_commit(v);
    if (count && debug_stepping(v))
        v->debug.trap |= DR6_BS;
    if (count && (v->requests || v->mmio_writes || v->code_changed || v->debug.trap))
        string_leave(v);
    return count != 0;
}

_Noreturn static void exit_string(struct vcpu *v, const struct insn *in)
{
    v->pio.string = true;
    v->pio.rep = in->rep;
    v->pio.addrsize = in->addrsize;
    v->pio.seg = in->mem.seg;
    guest_commit(v);
    vcpu_exit(v, KVM_EXIT_IO);
}

void insn_ins(struct vcpu *v, const struct insn *in)
{
    u16 port = (u16)v->gpr[GPR_RDX];
    unsigned size = size_of(in);
    struct string_pointer p = string_destination(in, size);
    u32 value = 0;
    require_io(v, port, size);
    if (in->rep)
        string_start_repetition(v, in);
    if (!io_count(v, in))
        return;
    do {
        u64 n = batch(v, &p, io_count(v, in), true);
        debug_io_access(v, port, size);
        if (!v->vm->irqchip || !irqchip_port_read(v, port, size, &value)) {
            pio_prepare(v, true, port, size, n);
            exit_string(v, in);
        }
        store_element(v, &p, (const u8 *)&value);
    } while (goes_on(v, in));
}

void insn_outs(struct vcpu *v, const struct insn *in)
{
    u16 port = (u16)v->gpr[GPR_RDX];
    unsigned size = size_of(in);
    struct string_pointer p = string_source(in, size);
    require_io(v, port, size);
    if (in->rep)
        string_start_repetition(v, in);
    if (!io_count(v, in))
        return;
    do {
        u64 n = batch(v, &p, io_count(v, in), false);
        debug_io_access(v, port, size);
        u64 value = load_element(v, &p);
        if (!port_write(v, port, size, (u32)value)) {
            load_run(v, p, value, n);
            pio_prepare(v, false, port, size, n);
            exit_string(v, in);
        }
        string_advance(v, &p, 1);
    } while (goes_on(v, in));
}

/* ---- the next KVM_RUN ---- */

static void complete_element(struct vcpu *v, const struct pio_pending *io, const struct string_pointer *p,
                             u32 i)
{
    if (io->in)
        store_element(v, p, pio_data(v) + i * io->size);
    else
        string_advance(v, p, 1);
    if (io->rep)
        string_set_count(v, io->addrsize, string_count(v, io->addrsize) - 1);
}

static void between_elements(struct vcpu *v)
{
    v->rflags |= FLAG_RF;
    if (debug_stepping(v))
        v->debug.trap |= DR6_BS;
}

/* rip moves on when no elements are left: user space may have set the count meanwhile. */
static void complete_string(struct vcpu *v, const struct pio_pending *io)
{
    struct string_pointer p = {io->in ? GPR_RDI : GPR_RSI, io->in ? SEG_ES : io->seg, io->addrsize, io->size};
    u64 left = io->rep ? string_count(v, io->addrsize) : 1, count = min((u64)io->count, left);
    for (u32 i = 0; i < count; i++)
        complete_element(v, io, &p, i);
    if (!io->rep || !string_count(v, io->addrsize))
        instruction_retire(v);
    else
        between_elements(v);
}

void pio_complete(struct vcpu *v)
{
    const struct pio_pending io = v->pio;
    v->pio.active = false;
    if (!io.active || v->rip != io.rip)
        return;
    v->next_rip = io.next_rip;
    if (io.string) {
        complete_string(v, &io);
        return;
    }
    if (io.in) {
        u64 value = 0;
        memcpy(&value, pio_data(v), io.size);
        in_complete(v, io.size, value);
    }
    instruction_retire(v);
}
