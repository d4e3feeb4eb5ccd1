/* calls_agent.c - procedures that ask the agent in the guest, which no machine has a channel for */
/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "manager/daemon/manager.h"
#include "manager/domains/domain.h"

/* The domain must be there and running; then the error is libvirt's for a domain without such a channel. */
static int ask_agent(struct call *call, const struct remote_domain *name)
{
    if (!domain_find_active(call, name))
        return -1;
    return vir_fail(&call->error, VIR_ERR_ARGUMENT_UNSUPPORTED, "QEMU guest agent is not configured");
}

/* Each is a procedure of its own to the codec, and the same to the guest. */
#define ASKS_AGENT(NAME)                                                          \
    int handle_##NAME(struct call *call, const struct remote_##NAME##_args *args, \
                      struct remote_##NAME##_ret *ret)                            \
    {                                                                             \
        (void)ret;                                                                \
        return ask_agent(call, &args->dom);                                       \
    }
#define TELLS_AGENT(NAME)                                                         \
    int handle_##NAME(struct call *call, const struct remote_##NAME##_args *args) \
    {                                                                             \
        return ask_agent(call, &args->dom);                                       \
    }

ASKS_AGENT(qemu_domain_agent_command)
ASKS_AGENT(domain_get_hostname)
TELLS_AGENT(domain_fstrim)
ASKS_AGENT(domain_fsfreeze)
ASKS_AGENT(domain_fsthaw)
ASKS_AGENT(domain_get_time)
TELLS_AGENT(domain_set_time)
ASKS_AGENT(domain_get_fsinfo)
TELLS_AGENT(domain_set_user_password)
ASKS_AGENT(domain_get_guest_vcpus)
ASKS_AGENT(domain_get_guest_info)
ASKS_AGENT(domain_authorized_ssh_keys_get)
