/* console.h - a guest's serial port as a stream */
/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef DOMAINS_CONSOLE_H
#define DOMAINS_CONSOLE_H

struct domain;

/* The machine is going: its streams are told the end. */
void consoles_close(struct domain *d);

#endif
