/* access.c - guest memory by linear address: RAM through the TLB, MMIO, operands in vcpu.bounce */
/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * MMIO that user space serves makes an instruction run several times: a read leaves KVM_RUN with the
 * instruction not yet done; entered again, the instruction starts from its beginning and finds the answers so
 * far in mmio_read[], in order. Writes are kept in mmio_write[] and handed out one by one after the
 * instruction is complete. guest_commit marks the completion (of an instruction, or of an element of a string
 * instruction).
 */
#include <string.h>

#include "hypervisor/api/io_bus.h"
#include "hypervisor/cpu/debug.h"
#include "hypervisor/cpu/vendor.h"
#include "hypervisor/cpu/xsave.h"
#include "hypervisor/irq/irq.h"
#include "hypervisor/translate/access.h"
#include "hypervisor/translate/cache.h"
#include "hypervisor/translate/elements.h"
#include "hypervisor/translate/execute.h"
#include "hypervisor/translate/tlb.h"
#include "hypervisor/translate/translate.h"
#include "hypervisor/translate/vcpu_engine.h"

/* ---- MMIO ---- */

void guest_commit(struct vcpu *v)
{
    v->mmio_reads = v->mmio_reads_used = 0;
}

void mmio_complete(struct vcpu *v)
{
    if (!v->mmio_read_pending)
        return;
    struct mmio_fragment *f = &v->mmio_read[v->mmio_reads++];
    memcpy(f->data, v->run->mmio.data, sizeof(f->data));
    v->mmio_reads_used = 0;
    v->mmio_read_pending = false;
}

bool mmio_next_write(struct vcpu *v)
{
    if (!v->mmio_writes)
        return false;
    const struct mmio_fragment *f = &v->mmio_write[v->mmio_writes_done++];
    v->run->exit_reason = KVM_EXIT_MMIO;
    v->run->mmio.phys_addr = f->gpa;
    v->run->mmio.len = f->len;
    v->run->mmio.is_write = 1;
    memcpy(v->run->mmio.data, f->data, sizeof(f->data));
    if (v->mmio_writes_done == v->mmio_writes)
        v->mmio_writes = v->mmio_writes_done = 0;
    return true;
}

_Noreturn static void mmio_overflow(struct vcpu *v)
{
    guest_commit(v);
    vcpu_exit_internal_error(v, KVM_INTERNAL_ERROR_EMULATION, NULL);
}

static void mmio_read_fragment(struct vcpu *v, gpa a, void *buf, u8 n)
{
    if (irqchip_mmio_read(v, a, n, buf))
        return;
    if (v->mmio_reads_used < v->mmio_reads) {
        const struct mmio_fragment *f = &v->mmio_read[v->mmio_reads_used];
        if (f->gpa == a && f->len == n) {
            v->mmio_reads_used++;
            memcpy(buf, f->data, n);
            return;
        }
        v->mmio_reads = v->mmio_reads_used; /* the instruction took another way this time */
    }
    if (v->mmio_reads == MMIO_FRAGMENTS)
        mmio_overflow(v);
    v->mmio_read[v->mmio_reads].gpa = a;
    v->mmio_read[v->mmio_reads].len = n;
    v->mmio_read_pending = true;
    v->run->mmio.phys_addr = a;
    v->run->mmio.len = n;
    v->run->mmio.is_write = 0;
    vcpu_exit(v, KVM_EXIT_MMIO);
}

static void mmio_write_fragment(struct vcpu *v, gpa a, const void *buf, u8 n)
{
    if (irqchip_mmio_write(v, a, n, buf) || io_bus_write(v, BUS_MMIO, a, n, buf))
        return;
    if (v->mmio_writes == MMIO_FRAGMENTS)
        mmio_overflow(v);
    struct mmio_fragment *f = &v->mmio_write[v->mmio_writes++];
    f->gpa = a;
    f->len = n;
    memcpy(f->data, buf, n);
}

/* KVM_EXIT_MMIO carries at most 8 bytes. */
static void mmio_read(struct vcpu *v, gpa a, u8 *buf, size_t n)
{
    for (size_t done = 0; done < n; done += 8)
        mmio_read_fragment(v, a + done, buf + done, (u8)min(n - done, (size_t)8));
}

