/* qmp.c - fuzzes the monitor of a machine that does not run: anything as QMP, and as a person's line */
/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/config/options.h"
#include "machine/machine.h"

static struct machine machine;
static struct vm_config config;
static struct terminal terminal;

int LLVMFuzzerInitialize(int *argc, char ***argv);
int LLVMFuzzerInitialize(int *argc, char ***argv)
{
    static char *words[] = {"lodge-vm",
                            "-accel",
                            "lodge",
                            "-m",
                            "16",
                            "-S",
                            "-nodefaults",
                            "-kernel",
                            NULL,
                            "-chardev",
                            "null,id=q",
                            "-mon",
                            "chardev=q,mode=control",
                            "-chardev",
                            "null,id=h",
                            "-mon",
                            "chardev=h",
                            "-device",
                            "virtio-balloon-pci,id=b0",
                            "-device",
                            "virtio-serial-pci,id=v0",
                            "-netdev",
                            "user,id=n0",
                            "-device",
                            "virtio-net-pci,netdev=n0,id=e0"};
    struct error e;
    (void)argc;
    words[8] = getenv("FUZZ_KERNEL"); /* any that the loader takes */
    ASSERT(words[8]);
    (void)argv;
    ASSERT(options_parse(&config, ARRAY_SIZE(words), words, &e) == 0);
    if (machine_create(&machine, &config, &terminal, &e) < 0)
        report("%s", e.text);
    ASSERT(machine.plugged);
    return 0;
}

/* Nothing outside of the folder that this runs in, and no other machine's network. */
static bool is_harmless(const char *text)
{
    return !strchr(text, '/') && !strstr(text, "\\u") && !strstr(text, "tap") && !strstr(text, "bridge") &&
           !strstr(text, "tcp") && !strstr(text, "port") && !strstr(text, "inet") && !strstr(text, "stdio");
}

/* What came is taken away again. */
static void clean(struct machine *m)
{
    struct error e;
    for (unsigned i = m->chardevs.count; i-- > 2;)
        chardevs_remove(&m->chardevs, m->chardevs.all[i]->label, &e);
    for (struct net_backend *b = m->nets.first, *next; b; b = next) {
        next = b->next;
        if (strcmp(b->id, "n0"))
            net_remove(&m->nets, b->id, &e);
    }
    while (m->objects.first && object_remove(&m->objects, m->objects.first->id, &e) == 0)
        ;
}

int LLVMFuzzerTestOneInput(const u8 *data, size_t size);
int LLVMFuzzerTestOneInput(const u8 *data, size_t size)
{
    static const char hello[] = "{\"execute\":\"qmp_capabilities\"}";
    struct machine *m = &machine;
    char *text = malloc(size + 1);
    memcpy(text, data, size);
    text[size] = 0;
    loop_lock(&m->loop);
    if (is_harmless(text)) {
        struct monitor *qmp = &m->monitors.monitor[0], *human = &m->monitors.monitor[1];
        qmp->chardev->connected = human->chardev->connected = true;
        json_stream_reset(&qmp->in);
        qmp->negotiated = false;
        for (const char *p = hello; *p; p++)
            qmp_byte(qmp, (u8)*p);
        for (size_t i = 0; i < size; i++)
            qmp_byte(qmp, data[i]);
        for (size_t i = 0; i < size; i++)
            human_byte(human, data[i]);
        human_byte(human, '\n');
        clean(m);
    }
    m->reset_wanted = m->ended = false;
    loop_unlock(&m->loop);
    free(text);
    return 0;
}
