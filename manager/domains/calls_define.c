/* calls_define.c - procedures that define domains and read their definitions */
/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <libxml/tree.h>
#include <stdlib.h>
#include <string.h>

#include "manager/daemon/manager.h"
#include "manager/daemon/text.h"
#include "manager/domains/definition.h"
#include "manager/domains/job.h"
#include "manager/domains/life.h"
#include "manager/domains/notify.h"
#include "manager/domains/snapshot.h"
#include "manager/domains/store.h"

enum { DEFINE_VALIDATE = 1, CREATE_PAUSED = 1, CREATE_VALIDATE = 16 };
/* There are no NVRAM, checkpoints or TPMs, so that what is to become of them is no question. */
enum { UNDEFINE_MANAGED_SAVE = 1, UNDEFINE_SNAPSHOTS = 2, UNDEFINE_ALL = 127 };

static int define(struct call *call, const char *text, struct remote_domain *ret)
{
    struct manager *m = call->manager;
    struct vir_error *e = &call->error;
    struct domain *d;
    xmlNode *config = definition_parse(m, text, e);
    if (!config)
        return -1;
    if (domains_find_same(m, config, &d, e) < 0) {
        xml_free(config);
        return -1;
    }
    bool fresh = !d;
    if (fresh)
        d = domain_new(m, config);
    xmlNode *old = fresh ? NULL : d->config;
    d->config = config;
    if (store_config(d, e) < 0) {
        if (fresh)
            domain_unlist(d);
        else {
            xml_free(config);
            d->config = old;
        }
        return -1;
    }
    xml_free(old);
    notify_lifecycle(d, EV_DEFINED, d->persistent ? DEFINED_UPDATED : DEFINED_ADDED);
    d->persistent = true;
    *ret = domain_remote(d);
    return 0;
}

int handle_domain_define_xml(struct call *call, const struct remote_domain_define_xml_args *args,
                             struct remote_domain_define_xml_ret *ret)
{
    return define(call, args->xml, &ret->dom);
}

int handle_domain_define_xml_flags(struct call *call, const struct remote_domain_define_xml_flags_args *args,
                                   struct remote_domain_define_xml_flags_ret *ret)
{
    if (vir_check_flags(&call->error, args->flags, DEFINE_VALIDATE, "virDomainDefineXMLFlags") < 0)
        return -1;
    return define(call, args->xml, &ret->dom);
}

static unsigned count_snapshots(const struct domain *d)
{
    struct snapshots s = snapshots_read(d);
    unsigned n = s.count;
    snapshots_free(&s);
    return n;
}

static int undefine(struct call *call, const struct remote_domain *name, u32 flags)
{
    struct domain *d = domain_find(call, name);
    if (!d || vir_check_flags(&call->error, flags, UNDEFINE_ALL, "virDomainUndefineFlags") < 0)
        return -1;
    if (!d->persistent)
        return vir_fail(&call->error, VIR_ERR_OPERATION_INVALID, "cannot undefine transient domain");
    if (store_has_save(d) && !(flags & UNDEFINE_MANAGED_SAVE))
        return vir_fail(&call->error, VIR_ERR_OPERATION_INVALID,
                        "Refusing to undefine while domain managed save image exists");
    unsigned snapshots = count_snapshots(d);
    if (snapshots && !domain_active(d) && !(flags & UNDEFINE_SNAPSHOTS))
        return vir_fail(&call->error, VIR_ERR_OPERATION_INVALID,
                        "cannot delete inactive domain with %u snapshots", snapshots);
    domain_undefine(d);
    return 0;
}

int handle_domain_undefine(struct call *call, const struct remote_domain_undefine_args *args)
{
    return undefine(call, &args->dom, 0);
}

int handle_domain_undefine_flags(struct call *call, const struct remote_domain_undefine_flags_args *args)
{
    return undefine(call, &args->dom, args->flags);
}

int handle_domain_create_xml(struct call *call, const struct remote_domain_create_xml_args *args,
                             struct remote_domain_create_xml_ret *ret)
{
    struct manager *m = call->manager;
    struct vir_error *e = &call->error;
    struct domain *d;
    if (vir_check_flags(e, args->flags, CREATE_PAUSED | CREATE_VALIDATE, "virDomainCreateXML") < 0)
        return -1;
    xmlNode *config = definition_parse(m, args->xml_desc, e);
    if (!config)
        return -1;
    if (domains_find_same(m, config, &d, e) < 0 ||
        (d && domain_active(d) &&
         vir_fail(e, VIR_ERR_OPERATION_FAILED, "domain '%s' is already active", d->name) < 0)) {
        xml_free(config);
        return -1;
    }
    /* One that is defined runs as this document says, this time. */
    xmlNode *live = d ? config : NULL;
    if (!d)
        d = domain_new(m, config);
    domain_keep(call, d);
    if (job_begin(d, JOB_START, e) < 0) {
        xml_free(live);
        return -1;
    }
    int r = life_start(d, live, &life_boot, args->flags & CREATE_PAUSED, e);
    ret->dom = domain_remote(d);
    ret->dom.name = arena_strdup(&call->arena, d->name);
    if (r < 0 && !d->persistent)
        domain_unlist(d);
    job_end(d);
    return r;
}