static void mmio_write(struct vcpu *v, gpa a, const u8 *buf, size_t n)
{
    for (size_t done = 0; done < n; done += 8)
        mmio_write_fragment(v, a + done, buf + done, (u8)min(n - done, (size_t)8));
}

/* ---- pieces of one page ---- */

/* Each byte once, and what may be aligned in one move: other vcpus look on (SDM 3A 8.1.1). */
static void copy_once(void *to, const void *from, size_t n)
{
    typedef u64 any64 __attribute__((may_alias, aligned(1)));
    typedef u32 any32 __attribute__((may_alias, aligned(1)));
    typedef u16 any16 __attribute__((may_alias, aligned(1)));
    volatile u8 *d = to;
    const volatile u8 *s = from;
    for (; n >= 8; n -= 8, d += 8, s += 8)
        *(volatile any64 *)d = *(const volatile any64 *)s;
    if (n & 4) {
        *(volatile any32 *)d = *(const volatile any32 *)s;
        d += 4;
        s += 4;
    }
    if (n & 2) {
        *(volatile any16 *)d = *(const volatile any16 *)s;
        d += 2;
        s += 2;
    }
    if (n & 1)
        *d = *s;
}

static gva wrap(const struct vcpu *v, gva a)
{
    return in_long_mode(v) ? a : (u32)a;
}

static void check_canonical(struct vcpu *v, gva a, u8 seg)
{
    if (likely(is_canonical(a)) || !in_64bit(v))
        return;
    raise_exception_code(v, seg == SEG_SS ? EXC_SS : EXC_GP, 0);
}

static void translate_or_fault(struct vcpu *v, gva a, bool write, enum tlb_context c, struct tlb_target *t)
{
    tlb_translate(v, a, write, c, t);
    if (t->status == TLB_FAULT)
        raise_page_fault(v, a, t->error_code);
}

/* The page has no TLB entry, perhaps for a data breakpoint. */
static void watch(struct vcpu *v, gva a, size_t n, bool write)
{
    if (unlikely(v->debug.write))
        debug_data_access(v, a, n, write);
}

static void read_piece(struct vcpu *v, gva a, u8 *buf, size_t n, enum tlb_context c)
{
    struct tlb_target t;
    const u8 *host = tlb_probe(v, a, n, false, c);
    if (!host) {
        translate_or_fault(v, a, false, c, &t);
        watch(v, a, n, false);
        if (t.status == TLB_DEVICE) {
            mmio_read(v, t.gpa, buf, n);
            return;
        }
        host = t.host;
    }
    copy_once(buf, host, n);
}

/* Announces a store that is done, to a page with translations. */
static void announce_store(struct vcpu *v, const u8 *host, size_t n)
{
    engine_lock(v);
    if (cache_store(v, host, n)) {
        v->code_changed = true;
        v->stat_invalidations++;
    }
    engine_unlock(v);
}

/* The same for one that is done by others than copy_once, at the host address: until it is announced, nothing
 * is translated. vcpu_unwind gives up what was begun. */
static void begin_store(struct vcpu *v, u8 *host, size_t n)
{
    engine_lock(v);
    v->priv->store.host = host;
    v->priv->store.size = n;
}

/* false: none was begun. */
static bool end_store(struct vcpu *v)
{
    u8 *host = v->priv->store.host;
    if (!host)
        return false;
    v->priv->store.host = NULL;
    announce_store(v, host, v->priv->store.size);
    engine_unlock(v);
    return true;
}

static void write_piece(struct vcpu *v, gva a, const u8 *buf, size_t n, enum tlb_context c)
{
    struct tlb_target t;
    u8 *host = tlb_probe(v, a, n, true, c);
    if (!host) {
        translate_or_fault(v, a, true, c, &t);
        watch(v, a, n, true);
        if (t.status == TLB_DEVICE) {
            mmio_write(v, t.gpa, buf, n);
            return;
        }
        copy_once(t.host, buf, n);
        if (t.code)
            announce_store(v, t.host, n);
        return;
    }
    copy_once(host, buf, n);
}

static size_t piece(gva a, size_t n)
{
    return min(n, (size_t)(4096 - (a & 4095)));
}

static void probe(struct vcpu *v, gva a, size_t n, bool write, enum tlb_context c)
{
    struct tlb_target t;
    for (size_t done = 0, k; done < n; done += k) {
        gva at = wrap(v, a + done);
        k = piece(at, n - done);
        if (!tlb_probe(v, at, k, write, c))
            translate_or_fault(v, at, write, c, &t);
    }
}

