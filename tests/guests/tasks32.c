/* tasks32.c - hardware task switches, by all ways and with all that may go wrong (SDM 3A ch. 7) */
/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "tests/guests/lib/guest.h"

struct task_state {
    u32 link, esp0, ss0, esp1, ss1, esp2, ss2, cr3, eip, eflags, gpr[8], segment[6], ldt;
    u16 trap, iomap;
} __attribute__((packed));
struct task_state16 {
    u16 link, sp0, ss0, sp1, ss1, sp2, ss2, ip, flags, gpr[8], segment[4], ldt;
} __attribute__((packed));

enum { TASK = GDT_FREE, GATE = 0x50, FREE = 0x58, TASK16 = 0x60, LDT = 0x68 };
enum { ES_, CS_, SS_, DS_, FS_, GS_ };
enum { ESP_ = 4, AVAILABLE = 0x89, AVAILABLE16 = 0x81, BUSY = 2, CR0_TASK = CR0_TS };

#define MAIN ((volatile struct task_state *)tss)
static volatile struct task_state task __attribute__((aligned(128)));
static volatile struct task_state16 task16 __attribute__((aligned(128)));
static u8 task_stack[4096] __attribute__((aligned(16)));

/* What a task saw. */
static volatile struct {
    u32 runs, tr, flags, cr0, error, value;
} seen;
static const volatile u32 *probe; /* read by the task, through its own page tables */

static u32 task_register(void)
{
    u16 tr;
    __asm__ volatile("str %0" : "=r"(tr));
    return tr;
}

/* Entered by the tasks' loops below, with the flags and CR0 that the switch left. */
__attribute__((used)) static void observe(u32 flags, u32 cr0, u32 error)
{
    seen.runs++;
    seen.tr = task_register();
    seen.flags = flags;
    seen.cr0 = cr0;
    seen.error = error;
    seen.value = probe ? *probe : 0;
    __asm__ volatile("clts");
}

/* Tasks go on behind their IRET when they are called again. task_error finds an error code on its stack, and
 * the faulting task has to go on behind its instruction, of two bytes. */
__asm__(".text\n"
        "task_loop: push $0\n pushf\n mov %cr0, %eax\n xchg %eax, (%esp)\n push %eax\n call observe\n"
        " add $12, %esp\n iret\n jmp task_loop\n"
        "task_error: pushf\n mov %cr0, %eax\n xchg %eax, (%esp)\n push %eax\n call observe\n"
        " add $12, %esp\n addl $2, tss+32\n iret\n jmp task_error\n"
        "task_jumps: push $0\n pushf\n mov %cr0, %eax\n xchg %eax, (%esp)\n push %eax\n call observe\n"
        " add $12, %esp\n ljmp $0x38, $0\n jmp task_jumps\n");
extern const char task_loop[], task_error[], task_jumps[];

static void set_descriptor(u16 selector, u32 base, u32 limit, u8 access)
{
    gdt[selector / 8] = (limit & 0xffff) | (u64)(base & 0xffffff) << 16 | (u64)access << 40 |
                        (u64)(limit >> 16 & 15) << 48 | (u64)(base >> 24) << 56;
}

static u8 access_of(u16 selector)
{
    return (u8)(gdt[selector / 8] >> 40);
}

static void set_task(const char *entry)
{
    memset((void *)&task, 0, sizeof(task));
    task.esp0 = (u32)stack_top - 4096;
    task.ss0 = DATA;
    task.cr3 = read_cr3();
    task.eip = (u32)entry;
    task.eflags = 2;
    task.gpr[ESP_] = (u32)(task_stack + sizeof(task_stack));
    for (unsigned i = 0; i < 6; i++)
        task.segment[i] = i == CS_ ? CODE32 : DATA;
    task.iomap = sizeof(task);
    set_descriptor(TASK, (u32)&task, sizeof(task) - 1, AVAILABLE);
    gdt[GATE / 8] = (u64)TASK << 16 | (u64)0x85 << 40;
    MAIN->cr3 = read_cr3();
    seen.runs = seen.error = 0;
}

/* Back to the main TSS after a fault in a new task has ended it. */
static void back_to_main(void)
{
    gdt[TSS / 8] &= ~((u64)BUSY << 40);
    __asm__ volatile("ltr %w0\n\tclts\n\tmov %1, %%fs\n\tmov %1, %%gs" ::"r"(TSS), "r"(DATA));
}

#define TO_TASK(insn, selector) insn " $" #selector ", $0"

