/* smbios.c - what the machine says of itself to a system's inventory (DMTF DSP0134, SMBIOS 2.8) */
/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/version.h"
#include "machine/boot/smbios.h"

/* A structure is a formatted part, and the strings to which it refers by number (section 6.1). */
struct builder {
    struct smbios *smbios;
    size_t begin;     /* of the structure */
    unsigned strings; /* how many it has */
    u16 count, largest;
    char text[1024]; /* its strings so far, each with its 0 */
    size_t text_size;
    bool overflow;
};

static void put_bytes(struct builder *b, const void *bytes, size_t n)
{
    if (n > sizeof(b->smbios->data) - b->smbios->size) {
        b->overflow = true;
        return;
    }
    memcpy(b->smbios->data + b->smbios->size, bytes, n);
    b->smbios->size += n;
}

static void put(struct builder *b, u64 value, unsigned bytes)
{
    put_bytes(b, &value, bytes);
}

/* A string's number; 0: there is none. */
static unsigned add_string(struct builder *b, const char *s)
{
    size_t n = s ? strlen(s) + 1 : 0;
    if (n < 2)
        return 0;
    if (n > sizeof(b->text) - b->text_size || b->strings == 255) {
        b->overflow = true;
        return 0;
    }
    memcpy(b->text + b->text_size, s, n);
    b->text_size += n;
    return ++b->strings;
}

static void put_string(struct builder *b, const char *s)
{
    put(b, add_string(b, s), 1);
}

static void begin(struct builder *b, u8 type, u16 handle)
{
    b->begin = b->smbios->size;
    b->strings = b->text_size = 0;
    put(b, type, 1);
    put(b, 0, 1); /* the formatted part's length */
    put(b, handle, 2);
}

static void end(struct builder *b)
{
    if (b->overflow)
        return;
    b->smbios->data[b->begin + 1] = (u8)(b->smbios->size - b->begin);
    put_bytes(b, b->text, b->text_size);
    put(b, 0, b->strings ? 1 : 2);
    b->largest = (u16)max((size_t)b->largest, b->smbios->size - b->begin);
    b->count++;
}

/* ---- what -smbios can say ---- */

struct bios_texts {
    const char *vendor, *version, *date, *release;
    bool uefi;
};
struct texts_of {
    const char *manufacturer, *product, *version, *serial, *asset, *sku, *family, *uuid, *location;
    const char *sock_pfx, *part, *loc_pfx, *bank;
    u32 max_speed, current_speed, speed;
};

#define TEXT(s, property, field, help)                                 \
    {                                                                  \
        property, PROPERTY_TEXT, offsetof(struct s, field), NULL, help \
    }
#define TYPE                                                    \
    {                                                           \
        "type", PROPERTY_MANY, 0, NULL, "the kind of structure" \
    }
#define MANUFACTURER TYPE, TEXT(texts_of, "manufacturer", manufacturer, "who made it")
#define VERSION_ROW  TEXT(texts_of, "version", version, "its version")
#define SERIAL       TEXT(texts_of, "serial", serial, "its serial number")
#define ASSET        TEXT(texts_of, "asset", asset, "its asset tag")

static const struct property_row bios_rows[] = {
    TYPE,
    TEXT(bios_texts, "vendor", vendor, "who made the firmware"),
    TEXT(bios_texts, "version", version, "its version"),
    TEXT(bios_texts, "date", date, "its date"),
    TEXT(bios_texts, "release", release, "MAJOR.MINOR"),
    {"uefi", PROPERTY_BOOL, offsetof(struct bios_texts, uefi), "off", "it is UEFI"},
    {0}};
static const struct property_row system_rows[] = {
    MANUFACTURER,
    TEXT(texts_of, "product", product, "its name"),
    VERSION_ROW,
    SERIAL,
    TEXT(texts_of, "uuid", uuid, "its identity; default: -uuid"),
    TEXT(texts_of, "sku", sku, "its number in a catalogue"),
    TEXT(texts_of, "family", family, "its family"),
    {0}};
