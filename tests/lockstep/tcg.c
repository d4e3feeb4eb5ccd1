/* tcg.c - runs a case on QEMU's TCG, by its gdbstub: single steps, until the next instruction is a HLT */
/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * One QEMU serves all cases. Its RAM is a file that is mapped here too; but what has been executed is written
 * through the gdbstub, which drops translations. The gdbstub can write general and control registers and
 * selectors, where a selector's hidden part comes from the GDT. For the rest (table registers, LDTR and TR,
 * MSRs, debug registers) a loader in the guest runs first, in real mode, with a GDT of its own.
 */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "tests/lockstep/lockstep.h"
#include "tests/lockstep/limits.h"
#include "tests/lockstep/rsp.h"

enum { MAX_STEPS = 60, CODE_WINDOW = 0x180, QEMU_RAM = 0x100000 };

/* Numbers of registers in QEMU's target description for x86-64. */
enum {
    R_RIP = 16,
    R_EFLAGS,
    R_CS,
    R_SS,
    R_DS,
    R_ES,
    R_FS,
    R_GS,
    R_CR0 = 27,
    R_CR2,
    R_CR3,
    R_CR4,
    R_CR8,
    R_EFER
};
static const u8 gdb_gpr[16] = {0, 2, 3, 1, 7, 6, 4, 5, 8, 9, 10, 11, 12, 13, 14, 15};

struct tcg {
    struct reference reference;
    pid_t pid;
    char folder[32];
    u8 *ram;
    struct rsp rsp;
    bool other_code; /* the last case executed what is not in the code window */
};

/* ---- the loader, at LOADER; what it loads is behind it ---- */

struct loader_data {
    u16 own_gdt_limit;
    u32 own_gdt_base;
    u16 gdt_limit;
    u32 gdt_base;
    u16 idt_limit;
    u32 idt_base;
    u16 ldtr, tr;
    u32 dr[6];
    struct {
        u32 index, low, high;
    } msr[MSRS];
} __attribute__((packed));
enum { LOADER_DATA = 0x200, LOADER_GDT = 0x400 };

__asm__(".pushsection .rodata\n"
        "loader_start:\n"
        ".code16\n"
        "  mov %cs, %ax\n"
        "  mov %ax, %ds\n"
        "  lgdtl 0x200\n"
        "  lidtl 0x20c\n"
        "  mov $9, %bp\n" /* MSRS */
        "  mov $0x22e, %si\n"
        "1: mov (%si), %ecx\n"
        "  mov 4(%si), %eax\n"
        "  mov 8(%si), %edx\n"
        "  wrmsr\n"
        "  add $12, %si\n"
        "  dec %bp\n"
        "  jnz 1b\n"
        "  mov 0x216, %eax\n"
        "  mov %eax, %dr0\n"
        "  mov 0x21a, %eax\n"
        "  mov %eax, %dr1\n"
        "  mov 0x21e, %eax\n"
        "  mov %eax, %dr2\n"
        "  mov 0x222, %eax\n"
        "  mov %eax, %dr3\n"
        "  mov 0x226, %eax\n"
        "  mov %eax, %dr6\n"
        "  mov 0x22a, %eax\n"
        "  mov %eax, %dr7\n"
        "  mov %cr0, %eax\n"
        "  or $1, %al\n"
        "  mov %eax, %cr0\n"
        "  lldt 0x212\n"
        "  ltr 0x214\n"
        "  lgdtl 0x206\n"
        "loader_stop:\n"
        "  hlt\n"
        "loader_end:\n"
        ".code64\n"
        ".popsection\n");
extern const u8 loader_start[], loader_stop[], loader_end[];
_Static_assert(LOADER_DATA + offsetof(struct loader_data, idt_limit) == 0x20c && MSRS == 9, "loader");
_Static_assert(LOADER_DATA + offsetof(struct loader_data, ldtr) == 0x212, "loader");
_Static_assert(LOADER_DATA + offsetof(struct loader_data, dr) == 0x216, "loader");
_Static_assert(LOADER_DATA + offsetof(struct loader_data, msr) == 0x22e, "loader");

