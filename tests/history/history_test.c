/*
 * history_test.c - the checker of histories itself: what a cell did is explained, and violations
 * of every sort, planted, are found.
 */
/* cmocka.h stands on the four before it. */
/* clang-format off */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
/* clang-format on */

#include "tests/history/history.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

/* ---- by hand ---- */

enum {
    KEY = 7,
    EVENTS_MAX = 16
};

static struct history_event event(unsigned client, uint64_t sent, uint64_t answered,
                                  enum history_operation operation, enum history_answer answer,
                                  struct history_value value, uint64_t argument)
{
    return (struct history_event){
        .sent_ns = sent,
        .answered_ns = answered,
        .value = value,
        .argument = argument,
        .key = operation == HISTORY_FLUSH ? HISTORY_ALL_KEYS : KEY,
        .client = (uint16_t)client,
        .operation = (uint8_t)operation,
        .answer = (uint8_t)answer,
    };
}

/* A client, its two times, what it did. A value is a piece's number; where none matters, 0. */
#define DID(client, sent, answered, operation, answer, value, argument) \
    event(client, sent, answered, HISTORY_##operation, HISTORY_##answer, piece(value), argument)
#define COUNTED(client, sent, answered, operation, number, by) \
    event(client, sent, answered, HISTORY_##operation, HISTORY_DONE, history_number(number), by)

static struct history_value piece(uint64_t number)
{
    return number != 0 ? history_piece(number) : (struct history_value){0, 0};
}

static bool explained(const struct history_event *events, size_t count, bool evicts)
{
    struct history_event copies[EVENTS_MAX];
    struct history_fault fault;

    assert(count <= EVENTS_MAX);
    memcpy(copies, events, count * sizeof(events[0]));
    const bool good = history_check(copies, count, evicts, &fault);
    assert_int_equal(good, fault.what == NULL);
    if (!good) {
        assert_int_equal(fault.key, KEY);
    }
    return good;
}

/* Not even where items may be lost. */
#define ASSERT_NEVER(...)                                      \
    do {                                                       \
        const struct history_event events[] = {__VA_ARGS__};   \
        assert_false(explained(events, COUNT(events), true));  \
        assert_false(explained(events, COUNT(events), false)); \
    } while (0)

/* Where items may be lost, and not otherwise. */
#define ASSERT_EVICTED(...)                                    \
    do {                                                       \
        const struct history_event events[] = {__VA_ARGS__};   \
        assert_true(explained(events, COUNT(events), true));   \
        assert_false(explained(events, COUNT(events), false)); \
    } while (0)

#define ASSERT_GOOD(...)                                      \
    do {                                                      \
        const struct history_event events[] = {__VA_ARGS__};  \
        assert_true(explained(events, COUNT(events), true));  \
        assert_true(explained(events, COUNT(events), false)); \
    } while (0)

static void test_stale_reads(void **state)
{
    (void)state;
    ASSERT_GOOD(DID(0, 1, 2, SET, DONE, 1, 0), DID(1, 3, 4, GET, DONE, 1, 0));
    /* After an acknowledged set. */
    ASSERT_NEVER(DID(0, 1, 2, SET, DONE, 1, 0), DID(0, 3, 4, SET, DONE, 2, 0),
                 DID(1, 5, 6, GET, DONE, 1, 0));
    /* While it is under way both are good, but not the old one after the new one. */
    ASSERT_GOOD(DID(0, 1, 2, SET, DONE, 1, 0), DID(0, 3, 9, SET, DONE, 2, 0),
                DID(1, 4, 5, GET, DONE, 1, 0), DID(1, 6, 7, GET, DONE, 2, 0));
    ASSERT_NEVER(DID(0, 1, 2, SET, DONE, 1, 0), DID(0, 3, 9, SET, DONE, 2, 0),
                 DID(1, 4, 5, GET, DONE, 2, 0), DID(2, 6, 7, GET, DONE, 1, 0));
    /* After an acknowledged delete, and before anything was stored. */
    ASSERT_NEVER(DID(0, 1, 2, SET, DONE, 1, 0), DID(0, 3, 4, DELETE, DONE, 0, 0),
                 DID(1, 5, 6, GET, DONE, 1, 0));
    ASSERT_NEVER(DID(1, 1, 2, GET, DONE, 1, 0), DID(0, 3, 4, SET, DONE, 1, 0));
    /* A client's own order counts, even where its requests were under way together. */
    ASSERT_NEVER(DID(0, 1, 8, SET, DONE, 1, 0), DID(0, 2, 9, GET, MISSED, 0, 0),
                 DID(0, 3, 10, GET, DONE, 1, 0));
    /* Two that look do not see two sets in opposite orders. */
    ASSERT_NEVER(DID(0, 1, 20, SET, DONE, 1, 0), DID(1, 1, 20, SET, DONE, 2, 0),
                 DID(2, 2, 3, GET, DONE, 1, 0), DID(2, 4, 5, GET, DONE, 2, 0),
                 DID(3, 6, 7, GET, DONE, 1, 0));
}

static void test_evictions(void **state)
{
    (void)state;
    ASSERT_EVICTED(DID(0, 1, 2, SET, DONE, 1, 0), DID(1, 3, 4, GET, MISSED, 0, 0));
    ASSERT_EVICTED(DID(0, 1, 2, SET, DONE, 1, 0), DID(1, 3, 4, ADD, DONE, 2, 0),
                   DID(1, 5, 6, GET, DONE, 2, 0));
    ASSERT_EVICTED(DID(0, 1, 2, SET, DONE, 1, 0), DID(1, 3, 4, DELETE, MISSED, 0, 0));
    /* What was lost does not come back. */
    ASSERT_NEVER(DID(0, 1, 2, SET, DONE, 1, 0), DID(1, 3, 4, GET, MISSED, 0, 0),
                 DID(1, 5, 6, GET, DONE, 1, 0));
    ASSERT_NEVER(DID(0, 1, 2, SET, DONE, 1, 0), DID(1, 3, 4, TOUCH, MISSED, 0, 0),
                 DID(2, 5, 6, TOUCH, DONE, 0, 0));
}

static void test_conditions(void **state)
{
    (void)state;
    /* Add succeeds once between deletes. */
    ASSERT_GOOD(DID(0, 1, 9, ADD, DONE, 1, 0), DID(1, 1, 9, ADD, REFUSED, 2, 0));
    ASSERT_EVICTED(DID(0, 1, 9, ADD, DONE, 1, 0), DID(1, 1, 9, ADD, DONE, 2, 0));
    ASSERT_GOOD(DID(0, 1, 9, ADD, DONE, 1, 0), DID(1, 1, 9, ADD, DONE, 2, 0),
                DID(2, 1, 9, DELETE, DONE, 0, 0));
    ASSERT_NEVER(DID(0, 1, 2, ADD, REFUSED, 1, 0));
    ASSERT_NEVER(DID(0, 1, 2, REPLACE, DONE, 1, 0));
    ASSERT_NEVER(DID(0, 1, 2, DELETE, DONE, 0, 0));
    /* One delete of two that are under way finds what was stored once. */
    ASSERT_NEVER(DID(0, 1, 2, SET, DONE, 1, 0), DID(0, 3, 9, DELETE, DONE, 0, 0),
                 DID(1, 3, 9, DELETE, DONE, 0, 0));
    /* A store that failed may be tried again. */
    ASSERT_GOOD(DID(0, 1, 2, SET, FAILED, 1, 0), DID(0, 3, 4, GET, MISSED, 0, 0));
    ASSERT_NEVER(DID(0, 1, 2, SET, FAILED, 1, 0), DID(0, 3, 4, GET, DONE, 1, 0));
}

static void test_cas(void **state)
{
    (void)state;
    const struct history_event stored = DID(0, 1, 2, SET, DONE, 1, 0);
    const struct history_event read = DID(0, 3, 4, GET, DONE, 1, 50);

    ASSERT_GOOD(stored, read, DID(0, 5, 6, CAS, DONE, 2, 50), DID(1, 7, 8, CAS, REFUSED, 3, 50));
    /* Of two with one unique one succeeds. */
    ASSERT_NEVER(stored, read, DID(0, 5, 9, CAS, DONE, 2, 50), DID(1, 5, 9, CAS, DONE, 3, 50));
    /* It succeeds although somebody has stored since, or is refused although nobody has. */
    ASSERT_NEVER(stored, read, DID(1, 5, 6, SET, DONE, 2, 0), DID(0, 7, 8, CAS, DONE, 3, 50));
    ASSERT_NEVER(stored, read, DID(0, 5, 6, CAS, REFUSED, 2, 50));
    ASSERT_NEVER(stored, read, DID(0, 5, 6, CAS, DONE, 2, 50), DID(1, 7, 8, GET, DONE, 1, 50));
    /* A unique of two values, and a value with two. */
    ASSERT_NEVER(stored, read, DID(0, 5, 6, SET, DONE, 2, 0), DID(1, 7, 8, GET, DONE, 2, 50));
    ASSERT_NEVER(stored, read, DID(1, 7, 8, GET, DONE, 1, 51));
}

static void test_pieces(void **state)
{
    (void)state;
    const struct history_event stored = DID(0, 1, 2, SET, DONE, 1, 0);
    const struct history_value one = history_piece(1), two = history_piece(2),
                               three = history_piece(3);
    const struct history_value order = history_join(history_join(one, two), three),
                               other = history_join(history_join(one, three), two);
    const struct history_event both[] = {DID(0, 3, 9, APPEND, DONE, 2, 0),
                                         DID(1, 3, 9, APPEND, DONE, 3, 0)};

    assert_true(order.bits == history_join(one, history_join(two, three)).bits);
    assert_true(order.bits != other.bits);
    ASSERT_GOOD(stored, both[0], both[1], event(2, 10, 11, HISTORY_GET, HISTORY_DONE, order, 0));
    ASSERT_GOOD(stored, both[0], both[1], event(2, 10, 11, HISTORY_GET, HISTORY_DONE, other, 0));
    /* One is lost, one is there twice, and in one order now, in another then. */
    ASSERT_NEVER(stored, both[0], both[1],
                 event(2, 10, 11, HISTORY_GET, HISTORY_DONE, history_join(one, two), 0));
    ASSERT_NEVER(stored, both[0], both[1],
                 event(2, 10, 11, HISTORY_GET, HISTORY_DONE, history_join(order, two), 0));
    ASSERT_NEVER(stored, both[0], both[1], event(2, 10, 11, HISTORY_GET, HISTORY_DONE, order, 0),
                 event(3, 10, 11, HISTORY_GET, HISTORY_DONE, other, 0));
    ASSERT_GOOD(stored, DID(0, 3, 4, PREPEND, DONE, 2, 0),
                event(2, 10, 11, HISTORY_GET, HISTORY_DONE, history_join(two, one), 0));
    ASSERT_NEVER(stored, DID(0, 3, 4, PREPEND, DONE, 2, 0),
                 event(2, 10, 11, HISTORY_GET, HISTORY_DONE, history_join(one, two), 0));
    ASSERT_NEVER(DID(0, 3, 4, APPEND, DONE, 2, 0));
}

static void test_numbers(void **state)
{
    (void)state;
    const struct history_event stored = COUNTED(0, 1, 2, SET, 10, 0);

    ASSERT_GOOD(stored, COUNTED(1, 3, 9, INCR, 11, 1), COUNTED(2, 3, 9, INCR, 12, 1),
                COUNTED(3, 10, 11, DECR, 0, 40), COUNTED(3, 12, 13, GET, 0, 0));
    /* An increment is lost, seen by its answer or by who reads. */
    ASSERT_NEVER(stored, COUNTED(1, 3, 9, INCR, 11, 1), COUNTED(2, 3, 9, INCR, 11, 1));
    ASSERT_NEVER(stored, COUNTED(1, 3, 9, INCR, 11, 1), COUNTED(2, 3, 9, INCR, 12, 1),
                 COUNTED(3, 10, 11, GET, 11, 0));
    ASSERT_NEVER(stored, COUNTED(1, 3, 4, INCR, 13, 1));
    ASSERT_NEVER(COUNTED(1, 3, 4, INCR, 1, 1));
}

static void test_flush(void **state)
{
    (void)state;
    const struct history_event stored = DID(0, 1, 2, SET, DONE, 1, 0);

    ASSERT_GOOD(stored, DID(1, 3, 4, FLUSH, DONE, 0, 0), DID(0, 5, 6, GET, MISSED, 0, 0));
    ASSERT_NEVER(stored, DID(1, 3, 4, FLUSH, DONE, 0, 0), DID(0, 5, 6, GET, DONE, 1, 0));
    /* A flush and a store that overlap come in either order, and what looks on says in which. */
    ASSERT_GOOD(DID(0, 1, 9, SET, DONE, 1, 0), DID(1, 1, 9, FLUSH, DONE, 0, 0),
                DID(0, 10, 11, GET, MISSED, 0, 0));
    ASSERT_GOOD(DID(0, 1, 9, SET, DONE, 1, 0), DID(1, 1, 9, FLUSH, DONE, 0, 0),
                DID(0, 10, 11, GET, DONE, 1, 0));
    /* What was stored after it is still there. */
    ASSERT_EVICTED(DID(1, 1, 2, FLUSH, DONE, 0, 0), DID(0, 3, 4, SET, DONE, 1, 0),
                   DID(0, 5, 6, GET, MISSED, 0, 0));
}

/* ---- at random ---- */

enum {
    CLIENTS = 6,
    KEYS = 3,
    COUNTER = KEYS - 1, /* holds a number */
    RANDOM_EVENTS = 240,
    ROUNDS = 400
};

struct cell {
    bool present;
    struct history_value value;
    uint64_t unique;
};

/* A cell that clients use one at a time, at moments of their own between two they know of. */
struct simulation {
    uint64_t random;
    uint64_t written;
    struct cell cells[KEYS];
    uint64_t uniques[KEYS]; /* seen last */
    bool evicts;
    size_t count;
    struct history_event events[RANDOM_EVENTS];
};

static unsigned draw(struct simulation *simulation, unsigned below)
{
    simulation->random = simulation->random * 6364136223846793005u + 1442695040888963407u;
    return (unsigned)(simulation->random >> 33) % below;
}

static void write_cell(struct simulation *simulation, struct cell *cell, struct history_value value)
{
    *cell = (struct cell){true, value, ++simulation->written};
}

static void take_effect(struct simulation *simulation, struct history_event *event)
{
    struct cell *cell = &simulation->cells[event->key];

    if (simulation->evicts && draw(simulation, 16) == 0) {
        cell->present = false;
    }
    event->answer = cell->present ? HISTORY_DONE : HISTORY_MISSED;
    switch ((enum history_operation)event->operation) {
    case HISTORY_SET:
        event->answer = HISTORY_DONE;
        write_cell(simulation, cell, event->value);
        break;
    case HISTORY_ADD:
        event->answer = cell->present ? HISTORY_REFUSED : HISTORY_DONE;
        if (!cell->present) {
            write_cell(simulation, cell, event->value);
        }
        break;
    case HISTORY_DELETE:
        cell->present = false;
        break;
    case HISTORY_CAS:
        if (cell->present && cell->unique != event->argument) {
            event->answer = HISTORY_REFUSED;
        } else if (cell->present) {
            write_cell(simulation, cell, event->value);
        }
        break;
    case HISTORY_INCR:
        if (cell->present) {
            event->value = history_number(cell->value.bits + event->argument);
            write_cell(simulation, cell, event->value);
        }
        break;
    case HISTORY_APPEND:
        if (cell->present) {
            write_cell(simulation, cell, history_join(cell->value, event->value));
        }
        break;
    case HISTORY_GET:
    case HISTORY_TOUCH:
    case HISTORY_REPLACE:
    case HISTORY_PREPEND:
    case HISTORY_DECR:
    case HISTORY_FLUSH:
        event->operation = HISTORY_GET;
        event->value = cell->present ? cell->value : event->value;
        event->argument = cell->present && event->key != COUNTER ? cell->unique : 0;
        simulation->uniques[event->key] = event->argument;
    }
}

/* What a client does next. Numbers repeat themselves, so they are not compared and set. */
static void choose(struct simulation *simulation, struct history_event *event, uint64_t now)
{
    static const enum history_operation on_values[] = {HISTORY_GET,   HISTORY_GET, HISTORY_SET,
                                                       HISTORY_ADD,   HISTORY_CAS, HISTORY_APPEND,
                                                       HISTORY_DELETE};
    static const enum history_operation on_numbers[] = {HISTORY_GET, HISTORY_SET, HISTORY_INCR,
                                                        HISTORY_INCR, HISTORY_DELETE};

    if (event->key == COUNTER) {
        event->operation = (uint8_t)on_numbers[draw(simulation, COUNT(on_numbers))];
        event->value = history_number(draw(simulation, 100));
        event->argument = event->operation == HISTORY_INCR ? 1 + draw(simulation, 9) : 0;
    } else {
        event->operation = (uint8_t)on_values[draw(simulation, COUNT(on_values))];
        event->value = history_piece(now);
        event->argument = event->operation == HISTORY_CAS ? simulation->uniques[event->key] : 0;
    }
}

/* Who is drawn goes on: sends, takes effect, or reads its answer. */
static void simulate(struct simulation *simulation)
{
    struct history_event *under_way[CLIENTS] = {NULL};
    unsigned phase[CLIENTS] = {0};
    unsigned open = 0;

    for (uint64_t now = 1; simulation->count < RANDOM_EVENTS || open > 0; now++) {
        const unsigned client = draw(simulation, CLIENTS);
        if (phase[client] == 1) {
            take_effect(simulation, under_way[client]);
            phase[client] = 2;
        } else if (phase[client] == 2) {
            under_way[client]->answered_ns = now;
            phase[client] = 0;
            open--;
        } else if (simulation->count < RANDOM_EVENTS) {
            struct history_event *event = &simulation->events[simulation->count++];
            *event = (struct history_event){
                .sent_ns = now,
                .key = draw(simulation, KEYS),
                .client = (uint16_t)client,
            };
            choose(simulation, event, now);
            under_way[client] = event;
            phase[client] = 1;
            open++;
        }
    }
}

/* A set that ended before another began, which ended before the get began. */
static bool make_stale(struct simulation *simulation, struct history_event *get)
{
    for (size_t i = 0; i < simulation->count; i++) {
        const struct history_event *old = &simulation->events[i];
        for (size_t j = 0; j < simulation->count && old->operation == HISTORY_SET; j++) {
            const struct history_event *young = &simulation->events[j];
            if (young->operation == HISTORY_SET && old->key == get->key && young->key == get->key &&
                old->answered_ns < young->sent_ns && young->answered_ns < get->sent_ns) {
                get->value = old->value;
                get->argument = 0;
                get->answer = HISTORY_DONE;
                return true;
            }
        }
    }
    return false;
}

static void test_random(void **state)
{
    unsigned planted = 0;

    (void)state;
    for (uint64_t seed = 1; seed <= ROUNDS; seed++) {
        struct simulation *simulation = calloc(1, sizeof(*simulation));
        struct history_fault fault;
        assert(simulation != NULL);
        simulation->random = seed;
        simulation->evicts = seed % 2 == 0;
        simulate(simulation);
        if (!history_check(simulation->events, simulation->count, simulation->evicts, &fault)) {
            history_print(stderr, &fault);
            fail_msg("seed %lu: not explained", (unsigned long)seed);
        }
        struct history_event *event = &simulation->events[draw(simulation, RANDOM_EVENTS)];
        if (event->operation == HISTORY_GET && event->key != COUNTER &&
            make_stale(simulation, event)) {
            planted++;
            assert_false(
                history_check(simulation->events, simulation->count, simulation->evicts, &fault));
        }
        free(simulation);
    }
    assert_true(planted > ROUNDS / 10);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_stale_reads), cmocka_unit_test(test_evictions),
        cmocka_unit_test(test_conditions),  cmocka_unit_test(test_cas),
        cmocka_unit_test(test_pieces),      cmocka_unit_test(test_numbers),
        cmocka_unit_test(test_flush),       cmocka_unit_test(test_random),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
