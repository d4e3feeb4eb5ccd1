/* cpu_model.c - what -cpu says: a model, and features more or fewer (SDM 2A CPUID; AMD APM 3 appendix E) */
/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/base.h"
#include "machine/cpu_model.h"

/* The features that QEMU has names for and a hypervisor may have, by word: the bits from 0 on, "" for those
 * without a name. A second name stands behind a stroke. */
static const struct word {
    u32 leaf, subleaf;
    enum cpu_register reg;
    const char *names;
} words[] = {
    {1, 0, CPU_EDX,
     "fpu vme de pse tsc msr pae mce cx8 apic - sep mtrr pge mca cmov pat pse36 pn clflush - ds acpi mmx fxsr sse sse2 "
     "ss ht tm ia64 pbe"},
    {1, 0, CPU_ECX,
     "pni|sse3 pclmulqdq|pclmuldq dtes64 monitor ds-cpl|ds_cpl vmx smx est tm2 ssse3 cid - fma cx16 xtpr pdcm - pcid dca "
     "sse4.1|sse4-1 sse4.2|sse4-2 x2apic movbe popcnt tsc-deadline aes xsave - avx f16c rdrand hypervisor"},
    {7, 0, CPU_EBX,
     "fsgsbase tsc-adjust|tsc_adjust sgx bmi1 hle avx2 - smep bmi2 erms invpcid rtm - - mpx - avx512f avx512dq rdseed adx "
     "smap avx512ifma pcommit clflushopt clwb intel-pt avx512pf avx512er avx512cd sha-ni avx512bw avx512vl"},
    {7, 0, CPU_ECX,
     "- avx512vbmi umip pku - waitpkg avx512vbmi2 - gfni vaes vpclmulqdq avx512vnni avx512bitalg - avx512-vpopcntdq - la57 "
     "- - - - - rdpid - bus-lock-detect cldemote - movdiri movdir64b - sgxlc pks"},
    {7, 0, CPU_EDX,
     "- - avx512-4vnniw avx512-4fmaps fsrm - - - avx512-vp2intersect - md-clear - - - serialize - tsx-ldtrk - - arch-lbr - "
     "- amx-bf16 avx512-fp16 amx-tile amx-int8 spec-ctrl stibp - arch-capabilities core-capability ssbd"},
    {7, 1, CPU_EAX, "- - - - avx-vnni avx512-bf16"},
    {0xd, 1, CPU_EAX, "xsaveopt xsavec xgetbv1 xsaves xfd"},
    {6, 0, CPU_EAX, "- - arat"},
    {0x80000001, 0, CPU_ECX,
     "lahf-lm|lahf_lm cmp-legacy|cmp_legacy svm extapic cr8legacy abm|lzcnt sse4a misalignsse 3dnowprefetch osvw ibs xop "
     "skinit wdt - lwp fma4 tce - nodeid-msr - tbm topoext perfctr-core perfctr-nb"},
    {0x80000001, 0, CPU_EDX,
     "- - - - - - - - - - - syscall - - - - - - - - nx - mmxext - - fxsr-opt pdpe1gb rdtscp - lm|i64 3dnowext 3dnow"},
    {0x80000007, 0, CPU_EDX, "- - - - - - - - invtsc"},
    {0x80000008, 0, CPU_EBX, "clzero - xsaveerptr - - - - - - wbnoinvd - - ibpb"},
    {0x80000021, 0, CPU_EAX,
     "no-nested-data-bp fs-gs-base-ns lfence-always-serializing - - - null-sel-clr-base - auto-ibrs - - - - - - - - - - - - "
     "- - - - - - - ibpb-brtype srso-no"},
    {KVM_CPUID_FEATURES, 0, CPU_EAX,
     "kvmclock kvm-nopiodelay kvm-mmu - kvm-asyncpf kvm-steal-time kvm-pv-eoi kvm-pv-unhalt - kvm-pv-tlb-flush - "
     "kvm-pv-ipi kvm-poll-control kvm-pv-sched-yield kvm-asyncpf-int"},
};

