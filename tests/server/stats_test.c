/*
 * stats_test.c - the sections of "stats": memcached's names in memcached's order, numbers that
 * agree with each other, and answers of any length.
 */
/* cmocka.h stands on the four before it. */
/* clang-format off */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
/* clang-format on */

#include "server/admin/stats.h"
#include "server/cache/cache.h"
#include "tests/server/rig.h"

#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define ROUNDS 6000
#define KEYS   700

/* memcached 1.6.45's, default options, in its order. */
static const char *const general_names[] = {"pid",
                                            "uptime",
                                            "time",
                                            "version",
                                            "libevent",
                                            "pointer_size",
                                            "rusage_user",
                                            "rusage_system",
                                            "max_connections",
                                            "curr_connections",
                                            "total_connections",
                                            "rejected_connections",
                                            "connection_structures",
                                            "response_obj_oom",
                                            "response_obj_count",
                                            "response_obj_bytes",
                                            "read_buf_count",
                                            "read_buf_bytes",
                                            "read_buf_bytes_free",
                                            "read_buf_oom",
                                            "reserved_fds",
                                            "cmd_get",
                                            "cmd_set",
                                            "cmd_flush",
                                            "cmd_touch",
                                            "cmd_meta",
                                            "get_hits",
                                            "get_misses",
                                            "get_expired",
                                            "get_flushed",
                                            "delete_misses",
                                            "delete_hits",
                                            "incr_misses",
                                            "incr_hits",
                                            "decr_misses",
                                            "decr_hits",
                                            "cas_misses",
                                            "cas_hits",
                                            "cas_badval",
                                            "touch_hits",
                                            "touch_misses",
                                            "store_too_large",
                                            "store_no_memory",
                                            "auth_cmds",
                                            "auth_errors",
                                            "bytes_read",
                                            "bytes_written",
                                            "limit_maxbytes",
                                            "accepting_conns",
                                            "listen_disabled_num",
                                            "time_in_listen_disabled_us",
                                            "threads",
                                            "conn_yields",
                                            "hash_power_level",
                                            "hash_bytes",
                                            "hash_is_expanding",
                                            "slab_reassign_rescues",
                                            "slab_reassign_chunk_rescues",
                                            "slab_reassign_inline_reclaim",
                                            "slab_reassign_busy_items",
                                            "slab_reassign_busy_deletes",
                                            "slab_reassign_busy_nomem",
                                            "slab_reassign_last_busy_status",
                                            "slab_reassign_running",
                                            "slabs_moved",
                                            "lru_crawler_running",
                                            "lru_crawler_starts",
                                            "lru_maintainer_juggles",
                                            "malloc_fails",
                                            "log_worker_dropped",
                                            "log_worker_written",
                                            "log_watcher_skipped",
                                            "log_watcher_sent",
                                            "log_watchers",
                                            "unexpected_napi_ids",
                                            "round_robin_fallback",
                                            "bytes",
                                            "curr_items",
                                            "total_items",
                                            "slab_global_page_pool",
                                            "expired_unfetched",
                                            "evicted_unfetched",
                                            "evicted_active",
                                            "evictions",
                                            "reclaimed",
                                            "crawler_reclaimed",
                                            "crawler_items_checked",
                                            "lrutail_reflocked",
                                            "moves_to_cold",
                                            "moves_to_warm",
                                            "moves_within_lru",
                                            "direct_reclaims",
                                            "lru_bumps_dropped",
                                            NULL};

static const char *const items_names[] = {"items:1:number",
                                          "items:1:number_hot",
                                          "items:1:number_warm",
                                          "items:1:number_cold",
                                          "items:1:age_hot",
                                          "items:1:age_warm",
                                          "items:1:age",
                                          "items:1:mem_requested",
                                          "items:1:evicted",
                                          "items:1:evicted_nonzero",
                                          "items:1:evicted_time",
                                          "items:1:outofmemory",
                                          "items:1:tailrepairs",
                                          "items:1:reclaimed",
                                          "items:1:expired_unfetched",
                                          "items:1:evicted_unfetched",
                                          "items:1:evicted_active",
                                          "items:1:crawler_reclaimed",
                                          "items:1:crawler_items_checked",
                                          "items:1:lrutail_reflocked",
                                          "items:1:moves_to_cold",
                                          "items:1:moves_to_warm",
                                          "items:1:moves_within_lru",
                                          "items:1:direct_reclaims",
                                          "items:1:hits_to_hot",
                                          "items:1:hits_to_warm",
                                          "items:1:hits_to_cold",
                                          "items:1:hits_to_temp",
                                          NULL};

