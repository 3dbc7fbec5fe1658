#include "server/admin/stats.h"

#include "server/admin/config.h"
#include "server/admin/control.h"
#include "server/admin/hotkeys.h"
#include "server/admin/prefixes.h"
#include "server/admin/watch.h"
#include "server/admin/watch_event.h"
#include "server/budget.h"
#include "server/cache/cache.h"
#include "server/clock.h"
#include "server/counters.h"
#include "server/limits.h"
#include "server/version.h"

#include <assert.h>
#include <inttypes.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

/* A zbud page and its chunks, as "stats slabs" shows them. */
#define PAGE_BYTES     4096u
#define PAGE_CHUNKS    63u
#define CHUNK_BYTES    64u
/* Descriptors a worker has for itself: its event base's and its wake-up's. */
#define FDS_PER_THREAD 2u

struct stats {
    struct stats_setup setup;
    stats_conns_fn *conns;
    void *conns_context;
    pthread_mutex_t lock;                /* guards the baselines */
    uint64_t baseline[COUNTERS_COUNT];   /* where the counters stood at the last reset */
    struct watch_figures watch_baseline; /* the same of what watchers were told */
};

/* Everything a section's rows are made from, taken at once. */
struct snapshot {
    const struct stats_setup *setup;
    struct cache_figures cache;
    struct budget_figures budget;
    struct watch_figures watch; /* since the last reset */
    struct rusage usage;
    uint64_t ever[COUNTERS_COUNT];
    uint64_t counted[COUNTERS_COUNT]; /* since the last reset */
    uint64_t crawl_running, crawl_starts;
    uint64_t prefixes, prefixes_uncounted;
    uint32_t now_s;
};

typedef uint64_t number_fn(const struct snapshot *snapshot);
typedef void text_fn(const struct snapshot *snapshot, char *out, size_t out_bytes);
typedef bool shown_fn(const struct config *config);

/* Where a row's value comes from: the first of these that is set; 0 where none is. */
struct row {
    const char *name;
    text_fn *text;
    number_fn *number;
    size_t figure;    /* offset in struct cache_figures, plus 1 */
    size_t counter;   /* enum counter, plus 1 */
    shown_fn *shown;  /* NULL: always */
    const char *help; /* what it is, of those of our own */
};

#define ZERO(row_name)     \
    {                      \
        .name = (row_name) \
    }
#define TEXT(row_name, function)               \
    {                                          \
        .name = (row_name), .text = (function) \
    }
#define NUMBER(row_name, function)               \
    {                                            \
        .name = (row_name), .number = (function) \
    }
#define COUNTER(row_name, which)                   \
    {                                              \
        .name = (row_name), .counter = (which) + 1 \
    }
#define FIGURE(row_name, member)                                                 \
    {                                                                            \
        .name = (row_name), .figure = offsetof(struct cache_figures, member) + 1 \
    }
#define ZERO_IF(row_name, condition)             \
    {                                            \
        .name = (row_name), .shown = (condition) \
    }
#define NUMBER_IF(row_name, function, condition)                       \
    {                                                                  \
        .name = (row_name), .number = (function), .shown = (condition) \
    }
#define COUNTER_IF(row_name, which, condition)                           \
    {                                                                    \
        .name = (row_name), .counter = (which) + 1, .shown = (condition) \
    }

/* Our own come with what they are, for the manual. */
#define OWN_TEXT(row_name, function, text_of)                     \
    {                                                             \
        .name = (row_name), .text = (function), .help = (text_of) \
    }
#define OWN_NUMBER(row_name, function, text_of)                     \
    {                                                               \
        .name = (row_name), .number = (function), .help = (text_of) \
    }
#define OWN_FIGURE(row_name, member, text_of)                                     \
    {                                                                             \
        .name = (row_name), .figure = offsetof(struct cache_figures, member) + 1, \
        .help = (text_of)                                                         \
    }

#define ROWS_COUNT(rows) (sizeof(rows) / sizeof((rows)[0]))

/* ---- values that need a sentence of code ---- */

static uint64_t get_pid(const struct snapshot *snapshot)
{
    (void)snapshot;
    return (uint64_t)getpid();
}

static uint64_t get_uptime(const struct snapshot *snapshot)
{
    return snapshot->now_s - snapshot->setup->clock->started_s;
}

static uint64_t get_time(const struct snapshot *snapshot)
{
    return snapshot->now_s;
}

static uint64_t get_pointer_bits(const struct snapshot *snapshot)
{
    (void)snapshot;
    return 8 * sizeof(void *);
}

static uint64_t get_conns_max(const struct snapshot *snapshot)
{
    return snapshot->setup->config->conns_max;
}

static uint64_t get_conns_now(const struct snapshot *snapshot)
{
    const uint64_t opened = snapshot->ever[COUNTER_CONNS_OPENED];
    const uint64_t closed = snapshot->ever[COUNTER_CONNS_CLOSED];
    return opened > closed ? opened - closed : 0;
}

static uint64_t get_log_dropped(const struct snapshot *snapshot)
{
    return snapshot->watch.worker_dropped;
}

