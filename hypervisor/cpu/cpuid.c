/* cpuid.c - what the guest may know of its processor (SDM 2A "CPUID"; APM vol. 3 app. E) */
/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Unprivileged instructions run on the host's CPU, so the guest's processor is the host's: its vendor,
 * family, model and caches. Of its features those are offered that a guest of this engine can use. A feature
 * bit is in one of two masks: native, offered where the host has it, or made here, offered on any host. CPUID
 * itself leaves the host's virtual machine (3.5 microseconds): it is executed for ioctls only.
 */
#include <string.h>
#include <linux/kvm_para.h>

#include "hypervisor/cpu/msr.h"
#include "hypervisor/cpu/x87.h"
#include "hypervisor/vm.h"

enum { EAX, EBX, ECX, EDX };

static void host_cpuid(u32 leaf, u32 subleaf, u32 out[4])
{
    __asm__ volatile("cpuid"
                     : "=a"(out[EAX]), "=b"(out[EBX]), "=c"(out[ECX]), "=d"(out[EDX])
                     : "a"(leaf), "c"(subleaf));
}

static u64 host_xcr0(void)
{
    u32 lo, hi;
    __asm__ volatile("xgetbv" : "=a"(lo), "=d"(hi) : "c"(0));
    return (u64)hi << 32 | lo;
}

/* State components that host and engine have. Those of AVX-512 come together, and the engine reads masks with
 * KMOVQ: processors without AVX512BW (Xeon Phi) are offered none of it. */
u64 xcr0_offered(void)
{
    const u32 avx512f = BIT(16), avx512bw = BIT(30);
    u64 xcr0 = host_xcr0() & XSTATE_OFFERED;
    u32 r[4];
    host_cpuid(7, 0, r);
    bool avx512 = (xcr0 & XSTATE_AVX512) == XSTATE_AVX512 && (r[EBX] & avx512f) && (r[EBX] & avx512bw);
    return avx512 ? xcr0 : xcr0 & ~(u64)XSTATE_AVX512;
}

/* ---- the leaves of KVM_GET_SUPPORTED_CPUID ---- */

struct list {
    struct kvm_cpuid_entry2 *entry;
    unsigned count, max;
};

static void list_add(struct list *l, u32 leaf, u32 subleaf, bool indexed, const u32 r[4])
{
    if (l->count == l->max)
        return;
    l->entry[l->count++] = (struct kvm_cpuid_entry2){
        .function = leaf,
        .index = subleaf,
        .flags = indexed ? KVM_CPUID_FLAG_SIGNIFCANT_INDEX : 0,
        .eax = r[EAX],
        .ebx = r[EBX],
        .ecx = r[ECX],
        .edx = r[EDX],
    };
}

