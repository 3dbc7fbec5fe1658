#include "tests/sim/faults.h"
#include "tests/sim/sim.h"

#include <stdio.h>
#include <string.h>

/* Pages that must be there beyond an item's own, before running out of them is a surprise. */
#define ROOM_BYTES ((size_t)1 << 20)

/* One key, as operations see it. */
struct subject {
    unsigned number;
    struct known *known;
    uint8_t key[CACHE_KEY_BYTES_MAX];
    size_t key_bytes;
};

static struct subject subject_of(struct sim *sim, unsigned number)
{
    struct subject subject = {.number = number, .known = &sim->known[number]};
    subject.key_bytes = sim_key(number, subject.key);
    return subject;
}

static struct subject pick(struct sim *sim)
{
    /* Some are used far more than others. */
    return subject_of(sim, sim_draw(sim, sim_chance(sim, 3) ? sim->keys : sim->keys / 20));
}

static uint32_t draw_expiry(struct sim *sim)
{
    switch (sim_draw(sim, 20)) {
    case 0:
        return sim->now_s + sim_draw(sim, 12);
    case 1:
        return sim->now_s + sim_draw(sim, 300);
    case 2:
        return sim->now_s + sim_draw(sim, 5000000);
    case 3:
        return sim_draw(sim, 2) ? 0 : sim->now_s - sim_draw(sim, 2);
    default:
        return CACHE_NEVER;
    }
}

/* Mostly one that stands, or is near to it. */
static uint64_t draw_cas(struct sim *sim, const struct known *known)
{
    switch (sim_draw(sim, 6)) {
    case 0:
        return known->cas + 1;
    case 1:
        return known->cas - 1;
    case 2:
        return known->cas_high;
    case 3:
        return sim_draw(sim, 1000);
    default:
        return known->cas;
    }
}

/* An engine that could do it may not say that it has no memory: nothing was refused to it, what it
 * evicts gives room, and the limit is not used up by what it cannot evict. */
static void out_of_memory(struct sim *sim, size_t entry_bytes)
{
    struct cache_figures figures;
    sim->out_of_memory++;
    if (!sim->config.evict || sim->failures > 0)
        return;
    if (sim->parts_worker != NULL)
        entry_bytes += sim->parts.key_bytes + sim->parts.value_bytes;
    cache_figures(sim->cache, &figures);
    CHECK(sim, figures.charged_bytes + figures.pages_index * 4096 + 2 * entry_bytes + ROOM_BYTES >
                   figures.memory_bytes);
}

static uint8_t *place(void *context, const struct cache_item *item)
{
    struct sim *sim = context;
    CHECK(sim, item->key_bytes <= CACHE_KEY_BYTES_MAX && item->value_bytes <= SIM_VALUE_MAX);
    return sim->out + item->key_bytes;
}

static uint8_t *place_nowhere(void *context, const struct cache_item *item)
{
    (void)context;
    (void)item;
    return NULL;
}

static void check_item(const struct sim *sim, const struct subject *subject,
                       const struct cache_item *item)
{
    const struct known *known = subject->known;
    CHECK(sim, item->key_bytes == subject->key_bytes);
    CHECK(sim, item->value_bytes == known->value_bytes);
    CHECK(sim, item->flags == known->flags);
    CHECK(sim, item->cas == known->cas);
    CHECK(sim, item->unique != 0);
    CHECK(sim, known->own_cas || item->unique == item->cas);
}

static void check_value(const struct sim *sim, const struct subject *subject)
{
    const struct known *known = subject->known;
    CHECK(sim, memcmp(sim->out, subject->key, subject->key_bytes) == 0);
    CHECK(sim, known->value_bytes == 0 ||
                   memcmp(sim->out + subject->key_bytes, known->value, known->value_bytes) == 0);
}

/* What is not there: whatever was left of it is so no longer. */
static void missed(struct sim *sim, struct subject *subject)
{
    CHECK(sim, !sim_alive(sim, subject->known));
    sim_remove(subject->known);
    sim->misses++;
}

