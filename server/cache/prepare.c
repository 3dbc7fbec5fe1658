#include "server/cache/prepare.h"

#include "server/cache/record.h"
#include "server/cache/shard_kind.h"

/* All that fit into a record. */
#define FRESH_BYTES_MAX       RECORD_PAYLOAD_BYTES_MAX
/* Of two blocks and more: a mebibyte takes 2.5 ms to compress, .1 to copy. */
#define FRESH_LARGE_BYTES_MAX (2u << 20)

/* Pages for a large entry come by eviction. */
static bool room_for_page(void *owner)
{
    struct prepare *prepare = owner;
    return cache_make_room(prepare->cache, 1, prepare->now_s);
}

static void put_large(struct prepare *prepare, struct shard_put *put)
{
    struct large_writer *large = &prepare->large;
    large_end(large);
    seal_chain(&prepare->cache->seals, prepare->cache->arena, large->first_page);
    put->tag = RECORD_TAG_LARGE;
    put->payload = large->tail;
    put->payload_bytes = large->tail_bytes;
    put->first_page = large->first_page;
    put->stream_bytes = (uint32_t)large->stream_bytes;
}

/* Writes the pages of an entry that fits into no record. @block, if there is one, is all of it. */
static bool prepare_large(struct prepare *prepare, bool compress, const uint8_t *entry,
                          const uint8_t *block, size_t block_bytes, struct shard_put *put)
{
    struct large_writer *large = &prepare->large;
    bool written;
    if (!room_for_page(prepare)) /* -M: refused before it takes what is reserved */
        return false;
    large_begin(large, prepare->cache->arena, room_for_page, prepare);
    if (block_bytes > 0)
        written = large_put(large, block, block_bytes, false);
    else
        written = large_put_entry(large, prepare->codec, entry, put->key_bytes + put->value_bytes,
                                  compress);
    if (!written) {
        large_drop(large);
        return false;
    }
    put_large(prepare, put);
    return true;
}

static void put_record(const uint8_t *payload, size_t payload_bytes, unsigned tag,
                       struct shard_put *put)
{
    put->tag = tag;
    put->payload = payload;
    put->payload_bytes = payload_bytes;
    put->first_page = ZBUD_PAGE_NONE;
    put->stream_bytes = 0;
}

bool prepare_can_wait(size_t entry_bytes)
{
    if (entry_bytes > CODEC_BLOCK_BYTES)
        return entry_bytes <= FRESH_LARGE_BYTES_MAX;
    return entry_bytes >= CODEC_BLOCK_BYTES_MIN && entry_bytes <= FRESH_BYTES_MAX;
}

bool prepare_fresh(struct prepare *prepare, const uint8_t *entry, struct shard_put *put)
{
    size_t entry_bytes = put->key_bytes + put->value_bytes;
    put->kind = KIND_FRESH;
    if (entry_bytes > CODEC_BLOCK_BYTES)
        return prepare_large(prepare, false, entry, NULL, 0, put);
    put_record(entry, entry_bytes, 0, put);
    return true;
}

void prepare_begin(struct prepare *prepare, enum codec_level level, bool fresh)
{
    large_begin(&prepare->large, prepare->cache->arena, room_for_page, prepare);
    prepare->parts_bytes = 0;
    prepare->compress = !fresh && prepare->cache->config.compress && level != CODEC_RAW;
    prepare->fresh = fresh;
}

enum cache_status prepare_part(struct prepare *prepare, const uint8_t *entry, struct shard_put *put)
{
    size_t entry_bytes = put->key_bytes + put->value_bytes;
    size_t bytes = entry_bytes - prepare->parts_bytes;
    if (bytes > CODEC_BLOCK_BYTES)
        bytes = CODEC_BLOCK_BYTES;
    if (!room_for_page(prepare) ||
        !large_put_entry(&prepare->large, prepare->codec, entry + prepare->parts_bytes, bytes,
                         prepare->compress)) {
        large_drop(&prepare->large);
        return CACHE_NO_MEMORY;
    }
    prepare->parts_bytes += bytes;
    if (prepare->parts_bytes < entry_bytes)
        return CACHE_MORE;
    put_large(prepare, put);
    put->kind = prepare->fresh
                    ? KIND_FRESH
                    : classes_choose(prepare->classes, entry, put->key_bytes, entry_bytes);
    return CACHE_OK;
}

static bool write_again(struct prepare *prepare, prepare_read_fn *read, void *context,
                        uint8_t *buffer, size_t entry_bytes)
{
    struct large_writer *large = &prepare->large;
    for (size_t number = 0; number * CODEC_BLOCK_BYTES < entry_bytes; number++) {
        const uint8_t *block;
        size_t bytes = read(context, number, buffer);
        if (bytes == 0)
            return false;
        size_t block_bytes =
            codec_compress(prepare->codec, CODEC_FAST, NULL, buffer, bytes, &block);
        bool stored = block_bytes > 0 ? large_put(large, block, block_bytes, false)
                                      : large_put(large, buffer, bytes, true);
        if (!stored)
            return false;
    }
    return true;
}

bool prepare_again(struct prepare *prepare, prepare_read_fn *read, void *context, uint8_t *buffer,
                   size_t stored_bytes, struct shard_put *put)
{
    struct large_writer *large = &prepare->large;
    large_begin(large, prepare->cache->arena, room_for_page, prepare);
    if (!write_again(prepare, read, context, buffer, put->key_bytes + put->value_bytes) ||
        large->stream_bytes >= stored_bytes) {
        large_drop(large);
        return false;
    }
    put_large(prepare, put);
    put->kind = 0;
    return true;
}

bool prepare_put(struct prepare *prepare, enum codec_level level, const uint8_t *entry,
                 struct shard_put *put)
{
    size_t entry_bytes = put->key_bytes + put->value_bytes;
    const uint8_t *block = NULL;
    size_t block_bytes = 0;
    unsigned dictionary = classes_choose(prepare->classes, entry, put->key_bytes, entry_bytes);
    put->kind = dictionary;
    bool compress = prepare->cache->config.compress && level != CODEC_RAW;
    if (compress && entry_bytes <= CODEC_BLOCK_BYTES)
        block_bytes = codec_compress(prepare->codec, level,
                                     dictionaries_get(prepare->cache->dictionaries, dictionary),
                                     entry, entry_bytes, &block);
    size_t payload_bytes = block_bytes > 0 ? block_bytes : entry_bytes;
    if (payload_bytes > RECORD_PAYLOAD_BYTES_MAX)
        return prepare_large(prepare, compress, entry, block, block_bytes, put);
    if (block_bytes > 0)
        put_record(block, block_bytes, RECORD_TAG_COMPRESSED, put);
    else
        put_record(entry, entry_bytes, 0, put);
    return true;
}

void prepare_drop(struct prepare *prepare, const struct shard_put *put)
{
    if (put->first_page != ZBUD_PAGE_NONE)
        zbud_arena_give_chain(prepare->cache->arena, put->first_page);
}