/* Feature words, by leaf (SDM 2A table 3-8; APM vol. 3 E.4). */
static const struct feature_word {
    u32 leaf;
    u8 reg, subleaf;
    u32 native, made;
    u32 avx512; /* native, too, where the host's AVX-512 state is to be had */
} feature_words[] = {
    /* sse3 pclmulqdq ssse3 fma cx16 pcid sse4.1 sse4.2 movbe popcnt aes xsave avx f16c rdrand;
     * x2apic tsc_deadline hypervisor */
    {1, ECX, 0,
     BIT(0) | BIT(1) | BIT(9) | BIT(12) | BIT(13) | BIT(17) | BIT(19) | BIT(20) | BIT(22) | BIT(23) |
         BIT(25) | BIT(26) | BIT(28) | BIT(29) | BIT(30),
     BIT(21) | BIT(24) | BIT(31), 0},
    /* fpu de pse tsc msr pae mce cx8 apic sep mtrr pge mca cmov pat pse36 clfsh mmx fxsr sse sse2; vme */
    {1, EDX, 0, MASK(0, 0) | MASK(9, 2) | MASK(17, 11) | BIT(19) | MASK(26, 23), BIT(1), 0},
    /* arat */
    {6, EAX, 0, 0, BIT(2), 0},
    /* fsgsbase bmi1 avx2 fdp_excptn_only smep bmi2 erms invpcid zero_fcs_fds rdseed adx smap clflushopt clwb
     * sha; tsc_adjust; avx512f dq ifma cd bw vl */
    {7, EBX, 0, BIT(0) | BIT(3) | MASK(10, 5) | BIT(13) | MASK(20, 18) | BIT(23) | BIT(24) | BIT(29), BIT(1),
     MASK(17, 16) | BIT(21) | BIT(28) | MASK(31, 30)},
    /* gfni vaes vpclmulqdq rdpid; umip; avx512 vbmi vbmi2 vnni bitalg vpopcntdq */
    {7, ECX, 0, MASK(10, 8) | BIT(22), BIT(2), BIT(1) | BIT(6) | MASK(12, 11) | BIT(14)},
    /* fsrm serialize; arch_capabilities; avx512 fp16 */
    {7, EDX, 0, BIT(4) | BIT(14), BIT(29), BIT(23)},
    /* avx vnni; avx512 bf16 */
    {7, EAX, 1, BIT(4), 0, BIT(5)},
    /* lahf lzcnt misalignsse 3dnowprefetch topoext */
    {0x80000001, ECX, 0, BIT(0) | BIT(5) | BIT(7) | BIT(8) | BIT(22), 0, 0},
    /* AMD's copy of leaf 1, and syscall nx mmxext pdpe1gb rdtscp lm */
    {0x80000001, EDX, 0,
     BIT(0) | MASK(9, 2) | MASK(17, 12) | BIT(11) | BIT(20) | MASK(24, 22) | BIT(26) | BIT(27) | BIT(29), 0,
     0},
    /* invariant tsc */
    {0x80000007, EDX, 0, BIT(8), 0, 0},
    /* xsaveerptr */
    {0x80000008, EBX, 0, BIT(2), 0, 0},
    /* srso_no: a RET of the guest's kernel is never one of the host's, so that no return stack predicts it */
    {0x80000021, EAX, 0, 0, BIT(29), 0},
};

/* Feature words of the leaf; its other registers stay 0. */
static void keep_features(u32 leaf, u32 subleaf, u32 r[4])
{
    u32 kept[4] = {0};
    bool avx512 = xcr0_offered() & XSTATE_AVX512;
    for (size_t i = 0; i < ARRAY_SIZE(feature_words); i++) {
        const struct feature_word *f = &feature_words[i];
        if (f->leaf == leaf && f->subleaf == subleaf)
            kept[f->reg] = (r[f->reg] & (f->native | (avx512 ? f->avx512 : 0))) | f->made;
    }
    memcpy(r, kept, sizeof(kept));
}

static void add_features(struct list *l, u32 leaf)
{
    u32 r[4];
    host_cpuid(leaf, 0, r);
    keep_features(leaf, 0, r);
    list_add(l, leaf, 0, false, r);
}

/* Subleaf 0 tells the highest subleaf. */
static void add_structured_features(struct list *l, u32 leaf)
{
    u32 r[4], first[4];
    host_cpuid(leaf, 0, first);
    u32 last = min(first[EAX], 1u);
    keep_features(leaf, 0, first);
    first[EAX] = last;
    list_add(l, leaf, 0, true, first);
    if (!last)
        return;
    host_cpuid(leaf, 1, r);
    keep_features(leaf, 1, r);
    list_add(l, leaf, 1, true, r);
}

static void add_as_host(struct list *l, u32 leaf)
{
    u32 r[4];
    host_cpuid(leaf, 0, r);
    list_add(l, leaf, 0, false, r);
}

static bool vendor_is(const char *name)
{
    u32 r[4], want[3];
    host_cpuid(0, 0, r);
    memcpy(want, name, sizeof(want));
    return r[EBX] == want[0] && r[EDX] == want[1] && r[ECX] == want[2];
}

static void add_intel_only(struct list *l, u32 leaf)
{
    if (vendor_is("GenuineIntel"))
        add_as_host(l, leaf);
}

