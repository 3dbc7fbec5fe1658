/*
 * command_test.c - every verb and every status it can end with, against a real cache, without
 * sockets.
 */
/* cmocka.h stands on the four before it. */
/* clang-format off */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
/* clang-format on */

#include "protocol/parse.h"
#include "server/admin/stats.h"
#include "server/budget.h"
#include "server/cache/cache.h"
#include "tests/server/rig.h"

#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define DAY_S 86400

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

/* ---- storage and retrieval ---- */

static void test_storage_statuses(void **state)
{
    struct rig *rig = *state;

    rig_expect(rig, "replace a 1 0 1\r\nx\r\n", "NOT_STORED\r\n");
    rig_expect(rig, "append a 1 0 1\r\nx\r\n", "NOT_STORED\r\n");
    rig_expect(rig, "prepend a 1 0 1\r\nx\r\n", "NOT_STORED\r\n");
    rig_expect(rig, "cas a 1 0 1 5\r\nx\r\n", "NOT_FOUND\r\n");
    rig_expect(rig, "get a\r\n", "END\r\n");
    rig_expect(rig, "add a 7 0 3\r\nabc\r\n", "STORED\r\n");
    rig_expect(rig, "add a 8 0 3\r\nxyz\r\n", "NOT_STORED\r\n");
    rig_expect(rig, "get a\r\n", "VALUE a 7 3\r\nabc\r\nEND\r\n");
    rig_expect(rig, "replace a 9 0 2\r\nde\r\n", "STORED\r\n");
    rig_expect(rig, "append a 1 0 2\r\nfg\r\n", "STORED\r\n");
    rig_expect(rig, "prepend a 1 0 2\r\nbc\r\n", "STORED\r\n");
    rig_expect(rig, "get a\r\n", "VALUE a 9 6\r\nbcdefg\r\nEND\r\n");
    rig_expect(rig, "set a 4294967295 0 0\r\n\r\n", "STORED\r\n");
    rig_expect(rig, "get a\r\n", "VALUE a 4294967295 0\r\n\r\nEND\r\n");
    rig_expect(rig, "set a 0 0 3\r\nabcde\r\n",
               "CLIENT_ERROR bad data chunk\r\nCLIENT_ERROR bad command line format\r\n");
}

static void test_cas(void **state)
{
    struct rig *rig = *state;
    unsigned long cas = 0;
    char request[128];

    rig_expect(rig, "set a 3 0 1\r\nx\r\n", "STORED\r\n");
    assert_int_equal(sscanf(rig_ask(rig, "gets a\r\n"), "VALUE a 3 1 %lu\r\nx\r\nEND\r\n", &cas),
                     1);
    assert_true(cas > 0);
    (void)snprintf(request, sizeof(request), "cas a 4 0 1 %lu\r\ny\r\n", cas + 1);
    rig_expect(rig, request, "EXISTS\r\n");
    (void)snprintf(request, sizeof(request), "cas a 4 0 1 %lu\r\ny\r\n", cas);
    rig_expect(rig, request, "STORED\r\n");
    rig_expect(rig, request, "EXISTS\r\n");
    rig_expect(rig, "cas a 4 0 1 0\r\nz\r\n", "EXISTS\r\n");
    rig_expect(rig, "cas b 4 0 1 1\r\nz\r\n", "NOT_FOUND\r\n");
    rig_expect(rig, "get a\r\n", "VALUE a 4 1\r\ny\r\nEND\r\n");
    assert_int_equal(rig_stat(rig, "", "cas_hits"), 1);
    assert_int_equal(rig_stat(rig, "", "cas_badval"), 3);
    assert_int_equal(rig_stat(rig, "", "cas_misses"), 1);
}

static void test_multiget_keeps_the_order_asked(void **state)
{
    struct rig *rig = *state;

    rig_expect(rig, "set a 1 0 1\r\nA\r\nset b 2 0 2\r\nBB\r\n", "STORED\r\nSTORED\r\n");
    rig_expect(rig, "get b x a b\r\n",
               "VALUE b 2 2\r\nBB\r\nVALUE a 1 1\r\nA\r\nVALUE b 2 2\r\nBB\r\nEND\r\n");
    assert_int_equal(rig_stat(rig, "", "cmd_get"), 4);
    assert_int_equal(rig_stat(rig, "", "get_hits"), 3);
    assert_int_equal(rig_stat(rig, "", "get_misses"), 1);
}

static void test_any_byte_in_key_and_value(void **state)
{
    struct rig *rig = *state;
    const char request[] = "set \x01\t\x80\xff\0k 5 0 6\r\n\0\r\nSET\r\n";
    const char answer[] = "VALUE \x01\t\x80\xff\0k 5 6\r\n\0\r\nSET\r\nEND\r\n";

    (void)rig_ask_bytes(rig, request, sizeof(request) - 1);
    assert_string_equal(rig->text, "STORED\r\n");
    (void)rig_ask_bytes(rig, "get \x01\t\x80\xff\0k\r\n", 12);
    assert_int_equal(rig->text_bytes, sizeof(answer) - 1);
    assert_memory_equal(rig->text, answer, sizeof(answer) - 1);
}

