/* vcpu.h - the state of one virtual CPU (SDM 3A ch. 2; APM vol. 2 ch. 3) */
/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Where the guest's state is:
 * - While translated code runs, rax..r11 (but rsp) are in the host's registers of the same name, rsp in r15,
 * and r12..r15 in gpr[]; arithmetic flags are the host's; x87, SSE, AVX and AVX-512 state is the host's.
 * - While C code of this library runs on behalf of the guest (a helper called from translated code, or the
 * run loop), all general registers are in gpr[] and the arithmetic flags in cc, but the vector state STAYS
 * LIVE in the CPU. So all of this library is compiled -mgeneral-regs-only, and such code calls no libc
 * function that may use vector registers: none of stdio, malloc, str*; memcpy and the like resolve to mem.c's
 * own. System calls, pthread mutexes and atomics are fine. What needs more (translation, user space) calls
 * fpu_put first.
 * - Outside KVM_RUN, and after fpu_put, the vector state is in fpu.
 */
#ifndef CPU_VCPU_H
#define CPU_VCPU_H

#include <pthread.h>
#include <stdatomic.h>
#include <linux/kvm.h>

#include "base/base.h"
#include "hypervisor/cpu/insn.h"

typedef u64 gva; /* linear address */
typedef u64 gpa; /* guest-physical address */

/* Control, EFER and flag bits by the manual's names. */
enum {
    CR0_PE = BIT(0),
    CR0_MP = BIT(1),
    CR0_EM = BIT(2),
    CR0_TS = BIT(3),
    CR0_ET = BIT(4),
    CR0_NE = BIT(5),
    CR0_WP = BIT(16),
    CR0_AM = BIT(18),
    CR0_NW = BIT(29),
    CR0_CD = BIT(30)
};
#define CR0_PG BIT(31)
enum {
    CR4_VME = BIT(0),
    CR4_PVI = BIT(1),
    CR4_TSD = BIT(2),
    CR4_DE = BIT(3),
    CR4_PSE = BIT(4),
    CR4_PAE = BIT(5),
    CR4_MCE = BIT(6),
    CR4_PGE = BIT(7),
    CR4_PCE = BIT(8),
    CR4_OSFXSR = BIT(9),
    CR4_OSXMMEXCPT = BIT(10),
    CR4_UMIP = BIT(11),
    CR4_LA57 = BIT(12),
    CR4_FSGSBASE = BIT(16),
    CR4_PCIDE = BIT(17),
    CR4_OSXSAVE = BIT(18),
    CR4_SMEP = BIT(20),
    CR4_SMAP = BIT(21),
    CR4_PKE = BIT(22)
};
enum {
    EFER_SCE = BIT(0),
    EFER_LME = BIT(8),
    EFER_LMA = BIT(10),
    EFER_NXE = BIT(11),
    EFER_SVME = BIT(12),
    EFER_FFXSR = BIT(14)
};
enum {
    FLAG_CF = BIT(0),
    FLAG_FIXED = BIT(1),
    FLAG_PF = BIT(2),
    FLAG_AF = BIT(4),
    FLAG_ZF = BIT(6),
    FLAG_SF = BIT(7),
    FLAG_TF = BIT(8),
    FLAG_IF = BIT(9),
    FLAG_DF = BIT(10),
    FLAG_OF = BIT(11),
    FLAG_IOPL = 3u << 12,
    FLAG_NT = BIT(14),
    FLAG_RF = BIT(16),
    FLAG_VM = BIT(17),
    FLAG_AC = BIT(18),
    FLAG_VIF = BIT(19),
    FLAG_VIP = BIT(20),
    FLAG_ID = BIT(21)
};
#define FLAGS_ARITH (FLAG_CF | FLAG_PF | FLAG_AF | FLAG_ZF | FLAG_SF | FLAG_OF)

/* Vectors (SDM 3A table 6-1). */
enum {
    EXC_DE,
    EXC_DB,
    EXC_NMI,
    EXC_BP,
    EXC_OF,
    EXC_BR,
    EXC_UD,
    EXC_NM,
    EXC_DF,
    EXC_TS = 10,
    EXC_NP,
    EXC_SS,
    EXC_GP,
    EXC_PF,
    EXC_MF = 16,
    EXC_AC,
    EXC_MC,
    EXC_XM
};
enum { PF_P = 1, PF_W = 2, PF_U = 4, PF_RSVD = 8, PF_I = 16, PF_PK = 32 }; /* page-fault error code */