/* The highest leaf that has contents here. */
static void add_basic_range(struct list *l, u32 leaf)
{
    u32 r[4];
    host_cpuid(leaf, 0, r);
    r[EAX] = min(r[EAX], vendor_is("GenuineIntel") ? 0x16u : 0xdu);
    list_add(l, leaf, 0, false, r);
}

static void add_extended_range(struct list *l, u32 leaf)
{
    u32 r[4];
    host_cpuid(leaf, 0, r);
    r[EAX] = min(r[EAX], 0x80000021u);
    list_add(l, leaf, 0, false, r);
}

/* Signature, and of ebx the size of a cache line only: the APIC ID is the VMM's. */
static void add_version(struct list *l, u32 leaf)
{
    u32 r[4], kept[4];
    host_cpuid(leaf, 0, r);
    memcpy(kept, r, sizeof(kept));
    keep_features(leaf, 0, kept);
    kept[EAX] = r[EAX];
    kept[EBX] = r[EBX] & 0xff00;
    list_add(l, leaf, 0, false, kept);
}

/* Caches (leaf 4 of Intel, 0x8000001d of AMD), each as one vcpu's own: topology is the VMM's. */
static void add_caches(struct list *l, u32 leaf)
{
    enum { TYPE = 0x1f, NOT_TOPOLOGY = 0x3fff, MAX_CACHES = 8 };
    for (u32 i = 0; i < MAX_CACHES; i++) {
        u32 r[4];
        host_cpuid(leaf, i, r);
        if (!(r[EAX] & TYPE))
            break;
        r[EAX] &= NOT_TOPOLOGY;
        list_add(l, leaf, i, true, r);
    }
}

static void add_empty(struct list *l, u32 leaf)
{
    static const u32 zero[4];
    list_add(l, leaf, 0, leaf == 0xb, zero);
}

/* One subleaf for the sizes, one for features, and one for each component beyond SSE. */
static void add_xsave(struct list *l, u32 leaf)
{
    const u32 features = XSAVE_FEATURE_XSAVEOPT | XSAVE_FEATURE_XSAVEC | XSAVE_FEATURE_XGETBV1;
    u32 xcr0 = (u32)xcr0_offered(), r[4];
    u16 offset[XSAVE_COMPONENTS];
    xsave_layout(offset);
    u32 size = xsave_size(offset, xcr0);
    list_add(l, leaf, 0, true, (u32[4]){xcr0, size, size, 0});
    host_cpuid(leaf, 1, r);
    list_add(l, leaf, 1, true, (u32[4]){r[EAX] & features, xsave_compacted_size(xcr0), 0, 0});
    for (u32 n = COMPONENT_AVX; n < XSAVE_COMPONENTS; n++) {
        host_cpuid(leaf, n, r);
        if (xcr0 >> n & 1)
            list_add(l, leaf, n, true, r);
    }
}

/* Physical addresses as the host's, linear ones of 48 bits. */
static void add_address_sizes(struct list *l, u32 leaf)
{
    u32 r[4];
    host_cpuid(leaf, 0, r);
    u32 physical = min(r[EAX] & 0xff, 52u);
    keep_features(leaf, 0, r);
    r[EAX] = physical | 48 << 8;
    list_add(l, leaf, 0, false, r);
}

static void add_hypervisor(struct list *l, u32 leaf)
{
    u32 name[3];
    memcpy(name, KVM_SIGNATURE, sizeof(name));
    list_add(l, leaf, 0, false, (u32[4]){KVM_CPUID_FEATURES, name[0], name[1], name[2]});
}

static void add_paravirtual_features(struct list *l, u32 leaf)
{
    const u32 features =
        BIT(KVM_FEATURE_CLOCKSOURCE) | BIT(KVM_FEATURE_NOP_IO_DELAY) | BIT(KVM_FEATURE_CLOCKSOURCE2) |
        BIT(KVM_FEATURE_ASYNC_PF) | BIT(KVM_FEATURE_PV_EOI) | BIT(KVM_FEATURE_CLOCKSOURCE_STABLE_BIT) |
        BIT(KVM_FEATURE_STEAL_TIME) | BIT(KVM_FEATURE_PV_UNHALT) | BIT(KVM_FEATURE_PV_TLB_FLUSH) |
        BIT(KVM_FEATURE_ASYNC_PF_VMEXIT) | BIT(KVM_FEATURE_PV_SEND_IPI) | BIT(KVM_FEATURE_POLL_CONTROL) |
        BIT(KVM_FEATURE_PV_SCHED_YIELD) | BIT(KVM_FEATURE_ASYNC_PF_INT);
    list_add(l, leaf, 0, false, (u32[4]){features, 0, 0, 0});
}

