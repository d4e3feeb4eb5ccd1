/* store.c - definitions and states on disk, as XML that a person can read */
/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <dirent.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "manager/daemon/manager.h"
#include "manager/daemon/text.h"
#include "manager/domains/definition.h"
#include "manager/domains/life.h"
#include "manager/domains/save_image.h"
#include "manager/domains/store.h"

static const struct {
    const char *kind;
    size_t folder; /* of struct settings */
    const char *below, *suffix;
} places[] = {
    {"config", offsetof(struct settings, config_dir), "/domains", ".xml"},
    {"autostart", offsetof(struct settings, config_dir), "/autostart", ".xml"},
    {"state", offsetof(struct settings, run_dir), "/domains", ".xml"},
    {"monitor", offsetof(struct settings, run_dir), "/domains", ".monitor"},
    {"save", offsetof(struct settings, state_dir), "/save", ".save"},
    {"snapshots", offsetof(struct settings, state_dir), "/snapshots", ""},
    {"log", offsetof(struct settings, log_dir), "", ".log"},
};

static char *folder_path(const struct manager *m, size_t i)
{
    return text_printf("%s%s", *(char *const *)((const char *)&m->settings + places[i].folder),
                       places[i].below);
}

char *store_path(const struct domain *d, const char *kind)
{
    size_t i = 0;
    while (strcmp(places[i].kind, kind))
        i++;
    char *folder = folder_path(d->manager, i);
    char *path = text_printf("%s/%s%s", folder, d->name, places[i].suffix);
    free(folder);
    return path;
}

int store_folders(struct manager *m, struct error *e)
{
    int r = 0;
    for (size_t i = 0; i < ARRAY_SIZE(places) && r == 0; i++) {
        char *path = folder_path(m, i);
        if ((r = folder_make(path, 0755)) < 0)
            error_set(e, -r, "cannot make the folder '%s': %s; use --root DIR with a folder that is yours",
                      path, strerror(-r));
        free(path);
    }
    return r;
}

static int write_xml(const char *path, xmlNode *root, const char *head, struct vir_error *e)
{
    char *text = xml_write(root), *whole = text_printf("%s%s", head, text);
    int r = file_write_atomic(path, whole, strlen(whole), e);
    free(whole);
    free(text);
    return r;
}

int store_config(struct domain *d, struct vir_error *e)
{
    char *path = store_path(d, "config");
    int r = write_xml(path, d->config, "<!-- Written by lodged. To change it: virsh edit. -->\n", e);
    free(path);
    return r;
}

static void unlink_path(struct domain *d, const char *kind)
{
    char *path = store_path(d, kind);
    if (unlink(path) < 0 && errno != ENOENT)
        report("cannot remove '%s': %s", path, strerror(errno));
    free(path);
}

void store_forget_config(struct domain *d)
{
    unlink_path(d, "autostart");
    unlink_path(d, "config");
}

int store_autostart(struct domain *d, bool autostart, struct vir_error *e)
{
    char *link = store_path(d, "autostart"), *config = store_path(d, "config");
    int r = 0;
    if (autostart ? symlink(config, link) < 0 && errno != EEXIST : unlink(link) < 0 && errno != ENOENT)
        r = vir_fail_errno(e, errno, "Failed to change autostart link '%s'", link);
    else
        d->autostart = autostart;
    free(link);
    free(config);
    return r;
}

bool store_has_save(const struct domain *d)
{
    char *path = store_path(d, "save");
    bool is_there = save_image_there(path);
    free(path);
    return is_there;
}

void store_forget_save(struct domain *d)
{
    unlink_path(d, "save");
}

/* ---- states ---- */

void store_state(struct domain *d)
{
    xmlNode *status = xml_copy(d->live);
    xmlNode *domain = status;
    xmlDoc *doc = status->doc;
    xmlUnlinkNode(domain);
    status = xmlNewDocNode(doc, NULL, BAD_CAST "domstatus", NULL);
    ASSERT(status);
    xmlDocSetRootElement(doc, status);
    xml_setf(status, "@state", "%d", d->state);
    xml_setf(status, "@reason", "%d", d->reason);
    xml_setf(status, "@pid", "%d", (int)d->machine.pid);
    xml_setf(status, "@started", "%lu", d->machine.start_time);
    xml_setf(status, "@id", "%d", d->id);
    if (d->machine.stopping)
        xml_setf(status, "@stopping", "%d", d->machine.stop_reason);
    if (d->migration.phase > MIGRATION_BEGUN)
        xml_setf(status, "@migration", "%d", d->migration.phase);
    if (d->machine.reboot)
        xml_set(status, "@reboot", "yes");
    xmlAddChild(status, domain);
    char *path = store_path(d, "state");
    struct vir_error e;
    if (write_xml(path, status, "", &e) < 0)
        report("domain '%s': %s", d->name, e.text);
    free(path);
    xml_free(status);
}