static void do_get(struct sim *sim)
{
    struct subject subject = pick(sim);
    struct cache_item item;
    bool touch = sim_chance(sim, 5), nowhere = sim_chance(sim, 40);
    uint32_t expiry_s = draw_expiry(sim);
    faults_arm();
    enum cache_status status =
        cache_get(sim->worker, subject.key, subject.key_bytes, touch ? &expiry_s : NULL, sim->now_s,
                  nowhere ? place_nowhere : place, sim, &item);
    sim->failures = faults_disarm();
    if (status == CACHE_NO_MEMORY) {
        CHECK(sim, touch);
        out_of_memory(sim, 0);
        return;
    }
    if (status == CACHE_NO_ROOM) {
        CHECK(sim, nowhere && subject.known->state != GONE);
        return;
    }
    if (status == CACHE_NOT_FOUND) {
        missed(sim, &subject);
        return;
    }
    CHECK(sim, status == CACHE_OK && !nowhere && sim_alive(sim, subject.known));
    sim->hits++;
    if (touch)
        subject.known->expiry_s = expiry_s;
    CHECK(sim, item.expiry_s == subject.known->expiry_s);
    check_item(sim, &subject, &item);
    check_value(sim, &subject);
}

/* ---- looks ---- */

static struct cache_look draw_look(struct sim *sim, const struct known *known)
{
    return (struct cache_look){
        .read = sim_draw(sim, 2),
        .skip_same = sim_chance(sim, 4),
        .skip_cas = draw_cas(sim, known),
        .unseen = sim_draw(sim, 2),
        .touch = sim_chance(sim, 4),
        .touch_expiry_s = draw_expiry(sim),
        .create = sim_chance(sim, 4),
        .create_expiry_s = draw_expiry(sim),
        .cas_given = sim_chance(sim, 4),
        .cas = draw_cas(sim, known),
        .recache = sim_chance(sim, 4),
        .recache_touched = sim_draw(sim, 2),
        .recache_s = sim->now_s + sim_draw(sim, 200),
    };
}

static void check_view(struct sim *sim, struct subject *subject, const struct cache_look *look,
                       const struct cache_view *view)
{
    struct known *known = subject->known;
    uint32_t judged_s =
        look->touch && look->recache_touched ? look->touch_expiry_s : known->expiry_s;
    bool soon_gone = look->recache && judged_s != CACHE_NEVER && judged_s < look->recache_s;
    CHECK(sim, view->stale == known->stale && view->given == known->won);
    CHECK(sim, view->won == (!known->won && (known->stale || soon_gone)));
    CHECK(sim, view->item.expiry_s == known->expiry_s);
    CHECK(sim, view->age_s <= sim->now_s - known->stored_s);
    CHECK(sim, view->stored_bytes > 0);
    CHECK(sim, view->read == (look->read && !(look->skip_same && look->skip_cas == known->cas)));
    check_item(sim, subject, &view->item);
    if (view->read)
        check_value(sim, subject);
    known->won |= view->won;
    if (look->touch)
        known->expiry_s = look->touch_expiry_s;
}

static void do_look(struct sim *sim)
{
    struct subject subject = pick(sim);
    struct known *known = subject.known;
    struct cache_look look = draw_look(sim, known);
    struct cache_view view;
    bool nowhere = look.read && sim_chance(sim, 40);
    faults_arm();
    enum cache_status status = cache_look(sim->worker, subject.key, subject.key_bytes, &look,
                                          sim->now_s, nowhere ? place_nowhere : place, sim, &view);
    sim->failures = faults_disarm();
    if (status == CACHE_NO_MEMORY) {
        out_of_memory(sim, 0);
        return;
    }
    if (status == CACHE_NO_ROOM) {
        CHECK(sim, nowhere && known->state != GONE);
        return;
    }
    if (status == CACHE_NOT_FOUND) {
        CHECK(sim, !look.create);
        missed(sim, &subject);
        return;
    }
    CHECK(sim, status == CACHE_OK && view.created == !sim_alive(sim, known));
    if (!view.created) {
        sim->hits++;
        check_view(sim, &subject, &look, &view);
        return;
    }
    CHECK(sim, look.create && view.won && !view.given && !view.stale && !view.fetched);
    CHECK(sim, view.item.value_bytes == 0 && view.item.expiry_s == CACHE_NEVER);
    CHECK(sim, !look.cas_given || view.item.cas == look.cas);
    sim_put(sim, known, NULL, 0, view.item.cas, look.cas_given);
    known->flags = 0;
    known->expiry_s = look.create_expiry_s;
    known->stale = false;
    known->won = true;
}

/* ---- stores ---- */

