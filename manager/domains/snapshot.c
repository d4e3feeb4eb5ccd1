/* snapshot.c - what a domain and its disks were like at a time: kept inside its qcow2 images */
/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <dirent.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "manager/daemon/manager.h"
#include "manager/daemon/text.h"
#include "manager/domains/definition.h"
#include "manager/domains/life.h"
#include "manager/domains/notify.h"
#include "manager/domains/snapshot.h"
#include "manager/domains/snapshot_disks.h"
#include "manager/domains/store.h"

/* ---- documents ---- */

static char *path_of(const struct domain *d, const char *name)
{
    char *folder = store_path(d, "snapshots"), *path = text_printf("%s/%s.xml", folder, name);
    free(folder);
    return path;
}

static int write_one(const struct domain *d, const struct snapshot *s, struct vir_error *e)
{
    char *folder = store_path(d, "snapshots"), *path = path_of(d, s->name), *text = xml_write(s->xml);
    int r = folder_make(folder, 0755);
    r = r < 0 ? vir_fail_errno(e, -r, "cannot create snapshot directory '%s'", folder)
              : file_write_atomic(path, text, strlen(text), e);
    free(text);
    free(path);
    free(folder);
    return r;
}

/* One that is not well-formed is none: a person has been at it. */
static bool read_one(const char *path, bool unfinished, struct snapshot *s)
{
    struct vir_error e;
    xmlNode *xml = xml_parse_file(path, "domainsnapshot", &e);
    const char *name = xml ? xml_get(xml, "name") : NULL;
    if (!name || unfinished != !!xml_get(xml, "unfinished") ||
        xml_get_number(xml, "creationTime", &s->created, &e) < 0) {
        xml_free(xml);
        return false;
    }
    *s = (struct snapshot){.name = text_copy(name),
                           .parent = xml_get(xml, "parent/name"),
                           .created = s->created,
                           .current = xml_is(xml, "active", "1"),
                           .xml = xml};
    return true;
}

static int by_time(const void *a, const void *b)
{
    const struct snapshot *x = a, *y = b;
    if (x->created != y->created)
        return x->created < y->created ? -1 : 1;
    return x->parent && !strcmp(x->parent, y->name)   ? 1
           : y->parent && !strcmp(y->parent, x->name) ? -1
                                                      : strcmp(x->name, y->name);
}

static struct snapshots read_all(const struct domain *d, bool unfinished)
{
    struct snapshots s = {0};
    char *folder = store_path(d, "snapshots");
    DIR *dir = opendir(folder);
    for (const struct dirent *f; dir && (f = readdir(dir));) {
        size_t n = strlen(f->d_name);
        if (n < 5 || f->d_name[0] == '.' || strcmp(f->d_name + n - 4, ".xml"))
            continue;
        char *path = text_printf("%s/%s", folder, f->d_name);
        s.at = realloc(s.at, (s.count + 1) * sizeof(*s.at));
        ASSERT(s.at);
        s.at[s.count] = (struct snapshot){0};
        s.count += read_one(path, unfinished, &s.at[s.count]);
        free(path);
    }
    if (dir)
        closedir(dir);
    free(folder);
    if (s.count)
        qsort(s.at, s.count, sizeof(*s.at), by_time);
    return s;
}

struct snapshots snapshots_read(const struct domain *d)
{
    return read_all(d, false);
}

static void free_one(struct snapshot *s)
{
    free(s->name);
    xml_free(s->xml);
}

void snapshots_free(struct snapshots *s)
{
    for (unsigned i = 0; i < s->count; i++)
        free_one(&s->at[i]);
    free(s->at);
    *s = (struct snapshots){0};
}

struct snapshot *snapshots_find(const struct snapshots *s, const char *name)
{
    for (unsigned i = 0; name && i < s->count; i++)
        if (!strcmp(s->at[i].name, name))
            return &s->at[i];
    return NULL;
}

struct snapshot *snapshots_current(const struct snapshots *s)
{
    for (unsigned i = 0; i < s->count; i++)
        if (s->at[i].current)
            return &s->at[i];
    return NULL;
}

bool snapshot_has_memory(const struct snapshot *s)
{
    return !xml_is(s->xml, "state", "shutoff");
}

