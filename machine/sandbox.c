/* sandbox.c - system calls that the program does not need are refused, by what a thread does (seccomp(2)) */
/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <errno.h>
#include <fcntl.h>
#include <linux/filter.h>
#include <linux/prctl.h>
#include <linux/seccomp.h>
#include <seccomp.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/base.h"
#include "machine/sandbox.h"

#ifdef __SANITIZE_ADDRESS__
enum { SANITIZED = 1 };
#else
enum { SANITIZED = 0 };
#endif

/*
 * A call is refused with EPERM, which whoever made it can report, unless it is listed here; what no version
 * of any library could want, and an intruder would, ends the program at once. Devices run on the threads of
 * the vcpus that touch them, so those have the network's calls (libslirp), but cannot make files, threads and
 * listening sockets; a disk's thread has its reads and writes.
 */
enum { ALL = 1 << SANDBOX_ALL, VCPU = 1 << SANDBOX_VCPU, IO = 1 << SANDBOX_IO, EVERY = ALL | VCPU | IO };

static const struct {
    int number;
    unsigned roles;
} allowed[] = {
    /* memory, time, other threads */
    {SCMP_SYS(brk), EVERY},
    {SCMP_SYS(mmap), EVERY},
    {SCMP_SYS(munmap), EVERY},
    {SCMP_SYS(mprotect), EVERY},
    {SCMP_SYS(mremap), EVERY},
    {SCMP_SYS(madvise), EVERY},
    {SCMP_SYS(mincore), EVERY},
    {SCMP_SYS(msync), ALL | IO},
    {SCMP_SYS(membarrier), EVERY},
    {SCMP_SYS(memfd_create), ALL},
    {SCMP_SYS(mlock), ALL | VCPU},
    {SCMP_SYS(seccomp), ALL},
    {SCMP_SYS(futex), EVERY},
    {SCMP_SYS(futex_waitv), EVERY},
    {SCMP_SYS(sched_yield), EVERY},
    {SCMP_SYS(sched_getaffinity), EVERY},
    {SCMP_SYS(getcpu), EVERY},
    {SCMP_SYS(nanosleep), EVERY},
    {SCMP_SYS(clock_nanosleep), EVERY},
    {SCMP_SYS(clock_gettime), EVERY},
    {SCMP_SYS(clock_getres), EVERY},
    {SCMP_SYS(gettimeofday), EVERY},
    {SCMP_SYS(time), EVERY},
    {SCMP_SYS(rseq), EVERY},
    {SCMP_SYS(set_robust_list), EVERY},
    {SCMP_SYS(set_tid_address), EVERY},
    {SCMP_SYS(arch_prctl), EVERY},
    {SCMP_SYS(rt_sigaction), EVERY},
    {SCMP_SYS(rt_sigprocmask), EVERY},
    {SCMP_SYS(rt_sigreturn), EVERY},
    {SCMP_SYS(rt_sigpending), EVERY},
    {SCMP_SYS(sigaltstack), EVERY},
    {SCMP_SYS(restart_syscall), EVERY},
    {SCMP_SYS(timer_create), ALL},
    {SCMP_SYS(timer_settime), EVERY},
    {SCMP_SYS(timer_delete), EVERY},
    {SCMP_SYS(timerfd_create), ALL},
    {SCMP_SYS(timerfd_settime), EVERY},
    {SCMP_SYS(exit), EVERY},
    {SCMP_SYS(exit_group), EVERY},
    {SCMP_SYS(getrandom), EVERY},
    {SCMP_SYS(getpid), EVERY},
    {SCMP_SYS(gettid), EVERY},
    {SCMP_SYS(getuid), EVERY},
    {SCMP_SYS(geteuid), EVERY},
    {SCMP_SYS(getgid), EVERY},
    {SCMP_SYS(getegid), EVERY},
    {SCMP_SYS(uname), EVERY},
    {SCMP_SYS(getrusage), EVERY},
    {SCMP_SYS(times), EVERY},
    {SCMP_SYS(sysinfo), EVERY},
    {SCMP_SYS(prlimit64), ALL},
    /* descriptors that are open */
    {SCMP_SYS(read), EVERY},
    {SCMP_SYS(write), EVERY},
    {SCMP_SYS(readv), EVERY},
    {SCMP_SYS(writev), EVERY},
    {SCMP_SYS(pread64), EVERY},
    {SCMP_SYS(pwrite64), EVERY},
    {SCMP_SYS(preadv), EVERY},
    {SCMP_SYS(pwritev), EVERY},
    {SCMP_SYS(preadv2), EVERY},
    {SCMP_SYS(pwritev2), EVERY},
    {SCMP_SYS(lseek), EVERY},
    {SCMP_SYS(close), EVERY},
    {SCMP_SYS(fstat), EVERY},
    {SCMP_SYS(newfstatat), EVERY},
    {SCMP_SYS(statx), EVERY},
    {SCMP_SYS(fcntl), EVERY},
    {SCMP_SYS(dup), ALL},
    {SCMP_SYS(dup2), ALL},
    {SCMP_SYS(dup3), ALL},
    {SCMP_SYS(ioctl), EVERY},
    {SCMP_SYS(fsync), EVERY},
    {SCMP_SYS(fdatasync), EVERY},
    {SCMP_SYS(sync_file_range), ALL | IO},
    {SCMP_SYS(fallocate), ALL | IO},
    {SCMP_SYS(ftruncate), ALL | IO},
    {SCMP_SYS(fadvise64), ALL | IO},
    {SCMP_SYS(copy_file_range), ALL | IO},
    {SCMP_SYS(flock), ALL},
    {SCMP_SYS(fstatfs), ALL | IO},
    {SCMP_SYS(poll), EVERY},
    {SCMP_SYS(ppoll), EVERY},
    {SCMP_SYS(select), EVERY},
    {SCMP_SYS(pselect6), EVERY},
    {SCMP_SYS(epoll_create1), ALL},
    {SCMP_SYS(epoll_ctl), EVERY},
    {SCMP_SYS(epoll_wait), EVERY},
    {SCMP_SYS(epoll_pwait), EVERY},
    {SCMP_SYS(eventfd2), ALL | VCPU},
    {SCMP_SYS(signalfd4), ALL},
    {SCMP_SYS(pipe2), ALL},
    {SCMP_SYS(io_uring_setup), ALL},
    {SCMP_SYS(io_uring_enter), EVERY},
    {SCMP_SYS(io_uring_register), ALL | IO},
    /* the network */
    {SCMP_SYS(socket), ALL | VCPU},
    {SCMP_SYS(socketpair), ALL},
    {SCMP_SYS(connect), ALL | VCPU},
    {SCMP_SYS(bind), ALL | VCPU},
    {SCMP_SYS(listen), ALL},
    {SCMP_SYS(accept), ALL | VCPU},
    {SCMP_SYS(accept4), ALL | VCPU},
    {SCMP_SYS(shutdown), ALL | VCPU},
    {SCMP_SYS(sendto), ALL | VCPU},
    {SCMP_SYS(recvfrom), ALL | VCPU},
    {SCMP_SYS(sendmsg), ALL | VCPU},
    {SCMP_SYS(recvmsg), ALL | VCPU},
    {SCMP_SYS(sendmmsg), ALL | VCPU},
    {SCMP_SYS(recvmmsg), ALL | VCPU},
    {SCMP_SYS(setsockopt), ALL | VCPU},
    {SCMP_SYS(getsockopt), ALL | VCPU},
    {SCMP_SYS(getsockname), ALL | VCPU},
    {SCMP_SYS(getpeername), ALL | VCPU},
    /* files by their names */
    {SCMP_SYS(open), ALL},
    {SCMP_SYS(openat), ALL},
    {SCMP_SYS(stat), EVERY},
    {SCMP_SYS(lstat), EVERY},
    {SCMP_SYS(access), ALL},
    {SCMP_SYS(faccessat), ALL},
    {SCMP_SYS(faccessat2), ALL},
    {SCMP_SYS(readlink), ALL},
    {SCMP_SYS(readlinkat), ALL},
    {SCMP_SYS(getcwd), ALL},
    {SCMP_SYS(getdents64), ALL},
    {SCMP_SYS(statfs), ALL},
    {SCMP_SYS(unlink), ALL},
    {SCMP_SYS(unlinkat), ALL},
    {SCMP_SYS(rename), ALL},
    {SCMP_SYS(renameat2), ALL},
    {SCMP_SYS(fchmod), ALL},
    {SCMP_SYS(chmod), ALL},
};

