/* kernel.c - what the kernel does for programs: calls, processes, memory, files, signals, sockets */
/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <arpa/inet.h>
#include <cpuid.h>
#include <fcntl.h>
#include <linux/futex.h>
#include <netinet/tcp.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "workload.h"

enum { PAGE = 4096, REGION = 16 * PAGE };

static void need(int good, const char *what)
{
    if (!good) {
        perror(what);
        exit(1);
    }
}

static char *map(size_t bytes)
{
    char *p = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    need(p != MAP_FAILED, "mmap");
    return p;
}

static void run_getppid(long n)
{
    for (long i = 0; i < n; i++)
        syscall(SYS_getppid);
}

static void run_clock(long n)
{
    struct timespec t;
    for (long i = 0; i < n; i++)
        clock_gettime(CLOCK_MONOTONIC, &t);
}

static void run_rdtsc(long n)
{
    for (long i = 0; i < n; i++)
        sink = __builtin_ia32_rdtsc();
}

static void run_cpuid(long n)
{
    unsigned eax, ebx, ecx, edx;
    for (long i = 0; i < n; i++) {
        __cpuid(0, eax, ebx, ecx, edx);
        sink = ebx;
    }
}

/* ---- round trips of one byte between two processes ---- */
static void bounce(int from, int to, long n)
{
    char c;
    for (long i = 0; i < n; i++)
        if (read(from, &c, 1) != 1 || write(to, &c, 1) != 1)
            _exit(1);
}

static void round_trips(int from, int to, long n)
{
    char c = 1;
    for (long i = 0; i < n; i++)
        need(write(to, &c, 1) == 1 && read(from, &c, 1) == 1, "round trip");
}

static void run_pipe(long n)
{
    int there[2], back[2];
    need(!pipe(there) && !pipe(back), "pipe");
    pid_t child = fork();
    if (child == 0) {
        bounce(there[0], back[1], n);
        _exit(0);
    }
    round_trips(back[0], there[1], n);
    waitpid(child, NULL, 0);
    for (int i = 0; i < 2; i++) {
        close(there[i]);
        close(back[i]);
    }
}

static void run_unix_socket(long n)
{
    int ends[2];
    need(!socketpair(AF_UNIX, SOCK_STREAM, 0, ends), "socketpair");
    pid_t child = fork();
    if (child == 0) {
        bounce(ends[0], ends[0], n);
        _exit(0);
    }
    round_trips(ends[1], ends[1], n);
    waitpid(child, NULL, 0);
    close(ends[0]);
    close(ends[1]);
}

