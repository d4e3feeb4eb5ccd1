/* handlers.c - handlers of signals that are installed while VMs run; programs that fork, exec and exit then
 */
/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <sys/time.h>
#include <sys/wait.h>

#include "tests/api/api.h"

enum { CODE = 0x1000, RAM_PAGES = 16 };

static int kvm;
static volatile sig_atomic_t alarms, blocked;
static sigjmp_buf caught;

static int set_handler(int number, const struct sigaction *a, struct sigaction *old)
{
    return api_is_device ? sigaction(number, a, old) : lodge_kvm_sigaction(number, a, old);
}

static struct machine looping(void)
{
    static const uint8_t itself[] = {0xeb, 0xfe};
    struct machine m = machine_create(kvm, false, RAM_PAGES);

    memcpy(m.ram + CODE, itself, sizeof(itself));
    enter_protected_mode(&m, CODE);
    return m;
}

static void on_alarm(int number)
{
    (void)number;
    alarms++;
}

static void on_fault(int number, siginfo_t *info, void *context)
{
    sigset_t mask;

    (void)info, (void)context;
    sigprocmask(SIG_BLOCK, NULL, &mask);
    blocked = sigismember(&mask, number);
    siglongjmp(caught, 1);
}

/* The guest is left by the alarm that comes while it runs. */
static void alarm_ends_run(const struct machine *m)
{
    const struct itimerval soon = {.it_value.tv_usec = 20000};
    int before = alarms;

    setitimer(ITIMER_REAL, &soon, NULL);
    CHECK_FAILS(m->vcpu, KVM_RUN, 0, EINTR);
    CHECK_EQ(m->run->exit_reason, KVM_EXIT_INTR);
    CHECK_EQ(alarms, before + 1);
}

static void later_handlers(const struct machine *m)
{
    struct sigaction a = {.sa_handler = on_alarm}, old;

    m->run->immediate_exit = 1;
    CHECK_FAILS(m->vcpu, KVM_RUN, 0, EINTR);
    m->run->immediate_exit = 0;
    CHECK_EQ(set_handler(SIGALRM, &a, &old), 0);
    CHECK(old.sa_handler == SIG_DFL);
    alarm_ends_run(m);
    CHECK_EQ(set_handler(SIGALRM, NULL, &old), 0);
    CHECK(old.sa_handler == on_alarm && !(old.sa_flags & SA_SIGINFO));
    CHECK_EQ(set_handler(SIGALRM, &old, NULL), 0); /* put back */
    alarm_ends_run(m);
    a.sa_flags = SA_RESETHAND;
    CHECK_EQ(set_handler(SIGALRM, &a, NULL), 0);
    alarm_ends_run(m);
    CHECK_EQ(set_handler(SIGALRM, NULL, &old), 0);
    CHECK(old.sa_handler == SIG_DFL);
    a.sa_flags = 0;
    CHECK_EQ(set_handler(SIGALRM, &a, NULL), 0);
    CHECK_EQ(set_handler(SIGKILL, &a, NULL), -1);
    CHECK_EQ(set_handler(0, &a, NULL), -1);
}

/* The program's own faults are its handler's, and the guest goes on as before. */
static void faults(const struct machine *m)
{
    struct sigaction a = {.sa_sigaction = on_fault, .sa_flags = SA_SIGINFO}, first, old;
    volatile char *nowhere = mmap(NULL, PAGE, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

    CHECK_EQ(set_handler(SIGSEGV, &a, &first), 0);
    CHECK(first.sa_handler == SIG_DFL);
    for (int i = 0; i < 2; i++) {
        blocked = 0;
        if (!sigsetjmp(caught, 1))
            *nowhere = 1;
        CHECK(blocked);
        alarm_ends_run(m);
    }
    CHECK_EQ(set_handler(SIGSEGV, &first, &old), 0);
    CHECK(old.sa_sigaction == on_fault && (old.sa_flags & SA_SIGINFO));
    alarm_ends_run(m);
}

/* What a child of fork ends with that does this. */
static int child_status(void (*what)(void))
{
    int status;
    pid_t child = fork();

    if (child == 0) {
        what();
        _exit(99);
    }
    return waitpid(child, &status, 0) == child ? status : -1;
}

static struct machine running;

static void *run(void *arg)
{
    (void)arg;
    KVM(running.vcpu, KVM_RUN, 0);
    return NULL;
}

static void start_running(void)
{
    const struct timespec while_it_starts = {.tv_nsec = 50000000};
    pthread_t thread;

    running = looping();
    pthread_create(&thread, NULL, run, NULL);
    nanosleep(&while_it_starts, NULL);
}

static void exits(void)
{
    start_running();
    exit(7);
}

static void execs(void)
{
    start_running();
    execl("/bin/sh", "sh", "-c", "exit 8", NULL);
}

static void killed(void)
{
    start_running();
    *(volatile char *)mmap(NULL, PAGE, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0) = 1;
}

static void killed_by_other(void)
{
    start_running();
    kill(getpid(), SIGSEGV);
    pause();
}

/* A child has no vcpu's thread, and its parent's VM is not its own. */
static void uses_parents(void)
{
    bool refused = KVM(running.vcpu, KVM_RUN, 0) == -1 && errno == EIO;
    _exit(refused ? 9 : 98);
}

static void forks_while_running(void)
{
    start_running();
    _exit(WEXITSTATUS(child_status(uses_parents)));
}

int main(int argc, char **argv)
{
    kvm = api_start(argc, argv);
    CHECK_EQ(child_status(exits), 7 << 8);
    CHECK_EQ(child_status(execs), 8 << 8);
    CHECK_EQ(child_status(killed) & 0x7f, SIGSEGV);
    CHECK_EQ(child_status(killed_by_other) & 0x7f, SIGSEGV);
    CHECK_EQ(child_status(forks_while_running), 9 << 8);
    struct machine m = looping();
    later_handlers(&m);
    faults(&m);
    return TEST_DONE();
}