/* Of no use but to get more than one has. */
static const int deadly[] = {
    SCMP_SYS(execve),       SCMP_SYS(execveat),      SCMP_SYS(setuid),     SCMP_SYS(setgid),
    SCMP_SYS(setreuid),     SCMP_SYS(setregid),      SCMP_SYS(setresuid),  SCMP_SYS(setresgid),
    SCMP_SYS(setgroups),    SCMP_SYS(chroot),        SCMP_SYS(pivot_root), SCMP_SYS(mount),
    SCMP_SYS(umount2),      SCMP_SYS(setns),         SCMP_SYS(unshare),    SCMP_SYS(init_module),
    SCMP_SYS(finit_module), SCMP_SYS(delete_module), SCMP_SYS(kexec_load), SCMP_SYS(kexec_file_load),
    SCMP_SYS(reboot),       SCMP_SYS(bpf),           SCMP_SYS(keyctl),     SCMP_SYS(add_key),
    SCMP_SYS(request_key),  SCMP_SYS(swapon),        SCMP_SYS(swapoff),    SCMP_SYS(open_by_handle_at),
    SCMP_SYS(fork),         SCMP_SYS(vfork),         SCMP_SYS(iopl),       SCMP_SYS(ioperm),
};

/* What a vcpu's thread does with processes that it makes to run guest code directly (lodge_kvm_direct), and
 * what these do before they run it. A request to ptrace another process is not among it. */
