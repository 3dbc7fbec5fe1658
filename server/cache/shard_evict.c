/* Reclaim: one page, whole. What was hit since it was written or last rescued is moved to an open
 * log, the rest goes. */
#include "server/cache/shard_inside.h"

#include <time.h>

/* At most so much of a page is rescued, so that every reclaim wins a quarter of a page even where
 * everything was hit. */
#define RESCUE_BYTES_MAX (ZBUD_BUDDY_BYTES_MAX / 4 * 3)

struct eviction {
    struct shard *shard;
    uint32_t now_s;
    size_t rescue_bytes_left;
};

static bool rescue(struct eviction *eviction, struct shard *shard, struct shard_found *found)
    ZB_REQUIRES(shard->lock)
{
    unsigned frequency = index_slot_frequency(found->slot);
    if (frequency == 0 || found->bytes_count > eviction->rescue_bytes_left)
        return false;
    size_t bytes = found->bytes_count;
    if (!shard_move(shard, found, found->kind, found->record.expiry_s))
        return false;
    eviction->rescue_bytes_left -= bytes;
    index_slot_set_frequency(found->slot, frequency / 2);
    shard->counters.rescued++;
    return true;
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
        shard->counters.evicted++;
        if (index_slot_frequency(found->slot) == 0)
            shard->counters.evicted_unfetched++;
    }
    shard_remove(shard, hash, found);
}

static void evict_log(void *owner, struct zbud_handle log)
{
    struct eviction *eviction = owner;
    struct shard *shard = eviction->shard;
    lock_is_held(&shard->lock);
    unsigned live = shard_live_records(shard, log);
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
