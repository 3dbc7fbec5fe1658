/* What only meta commands do to an item: look at all that is known of it, create what is missing,
 * say who is to make it anew, and leave it in place of a delete. */
#include "server/cache/shard_inside.h"

#include <assert.h>
#include <string.h>

/* Who is first is told so: by the item's being stale, or by its soon being gone. */
static bool wins(const struct record *record, const struct cache_look *look)
{
    bool touched = look->touch && look->recache_touched;
    uint32_t expiry_s = touched ? look->touch_expiry_s : record->expiry_s;
    bool soon_gone = look->recache && expiry_s != CACHE_NEVER && expiry_s < look->recache_s;
    return !(record->flags & RECORD_WON) && ((record->flags & RECORD_STALE) || soon_gone);
}

static void view_of(const struct shard *shard, const struct shard_found *found,
                    const struct cache_look *look, uint32_t now_s, struct cache_view *view)
    ZB_REQUIRES(shard->lock)
{
    const struct record *record = &found->record;
    bool same = look->skip_same && shard_cas(shard, record) == look->skip_cas;
    *view = (struct cache_view){
        .read = look->read && !same,
        .stale = record->flags & RECORD_STALE,
        .given = record->flags & RECORD_WON,
        .won = wins(record, look),
        .fetched = index_slot_frequency(found->slot) > 0,
        .age_s = ages_of(&shard->ages, record->sequence, now_s),
        .stored_bytes = shard_taken_bytes(found),
    };
    shard_item(shard, record, &view->item);
}

static bool is_key(const struct shard_found *found, const void *key)
{
    uint8_t scratch[CACHE_KEY_BYTES_MAX];
    const uint8_t *own = record_key(&found->record, found->dictionary, scratch);
    assert(own != NULL);
    return own != NULL && memcmp(own, key, found->record.key_bytes) == 0;
}

/* Its flags, cas or sequence become those of @changed, perhaps its expiry too. */
static bool revise(struct shard *shard, struct shard_found *found, const struct record *changed,
                   uint32_t now_s) ZB_REQUIRES(shard->lock)
{
    unsigned kind = found->kind;
    if (changed->expiry_s != found->record.expiry_s)
        kind = kind_with_expiry(kind, expiry_class(changed->expiry_s, now_s));
    return shard_revise(shard, found, kind, changed);
}

/* The key's item, its value read if that is asked for, and the view of it; alive or not. */
static enum cache_status view_any(struct shard *shard, uint64_t hash, const void *key,
                                  size_t key_bytes, const struct cache_look *look, uint32_t now_s,
                                  struct codec *codec, cache_place_fn *place, void *context,
                                  struct shard_found *found, struct cache_view *view)
    ZB_REQUIRES(shard->lock)
{
    uint64_t *slots[INDEX_CANDIDATES_MAX];
    unsigned count = index_candidates(shard->index, hash, slots);
    for (unsigned i = 0; i < count; i++) {
        bool live = shard_record(shard, index_slot_place(slots[i]), found);
        assert(live);
        if (!live || found->record.key_bytes != key_bytes)
            continue;
        enum cache_status status = CACHE_OK;
        found->slot = slots[i];
        view_of(shard, found, look, now_s, view);
        if (view->read)
            status = shard_read_candidate(shard, found, key, codec, place, context, &view->item);
        else if (!is_key(found, key))
            status = CACHE_NOT_FOUND;
        if (status != CACHE_NOT_FOUND)
            return status;
    }
    return CACHE_NOT_FOUND;
}

/* An item without a value, not compressed: there is only the key. */
static struct record empty_record(const struct shard *shard, const void *key, size_t key_bytes,
                                  uint64_t flags, uint64_t cas, uint32_t expiry_s)
{
    return (struct record){
        .key_bytes = key_bytes,
        .sequence = shard->sequence + 1,
        .flags = flags,
        .cas = cas,
        .expiry_s = expiry_s,
        .payload = key,
        .payload_bytes = key_bytes,
        .first_page = ZBUD_PAGE_NONE,
    };
}

/* Whoever creates an item has won. CACHE_NOT_STORED: not with any memory, as shard_store()'s
 * CACHE_NO_ROOM, which means something else here. */
static enum cache_status create(struct shard *shard, uint64_t hash, const void *key,
                                size_t key_bytes, const struct cache_look *look, uint32_t now_s,
                                struct cache_view *view) ZB_REQUIRES(shard->lock)
{
    struct record record =
        empty_record(shard, key, key_bytes, RECORD_WON | (look->cas_given ? RECORD_CAS : 0),
                     look->cas, look->create_expiry_s);
    unsigned kind = kind_with_expiry(0, expiry_class(record.expiry_s, now_s));
    struct index_place place;
    if (!shard_append(shard, kind, &record, &place))
        return CACHE_NO_MEMORY;
    uint64_t *slot = index_insert(shard->index, hash, place);
    if (slot == NULL) {
        shard_undo(shard, place);
        return index_is_crowded(shard->index, hash) ? CACHE_NOT_STORED : CACHE_NO_MEMORY;
    }
    shard->sequence++;
    shard->counters.stored++;
    *view = (struct cache_view){.created = true, .read = look->read, .won = true};
    shard_item(shard, &record, &view->item);
    view->item.expiry_s = CACHE_NEVER;
    if (!look->unseen)
        shard_bump(slot);
    return CACHE_OK;
}

