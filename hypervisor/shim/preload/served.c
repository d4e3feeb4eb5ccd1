/* served.c - the files of KVM that a program sees: /dev/kvm and the parameters of the kernel's modules */
/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <cpuid.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/base.h"
#include "hypervisor/shim/preload/preload.h"
#include "lodge/kvm.h"

#define MODULE "/sys/module/kvm"
#define FOLDER (S_IFDIR | 0755)
#define PARAMETER(m, name, value)                                \
    {                                                            \
        MODULE m "/parameters/" name, S_IFREG | 0444, value "\n" \
    }

static const struct served files[] = {
    {"/dev/kvm", S_IFCHR | 0666, NULL},
    {MODULE, FOLDER, NULL},
    {MODULE "/parameters", FOLDER, NULL},
    PARAMETER("", "eager_page_split", "N"),
    PARAMETER("", "enable_pmu", "N"),
    PARAMETER("", "enable_vmware_backdoor", "N"),
    PARAMETER("", "flush_on_reuse", "N"),
    PARAMETER("", "force_emulation_prefix", "0"),
    PARAMETER("", "halt_poll_ns", "0"),
    PARAMETER("", "ignore_msrs", "N"),
    PARAMETER("", "kvmclock_periodic_sync", "N"),
    PARAMETER("", "mmio_caching", "N"),
    PARAMETER("", "nx_huge_pages", "N"),
    PARAMETER("", "report_ignored_msrs", "N"),
    PARAMETER("", "tdp_mmu", "N"),
    PARAMETER("", "vector_hashing", "N"),
};

/* The vendor's module: there is one, and not the other vendor's. Real mode runs as it is; everything else
 * here names hardware that the library does without. */
static const struct served intel_files[] = {
    {MODULE "_intel", FOLDER, NULL},
    {MODULE "_intel/parameters", FOLDER, NULL},
    PARAMETER("_intel", "allow_smaller_maxphyaddr", "N"),
    PARAMETER("_intel", "emulate_invalid_guest_state", "Y"),
    PARAMETER("_intel", "enable_apicv", "N"),
    PARAMETER("_intel", "enable_ipiv", "N"),
    PARAMETER("_intel", "enable_shadow_vmcs", "N"),
    PARAMETER("_intel", "ept", "N"),
    PARAMETER("_intel", "eptad", "N"),
    PARAMETER("_intel", "fasteoi", "N"),
    PARAMETER("_intel", "flexpriority", "N"),
    PARAMETER("_intel", "nested", "N"),
    PARAMETER("_intel", "pml", "N"),
    PARAMETER("_intel", "preemption_timer", "N"),
    PARAMETER("_intel", "sgx", "N"),
    PARAMETER("_intel", "unrestricted_guest", "Y"),
    PARAMETER("_intel", "vnmi", "N"),
    PARAMETER("_intel", "vpid", "N"),
};
static const struct served amd_files[] = {
    {MODULE "_amd", FOLDER, NULL},         {MODULE "_amd/parameters", FOLDER, NULL},
    PARAMETER("_amd", "avic", "N"),        PARAMETER("_amd", "force_avic", "N"),
    PARAMETER("_amd", "lbrv", "0"),        PARAMETER("_amd", "nested", "0"),
    PARAMETER("_amd", "npt", "N"),         PARAMETER("_amd", "nrips", "0"),
    PARAMETER("_amd", "sev", "N"),         PARAMETER("_amd", "sev_es", "N"),
    PARAMETER("_amd", "tsc_scaling", "0"), PARAMETER("_amd", "vgif", "0"),
    PARAMETER("_amd", "vls", "0"),         PARAMETER("_amd", "vnmi", "N"),
};

/* ---- which file a name means ---- */

/* The absolute path of a descriptor, or of the working directory. */
static bool folder_path(int dirfd, char *path)
{
    char link[32] = "/proc/self/cwd";

    if (dirfd != AT_FDCWD)
        snprintf(link, sizeof(link), "/proc/self/fd/%d", dirfd);
    ssize_t n = readlink(link, path, PATH_MAX - 1);
    if (n <= 0 || path[0] != '/')
        return false;
    path[n] = 0;
    return true;
}

