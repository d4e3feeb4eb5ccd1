/* block.h - block nodes: the host's end of the guest's disks, by the names that -blockdev and -drive give
 * them */
/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef MACHINE_BLOCK_BLOCK_H
#define MACHINE_BLOCK_BLOCK_H

#include "base/config/properties.h"
#include "base/image/image.h"
#include "base/loop.h"

/*
 * A node is an image and a thread that does its I/O, so that a slow disk holds up nobody but those who wait
 * for it. Requests are submitted with the loop's lock held, and their `done` is called with it held, on the
 * node's thread. They may be done in any order.
 */

enum block_op { BLOCK_READ, BLOCK_WRITE, BLOCK_FLUSH, BLOCK_DISCARD, BLOCK_WRITE_ZEROES, BLOCK_OPS };

struct block_request {
    enum block_op op;
    bool unmap;        /* WRITE_ZEROES: may give the room back */
    u64 offset, bytes; /* within the node; bytes of the iovec, for READ and WRITE */
    const struct iovec *iov;
    unsigned iov_count;
    void (*done)(struct block_request *r, int result); /* 0 or -errno; r is the submitter's again */
    struct block_request *next;                        /* the node's, meanwhile */
    int result;
};

/* As query-blockstats tells them. */
struct block_stats {
    u64 bytes[BLOCK_OPS], operations[BLOCK_OPS], nanoseconds[BLOCK_OPS], failed[BLOCK_OPS];
};

struct block_node {
    char *name;
    bool removed_with_device; /* it came from -drive */
    struct disk_image *image;
    const char *user; /* the device that has it; NULL: none */
    struct block_stats stats;
    struct io_thread *thread;
    struct block_node *next;
};

struct block_set {
    struct loop *loop;
    bool snapshot; /* -snapshot: all nodes forget what is written */
    struct block_node *first;
    /* A request has failed; NULL: nobody minds. */
    void (*failed)(void *opaque, struct block_node *n, const struct block_request *r, int err);
    void *opaque;
};

/* -blockdev and blockdev-add; -drive. 0 or -errno with e. */
int block_add(struct block_set *s, const struct properties *p, struct error *e);
int block_add_drive(struct block_set *s, const struct properties *p, struct error *e);
/* -EBUSY while a device has it. */
int block_remove(struct block_set *s, const char *name, struct error *e);
void block_help(void);

struct block_node *block_find(const struct block_set *s, const char *name);

/* A node has one user at a time; its name is kept, and is the caller's. NULL with e. */
struct block_node *block_attach(struct block_set *s, const char *name, const char *user, struct error *e);
void block_detach(struct block_set *s, struct block_node *n);

u64 block_size(const struct block_node *n);
bool block_read_only(const struct block_node *n);
void block_submit(struct block_node *n, struct block_request *r);

/* The program ends: everything that has been written is in the files. */
void block_close_all(struct block_set *s);

/* ---- io_thread.c ---- */
struct io_thread *io_thread_start(struct block_set *s, struct block_node *n, bool write_through,
                                  struct error *e);
void io_thread_submit(struct io_thread *t, struct block_request *r);
/* Does what has been submitted, and ends; with the lock held, which is free meanwhile. */
void io_thread_stop(struct io_thread *t);

#endif
