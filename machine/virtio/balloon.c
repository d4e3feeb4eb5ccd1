/* balloon.c - virtio memory balloon: the guest gives pages back, and tells how it is (VIRTIO 1.2 section 5.5)
 */
/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <errno.h>
#include <jansson.h>
#include <string.h>
#include <time.h>

#include "machine/virtio/balloon.h"
#include "machine/virtio/types.h"

enum { F_STATS_VQ = 1, F_DEFLATE_ON_OOM = 2, F_PAGE_POISON = 4, F_REPORTING = 5 };
enum { INFLATE, DEFLATE, STATS, QUEUES = 4, QUEUE_SIZE = 128 };
enum { PAGE = 4096, PFNS = 256, NS_PER_S = 1000000000 };

struct balloon_config {
    u32 num_pages, actual, free_page_hint_cmd_id, poison_val;
};
enum { ACTUAL = 4 };

/* Section 5.5.6.3, by tag, with QEMU's names. */
static const char *const stat_names[] = {
    "stat-swap-in",      "stat-swap-out",     "stat-major-faults",     "stat-minor-faults",
    "stat-free-memory",  "stat-total-memory", "stat-available-memory", "stat-disk-caches",
    "stat-htlb-pgalloc", "stat-htlb-pgfail",
};
enum { STAT_COUNT = ARRAY_SIZE(stat_names) };

struct stat {
    u16 tag;
    u64 value;
} __attribute__((packed));

struct virtio_balloon {
    struct virtio_device v;
    struct event_sink events;
    bool deflate_on_oom, reporting;
    u64 stat[STAT_COUNT]; /* ~0: the guest does not tell */
    time_t last_update;   /* 0: never */
    u32 interval;         /* seconds between questions; 0: none are asked */
    bool has_buffer;      /* the driver's one buffer of statistics is here: giving it back is the question */
    u16 buffer;
    struct loop_timer ask;
};

static struct virtio_balloon *from_virtio(struct virtio_device *v)
{
    return container_of(v, struct virtio_balloon, v);
}

static struct balloon_config *config(const struct virtio_balloon *d)
{
    return (struct balloon_config *)d->v.config;
}

/* ---- pages ---- */

/* Pages that follow each other, in either direction: one call to the host for all of them. */
struct run {
    u64 first, count; /* page numbers */
};

/* The host takes the memory back; the guest reads zeros there until it writes. */
static void discard(const struct virtio_balloon *d, const struct run *r)
{
    void *host = r->count ? ram_at(d->v.ram, r->first * PAGE, r->count * PAGE) : NULL;
    if (host)
        ram_discard(d->v.ram, host, r->count * PAGE);
}

/* Memory that ends, or has a hole, within a run is no memory at all there, so a run never joins two pages
 * that ram_at would not give in one piece. */
static void add_page(const struct virtio_balloon *d, struct run *r, u64 pfn)
{
    struct run longer = {min(r->first, pfn), r->count + 1};
    bool next = r->count && (pfn == r->first + r->count || pfn + 1 == r->first);
    if (next && ram_at(d->v.ram, longer.first * PAGE, longer.count * PAGE)) {
        *r = longer;
        return;
    }
    discard(d, r);
    *r = (struct run){pfn, ram_at(d->v.ram, pfn * PAGE, PAGE) ? 1 : 0};
}

static void inflate_chain(const struct virtio_balloon *d, const struct virtq_chain *c)
{
    u32 pfn[PFNS];
    struct run r = {0, 0};
    size_t n, offset = 0;
    while ((n = iov_read(c->iov, c->out_count, offset, pfn, sizeof(pfn))) >= sizeof(u32)) {
        for (size_t i = 0; i < n / sizeof(u32); i++)
            add_page(d, &r, pfn[i]);
        offset += n;
    }
    discard(d, &r);
}

static void inflate(struct virtio_balloon *d, struct virtqueue *q, const struct virtq_chain *c)
{
    inflate_chain(d, c);
    virtq_push(q, c->head, 0);
}

/* What the guest takes back comes when it is touched. */
static void deflate(struct virtio_balloon *d, struct virtqueue *q, const struct virtq_chain *c)
{
    (void)d;
    virtq_push(q, c->head, 0);
}

/* Free pages, as they are: whole pages within the buffers (section 5.5.6.7). A driver that wants a pattern in
 * them would find zeros, and so keeps them. */
