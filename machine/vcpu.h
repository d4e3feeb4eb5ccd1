/* vcpu.h - a virtual processor and its thread */
/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef MACHINE_VCPU_H
#define MACHINE_VCPU_H

#include <pthread.h>

#include "machine/kvm.h"

struct machine;
struct boot_entry;
struct vcpu_state;
struct state_buffer;
struct state_parts;

struct vcpu {
    struct machine *machine;
    unsigned id; /* also its APIC id */
    int fd;
    struct kvm_run *run;
    struct vcpu_state *power_on; /* what KVM made of it; a reset puts this back */
    pthread_t thread;
    int tid;     /* of its thread, as the host counts; 0: not started */
    char *name;  /* of one that was added; NULL: it has none */
    bool absent; /* it has gone, and its thread waits for it to come again */
    bool parked; /* its thread is waiting outside of KVM_RUN */
    bool nmi;    /* to be injected before it runs on */
};

/* 0 or -errno with e. */
int vcpu_create(struct vcpu *v, struct machine *m, unsigned id, struct error *e);

/* While the thread is parked or not started: the state after power-on, and for the boot processor (entry) the
 * one that the kernel's boot protocol wants. */
int vcpu_reset(struct vcpu *v, const struct boot_entry *entry, struct error *e);

int vcpu_start(struct vcpu *v, struct error *e);

/* Makes the thread leave the guest soon. */
void vcpu_kick(struct vcpu *v);

/* From outside, with the machine's lock. */
void vcpu_inject_nmi(struct vcpu *v);

/* Waits for the thread's end, at most a second. */
bool vcpu_join(struct vcpu *v);

/* The processor's registers and the bytes at rip, in one line. */
void vcpu_describe(struct vcpu *v, char *text, size_t size);

/* vcpu_state.c */
struct vcpu_state *vcpu_state_save(struct vcpu *v, struct error *e);
int vcpu_state_load(struct vcpu *v, const struct boot_entry *entry, struct error *e);
void vcpu_state_free(struct vcpu_state *s);

/* While it is parked. 0 or -errno with e. */
enum { MSR_KERNEL_GS_BASE = 0xc0000102 };
int vcpu_read_msr(struct vcpu *v, u32 index, u64 *value, struct error *e);

/* The processor as a part of a saved state, while its thread is parked or not started. 0 or -errno with e. */
int vcpu_save(struct vcpu *v, struct state_buffer *b, struct error *e);
int vcpu_restore(struct vcpu *v, struct state_parts *p, struct error *e);

/* cpuid.c: what KVM supports, to be freed, or NULL with e; and for a processor that, as the model has it,
 * with this processor's ids and topology. */
struct kvm_cpuid2 *cpuid_supported(const struct machine *m, struct error *e);
int cpuid_set(struct vcpu *v, unsigned cpus, struct error *e);

#endif
