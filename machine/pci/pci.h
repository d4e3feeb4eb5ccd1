/* pci.h - the PCI bus: configuration space, BARs, interrupts, and what a device on it is (PCI 3.0, PCI
 * Express 5.0) */
/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef MACHINE_PCI_PCI_H
#define MACHINE_PCI_PCI_H

#include "base/config/properties.h"
#include "machine/device.h"
#include "machine/ram.h"

enum {
    PCI_CONFIG_SIZE = 256,
    PCI_SLOTS = PC_PCI_SLOTS,
    PCI_BARS = 6,
    PCI_INTX_LINES = PC_PIRQS,
    PCI_MSIX_VECTORS = 64
};

/* Registers of configuration space (PCI 3.0 section 6.1). */
enum {
    PCI_VENDOR_ID = 0x00,
    PCI_DEVICE_ID = 0x02,
    PCI_COMMAND = 0x04,
    PCI_STATUS = 0x06,
    PCI_REVISION = 0x08,
    PCI_CLASS_PROG = 0x09,
    PCI_CLASS = 0x0a,
    PCI_HEADER_TYPE = 0x0e,
    PCI_BAR0 = 0x10,
    PCI_SUBSYSTEM_VENDOR_ID = 0x2c,
    PCI_SUBSYSTEM_ID = 0x2e,
    PCI_CAPABILITIES = 0x34,
    PCI_INTERRUPT_LINE = 0x3c,
    PCI_INTERRUPT_PIN = 0x3d,
    PCI_CAPABILITIES_START = 0x40,
};
enum {
    PCI_COMMAND_IO = 0x001,
    PCI_COMMAND_MEMORY = 0x002,
    PCI_COMMAND_MASTER = 0x004,
    PCI_COMMAND_SERR = 0x100,
    PCI_COMMAND_INTX_OFF = 0x400,
};
enum { PCI_STATUS_INTX = 0x08, PCI_STATUS_CAPABILITIES = 0x10 };
enum { PCI_CAP_VENDOR = 0x09, PCI_CAP_MSIX = 0x11 };

/* Message-signalled interrupts: who sends a message on. */
struct msi_sink {
    void (*send)(void *opaque, u64 gpa, u32 data);
    void *opaque;
};

/* An eventfd that a guest's write rings: who has the accelerator do so, or no more. false: it does not. */
struct doorbell_sink {
    bool (*set)(void *opaque, u64 gpa, int fd, bool on); /* NULL: nobody */
    void *opaque;
};

/* A register of a BAR whose writes ring fd while the guest reaches it. */
struct pci_doorbell {
    unsigned bar;
    u32 offset;
    int fd;
    u64 gpa; /* where it is; 0: nowhere now */
    struct pci_doorbell *next;
};

struct pci_bus {
    struct bus memory; /* the BARs that are decoded now; rebuilt at each change */
    struct pci_device *slot[PCI_SLOTS];
    struct irq_line intx[PCI_INTX_LINES]; /* pin A of slot n is on line pc_pci_pirq(n) */
    unsigned intx_raised[PCI_INTX_LINES];
    struct msi_sink msi;
    struct doorbell_sink doorbells;
    bool still; /* the guest is stopped: what has been rung waits for pci_bus_go */
    /* A device has been taken out; id NULL: it had none. Set by the board. */
    void (*removed)(void *opaque, const char *id);
    void *opaque;
};

/* What devices on the bus get from the board besides the bus. */
struct block_set;
struct net_set;
struct object_set;
struct pci_place {
    struct pci_bus *bus;
    const struct ram *ram;
    struct loop *loop; /* timers; its lock is held in every call to a device */
    struct block_set *blocks;
    struct net_set *nets;
    struct object_set *objects;
    struct event_sink events;
    unsigned cpus; /* that the guest has */
};

/* What a monitor can read, and perhaps write, of a device that is there. */
struct pci_device;
struct pci_property {
    const char *name, *type;                                                /* as QEMU calls them */
    json_t *(*get)(const struct pci_device *d);                             /* a new reference */
    int (*set)(struct pci_device *d, const json_t *value, struct error *e); /* NULL: cannot be written */
};

/* A kind of device, by the name that -device takes; one const descriptor in its file and one line in
 * devices.c. */
struct pci_type {
    const char *name;  /* "virtio-blk-pci" */
    const char *alias; /* "virtio-blk"; NULL: none */
    const char *help;
    const struct property_row *properties; /* its own, besides those of all PCI devices; NULL: none */
    const struct pci_property *live;       /* NULL: none; ends with a row without a name */
    /* In the state after power-on, not yet on the bus. NULL with e. p: its own properties alone. */
    struct pci_device *(*create)(const struct pci_type *type, const struct pci_place *place,
                                 const struct properties *p, struct error *e);
    void (*reset)(struct pci_device *d);   /* may free the lock meanwhile, to wait for I/O */
    void (*destroy)(struct pci_device *d); /* frees it, off the bus and after a reset */
    /* Its state besides that of all PCI devices, each part with `instance` in its name; and: it has its
     * state, or has been held, and goes on. NULL: nothing. */
    int (*parts)(struct pci_device *d, const char *instance, state_visit *visit, void *opaque);
    void (*restart)(struct pci_device *d);
};

struct pci_bar {
    u32 size; /* a power of 2, at least 4 KiB; 0: none */
    const struct bus_ops *ops;
    void *opaque;
};

struct msix_entry {
    u32 address_low, address_high, data, control;
};

struct msix {
    unsigned vectors;  /* 0: the device has none */
    unsigned position; /* of the capability */
    struct msix_entry entry[PCI_MSIX_VECTORS];
    u64 pending;
};

