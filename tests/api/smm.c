/* smm.c - system management mode: KVM_SMI, the handler's memory, the save area, RSM (api.rst 4.96, 4.35; APM
 * vol. 2 ch. 10) */
/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "tests/api/api.h"

enum { SMBASE = 0x30000, SMRAM_PAGES = 16, HANDLER = SMBASE + 0x8000, AREA = SMBASE + 0xfe00 };
enum { CODE = 0x1000, HANDLER_UD = 0x1100, IDT = 0x2000, RAM_PAGES = 0x40, UD = 6, NMI = 2 };
enum { SMRAM_SLOT = 1 << 16 };
enum { IA32_SMBASE = 0x9e, SMI_COUNT = 0x34 };
/* Of the 64-bit layout, offsets in the area. */
enum {
    AREA_REVISION = 0xfc,
    AREA_SMBASE = 0x100,
    AREA_CR4 = 0x148,
    AREA_CR0 = 0x158,
    AREA_RIP = 0x178,
    AREA_RAX = 0x1f8
};

static const uint8_t out_al[] = {0xe6, 0x80}, rsm[] = {0x0f, 0xaa};
static uint8_t *smram;

static struct machine prepared(struct machine m)
{
    smram = pages(SMRAM_PAGES);
    CHECK_EQ(set_region(m.vm, SMRAM_SLOT, 0, SMBASE, SMRAM_PAGES * PAGE, smram), 0);
    /* mov $0x55, %al; out %al, $0x80; rsm */
    memcpy(smram + 0x8000, (uint8_t[]){0xb0, 0x55}, 2);
    memcpy(smram + 0x8002, out_al, 2);
    memcpy(smram + 0x8004, rsm, 2);
    /* inc %eax; out %al, $0x80; hlt */
    memcpy(m.ram + CODE, (uint8_t[]){0x40, 0xe6, 0x80, 0xf4, 0xf4}, 5);
    set_gate(&m, IDT, UD, HANDLER_UD);
    set_gate(&m, IDT, NMI, HANDLER_UD);
    m.ram[HANDLER_UD] = 0xf4;
    enter_protected_mode(&m, CODE);
    use_tables(&m, IDT);
    return m;
}

static struct machine smm_machine(int kvm, bool irqchip)
{
    struct machine m = machine_create(kvm, irqchip, RAM_PAGES);

    set_supported_cpuid(kvm, m.vcpu);
    return prepared(m);
}

static struct kvm_regs registers(const struct machine *m)
{
    struct kvm_regs r;

    CHECK_OK(m->vcpu, KVM_GET_REGS, &r);
    return r;
}

static struct kvm_vcpu_events events(const struct machine *m)
{
    struct kvm_vcpu_events e;

    CHECK_OK(m->vcpu, KVM_GET_VCPU_EVENTS, &e);
    return e;
}

static uint64_t msr(const struct machine *m, uint32_t index)
{
    union msrs one = {.head.nmsrs = 1};

    one.head.entries[0].index = index;
    CHECK_RETURNS(m->vcpu, KVM_GET_MSRS, &one, 1);
    return one.head.entries[0].data;
}

static void run_until_out(const struct machine *m, uint8_t al)
{
    CHECK_OK(m->vcpu, KVM_RUN, 0);
    CHECK_EQ(m->run->exit_reason, KVM_EXIT_IO);
    CHECK_EQ(((uint8_t *)m->run)[m->run->io.data_offset], al);
}

static uint64_t *saved(unsigned offset)
{
    return (uint64_t *)(smram + 0xfe00 + offset);
}

static void run_until_halt(const struct machine *m, uint64_t rip)
{
    CHECK_OK(m->vcpu, KVM_RUN, 0);
    CHECK_EQ(m->run->exit_reason, KVM_EXIT_HLT);
    CHECK_EQ(registers(m).rip, rip);
}

