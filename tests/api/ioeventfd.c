/* ioeventfd.c - KVM_IOEVENTFD: which writes signal, which leave KVM_RUN, what is refused (api.rst 4.59) */
/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <sys/eventfd.h>

#include "tests/api/api.h"

enum { CODE = 0x1000, RAM_PAGES = 16, HOLE = 0x100000 };

#define ANY   0
#define MATCH KVM_IOEVENTFD_FLAG_DATAMATCH
#define PIO   KVM_IOEVENTFD_FLAG_PIO
#define GONE  KVM_IOEVENTFD_FLAG_DEASSIGN

static struct machine m;

static int ioeventfd(int fd, uint64_t address, uint32_t len, uint64_t match, uint32_t flags)
{
    struct kvm_ioeventfd e = {.fd = fd, .addr = address, .len = len, .datamatch = match, .flags = flags};

    return KVM(m.vm, KVM_IOEVENTFD, &e);
}

#define IOEVENTFD_OK(...) \
    test_call(ioeventfd(__VA_ARGS__), 0, __FILE__, __LINE__, "ioeventfd(" #__VA_ARGS__ ")")
#define IOEVENTFD_FAILS(error, ...) \
    test_failure(ioeventfd(__VA_ARGS__), error, __FILE__, __LINE__, "ioeventfd(" #__VA_ARGS__ ")")

static uint64_t count_of(int fd)
{
    uint64_t n = 0;

    return read(fd, &n, sizeof(n)) == sizeof(n) ? n : 0;
}

static void refused(void)
{
    int fd = eventfd(0, EFD_NONBLOCK), other = eventfd(0, EFD_NONBLOCK), file = open("/dev/null", O_RDWR);

    IOEVENTFD_FAILS(EBADF, -1, HOLE, 4, 0, ANY);
    IOEVENTFD_FAILS(EBADF, 9999, HOLE, 4, 0, ANY);
    IOEVENTFD_FAILS(EINVAL, file, HOLE, 4, 0, ANY);
    IOEVENTFD_FAILS(EINVAL, m.vm, HOLE, 4, 0, ANY);
    IOEVENTFD_FAILS(EINVAL, fd, HOLE, 3, 0, ANY);
    IOEVENTFD_FAILS(EINVAL, fd, HOLE, 16, 0, ANY);
    IOEVENTFD_FAILS(EINVAL, fd, HOLE, 0, 7, MATCH);
    IOEVENTFD_FAILS(EINVAL, fd, ~0ull, 4, 0, ANY);
    IOEVENTFD_FAILS(EINVAL, fd, HOLE, 4, 0, 1 << 30);
    IOEVENTFD_FAILS(ENOENT, fd, HOLE, 4, 0, GONE);
    IOEVENTFD_FAILS(EBADF, -1, HOLE, 4, 0, GONE);

    IOEVENTFD_OK(fd, HOLE, 4, 7, MATCH);
    IOEVENTFD_FAILS(EEXIST, other, HOLE, 4, 7, MATCH);
    IOEVENTFD_FAILS(EEXIST, other, HOLE, 4, 0, ANY);
    IOEVENTFD_FAILS(EEXIST, other, HOLE, 0, 0, ANY);
    IOEVENTFD_OK(other, HOLE, 4, 8, MATCH);
    IOEVENTFD_OK(other, HOLE, 2, 7, MATCH);
    IOEVENTFD_OK(other, HOLE, 4, 7, MATCH | PIO);
    IOEVENTFD_FAILS(ENOENT, other, HOLE, 4, 7, MATCH | GONE); /* that is fd's */
    IOEVENTFD_FAILS(ENOENT, fd, HOLE, 4, 7, GONE);
    IOEVENTFD_OK(dup(fd), HOLE, 4, 7, MATCH | GONE); /* the eventfd counts, not the descriptor */
    IOEVENTFD_OK(other, HOLE, 4, 8, MATCH | GONE);
    IOEVENTFD_OK(other, HOLE, 2, 7, MATCH | GONE);
    IOEVENTFD_OK(other, HOLE, 4, 7, MATCH | PIO | GONE);
    close(fd);
    close(other);
    close(file);
}

static void run_code(const uint8_t *code, size_t size)
{
    memcpy(m.ram + CODE, code, size);
    enter_protected_mode(&m, CODE);
    CHECK_OK(m.vcpu, KVM_RUN, 0);
}
#define RUN(...)                                     \
    do {                                             \
        static const uint8_t code[] = {__VA_ARGS__}; \
        run_code(code, sizeof(code));                \
    } while (0)

static void memory_mapped(void)
{
    int fd = eventfd(0, EFD_NONBLOCK), any = eventfd(0, EFD_NONBLOCK);

    IOEVENTFD_OK(fd, HOLE, 4, 0x12345678, MATCH);
    IOEVENTFD_OK(any, HOLE + 8, 2, 0, ANY);
    RUN(0xb8, 0x78, 0x56, 0x34, 0x12,       /* mov eax, 0x12345678 */
        0xa3, 0x00, 0x00, 0x10, 0x00,       /* mov [HOLE], eax */
        0x66, 0xa3, 0x08, 0x00, 0x10, 0x00, /* mov [HOLE + 8], ax */
        0x66, 0xa3, 0x08, 0x00, 0x10, 0x00, /* again */
        0xf4);
    CHECK_EQ(m.run->exit_reason, KVM_EXIT_HLT);
    CHECK_EQ(count_of(fd), 1);
    CHECK_EQ(count_of(any), 2);
    RUN(0xb8, 0x79, 0x56, 0x34, 0x12, /* another value */
        0xa3, 0x00, 0x00, 0x10, 0x00, 0xf4);
    CHECK_EQ(m.run->exit_reason, KVM_EXIT_MMIO);
    CHECK_EQ(m.run->mmio.phys_addr, HOLE);
    RUN(0xa3, 0x08, 0x00, 0x10, 0x00, /* another size */
        0xf4);
    CHECK_EQ(m.run->exit_reason, KVM_EXIT_MMIO);
    RUN(0x66, 0xa1, 0x08, 0x00, 0x10, 0x00, /* a read */
        0xf4);
    CHECK_EQ(m.run->exit_reason, KVM_EXIT_MMIO);
    CHECK_EQ(m.run->mmio.is_write, 0);
    CHECK_OK(m.vcpu, KVM_RUN, 0);
    CHECK_EQ(count_of(fd), 0);
    CHECK_EQ(count_of(any), 0);
    IOEVENTFD_OK(fd, HOLE, 4, 0x12345678, MATCH | GONE);
    IOEVENTFD_OK(any, HOLE + 8, 2, 0, GONE);
    RUN(0x66, 0xa3, 0x08, 0x00, 0x10, 0x00, 0xf4);
    CHECK_EQ(m.run->exit_reason, KVM_EXIT_MMIO);
    close(fd);
    close(any);
}

static void any_length(void)
{
    int fd = eventfd(0, EFD_NONBLOCK), port = eventfd(0, EFD_NONBLOCK);

    IOEVENTFD_OK(fd, HOLE, 0, 0, ANY);
    IOEVENTFD_OK(port, 0x600, 0, 0, PIO);
    close(fd = dup(fd));                     /* the client's descriptors may come and go */
    RUN(0xa2, 0x00, 0x00, 0x10, 0x00,        /* mov [HOLE], al */
        0xa3, 0x00, 0x00, 0x10, 0x00,        /* mov [HOLE], eax */
        0x66, 0xba, 0x00, 0x06,              /* mov dx, 0x600 */
        0xee, 0xef,                          /* out dx, al; out dx, eax */
        0xa2, 0x04, 0x00, 0x10, 0x00, 0xf4); /* mov [HOLE + 4], al */
    CHECK_EQ(m.run->exit_reason, KVM_EXIT_MMIO);
    CHECK_EQ(m.run->mmio.phys_addr, HOLE + 4);
    CHECK_EQ(count_of(port), 2);
    IOEVENTFD_OK(port, 0x600, 0, 0, PIO | GONE);
    close(port);
}

static void ports(void)
{
    int fd = eventfd(0, EFD_NONBLOCK);

    IOEVENTFD_OK(fd, 0x600, 2, 3, PIO | MATCH);
    RUN(0x66, 0xb8, 0x03, 0x00, /* mov ax, 3 */
        0x66, 0xba, 0x00, 0x06, /* mov dx, 0x600 */
        0x66, 0xef, 0xee,       /* out dx, ax; out dx, al */
        0xf4);
    CHECK_EQ(m.run->exit_reason, KVM_EXIT_IO);
    CHECK_EQ(m.run->io.size, 1);
    CHECK_EQ(count_of(fd), 1);
    IOEVENTFD_OK(fd, 0x600, 2, 3, PIO | MATCH | GONE);
    close(fd);
}

/* There is no limit to them but that of memory and descriptors. */
static void many(void)
{
    enum { COUNT = 500 };
    int fd = eventfd(0, EFD_NONBLOCK);

    for (uint32_t n = 0; n < COUNT; n++)
        IOEVENTFD_OK(fd, HOLE + PAGE, 4, n, MATCH);
    for (uint32_t n = COUNT; n--;)
        IOEVENTFD_OK(fd, HOLE + PAGE, 4, n, MATCH | GONE);
    close(fd);
}

int main(int argc, char **argv)
{
    int kvm = api_start(argc, argv);

    m = machine_create(kvm, false, RAM_PAGES);
    CHECK_RETURNS(kvm, KVM_CHECK_EXTENSION, KVM_CAP_IOEVENTFD, 1);
    CHECK_RETURNS(kvm, KVM_CHECK_EXTENSION, KVM_CAP_IOEVENTFD_ANY_LENGTH, 1);
    CHECK_FAILS(m.vm, KVM_IOEVENTFD, 8, EFAULT);
    refused();
    memory_mapped();
    ports();
    any_length();
    many();
    return TEST_DONE();
}
