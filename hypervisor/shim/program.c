/* program.c - whether a program can be served: found, executable, and one that takes a preload library
 * (ld.so(8)) */
/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <elf.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "base/base.h"
#include "hypervisor/shim/program.h"

#define GLIBC_LINKER "ld-linux-x86-64.so.2"

enum { SCRIPT_DEPTH = 4 }; /* an interpreter may be a script itself; the kernel gives up after as many */

/* ---- finding ---- */

static int runnable(const char *path)
{
    struct stat st;

    if (stat(path, &st))
        return -errno;
    if (!S_ISREG(st.st_mode) || access(path, X_OK))
        return -EACCES;
    return 0;
}

/* As execvp(3): a file that may not be run is an error only if no other is found. */
static int search(const char *name, char *path, size_t size)
{
    const char *folders = getenv("PATH");
    int r = -ENOENT;

    for (const char *f = folders ? folders : "/bin:/usr/bin", *end; f; f = *end ? end + 1 : NULL) {
        end = f + strcspn(f, ":");
        int n = (int)(end - f);
        if ((size_t)snprintf(path, size, "%.*s%s%s", n, f, n ? "/" : "", name) >= size)
            continue;
        int one = runnable(path);
        if (!one)
            return 0;
        if (one == -EACCES)
            r = one;
    }
    return r;
}

int program_find(const char *name, char *path, size_t size, struct error *e)
{
    int r;

    if (!strchr(name, '/'))
        r = search(name, path, size);
    else if ((size_t)snprintf(path, size, "%s", name) >= size)
        r = -ENAMETOOLONG;
    else
        r = runnable(path);
    if (!r)
        return 0;
    return error_set(e, -r, "cannot run '%s': %s", name,
                     r == -EACCES ? "it is not an executable file" : strerror(-r));
}

/* ---- programs that run with more rights than who starts them: the dynamic linker ignores LD_PRELOAD ---- */

static bool gains_rights(const char *path)
{
    struct statvfs fs;
    struct stat st;

    if (stat(path, &st) || prctl(PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0) == 1)
        return false;
    if (!statvfs(path, &fs) && (fs.f_flag & ST_NOSUID))
        return false;
    if ((st.st_mode & S_ISUID) && st.st_uid != getuid())
        return true;
    if ((st.st_mode & S_ISGID) && (st.st_mode & S_IXGRP) && st.st_gid != getgid())
        return true;
    return getuid() && getxattr(path, "security.capability", NULL, 0) > 0;
}

/* ---- the file itself ---- */

static bool read_at(int fd, void *to, size_t n, off_t at)
{
    return pread(fd, to, n, at) == (ssize_t)n;
}

/* The dynamic linker that an ELF file names; false: it names none. */
static bool read_linker(int fd, const Elf64_Ehdr *h, char *linker, size_t size)
{
    Elf64_Phdr p;

    for (unsigned i = 0; i < h->e_phnum; i++) {
        if (!read_at(fd, &p, sizeof(p), (off_t)(h->e_phoff + (u64)i * sizeof(p))))
            return false;
        if (p.p_type != PT_INTERP || !p.p_filesz || p.p_filesz > size)
            continue;
        if (!read_at(fd, linker, p.p_filesz, (off_t)p.p_offset))
            return false;
        linker[p.p_filesz - 1] = 0;
        return true;
    }
    return false;
}

static int check_elf(const char *path, int fd, const Elf64_Ehdr *h, struct error *e)
{
    char linker[PATH_MAX];

    if (h->e_ident[EI_CLASS] != ELFCLASS64 || h->e_machine != EM_X86_64)
        return error_set(e, ENOEXEC, "'%s' is no 64-bit x86 program: there is no KVM for others", path);
    if (h->e_phentsize != sizeof(Elf64_Phdr) || !read_linker(fd, h, linker, sizeof(linker)))
        return error_set(
            e, ENOEXEC,
            "'%s' is statically linked, so that no library can be put before it and it would see "
            "the kernel's /dev/kvm or none: use a build of it that is linked with glibc",
            path);
    const char *name = strrchr(linker, '/');
    if (strcmp(name ? name + 1 : linker, GLIBC_LINKER))
        return error_set(
            e, ENOEXEC,
            "'%s' uses another C library than glibc (its dynamic linker is %s): use a build of it "
            "that is linked with glibc",
            path, linker);
    return 0;
}

/* The interpreter in a script's first line. */
static bool script_interpreter(char *line)
{
    char *start = line + 2 + strspn(line + 2, " \t");

    start[strcspn(start, " \t\r\n")] = 0;
    memmove(line, start, strlen(start) + 1);
    return *line;
}

static int check_file(char *path, struct error *e)
{
    union {
        Elf64_Ehdr elf;
        char line[PATH_MAX];
    } head = {.line = ""};

    if (gains_rights(path))
        return error_set(
            e, ENOEXEC,
            "'%s' is set-user-ID, set-group-ID or has file capabilities, and such programs ignore "
            "preload libraries: run it as the user that it runs as, or use a copy without them",
            path);
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0) /* it may be run and not read: nothing more is to be known */
        return 0;
    ssize_t n = pread(fd, head.line, sizeof(head.line) - 1, 0);
    int r = 0;
    if (n >= (ssize_t)sizeof(head.elf) && !memcmp(head.elf.e_ident, ELFMAG, SELFMAG))
        r = check_elf(path, fd, &head.elf, e);
    else if (n > 2 && !memcmp(head.line, "#!", 2) && script_interpreter(head.line))
        r = snprintf(path, PATH_MAX, "%s", head.line) > 0; /* look at that */
    close(fd);
    return r;
}

int program_check(const char *path, struct error *e)
{
    char file[PATH_MAX];
    int r = 1;

    if ((size_t)snprintf(file, sizeof(file), "%s", path) >= sizeof(file))
        return error_set(e, ENOEXEC, "the path of '%s' is too long", path);
    for (unsigned i = 0; i < SCRIPT_DEPTH && r == 1; i++)
        r = check_file(file, e);
    return r < 0 ? r : 0;
}
