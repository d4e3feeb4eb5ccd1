/* pages.c - what of the guest's pages a shadow has mapped, as a TLB has it (SDM 3A 4.10) */
/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A mapping is made when guest code faults for want of it, from a walk of the guest's page tables that sets
 * the accessed bit, and the dirty bit before a page becomes writable. What lies around it is mapped along,
 * where the guest has used it before, so that no bit is set that no access has set.
 *
 * A flush does not unmap anything at once: most of it would be mapped again. Each region remembers the page
 * table, and the entries above it, as they were; before guest code runs again they are compared, and what
 * differs is unmapped. That costs a fraction of a microsecond for 2 MiB of a program.
 *
 * A page is writable or executable, never both, and what is executable counts as code of the engine: it has
 * no write entry in any TLB, and a store to it ends its being executable. Another vcpu's thread, which finds
 * that a page has become code or is no longer, marks it here (pages_update); that the mark is seen before
 * guest code runs again, or the page is not settled, follows from the epochs of translate/cache.h.
 */
#include <string.h>
#include <sys/mman.h>

#include "hypervisor/direct/backing.h"
#include "hypervisor/direct/conditions.h"
#include "hypervisor/direct/pages.h"
#include "hypervisor/direct/scan.h"
#include "hypervisor/translate/cache.h"

enum { PTE_P = BIT(0), PTE_W = BIT(1), PTE_U = BIT(2), PTE_A = BIT(5), PTE_D = BIT(6), PTE_PS = BIT(7) };
#define PTE_NX      BIT(63)
#define PTE_ADDRESS MASK(51, 12)
enum { PAGE_BYTES = 4096, AROUND_DATA = 64, AROUND_CODE = 16, MAX_MAPPINGS = 30000, MIN_ADDRESS = 65536 };
#define USER_END 0x7ffffffff000ull