bool snapshots_is_leaf(const struct snapshots *s, const struct snapshot *one)
{
    for (unsigned i = 0; i < s->count; i++)
        if (s->at[i].parent && !strcmp(s->at[i].parent, one->name))
            return false;
    return true;
}

bool snapshots_descends(const struct snapshots *s, const struct snapshot *one, const char *ancestor,
                        bool deep)
{
    for (unsigned steps = 0; one && one->parent && steps <= s->count; steps++) {
        if (!strcmp(one->parent, ancestor))
            return true;
        one = deep ? snapshots_find(s, one->parent) : NULL;
    }
    return false;
}

static int set_current(const struct domain *d, struct snapshots *s, struct snapshot *now, struct vir_error *e)
{
    int r = 0;
    for (unsigned i = 0; i < s->count && r == 0; i++) {
        struct snapshot *one = &s->at[i];
        if (one->current == (one == now))
            continue;
        one->current = one == now;
        xml_remove(one->xml, "active");
        if (one->current)
            xml_set(one->xml, "active", "1");
        r = write_one(d, one, e);
    }
    return r;
}

static int forget_one(const struct domain *d, const struct snapshot *s, struct vir_error *e)
{
    char *path = path_of(d, s->name);
    int r = unlink(path) < 0 && errno != ENOENT ? vir_fail_errno(e, errno, "cannot remove '%s'", path) : 0;
    free(path);
    return r;
}

void snapshots_forget(struct domain *d)
{
    struct snapshots s = snapshots_read(d);
    struct vir_error e;
    char *folder = store_path(d, "snapshots");
    for (unsigned i = 0; i < s.count; i++)
        if (forget_one(d, &s.at[i], &e) < 0)
            report("%s", e.text);
    rmdir(folder);
    free(folder);
    snapshots_free(&s);
}

int snapshot_check_name(const char *name, struct vir_error *e)
{
    enum { NAME_LENGTH_MAX = 200 };
    if (strchr(name, '/'))
        return vir_fail(e, VIR_ERR_XML_DETAIL, "invalid snapshot name '%s': name can't contain '/'", name);
    if (name[0] == '.')
        return vir_fail(e, VIR_ERR_XML_DETAIL, "invalid snapshot name '%s': name can't start with '.'", name);
    if (!*name || strlen(name) > NAME_LENGTH_MAX)
        return vir_fail(e, VIR_ERR_XML_DETAIL,
                        "invalid snapshot name '%.20s': it has to have 1 to %d letters", name,
                        NAME_LENGTH_MAX);
    return 0;
}

/* ---- making one ---- */

static bool is_left_out(xmlNode *disk)
{
    const char *device = xml_get_or(disk, "@device", "disk");
    return strcmp(device, "disk") || xml_node(disk, "readonly") || xml_is(disk, "@snapshot", "no");
}

/* What is to be done with a disk: as the client says, else internal, or nothing of what cannot change. */
static const char *wanted_of(xmlNode *wanted, xmlNode *disk)
{
    xml_each(one, wanted, "disk")
    {
        const char *name = xml_get_or(one, "@name", ""), *path = xml_get_or(disk, "source/@file", "");
        if (xml_is(disk, "target/@dev", name) || !strcmp(path, name))
            return xml_get_or(one, "@snapshot", "internal");
    }
    return is_left_out(disk) ? "no" : "internal";
}

static int check_wanted(xmlNode *wanted, xmlNode *domain, struct vir_error *e)
{
    xml_each(one, wanted, "disk")
    {
        const char *name = xml_get(one, "@name");
        bool found = false;
        if (!name)
            return vir_fail(e, VIR_ERR_XML_ERROR, "missing name from disk snapshot element");
        xml_each(disk, xml_node(domain, "devices"), "disk") found |=
            xml_is(disk, "target/@dev", name) || xml_is(disk, "source/@file", name);
        if (!found)
            return vir_fail(e, VIR_ERR_CONFIG_UNSUPPORTED, "no disk named '%s'", name);
    }
    return 0;
}

