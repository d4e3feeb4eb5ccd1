/* options.c - test of lodge-vm's command line */
/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <errno.h>

#include "base/config/options.h"
#include "machine/chardev_config.h"
#include "tests/unit/test.h"

#define KIB (1ull << 10)
#define MIB (1ull << 20)
#define GIB (1ull << 30)

static struct vm_config c;
static struct error e;

/* Parses words separated by blanks; the strings in c stay valid until the next call. */
static int parse(const char *line)
{
    static char text[1024];
    static char *argv[64];
    int argc = 0;
    snprintf(text, sizeof(text), "lodge-vm %s", line);
    for (char *word = strtok(text, " "); word; word = strtok(NULL, " "))
        argv[argc++] = word;
    vm_config_free(&c);
    return options_parse(&c, argc, argv, &e);
}

static void test_defaults(void)
{
    CHECK_EQ(parse("-kernel k"), 0);
    CHECK_STR(c.kernel, "k");
    CHECK(!c.initrd && !c.serials.count && !c.no_reboot);
    CHECK_STR(c.cmdline, "");
    CHECK_EQ(c.memory, 128 * MIB);
    CHECK_EQ(c.smp.cpus, 1);
    CHECK_EQ(c.accel, ACCEL_AUTO);
}

static void test_all(void)
{
    CHECK_EQ(
        parse("-kernel k -initrd i --append a=b -m 1.5G -smp cpus=1 -machine pc,accel=kvm,usb=off -nographic "
              "-no-reboot -name guest=vm1,debug-threads=on -uuid 12345678-9abc-def0-1234-56789abcdef0 -S -s "
              "-rtc base=localtime,clock=vm -boot dc,menu=on -sandbox on"),
        0);
    CHECK_STR(c.initrd, "i");
    CHECK_STR(c.cmdline, "a=b");
    CHECK_EQ(c.memory, 1536 * MIB);
    CHECK_EQ(c.accel, ACCEL_KVM);
    CHECK(c.no_reboot && c.debug_threads && c.stopped && c.boot_menu && c.sandbox);
    CHECK_STR(c.name, "vm1");
    CHECK_STR(c.gdb, "tcp::1234");
    CHECK_STR(c.rtc_base, "localtime");
    CHECK_EQ(c.rtc_clock, RTC_CLOCK_VM);
    CHECK_STR(c.boot_order, "dc");
    CHECK_EQ(parse("-accel kvm -machine q35"), 0);
    CHECK_EQ(c.accel, ACCEL_KVM);
}

static void test_topology(void)
{
    static const struct {
        const char *smp;
        u32 cpus, maxcpus, sockets, dies, cores, threads;
    } cases[] = {
        {"4", 4, 4, 1, 1, 4, 1},
        {"2,maxcpus=8", 2, 8, 1, 1, 8, 1},
        {"8,sockets=2", 8, 8, 2, 1, 4, 1},
        {"8,cores=2,threads=2", 8, 8, 2, 1, 2, 2},
        {"sockets=2,dies=2,cores=2,threads=1", 8, 8, 2, 2, 2, 1},
    };
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        char line[80];
        snprintf(line, sizeof(line), "-smp %s", cases[i].smp);
        CHECK_EQ(parse(line), 0);
        CHECK(!memcmp(&c.smp,
                      &(struct vm_topology){cases[i].cpus, cases[i].maxcpus, cases[i].sockets, cases[i].dies,
                                            cases[i].cores, cases[i].threads},
                      sizeof(c.smp)));
    }
}

static const char *property(const struct objects *list, unsigned i, const char *name)
{
    const char *value = i < list->count ? properties_get(&list->at[i], name) : NULL;
    return value ? value : "(none)";
}

static void test_objects(void)
{
    CHECK_EQ(
        parse("-device virtio-net-pci,netdev=n0,mac=52:54:00:12:34:56 -netdev user,id=n0,hostfwd=tcp::1-:2,"
              "hostfwd=tcp::3-:4 -chardev socket,id=c,path=/a,,b,server=on -mon c,mode=control "
              "-blockdev {\"driver\":\"file\",\"node-name\":\"f\",\"cache\":{\"direct\":true},\"a\":[1,2]}"),
        0);
    CHECK_STR(property(&c.devices, 0, "driver"), "virtio-net-pci");
    CHECK_STR(property(&c.devices, 0, "mac"), "52:54:00:12:34:56");
    CHECK_EQ(c.netdevs.at[0].count, 4);
    CHECK_STR(property(&c.chardevs, 0, "path"), "/a,b");
    CHECK_STR(property(&c.mons, 0, "chardev"), "c");
    CHECK_STR(property(&c.blockdevs, 0, "cache.direct"), "on");
    CHECK_STR(property(&c.blockdevs, 0, "a.1"), "2");
}

