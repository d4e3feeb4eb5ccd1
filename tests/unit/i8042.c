/* i8042.c - test of the keyboard controller without a keyboard */
/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "tests/unit/device_fake.h"
#include "tests/unit/test.h"

enum { DATA = 0x60, COMMAND = 0x64, STATUS = COMMAND, PORT_A = 0x92 };

static struct fake_board *b;

static void begin(void)
{
    b = fake_board(&i8042, DATA);
}

static void end(void)
{
    fake_board_free(b);
}

static u8 ask(u8 command)
{
    out8(b, COMMAND, command);
    CHECK_EQ(in8(b, STATUS) & 1, 1);
    u8 answer = in8(b, DATA);
    CHECK_EQ(in8(b, STATUS) & 1, 0);
    return answer;
}

static void test_probe(void)
{
    begin();
    CHECK_EQ(in8(b, STATUS) & 3, 0); /* ready for a command */
    CHECK_EQ(ask(0xaa), 0x55);
    CHECK_EQ(ask(0x20), 0x04);
    out8(b, COMMAND, 0x60);
    CHECK_EQ(in8(b, STATUS) & 8, 8);
    out8(b, DATA, 0x65);
    CHECK_EQ(ask(0x20), 0x65);
    CHECK(ask(0xab) != 0); /* no keyboard */
    CHECK(ask(0xa9) != 0); /* no mouse */
    CHECK_EQ(ask(0xd0) & 3, 3);
    end();
}

/* A command for a device that is not there is answered, with the timeout bit. */
static void test_absent_devices(void)
{
    begin();
    out8(b, DATA, 0xff);
    CHECK_EQ(in8(b, STATUS) & 0x41, 0x41);
    CHECK_EQ(in8(b, DATA), 0xfe);
    CHECK_EQ(in8(b, STATUS) & 0x41, 0);
    out8(b, COMMAND, 0xd4);
    out8(b, DATA, 0xf2);
    CHECK_EQ(in8(b, DATA), 0xfe);
    CHECK_EQ(b->reset.rises, 0);
    end();
}

static void test_resets(void)
{
    begin();
    out8(b, COMMAND, 0xfd); /* pulses other lines */
    CHECK_EQ(b->reset.rises, 0);
    out8(b, COMMAND, 0xfe);
    CHECK_EQ(b->reset.rises, 1);
    i8042.reset(b->device);
    out8(b, COMMAND, 0xd1);
    out8(b, DATA, 0x03);
    CHECK_EQ(b->reset.rises, 1);
    out8(b, COMMAND, 0xd1);
    out8(b, DATA, 0x02);
    CHECK_EQ(b->reset.rises, 2);
    i8042.reset(b->device);
    CHECK_EQ(in8(b, PORT_A), 2);
    out8(b, PORT_A, 2);
    CHECK_EQ(b->reset.rises, 2);
    out8(b, PORT_A, 3);
    CHECK_EQ(b->reset.rises, 3);
    end();
}

int main(void)
{
    test_probe();
    test_absent_devices();
    test_resets();
    return TEST_DONE();
}
