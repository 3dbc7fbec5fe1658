/*
 * watch_test.c - rings against a model and between threads, the lines, the words of the command,
 * and that every event is sent, skipped or dropped, and counted as that.
 */
/* cmocka.h stands on the four before it. */
/* clang-format off */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
/* clang-format on */

#include "server/admin/watch.h"
#include "server/budget.h"
#include "server/cache/cache.h"
#include "server/clock.h"

#include <assert.h>
#include <pthread.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define MEMORY_BYTES   ((size_t)64 << 20)
#define RING_BYTES     97u /* no power of two: every offset comes up */
#define RANDOM_STEPS   200000u
#define STREAM_BYTES   200000u
#define WRITERS_COUNT  3u
#define THREAD_EVENTS  20000u
#define TEXT_BYTES     ((size_t)8 << 20)
#define WATCHER_BYTES  ((size_t)64 << 10)
#define EVICTIONS_EACH 5000u

/* ---- rings ---- */

static uint32_t draw(uint32_t *seed)
{
    *seed = *seed * 1664525u + 1013904223u;
    return *seed >> 8;
}

/* Bytes count up, so what was lost, doubled or torn shows. */
static void test_ring_against_model(void **state)
{
    uint8_t memory[RING_BYTES], bytes[RING_BYTES + 1], taken[RING_BYTES + 1];
    struct watch_ring ring = {.capacity = 0};
    uint32_t seed = 5;
    uint8_t next_in = 0, next_out = 0;
    size_t waiting = 0;

    (void)state;
    assert_false(watch_ring_put(&ring, "x", 1, "", 0)); /* no memory yet */
    assert_int_equal(watch_ring_take(&ring, taken, sizeof(taken)), 0);
    watch_ring_give(&ring, memory, sizeof(memory));
    for (unsigned step = 0; step < RANDOM_STEPS; step++) {
        const size_t count = draw(&seed) % (RING_BYTES + 2);
        if (draw(&seed) % 2 == 0) {
            const size_t first = count > 0 ? draw(&seed) % count : 0;
            for (size_t i = 0; i < count; i++) {
                bytes[i] = (uint8_t)(next_in + i);
            }
            const bool put = watch_ring_put(&ring, bytes, first, bytes + first, count - first);
            assert_int_equal(put, waiting + count <= RING_BYTES); /* RING-1 */
            next_in = (uint8_t)(next_in + (put ? count : 0));
            waiting += put ? count : 0;
        } else {
            const size_t got = watch_ring_take(&ring, taken, count);
            assert_int_equal(got, count < waiting ? count : waiting);
            for (size_t i = 0; i < got; i++) {
                assert_int_equal(taken[i], next_out++);
            }
            waiting -= got;
        }
        assert_int_equal(watch_ring_waiting(&ring), waiting);
    }
}

static void *put_stream(void *context)
{
    struct watch_ring *ring = context;
    uint8_t bytes[32];

    for (size_t sent = 0; sent < STREAM_BYTES;) {
        const size_t count = 1 + sent % 31;
        for (size_t i = 0; i < count; i++) {
            bytes[i] = (uint8_t)(sent + i);
        }
        if (watch_ring_put(ring, bytes, count / 2, bytes + count / 2, count - count / 2)) {
            sent += count;
        } else {
            (void)sched_yield();
        }
    }
    return NULL;
}

static void test_ring_between_threads(void **state)
{
    uint8_t memory[RING_BYTES], taken[RING_BYTES];
    struct watch_ring ring = {.capacity = 0};
    pthread_t thread;
    size_t got = 0;

    (void)state;
    watch_ring_give(&ring, memory, sizeof(memory));
    assert_int_equal(pthread_create(&thread, NULL, put_stream, &ring), 0);
    while (got < STREAM_BYTES) {
        const size_t count = watch_ring_take(&ring, taken, 1 + got % sizeof(taken));
        for (size_t i = 0; i < count; i++) {
            assert_int_equal(taken[i], (uint8_t)(got + i));
        }
        got += count;
        if (count == 0) {
            (void)sched_yield();
        }
    }
    pthread_join(thread, NULL);
}

/* ---- lines and words ---- */

struct line_case {
    struct watch_event event;
    const char *key;
    const char *line;
};