static const struct leaf {
    u32 leaf;
    void (*add)(struct list *l, u32 leaf);
} leaves[] = {
    {0, add_basic_range},
    {1, add_version},
    {2, add_intel_only},
    {4, add_caches},
    {6, add_features},
    {7, add_structured_features},
    {0xb, add_empty},
    {0xd, add_xsave},
    {0x15, add_intel_only},
    {0x16, add_intel_only},
    {KVM_CPUID_SIGNATURE, add_hypervisor},
    {KVM_CPUID_FEATURES, add_paravirtual_features},
    {0x80000000, add_extended_range},
    {0x80000001, add_features},
    {0x80000002, add_as_host},
    {0x80000003, add_as_host},
    {0x80000004, add_as_host},
    {0x80000005, add_as_host},
    {0x80000006, add_as_host},
    {0x80000007, add_features},
    {0x80000008, add_address_sizes},
    {0x8000001a, add_as_host},
    {0x8000001d, add_caches},
    {0x8000001e, add_empty},
    {0x80000021, add_features},
};

/* Leaves of the range that the host itself has: others would show the contents of another leaf (SDM 2A
 * "CPUID"). */
static bool host_has_leaf(u32 leaf)
{
    u32 r[4];
    if (leaf >> 16 == KVM_CPUID_SIGNATURE >> 16)
        return true;
    host_cpuid(leaf & 0x80000000, 0, r);
    return leaf <= r[EAX];
}

unsigned cpuid_supported(struct kvm_cpuid_entry2 *e, unsigned max)
{
    struct list l = {.entry = e, .max = max};
    for (size_t i = 0; i < ARRAY_SIZE(leaves); i++)
        if (host_has_leaf(leaves[i].leaf))
            leaves[i].add(&l, leaves[i].leaf);
    return l.count;
}

/* ---- the guest's CPUID ---- */

static const struct kvm_cpuid_entry2 *entry_find(const struct vcpu *v, u32 leaf, u32 subleaf)
{
    for (u32 i = 0; i < v->cpuid_count; i++) {
        const struct kvm_cpuid_entry2 *e = &v->cpuid[i];
        bool indexed = e->flags & KVM_CPUID_FLAG_SIGNIFCANT_INDEX;
        if (e->function == leaf && (!indexed || e->index == subleaf))
            return e;
    }
    return NULL;
}

/* Intel's processors answer a basic or extended leaf beyond the highest with the highest basic one. */
static const struct kvm_cpuid_entry2 *entry_out_of_range(const struct vcpu *v, u32 leaf, u32 subleaf)
{
    enum { INTEL_ECX = 0x6c65746e /* "ntel" */ };
    const struct kvm_cpuid_entry2 *basic = entry_find(v, 0, 0);
    const struct kvm_cpuid_entry2 *range = entry_find(v, leaf & 0x80000000, 0);
    bool hypervisor = leaf >> 16 == KVM_CPUID_SIGNATURE >> 16;
    if (!basic || basic->ecx != INTEL_ECX || hypervisor || (range && leaf <= range->eax))
        return NULL;
    return entry_find(v, basic->eax, subleaf);
}

/* OSXSAVE and APIC follow CR4 and IA32_APIC_BASE. What needs a local APIC of the library is not there
 * without. */
