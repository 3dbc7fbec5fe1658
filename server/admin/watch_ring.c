#include "server/admin/watch_ring.h"

#include <string.h>

void watch_ring_give(struct watch_ring *ring, uint8_t *data, size_t capacity)
{
    ring->capacity = capacity;
    atomic_store_explicit(&ring->data, data, memory_order_release);
}

static void copy_in(const struct watch_ring *ring, uint8_t *data, uint64_t at, const void *bytes,
                    size_t count)
{
    const size_t start = (size_t)(at % ring->capacity);
    const size_t behind = ring->capacity - start;
    const size_t first = count < behind ? count : behind;

    if (count == 0) {
        return;
    }
    memcpy(data + start, bytes, first);
    memcpy(data, (const uint8_t *)bytes + first, count - first);
}

bool watch_ring_put(struct watch_ring *ring, const void *first, size_t first_bytes,
                    const void *second, size_t second_bytes)
{
    uint8_t *data = atomic_load_explicit(&ring->data, memory_order_acquire);
    const uint64_t written = atomic_load_explicit(&ring->written, memory_order_relaxed);
    const uint64_t read = atomic_load_explicit(&ring->read, memory_order_acquire);
    const size_t count = first_bytes + second_bytes;

    if (data == NULL || count > ring->capacity - (size_t)(written - read)) {
        return false;
    }
    copy_in(ring, data, written, first, first_bytes);
    copy_in(ring, data, written + first_bytes, second, second_bytes);
    atomic_store_explicit(&ring->written, written + count, memory_order_release);
    return true;
}

size_t watch_ring_take(struct watch_ring *ring, uint8_t *out, size_t room)
{
    const uint8_t *data = atomic_load_explicit(&ring->data, memory_order_acquire);
    const uint64_t written = atomic_load_explicit(&ring->written, memory_order_acquire);
    const uint64_t read = atomic_load_explicit(&ring->read, memory_order_relaxed);
    const size_t waiting = (size_t)(written - read);
    const size_t count = waiting < room ? waiting : room;

    if (count == 0) {
        return 0;
    }
    const size_t start = (size_t)(read % ring->capacity);
    const size_t behind = ring->capacity - start;
    const size_t first = count < behind ? count : behind;
    memcpy(out, data + start, first);
    memcpy(out + first, data, count - first);
    atomic_store_explicit(&ring->read, read + count, memory_order_release);
    return count;
}

size_t watch_ring_waiting(const struct watch_ring *ring)
{
    const uint64_t read = atomic_load_explicit(&ring->read, memory_order_acquire);
    const uint64_t written = atomic_load_explicit(&ring->written, memory_order_acquire);

    return (size_t)(written - read);
}
