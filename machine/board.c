/* board.c - the PC board: what is on it, and where */
/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <errno.h>
#include <stdio.h>

#include "machine/machine.h"
#include "machine/pc.h"

/* Wires of the board. */

static void set_gsi(void *opaque, unsigned gsi, bool level)
{
    struct machine *m = opaque;
    struct kvm_irq_level l = {.irq = gsi, .level = level};
    m->kvm->ioctl(m->vm_fd, KVM_IRQ_LINE, (unsigned long)&l);
}

static void set_reset(void *opaque, unsigned number, bool level)
{
    (void)number;
    if (level)
        machine_request_reset(opaque, "guest-reset");
}

static void set_power(void *opaque, unsigned number, bool level)
{
    (void)number;
    if (level)
        machine_request_power_off(opaque, "guest-shutdown");
}

static void set_shadow(void *opaque, const u8 *pam)
{
    struct machine *m = opaque;
    slots_set_pam(&m->slots, pam);
    if (*m->slots.error.text)
        machine_end(m, 1, "guest died: %s", m->slots.error.text);
}

static void set_event(void *opaque, unsigned gpe, bool level)
{
    struct machine *m = opaque;
    if (level)
        acpi_pm_event(m->pm, gpe);
}

static int plug_with(struct machine *m, const struct device_type *type, u16 port, unsigned irq,
                     struct chardev *c, struct error *e)
{
    const struct device_place place = {
        .ports = &m->ports,
        .mmio = &m->mmio,
        .port = port,
        .irq = {.set = set_gsi, .opaque = m, .number = irq},
        .reset = {.set = set_reset, .opaque = m},
        .power = {.set = set_power, .opaque = m},
        .event = {.set = set_event, .opaque = m, .number = PC_GPE_PCI_HOTPLUG},
        .cpu_event = {.set = set_event, .opaque = m, .number = PC_GPE_CPU_HOTPLUG},
        .cpus = processor_sink(m),
        .loop = &m->loop,
        .chardev = c,
        .pci = &m->pci,
        .fw_cfg = &m->fw_cfg,
        .shadow = {set_shadow, m},
        .isa = m->isa,
        .firmware = m->boot.firmware.host,
    };
    struct device *d = type->create(&place);
    if (!d)
        return error_set(e, ENOMEM, "no memory for the device %s", type->name);
    ASSERT(m->device_count < MACHINE_MAX_DEVICES);
    m->device[m->device_count++] = d;
    return 0;
}

static int plug(struct machine *m, const struct device_type *type, u16 port, unsigned irq, struct error *e)
{
    return plug_with(m, type, port, irq, NULL, e);
}

/* As many as the configuration has, where a PC has them. */
static int plug_serial_ports(struct machine *m, struct error *e)
{
    _Static_assert(SERIAL_MAX <= ARRAY_SIZE(pc_serial_ports), "places for all");
    int r = 0;
    for (unsigned i = 0; i < m->chardevs.serial_count && r == 0; i++)
        r = plug_with(m, &serial_16550, pc_serial_ports[i].port, pc_serial_ports[i].irq,
                      m->chardevs.serial[i], e);
    return r;
}

/* The chips that KVM runs: two 8259A, the IOAPIC, the 8254 with port 0x61; the processors bring their local
 * APICs. */
static int create_chips(struct machine *m, struct error *e)
{
    struct kvm_pit_config pit = {.flags = KVM_PIT_SPEAKER_DUMMY};
    u64 identity_map = PC_IDENTITY_MAP;
    int r = kvm_call(m->kvm, m->vm_fd, KVM_SET_IDENTITY_MAP_ADDR, &identity_map, e);
    if (r < 0 || (r = kvm_call(m->kvm, m->vm_fd, KVM_SET_TSS_ADDR, PC_TSS, e)) < 0 ||
        (r = kvm_call(m->kvm, m->vm_fd, KVM_CREATE_IRQCHIP, 0, e)) < 0 ||
        (r = kvm_call(m->kvm, m->vm_fd, KVM_CREATE_PIT2, &pit, e)) < 0)
        return r;
    for (u32 i = 0; i < ARRAY_SIZE(m->chips.irqchip) && r >= 0; i++) {
        m->chips.irqchip[i].chip_id = i;
        r = kvm_call(m->kvm, m->vm_fd, KVM_GET_IRQCHIP, &m->chips.irqchip[i], e);
    }
    return r < 0 ? r : kvm_call(m->kvm, m->vm_fd, KVM_GET_PIT2, &m->chips.pit, e);
}

/* One that the board has more to do with. */
static int plug_known(struct machine *m, struct device **known, const struct device_type *type, u16 port,
                      unsigned irq, struct error *e)
{
    int r = plug(m, type, port, irq, e);
    *known = r == 0 ? m->device[m->device_count - 1] : NULL;
    return r;
}

