/* object.h - descriptors: what stands behind a file descriptor of the API (system, VM, vcpu) */
/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Each object is backed by a memfd of its own, and its descriptors are ordinary descriptors of that memfd:
 * dup, fcntl, poll, mmap, SCM_RIGHTS and /proc/self/fd work on them without our help. An object is found by
 * the (st_dev, st_ino) of the descriptor, asked anew each time: a descriptor number that was closed behind
 * our back and given to another file is therefore never mistaken for an object.
 *
 * Lifetime. The library keeps a second open file description of the memfd (object.fd); the client's
 * description holds a lock (F_OFD_SETLK) on the file. The kernel drops that lock when the last descriptor or
 * mapping that came from the client's description is gone, in whatever process, and so F_OFD_GETLK on ours
 * tells whether the client still holds the object. This is asked whenever a descriptor is closed through the
 * API or an object is made.
 *
 * References: one while the client holds the object, one for each ioctl in progress, and, on a VM, one for
 * each of its vcpu objects. The last one destroys what stands behind it.
 */
#ifndef API_OBJECT_H
#define API_OBJECT_H

#include <sys/types.h>

#include "base/base.h"

enum object_kind { OBJECT_SYSTEM, OBJECT_VM, OBJECT_VCPU, OBJECT_KINDS };

struct object {
    enum object_kind kind;
    int fd;                /* the library's own descriptor */
    void *target;          /* struct vm or struct vcpu; NULL for the system */
    struct object *parent; /* a vcpu's VM: holds a reference */
    void (*destroy)(void *target);
    dev_t dev;
    ino_t ino;
    u64 process; /* that made it: ioctls of a forked child are refused */
    bool held;   /* by the client */
    unsigned references;
    struct object *next;
};

/* A new memfd of size bytes, not found by anybody until object_publish. *client_fd: the descriptor to hand
 * out. NULL with errno. */
struct object *object_create(enum object_kind kind, off_t size, int *client_fd);
/* Takes over target and the caller's reference to parent. */
void object_publish(struct object *o, void *target, void (*destroy)(void *target), struct object *parent);
/* Undoes object_create of an object that was not published. */
void object_discard(struct object *o, int client_fd);

/* The object of a descriptor, with a reference for the caller, or NULL: not ours. */
struct object *object_get(int fd);
void object_put(struct object *o);
/* Whether this process made it. */
bool object_is_own(const struct object *o);
/* close(2). 0 or -errno; -EBADF when it is no descriptor of an object. */
int object_close(int fd);

#endif
