/* access_fake.h - the rest of access.c and of the engine, for handlers that cpu.h's machine does not serve */
/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Pages of device are not RAM: accesses to them are counted, reads give 0xd0 + the count.
 */
#ifndef UNIT_ACCESS_FAKE_H
#define UNIT_ACCESS_FAKE_H

#include "tests/unit/cpu.h"

static bool device[RAM_SIZE >> 12];
static unsigned device_accesses;

static bool is_device(gva a)
{
    return a < RAM_SIZE && device[a >> 12];
}

void guest_read(struct vcpu *vcpu, gva a, void *buf, size_t n, enum access_as as)
{
    const u8 *from = linear(vcpu, a, n, false, as);
    if (is_device(a))
        memset(buf, 0xd0 + (int)device_accesses++, n);
    else
        memcpy(buf, from, n);
}

void guest_write(struct vcpu *vcpu, gva a, const void *buf, size_t n, enum access_as as)
{
    u8 *to = linear(vcpu, a, n, true, as);
    device_accesses += is_device(a);
    memcpy(to, buf, n);
}

void guest_probe_read(struct vcpu *vcpu, gva a, size_t n, enum access_as as)
{
    linear(vcpu, a, n, false, as);
}

const void *guest_read_address(struct vcpu *vcpu, gva a, unsigned size, enum access_as as)
{
    const u8 *host = linear(vcpu, a, size, false, as);
    return is_device(a) ? NULL : host;
}

#endif
