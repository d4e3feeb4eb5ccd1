/* ioapic.c - test of the I/O APIC, by the 82093AA data sheet */
/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "tests/unit/test.h"
#include "tests/unit/irq_fake.h"

#define LEVEL   BIT(15)
#define MASKED  BIT(16)
#define LOGICAL BIT(11)
#define REMOTE  BIT(14)
#define TO(id)  ((u64)(id) << 56)

static struct vm *vm;
static struct vcpu *v;

static void begin(unsigned vcpus)
{
    vm = fake_vm(vcpus);
    v = vm->vcpu[0];
}

static void eoi(struct vcpu *cpu)
{
    apic_write(cpu, 0xb0, 0);
}

static void test_registers(void)
{
    u8 index = 1;
    u32 value = 0;

    begin(1);
    CHECK_EQ(io_apic_read(v, 1), 0x00170011);
    io_apic_write(v, 0, 0x05000000);
    CHECK_EQ(io_apic_read(v, 0), 0x05000000);
    CHECK_EQ(io_apic_read(v, 2), 0x05000000);
    for (unsigned pin = 0; pin < 24; pin++)
        CHECK_EQ(io_apic_read(v, (u8)(0x10 + 2 * pin)), MASKED);
    CHECK_EQ(io_apic_read(v, 0x40), 0); /* there is no pin 24 */
    io_apic_write(v, 0x40, 0x1234);
    io_apic_write(v, 0x10, 0xffffffff);
    CHECK_EQ(io_apic_read(v, 0x10), 0x1afff); /* delivery status and remote IRR are read-only */
    CHECK(irqchip_mmio_write(v, 0xfec00000, 1, &index));
    CHECK(irqchip_mmio_read(v, 0xfec00010, 4, &value));
    CHECK_EQ(value, 0x00170011);
    CHECK(!irqchip_mmio_read(v, 0xfec00100, 4, &value));
    CHECK(!irqchip_mmio_read(v, 0xfebffffc, 4, &value));
    fake_vm_free(vm);
}

static void test_edge(void)
{
    begin(1);
    io_apic_route(v, 4, 0x41);
    CHECK_EQ(irqchip_set_line(vm, 4, true), 1 + 1); /* the PIC, which is not masked, and the APIC */
    CHECK_EQ(irqchip_set_line(vm, 4, true), 1);     /* no edge: of the two, only KVM's PIC calls that taken */
    irqchip_set_line(vm, 4, false);
    CHECK_EQ(lapic_accept(v), 4); /* the PIC comes first: its vectors start at 0 */
    port_out(v, 0x20, 0x20);
    port_out(v, 0x21, 0xff);
    CHECK_EQ(lapic_accept(v), 0x41);
    eoi(v);
    CHECK_EQ(lapic_pending(v), -1);
    pulse(vm, 20);
    CHECK_EQ(lapic_pending(v), -1); /* masked: the edge is lost */
    io_apic_route(v, 20, 0x42);
    CHECK_EQ(lapic_pending(v), -1);
    CHECK_EQ(irqchip_set_line(vm, 20, true), 1);
    irqchip_set_line(vm, 20, false);
    CHECK_EQ(irqchip_set_line(vm, 20, true), 0); /* still pending in the local APIC: coalesced */
    fake_vm_free(vm);
}

static void test_level(void)
{
    begin(1);
    io_apic_route(v, 17, LEVEL | 0x51);
    CHECK_EQ(irqchip_set_line(vm, 17, true), 1);
    CHECK(io_apic_read(v, 0x10 + 34) & REMOTE);
    CHECK_EQ(irqchip_set_line(vm, 17, true), -1); /* waits for the EOI */
    CHECK_EQ(lapic_accept(v), 0x51);
    CHECK_EQ(lapic_pending(v), -1);
    eoi(v);
    CHECK_EQ(lapic_accept(v), 0x51); /* the line is still high */
    irqchip_set_line(vm, 17, false);
    eoi(v);
    CHECK_EQ(lapic_pending(v), -1);
    CHECK(!(io_apic_read(v, 0x10 + 34) & REMOTE));
    irqchip_set_line(vm, 17, true);
    io_apic_route(v, 17, MASKED | 0x51); /* edge, masked: clears the remote IRR */
    CHECK(!(io_apic_read(v, 0x10 + 34) & REMOTE));
    fake_vm_free(vm);
}

static void test_unmask_level(void)
{
    begin(1);
    irqchip_set_line(vm, 18, true);
    CHECK_EQ(lapic_pending(v), -1);
    io_apic_route(v, 18, LEVEL | 0x61);
    CHECK_EQ(lapic_pending(v), 0x61);
    fake_vm_free(vm);
}

