/* irqchip.c - creating the interrupt chips, their state, lines, messages and routes */
/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "tests/api/api.h"

enum { PIC_MASTER, PIC_SLAVE, IOAPIC, NO_CHIP, IOAPIC_PINS = 24, UNUSED_GSI = 200 };

static int vm;

static void creation(int kvm)
{
    struct kvm_pit_config config = {.flags = 0};
    struct kvm_pit_state2 pit;

    vm = KVM(kvm, KVM_CREATE_VM, 0);
    CHECK_OK(vm, KVM_CREATE_IRQCHIP, 0);
    CHECK_FAILS(vm, KVM_CREATE_IRQCHIP, 0, EEXIST);
    CHECK_FAILS(vm, KVM_GET_PIT2, &pit, ENXIO);
    CHECK_OK(vm, KVM_CREATE_PIT2, &config);
    CHECK_FAILS(vm, KVM_CREATE_PIT2, &config, EEXIST);
    CHECK(KVM(vm, KVM_CREATE_VCPU, 0) >= 0);
    CHECK_FAILS(vm, KVM_CREATE_IRQCHIP, 0, EEXIST);
}

static void chips(void)
{
    struct kvm_irqchip in = {.chip_id = PIC_MASTER}, out = {.chip_id = PIC_MASTER};

    CHECK_OK(vm, KVM_GET_IRQCHIP, &in);
    in.chip.pic.irq_base = 0x20;
    in.chip.pic.imr = 0xfb;
    in.chip.pic.elcr = 0x20;
    CHECK_OK(vm, KVM_SET_IRQCHIP, &in);
    CHECK_OK(vm, KVM_GET_IRQCHIP, &out);
    CHECK_EQ(out.chip.pic.irq_base, 0x20);
    CHECK_EQ(out.chip.pic.imr, 0xfb);

    in = (struct kvm_irqchip){.chip_id = IOAPIC};
    CHECK_OK(vm, KVM_GET_IRQCHIP, &in);
    CHECK_EQ(in.chip.ioapic.base_address, 0xfec00000);
    CHECK_EQ(in.chip.ioapic.redirtbl[3].fields.mask, 1);
    in.chip.ioapic.id = 5;
    in.chip.ioapic.redirtbl[4].bits = 0x34;
    CHECK_OK(vm, KVM_SET_IRQCHIP, &in);
    out = (struct kvm_irqchip){.chip_id = IOAPIC};
    CHECK_OK(vm, KVM_GET_IRQCHIP, &out);
    CHECK_EQ(out.chip.ioapic.id, 5);
    CHECK_EQ(out.chip.ioapic.redirtbl[4].bits, 0x34);
    out.chip_id = NO_CHIP;
    CHECK_FAILS(vm, KVM_GET_IRQCHIP, &out, EINVAL);
    CHECK_FAILS(vm, KVM_SET_IRQCHIP, &out, EINVAL);
}

/* The older form has no flags. */
static void old_pit(void)
{
    struct kvm_pit_state old;
    struct kvm_pit_state2 now;

    CHECK_OK(vm, KVM_GET_PIT, &old);
    old.channels[2].count = 0x4321;
    CHECK_OK(vm, KVM_SET_PIT, &old);
    CHECK_OK(vm, KVM_GET_PIT2, &now);
    CHECK_EQ(now.channels[2].count, 0x4321);
    CHECK_FAILS(vm, KVM_CREATE_PIT, 0, EEXIST);
}

static void pit(void)
{
    struct kvm_pit_state2 in, out;

    CHECK_OK(vm, KVM_GET_PIT2, &in);
    in.channels[0].count = 0x1234;
    in.channels[0].mode = 2;
    in.channels[2].gate = 1;
    CHECK_OK(vm, KVM_SET_PIT2, &in);
    CHECK_OK(vm, KVM_GET_PIT2, &out);
    CHECK_EQ(out.channels[0].count, 0x1234);
    CHECK_EQ(out.channels[0].mode, 2);
    CHECK_EQ(out.channels[2].gate, 1);
}

static void lapic(int vcpu)
{
    struct kvm_lapic_state in, out;
    uint32_t *word = (uint32_t *)in.regs;

    CHECK_OK(vcpu, KVM_GET_LAPIC, &in);
    CHECK_EQ(word[0x20 / 4] >> 24, 0);     /* id */
    CHECK_EQ(word[0x30 / 4] & 0xff, 0x14); /* version */
    CHECK_EQ(word[0xf0 / 4], 0xff);        /* disabled by software */
    CHECK_EQ(word[0xe0 / 4], 0xffffffff);  /* flat model */
    word[0xf0 / 4] = 0x1ff;
    word[0x80 / 4] = 0x20; /* TPR */
    word[0x320 / 4] = 0x10030;
    CHECK_OK(vcpu, KVM_SET_LAPIC, &in);
    CHECK_OK(vcpu, KVM_GET_LAPIC, &out);
    word = (uint32_t *)out.regs;
    CHECK_EQ(word[0xf0 / 4], 0x1ff);
    CHECK_EQ(word[0x80 / 4], 0x20);
    CHECK_EQ(word[0x320 / 4], 0x10030);
    struct kvm_sregs s;
    CHECK_OK(vcpu, KVM_GET_SREGS, &s);
    CHECK_EQ(s.cr8, 2);
    struct kvm_vapic_addr vapic = {0};
    CHECK_OK(vcpu, KVM_SET_VAPIC_ADDR, &vapic);
}

