/* dump.c - commands that write the guest's memory into a core file (QEMU's qapi/dump.json) */
/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include "machine/machine.h"
#include "machine/monitor/commands.h"

/* protocol: "fd:NAME" or "file:PATH". -1 with the error in call. */
static int open_target(struct qmp_call *call, const char *protocol)
{
    const char *name = channel_fd_name(protocol);
    int fd = -1;
    if (name && (fd = monitor_claim_fd(call->machine, name)) < 0)
        qmp_fail(call, "GenericError", "File descriptor named '%.60s' has not been found", name);
    else if (!name && strncmp(protocol, "file:", 5))
        qmp_fail(call, "GenericError", "Parameter 'protocol' expects fd: or file:");
    else if (!name && (fd = open(protocol + 5, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600)) < 0)
        qmp_fail(call, "GenericError", "Could not open '%.200s': %s", protocol + 5, strerror(errno));
    return fd;
}

static bool check_format(struct qmp_call *call)
{
    static const char others[] = " kdump-zlib kdump-lzo kdump-snappy win-dmp ";
    const char *format = qmp_string(call, "format", "elf");
    char spaced[64];
    if (!strcmp(format, "elf"))
        return true;
    snprintf(spaced, sizeof(spaced), " %.40s ", format);
    qmp_fail(call, "GenericError",
             strstr(others, spaced) ? "%.40s is not available now"
                                    : "Parameter 'format' does not accept value '%.40s'",
             format);
    return false;
}

json_t *qmp_dump_guest_memory(struct qmp_call *call)
{
    struct machine *m = call->machine;
    bool part = json_object_get(call->arguments, "begin"), ends = json_object_get(call->arguments, "length");
    s64 begin = qmp_integer(call, "begin", 0), length = qmp_integer(call, "length", INT64_MAX);
    if (part != ends)
        return qmp_fail(call, "GenericError", "Parameters 'begin' and 'length' must be given together");
    if (begin < 0 || length <= 0)
        return qmp_fail(call, "GenericError", "Invalid parameter '%s'", begin < 0 ? "begin" : "length");
    if (qmp_bool(call, "paging", false))
        return qmp_fail(call, "GenericError",
                        "paging is not supported: the dump has the guest's physical memory");
    int fd = check_format(call) ? open_target(call, qmp_string(call, "protocol", "")) : -1;
    if (fd < 0)
        return NULL;
    if (dump_start(m, fd, (u64)begin, (u64)length, &call->e) < 0) {
        close(fd);
        return NULL;
    }
    if (!qmp_bool(call, "detach", false))
        dump_wait(m);
    if (m->dump.status == DUMP_FAILED)
        return qmp_fail(call, "GenericError", "dump: failed to write memory");
    return json_object();
}

json_t *query_dump(struct qmp_call *call)
{
    const struct dump *d = &call->machine->dump;
    return json_pack("{s:s,s:I,s:I}", "status", dump_status_names[d->status], "completed",
                     (json_int_t)d->completed, "total", (json_int_t)d->total);
}

json_t *query_dump_capability(struct qmp_call *call)
{
    (void)call;
    return json_pack("{s:[s]}", "formats", "elf");
}
