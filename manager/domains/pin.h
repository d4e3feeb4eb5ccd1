/* pin.h - on which of the host's processors the threads of a machine run (<cputune>, <vcpu cpuset>) */
/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef DOMAINS_PIN_H
#define DOMAINS_PIN_H

#include "manager/daemon/cpuset.h"
#include "manager/domains/domain.h"

enum { PIN_EMULATOR = -1 }; /* all threads that are no vcpu; else a vcpu's number */

/* Its rows of the document are sets of processors, and of vcpus that there can be. */
int pin_check(xmlNode *domain, struct vir_error *e);

/* Where it may run by the document: its own row, else <vcpu cpuset>, else everywhere. */
void pin_read(xmlNode *domain, int which, cpu_set_t *set);
void pin_write(xmlNode *domain, int which, const cpu_set_t *set);

/* In a task: the threads of the running machine go there. 0, or -1 with e. */
int pin_apply(struct domain *d, int which, const cpu_set_t *set, struct vir_error *e);
/* The same for all that the document names. */
int pin_apply_all(struct domain *d, struct vir_error *e);

#endif
