/* params.c - making lists of named values */
/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <stdio.h>
#include <string.h>

#include "manager/rpc/params.h"

static struct remote_typed_param *add(struct params *p, enum param_type type, const char *fmt, va_list ap)
{
    char name[80]; /* libvirt's limit */
    vsnprintf(name, sizeof(name), fmt, ap);
    if (p->count == p->room) {
        p->room = max(p->room * 2, 16u);
        struct remote_typed_param *larger = arena_array(p->arena, struct remote_typed_param, p->room);
        if (p->count)
            memcpy(larger, p->at, p->count * sizeof(*larger));
        p->at = larger;
    }
    struct remote_typed_param *one = &p->at[p->count++];
    *one = (struct remote_typed_param){.field = arena_strdup(p->arena, name), .type = type};
    return one;
}

/* One function for each type: they differ in the member that is set. */
#define DEFINE(NAME, CTYPE, TYPE, MEMBER, VALUE)                            \
    void params_##NAME(struct params *p, CTYPE value, const char *fmt, ...) \
    {                                                                       \
        va_list ap;                                                         \
        va_start(ap, fmt);                                                  \
        add(p, TYPE, fmt, ap)->MEMBER = VALUE;                              \
        va_end(ap);                                                         \
    }

DEFINE(i32, s32, PARAM_INT, i, value)
DEFINE(u32, u32, PARAM_UINT, u, value)
DEFINE(s64, s64, PARAM_LLONG, l, value)
DEFINE(u64, u64, PARAM_ULLONG, ul, value)
DEFINE(bool, bool, PARAM_BOOLEAN, i, value)
DEFINE(string, const char *, PARAM_STRING, s, arena_strdup(p->arena, value ? value : ""))

void params_answer(const struct params *p, s32 asked, struct remote_typed_param **params, u32 *count,
                   s32 *there_are)
{
    if (asked <= 0) {
        *there_are = (s32)p->count;
        return;
    }
    *params = p->at;
    *count = min(p->count, (u32)asked);
}

const struct remote_typed_param *params_find(const struct remote_typed_param *at, u32 count, const char *name,
                                             enum param_type type)
{
    for (u32 i = 0; i < count; i++)
        if (!strcmp(at[i].field, name) && at[i].type == (s32)type)
            return &at[i];
    return NULL;
}
