#include "tests/sim/sim.h"

#include <string.h>

static uint8_t *place(void *context, const struct cache_item *item)
{
    struct sim *sim = context;
    return sim->out + item->key_bytes;
}

/* Something of what is no longer there may be there still, but never taken for it. */
static void check_standing(const struct sim *sim, const struct known *known,
                           enum cache_standing standing)
{
    bool expired = known->expiry_s <= sim->now_s;
    if (sim_alive(sim, known))
        CHECK(sim, standing == CACHE_ALIVE);
    else if (known->state == GONE)
        CHECK(sim, standing == CACHE_ABSENT);
    else
        CHECK(sim,
              standing == CACHE_ABSENT || standing == (expired ? CACHE_EXPIRED : CACHE_FLUSHED));
}

void sim_audit_key(struct sim *sim, unsigned number)
{
    const struct known *known = &sim->known[number];
    const struct cache_look look = {.read = true, .unseen = true};
    uint8_t key[CACHE_KEY_BYTES_MAX];
    size_t key_bytes = sim_key(number, key);
    struct cache_item item;
    struct cache_view view;
    check_standing(sim, known, cache_inspect(sim->worker, key, key_bytes, sim->now_s, &item));
    if (!sim_alive(sim, known) || known->stale)
        return;
    CHECK(sim, cache_look(sim->worker, key, key_bytes, &look, sim->now_s, place, sim, &view) ==
                   CACHE_OK);
    CHECK(sim, view.item.cas == known->cas && view.item.flags == known->flags);
    CHECK(sim, view.item.expiry_s == known->expiry_s && view.given == known->won && !view.stale);
    CHECK(sim, view.item.value_bytes == known->value_bytes);
    CHECK(sim, known->value_bytes == 0 ||
                   memcmp(sim->out + key_bytes, known->value, known->value_bytes) == 0);
}

/* What the model says is there, and what may be there still though it is gone. */
struct sums {
    uint64_t items, raw_bytes, expiring;
};

static void sum(const struct sim *sim, struct sums *alive, struct sums *most)
{
    *alive = *most = (struct sums){0};
    for (unsigned i = 0; i < sim->keys; i++) {
        const struct known *known = &sim->known[i];
        uint8_t key[CACHE_KEY_BYTES_MAX];
        if (known->state == GONE)
            continue;
        struct sums one = {1, sim_key(i, key) + known->value_bytes, known->expiry_s != CACHE_NEVER};
        for (unsigned j = sim_alive(sim, known) ? 0 : 1; j < 2; j++) {
            struct sums *sums = j == 0 ? alive : most;
            sums->items += one.items;
            sums->raw_bytes += one.raw_bytes;
            sums->expiring += one.expiring;
        }
    }
}

static bool between(uint64_t least, uint64_t value, uint64_t most)
{
    return least <= value && value <= most;
}

/* Key and value behind the lengths of their blocks (server/cache/large.h). */
static size_t parts_pages_max(const struct cache_store *store)
{
    size_t entry_bytes = store->key_bytes + store->value_bytes;
    return (entry_bytes + (entry_bytes / CACHE_PART_BYTES + 1) * 4) / 4096 + 1;
}

