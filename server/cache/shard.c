#include "server/cache/shard.h"

#include "server/cache/hash.h"
#include "server/cache/large.h"
#include "server/cache/memory_file.h"
#include "server/cache/shard_inside.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#define LINE_BYTES              64u
/* Of a record: most are shorter, and of the others the processor itself fetches what follows. */
#define FETCH_BYTES_MAX         512u
/* Sequences that the file is told of at once: so many are skipped by a restart. */
#define RESERVE_SEQUENCES       65536u
#define SEQUENCES_A_SECOND_BITS 16u /* more than a shard gives in one, over the years since 1970 */

struct shard *shard_new(struct zbud_arena *arena, struct dictionaries *dictionaries,
                        struct expiry_table *expiry_table, const struct cache_config *config,
                        unsigned id)
{
    struct shard *shard = calloc(1, sizeof(*shard));
    if (shard == NULL)
        return NULL;
    lock_init(&shard->lock);
    shard->arena = arena;
    shard->dictionaries = dictionaries;
    shard->id = id;
    while (1u << shard->shard_bits < config->shards)
        shard->shard_bits++;
    shard->seed = config->seed;
    shard->sequence_reserved = UINT64_MAX;
    shard->observer = config->observer;
    shard->pool = zbud_pool_create(arena);
    shard->index = index_new(arena, config->memory_bytes / config->shards);
    shard->wheel = expiry_wheel_new(expiry_table, config->now_s);
    atomic_store_explicit(&shard->oldest, UINT64_MAX, memory_order_relaxed);
    if (shard->pool == NULL || shard->index == NULL || shard->wheel == NULL) {
        shard_free(shard);
        return NULL;
    }
    return shard;
}

void shard_free(struct shard *shard)
{
    if (shard == NULL)
        return;
    expiry_wheel_free(shard->wheel);
    index_free(shard->index);
    if (shard->file != NULL)
        zbud_pool_leave(shard->pool);
    else
        zbud_pool_destroy(shard->pool);
    lock_fini(&shard->lock);
    free(shard);
}

bool shard_keep(struct shard *shard, struct memory_file *file, const struct seals *seals,
                bool found, uint32_t now_s)
{
    struct memory_file_shard known = {.flush_sequence = 0};
    bool sound = !found || memory_file_shard(file, shard->id, &known);
    /* Above all that can have been given, where that is not known. */
    if (!sound)
        known.sequence_reserved = (uint64_t)now_s << SEQUENCES_A_SECOND_BITS;
    lock_take(&shard->lock);
    shard->file = file;
    shard->seals = *seals;
    shard->sequence = known.sequence_reserved;
    shard->sequence_reserved = known.sequence_reserved;
    shard->flush_sequence = known.flush_sequence;
    shard->flush_at_s = known.flush_at_s;
    if (!found)
        shard_persist(shard);
    lock_give(&shard->lock);
    return sound;
}

void shard_persist(struct shard *shard)
{
    struct memory_file_shard known = {
        .sequence_reserved = shard->sequence_reserved,
        .flush_sequence = shard->flush_sequence,
        .flush_at_s = shard->flush_at_s,
    };
    if (shard->file != NULL)
        memory_file_put_shard(shard->file, shard->id, &known);
}

bool shard_alive(const struct shard *shard, const struct record *record, uint32_t now_s)
{
    return record->expiry_s > now_s && record->sequence > shard->flush_sequence;
}

void shard_count_gone(struct shard *shard, const struct shard_found *found, uint32_t now_s)
{
    if (found->record.expiry_s > now_s) {
        shard->counters.flushed++;
        return;
    }
    shard->counters.expired++;
    if (index_slot_frequency(found->slot) == 0)
        shard->counters.expired_unfetched++;
}

void shard_count_missed(struct shard *shard, const struct shard_found *found, uint32_t now_s)
{
    if (found->record.expiry_s > now_s)
        shard->counters.missed_flushed++;
    else
        shard->counters.missed_expired++;
    shard_count_gone(shard, found, now_s);
}

void shard_catch_up(struct shard *shard, uint32_t now_s)
{
    if (shard->flush_at_s == 0 || now_s < shard->flush_at_s)
        return;
    shard->flush_at_s = 0;
    shard->flush_sequence = shard->sequence;
    shard->sweeps_due = 2;
    shard_persist(shard);
}

