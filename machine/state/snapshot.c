/* snapshot.c - the machine and its disks as of one moment, kept inside qcow2 images */
/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "machine/state/machine_state.h"
#include "machine/state/snapshot.h"

enum { DISKS_MAX = 64, CHUNK = 1 << 20, LOOK = 4096 };

/* ---- which disks ---- */

struct disks {
    struct block_node *at[DISKS_MAX], *state; /* state: who has that of the machine */
    unsigned count;
};

static const char *name_of(const struct block_node *n)
{
    return n->drive ? n->drive : n->name;
}

static bool keeps_snapshots(const struct block_node *n)
{
    return n->image && image_keeps_snapshots(n->image);
}

static int add_disk(struct disks *d, struct block_node *n, struct error *e)
{
    if (!keeps_snapshots(n))
        return error_set(e, ENOTSUP, "Device '%s' is writable but does not support snapshots", name_of(n));
    if (d->count == DISKS_MAX)
        return error_set(e, E2BIG, "a snapshot can have %d disks", DISKS_MAX);
    d->at[d->count++] = n;
    return 0;
}

static int find_disks(struct machine *m, const struct snapshot_wanted *w, struct disks *d, struct error *e)
{
    int r = 0;
    *d = (struct disks){0};
    if (w->devices && !w->count)
        return error_set(e, EINVAL, "At least one device is required for snapshot");
    for (unsigned k = 0; w->devices && k < w->count && r == 0; k++) {
        struct block_node *n = block_find(&m->blocks, w->devices[k]);
        r = n ? add_disk(d, n, e) : error_set(e, ENODEV, "No block device node '%.100s'", w->devices[k]);
    }
    for (struct block_node *n = m->blocks.first; n && !w->devices && r == 0; n = n->next)
        if (!n->parent && !block_read_only(n))
            r = add_disk(d, n, e);
    return r;
}

static int find_state_disk(const struct snapshot_wanted *w, struct disks *d, struct error *e)
{
    for (unsigned k = 0; k < d->count && !d->state; k++)
        if (!w->vmstate || !strcmp(d->at[k]->name, w->vmstate))
            d->state = d->at[k];
    if (d->state)
        return 0;
    return w->vmstate ? error_set(e, ENODEV, "vmstate block device '%.100s' does not exist", w->vmstate)
                      : error_set(e, ENODEV, "no block device can store vmstate for snapshot");
}

/* ---- images, by their own threads ---- */

/* What is done to one, by its thread. */
struct act {
    const struct image_snapshot *shown; /* of a new one */
    const char *tag;
    bool instead;
    struct error e;
};

static int create(struct disk_image *i, void *opaque)
{
    struct act *a = opaque;
    return image_snapshot_create_at(i, a->shown, a->instead, &a->e);
}

static int apply(struct disk_image *i, void *opaque)
{
    struct act *a = opaque;
    return image_snapshot_apply(i, a->tag, &a->e);
}

static int delete (struct disk_image *i, void *opaque)
{
    struct act *a = opaque;
    return image_snapshot_find(i, a->tag) ? image_snapshot_delete(i, a->tag, &a->e) : 0;
}

static int drop_state(struct disk_image *i, void *opaque)
{
    (void)opaque;
    return image_vm_state_drop(i);
}

static int on(struct machine *m, struct block_node *n, int (*call)(struct disk_image *i, void *opaque),
              void *opaque)
{
    return block_call(&m->blocks, n, call, opaque);
}

/* Only what is in this file changes snapshots, so that who looks at them need not ask the disk's thread. */
static bool some_have(const struct disks *d, const char *tag)
{
    bool found = false;
    for (unsigned k = 0; k < d->count; k++)
        found |= image_snapshot_find(d->at[k]->image, tag) != NULL;
    return found;
}

/* ---- the stream, in an image ---- */

struct vm_state {
    struct machine *machine;
    struct block_node *node;
    const char *tag; /* of the snapshot that is read */
    u64 at, size;
    u8 *chunk;
    size_t start, end; /* what of the chunk is still to be written, or to be read */
    size_t room;       /* that is read at once */
};

static int write_chunk(struct disk_image *i, void *opaque)
{
    struct vm_state *s = opaque;
    return image_vm_state_write(i, s->chunk, s->end);
}

static int read_chunk(struct disk_image *i, void *opaque)
{
    struct vm_state *s = opaque;
    return image_vm_state_read(i, s->tag, s->at, s->chunk, s->end);
}

/* Without the lock. A machine that ends does not wait. */
static int move_chunk(struct vm_state *s, int (*call)(struct disk_image *i, void *opaque))
{
    struct machine *m = s->machine;
    loop_lock(&m->loop);
    int r = m->ended ? -ECANCELED : on(m, s->node, call, s);
    loop_unlock(&m->loop);
    return r;
}