static bool too_large(const struct sim *sim, const struct cache_store *store, size_t value_bytes)
{
    size_t header = store->flags != 0 ? 63 : 59;
    return store->key_bytes + value_bytes + header > sim->config.item_bytes_max;
}

static enum cache_status wanted(const struct sim *sim, const struct known *known,
                                const struct cache_store *store)
{
    bool alive = sim_alive(sim, known);
    if (too_large(sim, store, store->value_bytes))
        return CACHE_TOO_LARGE;
    switch (store->mode) {
    case CACHE_ADD:
        return alive ? CACHE_NOT_STORED : CACHE_OK;
    case CACHE_REPLACE:
        return alive ? CACHE_OK : CACHE_NOT_STORED;
    case CACHE_CAS:
        if (!alive)
            return CACHE_NOT_FOUND;
        return known->cas == store->cas ? CACHE_OK : CACHE_EXISTS;
    case CACHE_CAS_OR_STALE:
        if (!alive)
            return CACHE_NOT_FOUND;
        return store->cas != 0 && known->cas >= store->cas ? CACHE_OK : CACHE_EXISTS;
    case CACHE_SET:
    case CACHE_APPEND:
    case CACHE_PREPEND:
    default:
        return CACHE_OK;
    }
}

/* A set that failed leaves nothing; anything else leaves what there was. */
static void not_stored(struct sim *sim, struct subject *subject, const struct cache_store *store,
                       enum cache_status status)
{
    bool alive = sim_alive(sim, subject->known);
    if (status == CACHE_NO_MEMORY)
        out_of_memory(sim, store->key_bytes + store->value_bytes);
    if (store->mode == CACHE_SET) {
        sim->deleted += alive;
        sim_remove(subject->known);
    }
}

/* A drawn value of that key, by @store, which names sim->entry. */
static enum cache_status store_value(struct sim *sim, const struct subject *subject,
                                     struct cache_store *store, struct cache_stored *stored)
{
    memcpy(sim->entry, subject->key, subject->key_bytes);
    store->value_bytes = sim_value(sim, subject->number, sim->entry + subject->key_bytes);
    faults_arm();
    enum cache_status status = cache_store(sim->worker, store, sim->now_s, stored);
    sim->failures = faults_disarm();
    return status;
}

static struct cache_store draw_store(struct sim *sim, const struct subject *subject)
{
    static const enum cache_mode MODES[] = {CACHE_SET,     CACHE_SET, CACHE_SET,         CACHE_ADD,
                                            CACHE_REPLACE, CACHE_CAS, CACHE_CAS_OR_STALE};
    return (struct cache_store){
        .entry = sim->entry,
        .key_bytes = subject->key_bytes,
        .mode = MODES[sim_draw(sim, 7)],
        .flags = sim_draw(sim, 2) ? sim_draw(sim, UINT32_MAX) : 0,
        .expiry_s = draw_expiry(sim),
        .cas = draw_cas(sim, subject->known),
        .cas_given = sim_chance(sim, 8),
        .cas_new = draw_cas(sim, subject->known),
    };
}

static void tried(struct sim *sim, struct subject *subject, const struct cache_store *store,
                  enum cache_status status, const struct cache_stored *stored)
{
    struct known *known = subject->known;
    /* Only now, as making room may have evicted the very item. */
    enum cache_status should = wanted(sim, known, store);
    CHECK(sim, status == should || (status == CACHE_NO_MEMORY && should != CACHE_TOO_LARGE));
    if (status != CACHE_OK) {
        not_stored(sim, subject, store, status);
        return;
    }
    bool lower = store->mode == CACHE_CAS_OR_STALE && store->cas != known->cas;
    CHECK(sim, stored->value_bytes == store->value_bytes);
    CHECK(sim, !store->cas_given || stored->cas == store->cas_new);
    sim_put(sim, known, store->entry + subject->key_bytes, store->value_bytes, stored->cas,
            store->cas_given);
    known->flags = store->flags;
    known->stale = lower;
    known->won = lower && known->won;
    if (!lower)
        known->expiry_s = store->expiry_s;
}

static void do_store(struct sim *sim)
{
    struct subject subject = pick(sim);
    struct cache_store store = draw_store(sim, &subject);
    struct cache_stored stored = {.cas = 0};
    enum cache_status status = store_value(sim, &subject, &store, &stored);
    tried(sim, &subject, &store, status, &stored);
}

