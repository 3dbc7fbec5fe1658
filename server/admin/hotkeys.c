#include "server/admin/hotkeys.h"

#include "server/admin/fnv.h"
#include "server/cache/cache.h"

#include <assert.h>
#include <math.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

/* By which all counts are 0. */
#define HALVES_MAX 31u

static_assert(HOTKEYS_KEY_BYTES_MAX == CACHE_KEY_BYTES_MAX, "any key may be hot");
static_assert(HOTKEYS_KEY_BYTES_MAX <= UINT8_MAX, "a key's length is a byte");

struct hotkeys_table {
    _Alignas(64) struct hotkeys_writer writer;
    pthread_mutex_t lock; /* guards all below */
    uint64_t random;
    uint32_t gap;       /* requests a sample stands for */
    uint32_t gap_max;   /* that of any sample, halved with the counts */
    uint32_t samples;   /* in this second */
    uint32_t sampled_s; /* this second */
    uint32_t aged_s;    /* when counts were due to be halved last */
    double window_s;    /* what they stood for then */
    /* An entry each; a count of 0 is a free one. */
    uint32_t hashes[HOTKEYS_KEPT];
    uint32_t counts[HOTKEYS_KEPT];
    uint32_t errors[HOTKEYS_KEPT];
    uint8_t key_bytes[HOTKEYS_KEPT];
    uint8_t keys[HOTKEYS_KEPT][HOTKEYS_KEY_BYTES_MAX];
};

struct hotkeys {
    struct cache *cache;
    size_t threads;
    size_t joined;
    struct hotkeys_table *tables;
};

static size_t tables_bytes(size_t threads)
{
    return threads * sizeof(struct hotkeys_table);
}

static void begin(struct hotkeys_table *table, size_t number, uint32_t now_s)
{
    table->writer.table = table;
    table->random = number + 1;
    table->gap = 1;
    table->gap_max = 1;
    table->aged_s = now_s;
    pthread_mutex_init(&table->lock, NULL);
}

struct hotkeys *hotkeys_new(struct cache *cache, size_t threads, uint32_t now_s)
{
    struct hotkeys *hotkeys = calloc(1, sizeof(*hotkeys));

    if (hotkeys == NULL || cache_charge(cache, tables_bytes(threads)) != CACHE_OK) {
        free(hotkeys);
        return NULL;
    }
    hotkeys->cache = cache;
    hotkeys->threads = threads;
    hotkeys->tables = aligned_alloc(_Alignof(struct hotkeys_table), tables_bytes(threads));
    if (hotkeys->tables == NULL) {
        hotkeys_free(hotkeys);
        return NULL;
    }
    memset(hotkeys->tables, 0, tables_bytes(threads));
    for (size_t i = 0; i < threads; i++) {
        begin(&hotkeys->tables[i], i, now_s);
    }
    return hotkeys;
}

void hotkeys_free(struct hotkeys *hotkeys)
{
    if (hotkeys == NULL) {
        return;
    }
    for (size_t i = 0; hotkeys->tables != NULL && i < hotkeys->threads; i++) {
        pthread_mutex_destroy(&hotkeys->tables[i].lock);
    }
    cache_uncharge(hotkeys->cache, tables_bytes(hotkeys->threads));
    free(hotkeys->tables);
    free(hotkeys);
}

struct hotkeys_writer *hotkeys_join(struct hotkeys *hotkeys)
{
    assert(hotkeys->joined < hotkeys->threads);
    return &hotkeys->tables[hotkeys->joined++].writer;
}

/* Halves counts and their time as often as that has come due. Times tend to HOTKEYS_HALVE_S. */
static void age(struct hotkeys_table *table, uint32_t now_s)
{
    if (now_s < table->aged_s) {
        table->aged_s = now_s; /* a test has set the clock back */
    }
    const uint32_t times = (now_s - table->aged_s) / HOTKEYS_HALVE_S;
    const unsigned halves = times < HALVES_MAX ? times : HALVES_MAX;

    if (times == 0) {
        return;
    }
    for (size_t i = 0; i < HOTKEYS_KEPT; i++) {
        table->counts[i] >>= halves;
        table->errors[i] >>= halves;
    }
    table->gap_max >>= halves;
    table->window_s = HOTKEYS_HALVE_S + ldexp(table->window_s - HOTKEYS_HALVE_S, -(int)halves);
    table->aged_s += times * HOTKEYS_HALVE_S;
}

static uint32_t least(uint32_t one, uint32_t other)
{
    return one < other ? one : other;
}

/* The first entry of the set. */
static size_t set_of(uint32_t hash)
{
    static_assert(HOTKEYS_KEPT % HOTKEYS_WAYS == 0, "all sets are of one size");
    return hash % (HOTKEYS_KEPT / HOTKEYS_WAYS) * HOTKEYS_WAYS;
}

/* Its entry, or HOTKEYS_KEPT. */
static size_t find(const struct hotkeys_table *table, uint32_t hash, const void *key,
                   size_t key_bytes)
{
    const size_t set = set_of(hash);

    for (size_t i = set; i < set + HOTKEYS_WAYS; i++) {
        if (table->hashes[i] == hash && table->key_bytes[i] == key_bytes &&
            memcmp(table->keys[i], key, key_bytes) == 0) {
            return i;
        }
    }
    return HOTKEYS_KEPT;
}