void shard_note_oldest(struct shard *shard)
{
    atomic_store_explicit(&shard->oldest, zbud_pool_oldest(shard->pool), memory_order_relaxed);
}

uint64_t shard_oldest(const struct shard *shard)
{
    return atomic_load_explicit(&shard->oldest, memory_order_relaxed);
}

static uint64_t word_base(uint64_t word)
{
    return word & (((uint64_t)1 << KIND_SHIFT) - 1);
}

static unsigned word_kind(uint64_t word)
{
    return (unsigned)(word >> KIND_SHIFT);
}

bool shard_record(struct shard *shard, struct index_place place, struct shard_found *found)
{
    unsigned tag;
    found->place = place;
    found->bytes = zbud_log_record(shard->pool, place.log, place.number, &found->bytes_count, &tag);
    if (found->bytes == NULL)
        return false;
    uint64_t word = zbud_log_word(shard->pool, place.log);
    found->kind = word_kind(word);
    found->dictionary = dictionaries_get(shard->dictionaries, kind_dictionary(found->kind));
    bool sound =
        record_decode(found->bytes, found->bytes_count, tag, word_base(word), &found->record);
    assert(sound);
    return sound;
}

uint64_t shard_log_base(const struct shard *shard, struct zbud_handle log)
{
    return word_base(zbud_log_word(shard->pool, log));
}

unsigned shard_log_kind(const struct shard *shard, struct zbud_handle log)
{
    return word_kind(zbud_log_word(shard->pool, log));
}

void shard_log_set_kind(struct shard *shard, struct zbud_handle log, unsigned kind)
{
    uint64_t old = zbud_log_word(shard->pool, log);
    uint64_t word = (uint64_t)kind << KIND_SHIFT | word_base(old);
    zbud_log_set_word(shard->pool, log, word);
    seal_change_word(&shard->seals, log, old, word);
}

uint64_t *shard_slot_of(struct shard *shard, const struct shard_found *found, uint64_t *hash)
{
    uint8_t scratch[CACHE_KEY_BYTES_MAX];
    const uint8_t *key = record_key(&found->record, found->dictionary, scratch);
    assert(key != NULL);
    *hash = hash_key(key, found->record.key_bytes, shard->seed);
    return index_find(shard->index, *hash, found->place);
}

void shard_count_record(struct shard *shard, unsigned kind, const struct record *record,
                        size_t record_bytes, bool added)
{
    uint64_t sign = added ? 1 : (uint64_t)-1;
    struct shard_dictionary *sums = &shard->dictionary_sums[kind_dictionary(kind)];
    sums->items += sign;
    sums->raw_bytes += sign * (record->key_bytes + record->value_bytes);
    sums->stored_bytes += sign * record_bytes;
    if (record->expiry_s != CACHE_NEVER)
        shard->expiring += sign;
    if (record->tag & RECORD_TAG_LARGE) {
        size_t pages = large_pages(record);
        shard->large_pages += sign * pages;
        if (kind & KIND_FRESH)
            atomic_fetch_add_explicit(&shard->fresh_large_pages, sign * pages,
                                      memory_order_relaxed);
        sums->stored_bytes += sign * pages * ZBUD_PAGE_BYTES;
    }
}

/* The header is measured with a distance no shorter than any that can occur, so that its length
 * does not depend on the log it will go to. */
static size_t record_bytes_max(const struct shard *shard, const struct record *record)
{
    uint64_t farthest = record->sequence + shard->sequence + 1;
    return record_header_bytes(record, farthest) + record->payload_bytes;
}

/* A new log starts from its first record's sequence, is a use of its kind's dictionary, and claimed
 * where its records expire. Its word, or 0 where there is no page for the claim. */
static uint64_t begin_log(struct shard *shard, struct zbud_handle log, unsigned kind,
                          uint64_t sequence) ZB_REQUIRES(shard->lock)
{
    uint64_t word = zbud_log_word(shard->pool, log);
    if (word != 0)
        return word;
    if (kind_expiry(kind) != 0 && !expiry_claim(shard->wheel, log))
        return 0;
    word = (uint64_t)kind << KIND_SHIFT | sequence;
    zbud_log_set_word(shard->pool, log, word);
    seal_begin(&shard->seals, log, word);
    dictionaries_use(shard->dictionaries, kind_dictionary(kind));
    if (kind & KIND_FRESH)
        shard_fresh_add(shard, log);
    return word;
}

