/* ps2_keyboard.c - a keyboard on a PS/2 port (IBM PS/2 Hardware Interface TR, Keyboard) */
/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <string.h>

#include "machine/devices/ps2_keyboard.h"

enum {
    CMD_LEDS = 0xed,
    CMD_ECHO = 0xee,
    CMD_SCAN_SET = 0xf0,
    CMD_IDENTIFY = 0xf2,
    CMD_RATE = 0xf3,
    CMD_ENABLE = 0xf4,
    CMD_DISABLE = 0xf5,
    CMD_DEFAULTS = 0xf6,
    CMD_RESEND = 0xfe,
    CMD_RESET = 0xff,
};
enum { ACK = 0xfa, RESEND = 0xfe, SELF_TEST_PASSED = 0xaa, ID_FIRST = 0xab, ID_SECOND = 0x83 };
enum { EXTENDED = 0xe0, PAUSE_PREFIX = 0xe1, RELEASE = 0xf0 };
enum {
    KEY_CTRL = 0x1d,
    KEY_SHIFT = 0x2a,
    KEY_SHIFT_R = 0x36,
    KEY_ALT = 0x38,
    KEY_PRINT = 0x54,
    KEY_PAUSE = 0xc6
};
enum { MOD_CTRL = 1, MOD_CTRL_R = 2, MOD_SHIFT = 4, MOD_SHIFT_R = 8, MOD_ALT = 16, MOD_ALT_R = 32 };

/* The codes of set 1 by those of set 2, as the 8042's firmware has them. */
static const u8 set1_of[] = {
    0xff, 0x43, 0x41, 0x3f, 0x3d, 0x3b, 0x3c, 0x58, 0x64, 0x44, 0x42, 0x40, 0x3e, 0x0f, 0x29, 0x59, 0x65,
    0x38, 0x2a, 0x70, 0x1d, 0x10, 0x02, 0x5a, 0x66, 0x71, 0x2c, 0x1f, 0x1e, 0x11, 0x03, 0x5b, 0x67, 0x2e,
    0x2d, 0x20, 0x12, 0x05, 0x04, 0x5c, 0x68, 0x39, 0x2f, 0x21, 0x14, 0x13, 0x06, 0x5d, 0x69, 0x31, 0x30,
    0x23, 0x22, 0x15, 0x07, 0x5e, 0x6a, 0x72, 0x32, 0x24, 0x16, 0x08, 0x09, 0x5f, 0x6b, 0x33, 0x25, 0x17,
    0x18, 0x0b, 0x0a, 0x60, 0x6c, 0x34, 0x35, 0x26, 0x27, 0x19, 0x0c, 0x61, 0x6d, 0x73, 0x28, 0x74, 0x1a,
    0x0d, 0x62, 0x6e, 0x3a, 0x36, 0x1c, 0x1b, 0x75, 0x2b, 0x63, 0x76, 0x55, 0x56, 0x77, 0x78, 0x79, 0x7a,
    0x0e, 0x7b, 0x7c, 0x4f, 0x7d, 0x4b, 0x47, 0x7e, 0x7f, 0x6f, 0x52, 0x53, 0x50, 0x4c, 0x4d, 0x48, 0x01,
    0x45, 0x57, 0x4e, 0x51, 0x4a, 0x37, 0x49, 0x46, 0x54, 0x80, 0x81, 0x82, 0x41, 0x54,
};

u8 ps2_translate(u8 byte)
{
    return byte < sizeof(set1_of) ? set1_of[byte] : byte;
}

/* Two keys have two codes of set 2 in that table: the higher ones are those that keyboards send. */
static u8 set2_of(u8 code)
{
    for (u8 i = sizeof(set1_of) - 1; i; i--)
        if (set1_of[i] == code)
            return i;
    return 0;
}

/* ---- the queue ---- */

static void put(struct ps2_keyboard *k, u8 byte)
{
    if (k->count < PS2_QUEUE)
        k->queue[(k->head + k->count++) % PS2_QUEUE] = byte;
}

bool ps2_keyboard_take(struct ps2_keyboard *k, u8 *byte)
{
    if (!k->count)
        return false;
    *byte = k->last = k->queue[k->head];
    k->head = (k->head + 1) % PS2_QUEUE;
    k->count--;
    return true;
}

/* ---- keys ---- */

struct codes {
    u8 byte[8], count;
};

static void add(struct codes *c, u8 byte)
{
    c->byte[c->count++] = byte;
}

/* One code of set 2, the release with its prefix. */
static void add_code(struct codes *c, bool extended, u8 code, bool down)
{
    if (extended)
        add(c, EXTENDED);
    if (!down)
        add(c, RELEASE);
    add(c, code);
}

static void note_modifier(struct ps2_keyboard *k, u8 number, bool down)
{
    static const struct {
        u8 number, bit;
    } rows[] = {{KEY_CTRL, MOD_CTRL},   {KEY_CTRL | 0x80, MOD_CTRL_R},
                {KEY_SHIFT, MOD_SHIFT}, {KEY_SHIFT_R, MOD_SHIFT_R},
                {KEY_ALT, MOD_ALT},     {KEY_ALT | 0x80, MOD_ALT_R}};
    for (size_t i = 0; i < ARRAY_SIZE(rows); i++)
        if (rows[i].number == number)
            k->modifiers = (u8)(down ? k->modifiers | rows[i].bit : k->modifiers & ~rows[i].bit);
}

