/* pci_host.c - test of PCI configuration space, by ports and by ECAM */
/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "machine/pc.h"
#include "tests/unit/device_fake.h"
#include "tests/unit/test.h"

enum { ADDRESS = 0xcf8, DATA = 0xcfc, RESET = 0xcf9, ID = 0x29c08086 };

static struct fake_board *b;

static void begin(void)
{
    b = fake_board(&pci_host, ADDRESS);
}

static void end(void)
{
    fake_board_free(b);
}

static void select_register(u32 address)
{
    bus_write(&b->ports, ADDRESS, 4, 0x80000000 | address);
}

static void test_ports(void)
{
    begin();
    CHECK_EQ(bus_read(&b->ports, DATA, 4), 0xffffffff); /* not enabled */
    select_register(0);
    CHECK_EQ(bus_read(&b->ports, ADDRESS, 4), 0x80000000);
    CHECK_EQ(bus_read(&b->ports, DATA, 4), ID);
    CHECK_EQ(bus_read(&b->ports, DATA + 2, 2), ID >> 16);
    CHECK_EQ(bus_read(&b->ports, DATA + 1, 1), ID >> 8 & 0xff);
    CHECK_EQ(bus_read(&b->ports, DATA + 3, 2), 0xff29); /* the last byte, and a port that nobody has */
    select_register(8);
    CHECK_EQ(bus_read(&b->ports, DATA, 4), 0x06000000);
    select_register(1 << 11); /* the next device */
    CHECK_EQ(bus_read(&b->ports, DATA, 4), 0xffffffff);
    end();
}

static void test_ecam(void)
{
    begin();
    CHECK_EQ(bus_read(&b->mmio, PC_ECAM, 4), ID);
    CHECK_EQ(bus_read(&b->mmio, PC_ECAM, 8), 0x0000000600000000 | ID);
    CHECK_EQ(bus_read(&b->mmio, PC_ECAM + 0x100, 4), 0xffffffff); /* no extended space */
    CHECK_EQ(bus_read(&b->mmio, PC_ECAM + 0xfe, 4), 0xffffffff);
    CHECK_EQ(bus_read(&b->mmio, PC_ECAM + (1 << 15), 4), 0xffffffff);
    CHECK_EQ(bus_read(&b->mmio, PC_ECAM + PC_ECAM_SIZE - 4, 4), 0xffffffff);
    for (u64 a = PC_ECAM; a < PC_ECAM + 0x2000; a++)
        bus_write(&b->mmio, a, 8, ~0ull);
    CHECK_EQ(bus_read(&b->mmio, PC_ECAM, 4), ID);          /* read only */
    CHECK_EQ(bus_read(&b->mmio, PC_ECAM + 4, 2), 0x0507);  /* the bits that can be written */
    CHECK_EQ(bus_read(&b->mmio, PC_ECAM + 0x10, 4), 0);    /* no BARs */
    CHECK_EQ(bus_read(&b->mmio, PC_ECAM + 0x3c, 1), 0xff); /* a place for notes */
    end();
}

/* Port 0xcf9 as a byte is the reset control, and not a part of the address. */
static void test_reset_control(void)
{
    begin();
    select_register(0x10);
    out8(b, RESET, 0x02);
    CHECK_EQ(b->reset.rises, 0);
    CHECK_EQ(in8(b, RESET), 0x02);
    CHECK_EQ(bus_read(&b->ports, ADDRESS, 4), 0x80000010);
    out8(b, RESET, 0x06);
    CHECK_EQ(b->reset.rises, 1);
    pci_host.reset(b->device);
    out8(b, RESET, 0x04);
    CHECK_EQ(b->reset.rises, 2);
    out8(b, ADDRESS, 0xff); /* other bytes are nothing */
    CHECK_EQ(bus_read(&b->ports, ADDRESS, 4), 0);
    end();
}

int main(void)
{
    test_ports();
    test_ecam();
    test_reset_control();
    return TEST_DONE();
}
