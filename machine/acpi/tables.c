/* tables.c - the board as ACPI describes it to the guest (ACPI 6.5 chapter 5) */
/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <string.h>

#include "machine/acpi/aml.h"
#include "machine/acpi/cpus.h"
#include "machine/acpi/pci_slots.h"
#include "machine/acpi/tables.h"
#include "machine/pc.h"

enum { HEADER_SIZE = 36, HEADER_LENGTH = 4, HEADER_CHECKSUM = 9 };
enum {
    RSDP_V1_SIZE = 20,
    RSDP_CHECKSUM = 8,
    RSDP_XSDT = 24,
    RSDP_CHECKSUM_ALL = 32,
    FACS_SIZE = 64,
    FADT_SIZE = 276,
    TABLE_ALIGN = 64
};
enum { SPACE_MEMORY = 0, SPACE_IO = 1 };

/* FADT flags (table 5.10) and the PC's own (table 5.11). */
enum {
    FADT_WBINVD = 1 << 0,
    FADT_PROC_C1 = 1 << 2,
    FADT_SLP_BUTTON_ABSENT = 1 << 5,
    FADT_FIX_RTC_ABSENT = 1 << 6,
    FADT_RESET_REG_SUP = 1 << 10,
};
enum { BOOT_LEGACY_DEVICES = 1 << 0, BOOT_8042 = 1 << 1, BOOT_NO_VGA = 1 << 2, BOOT_NO_ASPM = 1 << 4 };

enum { MADT_IOAPIC = 1, MADT_OVERRIDE = 2, MADT_LAPIC_NMI = 4 };
enum { MADT_PCAT_COMPAT = 1, MPS_ACTIVE_HIGH_LEVEL = 0x0d };

/* A table starts at `begin` of the buffer; its length and checksum are filled in by table_end. */
static size_t table_begin(struct aml *a, const char *signature, u8 revision)
{
    static const u8 zeros[TABLE_ALIGN];
    aml_bytes(a, zeros, ALIGN_UP(a->len, TABLE_ALIGN) - a->len);
    size_t begin = a->len;
    aml_bytes(a, signature, 4);
    aml_u32(a, 0); /* length */
    aml_u8(a, revision);
    aml_u8(a, 0); /* checksum */
    aml_bytes(a, "LODGE ", 6);
    aml_bytes(a, "LODGEPC ", 8);
    aml_u32(a, 1);
    aml_bytes(a, "LODG", 4);
    aml_u32(a, 1);
    return begin;
}

static u8 checksum(const u8 *data, size_t len)
{
    u8 sum = 0;
    for (size_t i = 0; i < len; i++)
        sum = (u8)(sum + data[i]);
    return (u8)-sum;
}

/* Returns where the table is, as an offset from the first. */
static u32 table_end(struct acpi_tables *t, struct aml *a, size_t begin)
{
    u32 len = (u32)(a->len - begin);
    ASSERT(!a->overflow && t->tables < ACPI_TABLES);
    memcpy(a->data + begin + HEADER_LENGTH, &len, sizeof(len));
    a->data[begin + HEADER_CHECKSUM] = checksum(a->data + begin, len);
    t->table[t->tables++] = (u32)begin;
    return (u32)begin;
}

/* What stands at `at` of the buffer points to a table. */
static void add_pointer(struct acpi_tables *t, size_t at, unsigned size)
{
    ASSERT(t->pointers < ACPI_POINTERS);
    t->pointer[t->pointers++] = (struct acpi_pointer){(u32)at, size};
}

static void add_serial_ports(struct aml *a, unsigned count)
{
    for (unsigned i = 0; i < count; i++) {
        const char name[] = {'C', 'O', 'M', (char)('1' + i), 0};
        size_t device = aml_begin_device(a, name);
        aml_name(a, "_HID");
        aml_eisa_id(a, "PNP0501");
        aml_name(a, "_UID");
        aml_integer(a, i + 1);
        aml_name(a, "_CRS");
        size_t crs = aml_begin_resources(a);
        aml_io(a, pc_serial_ports[i].port, 8);
        aml_irq(a, pc_serial_ports[i].irq);
        aml_end_resources(a, crs);
        aml_end(a, device);
    }
}

