/* property_table.c - the tables that give lists of NAME=VALUE their types, ranges and defaults */
/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <ctype.h>
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/config/properties.h"

static u64 suffix_unit(char suffix)
{
    static const char suffixes[] = "bkmgtpe";
    const char *at = suffix ? strchr(suffixes, tolower((unsigned char)suffix)) : NULL;
    return at ? 1ull << (10 * (at - suffixes)) : 0;
}

/* The fraction's digits at *text, in bytes of `unit` (rounded down). */
static u64 parse_fraction(const char **text, u64 unit)
{
    u64 numerator = 0, denominator = 1;
    for (; isdigit((unsigned char)**text); ++*text)
        if (denominator < 1000000) {
            numerator = numerator * 10 + (u64)(**text - '0');
            denominator *= 10;
        }
    return (u64)((unsigned __int128)numerator * unit / denominator);
}

int parse_size(const char *text, u64 unit, u64 *bytes)
{
    u64 whole = 0;
    bool overflow = false;
    const char *p = text;
    for (; isdigit((unsigned char)*p); p++)
        overflow |= __builtin_mul_overflow(whole, 10, &whole) ||
                    __builtin_add_overflow(whole, (u64)(*p - '0'), &whole);
    if (p == text)
        return -EINVAL;
    const char *fraction = *p == '.' ? p + 1 : NULL;
    if (fraction)
        p += 1 + strspn(fraction, "0123456789");
    if (*p) {
        unit = suffix_unit(*p);
        if (!unit || p[1])
            return -EINVAL;
    }
    overflow |= __builtin_mul_overflow(whole, unit, bytes);
    overflow |= fraction && __builtin_add_overflow(*bytes, parse_fraction(&fraction, unit), bytes);
    return overflow ? -ERANGE : 0;
}

static int parse_number(const char *text, u64 *value)
{
    char *end;
    errno = 0;
    *value = strtoull(text, &end, 0);
    if (!isdigit((unsigned char)*text) || *end)
        return -EINVAL;
    return errno ? -ERANGE : 0;
}

static int parse_bool(const char *text, bool *value)
{
    static const char *const words[] = {"off", "on", "no", "yes", "false", "true"};
    for (unsigned i = 0; i < ARRAY_SIZE(words); i++)
        if (!strcmp(text, words[i])) {
            *value = i & 1;
            return 0;
        }
    return -EINVAL;
}

static int parse_choice(const char *text, const char *const *choices, unsigned *value)
{
    for (*value = 0; choices[*value]; ++*value)
        if (!strcmp(choices[*value], text))
            return 0;
    return -EINVAL;
}

/* The limit that value breaks, if any: 0 or -ERANGE. */
static int check_range(const struct property_row *row, u64 value)
{
    u64 max = row->max ? row->max : row->type == PROPERTY_U32 ? UINT32_MAX : UINT64_MAX;
    return value < row->min || value > max ? -ERANGE : 0;
}

static int read_value(const struct property_row *row, const char *text, void *field)
{
    u64 value = 0;
    int r;
    switch (row->type) {
    case PROPERTY_TEXT: *(const char **)field = text; return 0;
    case PROPERTY_BOOL: return parse_bool(text, field);
    case PROPERTY_CHOICE: return parse_choice(text, row->choices, field);
    case PROPERTY_MANY: return 0;
    case PROPERTY_SIZE: r = parse_size(text, row->unit ? row->unit : 1, &value); break;
    default: r = parse_number(text, &value); break;
    }
    if (r == 0)
        r = check_range(row, value);
    if (r == 0 && row->type == PROPERTY_U32)
        *(u32 *)field = (u32)value;
    else if (r == 0)
        *(u64 *)field = value;
    return r;
}

/* All names of a table or list of choices, for a message. */
static void list_names(char *text, size_t size, const struct property_row *rows, const char *const *choices)
{
    size_t len = 0;
    *text = 0;
    for (unsigned i = 0; len < size && (rows ? rows[i].name : choices[i]); i++)
        len +=
            (size_t)snprintf(text + len, size - len, "%s%s", i ? ", " : "", rows ? rows[i].name : choices[i]);
}

static void print_limit(char *text, size_t size, const struct property_row *row, u64 value)
{
    if (row->type != PROPERTY_SIZE)
        snprintf(text, size, "%" PRIu64, value);
    else if (value % (1 << 20) || !value)
        snprintf(text, size, "%" PRIu64 " bytes", value);
    else if (value % (1ull << 40))
        snprintf(text, size, "%" PRIu64 " MiB", value >> 20);
    else
        snprintf(text, size, "%" PRIu64 " TiB", value >> 40);
}

static int wrong_value(const struct property_row *row, const char *text, int r, const char *what,
                       struct error *e)
{
    char names[400], low[32], high[32];
    const char *kind =
        row->type == PROPERTY_SIZE ? "a size: use a number, or one with K, M, G or T" : "a number";
    if (r == -ERANGE) {
        print_limit(low, sizeof(low), row, row->min);
        print_limit(high, sizeof(high), row,
                    row->max                    ? row->max
                    : row->type == PROPERTY_U32 ? UINT32_MAX
                                                : UINT64_MAX);
        return error_set(e, ERANGE, "%s: %s '%s' is out of range: use %s to %s", what, row->name, text, low,
                         high);
    }
    if (row->type == PROPERTY_BOOL)
        return error_set(e, EINVAL, "%s: %s '%s' must be on or off", what, row->name, text);
    if (row->type != PROPERTY_CHOICE)
        return error_set(e, EINVAL, "%s: %s '%s' is not %s", what, row->name, text, kind);
    list_names(names, sizeof(names), NULL, row->choices);
    return error_set(e, EINVAL, "%s: %s '%s' is not supported: use one of: %s", what, row->name, text, names);
}

