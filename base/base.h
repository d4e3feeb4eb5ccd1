/* base.h - integer names, bit and list helpers, the always-on assertion */
/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef BASE_BASE_H
#define BASE_BASE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef uint8_t u8;
typedef uint16_t u16;
typedef uint32_t u32;
typedef uint64_t u64;
typedef int8_t s8;
typedef int16_t s16;
typedef int32_t s32;
typedef int64_t s64;

#define BIT(n)                          (1ull << (n))
#define MASK(hi, lo)                    ((~0ull >> (63 - (hi))) & (~0ull << (lo)))
#define ARRAY_SIZE(a)                   (sizeof(a) / sizeof((a)[0]))
#define ALIGN_DOWN(x, a)                ((x) & ~((__typeof__(x))(a)-1))
#define ALIGN_UP(x, a)                  ALIGN_DOWN((x) + ((a)-1), a)
#define container_of(ptr, type, member) ((type *)((char *)(ptr)-offsetof(type, member)))
#define likely(x)                       __builtin_expect(!!(x), 1)
#define unlikely(x)                     __builtin_expect(!!(x), 0)

#define min(a, b)               \
    ({                          \
        __typeof__(a) a_ = (a); \
        __typeof__(b) b_ = (b); \
        a_ < b_ ? a_ : b_;      \
    })
#define max(a, b)               \
    ({                          \
        __typeof__(a) a_ = (a); \
        __typeof__(b) b_ = (b); \
        a_ > b_ ? a_ : b_;      \
    })

/* Our own bug, never a guest's or a client's: always on. */
#define ASSERT(c)                                  \
    do {                                           \
        if (unlikely(!(c)))                        \
            assert_failed(#c, __FILE__, __LINE__); \
    } while (0)
_Noreturn void assert_failed(const char *what, const char *file, int line);

static inline u64 sign_extend(u64 v, unsigned bits)
{
    return (u64)((s64)(v << (64 - bits)) >> (64 - bits));
}

#endif
