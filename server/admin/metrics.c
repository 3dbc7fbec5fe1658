#include "server/admin/metrics.h"

#include "server/admin/config.h"
#include "server/admin/text.h"
#include "server/budget.h"
#include "server/cache/cache.h"
#include "server/clock.h"
#include "server/limits.h"

#include <assert.h>
#include <inttypes.h>
#include <string.h>
#include <sys/resource.h>

static_assert(COUNTERS_TIMES_POWER == CACHE_TIMES_POWER && COUNTERS_TIMES - 1 == CACHE_TIMES,
              "reclaims are told in the same buckets as commands");

/* Everything rows are made from, taken at once. */
struct snapshot {
    const struct metrics_sources *sources;
    struct cache_figures cache;
    struct budget_figures budget;
    struct rusage usage;
    uint64_t counted[COUNTERS_COUNT];
};

typedef double number_fn(const struct snapshot *snapshot);

/* A series. Its value is the first of these that is set. */
struct row {
    const char *name;
    const char *labels; /* NULL: none */
    const char *help;   /* NULL: of the same name as the row before */
    bool gauge;         /* else a counter */
    number_fn *number;
    size_t member; /* offset of a number of 64 bits in struct snapshot */
};

static double get_started(const struct snapshot *snapshot)
{
    return snapshot->sources->clock->started_s;
}

static double get_cpu(const struct snapshot *snapshot)
{
    const struct rusage *usage = &snapshot->usage;

    return (double)(usage->ru_utime.tv_sec + usage->ru_stime.tv_sec) +
           (double)(usage->ru_utime.tv_usec + usage->ru_stime.tv_usec) / 1e6;
}

static double get_one(const struct snapshot *snapshot)
{
    (void)snapshot;
    return 1;
}

static double get_conns(const struct snapshot *snapshot)
{
    const uint64_t opened = snapshot->counted[COUNTER_CONNS_OPENED];
    const uint64_t closed = snapshot->counted[COUNTER_CONNS_CLOSED];
    return opened > closed ? (double)(opened - closed) : 0;
}

static double get_conns_max(const struct snapshot *snapshot)
{
    return snapshot->sources->config->conns_max;
}

static double get_threads(const struct snapshot *snapshot)
{
    return snapshot->sources->config->threads;
}

#define TAKEN(which)          .member = offsetof(struct snapshot, which)
#define COUNTER(which)        TAKEN(counted[which])
#define FIGURE(which)         TAKEN(cache.which)
#define LEVEL(which)          .gauge = true, FIGURE(which)
#define LABELLED(called, set) .name = (called), .labels = (set)
#define COMMANDS              "zbcached_commands_total"
#define PAGES                 "zbcached_pages"
#define VERSION_LABEL         "version=\"" CONFIG_PROGRAM_VERSION "\""

