/* main.c - lodge-kvm: runs a program that finds Lodge's KVM behind /dev/kvm */
/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <errno.h>
#include <getopt.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/base.h"
#include "base/version.h"
#include "hypervisor/shim/program.h"
#include "hypervisor/shim/shim.h"
#include "lodge/kvm.h"

#define PRELOAD_NAME "liblodge-kvm-preload.so"

/* As env(1), nice(1), timeout(1) and their kin. */
enum { STATUS_OWN = 125, STATUS_CANNOT_RUN = 126, STATUS_NOT_FOUND = 127 };

static void print_help(void)
{
    printf(
        "usage: lodge-kvm [-d LETTERS] [-D FILE] PROGRAM [ARGUMENTS]\n\n"
        "Runs PROGRAM so that it finds a KVM, whether or not this machine has one: what it opens as /dev/kvm is\n"
        "Lodge's hypervisor, in the program itself. The programs that it starts are served likewise. PROGRAM\n"
        "must be a 64-bit x86 program that is linked dynamically with glibc, and not set-user-ID.\n\n"
        "Guests' programs run on the processor as they are, in processes beside PROGRAM, where that pays and is\n"
        "possible; LODGE_DIRECT=off in the environment: never.\n\n"
        "  -d LETTERS   print what the hypervisor does:\n%s"
        "  -D FILE      print it to FILE; default: standard error\n"
        "  --help, --version\n\n"
        "Example: lodge-kvm qemu-system-x86_64 -accel kvm -m 1G -kernel vmlinuz -nographic\n\n"
        "Exit status: PROGRAM's; %d if lodge-kvm itself fails, %d if PROGRAM cannot be run or not be served, %d\n"
        "if it is not found.\n",
        lodge_kvm_dump_help(), STATUS_OWN, STATUS_CANNOT_RUN, STATUS_NOT_FOUND);
}

static int fail(int status, const struct error *e)
{
    report("%s", e->text);
    return status;
}

/* The preload library, beside this program or in the lib folder beside its own. */
static int find_library(char *path, size_t size, struct error *e)
{
    static const char *const places[] = {"", "../lib/", "../lib64/", "../lib/x86_64-linux-gnu/"};
    char own[PATH_MAX];
    ssize_t n = readlink("/proc/self/exe", own, sizeof(own) - 1);

    if (n < 0)
        return error_set(e, errno, "cannot find out where lodge-kvm is: %s", strerror(errno));
    own[n] = 0;
    *(strrchr(own, '/') + 1) = 0;
    for (size_t i = 0; i < ARRAY_SIZE(places); i++)
        if ((size_t)snprintf(path, size, "%s%s" PRELOAD_NAME, own, places[i]) < size && !access(path, R_OK))
            return 0;
    return error_set(e, ENOENT, "there is no " PRELOAD_NAME " at '%s': build or install it beside lodge-kvm",
                     own);
}

/* Before those that the user wants. */
static int set_preload(struct error *e)
{
    char library[PATH_MAX], list[2 * PATH_MAX];
    const char *others = getenv("LD_PRELOAD");
    int r = find_library(library, sizeof(library), e);

    if (r)
        return r;
    if (strpbrk(library, " :"))
        return error_set(e, EINVAL,
                         "'%s' has a space or a colon, which LD_PRELOAD cannot: install Lodge elsewhere",
                         library);
    if ((size_t)snprintf(list, sizeof(list), "%s%s%s", library, others && *others ? ":" : "",
                         others ? others : "") >= sizeof(list))
        return error_set(e, E2BIG, "LD_PRELOAD is too long: shorten it");
    return setenv("LD_PRELOAD", list, 1) ? error_set(e, errno, "cannot set LD_PRELOAD: %s", strerror(errno))
                                         : 0;
}

/* The library in the program starts the dump: here only what is wrong with it is found. */
static int set_dump(const char *letters, const char *path, struct error *e)
{
    char full[PATH_MAX];

    if (!letters)
        return path ? error_set(e, EINVAL, "-D wants -d: say what is to be printed") : 0;
    if (lodge_kvm_dump(letters, path)) {
        if (errno == EINVAL)
            return error_set(e, EINVAL, "-d '%s' has an unknown letter: lodge-kvm --help lists them",
                             letters);
        return error_set(e, errno, "-D: cannot write '%s'%s: %s", path ? path : "standard error",
                         strchr(letters, 'p') ? ", or -d p its map in /tmp" : "", strerror(errno));
    }
    if (setenv(SHIM_DUMP, letters, 1) ||
        (path && setenv(SHIM_DUMP_FILE, realpath(path, full) ? full : path, 1)))
        return error_set(e, errno, "cannot set the environment: %s", strerror(errno));
    return 0;
}

int main(int argc, char **argv)
{
    const char *letters = NULL, *dump_path = NULL;
    char path[PATH_MAX];
    struct error e;
    int option;

    static const struct option long_options[] = {{"help", 0, NULL, 'h'}, {"version", 0, NULL, 'V'}, {0}};
    while ((option = getopt_long(argc, argv, "+d:D:h", long_options, NULL)) >= 0) {
        switch (option) {
        case 'd': letters = optarg; break;
        case 'D': dump_path = optarg; break;
        case 'h': print_help(); return EXIT_SUCCESS;
        case 'V': puts("lodge-kvm " LODGE_VERSION); return EXIT_SUCCESS;
        default: fprintf(stderr, "lodge-kvm: lodge-kvm --help tells the options\n"); return STATUS_OWN;
        }
    }
    if (optind == argc) {
        error_set(&e, EINVAL, "no program: use lodge-kvm PROGRAM [ARGUMENTS]");
        return fail(STATUS_OWN, &e);
    }
    int r = program_find(argv[optind], path, sizeof(path), &e);
    if (r)
        return fail(r == -ENOENT || r == -ENOTDIR ? STATUS_NOT_FOUND : STATUS_CANNOT_RUN, &e);
    if (program_check(path, &e))
        return fail(STATUS_CANNOT_RUN, &e);
    if (set_preload(&e) || set_dump(letters, dump_path, &e))
        return fail(STATUS_OWN, &e);
    execvp(argv[optind], argv + optind);
    error_set(&e, errno, "cannot run '%s': %s", argv[optind], strerror(errno));
    return fail(errno == ENOENT ? STATUS_NOT_FOUND : STATUS_CANNOT_RUN, &e);
}
