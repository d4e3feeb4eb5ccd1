/* apic_bus.c - which local APICs a message reaches (SDM 3A 10.6.2, 10.12.10; MSI: 10.11) */
/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <errno.h>
#include <linux/kvm_para.h>

#include "hypervisor/irq/chips.h"

enum { XAPIC_BROADCAST = 0xff };
#define X2APIC_BROADCAST 0xffffffffu

/* What the IOAPIC and MSIs call "all" (8 bits) is all in x2APIC mode too, unless the client wants it to be
 * APIC 255; an IPI has 32 bits to say so there. */
static bool is_broadcast(const struct lapic *l, const struct apic_message *m)
{
    if (!lapic_x2apic(l) || (!m->source && !l->v->vm->x2apic_no_broadcast_quirk))
        return m->destination == XAPIC_BROADCAST;
    return m->destination == X2APIC_BROADCAST;
}

/* A processor whose number an xAPIC's ID has no room for is started by that number all the same, as in the
 * kernel: it begins in xAPIC mode. */
static bool matches_physical(struct lapic *l, u32 destination)
{
    u32 id = *lapic_reg(l, APIC_ID);

    if (lapic_x2apic(l))
        return destination == id;
    return destination == id >> 24 || (l->v->id > XAPIC_BROADCAST && destination == l->v->id);
}

/* SDM 3A 10.6.2.2: flat is one bit for each APIC; a cluster is four bits of number and four of members. In
 * x2APIC mode both are 16 bits wide. */
static bool matches_logical(struct lapic *l, u32 destination)
{
    u32 ldr = *lapic_reg(l, APIC_LDR);

    if (lapic_x2apic(l))
        return ldr >> 16 == destination >> 16 && (ldr & destination & 0xffff);
    if (*lapic_reg(l, APIC_DFR) >> 28 == 0xf)
        return ldr >> 24 & destination & 0xff;
    return ldr >> 28 == (destination >> 4 & 0xf) && (ldr >> 24 & destination & 0xf);
}

static bool is_target(struct lapic *l, const struct apic_message *m)
{
    switch (m->shorthand) {
    case TO_SELF: return l == m->source;
    case TO_ALL: return lapic_hardware_enabled(l);
    case TO_OTHERS: return lapic_hardware_enabled(l) && l != m->source;
    default: break;
    }
    if (!lapic_hardware_enabled(l))
        return false;
    return is_broadcast(l, m) ||
           (m->logical ? matches_logical(l, m->destination) : matches_physical(l, m->destination));
}

/* SDM 3A 10.6.2.4: the lowest processor priority wins; among equals, the one that won least often. */
static struct lapic *arbitrate(struct lapic *best, struct lapic *l)
{
    unsigned rank = lapic_ppr(l) >> 4, best_rank;

    if (!lapic_software_enabled(l))
        return best;
    if (!best)
        return l;
    best_rank = lapic_ppr(best) >> 4;
    if (rank != best_rank)
        return rank < best_rank ? l : best;
    return (s32)(l->arbitration - best->arbitration) < 0 ? l : best;
}

static int send_lowest(struct irqchip *c, const struct apic_message *m)
{
    struct lapic *best = NULL;

    for (unsigned i = 0; i < c->lapics; i++)
        if (is_target(c->lapic[i], m))
            best = arbitrate(best, c->lapic[i]);
    if (!best)
        return -1;
    best->arbitration++;
    return lapic_receive(best, m);
}

int apic_send(struct irqchip *c, const struct apic_message *m)
{
    int taken = -1;

    if (m->mode == DM_LOWEST || m->redirect)
        return send_lowest(c, m);
    for (unsigned i = 0; i < c->lapics; i++) {
        int r = is_target(c->lapic[i], m) ? lapic_receive(c->lapic[i], m) : -1;

        if (r >= 0)
            taken = max(taken, 0) + r;
    }
    return taken;
}

/* With KVM_X2APIC_API_USE_32BIT_IDS, bits 31:8 are those of the upper half of the address. */
static u32 msi_destination(const struct vm *vm, u64 address)
{
    u32 low = address >> 12 & 0xff;

    return vm->x2apic_ids_32bit ? (u32)(address >> 32 & 0xffffff00) | low : low;
}

int apic_send_msi(struct irqchip *c, u64 address, u32 data)
{
    return apic_send(c, &(struct apic_message){
                            .destination = msi_destination(c->vm, address),
                            .logical = address & BIT(2),
                            .redirect = address & BIT(3),
                            .vector = (u8)data,
                            .mode = data >> 8 & 7,
                            .level_triggered = data & BIT(15),
                        });
}

static bool is_in_set(u64 id, const u64 *bits, unsigned in_word, u64 first)
{
    u64 n = id - first;
    return n < 2 * in_word && (bits[n / in_word] >> n % in_word & 1);
}

int lapic_send_many(struct vcpu *v, const u64 *bits, unsigned in_word, u64 first, u32 icr)
{
    enum { SHORTHAND = 3 << 18, LEVEL_TRIGGERED = BIT(15) };
    struct irqchip *c = v->lapic->chips;
    const struct apic_message m = {.source = v->lapic, .mode = icr >> 8 & 7, .vector = (u8)icr};
    int taken = 0;

    if (icr & (SHORTHAND | LEVEL_TRIGGERED))
        return -KVM_EINVAL;
    pthread_mutex_lock(&c->lock);
    for (unsigned i = 0; i < c->lapics; i++)
        if (is_in_set(c->lapic[i]->v->id, bits, in_word, first))
            taken += max(lapic_receive(c->lapic[i], &m), 0);
    pthread_mutex_unlock(&c->lock);
    return taken;
}

/* SDM 3A 10.6.1. The trigger mode of the command counts for INIT only, where it tells the de-assert of old.
 */
void apic_send_ipi(struct lapic *l, u32 icr, u32 destination)
{
    struct apic_message m = {
        .destination = destination,
        .shorthand = icr >> 18 & 3,
        .source = l,
        .mode = icr >> 8 & 7,
        .vector = (u8)icr,
        .logical = icr & BIT(11),
        .deassert = (icr & BIT(15)) && !(icr & BIT(14)),
    };

    if (m.mode <= DM_LOWEST && m.vector < 16)
        lapic_error(l, ESR_SEND_VECTOR);
    else
        apic_send(l->chips, &m);
}