static const struct property_row board_rows[] = {
    MANUFACTURER, TEXT(texts_of, "product", product, "its name"),
    VERSION_ROW,  SERIAL,
    ASSET,        TEXT(texts_of, "location", location, "where it is in the chassis"),
    {0}};
static const struct property_row chassis_rows[] = {
    MANUFACTURER, VERSION_ROW, SERIAL, ASSET, TEXT(texts_of, "sku", sku, "its number in a catalogue"), {0}};
static const struct property_row processor_rows[] = {
    MANUFACTURER,
    VERSION_ROW,
    SERIAL,
    ASSET,
    TEXT(texts_of, "sock_pfx", sock_pfx, "the socket's name, before its number"),
    TEXT(texts_of, "part", part, "its part number"),
    {"max-speed", PROPERTY_U32, offsetof(struct texts_of, max_speed), "2000", "MHz", .max = 65535},
    {"current-speed", PROPERTY_U32, offsetof(struct texts_of, current_speed), "2000", "MHz", .max = 65535},
    {0}};
static const struct property_row oem_rows[] = {TYPE, {"value", PROPERTY_MANY, 0, NULL, "a string"}, {0}};
static const struct property_row memory_rows[] = {
    MANUFACTURER,
    SERIAL,
    ASSET,
    TEXT(texts_of, "loc_pfx", loc_pfx, "the slot's name, before its number"),
    TEXT(texts_of, "bank", bank, "the bank's name"),
    TEXT(texts_of, "part", part, "its part number"),
    {"speed", PROPERTY_U32, offsetof(struct texts_of, speed), "0", "MHz", .max = 65535},
    {0}};

static const struct kind {
    u8 type;
    const struct property_row *rows;
} kinds[] = {{0, bios_rows},      {1, system_rows}, {2, board_rows},  {3, chassis_rows},
             {4, processor_rows}, {11, oem_rows},   {17, memory_rows}};

/* The type that a list of -smbios is about, or -EINVAL with e. */
static int type_of(const struct properties *p, struct error *e)
{
    const char *text = properties_get(p, "type");
    if (!text)
        return error_set(e, EINVAL,
                         "-smbios: say with type=N which structure it is about (files cannot be read)");
    for (size_t i = 0; i < ARRAY_SIZE(kinds); i++)
        if (kinds[i].type == strtoul(text, NULL, 10) && strspn(text, "0123456789") == strlen(text))
            return kinds[i].type;
    return error_set(e, EINVAL, "-smbios: type '%s' is not supported: use one of 0, 1, 2, 3, 4, 11, 17",
                     text);
}

/* All that the options say about a type, the last one counting; found: how many there are. */
static int read_options(const struct vm_config *c, unsigned type, const struct property_row *rows, void *into,
                        unsigned *found, struct error *e)
{
    int r = 0;
    *found = 0;
    properties_default(rows, into);
    for (unsigned i = 0; i < c->smbios.count && r >= 0; i++)
        if ((r = type_of(&c->smbios.at[i], e)) == (int)type) {
            r = properties_apply(&c->smbios.at[i], rows, into, "-smbios", e);
            ++*found;
        }
    return r < 0 ? r : 0;
}

static const struct property_row *rows_of(unsigned type)
{
    for (size_t i = 0; i < ARRAY_SIZE(kinds); i++)
        if (kinds[i].type == type)
            return kinds[i].rows;
    return NULL;
}

static const char *either(const char *a, const char *b)
{
    return a ? a : b;
}

/* ---- the structures (section 7) ---- */

