/* cache.h - the code cache: blocks of translated code, the pages they come from, and the links between them
 */
/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A block is the translation of straight-line guest code from one page. It is found by (host page behind the
 * guest's physical page, guest pc, mode): an address-space switch, a memory-slot flip or a fork throws
 * nothing away.
 *
 * A movable block (MODE_MOVABLE: programs' 64-bit code) holds at any address: each process has its libraries,
 * and most have themselves, somewhere else. Its pc is an offset in its page, and so are all addresses that
 * its translation was made with; the page's own address is in vcpu.code_page. Whatever leads into another
 * page sets that: the indirect branch and the stub of a direct one in translated code, C code else. A direct
 * branch's way to another page (vcpu.crossing) holds for one address of the page that it is in; should one
 * address space have a page of code at two, the vcpu goes on without movable blocks (tlb_fetch).
 *
 * What makes it valid, and who checks:
 * - The pc maps to that host page: engine_next looks it up with the fetch TLB. Direct links join only blocks
 * of the same guest page, whose mapping is thus the same; all other jumps go through the branch-target cache
 * (ibtc.c), which is flushed when a mapping that was fetched through changes.
 * - The source bytes are as they were: a page with blocks has no write entry in any TLB, so a vcpu's store
 * takes the slow path, which invalidates the blocks whose bytes it touches. Writes by others (devices of the
 * embedding program) are found by comparing each page's bytes once per generation, at the first entry to the
 * page. A generation starts when KVM_RUN is entered and when the library is told of outside work
 * (engine_new_generation), unless it is told what is written (cache_written). A vcpu takes notice of it
 * whenever it passes through the run loop, as it does for each interrupt and exception, and when it fetches
 * from a page that its fetch TLB does not have. Nothing of this is needed for a page that is stored to again
 * and again, whose blocks check themselves (checked.c).
 *
 * Several vcpus (design: SMP). engine.lock covers all of struct engine and what hangs on it, but for what is
 * read without it:
 * - Translated code, and a block's code, map and producers: constant from cache_insert on, until cache_flush,
 * which needs all vcpus out of guest code (gate.h). by_code with block_count, and the chains of pages, grow
 * at one end by a store with release.
 * - link.site: four bytes that are stored at once, and lie within eight aligned ones (emit_align_site), so
 * that a processor which fetches them meanwhile sees the old jump or the new one (APM vol. 2 7.6.1, SDM
 * 3A 8.1.3).
 * - A vcpu's branch-target cache: its own thread writes to it, and ibtc_forget by compare-exchange.
 * A vcpu may run to the end a block that another invalidates. It does not enter it again: nothing leads to it
 * once cache_invalidate has returned, which is before the store's own vcpu goes on.
 *
 * A store announces itself after it is done (access.c): what is translated before that announcement is
 * dropped by it, what is translated after it saw the new bytes. The store's own vcpu leaves its block then,
 * as the next instruction may be a new one, if that store dropped blocks, or if one of the page's was dropped
 * by another vcpu since this one passed through C (code_page.dropped): it may be the very block.
 *
 * A page that gets its first block loses the write entries that vcpus have for it (tlb_protect). But one of
 * them may be between its look at the entry and its store, for however long the host suspends its thread. So
 * each protection starts an epoch, and a vcpu notes the present one when it begins a block from C. While some
 * vcpu that runs has not noted the page's epoch, the page is not settled: nothing jumps to its blocks
 * directly, each entry passes through find_block (execute.c), and is preceded by a comparison of the bytes.
 * That the note comes after the vcpu's earlier stores, and before its later looks, is the x86's order of
 * stores and of loads.
 */
#ifndef TRANSLATE_CACHE_H
#define TRANSLATE_CACHE_H

#include <pthread.h>

#include "hypervisor/cpu/insn.h"
#include "hypervisor/translate/large_pages.h"
#include "hypervisor/translate/mode.h"
#include "hypervisor/translate/producer.h"
#include "hypervisor/translate/stress.h"
#include "hypervisor/vm.h"

struct block;

enum {
    NO_CROSSING = -1,
    NO_BRANCH = 0xffff,
    ENTRY_SIZE = 16,
    HEADER_SIZE = 16,
    HOST_OFFSET_BITS = 17,
    GUEST_OFFSET_BITS = 10
};

/* A direct jump out of a block. Inside the page it is patched to the target's code once that exists. To
 * another page it goes through vcpu.crossing, as whether that page is the same the next time is a question of
 * the vcpu's paging (ibtc.h). */
struct link {
    u64 target;   /* guest pc, in the block's own mode and terms (block.pc) */
    u32 mode;     /* of the code there */
    s32 shift;    /* by which it moves vcpu.code_page */
    bool in_cc;   /* the branch is taken with the flags in vcpu.cc */
    u16 branch;   /* the instruction whose target it is, from block.pc; NO_BRANCH: it just comes next */
    s32 crossing; /* index of vcpu.crossing, or NO_CROSSING */
    u8 *site;     /* rel32 in the writable view */
    u8 *stub;     /* writable view: what the site jumps to while unlinked */
    struct block *from, *to;
    struct link *next_in; /* of to->links_in */
};

/* A sensitive instruction in a block. */
struct site {
    sensitive_fn *handler;
    bool movable; /* in.rip is an offset in the page */
    struct insn in;
};

/* The first access of a group, for when its check fails (group.c). */
struct group_head {
    const u8 *start; /* executable address of the check */
    u64 rip;         /* of the instruction */
    u8 *host;        /* its first byte */
    s64 low;         /* the group is at base + index * scale + low, */
    u32 size;        /* so many bytes; */
    u32 first;       /* this access is so many bytes after that */
    u8 base, index, scale, seg;
    u8 align_mask; /* bits of its address that must be clear */
    bool write, movable;
    enum tlb_context context;
    u8 flags; /* enum flags_place */
    struct producer producer;
    /* The rest of the block without groups, for any vcpu, as long as no block has been dropped since. */
    const u8 *_Atomic plain;
    _Atomic u64 plain_forgets;
};

/* Where the guest's arithmetic flags are: see flags.c. */
enum flags_place { FLAGS_IN_HOST, FLAGS_IN_CC, FLAGS_LOST };

/* Guest instruction behind host code from host_offset on. */
struct pc_map {
    u32 host_offset : HOST_OFFSET_BITS;
    u32 guest_offset : GUEST_OFFSET_BITS; /* from block.pc */
    u32 length : 4;                       /* of the guest instruction */
    u8 borrowed;                          /* guest register kept in spill[3], or GPR_NONE */
    u8 flags;                             /* enum flags_place */
    u8 producer;                          /* FLAGS_LOST: which of the block's producers makes them again */
};

struct block {
    struct block *hash_next;
    u64 pc;   /* MODE_MOVABLE: its offset in the page */
    u8 *host; /* of its first byte: page and offset */
    u32 mode;
    u16 length; /* guest bytes */
    bool valid;
    bool crossed; /* a vcpu.crossing may lead here */
    u8 *code; /* writable view, behind HEADER_SIZE bytes with the block's address: the entry with the flags in
                 vcpu.cc; with the host's: ENTRY_SIZE further */
    u32 code_size;
    u32 map_count;
    const struct pc_map *map; /* sorted by host_offset */
    const struct producer *producers;
    struct link *links;
    u8 link_count;
    struct link *links_in;
    u8 *source;    /* copy of the guest bytes */
    u64 *mask;     /* checked.c: which bytes must be so for the code to hold; NULL: all, and no check */
    u32 runs_left; /* checked.c: until somebody asks whether the page still changes */
    struct code_page *page[2]; /* the second only when its one instruction straddles pages */
    u8 *host2;                 /* that second host page */
    struct block *page_next[2];
};

/* A host page with guest code in it. */
struct code_page {
    struct code_page *hash_next;
    u8 *host;
    u64 dropped;          /* the epoch that began when one of its blocks was */
    struct block *blocks; /* through page_next[0 or 1] */
    u64 verified;         /* generation in which the bytes were compared last */
    u64 lines, sum;       /* which 64 bytes of it blocks are made of; of their contents: cache_verify */
    bool in_doubt;        /* sum was not taken while all blocks were as the page is */
    u64 epoch;            /* that began when it was protected */
    bool guarded;         /* no write entry is made for it: it has blocks, is direct, or was so just now */
    u32 strays, hits; /* stores since the last block was made: while there was none, and that dropped some */
    bool fresh;       /* it was; none of them has dropped one yet */
    bool checked;     /* its blocks check themselves, and it is never guarded: checked.c */
    u32 rewrites, beside; /* rounds of making and dropping blocks; stores beside code */
    u64 changed;          /* when the last of either came, by the TSC */
    bool settled;         /* all vcpus have noted that epoch */
    bool direct;          /* shadows may have it executable (direct/direct.h) */
    u32 looks;            /* at whether they have */
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
    u8 *meta_mapped;            /* where the mapping of both begins */
    struct block *hash[BLOCK_HASH];
    struct code_page *pages[PAGE_HASH];
    struct block **by_code; /* in the order of their code */
    unsigned block_count;
    s32 crossing_count;         /* given to links */
    u8 *poll_page, *poll_guard; /* a readable page and the PROT_NONE one after it */
    struct large_pages large;
    struct stress stress;
    bool has_bmi2;
    struct translator *translator;
    _Atomic u64 epoch;   /* counts protections */
    _Atomic u64 forgets; /* counts blocks that were dropped */
    /* A page of their own, which may be one of a file (api/stats_fd.c). */
    _Alignas(4096) size_t code_used;
    size_t meta_used;
    u64 flushes;
    u64 counters_end[512 - 3];
};

/* May be taken again by the vcpu that has it; vcpu_unwind gives it back. Under it no other lock is taken but
 * the TLBs' (tlb.c), and no gate is passed. */
static inline void engine_lock(struct vcpu *v)
{
    if (v->engine_locks++ == 0)
        pthread_mutex_lock(&v->engine->lock);
}

static inline void engine_unlock(struct vcpu *v)
{
    if (--v->engine_locks == 0)
        pthread_mutex_unlock(&v->engine->lock);
}

/* Memory for what belongs to blocks; NULL when full. Freed only by cache_flush. */
void *cache_alloc(struct engine *e, size_t n);

/* The valid block for pc in mode whose first byte is at host; host2: the host page behind the next guest
 * page, looked up only for blocks that straddle. */
struct block *cache_find(struct engine *e, u64 pc, u32 mode, const u8 *host);
/* Enters a new block. A page that had none is taken out of all write TLBs. */
void cache_insert(struct engine *e, struct block *b, u8 *host2);
struct block *cache_by_host_pc(struct engine *e, const u8 *exec_pc);
/* The same for a block_entry. */
struct block *cache_by_entry(const struct engine *e, const u8 *entry);
const struct pc_map *block_map(const struct block *b, const u8 *exec_pc, struct engine *e);

struct code_page *cache_page(struct engine *e, const u8 *host);
/* The same; made if there is none. NULL: no room. */
struct code_page *cache_page_make(struct engine *e, u8 *host);
/* Whether blocks are made of bytes of this page. Without the lock too: see tlb.c. */
bool cache_has_code(struct engine *e, const u8 *host);
/* A store of n bytes at host, within one page that has code, has happened: drops blocks made of these bytes.
 * true: v is to leave its own block, which may be one of them. */
bool cache_store(struct vcpu *v, const u8 *host, size_t n);
/* Whether v's stores to the page are announced so. Without the lock too: see tlb.c. */
bool cache_hears_stores(struct vcpu *v, const u8 *host);
/* The page is to be executable in a shadow, and so counts as code from now on. true: no vcpu can write to it
 * unseen any more. */
bool cache_make_direct(struct vcpu *v, u8 *host);
bool cache_is_direct(struct engine *e, const u8 *host);
/* Drops all blocks of the page, and ends its being executable in shadows: it is data now. */
void cache_forget_page(struct vcpu *v, const u8 *host);
/* The same with the lock, of a page that is not executable in one. */
void cache_let_go(struct engine *e, struct code_page *p);
bool cache_overlaps(struct engine *e, const u8 *host, size_t n, const struct block *b);
void cache_invalidate(struct engine *e, struct block *b);
/* Drops the page's blocks that differ from memory. They are looked at only where a sum over the page's lines
 * tells that something has changed: also a store next to code. */
void cache_verify(struct engine *e, struct code_page *p, u64 generation);
/* Somebody who is no vcpu has written there. Any thread, without the lock. */
void cache_written(struct engine *e, const u8 *host, size_t n);
/* Whether no vcpu has a store to the page in flight that it did not announce. */
bool cache_settle(struct vcpu *v, struct code_page *p);
bool block_unchanged(const struct block *b);
/* b does not hold: what leads to it finds another one the next time, or makes it. */
void cache_unlink(struct engine *e, struct block *b);
/* Empties the cache, and gives its memory back. */
void cache_flush(struct engine *e);

unsigned cache_hash(const u8 *host); /* of a block that begins there, in engine.hash */
/* checked.c, with the engine's lock. Brings b up to date with memory; false: it does not hold. */
bool checked_follow(struct block *b);
bool checked_recheck(struct engine *e, struct block *b);
/* Of a store to p: whether it is one whose blocks are to check themselves, from now on. */
bool checked_count(struct code_page *p, bool dropped);
/* Whether p is such a page; it is no longer if its bytes have not changed for a while. */
bool checked_still(struct engine *e, struct code_page *p, u64 now);
/* Makes room for another version of b. */
void checked_bound(struct engine *e, const struct block *b);

void link_connect(struct engine *e, struct link *l, struct block *to);

/* What the guest addresses in code that was made with mode count from. */
static inline u64 code_base(const struct vcpu *v, bool movable)
{
    return movable ? v->code_page : 0;
}

/* rip of the instruction at offset in b, which the vcpu runs. */
static inline u64 block_rip(const struct vcpu *v, const struct block *b, unsigned offset)
{
    u64 rip = code_base(v, b->mode & MODE_MOVABLE) + b->pc + offset;
    return (b->mode & MODE_BITS) == MODE_64 ? rip : (u32)rip;
}

/* A block's entry with the flags in the host's, as C enters it. */
static inline u8 *block_entry(const struct engine *e, const struct block *b)
{
    return e->code_exec + (b->code - e->code_write) + ENTRY_SIZE;
}

static inline u8 *exec_view(const struct engine *e, const u8 *write)
{
    return e->code_exec + (write - e->code_write);
}

static inline u8 *write_view(const struct engine *e, const u8 *exec)
{
    return e->code_write + (exec - e->code_exec);
}

#endif
