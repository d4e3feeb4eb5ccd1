/* calls_device.c - procedures that attach, detach and change devices */
/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <string.h>

#include "manager/daemon/manager.h"
#include "manager/domains/definition.h"
#include "manager/domains/device.h"
#include "manager/domains/hotplug.h"
#include "manager/domains/job.h"
#include "manager/domains/life.h"
#include "manager/domains/notify.h"
#include "manager/domains/store.h"

enum { UPDATE_FORCE = 4 };

/* A change of a device, in a document: of what runs, or of the definition. */
typedef int device_change(struct domain *d, xmlNode *domain, const char *xml, bool live, struct vir_error *e);

/* The change in one or both; the definition is changed on a copy, and takes effect last. */
static int change_inside_job(struct domain *d, const char *xml, struct affect a, device_change *change,
                             struct vir_error *e)
{
    xmlNode *fresh = a.config ? xml_copy(d->config) : NULL;
    if ((fresh && change(d, fresh, xml, false, e) < 0) || (a.live && change(d, d->live, xml, true, e) < 0)) {
        xml_free(fresh);
        return -1;
    }
    if (a.live && domain_active(d)) {
        d->updated = true;
        life_learn_places(d);
        store_state(d);
    }
    return fresh ? domain_replace_config(d, fresh, e) : 0;
}

static int change_device(struct call *call, const struct remote_domain *name, const char *xml, u32 flags,
                         device_change *change)
{
    struct vir_error *e = &call->error;
    struct domain *d = domain_find(call, name);
    struct affect a;
    if (!d ||
        vir_check_flags(e, flags, AFFECT_LIVE | AFFECT_CONFIG | UPDATE_FORCE, call->procedure->name) < 0 ||
        job_begin(d, JOB_MODIFY, e) < 0)
        return -1;
    int r = domain_affect(d, flags & ~(u32)UPDATE_FORCE, &a, e);
    if (r == 0)
        r = change_inside_job(d, xml, a, change, e);
    job_end(d);
    return r;
}

/* ---- attach ---- */

static int attach(struct domain *d, xmlNode *domain, const char *xml, bool live, struct vir_error *e)
{
    xmlNode *device = definition_parse_device(domain, xml, e);
    if (!device)
        return -1;
    int r = 0;
    if (live) {
        xml_remove(device, "alias");
        device_set_live(domain, device);
        if ((r = hotplug_attach(d, device, e)) == 0 && !domain_active(d))
            r = domain_not_running(e);
    }
    if (r == 0)
        definition_add_device(domain, device);
    if (r == 0 && live)
        notify_device_added(d, xml_get_or(device, "alias/@name", ""));
    xml_free(device);
    return r;
}

int handle_domain_attach_device(struct call *call, const struct remote_domain_attach_device_args *args)
{
    return change_device(call, &args->dom, args->xml, AFFECT_LIVE, attach);
}

int handle_domain_attach_device_flags(struct call *call,
                                      const struct remote_domain_attach_device_flags_args *args)
{
    return change_device(call, &args->dom, args->xml, args->flags, attach);
}

/* ---- detach ---- */

static int detach_node(struct domain *d, xmlNode *device, bool live, struct vir_error *e)
{
    if (live)
        return hotplug_detach(d, device, e);
    xml_delete(device);
    return 0;
}

static int detach(struct domain *d, xmlNode *domain, const char *xml, bool live, struct vir_error *e)
{
    xmlNode *like = definition_read_device(xml, e);
    xmlNode *device = like ? device_find(domain, like, e) : NULL;
    xml_free(like);
    return device ? detach_node(d, device, live, e) : -1;
}

int handle_domain_detach_device(struct call *call, const struct remote_domain_detach_device_args *args)
{
    return change_device(call, &args->dom, args->xml, AFFECT_LIVE, detach);
}

int handle_domain_detach_device_flags(struct call *call,
                                      const struct remote_domain_detach_device_flags_args *args)
{
    return change_device(call, &args->dom, args->xml, args->flags, detach);
}

static int detach_alias(struct domain *d, xmlNode *domain, const char *alias, bool live, struct vir_error *e)
{
    xmlNode *device = device_find_alias(domain, alias);
    return device ? detach_node(d, device, live, e)
                  : vir_fail(e, VIR_ERR_DEVICE_MISSING, "no device found with alias %s", alias);
}

int handle_domain_detach_device_alias(struct call *call,
                                      const struct remote_domain_detach_device_alias_args *args)
{
    return change_device(call, &args->dom, args->alias, args->flags, detach_alias);
}

/* ---- update ---- */

static int update_live(struct domain *d, xmlNode *found, xmlNode *wanted, struct vir_error *e)
{
    xmlNode *device = xml_copy(found);
    int r = hotplug_update(d, device, wanted, e);
    if (r == 0 && (found = device_find_alias(d->live, xml_get_or(device, "alias/@name", "")))) {
        xml_delete(found);
        definition_add_device(d->live, device);
    }
    xml_free(device);
    return r;
}

static int update(struct domain *d, xmlNode *domain, const char *xml, bool live, struct vir_error *e)
{
    xmlNode *wanted = definition_read_device(xml, e);
    xmlNode *device = wanted ? device_find(domain, wanted, e) : NULL;
    int r = device ? 0 : -1;
    if (wanted && !device && xml_get(wanted, "target/@dev")) /* libvirt has another code for this one */
        vir_fail(e, VIR_ERR_INVALID_ARG, "target %s doesn't exist.", xml_get(wanted, "target/@dev"));
    if (r == 0 && live)
        r = update_live(d, device, wanted, e);
    else if (r == 0) {
        xml_delete(device);
        r = attach(d, domain, xml, false, e);
    }
    xml_free(wanted);
    return r;
}

int handle_domain_update_device_flags(struct call *call,
                                      const struct remote_domain_update_device_flags_args *args)
{
    return change_device(call, &args->dom, args->xml, args->flags, update);
}