static uint64_t get_log_written(const struct snapshot *snapshot)
{
    return snapshot->watch.worker_written;
}

static uint64_t get_log_skipped(const struct snapshot *snapshot)
{
    return snapshot->watch.watcher_skipped;
}

static uint64_t get_log_sent(const struct snapshot *snapshot)
{
    return snapshot->watch.watcher_sent;
}

static uint64_t get_log_watchers(const struct snapshot *snapshot)
{
    return snapshot->watch.watchers;
}

static uint64_t get_threads(const struct snapshot *snapshot)
{
    return snapshot->setup->config->threads;
}

static uint64_t get_input_bytes(const struct snapshot *snapshot)
{
    return get_threads(snapshot) * LIMITS_INPUT_BYTES;
}

static uint64_t get_output_bytes(const struct snapshot *snapshot)
{
    return get_threads(snapshot) * LIMITS_OUTPUT_BYTES;
}

static uint64_t get_reserved_fds(const struct snapshot *snapshot)
{
    return get_threads(snapshot) * FDS_PER_THREAD;
}

static uint64_t get_accepting(const struct snapshot *snapshot)
{
    return get_conns_now(snapshot) < get_conns_max(snapshot) ||
           snapshot->setup->config->maxconns_fast;
}

static uint64_t get_hash_power(const struct snapshot *snapshot)
{
    uint64_t power = 0;
    while (power < 63 && (UINT64_C(2) << power) <= snapshot->cache.index_slots) {
        power++;
    }
    return power;
}

static uint64_t get_malloc_fails(const struct snapshot *snapshot)
{
    return snapshot->counted[COUNTER_INPUT_REFUSED] + snapshot->counted[COUNTER_OUTPUT_REFUSED];
}

static uint64_t get_certs_age(const struct snapshot *snapshot)
{
    const uint32_t read_s =
        atomic_load_explicit(snapshot->setup->certs_read_s, memory_order_relaxed);
    return snapshot->now_s > read_s ? snapshot->now_s - read_s : 0;
}

static uint64_t get_chunk_bytes(const struct snapshot *snapshot)
{
    (void)snapshot;
    return CHUNK_BYTES;
}

static uint64_t get_page_chunks(const struct snapshot *snapshot)
{
    (void)snapshot;
    return PAGE_CHUNKS;
}

static uint64_t get_chunks(const struct snapshot *snapshot)
{
    return snapshot->cache.chunks_used + snapshot->cache.slack_bytes / CHUNK_BYTES;
}

static uint64_t get_slack_chunks(const struct snapshot *snapshot)
{
    return snapshot->cache.slack_bytes / CHUNK_BYTES;
}

static uint64_t get_classes(const struct snapshot *snapshot)
{
    return snapshot->cache.items > 0;
}

static uint64_t get_pages_bytes(const struct snapshot *snapshot)
{
    return snapshot->cache.pages_used * PAGE_BYTES;
}

static uint64_t get_pages_total(const struct snapshot *snapshot)
{
    return snapshot->cache.pages_used + snapshot->cache.pages_free;
}

static uint64_t get_chunks_used_bytes(const struct snapshot *snapshot)
{
    return snapshot->cache.chunks_used * CHUNK_BYTES;
}

static uint64_t get_conns_held(const struct snapshot *snapshot)
{
    return snapshot->budget.held_bytes;
}

static uint64_t get_conns_charged(const struct snapshot *snapshot)
{
    return snapshot->budget.charged_bytes;
}

static uint64_t get_conns_share(const struct snapshot *snapshot)
{
    return snapshot->budget.share_bytes;
}

static uint64_t get_crawl_running(const struct snapshot *snapshot)
{
    return snapshot->crawl_running;
}

static uint64_t get_crawl_starts(const struct snapshot *snapshot)
{
    return snapshot->crawl_starts;
}

static uint64_t get_prefixes(const struct snapshot *snapshot)
{
    return snapshot->prefixes;
}

static uint64_t get_prefixes_uncounted(const struct snapshot *snapshot)
{
    return snapshot->prefixes_uncounted;
}

static uint64_t ns_to_us(uint64_t ns)
{
    return (ns + 999) / 1000;
}

static uint64_t get_reclaim_us_p50(const struct snapshot *snapshot)
{
    return ns_to_us(snapshot->cache.reclaim_ns_p50);
}

static uint64_t get_reclaim_us_p99(const struct snapshot *snapshot)
{
    return ns_to_us(snapshot->cache.reclaim_ns_p99);
}

static uint64_t get_reclaim_us_max(const struct snapshot *snapshot)
{
    return ns_to_us(snapshot->cache.reclaim_ns_max);
}

static void put_version(const struct snapshot *snapshot, char *out, size_t out_bytes)
{
    (void)snapshot;
    (void)snprintf(out, out_bytes, "%s", VERSION_MEMCACHED);
}

static void put_own_version(const struct snapshot *snapshot, char *out, size_t out_bytes)
{
    (void)snapshot;
    (void)snprintf(out, out_bytes, "%s-%s", CONFIG_PROGRAM, CONFIG_PROGRAM_VERSION);
}

