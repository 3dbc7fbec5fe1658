#include "server/admin/board.h"

#include "server/admin/config.h"
#include "server/admin/hotkeys.h"
#include "server/admin/text.h"
#include "server/budget.h"
#include "server/cache/cache.h"
#include "server/clock.h"

#include <inttypes.h>
#include <string.h>
#include <unistd.h>

#define KEYS_SHOWN 16u

static bool shows_keys(const struct config *config)
{
    bool certified = config->tls_enabled && config->tls_verify_mode >= CONFIG_TLS_VERIFY_ALL;

    for (uint32_t i = 0; i < config->addresses_count; i++) {
        certified = certified || config->addresses[i].tls == CONFIG_TLS_MUTUAL;
    }
    return config->dump_enabled && config->auth_path == NULL && !certified;
}

static void put_number(struct text *text, const char *name, uint64_t value)
{
    text_put(text, "\"%s\":%" PRIu64 ",", name, value);
}

/* The comma behind the last member. */
static void end_members(struct text *text, const char *end)
{
    if (text->whole) {
        text->used--;
    }
    text_put(text, "%s", end);
}

static void put_levels(struct text *text, const struct metrics_sources *sources,
                       const struct cache_figures *cache)
{
    const struct {
        const char *name;
        uint64_t value;
    } levels[] = {
        {"limit", cache->memory_bytes},        {"resident", cache->resident_bytes},
        {"charged", cache->charged_bytes},     {"items", cache->items},
        {"expiring", cache->items_expiring},   {"raw", cache->raw_bytes},
        {"stored", cache->stored_bytes},       {"index", cache->index_bytes},
        {"live", cache->live_bytes},           {"dead", cache->dead_bytes},
        {"slack", cache->slack_bytes},         {"free", cache->pages_free},
        {"one", cache->pages_unbuddied},       {"two", cache->pages_buddied},
        {"large", cache->pages_large},         {"conns_max", sources->config->conns_max},
        {"threads", sources->config->threads},
    };

    text_put(text, "\"level\":{");
    for (size_t i = 0; i < sizeof(levels) / sizeof(levels[0]); i++) {
        put_number(text, levels[i].name, levels[i].value);
    }
    end_members(text, "},");
}

static void put_counts(struct text *text, const struct metrics_sources *sources,
                       const struct cache_figures *cache)
{
    static const struct {
        const char *name;
        enum counter first, second; /* both, where they differ */
    } COUNTS[] = {
        {"hits", COUNTER_GET_HITS, COUNTER_GET_HITS},
        {"misses", COUNTER_GET_MISSES, COUNTER_GET_MISSES},
        {"sets", COUNTER_CMD_SET, COUNTER_CMD_SET},
        {"deletes", COUNTER_DELETE_HITS, COUNTER_DELETE_MISSES},
        {"incrs", COUNTER_INCR_HITS, COUNTER_DECR_HITS},
        {"touches", COUNTER_TOUCH_HITS, COUNTER_TOUCH_MISSES},
        {"received", COUNTER_BYTES_READ, COUNTER_BYTES_READ},
        {"sent", COUNTER_BYTES_WRITTEN, COUNTER_BYTES_WRITTEN},
        {"opened", COUNTER_CONNS_OPENED, COUNTER_CONNS_OPENED},
        {"closed", COUNTER_CONNS_CLOSED, COUNTER_CONNS_CLOSED},
        {"refused", COUNTER_STORE_NO_MEMORY, COUNTER_STORE_TOO_LARGE},
    };

    text_put(text, "\"count\":{");
    for (size_t i = 0; i < sizeof(COUNTS) / sizeof(COUNTS[0]); i++) {
        uint64_t value = counters_sum(sources->counters, COUNTS[i].first);
        if (COUNTS[i].second != COUNTS[i].first) {
            value += counters_sum(sources->counters, COUNTS[i].second);
        }
        put_number(text, COUNTS[i].name, value);
    }
    put_number(text, "evicted", cache->evicted);
    put_number(text, "expired", cache->expired);
    put_number(text, "rescued", cache->rescued);
    put_number(text, "reclaimed", cache->pages_reclaimed);
    put_number(text, "recompressed", cache->settled);
    end_members(text, "},");
}

static void put_times(struct text *text, const char *name, const struct metrics_times *times)
{
    text_put(text, "\"%s\":{\"below\":[", name);
    for (unsigned i = 0; i < COUNTERS_TIMES - 1; i++) {
        text_put(text, "%" PRIu64 ",", times->below[i]);
    }
    end_members(text, "],");
    put_number(text, "count", times->count);
    put_number(text, "sum_ns", times->sum_ns);
    end_members(text, "},");
}

