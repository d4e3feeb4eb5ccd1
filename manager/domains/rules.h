/* rules.h - which elements and attributes of a document are understood */
/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef DOMAINS_RULES_H
#define DOMAINS_RULES_H

#include "manager/daemon/xml.h"

struct rule {
    const char *element;    /* "PARENT/NAME" or "NAME" */
    const char *attributes; /* names with spaces in between; "*": any */
    const char *children;   /* the same; "*": anything, kept as it is */
};

/* 0, or -1 with an error that names what is not supported. A table ends with a row without element. */
int rules_check(const struct rule *rules, xmlNode *root, struct vir_error *e);

#endif