/* active: the machine's state belongs to all of its disks. */
static int choose_disks(xmlNode *wanted, xmlNode *domain, bool active, xmlNode *chosen, struct vir_error *e)
{
    unsigned count = 0;
    if (check_wanted(wanted, domain, e) < 0)
        return -1;
    xml_each(disk, xml_node(domain, "devices"), "disk")
    {
        const char *name = xml_get_or(disk, "target/@dev", ""), *how = wanted_of(wanted, disk);
        xmlNode *one = xml_add(chosen, "disk");
        xml_set(one, "@name", name);
        xml_set(one, "@snapshot", how);
        if (!strcmp(how, "no") && active && !is_left_out(disk))
            return vir_fail(e, VIR_ERR_CONFIG_UNSUPPORTED, "disk '%s' must use snapshot mode 'internal'",
                            name);
        if (!strcmp(how, "no"))
            continue;
        if (strcmp(how, "internal"))
            return vir_fail(e, VIR_ERR_CONFIG_UNSUPPORTED,
                            "%s snapshot of disk %s: this daemon makes internal ones", how, name);
        if (!xml_is(disk, "driver/@type", "qcow2") || !xml_get(disk, "source/@file"))
            return vir_fail(e, VIR_ERR_CONFIG_UNSUPPORTED,
                            "internal snapshot for disk %s unsupported for storage type %s", name,
                            xml_get(disk, "source/@file") ? xml_get_or(disk, "driver/@type", "raw") : "none");
        if (++count > SNAPSHOT_DISKS_MAX)
            return vir_fail(e, VIR_ERR_CONFIG_UNSUPPORTED, "a snapshot can have %d disks",
                            SNAPSHOT_DISKS_MAX);
    }
    return count ? 0
                 : vir_fail(e, VIR_ERR_CONFIG_UNSUPPORTED,
                            active ? "internal and full system snapshots require all disks to be selected "
                                     "for snapshot"
                                   : "nothing selected for snapshot");
}

/* The definition as it is now; of one that runs, also what runs, first. */
static void add_definitions(struct domain *d, xmlNode *xml)
{
    xmlNode *domain = xmlDocCopyNode(domain_xml(d), xml->doc, 1);
    xml_remove(domain, "@id");
    xmlAddChild(xml, domain);
    if (!domain_active(d))
        return;
    xmlNode *config = xmlDocCopyNode(d->config, xml->doc, 1);
    xmlNodeSetName(config, BAD_CAST "inactiveDomain");
    xmlAddChild(xml, config);
}

/* The document that is kept, of what the client wants. NULL with e. */
static xmlNode *compose(struct domain *d, xmlNode *wanted, const char *name, const struct snapshot *parent,
                        struct vir_error *e)
{
    xmlNode *xml = xml_new("domainsnapshot");
    xml_set(xml, "name", name);
    if (xml_get(wanted, "description"))
        xml_set(xml, "description", xml_get(wanted, "description"));
    xml_set(xml, "state", !domain_active(d) ? "shutoff" : d->state == DOMAIN_RUNNING ? "running" : "paused");
    if (parent)
        xml_set(xml, "parent/name", parent->name);
    xml_setf(xml, "creationTime", "%ld", (long)time(NULL));
    xml_set(xml, "memory/@snapshot", domain_active(d) ? "internal" : "no");
    xmlNode *disks = xml_add(xml, "disks");
    if (choose_disks(xml_node(wanted, "disks"), domain_xml(d), domain_active(d), disks, e) < 0) {
        xml_free(xml);
        return NULL;
    }
    add_definitions(d, xml);
    return xml;
}

static int check_memory(struct domain *d, xmlNode *wanted, struct vir_error *e)
{
    bool active = domain_active(d);
    const char *memory = xml_get_or(wanted, "memory/@snapshot", active ? "internal" : "no");
    bool file = xml_get(wanted, "memory/@file");
    if (!active)
        return !strcmp(memory, "no") && !file
                   ? 0
                   : vir_fail(e, VIR_ERR_CONFIG_UNSUPPORTED,
                              "memory state cannot be saved with offline or disk-only snapshot");
    if (!strcmp(memory, "no"))
        return vir_fail(e, VIR_ERR_OPERATION_UNSUPPORTED,
                        "internal snapshot of a running VM must include the memory state");
    return !strcmp(memory, "internal") && !file
               ? 0
               : vir_fail(e, VIR_ERR_CONFIG_UNSUPPORTED,
                          "%s snapshot of memory: this daemon makes internal ones", memory);
}

