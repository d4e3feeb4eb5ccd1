/* resource.c - what a document defines and what is active or not */
/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <dirent.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/error.h"
#include "manager/daemon/manager.h"
#include "manager/daemon/resource.h"
#include "manager/daemon/text.h"

enum { EVENT_DEFINED, EVENT_UNDEFINED, EVENT_STARTED, EVENT_STOPPED };

/* ---- the list ---- */

void resources_init(struct resources *rs, const struct resource_kind *kind, struct manager *m)
{
    *rs = (struct resources){.kind = kind, .manager = m};
}

static void resource_put(void *object)
{
    struct resource *r = object;
    if (--r->references)
        return;
    xml_free(r->config);
    xml_free(r->live);
    free(r->name);
    free(r);
}

static struct resources *list_of(const struct resource *r)
{
    struct manager *m = r->manager;
    return m->pools.kind == r->kind ? &m->pools : &m->networks;
}

static void unlist(struct resource *r)
{
    struct resources *rs = list_of(r);
    unsigned i = 0;
    if (!r->listed)
        return;
    while (rs->at[i] != r)
        i++;
    memmove(&rs->at[i], &rs->at[i + 1], (--rs->count - i) * sizeof(*rs->at));
    r->listed = false;
    resource_put(r);
}

void resources_free(struct resources *rs)
{
    while (rs->count)
        unlist(rs->at[0]);
    free(rs->at);
    rs->at = NULL;
    rs->room = 0;
}

static struct resource *resource_new(struct resources *rs, xmlNode *xml)
{
    struct resource *r = calloc(1, sizeof(*r));
    ASSERT(r);
    *r = (struct resource){.kind = rs->kind,
                           .manager = rs->manager,
                           .references = 1,
                           .name = text_copy(xml_get(xml, "name")),
                           .listed = true};
    ASSERT(uuid_parse(xml_get(xml, "uuid"), r->uuid));
    if (rs->count == rs->room) {
        rs->room = max(rs->room * 2, 8u);
        rs->at = realloc(rs->at, rs->room * sizeof(*rs->at));
        ASSERT(rs->at);
    }
    return rs->at[rs->count++] = r;
}

struct resource *resources_by_name(struct resources *rs, const char *name)
{
    for (unsigned i = 0; i < rs->count; i++)
        if (!strcmp(rs->at[i]->name, name))
            return rs->at[i];
    return NULL;
}

struct resource *resources_by_uuid(struct resources *rs, const u8 uuid[16])
{
    for (unsigned i = 0; i < rs->count; i++)
        if (!memcmp(rs->at[i]->uuid, uuid, 16))
            return rs->at[i];
    return NULL;
}

static struct resource *hold(struct call *call, struct resource *r)
{
    r->references++;
    call_hold(call, r, resource_put);
    return r;
}

struct resource *resource_find(struct call *call, struct resources *rs, const u8 uuid[16], const char *name)
{
    struct resource *r = resources_by_uuid(rs, uuid);
    char text[UUID_TEXT];
    if (r)
        return hold(call, r);
    vir_fail(&call->error, rs->kind->not_found, "no %s with matching uuid '%s'%s%s%s", rs->kind->word,
             uuid_format(uuid, text), name ? " (" : "", name ? name : "", name ? ")" : "");
    return NULL;
}

struct resource *resource_find_name(struct call *call, struct resources *rs, const char *name)
{
    struct resource *r = resources_by_name(rs, name);
    if (r)
        return hold(call, r);
    vir_fail(&call->error, rs->kind->not_found, "no %s with matching name '%s'", rs->kind->word, name);
    return NULL;
}

int resource_need_active(const struct resource *r, struct vir_error *e)
{
    return r->active
               ? 0
               : vir_fail(e, VIR_ERR_OPERATION_INVALID, "%s '%s' is not active", r->kind->word, r->name);
}

/* ---- on disk ---- */

static char *path_of(const struct resources *rs, const char *name, bool running, const char *below)
{
    const struct settings *s = &rs->manager->settings;
    return text_printf("%s/%s%s%s%s%s", running ? s->run_dir : s->config_dir, rs->kind->folder, below,
                       *name ? "/" : "", name, *name ? ".xml" : "");
}

static int write_file(const struct resource *r, xmlNode *xml, bool running, struct vir_error *e)
{
    char *path = path_of(list_of(r), r->name, running, ""), *folder = path_of(list_of(r), "", running, "");
    char *text = xml_write(xml);
    int error = folder_make(folder, 0755);
    error = error < 0 ? vir_fail_errno(e, -error, "cannot make the folder '%s'", folder)
                      : file_write_atomic(path, text, strlen(text), e);
    free(text);
    free(folder);
    free(path);
    return error;
}

static void remove_file(const struct resource *r, bool running, const char *below)
{
    char *path = path_of(list_of(r), r->name, running, below);
    if (unlink(path) < 0 && errno != ENOENT)
        report("cannot remove '%s': %s", path, strerror(errno));
    free(path);
}

