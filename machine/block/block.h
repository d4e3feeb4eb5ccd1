/* block.h - block nodes: the host's end of the guest's disks, by the names that -blockdev and -drive give
 * them */
/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef MACHINE_BLOCK_BLOCK_H
#define MACHINE_BLOCK_BLOCK_H

#include "base/config/properties.h"
#include "base/image/image.h"
#include "base/loop.h"
#include "machine/block/aio.h"

/*
 * A node is an image and, while a device has it, a thread that does its I/O, so that a slow disk holds up
 * nobody but those who wait for it. Requests are submitted with the loop's lock held, and their `done` is
 * called with it held, on the node's thread. They may be done in any order.
 *
 * A node may be part of another one: the file of a format, the backing image of an overlay. Then that other
 * one has the file open, and the part only keeps its name and what it was made of.
 */

enum block_op {
    BLOCK_READ,
    BLOCK_WRITE,
    BLOCK_FLUSH,
    BLOCK_DISCARD,
    BLOCK_WRITE_ZEROES,
    BLOCK_CALL,
    BLOCK_OPS
};

struct block_request {
    enum block_op op;
    bool unmap;        /* WRITE_ZEROES: may give the room back */
    u64 offset, bytes; /* within the node; bytes of the iovec, for READ and WRITE */
    const struct iovec *iov;
    unsigned iov_count;
    int (*call)(struct disk_image *i, void *opaque); /* CALL: something else with the image */
    void *opaque;
    void (*done)(struct block_request *r, int result); /* 0 or -errno; r is the submitter's again */
    struct block_request *next;                        /* from here: the node's, meanwhile */
    struct aio_job job;
    struct io_thread *thread;
    u64 started;
};

/* As query-blockstats tells them. */
struct block_stats {
    u64 bytes[BLOCK_OPS], operations[BLOCK_OPS], nanoseconds[BLOCK_OPS], failed[BLOCK_OPS];
    u64 highest; /* the end of the write that ended last in the image */
};

/* What an error of the host does to the guest; in the order of their names in options.c. */
enum block_policy { POLICY_REPORT, POLICY_IGNORE, POLICY_STOP, POLICY_ENOSPC };
enum block_zeroes { ZEROES_OFF, ZEROES_ON, ZEROES_UNMAP };
enum block_status { STATUS_OK, STATUS_FAILED, STATUS_NOSPACE };

/* How a node is to be opened: image_options with strings of its own. */
struct block_options {
    char *filename, *format, *backing, *backing_format;
    bool read_only, direct, no_flush, snapshot;
    bool write_through;      /* a write is done when it is in the file */
    unsigned aio;            /* of block_aio_types */
    bool discard;            /* what the guest discards goes back to the host */
    unsigned detect_zeroes;  /* enum block_zeroes */
    unsigned werror, rerror; /* enum block_policy */
};

struct block_node {
    char *name;
    char *drive; /* the id of the -drive that it came from; NULL: -blockdev */
    struct block_options options;
    struct disk_image *image; /* NULL: it is a part of `parent` */
    struct block_node *parent;
    bool is_file;     /* a file that a format may lie in */
    const char *user; /* the kind of device that has it; NULL: none */
    bool draining;    /* the guest is reset: nothing is held */
    bool passive;     /* the machine is elsewhere: its image is open to be looked at alone */
    struct block_stats stats;
    enum block_status status;
    struct io_thread *thread;   /* while it has a user */
    struct block_request *held; /* failed, and the guest has been stopped for them */
    struct block_node *next;
};

struct sandbox;
struct block_set {
    struct loop *loop;
    bool snapshot; /* -snapshot: all nodes forget what is written */
    bool passive;  /* the machine is elsewhere, as yet or by now: images are not locked, nor written to */
    struct block_node *first;
    struct sandbox *const *sandbox; /* that the disks' threads enter, once there is one; NULL: none comes */
    unsigned numbers;               /* for the names of nodes that were given none */
    /* A request has failed, and this is done about it; NULL: nobody minds. */
    void (*failed)(void *opaque, struct block_node *n, const struct block_request *r, int err,
                   enum block_policy action);
    void *opaque;
    unsigned busy;        /* requests that a thread has: neither done nor held */
    pthread_cond_t quiet; /* there are none any more */
};

