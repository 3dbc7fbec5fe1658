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

/* A line. Its value is the first of these that is set; 0 where none is. */
struct row {
    const char *name;
    text_fn *text;
    number_fn *number;
    size_t member;    /* offset of a number in struct snapshot, plus 1 */
    shown_fn *shown;  /* NULL: always */
    const char *help; /* what it is, for the manual: of those of our own */
};

#define ZERO             .text = NULL
#define TEXT(function)   .text = (function)
#define NUMBER(function) .number = (function)
/* The 1 is the size of an array that a member other than of 64 bits makes impossible. */
#define TAKEN(which)                             \
    .member = offsetof(struct snapshot, which) + \
              sizeof(char[sizeof(((struct snapshot *)0)->which) == sizeof(uint64_t) ? 1 : -1])
#define COUNTER(which)   TAKEN(counted[which])
#define FIGURE(which)    TAKEN(cache.which)
#define ONLY(if_so)      .shown = (if_so)

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
    {"pid", NUMBER(get_pid)},
    {"uptime", NUMBER(get_uptime)},
    {"time", NUMBER(get_time)},
    {"version", TEXT(put_version)},
    {"libevent", TEXT(put_event_version)},
    {"pointer_size", NUMBER(get_pointer_bits)},
    {"rusage_user", TEXT(put_rusage_user)},
    {"rusage_system", TEXT(put_rusage_system)},
    {"max_connections", NUMBER(get_conns_max)},
    {"curr_connections", NUMBER(get_conns_now)},
    {"total_connections", COUNTER(COUNTER_CONNS_OPENED)},
    {"rejected_connections", COUNTER(COUNTER_CONNS_REJECTED), ONLY(if_maxconns_fast)},
    {"connection_structures", NUMBER(get_conns_now)},
    {"response_obj_oom", COUNTER(COUNTER_OUTPUT_REFUSED)},
    {"response_obj_count", NUMBER(get_threads)},
    {"response_obj_bytes", NUMBER(get_output_bytes)},
    {"read_buf_count", NUMBER(get_threads)},
    {"read_buf_bytes", NUMBER(get_input_bytes)},
    {"read_buf_bytes_free", ZERO},
    {"read_buf_oom", COUNTER(COUNTER_INPUT_REFUSED)},
    {"reserved_fds", NUMBER(get_reserved_fds)},
    {"cmd_get", COUNTER(COUNTER_CMD_GET)},
    {"cmd_set", COUNTER(COUNTER_CMD_SET)},
    {"cmd_flush", COUNTER(COUNTER_CMD_FLUSH)},
    {"cmd_touch", COUNTER(COUNTER_CMD_TOUCH)},
    {"cmd_meta", COUNTER(COUNTER_CMD_META)},
    {"get_hits", COUNTER(COUNTER_GET_HITS)},
    {"get_misses", COUNTER(COUNTER_GET_MISSES)},
    {"get_expired", FIGURE(missed_expired)},
    {"get_flushed", FIGURE(missed_flushed)},
    {"delete_misses", COUNTER(COUNTER_DELETE_MISSES)},
    {"delete_hits", COUNTER(COUNTER_DELETE_HITS)},
    {"incr_misses", COUNTER(COUNTER_INCR_MISSES)},
    {"incr_hits", COUNTER(COUNTER_INCR_HITS)},
    {"decr_misses", COUNTER(COUNTER_DECR_MISSES)},
    {"decr_hits", COUNTER(COUNTER_DECR_HITS)},
    {"cas_misses", COUNTER(COUNTER_CAS_MISSES)},
    {"cas_hits", COUNTER(COUNTER_CAS_HITS)},
    {"cas_badval", COUNTER(COUNTER_CAS_BADVAL)},
    {"touch_hits", COUNTER(COUNTER_TOUCH_HITS)},
    {"touch_misses", COUNTER(COUNTER_TOUCH_MISSES)},
    {"store_too_large", COUNTER(COUNTER_STORE_TOO_LARGE)},
    {"store_no_memory", COUNTER(COUNTER_STORE_NO_MEMORY)},
    {"auth_cmds", COUNTER(COUNTER_AUTH_CMDS)},
    {"auth_errors", COUNTER(COUNTER_AUTH_ERRORS)},
    {"idle_kicks", COUNTER(COUNTER_IDLE_KICKS), ONLY(if_idle_timeout)},
    {"bytes_read", COUNTER(COUNTER_BYTES_READ)},
    {"bytes_written", COUNTER(COUNTER_BYTES_WRITTEN)},
    {"limit_maxbytes", FIGURE(memory_bytes)},
    {"accepting_conns", NUMBER(get_accepting)},
    {"listen_disabled_num", COUNTER(COUNTER_ACCEPT_PAUSES)},
    {"time_in_listen_disabled_us", COUNTER(COUNTER_ACCEPT_PAUSED_US)},
    {"threads", NUMBER(get_threads)},
    {"conn_yields", COUNTER(COUNTER_CONN_YIELDS)},
    {"hash_power_level", NUMBER(get_hash_power)},
    {"hash_bytes", FIGURE(index_bytes)},
    {"hash_is_expanding", ZERO},
    {"slab_reassign_rescues", ZERO, ONLY(if_slab_reassign)},
    {"slab_reassign_chunk_rescues", ZERO, ONLY(if_slab_reassign)},
    {"slab_reassign_inline_reclaim", ZERO, ONLY(if_slab_reassign)},
    {"slab_reassign_busy_items", ZERO, ONLY(if_slab_reassign)},
    {"slab_reassign_busy_deletes", ZERO, ONLY(if_slab_reassign)},
    {"slab_reassign_busy_nomem", ZERO, ONLY(if_slab_reassign)},
    {"slab_reassign_last_busy_status", TEXT(put_none), ONLY(if_slab_reassign)},
    {"slab_reassign_running", ZERO, ONLY(if_slab_reassign)},
    {"slabs_moved", ZERO, ONLY(if_slab_reassign)},
    {"lru_crawler_running", TAKEN(crawl_running), ONLY(if_crawler)},
    {"lru_crawler_starts", TAKEN(crawl_starts), ONLY(if_crawler)},
    {"lru_maintainer_juggles", ZERO, ONLY(if_maintainer)},
    {"malloc_fails", NUMBER(get_malloc_fails)},
    {"log_worker_dropped", TAKEN(watch.worker_dropped)},
    {"log_worker_written", TAKEN(watch.worker_written)},
    {"log_watcher_skipped", TAKEN(watch.watcher_skipped)},
    {"log_watcher_sent", TAKEN(watch.watcher_sent)},
    {"log_watchers", TAKEN(watch.watchers)},
    {"ssl_new_sessions", COUNTER(COUNTER_TLS_SESSIONS), ONLY(if_tls_tickets)},
    {"ssl_handshake_errors", COUNTER(COUNTER_TLS_HANDSHAKE_ERRORS), ONLY(if_tls)},
    {"ssl_proto_errors", COUNTER(COUNTER_TLS_PROTO_ERRORS), ONLY(if_tls)},
    {"time_since_server_cert_refresh", NUMBER(get_certs_age), ONLY(if_tls)},
    {"unexpected_napi_ids", ZERO},
    {"round_robin_fallback", ZERO},
    {"bytes", FIGURE(stored_bytes)},
    {"curr_items", FIGURE(items)},
    {"total_items", FIGURE(items_total)},
    {"slab_global_page_pool", ZERO},
    {"expired_unfetched", FIGURE(expired_unfetched)},
    {"evicted_unfetched", FIGURE(evicted_unfetched)},
    {"evicted_active", ZERO, ONLY(if_maintainer)},
    {"evictions", FIGURE(evicted)},
    {"reclaimed", FIGURE(expired)},
    {"crawler_reclaimed", FIGURE(crawler_reclaimed)},
    {"crawler_items_checked", FIGURE(crawler_checked)},
    {"lrutail_reflocked", ZERO},
    {"moves_to_cold", ZERO, ONLY(if_maintainer)},
    {"moves_to_warm", ZERO, ONLY(if_maintainer)},
    {"moves_within_lru", ZERO, ONLY(if_maintainer)},
    {"direct_reclaims", ZERO, ONLY(if_maintainer)},
    {"lru_bumps_dropped", ZERO, ONLY(if_maintainer)},
};

