/* virtio.c - fuzzes the virtio devices: a driver that writes anything into registers, rings and memory */
/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <stdlib.h>
#include <string.h>

#include "machine/chardevs.h"
#include "machine/net/net.h"
#include "machine/object.h"
#include "machine/virtio/balloon.h"
#include "machine/virtio/console.h"
#include "machine/virtio/virtio.h"

/* The input is a program: an operation in each first byte, its operands behind it. Memory is small, so that
 * what the driver writes hits what the device reads. */
enum { RAM = 1 << 20, RINGS = 0x10000, RING_ROOM = 0x1000, SIZE = 8, BAR = 0xc0000000 };
enum { COMMON = 0, NOTIFY = 0x3000, MSIX = 0x100000 };

static struct ram ram;
static struct loop loop;
static struct pci_bus bus;
static struct block_set *no_blocks;
static struct net_set nets;
static struct object_set objects;
static struct chardevs chardevs;
static struct pci_device *devices[4];
static unsigned depth;

/* ---- a network that gives back what it gets ---- */

static void give_back(struct net_backend *b, const struct net_header *h, const u8 *packet, size_t len)
{
    u8 *copy = malloc(len); /* exact, so that a read beyond it is seen */
    if (copy && depth++ < 4) {
        memcpy(copy, packet, len);
        net_deliver(b, h, copy, len);
    }
    depth--;
    free(copy);
}

static const struct net_type echo = {.name = "echo", .send = give_back};
static struct net_backend network = {.type = &echo, .id = "n"};

/* ---- the machine around them ---- */

static void send_msi(void *opaque, u64 gpa, u32 data)
{
    (void)opaque, (void)gpa, (void)data;
}

static void set_line(void *opaque, unsigned number, bool level)
{
    (void)opaque, (void)number, (void)level;
}

static void drop_event(void *opaque, const char *name, json_t *data)
{
    (void)opaque, (void)name;
    json_decref(data);
}

static struct pci_device *add(const char *text)
{
    struct properties p;
    struct error e;
    const struct pci_place place = {.bus = &bus,
                                    .ram = &ram,
                                    .loop = &loop,
                                    .blocks = no_blocks,
                                    .nets = &nets,
                                    .objects = &objects,
                                    .events = {drop_event, NULL}};
    ASSERT(properties_parse(&p, text, "driver", "-device", &e) == 0);
    struct pci_device *d = pci_device_add(&place, &p, &e);
    ASSERT(d);
    properties_free(&p);
    return d;
}

static void add_port(const char *text)
{
    struct properties p;
    struct error e;
    ASSERT(properties_parse(&p, text, "driver", "-device", &e) == 0);
    ASSERT(console_port_add(&bus, &chardevs, &p, &e) == 0);
    properties_free(&p);
}

int LLVMFuzzerInitialize(int *argc, char ***argv);
int LLVMFuzzerInitialize(int *argc, char ***argv)
{
    struct properties p;
    struct error e;
    (void)argc, (void)argv;
    ASSERT(ram_create(&ram, RAM, &e) == 0 && loop_init(&loop) == 0);
    loop_lock(&loop);
    pci_bus_init(&bus, (struct irq_line){set_line, NULL, 0, false}, (struct msi_sink){send_msi, NULL});
    chardevs.loop = &loop;
    for (unsigned i = 0; i < 2; i++) {
        ASSERT(properties_parse(&p, i ? "null,id=c1" : "null,id=c0", "backend", "-chardev", &e) == 0);
        ASSERT(chardevs_add(&chardevs, &p, "-chardev", &e) == 0);
        properties_free(&p);
    }
    nets.loop = &loop;
    nets.first = &network;
    network.takes = 0;
    devices[0] = add("virtio-net-pci,netdev=n");
    devices[1] = add("virtio-balloon-pci,free-page-reporting=on");
    devices[2] = add("virtio-serial-pci,max_ports=4");
    devices[3] = add("virtio-rng-pci,max-bytes=64,period=1");
    add_port("virtserialport,chardev=c0,id=p0,name=org.lodge.fuzz");
    add_port("virtconsole,chardev=c1,id=p1");
    return 0;
}

/* ---- the driver ---- */

struct program {
    const u8 *at, *end;
};

static u32 take(struct program *p, unsigned bytes)
{
    u32 v = 0;
    for (unsigned i = 0; i < bytes && p->at < p->end; i++)
        v |= (u32)*p->at++ << (8 * i);
    return v;
}

static u64 bar_of(unsigned device)
{
    return BAR + device * 0x10000ull;
}

static void write_register(unsigned device, u32 offset, unsigned size, u64 value)
{
    bus_write(&bus.memory, bar_of(device) + offset, size, value);
}

