/* i8042.c - keyboard controller with a keyboard and no mouse; reset, A20 (IBM PC/AT TR; PS/2 TR, Controller)
 */
/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <errno.h>
#include <stdlib.h>

#include "machine/device.h"
#include "machine/devices/ps2_keyboard.h"

enum { PORT_DATA = 0, PORT_COMMAND = 4 }; /* offsets from 0x60 */
enum { PORT_A = 0x92, PORT_A_RESET = 1, PORT_A_A20 = 2 };

enum { STATUS_OBF = 1, STATUS_SYS = 4, STATUS_COMMAND = 8, STATUS_UNLOCKED = 0x10, STATUS_TIMEOUT = 0x40 };
enum { BYTE_INTERRUPT = 1, BYTE_OFF = 0x10, BYTE_AUX_OFF = 0x20, BYTE_TRANSLATE = 0x40 }; /* command byte */
enum { OUTPUT_RESET = 1, OUTPUT_A20 = 2 };
enum {
    CMD_READ_BYTE = 0x20,
    CMD_WRITE_BYTE = 0x60,
    CMD_AUX_OFF = 0xa7,
    CMD_AUX_ON = 0xa8,
    CMD_TEST_AUX = 0xa9,
    CMD_SELF_TEST = 0xaa,
    CMD_TEST_KEYBOARD = 0xab,
    CMD_OFF = 0xad,
    CMD_ON = 0xae,
    CMD_READ_INPUT = 0xc0,
    CMD_READ_OUTPUT = 0xd0,
    CMD_WRITE_OUTPUT = 0xd1,
    CMD_WRITE_KEYBOARD_BUFFER = 0xd2,
    CMD_WRITE_AUX_BUFFER = 0xd3,
    CMD_WRITE_AUX = 0xd4,
    CMD_PULSE = 0xf0, /* to 0xff: pulses the output lines whose bits are 0 */
};
enum {
    SELF_TEST_PASSED = 0x55,
    LINE_GOOD = 0,
    LINE_STUCK = 1,
    KEYBOARD_RESEND = 0xfe,
    INPUT_UNLOCKED = 0x80
};
enum { RELEASE_PREFIX = 0xf0, RELEASED = 0x80 };

struct i8042 {
    struct device device;
    struct irq_line reset, irq;
    struct ps2_keyboard keyboard;
    u8 power_on; /* the command byte after a reset */
    u8 command_byte, output_port;
    u8 data; /* in the output buffer, if STATUS_OBF */
    u8 status;
    u8 wants_data; /* the command whose argument comes next, or 0 */
    u8 release;    /* RELEASED: the translated byte before was the prefix */
};

/* The buffer is full or not any more: IRQ 1 is an edge for each byte. */
static void update(struct i8042 *k)
{
    irq_line_set(&k->irq, k->status & STATUS_OBF && k->command_byte & BYTE_INTERRUPT);
}

static void answer(struct i8042 *k, u8 byte, u8 status)
{
    k->data = byte;
    k->status = (k->status & ~STATUS_TIMEOUT) | STATUS_OBF | status;
}

/* false: the byte is only a part of what the guest is to see. */
static bool translate(struct i8042 *k, u8 *byte)
{
    if (!(k->command_byte & BYTE_TRANSLATE))
        return true;
    bool prefix = *byte == RELEASE_PREFIX;
    *byte = ps2_translate(*byte) | k->release;
    k->release = prefix ? RELEASED : 0;
    return !prefix;
}

/* The keyboard's next byte, if there is room for it. */
static void fetch(struct i8042 *k)
{
    u8 byte;
    while (!(k->status & STATUS_OBF) && !(k->command_byte & BYTE_OFF) &&
           ps2_keyboard_take(&k->keyboard, &byte))
        if (translate(k, &byte))
            answer(k, byte, 0);
    update(k);
}

static void write_output_port(struct i8042 *k, u8 value)
{
    k->output_port = value | OUTPUT_A20; /* address line 20 is never masked here */
    if (!(value & OUTPUT_RESET))
        irq_line_set(&k->reset, true);
}

static void command(struct i8042 *k, u8 cmd)
{
    k->status |= STATUS_COMMAND;
    k->wants_data = 0;
    if (cmd >= CMD_PULSE && !(cmd & OUTPUT_RESET)) {
        irq_line_set(&k->reset, true);
        return;
    }
    switch (cmd) {
    case CMD_READ_BYTE: answer(k, k->command_byte, 0); break;
    case CMD_SELF_TEST: answer(k, SELF_TEST_PASSED, 0); break;
    case CMD_TEST_KEYBOARD: answer(k, LINE_GOOD, 0); break;
    case CMD_TEST_AUX: answer(k, LINE_STUCK, 0); break;
    case CMD_READ_INPUT: answer(k, INPUT_UNLOCKED, 0); break;
    case CMD_READ_OUTPUT: answer(k, k->output_port, 0); break;
    case CMD_OFF: k->command_byte |= BYTE_OFF; break;
    case CMD_ON: k->command_byte &= (u8)~BYTE_OFF; break;
    case CMD_AUX_OFF: k->command_byte |= BYTE_AUX_OFF; break;
    case CMD_AUX_ON: k->command_byte &= (u8)~BYTE_AUX_OFF; break;
    case CMD_WRITE_BYTE:
    case CMD_WRITE_OUTPUT:
    case CMD_WRITE_KEYBOARD_BUFFER:
    case CMD_WRITE_AUX_BUFFER:
    case CMD_WRITE_AUX: k->wants_data = cmd; break;
    default: break;
    }
    fetch(k);
}