static int check_new(struct domain *d, const struct snapshots *s, xmlNode *wanted, const char *name,
                     struct vir_error *e)
{
    if (domain_active(d) && d->state != DOMAIN_RUNNING && d->state != DOMAIN_PAUSED)
        return vir_fail(e, VIR_ERR_OPERATION_INVALID, "domain is in a state that cannot be saved");
    if (check_memory(d, wanted, e) < 0)
        return -1;
    if (snapshots_find(s, name))
        return vir_fail(e, VIR_ERR_OPERATION_FAILED, "domain moment %s already exists", name);
    return snapshot_check_name(name, e);
}

static int set_mark(const struct domain *d, struct snapshot *s, const char *mark, bool on,
                    struct vir_error *e)
{
    xml_remove(s->xml, mark);
    if (on)
        xml_set(s->xml, mark, "1");
    return write_one(d, s, e);
}

/* The machine's clock stands while it writes, and clients hear of that. */
static void stands(struct domain *d, bool still)
{
    if (!domain_active(d) || d->state != (still ? DOMAIN_RUNNING : DOMAIN_PAUSED))
        return;
    if (still)
        domain_set_state(d, DOMAIN_PAUSED, PAUSED_SNAPSHOT);
    else
        domain_set_state(d, DOMAIN_RUNNING, RUNNING_UNPAUSED);
    notify_lifecycle(d, still ? EV_SUSPENDED : EV_RESUMED, still ? SUSPENDED_PAUSED : RESUMED_UNPAUSED);
}

/* Its document is there before its disks have anything, so that a daemon that dies leaves no half of it
 * behind: what is unfinished, snapshots_settle ends. */
static int make_disks(struct domain *d, struct snapshot *made, bool halt, struct vir_error *e)
{
    bool active = domain_active(d), running = d->state == DOMAIN_RUNNING;
    struct vir_error ignored;
    if (snapshot_disks_prepare(d, made->xml, made->name, e) < 0 ||
        set_mark(d, made, "unfinished", true, e) < 0)
        return -1;
    int r = running && halt ? life_command(d, "stop", NULL, NULL, e) : 0;
    stands(d, true);
    if (r == 0)
        r = snapshot_disks_make(d, made->xml, made->name, e);
    if (r < 0 && active && !domain_active(d)) /* it has died: some may have it */
        snapshot_disks_remove(d, made->xml, made->name, &ignored);
    if (r < 0)
        forget_one(d, made, &ignored);
    if (r < 0 && running && halt && domain_active(d))
        life_command(d, "cont", NULL, NULL, &ignored);
    if (running && !(halt && r == 0))
        stands(d, false);
    return r;
}

/* Of one whose disks have it. */
static int finish(struct domain *d, struct snapshots *all, struct snapshot *made, bool keep,
                  struct vir_error *e)
{
    if (!keep)
        return forget_one(d, made, e);
    xml_set(made->xml, "active", "1");
    int r = set_mark(d, made, "unfinished", false, e);
    return r == 0 ? set_current(d, all, NULL, e) : r;
}

int snapshot_make(struct domain *d, xmlNode *wanted, bool keep, bool halt, struct vir_error *e)
{
    struct snapshots all = snapshots_read(d);
    char *name = xml_get(wanted, "name") && *xml_get(wanted, "name") ? text_copy(xml_get(wanted, "name"))
                                                                     : text_printf("%ld", (long)time(NULL));
    struct snapshot *parent = snapshots_current(&all), made = {.name = name};
    int r = check_new(d, &all, wanted, name, e);
    if (r == 0)
        r = (made.xml = compose(d, wanted, name, parent, e)) ? 0 : -1;
    if (r == 0)
        r = make_disks(d, &made, halt, e);
    if (r == 0)
        r = finish(d, &all, &made, keep, e);
    if (r == 0 && halt && domain_active(d))
        r = life_destroy(d, false, SHUTOFF_FROM_SNAPSHOT, STOPPED_FROM_SNAPSHOT, e);
    xml_set(wanted, "name", name);
    free_one(&made);
    snapshots_free(&all);
    return r;
}

