#include "server/admin/text.h"

#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>

void text_start(struct text *text, char *bytes, size_t room)
{
    *text = (struct text){.bytes = bytes, .room = room, .whole = true};
}

void text_put(struct text *text, const char *format, ...)
{
    const size_t room = text->room - text->used;
    va_list arguments;

    if (!text->whole) {
        return;
    }
    va_start(arguments, format);
    const int count = vsnprintf(text->bytes + text->used, room, format, arguments);
    va_end(arguments);
    text->whole = count >= 0 && (size_t)count < room;
    text->used += text->whole ? (size_t)count : 0;
}

void text_put_json(struct text *text, const void *bytes, size_t count)
{
    const uint8_t *at = bytes;

    text_put(text, "\"");
    for (size_t i = 0; i < count; i++) {
        if (at[i] < ' ' || at[i] == '"' || at[i] == '\\' || at[i] == '<' || at[i] == 0x7f) {
            text_put(text, "\\u%04x", at[i]);
        } else if (at[i] > 0x7f) {
            text_put(text, "\\ufffd");
        } else {
            text_put(text, "%c", at[i]);
        }
    }
    text_put(text, "\"");
}