/* Into the handler and back; what others have at its addresses is not what it has. */
static void there_and_back(int kvm)
{
    struct machine m = smm_machine(kvm, false);
    struct kvm_sregs s;

    CHECK_EQ(msr(&m, IA32_SMBASE), SMBASE);
    CHECK_EQ(events(&m).smi.pending, 0);
    CHECK_OK(m.vcpu, KVM_SMI, 0);
    CHECK_EQ(m.run->flags & KVM_RUN_X86_SMM, 0);
    run_until_out(&m, 0x55);
    CHECK_EQ(m.run->flags & KVM_RUN_X86_SMM, KVM_RUN_X86_SMM);
    CHECK_EQ(events(&m).smi.smm, 1);
    CHECK_EQ(events(&m).smi.pending, 0);
    CHECK_EQ(events(&m).nmi.masked, 1);
    CHECK_EQ(msr(&m, SMI_COUNT), 1);
    CHECK_OK(m.vcpu, KVM_GET_SREGS, &s);
    CHECK_EQ(s.cr0 & 1, 0);
    CHECK_EQ(s.efer, 0);
    CHECK_EQ(s.idt.limit, 0);
    CHECK_EQ(s.cs.base, SMBASE);
    CHECK_EQ(s.cs.selector, SMBASE >> 4);
    CHECK_EQ(s.ds.limit, 0xffffffff);
    CHECK_EQ(*(uint32_t *)saved(AREA_REVISION), 0x20064);
    CHECK_EQ(*(uint32_t *)saved(AREA_SMBASE), SMBASE);
    CHECK_EQ(*saved(AREA_RIP), CODE);
    CHECK_EQ(*saved(AREA_RAX), 0);
    CHECK_EQ(*saved(AREA_CR0), 0x11);
    CHECK_EQ(m.ram[AREA + AREA_RIP] | m.ram[HANDLER], 0); /* not in the memory of others */
    run_until_out(&m, 1);                                 /* eax is again what it was */
    CHECK_EQ(m.run->flags & KVM_RUN_X86_SMM, 0);
    CHECK_EQ(events(&m).smi.smm, 0);
    CHECK_EQ(events(&m).nmi.masked, 0);
    CHECK_OK(m.vcpu, KVM_GET_SREGS, &s);
    CHECK_EQ(s.cr0 & 1, 1);
    CHECK_EQ(s.cs.selector, 8);
    CHECK_EQ(s.idt.base, IDT);
    run_until_halt(&m, CODE + 4);
    CHECK_OK(m.vcpu, KVM_SMI, 0); /* wakes it too, and rip is behind HLT */
    run_until_out(&m, 0x55);
    run_until_halt(&m, CODE + 5);
}

/* What the handler writes to the save area counts; there SMBASE is moved. */
static void relocated(int kvm)
{
    struct machine m = smm_machine(kvm, false);

    CHECK_OK(m.vcpu, KVM_SMI, 0);
    run_until_out(&m, 0x55);
    *saved(AREA_RAX) = 0x41;
    *(uint32_t *)saved(AREA_SMBASE) = SMBASE - 0x1000;
    run_until_out(&m, 0x42);
    CHECK_EQ(msr(&m, IA32_SMBASE), SMBASE - 0x1000);
    CHECK_EQ(set_region(m.vm, SMRAM_SLOT | 1, 0, SMBASE - 0x1000, 0x1000, pages(1)), 0);
    memcpy(smram + 0x7000, smram + 0x8000, 6);
    CHECK_OK(m.vcpu, KVM_SMI, 0);
    run_until_out(&m, 0x55);
    CHECK_EQ(*(uint64_t *)(smram + 0xee00 + AREA_RIP), CODE + 3);
    run_until_halt(&m, CODE + 4);
}

/* Without long mode in CPUID, the save area is the older one. */
static void narrow(int kvm)
{
    enum {
        SMBASE_32 = 0xf8,
        REVISION_32 = 0xfc,
        GS_32 = 0x144,
        CS_SELECTOR = 0x1ac,
        EAX = 0x1d0,
        EIP = 0x1f0
    };
    struct machine m = prepared(machine_create(kvm, false, RAM_PAGES));
    uint32_t *area = (uint32_t *)(smram + 0xfe00);
    struct kvm_sregs s;

    CHECK_OK(m.vcpu, KVM_SMI, 0);
    run_until_out(&m, 0x55);
    CHECK_EQ(area[REVISION_32 / 4], 0x20000);
    CHECK_EQ(area[SMBASE_32 / 4], SMBASE);
    CHECK_EQ(area[EIP / 4], CODE);
    CHECK_EQ(area[CS_SELECTOR / 4], 8);
    CHECK_EQ(area[GS_32 / 4], 0xc09300); /* data, 32 bits, pages */
    CHECK_EQ(area[GS_32 / 4 + 1], 0xffffffff);
    area[EAX / 4] = 0x41;
    area[GS_32 / 4 + 2] = 0x1000;
    run_until_out(&m, 0x42);
    CHECK_OK(m.vcpu, KVM_GET_SREGS, &s);
    CHECK_EQ(s.gs.base, 0x1000);
    CHECK_EQ(s.cs.selector, 8);
    CHECK_EQ(s.idt.base, IDT);
    run_until_halt(&m, CODE + 4);
}

