/* board.c - fuzzes what a guest can touch of the board, and saved states that lie (libFuzzer) */
/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A machine on a KVM that does nothing. An input is a number of changes to a good saved state, which is then
 * loaded, and what a guest does afterwards: reads and writes of ports, of devices' registers in memory, and
 * of memory itself; devices that come and go; resets. Nothing may crash, assert or read what is not there,
 * which the sanitizers see.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/config/options.h"
#include "machine/machine.h"
#include "machine/plug.h"
#include "machine/state/machine_state.h"

static int fake_ioctl(int fd, unsigned long request, unsigned long arg)
{
    (void)fd;
    switch (request) {
    case KVM_GET_API_VERSION: return KVM_API_VERSION;
    case KVM_CHECK_EXTENSION: return 1;
    case KVM_CREATE_VM: return 1000;
    case KVM_GET_VCPU_MMAP_SIZE: return 4096;
    case KVM_CREATE_VCPU: {
        int memory = memfd_create("vcpu", MFD_CLOEXEC);
        return ftruncate(memory, 4096) == 0 ? memory : -1;
    }
    case KVM_GET_DIRTY_LOG:
    case KVM_GET_MSRS: return 0;
    default: (void)arg; return 0;
    }
}

static int fake_open(void)
{
    return 1001;
}

static const struct kvm_api fake_kvm = {
    .name = "fake", .open = fake_open, .ioctl = fake_ioctl, .close = close};

static struct machine *machine;
static struct vm_config config;
static struct terminal terminal;
static struct state_buffer good; /* a stream without memory */

static void nothing(void *opaque)
{
    (void)opaque;
}

static const char *const devices[] = {"virtio-rng-pci,id=rng,addr=3", "virtio-serial-pci,id=ports,addr=4",
                                      "virtio-balloon-pci,id=balloon,addr=5",
                                      "virtio-net-pci,netdev=n,id=net,addr=6"};

/* Those that have gone come back. */
static void plug_missing(void)
{
    struct properties p;
    struct error e;
    for (size_t i = 0; i < ARRAY_SIZE(devices); i++)
        if (!machine->pci.slot[3 + i] && properties_parse(&p, devices[i], "driver", "-device", &e) == 0) {
            if (plug_add(machine, PLUG_DEVICE, &p, &e) < 0)
                abort();
            properties_free(&p);
        }
}

static void must(int r, const struct error *e)
{
    if (r >= 0)
        return;
    report("%s", e->text);
    abort();
}

/* As machine_create, with the KVM above. */
static void create(void)
{
    char *argv[] = {
        "lodge-vm", "-m", "2", "-nodefaults", "-serial", "null", "-netdev", "user,id=n,restrict=on", NULL};
    struct machine *m = machine = calloc(1, sizeof(*m));
    struct channel sink = {.fd = -1, .sink = &good};
    struct boot_entry entry = {0};
    struct error e;
    must(options_parse(&config, (int)ARRAY_SIZE(argv) - 1, argv, &e), &e);
    *m = (struct machine){.config = &config, .kvm = &fake_kvm, .stopped = true, .frozen = true};
    m->chardevs = (struct chardevs){.loop = &m->loop, .terminal = &terminal, .host = {m, nothing, nothing}};
    migration_init(&m->migration);
    pthread_cond_init(&m->changed, NULL);
    must(loop_init(&m->loop), &e);
    must(cpu_model_parse(&m->cpu, config.cpu, &e), &e);
    must(ram_create(&m->ram, config.memory, &e), &e);
    must(chardevs_create(&m->chardevs, &config, &e), &e);
    must(board_create(m, &e), &e);
    m->blocks = (struct block_set){.loop = &m->loop, .quiet = PTHREAD_COND_INITIALIZER};
    m->nets = (struct net_set){.loop = &m->loop};
    m->objects = (struct object_set){.place = {.nets = &m->nets}};
    loop_lock(&m->loop);
    must(plug_all(m, &e), &e);
    plug_missing();
    m->fw_cfg.ram = &m->ram;
    struct firmware_board board = {.config = &config, .ram = &m->ram, .pci = &m->pci, .cpus = 1};
    must(firmware_describe(&m->fw_cfg, &board, &e), &e);
    must(board_reset(m, &e), &e);
    must(vcpu_reset(&m->vcpu[0], &entry, &e), &e);
    must(stream_write_header(&sink, m), &e);
    must(machine_state_save(m, &good, &e), &e);
    state_put(&good, "E", 1);
    loop_unlock(&m->loop);
}

/* ---- the input ---- */

struct input {
    const u8 *data;
    size_t left;
};