int resource_set_autostart(struct resource *r, bool autostart, struct vir_error *e)
{
    struct resources *rs = list_of(r);
    if (!r->config)
        return vir_fail(e, VIR_ERR_OPERATION_INVALID, "cannot set autostart for transient %s", r->kind->word);
    char *folder = path_of(rs, "", false, "/autostart"), *link = path_of(rs, r->name, false, "/autostart"),
         *config = path_of(rs, r->name, false, "");
    int error = autostart ? folder_make(folder, 0755) : 0;
    if (error == 0 &&
        (autostart ? symlink(config, link) < 0 && errno != EEXIST : unlink(link) < 0 && errno != ENOENT))
        error = -errno;
    if (error == 0)
        r->autostart = autostart;
    else
        vir_fail_errno(e, -error, "Failed to change autostart link '%s'", link);
    free(folder);
    free(link);
    free(config);
    return error < 0 ? -1 : 0;
}

/* ---- documents ---- */

static int check_identity(xmlNode *xml, struct vir_error *e)
{
    const char *name = xml_get(xml, "name"), *given = xml_get(xml, "uuid");
    u8 uuid[16];
    char text[UUID_TEXT];
    if (!name || !*name)
        return vir_fail(e, VIR_ERR_XML_ERROR, "missing name in the %s definition", xml_name(xml));
    if (strchr(name, '/') || strpbrk(name, "\n\t\r") || !strcmp(name, ".") || !strcmp(name, "..") ||
        strlen(name) > 200)
        return vir_fail(e, VIR_ERR_XML_ERROR, "name %s cannot contain '/', or is longer than 200 bytes",
                        name);
    if (!given || !*given)
        uuid_random(uuid);
    else if (!uuid_parse(given, uuid))
        return vir_fail(e, VIR_ERR_XML_ERROR, "malformed uuid element");
    xml_set(xml, "uuid", uuid_format(uuid, text));
    return 0;
}

static xmlNode *parse(struct resources *rs, const char *text, struct vir_error *e)
{
    xmlNode *xml = xml_parse(text, rs->kind->element, e);
    if (xml && (check_identity(xml, e) < 0 || rs->kind->check(rs->manager, xml, e) < 0)) {
        xml_free(xml);
        return NULL;
    }
    return xml;
}

/* One name and one uuid belong together. */
static int find_same(struct resources *rs, xmlNode *xml, struct resource **found, struct vir_error *e)
{
    u8 uuid[16];
    char text[UUID_TEXT];
    const char *name = xml_get(xml, "name");
    uuid_parse(xml_get(xml, "uuid"), uuid);
    struct resource *by_uuid = resources_by_uuid(rs, uuid), *by_name = resources_by_name(rs, name);
    *found = by_uuid;
    if (by_uuid != by_name)
        return vir_fail(e, VIR_ERR_OPERATION_FAILED, "%s '%s' is already defined with uuid %s",
                        rs->kind->word, by_uuid ? by_uuid->name : name,
                        uuid_format(by_uuid ? uuid : by_name->uuid, text));
    return 0;
}

static void tell(struct resource *r, s32 what)
{
    /* remote_network_event_lifecycle_msg and remote_storage_pool_event_lifecycle_msg are the same. */
    struct remote_network_event_lifecycle_msg msg = {.net.name = r->name, .event = what};
    memcpy(msg.net.uuid, r->uuid, sizeof(r->uuid));
    struct event e = {.class = r->kind->event,
                      .uuid = r->uuid,
                      .procedure = r->kind->lifecycle,
                      .type = r->kind->message,
                      .message = &msg};
    event_send(&r->manager->server, &e);
}

struct resource *resource_define(struct resources *rs, const char *text, struct vir_error *e)
{
    xmlNode *xml = parse(rs, text, e);
    struct resource *r;
    if (!xml)
        return NULL;
    if (find_same(rs, xml, &r, e) < 0) {
        xml_free(xml);
        return NULL;
    }
    bool fresh = !r;
    if (fresh)
        r = resource_new(rs, xml);
    if (write_file(r, xml, false, e) < 0) {
        xml_free(xml);
        if (fresh)
            unlist(r);
        return NULL;
    }
    xml_free(r->config);
    r->config = xml;
    tell(r, EVENT_DEFINED);
    return r;
}

int resource_start(struct resource *r, struct vir_error *e)
{
    if (r->active)
        return vir_fail(e, VIR_ERR_OPERATION_INVALID, "%s '%s' is already active", r->kind->word, r->name);
    xmlNode *live = xml_copy(r->config);
    if (r->kind->start(r, e) < 0 || write_file(r, live, true, e) < 0 || r->active) {
        xml_free(live);
        return r->active ? 0 : -1;
    }
    r->live = live;
    r->active = true;
    tell(r, EVENT_STARTED);
    return 0;
}

