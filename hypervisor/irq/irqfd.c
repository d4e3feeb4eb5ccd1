/* irqfd.c - KVM_IRQFD: eventfds that raise interrupts (api.rst 4.75) */
/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * In the kernel the write to the eventfd itself raises the interrupt, whoever writes. Here a helper thread
 * waits for all eventfds of a VM. An irqfd is found anew by its number for each event, under the chips' lock,
 * so that one that was taken away meanwhile is not touched.
 *
 * A resampled one drives its line high until the guest ends the interrupt; then the line falls, and the
 * device is told by its other eventfd to look whether it must be high again.
 */
#include "hypervisor/irq/chips.h"

#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/prctl.h>
#include <unistd.h>

#include "hypervisor/api/eventfd.h"
#include "hypervisor/translate/engine.h"

struct irqfd {
    struct irqfd *next;
    u64 number;
    u32 gsi;
    bool resample;
    struct eventfd trigger, resampled;
};

struct irqfds {
    struct irqchip *chips;
    pthread_t thread;
    int epoll, quit;
    u64 numbers;        /* given out so far; 0 is quit's */
    struct irqfd *list; /* under the chips' lock */
};

/* ---- an event ---- */

static void irqfd_trigger(struct irqchip *c, const struct irqfd *i)
{
    engine_new_generation(c->vm); /* the device has written to guest memory before */
    if (i->resample) {
        irqchip_line(c, i->gsi, SOURCE_RESAMPLE, true);
    } else {
        irqchip_line(c, i->gsi, SOURCE_USER, true);
        irqchip_line(c, i->gsi, SOURCE_USER, false);
    }
}

static void irqfds_event(struct irqfds *s, u64 number)
{
    pthread_mutex_lock(&s->chips->lock);
    for (struct irqfd *i = s->list; i; i = i->next)
        if (i->number == number && eventfd_take(&i->trigger))
            irqfd_trigger(s->chips, i);
    pthread_mutex_unlock(&s->chips->lock);
}

static void *irqfds_main(void *arg)
{
    struct irqfds *s = arg;
    struct epoll_event e[16];

    prctl(PR_SET_NAME, "lodge-irqfds");
    for (;;) {
        int n = epoll_wait(s->epoll, e, ARRAY_SIZE(e), -1);

        for (int i = 0; i < n; i++) {
            if (!e[i].data.u64)
                return NULL;
            irqfds_event(s, e[i].data.u64);
        }
    }
}

/* ---- end of interrupt ---- */

static bool route_has_pin(const struct irqchip *c, u32 gsi, u32 chip, u32 pin)
{
    if (gsi >= GSI_COUNT)
        return false;
    for (unsigned i = c->gsi[gsi]; i; i = c->route[i - 1].next) {
        const struct route *r = &c->route[i - 1];

        if (r->type == KVM_IRQ_ROUTING_IRQCHIP && r->pin == pin &&
            (r->chip == KVM_IRQCHIP_IOAPIC) == (chip == KVM_IRQCHIP_IOAPIC))
            return true;
    }
    return false;
}

void irqfds_acked(struct irqchip *c, u32 chip, u32 pin)
{
    for (struct irqfd *i = c->irqfds ? c->irqfds->list : NULL; i; i = i->next)
        if (i->resample && route_has_pin(c, i->gsi, chip, pin)) {
            irqchip_line(c, i->gsi, SOURCE_RESAMPLE, false);
            eventfd_signal(&i->resampled);
        }
}

void irqfds_update_pins(struct irqchip *c)
{
    c->resample_pic_pins = c->resample_ioapic_pins = 0;
    for (struct irqfd *i = c->irqfds ? c->irqfds->list : NULL; i; i = i->next)
        for (unsigned n = i->resample && i->gsi < GSI_COUNT ? c->gsi[i->gsi] : 0; n;
             n = c->route[n - 1].next) {
            const struct route *r = &c->route[n - 1];

            if (r->type == KVM_IRQ_ROUTING_IRQCHIP)
                *(r->chip == KVM_IRQCHIP_IOAPIC ? &c->resample_ioapic_pins : &c->resample_pic_pins) |=
                    (u32)BIT(r->pin);
        }
}

/* ---- KVM_IRQFD ---- */

static void irqfd_free(struct irqfd *i)
{
    if (i->resample)
        eventfd_drop(&i->resampled);
    eventfd_drop(&i->trigger);
    free(i);
}

/* NULL with *r. */
static struct irqfd *irqfd_make(const struct kvm_irqfd *k, int *r)
{
    struct irqfd *i = calloc(1, sizeof(*i));

    *r = i ? eventfd_hold((int)k->fd, &i->trigger) : -ENOMEM;
    if (*r) {
        free(i);
        return NULL;
    }
    i->gsi = k->gsi;
    if (k->flags & KVM_IRQFD_FLAG_RESAMPLE) {
        *r = eventfd_hold((int)k->resamplefd, &i->resampled);
        i->resample = !*r;
    }
    if (*r) {
        irqfd_free(i);
        return NULL;
    }
    return i;
}

