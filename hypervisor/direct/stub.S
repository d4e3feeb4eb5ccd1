/* stub.S - the one page of ours in a shadow that is executed: mappings from a list, then guest code */
/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The pages behind it have what is to be done (shadow.h, struct shadow_entry); r8: the descriptor of the VM's
 * memory. Mappings are made with PTRACE_CONT, and end in here; guest code never runs so: a system call that it
 * makes here, or anywhere, is stopped before it begins.
 */
#define HIDDEN(name)                                                                                       \
        .globl  name;                                                                                      \
        .hidden name
#define ENTRY(n) shadow_stub + 4096 + 8 * (n)(%rip) /* word n of struct shadow_entry */

        HIDDEN(shadow_stub)
        HIDDEN(shadow_stub_failed)
        HIDDEN(shadow_stub_done)
        HIDDEN(shadow_stub_end)
        .section .rodata
        .p2align 4
shadow_stub:
        lea     shadow_stub + 4 * 4096(%rip), %rbx
        mov     ENTRY(18), %rbp
1:      test    %rbp, %rbp
        jz      2f
        mov     (%rbx), %rax
        mov     8(%rbx), %rdi
        mov     16(%rbx), %rsi
        mov     24(%rbx), %rdx
        mov     32(%rbx), %r10
        mov     40(%rbx), %r9
        syscall
        cmp     $-4095, %rax
        jae     shadow_stub_failed
        add     $48, %rbx
        dec     %rbp
        jmp     1b
2:      mov     ENTRY(19), %rax
        xor     %edx, %edx
        test    %eax, %eax
        jz      3f
        xrstor64 shadow_stub + 2 * 4096(%rip)
3:      mov     ENTRY(0), %rax
        mov     ENTRY(1), %rcx
        mov     ENTRY(2), %rdx
        mov     ENTRY(3), %rbx
        mov     ENTRY(5), %rbp
        mov     ENTRY(6), %rsi
        mov     ENTRY(7), %rdi
        mov     ENTRY(8), %r8
        mov     ENTRY(9), %r9
        mov     ENTRY(10), %r10
        mov     ENTRY(11), %r11
        mov     ENTRY(12), %r12
        mov     ENTRY(13), %r13
        mov     ENTRY(14), %r14
        mov     ENTRY(15), %r15
        lea     ENTRY(17), %rsp
        popf
        mov     ENTRY(4), %rsp
        jmp     *ENTRY(16)
shadow_stub_failed:
        int3
shadow_stub_done:
        int3
shadow_stub_end:
        .section .note.GNU-stack, "", @progbits
