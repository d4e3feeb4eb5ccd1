/* manual.h - what lodged prints about itself */
/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef DAEMON_MANUAL_H
#define DAEMON_MANUAL_H

/* --help; the man page lodged.8, in roff; a configuration file in which everything is a comment. */
void manual_help(void);
void manual_man(void);
void manual_config(void);

#endif
