/* pit.c - test of the 8254 and port 0x61, by the data sheet */
/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "tests/unit/test.h"
#include "tests/unit/irq_fake.h"

enum { MS = 1000000 };
#define PATIENCE (10000ull * MS) /* a busy machine may be late */

static struct vm *vm;
static struct vcpu *v;

static void begin(void)
{
    vm = fake_vm(1);
    v = vm->vcpu[0];
    pic_setup(v, 0x30, 0xfffe, 1); /* IRQ 0 alone */
}

/* Makes a channel stand where so many clocks have been counted: its state, with the gate taken away. */
static void stand_at(unsigned n, u64 clocks)
{
    struct pit_channel *ch = &vm->irqchip->pit.channel[n];

    ch->counting = false;
    ch->elapsed = muldiv(clocks, NS_PER_SECOND, PIT_HZ) + 400; /* the middle of a clock */
}

static u16 read_word(u16 port)
{
    u8 low = port_in(v, port);

    return (u16)(low | port_in(v, port) << 8);
}

static void load(unsigned n, u8 command, u16 count)
{
    port_out(v, 0x43, (u8)(n << 6 | command));
    if (command & 0x10)
        port_out(v, (u16)(0x40 + n), (u8)count);
    if (command & 0x20)
        port_out(v, (u16)(0x40 + n), (u8)(count >> 8));
}

static u8 status(unsigned n)
{
    port_out(v, 0x43, (u8)(0xe0 | 2 << n));
    return port_in(v, (u16)(0x40 + n));
}

static void test_access(void)
{
    begin();
    load(1, 0x34, 0x1234); /* mode 2, low then high byte */
    stand_at(1, 0x34);
    CHECK_EQ(read_word(0x41), 0x1200);
    load(1, 0x14, 0x80); /* low byte only */
    stand_at(1, 0);
    CHECK_EQ(port_in(v, 0x41), 0x80);
    CHECK_EQ(port_in(v, 0x41), 0x80);
    load(1, 0x24, 0x5600); /* high byte only */
    stand_at(1, 0);
    CHECK_EQ(port_in(v, 0x41), 0x56);
    CHECK_EQ(port_in(v, 0x43), 0);
    fake_vm_free(vm);
}

static void test_latch(void)
{
    begin();
    load(1, 0x34, 1000);
    stand_at(1, 300);
    port_out(v, 0x43, 0x40); /* latch */
    stand_at(1, 400);
    port_out(v, 0x43, 0x40); /* ignored until read */
    CHECK_EQ(read_word(0x41), 700);
    CHECK_EQ(read_word(0x41), 600);
    port_out(v, 0x43, 0xc4); /* read back count and status: the status comes first */
    stand_at(1, 500);
    CHECK_EQ(port_in(v, 0x41), 0xb4);
    CHECK_EQ(read_word(0x41), 600);
    CHECK_EQ(read_word(0x41), 500);
    port_out(v, 0x43, 0x70); /* a mode without a count: null count; mode 0's output is low */
    CHECK_EQ(status(1), 0x70);
    fake_vm_free(vm);
}

static void test_modes(void)
{
    begin();
    load(1, 0x30, 100); /* mode 0: high at the end, and the count goes on */
    stand_at(1, 99);
    CHECK_EQ(status(1), 0x30);
    stand_at(1, 100);
    CHECK_EQ(status(1), 0xb0);
    stand_at(1, 101);
    CHECK_EQ(read_word(0x41), 0xffff);
    load(1, 0x34, 100); /* mode 2: low for the last clock of each period */
    stand_at(1, 99);
    CHECK_EQ(status(1), 0x34);
    CHECK_EQ(read_word(0x41), 1);
    stand_at(1, 100);
    CHECK_EQ(status(1), 0xb4);
    CHECK_EQ(read_word(0x41), 100);
    load(1, 0x36, 100); /* mode 3: half high, half low, by twos */
    stand_at(1, 49);
    CHECK_EQ(status(1), 0xb6);
    CHECK_EQ(read_word(0x41), 2);
    stand_at(1, 50);
    CHECK_EQ(status(1), 0x36);
    CHECK_EQ(read_word(0x41), 100);
    load(1, 0x3e, 100); /* mode 7 is mode 3 */
    CHECK_EQ(status(1) & 0x0e, 0x06);
    load(1, 0x38, 100); /* mode 4: low for one clock at the end */
    stand_at(1, 99);
    CHECK_EQ(status(1), 0xb8);
    stand_at(1, 100);
    CHECK_EQ(status(1), 0x38);
    stand_at(1, 101);
    CHECK_EQ(status(1), 0xb8);
    load(1, 0x30, 0); /* 0 is 65536 */
    stand_at(1, 0xffff);
    CHECK_EQ(status(1), 0x30);
    CHECK_EQ(read_word(0x41), 1);
    fake_vm_free(vm);
}

