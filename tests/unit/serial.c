/* serial.c - test of the 16550A, by its data sheet */
/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <unistd.h>

#include "tests/unit/device_fake.h"
#include "tests/unit/test.h"

enum { RBR = 0x3f8, THR = RBR, IER, IIR, FCR = IIR, LCR, MCR, LSR, MSR, SCR };

static struct fake_board *b;

static void begin(void)
{
    b = fake_board(&serial_16550, 0x3f8);
}

static void end(void)
{
    fake_board_free(b);
}

static void test_power_on(void)
{
    begin();
    CHECK_EQ(in8(b, IER), 0);
    CHECK_EQ(in8(b, IIR), 1);
    CHECK_EQ(in8(b, LCR), 0);
    CHECK_EQ(in8(b, MCR), 0);
    CHECK_EQ(in8(b, LSR), 0x60);
    CHECK_EQ(in8(b, MSR), 0xb0);
    CHECK(!b->irq.level);
    end();
}

static void test_registers(void)
{
    begin();
    out8(b, SCR, 0xa5);
    CHECK_EQ(in8(b, SCR), 0xa5);
    out8(b, IER, 0xff);
    CHECK_EQ(in8(b, IER), 0x0f);
    out8(b, LCR, 0x83);
    out8(b, RBR, 0x34); /* the divisor latch */
    out8(b, IER, 0x12);
    CHECK_EQ(in8(b, RBR), 0x34);
    CHECK_EQ(in8(b, IER), 0x12);
    out8(b, LCR, 0x03);
    CHECK_EQ(in8(b, IER), 0x0f);
    out8(b, LSR, 0xff); /* read only */
    CHECK_EQ(in8(b, LSR), 0x60);
    end();
}

static void test_fifo_identity(void)
{
    begin();
    CHECK_EQ(in8(b, IIR) & 0xc0, 0);
    out8(b, FCR, 0x01);
    CHECK_EQ(in8(b, IIR) & 0xc0, 0xc0);
    out8(b, FCR, 0x00);
    CHECK_EQ(in8(b, IIR) & 0xc0, 0);
    end();
}

static void test_receive_without_fifo(void)
{
    begin();
    out8(b, IER, 1);
    host_sends(b, "ab");
    CHECK(b->irq.level);
    CHECK_EQ(in8(b, IIR), 4);
    CHECK_EQ(in8(b, LSR), 0x61);
    CHECK_EQ(in8(b, RBR), 'a');
    CHECK_EQ(in8(b, RBR), 'b'); /* waited in the host */
    CHECK_EQ(in8(b, LSR), 0x60);
    CHECK(!b->irq.level);
    end();
}

/* Below the trigger level the character timeout is reported at once. */
static void test_trigger_level(void)
{
    begin();
    out8(b, FCR, 0x81); /* 8 bytes */
    out8(b, IER, 1);
    host_sends(b, "1234567");
    CHECK(b->irq.level);
    CHECK_EQ(in8(b, IIR), 0xcc);
    host_sends(b, "8");
    CHECK_EQ(in8(b, IIR), 0xc4);
    for (char c = '1'; c <= '8'; c++)
        CHECK_EQ(in8(b, RBR), c);
    CHECK(!b->irq.level);
    CHECK_EQ(in8(b, IIR), 0xc1);
    end();
}

/* More than the FIFO holds is kept in the host, in order. */
static void test_backlog(void)
{
    const char *text = "0123456789abcdefghijklmnopqrstuvwxyz";
    begin();
    out8(b, FCR, 0x01);
    host_sends(b, text);
    for (const char *p = text; *p; p++)
        CHECK_EQ(in8(b, RBR), *p);
    CHECK_EQ(in8(b, LSR), 0x60);
    end();
}

static void test_clear_receiver(void)
{
    begin();
    out8(b, FCR, 0x01);
    host_sends(b, "abc");
    out8(b, FCR, 0x03);
    CHECK_EQ(in8(b, LSR), 0x60);
    end();
}