/* By this a system finds the firmware configuration device (QEMU's docs/specs/fw_cfg.rst). */
static void add_fw_cfg(struct aml *a)
{
    size_t device = aml_begin_device(a, "FWCF");
    aml_name(a, "_HID");
    aml_string(a, "QEMU0002");
    aml_name(a, "_STA");
    aml_integer(a, 0x0b);
    aml_name(a, "_CRS");
    size_t crs = aml_begin_resources(a);
    aml_io(a, PC_PORT_FW_CFG, 12);
    aml_end_resources(a, crs);
    aml_end(a, device);
}

static void add_rtc(struct aml *a)
{
    size_t device = aml_begin_device(a, "RTC_");
    aml_name(a, "_HID");
    aml_eisa_id(a, "PNP0B00");
    aml_name(a, "_CRS");
    size_t crs = aml_begin_resources(a);
    aml_io(a, PC_PORT_RTC, 2);
    aml_irq(a, PC_IRQ_RTC);
    aml_end_resources(a, crs);
    aml_end(a, device);
}

/* A controller alone: without PNP0F13, nobody looks for a mouse. */
static void add_keyboard(struct aml *a)
{
    size_t device = aml_begin_device(a, "KBD_");
    aml_name(a, "_HID");
    aml_eisa_id(a, "PNP0303");
    aml_name(a, "_CRS");
    size_t crs = aml_begin_resources(a);
    aml_io(a, PC_PORT_I8042, 1);
    aml_io(a, PC_PORT_I8042 + 4, 1);
    aml_irq(a, PC_IRQ_KEYBOARD);
    aml_end_resources(a, crs);
    aml_end(a, device);
}

/* Ranges that belong to the board: an operating system trusts the ECAM window only if it is reserved here. */
static void add_board_resources(struct aml *a)
{
    size_t device = aml_begin_device(a, "MBRD");
    aml_name(a, "_HID");
    aml_eisa_id(a, "PNP0C02");
    aml_name(a, "_UID");
    aml_integer(a, 0);
    aml_name(a, "_CRS");
    size_t crs = aml_begin_resources(a);
    aml_memory32_fixed(a, PC_ECAM, PC_ECAM_SIZE);
    aml_io(a, PC_PORT_PM, PC_PM_SIZE);
    aml_end_resources(a, crs);
    aml_end(a, device);
}

/* Who gets pin A of each slot (section 6.2.13): by numbers of the IOAPIC's inputs, or the PIC's, as the
 * system has said by _PIC that it uses them. */
static void add_routes(struct aml *a, const char *name, bool apic)
{
    static const u8 pic[] = {10, 10, 11, 11}; /* as firmware routes PIRQA to D, and E to H again */
    aml_name(a, name);
    size_t table = aml_begin_package(a, PC_PCI_SLOTS);
    for (u32 slot = 0; slot < PC_PCI_SLOTS; slot++) {
        unsigned pirq = pc_pci_pirq(slot);
        size_t route = aml_begin_package(a, 4);
        aml_integer(a, slot << 16 | 0xffff);
        aml_integer(a, 0); /* pin A */
        aml_integer(a, 0);
        aml_integer(a, apic ? PC_IRQ_PCI + pirq : pic[pirq % ARRAY_SIZE(pic)]);
        aml_end(a, route);
    }
    aml_end(a, table);
}

static void add_interrupt_routing(struct aml *a)
{
    add_routes(a, "PRTP", false);
    add_routes(a, "PRTA", true);
    size_t method = aml_begin_method(a, "_PRT", 0, false);
    size_t condition = aml_begin_if(a);
    aml_path(a, "\\PICF");
    aml_op(a, AML_RETURN);
    aml_path(a, "PRTA");
    aml_end(a, condition);
    aml_op(a, AML_RETURN);
    aml_path(a, "PRTP");
    aml_end(a, method);
}