/* Its seal goes first: once it is no use of its dictionary, that number may be another's. */
void shard_end_log(struct shard *shard, struct zbud_handle log)
{
    unsigned kind = word_kind(zbud_log_word(shard->pool, log));
    seal_end(&shard->seals, log);
    dictionaries_release(shard->dictionaries, kind_dictionary(kind));
    if (kind & KIND_FRESH)
        shard_fresh_remove(shard, log);
    if (kind_expiry(kind) != 0)
        expiry_drop(shard->wheel, log);
}

/* Before the first of them is given, so that none is given twice. */
static void reserve_sequences(struct shard *shard) ZB_REQUIRES(shard->lock)
{
    shard->sequence_reserved += RESERVE_SEQUENCES;
    shard_persist(shard);
}

/* @payload2 follows @payload: a new large record's key and tail do not lie together. */
static bool append_parts(struct shard *shard, unsigned kind, struct record *record,
                         const uint8_t *payload2, size_t payload2_bytes, struct index_place *place)
    ZB_REQUIRES(shard->lock)
{
    uint8_t header[RECORD_HEADER_BYTES_MAX + RECORD_LARGE_BYTES];
    size_t bytes_max = record_bytes_max(shard, record) + payload2_bytes;
    if (record->sequence > shard->sequence_reserved)
        reserve_sequences(shard);
    if (zbud_log_open(shard->pool, kind, bytes_max, &place->log) != ZBUD_OK)
        return false;
    uint64_t word = begin_log(shard, place->log, kind, record->sequence);
    if (word == 0)
        return false;
    uint64_t base = word_base(word);
    assert(word_kind(word) == kind);
    assert((kind_expiry(kind) != 0) == (record->expiry_s != CACHE_NEVER)); /* EXPIRY-2 */
    size_t header_bytes = record_encode_header(record, base, header);
    size_t bytes = header_bytes + record->payload_bytes + payload2_bytes;
    assert(bytes <= bytes_max);
    void *data;
    place->number = zbud_log_append(shard->pool, place->log, bytes, record->tag, &data);
    uint8_t *out = data;
    memcpy(out, header, header_bytes);
    memcpy(out + header_bytes, record->payload, record->payload_bytes);
    if (payload2_bytes > 0)
        memcpy(out + header_bytes + record->payload_bytes, payload2, payload2_bytes);
    seal_add(&shard->seals, place->log, place->number, record->tag, out, bytes);
    record->payload = out + header_bytes;
    record->payload_bytes += payload2_bytes;
    shard_count_record(shard, kind, record, bytes, true);
    if (kind_expiry(kind) != 0)
        expiry_note(shard->wheel, place->log, record->expiry_s);
    if (shard_oldest(shard) == UINT64_MAX)
        shard_note_oldest(shard);
    return true;
}

bool shard_append(struct shard *shard, unsigned kind, struct record *record,
                  struct index_place *place)
{
    return append_parts(shard, kind, record, NULL, 0, place);
}

bool shard_append_put(struct shard *shard, const struct shard_put *put, unsigned kind,
                      uint64_t sequence, const struct record *extras, struct index_place *place)
{
    struct record record = {
        .key_bytes = put->key_bytes,
        .value_bytes = put->value_bytes,
        .sequence = sequence,
        .flags = extras != NULL ? extras->flags : put->flags,
        .cas = extras != NULL ? extras->cas : put->cas_new,
        .expiry_s = extras != NULL ? extras->expiry_s : put->expiry_s,
        .tag = put->tag,
        .first_page = put->first_page,
        .stream_bytes = put->stream_bytes,
        .payload = put->payload,
        .payload_bytes = put->payload_bytes,
    };
    if (!(put->tag & RECORD_TAG_LARGE))
        return shard_append(shard, kind, &record, place);
    record.payload = put->key;
    record.payload_bytes = put->key_bytes;
    return append_parts(shard, kind, &record, put->payload, put->payload_bytes, place);
}