static const char *const slabs_names[] = {"1:chunk_size",      "1:chunks_per_page", "1:total_pages",
                                          "1:total_chunks",    "1:used_chunks",     "1:free_chunks",
                                          "1:free_chunks_end", "1:get_hits",        "1:cmd_set",
                                          "1:delete_hits",     "1:incr_hits",       "1:decr_hits",
                                          "1:cas_hits",        "1:cas_badval",      "1:touch_hits",
                                          "active_slabs",      "total_malloced",    NULL};

static int set_up(void **state)
{
    *state = rig_new("-m 16");
    return 0;
}

static int tear_down(void **state)
{
    rig_free(*state);
    return 0;
}

/* The text is exactly lines "STAT <name> <value>" with these names, and END. */
static void check_names(const char *text, const char *const *names)
{
    const char *at = text;

    for (size_t i = 0; names[i] != NULL; i++) {
        const size_t bytes = strlen(names[i]);
        if (strncmp(at, "STAT ", 5) != 0 || strncmp(at + 5, names[i], bytes) != 0 ||
            at[5 + bytes] != ' ') {
            fail_msg("expected STAT %s, got %.60s", names[i], at);
        }
        const char *end = strstr(at, "\r\n");
        assert_non_null(end);
        assert_true(end > at + 5 + bytes + 1);
        at = end + 2;
    }
    assert_string_equal(at, "END\r\n");
}

static void test_names_in_memcacheds_order(void **state)
{
    struct rig *rig = *state;

    check_names(rig_ask(rig, "stats\r\n"), general_names);
    rig_expect(rig, "stats items\r\n", "END\r\n");
    rig_expect(rig, "stats slabs\r\n", "STAT active_slabs 0\r\nSTAT total_malloced 0\r\nEND\r\n");
    rig_expect(rig, "set a 0 0 1\r\nx\r\n", "STORED\r\n");
    check_names(rig_ask(rig, "stats items\r\n"), items_names);
    check_names(rig_ask(rig, "stats slabs\r\n"), slabs_names);
    rig_expect(rig, "stats sizes\r\n", "STAT sizes_status disabled\r\nEND\r\n");
    rig_expect(rig, "stats extstore\r\n", "END\r\n");
}

/* memcached's own test counts the names under these options: 84. */
static void test_names_depend_on_options(void **state)
{
    struct rig *rig = rig_new("-m 16 -o no_lru_crawler,no_lru_maintainer");
    size_t count = 0;

    (void)state;
    const char *at = rig_ask(rig, "stats\r\n");
    while ((at = strstr(at, "STAT ")) != NULL) {
        at += 5;
        count++;
    }
    assert_int_equal(count, 84);
    rig_free(rig);

    rig = rig_new("-m 16 -o idle_timeout=5,no_maxconns_fast");
    assert_int_equal(rig_stat(rig, "", "idle_kicks"), 0);
    assert_null(strstr(rig_ask(rig, "stats\r\n"), "rejected_connections"));
    rig_free(rig);
}

static void test_prefixes(void **state)
{
    struct rig *rig = *state;
    char *settings = strdup(rig_ask(rig, "stats settings\r\n"));

    assert_non_null(settings);
    assert_non_null(strstr(settings, "STAT maxconns 1024\r\n"));
    rig_expect(rig, "stats se\r\n", settings);
    rig_expect(rig, "stats s\r\n", settings);
    rig_expect(rig, "stats   settings   and more\r\n", settings);
    free(settings);
    rig_expect(rig, "stats r\r\n", "RESET\r\n");
    rig_expect(rig, "stats e\r\n", "END\r\n");
    rig_expect(rig, "stats i\r\n", "ERROR\r\n");
    rig_expect(rig, "stats slab\r\n", "ERROR\r\n");
    rig_expect(rig, "stats settingsx\r\n", "ERROR\r\n");
    rig_expect(rig, "stats noreply\r\n", "ERROR\r\n");
    rig_expect(rig, "stats zbud2\r\n", "ERROR\r\n");
}

