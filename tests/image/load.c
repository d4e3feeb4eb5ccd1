/* load.c - random writes, zeros, discards, reads and flushes on an image; what is done is told as it is done
 */
/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/image/image.h"

/*
 * usage: image-load FILE FORMAT SEED OPERATIONS
 *
 * A sector that generation g of block b has been written to is full of b << 32 | g. Each operation is told on
 * standard output before it begins, and a flush when it is done, so that whoever reads there knows what must
 * be in the image after a kill: records of four u32, the operation's letter, block, blocks, generation. What
 * is read is compared with what this run has written: status 1 if it is something else.
 */

enum { SECTOR = 512, BLOCK = 4096, MOST = 40 };
enum { UNKNOWN = 0, ZERO = 1, FIRST_GENERATION = 2 };

struct load {
    struct disk_image *image;
    u32 blocks, generation, *state;
    u64 seed;
    u64 *buffer;
};

static u32 pick(struct load *l, u32 n)
{
    l->seed = l->seed * 6364136223846793005ull + 1442695040888963407ull;
    return (u32)(l->seed >> 33) % n;
}

static void say(char operation, u32 block, u32 count, u32 generation)
{
    const u32 record[] = {(u32)operation, block, count, generation};
    if (write(STDOUT_FILENO, record, sizeof(record)) != sizeof(record))
        exit(2);
}

static void fail(const char *what, u32 block, int r)
{
    fprintf(stderr, "image-load: %s of block %u: %s\n", what, block,
            r < 0 ? strerror(-r) : "not what was written");
    exit(1);
}

static void done(const char *what, u32 block, int r)
{
    if (r < 0)
        fail(what, block, r);
}

static u64 value(const struct load *l, u32 block)
{
    return l->state[block] == ZERO ? 0 : (u64)block << 32 | l->state[block];
}

static void set(struct load *l, u32 block, u32 count, u32 state)
{
    for (u32 k = 0; k < count; k++)
        l->state[block + k] = state;
}

/* In pieces of odd sizes, as a guest's memory is. */
static unsigned scatter(struct load *l, struct iovec *iov, u32 count)
{
    size_t at = 0, end = (size_t)count * BLOCK;
    unsigned n = 0;
    for (; at < end; n++) {
        size_t len = n == 15 ? end - at : min(end - at, (size_t)(1 + pick(l, 40)) * SECTOR);
        iov[n] = (struct iovec){(u8 *)l->buffer + at, len};
        at += len;
    }
    return n;
}

static void do_write(struct load *l, u32 block, u32 count)
{
    struct iovec iov[16];
    u32 g = ++l->generation;
    set(l, block, count, g);
    for (u32 k = 0; k < count * (BLOCK / 8); k++)
        l->buffer[k] = value(l, block + k / (BLOCK / 8));
    say('w', block, count, g);
    done("write", block, image_write(l->image, (u64)block * BLOCK, iov, scatter(l, iov, count)));
}

static void do_read(struct load *l, u32 block, u32 count)
{
    struct iovec iov[16];
    done("read", block, image_read(l->image, (u64)block * BLOCK, iov, scatter(l, iov, count)));
    for (u32 k = 0; k < count * (BLOCK / 8); k++) {
        u32 b = block + k / (BLOCK / 8);
        if (l->state[b] != UNKNOWN && l->buffer[k] != value(l, b))
            fail("read", b, 0);
    }
}

static void step(struct load *l)
{
    u32 count = 1 + pick(l, pick(l, 4) ? 4 : MOST), block = pick(l, l->blocks - count), what = pick(l, 32);
    if (what < 16) {
        do_write(l, block, count);
    } else if (what < 24) {
        do_read(l, block, count);
    } else if (what < 27) {
        set(l, block, count, ZERO);
        say('z', block, count, ZERO);
        done("zero", block, image_zero(l->image, (u64)block * BLOCK, (u64)count * BLOCK, pick(l, 2)));
    } else if (what < 29) {
        set(l, block, count, UNKNOWN);
        say('d', block, count, UNKNOWN);
        done("discard", block, image_discard(l->image, (u64)block * BLOCK, (u64)count * BLOCK));
    } else {
        done("flush", 0, image_flush(l->image));
        say('f', 0, 0, l->generation);
    }
}

int main(int argc, char **argv)
{
    struct error e;
    struct load l = {0};
    if (argc != 5)
        return 2;
    const struct image_options o = {.filename = argv[1], .format = argv[2]};
    if (!(l.image = image_open(&o, &e))) {
        fprintf(stderr, "image-load: %s\n", e.text);
        return 1;
    }
    l.seed = strtoull(argv[3], NULL, 0) * 7919;
    l.generation = (u32)strtoul(argv[3], NULL, 0) << 20 | FIRST_GENERATION;
    l.blocks = (u32)(l.image->size / BLOCK);
    l.state = calloc(l.blocks, sizeof(*l.state));
    l.buffer = malloc(MOST * BLOCK);
    for (u64 n = strtoull(argv[4], NULL, 0); n; n--)
        step(&l);
    image_close(l.image);
    free(l.state);
    free(l.buffer);
    return 0;
}