static void update_features(const struct vcpu *v, u32 out[4])
{
    const u32 x2apic = BIT(21), tsc_deadline = BIT(24), osxsave = BIT(27), mwait = BIT(3), apic = BIT(9),
              apic_enabled = BIT(11);
    out[ECX] = (out[ECX] & ~osxsave) | (v->cr4 & CR4_OSXSAVE ? osxsave : 0);
    if (!(v->apic_base & apic_enabled))
        out[EDX] &= ~apic;
    if (!v->lapic)
        out[ECX] &= ~(x2apic | tsc_deadline);
    if (!vm_has_quirk(v->vm, KVM_X86_QUIRK_MISC_ENABLE_NO_MWAIT))
        out[ECX] = (out[ECX] & ~mwait) | (v->misc_enable & MISC_ENABLE_MWAIT ? mwait : 0);
}

/* A processor that keeps its HLT to itself is not one that sleeps until it is kicked. */
static void update_paravirtual(const struct vcpu *v, u32 out[4])
{
    const struct kvm_cpuid_entry2 *e = entry_find(v, KVM_CPUID_SIGNATURE, 0);
    if (v->vm->no_hlt_exits && e && !memcmp(&e->ebx, KVM_SIGNATURE, sizeof(e->ebx)))
        out[EAX] &= ~BIT(KVM_FEATURE_PV_UNHALT);
}

/* What depends on the state of the vcpu, and of its VM. */
static void update(const struct vcpu *v, u32 leaf, u32 subleaf, u32 out[4])
{
    if (leaf == 1)
        update_features(v, out);
    else if (leaf == KVM_CPUID_FEATURES)
        update_paravirtual(v, out);
    else if (leaf == 0xd && subleaf <= 1 && (out[EAX] || out[ECX]))
        out[EBX] = subleaf ? xsave_compacted_size(v->xcr0) : xsave_size(v->xsave_offset, v->xcr0);
}

/* An invalid subleaf of the topology leaves still tells the x2APIC ID and its own number. */
static void topology_beyond(const struct vcpu *v, u32 leaf, u32 subleaf, u32 out[4])
{
    const struct kvm_cpuid_entry2 *e = entry_find(v, leaf, 1);
    if (!e)
        return;
    out[ECX] = subleaf & 0xff;
    out[EDX] = e->edx;
}

void cpuid_query(struct vcpu *v, u32 leaf, u32 subleaf, u32 out[4])
{
    const struct kvm_cpuid_entry2 *e = entry_find(v, leaf, subleaf);
    if (!e)
        e = entry_out_of_range(v, leaf, subleaf);
    if (!e) {
        memset(out, 0, 4 * sizeof(out[0]));
        if (leaf == 0xb || leaf == 0x1f)
            topology_beyond(v, leaf, subleaf, out);
        return;
    }
    out[EAX] = e->eax;
    out[EBX] = e->ebx;
    out[ECX] = e->ecx;
    out[EDX] = e->edx;
    update(v, e->function, e->index, out);
}

bool cpuid_is_amd(struct vcpu *v)
{
    u32 out[4];
    cpuid_query(v, 0, 0, out);
    return out[1] == 0x68747541 || out[1] == 0x6f677948; /* "Auth", "Hygo" */
}

bool cpuid_has(struct vcpu *v, u32 leaf, u32 subleaf, unsigned reg, unsigned bit)
{
    const struct kvm_cpuid_entry2 *e = entry_find(v, leaf, subleaf);
    if (!e)
        return false;
    const u32 r[4] = {e->eax, e->ebx, e->ecx, e->edx};
    return r[reg] & BIT(bit);
}

/* Bits of CR4 that a feature brings (SDM 3A 2.5). Those without a row are always there, or never. */
static const struct {
    u32 leaf;
    u8 reg, bit;
    u32 cr4;
} cr4_features[] = {
    {1, EDX, 1, CR4_VME},      {1, EDX, 1, CR4_PVI},  {1, EDX, 2, CR4_DE},     {1, EDX, 3, CR4_PSE},
    {1, EDX, 6, CR4_PAE},      {1, EDX, 13, CR4_PGE}, {1, ECX, 17, CR4_PCIDE}, {1, ECX, 26, CR4_OSXSAVE},
    {7, EBX, 0, CR4_FSGSBASE}, {7, EBX, 7, CR4_SMEP}, {7, EBX, 20, CR4_SMAP},  {7, ECX, 2, CR4_UMIP},
};

