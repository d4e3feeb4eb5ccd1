/* calls_snapshot.c - procedures that look for snapshots and checkpoints, of which no domain has any */
/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "manager/daemon/manager.h"
#include "manager/domains/domain.h"

/* What makes them is among the "lacks" of protocol.def. */

static int look(struct call *call, const struct remote_domain *name)
{
    return domain_find(call, name) ? 0 : -1;
}

int handle_domain_snapshot_num(struct call *call, const struct remote_domain_snapshot_num_args *args,
                               struct remote_domain_snapshot_num_ret *ret)
{
    ret->num = 0;
    return look(call, &args->dom);
}

int handle_domain_snapshot_list_names(struct call *call,
                                      const struct remote_domain_snapshot_list_names_args *args,
                                      struct remote_domain_snapshot_list_names_ret *ret)
{
    ret->names_count = 0;
    return look(call, &args->dom);
}

int handle_domain_list_all_snapshots(struct call *call,
                                     const struct remote_domain_list_all_snapshots_args *args,
                                     struct remote_domain_list_all_snapshots_ret *ret)
{
    ret->snapshots_count = 0;
    return look(call, &args->dom);
}

int handle_domain_list_all_checkpoints(struct call *call,
                                       const struct remote_domain_list_all_checkpoints_args *args,
                                       struct remote_domain_list_all_checkpoints_ret *ret)
{
    ret->checkpoints_count = 0;
    return look(call, &args->dom);
}

int handle_domain_has_current_snapshot(struct call *call,
                                       const struct remote_domain_has_current_snapshot_args *args,
                                       struct remote_domain_has_current_snapshot_ret *ret)
{
    ret->result = 0;
    return look(call, &args->dom);
}

int handle_domain_snapshot_current(struct call *call, const struct remote_domain_snapshot_current_args *args)
{
    if (look(call, &args->dom) < 0)
        return -1;
    return vir_fail(&call->error, VIR_ERR_NO_DOMAIN_SNAPSHOT, "the domain does not have a current snapshot");
}

int handle_domain_snapshot_lookup_by_name(struct call *call,
                                          const struct remote_domain_snapshot_lookup_by_name_args *args)
{
    if (look(call, &args->dom) < 0)
        return -1;
    return vir_fail(&call->error, VIR_ERR_NO_DOMAIN_SNAPSHOT, "no domain snapshot with matching name '%s'",
                    args->name);
}
