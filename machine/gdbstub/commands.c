/* commands.c - what GDB asks for (GDB manual, E.2 to E.4) */
/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "machine/gdbstub/gdbstub.h"
#include "machine/machine.h"

/* The largest read, in hexadecimal digits of one packet; and room for the registers and their description. */
enum { MEMORY_MAX = GDB_PACKET / 2 - 8, REGISTERS_MAX = 1024, XML_MAX = 16384 };

/* ---- answers ---- */

static void reply(struct gdbstub *g, const char *text)
{
    gdb_link_send(&g->link, text, strlen(text));
}

/* r: 0 or -errno. What is not supported is answered by nothing. */
static void reply_result(struct gdbstub *g, int r)
{
    char text[8];
    snprintf(text, sizeof(text), "E%02x", (unsigned)-r & 0xff);
    reply(g, r == 0 ? "OK" : r == -EOPNOTSUPP ? "" : text);
}

static void reply_bytes(struct gdbstub *g, const u8 *bytes, size_t n)
{
    char text[GDB_PACKET];
    hex_encode(text, bytes, n);
    reply(g, text);
}

/* ---- arguments ---- */

/* A hexadecimal number at *p, and the character behind it, which is skipped. */
static bool take_number(const char **p, char end, u64 *value)
{
    static const char digits[] = "0123456789abcdef";
    const char *start = *p, *d;
    *value = 0;
    for (; **p && (d = strchr(digits, **p | 0x20)) && *d; ++*p)
        *value = *value << 4 | (u64)(d - digits);
    if (*p == start || *p - start > 16 || (end && **p != end))
        return false;
    *p += end != 0;
    return true;
}

/* A thread, where 0 and -1 mean any. 0: there is none of that number. */
static unsigned thread_of(const struct gdbstub *g, const char *p)
{
    u64 n = 0;
    if (strncmp(p, "-1", 2) && !take_number(&p, 0, &n))
        return 0;
    if (n > g->machine->vcpu_count)
        return 0;
    return n ? (unsigned)n : g->thread;
}

/* ---- registers ---- */

static void read_registers(struct gdbstub *g, const char *args)
{
    u8 bytes[REGISTERS_MAX];
    (void)args;
    int n = gdb_registers_read(gdb_vcpu(g, g->thread), bytes, sizeof(bytes));
    if (n < 0)
        reply_result(g, n);
    else
        reply_bytes(g, bytes, (size_t)n);
}

static void write_registers(struct gdbstub *g, const char *args)
{
    u8 bytes[REGISTERS_MAX];
    size_t n = hex_decode(args, bytes, sizeof(bytes));
    reply_result(g, gdb_registers_write(gdb_vcpu(g, g->thread), bytes, n));
}

static void read_register(struct gdbstub *g, const char *args)
{
    u8 bytes[REGISTERS_MAX];
    unsigned offset, size;
    u64 n;
    if (!take_number(&args, 0, &n) || n > REGISTERS_MAX || !gdb_register_place((unsigned)n, &offset, &size)) {
        reply_result(g, -EINVAL);
        return;
    }
    int r = gdb_registers_read(gdb_vcpu(g, g->thread), bytes, sizeof(bytes));
    if (r < 0)
        reply_result(g, r);
    else
        reply_bytes(g, bytes + offset, size);
}

static void write_register(struct gdbstub *g, const char *args)
{
    u8 bytes[REGISTERS_MAX];
    unsigned offset, size;
    u64 n;
    struct vcpu *v = gdb_vcpu(g, g->thread);
    if (!take_number(&args, '=', &n) || n > REGISTERS_MAX ||
        !gdb_register_place((unsigned)n, &offset, &size)) {
        reply_result(g, -EINVAL);
        return;
    }
    int r = gdb_registers_read(v, bytes, sizeof(bytes));
    if (r >= 0)
        r = hex_decode(args, bytes + offset, size) == size ? gdb_registers_write(v, bytes, (size_t)r)
                                                           : -EINVAL;
    reply_result(g, r);
}

/* ---- memory ---- */

static void read_memory(struct gdbstub *g, const char *args)
{
    u8 bytes[MEMORY_MAX];
    u64 gva, n;
    if (!take_number(&args, ',', &gva) || !take_number(&args, 0, &n)) {
        reply_result(g, -EINVAL);
        return;
    }
    n = min(n, (u64)MEMORY_MAX);
    if (gdb_memory_read(g, gva, bytes, n))
        reply_bytes(g, bytes, n);
    else
        reply_result(g, -EFAULT);
}

