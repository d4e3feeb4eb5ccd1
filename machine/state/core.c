/* core.c - the form of a core file: an ELF header, notes of processors, memory (System V ABI chapter 5) */
/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <elf.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "machine/machine.h"
#include "machine/state/core.h"

/*
 * The file is the one that QEMU's dump-guest-memory writes, so that gdb, crash and volatility read it: for
 * each processor a note "CORE" with the registers that Linux has in a core file of a process (struct
 * elf_prstatus), and then for each a note "QEMU" with those of the system (QEMU's
 * target/i386/arch_dump.c), of version 1. Segments have physical addresses only. Unlike QEMU's, the file is
 * a 64-bit one whatever mode the guest is in.
 */
struct core_prstatus {
    u8 before[32];
    u32 pid; /* the processor, counted from 1 */
    u8 between[76];
    u64 r15, r14, r13, r12, rbp, rbx, r11, r10, r9, r8, rax, rcx, rdx, rsi, rdi, orig_rax, rip, cs, rflags,
        rsp, ss;
    u64 fs_base, gs_base, ds, es, fs, gs;
    u64 has_fpu;
};
_Static_assert(sizeof(struct core_prstatus) == 336, "x86-64's struct elf_prstatus");

struct core_segment {
    u32 selector, limit, flags, pad;
    u64 base;
};

struct core_cpu {
    u32 version, size;
    u64 rax, rbx, rcx, rdx, rsi, rdi, rsp, rbp, r8, r9, r10, r11, r12, r13, r14, r15, rip, rflags;
    struct core_segment cs, ds, es, fs, gs, ss, ldt, tr, gdt, idt;
    u64 cr[5];
    u64 kernel_gs_base;
};
_Static_assert(sizeof(struct core_cpu) == 440, "QEMU's QEMUCPUState");

enum { NAME_ROOM = 8, CPU_VERSION = 1, CPU_NOTE = 0 };

struct core_note {
    Elf64_Nhdr header;
    char name[NAME_ROOM]; /* padded to a multiple of 4 */
};

static struct core_note note(const char name[5], u32 type, size_t size)
{
    struct core_note n = {{.n_namesz = 5, .n_descsz = (u32)size, .n_type = type}, {0}};
    memcpy(n.name, name, 5);
    return n;
}

/* The bits of the descriptor's second word that say what kind it is (SDM 3A 3.4.5). */
static struct core_segment segment(const struct kvm_segment *s)
{
    u32 flags = s->unusable
                    ? 0
                    : (u32)s->type << 8 | (u32)s->s << 12 | (u32)s->dpl << 13 | (u32)s->present << 15 |
                          (u32)s->avl << 20 | (u32)s->l << 21 | (u32)s->db << 22 | (u32)s->g << 23;
    return (struct core_segment){s->selector, s->limit, flags, 0, s->base};
}

static struct core_prstatus status_of(unsigned id, const struct kvm_regs *r, const struct kvm_sregs *s)
{
    return (struct core_prstatus){
        .pid = id + 1,
        .r15 = r->r15,
        .r14 = r->r14,
        .r13 = r->r13,
        .r12 = r->r12,
        .rbp = r->rbp,
        .rbx = r->rbx,
        .r11 = r->r11,
        .r10 = r->r10,
        .r9 = r->r9,
        .r8 = r->r8,
        .rax = r->rax,
        .rcx = r->rcx,
        .rdx = r->rdx,
        .rsi = r->rsi,
        .rdi = r->rdi,
        .rip = r->rip,
        .cs = s->cs.selector,
        .rflags = r->rflags,
        .rsp = r->rsp,
        .ss = s->ss.selector,
        .fs_base = s->fs.base,
        .gs_base = s->gs.base,
        .ds = s->ds.selector,
        .es = s->es.selector,
        .fs = s->fs.selector,
        .gs = s->gs.selector,
    };
}

static struct core_cpu cpu_of(const struct kvm_regs *r, const struct kvm_sregs *s, u64 kernel_gs_base)
{
    return (struct core_cpu){
        .version = CPU_VERSION,
        .size = sizeof(struct core_cpu),
        .rax = r->rax,
        .rbx = r->rbx,
        .rcx = r->rcx,
        .rdx = r->rdx,
        .rsi = r->rsi,
        .rdi = r->rdi,
        .rsp = r->rsp,
        .rbp = r->rbp,
        .r8 = r->r8,
        .r9 = r->r9,
        .r10 = r->r10,
        .r11 = r->r11,
        .r12 = r->r12,
        .r13 = r->r13,
        .r14 = r->r14,
        .r15 = r->r15,
        .rip = r->rip,
        .rflags = r->rflags,
        .cs = segment(&s->cs),
        .ds = segment(&s->ds),
        .es = segment(&s->es),
        .fs = segment(&s->fs),
        .gs = segment(&s->gs),
        .ss = segment(&s->ss),
        .ldt = segment(&s->ldt),
        .tr = segment(&s->tr),
        .gdt = {.limit = s->gdt.limit, .base = s->gdt.base},
        .idt = {.limit = s->idt.limit, .base = s->idt.base},
        .cr = {s->cr0, 0, s->cr2, s->cr3, s->cr4},
        .kernel_gs_base = kernel_gs_base,
    };
}

