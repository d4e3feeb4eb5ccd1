/* aml.c - writes ACPI Machine Language (ACPI 6.5 chapter 20) and resource descriptors (section 6.4) */
/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <string.h>

#include "machine/acpi/aml.h"

enum {
    ZERO_OP = 0,
    ONE_OP = 1,
    NAME_OP = 8,
    BYTE_PREFIX = 10,
    WORD_PREFIX,
    DWORD_PREFIX,
    STRING_PREFIX,
    QWORD_PREFIX
};
enum { METHOD_OP = 0x14, IF_OP = 0xa0, MUTEX_OP = 0x01, REGION_OP = 0x80, FIELD_OP = 0x81 };
enum { ROOT_CHAR = '\\', DUAL_PREFIX = 0x2e, MULTI_PREFIX = 0x2f, SEGMENT = 4 };
enum { METHOD_SERIALIZED = 8, REGION_IO = 1, FIELD_WRITE_ZEROS = 0x40 };
enum { SCOPE_OP = 0x10, BUFFER_OP = 0x11, PACKAGE_OP = 0x12, EXT_OP = 0x5b, DEVICE_OP = 0x82 };

/* Resource descriptor tags; small ones hold their length. */
enum { IRQ_NO_FLAGS = 0x22, IO_PORT = 0x47, END_TAG = 0x79, MEMORY32_FIXED = 0x86 };
enum { ADDRESS_DWORD = 0x87, ADDRESS_WORD = 0x88, ADDRESS_QWORD = 0x8a };
enum { RANGE_MEMORY = 0, RANGE_IO = 1, RANGE_BUS = 2 };
enum { RANGE_MIN_MAX_FIXED = 0x0c, IO_ENTIRE_RANGE = 3, MEMORY_READ_WRITE = 1 };

void aml_bytes(struct aml *a, const void *bytes, size_t len)
{
    if (len > a->size - a->len) {
        a->overflow = true;
        return;
    }
    memcpy(a->data + a->len, bytes, len);
    a->len += len;
}

void aml_u8(struct aml *a, u8 v)
{
    aml_bytes(a, &v, sizeof(v));
}

void aml_u16(struct aml *a, u16 v)
{
    aml_bytes(a, &v, sizeof(v));
}

void aml_u32(struct aml *a, u32 v)
{
    aml_bytes(a, &v, sizeof(v));
}

void aml_u64(struct aml *a, u64 v)
{
    aml_bytes(a, &v, sizeof(v));
}

/* PkgLength counts itself: one byte up to 63, else four bits in the first byte and 8 in each that follows. */
static size_t encode_package_length(u8 out[4], size_t content)
{
    if (content + 1 < 64) {
        out[0] = (u8)(content + 1);
        return 1;
    }
    size_t n = content + 2 < 1 << 12 ? 2 : content + 3 < 1 << 20 ? 3 : 4;
    size_t total = content + n;
    out[0] = (u8)((n - 1) << 6 | (total & 15));
    for (size_t i = 1; i < n; i++)
        out[i] = (u8)(total >> (4 + 8 * (i - 1)));
    return n;
}

void aml_end(struct aml *a, size_t begin)
{
    u8 length[4];
    size_t content = a->len - begin, n = encode_package_length(length, content);
    aml_bytes(a, length, n); /* makes room; the content moves behind it */
    if (a->overflow)
        return;
    memmove(a->data + begin + n, a->data + begin, content);
    memcpy(a->data + begin, length, n);
}

size_t aml_begin_scope(struct aml *a, const char *path)
{
    aml_u8(a, SCOPE_OP);
    size_t begin = a->len;
    aml_path(a, path);
    return begin;
}

size_t aml_begin_device(struct aml *a, const char *name)
{
    aml_u8(a, EXT_OP);
    aml_u8(a, DEVICE_OP);
    size_t begin = a->len;
    aml_bytes(a, name, 4);
    return begin;
}

size_t aml_begin_package(struct aml *a, u8 elements)
{
    aml_u8(a, PACKAGE_OP);
    size_t begin = a->len;
    aml_u8(a, elements);
    return begin;
}

size_t aml_begin_method(struct aml *a, const char *name, unsigned arguments, bool serialized)
{
    aml_u8(a, METHOD_OP);
    size_t begin = a->len;
    aml_path(a, name);
    aml_u8(a, (u8)(arguments | (serialized ? METHOD_SERIALIZED : 0)));
    return begin;
}

size_t aml_begin_if(struct aml *a)
{
    aml_u8(a, IF_OP);
    return a->len;
}

size_t aml_begin_field(struct aml *a, const char *region, u8 access)
{
    aml_u8(a, EXT_OP);
    aml_u8(a, FIELD_OP);
    size_t begin = a->len;
    aml_path(a, region);
    aml_u8(a, access | FIELD_WRITE_ZEROS);
    return begin;
}

/* Fields of less than 64 bits: their length is one byte of PkgLength. */
void aml_field(struct aml *a, const char *name, u8 bits)
{
    ASSERT(bits < 64);
    aml_path(a, name);
    aml_u8(a, bits);
}

void aml_region_io(struct aml *a, const char *name, u16 port, u8 len)
{
    aml_u8(a, EXT_OP);
    aml_u8(a, REGION_OP);
    aml_path(a, name);
    aml_u8(a, REGION_IO);
    aml_integer(a, port);
    aml_integer(a, len);
}

void aml_mutex(struct aml *a, const char *name)
{
    aml_u8(a, EXT_OP);
    aml_u8(a, MUTEX_OP);
    aml_path(a, name);
    aml_u8(a, 0); /* level */
}

