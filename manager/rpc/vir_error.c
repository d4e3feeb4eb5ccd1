/* vir_error.c - what went wrong, in libvirt's numbers */
/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "manager/rpc/vir_error.h"

/* Scripts know the words that each code begins with. */
static const struct {
    enum vir_error_code code;
    enum vir_error_domain domain;
    const char *prefix;
} codes[] = {
    {VIR_ERR_INTERNAL_ERROR, VIR_FROM_QEMU, "internal error: "},
    {VIR_ERR_NO_SUPPORT, VIR_FROM_NONE, "this function is not supported by the connection driver: "},
    {VIR_ERR_NO_CONNECT, VIR_FROM_NONE, "no connection driver available for "},
    {VIR_ERR_INVALID_ARG, VIR_FROM_QEMU, "invalid argument: "},
    {VIR_ERR_OPERATION_FAILED, VIR_FROM_QEMU, "operation failed: "},
    {VIR_ERR_OS_TYPE, VIR_FROM_DOMAIN, "unknown OS type "},
    {VIR_ERR_XML_ERROR, VIR_FROM_DOMAIN, "XML error: "},
    {VIR_ERR_OPERATION_DENIED, VIR_FROM_QEMU, "operation forbidden: "},
    {VIR_ERR_XML_DETAIL, VIR_FROM_DOMAIN, ""},
    {VIR_ERR_SYSTEM_ERROR, VIR_FROM_QEMU, ""},
    {VIR_ERR_RPC, VIR_FROM_RPC, ""},
    {VIR_ERR_NO_DOMAIN, VIR_FROM_QEMU, "Domain not found: "},
    {VIR_ERR_NO_NETWORK, VIR_FROM_NETWORK, "Network not found: "},
    {VIR_ERR_NO_STORAGE_POOL, VIR_FROM_STORAGE, "Storage pool not found: "},
    {VIR_ERR_NO_STORAGE_VOL, VIR_FROM_STORAGE, "Storage volume not found: "},
    {VIR_ERR_NO_NODE_DEVICE, VIR_FROM_NODEDEV, "Node device not found: "},
    {VIR_ERR_NO_INTERFACE, VIR_FROM_INTERFACE, "Interface not found: "},
    {VIR_ERR_NO_NWFILTER, VIR_FROM_NWFILTER, "Network filter not found: "},
    {VIR_ERR_NO_SECRET, VIR_FROM_SECRET, "Secret not found: "},
    {VIR_ERR_NO_DOMAIN_SNAPSHOT, VIR_FROM_QEMU, "Domain snapshot not found: "},
    {VIR_ERR_OPERATION_INVALID, VIR_FROM_QEMU, "Requested operation is not valid: "},
    {VIR_ERR_CONFIG_UNSUPPORTED, VIR_FROM_DOMAIN, "unsupported configuration: "},
    {VIR_ERR_OPERATION_TIMEOUT, VIR_FROM_QEMU, "Timed out during operation: "},
    {VIR_ERR_ARGUMENT_UNSUPPORTED, VIR_FROM_QEMU, "argument unsupported: "},
    {VIR_ERR_OPERATION_ABORTED, VIR_FROM_QEMU, "operation aborted: "},
    {VIR_ERR_NO_DOMAIN_METADATA, VIR_FROM_DOMAIN, "metadata not found: "},
    {VIR_ERR_MIGRATE_UNSAFE, VIR_FROM_QEMU, "Unsafe migration: "},
    {VIR_ERR_OVERFLOW, VIR_FROM_QEMU, "numerical overflow: "},
    {VIR_ERR_OPERATION_UNSUPPORTED, VIR_FROM_QEMU, "Operation not supported: "},
    {VIR_ERR_AGENT_UNRESPONSIVE, VIR_FROM_QEMU, "Guest agent is not responding: "},
    {VIR_ERR_STORAGE_VOL_EXIST, VIR_FROM_STORAGE, "storage volume exists already: "},
    {VIR_ERR_MIGRATE_FINISH_OK, VIR_FROM_QEMU, "migration successfully aborted"},
    {VIR_ERR_DEVICE_MISSING, VIR_FROM_QEMU, "device not found: "},
};

static int fail(struct vir_error *e, enum vir_error_code code, const char *fmt, va_list ap)
{
    *e = (struct vir_error){.code = code};
    for (size_t i = 0; i < ARRAY_SIZE(codes); i++)
        if (codes[i].code == code) {
            e->domain = codes[i].domain;
            strcpy(e->text, codes[i].prefix);
        }
    size_t used = strlen(e->text);
    vsnprintf(e->text + used, sizeof(e->text) - used, fmt, ap);
    return -1;
}

int vir_fail(struct vir_error *e, enum vir_error_code code, const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    fail(e, code, fmt, ap);
    va_end(ap);
    return -1;
}

int vir_fail_errno(struct vir_error *e, int err, const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    fail(e, VIR_ERR_SYSTEM_ERROR, fmt, ap);
    va_end(ap);
    size_t used = strlen(e->text);
    snprintf(e->text + used, sizeof(e->text) - used, ": %s", strerror(err));
    return -1;
}

int vir_check_flags(struct vir_error *e, u32 flags, u32 known, const char *function)
{
    if (!(flags & ~known))
        return 0;
    vir_fail(e, VIR_ERR_INVALID_ARG, "unsupported flags (0x%x) in function %s", flags & ~known, function);
    return -1;
}
