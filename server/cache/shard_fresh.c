/* Logs of what was stored uncompressed, for the keeper to compress: a short queue in each shard. */
#include "server/cache/hash.h"
#include "server/cache/large.h"
#include "server/cache/shard_inside.h"

#include <assert.h>
#include <string.h>

/* All shards' together have at most one log for so many pages of the limit; and one for so many of
 * those that are free, which nobody else wants before they are fewer. */
#define FRESH_PART       128u
#define FRESH_FREE_PART  16u
/* And large ones as many pages. */
#define FRESH_LARGE_PART 32u
#define PUT_TOGETHER     8u

static unsigned fresh_count(const struct shard *shard)
{
    return atomic_load_explicit(&shard->fresh_count, memory_order_relaxed);
}

bool shard_fresh_room(const struct shard *shard, size_t entry_bytes)
{
    size_t limit_pages = zbud_arena_limit_pages(shard->arena) >> shard->shard_bits;
    size_t free_pages = zbud_arena_available(shard->arena) >> shard->shard_bits;
    size_t logs = limit_pages / FRESH_PART + free_pages / FRESH_FREE_PART;
    size_t pages = atomic_load_explicit(&shard->fresh_large_pages, memory_order_relaxed);
    if (entry_bytes > CODEC_BLOCK_BYTES &&
        pages + entry_bytes / ZBUD_PAGE_BYTES >= limit_pages / FRESH_LARGE_PART)
        return false;
    return fresh_count(shard) < (logs < SHARD_FRESH_MAX ? logs : SHARD_FRESH_MAX);
}

/* Where the queue is full, which only happens when records are moved to such a log, it waits for
 * the crawler as any young log. */
void shard_fresh_add(struct shard *shard, struct zbud_handle log)
{
    unsigned count = fresh_count(shard);
    if (count == SHARD_FRESH_MAX)
        return;
    *shard_fresh_at(shard, count) = log;
    atomic_store_explicit(&shard->fresh_count, count + 1, memory_order_relaxed);
}

void shard_fresh_remove(struct shard *shard, struct zbud_handle log)
{
    unsigned count = fresh_count(shard), at = 0;
    while (at < count && shard_fresh_at(shard, at)->bits != log.bits)
        at++;
    if (at == count)
        return;
    for (; at > 0; at--) /* most often it is the first */
        *shard_fresh_at(shard, at) = *shard_fresh_at(shard, at - 1);
    shard->fresh_start = (shard->fresh_start + 1) % SHARD_FRESH_MAX;
    atomic_store_explicit(&shard->fresh_count, count - 1, memory_order_relaxed);
}

/* All of a fresh log's records are raw; of a large one only the key is copied. Their slots are
 * looked for when they are replaced. */
static void gather_log(struct shard *shard, struct zbud_handle log, struct gathered *gathered)
    ZB_REQUIRES(shard->lock)
{
    unsigned records = zbud_log_records(shard->pool, log);
    for (unsigned number = 0; number < records; number++) {
        struct shard_found found;
        if (!shard_record(shard, (struct index_place){log, number}, &found))
            continue;
        const struct record *record = &found.record;
        bool large = (record->tag & RECORD_TAG_LARGE) != 0;
        size_t bytes = record->key_bytes + (large ? 0 : record->value_bytes);
        assert((record->tag & RECORD_TAG_COMPRESSED) == 0);
        assert(bytes <= GATHERED_BYTES - gathered->bytes_used);
        gathered->items[gathered->count++] = (struct gathered_item){
            .place = found.place,
            .sequence = record->sequence,
            .key_bytes = record->key_bytes,
            .value_bytes = record->value_bytes,
            .entry_at = gathered->bytes_used,
            .stored_bytes = large ? record->stream_bytes : record->payload_bytes,
            .copied = !large,
        };
        memcpy(gathered->bytes + gathered->bytes_used, record->payload, bytes);
        gathered->bytes_used += bytes;
    }
}

