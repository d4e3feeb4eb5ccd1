/* native.c - runs cases on the host's CPU, in a child process */
/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The child has the window and the code at their addresses, and a second view of both to write them. An
 * exception comes as a signal, whose frame holds the state. A case that runs too long is ended by a timer;
 * one that takes the child with it (it wrote over the child's own memory) is noted, and a new child goes on
 * behind it.
 */
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <ucontext.h>
#include <unistd.h>

#include "tests/fuzz/cpu/case.h"

void native_enter(const struct state *s, const u8 *xsave_area);
void native_keep_bases(void);
void native_handler(int number, siginfo_t *info, void *context);
void native_resume(u64 flags);
_Noreturn void native_leave(void);
extern u64 native_case_fs, native_case_gs;

enum { TICK_US = 20000 };

static struct job *jobs;
static unsigned job_count;
static u8 *code_view, *window_view;
static struct job *running; /* in the child: whose case it is */
static volatile unsigned ticks;
static struct shared {
    volatile unsigned next; /* job that runs, or runs next */
} * shared;
static pid_t child;
static int to_child[2], to_parent[2];

static void die(const char *what)
{
    perror(what);
    exit(2);
}

/* ---- the child: the end of a case ---- */

static void take_state(struct state *s, const ucontext_t *context)
{
    static const u8 number[16] = {REG_RAX, REG_RCX, REG_RDX, REG_RBX, REG_RSP, REG_RBP, REG_RSI, REG_RDI,
                                  REG_R8,  REG_R9,  REG_R10, REG_R11, REG_R12, REG_R13, REG_R14, REG_R15};
    const greg_t *g = context->uc_mcontext.gregs;
    for (unsigned i = 0; i < 16; i++)
        s->gpr[i] = (u64)g[number[i]];
    s->rip = (u64)g[REG_RIP];
    s->rflags = (u64)g[REG_EFL];
    s->fs = native_case_fs;
    s->gs = native_case_gs;
    vectors_from_xsave(s, (const u8 *)context->uc_mcontext.fpregs);
}

static bool timed_out(void)
{
    if (ticks++ < 2) /* a case has at least one whole tick */
        return false;
    running->native.vector = VECTOR_TIMEOUT;
    return true;
}

/* From native_handler. */
void native_signal(int number, siginfo_t *info, void *context, bool in_case);
void native_signal(int number, siginfo_t *info, void *context, bool in_case)
{
    const ucontext_t *u = context;
    (void)info;
    if (!in_case && number == SIGPROF)
        return;
    if (!in_case)
        _exit(3);
    struct outcome *o = &running->native;
    if (number == SIGPROF && !timed_out()) {
        native_resume((u64)u->uc_mcontext.gregs[REG_EFL] & NT);
        return;
    }
    if (number != SIGPROF) {
        take_state(&o->state, u);
        o->vector = (u32)u->uc_mcontext.gregs[REG_TRAPNO];
        o->error = (u32)u->uc_mcontext.gregs[REG_ERR];
        o->cr2 = (u64)u->uc_mcontext.gregs[REG_CR2];
    }
    native_leave();
}

/* ---- the child: running ---- */

static void run_case(struct job *j)
{
    static _Alignas(64) u8 area[XSAVE_SIZE];
    struct test_case *c = &j->c;
    memcpy(window_view, c->window, WINDOW_SIZE);
    memset(code_view, 0, CODE_PAGES * PAGE); /* cases can read it */
    memcpy(code_view + (c->start - CODE_VA), c->code, c->code_length);
    c->state.rip = c->start;
    ticks = 0;
    vectors_to_xsave(area, &c->state);
    running = j;
    native_enter(&c->state, area);
    memcpy(j->native.window, window_view, WINDOW_SIZE);
}

static void *map(u64 address, size_t size, int protection, int fd, size_t offset)
{
    int fixed = address ? MAP_FIXED_NOREPLACE : 0;
    void *p = mmap((void *)address, size, protection, MAP_SHARED | MAP_POPULATE | fixed, fd, (off_t)offset);
    if (p == MAP_FAILED)
        die("fuzz-cpu: mapping a case's memory");
    return p;
}

static int memory_file(size_t size)
{
    int fd = memfd_create("fuzz-cpu", MFD_CLOEXEC);
    if (fd < 0 || ftruncate(fd, (off_t)size))
        die("fuzz-cpu: memory of the child process");
    return fd;
}

static void map_case_memory(void)
{
    int code = memory_file(CODE_PAGES * PAGE), window = memory_file(WINDOW_SIZE);
    code_view = map(0, CODE_PAGES * PAGE, PROT_READ | PROT_WRITE, code, 0);
    window_view = map(0, WINDOW_SIZE, PROT_READ | PROT_WRITE, window, 0);
    map(CODE_VA, CODE_PAGES * PAGE, PROT_READ | PROT_EXEC, code, 0);
    for (unsigned i = 0; i < WINDOW_PAGES; i++)
        if (window_rights[i] != '-')
            map(WINDOW_VA + i * PAGE, PAGE, PROT_READ | (window_rights[i] == 'w' ? PROT_WRITE : 0), window,
                i * PAGE);
    mlockall(
        MCL_CURRENT); /* page faults must be the case's; without the right to lock they nearly always are */
}

static void install_handlers(void)
{
    static const int signals[] = {SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGTRAP, SIGPROF};
    static u8 stack[64 << 10];
    stack_t alternate = {.ss_sp = stack, .ss_size = sizeof(stack)};
    struct sigaction a = {.sa_sigaction = native_handler,
                          .sa_flags = SA_SIGINFO | SA_ONSTACK | SA_NODEFER | SA_RESTART};
    struct itimerval tick = {{0, TICK_US}, {0, TICK_US}};
    native_keep_bases();
    sigaltstack(&alternate, NULL);
    for (size_t i = 0; i < ARRAY_SIZE(signals); i++)
        sigaction(signals[i], &a, NULL);
    setitimer(ITIMER_PROF, &tick, NULL);
}

static bool read_fully(int fd, void *to, size_t n)
{
    for (size_t done = 0; done < n;) {
        ssize_t k = read(fd, (u8 *)to + done, n - done);
        if (k == 0)
            return false;
        if (k > 0)
            done += (size_t)k;
    }
    return true;
}

_Noreturn static void child_main(void)
{
    unsigned n;
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    map_case_memory();
    install_handlers();
    while (read_fully(to_child[0], &n, sizeof(n))) {
        for (; shared->next < n; shared->next++)
            run_case(&jobs[shared->next]);
        if (write(to_parent[1], &n, sizeof(n)) != sizeof(n))
            break;
    }
    _exit(0);
}

/* ---- the parent ---- */

static void spawn(void)
{
    if (pipe2(to_child, 0) || pipe2(to_parent, 0) || (child = fork()) < 0)
        die("fuzz-cpu: starting the child process");
    if (child == 0) {
        close(to_child[1]);
        close(to_parent[0]);
        child_main();
    }
    close(to_child[0]);
    close(to_parent[1]);
}

void native_start(struct job *j, unsigned count)
{
    jobs = j;
    job_count = count;
    shared = mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (shared == MAP_FAILED)
        die("fuzz-cpu: shared memory");
    signal(SIGPIPE, SIG_IGN); /* a child that died is noticed in native_run */
    spawn();
}

static void replace_child(void)
{
    close(to_child[1]);
    close(to_parent[0]);
    waitpid(child, NULL, 0);
    spawn();
}

void native_run(unsigned n)
{
    unsigned answer;
    shared->next = 0;
    for (;;) {
        if (write(to_child[1], &n, sizeof(n)) == sizeof(n) &&
            read_fully(to_parent[0], &answer, sizeof(answer)))
            return;
        if (shared->next < n)
            jobs[shared->next++].native.vector = VECTOR_CRASH;
        replace_child();
    }
}
