/* domain.h - one virtual machine as the manager knows it, and all of them */
/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef DOMAINS_DOMAIN_H
#define DOMAINS_DOMAIN_H

#include "manager/daemon/task.h"
#include "manager/daemon/xml.h"
#include "manager/rpc/client.h"
#include "manager/rpc/procedure.h"

struct qmp;

/* virDomainState */
enum domain_state {
    DOMAIN_RUNNING = 1,
    DOMAIN_PAUSED = 3,
    DOMAIN_SHUTDOWN = 4,
    DOMAIN_SHUTOFF = 5,
    DOMAIN_CRASHED = 6,
    DOMAIN_PMSUSPENDED = 7,
};

/* The reasons that the manager gives; the numbers are per state. */
enum {
    RUNNING_BOOTED = 1,
    RUNNING_MIGRATED = 2,
    RUNNING_RESTORED = 3,
    RUNNING_FROM_SNAPSHOT = 4,
    RUNNING_UNPAUSED = 5,
    RUNNING_MIGRATION_CANCELED = 6,
    RUNNING_SAVE_CANCELED = 7,
    RUNNING_WAKEUP = 8,
    PAUSED_UNKNOWN = 0,
    PAUSED_USER = 1,
    PAUSED_MIGRATION = 2,
    PAUSED_SAVE = 3,
    PAUSED_DUMP = 4,
    PAUSED_IOERROR = 5,
    PAUSED_WATCHDOG = 6,
    PAUSED_FROM_SNAPSHOT = 7,
    PAUSED_SNAPSHOT = 9,
    PAUSED_CRASHED = 10,
    PAUSED_STARTING_UP = 11,
    SHUTOFF_UNKNOWN = 0,
    SHUTOFF_SHUTDOWN = 1,
    SHUTOFF_DESTROYED = 2,
    SHUTOFF_CRASHED = 3,
    SHUTOFF_MIGRATED = 4,
    SHUTOFF_SAVED = 5,
    SHUTOFF_FAILED = 6,
    SHUTOFF_FROM_SNAPSHOT = 7,
};

/* What may run on a domain at one time: jobs exclude each other (job.c). virDomainJobOperation. */
enum job_operation {
    JOB_NONE,
    JOB_START = 1,
    JOB_SAVE = 2,
    JOB_RESTORE = 3,
    JOB_MIGRATION_IN = 4,
    JOB_MIGRATION_OUT = 5,
    JOB_DUMP = 8,
    JOB_MODIFY = 100
};

struct job {
    enum job_operation operation;
    u64 since;                       /* loop_now() */
    u64 total, processed, remaining; /* bytes, of one that saves, dumps or moves */
    bool aborted;
    bool final; /* nothing aborts it */
    struct job_waiter *waiters, **waiters_end;
};

/* How far the domain's move to or from another daemon is (migrate.h). */
enum migration_phase {
    MIGRATION_NONE,
    MIGRATION_BEGUN,    /* goes: nothing has happened yet */
    MIGRATION_SENDING,  /* goes: cancelled, it runs on */
    MIGRATION_SENT,     /* goes: stands still; only the other side knows whether it runs there */
    MIGRATION_PREPARED, /* comes: the machine waits for its state */
    MIGRATION_ARRIVED,  /* comes: it is all there, and runs or is about to */
};

/* MiB a second that 64 bits of bytes a second can hold: as fast as it goes. */
#define MIGRATION_SPEED_MAX ((1ull << 43) - 1)

struct migration {
    enum migration_phase phase;
    bool busy;              /* a call works on this step */
    bool offline;           /* only the definition moves */
    xmlNode *definition;    /* that comes so, for a domain that has one already */
    bool abort_on_error;    /* an error of a disk ends it */
    struct client_end end;  /* what becomes of it when the client goes that leads it */
    struct loop_watch port; /* where the state will come from; fd -1: nobody is waited for (any more) */
    struct loop_timer late; /* nobody has come */
    char *path;             /* of a port that is a UNIX socket */
};

/* Why the machine ended into which a domain was to come: its client asks for that when the domain has gone.
 */
struct failed_migration {
    char *name; /* NULL: none has */
    struct vir_error error;
};