static void lines(void)
{
    struct kvm_irq_level line = {.irq = UNUSED_GSI, .level = 1};

    CHECK_OK(vm, KVM_IRQ_LINE, &line);
    CHECK_OK(vm, KVM_IRQ_LINE_STATUS, &line);
    CHECK_EQ((int)line.status, -1); /* no route */
    line = (struct kvm_irq_level){.irq = 9, .level = 1};
    CHECK_OK(vm, KVM_IRQ_LINE_STATUS, &line);
    line.level = 0;
    CHECK_OK(vm, KVM_IRQ_LINE_STATUS, &line);
}

static void messages(int vcpu)
{
    struct kvm_msi msi = {.address_lo = 0xfee00000, .data = 0x51};
    struct kvm_lapic_state lapic;

    CHECK_RETURNS(vm, KVM_SIGNAL_MSI, &msi, 1);
    CHECK_OK(vcpu, KVM_GET_LAPIC, &lapic);
    CHECK_EQ(((uint32_t *)lapic.regs)[(0x200 + 0x51 / 32 * 0x10) / 4], 1 << (0x51 % 32)); /* IRR */
    msi.address_lo = 0xfee77000;                                                          /* nobody there */
    CHECK_RETURNS(vm, KVM_SIGNAL_MSI, &msi, 0);
    msi.flags = 1 << 5;
    CHECK_FAILS(vm, KVM_SIGNAL_MSI, &msi, EINVAL);
}

static void routes(void)
{
    static const struct kvm_irq_routing_entry three[] = {
        {.gsi = 4, .type = KVM_IRQ_ROUTING_IRQCHIP, .u.irqchip = {IOAPIC, 4}},
        {.gsi = 4, .type = KVM_IRQ_ROUTING_IRQCHIP, .u.irqchip = {PIC_MASTER, 4}},
        {.gsi = 30, .type = KVM_IRQ_ROUTING_MSI, .u.msi = {.address_lo = 0xfee00000, .data = 0x61}}};
    union {
        struct kvm_irq_routing head;
        uint8_t room[sizeof(struct kvm_irq_routing) + sizeof(three)];
    } r = {.head.nr = 3};
    struct kvm_irq_level line = {.irq = 30, .level = 1};

    memcpy(r.head.entries, three, sizeof(three));
    CHECK_OK(vm, KVM_SET_GSI_ROUTING, &r);
    CHECK_OK(vm, KVM_IRQ_LINE_STATUS, &line);
    CHECK_EQ(line.status, 1);
    line = (struct kvm_irq_level){.irq = 5, .level = 1};
    CHECK_OK(vm, KVM_IRQ_LINE_STATUS, &line);
    CHECK_EQ((int)line.status, -1); /* the table was replaced: 5 has no route now */
    r.head.flags = 1;
    CHECK_FAILS(vm, KVM_SET_GSI_ROUTING, &r, EINVAL);
    r.head.flags = 0;
    r.head.nr = 5000;
    CHECK_FAILS(vm, KVM_SET_GSI_ROUTING, &r, EINVAL);
    r.head.nr = 3;
    r.head.entries[0].u.irqchip.irqchip = NO_CHIP;
    CHECK_FAILS(vm, KVM_SET_GSI_ROUTING, &r, EINVAL);
    r.head.entries[0].u.irqchip = (struct kvm_irq_routing_irqchip){IOAPIC, IOAPIC_PINS};
    CHECK_FAILS(vm, KVM_SET_GSI_ROUTING, &r, EINVAL);
    r.head.entries[0].type = 77;
    CHECK_FAILS(vm, KVM_SET_GSI_ROUTING, &r, EINVAL);
    r.head.nr = 0;
    CHECK_OK(vm, KVM_SET_GSI_ROUTING, &r);
}

int main(int argc, char **argv)
{
    int kvm = api_start(argc, argv);

    creation(kvm);
    chips();
    pit();
    old_pit();
    struct machine m = machine_create(kvm, true, 1);
    vm = m.vm;
    lapic(m.vcpu);
    lines();
    messages(m.vcpu);
    routes();
    return TEST_DONE();
}
