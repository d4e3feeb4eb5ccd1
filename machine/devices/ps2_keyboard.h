/* ps2_keyboard.h - a keyboard on a PS/2 port (IBM PS/2 Hardware Interface TR, Keyboard) */
/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef DEVICES_PS2_KEYBOARD_H
#define DEVICES_PS2_KEYBOARD_H

#include "base/base.h"

enum { PS2_QUEUE = 64 };

struct ps2_keyboard {
    u8 queue[PS2_QUEUE], head, count; /* for the controller */
    u8 scanning;                      /* keys are told */
    u8 set;                           /* of scan codes: 1 or 2 */
    u8 command;                       /* whose argument comes next; 0: none */
    u8 last;                          /* byte that was taken, for a resend */
    u8 modifiers;                     /* those that are down: the print key's codes depend on them */
};

void ps2_keyboard_reset(struct ps2_keyboard *k);
/* The controller sends a byte; takes one, if there is one. */
void ps2_keyboard_put(struct ps2_keyboard *k, u8 byte);
bool ps2_keyboard_take(struct ps2_keyboard *k, u8 *byte);

/* A key goes down or up. number: its code of set 1, with 0x80 for those that have 0xe0 before it; for the
 * print key 0x54 and for pause 0xc6. What does not fit is lost, as the whole. */
void ps2_keyboard_key(struct ps2_keyboard *k, u8 number, bool down);

/* A byte of set 2 as an 8042 that translates gives it; 0xf0 is no byte but makes the next one a release. */
u8 ps2_translate(u8 byte);

#endif
