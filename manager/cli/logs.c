/* logs.c - lodge logs: how a machine was started, and what its program said */
/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <errno.h>
#include <fcntl.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "manager/rpc/connection.h"
#include "manager/cli/verb.h"

struct logs_arguments {
    struct target target;
    bool follow;
};

static const struct argument table[] = {
    {"follow", ARGUMENT_FLAG, offsetof(struct logs_arguments, follow), NULL},
    TARGET_ARGUMENTS(struct logs_arguments, target),
    {0},
};

/* Of a libvirtd: of the system's, whose socket is in /run, or of a session's, which is in the folders of its
 * user. */
static int libvirt_log_path(const char *socket, const char *name, char *path, size_t size)
{
    const char *cache = getenv("XDG_CACHE_HOME"), *home = getenv("HOME");
    if (!strncmp(socket, "/run/libvirt/", 13) || !strncmp(socket, "/var/run/libvirt/", 17))
        return snprintf(path, size, "/var/log/libvirt/qemu/%s.log", name);
    return snprintf(path, size, "%s%s/libvirt/qemu/log/%s.log",
                    cache  ? cache
                    : home ? home
                           : "",
                    cache ? "" : "/.cache", name);
}

/* The daemon's protocol has no logs: they are files. */
static int log_path(const struct target *t, const char *name, char *path, size_t size, struct error *e)
{
    const char *root = target_root(t);
    int n = root         ? snprintf(path, size, "%s/log/%s.log", root, name)
            : t->connect ? libvirt_log_path(t->connect, name, path, size)
                         : snprintf(path, size, "/var/log/lodge/%s.log", name);
    return n < 0 || (size_t)n >= size ? error_set(e, ENAMETOOLONG, "the path of the log is too long") : 0;
}

static int copy(int fd, bool follow, struct error *e)
{
    char data[65536];
    for (;;) {
        ssize_t n = read(fd, data, sizeof(data));
        if (n < 0)
            return error_set(e, errno, "cannot read the log: %s", strerror(errno));
        if (n == 0 && !follow)
            return 0;
        if (n == 0)
            usleep(200000);
        else if (write(STDOUT_FILENO, data, (size_t)n) < 0)
            return error_set(e, errno, "cannot write: %s", strerror(errno));
    }
}

/* {"name": NAME, "lines": [LINE, ...]} */
static void print_json(const char *name, FILE *log)
{
    json_t *lines = json_array();
    char *line = NULL;
    size_t room = 0;
    for (ssize_t n; (n = getline(&line, &room, log)) > 0;) {
        json_t *text = json_stringn(line, (size_t)n - (line[n - 1] == '\n'));
        json_array_append_new(lines, text ? text : json_string("(not UTF-8)"));
    }
    free(line);
    json_t *o = json_pack("{s:s,s:o}", "name", name, "lines", lines);
    json_dumpf(o, stdout, JSON_INDENT(2));
    putchar('\n');
    json_decref(o);
}

static int run(int argc, char **argv, struct error *e)
{
    struct logs_arguments a = {0};
    const char *name;
    char path[4096];
    int r = arguments_parse(argc, argv, &verb_logs, &a, &name, e);
    if (r == 0 && strchr(name, '/'))
        r = error_set(e, EINVAL, "logs: '%s' is no name", name);
    if (r == 0 && a.follow && a.target.json)
        r = error_set(e, EINVAL, "logs: --json prints what there is, --follow has no end: use one of them");
    if (r < 0 || (r = log_path(&a.target, name, path, sizeof(path), e)) < 0)
        return r;
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return error_set(e, errno, "cannot open the log '%s': %s%s", path, strerror(errno),
                         errno == ENOENT ? ": has the machine been started?" : "");
    if (!a.target.json) {
        r = copy(fd, a.follow, e);
        close(fd);
        return r;
    }
    FILE *log = fdopen(fd, "r");
    ASSERT(log);
    print_json(name, log);
    fclose(log);
    return 0;
}

const struct verb verb_logs = {
    .name = "logs",
    .words = "NAME",
    .table = table,
    .help = "      how a machine was started, and what its program said\n",
    .run = run,
};
