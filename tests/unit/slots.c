/* slots.c - test of the memory slots: what is at each address for each value of the PAM registers */
/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <errno.h>
#include <string.h>

#include "machine/slots.h"
#include "tests/unit/test.h"

/* KVM, as far as slots go: it refuses what overlaps, and moving one to other memory. */
static struct kvm_userspace_memory_region there[64];

static int fake_ioctl(int fd, unsigned long request, unsigned long arg)
{
    const struct kvm_userspace_memory_region *r = (const void *)arg;
    (void)fd;
    CHECK(request == KVM_SET_USER_MEMORY_REGION && r->slot < ARRAY_SIZE(there));
    for (unsigned i = 0; i < ARRAY_SIZE(there); i++)
        if (i != r->slot && r->memory_size && there[i].memory_size &&
            r->guest_phys_addr < there[i].guest_phys_addr + there[i].memory_size &&
            there[i].guest_phys_addr < r->guest_phys_addr + r->memory_size) {
            errno = EEXIST;
            return -1;
        }
    if (!r->memory_size == !there[r->slot].memory_size) {
        errno = EINVAL;
        return -1;
    }
    there[r->slot] = *r;
    return 0;
}

static const struct kvm_api api = {.name = "fake", .ioctl = fake_ioctl};

/* What the processors find there: 0 nothing, 1 memory, 2 memory that cannot be written, 3 firmware. */
static int what_is_at(const struct slots *s, u64 gpa)
{
    for (unsigned i = 0; i < ARRAY_SIZE(there); i++) {
        const struct kvm_userspace_memory_region *r = &there[i];
        if (!r->memory_size || gpa < r->guest_phys_addr || gpa - r->guest_phys_addr >= r->memory_size)
            continue;
        const u8 *host = (const u8 *)r->userspace_addr + (gpa - r->guest_phys_addr);
        if (host == (const u8 *)ram_at(s->ram, gpa, 1))
            return r->flags & KVM_MEM_READONLY ? 2 : 1;
        CHECK(r->flags & KVM_MEM_READONLY);
        CHECK(host ==
              s->rom.host + s->rom.size - (gpa < PC_MEBIBYTE ? PC_MEBIBYTE - gpa : PC_HIGH_RAM - gpa));
        return 3;
    }
    return 0;
}

static int expected(const struct slots *s, const u8 *pam, u64 gpa)
{
    unsigned piece = (unsigned)((gpa - PC_SHADOW) / 0x4000);
    unsigned state = piece >= 12 ? pam[0] >> 4 & 3 : pam[1 + piece / 2] >> (piece % 2 * 4) & 3;
    if (state & PAM_READ)
        return state & PAM_WRITE ? 1 : 2;
    return PC_MEBIBYTE - gpa <= min(s->rom.size, (u64)PC_ISA_ROM) ? 3 : 0;
}

static void test_pam(u64 rom_size)
{
    static u8 memory[4 << 20], image[4 << 20];
    const struct ram ram = {.host = memory, .size = sizeof(memory), .low = sizeof(memory)};
    struct slots s;
    struct error e;
    u8 pam[PAM_REGISTERS] = {0};
    u32 seed = 1;
    memset(there, 0, sizeof(there));
    CHECK_EQ(slots_create(&s, &api, 3, &ram, (struct rom){rom_size ? image : NULL, rom_size}, &e), 0);
    for (unsigned round = 0; round < 300; round++) {
        slots_set_pam(&s, pam);
        CHECK(!*s.error.text);
        for (u64 gpa = PC_SHADOW; gpa < PC_MEBIBYTE; gpa += 0x1000)
            CHECK_EQ(what_is_at(&s, gpa), expected(&s, pam, gpa));
        CHECK_EQ(what_is_at(&s, 0), 1);
        CHECK_EQ(what_is_at(&s, PC_SHADOW - 1), 1);
        CHECK_EQ(what_is_at(&s, PC_MEBIBYTE), 1);
        CHECK_EQ(what_is_at(&s, PC_HIGH_RAM - 1), rom_size ? 3 : 0);
        seed = seed * 1664525 + 1013904223;
        pam[seed >> 16 & 7 ? (seed >> 16 & 7) - 1 : 0] = (u8)(seed >> 24 & 0x33);
    }
}

int main(void)
{
    test_pam(0);
    test_pam(64 << 10);
    test_pam(256 << 10);
    test_pam(4 << 20);
    return TEST_DONE();
}