static enum cache_status look_locked(struct shard *shard, uint64_t hash, const void *key,
                                     size_t key_bytes, const struct cache_look *look,
                                     uint32_t now_s, struct codec *codec, cache_place_fn *place,
                                     void *context, struct cache_view *view)
    ZB_REQUIRES(shard->lock)
{
    struct shard_found found;
    shard_catch_up(shard, now_s);
    enum cache_status status =
        view_any(shard, hash, key, key_bytes, look, now_s, codec, place, context, &found, view);
    if (status == CACHE_OK && !shard_alive(shard, &found.record, now_s)) {
        shard_count_missed(shard, &found, now_s);
        shard_remove_and_tidy(shard, hash, &found, now_s);
        status = CACHE_NOT_FOUND;
    }
    if (status == CACHE_NOT_FOUND && look->create)
        return create(shard, hash, key, key_bytes, look, now_s, view);
    if (status != CACHE_OK)
        return status;
    uint32_t expiry_s = look->touch ? look->touch_expiry_s : found.record.expiry_s;
    struct record won = found.record;
    won.flags |= RECORD_WON;
    won.expiry_s = expiry_s;
    if (view->won ? !revise(shard, &found, &won, now_s)
                  : !shard_set_expiry(shard, &found, expiry_s, now_s))
        return CACHE_NO_MEMORY;
    if (!look->unseen)
        shard_bump(found.slot);
    return CACHE_OK;
}

enum cache_status shard_look(struct shard *shard, uint64_t hash, const void *key, size_t key_bytes,
                             const struct cache_look *look, uint32_t now_s, struct codec *codec,
                             cache_place_fn *place, void *context, struct cache_view *view)
{
    lock_take(&shard->lock);
    enum cache_status status =
        look_locked(shard, hash, key, key_bytes, look, now_s, codec, place, context, view);
    lock_give(&shard->lock);
    return status;
}

/* The record stays, and its cas is another. */
static bool invalidate(struct shard *shard, struct shard_found *found,
                       const struct cache_change *change, uint32_t now_s) ZB_REQUIRES(shard->lock)
{
    struct record changed = found->record;
    changed.flags = (changed.flags & UINT32_MAX) | RECORD_STALE;
    changed.sequence = shard->sequence + 1;
    if (change->cas_given) {
        changed.flags |= RECORD_CAS;
        changed.cas = change->cas_new;
    }
    if (change->touch)
        changed.expiry_s = change->expiry_s;
    return revise(shard, found, &changed, now_s);
}

/* An empty item in its place. Unless it is invalidated too its cas stays; its sequence must not:
 * who has read the value to change it must see that it is another. */
static bool empty(struct shard *shard, const struct shard_found *found, const void *key,
                  const struct cache_change *change, uint32_t now_s) ZB_REQUIRES(shard->lock)
{
    uint64_t cas = change->cas_given ? change->cas_new : shard_cas(shard, &found->record);
    bool own_cas = change->invalidate && !change->cas_given;
    uint64_t flags = (change->invalidate ? RECORD_STALE : 0) | (own_cas ? 0 : RECORD_CAS);
    struct record record = empty_record(shard, key, found->record.key_bytes, flags, cas,
                                        change->touch ? change->expiry_s : CACHE_NEVER);
    unsigned kind = kind_with_expiry(0, expiry_class(record.expiry_s, now_s));
    struct index_place place;
    if (!shard_append(shard, kind, &record, &place))
        return false;
    index_slot_set_place(found->slot, place);
    if (!shard_kill(shard, found->place, &found->record))
        shard_tidy_in_passing(shard, found->place.log, now_s);
    shard->counters.stored++;
    return true;
}

static enum cache_status change_locked(struct shard *shard, uint64_t hash, const void *key,
                                       size_t key_bytes, const struct cache_change *change,
                                       uint32_t now_s) ZB_REQUIRES(shard->lock)
{
    struct shard_found found;
    if (!shard_find(shard, hash, key, key_bytes, now_s, &found))
        return CACHE_NOT_FOUND;
    if (change->compare && shard_cas(shard, &found.record) != change->cas)
        return CACHE_EXISTS;
    if (!change->empty && !change->invalidate) {
        shard_remove_and_tidy(shard, hash, &found, now_s);
        return CACHE_OK;
    }
    if (change->empty ? !empty(shard, &found, key, change, now_s)
                      : !invalidate(shard, &found, change, now_s))
        return CACHE_NO_MEMORY;
    shard->sequence++;
    return CACHE_OK;
}

enum cache_status shard_change(struct shard *shard, uint64_t hash, const void *key,
                               size_t key_bytes, const struct cache_change *change, uint32_t now_s)
{
    lock_take(&shard->lock);
    enum cache_status status = change_locked(shard, hash, key, key_bytes, change, now_s);
    lock_give(&shard->lock);
    return status;
}
