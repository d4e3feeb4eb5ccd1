/* user.c - copies between the library and pointers that a client passed (copy_from_user of the kernel) */
/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <errno.h>
#include <sys/types.h>
#include <sys/uio.h>
#include <unistd.h>

#include "hypervisor/api/user.h"

/*
 * The pointer may be anything, so the kernel does the copy: process_vm_readv(2) on ourselves reports a hole
 * in the address space instead of raising SIGSEGV. The argument stands in the client's memory and in this
 * process at once, which is why a plain memcpy would do for a client without bugs.
 */
int user_read(void *to, u64 from, size_t n)
{
    struct iovec local = {to, n}, remote = {(void *)from, n};
    return process_vm_readv(getpid(), &local, 1, &remote, 1, 0) == (ssize_t)n ? 0 : -EFAULT;
}

int user_write(u64 to, const void *from, size_t n)
{
    struct iovec local = {(void *)from, n}, remote = {(void *)to, n};
    return process_vm_writev(getpid(), &local, 1, &remote, 1, 0) == (ssize_t)n ? 0 : -EFAULT;
}
