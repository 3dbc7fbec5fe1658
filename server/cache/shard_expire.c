/* Expiry by the wheel's word, some logs a step. The crawler: flushed items and spare pages of the
 * index, a few pages a step; on its way it gathers the items of logs that are due to be settled. */
#include "server/cache/large.h"
#include "server/cache/shard_inside.h"

#include <assert.h>
#include <string.h>

/* Pages come to in a step, and segments of the index looked at, of which one may be rebuilt. */
#define CRAWL_PAGES       32u
#define CRAWL_SEGMENTS    4u
/* What shard_expire() does in a step, in records looked at: some 60 us; a log more may be begun.
 * Also what shard_crawl() does while it looks for flushed items; a page more may be begun. */
#define EXPIRE_WORK       768u
#define EXPIRE_WORK_LOG   16u /* to come to a log */
#define EXPIRE_WORK_GONE  16u /* to remove or move a record: key decompressed, slot looked for */
#define EXPIRE_WORK_PAGE  1u  /* to give away a page of a large one */
#define EXPIRE_WORK_MERGE (EXPIRE_WORK / 2) /* to move what is left of a page */
/* What is overwritten sooner is not worth the high level: of 200,000 items overwritten at random at
 * 100,000 a second, next to none lives so long. */
#define SETTLE_AGE_S      10u
/* What is gone by then, or soon after, is of the first class. */
#define SETTLE_EXPIRY     2u
#define SETTLE_TRY_PART   8u
#define GAINLESS_TRY_PART 64u

struct crawl {
    struct shard *shard;
    uint32_t now_s;
    struct gathered *gathered; /* NULL: none is wanted */
    bool improves;
    unsigned work; /* done so far, as of EXPIRE_WORK */
};

/* What a look at a log comes to. */
struct look {
    bool log_gone;
    uint32_t earliest_s; /* the next expiry in it; CACHE_NEVER for none */
    unsigned gone;       /* records */
    unsigned work;
};

/* Takes out what is not alive. */
static struct look expire_log(struct shard *shard, struct zbud_handle log, uint32_t now_s)
    ZB_REQUIRES(shard->lock)
{
    struct look look = {.earliest_s = CACHE_NEVER, .work = EXPIRE_WORK_LOG};
    unsigned live = zbud_log_live(shard->pool, log);
    for (unsigned number = 0; live > 0; number++) {
        struct shard_found found;
        look.work++;
        if (!shard_record(shard, (struct index_place){log, number}, &found))
            continue;
        live--;
        shard->counters.crawler_checked++;
        if (shard_alive(shard, &found.record, now_s)) {
            if (found.record.expiry_s < look.earliest_s)
                look.earliest_s = found.record.expiry_s;
            continue;
        }
        uint64_t hash;
        found.slot = shard_slot_of(shard, &found, &hash);
        shard->counters.crawler_reclaimed++;
        look.gone++;
        look.work += EXPIRE_WORK_GONE;
        if (found.record.tag & RECORD_TAG_LARGE)
            look.work += (unsigned)large_pages(&found.record) * EXPIRE_WORK_PAGE;
        if (found.slot != NULL) {
            shard_count_gone(shard, &found, now_s);
            look.log_gone = shard_remove(shard, hash, &found);
        } else {
            look.log_gone = shard_kill(shard, found.place, &found.record);
        }
    }
    return look;
}

/* A look at a log that is due, and at its page if records went. */
static unsigned expire_due(struct shard *shard, struct zbud_handle log, uint32_t now_s)
    ZB_REQUIRES(shard->lock)
{
    struct zbud_handle logs[2];
    unsigned count = zbud_log_page(shard->pool, log, logs);
    struct look look = expire_log(shard, log, now_s);
    if (!look.log_gone && look.earliest_s != CACHE_NEVER)
        expiry_note(shard->wheel, log, look.earliest_s);
    if (look.log_gone && count < 2)
        return look.work;
    if (look.log_gone)
        log = logs[logs[0].bits == log.bits];
    if (look.gone > 0 && shard_tidy(shard, log, now_s))
        look.work += EXPIRE_WORK_MERGE;
    return look.work;
}

bool shard_expire(struct shard *shard, uint32_t now_s)
{
    struct zbud_handle log;
    unsigned work = 0;
    lock_take(&shard->lock);
    shard_catch_up(shard, now_s);
    while (work < EXPIRE_WORK && expiry_take_due(shard->wheel, now_s, &log))
        work += expire_due(shard, log, now_s);
    if (work > 0)
        shard_note_oldest(shard);
    lock_give(&shard->lock);
    return work >= EXPIRE_WORK;
}