/* \_PIC: the system tells which it uses. */
static void add_pic(struct aml *a)
{
    aml_name(a, "PICF");
    aml_integer(a, 0);
    size_t method = aml_begin_method(a, "_PIC", 1, false);
    aml_op(a, AML_STORE);
    aml_op(a, AML_ARG0);
    aml_path(a, "PICF");
    aml_end(a, method);
}

static void add_pci_host(struct aml *a)
{
    size_t device = aml_begin_device(a, "PCI0");
    aml_name(a, "_HID");
    aml_eisa_id(a, "PNP0A08");
    aml_name(a, "_CID");
    aml_eisa_id(a, "PNP0A03");
    aml_name(a, "_UID");
    aml_integer(a, 0);
    aml_name(a, "_CRS");
    size_t crs = aml_begin_resources(a);
    aml_bus_range(a, 0, 0xff);
    aml_io(a, PC_PORT_PCI, 8);
    aml_io_window(a, 0, PC_PORT_PCI - 1);
    aml_io_window(a, PC_PORT_PCI + 8, 0xffff);
    aml_memory_window(a, PC_PCI_MMIO, PC_IOAPIC - 1);
    aml_end_resources(a, crs);
    add_interrupt_routing(a);
    acpi_add_pci_slots(a);
    aml_end(a, device);
}

/* \_S5: what to write into SLP_TYP to power off (section 7.4.2.6). */
static void add_s5(struct aml *a)
{
    aml_name(a, "_S5_");
    size_t package = aml_begin_package(a, 4);
    aml_integer(a, PC_SLP_TYP_S5);
    aml_integer(a, PC_SLP_TYP_S5);
    aml_integer(a, 0);
    aml_integer(a, 0);
    aml_end(a, package);
}

static u32 build_dsdt(struct acpi_tables *t, struct aml *a, const struct acpi_board *b)
{
    size_t table = table_begin(a, "DSDT", 2);
    add_s5(a);
    add_pic(a);
    size_t scope = aml_begin_scope(a, "\\_SB_");
    acpi_add_cpus(a, b);
    add_pci_host(a);
    add_board_resources(a);
    add_serial_ports(a, b->serial_ports);
    add_rtc(a);
    add_keyboard(a);
    add_fw_cfg(a);
    aml_end(a, scope);
    acpi_add_hotplug_event(a);
    acpi_add_cpu_event(a, b);
    return table_end(t, a, table);
}

/* Firmware ACPI Control Structure (section 5.2.10): no checksum, 64-byte aligned. */
static u32 build_facs(struct aml *a)
{
    static const u8 zeros[TABLE_ALIGN];
    aml_bytes(a, zeros, ALIGN_UP(a->len, TABLE_ALIGN) - a->len);
    size_t begin = a->len;
    aml_bytes(a, "FACS", 4);
    aml_u32(a, FACS_SIZE);
    aml_bytes(a, zeros, 24);
    aml_u8(a, 2); /* version */
    aml_bytes(a, zeros, FACS_SIZE - 33);
    return (u32)begin;
}

/* Generic Address Structure (section 5.2.3.2). */
struct gas {
    u8 space, bits, offset, access;
    u64 address;
} __attribute__((packed));

static struct gas io_register(u16 port, u8 bytes)
{
    u8 access = bytes == 1 ? 1 : bytes == 2 ? 2 : 3;
    return (struct gas){SPACE_IO, (u8)(8 * bytes), 0, access, port};
}

