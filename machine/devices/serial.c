/* serial.c - 16550A UART (National Semiconductor PC16550D) */
/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <errno.h>
#include <stdlib.h>

#include "machine/chardev.h"
#include "machine/device.h"

/* Registers, by offset; the first two are the divisor latch while LCR.DLAB is set. */
enum { RBR_THR_DLL, IER_DLM, IIR_FCR, LCR, MCR, LSR, MSR, SCR, REGISTERS };

enum { IER_RDA = 1, IER_THRE = 2, IER_RLS = 4, IER_MS = 8, IER_ALL = 15 };
enum { IIR_MS = 0, IIR_NONE = 1, IIR_THRE = 2, IIR_RDA = 4, IIR_RLS = 6, IIR_TIMEOUT = 12, IIR_FIFO = 0xc0 };
enum { FCR_ENABLE = 1, FCR_CLEAR_RX = 2, FCR_CLEAR_TX = 4, FCR_TRIGGER_SHIFT = 6 };
enum { LCR_DLAB = 0x80 };
enum { MCR_DTR = 1, MCR_RTS = 2, MCR_OUT1 = 4, MCR_OUT2 = 8, MCR_LOOP = 16, MCR_ALL = 31 };
enum { LSR_DR = 1, LSR_OE = 2, LSR_BI = 0x10, LSR_THRE = 0x20, LSR_TEMT = 0x40, LSR_ERRORS = 0x1e };
enum { MSR_TERI = 4, MSR_CTS = 0x10, MSR_DSR = 0x20, MSR_RI = 0x40, MSR_DCD = 0x80, MSR_DELTAS = 0x0f };

enum { FIFO_SIZE = 16 };

struct serial {
    struct device device;
    struct irq_line irq;
    struct chardev *chardev;
    u8 ier, fcr, lcr, mcr, msr, scr;
    u8 lsr_errors; /* OE, BI: until LSR is read */
    u16 divisor;   /* kept for the guest; the line has no speed */
    u8 fifo[FIFO_SIZE];
    unsigned head, count;
    u8 thr;
    bool thr_full;     /* the host does not take it yet */
    bool thre_pending; /* THR became empty; until IIR reports it or THR is written */
};

static unsigned fifo_room(const struct serial *s)
{
    return (s->fcr & FCR_ENABLE ? FIFO_SIZE : 1) - s->count;
}

static unsigned trigger_level(const struct serial *s)
{
    static const u8 levels[] = {1, 4, 8, 14};
    return s->fcr & FCR_ENABLE ? levels[s->fcr >> FCR_TRIGGER_SHIFT] : 1;
}

/* The pending interrupt of highest priority. Below the trigger level the four-character timeout has always
 * passed: this line has no speed. */
static u8 interrupt_identity(const struct serial *s)
{
    if (s->ier & IER_RLS && s->lsr_errors)
        return IIR_RLS;
    if (s->ier & IER_RDA && s->count)
        return s->count >= trigger_level(s) ? IIR_RDA : IIR_TIMEOUT;
    if (s->ier & IER_THRE && s->thre_pending)
        return IIR_THRE;
    if (s->ier & IER_MS && s->msr & MSR_DELTAS)
        return IIR_MS;
    return IIR_NONE;
}

static void update_irq(struct serial *s)
{
    irq_line_set(&s->irq, interrupt_identity(s) != IIR_NONE);
}

static void fifo_push(struct serial *s, u8 byte)
{
    if (!fifo_room(s)) {
        s->lsr_errors |= LSR_OE;
        return;
    }
    s->fifo[(s->head + s->count++) % FIFO_SIZE] = byte;
}

/* Takes what the host has for us, as far as there is room. In loopback the line is cut. */
static void receive(struct serial *s)
{
    u8 byte;
    while (!(s->mcr & MCR_LOOP) && fifo_room(s) && chardev_read(s->chardev, &byte))
        fifo_push(s, byte);
}

static void input_arrived(void *opaque)
{
    receive(opaque);
    update_irq(opaque);
}

static void send_break(void *opaque)
{
    struct serial *s = opaque;
    if (!fifo_room(s))
        return;
    fifo_push(s, 0);
    s->lsr_errors |= LSR_BI;
    update_irq(s);
}

static void transmit(struct serial *s)
{
    if (s->mcr & MCR_LOOP)
        fifo_push(s, s->thr);
    else
        s->thr_full = !chardev_write(s->chardev, s->thr);
    s->thre_pending = !s->thr_full;
}

static void output_ready(void *opaque)
{
    struct serial *s = opaque;
    if (s->thr_full)
        transmit(s);
    update_irq(s);
}

/* The other end is always there; in loopback, our own outputs come back (PC16550D 8.6.6). */
static u8 modem_inputs(const struct serial *s)
{
    if (!(s->mcr & MCR_LOOP))
        return MSR_DCD | MSR_DSR | MSR_CTS;
    return (s->mcr & MCR_RTS ? MSR_CTS : 0) | (s->mcr & MCR_DTR ? MSR_DSR : 0) |
           (s->mcr & MCR_OUT1 ? MSR_RI : 0) | (s->mcr & MCR_OUT2 ? MSR_DCD : 0);
}

static void update_msr(struct serial *s)
{
    u8 now = modem_inputs(s), changed = (s->msr ^ now) >> 4;
    u8 deltas = changed & (MSR_DELTAS & ~MSR_TERI);
    if (s->msr & ~now & MSR_RI)
        deltas |= MSR_TERI; /* the trailing edge alone */
    s->msr = now | (s->msr & MSR_DELTAS) | deltas;
}

