/* exception_payload.c - KVM_CAP_EXCEPTION_PAYLOAD, KVM_CAP_X86_TRIPLE_FAULT_EVENT: events with all that
 * belongs to them (api.rst 4.31, 7.18, 7.28) */
/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "tests/api/api.h"

enum { DB = 1, PF = 14, RAM_PAGES = 16, CODE = 0x1000, HANDLER = 0x1100, TABLES = 0x2000 };

static struct machine m;

static void enable(uint32_t capability)
{
    struct kvm_enable_cap c = {.cap = capability, .args = {1}};

    CHECK_RETURNS(m.vm, KVM_CHECK_EXTENSION, capability, 1);
    CHECK_OK(m.vm, KVM_ENABLE_CAP, &c);
}

static uint64_t cr2(void)
{
    struct kvm_sregs s;

    CHECK_OK(m.vcpu, KVM_GET_SREGS, &s);
    return s.cr2;
}

static struct kvm_vcpu_events page_fault(void)
{
    return (struct kvm_vcpu_events){
        .flags = KVM_VCPUEVENT_VALID_PAYLOAD,
        .exception = {.pending = 1, .nr = PF, .has_error_code = 1, .error_code = 2},
        .exception_has_payload = 1,
        .exception_payload = 0x123000,
    };
}

static void kept(void)
{
    struct kvm_vcpu_events in = page_fault(), out;

    CHECK_OK(m.vcpu, KVM_SET_VCPU_EVENTS, &in);
    CHECK_OK(m.vcpu, KVM_GET_VCPU_EVENTS, &out);
    CHECK(out.flags & KVM_VCPUEVENT_VALID_PAYLOAD);
    CHECK_EQ(out.exception.pending, 1);
    CHECK_EQ(out.exception.injected, 0);
    CHECK_EQ(out.exception.nr, PF);
    CHECK_EQ(out.exception.error_code, 2);
    CHECK_EQ(out.exception_has_payload, 1);
    CHECK_EQ(out.exception_payload, 0x123000);
    CHECK_EQ(cr2(), 0);
    in.exception.nr = 32;
    CHECK_FAILS(m.vcpu, KVM_SET_VCPU_EVENTS, &in, EINVAL);
}

/* Handlers of #DB and #PF are a hlt. */
static void tables(void)
{
    enter_protected_mode(&m, CODE);
    m.ram[CODE] = m.ram[HANDLER] = 0xf4;
    set_gate(&m, TABLES, DB, HANDLER);
    set_gate(&m, TABLES, PF, HANDLER);
    use_tables(&m, TABLES);
}

static void deliver(struct kvm_vcpu_events in)
{
    struct kvm_regs r;

    tables();
    CHECK_OK(m.vcpu, KVM_SET_VCPU_EVENTS, &in);
    CHECK_OK(m.vcpu, KVM_RUN, 0);
    CHECK_EQ(m.run->exit_reason, KVM_EXIT_HLT);
    CHECK_OK(m.vcpu, KVM_GET_REGS, &r);
    CHECK_EQ(r.rip, HANDLER + 1);
}

static void delivered(void)
{
    struct kvm_debugregs d = {.dr6 = 0xffff0ff0, .dr7 = 0x400};
    struct kvm_vcpu_events debug = {.flags = KVM_VCPUEVENT_VALID_PAYLOAD,
                                    .exception = {.pending = 1, .nr = DB},
                                    .exception_has_payload = 1,
                                    .exception_payload = 1 << 14};

    deliver(page_fault());
    CHECK_EQ(cr2(), 0x123000);
    CHECK_OK(m.vcpu, KVM_SET_DEBUGREGS, &d);
    deliver(debug);
    CHECK_OK(m.vcpu, KVM_GET_DEBUGREGS, &d);
    CHECK_EQ(d.dr6, 0xffff4ff0);
}

static void triple_fault(void)
{
    struct kvm_vcpu_events e;

    enable(KVM_CAP_X86_TRIPLE_FAULT_EVENT);
    CHECK_OK(m.vcpu, KVM_GET_VCPU_EVENTS, &e);
    CHECK(e.flags & KVM_VCPUEVENT_VALID_TRIPLE_FAULT);
    CHECK_EQ(e.triple_fault.pending, 0);
    e.triple_fault.pending = 1;
    CHECK_OK(m.vcpu, KVM_SET_VCPU_EVENTS, &e);
    CHECK_OK(m.vcpu, KVM_GET_VCPU_EVENTS, &e);
    CHECK_EQ(e.triple_fault.pending, 1);
    tables();
    CHECK_OK(m.vcpu, KVM_RUN, 0);
    CHECK_EQ(m.run->exit_reason, KVM_EXIT_SHUTDOWN);
    CHECK_OK(m.vcpu, KVM_GET_VCPU_EVENTS, &e);
    CHECK_EQ(e.triple_fault.pending, 0);
}

int main(int argc, char **argv)
{
    int kvm = api_start(argc, argv);

    m = machine_create(kvm, false, RAM_PAGES);
    enable(KVM_CAP_EXCEPTION_PAYLOAD);
    kept();
    delivered();
    triple_fault();
    return TEST_DONE();
}