static void check_seen(const char *name, u32 tr, u32 flags)
{
    check_eq(name, seen.runs, 1);
    check_eq("  task register", seen.tr, tr);
    check_eq("  flags", seen.flags & (NT | IF | 2), flags);
    check_eq("  CR0.TS", seen.cr0 & CR0_TASK, CR0_TASK);
}

static void calls(void)
{
    u32 before = 0x11223344, after;
    set_task(task_loop);
    __asm__ volatile("push %%fs\n\tstc\n1: lcall $0x48, $0\n2: sbb %0, %0\n\tpop %%fs"
                     : "=r"(after), "+b"(before)::"memory", "cc");
    check_seen("call of a TSS", TASK, NT | 2);
    check_eq("  link", task.link & 0xffff, TSS);
    tcg_differs("loses them");
    check_eq("  flags of the caller", after, 0xffffffff);
    check_eq("  registers of the caller", before, 0x11223344);
    check_eq("  saved ebx", MAIN->gpr[3], 0x11223344);
    check_eq("  saved NT of the callee", task.eflags & NT, 0);
    check_eq("  callee is available again", access_of(TASK), AVAILABLE);
    check_eq("  caller is busy", access_of(TSS), AVAILABLE | BUSY);
    check_eq("  task register is back", task_register(), TSS);
    __asm__ volatile("lcall $0x48, $0" ::: "memory", "cc");
    check_eq("a second call goes on behind the iret", seen.runs, 2);
    seen.runs = 0;
    __asm__ volatile("lcall $0x50, $0" ::: "memory", "cc");
    check_seen("call of a task gate", TASK, NT | 2);
    __asm__ volatile("clts");
}

static void jumps(void)
{
    set_task(task_jumps);
    __asm__ volatile("ljmp $0x48, $0" ::: "memory", "cc");
    check_seen("jump to a TSS", TASK, 2);
    check_eq("  no link", task.link, 0);
    check_eq("  the task is available", access_of(TASK), AVAILABLE);
    seen.runs = 0;
    __asm__ volatile("ljmp $0x50, $0" ::: "memory", "cc");
    check_seen("jump to a task gate", TASK, 2);
    __asm__ volatile("clts");
}

static void interrupts(void)
{
    set_task(task_loop);
    idt_set(0x80, 0, TASK, 0x85, 0);
    __asm__ volatile("int $0x80" ::: "memory", "cc");
    check_seen("interrupt through a task gate", TASK, NT | 2);
    set_task(task_error);
    idt_set(GP, 0, TASK, 0x85, 0);
    __asm__ volatile("mov %0, %%fs" ::"r"(0x1000) : "memory", "cc");
    idt_set(GP, trap_entries[GP], CODE32, 0x8e, 0);
    check_seen("fault through a task gate", TASK, NT | 2);
    check_eq("  error code", seen.error, 0x1000);
    tcg_differs("saves no resume flag");
    check_eq("  RF in the faulting task's TSS", MAIN->eflags & RF, RF);
    idt_set(0x81, 0, DATA, 0x85, 0);
    RAISES("interrupt to a task gate for a data segment", GP, DATA, "int $0x81", ::: "memory");
    __asm__ volatile("clts");
}

static void send_to_self(u32 command)
{
    static volatile u32 *const apic = (volatile u32 *)0xfee00000;
    apic[0xf0 / 4] = 0x1ff;
    apic[0x310 / 4] = apic[0x20 / 4];
    apic[0x300 / 4] = command;
    __asm__ volatile("sti\n\tnop\n\tnop\n\tcli" ::: "memory");
    apic[0xb0 / 4] = 0;
}

/* What comes from without: its task's IRET is the end of an NMI too. */
static void arrivals(void)
{
    enum { VECTOR = 0x82, ASSERT = BIT(14), AS_NMI = 4 << 8 };
    set_task(task_loop);
    idt_set(VECTOR, 0, TASK, 0x85, 0);
    send_to_self(ASSERT | VECTOR);
    check_seen("interrupt of the APIC through a task gate", TASK, NT | 2);
    check_eq("  IF of the interrupted task", MAIN->eflags & IF, IF);
    set_task(task_loop);
    idt_set(NMI, 0, TASK, 0x85, 0);
    send_to_self(ASSERT | AS_NMI);
    check_seen("NMI through a task gate", TASK, NT | 2);
    send_to_self(ASSERT | AS_NMI);
    check_eq("  and another", seen.runs, 2);
    idt_set(NMI, trap_entries[NMI], CODE32, 0x8e, 0);
    __asm__ volatile("clts");
}