static void begin_parts(struct sim *sim)
{
    struct subject subject = pick(sim);
    uint8_t *entry = sim->parts_entry;
    sim->parts = draw_store(sim, &subject);
    memcpy(entry, subject.key, subject.key_bytes);
    sim->parts.value_bytes = sim_large_value(sim, subject.number, entry + subject.key_bytes);
    sim->parts.owner = &sim->parts;
    sim->parts_number = subject.number;
    sim->parts_worker = sim->worker;
}

/* A part of a store, from wherever its entry lies now; between two of them all the others. */
static void do_part(struct sim *sim)
{
    struct cache_stored stored = {.cas = 0};
    if (sim->parts_worker == NULL)
        begin_parts(sim);
    if (sim_chance(sim, 20)) {
        cache_store_forget(sim->parts_worker, &sim->parts);
        sim->parts_worker = NULL;
        return;
    }
    struct subject subject = subject_of(sim, sim->parts_number);
    struct cache_store store = sim->parts;
    store.entry = sim->parts_entry;
    if (sim_draw(sim, 2)) {
        memcpy(sim->entry, sim->parts_entry, store.key_bytes + store.value_bytes);
        store.entry = sim->entry;
    }
    faults_arm();
    enum cache_status status = cache_store(sim->parts_worker, &store, sim->now_s, &stored);
    sim->failures = faults_disarm();
    if (status != CACHE_MORE) {
        sim->parts_worker = NULL;
        sim->in_parts += status == CACHE_OK;
        tried(sim, &subject, &store, status, &stored);
        return;
    }
    store.owner = sim; /* of another it is not the turn */
    CHECK(sim, cache_store(sim->parts_worker, &store, sim->now_s, &stored) == CACHE_MORE);
}

/* What append and prepend must come to where there is memory. */
static enum cache_status join_wanted(const struct sim *sim, const struct known *known,
                                     const struct cache_store *store)
{
    struct cache_store whole = *store;
    whole.flags = known->flags;
    if (!sim_alive(sim, known)) {
        if (!store->create)
            return CACHE_NOT_STORED;
        return too_large(sim, store, store->value_bytes) ? CACHE_TOO_LARGE : CACHE_OK;
    }
    if (store->compare && store->cas != known->cas)
        return CACHE_EXISTS;
    return too_large(sim, &whole, known->value_bytes + store->value_bytes) ? CACHE_NOT_STORED
                                                                           : CACHE_OK;
}

static void joined(struct sim *sim, struct subject *subject, const struct cache_store *store,
                   const struct cache_stored *stored)
{
    struct known *known = subject->known;
    bool alive = sim_alive(sim, known);
    const uint8_t *part = store->entry + store->key_bytes;
    size_t old_bytes = alive ? known->value_bytes : 0;
    bool append = store->mode == CACHE_APPEND;
    memcpy(sim->joined + (append ? old_bytes : 0), part, store->value_bytes);
    if (old_bytes > 0)
        memcpy(sim->joined + (append ? 0 : store->value_bytes), known->value, old_bytes);
    CHECK(sim, stored->value_bytes == old_bytes + store->value_bytes);
    CHECK(sim, !store->cas_given || stored->cas == store->cas_new);
    sim_put(sim, known, sim->joined, stored->value_bytes, stored->cas, store->cas_given);
    known->stale = known->won = false;
    if (!alive) {
        known->flags = store->flags;
        known->expiry_s = store->expiry_s;
    }
}

static void do_join(struct sim *sim)
{
    struct subject subject = pick(sim);
    struct known *known = subject.known;
    struct cache_store store = {
        .entry = sim->entry,
        .key_bytes = subject.key_bytes,
        .mode = sim_draw(sim, 2) ? CACHE_APPEND : CACHE_PREPEND,
        .flags = sim_draw(sim, 5),
        .expiry_s = draw_expiry(sim),
        .create = sim_chance(sim, 4),
        .compare = sim_chance(sim, 4),
        .cas = draw_cas(sim, known),
        .cas_given = sim_chance(sim, 8),
        .cas_new = draw_cas(sim, known),
    };
    struct cache_stored stored = {.cas = 0};
    enum cache_status status = store_value(sim, &subject, &store, &stored);
    if (status == CACHE_NO_MEMORY) {
        out_of_memory(sim, 2 * (store.key_bytes + store.value_bytes + known->value_bytes));
        return;
    }
    CHECK(sim, status == join_wanted(sim, known, &store));
    if (status == CACHE_OK)
        joined(sim, &subject, &store, &stored);
}

