/* The crawler: expired and flushed items, dead bytes and spare pages of the index, a few pages a step. */
#include "server/cache/shard_inside.h"

/* Some 10 records a page, each a look at its header: a step of about 50 us. */
#define CRAWL_PAGES    32u
#define CRAWL_SEGMENTS 4u

struct crawl {
    struct shard *shard;
    uint32_t now_s;
};

static void crawl_log(void *owner, struct zbud_handle log)
{
    struct crawl *crawl = owner;
    struct shard *shard = crawl->shard;
    lock_is_held(&shard->lock);
    unsigned live = shard_live_records(shard, log);
    for (unsigned number = 0; live > 0; number++) {
        struct shard_found found;
        if (!shard_record(shard, (struct index_place){log, number}, &found))
            continue;
        live--;
        shard->counters.crawler_checked++;
        if (shard_alive(shard, &found.record, crawl->now_s))
            continue;
        uint64_t hash;
        found.slot = shard_slot_of(shard, &found, &hash);
        shard->counters.crawler_reclaimed++;
        bool log_gone;
        if (found.slot != NULL) {
            shard_count_gone(shard, &found, crawl->now_s);
            log_gone = shard_remove(shard, hash, &found);
        } else {
            log_gone = shard_kill(shard, found.place, &found.record);
        }
        if (log_gone)
            return;
    }
    shard_squeeze_due(shard, log);
}

bool shard_crawl(struct shard *shard, uint32_t now_s)
{
    struct crawl crawl = {.shard = shard, .now_s = now_s};
    bool done = true;
    lock_take(&shard->lock);
    shard_catch_up(shard, now_s);
    if (shard->expiring > 0 || shard->sweeps_due > 0) {
        done = zbud_walk(shard->pool, CRAWL_PAGES, crawl_log, &crawl);
        if (done && shard->sweeps_due > 0)
            shard->sweeps_due--;
    }
    for (unsigned i = 0; i < CRAWL_SEGMENTS; i++)
        index_shrink(shard->index);
    shard_note_oldest(shard);
    lock_give(&shard->lock);
    return done;
}