/* A model that is not all that there is: the features that it has. */
struct cpu_model_type {
    const char *name, *help, *features; /* features NULL: all that KVM supports */
    const char *model_id;
    s32 family, model, stepping;
};

#define BASE_64                                                                                                   \
    " fpu de pse tsc msr pae mce cx8 apic sep mtrr pge mca cmov pat pse36 clflush mmx fxsr sse sse2 ht pni cx16 " \
    "x2apic hypervisor tsc-deadline arat syscall nx lm kvmclock kvm-nopiodelay kvm-mmu kvm-asyncpf "              \
    "kvm-steal-time kvm-pv-eoi kvm-pv-unhalt kvm-pv-tlb-flush kvm-pv-ipi kvm-poll-control kvm-pv-sched-yield "    \
    "kvm-asyncpf-int topoext "
#define LEVEL_2 BASE_64 "lahf-lm popcnt ssse3 sse4.1 sse4.2 "
#define LEVEL_3 LEVEL_2 "avx avx2 bmi1 bmi2 f16c fma abm movbe xsave xsaveopt xsavec xgetbv1 "
#define LEVEL_4 LEVEL_3 "avx512f avx512bw avx512cd avx512dq avx512vl "

static const struct cpu_model_type types[] = {
    {"host", "the host's processor, as far as the accelerator has it", NULL, NULL, -1, -1, -1},
    {"max", "the same", NULL, NULL, -1, -1, -1},
    {"qemu64", "what each x86-64 processor has (QEMU's model)", BASE_64 "lahf-lm ",
     "QEMU Virtual CPU version 2.5+", 15, 107, 1},
    {"kvm64", "the same (KVM's model)", BASE_64, "Common KVM processor", 15, 6, 1},
    {"x86-64-v2", "level 2 of the x86-64 psABI", LEVEL_2, "x86-64-v2", 15, 107, 1},
    {"x86-64-v3", "level 3: AVX2", LEVEL_3, "x86-64-v3", 15, 107, 1},
    {"x86-64-v4", "level 4: AVX-512", LEVEL_4, "x86-64-v4", 15, 107, 1},
};

/* ---- features by their names ---- */

/* The next word of a list, "-" among them; NULL at the end. */
static const char *next_name(const char **at, size_t *len)
{
    *at += strspn(*at, " ");
    const char *name = *at;
    *len = strcspn(name, " ");
    *at += *len;
    return *len ? name : NULL;
}

/* One of the names between strokes. */
static bool has_name(const char *names, size_t len, const char *wanted, size_t wanted_len)
{
    for (const char *end = names + len; names < end;) {
        size_t n = 0;
        while (names + n < end && names[n] != '|')
            n++;
        if (n == wanted_len && !strncmp(names, wanted, n))
            return true;
        names += n + 1;
    }
    return false;
}

/* Calls fn for each feature, with its number, its names (`len` bytes), and where it is, until that is true.
 */
struct place {
    const struct word *word;
    unsigned bit, number;
    const char *names;
    size_t len;
};

static bool next_feature(struct place *p, const char **at)
{
    size_t end = ARRAY_SIZE(words);
    if (!p->word) {
        *p = (struct place){.word = words, .bit = -1u, .number = -1u};
        *at = words[0].names;
    }
    for (;;) {
        p->names = next_name(at, &p->len);
        if (!p->names) {
            if (++p->word == words + end)
                return false;
            *at = p->word->names;
            p->bit = -1u;
            continue;
        }
        p->bit++;
        if (*p->names == '-')
            continue;
        p->number++;
        ASSERT(p->number < CPU_FEATURES_MAX);
        return true;
    }
}

static bool find_feature(struct place *p, const char *name, size_t len)
{
    const char *at = NULL;
    *p = (struct place){0};
    while (next_feature(p, &at))
        if (has_name(p->names, p->len, name, len))
            return true;
    return false;
}

/* ---- -cpu MODEL,+FEATURE,-FEATURE,FEATURE=on|off,... ---- */

