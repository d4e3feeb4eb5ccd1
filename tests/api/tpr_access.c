/* tpr_access.c - KVM_TPR_ACCESS_REPORTING and KVM_SET_VAPIC_ADDR (api.rst 4.46, 4.44) */
/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <string.h>

#include "tests/api/api.h"

enum { CODE = 0x1000, WORD = 0x3000, COUNT = 0x3010, IDT = 0x4000, RAM_PAGES = 16 };
enum { VECTOR = 0x40 };

/* Reads and writes its task priority; then, in memory, raises it above an interrupt to itself, and lowers it.
 */
extern const uint8_t guest[], guest_read[], guest_write[], guest_vapic[], guest_handler[], guest_end[];
__asm__(".pushsection .rodata\n.code32\n"
        "guest:\n"
        "movl $0x1ff, 0xfee000f0\n"
        "guest_read: mov 0xfee00080, %eax\n"
        "nop\n"
        "guest_write: movl $0x10, 0xfee00080\n"
        "out %al, $0x80\n"
        "guest_vapic:\n"
        "sti\n"
        "movb $0x50, 0x3000\n"
        "movl $0x44040, 0xfee00300\n"
        "mov $1000, %ecx\n"
        "1: loop 1b\n"
        "mov 0x3010, %ebx\n"
        "mov 0x3000, %esi\n"
        "movb $0, 0x3000\n"
        "mov $1, %eax\n" /* KVM_HC_VAPIC_POLL_IRQ */
        "vmcall\n"
        "nop\n"
        "out %al, $0x80\n"
        "guest_handler:\n"
        "incl 0x3010\n"
        "mov 0x3000, %edi\n"
        "movl $0, 0xfee000b0\n"
        "iret\n"
        "guest_end:\n"
        ".code64\n.popsection");

static struct machine m;

static void enter(const uint8_t *at)
{
    uint16_t handler = (uint16_t)(CODE + (guest_handler - guest));

    enter_protected_mode(&m, CODE + (uint64_t)(at - guest));
    memcpy(m.ram + CODE, guest, (size_t)(guest_end - guest));
    set_gate(&m, IDT, VECTOR, handler);
    use_tables(&m, IDT);
}

static void check_report(const uint8_t *at, bool write)
{
    CHECK_OK(m.vcpu, KVM_RUN, 0);
    CHECK_EQ(m.run->exit_reason, KVM_EXIT_TPR_ACCESS);
    CHECK_EQ(m.run->tpr_access.rip, CODE + (uint64_t)(at - guest));
    CHECK_EQ(m.run->tpr_access.is_write, write);
}

static void reports(void)
{
    struct kvm_tpr_access_ctl on = {.enabled = 1}, off = {0}, flags = {.flags = 1};

    CHECK_FAILS(m.vcpu, KVM_TPR_ACCESS_REPORTING, &flags, EINVAL);
    CHECK_OK(m.vcpu, KVM_TPR_ACCESS_REPORTING, &on);
    enter(guest);
    check_report(guest_read, false);
    check_report(guest_write, true);
    CHECK_OK(m.vcpu, KVM_RUN, 0);
    CHECK_EQ(m.run->exit_reason, KVM_EXIT_IO);
    CHECK_EQ(m.run->cr8, 1);
    CHECK_OK(m.vcpu, KVM_TPR_ACCESS_REPORTING, &off);
    enter(guest);
    CHECK_OK(m.vcpu, KVM_RUN, 0);
    CHECK_EQ(m.run->exit_reason, KVM_EXIT_IO);
}

/* The interrupt waits for the priority in memory, and the guest sees that it does. */
static void in_memory(void)
{
    struct kvm_vapic_addr nowhere = {.vapic_addr = 0x100000000}, word = {.vapic_addr = WORD}, none = {0};
    struct kvm_regs r;

    CHECK_FAILS(m.vcpu, KVM_SET_VAPIC_ADDR, &nowhere, EINVAL);
    CHECK_OK(m.vcpu, KVM_SET_VAPIC_ADDR, &word);
    enter(guest_vapic);
    CHECK_OK(m.vcpu, KVM_RUN, 0);
    CHECK_EQ(m.run->exit_reason, KVM_EXIT_IO);
    CHECK_OK(m.vcpu, KVM_GET_REGS, &r);
    CHECK_EQ(r.rbx, 0);
    CHECK_EQ(r.rsi, VECTOR << 24 | 0x50);
    CHECK_EQ(m.ram[COUNT], 1);
    CHECK_EQ(r.rdi, (VECTOR & 0xf0) << 8);
    CHECK_OK(m.vcpu, KVM_SET_VAPIC_ADDR, &none);
}

int main(int argc, char **argv)
{
    int kvm = api_start(argc, argv);
    struct kvm_tpr_access_ctl off = {0};

    m = machine_create(kvm, true, RAM_PAGES);
    set_supported_cpuid(kvm, m.vcpu);
    if (!KVM(kvm, KVM_CHECK_EXTENSION, KVM_CAP_VAPIC) || KVM(m.vcpu, KVM_TPR_ACCESS_REPORTING, &off)) {
        printf("this KVM does not report accesses to the TPR\n");
        return SKIPPED;
    }
    if (api_is_kernel) {
        printf("the kernel tells of the word only when it leaves the guest\n");
        return SKIPPED;
    }
    reports();
    in_memory();
    return TEST_DONE();
}
