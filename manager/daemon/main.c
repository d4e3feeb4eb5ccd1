/* main.c - lodged: the daemon that manages virtual machines */
/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <errno.h>
#include <libxml/parser.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/version.h"
#include "manager/daemon/manager.h"
#include "manager/daemon/text.h"
#include "manager/domains/life.h"
#include "manager/domains/store.h"
#include "manager/networks/network.h"
#include "manager/storage/pool.h"

struct arguments {
    char *root;
    const char *config;
};

static void print_help(void)
{
    puts(
        "usage: lodged [--root DIR] [--config FILE]\n\n"
        "Manages virtual machines; clients speak libvirt's RPC, as virsh and virt-install do:\n"
        "  virsh -c 'qemu+unix:///system?socket=DIR/run/lodged-sock' list --all\n\n"
        "  --root DIR     keep definitions, sockets, states and logs below DIR (default: /etc/lodge, /run/lodge, ...)\n"
        "  --config FILE  read this instead of lodged.conf (NAME = VALUE lines)\n"
        "  --help         this\n"
        "  --version      the version\n\n"
        "The configuration file can have:");
    settings_help();
}

/* 0: go on; 1: done; -errno with e. */
static int parse_arguments(struct arguments *a, int argc, char **argv, struct error *e)
{
    for (int i = 1; i < argc; i++) {
        if (!strcmp(argv[i], "--help") || !strcmp(argv[i], "-h")) {
            print_help();
            return 1;
        }
        if (!strcmp(argv[i], "--version")) {
            puts("lodged " LODGE_VERSION);
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

/* systemd's socket activation (sd_listen_fds(3)): 3 is the socket that may change things, 4 the read-only
 * one. */
static bool adopt_sockets(struct server *s)
{
    const char *pid = getenv("LISTEN_PID"), *count = getenv("LISTEN_FDS");
    if (!pid || !count || atoi(pid) != getpid())
        return false;
    for (int i = 0; i < min(atoi(count), (int)LISTENERS_MAX); i++)
        server_listen_fd(s, 3 + i, i == 1);
    return s->listener_count;
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
    resources_load(&b->manager->pools);
    if (resources_load(&b->manager->networks))
        network_make_default(&b->manager->networks);
    store_load(b->manager);
    if ((b->result = open_sockets(b->manager, &b->error)) < 0) {
        loop_stop(&b->manager->loop);
        return;
    }
    life_autostart(b->manager);
}

static int serve(struct manager *m, struct error *e)
{
    struct signals signals;
    struct beginning b = {.manager = m};
    int r = loop_init(&m->loop);
    if (r < 0)
        return error_set(e, -r, "cannot make an event loop: %s", strerror(-r));
    tasks_init(&m->tasks, &m->loop);
    server_init(&m->server, &m->loop, &m->tasks, m, (unsigned)m->settings.client_max);
    watch_signals(&signals, &m->loop);
    raise_limits();
    m->domains.next_id = 1;
    resources_init(&m->pools, &pool_kind, m);
    resources_init(&m->networks, &network_kind, m);
    if ((r = store_folders(m, e)) < 0)
        return r;
    task_start(&m->tasks, begin, &b);
    loop_run(&m->loop);
    server_free(&m->server);
    life_release_all(m);
    resources_free(&m->pools);
    resources_free(&m->networks);
    emulators_free(m);
    tasks_free(&m->tasks);
    loop_free(&m->loop);
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