static void test_destinations(void)
{
    begin(3);
    io_apic_route(v, 16, TO(2) | 0x71);
    pulse(vm, 16);
    CHECK_EQ(lapic_pending(vm->vcpu[0]), -1);
    CHECK_EQ(lapic_pending(vm->vcpu[2]), 0x71);
    io_apic_route(v, 16, TO(0xff) | 0x72);
    CHECK_EQ(irqchip_set_line(vm, 16, true), 3);
    for (unsigned i = 0; i < 3; i++)
        apic_write(vm->vcpu[i], 0xd0, (u32)BIT(24 + i)); /* flat logical IDs */
    io_apic_route(v, 19, TO(6) | LOGICAL | 0x83);
    CHECK_EQ(irqchip_set_line(vm, 19, true), 2);
    CHECK_EQ(lapic_pending(vm->vcpu[0]), 0x72);
    CHECK_EQ(lapic_pending(vm->vcpu[1]), 0x83);
    io_apic_route(v, 21, TO(9) | 0x91);
    CHECK_EQ(irqchip_set_line(vm, 21, true), -1); /* nobody */
    fake_vm_free(vm);
}

static void test_lowest_priority(void)
{
    unsigned taken[2] = {0};

    begin(2);
    apic_write(vm->vcpu[0], 0xd0, 1 << 24);
    apic_write(vm->vcpu[1], 0xd0, 2 << 24);
    io_apic_route(v, 16, TO(3) | LOGICAL | 0x171);
    for (unsigned n = 0; n < 8; n++) {
        pulse(vm, 16);
        for (unsigned i = 0; i < 2; i++) {
            if (lapic_pending(vm->vcpu[i]) == 0x71) {
                taken[i]++;
                lapic_accept(vm->vcpu[i]);
                eoi(vm->vcpu[i]);
            }
        }
    }
    CHECK_EQ(taken[0], 4);
    CHECK_EQ(taken[1], 4);
    apic_write(vm->vcpu[0], 0x80, 0x80);
    for (unsigned n = 0; n < 4; n++) {
        pulse(vm, 16);
        CHECK_EQ(lapic_accept(vm->vcpu[1]), 0x71); /* the one with the lower priority */
        eoi(vm->vcpu[1]);
    }
    fake_vm_free(vm);
}

static void test_delivery_modes(void)
{
    begin(2);
    io_apic_route(v, 16, TO(1) | 4 << 8); /* NMI */
    pulse(vm, 16);
    CHECK(vm->vcpu[1]->nmi_pending);
    io_apic_route(v, 16, TO(1) | 5 << 8); /* INIT */
    pulse(vm, 16);
    CHECK(vm->vcpu[1]->init_pending);
    pic_setup(v, 0x30, 0, 1);
    pulse(vm, 5);
    CHECK_EQ(lapic_pending(vm->vcpu[1]), -1); /* its LINT0 is masked */
    io_apic_route(v, 16, TO(1) | 7 << 8);     /* ExtINT */
    pulse(vm, 16);
    CHECK_EQ(lapic_accept(vm->vcpu[1]), 0x35);
    fake_vm_free(vm);
}

static void test_state(void)
{
    struct kvm_irqchip chip = {.chip_id = KVM_IRQCHIP_IOAPIC};

    begin(1);
    io_apic_route(v, 16, LEVEL | 0x51);
    io_apic_route(v, 17, 0x52);
    irqchip_set_line(vm, 16, true);
    irqchip_set_line(vm, 17, true);
    CHECK_EQ(irqchip_get(vm, &chip), 0);
    CHECK_EQ(chip.chip.ioapic.irr, BIT(16)); /* the edge has been sent */
    CHECK_EQ(chip.chip.ioapic.redirtbl[16].bits, LEVEL | REMOTE | 0x51);
    chip.chip.ioapic.redirtbl[16].bits = LEVEL | 0x53;
    CHECK_EQ(irqchip_set(vm, &chip), 0);
    CHECK_EQ(lapic_accept(v), 0x53); /* what was asserted is sent */
    chip.chip_id = 3;
    CHECK_EQ(irqchip_get(vm, &chip), -22);
    CHECK_EQ(irqchip_set(vm, &chip), -22);
    fake_vm_free(vm);
}

int main(void)
{
    test_registers();
    test_edge();
    test_level();
    test_unmask_level();
    test_destinations();
    test_lowest_priority();
    test_delivery_modes();
    test_state();
    return TEST_DONE();
}
