/* guest.c - runs cases in a guest of the library: 64-bit mode, CPL 3 (SDM 3A 4.5, 6.14, 7.7) */
/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The guest's kernel is one IRETQ, which enters the case, and one HLT for each exception vector, which ends
 * it: the frame on the kernel's stack tells error code, rip, flags and rsp. It lies in the upper half of the
 * address space, where the host has its own kernel.
 */
#include <errno.h>
#include <linux/kvm.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/time.h>

#include "lodge/kvm.h"
#include "tests/fuzz/cpu/case.h"

/* Guest-physical pages. The kernel's are mapped at KERNEL_VA + address. */
enum {
    PML4 = 0x1000,
    KERNEL_PDPT = 0x2000,
    KERNEL_PD = 0x3000,
    USER_PDPT = 0x4000,
    USER_PD = 0x5000,
    CODE_PT = 0x6000,
    WINDOW_PT = 0x7000,
    GDT = 0x8000,
    IDT = 0x9000,
    TSS = 0xa000,
    STUBS = 0xb000, /* 16 bytes for each vector, then the IRETQ */
    STACK_TOP = 0xd000,
    CODE = 0x10000,
    WINDOW = 0x20000,
    RAM = 0x30000,
};
#define KERNEL_VA 0xffff800000000000ull

enum { VECTORS = 32, ENTRY = STUBS + 16 * VECTORS, FRAME = STACK_TOP - 40 };
enum { PRESENT = BIT(0), WRITABLE = BIT(1), USER = BIT(2), LARGE = BIT(7) };
#define NX BIT(63)
/* Selectors as Linux has them, as cases can read them. */
enum { KERNEL_CS = 0x10, KERNEL_SS = 0x18, USER_CS = 0x33, USER_SS = 0x2b, TSS_SELECTOR = 0x40 };
enum { TIMEOUT_TICKS = 50, TICK_US = 20000 };

static int vm, vcpu;
static struct kvm_run *run;
static u8 *ram;
static union {
    struct kvm_cpuid2 head;
    u8 room[sizeof(struct kvm_cpuid2) + 256 * sizeof(struct kvm_cpuid_entry2)];
} cpuid = {.head.nent = 256};
static struct kvm_sregs sregs; /* as the vcpu has them */
static volatile sig_atomic_t ticks;

static void call(int fd, unsigned long request, void *arg, const char *what)
{
    if (lodge_kvm_ioctl(fd, request, (unsigned long)arg) < 0) {
        perror(what);
        exit(2);
    }
}
#define CALL(fd, request, arg) call(fd, request, arg, #request)

bool guest_cpuid(u32 leaf, u32 subleaf, unsigned reg, unsigned bit)
{
    for (u32 i = 0; i < cpuid.head.nent; i++) {
        const struct kvm_cpuid_entry2 *e = &cpuid.head.entries[i];
        const u32 r[4] = {e->eax, e->ebx, e->ecx, e->edx};
        if (e->function == leaf && e->index == subleaf)
            return r[reg] >> bit & 1;
    }
    return false;
}

/* ---- memory ---- */

static u64 *at(u32 gpa)
{
    return (u64 *)(ram + gpa);
}

static void make_page_tables(void)
{
    at(PML4)[0] = USER_PDPT | PRESENT | WRITABLE | USER;
    at(PML4)[256] = KERNEL_PDPT | PRESENT | WRITABLE;
    at(KERNEL_PDPT)[0] = KERNEL_PD | PRESENT | WRITABLE;
    at(KERNEL_PD)[0] = PRESENT | WRITABLE | LARGE;
    at(USER_PDPT)[0] = USER_PD | PRESENT | WRITABLE | USER;
    at(USER_PD)[CODE_VA >> 21] = CODE_PT | PRESENT | WRITABLE | USER;
    at(USER_PD)[WINDOW_VA >> 21] = WINDOW_PT | PRESENT | WRITABLE | USER;
    for (unsigned i = 0; i < CODE_PAGES; i++)
        at(CODE_PT)[i] = (CODE + i * PAGE) | PRESENT | USER;
    for (unsigned i = 0; i < WINDOW_PAGES; i++)
        if (window_rights[i] != '-')
            at(WINDOW_PT)[i] =
                (WINDOW + i * PAGE) | PRESENT | USER | NX | (window_rights[i] == 'w' ? WRITABLE : 0);
}