static int set_text(char *to, size_t size, const char *value, const char *name, struct error *e)
{
    if (strlen(value) >= size)
        return error_set(e, EINVAL, "-cpu: %s '%s' is longer than %zu letters", name, value, size - 1);
    strcpy(to, value);
    return 0;
}

static int set_number(s32 *to, const char *value, s32 most, const char *name, struct error *e)
{
    char *end;
    unsigned long n = strtoul(value, &end, 0);
    if (!*value || *end || n > (unsigned long)most)
        return error_set(e, EINVAL, "-cpu: %s '%s' is not a number of 0 to %d", name, value, most);
    *to = (s32)n;
    return 0;
}

/* What is no feature; 1: it is none of these. */
static int set_other(struct cpu_model *m, const char *name, const char *value, struct error *e)
{
    static const char *const ignored[] = {
        "migratable", "pmu", "l3-cache", "host-cache-info", "host-phys-bits", "full-cpuid-auto-level", NULL};
    bool on = !strcmp(value, "on"), is_switch = on || !strcmp(value, "off");
    if (!strcmp(name, "vendor") && strlen(value) == 12)
        return set_text(m->vendor, sizeof(m->vendor), value, name, e);
    if (!strcmp(name, "model-id"))
        return set_text(m->model_id, sizeof(m->model_id), value, name, e);
    if (!strcmp(name, "family"))
        return set_number(&m->family, value, 0xff + 0xf, name, e);
    if (!strcmp(name, "model"))
        return set_number(&m->model, value, 0xff, name, e);
    if (!strcmp(name, "stepping"))
        return set_number(&m->stepping, value, 0xf, name, e);
    if (is_switch && !strcmp(name, "check"))
        m->check = on;
    else if (is_switch && !strcmp(name, "enforce"))
        m->enforce = on;
    else if (is_switch && !strcmp(name, "kvm"))
        m->hide_kvm = !on;
    else {
        for (unsigned i = 0; is_switch && ignored[i]; i++) /* what they would change is not there */
            if (!strcmp(ignored[i], name))
                return 0;
        return 1;
    }
    return 0;
}

static int set_property(struct cpu_model *m, char *text, struct error *e)
{
    char *name = text, *equals = strchr(text, '=');
    const char *value = "on";
    struct place p;
    if (*text == '+' || *text == '-') {
        value = *text == '+' ? "on" : "off";
        name++;
    } else if (equals) {
        *equals = 0;
        value = equals + 1;
    }
    bool on = !strcmp(value, "on");
    if (find_feature(&p, name, strlen(name)) && (on || !strcmp(value, "off"))) {
        m->wanted[p.number] = on ? 1 : -1;
        return 0;
    }
    int r = set_other(m, name, value, e);
    return r > 0 ? error_set(e, EINVAL, "Property '%s-x86_64-cpu.%s' not found: -cpu help lists the features",
                             m->type->name, name)
                 : r;
}

int cpu_model_parse(struct cpu_model *m, const char *text, struct error *e)
{
    char copy[1024], *rest = copy, *word;
    char names[200] = "";
    *m = (struct cpu_model){.check = true, .family = -1, .model = -1, .stepping = -1};
    if (snprintf(copy, sizeof(copy), "%s", text ? text : "host") >= (int)sizeof(copy))
        return error_set(e, EINVAL, "-cpu: the text is longer than %zu bytes", sizeof(copy) - 1);
    word = strsep(&rest, ",");
    for (size_t i = 0; i < ARRAY_SIZE(types) && !m->type; i++) {
        snprintf(names + strlen(names), sizeof(names) - strlen(names), "%s%s", i ? ", " : "", types[i].name);
        if (!strcmp(types[i].name, word))
            m->type = &types[i];
    }
    if (!m->type)
        return error_set(e, EINVAL, "unable to find CPU model '%s': use one of: %s", word, names);
    int r = 0;
    while (r == 0 && (word = strsep(&rest, ",")))
        r = set_property(m, word, e);
    return r;
}

/* ---- what comes of it ---- */

