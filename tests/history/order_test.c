/*
 * order_test.c - many clients on a few keys of the real server: is there an order of what they did
 * that explains all they were answered?
 *
 *   -m 48: 8 callers ──► registers, lists, counters: everybody's        ─► history_check(),
 *                    ──► 20,000 cold keys; the memory is full          ─►   where items may be lost
 *          meanwhile it evicts, learns, compresses in the background and settles (debugtime)
 *   -m 256: 8 callers ─► the same without the cold ones: nothing may be lost
 *
 * ZBCACHED_ORDER_OPERATIONS is how many requests each caller makes, for longer runs;
 * ZBCACHED_ORDER_SEED repeats what the callers do, though not when.
 */
/* cmocka.h stands on the four before it. */
/* clang-format off */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
/* clang-format on */

#include "clients/client.h"
#include "tests/history/history.h"
#include "tests/history/piece.h"
#include "tests/instrumented.h"
#include "tests/server/live.h"

#include <assert.h>
#include <inttypes.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <time.h>

enum {
    CALLERS = 8,
    REGISTERS = 8,
    LISTS = 4,
    COUNTERS = 4,
    HOT_KEYS = REGISTERS + LISTS + COUNTERS,
    COLD_KEYS = 20000,
    BATCH_MAX = 8,
    OPERATIONS = INSTRUMENTED ? 8000 : 20000,
    FLUSH_EVERY = 2000,  /* requests, where nothing needs to be evicted */
    JUMPS = 6,           /* of the clock, so that something is old enough to settle */
    FILL_ITEMS = 100000, /* of 300 bytes, and some of a thousand */
    TEXT_BYTES = 64,
    TIMEOUT_MS = LIVE_WAIT_S * 1000,
    EXPTIME_S = 86400
};

/* ---- callers ---- */

struct caller {
    const struct live *live;
    uint64_t random;
    unsigned id;
    bool cold; /* it uses cold keys too */
    bool flush_due;
    size_t operations;
    size_t jump_at; /* when it has made so many; 0: never */
    struct client *client;
    uint64_t written;
    uint64_t uniques[HOT_KEYS];
    size_t count;
    struct history_event *events; /* operations */
    bool wrong;
    char complaint[256];
    char scratch[PIECE_BYTES_MAX + 2];
    pthread_t thread;
};

static uint64_t next_random(uint64_t *random)
{
    *random = *random * 6364136223846793005u + 1442695040888963407u;
    return *random >> 20;
}

static bool is_counter(uint32_t key)
{
    return key >= REGISTERS + LISTS && key < HOT_KEYS;
}

static bool complain(struct caller *caller, const char *what, const char *about)
{
    if (!caller->wrong) {
        (void)snprintf(caller->complaint, sizeof(caller->complaint), "caller %u: %s: %.100s",
                       caller->id, what, about);
    }
    caller->wrong = true;
    return false;
}

static unsigned draw(struct caller *caller, unsigned below)
{
    return (unsigned)(next_random(&caller->random) % below);
}

