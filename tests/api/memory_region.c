/* memory_region.c - KVM_SET_USER_MEMORY_REGION: what it takes, refuses, and in which order (api.rst 4.35) */
/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "tests/api/api.h"

static int vm;
static uint8_t *host;

#define MB                                     (1ull << 20)
#define REGION_OK(slot, flags, gpa, size, hva) CHECK_EQ(set_region(vm, slot, flags, gpa, size, hva), 0)
#define REGION_FAILS(slot, flags, gpa, size, hva, error)                                 \
    test_failure(set_region(vm, slot, flags, gpa, size, hva), error, __FILE__, __LINE__, \
                 "region(" #slot ", " #flags ", " #gpa ", " #size ")")

static void malformed(int kvm)
{
    uint32_t slots = (uint32_t)KVM(kvm, KVM_CHECK_EXTENSION, KVM_CAP_NR_MEMSLOTS);

    REGION_FAILS(0, 0, 0x800, MB, host, EINVAL);
    REGION_FAILS(0, 0, 0, MB + 1, host, EINVAL);
    REGION_FAILS(0, 0, 0, MB, host + 1, EINVAL);
    REGION_FAILS(0, 1u << 31, 0, MB, host, EINVAL);
    REGION_FAILS(slots, 0, 0, MB, host, EINVAL);
    REGION_FAILS(0xffff, 0, 0, MB, host, EINVAL);
    REGION_FAILS(77u << 16, 0, 0, MB, host, EINVAL); /* an address space that there is not */
    REGION_FAILS(0, 0, ~0ull << 12, 2 * PAGE, host, EINVAL);
    REGION_FAILS(0, 0, 0, 1ull << 43, NULL, EINVAL); /* more pages than a slot has */
    REGION_FAILS(0, 0, 0, MB, (void *)0xffff800000000000, EINVAL);
    REGION_FAILS(0, 0, 1ull << 56, MB, host, EINVAL);
    REGION_FAILS(0, 0, 0, 0, host, EINVAL); /* deletes what is not there */
    REGION_OK(slots - 1, 0, 0, MB, host);
    REGION_OK(slots - 1, 0, 0, 0, NULL);
}

static void change(void)
{
    REGION_OK(0, 0, 0, 2 * MB, host);
    REGION_OK(0, 0, 0, 2 * MB, host);                     /* nothing changes */
    REGION_FAILS(0, 0, 0, 1 * MB, host, EINVAL);          /* size */
    REGION_FAILS(0, 0, 0, 2 * MB, host + 4 * MB, EINVAL); /* host address */
    REGION_FAILS(0, KVM_MEM_READONLY, 0, 2 * MB, host, EINVAL);
    REGION_OK(0, KVM_MEM_LOG_DIRTY_PAGES, 0, 2 * MB, host);       /* flags */
    REGION_OK(0, KVM_MEM_LOG_DIRTY_PAGES, 16 * MB, 2 * MB, host); /* moves */
    REGION_OK(0, 0, 0, 2 * MB, host);                             /* moves, and flags */
    REGION_OK(0, 0, 1 * MB, 2 * MB, host);                        /* moves over itself */
    REGION_OK(0, 0, 0, 0, host);
    REGION_FAILS(0, 0, 0, 0, host, EINVAL);
}

static void overlap(void)
{
    REGION_OK(0, 0, 4 * MB, 2 * MB, host);
    REGION_FAILS(1, 0, 4 * MB, 2 * MB, host, EEXIST);
    REGION_FAILS(1, 0, 3 * MB, 2 * MB, host, EEXIST);
    REGION_FAILS(1, 0, 5 * MB, 2 * MB, host, EEXIST);
    REGION_FAILS(1, 0, 3 * MB, 8 * MB, host, EEXIST);
    REGION_FAILS(1, 0, 5 * MB, PAGE, host, EEXIST);
    REGION_OK(1, 0, 2 * MB, 2 * MB, host);            /* touches from below */
    REGION_OK(2, 0, 6 * MB, 2 * MB, host);            /* and from above; host memory may be shared by slots */
    REGION_FAILS(2, 0, 5 * MB, 2 * MB, host, EEXIST); /* moves into another */
    REGION_OK(3, KVM_MEM_READONLY, 16 * MB, 2 * MB, host);
    REGION_FAILS(3, KVM_MEM_READONLY | 8, 16 * MB, 2 * MB, host, EINVAL);
    for (uint32_t slot = 0; slot < 4; slot++)
        REGION_OK(slot, 0, 0, 0, NULL);
}

static void dirty_log(void)
{
    uint64_t bitmap[9] = {[8] = 7};
    struct kvm_dirty_log log = {.slot = 5, .dirty_bitmap = bitmap};

    CHECK_FAILS(vm, KVM_GET_DIRTY_LOG, &log, ENOENT);
    REGION_OK(5, 0, 0, 2 * MB, host);
    CHECK_FAILS(vm, KVM_GET_DIRTY_LOG, &log, ENOENT); /* does not log */
    REGION_OK(5, KVM_MEM_LOG_DIRTY_PAGES, 0, 2 * MB, host);
    bitmap[0] = 1;
    CHECK_OK(vm, KVM_GET_DIRTY_LOG, &log);
    CHECK_EQ(bitmap[0], 0);
    CHECK_EQ(bitmap[8], 7); /* 512 pages are eight words */
    log.dirty_bitmap = (void *)8;
    CHECK_FAILS(vm, KVM_GET_DIRTY_LOG, &log, EFAULT);
    log.slot = 0x12345678;
    CHECK_FAILS(vm, KVM_GET_DIRTY_LOG, &log, EINVAL);
    REGION_OK(5, 0, 0, 0, NULL);
}

/* All slots at once, in an order that is neither up nor down. */
static void many(void)
{
    enum { SLOTS = 500 };

    for (uint32_t i = 0; i < SLOTS; i++)
        REGION_OK(i, 0, i * 7ull % SLOTS * 2 * PAGE, PAGE, host + i * PAGE);
    for (uint32_t i = 0; i < SLOTS; i++)
        REGION_FAILS(i, 0, (i * 7ull + 1) % SLOTS * 2 * PAGE, PAGE, host + i * PAGE, EEXIST);
    for (uint32_t i = 0; i < SLOTS; i++)
        REGION_OK(i * 3 % SLOTS, 0, 0, 0, NULL);
}

int main(int argc, char **argv)
{
    int kvm = api_start(argc, argv);

    vm = KVM(kvm, KVM_CREATE_VM, 0);
    host = pages(8 * MB / PAGE);
    malformed(kvm);
    change();
    overlap();
    dirty_log();
    many();
    return TEST_DONE();
}
