/* gdbstub.h - debugging the guest with GDB (GDB manual, appendix E: the remote serial protocol) */
/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef GDBSTUB_GDBSTUB_H
#define GDBSTUB_GDBSTUB_H

#include "base/loop.h"
#include "machine/gdbstub/address.h"

/*
 * One client at a time. The guest stops while commands are served: they work on parked vcpus, through the KVM
 * API. Everything runs on the main thread but gdbstub_exit, which a vcpu's thread calls; all with loop.lock.
 *
 * The protocol is a dialogue: a packet is read when the answer to the last one is on its way.
 */
struct machine;
struct vcpu;

enum { GDB_PACKET = 4096, GDB_SOFTWARE_BREAKPOINTS = 256, GDB_HARDWARE_BREAKPOINTS = 4 };

/* packet.c: the connection, and the packets on it. */
struct gdb_link {
    struct loop *loop;
    struct loop_watch watch; /* of the client; fd -1: none */
    bool no_ack;
    enum { RSP_IDLE, RSP_DATA, RSP_SUM1, RSP_SUM2 } state;
    u8 sum;    /* of the packet that comes */
    u8 digits; /* its sum as the client says */
    bool overrun;
    unsigned in_len, out_len, out_sent;
    char in[GDB_PACKET + 1];               /* unescaped; 0 behind it */
    char out[2 * GDB_PACKET + 16];         /* as it is sent */
    void (*packet)(struct gdb_link *l);    /* in[] has a packet */
    void (*interrupt)(struct gdb_link *l); /* Ctrl-C */
    void (*closed)(struct gdb_link *l);
};
void gdb_link_open(struct gdb_link *l, int fd);
void gdb_link_close(struct gdb_link *l);
/* data may have any bytes. */
void gdb_link_send(struct gdb_link *l, const char *data, size_t size);
/* Parses an even number of hexadecimal digits; how many bytes they are, at most max. */
size_t hex_decode(const char *hex, u8 *bytes, size_t max);
/* 2 * n characters and a 0. */
void hex_encode(char *hex, const u8 *bytes, size_t n);

/* registers.c: in the order of the target description. */
int gdb_target_xml(char *text, size_t size);
/* All registers as bytes (at most max); how many, or -errno. */
int gdb_registers_read(struct vcpu *v, u8 *bytes, size_t max);
/* 0, or -errno: EINVAL where n bytes are not all of them. */
int gdb_registers_write(struct vcpu *v, const u8 *bytes, size_t n);
/* Where register n stands among them. false: there is none. */
bool gdb_register_place(unsigned n, unsigned *offset, unsigned *size);

/* breakpoints.c */
enum gdb_break { BREAK_SOFTWARE, BREAK_HARDWARE, WATCH_WRITE, WATCH_READ, WATCH_ACCESS }; /* of Z and z */
struct gdb_breakpoints {
    struct {
        bool used;
        u8 byte; /* that INT3 stands for */
        u64 gva;
    } software[GDB_SOFTWARE_BREAKPOINTS];
    struct {
        bool used;
        enum gdb_break type;
        u64 gva, length;
    } hardware[GDB_HARDWARE_BREAKPOINTS];
};

struct gdb_stop {
    int signal;
    unsigned thread;    /* vcpu's id + 1 */
    const char *reason; /* "swbreak", "hwbreak", "watch", "awatch", or NULL */
    u64 gva;            /* of a watchpoint */
};

struct gdbstub {
    struct machine *machine;
    struct gdb_address address;
    struct loop_watch listen;
    struct loop_timer report; /* a vcpu has stopped: the client is to be told */
    struct gdb_link link;
    struct gdb_breakpoints breakpoints;
    struct gdb_stop stop;
    unsigned thread;     /* that g, m and the like are about */
    unsigned stepping;   /* thread, or 0 */
    bool waiting;        /* the client waits for the guest to stop */
    bool reports_breaks; /* the client knows swbreak and hwbreak */
};

/* Listens. 0, or -errno with e. */
int gdbstub_create(struct gdbstub *g, struct machine *m, const struct gdb_address *a, struct error *e);
void gdbstub_start(struct gdbstub *g);
/* The guest has ended: tells the client. */
void gdbstub_finish(struct gdbstub *g, int status);
/* KVM_EXIT_DEBUG, on the vcpu's thread. */
void gdbstub_exit(struct gdbstub *g, struct vcpu *v);

/* For commands.c. 0 or -errno. */
int gdb_break_insert(struct gdbstub *g, enum gdb_break type, u64 gva, u64 length);
int gdb_break_remove(struct gdbstub *g, enum gdb_break type, u64 gva, u64 length);
void gdb_break_clear(struct gdbstub *g);
/* Tells KVM what to look for; inject: KVM_GUESTDBG_INJECT_* or 0. */
int gdb_break_apply(struct gdbstub *g, struct vcpu *v, u32 inject);
/* Memory by linear address, as the guest without breakpoints has it. false: not all of it is RAM. */
bool gdb_memory_read(struct gdbstub *g, u64 gva, u8 *bytes, size_t n);
bool gdb_memory_write(struct gdbstub *g, u64 gva, const u8 *bytes, size_t n);
/* The packet in link.in. */
void gdb_command(struct gdbstub *g);
/* The stop reply. */
void gdb_report_stop(struct gdbstub *g);
struct vcpu *gdb_vcpu(struct gdbstub *g, unsigned thread);
/* The guest goes on, that thread (0: none) for one instruction; the client waits for its stop. */
void gdb_resume(struct gdbstub *g, unsigned stepping);
/* The guest goes on without breakpoints, and the client does not wait. */
void gdb_detach(struct gdbstub *g);

#endif
