/* coalesced_mmio.c - KVM_REGISTER_COALESCED_MMIO: writes that wait in a ring (api.rst 4.116) */
/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "tests/api/api.h"

enum { CODE = 0x1000, RAM_PAGES = 16, HOLE = 0x100000 };
enum { ENTRIES = (PAGE - sizeof(struct kvm_coalesced_mmio_ring)) / sizeof(struct kvm_coalesced_mmio) };

static struct machine m;
static struct kvm_coalesced_mmio_ring *ring;

static void zone(unsigned long request, uint64_t address, uint32_t size, uint32_t pio)
{
    struct kvm_coalesced_mmio_zone z = {.addr = address, .size = size, .pio = pio};

    CHECK_OK(m.vm, request, &z);
}

static void refused(void)
{
    struct kvm_coalesced_mmio_zone z = {.addr = HOLE, .size = PAGE, .pio = 2};

    CHECK_FAILS(m.vm, KVM_REGISTER_COALESCED_MMIO, &z, EINVAL);
    CHECK_FAILS(m.vm, KVM_UNREGISTER_COALESCED_MMIO, &z, EINVAL);
    CHECK_FAILS(m.vm, KVM_REGISTER_COALESCED_MMIO, 8, EFAULT);
    zone(KVM_UNREGISTER_COALESCED_MMIO, HOLE, PAGE, 0); /* nothing there */
}

/* Writes al to HOLE and to port 0x600, n times in a loop, and halts. */
static void write_both(uint32_t n)
{
    static const uint8_t code[] = {0xa2, 0x00, 0x00, 0x10, 0x00, /* mov [HOLE], al */
                                   0xee,                         /* out dx, al */
                                   0xfe, 0xc0,                   /* inc al */
                                   0xe2, 0xf6,                   /* loop */
                                   0xf4};
    struct kvm_regs r;

    memcpy(m.ram + CODE, code, sizeof(code));
    enter_protected_mode(&m, CODE);
    CHECK_OK(m.vcpu, KVM_GET_REGS, &r);
    r.rax = 0x40;
    r.rdx = 0x600;
    r.rcx = n;
    CHECK_OK(m.vcpu, KVM_SET_REGS, &r);
    CHECK_OK(m.vcpu, KVM_RUN, 0);
}

static void written(void)
{
    zone(KVM_REGISTER_COALESCED_MMIO, HOLE, PAGE, 0);
    zone(KVM_REGISTER_COALESCED_MMIO, 0x600, 1, 1);
    ring->first = ring->last = 0;
    write_both(2);
    CHECK_EQ(m.run->exit_reason, KVM_EXIT_HLT);
    CHECK_EQ(ring->first, 0);
    CHECK_EQ(ring->last, 4);
    for (uint32_t i = 0; i < 4; i++) {
        const struct kvm_coalesced_mmio *e = &ring->coalesced_mmio[i];
        CHECK_EQ(e->phys_addr, i % 2 ? 0x600 : HOLE);
        CHECK_EQ(e->pio, i % 2);
        CHECK_EQ(e->len, 1);
        CHECK_EQ(e->data[0], 0x40 + i / 2);
    }
}

/* A full ring: the write is an exit, and is written only once it has been emptied. */
static void full(void)
{
    ring->first = ring->last = 5;
    write_both(PAGE);
    CHECK_EQ(m.run->exit_reason, ENTRIES % 2 ? KVM_EXIT_MMIO : KVM_EXIT_IO);
    CHECK_EQ(ring->last, 4);
    CHECK_EQ(ring->first, 5);
    ring->first = ring->last;
    CHECK_OK(m.vcpu, KVM_RUN, 0);
    CHECK(ring->last != 4);
}

/* Indices of a careless client: no write is lost, none goes elsewhere. */
static void bad_indices(void)
{
    ring->first = 0;
    ring->last = 0xfffffff0;
    write_both(1);
    CHECK_EQ(m.run->exit_reason, KVM_EXIT_MMIO);
    CHECK_EQ(ring->last, 0xfffffff0);
}

static void unregistered(void)
{
    ring->first = ring->last = 0;
    zone(KVM_UNREGISTER_COALESCED_MMIO, HOLE, 1, 0); /* any part of it will do */
    write_both(1);
    CHECK_EQ(m.run->exit_reason, KVM_EXIT_MMIO);
    CHECK_OK(m.vcpu, KVM_RUN, 0);
    CHECK_EQ(m.run->exit_reason, KVM_EXIT_HLT);
    CHECK_EQ(ring->last, 1);
    zone(KVM_UNREGISTER_COALESCED_MMIO, 0x600, 1, 1);
    write_both(1);
    CHECK_OK(m.vcpu, KVM_RUN, 0);
    CHECK_EQ(m.run->exit_reason, KVM_EXIT_IO);
}

int main(int argc, char **argv)
{
    int kvm = api_start(argc, argv);

    m = machine_create(kvm, false, RAM_PAGES);
    CHECK_RETURNS(kvm, KVM_CHECK_EXTENSION, KVM_CAP_COALESCED_PIO, 1);
    ring = (void *)((uint8_t *)m.run + KVM(kvm, KVM_CHECK_EXTENSION, KVM_CAP_COALESCED_MMIO) * PAGE);
    refused();
    written();
    full();
    bad_indices();
    unregistered();
    return TEST_DONE();
}
