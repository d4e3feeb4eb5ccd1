/* objects.c - commands that add and remove devices and what they use */
/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "machine/machine.h"
#include "machine/monitor/commands.h"
#include "machine/plug.h"

static json_t *add(struct qmp_call *call, enum plug_kind kind, const char *what)
{
    struct properties p;
    int r = properties_from_json(&p, call->arguments, what, &call->e);
    if (r == 0)
        r = plug_add(call->machine, kind, &p, &call->e);
    properties_free(&p);
    return r < 0 ? NULL : json_object();
}

/* QEMU's class for what is not there. */
static json_t *removed(struct qmp_call *call, enum plug_kind kind, const char *id, const char *what)
{
    int r = plug_remove(call->machine, kind, id, &call->e);
    if (r == -ENODEV && kind != PLUG_BLOCKDEV)
        return qmp_fail(call, kind == PLUG_DEVICE || kind == PLUG_NETDEV ? "DeviceNotFound" : "GenericError",
                        "%s '%s' not found", what, id);
    return r < 0 ? NULL : json_object();
}

json_t *qmp_device_add(struct qmp_call *call)
{
    return add(call, PLUG_DEVICE, "device_add");
}

json_t *qmp_device_del(struct qmp_call *call)
{
    return removed(call, PLUG_DEVICE, qmp_string(call, "id", ""), "Device");
}

json_t *qmp_netdev_add(struct qmp_call *call)
{
    return add(call, PLUG_NETDEV, "netdev_add");
}

json_t *qmp_netdev_del(struct qmp_call *call)
{
    return removed(call, PLUG_NETDEV, qmp_string(call, "id", ""), "Device");
}

json_t *qmp_blockdev_add(struct qmp_call *call)
{
    return add(call, PLUG_BLOCKDEV, "blockdev-add");
}

json_t *qmp_blockdev_del(struct qmp_call *call)
{
    return removed(call, PLUG_BLOCKDEV, qmp_string(call, "node-name", ""), "Node");
}

json_t *qmp_object_add(struct qmp_call *call)
{
    return add(call, PLUG_OBJECT, "object-add");
}

json_t *qmp_object_del(struct qmp_call *call)
{
    return removed(call, PLUG_OBJECT, qmp_string(call, "id", ""), "Object");
}

json_t *qmp_getfd(struct qmp_call *call)
{
    struct monitors *all = &call->machine->monitors;
    const char *name = qmp_string(call, "fdname", "");
    unsigned i = 0;
    int fd = call->monitor ? chardev_take_fd(call->monitor->chardev) : -1;
    if (fd < 0)
        return qmp_fail(call, "GenericError", "No file descriptor supplied via SCM_RIGHTS");
    int old = monitor_claim_fd(call->machine, name);
    if (old >= 0)
        close(old); /* as QEMU: the new one takes its name */
    while (i < MONITOR_FDS && all->fds[i].name)
        i++;
    char *copy = i < MONITOR_FDS ? strdup(name) : NULL;
    if (!copy) {
        close(fd);
        return qmp_fail(call, "GenericError", "there are %d descriptors already", MONITOR_FDS);
    }
    all->fds[i] = (struct named_fd){copy, fd};
    return json_object();
}

json_t *qmp_closefd(struct qmp_call *call)
{
    const char *name = qmp_string(call, "fdname", "");
    int fd = monitor_claim_fd(call->machine, name);
    if (fd < 0)
        return qmp_fail(call, "GenericError", "File descriptor named '%s' not found", name);
    close(fd);
    return json_object();
}