#define HEAD .gid = 7, .unix_us = 1700000000000123, .fd = 12
static const struct line_case line_cases[] = {
    {{HEAD, .type = WATCH_ITEM_GET, .outcome = WATCH_FOUND, .class_id = 1, .value_bytes = 3},
     "a",
     "ts=1700000000.000123 gid=7 type=item_get key=a status=found clsid=1 cfd=12 size=3\n"},
    {{HEAD, .type = WATCH_ITEM_GET, .outcome = WATCH_EXPIRED},
     "-._~09azAZ",
     "ts=1700000000.000123 gid=7 type=item_get key=-._~09azAZ status=expired clsid=0 cfd=12 "
     "size=0\n"},
    {{HEAD, .type = WATCH_ITEM_GET, .outcome = WATCH_FLUSHED},
     "\n \x01\xff%/",
     "ts=1700000000.000123 gid=7 type=item_get key=%0A%20%01%FF%25%2F status=flushed clsid=0 "
     "cfd=12 size=0\n"},
    {{HEAD, .type = WATCH_ITEM_STORE, .outcome = WATCH_TOO_LARGE, .cmd = "prepend", .ttl_s = -1},
     "k",
     "ts=1700000000.000123 gid=7 type=item_store key=k status=too_large cmd=prepend ttl=-1 "
     "clsid=0 cfd=12 size=0\n"},
    {{HEAD, .type = WATCH_EVICTION, .fetched = true, .ttl_s = 60, .age_s = 5, .value_bytes = 9},
     "k",
     "ts=1700000000.000123 gid=7 type=eviction key=k fetch=yes ttl=60 la=5 clsid=0 size=9\n"},
    {{HEAD, .type = WATCH_DELETED, .cmd = "delete", .class_id = 1, .value_bytes = 4},
     "k",
     "ts=1700000000.000123 gid=7 type=deleted key=k cmd=delete clsid=1 size=4\n"},
    {{HEAD, .type = WATCH_CONN_NEW, .transport = WATCH_TCP, .port = 65535},
     "::1",
     "ts=1700000000.000123 gid=7 type=conn_new rip=::1 rport=65535 transport=tcp cfd=12\n"},
    {{HEAD, .type = WATCH_CONN_CLOSE, .outcome = WATCH_IDLE_TIMEOUT},
     "unix",
     "ts=1700000000.000123 gid=7 type=conn_close rip=unix rport=0 transport=local "
     "reason=idle_timeout cfd=12\n"},
};

static void test_lines(void **state)
{
    char line[WATCH_LINE_BYTES_MAX + 1];

    (void)state;
    for (size_t i = 0; i < sizeof(line_cases) / sizeof(line_cases[0]); i++) {
        struct watch_event event = line_cases[i].event;
        event.key_bytes = (uint8_t)strlen(line_cases[i].key);
        const size_t bytes = watch_event_line(&event, (const uint8_t *)line_cases[i].key, line);
        line[bytes] = '\0';
        assert_string_equal(line, line_cases[i].line);
    }
}

/* The longest there can be has room. */
static void test_longest_line(void **state)
{
    char line[WATCH_LINE_BYTES_MAX];
    uint8_t key[WATCH_KEY_BYTES_MAX];
    const struct watch_event event = {
        .gid = UINT64_MAX,
        .unix_us = UINT64_MAX,
        .ttl_s = INT64_MIN,
        .value_bytes = UINT64_MAX,
        .fd = INT32_MIN,
        .type = WATCH_ITEM_STORE,
        .outcome = WATCH_NOT_STORED,
        .class_id = UINT8_MAX,
        .key_bytes = WATCH_KEY_BYTES_MAX,
        .cmd = "prepend",
    };

    (void)state;
    memset(key, ' ', sizeof(key));
    const size_t bytes = watch_event_line(&event, key, line);
    assert_true(bytes > 3 * sizeof(key) && bytes < sizeof(line));
    assert_int_equal(line[bytes - 1], '\n');
}

static uint32_t kinds(const char *words)
{
    return watch_kinds(words, strlen(words));
}

static void test_words(void **state)
{
    (void)state;
    assert_int_equal(kinds(""), WATCH_FETCHERS);
    assert_int_equal(kinds("fetchers"), WATCH_FETCHERS);
    assert_int_equal(kinds("f"), WATCH_FETCHERS);
    assert_int_equal(kinds("mutations  evictions m"), WATCH_MUTATIONS | WATCH_EVICTIONS);
    assert_int_equal(kinds("deletions connevents"), WATCH_DELETIONS | WATCH_CONNEVENTS);
    assert_int_equal(kinds("rawcmds sysevents"), WATCH_RAWCMDS | WATCH_SYSEVENTS);
    assert_int_equal(kinds("proxyreqs proxyevents proxyuser"),
                     WATCH_PROXYREQS | WATCH_PROXYEVENTS | WATCH_PROXYUSER);
    assert_int_equal(kinds("fetchersx"), 0);
    assert_int_equal(kinds("fetchers x"), 0);
    assert_int_equal(kinds("FETCHERS"), 0);
    assert_int_equal(watch_kinds("f\0", 2), 0);
}