/* A second SMI, and an NMI, wait for RSM. */
static void one_at_a_time(int kvm)
{
    struct machine m = smm_machine(kvm, false);

    CHECK_OK(m.vcpu, KVM_SMI, 0);
    run_until_out(&m, 0x55);
    CHECK_OK(m.vcpu, KVM_SMI, 0);
    CHECK_OK(m.vcpu, KVM_NMI, 0);
    CHECK_EQ(events(&m).smi.pending, 1);
    run_until_out(&m, 0x55);
    CHECK_EQ(msr(&m, SMI_COUNT), 2);
    CHECK_EQ(events(&m).nmi.pending, 1);
    run_until_halt(&m, HANDLER_UD + 1); /* the NMI's */
}

/* In the middle of the mode, it goes to another vcpu. */
static void moved(int kvm)
{
    struct machine m = smm_machine(kvm, false), other;
    uint8_t *other_smram, *area = smram;
    struct kvm_sregs s;
    struct kvm_regs r;

    CHECK_OK(m.vcpu, KVM_SMI, 0);
    run_until_out(&m, 0x55);
    m.run->immediate_exit = 1; /* completes the OUT */
    CHECK_FAILS(m.vcpu, KVM_RUN, 0, EINTR);
    other = smm_machine(kvm, false);
    other_smram = smram;
    memcpy(other_smram, area, SMRAM_PAGES * PAGE);
    struct kvm_vcpu_events e = events(&m);
    CHECK_OK(m.vcpu, KVM_GET_SREGS, &s);
    r = registers(&m);
    CHECK_OK(other.vcpu, KVM_SET_SREGS, &s);
    CHECK_OK(other.vcpu, KVM_SET_REGS, &r);
    CHECK_OK(other.vcpu, KVM_SET_VCPU_EVENTS, &e);
    CHECK_EQ(events(&other).smi.smm, 1);
    run_until_out(&other, 1);
    CHECK_EQ(events(&other).smi.smm, 0);
}

/* No state that a processor can be in: it shuts down. RSM is no instruction elsewhere. */
static void refused(int kvm)
{
    struct machine m = smm_machine(kvm, false);

    CHECK_OK(m.vcpu, KVM_SMI, 0);
    run_until_out(&m, 0x55);
    *saved(AREA_CR0) = 0x80000010; /* paging without protection */
    CHECK_OK(m.vcpu, KVM_RUN, 0);
    CHECK_EQ(m.run->exit_reason, KVM_EXIT_SHUTDOWN);

    m = smm_machine(kvm, false);
    CHECK_OK(m.vcpu, KVM_SMI, 0);
    run_until_out(&m, 0x55);
    *saved(AREA_CR4) = 1ull << 40;
    CHECK_OK(m.vcpu, KVM_RUN, 0);
    CHECK_EQ(m.run->exit_reason, KVM_EXIT_SHUTDOWN);

    m = smm_machine(kvm, false);
    memcpy(m.ram + CODE, rsm, sizeof(rsm));
    run_until_halt(&m, HANDLER_UD + 1);
}

/* Code of 16 bits may run on beyond 64 KiB here, as no segment ends there. */
static void far_code(int kvm)
{
    struct machine m = smm_machine(kvm, false);
    const uint32_t far = 0x200000;
    uint8_t *high = pages(1);

    CHECK_EQ(set_region(m.vm, SMRAM_SLOT | 1, 0, SMBASE + far, PAGE, high), 0);
    /* mov $far, %ebp; jmp *%ebp */
    memcpy(smram + 0x8000, (uint8_t[]){0x66, 0xbd, 0, 0, 0x20, 0, 0x66, 0xff, 0xe5}, 9);
    /* mov %cr0, %eax; mov $0x55, %al; out %al, $0x80; rsm */
    memcpy(high, (uint8_t[]){0x0f, 0x20, 0xc0, 0xb0, 0x55, 0xe6, 0x80, 0x0f, 0xaa}, 9);
    CHECK_OK(m.vcpu, KVM_SMI, 0);
    run_until_out(&m, 0x55);
    run_until_out(&m, 1);
}

