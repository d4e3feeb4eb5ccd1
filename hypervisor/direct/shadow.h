/* shadow.h - a process that holds one address space of the guest, and runs its code */
/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef DIRECT_SHADOW_H
#define DIRECT_SHADOW_H

#include <sys/types.h>
#include <sys/user.h>

#include "base/base.h"

enum { SHADOW_OPS = 340, STUB_PAGES = 5 };

struct shadow_op { /* a system call of the stub */
    u64 number, address, length, protection, flags, offset;
};

struct shadow_process {
    pid_t pid; /* 0: there is none */
    int cpu;   /* that it is bound to */
    u64 stub;  /* address of the stub's pages, there */
    int ram;   /* descriptor of the VM's memory, here */
    struct shadow_op *ops;
    unsigned count;
    u64 dr7;
    bool loaded;                  /* regs are in the process */
    struct user_regs_struct regs; /* of the guest's code */
};

enum shadow_event {
    SHADOW_SYSCALL, /* at a SYSCALL or INT 0x80, which has not been done */
    SHADOW_FAULT,   /* its CPU raised an exception: number, code and address tell */
    SHADOW_KICKED,  /* a signal from outside */
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

/* Mappings are gathered, and made by shadow_apply, which the rest calls when it must. prot 0: unmapped. */
bool shadow_map(struct shadow_process *p, u64 address, u64 length, int protection, u64 offset);
bool shadow_apply(struct shadow_process *p);

/* Stops guest code before the instruction at address, by debug register n; 0: no longer. */
bool shadow_breakpoint(struct shadow_process *p, unsigned n, u64 address);

/* Runs guest code from p->regs, and stops. */
void shadow_resume(struct shadow_process *p, struct shadow_stop *stop, bool (*interrupted)(void *),
                   void *arg);
/* p->regs as they are now. */
bool shadow_read(struct shadow_process *p);
/* The vector state, in the host's standard format. */
bool shadow_get_vectors(struct shadow_process *p, void *area, size_t size);
bool shadow_set_vectors(struct shadow_process *p, void *area, size_t size);

#endif