/* A segment register with its hidden part. limit is in bytes, inclusive, granularity applied. attributes as
 * in a descriptor's bits 40..55: type 3:0, S 4, DPL 6:5, P 7, AVL 12, L 13, D/B 14, G 15 (and "unusable" is P
 * == 0). */
struct segment {
    u16 selector;
    u16 attributes;
    u32 limit;
    u64 base;
};
enum {
    SEG_TYPE = 15,
    SEG_S = BIT(4),
    SEG_DPL_SHIFT = 5,
    SEG_DPL = 3 << 5,
    SEG_P = BIT(7),
    SEG_AVL = BIT(12),
    SEG_L = BIT(13),
    SEG_DB = BIT(14),
    SEG_G = BIT(15)
};

struct table_register { /* gdtr, idtr */
    u64 base;
    u16 limit;
};

/* Reasons why a vcpu must leave translated code: bits of vcpu.requests. Set through vcpu_kick. */
enum {
    REQ_EVENT = BIT(0),     /* an interrupt, NMI, SMI, INIT or SIPI may be deliverable: look again */
    REQ_TLB_FLUSH = BIT(1), /* flush all of the software TLB */
    REQ_STOP =
        BIT(2), /* another vcpu, or vm_stop_vcpus, waits for this one to leave guest code for a while */
    REQ_CLOCK = BIT(4), /* the VM's clock pages are to be written before guest code goes on */
    REQ_LOOK = BIT(3),  /* pass through the run loop: what it looks at each time has changed */
};

/* Data of MMIO and port reads that user space has answered for the instruction at rip, which is executed
 * again from its start and finds them here in the same order; and MMIO writes still to be handed out. */
struct mmio_fragment {
    gpa gpa;
    u8 len;
    u8 data[8];
};
enum { MMIO_FRAGMENTS = 80 };

struct pio_pending { /* a KVM_EXIT_IO that the next KVM_RUN completes */
    bool active, in, string, rep;
    u8 size, addrsize, seg; /* seg: the source of OUTS */
    u32 count;
    u64 rip, next_rip; /* of the instruction, and of the following one */
};

struct msr_pending { /* a KVM_EXIT_X86_RDMSR or WRMSR that the next KVM_RUN completes */
    bool active, write;
    u64 rip, next_rip; /* of the instruction, and of the following one */
};

struct dirty_ring {            /* api/dirty_ring.h */
    struct kvm_dirty_gfn *gfn; /* shared with user space; NULL: there is none */
    u32 entries;
    _Atomic u32 pushed, reset; /* how many ever were */
    pthread_mutex_t lock;
};

/* One TLB (see translate/tlb.h). What a probe needs of an entry lies in one line of the host's cache. */
enum { TLB_ENTRIES = 65536 };
struct tlb_entry {
    u64 ntag_read; /* -(gva of the page) where reads may go the fast way */
    u64 ntag_write;
    u64 host; /* of the page in host memory */
    u64 unused;
};
struct tlb {
    struct tlb_entry entry[TLB_ENTRIES];
};
enum { GROUP_SLOTS = 16, CROSSINGS = 131072 };
enum { X87_OPCODE = 0x7ff };
#define X87_CURRENT (1u << 31)
#define X87_QUIET   (1u << 16)
enum tlb_context { TLB_KERNEL, TLB_KERNEL_AC, TLB_USER, TLB_USER_ALIGNED, TLB_CONTEXTS };
/* KERNEL: CPL 0..2 with SMAP in force; KERNEL_AC: without (EFLAGS.AC, or CR4.SMAP clear); USER: CPL 3.
 * USER_ALIGNED: with alignment checks; it has no entries, so that access.c sees each access. */

enum { XSAVE_COMPONENTS = 8 }; /* of user state, from x87 to Hi16_ZMM (SDM 1 13.1) */

struct lapic;
struct vm;
struct memory;
struct block;
struct vcpu_engine;
struct direct;

/* Why KVM_RUN returned, as far as that is counted. */
enum stat_exit {
    STAT_OTHER,
    STAT_IO,
    STAT_MMIO,
    STAT_HALT,
    STAT_SIGNAL,
    STAT_DEBUG,
    STAT_SHUTDOWN,
    STAT_IRQ_WINDOW,
    STAT_EXITS
};