static void write_memory(struct gdbstub *g, const char *args)
{
    u8 bytes[MEMORY_MAX];
    u64 gva, n;
    bool good = take_number(&args, ',', &gva) && take_number(&args, ':', &n) && n <= MEMORY_MAX;
    if (!good || hex_decode(args, bytes, n) != n)
        reply_result(g, -EINVAL);
    else
        reply_result(g, gdb_memory_write(g, gva, bytes, n) ? 0 : -EFAULT);
}

static void write_binary(struct gdbstub *g, const char *args)
{
    u64 gva, n;
    bool good = take_number(&args, ',', &gva) && take_number(&args, ':', &n);
    if (!good || n > (u64)(g->link.in + g->link.in_len - args))
        reply_result(g, -EINVAL);
    else
        reply_result(g, gdb_memory_write(g, gva, (const u8 *)args, n) ? 0 : -EFAULT);
}

/* ---- breakpoints ---- */

typedef int break_fn(struct gdbstub *g, enum gdb_break type, u64 gva, u64 length);

static void change_breakpoint(struct gdbstub *g, const char *args, break_fn *change)
{
    u64 type, gva, length;
    if (!take_number(&args, ',', &type) || !take_number(&args, ',', &gva) || !take_number(&args, 0, &length))
        reply_result(g, -EINVAL);
    else if (type > WATCH_ACCESS)
        reply(g, "");
    else
        reply_result(g, change(g, (enum gdb_break)type, gva, length));
}

static void insert_breakpoint(struct gdbstub *g, const char *args)
{
    change_breakpoint(g, args, gdb_break_insert);
}

static void remove_breakpoint(struct gdbstub *g, const char *args)
{
    change_breakpoint(g, args, gdb_break_remove);
}

/* ---- running ---- */

/* An address to go on at may follow. */
static void resume_at(struct gdbstub *g, const char *args, unsigned stepping)
{
    const struct kvm_api *kvm = g->machine->kvm;
    int fd = gdb_vcpu(g, g->thread)->fd;
    struct kvm_regs r;
    u64 rip;
    if (take_number(&args, 0, &rip) && kvm->ioctl(fd, KVM_GET_REGS, (unsigned long)&r) == 0) {
        r.rip = rip;
        kvm->ioctl(fd, KVM_SET_REGS, (unsigned long)&r);
    }
    gdb_resume(g, stepping);
}

static void go_on(struct gdbstub *g, const char *args)
{
    resume_at(g, args, 0);
}

static void step(struct gdbstub *g, const char *args)
{
    resume_at(g, args, g->thread);
}

static void tell_actions(struct gdbstub *g, const char *args)
{
    (void)args;
    reply(g, "vCont;c;C;s;S");
}

/* Actions for threads, the first that names a thread counts. All others go on while one steps. */
static void run_actions(struct gdbstub *g, const char *args)
{
    unsigned stepping = 0;
    do {
        char action = *args | 0x20;
        const char *colon = args + strcspn(args, ":;");
        unsigned thread = *colon == ':' ? thread_of(g, colon + 1) : g->thread;
        if ((action != 'c' && action != 's') || !thread) {
            reply_result(g, -EINVAL);
            return;
        }
        if (action == 's' && !stepping)
            stepping = thread;
        args += strcspn(args, ";");
    } while (*args++ == ';');
    gdb_resume(g, stepping);
}

static void detach(struct gdbstub *g, const char *args)
{
    (void)args;
    gdb_detach(g);
    reply(g, "OK");
}

static void kill_guest(struct gdbstub *g, const char *args)
{
    (void)args;
    machine_end(g->machine, 0, "ended by the debugger");
}

void gdb_report_stop(struct gdbstub *g)
{
    const struct gdb_stop *s = &g->stop;
    char reason[48] = "", text[96];
    bool watch = s->reason && s->gva;
    if (watch)
        snprintf(reason, sizeof(reason), "%s:%llx;", s->reason, (unsigned long long)s->gva);
    if (s->reason && strstr(s->reason, "break"))
        snprintf(reason, sizeof(reason), "%s:;", g->reports_breaks ? s->reason : "");
    if (!strcmp(reason, ":;"))
        *reason = 0;
    snprintf(text, sizeof(text), "T%02x%sthread:%02x;", s->signal, reason, s->thread);
    reply(g, text);
}

static void why_stopped(struct gdbstub *g, const char *args)
{
    (void)args;
    gdb_report_stop(g);
}

