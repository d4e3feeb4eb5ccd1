/* text.h - strings, file names, UUIDs, whole files: what the daemon's parts do alike */
/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef DAEMON_TEXT_H
#define DAEMON_TEXT_H

#include "manager/rpc/vir_error.h"

enum { UUID_TEXT = 37 };

/* To be freed; no memory ends the program. */
char *text_printf(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
char *text_copy(const char *text); /* NULL for NULL */

/* With or without hyphens; false: it is none. */
bool uuid_parse(const char *text, u8 uuid[16]);
/* Returns text. */
char *uuid_format(const u8 uuid[16], char text[UUID_TEXT]);
void uuid_random(u8 uuid[16]);

/* A number in decimal, all of the text; false: it is none, or does not fit. */
bool number_parse(const char *text, u64 *value);

/* The whole file, with a NUL behind it, to be freed. 0 or -errno. */
int file_read(const char *path, char **text, size_t *size);

/* Replaces the file in one step: readers, and whoever comes after a crash, find the old or the new content.
 * 0, or -1 with e. */
int file_write_atomic(const char *path, const char *text, size_t size, struct vir_error *e);

/* Makes the folder and those above it. 0 or -errno. */
int folder_make(const char *path, unsigned mode);

#endif
