/* console.c - virtio console device: serial ports with names, and consoles (VIRTIO 1.2 section 5.3) */
/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <errno.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "machine/chardevs.h"
#include "machine/virtio/console.h"
#include "machine/virtio/types.h"

enum { F_MULTIPORT = 1, F_EMERG_WRITE = 2 };
enum { CONTROL_RX = 2, CONTROL_TX = 3 };
enum { DATA_QUEUE = 128, CONTROL_QUEUE = 32, MAX_PORTS = 31, MAX_NAME = 63 };

/* Messages of the control queues (section 5.3.6.2). In this order they are sent, where several wait. */
enum { DEVICE_READY, PORT_ADD, PORT_REMOVE, PORT_READY, CONSOLE_PORT, RESIZE, PORT_OPEN, PORT_NAME };
static const u8 sending_order[] = {PORT_REMOVE, PORT_ADD, CONSOLE_PORT, PORT_NAME, PORT_OPEN};

struct control {
    u32 id;
    u16 event, value;
};

struct console_config {
    u16 cols, rows;
    u32 max_nr_ports, emerg_wr;
};
enum { EMERG_WR = 8 };

struct port {
    struct virtio_console *device;
    unsigned nr;
    char *id, *name; /* NULL: none */
    bool console;
    struct chardev *chardev; /* NULL: what is written vanishes */
    bool guest_open;
    size_t sent; /* of the chain that is first in the transmit queue */
};

/* The host never waits for the driver: a message that finds no buffer is a bit in `wanted`, and what a port
 * has for the guest stays in its character device. */
struct virtio_console {
    struct virtio_device v;
    u32 max_ports;
    struct event_sink events;
    struct port *port[MAX_PORTS];
    u8 wanted[MAX_PORTS]; /* messages to send about each number: BIT(event) */
};

static struct virtio_console *from_virtio(struct virtio_device *v)
{
    return container_of(v, struct virtio_console, v);
}

/* Port 0 has the first two queues, the others follow the control queues (section 5.3.2). */
static struct virtqueue *receive_queue(struct port *p)
{
    return &p->device->v.queue[p->nr ? 2 * p->nr + 2 : 0];
}

static struct virtqueue *transmit_queue(struct port *p)
{
    return &p->device->v.queue[p->nr ? 2 * p->nr + 3 : 1];
}

static struct port *port_of_queue(struct virtio_console *d, unsigned queue)
{
    unsigned nr = queue < 2 ? 0 : queue / 2 - 1;
    return nr < d->max_ports ? d->port[nr] : NULL;
}

static bool multiport(const struct virtio_console *d)
{
    return virtio_has(&d->v, F_MULTIPORT);
}

/* ---- control ---- */

static u16 control_value(const struct port *p, unsigned event)
{
    return event == PORT_OPEN ? p->chardev && p->chardev->connected : 1;
}

/* false: the driver has no buffer there now. */
static bool send_control(struct virtio_console *d, unsigned nr, unsigned event)
{
    struct port *p = d->port[nr];
    struct virtqueue *q = &d->v.queue[CONTROL_RX];
    const struct control c = {nr, (u16)event, p ? control_value(p, event) : 1};
    struct virtq_chain chain;
    if (!virtq_pop(q, &chain))
        return false;
    size_t n = virtq_write(q, &chain, 0, &c, sizeof(c));
    if (event == PORT_NAME && n == sizeof(c))
        n += virtq_write(q, &chain, n, p->name, strlen(p->name) + 1);
    virtq_push(q, chain.head, (u32)n);
    return true;
}

static bool send_wanted(struct virtio_console *d, unsigned nr)
{
    for (size_t i = 0; i < sizeof(sending_order); i++) {
        unsigned event = sending_order[i];
        if (!(d->wanted[nr] & BIT(event)))
            continue;
        if (!send_control(d, nr, event))
            return false;
        d->wanted[nr] &= (u8)~BIT(event);
    }
    return true;
}

