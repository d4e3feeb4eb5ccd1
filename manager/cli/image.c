/* image.c - lodge image: disk images, in qemu-img's spelling */
/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <ctype.h>
#include <errno.h>
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "manager/cli/image.h"

static const struct image_verb verbs[] = {
    {"create", "FILE [SIZE]", "make an image; -o help lists the options", "fbFouqj", 1, 2, image_verb_create},
    {"info", "FILE", "tell what an image is", "fCUj", 1, 1, image_verb_info},
    {"check", "FILE", "look for faults: status 2 where there are any, 3 where only room is lost", "frUqj", 1,
     1, image_verb_check},
    {"convert", "FILE... TARGET", "copy an image into another format", "fOoBFcnSptTUqmWj", 2, 16,
     image_verb_convert},
    {"resize", "FILE [+|-]SIZE", "make an image larger, or with --shrink smaller", "fPsqj", 2, 2,
     image_verb_resize},
    {"snapshot", "[-l] [-c NAME] [-a NAME] [-d NAME] FILE",
     "list the states that a qcow2 image keeps inside, make one, go back to one, remove one", "fUqjlcad", 1,
     1, image_verb_snapshot, "lc:a:d:"},
};

/* How the options are written, by the letters that the verbs know them by. */
static const struct {
    char letter;
    const char *usage;
} usages[] = {
    {'f', "-f FORMAT"},    {'O', "-O FORMAT"},
    {'b', "-b FILE"},      {'B', "-B FILE"},
    {'F', "-F FORMAT"},    {'o', "-o OPTION,..."},
    {'t', "-t CACHE"},     {'T', "-T CACHE"},
    {'r', "-r leaks|all"}, {'S', "-S SIZE"},
    {'m', "-m N"},         {'c', "-c"},
    {'n', "-n"},           {'p', "-p"},
    {'q', "-q"},           {'u', "-u"},
    {'U', "-U"},           {'W', "-W"},
    {'j', "--json"},       {'C', "--backing-chain"},
    {'s', "--shrink"},     {'P', "--preallocation MODE"},
};

static const char *usage_of(char letter)
{
    for (size_t k = 0; k < ARRAY_SIZE(usages); k++)
        if (usages[k].letter == letter)
            return usages[k].usage;
    return "";
}

static void verb_usage(const struct image_verb *v, char *text, size_t size)
{
    size_t n = 0;
    for (const char *l = v->letters; *l && n < size; l++)
        if (!v->own || !strchr(v->own, *l))
            n += (size_t)snprintf(text + n, size - n, "[%s] ", usage_of(*l));
    snprintf(text + n, size - n, "%s", v->words);
}

static bool image_part(unsigned i, const char **name, const char **help, char *usage, size_t size)
{
    if (i >= ARRAY_SIZE(verbs))
        return false;
    *name = verbs[i].name;
    *help = verbs[i].help;
    verb_usage(&verbs[i], usage, size);
    return true;
}

enum { OUTPUT = 256, JSON, CHAIN, SHRINK, PREALLOCATION, SHARED_LONG };
static const struct option longs[] = {
    {"output", required_argument, NULL, OUTPUT},
    {"json", no_argument, NULL, JSON},
    {"backing-chain", no_argument, NULL, CHAIN},
    {"shrink", no_argument, NULL, SHRINK},
    {"preallocation", required_argument, NULL, PREALLOCATION},
    {"force-share", no_argument, NULL, 'U'},
    {"quiet", no_argument, NULL, 'q'},
    {"help", no_argument, NULL, 'h'},
    {0},
};

/* Which letter of image_verb.letters an option is known by. */
static char letter_of(int option)
{
    switch (option) {
    case OUTPUT:
    case JSON: return 'j';
    case CHAIN: return 'C';
    case SHRINK: return 's';
    case PREALLOCATION: return 'P';
    default: return (char)option;
    }
}

static int set_output(struct image_arguments *a, const char *value, struct error *e)
{
    a->json = !strcmp(value, "json");
    return a->json || !strcmp(value, "human")
               ? 0
               : error_set(e, EINVAL, "image: --output '%s' is not supported: use human or json", value);
}

static int set_preallocation(struct image_arguments *a, const char *value, struct error *e)
{
    static const char *const modes[] = {"off", "metadata", "falloc", "full"};
    for (unsigned k = 0; k < ARRAY_SIZE(modes); k++)
        if (!strcmp(modes[k], value)) {
            a->preallocation = k;
            return 0;
        }
    return error_set(e, EINVAL,
                     "image: --preallocation '%s' is not supported: use one of: off, metadata, falloc, full",
                     value);
}

static int add_options(struct image_arguments *a, const char *text, struct error *e)
{
    struct properties more;
    int r = properties_parse(&more, text, "help", "-o", e);
    for (unsigned k = 0; r == 0 && k < more.count; k++)
        if (properties_add(&a->options, more.at[k].name, more.at[k].value) < 0)
            r = error_set(e, ENOMEM, "image: no memory");
    properties_free(&more);
    return r;
}

