/* execute.c - finding, making and entering translations; what comes back from them */
/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <string.h>

#include "hypervisor/cpu/debug.h"
#include "hypervisor/cpu/stack.h"
#include "hypervisor/direct/direct.h"
#include "hypervisor/translate/access.h"
#include "hypervisor/translate/cache.h"
#include "hypervisor/translate/execute.h"
#include "hypervisor/translate/faults.h"
#include "hypervisor/translate/ibtc.h"
#include "hypervisor/translate/thunks.h"
#include "hypervisor/translate/tlb.h"
#include "hypervisor/translate/translate.h"
#include "hypervisor/translate/vcpu_engine.h"

u64 *engine_poll_quiet(const struct engine *e)
{
    return (u64 *)(e->poll_guard - 16); /* so that request_interrupt_window = 1 still reads inside the page */
}

u64 *engine_poll_armed(const struct engine *e)
{
    return (u64 *)e->poll_guard;
}

void engine_new_generation(struct vm *vm)
{
    if (atomic_load_explicit(&vm->told, memory_order_relaxed))
        return;
    atomic_fetch_add(&vm->generation, 1);
    for (unsigned i = 0; i < vm->vcpu_count; i++)
        if (atomic_load(&vm->vcpu[i]->state) == STATE_RUNNING)
            vcpu_kick(vm->vcpu[i], REQ_LOOK);
}

void engine_check_generation(struct vcpu *v)
{
    u64 now = atomic_load(&v->vm->generation);
    if (v->generation == now)
        return;
    v->generation = now;
    ibtc_flush_all(v);
}

/* ---- finding ---- */

size_t code_room(const struct vcpu *v)
{
    if (v->mode & MODE_FLAT)
        return SIZE_MAX;
    return v->rip > v->seg[SEG_CS].limit ? 0 : v->seg[SEG_CS].limit - v->rip + 1;
}

static bool straddle_holds(struct vcpu *v, struct block *b)
{
    struct tlb_target t;
    gva next = ALIGN_DOWN(code_address(v, v->rip), 4096) + 4096;
    return !b->host2 || tlb_fetch(v, in_64bit(v) ? next : (u32)next, &t) == b->host2;
}

/* May b be entered without a look at its bytes? That its pages settle just now may show that it is invalid.
 */
static bool is_settled(struct vcpu *v, struct block *b)
{
    return cache_settle(v, b->page[0]) && (!b->page[1] || cache_settle(v, b->page[1])) && b->valid;
}

/* What a page's blocks were made of is compared once in a generation. */
static void verify_page(struct vcpu *v, struct code_page *p)
{
    if (cache_settle(v, p) && p->verified < v->generation)
        cache_verify(v->engine, p, v->generation);
}

static bool bytes_hold(struct block *b, bool settled)
{
    if (b->mask && b->host2) /* else cache_find has seen to it */
        return checked_follow(b);
    return settled || b->mask || block_unchanged(b);
}

/* The block for the code at rip, whose first byte is at host, its bytes verified in this generation, or now;
 * or NULL. */
static struct block *find_block(struct vcpu *v, const u8 *host, u32 mode)
{
    struct engine *e = v->engine;
    struct code_page *p = cache_page(e, host);
    if (!p)
        return NULL;
    verify_page(v, p);
    struct block *b = cache_find(e, v->rip, mode, host);
    if (!b)
        return NULL;
    bool whole = straddle_holds(v, b); /* else its second page may not even be there */
    if (whole && b->page[1])
        verify_page(v, b->page[1]);
    bool settled = is_settled(v, b);
    if (!b->valid)
        return NULL;
    if (!whole || b->length > code_room(v) || !bytes_hold(b, settled)) {
        cache_invalidate(e, b);
        return NULL;
    }
    return b;
}

/* NULL: looking for b's pages has shown that no movable block may be entered now (tlb_fetch). */
static const u8 *enter_block(struct vcpu *v, struct block *b)
{
    if (b->mode & ~v->mode & MODE_MOVABLE)
        return NULL;
    v->code_page = ALIGN_DOWN(v->rip, 4096);
    const u8 *code = block_entry(v->engine, b);
    if (!(v->mode & MODE_STEP) && is_settled(v, b))
        ibtc_insert(v, v->mode, v->rip, code);
    return code;
}