struct vcpu {
    /* -- addressed by translated code, most of it within 128 bytes of VCPU_BASE (translate/engine.h) -- */
    u64 gpr[16];
    u64 rip;
    u32 cc; /* arithmetic flags as LAHF and SETO give them: AH in 15:8, OF in bit 0 */
    u32 pad0;
    u64 spill[4];      /* of translated code, dead between instructions */
    u64 *_Atomic poll; /* translated code reads poll[first 8 bytes of kvm_run]: faults when it must stop */
    u64 seg_base[6];   /* copies of seg[].base */
    u64 host_rsp;      /* of the frame that translated code runs on */
    u64 code_page;     /* linear address of the page that the running code lies in (MODE_MOVABLE) */
    u64 exit_host_pc;
    u64 next_rip;
    struct engine *engine; /* of the VM */
    const void *thunk[16]; /* translate/thunks.h */
    u32 cc_host;           /* arithmetic flags at thunk_commit, in cc's form */
    u32 pad1;
    u64 group[GROUP_SLOTS]; /* of translated code: host addresses of a block's groups (translate/group.c) */
    struct x87_last { /* of the last x87 instruction (x87.h): translated code writes ip, dp, op and segment */
        u64 ip, dp;   /* offsets of the instruction and of its operand */
        u32 op;       /* opcode; X87_CURRENT: its code segment is seg[SEG_CS]; X87_QUIET: it raised nothing */
        u32 segment;  /* X87_CURRENT: the operand's is this one */
        u16 cs, ds;   /* their selectors, where they are not the current ones */
        u32 rules;    /* what of it is shown, by the guest's CPUID: x87.h */
        u32 address_bits; /* of ip and dp, that loading keeps: as many as the host's linear addresses have */
        struct {          /* of the last one before it that raised an unmasked exception */
            u64 dp;
            u16 op, ds;
        } raised;
    } x87;
    _Alignas(64) u8 bounce[192]; /* operand of a slow access: MMIO, page-crossing, protected */

    /* -- architectural state (base-register copies above follow through vcpu_set_segment) -- */
    u64 rflags;   /* all bits but FLAGS_ARITH, which are in cc; bit 1 set */
    u32 compared; /* strings.c: flags of the last comparison, in cc's form */
    struct segment seg[SEG_COUNT];
    struct table_register gdtr, idtr;
    u64 cr0, cr2, cr3, cr4, efer, xcr0;
    u64 pdpte[4]; /* PAE paging */
    u64 dr[8];    /* dr6 at 6, dr7 at 7 */
    u64 star, lstar, cstar, sfmask, kernel_gs_base, tsc_aux;
    u64 sysenter_cs, sysenter_esp, sysenter_eip;
    u64 apic_base, pat, misc_enable, mtrr_def_type, mtrr_fixed[11], mtrr_base[8], mtrr_mask[8];
    u64 mcg_cap, mcg_status, mcg_ctl, mce_banks[32 * 4], mci_ctl2[32];
    u64 tsc_offset; /* guest TSC = scaled host TSC + tsc_offset (SDM 3B 17.17) */
    u64 tsc_ratio; /* of the guest's frequency to the host's, with TSC_RATIO_BITS of fraction; 0: they are one
                    */
    u32 tsc_khz;   /* the guest's */
    u64 tsc_adjust, tsc_deadline, smi_count, microcode, platform_info, misc_features, arch_capabilities,
        power_ctl, hwcr;
    bool enforce_pv; /* KVM_CAP_ENFORCE_PV_FEATURE_CPUID */
    u64 kvmclock_msr, wall_clock_msr, steal_msr, async_pf_msr, async_pf_int_msr, pv_eoi_msr, poll_control_msr;
    u8 cpl; /* DPL of SS; 0 in real mode, 3 in virtual-8086 mode */

