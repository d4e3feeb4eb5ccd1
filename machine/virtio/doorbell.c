/* doorbell.c - notifications of queues by eventfds: the guest goes on while the device works */
/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <errno.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "machine/virtio/virtio.h"

/* The count is of no interest: all that is in the queue is taken. */
static void rung(struct loop_watch *w, short revents)
{
    struct virtio_doorbell *b = container_of(w, struct virtio_doorbell, watch);
    u64 count;
    (void)revents;
    if (read(w->fd, &count, sizeof(count)) < 0)
        ASSERT(errno == EAGAIN || errno == EINTR);
    virtio_notified(b->device, b->index);
}

void virtio_doorbell_on(struct virtqueue *q)
{
    struct virtio_device *d = q->device;
    struct virtio_doorbell *b = &d->doorbell[q->index];
    if (!d->ioeventfd || b->on)
        return;
    b->device = d;
    b->index = q->index;
    b->own = d->kick_fd < 0;
    b->pci.fd = b->own ? eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK) : d->kick_fd;
    if (b->pci.fd < 0)
        return; /* there are no descriptors left: the writes stay exits */
    b->on = true;
    b->watch = (struct loop_watch){.fd = b->pci.fd, .events = POLLIN, .ready = rung};
    if (b->own)
        loop_add(d->loop, &b->watch);
    pci_add_doorbell(&d->pci, &b->pci);
}

void virtio_doorbell_off(struct virtqueue *q)
{
    struct virtio_device *d = q->device;
    struct virtio_doorbell *b = &d->doorbell[q->index];
    if (!b->on)
        return;
    pci_remove_doorbell(&d->pci, &b->pci);
    if (b->own) {
        loop_remove(d->loop, &b->watch);
        close(b->pci.fd);
    }
    b->on = false;
}
