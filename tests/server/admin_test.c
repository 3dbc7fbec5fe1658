/* The commands of administrators, without sockets: dumps in pieces, settings, statistics by prefix,
 * the clock. */
/* cmocka.h stands on the four before it. */
/* clang-format off */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
/* clang-format on */

#include "protocol/parse.h"
#include "server/admin/prefixes.h"
#include "tests/server/rig.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define ITEMS 20000u

static void fill(struct rig *rig, unsigned items)
{
    char request[128];

    for (unsigned i = 0; i < items; i++) {
        (void)snprintf(request, sizeof(request), "set key-%05u %u 0 5\r\nvalue\r\n", i, i);
        rig_expect(rig, request, "STORED\r\n");
    }
}

/* ---- dumps ---- */

/* One request that is executed piece by piece, with others in between. */
struct piecewise {
    char line[128];
    struct protocol_request request;
    enum command_outcome outcome;
    size_t bytes; /* of all pieces */
    size_t bytes_max;
    char text[64 << 10]; /* the last piece */
};

static void begin(struct piecewise *piecewise, const char *line)
{
    struct protocol_parsed parsed;

    memset(piecewise, 0, sizeof(*piecewise));
    (void)snprintf(piecewise->line, sizeof(piecewise->line), "%s\r\n", line);
    assert_int_equal(
        protocol_parse((uint8_t *)piecewise->line, strlen(piecewise->line), 1 << 20, &parsed),
        PROTOCOL_REQUEST);
    piecewise->request = parsed.request;
}

static enum command_outcome go_on(struct rig *rig, struct piecewise *piecewise)
{
    struct protocol_reply reply = {.data = (uint8_t *)piecewise->text,
                                   .capacity = sizeof(piecewise->text) - 1};
    size_t room_bytes = 0;

    piecewise->outcome =
        command_execute(rig->command, &piecewise->request, &reply, rig->now_s, &room_bytes);
    assert_int_not_equal(piecewise->outcome, COMMAND_NEEDS_ROOM);
    piecewise->text[reply.used] = '\0';
    piecewise->bytes += reply.used;
    if (reply.used > piecewise->bytes_max) {
        piecewise->bytes_max = reply.used;
    }
    return piecewise->outcome;
}

static void test_metadump_lists_all(void **state)
{
    struct rig *rig = rig_new("-m 64");
    uint8_t *met = calloc(ITEMS, 1);
    unsigned number, flags, lines = 0;
    char fetched[4];

    (void)state;
    fill(rig, ITEMS);
    rig_ask(rig, "get key-00007\r\n");
    const char *at = rig_ask(rig, "lru_crawler metadump all\r\n");
    assert_memory_equal(at, "OK\r\n", 4);
    for (at += 4; strncmp(at, "END\r\n", 5) != 0; at = strchr(at, '\n') + 1, lines++) {
        assert_int_equal(
            sscanf(at, "key=key-%u exp=-1 la=%*u cas=%*u fetch=%3s cls=1 size=%*u flags=%u \n",
                   &number, fetched, &flags),
            3);
        assert_true(number < ITEMS && flags == number);
        assert_string_equal(fetched, number == 7 ? "yes" : "no");
        met[number]++;
    }
    assert_string_equal(at, "END\r\n");
    assert_int_equal(lines, ITEMS);
    for (unsigned i = 0; i < ITEMS; i++) {
        assert_int_equal(met[i], 1);
    }
    assert_true(rig->pieces > ITEMS / 1000); /* not in one go */
    assert_int_equal(rig_stat(rig, "", "lru_crawler_starts"), 1);
    assert_int_equal(rig_stat(rig, "", "lru_crawler_running"), 0);
    free(met);
    rig_free(rig);
}

