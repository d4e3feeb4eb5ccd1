/* dirty_ring.c - KVM_CAP_DIRTY_LOG_RING, KVM_RESET_DIRTY_RINGS (api.rst 8.29, 4.135) */
/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "tests/api/api.h"

enum { CODE = 0x1000, RAM_PAGES = 4096, LOGGED = 0x1000000, LOGGED_PAGES = 2048, SLOT = 3 };
enum { ENTRIES = 1024, BYTES = ENTRIES * sizeof(struct kvm_dirty_gfn) };

static struct machine m;
static struct kvm_dirty_gfn *ring;
static unsigned harvested; /* how many entries ever were */

static void enabled(int kvm)
{
    struct kvm_enable_cap c = {.cap = KVM_CAP_DIRTY_LOG_RING, .args = {BYTES + 16}};
    int largest = KVM(kvm, KVM_CHECK_EXTENSION, KVM_CAP_DIRTY_LOG_RING);

    CHECK_EQ(largest, 65536 * sizeof(struct kvm_dirty_gfn));
    CHECK_FAILS(m.vm, KVM_RESET_DIRTY_RINGS, 0, EINVAL);
    CHECK_FAILS(m.vm, KVM_ENABLE_CAP, &c, EINVAL); /* no power of two */
    c.args[0] = 1024;
    CHECK_FAILS(m.vm, KVM_ENABLE_CAP, &c, EINVAL); /* too small */
    c.args[0] = 2u * (unsigned)largest;
    CHECK_FAILS(m.vm, KVM_ENABLE_CAP, &c, E2BIG);
    c.args[0] = BYTES;
    CHECK_OK(m.vm, KVM_ENABLE_CAP, &c);
    CHECK_FAILS(m.vm, KVM_ENABLE_CAP, &c, EINVAL); /* once only */
}

/* Writes a byte to each of n pages from LOGGED on, and halts. */
static void write_pages(uint32_t n)
{
    static const uint8_t code[] = {0xc6, 0x07, 0x55,                   /* mov byte [edi], 0x55 */
                                   0x81, 0xc7, 0x00, 0x10, 0x00, 0x00, /* add edi, 4096 */
                                   0xe2, 0xf5,                         /* loop */
                                   0xf4};
    struct kvm_regs r;

    memcpy(m.ram + CODE, code, sizeof(code));
    enter_protected_mode(&m, CODE);
    CHECK_OK(m.vcpu, KVM_GET_REGS, &r);
    r.rdi = LOGGED;
    r.rcx = n;
    CHECK_OK(m.vcpu, KVM_SET_REGS, &r);
    CHECK_OK(m.vcpu, KVM_RUN, 0);
}

static bool seen[LOGGED_PAGES];

/* Takes all that is in the ring. A page may stand there more than once. Returns how many entries there were.
 */
static int harvest(void)
{
    int n = 0;

    for (;; n++, harvested++) {
        struct kvm_dirty_gfn *e = &ring[harvested % ENTRIES];
        if (__atomic_load_n(&e->flags, __ATOMIC_ACQUIRE) != KVM_DIRTY_GFN_F_DIRTY)
            return n;
        CHECK_EQ(e->slot, SLOT);
        CHECK(e->offset < LOGGED_PAGES);
        seen[e->offset] = true;
        __atomic_store_n(&e->flags, KVM_DIRTY_GFN_F_RESET, __ATOMIC_RELEASE);
    }
}

/* Harvests and resets. The pages seen since the last time are [first, end). */
static void check_pages(unsigned first, unsigned end)
{
    CHECK_RETURNS(m.vm, KVM_RESET_DIRTY_RINGS, 0, harvest());
    CHECK_RETURNS(m.vm, KVM_RESET_DIRTY_RINGS, 0, 0);
    for (unsigned i = 0; i < LOGGED_PAGES; i++)
        CHECK_EQ(seen[i], i >= first && i < end);
    memset(seen, 0, sizeof(seen));
}

static void written(void)
{
    write_pages(5);
    CHECK_EQ(m.run->exit_reason, KVM_EXIT_HLT);
    check_pages(0, 5);
    write_pages(2); /* noted again after the reset */
    check_pages(0, 2);
    check_pages(0, 0);
}

static void full(void)
{
    write_pages(LOGGED_PAGES);
    CHECK_EQ(m.run->exit_reason, KVM_EXIT_DIRTY_RING_FULL);
    while (m.run->exit_reason == KVM_EXIT_DIRTY_RING_FULL) {
        CHECK_OK(m.vcpu, KVM_RUN, 0); /* still full */
        CHECK_EQ(m.run->exit_reason, KVM_EXIT_DIRTY_RING_FULL);
        CHECK_RETURNS(m.vm, KVM_RESET_DIRTY_RINGS, 0, harvest());
        CHECK_OK(m.vcpu, KVM_RUN, 0);
    }
    CHECK_EQ(m.run->exit_reason, KVM_EXIT_HLT);
    check_pages(0, LOGGED_PAGES);
}

static void bitmap_refused(void)
{
    static uint64_t bitmap[LOGGED_PAGES / 64];
    struct kvm_dirty_log log = {.slot = SLOT, .dirty_bitmap = bitmap};

    CHECK_FAILS(m.vm, KVM_GET_DIRTY_LOG, &log, ENXIO);
}

/* Entries that name no page of ours. */
static void hostile(void)
{
    write_pages(3);
    ring[harvested % ENTRIES].slot = 0xffffffff;
    ring[(harvested + 1) % ENTRIES].offset = ~0ull;
    for (unsigned i = 0; i < 3; i++)
        ring[(harvested + i) % ENTRIES].flags = KVM_DIRTY_GFN_F_RESET;
    harvested += 3;
    CHECK_RETURNS(m.vm, KVM_RESET_DIRTY_RINGS, 0, 3);
}

int main(int argc, char **argv)
{
    int kvm = api_start(argc, argv);
    uint8_t *logged = pages(LOGGED_PAGES);

    m.ram = pages(RAM_PAGES);
    m.vm = KVM(kvm, KVM_CREATE_VM, 0);
    enabled(kvm);
    CHECK_EQ(set_region(m.vm, 0, 0, 0, RAM_PAGES * PAGE, m.ram), 0);
    CHECK_EQ(set_region(m.vm, SLOT, KVM_MEM_LOG_DIRTY_PAGES, LOGGED, LOGGED_PAGES * PAGE, logged), 0);
    m.vcpu = KVM(m.vm, KVM_CREATE_VCPU, 0);
    m.run = mmap(NULL, (size_t)KVM(kvm, KVM_GET_VCPU_MMAP_SIZE, 0), PROT_READ | PROT_WRITE, MAP_SHARED,
                 m.vcpu, 0);
    ring = mmap(NULL, BYTES, PROT_READ | PROT_WRITE, MAP_SHARED, m.vcpu, KVM_DIRTY_LOG_PAGE_OFFSET * PAGE);
    CHECK(m.run != MAP_FAILED && ring != MAP_FAILED);
    written();
    if (!api_is_kernel) /* one that emulates guest code looks at the ring too seldom, and overruns it */
        full();
    bitmap_refused();
    hostile();
    return TEST_DONE();
}
