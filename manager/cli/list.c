/* list.c - lodge list: the machines that there are */
/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <jansson.h>
#include <stdio.h>

#include "manager/rpc/connection.h"
#include "manager/cli/verb.h"

struct list_arguments {
    struct target target;
    bool all, names;
};

static const struct argument table[] = {
    {"all", ARGUMENT_FLAG, offsetof(struct list_arguments, all), NULL},
    {"names", ARGUMENT_FLAG, offsetof(struct list_arguments, names), NULL},
    TARGET_ARGUMENTS(struct list_arguments, target),
    {0},
};

struct row {
    const struct remote_domain *domain;
    s32 state;
    struct remote_domain_get_info_ret info;
};

static void print_row(const struct row *r)
{
    char id[16] = "-";
    if (r->domain->id >= 0)
        snprintf(id, sizeof(id), "%d", r->domain->id);
    printf("%-5s %-24s %-14s %4u %7lu MiB\n", id, r->domain->name, state_name(r->state), r->info.nrVirtCpu,
           r->info.memory >> 10);
}

static json_t *json_of(const struct row *r)
{
    return json_pack("{s:s,s:o,s:s,s:i,s:I}", "name", r->domain->name, "id",
                     r->domain->id >= 0 ? json_integer(r->domain->id) : json_null(), "state",
                     state_name(r->state), "cpus", (int)r->info.nrVirtCpu, "memory",
                     (json_int_t)r->info.memory << 10);
}

/* One that goes away meanwhile is left out. */
static int read_row(struct connection *c, const struct remote_domain *d, struct row *r)
{
    struct error ignored;
    s32 reason;
    *r = (struct row){.domain = d};
    int good = connection_state(c, d, &r->state, &reason, &ignored);
    return good < 0 ? good : CALL_RET(c, DOMAIN_GET_INFO, domain_get_info, &r->info, &ignored, *d);
}

static int run(int argc, char **argv, struct error *e)
{
    enum { ACTIVE = 1, INACTIVE = 2 };
    struct list_arguments a = {0};
    struct connection c;
    struct remote_connect_list_all_domains_ret all = {0};
    int r = arguments_parse(argc, argv, &verb_list, &a, NULL, e);
    if (r < 0 || (r = connection_open(&c, &a.target, e)) < 0)
        return r;
    r = CALL_RET(&c, CONNECT_LIST_ALL_DOMAINS, connect_list_all_domains, &all, e, 1,
                 a.all ? ACTIVE | INACTIVE : ACTIVE);
    json_t *list = json_array();
    if (r == 0 && !a.target.json && !a.names)
        printf("%-5s %-24s %-14s %4s %11s\n", "ID", "NAME", "STATE", "CPUS", "MEMORY");
    for (u32 i = 0; i < all.domains_count && r == 0; i++) {
        struct row row;
        if (a.names)
            puts(all.domains[i].name);
        else if (read_row(&c, &all.domains[i], &row) < 0)
            continue;
        else if (a.target.json)
            json_array_append_new(list, json_of(&row));
        else
            print_row(&row);
    }
    if (r == 0 && a.target.json) {
        json_dumpf(list, stdout, JSON_INDENT(2));
        putchar('\n');
    }
    json_decref(list);
    connection_close(&c);
    return r;
}

const struct verb verb_list = {
    .name = "list",
    .words = "",
    .table = table,
    .help = "      the machines that run; --all: those that do not, too\n",
    .run = run,
};
