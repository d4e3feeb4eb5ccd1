/* top.c - lodge top: what the machines that run are using */
/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <errno.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "manager/rpc/connection.h"
#include "manager/cli/verb.h"

struct top_arguments {
    struct target target;
    u64 count, delay;
};

static const struct argument table[] = {
    {"count", ARGUMENT_NUMBER, offsetof(struct top_arguments, count), "N"},
    {"delay", ARGUMENT_NUMBER, offsetof(struct top_arguments, delay), "SECONDS"},
    TARGET_ARGUMENTS(struct top_arguments, target),
    {0},
};

/* One machine, seen twice. */
struct use {
    u8 uuid[16];
    char name[64];
    u64 cpu_ns, rd_bytes, wr_bytes, rss_kib, at_ns;
    double cpu, rd, wr; /* of one processor; bytes a second */
};

struct uses {
    struct use *at;
    u32 count;
};

static u64 now_ns(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (u64)t.tv_sec * 1000000000 + (u64)t.tv_nsec;
}

/* "block.N.rd.bytes": of all disks together. */
static bool is_disk_bytes(const char *field, const char *direction)
{
    size_t n = strlen(field);
    return !strncmp(field, "block.", 6) && n > 9 && !strcmp(field + n - 9, direction);
}

static void read_use(struct use *u, const struct remote_domain_stats_record *r)
{
    memcpy(u->uuid, r->dom.uuid, sizeof(u->uuid));
    snprintf(u->name, sizeof(u->name), "%s", r->dom.name);
    u->at_ns = now_ns();
    for (u32 i = 0; i < r->params_count; i++) {
        const struct remote_typed_param *p = &r->params[i];
        if (p->type != PARAM_ULLONG)
            continue;
        if (!strcmp(p->field, "cpu.time"))
            u->cpu_ns = p->ul;
        else if (!strcmp(p->field, "balloon.rss"))
            u->rss_kib = p->ul;
        else if (is_disk_bytes(p->field, ".rd.bytes"))
            u->rd_bytes += p->ul;
        else if (is_disk_bytes(p->field, ".wr.bytes"))
            u->wr_bytes += p->ul;
    }
}

static void compare(struct use *u, const struct uses *before)
{
    for (u32 i = 0; i < before->count; i++) {
        const struct use *b = &before->at[i];
        double seconds = (double)(u->at_ns - b->at_ns) / 1e9;
        if (memcmp(b->uuid, u->uuid, sizeof(u->uuid)) || u->cpu_ns < b->cpu_ns || seconds <= 0)
            continue;
        u->cpu = (double)(u->cpu_ns - b->cpu_ns) / 1e7 / seconds;
        u->rd = (double)(u->rd_bytes - min(b->rd_bytes, u->rd_bytes)) / seconds;
        u->wr = (double)(u->wr_bytes - min(b->wr_bytes, u->wr_bytes)) / seconds;
    }
}

static int sample(struct connection *c, struct uses *u, struct error *e)
{
    enum { CPU = 2, BALLOON = 4, BLOCK = 32, ACTIVE = 1 };
    struct remote_connect_get_all_domain_stats_ret all = {0};
    int r = CALL_RET(c, CONNECT_GET_ALL_DOMAIN_STATS, connect_get_all_domain_stats, &all, e, NULL, 0,
                     CPU | BALLOON | BLOCK, ACTIVE);
    if (r < 0)
        return r;
    *u = (struct uses){.at = calloc(all.retStats_count + 1, sizeof(*u->at)), .count = all.retStats_count};
    if (!u->at)
        return error_set(e, ENOMEM, "no memory");
    for (u32 i = 0; i < u->count; i++)
        read_use(&u->at[i], &all.retStats[i]);
    arena_free(&c->arena);
    return 0;
}

static int by_cpu(const void *a, const void *b)
{
    double x = ((const struct use *)a)->cpu, y = ((const struct use *)b)->cpu;
    return (x < y) - (x > y);
}

static void print_json(const struct uses *u)
{
    json_t *list = json_array();
    for (u32 i = 0; i < u->count; i++)
        json_array_append_new(list, json_pack("{s:s,s:f,s:I,s:f,s:f}", "name", u->at[i].name, "cpu_percent",
                                              u->at[i].cpu, "resident", (json_int_t)u->at[i].rss_kib << 10,
                                              "read_bytes_per_second", u->at[i].rd,
                                              "written_bytes_per_second", u->at[i].wr));
    json_dumpf(list, stdout, 0);
    putchar('\n');
    fflush(stdout);
    json_decref(list);
}

static void print_table(const struct uses *u)
{
    if (isatty(STDOUT_FILENO))
        fputs("\033[H\033[J", stdout);
    printf("%-24s %7s %12s %14s %14s\n", "NAME", "CPU %", "MEMORY MiB", "READ KiB/s", "WRITTEN KiB/s");
    for (u32 i = 0; i < u->count; i++)
        printf("%-24s %7.1f %12lu %14.0f %14.0f\n", u->at[i].name, u->at[i].cpu, u->at[i].rss_kib >> 10,
               u->at[i].rd / 1024, u->at[i].wr / 1024);
    fflush(stdout);
}

static int run(int argc, char **argv, struct error *e)
{
    struct top_arguments a = {.delay = 2, .count = isatty(STDOUT_FILENO) ? UINT64_MAX : 1};
    struct connection c;
    struct uses before, now;
    int r = arguments_parse(argc, argv, &verb_top, &a, NULL, e);
    if (r == 0 && (!a.delay || a.delay > 3600))
        return error_set(e, EINVAL, "top: --delay wants 1 to 3600 seconds");
    if (r < 0 || (r = connection_open(&c, &a.target, e)) < 0)
        return r;
    if ((r = sample(&c, &before, e)) < 0) {
        connection_close(&c);
        return r;
    }
    for (u64 i = 0; i < a.count && r == 0; i++) {
        sleep((unsigned)a.delay);
        if ((r = sample(&c, &now, e)) < 0)
            break;
        for (u32 k = 0; k < now.count; k++)
            compare(&now.at[k], &before);
        free(before.at);
        before = now;
        qsort(now.at, now.count, sizeof(*now.at), by_cpu);
        (a.target.json ? print_json : print_table)(&now);
    }
    free(before.at);
    connection_close(&c);
    return r;
}

const struct verb verb_top = {
    .name = "top",
    .words = "",
    .table = table,
    .help = "      what the machines use, every two seconds; once, if not on a terminal\n",
    .run = run,
};