static void test_longest_key(void **state)
{
    struct rig *rig = *state;
    char key[251];
    char request[400], answer[400];

    memset(key, 'k', 250);
    key[250] = '\0';
    (void)snprintf(request, sizeof(request), "set %s 1 0 3\r\nabc\r\n", key);
    rig_expect(rig, request, "STORED\r\n");
    (void)snprintf(request, sizeof(request), "get %s\r\n", key);
    (void)snprintf(answer, sizeof(answer), "VALUE %s 1 3\r\nabc\r\nEND\r\n", key);
    rig_expect(rig, request, answer);
    /* One beyond: the data block is dropped with it. */
    (void)snprintf(request, sizeof(request), "set %sk 1 0 3\r\nabc\r\nget x\r\n", key);
    rig_expect(rig, request, "CLIENT_ERROR bad command line format\r\nEND\r\n");
}

static void test_delete_and_touch(void **state)
{
    struct rig *rig = *state;

    rig_expect(rig, "delete a\r\n", "NOT_FOUND\r\n");
    rig_expect(rig, "touch a 10\r\n", "NOT_FOUND\r\n");
    rig_expect(rig, "set a 0 0 1\r\nx\r\n", "STORED\r\n");
    rig_expect(rig, "touch a 10\r\n", "TOUCHED\r\n");
    rig_expect(rig, "delete a\r\n", "DELETED\r\n");
    rig_expect(rig, "get a\r\n", "END\r\n");
    assert_int_equal(rig_stat(rig, "", "delete_hits"), 1);
    assert_int_equal(rig_stat(rig, "", "delete_misses"), 1);
    assert_int_equal(rig_stat(rig, "", "touch_hits"), 1);
    assert_int_equal(rig_stat(rig, "", "touch_misses"), 1);
    assert_int_equal(rig_stat(rig, "", "cmd_touch"), 2);
}

static void test_arithmetic(void **state)
{
    struct rig *rig = *state;

    rig_expect(rig, "incr n 1\r\n", "NOT_FOUND\r\n");
    rig_expect(rig, "decr n 1\r\n", "NOT_FOUND\r\n");
    rig_expect(rig, "set n 7 0 3\r\n100\r\n", "STORED\r\n");
    rig_expect(rig, "decr n 1\r\n", "99\r\n");
    rig_expect(rig, "get n\r\n", "VALUE n 7 3\r\n99 \r\nEND\r\n");
    rig_expect(rig, "incr n 901\r\n", "1000\r\n");
    rig_expect(rig, "decr n 5000\r\n", "0\r\n");
    rig_expect(rig, "incr n 18446744073709551615\r\n", "18446744073709551615\r\n");
    rig_expect(rig, "incr n 2\r\n", "1\r\n");
    rig_expect(rig, "incr n x\r\n", "CLIENT_ERROR invalid numeric delta argument\r\n");
    rig_expect(rig, "set n 0 0 2\r\n1a\r\n", "STORED\r\n");
    rig_expect(rig, "incr n 1\r\n",
               "CLIENT_ERROR cannot increment or decrement non-numeric value\r\n");
    assert_int_equal(rig_stat(rig, "", "incr_hits"), 3);
    assert_int_equal(rig_stat(rig, "", "decr_hits"), 2);
    assert_int_equal(rig_stat(rig, "", "incr_misses"), 1);
    assert_int_equal(rig_stat(rig, "", "decr_misses"), 1);
}

/* ---- time ---- */

static void test_expiry(void **state)
{
    struct rig *rig = *state;
    const uint32_t start_s = rig->now_s;
    char request[128];

    rig_expect(rig, "set never 0 0 1\r\nx\r\n", "STORED\r\n");
    rig_expect(rig, "set soon 0 10 1\r\nx\r\n", "STORED\r\n");
    rig_expect(rig, "set month 0 2592000 1\r\nx\r\n", "STORED\r\n");
    rig_expect(rig, "set past 0 -1 1\r\nx\r\n", "STORED\r\n");
    rig_expect(rig, "set long_past 0 2592001 1\r\nx\r\n", "STORED\r\n");
    (void)snprintf(request, sizeof(request), "set unix 0 %u 1\r\nx\r\n", start_s + 20);
    rig_expect(rig, request, "STORED\r\n");
    (void)snprintf(request, sizeof(request), "set now 0 %u 1\r\nx\r\n", start_s);
    rig_expect(rig, request, "STORED\r\n");
    rig_expect(rig, "get past\r\nget long_past\r\nget now\r\n", "END\r\nEND\r\nEND\r\n");

    rig->now_s = start_s + 9;
    rig_expect(rig, "get soon\r\n", "VALUE soon 0 1\r\nx\r\nEND\r\n");
    rig->now_s = start_s + 10;
    rig_expect(rig, "get soon\r\n", "END\r\n");
    rig->now_s = start_s + 19;
    rig_expect(rig, "get unix\r\n", "VALUE unix 0 1\r\nx\r\nEND\r\n");
    rig->now_s = start_s + 20;
    rig_expect(rig, "get unix\r\n", "END\r\n");
    rig->now_s = start_s + 30 * DAY_S - 1;
    rig_expect(rig, "get month\r\n", "VALUE month 0 1\r\nx\r\nEND\r\n");
    rig->now_s = start_s + 30 * DAY_S;
    rig_expect(rig, "get month\r\n", "END\r\n");
    rig_expect(rig, "get never\r\n", "VALUE never 0 1\r\nx\r\nEND\r\n");
}

/* Another thread may still be in the second before: what is gone must be gone there too. */
static void test_expired_at_once_is_gone_in_the_past_too(void **state)
{
    struct rig *rig = *state;

    rig_expect(rig, "set a 0 -1 1\r\nx\r\n", "STORED\r\n");
    rig->now_s--;
    rig_expect(rig, "get a\r\n", "END\r\n");
}