static struct kvm_cpuid_entry2 *find_leaf(const struct kvm_cpuid2 *c, u32 leaf, u32 subleaf)
{
    for (u32 i = 0; i < c->nent; i++) {
        const struct kvm_cpuid_entry2 *entry = &c->entries[i];
        if (entry->function == leaf &&
            (!(entry->flags & KVM_CPUID_FLAG_SIGNIFCANT_INDEX) || entry->index == subleaf))
            return (struct kvm_cpuid_entry2 *)entry;
    }
    return NULL;
}

static u32 *find_register(const struct kvm_cpuid2 *c, const struct word *w)
{
    struct kvm_cpuid_entry2 *entry = find_leaf(c, w->leaf, w->subleaf);
    if (!entry)
        return NULL;
    u32 *const registers[] = {&entry->eax, &entry->ebx, &entry->ecx, &entry->edx};
    return registers[w->reg];
}

static bool model_has(const struct cpu_model *m, const struct place *p)
{
    const char *at = m->type->features, *name;
    size_t len;
    if (m->wanted[p->number])
        return m->wanted[p->number] > 0;
    while (at && (name = next_name(&at, &len)))
        if (has_name(p->names, p->len, name, len))
            return true;
    return !at;
}

/* AMD repeats some of leaf 1 in 0x80000001. */
enum { AMD_COPY = 0x0183f3ff };

static void copy_to_amd(struct kvm_cpuid2 *c)
{
    const struct kvm_cpuid_entry2 *one = find_leaf(c, 1, 0);
    struct kvm_cpuid_entry2 *amd = find_leaf(c, 0x80000001, 0);
    if (one && amd)
        amd->edx &= ~(u32)AMD_COPY | one->edx;
}

static void put_text(struct kvm_cpuid2 *c, u32 first, const char *text)
{
    char all[48] = "";
    memcpy(all, text, min(strlen(text), sizeof(all)));
    for (u32 i = 0; i < 3; i++) {
        struct kvm_cpuid_entry2 *entry = find_leaf(c, first + i, 0);
        if (entry)
            memcpy(&entry->eax, all + 16 * i, 16); /* eax, ebx, ecx, edx follow each other */
    }
}

static void put_vendor(struct kvm_cpuid2 *c, const char *v)
{
    static const u32 leaves[] = {0, 0x80000000};
    for (size_t i = 0; i < ARRAY_SIZE(leaves); i++) {
        struct kvm_cpuid_entry2 *entry = find_leaf(c, leaves[i], 0);
        if (!entry)
            continue;
        memcpy(&entry->ebx, v, 4);
        memcpy(&entry->edx, v + 4, 4);
        memcpy(&entry->ecx, v + 8, 4);
    }
}

static void put_version(struct kvm_cpuid2 *c, s32 family, s32 model, s32 stepping)
{
    struct kvm_cpuid_entry2 *one = find_leaf(c, 1, 0);
    if (one && family >= 0)
        one->eax = (one->eax & ~0x0ff00f00u) | (u32)min(family, 15) << 8 |
                   (u32)(family > 15 ? family - 15 : 0) << 20;
    if (one && model >= 0)
        one->eax = (one->eax & ~0x000f00f0u) | ((u32)model & 15) << 4 | ((u32)model >> 4) << 16;
    if (one && stepping >= 0)
        one->eax = (one->eax & ~15u) | (u32)stepping;
    struct kvm_cpuid_entry2 *amd = find_leaf(c, 0x80000001, 0);
    if (amd && one)
        amd->eax = one->eax;
}

/* The vendor of a model that is not the host's would have the guest take the other maker's ways (SYSENTER,
 * fault details): it stays the host's, unless it was asked for. */
static void put_identity(const struct cpu_model *m, struct kvm_cpuid2 *c)
{
    const struct cpu_model_type *t = m->type;
    if (*m->vendor)
        put_vendor(c, m->vendor);
    if (*m->model_id || t->model_id)
        put_text(c, 0x80000002, *m->model_id ? m->model_id : t->model_id);
    put_version(c, m->family >= 0 ? m->family : t->family, m->model >= 0 ? m->model : t->model,
                m->stepping >= 0 ? m->stepping : t->stepping);
}