static uint64_t now_ns(void)
{
    struct timespec now;
    const int failed = clock_gettime(CLOCK_MONOTONIC, &now);

    assert(!failed);
    return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

static size_t write_key(uint32_t key, char *out)
{
    return key < HOT_KEYS ? (size_t)sprintf(out, "hot:%" PRIu32, key)
                          : (size_t)sprintf(out, "cold:item:%" PRIu32, key);
}

struct choice {
    enum history_operation operation;
    unsigned weight;
};

/* Weights that add up to 100. */
static enum history_operation choose(struct caller *caller, const struct choice *choices)
{
    unsigned drawn = draw(caller, 100);

    for (; drawn >= choices->weight; choices++) {
        drawn -= choices->weight;
    }
    return choices->operation;
}

static enum history_operation choose_operation(struct caller *caller, uint32_t key)
{
    static const struct choice registers[] = {
        {HISTORY_GET, 42},    {HISTORY_TOUCH, 6}, {HISTORY_SET, 18},  {HISTORY_ADD, 9},
        {HISTORY_REPLACE, 6}, {HISTORY_CAS, 12},  {HISTORY_DELETE, 7}};
    static const struct choice lists[] = {{HISTORY_GET, 32},     {HISTORY_APPEND, 26},
                                          {HISTORY_PREPEND, 20}, {HISTORY_SET, 10},
                                          {HISTORY_ADD, 6},      {HISTORY_DELETE, 6}};
    static const struct choice counters[] = {{HISTORY_GET, 22},  {HISTORY_INCR, 44},
                                             {HISTORY_DECR, 20}, {HISTORY_SET, 4},
                                             {HISTORY_ADD, 6},   {HISTORY_DELETE, 4}};
    static const struct choice colds[] = {{HISTORY_GET, 38},  {HISTORY_SET, 46},
                                          {HISTORY_ADD, 6},   {HISTORY_APPEND, 4},
                                          {HISTORY_TOUCH, 2}, {HISTORY_DELETE, 4}};

    if (key < REGISTERS) {
        return choose(caller, registers);
    }
    if (key < REGISTERS + LISTS) {
        return choose(caller, lists);
    }
    return choose(caller, key < HOT_KEYS ? counters : colds);
}

/* A number that no other piece has. Long ones only where nothing else is sent with them, so that
 * nobody's socket is full while he writes. */
static uint64_t new_number(struct caller *caller, uint32_t key, bool alone)
{
    enum piece_filling filling = PIECE_EMPTY;

    if (key >= HOT_KEYS) {
        filling = draw(caller, 2) == 0 ? PIECE_WORDS : PIECE_NOISE;
    } else if (draw(caller, 2) == 0) {
        filling = alone && draw(caller, 8) == 0 ? PIECE_LONG : PIECE_WORDS;
    }
    return ((uint64_t)caller->id << 48 | ++caller->written << 8) + filling;
}

static bool queue(struct caller *caller, const char *bytes, size_t count)
{
    return client_queue(caller->client, bytes, count) == CLIENT_OK ||
           complain(caller, "cannot queue", "");
}

/* ---- requests ---- */

static bool queue_store(struct caller *caller, const char *key, bool alone,
                        struct history_event *event)
{
    static const char *const words[] = {
        [HISTORY_SET] = "set",       [HISTORY_ADD] = "add",         [HISTORY_REPLACE] = "replace",
        [HISTORY_APPEND] = "append", [HISTORY_PREPEND] = "prepend", [HISTORY_CAS] = "cas"};
    char line[320];
    size_t bytes;

    if (is_counter(event->key)) {
        const uint64_t number = draw(caller, 1000);
        event->value = history_number(number);
        bytes = (size_t)sprintf(caller->scratch, "%" PRIu64, number);
    } else {
        const uint64_t number = new_number(caller, event->key, alone);
        event->value = history_piece(number);
        bytes = piece_write(number, caller->scratch);
    }
    size_t used = (size_t)sprintf(line, "%s %s 0 0 %zu", words[event->operation], key, bytes);
    if (event->operation == HISTORY_CAS) {
        event->argument = caller->uniques[event->key];
        used += (size_t)sprintf(line + used, " %" PRIu64, event->argument);
    }
    used += (size_t)sprintf(line + used, "\r\n");
    memcpy(caller->scratch + bytes, "\r\n", 2);
    return queue(caller, line, used) && queue(caller, caller->scratch, bytes + 2);
}

static bool queue_request(struct caller *caller, bool alone, struct history_event *event)
{
    char key[32], line[320];
    const char *word = event->operation == HISTORY_INCR ? "incr" : "decr";
    int used;

    key[write_key(event->key, key)] = '\0';
    switch ((enum history_operation)event->operation) {
    case HISTORY_GET:
        /* A number is stored again and again: its uniques say nothing. */
        word = is_counter(event->key) ? "get" : "gets";
        used = draw(caller, 4) > 0 ? sprintf(line, "%s %s\r\n", word, key)
                                   : sprintf(line, "gat%s %d %s\r\n", word + 3, EXPTIME_S, key);
        break;
    case HISTORY_TOUCH:
        used = sprintf(line, "touch %s %d\r\n", key, EXPTIME_S);
        break;
    case HISTORY_DELETE:
        used = sprintf(line, "delete %s\r\n", key);
        break;
    case HISTORY_INCR:
    case HISTORY_DECR:
        event->argument = 1 + draw(caller, 20);
        used = sprintf(line, "%s %s %" PRIu64 "\r\n", word, key, event->argument);
        break;
    case HISTORY_FLUSH:
        used = sprintf(line, "flush_all\r\n");
        break;
    case HISTORY_SET:
    case HISTORY_ADD:
    case HISTORY_REPLACE:
    case HISTORY_APPEND:
    case HISTORY_PREPEND:
    case HISTORY_CAS:
    default:
        return queue_store(caller, key, alone, event);
    }
    return queue(caller, line, (size_t)used);
}

/* ---- answers ---- */

/* What a value says it is; false where its bytes are not what anybody has stored. */
static bool read_value(struct caller *caller, struct client_slice text, struct history_event *event)
{
    return is_counter(event->key)
               ? piece_read_number(text.data, text.bytes, &event->value)
               : piece_read(text.data, text.bytes, caller->scratch, &event->value);
}

static const char *beginning(struct client_slice data, char text[TEXT_BYTES])
{
    const size_t bytes = data.bytes < TEXT_BYTES - 1 ? data.bytes : TEXT_BYTES - 1;

    memcpy(text, data.data, bytes);
    text[bytes] = '\0';
    return text;
}

static bool take_value(struct caller *caller, struct history_event *event)
{
    struct client_value value;
    char text[TEXT_BYTES];
    enum client_status status = client_read_value(caller->client, &value);

    event->answer = HISTORY_MISSED;
    if (status == CLIENT_OK) {
        event->answer = HISTORY_DONE;
        event->argument = value.cas;
        if (!read_value(caller, value.data, event)) {
            return complain(caller, "nobody stored this", beginning(value.data, text));
        }
        if (event->key < HOT_KEYS) {
            caller->uniques[event->key] = value.cas;
        }
        status = client_read_value(caller->client, &value);
    }
    return status == CLIENT_END ||
           complain(caller, client_status_text(status), client_text(caller->client));
}

static bool take_answer(struct caller *caller, struct history_event *event)
{
    enum client_status status;
    uint64_t number = 0;

    if (event->operation == HISTORY_GET) {
        return take_value(caller, event);
    }
    if (event->operation == HISTORY_INCR || event->operation == HISTORY_DECR) {
        status = client_read_number(caller->client, &number);
        event->value = history_number(number);
    } else {
        status = client_read_reply(caller->client);
    }
    if (status == CLIENT_OK) {
        event->answer = HISTORY_DONE;
    } else if (status == CLIENT_EXISTS ||
               (status == CLIENT_NOT_STORED && event->operation == HISTORY_ADD)) {
        event->answer = HISTORY_REFUSED;
    } else if (status == CLIENT_NOT_FOUND || status == CLIENT_NOT_STORED) {
        event->answer = HISTORY_MISSED;
    } else if (status == CLIENT_REFUSED &&
               strstr(client_text(caller->client), "out of memory") != NULL) {
        event->answer = HISTORY_FAILED;
    } else {
        return complain(caller, client_status_text(status), client_text(caller->client));
    }
    return true;
}

/* ---- what a caller does ---- */

static bool dial(struct caller *caller)
{
    return client_connect_tcp(caller->client, "127.0.0.1", caller->live->port, TIMEOUT_MS) ==
               CLIENT_OK ||
           complain(caller, "cannot connect", "");
}

/* Some requests sent together, then their answers. */
static bool call(struct caller *caller)
{
    const size_t left = caller->operations - caller->count;
    const size_t wanted = draw(caller, 4) > 0 ? 1 : 1 + draw(caller, BATCH_MAX);
    const size_t count = wanted < left ? wanted : left;
    struct history_event *events = caller->events + caller->count;
    uint64_t sent_ns = now_ns();

    for (size_t i = 0; i < count; i++) {
        const bool cold = caller->cold && draw(caller, 2) == 0;
        const uint32_t key = cold ? HOT_KEYS + draw(caller, COLD_KEYS) : draw(caller, HOT_KEYS);
        events[i] = (struct history_event){
            .sent_ns = sent_ns + i, /* long before they really are */
            .key = key,
            .client = (uint16_t)caller->id,
            .operation = (uint8_t)choose_operation(caller, key),
        };
        if (caller->flush_due || (!caller->cold && draw(caller, FLUSH_EVERY) == 0)) {
            caller->flush_due = false;
            events[i].operation = HISTORY_FLUSH;
            events[i].key = HISTORY_ALL_KEYS;
        }
        if (!queue_request(caller, count == 1, &events[i])) {
            return false;
        }
    }
    if (client_flush(caller->client) != CLIENT_OK) {
        return complain(caller, "cannot send", "");
    }
    for (size_t i = 0; i < count; i++) {
        if (!take_answer(caller, &events[i])) {
            return false;
        }
        events[i].answered_ns = now_ns();
    }
    caller->count += count;
    return true;
}

/* What was stored before is old then. */
static bool jump(struct caller *caller)
{
    static const char request[] = "debugtime +12\r\n";

    return queue(caller, request, strlen(request)) && client_flush(caller->client) == CLIENT_OK &&
           client_read_reply(caller->client) == CLIENT_OK;
}

static void *run_caller(void *context)
{
    struct caller *caller = context;
    size_t jump_at = caller->jump_at;
    bool good = dial(caller);

    while (good && caller->count < caller->operations) {
        good = call(caller);
        if (good && draw(caller, 1000) == 0) {
            good = dial(caller);
        }
        if (good && jump_at > 0 && caller->count >= jump_at) {
            good = jump(caller) || complain(caller, "the clock does not jump", "");
            jump_at += caller->jump_at;
            caller->flush_due = jump_at == JUMPS * caller->jump_at; /* once, towards the end */
        }
    }
    return NULL;
}

/* ---- all of them ---- */

static uint64_t number_of(const char *name, uint64_t otherwise)
{
    const char *text = getenv(name);
    return text != NULL && text[0] != '\0' ? strtoull(text, NULL, 10) : otherwise;
}

static void run_callers(const struct live *live, bool cold, struct history_event *events,
                        size_t operations)
{
    struct caller *callers = calloc(CALLERS, sizeof(*callers));
    uint64_t seed;
    const ssize_t drawn = getrandom(&seed, sizeof(seed), 0);

    assert(callers != NULL && drawn == sizeof(seed));
    seed = number_of("ZBCACHED_ORDER_SEED", seed);
    print_message("ZBCACHED_ORDER_SEED=%" PRIu64 "\n", seed);
    for (unsigned i = 0; i < CALLERS; i++) {
        struct caller *caller = &callers[i];
        caller->live = live;
        caller->id = i;
        caller->random = seed + i * UINT64_C(0x9e3779b97f4a7c15);
        caller->cold = cold;
        caller->operations = operations;
        caller->jump_at = i == 0 ? operations / JUMPS : 0;
        caller->events = events + i * operations;
        caller->client = client_new();
        assert(caller->client != NULL);
        const int failed = pthread_create(&caller->thread, NULL, run_caller, caller);
        assert(!failed);
    }
    bool wrong = false;
    for (unsigned i = 0; i < CALLERS; i++) {
        (void)pthread_join(callers[i].thread, NULL);
        client_free(callers[i].client);
        if (callers[i].wrong) {
            print_error("%s\n", callers[i].complaint);
            wrong = true;
        }
    }
    free(callers);
    assert_false(wrong);
}

/* Items that nobody asks for, so that the memory is full when the callers begin. */
static void fill(const struct live *live)
{
    struct client *client = client_new();
    struct client_slice version;
    char *piece = malloc(PIECE_BYTES_MAX + 2);

    assert(client != NULL && piece != NULL);
    assert_int_equal(client_connect_tcp(client, "127.0.0.1", live->port, TIMEOUT_MS), CLIENT_OK);
    for (uint64_t i = 0; i < FILL_ITEMS; i++) {
        char line[64];
        const size_t bytes =
            piece_write(i * PIECE_FILLINGS + (i % 4 == 0 ? PIECE_NOISE : PIECE_WORDS), piece);
        const int used = sprintf(line, "set fill:%" PRIu64 " 0 0 %zu noreply\r\n", i, bytes);
        memcpy(piece + bytes, "\r\n", 2);
        assert_int_equal(client_queue(client, line, (size_t)used), CLIENT_OK);
        assert_int_equal(client_queue(client, piece, bytes + 2), CLIENT_OK);
        if (i % 64 == 0) {
            assert_int_equal(client_flush(client), CLIENT_OK);
        }
    }
    assert_int_equal(client_version(client, &version), CLIENT_OK);
    client_free(client);
    free(piece);
}

/* Returns how many items were evicted. */
static uint64_t run(const char *options, bool cold, size_t operations)
{
    const size_t count = CALLERS * operations;
    struct history_event *events = calloc(count, sizeof(*events));
    struct history_fault fault;
    struct live live;

    assert(events != NULL);
    live_start(&live, options);
    if (cold) {
        fill(&live);
    }
    run_callers(&live, cold, events, operations);
    const uint64_t evicted = live_stat(&live, "", "evictions");
    print_message("%zu requests, %" PRIu64 " evicted, %" PRIu64 " settled, %" PRIu64
                  " dictionaries\n",
                  count, evicted, live_stat(&live, "zbud", "records_settled"),
                  live_stat(&live, "zbud", "dictionaries"));
    char *checked = live_stats(&live, "check");
    assert_string_equal(checked, "STAT check ok\r\nEND\r\n");
    free(checked);
    assert_int_equal(live_stop(&live, SIGTERM), 0);
    if (!history_check(events, count, evicted > 0, &fault)) {
        history_print(stderr, &fault);
        fail();
    }
    free(events);
    return evicted;
}

static void test_evicting(void **state)
{
    const size_t operations = number_of("ZBCACHED_ORDER_OPERATIONS", OPERATIONS);

    (void)state;
    assert_true(run("-m 48 -t 4 -o debugtime", true, operations) > 0);
}

static void test_keeping(void **state)
{
    const size_t operations = number_of("ZBCACHED_ORDER_OPERATIONS", OPERATIONS) / 2;

    (void)state;
    assert_int_equal(run("-m 256 -t 4 -o debugtime", false, operations), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_evicting),
        cmocka_unit_test(test_keeping),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
