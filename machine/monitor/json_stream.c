/* json_stream.c - finds the JSON values in a stream of bytes (RFC 8259) */
/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <stdlib.h>
#include <string.h>

#include "machine/monitor/monitor.h"

enum { QMP_RESET = 0xff }; /* a byte that UTF-8 does not have: what came before it does not count */

void json_stream_reset(struct json_stream *s)
{
    *s = (struct json_stream){.text = s->text, .room = s->room};
}

void json_stream_free(struct json_stream *s)
{
    free(s->text);
    *s = (struct json_stream){0};
}

static bool keep(struct json_stream *s, u8 byte)
{
    enum { START = 1024 };
    if (s->length == s->room) {
        size_t room = s->room ? 2 * s->room : START;
        char *text = room <= MONITOR_INPUT_MAX ? realloc(s->text, room) : NULL;
        if (!text)
            return false;
        s->text = text;
        s->room = room;
    }
    s->text[s->length++] = (char)byte;
    return true;
}

/* Inside of a string, brackets are no brackets. */
static void follow_string(struct json_stream *s, u8 byte)
{
    if (!s->escaped && byte == '"')
        s->in_string = false;
    s->escaped = !s->escaped && byte == '\\';
}

/* What follows on the line is as bad: one error is enough. */
static enum json_stream_state bad(struct json_stream *s)
{
    json_stream_reset(s);
    s->skipping = true;
    return JSON_STREAM_BAD;
}

enum json_stream_state json_stream_put(struct json_stream *s, u8 byte)
{
    if (byte == QMP_RESET)
        json_stream_reset(s);
    if (s->skipping && byte != '\n')
        return JSON_STREAM_MORE;
    s->skipping = false;
    if (byte == QMP_RESET || (!s->depth && strchr(" \t\r\n", byte) && byte))
        return JSON_STREAM_MORE;
    if (!s->depth && byte != '{' && byte != '[')
        return bad(s);
    if (!keep(s, byte))
        return bad(s);
    if (s->in_string)
        follow_string(s, byte);
    else if (byte == '"')
        s->in_string = true;
    else if (byte == '{' || byte == '[')
        s->depth++;
    else if (byte == '}' || byte == ']')
        s->depth--;
    if (s->depth > MONITOR_DEPTH_MAX)
        return bad(s);
    return s->depth ? JSON_STREAM_MORE : JSON_STREAM_VALUE;
}