/* ---- the whole ---- */

struct fixture {
    struct clock clock;
    struct cache *cache;
    struct budget *budget;
    struct watch *watch;
    struct watch_writer *writers[WRITERS_COUNT];
    pthread_mutex_t lock;
    pthread_cond_t woken;
    unsigned wakes; /* under the lock */
    char *text;
    size_t text_bytes;
};

static void make_watch(struct fixture *fixture, size_t writer_bytes, size_t watcher_bytes)
{
    const struct watch_setup setup = {
        .clock = &fixture->clock,
        .budget = fixture->budget,
        .writers_count = WRITERS_COUNT,
        .writer_bytes = writer_bytes,
        .watcher_bytes = watcher_bytes,
    };

    fixture->watch = watch_new(&setup);
    assert_non_null(fixture->watch);
    for (unsigned i = 0; i < WRITERS_COUNT; i++) {
        fixture->writers[i] = watch_join(fixture->watch);
        fixture->writers[i]->fd = (int)i;
    }
}

static int set_up(void **state)
{
    struct fixture *fixture = calloc(1, sizeof(*fixture));
    const struct cache_config cache = {
        .memory_bytes = MEMORY_BYTES,
        .reserve_bytes = MEMORY_BYTES,
        .item_bytes_max = 1 << 20,
        .shards = 1,
        .evict = true,
        .now_s = 1,
    };

    assert(fixture != NULL);
    clock_init(&fixture->clock);
    fixture->cache = cache_new(&cache);
    fixture->budget = budget_new(fixture->cache, MEMORY_BYTES);
    fixture->text = malloc(TEXT_BYTES);
    assert(fixture->budget != NULL && fixture->text != NULL);
    pthread_mutex_init(&fixture->lock, NULL);
    pthread_cond_init(&fixture->woken, NULL);
    *state = fixture;
    return 0;
}

static int tear_down(void **state)
{
    struct fixture *fixture = *state;

    watch_free(fixture->watch);
    pthread_cond_destroy(&fixture->woken);
    pthread_mutex_destroy(&fixture->lock);
    budget_free(fixture->budget); /* asserts that all was given back */
    cache_free(fixture->cache);
    free(fixture->text);
    free(fixture);
    return 0;
}

static void on_lines(void *context)
{
    struct fixture *fixture = context;

    pthread_mutex_lock(&fixture->lock);
    fixture->wakes++;
    pthread_cond_signal(&fixture->woken);
    pthread_mutex_unlock(&fixture->lock);
}

static struct watcher *open_watcher(struct fixture *fixture, uint32_t kinds_wanted)
{
    struct watcher *watcher = NULL;
    const enum watch_open opened =
        watch_open(fixture->watch, kinds_wanted, on_lines, fixture, &watcher);

    assert_int_equal(opened, WATCH_OPENED);
    return watcher;
}

/* Waits for a wake, then adds what there is to the text. */
static void read_lines(struct fixture *fixture, struct watcher *watcher)
{
    pthread_mutex_lock(&fixture->lock);
    while (fixture->wakes == 0) {
        pthread_cond_wait(&fixture->woken, &fixture->lock);
    }
    fixture->wakes = 0;
    pthread_mutex_unlock(&fixture->lock);
    fixture->text_bytes += watcher_take(watcher, (uint8_t *)fixture->text + fixture->text_bytes,
                                        TEXT_BYTES - 1 - fixture->text_bytes);
    fixture->text[fixture->text_bytes] = '\0';
}

static void read_until(struct fixture *fixture, struct watcher *watcher, const char *end)
{
    do {
        read_lines(fixture, watcher);
    } while (strstr(fixture->text, end) == NULL);
}

static void say_get(struct watch_writer *writer, const char *key)
{
    struct watch_event event = {.type = WATCH_ITEM_GET};

    watch_say(writer, &event, key, strlen(key));
}

static void say_store(struct watch_writer *writer, const char *key)
{
    struct watch_event event = {.type = WATCH_ITEM_STORE, .outcome = WATCH_STORED, .cmd = "set"};

    watch_say(writer, &event, key, strlen(key));
}