/* ---- numbers ---- */

static struct cache_arith draw_arith(struct sim *sim, const struct known *known)
{
    return (struct cache_arith){
        .increment = sim_draw(sim, 2),
        .compare = sim_chance(sim, 5),
        .touch = sim_chance(sim, 5),
        .create = sim_draw(sim, 2),
        .cas_given = sim_chance(sim, 5),
        .touch_expiry_s = draw_expiry(sim),
        .create_expiry_s = draw_expiry(sim),
        .delta = sim_chance(sim, 8) ? UINT64_MAX - sim_draw(sim, 3) : sim_draw(sim, 200),
        .initial = sim_draw(sim, UINT32_MAX),
        .cas = draw_cas(sim, known),
        .cas_new = draw_cas(sim, known),
    };
}

static void counted(struct sim *sim, struct subject *subject, const struct cache_arith *arith,
                    const struct cache_number *number, uint64_t value)
{
    struct known *known = subject->known;
    bool alive = sim_alive(sim, known);
    char text[32];
    uint64_t below = value > arith->delta ? value - arith->delta : 0;
    uint64_t now = arith->increment ? value + arith->delta : below;
    if (!alive)
        now = arith->initial;
    CHECK(sim, number->created == !alive && number->value == now);
    CHECK(sim, number->expiry_s == (alive ? known->expiry_s : CACHE_NEVER));
    CHECK(sim, !arith->cas_given || number->cas == arith->cas_new);
    size_t bytes = (size_t)snprintf(text, sizeof(text), "%llu", (unsigned long long)now);
    size_t padded = alive && known->value_bytes > bytes ? known->value_bytes : bytes;
    memset(sim->joined, ' ', padded);
    memcpy(sim->joined, text, bytes);
    sim_put(sim, known, sim->joined, padded, number->cas, arith->cas_given);
    if (!alive) {
        known->flags = 0;
        known->stale = known->won = false;
        known->expiry_s = arith->create_expiry_s;
    } else if (arith->touch) {
        known->expiry_s = arith->touch_expiry_s;
    }
}

static void do_arith(struct sim *sim)
{
    struct subject subject = pick(sim);
    struct known *known = subject.known;
    struct cache_arith arith = draw_arith(sim, known);
    struct cache_number number;
    uint64_t value = 0;
    faults_arm();
    enum cache_status status =
        cache_arith(sim->worker, subject.key, subject.key_bytes, &arith, sim->now_s, &number);
    sim->failures = faults_disarm();
    if (status == CACHE_NO_MEMORY) {
        out_of_memory(sim, known->value_bytes);
        return;
    }
    if (!sim_alive(sim, known) && !arith.create) {
        CHECK(sim, status == CACHE_NOT_FOUND);
        missed(sim, &subject);
        return;
    }
    if (sim_alive(sim, known)) {
        bool other = arith.compare && arith.cas != known->cas;
        if (other || !sim_number(known, &value)) {
            CHECK(sim, status == (other ? CACHE_EXISTS : CACHE_NOT_NUMBER));
            return;
        }
    }
    CHECK(sim, status == CACHE_OK);
    counted(sim, &subject, &arith, &number, value);
}

/* ---- deletes, changes, touches ---- */

static void do_delete(struct sim *sim)
{
    struct subject subject = pick(sim);
    faults_arm();
    enum cache_status status =
        cache_delete(sim->worker, subject.key, subject.key_bytes, sim->now_s);
    sim->failures = faults_disarm();
    CHECK(sim, status == (sim_alive(sim, subject.known) ? CACHE_OK : CACHE_NOT_FOUND));
    sim->deleted += status == CACHE_OK;
    sim_remove(subject.known);
}

