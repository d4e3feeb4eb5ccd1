/* ram_stream.c - guest memory in the stream: the pages that were written since they were sent last */
/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "machine/state/ram_stream.h"

enum { PAGE = 4096, RUN_MAX = 256 /* pages of one record */ };
enum { ZERO = 0, DATA = 1 };

/* Behind the letter R. Pages count through the host's mapping, so that one record has one piece of memory. */
struct record {
    u64 page;
    u32 count;
    u8 kind;
} __attribute__((packed));

static u64 page_count(const struct ram *ram)
{
    return ram->size / PAGE;
}

static u64 words(const struct ram *ram)
{
    return (page_count(ram) + 63) / 64;
}

static void note_all(struct ram_stream *s)
{
    memset(s->round, 0xff, words(s->ram) * 8);
    if (page_count(s->ram) % 64)
        s->round[words(s->ram) - 1] = BIT(page_count(s->ram) % 64) - 1;
    s->remaining = page_count(s->ram);
}

int ram_stream_begin(struct ram_stream *s, struct slots *slots, struct ram *ram, struct error *e)
{
    *s = (struct ram_stream){.slots = slots, .ram = ram, .first = true};
    s->dirty = calloc(words(ram), 8);
    s->round = calloc(words(ram), 8);
    int r = s->dirty && s->round ? 0 : error_set(e, ENOMEM, "no memory for the log of written pages");
    if (r == 0) {
        note_all(s);
        ram->dirty = s->dirty;
        r = slots_log(slots, true, e);
    }
    if (r < 0)
        ram_stream_end(s);
    return r;
}

int ram_stream_collect(struct ram_stream *s, struct error *e)
{
    u64 found = 0;
    int r = slots_collect(s->slots, e);
    for (u64 i = 0; i < words(s->ram); i++) {
        s->round[i] |= __atomic_exchange_n(&s->dirty[i], 0, __ATOMIC_RELAXED);
        found += (u64)__builtin_popcountll(s->round[i]);
    }
    s->remaining = found;
    s->dirtied = found;
    s->rounds++;
    return r;
}

static bool is_zero(const u8 *page)
{
    return !page[0] && !memcmp(page, page + 1, PAGE - 1);
}

static bool is_wanted(const struct ram_stream *s, u64 page)
{
    return page < page_count(s->ram) && s->round[page / 64] >> page % 64 & 1;
}

static int send_run(struct ram_stream *s, struct channel *c, u64 page, u32 count, u8 kind)
{
    const struct record record = {page, count, kind};
    const u8 letter = 'R';
    if (kind == ZERO)
        s->zero += count;
    else
        s->normal += count;
    s->remaining -= count;
    if (kind == ZERO && s->first)
        return c->cancelled && *c->cancelled ? -ECANCELED : 0; /* so the other side's memory begins */
    int r = channel_write(c, &letter, 1);
    if (r == 0)
        r = channel_write(c, &record, sizeof(record));
    return r == 0 && kind == DATA ? channel_write(c, s->ram->host + page * PAGE, (size_t)count * PAGE) : r;
}

/* Pages of one kind that follow each other go together. What a page is, is decided by one look: a page that
 * changes meanwhile is noted, and sent again. */
int ram_stream_send(struct ram_stream *s, struct channel *c)
{
    int r = 0;
    for (u64 page = 0; page < page_count(s->ram) && r == 0;) {
        if (!s->round[page / 64] && page % 64 == 0) {
            page += 64;
            continue;
        }
        if (!is_wanted(s, page)) {
            page++;
            continue;
        }
        u64 end = page;
        bool zero = is_zero(s->ram->host + page * PAGE);
        do {
            s->round[end / 64] &= ~BIT(end % 64);
            end++;
        } while (end - page < RUN_MAX && is_wanted(s, end) && is_zero(s->ram->host + end * PAGE) == zero);
        r = send_run(s, c, page, (u32)(end - page), zero ? ZERO : DATA);
        page = end;
    }
    s->first = false;
    return r;
}

void ram_stream_end(struct ram_stream *s)
{
    struct error ignored;
    if (s->ram && s->ram->dirty) {
        slots_log(s->slots, false, &ignored);
        s->ram->dirty = NULL;
    }
    free(s->dirty);
    free(s->round);
    s->dirty = s->round = NULL;
}

int ram_stream_receive(struct ram *ram, bool take, struct channel *c, struct error *e)
{
    struct record record;
    int r = channel_read(c, &record, sizeof(record));
    if (r < 0)
        return error_set(e, -r, "the saved state ends in the middle");
    if (!record.count || record.count > RUN_MAX || record.page >= page_count(ram) ||
        record.count > page_count(ram) - record.page || record.kind > DATA)
        return error_set(e, EINVAL,
                         "the saved state is damaged: %u pages at page 0x%llx, of a memory with 0x%llx",
                         record.count, (unsigned long long)record.page, (unsigned long long)page_count(ram));
    u8 *to = ram->host + record.page * PAGE;
    if (record.kind == DATA)
        r = channel_read(c, take ? to : NULL, (size_t)record.count * PAGE);
    else if (take)
        memset(to, 0, (size_t)record.count * PAGE);
    return r < 0 ? error_set(e, -r, "the saved state ends in the middle of a page") : 0;
}