static void report_free(struct virtio_balloon *d, struct virtqueue *q, const struct virtq_chain *c)
{
    bool keep = virtio_has(&d->v, F_PAGE_POISON) && config(d)->poison_val;
    for (unsigned i = 0; i < c->in_count && !keep; i++) {
        uintptr_t start = ALIGN_UP((uintptr_t)c->in[i].iov_base, (uintptr_t)PAGE);
        uintptr_t end = ((uintptr_t)c->in[i].iov_base + c->in[i].iov_len) & ~(uintptr_t)(PAGE - 1);
        if (start < end)
            ram_discard(d->v.ram, (void *)start, end - start);
    }
    virtq_push(q, c->head, 0);
}

/* ---- statistics ---- */

static void give_buffer_back(struct virtio_balloon *d)
{
    if (!d->has_buffer || !virtio_running(&d->v) || virtio_is_held(&d->v))
        return;
    d->has_buffer = false;
    virtq_push(&d->v.queue[STATS], d->buffer, 0);
    virtq_notify(&d->v.queue[STATS]);
}

static void arm(struct virtio_balloon *d)
{
    if (d->interval)
        loop_arm(d->v.loop, &d->ask, loop_now() + (u64)d->interval * NS_PER_S);
    else
        loop_cancel(d->v.loop, &d->ask);
}

static void ask(struct loop_timer *t)
{
    struct virtio_balloon *d = container_of(t, struct virtio_balloon, ask);
    give_buffer_back(d);
    arm(d);
}

/* The driver has one buffer at a time; of a second one the first is given back. */
static void take_statistics(struct virtio_balloon *d, struct virtqueue *q, const struct virtq_chain *c)
{
    struct stat s;
    (void)q;
    give_buffer_back(d);
    memset(d->stat, 0xff, sizeof(d->stat));
    for (size_t at = 0; iov_read(c->iov, c->out_count, at, &s, sizeof(s)) == sizeof(s); at += sizeof(s))
        if (s.tag < STAT_COUNT)
            d->stat[s.tag] = s.value;
    d->last_update = time(NULL);
    d->buffer = c->head;
    d->has_buffer = true;
}

/* ---- queues ---- */

/* Queues of features that were not taken are not there, and the next ones have their numbers (as Linux and
 * QEMU have it). */
static void (*handler(const struct virtio_balloon *d, unsigned queue))(struct virtio_balloon *,
                                                                       struct virtqueue *,
                                                                       const struct virtq_chain *)
{
    unsigned next = STATS;
    if (queue == INFLATE)
        return inflate;
    if (queue == DEFLATE)
        return deflate;
    if (virtio_has(&d->v, F_STATS_VQ) && queue == next++)
        return take_statistics;
    return virtio_has(&d->v, F_REPORTING) && queue == next ? report_free : NULL;
}

static void balloon_notify(struct virtio_device *v, unsigned queue)
{
    struct virtio_balloon *d = from_virtio(v);
    struct virtqueue *q = &v->queue[queue];
    struct virtq_chain c;
    void (*handle)(struct virtio_balloon *, struct virtqueue *, const struct virtq_chain *) =
        handler(d, queue);
    while (handle && virtq_pop(q, &c))
        handle(d, q, &c);
    virtq_notify(q);
}

/* Linux makes the buffer of statistics available before it says DRIVER_OK. */
static void balloon_started(struct virtio_device *v)
{
    if (v->queue[STATS].enabled)
        balloon_notify(v, STATS);
}

static void config_written(struct virtio_device *v)
{
    struct virtio_balloon *d = from_virtio(v);
    event_send(&d->events, "BALLOON_CHANGE",
               json_pack("{s:I}", "actual", (json_int_t)balloon_actual(&v->pci)));
}

/* ---- for monitors ---- */

struct pci_device *balloon_find(struct pci_bus *b)
{
    for (unsigned s = 0; s < PCI_SLOTS; s++)
        if (b->slot[s] && b->slot[s]->type == &virtio_balloon.pci)
            return b->slot[s];
    return NULL;
}

u64 balloon_actual(const struct pci_device *p)
{
    const struct virtio_balloon *d = container_of(p, struct virtio_balloon, v.pci);
    u64 given = (u64)config(d)->actual * PAGE;
    return given < d->v.ram->size ? d->v.ram->size - given : 0;
}

void balloon_set_target(struct pci_device *p, u64 bytes)
{
    struct virtio_balloon *d = container_of(p, struct virtio_balloon, v.pci);
    config(d)->num_pages = (u32)((d->v.ram->size - min(bytes, d->v.ram->size)) / PAGE);
    virtio_config_changed(&d->v);
}