/* All items are of one class, number 1: there are none here, but tools look for one. */
static const struct row items_rows[] = {
    {"items:1:number", FIGURE(items)},
    {"items:1:number_hot", ZERO},
    {"items:1:number_warm", ZERO},
    {"items:1:number_cold", FIGURE(items)},
    {"items:1:age_hot", ZERO},
    {"items:1:age_warm", ZERO},
    {"items:1:age", ZERO},
    {"items:1:mem_requested", FIGURE(stored_bytes)},
    {"items:1:evicted", FIGURE(evicted)},
    {"items:1:evicted_nonzero", ZERO},
    {"items:1:evicted_time", ZERO},
    {"items:1:outofmemory", COUNTER(COUNTER_STORE_NO_MEMORY)},
    {"items:1:tailrepairs", ZERO},
    {"items:1:reclaimed", FIGURE(expired)},
    {"items:1:expired_unfetched", FIGURE(expired_unfetched)},
    {"items:1:evicted_unfetched", FIGURE(evicted_unfetched)},
    {"items:1:evicted_active", ZERO},
    {"items:1:crawler_reclaimed", FIGURE(crawler_reclaimed)},
    {"items:1:crawler_items_checked", FIGURE(crawler_checked)},
    {"items:1:lrutail_reflocked", ZERO},
    {"items:1:moves_to_cold", ZERO},
    {"items:1:moves_to_warm", ZERO},
    {"items:1:moves_within_lru", ZERO},
    {"items:1:direct_reclaims", ZERO},
    {"items:1:hits_to_hot", ZERO},
    {"items:1:hits_to_warm", ZERO},
    {"items:1:hits_to_cold", COUNTER(COUNTER_GET_HITS)},
    {"items:1:hits_to_temp", ZERO},
};

