/* params.h - making lists of named values (typed parameters) */
/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef RPC_PARAMS_H
#define RPC_PARAMS_H

#include "manager/rpc/xdr.h"

/* A list that grows in an arena. */
struct params {
    struct arena *arena;
    struct remote_typed_param *at;
    u32 count, room;
};

/* fmt: of the name; the value comes first. */
void params_i32(struct params *p, s32 value, const char *fmt, ...) __attribute__((format(printf, 3, 4)));
void params_u32(struct params *p, u32 value, const char *fmt, ...) __attribute__((format(printf, 3, 4)));
void params_s64(struct params *p, s64 value, const char *fmt, ...) __attribute__((format(printf, 3, 4)));
void params_u64(struct params *p, u64 value, const char *fmt, ...) __attribute__((format(printf, 3, 4)));
void params_bool(struct params *p, bool value, const char *fmt, ...) __attribute__((format(printf, 3, 4)));
void params_string(struct params *p, const char *value, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));

/* What libvirt's two-step getters answer: how many there are, to who asks for none; else as many as fit. */
void params_answer(const struct params *p, s32 asked, struct remote_typed_param **params, u32 *count,
                   s32 *there_are);

/* The value of that name and type, or NULL. */
const struct remote_typed_param *params_find(const struct remote_typed_param *at, u32 count, const char *name,
                                             enum param_type type);

#endif
