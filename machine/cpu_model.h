/* cpu_model.h - what -cpu says: a model, and features more or fewer */
/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef MACHINE_CPU_MODEL_H
#define MACHINE_CPU_MODEL_H

#include <jansson.h>
#include <linux/kvm.h>
#include <asm/kvm_para.h>

#include "base/base.h"
#include "base/error.h"

enum cpu_register { CPU_EAX, CPU_EBX, CPU_ECX, CPU_EDX };
struct cpu_model_type;

enum { CPU_FEATURES_MAX = 192 };

/* -cpu, as read: NULL means host. */
struct cpu_model {
    const struct cpu_model_type *type;
    s8 wanted[CPU_FEATURES_MAX]; /* by the feature's number: 1 on, -1 off, 0 as the model has it */
    bool check, enforce;         /* say which features are not to be had; and end */
    bool hide_kvm;               /* kvm=off */
    char vendor[13], model_id[49];
    s32 family, model, stepping; /* -1: the model's */
};

/* 0, or -EINVAL with e, which lists what there is. */
int cpu_model_parse(struct cpu_model *m, const char *text, struct error *e);

/* Takes what the model does not have out of what KVM supports. With enforce, -ENOTSUP with e where something
 * is wanted that KVM does not support; else it is reported, if `say`. */
int cpu_model_apply(const struct cpu_model *m, struct kvm_cpuid2 *c, bool say, struct error *e);

/* QAPI's list of CpuDefinitionInfo, and the properties of a model as they come out of KVM's. */
json_t *cpu_model_definitions(const struct kvm_cpuid2 *supported);
json_t *cpu_model_properties(const struct cpu_model *m, const struct kvm_cpuid2 *supported);

void cpu_model_help(void);

#endif