/* The address space that is the handler's has slots of its own, with logs of their own. */
static void slots(int kvm)
{
    struct machine m = smm_machine(kvm, false);
    uint64_t bitmap = 0;
    struct kvm_dirty_log log = {.slot = SMRAM_SLOT, .dirty_bitmap = &bitmap};

    CHECK_EQ(set_region(m.vm, 2u << 16, 0, SMBASE, PAGE, smram), -1);
    CHECK_EQ(set_region(m.vm, SMRAM_SLOT | 1, 0, SMBASE, PAGE, smram), -1); /* overlaps */
    CHECK_FAILS(m.vm, KVM_GET_DIRTY_LOG, &log, ENOENT);
    CHECK_EQ(set_region(m.vm, SMRAM_SLOT, KVM_MEM_LOG_DIRTY_PAGES, SMBASE, SMRAM_PAGES * PAGE, smram), 0);
    CHECK_OK(m.vcpu, KVM_SMI, 0);
    run_until_out(&m, 0x55);
    CHECK_OK(m.vm, KVM_GET_DIRTY_LOG, &log);
    CHECK_EQ(bitmap, 1 << 15); /* the save area */
    log.slot = 0;
    CHECK_FAILS(m.vm, KVM_GET_DIRTY_LOG, &log, ENOENT);
    log.slot = 2 << 16;
    CHECK_FAILS(m.vm, KVM_GET_DIRTY_LOG, &log, EINVAL);
}

/* Where nothing takes the state, the VM has ended. */
static void nowhere(int kvm)
{
    struct machine m = machine_create(kvm, false, RAM_PAGES);
    struct kvm_regs r;

    set_supported_cpuid(kvm, m.vcpu);
    enter_protected_mode(&m, CODE);
    CHECK_OK(m.vcpu, KVM_SMI, 0);
    CHECK_FAILS(m.vcpu, KVM_RUN, 0, EIO);
    CHECK_FAILS(m.vcpu, KVM_GET_REGS, &r, EIO);
    CHECK_FAILS(m.vm, KVM_CREATE_VCPU, 1, EIO);
}

/* An INIT waits for the end of the mode. */
static void init_waits(int kvm)
{
    struct machine m = smm_machine(kvm, true);
    struct kvm_vcpu_events e;
    struct kvm_mp_state s = {KVM_MP_STATE_INIT_RECEIVED};

    CHECK_OK(m.vcpu, KVM_SMI, 0);
    run_until_out(&m, 0x55);
    CHECK_FAILS(m.vcpu, KVM_SET_MP_STATE, &s, EINVAL);
    e = events(&m);
    e.smi.latched_init = 1;
    CHECK_OK(m.vcpu, KVM_SET_VCPU_EVENTS, &e);
    CHECK_EQ(events(&m).smi.latched_init, 1);
    memcpy(smram + 0x8004, out_al, 2); /* once more */
    memcpy(smram + 0x8006, rsm, 2);
    run_until_out(&m, 0x55);
    CHECK_EQ(events(&m).smi.smm, 1);
    e = events(&m);
    e.smi.latched_init = 0;
    CHECK_OK(m.vcpu, KVM_SET_VCPU_EVENTS, &e);
    run_until_out(&m, 1);
}

int main(int argc, char **argv)
{
    int kvm = api_start(argc, argv);

    if (KVM(kvm, KVM_CHECK_EXTENSION, KVM_CAP_X86_SMM) < 1 ||
        KVM(kvm, KVM_CHECK_EXTENSION, KVM_CAP_MULTI_ADDRESS_SPACE) < 2) {
        printf("this KVM has no system management mode\n");
        return SKIPPED;
    }
    there_and_back(kvm);
    relocated(kvm);
    narrow(kvm);
    one_at_a_time(kvm);
    moved(kvm);
    refused(kvm);
    far_code(kvm);
    slots(kvm);
    nowhere(kvm);
    init_waits(kvm);
    return TEST_DONE();
}
