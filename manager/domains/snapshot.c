/* snapshot.c - what a domain and its disks were like at a time: kept inside its qcow2 images */
/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <dirent.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "base/image/image.h"
#include "manager/daemon/manager.h"
#include "manager/daemon/text.h"
#include "manager/daemon/work.h"
#include "manager/domains/definition.h"
#include "manager/domains/snapshot.h"
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
static bool read_one(const char *path, struct snapshot *s)
{
    struct vir_error e;
    xmlNode *xml = xml_parse_file(path, "domainsnapshot", &e);
    const char *name = xml ? xml_get(xml, "name") : NULL;
    if (!name || xml_get_number(xml, "creationTime", &s->created, &e) < 0) {
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

struct snapshots snapshots_read(const struct domain *d)
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
        s.count += read_one(path, &s.at[s.count]);
        free(path);
    }
    if (dir)
        closedir(dir);
    free(folder);
    if (s.count)
        qsort(s.at, s.count, sizeof(*s.at), by_time);
    return s;
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

/* ---- disks ---- */

enum { DISKS_MAX = 64 };

/* What is done to all images, by a thread of its own. */
struct disk_work {
    int (*act)(struct disk_image *i, const char *name, struct error *e);
    const char *name;
    char *path[DISKS_MAX];
    unsigned count, done;
    struct error e;
};

static int act_on_one(struct disk_work *w, const char *path,
                      int (*act)(struct disk_image *, const char *, struct error *))
{
    const struct image_options o = {.filename = path, .format = "qcow2"};
    struct disk_image *i = image_open(&o, &w->e);
    int r = i ? act(i, w->name, &w->e) : -EINVAL;
    image_close(i);
    return r;
}

static int act_on_all(void *arg)
{
    struct disk_work *w = arg;
    int r = 0;
    for (w->done = 0; w->done < w->count && r == 0; w->done++)
        r = act_on_one(w, w->path[w->done], w->act);
    if (r == 0 || w->act != image_snapshot_create)
        return r;
    struct disk_work undo = {.name = w->name};
    for (unsigned k = 0; k + 1 < w->done; k++) /* all have it, or none */
        act_on_one(&undo, w->path[k], image_snapshot_delete);
    return r;
}

static int run_on_disks(struct domain *d, struct disk_work *w, struct vir_error *e)
{
    int r = w->count ? work_run(&d->manager->tasks, act_on_all, w) : 0;
    if (r < 0)
        vir_fail(e, VIR_ERR_OPERATION_FAILED, "%s", w->e.text);
    for (unsigned k = 0; k < w->count; k++)
        free(w->path[k]);
    return r < 0 ? -1 : 0;
}

/* The disks that a snapshot's document names, of its own definition. */
static void find_disks(xmlNode *snapshot, struct disk_work *w)
{
    xml_each(disk, xml_node(snapshot, "disks"), "disk")
    {
        xml_each(of, xml_node(snapshot, "domain/devices"), "disk")
        {
            const char *name = xml_get(disk, "@name"), *path = xml_get(of, "source/@file");
            if (xml_is(disk, "@snapshot", "internal") && name && path && xml_is(of, "target/@dev", name) &&
                w->count < DISKS_MAX)
                w->path[w->count++] = text_copy(path);
        }
    }
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

static int choose_disks(xmlNode *wanted, xmlNode *domain, xmlNode *chosen, struct vir_error *e)
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
        if (!strcmp(how, "no"))
            continue;
        if (strcmp(how, "internal"))
            return vir_fail(e, VIR_ERR_CONFIG_UNSUPPORTED,
                            "%s snapshot of disk %s: this daemon makes internal ones", how, name);
        if (!xml_is(disk, "driver/@type", "qcow2") || !xml_get(disk, "source/@file"))
            return vir_fail(e, VIR_ERR_CONFIG_UNSUPPORTED,
                            "internal snapshot for disk %s unsupported for storage type %s", name,
                            xml_get(disk, "source/@file") ? xml_get_or(disk, "driver/@type", "raw") : "none");
        if (++count > DISKS_MAX)
            return vir_fail(e, VIR_ERR_CONFIG_UNSUPPORTED, "a snapshot can have %d disks", DISKS_MAX);
    }
    return count ? 0 : vir_fail(e, VIR_ERR_CONFIG_UNSUPPORTED, "nothing selected for snapshot");
}