static void test_touch_and_gat_set_the_expiry(void **state)
{
    struct rig *rig = *state;

    rig_expect(rig, "set a 5 10 1\r\nx\r\nset b 6 10 1\r\ny\r\n", "STORED\r\nSTORED\r\n");
    rig_expect(rig, "touch a 100\r\n", "TOUCHED\r\n");
    rig_expect(rig, "gat 0 b none a\r\n", "VALUE b 6 1\r\ny\r\nVALUE a 5 1\r\nx\r\nEND\r\n");
    rig->now_s += 5000;
    rig_expect(rig, "get a b\r\n", "VALUE a 5 1\r\nx\r\nVALUE b 6 1\r\ny\r\nEND\r\n");
    rig_expect(rig, "gat 10 a\r\n", "VALUE a 5 1\r\nx\r\nEND\r\n");
    rig->now_s += 10;
    rig_expect(rig, "get a\r\n", "END\r\n");
    rig_expect(rig, "gat -1 b\r\n", "VALUE b 6 1\r\ny\r\nEND\r\n");
    rig_expect(rig, "get b\r\n", "END\r\n");
    /* As memcached counts: a key of gat is a touch, and no get. */
    assert_int_equal(rig_stat(rig, "", "cmd_touch"), 6);
    assert_int_equal(rig_stat(rig, "", "touch_hits"), 5);
    assert_int_equal(rig_stat(rig, "", "touch_misses"), 1);
    assert_int_equal(rig_stat(rig, "", "cmd_get"), 4);
}

static void test_gats_shows_the_cas_that_touch_keeps(void **state)
{
    struct rig *rig = *state;
    unsigned long before = 0, after = 0;

    rig_expect(rig, "set a 0 10 1\r\nx\r\n", "STORED\r\n");
    assert_int_equal(sscanf(rig_ask(rig, "gets a\r\n"), "VALUE a 0 1 %lu", &before), 1);
    assert_int_equal(sscanf(rig_ask(rig, "gats 50 a\r\n"), "VALUE a 0 1 %lu", &after), 1);
    assert_int_equal(before, after);
}

static void test_flush_all(void **state)
{
    struct rig *rig = *state;

    rig_expect(rig, "set a 0 0 1\r\nx\r\nflush_all\r\nget a\r\n", "STORED\r\nOK\r\nEND\r\n");
    rig_expect(rig, "set a 0 0 1\r\nx\r\nget a\r\n", "STORED\r\nVALUE a 0 1\r\nx\r\nEND\r\n");
    rig_expect(rig, "flush_all 10\r\nget a\r\n", "OK\r\nVALUE a 0 1\r\nx\r\nEND\r\n");
    rig->now_s += 9;
    rig_expect(rig, "get a\r\n", "VALUE a 0 1\r\nx\r\nEND\r\n");
    rig->now_s += 1;
    rig_expect(rig, "get a\r\n", "END\r\n");
    rig_expect(rig, "set a 0 0 1\r\nx\r\nflush_all -1\r\nget a\r\n", "STORED\r\nOK\r\nEND\r\n");
    rig_expect(rig, "flush_all noreply\r\n", "");
    assert_int_equal(rig_stat(rig, "", "cmd_flush"), 4);
}

/* ---- limits ---- */

static void test_too_large(void **state)
{
    struct rig *rig = *state;
    const size_t value_bytes = 2 << 20;
    char *request = malloc(value_bytes + 100);
    static const struct {
        const char *verb;
        bool keeps;
    } cases[] = {{"set", false},   {"add", true},     {"replace", true},
                 {"append", true}, {"prepend", true}, {"cas", true}};

    assert_non_null(request);
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        rig_expect(rig, "set a 0 0 1\r\nx\r\n", "STORED\r\n");
        const int line = sprintf(request, "%s a 0 0 %zu%s\r\n", cases[i].verb, value_bytes,
                                 strcmp(cases[i].verb, "cas") == 0 ? " 1" : "");
        memset(request + line, 'v', value_bytes);
        memcpy(request + (size_t)line + value_bytes, "\r\n", 3);
        rig_expect(rig, request, "SERVER_ERROR object too large for cache\r\n");
        rig_expect(rig, "get a\r\n", cases[i].keeps ? "VALUE a 0 1\r\nx\r\nEND\r\n" : "END\r\n");
    }
    assert_int_equal(rig_stat(rig, "", "store_too_large"), 6);
    free(request);
}

/* Too large by its key alone: found by the cache, not by the parser. */
static void test_too_large_with_its_key(void **state)
{
    struct rig *rig = *state;
    const size_t value_bytes = (1 << 20) - 20;
    char *request = malloc(value_bytes + 100);

    assert_non_null(request);
    rig_expect(rig, "set a 0 0 1\r\nx\r\n", "STORED\r\n");
    const int line = sprintf(request, "set a 0 0 %zu\r\n", value_bytes);
    memset(request + line, 'v', value_bytes);
    memcpy(request + (size_t)line + value_bytes, "\r\n", 3);
    rig_expect(rig, request, "SERVER_ERROR object too large for cache\r\n");
    rig_expect(rig, "get a\r\n", "END\r\n");
    assert_int_equal(rig_stat(rig, "", "store_too_large"), 1);
    free(request);
}

