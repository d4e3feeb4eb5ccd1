/* e820.c - test of the memory map that the guest is told */
/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "machine/boot/e820.h"
#include "tests/unit/test.h"

static struct ram sized(u64 size)
{
    struct ram r = {.size = size, .low = min(size, PC_LOW_RAM_END)};
    r.high = size - r.low;
    return r;
}

static void test_size(u64 size)
{
    struct ram r = sized(size);
    struct e820_entry map[E820_MAX];
    unsigned n = e820_build(map, &r);
    u64 usable = 0;
    CHECK(n >= 4 && n <= E820_MAX);
    for (unsigned i = 0; i < n; i++) {
        CHECK(map[i].size > 0);
        CHECK(i == 0 || map[i - 1].base + map[i - 1].size <= map[i].base);
        usable += map[i].type == E820_RAM ? map[i].size : 0;
    }
    CHECK_EQ(usable, size - (PC_MEBIBYTE - PC_EBDA)); /* all but the legacy hole */
}

static void test_above_4g(void)
{
    struct ram r = sized(0x140000000);
    struct e820_entry map[E820_MAX];
    unsigned n = e820_build(map, &r);
    CHECK_EQ(map[n - 1].base, PC_HIGH_RAM);
    CHECK_EQ(map[n - 1].size, 0x140000000 - PC_LOW_RAM_END);
    CHECK_EQ(map[n - 1].type, E820_RAM);
}

static void test_ecam_reserved(void)
{
    struct ram r = sized(64 << 20);
    struct e820_entry map[E820_MAX];
    unsigned n = e820_build(map, &r), found = 0;
    for (unsigned i = 0; i < n; i++)
        found += map[i].base == PC_ECAM && map[i].size == PC_ECAM_SIZE && map[i].type == E820_RESERVED;
    CHECK_EQ(found, 1);
}

int main(void)
{
    test_size(2 << 20);
    test_size(512 << 20);
    test_size(PC_LOW_RAM_END);
    test_size(PC_LOW_RAM_END + 4096);
    test_size(1ull << 40);
    test_above_4g();
    test_ecam_reserved();
    return TEST_DONE();
}
