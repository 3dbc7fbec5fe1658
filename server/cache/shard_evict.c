/* Reclaim: one page, whole. What was hit since it was written or last rescued is moved to an open
 * log, the rest goes. And what gets room back where records died: squeezing a log, and merging,
 * which moves what lives in a sparse page to open logs. */
#include "server/cache/shard_inside.h"

#include <time.h>

/* At most so much of a page is rescued, so that every reclaim wins a quarter of a page even where
 * everything was hit. */
#define RESCUE_BYTES_MAX (ZBUD_BUDDY_BYTES_MAX / 4 * 3)

/* Dead bytes a log may have, in percent. Misses at Zipf 1.0, 30 % writes: 11.98 % of gets with 25,
 * 11.75 with 15, 11.70 with 10 (and pages merged below 80 %). A squeeze takes some 0.3 us. */
#define SQUEEZE_DEAD_PCT 10u
#define SQUEEZE_DEAD_MIN (2 * ZBUD_CHUNK_BYTES)
/* The same while there is room: nobody asks for what would be won. */
#define ROOMY_DEAD_PCT   25u
/* Live bytes a page of two closed logs must keep, in percent. At most four bytes are moved for one
 * won. Misses at Zipf 1.0, 30 % writes, with no merging 13.82 % of gets, below 40 % 13.53, 60 %
 * 12.78, 70 % 12.39, 80 % 11.90, 85 % 11.87, while the records moved a store go from 0 to 0.7 (80)
 * and 0.9 (85). */
#define MERGE_LIVE_PCT   80u
/* The same of a page with one log, whose slack new logs would fill where there are any: no more is
 * moved than half of what is won. */
#define MERGE_LONE_PCT   33u
#define ROOMY_PART       8u

struct eviction {
    struct shard *shard;
    uint32_t now_s;
    size_t rescue_bytes_left;
};

/* What is moved goes to others that were moved, and expire when it does. */
static bool move_by_time_left(struct shard *shard, struct shard_found *found, uint32_t now_s)
    ZB_REQUIRES(shard->lock)
{
    unsigned expiry = expiry_class(found->record.expiry_s, now_s);
    unsigned kind = kind_with_expiry(found->kind, expiry) | KIND_MOVED;
    return shard_move(shard, found, kind);
}

static bool rescue(struct eviction *eviction, struct shard *shard, struct shard_found *found)
    ZB_REQUIRES(shard->lock)
{
    unsigned frequency = index_slot_frequency(found->slot);
    if (frequency == 0 || found->bytes_count > eviction->rescue_bytes_left)
        return false;
    size_t bytes = found->bytes_count;
    if (!move_by_time_left(shard, found, eviction->now_s))
        return false;
    eviction->rescue_bytes_left -= bytes;
    index_slot_set_frequency(found->slot, frequency - 1);
    shard->counters.rescued++;
    return true;
}

static void tell_evicted(const struct eviction *eviction, const struct shard_found *found,
                         bool fetched)
{
    const struct cache_observer *observer = &eviction->shard->observer;
    uint8_t scratch[CACHE_KEY_BYTES_MAX];
    if (observer->evicted == NULL || !observer->wants_evicted(observer->context))
        return;
    struct cache_evicted item = {
        .key = record_key(&found->record, found->dictionary, scratch),
        .key_bytes = found->record.key_bytes,
        .value_bytes = found->record.value_bytes,
        .expiry_s = found->record.expiry_s,
        .age_s = ages_of(&eviction->shard->ages, found->record.sequence, eviction->now_s),
        .fetched = fetched,
    };
    assert(item.key != NULL);
    observer->evicted(observer->context, &item, eviction->now_s);
}

static void evict_record(struct eviction *eviction, struct shard *shard, struct shard_found *found)
    ZB_REQUIRES(shard->lock)
{
    uint64_t hash;
    found->slot = shard_slot_of(shard, found, &hash);
    if (found->slot == NULL) {
        shard_kill(shard, found->place, &found->record);
        return;
    }
    if (!shard_alive(shard, &found->record, eviction->now_s)) {
        shard_count_gone(shard, found, eviction->now_s);
    } else if (rescue(eviction, shard, found)) {
        return;
    } else {
        bool fetched = index_slot_frequency(found->slot) > 0;
        shard->counters.evicted++;
        shard->counters.evicted_unfetched += !fetched;
        tell_evicted(eviction, found, fetched);
    }
    shard_remove(shard, hash, found);
}