static const u8 *find_code(struct vcpu *v, const u8 *host)
{
    engine_lock(v);
    struct block *b = find_block(v, host, v->mode);
    const u8 *code = b ? enter_block(v, b) : NULL;
    engine_unlock(v);
    return code;
}

/* The vcpu is between two blocks: it has no store in flight (cache.h). */
static void note_epoch(struct vcpu *v)
{
    atomic_store_explicit(&v->epoch, atomic_load(&v->engine->epoch), memory_order_release);
}

/* Something waits that only the run loop does. */
static bool must_return(struct vcpu *v)
{
    return v->requests || v->event.pending || v->mmio_writes || v->code_changed || v->run->immediate_exit ||
           v->signal_came || v->mp_state != KVM_MP_STATE_RUNNABLE ||
           (v->interrupt_waits && (v->rflags & FLAG_IF)) || (v->nmi_pending && !v->nmi_blocked) ||
           v->debug.trap || v->debug.changed || direct_waits(v);
}

/* Outside 64-bit mode the branch cache's offsets mean addresses of one code segment. */
static void follow_code_segment(struct vcpu *v)
{
    const struct segment *cs = &v->seg[SEG_CS];
    if (mode_class(v->mode) != CLASS_OTHER ||
        (v->priv->cs_base == cs->base && v->priv->cs_limit == cs->limit))
        return;
    ibtc_flush(v, CLASS_OTHER);
    v->priv->cs_base = cs->base;
    v->priv->cs_limit = cs->limit;
}

/* What the branch cache has for v's state, which is not for MODE_STEP; or NULL. */
static const u8 *known_code(struct vcpu *v)
{
    follow_code_segment(v);
    const u8 *code = ibtc_find(v, v->mode, v->rip);
    if (code)
        v->code_page = ALIGN_DOWN(v->rip, 4096);
    return code;
}

/* Host code for v's state, or NULL: back to the run loop. */
const u8 *engine_next(struct vcpu *v)
{
    note_epoch(v);
    if (must_return(v) || stress_now(&v->engine->stress, STRESS_EXIT, 8))
        return NULL;
    v->mode = mode_of(v);
    if ((v->mode & MODE_STEP) || !code_room(v))
        return NULL;
    v->rflags &= ~(u64)FLAG_RF; /* no breakpoint is near */
    const u8 *code = known_code(v);
    if (code)
        return code;
    struct tlb_target t;
    const u8 *host = tlb_fetch(v, code_address(v, v->rip), &t);
    return host ? find_code(v, host) : NULL;
}

/* ---- near branches ---- */

/* Takes back the change that the near branch i has made to a register. */
static void undo_branch(struct vcpu *v, const struct tinsn *i)
{
    struct stack s;
    unsigned size = i->in.bits == 64 && i->in.opsize != 2 ? 8 : i->in.opsize;
    u64 count_mask = i->in.addrsize == 8 ? ~0ull : BIT(i->in.addrsize * 8) - 1;
    stack_current(v, &s);
    if (i->kind == KIND_RET)
        stack_skip(&s, -(u64)(size + (u16)i->in.imm));
    else if (i->kind == KIND_CALL || i->kind == KIND_CALL_INDIRECT)
        stack_skip(&s, size);
    else if (i->kind == KIND_LOOP && i->opcode != 0xe3)
        v->gpr[GPR_RCX] = (v->gpr[GPR_RCX] & ~count_mask) | ((v->gpr[GPR_RCX] + 1) & count_mask);
    stack_commit(v, &s);
}

/* The near branch at rip, in b, leads where no code can be: it faults itself, as if it had done nothing (SDM
 * 2A CALL, JMP, LOOP; 2B RET); only a word below the stack stays as a CALL has left it. */
_Noreturn static void refuse_branch(struct vcpu *v, const struct block *b, u64 rip)
{
    struct tinsn i;
    u8 bytes[15];
    u64 at = (rip - b->pc) & 4095, here = min(sizeof(bytes), 4096 - ((uintptr_t)(b->host + at) & 4095));
    memcpy(bytes, b->host + at, here);
    if (b->host2)
        memcpy(bytes + here, b->host2, sizeof(bytes) - here);
    v->rip = rip;
    if (decode(&i, bytes, b->host2 ? sizeof(bytes) : here, rip, b->mode) == DECODE_OK)
        undo_branch(v, &i);
    raise_exception_code(v, EXC_GP, 0);
}