/* text: the row's name, or for PROPERTY_MANY one with .SOMETHING behind it. */
static bool names_row(const char *text, const struct property_row *row)
{
    size_t len = strlen(row->name);
    return !strncmp(text, row->name, len) && (!text[len] || (text[len] == '.' && row->type == PROPERTY_MANY));
}

static const struct property_row *find_row(const struct property_row *rows, const char *name)
{
    for (; rows->name; rows++)
        if (names_row(name, rows))
            return rows;
    return NULL;
}

static int read_property(const struct property *p, const struct property_row *rows, void *into,
                         const char *what, struct error *e)
{
    const struct property_row *row = find_row(rows, p->name);
    const char *value = p->value;
    char names[600];
    if (!row && !strncmp(p->name, "no", 2) && !strcmp(value, "on") && (row = find_row(rows, p->name + 2)) &&
        row->type == PROPERTY_BOOL)
        value = "off"; /* QEMU's short form: nowait */
    else if (!row || !names_row(p->name, row)) {
        list_names(names, sizeof(names), rows, NULL);
        return error_set(e, EINVAL, "%s: there is no property '%s': %s%s", what, p->name,
                         *names ? "it has " : "it has none", names);
    }
    int r = read_value(row, value, (char *)into + row->offset);
    return r < 0 ? wrong_value(row, value, r, what, e) : 0;
}

void properties_default(const struct property_row *rows, void *into)
{
    for (; rows->name; rows++)
        if (rows->fallback)
            ASSERT(read_value(rows, rows->fallback, (char *)into + rows->offset) == 0);
}

int properties_apply(const struct properties *p, const struct property_row *rows, void *into,
                     const char *what, struct error *e)
{
    int r = 0;
    for (unsigned i = 0; i < p->count && r == 0; i++)
        r = read_property(&p->at[i], rows, into, what, e);
    return r;
}

int properties_read(const struct properties *p, const struct property_row *rows, void *into, const char *what,
                    struct error *e)
{
    properties_default(rows, into);
    return properties_apply(p, rows, into, what, e);
}

/* A field as text; NULL: a text that is not there. */
static const char *value_text(const struct property_row *row, const void *field, char *number, size_t size)
{
    switch (row->type) {
    case PROPERTY_TEXT: return *(const char *const *)field;
    case PROPERTY_BOOL: return *(const bool *)field ? "on" : "off";
    case PROPERTY_CHOICE: return row->choices[*(const unsigned *)field];
    case PROPERTY_U32: snprintf(number, size, "%u", *(const u32 *)field); return number;
    case PROPERTY_SIZE:
        snprintf(number, size, "%" PRIu64 "%s", *(const u64 *)field, row->unit > 1 ? "B" : "");
        return number;
    case PROPERTY_U64: snprintf(number, size, "%" PRIu64, *(const u64 *)field); return number;
    default: return NULL;
    }
}

/* Whether field has the row's fallback. */
static bool is_fallback(const struct property_row *row, const void *field)
{
    union {
        const char *text;
        bool on;
        u32 u32;
        u64 u64;
        unsigned choice;
    } v = {0};
    char a[32], b[32];
    if (row->fallback)
        read_value(row, row->fallback, &v);
    const char *x = value_text(row, field, a, sizeof(a)), *y = value_text(row, &v, b, sizeof(b));
    return x && y ? !strcmp(x, y) : x == y;
}

int properties_write(struct properties *p, const struct property_row *rows, const void *from)
{
    char number[32];
    int r = 0;
    for (; rows->name && r == 0; rows++) {
        const void *field = (const char *)from + rows->offset;
        const char *text =
            rows->type == PROPERTY_MANY ? NULL : value_text(rows, field, number, sizeof(number));
        if (text && !is_fallback(rows, field))
            r = properties_add(p, rows->name, text);
    }
    return r;
}

void properties_help(const struct property_row *rows)
{
    static const char *const types[] = {
        [PROPERTY_TEXT] = "text",    [PROPERTY_BOOL] = "on|off", [PROPERTY_U32] = "number",
        [PROPERTY_U64] = "number",   [PROPERTY_SIZE] = "size",   [PROPERTY_CHOICE] = "choice",
        [PROPERTY_MANY] = "several",
    };
    for (; rows->name; rows++) {
        char type[200];
        snprintf(type, sizeof(type), "<%s>", types[rows->type]);
        if (rows->type == PROPERTY_CHOICE)
            list_names(type, sizeof(type), NULL, rows->choices);
        printf("  %s=%s%s%s%s%s%s\n", rows->name, type, rows->help ? " - " : "", rows->help ? rows->help : "",
               rows->fallback ? " (default: " : "", rows->fallback ? rows->fallback : "",
               rows->fallback ? ")" : "");
    }
}
