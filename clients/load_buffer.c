#include "clients/load_buffer.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

uint8_t *load_buffer_room(struct load_buffer *buffer, size_t bytes)
{
    size_t held = buffer->end - buffer->begin;

    if (buffer->capacity - buffer->end >= bytes)
        return buffer->data + buffer->end;
    if (buffer->begin > 0) {
        memmove(buffer->data, buffer->data + buffer->begin, held);
        buffer->begin = 0;
        buffer->end = held;
    }
    if (buffer->capacity - held < bytes) {
        size_t capacity = 2 * buffer->capacity + bytes;
        uint8_t *grown = realloc(buffer->data, capacity);

        if (grown == NULL)
            return NULL;
        buffer->data = grown;
        buffer->capacity = capacity;
    }
    return buffer->data + buffer->end;
}

void load_buffer_take(struct load_buffer *buffer, size_t bytes)
{
    assert(bytes <= buffer->end - buffer->begin);
    buffer->begin += bytes;
    if (buffer->begin == buffer->end)
        buffer->begin = buffer->end = 0;
}

void load_buffer_fini(struct load_buffer *buffer)
{
    free(buffer->data);
    *buffer = (struct load_buffer){0};
}