static void gather_record(struct gathered *gathered, struct shard *shard, struct shard_found *found)
    ZB_REQUIRES(shard->lock)
{
    const struct record *record = &found->record;
    size_t entry_bytes = record->key_bytes + record->value_bytes;
    struct gathered_item item = {
        .place = found->place,
        .sequence = record->sequence,
        .key_bytes = record->key_bytes,
        .value_bytes = record->value_bytes,
        .entry_at = gathered->bytes_used,
        .stored_bytes =
            record->tag & RECORD_TAG_LARGE ? record->stream_bytes : record->payload_bytes,
        .kind = found->kind,
        .tag = record->tag,
        .copied = entry_bytes <= CODEC_BLOCK_BYTES,
    };
    if (gathered->count == GATHERED_ITEMS_MAX || shard_slot_of(shard, found, &item.hash) == NULL)
        return;
    if (item.copied) {
        if (entry_bytes > GATHERED_BYTES - gathered->bytes_used) {
            shard->round_incomplete = true;
            return;
        }
        uint8_t *entry = gathered->bytes + gathered->bytes_used;
        bool sound = shard_read_entry(shard, found, gathered->codec, entry);
        assert(sound || shard->file != NULL);
        if (!sound) /* who asks for it drops it */
            return;
        gathered->bytes_used += entry_bytes;
    }
    gathered->items[gathered->count++] = item;
}

static bool dies_young(unsigned kind)
{
    return kind_expiry(kind) > 0 && kind_expiry(kind) < SETTLE_EXPIRY;
}

/* A log that would only be compressed again for nothing, and need not be to find that out. */
static bool taken_for_settled(const struct gathered *gathered, struct shard *shard,
                              struct zbud_handle log, unsigned kind) ZB_REQUIRES(shard->lock)
{
    unsigned dictionary = kind_dictionary(kind);
    if (!gathered->gainless[dictionary] || !classes_name(gathered->classes, dictionary) ||
        shard_log_base(shard, log) % GAINLESS_TRY_PART == 0)
        return false;
    shard_log_set_kind(shard, log, kind | KIND_SETTLED);
    return true;
}

static bool is_settled(const struct crawl *crawl, const struct shard *shard, struct zbud_handle log,
                       unsigned kind)
{
    const struct gathered *gathered = crawl->gathered;
    unsigned dictionary = kind_dictionary(kind);
    if (!(kind & KIND_SETTLED) || dictionary == 0)
        return (kind & KIND_SETTLED) && gathered->classes == NULL;
    if (dictionary == gathered->leaving)
        return false;
    if (!crawl->improves || gathered->improve[dictionary] == IMPROVE_NONE)
        return true;
    return gathered->improve[dictionary] == IMPROVE_TRY &&
           shard_log_base(shard, log) % SETTLE_TRY_PART != 0;
}

/* Open logs and young ones are left alone: what is overwritten soon is overwritten there. A log
 * that is open for a dictionary nothing is compressed with any more is closed first. */
static void gather_log(const struct crawl *crawl, struct shard *shard, struct zbud_handle log)
    ZB_REQUIRES(shard->lock)
{
    struct gathered *gathered = crawl->gathered;
    if (shard_log_base(shard, log) > shard->old_sequence)
        return;
    unsigned kind = shard_log_kind(shard, log);
    bool current = classes_name(gathered->classes, kind_dictionary(kind));
    if (zbud_log_is_open(shard->pool, log) && (current || zbud_log_close(shard->pool, log)))
        return;
    if (dies_young(kind) || is_settled(crawl, shard, log, kind) ||
        taken_for_settled(gathered, shard, log, kind))
        return;
    unsigned records = zbud_log_records(shard->pool, log);
    for (unsigned number = 0; number < records; number++) {
        struct shard_found found;
        if (shard_record(shard, (struct index_place){log, number}, &found))
            gather_record(gathered, shard, &found);
    }
}

static void crawl_log(void *owner, struct zbud_handle log)
{
    struct crawl *crawl = owner;
    struct shard *shard = crawl->shard;
    lock_is_held(&shard->lock);
    if (shard->sweeps_due > 0) {
        struct look look = expire_log(shard, log, crawl->now_s);
        crawl->work += look.work;
        if (look.log_gone)
            return;
        if (look.gone > 0)
            shard_squeeze_due(shard, log);
    }
    if (crawl->gathered != NULL)
        gather_log(crawl, shard, log);
}

static bool settle_due(const struct shard *shard, const struct gathered *gathered)
{
    return gathered != NULL && (shard->settled_sequence != shard->old_sequence ||
                                shard->settled_generation != gathered->generation);
}

static bool improve_due(const struct shard *shard, const struct gathered *gathered)
{
    return gathered != NULL && shard->improved_generation != gathered->improve_generation;
}

static void pass_time(struct shard *shard, uint32_t now_s)
{
    ages_note(&shard->ages, shard->sequence, now_s);
    if (now_s - shard->mark_s < SETTLE_AGE_S)
        return;
    shard->old_sequence = shard->mark_sequence;
    shard->mark_sequence = shard->sequence;
    shard->mark_s = now_s;
}

