/* options.c - test of lodge-vm's command line */
/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <errno.h>

#include "machine/kvm.h"
#include "machine/options.h"
#include "tests/unit/test.h"

#define KIB (1ull << 10)
#define MIB (1ull << 20)
#define GIB (1ull << 30)

static struct vm_config c;
static struct error e;

/* Parses words separated by blanks; the strings in c stay valid until the next call. */
static int parse(const char *line)
{
    static char text[512];
    static char *argv[32];
    int argc = 0;
    snprintf(text, sizeof(text), "lodge-vm %s", line);
    for (char *word = strtok(text, " "); word; word = strtok(NULL, " "))
        argv[argc++] = word;
    return options_parse(&c, argc, argv, &e);
}

static void test_defaults(void)
{
    CHECK_EQ(parse("-kernel k"), 0);
    CHECK_STR(c.kernel, "k");
    CHECK(!c.initrd);
    CHECK_STR(c.cmdline, "");
    CHECK_EQ(c.memory, 128 * MIB);
    CHECK_EQ(c.cpus, 1);
    CHECK(c.kvm == &kvm_lodge);
    CHECK(!c.no_reboot);
    CHECK_EQ(c.serial.backend, CHARDEV_STDIO);
    CHECK(c.serial.mux);
    CHECK(!c.serial.signal);
}

static void test_all(void)
{
    CHECK_EQ(
        parse(
            "-kernel k -initrd i --append a=b -m 1.5G -smp cpus=1 -accel kvm -nographic -no-reboot -name vm1"),
        0);
    CHECK_STR(c.initrd, "i");
    CHECK_STR(c.cmdline, "a=b");
    CHECK_EQ(c.memory, 1536 * MIB);
    CHECK(c.kvm == &kvm_kernel);
    CHECK(c.no_reboot);
    CHECK_STR(c.name, "vm1");
}

static void test_sizes(void)
{
    static const struct {
        const char *text;
        int result;
        u64 bytes;
    } cases[] = {
        {"0", 0, 0},
        {"512", 0, 512 * MIB},
        {"1G", 0, GIB},
        {"1g", 0, GIB},
        {"64k", 0, 64 * KIB},
        {"4096B", 0, 4096},
        {"0.5G", 0, 512 * MIB},
        {"2T", 0, 2048 * GIB},
        {"1E", 0, 1ull << 60},
        {"16E", -ERANGE, 0},
        {"99999999999999999999", -ERANGE, 0},
        {"17592186044416", -ERANGE, 0}, /* 2 to the 44 MiB */
        {"", -EINVAL, 0},
        {"-1", -EINVAL, 0},
        {"1Q", -EINVAL, 0},
        {"1GB", -EINVAL, 0},
        {"G", -EINVAL, 0},
        {" 1", -EINVAL, 0},
        {"0x10", -EINVAL, 0},
        {".5G", -EINVAL, 0},
        {"1.5.5G", -EINVAL, 0},
    };
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        u64 bytes = 0;
        CHECK_EQ(parse_size(cases[i].text, MIB, &bytes), cases[i].result);
        if (cases[i].result == 0)
            CHECK_EQ(bytes, cases[i].bytes);
    }
}

/* Each ends in one line that begins as said. */
static void test_refused(void)
{
    static const char *const cases[][2] = {
        {"", "no kernel to boot: "},
        {"-kernel", "option '-kernel' needs an argument: "},
        {"-foo", "unknown option '-foo': "},
        {"disk.img", "'disk.img': disk images are not supported: "},
        {"-", "unknown option '-': "},
        {"--", "unknown option '--': "},
        {"-device virtio-net", "option '-device' of QEMU is not supported: "},
        {"-kernel k -m 0", "-m '0' is out of range: "},
        {"-kernel k -m 1", "-m '1' is out of range: "},
        {"-kernel k -m 1E", "-m '1E' is out of range: "},
        {"-kernel k -m 512MB", "-m '512MB' is not a size: "},
        {"-kernel k -m -5", "-m '-5' is not a size: "},
        {"-kernel k -m 1G,slots=2", "-m '1G,slots=2': memory slots are not supported: "},
        {"-kernel k -smp 2", "-smp 2: this version runs one processor: "},
        {"-kernel k -smp 0", "-smp '0' is not a number of processors: "},
        {"-kernel k -smp x", "-smp 'x' is not a number of processors: "},
        {"-kernel k -accel tcg", "-accel 'tcg' is not supported: "},
        {"-kernel k -accel kvm:tcg", "-accel 'kvm:tcg' is not supported: "},
        {"-kernel k -accel kvm -d x", "-d: -accel kvm has no dumps: "},
        {"-kernel k -D f", "-D 'f' without -d: "},
        {"-kernel k -serial pty", "-serial 'pty' is not supported: "},
        {"-kernel k -name a,b", "-name 'a,b': "},
    };
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        e.text[0] = 0;
        CHECK(parse(cases[i][0]) < 0);
        e.text[strlen(cases[i][1])] = 0;
        CHECK_STR(e.text, cases[i][1]);
    }
}

static void test_serial(void)
{
    CHECK_EQ(parse("-kernel k -serial stdio"), 0);
    CHECK(c.serial.signal && !c.serial.mux);
    CHECK_EQ(parse("-kernel k -serial stdio,signal=off"), 0);
    CHECK(!c.serial.signal);
    CHECK_EQ(parse("-kernel k -serial null"), 0);
    CHECK_EQ(c.serial.backend, CHARDEV_NULL);
    CHECK_EQ(parse("-kernel k -serial file:/tmp/a"), 0);
    CHECK_EQ(c.serial.backend, CHARDEV_FILE);
    CHECK_STR(c.serial.path, "/tmp/a");
    CHECK(!c.serial.append);
    CHECK_EQ(parse("-kernel k -serial file:f,append=on"), 0);
    CHECK(c.serial.append);
    CHECK_EQ(parse("-kernel k -serial unix:s,server=on,wait=off"), 0);
    CHECK_EQ(c.serial.backend, CHARDEV_UNIX);
    CHECK(c.serial.server && !c.serial.wait);
    CHECK_EQ(parse("-kernel k -serial mon:unix:s,server,nowait"), 0);
    CHECK(c.serial.mux && c.serial.server && !c.serial.wait);
    CHECK_STR(c.serial.path, "s");
    CHECK_EQ(parse("-kernel k -serial unix:s"), 0);
    CHECK(!c.serial.server);
}

static void test_serial_refused(void)
{
    static const char *const cases[] = {
        "stdio,server=on",     "stdiox",      "file:", "unix:",  "file",     "null,wait=on",
        "unix:s,server=maybe", "unix:s,frob", "mon:",  "stdio,", "tcp::4444"};
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++)
        CHECK_EQ(chardev_config_parse(&c.serial, cases[i], &e), -EINVAL);
    char path[400] = "file:";
    memset(path + 5, 'x', sizeof(path) - 6);
    CHECK_EQ(chardev_config_parse(&c.serial, path, &e), -EINVAL);
}

int main(void)
{
    test_defaults();
    test_all();
    test_sizes();
    test_refused();
    test_serial();
    test_serial_refused();
    return TEST_DONE();
}