static json_t *get_stats(const struct pci_device *p)
{
    const struct virtio_balloon *d = container_of(p, struct virtio_balloon, v.pci);
    json_t *stats = json_object();
    for (unsigned i = 0; i < STAT_COUNT; i++)
        json_object_set_new(stats, stat_names[i], json_integer((json_int_t)d->stat[i]));
    return json_pack("{s:o,s:I}", "stats", stats, "last-update", (json_int_t)d->last_update);
}

static json_t *get_interval(const struct pci_device *p)
{
    return json_integer(container_of(p, struct virtio_balloon, v.pci)->interval);
}

static int set_interval(struct pci_device *p, const json_t *value, struct error *e)
{
    struct virtio_balloon *d = container_of(p, struct virtio_balloon, v.pci);
    json_int_t seconds = json_integer_value(value);
    if (!json_is_integer(value))
        return error_set(e, EINVAL,
                         "Invalid parameter type for 'guest-stats-polling-interval', expected: integer");
    if (seconds < 0)
        return error_set(e, EINVAL, "timer value must be greater than zero");
    if (seconds > UINT32_MAX)
        return error_set(e, ERANGE, "timer value is too big");
    d->interval = (u32)seconds;
    arm(d);
    return 0;
}

static const struct pci_property live[] = {
    {"guest-stats", "guest statistics", get_stats, NULL},
    {"guest-stats-polling-interval", "int", get_interval, set_interval},
    {0}};

/* ---- life ---- */

static void balloon_reset(struct virtio_device *v)
{
    struct virtio_balloon *d = from_virtio(v);
    d->has_buffer = false;
    config(d)->actual = config(d)->poison_val = 0;
}

static int balloon_create(struct virtio_device *v, const struct pci_place *place, struct error *e)
{
    struct virtio_balloon *d = from_virtio(v);
    if (balloon_find(place->bus))
        return error_set(e, EEXIST, "virtio-balloon-pci: there is one already, and one alone is possible");
    d->events = place->events;
    d->ask.expired = ask;
    memset(d->stat, 0xff, sizeof(d->stat));
    if (d->deflate_on_oom)
        v->offered |= BIT(F_DEFLATE_ON_OOM);
    if (d->reporting)
        v->offered |= BIT(F_REPORTING);
    for (unsigned i = 0; i < QUEUES; i++)
        virtio_add_queue(v, QUEUE_SIZE);
    return 0;
}

static void balloon_destroy(struct virtio_device *v)
{
    loop_cancel(v->loop, &from_virtio(v)->ask);
}

static const struct property_row balloon_rows[] = {
    {"deflate-on-oom", PROPERTY_BOOL, offsetof(struct virtio_balloon, deflate_on_oom), "off",
     "a guest without memory takes its pages back"},
    {"free-page-reporting", PROPERTY_BOOL, offsetof(struct virtio_balloon, reporting), "off",
     "the guest tells which pages are free, and the host takes them"},
    VIRTIO_ROWS(struct virtio_balloon),
    {0}};

static int balloon_loaded(void *object, struct error *e)
{
    struct virtio_balloon *d = object;
    (void)e;
    arm(d);
    return 0;
}

static const struct state_field balloon_fields[] = {
    STATE(struct virtio_balloon, stat),     STATE(struct virtio_balloon, last_update),
    STATE(struct virtio_balloon, interval), STATE_BOOL(struct virtio_balloon, has_buffer),
    STATE(struct virtio_balloon, buffer),   {0}};
static const struct state_table balloon_state = {"virtio-balloon", 1, balloon_fields,
                                                 .loaded = balloon_loaded};

const struct virtio_type virtio_balloon = {
    .pci = VIRTIO_PCI("virtio-balloon", "a balloon: the guest gives memory back", balloon_rows, .live = live),
    .id = 5,
    .class = 0x00ff,
    .features = BIT(F_STATS_VQ) | BIT(F_PAGE_POISON),
    .config_size = sizeof(struct balloon_config),
    .size = sizeof(struct virtio_balloon),
    .create = balloon_create,
    .destroy = balloon_destroy,
    .reset = balloon_reset,
    .started = balloon_started,
    .notify = balloon_notify,
    .config_written = config_written,
    .state = &balloon_state,
    .config_writable_from = ACTUAL,
    .config_writable_size = sizeof(struct balloon_config) - ACTUAL,
};
