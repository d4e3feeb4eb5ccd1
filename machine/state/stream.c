/* stream.c - a machine's state on its way: a header, records of memory and of parts, an end */
/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "machine/state/machine_state.h"
#include "machine/state/ram_stream.h"

/*
 * Header, then records, each begun by a letter: R some pages (ram_stream.c), P a part (state.c), E the end,
 * which shows that the stream is whole. Little-endian. Behind the end there may be more: it is not read.
 */
struct header {
    char magic[8];
    u32 version, cpus;
    u64 memory;
};
static const char magic[8] = "LODGEVM\n";
enum { VERSION = 1 };

int stream_write_header(struct channel *c, const struct machine *m)
{
    struct header h = {.version = VERSION, .cpus = m->vcpu_count, .memory = m->ram.size};
    memcpy(h.magic, magic, sizeof(magic));
    return channel_write(c, &h, sizeof(h));
}

int stream_write_parts(struct channel *c, const struct state_buffer *b)
{
    int r = channel_write(c, b->data, b->size);
    return r == 0 ? channel_write(c, "E", 1) : r;
}

static int ends(int r, struct error *e)
{
    return error_set(e, -r, "the saved state ends in the middle, or cannot be read: %s", strerror(-r));
}

static int read_header(struct channel *c, const struct machine *m, struct error *e)
{
    struct header h;
    int r = channel_read(c, &h, sizeof(h));
    if (r == -ECANCELED)
        return r;
    if (r < 0)
        return ends(r, e);
    if (memcmp(h.magic, magic, sizeof(magic)))
        return error_set(e, EINVAL, "this is no saved state of lodge-vm");
    if (h.version != VERSION)
        return error_set(e, EINVAL, "the saved state is of version %u, and this program reads version %d",
                         h.version, VERSION);
    if (h.memory != m->ram.size || h.cpus != m->vcpu_count)
        return error_set(
            e, EINVAL,
            "the saved machine has %llu MiB and %u processors, and this one %llu MiB and %u: use the -m "
            "and -smp that it was saved with",
            (unsigned long long)(h.memory >> 20), h.cpus, (unsigned long long)(m->ram.size >> 20),
            m->vcpu_count);
    return 0;
}

static int read_name(struct channel *c, char name[STATE_NAME_MAX], struct error *e)
{
    u8 n;
    int r = channel_read(c, &n, 1);
    if (r == 0 && n >= STATE_NAME_MAX)
        return error_set(e, EINVAL, "the saved state is damaged: a name of %u bytes", n);
    if (r == 0)
        r = channel_read(c, name, n);
    if (r < 0)
        return ends(r, e);
    name[n] = 0;
    for (unsigned i = 0; i < n; i++)
        if (name[i] < ' ' || name[i] > '~')
            return error_set(e, EINVAL, "the saved state is damaged: a name that is not text");
    return 0;
}

static int read_part(struct channel *c, struct state_parts *p, struct error *e)
{
    if (p->count == STATE_PARTS_MAX)
        return error_set(e, EINVAL, "the saved state is damaged: it has more than %d parts", STATE_PARTS_MAX);
    struct state_part *part = &p->part[p->count];
    u32 numbers[2]; /* version, size */
    *part = (struct state_part){0};
    int r = read_name(c, part->name, e);
    if (r < 0 || (r = read_name(c, part->instance, e)) < 0)
        return r;
    if ((r = channel_read(c, numbers, sizeof(numbers))) < 0)
        return ends(r, e);
    part->version = numbers[0];
    part->size = numbers[1];
    if (part->size > STATE_PART_MAX)
        return error_set(e, EINVAL, "the saved state of '%s %s' is damaged: %u bytes", part->name,
                         part->instance, part->size);
    part->data = malloc(part->size + 1);
    if (!part->data)
        return error_set(e, ENOMEM, "no memory for the machine's state");
    p->count++;
    return (r = channel_read(c, part->data, part->size)) < 0 ? ends(r, e) : 0;
}

int stream_read(struct channel *c, struct machine *m, bool memory, struct state_parts *p, struct error *e)
{
    int r = read_header(c, m, e);
    while (r == 0) {
        u8 letter;
        if ((r = channel_read(c, &letter, 1)) < 0)
            return ends(r, e);
        if (letter == 'E')
            return 0;
        if (letter == 'R')
            r = ram_stream_receive(&m->ram, memory, c, e);
        else if (letter == 'P')
            r = read_part(c, p, e);
        else
            r = error_set(e, EINVAL, "the saved state is damaged: a record of kind 0x%02x", letter);
    }
    return r;
}