/* Up to DRIVER_OK, with the features that the input leaves, and all queues. */
static void start(unsigned device, struct program *p)
{
    const struct virtio_device *v = container_of(devices[device], struct virtio_device, pci);
    u64 features = v->offered & ~(u64)take(p, 4);
    write_register(device, 20, 1, 0);
    write_register(device, 20, 1, 3);
    for (unsigned i = 0; i < 2; i++) {
        write_register(device, 8, 4, i);
        write_register(device, 12, 4, (u32)(features >> 32 * i));
    }
    write_register(device, 20, 1, 11);
    for (unsigned q = 0; q < v->queue_count; q++) {
        u64 at = RINGS + q * RING_ROOM;
        write_register(device, 22, 2, q);
        write_register(device, 24, 2, SIZE);
        write_register(device, 32, 4, at);
        write_register(device, 40, 4, at + 0x200);
        write_register(device, 48, 4, at + 0x400);
        write_register(device, 28, 2, 1);
        memset(ram.host + at, 0, RING_ROOM);
    }
    write_register(device, 20, 1, 15);
}

/* A chain of descriptors, one behind the other, most of them sane; then the device is told. */
static void offer(unsigned device, struct program *p)
{
    unsigned queue = take(p, 1) % 12, count = 1 + take(p, 1) % 6, first = take(p, 1) % SIZE;
    u8 *ring = ram.host + RINGS + queue * RING_ROOM;
    for (unsigned i = 0; i < count; i++) {
        u64 gpa = take(p, 3) % (RAM + 64);
        u32 len = take(p, 2);
        u16 flags = (u16)take(p, 1), next = (u16)((first + i + 1) % SIZE);
        u8 *d = ring + 16 * ((first + i) % SIZE);
        flags = (u16)((flags & 2) | (i + 1 < count) | (flags >= 0xf0 ? flags & 15 : 0));
        memcpy(d, &gpa, 8);
        memcpy(d + 8, &len, 4);
        memcpy(d + 12, &flags, 2);
        memcpy(d + 14, &next, 2);
    }
    u16 *avail = (u16 *)(ring + 0x200);
    avail[2 + avail[1] % SIZE] = (u16)first;
    avail[1]++;
    write_register(device, NOTIFY + 4 * queue, 2, queue);
}

static void write_memory(struct program *p)
{
    u32 gpa = take(p, 3) % RAM, n = min(take(p, 1), (u32)(p->end - p->at));
    n = min(n, (u32)RAM - gpa);
    memcpy(ram.host + gpa, p->at, n);
    p->at += n;
}

static void host_acts(unsigned device, struct program *p)
{
    struct net_header h = {0};
    u8 packet[256];
    u32 n = min(take(p, 1), (u32)(p->end - p->at));
    if (device == 0) {
        memcpy(packet, p->at, n);
        if (n >= sizeof(h))
            memcpy(&h, packet, sizeof(h));
        net_deliver(&network, &h, packet, n);
    } else if (device == 1) {
        balloon_set_target(devices[1], (u64)take(p, 3));
        for (const struct pci_property *l = devices[1]->type->live; l->name; l++)
            json_decref(l->get(devices[1]));
    } else {
        struct chardev *c = chardevs.all[n & 1];
        for (u32 i = 0; i < n && p->at + i < p->end; i++)
            ring_put(&c->in, p->at[i]);
        if (c->user.input)
            c->user.input(c->user.opaque);
    }
}

static void act(struct program *p)
{
    unsigned what = take(p, 1), device = what >> 6;
    switch (what & 7) {
    case 0: start(device, p); break;
    case 1: write_memory(p); break;
    case 2: {
        u32 offset = take(p, 2);
        write_register(device, offset & 0x3fff, 1u << (offset >> 14), take(p, 4));
        break;
    }
    case 3: bus_read(&bus.memory, bar_of(device) + take(p, 2) % 0x4000, 1u << take(p, 1) % 4); break;
    case 4: {
        u32 offset = take(p, 1);
        if (offset >= PCI_CAPABILITIES_START)
            pci_config_write(&bus, devices[device]->slot << 3, offset, 1u << take(p, 1) % 3, take(p, 4));
        break;
    }
    case 5: host_acts(device, p); break;
    default: offer(device, p); break;
    }
}

int LLVMFuzzerTestOneInput(const u8 *data, size_t size);
int LLVMFuzzerTestOneInput(const u8 *data, size_t size)
{
    struct program p = {data, data + size};
    memset(ram.host, 0, RAM);
    for (unsigned i = 0; i < ARRAY_SIZE(devices); i++) {
        devices[i]->type->reset(devices[i]);
        pci_config_write(&bus, devices[i]->slot << 3, PCI_BAR0 + 16, 4, bar_of(i));
        pci_config_write(&bus, devices[i]->slot << 3, PCI_BAR0 + 4, 4, bar_of(i) + MSIX);
        pci_config_write(&bus, devices[i]->slot << 3, PCI_COMMAND, 2,
                         PCI_COMMAND_MEMORY | PCI_COMMAND_MASTER);
    }
    while (p.at < p.end)
        act(&p);
    return 0;
}
