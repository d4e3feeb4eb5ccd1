/* manager.c - all that the daemon has: made, filled from the disk, and freed */
/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <string.h>

#include "manager/daemon/manager.h"
#include "manager/domains/life.h"
#include "manager/domains/migrate.h"
#include "manager/domains/store.h"
#include "manager/networks/network.h"
#include "manager/storage/pool.h"

int manager_init(struct manager *m, struct error *e)
{
    int r = loop_init(&m->loop);
    if (r < 0)
        return error_set(e, -r, "cannot make an event loop: %s", strerror(-r));
    tasks_init(&m->tasks, &m->loop);
    server_init(&m->server, &m->loop, &m->tasks, m, (unsigned)m->settings.client_max);
    m->domains.next_id = 1;
    resources_init(&m->pools, &pool_kind, m);
    resources_init(&m->networks, &network_kind, m);
    return store_folders(m, e);
}

void manager_load(struct manager *m)
{
    resources_load(&m->pools);
    if (resources_load(&m->networks))
        network_make_default(&m->networks);
    store_load(m);
}

void manager_free(struct manager *m)
{
    migrate_forget_all(m);
    server_free(&m->server);
    life_release_all(m);
    resources_free(&m->pools);
    resources_free(&m->networks);
    emulators_free(m);
    tasks_free(&m->tasks);
    loop_free(&m->loop);
}