bool pages_create(struct pages *p, struct vcpu *v, struct shadow_process *process, struct scan_result *known)
{
    void *m = mmap(NULL, REGIONS * sizeof(struct region), PROT_READ | PROT_WRITE,
                   MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    *p = (struct pages){.v = v, .process = process, .known = known, .region = m == MAP_FAILED ? NULL : m};
    if (p->region)
        madvise(m, REGIONS * sizeof(struct region), MADV_DONTFORK);
    return p->region;
}

void pages_destroy(struct pages *p)
{
    if (p->region)
        munmap(p->region, REGIONS * sizeof(struct region));
    p->region = NULL;
}

/* ---- regions ---- */

static struct region *region_slot(struct pages *p, u64 number)
{
    unsigned i = (unsigned)(number ^ number >> 12) % REGIONS;
    while (p->region[i].used && p->region[i].number != number)
        i = (i + 1) % REGIONS;
    return &p->region[i];
}

/* What the entry was, with A and D perhaps set since. */
static bool is_as_before(u64 now, u64 before)
{
    return now == before || (!((now ^ before) & ~(u64)(PTE_A | PTE_D)) && !(before & ~now));
}

/* depth 0: it had none. */
static bool path_holds(const struct region *r)
{
    if (!r->depth)
        return false;
    for (unsigned i = 0; i < r->depth; i++)
        if (!is_as_before(__atomic_load_n(r->path[i].at, __ATOMIC_RELAXED), r->path[i].value))
            return false;
    return true;
}

/* From the top of the page tables down to the one that maps the region. false: nothing is mapped by it now.
 */
static bool path_walk(struct vcpu *v, struct region *r)
{
    u64 table = v->cr3 & PTE_ADDRESS, rights = PTE_W | PTE_U;
    bool execute = true;
    r->large = false;
    r->table = NULL;
    for (r->depth = 0; r->depth < 3;) {
        const u8 *page = phys_page(vcpu_memory(v), table, NULL);
        if (!page)
            return false;
        struct path_entry *e = &r->path[r->depth++];
        e->at = (const u64 *)page + (r->number >> 9 * (3 - r->depth) & 511);
        e->value = __atomic_load_n(e->at, __ATOMIC_RELAXED);
        if (!(e->value & PTE_P) || !(e->value & PTE_A))
            return false;
        rights &= e->value;
        execute &= !(e->value & PTE_NX);
        table = e->value & PTE_ADDRESS;
        r->large = r->depth > 1 && (e->value & PTE_PS);
        if (r->large)
            break;
    }
    r->writable = rights & PTE_W;
    r->executable = execute;
    r->table = r->large ? NULL : (const u64 *)phys_page(vcpu_memory(v), table, NULL);
    return (rights & PTE_U) && (r->large || r->table);
}

static gva page_address(const struct region *r, unsigned i)
{
    return r->number << REGION_SHIFT | (u64)i << 12;
}

/* The entry for page i as it is now; of a large page, as if it were a small one. */
static u64 entry_now(const struct region *r, unsigned i)
{
    if (!r->large)
        return __atomic_load_n(&r->table[i], __ATOMIC_RELAXED);
    u64 e = r->path[r->depth - 1].value, size = r->depth == 2 ? BIT(30) : BIT(21);
    return (e & ~(PTE_ADDRESS | PTE_PS)) | (e & PTE_ADDRESS & ~(size - 1)) |
           (page_address(r, i) & (size - 1));
}

/* Those of the page, or of all. */
static void end_sites(struct pages *p, gva page, bool all)
{
    for (unsigned n = 0; n < SCAN_SITES; n++)
        if (p->site[n] && (all || ALIGN_DOWN(p->site[n], PAGE_BYTES) == page)) {
            shadow_breakpoint(p->process, n, 0);
            p->site[n] = 0;
        }
}

/* As many as are free, at most. */
static bool begin_sites(struct pages *p, gva page, const u16 *site, int count)
{
    for (unsigned n = 0; count && n < SCAN_SITES; n++)
        if (!p->site[n]) {
            if (!shadow_breakpoint(p->process, n, page + site[count - 1]))
                break;
            p->site[n] = page + site[--count];
        }
    if (count)
        end_sites(p, page, false);
    return !count;
}

static bool set_state(struct pages *p, struct region *r, unsigned i, enum page_state s, u64 offset)
{
    static const int protection[] = {
        [PAGE_ABSENT] = 0,
        [PAGE_READ] = PROT_READ,
        [PAGE_WRITE] = PROT_READ | PROT_WRITE,
        [PAGE_EXEC] = PROT_READ | PROT_EXEC,
    };
    if (r->state[i] == PAGE_EXEC)
        end_sites(p, page_address(r, i), false);
    r->mapped += (s != PAGE_ABSENT) - (r->state[i] != PAGE_ABSENT);
    r->execs += (s == PAGE_EXEC) - (r->state[i] == PAGE_EXEC);
    r->state[i] = (u8)s;
    p->mappings++;
    p->stat_mapped += s != PAGE_ABSENT;
    return shadow_map(p->process, page_address(r, i), PAGE_BYTES, protection[s], offset);
}

static bool unmap_region(struct pages *p, struct region *r)
{
    if (!r->mapped)
        return true;
    for (unsigned n = 0; n < SCAN_SITES; n++)
        if (p->site[n] >> REGION_SHIFT == r->number)
            end_sites(p, ALIGN_DOWN(p->site[n], PAGE_BYTES), false);
    memset(r->state, 0, sizeof(r->state));
    r->mapped = r->execs = 0;
    p->mappings++;
    return shadow_map(p->process, page_address(r, 0), BIT(REGION_SHIFT), 0, 0);
}

static bool forget(struct pages *p)
{
    const u64 end = p->process->stub + STUB_PAGES * PAGE_BYTES;
    for (unsigned i = 0; i < p->regions; i++) {
        struct region *r = &p->region[p->used[i]];
        r->used = false;
        r->mapped = r->execs = 0;
        memset(r->state, 0, sizeof(r->state));
    }
    end_sites(p, 0, true);
    p->regions = p->mappings = 0;
    p->stale = false;
    p->stale_pages = 0;
    shadow_forget_maps(p->process);
    return shadow_map(p->process, 0, p->process->stub, 0, 0) &&
           shadow_map(p->process, end, USER_END - end, 0, 0);
}

/* The region of a, its path up to date; NULL: nothing is mapped there now. */
static struct region *region_of(struct pages *p, gva a)
{
    struct region *r = region_slot(p, a >> REGION_SHIFT);
    if (r->used && path_holds(r))
        return r;
    if (!r->used) {
        if (p->regions > REGIONS / 2 || p->mappings > MAX_MAPPINGS) {
            if (!forget(p))
                return NULL;
            r = region_slot(p, a >> REGION_SHIFT);
        }
        r->used = true;
        r->number = a >> REGION_SHIFT;
        p->used[p->regions++] = (u16)(r - p->region);
    } else if (!unmap_region(p, r)) {
        return NULL;
    }
    if (path_walk(p->v, r))
        return r;
    r->depth = 0;
    return NULL;
}

/* ---- bringing them up to date ---- */

static bool page_check(struct pages *p, struct region *r, unsigned i)
{
    if (r->state[i] == PAGE_ABSENT || r->large || is_as_before(entry_now(r, i), r->entry[i]))
        return true;
    return set_state(p, r, i, PAGE_ABSENT, 0);
}

static bool region_check(struct pages *p, struct region *r)
{
    if (!r->mapped)
        return true;
    if (!path_holds(r))
        return unmap_region(p, r);
    if (r->large)
        return true;
    for (unsigned i = 0; i < REGION_PAGES; i++) {
        if (i % 8 == 0 && !*(const u64 *)(const void *)&r->state[i]) {
            i += 7;
            continue;
        }
        if (!page_check(p, r, i))
            return false;
    }
    return true;
}

static bool check_all(struct pages *p, bool (*check)(struct pages *p, struct region *r))
{
    for (unsigned i = 0; i < p->regions; i++)
        if (!check(p, &p->region[p->used[i]]))
            return false;
    return true;
}

static bool check_stale_pages(struct pages *p)
{
    for (unsigned n = 0; n < p->stale_pages; n++) {
        struct region *r = region_slot(p, p->stale_page[n] >> REGION_SHIFT);
        if (!r->used || !r->mapped)
            continue;
        if (!path_holds(r) ? !unmap_region(p, r)
                           : !page_check(p, r, p->stale_page[n] >> 12 & (REGION_PAGES - 1)))
            return false;
    }
    return true;
}

static u8 *host_of(const struct pages *p, const struct region *r, unsigned i)
{
    return phys_page(vcpu_memory(p->v), (r->large ? entry_now(r, i) : r->entry[i]) & PTE_ADDRESS, NULL);
}

/* Whether code_page has been marked since; then what the mapping must be. */
static bool marks_check_region(struct pages *p, struct region *r, const u64 *mark)
{
    u64 offset;
    for (unsigned i = 0; i < REGION_PAGES && r->mapped; i++) {
        if (r->state[i] != PAGE_WRITE && r->state[i] != PAGE_EXEC)
            continue;
        if (!(mark[r->mark[i] / 64] >> r->mark[i] % 64 & 1))
            continue;
        const u8 *host = host_of(p, r, i);
        if (!backing_find(p->v->vm->backing, host, &offset))
            continue;
        if (r->state[i] == PAGE_WRITE && cache_has_code(p->v->engine, host)) {
            if (!set_state(p, r, i, PAGE_READ, offset))
                return false;
        } else if (r->state[i] == PAGE_EXEC && !cache_is_direct(p->v->engine, host)) {
            if (!set_state(p, r, i, PAGE_ABSENT, 0))
                return false;
        }
    }
    return true;
}

static bool check_marks(struct pages *p)
{
    u64 mark[MARKS / 64];
    atomic_store(&p->marked, false);
    for (unsigned i = 0; i < ARRAY_SIZE(mark); i++)
        mark[i] = atomic_load(&p->mark[i]) ? atomic_exchange(&p->mark[i], 0) : 0;
    for (unsigned i = 0; i < p->regions; i++)
        if (!marks_check_region(p, &p->region[p->used[i]], mark))
            return false;
    return true;
}

/* Devices may have written to pages of code, as cache_verify finds for translations. */
static bool verify_region(struct pages *p, struct region *r)
{
    for (unsigned i = 0; r->execs && i < REGION_PAGES; i++)
        if (r->state[i] == PAGE_EXEC && scan_sum(host_of(p, r, i)) != r->sum[i] &&
            !set_state(p, r, i, PAGE_ABSENT, 0))
            return false;
    return true;
}

bool pages_update(struct pages *p)
{
    bool good = true;
    if (atomic_exchange(&p->forget, false))
        good = forget(p);
    if (good && p->stale)
        good = check_all(p, region_check);
    else if (good && p->stale_pages)
        good = check_stale_pages(p);
    p->stale = false;
    p->stale_pages = 0;
    if (good && p->generation != p->v->generation) {
        p->generation = p->v->generation;
        good = check_all(p, verify_region);
    }
    if (good && atomic_load(&p->marked))
        good = check_marks(p);
    return good;
}

/* ---- making mappings ---- */

static bool is_sane(const struct pages *p, u64 entry)
{
    u64 reserved = p->v->maxphyaddr_mask & PTE_ADDRESS;
    if (!(p->v->efer & EFER_NXE))
        reserved |= PTE_NX;
    return !(entry & reserved);
}

/* Where the memory of an entry's page is, if the guest has used the page; may_write: without a bit being set
 * for it. */
static u8 *page_memory(const struct pages *p, const struct region *r, u64 entry, bool *may_write, u64 *offset)
{
    const u64 needed = PTE_P | PTE_U | PTE_A;
    if ((entry & needed) != needed || !is_sane(p, entry))
        return NULL;
    struct memslot *s = memory_find(vcpu_memory(p->v), entry & PTE_ADDRESS);
    if (!s)
        return NULL;
    u8 *host = s->host + ((entry & PTE_ADDRESS) - s->base);
    *may_write = r->writable && (entry & PTE_W) && (entry & PTE_D) && !(s->flags & KVM_MEM_READONLY) &&
                 !s->dirty && !cache_has_code(p->v->engine, host);
    return backing_find(p->v->vm->backing, host, offset) ? host : NULL;
}

/* Page i as data, readable, and writable if that sets no bit. write: it must be writable. */
static bool map_data(struct pages *p, struct region *r, unsigned i, bool write)
{
    u64 entry = entry_now(r, i), offset;
    bool may_write;
    u8 *host = page_memory(p, r, entry, &may_write, &offset);
    if (!host || (write && !may_write))
        return false;
    bool was_code = r->state[i] == PAGE_EXEC && write;
    if (!was_code && r->state[i] >= (may_write ? PAGE_WRITE : PAGE_READ))
        return !write || r->state[i] == PAGE_WRITE;
    r->entry[i] = entry;
    r->mark[i] = (u16)page_mark(host);
    return set_state(p, r, i, may_write ? PAGE_WRITE : PAGE_READ, offset);
}

static void map_around(struct pages *p, struct region *r, unsigned i, unsigned window)
{
    unsigned from = ALIGN_DOWN(i, window);
    if (r->large)
        from = 0, window = REGION_PAGES;
    for (unsigned n = from; n < from + window; n++)
        if (n != i && r->state[n] == PAGE_ABSENT)
            map_data(p, r, n, false);
}

/* A store to a page of which translations were made once, or that executes directly: it is data now. */
static void give_up_code(struct pages *p, const u8 *host)
{
    if (cache_has_code(p->v->engine, host))
        cache_forget_page(p->v, host);
}

static bool fault_data(struct pages *p, gva a, bool write)
{
    struct vcpu *v = p->v;
    struct translation t;
    u32 error;
    if (!page_walk(v, a, write ? ACCESS_WRITE : ACCESS_READ, true, false, &t, &error))
        return false;
    struct memslot *s = memory_find(vcpu_memory(v), t.gpa);
    if (!s || (write && ((s->flags & KVM_MEM_READONLY) || s->dirty))) /* a log is the translator's */
        return false;
    if (write)
        give_up_code(p, s->host + (ALIGN_DOWN(t.gpa, PAGE_BYTES) - s->base));
    struct region *r = region_of(p, a);
    unsigned i = a >> 12 & (REGION_PAGES - 1);
    if (!r || !map_data(p, r, i, write))
        return false;
    map_around(p, r, i, AROUND_DATA);
    return true;
}

/* The page beside page i, if it is mapped by the same table. */
static const u8 *neighbour(const struct pages *p, const struct region *r, unsigned i)
{
    u64 offset;
    bool may_write;
    return i < REGION_PAGES ? page_memory(p, r, entry_now(r, i), &may_write, &offset) : NULL;
}

static const struct scan_result *find_sites(const struct pages *p, const struct region *r, unsigned i,
                                            const u8 *host)
{
    const struct scan_rules rules = {conditions_more_xcr0(p->v), p->process->traps_cpuid};
    return scan_known(p->known, &rules, neighbour(p, r, i - 1), host, neighbour(p, r, i + 1));
}

static int free_sites(const struct pages *p)
{
    int n = 0;
    for (unsigned i = 0; i < SCAN_SITES; i++)
        n += !p->site[i];
    return n;
}

/* asked: for this page; else along with another, if it takes no breakpoint. */
static bool map_code(struct pages *p, struct region *r, unsigned i, bool asked)
{
    u64 entry = entry_now(r, i), offset;
    bool may_write;
    u8 *host = page_memory(p, r, entry, &may_write, &offset);
    if (!host || !r->executable || (entry & PTE_NX))
        return false;
    u32 sum = scan_sum(host);
    const struct scan_result *s = find_sites(p, r, i, host);
    if (s->count > free_sites(p) && asked && shadow_trap_cpuid(p->process))
        s = find_sites(p, r, i, host);
    if (s->count < 0 || s->count > free_sites(p) || (s->count && !asked) || !cache_make_direct(p->v, host) ||
        scan_sum(host) != sum || !begin_sites(p, page_address(r, i), s->site, s->count))
        return false;
    r->entry[i] = entry;
    r->sum[i] = sum;
    r->mark[i] = (u16)page_mark(host);
    return set_state(p, r, i, PAGE_EXEC, offset);
}

static bool fault_code(struct pages *p, gva a)
{
    struct translation t;
    u32 error;
    if (!page_walk(p->v, a, ACCESS_FETCH, true, false, &t, &error))
        return false;
    struct region *r = region_of(p, a);
    unsigned i = a >> 12 & (REGION_PAGES - 1), from = ALIGN_DOWN(i, AROUND_CODE);
    if (!r || !map_code(p, r, i, true))
        return false;
    for (unsigned n = from; n < from + AROUND_CODE; n++)
        if (r->state[n] == PAGE_ABSENT)
            map_code(p, r, n, false);
    return true;
}

/* The fetch of an instruction at rip may have faulted at a: at its first byte, or in the page that it runs
 * into. */
static bool may_be_fetch(gva a, u64 rip)
{
    return a == rip || (!(a & (PAGE_BYTES - 1)) && a > rip && a - rip < 15);
}

bool pages_fault(struct pages *p, gva a, u64 rip)
{
    if (a >= USER_END || a < MIN_ADDRESS || a - p->process->stub < STUB_PAGES * PAGE_BYTES)
        return false;
    const struct region *r = region_slot(p, a >> REGION_SHIFT);
    enum page_state s = r->used ? r->state[a >> 12 & (REGION_PAGES - 1)] : PAGE_ABSENT;
    bool good;
    if (s != PAGE_EXEC && may_be_fetch(a, rip) && (good = fault_code(p, a)))
        ;
    else if (s == PAGE_ABSENT)
        good = !may_be_fetch(a, rip) && fault_data(p, a, false);
    else
        good = (s == PAGE_READ || s == PAGE_EXEC) && fault_data(p, a, true);
    if (good && atomic_load(&p->marked))
        good = check_marks(p);
    return good;
}

void pages_expect(struct pages *p, gva a)
{
    struct region *r = a < USER_END && a >= MIN_ADDRESS ? region_of(p, a) : NULL;
    unsigned i = a >> 12 & (REGION_PAGES - 1);
    if (r && r->state[i] == PAGE_ABSENT)
        map_data(p, r, i, false);
}