/* -blockdev and blockdev-add; -drive. 0 or -errno with e. */
int block_add(struct block_set *s, const struct properties *p, struct error *e);
int block_add_drive(struct block_set *s, const struct properties *p, struct error *e);
/* -EBUSY while a device or another node has it. */
int block_remove(struct block_set *s, const char *name, struct error *e);
void block_help(void);

/* By its own name, or that of its -drive. */
struct block_node *block_find(const struct block_set *s, const char *name);

/* What a device wants of its node: policies that are not -1 stand above the node's own. */
struct block_use {
    const char *name, *user;
    int werror, rerror;
    bool write_through;
};

/* A node has one user at a time; its name is kept, and is the caller's. NULL with e. */
struct block_node *block_attach(struct block_set *s, const struct block_use *u, struct error *e);
void block_detach(struct block_set *s, struct block_node *n);

/* An eventfd by which the guest wakes the node's thread, which then calls rung with the lock held; -1: there
 * is none. */
int block_doorbell(struct block_node *n, void (*rung)(void *opaque), void *opaque);

u64 block_size(const struct block_node *n);
bool block_read_only(const struct block_node *n);
void block_submit(struct block_node *n, struct block_request *r);
/* Runs call with the image, when nothing else does; the lock may be free meanwhile. */
int block_call(struct block_set *s, struct block_node *n, int (*call)(struct disk_image *i, void *opaque),
               void *opaque);

/* The guest has stopped: returns when all that it has asked for is done or held. The lock is free meanwhile.
 */
void block_wait(struct block_set *s);
/* What has failed, and the guest was stopped for: a list, which is the caller's now. */
struct block_request *block_take_held(struct block_node *n);
/* The guest goes on: what it was stopped for is tried again. */
void block_retry(struct block_set *s);
/* While the guest is reset: what was held fails, and nothing more is held. */
void block_drain(struct block_node *n, bool on);
void block_set_write_through(struct block_node *n, bool on);

/* The machine is to run here: images that were passive are opened anew, as the other side left them. On
 * failure they stay so: another one has them. 0 or -errno with e. With the lock held, and nothing under way.
 */
int block_activate(struct block_set *s, struct error *e);
/* It has stopped, and goes on elsewhere: all is written, and images are let go. On failure, activate them. */
int block_deactivate(struct block_set *s, struct error *e);

/* The program ends: everything that has been written is in the files. */
void block_close_all(struct block_set *s);

/* ---- options.c ---- */
struct block_words {
    const char *name, *id, *file, *backing_node; /* those of other nodes; "" for backing: none */
    bool is_file;
};
int block_read_blockdev(const struct properties *p, struct block_words *w, struct block_options *o,
                        struct error *e);
int block_read_drive(const struct properties *p, struct block_words *w, struct block_options *o,
                     struct error *e);
void block_options_free(struct block_options *o);
/* How the host is asked: NULL: the best that there is. */
extern const struct aio_type *const block_aio_types[];
extern const char *const block_policies[], *const block_zeroes_names[];

/* ---- overlay.c ---- */
/* The image, behind a new one that forgets what is written to it. NULL with e. */
struct disk_image *block_open_overlay(const struct image_options *base, struct error *e);

/* ---- io_thread.c ---- */
struct io_thread *io_thread_start(struct block_set *s, struct block_node *n, struct error *e);
void io_thread_submit(struct io_thread *t, struct block_request *r);
int io_thread_doorbell(struct io_thread *t, void (*rung)(void *opaque), void *opaque);
/* Does what has been submitted, and ends; with the lock held, which is free meanwhile. */
void io_thread_stop(struct io_thread *t);

#endif
