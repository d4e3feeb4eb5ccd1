/* resource.h - what a document defines and what is active or not: storage pools, networks */
/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef DAEMON_RESOURCE_H
#define DAEMON_RESOURCE_H

#include "manager/daemon/xml.h"
#include "manager/rpc/event.h"

struct manager;
struct resource;

/*
 * CONFIG/FOLDER/NAME.xml            the definition of a persistent one
 * CONFIG/FOLDER/autostart/NAME.xml  a link to it, if it starts with the daemon
 * RUN/FOLDER/NAME.xml               of an active one: what it was started as
 */
struct resource_kind {
    const char *element, *folder, *word; /* of the document; on disk; in messages */
    enum vir_error_code not_found;
    enum event_class event;
    s32 lifecycle; /* PROC_... of the event */
    const struct xdr_struct *message;
    /* Checks the document, whose name and uuid are good, and fills in what it leaves out. 0, or -1 with e. */
    int (*check)(struct manager *m, xmlNode *config, struct vir_error *e);
    /* In a task: 0, or -1 with e. */
    int (*start)(struct resource *r, struct vir_error *e);
};

struct resource {
    const struct resource_kind *kind;
    struct manager *manager;
    unsigned references;
    char *name;
    u8 uuid[16];
    xmlNode *config, *live; /* of a transient one, and of an inactive one, one is NULL */
    bool active, autostart, listed;
};

struct resources {
    const struct resource_kind *kind;
    struct manager *manager;
    struct resource **at;
    unsigned count, room;
};

void resources_init(struct resources *rs, const struct resource_kind *kind, struct manager *m);
void resources_free(struct resources *rs);
/* At the daemon's start, in a task: the definitions, what was active, what is to start. True: there has never
 * been a definition. */
bool resources_load(struct resources *rs);

static inline bool resource_persistent(const struct resource *r)
{
    return r->config;
}

static inline xmlNode *resource_xml(const struct resource *r)
{
    return r->live ? r->live : r->config;
}

struct resource *resources_by_name(struct resources *rs, const char *name);
struct resource *resources_by_uuid(struct resources *rs, const u8 uuid[16]);

/* The one that a client names, until the call's end; or NULL with the kind's error. */
struct resource *resource_find(struct call *call, struct resources *rs, const u8 uuid[16], const char *name);
struct resource *resource_find_name(struct call *call, struct resources *rs, const char *name);
/* It must be active. */
int resource_need_active(const struct resource *r, struct vir_error *e);

/* From a document: persistent, or only as long as it is active (then it is started). NULL with e. In a task.
 */
struct resource *resource_define(struct resources *rs, const char *xml, struct vir_error *e);
struct resource *resource_create(struct resources *rs, const char *xml, struct vir_error *e);
int resource_undefine(struct resource *r, struct vir_error *e);
int resource_start(struct resource *r, struct vir_error *e);
int resource_stop(struct resource *r, struct vir_error *e);
int resource_set_autostart(struct resource *r, bool autostart, struct vir_error *e);

/* virConnectListAllNetworksFlags and virConnectListAllStoragePoolsFlags have these in common. */
enum {
    RESOURCE_INACTIVE = 1,
    RESOURCE_ACTIVE = 2,
    RESOURCE_PERSISTENT = 4,
    RESOURCE_TRANSIENT = 8,
    RESOURCE_AUTOSTART = 16,
    RESOURCE_NO_AUTOSTART = 32
};
bool resource_matches(const struct resource *r, u32 flags);

/* The older lists: the names of those that are active, or of those that are not. */
s32 resources_count(const struct resources *rs, bool active);
char **resources_names(struct call *call, const struct resources *rs, bool active, s32 most, u32 *count);

#endif
