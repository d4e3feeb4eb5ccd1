/* ap64.S - the way of an application processor from its SIPI to ap_main: copied to a page below 1 MiB */
/* SPDX-License-Identifier: GPL-2.0-or-later */
    .text
    .code16
    .globl ap_start, ap_end, ap_gdtr
ap_start:
    cli
    mov %cs, %ax
    mov %ax, %ds
    lgdtl ap_gdtr - ap_start
    mov $0x620, %eax /* CR4: PAE, OSFXSR, OSXMMEXCPT */
    mov %eax, %cr4
    mov $boot_pml4, %eax
    mov %eax, %cr3
    mov $0xc0000080, %ecx /* EFER: LME, NXE */
    rdmsr
    or $0x900, %eax
    wrmsr
    mov $0x80010033, %eax /* CR0: PG, WP, NE, ET, MP, PE */
    mov %eax, %cr0
    ljmpl $0x10, $ap_long
    .balign 8
ap_gdtr:
    .skip 6
ap_end:

    .code64
ap_long:
    mov $0x18, %eax
    mov %eax, %ds
    mov %eax, %es
    mov %eax, %ss
    xor %eax, %eax
    mov %eax, %fs
    mov %eax, %gs
    fninit
    mov $1, %edi
    lock xadd %edi, ap_next
    mov %rdi, %rsp
    shl $14, %rsp
    lea ap_stacks+16384(%rsp), %rsp
    call ap_main
1:  hlt
    jmp 1b

    .data
    .balign 4
    .globl ap_next
ap_next:
    .long 1 /* the number of the next one */

    .bss
    .balign 16
ap_stacks:
    .skip 16384 * 16

    .section .note.GNU-stack, "", @progbits
