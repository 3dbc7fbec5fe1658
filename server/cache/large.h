/*
 * large.h - entries that do not fit into a page: a stream of blocks in a chain of whole pages.
 *
 *   entry (key and value):  |---- 64 KiB ----|---- 64 KiB ----|-- rest --|
 *   stream:                 | 4 | LZ4 block  | 4 | LZ4 block  | 4 | ..   |
 *   pages:                  |  4096  |  4096  |  4096  |  4096  | tail   |
 *                            '---- chain, linked by the arena --'   '-> in the record
 *
 * Each block stands behind 4 bytes: its length, the top bit set where it is raw. What is left over
 * behind the last whole page goes into the record, if it fits, so that a value wastes no half page.
 * An entry of one block may use the dictionary of its record's log; larger ones use none, as a
 * dictionary only helps the first 64 KiB. A chain belongs to one record; it is in no list and goes
 * when its record goes.
 *
 * Invariants:
 *   LARGE-1  stream bytes = 4096 * pages + tail bytes, or less by a part of the last page where
 \*            there is no tail.
 *   LARGE-2  the blocks decompress to exactly the entry's bytes.
 *
 * Threads: writing needs no lock (nobody knows the pages yet), reading the lock of the shard.
 */
#ifndef SERVER_CACHE_LARGE_H
#define SERVER_CACHE_LARGE_H

#include "server/cache/codec.h"
#include "server/cache/record.h"
#include "zbud/arena.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/** large_room_fn - make the arena able to hand out a page; false where that cannot be. */
typedef bool large_room_fn(void *owner);

struct large_writer {
    struct zbud_arena *arena;
    large_room_fn *room;
    void *owner;
    uint32_t first_page;
    uint32_t last_page;
    uint32_t previous_page; /* the one before the last */
    size_t last_fill;       /* bytes in the last page */
    size_t stream_bytes;
    size_t tail_bytes;
    uint8_t tail[RECORD_TAIL_BYTES_MAX];
};

void large_begin(struct large_writer *writer, struct zbud_arena *arena, large_room_fn *room,
                 void *owner);
/** large_put() - one block; false where no page was to be had: large_drop() is due. */
bool large_put(struct large_writer *writer, const uint8_t *block, size_t block_bytes, bool raw)
    __attribute__((warn_unused_result));
/** large_put_entry() - an entry of any size, cut into blocks, each compressed if @compress. */
bool large_put_entry(struct large_writer *writer, struct codec *codec, const uint8_t *entry,
                     size_t entry_bytes, bool compress) __attribute__((warn_unused_result));
/** large_end() - move the tail out of the last page; the writer's fields are final. */
void large_end(struct large_writer *writer);
/** large_drop() - give all pages back. */
void large_drop(struct large_writer *writer);

/** large_pages() - how many pages a large record's chain has. */
size_t large_pages(const struct record *record);

/**
 * large_read() - the whole entry of a large record, key and value.
 * @dictionary: that of the record's log, or NULL.
 * @out: key_bytes + value_bytes of room.
 *
 * Returns false where the stream is damaged.
 */
bool large_read(const struct zbud_arena *arena, const struct record *record,
                const struct codec_dictionary *dictionary, struct codec *codec, uint8_t *out)
    __attribute__((warn_unused_result));

/**
 * large_read_block() - one block of an entry that was put uncompressed.
 * @number: 0 to below (key_bytes + value_bytes) / CODEC_BLOCK_BYTES, rounded up.
 * @out:    CODEC_BLOCK_BYTES of room.
 *
 * Returns its length, 0 where the stream is damaged.
 */
size_t large_read_block(const struct zbud_arena *arena, const struct record *record, size_t number,
                        uint8_t *out);

#endif
