/* split_irqchip.c - KVM_CAP_SPLIT_IRQCHIP: local APICs in KVM, PIC and IOAPIC in user space (api.rst 7.5) */
/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "tests/api/api.h"

enum { CODE = 0x1000, RAM_PAGES = 16, PINS = 24, LEVEL_GSI = 5, OTHER_GSI = 30, VECTOR = 0x61, OTHER = 0x71 };
enum { SVR = 0xf0, ISR = 0x100, TMR = 0x180, IRR = 0x200, LVT_LINT0 = 0x350 };

static struct machine m;

static int enable(int vm, uint64_t pins)
{
    struct kvm_enable_cap c = {.cap = KVM_CAP_SPLIT_IRQCHIP, .args = {pins}};

    return KVM(vm, KVM_ENABLE_CAP, &c);
}

static void create(int kvm)
{
    m.ram = pages(RAM_PAGES);
    m.vm = KVM(kvm, KVM_CREATE_VM, 0);
    CHECK_RETURNS(kvm, KVM_CHECK_EXTENSION, KVM_CAP_SPLIT_IRQCHIP, 1);
    test_failure(enable(m.vm, 5000), EINVAL, __FILE__, __LINE__, "too many pins");
    CHECK_EQ(enable(m.vm, PINS), 0);
    test_failure(enable(m.vm, PINS), EEXIST, __FILE__, __LINE__, "twice");
    CHECK_FAILS(m.vm, KVM_CREATE_IRQCHIP, 0, EEXIST);
    CHECK_EQ(set_region(m.vm, 0, 0, 0, RAM_PAGES * PAGE, m.ram), 0);
    m.vcpu = KVM(m.vm, KVM_CREATE_VCPU, 0);
    m.run = mmap(NULL, 3 * PAGE, PROT_READ | PROT_WRITE, MAP_SHARED, m.vcpu, 0);
    set_supported_cpuid(kvm, m.vcpu);
}

static void too_late(int kvm)
{
    struct machine bare = machine_create(kvm, false, 1);

    test_failure(enable(bare.vm, PINS), EEXIST, __FILE__, __LINE__, "after a vcpu");
}

static void no_chips(void)
{
    struct kvm_irqchip chip = {.chip_id = KVM_IRQCHIP_IOAPIC};
    struct kvm_pit_config pit = {0};
    struct kvm_lapic_state lapic;

    CHECK_FAILS(m.vm, KVM_GET_IRQCHIP, &chip, ENXIO);
    CHECK_FAILS(m.vm, KVM_SET_IRQCHIP, &chip, ENXIO);
    CHECK_FAILS(m.vm, KVM_CREATE_PIT2, &pit, ENOENT);
    CHECK_OK(m.vcpu, KVM_GET_LAPIC, &lapic);
}

struct routes {
    struct {
        uint32_t nr, flags;
    } head; /* of struct kvm_irq_routing */
    struct kvm_irq_routing_entry entry[2];
};

static void routing(void)
{
    struct routes r = {
        .head.nr = 2,
        .entry = {
            {.gsi = LEVEL_GSI, .type = KVM_IRQ_ROUTING_MSI, .u.msi = {0xfee00000, 0, VECTOR | 1 << 15}},
            {.gsi = OTHER_GSI, .type = KVM_IRQ_ROUTING_MSI, .u.msi = {0xfee00000, 0, OTHER | 1 << 15}}}};
    struct routes pin = {
        .head.nr = 1,
        .entry = {{.gsi = 4, .type = KVM_IRQ_ROUTING_IRQCHIP, .u.irqchip = {KVM_IRQCHIP_IOAPIC, 4}}}};

    CHECK_FAILS(m.vm, KVM_SET_GSI_ROUTING, &pin, EINVAL);
    CHECK_OK(m.vm, KVM_SET_GSI_ROUTING, &r);
}

static uint32_t *lapic_register(struct kvm_lapic_state *s, unsigned offset)
{
    return (uint32_t *)(s->regs + offset);
}