static void test_one_crawl_at_a_time(void **state)
{
    struct rig *rig = rig_new("-m 64");
    struct piecewise *dump = malloc(sizeof(*dump));

    (void)state;
    fill(rig, ITEMS);
    begin(dump, "lru_crawler metadump all");
    assert_int_equal(go_on(rig, dump), COMMAND_PAUSE);
    assert_int_equal(rig_stat(rig, "", "lru_crawler_running"), 1);
    rig_expect(rig, "lru_crawler metadump all\r\n",
               "BUSY currently processing crawler request\r\n");
    rig_expect(rig, "lru_crawler mgdump all\r\n", "BUSY currently processing crawler request\r\n");
    rig_expect(rig, "lru_crawler crawl all\r\n", "BUSY currently processing crawler request\r\n");
    assert_non_null(strstr(rig_ask(rig, "stats cachedump 1 3\r\n"), "ITEM key-"));
    while (go_on(rig, dump) == COMMAND_PAUSE) {
        assert_true(dump->bytes_max < sizeof(dump->text) - 1);
    }
    assert_int_equal(dump->outcome, COMMAND_DONE);
    rig_expect(rig, "lru_crawler crawl all\r\n", "OK\r\n");
    free(dump);
    rig_free(rig);
}

/* A connection that goes takes its dump with it, and the memory of the dump. */
static void test_forgotten(void **state)
{
    struct rig *rig = rig_new("-m 64");
    struct piecewise *dump = malloc(sizeof(*dump));
    const uint64_t held_bytes = rig_stat(rig, "zbud", "connections_held_bytes");

    (void)state;
    fill(rig, ITEMS);
    begin(dump, "lru_crawler metadump all");
    assert_int_equal(go_on(rig, dump), COMMAND_PAUSE);
    assert_true(rig_stat(rig, "zbud", "connections_held_bytes") > held_bytes + 30000);
    command_forget(rig->command, &dump->request);
    assert_int_equal(rig_stat(rig, "zbud", "connections_held_bytes"), held_bytes);
    assert_int_equal(rig_stat(rig, "", "lru_crawler_running"), 0);
    command_forget(rig->command, &dump->request);
    begin(dump, "stats cachedump 1 0"); /* given up at the end, with all */
    assert_int_equal(go_on(rig, dump), COMMAND_PAUSE);
    rig_free(rig);
    free(dump);
}

/* Off in the middle: what was begun is finished. */
static void test_disabled_meanwhile(void **state)
{
    struct rig *rig = rig_new("-m 64");
    struct piecewise *dump = malloc(sizeof(*dump));

    (void)state;
    fill(rig, ITEMS);
    begin(dump, "lru_crawler mgdump all");
    assert_int_equal(go_on(rig, dump), COMMAND_PAUSE);
    rig_expect(rig, "lru_crawler disable\r\n", "OK\r\n");
    rig_expect(rig, "flush_all\r\n", "OK\r\n");
    (void)go_on(rig, dump); /* what the last step had copied before */
    while (go_on(rig, dump) == COMMAND_PAUSE) {
        assert_string_equal(dump->text, ""); /* nothing is left of what was flushed */
    }
    assert_string_equal(dump->text, "EN\r\n");
    free(dump);
    rig_free(rig);
}

static void test_a_reply_that_is_nearly_full(void **state)
{
    struct rig *rig = rig_new("-m 64");
    static const char one[] = "OK\r\nmg a\r\nEN\r\n";

    (void)state;
    rig_expect(rig, "set a 0 0 1\r\n1\r\n", "STORED\r\n");
    for (size_t bytes = PROTOCOL_REPLY_BYTES_MAX; bytes < 2048; bytes += 256) {
        rig->reply_bytes = bytes;
        rig_expect(rig, "lru_crawler mgdump all\r\n", one);
    }
    rig->reply_bytes = 4096;
    fill(rig, 1000);
    const char *text = rig_ask(rig, "lru_crawler mgdump all\r\n");
    unsigned lines = 0;
    for (const char *at = text; (at = strstr(at, "mg ")) != NULL; at += 3) {
        lines++;
    }
    assert_int_equal(lines, 1001);
    rig_free(rig);
}