static void put_event_version(const struct snapshot *snapshot, char *out, size_t out_bytes)
{
    (void)snprintf(out, out_bytes, "%s", snapshot->setup->event_version);
}

static void put_time(struct timeval time, char *out, size_t out_bytes)
{
    (void)snprintf(out, out_bytes, "%ld.%06ld", (long)time.tv_sec, (long)time.tv_usec);
}

static void put_rusage_user(const struct snapshot *snapshot, char *out, size_t out_bytes)
{
    put_time(snapshot->usage.ru_utime, out, out_bytes);
}

static void put_rusage_system(const struct snapshot *snapshot, char *out, size_t out_bytes)
{
    put_time(snapshot->usage.ru_stime, out, out_bytes);
}

static void put_none(const struct snapshot *snapshot, char *out, size_t out_bytes)
{
    (void)snapshot;
    (void)snprintf(out, out_bytes, "none");
}

/* Two decimals, cut off: what is shown is never better than what is. 0.00 for an empty cache. */
static void put_ratio(const struct snapshot *snapshot, char *out, size_t out_bytes)
{
    const uint64_t stored = snapshot->cache.stored_bytes;
    const double ratio = stored > 0 ? (double)snapshot->cache.raw_bytes / (double)stored : 0;
    const uint64_t hundredths = (uint64_t)(ratio * 100);

    (void)snprintf(out, out_bytes, "%" PRIu64 ".%02" PRIu64, hundredths / 100, hundredths % 100);
}

static void put_sizes_status(const struct snapshot *snapshot, char *out, size_t out_bytes)
{
    (void)snapshot;
    (void)snprintf(out, out_bytes, "disabled");
}

static bool if_maxconns_fast(const struct config *config)
{
    return config->maxconns_fast;
}

static bool if_idle_timeout(const struct config *config)
{
    return config->idle_timeout_s > 0;
}

static bool if_slab_reassign(const struct config *config)
{
    return config->inert.slab_reassign;
}

static bool if_tls(const struct config *config)
{
    return config->tls_enabled;
}

static bool if_tls_tickets(const struct config *config)
{
    return config->tls_enabled && config->tls_session_cache;
}

static bool if_crawler(const struct config *config)
{
    return config->inert.lru_crawler;
}

static bool if_maintainer(const struct config *config)
{
    return config->inert.lru_maintainer;
}

/* ---- the sections ---- */

