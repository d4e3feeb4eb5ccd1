/* faults.c - SIGSEGV, SIGBUS, SIGFPE and SIGILL: the guest's faults, the poll, and everybody else's */
/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A guest's instruction runs on the host CPU, so its #DE, #MF, #XM, #UD and alignment #GP arrive as signals;
 * the poll (branch.c) faults when armed; and guest memory may be gone (KVM_RUN then returns EFAULT). What is
 * none of these goes to the program's own handler (signals.c).
 */
#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <string.h>
#include <ucontext.h>

#include "hypervisor/direct/direct.h"
#include "hypervisor/signals.h"
#include "hypervisor/translate/cache.h"
#include "hypervisor/translate/execute.h"
#include "hypervisor/translate/faults.h"
#include "hypervisor/translate/thunks.h"
#include "hypervisor/translate/vcpu_engine.h"

static _Thread_local struct vcpu *current __attribute__((tls_model("initial-exec")));

void engine_attach(struct vcpu *v)
{
    current = v;
}

void engine_detach(struct vcpu *v)
{
    (void)v;
    current = NULL;
}

struct vcpu *engine_signal_came(void)
{
    struct vcpu *v = current;
    if (!v)
        return NULL;
    v->signal_came = true;
    atomic_store(&v->poll, engine_poll_armed(v->engine));
    direct_signal_came(v);
    return v;
}

static bool in_translated_code(const struct engine *e, u64 pc)
{
    return pc - (uintptr_t)e->code_exec < CODE_SIZE;
}

static bool in_guest_memory(const struct memory *m, u64 hva)
{
    for (unsigned i = 0; i < m->count; i++)
        if (hva - (uintptr_t)m->slot[i].host < m->slot[i].pages << 12)
            return true;
    return false;
}

/* Has translated code leave through thunk_fault, its registers being the guest's. */
static void leave_code(struct vcpu *v, int number, u64 address, greg_t *regs)
{
    const struct engine *e = v->engine;
    v->priv->fault.number = number;
    v->priv->fault.trap = (int)regs[REG_TRAPNO];
    v->priv->fault.address = address;
    v->priv->fault.poll = address - (uintptr_t)e->poll_guard < 4096;
    v->priv->fault.cc_before = v->cc;
    v->exit_host_pc = (u64)regs[REG_RIP];
    regs[REG_RIP] = (greg_t)(uintptr_t)thunk_fault;
}

_Noreturn static void leave_helper(struct vcpu *v)
{
    v->efault = true;
    vcpu_unwind(v);
}

static void on_signal(int number, siginfo_t *info, void *context)
{
    struct vcpu *v = current;
    greg_t *regs = ((ucontext_t *)context)->uc_mcontext.gregs;
    u64 address = (uintptr_t)info->si_addr;
    bool from_cpu = info->si_code > 0;
    if (v && from_cpu && in_translated_code(v->engine, (u64)regs[REG_RIP])) {
        leave_code(v, number, address, regs);
    } else if (v && from_cpu && (number == SIGSEGV || number == SIGBUS) &&
               in_guest_memory(vcpu_memory(v), address)) {
        v->efault_host = address;
        regs[REG_RIP] = (greg_t)(uintptr_t)leave_helper;
        regs[REG_RDI] = (greg_t)(uintptr_t)v;
        regs[REG_RSP] = ALIGN_DOWN(regs[REG_RSP] - 256, 16) - 8; /* past the red zone, as after a call */
    } else {
        signals_pass_fault(number, info, context);
    }
}

static void install(void)
{
    static const int signals[] = {SIGSEGV, SIGBUS, SIGFPE, SIGILL};
    for (size_t i = 0; i < ARRAY_SIZE(signals); i++)
        signals_take_fault(signals[i], on_signal);
}

int faults_install(void)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    return -pthread_once(&once, install);
}
