/* block.c - test of block nodes: many requests at once, by each way of asking the host, on raw and qcow2
 * images; policies */
/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "machine/block/block.h"
#include "tests/unit/test.h"

enum { BLOCK = 4096, BLOCKS = 2048, SLOTS = 24, REQUESTS = 6000 };
enum { UNKNOWN, ZERO, FIRST };

static struct loop loop;
static pthread_cond_t changed = PTHREAD_COND_INITIALIZER;
static char path[] = "/tmp/lodge-unit-block-XXXXXX";
static u32 state[BLOCKS]; /* what a block is full of */
static bool busy[BLOCKS]; /* a request is about it */
static u32 generation = FIRST;

struct slot {
    struct block_request r;
    u32 block, count;
    bool active;
    struct iovec iov[2];
    u64 memory[8 * BLOCK / 8];
};
static struct slot slots[SLOTS];
static unsigned active;

static u64 expected(u32 block)
{
    return state[block] == ZERO ? 0 : (u64)block << 32 | state[block];
}

static void check_read(const struct slot *s)
{
    for (u32 k = 0; k < s->count; k++)
        if (state[s->block + k] != UNKNOWN) {
            CHECK_EQ(s->memory[k * (BLOCK / 8)], expected(s->block + k));
            CHECK_EQ(s->memory[(k + 1) * (BLOCK / 8) - 1], expected(s->block + k));
        }
}

static void done(struct block_request *r, int result)
{
    struct slot *s = container_of(r, struct slot, r);
    CHECK_EQ(result, 0);
    if (r->op == BLOCK_READ)
        check_read(s);
    for (u32 k = 0; k < s->count; k++)
        busy[s->block + k] = false;
    s->active = false;
    active--;
    pthread_cond_signal(&changed);
}

static struct slot *free_slot(void)
{
    for (;;) {
        for (unsigned k = 0; k < SLOTS; k++)
            if (!slots[k].active)
                return &slots[k];
        pthread_cond_wait(&changed, &loop.lock);
    }
}

static bool claim(u32 block, u32 count)
{
    for (u32 k = 0; k < count; k++)
        if (busy[block + k])
            return false;
    memset(busy + block, true, count);
    return true;
}

static void prepare(struct slot *s, enum block_op op)
{
    s->r = (struct block_request){.op = op,
                                  .offset = (u64)s->block * BLOCK,
                                  .bytes = op == BLOCK_FLUSH ? 0 : (u64)s->count * BLOCK,
                                  .unmap = rand() & 1,
                                  .iov = s->iov,
                                  .iov_count = 2,
                                  .done = done};
    size_t all = (size_t)s->count * BLOCK, first = all / 1024 * 512;
    s->iov[0] = (struct iovec){s->memory, first};
    s->iov[1] = (struct iovec){(u8 *)s->memory + first, all - first};
    u32 g = op == BLOCK_WRITE ? ++generation : op == BLOCK_WRITE_ZEROES ? ZERO : UNKNOWN;
    for (u32 k = 0; k < s->count && op != BLOCK_READ && op != BLOCK_FLUSH; k++)
        state[s->block + k] = g;
    for (u32 k = 0; k < s->count * (BLOCK / 8) && op == BLOCK_WRITE; k++)
        s->memory[k] = expected(s->block + k / (BLOCK / 8));
}

static void submit_one(struct block_node *n)
{
    static const enum block_op ops[] = {BLOCK_READ,  BLOCK_READ,    BLOCK_READ,         BLOCK_WRITE,
                                        BLOCK_WRITE, BLOCK_DISCARD, BLOCK_WRITE_ZEROES, BLOCK_FLUSH};
    struct slot *s = free_slot();
    enum block_op op = ops[rand() % 8];
    s->count = 1 + (u32)rand() % 8;
    s->block = (u32)rand() % (BLOCKS - s->count);
    if (op == BLOCK_FLUSH)
        s->count = 0;
    if (!claim(s->block, s->count))
        return;
    prepare(s, op);
    s->active = true;
    active++;
    block_submit(n, &s->r);
}

static void drain(void)
{
    while (active)
        pthread_cond_wait(&changed, &loop.lock);
}

static void make_image(const char *format)
{
    struct error e;
    const struct image_create c = {.filename = path,
                                   .format = format,
                                   .size = BLOCKS * BLOCK,
                                   .cluster_size = 65536,
                                   .version = 3,
                                   .refcount_bits = 16};
    CHECK_EQ(image_create(&c, &e), 0);
    for (u32 k = 0; k < BLOCKS; k++)
        state[k] = ZERO;
}

static struct block_node *make_node(struct block_set *s, const char *text)
{
    struct properties p;
    struct error e;
    CHECK_EQ(properties_parse(&p, text, NULL, "-drive", &e), 0);
    int r = block_add_drive(s, &p, &e);
    properties_free(&p);
    if (r < 0) {
        fprintf(stderr, "%s\n", e.text);
        return NULL;
    }
    const struct block_use use = {.name = "d", .user = "test", .werror = -1, .rerror = -1};
    struct block_node *n = block_attach(s, &use, &e);
    if (!n)
        fprintf(stderr, "%s\n", e.text);
    return n;
}

