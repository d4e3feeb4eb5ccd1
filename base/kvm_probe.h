/* kvm_probe.h - whether the kernel's KVM is there, and runs guests on hardware */
/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef BASE_KVM_PROBE_H
#define BASE_KVM_PROBE_H

#include "base/base.h"

struct kvm_probe {
    bool hardware; /* VT-x or AMD-V, and a guest that was tried runs at the processor's speed */
    u32 mips;      /* of that guest; 0: none ran */
    char why[200]; /* in words */
};

/* Takes milliseconds; on a software KVM a fifth of a second. */
void kvm_probe(struct kvm_probe *p);

/* The guest's speed on an open /dev/kvm, in millions of instructions a second, or -errno. */
int kvm_probe_speed(int fd);

#endif