static void read_bytes(struct vcpu *v, gva a, u8 *buf, size_t n, enum tlb_context c)
{
    for (size_t done = 0, k; done < n; done += k) {
        gva at = wrap(v, a + done);
        k = piece(at, n - done);
        read_piece(v, at, buf + done, k, c);
    }
}

static void write_bytes(struct vcpu *v, gva a, const u8 *buf, size_t n, enum tlb_context c)
{
    if ((a & 4095) + n > 4096)
        probe(v, a, n, true, c); /* all or nothing */
    for (size_t done = 0, k; done < n; done += k) {
        gva at = wrap(v, a + done);
        k = piece(at, n - done);
        write_piece(v, at, buf + done, k, c);
    }
}

/* ---- for handlers ---- */

void guest_read(struct vcpu *v, gva a, void *buf, size_t n, enum access_as as)
{
    read_bytes(v, a, buf, n, tlb_context_of(v, as));
}

void guest_write(struct vcpu *v, gva a, const void *buf, size_t n, enum access_as as)
{
    write_bytes(v, a, buf, n, tlb_context_of(v, as));
}

void guest_probe_write(struct vcpu *v, gva a, size_t n, enum access_as as)
{
    probe(v, a, n, true, tlb_context_of(v, as));
}

void guest_probe_read(struct vcpu *v, gva a, size_t n, enum access_as as)
{
    probe(v, a, n, false, tlb_context_of(v, as));
}

u64 guest_load(struct vcpu *v, gva a, unsigned size, enum access_as as)
{
    u64 value = 0;
    if (as == AS_CPL)
        require_alignment(v, a, size);
    const u64 *host = (const u64 *)tlb_probe(v, a, sizeof(u64), false, tlb_context_of(v, as));
    if (likely(host) && size == sizeof(u64) && !(a & 7))
        return *(const volatile u64 *)host;
    guest_read(v, a, &value, size, as);
    return value;
}

void guest_store(struct vcpu *v, gva a, unsigned size, u64 value, enum access_as as)
{
    if (as == AS_CPL)
        require_alignment(v, a, size);
    guest_write(v, a, &value, size, as);
}

void *guest_rmw_address(struct vcpu *v, gva a, unsigned size, enum access_as as)
{
    struct tlb_target t;
    enum tlb_context c = tlb_context_of(v, as);
    u8 *host = tlb_probe(v, a, size, true, c);
    v->priv->store.host = NULL;
    if (host)
        return host;
    translate_or_fault(v, a, true, c, &t);
    if (t.status == TLB_DEVICE)
        return NULL;
    watch(v, a, size, true);
    if (t.code)
        begin_store(v, t.host, size);
    return t.host;
}

void guest_rmw_done(struct vcpu *v)
{
    end_store(v);
}

const void *guest_read_address(struct vcpu *v, gva a, unsigned size, enum access_as as)
{
    struct tlb_target t;
    enum tlb_context c = tlb_context_of(v, as);
    const u8 *host = tlb_probe(v, a, size, false, c);
    if (host)
        return host;
    translate_or_fault(v, a, false, c, &t);
    if (t.status == TLB_DEVICE)
        return NULL;
    watch(v, a, size, false);
    return t.host;
}

/* ---- for translated code (operand.c) ---- */

void engine_sync_rip(struct vcpu *v, bool next)
{
    const u8 *pc = (const u8 *)v->exit_host_pc - 1; /* inside the call that led here */
    const struct block *b = cache_by_host_pc(v->engine, pc);
    ASSERT(b);
    const struct pc_map *m = block_map(b, pc, v->engine);
    if (m->flags == FLAGS_LOST)
        v->cc = producer_flags(&b->producers[m->producer], v->gpr);
    v->rip = block_rip(v, b, m->guest_offset + (next ? m->length : 0u));
}

struct address_result {
    u8 *host;
    u64 in_bounce;
};

/* The operand's elements as they are now, in bounce at the same alignment; or only their rights are checked.
 */