struct resource *resource_create(struct resources *rs, const char *text, struct vir_error *e)
{
    xmlNode *xml = parse(rs, text, e);
    struct resource *r;
    if (!xml)
        return NULL;
    int error = find_same(rs, xml, &r, e);
    if (error == 0 && r)
        error = vir_fail(e, VIR_ERR_OPERATION_FAILED, "%s '%s' already exists with that uuid", rs->kind->word,
                         r->name);
    if (error < 0) {
        xml_free(xml);
        return NULL;
    }
    r = resource_new(rs, xml);
    r->config = xml;
    r->references++;
    error = resource_start(r, e);
    if (r->config == xml) { /* nobody has defined it meanwhile */
        r->config = NULL;
        xml_free(xml);
    }
    if (error < 0 && !r->config)
        unlist(r);
    resource_put(r);
    return error < 0 ? NULL : r;
}

int resource_stop(struct resource *r, struct vir_error *e)
{
    if (resource_need_active(r, e) < 0)
        return -1;
    remove_file(r, true, "");
    xml_free(r->live);
    r->live = NULL;
    r->active = false;
    tell(r, EVENT_STOPPED);
    if (!r->config)
        unlist(r);
    return 0;
}

int resource_undefine(struct resource *r, struct vir_error *e)
{
    if (!r->config)
        return vir_fail(e, VIR_ERR_OPERATION_INVALID, "cannot undefine transient %s", r->kind->word);
    if (r->active && r->kind->event == EVENT_POOL)
        return vir_fail(e, VIR_ERR_OPERATION_INVALID, "storage pool '%s' is still active", r->name);
    remove_file(r, false, "/autostart");
    remove_file(r, false, "");
    xml_free(r->config);
    r->config = NULL;
    r->autostart = false;
    tell(r, EVENT_UNDEFINED);
    if (!r->active)
        unlist(r);
    return 0;
}

/* ---- the daemon's start ---- */

static void load_one(struct resources *rs, const char *path, bool running)
{
    struct vir_error e;
    struct resource *r;
    char *text = NULL;
    int error = file_read(path, &text, NULL);
    xmlNode *xml = error == 0 ? parse(rs, text, &e) : NULL;
    free(text);
    if (!xml || find_same(rs, xml, &r, &e) < 0) {
        report("'%s' is ignored: %s", path, error < 0 ? strerror(-error) : e.text);
        xml_free(xml);
        return;
    }
    if (!r)
        r = resource_new(rs, xml);
    if (running) {
        xml_free(r->live);
        r->live = xml;
        r->active = true;
        return;
    }
    r->config = xml;
    char *link = path_of(rs, r->name, false, "/autostart");
    r->autostart = access(link, F_OK) == 0;
    free(link);
}

/* False: there is no such folder. */
static bool load_folder(struct resources *rs, bool running)
{
    char *folder = path_of(rs, "", running, "");
    DIR *dir = opendir(folder);
    struct dirent *entry;
    while (dir && (entry = readdir(dir))) {
        size_t n = strlen(entry->d_name);
        if (n <= 4 || strcmp(entry->d_name + n - 4, ".xml"))
            continue;
        char *path = text_printf("%s/%s", folder, entry->d_name);
        load_one(rs, path, running);
        free(path);
    }
    free(folder);
    if (dir)
        closedir(dir);
    return dir;
}

bool resources_load(struct resources *rs)
{
    struct vir_error e;
    bool known = load_folder(rs, false);
    load_folder(rs, true);
    for (unsigned i = 0; i < rs->count; i++)
        if (rs->at[i]->autostart && !rs->at[i]->active && resource_start(rs->at[i], &e) < 0)
            report("autostart of %s '%s': %s", rs->kind->word, rs->at[i]->name, e.text);
    return !known;
}

/* ---- lists ---- */

bool resource_matches(const struct resource *r, u32 flags)
{
    static const u32 groups[] = {RESOURCE_INACTIVE | RESOURCE_ACTIVE,
                                 RESOURCE_PERSISTENT | RESOURCE_TRANSIENT,
                                 RESOURCE_AUTOSTART | RESOURCE_NO_AUTOSTART};
    u32 is = (r->active ? RESOURCE_ACTIVE : RESOURCE_INACTIVE) |
             (r->config ? RESOURCE_PERSISTENT : RESOURCE_TRANSIENT) |
             (r->autostart ? RESOURCE_AUTOSTART : RESOURCE_NO_AUTOSTART);
    for (size_t i = 0; i < ARRAY_SIZE(groups); i++)
        if (flags & groups[i] && !(flags & groups[i] & is))
            return false;
    return true;
}

s32 resources_count(const struct resources *rs, bool active)
{
    s32 n = 0;
    for (unsigned i = 0; i < rs->count; i++)
        n += rs->at[i]->active == active;
    return n;
}

char **resources_names(struct call *call, const struct resources *rs, bool active, s32 most, u32 *count)
{
    char **names = arena_array(&call->arena, char *, rs->count);
    for (unsigned i = 0; i < rs->count && (s32)*count < most; i++)
        if (rs->at[i]->active == active)
            names[(*count)++] = arena_strdup(&call->arena, rs->at[i]->name);
    return names;
}
