/* bus.c - test of the address spaces of ports and registers */
/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "machine/bus.h"
#include "tests/unit/test.h"

/* A device that remembers its last access. */
struct probe {
    u64 offset, value;
    unsigned size, accesses;
};

static u64 probe_read(void *opaque, u64 offset, unsigned size)
{
    struct probe *p = opaque;
    p->offset = offset;
    p->size = size;
    p->accesses++;
    return p->value + offset;
}

static void probe_write(void *opaque, u64 offset, unsigned size, u64 value)
{
    struct probe *p = opaque;
    *p = (struct probe){offset, value, size, p->accesses + 1};
}

static const struct bus_ops narrow = {probe_read, probe_write, 1};
static const struct bus_ops wide = {probe_read, probe_write, 4};

static void test_lookup(void)
{
    struct bus b = {0};
    struct probe low = {.value = 0x10}, mid = {.value = 0x20}, top = {.value = 0x30};
    bus_add(&b, 0x70, 2, &narrow, &mid);
    bus_add(&b, 0x3f8, 8, &narrow, &top);
    bus_add(&b, 0x60, 1, &narrow, &low);
    CHECK_EQ(b.range[0].base, 0x60);
    CHECK_EQ(b.range[2].base, 0x3f8);
    CHECK_EQ(bus_read(&b, 0x60, 1), 0x10);
    CHECK_EQ(bus_read(&b, 0x71, 1), 0x21);
    CHECK_EQ(bus_read(&b, 0x3ff, 1), 0x37);
    CHECK_EQ(bus_read(&b, 0x5f, 1), 0xff);
    CHECK_EQ(bus_read(&b, 0x61, 1), 0xff);
    CHECK_EQ(bus_read(&b, 0x400, 1), 0xff);
    CHECK_EQ(bus_read(&b, ~0ull, 1), 0xff);
}

static void test_nothing(void)
{
    struct bus b = {0};
    CHECK_EQ(bus_read(&b, 0, 1), 0xff);
    CHECK_EQ(bus_read(&b, 0x1234, 2), 0xffff);
    CHECK_EQ(bus_read(&b, 0x1234, 4), 0xffffffff);
    CHECK_EQ(bus_read(&b, ~0ull, 8), ~0ull); /* wraps around: still nothing there */
    CHECK_EQ(bus_read(&b, 7, 3), 0xffffff);
    bus_write(&b, ~0ull, 8, 1);
}

/* What is wider than the device or its range arrives in pieces, each where it belongs. */
static void test_pieces(void)
{
    struct bus b = {0};
    struct probe p = {.value = 0x40}, q = {.value = 0x01020300};
    bus_add(&b, 0x40, 2, &narrow, &p);
    bus_add(&b, 0x100, 4, &wide, &q);
    CHECK_EQ(bus_read(&b, 0x40, 2), 0x4140);
    CHECK_EQ(p.accesses, 2);
    CHECK_EQ(bus_read(&b, 0x41, 2), 0xff41);
    bus_write(&b, 0x40, 4, 0x44332211);
    CHECK_EQ(p.offset, 1);
    CHECK_EQ(p.value, 0x22);
    CHECK_EQ(bus_read(&b, 0x100, 4), 0x01020300);
    CHECK_EQ(q.accesses, 1);
    CHECK_EQ(bus_read(&b, 0x100, 8), 0xffffffff01020300);
    bus_write(&b, 0xfe, 4, 0xaabbccdd);
    CHECK_EQ(q.value, 0xaabb);
    CHECK_EQ(q.size, 2);
    bus_write(&b, 0x101, 1, 0xfff);
    CHECK_EQ(q.value, 0xff);
}

/* A range at the very end of the space has no address after it. */
static void test_end_of_space(void)
{
    struct bus b = {0};
    struct probe p = {.value = 5};
    bus_add(&b, ~0ull - 3, 4, &wide, &p);
    CHECK_EQ(bus_read(&b, ~0ull - 3, 4), 5);
    CHECK_EQ(bus_read(&b, ~0ull, 1), 8);
    CHECK_EQ(bus_read(&b, 0, 1), 0xff);
}

int main(void)
{
    test_lookup();
    test_nothing();
    test_pieces();
    test_end_of_space();
    return TEST_DONE();
}