static struct address_result bounce(struct vcpu *v, gva a, u32 descriptor, enum tlb_context c)
{
    size_t n = descriptor & ACCESS_SIZE;
    u8 *data = v->bounce + (n <= 64 ? a & 63 : 0);
    struct elements e = elements_of(descriptor);
    engine_sync_rip(v, false);
    for (size_t i = 0, at = 0; i < 64 && e.checked >> i; i++, at += e.size) {
        if ((e.checked >> i & 1) && (descriptor & ACCESS_STORES))
            probe(v, wrap(v, a + at), e.size, true, c);
        if ((e.accessed >> i & 1) && (descriptor & ACCESS_LOADS))
            read_bytes(v, wrap(v, a + at), data + at, e.size, c);
    }
    v->priv->slow.gva = a;
    v->priv->slow.data = data;
    v->priv->store.host = NULL;
    return (struct address_result){data, 1};
}

static void write_back(struct vcpu *v, u32 descriptor, enum tlb_context c)
{
    struct elements e = elements_of(descriptor);
    for (size_t i = 0, at = 0; i < 64 && e.accessed >> i; i++, at += e.size)
        if (e.accessed >> i & 1)
            write_bytes(v, wrap(v, v->priv->slow.gva + at), v->priv->slow.data + at, e.size, c);
}

/* A store into a page with translations. The instruction runs on the operand itself, so that it is as atomic
 * as it asks to be, but is followed by a commit, as with bounce. */
static struct address_result code_page_store(struct vcpu *v, u32 descriptor, const struct tlb_target *t)
{
    begin_store(v, t->host, descriptor & ACCESS_SIZE);
    return (struct address_result){t->host, 1};
}

/* An operand through bounce is not atomic: what may have to be so runs while the other vcpus stand still. */
static void be_exclusive(struct vcpu *v, u32 descriptor)
{
    const u32 both = ACCESS_LOADS | ACCESS_STORES;
    if ((descriptor & both) != both || v->exclusive || v->vm->vcpu_count == 1)
        return;
    engine_sync_rip(v, false);
    v->exclusive = true;
    vcpu_unwind(v);
}

/* A data breakpoint traps behind the instruction, so that must end its block: it starts again, in MODE_STEP.
 */
_Noreturn static void execute_alone(struct vcpu *v)
{
    engine_sync_rip(v, false);
    v->debug.step_once = true;
    vcpu_unwind(v);
}

/* What the instruction checks before it looks at memory. A hit needs nothing of this: the host's CPU does it.
 */
static void check_operand(struct vcpu *v, gva a, u32 descriptor)
{
    enum { MXCSR_MM = BIT(17) /* misaligned operands are allowed (APM vol. 1 4.2.2) */ };
    if (descriptor & ACCESS_WAITS && fpu_error_pending()) {
        engine_sync_rip(v, false);
        raise_exception(v, EXC_MF);
    }
    if (descriptor & ACCESS_ALIGNED && a & ((descriptor & ACCESS_SIZE) - 1) && !(fpu_mxcsr() & MXCSR_MM)) {
        engine_sync_rip(v, false);
        raise_exception_code(v, EXC_GP, 0);
    }
}

/* Some address of the operand is not canonical: #GP or #SS. */
static void refuse_operand(struct vcpu *v, gva first, size_t n, u32 descriptor)
{
    u8 seg = (u8)(descriptor >> ACCESS_SEGMENT_SHIFT & 7);
    engine_sync_rip(v, false);
    check_canonical(v, first, seg);
    check_canonical(v, first + n - 1, seg);
}

/* Of n bytes from first on. */
static void check_access(struct vcpu *v, gva first, size_t n, u32 descriptor)
{
    if (unlikely(!is_canonical(first) || !is_canonical(first + n - 1)))
        refuse_operand(v, first, n, descriptor);
    if (unlikely(v->debug.write) && !(v->mode & MODE_STEP) && debug_watches(v, first, n))
        execute_alone(v);
}

/* Of operands larger than 16 bytes no more is asked. */
static bool is_misaligned(gva a, size_t size)
{
    if (size >= 16 && !vectors_are_aligned())
        return false;
    size_t alignment = size == 10 ? 8 : min(size, (size_t)16);
    return a & (alignment - 1) && !(alignment & (alignment - 1));
}

/* SDM 3A 6.15, interrupt 17. Every access of code with alignment checks comes here. Where an opmask selects
 * elements of the operand, each may be for itself; where it selects those of the result only, the operand is
 * one. */