static bool kill_bytes(struct shard *shard, struct index_place place, const struct record *record,
                       bool with_chain) ZB_REQUIRES(shard->lock)
{
    size_t bytes;
    unsigned tag;
    void *data = zbud_log_record(shard->pool, place.log, place.number, &bytes, &tag);
    assert(data != NULL);
    unsigned kind = shard_log_kind(shard, place.log);
    shard_count_record(shard, kind, record, bytes, false);
    if (zbud_log_live(shard->pool, place.log) == 1)
        shard_end_log(shard, place.log);
    else
        seal_remove(&shard->seals, place.log, place.number, tag, data, bytes);
    uint32_t first_page = record->first_page;
    bool gone = zbud_log_kill(shard->pool, place.log, place.number);
    /* Once the record is dead: in a file it must not be found naming pages that are others'. */
    if (with_chain && first_page != ZBUD_PAGE_NONE)
        zbud_arena_give_chain(shard->arena, first_page);
    return gone;
}

void shard_free_log(struct shard *shard, struct zbud_handle log)
{
    shard_end_log(shard, log);
    zbud_free(shard->pool, log);
}

bool shard_kill(struct shard *shard, struct index_place place, const struct record *record)
{
    return kill_bytes(shard, place, record, true);
}

bool shard_remove(struct shard *shard, uint64_t hash, const struct shard_found *found)
{
    index_remove(shard->index, hash, found->slot);
    return shard_kill(shard, found->place, &found->record);
}

/* Writes @changed, of the same entry, to a log of @kind; its slot follows, the old one dies. */
static bool rewrite(struct shard *shard, struct shard_found *found, unsigned kind,
                    const struct record *changed, bool *log_gone) ZB_REQUIRES(shard->lock)
{
    struct record moved = *changed;
    struct index_place place;
    if (!shard_append(shard, kind, &moved, &place))
        return false;
    index_slot_set_place(found->slot, place);
    *log_gone = kill_bytes(shard, found->place, &found->record, false);
    found->record = moved;
    found->kind = kind;
    found->place = place;
    return true;
}

bool shard_revise(struct shard *shard, struct shard_found *found, unsigned kind,
                  const struct record *changed)
{
    struct zbud_handle log = found->place.log;
    bool log_gone;
    if (!rewrite(shard, found, kind, changed, &log_gone))
        return false;
    if (!log_gone)
        shard_squeeze_due(shard, log);
    return true;
}

bool shard_move(struct shard *shard, struct shard_found *found, unsigned kind)
{
    struct record moved = found->record;
    bool log_gone;
    return rewrite(shard, found, kind, &moved, &log_gone);
}

void shard_remove_and_tidy(struct shard *shard, uint64_t hash, const struct shard_found *found,
                           uint32_t now_s)
{
    if (!shard_remove(shard, hash, found))
        shard_tidy_in_passing(shard, found->place.log, now_s);
}

bool shard_find_any(struct shard *shard, uint64_t hash, const void *key, size_t key_bytes,
                    struct shard_found *found)
{
    uint64_t *slots[INDEX_CANDIDATES_MAX];
    uint8_t scratch[CACHE_KEY_BYTES_MAX];
    unsigned count = index_candidates(shard->index, hash, slots);
    for (unsigned i = 0; i < count; i++) {
        bool live = shard_record(shard, index_slot_place(slots[i]), found);
        assert(live);
        if (!live || found->record.key_bytes != key_bytes)
            continue;
        const uint8_t *found_key = record_key(&found->record, found->dictionary, scratch);
        assert(found_key != NULL);
        if (found_key != NULL && memcmp(found_key, key, key_bytes) == 0) {
            found->slot = slots[i];
            return true;
        }
    }
    return false;
}

bool shard_find(struct shard *shard, uint64_t hash, const void *key, size_t key_bytes,
                uint32_t now_s, struct shard_found *found)
{
    shard_catch_up(shard, now_s);
    if (!shard_find_any(shard, hash, key, key_bytes, found))
        return false;
    if (shard_alive(shard, &found->record, now_s))
        return true;
    shard_count_missed(shard, found, now_s);
    shard_remove_and_tidy(shard, hash, found, now_s);
    return false;
}

