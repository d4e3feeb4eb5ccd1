/* process.c - the program as a process: in the background, named, with less than it began with */
/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <pwd.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "machine/process.h"

/* Until the child says a byte, or has ended and said why. */
static void wait_for_child(int fd) __attribute__((noreturn));
static void wait_for_child(int fd)
{
    char ready;
    ssize_t n;
    do
        n = read(fd, &ready, 1);
    while (n < 0 && errno == EINTR);
    _exit(n == 1 ? EXIT_SUCCESS : EXIT_FAILURE);
}

int process_daemonize(const struct vm_config *c, struct error *e)
{
    int fd[2];
    if (!c->daemonize)
        return -1;
    if (pipe2(fd, O_CLOEXEC) < 0)
        return error_set(e, errno, "-daemonize: %s", strerror(errno)) - 1;
    pid_t child = fork();
    if (child < 0)
        return error_set(e, errno, "-daemonize: cannot start the process: %s", strerror(errno)) - 1;
    if (child) {
        close(fd[1]);
        wait_for_child(fd[0]);
    }
    close(fd[0]);
    setsid();
    return fd[1];
}

void process_ready(int fd)
{
    if (fd < 0)
        return;
    int null = open("/dev/null", O_RDWR | O_CLOEXEC);
    if (chdir("/") < 0)
        report("-daemonize: cannot leave the folder: %s", strerror(errno));
    for (int i = STDIN_FILENO; i <= STDERR_FILENO && null >= 0; i++)
        dup2(null, i);
    close(null);
    ssize_t n = write(fd, "", 1);
    (void)n;
    close(fd);
}

struct ids {
    uid_t uid;
    gid_t gid;
    const char *name; /* NULL: by numbers */
};

/* USER, or UID:GID. */
static int read_user(const char *text, struct ids *u, struct error *e)
{
    char *end;
    const struct passwd *p = getpwnam(text);
    if (p) {
        *u = (struct ids){p->pw_uid, p->pw_gid, p->pw_name};
        return 0;
    }
    *u = (struct ids){.uid = (uid_t)strtoul(text, &end, 10)};
    if (!isdigit((unsigned char)*text) || *end != ':' || !isdigit((unsigned char)end[1]))
        return error_set(e, EINVAL, "-runas '%s': there is no such user: use a name, or UID:GID", text);
    u->gid = (gid_t)strtoul(end + 1, &end, 10);
    return *end ? error_set(e, EINVAL, "-runas '%s' is not UID:GID", text) : 0;
}

static int become(const char *text, const struct ids *u, struct error *e)
{
    if (setgid(u->gid) < 0 || (u->name ? initgroups(u->name, u->gid) : setgroups(1, &u->gid)) < 0 ||
        setuid(u->uid) < 0)
        return error_set(e, errno, "-runas '%s': %s: start the program as root", text, strerror(errno));
    if (u->uid && setuid(0) == 0)
        return error_set(e, EPERM, "-runas '%s': the program can still become root", text);
    return 0;
}

int process_drop(const struct vm_config *c, struct error *e)
{
    struct ids user = {0};
    int r = c->runas ? read_user(c->runas, &user, e) : 0; /* before chroot hides the users */
    if (r == 0 && c->chroot && (chroot(c->chroot) < 0 || chdir("/") < 0))
        r = error_set(e, errno, "-chroot '%s': %s%s", c->chroot, strerror(errno),
                      errno == EPERM ? ": start the program as root" : "");
    return r == 0 && c->runas ? become(c->runas, &user, e) : r;
}

void process_name(const struct vm_config *c)
{
    if (c->process_name)
        prctl(PR_SET_NAME, c->process_name);
}