static int add_bios(struct builder *b, const struct vm_config *c, bool firmware, struct error *e)
{
    struct bios_texts t = {0};
    unsigned found, major = 0, minor = 0;
    int r = read_options(c, 0, rows_of(0), &t, &found, e);
    if (r < 0 || (firmware && !found))
        return r;
    if (t.release && sscanf(t.release, "%u.%u", &major, &minor) != 2)
        return error_set(e, EINVAL, "-smbios: release '%s' is not MAJOR.MINOR", t.release);
    begin(b, 0, 0);
    put_string(b, either(t.vendor, "Lodge"));
    put_string(b, either(t.version, LODGE_VERSION));
    put(b, 0xe800, 2); /* where it begins in the first mebibyte */
    put_string(b, either(t.date, "01/01/2025"));
    put(b, 0, 1);                          /* 64 KiB */
    put(b, 8, 8);                          /* characteristics are not supported */
    put(b, 0, 1);                          /* extension, first byte */
    put(b, 0x14 | (t.uefi ? 0x08 : 0), 1); /* a virtual machine; targeted content distribution */
    put(b, major, 1);
    put(b, minor, 1);
    put(b, 0xffff, 2); /* no embedded controller */
    end(b);
    return 0;
}

/* Section 7.2.1: the first three fields are little-endian. */
static void put_uuid(struct builder *b, const char *text)
{
    u8 u[16] = {0};
    unsigned n = 0;
    for (const char *p = text; p && *p && n < 16; p += 2) {
        unsigned byte;
        p += *p == '-';
        if (sscanf(p, "%2x", &byte) != 1)
            break;
        u[n++] = (u8)byte;
    }
    const u8 order[16] = {3, 2, 1, 0, 5, 4, 7, 6, 8, 9, 10, 11, 12, 13, 14, 15};
    for (unsigned i = 0; i < 16; i++)
        put(b, u[order[i]], 1);
}

static int add_system(struct builder *b, const struct vm_config *c, struct error *e)
{
    struct texts_of t = {0};
    unsigned found;
    int r = read_options(c, 1, rows_of(1), &t, &found, e);
    if (r < 0)
        return r;
    begin(b, 1, 0x100);
    put_string(b, either(t.manufacturer, "Lodge"));
    put_string(b, either(t.product, "Lodge PC (Q35)"));
    put_string(b, either(t.version, LODGE_VERSION));
    put_string(b, t.serial);
    put_uuid(b, either(t.uuid, c->uuid));
    put(b, 6, 1); /* woken by its power switch */
    put_string(b, t.sku);
    put_string(b, t.family);
    end(b);
    return 0;
}

static int add_board(struct builder *b, const struct vm_config *c, struct error *e)
{
    struct texts_of t = {0};
    unsigned found;
    int r = read_options(c, 2, rows_of(2), &t, &found, e);
    if (r < 0 || !found)
        return r;
    begin(b, 2, 0x200);
    put_string(b, either(t.manufacturer, "Lodge"));
    put_string(b, either(t.product, "Lodge PC (Q35)"));
    put_string(b, t.version);
    put_string(b, t.serial);
    put_string(b, t.asset);
    put(b, 1, 1); /* it hosts the system */
    put_string(b, t.location);
    put(b, 0x300, 2); /* its chassis */
    put(b, 0x0a, 1);  /* a motherboard */
    put(b, 0, 1);
    end(b);
    return 0;
}

static int add_chassis(struct builder *b, const struct vm_config *c, struct error *e)
{
    struct texts_of t = {0};
    unsigned found;
    int r = read_options(c, 3, rows_of(3), &t, &found, e);
    if (r < 0)
        return r;
    begin(b, 3, 0x300);
    put_string(b, either(t.manufacturer, "Lodge"));
    put(b, 1, 1); /* other */
    put_string(b, t.version);
    put_string(b, t.serial);
    put_string(b, t.asset);
    put(b, 0x02030303, 4); /* safe: boot, power, heat; security unknown */
    put(b, 0, 4);
    put(b, 0, 4); /* height, cords, elements */
    put_string(b, t.sku);
    end(b);
    return 0;
}

