/* lapic.c - local APIC: registers, acceptance, delivery (SDM 3A ch. 10) */
/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * One table describes the registers; the xAPIC page and the x2APIC MSRs are two ways to it. The registers are
 * kept as the page shows them, so IRR, ISR and TMR are eight words of 32 vectors each, 16 bytes apart.
 *
 * A vcpu is kicked when it gets something that it could take at its present priority. What is below waits:
 * the vcpu itself lowers its priority (EOI, TPR), and looks again then.
 */
#include "hypervisor/cpu/smm.h"
#include "hypervisor/irq/chips.h"

#include <errno.h>
#include <stdlib.h>

/* ---- bitmaps of 256 vectors ---- */

static u32 *vector_word(struct lapic *l, unsigned bitmap, u8 vector)
{
    return lapic_reg(l, bitmap + (vector >> 5) * 16u);
}

static bool vector_test(struct lapic *l, unsigned bitmap, u8 vector)
{
    return *vector_word(l, bitmap, vector) >> (vector & 31) & 1;
}

static void vector_set(struct lapic *l, unsigned bitmap, u8 vector, bool on)
{
    u32 *word = vector_word(l, bitmap, vector), bit = 1u << (vector & 31);

    *word = on ? *word | bit : *word & ~bit;
}

static int vector_highest(struct lapic *l, unsigned bitmap)
{
    for (int i = 7; i >= 0; i--) {
        u32 word = *lapic_reg(l, bitmap + (unsigned)i * 16);

        if (word)
            return i * 32 + 31 - __builtin_clz(word);
    }
    return -1;
}

/* ---- priorities (SDM 3A 10.8.3) ---- */

u8 lapic_ppr(struct lapic *l)
{
    int isr = vector_highest(l, APIC_ISR);
    u8 tpr = (u8)*lapic_reg(l, APIC_TPR), in_service = isr < 0 ? 0 : (u8)(isr & 0xf0);

    return (tpr & 0xf0) >= in_service ? tpr : in_service;
}

/* The vector of the IRR that may interrupt now, or -1. */
static int lapic_deliverable(struct lapic *l)
{
    int irr;

    if (!lapic_hardware_enabled(l))
        return -1;
    irr = vector_highest(l, APIC_IRR);
    return irr >= 0 && (irr & 0xf0) > (lapic_ppr(l) & 0xf0) ? irr : -1;
}

void lapic_kick_if_deliverable(struct lapic *l)
{
    if (lapic_deliverable(l) >= 0 || l->pv_eoi || l->vapic)
        vcpu_kick(l->v, REQ_EVENT);
}

void lapic_catch_up(struct lapic *l)
{
    pv_eoi_take_back(l);
    vapic_load(l);
}

void lapic_highest(struct lapic *l, int *irr, int *isr)
{
    *irr = vector_highest(l, APIC_IRR);
    *isr = vector_highest(l, APIC_ISR);
}

bool lapic_is_alone(struct lapic *l, u8 vector)
{
    if (vector_test(l, APIC_TMR, vector) || vector_highest(l, APIC_IRR) >= 0)
        return false;
    for (unsigned i = 0; i < 8; i++)
        if (*lapic_reg(l, APIC_ISR + i * 16) != (i == vector >> 5 ? 1u << (vector & 31) : 0))
            return false;
    return true;
}

/* Whether the PIC's INT reaches this CPU: LINT0 as ExtINT, an ExtINT message, or no APIC in between. */
bool lapic_takes_pic(struct lapic *l)
{
    u32 lint0 = *lapic_reg(l, APIC_LVT_LINT0);

    return l->extint || !lapic_hardware_enabled(l) ||
           (!(lint0 & LVT_MASKED) && (lint0 >> 8 & 7) == DM_EXTINT);
}

void lapic_pic_raised(struct lapic *l)
{
    if (lapic_takes_pic(l))
        vcpu_kick(l->v, REQ_EVENT);
    else
        lapic_local(l, APIC_LVT_LINT0);
}

/* The PIC comes first: it does not take part in the APIC's priorities. */
int lapic_pending(struct vcpu *v)
{
    struct lapic *l = v->lapic;
    int vector;

    if (!l)
        return -1;
    pthread_mutex_lock(&l->chips->lock);
    lapic_catch_up(l);
    vector = lapic_deliverable(l);
    if (lapic_takes_pic(l)) {
        if (l->chips->pic.output)
            vector = pic_vector(l->chips);
        else if (l->user_extint >= 0)
            vector = l->user_extint;
    }
    pthread_mutex_unlock(&l->chips->lock);
    return vector;
}

