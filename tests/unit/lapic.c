/* lapic.c - test of the local APIC, by SDM 3A chapter 10 */
/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "tests/unit/test.h"
#include "tests/unit/irq_fake.h"

enum {
    ID = 0x20,
    VERSION = 0x30,
    TPR = 0x80,
    PPR = 0xa0,
    EOI = 0xb0,
    LDR = 0xd0,
    DFR = 0xe0,
    SVR = 0xf0,
    ISR = 0x100,
    TMR = 0x180,
    IRR = 0x200,
    ESR = 0x280,
    ICR = 0x300,
    ICR2 = 0x310,
    LVTT = 0x320,
    LINT0 = 0x350,
    LVTERR = 0x370,
    TMICT = 0x380,
    TMCCT = 0x390,
    TDCR = 0x3e0
};
enum { SELF = 1 << 18, ALL = 2 << 18, OTHERS = 3 << 18, INIT = 5 << 8, STARTUP = 6 << 8, NMI = 4 << 8 };

static struct vm *vm;
static struct vcpu *v;

static void begin(unsigned vcpus)
{
    vm = fake_vm(vcpus);
    v = vm->vcpu[0];
}

static void raise_self(u8 vector)
{
    apic_write(v, ICR, SELF | vector);
}

static void test_reset_state(void)
{
    vm = calloc(1, sizeof(*vm));
    vm->timers = timers_create();
    irqchip_create(vm);
    fake_vcpu(vm);
    v = fake_vcpu(vm);
    CHECK_EQ(vm->vcpu[0]->apic_base, 0xfee00900);
    CHECK_EQ(v->apic_base, 0xfee00800);
    CHECK_EQ(apic_read(v, ID), 0x01000000);
    CHECK_EQ(apic_read(v, VERSION), 0x50014);
    CHECK_EQ(apic_read(v, DFR), 0xffffffff);
    CHECK_EQ(apic_read(v, SVR), 0xff);
    for (u32 lvt = LVTT; lvt <= LVTERR; lvt += 16)
        CHECK_EQ(apic_read(v, lvt), 0x10000);
    CHECK_EQ(apic_read(vm->vcpu[0], LINT0), 0x700);
    CHECK_EQ(lapic_pending(v), -1);
    fake_vm_free(vm);
}

static void test_priority(void)
{
    unsigned kicks;

    begin(1);
    raise_self(0x51);
    raise_self(0x62);
    CHECK_EQ(apic_read(v, IRR + 0x20), 1u << 17);
    CHECK_EQ(apic_read(v, IRR + 0x30), 1u << 2);
    CHECK_EQ(lapic_pending(v), 0x62);
    CHECK_EQ(lapic_pending(v), 0x62); /* asking changes nothing */
    CHECK_EQ(lapic_accept(v), 0x62);
    CHECK_EQ(apic_read(v, ISR + 0x30), 1u << 2);
    CHECK_EQ(apic_read(v, PPR), 0x60);
    CHECK_EQ(lapic_pending(v), -1);
    kicks = fake_kicks[0];
    raise_self(0x6f); /* same class: waits, and wakes nobody */
    CHECK_EQ(lapic_pending(v), -1);
    CHECK_EQ(fake_kicks[0], kicks);
    raise_self(0x70);
    CHECK_EQ(fake_kicks[0], kicks + 1);
    CHECK_EQ(lapic_accept(v), 0x70);
    apic_write(v, EOI, 0);
    CHECK_EQ(lapic_pending(v), -1);
    apic_write(v, EOI, 0);
    CHECK_EQ(fake_kicks[0], kicks + 2);
    CHECK_EQ(lapic_accept(v), 0x6f);
    apic_write(v, EOI, 0);
    CHECK_EQ(lapic_accept(v), 0x51);
    apic_write(v, EOI, 0);
    CHECK_EQ(lapic_pending(v), -1);
    apic_write(v, EOI, 0);           /* nothing in service: no effect */
    CHECK_EQ(lapic_accept(v), 0xff); /* the spurious vector */
    CHECK_EQ(apic_read(v, ISR + 0x70), 0);
    fake_vm_free(vm);
}

