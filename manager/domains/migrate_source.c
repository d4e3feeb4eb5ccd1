/* migrate_source.c - a domain leaves: what is checked, what is sent, and what becomes of it here */
/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <linux/magic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/vfs.h>
#include <unistd.h>

#include "manager/daemon/manager.h"
#include "manager/daemon/text.h"
#include "manager/domains/definition.h"
#include "manager/domains/job.h"
#include "manager/domains/life.h"
#include "manager/domains/migrate_cookie.h"
#include "manager/domains/migrate_place.h"
#include "manager/domains/migrate_steps.h"
#include "manager/domains/notify.h"
#include "manager/domains/save.h"
#include "manager/domains/snapshot.h"
#include "manager/domains/store.h"
#include "manager/rpc/params.h"

/* ---- may it? ---- */

/* File systems that several hosts have at the same time; linux/magic.h does not have all of them. */
static bool is_shared(const char *path)
{
    enum { GFS2 = 0x01161970, GPFS = 0x47504653 };
    static const unsigned long kinds[] = {NFS_SUPER_MAGIC,
                                          OCFS2_SUPER_MAGIC,
                                          AFS_SUPER_MAGIC,
                                          SMB_SUPER_MAGIC,
                                          CIFS_SUPER_MAGIC,
                                          SMB2_SUPER_MAGIC,
                                          CEPH_SUPER_MAGIC,
                                          GFS2,
                                          GPFS};
    struct statfs s;
    if (statfs(path, &s) < 0)
        return false;
    for (size_t i = 0; i < ARRAY_SIZE(kinds); i++)
        if ((unsigned long)s.f_type == kinds[i])
            return true;
    return false;
}

/* A disk that is written to, and that the other host does not see. */
static bool is_unsafe(xmlNode *disk)
{
    const char *path = xml_is(disk, "@type", "file") ? xml_get(disk, "source/@file") : NULL;
    return path && *path && !xml_node(disk, "readonly") && !xml_node(disk, "shareable") && !is_shared(path);
}

static int check_storage(struct domain *d, struct vir_error *e)
{
    xml_each(disk, xml_node(domain_xml(d), "devices"), "disk")
    {
        if (is_unsafe(disk))
            return vir_fail(e, VIR_ERR_MIGRATE_UNSAFE, "Migration without shared storage is unsafe");
    }
    return 0;
}

static int check_snapshots(struct domain *d, struct vir_error *e)
{
    struct snapshots s = snapshots_read(d);
    unsigned n = s.count;
    snapshots_free(&s);
    return n ? vir_fail(e, VIR_ERR_OPERATION_INVALID, "cannot migrate domain with %u snapshots", n) : 0;
}

static int check(struct domain *d, u32 flags, struct vir_error *e)
{
    if (flags & MIGRATE_OFFLINE && !(flags & MIGRATE_PERSIST_DEST))
        return vir_fail(e, VIR_ERR_OPERATION_INVALID,
                        "offline migration must be specified with the persistent flag set");
    if (flags & MIGRATE_OFFLINE && domain_active(d))
        return vir_fail(e, VIR_ERR_OPERATION_INVALID,
                        "offline migration is of a domain that does not run, and this one does");
    if (!(flags & MIGRATE_OFFLINE) && !domain_active(d))
        return domain_not_running(e);
    if (!(flags & MIGRATE_OFFLINE) && d->state != DOMAIN_RUNNING && d->state != DOMAIN_PAUSED)
        return vir_fail(e, VIR_ERR_OPERATION_INVALID, "domain is in a state that cannot be migrated");
    if (check_snapshots(d, e) < 0)
        return -1;
    return flags & (MIGRATE_UNSAFE | MIGRATE_OFFLINE) ? 0 : check_storage(d, e);
}

/* ---- the documents ---- */

/* What is of this host alone, and found anew on the other. */
static void forget_places(const struct manager *m, xmlNode *domain)
{
    char *own = text_printf("%s/domains/", m->settings.run_dir);
    xml_remove(domain, "@id");
    xml_each(device, xml_node(domain, "devices"), NULL)
    {
        const char *path = xml_get_or(device, "source/@path", "");
        if (xml_is(device, "@type", "pty") || !strncmp(path, own, strlen(own)))
            xml_remove(device, "source");
        xml_remove(device, "@tty");
    }
    free(own);
}

/* What the client wants it to be, or what it is. NULL with e. */
static xmlNode *document(struct domain *d, const char *text, struct vir_error *e)
{
    xmlNode *xml = text ? definition_parse(d->manager, text, e) : xml_copy(domain_xml(d));
    char uuid[UUID_TEXT];
    if (!xml)
        return NULL;
    if (strcmp(xml_get_or(xml, "name", ""), d->name) ||
        strcmp(xml_get_or(xml, "uuid", ""), uuid_format(d->uuid, uuid))) {
        vir_fail(e, VIR_ERR_CONFIG_UNSUPPORTED, "the document is of another domain");
        xml_free(xml);
        return NULL;
    }
    forget_places(d->manager, xml);
    return xml;
}