static void put_all_times(struct text *text, const struct metrics_sources *sources,
                          const struct cache_figures *cache)
{
    struct metrics_times times;

    text_put(text, "\"times\":{\"power\":%u,", COUNTERS_TIMES_POWER);
    metrics_times(sources->counters, COUNTER_GET_TIMES, &times);
    put_times(text, "get", &times);
    metrics_times(sources->counters, COUNTER_STORE_TIMES, &times);
    put_times(text, "set", &times);
    memcpy(times.below, cache->reclaims_below, sizeof(times.below));
    times.count = cache->reclaims;
    times.sum_ns = cache->reclaims_ns;
    put_times(text, "reclaim", &times);
    end_members(text, "},");
}

static void put_dictionaries(struct text *text, const struct metrics_sources *sources,
                             uint32_t now_s)
{
    struct cache_dictionary dictionaries[CACHE_DICTIONARIES_MAX];
    const unsigned count = cache_dictionaries(sources->cache, dictionaries);
    const bool labelled = shows_keys(sources->config);

    text_put(text, "\"dictionaries\":[");
    for (unsigned i = 0; i < count; i++) {
        const struct cache_dictionary *one = &dictionaries[i];
        const uint32_t age_s = now_s > one->trained_s ? now_s - one->trained_s : 0;

        text_put(text, "%s{\"number\":%u,\"keys\":", i > 0 ? "," : "", one->number);
        text_put_json(text, one->label, labelled ? strlen(one->label) : 0);
        text_put(text,
                 ",\"current\":%s,\"age\":%" PRIu32 ",\"items\":%" PRIu64 ",\"raw\":%" PRIu64
                 ",\"stored\":%" PRIu64 "}",
                 one->current ? "true" : "false", one->number > 0 ? age_s : 0, one->items,
                 one->raw_bytes, one->stored_bytes);
    }
    text_put(text, "],");
}

static void put_hot(struct text *text, const struct metrics_sources *sources, uint32_t now_s)
{
    struct hotkey hot[HOTKEYS_LISTED_MAX];
    const bool shown = shows_keys(sources->config);
    unsigned count = shown ? hotkeys_list(sources->hotkeys, now_s, hot) : 0;

    count = count < KEYS_SHOWN ? count : KEYS_SHOWN;
    text_put(text, "\"hot\":[");
    for (unsigned i = 0; i < count; i++) {
        text_put(text, "%s{\"key\":", i > 0 ? "," : "");
        text_put_json(text, hot[i].key, hot[i].key_bytes);
        text_put(text, ",\"per_s\":%.1f,\"error\":%.1f}", hot[i].requests_per_s,
                 hot[i].error_per_s);
    }
    text_put(text, "],");
}

static void put_savings(struct text *text, const struct metrics_sources *sources)
{
    struct cache_saving savings[CACHE_SAVINGS_MAX];
    const bool shown = shows_keys(sources->config);
    const unsigned count = shown ? cache_savings(sources->cache, savings) : 0;

    text_put(text, "\"savings\":[");
    for (unsigned i = 0; i < count; i++) {
        const struct cache_saving *one = &savings[i];
        text_put(text, "%s{\"prefix\":", i > 0 ? "," : "");
        text_put_json(text, one->prefix, one->prefix_bytes);
        text_put(text,
                 ",\"items\":%" PRIu64 ",\"raw\":%" PRIu64 ",\"stored\":%" PRIu64
                 ",\"error\":%" PRIu64 "}",
                 one->items, one->raw_bytes, one->stored_bytes, one->error_bytes);
    }
    text_put(text, "],");
}

static void put_map(struct text *text, const struct metrics_sources *sources)
{
    struct cache_map map;

    cache_map(sources->cache, &map);
    text_put(text, "\"map\":{\"pages\":%" PRIu64 ",\"cell_pages\":%" PRIu32 ",\"cells\":\"%.*s\"}",
             map.pages, map.cell_pages, (int)map.count, map.cells);
}

void board_write(const struct metrics_sources *sources, struct text *text)
{
    const uint32_t now_s = clock_now_s(sources->clock);
    struct cache_figures cache;

    cache_figures(sources->cache, &cache);
    text_put(text, "{\"program\":\"%s %s\",\"pid\":%ld,\"elapsed_us\":%" PRIu64 ",\"keys\":%s,",
             CONFIG_PROGRAM, CONFIG_PROGRAM_VERSION, (long)getpid(),
             clock_elapsed_us(sources->clock), shows_keys(sources->config) ? "true" : "false");
    put_levels(text, sources, &cache);
    put_counts(text, sources, &cache);
    put_all_times(text, sources, &cache);
    put_dictionaries(text, sources, now_s);
    put_hot(text, sources, now_s);
    put_savings(text, sources);
    put_map(text, sources);
    text_put(text, "}\n");
}
