/* Records that another process left in a file, taken over: each log by its seal, each record by
 * what its bytes say, which the seal makes sure of and which is looked at all the same. */
#include "server/cache/hash.h"
#include "server/cache/large.h"
#include "server/cache/shard_inside.h"

#include <assert.h>
#include <string.h>

#define KIND_BITS 0x3fffu

/* What the recovery of a page needs. */
struct recovery {
    uint32_t now_s;
    _Atomic uint64_t *claimed;
    uint32_t pages;
    struct shard_recovered *recovered;
};

/* ---- pages of large values ------------------------------------------------------------------- */

static bool claim(const struct recovery *recovery, uint32_t page)
{
    uint64_t bit = UINT64_C(1) << page % 64;
    return (atomic_fetch_or_explicit(&recovery->claimed[page / 64], bit, memory_order_relaxed) &
            bit) == 0;
}

static void unclaim(const struct recovery *recovery, uint32_t page)
{
    uint64_t bit = UINT64_C(1) << page % 64;
    atomic_fetch_and_explicit(&recovery->claimed[page / 64], ~bit, memory_order_relaxed);
}

/* A large value has all its pages, as they were written, and they are nobody else's. */
static bool claim_chain(const struct recovery *recovery, const struct shard *shard,
                        const struct record *record) ZB_REQUIRES(shard->lock)
{
    size_t wanted = large_pages(record), claimed = 0;
    uint32_t page = record->first_page;
    while (claimed < wanted && page < recovery->pages && seal_is_large(shard->seals.words[page]) &&
           claim(recovery, page)) {
        claimed++;
        if (!seal_holds_page(&shard->seals, shard->arena, page))
            break;
        page = zbud_arena_next(shard->arena, page);
    }
    if (claimed == wanted && page == ZBUD_PAGE_NONE)
        return true;
    page = record->first_page;
    for (; claimed > 0; claimed--) {
        unclaim(recovery, page);
        page = zbud_arena_next(shard->arena, page);
    }
    return false;
}

/* ---- records --------------------------------------------------------------------------------- */

/* A record that is in no sum and has no slot; true where its log went. */
static bool drop(struct shard *shard, struct index_place place) ZB_REQUIRES(shard->lock)
{
    struct seal_record record = {.log = place.log, .number = place.number};
    record.bytes =
        zbud_log_record(shard->pool, place.log, place.number, &record.count, &record.tag);
    if (zbud_log_live(shard->pool, place.log) == 1)
        shard_end_log(shard, place.log);
    else
        seal_remove(&shard->seals, place.log, place.number, record.tag, record.bytes, record.count);
    return zbud_log_kill(shard->pool, place.log, place.number);
}

/* What the rest of the shard takes for granted of a record. */
static bool record_sound(const struct shard *shard, const struct shard_found *found)
{
    const struct record *record = &found->record;
    bool expires = record->expiry_s != CACHE_NEVER;
    bool fresh = (found->kind & KIND_FRESH) != 0;
    return record->sequence > 0 && record->sequence <= shard->sequence &&
           (kind_expiry(found->kind) != 0) == expires &&
           !(fresh && (record->tag & RECORD_TAG_COMPRESSED)) &&
           (!(record->tag & RECORD_TAG_LARGE) ||
            (record->first_page == ZBUD_PAGE_NONE) == (large_pages(record) == 0));
}

/* Gives the key's hash where the record is one of this shard's. */
static bool hash_of(const struct shard *shard, const struct shard_found *found, uint64_t *hash)
{
    uint8_t scratch[CACHE_KEY_BYTES_MAX];
    const uint8_t *key = record_key(&found->record, found->dictionary, scratch);
    if (key == NULL)
        return false;
    *hash = hash_key(key, found->record.key_bytes, shard->seed);
    return hash_shard(*hash, 1u << shard->shard_bits) == shard->id;
}

/* Of two records of one key the younger counts; of one that was being moved either. False: the one
 * that is there already. */
static bool supersede(struct recovery *recovery, struct shard *shard,
                      const struct shard_found *found, uint64_t hash) ZB_REQUIRES(shard->lock)
{
    struct shard_found other;
    uint8_t scratch[CACHE_KEY_BYTES_MAX];
    uint64_t *slots[INDEX_CANDIDATES_MAX];
    if (index_candidates(shard->index, hash, slots) == 0)
        return true;
    const uint8_t *key = record_key(&found->record, found->dictionary, scratch);
    if (!shard_find_any(shard, hash, key, found->record.key_bytes, &other))
        return true;
    recovery->recovered->replaced++;
    if (other.record.sequence >= found->record.sequence)
        return false;
    (void)shard_remove(shard, hash, &other);
    recovery->recovered->items--;
    return true;
}

/* Whether there is an item to be taken in, and then the key's hash. */
static bool look_at(struct recovery *recovery, const struct shard *shard,
                    const struct shard_found *found, uint64_t *hash)
{
    if (!record_sound(shard, found) || !hash_of(shard, found, hash)) {
        recovery->recovered->damaged_records++;
        return false;
    }
    if (!shard_alive(shard, &found->record, recovery->now_s)) {
        recovery->recovered->gone++;
        return false;
    }
    return true;
}