static u8 read_rbr(struct serial *s)
{
    u8 byte = s->fifo[s->head];
    if (s->count) {
        s->head = (s->head + 1) % FIFO_SIZE;
        s->count--;
        receive(s);
    }
    return byte;
}

static u8 read_iir(struct serial *s)
{
    u8 identity = interrupt_identity(s);
    if (identity == IIR_THRE)
        s->thre_pending = false;
    return identity | (s->fcr & FCR_ENABLE ? IIR_FIFO : 0);
}

static u8 read_lsr(struct serial *s)
{
    u8 lsr = s->lsr_errors | (s->count ? LSR_DR : 0) | (s->thr_full ? 0 : LSR_THRE | LSR_TEMT);
    s->lsr_errors = 0;
    return lsr;
}

static u8 read_msr(struct serial *s)
{
    u8 msr = s->msr;
    s->msr &= ~MSR_DELTAS;
    return msr;
}

static u8 read_register(struct serial *s, unsigned reg)
{
    bool dlab = s->lcr & LCR_DLAB;
    switch (reg) {
    case RBR_THR_DLL: return dlab ? (u8)s->divisor : read_rbr(s);
    case IER_DLM: return dlab ? s->divisor >> 8 : s->ier;
    case IIR_FCR: return read_iir(s);
    case LCR: return s->lcr;
    case MCR: return s->mcr;
    case LSR: return read_lsr(s);
    case MSR: return read_msr(s);
    default: return s->scr;
    }
}

static void write_thr(struct serial *s, u8 byte)
{
    if (s->thr_full)
        return; /* the guest did not wait: the byte is lost, as on the chip */
    s->thr = byte;
    s->thre_pending = false;
    transmit(s);
}

static void write_ier(struct serial *s, u8 value)
{
    if (value & ~s->ier & IER_THRE && !s->thr_full)
        s->thre_pending = true; /* enabling it with THR empty interrupts at once */
    s->ier = value & IER_ALL;
}

static void write_fcr(struct serial *s, u8 value)
{
    if ((value ^ s->fcr) & FCR_ENABLE)
        value |= FCR_CLEAR_RX | FCR_CLEAR_TX;
    s->fcr = value & FCR_ENABLE ? value & ~(FCR_CLEAR_RX | FCR_CLEAR_TX) : 0;
    if (value & FCR_CLEAR_RX)
        s->head = s->count = 0;
    receive(s);
}

static void write_mcr(struct serial *s, u8 value)
{
    s->mcr = value & MCR_ALL;
    update_msr(s);
    receive(s);
}

static void write_register(struct serial *s, unsigned reg, u8 value)
{
    bool dlab = s->lcr & LCR_DLAB;
    switch (reg) {
    case RBR_THR_DLL:
        if (dlab)
            s->divisor = (s->divisor & 0xff00) | value;
        else
            write_thr(s, value);
        break;
    case IER_DLM:
        if (dlab)
            s->divisor = (u16)(value << 8 | (s->divisor & 0xff));
        else
            write_ier(s, value);
        break;
    case IIR_FCR: write_fcr(s, value); break;
    case LCR: s->lcr = value; break;
    case MCR: write_mcr(s, value); break;
    case SCR: s->scr = value; break;
    default: break; /* LSR and MSR are read only */
    }
}

static u64 serial_read(void *opaque, u64 offset, unsigned size)
{
    (void)size;
    u8 value = read_register(opaque, (unsigned)offset);
    update_irq(opaque);
    return value;
}

static void serial_write(void *opaque, u64 offset, unsigned size, u64 value)
{
    (void)size;
    write_register(opaque, (unsigned)offset, (u8)value);
    update_irq(opaque);
}

static const struct bus_ops serial_ops = {serial_read, serial_write, 1};

static void serial_reset(struct device *d)
{
    struct serial *s = container_of(d, struct serial, device);
    *s = (struct serial){.device = s->device, .irq = s->irq, .chardev = s->chardev, .divisor = 12};
    s->msr = modem_inputs(s);
    update_irq(s);
}

static struct device *serial_create(const struct device_place *p)
{
    struct serial *s = calloc(1, sizeof(*s));
    if (!s)
        return NULL;
    s->device.type = &serial_16550;
    s->irq = p->irq;
    s->chardev = p->chardev;
    s->chardev->user = (struct chardev_user){s, input_arrived, output_ready, send_break};
    bus_add(p->ports, p->port, REGISTERS, &serial_ops, s);
    return &s->device;
}

static int serial_loaded(void *object, struct error *e)
{
    struct serial *s = object;
    unsigned room = s->fcr & FCR_ENABLE ? FIFO_SIZE : 1;
    if (s->head >= FIFO_SIZE || s->count > room)
        return error_set(e, EINVAL, "the saved state of a serial port is damaged: %u bytes in its FIFO",
                         s->count);
    receive(s);
    output_ready(s);
    return 0;
}

static const struct state_field fields[] = {STATE(struct serial, ier),
                                            STATE(struct serial, fcr),
                                            STATE(struct serial, lcr),
                                            STATE(struct serial, mcr),
                                            STATE(struct serial, msr),
                                            STATE(struct serial, scr),
                                            STATE(struct serial, lsr_errors),
                                            STATE(struct serial, divisor),
                                            STATE(struct serial, fifo),
                                            STATE(struct serial, head),
                                            STATE(struct serial, count),
                                            STATE(struct serial, thr),
                                            STATE_BOOL(struct serial, thr_full),
                                            STATE_BOOL(struct serial, thre_pending),
                                            {0}};
static const struct state_table state = {"serial", 1, fields, .loaded = serial_loaded};

const struct device_type serial_16550 = {"serial", serial_create, serial_reset, .state = &state};