    /* -- events (SDM 3A 6.8, 6.9) -- */
    _Atomic u8 nmi_pending; /* raised by other threads too: nmi_raise */
    bool nmi_blocked;
    struct {                  /* smm.h */
        _Atomic bool pending; /* an SMI; raised by other threads too */
        bool active;          /* in system management mode */
        bool inside_nmi;      /* NMIs were blocked when it was entered */
        u32 base;             /* SMBASE */
    } smm;
    u8 interrupt_shadow; /* KVM_X86_SHADOW_INT_*: until after the next instruction */
    struct event {       /* an exception or interrupt on its way into the guest */
        bool pending, has_error_code, has_payload, soft, external,
            fault; /* soft: int n, int3, into. external: not an exception */
        u8 vector;
        u32 error_code;
        u64 payload; /* cr2 or dr6; soft: the rip to return to */
    } event;
    struct debug {                /* debug.h */
        u32 control;              /* KVM_GUESTDBG_*; 0: no debugger */
        u64 host_dr[8];           /* of KVM_SET_GUEST_DEBUG */
        u64 trap;                 /* DR6 bits of the #DB before the next instruction */
        bool single_step;         /* the instruction at work is to end with one */
        bool step_once;           /* the next one runs alone, as it touches a watched page */
        bool changed;             /* the engine is to take notice (execute.c) */
        u8 code, read, write, io; /* which of the four breakpoints are for what; write: for reads too */
    } debug;
    bool delivering;   /* event_deliver is at work on event: what is raised combines with it (table 6-5) */
    bool triple_fault; /* from user space: the next KVM_RUN ends with KVM_EXIT_SHUTDOWN */
    u32 mp_state;      /* KVM_MP_STATE_* */
    u8 sipi_vector;
    _Atomic bool init_pending; /* set by other threads, with the chips' lock */

    /* -- MMIO and port I/O in flight -- */
    bool mmio_read_pending; /* run->mmio is a question that the next KVM_RUN answers */
    bool code_changed;      /* the current instruction wrote over translated code */
    struct {                /* paravirt.c: in nanoseconds, on the host's clocks */
        u64 entered, ran, cpu, updated, shadows, delay;
        bool delay_known;
        int maker, schedstat; /* the thread that made the vcpu, and its statistics; -1: not to be had */
    } steal;
    struct {
        u64 first, last; /* of PAUSEs in a row: TSC */
    } spin;
    struct {
        bool told, written; /* the client has heard of a read; is to hear of a write, at rip */
        u64 rip;
    } tpr_access;             /* irq/vapic.c */
    _Atomic bool pv_unhalted; /* KVM_HC_KICK_CPU: HLT ends, or does not begin */
    bool exclusive;           /* the next instruction runs alone, with all other vcpus stopped */
    bool alone;               /* they are stopped: gate.h */
    struct mmio_fragment mmio_read[MMIO_FRAGMENTS], mmio_write[MMIO_FRAGMENTS];
    u32 mmio_reads, mmio_reads_used, mmio_writes, mmio_writes_done;
    struct pio_pending pio;
    struct msr_pending msr_pending;

    /* -- the rest of KVM's vcpu -- */
    struct vm *vm;
    struct lapic *lapic; /* NULL without an in-library irqchip */
    struct dirty_ring ring;
    struct kvm_run *run;   /* the library's own mapping, at VCPU_RUN_OFFSET before this struct */
    struct direct *direct; /* direct/direct.h; NULL: ring 3 is always translated */
    u32 id;
    int fd;
    _Atomic u32 requests;
    _Atomic u32 state;    /* gate.h */
    _Atomic u64 epoch;    /* of the engine, when the vcpu last began a block (translate/cache.h) */
    u32 engine_locks;     /* how often this vcpu's thread holds the engine's lock (translate/cache.h) */
    pthread_mutex_t lock; /* one ioctl at a time on a vcpu (KVM's vcpu->mutex) */
    u32 mode;             /* what the translation depends on: translate/mode.h */
    u64 generation;
    void *unwind[5];           /* __builtin_setjmp of the run loop */
    bool exiting, efault;      /* why it was unwound: KVM_RUN returns 0, or EFAULT */
    u64 efault_host;           /* the address in the client's memory that made it */
    bool under_way;            /* this KVM_RUN went beyond its first look at immediate_exit */
    volatile bool signal_came; /* a handler of the program has run on this thread: KVM_RUN returns EINTR */
    bool has_signal_mask;      /* signals.h */
    u64 signal_mask, own_signal_mask,
        held_signals;     /* held: what the one lets through, and the other does not */
    bool interrupt_waits; /* an interrupt is pending that IF or a shadow holds back */
    int wake_fd;          /* eventfd that ends a wait in HLT */
    bool fpu_live;
    bool has_run; /* KVM_RUN was called: CPUID is fixed (api.rst 4.20) */
    struct kvm_cpuid_entry2 cpuid[256];
    u32 cpuid_count;
    u64 maxphyaddr_mask; /* reserved bits of physical addresses: bits >= MAXPHYADDR */
    u64 xcr0_host;       /* xcr0_offered() */
    u64 xcr0_supported;
    u32 xsave_features;                 /* XSAVE_FEATURE_*: what guest CPUID offers and the host has */
    u16 xsave_offset[XSAVE_COMPONENTS]; /* of each component in an XSAVE area (cpu/xsave.h) */
    u32 mxcsr_mask;                     /* bits of MXCSR that may be set (SDM 1 11.6.6) */
    u64 cr4_reserved;                   /* bits that guest CPUID does not offer */
    int stats_file;                     /* api/stats_fd.c; 0: nobody has asked for it */
    /* A page of their own, which becomes one of that file. */
    _Alignas(4096) u64 stat_exits;
    u64 stat_translations, stat_tlb_misses, stat_invalidations, stat_injections;
    u64 stat_exit[STAT_EXITS];
    u64 stat_end[512 - 5 - STAT_EXITS];
    _Alignas(64) u8 fpu[8192];          /* XSAVE area, standard format, of the guest while !fpu_live */
    _Alignas(64) u8 xsave_buffer[4096]; /* an XSAVE or FXSAVE area on its way to or from guest memory */

