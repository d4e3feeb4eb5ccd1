/* life.c - lodge start, stop, migrate, rm */
/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <errno.h>
#include <jansson.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "manager/rpc/connection.h"
#include "manager/cli/console.h"
#include "manager/cli/verb.h"

struct life_arguments {
    struct target target;
    bool console, paused, force, unsafe;
    u64 timeout;
};

static const struct argument start_table[] = {
    {"console", ARGUMENT_FLAG, offsetof(struct life_arguments, console), NULL},
    {"paused", ARGUMENT_FLAG, offsetof(struct life_arguments, paused), NULL},
    TARGET_ARGUMENTS(struct life_arguments, target),
    {0},
};
static const struct argument stop_table[] = {
    {"force", ARGUMENT_FLAG, offsetof(struct life_arguments, force), NULL},
    {"timeout", ARGUMENT_NUMBER, offsetof(struct life_arguments, timeout), "SECONDS"},
    TARGET_ARGUMENTS(struct life_arguments, target),
    {0},
};
static const struct argument migrate_table[] = {
    {"unsafe", ARGUMENT_FLAG, offsetof(struct life_arguments, unsafe), NULL},
    TARGET_ARGUMENTS(struct life_arguments, target),
    {0},
};
static const struct argument rm_table[] = {
    {"force", ARGUMENT_FLAG, offsetof(struct life_arguments, force), NULL},
    TARGET_ARGUMENTS(struct life_arguments, target),
    {0},
};

/* What became of it, for people or for programs. */
static void tell(const struct target *t, const char *name, const char *what)
{
    if (!t->json) {
        printf("%s: %s\n", name, what);
        return;
    }
    json_t *o = json_pack("{s:s,s:s}", "name", name, "result", what);
    json_dumpf(o, stdout, 0);
    putchar('\n');
    json_decref(o);
}

/* The connection, and the machine of that name. */
static int begin(struct connection *c, struct remote_domain *d, const struct target *t, const char *name,
                 struct error *e)
{
    int r = connection_open(c, t, e);
    if (r == 0 && (r = connection_find(c, name, d, e)) < 0)
        connection_close(c);
    return r;
}

static int run_start(int argc, char **argv, struct error *e)
{
    enum { PAUSED = 1 };
    struct life_arguments a = {0};
    struct connection c;
    struct remote_domain d;
    const char *name;
    int r = arguments_parse(argc, argv, &verb_start, &a, &name, e);
    if (r < 0 || (r = begin(&c, &d, &a.target, name, e)) < 0)
        return r;
    struct remote_domain_create_with_flags_ret started;
    if (d.id >= 0)
        r = error_set(e, EBUSY, "'%s' runs already: lodge console %s shows it", name, name);
    else
        r = CALL_RET(&c, DOMAIN_CREATE_WITH_FLAGS, domain_create_with_flags, &started, e, d,
                     a.paused ? PAUSED : 0);
    if (r == 0 && !a.console)
        tell(&a.target, name, a.paused ? "started, and paused" : "started");
    if (r == 0 && a.console)
        r = console_attach(&c, &d, e);
    connection_close(&c);
    return r;
}

/* Until the machine is shut off, which its guest decides. */
static int wait_off(struct connection *c, const struct remote_domain *d, u64 seconds, struct error *e)
{
    const struct timespec pause = {.tv_nsec = 100000000};
    for (u64 tenths = 0; tenths < seconds * 10; tenths++) {
        s32 state, reason;
        int r = connection_state(c, d, &state, &reason, e);
        if (r < 0) /* a transient machine is forgotten as it ends */
            return c->error_code ? 0 : r;
        if (state == STATE_SHUTOFF)
            return 0;
        if (tenths == 20 && isatty(STDERR_FILENO))
            fprintf(stderr, "%s: its power button is pressed; waiting for the guest, %lu s at most\n",
                    d->name, seconds);
        nanosleep(&pause, NULL);
    }
    return error_set(e, ETIMEDOUT,
                     "the guest of '%s' has not shut down for %lu s: it may not listen to the power button; "
                     "lodge stop --force %s switches it off",
                     d->name, seconds, d->name);
}