static void test_full_without_eviction(void **state)
{
    struct rig *rig = rig_new("-m 8 -M");
    const size_t value_bytes = 60000;
    char *request = malloc(value_bytes + 100);
    unsigned stored = 0;
    uint32_t random = 1;

    (void)state;
    assert_non_null(request);
    for (;;) {
        const int line = sprintf(request, "set k%u 0 0 %zu\r\n", stored, value_bytes);
        for (size_t i = 0; i < value_bytes; i++) {
            random = random * 1664525 + 1013904223;
            request[(size_t)line + i] = (char)(random >> 24);
        }
        memcpy(request + (size_t)line + value_bytes, "\r\n", 2);
        (void)rig_ask_bytes(rig, request, (size_t)line + value_bytes + 2);
        if (strcmp(rig->text, "STORED\r\n") != 0) {
            break;
        }
        stored++;
        assert_true(stored < 1000);
    }
    assert_string_equal(rig->text, "SERVER_ERROR out of memory storing object\r\n");
    assert_true(stored > 50);
    assert_int_equal(rig_stat(rig, "", "store_no_memory"), 1);
    assert_int_equal(rig_stat(rig, "", "evictions"), 0);
    assert_int_equal(rig_stat(rig, "", "curr_items"), stored);
    free(request);
    rig_free(rig);
}

/* ---- replies with little room ---- */

/* The bytes that come out are the same however often the reply had to be taken away in between. */
static void test_get_goes_on_where_it_stopped(void **state)
{
    struct rig *rig = *state;
    const size_t sizes[] = {0, 1, 200, 511, 512, 513, 900, 5000, 100000, 3, 70000};
    const size_t count = sizeof(sizes) / sizeof(sizes[0]);
    char *request = malloc(1 << 20);
    char get[256] = "get";

    assert_non_null(request);
    for (size_t i = 0; i < count; i++) {
        size_t at = (size_t)sprintf(request, "set key%zu %zu 0 %zu\r\n", i, i, sizes[i]);
        memset(request + at, (int)('a' + i), sizes[i]);
        at += sizes[i];
        memcpy(request + at, "\r\n", 3);
        rig_expect(rig, request, "STORED\r\n");
        (void)sprintf(get + strlen(get), " key%zu none", i);
    }
    strcat(get, "\r\n");
    rig->reply_bytes = RIG_TEXT_BYTES;
    char *whole = strdup(rig_ask(rig, get));
    assert_non_null(whole);
    assert_int_equal(rig->flushes, 0);
    for (size_t room = PROTOCOL_REPLY_BYTES_MAX; room < 2000; room += 37) {
        rig->reply_bytes = room;
        rig->flushes = 0;
        rig_expect(rig, get, whole);
        assert_true(rig->flushes > 0);
    }
    free(whole);
    free(request);
    /* A key that was answered in several steps counts once. */
    rig_expect(rig, "stats reset\r\n", "RESET\r\n");
    rig->reply_bytes = PROTOCOL_REPLY_BYTES_MAX;
    (void)rig_ask(rig, get);
    assert_int_equal(rig_stat(rig, "", "cmd_get"), 2 * count);
    assert_int_equal(rig_stat(rig, "", "get_hits"), count);
}

/* A get stops after each COMMAND_KEYS_MAX keys, but not where none is left; all are counted. */
static void test_many_keys_come_in_parts(void **state)
{
    struct rig *rig = *state;
    const unsigned counts[] = {1,  COMMAND_KEYS_MAX - 1, COMMAND_KEYS_MAX,
                               65, 2 * COMMAND_KEYS_MAX, 10 * COMMAND_KEYS_MAX + 1};
    static char request[16384];
    static char expected[65536];

    rig_expect(rig, "set a 0 0 1\r\n1\r\n", "STORED\r\n");
    rig->reply_bytes = RIG_TEXT_BYTES;
    for (size_t i = 0; i < sizeof(counts) / sizeof(counts[0]); i++) {
        size_t used = (size_t)sprintf(request, "get");
        size_t expected_used = 0;

        for (unsigned key = 0; key < counts[i]; key++) {
            used += (size_t)sprintf(request + used, key % 2 == 0 ? " a" : " none");
            if (key % 2 == 0) {
                expected_used += (size_t)sprintf(expected + expected_used, "VALUE a 0 1\r\n1\r\n");
            }
        }
        strcpy(request + used, "\r\n");
        strcpy(expected + expected_used, "END\r\n");
        rig->parts = 0;
        rig_expect(rig, "stats reset\r\n", "RESET\r\n");
        rig_expect(rig, request, expected);
        assert_int_equal(rig->parts, (counts[i] - 1) / COMMAND_KEYS_MAX);
        assert_int_equal(rig_stat(rig, "", "cmd_get"), counts[i]);
    }
}

/* ---- large values, stored in parts ---- */

#define LARGE_BYTES 500000u

/* One store that is executed part by part, with others in between. */
struct partwise {
    uint8_t *bytes;
    struct protocol_request request;
    uint8_t memory[4096];
    struct protocol_reply reply;
};

static void begin_store(struct partwise *store, const char *line)
{
    const size_t line_bytes = strlen(line);
    struct protocol_parsed parsed;

    store->bytes = malloc(line_bytes + LARGE_BYTES + 2);
    assert_non_null(store->bytes);
    memcpy(store->bytes, line, line_bytes);
    memset(store->bytes + line_bytes, 'v', LARGE_BYTES);
    memcpy(store->bytes + line_bytes + LARGE_BYTES, "\r\n", 2);
    assert_int_equal(protocol_parse(store->bytes, line_bytes + LARGE_BYTES + 2, 1 << 20, &parsed),
                     PROTOCOL_REQUEST);
    store->request = parsed.request;
    store->reply =
        (struct protocol_reply){.data = store->memory, .capacity = sizeof(store->memory)};
}

