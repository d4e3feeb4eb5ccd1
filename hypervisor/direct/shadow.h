/* shadow.h - a process that holds one address space of the guest, and runs its code */
/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef DIRECT_SHADOW_H
#define DIRECT_SHADOW_H

#include <sys/types.h>
#include <sys/user.h>

#include "base/base.h"

/* What we have in the process: the code, an entry, two pages for vectors, the list of mappings. */
enum { SHADOW_OPS = 340, STUB_PAGES = 8 };

struct shadow_op { /* a system call of the stub */
    u64 number, address, length, protection, flags, offset;
};

/* The state that guest code is entered with; all of it but what ptrace must set (stub.S). */
struct shadow_entry {
    u64 gpr[16]; /* as instructions number them */
    u64 rip, rflags;
    u64 count;   /* of mappings to be made before */
    u64 vectors; /* components to be loaded before, or 0 */
};

struct shadow_process {
    pid_t pid; /* 0: there is none */
    int cpu;   /* that it is bound to */
    u64 stub;  /* address of the stub's pages, there */
    int ram;   /* descriptor of the VM's memory, here */
    bool can_trap_cpuid, traps_cpuid;
    /* Shared with the process, which only reads: */
    struct shadow_entry *entry;
    u8 *vectors;
    struct shadow_op *ops;
    u64 dr7;
    struct user_regs_struct regs; /* of them: segments, and what a system call has done to rax */
};

enum shadow_event {
    SHADOW_SYSCALL, /* at a SYSCALL, which has not been done */
    SHADOW_FAULT,   /* its CPU raised an exception: number, code and address tell */
    SHADOW_KICKED,  /* a signal from outside */
    SHADOW_REFUSED, /* it could not be entered, or its mappings not made: guest code has not run */
    SHADOW_DEAD,
};
struct shadow_stop {
    enum shadow_event event;
    int number, code; /* signal, and si_code */
    u64 address;
};

/* Called by the thread that is to use it, and only by it. 0 or -errno. */
int shadow_start(struct shadow_process *p, int ram_fd, u64 stub);
void shadow_end(struct shadow_process *p);

/* Mappings are gathered, and made by shadow_apply before guest code runs. prot 0: unmapped. */
bool shadow_map(struct shadow_process *p, u64 address, u64 length, int protection, u64 offset);
bool shadow_apply(struct shadow_process *p);
/* Those that were gathered are not to be made: all is going to be unmapped. */
void shadow_forget_maps(struct shadow_process *p);
/* CPUID traps from now on. Each switch to the process and back costs 2 microseconds more then, where the host
 * is a virtual machine. */
bool shadow_trap_cpuid(struct shadow_process *p);

/* Stops guest code before the instruction at address, by debug register n; 0: no longer. */
bool shadow_breakpoint(struct shadow_process *p, unsigned n, u64 address);

/* Runs guest code from p->entry, and stops; p->entry is then what it has come to. */
void shadow_resume(struct shadow_process *p, struct shadow_stop *stop, bool (*interrupted)(void *),
                   void *arg);
/* The vector state, in the host's standard format. */
bool shadow_get_vectors(struct shadow_process *p, void *area, size_t size);
void shadow_set_vectors(struct shadow_process *p, const void *area, size_t size, u64 components);

#endif
