/* run.c - lodge run: boots a kernel on the terminal, with lodge-vm */
/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "manager/cli/arguments.h"
#include "manager/cli/verb.h"

struct run_options {
    const char *kernel, *initrd, *append, *memory, *cpus, *accel;
};

static const struct argument table[] = {
    {"initrd", ARGUMENT_TEXT, offsetof(struct run_options, initrd), "FILE"},
    {"append", ARGUMENT_TEXT, offsetof(struct run_options, append), "TEXT"},
    {"memory", ARGUMENT_TEXT, offsetof(struct run_options, memory), "SIZE"},
    {"cpus", ARGUMENT_TEXT, offsetof(struct run_options, cpus), "N"},
    {"accel", ARGUMENT_TEXT, offsetof(struct run_options, accel), "auto|lodge|kvm"},
    {0},
};

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
    struct run_options o = {.append = "", .memory = "512M", .cpus = "1", .accel = "auto"};
    char vm[4096], append[8192];
    int r;
    if ((r = arguments_parse(argc, argv, &verb_run, &o, &o.kernel, e)) < 0 ||
        (r = machine_path(vm, sizeof(vm), e)) < 0)
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
                          "-accel",
                          o.accel,
                          "-nographic",
                          o.initrd ? "-initrd" : NULL,
                          o.initrd,
                          NULL};
    execv(vm, (char **)args);
    return error_set(e, errno, "run: cannot start '%s': %s: build or install lodge-vm beside lodge", vm,
                     strerror(errno));
}

const struct verb verb_run = {
    .name = "run",
    .words = "KERNEL",
    .table = table,
    .help =
        "      boot a kernel with its console on this terminal (Ctrl-a h for keys, Ctrl-a x to leave);\n"
        "      defaults: --append console=ttyS0, --memory 512M, --cpus 1, --accel auto (the kernel's KVM where it has hardware)\n",
    .run = run,
};