static void make_tables(void)
{
    const u64 tss = KERNEL_VA + TSS, stubs = KERNEL_VA + STUBS;
    const u64 gdt[] = {
        [KERNEL_CS >> 3] = 0x00af9b000000ffff,
        [KERNEL_SS >> 3] = 0x00cf93000000ffff,
        [USER_SS >> 3] = 0x00cff3000000ffff,
        [USER_CS >> 3] = 0x00affb000000ffff,
        [TSS_SELECTOR >> 3] = 0x67 | (tss & 0xffffff) << 16 | 0x8bull << 40 | (tss >> 24 & 0xff) << 56,
        tss >> 32,
    };
    const u64 rsp0 = KERNEL_VA + STACK_TOP;
    memcpy(at(GDT), gdt, sizeof(gdt));
    memcpy(ram + TSS + 4, &rsp0, 8);
    *(u16 *)(ram + TSS + 102) = 104; /* no I/O permission map */
    for (unsigned i = 0; i < VECTORS; i++) {
        u64 stub = stubs + 16 * i, dpl = i == 3 || i == 4 ? 3 : 0;
        at(IDT)[2 * i] =
            (stub & 0xffff) | KERNEL_CS << 16 | (0x8e00 | dpl << 13) << 32 | (stub >> 16 & 0xffff) << 48;
        at(IDT)[2 * i + 1] = stub >> 32;
        ram[STUBS + 16 * i] = 0xf4; /* hlt */
    }
    static const u8 iretq[] = {0x48, 0xcf};
    memcpy(ram + ENTRY, iretq, sizeof(iretq));
}

/* ---- the vcpu ---- */

static struct kvm_segment segment(u16 selector, u8 type, u8 dpl, bool code)
{
    return (struct kvm_segment){.limit = 0xffffffff,
                                .selector = selector,
                                .type = type,
                                .present = 1,
                                .dpl = dpl,
                                .db = !code,
                                .s = 1,
                                .l = code,
                                .g = 1};
}

static void set_system_registers(void)
{
    CALL(vcpu, KVM_GET_SREGS, &sregs);
    sregs.cs = segment(KERNEL_CS, 11, 0, true);
    sregs.ss = segment(KERNEL_SS, 3, 0, false);
    sregs.ds = sregs.es = sregs.fs = sregs.gs = segment(0, 3, 3, false);
    sregs.tr = (struct kvm_segment){
        .base = KERNEL_VA + TSS, .limit = 0x67, .selector = TSS_SELECTOR, .type = 11, .present = 1};
    sregs.ldt = (struct kvm_segment){.unusable = 1};
    sregs.gdt.base = KERNEL_VA + GDT;
    sregs.gdt.limit = 0x4f;
    sregs.idt.base = KERNEL_VA + IDT;
    sregs.idt.limit = VECTORS * 16 - 1;
    sregs.cr0 = 0x80050033; /* PG AM WP NE ET MP PE */
    sregs.cr3 = PML4;
    sregs.cr4 =
        BIT(5) | BIT(9) | BIT(10) | (u64)guest_cpuid(7, 0, 1, 0) << 16 | (u64)guest_cpuid(1, 0, 2, 26) << 18;
    sregs.efer = 0xd01; /* NXE LMA LME SCE */
    CALL(vcpu, KVM_SET_SREGS, &sregs);
    struct kvm_xcrs xcrs = {.nr_xcrs = 1, .xcrs[0] = {.xcr = 0, .value = vectors_components()}};
    CALL(vcpu, KVM_SET_XCRS, &xcrs);
}

static void on_tick(int number)
{
    (void)number;
    if (ticks++ >= TIMEOUT_TICKS)
        run->immediate_exit = 1;
}