/* WATCH-3, and who asked for what is told just that. */
static void test_kinds_are_told(void **state)
{
    struct fixture *fixture = *state;
    struct watch_figures figures;
    struct budget_figures before, open, after;

    make_watch(fixture, 4096, 4096);
    budget_figures(fixture->budget, &before);
    say_get(fixture->writers[0], "nobody");
    watch_figures(fixture->watch, &figures);
    assert_int_equal(figures.worker_written + figures.worker_dropped, 0);

    struct watcher *stores = open_watcher(fixture, WATCH_MUTATIONS);
    budget_figures(fixture->budget, &open);
    assert_true(open.held_bytes >= before.held_bytes + 5 * 4096); /* WATCH-2 */
    assert_false(watch_wants(fixture->writers[1], WATCH_FETCHERS));
    assert_true(watch_wants(fixture->writers[1], WATCH_FETCHERS | WATCH_MUTATIONS));
    say_get(fixture->writers[1], "hidden");
    say_store(fixture->writers[1], "first");
    say_store(fixture->writers[2], "last");
    read_until(fixture, stores, "key=last status=stored cmd=set ttl=0 clsid=0 cfd=2 size=0\n");
    assert_non_null(strstr(fixture->text, "gid=1 type=item_store key=first"));
    assert_null(strstr(fixture->text, "hidden"));
    watch_figures(fixture->watch, &figures);
    assert_int_equal(figures.worker_written, 2);
    assert_int_equal(figures.watcher_sent, 2);
    assert_int_equal(figures.watchers, 1);

    watch_close(stores);
    assert_false(watch_wants(fixture->writers[1], WATCH_MUTATIONS));
    budget_figures(fixture->budget, &after);
    assert_true(after.held_bytes < open.held_bytes);
}

/* What happened before a watcher came is not for it, even where it waits still. */
static void test_newcomers_are_told_of_news(void **state)
{
    struct fixture *fixture = *state;

    make_watch(fixture, 4096, WATCHER_BYTES);
    struct watcher *old = open_watcher(fixture, WATCH_FETCHERS);
    say_get(fixture->writers[0], "before");
    struct watcher *fresh = open_watcher(fixture, WATCH_FETCHERS);
    say_get(fixture->writers[0], "after");
    read_until(fixture, fresh, "key=after");
    assert_null(strstr(fixture->text, "key=before"));
    while (strstr(fixture->text, "key=before") == NULL) {
        fixture->text_bytes +=
            watcher_take(old, (uint8_t *)fixture->text + fixture->text_bytes, 4096);
        fixture->text[fixture->text_bytes] = '\0';
    }
    watch_close(old);
    watch_close(fresh);
}

static void test_too_many(void **state)
{
    struct fixture *fixture = *state;
    struct watcher *watchers[WATCH_WATCHERS_MAX];
    struct watcher *one_more = NULL;

    make_watch(fixture, 4096, 4096);
    for (unsigned i = 0; i < WATCH_WATCHERS_MAX; i++) {
        watchers[i] = open_watcher(fixture, WATCH_FETCHERS);
    }
    assert_int_equal(watch_open(fixture->watch, 1, on_lines, fixture, &one_more), WATCH_TOO_MANY);
    watch_close(watchers[3]);
    watchers[3] = open_watcher(fixture, WATCH_FETCHERS);
    say_get(fixture->writers[0], "k");
    for (unsigned i = 0; i < WATCH_WATCHERS_MAX; i++) {
        while (!watcher_waiting(watchers[i])) {
            (void)sched_yield();
        }
        watch_close(watchers[i]);
    }
}

static void test_no_memory(void **state)
{
    struct fixture *fixture = *state;
    struct watcher *watcher = NULL;

    make_watch(fixture, 4096, MEMORY_BYTES);
    assert_int_equal(watch_open(fixture->watch, 1, on_lines, fixture, &watcher), WATCH_FAILED);
    watch_free(fixture->watch);
    make_watch(fixture, MEMORY_BYTES, 4096);
    assert_int_equal(watch_open(fixture->watch, 1, on_lines, fixture, &watcher), WATCH_FAILED);
}

/* WATCH-1: a watcher that reads nothing, then all: what it read and what was skipped is what was
 * written, and the lines say how many are missing. */