static void test_tpr(void)
{
    begin(1);
    apic_write(v, TPR, 0x55);
    CHECK_EQ(lapic_get_tpr(v), 5);
    CHECK_EQ(apic_read(v, PPR), 0x55);
    raise_self(0x5f);
    CHECK_EQ(lapic_pending(v), -1);
    raise_self(0x60);
    CHECK_EQ(lapic_pending(v), 0x60);
    lapic_set_tpr(v, 15);
    CHECK_EQ(apic_read(v, TPR), 0xf0);
    CHECK_EQ(lapic_pending(v), -1);
    lapic_set_tpr(v, 4);
    CHECK_EQ(lapic_pending(v), 0x60);
    fake_vm_free(vm);
}

static void test_software_disable(void)
{
    begin(1);
    apic_write(v, LVTT, 0x41);
    apic_write(v, LINT0, 0x700);
    raise_self(0x51);
    apic_write(v, SVR, 0xff);
    CHECK_EQ(apic_read(v, LVTT), 0x10041);
    CHECK_EQ(apic_read(v, LINT0), 0x10700);
    apic_write(v, LVTT, 0x42); /* the mask cannot be cleared now */
    CHECK_EQ(apic_read(v, LVTT), 0x10042);
    CHECK_EQ(irqchip_signal_msi(vm, 0xfee00000, 0x61), 0); /* nothing new is accepted */
    CHECK_EQ(lapic_pending(v), 0x51);                      /* what was pending stays */
    irqchip_signal_msi(vm, 0xfee00000, 0x400);
    CHECK(v->nmi_pending); /* NMI, INIT and SIPI are not held up */
    fake_vm_free(vm);
}

static void test_errors(void)
{
    begin(1);
    apic_write(v, LVTERR, 0xfe);
    raise_self(0x0f);
    CHECK_EQ(lapic_accept(v), 0xfe);
    apic_write(v, EOI, 0);
    CHECK_EQ(apic_read(v, ESR), 0); /* a write shows them */
    irqchip_signal_msi(vm, 0xfee00000, 0x05);
    CHECK_EQ(lapic_pending(v), -1); /* one interrupt until the ESR is written */
    apic_write(v, ESR, 0);
    CHECK_EQ(apic_read(v, ESR), 0x60);
    apic_write(v, ESR, 0);
    CHECK_EQ(apic_read(v, ESR), 0);
    CHECK_EQ(apic_read(v, 0x3f0), 0); /* no such register on the page */
    apic_write(v, 0x40, 1);
    CHECK_EQ(lapic_accept(v), 0xfe);
    apic_write(v, ESR, 0);
    CHECK_EQ(apic_read(v, ESR), 0x80);
    apic_write(v, LVTERR, 0x05); /* an error entry in error ends there */
    apic_write(v, 0x40, 1);
    apic_write(v, ESR, 0);
    CHECK_EQ(apic_read(v, ESR), 0xc0);
    fake_vm_free(vm);
}

static void test_ipi(void)
{
    begin(4);
    apic_write(v, ICR2, 2 << 24);
    apic_write(v, ICR, 0x41);
    CHECK_EQ(lapic_pending(vm->vcpu[1]), -1);
    CHECK_EQ(lapic_accept(vm->vcpu[2]), 0x41);
    apic_write(v, ICR, ALL | 0x52);
    for (unsigned i = 0; i < 4; i++)
        CHECK_EQ(lapic_pending(vm->vcpu[i]), 0x52);
    apic_write(v, ICR, OTHERS | 0x63);
    CHECK_EQ(lapic_pending(v), 0x52);
    for (unsigned i = 1; i < 4; i++)
        CHECK_EQ(lapic_pending(vm->vcpu[i]), 0x63);
    apic_write(v, ICR, OTHERS | NMI);
    CHECK(!v->nmi_pending);
    CHECK(vm->vcpu[3]->nmi_pending);
    CHECK_EQ(apic_read(v, ICR), OTHERS | NMI);
    apic_write(v, ICR, SELF | 0xa5a03041); /* reserved bits, and the read-only status */
    CHECK_EQ(apic_read(v, ICR), SELF | 0xa5a02041);
    for (unsigned i = 0; i < 4; i++) { /* clusters 1 and 2 with two members each */
        apic_write(vm->vcpu[i], DFR, 0);
        apic_write(vm->vcpu[i], LDR, (1 + i / 2) << 28 | (1 + i % 2) << 24);
    }
    apic_write(v, ICR2, 0x23u << 24);
    apic_write(v, ICR, 1 << 11 | 0x75);
    CHECK_EQ(lapic_pending(v), 0x52);
    CHECK_EQ(lapic_pending(vm->vcpu[1]), 0x63);
    CHECK_EQ(lapic_pending(vm->vcpu[2]), 0x75);
    CHECK_EQ(lapic_pending(vm->vcpu[3]), 0x75);
    fake_vm_free(vm);
}

