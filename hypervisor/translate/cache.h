/* cache.h - the code cache: blocks of translated code, the pages they come from, and the links between them
 */
/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A block is the translation of straight-line guest code from one page. It is found by (host page behind the
 * guest's physical page, guest pc, mode): an address-space switch, a memory-slot flip or a fork throws
 * nothing away.
 *
 * What makes it valid, and who checks:
 * - The pc maps to that host page: engine_next looks it up with the fetch TLB. Direct links join only blocks
 * of the same guest page, whose mapping is thus the same; all other jumps go through the branch-target cache
 * (ibtc.c), which is flushed when a mapping that was fetched through changes.
 * - The source bytes are as they were: a page with blocks has no write entry in any TLB, so a vcpu's store
 * takes the slow path, which invalidates the blocks whose bytes it touches. Writes by others (devices of the
 * embedding program) are found by comparing each page's bytes once per generation, at the first entry to the
 * page. A generation starts when KVM_RUN is entered and when the library is told of outside work
 * (engine_new_generation).
 */
#ifndef TRANSLATE_CACHE_H
#define TRANSLATE_CACHE_H

#include <pthread.h>

#include "hypervisor/cpu/insn.h"
#include "hypervisor/translate/stress.h"
#include "hypervisor/vm.h"

struct block;

/* A direct jump out of a block, patched to the target's code once that exists. */
struct link {
    u64 target; /* guest pc, in the block's own page and mode */
    u8 *site;   /* rel32 in the writable view */
    u8 *stub;   /* writable view: what the site jumps to while unlinked */
    struct block *from, *to;
    struct link *next_in; /* of to->links_in */
};

/* A sensitive instruction in a block. */
struct site {
    sensitive_fn *handler;
    struct insn in;
};

/* Where the guest's arithmetic flags are: see flags.c. */
enum flags_place { FLAGS_IN_HOST, FLAGS_IN_CC, FLAGS_LOST };

/* Guest instruction behind host code from host_offset on. */
struct pc_map {
    u32 host_offset;
    u16 guest_offset; /* from block.pc */
    u8 length;        /* of the guest instruction */
    u8 borrowed;      /* guest register kept in spill[3], or GPR_NONE */
    u8 flags;         /* enum flags_place */
    u8 producer;      /* FLAGS_LOST: which of the block's producers makes them again */
};

struct block {
    struct block *hash_next;
    u64 pc;
    u8 *host; /* of its first byte: page and offset */
    u32 mode;
    u16 length; /* guest bytes */
    bool valid;
    u8 *code; /* writable view */
    u32 code_size;
    u32 map_count;
    const struct pc_map *map; /* sorted by host_offset */
    const struct producer *producers;
    struct link *links;
    u8 link_count;
    struct link *links_in;
    u8 *source;                /* copy of the guest bytes */
    struct code_page *page[2]; /* the second only when its one instruction straddles pages */
    u8 *host2;                 /* that second host page */
    struct block *page_next[2];
};

/* A host page with guest code in it. */
struct code_page {
    struct code_page *hash_next;
    u8 *host;
    struct block *blocks; /* through page_next[0 or 1] */
    u64 verified;         /* generation in which the bytes were compared last */
};

enum {
    BLOCK_HASH = 1 << 17,
    PAGE_HASH = 1 << 13,
    CODE_SIZE = 128 << 20,
    META_SIZE = 160 << 20,
    MAX_BLOCKS = 1 << 20
};

struct engine {
    struct vm *vm;
    pthread_mutex_t lock;
    u8 *code_write, *code_exec; /* two views of one memory */
    u8 *meta;                   /* blocks and what belongs to them; within 2 GiB of code_exec */
    size_t code_used, meta_used;
    struct block *hash[BLOCK_HASH];
    struct code_page *pages[PAGE_HASH];
    struct block **by_code; /* in the order of their code */
    unsigned block_count;
    u8 *poll_page, *poll_guard; /* a readable page and the PROT_NONE one after it */
    u64 flushes;
    struct stress stress;
    bool has_bmi2;
    struct translator *translator;
    pthread_cond_t turn; /* run.c: a vcpu left guest code, or may enter it */
    u64 next_ticket, serving;
};

/* Memory for what belongs to blocks; NULL when full. Freed only by cache_flush. */
void *cache_alloc(struct engine *e, size_t n);

/* The valid block for pc in mode whose first byte is at host; host2: the host page behind the next guest
 * page, looked up only for blocks that straddle. */
struct block *cache_find(struct engine *e, u64 pc, u32 mode, const u8 *host);
/* Enters a new block. A page that had none is taken out of all write TLBs. */
void cache_insert(struct engine *e, struct block *b, u8 *host2);
struct block *cache_by_host_pc(struct engine *e, const u8 *exec_pc);
const struct pc_map *block_map(const struct block *b, const u8 *exec_pc, struct engine *e);

struct code_page *cache_page(struct engine *e, const u8 *host);
/* A store of n bytes at host, within one page that has code, is about to happen or has happened: drops blocks
 * made of these bytes. true if there were any. */
bool cache_store(struct engine *e, const u8 *host, size_t n);
bool cache_overlaps(struct engine *e, const u8 *host, size_t n, const struct block *b);
void cache_invalidate(struct engine *e, struct block *b);
/* Compares the page's blocks with memory and drops those that differ. */
void cache_verify(struct engine *e, struct code_page *p, u64 generation);
void cache_flush(struct engine *e);

void link_connect(struct engine *e, struct link *l, struct block *to);

static inline u8 *exec_view(const struct engine *e, const u8 *write)
{
    return e->code_exec + (write - e->code_write);
}

static inline u8 *write_view(const struct engine *e, const u8 *exec)
{
    return e->code_write + (exec - e->code_exec);
}

#endif