static int add_processors(struct builder *b, const struct vm_config *c, struct error *e)
{
    struct texts_of t = {0};
    unsigned found;
    char socket[64];
    int r = read_options(c, 4, rows_of(4), &t, &found, e);
    u32 cores = c->smp.dies * c->smp.cores, threads = cores * c->smp.threads;
    for (u32 i = 0; i < c->smp.sockets && r == 0; i++) {
        snprintf(socket, sizeof(socket), "%.40s%2x", either(t.sock_pfx, "CPU"), i);
        begin(b, 4, (u16)(0x400 + i));
        put_string(b, socket);
        put(b, 0x0103, 2); /* a central processor; another family */
        put_string(b, either(t.manufacturer, "Lodge"));
        put(b, 0, 8);
        put_string(b, t.version);
        put(b, 0, 1);
        put(b, 0, 2); /* external clock unknown */
        put(b, t.max_speed, 2);
        put(b, t.current_speed, 2);
        put(b, 0x0141, 2);         /* populated and enabled; the socket is another */
        put(b, 0xffffffffffff, 6); /* caches: not told */
        put_string(b, t.serial);
        put_string(b, t.asset);
        put_string(b, t.part);
        put(b, min(cores, 255u), 1);
        put(b, min(cores, 255u), 1);
        put(b, min(threads, 255u), 1);
        put(b, 2, 2); /* characteristics unknown */
        put(b, 1, 2);
        put(b, cores, 2);
        put(b, cores, 2);
        put(b, threads, 2);
        end(b);
    }
    return r;
}

/* Each `value` of each -smbios type=11 is a string. */
static int add_oem_strings(struct builder *b, const struct vm_config *c, struct error *e)
{
    unsigned found;
    char none;
    int r = read_options(c, 11, rows_of(11), &none, &found, e);
    if (r < 0 || !found)
        return r;
    begin(b, 11, 0xe00);
    for (unsigned i = 0; i < c->smbios.count; i++)
        for (unsigned k = 0; k < c->smbios.at[i].count; k++)
            if (type_of(&c->smbios.at[i], e) == 11 && !strcmp(c->smbios.at[i].at[k].name, "value"))
                add_string(b, c->smbios.at[i].at[k].value);
    put(b, b->strings, 1);
    end(b);
    return 0;
}

enum { MODULE_MIB = 16384 };

static int add_memory(struct builder *b, const struct vm_config *c, struct error *e)
{
    struct texts_of t = {0};
    unsigned found;
    char slot[64];
    int r = read_options(c, 17, rows_of(17), &t, &found, e);
    u64 mib = max(c->memory >> 20, (u64)1), modules = (mib + MODULE_MIB - 1) / MODULE_MIB;
    if (r < 0)
        return r;
    modules = min(modules, (u64)32);
    begin(b, 16, 0x1000); /* the array */
    put(b, 0x060301, 3);  /* other place, system memory, multi-bit ECC */
    put(b, mib < 1 << 21 ? mib << 10 : 0x80000000, 4);
    put(b, 0xfffe, 2);
    put(b, modules, 2);
    put(b, mib < 1 << 21 ? 0 : mib << 20, 8);
    end(b);
    for (u64 i = 0; i < modules; i++, mib -= min(mib, (u64)MODULE_MIB)) {
        u64 size = i + 1 < modules ? MODULE_MIB : mib;
        snprintf(slot, sizeof(slot), "%.40s %u", either(t.loc_pfx, "DIMM"), (unsigned)i);
        begin(b, 17, (u16)(0x1100 + i));
        put(b, 0x1000, 2);
        put(b, 0xfffe, 2);
        put(b, 0xffffffff, 4); /* widths unknown */
        put(b, min(size, (u64)0x7fff), 2);
        put(b, 0x0009, 2); /* DIMM, no set */
        put_string(b, slot);
        put_string(b, t.bank);
        put(b, 7, 1); /* RAM */
        put(b, 2, 2); /* other */
        put(b, t.speed, 2);
        put_string(b, either(t.manufacturer, "Lodge"));
        put_string(b, t.serial);
        put_string(b, t.asset);
        put_string(b, t.part);
        put(b, 0, 1);
        put(b, size < 0x7fff ? 0 : size, 4);
        put(b, t.speed, 2);
        put(b, 0, 6); /* voltages unknown */
        end(b);
    }
    return 0;
}

