/* stub.S - the one page of ours in a shadow: system calls from a list */
/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * rbx: the list (struct shadow_op), rbp: how many, r8: the descriptor of the VM's memory. Ends at int3, with
 * rbp calls not done. It runs with PTRACE_CONT, guest code never does: a system call that guest code makes
 * here, or anywhere, is stopped before it begins.
 */
        .section .rodata
        .globl  shadow_stub, shadow_stub_end
        .hidden shadow_stub, shadow_stub_end
        .p2align 4
shadow_stub:
        mov     (%rbx), %rax
        mov     8(%rbx), %rdi
        mov     16(%rbx), %rsi
        mov     24(%rbx), %rdx
        mov     32(%rbx), %r10
        mov     40(%rbx), %r9
        syscall
        cmp     $-4095, %rax
        jae     1f
        add     $48, %rbx
        dec     %rbp
        jnz     shadow_stub
1:      int3
shadow_stub_end:
        .section .note.GNU-stack, "", @progbits