/* A round has ended: what was stored before it began is settled now. */
static void round_done(struct shard *shard, const struct gathered *gathered)
{
    if (shard->sweeps_due > 0)
        shard->sweeps_due--;
    if (!shard->round_incomplete) {
        shard->settled_sequence = shard->round_sequence;
        shard->settled_generation = shard->round_generation;
    }
    if (shard->round_improves)
        shard->improved_generation = shard->round_improve_generation;
    shard->round_improves = true;
    shard->round_improve_generation = gathered != NULL ? gathered->improve_generation : 0;
    shard->round_incomplete = false;
    shard->round_sequence = shard->old_sequence;
    shard->round_generation = gathered != NULL ? gathered->generation : 0;
}

/* Page by page, as what one page gives to be settled is enough work for a step. */
static bool crawl_pages(struct shard *shard, struct crawl *crawl) ZB_REQUIRES(shard->lock)
{
    bool done = false;
    for (unsigned pages = 0; pages < CRAWL_PAGES && crawl->work < EXPIRE_WORK && !done; pages++) {
        done = zbud_walk(shard->pool, 1, crawl_log, crawl);
        if (crawl->gathered != NULL && crawl->gathered->count > 0)
            break;
    }
    return done;
}

bool shard_crawl(struct shard *shard, uint32_t now_s, struct gathered *gathered)
{
    struct crawl crawl = {.shard = shard, .now_s = now_s, .gathered = gathered};
    bool done = true;
    if (gathered != NULL) {
        gathered->count = 0;
        gathered->bytes_used = 0;
    }
    lock_take(&shard->lock);
    shard_catch_up(shard, now_s);
    pass_time(shard, now_s);
    bool due = shard->sweeps_due > 0 || settle_due(shard, gathered);
    if (due || improve_due(shard, gathered)) {
        crawl.improves = !due;
        shard->round_improves = shard->round_improves && crawl.improves;
        done = crawl_pages(shard, &crawl);
        if (done)
            round_done(shard, gathered);
    }
    size_t index_had = index_pages(shard->index);
    for (unsigned i = 0; i < CRAWL_SEGMENTS && index_pages(shard->index) == index_had; i++)
        index_shrink(shard->index);
    shard_note_oldest(shard);
    lock_give(&shard->lock);
    return done;
}

bool shard_find_gathered(struct shard *shard, const struct gathered_item *item,
                         struct shard_found *found)
{
    found->slot = index_find(shard->index, item->hash, item->place);
    return found->slot != NULL && shard_record(shard, item->place, found) &&
           found->record.sequence == item->sequence;
}

bool shard_replace(struct shard *shard, const struct gathered_item *item,
                   const struct shard_put *put, unsigned kind)
{
    struct shard_found old;
    struct index_place place;
    bool settled = shard_find_gathered(shard, item, &old);
    if (settled)
        kind = kind_with_expiry(kind, kind_expiry(old.kind));
    if (settled && put == NULL) {
        settled = shard_move(shard, &old, kind);
    } else if (settled) {
        settled = shard_append_put(shard, put, kind, item->sequence, &old.record, &place);
        if (settled) {
            index_slot_set_place(old.slot, place);
            shard_kill(shard, old.place, &old.record);
        }
    }
    return settled;
}

bool shard_settle(struct shard *shard, const struct gathered_item *item,
                  const struct shard_put *put, unsigned kind)
{
    lock_take(&shard->lock);
    bool settled = shard_replace(shard, item, put, kind);
    shard->counters.settled += settled;
    lock_give(&shard->lock);
    return settled;
}

size_t shard_sample(struct shard *shard, uint64_t random, struct gathered *gathered, uint8_t *out,
                    size_t out_bytes, size_t *key_bytes)
{
    struct shard_found found;
    size_t bytes = 0;
    lock_take(&shard->lock);
    const uint64_t *slot = index_sample(shard->index, random);
    if (slot != NULL && shard_record(shard, index_slot_place(slot), &found)) {
        bytes = found.record.key_bytes + found.record.value_bytes;
        if (bytes > CODEC_BLOCK_BYTES ||
            !shard_read_entry(shard, &found, gathered->codec, gathered->bytes))
            bytes = 0;
        bytes = bytes < out_bytes ? bytes : out_bytes;
        *key_bytes = found.record.key_bytes;
        memcpy(out, gathered->bytes, bytes);
    }
    lock_give(&shard->lock);
    return bytes;
}

uint64_t shard_stored(struct shard *shard, uint64_t *items, uint64_t *raw_bytes)
{
    lock_take(&shard->lock);
    uint64_t stored = shard->sequence;
    *items = index_items(shard->index);
    *raw_bytes = 0;
    for (unsigned number = 0; number < DICTIONARIES_MAX; number++)
        *raw_bytes += shard->dictionary_sums[number].raw_bytes;
    lock_give(&shard->lock);
    return stored;
}