/* status, cpu: where its notes go. */
static int write_notes(struct vcpu *v, u8 *status, u8 *cpu, struct error *e)
{
    const struct kvm_api *kvm = v->machine->kvm;
    struct kvm_regs regs;
    struct kvm_sregs sregs;
    u64 kernel_gs_base;
    int r = kvm_call(kvm, v->fd, KVM_GET_REGS, &regs, e);
    if (r >= 0)
        r = kvm_call(kvm, v->fd, KVM_GET_SREGS, &sregs, e);
    if (r >= 0)
        r = vcpu_read_msr(v, MSR_KERNEL_GS_BASE, &kernel_gs_base, e);
    if (r < 0)
        return r;
    const struct core_note status_head = note("CORE", NT_PRSTATUS, sizeof(struct core_prstatus));
    const struct core_note cpu_head = note("QEMU", CPU_NOTE, sizeof(struct core_cpu));
    const struct core_prstatus s = status_of(v->id, &regs, &sregs);
    const struct core_cpu c = cpu_of(&regs, &sregs, kernel_gs_base);
    memcpy(status, &status_head, sizeof(status_head));
    memcpy(status + sizeof(status_head), &s, sizeof(s));
    memcpy(cpu, &cpu_head, sizeof(cpu_head));
    memcpy(cpu + sizeof(cpu_head), &c, sizeof(c));
    return 0;
}

/* The file's header, and one for each segment: the notes, at notes_at, and the pieces from memory_at on. */
static void write_headers(u8 *head, u64 notes_at, u64 notes_size, u64 memory_at,
                          const struct core_piece *pieces, unsigned count)
{
    const Elf64_Ehdr file = {
        .e_ident = {ELFMAG0, ELFMAG1, ELFMAG2, ELFMAG3, ELFCLASS64, ELFDATA2LSB, EV_CURRENT},
        .e_type = ET_CORE,
        .e_machine = EM_X86_64,
        .e_version = EV_CURRENT,
        .e_phoff = sizeof(Elf64_Ehdr),
        .e_ehsize = sizeof(Elf64_Ehdr),
        .e_phentsize = sizeof(Elf64_Phdr),
        .e_phnum = (u16)(1 + count),
    };
    Elf64_Phdr p = {.p_type = PT_NOTE, .p_offset = notes_at, .p_filesz = notes_size, .p_memsz = notes_size};
    memcpy(head, &file, sizeof(file));
    memcpy(head += sizeof(file), &p, sizeof(p));
    for (unsigned i = 0; i < count; i++, memory_at += p.p_filesz) {
        p = (Elf64_Phdr){.p_type = PT_LOAD,
                         .p_offset = memory_at,
                         .p_paddr = pieces[i].gpa,
                         .p_filesz = pieces[i].size,
                         .p_memsz = pieces[i].size};
        memcpy(head += sizeof(p), &p, sizeof(p));
    }
}

u8 *core_head(struct machine *m, const struct core_piece *pieces, unsigned count, size_t *size,
              struct error *e)
{
    const size_t status_size = sizeof(struct core_note) + sizeof(struct core_prstatus);
    const size_t cpu_size = sizeof(struct core_note) + sizeof(struct core_cpu);
    const size_t notes_at = sizeof(Elf64_Ehdr) + (1 + count) * sizeof(Elf64_Phdr);
    const size_t notes_size = m->vcpu_count * (status_size + cpu_size);
    *size = ALIGN_UP(notes_at + notes_size, 4096); /* so that memory is aligned, and zeros can be a hole */
    u8 *head = calloc(1, *size), *status = head + notes_at, *cpu = status + m->vcpu_count * status_size;
    int r = head ? 0 : error_set(e, ENOMEM, "no memory for the dump's header");
    for (unsigned i = 0; i < m->vcpu_count && r == 0; i++)
        r = write_notes(&m->vcpu[i], status + i * status_size, cpu + i * cpu_size, e);
    if (r == 0) {
        write_headers(head, notes_at, notes_size, *size, pieces, count);
        return head;
    }
    free(head);
    return NULL;
}
