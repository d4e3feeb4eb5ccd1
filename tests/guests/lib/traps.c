/* traps.c - exceptions and interrupts in a guest: the IDT, the TSS, and what TRY learns of a fault */
/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "tests/guests/lib/guest.h"

volatile struct trap trap_last;
volatile word trap_start, trap_resume, trap_rsp;
static void (*handlers[256])(struct frame *f);

#ifdef __x86_64__
struct idt_entry {
    u16 offset0, selector;
    u8 ist, type;
    u16 offset16;
    u32 offset32, reserved;
};
enum { KERNEL_CODE = CODE64, TSS_RSP0 = 4, TSS_RSP_SIZE = 8, TSS_IST1 = 36, TSS_SIZE = 104 };
#else
struct idt_entry {
    u16 offset0, selector;
    u8 ist, type;
    u16 offset16;
};
enum { KERNEL_CODE = CODE32, TSS_RSP0 = 4, TSS_RSP_SIZE = 8, TSS_SIZE = 104 };
#endif
enum { TSS_IOMAP = 102, IOMAP_SIZE = 8192 + 1 };

static struct idt_entry idt[256] __attribute__((aligned(16)));
u8 tss[TSS_SIZE + IOMAP_SIZE] __attribute__((aligned(128)));
static u8 double_fault_stack[4096] __attribute__((aligned(16)));

void idt_set(unsigned vector, void *entry, u16 selector, unsigned type, unsigned ist)
{
    word offset = (word)entry;
    idt[vector] = (struct idt_entry){.offset0 = (u16)offset,
                                     .selector = selector,
                                     .ist = (u8)ist,
                                     .type = (u8)type,
                                     .offset16 = (u16)(offset >> 16)};
#ifdef __x86_64__
    idt[vector].offset32 = (u32)(offset >> 32);
#endif
}

void idt_load(void)
{
    struct {
        u16 limit;
        word base;
    } __attribute__((packed)) idtr = {sizeof(idt) - 1, (word)idt};
    __asm__ volatile("lidt %0" ::"m"(idtr));
}

void tss_set_stack(unsigned ring, u64 stack)
{
    memcpy(tss + TSS_RSP0 + ring * TSS_RSP_SIZE, &stack, sizeof(word));
#ifndef __x86_64__
    u32 ss = DATA | ring;
    memcpy(tss + TSS_RSP0 + ring * TSS_RSP_SIZE + 4, &ss, sizeof(ss));
#endif
}

void tss_set_iomap(u16 offset)
{
    memcpy(tss + TSS_IOMAP, &offset, sizeof(offset));
}

#ifdef __x86_64__
void tss_set_ist(unsigned ist, u64 stack)
{
    memcpy(tss + TSS_IST1 + (ist - 1) * 8, &stack, 8);
}
#endif

void tss_load(void)
{
    word base = (word)tss;
    gdt[TSS / 8] =
        (sizeof(tss) - 1) | (u64)(base & 0xffffff) << 16 | (u64)0x89 << 40 | (u64)(base >> 24 & 0xff) << 56;
#ifdef __x86_64__
    gdt[TSS / 8 + 1] = base >> 32;
#endif
    __asm__ volatile("ltr %w0" ::"r"(TSS));
}

void traps_init(void)
{
    for (unsigned i = 0; i < 256; i++)
        idt_set(i, trap_entries[i], KERNEL_CODE, 0x8e, 0);
#ifdef __x86_64__
    tss_set_ist(1, (u64)(double_fault_stack + sizeof(double_fault_stack)));
    idt_set(DF, trap_entries[DF], KERNEL_CODE, 0x8e, 1);
#else
    (void)double_fault_stack;
#endif
    idt_load();
    tss_set_stack(0, (u64)(word)stack_top - 8192);
    tss_set_iomap(TSS_SIZE);
    memset(tss + TSS_SIZE, 0xff, IOMAP_SIZE);
    tss_load();
}

void trap_handle(unsigned vector, void (*fn)(struct frame *f))
{
    handlers[vector] = fn;
}

void trap_clear(void)
{
    trap_last.vector = NONE;
    trap_last.error = trap_last.cr2 = 0;
    trap_last.offset = 0;
}

static _Noreturn void die(const struct frame *f)
{
    print("FAIL unexpected exception: vector ");
    print_hex(f->vector);
    print(" error ");
    print_hex(f->error);
    print(" rip ");
    print_hex(f->rip);
    print(" cr2 ");
    print_hex(read_cr2());
    print("\n");
    guest_exit();
}

static void note(const struct frame *f)
{
#ifdef __x86_64__
    bool has_stack = true;
#else
    bool has_stack = f->cs & 3;
#endif
    trap_last.vector = (s32)f->vector;
    trap_last.error = f->error;
    trap_last.cr2 = read_cr2();
    trap_last.rflags = f->rflags;
    trap_last.rip = f->rip;
    trap_last.offset = (s64)((word)f->rip - trap_start);
    trap_last.cs = f->cs;
    trap_last.rsp = has_stack ? f->rsp : (word)&f->rsp;
    trap_last.ss = has_stack ? f->ss : DATA;
    trap_last.rax = f->rax;
    trap_last.rcx = f->rcx;
    trap_last.rsi = f->rsi;
    trap_last.rdi = f->rdi;
}

/* The frame from which the program goes on behind TRY's code: in ring 0, on the stack from before. */
static struct frame *resume(struct frame *f)
{
    struct frame r = *f;
    r.rip = trap_resume;
    r.cs = KERNEL_CODE;
    r.rflags = 2;
    trap_resume = 0;
#ifdef __x86_64__
    r.rsp = trap_rsp;
    r.ss = DATA;
    __asm__ volatile("mov %0, %%ds\n\tmov %0, %%es" ::"r"(DATA));
#else
    /* iret to the same ring pops no stack pointer: the frame itself must end there. */
    r.ds = r.es = DATA;
    f = (struct frame *)(trap_rsp - offsetof(struct frame, rsp));
#endif
    memcpy(f, &r, offsetof(struct frame, rsp) + (sizeof(word) == 8 ? 16 : 0));
    return f;
}

/* Called by the entries; gives the frame to return to. */
struct frame *trap(struct frame *f)
{
    if (handlers[f->vector]) {
        handlers[f->vector](f);
        return f;
    }
    if (!trap_resume)
        die(f);
    note(f);
    return resume(f);
}

static void print_fault(const char *what, s32 vector, u64 error, s64 offset)
{
    print(what);
    if (vector == NONE) {
        print("no exception");
        return;
    }
    print("vector ");
    print_hex((u64)vector);
    print(" error ");
    print_hex(error);
    print(" at code + ");
    print_hex((u64)offset);
}

void check_trap(const char *name, struct trap t, s32 vector, u64 error, s64 offset)
{
    if (!result(name, t.vector == vector && t.error == error && (vector == NONE || t.offset == offset)))
        return;
    print_fault(": got ", t.vector, t.error, t.offset);
    print_fault(", want ", vector, error, offset);
    print("\n");
}