struct pci_device {
    const struct pci_type *type;
    char *id;       /* as -device gave it; NULL: none */
    u32 boot_index; /* its place in the order of boot; UINT32_MAX: none */
    struct pci_bus *bus;
    unsigned slot;
    bool leaving; /* it is being taken out, which may wait for its I/O */
    u8 config[PCI_CONFIG_SIZE], writable[PCI_CONFIG_SIZE], power_on[PCI_CONFIG_SIZE];
    unsigned config_end; /* of the capabilities so far */
    struct pci_bar bar[PCI_BARS];
    struct msix msix;
    struct pci_doorbell *doorbell; /* those there are; NULL: none */
    bool intx, intx_driven;        /* the device asserts its pin; and the line is raised for it */
    /* Configuration bytes have changed; after the bus has seen to its own. NULL: nobody minds. */
    void (*config_written)(struct pci_device *d, unsigned offset, unsigned size);
    /* A read of configuration bytes is about to happen. NULL: nobody minds. */
    void (*config_reading)(struct pci_device *d, unsigned offset, unsigned size);
};

/* ---- the board's side ---- */

/* gsi_line: the first of PCI_INTX_LINES inputs that are wired to the bus. */
void pci_bus_init(struct pci_bus *b, struct irq_line first_intx, struct msi_sink msi);
/* The lines go somewhere else. */
void pci_bus_set_intx(struct pci_bus *b, struct irq_line first_intx);
void pci_bus_reset(struct pci_bus *b);

/* The guest has been stopped, and goes on. */
void pci_bus_hold(struct pci_bus *b);
void pci_bus_go(struct pci_bus *b);

/* Guest accesses to configuration space: function is bus << 8 | devfn. What is not there reads as all ones.
 */
u64 pci_config_read(struct pci_bus *b, u32 function, u32 offset, unsigned size);
void pci_config_write(struct pci_bus *b, u32 function, u32 offset, unsigned size, u64 value);

/* Puts a device into a slot; -1: the first free one. 0, or -errno with e. */
int pci_plug(struct pci_bus *b, struct pci_device *d, int slot, struct error *e);
/* Takes it out. It is reset, for which the lock may be free meanwhile, and destroyed. */
void pci_unplug(struct pci_device *d);

/* By -device's id, or NULL. */
struct pci_device *pci_find(struct pci_bus *b, const char *id);

/* -device and device_add: p has `driver`, perhaps `id`, `addr` (slot, or slot.0) and `bus` (pcie.0), and the
 * device's own properties. The new device, or NULL with e. */
struct pci_device *pci_device_add(const struct pci_place *place, const struct properties *p, struct error *e);

/* devices.c: all kinds, ended by NULL; and one by name or alias. */
extern const struct pci_type *const pci_types[];
const struct pci_type *pci_type_find(const char *name);
/* -device help, or -device NAME,help. */
void pci_device_help(const char *name);

/* ---- the devices' side ---- */

struct pci_identity {
    u16 vendor, device, subsystem_vendor, subsystem;
    u16 class;
    u8 prog, revision;
};
/* The state of a struct pci_device. */
extern const struct state_table pci_state;

void pci_device_init(struct pci_device *d, const struct pci_type *type, const struct pci_identity *identity);

void pci_add_bar(struct pci_device *d, unsigned number, u32 size, const struct bus_ops *ops, void *opaque);

/* Adds a capability of `size` bytes, its two first ones among them; returns where it is. */
unsigned pci_add_capability(struct pci_device *d, u8 id, unsigned size);
void pci_add_msix(struct pci_device *d, unsigned vectors, unsigned bar);

/* The registers as after power-on. Devices call it in their reset. */
void pci_device_reset(struct pci_device *d);

/* A read or write of guest memory by the device is allowed only so (PCI 3.0 section 6.2.2). */
static inline bool pci_is_master(const struct pci_device *d)
{
    return d->config[PCI_COMMAND] & PCI_COMMAND_MASTER;
}

bool msix_enabled(const struct pci_device *d);
/* Sends vector's message, or keeps it until the guest lifts the mask. A vector that is not there is nothing.
 */
void msix_signal(struct pci_device *d, unsigned vector);
void intx_set(struct pci_device *d, bool level);

/* Where a BAR is, if it is decoded. */
static inline u64 pci_bar_gpa(const struct pci_device *d, unsigned bar)
{
    u32 v;
    __builtin_memcpy(&v, d->config + PCI_BAR0 + 4 * bar, sizeof(v));
    return v & 0xfffffff0;
}

/* b stays the device's, with bar, offset and fd set, until it is removed. */
void pci_add_doorbell(struct pci_device *d, struct pci_doorbell *b);
void pci_remove_doorbell(struct pci_device *d, struct pci_doorbell *b);

/* doorbell.c, for pci.c: after a change of what is decoded. */
void doorbells_update(struct pci_bus *bus);

/* msix.c, for pci.c. */
void msix_control_written(struct pci_device *d);

static inline void pci_put16(u8 *at, u16 v)
{
    __builtin_memcpy(at, &v, sizeof(v));
}

static inline void pci_put32(u8 *at, u32 v)
{
    __builtin_memcpy(at, &v, sizeof(v));
}

static inline u16 pci_get16(const u8 *at)
{
    u16 v;
    __builtin_memcpy(&v, at, sizeof(v));
    return v;
}

static inline u32 pci_get32(const u8 *at)
{
    u32 v;
    __builtin_memcpy(&v, at, sizeof(v));
    return v;
}

#endif