/* Of an empty value, which is stored; of an invalidated one, which stays. */
static void changed(struct sim *sim, struct subject *subject, const struct cache_change *change)
{
    struct known *known = subject->known;
    bool makes_cas = change->invalidate && !change->cas_given;
    struct cache_item item;
    CHECK(sim, cache_inspect(sim->worker, subject->key, subject->key_bytes, sim->now_s, &item) !=
                   CACHE_ABSENT);
    uint64_t cas = change->cas_given ? change->cas_new : known->cas;
    CHECK(sim, makes_cas ? item.cas > known->cas_high : item.cas == cas);
    known->cas = item.cas;
    if (makes_cas)
        known->cas_high = item.cas;
    known->own_cas = !makes_cas;
    if (change->empty) {
        sim_put(sim, known, NULL, 0, known->cas, true);
        known->own_cas = !makes_cas;
        known->flags = 0;
        known->expiry_s = CACHE_NEVER;
    }
    if (change->touch)
        known->expiry_s = change->expiry_s;
    known->stale = change->invalidate;
    known->won = false;
}

static void do_change(struct sim *sim)
{
    struct subject subject = pick(sim);
    struct known *known = subject.known;
    struct cache_change change = {
        .compare = sim_draw(sim, 2),
        .cas = draw_cas(sim, known),
        .empty = sim_chance(sim, 3),
        .invalidate = !sim_chance(sim, 3),
        .touch = sim_draw(sim, 2),
        .expiry_s = draw_expiry(sim),
        .cas_given = sim_chance(sim, 4),
        .cas_new = draw_cas(sim, known),
    };
    faults_arm();
    enum cache_status status =
        cache_change(sim->worker, subject.key, subject.key_bytes, &change, sim->now_s);
    sim->failures = faults_disarm();
    if (status == CACHE_NO_MEMORY) {
        out_of_memory(sim, 0);
        return;
    }
    if (status == CACHE_NOT_FOUND) {
        missed(sim, &subject);
        return;
    }
    CHECK(sim, sim_alive(sim, known));
    if (change.compare && change.cas != known->cas) {
        CHECK(sim, status == CACHE_EXISTS);
        return;
    }
    CHECK(sim, status == CACHE_OK);
    if (change.empty || change.invalidate) {
        changed(sim, &subject, &change);
        return;
    }
    sim->deleted++;
    sim_remove(known);
}

static void do_touch(struct sim *sim)
{
    struct subject subject = pick(sim);
    uint32_t expiry_s = draw_expiry(sim);
    faults_arm();
    enum cache_status status =
        cache_touch(sim->worker, subject.key, subject.key_bytes, expiry_s, sim->now_s);
    sim->failures = faults_disarm();
    if (status == CACHE_NO_MEMORY) {
        out_of_memory(sim, 0);
        return;
    }
    if (status == CACHE_NOT_FOUND) {
        missed(sim, &subject);
        return;
    }
    CHECK(sim, status == CACHE_OK && sim_alive(sim, subject.known));
    subject.known->expiry_s = expiry_s;
}

/* ---- what concerns no one key ---- */

static void do_expect(struct sim *sim)
{
    uint8_t bytes[CACHE_EXPECT_MAX][CACHE_KEY_BYTES_MAX];
    struct cache_key keys[CACHE_EXPECT_MAX];
    unsigned count = sim_draw(sim, CACHE_EXPECT_MAX + 1);
    for (unsigned i = 0; i < count; i++)
        keys[i] = (struct cache_key){bytes[i], sim_key(sim_draw(sim, sim->keys), bytes[i])};
    faults_arm();
    cache_expect(sim->worker, keys, count);
    sim->failures = faults_disarm();
}

static void do_background(struct sim *sim)
{
    unsigned steps = sim_chance(sim, 30) ? 100 : 1 + sim_draw(sim, 3);
    faults_arm();
    for (; steps > 0; steps--) {
        if (sim_chance(sim, 3))
            (void)cache_compress(sim->keeper, sim->now_s);
        else if (sim_chance(sim, 4))
            (void)cache_maintain_briefly(sim->keeper, sim->now_s);
        else
            (void)cache_maintain(sim->keeper, sim->now_s);
    }
    (void)cache_prepare_memory(sim->cache);
    sim->failures = faults_disarm();
}

