/* integer.c - integer arithmetic, calls, branches, strings */
/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <stdlib.h>
#include <string.h>

#include "workload.h"

#define NOINLINE __attribute__((noinline))

/* ---- a mix: lists, a matrix, a state machine, a checksum over the results ---- */
enum { NODES = 256, SIDE = 20, TEXT = 512 };

struct node {
    struct node *next;
    int16_t value, index;
};

static uint16_t crc16(uint16_t data, uint16_t crc)
{
    for (int i = 0; i < 16; i++) {
        int low = (data ^ crc) & 1;
        data >>= 1;
        crc >>= 1;
        if (low)
            crc ^= 0xA001;
    }
    return crc;
}

static struct node *merge(struct node *a, struct node *b, int (*compare)(struct node *, struct node *))
{
    struct node head, *tail = &head;
    while (a && b) {
        struct node **lower = compare(a, b) <= 0 ? &a : &b;
        tail->next = *lower;
        *lower = (*lower)->next;
        tail = tail->next;
    }
    tail->next = a ? a : b;
    return head.next;
}

static struct node *sort(struct node *list, int (*compare)(struct node *, struct node *))
{
    if (!list || !list->next)
        return list;
    struct node *slow = list, *fast = list->next;
    while (fast && fast->next) {
        slow = slow->next;
        fast = fast->next->next;
    }
    struct node *half = slow->next;
    slow->next = NULL;
    return merge(sort(list, compare), sort(half, compare), compare);
}

static int by_value(struct node *a, struct node *b)
{
    return a->value - b->value;
}

static int by_index(struct node *a, struct node *b)
{
    return a->index - b->index;
}

static uint16_t lists(uint16_t seed)
{
    static struct node pool[NODES];
    for (int i = 0; i < NODES; i++)
        pool[i] = (struct node){i < NODES - 1 ? &pool[i + 1] : NULL, (int16_t)((i * 73 + seed * 31) & 1023),
                                (int16_t)i};
    struct node *list = sort(pool, by_value);
    uint16_t crc = seed;
    for (struct node *p = list; p; p = p->next)
        crc = crc16((uint16_t)p->value, crc);
    list = sort(list, by_index);
    uint16_t found = 0;
    for (int k = 0; k < 32; k++)
        for (struct node *p = list; p; p = p->next)
            if (p->value == k * 17) {
                found++;
                break;
            }
    return crc16(found, crc);
}

static uint16_t matrix(uint16_t seed, uint16_t crc)
{
    static int16_t a[SIDE][SIDE], b[SIDE][SIDE];
    static int32_t c[SIDE][SIDE];
    for (int i = 0; i < SIDE; i++)
        for (int j = 0; j < SIDE; j++) {
            a[i][j] = (int16_t)(i * j + seed);
            b[i][j] = (int16_t)(i + j * seed);
        }
    for (int i = 0; i < SIDE; i++)
        for (int j = 0; j < SIDE; j++) {
            int32_t sum = 0;
            for (int k = 0; k < SIDE; k++)
                sum += (a[i][k] * b[k][j] >> 2) & 0xfff;
            c[i][j] = sum;
        }
    uint32_t total = 0;
    for (int i = 0; i < SIDE; i++)
        for (int j = 0; j < SIDE; j++)
            total = (total << 1) ^ (uint32_t)c[i][j];
    return crc16((uint16_t)total, crc);
}

enum { START, INTEGER, SIGN, POINT, EXPONENT, POWER, BAD };

static int number_state(int state, char c)
{
    int digit = c >= '0' && c <= '9';
    switch (state) {
    case START: return digit ? INTEGER : c == '+' || c == '-' ? SIGN : c == '.' ? POINT : BAD;
    case INTEGER: return c == '.' ? POINT : c == ',' ? START : digit ? INTEGER : BAD;
    case SIGN: return c == '.' ? POINT : digit ? POINT : BAD;
    case POINT: return c == 'e' || c == 'E' ? EXPONENT : c == ',' ? START : digit ? POINT : BAD;
    case EXPONENT: return c == '+' || c == '-' ? POWER : BAD;
    case POWER: return digit ? POWER : c == ',' ? START : BAD;
    default: return c == ',' ? START : BAD;
    }
}

static uint16_t state_machine(uint16_t seed, uint16_t crc)
{
    static const char *const numbers[] = {"5012",     "1234",     "-874",     "+122",     "35.54400",
                                          ".1234500", "-110.700", "+0.64400", "5.500e+3", "-.123e-2",
                                          "-87e+832", "T0.3e-1F", "-T.T++Tq", "1T3.4e4z"};
    static char text[TEXT];
    unsigned visits[8] = {0}, which = seed;
    int length = 0, state = START;
    while (length < TEXT - 22) {
        for (const char *p = numbers[which++ % 14]; *p; p++)
            text[length++] = *p;
        text[length++] = ',';
    }
    text[length] = 0;
    for (const char *p = text; *p; p++)
        visits[state = number_state(state, *p)]++;
    for (int i = 0; i < 8; i++)
        crc = crc16((uint16_t)visits[i], crc);
    return crc;
}

static NOINLINE uint32_t mix(uint16_t seed)
{
    return state_machine(seed, matrix(seed, lists(seed)));
}