static void send_msi(void *opaque, u64 gpa, u32 data)
{
    struct machine *m = opaque;
    struct kvm_msi msi = {.address_lo = (u32)gpa, .address_hi = (u32)(gpa >> 32), .data = data};
    m->kvm->ioctl(m->vm_fd, KVM_SIGNAL_MSI, (unsigned long)&msi);
}

/* No datamatch: each queue has an address of its own (VIRTIO 1.2 section 4.1.5.2). */
static bool set_doorbell(void *opaque, u64 gpa, int fd, bool on)
{
    struct machine *m = opaque;
    bool any_length = m->kvm->ioctl(m->vm_fd, KVM_CHECK_EXTENSION, KVM_CAP_IOEVENTFD_ANY_LENGTH) > 0;
    struct kvm_ioeventfd k = {
        .addr = gpa, .len = any_length ? 0 : 2, .fd = fd, .flags = on ? 0 : KVM_IOEVENTFD_FLAG_DEASSIGN};
    return m->kvm->ioctl(m->vm_fd, KVM_IOEVENTFD, (unsigned long)&k) == 0;
}

static void device_removed(void *opaque, const char *id)
{
    char path[160];
    snprintf(path, sizeof(path), "/machine/peripheral/%s", id ? id : "");
    if (id)
        monitor_event(opaque, "DEVICE_DELETED", json_pack("{s:s,s:s}", "device", id, "path", path));
}

static void create_pci(struct machine *m)
{
    const struct irq_line first = {.set = set_gsi, .opaque = m, .number = PC_IRQ_PCI};
    pci_bus_init(&m->pci, first, (struct msi_sink){send_msi, m});
    m->pci.doorbells = (struct doorbell_sink){set_doorbell, m};
    m->pci.removed = device_removed;
    m->pci.opaque = m;
    for (unsigned i = 0; i < ARRAY_SIZE(m->isa); i++)
        m->isa[i] = (struct irq_line){.set = set_gsi, .opaque = m, .number = i};
}

static void send_event(void *opaque, const char *name, json_t *data)
{
    monitor_event(opaque, name, data);
}

struct pci_place board_pci_place(struct machine *m)
{
    return (struct pci_place){
        .bus = &m->pci,
        .ram = &m->ram,
        .loop = &m->loop,
        .blocks = &m->blocks,
        .cpus = m->config->smp.cpus,
        .nets = &m->nets,
        .objects = &m->objects,
        .events = {send_event, m},
    };
}

static int create_vm(struct machine *m, struct error *e)
{
    m->vm_fd = kvm_call(m->kvm, m->sys_fd, KVM_CREATE_VM, 0, e);
    if (m->vm_fd >= 0 && m->kvm->writes) {
        m->ram.writes = m->kvm->writes(m->vm_fd);
        m->ram.wrote = m->kvm->wrote;
    }
    return m->vm_fd;
}

int board_create(struct machine *m, struct error *e)
{
    struct slots *slots = &m->slots;
    int r;
    create_pci(m);
    if ((r = m->sys_fd = kvm_open(m->kvm, e)) < 0 || (r = create_vm(m, e)) < 0 ||

        (r = slots_create(slots, m->kvm, m->vm_fd, &m->ram, m->boot.firmware, e)) < 0 ||

        (r = create_chips(m, e)) < 0 || (r = processors_create(m, e)) < 0 ||

        (r = plug_serial_ports(m, e)) < 0 ||
        (r = plug_known(m, &m->rtc, &rtc_mc146818, PC_PORT_RTC, PC_IRQ_RTC, e)) < 0 ||
        (r = plug(m, &i8042, PC_PORT_I8042, PC_IRQ_KEYBOARD, e)) < 0 ||
        (r = plug_known(m, &m->pm, &acpi_pm, PC_PORT_PM, PC_IRQ_SCI, e)) < 0 ||
        (r = plug(m, &pci_host, PC_PORT_PCI, 0, e)) < 0 || (r = plug(m, &lpc_ich9, 0, PC_IRQ_PCI, e)) < 0 ||
        (r = plug(m, &fw_cfg_device, PC_PORT_FW_CFG, 0, e)) < 0 ||
        (r = plug_known(m, &m->hotplug, &pci_hotplug, PC_PORT_PCI_HOTPLUG, 0, e)) < 0 ||
        (r = plug_known(m, &m->cpu_slots, &cpu_hotplug, PC_PORT_CPU_HOTPLUG, 0, e)) < 0)
        return r;
    return 0;
}

int board_reset(struct machine *m, struct error *e)
{
    int r = 0;
    for (unsigned i = 0; i < m->device_count; i++)
        m->device[i]->type->reset(m->device[i]);
    for (size_t i = 0; i < ARRAY_SIZE(m->chips.irqchip) && r >= 0; i++)
        r = kvm_call(m->kvm, m->vm_fd, KVM_SET_IRQCHIP, &m->chips.irqchip[i], e);
    return r < 0 ? r : kvm_call(m->kvm, m->vm_fd, KVM_SET_PIT2, &m->chips.pit, e);
}