/* memcached 1.6.45's, name by name. */
static const struct row general_rows[] = {
    NUMBER("pid", get_pid),
    NUMBER("uptime", get_uptime),
    NUMBER("time", get_time),
    TEXT("version", put_version),
    TEXT("libevent", put_event_version),
    NUMBER("pointer_size", get_pointer_bits),
    TEXT("rusage_user", put_rusage_user),
    TEXT("rusage_system", put_rusage_system),
    NUMBER("max_connections", get_conns_max),
    NUMBER("curr_connections", get_conns_now),
    COUNTER("total_connections", COUNTER_CONNS_OPENED),
    COUNTER_IF("rejected_connections", COUNTER_CONNS_REJECTED, if_maxconns_fast),
    NUMBER("connection_structures", get_conns_now),
    COUNTER("response_obj_oom", COUNTER_OUTPUT_REFUSED),
    NUMBER("response_obj_count", get_threads),
    NUMBER("response_obj_bytes", get_output_bytes),
    NUMBER("read_buf_count", get_threads),
    NUMBER("read_buf_bytes", get_input_bytes),
    ZERO("read_buf_bytes_free"),
    COUNTER("read_buf_oom", COUNTER_INPUT_REFUSED),
    NUMBER("reserved_fds", get_reserved_fds),
    COUNTER("cmd_get", COUNTER_CMD_GET),
    COUNTER("cmd_set", COUNTER_CMD_SET),
    COUNTER("cmd_flush", COUNTER_CMD_FLUSH),
    COUNTER("cmd_touch", COUNTER_CMD_TOUCH),
    COUNTER("cmd_meta", COUNTER_CMD_META),
    COUNTER("get_hits", COUNTER_GET_HITS),
    COUNTER("get_misses", COUNTER_GET_MISSES),
    FIGURE("get_expired", missed_expired),
    FIGURE("get_flushed", missed_flushed),
    COUNTER("delete_misses", COUNTER_DELETE_MISSES),
    COUNTER("delete_hits", COUNTER_DELETE_HITS),
    COUNTER("incr_misses", COUNTER_INCR_MISSES),
    COUNTER("incr_hits", COUNTER_INCR_HITS),
    COUNTER("decr_misses", COUNTER_DECR_MISSES),
    COUNTER("decr_hits", COUNTER_DECR_HITS),
    COUNTER("cas_misses", COUNTER_CAS_MISSES),
    COUNTER("cas_hits", COUNTER_CAS_HITS),
    COUNTER("cas_badval", COUNTER_CAS_BADVAL),
    COUNTER("touch_hits", COUNTER_TOUCH_HITS),
    COUNTER("touch_misses", COUNTER_TOUCH_MISSES),
    COUNTER("store_too_large", COUNTER_STORE_TOO_LARGE),
    COUNTER("store_no_memory", COUNTER_STORE_NO_MEMORY),
    COUNTER("auth_cmds", COUNTER_AUTH_CMDS),
    COUNTER("auth_errors", COUNTER_AUTH_ERRORS),
    COUNTER_IF("idle_kicks", COUNTER_IDLE_KICKS, if_idle_timeout),
    COUNTER("bytes_read", COUNTER_BYTES_READ),
    COUNTER("bytes_written", COUNTER_BYTES_WRITTEN),
    FIGURE("limit_maxbytes", memory_bytes),
    NUMBER("accepting_conns", get_accepting),
    COUNTER("listen_disabled_num", COUNTER_ACCEPT_PAUSES),
    COUNTER("time_in_listen_disabled_us", COUNTER_ACCEPT_PAUSED_US),
    NUMBER("threads", get_threads),
    COUNTER("conn_yields", COUNTER_CONN_YIELDS),
    NUMBER("hash_power_level", get_hash_power),
    FIGURE("hash_bytes", index_bytes),
    ZERO("hash_is_expanding"),
    ZERO_IF("slab_reassign_rescues", if_slab_reassign),
    ZERO_IF("slab_reassign_chunk_rescues", if_slab_reassign),
    ZERO_IF("slab_reassign_inline_reclaim", if_slab_reassign),
    ZERO_IF("slab_reassign_busy_items", if_slab_reassign),
    ZERO_IF("slab_reassign_busy_deletes", if_slab_reassign),
    ZERO_IF("slab_reassign_busy_nomem", if_slab_reassign),
    {.name = "slab_reassign_last_busy_status", .text = put_none, .shown = if_slab_reassign},
    ZERO_IF("slab_reassign_running", if_slab_reassign),
    ZERO_IF("slabs_moved", if_slab_reassign),
    NUMBER_IF("lru_crawler_running", get_crawl_running, if_crawler),
    NUMBER_IF("lru_crawler_starts", get_crawl_starts, if_crawler),
    ZERO_IF("lru_maintainer_juggles", if_maintainer),
    NUMBER("malloc_fails", get_malloc_fails),
    NUMBER("log_worker_dropped", get_log_dropped),
    NUMBER("log_worker_written", get_log_written),
    NUMBER("log_watcher_skipped", get_log_skipped),
    NUMBER("log_watcher_sent", get_log_sent),
    NUMBER("log_watchers", get_log_watchers),
    COUNTER_IF("ssl_new_sessions", COUNTER_TLS_SESSIONS, if_tls_tickets),
    COUNTER_IF("ssl_handshake_errors", COUNTER_TLS_HANDSHAKE_ERRORS, if_tls),
    COUNTER_IF("ssl_proto_errors", COUNTER_TLS_PROTO_ERRORS, if_tls),
    {.name = "time_since_server_cert_refresh", .number = get_certs_age, .shown = if_tls},
    ZERO("unexpected_napi_ids"),
    ZERO("round_robin_fallback"),
    FIGURE("bytes", stored_bytes),
    FIGURE("curr_items", items),
    FIGURE("total_items", items_total),
    ZERO("slab_global_page_pool"),
    FIGURE("expired_unfetched", expired_unfetched),
    FIGURE("evicted_unfetched", evicted_unfetched),
    ZERO_IF("evicted_active", if_maintainer),
    FIGURE("evictions", evicted),
    FIGURE("reclaimed", expired),
    FIGURE("crawler_reclaimed", crawler_reclaimed),
    FIGURE("crawler_items_checked", crawler_checked),
    ZERO("lrutail_reflocked"),
    ZERO_IF("moves_to_cold", if_maintainer),
    ZERO_IF("moves_to_warm", if_maintainer),
    ZERO_IF("moves_within_lru", if_maintainer),
    ZERO_IF("direct_reclaims", if_maintainer),
    ZERO_IF("lru_bumps_dropped", if_maintainer),
};

/* All items are of one class, number 1: there are none here, but tools look for one. */
static const struct row items_rows[] = {
    FIGURE("items:1:number", items),
    ZERO("items:1:number_hot"),
    ZERO("items:1:number_warm"),
    FIGURE("items:1:number_cold", items),
    ZERO("items:1:age_hot"),
    ZERO("items:1:age_warm"),
    ZERO("items:1:age"),
    FIGURE("items:1:mem_requested", stored_bytes),
    FIGURE("items:1:evicted", evicted),
    ZERO("items:1:evicted_nonzero"),
    ZERO("items:1:evicted_time"),
    COUNTER("items:1:outofmemory", COUNTER_STORE_NO_MEMORY),
    ZERO("items:1:tailrepairs"),
    FIGURE("items:1:reclaimed", expired),
    FIGURE("items:1:expired_unfetched", expired_unfetched),
    FIGURE("items:1:evicted_unfetched", evicted_unfetched),
    ZERO("items:1:evicted_active"),
    FIGURE("items:1:crawler_reclaimed", crawler_reclaimed),
    FIGURE("items:1:crawler_items_checked", crawler_checked),
    ZERO("items:1:lrutail_reflocked"),
    ZERO("items:1:moves_to_cold"),
    ZERO("items:1:moves_to_warm"),
    ZERO("items:1:moves_within_lru"),
    ZERO("items:1:direct_reclaims"),
    ZERO("items:1:hits_to_hot"),
    ZERO("items:1:hits_to_warm"),
    COUNTER("items:1:hits_to_cold", COUNTER_GET_HITS),
    ZERO("items:1:hits_to_temp"),
};