/* An event that came before counts. */
static int irqfd_add(struct irqfds *s, struct irqfd *i)
{
    struct epoll_event e = {.events = EPOLLIN, .data.u64 = ++s->numbers};

    for (struct irqfd *other = s->list; other; other = other->next)
        if (other->trigger.id == i->trigger.id)
            return -EBUSY;
    i->number = s->numbers;
    i->next = s->list;
    s->list = i;
    if (epoll_ctl(s->epoll, EPOLL_CTL_ADD, i->trigger.fd, &e) < 0) {
        s->list = i->next;
        return -errno;
    }
    irqfds_update_pins(s->chips);
    return 0;
}

static int irqfd_assign(struct irqchip *c, const struct kvm_irqfd *k)
{
    int r;
    struct irqfd *i = irqfd_make(k, &r);

    if (!i)
        return r;
    pthread_mutex_lock(&c->lock);
    r = irqfd_add(c->irqfds, i);
    pthread_mutex_unlock(&c->lock);
    if (r)
        irqfd_free(i);
    return r;
}

static bool resamples_gsi(const struct irqfds *s, u32 gsi)
{
    for (const struct irqfd *i = s->list; i; i = i->next)
        if (i->resample && i->gsi == gsi)
            return true;
    return false;
}

/* The line does not stay high for ever when nobody is left to hear of its end. */
static void irqfd_remove(struct irqfds *s, struct irqfd **at)
{
    struct irqfd *i = *at;

    *at = i->next;
    epoll_ctl(s->epoll, EPOLL_CTL_DEL, i->trigger.fd, NULL);
    if (i->resample && !resamples_gsi(s, i->gsi))
        irqchip_line(s->chips, i->gsi, SOURCE_RESAMPLE, false);
    irqfds_update_pins(s->chips);
    irqfd_free(i);
}

/* That there is none is no error. */
static int irqfd_deassign(struct irqchip *c, const struct kvm_irqfd *k)
{
    struct eventfd e;
    int r = eventfd_hold((int)k->fd, &e);

    if (r)
        return r;
    pthread_mutex_lock(&c->lock);
    for (struct irqfd **i = &c->irqfds->list; *i;)
        if ((*i)->trigger.id == e.id && (*i)->gsi == k->gsi)
            irqfd_remove(c->irqfds, i);
        else
            i = &(*i)->next;
    pthread_mutex_unlock(&c->lock);
    eventfd_drop(&e);
    return 0;
}

int irqchip_irqfd(struct vm *vm, const struct kvm_irqfd *k)
{
    struct irqchip *c = vm->irqchip;

    if (k->flags & ~(u32)(KVM_IRQFD_FLAG_DEASSIGN | KVM_IRQFD_FLAG_RESAMPLE))
        return -EINVAL;
    if (!c)
        return -EINVAL;
    if (k->flags & KVM_IRQFD_FLAG_DEASSIGN)
        return irqfd_deassign(c, k);
    if ((k->flags & KVM_IRQFD_FLAG_RESAMPLE) && !irqchip_has_pic(vm))
        return -EINVAL;
    return irqfd_assign(c, k);
}

/* ---- making and end ---- */

static int irqfds_start(struct irqfds *s)
{
    struct epoll_event e = {.events = EPOLLIN, .data.u64 = 0};
    sigset_t all, old;

    s->epoll = epoll_create1(EPOLL_CLOEXEC);
    s->quit = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (s->epoll < 0 || s->quit < 0 || epoll_ctl(s->epoll, EPOLL_CTL_ADD, s->quit, &e) < 0)
        return -errno;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &old);
    int r = -pthread_create(&s->thread, NULL, irqfds_main, s);
    pthread_sigmask(SIG_SETMASK, &old, NULL);
    return r;
}

static void irqfds_free(struct irqfds *s)
{
    if (s->epoll >= 0)
        close(s->epoll);
    if (s->quit >= 0)
        close(s->quit);
    free(s);
}

int irqfds_create(struct irqchip *c)
{
    struct irqfds *s = calloc(1, sizeof(*s));

    if (!s)
        return -ENOMEM;
    s->chips = c;
    int r = irqfds_start(s);
    if (r) {
        irqfds_free(s);
        return r;
    }
    c->irqfds = s;
    return 0;
}

void irqfds_destroy(struct irqchip *c)
{
    struct irqfds *s = c->irqfds;
    u64 one = 1;

    if (!s)
        return;
    ssize_t n = write(s->quit, &one, sizeof(one));
    (void)n;
    pthread_join(s->thread, NULL);
    c->irqfds = NULL;
    while (s->list) {
        struct irqfd *i = s->list;

        s->list = i->next;
        irqfd_free(i);
    }
    irqfds_free(s);
}
