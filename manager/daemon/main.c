/* main.c - lodged: the daemon that manages virtual machines */
/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <errno.h>
#include <fcntl.h>
#include <libxml/parser.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/version.h"
#include "manager/daemon/manager.h"
#include "manager/daemon/manual.h"
#include "manager/daemon/text.h"
#include "manager/domains/life.h"

struct arguments {
    char *root;
    const char *config;
};

static void print_version(void)
{
    puts("lodged " LODGE_VERSION);
}

/* Options that print something, and that is all. */
static const struct {
    const char *name;
    void (*print)(void);
} printers[] = {
    {"--help", manual_help},          {"-h", manual_help},          {"--help-man", manual_man},
    {"--help-config", manual_config}, {"--version", print_version},
};

/* 0: go on; 1: done; -errno with e. */
static int parse_arguments(struct arguments *a, int argc, char **argv, struct error *e)
{
    for (int i = 1; i < argc; i++) {
        for (size_t k = 0; k < ARRAY_SIZE(printers); k++)
            if (!strcmp(argv[i], printers[k].name)) {
                printers[k].print();
                return 1;
            }
        bool root = !strcmp(argv[i], "--root");
        if (!root && strcmp(argv[i], "--config"))
            return error_set(e, EINVAL, "unknown option '%s': lodged --help lists them", argv[i]);
        if (i + 1 == argc)
            return error_set(e, EINVAL, "option '%s' needs a value", argv[i]);
        i++;
        if (!root)
            a->config = argv[i];
        else if (folder_make(argv[i], 0755) < 0 || !(a->root = realpath(argv[i], NULL)))
            return error_set(e, EINVAL, "cannot make the folder '%s': %s", argv[i], strerror(errno));
    }
    return 0;
}

static int read_settings(struct settings *s, const struct arguments *a, struct error *e)
{
    settings_init(s, a->root);
    char *path = a->config ? text_copy(a->config) : text_printf("%s/lodged.conf", s->config_dir);
    int r = a->config || access(path, F_OK) == 0 ? settings_read(s, path, e) : 0;
    free(path);
    return r;
}

/* Whether the socket of that number is called something-ro; without names the second one is. */
static bool is_read_only(const char *names, int number)
{
    for (int i = 0; names && i < number; i++)
        names = strchr(names, ':') ? strchr(names, ':') + 1 : NULL;
    size_t n = names ? strcspn(names, ":") : 0;
    return n ? n > 3 && !strncmp(names + n - 3, "-ro", 3) : number == 1;
}

/* systemd's socket activation (sd_listen_fds(3)). */
static bool adopt_sockets(struct server *s)
{
    enum { FIRST = 3 };
    const char *pid = getenv("LISTEN_PID"), *count = getenv("LISTEN_FDS");
    if (!pid || !count || atoi(pid) != getpid())
        return false;
    for (int i = 0; i < min(atoi(count), (int)LISTENERS_MAX); i++) {
        fcntl(FIRST + i, F_SETFD, FD_CLOEXEC);
        fcntl(FIRST + i, F_SETFL, fcntl(FIRST + i, F_GETFL) | O_NONBLOCK);
        server_listen_fd(s, FIRST + i, is_read_only(getenv("LISTEN_FDNAMES"), i));
    }
    return s->listener_count;
}

/* sd_notify(3): clients are served from now on. */
static void tell_ready(void)
{
    const char *path = getenv("NOTIFY_SOCKET");
    struct sockaddr_un at = {.sun_family = AF_UNIX};
    size_t n = path ? strlen(path) : 0;
    int fd = n && n < sizeof(at.sun_path) ? socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0) : -1;
    if (fd < 0)
        return;
    memcpy(at.sun_path, path, n);
    if (at.sun_path[0] == '@')
        at.sun_path[0] = 0; /* an abstract one */
    if (sendto(fd, "READY=1", 7, MSG_NOSIGNAL, (struct sockaddr *)&at,
               (socklen_t)(offsetof(struct sockaddr_un, sun_path) + n)) < 0)
        report("cannot tell '%s' that lodged is ready: %s", path, strerror(errno));
    close(fd);
}

static int open_sockets(struct manager *m, struct error *e)
{
    if (adopt_sockets(&m->server))
        return 0;
    char *path = text_printf("%s/lodged-sock", m->settings.run_dir), *ro = text_printf("%s-ro", path);
    int r = server_listen(&m->server, path, (unsigned)m->settings.socket_mode, false, e);
    if (r == 0)
        r = server_listen(&m->server, ro, (unsigned)m->settings.read_only_socket_mode, true, e);
    free(path);
    free(ro);
    return r;
}

/* ---- signals ---- */

struct signals {
    struct loop_watch watch;
    struct loop *loop;
};

static void signal_came(struct loop_watch *w, short revents)
{
    (void)revents;
    struct signalfd_siginfo info;
    if (read(w->fd, &info, sizeof(info)) > 0)
        loop_stop(container_of(w, struct signals, watch)->loop);
}

static void watch_signals(struct signals *s, struct loop *loop)
{
    sigset_t set;
    sigemptyset(&set);
    sigaddset(&set, SIGTERM);
    sigaddset(&set, SIGINT);
    sigprocmask(SIG_BLOCK, &set, NULL);
    signal(SIGPIPE, SIG_IGN);
    *s = (struct signals){.watch = {.fd = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK),
                                    .events = POLLIN,
                                    .ready = signal_came},
                          .loop = loop};
    loop_add(loop, &s->watch);
}

static void raise_limits(void)
{
    struct rlimit r;
    if (getrlimit(RLIMIT_NOFILE, &r) == 0) {
        r.rlim_cur = r.rlim_max;
        setrlimit(RLIMIT_NOFILE, &r);
    }
}

struct beginning {
    struct manager *manager;
    struct error error;
    int result;
};

/* Everything is read before the first client can ask. */
static void begin(void *arg)
{
    struct beginning *b = arg;
    manager_load(b->manager);
    if ((b->result = open_sockets(b->manager, &b->error)) < 0) {
        loop_stop(&b->manager->loop);
        return;
    }
    tell_ready();
    life_autostart(b->manager);
}

static int serve(struct manager *m, struct error *e)
{
    struct signals signals;
    struct beginning b = {.manager = m};
    int r = manager_init(m, e);
    if (r < 0)
        return r;
    watch_signals(&signals, &m->loop);
    raise_limits();
    task_start(&m->tasks, begin, &b);
    loop_run(&m->loop);
    manager_free(m);
    close(signals.watch.fd);
    if (b.result < 0)
        *e = b.error;
    return b.result;
}

int main(int argc, char **argv)
{
    static struct manager manager;
    struct arguments a = {0};
    struct error e;
    LIBXML_TEST_VERSION
    int r = parse_arguments(&a, argc, argv, &e);
    if (r == 1)
        return EXIT_SUCCESS;
    if (r == 0 && (r = read_settings(&manager.settings, &a, &e)) == 0)
        r = serve(&manager, &e);
    if (r < 0)
        report("%s", e.text);
    settings_free(&manager.settings);
    free(a.root);
    return r < 0 ? EXIT_FAILURE : EXIT_SUCCESS;
}
