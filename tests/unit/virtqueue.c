/* virtqueue.c - test of split virtqueues: chains as they should be, and as a hostile driver makes them */
/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <stdlib.h>

#include "machine/virtio/virtio.h"
#include "tests/unit/test.h"

enum { SIZE = 8, DESC = 0x1000, AVAIL = 0x2000, USED = 0x3000, DATA = 0x4000, RAM = 0x10000 };
enum { NEXT = 1, WRITE = 2, INDIRECT = 4 };

struct desc {
    u64 gpa;
    u32 len;
    u16 flags, next;
};

static struct ram ram;
static struct virtio_device device;
static struct virtq_chain chain;

static struct virtqueue *begin(void)
{
    struct virtqueue *q = &device.queue[0];
    memset(ram.host, 0, RAM);
    device = (struct virtio_device){.ram = &ram,
                                    .queue_count = 1,
                                    .status = VIRTIO_DRIVER_OK,
                                    .features = BIT(VIRTIO_F_INDIRECT_DESC) | BIT(VIRTIO_F_EVENT_IDX)};
    *q = (struct virtqueue){.size = SIZE,
                            .max_size = SIZE,
                            .device = &device,
                            .desc_gpa = DESC,
                            .avail_gpa = AVAIL,
                            .used_gpa = USED};
    CHECK(virtq_enable(q));
    return q;
}

static void put_desc(u64 table, unsigned i, struct desc d)
{
    memcpy(ram.host + table + 16 * i, &d, sizeof(d));
}

static void make_available(u16 head)
{
    u16 *avail = (u16 *)(ram.host + AVAIL);
    avail[2 + avail[1] % SIZE] = head;
    avail[1]++;
}

static bool broken(void)
{
    return device.status & VIRTIO_NEEDS_RESET;
}

static void test_chain(void)
{
    struct virtqueue *q = begin();
    CHECK(!virtq_pop(q, &chain));
    put_desc(DESC, 3, (struct desc){DATA, 16, NEXT, 5});
    put_desc(DESC, 5, (struct desc){DATA + 0x100, 32, NEXT | WRITE, 1});
    put_desc(DESC, 1, (struct desc){DATA + 0x200, 1, WRITE, 0});
    make_available(3);
    CHECK(virtq_pop(q, &chain));
    CHECK_EQ(chain.head, 3);
    CHECK_EQ(chain.out_count, 1);
    CHECK_EQ(chain.out_bytes, 16);
    CHECK_EQ(chain.in_count, 2);
    CHECK_EQ(chain.in_bytes, 33);
    CHECK_EQ(chain.in[1].iov_base, ram.host + DATA + 0x200);
    virtq_push(q, chain.head, 33);
    CHECK_EQ(*(u16 *)(ram.host + USED + 2), 1);
    CHECK_EQ(*(u32 *)(ram.host + USED + 4), 3);
    CHECK_EQ(*(u32 *)(ram.host + USED + 8), 33);
    CHECK(!virtq_pop(q, &chain));
    CHECK_EQ(*(u16 *)(ram.host + USED + 4 + 8 * SIZE), 1); /* avail_event: notify at the next */
    CHECK(!broken());
}

static void test_indirect(void)
{
    struct virtqueue *q = begin();
    put_desc(DESC, 0, (struct desc){0x8000, 32, INDIRECT, 0});
    put_desc(0x8000, 0, (struct desc){DATA, 8, NEXT, 1});
    put_desc(0x8000, 1, (struct desc){DATA, 8, WRITE, 0});
    make_available(0);
    CHECK(virtq_pop(q, &chain));
    CHECK_EQ(chain.out_bytes, 8);
    CHECK_EQ(chain.in_bytes, 8);
}

/* One descriptor at 0 (and one at 1) that no driver may make; the device wants a reset and does nothing more.
 */
