/* transfer.c - the bytes of a file as a stream, to a client and from one */
/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "manager/daemon/manager.h"
#include "manager/storage/transfer.h"

enum { WRITE_BACK_BYTES = 8 << 20 };

struct transfer {
    struct stream *stream;
    struct loop *loop;
    struct loop_timer next; /* a download sends a piece each time: others have their turn in between */
    int fd;
    u64 at, end, written_back;
    bool sparse, ended;
};

static void transfer_closed(struct stream *s)
{
    struct transfer *t = s->opaque;
    loop_cancel(t->loop, &t->next);
    close(t->fd);
    free(t);
}

/* flags: of open. NULL with the call's error. */
static struct transfer *transfer_new(struct call *call, const char *path, int flags, u64 offset, u64 length)
{
    struct stat st;
    int fd = open(path, flags | O_NOFOLLOW | O_CLOEXEC);
    if (fd < 0 || fstat(fd, &st) < 0) {
        vir_fail_errno(&call->error, errno, "cannot open volume '%s'", path);
        if (fd >= 0)
            close(fd);
        return NULL;
    }
    off_t end = lseek(fd, 0, SEEK_END); /* of a block device, too */
    u64 size = end < 0 ? 0 : (u64)end, last;
    if (__builtin_add_overflow(offset, length, &last) || last > INT64_MAX ||
        (!(flags & O_WRONLY) && (offset > size || last > size))) {
        close(fd);
        vir_fail(&call->error, VIR_ERR_INVALID_ARG, "offset or length lead behind the end of the volume '%s'",
                 path);
        return NULL;
    }
    struct transfer *t = calloc(1, sizeof(*t));
    ASSERT(t);
    *t = (struct transfer){.loop = &call->manager->loop,
                           .fd = fd,
                           .at = offset,
                           .written_back = offset,
                           .end = length             ? last
                                  : flags & O_WRONLY ? INT64_MAX
                                                     : size};
    return t;
}

/* ---- to the client ---- */

static void download_fail(struct transfer *t, int err)
{
    struct vir_error e;
    vir_fail_errno(&e, err, "cannot read from the volume");
    stream_fail(t->stream, &e);
}

/* Where the next data begin; what comes before is a hole. */
static u64 next_data(const struct transfer *t)
{
    off_t data = t->sparse ? lseek(t->fd, (off_t)t->at, SEEK_DATA) : (off_t)t->at;
    return data < 0 ? (errno == ENXIO ? t->end : t->at) : min((u64)data, t->end);
}

static size_t data_here(const struct transfer *t)
{
    off_t hole = t->sparse ? lseek(t->fd, (off_t)t->at, SEEK_HOLE) : -1;
    u64 until = hole < 0 ? t->end : min((u64)hole, t->end);
    return (size_t)min(until - t->at, (u64)WIRE_STREAM_CHUNK);
}

/* Sending comes last: a client that fails takes the stream with it. */
static void send_piece(struct loop_timer *timer)
{
    struct transfer *t = container_of(timer, struct transfer, next);
    static const size_t most = WIRE_STREAM_CHUNK;
    if (t->ended || stream_is_slow(t->stream))
        return; /* download_resume goes on */
    u64 data = next_data(t), hole = data - t->at;
    if (t->at == t->end) {
        t->ended = true;
        stream_send_end(t->stream);
        return;
    }
    loop_arm(t->loop, &t->next, 0);
    if (hole) {
        t->at = data;
        stream_send_hole(t->stream, hole);
        return;
    }
    u8 *buffer = malloc(most);
    ASSERT(buffer);
    ssize_t n = pread(t->fd, buffer, data_here(t), (off_t)t->at);
    if (n <= 0)
        download_fail(t, n < 0 ? errno : EIO);
    else {
        t->at += (u64)n;
        stream_send(t->stream, buffer, (size_t)n);
    }
    free(buffer);
}

static void download_resume(struct stream *s)
{
    struct transfer *t = s->opaque;
    if (!t->ended && !t->next.armed)
        loop_arm(t->loop, &t->next, 0);
}

static const struct stream_ops download_ops = {.resume = download_resume, .closed = transfer_closed};

int download_open(struct call *call, const char *path, u64 offset, u64 length, bool sparse)
{
    struct transfer *t = transfer_new(call, path, O_RDONLY, offset, length);
    if (!t)
        return -1;
    t->sparse = sparse;
    t->next.expired = send_piece;
    t->stream = stream_open(call, &download_ops, t);
    loop_arm(t->loop, &t->next, 0); /* after the answer */
    return 0;
}

/* ---- from the client ---- */

static int check_room(const struct transfer *t, u64 size, struct vir_error *e)
{
    return size <= t->end - t->at
               ? 0
               : vir_fail(e, VIR_ERR_INVALID_ARG, "more data than the length that was announced");
}

static int upload_data(struct stream *s, const u8 *data, size_t size, struct vir_error *e)
{
    struct transfer *t = s->opaque;
    if (check_room(t, size, e) < 0)
        return -1;
    while (size) {
        ssize_t n = pwrite(t->fd, data, size, (off_t)t->at);
        if (n < 0 && errno != EINTR)
            return vir_fail_errno(e, errno, "cannot write to the volume");
        size -= (size_t)max(n, (ssize_t)0);
        data += max(n, (ssize_t)0);
        t->at += (u64)max(n, (ssize_t)0);
    }
    /* Begun now, it is done at the end. */
    if (t->at - t->written_back >= WRITE_BACK_BYTES) {
        sync_file_range(t->fd, (off_t)t->written_back, (off_t)(t->at - t->written_back),
                        SYNC_FILE_RANGE_WRITE);
        t->written_back = t->at;
    }
    return 0;
}

/* What the hole lies over becomes zeros, and the file at least that long. */
static int upload_hole(struct stream *s, u64 size, struct vir_error *e)
{
    struct transfer *t = s->opaque;
    struct stat st;
    if (!t->sparse)
        return vir_fail(e, VIR_ERR_INTERNAL_ERROR, "Unexpected stream hole");
    if (check_room(t, size, e) < 0)
        return -1;
    if (fstat(t->fd, &st) < 0 ||
        (S_ISREG(st.st_mode) && (u64)st.st_size < t->at + size &&
         ftruncate(t->fd, (off_t)(t->at + size)) < 0) ||
        (size && fallocate(t->fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, (off_t)t->at, (off_t)size) < 0))
        return vir_fail_errno(e, errno, "cannot make a hole in the volume");
    t->at += size;
    return 0;
}

static int upload_finish(struct stream *s, struct vir_error *e)
{
    struct transfer *t = s->opaque;
    return fdatasync(t->fd) < 0 && errno != EINVAL ? vir_fail_errno(e, errno, "cannot write the volume") : 0;
}

static const struct stream_ops upload_ops = {
    .data = upload_data, .hole = upload_hole, .finish = upload_finish, .closed = transfer_closed};

int upload_open(struct call *call, const char *path, u64 offset, u64 length, bool sparse)
{
    struct transfer *t = transfer_new(call, path, O_WRONLY, offset, length);
    if (!t)
        return -1;
    t->sparse = sparse;
    t->stream = stream_open(call, &upload_ops, t);
    return 0;
}
