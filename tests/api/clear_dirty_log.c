/* clear_dirty_log.c - KVM_CLEAR_DIRTY_LOG, KVM_CAP_MANUAL_DIRTY_LOG_PROTECT2 (api.rst 4.117, 7.18) */
/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "tests/api/api.h"

enum { CODE = 0x1000, RAM_PAGES = 16, LOGGED = 0x100000, PAGES = 100, SLOT = 1 };

static struct machine m;
static uint64_t bitmap[3];

static int enable(uint64_t flags)
{
    struct kvm_enable_cap c = {.cap = KVM_CAP_MANUAL_DIRTY_LOG_PROTECT2, .args = {flags}};

    return KVM(m.vm, KVM_ENABLE_CAP, &c);
}

static int clear(uint64_t first, uint32_t count, uint64_t low)
{
    uint64_t mask[2] = {low, low};
    struct kvm_clear_dirty_log c = {
        .slot = SLOT, .first_page = first, .num_pages = count, .dirty_bitmap = mask};

    return KVM(m.vm, KVM_CLEAR_DIRTY_LOG, &c);
}

static void get(void)
{
    struct kvm_dirty_log log = {.slot = SLOT, .dirty_bitmap = bitmap};

    bitmap[2] = 7;
    CHECK_OK(m.vm, KVM_GET_DIRTY_LOG, &log);
    CHECK_EQ(bitmap[2], 7);
}

/* The guest writes to pages 2, 5 and 70. */
static void write_pages(void)
{
    static const uint8_t code[] = {0xc6, 0x05, 0x00, 0x20, 0x10, 0x00, 1,    0xc6, 0x05, 0x00, 0x50,
                                   0x10, 0x00, 1,    0xc6, 0x05, 0x00, 0x60, 0x14, 0x00, 1,    0xf4};

    memcpy(m.ram + CODE, code, sizeof(code));
    enter_protected_mode(&m, CODE);
    CHECK_OK(m.vcpu, KVM_RUN, 0);
    CHECK_EQ(m.run->exit_reason, KVM_EXIT_HLT);
}

static void refused(void)
{
    struct kvm_clear_dirty_log c = {.slot = 7, .num_pages = 64, .dirty_bitmap = bitmap};

    CHECK_FAILS(m.vm, KVM_CLEAR_DIRTY_LOG, &c, ENOENT);
    c.slot = 0x7fff0000;
    CHECK_FAILS(m.vm, KVM_CLEAR_DIRTY_LOG, &c, EINVAL);
    c = (struct kvm_clear_dirty_log){.slot = SLOT, .num_pages = 64, .dirty_bitmap = (void *)8};
    CHECK_FAILS(m.vm, KVM_CLEAR_DIRTY_LOG, &c, EFAULT);
    CHECK_FAILS(m.vm, KVM_CLEAR_DIRTY_LOG, 8, EFAULT);
    CHECK(clear(1, 64, 0) == -1 && errno == EINVAL);
    CHECK(clear(0, 65, 0) == -1 && errno == EINVAL);
    CHECK(clear(64, 64, 0) == -1 && errno == EINVAL); /* beyond the end */
    CHECK(clear(128, 0, 0) == -1 && errno == EINVAL);
    CHECK_EQ(clear(64, PAGES - 64, 0), 0);
    CHECK_EQ(clear(0, PAGES, 0), 0);
    CHECK_EQ(clear(0, 0, 0), 0);
    CHECK(enable(4) == -1 && errno == EINVAL);
    CHECK(enable(2) == -1 && errno == EINVAL); /* without 1 */
}

static void cleared_by_hand(void)
{
    CHECK_EQ(enable(1), 0);
    write_pages();
    for (unsigned i = 0; i < 2; i++) { /* reading does not clear */
        get();
        CHECK_EQ(bitmap[0], 1 << 2 | 1 << 5);
        CHECK_EQ(bitmap[1], 1 << 6);
    }
    CHECK_EQ(clear(0, 64, 1 << 2), 0);
    get();
    CHECK_EQ(bitmap[0], 1 << 5);
    CHECK_EQ(bitmap[1], 1 << 6);
    CHECK_EQ(clear(0, PAGES, ~0ull), 0);
    get();
    CHECK_EQ(bitmap[0] | bitmap[1], 0);
    write_pages(); /* what was cleared is noticed again */
    get();
    CHECK_EQ(bitmap[0], 1 << 2 | 1 << 5);
    CHECK_EQ(bitmap[1], 1 << 6);
}

static void initially_set(void)
{
    CHECK_EQ(enable(3), 0);
    CHECK_EQ(set_region(m.vm, SLOT, 0, 0, 0, NULL), 0);
    CHECK_EQ(set_region(m.vm, SLOT, KVM_MEM_LOG_DIRTY_PAGES, LOGGED, PAGES * PAGE, pages(PAGES)), 0);
    get();
    CHECK_EQ(bitmap[0], ~0ull);
    CHECK_EQ(bitmap[1], (1ull << (PAGES - 64)) - 1);
    CHECK_EQ(enable(0), 0);
    get();
    get();
    CHECK_EQ(bitmap[0] | bitmap[1], 0);
}

int main(int argc, char **argv)
{
    m = machine_create(api_start(argc, argv), false, RAM_PAGES);
    CHECK_EQ(set_region(m.vm, SLOT, KVM_MEM_LOG_DIRTY_PAGES, LOGGED, PAGES * PAGE, pages(PAGES)), 0);
    refused();
    cleared_by_hand();
    initially_set();
    return TEST_DONE();
}
