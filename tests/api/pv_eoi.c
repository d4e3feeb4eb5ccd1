/* pv_eoi.c - MSR_KVM_PV_EOI_EN: a guest ends an interrupt by a bit in its memory
 * (Documentation/virt/kvm/x86/msr.rst) */
/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <linux/kvm_para.h>
#include <string.h>

#include "tests/api/api.h"

enum { CODE = 0x1000, BIT_AT = 0x3000, SEEN = 0x3010, COUNT = 0x3014, IDT = 0x4000, RAM_PAGES = 16 };
enum { VECTOR = 0x40, ISR = 0x100 + VECTOR / 32 * 16, PORT = 0x80 };

/* Sends itself an interrupt twice. The handler tells which bit it found, and clears it where the guest is to
 * end its interrupts so; where not, it stops. */
extern const uint8_t guest[], guest_handler[], guest_end[];
__asm__(".pushsection .rodata\n.code32\n"
        "guest:\n"
        "movl $0x1ff, 0xfee000f0\n"
        "sti\n"
        "movl $0x44040, 0xfee00300\n" /* to itself */
        "1: cmpl $1, 0x3014\n"
        "jne 1b\n"
        "movl $0x44040, 0xfee00300\n"
        "1: cmpl $2, 0x3014\n"
        "jne 1b\n"
        "out %al, $0x80\n"
        "1: jmp 1b\n"
        "guest_handler:\n"
        "incl 0x3014\n"
        "mov 0x3000, %eax\n"
        "mov %al, 0x3010\n"
        "test %edx, %edx\n"
        "jnz 2f\n"
        "btrl $0, 0x3000\n"
        "iret\n"
        "2: out %al, $0x81\n"
        "jmp 2b\n"
        "guest_end:\n"
        ".code64\n.popsection");

static struct machine m;

static int set(uint64_t value)
{
    union msrs s = {.head.nmsrs = 1};

    s.head.entries[0] = (struct kvm_msr_entry){.index = MSR_KVM_PV_EOI_EN, .data = value};
    return KVM(m.vcpu, KVM_SET_MSRS, &s);
}

static uint32_t in_service(void)
{
    struct kvm_lapic_state s;
    uint32_t isr;

    CHECK_OK(m.vcpu, KVM_GET_LAPIC, &s);
    memcpy(&isr, s.regs + ISR, sizeof(isr));
    return isr;
}

static void run(bool stop_in_handler)
{
    uint16_t handler = (uint16_t)(CODE + (guest_handler - guest));
    struct kvm_regs r;

    enter_protected_mode(&m, CODE);
    memset(m.ram + BIT_AT, 0, 32);
    memcpy(m.ram + CODE, guest, (size_t)(guest_end - guest));
    set_gate(&m, IDT, VECTOR, handler);
    use_tables(&m, IDT);
    CHECK_OK(m.vcpu, KVM_GET_REGS, &r);
    r.rdx = stop_in_handler;
    CHECK_OK(m.vcpu, KVM_SET_REGS, &r);
    CHECK_OK(m.vcpu, KVM_RUN, 0);
    if (api_is_kernel && m.run->exit_reason == KVM_EXIT_INTERNAL_ERROR) {
        printf("this KVM does not know some instruction\n");
        exit(SKIPPED);
    }
    CHECK_EQ(m.run->exit_reason, KVM_EXIT_IO);
    CHECK_EQ(m.run->io.port, PORT + stop_in_handler);
}

int main(int argc, char **argv)
{
    int kvm = api_start(argc, argv);

    m = machine_create(kvm, true, RAM_PAGES);
    set_supported_cpuid(kvm, m.vcpu);
    if (set(BIT_AT | 1) != 1) {
        printf("this KVM has no end of interrupt by a bit\n");
        return SKIPPED;
    }
    CHECK_EQ(set(BIT_AT | 2), 0);
    CHECK_EQ(set(0x100000000ull | 1), 0); /* no memory */
    CHECK_EQ(set(BIT_AT | 1), 1);
    run(false);
    CHECK_EQ(m.ram[COUNT], 2);
    CHECK_EQ(m.ram[SEEN], 1);
    CHECK_EQ(m.ram[BIT_AT], 0);
    CHECK_EQ(in_service(), 0);
    run(true); /* user space finds the interrupt in service, and the guest is to write the register */
    CHECK_EQ(m.ram[COUNT], 1);
    CHECK_EQ(m.ram[SEEN], 1);
    if (!api_is_kernel) /* which sets the bit again when it goes back to the guest */
        CHECK_EQ(m.ram[BIT_AT], 0);
    CHECK_EQ(in_service(), 1u << VECTOR % 32);
    return TEST_DONE();
}
