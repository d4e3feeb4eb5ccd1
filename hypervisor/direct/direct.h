/* direct.h - ring-3 code that computes runs on the host's CPU as it is, in a process of its own */
/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The translator's code costs two to four times native. A 64-bit program of the guest that computes needs no
 * translation: its instructions are unprivileged, and the host's MMU can hold its pages at their own
 * addresses, if the address space has nothing else in it. So such a program runs in a *shadow*: a process
 * that is traced by the vcpu's thread and has no memory but the program's pages, as the guest's page tables
 * have them, out of the memory that the VM's RAM is made of (backing.c).
 *
 * A shadow only accelerates. It runs until anything happens: a system call, a fault, an instruction that the
 * host must not answer, somebody who wants the vcpu. Then its registers come back into struct vcpu, and the
 * translator goes on from there. So each event of the guest keeps its one implementation.
 *
 * - A shadow's mappings are a TLB of its vcpu for one address space (pages.c): made by page_walk, dropped by
 *   what flushes the software TLB (tlb.c), write-protected like its entries where a page holds code.
 * - A page is mapped executable after a look for instructions that would not trap (scan.c).
 * - When to do it is measured, not guessed (policy.c); when it is possible at all says conditions.c.
 *
 * What guest code can reach in there: its own pages with its own rights, and one page of ours that holds a
 * loop of system calls and the list that it reads (stub.S). It can make no system call: all are stopped by
 * ptrace before they begin (PTRACE_SYSEMU).
 */
#ifndef DIRECT_DIRECT_H
#define DIRECT_DIRECT_H

#include "hypervisor/vm.h"

struct direct; /* of a vcpu; NULL: never */

/* For a new VM, by lodge_kvm_direct or the environment. */
bool direct_is_wanted(void);

/* With the vcpu's tables; the first shadow is made when it is wanted. 0 or -ENOMEM. */
int direct_create_vcpu(struct vcpu *v);
void direct_destroy_vcpu(struct vcpu *v);

/* Called where the run loop would enter translated code at v's state. true: it ran, and the run loop is to
 * look at what came; false: the translator's turn, perhaps after guest code has run. */
bool direct_run(struct vcpu *v);
/* An interrupt has found v's program at work. */
void direct_interrupted(struct vcpu *v);
/* v has come to ring 3, and is to go to the run loop, since it would run directly there. */
bool direct_waits(struct vcpu *v);

/* From any thread, after a request was set: v comes out of its shadow. */
void direct_kick(struct vcpu *v);
/* The same on v's own thread, from a signal handler. */
void direct_signal_came(struct vcpu *v);

/* v's thread: the TLB is flushed, or one page of it; all that its shadows have may be out of date. */
void direct_flush(struct vcpu *v);
void direct_flush_page(struct vcpu *v, gva a);
/* Any thread: memory slots have changed, or the code cache forgets its pages. */
void direct_forget_all(struct vcpu *v);
/* Any thread: whether the page holds code has changed. */
void direct_code_changed(struct vcpu *v, const u8 *host_page);

/* What a person wants to know of it. */
struct direct_statistics {
    u64 entries, system_calls, faults, kicks, others, mapped, nanoseconds;
};
void direct_statistics(const struct vcpu *v, struct direct_statistics *s);

#endif