/* It pretends to be a shifted key of the number pad, but with Alt, when it is SysRq. */
static void add_print(const struct ps2_keyboard *k, struct codes *c, bool down)
{
    enum { SYSRQ = 0x84, FAKE_SHIFT = 0x12, PRINT = 0x7c };
    bool plain = !(k->modifiers & (MOD_CTRL | MOD_CTRL_R | MOD_SHIFT | MOD_SHIFT_R));
    if (k->modifiers & (MOD_ALT | MOD_ALT_R)) {
        add_code(c, false, SYSRQ, down);
        return;
    }
    if (plain && down)
        add_code(c, true, FAKE_SHIFT, true);
    add_code(c, true, PRINT, down);
    if (plain && !down)
        add_code(c, true, FAKE_SHIFT, false);
}

/* It is told at once as pressed and let go: Ctrl and Num Lock, or with Ctrl the break key. */
static void add_pause(const struct ps2_keyboard *k, struct codes *c, bool down)
{
    static const u8 pause[] = {PAUSE_PREFIX, 0x14, 0x77, PAUSE_PREFIX, RELEASE, 0x14, RELEASE, 0x77};
    static const u8 stop[] = {EXTENDED, 0x7e, EXTENDED, RELEASE, 0x7e};
    bool ctrl = k->modifiers & (MOD_CTRL | MOD_CTRL_R);
    c->count = !down ? 0 : ctrl ? sizeof(stop) : sizeof(pause);
    memcpy(c->byte, ctrl ? stop : pause, c->count);
}

static struct codes codes_of(const struct ps2_keyboard *k, u8 number, bool down)
{
    struct codes c = {.count = 0};
    u8 code = set2_of(number & 0x7f);
    if (number == KEY_PRINT)
        add_print(k, &c, down);
    else if (number == KEY_PAUSE)
        add_pause(k, &c, down);
    else if (code)
        add_code(&c, number & 0x80, code, down);
    return c;
}

static struct codes in_set1(const struct codes *c)
{
    struct codes out = {.count = 0};
    u8 release = 0;
    for (unsigned i = 0; i < c->count; i++) {
        bool is_release = c->byte[i] == RELEASE;
        if (!is_release)
            add(&out, ps2_translate(c->byte[i]) | release);
        release = is_release ? 0x80 : 0;
    }
    return out;
}

void ps2_keyboard_key(struct ps2_keyboard *k, u8 number, bool down)
{
    note_modifier(k, number, down);
    struct codes c = codes_of(k, number, down);
    if (k->set == 1)
        c = in_set1(&c);
    if (!k->scanning || k->count + c.count > PS2_QUEUE)
        return;
    for (unsigned i = 0; i < c.count; i++)
        put(k, c.byte[i]);
}

/* ---- commands ---- */

static void set_defaults(struct ps2_keyboard *k, bool scanning)
{
    k->head = k->count = 0;
    k->set = 2;
    k->scanning = scanning;
}

void ps2_keyboard_reset(struct ps2_keyboard *k)
{
    *k = (struct ps2_keyboard){.modifiers = k->modifiers};
    set_defaults(k, true);
}

static void argument(struct ps2_keyboard *k, u8 command, u8 value)
{
    bool bad = command == CMD_SCAN_SET && value > 2; /* set 3 is one that few keyboards have */
    put(k, bad ? RESEND : ACK);
    if (command == CMD_SCAN_SET && !value)
        put(k, k->set);
    else if (command == CMD_SCAN_SET && !bad)
        k->set = value;
}

static void command(struct ps2_keyboard *k, u8 command)
{
    switch (command) {
    case CMD_LEDS: /* there is nobody to see them */
    case CMD_SCAN_SET:
    case CMD_RATE: k->command = command; break;
    case CMD_ECHO: put(k, CMD_ECHO); return;
    case CMD_RESEND: put(k, k->last); return;
    case CMD_ENABLE: k->scanning = true; break;
    case CMD_DISABLE:
    case CMD_DEFAULTS: set_defaults(k, command == CMD_DEFAULTS); break;
    case CMD_RESET: ps2_keyboard_reset(k); break;
    case CMD_IDENTIFY: break;
    default: put(k, RESEND); return;
    }
    put(k, ACK);
    if (command == CMD_RESET)
        put(k, SELF_TEST_PASSED);
    if (command == CMD_IDENTIFY) {
        put(k, ID_FIRST);
        put(k, ID_SECOND);
    }
}

/* A command ends what was expected. */
void ps2_keyboard_put(struct ps2_keyboard *k, u8 byte)
{
    u8 before = k->command;
    k->command = 0;
    if (before && byte < CMD_LEDS)
        argument(k, before, byte);
    else
        command(k, byte);
}
