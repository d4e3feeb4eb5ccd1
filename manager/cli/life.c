/* life.c - lodge start, stop, rm */
/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <errno.h>
#include <jansson.h>
#include <stdio.h>
#include <time.h>
#include <unistd.h>

#include "manager/cli/connection.h"
#include "manager/cli/console.h"
#include "manager/cli/verb.h"

struct life_arguments {
    struct target target;
    bool console, paused, force;
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
const struct verb verb_rm = {
    .name = "rm",
    .words = "NAME",
    .table = rm_table,
    .help = "      forget a machine; its disks stay; --force: though it runs\n",
    .run = run_rm,
};