/* Another CPU may have taken the PIC's interrupt, or the IRR may be gone with a reset: then it was a spurious
 * one. */
static int lapic_take(struct lapic *l)
{
    int vector;

    if (l->chips->pic.output && lapic_takes_pic(l)) {
        l->extint = false;
        return pic_acknowledge(l->chips);
    }
    if (l->user_extint >= 0 && lapic_takes_pic(l)) {
        vector = l->user_extint;
        l->user_extint = -1;
        return vector;
    }
    vector = lapic_deliverable(l);
    if (vector < 0)
        return (u8)*lapic_reg(l, APIC_SVR);
    vector_set(l, APIC_IRR, (u8)vector, false);
    vector_set(l, APIC_ISR, (u8)vector, true);
    pv_eoi_offer(l, (u8)vector);
    return vector;
}

int lapic_accept(struct vcpu *v)
{
    struct lapic *l = v->lapic;
    int vector;

    if (!l)
        return -1;
    pthread_mutex_lock(&l->chips->lock);
    vector = lapic_take(l);
    pthread_mutex_unlock(&l->chips->lock);
    return vector;
}

/* SDM 3A 10.8.5 */
void lapic_eoi(struct lapic *l)
{
    int vector = vector_highest(l, APIC_ISR);

    if (vector < 0)
        return;
    vector_set(l, APIC_ISR, (u8)vector, false);
    irqchip_eoi(l, (u8)vector, vector_test(l, APIC_TMR, (u8)vector));
    lapic_kick_if_deliverable(l);
}

/* ---- messages received, by delivery mode (SDM 3A 10.6.1, 10.8) ---- */

static int receive_fixed(struct lapic *l, const struct apic_message *m)
{
    bool pending;

    if (!lapic_hardware_enabled(l) || !lapic_software_enabled(l))
        return -1;
    if (m->vector < 16) {
        lapic_error(l, ESR_RECEIVE_VECTOR);
        return -1;
    }
    pending = vector_test(l, APIC_IRR, m->vector);
    vector_set(l, APIC_TMR, m->vector, m->level_triggered);
    vector_set(l, APIC_IRR, m->vector, true);
    lapic_kick_if_deliverable(l);
    return !pending;
}

static int receive_smi(struct lapic *l, const struct apic_message *m)
{
    (void)m;
    smi_raise(l->v);
    return 1;
}

/* Mode 3 is reserved. */
static int receive_nothing(struct lapic *l, const struct apic_message *m)
{
    (void)l;
    (void)m;
    return -1;
}

static int receive_nmi(struct lapic *l, const struct apic_message *m)
{
    (void)m;
    lapic_nmi(l->v);
    return 1;
}

/* INIT, and the start-up after it, are left for the run loop: see lapic_accept_init. A later INIT undoes an
 * earlier start-up. A start-up counts after an INIT only, which the vcpu need not have seen yet; in system
 * management mode, where an INIT waits, it is lost. */
static int receive_init(struct lapic *l, const struct apic_message *m)
{
    if (m->deassert)
        return -1;
    l->v->init_pending = true;
    l->wait_for_sipi = !(l->v->apic_base & BASE_BSP);
    l->startup = false;
    vcpu_kick(l->v, REQ_EVENT);
    return 1;
}

static int receive_startup(struct lapic *l, const struct apic_message *m)
{
    struct vcpu *v = l->v;

    if (v->smm.active || (!l->wait_for_sipi && v->mp_state != KVM_MP_STATE_INIT_RECEIVED))
        return -1;
    l->wait_for_sipi = false;
    l->startup = true;
    v->sipi_vector = m->vector;
    v->mp_state = KVM_MP_STATE_SIPI_RECEIVED;
    vcpu_kick(v, REQ_EVENT);
    return 1;
}

static int receive_extint(struct lapic *l, const struct apic_message *m)
{
    (void)m;
    l->extint = true;
    if (l->chips->pic.output)
        vcpu_kick(l->v, REQ_EVENT);
    return 1;
}

int lapic_receive(struct lapic *l, const struct apic_message *m)
{
    static int (*const receive[8])(struct lapic * l, const struct apic_message *m) = {
        [DM_FIXED] = receive_fixed,     [DM_LOWEST] = receive_fixed,  [DM_SMI] = receive_smi,
        [3] = receive_nothing,          [DM_NMI] = receive_nmi,       [DM_INIT] = receive_init,
        [DM_STARTUP] = receive_startup, [DM_EXTINT] = receive_extint,
    };

    return receive[m->mode & 7](l, m);
}

