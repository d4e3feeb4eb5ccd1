/* irqchip_oracle.c - our interrupt chips against the kernel's, by random states, lines and messages */
/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * No guest runs: KVM's chips are driven by the ioctls alone, ours by the functions behind the same ioctls.
 * Where there is no /dev/kvm with an irqchip, the test has nothing to compare with and says so.
 */
#include <fcntl.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "tests/unit/test.h"
#include "tests/unit/irq_fake.h"

enum { VCPUS = 3, ROUNDS = 500, STEPS = 12 };

static struct vm *vm;
static int kvm_vm, kvm_vcpu[VCPUS];

static u64 seed = 0x9e3779b97f4a7c15;

static u32 random_below(u32 n)
{
    seed ^= seed << 13;
    seed ^= seed >> 7;
    seed ^= seed << 17;
    return (u32)(seed >> 32) % n;
}

static bool kvm_open(void)
{
    int kvm = open("/dev/kvm", O_RDWR | O_CLOEXEC);

    if (kvm < 0)
        return false;
    kvm_vm = ioctl(kvm, KVM_CREATE_VM, 0);
    if (kvm_vm < 0 || ioctl(kvm_vm, KVM_CREATE_IRQCHIP, 0) < 0 ||
        ioctl(kvm_vm, KVM_CREATE_PIT2, &(struct kvm_pit_config){0}) < 0)
        return false;
    for (int i = 0; i < VCPUS; i++) {
        struct kvm_cpuid2 *cpuid = calloc(1, sizeof(*cpuid) + sizeof(cpuid->entries[0]));

        cpuid->nent = 1;
        cpuid->entries[0] = (struct kvm_cpuid_entry2){.function = 1, .ecx = BIT(21) | BIT(24), .edx = BIT(9)};
        kvm_vcpu[i] = ioctl(kvm_vm, KVM_CREATE_VCPU, i);
        if (kvm_vcpu[i] < 0 || ioctl(kvm_vcpu[i], KVM_SET_CPUID2, cpuid) < 0)
            return false;
        free(cpuid);
    }
    return true;
}

/* What both start with is KVM's own. */
static void test_initial_state(void)
{
    static const u16 registers[] = {0x20,  0x30,  0x80,  0xa0,  0xd0,  0xe0,  0xf0,  0x280, 0x300, 0x310,
                                    0x320, 0x330, 0x340, 0x350, 0x360, 0x370, 0x380, 0x390, 0x3e0};
    struct kvm_pit_state2 theirs, ours;

    for (unsigned i = 0; i < VCPUS; i++) {
        struct kvm_lapic_state t, o;

        lapic_reset(vm->vcpu[i], false);
        lapic_get_state(vm->vcpu[i], &o);
        CHECK_EQ(ioctl(kvm_vcpu[i], KVM_GET_LAPIC, &t), 0);
        for (unsigned r = 0; r < ARRAY_SIZE(registers); r++)
            if (registers[r] != 0x20) /* KVM gives its vcpus their IDs at the first KVM_RUN */
                CHECK_EQ(*(u32 *)(o.regs + registers[r]), *(u32 *)(t.regs + registers[r]));
    }
    CHECK_EQ(ioctl(kvm_vm, KVM_GET_PIT2, &theirs), 0);
    irqchip_get_pit2(vm, &ours);
    for (unsigned n = 0; n < 3; n++) {
        CHECK_EQ(ours.channels[n].mode, theirs.channels[n].mode);
        CHECK_EQ(ours.channels[n].gate, theirs.channels[n].gate);
        CHECK_EQ(ours.channels[n].count, theirs.channels[n].count);
    }
}

static void set_chip(struct kvm_irqchip *chip)
{
    CHECK_EQ(ioctl(kvm_vm, KVM_SET_IRQCHIP, chip), 0);
    CHECK_EQ(irqchip_set(vm, chip), 0);
}

/* The chip's state on both sides; theirs with what differs by design made equal. */
static void get_chip(u32 id, struct kvm_irqchip *ours, struct kvm_irqchip *theirs)
{
    memset(ours, 0, sizeof(*ours));
    memset(theirs, 0, sizeof(*theirs));
    ours->chip_id = theirs->chip_id = id;
    CHECK_EQ(irqchip_get(vm, ours), 0);
    CHECK_EQ(ioctl(kvm_vm, KVM_GET_IRQCHIP, theirs), 0);
}

static struct kvm_pic_state random_pic(unsigned chip)
{
    return (struct kvm_pic_state){
        .imr = (u8)random_below(256),
        .isr = (u8)(random_below(256) & random_below(256) & random_below(256)),
        .priority_add = (u8)random_below(8),
        .irq_base = (u8)(random_below(32) * 8),
        .elcr = (u8)random_below(256) & (chip ? 0xde : 0xf8),
        .elcr_mask = chip ? 0xde : 0xf8,
    };
}