bool shard_read_entry(const struct shard *shard, const struct shard_found *found,
                      struct codec *codec, uint8_t *out)
{
    const struct record *record = &found->record;
    size_t entry_bytes = record->key_bytes + record->value_bytes;
    if (record->tag & RECORD_TAG_LARGE)
        return large_read(shard->arena, record, found->dictionary, codec, out);
    if (record->tag & RECORD_TAG_COMPRESSED)
        return codec_decompress(found->dictionary, record->payload, record->payload_bytes, out,
                                entry_bytes);
    memcpy(out, record->payload, entry_bytes);
    return true;
}

void shard_drop_damaged(struct shard *shard, const struct shard_found *found)
{
    uint64_t hash;
    uint64_t *slot = shard_slot_of(shard, found, &hash);
    assert(shard->file != NULL && slot == found->slot);
    shard->counters.damaged++;
    if (slot == found->slot)
        (void)shard_remove(shard, hash, found);
}

/* In place where the class stays, else the record goes to a log of its new class. */
bool shard_set_expiry(struct shard *shard, struct shard_found *found, uint32_t expiry_s,
                      uint32_t now_s)
{
    unsigned kind = kind_with_expiry(found->kind, expiry_class(expiry_s, now_s));
    if (found->record.expiry_s == expiry_s)
        return true;
    if (kind != found->kind) {
        struct record moved = found->record;
        moved.expiry_s = expiry_s;
        return shard_revise(shard, found, kind, &moved);
    }
    const struct seals *seals = &shard->seals;
    unsigned number = found->place.number, tag = found->record.tag;
    seal_remove(seals, found->place.log, number, tag, found->bytes, found->bytes_count);
    record_set_expiry(found->bytes, found->bytes_count, expiry_s);
    seal_add(seals, found->place.log, number, tag, found->bytes, found->bytes_count);
    expiry_note(shard->wheel, found->place.log, expiry_s);
    found->record.expiry_s = expiry_s;
    return true;
}

static enum cache_status get_locked(struct shard *shard, uint64_t hash, const void *key,
                                    size_t key_bytes, const uint32_t *touch_expiry_s,
                                    uint32_t now_s, struct codec *codec, cache_place_fn *place,
                                    void *context, struct cache_item *item) ZB_REQUIRES(shard->lock)
{
    uint64_t *slots[INDEX_CANDIDATES_MAX];
    shard_catch_up(shard, now_s);
    unsigned count = index_candidates(shard->index, hash, slots);
    for (unsigned i = 0; i < count; i++) {
        struct shard_found found;
        found.slot = slots[i];
        bool live = shard_record(shard, index_slot_place(slots[i]), &found);
        assert(live);
        if (!live || found.record.key_bytes != key_bytes)
            continue;
        enum cache_status status =
            shard_read_candidate(shard, &found, key, codec, place, context, item);
        if (status == CACHE_NOT_FOUND)
            continue;
        if (status == CACHE_NO_ROOM)
            return status;
        if (!shard_alive(shard, &found.record, now_s)) {
            shard_count_missed(shard, &found, now_s);
            shard_remove_and_tidy(shard, hash, &found, now_s);
            return CACHE_NOT_FOUND;
        }
        if (touch_expiry_s != NULL) {
            if (!shard_set_expiry(shard, &found, *touch_expiry_s, now_s))
                return CACHE_NO_MEMORY;
            item->expiry_s = *touch_expiry_s;
        }
        shard_bump(found.slot);
        return CACHE_OK;
    }
    return CACHE_NOT_FOUND;
}

enum cache_status shard_get(struct shard *shard, uint64_t hash, const void *key, size_t key_bytes,
                            const uint32_t *touch_expiry_s, uint32_t now_s, struct codec *codec,
                            cache_place_fn *place, void *context, struct cache_item *item)
{
    lock_take(&shard->lock);
    enum cache_status status =
        get_locked(shard, hash, key, key_bytes, touch_expiry_s, now_s, codec, place, context, item);
    lock_give(&shard->lock);
    return status;
}

