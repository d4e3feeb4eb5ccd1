/* run.c - the run loop between a HLT and what ends it: events that no request has announced yet come before
 * code */
/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Another thread makes an interrupt pending first, and kicks the vcpu second. What a vcpu does that looks in
 * between cannot be had from threads at will: here the guest is a function, which leaves the vcpu in just
 * that state.
 */
#include <errno.h>
#include <sys/mman.h>

#include "hypervisor/irq/irq.h"
#include "hypervisor/translate/engine.h"
#include "hypervisor/translate/cache.h"
#include "hypervisor/translate/execute.h"
#include "hypervisor/vm.h"
#include "tests/unit/test.h"

static struct vm vm;
static struct vcpu *v;
static struct kvm_run run;
static struct engine *engine;
static char trace[32];
static unsigned events;
static bool interrupt;

static void note(char c)
{
    if (events < sizeof(trace) - 1)
        trace[events++] = c;
}

/* The guest: its first piece halts, while what the test wants arrives; the second one is the last. */
static void (*arrive)(void);
void engine_execute(struct vcpu *vcpu)
{
    note('x');
    if (vcpu->mp_state == KVM_MP_STATE_RUNNABLE && arrive) {
        vcpu->mp_state = KVM_MP_STATE_HALTED;
        arrive();
        arrive = NULL;
        return;
    }
    vcpu->run->immediate_exit = 1;
}

int lapic_pending(struct vcpu *vcpu)
{
    (void)vcpu;
    return interrupt ? 0x40 : -1;
}

int lapic_accept(struct vcpu *vcpu)
{
    (void)vcpu;
    interrupt = false;
    return 0x40;
}

int lapic_take_user_eoi(struct vcpu *vcpu)
{
    (void)vcpu;
    return -1;
}

void event_queue_interrupt(struct vcpu *vcpu, u8 vector)
{
    vcpu->event.pending = true;
    vcpu->event.vector = vector;
    note('i');
}

void event_queue_nmi(struct vcpu *vcpu)
{
    vcpu->event.pending = true;
    note('n');
}

void event_deliver(struct vcpu *vcpu)
{
    vcpu->event.pending = false;
    note('d');
}

void paravirt_entered(struct vcpu *vcpu)
{
    (void)vcpu;
}

void paravirt_leaving(struct vcpu *vcpu)
{
    (void)vcpu;
}

void paravirt_tick(struct vcpu *vcpu)
{
    (void)vcpu;
}

static void start(void (*arrives)(void))
{
    memset(v, 0, sizeof(*v));
    memset(&run, 0, sizeof(run));
    memset(trace, 0, sizeof(trace));
    events = 0;
    interrupt = false;
    v->vm = &vm;
    v->run = &run;
    v->engine = engine;
    v->poll = engine_poll_quiet(engine);
    v->rflags = FLAG_FIXED | FLAG_IF;
    v->mp_state = KVM_MP_STATE_RUNNABLE;
    vm.vcpu[0] = v;
    vm.vcpu_count = 1;
    arrive = arrives;
}

static void an_interrupt(void)
{
    interrupt = true;
}

static void an_nmi(void)
{
    v->nmi_pending = true;
}

static void a_wake_up(void)
{
    v->pv_unhalted = true;
}

static void both(void)
{
    interrupt = true;
    v->nmi_pending = true;
}

static void check_order(void (*arrives)(void), const char *want)
{
    start(arrives);
    CHECK_EQ(vcpu_run(v), -EINTR);
    if (strcmp(trace, want))
        printf("the order was %s, wants %s\n", trace, want);
    CHECK(!strcmp(trace, want));
}

int main(void)
{
    v = mmap(NULL, sizeof(*v), PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    engine = mmap(NULL, sizeof(*engine), PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE,
                  -1, 0);
    if (v == MAP_FAILED || engine == MAP_FAILED)
        return 1;
    engine->poll_page = engine->poll_guard = (u8 *)&run; /* nobody reads there */
    gate_init(&vm.gate);
    check_order(an_interrupt, "xidx");
    check_order(an_nmi, "xndx");
    check_order(both, "xndx"); /* the interrupt has to wait for the NMI's first instruction */
    check_order(a_wake_up, "xx");
    return TEST_DONE();
}