static const struct row slabs_class_rows[] = {
    NUMBER("1:chunk_size", get_chunk_bytes),
    NUMBER("1:chunks_per_page", get_page_chunks),
    FIGURE("1:total_pages", pages_used),
    NUMBER("1:total_chunks", get_chunks),
    FIGURE("1:used_chunks", chunks_used),
    NUMBER("1:free_chunks", get_slack_chunks),
    ZERO("1:free_chunks_end"),
    COUNTER("1:get_hits", COUNTER_GET_HITS),
    COUNTER("1:cmd_set", COUNTER_CMD_SET),
    COUNTER("1:delete_hits", COUNTER_DELETE_HITS),
    COUNTER("1:incr_hits", COUNTER_INCR_HITS),
    COUNTER("1:decr_hits", COUNTER_DECR_HITS),
    COUNTER("1:cas_hits", COUNTER_CAS_HITS),
    COUNTER("1:cas_badval", COUNTER_CAS_BADVAL),
    COUNTER("1:touch_hits", COUNTER_TOUCH_HITS),
};

static const struct row slabs_rows[] = {
    NUMBER("active_slabs", get_classes),
    NUMBER("total_malloced", get_pages_bytes),
};

static const struct row sizes_rows[] = {
    TEXT("sizes_status", put_sizes_status),
};

static const struct row zbud_rows[] = {
    OWN_TEXT("server", put_own_version,
             "this program and its version; \"version\" of the general section names the memcached "
             "it behaves as"),
    OWN_FIGURE("memory_limit_bytes", memory_bytes,
               "what the process may take: -m, or what cache_memlimit made of it"),
    OWN_FIGURE("memory_resident_bytes", resident_bytes,
               "pages and their tables that the system has given memory to"),
    OWN_FIGURE("memory_charged_bytes", charged_bytes,
               "of the limit, what goes to all but pages: connections, threads, dictionaries, the "
               "process itself"),
    OWN_NUMBER("connections_held_bytes", get_conns_held, "buffers that connections hold now"),
    OWN_NUMBER("connections_charged_bytes", get_conns_charged,
               "of the limit, what is set aside for connections: what they hold, and what the heap "
               "keeps of what they held"),
    OWN_NUMBER("connections_limit_bytes", get_conns_share,
               "the most that connections may hold; beyond it requests are answered with an error"),
    OWN_FIGURE("pages_max", pages_max,
               "pages of 4 KiB that the limit has room for, if nothing else needed memory"),
    OWN_NUMBER("pages_total", get_pages_total, "pages in hand: the sum of the six below"),
    OWN_FIGURE("pages_free", pages_free, "with nothing in them"),
    OWN_FIGURE("pages_buddied", pages_buddied, "with two buddies, at either end"),
    OWN_FIGURE("pages_unbuddied", pages_unbuddied, "with one buddy; the other end is free"),
    OWN_FIGURE("pages_large", pages_large, "that hold values too large for a buddy"),
    OWN_FIGURE("pages_index", pages_index, "of the index, which finds records by their keys"),
    OWN_FIGURE("pages_expiry", pages_expiry, "of the wheel, which knows what expires when"),
    OWN_FIGURE("chunks_used", chunks_used, "64-byte chunks in buddies"),
    OWN_NUMBER("bytes_used", get_chunks_used_bytes, "the same in bytes"),
    OWN_FIGURE("slack_bytes", slack_bytes,
               "chunks of buddied and unbuddied pages that no buddy has"),
    OWN_FIGURE("live_bytes", live_bytes, "bytes in buddies that records take which can be read"),
    OWN_FIGURE("dead_bytes", dead_bytes,
               "bytes in buddies left by what was overwritten, deleted, expired or moved; squeezed "
               "out in time"),
    OWN_FIGURE("records", items, "items"),
    OWN_FIGURE("records_expiring", items_expiring, "items with a time to live"),
    OWN_FIGURE("raw_bytes", raw_bytes, "keys and values of all items, as clients sent them"),
    OWN_FIGURE(
        "stored_bytes", stored_bytes,
        "what the items' records take, compressed, with headers; \"bytes\" of the general section"),
    OWN_TEXT("compression_ratio", put_ratio, "raw_bytes over stored_bytes"),
    OWN_FIGURE("index_bytes", index_bytes, "memory of the index"),
    OWN_FIGURE("index_slots", index_slots, "items that the index has room for at its present size"),
    OWN_FIGURE("pages_reclaimed", pages_reclaimed, "pages evicted whole"),
    OWN_FIGURE("records_evicted", evicted, "items that went with them"),
    OWN_FIGURE("records_rescued", rescued,
               "items of such pages that had been hit and were moved instead"),
    OWN_FIGURE("records_expired", expired, "items removed as their time was up"),
    OWN_FIGURE("records_flushed", flushed, "items removed after a flush_all"),
    OWN_FIGURE("records_settled", settled,
               "items compressed again in the background, at the high level"),
    OWN_FIGURE("records_deferred", deferred,
               "items stored as they came, for the background to compress"),
    OWN_FIGURE("dictionaries", dictionaries,
               "dictionaries alive: those new items are compressed with, and former ones that "
               "items still need"),
    OWN_FIGURE("classes_learned", classes_learned,
               "times that classes of items and their dictionaries were learned anew"),
    OWN_FIGURE("dictionary_bytes", dictionary_bytes, "memory of the dictionaries"),
    OWN_FIGURE("logs_squeezed", squeezed, "buddies whose dead bytes were squeezed out"),
    OWN_FIGURE("pages_merged", pages_merged,
               "sparse pages whose live records were moved to others"),
    OWN_FIGURE("crawler_checked", crawler_checked, "records that the background looked at"),
    OWN_FIGURE("crawler_reclaimed", crawler_reclaimed,
               "of those, how many had expired or were flushed and were removed"),
    OWN_NUMBER("reclaim_us_p50", get_reclaim_us_p50,
               "how long evicting a page took, in microseconds: the median since the last reset"),
    OWN_NUMBER("reclaim_us_p99", get_reclaim_us_p99, "the same, of 99 in 100"),
    OWN_NUMBER("reclaim_us_max", get_reclaim_us_max, "the longest"),
    OWN_FIGURE("records_recovered", recovered, "items found in the memory file (-e) at the start"),
    OWN_FIGURE("recovered_damaged", recovered_damaged,
               "logs and records of that file that were damaged and left out"),
    OWN_FIGURE("file_starved", starved, "times that the memory file's file system was full"),
    OWN_NUMBER("detail_prefixes", get_prefixes, "prefixes that \"stats detail\" counts by"),
    OWN_NUMBER("detail_uncounted", get_prefixes_uncounted,
               "events of prefixes for which that table had no room"),
};

