/*
 * load_buffer.h - bytes on their way: put in at the end, taken out at the front.
 *
 *   data: [.. taken ..][.. held ..][.. room ..]
 *                      begin       end         capacity
 *
 * Threads: one buffer, one thread.
 */
#ifndef CLIENTS_LOAD_BUFFER_H
#define CLIENTS_LOAD_BUFFER_H

#include <stddef.h>
#include <stdint.h>

struct load_buffer {
    uint8_t *data;
    size_t begin, end, capacity;
};

/** load_buffer_room() - where @bytes can be written, at the end; NULL where there is no memory.
 * What is held may move. */
uint8_t *load_buffer_room(struct load_buffer *buffer, size_t bytes);
/** load_buffer_take() - @bytes at the front are done with. */
void load_buffer_take(struct load_buffer *buffer, size_t bytes);
void load_buffer_fini(struct load_buffer *buffer);

#endif
