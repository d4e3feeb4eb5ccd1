/* stats_fd.c - KVM_GET_STATS_FD: the file's form, and that it counts (api.rst 4.131) */
/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "tests/api/api.h"

enum { CODE = 0x1000, RAM_PAGES = 16, MOST = 256 };

struct stats {
    struct kvm_stats_header head;
    union {
        struct kvm_stats_desc d;
        char room[sizeof(struct kvm_stats_desc) + 256];
    } descriptor[MOST];
};

static size_t size_of(const struct stats *s)
{
    return sizeof(struct kvm_stats_desc) + s->head.name_size;
}

static void check_descriptor(const struct stats *s, const struct kvm_stats_desc *d)
{
    CHECK((d->flags & KVM_STATS_TYPE_MASK) <= KVM_STATS_TYPE_MAX);
    CHECK((d->flags & KVM_STATS_UNIT_MASK) <= KVM_STATS_UNIT_MAX);
    CHECK((d->flags & KVM_STATS_BASE_MASK) <= KVM_STATS_BASE_MAX);
    CHECK(d->size >= 1);
    CHECK(d->name[0] && strnlen(d->name, s->head.name_size) < s->head.name_size);
}

/* The values stand side by side, so that they can be read in one piece. */
static void check_data(int fd, const struct stats *s)
{
    static uint64_t data[8192]; /* histograms have many values */
    size_t size = 0;

    for (unsigned i = 0; i < s->head.num_desc; i++)
        size += s->descriptor[i].d.size * sizeof(data[0]);
    CHECK(size <= sizeof(data));
    for (unsigned i = 0; i < s->head.num_desc; i++)
        CHECK(s->descriptor[i].d.offset + s->descriptor[i].d.size * sizeof(data[0]) <= size);
    CHECK_EQ(pread(fd, data, size, s->head.data_offset), size);
}

static struct stats *stats_read(int fd, const char *id_ends)
{
    struct stats *s = calloc(1, sizeof(*s));
    char id[256];

    CHECK_EQ(read(fd, &s->head, sizeof(s->head)), sizeof(s->head));
    CHECK_EQ(s->head.flags, 0);
    CHECK(s->head.num_desc > 0 && s->head.num_desc < MOST && s->head.name_size <= sizeof(id));
    CHECK_EQ(pread(fd, id, s->head.name_size, s->head.id_offset), s->head.name_size);
    CHECK(!strncmp(id, "kvm-", 4) && strstr(id, id_ends));
    for (unsigned i = 0; i < s->head.num_desc; i++) {
        off_t at = s->head.desc_offset + (off_t)(i * size_of(s));
        CHECK_EQ(pread(fd, &s->descriptor[i], size_of(s), at), size_of(s));
        check_descriptor(s, &s->descriptor[i].d);
    }
    check_data(fd, s);
    return s;
}

static uint64_t value(int fd, const struct stats *s, const char *name)
{
    uint64_t v = 0;
    bool found = false;

    for (unsigned i = 0; i < s->head.num_desc; i++)
        if (!strcmp(s->descriptor[i].d.name, name)) {
            found = true;
            CHECK_EQ(pread(fd, &v, sizeof(v), s->head.data_offset + s->descriptor[i].d.offset), sizeof(v));
        }
    CHECK(found);
    return v;
}

static void counted(struct machine *m, int fd, const struct stats *s)
{
    static const uint8_t code[] = {0xe6, 0x80, 0xe6, 0x80, 0xf4}; /* out 0x80, al, twice; hlt */
    uint64_t exits = value(fd, s, "exits"), io = value(fd, s, "io_exits");

    memcpy(m->ram + CODE, code, sizeof(code));
    enter_protected_mode(m, CODE);
    CHECK_OK(m->vcpu, KVM_RUN, 0);
    CHECK_OK(m->vcpu, KVM_RUN, 0);
    CHECK_EQ(m->run->exit_reason, KVM_EXIT_IO);
    if (!api_is_kernel) /* one that emulates guest code does not count these */
        CHECK_EQ(value(fd, s, "io_exits"), io + 2);
    CHECK(value(fd, s, "exits") >= exits + 2);
}

int main(int argc, char **argv)
{
    int kvm = api_start(argc, argv);
    struct machine m = machine_create(kvm, false, RAM_PAGES);
    char data[8] = {0};

    CHECK_RETURNS(m.vm, KVM_CHECK_EXTENSION, KVM_CAP_BINARY_STATS_FD, 1);
    int vm = KVM(m.vm, KVM_GET_STATS_FD, 0), vcpu = KVM(m.vcpu, KVM_GET_STATS_FD, 0);
    CHECK(vm >= 0 && vcpu >= 0);
    free(stats_read(vm, "kvm-"));
    struct stats *s = stats_read(vcpu, "vcpu-0");
    counted(&m, vcpu, s);
    int again = KVM(m.vcpu, KVM_GET_STATS_FD, 0);
    CHECK_EQ(value(again, s, "io_exits"), value(vcpu, s, "io_exits"));
    CHECK_EQ(write(vcpu, data, sizeof(data)), -1);
    close(vm);
    close(vcpu);
    kvm_close(m.vcpu);
    kvm_close(m.vm);
    CHECK(value(again, s, "exits") > 0); /* it outlives them */
    free(s);
    return TEST_DONE();
}
