/* kvm.h - the machine's seam downward: the KVM API, from the library or from the kernel */
/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef MACHINE_KVM_H
#define MACHINE_KVM_H

#include <linux/kvm.h>

#include "base/base.h"
#include "base/error.h"

struct lodge_kvm_writes;

/* The whole difference between -accel lodge and -accel kvm. Results as open(2), ioctl(2) and close(2). */
struct kvm_api {
    const char *name;
    int (*open)(void);
    int (*ioctl)(int fd, unsigned long request, unsigned long arg);
    int (*close)(int fd);
    /* lodge/kvm.h: it wants to be told what devices write; NULL: it does not */
    struct lodge_kvm_writes *(*writes)(int fd);
    void (*wrote)(struct lodge_kvm_writes *w, const void *memory, size_t size);
};

extern const struct kvm_api kvm_lodge, kvm_kernel;

struct vm_config;

/* What -accel auto means on this machine: the kernel's KVM only where it has hardware. */
void kvm_choose(struct vm_config *c);

/* By enum vm_accel, after kvm_choose. */
const struct kvm_api *kvm_api(unsigned accel);

/* A system descriptor whose API version and capabilities are what the machine needs, or -errno with e. */
int kvm_open(const struct kvm_api *api, struct error *e);

/* An ioctl that must succeed for the machine to exist: its result, or -errno with e, which names the request.
 */
#define kvm_call(api, fd, request, arg, e) kvm_call_named(api, fd, request, (unsigned long)(arg), #request, e)
int kvm_call_named(const struct kvm_api *api, int fd, unsigned long request, unsigned long arg,
                   const char *name, struct error *e);

#endif