/* The document that is kept, of what the client wants. NULL with e. */
static xmlNode *compose(struct domain *d, xmlNode *wanted, const char *name, const struct snapshot *parent,
                        struct vir_error *e)
{
    xmlNode *xml = xml_new("domainsnapshot");
    xml_set(xml, "name", name);
    if (xml_get(wanted, "description"))
        xml_set(xml, "description", xml_get(wanted, "description"));
    xml_set(xml, "state", "shutoff");
    if (parent)
        xml_set(xml, "parent/name", parent->name);
    xml_setf(xml, "creationTime", "%ld", (long)time(NULL));
    xml_set(xml, "memory/@snapshot", "no");
    xmlNode *disks = xml_add(xml, "disks");
    if (choose_disks(xml_node(wanted, "disks"), d->config, disks, e) < 0) {
        xml_free(xml);
        return NULL;
    }
    xmlAddChild(xml, xmlDocCopyNode(d->config, xml->doc, 1));
    return xml;
}

static int check_new(const struct snapshots *s, xmlNode *wanted, const char *name, struct vir_error *e)
{
    const char *memory = xml_get_or(wanted, "memory/@snapshot", "no");
    if (strcmp(memory, "no") || xml_get(wanted, "memory/@file"))
        return vir_fail(e, VIR_ERR_CONFIG_UNSUPPORTED,
                        "memory state cannot be saved with offline or disk-only snapshot");
    if (snapshots_find(s, name))
        return vir_fail(e, VIR_ERR_OPERATION_FAILED, "domain snapshot %s already exists", name);
    return snapshot_check_name(name, e);
}

int snapshot_make(struct domain *d, xmlNode *wanted, bool keep, struct vir_error *e)
{
    struct snapshots all = snapshots_read(d);
    char *name = xml_get(wanted, "name") && *xml_get(wanted, "name") ? text_copy(xml_get(wanted, "name"))
                                                                     : text_printf("%ld", (long)time(NULL));
    struct snapshot *parent = snapshots_current(&all), made = {.name = name};
    int r = check_new(&all, wanted, name, e);
    if (r == 0)
        r = (made.xml = compose(d, wanted, name, parent, e)) ? 0 : -1;
    struct disk_work w = {.act = image_snapshot_create, .name = name};
    if (r == 0) {
        find_disks(made.xml, &w);
        r = run_on_disks(d, &w, e);
    }
    if (r == 0 && keep) {
        xml_set(made.xml, "active", "1");
        r = write_one(d, &made, e);
        if (r == 0)
            r = set_current(d, &all, NULL, e);
    }
    xml_set(wanted, "name", name);
    free_one(&made);
    snapshots_free(&all);
    return r;
}

/* ---- back, and away ---- */

int snapshot_go_back(struct domain *d, struct snapshots *s, struct snapshot *to, struct vir_error *e)
{
    xmlNode *domain = xml_node(to->xml, "domain");
    char *text = domain ? xml_write(domain) : NULL;
    xmlNode *config = text ? definition_parse(d->manager, text, e) : NULL;
    free(text);
    if (!config)
        return domain ? -1
                      : vir_fail(e, VIR_ERR_CONFIG_UNSUPPORTED,
                                 "snapshot '%s' lacks domain '%s' rollback info", to->name, d->name);
    struct disk_work w = {.act = image_snapshot_apply, .name = to->name};
    find_disks(to->xml, &w);
    if (run_on_disks(d, &w, e) < 0) {
        xml_free(config);
        return -1;
    }
    store_forget_save(d); /* its memory is of other disks */
    if (domain_replace_config(d, config, e) < 0)
        return -1;
    return set_current(d, s, to, e);
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
    struct disk_work w = {.act = image_snapshot_delete, .name = one->name};
    if (disks)
        find_disks(one->xml, &w);
    if (run_on_disks(d, &w, e) < 0 || hand_over(d, s, one, e) < 0)
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