static const struct {
    int number, argument; /* -1: any */
    scmp_datum_t value;
} tracing[] = {
    {SCMP_SYS(clone), 0, 0},
    {SCMP_SYS(wait4), -1, 0},
    {SCMP_SYS(tgkill), 2, SIGURG},
    {SCMP_SYS(kill), 1, SIGKILL},
    {SCMP_SYS(sched_setaffinity), -1, 0},
    {SCMP_SYS(memfd_create), -1, 0},
    {SCMP_SYS(ftruncate), -1, 0},
    {SCMP_SYS(ptrace), 0, PTRACE_TRACEME},
    {SCMP_SYS(ptrace), 0, PTRACE_PEEKUSER},
    {SCMP_SYS(ptrace), 0, PTRACE_POKEUSER},
    {SCMP_SYS(ptrace), 0, PTRACE_CONT},
    {SCMP_SYS(ptrace), 0, PTRACE_GETREGS},
    {SCMP_SYS(ptrace), 0, PTRACE_SETREGS},
    {SCMP_SYS(ptrace), 0, PTRACE_SYSEMU},
    {SCMP_SYS(ptrace), 0, PTRACE_SETOPTIONS},
    {SCMP_SYS(ptrace), 0, PTRACE_GETSIGINFO},
    {SCMP_SYS(ptrace), 0, PTRACE_GETREGSET},
    {SCMP_SYS(ptrace), 0, PTRACE_SETREGSET},
    {SCMP_SYS(dup2), -1, 0},
    {SCMP_SYS(close_range), -1, 0},
    {SCMP_SYS(setsid), -1, 0},
    {SCMP_SYS(setitimer), -1, 0},
    {SCMP_SYS(prlimit64), 0, 0},
    {SCMP_SYS(prctl), 0, PR_SET_PDEATHSIG},
    {SCMP_SYS(prctl), 0, PR_SET_NO_NEW_PRIVS},
    {SCMP_SYS(prctl), 0, PR_SET_TSC},
    {SCMP_SYS(prctl), 0, PR_SET_SECCOMP},
};

struct sandbox {
    struct sock_fprog filter[SANDBOX_ROLES];
};

static int add_tracing(scmp_filter_ctx c)
{
    int r = 0;
    for (size_t i = 0; i < ARRAY_SIZE(tracing) && (r == 0 || r == -EEXIST); i++)
        r = tracing[i].argument < 0
                ? seccomp_rule_add(c, SCMP_ACT_ALLOW, tracing[i].number, 0)
                : seccomp_rule_add(c, SCMP_ACT_ALLOW, tracing[i].number, 1,
                                   SCMP_CMP((unsigned)tracing[i].argument, SCMP_CMP_EQ, tracing[i].value));
    return r == -EEXIST ? 0 : r; /* ALL has some of them */
}

static int add_plain(scmp_filter_ctx c, enum sandbox_role role)
{
    int r = 0;
    for (size_t i = 0; i < ARRAY_SIZE(allowed) && r == 0; i++)
        if (allowed[i].roles >> role & 1)
            r = seccomp_rule_add(c, SCMP_ACT_ALLOW, allowed[i].number, 0);
    for (size_t i = 0; i < ARRAY_SIZE(deadly) && r == 0; i++)
        r = seccomp_rule_add(c, SCMP_ACT_KILL_PROCESS, deadly[i], 0);
    return r;
}