void aml_op(struct aml *a, enum aml_operator op)
{
    if (op > 0xff)
        aml_u8(a, (u8)(op >> 8));
    aml_u8(a, (u8)op);
}

/* Section 20.2.2: segments of four characters, their number before them where there are several. */
void aml_path(struct aml *a, const char *path)
{
    if (*path == ROOT_CHAR)
        aml_u8(a, (u8)*path++);
    size_t segments = (strlen(path) + 1) / (SEGMENT + 1);
    if (segments == 2) {
        aml_u8(a, DUAL_PREFIX);
    } else if (segments > 2) {
        aml_u8(a, MULTI_PREFIX);
        aml_u8(a, (u8)segments);
    }
    for (size_t i = 0; i < segments; i++)
        aml_bytes(a, path + i * (SEGMENT + 1), SEGMENT);
}

/* A ResourceTemplate is a buffer; its size is not known before its end, so a word is kept free for it. */
size_t aml_begin_resources(struct aml *a)
{
    aml_u8(a, BUFFER_OP);
    size_t begin = a->len;
    aml_u8(a, WORD_PREFIX);
    aml_u16(a, 0);
    return begin;
}

void aml_end_resources(struct aml *a, size_t begin)
{
    aml_u8(a, END_TAG);
    aml_u8(a, 0); /* no checksum */
    u16 size = (u16)(a->len - begin - 3);
    if (!a->overflow)
        memcpy(a->data + begin + 1, &size, sizeof(size));
    aml_end(a, begin);
}

void aml_name(struct aml *a, const char *name)
{
    aml_u8(a, NAME_OP);
    aml_bytes(a, name, 4);
}

void aml_integer(struct aml *a, u64 v)
{
    unsigned len = v <= 0xff ? 1 : v <= 0xffff ? 2 : v <= 0xffffffff ? 4 : 8;
    static const u8 prefix[] = {[1] = BYTE_PREFIX, [2] = WORD_PREFIX, [4] = DWORD_PREFIX, [8] = QWORD_PREFIX};
    if (v <= ONE_OP) {
        aml_u8(a, v ? ONE_OP : ZERO_OP);
        return;
    }
    aml_u8(a, prefix[len]);
    aml_bytes(a, &v, len);
}

void aml_string(struct aml *a, const char *s)
{
    aml_u8(a, STRING_PREFIX);
    aml_bytes(a, s, strlen(s) + 1);
}

void aml_buffer(struct aml *a, const void *bytes, u8 len)
{
    aml_u8(a, BUFFER_OP);
    size_t begin = a->len;
    aml_integer(a, len);
    aml_bytes(a, bytes, len);
    aml_end(a, begin);
}

static u32 hex_digit(char c)
{
    return (u32)(c >= 'A' ? c - 'A' + 10 : c - '0');
}

/* EISA ids: three letters of 5 bits and four hexadecimal digits, big-endian (section 19.3.4). */
void aml_eisa_id(struct aml *a, const char *id)
{
    u32 v = (u32)(id[0] - '@') << 26 | (u32)(id[1] - '@') << 21 | (u32)(id[2] - '@') << 16 |
            hex_digit(id[3]) << 12 | hex_digit(id[4]) << 8 | hex_digit(id[5]) << 4 | hex_digit(id[6]);
    aml_integer(a, __builtin_bswap32(v));
}

void aml_io(struct aml *a, u16 base, u8 len)
{
    aml_u8(a, IO_PORT);
    aml_u8(a, 1); /* decodes 16 bits */
    aml_u16(a, base);
    aml_u16(a, base);
    aml_u8(a, 1); /* alignment */
    aml_u8(a, len);
}

void aml_irq(struct aml *a, unsigned irq)
{
    aml_u8(a, IRQ_NO_FLAGS); /* edge-triggered, active high */
    aml_u16(a, (u16)(1 << irq));
}

void aml_memory32_fixed(struct aml *a, u32 base, u32 len)
{
    aml_u8(a, MEMORY32_FIXED);
    aml_u16(a, 9);
    aml_u8(a, MEMORY_READ_WRITE);
    aml_u32(a, base);
    aml_u32(a, len);
}

/* The address space descriptors differ in the width of their five numbers alone. */
static void address_space(struct aml *a, u8 tag, unsigned width, u8 type, u8 type_flags, u64 first, u64 last)
{
    const u64 numbers[] = {0 /* granularity */, first, last, 0 /* translation */, last - first + 1};
    aml_u8(a, tag);
    aml_u16(a, (u16)(3 + 5 * width));
    aml_u8(a, type);
    aml_u8(a, RANGE_MIN_MAX_FIXED);
    aml_u8(a, type_flags);
    for (size_t i = 0; i < ARRAY_SIZE(numbers); i++)
        aml_bytes(a, &numbers[i], width);
}

void aml_bus_range(struct aml *a, u16 first, u16 last)
{
    address_space(a, ADDRESS_WORD, 2, RANGE_BUS, 0, first, last);
}

void aml_io_window(struct aml *a, u16 first, u16 last)
{
    address_space(a, ADDRESS_WORD, 2, RANGE_IO, IO_ENTIRE_RANGE, first, last);
}

void aml_memory_window(struct aml *a, u32 first, u32 last)
{
    address_space(a, ADDRESS_DWORD, 4, RANGE_MEMORY, MEMORY_READ_WRITE, first, last);
}

void aml_memory64_window(struct aml *a, u64 first, u64 last)
{
    address_space(a, ADDRESS_QWORD, 8, RANGE_MEMORY, MEMORY_READ_WRITE, first, last);
}