static void flush_control(struct virtio_console *d)
{
    unsigned nr = 0;
    if (!virtio_running(&d->v) || !pci_is_master(&d->v.pci) || !multiport(d))
        return;
    while (nr < d->max_ports && send_wanted(d, nr))
        nr++;
    virtq_notify(&d->v.queue[CONTROL_RX]);
}

static void want(struct virtio_console *d, unsigned nr, unsigned event)
{
    d->wanted[nr] |= (u8)BIT(event);
}

static void set_guest_open(struct port *p, bool open)
{
    if (p->guest_open == open)
        return;
    p->guest_open = open;
    if (p->chardev)
        p->chardev->front_closed = !open;
    if (p->id)
        event_send(&p->device->events, "VSERPORT_CHANGE", json_pack("{s:b,s:s}", "open", open, "id", p->id));
}

static void receive(struct port *p);

/* What the driver says about one port. */
static void port_control(struct port *p, const struct control *c)
{
    struct virtio_console *d = p->device;
    if (c->event == PORT_OPEN) {
        set_guest_open(p, c->value);
        receive(p);
    } else if (c->event == PORT_READY && c->value) {
        if (p->console)
            want(d, p->nr, CONSOLE_PORT);
        if (p->name)
            want(d, p->nr, PORT_NAME);
        if (control_value(p, PORT_OPEN))
            want(d, p->nr, PORT_OPEN);
    }
}

static void handle_control(struct virtio_console *d, const struct control *c)
{
    if (c->event == DEVICE_READY) {
        for (unsigned i = 0; i < d->max_ports && c->value; i++)
            if (d->port[i])
                want(d, i, PORT_ADD);
    } else if (c->id < d->max_ports && d->port[c->id]) {
        port_control(d->port[c->id], c);
    }
}

static void take_control(struct virtio_console *d)
{
    struct virtqueue *q = &d->v.queue[CONTROL_TX];
    struct virtq_chain chain;
    struct control c;
    while (virtq_pop(q, &chain)) {
        if (iov_read(chain.iov, chain.out_count, 0, &c, sizeof(c)) == sizeof(c))
            handle_control(d, &c);
        virtq_push(q, chain.head, 0);
    }
    virtq_notify(q);
    flush_control(d);
}

/* ---- data ---- */

static bool guest_listens(const struct port *p)
{
    const struct virtio_device *v = &p->device->v;
    return virtio_running(v) && pci_is_master(&v->pci) && (p->guest_open || !multiport(p->device));
}

/* From the host: as much as the guest has buffers for. The rest waits in the character device. */
static void receive(struct port *p)
{
    struct virtqueue *q = receive_queue(p);
    struct virtq_chain chain;
    u8 bytes[4096];
    while (p->chardev && guest_listens(p) && chardev_available(p->chardev) && virtq_pop(q, &chain)) {
        size_t n = 0, room = min(chain.in_bytes, sizeof(bytes));
        while (n < room && chardev_read(p->chardev, &bytes[n]))
            n++;
        virtq_push(q, chain.head, (u32)virtq_write(q, &chain, 0, bytes, n));
    }
    virtq_notify(q);
}

/* false: the character device is full; what is left stays in the queue until output_ready. */
static bool write_chain(struct port *p, const struct virtq_chain *chain)
{
    u8 bytes[4096];
    size_t n;
    while ((n = iov_read(chain->iov, chain->out_count, p->sent, bytes, sizeof(bytes)))) {
        for (size_t i = 0; i < n && p->chardev; i++) {
            if (!chardev_write(p->chardev, bytes[i])) {
                p->sent += i;
                return false;
            }
        }
        p->sent += n;
    }
    p->sent = 0;
    return true;
}

static void transmit(struct port *p)
{
    struct virtqueue *q = transmit_queue(p);
    struct virtq_chain chain;
    while (virtio_running(&p->device->v) && pci_is_master(&p->device->v.pci) && virtq_pop(q, &chain)) {
        if (!write_chain(p, &chain)) {
            virtq_unpop(q);
            break;
        }
        virtq_push(q, chain.head, 0);
    }
    virtq_notify(q);
}

