/* pic.c - test of the two 8259A, by the data sheet */
/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "tests/unit/test.h"
#include "tests/unit/irq_fake.h"

static struct vm *vm;
static struct vcpu *v;

static void begin(u16 mask, u8 icw4)
{
    vm = fake_vm(1);
    v = vm->vcpu[0];
    /* Disabling the APIC by software masked nothing yet: LINT0 is still ExtINT from reset. */
    pic_setup(v, 0x30, mask, icw4);
}

static void test_initialisation(void)
{
    begin(0xfffb, 1);
    CHECK_EQ(port_in(v, 0x21), 0xfb);
    CHECK_EQ(port_in(v, 0xa1), 0xff);
    port_out(v, 0x20, 0x11); /* ICW1 clears the mask */
    port_out(v, 0x21, 0x08);
    port_out(v, 0x21, 0x04);
    port_out(v, 0x21, 0x01);
    CHECK_EQ(port_in(v, 0x21), 0);
    fake_vm_free(vm);
}

static void test_edge(void)
{
    begin(0, 1);
    CHECK_EQ(lapic_pending(v), -1);
    CHECK_EQ(irqchip_set_line(vm, 5, true), 1);
    CHECK_EQ(lapic_pending(v), 0x35);
    CHECK_EQ(port_in(v, 0x20), 0x20); /* IRR */
    CHECK_EQ(lapic_accept(v), 0x35);
    CHECK_EQ(port_in(v, 0x20), 0);
    port_out(v, 0x20, 0x0b); /* read the ISR */
    CHECK_EQ(port_in(v, 0x20), 0x20);
    CHECK_EQ(lapic_pending(v), -1);
    port_out(v, 0x20, 0x20); /* EOI; the line is still high: no new edge */
    CHECK_EQ(port_in(v, 0x20), 0);
    CHECK_EQ(lapic_pending(v), -1);
    irqchip_set_line(vm, 5, false);
    pulse(vm, 5);
    CHECK_EQ(lapic_pending(v), 0x35); /* an edge is remembered after the line falls */
    fake_vm_free(vm);
}

static void test_level(void)
{
    begin(0, 1);
    port_out(v, 0x4d0, 0xff);
    port_out(v, 0x4d1, 0xff);
    CHECK_EQ(port_in(v, 0x4d0), 0xf8); /* 0, 1, 2, 8 and 13 stay edge-triggered */
    CHECK_EQ(port_in(v, 0x4d1), 0xde);
    irqchip_set_line(vm, 11, true);
    CHECK_EQ(lapic_accept(v), 0x3b);
    CHECK_EQ(lapic_pending(v), -1);
    port_out(v, 0xa0, 0x20);
    port_out(v, 0x20, 0x20);
    CHECK_EQ(lapic_pending(v), 0x3b); /* still high: again */
    irqchip_set_line(vm, 11, false);
    CHECK_EQ(lapic_pending(v), -1);
    fake_vm_free(vm);
}

static void test_priority(void)
{
    begin(0, 1);
    pulse(vm, 6);
    pulse(vm, 3);
    CHECK_EQ(lapic_accept(v), 0x33);
    CHECK_EQ(lapic_pending(v), -1); /* 6 is below 3 */
    pulse(vm, 1);
    CHECK_EQ(lapic_accept(v), 0x31); /* 1 is above: nested */
    port_out(v, 0x20, 0x20);         /* ends 1 */
    CHECK_EQ(lapic_pending(v), -1);
    port_out(v, 0x20, 0x63); /* specific EOI of 3 */
    CHECK_EQ(lapic_accept(v), 0x36);
    port_out(v, 0x20, 0xa0); /* rotate on non-specific EOI: 6 becomes the lowest, 7 the highest */
    pulse(vm, 6);
    pulse(vm, 0);
    pulse(vm, 7);
    CHECK_EQ(lapic_accept(v), 0x37);
    port_out(v, 0x20, 0x20);
    CHECK_EQ(lapic_accept(v), 0x30);
    port_out(v, 0x20, 0xc7); /* set priority: 7 the lowest again */
    port_out(v, 0x20, 0x20);
    CHECK_EQ(lapic_accept(v), 0x36);
    fake_vm_free(vm);
}

