/* Logs of what was stored uncompressed, for the keeper to compress: a short queue in each shard. */
#include "server/cache/hash.h"
#include "server/cache/shard_inside.h"

#include <assert.h>
#include <string.h>

/* All shards' together have at most one page in so many of the limit, for two logs fit a page. */
#define FRESH_PART 64u

static unsigned fresh_count(const struct shard *shard)
{
    return atomic_load_explicit(&shard->fresh_count, memory_order_relaxed);
}

bool shard_fresh_room(const struct shard *shard)
{
    size_t logs = zbud_arena_limit_pages(shard->arena) / FRESH_PART >> shard->shard_bits;
    return fresh_count(shard) < (logs < SHARD_FRESH_MAX ? logs : SHARD_FRESH_MAX);
}

/* Where the queue is full, which only happens when records are moved to such a log, it waits for
 * the crawler as any young log. */
void shard_fresh_add(struct shard *shard, struct zbud_handle log)
{
    unsigned count = fresh_count(shard);
    if (count == SHARD_FRESH_MAX)
        return;
    shard->fresh[count] = log;
    atomic_store_explicit(&shard->fresh_count, count + 1, memory_order_relaxed);
}

void shard_fresh_remove(struct shard *shard, struct zbud_handle log)
{
    unsigned count = fresh_count(shard), at = 0;
    while (at < count && shard->fresh[at].bits != log.bits)
        at++;
    if (at == count)
        return;
    memmove(&shard->fresh[at], &shard->fresh[at + 1], (count - at - 1) * sizeof(log));
    atomic_store_explicit(&shard->fresh_count, count - 1, memory_order_relaxed);
}

/* All of a fresh log's records are raw. Their slots are looked for when they are replaced. */
static void gather_log(struct shard *shard, struct zbud_handle log, struct gathered *gathered)
    ZB_REQUIRES(shard->lock)
{
    unsigned records = zbud_log_records(shard->pool, log);
    for (unsigned number = 0; number < records; number++) {
        struct shard_found found;
        if (!shard_record(shard, (struct index_place){log, number}, &found))
            continue;
        const struct record *record = &found.record;
        size_t entry_bytes = record->key_bytes + record->value_bytes;
        assert((record->tag & (RECORD_TAG_COMPRESSED | RECORD_TAG_LARGE)) == 0);
        assert(entry_bytes <= GATHERED_BYTES - gathered->bytes_used);
        gathered->items[gathered->count++] = (struct gathered_item){
            .place = found.place,
            .sequence = record->sequence,
            .key_bytes = record->key_bytes,
            .value_bytes = record->value_bytes,
            .entry_at = gathered->bytes_used,
        };
        memcpy(gathered->bytes + gathered->bytes_used, record->payload, entry_bytes);
        gathered->bytes_used += entry_bytes;
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
        struct zbud_handle log = shard->fresh[0];
        shard_fresh_remove(shard, log);
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

/* Under one lock, so that what this core and a request's write by turns changes hands once a log,
 * not once an item. A log's items take less than 100 us. */
void shard_fresh_put(struct shard *shard, const struct gathered *gathered,
                     const struct shard_put *puts)
{
    lock_take(&shard->lock);
    for (unsigned i = 0; i < gathered->count; i++)
        (void)shard_replace(shard, &gathered->items[i], &puts[i], puts[i].kind);
    lock_give(&shard->lock);
}
