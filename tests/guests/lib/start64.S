/* start64.S - from the PVH entry (32-bit, no paging) to main in 64-bit mode; descriptor tables; exception entries */
/* SPDX-License-Identifier: GPL-2.0-or-later */

    .section .note.Xen, "a", @note
    .long 4, 4, 18 /* name and descriptor sizes; XEN_ELFNOTE_PHYS32_ENTRY */
    .asciz "Xen"
    .long start

    .text
    .code32
    .globl start
start:
    cli
    cld
    mov $stack_top, %esp
    mov %ebx, start_info
    mov $0xff, %al              /* a firmware before us may have left the PIC's timer running */
    out %al, $0x21
    out %al, $0xa1

    /* Identity map of the first 4 GiB with 2 MiB pages: present, writable, user, accessed, dirty. */
    mov $boot_pml4, %edi
    movl $boot_pdpt + 7, (%edi)
    mov $boot_pdpt, %edi
    mov $boot_pd + 7, %eax
    mov $4, %ecx
1:  mov %eax, (%edi)
    add $4096, %eax
    add $8, %edi
    loop 1b
    mov $boot_pd, %edi
    mov $0xe7, %eax
    mov $2048, %ecx
1:  mov %eax, (%edi)
    add $0x200000, %eax
    add $8, %edi
    loop 1b

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
    lgdt gdtr
    ljmp $0x10, $1f

    .code64
1:  mov $0x18, %eax
    mov %eax, %ds
    mov %eax, %es
    mov %eax, %ss
    xor %eax, %eax
    mov %eax, %fs
    mov %eax, %gs
    mov $stack_top, %rsp
    fninit
    call traps_init
    call main
    call guest_exit

/* One entry for each vector: those without an error code of their own push 0. */
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
    push %rax
    push %rcx
    push %rdx
    push %rbx
    push %rbp
    push %rsi
    push %rdi
    push %r8
    push %r9
    push %r10
    push %r11
    push %r12
    push %r13
    push %r14
    push %r15
    cld
    mov %rsp, %rdi
    and $-16, %rsp
    call trap
    mov %rax, %rsp
    pop %r15
    pop %r14
    pop %r13
    pop %r12
    pop %r11
    pop %r10
    pop %r9
    pop %r8
    pop %rdi
    pop %rsi
    pop %rbp
    pop %rbx
    pop %rdx
    pop %rcx
    pop %rax
    add $16, %rsp
    iretq

    .data
    .balign 16
    .globl gdt, gdtr
gdt:
    .quad 0
    .quad 0x00cf9b000000ffff /* 0x08 32-bit code, ring 0 */
    .quad 0x00af9b000000ffff /* 0x10 64-bit code, ring 0 */
    .quad 0x00cf93000000ffff /* 0x18 data, ring 0 */
    .quad 0x00cffb000000ffff /* 0x20 32-bit code, ring 3 (sysret wants this order) */
    .quad 0x00cff3000000ffff /* 0x28 data, ring 3 */
    .quad 0x00affb000000ffff /* 0x30 64-bit code, ring 3 */
    .quad 0, 0               /* 0x38 the TSS, made by traps_init */
    .fill 23, 8, 0           /* 0x48 and on: for tests */
gdtr:
    .word gdtr - gdt - 1
    .quad gdt
    .globl start_info
start_info:
    .quad 0

    .bss
    .balign 4096
    .globl boot_pml4, boot_pdpt, boot_pd
boot_pml4: .skip 4096
boot_pdpt: .skip 4096
boot_pd: .skip 4096 * 4
    .skip 16384
    .globl stack_top
stack_top:

    .section .note.GNU-stack, "", @progbits