static void test_short(void)
{
    CHECK_EQ(parse("-drive file=a,format=raw,serial=s1 d.img -cdrom b -nic user,mac=x,hostfwd=y -nic none "
                   "-drive id=z,if=none,file=c"),
             0);
    CHECK_EQ(c.drives.count, 4);
    CHECK_EQ(c.devices.count, 4);
    CHECK_STR(property(&c.drives, 0, "serial"), "(none)");
    CHECK_STR(property(&c.devices, 0, "serial"), "s1");
    CHECK_STR(property(&c.devices, 0, "drive"), property(&c.drives, 0, "id"));
    CHECK_STR(property(&c.drives, 1, "file"), "d.img");
    CHECK_STR(property(&c.drives, 2, "readonly"), "on");
    CHECK_STR(property(&c.drives, 3, "id"), "z");
    CHECK_STR(property(&c.devices, 3, "driver"), "virtio-net-pci");
    CHECK_STR(property(&c.devices, 3, "netdev"), property(&c.netdevs, 0, "id"));
    CHECK_STR(property(&c.netdevs, 0, "hostfwd"), "y");
}

static void free_words(char **words)
{
    for (char **w = words; *w; w++)
        free(*w);
    free(words);
}

/* What is written reads as what it was written from. */
static void test_written(void)
{
    CHECK_EQ(
        parse(
            "-kernel k -m 1G -smp 4,sockets=2 -name n,debug-threads=on -drive file=a,,b,if=virtio -S -serial null "
            "-serial stdio -netdev user,id=n0 -nic user -sandbox on -rtc base=localtime -boot c,strict=on"),
        0);
    char **first = options_write(&c);
    char *argv[64] = {"lodge-vm"};
    int argc = 1;
    for (char **w = first; *w && argc < 64; w++)
        argv[argc++] = *w;
    struct vm_config again;
    CHECK_EQ(options_parse(&again, argc, argv, &e), 0);
    char **second = options_write(&again);
    for (unsigned i = 0; first[i] || second[i]; i++) {
        CHECK_STR(second[i], first[i]);
        if (!first[i] || !second[i])
            break;
    }
    CHECK_EQ(again.memory, 1024 * MIB);
    CHECK_EQ(again.devices.count, 2);
    CHECK_EQ(again.serials.count, 2);
    CHECK(again.stopped && again.sandbox && again.boot_strict);
    vm_config_free(&again);
    free_words(second);
    free_words(first);
}

enum { COLOUR_RED, COLOUR_BLUE };
struct thing {
    const char *text;
    bool on;
    u32 number;
    u64 size;
    unsigned colour;
};

static const char *const colours[] = {[COLOUR_RED] = "red", [COLOUR_BLUE] = "blue", NULL};
static const struct property_row thing_rows[] = {
    {"text", PROPERTY_TEXT, offsetof(struct thing, text)},
    {"on", PROPERTY_BOOL, offsetof(struct thing, on), "on"},
    {"number", PROPERTY_U32, offsetof(struct thing, number), "7", .min = 2, .max = 100},
    {"size", PROPERTY_SIZE, offsetof(struct thing, size), "4K"},
    {"colour", PROPERTY_CHOICE, offsetof(struct thing, colour), "red", .choices = colours},
    {"many", PROPERTY_MANY},
    {0}};

static int read_thing(struct thing *t, const char *text)
{
    static struct properties p;
    properties_free(&p);
    *t = (struct thing){0};
    int r = properties_parse(&p, text, NULL, "thing", &e);
    return r < 0 ? r : properties_read(&p, thing_rows, t, "thing", &e);
}