/* Keys that came as base64 and have bytes that end a word or a line. */
static void test_binary_keys(void **state)
{
    static const struct {
        const char *base64, *encoded;
    } keys[] = {
        {"IA==", "%20"}, {"ICA=", "%20%20"}, {"YQpi", "a%0Ab"}, {"DQ0NDQ==", "%0D%0D%0D%0D"}};
    char line[128];

    (void)state;
    for (size_t i = 0; i < sizeof(keys) / sizeof(keys[0]); i++) {
        struct rig *rig = rig_new("-m 64");
        (void)snprintf(line, sizeof(line), "ms %s 1 b\r\n1\r\n", keys[i].base64);
        rig_expect(rig, line, "HD\r\n");
        (void)snprintf(line, sizeof(line), "OK\r\nmg %s b\r\nEN\r\n", keys[i].base64);
        rig_expect(rig, "lru_crawler mgdump all\r\n", line);
        (void)snprintf(line, sizeof(line), "OK\r\nkey=%s exp=-1 ", keys[i].encoded);
        assert_memory_equal(rig_ask(rig, "lru_crawler metadump all\r\n"), line, strlen(line));
        rig_expect(rig, "stats cachedump 1 0\r\n", "END\r\n");
        rig_free(rig);
    }
}

static void test_cachedump_is_bounded(void **state)
{
    struct rig *rig = rig_new("-m 64");
    char request[512], key[251];
    unsigned lines = 0;

    (void)state;
    memset(key, 'k', 250);
    key[250] = '\0';
    for (unsigned i = 0; i < 12000; i++) {
        (void)snprintf(key, 8, "%07u", i);
        key[7] = 'k';
        (void)snprintf(request, sizeof(request), "set %s 0 0 1\r\n1\r\n", key);
        rig_expect(rig, request, "STORED\r\n");
    }
    const char *text = rig_ask(rig, "stats cachedump 1 0\r\n");
    assert_true(strlen(text) <= 2u << 20 && strlen(text) > (2u << 20) - 2048);
    assert_string_equal(text + strlen(text) - 5, "END\r\n");
    text = rig_ask(rig, "stats cachedump 1 17\r\n");
    for (const char *at = text; (at = strstr(at, "ITEM ")) != NULL; at += 5) {
        lines++;
    }
    assert_int_equal(lines, 17);
    rig_free(rig);
}

static void test_sizes(void **state)
{
    struct rig *rig = rig_new("-m 64 -o track_sizes");
    unsigned long size, count, sum = 0;
    int used;

    (void)state;
    fill(rig, ITEMS);
    const char *at = rig_ask(rig, "stats sizes\r\n");
    while (sscanf(at, "STAT %lu %lu\r\n%n", &size, &count, &used) == 2) {
        assert_true(size > 0 && size % 32 == 0);
        sum += count;
        at += used;
    }
    assert_string_equal(at, "END\r\n");
    assert_int_equal(sum, ITEMS);
    rig_free(rig);
}

/* ---- settings ---- */

static void expect_setting(struct rig *rig, const char *name, const char *value)
{
    char line[128];

    (void)snprintf(line, sizeof(line), "STAT %s %s\r\n", name, value);
    if (strstr(rig_ask(rig, "stats settings\r\n"), line) == NULL) {
        fail_msg("stats settings has no %s %s", name, value);
    }
}