static const struct row slabs_class_rows[] = {
    {"1:chunk_size", NUMBER(get_chunk_bytes)},
    {"1:chunks_per_page", NUMBER(get_page_chunks)},
    {"1:total_pages", FIGURE(pages_used)},
    {"1:total_chunks", NUMBER(get_chunks)},
    {"1:used_chunks", FIGURE(chunks_used)},
    {"1:free_chunks", NUMBER(get_slack_chunks)},
    {"1:free_chunks_end", ZERO},
    {"1:get_hits", COUNTER(COUNTER_GET_HITS)},
    {"1:cmd_set", COUNTER(COUNTER_CMD_SET)},
    {"1:delete_hits", COUNTER(COUNTER_DELETE_HITS)},
    {"1:incr_hits", COUNTER(COUNTER_INCR_HITS)},
    {"1:decr_hits", COUNTER(COUNTER_DECR_HITS)},
    {"1:cas_hits", COUNTER(COUNTER_CAS_HITS)},
    {"1:cas_badval", COUNTER(COUNTER_CAS_BADVAL)},
    {"1:touch_hits", COUNTER(COUNTER_TOUCH_HITS)},
};

static const struct row slabs_rows[] = {
    {"active_slabs", NUMBER(get_classes)},
    {"total_malloced", NUMBER(get_pages_bytes)},
};

static const struct row sizes_rows[] = {
    {"sizes_status", TEXT(put_sizes_status)},
};

