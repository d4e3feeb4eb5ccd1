/* main.c - fuzz-cpu: random unprivileged code, on the host's CPU and in a guest, must do the same */
/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <getopt.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>

#include "tests/fuzz/cpu/generate.h"

static const char usage[] =
    "usage: fuzz-cpu [-n INSTRUCTIONS] [-s SEED] [-c CASE] [-k FAILURES] [--replay [NAME]]\n"
    "  -n  ends after so many instructions (200000)\n"
    "  -s  seed of the cases (1)\n"
    "  -c  first case\n"
    "  -k  ends after so many different failures (1)\n"
    "  --replay        runs the kept cases, or one of them, instead\n";

enum { BATCH = 64 };

static struct options {
    u64 instructions, seed, first;
    unsigned failures;
    bool replay;
    const char *name;
} options = {.instructions = 200000, .seed = 1, .failures = 1};

static struct {
    u64 cases, instructions, timeouts, crashes, unjudged, repeated, reruns;
    unsigned failures;
    u64 ends[32]; /* by vector */
    bool seen[ZYDIS_MNEMONIC_MAX_VALUE + 1];
} total;

static double now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

/* Instructions that ran, setup left out, loops counted once. */
static u32 executed(const struct job *j)
{
    u32 n = 0;
    for (u32 i = 0; i < j->c.count; i++)
        n += !j->c.item[i].setup && j->c.address[i] <= j->native.state.rip;
    return n;
}

static ZydisMnemonic mnemonic_of(const struct item *it)
{
    struct decoded d;
    return decode_bytes(&d, it->bytes, it->length) ? d.i.mnemonic : ZYDIS_MNEMONIC_INVALID;
}

static void note_mnemonics(const struct job *j)
{
    for (u32 i = 0; i < j->c.count; i++)
        if (!j->c.item[i].setup)
            total.seen[mnemonic_of(&j->c.item[i])] = true;
}

/* Failures are told apart by what both sides ended with, and the mnemonic of where that was. */
static struct {
    u64 key[4096];
    unsigned count;
} kinds;

static bool is_new(const struct job *j)
{
    const struct test_case *c = &j->c;
    ZydisMnemonic m = ZYDIS_MNEMONIC_INVALID;
    for (u32 i = 0; i < c->count; i++)
        if (j->native.state.rip == c->address[i])
            m = mnemonic_of(&c->item[i]);
    u64 key = (u64)m << 32 | j->native.vector << 16 | j->guest.vector;
    for (unsigned i = 0; i < kinds.count; i++)
        if (kinds.key[i] == key)
            return false;
    if (kinds.count < ARRAY_SIZE(kinds.key))
        kinds.key[kinds.count++] = key;
    return true;
}

static void fail(struct job *jobs, unsigned n)
{
    static struct job kept, failed;
    if (!is_new(&jobs[n])) {
        total.repeated++;
        return;
    }
    kept = jobs[0];
    failed = jobs[0] = jobs[n];
    u64 number = jobs[0].c.number;
    minimise(jobs);
    bool again = !outcomes_agree(&jobs[0], NULL);
    if (!again && lost_pointers(&failed)) {
        total.unjudged++;
        kinds.count--;
        jobs[0] = kept;
        return;
    }
    total.failures++;
    if (!again) {
        printf("case %llu of seed %llu failed once, and did not fail again\n", (unsigned long long)number,
               (unsigned long long)options.seed);
        printf("  vector %u at %llx\n", failed.native.vector, (unsigned long long)failed.native.state.rip);
        outcomes_agree(&failed, stdout);
        report_listing(&failed.c, stdout, "  ");
    } else {
        printf("---- seed %llu case %llu\n", (unsigned long long)options.seed, (unsigned long long)number);
        report_case(&jobs[0], stdout);
    }
    fflush(stdout);
    jobs[n] = jobs[0];
    jobs[0] = kept;
}

/* The host's kernel may lose its program's x87 pointers where it suspends it, as on AMD's processors no area
 * holds them. So the native run is repeated where it differs; the guest's is not, but where it took too long
 * (hosts hold up what locks their bus). */