/* Every command with a key counts, once; a key is written as metadump writes it. */
static void test_hotkeys(void **state)
{
    struct rig *rig = *state;

    rig_expect(rig, "stats hotkeys\r\n", "END\r\n");
    (void)rig_ask(rig, "set user:1 0 0 1\r\n1\r\nget user:1 x\r\ngat 0 user:1\r\n"
                       "incr user:1 1\r\ntouch user:1 0\r\nmg user:1 v\r\nms user:1 1\r\n1\r\n"
                       "ma user:1\r\nmd user:1\r\ndelete user:1\r\nappend user:1 0 0 1\r\n2\r\n");
    (void)rig_ask(rig, "get y\r\nget y y y\r\nget y\r\nmg YSBi b\r\nmg YSBi b\r\n");
    (void)rig_ask(rig, "mg YSBi b v\r\nmg YSBi b\r\nme user:1\r\nversion\r\n");
    rig_expect(rig, "stats hotkeys\r\n",
               "STAT key=user%3A1 requests_per_s=11.0 error_per_s=0.0\r\n"
               "STAT key=y requests_per_s=5.0 error_per_s=0.0\r\n"
               "STAT key=a%20b requests_per_s=4.0 error_per_s=0.0\r\nEND\r\n");
    rig_expect(rig, "stats hotkey\r\n", "ERROR\r\n");
}

static void test_savings(void **state)
{
    struct rig *rig = *state;
    struct cache_keeper *keeper = cache_keeper_new(rig->cache);

    assert_non_null(keeper);
    rig_expect(rig, "stats prefixes\r\n", "END\r\n");
    (void)rig_ask(rig, "set user:1 0 0 1\r\nx\r\nset user:2 0 0 1\r\nx\r\nset y 0 0 1\r\nx\r\n");
    (void)cache_maintain(keeper, rig->now_s);
    rig_expect(rig, "stats prefixes\r\n",
               "STAT prefix=user%3A items=2 raw_bytes=14 stored_bytes=19 saved_bytes=-5 "
               "error_bytes=0\r\n"
               "STAT prefix=* items=1 raw_bytes=2 stored_bytes=6 saved_bytes=-4 "
               "error_bytes=0\r\nEND\r\n");
    cache_keeper_free(keeper);
}

static void test_reset_keeps_levels(void **state)
{
    struct rig *rig = *state;

    rig_expect(rig, "set a 0 0 1\r\nx\r\nget a b\r\ntouch a 0\r\ndelete b\r\n",
               "STORED\r\nVALUE a 0 1\r\nx\r\nEND\r\nTOUCHED\r\nNOT_FOUND\r\n");
    assert_int_equal(rig_stat(rig, "", "cmd_set"), 1);
    assert_int_equal(rig_stat(rig, "", "total_items"), 1);
    rig_expect(rig, "stats reset\r\n", "RESET\r\n");
    static const char *const counters[] = {"cmd_set",       "cmd_get",    "get_hits",
                                           "get_misses",    "touch_hits", "cmd_touch",
                                           "delete_misses", "total_items"};
    for (size_t i = 0; i < sizeof(counters) / sizeof(counters[0]); i++) {
        assert_int_equal(rig_stat(rig, "", counters[i]), 0);
    }
    assert_int_equal(rig_stat(rig, "", "curr_items"), 1);
    assert_true(rig_stat(rig, "", "bytes") > 0);
    rig_expect(rig, "get a\r\n", "VALUE a 0 1\r\nx\r\nEND\r\n");
    assert_int_equal(rig_stat(rig, "", "get_hits"), 1);
}

static void test_expired_and_flushed_on_access(void **state)
{
    struct rig *rig = *state;

    rig_expect(rig, "set a 0 5 1\r\nx\r\nset b 0 0 1\r\nx\r\n", "STORED\r\nSTORED\r\n");
    rig->now_s += 5;
    rig_expect(rig, "get a none\r\n", "END\r\n");
    assert_int_equal(rig_stat(rig, "", "get_expired"), 1);
    assert_int_equal(rig_stat(rig, "", "get_flushed"), 0);
    rig_expect(rig, "flush_all\r\nget b\r\n", "OK\r\nEND\r\n");
    assert_int_equal(rig_stat(rig, "", "get_expired"), 1);
    assert_int_equal(rig_stat(rig, "", "get_flushed"), 1);
    assert_int_equal(rig_stat(rig, "", "get_misses"), 3);
    assert_int_equal(rig_stat(rig, "", "curr_items"), 0);
    /* Whatever the request. */
    rig_expect(rig, "set a 0 5 1\r\n1\r\nset b 0 5 1\r\nx\r\nset c 0 5 1\r\nx\r\n",
               "STORED\r\nSTORED\r\nSTORED\r\n");
    rig->now_s += 5;
    rig_expect(rig, "incr a 1\r\ndelete b\r\nmg c v\r\n", "NOT_FOUND\r\nNOT_FOUND\r\nEN\r\n");
    assert_int_equal(rig_stat(rig, "", "get_expired"), 4);
    assert_int_equal(rig_stat(rig, "", "get_flushed"), 1);
}

