/* monitor_event.h - what a machine says by itself */
/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef DOMAINS_MONITOR_EVENT_H
#define DOMAINS_MONITOR_EVENT_H

#include <jansson.h>

#include "manager/domains/domain.h"

void monitor_event_take(struct domain *d, const char *name, json_t *data, json_t *whole);
/* The guest has powered off (or the host has, if not by_guest): does what the definition asks for. */
void monitor_event_shutdown(struct domain *d, bool by_guest);

#endif