static void test_bcd(void)
{
    begin();
    load(1, 0x35, 0x1000);
    stand_at(1, 1);
    CHECK_EQ(read_word(0x41), 0x0999);
    load(1, 0x31, 0); /* 0 is 10000 */
    stand_at(1, 1);
    CHECK_EQ(read_word(0x41), 0x9999);
    stand_at(1, 10001);
    CHECK_EQ(read_word(0x41), 0x9999);
    CHECK_EQ(status(1), 0xb1);
    fake_vm_free(vm);
}

/* Channel 2 through port 0x61, as a kernel measures its TSC by it. */
static void test_gate(void)
{
    u16 first;

    begin();
    CHECK_EQ(port_in(v, 0x61) & 0x0f, 0);
    load(2, 0x30, 0xffff);
    sleep_ns(MS);
    CHECK_EQ(read_word(0x42), 0xffff); /* the gate is low */
    port_out(v, 0x61, 0x01);
    CHECK_EQ(port_in(v, 0x61) & 0x2f, 0x01);
    sleep_ns(MS);
    first = read_word(0x42);
    CHECK(first < 0xffff - 1193);
    port_out(v, 0x61, 0x02); /* gate down: it holds; the speaker's bit reads back */
    CHECK_EQ(port_in(v, 0x61) & 0x0f, 0x02);
    first = read_word(0x42);
    sleep_ns(MS);
    CHECK_EQ(read_word(0x42), first);
    port_out(v, 0x61, 0x01);
    load(2, 0x30, 1193); /* 1 ms */
    WAIT_UNTIL(port_in(v, 0x61) & 0x20);
    load(2, 0x32, 1193); /* mode 1 waits for a rising gate */
    stand_at(2, 0);
    CHECK(port_in(v, 0x61) & 0x20);
    port_out(v, 0x61, 0x00);
    port_out(v, 0x61, 0x01);
    WAIT_UNTIL(vm->irqchip->pit.channel[2].counting && (port_in(v, 0x61) & 0x20));
    fake_vm_free(vm);
}

static void test_one_shot_interrupt(void)
{
    u64 start;

    begin();
    start = host_now_ns();
    load(0, 0x38, 2387); /* mode 4: 2 ms */
    WAIT_UNTIL(lapic_pending(v) == 0x30);
    CHECK(host_now_ns() - start >= 2 * MS);
    CHECK_EQ(lapic_accept(v), 0x30);
    port_out(v, 0x20, 0x20);
    sleep_ns(5 * MS);
    CHECK_EQ(lapic_pending(v), -1);
    fake_vm_free(vm);
}

/* A guest that takes no interrupt for a while gets all the ticks it missed, and no more. */
static void test_reinjection(void)
{
    unsigned ticks = 0;
    u64 start, elapsed;

    begin();
    start = host_now_ns();
    load(0, 0x34, 1193); /* 1 ms */
    sleep_ns(20 * MS);
    do {
        for (; lapic_pending(v) == 0x30; ticks++) {
            lapic_accept(v);
            port_out(v, 0x20, 0x20);
        }
        sleep_ns(MS / 4);
        elapsed = host_now_ns() - start;
    } while (elapsed < 40 * MS || (ticks < 20 && elapsed < PATIENCE));
    CHECK(ticks >= 20);
    CHECK(ticks <= elapsed / MS + 1);
    port_out(v, 0x43, 0x34);
    CHECK_EQ(vm->irqchip->pit.deadline, 0); /* a new mode stops it until a count comes */
    fake_vm_free(vm);
}