/* The loader's GDT is the case's, but no TSS is busy, so that LTR takes it. */
static void put_loader_data(struct tcg *t, const struct state *s)
{
    static const u8 number[6] = {0, 1, 2, 3, 6, 7};
    struct loader_data d = {
        .own_gdt_limit = GDT_ENTRIES * 8 - 1,
        .own_gdt_base = LOADER + LOADER_GDT,
        .gdt_limit = s->gdtr.limit,
        .gdt_base = (u32)s->gdtr.base,
        .idt_limit = s->idtr.limit,
        .idt_base = (u32)s->idtr.base,
        .ldtr = s->segment[LDTR].selector,
        .tr = s->segment[TR].selector,
    };
    for (unsigned i = 0; i < ARRAY_SIZE(number); i++)
        d.dr[i] = (u32)s->dr[number[i]];
    for (unsigned i = 0; i < MSRS; i++)
        d.msr[i].index = msr_number[i], d.msr[i].low = (u32)s->msr[i], d.msr[i].high = (u32)(s->msr[i] >> 32);
    memcpy(t->ram + LOADER + LOADER_DATA, &d, sizeof(d));
    memcpy(t->ram + LOADER + LOADER_GDT, t->ram + GDT, GDT_ENTRIES * 8);
    t->ram[LOADER + LOADER_GDT + (d.tr & ~7u) + 5] &= (u8)~2u;
}

/* ---- state in ---- */

/* The gdbstub loads a segment register only when the selector changes. */
static bool write_selector(struct tcg *t, unsigned number, u16 selector)
{
    return rsp_write_register(&t->rsp, number, selector ? 0 : 8) &&
           rsp_write_register(&t->rsp, number, selector);
}

static bool enter_real_mode(struct tcg *t)
{
    static const struct {
        u8 number, value;
    } first[] = {{R_EFLAGS, 2}, {R_CR0, 16}, {R_CR4, 0}, {R_EFER, 0}, {R_RIP, 0}};
    for (unsigned i = 0; i < ARRAY_SIZE(first); i++) {
        if (!rsp_write_register(&t->rsp, first[i].number, first[i].value))
            return false;
    }
    return write_selector(t, R_SS, 0) && write_selector(t, R_CS, LOADER / 16);
}

static bool run_loader(struct tcg *t)
{
    return enter_real_mode(t) && rsp_call(&t->rsp, "c");
}

static bool write_registers(struct tcg *t, const struct state *s)
{
    static const u8 segments[6] = {ES, CS, SS, DS, FS, GS}, number[6] = {R_ES, R_CS, R_SS, R_DS, R_FS, R_GS};
    struct rsp *r = &t->rsp;
    bool good = rsp_write_register(r, R_EFER, s->efer & ~0x400ull) && rsp_write_register(r, R_CR4, s->cr4) &&
                rsp_write_register(r, R_CR3, s->cr3) && rsp_write_register(r, R_CR0, s->cr0) &&
                rsp_write_register(r, R_EFLAGS, s->rflags);
    for (unsigned i = 0; good && i < 6; i++)
        good = write_selector(t, number[i], s->segment[segments[i]].selector);
    for (unsigned i = 0; good && i < 16; i++)
        good = rsp_write_register(r, gdb_gpr[i], s->gpr[i]);
    return good && rsp_write_register(r, R_RIP, s->rip) && rsp_write_register(r, R_CR2, s->cr2) &&
           rsp_write_register(r, R_CR8, 0);
}

static bool load_case(struct tcg *t, const struct guest *g)
{
    memcpy(t->ram, g->ram, COMPARED_END);
    put_loader_data(t, &g->state);
    if (!run_loader(t))
        return false;
    unsigned start = t->other_code ? 0 : CODE, size = t->other_code ? TABLES_END : CODE_WINDOW;
    t->other_code = false;
    bool good = rsp_write_memory(&t->rsp, start, g->ram + start, size);
    return good && write_registers(t, &g->state);
}

