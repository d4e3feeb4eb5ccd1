/* shadow.c - a process that holds one address space of the guest, and runs its code (ptrace(2), seccomp(2))
 */
/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The process is a copy of ours that unmaps everything but the stub as the first thing it does. It is traced
 * by the vcpu's thread, dies with it, and can do nothing by itself: guest code runs under PTRACE_SYSEMU, so
 * that its system calls stop before they begin, and before any filter that the program around us may have.
 * The stub's own are filtered to three.
 *
 * Guest code is entered through the stub too, which loads registers, vectors among them, that ptrace would be
 * slow to load. Until the stub's last instruction nothing of the guest has changed, so a stop in there means
 * that nothing has happened, and it is entered again.
 *
 * It has exit signal 0, so that the program around us hears nothing of its end. Its stops are reported to our
 * thread by waitpid; a SIGCHLD handler that did not ask for SA_NOCLDSTOP is called for them too.
 */
#include <errno.h>
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <sched.h>
#include <signal.h>
#include <stddef.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/resource.h>
#include <sys/rseq.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <elf.h>
#include <unistd.h>

#include "hypervisor/direct/shadow.h"
#include "hypervisor/sigaction.h"

/* The code; its ends. */
extern const u8 shadow_stub[], shadow_stub_failed[], shadow_stub_done[], shadow_stub_end[];

enum { RAM_FD = 3, PAGE = 4096, TICK_US = 4000, SET_CPUID = 0x1012 /* ARCH_SET_CPUID */ };
enum { SYSCALL_STOP = SIGTRAP | 0x80 };
enum { ENTRY_PAGE = 1, VECTORS_PAGE = 2, OPS_PAGE = 4 };
#define USER_END 0x7ffffffff000ull

#ifndef PTRACE_SYSEMU
#define PTRACE_SYSEMU 31
#endif

static u64 stub_address(const struct shadow_process *p, const u8 *label)
{
    return p->stub + (u64)(label - shadow_stub);
}

/* ---- in the new process: only system calls, as locks may be held by threads that are not there ---- */

static void signals_default(void)
{
    struct sigaction a = {.sa_handler = SIG_DFL};
    sigset_t none;
    sigemptyset(&none);
    for (int n = 1; n < NSIG; n++)
        __sigaction(n, &a, NULL);
    sigprocmask(SIG_SETMASK, &none, NULL);
}

/* The kernel must not write to what libc has registered: it will be gone. */
static void rseq_end(void)
{
    u8 *self;
    __asm__("mov %%fs:0, %0" : "=r"(self));
    if (__rseq_size)
        syscall(SYS_rseq, self + __rseq_offset, 32, 1 /* RSEQ_FLAG_UNREGISTER */, RSEQ_SIG);
}

/* The stub's calls, and none else. (Guest code makes none, but in the vsyscall page the kernel would do some
 * itself, if the filter let it.) */
static int filter(void)
{
    enum { NR = offsetof(struct seccomp_data, nr), ARCH = offsetof(struct seccomp_data, arch) };
    struct sock_filter code[] = {
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, ARCH),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, AUDIT_ARCH_X86_64, 0, 4),
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, NR),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_mmap, 3, 0),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_munmap, 2, 0),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_arch_prctl, 1, 0),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_TRAP),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
    };
    struct sock_fprog program = {ARRAY_SIZE(code), code};
    return prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program);
}

static int confine(void)
{
    const struct rlimit none = {0, 0};
    const struct itimerval tick = {{0, TICK_US}, {0, TICK_US}};
    if (prctl(PR_SET_PDEATHSIG, SIGKILL) || prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) ||
        prctl(PR_SET_TSC, PR_TSC_SIGSEGV) || setrlimit(RLIMIT_CORE, &none) ||
        setitimer(ITIMER_VIRTUAL, &tick, NULL))
        return -1;
    prctl(PR_SET_NAME, "lodge-direct");
    setsid(); /* a terminal's signals are for the program around us */
    return 0;
}

