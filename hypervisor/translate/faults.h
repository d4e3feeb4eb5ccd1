/* faults.h - host signals that translated code causes */
/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef TRANSLATE_FAULTS_H
#define TRANSLATE_FAULTS_H

/* Installs the handlers, once for the process. 0 or -errno. */
int faults_install(void);
/* In a signal handler: the KVM_RUN that it interrupts, if any, is to return EINTR. */
struct vcpu *engine_signal_came(void);

#endif