static void test_settings_follow(void **state)
{
    static const struct {
        const char *request, *name, *value;
    } rows[] = {
        {"verbosity 1", "verbosity", "1"},
        {"lru_crawler sleep 321", "lru_crawler_sleep", "321"},
        {"lru_crawler tocrawl 55", "lru_crawler_tocrawl", "55"},
        {"lru_crawler disable", "lru_crawler", "no"},
        {"slabs automove 0", "slab_automove", "0"},
        {"slabs automove ratio 0.5", "slab_automove_ratio", "0.50"},
        {"slabs automove freeratio 0.05", "slab_automove_freeratio", "0.050"},
        {"slabs automove window 77", "slab_automove_window", "77"},
        {"lru tune 11 22 0.3 4.0", "hot_lru_pct", "11"},
        {"lru tune 11 22 0.3 4.0", "warm_lru_pct", "22"},
        {"lru tune 11 22 0.3 4.0", "hot_max_factor", "0.30"},
        {"lru tune 11 22 0.3 4.0", "warm_max_factor", "4.00"},
        {"lru mode flat", "lru_segmented", "no"},
        {"lru temp_ttl 99", "temp_lru", "yes"},
        {"lru temp_ttl 99", "temporary_ttl", "99"},
        {"lru temp_ttl -1", "temp_lru", "no"},
        {"stats detail on", "detail_enabled", "yes"},
        {"stats detail off", "detail_enabled", "no"},
    };
    struct rig *rig = rig_new("-m 64");
    char line[128];

    (void)state;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        (void)snprintf(line, sizeof(line), "%s\r\n", rows[i].request);
        rig_expect(rig, line, "OK\r\n");
        expect_setting(rig, rows[i].name, rows[i].value);
    }
    assert_null(strstr(rig_ask(rig, "stats\r\n"), "lru_crawler_running")); /* it is off */
    rig_free(rig);
}

static void test_without_the_parts_that_are_tuned(void **state)
{
    struct rig *rig = rig_new("-m 64 -o no_lru_maintainer,no_slab_reassign,no_lru_crawler");

    (void)state;
    rig_expect(rig, "lru mode flat\r\n", "ERROR\r\n");
    rig_expect(rig, "lru temp_ttl 5\r\n", "ERROR\r\n");
    rig_expect(rig, "slabs reassign 1 2\r\n", "CLIENT_ERROR slab reassignment disabled\r\n");
    rig_expect(rig, "lru_crawler metadump all\r\n", "CLIENT_ERROR lru crawler disabled\r\n");
    expect_setting(rig, "lru_segmented", "no");
    rig_free(rig);
}

/* ---- stats detail ---- */

static void test_many_prefixes(void **state)
{
    struct rig *rig = rig_new("-m 64");
    char request[64];
    const unsigned gets = 100000;
    uint64_t counted = 0, get, hit, set, del;

    (void)state;
    rig_expect(rig, "stats detail on\r\n", "OK\r\n");
    const uint64_t charged = rig_stat(rig, "zbud", "memory_charged_bytes");
    for (unsigned i = 0; i < gets; i++) {
        (void)snprintf(request, sizeof(request), "get p%u:a p%u:a\r\n", i, i / 2);
        rig_expect(rig, request, "END\r\n");
    }
    assert_int_equal(rig_stat(rig, "zbud", "memory_charged_bytes"), charged);
    const uint64_t known = rig_stat(rig, "zbud", "detail_prefixes");
    const uint64_t uncounted = rig_stat(rig, "zbud", "detail_uncounted");
    assert_true(known <= PREFIXES_MAX && known >= PREFIXES_MAX / 2);
    const char *at = rig_ask(rig, "stats detail dump\r\n");
    uint64_t lines = 0;
    for (; strncmp(at, "PREFIX ", 7) == 0; at = strchr(at, '\n') + 1, lines++) {
        assert_int_equal(
            sscanf(at, "PREFIX p%*u get %" SCNu64 " hit %" SCNu64 " set %" SCNu64 " del %" SCNu64,
                   &get, &hit, &set, &del),
            4);
        assert_true(hit == 0 && set == 0 && del == 0);
        counted += get;
    }
    assert_string_equal(at, "END\r\n");
    assert_int_equal(lines, known);
    assert_int_equal(counted + uncounted, 2 * gets);
    rig_expect(rig, "stats reset\r\n", "RESET\r\n");
    rig_expect(rig, "stats detail dump\r\n", "END\r\n");
    rig_free(rig);
}

