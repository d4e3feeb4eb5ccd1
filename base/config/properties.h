/* properties.h - lists of NAME=VALUE, as -device and the like have them, and the tables that give them a
 * meaning */
/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef CONFIG_PROPERTIES_H
#define CONFIG_PROPERTIES_H

#include <jansson.h>

#include "base/base.h"
#include "base/error.h"

struct property {
    char *name, *value;
};

/* In the order in which they were given. A name may be there several times: as a rule the last counts. */
struct properties {
    struct property *at;
    unsigned count;
};

/* Reads QEMU's spelling: NAME=VALUE[,NAME=VALUE]..., a comma in a value being doubled. implied: the name that
 * a first word without '=' is the value of, or NULL. NAME alone means NAME=on. Text that begins with '{' is
 * JSON. 0, or -errno with e; what: the option, for e. p is overwritten, and empty after an error. */
int properties_parse(struct properties *p, const char *text, const char *implied, const char *what,
                     struct error *e);

/* The same of a JSON object; objects and arrays within it become NAME.NAME and NAME.0. */
int properties_from_json(struct properties *p, const json_t *object, const char *what, struct error *e);

/* Back to QEMU's spelling; the first property stands without its name if that is `implied`. To be freed;
 * NULL: no memory. */
char *properties_text(const struct properties *p, const char *implied);

/* -ENOMEM or 0. */
int properties_add(struct properties *p, const char *name, const char *value);
int properties_copy(struct properties *p, const struct properties *from);
void properties_remove(struct properties *p, const char *name);
void properties_free(struct properties *p);

/* The last value, or NULL. */
const char *properties_get(const struct properties *p, const char *name);

/* ---- tables ---- */

enum property_type {
    PROPERTY_TEXT,   /* const char *: the property list's own string */
    PROPERTY_BOOL,   /* bool: on, off (and yes, no, true, false) */
    PROPERTY_U32,    /* u32 in [min, max]; 0x for hexadecimal */
    PROPERTY_U64,    /* u64, the same */
    PROPERTY_SIZE,   /* u64 in [min, max], bytes, with B K M G T P E behind it; a bare number counts `unit`
                        bytes */
    PROPERTY_CHOICE, /* unsigned: index into `choices`, which ends with NULL */
    PROPERTY_MANY, /* any number of times, or with .NAME behind the name: taken, and read by whoever owns the
                      list */
};

/* A row is a property: where its value goes, in a struct of whoever reads the list. fallback NULL: the field
 * is left as it is where the property is not given. max 0: no limit. A table ends with a row without a name.
 */
struct property_row {
    const char *name;
    enum property_type type;
    size_t offset;
    const char *fallback, *help;
    u64 min, max, unit;
    const char *const *choices;
};

/* Fills `into` from p by the table. 0, or -EINVAL with e, which names what is unknown or wrong; what: how e
 * calls the thing, "-m" or "virtio-blk-pci". */
int properties_read(const struct properties *p, const struct property_row *rows, void *into, const char *what,
                    struct error *e);

/* Its two halves: the fallbacks; what p says. */
void properties_default(const struct property_row *rows, void *into);
int properties_apply(const struct properties *p, const struct property_row *rows, void *into,
                     const char *what, struct error *e);

/* The other way: what differs from the fallbacks. -ENOMEM or 0. */
int properties_write(struct properties *p, const struct property_row *rows, const void *from);

/* For `-device NAME,help`: one line for each row. */
void properties_help(const struct property_row *rows);

/* QEMU's sizes: a number, with a fraction if one likes, and one of B K M G T P E; a bare number counts `unit`
 * bytes. 0, -EINVAL (malformed) or -ERANGE (does not fit 64 bits). */
int parse_size(const char *text, u64 unit, u64 *bytes);

#endif