static void data(struct i8042 *k, u8 value)
{
    u8 cmd = k->wants_data;
    k->status &= ~STATUS_COMMAND;
    k->wants_data = 0;
    switch (cmd) {
    case CMD_WRITE_BYTE: k->command_byte = value; break;
    case CMD_WRITE_OUTPUT: write_output_port(k, value); break;
    case CMD_WRITE_KEYBOARD_BUFFER:
    case CMD_WRITE_AUX_BUFFER: answer(k, value, 0); break;
    case CMD_WRITE_AUX: answer(k, KEYBOARD_RESEND, STATUS_TIMEOUT); break; /* there is none */
    default:
        k->command_byte &= (u8)~BYTE_OFF;
        ps2_keyboard_put(&k->keyboard, value);
        break;
    }
    fetch(k);
}

static u8 read_data(struct i8042 *k)
{
    u8 byte = k->data;
    k->status &= ~(STATUS_OBF | STATUS_TIMEOUT);
    update(k);
    fetch(k);
    return byte;
}

static u64 data_read(void *opaque, u64 offset, unsigned size)
{
    (void)offset, (void)size;
    return read_data(opaque);
}

static void data_write(void *opaque, u64 offset, unsigned size, u64 value)
{
    (void)offset, (void)size;
    data(opaque, (u8)value);
}

static u64 command_read(void *opaque, u64 offset, unsigned size)
{
    struct i8042 *k = opaque;
    (void)offset, (void)size;
    return k->status;
}

static void command_write(void *opaque, u64 offset, unsigned size, u64 value)
{
    (void)offset, (void)size;
    command(opaque, (u8)value);
}

static u64 port_a_read(void *opaque, u64 offset, unsigned size)
{
    (void)opaque, (void)offset, (void)size;
    return PORT_A_A20;
}

static void port_a_write(void *opaque, u64 offset, unsigned size, u64 value)
{
    struct i8042 *k = opaque;
    (void)offset, (void)size;
    if (value & PORT_A_RESET)
        irq_line_set(&k->reset, true);
}

static const struct bus_ops data_ops = {data_read, data_write, 1};
static const struct bus_ops command_ops = {command_read, command_write, 1};
static const struct bus_ops port_a_ops = {port_a_read, port_a_write, 1};

static void i8042_reset(struct device *d)
{
    struct i8042 *k = container_of(d, struct i8042, device);
    k->command_byte = k->power_on;
    k->status = STATUS_SYS | STATUS_UNLOCKED;
    k->output_port = OUTPUT_RESET | OUTPUT_A20;
    k->data = k->wants_data = k->release = 0;
    k->keyboard.modifiers = 0;
    ps2_keyboard_reset(&k->keyboard);
    irq_line_set(&k->reset, false);
    update(k);
}

static struct device *i8042_create(const struct device_place *p)
{
    struct i8042 *k = calloc(1, sizeof(*k));
    if (!k)
        return NULL;
    k->device.type = &i8042;
    k->reset = p->reset;
    k->irq = p->irq;
    k->power_on =
        p->firmware ? STATUS_SYS : STATUS_SYS | BYTE_INTERRUPT | BYTE_TRANSLATE; /* as firmware does */
    bus_add(p->ports, p->port + PORT_DATA, 1, &data_ops, k);
    bus_add(p->ports, p->port + PORT_COMMAND, 1, &command_ops, k);
    bus_add(p->ports, PORT_A, 1, &port_a_ops, k);
    return &k->device;
}

static void i8042_key(struct device *d, u8 number, bool down)
{
    struct i8042 *k = container_of(d, struct i8042, device);
    ps2_keyboard_key(&k->keyboard, number, down);
    fetch(k);
}

static int i8042_loaded(void *object, struct error *e)
{
    struct i8042 *k = object;
    if (k->keyboard.head >= PS2_QUEUE || k->keyboard.count > PS2_QUEUE) {
        k->keyboard.head = k->keyboard.count = 0;
        return error_set(e, EINVAL, "the saved state of i8042 is damaged: its keyboard's queue");
    }
    k->irq.level = k->status & STATUS_OBF && k->command_byte & BYTE_INTERRUPT; /* the chips know */
    return 0;
}

static const struct state_field fields[] = {
    STATE(struct i8042, command_byte), STATE(struct i8042, output_port),
    STATE(struct i8042, data),         STATE(struct i8042, status),
    STATE(struct i8042, wants_data),   STATE(struct i8042, release),
    STATE(struct i8042, keyboard),     {0}};
static const struct state_table state = {"i8042", 2, fields, .loaded = i8042_loaded};

const struct device_type i8042 = {"i8042", i8042_create, i8042_reset, .key = i8042_key, .state = &state};
