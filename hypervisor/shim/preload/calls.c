/* calls.c - ioctl, close, and syscall(2) for programs that make their system calls by number */
/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <errno.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <linux/userfaultfd.h>
#include <stdarg.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

#include "base/base.h"
#include "hypervisor/shim/preload/preload.h"
#include "lodge/kvm.h"

/* What every descriptor does, by the kernel's vfs_ioctl. */
static bool is_everybodys(unsigned long request)
{
    return request == FIOCLEX || request == FIONCLEX || request == FIONBIO || request == FIOASYNC;
}

/* A copy of what it asks for: the pointer may be anything. */
static void before_register(const struct uffdio_register *arg)
{
    struct uffdio_range range;
    struct iovec local = {&range, sizeof(range)}, remote = {(void *)(uintptr_t)&arg->range, sizeof(range)};

    if (process_vm_readv(getpid(), &local, 1, &remote, 1, 0) == sizeof(range))
        lodge_kvm_userfault((void *)(uintptr_t)range.start, range.len);
}

/* EBADF is an answer too (a bad eventfd, say), so that only then the descriptor itself is asked about. */
EXPORT int ioctl(int fd, unsigned long request, ...)
{
    va_list ap;
    va_start(ap, request);
    unsigned long arg = va_arg(ap, unsigned long);
    va_end(ap);

    if (request == UFFDIO_REGISTER)
        before_register((const struct uffdio_register *)arg);
    if (!is_everybodys(request)) {
        bool outer = cancel_hold();
        int e = errno, r = lodge_kvm_ioctl(fd, request, arg);
        cancel_release(outer);
        if (r >= 0 || errno != EBADF || lodge_kvm_kind(fd) != LODGE_KVM_NONE)
            return r;
        errno = e;
    }
    return NEXT(ioctl)(fd, request, arg);
}

/* The library closes descriptors by this name too, those of its objects among them. */
EXPORT int close(int fd)
{
    static __thread bool inside __attribute__((tls_model("initial-exec")));

    if (!inside) {
        int e = errno;
        inside = true;
        int r = lodge_kvm_close(fd);
        inside = false;
        if (r == 0 || errno != EBADF)
            return r;
        errno = e;
    }
    return NEXT(close)(fd);
}

/* Those by which the functions of this library would be passed by. fstat(2) is not among them: the library
 * itself tells objects by it. */
EXPORT long syscall(long number, ...)
{
    va_list ap;
    long a[6];

    va_start(ap, number);
    for (unsigned i = 0; i < ARRAY_SIZE(a); i++)
        a[i] = va_arg(ap, long);
    va_end(ap);
    switch (number) {
    case SYS_open: return open((const char *)a[0], (int)a[1], (mode_t)a[2]);
    case SYS_openat: return openat((int)a[0], (const char *)a[1], (int)a[2], (mode_t)a[3]);
    case SYS_creat: return creat((const char *)a[0], (mode_t)a[1]);
    case SYS_readlink: return readlink((const char *)a[0], (char *)a[1], (size_t)a[2]);
    case SYS_readlinkat: return readlinkat((int)a[0], (const char *)a[1], (char *)a[2], (size_t)a[3]);
    case SYS_ioctl: return ioctl((int)a[0], (unsigned long)a[1], a[2]);
    case SYS_close: return close((int)a[0]);
    case SYS_access: return access((const char *)a[0], (int)a[1]);
    case SYS_faccessat: return faccessat((int)a[0], (const char *)a[1], (int)a[2], 0);
    case SYS_faccessat2: return faccessat((int)a[0], (const char *)a[1], (int)a[2], (int)a[3]);
    case SYS_stat: return stat((const char *)a[0], (struct stat *)a[1]);
    case SYS_lstat: return lstat((const char *)a[0], (struct stat *)a[1]);
    case SYS_newfstatat: return fstatat((int)a[0], (const char *)a[1], (struct stat *)a[2], (int)a[3]);
    case SYS_statx:
        return statx((int)a[0], (const char *)a[1], (int)a[2], (unsigned)a[3], (struct statx *)a[4]);
    case SYS_openat2: {
        const struct served *s = served_find((int)a[0], (const char *)a[1]);
        if (s)
            return served_open(s, (int)((const struct open_how *)a[2])->flags);
        break;
    }
    default: break;
    }
    return NEXT(syscall)(number, a[0], a[1], a[2], a[3], a[4], a[5]);
}