static enum command_outcome go_on(struct rig *rig, struct partwise *store)
{
    size_t room_bytes = 0;
    return command_execute(rig->command, &store->request, &store->reply, rig->now_s, &room_bytes);
}

static void expect_reply(struct partwise *store, const char *answer)
{
    assert_int_equal(store->reply.used, strlen(answer));
    assert_memory_equal(store->memory, answer, strlen(answer));
    free(store->bytes);
}

/* Whatever its line is like, of which the key is moved and more is repeated. */
static void test_large_store_in_parts(void **state)
{
    static const char *const cases[][2] = {
        {"set large 7 0 500000\r\n", "STORED\r\n"},
        {"set large 7 0 500000 noreply\r\n", ""},
        {"replace large 7 0 500000\r\n", "STORED\r\n"},
        {"ms large 500000 F7 k Oopaque s\r\n", "HD klarge Oopaque s500000\r\n"},
        {"ms bGFyZ2U= 500000 b F7 k O123\r\n", "HD kbGFyZ2U= b O123\r\n"},
        {"ms large 500000 F7 q\r\n", ""},
        {"ms large 500000 F7 ME k\r\n", "NS klarge\r\n"},
    };
    struct rig *rig = *state;
    struct partwise store;

    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        unsigned parts = 0;
        rig_expect(rig, "stats reset\r\n", "RESET\r\n");
        begin_store(&store, cases[i][0]);
        while (go_on(rig, &store) == COMMAND_PAUSE) {
            assert_int_equal(store.reply.used, 0);
            assert_int_equal(rig_stat(rig, "", "cmd_set"), parts++);
            rig_expect(rig, "set other 0 0 1\r\n1\r\n", "STORED\r\n");
        }
        assert_int_equal(parts, LARGE_BYTES / (64 << 10));
        assert_int_equal(rig_stat(rig, "", "cmd_set"), parts + 1);
        expect_reply(&store, cases[i][1]);
        assert_memory_equal(rig_ask(rig, "get large\r\n"), "VALUE large 7 500000\r\nvvvv", 26);
    }
}

static uint64_t pages_used(struct rig *rig)
{
    return rig_stat(rig, "zbud", "pages_total") - rig_stat(rig, "zbud", "pages_free");
}

/* It begins when what was answered before it is on its way. */
static void test_large_store_after_an_answer(void **state)
{
    struct rig *rig = *state;
    struct partwise store;
    const uint64_t pages = pages_used(rig);

    begin_store(&store, "set large 0 0 500000\r\n");
    store.reply.used = 1;
    assert_int_equal(go_on(rig, &store), COMMAND_PAUSE);
    assert_int_equal(go_on(rig, &store), COMMAND_PAUSE);
    assert_int_equal(pages_used(rig), pages);
    store.reply.used = 0;
    assert_int_equal(go_on(rig, &store), COMMAND_PAUSE);
    assert_true(pages_used(rig) > pages);
    /* Refused at last, or its connection gone: nothing of it is left. */
    command_refuse(rig->command, &store.request, &store.reply, rig->now_s);
    expect_reply(&store, "SERVER_ERROR out of memory storing object\r\n");
    assert_int_equal(pages_used(rig), pages);
    begin_store(&store, "ms large 500000\r\n");
    assert_int_equal(go_on(rig, &store), COMMAND_PAUSE);
    command_forget(rig->command, &store.request);
    expect_reply(&store, "");
    assert_int_equal(pages_used(rig), pages);
    rig_expect(rig, "get large\r\n", "END\r\n");
}

static void test_needs_room_changes_nothing(void **state)
{
    struct rig *rig = *state;
    uint8_t memory[PROTOCOL_REPLY_BYTES_MAX];
    struct protocol_reply reply = {.data = memory, .used = 1, .capacity = sizeof(memory)};
    char text[] = "a5";
    size_t room_bytes = 0;
    struct protocol_request request = {
        .verb = PROTOCOL_INCR, .key = {(uint8_t *)text, 1}, .delta = 1};

    rig_expect(rig, "set a 0 0 1\r\n1\r\n", "STORED\r\n");
    assert_int_equal(command_execute(rig->command, &request, &reply, rig->now_s, &room_bytes),
                     COMMAND_NEEDS_ROOM);
    assert_int_equal(room_bytes, PROTOCOL_REPLY_BYTES_MAX);
    assert_int_equal(reply.used, 1);
    rig_expect(rig, "get a\r\n", "VALUE a 0 1\r\n1\r\nEND\r\n");
}

static void test_refusals(void **state)
{
    static const struct {
        enum protocol_verb verb;
        bool removes;
        const char *line;
    } cases[] = {
        {PROTOCOL_GET, false, "SERVER_ERROR out of memory writing get response\r\n"},
        {PROTOCOL_GATS, false, "SERVER_ERROR out of memory writing get response\r\n"},
        {PROTOCOL_ADD, false, "SERVER_ERROR out of memory storing object\r\n"},
        {PROTOCOL_SET, true, "SERVER_ERROR out of memory storing object\r\n"},
        {PROTOCOL_STATS, false, "SERVER_ERROR out of memory writing stats\r\n"},
        {PROTOCOL_DELETE, false, "SERVER_ERROR out of memory reading request\r\n"},
    };
    struct rig *rig = *state;
    char text[] = "a";

    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        char memory[PROTOCOL_REPLY_BYTES_MAX + 1] = "";
        struct protocol_reply reply = {.data = (uint8_t *)memory,
                                       .capacity = PROTOCOL_REPLY_BYTES_MAX};
        struct protocol_request request = {.verb = cases[i].verb, .key = {(uint8_t *)text, 1}};
        rig_expect(rig, "set a 0 0 1\r\nx\r\n", "STORED\r\n");
        command_refuse(rig->command, &request, &reply, rig->now_s);
        assert_string_equal(memory, cases[i].line);
        rig_expect(rig, "get a\r\n", cases[i].removes ? "END\r\n" : "VALUE a 0 1\r\nx\r\nEND\r\n");
    }
}

