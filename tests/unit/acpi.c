/* acpi.c - test of the ACPI tables and of the fixed hardware */
/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "machine/acpi/aml.h"
#include "machine/acpi/tables.h"
#include "machine/pc.h"
#include "tests/unit/device_fake.h"
#include "tests/unit/test.h"

enum { BASE = 0xe0000 };

static struct acpi_tables tables;
static u8 data[PC_ACPI_SIZE];

static u8 sum(const u8 *p, size_t len)
{
    u8 s = 0;
    while (len--)
        s = (u8)(s + *p++);
    return s;
}

static u32 get32(const u8 *p)
{
    u32 v;
    memcpy(&v, p, sizeof(v));
    return v;
}

static u64 get64(const u8 *p)
{
    u64 v;
    memcpy(&v, p, sizeof(v));
    return v;
}

/* The table of that signature that the XSDT names, or NULL. */
static const u8 *find_table(const char *signature)
{
    const u8 *xsdt = data + get64(data + 24) - BASE;
    for (u32 at = 36; at < get32(xsdt + 4); at += 8) {
        const u8 *table = data + get64(xsdt + at) - BASE;
        if (!memcmp(table, signature, 4))
            return table;
    }
    return NULL;
}

static void check_table(const u8 *table, size_t used)
{
    CHECK(table && table + get32(table + 4) <= data + used);
    CHECK_EQ(sum(table, get32(table + 4)), 0);
}

static void test_tables(unsigned cpus)
{
    const struct acpi_board board = {cpus, min(cpus, 3u), cpus + 1, 2};
    memset(data, 0xee, sizeof(data));
    acpi_build(&tables, &board);
    acpi_place(&tables, data, BASE);
    size_t used = ACPI_RSDP_SPACE + tables.size;
    CHECK(used <= PC_ACPI_SIZE);
    CHECK(!memcmp(data, "RSD PTR ", 8));
    CHECK_EQ(sum(data, 20), 0);
    CHECK_EQ(sum(data, 36), 0);
    check_table(data + get64(data + 24) - BASE, used);
    const u8 *fadt = find_table("FACP"), *madt = find_table("APIC"), *mcfg = find_table("MCFG");
    check_table(fadt, used);
    check_table(madt, used);
    check_table(mcfg, used);
    CHECK_EQ(get32(fadt + 4), 276);
    CHECK_EQ(get32(madt + 4), 44 + 8 * (cpus + 1) + 12 + 10 + 6);
    CHECK_EQ(get64(mcfg + 44), PC_ECAM);
    CHECK_EQ(get32(madt + 44 + 8 * cpus - 4), 1); /* enabled */
    CHECK_EQ(get32(madt + 44 + 8 * cpus + 4), 2); /* it may come */
    const u8 *dsdt = data + get64(fadt + 140) - BASE, *facs = data + get32(fadt + 36) - BASE;
    CHECK(!memcmp(dsdt, "DSDT", 4));
    check_table(dsdt, used);
    CHECK(!memcmp(facs, "FACS", 4));
    CHECK_EQ((uintptr_t)(facs - data) % 64, 0);
    CHECK_EQ(get32(fadt + 56), PC_PORT_PM);
    CHECK_EQ(get64(fadt + 120), PC_PORT_RESET);
}

/* What firmware does with the steps: the result is what acpi_place makes, where the files stand so. */
static void test_loader(void)
{
    static u8 steps[ACPI_LOADER_MAX], placed[PC_ACPI_SIZE];
    const struct acpi_board board = {3, 3, 3, 1};
    acpi_build(&tables, &board);
    memset(data, 0, sizeof(data));
    memset(placed, 0, sizeof(placed));
    acpi_place(&tables, placed, BASE);
    memcpy(data, tables.rsdp, sizeof(tables.rsdp));
    memcpy(data + ACPI_RSDP_SPACE, tables.data, tables.size);
    size_t size = acpi_loader(&tables, steps);
    CHECK(size % 128 == 0 && size <= sizeof(steps));
    for (const u8 *s = steps; s < steps + size; s += 128) {
        u8 *file = data + (strcmp((const char *)s + 4, ACPI_FILE_TABLES) ? 0 : ACPI_RSDP_SPACE);
        if (get32(s) == 2) {
            u64 v = 0;
            memcpy(&v, file + get32(s + 116), s[120]);
            v += BASE + (strcmp((const char *)s + 60, ACPI_FILE_TABLES) ? 0 : ACPI_RSDP_SPACE);
            memcpy(file + get32(s + 116), &v, s[120]);
        } else if (get32(s) == 3) {
            file[get32(s + 60)] -= sum(file + get32(s + 64), get32(s + 68));
        } else {
            CHECK_EQ(get32(s), 1);
        }
    }
    CHECK(!memcmp(data, placed, sizeof(data)));
}