/* All children of a workload end in it, so that their time is known when the segment ends. */
static void run_tcp(long n)
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t size = sizeof(address);
    int one = 1, listener = socket(AF_INET, SOCK_STREAM, 0);
    need(!bind(listener, (struct sockaddr *)&address, sizeof(address)) && !listen(listener, 1), "listen");
    getsockname(listener, (struct sockaddr *)&address, &size);
    pid_t child = fork();
    if (child == 0) {
        int peer = accept(listener, NULL, NULL);
        setsockopt(peer, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
        bounce(peer, peer, n);
        _exit(0);
    }
    int s = socket(AF_INET, SOCK_STREAM, 0);
    need(!connect(s, (struct sockaddr *)&address, sizeof(address)), "connect");
    setsockopt(s, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
    round_trips(s, s, n);
    waitpid(child, NULL, 0);
    close(s);
    close(listener);
}

static void run_yield(long n)
{
    pid_t child = fork();
    for (long i = 0; i < n; i++)
        sched_yield();
    if (child == 0)
        _exit(0);
    waitpid(child, NULL, 0);
}

/* ---- processes and threads ---- */
static void run_fork_exit(long n)
{
    for (long i = 0; i < n; i++) {
        pid_t child = fork();
        if (child == 0)
            _exit(0);
        waitpid(child, NULL, 0);
    }
}

static void run_fork_exec(long n)
{
    char *const arguments[] = {"/bench/nothing", NULL}, *const environment[] = {NULL};
    for (long i = 0; i < n; i++) {
        int status;
        pid_t child = fork();
        if (child == 0) {
            execve(arguments[0], arguments, environment);
            _exit(127);
        }
        waitpid(child, &status, 0);
        need(status == 0, arguments[0]);
    }
}

static void *thread(void *argument)
{
    return argument;
}

static void run_threads(long n)
{
    for (long i = 0; i < n; i++) {
        pthread_t t;
        need(!pthread_create(&t, NULL, thread, NULL), "pthread_create");
        pthread_join(t, NULL);
    }
}

static int turn;

static void wait_turn(int mine)
{
    while (__atomic_load_n(&turn, __ATOMIC_SEQ_CST) != mine)
        syscall(SYS_futex, &turn, FUTEX_WAIT_PRIVATE, 1 - mine, NULL, NULL, 0);
}

static void give_turn(int other)
{
    __atomic_store_n(&turn, other, __ATOMIC_SEQ_CST);
    syscall(SYS_futex, &turn, FUTEX_WAKE_PRIVATE, 1, NULL, NULL, 0);
}

static void *answer_turns(void *count)
{
    for (long i = 0; i < (long)(intptr_t)count; i++) {
        wait_turn(1);
        give_turn(0);
    }
    return NULL;
}

static void run_futex(long n)
{
    pthread_t t;
    need(!pthread_create(&t, NULL, answer_turns, (void *)(intptr_t)n), "pthread_create");
    for (long i = 0; i < n; i++) {
        give_turn(1);
        wait_turn(0);
    }
    pthread_join(t, NULL);
}

/* ---- memory ---- */
static void run_mmap(long n)
{
    for (long i = 0; i < n; i++)
        munmap(map(REGION), REGION);
}

static void run_page_touch(long n)
{
    enum { PAGES = 1024 };
    while (n > 0) {
        long count = n > PAGES ? PAGES : n;
        char *p = map(PAGES * PAGE);
        madvise(p, PAGES * PAGE, MADV_NOHUGEPAGE);
        for (long i = 0; i < count; i++)
            p[i * PAGE] = 1;
        munmap(p, PAGES * PAGE);
        n -= count;
    }
}

static char *region;

static void map_region(void)
{
    region = map(REGION);
    memset(region, 1, REGION);
}

static void run_mprotect(long n)
{
    for (long i = 0; i < n; i++) {
        mprotect(region, REGION, PROT_READ);
        mprotect(region, REGION, PROT_READ | PROT_WRITE);
        region[0] = 1;
    }
}

/* ---- files ---- */
static void run_file(long n)
{
    static char data[PAGE];
    for (long i = 0; i < n; i++) {
        char name[32];
        snprintf(name, sizeof(name), "/tmp/file%ld", i & 63);
        int fd = open(name, O_CREAT | O_RDWR | O_TRUNC, 0600);
        need(fd >= 0 && write(fd, data, PAGE) == PAGE, name);
        close(fd);
        unlink(name);
    }
}

static void run_stat(long n)
{
    struct stat s;
    for (long i = 0; i < n; i++)
        need(!stat("/bench/../bench/nothing", &s), "stat");
}

static void run_read_zero(long n)
{
    static char data[PAGE];
    int fd = open("/dev/zero", O_RDONLY);
    for (long i = 0; i < n; i++)
        need(read(fd, data, PAGE) == PAGE, "/dev/zero");
    close(fd);
}

/* ---- signals ---- */
static void on_signal(int sig)
{
    sink += (uint64_t)sig;
}

static void run_signal(long n)
{
    pid_t self = getpid();
    signal(SIGUSR1, on_signal);
    for (long i = 0; i < n; i++)
        kill(self, SIGUSR1);
}

static void on_fault(int sig)
{
    (void)sig;
    mprotect(region, PAGE, PROT_READ | PROT_WRITE);
}

static void run_fault(long n)
{
    signal(SIGSEGV, on_fault);
    for (long i = 0; i < n; i++) {
        mprotect(region, PAGE, PROT_READ);
        *(volatile char *)region = 1;
    }
    signal(SIGSEGV, SIG_DFL);
}

const struct workload workloads[] = {
    {"getppid", run_getppid, NULL},
    {"clock_gettime", run_clock, NULL},
    {"rdtsc", run_rdtsc, NULL},
    {"cpuid", run_cpuid, NULL},
    {"pipe", run_pipe, NULL},
    {"unix_socket", run_unix_socket, NULL},
    {"tcp_loopback", run_tcp, NULL},
    {"fork_exit", run_fork_exit, NULL},
    {"fork_exec", run_fork_exec, NULL},
    {"mmap_munmap", run_mmap, NULL},
    {"page_touch", run_page_touch, NULL},
    {"mprotect", run_mprotect, map_region},
    {"yield", run_yield, NULL},
    {"file_tmpfs", run_file, NULL},
    {"stat", run_stat, NULL},
    {"read_zero4k", run_read_zero, NULL},
    {"signal", run_signal, NULL},
    {"fault_signal", run_fault, map_region},
    {"futex", run_futex, NULL},
    {"threads", run_threads, NULL},
    {NULL, NULL, NULL},
};