static void test_cascade(void)
{
    begin(0, 1);
    pulse(vm, 12);
    CHECK_EQ(lapic_accept(v), 0x3c);
    port_out(v, 0x20, 0x0b);
    port_out(v, 0xa0, 0x0b);
    CHECK_EQ(port_in(v, 0x20), 0x04);
    CHECK_EQ(port_in(v, 0xa0), 0x10);
    pulse(vm, 9); /* higher on the slave, but the master has its cascade in service */
    CHECK_EQ(lapic_pending(v), -1);
    pulse(vm, 3);
    CHECK_EQ(lapic_pending(v), -1); /* IR3 is below the cascade */
    port_out(v, 0x20, 0x20);
    CHECK_EQ(lapic_accept(v), 0x39);
    fake_vm_free(vm);
}

static void test_special_fully_nested(void)
{
    begin(0, 0x11);
    pulse(vm, 12);
    CHECK_EQ(lapic_accept(v), 0x3c);
    pulse(vm, 9);
    CHECK_EQ(lapic_accept(v), 0x39); /* the master lets the slave interrupt itself */
    fake_vm_free(vm);
}

static void test_spurious(void)
{
    begin(0, 1);
    port_out(v, 0x4d0, 0x20);
    irqchip_set_line(vm, 5, true);
    irqchip_set_line(vm, 5, false);
    CHECK_EQ(pic_acknowledge(vm->irqchip), 0x37); /* the request went away before INTA */
    port_out(v, 0x20, 0x0b);
    CHECK_EQ(port_in(v, 0x20), 0); /* and is not in service */
    fake_vm_free(vm);
}

static void test_auto_eoi(void)
{
    begin(0, 3);
    pulse(vm, 4);
    CHECK_EQ(lapic_accept(v), 0x34);
    port_out(v, 0x20, 0x0b);
    CHECK_EQ(port_in(v, 0x20), 0);
    port_out(v, 0x20, 0x80); /* rotate in automatic EOI mode */
    pulse(vm, 4);
    CHECK_EQ(lapic_accept(v), 0x34);
    pulse(vm, 4);
    pulse(vm, 5);
    CHECK_EQ(lapic_accept(v), 0x35);
    CHECK_EQ(lapic_accept(v), 0x34);
    fake_vm_free(vm);
}

static void test_mask_and_poll(void)
{
    begin(0xffff, 1);
    CHECK_EQ(irqchip_set_line(vm, 4, true), -1); /* masked here, and in the IOAPIC */
    irqchip_set_line(vm, 4, false);
    CHECK_EQ(lapic_pending(v), -1);
    port_out(v, 0x21, 0xef);
    CHECK_EQ(lapic_pending(v), 0x34); /* the edge was latched while masked */
    port_out(v, 0x20, 0x0c);
    CHECK_EQ(port_in(v, 0x20), 0x84);
    CHECK_EQ(lapic_pending(v), -1);
    port_out(v, 0x20, 0x0b);
    CHECK_EQ(port_in(v, 0x20), 0x10); /* the poll was an INTA */
    port_out(v, 0x20, 0x0c);
    CHECK_EQ(port_in(v, 0x20), 0x00);
    fake_vm_free(vm);
}

static void test_special_mask(void)
{
    begin(0, 1);
    pulse(vm, 2 + 1);
    CHECK_EQ(lapic_accept(v), 0x33);
    port_out(v, 0x21, 0x08);
    port_out(v, 0x20, 0x68); /* special mask mode: a masked interrupt in service blocks nothing */
    pulse(vm, 6);
    CHECK_EQ(lapic_accept(v), 0x36);
    port_out(v, 0x20, 0x48);
    pulse(vm, 7);
    CHECK_EQ(lapic_pending(v), -1);
    fake_vm_free(vm);
}

/* A word written to port 0x20 is a byte to 0x20 and one to 0x21. */
static void test_wide_ports(void)
{
    u32 value = 0;

    begin(0, 1);
    CHECK(irqchip_port_write(v, 0x20, 2, 0xa520));
    CHECK(irqchip_port_read(v, 0x21, 2, &value));
    CHECK_EQ(value, 0xffa5);
    CHECK(!irqchip_port_read(v, 0x22, 1, &value));
    CHECK(!irqchip_port_read(v, 0x1f, 2, &value));
    fake_vm_free(vm);
}

int main(void)
{
    test_initialisation();
    test_edge();
    test_level();
    test_priority();
    test_cascade();
    test_special_fully_nested();
    test_spurious();
    test_auto_eoi();
    test_mask_and_poll();
    test_special_mask();
    test_wide_ports();
    return TEST_DONE();
}
