/* ibtc.c - the indirect-branch target cache */
/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "hypervisor/translate/ibtc.h"
#include "hypervisor/translate/thunks.h"
#include "hypervisor/translate/vcpu_engine.h"

/* An empty slot holds a value that matches no pc which has its index. */
static u64 empty(unsigned index)
{
    return index ? 0 : 1;
}

void ibtc_init(struct vcpu *v)
{
    for (unsigned c = 0; c < ARRAY_SIZE(v->ibtc); c++)
        v->ibtc[c].entry[0].npc = empty(0);
    for (unsigned n = 0; n < CROSSINGS; n++)
        v->crossing[n] = thunk_link;
}

const u8 *ibtc_find(const struct vcpu *v, u32 mode, u64 pc)
{
    enum mode_class c = mode_class(mode);
    unsigned i = pc & (TLB_ENTRIES - 1);
    if (v->priv->ibtc[c].mode != mode || v->ibtc[c].entry[i].npc + pc != 0)
        return NULL;
    return (const u8 *)v->ibtc[c].entry[i].code + ENTRY_SIZE;
}

void ibtc_insert(struct vcpu *v, u32 mode, u64 pc, const u8 *code)
{
    enum mode_class c = mode_class(mode);
    unsigned i = pc & (TLB_ENTRIES - 1);
    if (v->priv->ibtc[c].mode != mode) {
        ibtc_flush(v, c);
        v->priv->ibtc[c].mode = mode;
    }
    if (v->ibtc[c].entry[i].npc == empty(i))
        v->priv->ibtc[c].index[v->priv->ibtc[c].count++] = (u16)i;
    v->ibtc[c].entry[i].npc = -pc;
    v->ibtc[c].entry[i].code = (uintptr_t)code - ENTRY_SIZE;
}

void crossing_set(struct vcpu *v, const struct link *l, const u8 *code)
{
    enum mode_class c = mode_class(l->from->mode);
    if (v->crossing[l->crossing] == thunk_link)
        v->priv->ibtc[c].crossing[v->priv->ibtc[c].crossing_count++] = (u32)l->crossing;
    __atomic_store_n(&v->crossing[l->crossing], l->in_cc ? code - ENTRY_SIZE : code, __ATOMIC_RELAXED);
}

/* Another thread leaves the list alone: what it has forgotten leads to thunk_relink, and stays listed. */
static void crossing_forget(struct vcpu *v, const u8 *entry)
{
    for (unsigned c = 0; c < ARRAY_SIZE(v->ibtc); c++)
        for (u32 n = 0; n < v->priv->ibtc[c].crossing_count; n++) {
            const void *found = entry;
            __atomic_compare_exchange_n(&v->crossing[v->priv->ibtc[c].crossing[n]], &found, thunk_relink,
                                        false, __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST);
        }
}

static void crossings_flush(struct vcpu *v, enum mode_class c)
{
    for (u32 n = 0; n < v->priv->ibtc[c].crossing_count; n++)
        __atomic_store_n(&v->crossing[v->priv->ibtc[c].crossing[n]], thunk_link, __ATOMIC_RELAXED);
    v->priv->ibtc[c].crossing_count = 0;
}

static void entry_forget(struct vcpu *v, enum mode_class c, unsigned i, const u8 *code)
{
    u64 nothing = i == 0xfffe ? 1 : 2; /* matches no pc of this index, and is not empty: logged once */
    u64 found = __atomic_load_n(&v->ibtc[c].entry[i].npc, __ATOMIC_ACQUIRE);
    if (__atomic_load_n(&v->ibtc[c].entry[i].code, __ATOMIC_RELAXED) == (uintptr_t)code && found != empty(i))
        __atomic_compare_exchange_n(&v->ibtc[c].entry[i].npc, &found, nothing, false, __ATOMIC_SEQ_CST,
                                    __ATOMIC_SEQ_CST);
}

/* Of a movable block's address only the offset in the page is known. */
void ibtc_forget(struct vcpu *v, const struct block *b, const u8 *code)
{
    if (b->crossed) {
        crossing_forget(v, code);
        crossing_forget(v, code + ENTRY_SIZE);
    }
    unsigned step = b->mode & MODE_MOVABLE ? 4096 : TLB_ENTRIES;
    for (unsigned i = b->pc & (step - 1); i < TLB_ENTRIES; i += step)
        entry_forget(v, mode_class(b->mode), i, code);
}

void ibtc_flush(struct vcpu *v, enum mode_class c)
{
    for (u32 n = 0; n < v->priv->ibtc[c].count; n++) {
        unsigned i = v->priv->ibtc[c].index[n];
        v->ibtc[c].entry[i].npc = empty(i);
    }
    v->priv->ibtc[c].count = 0;
    crossings_flush(v, c);
}

void ibtc_flush_all(struct vcpu *v)
{
    for (unsigned c = 0; c < ARRAY_SIZE(v->ibtc); c++)
        ibtc_flush(v, (enum mode_class)c);
}

void ibtc_keep(struct vcpu *v, struct space *s)
{
    const u32 targets = v->priv->ibtc[CLASS_USER].count, crossings = v->priv->ibtc[CLASS_USER].crossing_count;
    s->targets = s->crossings = 0;
    s->mode = v->priv->ibtc[CLASS_USER].mode;
    s->generation = v->generation;
    engine_lock(v); /* nobody invalidates a block meanwhile */
    s->forgets = v->engine->forgets;
    for (u32 n = targets; n-- > 0 && s->targets < KEPT;) {
        u16 i = v->priv->ibtc[CLASS_USER].index[n];
        u64 pc = -v->ibtc[CLASS_USER].entry[i].npc;
        if ((pc & (TLB_ENTRIES - 1)) != i)
            continue;
        s->target[s->targets].pc = pc;
        s->target[s->targets++].code = v->ibtc[CLASS_USER].entry[i].code;
    }
    for (u32 n = crossings; n-- > 0 && s->crossings < KEPT;) {
        u32 i = v->priv->ibtc[CLASS_USER].crossing[n];
        if (v->crossing[i] == thunk_link || v->crossing[i] == thunk_relink)
            continue;
        s->crossing[s->crossings].number = i;
        s->crossing[s->crossings++].code = v->crossing[i];
    }
    engine_unlock(v);
}

bool ibtc_return(struct vcpu *v, const struct space *s)
{
    if (s->generation != v->generation ||
        atomic_load_explicit(&v->engine->forgets, memory_order_relaxed) != s->forgets)
        return false;
    engine_lock(v);
    bool holds = v->engine->forgets == s->forgets;
    v->priv->ibtc[CLASS_USER].mode = s->mode;
    for (u32 n = holds ? s->targets : 0; n-- > 0;)
        ibtc_insert(v, s->mode, s->target[n].pc, (const u8 *)s->target[n].code + ENTRY_SIZE);
    for (u32 n = holds ? s->crossings : 0; n-- > 0;) {
        u32 i = s->crossing[n].number;
        v->priv->ibtc[CLASS_USER].crossing[v->priv->ibtc[CLASS_USER].crossing_count++] = i;
        __atomic_store_n(&v->crossing[i], s->crossing[n].code, __ATOMIC_RELAXED);
    }
    engine_unlock(v);
    return holds;
}
