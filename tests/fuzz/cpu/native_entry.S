/* native_entry.S - from the fuzzer's child process into a case and back */
/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "tests/fuzz/cpu/state_offsets.h"

        .text

        /* void native_keep_bases(void): before the first signal. */
        .globl  native_keep_bases
        .type   native_keep_bases, @function
native_keep_bases:
        rdfsbase %rax
        mov     %rax, native_fs(%rip)
        rdgsbase %rax
        mov     %rax, native_gs(%rip)
        ret

        /* void native_enter(const struct state *s, const u8 *xsave_area): runs the case; returns when a signal handler
         * calls native_leave.
         * IRETQ serializes, as the code was written through another mapping (SDM 3A 8.1.3). */
        .globl  native_enter
        .type   native_enter, @function
native_enter:
        push    %rbx
        push    %rbp
        push    %r12
        push    %r13
        push    %r14
        push    %r15
        mov     %rsp, native_rsp(%rip)
        mov     $0xe7, %eax             /* of them, what XCR0 has */
        xor     %edx, %edx
        xrstor64 (%rsi)
        mov     STATE_FS(%rdi), %rax
        wrfsbase %rax
        mov     STATE_GS(%rdi), %rax
        wrgsbase %rax
        mov     %ss, %eax
        push    %rax
        push    STATE_GPR(4)(%rdi)
        push    STATE_RFLAGS(%rdi)
        mov     %cs, %eax
        push    %rax
        push    STATE_RIP(%rdi)
        mov     STATE_GPR(0)(%rdi), %rax
        mov     STATE_GPR(1)(%rdi), %rcx
        mov     STATE_GPR(2)(%rdi), %rdx
        mov     STATE_GPR(3)(%rdi), %rbx
        mov     STATE_GPR(5)(%rdi), %rbp
        mov     STATE_GPR(6)(%rdi), %rsi
        mov     STATE_GPR(8)(%rdi), %r8
        mov     STATE_GPR(9)(%rdi), %r9
        mov     STATE_GPR(10)(%rdi), %r10
        mov     STATE_GPR(11)(%rdi), %r11
        mov     STATE_GPR(12)(%rdi), %r12
        mov     STATE_GPR(13)(%rdi), %r13
        mov     STATE_GPR(14)(%rdi), %r14
        mov     STATE_GPR(15)(%rdi), %r15
        mov     STATE_GPR(7)(%rdi), %rdi
        iretq

        /* The signal handler: the program's own flags and bases, then C. The fourth argument tells whether the signal
         * came in a case: then FS is the case's. */
        .globl  native_handler
        .type   native_handler, @function
native_handler:
        pushfq
        andl    $~0x44000, (%rsp)       /* AC and NT: the kernel leaves them to us */
        popfq
        xor     %ecx, %ecx
        rdfsbase %rax
        cmp     %rax, native_fs(%rip)
        je      native_signal
        inc     %ecx
        mov     %rax, native_case_fs(%rip)
        rdgsbase %rax
        mov     %rax, native_case_gs(%rip)
        mov     native_fs(%rip), %rax
        wrfsbase %rax
        mov     native_gs(%rip), %rax
        wrgsbase %rax
        jmp     native_signal

        /* void native_resume(u64 flags): the other end, back to the interrupted case, with its bases, and with those of
         * its flags that the kernel does not restore. */
        .globl  native_resume
        .type   native_resume, @function
native_resume:
        pushfq
        or      %rdi, (%rsp)
        popfq
        mov     native_case_fs(%rip), %rax
        wrfsbase %rax
        mov     native_case_gs(%rip), %rax
        wrgsbase %rax
        ret

        .globl  native_leave
        .type   native_leave, @function
native_leave:
        mov     native_rsp(%rip), %rsp
        fninit
        vzeroupper
        ldmxcsr clean_mxcsr(%rip)
        cld
        pop     %r15
        pop     %r14
        pop     %r13
        pop     %r12
        pop     %rbp
        pop     %rbx
        ret

        .section .rodata
        .balign 4
clean_mxcsr:
        .long   0x1f80

        .local  native_rsp, native_fs, native_gs
        .comm   native_rsp, 8, 8
        .comm   native_fs, 8, 8
        .comm   native_gs, 8, 8
        .globl  native_case_fs, native_case_gs
        .hidden native_case_fs, native_case_gs
        .comm   native_case_fs, 8, 8
        .comm   native_case_gs, 8, 8

        .section .note.GNU-stack, "", @progbits