void snapshots_settle(struct domain *d)
{
    struct snapshots left = read_all(d, true);
    struct vir_error e;
    for (unsigned i = 0; i < left.count; i++) {
        struct snapshots all = snapshots_read(d);
        struct snapshot *one = &left.at[i];
        bool made = snapshot_disks_settle(d);
        if (made ? finish(d, &all, one, true, &e) < 0
                 : snapshot_disks_remove(d, one->xml, one->name, &e) < 0 || forget_one(d, one, &e) < 0)
            report("snapshot '%s' of domain '%s' was not finished when lodged ended: %s", one->name, d->name,
                   e.text);
        snapshots_free(&all);
    }
    snapshots_free(&left);
}

/* ---- back, and away ---- */

/* A definition that the document has. NULL with e. */
static xmlNode *definition_of(struct domain *d, const struct snapshot *s, const char *which,
                              struct vir_error *e)
{
    xmlNode *domain = xml_copy(s->xml), *part = xml_node(domain, which), *parsed = NULL;
    if (part) {
        xmlNodeSetName(part, BAD_CAST "domain");
        char *text = xml_write(part);
        parsed = definition_parse(d->manager, text, e);
        free(text);
    } else
        vir_fail(e, VIR_ERR_CONFIG_UNSUPPORTED, "snapshot '%s' lacks domain '%s' rollback info", s->name,
                 d->name);
    xml_free(domain);
    return parsed;
}

/* It is gone back to: the domain has that definition, and clients hear of it. config: taken. */
static int enter(struct domain *d, struct snapshots *s, struct snapshot *to, xmlNode *config,
                 struct vir_error *e)
{
    if (domain_replace_config(d, config, e) < 0)
        return -1;
    return set_current(d, s, to, e);
}

int snapshot_go_back(struct domain *d, struct snapshots *s, struct snapshot *to, struct vir_error *e)
{
    xmlNode *config = definition_of(d, to, "domain", e);
    if (!config)
        return -1;
    if (snapshot_disks_apply(d, to->xml, to->name, e) < 0) {
        xml_free(config);
        return -1;
    }
    store_forget_save(d); /* its memory is of other disks */
    return enter(d, s, to, config, e);
}

int snapshot_resume(struct domain *d, struct snapshots *s, struct snapshot *to, bool paused,
                    struct vir_error *e)
{
    const struct life_origin from = {.image = -1, .snapshot = to->name, .started = STARTED_FROM_SNAPSHOT};
    xmlNode *config = definition_of(d, to, "inactiveDomain", e);
    xmlNode *live = config ? definition_of(d, to, "domain", e) : NULL;
    int r = live ? snapshot_disks_check_there(d, to->xml, to->name, e) : -1;
    if (r == 0 && domain_active(d))
        r = life_destroy(d, false, SHUTOFF_FROM_SNAPSHOT, STOPPED_FROM_SNAPSHOT, e);
    if (r < 0) {
        xml_free(live);
        xml_free(config);
        return -1;
    }
    store_forget_save(d);
    if (life_start(d, live, &from, paused, e) == 0)
        return enter(d, s, to, config, e);
    xml_free(config);
    return -1;
}

/* Children become those of its parent. */
static int hand_over(struct domain *d, struct snapshots *s, const struct snapshot *one, struct vir_error *e)
{
    int r = 0;
    for (unsigned i = 0; i < s->count && r == 0; i++) {
        struct snapshot *child = &s->at[i];
        if (!child->parent || strcmp(child->parent, one->name))
            continue;
        if (one->parent)
            xml_set(child->xml, "parent/name", one->parent);
        else
            xml_remove(child->xml, "parent");
        child->parent = xml_get(child->xml, "parent/name");
        r = write_one(d, child, e);
    }
    return r;
}

int snapshot_remove(struct domain *d, struct snapshots *s, struct snapshot *one, bool disks,
                    struct vir_error *e)
{
    if ((disks && snapshot_disks_remove(d, one->xml, one->name, e) < 0) || hand_over(d, s, one, e) < 0)
        return -1;
    if (one->current && one->parent && set_current(d, s, snapshots_find(s, one->parent), e) < 0)
        return -1;
    if (forget_one(d, one, e) < 0)
        return -1;
    free_one(one);
    memmove(one, one + 1, (size_t)(&s->at[s->count] - one - 1) * sizeof(*one));
    s->count--;
    return 0;
}
