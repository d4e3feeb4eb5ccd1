/* cpu_hotplug.c - test of the processors' registers: one comes, one is to go, and what a guest may not eject
 */
/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "machine/pc.h"
#include "tests/unit/device_fake.h"
#include "tests/unit/test.h"

enum {
    PORT = PC_PORT_CPU_HOTPLUG,
    SELECT = PORT,
    STATE_BYTE = PORT + 4,
    COMMAND = PORT + 5,
    DATA = PORT + 8
};
enum { ENABLED = 1, INSERTED = 2, REMOVING = 4, EJECT = 8 };

static u8 state(struct fake_board *b, u32 number)
{
    bus_write(&b->ports, SELECT, 4, number);
    return (u8)bus_read(&b->ports, STATE_BYTE, 1);
}

static void change(struct fake_board *b, u32 number, u8 bits)
{
    bus_write(&b->ports, SELECT, 4, number);
    bus_write(&b->ports, STATE_BYTE, 1, bits);
}

static void test_come_and_go(void)
{
    struct fake_board *b = fake_board(&cpu_hotplug, PORT);
    b->cpus = 2;
    CHECK_EQ(state(b, 0), ENABLED);
    CHECK_EQ(state(b, 1), ENABLED);
    CHECK_EQ(state(b, 2), 0);
    b->cpus = 3;
    cpu_hotplug_added(b->device, 2);
    CHECK_EQ(b->cpu_event.rises, 1);
    CHECK_EQ(state(b, 2), ENABLED | INSERTED);
    bus_write(&b->ports, SELECT, 4, 0);
    bus_write(&b->ports, COMMAND, 1, 0);
    CHECK_EQ(bus_read(&b->ports, DATA, 4), 2); /* the one that something has happened to */
    change(b, 2, INSERTED);
    CHECK_EQ(state(b, 2), ENABLED);
    CHECK(!cpu_hotplug_going(b->device));
    CHECK(cpu_hotplug_remove(b->device, 2));
    CHECK(!cpu_hotplug_remove(b->device, 2));
    CHECK(cpu_hotplug_going(b->device));
    CHECK_EQ(b->cpu_event.rises, 2);
    CHECK_EQ(state(b, 2), ENABLED | REMOVING);
    change(b, 2, EJECT);
    CHECK_EQ(b->ejected, 1);
    CHECK_EQ(state(b, 2), ENABLED); /* the sink of this board does nothing */
    CHECK(!cpu_hotplug_going(b->device));
    fake_board_free(b);
}

static void test_hostile(void)
{
    struct fake_board *b = fake_board(&cpu_hotplug, PORT);
    b->cpus = 2;
    for (u32 n = 0; n < 300; n++)
        change(b, n * 0x01010101, 0xff);
    change(b, 1, EJECT);
    CHECK_EQ(b->ejected, 0); /* nobody has asked for it */
    CHECK_EQ(state(b, 0xffffffff), 0);
    CHECK_EQ(bus_read(&b->ports, DATA, 1), 0);
    CHECK(cpu_hotplug_remove(b->device, 1));
    cpu_hotplug.reset(b->device);
    CHECK_EQ(state(b, 1), ENABLED);
    change(b, 1, EJECT);
    CHECK_EQ(b->ejected, 0);
    fake_board_free(b);
}

int main(void)
{
    test_come_and_go();
    test_hostile();
    return TEST_DONE();
}