void store_phase(struct domain *d)
{
    if (domain_active(d) && d->machine.pid)
        store_state(d);
}

void store_forget_state(struct domain *d)
{
    unlink_path(d, "state");
    unlink_path(d, "monitor");
}

/* ---- loading ---- */

static void load_config(struct manager *m, const char *path)
{
    struct vir_error e;
    char *text;
    int r = file_read(path, &text, NULL);
    if (r < 0) {
        report("cannot read '%s': %s", path, strerror(-r));
        return;
    }
    xmlNode *config = definition_parse(m, text, &e);
    free(text);
    if (!config) {
        report("'%s' is ignored: %s", path, e.text);
        return;
    }
    u8 uuid[16];
    uuid_parse(xml_get(config, "uuid"), uuid);
    if (domains_by_uuid(&m->domains, uuid) || domains_by_name(&m->domains, xml_get(config, "name"))) {
        report("'%s' is ignored: another definition has its name or uuid", path);
        xml_free(config);
        return;
    }
    struct domain *d = domain_new(m, config);
    d->persistent = true;
    char *link = store_path(d, "autostart");
    d->autostart = access(link, F_OK) == 0;
    free(link);
}

static struct domain *domain_of_state(struct manager *m, xmlNode *live)
{
    u8 uuid[16];
    if (!live || !xml_get(live, "uuid") || !uuid_parse(xml_get(live, "uuid"), uuid) || !xml_get(live, "name"))
        return NULL;
    struct domain *d = domains_by_uuid(&m->domains, uuid);
    if (d)
        return d->id == -1 ? d : NULL;
    return domain_new_transient(m, live);
}

static void load_state(struct manager *m, const char *path)
{
    struct vir_error e;
    xmlNode *status = xml_parse_file(path, "domstatus", &e);
    xmlNode *inner = status ? xml_node(status, "domain") : NULL;
    xmlNode *live = inner ? xml_copy(inner) : NULL;
    struct domain *d = domain_of_state(m, live);
    u64 pid = 0, started = 0, id = 0, state = 0, reason = 0, stopping, phase;
    if (!d || !number_parse(xml_get(status, "@pid"), &pid) ||
        !number_parse(xml_get(status, "@started"), &started) || !number_parse(xml_get(status, "@id"), &id) ||
        !number_parse(xml_get(status, "@state"), &state) ||
        !number_parse(xml_get(status, "@reason"), &reason)) {
        report("'%s' is ignored: %s", path, status ? "it is not a state that lodged wrote" : e.text);
        if (!d)
            xml_free(live);
        xml_free(status);
        return;
    }
    d->live = live;
    d->id = (s32)id;
    d->state = (enum domain_state)state;
    d->reason = (int)reason;
    d->machine.pid = (pid_t)pid;
    d->machine.start_time = started;
    if (number_parse(xml_get(status, "@stopping"), &stopping)) {
        d->machine.stopping = true;
        d->machine.stop_reason = (int)stopping;
    }
    if (number_parse(xml_get(status, "@migration"), &phase))
        d->migration.phase = (enum migration_phase)phase;
    d->machine.reboot = xml_is(status, "@reboot", "yes");
    m->domains.next_id = max(m->domains.next_id, d->id + 1);
    xml_free(status);
    life_reconnect(d);
}

static void for_each_file(const char *folder, const char *suffix, struct manager *m,
                          void (*load)(struct manager *m, const char *path))
{
    DIR *dir = opendir(folder);
    struct dirent *entry;
    while (dir && (entry = readdir(dir))) {
        size_t n = strlen(entry->d_name);
        if (n <= strlen(suffix) || strcmp(entry->d_name + n - strlen(suffix), suffix))
            continue;
        char *path = text_printf("%s/%s", folder, entry->d_name);
        load(m, path);
        free(path);
    }
    if (dir)
        closedir(dir);
}

void store_load(struct manager *m)
{
    char *config = folder_path(m, 0), *state = folder_path(m, 2);
    for_each_file(config, ".xml", m, load_config);
    for_each_file(state, ".xml", m, load_state);
    free(config);
    free(state);
}
