/*
 * expiry_bench.c - what times to live cost: the engine alone, its clock in the program's hand.
 *
 *   expiry_bench store TTL_S[,TTL_S..] [items]      CPU time of a store, and bytes held an item
 *   expiry_bench flow  TTL_S[,TTL_S..] [a_second] [seconds]
 *
 * A TTL of 0 is none; of several each is as often as the others, at random. "flow" stores so many
 * items a second and lets the background work end each second: what is held beside what is alive,
 * and what the background took, is shown at the end. Contents: words of a small language, each
 * value other; nothing is evicted.
 */
#include "server/cache/cache.h"
#include "tests/bench/bench.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define MEMORY_BYTES ((size_t)4 << 30)
#define TTLS_MAX     16u
#define VALUE_MAX    400u
#define SHARDS       4u

struct bench {
    struct cache *cache;
    struct cache_worker *worker;
    struct cache_keeper *keeper;
    uint32_t now_s;
    uint64_t random;
    unsigned ttls_count;
    uint32_t ttls_s[TTLS_MAX];
    uint64_t stored;
    uint64_t live_items; /* as the clock says */
};

static uint32_t draw(struct bench *bench, uint32_t below)
{
    bench->random = bench->random * 6364136223846793005u + 1442695040888963407u;
    return (uint32_t)((bench->random >> 33) % below);
}

static double cpu_s(void)
{
    struct timespec now;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &now);
    return (double)now.tv_sec + (double)now.tv_nsec / 1e9;
}

static size_t make_entry(struct bench *bench, uint8_t *out, size_t *key_bytes)
{
    static const char *const WORDS[] = {"user", "name", "true", "null", "id:", "page", "of", "42"};
    *key_bytes = (size_t)sprintf((char *)out, "item:%llu", (unsigned long long)bench->stored);
    size_t at = *key_bytes, end = at + 60 + draw(bench, 280);
    while (at < end) {
        const char *word = WORDS[draw(bench, 8)];
        memcpy(out + at, word, strlen(word));
        at += strlen(word);
        out[at++] = (uint8_t)('a' + draw(bench, 26));
    }
    return at;
}

static uint32_t store_one(struct bench *bench)
{
    uint8_t entry[VALUE_MAX + 64];
    size_t key_bytes;
    size_t entry_bytes = make_entry(bench, entry, &key_bytes);
    uint32_t ttl_s = bench->ttls_s[draw(bench, bench->ttls_count)];
    struct cache_store store = {
        .entry = entry,
        .key_bytes = key_bytes,
        .value_bytes = entry_bytes - key_bytes,
        .mode = CACHE_SET,
        .expiry_s = ttl_s == 0 ? CACHE_NEVER : bench->now_s + ttl_s,
    };
    bench_require(cache_store(bench->worker, &store, bench->now_s, NULL) == CACHE_OK,
                  "the cache is full");
    bench->stored++;
    return store.expiry_s;
}

static uint64_t held_bytes(const struct cache_figures *figures)
{
    return (figures->pages_buddied + figures->pages_unbuddied) * 4096;
}

static void run_store(struct bench *bench, uint64_t items)
{
    struct cache_figures figures;
    double start_s = cpu_s();
    for (uint64_t i = 0; i < items; i++)
        store_one(bench);
    double store_s = cpu_s() - start_s;
    cache_figures(bench->cache, &figures);
    printf("%llu items: %.0f ns of CPU a store (making the value included), %.1f bytes an item\n",
           (unsigned long long)items, store_s * 1e9 / (double)items,
           (double)held_bytes(&figures) / (double)items);
}

/* Expiries to come, by the second, to know what is alive. */
static void run_flow(struct bench *bench, unsigned per_second, unsigned seconds)
{
    uint32_t *expiries = calloc(seconds + 1, sizeof(*expiries));
    uint32_t start_s = bench->now_s;
    double work_s = 0, worst_s = 0;
    uint64_t calls = 0;
    struct cache_figures figures;
    bench_require(expiries != NULL, "no memory");
    for (unsigned second = 0; second < seconds; second++, bench->now_s++) {
        bench->live_items -= expiries[second];
        for (bool more = true; more; calls++) {
            double call_s = cpu_s();
            more = cache_maintain(bench->keeper, bench->now_s);
            call_s = cpu_s() - call_s;
            work_s += call_s;
            worst_s = call_s > worst_s ? call_s : worst_s;
        }
        for (unsigned i = 0; i < per_second; i++) {
            uint32_t expiry_s = store_one(bench);
            if (expiry_s - start_s < seconds)
                expiries[expiry_s - start_s]++;
        }
        bench->live_items += per_second;
    }
    cache_figures(bench->cache, &figures);
    printf("%llu alive, %llu counted, %.1f bytes held for each alive\n",
           (unsigned long long)bench->live_items, (unsigned long long)figures.items,
           (double)held_bytes(&figures) / (double)bench->live_items);
    printf("background: %.3f s of CPU, %llu steps, the longest %.0f us; %.2f us an expired item, "
           "%.1f looked at for it\n",
           work_s, (unsigned long long)calls, worst_s * 1e6, work_s * 1e6 / (double)figures.expired,
           (double)figures.crawler_checked / (double)figures.expired);
    free(expiries);
}

static void parse_ttls(struct bench *bench, char *text)
{
    for (char *one = strtok(text, ","); one != NULL; one = strtok(NULL, ",")) {
        bench_require(bench->ttls_count != TTLS_MAX, "too many times to live");
        bench->ttls_s[bench->ttls_count++] = (uint32_t)strtoul(one, NULL, 10);
    }
}

int main(int argc, char **argv)
{
    struct bench bench = {.now_s = 1000, .random = 11};
    struct cache_config config = {
        .memory_bytes = MEMORY_BYTES,
        .reserve_bytes = MEMORY_BYTES,
        .item_bytes_max = 1u << 20,
        .shards = SHARDS,
        .evict = false,
        .compress = false,
        .seed = 42,
        .now_s = 1000,
    };
    bench_require(argc >= 3, "usage: expiry_bench store|flow TTL_S[,TTL_S..] [count] [seconds]");
    parse_ttls(&bench, argv[2]);
    bench.cache = cache_new(&config);
    bench_require(bench.cache != NULL, "no memory");
    bench.worker = cache_worker_new(bench.cache);
    bench.keeper = cache_keeper_new(bench.cache);
    unsigned count = argc > 3 ? (unsigned)strtoul(argv[3], NULL, 10) : 0;
    unsigned seconds = argc > 4 ? (unsigned)strtoul(argv[4], NULL, 10) : 600;
    if (strcmp(argv[1], "store") == 0)
        run_store(&bench, count > 0 ? count : 1000000);
    else
        run_flow(&bench, count > 0 ? count : 2000, seconds);
    cache_keeper_free(bench.keeper);
    cache_worker_free(bench.worker);
    cache_free(bench.cache);
    return 0;
}
