/* vir_error.h - what went wrong, in libvirt's numbers: the error that a client is sent */
/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef RPC_VIR_ERROR_H
#define RPC_VIR_ERROR_H

#include "base/base.h"

/* virErrorNumber; the text that each begins with and the component that it is ascribed to are in the table.
 */
enum vir_error_code {
    VIR_ERR_INTERNAL_ERROR = 1,
    VIR_ERR_NO_SUPPORT = 3,
    VIR_ERR_NO_CONNECT = 5,
    VIR_ERR_INVALID_ARG = 8,
    VIR_ERR_OPERATION_FAILED = 9,
    VIR_ERR_OS_TYPE = 16,
    VIR_ERR_XML_ERROR = 27,
    VIR_ERR_OPERATION_DENIED = 29,
    VIR_ERR_XML_DETAIL = 35,
    VIR_ERR_SYSTEM_ERROR = 38,
    VIR_ERR_RPC = 39,
    VIR_ERR_NO_DOMAIN = 42,
    VIR_ERR_NO_NETWORK = 43,
    VIR_ERR_NO_STORAGE_POOL = 49,
    VIR_ERR_NO_STORAGE_VOL = 50,
    VIR_ERR_NO_NODE_DEVICE = 53,
    VIR_ERR_OPERATION_INVALID = 55,
    VIR_ERR_NO_INTERFACE = 57,
    VIR_ERR_NO_NWFILTER = 62,
    VIR_ERR_NO_SECRET = 66,
    VIR_ERR_CONFIG_UNSUPPORTED = 67,
    VIR_ERR_OPERATION_TIMEOUT = 68,
    VIR_ERR_NO_DOMAIN_SNAPSHOT = 72,
    VIR_ERR_ARGUMENT_UNSUPPORTED = 74,
    VIR_ERR_OPERATION_ABORTED = 78,
    VIR_ERR_NO_DOMAIN_METADATA = 80,
    VIR_ERR_MIGRATE_UNSAFE = 81,
    VIR_ERR_OVERFLOW = 82,
    VIR_ERR_OPERATION_UNSUPPORTED = 84,
    VIR_ERR_AGENT_UNRESPONSIVE = 86,
    VIR_ERR_STORAGE_VOL_EXIST = 90,
    VIR_ERR_MIGRATE_FINISH_OK = 93,
    VIR_ERR_DEVICE_MISSING = 99,
};

/* virErrorDomain: the component. */
enum vir_error_domain {
    VIR_FROM_NONE = 0,
    VIR_FROM_RPC = 7,
    VIR_FROM_QEMU = 10,
    VIR_FROM_STORAGE = 18,
    VIR_FROM_NETWORK = 19,
    VIR_FROM_DOMAIN = 20,
    VIR_FROM_NODEDEV = 22,
    VIR_FROM_INTERFACE = 26,
    VIR_FROM_SECRET = 30,
    VIR_FROM_NWFILTER = 33,
    VIR_FROM_STREAMS = 38,
};

struct vir_error {
    enum vir_error_code code;
    enum vir_error_domain domain;
    char text[2048];
};

/* Writes the error, with the code's own words before the text, and returns -1, so that a function can
 * `return vir_fail(e, ...)`. */
int vir_fail(struct vir_error *e, enum vir_error_code code, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));

/* VIR_ERR_SYSTEM_ERROR: the text, ": ", and what errno err means. */
int vir_fail_errno(struct vir_error *e, int err, const char *fmt, ...) __attribute__((format(printf, 3, 4)));

/* "unsupported flags (0x4) in function NAME" where flags has a bit outside `known`. 0 or -1. */
int vir_check_flags(struct vir_error *e, u32 flags, u32 known, const char *function);

#endif