static int map_stub(int fd, u64 stub)
{
    void *code = (void *)stub, *list = (void *)(stub + PAGE);
    if (mmap(code, PAGE, PROT_READ | PROT_EXEC, MAP_SHARED | MAP_FIXED_NOREPLACE, fd, 0) != code)
        return -1;
    return mmap(list, PAGE * (STUB_PAGES - 1), PROT_READ, MAP_SHARED | MAP_FIXED_NOREPLACE, fd, PAGE) == list
               ? 0
               : -1;
}

static int keep_only(int ram)
{
    if (ram != RAM_FD && dup2(ram, RAM_FD) < 0)
        return -1;
    for (int fd = 0; fd < RAM_FD; fd++)
        close(fd);
    return (int)syscall(SYS_close_range, RAM_FD + 1, ~0u, 0);
}

_Noreturn static void enter_stub(const struct shadow_process *p)
{
    register u64 fd __asm__("r8") = RAM_FD;
    __asm__ volatile("jmp *%0" : : "a"(p->stub), "r"(fd) : "memory");
    __builtin_unreachable();
}

static void try_cpuid(struct shadow_process *p)
{
    p->entry->vectors = !syscall(SYS_arch_prctl, SET_CPUID, 0) && !syscall(SYS_arch_prctl, SET_CPUID, 1);
}

_Noreturn static void become_shadow(struct shadow_process *p, int stub_fd)
{
    signals_default();
    rseq_end();
    try_cpuid(p);
    if (!map_stub(stub_fd, p->stub) && !keep_only(p->ram) && !confine() &&
        !ptrace(PTRACE_TRACEME, 0, NULL, NULL) && !filter())
        enter_stub(p);
    syscall(SYS_exit_group, 1);
    __builtin_unreachable();
}

/* ---- its life ---- */

static int make_stub(struct shadow_process *p)
{
    int fd = memfd_create("shadow-stub", MFD_CLOEXEC);
    if (fd < 0)
        return -errno;
    void *m = MAP_FAILED;
    if (!ftruncate(fd, STUB_PAGES * PAGE) &&
        pwrite(fd, shadow_stub, (size_t)(shadow_stub_end - shadow_stub), 0) > 0)
        m = mmap(NULL, PAGE * (STUB_PAGES - 1), PROT_READ | PROT_WRITE, MAP_SHARED, fd, PAGE);
    if (m == MAP_FAILED) {
        int error = errno;
        close(fd);
        return -error;
    }
    p->entry = m;
    p->vectors = (u8 *)m + PAGE * (VECTORS_PAGE - ENTRY_PAGE);
    p->ops = (void *)((u8 *)m + PAGE * (OPS_PAGE - ENTRY_PAGE));
    return fd;
}

static void add(struct shadow_process *p, struct shadow_op op)
{
    p->ops[p->entry->count++] = op;
}

/* What the process inherits. */
static void unmap_all(struct shadow_process *p)
{
    u64 end = p->stub + STUB_PAGES * PAGE;
    add(p, (struct shadow_op){SYS_munmap, 0, p->stub});
    add(p, (struct shadow_op){SYS_munmap, end, USER_END - end});
}

static pid_t wait_for(pid_t pid, int *status, bool (*interrupted)(void *), void *arg)
{
    for (;;) {
        pid_t r = waitpid(pid, status, __WALL | __WNOTHREAD);
        if (r >= 0 || errno != EINTR)
            return r;
        if (interrupted && interrupted(arg))
            syscall(SYS_tgkill, pid, pid, SIGURG);
    }
}

/* Until the stub is at one of its ends: whether at the good one. */
static bool stub_done(struct shadow_process *p)
{
    int status;
    for (;;) {
        if (wait_for(p->pid, &status, NULL, NULL) < 0 || !WIFSTOPPED(status))
            return false;
        if (status >> 8 == SIGTRAP)
            break;
        if (WSTOPSIG(status) != SIGURG && WSTOPSIG(status) != SIGVTALRM)
            return false;
        if (ptrace(PTRACE_CONT, p->pid, NULL, NULL))
            return false;
    }
    p->entry->count = 0;
    return !ptrace(PTRACE_GETREGS, p->pid, NULL, &p->regs) &&
           p->regs.rip == stub_address(p, shadow_stub_done) + 1;
}

