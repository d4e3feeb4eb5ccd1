/* properties.c - lists of NAME=VALUE: read, written, changed */
/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/config/properties.h"

/* More than any device has; a client's JSON may not make us hold more. */
enum { PROPERTIES_MAX = 1024, DEPTH_MAX = 16 };

int properties_add(struct properties *p, const char *name, const char *value)
{
    struct property *at = realloc(p->at, (p->count + 1) * sizeof(*at));
    if (!at)
        return -ENOMEM;
    p->at = at;
    at[p->count] = (struct property){strdup(name), strdup(value)};
    if (!at[p->count].name || !at[p->count].value) {
        free(at[p->count].name);
        free(at[p->count].value);
        return -ENOMEM;
    }
    p->count++;
    return 0;
}

void properties_free(struct properties *p)
{
    for (unsigned i = 0; i < p->count; i++) {
        free(p->at[i].name);
        free(p->at[i].value);
    }
    free(p->at);
    *p = (struct properties){0};
}

int properties_copy(struct properties *p, const struct properties *from)
{
    int r = 0;
    *p = (struct properties){0};
    for (unsigned i = 0; i < from->count && r == 0; i++)
        r = properties_add(p, from->at[i].name, from->at[i].value);
    if (r < 0)
        properties_free(p);
    return r;
}

void properties_remove(struct properties *p, const char *name)
{
    unsigned kept = 0;
    for (unsigned i = 0; i < p->count; i++) {
        if (strcmp(p->at[i].name, name)) {
            p->at[kept++] = p->at[i];
            continue;
        }
        free(p->at[i].name);
        free(p->at[i].value);
    }
    p->count = kept;
}

const char *properties_get(const struct properties *p, const char *name)
{
    for (unsigned i = p->count; i-- > 0;)
        if (!strcmp(p->at[i].name, name))
            return p->at[i].value;
    return NULL;
}

/* The text up to a comma that is not doubled, with doubled ones made single; *text moves behind it. NULL: no
 * memory.
 */
static char *take_word(const char **text)
{
    char *word = malloc(strlen(*text) + 1), *out = word;
    const char *in = *text;
    if (!word)
        return NULL;
    for (; *in && (*in != ',' || in[1] == ','); in++) {
        in += *in == ',';
        *out++ = *in;
    }
    *out = 0;
    *text = *in ? in + 1 : in;
    return word;
}

/* A doubled comma belongs into a value: no name has one, and written out it would end the name. */
static bool has_bad_name(const struct properties *p, const char *word, const char *implied)
{
    const char *equals = strchr(word, '=');
    if (!*word || *word == '=')
        return true;
    if (!equals && implied && !p->count)
        return false;
    return memchr(word, ',', equals ? (size_t)(equals - word) : strlen(word));
}

static int add_word(struct properties *p, char *word, const char *implied)
{
    char *equals = strchr(word, '=');
    if (!equals)
        return implied && !p->count ? properties_add(p, implied, word) : properties_add(p, word, "on");
    *equals = 0;
    return properties_add(p, word, equals + 1);
}

static int parse_words(struct properties *p, const char *text, const char *implied, const char *what,
                       struct error *e)
{
    const char *all = text;
    int r = !*text && implied ? properties_add(p, implied, text) : 0;
    while (*text && r == 0) {
        char *word = take_word(&text);
        if (word && has_bad_name(p, word, implied))
            r = error_set(e, EINVAL,
                          "%s '%s': a name is missing or has a comma: use NAME=VALUE[,NAME=VALUE]...", what,
                          all);
        else if (p->count == PROPERTIES_MAX)
            r = error_set(e, E2BIG, "%s: more than %d properties", what, PROPERTIES_MAX);
        else
            r = word ? add_word(p, word, implied) : -ENOMEM;
        free(word);
    }
    return r == -ENOMEM ? error_set(e, ENOMEM, "%s: no memory", what) : r;
}

