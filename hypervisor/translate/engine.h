/* engine.h - the translator as the rest of the library sees it */
/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef TRANSLATE_ENGINE_H
#define TRANSLATE_ENGINE_H

#include "hypervisor/vm.h"

/* Reserves the code cache and installs the process's fault handlers (once). 0 or -errno. */
int engine_create(struct vm *vm);
void engine_destroy(struct vm *vm);
/* A vcpu with its tables and kvm_run (fd: its memfd, of KVM_GET_VCPU_MMAP_SIZE bytes, mapped at v->run):
 * zeroed, not yet reset. NULL with errno. */
struct vcpu *engine_create_vcpu(struct vm *vm, u32 id, int fd);
void engine_destroy_vcpu(struct vcpu *v);

enum { VCPU_MMAP_SIZE = 3 * 4096 }; /* kvm_run, the PIO page, the coalesced-MMIO ring */

/* run.c: KVM_RUN. Runs the guest until something is for user space. 0 with run->exit_reason, or -errno:
 * -EINTR (exit_reason INTR), -EFAULT, -EAGAIN. Called with v->lock held; completes pending I/O first. */
int vcpu_run(struct vcpu *v);

/* Memory slots are about to change, or have changed: between vm_stop_vcpus and vm_resume_vcpus. Drops TLB
 * entries of all vcpus; translations stay, as they are keyed by host page. */
void engine_slots_changed(struct vm *vm);
/* The library (not a vcpu's own store) is about to let others' writes become visible: an injected interrupt
 * from user space, an ioeventfd, an irqfd. */
void engine_new_generation(struct vm *vm);

#endif
