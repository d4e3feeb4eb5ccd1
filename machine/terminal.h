/* terminal.h - the terminal in raw mode, and back in every case */
/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef MACHINE_TERMINAL_H
#define MACHINE_TERMINAL_H

#include <termios.h>

#include "base/base.h"

struct terminal {
    volatile bool raw;
    struct termios saved;
};

/* Standard input delivers every key at once and unechoed. signals: Ctrl-C, Ctrl-Z and Ctrl-\ stay signals.
 * Nothing if it is no terminal. */
void terminal_set_raw(struct terminal *t, bool signals);

/* As it was. Any number of times; also from a signal handler. */
void terminal_restore(struct terminal *t);

#endif