static void test_init_and_startup(void)
{
    struct vcpu *ap;

    begin(2);
    ap = vm->vcpu[1];
    ap->mp_state = KVM_MP_STATE_UNINITIALIZED;
    apic_write(v, ICR2, 1 << 24);
    apic_write(v, ICR, STARTUP | 0x9a); /* without INIT: ignored */
    CHECK_EQ(ap->mp_state, KVM_MP_STATE_UNINITIALIZED);
    apic_write(v, ICR, 0xc000 | INIT);
    CHECK(ap->init_pending);
    apic_write(v, ICR, 0x8000 | INIT); /* de-assert: no effect */
    apic_write(v, ICR, STARTUP | 0x9a);
    apic_write(v, ICR, STARTUP | 0x9b); /* the second of the customary two */
    CHECK_EQ(ap->sipi_vector, 0x9a);
    CHECK_EQ(lapic_accept_init(ap), LAPIC_INIT | LAPIC_STARTUP);
    CHECK_EQ(ap->mp_state, KVM_MP_STATE_RUNNABLE);
    CHECK_EQ(lapic_accept_init(ap), 0);
    apic_write(v, ICR, STARTUP | 0x9b);
    CHECK_EQ(ap->mp_state, KVM_MP_STATE_RUNNABLE);
    apic_write(v, ICR, INIT);
    CHECK_EQ(lapic_accept_init(ap), LAPIC_INIT);
    apic_write(v, ICR, STARTUP | 0x9c);
    ap->mp_state = KVM_MP_STATE_INIT_RECEIVED; /* the end of the reset, after the SIPI */
    CHECK_EQ(lapic_accept_init(ap), LAPIC_STARTUP);
    CHECK_EQ(ap->sipi_vector, 0x9c);
    apic_write(v, ICR, INIT);
    apic_write(v, ICR, STARTUP | 0x9c);
    apic_write(v, ICR, INIT); /* undoes the start-up */
    ap->mp_state = KVM_MP_STATE_RUNNABLE;
    CHECK_EQ(lapic_accept_init(ap), LAPIC_INIT);
    apic_write(ap, ICR2, 0);
    apic_write(ap, ICR, INIT); /* the boot processor does not wait for a SIPI */
    apic_write(ap, ICR, STARTUP | 0x9d);
    CHECK_EQ(lapic_accept_init(v), LAPIC_INIT);
    apic_write(ap, ID, 0x07000000);
    apic_write(ap, LDR, 0x07000000);
    lapic_reset(ap, true);
    CHECK_EQ(apic_read(ap, ID), 0x07000000); /* INIT keeps the ID alone */
    CHECK_EQ(apic_read(ap, LDR), 0);
    fake_vm_free(vm);
}

