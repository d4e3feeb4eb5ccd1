/* mem.c - memcpy and its kin for this library alone, without vector registers (see vcpu.h's head comment) */
/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <stddef.h>
#include <stdint.h>

/* Two possibly overlapping moves cover any size from one move's width to twice that. */
#define COPY_ENDS(type)                                                               \
    do {                                                                              \
        type first, last;                                                             \
        __builtin_memcpy(&first, from, sizeof(type));                                 \
        __builtin_memcpy(&last, (const char *)from + n - sizeof(type), sizeof(type)); \
        __builtin_memcpy(to, &first, sizeof(type));                                   \
        __builtin_memcpy((char *)to + n - sizeof(type), &last, sizeof(type));         \
    } while (0)

/* Operands of guest instructions are mostly of 1 to 16 bytes, for which a string instruction is slow to
 * start. */
static void copy_small(void *to, const void *from, size_t n)
{
    if (n >= 8)
        COPY_ENDS(uint64_t);
    else if (n >= 4)
        COPY_ENDS(uint32_t);
    else if (n >= 2)
        COPY_ENDS(uint16_t);
    else if (n)
        *(char *)to = *(const char *)from;
}

void *memcpy(void *restrict to, const void *restrict from, size_t n)
{
    void *start = to;
    if (n <= 16) {
        copy_small(to, from, n);
        return to;
    }
    __asm__ volatile("rep movsb" : "+D"(to), "+S"(from), "+c"(n) : : "memory");
    return start;
}

void *memmove(void *to, const void *from, size_t n)
{
    if ((uintptr_t)to - (uintptr_t)from >= n)
        return memcpy(to, from, n);
    unsigned char *last_to = (unsigned char *)to + n - 1;
    const unsigned char *last_from = (const unsigned char *)from + n - 1;
    __asm__ volatile("std; rep movsb; cld" : "+D"(last_to), "+S"(last_from), "+c"(n) : : "memory");
    return to;
}

void *memset(void *to, int value, size_t n)
{
    void *start = to;
    __asm__ volatile("rep stosb" : "+D"(to), "+c"(n) : "a"(value) : "memory");
    return start;
}

int memcmp(const void *a, const void *b, size_t n)
{
    const unsigned char *x = a, *y = b;
    while (n >= 8) {
        uint64_t u, w;
        __builtin_memcpy(&u, x, 8);
        __builtin_memcpy(&w, y, 8);
        if (u != w)
            break;
        x += 8;
        y += 8;
        n -= 8;
    }
    for (; n; n--, x++, y++)
        if (*x != *y)
            return *x - *y;
    return 0;
}
