/*
 * turn_test.c - turns of connections without a thread: where there is no memory left who is told,
 * who is closed, and that the server goes on; and that a request is timed once, as a whole.
 */
/* cmocka.h stands on the four before it. */
/* clang-format off */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
/* clang-format on */

#include "server/budget.h"
#include "server/cache/cache.h"
#include "server/counters.h"
#include "server/limits.h"
#include "tests/fuzz/within.h"
#include "tests/instrumented.h"

#include <inttypes.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define KEY_BYTES    200
#define VALUE_BYTES  40000
#define ANSWER_BYTES (4u << 20)
#define STEPS        21u /* blocks from 1 byte to 1 MiB */
#define ASKED_BYTES  (512u << 10)
#define RANDOM_STEPS (INSTRUMENTED ? 3000u : 10000u)

/* What a client of the random test is about to send. */
struct asked {
    char text[2 * ASKED_BYTES];
    size_t bytes, at;
};

/* ---- memory that is not there ---- */

/* Takes what connections may still hold, in blocks of 2^@smallest bytes at the least. */
static void take_all(struct budget *budget, unsigned smallest, unsigned *taken)
{
    for (unsigned step = STEPS; step-- > smallest;) {
        for (taken[step] = 0; budget_take(budget, (size_t)1 << step); taken[step]++) {
        }
    }
}

static void give_all(struct budget *budget, unsigned smallest, const unsigned *taken)
{
    for (unsigned step = STEPS; step-- > smallest;) {
        for (unsigned i = 0; i < taken[step]; i++) {
            budget_give(budget, (size_t)1 << step);
        }
    }
}

/* ---- talking ---- */

static void ask(struct within *within, const char *text, size_t bytes)
{
    assert_int_equal(within_send(within, 0, text, bytes), bytes);
    within_run(within);
}

/* All that comes, ended by a NUL, until nothing does; false: the server has closed. */
static bool hear(struct within *within, char *answer, size_t *bytes)
{
    bool closed = false;
    size_t came = 0;

    *bytes = 0;
    do {
        came = within_read(within, 0, answer + *bytes, ANSWER_BYTES - *bytes, &closed);
        *bytes += came;
        within_run(within);
    } while (came > 0);
    answer[*bytes] = '\0';
    return !closed;
}

/* ---- tests ---- */

/* Its line needs memory until the rest has come, and a value that has no bytes cannot be dropped
 * in its stead. */
static void test_empty_value_without_memory(void **state)
{
    static const char *const lines[] = {"set k 0 0 0\r\n", "ms k 0\r\n", "set k 0 0 1\r\n", "ge"};
    struct within *within = within_new("-m 16", NULL, NULL);
    struct budget *budget = within->rig->shared.budget;
    char *answer = malloc(ANSWER_BYTES + 1);
    unsigned taken[STEPS];
    size_t bytes;

    (void)state;
    assert_non_null(answer);
    for (size_t i = 0; i < sizeof(lines) / sizeof(lines[0]); i++) {
        within_dial(within, 0, 0);
        take_all(budget, 0, taken);
        ask(within, lines[i], strlen(lines[i]));
        assert_false(hear(within, answer, &bytes));
        assert_string_equal(answer, "SERVER_ERROR out of memory reading request\r\n");
        give_all(budget, 0, taken);
        within_hang_up(within, 0);
    }
    within_dial(within, 0, 0);
    ask(within, "set k 0 0 0\r\n", 13);
    ask(within, "\r\n", 2);
    assert_true(hear(within, answer, &bytes));
    assert_string_equal(answer, "STORED\r\n");
    within_free(within);
    free(answer);
}

/* A get that is longer than there is memory for, and whose answers nobody reads: what could not be
 * sent is kept, what was asked beyond that cannot be. The client gets what was kept, and no word in
 * the middle of it. */