/* The entry of the lowest count of its set is the key's from now on, and that count its error. */
static size_t replace(struct hotkeys_table *table, uint32_t hash, const void *key, size_t key_bytes)
{
    const size_t set = set_of(hash);
    size_t lowest = set;

    for (size_t i = set + 1; i < set + HOTKEYS_WAYS; i++) {
        if (table->counts[i] < table->counts[lowest]) {
            lowest = i;
        }
    }
    table->hashes[lowest] = hash;
    table->errors[lowest] = table->counts[lowest];
    table->key_bytes[lowest] = (uint8_t)key_bytes;
    memcpy(table->keys[lowest], key, key_bytes);
    return lowest;
}

/* By xorshift (Marsaglia 2003): a regular pattern of requests is not to meet a regular gap. */
static uint32_t draw(struct hotkeys_table *table, uint32_t below)
{
    table->random ^= table->random << 13;
    table->random ^= table->random >> 7;
    table->random ^= table->random << 17;
    return (uint32_t)((table->random >> 32) * below >> 32);
}

/* How many requests to pass over, gap - 1 on average, after the gap has followed their rate. */
static uint32_t choose_pass(struct hotkeys_table *table, uint32_t now_s)
{
    if (now_s != table->sampled_s) {
        if (table->samples < HOTKEYS_SAMPLES_MIN && table->gap > 1) {
            table->gap /= 2;
        }
        table->samples = 0;
        table->sampled_s = now_s;
    }
    table->samples++;
    if (table->samples % HOTKEYS_SAMPLES_MAX == 0 && table->gap < HOTKEYS_GAP_MAX) {
        table->gap *= 2;
    }
    return draw(table, 2 * table->gap - 1);
}

void hotkeys_sample(struct hotkeys_writer *writer, const void *key, size_t key_bytes,
                    uint32_t now_s)
{
    struct hotkeys_table *table = writer->table;
    const uint32_t hash = fnv_hash(key, key_bytes);

    pthread_mutex_lock(&table->lock);
    age(table, now_s);
    size_t entry = find(table, hash, key, key_bytes);
    if (entry == HOTKEYS_KEPT) {
        entry = replace(table, hash, key, key_bytes);
    }
    table->counts[entry] += least(table->gap, UINT32_MAX - table->counts[entry]);
    if (table->gap > table->gap_max) {
        table->gap_max = table->gap;
    }
    writer->pass = choose_pass(table, now_s);
    pthread_mutex_unlock(&table->lock);
}

/* ---- the list ---- */

/* Where a key stands or, if it is new, may stand: the list's end or, where it is full, the place of
 * the lowest rate, if that is lower than its own. NULL: nowhere. */
static struct hotkey *find_place(struct hotkey *list, unsigned *count, const struct hotkey *hotkey)
{
    struct hotkey *lowest = &list[0];

    for (unsigned i = 0; i < *count; i++) {
        if (list[i].key_bytes == hotkey->key_bytes &&
            memcmp(list[i].key, hotkey->key, hotkey->key_bytes) == 0) {
            return &list[i];
        }
        if (list[i].requests_per_s < lowest->requests_per_s) {
            lowest = &list[i];
        }
    }
    if (*count < HOTKEYS_LISTED_MAX) {
        lowest = &list[(*count)++];
    } else if (lowest->requests_per_s >= hotkey->requests_per_s) {
        return NULL;
    }
    *lowest = *hotkey;
    lowest->requests_per_s = 0;
    lowest->error_per_s = 0;
    return lowest;
}

static void add_table(struct hotkeys_table *table, uint32_t now_s, struct hotkey *list,
                      unsigned *count)
{
    struct hotkey hotkey;

    age(table, now_s);
    const double elapsed_s = table->window_s + (now_s - table->aged_s);
    const double window_s = elapsed_s > 1 ? elapsed_s : 1;
    for (size_t i = 0; i < HOTKEYS_KEPT; i++) {
        const uint32_t sure = table->counts[i] - table->errors[i];
        if (sure == 0 || sure < HOTKEYS_SURE_SAMPLES * table->gap_max) {
            continue;
        }
        hotkey.key_bytes = table->key_bytes[i];
        memcpy(hotkey.key, table->keys[i], hotkey.key_bytes);
        hotkey.requests_per_s = sure / window_s;
        hotkey.error_per_s = table->errors[i] / window_s;
        struct hotkey *place = find_place(list, count, &hotkey);
        if (place != NULL) {
            place->requests_per_s += hotkey.requests_per_s;
            place->error_per_s += hotkey.error_per_s;
        }
    }
}

static int by_rate(const void *one, const void *other)
{
    const struct hotkey *a = one, *b = other;

    return (a->requests_per_s < b->requests_per_s) - (a->requests_per_s > b->requests_per_s);
}

unsigned hotkeys_list(struct hotkeys *hotkeys, uint32_t now_s,
                      struct hotkey list[HOTKEYS_LISTED_MAX])
{
    unsigned count = 0;

    for (size_t i = 0; i < hotkeys->threads; i++) {
        struct hotkeys_table *table = &hotkeys->tables[i];
        pthread_mutex_lock(&table->lock);
        add_table(table, now_s, list, &count);
        pthread_mutex_unlock(&table->lock);
    }
    qsort(list, count, sizeof(list[0]), by_rate);
    return count;
}