/* A queue of a port that is not there. */
static void drain(struct virtqueue *q)
{
    struct virtq_chain chain;
    while (virtq_pop(q, &chain))
        virtq_push(q, chain.head, 0);
    virtq_notify(q);
}

static void console_notify(struct virtio_device *v, unsigned queue)
{
    struct virtio_console *d = from_virtio(v);
    struct port *p = port_of_queue(d, queue);
    if (queue == CONTROL_RX)
        flush_control(d);
    else if (queue == CONTROL_TX)
        take_control(d);
    else if (p && queue % 2 == 0)
        receive(p);
    else if (p)
        transmit(p);
    else if (queue % 2)
        drain(&v->queue[queue]);
}

/* A driver in distress writes letters into the configuration (section 5.3.4). */
static void config_written(struct virtio_device *v)
{
    const struct virtio_console *d = from_virtio(v);
    if (d->port[0] && d->port[0]->console && d->port[0]->chardev)
        chardev_write(d->port[0]->chardev, v->config[EMERG_WR]);
}

/* ---- the host's end ---- */

static void port_input(void *opaque)
{
    receive(opaque);
}

static void port_output_ready(void *opaque)
{
    transmit(opaque);
}

static void port_event(void *opaque, enum chardev_event event)
{
    struct port *p = opaque;
    (void)event; /* PORT_OPEN says how it is when it is sent */
    want(p->device, p->nr, PORT_OPEN);
    flush_control(p->device);
}

/* ---- ports ---- */

struct port_config {
    const char *driver, *id, *bus, *name, *chardev;
    u32 nr;
};

static const struct property_row port_rows[] = {
    {"driver", PROPERTY_TEXT, offsetof(struct port_config, driver), .help = "virtserialport or virtconsole"},
    {"id", PROPERTY_TEXT, offsetof(struct port_config, id), .help = "its name, for device_del"},
    {"bus", PROPERTY_TEXT, offsetof(struct port_config, bus), .help = "ID.0 of a virtio-serial-pci"},
    {"nr", PROPERTY_U32, offsetof(struct port_config, nr), "4294967295", "its number on the bus"},
    {"name", PROPERTY_TEXT, offsetof(struct port_config, name), .help = "what the guest finds it by"},
    {"chardev", PROPERTY_TEXT, offsetof(struct port_config, chardev), .help = "the host's end"},
    {0}};

static const char serial_port[] = "virtserialport", console_port[] = "virtconsole";

bool console_port_is(const char *driver)
{
    return !strcmp(driver, serial_port) || !strcmp(driver, console_port);
}

void console_port_help(const char *driver)
{
    if (driver)
        properties_help(port_rows + 1);
    else
        printf("  %-18s a serial port of a virtio-serial-pci\n  %-18s a console of one\n", serial_port,
               console_port);
}

static bool is_bus(const struct virtio_console *d, const char *bus)
{
    size_t n = d->v.pci.id ? strlen(d->v.pci.id) : 0;
    return !bus || (n && !strncmp(bus, d->v.pci.id, n) && !strcmp(bus + n, ".0"));
}

static struct virtio_console *find_console(struct pci_bus *b, const char *bus)
{
    for (unsigned s = 0; s < PCI_SLOTS; s++) {
        struct pci_device *d = b->slot[s];
        if (d && d->type == &virtio_serial.pci && is_bus(container_of(d, struct virtio_console, v.pci), bus))
            return container_of(d, struct virtio_console, v.pci);
    }
    return NULL;
}

static struct port *find_port(struct pci_bus *b, const char *id)
{
    for (unsigned s = 0; s < PCI_SLOTS; s++) {
        if (!b->slot[s] || b->slot[s]->type != &virtio_serial.pci)
            continue;
        const struct virtio_console *d = container_of(b->slot[s], struct virtio_console, v.pci);
        for (unsigned i = 0; i < d->max_ports; i++)
            if (d->port[i] && d->port[i]->id && !strcmp(d->port[i]->id, id))
                return d->port[i];
    }
    return NULL;
}