/* What "zbud" says of each dictionary, behind "dictionary:" and its number. */
enum dictionary_line {
    DICTIONARY_KEYS,
    DICTIONARY_AGE,
    DICTIONARY_CURRENT,
    DICTIONARY_RECORDS,
    DICTIONARY_RAW_BYTES,
    DICTIONARY_STORED_BYTES,
    DICTIONARY_RATIO,
    DICTIONARY_LINES_COUNT
};

static const struct {
    const char *name;
    const char *help;
} dictionary_lines[DICTIONARY_LINES_COUNT] = {
    [DICTIONARY_KEYS] = {"keys", "how the keys begin whose values it was learned from; *: any"},
    [DICTIONARY_AGE] = {"age", "seconds since it was learned"},
    [DICTIONARY_CURRENT] = {"current", "1: new items are compressed with it; 0: a former one"},
    [DICTIONARY_RECORDS] = {"records", "items compressed with it; with number 0 without any"},
    [DICTIONARY_RAW_BYTES] = {"raw_bytes", "keys and values of those, as clients sent them"},
    [DICTIONARY_STORED_BYTES] = {"stored_bytes", "what their records take"},
    [DICTIONARY_RATIO] = {"ratio", "the former over the latter"},
};

/* ---- the machinery ---- */

/* A reset may have come between: then nothing has happened since. */
static void fall(uint64_t *count, uint64_t baseline)
{
    *count = *count > baseline ? *count - baseline : 0;
}

static void take_snapshot(struct stats *stats, uint32_t now_s, struct snapshot *snapshot)
{
    snapshot->setup = &stats->setup;
    snapshot->now_s = now_s;
    cache_figures(stats->setup.cache, &snapshot->cache);
    budget_figures(stats->setup.budget, &snapshot->budget);
    snapshot->crawl_running = control_crawl_running(stats->setup.control, &snapshot->crawl_starts);
    snapshot->prefixes = prefixes_known(stats->setup.prefixes, &snapshot->prefixes_uncounted);
    const int failed = getrusage(RUSAGE_SELF, &snapshot->usage);
    assert(!failed);
    watch_figures(stats->setup.watch, &snapshot->watch);

    pthread_mutex_lock(&stats->lock);
    for (unsigned i = 0; i < COUNTERS_COUNT; i++) {
        snapshot->ever[i] = counters_sum(stats->setup.counters, (enum counter)i);
        snapshot->counted[i] = snapshot->ever[i] - stats->baseline[i];
    }
    fall(&snapshot->watch.worker_dropped, stats->watch_baseline.worker_dropped);
    fall(&snapshot->watch.worker_written, stats->watch_baseline.worker_written);
    fall(&snapshot->watch.watcher_skipped, stats->watch_baseline.watcher_skipped);
    fall(&snapshot->watch.watcher_sent, stats->watch_baseline.watcher_sent);
    pthread_mutex_unlock(&stats->lock);
}

