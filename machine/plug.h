/* plug.h - objects of the configuration become parts of the machine: at the start, and while it runs */
/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef MACHINE_PLUG_H
#define MACHINE_PLUG_H

#include "base/config/properties.h"

/*
 * One row for each kind of object. add reads p by the property table of the type that p names (the first
 * property: driver, type, ...); remove takes what has that id away. All are called with loop.lock, on the
 * main thread, before the vcpus run or while they do. 0, or -errno with e, which names what is wrong: -ENODEV
 * where there is nothing of that id.
 */
struct machine;

enum plug_kind { PLUG_OBJECT, PLUG_BLOCKDEV, PLUG_DRIVE, PLUG_NETDEV, PLUG_DEVICE, PLUG_KINDS };

int plug_add(struct machine *m, enum plug_kind kind, const struct properties *p, struct error *e);
int plug_remove(struct machine *m, enum plug_kind kind, const char *id, struct error *e);

/* All of the configuration, in the order of plug_kind, so that what is referred to is there. */
int plug_all(struct machine *m, struct error *e);

/* -device help and the like: what there is of a kind, or the properties of one. */
void plug_help(enum plug_kind kind, const char *name);

#endif