/* Number 0 is a console's: drivers without F_MULTIPORT know that one alone. */
static int choose_number(const struct virtio_console *d, struct port_config *c, struct error *e)
{
    bool any = c->nr == UINT32_MAX, console = !strcmp(c->driver, console_port);
    for (u32 i = console ? 0 : 1; any && c->nr == UINT32_MAX && i < d->max_ports; i++)
        if (!d->port[i])
            c->nr = i;
    if (c->nr == UINT32_MAX)
        return error_set(e, ENOSPC, "%s: the device has its %u ports already: use max_ports=", c->driver,
                         d->max_ports);
    if (c->nr >= d->max_ports)
        return error_set(e, ERANGE, "%s: nr %u is out of range: the device has %u ports", c->driver, c->nr,
                         d->max_ports);
    if (!console && !c->nr)
        return error_set(e, EINVAL, "%s: nr 0 is for a virtconsole: use 1 or more", c->driver);
    return d->port[c->nr] ? error_set(e, EEXIST, "%s: there is a port at nr %u", c->driver, c->nr) : 0;
}

static int check_port(struct pci_bus *b, const struct port_config *c, struct error *e)
{
    if (c->id && (find_port(b, c->id) || pci_find(b, c->id)))
        return error_set(e, EEXIST, "Duplicate device ID '%s'", c->id);
    if (c->name && strlen(c->name) > MAX_NAME)
        return error_set(e, ENAMETOOLONG, "%s: the name is longer than %d bytes", c->driver, MAX_NAME);
    return 0;
}

static void port_free(struct port *p)
{
    free(p->id);
    free(p->name);
    free(p);
}

static struct port *port_create(struct virtio_console *d, const struct port_config *c)
{
    struct port *p = calloc(1, sizeof(*p));
    if (!p)
        return NULL;
    *p = (struct port){.device = d, .nr = c->nr, .console = !strcmp(c->driver, console_port)};
    p->id = c->id ? strdup(c->id) : NULL;
    p->name = c->name ? strdup(c->name) : NULL;
    if (!p->id == !c->id && !p->name == !c->name)
        return p;
    port_free(p);
    return NULL;
}

static int connect_port(struct virtio_console *d, struct port *p, const struct port_config *c,
                        struct chardevs *s, struct error *e)
{
    if (c->chardev && !(p->chardev = chardevs_take(s, c->chardev, c->driver, e)))
        return -ENODEV;
    if (p->chardev)
        p->chardev->user = (struct chardev_user){p, port_input, port_output_ready, NULL, port_event};
    if (p->chardev)
        p->chardev->front_closed = true;
    d->port[p->nr] = p;
    want(d, p->nr, PORT_ADD);
    flush_control(d);
    return 0;
}

int console_port_add(struct pci_bus *b, struct chardevs *s, const struct properties *list, struct error *e)
{
    struct port_config c = {0};
    const char *driver = properties_get(list, "driver");
    int r = properties_read(list, port_rows, &c, driver, e);
    if (r < 0 || (r = check_port(b, &c, e)) < 0)
        return r;
    struct virtio_console *d = find_console(b, c.bus);
    if (!d)
        return error_set(e, ENODEV, "%s: there is no bus '%s': add a -device virtio-serial-pci,id=ID", driver,
                         c.bus ? c.bus : "virtio-serial-bus");
    if ((r = choose_number(d, &c, e)) < 0)
        return r;
    struct port *p = port_create(d, &c);
    r = p ? connect_port(d, p, &c, s, e) : error_set(e, ENOMEM, "%s: no memory", driver);
    if (p && r < 0)
        port_free(p);
    return r;
}

static void remove_port(struct port *p)
{
    struct virtio_console *d = p->device;
    if (p->chardev)
        chardev_release(p->chardev);
    d->port[p->nr] = NULL;
    d->wanted[p->nr] = (u8)BIT(PORT_REMOVE);
    port_free(p);
}