static bool emit_text(stats_emit_fn *emit, void *context, unsigned number,
                      enum dictionary_line line, const char *value)
{
    char full_name[64];
    (void)snprintf(full_name, sizeof(full_name), "dictionary:%u:%s", number,
                   dictionary_lines[line].name);
    return emit(context, full_name, value);
}

static bool emit_number(stats_emit_fn *emit, void *context, unsigned number,
                        enum dictionary_line line, uint64_t value)
{
    char text[24];
    (void)snprintf(text, sizeof(text), "%" PRIu64, value);
    return emit_text(emit, context, number, line, text);
}

/* Each dictionary that is alive, and 0 for what is compressed without. */
static bool emit_dictionaries(struct stats *stats, uint32_t now_s, stats_emit_fn *emit,
                              void *context)
{
    struct cache_dictionary dictionaries[CACHE_DICTIONARIES_MAX];
    const unsigned count = cache_dictionaries(stats->setup.cache, dictionaries);
    bool going = true;

    for (unsigned i = 0; i < count && going; i++) {
        const struct cache_dictionary *one = &dictionaries[i];
        char ratio[32];
        if (one->number == 0 && one->items == 0) {
            continue;
        }
        (void)snprintf(ratio, sizeof(ratio), "%.3f",
                       one->stored_bytes > 0 ? (double)one->raw_bytes / (double)one->stored_bytes
                                             : 0.0);
        if (one->number > 0) {
            going = emit_text(emit, context, one->number, DICTIONARY_KEYS, one->label) &&
                    emit_number(emit, context, one->number, DICTIONARY_AGE, now_s - one->trained_s);
        }
        going =
            going && emit_number(emit, context, one->number, DICTIONARY_CURRENT, one->current) &&
            emit_number(emit, context, one->number, DICTIONARY_RECORDS, one->items) &&
            emit_number(emit, context, one->number, DICTIONARY_RAW_BYTES, one->raw_bytes) &&
            emit_number(emit, context, one->number, DICTIONARY_STORED_BYTES, one->stored_bytes) &&
            emit_text(emit, context, one->number, DICTIONARY_RATIO, ratio);
    }
    return going;
}

/* "<what>=<bytes, as in a URI>", or "<what>=*" where there are none, and what is said of it. */
__attribute__((format(printf, 6, 7))) static bool emit_about(stats_emit_fn *emit, void *context,
                                                             const char *what, const uint8_t *bytes,
                                                             size_t count, const char *format, ...)
{
    char name[16 + 3 * CACHE_KEY_BYTES_MAX];
    char value[256];
    va_list arguments;
    const int begun = snprintf(name, sizeof(name), "%s=%s", what, count == 0 ? "*" : "");

    assert(begun > 0 && (size_t)begun + 3 * count < sizeof(name));
    (void)watch_encode_key(bytes, count, name + begun);
    va_start(arguments, format);
    (void)vsnprintf(value, sizeof(value), format, arguments);
    va_end(arguments);
    return emit(context, name, value);
}

static bool emit_hotkeys(struct stats *stats, uint32_t now_s, stats_emit_fn *emit, void *context)
{
    struct hotkey list[HOTKEYS_LISTED_MAX];
    const unsigned count = hotkeys_list(stats->setup.hotkeys, now_s, list);
    bool going = true;

    for (unsigned i = 0; i < count && going; i++) {
        going = emit_about(emit, context, "key", list[i].key, list[i].key_bytes,
                           "requests_per_s=%.1f error_per_s=%.1f", list[i].requests_per_s,
                           list[i].error_per_s);
    }
    return going;
}

static bool emit_prefixes(struct stats *stats, stats_emit_fn *emit, void *context)
{
    struct cache_saving list[CACHE_SAVINGS_MAX];
    const unsigned count = cache_savings(stats->setup.cache, list);
    bool going = true;

    for (unsigned i = 0; i < count && going; i++) {
        const struct cache_saving *one = &list[i];
        going = emit_about(emit, context, "prefix", one->prefix, one->prefix_bytes,
                           "items=%" PRIu64 " raw_bytes=%" PRIu64 " stored_bytes=%" PRIu64
                           " saved_bytes=%" PRId64 " error_bytes=%" PRIu64,
                           one->items, one->raw_bytes, one->stored_bytes,
                           (int64_t)(one->raw_bytes - one->stored_bytes), one->error_bytes);
    }
    return going;
}

static uint64_t read_figure(const struct cache_figures *figures, size_t offset)
{
    uint64_t value;
    memcpy(&value, (const char *)figures + offset, sizeof(value));
    return value;
}

static uint64_t row_number(const struct row *row, const struct snapshot *snapshot)
{
    if (row->number != NULL) {
        return row->number(snapshot);
    }
    if (row->figure > 0) {
        return read_figure(&snapshot->cache, row->figure - 1);
    }
    return row->counter > 0 ? snapshot->counted[row->counter - 1] : 0;
}

