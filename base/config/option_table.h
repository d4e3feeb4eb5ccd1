/* option_table.h - what a row of the option table says */
/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef CONFIG_OPTION_TABLE_H
#define CONFIG_OPTION_TABLE_H

#include "base/config/vm_config.h"

enum option_kind {
    OPTION_FLAG,   /* bool: given or not */
    OPTION_TEXT,   /* const char * */
    OPTION_TEXTS,  /* struct texts: one more each time */
    OPTION_TABLE,  /* a list of properties, each of which has its own field by `rows` */
    OPTION_OBJECT, /* struct objects: one more each time */
    OPTION_SHORT,  /* a short way of saying something else: expand does that */
    OPTION_NOTHING /* asks for what is so anyway */
};

/* expand: 0, 1 (printed something: done) or -errno with e. */
struct option {
    const char *name, *argument, *help; /* argument NULL: takes none; help NULL: another name of the row
                                         * before; empty: QEMU's, which lodge-vm reads and refuses */
    enum option_kind kind;
    size_t offset;       /* in struct vm_config */
    const char *implied; /* the property whose name may be left out when it is the first */
    const struct property_row *rows;
    int (*expand)(struct vm_config *c, const char *arg, struct error *e);
};

extern const struct option options[];
extern const unsigned option_count;

/* QEMU's other options, each between blanks: named, so that a user of QEMU reads that the option is known and
 * not here. */
extern const char options_not_supported[];

/* option_help.c: what -NAME help prints; of an option with a table. */
void option_print_values(const struct option *o);

/* option_short.c */
int expand_s(struct vm_config *c, const char *arg, struct error *e);
int expand_enable_kvm(struct vm_config *c, const char *arg, struct error *e);
int expand_drive(struct vm_config *c, const char *arg, struct error *e);
int expand_disk(struct vm_config *c, const char *arg, struct error *e);
int expand_cdrom(struct vm_config *c, const char *arg, struct error *e);
int expand_nic(struct vm_config *c, const char *arg, struct error *e);
int expand_global(struct vm_config *c, const char *arg, struct error *e);
int expand_version(struct vm_config *c, const char *arg, struct error *e);
int expand_help(struct vm_config *c, const char *arg, struct error *e);
int expand_help_man(struct vm_config *c, const char *arg, struct error *e);
int expand_help_completion(struct vm_config *c, const char *arg, struct error *e);

#endif