static void test_table(void)
{
    struct thing t;
    CHECK_EQ(read_thing(&t, ""), 0);
    CHECK(!t.text && t.on && t.number == 7 && t.size == 4096 && t.colour == COLOUR_RED);
    CHECK_EQ(read_thing(&t, "text=a,,b,noon,number=0x10,size=1M,colour=blue,many=1,many=2,many.3=4"), 0);
    CHECK_STR(t.text, "a,b");
    CHECK(!t.on && t.number == 16 && t.size == MIB && t.colour == COLOUR_BLUE);
    static const char *const bad[] = {"number=1", "number=101", "number=x", "number=-3", "number=",
                                      "on=maybe", "size=",      "colour=x", "unknown=1", "numbe=1",
                                      "text.0=a", "=a",         ",",        "a=1,,b"};
    for (size_t i = 0; i < ARRAY_SIZE(bad); i++)
        CHECK(read_thing(&t, bad[i]) < 0);
    CHECK(read_thing(&t, "frob=1") < 0);
    CHECK_STR(e.text, "thing: there is no property 'frob': it has text, on, number, size, colour, many");
}

static void test_json(void)
{
    struct thing t;
    CHECK_EQ(read_thing(&t, "{\"text\":\"a\",\"on\":false,\"number\":9,\"many\":[1,{\"x\":2}]}"), 0);
    CHECK(!t.on && t.number == 9);
    static const char *const bad[] = {"{", "{}x", "{\"\":1}", "{\"text\":{\"a\":1}}",
                                      "{\"text\":1,\"text\":2}"};
    for (size_t i = 0; i < ARRAY_SIZE(bad); i++)
        CHECK(read_thing(&t, bad[i]) < 0);
    char deep[400] = "";
    for (int i = 0; i < 60; i++)
        strcat(deep, "{\"a\":");
    CHECK(read_thing(&t, deep) < 0);
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
        {"-kernel", "option '-kernel' needs an argument: "},
        {"-foo", "unknown option '-foo': "},
        {"-", "unknown option '-': "},
        {"--", "unknown option '--': "},
        {"-fw_cfg x", "option '-fw_cfg' of QEMU is not supported: "},
        {"-kernel k -m 0", "-m: size '0' is out of range: use 2 MiB to 4 TiB"},
        {"-kernel k -m 1", "-m: size '1' is out of range: "},
        {"-kernel k -m 1E", "-m: size '1E' is out of range: "},
        {"-kernel k -m 512MB", "-m: size '512MB' is not a size: "},
        {"-kernel k -m -5", "-m: size '-5' is not a size: "},
        {"-kernel k -m 1G,slots=2", "-m: there is no property 'slots': it has size"},
        {"-kernel k -smp 0", "-smp: cpus '0' is out of range: "},
        {"-kernel k -smp x", "-smp: cpus 'x' is not a number"},
        {"-kernel k -smp 4,sockets=3", "-smp: sockets 3 * dies 1 * cores 1 * threads 1 must be "},
        {"-kernel k -smp 65536,sockets=65536,cores=65536,threads=65536", "-smp: sockets 65536 * "},
        {"-kernel k -accel tcg", "-accel: accel 'tcg' is not supported: use one of: auto, lodge, kvm"},
        {"-kernel k -machine isapc", "-machine: type 'isapc' is not supported: "},
        {"-kernel k -machine pc,usb=on", "-machine: usb 'on' is not supported: use one of: off"},
        {"-kernel k -D f", "-D 'f' without -d: "},
        {"-uuid 1234", "-uuid '1234' is not "},
        {"-boot xyz", "-boot 'xyz': "},
        {"-drive file=a,if=ide", "-drive: if 'ide' is not supported: "},
        {"-drive file=a,id=x -drive file=b,id=x", "-drive: id 'x' is taken: "},
        {"-netdev user,id=x -netdev user,id=x", "-netdev: id 'x' is taken: "},
        {"-nic user,model=e1000", "-nic: model 'e1000' is not supported: "},
        {"-blockdev {", "-blockdev: not JSON, "},
    };
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        e.text[0] = 0;
        CHECK(parse(cases[i][0]) < 0);
        e.text[strlen(cases[i][1])] = 0;
        CHECK_STR(e.text, cases[i][1]);
    }
}

int main(void)
{
    test_defaults();
    test_all();
    test_topology();
    test_objects();
    test_short();
    test_written();
    test_table();
    test_json();
    test_sizes();
    test_refused();
    return TEST_DONE();
}