/* PkgLength at the edges of its encodings (ACPI 6.5 section 20.2.4). */
static void test_package_length(void)
{
    static const struct {
        size_t content;
        u8 length[3];
        size_t bytes;
    } cases[] = {
        {61, {62}, 1},
        {62, {63}, 1},
        {63, {0x41, 0x04}, 2},
        {4093, {0x4f, 0xff}, 2},
        {4094, {0x81, 0x00, 0x01}, 3},
    };
    static const u8 zeros[4096];
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        struct aml a = {.data = data, .size = sizeof(data)};
        size_t begin = aml_begin_package(&a, 0);
        aml_bytes(&a, zeros, cases[i].content - 1); /* one is the count of elements */
        aml_end(&a, begin);
        CHECK_EQ(a.len, 1 + cases[i].bytes + cases[i].content);
        CHECK(!memcmp(data + begin, cases[i].length, cases[i].bytes));
    }
}

static void test_aml_values(void)
{
    static const u8 want[] = {0x00, 0x01, 0x0a, 0x02, 0x0b, 0x00, 0x01, 0x0c, 0x00, 0x00, 0x01, 0x00, 0x0e,
                              0,    0,    0,    0,    1,    0,    0,    0,    0x0c, 0x41, 0xd0, 0x05, 0x01};
    struct aml a = {.data = data, .size = sizeof(data)};
    aml_integer(&a, 0);
    aml_integer(&a, 1);
    aml_integer(&a, 2);
    aml_integer(&a, 0x100);
    aml_integer(&a, 0x10000);
    aml_integer(&a, 0x100000000);
    aml_eisa_id(&a, "PNP0501");
    CHECK_EQ(a.len, sizeof(want));
    CHECK(!memcmp(data, want, sizeof(want)));
}

static void test_power_off(void)
{
    struct fake_board *b = fake_board(&acpi_pm, PC_PORT_PM);
    u16 cnt = PC_PORT_PM + PC_PM1_CNT;
    CHECK_EQ(bus_read(&b->ports, cnt, 2), 1); /* SCI_EN */
    bus_write(&b->ports, cnt, 2, PC_SLP_TYP_S5 << 10);
    CHECK(!b->power.level);
    bus_write(&b->ports, cnt, 2, 3 << 10 | 1 << 13); /* a state that we do not have */
    CHECK(!b->power.level);
    bus_write(&b->ports, cnt, 2, PC_SLP_TYP_S5 << 10 | 1 << 13);
    CHECK(b->power.level);
    fake_board_free(b);
}

static void test_events(void)
{
    struct fake_board *b = fake_board(&acpi_pm, PC_PORT_PM);
    CHECK(!b->loop.timers);
    bus_write(&b->ports, PC_PORT_PM + 2, 2, 0x0421);
    CHECK_EQ(bus_read(&b->ports, PC_PORT_PM + 2, 2), 0x0421);
    CHECK(b->loop.timers || b->irq.level);      /* the timer's overflow is on its way */
    bus_write(&b->ports, PC_PORT_PM + 2, 1, 0); /* a byte alone */
    CHECK_EQ(bus_read(&b->ports, PC_PORT_PM, 4) >> 16, 0x0400);
    CHECK(!b->loop.timers);
    CHECK(!b->irq.level);
    fake_board_free(b);
}

static void test_timer(void)
{
    struct fake_board *b = fake_board(&acpi_pm, PC_PORT_PM);
    u64 t0 = loop_now(), ticks0 = bus_read(&b->ports, PC_PORT_PM + PC_PM_TMR, 4);
    while (loop_now() - t0 < 10000000)
        ;
    u64 ticks = bus_read(&b->ports, PC_PORT_PM + PC_PM_TMR, 4) - ticks0, ns = loop_now() - t0;
    CHECK(ticks0 < 1 << 24);
    CHECK((ticks & 0xffffff) >= 35795 && (ticks & 0xffffff) * 1000 <= ns * 3580 / 1000 + 1000);
    fake_board_free(b);
}

int main(void)
{
    test_tables(1);
    test_tables(64);
    test_loader();
    test_package_length();
    test_aml_values();
    test_power_off();
    test_events();
    test_timer();
    return TEST_DONE();
}