static void hide_kvm(struct kvm_cpuid2 *c)
{
    u32 kept = 0;
    for (u32 i = 0; i < c->nent; i++)
        if (c->entries[i].function >> 8 != KVM_CPUID_SIGNATURE >> 8)
            c->entries[kept++] = c->entries[i];
    c->nent = kept;
}

static int missing(const struct cpu_model *m, const struct place *p, bool say, struct error *e)
{
    static const char *const registers[] = {"EAX", "EBX", "ECX", "EDX"};
    char what[96];
    snprintf(what, sizeof(what), "CPUID.%02XH:%s.%.*s [bit %u]", p->word->leaf, registers[p->word->reg],
             (int)strcspn(p->names, "| "), p->names, p->bit);
    if (m->enforce)
        return error_set(e, ENOTSUP, "-cpu: the accelerator doesn't support requested feature: %s", what);
    if (m->check && say)
        report("warning: the accelerator doesn't support requested feature: %s", what);
    return 0;
}

int cpu_model_apply(const struct cpu_model *m, struct kvm_cpuid2 *c, bool say, struct error *e)
{
    struct place p = {0};
    const char *at = NULL;
    int r = 0;
    while (r == 0 && next_feature(&p, &at)) {
        u32 *reg = find_register(c, p.word);
        bool has = reg && *reg >> p.bit & 1;
        if (!has && m->wanted[p.number] > 0)
            r = missing(m, &p, say, e);
        else if (has && !model_has(m, &p))
            *reg &= ~(1u << p.bit);
    }
    copy_to_amd(c);
    put_identity(m, c);
    if (m->hide_kvm)
        hide_kvm(c);
    return r;
}

/* ---- for monitors and people ---- */

json_t *cpu_model_properties(const struct cpu_model *m, const struct kvm_cpuid2 *supported)
{
    json_t *list = json_object();
    struct place p = {0};
    const char *at = NULL;
    while (next_feature(&p, &at)) {
        char name[40];
        const u32 *reg = find_register(supported, p.word);
        snprintf(name, sizeof(name), "%.*s", (int)strcspn(p.names, "| "), p.names);
        json_object_set_new(list, name, json_boolean(reg && *reg >> p.bit & 1 && model_has(m, &p)));
    }
    return list;
}

json_t *cpu_model_definitions(const struct kvm_cpuid2 *supported)
{
    json_t *list = json_array();
    for (size_t i = 0; i < ARRAY_SIZE(types); i++) {
        const struct cpu_model m = {.type = &types[i]};
        json_t *lacks = json_array();
        struct place p = {0};
        const char *at = NULL;
        char type[64];
        while (types[i].features && next_feature(&p, &at)) {
            const u32 *reg = find_register(supported, p.word);
            if (model_has(&m, &p) && !(reg && *reg >> p.bit & 1))
                json_array_append_new(lacks, json_stringn(p.names, strcspn(p.names, "| ")));
        }
        snprintf(type, sizeof(type), "%s-x86_64-cpu", types[i].name);
        json_array_append_new(list, json_pack("{s:s,s:s,s:b,s:b,s:b,s:o}", "name", types[i].name, "typename",
                                              type, "static", 0, "migration-safe", types[i].features != NULL,
                                              "deprecated", 0, "unavailable-features", lacks));
    }
    return list;
}

void cpu_model_help(void)
{
    struct place p = {0};
    const char *at = NULL;
    puts("Models:");
    for (size_t i = 0; i < ARRAY_SIZE(types); i++)
        printf("  %-10s %s\n", types[i].name, types[i].help);
    puts("\nFeatures, as +NAME, -NAME, NAME=on or NAME=off behind a comma:");
    for (int column = 0; next_feature(&p, &at);) {
        int len = (int)strcspn(p.names, "| ");
        column = column + len + 1 > 78 ? 0 : column;
        printf("%s%.*s", column ? " " : p.number ? "\n  " : "  ", len, p.names);
        column += len + 1;
    }
    putchar('\n');
}
