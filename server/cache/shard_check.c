/* What a shard can be asked: its figures, and whether its invariants hold. */
#include "server/cache/large.h"
#include "server/cache/shard_inside.h"

#include <assert.h>
#include <string.h>

static void add_counters(struct cache_figures *figures, const struct shard_counters *counters)
{
    figures->items_total += counters->stored;
    figures->pages_reclaimed += counters->reclaimed;
    figures->evicted += counters->evicted;
    figures->evicted_unfetched += counters->evicted_unfetched;
    figures->rescued += counters->rescued;
    figures->settled += counters->settled;
    figures->deferred += counters->deferred;
    figures->expired += counters->expired;
    figures->expired_unfetched += counters->expired_unfetched;
    figures->missed_expired += counters->missed_expired;
    figures->missed_flushed += counters->missed_flushed;
    figures->flushed += counters->flushed;
    figures->crawler_checked += counters->crawler_checked;
    figures->crawler_reclaimed += counters->crawler_reclaimed;
}

void shard_figures(struct shard *shard, struct cache_figures *figures, struct histogram *reclaim_ns)
{
    struct zbud_pool_figures pool;
    lock_take(&shard->lock);
    zbud_pool_figures(shard->pool, &pool);
    figures->pages_buddied += pool.pages_buddied;
    figures->pages_unbuddied += pool.pages_unbuddied;
    figures->pages_large += shard->large_pages;
    figures->pages_index += index_pages(shard->index);
    figures->chunks_used += pool.chunks_used;
    figures->slack_bytes += pool.slack_bytes;
    figures->live_bytes += pool.live_bytes;
    figures->dead_bytes += pool.dead_bytes;
    figures->items += index_items(shard->index);
    figures->items_expiring += shard->expiring;
    for (unsigned number = 0; number < DICTIONARIES_MAX; number++) {
        figures->raw_bytes += shard->dictionary_sums[number].raw_bytes;
        figures->stored_bytes += shard->dictionary_sums[number].stored_bytes;
    }
    figures->index_bytes += index_pages(shard->index) * ZBUD_PAGE_BYTES;
    figures->pages_merged += shard->counters.merged;
    figures->recovered_damaged += shard->counters.damaged;
    figures->squeezed += pool.logs_squeezed - shard->counters.pool_squeezed_start;
    add_counters(figures, &shard->counters);
    histogram_merge(reclaim_ns, &shard->reclaim_ns);
    lock_give(&shard->lock);
}

void shard_dictionaries(struct shard *shard, struct shard_dictionary sums[DICTIONARIES_MAX])
{
    lock_take(&shard->lock);
    for (unsigned number = 0; number < DICTIONARIES_MAX; number++) {
        sums[number].items += shard->dictionary_sums[number].items;
        sums[number].raw_bytes += shard->dictionary_sums[number].raw_bytes;
        sums[number].stored_bytes += shard->dictionary_sums[number].stored_bytes;
    }
    lock_give(&shard->lock);
}

void shard_figures_reset(struct shard *shard)
{
    struct zbud_pool_figures pool;
    lock_take(&shard->lock);
    zbud_pool_figures(shard->pool, &pool);
    shard->counters = (struct shard_counters){.pool_squeezed_start = pool.logs_squeezed};
    memset(&shard->reclaim_ns, 0, sizeof(shard->reclaim_ns));
    lock_give(&shard->lock);
}

/* The sums of SHARD-2, as the slots give them. */
struct sums {
    struct shard *shard;
    uint64_t slots;
    struct shard_dictionary dictionary_sums[DICTIONARIES_MAX];
    uint64_t large_pages;
    uint64_t expiring;
};

/* SEAL: of a log, when its first live record is looked at. */
static void check_seal(const struct shard *shard, struct index_place place) ZB_REQUIRES(shard->lock)
{
    size_t bytes;
    unsigned tag;
    for (unsigned number = 0; number < place.number; number++) {
        if (zbud_log_record(shard->pool, place.log, number, &bytes, &tag) != NULL)
            return;
    }
    assert(shard->seals.words == NULL ||
           seal_read(&shard->seals, place.log) == seal_log(&shard->seals, shard->pool, place.log));
}

/* SHARD-1: the slot's record is live, and its key leads back to this very slot. */
static void check_slot(void *context, const uint64_t *slot)
{
    struct sums *sums = context;
    struct shard *shard = sums->shard;
    lock_is_held(&shard->lock);
    struct shard_found found;
    bool live = shard_record(shard, index_slot_place(slot), &found);
    assert(live);
    (void)live;
    uint64_t hash;
    assert(shard_slot_of(shard, &found, &hash) == slot);
    assert(found.record.sequence <= shard->sequence);
    check_seal(shard, found.place);
    /* EXPIRY-1, EXPIRY-2 */
    bool expires = found.record.expiry_s != CACHE_NEVER;
    assert((kind_expiry(found.kind) != 0) == expires);
    assert(!expires || expiry_is_noted(shard->wheel, found.place.log, found.record.expiry_s));
    sums->slots++;
    struct shard_dictionary *with = &sums->dictionary_sums[kind_dictionary(found.kind)];
    with->items++;
    with->raw_bytes += found.record.key_bytes + found.record.value_bytes;
    with->stored_bytes += found.bytes_count;
    if (found.record.tag & RECORD_TAG_LARGE) {
        sums->large_pages += large_pages(&found.record);
        with->stored_bytes += large_pages(&found.record) * ZBUD_PAGE_BYTES;
    }
    sums->expiring += expires;
}

/* A log that is noted is one of the shard's, with records that expire, or were there. */
static void check_noted(void *context, struct zbud_handle log)
{
    struct shard *shard = context;
    lock_is_held(&shard->lock);
    assert(zbud_log_live(shard->pool, log) > 0);
    assert(kind_expiry(shard_log_kind(shard, log)) != 0);
}

static void check_fresh(struct shard *shard) ZB_REQUIRES(shard->lock)
{
    unsigned count = atomic_load_explicit(&shard->fresh_count, memory_order_relaxed);
    assert(count <= SHARD_FRESH_MAX);
    for (unsigned i = 0; i < count; i++) {
        const struct zbud_handle log = *shard_fresh_at(shard, i);
        assert(zbud_log_live(shard->pool, log) > 0);
        assert(shard_log_kind(shard, log) & KIND_FRESH);
        for (unsigned earlier = 0; earlier < i; earlier++)
            assert(shard_fresh_at(shard, earlier)->bits != log.bits);
    }
}

void shard_check(struct shard *shard)
{
    struct sums sums = {.shard = shard};
    struct zbud_pool_figures pool;
    lock_take(&shard->lock);
    zbud_pool_check(shard->pool);
    zbud_pool_figures(shard->pool, &pool);
    index_check(shard->index, check_slot, &sums);
    expiry_check(shard->wheel, check_noted, shard);
    check_fresh(shard);
    assert(sums.slots == index_items(shard->index));
    if (index_lost(shard->index) == 0) {
        assert(sums.slots == pool.records);
        assert(memcmp(sums.dictionary_sums, shard->dictionary_sums, sizeof(sums.dictionary_sums)) ==
               0);
        assert(sums.large_pages == shard->large_pages);
        assert(sums.expiring == shard->expiring);
    }
    lock_give(&shard->lock);
}