static bool host_has_uring(void)
{
    struct aio *a = aio_uring.create();
    if (a)
        aio_uring.destroy(a);
    return a;
}

static void test_many(const char *format, const char *more)
{
    struct block_set set = {.loop = &loop, .quiet = PTHREAD_COND_INITIALIZER};
    char text[300];
    make_image(format);
    snprintf(text, sizeof(text), "file=%s,format=%s,id=d,discard=unmap,%s", path, format, more);
    loop_lock(&loop);
    struct block_node *n = make_node(&set, text);
    CHECK(n);
    for (unsigned k = 0; n && k < REQUESTS; k++)
        submit_one(n);
    drain();
    CHECK(!n || n->stats.operations[BLOCK_READ] > REQUESTS / 8);
    block_close_all(&set);
    loop_unlock(&loop);
}

/* ---- policies ---- */

static int last_result = 1;
static enum block_policy last_action;

static void failed(void *opaque, struct block_node *n, const struct block_request *r, int err,
                   enum block_policy action)
{
    (void)opaque, (void)n, (void)r;
    CHECK_EQ(err, EROFS);
    last_action = action;
    pthread_cond_signal(&changed);
}

static void one_done(struct block_request *r, int result)
{
    (void)r;
    last_result = result;
    pthread_cond_signal(&changed);
}

/* A node that cannot be written to: what becomes of a write. */
static void test_policy(const char *policy, enum block_policy action, int result)
{
    struct block_set set = {.loop = &loop, .failed = failed, .quiet = PTHREAD_COND_INITIALIZER};
    char text[300], zeros[512] = {0};
    const struct iovec iov = {zeros, sizeof(zeros)};
    struct block_request r = {
        .op = BLOCK_WRITE, .bytes = sizeof(zeros), .iov = &iov, .iov_count = 1, .done = one_done};
    snprintf(text, sizeof(text), "file=%s,format=raw,id=d,readonly=on,werror=%s", path, policy);
    last_result = 1;
    last_action = (enum block_policy) - 1;
    loop_lock(&loop);
    struct block_node *n = make_node(&set, text);
    block_submit(n, &r);
    while (last_result == 1 && !n->held)
        pthread_cond_wait(&changed, &loop.lock);
    CHECK_EQ(last_action, action);
    if (n->held) {
        CHECK_EQ(n->status, STATUS_FAILED);
        block_drain(n, true);
    }
    CHECK_EQ(last_result, result);
    block_close_all(&set);
    loop_unlock(&loop);
}

static unsigned canceled;

static void count_canceled(struct block_request *r, int result)
{
    (void)r;
    canceled += result == -ECANCELED;
}

static unsigned held_by(const struct block_node *n)
{
    unsigned count = 0;
    for (const struct block_request *r = n->held; r; r = r->next)
        count++;
    return count;
}

/* A guest that stops for one write has more of them under way: a stop waits until each is held, or done. */
static void test_wait(void)
{
    enum { WRITES = 64 };
    struct block_set set = {.loop = &loop, .failed = failed, .quiet = PTHREAD_COND_INITIALIZER};
    struct block_request r[WRITES];
    char text[300], zeros[512] = {0};
    const struct iovec iov = {zeros, sizeof(zeros)};
    snprintf(text, sizeof(text), "file=%s,format=raw,id=d,readonly=on,werror=stop", path);
    loop_lock(&loop);
    struct block_node *n = make_node(&set, text);
    for (unsigned i = 0; i < WRITES; i++) {
        r[i] = (struct block_request){
            .op = BLOCK_WRITE, .bytes = sizeof(zeros), .iov = &iov, .iov_count = 1, .done = count_canceled};
        block_submit(n, &r[i]);
    }
    block_wait(&set);
    CHECK_EQ(held_by(n), WRITES);
    block_retry(&set);
    CHECK_EQ(held_by(n), 0);
    block_wait(&set);
    CHECK_EQ(held_by(n), WRITES);
    CHECK_EQ(canceled, 0);
    block_drain(n, true);
    CHECK_EQ(canceled, WRITES);
    block_wait(&set);
    block_close_all(&set);
    loop_unlock(&loop);
}

int main(void)
{
    int fd = mkstemp(path);
    if (fd < 0 || loop_init(&loop) < 0)
        return 1;
    close(fd);
    test_many("raw", "aio=threads");
    test_many("qcow2", "aio=threads");
    test_many("qcow2", "aio=threads,cache=writethrough,detect-zeroes=unmap");
    if (host_has_uring()) {
        test_many("raw", "aio=io_uring");
        test_many("qcow2", "aio=io_uring");
        test_many("qcow2", "aio=io_uring,snapshot=on");
    }
    make_image("raw");
    test_policy("report", POLICY_REPORT, -EROFS);
    test_policy("ignore", POLICY_IGNORE, 0);
    test_policy("enospc", POLICY_REPORT, -EROFS);
    test_policy("stop", POLICY_STOP, -ECANCELED);
    test_wait();
    unlink(path);
    loop_free(&loop);
    return TEST_DONE();
}
