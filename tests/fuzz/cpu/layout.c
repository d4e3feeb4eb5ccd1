/* layout.c - items to code */
/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <string.h>

#include "tests/fuzz/cpu/case.h"

static const u8 ud2[] = {0x0f, 0x0b};

static void assign_addresses(struct test_case *c)
{
    u64 at = c->start;
    for (u32 i = 0; i < c->count; i++) {
        c->address[i] = at;
        at += c->item[i].length;
    }
    c->address[c->count] = at;
}

static u64 item_address(const struct test_case *c, u64 item)
{
    return c->address[min(item, (u64)c->count)];
}

/* The value of the field, and its size. */
static u64 fixed_value(const struct test_case *c, u32 i, unsigned *size)
{
    const struct item *it = &c->item[i];
    u64 next = c->address[i + 1];
    switch (it->fix) {
    case FIX_REL8: *size = 1; return item_address(c, it->target) - next;
    case FIX_REL32: *size = 4; return item_address(c, it->target) - next;
    case FIX_RIP32: *size = 4; return it->target - next;
    default: *size = 8; return item_address(c, it->target);
    }
}

static bool apply_fix(struct test_case *c, u32 i)
{
    struct item *it = &c->item[i];
    unsigned size;
    if (it->fix == FIX_NONE)
        return true;
    u64 value = fixed_value(c, i, &size);
    memcpy(it->bytes + it->fix_at, &value, size);
    return size == 8 || sign_extend(value, size * 8) == value;
}

bool case_layout(struct test_case *c)
{
    assign_addresses(c);
    c->code_length = 0;
    for (u32 i = 0; i < c->count; i++) {
        if (!apply_fix(c, i))
            return false;
        memcpy(c->code + c->code_length, c->item[i].bytes, c->item[i].length);
        c->code_length += c->item[i].length;
    }
    if (!c->open_end) {
        memcpy(c->code + c->code_length, ud2, sizeof(ud2));
        c->code_length += sizeof(ud2);
    }
    for (u32 i = 0; i < c->pointers; i++) {
        u64 to = item_address(c, c->pointer[i].item);
        memcpy(c->window + c->pointer[i].offset, &to, sizeof(to));
    }
    return c->start >= CODE_VA && c->start + c->code_length <= CODE_END;
}