/* ---- noreply and administration ---- */

static void test_noreply_is_silent(void **state)
{
    struct rig *rig = *state;
    static const char *const requests[] = {
        "set n 0 0 1 noreply\r\n5\r\n",
        "add n 0 0 1 noreply\r\n5\r\n",
        "replace n 0 0 1 noreply\r\n6\r\n",
        "append n 0 0 1 noreply\r\n7\r\n",
        "prepend n 0 0 1 noreply\r\n1\r\n",
        "cas n 0 0 1 1 noreply\r\n9\r\n",
        "cas none 0 0 1 1 noreply\r\n9\r\n",
        "incr n 1 noreply\r\n",
        "decr n 2 noreply\r\n",
        "incr none 1 noreply\r\n",
        "touch n 0 noreply\r\n",
        "touch none 0 noreply\r\n",
        "delete none noreply\r\n",
        "verbosity 0 noreply\r\n",
        "cache_memlimit 4 noreply\r\n",
        "cache_memlimit 16 noreply\r\n",
        "set n 0 0 1 noreply\r\n5xx\r\n",
    };

    for (size_t i = 0; i + 1 < sizeof(requests) / sizeof(requests[0]); i++) {
        rig_expect(rig, requests[i], "");
    }
    /* 5, replaced by 6, 67, 167, 168, 166 */
    rig_expect(rig, "get n\r\n", "VALUE n 0 3\r\n166\r\nEND\r\n");
    rig_expect(rig, "delete n noreply\r\nget n\r\n", "END\r\n");
}

static void test_administration(void **state)
{
    struct rig *rig = *state;

    rig_expect(rig, "version\r\n", "VERSION 1.6.45\r\n");
    rig_expect(rig, "verbosity 1\r\n", "OK\r\n");
    rig_expect(rig, "verbosity 99\r\n", "OK\r\n");
    rig_expect(rig, "verbosity 0\r\n", "OK\r\n");
    rig_expect(rig, "verbosity\r\n", "CLIENT_ERROR bad command line format\r\n");
    rig_expect(rig, "quit\r\n", "");
    assert_int_equal(rig->outcome, COMMAND_CLOSE);
    rig_expect(rig, "shutdown\r\n", "SERVER_ERROR: shutdown not enabled\r\n");
    assert_int_equal(rig->outcome, COMMAND_DONE);
}

static void test_memlimit(void **state)
{
    struct rig *rig = *state;
    struct budget_figures before, after;

    budget_figures(rig->shared.budget, &before);
    rig_expect(rig, "cache_memlimit 32\r\n", "OK\r\n");
    assert_int_equal(rig_stat(rig, "", "limit_maxbytes"), 32 << 20);
    assert_int_equal(rig_stat(rig, "settings", "maxbytes"), 32 << 20);
    budget_figures(rig->shared.budget, &after);
    assert_int_equal(after.share_bytes, 2 * before.share_bytes);
    rig_expect(rig, "cache_memlimit 7\r\n",
               "MEMLIMIT_TOO_SMALL cannot set maxbytes to less than 8m\r\n");
    rig_expect(rig, "cache_memlimit 1000000001\r\n",
               "MEMLIMIT_ADJUST_FAILED input value is megabytes not bytes\r\n");
    rig_expect(rig, "cache_memlimit 1000000\r\n",
               "MEMLIMIT_ADJUST_FAILED out of bounds or unable to adjust\r\n");
    rig_expect(rig, "cache_memlimit\r\n", "ERROR\r\n");
    assert_int_equal(rig_stat(rig, "", "limit_maxbytes"), 32 << 20);
}

/* What is charged for good must fit below a new limit, and leave a cache; what connections hold at
 * the moment need not. */
static void test_memlimit_leaves_room(void **state)
{
    const char *const refusal = "MEMLIMIT_ADJUST_FAILED out of bounds or unable to adjust\r\n";
    struct rig *rig = *state;
    struct budget_figures figures;
    const size_t held_bytes = (size_t)14 << 20;

    rig_expect(rig, "cache_memlimit 32\r\n", "OK\r\n");
    assert_true(budget_take(rig->shared.budget, held_bytes));
    rig_expect(rig, "cache_memlimit 16\r\n", "OK\r\n");
    assert_false(budget_take(rig->shared.budget, 1));
    budget_give(rig->shared.budget, held_bytes);
    budget_tidy(rig->shared.budget);
    budget_figures(rig->shared.budget, &figures);
    assert_int_equal(figures.charged_bytes, (16 << 20) / 64);
    assert_true(budget_take(rig->shared.budget, (size_t)7 << 20));
    budget_give(rig->shared.budget, (size_t)7 << 20);
    budget_tidy(rig->shared.budget);

    assert_int_equal(cache_charge(rig->cache, (size_t)12 << 20), CACHE_OK);
    rig_expect(rig, "cache_memlimit 12\r\n", refusal);
    rig_expect(rig, "cache_memlimit 8\r\n", refusal);
    assert_int_equal(rig_stat(rig, "", "limit_maxbytes"), 16 << 20);
    cache_uncharge(rig->cache, (size_t)12 << 20);
    rig_expect(rig, "cache_memlimit 8\r\n", "OK\r\n");
    rig_expect(rig, "cache_memlimit 64\r\n", "OK\r\n");
    budget_figures(rig->shared.budget, &figures);
    assert_true(figures.charged_bytes >= (64 << 20) / 64);
}