static void check_alignment(struct vcpu *v, gva a, u32 descriptor, enum tlb_context c,
                            const struct elements *e)
{
    bool by_element = descriptor >> ACCESS_MASKING_SHIFT & 3 && vectors_are_aligned();
    if (likely(c != TLB_USER_ALIGNED) || descriptor & ACCESS_UNALIGNED ||
        !is_misaligned(a, by_element ? e->size : descriptor & ACCESS_SIZE))
        return;
    engine_sync_rip(v, false);
    raise_exception_code(v, EXC_AC, 0);
}

/* A client that asked to hear of what KVM cannot emulate (KVM_CAP_EXIT_ON_EMULATION_FAILURE) has an emulator
 * of its own for x87 instructions on devices, and may rely on being asked. */
static void leave_x87_to_client(struct vcpu *v)
{
    struct insn in = {0};
    engine_sync_rip(v, false);
    gva pc = in_64bit(v) ? v->rip : (u32)(v->seg_base[SEG_CS] + v->rip);
    in.length = (u8)piece(pc, sizeof(in.bytes));
    read_bytes(v, pc, in.bytes, in.length, tlb_context_of(v, AS_SYSTEM));
    guest_commit(v);
    vcpu_exit_internal_error(v, KVM_INTERNAL_ERROR_EMULATION, &in);
}

/* ---- stores by x87 and MMX, which begin otherwise on each vendor's processors (vendor.h) ---- */

static bool is_x87_store(u32 descriptor)
{
    const u32 x87 = ACCESS_WAITS | ACCESS_LOADS | ACCESS_STORES;
    return (descriptor & x87) == x87;
}

static bool is_mmx_store(u32 descriptor)
{
    const u32 mmx = ACCESS_WAITS | ACCESS_STORES;
    return (descriptor & (mmx | ACCESS_LOADS)) == mmx;
}

static bool stores_in_pieces(gva a, size_t n)
{
    return n == 10 && (a & 4095) + n > 4096 && x87_stores_ten_bytes_in_pieces();
}

static bool must_try_store(gva a, size_t n)
{
    return stores_in_pieces(a, n) || (x87_stores_raise_before_access() && fpu_store_may_fail());
}

/* The state before the instruction and after it, in vcpu.xsave_buffer. */
enum { BEFORE = 0, AFTER = 512 };

/* The store may raise an exception instead, which then comes before all faults of the operand: it runs on
 * bounce first, and finish_try sees what has come of it. */
static struct address_result try_store(struct vcpu *v, gva a)
{
    fpu_fxsave(v->xsave_buffer + BEFORE);
    v->priv->slow.gva = a;
    v->priv->slow.data = v->bounce;
    v->priv->slow.tried = true;
    v->priv->slow.last = v->x87;
    v->priv->store.host = NULL;
    return (struct address_result){v->bounce, 1};
}

/* The eight lower bytes of ten are stored also where the others fault. */
static void store_lower_piece(struct vcpu *v, gva a, enum tlb_context c)
{
    enum { LOWER = 8, SIZE = 10 };
    struct tlb_target t;
    probe(v, a, LOWER, true, c);
    for (gva at = wrap(v, a + LOWER), left = SIZE - LOWER, k; left; at = wrap(v, at + k), left -= k) {
        k = piece(at, left);
        if (tlb_probe(v, at, k, true, c))
            continue;
        tlb_translate(v, at, true, c, &t);
        if (t.status == TLB_FAULT) {
            write_bytes(v, a, v->priv->slow.data, LOWER, c);
            raise_page_fault(v, at, t.error_code);
        }
    }
}

/* The operand's own faults, for which the state must be as it was. false: there is nothing to store. */
static bool finish_try(struct vcpu *v, u32 descriptor, enum tlb_context c)
{
    gva a = v->priv->slow.gva;
    size_t n = descriptor & ACCESS_SIZE;
    const struct elements whole = elements_of(descriptor);
    struct tlb_target t;
    v->priv->slow.tried = false;
    if (fpu_store_failed())
        return false;
    const struct x87_last last = v->x87;
    fpu_fxsave(v->xsave_buffer + AFTER);
    fpu_fxrstor(v->xsave_buffer + BEFORE);
    v->x87 = v->priv->slow.last;
    if (!(descriptor & ACCESS_FLAGS_IN_CC))
        v->cc = v->cc_host;
    check_access(v, a, n, descriptor);
    check_alignment(v, a, descriptor, c, &whole);
    engine_sync_rip(v, false);
    if (stores_in_pieces(a, n))
        store_lower_piece(v, a, c);
    probe(v, a, n, true, c);
    tlb_translate(v, a, true, c, &t);
    if (unlikely(v->vm->exit_on_emulation_failure) && t.status == TLB_DEVICE)
        leave_x87_to_client(v);
    fpu_fxrstor(v->xsave_buffer + AFTER);
    v->x87 = last;
    return true;
}