static const struct row zbud_rows[] = {
    {"server", TEXT(put_own_version),
     .help = "this program and its version; \"version\" of the general section names the memcached "
             "it behaves as"},
    {"memory_limit_bytes", FIGURE(memory_bytes),
     .help = "what the process may take: -m, or what cache_memlimit made of it"},
    {"memory_resident_bytes", FIGURE(resident_bytes),
     .help = "pages and their tables that the system has given memory to"},
    {"memory_charged_bytes", FIGURE(charged_bytes),
     .help = "of the limit, what goes to all but pages: connections, threads, dictionaries, the "
             "process itself"},
    {"connections_held_bytes", TAKEN(budget.held_bytes),
     .help = "buffers that connections hold now"},
    {"connections_charged_bytes", TAKEN(budget.charged_bytes),
     .help = "of the limit, what is set aside for connections: what they hold, and what the heap "
             "keeps of what they held"},
    {"connections_limit_bytes", TAKEN(budget.share_bytes),
     .help = "the most that connections may hold; beyond it requests are answered with an error"},
    {"pages_max", FIGURE(pages_max),
     .help = "pages of 4 KiB that the limit has room for, if nothing else needed memory"},
    {"pages_total", NUMBER(get_pages_total),
     .help = "pages in hand: the sum of the six below, and those of large values being stored"},
    {"pages_free", FIGURE(pages_free), .help = "with nothing in them"},
    {"pages_buddied", FIGURE(pages_buddied), .help = "with two buddies, at either end"},
    {"pages_unbuddied", FIGURE(pages_unbuddied), .help = "with one buddy; the other end is free"},
    {"pages_large", FIGURE(pages_large), .help = "that hold values too large for a buddy"},
    {"pages_index", FIGURE(pages_index), .help = "of the index, which finds records by their keys"},
    {"pages_expiry", FIGURE(pages_expiry), .help = "of the wheel, which knows what expires when"},
    {"chunks_used", FIGURE(chunks_used), .help = "64-byte chunks in buddies"},
    {"bytes_used", NUMBER(get_chunks_used_bytes), .help = "the same in bytes"},
    {"slack_bytes", FIGURE(slack_bytes),
     .help = "chunks of buddied and unbuddied pages that no buddy has"},
    {"live_bytes", FIGURE(live_bytes),
     .help = "bytes in buddies that records take which can be read"},
    {"dead_bytes", FIGURE(dead_bytes),
     .help = "bytes in buddies left by what was overwritten, deleted, expired or moved; squeezed "
             "out in time"},
    {"records", FIGURE(items), .help = "items"},
    {"records_expiring", FIGURE(items_expiring), .help = "items with a time to live"},
    {"raw_bytes", FIGURE(raw_bytes), .help = "keys and values of all items, as clients sent them"},
    {"stored_bytes", FIGURE(stored_bytes),
     .help = "what the items' records take, compressed, with headers; \"bytes\" of the general "
             "section"},
    {"compression_ratio", TEXT(put_ratio), .help = "raw_bytes over stored_bytes"},
    {"index_bytes", FIGURE(index_bytes), .help = "memory of the index"},
    {"index_slots", FIGURE(index_slots),
     .help = "items that the index has room for at its present size"},
    {"pages_reclaimed", FIGURE(pages_reclaimed), .help = "pages evicted whole"},
    {"records_evicted", FIGURE(evicted), .help = "items that went with them"},
    {"records_rescued", FIGURE(rescued),
     .help = "items of such pages that had been hit and were moved instead"},
    {"records_expired", FIGURE(expired), .help = "items removed as their time was up"},
    {"records_flushed", FIGURE(flushed), .help = "items removed after a flush_all"},
    {"records_settled", FIGURE(settled),
     .help = "items compressed again in the background, at the high level"},
    {"records_deferred", FIGURE(deferred),
     .help = "items stored as they came, for the background to compress"},
    {"dictionaries", FIGURE(dictionaries),
     .help = "dictionaries alive: those new items are compressed with, and former ones that "
             "items still need"},
    {"classes_learned", FIGURE(classes_learned),
     .help = "times that classes of items and their dictionaries were learned anew"},
    {"dictionary_bytes", FIGURE(dictionary_bytes), .help = "memory of the dictionaries"},
    {"logs_squeezed", FIGURE(squeezed), .help = "buddies whose dead bytes were squeezed out"},
    {"pages_merged", FIGURE(pages_merged),
     .help = "sparse pages whose live records were moved to others"},
    {"crawler_checked", FIGURE(crawler_checked), .help = "records that the background looked at"},
    {"crawler_reclaimed", FIGURE(crawler_reclaimed),
     .help = "of those, how many had expired or were flushed and were removed"},
    {"reclaim_us_p50", NUMBER(get_reclaim_us_p50),
     .help = "how long evicting a page took, in microseconds: the median since the last reset"},
    {"reclaim_us_p99", NUMBER(get_reclaim_us_p99), .help = "the same, of 99 in 100"},
    {"reclaim_us_max", NUMBER(get_reclaim_us_max), .help = "the longest"},
    {"records_recovered", FIGURE(recovered),
     .help = "items found in the memory file (-e) at the start"},
    {"recovered_damaged", FIGURE(recovered_damaged),
     .help = "logs and records of that file that were damaged and left out"},
    {"file_starved", FIGURE(starved), .help = "times that the memory file's file system was full"},
    {"detail_prefixes", TAKEN(prefixes), .help = "prefixes that \"stats detail\" counts by"},
    {"detail_uncounted", TAKEN(prefixes_uncounted),
     .help = "events of prefixes for which that table had no room"},
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
        /* Learned on a thread whose clock may be a moment ahead. */
        const uint32_t age_s = now_s > one->trained_s ? now_s - one->trained_s : 0;
        char ratio[32];
        if (one->number == 0 && one->items == 0) {
            continue;
        }
        (void)snprintf(ratio, sizeof(ratio), "%.3f",
                       one->stored_bytes > 0 ? (double)one->raw_bytes / (double)one->stored_bytes
                                             : 0.0);
        if (one->number > 0) {
            going = emit_text(emit, context, one->number, DICTIONARY_KEYS, one->label) &&
                    emit_number(emit, context, one->number, DICTIONARY_AGE, age_s);
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

static uint64_t row_number(const struct row *row, const struct snapshot *snapshot)
{
    uint64_t value = 0;

    if (row->number != NULL) {
        return row->number(snapshot);
    }
    if (row->member > 0) {
        memcpy(&value, (const char *)snapshot + row->member - 1, sizeof(value));
    }
    return value;
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
