/* quirks.c - KVM_CAP_DISABLE_QUIRKS2: what KVM does and no processor, until it is told not to (api.rst 7.31)
 */
/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "tests/api/api.h"

enum { CODE = 0x1000, HANDLER = 0x1100, IDT = 0x2000, RAM_PAGES = 16, UD = 6 };
enum { APIC_BASE = 0xfee00000, APIC_ENABLED = 1 << 11, LINT0 = 0x350, MASKED = 1 << 16, EXTINT = 7 << 8 };

static int kvm;

static void disable(int vm, uint64_t quirks)
{
    struct kvm_enable_cap c = {.cap = KVM_CAP_DISABLE_QUIRKS2, .args = {quirks}};

    CHECK_OK(vm, KVM_ENABLE_CAP, &c);
}

static struct machine start(bool irqchip, uint64_t quirks)
{
    struct machine m = machine_create(kvm, irqchip, RAM_PAGES);

    disable(m.vm, quirks);
    return m;
}

/* With CPUID as offered, but for MONITOR. */
static void set_cpuid(const struct machine *m)
{
    union cpuid c = {.head.nent = 256};

    CHECK_OK(kvm, KVM_GET_SUPPORTED_CPUID, &c);
    for (unsigned i = 0; i < c.head.nent; i++)
        if (c.head.entries[i].function == 1)
            c.head.entries[i].ecx &= ~8u;
    CHECK_OK(m->vcpu, KVM_SET_CPUID2, &c);
}

static bool host_is_amd(void)
{
    union cpuid c = {.head.nent = 256};

    CHECK_OK(kvm, KVM_GET_SUPPORTED_CPUID, &c);
    return c.head.entries[0].function == 0 && c.head.entries[0].ecx != 0x6c65746e; /* "ntel" */
}

/* Runs the code, which halts; so does the handler of #UD. */
static void run(const struct machine *m, const void *code, size_t n)
{
    memset(m->ram + CODE, 0xf4, 32);
    memcpy(m->ram + CODE, code, n);
    m->ram[HANDLER] = 0xf4;
    set_gate(m, IDT, UD, HANDLER);
    enter_protected_mode(m, CODE);
    use_tables(m, IDT);
    CHECK_OK(m->vcpu, KVM_RUN, 0);
}

static struct kvm_regs registers(const struct machine *m)
{
    struct kvm_regs r;

    CHECK_OK(m->vcpu, KVM_GET_REGS, &r);
    return r;
}

static void monitor(void)
{
    static const uint8_t monitor[] = {0x0f, 0x01, 0xc8}, mwait[] = {0x0f, 0x01, 0xc9};
    struct machine m = start(false, 0);

    set_cpuid(&m);
    run(&m, monitor, sizeof(monitor));
    CHECK_EQ(registers(&m).rip, CODE + 4);
    run(&m, mwait, sizeof(mwait));
    CHECK_EQ(registers(&m).rip, CODE + 4);
    disable(m.vm, KVM_X86_QUIRK_MWAIT_NEVER_UD_FAULTS);
    run(&m, monitor, sizeof(monitor));
    CHECK_EQ(registers(&m).rip, HANDLER + 1);
    run(&m, mwait, sizeof(mwait));
    CHECK_EQ(registers(&m).rip, HANDLER + 1);
}

/* mov eax, 1234; the other vendor's hypercall */
static void hypercall(void)
{
    bool amd = host_is_amd();
    uint8_t code[] = {0xb8, 0xd2, 0x04, 0, 0, 0x0f, 0x01, amd ? 0xc1 : 0xd9};
    struct machine m = start(false, 0);

    set_cpuid(&m);
    run(&m, code, sizeof(code));
    CHECK_EQ(registers(&m).rip, CODE + sizeof(code) + 1);
    CHECK_EQ((uint32_t)registers(&m).rax, (uint32_t)-1000); /* KVM_ENOSYS */
    CHECK_EQ(m.ram[CODE + 7], amd ? 0xd9 : 0xc1);
    disable(m.vm, KVM_X86_QUIRK_FIX_HYPERCALL_INSN);
    run(&m, code, sizeof(code));
    CHECK_EQ(registers(&m).rip, HANDLER + 1);
    CHECK_EQ(m.ram[CODE + 7], amd ? 0xc1 : 0xd9);
}