/* May code be at rip? */
static bool is_code_place(const struct vcpu *v)
{
    return in_64bit(v) ? is_canonical(v->rip) : code_room(v) != 0;
}

/* thunk_lookup: rip is where an indirect branch leads, which itself is at exit_host_pc. */
const u8 *engine_branch(struct vcpu *v)
{
    if (unlikely(!is_code_place(v))) {
        engine_sync_rip(v, false);
        refuse_branch(v, cache_by_host_pc(v->engine, (const u8 *)v->exit_host_pc), v->rip);
    }
    return v->mode & MODE_STEP ? NULL : engine_next(v);
}

/* thunk_link: the same for a direct jump, which finds its target by itself from now on; but a movable
 * block's, as long as the target found is not movable (cache_find), only by way of what ends with the era. */
const u8 *engine_link(struct vcpu *v, uintptr_t tagged)
{
    struct link *l = (struct link *)(tagged & ~(uintptr_t)1); /* bit 0: link.in_cc */
    u64 base = code_base(v, l->from->mode & MODE_MOVABLE) - (u64)(s64)l->shift;
    v->rip = base + l->target;
    if (unlikely(!is_code_place(v)) && l->branch != NO_BRANCH)
        refuse_branch(v, l->from, base + l->from->pc + l->branch);
    const u8 *code = v->mode & MODE_STEP ? NULL : engine_next(v);
    if (!code || v->mode != l->mode)
        return code;
    engine_lock(v);
    struct block *b = cache_by_entry(v->engine, code);
    bool may_link = is_settled(v, b) && l->from->valid;
    if (may_link && l->crossing != NO_CROSSING) {
        b->crossed = true;
        crossing_set(v, l, code);
    } else if (may_link && l->site && !l->to && b->page[0] == l->from->page[0] && !b->host2 &&
               b->mode == l->mode) {
        link_connect(v->engine, l, b);
    }
    engine_unlock(v);
    return code;
}

/* ---- sensitive instructions ---- */

static inline __attribute__((always_inline)) void run_handler(struct vcpu *v, const struct site *s)
{
    u64 rip = code_base(v, s->movable) + s->in.rip, next = rip + s->in.length;
    v->rip = rip;
    /* 16-bit code, too, may run on, where CS's limit allows it. */
    v->next_rip = s->in.bits == 64 ? next : (u32)next;
    s->handler(v, &s->in);
    v->rip = v->next_rip;
    guest_commit(v);
}

/* thunk_helper: the block goes on behind the instruction. */
void engine_helper(struct vcpu *v, const struct site *s)
{
    run_handler(v, s);
    if (v->mmio_writes || v->code_changed || v->debug.trap || v->requests)
        vcpu_unwind(v);
}

/* thunk_helper_end */
const u8 *engine_helper_end(struct vcpu *v, const struct site *s)
{
    run_handler(v, s);
    return v->mode & MODE_STEP ? NULL : engine_next(v);
}

/* ---- making ---- */

static u8 *fetch_or_fault(struct vcpu *v, gva a)
{
    struct tlb_target t;
    if (in_64bit(v) ? !is_canonical(a) : !code_room(v))
        raise_exception_code(v, EXC_GP, 0);
    u8 *host = tlb_fetch(v, a, &t);
    if (host)
        return host;
    if (t.status == TLB_FAULT)
        raise_page_fault(v, a, t.error_code);
    vcpu_exit_internal_error(v, KVM_INTERNAL_ERROR_EMULATION, NULL); /* code outside RAM */
}

/* The first instruction may run into the next page, which then has to be fetched too, or over CS's limit. */
static void fetch_rest(struct vcpu *v, const u8 *host)
{
    struct tinsn i;
    u8 bytes[15];
    size_t n = 4096 - ((uintptr_t)host & 4095), room = code_room(v);
    if (min(n, room) >= sizeof(bytes) || decode(&i, host, min(n, room), v->rip, v->mode) == DECODE_OK)
        return;
    if (room <= n)
        raise_exception_code(v, EXC_GP, 0);
    gva next = ALIGN_DOWN(code_address(v, v->rip), 4096) + 4096;
    const u8 *host2 = fetch_or_fault(v, in_64bit(v) ? next : (u32)next);
    memcpy(bytes, host, n);
    memcpy(bytes + n, host2, sizeof(bytes) - n);
    if (decode(&i, bytes, min(room, sizeof(bytes)), v->rip, v->mode) != DECODE_OK)
        raise_exception_code(v, EXC_GP, 0);
}

