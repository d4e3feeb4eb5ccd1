/* user.h - the client's memory, as an ioctl's argument points into it: a bad pointer is -EFAULT, never a
 * fault */
/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef API_USER_H
#define API_USER_H

#include "base/base.h"

/* Copy n bytes from or to the client's address. 0, or -EFAULT when any of them cannot be accessed. */
int user_read(void *to, u64 from, size_t n);
int user_write(u64 to, const void *from, size_t n);

#endif