static void test_unread_answers_without_memory(void **state)
{
    const size_t line_bytes = 64 << 10, spare_bytes = 48 << 10; /* a worker's input, and less */
    struct within *within = within_new("-m 16", NULL, NULL);
    struct budget *budget = within->rig->shared.budget;
    char *answer = malloc(ANSWER_BYTES + 1), *text = malloc(line_bytes),
         *value = malloc(2 * line_bytes);
    unsigned taken[STEPS];
    size_t bytes;

    (void)state;
    assert_true(answer != NULL && text != NULL && value != NULL);
    within_dial(within, 0, 0);
    memset(text, 'k', line_bytes);
    size_t line = (size_t)sprintf(value, "set %.*s 0 0 %d\r\n", KEY_BYTES, text, VALUE_BYTES);
    memset(value + line, 'v', VALUE_BYTES);
    memcpy(value + line + VALUE_BYTES, "\r\n", 2);
    ask(within, value, line + VALUE_BYTES + 2);
    assert_true(hear(within, answer, &bytes));
    assert_string_equal(answer, "STORED\r\n");

    assert_true(budget_take(budget, spare_bytes));
    take_all(budget, 13, taken);
    budget_give(budget, spare_bytes);
    memcpy(text, "get", 3);
    for (size_t at = 3; at + KEY_BYTES + 3 <= line_bytes; at += KEY_BYTES + 1) {
        text[at] = ' ';
    }
    memcpy(text + line_bytes - 2, "\r\n", 2);
    ask(within, text, line_bytes);
    assert_false(hear(within, answer, &bytes));

    line = (size_t)sprintf(value, "VALUE %.*s 0 %d\r\n", KEY_BYTES, text + 4, VALUE_BYTES);
    memset(value + line, 'v', VALUE_BYTES);
    memcpy(value + line + VALUE_BYTES, "\r\n", 2);
    const size_t one_bytes = line + VALUE_BYTES + 2;
    assert_true(bytes > 0 && bytes % one_bytes == 0);
    for (size_t at = 0; at < bytes; at += one_bytes) {
        assert_memory_equal(answer + at, value, one_bytes);
    }
    give_all(budget, 13, taken);
    within_free(within);
    free(answer);
    free(text);
    free(value);
}

/* ---- at random ---- */

static uint32_t draw(uint64_t *random)
{
    *random = *random * 6364136223846793005u + 1442695040888963407u;
    return (uint32_t)(*random >> 33);
}

static size_t make_request(char *text, uint64_t *random)
{
    static const char *const others[] = {
        "get k0\r\n",         "get k0 k1 k2 k3 k4 k5 k6\r\n", "gat 0 k5 k6\r\n",    "mg k4 v k\r\n",
        "stats settings\r\n", "lru_crawler metadump all\r\n", "incr k1 1\r\n",      "delete k2\r\n",
        "nonsense\r\n",       "set k0 0 0 300000000\r\n",     "set k1 0 0 3\r\nab",
    };
    static const unsigned sizes[] = {0, 1, 500, 5000, 40000, 70000, 300000};
    const unsigned value_bytes = sizes[draw(random) % 7], key = draw(random) % 7;

    if (draw(random) % 3 == 0) {
        return (size_t)sprintf(text, "%s", others[draw(random) % 11]);
    }
    const size_t line = draw(random) % 2 == 0
                            ? (size_t)sprintf(text, "set k%u 0 0 %u\r\n", key, value_bytes)
                            : (size_t)sprintf(text, "ms k%u %u\r\n", key, value_bytes);
    memset(text + line, 'v', value_bytes);
    memcpy(text + line + value_bytes, "\r\n", 2);
    return line + value_bytes + 2;
}

/* A piece of what @link asks: any part of it, and where that is all the next request. */
static void send_piece(struct within *within, unsigned link, struct asked *asked, uint64_t *random)
{
    if (asked->at == asked->bytes) {
        asked->at = 0;
        for (asked->bytes = 0; asked->bytes < ASKED_BYTES && draw(random) % 4 != 0;) {
            asked->bytes += make_request(asked->text + asked->bytes, random);
        }
    }
    const size_t rest = asked->bytes - asked->at;
    const size_t count = draw(random) % 3 == 0 ? rest : draw(random) % (rest + 1);
    asked->at += within_send(within, link, asked->text + asked->at, count);
}