/* A section is answered whole whatever room there was at first. */
static void test_any_room_will_do(void **state)
{
    struct rig *rig = *state;
    static const char *const requests[] = {"stats settings\r\n", "stats sizes\r\n",
                                           "stats extstore\r\n"};

    for (size_t i = 0; i < sizeof(requests) / sizeof(requests[0]); i++) {
        rig->reply_bytes = 64 << 10;
        char *whole = strdup(rig_ask(rig, requests[i]));
        assert_non_null(whole);
        for (size_t room = PROTOCOL_REPLY_BYTES_MAX; room < 4096; room += 61) {
            rig->reply_bytes = room;
            rig_expect(rig, requests[i], whole);
        }
        free(whole);
    }
}

static bool emit_nothing(void *context, const char *name, const char *value)
{
    size_t *calls = context;

    (void)name;
    (void)value;
    (*calls)++;
    return false;
}

static void test_emit_stops_when_told(void **state)
{
    struct rig *rig = *state;

    rig_expect(rig, "set a 0 0 1\r\nx\r\n", "STORED\r\n");
    for (unsigned section = 0; section < STATS_SECTIONS_COUNT; section++) {
        size_t calls = 0;
        const bool whole = stats_emit(rig->shared.stats, (enum stats_section)section, rig->now_s,
                                      emit_nothing, &calls);
        assert_int_equal(calls, whole ? 0 : 1);
    }
}

/* ---- stats zbud ---- */

struct zbud {
    uint64_t total, free, buddied, unbuddied, large, index, expiry;
    uint64_t chunks_used, bytes_used, slack, live, dead, records, raw, stored;
};

static struct zbud read_zbud(struct rig *rig)
{
    return (struct zbud){
        .total = rig_stat(rig, "zbud", "pages_total"),
        .free = rig_stat(rig, "zbud", "pages_free"),
        .buddied = rig_stat(rig, "zbud", "pages_buddied"),
        .unbuddied = rig_stat(rig, "zbud", "pages_unbuddied"),
        .large = rig_stat(rig, "zbud", "pages_large"),
        .index = rig_stat(rig, "zbud", "pages_index"),
        .expiry = rig_stat(rig, "zbud", "pages_expiry"),
        .chunks_used = rig_stat(rig, "zbud", "chunks_used"),
        .bytes_used = rig_stat(rig, "zbud", "bytes_used"),
        .slack = rig_stat(rig, "zbud", "slack_bytes"),
        .live = rig_stat(rig, "zbud", "live_bytes"),
        .dead = rig_stat(rig, "zbud", "dead_bytes"),
        .records = rig_stat(rig, "zbud", "records"),
        .raw = rig_stat(rig, "zbud", "raw_bytes"),
        .stored = rig_stat(rig, "zbud", "stored_bytes"),
    };
}

static void check_zbud(struct rig *rig, uint64_t raw_bytes, uint64_t records)
{
    const struct zbud zbud = read_zbud(rig);

    assert_int_equal(zbud.total, zbud.free + zbud.buddied + zbud.unbuddied + zbud.large +
                                     zbud.index + zbud.expiry);
    assert_int_equal(zbud.bytes_used, zbud.chunks_used * 64);
    assert_int_equal((zbud.buddied + zbud.unbuddied) * 63 * 64, zbud.bytes_used + zbud.slack);
    assert_true(zbud.live + zbud.dead <= zbud.bytes_used);
    assert_true(zbud.live <= zbud.stored);
    assert_int_equal(zbud.records, records);
    assert_int_equal(zbud.raw, raw_bytes);
    /* And the arena's table, 4 bytes a page. */
    assert_in_range(rig_stat(rig, "zbud", "memory_resident_bytes"), zbud.total * 4096,
                    zbud.total * 4096 + zbud.total * 4 + 2 * 4096);
    assert_true(rig_stat(rig, "zbud", "memory_resident_bytes") +
                    rig_stat(rig, "zbud", "memory_charged_bytes") <=
                rig_stat(rig, "zbud", "memory_limit_bytes"));
    assert_int_equal(rig_stat(rig, "", "curr_items"), records);
    assert_int_equal(rig_stat(rig, "", "bytes"), zbud.stored);
    rig_expect(rig, "stats check\r\n", "STAT check ok\r\nEND\r\n");
}