/* Section 7.20, in KiB. */
static void add_mapped(struct builder *b, u16 handle, u64 from, u64 size)
{
    if (!size)
        return;
    begin(b, 19, handle);
    bool small = from + size <= 1ull << 41;
    put(b, small ? from >> 10 : 0xffffffff, 4);
    put(b, small ? (from + size - 1) >> 10 : 0xffffffff, 4);
    put(b, 0x1000, 2);
    put(b, 1, 1);
    put(b, small ? 0 : from, 8);
    put(b, small ? 0 : from + size - 1, 8);
    end(b);
}

static void add_rest(struct builder *b, const struct vm_config *c)
{
    u64 low = min(c->memory, PC_LOW_RAM_END);
    add_mapped(b, 0x1300, 0, low);
    add_mapped(b, 0x1301, PC_HIGH_RAM, c->memory - low);
    begin(b, 32, 0x2000); /* boot status: no error */
    put(b, 0, 7);
    end(b);
    begin(b, 127, 0x7f00); /* the end */
    end(b);
}

static u8 sum(const u8 *p, size_t n)
{
    u8 s = 0;
    while (n--)
        s = (u8)(s + *p++);
    return (u8)-s;
}

/* Section 5.2.1. */
enum { CHECKSUM = 4, DMI = 16, DMI_CHECKSUM = 21, TABLE_ADDRESS = 24, DMI_SIZE = 15 };

static void build_anchor(struct smbios *s, const struct builder *b, u32 gpa)
{
    u8 *a = s->anchor;
    const u16 size = (u16)s->size, largest = b->largest, count = b->count;
    memset(a, 0, SMBIOS_ANCHOR_SIZE);
    memcpy(a, "_SM_", 4);
    a[5] = SMBIOS_ANCHOR_SIZE;
    a[6] = 2, a[7] = 8;
    memcpy(a + 8, &largest, 2);
    memcpy(a + DMI, "_DMI_", 5);
    memcpy(a + 22, &size, 2);
    memcpy(a + TABLE_ADDRESS, &gpa, 4);
    memcpy(a + 28, &count, 2);
    a[30] = 0x28;
    a[DMI_CHECKSUM] = sum(a + DMI, DMI_SIZE);
    a[CHECKSUM] = sum(a, SMBIOS_ANCHOR_SIZE);
}

int smbios_build(struct smbios *s, const struct vm_config *c, bool firmware, struct error *e)
{
    struct builder b = {.smbios = s};
    int r;
    s->size = 0;
    for (unsigned i = 0; i < c->smbios.count; i++)
        if ((r = type_of(&c->smbios.at[i], e)) < 0)
            return r;
    if ((r = add_bios(&b, c, firmware, e)) < 0 || (r = add_system(&b, c, e)) < 0 ||
        (r = add_board(&b, c, e)) < 0 || (r = add_chassis(&b, c, e)) < 0 ||
        (r = add_processors(&b, c, e)) < 0 || (r = add_oem_strings(&b, c, e)) < 0 ||
        (r = add_memory(&b, c, e)) < 0)
        return r;
    add_rest(&b, c);
    if (b.overflow)
        return error_set(e, E2BIG, "-smbios: there is room for %zu bytes in all: use shorter texts",
                         sizeof(s->data));
    build_anchor(s, &b, 0);
    return 0;
}

void smbios_place(struct smbios *s, u8 *to, u32 base)
{
    u32 gpa = base + SMBIOS_ANCHOR_SPACE;
    u8 *a = s->anchor;
    memcpy(a + TABLE_ADDRESS, &gpa, 4);
    a[DMI_CHECKSUM] = a[CHECKSUM] = 0;
    a[DMI_CHECKSUM] = sum(a + DMI, DMI_SIZE);
    a[CHECKSUM] = sum(a, SMBIOS_ANCHOR_SIZE);
    memcpy(to, a, SMBIOS_ANCHOR_SIZE);
    memcpy(to + SMBIOS_ANCHOR_SPACE, s->data, s->size);
}