bool shard_fresh_gather(struct shard *shard, struct gathered *gathered)
{
    gathered->count = 0;
    gathered->bytes_used = 0;
    if (fresh_count(shard) == 0)
        return false;
    lock_take(&shard->lock);
    bool any = fresh_count(shard) > 0;
    if (any) {
        struct zbud_handle log = *shard_fresh_at(shard, 0);
        shard_fresh_remove(shard, log);
        gathered->was_open = zbud_log_is_open(shard->pool, log);
        if (!zbud_log_close(shard->pool, log))
            gather_log(shard, log, gathered);
    }
    lock_give(&shard->lock);
    for (unsigned i = 0; i < gathered->count; i++) {
        struct gathered_item *item = &gathered->items[i];
        item->hash = hash_key(gathered->bytes + item->entry_at, item->key_bytes, shard->seed);
    }
    return any;
}

size_t shard_fresh_block(struct shard *shard, const struct gathered_item *item, size_t number,
                         uint8_t *out)
{
    struct shard_found found;
    size_t bytes = 0;
    lock_take(&shard->lock);
    if (shard_find_gathered(shard, item, &found))
        bytes = large_read_block(shard->arena, &found.record, number, out);
    lock_give(&shard->lock);
    return bytes;
}

/* Some under one lock, so that what this core and a request's write by turns does not change hands
 * with each; not many, as a request that finds it taken for longer than it waits awake sleeps. */
static void put_some(struct shard *shard, const struct gathered_item *items,
                     const struct shard_put *puts, unsigned count)
{
    lock_take(&shard->lock);
    for (unsigned i = 0; i < count; i++)
        index_fetch(shard->index, items[i].hash);
    for (unsigned i = 0; i < count; i++) {
        if (items[i].copied)
            (void)shard_replace(shard, &items[i], &puts[i], puts[i].kind);
    }
    lock_give(&shard->lock);
}

void shard_fresh_put(struct shard *shard, const struct gathered *gathered,
                     const struct shard_put *puts)
{
    for (unsigned at = 0; at < gathered->count; at += PUT_TOGETHER) {
        unsigned left = gathered->count - at;
        put_some(shard, &gathered->items[at], &puts[at], left < PUT_TOGETHER ? left : PUT_TOGETHER);
    }
}

/* The sums of SHARD-2 follow the records from one kind to the other. */
static void count_log(struct shard *shard, struct zbud_handle log, unsigned kind, bool added)
    ZB_REQUIRES(shard->lock)
{
    unsigned records = zbud_log_records(shard->pool, log);
    for (unsigned number = 0; number < records; number++) {
        struct shard_found found;
        if (shard_record(shard, (struct index_place){log, number}, &found))
            shard_count_record(shard, kind, &found.record, found.bytes_count, added);
    }
}

void shard_fresh_keep(struct shard *shard, const struct gathered *gathered, unsigned kind)
{
    struct shard_found found;
    unsigned at = 0;
    lock_take(&shard->lock);
    while (at < gathered->count && !shard_find_gathered(shard, &gathered->items[at], &found))
        at++;
    if (at < gathered->count) {
        struct zbud_handle log = found.place.log;
        unsigned kept = kind | (found.kind & (KIND_EXPIRY | KIND_MOVED));
        assert((found.kind & KIND_FRESH) && kind_dictionary(found.kind) == 0);
        count_log(shard, log, found.kind, false);
        dictionaries_use(shard->dictionaries, kind_dictionary(kept));
        shard_log_set_kind(shard, log, kept);
        dictionaries_release(shard->dictionaries, kind_dictionary(found.kind));
        count_log(shard, log, kept, true);
    }
    lock_give(&shard->lock);
}

bool shard_fresh_put_large(struct shard *shard, const struct gathered_item *item,
                           const struct shard_put *put)
{
    lock_take(&shard->lock);
    bool replaced = shard_replace(shard, item, put, put->kind);
    lock_give(&shard->lock);
    return replaced;
}