bool console_port_remove(struct pci_bus *b, const char *id)
{
    struct port *p = find_port(b, id);
    if (!p)
        return false;
    struct virtio_console *d = p->device;
    remove_port(p);
    flush_control(d);
    return true;
}

void console_ports_each(struct pci_bus *b, void (*fn)(void *opaque, const char *driver, const char *id),
                        void *opaque)
{
    for (unsigned s = 0; s < PCI_SLOTS; s++) {
        if (!b->slot[s] || b->slot[s]->type != &virtio_serial.pci)
            continue;
        const struct virtio_console *d = container_of(b->slot[s], struct virtio_console, v.pci);
        for (unsigned i = 0; i < d->max_ports; i++)
            if (d->port[i] && d->port[i]->id)
                fn(opaque, d->port[i]->console ? console_port : serial_port, d->port[i]->id);
    }
}

/* ---- the device ---- */

static void console_reset(struct virtio_device *v)
{
    struct virtio_console *d = from_virtio(v);
    memset(d->wanted, 0, sizeof(d->wanted));
    for (unsigned i = 0; i < d->max_ports; i++) {
        if (!d->port[i])
            continue;
        set_guest_open(d->port[i], false);
        d->port[i]->sent = 0;
    }
}

static int console_create(struct virtio_device *v, const struct pci_place *place, struct error *e)
{
    struct virtio_console *d = from_virtio(v);
    const struct console_config c = {.max_nr_ports = d->max_ports};
    (void)e;
    d->events = place->events;
    memcpy(v->config, &c, sizeof(c));
    for (unsigned i = 0; i < 2 * (d->max_ports + 1); i++)
        virtio_add_queue(v, i == CONTROL_RX || i == CONTROL_TX ? CONTROL_QUEUE : DATA_QUEUE);
    return 0;
}

static void console_destroy(struct virtio_device *v)
{
    struct virtio_console *d = from_virtio(v);
    for (unsigned i = 0; i < d->max_ports; i++)
        if (d->port[i])
            remove_port(d->port[i]);
}

static const struct property_row console_rows[] = {{"max_ports", PROPERTY_U32,
                                                    offsetof(struct virtio_console, max_ports), "31",
                                                    "ports at most", 1, MAX_PORTS},
                                                   VIRTIO_ROWS(struct virtio_console),
                                                   {0}};

static const struct state_field console_fields[] = {STATE(struct virtio_console, wanted), {0}};
static const struct state_table console_state = {"virtio-serial", 1, console_fields};

static const struct state_field port_fields[] = {
    STATE_BOOL(struct port, guest_open), STATE(struct port, sent), {0}};
static const struct state_table port_state = {"virtio-serial-port", 1, port_fields};

static int console_parts(struct virtio_device *v, const char *instance, state_visit *visit, void *opaque)
{
    struct virtio_console *d = from_virtio(v);
    char name[48];
    int r = 0;
    for (unsigned i = 0; i < MAX_PORTS && r == 0; i++) {
        snprintf(name, sizeof(name), "%.20s port %u", instance, i);
        r = d->port[i] ? visit(opaque, &port_state, name, d->port[i]) : 0;
    }
    return r;
}

const struct virtio_type virtio_serial = {
    .pci = VIRTIO_PCI("virtio-serial", "serial ports and consoles: a bus for virtserialport", console_rows),
    .id = 3,
    .class = 0x0780,
    .features = BIT(F_MULTIPORT) | BIT(F_EMERG_WRITE),
    .config_size = sizeof(struct console_config),
    .size = sizeof(struct virtio_console),
    .create = console_create,
    .destroy = console_destroy,
    .reset = console_reset,
    .notify = console_notify,
    .config_written = config_written,
    .config_writable_from = EMERG_WR,
    .config_writable_size = 4,
    .state = &console_state,
    .parts = console_parts,
};
