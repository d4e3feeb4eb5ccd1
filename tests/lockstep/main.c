/* main.c - lockstep: random privileged code on the library and on other CPUs, which must agree */
/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include <Zydis/Zydis.h>

#include "tests/lockstep/lockstep.h"
#include "tests/lockstep/random.h"

struct options {
    u64 cases, seed, seconds;
    unsigned mode, show;
    bool kernel, tcg, one, verbose;
};

struct counts {
    u64 cases, agreed[2], known[2], gave_up[2], limit, without, differ, ours_gave_up, outvoted, unsettled,
        unstable;
};

struct session {
    struct options o;
    struct reference *lodge, *other[2]; /* /dev/kvm, TCG; NULL: not there */
    struct counts count;
};

/* ---- showing a case ---- */

void guest_print(const struct guest *g)
{
    const struct mode *m = &modes[g->mode];
    const struct state *s = &g->state;
    printf("mode %s cpl %u cr0 %llx cr4 %llx efer %llx rflags %llx\n", m->name, g->cpl,
           (unsigned long long)s->cr0, (unsigned long long)s->cr4, (unsigned long long)s->efer,
           (unsigned long long)s->rflags);
    ZydisMachineMode mode = m->bits == 64   ? ZYDIS_MACHINE_MODE_LONG_64
                            : m->bits == 32 ? ZYDIS_MACHINE_MODE_LEGACY_32
                                            : ZYDIS_MACHINE_MODE_LEGACY_16;
    for (unsigned at = 0; at < g->code_length;) {
        ZydisDisassembledInstruction in;
        const u8 *code = g->ram + CODE + at;
        bool good = ZYAN_SUCCESS(ZydisDisassembleIntel(mode, CODE + at, code, 16, &in));
        unsigned length = good ? in.info.length : 1;
        printf("  %04x  ", CODE + at);
        for (unsigned i = 0; i < length; i++)
            printf("%02x", code[i]);
        printf("%*s%s\n", (int)(24 - 2 * length > 0 ? 24 - 2 * (int)length : 1), "", good ? in.text : "?");
        at += length;
    }
}

/* ---- one case ---- */

static bool gives_no_verdict(const struct result *r)
{
    return r->end == END_UNKNOWN || r->end == END_LIMIT;
}

/* The same case with fewer items, while who still differs. */
static void cut_down(struct session *s, struct guest *g, struct reference *who)
{
    struct result ours, theirs;
    const char *known;
    for (unsigned i = 0; i < MAX_ITEMS; i++) {
        u32 all = g->items;
        g->items = all & ~(1u << i);
        guest_generate(g, s->o.mode);
        s->lodge->run(s->lodge, g, &ours);
        who->run(who, g, &theirs);
        if (gives_no_verdict(&theirs) || !results_differ(g, &ours, &theirs, who, true, &known))
            g->items = all;
    }
    guest_generate(g, s->o.mode);
}

static void report(struct session *s, struct guest *g, struct reference *who)
{
    struct result ours, theirs;
    const char *known;
    if (s->count.differ > s->o.show)
        return;
    if (!s->o.verbose)
        cut_down(s, g, who);
    printf("seed %llu items %x: ", (unsigned long long)g->seed, g->items);
    guest_print(g);
    s->lodge->run(s->lodge, g, &ours);
    who->run(who, g, &theirs);
    printf(" lodge: %s %s; %s: %s %s\n", end_name[ours.end], ours.end == END_UNKNOWN ? ours.why : "",
           who->name, end_name[theirs.end], theirs.end == END_UNKNOWN ? theirs.why : "");
    results_differ(g, &ours, &theirs, who, false, &known);
}

enum verdict { NONE, AGREES, DIFFERS };

static enum verdict ask(struct session *s, const struct guest *g, unsigned which, const struct result *ours)
{
    struct reference *who = s->other[which];
    struct result theirs;
    const char *known;
    if (!who)
        return NONE;
    who->run(who, g, &theirs);
    if (gives_no_verdict(&theirs)) {
        s->count.gave_up[which]++;
        return NONE;
    }
    if (results_differ(g, ours, &theirs, who, true, &known))
        return DIFFERS;
    s->count.agreed[which] += !known;
    s->count.known[which] += !!known;
    return known ? NONE : AGREES;
}

/* A second time: an interrupted step of QEMU must not count. */
static bool still_differs(struct session *s, const struct guest *g, struct reference *who)
{
    struct result ours, theirs;
    const char *known;
    s->lodge->run(s->lodge, g, &ours);
    who->run(who, g, &theirs);
    return results_differ(g, &ours, &theirs, who, true, &known);
}

/* /dev/kvm is asked first; where it differs, TCG settles it. */
static void compare(struct session *s, struct guest *g, const struct result *ours)
{
    enum verdict kernel = ask(s, g, 0, ours);
    if (kernel == AGREES)
        return;
    enum verdict tcg = ask(s, g, 1, ours);
    if (tcg == AGREES) {
        s->count.outvoted += kernel == DIFFERS;
    } else if (tcg == DIFFERS) {
        if (!still_differs(s, g, s->other[1])) {
            s->count.unstable++;
            return;
        }
        s->count.differ++;
        report(s, g, s->other[1]);
    } else if (kernel == DIFFERS) {
        s->count.unsettled++;
        if (s->o.verbose)
            report(s, g, s->other[0]);
    } else {
        s->count.without++;
    }
}