static int flush_chunk(struct vm_state *s)
{
    int r = s->end ? move_chunk(s, write_chunk) : 0;
    s->end = 0;
    return r;
}

static int write_state(void *to, const void *data, size_t n)
{
    struct vm_state *s = to;
    int r = 0;
    for (const u8 *p = data; n && r == 0;) {
        size_t piece = min(n, CHUNK - s->end);
        memcpy(s->chunk + s->end, p, piece);
        s->end += piece;
        p += piece;
        n -= piece;
        r = s->end == CHUNK ? flush_chunk(s) : 0;
    }
    return r;
}

static int fill_chunk(struct vm_state *s)
{
    s->start = 0;
    s->end = (size_t)min(s->size - s->at, (u64)s->room);
    int r = s->end ? move_chunk(s, read_chunk) : -ENODATA;
    s->at += s->end;
    s->end = r == 0 ? s->end : 0;
    return r;
}

static int read_state(void *from, void *data, size_t n)
{
    struct vm_state *s = from;
    int r = 0;
    for (u8 *p = data; n && r == 0;) {
        size_t piece = min(n, s->end - s->start);
        if (p && piece) {
            memcpy(p, s->chunk + s->start, piece);
            p += piece;
        }
        s->start += piece;
        n -= piece;
        u64 passed = p ? 0 : min((u64)n, s->size - s->at);
        s->at += passed;
        n -= passed;
        r = n ? fill_chunk(s) : 0;
    }
    return r;
}

static const struct channel_end state_in_image = {write_state, read_state};

/* ---- around both ---- */

void snapshot_wait(struct machine *m)
{
    while (m->snapshot.active)
        pthread_cond_wait(&m->changed, &m->loop.lock);
}

/* What keeps a machine from being saved or loaded now. */
static int begin(struct machine *m, struct error *e)
{
    snapshot_wait(m);
    if (m->ended)
        return error_set(e, ECANCELED, "the machine has ended");
    if (migration_is_active(&m->migration) || m->state == RUN_INMIGRATE || m->state == RUN_POSTMIGRATE)
        return error_set(e, EBUSY, "There's a migration process in progress");
    if (m->dump.status == DUMP_ACTIVE)
        return error_set(e, EBUSY, "There is a dump in process, please wait.");
    m->snapshot = (struct snapshot){.active = true, .was_running = !m->stopped};
    return 0;
}

/* A guest that is just being reset is in no state that could be kept. */
static int stop_guest(struct machine *m, enum run_state state, struct error *e)
{
    machine_stop_now(m, state);
    if (m->ended)
        return error_set(e, ECANCELED, "the machine has ended");
    if (m->reset_wanted)
        return error_set(e, EBUSY, "the guest is being reset: try again");
    machine_state_settle(m);
    return 0;
}

static int finish(struct machine *m, int r)
{
    m->snapshot.active = false;
    if (m->snapshot.was_running && !m->ended)
        machine_continue(m);
    pthread_cond_broadcast(&m->changed);
    return r;
}

/* ---- out ---- */

static int stream_error(int r, const struct disks *d, struct error *e)
{
    return r < 0 ? error_set(e, -r, "the machine's state cannot be written to '%s': %s", name_of(d->state),
                             strerror(-r))
                 : 0;
}

/* Without the lock: the guest stands still, and so does its memory. */
static int write_all(struct machine *m, struct ram_stream *ram, const struct state_buffer *parts,
                     struct vm_state *s)
{
    struct channel c = {.fd = -1, .end = &state_in_image, .opaque = s};
    int r = stream_write_header(&c, m);
    if (r == 0)
        r = ram_stream_send(ram, &c);
    if (r == 0)
        r = stream_write_parts(&c, parts);
    return r == 0 ? flush_chunk(s) : r;
}

static int write_stream(struct machine *m, const struct disks *d, struct error *e)
{
    struct vm_state s = {.machine = m, .node = d->state, .chunk = malloc(CHUNK)};
    struct state_buffer parts = {0};
    struct ram_stream ram;
    int r = s.chunk ? machine_state_save(m, m->snapshot.was_running, &parts, e)
                    : error_set(e, ENOMEM, "no memory for the machine's state");
    if (r == 0 && (r = ram_stream_begin(&ram, &m->slots, &m->ram, e)) == 0) {
        loop_unlock(&m->loop);
        r = write_all(m, &ram, &parts, &s);
        loop_lock(&m->loop);
        ram_stream_end(&ram);
        r = stream_error(r, d, e);
    }
    state_buffer_free(&parts);
    free(s.chunk);
    return r;
}