/* The body of the FADT after the header, in the order of table 5.9. */
struct fadt {
    u32 firmware_ctrl, dsdt;
    u8 reserved0, preferred_pm_profile;
    u16 sci_int;
    u32 smi_cmd;
    u8 acpi_enable, acpi_disable, s4bios_req, pstate_cnt;
    u32 pm1a_evt_blk, pm1b_evt_blk, pm1a_cnt_blk, pm1b_cnt_blk, pm2_cnt_blk, pm_tmr_blk, gpe0_blk, gpe1_blk;
    u8 pm1_evt_len, pm1_cnt_len, pm2_cnt_len, pm_tmr_len, gpe0_blk_len, gpe1_blk_len, gpe1_base, cst_cnt;
    u16 p_lvl2_lat, p_lvl3_lat, flush_size, flush_stride;
    u8 duty_offset, duty_width, day_alrm, mon_alrm, century;
    u16 iapc_boot_arch;
    u8 reserved1;
    u32 flags;
    struct gas reset_reg;
    u8 reset_value;
    u16 arm_boot_arch;
    u8 minor_version;
    u64 x_firmware_ctrl, x_dsdt;
    struct gas x_pm1a_evt_blk, x_pm1b_evt_blk, x_pm1a_cnt_blk, x_pm1b_cnt_blk, x_pm2_cnt_blk, x_pm_tmr_blk,
        x_gpe0_blk, x_gpe1_blk, sleep_control_reg, sleep_status_reg;
    u64 hypervisor_vendor;
} __attribute__((packed));
_Static_assert(HEADER_SIZE + sizeof(struct fadt) == FADT_SIZE, "the FADT of revision 6");

/* No SMI command port: the board is in ACPI mode from the start, SCI_EN reads as 1 (section 4.8.2.5). */
static u32 build_fadt(struct acpi_tables *t, struct aml *a, u32 facs, u32 dsdt)
{
    const struct fadt f = {
        .firmware_ctrl = facs,
        .dsdt = dsdt,
        .x_dsdt = dsdt,
        .preferred_pm_profile = 4, /* enterprise server */
        .sci_int = PC_IRQ_SCI,
        .pm1a_evt_blk = PC_PORT_PM + PC_PM1_EVT,
        .pm1a_cnt_blk = PC_PORT_PM + PC_PM1_CNT,
        .pm_tmr_blk = PC_PORT_PM + PC_PM_TMR,
        .gpe0_blk = PC_PORT_PM + PC_GPE0,
        .pm1_evt_len = PC_PM1_EVT_SIZE,
        .pm1_cnt_len = PC_PM1_CNT_SIZE,
        .pm_tmr_len = PC_PM_TMR_SIZE,
        .gpe0_blk_len = PC_GPE0_SIZE,
        .p_lvl2_lat = 0xfff, /* above 100 and 1000: no C2, no C3 */
        .p_lvl3_lat = 0xfff,
        .century = PC_CMOS_CENTURY,
        .iapc_boot_arch = BOOT_LEGACY_DEVICES | BOOT_8042 | BOOT_NO_VGA | BOOT_NO_ASPM,
        .flags =
            FADT_WBINVD | FADT_PROC_C1 | FADT_SLP_BUTTON_ABSENT | FADT_FIX_RTC_ABSENT | FADT_RESET_REG_SUP,
        .reset_reg = io_register(PC_PORT_RESET, 1),
        .reset_value = PC_RESET_VALUE,
        .minor_version = 5,
        .x_pm1a_evt_blk = io_register(PC_PORT_PM + PC_PM1_EVT, PC_PM1_EVT_SIZE),
        .x_pm1a_cnt_blk = io_register(PC_PORT_PM + PC_PM1_CNT, PC_PM1_CNT_SIZE),
        .x_pm_tmr_blk = io_register(PC_PORT_PM + PC_PM_TMR, PC_PM_TMR_SIZE),
        .x_gpe0_blk = io_register(PC_PORT_PM + PC_GPE0, PC_GPE0_SIZE),
    };
    size_t table = table_begin(a, "FACP", 6), body = table + HEADER_SIZE;
    aml_bytes(a, &f, sizeof(f));
    add_pointer(t, body + offsetof(struct fadt, firmware_ctrl), 4);
    add_pointer(t, body + offsetof(struct fadt, dsdt), 4);
    add_pointer(t, body + offsetof(struct fadt, x_dsdt), 8);
    return table_end(t, a, table);
}

/* Multiple APIC Description Table (section 5.2.12). ISA interrupts arrive at the inputs of their own number.
 */
