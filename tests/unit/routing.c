/* routing.c - test of GSI routing and MSIs (api.rst, KVM_SET_GSI_ROUTING, KVM_SIGNAL_MSI) */
/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <errno.h>

#include "tests/unit/test.h"
#include "tests/unit/irq_fake.h"

static struct vm *vm;
static struct vcpu *v;

static void begin(unsigned vcpus)
{
    vm = fake_vm(vcpus);
    v = vm->vcpu[0];
}

static struct kvm_irq_routing_entry pin(u32 gsi, u32 chip, u32 n)
{
    return (struct kvm_irq_routing_entry){
        .gsi = gsi, .type = KVM_IRQ_ROUTING_IRQCHIP, .u.irqchip = {.irqchip = chip, .pin = n}};
}

static struct kvm_irq_routing_entry msi(u32 gsi, u32 address, u32 data)
{
    return (struct kvm_irq_routing_entry){
        .gsi = gsi, .type = KVM_IRQ_ROUTING_MSI, .u.msi = {.address_lo = address, .data = data}};
}

static void test_default(void)
{
    begin(1);
    pic_setup(v, 0x30, 0, 1);
    for (unsigned n = 0; n < 24; n++)
        io_apic_route(v, n, 0x80 + n);
    pulse(vm, 10);
    CHECK_EQ(lapic_accept(v), 0x3a); /* pin 2 of the slave */
    CHECK_EQ(lapic_accept(v), 0x8a); /* and pin 10 of the IOAPIC */
    pulse(vm, 23);
    CHECK_EQ(lapic_pending(v), 0x97);
    CHECK_EQ(irqchip_set_line(vm, 24, true), -1);
    CHECK_EQ(irqchip_set_line(vm, 4095, true), -1);
    CHECK_EQ(irqchip_set_line(vm, 4096, true), -1);
    CHECK_EQ(irqchip_set_line(vm, UINT32_MAX, true), -1);
    fake_vm_free(vm);
}

static void test_table(void)
{
    struct kvm_irq_routing_entry e[] = {pin(5, KVM_IRQCHIP_IOAPIC, 20), msi(4095, 0xfee01000, 0x61),
                                        pin(5, KVM_IRQCHIP_PIC_MASTER, 3)};

    begin(2);
    pic_setup(v, 0x30, 0, 1);
    CHECK_EQ(irqchip_set_routing(vm, e, 3), 0);
    io_apic_route(v, 20, 0x55);
    pulse(vm, 5);
    CHECK_EQ(lapic_accept(v), 0x33);
    CHECK_EQ(lapic_accept(v), 0x55);
    CHECK_EQ(irqchip_set_line(vm, 4095, true), 1);
    CHECK_EQ(irqchip_set_line(vm, 4095, false), -1);
    CHECK_EQ(lapic_accept(vm->vcpu[1]), 0x61);
    CHECK_EQ(irqchip_set_line(vm, 4, true), -1); /* replaced, not added */
    CHECK_EQ(irqchip_set_routing(vm, NULL, 0), 0);
    CHECK_EQ(irqchip_set_line(vm, 5, true), -1);
    fake_vm_free(vm);
}

static void test_invalid(void)
{
    struct kvm_irq_routing_entry bad[] = {pin(4096, KVM_IRQCHIP_IOAPIC, 0),
                                          pin(1, KVM_IRQCHIP_IOAPIC, 24),
                                          pin(1, KVM_IRQCHIP_PIC_MASTER, 8),
                                          pin(1, KVM_IRQCHIP_PIC_SLAVE, 8),
                                          pin(1, 3, 0),
                                          {.gsi = 1, .type = 7},
                                          {.gsi = 1, .type = 2, .flags = 2},
                                          {.gsi = 1, .type = 1, .flags = 1}};
    struct kvm_irq_routing_entry same[] = {pin(1, KVM_IRQCHIP_IOAPIC, 0), pin(1, KVM_IRQCHIP_IOAPIC, 1)};
    struct kvm_irq_routing_entry mixed[] = {msi(1, 0xfee00000, 0x61), pin(1, KVM_IRQCHIP_IOAPIC, 1)};

    begin(1);
    io_apic_route(v, 20, 0x55);
    for (unsigned i = 0; i < ARRAY_SIZE(bad); i++)
        CHECK_EQ(irqchip_set_routing(vm, &bad[i], 1), -EINVAL);
    CHECK_EQ(irqchip_set_routing(vm, same, 2), -EINVAL);
    CHECK_EQ(irqchip_set_routing(vm, mixed, 2), -EINVAL);
    CHECK_EQ(irqchip_set_routing(vm, bad, ROUTES_MAX + 1), -EINVAL);
    pulse(vm, 20); /* the old table is still in force */
    CHECK_EQ(lapic_pending(v), 0x55);
    fake_vm_free(vm);
}

static void test_msi(void)
{
    begin(2);
    CHECK_EQ(irqchip_signal_msi(vm, 0xfee01000, 0x61), 1);
    CHECK_EQ(lapic_accept(vm->vcpu[1]), 0x61);
    CHECK_EQ(irqchip_signal_msi(vm, 0xfee07000, 0x61), 0); /* no such APIC */
    CHECK_EQ(irqchip_signal_msi(vm, 0xfeeff000, 0x72), 2); /* all */
    apic_write(vm->vcpu[0], 0xd0, 1 << 24);
    apic_write(vm->vcpu[1], 0xd0, 2 << 24);
    CHECK_EQ(irqchip_signal_msi(vm, 0xfee0300c, 0x83), 1); /* logical with the redirection hint: one of two */
    CHECK((lapic_pending(vm->vcpu[0]) == 0x83) != (lapic_pending(vm->vcpu[1]) == 0x83));
    fake_vm_free(vm);
}

static void test_creation(void)
{
    struct kvm_pit_config config = {0};
    struct kvm_pit_state2 pit;

    vm = calloc(1, sizeof(*vm));
    vm->timers = timers_create();
    CHECK_EQ(irqchip_create_pit(vm, &config), -ENOENT);
    CHECK_EQ(irqchip_set_routing(vm, NULL, 0), -EINVAL);
    CHECK_EQ(irqchip_set_line(vm, 1, true), -ENXIO);
    CHECK_EQ(irqchip_create(vm), 0);
    CHECK_EQ(irqchip_create(vm), -EEXIST);
    CHECK_EQ(irqchip_get_pit2(vm, &pit), -ENXIO);
    v = fake_vcpu(vm);
    CHECK(!irqchip_port_read(v, 0x40, 1, &(u32){0}));
    CHECK_EQ(irqchip_create_pit(vm, &config), 0);
    CHECK_EQ(irqchip_create_pit(vm, &config), -EEXIST);
    CHECK(irqchip_port_read(v, 0x40, 1, &(u32){0}));
    CHECK(!irqchip_port_read(v, 0x61, 1, &(u32){0})); /* only with KVM_PIT_SPEAKER_DUMMY */
    fake_vm_free(vm);
}

int main(void)
{
    test_default();
    test_table();
    test_invalid();
    test_msi();
    test_creation();
    return TEST_DONE();
}