/* The kernel latches the cascade in the master's IRR; ours follows the slave's INT, as the wire does. */
static void compare_pics(void)
{
    for (u32 id = 0; id < 2; id++) {
        struct kvm_irqchip o, t;

        get_chip(id, &o, &t);
        if (id == 0)
            o.chip.pic.irr = (u8)((o.chip.pic.irr & ~4) | (t.chip.pic.irr & 4));
        CHECK_EQ(o.chip.pic.irr, t.chip.pic.irr);
        CHECK_EQ(o.chip.pic.last_irr, t.chip.pic.last_irr);
        CHECK(memcmp(&o.chip.pic, &t.chip.pic, sizeof(o.chip.pic)) == 0);
    }
}

/* Lines 0 to 15 but the cascade's. */
static u32 random_pic_line(void)
{
    u32 line = random_below(16);

    return line == 2 ? 3 : line;
}

static int kvm_set_line(u32 gsi, bool level)
{
    struct kvm_irq_level line = {.irq = gsi, .level = level};

    CHECK_EQ(ioctl(kvm_vm, KVM_IRQ_LINE_STATUS, &line), 0);
    return (int)line.status;
}

static void lines_low(void)
{
    for (u32 gsi = 0; gsi < 24; gsi++) {
        kvm_set_line(gsi, false);
        irqchip_set_line(vm, gsi, false);
    }
}

static void ioapic_masked(void)
{
    struct kvm_irqchip chip = {.chip_id = KVM_IRQCHIP_IOAPIC, .chip.ioapic.base_address = 0xfec00000};

    for (unsigned n = 0; n < 24; n++)
        chip.chip.ioapic.redirtbl[n].bits = BIT(16);
    set_chip(&chip);
}

static void test_pic(void)
{
    ioapic_masked();
    for (unsigned round = 0; round < ROUNDS; round++) {
        lines_low();
        for (u32 id = 0; id < 2; id++) {
            struct kvm_irqchip chip = {.chip_id = id};

            chip.chip.pic = random_pic(id);
            set_chip(&chip);
        }
        for (unsigned step = 0; step < STEPS; step++) {
            u32 gsi = random_pic_line(), level = random_below(2);

            CHECK_EQ(irqchip_set_line(vm, gsi, level), kvm_set_line(gsi, level));
        }
        compare_pics();
    }
}

/* ---- IOAPIC and MSIs into local APICs ---- */

static void set_lapic(unsigned i, const struct kvm_lapic_state *s)
{
    CHECK_EQ(ioctl(kvm_vcpu[i], KVM_SET_LAPIC, s), 0);
    CHECK_EQ(lapic_set_state(vm->vcpu[i], s), 0);
}

static void random_lapics(void)
{
    bool cluster = random_below(2);

    for (u32 i = 0; i < VCPUS; i++) {
        struct kvm_lapic_state s = {0};

        *(u32 *)(s.regs + 0x20) = i << 24;
        *(u32 *)(s.regs + 0x30) = 0x50014;
        *(u32 *)(s.regs + 0xd0) = cluster ? (1 + i / 2) << 28 | (1 + i % 2) << 24 : 1u << (24 + i);
        *(u32 *)(s.regs + 0xe0) = cluster ? 0x0fffffff : 0xffffffff;
        *(u32 *)(s.regs + 0xf0) = random_below(8) ? 0x1ff : 0xff;
        for (u32 lvt = 0x320; lvt <= 0x370; lvt += 0x10)
            *(u32 *)(s.regs + lvt) = 0x10000;
        set_lapic(i, &s);
    }
}

static void compare_lapics(void)
{
    for (unsigned i = 0; i < VCPUS; i++) {
        struct kvm_lapic_state o, t;

        lapic_get_state(vm->vcpu[i], &o);
        CHECK_EQ(ioctl(kvm_vcpu[i], KVM_GET_LAPIC, &t), 0);
        for (unsigned r = 0; r < 0x80; r += 0x10) {
            CHECK_EQ(*(u32 *)(o.regs + 0x200 + r), *(u32 *)(t.regs + 0x200 + r));
            CHECK_EQ(*(u32 *)(o.regs + 0x180 + r), *(u32 *)(t.regs + 0x180 + r));
        }
    }
}

/* A destination that somebody is at: with nobody, the kernel waits for an EOI that cannot come, ours does
 * not. */
static u8 random_destination(bool logical)
{
    return random_below(8) == 0 ? 0xff : logical ? (u8)(1 + random_below(7)) : (u8)random_below(VCPUS);
}

static u64 random_entry(void)
{
    bool logical = random_below(2);

    return (u64)random_destination(logical) << 56 | (random_below(4) == 0 ? BIT(16) : 0) |
           (random_below(2) ? BIT(15) : 0) | (logical ? BIT(11) : 0) | (16 + random_below(240));
}

static void compare_ioapics(void)
{
    struct kvm_irqchip o, t;

    get_chip(KVM_IRQCHIP_IOAPIC, &o, &t);
    CHECK_EQ(o.chip.ioapic.irr, t.chip.ioapic.irr);
    for (unsigned n = 0; n < 24; n++)
        CHECK_EQ(o.chip.ioapic.redirtbl[n].bits, t.chip.ioapic.redirtbl[n].bits);
}

