/* fw_cfg.c - test of the firmware configuration device: reading, the directory, DMA, and what a guest may not
 * do */
/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "machine/pc.h"
#include "tests/unit/device_fake.h"
#include "tests/unit/test.h"

enum { PORT = PC_PORT_FW_CFG, DMA = PORT + 4, MEMORY = 1 << 20, ACCESS = 0x1000, TARGET = 0x2000 };
enum { ERROR = 1, READ = 2, SKIP = 4, SELECT = 8, WRITE = 16 };

static struct ram ram;

static struct fake_board *board(void)
{
    static const char one[] = "the first", two[] = "2";
    static u8 memory[MEMORY];
    struct fake_board *b = fake_board(&fw_cfg_device, PORT);
    ram = (struct ram){.host = memory, .size = MEMORY, .low = MEMORY};
    b->fw_cfg.ram = &ram;
    fw_cfg_add(&b->fw_cfg, FW_CFG_SIGNATURE, "QEMU", 4);
    fw_cfg_add_file(&b->fw_cfg, "etc/two", two, 1);
    fw_cfg_add_file(&b->fw_cfg, "etc/one", one, sizeof(one));
    fw_cfg_finish(&b->fw_cfg);
    return b;
}

static void board_free(struct fake_board *b)
{
    fw_cfg_clear(&b->fw_cfg);
    fake_board_free(b);
}

static void choose(struct fake_board *b, u16 key)
{
    bus_write(&b->ports, PORT, 2, key);
}

static u8 next(struct fake_board *b)
{
    return in8(b, PORT + 1);
}

static void test_read(void)
{
    struct fake_board *b = board();
    CHECK_EQ(next(b), 'Q'); /* selected after a reset */
    choose(b, FW_CFG_SIGNATURE);
    for (const char *p = "QEMU"; *p; p++)
        CHECK_EQ(next(b), *p);
    for (unsigned i = 0; i < 100; i++)
        CHECK_EQ(next(b), 0);
    choose(b, 0x1234);
    CHECK_EQ(next(b), 0);
    board_free(b);
}

static u32 next32(struct fake_board *b)
{
    u32 v = 0;
    for (unsigned i = 0; i < 4; i++)
        v = v << 8 | next(b);
    return v;
}

/* Sorted by name, with the keys that lead to them. */
static void test_directory(void)
{
    struct fake_board *b = board();
    char name[FW_CFG_NAME_MAX];
    choose(b, FW_CFG_FILE_DIR);
    CHECK_EQ(next32(b), 2);
    CHECK_EQ(next32(b), 10);
    u32 key = next32(b) >> 16;
    for (unsigned i = 0; i < sizeof(name); i++)
        name[i] = (char)next(b);
    CHECK(!strcmp(name, "etc/one"));
    choose(b, (u16)key);
    CHECK_EQ(next(b), 't');
    CHECK_EQ(next(b), 'h');
    board_free(b);
}

static u32 dma(struct fake_board *b, u32 control, u32 length, u64 gpa)
{
    u32 result;
    const u32 words[4] = {__builtin_bswap32(control), __builtin_bswap32(length),
                          __builtin_bswap32((u32)(gpa >> 32)), __builtin_bswap32((u32)gpa)};
    memcpy(ram.host + ACCESS, words, sizeof(words));
    bus_write(&b->ports, DMA, 4, 0);
    bus_write(&b->ports, DMA + 4, 4, __builtin_bswap32(ACCESS));
    memcpy(&result, ram.host + ACCESS, sizeof(result));
    return __builtin_bswap32(result);
}

static void test_dma(void)
{
    struct fake_board *b = board();
    u8 *target = ram.host + TARGET;
    CHECK_EQ(bus_read(&b->ports, DMA, 4), 0x554d4551); /* "QEMU", as a big-endian register */
    memset(target, 0xaa, 8);
    CHECK_EQ(dma(b, FW_CFG_SIGNATURE << 16 | SELECT | READ, 6, TARGET), 0);
    CHECK(!memcmp(target, "QEMU\0\0\xaa", 7));
    CHECK_EQ(dma(b, FW_CFG_SIGNATURE << 16 | SELECT | SKIP, 2, 0), 0);
    CHECK_EQ(dma(b, READ, 1, TARGET), 0);
    CHECK_EQ(target[0], 'M');
    CHECK_EQ(dma(b, SKIP, 0xffffffff, 0), 0);
    CHECK_EQ(dma(b, READ, 1, TARGET), 0);
    CHECK_EQ(target[0], 0);
    board_free(b);
}

static void test_abuse(void)
{
    struct fake_board *b = board();
    choose(b, FW_CFG_SIGNATURE);
    CHECK_EQ(dma(b, READ, 4, MEMORY - 3), ERROR);
    CHECK_EQ(dma(b, READ, 0xffffffff, TARGET), ERROR);
    CHECK_EQ(dma(b, READ, 1, ~0ull), ERROR);
    CHECK_EQ(dma(b, WRITE, 4, TARGET), ERROR);
    CHECK_EQ(dma(b, READ, 0, ~0ull), 0);
    bus_write(&b->ports, DMA, 4, 0xffffffff); /* a description that is nowhere: nothing happens */
    bus_write(&b->ports, DMA + 4, 4, 0xffffffff);
    bus_write(&b->ports, DMA + 4, 2, 1);
    bus_write(&b->ports, DMA + 1, 1, 1);
    bus_write(&b->ports, PORT + 1, 1, 1);
    CHECK_EQ(bus_read(&b->ports, PORT, 2), 0);
    board_free(b);
}

int main(void)
{
    test_read();
    test_directory();
    test_dma();
    test_abuse();
    return TEST_DONE();
}