enum cache_standing shard_inspect(struct shard *shard, uint64_t hash, const void *key,
                                  size_t key_bytes, uint32_t now_s, struct cache_item *item)
{
    struct shard_found found;
    enum cache_standing standing = CACHE_ABSENT;
    lock_take(&shard->lock);
    shard_catch_up(shard, now_s);
    if (shard_find_any(shard, hash, key, key_bytes, &found)) {
        shard_item(shard, &found.record, item);
        standing = CACHE_ALIVE;
        if (!shard_alive(shard, &found.record, now_s))
            standing = found.record.expiry_s <= now_s ? CACHE_EXPIRED : CACHE_FLUSHED;
    }
    lock_give(&shard->lock);
    return standing;
}

/* A record that a look-up will come to. */
static void fetch_record(const struct shard *shard, struct index_place place)
    ZB_REQUIRES(shard->lock)
{
    size_t bytes;
    unsigned tag;
    const uint8_t *record = zbud_log_record(shard->pool, place.log, place.number, &bytes, &tag);
    for (size_t at = 0; record != NULL && at < bytes && at < FETCH_BYTES_MAX; at += LINE_BYTES)
        __builtin_prefetch(record + at);
}

/* A look-up reads the index, the head of a page, its directory and the record, each found by the
 * one before. Step by step for all keys, each step's memory is waited for once. */
void shard_expect(struct shard *shard, const uint64_t *hashes, unsigned count)
{
    struct index_place places[CACHE_EXPECT_MAX];
    unsigned found = 0;
    assert(count <= CACHE_EXPECT_MAX);
    lock_take(&shard->lock);
    for (unsigned i = 0; i < count; i++)
        index_fetch(shard->index, hashes[i]);
    for (unsigned i = 0; i < count; i++) {
        uint64_t *slots[INDEX_CANDIDATES_MAX];
        if (index_candidates(shard->index, hashes[i], slots) == 0)
            continue;
        places[found] = index_slot_place(slots[0]);
        zbud_log_fetch(shard->pool, places[found++].log);
    }
    for (unsigned i = 0; i < found; i++)
        zbud_log_fetch_record(shard->pool, places[i].log, places[i].number);
    for (unsigned i = 0; i < found; i++)
        fetch_record(shard, places[i]);
    lock_give(&shard->lock);
}

/* Whether the mode lets a put go on. */
static enum cache_status put_allowed(const struct shard *shard, const struct shard_put *put,
                                     const struct shard_found *found)
{
    switch (put->mode) {
    case CACHE_SET:
        return CACHE_OK;
    case CACHE_ADD:
        if (found != NULL)
            shard_bump(found->slot); /* as memcached's add does */
        return found == NULL ? CACHE_OK : CACHE_NOT_STORED;
    case CACHE_REPLACE:
        return found != NULL ? CACHE_OK : CACHE_NOT_STORED;
    case CACHE_CAS:
        if (found == NULL)
            return CACHE_NOT_FOUND;
        /* A changed item: nobody may have stored another meanwhile, whatever cas that has. */
        return (put->keep_extras ? shard_unique(shard, found->record.sequence)
                                 : shard_cas(shard, &found->record)) == put->cas
                   ? CACHE_OK
                   : CACHE_EXISTS;
    case CACHE_CAS_OR_STALE:
        if (found == NULL)
            return CACHE_NOT_FOUND;
        /* 0 is no cas that was ever read. */
        return put->cas != 0 && put->cas <= shard_cas(shard, &found->record) ? CACHE_OK
                                                                             : CACHE_EXISTS;
    case CACHE_APPEND:
    case CACHE_PREPEND:
    default:
        /* cache.c makes these of a get and a cas. */
        assert(put->mode != CACHE_APPEND && put->mode != CACHE_PREPEND);
        return CACHE_NOT_STORED;
    }
}

void shard_undo(struct shard *shard, struct index_place place)
{
    struct shard_found fresh;
    bool live = shard_record(shard, place, &fresh);
    assert(live);
    (void)live;
    kill_bytes(shard, place, &fresh.record, false);
}