void sim_audit_figures(struct sim *sim)
{
    struct cache_figures figures;
    cache_figures(sim->cache, &figures);
    uint64_t footprint = figures.resident_bytes + figures.charged_bytes;
    /* LIMIT: above it only since it was lowered, and never more than before. */
    CHECK(sim, footprint <= sim->memory_bytes || footprint <= sim->footprint_bytes);
    sim->footprint_bytes = footprint;
    CHECK(sim, figures.memory_bytes == sim->memory_bytes);
    CHECK(sim, figures.charged_bytes >= sim->charged_bytes);
    uint64_t named = figures.pages_buddied + figures.pages_unbuddied + figures.pages_large +
                     figures.pages_index + figures.pages_expiry;
    size_t in_parts = sim->parts_worker == NULL ? 0 : parts_pages_max(&sim->parts);
    CHECK(sim, between(named, figures.pages_used, named + in_parts));
    CHECK(sim, figures.evicted == sim->evicted - sim->evicted_shown);
    CHECK(sim, figures.items_total == sim->stored - sim->stored_shown);
    CHECK(sim, figures.items == sim->fresh - sim->deleted - sim->gone_shown - figures.evicted -
                                    figures.expired - figures.flushed);
    CHECK(sim, figures.missed_expired <= figures.expired);
    CHECK(sim, figures.missed_flushed <= figures.flushed);
    CHECK(sim, figures.evicted_unfetched <= figures.evicted);
    CHECK(sim, figures.expired_unfetched <= figures.expired);
    sim->learned = figures.classes_learned;
    if (sim_chance(sim, 50)) {
        cache_figures_reset(sim->cache);
        sim->gone_shown += figures.evicted + figures.expired + figures.flushed;
        sim->evicted_shown = sim->evicted;
        sim->stored_shown = sim->stored;
    }
}

static void audit_sums(struct sim *sim)
{
    struct cache_figures figures;
    struct cache_dictionary dictionaries[CACHE_DICTIONARIES_MAX];
    struct sums alive, most;
    uint64_t items = 0, raw_bytes = 0, stored_bytes = 0;
    sum(sim, &alive, &most);
    cache_figures(sim->cache, &figures);
    CHECK(sim, between(alive.items, figures.items, most.items));
    CHECK(sim, between(alive.raw_bytes, figures.raw_bytes, most.raw_bytes));
    CHECK(sim, between(alive.expiring, figures.items_expiring, most.expiring));
    unsigned count = cache_dictionaries(sim->cache, dictionaries);
    for (unsigned i = 0; i < count; i++) {
        items += dictionaries[i].items;
        raw_bytes += dictionaries[i].raw_bytes;
        stored_bytes += dictionaries[i].stored_bytes;
    }
    CHECK(sim, count == figures.dictionaries + 1);
    CHECK(sim, items == figures.items && raw_bytes == figures.raw_bytes &&
                   stored_bytes == figures.stored_bytes);
}

void sim_audit(struct sim *sim)
{
    sim->worker = sim->workers[0];
    cache_check(sim->cache);
    sim_audit_figures(sim);
    audit_sums(sim);
    for (unsigned i = 0; i < sim->keys; i++)
        sim_audit_key(sim, i);
}

/* ---- a walk over all items while they change ---- */

void sim_walk_begin(struct sim *sim)
{
    sim->walking = true;
    sim->walk.shard = 0;
    sim->walk.cursor = 0;
    for (unsigned i = 0; i < sim->keys; i++) {
        sim->known[i].throughout = sim_alive(sim, &sim->known[i]);
        sim->known[i].met = false;
    }
}

static void meet(struct sim *sim, const struct cache_walk_item *item)
{
    struct known *known = &sim->known[sim_key_number(sim, item->key, item->key_bytes)];
    CHECK(sim, sim_alive(sim, known) && !known->met);
    CHECK(sim, item->value_bytes == known->value_bytes && item->flags == known->flags);
    CHECK(sim, item->cas == known->cas && item->expiry_s == known->expiry_s);
    CHECK(sim, item->stored_bytes > 0 && item->age_s <= sim->now_s - known->stored_s);
    known->met = true;
}

void sim_walk_on(struct sim *sim)
{
    if (cache_walk(sim->cache, &sim->walk, sim->now_s)) {
        for (unsigned i = 0; i < sim->walk.count; i++)
            meet(sim, &sim->walk.items[i]);
        return;
    }
    sim->walking = false;
    for (unsigned i = 0; i < sim->keys; i++) {
        const struct known *known = &sim->known[i];
        CHECK(sim, known->met || !known->throughout || !sim_alive(sim, known));
    }
}
