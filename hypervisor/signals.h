/* signals.h - signals of the program around us, which end KVM_RUN (api.rst 4.10) */
/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef HYPERVISOR_SIGNALS_H
#define HYPERVISOR_SIGNALS_H

/* Has all handlers that the program has installed so far end the KVM_RUN that they interrupt. */
void signals_watch(void);

#endif