/* ---- state out: the text of `info registers` ---- */

static u64 number_after(const char *text, const char *name)
{
    const char *p = strstr(text, name);
    return p ? strtoull(p + strlen(name), NULL, 16) : 0;
}

/* In 64-bit code the names are RAX and so on, else EAX and the upper halves are not shown. */
static void parse_general(const char *text, struct state *s)
{
    static const char *const names[16] = {"AX=",  "CX=",  "DX=",  "BX=",  "SP=",  "BP=",  "SI=",  "DI=",
                                          "R8 =", "R9 =", "R10=", "R11=", "R12=", "R13=", "R14=", "R15="};
    for (unsigned i = 0; i < 16; i++)
        s->gpr[i] = number_after(text, names[i]);
    s->rip = number_after(text, "IP=");
    s->rflags = number_after(text, "FL=");
}

static void parse_segments(const char *text, struct state *s)
{
    static const char *const names[SEGMENTS] = {
        "\nES =", "\nCS =", "\nSS =", "\nDS =", "\nFS =", "\nGS =", "\nLDT=", "\nTR ="};
    for (unsigned i = 0; i < SEGMENTS; i++) {
        const char *p = strstr(text, names[i]);
        unsigned selector = 0, limit = 0, flags = 0;
        unsigned long long base = 0;
        if (p)
            sscanf(p + 5, "%x %llx %x %x", &selector, &base, &limit, &flags);
        s->segment[i] = (struct segment_state){(u16)selector, (u16)(flags >> 8 & 0xf0ff), limit, base};
    }
}

static struct table_state parse_table(const char *text, const char *name)
{
    const char *p = strstr(text, name);
    unsigned long long base = 0;
    unsigned limit = 0;
    if (p)
        sscanf(p + strlen(name), "%llx %x", &base, &limit);
    return (struct table_state){base, (u16)limit};
}

static void parse_state(const char *text, struct state *s)
{
    static const char *const dr[8] = {"DR0=", "DR1=", "DR2=", "DR3=", NULL, NULL, "DR6=", "DR7="};
    memset(s, 0, sizeof(*s));
    parse_general(text, s);
    parse_segments(text, s);
    s->gdtr = parse_table(text, "\nGDT=");
    s->idtr = parse_table(text, "\nIDT=");
    s->cr0 = number_after(text, "CR0=");
    s->cr2 = number_after(text, "CR2=");
    s->cr3 = number_after(text, "CR3=");
    s->cr4 = number_after(text, "CR4=");
    s->efer = number_after(text, "EFER=");
    for (unsigned i = 0; i < 8; i++)
        s->dr[i] = dr[i] ? number_after(text, dr[i]) : 0;
}

static bool read_state(struct tcg *t, struct state *s, unsigned *cpl)
{
    if (!rsp_monitor(&t->rsp, "info registers"))
        return false;
    if (t->reference.verbose) /* the general and control registers */
        fputs(t->rsp.reply, stdout);
    parse_state(t->rsp.reply, s);
    *cpl = (unsigned)number_after(t->rsp.reply, "CPL=");
    return true;
}

/* ---- QEMU ---- */

static void exec_qemu(const struct tcg *t)
{
    char memory[128], gdb[128];
    snprintf(memory, sizeof(memory), "memory-backend-file,id=ram,size=1M,share=on,mem-path=%s/ram",
             t->folder);
    snprintf(gdb, sizeof(gdb), "unix:%s/gdb,server=on,wait=off", t->folder);
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    execlp("qemu-system-x86_64", "qemu-system-x86_64", "-accel", "tcg", "-cpu",
           "max,la57=off,vme=off,pku=off,svm=off", "-M",
           "microvm,pit=off,pic=off,rtc=off,isa-serial=off,memory-backend=ram", "-m", "1", "-object", memory,
           "-nodefaults", "-display", "none", "-S", "-gdb", gdb, NULL);
    _exit(127);
}

