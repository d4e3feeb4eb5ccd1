/* thunks.S - the ways into and out of translated code */
/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * In translated code: guest rax..r11 (but rsp) in place, guest rsp in r15, r13 = struct vcpu + VCPU_BIAS, r12 and r14
 * scratch, rsp 16-byte aligned on the stack of whoever called KVM_RUN. Vector registers are the guest's throughout.
 */
#include "hypervisor/translate/thunks.h"

#define M(offset) offset(%r13)

        .macro  save_gprs
        mov     %rax, M(VCPU_GPR(0))
        mov     %rcx, M(VCPU_GPR(1))
        mov     %rdx, M(VCPU_GPR(2))
        mov     %rbx, M(VCPU_GPR(3))
        mov     %r15, M(VCPU_GPR(4))
        mov     %rbp, M(VCPU_GPR(5))
        mov     %rsi, M(VCPU_GPR(6))
        mov     %rdi, M(VCPU_GPR(7))
        mov     %r8, M(VCPU_GPR(8))
        mov     %r9, M(VCPU_GPR(9))
        mov     %r10, M(VCPU_GPR(10))
        mov     %r11, M(VCPU_GPR(11))
        .endm

        .macro  restore_gprs
        mov     M(VCPU_GPR(0)), %rax
        mov     M(VCPU_GPR(1)), %rcx
        mov     M(VCPU_GPR(2)), %rdx
        mov     M(VCPU_GPR(3)), %rbx
        mov     M(VCPU_GPR(4)), %r15
        mov     M(VCPU_GPR(5)), %rbp
        mov     M(VCPU_GPR(6)), %rsi
        mov     M(VCPU_GPR(7)), %rdi
        mov     M(VCPU_GPR(8)), %r8
        mov     M(VCPU_GPR(9)), %r9
        mov     M(VCPU_GPR(10)), %r10
        mov     M(VCPU_GPR(11)), %r11
        .endm

        /* After save_gprs: rax is free. */
        .macro  save_flags where
        lahf
        seto    %al
        mov     %eax, M(\where)
        .endm

        .macro  restore_flags where
        mov     M(\where), %eax
        add     $0x7f, %al
        sahf
        .endm

        .macro  function name
        .globl  \name
        .hidden \name
        .type   \name, @function
        .p2align 4
\name:
        .endm

        .text

        function engine_enter
        push    %rbx
        push    %rbp
        push    %r12
        push    %r13
        push    %r14
        push    %r15
        sub     $8, %rsp
        lea     VCPU_BIAS(%rdi), %r13
        mov     %rsp, M(VCPU_HOST_RSP)
        mov     %rsi, %r14
        restore_flags VCPU_CC
        restore_gprs
        jmp     *%r14

        /* eax: EXIT_* */
leave:
        mov     M(VCPU_HOST_RSP), %rsp
        add     $8, %rsp
        pop     %r15
        pop     %r14
        pop     %r13
        pop     %r12
        pop     %rbp
        pop     %rbx
        ret

        /* rax: code to go on with, or 0, which is EXIT_NEXT */
go_on:
        test    %rax, %rax
        jz      leave
        mov     %rax, %r14
        restore_flags VCPU_CC
        restore_gprs
        jmp     *%r14

        function thunk_fault
        save_gprs
        save_flags VCPU_CC
        mov     $EXIT_FAULT, %eax
        jmp     leave

        function thunk_lookup
        save_gprs
        save_flags VCPU_CC
        jmp     1f

        /* The same with the flags in cc. */
        function thunk_lookup_cc
        save_gprs
1:      mov     %r14, M(VCPU_RIP)
        mov     %r12, M(VCPU_EXIT_HOST_PC)
        lea     -VCPU_BIAS(%r13), %rdi
        call    engine_branch
        jmp     go_on

        /* thunk_link under another name (ibtc.c). */
        function thunk_relink
        nop
        function thunk_link
        save_gprs
        lahf
        seto    %al
        test    $1, %r14b       /* the link's in_cc */
        jnz     1f
        mov     %eax, M(VCPU_CC)
1:      lea     -VCPU_BIAS(%r13), %rdi
        mov     %r14, %rsi
        call    engine_link
        jmp     go_on

        function thunk_helper_end
        save_gprs
        save_flags VCPU_CC
        lea     -VCPU_BIAS(%r13), %rdi
        mov     %r14, %rsi
        call    engine_helper_end
        jmp     go_on

        function thunk_helper
        save_gprs
        save_flags VCPU_CC
        lea     -VCPU_BIAS(%r13), %rdi
        mov     %r14, %rsi
        sub     $8, %rsp
        call    engine_helper
        add     $8, %rsp
        restore_flags VCPU_CC
        restore_gprs
        ret

        /* Flags are dead, or in cc: not saved here. */
        function thunk_miss
        save_gprs
        mov     (%rsp), %rax
        mov     %rax, M(VCPU_EXIT_HOST_PC)
        lea     -VCPU_BIAS(%r13), %rdi
        mov     %r14, %rsi
        mov     %r12d, %edx
        sub     $8, %rsp
        call    access_miss
        add     $8, %rsp
        mov     %rax, %r14
        test    %rdx, %rdx      /* in bounce: past the jmp that follows the call */
        jz      1f
        addq    $5, (%rsp)
1:      restore_gprs
        ret

        function thunk_commit
        save_gprs
        save_flags VCPU_CC_HOST
        mov     (%rsp), %rax
        mov     %rax, M(VCPU_EXIT_HOST_PC)
        lea     -VCPU_BIAS(%r13), %rdi
        mov     %r12d, %esi
        sub     $8, %rsp
        call    access_commit
        add     $8, %rsp
        restore_flags VCPU_CC_HOST
        restore_gprs
        ret

        /* Flags are dead, or in cc. */
        function thunk_group
        save_gprs
        lea     -VCPU_BIAS(%r13), %rdi
        mov     %r14, %rsi
        call    engine_group
        jmp     go_on

        function thunk_changed
        save_gprs
        lea     -VCPU_BIAS(%r13), %rdi
        mov     %r14, %rsi
        call    engine_changed
        jmp     go_on

        function thunk_segment
        save_gprs
        mov     (%rsp), %rax
        mov     %rax, M(VCPU_EXIT_HOST_PC)
        lea     -VCPU_BIAS(%r13), %rdi
        mov     %r14, %rsi
        mov     %r12d, %edx
        sub     $8, %rsp
        call    access_segment
        add     $8, %rsp
        mov     %rax, %r14
        restore_gprs
        ret

        .section .note.GNU-stack, "", @progbits