    /* -- large tables, zero pages until used -- */
    struct vcpu_engine *priv; /* translate/: logs and such */
    struct tlb tlb[TLB_CONTEXTS];
    struct { /* indirect-branch target cache, by mode class (translate/ibtc.h) */
        struct {
            u64 npc; /* -(guest pc) */
            u64 code;
        } entry[TLB_ENTRIES];
    } ibtc[4];
    const void *crossing[CROSSINGS]; /* where direct branches to other pages lead (translate/ibtc.h) */
};

/* ---- who may call what, from a handler ---- */

/* exceptions.c. Ends the current instruction with an exception: unwinds to the run loop, which delivers it.
 */
_Noreturn void raise_exception(struct vcpu *v, u8 vector);
_Noreturn void raise_exception_code(struct vcpu *v, u8 vector, u32 error_code);
_Noreturn void raise_page_fault(struct vcpu *v, gva gva, u32 error_code);
_Noreturn void raise_soft(struct vcpu *v, u8 vector); /* int n, int3, into: returns to next_rip */
/* #DB with the bits to set in DR6: rip is where the guest goes on. */
_Noreturn void raise_debug(struct vcpu *v, u64 dr6);
/* Delivers v->event through the IDT (SDM 3A 6.12, 6.14); faults on the way become #DF and shutdown by table
 * 6-5. Called by the run loop only; may unwind with a new v->event. */
void event_deliver(struct vcpu *v);
/* The part of it that writes CR2 or DR6; once only. */
void event_deliver_payload(struct vcpu *v);
/* Queues an interrupt or NMI as v->event; the run loop delivers it before the next instruction. The NMI is
 * taken from nmi_pending, and blocks further ones. */
void event_queue_interrupt(struct vcpu *v, u8 vector);
void event_queue_nmi(struct vcpu *v);
/* One may wait while another is handled, and two while none is, as in the kernel: two processors that send
 * one at the same time are both heard. From any thread; the vcpu is to be kicked. */
void nmi_raise(struct vcpu *v);
/* The handler has returned. */
void nmi_unblock(struct vcpu *v);
/* The same for what has gathered in debug.trap; or it is for user space, and KVM_RUN ends. */
void event_queue_debug(struct vcpu *v);
/* An exception that user space injects: no register tells about it but those that user space sets. */
void event_inject_exception(struct vcpu *v, u8 vector);

/* access.c. Guest memory by linear address. Accesses may cross pages, hit MMIO, fault (#PF) or leave KVM_RUN
 * with KVM_EXIT_MMIO; they then do not return, and the instruction starts again: so a handler reads
 * everything first, then writes, then changes registers. */
enum access_as {
    AS_CPL,    /* at the current privilege */
    AS_SYSTEM, /* implicit supervisor access: descriptor tables, TSS, interrupt stacks (SDM 3A 4.6.1) */
    AS_USER,   /* as CPL 3 */
};
u64 guest_load(struct vcpu *v, gva a, unsigned size,
               enum access_as as); /* 1, 2, 4 or 8 bytes, zero-extended */
