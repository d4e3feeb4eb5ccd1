/* writes.c - a program tells of what it writes to guest memory (lodge_kvm_writes) */
/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <errno.h>

#include "hypervisor/api/object.h"
#include "hypervisor/translate/cache.h"
#include "lodge/kvm.h"

/* The program has the VM under this name; it lives as long. */
__attribute__((visibility("default"))) struct lodge_kvm_writes *lodge_kvm_writes(int fd)
{
    struct object *o = object_get(fd);
    struct vm *vm = o && o->kind == OBJECT_VM && object_is_own(o) ? o->target : NULL;
    if (vm)
        atomic_store(&vm->told, true);
    else
        errno = EBADF;
    if (o)
        object_put(o);
    return (struct lodge_kvm_writes *)vm;
}

__attribute__((visibility("default"))) void lodge_kvm_wrote(struct lodge_kvm_writes *w, const void *memory,
                                                            size_t size)
{
    cache_written(((struct vm *)w)->engine, memory, size);
}