static bool map_ram(struct tcg *t)
{
    char path[64];
    snprintf(path, sizeof(path), "%s/ram", t->folder);
    int fd = open(path, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    if (fd < 0 || ftruncate(fd, QEMU_RAM))
        return false;
    t->ram = mmap(NULL, QEMU_RAM, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    close(fd);
    return t->ram != MAP_FAILED;
}

/* Register numbers are valid once the description was asked for. */
static bool set_up(struct tcg *t)
{
    char stop[32];
    snprintf(stop, sizeof(stop), "Z0,%llx,1", LOADER + (unsigned long long)(loader_stop - loader_start));
    return rsp_call(&t->rsp, "qSupported:xmlRegisters=i386") &&
           rsp_call(&t->rsp, "qXfer:features:read:target.xml:0,ffb") && rsp_call(&t->rsp, stop);
}

static bool connect_to_qemu(struct tcg *t)
{
    char path[64];
    snprintf(path, sizeof(path), "%s/gdb", t->folder);
    for (unsigned tries = 0; tries < 500; tries++) {
        if (rsp_open(&t->rsp, path))
            return set_up(t);
        if (waitpid(t->pid, NULL, WNOHANG) == t->pid) {
            t->pid = 0;
            return false;
        }
        usleep(10000);
    }
    return false;
}

static bool start_qemu(struct tcg *t)
{
    t->rsp.fd = -1;
    t->pid = fork();
    if (t->pid == 0)
        exec_qemu(t);
    return t->pid > 0 && connect_to_qemu(t);
}

static void stop_qemu(struct tcg *t)
{
    char path[64];
    rsp_close(&t->rsp);
    if (t->pid > 0) {
        kill(t->pid, SIGKILL);
        waitpid(t->pid, NULL, 0);
    }
    t->pid = 0;
    snprintf(path, sizeof(path), "%s/gdb", t->folder);
    unlink(path);
}

/* ---- running ---- */

static u64 linear_rip(const struct state *s)
{
    bool wide = (s->efer & 0x400) && (s->segment[CS].attributes & 0x2000);
    return wide ? s->rip : (u32)(s->segment[CS].base + s->rip);
}

enum { INSN_MAX = 15 };

/* What stands at rip: as many bytes as are mapped. */
static unsigned next_code(struct tcg *t, const struct state *s, u8 code[INSN_MAX])
{
    char packet[64];
    u64 at = linear_rip(s);
    unsigned n = INSN_MAX, got = 0;
    for (; n && !got; n = n == INSN_MAX ? 0x1000 - (at & 0xfff) : 0) { /* else up to the page's end */
        snprintf(packet, sizeof(packet), "m%llx,%x", (unsigned long long)at, n);
        if (rsp_call(&t->rsp, packet) && t->rsp.reply[0] != 'E')
            got = rsp_unhex(t->rsp.reply, (char *)code);
        if (n != INSN_MAX || at % 0x1000 <= 0x1000 - INSN_MAX)
            break;
    }
    if (got && (at < CODE || at >= CODE + CODE_WINDOW))
        t->other_code = true;
    return got;
}

static void reset(struct tcg *t)
{
    struct state s;
    unsigned cpl;
    t->other_code = true;
    if (!rsp_monitor(&t->rsp, "system_reset"))
        return;
    for (unsigned tries = 0; tries < 500; tries++) { /* it is done behind the scenes */
        usleep(2000);
        if (!read_state(t, &s, &cpl) || s.rip == 0xfff0)
            return;
    }
}

static void has_no_verdict(struct result *out, const char *why)
{
    out->end = END_UNKNOWN;
    snprintf(out->why, sizeof(out->why), "%s", why);
}

/* An answer that did not come in time may still come, in the place of another: the next case has a new QEMU.
 */
static void gave_up(struct tcg *t, struct result *out, const char *why)
{
    has_no_verdict(out, why);
    stop_qemu(t);
}

/* A triple fault resets the machine, and the step ends behind its first instruction. */
static bool was_reset(const struct state *s)
{
    return s->segment[CS].selector == 0xf000 && s->rip >= 0xe000;
}

/* Data as code is not what this is about; and whether a HLT in it may be executed is not known beforehand. */
static bool is_elsewhere(const struct state *s, u8 opcode)
{
    u64 at = linear_rip(s);
    bool code = at >= CODE && at < HANDLERS, handlers = at >= HANDLERS && at < GDT;
    bool executable = !(s->cr0 & BIT(31)) || (!(s->cr4 & BIT(20)) && !(s->efer & 0x800));
    return opcode == 0xf4 ? !code && !handlers && !executable : !code;
}

static void step_to_end(struct tcg *t, const struct guest *g, struct result *out)
{
    struct state before;
    u8 code[INSN_MAX];
    unsigned cpl;
    out->end = END_LIMIT;
    for (unsigned steps = 0; steps < MAX_STEPS; steps++) {
        before = out->state;
        if (!read_state(t, &out->state, &cpl)) {
            gave_up(t, out, "no registers");
            return;
        }
        if (steps && was_reset(&out->state)) {
            out->state = before;
            out->end = END_SHUTDOWN;
            t->other_code = true;
            return;
        }
        if (steps == 0) /* before the first step QEMU shows older arithmetic flags too */
            out->state.rflags = g->state.rflags;
        if (steps == 0 && out->state.segment[CS].selector != g->state.segment[CS].selector) {
            has_no_verdict(out, "the state cannot be loaded");
            reset(t);
            return;
        }
        unsigned size = next_code(t, &out->state, code);
        if (size && is_elsewhere(&out->state, code[0])) {
            has_no_verdict(out, "it executes data");
            return;
        }
        if (size && code[0] == 0xf4 && cpl == 0) {
            out->end = END_HALT;
            out->state.rip++;
            if (!(out->state.segment[CS].attributes & 0x6000)) /* 16-bit code: IP wraps */
                out->state.rip &= 0xffff;
            return;
        }
        if (tcg_would_let_pass(&out->state, code, size)) {
            has_no_verdict(out, "TCG does not check that");
            return;
        }
        if (!rsp_call(&t->rsp, "s")) {
            gave_up(t, out, "a step does not end");
            return;
        }
    }
}

static bool is_running(struct tcg *t)
{
    if (t->pid)
        return true;
    if (start_qemu(t)) {
        reset(t);
        return true;
    }
    stop_qemu(t);
    return false;
}

static void tcg_run(struct reference *r, const struct guest *g, struct result *out)
{
    struct tcg *t = container_of(r, struct tcg, reference);
    out->ram = t->ram;
    if (!is_running(t))
        has_no_verdict(out, "QEMU does not start again");
    else if (load_case(t, g))
        step_to_end(t, g, out);
    else
        gave_up(t, out, "the state cannot be loaded");
}

static void tcg_close(struct reference *r)
{
    struct tcg *t = container_of(r, struct tcg, reference);
    char path[64];
    stop_qemu(t);
    snprintf(path, sizeof(path), "%s/ram", t->folder);
    unlink(path);
    rmdir(t->folder);
    free(t);
}

struct reference *tcg_reference(void)
{
    struct tcg *t = calloc(1, sizeof(*t));
    t->reference = (struct reference){"tcg", true, tcg_run, tcg_close, false};
    strcpy(t->folder, "/tmp/lockstep-XXXXXX");
    if (!mkdtemp(t->folder) || !map_ram(t)) {
        printf("tcg: %s: %s\n", t->folder, strerror(errno));
        free(t);
        return NULL;
    }
    memcpy(t->ram + LOADER, loader_start, (size_t)(loader_end - loader_start));
    if (!is_running(t)) {
        printf("tcg: qemu-system-x86_64 does not start\n");
        tcg_close(&t->reference);
        return NULL;
    }
    return &t->reference;
}