static void test_slow_watcher(void **state)
{
    struct fixture *fixture = *state;
    struct watch_figures figures;
    uint64_t skipped_told = 0;

    make_watch(fixture, 4096, 4096);
    struct watcher *watcher = open_watcher(fixture, WATCH_FETCHERS);
    do {
        say_get(fixture->writers[0], "fill");
        watch_figures(fixture->watch, &figures);
    } while (figures.watcher_skipped < 100);
    /* Each "skipped" is told before a line that had room. */
    do {
        read_lines(fixture, watcher);
        say_get(fixture->writers[0], "end");
    } while (strstr(fixture->text, "key=end") == NULL);

    uint64_t lines = 0;
    for (char *line = strtok(fixture->text, "\n"); line != NULL; line = strtok(NULL, "\n")) {
        unsigned long long skipped = 0;
        if (sscanf(line, "skipped=%llu", &skipped) == 1) {
            skipped_told += skipped;
        } else {
            assert_non_null(strstr(line, "type=item_get"));
            lines++;
        }
    }
    watch_figures(fixture->watch, &figures);
    assert_true(skipped_told >= 100);
    assert_true(lines <= figures.watcher_sent && skipped_told <= figures.watcher_skipped);
    watch_close(watcher);
}

struct talker {
    struct fixture *fixture;
    struct watch_writer *writer;
};

static void *talk(void *context)
{
    const struct talker *talker = context;

    for (unsigned i = 0; i < THREAD_EVENTS; i++) {
        say_get(talker->writer, "key");
        if (i % 4 == 0 && i / 4 < EVICTIONS_EACH) {
            struct watch_event event = {.type = WATCH_EVICTION};
            watch_say_eviction(talker->fixture->watch, &event, "evicted", 7);
        }
    }
    return NULL;
}

static uint64_t count_words(const char *text, const char *word)
{
    uint64_t count = 0;

    for (const char *at = strstr(text, word); at != NULL; at = strstr(at + 1, word)) {
        count++;
    }
    return count;
}

/* Rings keep their order: an end that was read has all of its ring before it. */
static void say_ends(struct fixture *fixture)
{
    struct watch_event event = {.type = WATCH_EVICTION};

    say_get(fixture->writers[0], "end0");
    say_get(fixture->writers[1], "end1");
    say_get(fixture->writers[2], "end2");
    watch_say_eviction(fixture->watch, &event, "end3", 4);
}

static bool has_ends(const char *text)
{
    return strstr(text, "=end0") != NULL && strstr(text, "=end1") != NULL &&
           strstr(text, "=end2") != NULL && strstr(text, "=end3") != NULL;
}

/* WATCH-1 with all threads at once, and watchers that come and go meanwhile. */
static void test_threads(void **state)
{
    struct fixture *fixture = *state;
    pthread_t threads[WRITERS_COUNT];
    struct talker talkers[WRITERS_COUNT];
    struct watch_figures figures;

    make_watch(fixture, 1 << 14, TEXT_BYTES);
    struct watcher *watcher = open_watcher(fixture, WATCH_FETCHERS | WATCH_EVICTIONS);
    for (unsigned i = 0; i < WRITERS_COUNT; i++) {
        talkers[i] = (struct talker){fixture, fixture->writers[i]};
        assert_int_equal(pthread_create(&threads[i], NULL, talk, &talkers[i]), 0);
    }
    for (unsigned i = 0; i < 50; i++) {
        watch_close(open_watcher(fixture, WATCH_EVICTIONS | WATCH_CONNEVENTS));
    }
    for (unsigned i = 0; i < WRITERS_COUNT; i++) {
        pthread_join(threads[i], NULL);
    }
    do {
        say_store(fixture->writers[0], "not asked for");
        say_ends(fixture);
        read_lines(fixture, watcher);
    } while (!has_ends(fixture->text));
    const uint64_t events = (uint64_t)WRITERS_COUNT * (THREAD_EVENTS + EVICTIONS_EACH);
    watch_figures(fixture->watch, &figures);
    const uint64_t ends = figures.worker_written + figures.worker_dropped - events;
    assert_true(ends >= 4);
    assert_int_equal(count_words(fixture->text, "skipped="), 0);
    assert_null(strstr(fixture->text, "asked"));
    /* All but the ends that are still on their way. */
    const uint64_t lines = count_words(fixture->text, "\n");
    assert_true(lines <= figures.worker_written);
    assert_true(lines + ends > figures.worker_written);
    watch_close(watcher);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_ring_against_model),
        cmocka_unit_test(test_ring_between_threads),
        cmocka_unit_test(test_lines),
        cmocka_unit_test(test_longest_line),
        cmocka_unit_test(test_words),
        cmocka_unit_test_setup_teardown(test_kinds_are_told, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_newcomers_are_told_of_news, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_too_many, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_no_memory, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_slow_watcher, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_threads, set_up, tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