/* Pins above the PIC's. Lines only change: the kernel takes an edge-triggered line that is raised twice for
 * one that has still to be sent. */
static void test_ioapic(void)
{
    for (unsigned round = 0; round < ROUNDS; round++) {
        struct kvm_irqchip chip = {.chip_id = KVM_IRQCHIP_IOAPIC, .chip.ioapic.base_address = 0xfec00000};

        u32 high = 0;

        lines_low();
        random_lapics();
        for (unsigned n = 0; n < 24; n++)
            chip.chip.ioapic.redirtbl[n].bits = n < 16 ? BIT(16) : random_entry();
        set_chip(&chip);
        for (unsigned step = 0; step < STEPS; step++) {
            u32 gsi = 16 + random_below(8);

            high ^= (u32)BIT(gsi);
            kvm_set_line(gsi, high & BIT(gsi));
            irqchip_set_line(vm, gsi, high & BIT(gsi));
        }
        compare_lapics();
        compare_ioapics();
    }
}

static void test_msi(void)
{
    for (unsigned round = 0; round < ROUNDS; round++) {
        random_lapics();
        for (unsigned step = 0; step < STEPS; step++) {
            bool logical = random_below(2);
            u32 destination = random_below(4) ? random_destination(logical) : random_below(256);
            u32 address = 0xfee00000 | destination << 12 | (logical ? 4 : 0);
            u32 data = (16 + random_below(240)) | random_below(2) << 14 | random_below(2) << 15;
            struct kvm_msi msi = {.address_lo = address, .data = data};
            int theirs = ioctl(kvm_vm, KVM_SIGNAL_MSI, &msi), ours = irqchip_signal_msi(vm, address, data);

            CHECK(ours <= max(theirs, 0)); /* theirs counts what was pending already, -1 is nobody */
        }
        compare_lapics();
    }
}

/* ---- x2APIC registers and IPIs ---- */

static bool kvm_msr(int vcpu, unsigned long request, u32 index, u64 *value)
{
    struct kvm_msrs *msr = calloc(1, sizeof(*msr) + sizeof(msr->entries[0]));
    bool done;

    msr->nmsrs = 1;
    msr->entries[0] = (struct kvm_msr_entry){.index = index, .data = *value};
    done = ioctl(vcpu, request, msr) == 1;
    *value = msr->entries[0].data;
    free(msr);
    return done;
}

/* A register by number, and a value that is often valid for it. */
static u32 random_register(u64 *value)
{
    static const u8 registers[] = {0x08, 0x0f, 0x28, 0x32, 0x33, 0x34, 0x35, 0x36, 0x37, 0x3e, 0x02, 0x03,
                                   0x0a, 0x0b, 0x0d, 0x0e, 0x10, 0x20, 0x39, 0x3f, 0x30, 0x31, 0x2f, 0x01};
    u8 r = registers[random_below(ARRAY_SIZE(registers))];

    *value = 16 + random_below(240);
    if (r == 0x30)
        *value |= (u64)random_below(8) << 32 | (u64)random_below(2) << 11 | (u64)random_below(4) << 18;
    else if (r >= 0x32 && r <= 0x37)
        *value |= BIT(16);
    else if (r == 0x0f)
        *value |= 0x100;
    else if (r == 0x28)
        *value = random_below(4) == 0;
    else if (r == 0x0b)
        *value = 0;
    else if (r == 0x3e)
        *value &= 0xb;
    return 0x800 + r;
}

static void test_x2apic(void)
{
    for (unsigned i = 0; i < VCPUS; i++) {
        u64 base = 0xfee00c00 | (i ? 0 : 0x100);

        CHECK(kvm_msr(kvm_vcpu[i], KVM_SET_MSRS, 0x1b, &base));
        CHECK(lapic_set_base(vm->vcpu[i], base, true));
    }
    for (unsigned round = 0; round < ROUNDS * STEPS; round++) {
        unsigned i = random_below(VCPUS);
        u64 written, theirs, ours = 0;
        u32 index = random_register(&written);
        bool accepted;

        theirs = written;
        accepted = kvm_msr(kvm_vcpu[i], KVM_SET_MSRS, index, &theirs);
        CHECK_EQ(lapic_msr_write(vm->vcpu[i], index, written), accepted);
        accepted = kvm_msr(kvm_vcpu[i], KVM_GET_MSRS, index, &theirs);
        CHECK_EQ(lapic_msr_read(vm->vcpu[i], index, &ours), accepted);
        if (accepted)
            CHECK_EQ(ours, theirs);
        if (random_below(16) == 0)
            compare_lapics();
    }
}

int main(void)
{
    if (!kvm_open()) {
        printf("no /dev/kvm with an irqchip to compare with\n");
        return 77; /* skipped */
    }
    vm = fake_vm(VCPUS);
    test_initial_state();
    test_pic();
    test_ioapic();
    test_msi();
    test_x2apic();
    fake_vm_free(vm);
    return TEST_DONE();
}
