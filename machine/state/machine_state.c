/* machine_state.c - all parts of a machine, saved and loaded */
/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "machine/state/machine_state.h"

/* The devices of the board, by their numbers; those on the bus, by their slots. Devices' structs begin with
 * what is passed. */
static int visit_devices(struct machine *m, state_visit *visit, void *opaque)
{
    char name[32];
    int r = 0;
    for (unsigned i = 0; i < m->device_count && r == 0; i++) {
        snprintf(name, sizeof(name), "device %u", i);
        if (m->device[i]->type->state)
            r = visit(opaque, m->device[i]->type->state, name, m->device[i]);
    }
    for (unsigned s = 0; s < PCI_SLOTS && r == 0; s++) {
        struct pci_device *d = m->pci.slot[s];
        snprintf(name, sizeof(name), "slot %u", s);
        r = d ? visit(opaque, &pci_state, name, d) : 0;
        if (r == 0 && d && d->type->parts)
            r = d->type->parts(d, name, visit, opaque);
    }
    return r;
}

/* What KVM's chips and clocks have. */
struct chip_state {
    struct kvm_irqchip irqchip[3];
    struct kvm_pit_state2 pit;
    u64 clock;
    bool running; /* the guest was, when saving began */
};
static const struct state_field chip_fields[] = {STATE(struct chip_state, irqchip),
                                                 STATE(struct chip_state, pit),
                                                 STATE(struct chip_state, clock),
                                                 STATE_BOOL(struct chip_state, running),
                                                 {0}};
static const struct state_table chip_state = {"kvm", 1, chip_fields};

static int save_chips(struct machine *m, bool running, struct state_buffer *b, struct error *e)
{
    struct chip_state s = {.pit = m->pit, .clock = m->clock.clock, .running = running};
    int r = 0;
    for (u32 i = 0; i < ARRAY_SIZE(s.irqchip) && r >= 0; i++) {
        s.irqchip[i].chip_id = i;
        r = kvm_call(m->kvm, m->vm_fd, KVM_GET_IRQCHIP, &s.irqchip[i], e);
    }
    state_save(b, &chip_state, "chips", &s);
    return min(r, 0);
}

/* The clocks are what the machine goes on with. */
static int load_chips(struct machine *m, struct state_parts *p, struct error *e)
{
    struct chip_state s;
    int r = state_load(p, &chip_state, "chips", &s, e);
    if (r < 0)
        return r;
    for (u32 i = 0; i < ARRAY_SIZE(s.irqchip) && r >= 0; i++) {
        s.irqchip[i].chip_id = i;
        r = kvm_call(m->kvm, m->vm_fd, KVM_SET_IRQCHIP, &s.irqchip[i], e);
    }
    m->pit = s.pit;
    m->clock = (struct kvm_clock_data){.clock = s.clock};
    m->migration.was_running = s.running;
    return min(r, 0);
}

static int settle_part(void *opaque, const struct state_table *t, const char *instance, void *object)
{
    (void)opaque, (void)instance;
    if (t->saving)
        t->saving(object);
    return 0;
}

void machine_state_settle(struct machine *m)
{
    visit_devices(m, settle_part, NULL);
}

static int save_part(void *opaque, const struct state_table *t, const char *instance, void *object)
{
    state_save(opaque, t, instance, object);
    return 0;
}

int machine_state_save(struct machine *m, bool running, struct state_buffer *b, struct error *e)
{
    visit_devices(m, save_part, b);
    int r = save_chips(m, running, b, e);
    for (unsigned i = 0; i < m->vcpu_count && r == 0; i++)
        r = vcpu_save(&m->vcpu[i], b, e);
    return r == 0 && b->failed ? error_set(e, ENOMEM, "no memory for the machine's state") : r;
}

struct loading {
    struct state_parts *parts;
    struct error *e;
};

static int load_part(void *opaque, const struct state_table *t, const char *instance, void *object)
{
    struct loading *l = opaque;
    return state_load(l->parts, t, instance, object, l->e);
}

static int part_loaded(void *opaque, const struct state_table *t, const char *instance, void *object)
{
    struct loading *l = opaque;
    (void)instance;
    return t->loaded ? t->loaded(object, l->e) : 0;
}

/* Devices raise their interrupts first; then the chips get what they had, which counts. */
int machine_state_load(struct machine *m, struct state_parts *p, struct error *e)
{
    struct loading l = {p, e};
    int r = visit_devices(m, load_part, &l);
    if (r == 0)
        r = visit_devices(m, part_loaded, &l);
    if (r == 0)
        r = load_chips(m, p, e);
    for (unsigned i = 0; i < m->vcpu_count && r == 0; i++)
        r = vcpu_restore(&m->vcpu[i], p, e);
    return r == 0 ? state_all_used(p, e) : r;
}
