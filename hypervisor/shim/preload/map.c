/* map.c - mmap: what the kernel refuses of a vcpu's descriptor, and a file in memory would not; madvise */
/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <errno.h>
#include <linux/kvm.h>
#include <sys/mman.h>

#include "hypervisor/shim/preload/preload.h"
#include "lodge/kvm.h"

/* The dirty ring is shared with the program, and no code (api.rst 8.29). */
static bool refused(size_t size, int prot, int flags, int fd, off_t offset)
{
    const off_t ring = KVM_DIRTY_LOG_PAGE_OFFSET * 4096;
    bool plain = (flags & MAP_TYPE) != MAP_PRIVATE && !(prot & PROT_EXEC);
    int e = errno;

    if (fd < 0 || plain || (flags & MAP_ANONYMOUS) || offset + (off_t)size <= ring)
        return false;
    bool vcpu = lodge_kvm_kind(fd) == LODGE_KVM_VCPU;
    errno = vcpu ? EINVAL : e;
    return vcpu;
}

#define MMAP(name)                                                                                          \
    EXPORT void *name(void *address, size_t size, int prot, int flags, int fd, off_t offset)                \
    {                                                                                                       \
        return refused(size, prot, flags, fd, offset) ? MAP_FAILED                                          \
                                                      : NEXT(name)(address, size, prot, flags, fd, offset); \
    }

MMAP(mmap)
MMAP(mmap64)

EXPORT int madvise(void *address, size_t size, int advice)
{
    return lodge_kvm_madvise(address, size, advice);
}
