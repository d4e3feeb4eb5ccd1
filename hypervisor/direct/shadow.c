/* shadow.c - a process that holds one address space of the guest, and runs its code (ptrace(2), seccomp(2))
 */
/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The process is a copy of ours that unmaps everything but the stub as the first thing it does. It is traced
 * by the vcpu's thread, dies with it, and can do nothing by itself: guest code runs under PTRACE_SYSEMU, so
 * that its system calls stop before they begin, and the stub's own are filtered to three.
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

extern const u8 shadow_stub[], shadow_stub_end[];

enum { RAM_FD = 3, PAGE = 4096, SYSCALL_STOP = SIGTRAP | 0x80, TICK_US = 4000 };
#define USER_END 0x7ffffffff000ull

#ifndef PTRACE_SYSEMU
#define PTRACE_SYSEMU 31
#endif

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
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_mprotect, 1, 0),
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

_Noreturn static void enter_stub(u64 stub, u64 count)
{
    register u64 fd __asm__("r8") = RAM_FD;
    /* EFLAGS.ID, which ptrace cannot set, is clear, as conditions.c wants it of the guest */
    __asm__ volatile("push $0x202\n\t"
                     "popf\n\t"
                     "xor %%esp, %%esp\n\t"
                     "mov %[count], %%rbp\n\t"
                     "jmp *%[stub]"
                     :
                     : [stub] "a"(stub), "b"(stub + PAGE), [count] "c"(count), "r"(fd)
                     : "memory");
    __builtin_unreachable();
}

_Noreturn static void become_shadow(int stub_fd, int ram_fd, u64 stub, unsigned count)
{
    signals_default();
    rseq_end();
    if (!map_stub(stub_fd, stub) && !keep_only(ram_fd) && !confine() &&
        !ptrace(PTRACE_TRACEME, 0, NULL, NULL) && !filter())
        enter_stub(stub, count);
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
    p->ops = m;
    return fd;
}

static void add(struct shadow_process *p, struct shadow_op op)
{
    p->ops[p->count++] = op;
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

/* Until the stub is at its int3. */
static bool stub_done(struct shadow_process *p)
{
    int status;
    for (;;) {
        if (wait_for(p->pid, &status, NULL, NULL) < 0 || !WIFSTOPPED(status))
            return false;
        if (WSTOPSIG(status) == SIGTRAP)
            return true;
        if (WSTOPSIG(status) != SIGURG && WSTOPSIG(status) != SIGVTALRM)
            return false;
        if (ptrace(PTRACE_CONT, p->pid, NULL, NULL))
            return false;
    }
}

static bool set_options(struct shadow_process *p)
{
    return !ptrace(PTRACE_SETOPTIONS, p->pid, NULL,
                   (void *)(uintptr_t)(PTRACE_O_EXITKILL | PTRACE_O_TRACESYSGOOD));
}

int shadow_start(struct shadow_process *p, int ram_fd, u64 stub)
{
    *p = (struct shadow_process){.stub = stub, .ram = ram_fd, .cpu = -1};
    int fd = make_stub(p);
    if (fd < 0)
        return fd;
    unmap_all(p);
    pid_t pid = (pid_t)syscall(SYS_clone, 0, NULL, NULL, NULL, 0);
    if (pid == 0)
        become_shadow(fd, ram_fd, stub, p->count);
    int error = errno;
    close(fd);
    p->pid = max(pid, 0);
    p->count = 0;
    if (pid > 0 && stub_done(p) && set_options(p) && shadow_read(p) && !p->regs.rbp)
        return 0;
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
    if (p->ops)
        munmap(p->ops, PAGE * (STUB_PAGES - 1));
    *p = (struct shadow_process){0};
}

/* ---- mappings ---- */

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
    if (p->count && continues(&p->ops[p->count - 1], address, protection, offset)) {
        p->ops[p->count - 1].length += length;
        return true;
    }
    if (p->count == SHADOW_OPS && !shadow_apply(p))
        return false;
    add(p, protection ? (struct shadow_op){SYS_mmap, address, length, (u64)protection,
                                           MAP_SHARED | MAP_FIXED | MAP_POPULATE, offset}
                      : (struct shadow_op){SYS_munmap, address, length});
    return true;
}

bool shadow_apply(struct shadow_process *p)
{
    if (!p->count)
        return true;
    struct user_regs_struct r = p->regs;
    r.rip = p->stub;
    r.rbx = p->stub + PAGE;
    r.rbp = p->count;
    r.r8 = RAM_FD;
    r.orig_rax = ~0ull;
    r.eflags = 0x202;
    p->count = 0;
    p->loaded = false;
    if (ptrace(PTRACE_SETREGS, p->pid, NULL, &r) || ptrace(PTRACE_CONT, p->pid, NULL, NULL) || !stub_done(p))
        return false;
    errno = 0;
    long left = ptrace(PTRACE_PEEKUSER, p->pid, (void *)offsetof(struct user, regs.rbp), NULL);
    return !left && !errno;
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

static void take_signal(struct shadow_process *p, struct shadow_stop *stop, int number)
{
    siginfo_t info;
    bool is_fault = number == SIGSEGV || number == SIGBUS || number == SIGFPE || number == SIGILL ||
                    number == SIGTRAP || number == SIGSYS;
    *stop = (struct shadow_stop){.event = SHADOW_KICKED};
    if (!is_fault)
        return;
    if (ptrace(PTRACE_GETSIGINFO, p->pid, NULL, &info)) {
        stop->event = SHADOW_DEAD;
        return;
    }
    if (info.si_code > 0) /* not by kill(2) */
        *stop = (struct shadow_stop){SHADOW_FAULT, number, info.si_code, (u64)info.si_addr};
}

void shadow_resume(struct shadow_process *p, struct shadow_stop *stop, bool (*interrupted)(void *), void *arg)
{
    int status;
    stop->event = SHADOW_DEAD;
    follow_processor(p);
    p->regs.orig_rax = ~0ull; /* or the kernel may restart a system call */
    if ((!p->loaded && ptrace(PTRACE_SETREGS, p->pid, NULL, &p->regs)) ||
        ptrace((enum __ptrace_request)PTRACE_SYSEMU, p->pid, NULL, NULL))
        return;
    p->loaded = true;
    if (wait_for(p->pid, &status, interrupted, arg) < 0 || !WIFSTOPPED(status))
        return;
    if (WSTOPSIG(status) == SYSCALL_STOP)
        stop->event = SHADOW_SYSCALL;
    else
        take_signal(p, stop, WSTOPSIG(status));
}

bool shadow_read(struct shadow_process *p)
{
    return !ptrace(PTRACE_GETREGS, p->pid, NULL, &p->regs);
}

bool shadow_get_vectors(struct shadow_process *p, void *area, size_t size)
{
    struct iovec v = {area, size};
    return !ptrace(PTRACE_GETREGSET, p->pid, (void *)NT_X86_XSTATE, &v);
}

bool shadow_set_vectors(struct shadow_process *p, void *area, size_t size)
{
    struct iovec v = {area, size};
    return !ptrace(PTRACE_SETREGSET, p->pid, (void *)NT_X86_XSTATE, &v);
}
