/* devices.c - test of all devices against a guest that writes anything anywhere */
/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "machine/pc.h"
#include "tests/unit/device_fake.h"
#include "tests/unit/test.h"

enum { ROUNDS = 300000 };

static u64 seed = 0x9e3779b97f4a7c15;

/* xorshift64: the same sequence in each run. */
static u64 random64(void)
{
    seed ^= seed << 13;
    seed ^= seed >> 7;
    seed ^= seed << 17;
    return seed;
}

/* Random accesses around the device's ports and, for ECAM, its window. Returns how many reads gave more bits
 * than asked for. */
static unsigned hammer(struct fake_board *b, u16 port)
{
    unsigned wide = 0;
    for (unsigned i = 0; i < ROUNDS; i++) {
        unsigned size = 1u << random64() % 4;
        bool mmio = b->mmio.count && random64() % 4 == 0;
        const struct bus *bus = mmio ? &b->mmio : &b->ports;
        u64 a = mmio ? PC_ECAM - 8 + random64() % 0x3000 : (u64)port - 8 + random64() % 32;
        if (random64() & 1)
            bus_write(bus, a, size, random64());
        else
            wide += size < 8 && bus_read(bus, a, size) >> (8 * size);
        if (i % 4096 == 0)
            host_sends(b, "some input");
        if (i % 8192 == 0)
            b->device->type->reset(b->device);
    }
    return wide;
}

static void nobody(void *opaque)
{
    (void)opaque;
}

static void test_device(const struct device_type *type, u16 port)
{
    struct fake_board *b = fake_board(type, port);
    if (!b->chardev.user.input)
        b->chardev.user.input = nobody;
    CHECK_EQ(hammer(b, port), 0);
    type->reset(b->device);
    CHECK(!b->irq.level && !b->reset.level && !b->power.level);
    for (unsigned i = 0; b->loop.timers && i < 16; i++)
        loop_cancel(&b->loop, b->loop.timers);
    fake_board_free(b);
}

int main(void)
{
    test_device(&serial_16550, PC_PORT_COM1);
    test_device(&rtc_mc146818, PC_PORT_RTC);
    test_device(&i8042, PC_PORT_I8042);
    test_device(&acpi_pm, PC_PORT_PM);
    test_device(&pci_host, PC_PORT_PCI);
    return TEST_DONE();
}
