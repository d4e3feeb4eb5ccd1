/* irqfd.c - KVM_IRQFD: eventfds that raise interrupts, with and without resampling (api.rst 4.75) */
/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <poll.h>
#include <sys/eventfd.h>

#include "tests/api/api.h"

enum { CODE = 0x1000, RAM_PAGES = 16, MSI_GSI = 30, LEVEL_GSI = 10, MSI_VECTOR = 0x41, LEVEL_VECTOR = 0x51 };
enum { SVR = 0xf0, ISR = 0x100, TMR = 0x180, IRR = 0x200 };

#define GONE     KVM_IRQFD_FLAG_DEASSIGN
#define RESAMPLE KVM_IRQFD_FLAG_RESAMPLE

static struct machine m;

static int irqfd(int vm, int fd, uint32_t gsi, uint32_t flags, int resamplefd)
{
    struct kvm_irqfd k = {.fd = (uint32_t)fd, .gsi = gsi, .flags = flags, .resamplefd = (uint32_t)resamplefd};

    return KVM(vm, KVM_IRQFD, &k);
}

#define IRQFD_OK(...) test_call(irqfd(__VA_ARGS__), 0, __FILE__, __LINE__, "irqfd(" #__VA_ARGS__ ")")
#define IRQFD_FAILS(error, ...) \
    test_failure(irqfd(__VA_ARGS__), error, __FILE__, __LINE__, "irqfd(" #__VA_ARGS__ ")")

static void refused(int kvm)
{
    int fd = eventfd(0, EFD_NONBLOCK), other = eventfd(0, EFD_NONBLOCK), file = open("/dev/null", O_RDWR);
    int bare = KVM(kvm, KVM_CREATE_VM, 0);

    IRQFD_FAILS(EINVAL, bare, fd, 4, 0, 0); /* no irqchip */
    IRQFD_FAILS(EINVAL, m.vm, fd, 4, 4, 0);
    IRQFD_FAILS(EBADF, m.vm, -1, 4, 0, 0);
    IRQFD_FAILS(EINVAL, m.vm, file, 4, 0, 0);
    IRQFD_FAILS(EBADF, m.vm, fd, 4, RESAMPLE, -1);
    IRQFD_FAILS(EINVAL, m.vm, fd, 4, RESAMPLE, file);
    IRQFD_OK(m.vm, fd, 4, 0, 0);
    IRQFD_FAILS(EBUSY, m.vm, fd, 4, 0, 0);
    IRQFD_FAILS(EBUSY, m.vm, fd, 5, 0, 0);
    IRQFD_FAILS(EBUSY, m.vm, dup(fd), 5, 0, 0); /* the eventfd counts, not the descriptor */
    IRQFD_OK(m.vm, other, 4, 0, 0);
    IRQFD_OK(m.vm, fd, 5, GONE, 0); /* not of this GSI: no error, and no effect */
    IRQFD_FAILS(EBUSY, m.vm, fd, 5, 0, 0);
    IRQFD_OK(m.vm, fd, 4, GONE, 0);
    IRQFD_OK(m.vm, fd, 4, GONE, 0);
    IRQFD_FAILS(EBADF, m.vm, -1, 4, GONE, 0);
    IRQFD_OK(m.vm, fd, 100000, 0, 0); /* a GSI that no route can have */
    IRQFD_OK(m.vm, fd, 100000, GONE, 0);
    IRQFD_OK(m.vm, other, 4, GONE, 0);
    kvm_close(bare);
    close(fd);
    close(other);
    close(file);
}

static uint32_t *lapic_register(struct kvm_lapic_state *s, unsigned offset)
{
    return (uint32_t *)(s->regs + offset);
}

static bool pending(uint8_t vector)
{
    struct kvm_lapic_state s;

    CHECK_OK(m.vcpu, KVM_GET_LAPIC, &s);
    return *lapic_register(&s, IRR + vector / 32 * 16u) >> vector % 32 & 1;
}

/* An irqfd takes effect soon after the write; until it must, the test waits. */
static bool becomes_pending(uint8_t vector)
{
    for (unsigned i = 0; i < 10000; i++) {
        if (pending(vector))
            return true;
        usleep(1000);
    }
    return false;
}

/* No vector pending; or this one in service, of a level-triggered interrupt. */
static void lapic_set(int in_service)
{
    struct kvm_lapic_state s;

    CHECK_OK(m.vcpu, KVM_GET_LAPIC, &s);
    for (unsigned i = 0; i < 8; i++)
        *lapic_register(&s, IRR + 16 * i) = *lapic_register(&s, ISR + 16 * i) =
            *lapic_register(&s, TMR + 16 * i) = 0;
    if (in_service >= 0)
        *lapic_register(&s, ISR + (unsigned)in_service / 32 * 16) =
            *lapic_register(&s, TMR + (unsigned)in_service / 32 * 16) = 1u << in_service % 32;
    *lapic_register(&s, SVR) = 0x1ff;
    CHECK_OK(m.vcpu, KVM_SET_LAPIC, &s);
}

static void signal_fd(int fd)
{
    uint64_t one = 1;

    CHECK_EQ(write(fd, &one, sizeof(one)), sizeof(one));
}

static bool is_empty(int fd)
{
    struct pollfd p = {.fd = fd, .events = POLLIN};

    return poll(&p, 1, 0) == 0;
}

static void drain(int fd)
{
    uint64_t count;

    CHECK(read(fd, &count, sizeof(count)) == sizeof(count) || errno == EAGAIN);
}

static void set_routes(void)
{
    struct {
        struct {
            uint32_t nr, flags;
        } head; /* of struct kvm_irq_routing */
        struct kvm_irq_routing_entry entry[2];
    } r = {.head.nr = 2,
           .entry = {{.gsi = MSI_GSI,
                      .type = KVM_IRQ_ROUTING_MSI,
                      .u.msi = {.address_lo = 0xfee00000, .data = MSI_VECTOR}},
                     {.gsi = LEVEL_GSI,
                      .type = KVM_IRQ_ROUTING_IRQCHIP,
                      .u.irqchip = {.irqchip = KVM_IRQCHIP_IOAPIC, .pin = LEVEL_GSI}}}};

    CHECK_OK(m.vm, KVM_SET_GSI_ROUTING, &r);
}

static void message(void)
{
    int fd = eventfd(0, EFD_NONBLOCK);

    lapic_set(-1);
    signal_fd(fd);
    IRQFD_OK(m.vm, fd, MSI_GSI, 0, 0); /* what was written before counts */
    CHECK(becomes_pending(MSI_VECTOR));
    drain(fd);
    for (unsigned i = 0; i < 3; i++) {
        lapic_set(-1);
        CHECK(!pending(MSI_VECTOR));
        signal_fd(fd);
        CHECK(becomes_pending(MSI_VECTOR));
    }
    IRQFD_OK(m.vm, fd, MSI_GSI, GONE, 0);
    lapic_set(-1);
    signal_fd(fd);
    usleep(20000);
    CHECK(!pending(MSI_VECTOR));
    CHECK(!is_empty(fd)); /* it is the client's again */
    close(fd);
}

static uint64_t ioapic_entry(unsigned pin)
{
    struct kvm_irqchip chip = {.chip_id = KVM_IRQCHIP_IOAPIC};

    CHECK_OK(m.vm, KVM_GET_IRQCHIP, &chip);
    return chip.chip.ioapic.redirtbl[pin].bits;
}

static void ioapic_route_level(unsigned pin, uint8_t vector)
{
    struct kvm_irqchip chip = {.chip_id = KVM_IRQCHIP_IOAPIC};

    CHECK_OK(m.vm, KVM_GET_IRQCHIP, &chip);
    chip.chip.ioapic.redirtbl[pin].bits = vector | 1 << 15;
    CHECK_OK(m.vm, KVM_SET_IRQCHIP, &chip);
}

/* The guest ends the interrupt in service. */
static void end_interrupt(void)
{
    static const uint8_t code[] = {0xa3, 0xb0, 0x00, 0xe0, 0xfe, /* mov [APIC EOI], eax */
                                   0xe6, 0x80, 0xf4};            /* out 0x80, al */

    memcpy(m.ram + CODE, code, sizeof(code));
    enter_protected_mode(&m, CODE);
    CHECK_OK(m.vcpu, KVM_RUN, 0);
    CHECK_EQ(m.run->exit_reason, KVM_EXIT_IO);
}

static void resampled(void)
{
    int fd = eventfd(0, EFD_NONBLOCK), ended = eventfd(0, EFD_NONBLOCK);
    uint64_t remote_irr = 1 << 14;

    ioapic_route_level(LEVEL_GSI, LEVEL_VECTOR);
    lapic_set(-1);
    IRQFD_OK(m.vm, fd, LEVEL_GSI, RESAMPLE, ended);
    signal_fd(fd);
    CHECK(becomes_pending(LEVEL_VECTOR));
    CHECK(ioapic_entry(LEVEL_GSI) & remote_irr);
    CHECK(is_empty(ended));
    lapic_set(LEVEL_VECTOR);
    end_interrupt();
    CHECK(!(ioapic_entry(LEVEL_GSI) & remote_irr)); /* the line is low: no second interrupt */
    CHECK(!pending(LEVEL_VECTOR));
    CHECK(!is_empty(ended));
    signal_fd(fd); /* the device still wants it */
    CHECK(becomes_pending(LEVEL_VECTOR));
    IRQFD_OK(m.vm, fd, LEVEL_GSI, GONE, 0);
    lapic_set(LEVEL_VECTOR);
    end_interrupt();
    CHECK(!(ioapic_entry(LEVEL_GSI) & remote_irr)); /* and with the irqfd goes its line */
    close(fd);
    close(ended);
}

int main(int argc, char **argv)
{
    int kvm = api_start(argc, argv);

    m = machine_create(kvm, true, RAM_PAGES);
    set_supported_cpuid(kvm, m.vcpu);
    CHECK_RETURNS(kvm, KVM_CHECK_EXTENSION, KVM_CAP_IRQFD, 1);
    CHECK_RETURNS(kvm, KVM_CHECK_EXTENSION, KVM_CAP_IRQFD_RESAMPLE, 1);
    CHECK_FAILS(m.vm, KVM_IRQFD, 8, EFAULT);
    refused(kvm);
    set_routes();
    message();
    resampled();
    return TEST_DONE();
}