/* The timer and the error entry have no delivery mode: they read as fixed. */
void lapic_local(struct lapic *l, unsigned lvt)
{
    u32 entry = *lapic_reg(l, lvt);

    if (!(entry & LVT_MASKED) && lapic_hardware_enabled(l))
        lapic_receive(l, &(struct apic_message){.mode = entry >> 8 & 7, .vector = (u8)entry});
}

void lapic_cmci(struct vcpu *v)
{
    struct lapic *l = v->lapic;

    if (!l)
        return;
    pthread_mutex_lock(&l->chips->lock);
    lapic_local(l, APIC_LVT_CMCI);
    pthread_mutex_unlock(&l->chips->lock);
}

/* SDM 3A 10.5.3: the first error since the ESR was written interrupts. An error entry with a vector below 16
 * makes one error more, which finds the ESR in use. */
void lapic_error(struct lapic *l, u32 esr_bit)
{
    bool first = !l->errors;

    l->errors |= esr_bit;
    if (first)
        lapic_local(l, APIC_LVT_ERROR);
}

/* ---- for chips in user space ---- */

bool lapic_takes_extint(struct vcpu *v)
{
    pthread_mutex_lock(&v->lapic->chips->lock);
    bool takes = lapic_takes_pic(v->lapic);
    pthread_mutex_unlock(&v->lapic->chips->lock);
    return takes;
}

int lapic_extint(struct vcpu *v, u8 vector)
{
    struct lapic *l = v->lapic;
    int r = 0;

    pthread_mutex_lock(&l->chips->lock);
    if (l->user_extint >= 0)
        r = -EEXIST;
    else
        l->user_extint = vector;
    pthread_mutex_unlock(&l->chips->lock);
    return r;
}

int lapic_take_user_eoi(struct vcpu *v)
{
    struct lapic *l = v->lapic;
    int vector = -1;

    if (!l || (l->chips->present & PRESENT_PIC))
        return -1;
    pthread_mutex_lock(&l->chips->lock);
    for (int i = 0; i < 4 && vector < 0; i++)
        if (l->user_eoi[i]) {
            vector = i * 64 + __builtin_ctzll(l->user_eoi[i]);
            l->user_eoi[i] &= l->user_eoi[i] - 1;
        }
    pthread_mutex_unlock(&l->chips->lock);
    return vector;
}

void lapic_nmi(struct vcpu *v)
{
    nmi_raise(v);
    vcpu_kick(v, REQ_EVENT);
}

/* KVM_SET_MP_STATE can say that a SIPI came, too. */
unsigned lapic_accept_init(struct vcpu *v)
{
    struct lapic *l = v->lapic;
    unsigned events = 0;

    if (!l)
        return 0;
    pthread_mutex_lock(&l->chips->lock);
    if (v->init_pending)
        events |= LAPIC_INIT;
    v->init_pending = false;
    if (l->startup || v->mp_state == KVM_MP_STATE_SIPI_RECEIVED) {
        events |= LAPIC_STARTUP;
        v->mp_state = KVM_MP_STATE_RUNNABLE;
    }
    l->startup = false;
    pthread_mutex_unlock(&l->chips->lock);
    return events;
}

/* ---- creation ---- */

int lapic_create(struct vcpu *v)
{
    struct irqchip *c = v->vm->irqchip;
    struct lapic *l;

    if (!c)
        return -ENXIO;
    if (c->lapics == ARRAY_SIZE(c->lapic))
        return -EINVAL;
    l = calloc(1, sizeof(*l));
    if (!l)
        return -ENOMEM;
    l->v = v;
    l->chips = c;
    l->user_extint = -1;
    lapic_timer_init(l);
    v->lapic = l;
    lapic_reset(v, false);
    pthread_mutex_lock(&c->lock);
    c->lapic[c->lapics++] = l;
    pthread_mutex_unlock(&c->lock);
    return 0;
}

static void lapic_detach(struct irqchip *c, struct lapic *l)
{
    unsigned i = 0;

    while (c->lapic[i] != l)
        i++;
    c->lapic[i] = c->lapic[--c->lapics];
}

void lapic_destroy(struct vcpu *v)
{
    struct lapic *l = v->lapic;

    if (!l)
        return;
    pthread_mutex_lock(&l->chips->lock);
    lapic_detach(l->chips, l);
    lapic_timer_stop(l);
    pthread_mutex_unlock(&l->chips->lock);
    timer_cancel(v->vm->timers, &l->timer);
    v->lapic = NULL;
    free(l);
}
