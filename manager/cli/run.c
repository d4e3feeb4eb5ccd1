/* run.c - lodge run: boots a kernel on the terminal, with lodge-vm */
/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "manager/cli/verb.h"

struct run_options {
    const char *kernel, *initrd, *append, *memory, *cpus;
};

static const struct {
    const char *name;
    size_t offset; /* of a string in struct run_options */
} options[] = {
    {"--initrd", offsetof(struct run_options, initrd)},
    {"--append", offsetof(struct run_options, append)},
    {"--memory", offsetof(struct run_options, memory)},
    {"--cpus", offsetof(struct run_options, cpus)},
};

/* --name VALUE or --name=VALUE; *i moves on to the last word used. 1: it was an option; 0: it is none. */
static int parse_option(struct run_options *o, int argc, char **argv, int *i, struct error *e)
{
    const char *arg = argv[*i];
    size_t len = strcspn(arg, "=");
    for (size_t k = 0; k < ARRAY_SIZE(options); k++) {
        if (strlen(options[k].name) != len || strncmp(options[k].name, arg, len))
            continue;
        if (!arg[len] && *i + 1 == argc)
            return error_set(e, EINVAL, "run: option '%s' needs a value", arg);
        *(const char **)((char *)o + options[k].offset) = arg[len] ? arg + len + 1 : argv[++*i];
        return 1;
    }
    return 0;
}

static int parse(struct run_options *o, int argc, char **argv, struct error *e)
{
    for (int i = 1; i < argc; i++) {
        int r = parse_option(o, argc, argv, &i, e);
        if (r < 0)
            return r;
        if (r == 0 && argv[i][0] == '-')
            return error_set(e, EINVAL, "run: unknown option '%s': lodge help lists the options", argv[i]);
        if (r == 0 && o->kernel)
            return error_set(e, EINVAL, "run: two kernels, '%s' and '%s': give one", o->kernel, argv[i]);
        if (r == 0)
            o->kernel = argv[i];
    }
    return o->kernel ? 0 : error_set(e, EINVAL, "run: no kernel: use lodge run KERNEL [--initrd FILE]");
}

/* lodge-vm lies beside this program. */
static int machine_path(char *path, size_t size, struct error *e)
{
    ssize_t n = readlink("/proc/self/exe", path, size);
    if (n < 0 || (size_t)n >= size)
        return error_set(e, n < 0 ? errno : ENAMETOOLONG, "run: cannot find out where lodge is: %s",
                         strerror(n < 0 ? errno : ENAMETOOLONG));
    path[n] = 0;
    char *name = strrchr(path, '/') + 1;
    if ((size_t)(name - path) + sizeof("lodge-vm") > size)
        return error_set(e, ENAMETOOLONG, "run: the path of lodge is too long: install it elsewhere");
    strcpy(name, "lodge-vm");
    return 0;
}

static int run(int argc, char **argv, struct error *e)
{
    struct run_options o = {.append = "", .memory = "512M", .cpus = "1"};
    char vm[4096], append[8192];
    int r;
    if ((r = parse(&o, argc, argv, e)) < 0 || (r = machine_path(vm, sizeof(vm), e)) < 0)
        return r;
    /* The terminal is the guest's serial port; a kernel that is told of another console keeps that. */
    const char *console = strstr(o.append, "console=") ? "" : "console=ttyS0 ";
    if ((size_t)snprintf(append, sizeof(append), "%s%s", console, o.append) >= sizeof(append))
        return error_set(e, E2BIG, "run: --append is longer than any kernel takes: use a shorter one");
    const char *args[] = {vm,
                          "-kernel",
                          o.kernel,
                          "-append",
                          append,
                          "-m",
                          o.memory,
                          "-smp",
                          o.cpus,
                          "-nographic",
                          o.initrd ? "-initrd" : NULL,
                          o.initrd,
                          NULL};
    execv(vm, (char **)args);
    return error_set(e, errno, "run: cannot start '%s': %s: build or install lodge-vm beside lodge", vm,
                     strerror(errno));
}

const struct verb verb_run = {
    "run",
    "KERNEL [--initrd FILE] [--append TEXT] [--memory SIZE] [--cpus N]",
    "      boot a kernel with its console on this terminal (Ctrl-a h for keys, Ctrl-a x to leave);\n"
    "      defaults: --append console=ttyS0, --memory 512M, --cpus 1\n",
    run,
};