/* The process that runs the domain. */
struct machine {
    pid_t pid;      /* 0: none */
    u64 start_time; /* of the process, in the kernel's ticks: tells it from a later one of the same number */
    struct loop_watch exit; /* on a pidfd; fd -1: none */
    struct qmp *qmp;        /* NULL: not connected (yet) */
    bool stopping;          /* to be reported as `stop_reason` once the process has gone */
    int stop_reason, stop_detail;
    bool shutdown_seen;       /* the guest powered itself off */
    bool reboot;              /* the power-off that comes is half of a reboot */
    struct wait *gone;        /* woken when the process has ended */
    struct removal *removals; /* calls that wait for the guest to give a device back */
};

struct domain {
    struct manager *manager;
    unsigned references;
    char *name;
    u8 uuid[16];
    s32 id; /* -1: not running */
    bool persistent, autostart, listed, updated;
    xmlNode *config; /* the definition; of a transient domain NULL */
    xmlNode *live;   /* what runs; NULL: nothing */
    enum domain_state state;
    int reason;
    u64 state_since;
    struct job job;
    struct job finished; /* the last one that wrote the machine's state: `since` is how long it took */
    struct migration migration;
    u64 migration_speed; /* MiB a second */
    struct machine machine;
    struct console *consoles;
    struct domain *next_alike; /* in its list of by_uuid */
};

enum { UUID_LISTS = 1024 };

struct domains {
    struct domain **at;
    unsigned count, room;
    struct domain *by_uuid[UUID_LISTS]; /* nearly all calls name one */
    s32 next_id;
};

/* A new domain, in the list, with one reference: the list's. Takes config over (a definition that was
 * checked). */
struct domain *domain_new(struct manager *m, xmlNode *config);
/* The same without a definition: only its names are taken of the document, which runs later. */
struct domain *domain_new_transient(struct manager *m, xmlNode *live);
void domain_get(struct domain *d);
void domain_put(struct domain *d);
/* Out of the list. */
void domain_unlist(struct domain *d);

static inline bool domain_active(const struct domain *d)
{
    return d->id != -1;
}

/* The document that describes it now. Nothing of it may be held across a wait: the machine can end, and a
 * device go, at any time, whoever has the job. */
static inline xmlNode *domain_xml(const struct domain *d)
{
    return d->live ? d->live : d->config;
}

struct domain *domains_by_uuid(struct domains *ds, const u8 uuid[16]);
struct domain *domains_by_name(struct domains *ds, const char *name);
struct domain *domains_by_id(struct domains *ds, s32 id);

/* One uuid and one name belong together. *found: the domain that has both, or NULL: nobody has either. 0, or
 * -1 with e. */
int domains_find_same(struct manager *m, xmlNode *config, struct domain **found, struct vir_error *e);

/* It stays until the call's end. */
void domain_keep(struct call *call, struct domain *d);

/* The domain that a client names, by its uuid alone; or NULL with "Domain not found". It stays until the
 * call's end. */
struct domain *domain_find(struct call *call, const struct remote_domain *name);
/* The same, but it must be running. */
struct domain *domain_find_active(struct call *call, const struct remote_domain *name);
int domain_not_running(struct vir_error *e);

/* What a change is to change, by virDomainModificationImpact: what runs, the definition, or both; 0 is what
 * runs, or the definition if nothing does. */
enum { AFFECT_LIVE = 1, AFFECT_CONFIG = 2 };
struct affect {
    bool live, config;
};
int domain_affect(const struct domain *d, u32 flags, struct affect *a, struct vir_error *e);

/* Takes the new definition over, and writes it. 0, or -1 with e: the old one stays. */
int domain_replace_config(struct domain *d, xmlNode *config, struct vir_error *e);

/* Without a definition it is gone as soon as it does not run. */
void domain_undefine(struct domain *d);

/* How it goes over the wire; the name is the domain's own string. */
struct remote_domain domain_remote(const struct domain *d);

/* calls_list.c: whether it is of those that virConnectListAllDomainsFlags name. */
bool domain_matches(const struct domain *d, u32 flags);

/* Sets state and reason and writes the state file. */
void domain_set_state(struct domain *d, enum domain_state state, int reason);

#endif