/* Whatever is asked, sent and read in whatever pieces, while memory comes and goes: nothing but an
 * answer or an end comes of it, and all memory comes back. */
static void test_random_without_memory(void **state)
{
    const char *given = getenv("TEST_SEED");
    const uint64_t seed = given != NULL ? strtoull(given, NULL, 10) : 20261129;
    uint64_t random = seed;
    struct within *within = within_new("-m 16 -I 2m", NULL, NULL);
    struct budget *budget = within->rig->shared.budget;
    struct asked *asked = calloc(WITHIN_LINKS_MAX, sizeof(*asked));
    char *answer = malloc(ANSWER_BYTES);
    unsigned taken[STEPS], smallest = STEPS;

    (void)state;
    print_message("TEST_SEED=%" PRIu64 "\n", seed);
    assert_true(asked != NULL && answer != NULL);
    for (unsigned step = 0; step < RANDOM_STEPS; step++) {
        const unsigned link = draw(&random) % WITHIN_LINKS_MAX;
        bool closed = false;
        if (within->fds[link] < 0) {
            within_dial(within, link, 0);
            asked[link].at = asked[link].bytes;
        }
        switch (draw(&random) % 8) {
        case 0:
            give_all(budget, smallest, taken);
            smallest = STEPS;
            break;
        case 1:
            give_all(budget, smallest, taken);
            smallest = draw(&random) % STEPS;
            take_all(budget, smallest, taken);
            break;
        case 2:
        case 3:
            (void)within_read(within, link, answer, draw(&random) % ANSWER_BYTES + 1, &closed);
            break;
        default:
            send_piece(within, link, &asked[link], &random);
            break;
        }
        if (closed) {
            within_hang_up(within, link);
        }
        within_run(within);
        if (draw(&random) % 16 == 0) {
            within_upkeep(within);
        }
    }
    give_all(budget, smallest, taken);
    cache_check(within->rig->cache);
    within_free(within); /* budget_free() asserts that all came back */
    free(asked);
    free(answer);
}

/* ---- time ---- */

static uint64_t timed(const struct within *within, enum counter first)
{
    uint64_t sum = 0;

    for (unsigned i = 0; i < COUNTERS_TIMES; i++) {
        sum += counters_sum(within->rig->counters, (enum counter)(first + i));
    }
    return sum;
}

/* One request in so many is timed, be it served in one part or in several: here it is a large store
 * each time. */
static void test_timed_as_a_whole(void **state)
{
    const size_t value_bytes = 200000;
    const unsigned rounds = 20;
    struct within *within = within_new("-m 16", NULL, NULL);
    char *answer = malloc(ANSWER_BYTES + 1), *text = malloc(value_bytes + 64);
    size_t bytes;

    (void)state;
    assert_true(answer != NULL && text != NULL);
    size_t store_bytes = (size_t)sprintf(text, "set large 0 0 %zu\r\n", value_bytes);
    memset(text + store_bytes, 'v', value_bytes);
    memcpy(text + store_bytes + value_bytes, "\r\n", 2);
    store_bytes += value_bytes + 2;
    within_dial(within, 0, 0);
    for (unsigned round = 0; round < rounds; round++) {
        for (size_t at = 0; at < store_bytes;) {
            at += within_send(within, 0, text + at, store_bytes - at);
            within_run(within);
        }
        for (unsigned i = 1; i < LIMITS_TIMED_EVERY; i++) {
            ask(within, "get none\r\n", 10);
        }
        assert_true(hear(within, answer, &bytes));
        assert_memory_equal(answer, "STORED\r\nEND\r\n", 13);
    }
    assert_int_equal(timed(within, COUNTER_STORE_TIMES), rounds);
    assert_int_equal(timed(within, COUNTER_GET_TIMES), 0);
    within_free(within);
    free(answer);
    free(text);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_empty_value_without_memory),
        cmocka_unit_test(test_unread_answers_without_memory),
        cmocka_unit_test(test_random_without_memory),
        cmocka_unit_test(test_timed_as_a_whole),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
