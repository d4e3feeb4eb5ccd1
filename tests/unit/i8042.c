/* i8042.c - test of the keyboard controller and its keyboard */
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
    CHECK_EQ(ask(0x20), 0x45); /* as a BIOS leaves it */
    out8(b, COMMAND, 0x60);
    CHECK_EQ(in8(b, STATUS) & 8, 8);
    out8(b, DATA, 0x65);
    CHECK_EQ(ask(0x20), 0x65);
    CHECK_EQ(ask(0xab), 0); /* a keyboard */
    CHECK(ask(0xa9) != 0);  /* no mouse */
    CHECK_EQ(ask(0xd0) & 3, 3);
    end();
}

/* A command for a device that is not there is answered, with the timeout bit. */
static void test_absent_devices(void)
{
    begin();
    out8(b, COMMAND, 0xd4);
    out8(b, DATA, 0xf2);
    CHECK_EQ(in8(b, STATUS) & 0x41, 0x41);
    CHECK_EQ(in8(b, DATA), 0xfe);
    CHECK_EQ(in8(b, STATUS) & 0x41, 0);
    CHECK_EQ(b->reset.rises, 0);
    end();
}

/* The bytes that are there, in order, as "fa aa"; each raises the line anew. */
static const char *bytes(void)
{
    static char text[200];
    size_t n = 0;
    *text = 0;
    while (in8(b, STATUS) & 1 && n < sizeof(text) - 4)
        n += (size_t)sprintf(text + n, "%s%02x", n ? " " : "", in8(b, DATA));
    return text;
}

static const char *keyboard(u8 command)
{
    out8(b, DATA, command);
    return bytes();
}

static void set_command_byte(u8 value)
{
    out8(b, COMMAND, 0x60);
    out8(b, DATA, value);
}

static const char *key(u8 number)
{
    i8042.key(b->device, number, true);
    i8042.key(b->device, number, false);
    return bytes();
}

static void test_keyboard(void)
{
    begin();
    set_command_byte(0x04);
    CHECK_STR(keyboard(0xff), "fa aa");
    CHECK_STR(keyboard(0xf2), "fa ab 83");
    CHECK_STR(keyboard(0xee), "ee");
    CHECK_STR(keyboard(0xfe), "ee");
    CHECK_STR(keyboard(0xed), "fa");
    CHECK_STR(keyboard(0x07), "fa");
    CHECK_STR(keyboard(0xf0), "fa");
    CHECK_STR(keyboard(0x00), "fa 02");
    CHECK_STR(keyboard(0xf0), "fa");
    CHECK_STR(keyboard(0x03), "fe");
    CHECK_STR(keyboard(0xf0), "fa"); /* a command instead of the argument */
    CHECK_STR(keyboard(0xf4), "fa");
    CHECK_STR(keyboard(0xe0), "fe");
    end();
}

static void test_keys(void)
{
    begin();
    set_command_byte(0x04);
    CHECK_STR(key(0x1e), "1c f0 1c"); /* a, in set 2 */
    CHECK_STR(key(0x41), "83 f0 83"); /* F7 */
    CHECK_STR(key(0xc8), "e0 75 e0 f0 75");
    CHECK_STR(key(0x54), "e0 12 e0 7c e0 f0 7c e0 f0 12");
    CHECK_STR(key(0xc6), "e1 14 77 e1 f0 14 f0 77");
    CHECK_STR(key(0x80), "");
    set_command_byte(0x45); /* translated, with interrupts */
    CHECK_STR(key(0x1e), "1e 9e");
    CHECK_STR(key(0x41), "41 c1");
    CHECK_STR(key(0xc8), "e0 48 e0 c8");
    CHECK_STR(key(0xc6), "e1 1d 45 e1 9d c5");
    i8042.key(b->device, 0x38, true);
    CHECK_STR(bytes(), "38");
    CHECK_STR(key(0x54), "54 d4"); /* with Alt, it is SysRq */
    i8042.key(b->device, 0x38, false);
    CHECK_STR(bytes(), "b8");
    CHECK_STR(keyboard(0xf0), "fa");
    CHECK_STR(keyboard(0x01), "fa");
    set_command_byte(0x05);
    CHECK_STR(key(0xc8), "e0 48 e0 c8"); /* the keyboard's own set 1 */
    CHECK_STR(keyboard(0xf5), "fa");
    CHECK_STR(key(0x1e), "");
    end();
}

static void test_interrupts(void)
{
    begin();
    set_command_byte(0x01);
    i8042.key(b->device, 0x1e, true);
    i8042.key(b->device, 0x1e, false);
    CHECK_EQ(b->irq.rises, 1);
    in8(b, DATA);
    CHECK_EQ(b->irq.rises, 2);
    in8(b, DATA);
    in8(b, DATA);
    CHECK_EQ(b->irq.rises, 3);
    CHECK_EQ(b->irq.level, 0);
    out8(b, COMMAND, 0xad); /* the keyboard waits */
    i8042.key(b->device, 0x1e, true);
    CHECK_EQ(in8(b, STATUS) & 1, 0);
    out8(b, COMMAND, 0xae);
    CHECK_EQ(b->irq.level, 1);
    CHECK_EQ(in8(b, DATA), 0x1c);
    for (int i = 0; i < 100; i++) /* nobody reads: what does not fit is lost as a whole */
        i8042.key(b->device, 0xc8, i % 2 == 0);
    unsigned ends = 0;
    while (in8(b, STATUS) & 1)
        ends += in8(b, DATA) == 0x75;
    CHECK(ends >= 20 && ends <= 40);
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
    test_keyboard();
    test_keys();
    test_interrupts();
    test_resets();
    return TEST_DONE();
}
