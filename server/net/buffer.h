/*
 * buffer.h - bytes on their way: a stretch of memory, and how much of it waits.
 *
 *   data      start        end         capacity
 *   +---------+------------+-----------+
 *   |  done   |  waiting   |   room    |
 *   +---------+------------+-----------+
 *
 * Its memory is counted in the budget, so having none is the usual state of a connection's buffers.
 *
 * Invariants:
 *   BUFFER-1  start <= end <= capacity; data is NULL exactly when capacity is 0.
 *   BUFFER-2  the budget holds exactly capacity bytes for it.
 *
 * Threads: plain data.
 */
#ifndef SERVER_NET_BUFFER_H
#define SERVER_NET_BUFFER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct budget;

struct buffer {
    uint8_t *data;
    size_t capacity;
    size_t start;
    size_t end;
};

static inline size_t buffer_count(const struct buffer *buffer)
{
    return buffer->end - buffer->start;
}

/**
 * buffer_resize() - a capacity of exactly @capacity; what waits moves to the front.
 * @capacity: at least what waits.
 *
 * Large buffers are mappings of their own: growing one moves no bytes, and all of a freed one goes
 * back to the system.
 * Errors: false - the budget or the system has no memory; nothing has changed.
 */
bool buffer_resize(struct buffer *buffer, struct budget *budget, size_t capacity)
    __attribute__((warn_unused_result));

/** buffer_copy() - an empty buffer gets memory of its own for @bytes, and the bytes. */
bool buffer_copy(struct buffer *buffer, struct budget *budget, const void *bytes, size_t count)
    __attribute__((warn_unused_result));

void buffer_free(struct buffer *buffer, struct budget *budget);

#endif