int handle_domain_get_xml_desc(struct call *call, const struct remote_domain_get_xml_desc_args *args,
                               struct remote_domain_get_xml_desc_ret *ret)
{
    struct domain *d = domain_find(call, &args->dom);
    u32 known = XML_SECURE | XML_INACTIVE | XML_UPDATE_CPU | XML_MIGRATABLE;
    if (!d || vir_check_flags(&call->error, args->flags, known, "virDomainGetXMLDesc") < 0)
        return -1;
    if (call->client->read_only && args->flags & XML_SECURE)
        return vir_fail(&call->error, VIR_ERR_OPERATION_DENIED, "virDomainGetXMLDesc with secure flag");
    char *text =
        definition_write(args->flags & XML_INACTIVE && d->config ? d->config : domain_xml(d), args->flags);
    ret->xml = arena_strdup(&call->arena, text);
    free(text);
    return 0;
}

int handle_domain_set_autostart(struct call *call, const struct remote_domain_set_autostart_args *args)
{
    struct domain *d = domain_find(call, &args->dom);
    if (!d)
        return -1;
    if (!d->persistent)
        return vir_fail(&call->error, VIR_ERR_OPERATION_INVALID, "cannot set autostart for transient domain");
    return store_autostart(d, args->autostart, &call->error);
}

/* ---- another name ---- */

static int check_rename(struct domain *d, const char *name, struct vir_error *e)
{
    if (!name || !*name || strchr(name, '/') || strpbrk(name, "\n\t\r") || strlen(name) > 200)
        return vir_fail(e, VIR_ERR_XML_ERROR, "name '%s' is empty, too long, or contains '/'",
                        name ? name : "");
    if (domain_active(d))
        return vir_fail(e, VIR_ERR_OPERATION_INVALID, "cannot rename active domain");
    if (!d->persistent)
        return vir_fail(e, VIR_ERR_OPERATION_INVALID, "cannot rename a transient domain");
    if (!strcmp(name, d->name))
        return vir_fail(e, VIR_ERR_INVALID_ARG, "Can't rename domain to itself");
    if (domains_by_name(&d->manager->domains, name))
        return vir_fail(e, VIR_ERR_OPERATION_INVALID, "domain with name '%s' already exists", name);
    if (count_snapshots(d))
        return vir_fail(e, VIR_ERR_OPERATION_INVALID, "cannot rename domain with snapshots");
    return store_has_save(d)
               ? vir_fail(e, VIR_ERR_OPERATION_INVALID, "domain with a managed saved state can't be renamed")
               : 0;
}

/* The new file first: a crash leaves two of one uuid, of which the daemon reads the first. */
static int rename_domain(struct domain *d, const char *name, struct vir_error *e)
{
    xmlNode *config = xml_copy(d->config), *old = d->config;
    char *old_name = d->name, *new_name = text_copy(name);
    bool autostart = d->autostart;
    xml_set(config, "name", name);
    d->config = config;
    d->name = new_name;
    int r = store_config(d, e);
    if (r < 0) {
        d->config = old;
        d->name = old_name;
        xml_free(config);
        free(new_name);
        return r;
    }
    d->name = old_name;
    notify_lifecycle(d, EV_UNDEFINED, UNDEFINED_RENAMED);
    store_forget_config(d);
    d->name = new_name;
    if (autostart)
        store_autostart(d, true, e);
    notify_lifecycle(d, EV_DEFINED, DEFINED_RENAMED);
    xml_free(old);
    free(old_name);
    return 0;
}

int handle_domain_rename(struct call *call, const struct remote_domain_rename_args *args,
                         struct remote_domain_rename_ret *ret)
{
    struct domain *d = domain_find(call, &args->dom);
    ret->retcode = 0;
    if (!d || vir_check_flags(&call->error, args->flags, 0, "virDomainRename") < 0 ||
        job_begin(d, JOB_MODIFY, &call->error) < 0)
        return -1;
    int r = check_rename(d, args->new_name, &call->error);
    if (r == 0)
        r = rename_domain(d, args->new_name, &call->error);
    job_end(d);
    return r;
}

/* ---- title, description, metadata ---- */

enum { METADATA_DESCRIPTION, METADATA_TITLE, METADATA_ELEMENT };

static xmlNode *find_element(xmlNode *domain, const char *uri)
{
    xml_each(n, xml_node(domain, "metadata"),
             NULL) if (n->ns && n->ns->href && uri && !strcmp((const char *)n->ns->href, uri)) return n;
    return NULL;
}