static void do_charge(struct sim *sim)
{
    if (sim->charged_bytes > 0 && sim_draw(sim, 2)) {
        size_t bytes =
            sim_chance(sim, 4) ? sim->charged_bytes : sim_draw(sim, (uint32_t)sim->charged_bytes);
        cache_uncharge(sim->cache, bytes);
        sim->charged_bytes -= bytes;
        return;
    }
    size_t bytes = sim_draw(sim, (uint32_t)(sim->config.memory_bytes / 16));
    if (sim->charged_bytes + bytes > sim->config.memory_bytes / 6)
        return;
    faults_arm();
    enum cache_status status = cache_charge(sim->cache, bytes);
    sim->failures = faults_disarm();
    if (status == CACHE_NO_MEMORY)
        out_of_memory(sim, bytes);
    else
        sim->charged_bytes += bytes;
}

static void do_limit(struct sim *sim)
{
    size_t least = sim->config.memory_bytes / 2;
    size_t bytes =
        least + sim_draw(sim, (uint32_t)(sim->config.reserve_bytes - least) + (1u << 20));
    sim_audit_figures(sim); /* by the old limit */
    enum cache_status status = cache_set_memory(sim->cache, bytes);
    CHECK(sim, status == (bytes <= sim->config.reserve_bytes ? CACHE_OK : CACHE_TOO_LARGE));
    if (status == CACHE_OK)
        sim->memory_bytes = bytes;
}

static void do_flush(struct sim *sim)
{
    uint32_t at_s =
        sim_draw(sim, 2) ? sim->now_s - sim_draw(sim, 2) : sim->now_s + sim_draw(sim, 10);
    cache_flush_all(sim->cache, at_s, sim->now_s);
    if (at_s <= sim->now_s)
        sim_flush(sim);
    else
        sim->flush_at_s = at_s;
}

static void do_walk(struct sim *sim)
{
    if (!sim->walking)
        sim_walk_begin(sim);
    else
        sim_walk_on(sim);
}

/* Failures are rare, but for storms of some kinds of them. */
static void make_weather(struct sim *sim)
{
    static const unsigned RATES[] = {2, 10, 100, 1};
    static const unsigned SELDOM[FAULT_KINDS] = {
        [FAULT_HEAP] = 300,     [FAULT_MAP] = 300,  [FAULT_ADVISE] = 200, [FAULT_PAGE] = 5000,
        [FAULT_CHARGE] = 20000, [FAULT_TRAIN] = 10, [FAULT_NUMBERS] = 10,
    };
    if (sim->storm > 0 && --sim->storm > 0)
        return;
    bool storm = sim_chance(sim, 1000);
    if (storm)
        sim->storm = 1 + sim_draw(sim, 200);
    else if (sim->operation % 64 != 1)
        return;
    for (unsigned i = 0; i < FAULT_KINDS; i++) {
        bool bad = storm && sim_chance(sim, 3);
        /* Each charge that is refused evicts: if all are, everything. */
        unsigned rates = i == FAULT_CHARGE ? 3 : 4;
        faults_rate((enum fault)i, bad ? RATES[sim_draw(sim, rates)] : SELDOM[i]);
    }
}

static void make_time(struct sim *sim)
{
    static const uint32_t JUMPS[] = {30, 70, 4000, 90000, 3000000};
    bool pending = sim->flush_at_s != 0;
    if (sim_chance(sim, 60))
        sim_pass(sim, sim_draw(sim, 3));
    /* One more right after one came due, before anything has met that. */
    if (pending && sim->flush_at_s == 0 && sim_draw(sim, 2))
        do_flush(sim);
    if (sim_chance(sim, 6000) && sim->now_s < UINT32_MAX / 2)
        sim_pass(sim, JUMPS[sim_draw(sim, 5)]);
    if (sim_chance(sim, 20000))
        sim->era++;
}

void sim_operate(struct sim *sim)
{
    static const struct {
        unsigned weight;
        void (*operate)(struct sim *);
    } OPERATIONS[] = {
        {300, do_get},   {120, do_look},  {300, do_store}, {60, do_join},   {60, do_arith},
        {40, do_delete}, {60, do_change}, {40, do_touch},  {20, do_expect}, {80, do_background},
        {10, do_charge}, {10, do_walk},   {1, do_limit},   {30, do_part},
    };
    unsigned at = sim_draw(sim, 1131), i = 0;
    make_weather(sim);
    make_time(sim);
    sim->worker = sim->workers[sim_draw(sim, 2)];
    while (at >= OPERATIONS[i].weight)
        at -= OPERATIONS[i++].weight;
    OPERATIONS[i].operate(sim);
    if (sim_chance(sim, 20000))
        do_flush(sim);
}