/* ---- questions ---- */

static void tell_features(struct gdbstub *g, const char *args)
{
    char text[160];
    g->reports_breaks = strstr(args, "swbreak+") && strstr(args, "hwbreak+");
    snprintf(text, sizeof(text),
             "PacketSize=%x;qXfer:features:read+;QStartNoAckMode+;swbreak+;hwbreak+;vContSupported+",
             GDB_PACKET);
    reply(g, text);
}

static void tell_description(struct gdbstub *g, const char *args)
{
    char xml[XML_MAX], part[GDB_PACKET];
    u64 offset, n;
    int size = gdb_target_xml(xml, sizeof(xml));
    ASSERT(size > 0);
    if (!take_number(&args, ',', &offset) || !take_number(&args, 0, &n) || offset > (u64)size) {
        reply_result(g, -EINVAL);
        return;
    }
    u64 left = (u64)size - offset;
    n = min(min(n, left), (u64)sizeof(part) - 1);
    part[0] = n == left ? 'l' : 'm';
    memcpy(part + 1, xml + offset, n);
    gdb_link_send(&g->link, part, n + 1);
}

static void list_threads(struct gdbstub *g, const char *args)
{
    char text[16 * MACHINE_MAX_VCPUS];
    size_t len = 0;
    (void)args;
    for (unsigned i = 0; i < g->machine->vcpu_count; i++)
        len += (size_t)snprintf(text + len, sizeof(text) - len, "%c%x", i ? ',' : 'm', i + 1);
    reply(g, text);
}

static void list_no_more_threads(struct gdbstub *g, const char *args)
{
    (void)args;
    reply(g, "l");
}

static void name_thread(struct gdbstub *g, const char *args)
{
    char name[32], hex[2 * sizeof(name) + 1];
    unsigned thread = thread_of(g, args);
    if (!thread) {
        reply_result(g, -EINVAL);
        return;
    }
    size_t n = (size_t)snprintf(name, sizeof(name), "processor %u", thread - 1);
    hex_encode(hex, (const u8 *)name, n);
    reply(g, hex);
}

static void current_thread(struct gdbstub *g, const char *args)
{
    char text[16];
    (void)args;
    snprintf(text, sizeof(text), "QC%x", g->thread);
    reply(g, text);
}

static void choose_thread(struct gdbstub *g, const char *args)
{
    unsigned thread = *args ? thread_of(g, args + 1) : 0;
    if (thread && *args == 'g')
        g->thread = thread;
    reply_result(g, thread ? 0 : -EINVAL);
}

static void thread_lives(struct gdbstub *g, const char *args)
{
    reply_result(g, thread_of(g, args) ? 0 : -EINVAL);
}

static void attached(struct gdbstub *g, const char *args)
{
    (void)args;
    reply(g, "1");
}

static void stop_acknowledging(struct gdbstub *g, const char *args)
{
    (void)args;
    reply(g, "OK");
    g->link.no_ack = true;
}

/* The first row whose name begins the packet. */
static const struct {
    const char *name;
    void (*run)(struct gdbstub *g, const char *args);
} commands[] = {
    {"?", why_stopped},
    {"g", read_registers},
    {"G", write_registers},
    {"p", read_register},
    {"P", write_register},
    {"m", read_memory},
    {"M", write_memory},
    {"X", write_binary},
    {"Z", insert_breakpoint},
    {"z", remove_breakpoint},
    {"c", go_on},
    {"s", step},
    {"vCont?", tell_actions},
    {"vCont;", run_actions},
    {"D", detach},
    {"k", kill_guest},
    {"vKill", kill_guest},
    {"H", choose_thread},
    {"T", thread_lives},
    {"qSupported", tell_features},
    {"qXfer:features:read:target.xml:", tell_description},
    {"qfThreadInfo", list_threads},
    {"qsThreadInfo", list_no_more_threads},
    {"qThreadExtraInfo,", name_thread},
    {"qAttached", attached},
    {"qC", current_thread},
    {"QStartNoAckMode", stop_acknowledging},
};

/* While the guest runs only Ctrl-C is understood. */
void gdb_command(struct gdbstub *g)
{
    const char *packet = g->link.in;
    if (g->waiting)
        return;
    for (size_t i = 0; i < ARRAY_SIZE(commands); i++) {
        size_t len = strlen(commands[i].name);
        if (!strncmp(packet, commands[i].name, len)) {
            commands[i].run(g, packet + len);
            return;
        }
    }
    reply(g, "");
}