static const struct row ROWS[] = {
    {LABELLED("zbcached_build_info", VERSION_LABEL), .help = "1, with the version as a label.",
     .gauge = true, .number = get_one},
    {.name = "process_start_time_seconds",
     .help = "Unix time at which the server started.",
     .gauge = true,
     .number = get_started},
    {.name = "process_cpu_seconds_total",
     .help = "Time on processors, user and system.",
     .number = get_cpu},
    {.name = "zbcached_threads", .help = "Worker threads.", .gauge = true, .number = get_threads},

    {LABELLED(COMMANDS, "command=\"get\",result=\"hit\""),
     .help = "Commands, by what came of them; of a multiget each key.", COUNTER(COUNTER_GET_HITS)},
    {LABELLED(COMMANDS, "command=\"get\",result=\"miss\""), COUNTER(COUNTER_GET_MISSES)},
    {LABELLED(COMMANDS, "command=\"set\",result=\"done\""), COUNTER(COUNTER_CMD_SET)},
    {LABELLED(COMMANDS, "command=\"delete\",result=\"hit\""), COUNTER(COUNTER_DELETE_HITS)},
    {LABELLED(COMMANDS, "command=\"delete\",result=\"miss\""), COUNTER(COUNTER_DELETE_MISSES)},
    {LABELLED(COMMANDS, "command=\"incr\",result=\"hit\""), COUNTER(COUNTER_INCR_HITS)},
    {LABELLED(COMMANDS, "command=\"incr\",result=\"miss\""), COUNTER(COUNTER_INCR_MISSES)},
    {LABELLED(COMMANDS, "command=\"decr\",result=\"hit\""), COUNTER(COUNTER_DECR_HITS)},
    {LABELLED(COMMANDS, "command=\"decr\",result=\"miss\""), COUNTER(COUNTER_DECR_MISSES)},
    {LABELLED(COMMANDS, "command=\"touch\",result=\"hit\""), COUNTER(COUNTER_TOUCH_HITS)},
    {LABELLED(COMMANDS, "command=\"touch\",result=\"miss\""), COUNTER(COUNTER_TOUCH_MISSES)},
    {LABELLED(COMMANDS, "command=\"cas\",result=\"hit\""), COUNTER(COUNTER_CAS_HITS)},
    {LABELLED(COMMANDS, "command=\"cas\",result=\"miss\""), COUNTER(COUNTER_CAS_MISSES)},
    {LABELLED(COMMANDS, "command=\"cas\",result=\"badval\""), COUNTER(COUNTER_CAS_BADVAL)},
    {LABELLED(COMMANDS, "command=\"flush\",result=\"done\""), COUNTER(COUNTER_CMD_FLUSH)},
    {LABELLED("zbcached_stores_refused_total", "reason=\"too_large\""),
     .help = "Stores that were refused.", COUNTER(COUNTER_STORE_TOO_LARGE)},
    {LABELLED("zbcached_stores_refused_total", "reason=\"no_memory\""),
     COUNTER(COUNTER_STORE_NO_MEMORY)},

    {.name = "zbcached_connections",
     .help = "Connections open now.",
     .gauge = true,
     .number = get_conns},
    {.name = "zbcached_connections_limit",
     .help = "Most connections at a time (-c).",
     .gauge = true,
     .number = get_conns_max},
    {.name = "zbcached_connections_opened_total",
     .help = "Connections accepted.",
     COUNTER(COUNTER_CONNS_OPENED)},
    {.name = "zbcached_connections_rejected_total",
     .help = "Connections over the limit.",
     COUNTER(COUNTER_CONNS_REJECTED)},
    {.name = "zbcached_connections_memory_bytes",
     .help = "Held for unfinished requests and replies.",
     .gauge = true,
     TAKEN(budget.held_bytes)},
    {.name = "zbcached_received_bytes_total",
     .help = "Read from clients.",
     COUNTER(COUNTER_BYTES_READ)},
    {.name = "zbcached_sent_bytes_total",
     .help = "Written to clients.",
     COUNTER(COUNTER_BYTES_WRITTEN)},
    {.name = "zbcached_auth_failures_total",
     .help = "Logins that failed.",
     COUNTER(COUNTER_AUTH_ERRORS)},
    {.name = "zbcached_tls_handshake_failures_total",
     .help = "TLS handshakes that failed.",
     COUNTER(COUNTER_TLS_HANDSHAKE_ERRORS)},

    {.name = "zbcached_memory_limit_bytes",
     .help = "What the process may hold (-m).",
     LEVEL(memory_bytes)},
    {LABELLED("zbcached_memory_bytes", "of=\"cache\""), .help = "Held, counted against the limit.",
     LEVEL(resident_bytes)},
    {LABELLED("zbcached_memory_bytes", "of=\"process\""), LEVEL(charged_bytes)},
    {.name = "zbcached_index_bytes",
     .help = "The index, part of the cache's pages.",
     LEVEL(index_bytes)},
    {.name = "zbcached_dictionary_bytes",
     .help = "Dictionaries, part of the process's memory.",
     LEVEL(dictionary_bytes)},
    {.name = "zbcached_dictionaries",
     .help = "Dictionaries that records are compressed with.",
     LEVEL(dictionaries)},
    {.name = "zbcached_items", .help = "Items stored now.", LEVEL(items)},
    {.name = "zbcached_items_expiring", .help = "Of those, with an expiry.", LEVEL(items_expiring)},
    {.name = "zbcached_raw_bytes",
     .help = "Keys and values of the items, as clients sent them.",
     LEVEL(raw_bytes)},
    {.name = "zbcached_stored_bytes",
     .help = "What their records take, compressed.",
     LEVEL(stored_bytes)},
    {LABELLED(PAGES, "state=\"free\""), .help = "Pages of 4 KiB that hold memory, by what is in.",
     LEVEL(pages_free)},
    {LABELLED(PAGES, "state=\"one_buddy\""), LEVEL(pages_unbuddied)},
    {LABELLED(PAGES, "state=\"two_buddies\""), LEVEL(pages_buddied)},
    {LABELLED(PAGES, "state=\"large\""), LEVEL(pages_large)},
    {LABELLED(PAGES, "state=\"index\""), LEVEL(pages_index)},
    {LABELLED(PAGES, "state=\"expiry\""), LEVEL(pages_expiry)},
    {.name = "zbcached_live_bytes",
     .help = "Of records in buddies, those that are live.",
     LEVEL(live_bytes)},
    {.name = "zbcached_dead_bytes",
     .help = "Those that are dead and not squeezed out yet.",
     LEVEL(dead_bytes)},
    {.name = "zbcached_slack_bytes",
     .help = "Room in pages that belongs to no buddy.",
     LEVEL(slack_bytes)},

    {.name = "zbcached_items_stored_total", .help = "Items ever stored.", FIGURE(items_total)},
    {.name = "zbcached_items_evicted_total",
     .help = "Items evicted to make room.",
     FIGURE(evicted)},
    {.name = "zbcached_items_evicted_unfetched_total",
     .help = "Of those, never asked for.",
     FIGURE(evicted_unfetched)},
    {.name = "zbcached_items_rescued_total",
     .help = "Items kept when their page was reclaimed.",
     FIGURE(rescued)},
    {.name = "zbcached_items_expired_total", .help = "Items whose time was over.", FIGURE(expired)},
    {.name = "zbcached_items_flushed_total",
     .help = "Items removed after flush_all.",
     FIGURE(flushed)},
    {.name = "zbcached_items_recompressed_total",
     .help = "Items compressed again in the background.",
     FIGURE(settled)},
    {.name = "zbcached_pages_reclaimed_total",
     .help = "Pages emptied to make room.",
     FIGURE(pages_reclaimed)},
    {.name = "zbcached_logs_squeezed_total",
     .help = "Buddies whose dead bytes were squeezed out.",
     FIGURE(squeezed)},
    {.name = "zbcached_dictionaries_learned_total",
     .help = "Times dictionaries were trained.",
     FIGURE(classes_learned)},
};