static void refusals(void)
{
    set_task(task_loop);
    RAISES("call of the own TSS", GP, TSS, TO_TASK("lcall", 0x38), ::: "memory");
    set_descriptor(TASK, (u32)&task, sizeof(task) - 1, AVAILABLE & ~0x80);
    RAISES("TSS not present", NP, TASK, TO_TASK("ljmp", 0x48), ::: "memory");
    RAISES("TSS not present, by a gate", NP, TASK, TO_TASK("ljmp", 0x50), ::: "memory");
    set_descriptor(TASK, (u32)&task, sizeof(task) - 2, AVAILABLE);
    RAISES("TSS too short", TS, TASK, TO_TASK("ljmp", 0x48), ::: "memory");
    set_descriptor(TASK, (u32)&task, sizeof(task) - 1, AVAILABLE);
    gdt[GATE / 8] = (u64)TASK << 16 | (u64)0x05 << 40;
    RAISES("gate not present", NP, GATE, TO_TASK("ljmp", 0x50), ::: "memory");
    gdt[GATE / 8] = (u64)(TASK | 4) << 16 | (u64)0x85 << 40;
    tcg_differs("raises #TS");
    RAISES("gate to an LDT's selector", GP, TASK | 4, TO_TASK("ljmp", 0x50), ::: "memory");
    MAIN->link = TASK; /* not busy */
    check_trap("iret to an available TSS", TRY("pushl $0x4002\n\tpopf\n\tiret", ::: "memory"), TS, TASK, 6);
    check_eq("nothing was switched", task_register(), TSS);
    check_eq("the TSS is available", access_of(TASK), AVAILABLE);
}

/* Where the new task faults, its registers are what TRY comes back with. The frame pointer is passed on. */
#define OTHER_REGISTERS "eax", "ebx", "ecx", "edx", "esi", "edi", "memory"
#define PASS_EBP()      __asm__ volatile("mov %%ebp, %0" : "=m"(task.gpr[5]))

/* Behind the commit point: the fault is the new task's. */
static void bad_segment(const char *name, unsigned segment, u32 selector, s32 vector, u32 error)
{
    set_task(task_loop);
    task.segment[segment] = selector;
    PASS_EBP();
    struct trap t = TRY(TO_TASK("ljmp", 0x48), ::: OTHER_REGISTERS);
    check_eq(name, (u64)t.vector, (u64)vector);
    check_eq("  error code", t.error, error);
    tcg_differs("faults at the old task's instruction");
    check_eq("  in the new task", t.rip, (u32)task_loop);
    check_eq("  task register", task_register(), TASK);
    back_to_main();
}

static void bad_segments(void)
{
    bad_segment("ES beyond the GDT", ES_, 0x1008, TS, 0x1008);
    set_descriptor(FREE, 0, 0xffff, 0x13);
    bad_segment("DS not present", DS_, FREE, NP, FREE);
    set_descriptor(FREE, 0, 0xffff, 0x99);
    bad_segment("FS execute-only", FS_, FREE, TS, FREE);
    bad_segment("GS in an absent LDT", GS_, 0xc, TS, 0xc);
    set_descriptor(LDT, (u32)gdt, 0xff, 0x82);
    set_task(task_loop);
    task.ldt = LDT;
    task.segment[FS_] = DATA | 4;
    NO_FAULT("task with an LDT", TO_TASK("lcall", 0x48), ::: "memory");
    check_eq("  it ran", seen.runs, 1);
    __asm__ volatile("clts");
}

static void sixteen_bits(void)
{
    memset((void *)&task16, 0, sizeof(task16));
    set_task(task_loop);
    set_descriptor(TASK16, (u32)&task16, sizeof(task16) - 1, AVAILABLE16);
    static u8 code[32];
    u8 *c = code; /* str [seen.tr]; iret */
    *c++ = 0x0f, *c++ = 0x00, *c++ = 0x0d;
    u32 where = (u32)&seen.tr;
    memcpy(c, &where, 4), c += 4;
    *c++ = 0xcf;
    set_descriptor(FREE, (u32)code, sizeof(code) - 1, 0x9b);
    gdt[FREE / 8] |= 1ull << 54;
    task16.flags = 2;
    task16.gpr[ESP_] = 0x800;
    task16.gpr[3] = 0x5678;
    task16.segment[ES_] = task16.segment[SS_] = task16.segment[DS_] = DATA;
    task16.segment[CS_] = FREE;
    seen.tr = 0;
    u32 ebx = 0xaabbccdd;
    __asm__ volatile("lcall $0x60, $0\n\tmov $0x18, %%eax\n\tmov %%eax, %%fs"
                     : "+b"(ebx)::"eax", "memory", "cc");
    check_eq("call of a 16-bit TSS", seen.tr, TASK16);
    check_eq("  registers of the caller", ebx, 0xaabbccdd);
    check_eq("  saved bx of the callee", task16.gpr[3], 0x5678);
    check_eq("  saved ip of the callee", task16.ip, 8);
    check_eq("  link", task16.link, TSS);
    check_eq("  back in the 32-bit task", task_register(), TSS);
    __asm__ volatile("clts");
}