static void test_base(void)
{
    u32 data;

    begin(1);
    CHECK(!lapic_set_base(v, 0xfee00901, false)); /* reserved */
    CHECK(!lapic_set_base(v, BIT(40) | 0xfee00900, false));
    CHECK(!lapic_set_base(v, 0xfee00500, false)); /* EXTD without EN */
    CHECK(lapic_set_base(v, 0xfed00900, false));
    CHECK(!irqchip_mmio_read(v, 0xfee00020, 4, &data));
    CHECK(irqchip_mmio_read(v, 0xfed00020, 4, &data));
    CHECK(lapic_set_base(v, 0xfee00d00, false));
    CHECK(irqchip_mmio_read(v, 0xfee00020, 4, &data)); /* x2APIC has no page: a hole that nobody else gets */
    CHECK_EQ(data, ~0u);
    vm->quirks_off = KVM_X86_QUIRK_LAPIC_MMIO_HOLE;
    CHECK(!irqchip_mmio_read(v, 0xfee00020, 4, &data));
    CHECK(!lapic_set_base(v, 0xfee00900, false)); /* not straight back */
    CHECK(lapic_set_base(v, 0xfee00100, false));
    CHECK(!lapic_set_base(v, 0xfee00d00, false)); /* nor from disabled */
    CHECK(lapic_set_base(v, 0xfee00d00, true));   /* but user space may */
    CHECK(lapic_set_base(v, 0xfee00100, false));
    pic_setup(v, 0x30, 0, 1);
    pulse(vm, 1);
    CHECK_EQ(lapic_accept(v), 0x31); /* without an APIC, the PIC is the CPU's */
    CHECK(lapic_set_base(v, 0xfee00900, false));
    CHECK_EQ(apic_read(v, SVR), 0xff); /* enabled again: as after power-up */
    fake_vm_free(vm);
}

static void test_x2apic(void)
{
    u64 value;

    begin(2);
    CHECK(!lapic_msr_read(v, 0x802, &value));
    CHECK(lapic_set_base(v, 0xfee00d00, false));
    CHECK(lapic_set_base(vm->vcpu[1], 0xfee00c00, false));
    CHECK(lapic_msr_read(vm->vcpu[1], 0x802, &value));
    CHECK_EQ(value, 1);
    CHECK(lapic_msr_read(vm->vcpu[1], 0x80d, &value));
    CHECK_EQ(value, 2);
    CHECK(!lapic_msr_write(v, 0x802, 1)); /* read-only */
    CHECK(!lapic_msr_write(v, 0x80b, 1)); /* EOI: only 0 */
    CHECK(!lapic_msr_write(v, 0x828, 1)); /* ESR: only 0 */
    CHECK(!lapic_msr_write(v, 0x808, 0x100));
    CHECK(!lapic_msr_write(v, 0x832, BIT(32) | 0x41));
    CHECK(!lapic_msr_read(v, 0x80e, &value)); /* no DFR, no upper half of the ICR */
    CHECK(!lapic_msr_read(v, 0x831, &value));
    CHECK(!lapic_msr_read(v, 0x80b, &value)); /* write-only */
    CHECK(!lapic_msr_read(v, 0x83f, &value));
    CHECK(!lapic_msr_read(v, 0x840, &value));
    CHECK(!lapic_msr_read(v, 0x8ff, &value));
    CHECK(lapic_msr_write(v, 0x830, BIT(32) | 0x61));
    CHECK(lapic_msr_read(v, 0x830, &value));
    CHECK_EQ(value, BIT(32) | 0x61);
    CHECK_EQ(lapic_accept(vm->vcpu[1]), 0x61);
    CHECK(lapic_msr_write(v, 0x830, 0xffffffffull << 32 | 0x72)); /* broadcast */
    CHECK_EQ(lapic_accept(vm->vcpu[1]), 0x72);
    CHECK_EQ(lapic_accept(v), 0x72);
    CHECK(lapic_msr_write(v, 0x80b, 0));
    CHECK(lapic_msr_write(v, 0x83f, 0x83));
    CHECK_EQ(lapic_accept(v), 0x83);
    CHECK(lapic_msr_read(v, 0x814, &value));
    CHECK_EQ(value, 1 << 3);
    CHECK(lapic_msr_write(v, 0x830, 3ull << 32 | 1 << 11 | 0x94)); /* logical: cluster 0, members 0 and 1 */
    CHECK_EQ(lapic_pending(v), 0x94);
    CHECK_EQ(lapic_pending(vm->vcpu[1]), 0x94);
    fake_vm_free(vm);
}