/* With the clock given to it, to the second. */
static void test_meta_times(void **state)
{
    struct rig *rig = *state;

    rig_expect(rig, "ms a 1 T20\r\nx\r\n", "HD\r\n");
    rig_expect(rig, "mg a t R20\r\n", "HD t20\r\n");
    rig->now_s += 5;
    rig_expect(rig, "mg a t T-1 u\r\n", "HD t15\r\n");
    rig_expect(rig, "mg a\r\n", "EN\r\n");
    rig_expect(rig, "ms a 1 T20\r\nx\r\n", "HD\r\n");
    rig_expect(rig, "mg a t R21 T60 t\r\n", "CLIENT_ERROR duplicate flag\r\n");
    rig_expect(rig, "mg a R21 T60 t\r\n", "HD t60 W\r\n");
    assert_non_null(strstr(rig_ask(rig, "me a\r\n"), "ME a exp=60 la=0 cas="));
    rig->now_s += 59;
    rig_expect(rig, "mg a t\r\n", "HD t1 Z\r\n");
    rig->now_s += 1;
    rig_expect(rig, "mg a t\r\n", "EN\r\n");
    rig_expect(rig, "ma n t N30 J4\r\n", "HD t-1\r\n");
    rig_expect(rig, "ma n t v\r\n", "VA 1 t30\r\n5\r\n");
    rig->now_s += 30;
    rig_expect(rig, "ma n t v\r\n", "NF\r\n");
    rig_expect(rig, "mg v N1 t\r\n", "HD t1 W\r\n");
    rig->now_s += 1;
    rig_expect(rig, "mg v N1 t\r\n", "HD t1 W\r\n");
}

/* A chosen cas is the item's until the next store, and is compared like any. */
static void test_meta_chosen_cas(void **state)
{
    struct rig *rig = *state;

    rig_expect(rig, "ms a 1 E77 c\r\nx\r\n", "HD c77\r\n");
    rig_expect(rig, "gets a\r\n", "VALUE a 0 1 77\r\nx\r\nEND\r\n");
    rig_expect(rig, "touch a 100\r\n", "TOUCHED\r\n");
    rig_expect(rig, "mg a c t\r\n", "HD c77 t100\r\n");
    rig_expect(rig, "ms a 1 C76 E99\r\ny\r\n", "EX\r\n");
    rig_expect(rig, "ms a 1 C77 E99 c\r\ny\r\n", "HD c99\r\n");
    rig_expect(rig, "ms a 1 C98 I E120 c\r\nz\r\n", "HD c120\r\n");
    rig_expect(rig, "mg a c v\r\n", "VA 1 c120 X W\r\nz\r\n");
    rig_expect(rig, "md a I E130 C120\r\nmg a c v\r\n", "HD\r\nVA 1 c130 X W\r\nz\r\n");
    rig_expect(rig, "md a x E140\r\nmg a c s\r\n", "HD\r\nHD c140 s0\r\n");
    rig_expect(rig, "ms a 2 MA C140 E150 c s\r\n12\r\n", "HD c150 s2\r\n");
    rig_expect(rig, "ma a C150 E160 c v\r\n", "VA 2 c160\r\n13\r\n");
    rig_expect(rig, "md a x\r\nmg a c\r\n", "HD\r\nHD c160\r\n");
    rig_expect(rig, "mg b N0 E9 c\r\nmg b c\r\n", "HD c9 W\r\nHD c9 Z\r\n");
    rig_expect(rig, "ma n N0 E18446744073709551615 c\r\n", "HD c18446744073709551615\r\n");
    rig_expect(rig, "cas n 0 0 1 18446744073709551615\r\n7\r\n", "STORED\r\n");
    rig_expect(rig, "cas n 0 0 1 18446744073709551615\r\n8\r\n", "EXISTS\r\n");
    rig_expect(rig, "mg b C9 v s\r\nmg b C8 v s\r\n", "HD s0 Z\r\nVA 0 s0 Z\r\n\r\n");
}

/* As memcached counts: see README.md. */
static void test_meta_counts(void **state)
{
    struct rig *rig = *state;

    (void)rig_ask(rig, "mg a\r\nmg a T5\r\nms a 1\r\n5\r\nmg a v\r\nmg a T50\r\nmg b N0\r\n");
    assert_int_equal(rig_stat(rig, "", "cmd_get"), 4);
    assert_int_equal(rig_stat(rig, "", "get_hits"), 2);
    assert_int_equal(rig_stat(rig, "", "get_misses"), 2);
    assert_int_equal(rig_stat(rig, "", "cmd_touch"), 1);
    assert_int_equal(rig_stat(rig, "", "touch_hits"), 1);
    assert_int_equal(rig_stat(rig, "", "touch_misses"), 0);
    (void)rig_ask(rig,
                  "ms c 1 C1\r\nx\r\nms a 1 C1 q\r\nx\r\nma a\r\nma c\r\nma a MD\r\nma c MD\r\n");
    assert_int_equal(rig_stat(rig, "", "cmd_set"), 3);
    assert_int_equal(rig_stat(rig, "", "cas_misses"), 1);
    assert_int_equal(rig_stat(rig, "", "cas_badval"), 1);
    assert_int_equal(rig_stat(rig, "", "incr_hits"), 1);
    assert_int_equal(rig_stat(rig, "", "incr_misses"), 1);
    assert_int_equal(rig_stat(rig, "", "decr_hits"), 1);
    assert_int_equal(rig_stat(rig, "", "decr_misses"), 1);
    (void)rig_ask(rig, "md a I\r\nmd a C1\r\nmd a\r\nmd a\r\nme a\r\nme b\r\n");
    assert_int_equal(rig_stat(rig, "", "delete_hits"), 1);
    assert_int_equal(rig_stat(rig, "", "delete_misses"), 2);
    assert_int_equal(rig_stat(rig, "", "cmd_meta"), 2);
}

