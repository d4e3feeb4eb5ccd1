/* irq_fake.h - a VM of nothing but interrupt chips, for the tests of hypervisor/irq/ */
/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Stands in for what the chips ask of the rest of the library: kicks are counted, guest memory is an array,
 * the guest's CPUID has x2APIC and the TSC deadline.
 */
#ifndef UNIT_IRQ_FAKE_H
#define UNIT_IRQ_FAKE_H

#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "hypervisor/irq/chips.h"

enum { FAKE_MEMORY = 0x4000, FAKE_VCPUS = 4 };
static u8 fake_memory[FAKE_MEMORY];
static _Atomic unsigned fake_kicks[FAKE_VCPUS];

void vcpu_kick(struct vcpu *v, u32 request)
{
    if (request & REQ_EVENT)
        fake_kicks[v->id]++;
}

bool phys_read(const struct memory *m, gpa a, void *buf, size_t n)
{
    (void)m;
    if (a > FAKE_MEMORY - n)
        return false;
    memcpy(buf, fake_memory + a, n);
    return true;
}

bool phys_write(struct vm *vm, gpa a, const void *buf, size_t n)
{
    (void)vm;
    if (a > FAKE_MEMORY - n)
        return false;
    memcpy(fake_memory + a, buf, n);
    return true;
}

bool cpuid_has(struct vcpu *v, u32 leaf, u32 subleaf, unsigned reg, unsigned bit)
{
    (void)v;
    (void)subleaf;
    return leaf == 1 && reg == 2 && (bit == 21 || bit == 24);
}

__attribute__((unused)) static struct vcpu *fake_vcpu(struct vm *vm)
{
    struct vcpu *v = aligned_alloc(_Alignof(struct vcpu), sizeof(*v));

    memset(v, 0, offsetof(struct vcpu, tlb));
    v->vm = vm;
    v->id = vm->vcpu_count;
    v->maxphyaddr_mask = ~MASK(39, 0);
    vm->vcpu[vm->vcpu_count++] = v;
    if (vm->irqchip)
        lapic_create(v);
    return v;
}

/* A VM with chips, a PIT and so many vcpus, whose local APICs are enabled by software. */
__attribute__((unused)) static struct vm *fake_vm(unsigned vcpus)
{
    struct vm *vm = calloc(1, sizeof(*vm));

    vm->apic_bus_ns = 1;
    vm->timers = timers_create();
    irqchip_create(vm);
    irqchip_create_pit(vm, &(struct kvm_pit_config){.flags = KVM_PIT_SPEAKER_DUMMY});
    for (unsigned i = 0; i < vcpus; i++) {
        u32 svr = 0x1ff;

        irqchip_mmio_write(fake_vcpu(vm), 0xfee000f0, 4, &svr);
    }
    return vm;
}

__attribute__((unused)) static void fake_vm_free(struct vm *vm)
{
    for (unsigned i = 0; i < vm->vcpu_count; i++) {
        lapic_destroy(vm->vcpu[i]);
        free(vm->vcpu[i]);
    }
    irqchip_destroy(vm);
    timers_destroy(vm->timers);
    free(vm);
}

__attribute__((unused)) static u32 apic_read(struct vcpu *v, u32 offset)
{
    u32 value = 0xdeadbeef;

    irqchip_mmio_read(v, 0xfee00000 + offset, 4, &value);
    return value;
}

__attribute__((unused)) static void apic_write(struct vcpu *v, u32 offset, u32 value)
{
    irqchip_mmio_write(v, 0xfee00000 + offset, 4, &value);
}

__attribute__((unused)) static u8 port_in(struct vcpu *v, u16 port)
{
    u32 value = 0xdead;

    irqchip_port_read(v, port, 1, &value);
    return (u8)value;
}

__attribute__((unused)) static void port_out(struct vcpu *v, u16 port, u8 value)
{
    irqchip_port_write(v, port, 1, value);
}

__attribute__((unused)) static u32 io_apic_read(struct vcpu *v, u8 index)
{
    u32 value = index;

    irqchip_mmio_write(v, 0xfec00000, 4, &value);
    irqchip_mmio_read(v, 0xfec00010, 4, &value);
    return value;
}

__attribute__((unused)) static void io_apic_write(struct vcpu *v, u8 index, u32 value)
{
    u32 select = index;

    irqchip_mmio_write(v, 0xfec00000, 4, &select);
    irqchip_mmio_write(v, 0xfec00010, 4, &value);
}

/* A redirection table entry: destination in 63:56. */
__attribute__((unused)) static void io_apic_route(struct vcpu *v, unsigned pin, u64 entry)
{
    io_apic_write(v, (u8)(0x11 + 2 * pin), (u32)(entry >> 32));
    io_apic_write(v, (u8)(0x10 + 2 * pin), (u32)entry);
}

/* What firmware does: vectors at base and base + 8, and all but mask open. */
__attribute__((unused)) static void pic_setup(struct vcpu *v, u8 base, u16 mask, u8 icw4)
{
    static const u8 cascade[2] = {4, 2};

    for (unsigned i = 0; i < 2; i++) {
        u16 port = i ? 0xa0 : 0x20;

        port_out(v, port, 0x11);
        port_out(v, port + 1, (u8)(base + 8 * i));
        port_out(v, port + 1, cascade[i]);
        port_out(v, port + 1, icw4);
        port_out(v, port + 1, (u8)(mask >> (8 * i)));
    }
}

__attribute__((unused)) static void pulse(struct vm *vm, u32 gsi)
{
    irqchip_set_line(vm, gsi, true);
    irqchip_set_line(vm, gsi, false);
}

__attribute__((unused)) static void sleep_ns(u64 ns)
{
    nanosleep(
        &(struct timespec){.tv_sec = (time_t)(ns / NS_PER_SECOND), .tv_nsec = (long)(ns % NS_PER_SECOND)},
        NULL);
}

/* Waits until the condition holds, at most 10 s: a loaded machine is slow, not wrong. */
#define WAIT_UNTIL(cond)                                               \
    do {                                                               \
        for (unsigned tries_ = 0; tries_ < 20000 && !(cond); tries_++) \
            sleep_ns(500000);                                          \
        CHECK(cond);                                                   \
    } while (0)

#endif