static void lapic_set(uint8_t in_service, uint32_t lint0)
{
    struct kvm_lapic_state s;

    CHECK_OK(m.vcpu, KVM_GET_LAPIC, &s);
    for (unsigned i = 0; i < 8; i++)
        *lapic_register(&s, IRR + 16 * i) = *lapic_register(&s, ISR + 16 * i) =
            *lapic_register(&s, TMR + 16 * i) = 0;
    if (in_service)
        *lapic_register(&s, ISR + in_service / 32 * 16u) = *lapic_register(&s, TMR + in_service / 32 * 16u) =
            1u << in_service % 32;
    *lapic_register(&s, SVR) = 0x1ff;
    *lapic_register(&s, LVT_LINT0) = lint0;
    CHECK_OK(m.vcpu, KVM_SET_LAPIC, &s);
}

static void lines(void)
{
    struct kvm_irq_level line = {.irq = LEVEL_GSI, .level = 1};
    struct kvm_lapic_state s;

    lapic_set(0, 0x10000);
    CHECK_OK(m.vm, KVM_IRQ_LINE, &line);
    CHECK_OK(m.vcpu, KVM_GET_LAPIC, &s);
    CHECK(*lapic_register(&s, IRR + VECTOR / 32 * 16) >> VECTOR % 32 & 1);
}

/* The guest ends what is in service, then writes to a port. */
static void end_interrupt(void)
{
    static const uint8_t code[] = {0xa3, 0xb0, 0x00, 0xe0, 0xfe, /* mov [APIC EOI], eax */
                                   0xe6, 0x80, 0xf4};            /* out 0x80, al */

    memcpy(m.ram + CODE, code, sizeof(code));
    enter_protected_mode(&m, CODE);
    CHECK_OK(m.vcpu, KVM_RUN, 0);
}

/* User space hears of interrupts of its IOAPIC's pins only. */
static void ends(void)
{
    lapic_set(VECTOR, 0x10000);
    end_interrupt();
    bool first = m.run->exit_reason == KVM_EXIT_IOAPIC_EOI;
    if (first)
        CHECK_EQ(m.run->eoi.vector, VECTOR);
    CHECK_OK(m.vcpu, KVM_RUN, 0);
    if (!first)
        CHECK_EQ(m.run->exit_reason, KVM_EXIT_IOAPIC_EOI);
    lapic_set(OTHER, 0x10000);
    end_interrupt();
    CHECK_EQ(m.run->exit_reason, KVM_EXIT_IO);
    CHECK_EQ(m.run->io.port, 0x80);
}

/* The PIC's interrupt goes through LINT0; it is refused while one waits. */
static void external(void)
{
    struct kvm_interrupt i = {.irq = 0x33};
    static const uint8_t code[] = {0xfb, 0x90, 0x90, 0xe6, 0x80, 0xf4}; /* sti; nop; nop; out 0x80, al */

    memcpy(m.ram + CODE, code, sizeof(code));
    enter_protected_mode(&m, CODE);
    lapic_set(0, 0x700);
    CHECK_EQ(m.run->ready_for_interrupt_injection, 0); /* IF is clear */
    m.run->request_interrupt_window = 1;
    CHECK_OK(m.vcpu, KVM_RUN, 0);
    CHECK_EQ(m.run->exit_reason, KVM_EXIT_IRQ_WINDOW_OPEN);
    CHECK_EQ(m.run->ready_for_interrupt_injection, 1);
    CHECK_EQ(m.run->if_flag, 1);
    m.run->request_interrupt_window = 0;
    lapic_set(0, 0x10000); /* masked: it waits */
    CHECK_OK(m.vcpu, KVM_INTERRUPT, &i);
    CHECK_FAILS(m.vcpu, KVM_INTERRUPT, &i, EEXIST);
    CHECK_OK(m.vcpu, KVM_RUN, 0);
    CHECK_EQ(m.run->exit_reason, KVM_EXIT_IO);
    CHECK_EQ(m.run->ready_for_interrupt_injection, 0);
    i.irq = 256;
    CHECK_FAILS(m.vcpu, KVM_INTERRUPT, &i, EINVAL);
}

int main(int argc, char **argv)
{
    int kvm = api_start(argc, argv);

    create(kvm);
    too_late(kvm);
    no_chips();
    routing();
    lines();
    ends();
    if (api_is_kernel)
        puts("skipped: external: KVMs without hardware behind them do not open the interrupt window");
    else
        external();
    return TEST_DONE();
}