/* Calls that are harmless with some arguments alone. */
static int add_with_arguments(scmp_filter_ctx c, enum sandbox_role role)
{
    enum { THREAD = 0x10000 /* CLONE_THREAD */, CHANGES = O_ACCMODE | O_CREAT | O_TRUNC };
    /* on ourselves alone: the hypervisor copies so where the memory may not be there */
    static const int own[] = {SCMP_SYS(tgkill), SCMP_SYS(process_vm_readv), SCMP_SYS(process_vm_writev)};
    static const int names[] = {PR_SET_NAME, PR_GET_NAME, PR_SET_VMA, PR_SET_TIMERSLACK};
    int r = 0;
    for (size_t i = 0; i < ARRAY_SIZE(names) && r == 0; i++)
        r = seccomp_rule_add(c, SCMP_ACT_ALLOW, SCMP_SYS(prctl), 1,
                             SCMP_A0(SCMP_CMP_EQ, (scmp_datum_t)names[i]));
    for (size_t i = 0; i < ARRAY_SIZE(own) && r == 0; i++)
        r = seccomp_rule_add(c, SCMP_ACT_ALLOW, own[i], 1, SCMP_A0(SCMP_CMP_EQ, (scmp_datum_t)getpid()));
    if (r == 0 && role == SANDBOX_ALL)
        r = seccomp_rule_add(c, SCMP_ACT_ALLOW, SCMP_SYS(clone), 1,
                             SCMP_A0(SCMP_CMP_MASKED_EQ, THREAD, THREAD));
    if (r == 0 && role == SANDBOX_ALL) /* its arguments are in memory; glibc then takes clone */
        r = seccomp_rule_add(c, SCMP_ACT_ERRNO(ENOSYS), SCMP_SYS(clone3), 0);
    if (r == 0 && role == SANDBOX_VCPU) /* libslirp reads /etc/resolv.conf, and what TFTP serves */
        r = seccomp_rule_add(c, SCMP_ACT_ALLOW, SCMP_SYS(openat), 1,
                             SCMP_A2(SCMP_CMP_MASKED_EQ, CHANGES, O_RDONLY));
    return r;
}

/* As the kernel takes it, for threads to put on when they begin. */
static int export_filter(scmp_filter_ctx c, struct sock_fprog *p)
{
    struct stat st;
    int fd = memfd_create("seccomp", MFD_CLOEXEC), r = fd < 0 ? -errno : seccomp_export_bpf(c, fd);
    if (r == 0 && fstat(fd, &st) < 0)
        r = -errno;
    void *code = r == 0 ? malloc((size_t)st.st_size) : NULL;
    if (r == 0 && (!code || pread(fd, code, (size_t)st.st_size, 0) != st.st_size))
        r = -ENOMEM;
    if (fd >= 0)
        close(fd);
    if (r < 0) {
        free(code);
        return r;
    }
    *p = (struct sock_fprog){(unsigned short)((size_t)st.st_size / sizeof(struct sock_filter)), code};
    return 0;
}

static int compile(struct sandbox *s, enum sandbox_role role, bool traces)
{
    scmp_filter_ctx c = seccomp_init(SCMP_ACT_ERRNO(EPERM));
    int r = c ? seccomp_attr_set(c, SCMP_FLTATR_CTL_OPTIMIZE, 2) : -ENOMEM; /* a binary tree */
    if (r == 0)
        r = add_plain(c, role);
    if (r == 0)
        r = add_with_arguments(c, role);
    if (r == 0)
        r = traces && role != SANDBOX_IO ? add_tracing(c)
                                         : seccomp_rule_add(c, SCMP_ACT_KILL_PROCESS, SCMP_SYS(ptrace), 0);
    if (r == 0)
        r = export_filter(c, &s->filter[role]);
    if (c)
        seccomp_release(c);
    return r;
}

bool sandbox_is_possible(void)
{
    return !SANITIZED;
}

struct sandbox *sandbox_create(bool traces, struct error *e)
{
    struct sandbox *s = calloc(1, sizeof(*s));
    int r = s ? 0 : -ENOMEM;
    for (unsigned i = 0; i < SANDBOX_ROLES && r == 0; i++)
        r = compile(s, i, traces);
    if (r == 0 &&
        (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0 ||
         syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, SECCOMP_FILTER_FLAG_TSYNC, &s->filter[SANDBOX_ALL])))
        r = errno ? -errno : -EBUSY;
    if (r == 0)
        return s;
    error_set(e, -r, "-sandbox: the filter of system calls cannot be set: %s: use -sandbox off",
              strerror(-r));
    free(s);
    return NULL;
}

void sandbox_enter(const struct sandbox *s, enum sandbox_role role)
{
    if (s)
        ASSERT(syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, 0, &s->filter[role]) == 0);
}
