/* io_bus.h - guest writes that the client wants without leaving KVM_RUN: ioeventfds, coalesced zones */
/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef API_IO_BUS_H
#define API_IO_BUS_H

#include "hypervisor/vm.h"

enum io_bus_kind { BUS_MMIO, BUS_PIO, BUS_CCW /* of another architecture: no guest writes there */ };

struct io_bus *io_bus_create(void);
void io_bus_destroy(struct io_bus *b);
/* A guest's write that no chip of the library has taken; len: 1, 2, 4 or 8. With vector state live. true: it
 * is done. false: it is for KVM_EXIT_MMIO or KVM_EXIT_IO. */
bool io_bus_write(struct vcpu *v, enum io_bus_kind kind, u64 address, unsigned len, const void *data);

#endif
