/* perf_map.c - names of translations for Linux's perf (tools/perf/Documentation/jit-interface.txt) */
/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <fcntl.h>
#include <stdio.h>
#include <unistd.h>

#include "hypervisor/translate/cache.h"
#include "hypervisor/translate/perf_map.h"

/* The processor's mode as a person would say it. */
static const char *mode_name(const struct block *b)
{
    static const char *const names[] = {"kernel", "kernel-ac", "user"};
    enum mode_class class = mode_class(b->mode);
    if (class != CLASS_OTHER)
        return names[class];
    return (b->mode & MODE_BITS) == MODE_16 ? "16-bit" : "32-bit";
}

static FILE *map; /* of the process: perf wants one for all its threads, and so for all its VMs */

/* The folder is everybody's: a link that somebody else has put there is not followed. */
bool perf_map_start(void)
{
    char path[64];
    snprintf(path, sizeof(path), "/tmp/perf-%d.map", (int)getpid());
    unlink(path);
    int fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
    map = fd < 0 ? NULL : fdopen(fd, "w");
    return map;
}

/* perf knows no way to take a name back. So when the cache is emptied, and its addresses are used anew, the
 * file begins anew: what ran before loses its names, rather than get wrong ones. */
void perf_map_add(const struct engine *e, const struct block *b, u64 pc)
{
    static u64 flushes;
    if (flushes != e->flushes) {
        rewind(map);
        if (ftruncate(fileno(map), 0) < 0)
            return;
        flushes = e->flushes;
    }
    fprintf(map, "%llx %x guest %s %llx+%x\n", (unsigned long long)(uintptr_t)exec_view(e, b->code),
            b->code_size, mode_name(b), (unsigned long long)pc, b->length);
    fflush(map);
}