static void run_mix(long n)
{
    uint32_t sum = 0;
    for (long i = 0; i < n; i++)
        sum += mix((uint16_t)((uint32_t)i + sum));
    sink = sum;
}

/* ---- calls, loops, sorting ---- */
static NOINLINE int fib(int n)
{
    return n < 2 ? n : fib(n - 1) + fib(n - 2);
}

static void run_fib(long n)
{
    for (long i = 0; i < n; i++)
        sink += (uint64_t)fib(20);
}

static void run_sieve(long n)
{
    static char is_prime[65536];
    for (long k = 0; k < n; k++) {
        unsigned count = 0;
        memset(is_prime, 1, sizeof(is_prime));
        for (unsigned i = 2; i < 256; i++)
            if (is_prime[i])
                for (unsigned j = i * i; j < sizeof(is_prime); j += i)
                    is_prime[j] = 0;
        for (unsigned i = 2; i < sizeof(is_prime); i++)
            count += (unsigned char)is_prime[i];
        sink += count;
    }
}

static int compare_ints(const void *a, const void *b)
{
    int x = *(const int *)a, y = *(const int *)b;
    return (x > y) - (x < y);
}

static void run_qsort(long n)
{
    static int numbers[4096];
    for (long k = 0; k < n; k++) {
        for (int i = 0; i < 4096; i++)
            numbers[i] = (int)random_next();
        qsort(numbers, 4096, sizeof(int), compare_ints);
        sink += (uint64_t)numbers[7];
    }
}

/* ---- indirect jumps and calls ---- */
static void run_interpreter(long n)
{
    static const void *const labels[] = {&&op0, &&op1, &&op2, &&op3, &&op4, &&op5, &&op6, &&again};
    static uint8_t code[1024];
    if (!code[1023]) {
        for (int i = 0; i < 1023; i++)
            code[i] = (uint8_t)(random_next() % 7);
        code[1023] = 7;
    }
    uint64_t a = 1, b = 2;
    long left = n / 1024 + 1;
    const uint8_t *pc = code;
#define NEXT goto *labels[*pc++]
    NEXT;
op0:
    a += b;
    NEXT;
op1:
    b ^= a;
    NEXT;
op2:
    a = a * 3 + 1;
    NEXT;
op3:
    b = b >> 1 | b << 63;
    NEXT;
op4:
    a -= 7;
    NEXT;
op5:
    b += a >> 3;
    NEXT;
op6:
    a ^= b << 5;
    NEXT;
again:
    if (--left) {
        pc = code;
        NEXT;
    }
#undef NEXT
    sink = a + b;
}

#define TARGET(i)                                  \
    static NOINLINE uint64_t target##i(uint64_t x) \
    {                                              \
        return x * i + 1;                          \
    }
TARGET(1)
TARGET(2)
TARGET(3)
TARGET(4)
TARGET(5)
TARGET(6)
TARGET(7)
TARGET(8)

static void run_indirect_calls(long n)
{
    static uint64_t (*volatile targets[])(uint64_t) = {target1, target2, target3, target4,
                                                       target5, target6, target7, target8};
    uint64_t x = 1;
    for (long i = 0; i < n; i++)
        x = targets[(x >> 3) & 7](x);
    sink = x;
}

/* ---- single instructions ---- */
static void run_loop(long n)
{
    __asm__ volatile("1: dec %0; jnz 1b" : "+r"(n)::"cc");
}

static void run_div(long n)
{
    uint64_t x = 1234567890123ull;
    for (uint64_t i = 0; i < (uint64_t)n; i++)
        x = x / (i | 1) + (x % (i | 3)) + 0x123456789abcull;
    sink = x;
}

static void run_atomic(long n)
{
    static uint64_t counter;
    for (long i = 0; i < n; i++)
        __atomic_fetch_add(&counter, (uint64_t)i, __ATOMIC_SEQ_CST);
}

/* ---- strings of 4 KiB ---- */
static void run_strings(long n)
{
    static char a[4096], b[4096];
    memset(a, 'x', 4095);
    for (long i = 0; i < n; i++) {
        memcpy(b, a, 4096);
        sink += strlen(b) + (uint64_t)memcmp(a, b, 4096) + (memchr(b, 0, 4096) != NULL);
        __asm__ volatile("" ::"r"(b) : "memory");
    }
}

static void run_rep_movsb(long n)
{
    static char a[4096], b[4096];
    for (long i = 0; i < n; i++) {
        void *to = b, *from = a;
        long count = 4096;
        __asm__ volatile("rep movsb" : "+D"(to), "+S"(from), "+c"(count)::"memory");
    }
}

const struct workload workloads[] = {
    {"mix", run_mix, NULL},
    {"fib20", run_fib, NULL},
    {"sieve64k", run_sieve, NULL},
    {"qsort4k", run_qsort, NULL},
    {"interpreter", run_interpreter, NULL},
    {"indirect_calls", run_indirect_calls, NULL},
    {"loop", run_loop, NULL},
    {"div64", run_div, NULL},
    {"atomic", run_atomic, NULL},
    {"strings4k", run_strings, NULL},
    {"rep_movsb4k", run_rep_movsb, NULL},
    {NULL, NULL, NULL},
};
