/* ioctl.c - the library's entry points, and the way of an ioctl from its number to its handler (api.rst) */
/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <errno.h>
#include <string.h>
#include <sys/ioctl.h>

#include "hypervisor/api/api.h"
#include "hypervisor/api/object.h"
#include "hypervisor/api/user.h"
#include "lodge/kvm.h"
#include "lodge/kvm_abi.h"

#define EXPORT __attribute__((visibility("default")))

enum argument { NONE, ZERO, VALUE, IN, OUT, INOUT, POINTER };

struct ioctl_row {
    u32 request;
    enum argument argument;
    union {
        system_ioctl *system;
        vm_ioctl *vm;
        vcpu_ioctl *vcpu;
    };
};

#define ROW(r, a, member, h)               {.request = (u32)(r), .argument = a, .member = h},
#define SYSTEM(request, argument, handler) ROW(request, argument, system, handler)
#define VM(request, argument, handler)
#define VCPU(request, argument, handler)
static const struct ioctl_row system_ioctls[] = {
#include "hypervisor/api/ioctls.h"
};

#define SYSTEM(request, argument, handler)
#define VM(request, argument, handler) ROW(request, argument, vm, handler)
#define VCPU(request, argument, handler)
static const struct ioctl_row vm_ioctls[] = {
#include "hypervisor/api/ioctls.h"
};

#define SYSTEM(request, argument, handler)
#define VM(request, argument, handler)
#define VCPU(request, argument, handler) ROW(request, argument, vcpu, handler)
static const struct ioctl_row vcpu_ioctls[] = {
#include "hypervisor/api/ioctls.h"
};

/* What each kind of object answers, and its errno for a request that it does not know: they differ. */
static const struct {
    const struct ioctl_row *rows;
    size_t count;
    int unknown;
} kinds[OBJECT_KINDS] = {
    [OBJECT_SYSTEM] = {system_ioctls, ARRAY_SIZE(system_ioctls), -EINVAL},
    [OBJECT_VM] = {vm_ioctls, ARRAY_SIZE(vm_ioctls), -ENOTTY},
    [OBJECT_VCPU] = {vcpu_ioctls, ARRAY_SIZE(vcpu_ioctls), -EINVAL},
};

static const struct ioctl_row *row_find(enum object_kind kind, u32 request)
{
    const struct ioctl_row *row = kinds[kind].rows;

    for (size_t i = 0; i < kinds[kind].count; i++, row++)
        if (row->request == request)
            return row;
    return NULL;
}

/* The locks that a handler runs under. */
static int row_call(const struct ioctl_row *row, struct object *o, union ioctl_arg arg)
{
    struct vm *vm = o->target;
    struct vcpu *v = o->target;
    int r = -EIO;

    switch (o->kind) {
    case OBJECT_VM:
        pthread_mutex_lock(&vm->lock);
        if (!vm->dead)
            r = row->vm(vm, arg);
        pthread_mutex_unlock(&vm->lock);
        return r;
    case OBJECT_VCPU:
        pthread_mutex_lock(&v->lock);
        if (!v->vm->dead)
            r = row->vcpu(v, arg);
        pthread_mutex_unlock(&v->lock);
        return r;
    default: return row->system(arg);
    }
}

static int call_with_struct(const struct ioctl_row *row, struct object *o, u64 user)
{
    _Alignas(64) u8 buffer[4096]; /* struct kvm_xsave is the largest */
    size_t size = _IOC_SIZE(row->request);

    ASSERT(size <= sizeof(buffer));
    memset(buffer, 0, size);
    if (row->argument != OUT && user_read(buffer, user, size))
        return -EFAULT;
    int r = row_call(row, o, (union ioctl_arg){.data = buffer});
    if (r >= 0 && row->argument != IN && user_write(user, buffer, size))
        return -EFAULT;
    return r;
}

static int object_ioctl(struct object *o, u32 request, u64 arg)
{
    if (o->kind != OBJECT_SYSTEM && !object_is_own(o))
        return -EIO;
    const struct ioctl_row *row = row_find(o->kind, request);
    if (!row)
        return kinds[o->kind].unknown;
    switch (row->argument) {
    case IN:
    case OUT:
    case INOUT: return call_with_struct(row, o, arg);
    case ZERO:
        if (arg)
            return -EINVAL;
        break;
    default: break;
    }
    return row_call(row, o, (union ioctl_arg){.value = arg});
}

static int result(int r)
{
    if (r >= 0)
        return r;
    errno = -r;
    return -1;
}

EXPORT int lodge_kvm_open(void)
{
    int fd;
    struct object *o = object_create(OBJECT_SYSTEM, 0, &fd);

    if (!o)
        return -1;
    object_publish(o, NULL, NULL, NULL);
    return fd;
}

EXPORT int lodge_kvm_ioctl(int fd, unsigned long request, unsigned long arg)
{
    struct object *o = object_get(fd);

    if (!o)
        return result(-EBADF);
    int r = object_ioctl(o, (u32)request, arg);
    object_put(o);
    return result(r);
}

EXPORT int lodge_kvm_close(int fd)
{
    return result(object_close(fd));
}

EXPORT enum lodge_kvm_kind lodge_kvm_kind(int fd)
{
    static const enum lodge_kvm_kind kind[OBJECT_KINDS] = {
        [OBJECT_SYSTEM] = LODGE_KVM_SYSTEM,
        [OBJECT_VM] = LODGE_KVM_VM,
        [OBJECT_VCPU] = LODGE_KVM_VCPU,
    };
    struct object *o = object_get(fd);

    if (!o)
        return LODGE_KVM_NONE;
    enum lodge_kvm_kind k = kind[o->kind] ? kind[o->kind] : LODGE_KVM_OTHER;
    object_put(o);
    return k;
}