/* The code cache is emptied when all vcpus are out of it. */
static void make_room(struct vcpu *v)
{
    struct engine *e = v->engine;
    bool full = stress_cache_full(&e->stress);
    if (likely(cache_has_room(e) && !full))
        return;
    if (!v->alone)
        vcpu_stop_others(v);
    if (!cache_has_room(e) || full)
        cache_flush(e);
    if (!v->alone)
        vcpu_resume_others(v);
}

/* NULL: the block could not be made, or was changed at once. */
static const u8 *make_code(struct vcpu *v, u8 *host)
{
    fpu_put(v);
    fetch_rest(v, host);
    engine_lock(v);
    struct block *b = find_block(v, host, v->mode); /* another vcpu may have made it */
    if (!b)
        b = translate(v, host, false);
    const u8 *code = b ? enter_block(v, b) : NULL;
    engine_unlock(v);
    return code;
}

static const u8 *code_at_rip(struct vcpu *v)
{
    const u8 *code;
    do {
        u8 *host = fetch_or_fault(v, code_address(v, v->rip));
        code = find_code(v, host);
        if (!code) {
            make_room(v);
            host = fetch_or_fault(v, code_address(v, v->rip));
            code = make_code(v, host);
        }
    } while (!code);
    return code;
}

/* ---- groups of accesses (group.c) ---- */

static gva group_address(const struct vcpu *v, const struct group_head *h)
{
    u64 a = (u64)h->low;
    if (h->base == GPR_RIP)
        a += v->code_page;
    else if (h->base != GPR_NONE)
        a += v->gpr[h->base];
    if (h->index != GPR_NONE)
        a += v->gpr[h->index] * h->scale;
    if (h->seg == SEG_FS || h->seg == SEG_GS)
        a += v->seg_base[h->seg];
    return a;
}

/* May the whole group go by one entry of the TLB? Only the first access, which is due now, fills it. */
static bool group_holds(struct vcpu *v, const struct group_head *h)
{
    gva a = group_address(v, h), first = a + h->first;
    struct tlb_target t;
    if ((a & 4095) + h->size > 4096 || !is_canonical(a) || (first & h->align_mask))
        return false;
    tlb_translate(v, first, h->write, h->context, &t);
    return tlb_probe(v, a, h->size, h->write, h->context);
}

/* May b be entered from the group's block at any time, wherever that is then? As by a link in the page. */
static bool is_lasting(struct vcpu *v, const struct group_head *h, struct block *b)
{
    return (!h->movable || (b->mode & MODE_MOVABLE)) && !b->host2 && is_settled(v, b);
}

static const u8 *find_plain(struct vcpu *v, struct group_head *h)
{
    engine_lock(v);
    struct block *b = find_block(v, h->host, v->mode | MODE_PLAIN);
    if (!b) {
        fpu_put(v);
        b = translate(v, h->host, true);
        fpu_get(v);
    }
    const u8 *code = b ? block_entry(v->engine, b) : NULL;
    if (b && is_lasting(v, h, b)) {
        atomic_store_explicit(&h->plain, code, memory_order_relaxed);
        atomic_store_explicit(&h->plain_forgets, v->engine->forgets, memory_order_release);
    }
    engine_unlock(v);
    return code;
}

/* The rest of the block without groups. */
static const u8 *plain_code(struct vcpu *v, struct group_head *h)
{
    note_epoch(v);
    u64 forgets = atomic_load_explicit(&h->plain_forgets, memory_order_acquire);
    const u8 *code = atomic_load_explicit(&h->plain, memory_order_relaxed);
    return code && forgets == v->engine->forgets ? code : find_plain(v, h);
}

/* thunk_group */
const u8 *engine_group(struct vcpu *v, struct group_head *h)
{
    if (group_holds(v, h))
        return h->start;
    v->rip = code_base(v, h->movable) + h->rip;
    if (h->flags == FLAGS_LOST)
        v->cc = producer_flags(&h->producer, v->gpr);
    return plain_code(v, h);
}

