/*
 * prepare.h - what can be done for a record before its shard's lock is taken: compression, and the
 * pages of a large one.
 *
 * Threads: a struct prepare belongs to one thread.
 */
#ifndef SERVER_CACHE_PREPARE_H
#define SERVER_CACHE_PREPARE_H

#include "server/cache/cache_inside.h"
#include "server/cache/large.h"

struct prepare {
    struct cache *cache;
    struct codec *codec;
    const struct classes *classes; /* to compress by; the owner holds them. NULL: no dictionary */
    uint32_t now_s;
    struct large_writer large;
    /* Of an entry that is put in parts: */
    size_t parts_bytes; /* how much of it is in pages */
    bool compress;
    bool fresh;
};

/**
 * prepare_put() - compress an entry.
 * @entry: key and value, put->key_bytes and put->value_bytes long.
 * @put:   payload, tag, kind and pages are set; they borrow from @prepare and @entry until the
 *         next call. The pages are the caller's until a shard has taken them: prepare_drop().
 *
 * Returns false where a large entry finds no pages.
 */
bool prepare_put(struct prepare *prepare, enum codec_level level, const uint8_t *entry,
                 struct shard_put *put) __attribute__((warn_unused_result));
/** prepare_can_wait() - whether an entry may be stored uncompressed, to be compressed later. */
bool prepare_can_wait(size_t entry_bytes);
/** prepare_fresh() - prepare_put() of such an entry as it is. */
bool prepare_fresh(struct prepare *prepare, const uint8_t *entry, struct shard_put *put)
    __attribute__((warn_unused_result));

/** prepare_begin() - what prepare_part() is called for next is an entry's first part; it is kept as
 * it is if @fresh. */
void prepare_begin(struct prepare *prepare, enum codec_level level, bool fresh);
/**
 * prepare_part() - prepare_put() or prepare_fresh() of an entry of more than a block, a block a
 * call. Between two the entry may move. Between the first and the last nothing else is prepared
 * with @prepare; large_drop() ends it before.
 *
 * Returns CACHE_OK with all of @put set, CACHE_MORE, or CACHE_NO_MEMORY where there are no pages:
 * it has none then.
 */
enum cache_status prepare_part(struct prepare *prepare, const uint8_t *entry, struct shard_put *put)
    __attribute__((warn_unused_result));

/** prepare_read_fn - a block of an entry to @out; its length, 0: it is gone. */
typedef size_t prepare_read_fn(void *context, size_t number, uint8_t *out);
/**
 * prepare_again() - compress a large entry that was stored uncompressed.
 * @buffer:       CODEC_BLOCK_BYTES of scratch.
 * @stored_bytes: of its stream now.
 *
 * As prepare_put(). False also where it is gone, or would be no smaller.
 */
bool prepare_again(struct prepare *prepare, prepare_read_fn *read, void *context, uint8_t *buffer,
                   size_t stored_bytes, struct shard_put *put) __attribute__((warn_unused_result));
/** prepare_drop() - give back the pages of a put that no shard took. */
void prepare_drop(struct prepare *prepare, const struct shard_put *put);

#endif