/* Its memory is charged when it is first on, is bounded by a part of -m, and must be there. */
static void test_detail_takes_memory_once(void **state)
{
    struct rig *rig = rig_new("-m 64");

    (void)state;
    const uint64_t before = rig_stat(rig, "zbud", "memory_charged_bytes");
    rig_expect(rig, "stats detail on\r\n", "OK\r\n");
    const uint64_t on = rig_stat(rig, "zbud", "memory_charged_bytes");
    assert_true(on > before && on - before <= (64u << 20) / PREFIXES_MEMORY_PART);
    rig_expect(rig, "stats detail off\r\n", "OK\r\n");
    rig_expect(rig, "stats detail on\r\n", "OK\r\n");
    assert_int_equal(rig_stat(rig, "zbud", "memory_charged_bytes"), on);
    rig_free(rig);
}

static void test_long_prefixes(void **state)
{
    struct rig *rig = rig_new("-m 64 -D /");
    char key[251], request[512], line[512];

    (void)state;
    memset(key, 'x', 250);
    key[249] = '/';
    key[250] = '\0';
    (void)snprintf(request, sizeof(request), "get %s\r\n", key);
    rig_expect(rig, request, "END\r\n");
    key[249] = '\0';
    (void)snprintf(line, sizeof(line), "PREFIX %s get 1 hit 0 set 0 del 0\r\nEND\r\n", key);
    rig_expect(rig, "stats detail dump\r\n", line);
    rig_free(rig);
}

/* A store counts, whatever came of it, and whichever command it was. */
static void test_refused_stores_count(void **state)
{
    static const char *const lines[] = {"set a/b 0 0 1000", "ms a/b 1000",
                                        "ms YS9i 1000 b",   "set a/b 0 0 2000000",
                                        "ms a/b 2000000",   "ms YS9i 2000000 b"};
    const size_t count = sizeof(lines) / sizeof(lines[0]);
    struct rig *rig = rig_new("-m 64 -D /");
    char *request = malloc(2000100), line[64];

    (void)state;
    assert_non_null(request);
    for (size_t i = 0; i < count; i++) {
        const size_t value_bytes = i < count / 2 ? 1000 : 2000000;
        const int at = sprintf(request, "%s\r\n", lines[i]);
        memset(request + at, 'v', value_bytes);
        memcpy(request + (size_t)at + value_bytes, "\r\n", 3);
        (void)rig_ask(rig, request);
    }
    (void)snprintf(line, sizeof(line), "PREFIX a get 0 hit 0 set %zu del 0\r\nEND\r\n", count);
    rig_expect(rig, "stats detail dump\r\n", line);
    rig_free(rig);
    free(request);
}

/* ---- the clock ---- */

static void test_debugtime(void **state)
{
    struct rig *rig = rig_new("-m 64 -o debugtime");
    const uint32_t start_s = clock_now_s(&rig->clock);

    (void)state;
    rig_expect(rig, "debugtime p\r\n", "OK\r\n");
    const uint32_t stopped_s = clock_now_s(&rig->clock);
    assert_true(stopped_s - start_s <= 2);
    rig_expect(rig, "debugtime 100\r\n", "OK\r\n");
    rig_expect(rig, "debugtime p\r\n", "OK\r\n");
    rig_expect(rig, "debugtime +20\r\n", "OK\r\n");
    rig_expect(rig, "debugtime -50\r\n", "OK\r\n");
    assert_int_equal(clock_now_s(&rig->clock), stopped_s + 70);
    rig_expect(rig, "debugtime r\r\n", "OK\r\n");
    rig_expect(rig, "debugtime r\r\n", "OK\r\n");
    const uint32_t now_s = clock_now_s(&rig->clock);
    assert_true(now_s >= stopped_s + 70 && now_s <= stopped_s + 75);
    static const char *const wrong[] = {
        "x",           "1x",         "99999999999",        "-99999999999",
        "-4000000000", "4000000000", "9223372036854775807"};
    for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
        char line[64];
        (void)snprintf(line, sizeof(line), "debugtime %s\r\n", wrong[i]);
        rig_expect(rig, line, "CLIENT_ERROR bad command line format\r\n");
    }
    rig_expect(rig, "debugtime\r\n", "ERROR\r\n");
    rig_expect(rig, "debugtime 1 2\r\n", "ERROR\r\n");
    rig_free(rig);
}