void guest_start(void)
{
    int kvm = lodge_kvm_open();
    ram = mmap(NULL, RAM, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (kvm < 0 || ram == MAP_FAILED || (vm = lodge_kvm_ioctl(kvm, KVM_CREATE_VM, 0)) < 0) {
        perror("fuzz-cpu: making a VM");
        exit(2);
    }
    make_page_tables();
    make_tables();
    struct kvm_userspace_memory_region region = {.memory_size = RAM, .userspace_addr = (u64)ram};
    CALL(vm, KVM_SET_USER_MEMORY_REGION, &region);
    vcpu = lodge_kvm_ioctl(vm, KVM_CREATE_VCPU, 0);
    int size = lodge_kvm_ioctl(kvm, KVM_GET_VCPU_MMAP_SIZE, 0);
    run = mmap(NULL, (size_t)size, PROT_READ | PROT_WRITE, MAP_SHARED, vcpu, 0);
    if (vcpu < 0 || run == MAP_FAILED) {
        perror("fuzz-cpu: making a vcpu");
        exit(2);
    }
    CALL(kvm, KVM_GET_SUPPORTED_CPUID, &cpuid);
    CALL(vcpu, KVM_SET_CPUID2, &cpuid);
    set_system_registers();
    struct sigaction a = {.sa_handler = on_tick, .sa_flags = SA_RESTART};
    struct itimerval tick = {{0, TICK_US}, {0, TICK_US}};
    sigaction(SIGPROF, &a, NULL);
    setitimer(ITIMER_PROF, &tick, NULL);
}

static void load_state(const struct state *s)
{
    struct kvm_regs r = {.rax = s->gpr[0],
                         .rcx = s->gpr[1],
                         .rdx = s->gpr[2],
                         .rbx = s->gpr[3],
                         .rsp = KERNEL_VA + FRAME,
                         .rbp = s->gpr[5],
                         .rsi = s->gpr[6],
                         .rdi = s->gpr[7],
                         .r8 = s->gpr[8],
                         .r9 = s->gpr[9],
                         .r10 = s->gpr[10],
                         .r11 = s->gpr[11],
                         .r12 = s->gpr[12],
                         .r13 = s->gpr[13],
                         .r14 = s->gpr[14],
                         .r15 = s->gpr[15],
                         .rip = KERNEL_VA + ENTRY,
                         .rflags = 2};
    const u64 frame[] = {s->rip, USER_CS, s->rflags, s->gpr[RSP], USER_SS};
    static struct kvm_xsave x;
    vectors_to_xsave((u8 *)&x, s);
    memcpy(ram + FRAME, frame, sizeof(frame));
    CALL(vcpu, KVM_SET_REGS, &r);
    CALL(vcpu, KVM_SET_XSAVE, &x);
    if (sregs.fs.base != s->fs || sregs.gs.base != s->gs || sregs.cs.selector != KERNEL_CS) {
        sregs.cs = segment(KERNEL_CS, 11, 0, true);
        sregs.ss = segment(KERNEL_SS, 3, 0, false);
        sregs.fs.base = s->fs;
        sregs.gs.base = s->gs;
        CALL(vcpu, KVM_SET_SREGS, &sregs);
    }
}

static void take_vectors(struct state *s)
{
    static struct kvm_xsave x;
    CALL(vcpu, KVM_GET_XSAVE, &x);
    vectors_from_xsave(s, (const u8 *)&x);
}

static void take_registers(struct state *s, const struct kvm_regs *r)
{
    const u64 gpr[16] = {r->rax, r->rcx, r->rdx, r->rbx, r->rsp, r->rbp, r->rsi, r->rdi,
                         r->r8,  r->r9,  r->r10, r->r11, r->r12, r->r13, r->r14, r->r15};
    memcpy(s->gpr, gpr, sizeof(gpr));
    s->rip = r->rip;
    s->rflags = r->rflags;
    s->fs = sregs.fs.base;
    s->gs = sregs.gs.base;
}

static bool has_error_code(u32 vector)
{
    return vector == 8 || (vector >= 10 && vector <= 14) || vector == 17 || vector == 21;
}

/* The vcpu stands behind the HLT of a vector, its frame on the kernel's stack. */
static void take_frame(struct outcome *o, const struct kvm_regs *r)
{
    o->vector = (u32)(r->rip - 1 - KERNEL_VA - STUBS) / 16;
    const u64 *frame = at((u32)(r->rsp - KERNEL_VA));
    o->error = has_error_code(o->vector) ? (u32)*frame++ : 0;
    o->state.rip = frame[0];
    o->state.rflags = frame[2];
    o->state.gpr[RSP] = frame[3];
}

static bool is_stub(const struct kvm_regs *r)
{
    u64 frames = r->rsp - KERNEL_VA;
    return r->rip - 1 - KERNEL_VA - STUBS < 16 * VECTORS && frames >= STACK_TOP - 48 && frames < STACK_TOP;
}

void guest_run(struct job *j)
{
    struct outcome *o = &j->guest;
    struct kvm_regs r;
    memcpy(ram + WINDOW, j->c.window, WINDOW_SIZE);
    memset(ram + CODE, 0, CODE_PAGES * PAGE);
    memcpy(ram + CODE + (j->c.start - CODE_VA), j->c.code, j->c.code_length);
    j->c.state.rip = j->c.start;
    load_state(&j->c.state);
    ticks = 0;
    run->immediate_exit = 0;
    int result;
    do
        result = lodge_kvm_ioctl(vcpu, KVM_RUN, 0);
    while (result < 0 && errno == EINTR && !run->immediate_exit);
    CALL(vcpu, KVM_GET_REGS, &r);
    CALL(vcpu, KVM_GET_SREGS, &sregs);
    take_registers(&o->state, &r);
    take_vectors(&o->state);
    o->cr2 = sregs.cr2;
    o->error = 0;
    o->exit_reason = run->exit_reason;
    if (result == 0 && run->exit_reason == KVM_EXIT_HLT && is_stub(&r))
        take_frame(o, &r);
    else
        o->vector = run->immediate_exit ? VECTOR_TIMEOUT : VECTOR_EXIT;
    memcpy(o->window, ram + WINDOW, WINDOW_SIZE);
}