static bool emit_rows_of(const struct config *config, const struct row *rows, size_t rows_count,
                         const struct snapshot *snapshot, stats_emit_fn *emit, void *context)
{
    char value[STATS_VALUE_BYTES_MAX];

    for (size_t i = 0; i < rows_count; i++) {
        const struct row *row = &rows[i];
        if (row->shown != NULL && !row->shown(config)) {
            continue;
        }
        if (row->text != NULL) {
            row->text(snapshot, value, sizeof(value));
        } else {
            (void)snprintf(value, sizeof(value), "%" PRIu64, row_number(row, snapshot));
        }
        if (!emit(context, row->name, value)) {
            return false;
        }
    }
    return true;
}

static bool emit_rows(const struct row *rows, size_t rows_count, const struct snapshot *snapshot,
                      stats_emit_fn *emit, void *context)
{
    struct control *control = snapshot->setup->control;
    const bool emitted =
        emit_rows_of(control_open(control), rows, rows_count, snapshot, emit, context);

    control_close(control);
    return emitted;
}

/* config_settings() cannot be stopped; what comes after a line that had no room is dropped. The
 * memory limit is shown as it is now: "cache_memlimit" changes it. */
struct settings_emit {
    const struct snapshot *snapshot;
    stats_emit_fn *emit;
    void *context;
    bool ok;
};

static void emit_setting(void *context, const char *name, const char *value)
{
    struct settings_emit *settings = context;
    char memory[32];

    if (strcmp(name, "maxbytes") == 0) {
        (void)snprintf(memory, sizeof(memory), "%" PRIu64, settings->snapshot->cache.memory_bytes);
        value = memory;
    }
    if (settings->ok) {
        settings->ok = settings->emit(settings->context, name, value);
    }
}

static bool emit_settings(const struct snapshot *snapshot, stats_emit_fn *emit, void *context)
{
    struct settings_emit settings = {snapshot, emit, context, true};
    struct control *control = snapshot->setup->control;

    config_settings(control_open(control), emit_setting, &settings);
    control_close(control);
    return settings.ok;
}

bool stats_emit(struct stats *stats, enum stats_section section, uint32_t now_s,
                stats_emit_fn *emit, void *context)
{
    struct snapshot snapshot;

#define EMIT(rows) emit_rows(rows, ROWS_COUNT(rows), &snapshot, emit, context)
    take_snapshot(stats, now_s, &snapshot);
    switch (section) {
    case STATS_GENERAL:
        return EMIT(general_rows);
    case STATS_SETTINGS:
        return emit_settings(&snapshot, emit, context);
    case STATS_ITEMS:
        return snapshot.cache.items == 0 || EMIT(items_rows);
    case STATS_SLABS:
        return (snapshot.cache.items == 0 || EMIT(slabs_class_rows)) && EMIT(slabs_rows);
    case STATS_SIZES:
        return EMIT(sizes_rows);
    case STATS_CONNS:
        return stats->conns == NULL || stats->conns(stats->conns_context, now_s, emit, context);
    case STATS_ZBUD:
        return EMIT(zbud_rows) && emit_dictionaries(stats, now_s, emit, context);
    case STATS_HOTKEYS:
        return emit_hotkeys(stats, now_s, emit, context);
    case STATS_PREFIXES:
        return emit_prefixes(stats, emit, context);
    case STATS_EXTSTORE:
    case STATS_SECTIONS_COUNT:
        break;
    }
#undef EMIT
    return true;
}

void stats_explain(stats_explain_fn *each, void *context)
{
    char name[64];

    for (size_t i = 0; i < ROWS_COUNT(zbud_rows); i++) {
        each(context, zbud_rows[i].name, zbud_rows[i].help);
    }
    for (size_t i = 0; i < ROWS_COUNT(dictionary_lines); i++) {
        (void)snprintf(name, sizeof(name), "dictionary:N:%s", dictionary_lines[i].name);
        each(context, name, dictionary_lines[i].help);
    }
}

struct stats *stats_new(const struct stats_setup *setup)
{
    struct stats *stats = calloc(1, sizeof(*stats));

    if (stats == NULL) {
        return NULL;
    }
    stats->setup = *setup;
    pthread_mutex_init(&stats->lock, NULL);
    return stats;
}

void stats_free(struct stats *stats)
{
    if (stats == NULL) {
        return;
    }
    pthread_mutex_destroy(&stats->lock);
    free(stats);
}

void stats_set_conns(struct stats *stats, stats_conns_fn *conns, void *context)
{
    stats->conns = conns;
    stats->conns_context = context;
}

void stats_reset(struct stats *stats)
{
    struct watch_figures watch;

    watch_figures(stats->setup.watch, &watch);
    pthread_mutex_lock(&stats->lock);
    for (unsigned i = 0; i < COUNTERS_COUNT; i++) {
        stats->baseline[i] = counters_sum(stats->setup.counters, (enum counter)i);
    }
    stats->watch_baseline = watch;
    pthread_mutex_unlock(&stats->lock);
    cache_figures_reset(stats->setup.cache);
}