static void put_value(struct text *text, const struct row *row, const struct snapshot *snapshot)
{
    uint64_t value;

    if (row->number != NULL) {
        text_put(text, "%.15g\n", row->number(snapshot));
        return;
    }
    memcpy(&value, (const char *)snapshot + row->member, sizeof(value));
    text_put(text, "%" PRIu64 "\n", value);
}

static void put_row(struct text *text, const struct row *row, const struct snapshot *snapshot)
{
    if (row->help != NULL) {
        text_put(text, "# HELP %s %s\n# TYPE %s %s\n", row->name, row->help, row->name,
                 row->gauge ? "gauge" : "counter");
    }
    if (row->labels != NULL) {
        text_put(text, "%s{%s} ", row->name, row->labels);
    } else {
        text_put(text, "%s ", row->name);
    }
    put_value(text, row, snapshot);
}

void metrics_times(const struct counters_all *counters, enum counter first,
                   struct metrics_times *times)
{
    uint64_t sum = 0;

    for (unsigned i = 0; i < COUNTERS_TIMES; i++) {
        sum += counters_sum(counters, (enum counter)(first + i));
        if (i < COUNTERS_TIMES - 1) {
            times->below[i] = sum;
        }
    }
    times->count = sum;
    times->sum_ns = counters_sum(counters, (enum counter)(first + COUNTERS_TIMES));
}

