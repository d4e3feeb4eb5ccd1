/* reset.c - the state of a vcpu after power-up and INIT (SDM 3A 9.1, table 9-1) */
/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <string.h>

#include "hypervisor/cpu/control.h"
#include "hypervisor/cpu/msr.h"
#include "hypervisor/cpu/smm.h"
#include "hypervisor/cpu/vcpu.h"
#include "hypervisor/irq/irq.h"
#include "hypervisor/vm.h"

enum { ATTRIBUTES_DATA = 0x93, ATTRIBUTES_CODE = 0x9b, ATTRIBUTES_LDT = 0x82, ATTRIBUTES_TSS = 0x8b };

static void reset_segments(struct vcpu *v)
{
    for (unsigned s = 0; s < SEG_COUNT; s++) {
        struct segment d = {.attributes = ATTRIBUTES_DATA, .limit = 0xffff};
        if (s == SEG_CS)
            d = (struct segment){0xf000, ATTRIBUTES_CODE, 0xffff, 0xffff0000};
        else if (s == SEG_LDTR)
            d.attributes = ATTRIBUTES_LDT;
        else if (s == SEG_TR)
            d.attributes = ATTRIBUTES_TSS;
        vcpu_set_segment(v, s, d);
    }
    v->gdtr = v->idtr = (struct table_register){.base = 0, .limit = 0xffff};
}

/* CD and NW survive INIT. */
static void reset_control(struct vcpu *v, bool init)
{
    u64 cache = init ? v->cr0 & (CR0_CD | CR0_NW) : CR0_CD | CR0_NW;
    v->cr0 = CR0_ET | cache;
    v->cr2 = v->cr3 = v->cr4 = v->efer = 0;
    memset(v->dr, 0, sizeof(v->dr));
    v->dr[6] = DR6_FIXED;
    v->dr[7] = DR7_FIXED;
    v->debug.trap = 0;
    debug_update(v);
}

static void reset_events(struct vcpu *v, bool init)
{
    memset(&v->event, 0, sizeof(v->event));
    v->delivering = v->triple_fault = false;
    v->nmi_pending = 0;
    v->nmi_blocked = false;
    smm_reset(v, init);
    v->interrupt_shadow = 0;
    v->pio.active = false;
    v->mmio_reads = v->mmio_reads_used = v->mmio_writes = v->mmio_writes_done = 0;
}

/* edx identifies the processor; without CPUID entries yet, as a P6. */
static u32 processor_signature(struct vcpu *v)
{
    u32 out[4];
    cpuid_query(v, 1, 0, out);
    return out[0] ? out[0] : 0x600;
}

static void reset_registers(struct vcpu *v)
{
    memset(v->gpr, 0, sizeof(v->gpr));
    v->gpr[GPR_RDX] = processor_signature(v);
    v->rip = 0xfff0;
    rflags_set(v, 0);
}

static bool is_bsp(const struct vcpu *v)
{
    return v->id == v->vm->boot_cpu_id;
}

/* Application processors wait for INIT and SIPI, where the library has the local APICs that bring them. */
static u32 initial_mp_state(const struct vcpu *v, bool init)
{
    if (!v->lapic || is_bsp(v))
        return KVM_MP_STATE_RUNNABLE;
    return init ? KVM_MP_STATE_INIT_RECEIVED : KVM_MP_STATE_UNINITIALIZED;
}

void vcpu_reset(struct vcpu *v, bool init)
{
    reset_control(v, init);
    reset_registers(v);
    reset_segments(v);
    reset_events(v, init);
    if (!init) { /* during an INIT the next one may come */
        v->init_pending = false;
        cpuid_update(v);
        fpu_reset(v);
        msr_power_up(v, is_bsp(v));
    }
    if (v->lapic)
        lapic_reset(v, init);
    v->mp_state = initial_mp_state(v, init);
    tlb_flush_all(v);
}