static u32 build_madt(struct acpi_tables *t, struct aml *a, const struct acpi_board *b)
{
    size_t table = table_begin(a, "APIC", 5);
    aml_u32(a, PC_LAPIC);
    aml_u32(a, MADT_PCAT_COMPAT);
    for (unsigned i = 0; i < b->max_cpus; i++) {
        u8 entry[MADT_LAPIC_SIZE];
        acpi_lapic_entry(entry, i, i < b->cpus ? MADT_ENABLED : MADT_ONLINE_CAPABLE);
        aml_bytes(a, entry, sizeof(entry));
    }
    aml_bytes(a, (const u8[]){MADT_IOAPIC, 12, PC_IOAPIC_ID, 0}, 4);
    aml_u32(a, PC_IOAPIC);
    aml_u32(a, 0); /* its first global interrupt */
    aml_bytes(a, (const u8[]){MADT_OVERRIDE, 10, 0, PC_IRQ_SCI}, 4);
    aml_u32(a, PC_IRQ_SCI);
    aml_u16(a, MPS_ACTIVE_HIGH_LEVEL);
    aml_bytes(a, (const u8[]){MADT_LAPIC_NMI, 6, 0xff, 0, 0, 1}, 6); /* all processors, LINT1 */
    return table_end(t, a, table);
}

/* PCI Firmware 3.2 section 4.1.2: segment 0, buses 0 to 255. */
static u32 build_mcfg(struct acpi_tables *t, struct aml *a)
{
    size_t table = table_begin(a, "MCFG", 1);
    aml_u64(a, 0);
    aml_u64(a, PC_ECAM);
    aml_u16(a, 0);
    aml_u8(a, 0);
    aml_u8(a, 0xff);
    aml_u32(a, 0);
    return table_end(t, a, table);
}

static u32 build_xsdt(struct acpi_tables *t, struct aml *a, const u32 *tables, unsigned count)
{
    size_t table = table_begin(a, "XSDT", 1);
    for (unsigned i = 0; i < count; i++) {
        add_pointer(t, a->len, 8);
        aml_u64(a, tables[i]);
    }
    return table_end(t, a, table);
}

static void complete_rsdp(u8 rsdp[ACPI_RSDP_SIZE])
{
    rsdp[RSDP_CHECKSUM] = rsdp[RSDP_CHECKSUM_ALL] = 0;
    rsdp[RSDP_CHECKSUM] = checksum(rsdp, RSDP_V1_SIZE);
    rsdp[RSDP_CHECKSUM_ALL] = checksum(rsdp, ACPI_RSDP_SIZE);
}

/* Root System Description Pointer (section 5.2.5.3), revision 2: no RSDT. */
static void build_rsdp(struct acpi_tables *t, u64 xsdt)
{
    struct aml a = {.data = t->rsdp, .size = ACPI_RSDP_SIZE};
    aml_bytes(&a, "RSD PTR ", 8);
    aml_u8(&a, 0);
    aml_bytes(&a, "LODGE ", 6);
    aml_u8(&a, 2);
    aml_u32(&a, 0);
    aml_u32(&a, ACPI_RSDP_SIZE);
    aml_u64(&a, xsdt);
    aml_u32(&a, 0); /* extended checksum, reserved */
    complete_rsdp(t->rsdp);
}

void acpi_build(struct acpi_tables *t, const struct acpi_board *b)
{
    struct aml a = {.data = t->data, .size = sizeof(t->data)};
    t->pointers = t->tables = 0;
    u32 dsdt = build_dsdt(t, &a, b);
    u32 facs = build_facs(&a);
    const u32 tables[] = {build_fadt(t, &a, facs, dsdt), build_madt(t, &a, b), build_mcfg(t, &a)};
    build_rsdp(t, build_xsdt(t, &a, tables, ARRAY_SIZE(tables)));
    t->size = a.len;
}

/* ---- where they go ---- */

static u32 table_length(const u8 *table)
{
    u32 len;
    memcpy(&len, table + HEADER_LENGTH, sizeof(len));
    return len;
}

