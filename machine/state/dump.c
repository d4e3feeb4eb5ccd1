/* dump.c - the guest's memory and its processors' registers go into a core file, while the guest stands still
 */
/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "machine/machine.h"
#include "machine/state/core.h"

enum { CHUNK = 64 << 10 };

const char *const dump_status_names[DUMP_STATUSES] = {
    [DUMP_NONE] = "none", [DUMP_ACTIVE] = "active", [DUMP_COMPLETED] = "completed", [DUMP_FAILED] = "failed"};

/* What of [gpa, gpa + size), which is memory, is wanted. */
static unsigned add_piece(const struct machine *m, struct core_piece *pieces, unsigned count, u64 gpa,
                          u64 size)
{
    const struct dump *d = &m->dump;
    u64 from = max(gpa, d->begin), to = min(gpa + size, d->begin + min(d->length, UINT64_MAX - d->begin));
    if (from >= to)
        return count;
    pieces[count] = (struct core_piece){from, to - from, ram_at(&m->ram, from, to - from)};
    return count + 1;
}

static unsigned find_pieces(const struct machine *m, struct core_piece pieces[CORE_PIECES_MAX])
{
    unsigned count = add_piece(m, pieces, 0, 0, m->ram.low);
    return add_piece(m, pieces, count, PC_HIGH_RAM, m->ram.high);
}

/* ---- the thread ---- */

static int write_all(int fd, const u8 *data, size_t size)
{
    while (size) {
        ssize_t n = write(fd, data, size);
        if (n < 0 && errno != EINTR)
            return -errno;
        if (n > 0) {
            data += n;
            size -= (size_t)n;
        }
    }
    return 0;
}

/* Whether what is passed over becomes zeros: nothing may lie there yet. */
static bool takes_holes(int fd)
{
    struct stat st;
    off_t at = lseek(fd, 0, SEEK_CUR);
    return at >= 0 && fstat(fd, &st) == 0 && S_ISREG(st.st_mode) && st.st_size <= at &&
           !(fcntl(fd, F_GETFL) & O_APPEND);
}

static bool is_zero(const u8 *data, size_t size)
{
    return !data[0] && !memcmp(data, data + 1, size - 1);
}

static int write_piece(struct dump *d, const struct core_piece *p, bool holes)
{
    int r = 0;
    for (u64 done = 0, n; done < p->size && r == 0; done += n) {
        n = min(p->size - done, (u64)CHUNK);
        if (!holes || !is_zero(p->host + done, n))
            r = write_all(d->fd, p->host + done, n);
        else if (lseek(d->fd, (off_t)n, SEEK_CUR) < 0)
            r = -errno;
        d->completed += n;
    }
    return r;
}

static int write_file(struct machine *m)
{
    struct dump *d = &m->dump;
    struct core_piece pieces[CORE_PIECES_MAX];
    unsigned count = find_pieces(m, pieces);
    bool holes = takes_holes(d->fd);
    int r = write_all(d->fd, d->head, d->head_size);
    for (unsigned i = 0; i < count && r == 0; i++)
        r = write_piece(d, &pieces[i], holes);
    if (r == 0 && holes && ftruncate(d->fd, lseek(d->fd, 0, SEEK_CUR)) < 0) /* the file may end in a hole */
        r = -errno;
    return close(d->fd) < 0 && r == 0 ? -errno : r;
}

static void finish(struct machine *m, int r)
{
    struct dump *d = &m->dump;
    d->status = r < 0 ? DUMP_FAILED : DUMP_COMPLETED;
    free(d->head);
    d->head = NULL;
    json_t *data = json_pack("{s:{s:s,s:I,s:I}}", "result", "status", dump_status_names[d->status],
                             "completed", (json_int_t)d->completed, "total", (json_int_t)d->total);
    if (r < 0)
        json_object_set_new(data, "error", json_sprintf("dump: failed to write memory: %s", strerror(-r)));
    monitor_event(m, "DUMP_COMPLETED", data);
    if (d->was_running && !m->ended)
        machine_continue(m);
    pthread_cond_broadcast(&m->changed);
}

static void *run(void *arg)
{
    struct machine *m = arg;
    int r = write_file(m);
    loop_lock(&m->loop);
    finish(m, r);
    loop_unlock(&m->loop);
    return NULL;
}

/* ---- from outside ---- */

static int prepare(struct machine *m, struct error *e)
{
    struct dump *d = &m->dump;
    struct core_piece pieces[CORE_PIECES_MAX];
    unsigned count = find_pieces(m, pieces);
    d->total = 0;
    d->completed = 0;
    for (unsigned i = 0; i < count; i++)
        d->total += pieces[i].size;
    if (!count)
        return error_set(e, EINVAL, "Invalid parameter 'begin'");
    d->was_running = !m->stopped;
    machine_stop_now(m, RUN_SAVE_VM);
    d->head = core_head(m, pieces, count, &d->head_size, e);
    return d->head ? 0 : -EIO;
}

int dump_start(struct machine *m, int fd, u64 begin, u64 length, struct error *e)
{
    struct dump *d = &m->dump;
    pthread_t thread;
    if (d->status == DUMP_ACTIVE)
        return error_set(e, EBUSY, "There is a dump in process, please wait.");
    if (m->state == RUN_INMIGRATE)
        return error_set(e, EBUSY, "Dump not allowed during incoming migration.");
    if (migration_is_active(&m->migration))
        return error_set(e, EBUSY, "Dump not allowed while the machine moves");
    if (m->snapshot.active)
        return error_set(e, EBUSY, "There is a snapshot in process, please wait.");
    *d = (struct dump){.fd = fd, .begin = begin, .length = length};
    int r = prepare(m, e);
    if (r == 0 && (r = -pthread_create(&thread, NULL, run, m)) < 0)
        error_set(e, -r, "cannot start the dump: %s", strerror(-r));
    if (r == 0) {
        pthread_detach(thread);
        d->status = DUMP_ACTIVE; /* before the thread has the lock */
        return 0;
    }
    free(d->head);
    d->head = NULL;
    if (d->was_running && m->state == RUN_SAVE_VM)
        machine_continue(m);
    return r;
}

void dump_wait(struct machine *m)
{
    while (m->dump.status == DUMP_ACTIVE)
        pthread_cond_wait(&m->changed, &m->loop.lock);
}