static void test_state(void)
{
    struct kvm_lapic_state s;

    begin(2);
    v = vm->vcpu[1];
    raise_self(0x51);
    lapic_get_state(v, &s);
    CHECK_EQ(s.regs[0x23], 1);
    CHECK_EQ(s.regs[IRR + 0x20 + 2], 2);
    s.regs[IRR + 0x20 + 2] = 4;
    s.regs[TPR] = 0x20;
    fake_kicks[1] = 0;
    CHECK_EQ(lapic_set_state(v, &s), 0);
    CHECK_EQ(fake_kicks[1], 1);
    CHECK_EQ(lapic_pending(v), 0x52);
    CHECK_EQ(lapic_get_tpr(v), 2);
    lapic_set_base(v, 0xfee00c00, false);
    lapic_get_state(v, &s);
    CHECK_EQ(s.regs[0x23], 1); /* in bits 31:24 also in x2APIC mode */
    CHECK_EQ(lapic_set_state(v, &s), 0);
    CHECK_EQ(*lapic_reg(v->lapic, APIC_ID), 1);
    fake_vm_free(vm);
}

static void test_one_shot(void)
{
    u64 start;

    begin(1);
    apic_write(v, LVTT, 0x41);
    apic_write(v, TDCR, 0xb); /* by 1 */
    start = host_now_ns();
    apic_write(v, TMICT, 3000000);
    CHECK(apic_read(v, TMCCT) <= 3000000);
    CHECK_EQ(apic_read(v, TMICT), 3000000);
    WAIT_UNTIL(lapic_pending(v) == 0x41);
    CHECK(host_now_ns() - start >= 3000000);
    CHECK_EQ(apic_read(v, TMCCT), 0);
    apic_write(v, TDCR, 0); /* by 2 */
    apic_write(v, TMICT, 0x7fffffff);
    CHECK(apic_read(v, TMCCT) > 0x70000000);
    apic_write(v, TDCR, 1); /* by 4: the count goes on from where it is */
    CHECK(apic_read(v, TMCCT) > 0x70000000);
    apic_write(v, TMICT, 0);
    CHECK_EQ(apic_read(v, TMCCT), 0);
    fake_vm_free(vm);
}

/* Periods start where the last one ended: after n of them, the phase is still that of the start. */
static void test_periodic(void)
{
    enum { PERIOD = 1000000 };
    u64 start, expires;

    begin(1);
    apic_write(v, LVTT, 0x20041);
    apic_write(v, TDCR, 0xb);
    start = host_now_ns();
    apic_write(v, TMICT, PERIOD);
    for (unsigned n = 0; n < 5; n++) {
        WAIT_UNTIL(lapic_pending(v) == 0x41);
        lapic_accept(v);
        apic_write(v, EOI, 0);
    }
    CHECK(host_now_ns() - start >= 5 * PERIOD);
    pthread_mutex_lock(&vm->irqchip->lock);
    expires = v->lapic->expires;
    pthread_mutex_unlock(&vm->irqchip->lock);
    CHECK((expires - start) % PERIOD < PERIOD / 2); /* the time between reading the clock and the write */
    apic_write(v, LVTT, 0x30041);
    sleep_ns(3 * PERIOD);
    lapic_accept(v);
    apic_write(v, EOI, 0);
    CHECK_EQ(lapic_pending(v), -1); /* masked: it runs, but does not interrupt */
    CHECK(apic_read(v, TMCCT) > 0);
    fake_vm_free(vm);
}