int handle_domain_get_metadata(struct call *call, const struct remote_domain_get_metadata_args *args,
                               struct remote_domain_get_metadata_ret *ret)
{
    struct domain *d = domain_find(call, &args->dom);
    if (!d)
        return -1;
    if (args->type < 0 || args->type > METADATA_ELEMENT)
        return vir_fail(&call->error, VIR_ERR_INVALID_ARG, "unknown metadata type %d", args->type);
    xmlNode *from = args->flags & AFFECT_CONFIG && d->config ? d->config : domain_xml(d);
    xmlNode *element = args->type == METADATA_ELEMENT ? find_element(from, args->uri) : NULL;
    char *written = element ? xml_write(element) : NULL;
    const char *text = written ? written
                       : args->type == METADATA_ELEMENT
                           ? NULL
                           : xml_get(from, args->type == METADATA_TITLE ? "title" : "description");
    if (!text)
        return vir_fail(&call->error, VIR_ERR_NO_DOMAIN_METADATA,
                        "Requested metadata element is not present");
    ret->metadata = arena_strdup(&call->arena, text);
    free(written);
    return 0;
}

/* The element in its namespace, as libvirt stores it: with the key as its prefix. */
static int set_element(xmlNode *domain, const char *text, const char *key, const char *uri,
                       struct vir_error *e)
{
    xmlNode *old = find_element(domain, uri), *fresh = NULL;
    if (text) {
        char *wrapped = text_printf("<metadata>%s</metadata>", text);
        fresh = xml_parse(wrapped, "metadata", e);
        free(wrapped);
        if (!fresh)
            return -1;
        xmlNode *one = xml_next(fresh, NULL, NULL);
        if (!one || xml_next(fresh, one, NULL)) {
            xml_free(fresh);
            return vir_fail(e, VIR_ERR_XML_ERROR, "metadata is one XML element");
        }
    }
    if (old)
        xml_delete(old);
    if (!fresh)
        return 0;
    xmlNode *into = xml_node(domain, "metadata");
    xmlNode *copy = xmlDocCopyNode(xml_next(fresh, NULL, NULL), domain->doc, 1);
    ASSERT(copy);
    xmlAddChild(into ? into : xml_add(domain, "metadata"), copy);
    xmlSetNs(copy, xmlNewNs(copy, BAD_CAST uri, BAD_CAST key));
    xml_free(fresh);
    return 0;
}

static int set_in(xmlNode *domain, const struct remote_domain_set_metadata_args *a, struct vir_error *e)
{
    const char *path = a->type == METADATA_TITLE ? "title" : "description";
    if (a->type == METADATA_ELEMENT)
        return set_element(domain, a->metadata, a->key, a->uri, e);
    if (a->metadata && *a->metadata)
        xml_set(domain, path, a->metadata);
    else
        xml_remove(domain, path);
    return 0;
}

static int check_metadata(const struct remote_domain_set_metadata_args *a, struct vir_error *e)
{
    if (a->type < 0 || a->type > METADATA_ELEMENT)
        return vir_fail(e, VIR_ERR_INVALID_ARG, "unknown metadata type %d", a->type);
    const char *const texts[] = {a->metadata, a->key, a->uri};
    for (size_t i = 0; i < ARRAY_SIZE(texts); i++)
        for (const char *c = texts[i]; c && *c; c++)
            if ((u8)*c < ' ' && (*c != '\n' || (i == 0 && a->type == METADATA_TITLE)) && *c != '\t')
                return vir_fail(e, VIR_ERR_INVALID_ARG,
                                "metadata contains control characters or, in a title, newlines");
    if (a->metadata && !xmlCheckUTF8(BAD_CAST a->metadata))
        return vir_fail(e, VIR_ERR_INVALID_ARG, "metadata is not UTF-8");
    if (a->type == METADATA_ELEMENT &&
        (!a->uri || (a->metadata && (!a->key || xmlValidateNCName(BAD_CAST a->key, 0)))))
        return vir_fail(e, VIR_ERR_INVALID_ARG, "a metadata element needs a uri and a key");
    return a->uri && !xmlCheckUTF8(BAD_CAST a->uri) ? vir_fail(e, VIR_ERR_INVALID_ARG, "the uri is not UTF-8")
                                                    : 0;
}

int handle_domain_set_metadata(struct call *call, const struct remote_domain_set_metadata_args *args)
{
    struct vir_error *e = &call->error;
    struct domain *d = domain_find(call, &args->dom);
    if (!d || check_metadata(args, e) < 0 ||
        vir_check_flags(e, args->flags, AFFECT_LIVE | AFFECT_CONFIG, "virDomainSetMetadata") < 0)
        return -1;
    struct affect a;
    if (domain_affect(d, args->flags, &a, e) < 0 || (a.live && set_in(d->live, args, e) < 0) ||
        (a.config && (set_in(d->config, args, e) < 0 || store_config(d, e) < 0)))
        return -1;
    if (a.live)
        store_state(d);
    notify_metadata(d, args->type, args->type == METADATA_ELEMENT ? args->uri : NULL);
    return 0;
}
