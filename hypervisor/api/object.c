/* object.c - descriptors of the API: memfds, found by inode, counted by references */
/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "hypervisor/api/object.h"

enum { BUCKETS = 64 };

/* Descriptors are numbered per process, and so is this table; it is the only state of the library that
 * belongs to no VM. */
static struct {
    pthread_mutex_t lock; /* the chains, references and held; never taken with another lock of ours inside */
    struct object *bucket[BUCKETS];
    u64 process; /* changes in a forked child */
} objects = {.lock = PTHREAD_MUTEX_INITIALIZER};

/* fork(2) copies the table while another thread may hold its lock; and neither the helper threads nor the
 * guest's memory are the child's, so there VM and vcpu ioctls answer EIO, as the kernel's do in another
 * address space. */
static void fork_prepare(void)
{
    pthread_mutex_lock(&objects.lock);
}

static void fork_parent(void)
{
    pthread_mutex_unlock(&objects.lock);
}

static void fork_child(void)
{
    objects.process++;
    pthread_mutex_unlock(&objects.lock);
}

static void watch_fork(void)
{
    pthread_atfork(fork_prepare, fork_parent, fork_child);
}

static struct object **bucket_of(ino_t ino)
{
    return &objects.bucket[ino % BUCKETS];
}

/* Opens the same memfd once more: a second open file description, whose locks are not the client's. */
static int reopen(int fd)
{
    char path[32];

    snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
    return open(path, O_RDWR | O_CLOEXEC);
}

static struct flock whole_file(void)
{
    return (struct flock){.l_type = F_WRLCK, .l_whence = SEEK_SET};
}

static int object_open(struct object *o, off_t size)
{
    static const char *const name[OBJECT_KINDS] = {"kvm", "kvm-vm", "kvm-vcpu"};
    struct flock lock = whole_file();
    struct stat st;

    int fd = memfd_create(name[o->kind], MFD_CLOEXEC);
    if (fd < 0)
        return -1;
    if (ftruncate(fd, size) || fcntl(fd, F_OFD_SETLK, &lock) || fstat(fd, &st) || (o->fd = reopen(fd)) < 0) {
        int e = errno;
        close(fd);
        errno = e;
        return -1;
    }
    o->dev = st.st_dev;
    o->ino = st.st_ino;
    return fd;
}

/* Called with objects.lock. True when this was the last reference: the object is out of the table. */
static bool reference_drop(struct object *o)
{
    struct object **p = bucket_of(o->ino);

    if (--o->references)
        return false;
    while (*p != o)
        p = &(*p)->next;
    *p = o->next;
    return true;
}

void object_put(struct object *o)
{
    while (o) {
        struct object *parent = o->parent;

        pthread_mutex_lock(&objects.lock);
        bool last = reference_drop(o);
        pthread_mutex_unlock(&objects.lock);
        if (!last)
            return;
        if (o->destroy)
            o->destroy(o->target);
        close(o->fd);
        free(o);
        o = parent;
    }
}

static bool client_holds(const struct object *o)
{
    struct flock lock = whole_file();

    return fcntl(o->fd, F_OFD_GETLK, &lock) || lock.l_type != F_UNLCK;
}

/* One object that the client has let go of, with the reference that it held; or NULL. */
static struct object *find_released(void)
{
    for (unsigned i = 0; i < BUCKETS; i++)
        for (struct object *o = objects.bucket[i]; o; o = o->next)
            if (o->held && o->process == objects.process && !client_holds(o)) {
                o->held = false;
                return o;
            }
    return NULL;
}

static void release_unheld(void)
{
    struct object *o;

    do {
        pthread_mutex_lock(&objects.lock);
        o = find_released();
        pthread_mutex_unlock(&objects.lock);
        object_put(o);
    } while (o);
}

struct object *object_create(enum object_kind kind, off_t size, int *client_fd)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    struct object *o = calloc(1, sizeof(*o));

    pthread_once(&once, watch_fork);
    release_unheld();
    if (!o)
        return NULL;
    o->kind = kind;
    *client_fd = object_open(o, size);
    if (*client_fd < 0) {
        free(o);
        return NULL;
    }
    return o;
}

void object_discard(struct object *o, int client_fd)
{
    close(client_fd);
    close(o->fd);
    free(o);
}

void object_publish(struct object *o, void *target, void (*destroy)(void *target), struct object *parent)
{
    o->target = target;
    o->destroy = destroy;
    o->parent = parent;
    o->held = true;
    o->references = 1;

    pthread_mutex_lock(&objects.lock);
    o->process = objects.process;
    o->next = *bucket_of(o->ino);
    *bucket_of(o->ino) = o;
    pthread_mutex_unlock(&objects.lock);
}

/* fstat(2) itself: C libraries may make another system call of it, one that a client's seccomp filter for its
 * vcpu threads does not let through. */
static int file_identity(int fd, struct stat *st)
{
    return (int)syscall(SYS_fstat, fd, st);
}

struct object *object_get(int fd)
{
    struct object *o;
    struct stat st;

    if (file_identity(fd, &st))
        return NULL;
    pthread_mutex_lock(&objects.lock);
    for (o = *bucket_of(st.st_ino); o && (o->ino != st.st_ino || o->dev != st.st_dev); o = o->next)
        ;
    if (o)
        o->references++;
    pthread_mutex_unlock(&objects.lock);
    return o;
}

bool object_is_own(const struct object *o)
{
    return o->process == objects.process;
}

int object_close(int fd)
{
    struct object *o = object_get(fd);

    if (!o)
        return -EBADF;
    int r = close(fd) ? -errno : 0;
    object_put(o);
    release_unheld();
    return r;
}