static uint32_t next_random(uint32_t *random)
{
    *random = *random * 1664525 + 1013904223;
    return *random >> 8;
}

static void set_value(struct rig *rig, char *request, unsigned key, size_t value_bytes,
                      uint32_t *random)
{
    const int line = sprintf(request, "set key:%u 0 0 %zu\r\n", key, value_bytes);

    for (size_t i = 0; i < value_bytes; i++) {
        request[(size_t)line + i] = (char)('a' + next_random(random) % 7);
    }
    memcpy(request + (size_t)line + value_bytes, "\r\n", 2);
    (void)rig_ask_bytes(rig, request, (size_t)line + value_bytes + 2);
    assert_string_equal(rig->text, "STORED\r\n");
}

/* Sets of many sizes and deletes against a table of what should be there; no eviction at this
 * size. */
static void test_zbud_figures_agree(void **state)
{
    struct rig *rig = rig_new("-m 64");
    size_t sizes[KEYS] = {0};
    bool there[KEYS] = {false};
    char *request = malloc((1 << 20) + 100);
    uint32_t random = 20261122;
    uint64_t raw_bytes = 0, records = 0;

    (void)state;
    assert_non_null(request);
    for (unsigned round = 0; round < ROUNDS; round++) {
        const unsigned key = next_random(&random) % KEYS;
        if (there[key]) {
            records--;
            raw_bytes -= sizes[key] + (size_t)snprintf(NULL, 0, "key:%u", key);
        }
        there[key] = next_random(&random) % 4 != 0;
        if (there[key]) {
            const uint32_t kind = next_random(&random) % 100;
            sizes[key] = kind < 80 ? next_random(&random) % 600 : next_random(&random) % 9000;
            sizes[key] += kind == 99 ? 100000 : 0;
            set_value(rig, request, key, sizes[key], &random);
            records++;
            raw_bytes += sizes[key] + (size_t)snprintf(NULL, 0, "key:%u", key);
        } else {
            (void)sprintf(request, "delete key:%u\r\n", key);
            (void)rig_ask(rig, request);
        }
        if (round % 500 == 499) {
            check_zbud(rig, raw_bytes, records);
        }
    }
    assert_int_equal(rig_stat(rig, "", "evictions"), 0);
    free(request);
    rig_free(rig);
}

static void test_zbud_figures_under_eviction(void **state)
{
    struct rig *rig = *state;
    char *request = malloc(1 << 20);
    uint32_t random = 7;

    assert_non_null(request);
    for (unsigned key = 0; key < 20000; key++) {
        set_value(rig, request, key, next_random(&random) % 4000, &random);
    }
    const struct zbud zbud = read_zbud(rig);
    check_zbud(rig, zbud.raw, zbud.records);
    const uint64_t evicted = rig_stat(rig, "zbud", "records_evicted");
    assert_true(evicted > 0);
    assert_int_equal(evicted, rig_stat(rig, "", "evictions"));
    assert_int_equal(evicted, rig_stat(rig, "items", "items:1:evicted"));
    assert_int_equal(zbud.records + evicted, 20000);
    assert_true(rig_stat(rig, "zbud", "pages_reclaimed") > 0);
    assert_true(rig_stat(rig, "zbud", "reclaim_us_p50") <= rig_stat(rig, "zbud", "reclaim_us_p99"));
    assert_true(rig_stat(rig, "zbud", "reclaim_us_p99") <= rig_stat(rig, "zbud", "reclaim_us_max"));
    assert_true(rig_stat(rig, "zbud", "reclaim_us_max") > 0);
    free(request);
}

static void test_compression_ratio(void **state)
{
    struct rig *rig = *state;
    char request[2048], expected[64];

    const int line = sprintf(request, "set a 0 0 1000\r\n");
    memset(request + line, 'z', 1000);
    memcpy(request + line + 1000, "\r\n", 3);
    rig_expect(rig, request, "STORED\r\n");
    const uint64_t raw = rig_stat(rig, "zbud", "raw_bytes");
    const uint64_t stored = rig_stat(rig, "zbud", "stored_bytes");
    assert_int_equal(raw, 1001);
    assert_true(stored < 100);
    (void)snprintf(expected, sizeof(expected), "STAT compression_ratio %u.%02u\r\n",
                   (unsigned)(raw * 100 / stored / 100), (unsigned)(raw * 100 / stored % 100));
    assert_non_null(strstr(rig_ask(rig, "stats zbud\r\n"), expected));
}