/* ---- whatever is sent ---- */

static uint32_t draw(uint32_t *seed)
{
    *seed = *seed * 1664525u + 1013904223u; /* Numerical Recipes' generator */
    return *seed >> 8;
}

/* Words that mean something somewhere, and bytes that mean nothing. */
static size_t put_noise(char *out, uint32_t *seed)
{
    static const char *const words[] = {
        "metadump", "mgdump",  "crawl",     "sleep",
        "tocrawl",  "enable",  "disable",   "all",
        "hash",     "1",       "1,2",       ",,1",
        "0",        "-1",      "1.5",       "99999999999999999999",
        "reassign", "ratio",   "automove",  "window",
        "tune",     "mode",    "flat",      "temp_ttl",
        "detail",   "on",      "dump",      "off",
        "sizes",    "noreply", "cachedump", "p",
    };
    if (draw(seed) % 8 != 0) {
        const char *word = words[draw(seed) % (sizeof(words) / sizeof(words[0]))];
        memcpy(out, word, strlen(word));
        return strlen(word);
    }
    const size_t bytes = 1 + draw(seed) % 40;
    for (size_t i = 0; i < bytes; i++) {
        do {
            out[i] = (char)draw(seed);
        } while (out[i] == '\n' || out[i] == '\r');
    }
    return bytes;
}

static void test_noise(void **state)
{
    static const char *const verbs[] = {"lru_crawler", "slabs", "lru", "debugtime", "stats"};
    struct rig *rig = rig_new("-m 64 -o debugtime,track_sizes");
    uint32_t seed = 20261122;
    char line[1024];

    (void)state;
    fill(rig, 10);
    for (unsigned i = 0; i < 50000; i++) {
        const char *verb = verbs[draw(&seed) % 5];
        size_t used = strlen(verb);
        memcpy(line, verb, used);
        for (unsigned words = draw(&seed) % 10; words > 0; words--) {
            line[used++] = ' ';
            used += put_noise(line + used, &seed);
        }
        memcpy(line + used, "\r\n", 2);
        const char *text = rig_ask_bytes(rig, line, used + 2);
        assert_int_equal(rig->outcome, COMMAND_DONE);
        assert_true(rig->text_bytes == 0 || text[rig->text_bytes - 1] == '\n');
    }
    rig_ask(rig, "lru_crawler enable\r\n");
    assert_int_equal(rig_stat(rig, "", "lru_crawler_running"), 0);
    assert_int_equal(rig_stat(rig, "zbud", "connections_held_bytes"), 0);
    rig_free(rig);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_metadump_lists_all),
        cmocka_unit_test(test_one_crawl_at_a_time),
        cmocka_unit_test(test_forgotten),
        cmocka_unit_test(test_disabled_meanwhile),
        cmocka_unit_test(test_a_reply_that_is_nearly_full),
        cmocka_unit_test(test_binary_keys),
        cmocka_unit_test(test_cachedump_is_bounded),
        cmocka_unit_test(test_sizes),
        cmocka_unit_test(test_settings_follow),
        cmocka_unit_test(test_without_the_parts_that_are_tuned),
        cmocka_unit_test(test_many_prefixes),
        cmocka_unit_test(test_detail_takes_memory_once),
        cmocka_unit_test(test_long_prefixes),
        cmocka_unit_test(test_refused_stores_count),
        cmocka_unit_test(test_debugtime),
        cmocka_unit_test(test_noise),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