static u64 take(struct input *in, unsigned bytes)
{
    u64 v = 0;
    unsigned n = (unsigned)min((size_t)bytes, in->left);
    memcpy(&v, in->data, n);
    in->data += n;
    in->left -= n;
    return v;
}

/* The good state with `changes` bytes changed, perhaps cut off. false: it has been refused. */
static bool load_state(struct input *in, unsigned changes)
{
    static struct state_parts parts;
    struct channel c = {.fd = memfd_create("state", MFD_CLOEXEC)};
    struct error e;
    u8 *bad = malloc(good.size);
    memcpy(bad, good.data, good.size);
    for (unsigned i = 0; i < changes; i++) {
        size_t at = take(in, 2) % good.size;
        bad[at] = (u8)take(in, 1);
    }
    size_t size = changes > 200 ? take(in, 2) % good.size : good.size;
    if (write(c.fd, bad, size) != (ssize_t)size || lseek(c.fd, 0, SEEK_SET) != 0)
        abort();
    free(bad);
    int r = stream_read(&c, machine, &parts, &e);
    if (r == 0)
        r = machine_state_load(machine, &parts, &e);
    state_parts_free(&parts);
    close(c.fd);
    return r == 0;
}

/* Where something is. */
static const u16 ports[] = {0x510, 0x511, 0x514, 0x518, 0xae00, 0xae04, 0xae08, 0xae10, 0xcf8, 0xcf9,
                            0xcfc, 0x600, 0x602, 0x604, 0x608,  0x620,  0x628,  0x630,  0x70,  0x71,
                            0x60,  0x64,  0x92,  0x3f8, 0x3f9,  0x3fa,  0x3fb,  0x3fc,  0x3fd};

static u64 pick_port(struct input *in)
{
    u8 n = (u8)take(in, 1);
    return n < 0xf0 ? (u64)ports[n % ARRAY_SIZE(ports)] + (n >= 0x80 ? n % 4 : 0) : take(in, 2);
}

/* Configuration space by ECAM, and the window where BARs are: those that a slot has, or anywhere. */
static u64 pick_register(struct input *in)
{
    u8 kind = (u8)take(in, 1);
    u32 offset = (u32)take(in, 2);
    if (kind < 0x60)
        return PC_ECAM + (u64)(kind % 32) * 0x8000 + offset % 0x110;
    const struct pci_device *d = machine->pci.slot[kind % 8];
    if (kind < 0xf0 && d)
        return (pci_get32(d->config + PCI_BAR0 + 4 * (kind & 0x10 ? 1 : 4)) & ~15u) + offset;
    return PC_PCI_MMIO + (u64)offset * 0x1000;
}

static void step(struct input *in)
{
    struct machine *m = machine;
    u8 op = (u8)take(in, 1);
    unsigned size = 1u << (op >> 4 & 3);
    struct error e;
    switch (op & 15) {
    case 0:
    case 1: bus_read(&m->ports, pick_port(in), min(size, 4u)); break;
    case 2:
    case 3:
    case 4: {
        u64 port = pick_port(in);
        bus_write(&m->ports, port, min(size, 4u), take(in, 4));
        break;
    }
    case 5: bus_read(&m->mmio, pick_register(in), size); break;
    case 6:
    case 7:
    case 8:
    case 9: {
        u64 gpa = pick_register(in);
        bus_write(&m->mmio, gpa, size, take(in, size));
        break;
    }
    case 10:
    case 11: {
        u64 at = take(in, 2) * 8 % (m->ram.size - 64);
        for (unsigned i = 0; i < size; i++, at += 8) {
            u64 v = take(in, 3);
            memcpy(m->ram.host + at, &v, 8);
        }
        break;
    }
    case 12:
        plug_remove(m, PLUG_DEVICE, (const char *[]){"rng", "ports", "balloon", "net"}[size % 4], &e);
        break;
    case 13: plug_missing(); break;
    case 14:
        if (board_reset(m, &e) < 0)
            abort();
        break;
    default: break;
    }
}

static void start_over(void)
{
    struct error e;
    machine->ended = machine->reset_wanted = machine->pause = machine->loop.stopped = false;
    machine->state = RUN_RUNNING;
    plug_missing();
    must(board_reset(machine, &e), &e);
}

int LLVMFuzzerTestOneInput(const u8 *data, size_t size);
int LLVMFuzzerTestOneInput(const u8 *data, size_t size)
{
    struct input in = {data, size};
    if (!machine)
        create();
    loop_lock(&machine->loop);
    start_over();
    unsigned changes = (unsigned)take(&in, 1);
    if (changes && !load_state(&in, changes))
        start_over();
    while (in.left)
        step(&in);
    loop_unlock(&machine->loop);
    return 0;
}
