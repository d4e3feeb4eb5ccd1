/* memory_slots.c - unit test of api/memory.c: finding slots, accesses across them, the dirty log, against a
 * model */
/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "hypervisor/api/api.h"
#include "tests/unit/test.h"

enum { PAGE = 4096, PAGES = 64 };

static struct vm vm;
static u8 *host;

static struct memslot *add(u32 id, u32 flags, gpa base, u64 count, u8 *at)
{
    struct memslot *s = &vm.memory[0].slot[vm.memory[0].count++];

    *s = (struct memslot){.id = id, .flags = flags, .base = base, .pages = count, .host = at};
    return s;
}

/* Three slots: [1, 3), [3, 4) read-only, [8, 9), in pages; host memory in another order. */
static void lay_out(void)
{
    vm.memory[0].count = 0;
    add(7, 0, 1 * PAGE, 2, host + 10 * PAGE);
    add(3, KVM_MEM_READONLY, 3 * PAGE, 1, host + 2 * PAGE);
    add(5, 0, 8 * PAGE, 1, host);
}

static void finds(void)
{
    lay_out();
    CHECK(!memory_find(vm.memory, 0));
    CHECK(!memory_find(vm.memory, 1 * PAGE - 1));
    CHECK_EQ(memory_find(vm.memory, 1 * PAGE)->id, 7);
    CHECK_EQ(memory_find(vm.memory, 3 * PAGE - 1)->id, 7);
    CHECK_EQ(memory_find(vm.memory, 3 * PAGE)->id, 3);
    CHECK(!memory_find(vm.memory, 4 * PAGE));
    CHECK_EQ(memory_find(vm.memory, 9 * PAGE - 1)->id, 5);
    CHECK(!memory_find(vm.memory, 9 * PAGE));
    CHECK(!memory_find(vm.memory, ~0ull));
    vm.memory[0].count = 0;
    CHECK(!memory_find(vm.memory, 0));
}

static void page_addresses(void)
{
    bool writable;

    lay_out();
    CHECK_EQ(phys_page(vm.memory, 2 * PAGE + 5, &writable), host + 11 * PAGE);
    CHECK(writable);
    CHECK_EQ(phys_page(vm.memory, 3 * PAGE, &writable), host + 2 * PAGE);
    CHECK(!writable);
    CHECK_EQ(phys_page(vm.memory, 8 * PAGE, NULL), host);
    CHECK_EQ(phys_page(vm.memory, 5 * PAGE, NULL), NULL);
}

static void accesses(void)
{
    u8 in[8] = {1, 2, 3, 4, 5, 6, 7, 8}, out[8] = {0};

    lay_out();
    CHECK(phys_write(&vm, 2 * PAGE - 4, in, 8)); /* within a slot, across pages */
    CHECK(!memcmp(host + 11 * PAGE - 4, in, 8));
    memcpy(host + 12 * PAGE - 4, "abcd", 4);
    memcpy(host + 2 * PAGE, "efgh", 4);
    CHECK(phys_read(vm.memory, 3 * PAGE - 4, out, 8)); /* across slots */
    CHECK(!memcmp(out, "abcdefgh", 8));
    CHECK(!phys_write(&vm, 3 * PAGE - 4, in, 8)); /* the second is read-only: nothing is written */
    CHECK(!memcmp(host + 12 * PAGE - 4, "abcd", 4));
    CHECK(!phys_write(&vm, 3 * PAGE, in, 1));
    CHECK(!phys_read(vm.memory, 4 * PAGE - 4, out, 8)); /* into nothing */
    CHECK(!phys_read(vm.memory, 0, out, 1));
    CHECK(!phys_read(vm.memory, ~0ull, out, 8));
    CHECK(phys_read(vm.memory, 0, out, 0));
}

static void dirty_pages(void)
{
    u64 bitmap[2] = {0};

    vm.vcpu[0] = aligned_alloc(_Alignof(struct vcpu), sizeof(struct vcpu));
    memset(vm.vcpu[0], 0, offsetof(struct vcpu, tlb)); /* the tables are never touched */
    vm.memory[0].count = 0;
    struct memslot *s = add(0, KVM_MEM_LOG_DIRTY_PAGES, 100 * PAGE, PAGES, host);
    s->dirty = bitmap;
    memory_mark_dirty(vm.vcpu[0], s, 100 * PAGE);
    memory_mark_dirty(vm.vcpu[0], s, 163 * PAGE + 4095);
    CHECK_EQ(bitmap[0], 1ull | 1ull << 63);
    CHECK(phys_write(&vm, 105 * PAGE - 1, "xy", 2));
    CHECK_EQ(bitmap[0], 1ull | 3ull << 4 | 1ull << 63);
    CHECK_EQ(bitmap[1], 0);
    free(vm.vcpu[0]);
}

int main(void)
{
    host = mmap(NULL, PAGES * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    finds();
    page_addresses();
    accesses();
    dirty_pages();
    return TEST_DONE();
}