static void run_case(struct session *s, u64 seed)
{
    static struct guest g;
    struct result ours;
    g.seed = seed;
    g.items = (1u << MAX_ITEMS) - 1;
    guest_generate(&g, s->o.mode);
    if (s->o.verbose)
        guest_print(&g);
    s->count.cases++;
    s->lodge->run(s->lodge, &g, &ours);
    if (ours.end == END_UNKNOWN) {
        s->count.ours_gave_up++;
        if (s->o.verbose)
            printf("seed %llu: lodge: %s at %llx\n", (unsigned long long)seed, ours.why,
                   (unsigned long long)ours.state.rip);
        return;
    }
    if (ours.end == END_LIMIT)
        s->count.limit++;
    else
        compare(s, &g, &ours);
}

/* ---- the program ---- */

static const char usage[] =
    "usage: lockstep [-n CASES] [-s SEED] [-t SECONDS] [-m MODE] [-r kvm|tcg] [-x N] [-1] [-v]\n"
    "  -r  this reference only      -x  show the first N differences (10)\n"
    "  -1  SEED is that of one case, as a report has it      -v  show steps\n";

static unsigned mode_by_name(const char *name)
{
    for (unsigned i = 0; i < MODES; i++) {
        if (!strcmp(name, modes[i].name))
            return i;
    }
    fprintf(stderr, "lockstep: no mode is called '%s'; it is one of:", name);
    for (unsigned i = 0; i < MODES; i++)
        fprintf(stderr, " %s", modes[i].name);
    fprintf(stderr, "\n");
    exit(2);
}

static struct options parse(int argc, char **argv)
{
    struct options o = {.cases = 1000, .seed = 1, .mode = MODES, .show = 10, .kernel = true, .tcg = true};
    for (int c; (c = getopt(argc, argv, "n:s:t:m:r:x:1v")) != -1;) {
        switch (c) {
        case 'n': o.cases = strtoull(optarg, NULL, 0); break;
        case 's': o.seed = strtoull(optarg, NULL, 0); break;
        case 't': o.seconds = strtoull(optarg, NULL, 0); break;
        case 'm': o.mode = mode_by_name(optarg); break;
        case 'r': o.kernel = !strcmp(optarg, "kvm"), o.tcg = !o.kernel; break;
        case 'x': o.show = (unsigned)strtoul(optarg, NULL, 0); break;
        case '1': o.one = true; break;
        case 'v': o.verbose = true; break;
        default: fputs(usage, stderr); exit(2);
        }
    }
    return o;
}

static void print_counts(const struct session *s, u64 seconds)
{
    const struct counts *c = &s->count;
    for (unsigned i = 0; i < 2; i++) {
        if (s->other[i])
            printf("%s: %llu agree, %llu known deviations, %llu without a verdict\n", s->other[i]->name,
                   (unsigned long long)c->agreed[i], (unsigned long long)c->known[i],
                   (unsigned long long)c->gave_up[i]);
    }
    if (s->other[0] && s->other[1])
        printf("/dev/kvm: %llu differ where TCG agrees with the library, %llu where TCG has no verdict\n",
               (unsigned long long)c->outvoted, (unsigned long long)c->unsettled);
    printf("lodge: %llu with an internal error, as where it has to execute beyond the end of RAM\n",
           (unsigned long long)c->ours_gave_up);
    printf(
        "lockstep: %llu cases from seed %llu in %llu s: %llu differ, %llu only once, %llu without an end, %llu "
        "skipped\n",
        (unsigned long long)c->cases, (unsigned long long)s->o.seed, (unsigned long long)seconds,
        (unsigned long long)c->differ, (unsigned long long)c->unstable, (unsigned long long)c->limit,
        (unsigned long long)c->without);
}

static void run_all(struct session *s)
{
    struct random seeds = {s->o.seed};
    time_t start = time(NULL);
    for (u64 i = 0; i < s->o.cases && (!s->o.seconds || (u64)(time(NULL) - start) < s->o.seconds); i++)
        run_case(s, s->o.one ? s->o.seed : random_u64(&seeds) >> 32);
    print_counts(s, (u64)(time(NULL) - start));
}

int main(int argc, char **argv)
{
    struct session s = {.o = parse(argc, argv)};
    setvbuf(stdout, NULL, _IOLBF, 0);
    if (s.o.one)
        s.o.cases = 1;
    s.lodge = kvm_reference(false);
    s.other[0] = s.o.kernel ? kvm_reference(true) : NULL;
    s.other[1] = s.o.tcg ? tcg_reference() : NULL;
    if (!s.lodge)
        return 1;
    if (!s.other[0] && !s.other[1]) {
        printf("lockstep: nobody to compare with\n");
        return 77;
    }
    for (unsigned i = 0; i < 2; i++) {
        if (s.other[i])
            s.other[i]->verbose = s.o.verbose;
    }
    run_all(&s);
    for (unsigned i = 0; i < 2; i++) {
        if (s.other[i])
            s.other[i]->close(s.other[i]);
    }
    s.lodge->close(s.lodge);
    /* A software KVM, which gives up now and then, may be wrong itself. */
    bool trusted = s.other[0] && !s.count.gave_up[0];
    return s.count.differ || (trusted && s.count.unsettled) ? 1 : 0;
}
