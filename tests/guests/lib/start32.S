/* start32.S - from the PVH entry to main in 32-bit mode, paging off; descriptor tables; exception entries */
/* SPDX-License-Identifier: GPL-2.0-or-later */

    .section .note.Xen, "a", @note
    .long 4, 4, 18 /* name and descriptor sizes; XEN_ELFNOTE_PHYS32_ENTRY */
    .asciz "Xen"
    .long start

    .text
    .globl start
start:
    cli
    cld
    mov $stack_top, %esp
    mov %ebx, start_info
    mov $0xff, %al              /* a firmware before us may have left the PIC's timer running */
    out %al, $0x21
    out %al, $0xa1
    lgdt gdtr
    ljmp $0x08, $1f
1:  mov $0x18, %eax
    mov %eax, %ds
    mov %eax, %es
    mov %eax, %ss
    mov %eax, %fs
    mov %eax, %gs
    mov $0x33, %eax /* CR0: NE, ET, MP, PE */
    mov %eax, %cr0
    mov $0x600, %eax /* CR4: OSFXSR, OSXMMEXCPT */
    mov %eax, %cr4
    fninit
    call traps_init
    call main
    call guest_exit

    .macro entry vector
    .balign 16
    .if \vector == 8 || (\vector >= 10 && \vector <= 14) || \vector == 17 || \vector == 21
    .else
    push $0
    .endif
    push $\vector
    jmp trap_common
    .endm

    .balign 16
    .globl trap_entries
trap_entries:
    .set n, 0
    .rept 256
    entry n
    .set n, n + 1
    .endr

trap_common:
    pusha
    push %ds
    push %es
    mov $0x18, %eax
    mov %eax, %ds
    mov %eax, %es
    cld
    push %esp
    call trap
    mov %eax, %esp
    pop %es
    pop %ds
    popa
    add $8, %esp
    iret

    .data
    .balign 16
    .globl gdt, gdtr
gdt:
    .quad 0
    .quad 0x00cf9b000000ffff /* 0x08 32-bit code, ring 0 */
    .quad 0x008f9b000000ffff /* 0x10 16-bit code, ring 0 */
    .quad 0x00cf93000000ffff /* 0x18 data, ring 0 */
    .quad 0x00cffb000000ffff /* 0x20 32-bit code, ring 3 */
    .quad 0x00cff3000000ffff /* 0x28 data, ring 3 */
    .quad 0
    .quad 0                  /* 0x38 the TSS, made by traps_init */
    .fill 24, 8, 0           /* 0x40 and on: for tests */
gdtr:
    .word gdtr - gdt - 1
    .long gdt
    .globl start_info
start_info:
    .long 0

    .bss
    .balign 4096
    .skip 16384
    .globl stack_top
stack_top:

    .section .note.GNU-stack, "", @progbits
