#include "server/admin/prefixes.h"

#include "server/admin/fnv.h"
#include "server/cache/cache.h"

#include <assert.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#define SLOT_NONE UINT32_MAX

struct prefix {
    uint64_t counts[PREFIX_EVENTS_COUNT];
    uint32_t hash;
    uint32_t text_at;
    uint8_t text_bytes;
};

static_assert(PREFIX_BYTES_MAX <= UINT8_MAX, "a prefix's length is a byte");
static_assert(PREFIX_BYTES_MAX == CACHE_KEY_BYTES_MAX, "a prefix may be all of a key but one");

struct prefixes_table {
    struct cache *cache;
    char delimiter;
    size_t prefixes_max;
    size_t slots_mask;
    pthread_mutex_t lock; /* guards all below */
    size_t bytes;         /* charged; 0: there is no memory yet */
    struct prefix *prefixes;
    uint32_t *slots; /* open addressing; SLOT_NONE: free */
    char *text;
    size_t count;
    size_t text_used;
    uint64_t uncounted;
};

static size_t text_bytes_max(const struct prefixes_table *table)
{
    return table->prefixes_max * PREFIXES_TEXT_BYTES;
}

static size_t slots_count(const struct prefixes_table *table)
{
    return table->slots_mask + 1;
}

static size_t table_bytes(const struct prefixes_table *table)
{
    return table->prefixes_max * sizeof(struct prefix) + slots_count(table) * sizeof(uint32_t) +
           text_bytes_max(table);
}

/* Twice as many slots as prefixes, so that the probes suffice. */
static void choose_size(struct prefixes_table *table, size_t memory_bytes)
{
    table->prefixes_max = PREFIXES_MAX;
    for (;;) {
        table->slots_mask = 2 * table->prefixes_max - 1;
        if (table->prefixes_max == PREFIXES_MIN ||
            table_bytes(table) <= memory_bytes / PREFIXES_MEMORY_PART) {
            return;
        }
        table->prefixes_max /= 2;
    }
}

struct prefixes *prefixes_new(struct cache *cache, size_t memory_bytes, char delimiter)
{
    struct prefixes *prefixes = calloc(1, sizeof(*prefixes));
    struct prefixes_table *table = calloc(1, sizeof(*table));

    if (prefixes == NULL || table == NULL) {
        free(prefixes);
        free(table);
        return NULL;
    }
    table->cache = cache;
    table->delimiter = delimiter;
    choose_size(table, memory_bytes);
    pthread_mutex_init(&table->lock, NULL);
    prefixes->table = table;
    return prefixes;
}

void prefixes_free(struct prefixes *prefixes)
{
    if (prefixes == NULL) {
        return;
    }
    struct prefixes_table *table = prefixes->table;
    if (table->bytes > 0) {
        cache_uncharge(table->cache, table->bytes);
        free(table->prefixes);
    }
    pthread_mutex_destroy(&table->lock);
    free(table);
    free(prefixes);
}

static void clear(struct prefixes_table *table)
{
    table->count = 0;
    table->text_used = 0;
    table->uncounted = 0;
    if (table->bytes > 0) {
        memset(table->slots, 0xff, slots_count(table) * sizeof(uint32_t));
    }
}

/* One block: the prefixes, the slots, the texts. */
static bool take_memory(struct prefixes_table *table)
{
    const size_t bytes = table_bytes(table);

    if (table->bytes > 0) {
        return true;
    }
    if (cache_charge(table->cache, bytes) != CACHE_OK) {
        return false;
    }
    table->prefixes = malloc(bytes);
    if (table->prefixes == NULL) {
        cache_uncharge(table->cache, bytes);
        return false;
    }
    table->slots = (uint32_t *)(void *)(table->prefixes + table->prefixes_max);
    table->text = (char *)(table->slots + slots_count(table));
    table->bytes = bytes;
    clear(table);
    return true;
}

bool prefixes_switch(struct prefixes *prefixes, bool on)
{
    struct prefixes_table *table = prefixes->table;

    pthread_mutex_lock(&table->lock);
    const bool able = !on || take_memory(table);
    if (able) {
        atomic_store_explicit(&prefixes->on, on, memory_order_relaxed);
    }
    pthread_mutex_unlock(&table->lock);
    return able;
}

static struct prefix *add(struct prefixes_table *table, uint32_t *slot, uint32_t hash,
                          const uint8_t *text, size_t bytes)
{
    if (table->count == table->prefixes_max || bytes > text_bytes_max(table) - table->text_used) {
        return NULL;
    }
    struct prefix *prefix = &table->prefixes[table->count];
    *prefix = (struct prefix){
        .hash = hash,
        .text_at = (uint32_t)table->text_used,
        .text_bytes = (uint8_t)bytes,
    };
    memcpy(table->text + table->text_used, text, bytes);
    table->text_used += bytes;
    *slot = (uint32_t)table->count++;
    return prefix;
}

/* NULL: it is new, and there is no room for it. */
static struct prefix *find_or_add(struct prefixes_table *table, const uint8_t *text, size_t bytes)
{
    const uint32_t hash = fnv_hash(text, bytes);

    for (size_t probe = 0; probe < PREFIXES_PROBES; probe++) {
        uint32_t *slot = &table->slots[(hash + probe) & table->slots_mask];
        if (*slot == SLOT_NONE) {
            return add(table, slot, hash, text, bytes);
        }
        struct prefix *prefix = &table->prefixes[*slot];
        if (prefix->hash == hash && prefix->text_bytes == bytes &&
            memcmp(table->text + prefix->text_at, text, bytes) == 0) {
            return prefix;
        }
    }
    return NULL;
}

void prefixes_count(struct prefixes *prefixes, const void *key, size_t key_bytes,
                    enum prefix_event event)
{
    struct prefixes_table *table = prefixes->table;
    const uint8_t *end = memchr(key, table->delimiter, key_bytes);

    if (end == NULL) {
        return;
    }
    pthread_mutex_lock(&table->lock);
    struct prefix *prefix =
        table->bytes > 0 ? find_or_add(table, key, (size_t)(end - (const uint8_t *)key)) : NULL;
    if (prefix == NULL) {
        table->uncounted++;
    } else {
        prefix->counts[event]++;
        if (event == PREFIX_HIT) {
            prefix->counts[PREFIX_GET]++;
        }
    }
    pthread_mutex_unlock(&table->lock);
}

void prefixes_clear(struct prefixes *prefixes)
{
    pthread_mutex_lock(&prefixes->table->lock);
    clear(prefixes->table);
    pthread_mutex_unlock(&prefixes->table->lock);
}

bool prefixes_at(struct prefixes *prefixes, size_t number, struct prefix_counts *counts)
{
    struct prefixes_table *table = prefixes->table;

    pthread_mutex_lock(&table->lock);
    const bool there = number < table->count;
    if (there) {
        const struct prefix *prefix = &table->prefixes[number];
        counts->text_bytes = prefix->text_bytes;
        memcpy(counts->text, table->text + prefix->text_at, prefix->text_bytes);
        memcpy(counts->counts, prefix->counts, sizeof(counts->counts));
    }
    pthread_mutex_unlock(&table->lock);
    return there;
}

size_t prefixes_known(struct prefixes *prefixes, uint64_t *uncounted)
{
    struct prefixes_table *table = prefixes->table;

    pthread_mutex_lock(&table->lock);
    const size_t count = table->count;
    *uncounted = table->uncounted;
    pthread_mutex_unlock(&table->lock);
    return count;
}