static bool set_options(struct shadow_process *p)
{
    const uintptr_t options = PTRACE_O_EXITKILL | PTRACE_O_TRACESYSGOOD;
    return !ptrace(PTRACE_SETOPTIONS, p->pid, NULL, (void *)options);
}

static void end_at_stub(struct shadow_process *p)
{
    p->entry->rip = stub_address(p, shadow_stub_done);
    p->entry->rflags = 0x202;
    p->entry->vectors = 0;
}

int shadow_start(struct shadow_process *p, int ram_fd, u64 stub)
{
    *p = (struct shadow_process){.stub = stub, .ram = ram_fd, .cpu = -1};
    int fd = make_stub(p);
    if (fd < 0)
        return fd;
    unmap_all(p);
    end_at_stub(p);
    pid_t pid = (pid_t)syscall(SYS_clone, 0, NULL, NULL, NULL, 0);
    if (pid == 0)
        become_shadow(p, fd);
    int error = errno;
    close(fd);
    p->pid = max(pid, 0);
    if (pid > 0 && stub_done(p) && set_options(p)) {
        p->can_trap_cpuid = p->entry->vectors;
        p->entry->vectors = 0;
        return 0;
    }
    shadow_end(p);
    return pid < 0 ? -error : -EPERM;
}

void shadow_end(struct shadow_process *p)
{
    int status;
    if (p->pid) {
        kill(p->pid, SIGKILL);
        while (waitpid(p->pid, &status, __WALL) == p->pid && WIFSTOPPED(status))
            ;
    }
    if (p->entry)
        munmap(p->entry, PAGE * (STUB_PAGES - 1));
    *p = (struct shadow_process){0};
}

/* ---- mappings ---- */

/* The process goes on in the stub. cs and ss are as they were. */
static bool resume_stub(struct shadow_process *p, int how)
{
    p->regs.rip = p->stub;
    p->regs.r8 = RAM_FD;
    p->regs.orig_rax = ~0ull; /* no system call is restarted */
    p->regs.eflags = 0x202;
    return !ptrace(PTRACE_SETREGS, p->pid, NULL, &p->regs) &&
           !ptrace((enum __ptrace_request)how, p->pid, NULL, NULL);
}

bool shadow_apply(struct shadow_process *p)
{
    if (!p->entry->count)
        return true;
    const struct shadow_entry kept = *p->entry;
    const struct user_regs_struct regs = p->regs;
    end_at_stub(p);
    bool good = resume_stub(p, PTRACE_CONT) && stub_done(p);
    *p->entry = kept;
    p->entry->count = 0;
    p->regs = regs;
    return good;
}

static bool continues(const struct shadow_op *o, u64 address, int protection, u64 offset)
{
    if (o->address + o->length != address)
        return false;
    return protection
               ? o->number == SYS_mmap && o->protection == (u64)protection && o->offset + o->length == offset
               : o->number == SYS_munmap;
}

bool shadow_map(struct shadow_process *p, u64 address, u64 length, int protection, u64 offset)
{
    u64 count = p->entry->count;
    if (count && continues(&p->ops[count - 1], address, protection, offset)) {
        p->ops[count - 1].length += length;
        return true;
    }
    if (count == SHADOW_OPS && !shadow_apply(p))
        return false;
    add(p, protection ? (struct shadow_op){SYS_mmap, address, length, (u64)protection,
                                           MAP_SHARED | MAP_FIXED | MAP_POPULATE, offset}
                      : (struct shadow_op){SYS_munmap, address, length});
    return true;
}

void shadow_forget_maps(struct shadow_process *p)
{
    p->entry->count = 0;
}

bool shadow_trap_cpuid(struct shadow_process *p)
{
    if (!p->can_trap_cpuid || p->traps_cpuid || (p->entry->count == SHADOW_OPS && !shadow_apply(p)))
        return false;
    add(p, (struct shadow_op){SYS_arch_prctl, SET_CPUID, 0});
    return p->traps_cpuid = true;
}

static bool poke_debug_register(struct shadow_process *p, unsigned n, u64 value)
{
    size_t offset = offsetof(struct user, u_debugreg) + n * sizeof(((struct user *)0)->u_debugreg[0]);
    return !ptrace(PTRACE_POKEUSER, p->pid, (void *)offset, (void *)value);
}