/* ---- code that changes (checked.c) ---- */

/* thunk_changed: at b's beginning. */
const u8 *engine_changed(struct vcpu *v, struct block *b)
{
    note_epoch(v);
    engine_lock(v);
    v->rip = block_rip(v, b, 0);
    bool holds = checked_recheck(v->engine, b);
    engine_unlock(v);
    return holds ? block_entry(v->engine, b) : engine_next(v);
}

/* ---- faults in translated code ---- */

static void restore_state(struct vcpu *v)
{
    const u8 *pc = (const u8 *)v->exit_host_pc;
    struct block *b = cache_by_host_pc(v->engine, pc);
    ASSERT(b);
    const struct pc_map *m = block_map(b, pc, v->engine);
    v->rip = block_rip(v, b, m->guest_offset);
    if (m->borrowed != GPR_NONE)
        v->gpr[m->borrowed] = v->spill[SPILL_BORROWED];
    if (m->flags == FLAGS_IN_CC)
        v->cc = v->priv->fault.cc_before;
    if (m->flags == FLAGS_LOST)
        v->cc = producer_flags(&b->producers[m->producer], v->gpr);
}

/* The host CPU found in the guest's own instruction what the guest's CPU would have found. */
static void take_host_fault(struct vcpu *v)
{
    restore_state(v);
    if (v->priv->fault.poll)
        return;
    guest_commit(v);
    switch (v->priv->fault.trap) {
    case EXC_DE:
    case EXC_MF:
    case EXC_UD: raise_exception(v, (u8)v->priv->fault.trap);
    case EXC_XM: raise_exception(v, v->cr4 & CR4_OSXMMEXCPT ? EXC_XM : EXC_UD); /* SDM 3A 2.5 */
    case EXC_GP:
    case EXC_AC: raise_exception_code(v, (u8)v->priv->fault.trap, 0);
    default:
        v->efault = true;
        v->efault_host = v->priv->fault.address;
        vcpu_unwind(v);
    }
}

/* ---- debugging ---- */

void engine_debug_changed(struct vcpu *v)
{
    v->debug.changed = false;
    tlb_flush_all(v); /* what is entered by a branch cache is not looked at */
    for (unsigned n = 0; v->debug.write >> n; n++)
        if (v->debug.write >> n & 1)
            tlb_drop_page(v, debug_address(v, n));
}

/* Raises the fault of an instruction breakpoint, which comes before all others of the instruction. RF, and
 * MOV to SS just before, let it pass (SDM 3B 17.3.1.1, 6.8.3); and so does an instruction begun already. */
static void begin_instruction(struct vcpu *v)
{
    bool passes = (v->rflags & FLAG_RF) || v->interrupt_shadow == KVM_X86_SHADOW_INT_MOV_SS || v->mmio_reads;
    u64 hit = v->debug.code && !passes ? debug_match_code(v, code_address(v, v->rip)) : 0;
    if (hit)
        raise_debug(v, hit);
    v->rflags &= ~(u64)FLAG_RF;
    v->interrupt_shadow = 0; /* it covers the instruction that now runs */
    v->debug.single_step = debug_stepping(v);
}

/* MOV to SS is not followed by a single step, and data breakpoints wait until after the next instruction. */
void engine_step_done(struct vcpu *v)
{
    if (v->debug.single_step && v->interrupt_shadow != KVM_X86_SHADOW_INT_MOV_SS)
        v->debug.trap |= DR6_BS;
}

void engine_execute(struct vcpu *v)
{
    v->code_changed = false;
    engine_check_generation(v);
    note_epoch(v);
    if (stress_now(&v->engine->stress, STRESS_TLB | STRESS_SLOW, 64))
        tlb_flush_all(v);
    if (direct_run(v))
        return;
    v->mode = mode_of(v);
    v->debug.step_once = false;
    begin_instruction(v);
    const u8 *code = v->mode & MODE_STEP || !code_room(v) ? NULL : known_code(v);
    if (!code)
        code = code_at_rip(v);
    fpu_get(v);
    if (engine_enter(v, code) == EXIT_FAULT)
        take_host_fault(v);
    else if (v->mode & MODE_STEP)
        engine_step_done(v);
}