static volatile u32 traps, trap_dr6, trap_eip;
static void debug_trap(struct frame *f)
{
    traps++;
    trap_dr6 = read_dr6();
    trap_eip = f->rip;
    write_dr6(0xffff0ff0);
}

static void trap_flag(void)
{
    set_task(task_loop);
    task.trap = 1;
    traps = 0;
    trap_handle(DB, debug_trap);
    __asm__ volatile("lcall $0x48, $0" ::: "memory", "cc");
    trap_handle(DB, NULL);
    tcg_differs("has no T bit");
    check_eq("T bit of the TSS traps once", traps, 1);
    tcg_differs("has no T bit");
    check_eq("  DR6.BT", trap_dr6 & 0xf00f, 0x8000);
    tcg_differs("has no T bit");
    check_eq("  at the first instruction", trap_eip, (u32)task_loop);
    __asm__ volatile("clts");
}

/* A virtual-8086 task: its HLT faults. */
static void vm86(void)
{
    static const u8 code[] = {0xf4};
    memcpy((void *)0x8000, code, sizeof(code));
    set_task(task_loop);
    task.eip = 0;
    task.eflags = 2 | BIT(17);
    task.gpr[ESP_] = 0x100;
    for (unsigned i = 0; i < 6; i++)
        task.segment[i] = 0x800;
    PASS_EBP();
    struct trap t = TRY(TO_TASK("ljmp", 0x48), ::: OTHER_REGISTERS);
    check_eq("a virtual-8086 task's hlt", (u64)t.vector, GP);
    check_eq("  its cs", t.cs & 0xffff, 0x800);
    check_eq("  its flags", t.rflags & BIT(17), BIT(17));
    back_to_main();
}

/* Two address spaces that differ in what is at 4 MiB * 64. */
static void address_spaces(void)
{
    static u32 directory[2][1024] __attribute__((aligned(4096)));
    static u32 frame[2][1024] __attribute__((aligned(4096))), table[2][1024] __attribute__((aligned(4096)));
    const volatile u32 *where = (const volatile u32 *)0x10000000;
    for (unsigned d = 0; d < 2; d++) {
        for (u32 i = 0; i < 1024; i++)
            directory[d][i] = i << 22 | PTE_PS | PTE_W | PTE_P;
        frame[d][0] = 0x1000 + d;
        table[d][0] = (u32)frame[d] | PTE_W | PTE_P;
        directory[d][64] = (u32)table[d] | PTE_W | PTE_P;
    }
    write_cr3((u32)directory[0]);
    write_cr4(read_cr4() | CR4_PSE);
    write_cr0(read_cr0() | CR0_PG);
    set_task(task_loop);
    task.cr3 = (u32)directory[1];
    probe = where;
    check_eq("the caller's page", *where, 0x1000);
    __asm__ volatile("lcall $0x48, $0" ::: "memory", "cc");
    check_eq("the task's page", seen.value, 0x1001);
    check_eq("the caller's page again", *where, 0x1000);
    check_eq("the caller's CR3", read_cr3(), (u32)directory[0]);
    set_descriptor(FREE, 0x10001000, sizeof(task) - 1, AVAILABLE);
    struct trap t = TRY(TO_TASK("ljmp", 0x58), ::: "memory");
    check_eq("a TSS that is not mapped", (u64)t.vector, PF);
    check_eq("  its page", t.cr2 >> 12, 0x10001);
    check_eq("  no switch", task_register(), TSS);
    probe = NULL;
    write_cr0(read_cr0() & ~CR0_PG);
    __asm__ volatile("clts");
}

int main(void)
{
    calls();
    jumps();
    interrupts();
    arrivals();
    refusals();
    bad_segments();
    sixteen_bits();
    trap_flag();
    vm86();
    address_spaces();
    return 0;
}