/* What a put takes over from the item it replaces; NULL: nothing. */
static const struct record *taken_over(const struct shard *shard, const struct shard_put *put,
                                       const struct record *old, struct record *kept)
{
    if (put->mode == CACHE_CAS_OR_STALE) {
        if (shard_cas(shard, old) == put->cas)
            return NULL;
        kept->flags = put->flags | RECORD_STALE | (old->flags & RECORD_WON);
        kept->expiry_s = old->expiry_s;
    } else {
        uint64_t keep = put->keep_marks ? ~RECORD_CAS : UINT32_MAX;
        kept->flags = (old->flags & keep) | (put->flags & RECORD_CAS);
        kept->expiry_s = put->touch ? put->expiry_s : old->expiry_s;
    }
    kept->cas = put->cas_new;
    return kept;
}

static enum cache_status store_locked(struct shard *shard, uint64_t hash,
                                      const struct shard_put *put, uint32_t now_s, uint64_t *cas)
    ZB_REQUIRES(shard->lock)
{
    struct shard_found old;
    bool found = shard_find(shard, hash, put->key, put->key_bytes, now_s, &old);
    enum cache_status status = put_allowed(shard, put, found ? &old : NULL);
    if (status != CACHE_OK)
        return status;
    struct index_place place;
    struct record kept;
    const struct record *extras =
        put->keep_extras && found ? taken_over(shard, put, &old.record, &kept) : NULL;
    uint32_t expiry_s = extras != NULL ? extras->expiry_s : put->expiry_s;
    unsigned kind = put->kind; /* of class 0 */
    if (expiry_s != CACHE_NEVER)
        kind = kind_with_expiry(kind, expiry_class(expiry_s, now_s));
    if (!shard_append_put(shard, put, kind, shard->sequence + 1, extras, &place))
        return CACHE_NO_MEMORY;
    if (found) {
        index_slot_set_place(old.slot, place);
        if (!shard_kill(shard, old.place, &old.record))
            shard_tidy_in_passing(shard, old.place.log, now_s);
    } else if (index_insert(shard->index, hash, place) == NULL) {
        shard_undo(shard, place);
        return index_is_crowded(shard->index, hash) ? CACHE_NO_ROOM : CACHE_NO_MEMORY;
    }
    shard->sequence++;
    shard->counters.stored++;
    shard->counters.deferred += (kind & KIND_FRESH) != 0;
    if (cas != NULL)
        *cas = put->flags & RECORD_CAS ? put->cas_new : shard_unique(shard, shard->sequence);
    return CACHE_OK;
}

enum cache_status shard_store(struct shard *shard, uint64_t hash, const struct shard_put *put,
                              uint32_t now_s, uint64_t *cas)
{
    lock_take(&shard->lock);
    enum cache_status status = store_locked(shard, hash, put, now_s, cas);
    lock_give(&shard->lock);
    return status;
}

enum cache_status shard_delete(struct shard *shard, uint64_t hash, const void *key,
                               size_t key_bytes, uint32_t now_s)
{
    struct shard_found found;
    lock_take(&shard->lock);
    bool alive = shard_find(shard, hash, key, key_bytes, now_s, &found);
    if (alive)
        shard_remove_and_tidy(shard, hash, &found, now_s);
    lock_give(&shard->lock);
    return alive ? CACHE_OK : CACHE_NOT_FOUND;
}

enum cache_status shard_touch(struct shard *shard, uint64_t hash, const void *key, size_t key_bytes,
                              uint32_t expiry_s, uint32_t now_s)
{
    struct shard_found found;
    enum cache_status status = CACHE_NOT_FOUND;
    lock_take(&shard->lock);
    if (shard_find(shard, hash, key, key_bytes, now_s, &found)) {
        shard_bump(found.slot);
        status = shard_set_expiry(shard, &found, expiry_s, now_s) ? CACHE_OK : CACHE_NO_MEMORY;
    }
    lock_give(&shard->lock);
    return status;
}

void shard_shrink_index(struct shard *shard)
{
    lock_take(&shard->lock);
    (void)index_shrink(shard->index);
    lock_give(&shard->lock);
}

void shard_flush(struct shard *shard, uint32_t at_s, uint32_t now_s)
{
    lock_take(&shard->lock);
    shard_catch_up(shard, now_s); /* one that is due is not forgotten for a later one */
    shard->flush_at_s = at_s > 0 ? at_s : 1;
    shard_persist(shard);
    shard_catch_up(shard, now_s);
    lock_give(&shard->lock);
}