/* out 0x7e, al: KVM's option ROM expects rip behind it at once. */
static void option_rom_port(void)
{
    static const uint8_t out[] = {0xe6, 0x7e};
    struct machine m = start(false, 0);

    run(&m, out, sizeof(out));
    CHECK_EQ(m.run->exit_reason, KVM_EXIT_IO);
    CHECK_EQ(registers(&m).rip, CODE + 2);
    disable(m.vm, KVM_X86_QUIRK_OUT_7E_INC_RIP);
    run(&m, out, sizeof(out));
    CHECK_EQ(m.run->exit_reason, KVM_EXIT_IO);
    CHECK_EQ(registers(&m).rip, CODE);
}

/* mov eax, [0xfee00030], of a local APIC that is switched off */
static void apic_hole(void)
{
    static const uint8_t load[] = {0xa1, 0x30, 0, 0xe0, 0xfe, 0x0f, 0x0b};
    struct machine m = start(true, 0);
    union msrs off = {.head.nmsrs = 1};

    off.head.entries[0] = (struct kvm_msr_entry){.index = 0x1b, .data = APIC_BASE};
    CHECK_RETURNS(m.vcpu, KVM_SET_MSRS, &off, 1);
    m.ram[IDT + UD * 8 + 5] = 0;
    static const uint8_t then[] = {0xa1, 0x30, 0, 0xe0, 0xfe, 0xe6, 0x80}; /* out 0x80, al */
    run(&m, then, sizeof(then));
    CHECK_EQ(m.run->exit_reason, KVM_EXIT_IO);
    CHECK_EQ((uint32_t)registers(&m).rax, UINT32_MAX);
    disable(m.vm, KVM_X86_QUIRK_LAPIC_MMIO_HOLE);
    run(&m, load, sizeof(load));
    CHECK_EQ(m.run->exit_reason, KVM_EXIT_MMIO);
    CHECK_EQ(m.run->mmio.phys_addr, APIC_BASE + 0x30);
}

static uint32_t lint0(const struct machine *m)
{
    struct kvm_lapic_state s;

    CHECK_OK(m->vcpu, KVM_GET_LAPIC, &s);
    return *(uint32_t *)(s.regs + LINT0);
}

static void first_pin(void)
{
    struct machine m = machine_create(kvm, true, 1);
    int vm = KVM(kvm, KVM_CREATE_VM, 0);

    CHECK_EQ(lint0(&m), EXTINT);
    disable(vm, KVM_X86_QUIRK_LINT0_REENABLED);
    CHECK_OK(vm, KVM_CREATE_IRQCHIP, 0);
    m.vcpu = KVM(vm, KVM_CREATE_VCPU, 0);
    CHECK_EQ(lint0(&m), MASKED);
}

int main(int argc, char **argv)
{
    kvm = api_start(argc, argv);
    int quirks = KVM(kvm, KVM_CHECK_EXTENSION, KVM_CAP_DISABLE_QUIRKS2);
    struct kvm_enable_cap unknown = {.cap = KVM_CAP_DISABLE_QUIRKS2, .args = {1u << 31}};
    struct machine m = machine_create(kvm, false, 1);

    CHECK_EQ(quirks & 0x7f, 0x7f);
    CHECK_FAILS(m.vm, KVM_ENABLE_CAP, &unknown, EINVAL);
    unknown.cap = KVM_CAP_DISABLE_QUIRKS;
    CHECK_OK(m.vm, KVM_ENABLE_CAP, &unknown);
    first_pin();
    if (!api_is_kernel) { /* KVMs without hardware behind them interpret these otherwise */
        monitor();
        hypercall();
        option_rom_port();
        apic_hole();
    }
    return TEST_DONE();
}