static void test_tsc_deadline(void)
{
    u64 deadline;

    begin(1);
    lapic_set_tsc_deadline(v, 1);
    CHECK_EQ(lapic_get_tsc_deadline(v), 0); /* not in that mode */
    apic_write(v, LVTT, 0x40041);
    v->tsc_offset = -host_tsc();
    deadline = host_tsc_khz() * 100000ull;
    lapic_set_tsc_deadline(v, deadline);
    CHECK_EQ(lapic_get_tsc_deadline(v), deadline);
    CHECK_EQ(apic_read(v, TMCCT), 0);
    deadline = guest_tsc(v) + host_tsc_khz() * 3;
    lapic_set_tsc_deadline(v, deadline);
    apic_write(v, TMICT, 1000);
    CHECK_EQ(apic_read(v, TMICT), 0);
    WAIT_UNTIL(lapic_pending(v) == 0x41);
    CHECK(guest_tsc(v) >= deadline);
    CHECK_EQ(lapic_get_tsc_deadline(v), 0);
    lapic_accept(v);
    apic_write(v, EOI, 0);
    lapic_set_tsc_deadline(v, 1); /* long past: at once */
    CHECK_EQ(lapic_accept(v), 0x41);
    apic_write(v, EOI, 0);
    lapic_set_tsc_deadline(v, guest_tsc(v) + host_tsc_khz() * 1000ull * 1000);
    v->tsc_offset += host_tsc_khz() * 1000ull * 2000; /* the TSC jumps past it */
    lapic_tsc_changed(v);
    CHECK_EQ(lapic_accept(v), 0x41);
    apic_write(v, EOI, 0);
    lapic_set_tsc_deadline(v, guest_tsc(v) + host_tsc_khz() * 3);
    apic_write(v, LVTT, 0x41); /* leaving the mode disarms */
    sleep_ns(6000000);
    CHECK_EQ(lapic_pending(v), -1);
    fake_vm_free(vm);
}

static void test_timer_state(void)
{
    struct kvm_lapic_state s;

    begin(1);
    apic_write(v, LVTT, 0x41);
    apic_write(v, TDCR, 0xb);
    apic_write(v, TMICT, 1000000000);
    lapic_get_state(v, &s);
    lapic_reset(v, false);
    CHECK_EQ(apic_read(v, TMCCT), 0);
    *(u32 *)(s.regs + TMCCT) = 2000000;
    lapic_set_state(v, &s);
    CHECK(apic_read(v, TMCCT) <= 2000000);
    WAIT_UNTIL(lapic_pending(v) == 0x41);
    lapic_accept(v);
    apic_write(v, EOI, 0);
    *(u32 *)(s.regs + TMCCT) = 0; /* QEMU saves no count: the interrupt may be still to come */
    lapic_set_state(v, &s);
    WAIT_UNTIL(lapic_pending(v) == 0x41);
    lapic_accept(v);
    *(u32 *)(s.regs + TMICT) = 0; /* never started */
    lapic_set_state(v, &s);
    sleep_ns(3000000);
    CHECK_EQ(lapic_pending(v), -1);
    fake_vm_free(vm);
}

/* A VM without chips in the library. */
static void test_no_lapic(void)
{
    static struct kvm_run run;
    u64 value;

    vm = calloc(1, sizeof(*vm));
    vm->timers = timers_create();
    v = fake_vcpu(vm);
    v->run = &run;
    CHECK_EQ(lapic_pending(v), -1);
    lapic_set_tpr(v, 3);
    CHECK_EQ(run.cr8, 3);
    CHECK_EQ(lapic_get_tpr(v), 3);
    lapic_reset(v, false);
    CHECK(lapic_set_base(v, 0xfee00800, false));
    CHECK_EQ(v->apic_base, 0xfee00800);
    CHECK(!lapic_msr_read(v, 0x802, &value));
    lapic_set_tsc_deadline(v, 1);
    lapic_tsc_changed(v);
    lapic_destroy(v);
    CHECK(!irqchip_port_read(v, 0x20, 1, &(u32){0}));
    CHECK(!irqchip_mmio_read(v, 0xfee00020, 4, &value));
    fake_vm_free(vm);
}

int main(void)
{
    test_reset_state();
    test_priority();
    test_tpr();
    test_software_disable();
    test_errors();
    test_ipi();
    test_init_and_startup();
    test_base();
    test_x2apic();
    test_state();
    test_one_shot();
    test_periodic();
    test_tsc_deadline();
    test_timer_state();
    test_no_lapic();
    return TEST_DONE();
}
