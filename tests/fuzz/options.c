/* options.c - fuzzes the command line: what is read and written again means the same, and nothing else
 * happens */
/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/config/options.h"
#include "machine/chardev_config.h"
#include "machine/cpu_model.h"

enum { WORDS = 64 };

int LLVMFuzzerInitialize(int *argc, char ***argv);
int LLVMFuzzerInitialize(int *argc, char ***argv)
{
    (void)argc, (void)argv;
    ASSERT(freopen("/dev/null", "w", stdout)); /* -help prints */
    return 0;
}

/* What options_write gives, options_parse takes, and it comes out the same. */
static void read_back(const struct vm_config *c)
{
    struct vm_config again;
    struct error e;
    char *argv[1024] = {"lodge-vm"}, **words = options_write(c);
    int n = 1;
    ASSERT(words);
    for (char **w = words; *w && n < 1024; w++)
        argv[n++] = *w;
    if (n < 1024) {
        int r = options_parse(&again, n, argv, &e);
        if (r != 0)
            fprintf(stderr, "%s\n", e.text);
        ASSERT(r == 0);
        char **second = options_write(&again);
        for (unsigned i = 0; second[i] || words[i]; i++) {
            ASSERT(second[i] && words[i] && !strcmp(second[i], words[i]));
            free(second[i]);
        }
        free(second);
        vm_config_free(&again);
    }
    for (char **w = words; *w; w++)
        free(*w);
    free(words);
}

/* What the machine makes of texts. */
static void read_parts(const char *text)
{
    struct cpu_model m;
    struct properties p;
    struct chardev_config chardev;
    struct error e;
    cpu_model_parse(&m, text, &e);
    if (chardev_config_parse(&p, text, "-serial", &e) == 0) {
        chardev_config_read(&chardev, &p, "-serial", &e);
        properties_free(&p);
    }
}

/* The input is the words, each ended by a zero or the line's end. */
int LLVMFuzzerTestOneInput(const u8 *data, size_t size);
int LLVMFuzzerTestOneInput(const u8 *data, size_t size)
{
    struct vm_config c;
    struct error e;
    char *text = malloc(size + 1), *argv[WORDS] = {"lodge-vm"}, *rest = text;
    int n = 1;
    memcpy(text, data, size);
    text[size] = 0;
    for (size_t i = 0; i < size; i++)
        text[i] = text[i] == '\n' ? 0 : text[i];
    for (; rest <= text + size && n < WORDS; rest += strlen(rest) + 1)
        argv[n++] = rest;
    read_parts(text);
    if (options_parse(&c, n, argv, &e) == 0)
        read_back(&c);
    vm_config_free(&c);
    free(text);
    return 0;
}
