/* gate.h - the way of the vcpus into guest code, where all of them can be held at once */
/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef HYPERVISOR_GATE_H
#define HYPERVISOR_GATE_H

#include <pthread.h>

#include "base/base.h"

struct vcpu;

/* vcpu.state. RUNNING: it may run guest code, or C code on the guest's behalf. WAITING: it sleeps, and a kick
 * is to wake it. Written by the vcpu's own thread only. */
enum vcpu_state { STATE_OUTSIDE, STATE_RUNNING, STATE_WAITING };

struct gate {
    pthread_mutex_t lock;   /* covers the rest, and vcpu.state's changes to and from RUNNING */
    pthread_cond_t changed; /* of all that lock covers */
    bool closed;            /* somebody has the guest's memory and code for himself */
    unsigned waiting;       /* vcpus that wait for the gate to open */
    unsigned admitted;      /* of these, those that go through before it closes again */
};

void gate_init(struct gate *g);
void gate_destroy(struct gate *g);
/* To RUNNING, once the gate is open. */
void gate_enter(struct vcpu *v);
void gate_leave(struct vcpu *v, enum vcpu_state state);
/* For a vcpu in its run loop, which holds no pointer into the code cache: the others are held at the gate,
 * while this one may go on with whatever it does. */
void vcpu_stop_others(struct vcpu *v);
void vcpu_resume_others(struct vcpu *v);

#endif