/* COMMAND-1 and 2: a value that has no room has changed nothing, and nobody has won by it. */
static void test_meta_needs_room(void **state)
{
    struct rig *rig = *state;
    char *request = calloc(1, 9000), *answer = calloc(1, 9000);

    assert_true(request != NULL && answer != NULL);
    (void)sprintf(request, "ms a 8000 T100\r\n");
    memset(request + strlen(request), 'v', 8000);
    (void)strcat(request, "\r\nmd a I\r\n");
    rig_expect(rig, request, "HD\r\nHD\r\n");
    rig->reply_bytes = PROTOCOL_REPLY_BYTES_MAX;
    (void)sprintf(answer, "HD W\r\nVA 8000 s8000 h0 X W\r\n");
    memset(answer + strlen(answer), 'v', 8000);
    (void)strcat(answer, "\r\n");
    rig_expect(rig, "mg b N0 q\r\nmg a v s h T5\r\n", answer);
    assert_true(rig->flushes > 0);
    rig_expect(rig, "mg a s t h\r\n", "HD s8000 t5 h1 Z X\r\n");
    free(request);
    free(answer);
}

/* What there is no memory for. A store takes the old item along, in every mode. */
static void test_meta_refused(void **state)
{
    struct rig *rig = *state;
    static const char *const lines[] = {"ms dGVzdA== 1 b ME", "ms test 1 MA q"};

    for (size_t i = 0; i < sizeof(lines) / sizeof(lines[0]); i++) {
        char line[64];
        struct protocol_parsed parsed;
        uint8_t bytes[PROTOCOL_REPLY_BYTES_MAX];
        struct protocol_reply reply = {.data = bytes, .capacity = sizeof(bytes)};
        rig_expect(rig, "set test 0 0 1\r\nx\r\n", "STORED\r\n");
        const int count = snprintf(line, sizeof(line), "%s\r\nx\r\n", lines[i]);
        assert_int_equal(protocol_parse((uint8_t *)line, (size_t)count, 100, &parsed),
                         PROTOCOL_REQUEST);
        command_refuse(rig->command, &parsed.request, &reply, rig->now_s);
        assert_int_equal(reply.used, 43);
        assert_memory_equal(bytes, "SERVER_ERROR out of memory storing object\r\n", 43);
        rig_expect(rig, "get test\r\n", "END\r\n");
    }
}

static void test_options(void **state)
{
    struct rig *rig = rig_new("-m 16 -A -F -C -X");

    (void)state;
    rig_expect(rig, "shutdown\r\n", "");
    assert_int_equal(rig->outcome, COMMAND_SHUTDOWN);
    rig_expect(rig, "shutdown graceful\r\n", "");
    assert_int_equal(rig->outcome, COMMAND_SHUTDOWN_GRACEFUL);
    rig_expect(rig, "shutdown now\r\n", "CLIENT_ERROR invalid shutdown mode\r\n");
    assert_int_equal(rig->outcome, COMMAND_DONE);
    rig_expect(rig, "set a 0 0 1\r\nx\r\n", "STORED\r\n");
    rig_expect(rig, "flush_all\r\n", "CLIENT_ERROR flush_all not allowed\r\n");
    rig_expect(rig, "gets a\r\n", "VALUE a 0 1 0\r\nx\r\nEND\r\n");
    rig_expect(rig, "mg a c v\r\n", "VA 1 c0\r\nx\r\n");
    rig_expect(rig, "ms a 1 c\r\ny\r\n", "HD c0\r\n");
    rig_expect(rig, "stats check\r\n", "CLIENT_ERROR stats check not allowed\r\n");
    rig_free(rig);
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_storage_statuses, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_cas, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_multiget_keeps_the_order_asked, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_any_byte_in_key_and_value, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_longest_key, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_delete_and_touch, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_arithmetic, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_expiry, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_expired_at_once_is_gone_in_the_past_too, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(test_touch_and_gat_set_the_expiry, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_gats_shows_the_cas_that_touch_keeps, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(test_flush_all, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_too_large, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_too_large_with_its_key, set_up, tear_down),
        cmocka_unit_test(test_full_without_eviction),
        cmocka_unit_test_setup_teardown(test_get_goes_on_where_it_stopped, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_many_keys_come_in_parts, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_large_store_in_parts, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_large_store_after_an_answer, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_needs_room_changes_nothing, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_refusals, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_noreply_is_silent, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_administration, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_memlimit, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_memlimit_leaves_room, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_meta_times, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_meta_chosen_cas, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_meta_counts, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_meta_needs_room, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_meta_refused, set_up, tear_down),
        cmocka_unit_test(test_options),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