static int make_all(struct machine *m, const struct disks *d, const char *tag, bool instead, struct error *e)
{
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    const struct image_snapshot shown = {
        .name = tag, .date_sec = (u32)now.tv_sec, .date_nsec = (u32)now.tv_nsec, .clock = m->clock.clock};
    struct act a = {.shown = &shown, .tag = tag, .instead = instead};
    for (unsigned k = 0; k < d->count; k++) {
        int r = on(m, d->at[k], create, &a);
        if (r == 0)
            continue;
        error_set(e, -r, "Could not create snapshot '%s' on '%s': %s", tag, name_of(d->at[k]), a.e.text);
        while (k-- > 0)
            on(m, d->at[k], delete, &a);
        return r;
    }
    return 0;
}

static int check_save(struct machine *m, const struct snapshot_wanted *w, bool instead, struct disks *d,
                      struct error *e)
{
    int r = find_disks(m, w, d, e);
    if (r == 0 && !instead && some_have(d, w->tag))
        r = error_set(e, EEXIST, "Snapshot '%s' already exists in one or more devices", w->tag);
    return r == 0 ? find_state_disk(w, d, e) : r;
}

/* While the guest ran, it may have given a disk back: what was found before it stopped is found again. */
static int save(struct machine *m, const struct snapshot_wanted *w, bool instead, struct error *e)
{
    struct disks d;
    int r;
    if ((r = check_save(m, w, instead, &d, e)) < 0 || (r = stop_guest(m, RUN_SAVE_VM, e)) < 0 ||
        (r = check_save(m, w, instead, &d, e)) < 0)
        return r;
    r = write_stream(m, &d, e);
    if (r == 0)
        r = make_all(m, &d, w->tag, instead, e);
    if (r < 0)
        on(m, d.state, drop_state, NULL);
    return r;
}

int snapshot_save(struct machine *m, const struct snapshot_wanted *w, bool instead, struct error *e)
{
    int r = begin(m, e);
    return r < 0 ? r : finish(m, save(m, w, instead, e));
}

/* ---- in ---- */

/* All of the stream; memory goes into the guest's, or is only looked at. Without the lock. */
static int read_stream(struct machine *m, struct block_node *n, const char *tag, u64 size, bool memory,
                       struct state_parts *parts, struct error *e)
{
    struct vm_state s = {.machine = m,
                         .node = n,
                         .tag = tag,
                         .size = size,
                         .chunk = malloc(CHUNK),
                         .room = memory ? CHUNK : LOOK};
    struct channel c = {.fd = -1, .end = &state_in_image, .opaque = &s};
    int r = s.chunk ? stream_read(&c, m, memory, parts, e)
                    : error_set(e, ENOMEM, "no memory for the machine's state");
    free(s.chunk);
    return r;
}

/* As after power-on, and then as the parts have it. */
static int take_parts(struct machine *m, struct state_parts *parts, struct error *e)
{
    int r = board_reset(m, e);
    for (unsigned i = 0; i < m->vcpu_count && r == 0; i++)
        r = vcpu_reset(&m->vcpu[i], NULL, e);
    return r < 0 ? r : machine_state_load(m, parts, e);
}

/* All parts of the machine, as they are now, in the form in which they are loaded. */
static int keep_parts(struct machine *m, struct state_parts *before, struct error *e)
{
    struct state_buffer parts = {0}, stream = {0};
    struct channel c = {.fd = -1, .end = &channel_buffer, .opaque = &stream};
    int r = machine_state_save(m, m->snapshot.was_running, &parts, e);
    if (r == 0 && ((r = stream_write_header(&c, m)) < 0 || (r = stream_write_parts(&c, &parts)) < 0))
        error_set(e, -r, "no memory for the machine's state");
    if (r == 0)
        r = stream_read(&c, m, true, before, e);
    state_buffer_free(&parts);
    state_buffer_free(&stream);
    return r;
}

static int apply_all(struct machine *m, const struct disks *d, const char *tag, bool *begun, struct error *e)
{
    struct act a = {.tag = tag};
    for (unsigned k = 0; k < d->count; k++) {
        int r = on(m, d->at[k], apply, &a);
        if (r < 0)
            return error_set(e, -r, "Could not load snapshot '%s' on '%s': %s", tag, name_of(d->at[k]),
                             a.e.text);
        *begun = true;
    }
    return 0;
}

/* The processors once more: what they do to memory when they get their registers was to other memory. */
static int take_memory(struct machine *m, const struct disks *d, const char *tag, u64 size,
                       struct state_parts *parts, struct error *e)
{
    struct state_parts *again = calloc(1, sizeof(*again));
    if (!again)
        return error_set(e, ENOMEM, "no memory for the machine's state");
    ram_clear(&m->ram);
    loop_unlock(&m->loop);
    int r = read_stream(m, d->state, tag, size, true, again, e);
    loop_lock(&m->loop);
    for (unsigned i = 0; i < m->vcpu_count && r == 0; i++)
        r = vcpu_restore(&m->vcpu[i], parts, e);
    state_parts_free(again);
    free(again);
    return r;
}