static void refuse(struct desc zero, struct desc one, u16 head)
{
    struct virtqueue *q = begin();
    put_desc(DESC, 0, zero);
    put_desc(DESC, 1, one);
    make_available(head);
    CHECK(!virtq_pop(q, &chain));
    CHECK(broken());
    make_available(head);
    CHECK(!virtq_pop(q, &chain));
    CHECK_EQ(*(u16 *)(ram.host + USED + 2), 0);
}

static void test_hostile(void)
{
    const struct desc good = {DATA, 8, 0, 0}, none = {0};
    refuse(good, none, SIZE);                         /* a head beyond the table */
    refuse((struct desc){DATA, 8, NEXT, 0}, none, 0); /* a loop of one */
    refuse((struct desc){DATA, 8, NEXT, 1}, (struct desc){DATA, 8, NEXT, 0}, 0);
    refuse((struct desc){DATA, 8, NEXT, SIZE}, none, 0); /* on beyond the table */
    refuse((struct desc){RAM - 4, 8, 0, 0}, none, 0);    /* memory ends within */
    refuse((struct desc){RAM, 1, 0, 0}, none, 0);
    refuse((struct desc){~0ull - 3, 8, 0, 0}, none, 0); /* the address wraps */
    refuse((struct desc){DATA, ~0u, 0, 0}, none, 0);
    refuse((struct desc){DATA, 0, 0, 0}, none, 0);
    refuse((struct desc){DATA, 8, WRITE | NEXT, 1}, good, 0); /* to read, behind to write */
    refuse((struct desc){DATA, 8, INDIRECT, 0}, none, 0);     /* half a descriptor */
    refuse((struct desc){DATA, 0, INDIRECT, 0}, none, 0);
    refuse((struct desc){DESC, 16, INDIRECT, 0}, none, 0); /* a table in a table */
    refuse((struct desc){RAM - 16, 32, INDIRECT, 0}, none, 0);
    refuse((struct desc){DATA, 16, INDIRECT | NEXT, 1}, good, 0);
    refuse((struct desc){DATA, 16 * 257, INDIRECT, 0}, none, 0);
}

static void test_too_many(void)
{
    struct virtqueue *q = begin();
    ((u16 *)(ram.host + AVAIL))[1] = SIZE + 1;
    CHECK(!virtq_pop(q, &chain));
    CHECK(broken());
}

static void test_enable(void)
{
    static const u64 bad[] = {1, RAM - 8, RAM, ~0ull - 15, ~0ull};
    for (unsigned field = 0; field < 3; field++)
        for (unsigned i = 0; i < ARRAY_SIZE(bad); i++) {
            struct virtqueue *q = begin();
            u64 *const place[] = {&q->desc_gpa, &q->avail_gpa, &q->used_gpa};
            q->enabled = false;
            *place[field] = bad[i];
            CHECK(!virtq_enable(q));
            CHECK(!virtq_pop(q, &chain));
        }
}

/* Rings and tables of random bytes, many times: nothing is read or written that is not in memory. */
static void test_random(void)
{
    srandom(1);
    for (unsigned round = 0; round < 20000; round++) {
        struct virtqueue *q = begin();
        for (unsigned i = 0; i < SIZE; i++)
            put_desc(DESC, i,
                     (struct desc){(u64)random() % (RAM + 64), (u32)random() % 256, (u16)(random() % 8),
                                   (u16)(random() % (SIZE + 1))});
        for (unsigned i = 0; i < 4; i++)
            make_available((u16)(random() % (SIZE + 1)));
        for (unsigned n = 0; virtq_pop(q, &chain); n++) {
            CHECK(n < 4);
            iov_fill(chain.in, chain.in_count, 0, 0x5a, chain.in_bytes);
            virtq_push(q, chain.head, 0);
        }
    }
}

int main(void)
{
    ram = (struct ram){.host = calloc(1, RAM), .size = RAM, .low = RAM};
    test_chain();
    test_indirect();
    test_hostile();
    test_too_many();
    test_enable();
    test_random();
    free(ram.host);
    return TEST_DONE();
}