/* @labels: with a comma behind, or empty. Of whole nanoseconds, so that "less than" is "at most one
 * less", which no bound in seconds could tell apart. */
static void put_times(struct text *text, const char *name, const char *labels,
                      const struct metrics_times *times)
{
    const int bare = labels[0] != '\0' ? (int)strlen(labels) - 1 : 0;

    for (unsigned i = 0; i < COUNTERS_TIMES - 1; i++) {
        text_put(text, "%s_bucket{%sle=\"%.9g\"} %" PRIu64 "\n", name, labels,
                 (double)(UINT64_C(1) << (COUNTERS_TIMES_POWER + i)) / 1e9, times->below[i]);
    }
    text_put(text, "%s_bucket{%sle=\"+Inf\"} %" PRIu64 "\n", name, labels, times->count);
    if (bare > 0) {
        text_put(text, "%s_sum{%.*s} %.9f\n", name, bare, labels, (double)times->sum_ns / 1e9);
        text_put(text, "%s_count{%.*s} %" PRIu64 "\n", name, bare, labels, times->count);
    } else {
        text_put(text, "%s_sum %.9f\n", name, (double)times->sum_ns / 1e9);
        text_put(text, "%s_count %" PRIu64 "\n", name, times->count);
    }
}

static void put_histograms(struct text *text, const struct snapshot *snapshot)
{
    static const char COMMAND[] = "zbcached_command_duration_seconds";
    static const char RECLAIM[] = "zbcached_reclaim_duration_seconds";
    const struct cache_figures *cache = &snapshot->cache;
    const struct counters_all *counters = snapshot->sources->counters;
    struct metrics_times times;

    text_put(text,
             "# HELP %s From a request parsed to its reply composed, of one in %u.\n"
             "# TYPE %s histogram\n",
             COMMAND, LIMITS_TIMED_EVERY, COMMAND);
    metrics_times(counters, COUNTER_GET_TIMES, &times);
    put_times(text, COMMAND, "command=\"get\",", &times);
    metrics_times(counters, COUNTER_STORE_TIMES, &times);
    put_times(text, COMMAND, "command=\"set\",", &times);
    text_put(text,
             "# HELP %s To empty a page, its records rescued or evicted.\n"
             "# TYPE %s histogram\n",
             RECLAIM, RECLAIM);
    memcpy(times.below, cache->reclaims_below, sizeof(times.below));
    times.count = cache->reclaims;
    times.sum_ns = cache->reclaims_ns;
    put_times(text, RECLAIM, "", &times);
}

void metrics_write(const struct metrics_sources *sources, struct text *text)
{
    struct snapshot snapshot = {.sources = sources};

    cache_figures(sources->cache, &snapshot.cache);
    budget_figures(sources->budget, &snapshot.budget);
    const int failed = getrusage(RUSAGE_SELF, &snapshot.usage);
    assert(!failed);
    for (unsigned i = 0; i < COUNTERS_COUNT; i++) {
        snapshot.counted[i] = counters_sum(sources->counters, (enum counter)i);
    }
    for (size_t i = 0; i < sizeof(ROWS) / sizeof(ROWS[0]); i++) {
        put_row(text, &ROWS[i], &snapshot);
    }
    put_histograms(text, &snapshot);
}
