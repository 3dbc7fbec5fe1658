#include "server/net/buffer.h"

#include "server/budget.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

bool buffer_resize(struct buffer *buffer, struct budget *budget, size_t capacity)
{
    const size_t old_capacity = buffer->capacity;
    const size_t waiting = buffer_count(buffer);

    assert(capacity > 0 && capacity >= waiting);
    if (capacity > old_capacity && !budget_grow(budget, old_capacity, capacity)) {
        return false;
    }
    if (buffer->start > 0) {
        memmove(buffer->data, buffer->data + buffer->start, waiting);
        buffer->start = 0;
        buffer->end = waiting;
    }
    uint8_t *data = realloc(buffer->data, capacity);
    if (data == NULL) {
        if (capacity > old_capacity) {
            budget_shrink(budget, capacity, old_capacity);
        }
        return false;
    }
    if (capacity < old_capacity) {
        budget_shrink(budget, old_capacity, capacity);
    }
    buffer->data = data;
    buffer->capacity = capacity;
    return true;
}

bool buffer_copy(struct buffer *buffer, struct budget *budget, const void *bytes, size_t count)
{
    assert(buffer->capacity == 0 && count > 0);
    if (!buffer_resize(buffer, budget, count)) {
        return false;
    }
    memcpy(buffer->data, bytes, count);
    buffer->end = count;
    return true;
}

void buffer_free(struct buffer *buffer, struct budget *budget)
{
    if (buffer->capacity == 0) {
        return;
    }
    free(buffer->data);
    budget_give(budget, buffer->capacity);
    *buffer = (struct buffer){0};
}