/* The disks have it, and are of the size that they had. */
static int check_load(struct machine *m, const struct snapshot_wanted *w, struct disks *d, u64 *size,
                      struct error *e)
{
    int r = find_disks(m, w, d, e);
    if (r < 0 || (r = find_state_disk(w, d, e)) < 0)
        return r;
    for (unsigned k = 0; k < d->count; k++) {
        const struct image_snapshot *s = image_snapshot_find(d->at[k]->image, w->tag);
        u64 now = block_size(d->at[k]);
        if (!s)
            return error_set(e, ENOENT, "Snapshot '%s' does not exist in one or more devices", w->tag);
        if (s->disk_size != now)
            return error_set(
                e, EINVAL,
                "Could not load snapshot '%s' on '%s': the disk had %llu bytes then, and has %llu now",
                w->tag, name_of(d->at[k]), (unsigned long long)s->disk_size, (unsigned long long)now);
    }
    *size = image_snapshot_find(d->state->image, w->tag)->vm_state_size;
    return *size ? 0
                 : error_set(e, EINVAL, "This is a disk-only snapshot. Revert to it  offline using qemu-img");
}

/* Devices, disks, memory: as long as no disk has gone back, the machine can be again what it was. */
static int go_back(struct machine *m, const struct disks *d, const struct snapshot_wanted *w, u64 size,
                   struct state_parts *parts, struct state_parts *before, struct error *e)
{
    bool begun = false;
    struct error why;
    int r = take_parts(m, parts, e);
    if (r == 0)
        r = apply_all(m, d, w->tag, &begun, e);
    if (r < 0 && !begun) {
        if (take_parts(m, before, &why) < 0)
            machine_end(m, 1, "the guest cannot go on: %s", why.text);
        return r;
    }
    if (r == 0)
        r = take_memory(m, d, w->tag, size, parts, e);
    if (r < 0) {
        m->snapshot.was_running = false;
        m->state = RUN_INTERNAL_ERROR;
    } else if (m->state == RUN_INTERNAL_ERROR || m->state == RUN_SHUTDOWN || m->state == RUN_IO_ERROR)
        m->state = RUN_PAUSED;
    return r;
}

/* A reset, which comes first, would take such a device out; and the state has it. */
static int check_plugs(const struct machine *m, struct error *e)
{
    return pci_hotplug_going(m->hotplug)
               ? error_set(e, EBUSY, "A device is in the process of unplug: wait for DEVICE_DELETED")
               : 0;
}

static int load(struct machine *m, const struct snapshot_wanted *w, struct state_parts *parts,
                struct state_parts *before, struct error *e)
{
    struct disks d;
    u64 size;
    int r;
    if ((r = check_load(m, w, &d, &size, e)) < 0 || (r = stop_guest(m, RUN_RESTORE_VM, e)) < 0 ||
        (r = check_load(m, w, &d, &size, e)) < 0 || (r = check_plugs(m, e)) < 0)
        return r;
    loop_unlock(&m->loop);
    r = read_stream(m, d.state, w->tag, size, false, parts, e);
    loop_lock(&m->loop);
    if (r == 0)
        r = keep_parts(m, before, e);
    return r < 0 ? r : go_back(m, &d, w, size, parts, before, e);
}

int snapshot_load(struct machine *m, const struct snapshot_wanted *w, struct error *e)
{
    int r = begin(m, e);
    if (r < 0)
        return r;
    struct state_parts *parts = calloc(2, sizeof(*parts));
    if (!parts)
        return finish(m, error_set(e, ENOMEM, "no memory for the machine's state"));
    r = load(m, w, &parts[0], &parts[1], e);
    state_parts_free(&parts[0]);
    state_parts_free(&parts[1]);
    free(parts);
    return finish(m, r);
}

/* ---- away ---- */

/* The guest runs on, and may give a disk back at any time: they are found anew after each. */
static int delete_all(struct machine *m, const struct snapshot_wanted *w, struct error *e)
{
    struct disks d;
    struct act a = {.tag = w->tag};
    int r;
    while ((r = find_disks(m, w, &d, e)) == 0) {
        unsigned k = 0;
        while (k < d.count && !image_snapshot_find(d.at[k]->image, w->tag))
            k++;
        if (k == d.count)
            return 0;
        char name[64];
        snprintf(name, sizeof(name), "%s", name_of(d.at[k]));
        if ((r = on(m, d.at[k], delete, &a)) < 0)
            return error_set(e, -r, "Could not delete snapshot '%s' on '%s': %s", w->tag, name, a.e.text);
    }
    return r;
}

int snapshot_delete(struct machine *m, const struct snapshot_wanted *w, struct error *e)
{
    int r = begin(m, e);
    return r < 0 ? r : finish(m, delete_all(m, w, e));
}
