/* options.c - a VM's configuration as a command line: read and written by the table */
/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/config/option_table.h"
#include "base/config/options.h"

/* ---- reading ---- */

static void *field(struct vm_config *c, const struct option *o)
{
    return (char *)c + o->offset;
}

/* A list of properties that lives as long as c. NULL with e: no memory, or text is malformed. */
static struct properties *parse_object(struct objects *list, const struct option *o, const char *arg,
                                       struct error *e)
{
    char what[40];
    snprintf(what, sizeof(what), "-%s", o->name);
    struct properties *p = objects_add(list);
    if (!p)
        error_set(e, ENOMEM, "%s: no memory", what);
    return p && properties_parse(p, arg, o->implied, what, e) == 0 ? p : NULL;
}

static int apply_table(struct vm_config *c, const struct option *o, const char *arg, struct error *e)
{
    char what[40];
    if (!strcmp(arg, "help")) {
        option_print_values(o);
        return 1;
    }
    snprintf(what, sizeof(what), "-%s", o->name);
    const struct properties *p = parse_object(&c->kept, o, arg, e);
    return p ? properties_apply(p, o->rows, c, what, e) : -EINVAL;
}

static int apply_object(struct vm_config *c, const struct option *o, const char *arg, struct error *e)
{
    struct objects *list = field(c, o);
    const struct properties *p = parse_object(list, o, arg, e);
    const char *id = p ? properties_get(p, "id") : NULL;
    if (id && objects_find(list, id) != p)
        return error_set(e, EEXIST, "-%s: id '%s' is taken: use another", o->name, id);
    return p ? 0 : -EINVAL;
}

static int apply(struct vm_config *c, const struct option *o, const char *arg, struct error *e)
{
    switch (o->kind) {
    case OPTION_FLAG: *(bool *)field(c, o) = true; return 0;
    case OPTION_TEXT: *(const char **)field(c, o) = arg; return 0;
    case OPTION_TEXTS: return texts_add(field(c, o), arg) < 0 ? error_set(e, ENOMEM, "no memory") : 0;
    case OPTION_TABLE: return apply_table(c, o, arg, e);
    case OPTION_OBJECT: return apply_object(c, o, arg, e);
    case OPTION_SHORT: return o->expand(c, arg, e);
    default: return 0;
    }
}

static const struct option *find_option(const char *name)
{
    for (unsigned i = 0; i < option_count; i++)
        if (!strcmp(options[i].name, name))
            return &options[i];
    return NULL;
}

static int refuse(const char *text, struct error *e)
{
    const char *name = text + strspn(text, "-");
    char word[32];
    if (*name && snprintf(word, sizeof(word), " %s ", name) < (int)sizeof(word) &&
        strstr(options_not_supported, word))
        return error_set(e, EINVAL,
                         "option '%s' of QEMU is not supported: leave it out (lodge-vm -help lists what is)",
                         text);
    return error_set(e, EINVAL, "unknown option '%s': lodge-vm -help lists the options", text);
}

static void apply_defaults(struct vm_config *c)
{
    *c = (struct vm_config){.cmdline = ""};
    for (unsigned i = 0; i < option_count; i++)
        if (options[i].rows)
            properties_default(options[i].rows, c);
}

/* QEMU's rules: a number that is not given follows from the others, cores first. */
static int complete_topology(struct vm_topology *t, struct error *e)
{
    bool no_cores = !t->cores, no_sockets = !t->sockets;
    t->dies = t->dies ? t->dies : 1;
    t->threads = t->threads ? t->threads : 1;
    t->cores = t->cores ? t->cores : 1;
    t->sockets = t->sockets ? t->sockets : 1;
    u64 product = (u64)t->sockets * t->dies, most = t->maxcpus ? t->maxcpus : t->cpus;
    bool overflow = __builtin_mul_overflow(product, (u64)t->cores, &product) ||
                    __builtin_mul_overflow(product, (u64)t->threads, &product) || product > UINT32_MAX;
    if (!overflow && most && no_cores)
        t->cores = max((u32)(most / product), 1u);
    else if (!overflow && most && no_sockets)
        t->sockets = max((u32)(most / product), 1u);
    if (!overflow)
        product = (u64)t->sockets * t->dies * t->cores * t->threads;
    t->maxcpus = (u32)(most ? most : product);
    t->cpus = t->cpus ? t->cpus : t->maxcpus;
    if (overflow || product != t->maxcpus || t->cpus > t->maxcpus)
        return error_set(
            e, EINVAL,
            "-smp: sockets %u * dies %u * cores %u * threads %u must be the %u processors that there are "
            "at most, with %u of them present",
            t->sockets, t->dies, t->cores, t->threads, t->maxcpus, t->cpus);
    return 0;
}

static bool is_uuid(const char *text)
{
    static const char form[] = "xxxxxxxx-xxxx-xxxx-xxxx-xxxxxxxxxxxx";
    for (size_t i = 0; i < sizeof(form); i++)
        if (form[i] == 'x' ? !text[i] || !strchr("0123456789abcdefABCDEF", text[i]) : text[i] != form[i])
            return false;
    return true;
}

