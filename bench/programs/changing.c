/* changing.c - code that changes: a loop that modifies itself, a compiler of small functions */
/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "workload.h"

static uint8_t *code;

static void map_code(void)
{
    code = mmap(NULL, 65536, PROT_READ | PROT_WRITE | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (code == MAP_FAILED)
        exit(1);
}

static uint64_t call(const uint8_t *function)
{
    return (uint64_t)((int (*)(void))(uintptr_t)function)();
}

static uint8_t *put(uint8_t *p, uint8_t opcode, uint32_t immediate)
{
    *p++ = opcode;
    memcpy(p, &immediate, 4);
    return p + 4;
}

/* mov $i, %eax; ret: made anew for each call. */
static void run_self_modifying(long n)
{
    uint64_t sum = 0;
    for (long i = 0; i < n; i++) {
        *put(code, 0xb8, (uint32_t)i) = 0xc3;
        sum += call(code);
    }
    sink = sum;
}

/* 4 KiB of code into one of 16 pages: xor %eax, %eax; add $..., %eax; nop; ...; ret. Each is called 10 times.
 */
static void run_jit(long n)
{
    uint64_t sum = 0;
    for (long i = 0; i < n; i++) {
        uint8_t *page = code + (i & 15) * 4096, *p = page;
        *p++ = 0x31;
        *p++ = 0xc0;
        while (p < page + 4080) {
            p = put(p, 0x05, (uint32_t)(i + (p - page)));
            *p++ = 0x90;
        }
        *p = 0xc3;
        for (int k = 0; k < 10; k++)
            sum += call(page);
    }
    sink = sum;
}

const struct workload workloads[] = {
    {"self_modifying", run_self_modifying, map_code},
    {"jit4k", run_jit, map_code},
    {NULL, NULL, NULL},
};
