/* gate.c - the way of the vcpus into guest code, where all of them can be held at once */
/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The vcpus of a VM run in parallel. A few things want all of them out of guest code: a change of the memory
 * slots, the emptying of the code cache, an instruction that must be atomic and is not so natively. Whoever
 * wants that closes the gate (vm_stop_vcpus): the vcpus that run are asked by a kick, and leave at their next
 * poll, from the head of the run loop, where they keep no pointer to anything that may change.
 *
 * One has it closed at a time. The vcpus that waited go through before the next may close it, so that a guest
 * which needs it all the time on one vcpu does not starve the others.
 *
 * Locks: gate.lock is taken with vm->lock, slots_lock or a vcpu's lock held, never with the engine's or a
 * chip's; under it only vcpu_kick is called.
 */
#include "hypervisor/gate.h"
#include "hypervisor/vm.h"

void gate_init(struct gate *g)
{
    pthread_mutex_init(&g->lock, NULL);
    pthread_cond_init(&g->changed, NULL);
}

void gate_destroy(struct gate *g)
{
    pthread_cond_destroy(&g->changed);
    pthread_mutex_destroy(&g->lock);
}

static void wait_until_open(struct gate *g)
{
    g->waiting++;
    while (g->closed)
        pthread_cond_wait(&g->changed, &g->lock);
    g->waiting--;
    if (g->admitted && --g->admitted == 0)
        pthread_cond_broadcast(&g->changed);
}

void gate_enter(struct vcpu *v)
{
    struct gate *g = &v->vm->gate;
    pthread_mutex_lock(&g->lock);
    if (g->closed)
        wait_until_open(g);
    atomic_store(&v->state, STATE_RUNNING);
    pthread_mutex_unlock(&g->lock);
}

void gate_leave(struct vcpu *v, enum vcpu_state state)
{
    struct gate *g = &v->vm->gate;
    pthread_mutex_lock(&g->lock);
    atomic_store(&v->state, state);
    if (g->closed)
        pthread_cond_broadcast(&g->changed);
    pthread_mutex_unlock(&g->lock);
}

static unsigned kick_running(struct vm *vm)
{
    unsigned running = 0;
    for (unsigned i = 0; i < vm->vcpu_count; i++)
        if (atomic_load(&vm->vcpu[i]->state) == STATE_RUNNING) {
            vcpu_kick(vm->vcpu[i], REQ_STOP);
            running++;
        }
    return running;
}

void vm_stop_vcpus(struct vm *vm)
{
    struct gate *g = &vm->gate;
    pthread_mutex_lock(&g->lock);
    while (g->closed || g->admitted)
        pthread_cond_wait(&g->changed, &g->lock);
    g->closed = true;
    while (kick_running(vm))
        pthread_cond_wait(&g->changed, &g->lock);
    pthread_mutex_unlock(&g->lock);
}

void vm_resume_vcpus(struct vm *vm)
{
    struct gate *g = &vm->gate;
    pthread_mutex_lock(&g->lock);
    g->closed = false;
    g->admitted = g->waiting;
    pthread_cond_broadcast(&g->changed);
    pthread_mutex_unlock(&g->lock);
}

void vcpu_stop_others(struct vcpu *v)
{
    gate_leave(v, STATE_OUTSIDE);
    vm_stop_vcpus(v->vm);
}

void vcpu_resume_others(struct vcpu *v)
{
    vm_resume_vcpus(v->vm);
    gate_enter(v);
}