static bool are_boot_letters(const char *order)
{
    return !order || strspn(order, "acdnp") == strlen(order);
}

static int complete(struct vm_config *c, struct error *e)
{
    c->memory = ALIGN_UP(c->memory, 4096);
    if (c->name && !*c->name)
        return error_set(e, EINVAL, "-name '': use -name NAME");
    if (c->uuid && !is_uuid(c->uuid))
        return error_set(e, EINVAL, "-uuid '%s' is not 8-4-4-4-12 hexadecimal digits", c->uuid);
    if (!are_boot_letters(c->boot_order) || !are_boot_letters(c->boot_once))
        return error_set(e, EINVAL, "-boot '%s': use letters of: c (disk), d (CD-ROM), n (network)",
                         are_boot_letters(c->boot_order) ? c->boot_once : c->boot_order);
    if (c->dump_path && !c->dump_letters)
        return error_set(e, EINVAL, "-D '%s' without -d: say with -d LETTERS what to print", c->dump_path);
    return complete_topology(&c->smp, e);
}

int options_parse(struct vm_config *c, int argc, char **argv, struct error *e)
{
    int r = 0;
    apply_defaults(c);
    for (int i = 1; i < argc && !r; i++) {
        bool dashed = argv[i][0] == '-';
        const struct option *o = find_option(dashed ? argv[i] + 1 + (argv[i][1] == '-') : "hda");
        if (!o)
            return refuse(argv[i], e);
        if (dashed && o->argument && i + 1 == argc)
            return error_set(e, EINVAL, "option '%s' needs an argument: -%s %s", argv[i], o->name,
                             o->argument);
        i += dashed && o->argument;
        r = apply(c, o, o->argument ? argv[i] : NULL, e);
    }
    return r ? r : complete(c, e);
}

/* ---- writing ---- */

struct words {
    char **at;
    unsigned count;
    bool failed;
};

/* Takes the word. */
static void add_word(struct words *w, char *word)
{
    char **at = word ? realloc(w->at, (w->count + 2) * sizeof(*at)) : NULL;
    if (!at) {
        free(word);
        w->failed = true;
        return;
    }
    w->at = at;
    at[w->count++] = word;
    at[w->count] = NULL;
}

/* Takes the argument; NULL: the option has none. */
static void add_option(struct words *w, const char *name, char *argument)
{
    char dashed[40];
    snprintf(dashed, sizeof(dashed), "-%s", name);
    add_word(w, strdup(dashed));
    if (argument)
        add_word(w, argument);
}

static void write_table(struct words *w, const struct option *o, const struct vm_config *c)
{
    struct properties p = {0};
    w->failed |= properties_write(&p, o->rows, c) < 0;
    if (p.count)
        add_option(w, o->name, properties_text(&p, o->implied));
    properties_free(&p);
}

static void write_objects(struct words *w, const struct option *o, const struct objects *list)
{
    for (unsigned i = 0; i < list->count; i++)
        add_option(w, o->name, properties_text(&list->at[i], o->implied));
}

static void write_drives(struct words *w, const struct option *o, const struct objects *drives)
{
    for (unsigned i = 0; i < drives->count; i++) {
        struct properties p;
        w->failed |= properties_copy(&p, &drives->at[i]) < 0 || properties_add(&p, "if", "none") < 0;
        add_option(w, o->name, properties_text(&p, NULL));
        properties_free(&p);
    }
}

static void write_option(struct words *w, const struct option *o, const struct vm_config *c)
{
    const void *from = (const char *)c + o->offset;
    const char *text;
    const struct texts *texts = from;
    if (!o->help || (o->kind == OPTION_SHORT && o->expand != expand_drive))
        return;
    switch (o->kind) {
    case OPTION_FLAG:
        if (*(const bool *)from)
            add_option(w, o->name, NULL);
        break;
    case OPTION_TEXT:
        text = *(const char *const *)from;
        if (text && *text)
            add_option(w, o->name, strdup(text));
        break;
    case OPTION_TEXTS:
        for (unsigned i = 0; i < texts->count; i++)
            add_option(w, o->name, strdup(texts->at[i]));
        break;
    case OPTION_TABLE: write_table(w, o, c); break;
    case OPTION_OBJECT: write_objects(w, o, from); break;
    case OPTION_SHORT: write_drives(w, o, from); break;
    default: break;
    }
}

char **options_write(const struct vm_config *c)
{
    struct words w = {.at = calloc(1, sizeof(char *))};
    w.failed = !w.at;
    for (unsigned i = 0; i < option_count && !w.failed; i++)
        write_option(&w, &options[i], c);
    if (!w.failed)
        return w.at;
    for (unsigned i = 0; i < w.count; i++)
        free(w.at[i]);
    free(w.at);
    return NULL;
}