static void test_transmit_interrupt(void)
{
    begin();
    out8(b, IER, 2); /* THR is empty: interrupts at once */
    CHECK(b->irq.level);
    CHECK_EQ(in8(b, IIR), 2); /* reading it is the acknowledgement */
    CHECK(!b->irq.level);
    CHECK_EQ(in8(b, IIR), 1);
    out8(b, THR, 'x');
    CHECK(b->irq.level);
    CHECK_EQ(in8(b, IIR), 2);
    out8(b, IER, 0);
    out8(b, IER, 2);
    CHECK(b->irq.level);
    end();
}

static void test_priority(void)
{
    begin();
    out8(b, IER, 0x0f);
    out8(b, THR, 'x');
    host_sends(b, "a");
    b->chardev.user.send_break(b->chardev.user.opaque); /* no room without FIFO: ignored */
    CHECK_EQ(in8(b, IIR), 4);
    in8(b, RBR);
    b->chardev.user.send_break(b->chardev.user.opaque);
    CHECK_EQ(in8(b, IIR), 6);
    CHECK_EQ(in8(b, LSR), 0x71); /* BI, DR */
    CHECK_EQ(in8(b, IIR), 4);
    CHECK_EQ(in8(b, RBR), 0);
    CHECK_EQ(in8(b, IIR), 2);
    CHECK_EQ(in8(b, IIR), 1);
    end();
}

/* How drivers find out that this is a 16550 (and Linux that there is a port at all). */
static void test_loopback(void)
{
    begin();
    out8(b, MCR, 0x1a); /* LOOP, RTS, OUT2 */
    CHECK_EQ(in8(b, MSR) & 0xf0, 0x90);
    out8(b, THR, 'z');
    CHECK_EQ(in8(b, RBR), 'z');
    host_sends(b, "q"); /* the line is cut */
    CHECK_EQ(in8(b, LSR) & 1, 0);
    out8(b, MCR, 0x08);
    CHECK_EQ(in8(b, RBR), 'q');
    CHECK_EQ(in8(b, MSR) & 0xf0, 0xb0);
    end();
}

static void test_loopback_overrun(void)
{
    begin();
    out8(b, MCR, 0x10);
    out8(b, THR, '1');
    out8(b, THR, '2');
    CHECK_EQ(in8(b, LSR), 0x63); /* OE, DR */
    CHECK_EQ(in8(b, LSR), 0x61); /* cleared by reading */
    CHECK_EQ(in8(b, RBR), '1');
    end();
}

static void test_modem_deltas(void)
{
    begin();
    out8(b, IER, 8);
    out8(b, MCR, 0x10); /* all inputs fall */
    CHECK_EQ(b->irq.level, true);
    CHECK_EQ(in8(b, MSR), 0x0b); /* DCTS, DDSR, DDCD */
    CHECK_EQ(b->irq.level, false);
    out8(b, MCR, 0x14); /* RI rises: no TERI */
    CHECK_EQ(in8(b, MSR), 0x40);
    out8(b, MCR, 0x10);
    CHECK_EQ(in8(b, MSR), 0x04);
    end();
}

/* With a host that does not take bytes, THR stays full, and the guest can see it. */
static void test_flow_control(void)
{
    int pipe_fds[2];
    begin();
    CHECK(pipe(pipe_fds) == 0);
    b->chardev.write_watch.fd = pipe_fds[1];
    b->chardev.out.head = CHARDEV_BACKLOG; /* nothing fits any more */
    out8(b, IER, 2);
    in8(b, IIR);
    out8(b, THR, 'x');
    CHECK_EQ(in8(b, LSR), 0);
    CHECK(!b->irq.level);
    b->chardev.out.tail = b->chardev.out.head;
    b->chardev.user.output_ready(b->chardev.user.opaque);
    CHECK_EQ(in8(b, LSR), 0x60);
    CHECK(b->irq.level);
    u8 byte = 0;
    CHECK(read(pipe_fds[0], &byte, 1) == 1);
    CHECK_EQ(byte, 'x');
    close(pipe_fds[0]);
    close(pipe_fds[1]);
    end();
}

int main(void)
{
    test_power_on();
    test_registers();
    test_fifo_identity();
    test_receive_without_fifo();
    test_trigger_level();
    test_backlog();
    test_clear_receiver();
    test_transmit_interrupt();
    test_priority();
    test_loopback();
    test_loopback_overrun();
    test_modem_deltas();
    test_flow_control();
    return TEST_DONE();
}