static char *kept(struct call *call, char *text)
{
    char *copy = arena_strdup(&call->arena, text);
    free(text);
    return copy;
}

int source_describe(struct call *call, struct domain *d, const struct migrate_args *a,
                    struct migrate_answer *answer)
{
    xmlNode *xml = check(d, a->flags, &call->error) == 0 ? document(d, a->xml, &call->error) : NULL;
    if (!xml)
        return -1;
    answer->xml = kept(call, xml_write(xml));
    answer->cookie = kept(call, cookie_write(d, d->name, NULL, NULL));
    xml_free(xml);
    return 0;
}

/* What it is to be defined as on the other side; NULL with e. */
static xmlNode *persistent(struct domain *d, const struct migrate_args *a, struct vir_error *e)
{
    if (a->persistent_xml)
        return document(d, a->persistent_xml, e);
    xmlNode *xml = xml_copy(d->config ? d->config : d->live);
    forget_places(d->manager, xml);
    return xml;
}

/* ---- the state goes ---- */

static int stop_guest(struct domain *d, struct vir_error *e)
{
    return d->state == DOMAIN_RUNNING ? life_command(d, "stop", NULL, NULL, e) : 0;
}

/* The guest stands still, whether the machine has said so or not. */
static void note_stopped(struct domain *d)
{
    if (d->state != DOMAIN_RUNNING)
        return;
    domain_set_state(d, DOMAIN_PAUSED, PAUSED_MIGRATION);
    notify_lifecycle(d, EV_SUSPENDED, SUSPENDED_MIGRATED);
}

static int send_to(struct domain *d, const struct migrate_args *a, struct vir_error *e)
{
    struct place p;
    if (!a->uri)
        return vir_fail(e, VIR_ERR_INTERNAL_ERROR, "no migration URI is given");
    if (place_parse(&p, a->uri, e) < 0)
        return -1;
    int fd = place_connect(&d->manager->tasks, &p, e);
    if (fd < 0)
        return -1;
    int r = a->flags & MIGRATE_LIVE ? 0 : stop_guest(d, e);
    if (r == 0)
        r = save_write_state(d, fd, a->bandwidth ? a->bandwidth : d->migration_speed, e);
    close(fd);
    if (r == 0 && domain_active(d))
        note_stopped(d);
    return r;
}

int source_send(struct call *call, struct domain *d, const struct migrate_args *a,
                struct migrate_answer *answer)
{
    xmlNode *define = NULL;
    if (a->flags & MIGRATE_PERSIST_DEST && !(define = persistent(d, a, &call->error)))
        return -1;
    d->migration.phase = MIGRATION_SENDING;
    d->migration.abort_on_error = a->flags & MIGRATE_ABORT_ON_ERROR;
    store_phase(d);
    int r = send_to(d, a, &call->error);
    if (r == 0 && !domain_active(d))
        r = domain_not_running(&call->error);
    d->migration.abort_on_error = false;
    if (r == 0) {
        d->migration.phase = MIGRATION_SENT;
        store_phase(d);
        answer->cookie = kept(call, cookie_write(d, d->name, define, &d->finished));
    } else
        source_run_on(d);
    xml_free(define);
    return r;
}

/* ---- and what becomes of it ---- */

void source_run_on(struct domain *d)
{
    struct vir_error e;
    d->migration.phase = MIGRATION_NONE;
    if (!domain_active(d))
        return;
    if (d->state != DOMAIN_PAUSED || d->reason != PAUSED_MIGRATION) {
        store_phase(d);
        return; /* it stood before, or has not been stopped yet */
    }
    if (life_command(d, "cont", NULL, NULL, &e) < 0) {
        report("domain '%s' stays paused after its migration has failed: %s", d->name, e.text);
        store_phase(d);
        return;
    }
    domain_set_state(d, DOMAIN_RUNNING, RUNNING_MIGRATION_CANCELED);
    notify_lifecycle(d, EV_RESUMED, RESUMED_MIGRATED);
}

int source_end(struct call *call, struct domain *d, const struct migrate_args *a)
{
    struct params p = {.arena = &call->arena};
    bool ran = domain_active(d);
    if (ran && life_destroy(d, false, SHUTOFF_MIGRATED, STOPPED_MIGRATED, &call->error) < 0)
        return -1;
    if (ran) {
        job_tell(&d->finished, d->finished.since, &p);
        notify_job_completed(d, &p);
    }
    if (a->flags & MIGRATE_UNDEFINE_SOURCE && d->persistent)
        domain_undefine(d);
    return 0;
}
