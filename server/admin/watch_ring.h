/*
 * watch_ring.h - bytes from one thread to another, without a lock: a ring with one writer and one
 * reader.
 *
 *   data   0          read                 written            capacity
 *          +-----------+---------------------+------------------+
 *          |   room    |  waits to be taken  |       room       |
 *          +-----------+---------------------+------------------+
 *
 * Both ends count the bytes they ever moved; what waits is the difference. Where there is no room
 * nothing is written: a writer never waits.
 *
 * Invariants:
 *   RING-1  written - read <= capacity.
 *   RING-2  a reader sees a put whole or not at all.
 *
 * Threads: one puts, one takes; the memory is given before the first of them comes, and outlives
 * both.
 */
#ifndef SERVER_ADMIN_WATCH_RING_H
#define SERVER_ADMIN_WATCH_RING_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct watch_ring {
    uint8_t *_Atomic data; /* NULL: there is no room yet */
    size_t capacity;
    _Alignas(64) _Atomic uint64_t written;
    _Alignas(64) _Atomic uint64_t read;
};

/** watch_ring_give() - memory that stays the caller's. */
void watch_ring_give(struct watch_ring *ring, uint8_t *data, size_t capacity);
/** watch_ring_put() - two pieces, one behind the other. False, and nothing put: no room. */
bool watch_ring_put(struct watch_ring *ring, const void *first, size_t first_bytes,
                    const void *second, size_t second_bytes) __attribute__((warn_unused_result));
/** watch_ring_take() - what waits, at most @room bytes; how many. */
size_t watch_ring_take(struct watch_ring *ring, uint8_t *out, size_t room);
/** watch_ring_waiting() - how many bytes wait; either end. */
size_t watch_ring_waiting(const struct watch_ring *ring);

#endif