/* DR7: a local breakpoint of each that is in use, type and length 0 for execution (SDM 3B 17.2.4). */
bool shadow_breakpoint(struct shadow_process *p, unsigned n, u64 address)
{
    u64 bit = BIT(2 * n);
    if (p->dr7 & bit && !poke_debug_register(p, 7, p->dr7 & ~bit))
        return false;
    p->dr7 &= ~bit;
    if (!address)
        return true;
    if (!poke_debug_register(p, n, address) || !poke_debug_register(p, 7, p->dr7 | bit))
        return false;
    p->dr7 |= bit;
    return true;
}

/* ---- guest code ---- */

/* Beside our thread, on its processor: a wake-up on another costs four times as much. */
static void follow_processor(struct shadow_process *p)
{
    int cpu = sched_getcpu();
    if (cpu == p->cpu || cpu < 0 || cpu >= CPU_SETSIZE)
        return;
    cpu_set_t set;
    CPU_ZERO(&set);
    CPU_SET(cpu, &set);
    if (!sched_setaffinity(p->pid, sizeof(set), &set))
        p->cpu = cpu;
}

/* Guest code that has jumped there is taken back to where it was entered. */
static bool is_in_stub(const struct shadow_process *p, const struct user_regs_struct *r)
{
    return r->rip - p->stub <= (u64)(shadow_stub_end - shadow_stub);
}

static void take_registers(struct shadow_process *p)
{
    const struct user_regs_struct *r = &p->regs;
    *p->entry = (struct shadow_entry){
        .gpr = {r->rax, r->rcx, r->rdx, r->rbx, r->rsp, r->rbp, r->rsi, r->rdi, r->r8, r->r9, r->r10, r->r11,
                r->r12, r->r13, r->r14, r->r15},
        .rip = r->rip,
        .rflags = r->eflags,
    };
}

static bool is_kick(int number)
{
    return number != SIGSEGV && number != SIGBUS && number != SIGFPE && number != SIGILL &&
           number != SIGTRAP && number != SIGSYS;
}

static bool take_signal(struct shadow_process *p, struct shadow_stop *stop, int number)
{
    siginfo_t info;
    *stop = (struct shadow_stop){.event = SHADOW_KICKED};
    if (is_kick(number))
        return true;
    if (ptrace(PTRACE_GETSIGINFO, p->pid, NULL, &info))
        return false;
    if (info.si_code > 0) /* not by kill(2) */
        *stop = (struct shadow_stop){SHADOW_FAULT, number, info.si_code, (u64)info.si_addr};
    return true;
}

static bool take_stop(struct shadow_process *p, struct shadow_stop *stop, int status)
{
    struct user_regs_struct r;
    bool is_syscall = WSTOPSIG(status) == SYSCALL_STOP;
    *stop = (struct shadow_stop){.event = SHADOW_SYSCALL};
    if ((!is_syscall && !take_signal(p, stop, WSTOPSIG(status))) || ptrace(PTRACE_GETREGS, p->pid, NULL, &r))
        return false;
    if (!is_syscall && is_in_stub(p, &r)) {
        stop->event = stop->event == SHADOW_KICKED ? SHADOW_KICKED : SHADOW_REFUSED;
        return true;
    }
    p->regs = r;
    take_registers(p);
    return true;
}

void shadow_resume(struct shadow_process *p, struct shadow_stop *stop, bool (*interrupted)(void *), void *arg)
{
    int status;
    follow_processor(p);
    if (!resume_stub(p, PTRACE_SYSEMU) || wait_for(p->pid, &status, interrupted, arg) < 0 ||
        !WIFSTOPPED(status) || !take_stop(p, stop, status))
        stop->event = SHADOW_DEAD;
}

bool shadow_get_vectors(struct shadow_process *p, void *area, size_t size)
{
    struct iovec v = {area, size};
    if (p->entry->vectors) /* they have not been loaded yet */
        return true;
    return !ptrace(PTRACE_GETREGSET, p->pid, (void *)NT_X86_XSTATE, &v);
}

void shadow_set_vectors(struct shadow_process *p, const void *area, size_t size, u64 components)
{
    memcpy(p->vectors, area, size);
    p->entry->vectors = components;
}
