/* gdbstub.c - the GDB stub: addresses, hexadecimal numbers, the description of the registers */
/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <errno.h>

#include "machine/gdbstub/gdbstub.h"
#include "tests/unit/test.h"

static void addresses(void)
{
    static const struct {
        const char *text;
        int result;
        enum gdb_transport transport;
        const char *host, *port, *path;
    } rows[] = {
        {"tcp::1234", 0, GDB_TCP, "", "1234", ""},
        {"tcp:localhost:99", 0, GDB_TCP, "localhost", "99", ""},
        {"tcp:::1:1234", 0, GDB_TCP, "::1", "1234", ""},
        {"tcp::1234,server=on,wait=off", 0, GDB_TCP, "", "1234", ""},
        {"unix:/tmp/s", 0, GDB_UNIX, "", "", "/tmp/s"},
        {"unix:a,server,nowait", 0, GDB_UNIX, "", "", "a"},
        {"none", 0, GDB_NONE, "", "", ""},
        {"", -EINVAL, 0, NULL, NULL, NULL},
        {"tcp:", -EINVAL, 0, NULL, NULL, NULL},
        {"tcp:1234", -EINVAL, 0, NULL, NULL, NULL},
        {"tcp::", -EINVAL, 0, NULL, NULL, NULL},
        {"tcp::12x", -EINVAL, 0, NULL, NULL, NULL},
        {"tcp::123456789", -EINVAL, 0, NULL, NULL, NULL},
        {"unix:", -EINVAL, 0, NULL, NULL, NULL},
        {"tcp::1234,wait=on", -EINVAL, 0, NULL, NULL, NULL},
        {"stdio", -EINVAL, 0, NULL, NULL, NULL},
    };
    for (unsigned i = 0; i < ARRAY_SIZE(rows); i++) {
        struct gdb_address a;
        struct error e;
        CHECK_EQ(gdb_address_parse(&a, rows[i].text, &e), rows[i].result);
        if (rows[i].result)
            continue;
        CHECK_EQ(a.transport, rows[i].transport);
        CHECK_STR(a.host, rows[i].host);
        CHECK_STR(a.port, rows[i].port);
        CHECK_STR(a.path, rows[i].path);
    }
}

static void hexadecimal(void)
{
    u8 bytes[4] = {0};
    char text[9];
    CHECK_EQ(hex_decode("01aBff", bytes, 4), 3);
    CHECK_EQ(bytes[1], 0xab);
    CHECK_EQ(hex_decode("0102030405", bytes, 4), 4);
    CHECK_EQ(hex_decode("1", bytes, 4), 0);
    CHECK_EQ(hex_decode("12g4", bytes, 4), 1);
    memcpy(bytes, "\x00\x9f\xf0\x7e", 4);
    hex_encode(text, bytes, 4);
    CHECK_STR(text, "009ff07e");
}

/* GDB counts registers in the order of the description. */
static void description(void)
{
    char xml[16384];
    unsigned n = 0, offset, size, end = 0;
    int len = gdb_target_xml(xml, sizeof(xml));
    CHECK(len > 0 && len < (int)sizeof(xml));
    CHECK_EQ(gdb_target_xml(xml, 100), -ENOSPC);
    gdb_target_xml(xml, sizeof(xml));
    for (const char *p = xml; (p = strstr(p, "<reg name=")) != NULL; p++, n++) {
        unsigned bits;
        CHECK_EQ(sscanf(strstr(p, "bitsize"), "bitsize=\"%u\"", &bits), 1);
        CHECK(gdb_register_place(n, &offset, &size));
        CHECK_EQ(offset, end);
        CHECK_EQ(size * 8, bits);
        end += size;
    }
    CHECK(n > 60 && end < GDB_PACKET / 2);
    CHECK(!gdb_register_place(n, &offset, &size));
    CHECK(gdb_register_place(16, &offset, &size));
    CHECK_EQ(offset, 16 * 8); /* rip */
}

int main(void)
{
    addresses();
    hexadecimal();
    description();
    return TEST_DONE();
}
