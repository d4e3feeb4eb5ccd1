/* pci_hotplug.c - test of the slots' registers: what comes, what is to go, and what a guest may not eject */
/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "machine/pc.h"
#include "tests/unit/device_fake.h"
#include "tests/unit/test.h"

enum { PORT = PC_PORT_PCI_HOTPLUG, UP = PORT, DOWN = PORT + 4, EJECT = PORT + 8, SELECT = PORT + 16 };

static unsigned removed, resets;

static void card_reset(struct pci_device *d)
{
    (void)d;
    resets++;
}

static void card_destroy(struct pci_device *d)
{
    free(d);
}

static void card_removed(void *opaque, const char *id)
{
    (void)opaque;
    CHECK(!strcmp(id, "card"));
    removed++;
}

static const struct pci_type card = {.name = "card", .reset = card_reset, .destroy = card_destroy};

static void plug(struct fake_board *b, int slot)
{
    struct pci_device *d = calloc(1, sizeof(*d));
    struct error e;
    pci_device_init(d, &card, &(struct pci_identity){0});
    CHECK_EQ(pci_plug(&b->pci, d, slot, &e), 0);
    d->id = strdup("card");
    b->pci.removed = card_removed;
}

static u32 in32(struct fake_board *b, u16 port)
{
    return (u32)bus_read(&b->ports, port, 4);
}

static void out32(struct fake_board *b, u16 port, u32 value)
{
    bus_write(&b->ports, port, 4, value);
}

static void test_come_and_go(void)
{
    struct fake_board *b = fake_board(&pci_hotplug, PORT);
    plug(b, 3);
    pci_hotplug_added(b->device, 3);
    CHECK_EQ(b->event.rises, 1);
    CHECK_EQ(in32(b, UP), 8);
    CHECK_EQ(in32(b, UP), 0); /* told once */
    CHECK(pci_hotplug_remove(b->device, 3));
    CHECK(!pci_hotplug_remove(b->device, 3));
    CHECK_EQ(b->event.rises, 2);
    CHECK_EQ(in32(b, DOWN), 8);
    CHECK_EQ(in32(b, DOWN), 8); /* until it has gone */
    CHECK(removed == 0 && b->pci.slot[3]);
    out32(b, EJECT, 8);
    CHECK(removed == 1 && !b->pci.slot[3]);
    CHECK_EQ(in32(b, DOWN), 0);
    out32(b, EJECT, 8);
    CHECK_EQ(removed, 1);
    fake_board_free(b);
}

static void test_reset(void)
{
    struct fake_board *b = fake_board(&pci_hotplug, PORT);
    removed = 0;
    plug(b, 4);
    plug(b, 5);
    CHECK(pci_hotplug_remove(b->device, 4));
    pci_hotplug.reset(b->device);
    CHECK(removed == 1 && !b->pci.slot[4] && b->pci.slot[5]);
    CHECK_EQ(in32(b, DOWN), 0);
    out32(b, EJECT, 0xffffffff);
    CHECK(removed == 2 && !b->pci.slot[5]);
    fake_board_free(b);
}

/* The board's own devices stay, other buses have nothing, and other sizes mean nothing. */
static void test_abuse(void)
{
    struct fake_board *b = fake_board(&pci_hotplug, PORT);
    removed = 0;
    plug(b, 0);
    plug(b, PC_SLOT_LPC);
    plug(b, 6);
    out32(b, SELECT, 1);
    out32(b, EJECT, 0xffffffff);
    CHECK_EQ(in32(b, DOWN), 0);
    CHECK_EQ(removed, 0);
    out32(b, SELECT, 0);
    bus_write(&b->ports, EJECT, 1, 0xff);
    bus_write(&b->ports, EJECT, 2, 0xffff);
    CHECK_EQ(removed, 0);
    out32(b, EJECT, 0xffffffff);
    CHECK(removed == 1 && b->pci.slot[0] && b->pci.slot[PC_SLOT_LPC]);
    for (u16 port = PORT; port < PORT + 24; port++)
        bus_read(&b->ports, port, 1);
    pci_unplug(b->pci.slot[0]);
    pci_unplug(b->pci.slot[PC_SLOT_LPC]);
    fake_board_free(b);
}

int main(void)
{
    test_come_and_go();
    test_reset();
    test_abuse();
    return TEST_DONE();
}