static void evict_log(void *owner, struct zbud_handle log)
{
    struct eviction *eviction = owner;
    struct shard *shard = eviction->shard;
    lock_is_held(&shard->lock);
    unsigned live = zbud_log_live(shard->pool, log);
    if (live == 0)
        shard_free_log(shard, log);
    /* With the last live record the log is gone: it must not be asked again. */
    for (unsigned number = 0; live > 0; number++) {
        struct shard_found found;
        if (shard_record(shard, (struct index_place){log, number}, &found)) {
            evict_record(eviction, shard, &found);
            live--;
        }
    }
}

static uint64_t now_ns(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

bool shard_reclaim(struct shard *shard, uint32_t now_s)
{
    struct eviction eviction = {
        .shard = shard, .now_s = now_s, .rescue_bytes_left = RESCUE_BYTES_MAX};
    lock_take(&shard->lock);
    uint64_t start_ns = now_ns();
    shard_catch_up(shard, now_s);
    bool reclaimed = zbud_reclaim(shard->pool, evict_log, &eviction) == ZBUD_OK;
    shard_note_oldest(shard);
    if (reclaimed) {
        shard->counters.reclaimed++;
        histogram_add(&shard->reclaim_ns, now_ns() - start_ns);
    }
    lock_give(&shard->lock);
    return reclaimed;
}

/* ---- where records died ---- */

static void squeeze_from(struct shard *shard, struct zbud_handle log, unsigned dead_pct)
{
    size_t live_bytes, dead_bytes;
    zbud_log_bytes(shard->pool, log, &live_bytes, &dead_bytes);
    if (dead_bytes >= SQUEEZE_DEAD_MIN && dead_bytes * 100 >= (live_bytes + dead_bytes) * dead_pct)
        zbud_log_squeeze(shard->pool, log);
}

void shard_squeeze_due(struct shard *shard, struct zbud_handle log)
{
    squeeze_from(shard, log, SQUEEZE_DEAD_PCT);
}

/* False where a record has to stay, as no page is free: the log is there still. */
static bool empty_log(struct shard *shard, struct zbud_handle log, uint32_t now_s)
    ZB_REQUIRES(shard->lock)
{
    unsigned live = zbud_log_live(shard->pool, log);
    for (unsigned number = 0; live > 0; number++) {
        struct shard_found found;
        uint64_t hash;
        if (!shard_record(shard, (struct index_place){log, number}, &found))
            continue;
        live--;
        found.slot = shard_slot_of(shard, &found, &hash);
        if (found.slot == NULL) {
            shard_kill(shard, found.place, &found.record);
        } else if (!shard_alive(shard, &found.record, now_s)) {
            shard_count_gone(shard, &found, now_s);
            shard_remove(shard, hash, &found);
        } else if (!move_by_time_left(shard, &found, now_s)) {
            return false;
        }
    }
    return true;
}

/* Records so small that two logs run out of numbers before the page is full cannot be packed
 * tighter, so it is numbers that count for them. */
static bool sparse(struct shard *shard, const struct zbud_handle *logs, unsigned count)
{
    size_t bytes = 0, live_bytes, dead_bytes;
    unsigned records = 0, live_pct = count == 2 ? MERGE_LIVE_PCT : MERGE_LONE_PCT;
    for (unsigned i = 0; i < count; i++) {
        zbud_log_bytes(shard->pool, logs[i], &live_bytes, &dead_bytes);
        records += zbud_log_live(shard->pool, logs[i]);
        bytes += live_bytes;
    }
    bytes += records * ZBUD_RECORD_ENTRY_BYTES;
    return bytes * 100 < (size_t)ZBUD_BUDDY_BYTES_MAX * live_pct &&
           records * 100 < count * ZBUD_RECORDS_MAX * live_pct;
}

bool shard_tidy(struct shard *shard, struct zbud_handle log, uint32_t now_s)
{
    struct zbud_handle logs[2];
    unsigned count = zbud_log_page(shard->pool, log, logs);
    if (count == 0 || !sparse(shard, logs, count)) {
        shard_squeeze_due(shard, log);
        return false;
    }
    bool merged = empty_log(shard, logs[0], now_s);
    if (merged && count == 2)
        merged = empty_log(shard, logs[1], now_s);
    shard->counters.merged += merged;
    shard_note_oldest(shard);
    return true;
}

/* Room that nobody asks for need not be won back. From an eighth of the limit on that is free, what
 * dies from then on is enough to have the holes closed by the time the cache is full. */
void shard_tidy_in_passing(struct shard *shard, struct zbud_handle log, uint32_t now_s)
{
    size_t available = zbud_arena_available(shard->arena);
    if (available * ROOMY_PART > zbud_arena_limit_pages(shard->arena))
        squeeze_from(shard, log, ROOMY_DEAD_PCT);
    else
        (void)shard_tidy(shard, log, now_s);
}