/* A feature word of the guest's; of a vcpu that has been told no CPUID yet, of what is supported. */
static void feature_word(const struct vcpu *v, u32 leaf, u32 r[4])
{
    const struct kvm_cpuid_entry2 *e = entry_find(v, leaf, 0);
    if (v->cpuid_count) {
        memcpy(r, e ? (u32[4]){e->eax, e->ebx, e->ecx, e->edx} : (u32[4]){0}, 4 * sizeof(r[0]));
        return;
    }
    memset(r, 0, 4 * sizeof(r[0]));
    if (host_has_leaf(leaf))
        host_cpuid(leaf, 0, r);
    keep_features(leaf, 0, r);
}

static u64 cr4_allowed(const struct vcpu *v)
{
    u64 allowed = CR4_TSD | CR4_MCE | CR4_PCE | CR4_OSFXSR | CR4_OSXMMEXCPT;
    u32 basic[4], structured[4];
    feature_word(v, 1, basic);
    feature_word(v, 7, structured);
    for (size_t i = 0; i < ARRAY_SIZE(cr4_features); i++) {
        const u32 *word = cr4_features[i].leaf == 1 ? basic : structured;
        if (word[cr4_features[i].reg] & BIT(cr4_features[i].bit))
            allowed |= cr4_features[i].cr4;
    }
    return allowed;
}

static unsigned physical_bits(const struct vcpu *v)
{
    const struct kvm_cpuid_entry2 *e = entry_find(v, 0x80000008, 0);
    unsigned bits = e ? e->eax & 0xff : 36;
    return min(max(bits, 32u), 52u);
}

/* How many bits of FIP the host's CPU keeps, sign-extended: CPUID does not tell where a hypervisor hides
 * 57-bit addresses. The image has an unmasked error, without which some processors of AMD do not load it. */
static unsigned host_x87_address_bits(void)
{
    struct fxsave_image {
        u16 fcw, fsw, ftw, fop;
        u64 fip;
        u8 rest[496];
    } __attribute__((aligned(16))) saved, probe;
    __asm__ volatile("fxsave64 %0" : "=m"(saved));
    probe = saved;
    probe.fcw = 0x37e;
    probe.fsw = 1;
    probe.fip = 0xaaaaaaaaaaaaaaaa; /* no bit like the one beside it */
    __asm__ volatile("fxrstor64 %0; fxsave64 %0; fxrstor64 %1" : "+m"(probe) : "m"(saved));
    return 64 - (unsigned)__builtin_clrsbl((long)probe.fip);
}

static u32 x87_rules(struct vcpu *v)
{
    u32 rules = 0;
    if (cpuid_is_amd(v)) {
        rules = X87_SAVED_AT_ERROR;
        return cpuid_has(v, 0x80000008, 0, EBX, 2) ? rules : rules | X87_RESTORED_AT_ERROR;
    }
    rules = X87_OPCODE_AT_ERROR;
    if (cpuid_has(v, 7, 0, EBX, 6))
        rules |= X87_OPERAND_AT_ERROR;
    if (cpuid_has(v, 7, 0, EBX, 13))
        rules |= X87_NO_SELECTORS;
    return rules;
}

void cpuid_update(struct vcpu *v)
{
    const struct kvm_cpuid_entry2 *xsave = entry_find(v, 0xd, 0), *features = entry_find(v, 0xd, 1);
    u32 host[4];
    host_cpuid(0xd, 1, host);
    v->maxphyaddr_mask = MASK(63, physical_bits(v));
    v->cr4_reserved = ~cr4_allowed(v);
    v->xcr0_host = xcr0_offered();
    v->xcr0_supported = xsave ? xsave->eax & v->xcr0_host : 0;
    v->x87.rules = x87_rules(v);
    v->x87.address_bits = host_x87_address_bits();
    v->xsave_features = features ? features->eax & host[EAX] : 0;
}