static int add_value(struct properties *p, const char *name, const json_t *v)
{
    char number[32];
    switch (json_typeof(v)) {
    case JSON_STRING: return properties_add(p, name, json_string_value(v));
    case JSON_INTEGER:
        snprintf(number, sizeof(number), "%" JSON_INTEGER_FORMAT, json_integer_value(v));
        return properties_add(p, name, number);
    case JSON_REAL:
        snprintf(number, sizeof(number), "%.17g", json_real_value(v));
        return properties_add(p, name, number);
    case JSON_TRUE: return properties_add(p, name, "on");
    case JSON_FALSE: return properties_add(p, name, "off");
    default: return properties_add(p, name, ""); /* null: no such thing, as an empty backing file */
    }
}

static int flatten(struct properties *p, const char *prefix, const json_t *v, unsigned depth);

static int flatten_member(struct properties *p, const char *prefix, const char *key, const json_t *v,
                          unsigned depth)
{
    char name[256];
    bool dot = *prefix;
    if (!*key || strpbrk(key, ",=") ||
        snprintf(name, sizeof(name), "%s%s%s", prefix, dot ? "." : "", key) >= (int)sizeof(name))
        return -EINVAL;
    return flatten(p, name, v, depth + 1);
}

static int flatten(struct properties *p, const char *prefix, const json_t *v, unsigned depth)
{
    const char *key;
    json_t *member;
    size_t i;
    char index[24];
    int r = depth > DEPTH_MAX || p->count >= PROPERTIES_MAX ? -E2BIG : 0;
    if (r == 0 && json_is_object(v)) {
        json_object_foreach((json_t *)v, key,
                            member) if ((r = flatten_member(p, prefix, key, member, depth)) < 0) break;
    } else if (r == 0 && json_is_array(v)) {
        json_array_foreach(v, i, member)
        {
            snprintf(index, sizeof(index), "%zu", i);
            if ((r = flatten_member(p, prefix, index, member, depth)) < 0)
                break;
        }
    } else if (r == 0) {
        r = add_value(p, prefix, v);
    }
    return r;
}

int properties_from_json(struct properties *p, const json_t *object, const char *what, struct error *e)
{
    *p = (struct properties){0};
    int r = json_is_object(object) ? flatten(p, "", object, 0) : -EINVAL;
    if (r == 0)
        return 0;
    properties_free(p);
    return error_set(
        e, -r, "%s: %s", what,
        r == -ENOMEM ? "no memory"
        : r == -E2BIG
            ? "too many properties, or nested too deeply"
            : "an object is wanted, whose names are short and have neither a comma nor an equals sign");
}

static int parse_json(struct properties *p, const char *text, const char *what, struct error *e)
{
    json_error_t why;
    json_t *v = json_loads(text, JSON_REJECT_DUPLICATES, &why);
    if (!v)
        return error_set(e, EINVAL, "%s: not JSON, at character %d: %s", what, why.position, why.text);
    int r = properties_from_json(p, v, what, e);
    json_decref(v);
    return r;
}

int properties_parse(struct properties *p, const char *text, const char *implied, const char *what,
                     struct error *e)
{
    *p = (struct properties){0};
    int r = *text == '{' ? parse_json(p, text, what, e) : parse_words(p, text, implied, what, e);
    if (r == 0 && implied && !p->count)
        r = error_set(e, EINVAL, "%s: '%s' is missing", what, implied);
    if (r < 0)
        properties_free(p);
    return r;
}

/* With commas doubled. */
static void put_escaped(FILE *f, const char *text)
{
    for (; *text; text++)
        fputs(*text == ',' ? ",," : (const char[]){*text, 0}, f);
}

char *properties_text(const struct properties *p, const char *implied)
{
    char *text = NULL;
    size_t size;
    FILE *f = open_memstream(&text, &size);
    if (!f)
        return NULL;
    for (unsigned i = 0; i < p->count; i++) {
        if (i)
            fputc(',', f);
        if (i || !implied || strcmp(p->at[i].name, implied) || !*p->at[i].value ||
            strchr(p->at[i].value, '='))
            fprintf(f, "%s=", p->at[i].name);
        put_escaped(f, p->at[i].value);
    }
    if (fclose(f) == 0)
        return text;
    free(text);
    return NULL;
}
