/* libslirp.c - libslirp's functions, loaded when a user-mode network is made */
/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <dlfcn.h>
#include <errno.h>

#include "base/base.h"
#include "machine/net/libslirp.h"

#define NAME "libslirp.so.0"

static const struct {
    size_t offset;
    const char *symbol;
} functions[] = {
#define FUNCTION(name) {offsetof(struct libslirp, name), "slirp_" #name},
    LIBSLIRP_FUNCTIONS(FUNCTION)
#undef FUNCTION
};

int libslirp_load(struct libslirp *l, struct error *e)
{
    void *library = dlopen(NAME, RTLD_NOW | RTLD_LOCAL);
    if (!library)
        return error_set(e, ENOENT, "a user-mode network needs " NAME ": install libslirp (%s)", dlerror());
    for (size_t i = 0; i < ARRAY_SIZE(functions); i++) {
        void *at = dlsym(library, functions[i].symbol);
        if (!at)
            return error_set(e, ENOENT, "a user-mode network needs a later " NAME ": %s", dlerror());
        *(void **)((char *)l + functions[i].offset) = at;
    }
    return 0;
}