void guest_store(struct vcpu *v, gva a, unsigned size, u64 value, enum access_as as);
void guest_read(struct vcpu *v, gva a, void *buf, size_t n, enum access_as as);
void guest_write(struct vcpu *v, gva a, const void *buf, size_t n, enum access_as as);
/* Faults as a write of n bytes would, without writing. */
void guest_probe_write(struct vcpu *v, gva a, size_t n, enum access_as as);
void guest_probe_read(struct vcpu *v, gva a, size_t n, enum access_as as);
/* Host address of RAM at gva for a locked or wide read-modify-write within one page, or NULL (MMIO: use load
 * and store). Faults like a write. Where it is not NULL, guest_rmw_done follows the access, and nothing
 * between them reaches guest memory in another way. */
void *guest_rmw_address(struct vcpu *v, gva a, unsigned size, enum access_as as);
void guest_rmw_done(struct vcpu *v);
/* The same for reading only. */
const void *guest_read_address(struct vcpu *v, gva a, unsigned size, enum access_as as);
/* Makes what has been read and written so far final, so that the instruction does not repeat it when it is
 * started again: string instructions call it after each element, having updated the registers. */
void guest_commit(struct vcpu *v);

/* Guest-physical memory, as a vcpu sees it or the VM (vm.h). false: not RAM (or read-only RAM for a write);
 * nothing was done. phys_write is to the VM's, and vcpu_phys_write to what the vcpu sees, on its own thread.
 */
bool phys_read(const struct memory *m, gpa a, void *buf, size_t n);
bool phys_write(struct vm *vm, gpa a, const void *buf, size_t n);
bool vcpu_phys_write(struct vcpu *v, gpa a, const void *buf, size_t n);
/* Host address of the page, or NULL. *writable may be NULL. */
u8 *phys_page(const struct memory *m, gpa a, bool *writable);

/* segments.c */
/* Effective address -> linear address of size bytes in segment s: limit, type, canonical checks; raises
 * #GP(0) or #SS(0) (SDM 3A 5.3, 3.3.7.1). */
gva segment_linear(struct vcpu *v, enum seg s, u64 offset, unsigned size, bool write);
void segment_load(struct vcpu *v, enum seg s, u16 selector); /* MOV/POP/LxS to ES, SS, DS, FS, GS */
/* Raw: also keeps seg_base, and cpl by CR0.PE, RFLAGS.VM and SS.DPL as they are at the time of setting SS. */
void vcpu_set_segment(struct vcpu *v, enum seg s, struct segment d);

/* operand.c: operands of a decoded instruction. */
u64 operand_offset(struct vcpu *v, const struct insn *in); /* effective address of in->mem, not yet linear */
gva operand_linear(struct vcpu *v, const struct insn *in, unsigned size, bool write);
u64 operand_read_rm(struct vcpu *v, const struct insn *in, unsigned size);
void operand_write_rm(struct vcpu *v, const struct insn *in, unsigned size, u64 value);
u64 reg_read(struct vcpu *v, const struct insn *in, u8 reg, unsigned size); /* byte registers by in->rex */
void reg_write(struct vcpu *v, const struct insn *in, u8 reg, unsigned size,
               u64 value); /* 4 bytes zero-extend */

/* paging.c: the walker (SDM 3A ch. 4). */
struct translation {
    gpa gpa;                           /* of the byte asked for */
    u8 page_shift;                     /* 12, 21, 22 or 30: of the guest page */
    bool writable, executable, global; /* further rights that the same entry grants at this privilege, now:
                                          writable only if D is set already */
    bool user;                         /* U/S of the mapping: a user page */
};
enum access_kind { ACCESS_READ = 0, ACCESS_WRITE = PF_W, ACCESS_FETCH = PF_I };
/* Translates for the kind and privilege, sets A (and D for a write) atomically. user: access as CPL 3. smap:
 * user pages are refused to supervisor data accesses. true: *t is filled; false: *error_code for #PF. */
bool page_walk(struct vcpu *v, gva a, enum access_kind kind, bool user, bool smap, struct translation *t,
               u32 *error_code);
