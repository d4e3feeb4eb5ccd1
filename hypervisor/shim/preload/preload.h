/* preload.h - the preload library: what its files share */
/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The library stands before libc in a program that lodge-kvm started, and defines those of libc's functions
 * by which a program finds, opens and drives KVM. What is not KVM's goes on to libc's function of that name;
 * the rest is served by liblodge-kvm. Its descriptors are real ones (hypervisor/api/object.h), so that
 * reading, mapping, duplicating, polling and passing them needs nothing here.
 */
#ifndef PRELOAD_PRELOAD_H
#define PRELOAD_PRELOAD_H

#include <dlfcn.h>
#include <stdbool.h>
#include <sys/types.h>

#define EXPORT __attribute__((visibility("default")))

/* libc's own function of that name, looked up once. */
#define NEXT(name)                                                             \
    ({                                                                         \
        static __typeof__(&name) next_##name;                                  \
        __typeof__(&name) f = __atomic_load_n(&next_##name, __ATOMIC_RELAXED); \
        if (!f) {                                                              \
            f = (__typeof__(&name))dlsym(RTLD_NEXT, #name);                    \
            __atomic_store_n(&next_##name, f, __ATOMIC_RELAXED);               \
        }                                                                      \
        f;                                                                     \
    })

/* Around an ioctl of the library: pthread_cancel(3) waits for its end. Returns whether it is the outermost.
 */
bool cancel_hold(void);
void cancel_release(bool outer);

/* A file that a program sees although the machine may not have it, or have another one there. */
struct served {
    const char *path;
    mode_t mode;         /* as st_mode; 0: there is no such file, whatever the machine has */
    const char *content; /* of a regular file */
};

/* The file that dirfd and path name (as openat(2)), or NULL: none of ours. */
const struct served *served_find(int dirfd, const char *path);
/* As open(2). */
int served_open(const struct served *s, int flags);

#endif