/* Adds the parts of more to the absolute path, without "", "." and "..". Symbolic links are not followed. */
static bool path_append(char *path, const char *more)
{
    size_t len = strcmp(path, "/") ? strlen(path) : 0;

    while (*more) {
        size_t n = strcspn(more, "/");
        if (n == 2 && !strncmp(more, "..", 2)) {
            while (len && path[--len] != '/')
                ;
        } else if (n && !(n == 1 && *more == '.')) {
            if (len + n + 2 > PATH_MAX)
                return false;
            path[len++] = '/';
            memcpy(path + len, more, n);
            len += n;
        }
        more += n + (more[n] == '/');
    }
    path[len] = 0;
    return true;
}

static const struct served *find_in(const struct served *list, size_t n, const char *path)
{
    for (size_t i = 0; i < n; i++)
        if (!strcmp(list[i].path, path))
            return &list[i];
    return NULL;
}

static bool is_below(const char *path, const char *folder)
{
    size_t n = strlen(folder);
    return !strncmp(path, folder, n) && (!path[n] || path[n] == '/');
}

enum { AUTHENTIC_AMD = 0x68747541, HYGON_GENUINE = 0x6f677948 }; /* ebx of CPUID leaf 0: "Auth", "Hygo" */

static bool host_is_amd(void)
{
    static int amd = -1; /* cpuid may cost a VM exit */
    unsigned max, b, c, d;

    if (amd < 0)
        amd = __get_cpuid(0, &max, &b, &c, &d) && (b == AUTHENTIC_AMD || b == HYGON_GENUINE);
    return amd;
}

const struct served *served_find(int dirfd, const char *path)
{
    static const struct served absent = {NULL, 0, NULL};
    char full[PATH_MAX] = "/";
    const struct served *s;

    if (!path || !strstr(path, "kvm"))
        return NULL;
    if (path[0] != '/' && !folder_path(dirfd, full))
        return NULL;
    if (!path_append(full, path))
        return NULL;
    if ((s = find_in(files, ARRAY_SIZE(files), full)))
        return s;
    s = host_is_amd() ? find_in(amd_files, ARRAY_SIZE(amd_files), full)
                      : find_in(intel_files, ARRAY_SIZE(intel_files), full);
    if (s)
        return s;
    return is_below(full, MODULE) || is_below(full, MODULE "_intel") || is_below(full, MODULE "_amd")
               ? &absent
               : NULL;
}

/* ---- opening ---- */

/* A file in memory, not open for writing. */
static int content_open(const char *content)
{
    char path[32];
    size_t n = strlen(content);
    int fd = memfd_create("kvm-parameter", MFD_CLOEXEC), readable = -1;

    if (fd < 0)
        return -1;
    snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
    if (write(fd, content, n) == (ssize_t)n)
        readable = NEXT(open)(path, O_RDONLY | O_CLOEXEC);
    int e = errno;
    close(fd);
    errno = e;
    return readable;
}

static int refusal(const struct served *s, int flags)
{
    bool writes = (flags & O_ACCMODE) != O_RDONLY || (flags & O_TRUNC);

    if (!s->mode)
        return flags & O_CREAT ? EACCES : ENOENT;
    if ((flags & O_CREAT) && (flags & O_EXCL))
        return EEXIST;
    if (S_ISDIR(s->mode)) /* seen, but not to be listed */
        return writes ? EISDIR : EACCES;
    if (flags & O_DIRECTORY)
        return ENOTDIR;
    return S_ISREG(s->mode) && writes ? EACCES : 0;
}

int served_open(const struct served *s, int flags)
{
    int e = refusal(s, flags);

    if (e) {
        errno = e;
        return -1;
    }
    int fd = S_ISCHR(s->mode) ? lodge_kvm_open() : content_open(s->content);
    if (fd >= 0 && !(flags & O_CLOEXEC))
        fcntl(fd, F_SETFD, 0);
    return fd;
}