/* Loads v->pdpte from memory for a CR3 in PAE paging (SDM 3A 4.4.1). false: a reserved bit is set, or no RAM:
 * #GP, and nothing was changed. Called by MOV to CR0, CR3, CR4 where 4.4.1 says so, before they take effect.
 */
bool paging_load_pdptes(struct vcpu *v, u64 cr3);

/* system.c and transfers.c */
void cr_write(struct vcpu *v, unsigned n,
              u64 value);                   /* all checks and side effects of MOV to CRn; 8 is the TPR */
void vcpu_reset(struct vcpu *v, bool init); /* power-up, or INIT (SDM 3A table 9-1) */

/* msr.c: false means #GP (or KVM's "stops at this index"). host: from an ioctl, so read-only MSRs may be set.
 */
bool msr_read(struct vcpu *v, u32 index, u64 *value, bool host);
bool msr_write(struct vcpu *v, u32 index, u64 value, bool host);
/* For KVM_GET_MSR_INDEX_LIST and the feature list. */
extern const u32 msr_index_list[];
extern const unsigned msr_index_count;

/* msr.c: guest TSC = host TSC + offset; the clock and the timers follow. */
void tsc_set_offset(struct vcpu *v, u64 offset, bool by_host);
/* From an ioctl: the frequency of the guest's TSC, at most TSC_RATIO_MAX times the host's. */
enum { TSC_RATIO_MAX = 255 };
void tsc_set_khz(struct vcpu *v, u32 khz);

/* cpuid.c */
u64 xcr0_offered(void); /* state components that guests may have on this host */
/* Fills at most max entries with what the engine supports on this host; returns how many there are. */
unsigned cpuid_supported(struct kvm_cpuid_entry2 *e, unsigned max);
/* After KVM_SET_CPUID2: recomputes what depends on it (maxphyaddr_mask, cr4_reserved, xcr0_supported). */
void cpuid_update(struct vcpu *v);
/* The leaf as the guest sees it now, with the run-time bits (OSXSAVE, APIC, XSAVE sizes). */
void cpuid_query(struct vcpu *v, u32 leaf, u32 subleaf, u32 out[4]);
bool cpuid_has(struct vcpu *v, u32 leaf, u32 subleaf, unsigned reg, unsigned bit); /* reg: 0 eax .. 3 edx */
bool cpuid_is_amd(
    struct vcpu *v); /* by the guest's vendor: which manual holds where Intel's and AMD's differ */

/* Bits of CPUID.(EAX=0DH,ECX=1):EAX */
enum { XSAVE_FEATURE_XSAVEOPT = BIT(0), XSAVE_FEATURE_XSAVEC = BIT(1), XSAVE_FEATURE_XGETBV1 = BIT(2) };

/* fpu.c */
void fpu_reset(struct vcpu *v); /* outside KVM_RUN: v->fpu to its state after power-up */
void fpu_get(struct vcpu *v);   /* loads the guest's vector state into the CPU */
void fpu_put(
    struct vcpu *v); /* saves it to v->fpu and gives C code a clean x87, MXCSR; both are idempotent */
/* Outside KVM_RUN: v->fpu as KVM_GET_FPU, KVM_SET_FPU, KVM_GET_XSAVE, KVM_SET_XSAVE have it
 * (api.rst 4.32, 4.42). The setters return 0, or -EINVAL for state that could not be loaded. */
void fpu_get_kvm(struct vcpu *v, struct kvm_fpu *f);
int fpu_set_kvm(struct vcpu *v, const struct kvm_fpu *f);
void fpu_get_xsave(struct vcpu *v, struct kvm_xsave *x);
int fpu_set_xsave(struct vcpu *v, const struct kvm_xsave *x);

/* paravirt.c: the vcpu has come into guest code, is about to leave it, takes interrupts. */
void paravirt_created(struct vcpu *v); /* and is destroyed: */
void paravirt_destroy(struct vcpu *v);
void paravirt_entered(struct vcpu *v);
void paravirt_leaving(struct vcpu *v);
void paravirt_tick(struct vcpu *v);
/* Whether the guest may use what goes with these bits of KVM_CPUID_FEATURES: if CPUID has them, or user space
 * does not insist on that (KVM_CAP_ENFORCE_PV_FEATURE_CPUID). */
bool pv_offers(struct vcpu *v, u32 features);
bool steal_write(struct vcpu *v, u64 msr);    /* MSR_KVM_STEAL_TIME; false: #GP */
bool async_pf_write(struct vcpu *v, u64 msr); /* MSR_KVM_ASYNC_PF_EN; the same */