/* thunk_miss */
struct address_result access_miss(struct vcpu *v, gva a, u32 descriptor)
{
    enum tlb_context c = (enum tlb_context)(descriptor >> ACCESS_CONTEXT_SHIFT & 3);
    bool write = descriptor & ACCESS_STORES;
    size_t n = descriptor & ACCESS_SIZE;
    struct elements e = elements_of(descriptor);
    struct tlb_target t;
    v->priv->slow.tried = false;
    if (!e.checked)
        return bounce(v, a, descriptor, c);
    if (unlikely(descriptor & (ACCESS_ALIGNED | ACCESS_WAITS)))
        check_operand(v, a, descriptor);
    if (unlikely(is_mmx_store(descriptor)) && mmx_stores_clear_top_first())
        fpu_clear_top();
    if (unlikely(is_x87_store(descriptor)) && must_try_store(a, n))
        return try_store(v, a);
    unsigned first = elements_first(e.checked, e.size);
    check_access(v, a + first, elements_last(e.checked, e.size) - first + 1, descriptor);
    check_alignment(v, a, descriptor, c, &e);
    if ((a & 4095) + n > 4096) {
        be_exclusive(v, descriptor);
        return bounce(v, a, descriptor, c);
    }
    tlb_translate(v, a, write, c, &t);
    if (t.status == TLB_FAULT) {
        engine_sync_rip(v, false);
        raise_page_fault(v, a + first, t.error_code);
    }
    if (t.status == TLB_DEVICE) {
        if (unlikely(v->vm->exit_on_emulation_failure) && descriptor & ACCESS_X87)
            leave_x87_to_client(v);
        return bounce(v, a, descriptor, c);
    }
    if (stress_now(&v->engine->stress, STRESS_SLOW, 2)) {
        be_exclusive(v, descriptor);
        return bounce(v, a, descriptor, c);
    }
    watch(v, a, n, write);
    if (write && t.code)
        return code_page_store(v, descriptor, &t);
    return (struct address_result){t.host, 0};
}

/* thunk_commit: the instruction has used the operand in bounce. */
void access_commit(struct vcpu *v, u32 descriptor)
{
    enum tlb_context c = (enum tlb_context)(descriptor >> ACCESS_CONTEXT_SHIFT & 3);
    bool stores = descriptor & ACCESS_STORES;
    if (unlikely(v->priv->slow.tried))
        stores = finish_try(v, descriptor, c);
    if (!end_store(v) && stores)
        write_back(v, descriptor, c);
    if (descriptor & ACCESS_GOES_ON) {
        if (v->mmio_writes)
            vcpu_kick(v, REQ_EVENT); /* handed out at the next poll */
        return;
    }
    guest_commit(v);
    bool kicked = descriptor & ACCESS_STORES && v->requests; /* an IPI to itself comes at once */
    if (!v->mmio_writes && !v->code_changed && !kicked)
        return; /* a load may have to go on: it may be of where to jump */
    if (!(descriptor & ACCESS_FLAGS_IN_CC))
        v->cc = v->cc_host;
    engine_sync_rip(v, true);
    if (v->mode & MODE_STEP)
        engine_step_done(v);
    vcpu_unwind(v);
}

/* thunk_segment: an offset in a segment that is not flat. */
gva access_segment(struct vcpu *v, u64 offset, u32 descriptor)
{
    engine_sync_rip(v, false);
    enum seg s = (enum seg)(descriptor >> ACCESS_SEGMENT_SHIFT & 7);
    struct elements e = elements_of(descriptor);
    if (!e.checked)
        return (u32)(v->seg[s].base + offset);
    unsigned first = elements_first(e.checked, e.size), size = elements_last(e.checked, e.size) - first + 1;
    return (u32)(segment_linear(v, s, offset + first, size, descriptor & ACCESS_STORES) - first);
}