/* Into the index and the sums. False: it has to be dropped. */
static bool take_in(struct recovery *recovery, struct shard *shard, struct shard_found *found,
                    uint64_t hash) ZB_REQUIRES(shard->lock)
{
    struct shard_recovered *recovered = recovery->recovered;
    if (!supersede(recovery, shard, found, hash))
        return false;
    if ((found->record.tag & RECORD_TAG_LARGE) && !claim_chain(recovery, shard, &found->record)) {
        recovered->damaged_records++;
        return false;
    }
    if (index_insert(shard->index, hash, found->place) == NULL) {
        recovered->refused++;
        return false;
    }
    shard_count_record(shard, found->kind, &found->record, found->bytes_count, true);
    if (kind_expiry(found->kind) != 0)
        expiry_note(shard->wheel, found->place.log, found->record.expiry_s);
    recovered->items++;
    return true;
}

/* ---- logs ------------------------------------------------------------------------------------ */

/* What a log's word says can be. */
static bool kind_sound(const struct shard *shard, uint64_t word)
{
    unsigned kind = (unsigned)(word >> KIND_SHIFT);
    return kind <= KIND_BITS && dictionaries_has(shard->dictionaries, kind_dictionary(kind));
}

static bool begin_log(struct shard *shard, struct zbud_handle log) ZB_REQUIRES(shard->lock)
{
    unsigned kind = shard_log_kind(shard, log);
    if (kind_expiry(kind) != 0 && !expiry_claim(shard->wheel, log))
        return false;
    dictionaries_use(shard->dictionaries, kind_dictionary(kind));
    if (kind & KIND_FRESH)
        shard_fresh_add(shard, log);
    return true;
}

/* The records of a log that are to be taken in: all are looked at first, so that the index's lines
 * are there when it is their turn. */
struct waiting {
    unsigned count;
    struct {
        uint64_t hash;
        unsigned number;
    } records[ZBUD_RECORDS_MAX];
};

static void look_at_log(struct recovery *recovery, struct shard *shard, struct zbud_handle log,
                        struct waiting *waiting) ZB_REQUIRES(shard->lock)
{
    unsigned kind = shard_log_kind(shard, log);
    unsigned live = zbud_log_live(shard->pool, log);
    for (unsigned number = 0; live > 0; number++) {
        struct shard_found found = {.place = {log, number}, .kind = kind};
        uint64_t hash;
        unsigned tag;
        found.bytes = zbud_log_record(shard->pool, log, number, &found.bytes_count, &tag);
        if (found.bytes == NULL)
            continue;
        live--;
        found.dictionary = dictionaries_get(shard->dictionaries, kind_dictionary(kind));
        bool decoded = record_decode(found.bytes, found.bytes_count, tag,
                                     shard_log_base(shard, log), &found.record);
        recovery->recovered->damaged_records += !decoded;
        if (!decoded || !look_at(recovery, shard, &found, &hash)) {
            (void)drop(shard, found.place); /* with the last one the log is gone, and live 0 */
            continue;
        }
        index_fetch(shard->index, hash);
        waiting->records[waiting->count].hash = hash;
        waiting->records[waiting->count++].number = number;
    }
}

static void recover_log(struct recovery *recovery, struct shard *shard, struct zbud_handle log)
    ZB_REQUIRES(shard->lock)
{
    uint64_t word = zbud_log_word(shard->pool, log);
    struct waiting waiting = {.count = 0};
    bool sound = seal_read(&shard->seals, log) == seal_log(&shard->seals, shard->pool, log) &&
                 kind_sound(shard, word);
    if (!sound || !begin_log(shard, log)) {
        recovery->recovered->damaged_logs += !sound;
        recovery->recovered->refused += sound ? zbud_log_live(shard->pool, log) : 0;
        seal_end(&shard->seals, log);
        zbud_free(shard->pool, log);
        return;
    }
    look_at_log(recovery, shard, log, &waiting);
    for (unsigned i = 0; i < waiting.count; i++) {
        struct shard_found found;
        struct index_place place = {log, waiting.records[i].number};
        bool live = shard_record(shard, place, &found); /* nothing else names it */
        assert(live);
        if (live && !take_in(recovery, shard, &found, waiting.records[i].hash))
            (void)drop(shard, place);
    }
}

void shard_recover_begin(struct shard *shard, size_t records)
{
    lock_take(&shard->lock);
    index_expect(shard->index, records);
    lock_give(&shard->lock);
}

bool shard_recover_page(struct shard *shard, uint32_t page, uint64_t age, uint32_t now_s,
                        _Atomic uint64_t *claimed, uint32_t pages,
                        struct shard_recovered *recovered)
{
    struct recovery recovery = {now_s, claimed, pages, recovered};
    struct zbud_handle logs[2];
    unsigned count = 0;
    lock_take(&shard->lock);
    shard_catch_up(shard, now_s);
    bool adopted = zbud_pool_adopt(shard->pool, page, age, logs, &count);
    for (unsigned i = 0; i < count; i++)
        recover_log(&recovery, shard, logs[i]);
    lock_give(&shard->lock);
    return adopted;
}

void shard_recovered(struct shard *shard, uint32_t now_s)
{
    lock_take(&shard->lock);
    shard_catch_up(shard, now_s);
    shard_persist(shard);
    shard_note_oldest(shard);
    shard->mark_sequence = shard->sequence;
    shard->mark_s = now_s;
    lock_give(&shard->lock);
}