/* io.c: completes a KVM_EXIT_IO that user space has answered: registers, memory (may fault) and rip. Called
 * at the start of KVM_RUN, where raising and unwinding are possible. */
void pio_complete(struct vcpu *v);

/* run.c */
_Noreturn void vcpu_unwind(struct vcpu *v);           /* to the run loop, which acts on the vcpu's state */
_Noreturn void vcpu_exit(struct vcpu *v, u32 reason); /* KVM_RUN returns 0 with run->exit_reason = reason */
_Noreturn void vcpu_exit_internal_error(struct vcpu *v, u32 suberror, const struct insn *in);
void vcpu_kick(struct vcpu *v, u32 request); /* any thread: sets the request; a running vcpu leaves its code
                                                soon (within some microseconds), a halted one wakes */
/* An interrupt from user space could be delivered now (api.rst ch. 5). */
bool vcpu_interrupt_window(struct vcpu *v);
/* gate.c */
void vm_stop_vcpus(struct vm *vm); /* any thread but a vcpu's in KVM_RUN: no vcpu runs guest code, until */
void vm_resume_vcpus(struct vm *vm);

/* What of the engine a handler must tell, translate/tlb.c */
void tlb_flush_all(struct vcpu *v);       /* also global pages */
void tlb_flush_nonglobal(struct vcpu *v); /* of the current PCID */
/* CR4.PCIDE is set, and CR3 was written: it was from. keeps: what is known of its new PCID still holds. */
void tlb_switch(struct vcpu *v, u64 from, bool keeps);
void tlb_forget_space(struct vcpu *v, u64 pcid); /* which is not the current one */
void tlb_flush_page(struct vcpu *v, gva a);

/* KVM clock of now (kvmclock.c): host nanoseconds, and the guest's TSC. */
u64 host_now_ns(void); /* CLOCK_MONOTONIC */
static inline u64 host_tsc(void)
{
    u32 lo, hi;
    __asm__ volatile("rdtsc" : "=a"(lo), "=d"(hi));
    return (u64)hi << 32 | lo;
}
enum { TSC_RATIO_BITS = 48 };
static inline u64 tsc_scale(const struct vcpu *v, u64 host)
{
    return v->tsc_ratio ? (u64)((unsigned __int128)host * v->tsc_ratio >> TSC_RATIO_BITS) : host;
}
static inline u64 guest_tsc(const struct vcpu *v)
{
    return tsc_scale(v, host_tsc()) + v->tsc_offset;
}

static inline bool in_long_mode(const struct vcpu *v)
{
    return v->efer & EFER_LMA;
}
static inline bool checks_alignment(const struct vcpu *v) /* SDM 3A 6.15, interrupt 17 */
{
    return v->cpl == 3 && (v->rflags & FLAG_AC) && (v->cr0 & CR0_AM);
}
/* A handler's access at the current privilege: #AC, before any page fault. size: a power of two. */
static inline void require_alignment(struct vcpu *v, gva a, unsigned size)
{
    if (unlikely(a & (size - 1)) && checks_alignment(v))
        raise_exception_code(v, EXC_AC, 0);
}
static inline bool in_64bit(const struct vcpu *v)
{
    return (v->efer & EFER_LMA) && (v->seg[SEG_CS].attributes & SEG_L);
}
static inline bool in_protected(const struct vcpu *v)
{
    return (v->cr0 & CR0_PE) && !(v->rflags & FLAG_VM);
}
static inline u64 rflags_get(const struct vcpu *v)
{
    return v->rflags | (v->cc >> 8 & (FLAG_CF | FLAG_PF | FLAG_AF | FLAG_ZF | FLAG_SF)) |
           (u64)(v->cc & 1) << 11;
}
static inline void rflags_set(struct vcpu *v, u64 f) /* raw: no privilege rules */
{
    v->rflags = (f & ~(u64)FLAGS_ARITH) | FLAG_FIXED;
    v->cc = (u32)((f & (FLAG_CF | FLAG_PF | FLAG_AF | FLAG_ZF | FLAG_SF)) << 8 | (f >> 11 & 1));
}
static inline bool is_canonical(u64 a)
{
    return sign_extend(a, 48) == a;
}

#endif