static bool agrees_now(struct job *jobs, unsigned n)
{
    static struct job kept;
    bool agrees = false;
    kept = jobs[0];
    jobs[0] = jobs[n];
    for (unsigned tries = 0; tries < 3 && !agrees; tries++) {
        native_run(1);
        if (jobs[0].guest.vector == VECTOR_TIMEOUT)
            guest_run(&jobs[0]);
        agrees = jobs[0].native.vector >= VECTOR_TIMEOUT || outcomes_agree(&jobs[0], NULL);
    }
    jobs[n].native = jobs[0].native;
    jobs[n].guest = jobs[0].guest;
    jobs[0] = kept;
    total.reruns += agrees;
    return agrees;
}

static void check(struct job *jobs, unsigned n)
{
    struct job *j = &jobs[n];
    total.cases++;
    if (j->native.vector >= VECTOR_TIMEOUT) {
        total.timeouts += j->native.vector == VECTOR_TIMEOUT;
        total.crashes += j->native.vector == VECTOR_CRASH;
        return;
    }
    guest_run(j);
    total.instructions += executed(j);
    total.ends[j->native.vector & 31]++;
    if (total.cases % 16 == 0)
        note_mnemonics(j);
    if (is_known_difference(j))
        total.unjudged++;
    else if (!outcomes_agree(j, NULL) && !agrees_now(jobs, n))
        fail(jobs, n);
}

static void fuzz(struct job *jobs)
{
    u64 number = options.first;
    while (total.instructions < options.instructions && total.failures < options.failures) {
        for (unsigned i = 0; i < BATCH; i++)
            generate(&jobs[i].c, options.seed, number++);
        native_run(BATCH);
        for (unsigned i = 0; i < BATCH && total.failures < options.failures; i++)
            check(jobs, i);
    }
}

static void print_total(double seconds)
{
    unsigned mnemonics = 0;
    for (size_t i = 0; i < ARRAY_SIZE(total.seen); i++)
        mnemonics += total.seen[i];
    printf(
        "seed %llu: %llu instructions (%u mnemonics) in %llu cases, %.1f s; %u failures (%llu more like them)\n",
        (unsigned long long)options.seed, (unsigned long long)total.instructions, mnemonics,
        (unsigned long long)total.cases, seconds, total.failures, (unsigned long long)total.repeated);
    printf("cases ended by vector:");
    for (unsigned i = 0; i < 32; i++)
        if (total.ends[i])
            printf(" %u: %llu", i, (unsigned long long)total.ends[i]);
    printf(
        "; without a verdict: %llu too long, %llu killed the child, %llu known; %llu native runs repeated\n",
        (unsigned long long)total.timeouts, (unsigned long long)total.crashes,
        (unsigned long long)total.unjudged, (unsigned long long)total.reruns);
}

static bool parse(int argc, char **argv)
{
    static const struct option long_options[] = {{"replay", no_argument, NULL, 'r'}, {0}};
    for (int o; (o = getopt_long(argc, argv, "n:s:c:k:", long_options, NULL)) != -1;)
        switch (o) {
        case 'n': options.instructions = strtoull(optarg, NULL, 0); break;
        case 's': options.seed = strtoull(optarg, NULL, 0); break;
        case 'c': options.first = strtoull(optarg, NULL, 0); break;
        case 'k': options.failures = (unsigned)strtoul(optarg, NULL, 0); break;
        case 'r': options.replay = true; break;
        default: return false;
        }
    if (options.replay && optind < argc)
        options.name = argv[optind++];
    return optind == argc;
}

int main(int argc, char **argv)
{
    if (!parse(argc, argv)) {
        fputs(usage, stderr);
        return 2;
    }
    struct job *jobs =
        mmap(NULL, BATCH * sizeof(*jobs), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (jobs == MAP_FAILED) {
        perror("fuzz-cpu: memory");
        return 2;
    }
    vectors_start();
    native_start(jobs, BATCH);
    guest_start();
    generate_start();
    if (options.replay)
        return replay(jobs, options.name) ? 1 : 0;
    double start = now();
    fuzz(jobs);
    print_total(now() - start);
    return total.failures ? 1 : 0;
}
