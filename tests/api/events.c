/* events.c - KVM_GET/SET_VCPU_EVENTS, KVM_GET/SET_MP_STATE, KVM_INTERRUPT, KVM_NMI
 * (api.rst 4.31, 4.38, 4.16, 4.64) */
/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "tests/api/api.h"

enum { GP = 13, NMI = 2 };

static void events(int vcpu)
{
    struct kvm_vcpu_events in = {0}, out;

    CHECK_OK(vcpu, KVM_GET_VCPU_EVENTS, &out);
    CHECK_EQ(out.flags,
             KVM_VCPUEVENT_VALID_NMI_PENDING | KVM_VCPUEVENT_VALID_SHADOW | KVM_VCPUEVENT_VALID_SMM);
    CHECK_EQ(out.exception.injected | out.interrupt.injected | out.nmi.injected | out.nmi.pending, 0);

    in.exception.injected = 1;
    in.exception.nr = GP;
    in.exception.has_error_code = 1;
    in.exception.error_code = 0x1234;
    in.nmi.masked = 1;
    CHECK_OK(vcpu, KVM_SET_VCPU_EVENTS, &in);
    CHECK_OK(vcpu, KVM_GET_VCPU_EVENTS, &out);
    CHECK_EQ(out.exception.injected, 1);
    CHECK_EQ(out.exception.nr, GP);
    CHECK_EQ(out.exception.has_error_code, 1);
    CHECK_EQ(out.exception.error_code, 0x1234);
    CHECK_EQ(out.nmi.masked, 1);

    in = (struct kvm_vcpu_events){.interrupt = {.injected = 1, .nr = 0x41}};
    CHECK_OK(vcpu, KVM_SET_VCPU_EVENTS, &in);
    CHECK_OK(vcpu, KVM_GET_VCPU_EVENTS, &out);
    CHECK_EQ(out.exception.injected, 0);
    CHECK_EQ(out.interrupt.injected, 1);
    CHECK_EQ(out.interrupt.nr, 0x41);
    CHECK_EQ(out.nmi.masked, 0);

    in = (struct kvm_vcpu_events){.nmi = {.injected = 1, .masked = 1}};
    CHECK_OK(vcpu, KVM_SET_VCPU_EVENTS, &in);
    CHECK_OK(vcpu, KVM_GET_VCPU_EVENTS, &out);
    CHECK_EQ(out.nmi.injected, 1);
    CHECK_EQ(out.nmi.masked, 1);
    CHECK_EQ(out.interrupt.injected, 0);

    in = (struct kvm_vcpu_events){.flags = KVM_VCPUEVENT_VALID_NMI_PENDING, .nmi = {.pending = 1}};
    CHECK_OK(vcpu, KVM_SET_VCPU_EVENTS, &in);
    CHECK_OK(vcpu, KVM_GET_VCPU_EVENTS, &out);
    CHECK_EQ(out.nmi.pending, 1);
    in.flags = 0; /* NMI pending and shadow are only taken with their flags */
    in.nmi.pending = 0;
    in.interrupt.shadow = KVM_X86_SHADOW_INT_STI;
    CHECK_OK(vcpu, KVM_SET_VCPU_EVENTS, &in);
    CHECK_OK(vcpu, KVM_GET_VCPU_EVENTS, &out);
    CHECK_EQ(out.nmi.pending, 1);
    CHECK_EQ(out.interrupt.shadow, 0);
    in.flags = KVM_VCPUEVENT_VALID_NMI_PENDING;
    CHECK_OK(vcpu, KVM_SET_VCPU_EVENTS, &in);
    CHECK_OK(vcpu, KVM_GET_VCPU_EVENTS, &out);
    CHECK_EQ(out.nmi.pending, 0);
}

static void events_refused(int vcpu)
{
    struct kvm_vcpu_events in = {.flags = 1u << 31};

    CHECK_FAILS(vcpu, KVM_SET_VCPU_EVENTS, &in, EINVAL);
    in = (struct kvm_vcpu_events){.exception = {.injected = 1, .nr = 32}};
    CHECK_FAILS(vcpu, KVM_SET_VCPU_EVENTS, &in, EINVAL);
    in.exception.nr = NMI;
    CHECK_FAILS(vcpu, KVM_SET_VCPU_EVENTS, &in, EINVAL);
    in = (struct kvm_vcpu_events){.flags = KVM_VCPUEVENT_VALID_PAYLOAD};
    CHECK_FAILS(vcpu, KVM_SET_VCPU_EVENTS, &in, EINVAL); /* KVM_CAP_EXCEPTION_PAYLOAD is not enabled */
    in = (struct kvm_vcpu_events){.flags = KVM_VCPUEVENT_VALID_TRIPLE_FAULT};
    CHECK_FAILS(vcpu, KVM_SET_VCPU_EVENTS, &in, EINVAL);
}