static void relocate(u8 *at, unsigned size, u64 base)
{
    u64 v = 0;
    memcpy(&v, at, size);
    v += base;
    memcpy(at, &v, size);
}

void acpi_place(const struct acpi_tables *t, u8 *to, u64 base)
{
    u8 *data = to + ACPI_RSDP_SPACE;
    memcpy(to, t->rsdp, sizeof(t->rsdp));
    memcpy(data, t->data, t->size);
    relocate(to + RSDP_XSDT, 8, base + ACPI_RSDP_SPACE);
    complete_rsdp(to);
    for (unsigned i = 0; i < t->pointers; i++)
        relocate(data + t->pointer[i].at, t->pointer[i].size, base + ACPI_RSDP_SPACE);
    for (unsigned i = 0; i < t->tables; i++) {
        u8 *table = data + t->table[i];
        table[HEADER_CHECKSUM] += checksum(table, table_length(table));
    }
}

/* A step of the loader: little-endian, 128 bytes. */
enum { LOADER_ALLOCATE = 1, LOADER_ADD_POINTER = 2, LOADER_ADD_CHECKSUM = 3, ZONE_HIGH = 1, ZONE_FSEG = 2 };
struct loader_step {
    u32 command;
    union {
        struct {
            char file[56];
            u32 align;
            u8 zone;
        } __attribute__((packed)) allocate;
        struct {
            char file[56], target[56];
            u32 offset;
            u8 size;
        } __attribute__((packed)) pointer;
        struct {
            char file[56];
            u32 offset, start, length;
        } __attribute__((packed)) sum;
        u8 room[124];
    };
} __attribute__((packed));
_Static_assert(sizeof(struct loader_step) == 128, "QEMU's hw/acpi/bios-linker-loader.c");

static struct loader_step step_pointer(const char *file, u32 offset, u32 size)
{
    struct loader_step s = {LOADER_ADD_POINTER,
                            .pointer = {.target = ACPI_FILE_TABLES, .offset = offset, .size = (u8)size}};
    strcpy(s.pointer.file, file);
    return s;
}

static struct loader_step step_sum(const char *file, u32 offset, u32 start, u32 length)
{
    struct loader_step s = {LOADER_ADD_CHECKSUM, .sum = {.offset = offset, .start = start, .length = length}};
    strcpy(s.sum.file, file);
    return s;
}

/* Sums are made after all pointers; each is added to what stands there, which is right for unmoved tables. */
size_t acpi_loader(const struct acpi_tables *t, u8 to[ACPI_LOADER_MAX])
{
    struct loader_step steps[ACPI_LOADER_MAX / sizeof(struct loader_step)];
    unsigned n = 0;
    steps[n++] = (struct loader_step){LOADER_ALLOCATE,
                                      .allocate = {.file = ACPI_FILE_RSDP, .align = 16, .zone = ZONE_FSEG}};
    steps[n++] = (struct loader_step){
        LOADER_ALLOCATE, .allocate = {.file = ACPI_FILE_TABLES, .align = TABLE_ALIGN, .zone = ZONE_HIGH}};
    for (unsigned i = 0; i < t->pointers; i++)
        steps[n++] = step_pointer(ACPI_FILE_TABLES, t->pointer[i].at, t->pointer[i].size);
    steps[n++] = step_pointer(ACPI_FILE_RSDP, RSDP_XSDT, 8);
    for (unsigned i = 0; i < t->tables; i++)
        steps[n++] = step_sum(ACPI_FILE_TABLES, t->table[i] + HEADER_CHECKSUM, t->table[i],
                              table_length(t->data + t->table[i]));
    steps[n++] = step_sum(ACPI_FILE_RSDP, RSDP_CHECKSUM, 0, RSDP_V1_SIZE);
    steps[n++] = step_sum(ACPI_FILE_RSDP, RSDP_CHECKSUM_ALL, 0, ACPI_RSDP_SIZE);
    memcpy(to, steps, n * sizeof(steps[0]));
    return n * sizeof(steps[0]);
}