static int run_stop(int argc, char **argv, struct error *e)
{
    struct life_arguments a = {.timeout = 60};
    struct connection c;
    struct remote_domain d;
    const char *name;
    int r = arguments_parse(argc, argv, &verb_stop, &a, &name, e);
    if (r < 0 || (r = begin(&c, &d, &a.target, name, e)) < 0)
        return r;
    if (d.id < 0)
        r = error_set(e, EINVAL, "'%s' does not run", name);
    else if (a.force)
        r = CALL(&c, DOMAIN_DESTROY, domain_destroy, e, d);
    else if ((r = CALL(&c, DOMAIN_SHUTDOWN, domain_shutdown, e, d)) == 0)
        r = wait_off(&c, &d, a.timeout, e);
    if (r == 0)
        tell(&a.target, name, "stopped");
    connection_close(&c);
    return r;
}

/* The daemon connects to it by itself: a folder is one of --root, anything else a socket or libvirt's URI. */
static int find_destination(const char *given, char *uri, size_t size, struct error *e)
{
    char whole[PATH_MAX];
    struct stat st;
    bool path = !strstr(given, "://");
    if (path && (!realpath(given, whole) || stat(whole, &st) < 0))
        return error_set(e, errno,
                         "the destination '%s': %s: name the folder of a lodged, its socket or a URI", given,
                         strerror(errno));
    int n = path ? snprintf(uri, size, "qemu+unix:///system?socket=%s%s", whole,
                            S_ISDIR(st.st_mode) ? "/run/lodged-sock" : "")
                 : snprintf(uri, size, "%s", given);
    return n < 0 || (size_t)n >= size ? error_set(e, ENAMETOOLONG, "the name of the destination is too long")
                                      : 0;
}

static int run_migrate(int argc, char **argv, struct error *e)
{
    enum { LIVE = 1, PEER2PEER = 2, PERSIST = 8, UNDEFINE = 16, UNSAFE = 512, OFFLINE = 1024 };
    struct life_arguments a = {0};
    struct connection c;
    struct remote_domain d;
    struct remote_domain_migrate_perform3_params_ret moved;
    const char *words[2];
    char uri[PATH_MAX + 64];
    int r = arguments_parse(argc, argv, &verb_migrate, &a, words, e);
    if (r < 0 || (r = find_destination(words[1], uri, sizeof(uri), e)) < 0 ||
        (r = begin(&c, &d, &a.target, words[0], e)) < 0)
        return r;
    u32 flags = PEER2PEER | PERSIST | UNDEFINE | (d.id >= 0 ? LIVE : OFFLINE) | (a.unsafe ? UNSAFE : 0);
    r = CALL_RET(&c, DOMAIN_MIGRATE_PERFORM3_PARAMS, domain_migrate_perform3_params, &moved, e, .dom = d,
                 .dconnuri = uri, .flags = flags);
    if (r == 0)
        tell(&a.target, words[0], "moved");
    connection_close(&c);
    return r;
}

static int run_rm(int argc, char **argv, struct error *e)
{
    enum { MANAGED_SAVE = 1 };
    struct life_arguments a = {0};
    struct connection c;
    struct remote_domain d;
    const char *name;
    int r = arguments_parse(argc, argv, &verb_rm, &a, &name, e);
    if (r < 0 || (r = begin(&c, &d, &a.target, name, e)) < 0)
        return r;
    bool running = d.id >= 0;
    if (running && !a.force)
        r = error_set(e, EBUSY, "'%s' is running: lodge stop %s first, or lodge rm --force %s", name, name,
                      name);
    else if (running)
        r = CALL(&c, DOMAIN_DESTROY, domain_destroy, e, d);
    if (r == 0)
        r = CALL(&c, DOMAIN_UNDEFINE_FLAGS, domain_undefine_flags, e, d, MANAGED_SAVE);
    if (r == 0)
        tell(&a.target, name, "removed; its disks stay");
    connection_close(&c);
    return r;
}

const struct verb verb_start = {
    .name = "start",
    .words = "NAME",
    .table = start_table,
    .help = "      start a machine; --console: and watch it do so\n",
    .run = run_start,
};
const struct verb verb_stop = {
    .name = "stop",
    .words = "NAME",
    .table = stop_table,
    .help = "      press its power button and wait (60 s) until it is off; --force: switch it off\n",
    .run = run_stop,
};
const struct verb verb_migrate = {
    .name = "migrate",
    .words = "NAME DESTINATION",
    .table = migrate_table,
    .help =
        "      move a machine, while it runs, to another lodged: its folder (as of --root), its socket, or a URI;\n"
        "      --unsafe: though it has disks on no shared file system\n",
    .run = run_migrate,
};
const struct verb verb_rm = {
    .name = "rm",
    .words = "NAME",
    .table = rm_table,
    .help = "      forget a machine; its disks stay; --force: though it runs\n",
    .run = run_rm,
};