static void test_reinjection_by_ioapic(void)
{
    unsigned ticks = 0;
    u64 start;

    begin();
    port_out(v, 0x21, 0xff);
    io_apic_route(v, 0, 0x41);
    load(0, 0x34, 1193);
    start = host_now_ns();
    do {
        sleep_ns(MS);
        for (; lapic_pending(v) == 0x41; ticks++) {
            lapic_accept(v);
            apic_write(v, 0xb0, 0);
        }
    } while (ticks < 9 && host_now_ns() - start < PATIENCE);
    CHECK(ticks >= 9);
    io_apic_route(v, 0, 0x10041);
    sleep_ns(10 * MS);
    CHECK(vm->irqchip->pit.pending <= 1); /* nobody listens: nothing is owed */
    fake_vm_free(vm);
}

static void test_state(void)
{
    struct kvm_pit_state2 s;

    begin();
    CHECK_EQ(irqchip_get_pit2(vm, &s), 0);
    CHECK_EQ(s.channels[0].mode, 0xff); /* never programmed: silent */
    CHECK_EQ(vm->irqchip->pit.deadline, 0);
    CHECK_EQ(irqchip_set_pit2(vm, &s), 0);
    CHECK_EQ(vm->irqchip->pit.deadline, 0);
    load(0, 0x34, 0x1234);
    port_out(v, 0x61, 3);
    CHECK_EQ(irqchip_get_pit2(vm, &s), 0);
    CHECK_EQ(s.channels[0].mode, 2);
    CHECK_EQ(s.channels[0].count, 0x1234);
    CHECK_EQ(s.channels[0].rw_mode, 3);
    CHECK_EQ(s.channels[2].gate, 1);
    CHECK_EQ(s.flags, KVM_PIT_FLAGS_SPEAKER_DATA_ON);
    memset(&s, 0xff, sizeof(s)); /* whatever user space says */
    s.flags = KVM_PIT_FLAGS_HPET_LEGACY;
    CHECK_EQ(irqchip_set_pit2(vm, &s), 0);
    for (u16 port = 0x40; port < 0x43; port++)
        port_in(v, port);
    s.channels[0].mode = 2;
    s.channels[0].count = 0;
    CHECK_EQ(irqchip_set_pit2(vm, &s), 0);
    CHECK_EQ(vm->irqchip->pit.channel[0].s.count, 65536);
    CHECK_EQ(vm->irqchip->pit.deadline, 0); /* the HPET has taken over */
    fake_vm_free(vm);
}

/* The interrupts' times are computed from the count's load, not from one another. */
static void test_no_drift(void)
{
    u64 load_time, deadline, clocks;

    begin();
    load(0, 0x34, 1193);
    load_time = (u64)vm->irqchip->pit.channel[0].s.count_load_time;
    WAIT_UNTIL(vm->irqchip->pit.periods >= 3);
    pthread_mutex_lock(&vm->irqchip->lock);
    deadline = vm->irqchip->pit.deadline;
    clocks = (vm->irqchip->pit.periods + 1) * 1193;
    pthread_mutex_unlock(&vm->irqchip->lock);
    CHECK_EQ(deadline, load_time + clocks * NS_PER_SECOND / PIT_HZ + 1);
    fake_vm_free(vm);
}

int main(void)
{
    test_access();
    test_latch();
    test_modes();
    test_bcd();
    test_gate();
    test_one_shot_interrupt();
    test_reinjection();
    test_reinjection_by_ioapic();
    test_state();
    test_no_drift();
    return TEST_DONE();
}