/* KVM_SET_REGS forgets an exception, not an interrupt. */
static void registers_and_events(int vcpu)
{
    struct kvm_vcpu_events in = {.interrupt = {.injected = 1, .nr = 0x41}}, out;
    struct kvm_regs regs;

    CHECK_OK(vcpu, KVM_SET_VCPU_EVENTS, &in);
    CHECK_OK(vcpu, KVM_GET_REGS, &regs);
    CHECK_OK(vcpu, KVM_SET_REGS, &regs);
    CHECK_OK(vcpu, KVM_GET_VCPU_EVENTS, &out);
    CHECK_EQ(out.interrupt.injected, 1);
    in.interrupt.injected = 0;
    CHECK_OK(vcpu, KVM_SET_VCPU_EVENTS, &in);
}

static uint32_t mp_state(int vcpu)
{
    struct kvm_mp_state s;

    CHECK_OK(vcpu, KVM_GET_MP_STATE, &s);
    return s.mp_state;
}

static void mp_states(int bsp, int ap)
{
    struct kvm_mp_state s;

    CHECK_EQ(mp_state(bsp), KVM_MP_STATE_RUNNABLE);
    CHECK_EQ(mp_state(ap), KVM_MP_STATE_UNINITIALIZED);
    s.mp_state = KVM_MP_STATE_HALTED;
    CHECK_OK(bsp, KVM_SET_MP_STATE, &s);
    CHECK_EQ(mp_state(bsp), KVM_MP_STATE_HALTED);
    s.mp_state = KVM_MP_STATE_RUNNABLE;
    CHECK_OK(bsp, KVM_SET_MP_STATE, &s);
    CHECK_OK(ap, KVM_SET_MP_STATE, &s);
    CHECK_EQ(mp_state(ap), KVM_MP_STATE_RUNNABLE);
    s.mp_state = KVM_MP_STATE_UNINITIALIZED;
    CHECK_OK(ap, KVM_SET_MP_STATE, &s);
    s.mp_state = KVM_MP_STATE_STOPPED; /* another architecture's */
    CHECK_FAILS(ap, KVM_SET_MP_STATE, &s, EINVAL);
    s.mp_state = 77;
    CHECK_FAILS(ap, KVM_SET_MP_STATE, &s, EINVAL);
    CHECK_EQ(mp_state(ap), KVM_MP_STATE_UNINITIALIZED);
}

static void without_irqchip(int kvm)
{
    struct machine m = machine_create(kvm, false, 1);
    struct kvm_interrupt interrupt = {.irq = 256};
    struct kvm_mp_state s = {KVM_MP_STATE_HALTED};
    struct kvm_vcpu_events out;

    CHECK_EQ(mp_state(m.vcpu), KVM_MP_STATE_RUNNABLE);
    CHECK_FAILS(m.vcpu, KVM_SET_MP_STATE, &s, EINVAL);
    s.mp_state = KVM_MP_STATE_RUNNABLE;
    CHECK_OK(m.vcpu, KVM_SET_MP_STATE, &s);
    CHECK_FAILS(m.vcpu, KVM_INTERRUPT, &interrupt, EINVAL);
    interrupt.irq = 0x51;
    CHECK_OK(m.vcpu, KVM_INTERRUPT, &interrupt);
    CHECK_OK(m.vcpu, KVM_GET_VCPU_EVENTS, &out);
    CHECK_EQ(out.interrupt.injected, 1);
    CHECK_EQ(out.interrupt.nr, 0x51);
}

static void nmi(int vcpu)
{
    struct kvm_vcpu_events out;

    CHECK_OK(vcpu, KVM_NMI, 0);
    CHECK_OK(vcpu, KVM_GET_VCPU_EVENTS, &out);
    CHECK_EQ(out.nmi.pending, 1);
}

int main(int argc, char **argv)
{
    int kvm = api_start(argc, argv);
    struct machine m = machine_create(kvm, true, 1);
    struct kvm_interrupt interrupt = {.irq = 0x51};

    events(m.vcpu);
    events_refused(m.vcpu);
    registers_and_events(m.vcpu);
    mp_states(m.vcpu, KVM(m.vm, KVM_CREATE_VCPU, 1));
    CHECK_FAILS(m.vcpu, KVM_INTERRUPT, &interrupt, ENXIO);
    nmi(m.vcpu);
    without_irqchip(kvm);
    return TEST_DONE();
}
