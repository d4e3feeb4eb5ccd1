/* transfer.h - the bytes of a file as a stream, to a client and from one */
/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef STORAGE_TRANSFER_H
#define STORAGE_TRANSFER_H

#include "manager/rpc/stream.h"

/* In a handler, as its last step: 0, and there is a stream; or -1 with the call's error. length 0: to the
 * file's end, or whatever comes. */
int download_open(struct call *call, const char *path, u64 offset, u64 length, bool sparse);
int upload_open(struct call *call, const char *path, u64 offset, u64 length, bool sparse);

#endif
