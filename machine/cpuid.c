/* cpuid.c - what the guest's CPUID says (SDM 2A CPUID; AMD APM 3 appendix E) */
/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "machine/machine.h"

enum { MAX_ENTRIES = 256 };

struct topology {
    unsigned id, cpus; /* one package of `cpus` cores of one thread each */
    bool tsc_deadline;
};

/* The bits of an APIC id that number the cores. */
static unsigned core_bits(const struct topology *t)
{
    unsigned bits = 0;
    while (1u << bits < t->cpus)
        bits++;
    return bits;
}

static void set_features(struct kvm_cpuid_entry2 *c, const struct topology *t)
{
    const u32 tsc_deadline = 1u << 24, hypervisor = 1u << 31, htt = 1u << 28;
    c->ebx = (c->ebx & 0xffff) | t->cpus << 16 | t->id << 24;
    c->ecx |= hypervisor | (t->tsc_deadline ? tsc_deadline : 0);
    c->edx = (c->edx & ~htt) | (t->cpus > 1 ? htt : 0);
}

/* Each core has its own caches, but the last, which all share. */
static void set_cache(struct kvm_cpuid_entry2 *c, const struct topology *t)
{
    unsigned level = c->eax >> 5 & 7, sharing = level >= 3 ? t->cpus : 1;
    if (!(c->eax & 0x1f))
        return;
    c->eax = (c->eax & 0x3fff) | (sharing - 1) << 14;
    if (c->function == 4)
        c->eax |= ((1u << core_bits(t)) - 1) << 26;
}

static void set_amd_size(struct kvm_cpuid_entry2 *c, const struct topology *t)
{
    c->ecx = core_bits(t) << 12 | (t->cpus - 1);
}

static void set_amd_ids(struct kvm_cpuid_entry2 *c, const struct topology *t)
{
    c->eax = t->id;
    c->ebx = t->id; /* core id; one thread per core */
    c->ecx = 0;     /* one node */
}

static const struct {
    u32 function;
    void (*set)(struct kvm_cpuid_entry2 *c, const struct topology *t);
} patches[] = {
    {1, set_features},         {4, set_cache}, {0x8000001d, set_cache}, {0x80000008, set_amd_size},
    {0x8000001e, set_amd_ids},
};

static const u32 topology_leaves[] = {0xb, 0x1f};

static bool is_topology(u32 function)
{
    return function == topology_leaves[0] || function == topology_leaves[1];
}

static void patch(struct kvm_cpuid2 *c, const struct topology *t)
{
    u32 kept = 0;
    for (u32 i = 0; i < c->nent; i++) {
        struct kvm_cpuid_entry2 *entry = &c->entries[i];
        for (size_t p = 0; p < ARRAY_SIZE(patches); p++)
            if (patches[p].function == entry->function)
                patches[p].set(entry, t);
        if (!is_topology(entry->function))
            c->entries[kept++] = *entry;
    }
    c->nent = kept;
}

/* Extended topology (leaves 0xb and 0x1f): threads of a core, cores of the package, end. */
static void add_topology(struct kvm_cpuid2 *c, u32 function, const struct topology *t)
{
    const struct {
        u32 shift, count, type;
    } levels[] = {{0, 1, 1}, {core_bits(t), t->cpus, 2}, {0, 0, 0}};
    for (u32 i = 0; i < ARRAY_SIZE(levels) && c->nent < MAX_ENTRIES; i++)
        c->entries[c->nent++] = (struct kvm_cpuid_entry2){
            .function = function,
            .index = i,
            .flags = KVM_CPUID_FLAG_SIGNIFCANT_INDEX,
            .eax = levels[i].shift,
            .ebx = levels[i].count,
            .ecx = levels[i].type << 8 | i,
            .edx = t->id,
        };
}

static u32 max_basic_leaf(const struct kvm_cpuid2 *c)
{
    for (u32 i = 0; i < c->nent; i++)
        if (c->entries[i].function == 0)
            return c->entries[i].eax;
    return 0;
}

struct kvm_cpuid2 *cpuid_supported(const struct machine *m, struct error *e)
{
    struct kvm_cpuid2 *c = calloc(1, sizeof(*c) + MAX_ENTRIES * sizeof(c->entries[0]));
    if (!c) {
        error_set(e, ENOMEM, "no memory for CPUID");
        return NULL;
    }
    c->nent = MAX_ENTRIES;
    if (kvm_call(m->kvm, m->sys_fd, KVM_GET_SUPPORTED_CPUID, c, e) >= 0)
        return c;
    free(c);
    return NULL;
}

int cpuid_set(struct vcpu *v, unsigned cpus, struct error *e)
{
    const struct machine *m = v->machine;
    struct topology t = {.id = v->id, .cpus = cpus};
    struct kvm_cpuid2 *c = cpuid_supported(m, e);
    if (!c)
        return -EIO;
    t.tsc_deadline = m->kvm->ioctl(m->sys_fd, KVM_CHECK_EXTENSION, KVM_CAP_TSC_DEADLINE_TIMER) > 0;
    patch(c, &t);
    int r = cpu_model_apply(&m->cpu, c, v->id == 0, e);
    for (size_t i = 0; i < ARRAY_SIZE(topology_leaves) && r == 0; i++)
        if (topology_leaves[i] <= max_basic_leaf(c))
            add_topology(c, topology_leaves[i], &t);
    if (r == 0)
        r = kvm_call(m->kvm, v->fd, KVM_SET_CPUID2, c, e);
    free(c);
    return r;
}