/* ---- what the manual says of "stats zbud" ---- */

#define EXPLAINED_MAX 128u

struct explained {
    unsigned count;
    char names[EXPLAINED_MAX][64];
};

static void note_explained(void *context, const char *name, const char *help)
{
    struct explained *explained = context;

    assert_true(explained->count < EXPLAINED_MAX);
    assert_non_null(help);
    assert_true(strlen(help) > 3 && help[strlen(help) - 1] != '.');
    (void)snprintf(explained->names[explained->count], sizeof(explained->names[0]), "%s", name);
    explained->count++;
}

static bool is_explained(const struct explained *explained, const char *name)
{
    for (unsigned i = 0; i < explained->count; i++) {
        if (strcmp(explained->names[i], name) == 0) {
            return true;
        }
    }
    return false;
}

/* Values from which dictionaries are learned, so that the lines of one are shown. */
static void learn_something(struct rig *rig)
{
    struct cache_keeper *keeper;
    char request[400];

    for (unsigned i = 0; i < 4000; i++) {
        const int bytes = snprintf(
            request + 100, 300,
            "{\"id\": %u, \"name\": \"customer %u\", \"country\": \"%s\", \"active\": true, "
            "\"orders\": [{\"number\": %u, \"state\": \"delivered\"}]}\r\n",
            i * 7919, i, i % 3 ? "Norway" : "Portugal", i * 31);
        const int line = snprintf(request, 100, "set user:%u 0 0 %d\r\n", i, bytes - 2);

        memmove(request + line, request + 100, (size_t)bytes + 1);
        rig_expect(rig, request, "STORED\r\n");
    }
    keeper = cache_keeper_new(rig->cache);
    assert_non_null(keeper);
    for (unsigned i = 0; i < 100000 && rig_stat(rig, "zbud", "dictionaries") == 0; i++) {
        rig->now_s += !cache_maintain(keeper, rig->now_s);
    }
    cache_keeper_free(keeper);
}

static void test_every_line_is_explained(void **state)
{
    struct rig *rig = rig_new("-m 64");
    struct explained *explained = calloc(1, sizeof(*explained));
    unsigned shown[EXPLAINED_MAX] = {0};
    char name[64];

    (void)state;
    assert_non_null(explained);
    stats_explain(note_explained, explained);
    learn_something(rig);
    for (const char *line = rig_ask(rig, "stats zbud\r\n"); strncmp(line, "STAT ", 5) == 0;
         line = strstr(line, "\r\n") + 2) {
        const char *last = line + 5;
        unsigned number;

        if (sscanf(last, "dictionary:%u:", &number) == 1) {
            last = strchr(last + strlen("dictionary:"), ':');
            (void)snprintf(name, sizeof(name), "dictionary:N%.*s", (int)strcspn(last, " "), last);
        } else {
            (void)snprintf(name, sizeof(name), "%.*s", (int)strcspn(last, " "), last);
        }
        if (!is_explained(explained, name)) {
            fail_msg("\"%s\" is shown and not explained", name);
        }
        for (unsigned i = 0; i < explained->count; i++) {
            shown[i] += strcmp(explained->names[i], name) == 0;
        }
    }
    for (unsigned i = 0; i < explained->count; i++) {
        if (shown[i] == 0) {
            fail_msg("\"%s\" is explained and not shown", explained->names[i]);
        }
    }
    free(explained);
    rig_free(rig);
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_every_line_is_explained),
        cmocka_unit_test_setup_teardown(test_names_in_memcacheds_order, set_up, tear_down),
        cmocka_unit_test(test_names_depend_on_options),
        cmocka_unit_test_setup_teardown(test_prefixes, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_hotkeys, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_savings, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_reset_keeps_levels, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_expired_and_flushed_on_access, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_any_room_will_do, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_emit_stops_when_told, set_up, tear_down),
        cmocka_unit_test(test_zbud_figures_agree),
        cmocka_unit_test_setup_teardown(test_zbud_figures_under_eviction, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_compression_ratio, set_up, tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
