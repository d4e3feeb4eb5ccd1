/* keys.c - send-key: keys that a person would press */
/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <errno.h>
#include <string.h>

#include "machine/machine.h"
#include "machine/monitor/commands.h"

enum { HOLD_MS = 100, HOLD_MAX_MS = 3600000, NS_PER_MS = 1000000 };

/* QAPI's QKeyCode, with the number of ps2_keyboard.h, which type "number" takes as it is. */
static const struct {
    const char *name;
    u8 number;
} keys[] = {
    {"shift", 0x2a},
    {"shift_r", 0x36},
    {"alt", 0x38},
    {"alt_r", 0xb8},
    {"ctrl", 0x1d},
    {"ctrl_r", 0x9d},
    {"menu", 0x9e},
    {"esc", 0x01},
    {"1", 0x02},
    {"2", 0x03},
    {"3", 0x04},
    {"4", 0x05},
    {"5", 0x06},
    {"6", 0x07},
    {"7", 0x08},
    {"8", 0x09},
    {"9", 0x0a},
    {"0", 0x0b},
    {"minus", 0x0c},
    {"equal", 0x0d},
    {"backspace", 0x0e},
    {"tab", 0x0f},
    {"q", 0x10},
    {"w", 0x11},
    {"e", 0x12},
    {"r", 0x13},
    {"t", 0x14},
    {"y", 0x15},
    {"u", 0x16},
    {"i", 0x17},
    {"o", 0x18},
    {"p", 0x19},
    {"bracket_left", 0x1a},
    {"bracket_right", 0x1b},
    {"ret", 0x1c},
    {"a", 0x1e},
    {"s", 0x1f},
    {"d", 0x20},
    {"f", 0x21},
    {"g", 0x22},
    {"h", 0x23},
    {"j", 0x24},
    {"k", 0x25},
    {"l", 0x26},
    {"semicolon", 0x27},
    {"apostrophe", 0x28},
    {"grave_accent", 0x29},
    {"backslash", 0x2b},
    {"z", 0x2c},
    {"x", 0x2d},
    {"c", 0x2e},
    {"v", 0x2f},
    {"b", 0x30},
    {"n", 0x31},
    {"m", 0x32},
    {"comma", 0x33},
    {"dot", 0x34},
    {"slash", 0x35},
    {"asterisk", 0x37},
    {"kp_multiply", 0x37},
    {"spc", 0x39},
    {"caps_lock", 0x3a},
    {"f1", 0x3b},
    {"f2", 0x3c},
    {"f3", 0x3d},
    {"f4", 0x3e},
    {"f5", 0x3f},
    {"f6", 0x40},
    {"f7", 0x41},
    {"f8", 0x42},
    {"f9", 0x43},
    {"f10", 0x44},
    {"num_lock", 0x45},
    {"scroll_lock", 0x46},
    {"kp_7", 0x47},
    {"kp_8", 0x48},
    {"kp_9", 0x49},
    {"kp_subtract", 0x4a},
    {"kp_4", 0x4b},
    {"kp_5", 0x4c},
    {"kp_6", 0x4d},
    {"kp_add", 0x4e},
    {"kp_1", 0x4f},
    {"kp_2", 0x50},
    {"kp_3", 0x51},
    {"kp_0", 0x52},
    {"kp_decimal", 0x53},
    {"sysrq", 0x54},
    {"print", 0x54},
    {"less", 0x56},
    {"f11", 0x57},
    {"f12", 0x58},
    {"kp_equals", 0x59},
    {"katakanahiragana", 0x70},
    {"lang2", 0x71},
    {"lang1", 0x72},
    {"ro", 0x73},
    {"hiragana", 0x77},
    {"henkan", 0x79},
    {"muhenkan", 0x7b},
    {"yen", 0x7d},
    {"kp_comma", 0x7e},
    {"kp_enter", 0x9c},
    {"kp_divide", 0xb5},
    {"pause", 0xc6},
    {"home", 0xc7},
    {"up", 0xc8},
    {"pgup", 0xc9},
    {"left", 0xcb},
    {"right", 0xcd},
    {"end", 0xcf},
    {"down", 0xd0},
    {"pgdn", 0xd1},
    {"insert", 0xd2},
    {"delete", 0xd3},
    {"meta_l", 0xdb},
    {"meta_r", 0xdc},
    {"compose", 0xdd},
    {"power", 0xde},
    {"sleep", 0xdf},
    {"wake", 0xe3},
    {"audioprev", 0x90},
    {"audionext", 0x99},
    {"audiomute", 0xa0},
    {"calculator", 0xa1},
    {"audioplay", 0xa2},
    {"audiostop", 0xa4},
    {"volumedown", 0xae},
    {"volumeup", 0xb0},
    {"ac_home", 0xb2},
    {"ac_bookmarks", 0xe6},
    {"ac_refresh", 0xe7},
    {"stop", 0xe8},
    {"ac_forward", 0xe9},
    {"ac_back", 0xea},
    {"computer", 0xeb},
    {"mail", 0xec},
    {"mediaselect", 0xed},
};

