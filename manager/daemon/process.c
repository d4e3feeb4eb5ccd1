/* process.c - other programs */
/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "manager/daemon/process.h"
#include "manager/daemon/text.h"
#include "manager/rpc/xdr.h"

enum { OUTPUT_LIMIT = 1 << 20 };

/* In the child: only what is safe between fork and exec. */
static _Noreturn void run_child(const char *const *argv, int in, int out, int err, int failure, int begin)
{
    sigset_t none;
    char go;
    if (read(begin, &go, 1) != 1)
        _exit(125); /* the daemon has died */
    sigemptyset(&none);
    sigprocmask(SIG_SETMASK, &none, NULL);
    signal(SIGPIPE, SIG_DFL);
    setsid();
    if (dup2(in, 0) >= 0 && dup2(out, 1) >= 0 && dup2(err, 2) >= 0)
        execv(argv[0], (char *const *)argv);
    int why = errno;
    if (write(failure, &why, sizeof(why)) < 0)
        _exit(126);
    _exit(127);
}

pid_t process_spawn(const char *const *argv, int in, int out, int err, void (*known)(void *opaque, pid_t pid),
                    void *opaque)
{
    int failure[2], begin[2], why = 0;
    if (pipe2(failure, O_CLOEXEC) < 0)
        return -errno;
    if (pipe2(begin, O_CLOEXEC) < 0) {
        close(failure[0]);
        close(failure[1]);
        return -EMFILE;
    }
    pid_t pid = fork();
    if (pid == 0) {
        close(begin[1]);
        run_child(argv, in, out, err, failure[1], begin[0]);
    }
    int fork_error = errno;
    close(failure[1]);
    close(begin[0]);
    if (pid > 0 && known)
        known(opaque, pid);
    if (pid > 0 && write(begin[1], "", 1) != 1)
        kill(pid, SIGKILL);
    close(begin[1]);
    /* End of file: the program was executed. */
    ssize_t n = pid > 0 ? read(failure[0], &why, sizeof(why)) : 0;
    close(failure[0]);
    if (pid < 0)
        return -fork_error;
    if (n <= 0)
        return pid;
    waitpid(pid, NULL, 0);
    return -why;
}

int process_watch(pid_t pid)
{
    int fd = (int)syscall(SYS_pidfd_open, pid, 0);
    return fd < 0 ? -errno : fd;
}

u64 process_start_time(pid_t pid)
{
    char path[64], text[1024], state;
    u64 start = 0;
    snprintf(path, sizeof(path), "/proc/%d/stat", (int)pid);
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    ssize_t n = fd < 0 ? 0 : read(fd, text, sizeof(text) - 1);
    if (fd >= 0)
        close(fd);
    text[n < 0 ? 0 : n] = 0;
    const char *behind_name = strrchr(text, ')');
    if (!behind_name ||
        sscanf(behind_name + 1,
               " %c %*s %*s %*s %*s %*s %*s %*s %*s %*s %*s %*s %*s %*s %*s %*s %*s %*s %*s %lu", &state,
               &start) != 2 ||
        state == 'Z' || state == 'X')
        return 0;
    return start;
}

/* Reads until the other end closes. False: the deadline came first. */
static bool collect(struct tasks *t, int fd, struct buffer *b, u64 deadline)
{
    char data[4096];
    for (;;) {
        ssize_t n = read(fd, data, sizeof(data));
        if (n > 0 && b->size < OUTPUT_LIMIT)
            buffer_append(b, data, (size_t)n);
        else if (n == 0 || (n < 0 && errno != EAGAIN && errno != EINTR))
            return true;
        else if (n < 0 && !task_wait_fd(t, fd, POLLIN, deadline))
            return false;
    }
}

static int reap(struct tasks *t, pid_t pid)
{
    int status = -1, fd = process_watch(pid);
    if (fd >= 0)
        task_wait_fd(t, fd, POLLIN, 0);
    waitpid(pid, &status, 0);
    if (fd >= 0)
        close(fd);
    return status;
}

static const char *last_line(char *text)
{
    size_t n = strlen(text);
    while (n && text[n - 1] == '\n')
        text[--n] = 0;
    char *line = strrchr(text, '\n');
    return line ? line + 1 : text;
}

static int judge(const char *program, int status, bool in_time, char *text, struct vir_error *e)
{
    if (!in_time)
        return vir_fail(e, VIR_ERR_OPERATION_TIMEOUT, "'%s' did not come to an end", program);
    if (WIFEXITED(status) && WEXITSTATUS(status) == 0)
        return 0;
    return vir_fail(e, VIR_ERR_INTERNAL_ERROR, "Child process (%s) unexpected %s %d: %s", program,
                    WIFSIGNALED(status) ? "fatal signal" : "exit status",
                    WIFSIGNALED(status) ? WTERMSIG(status) : WEXITSTATUS(status), last_line(text));
}

int process_run(struct tasks *t, const char *const *argv, unsigned seconds, char **output,
                struct vir_error *e)
{
    int out[2], null = open("/dev/null", O_RDWR | O_CLOEXEC);
    if (null < 0 || pipe2(out, O_CLOEXEC) < 0)
        return vir_fail_errno(e, errno, "cannot run '%s'", argv[0]);
    pid_t pid = process_spawn(argv, null, out[1], out[1], NULL, NULL);
    close(null);
    close(out[1]);
    if (pid < 0) {
        close(out[0]);
        return vir_fail_errno(e, -pid, "Cannot run '%s'", argv[0]);
    }
    fcntl(out[0], F_SETFL, O_NONBLOCK);
    struct buffer b = {0};
    bool in_time = collect(t, out[0], &b, loop_now() + seconds * 1000000000ull);
    if (!in_time)
        kill(pid, SIGKILL);
    close(out[0]);
    int status = reap(t, pid);
    buffer_append(&b, "", 1);
    int r = judge(argv[0], status, in_time, (char *)b.data, e);
    if (output && r == 0)
        *output = (char *)b.data;
    else
        buffer_free(&b);
    return r;
}