static int set_option(struct image_arguments *a, int option, const char *value, struct error *e)
{
    switch (option) {
    case 'f': a->format = value; break;
    case 'O': a->output_format = value; break;
    case 'b':
    case 'B': a->backing = value; break;
    case 'F': a->backing_format = value; break;
    case 't': a->cache = value; break;
    case 'T': a->source_cache = value; break;
    case 'r': a->repair = value; break;
    case 'S': a->sparse = value; break;
    case 'o': return add_options(a, value, e);
    case 'c': /* convert's, or snapshot's with a name */
    case 'a':
    case 'd':
    case 'l':
        if (a->action)
            return error_set(e, EINVAL, "image: of -l, -c, -a and -d one is enough");
        a->compress = option == 'c' && !value;
        a->action = a->compress ? 0 : (char)option;
        a->snapshot = value;
        break;
    case 'n': a->keep_target = true; break;
    case 'p': a->progress = true; break;
    case 'q': a->quiet = true; break;
    case 'U': a->shared = true; break;
    case 'u': a->unsafe = true; break;
    case JSON: a->json = true; break;
    case CHAIN: a->chain = true; break;
    case SHRINK: a->shrink = true; break;
    case OUTPUT: return set_output(a, value, e);
    case PREALLOCATION: return set_preallocation(a, value, e);
    default: break; /* -m and -W: how much goes on at once is ours to know */
    }
    return 0;
}

static void print_verb(const struct image_verb *v)
{
    char usage[USAGE_MAX];
    verb_usage(v, usage, sizeof(usage));
    printf("  lodge image %s %s\n      %s\n", v->name, usage, v->help);
}

/* Words and options may be mixed. 1: help has been printed. */
static int parse(const struct image_verb *v, struct image_arguments *a, int argc, char **argv,
                 struct error *e)
{
    int option, r = 0;
    char letters[64];
    snprintf(letters, sizeof(letters), "-:f:qUh%s", v->own ? v->own : "O:b:B:F:o:t:T:r:S:m:cnpuW");
    bool less = argc > 1 && argv[argc - 1][0] == '-' && isdigit((unsigned char)argv[argc - 1][1]);
    const char *last = less ? argv[--argc] : NULL; /* a size that is taken away is no option */
    opterr = 0;
    optind = 1;
    while (r == 0 && (option = getopt_long(argc, argv, letters, longs, NULL)) != -1) {
        if (option == 1 && a->words < ARRAY_SIZE(a->word)) {
            a->word[a->words++] = optarg;
        } else if (option == 'h') {
            print_verb(v);
            r = 1;
        } else if (option == ':') {
            r = error_set(e, EINVAL, "image %s: option '%s' needs a value", v->name, argv[optind - 1]);
        } else if (option == '?' || option == 1 || !strchr(v->letters, letter_of(option))) {
            r = error_set(e, EINVAL, "image %s: '%s' is not understood: lodge image %s -h tells what is",
                          v->name, argv[optind - 1], v->name);
        } else {
            r = set_option(a, option, optarg, e);
        }
    }
    for (; r == 0 && optind < argc && a->words < ARRAY_SIZE(a->word); optind++)
        a->word[a->words++] = argv[optind]; /* behind -- */
    if (r == 0 && last && a->words < ARRAY_SIZE(a->word))
        a->word[a->words++] = last;
    bool help = properties_get(&a->options, "help") != NULL;
    if (r == 0 && !help && (a->words < v->least || a->words > v->most || optind < argc))
        r = error_set(e, EINVAL, "image %s: %s: use lodge image %s %s", v->name,
                      a->words < v->least ? "a file or a size is missing" : "there are too many words",
                      v->name, v->words);
    return r;
}

static void print_help(void)
{
    puts("usage: lodge image VERB ...\n");
    for (size_t k = 0; k < ARRAY_SIZE(verbs); k++)
        print_verb(&verbs[k]);
}

int image_cache_mode(const char *mode, struct image_options *o, struct error *e)
{
    static const struct {
        const char *name;
        bool direct, no_flush;
    } modes[] = {{"writeback", false, false}, {"writethrough", false, false}, {"none", true, false},
                 {"off", true, false},        {"directsync", true, false},    {"unsafe", false, true}};
    for (size_t k = 0; mode && k < ARRAY_SIZE(modes); k++)
        if (!strcmp(modes[k].name, mode)) {
            o->direct = modes[k].direct;
            o->no_flush = modes[k].no_flush;
            return 0;
        }
    return mode ? error_set(e, EINVAL,
                            "image: cache mode '%s' is not supported: use one of: writeback, none, "
                            "writethrough, directsync, unsafe",
                            mode)
                : 0;
}

/* As qemu-img draws it: percent, on one line. */
void image_progress(const struct image_arguments *a, u64 done, u64 all)
{
    if (!a->progress || a->quiet || a->json)
        return;
    printf("    (%.2f/100%%)\r", all ? 100.0 * (double)done / (double)all : 100.0);
    if (done == all)
        putchar('\n');
    fflush(stdout);
}

static int run(int argc, char **argv, struct error *e)
{
    struct image_arguments a = {0};
    const char *name = argc > 1 ? argv[1] : "help";
    if (!strcmp(name, "help") || !strcmp(name, "--help") || !strcmp(name, "-h")) {
        print_help();
        return EXIT_SUCCESS;
    }
    for (size_t k = 0; k < ARRAY_SIZE(verbs); k++) {
        if (strcmp(verbs[k].name, name))
            continue;
        int r = parse(&verbs[k], &a, argc - 1, argv + 1, e);
        if (r == 0)
            r = verbs[k].run(&a, e);
        else if (r > 0)
            r = EXIT_SUCCESS;
        properties_free(&a.options);
        return r;
    }
    return error_set(e, EINVAL,
                     "image: unknown verb '%s': use one of: create, info, check, convert, resize, snapshot",
                     name);
}

const struct verb verb_image = {
    .name = "image",
    .words = "VERB ...",
    .help =
        "      make, look at, copy and change disk images, as qemu-img does; lodge help image lists the verbs\n",
    .run = run,
    .part = image_part,
};