/* 0: there is no such key. */
static u8 number_of(const char *name)
{
    for (size_t i = 0; i < ARRAY_SIZE(keys); i++)
        if (!strcmp(keys[i].name, name))
            return keys[i].number;
    return 0;
}

static void press(struct machine *m, u8 number, bool down)
{
    for (unsigned i = 0; i < m->device_count; i++)
        if (m->device[i]->type->key)
            m->device[i]->type->key(m->device[i], number, down);
}

/* One event after the other, each held for its time. */
static void next_event(struct loop_timer *t)
{
    struct key_events *q = container_of(t, struct key_events, timer);
    struct machine *m = container_of(q, struct machine, keys);
    if (!q->count)
        return;
    struct key_event e = q->event[q->head];
    q->head = (q->head + 1) % KEY_EVENTS_MAX;
    q->count--;
    press(m, e.number, e.down);
    loop_arm(&m->loop, t, loop_now() + (u64)e.hold_ms * NS_PER_MS);
}

static void add(struct key_events *q, u8 number, bool down, u32 hold_ms)
{
    q->event[(q->head + q->count++) % KEY_EVENTS_MAX] = (struct key_event){number, down, hold_ms};
}

/* They go down in this order, and up in the reverse one. */
static void add_all(struct machine *m, const u8 *number, unsigned count, u32 hold_ms)
{
    struct key_events *q = &m->keys;
    for (unsigned i = 0; i < count; i++)
        add(q, number[i], true, hold_ms);
    for (unsigned i = count; i-- > 0;)
        add(q, number[i], false, hold_ms);
    q->timer.expired = next_event;
    if (!q->timer.armed)
        next_event(&q->timer);
}

/* A KeyValue of QAPI. */
static int key_of(const json_t *key, struct error *e)
{
    const char *type = json_string_value(json_object_get(key, "type"));
    const json_t *data = json_object_get(key, "data");
    if (!type)
        return error_set(e, EINVAL, "Parameter 'type' is missing");
    if (!data)
        return error_set(e, EINVAL, "Parameter 'data' is missing");
    if (!strcmp(type, "number")) {
        s64 n = json_integer_value(data);
        return json_is_integer(data) && n > 0 && n < 256
                   ? (int)n
                   : error_set(e, EINVAL, "Parameter 'data' expects the number of a key, 1 to 255");
    }
    if (strcmp(type, "qcode"))
        return error_set(e, EINVAL, "Parameter 'type' does not accept value '%.40s'", type);
    const char *name = json_string_value(data);
    int n = name ? number_of(name) : 0;
    return n ? n : error_set(e, EINVAL, "Parameter 'data' does not accept value '%.40s'", name ? name : "");
}

json_t *qmp_send_key(struct qmp_call *call)
{
    struct machine *m = call->machine;
    const json_t *list = json_object_get(call->arguments, "keys");
    s64 hold = qmp_integer(call, "hold-time", HOLD_MS);
    size_t count = json_array_size(list);
    u8 number[KEY_EVENTS_MAX / 2];
    if (hold < 0 || hold > HOLD_MAX_MS)
        return qmp_fail(call, "GenericError", "Parameter 'hold-time' expects milliseconds, up to %d",
                        HOLD_MAX_MS);
    if (count > (KEY_EVENTS_MAX - m->keys.count) / 2)
        return qmp_fail(call, "GenericError", "Too many keys wait to be pressed");
    for (size_t i = 0; i < count; i++) {
        int n = key_of(json_array_get(list, i), &call->e);
        if (n < 0)
            return NULL;
        number[i] = (u8)n;
    }
    add_all(m, number, (unsigned)count, (u32)hold);
    return json_object();
}

/* "ctrl-alt-f1": the names with minus signs between, as the keys of send-key. */
json_t *keys_parse(const char *text, size_t length)
{
    json_t *list = json_array();
    const char *end = text + length;
    while (text <= end) {
        const char *minus = memchr(text, '-', (size_t)(end - text));
        size_t n = (size_t)((minus ? minus : end) - text);
        json_array_append_new(list, json_pack("{s:s,s:s%}", "type", "qcode", "data", text, n));
        text += n + 1;
    }
    return list;
}
