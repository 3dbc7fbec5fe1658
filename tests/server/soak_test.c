/*
 * soak_test.c - every kind of command at once, for as long as one likes.
 *
 *   soak_test                       SOAK_S seconds, as in tests/run
 *   ZBCACHED_SOAK_S=3600 soak_test  an hour
 *
 * Each writer has keys of its own and knows of each what it stored last, so every answer is right
 * or wrong: what is got is the last value or, as this is a cache, nothing. Beside them run dumps,
 * all sections of stats, limits that move, flushes, and connections that come and go in the middle
 * of things.
 *
 * At the end: what is shown as stored is what a dump finds, the invariants hold, and beside items
 * and dictionaries the process takes no more than when it started. Latency is printed for each
 * fifth, and is not judged: that needs a machine of its own.
 */
/* cmocka.h stands on the four before it. */
/* clang-format off */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
/* clang-format on */

#include "tests/instrumented.h"
#include "tests/server/live.h"

#include <assert.h>
#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define MIB             ((size_t)1 << 20)
#define MEMORY_MB       32u
#define SOAK_S          10u
#define WRITERS         4u
#define KEYS            40000u /* a writer's */
#define VALUE_BYTES_MAX 4000u
#define LINE_BYTES      256u
#define PARTS           5u
#define BATCH           20u  /* requests between two pauses */
#define PAUSE_US        4000 /* some 15 % of a core for the server, and as much for this */
#define GROWN_BYTES_MAX (3 * MIB)
#define NS_PER_S        1000000000

struct soak {
    struct live live;
    uint64_t started_ns;
    uint64_t soak_ns;
    atomic_bool stop;
    _Atomic uint64_t latency_ns[PARTS], requests[PARTS];
};

struct writer {
    struct soak *soak;
    unsigned number;
    uint32_t random;
    int fd;
    FILE *in;
    uint32_t versions[KEYS]; /* 0: there is none, or it was deleted */
    uint64_t requests, hits, misses;
    char value[VALUE_BYTES_MAX + 3], got[VALUE_BYTES_MAX + 3];
    char wrong[2 * LINE_BYTES];
    pthread_t thread;
};

static uint64_t now_ns(void)
{
    struct timespec now;

    const int failed = clock_gettime(CLOCK_MONOTONIC, &now);
    assert(!failed);
    return (uint64_t)now.tv_sec * NS_PER_S + (uint64_t)now.tv_nsec;
}

static unsigned part_of(const struct soak *soak, uint64_t ns)
{
    const uint64_t part = (ns - soak->started_ns) * PARTS / soak->soak_ns;
    return part < PARTS ? (unsigned)part : PARTS - 1;
}

static uint32_t draw(uint32_t *random, uint32_t below)
{
    *random = *random * 1664525 + 1013904223;
    return (uint32_t)((uint64_t)*random * below >> 32);
}

/* ---- writers, who know the answers ---- */

__attribute__((format(printf, 2, 3))) static bool say(struct writer *writer, const char *format,
                                                      ...)
{
    va_list values;

    va_start(values, format);
    (void)vsnprintf(writer->wrong, sizeof(writer->wrong), format, values);
    va_end(values);
    return false;
}

static bool send_text(struct writer *writer, const char *bytes, size_t count)
{
    for (size_t at = 0; at < count;) {
        const ssize_t sent = send(writer->fd, bytes + at, count - at, MSG_NOSIGNAL);
        if (sent <= 0) {
            return say(writer, "send: %s", strerror(errno));
        }
        at += (size_t)sent;
    }
    return true;
}

static bool read_line(struct writer *writer, char line[LINE_BYTES])
{
    if (fgets(line, LINE_BYTES, writer->in) == NULL) {
        return say(writer, "no answer: %s", strerror(errno));
    }
    line[strcspn(line, "\r\n")] = '\0';
    return true;
}

/* A value that follows from its key and version: words that compress, and noise that does not. */
static size_t make_value(const struct writer *writer, uint32_t key, uint32_t version, char *value)
{
    uint32_t random = key * 31 + version * 17 + writer->number;
    const size_t bytes = 20 + draw(&random, version % 50 == 0 ? VALUE_BYTES_MAX - 20 : 400);
    size_t at = (size_t)sprintf(value, "%u.%u.%u:", writer->number, key, version);

    while (at < bytes) {
        value[at] = at % 3 == 0 ? (char)('a' + draw(&random, 26)) : "the value "[at % 10];
        at++;
    }
    memcpy(value + at, "\r\n", 3);
    return at;
}

static bool expect_stored(struct writer *writer, uint32_t key, const char *header)
{
    char line[LINE_BYTES];
    const size_t bytes = make_value(writer, key, writer->versions[key], writer->value);
    const char *size = strrchr(header, ' ');

    if (writer->versions[key] == 0) {
        return say(writer, "w%u.%u was deleted: %s", writer->number, key, header);
    }
    if (size == NULL || strtoul(size, NULL, 10) != bytes ||
        fread(writer->got, 1, bytes + 2, writer->in) != bytes + 2 ||
        memcmp(writer->got, writer->value, bytes + 2) != 0) {
        return say(writer, "w%u.%u is not what was stored: %s", writer->number, key, header);
    }
    writer->hits++;
    return read_line(writer, line) && (strcmp(line, "END") == 0 || say(writer, "%s", line));
}

static bool store(struct writer *writer, uint32_t key)
{
    static const char *const verbs[] = {"set", "set", "set", "add", "replace", "ms"};
    const char *verb = verbs[draw(&writer->random, 6)];
    char line[LINE_BYTES];
    const uint32_t version = writer->versions[key] + 1 + draw(&writer->random, 5);
    const size_t bytes = make_value(writer, key, version, writer->value);
    const uint32_t ttl_s = draw(&writer->random, 4) == 0 ? 1 + draw(&writer->random, 30) : 0;
    const bool meta = verb[0] == 'm';
    const int length = meta ? snprintf(line, sizeof(line), "ms w%u.%u %zu T%u\r\n", writer->number,
                                       key, bytes, ttl_s)
                            : snprintf(line, sizeof(line), "%s w%u.%u 0 %u %zu\r\n", verb,
                                       writer->number, key, ttl_s, bytes);

    if (!send_text(writer, line, (size_t)length) || !send_text(writer, writer->value, bytes + 2) ||
        !read_line(writer, line)) {
        return false;
    }
    if (strcmp(line, "STORED") == 0 || strcmp(line, "HD") == 0) {
        writer->versions[key] = version;
    } else if (strcmp(line, "SERVER_ERROR out of memory storing object") == 0) {
        writer->versions[key] = verb[0] == 's' || meta ? 0 : writer->versions[key];
    } else if (strcmp(line, "NOT_STORED") != 0) {
        return say(writer, "%s: %s", verb, line);
    }
    return true;
}

static bool get(struct writer *writer, uint32_t key)
{
    char line[LINE_BYTES];
    const bool touch = draw(&writer->random, 4) == 0;
    const int length = snprintf(line, sizeof(line), touch ? "gat 100 w%u.%u\r\n" : "get w%u.%u\r\n",
                                writer->number, key);

    if (!send_text(writer, line, (size_t)length) || !read_line(writer, line)) {
        return false;
    }
    if (strcmp(line, "END") == 0) {
        writer->misses++;
        return true;
    }
    return expect_stored(writer, key, line);
}

static bool remove_one(struct writer *writer, uint32_t key)
{
    char line[LINE_BYTES];
    const bool meta = draw(&writer->random, 2) == 0;
    const int length = snprintf(line, sizeof(line), meta ? "md w%u.%u\r\n" : "delete w%u.%u\r\n",
                                writer->number, key);

    writer->versions[key] = 0;
    return send_text(writer, line, (size_t)length) && read_line(writer, line) &&
           (strcmp(line, "DELETED") == 0 || strcmp(line, "NOT_FOUND") == 0 ||
            strcmp(line, "HD") == 0 || strcmp(line, "NF") == 0 || say(writer, "%s", line));
}

/* A counter of its own, which only grows while it is there. */
static bool count_on(struct writer *writer, uint64_t *last)
{
    char line[LINE_BYTES];
    int length = snprintf(line, sizeof(line), "incr c%u 1\r\n", writer->number);

    if (!send_text(writer, line, (size_t)length) || !read_line(writer, line)) {
        return false;
    }
    if (strcmp(line, "NOT_FOUND") == 0) {
        *last = 0;
        length = snprintf(line, sizeof(line), "set c%u 0 0 1\r\n0\r\n", writer->number);
        return send_text(writer, line, (size_t)length) && read_line(writer, line);
    }
    const uint64_t value = strtoull(line, NULL, 10);
    if (value != *last + 1) {
        return say(writer, "c%u: %s after %lu", writer->number, line, (unsigned long)*last);
    }
    *last = value;
    return true;
}

static bool open_writer(struct writer *writer)
{
    if (writer->in != NULL) {
        (void)fclose(writer->in);
    }
    writer->fd = live_connect_to("127.0.0.1", writer->soak->live.port);
    /* Without a limit: one ends with EINTR where the test was stopped for a while. */
    const struct timeval none = {0};
    (void)setsockopt(writer->fd, SOL_SOCKET, SO_RCVTIMEO, &none, sizeof(none));
    writer->in = writer->fd >= 0 ? fdopen(writer->fd, "r") : NULL;
    return writer->in != NULL || say(writer, "cannot connect");
}

static void *write_on(void *context)
{
    struct writer *writer = context;
    struct soak *soak = writer->soak;
    uint64_t counter = 0;
    bool good = open_writer(writer);

    while (good && !atomic_load(&soak->stop)) {
        const uint64_t began_ns = now_ns();
        for (unsigned i = 0; good && i < BATCH; i++) {
            /* Few keys often, many seldom. */
            const uint32_t key = draw(&writer->random, 1 + draw(&writer->random, KEYS));
            const uint32_t pick = draw(&writer->random, 100);
            good = pick < 55   ? get(writer, key)
                   : pick < 90 ? store(writer, key)
                   : pick < 96 ? remove_one(writer, key)
                               : count_on(writer, &counter);
        }
        const uint64_t ended_ns = now_ns();
        const unsigned part = part_of(soak, ended_ns);
        (void)atomic_fetch_add(&soak->latency_ns[part], ended_ns - began_ns);
        (void)atomic_fetch_add(&soak->requests[part], BATCH);
        writer->requests += BATCH;
        if (good && draw(&writer->random, 2000) == 0) {
            good = open_writer(writer);
        }
        const struct timespec pause = {.tv_nsec = PAUSE_US * 1000};
        (void)nanosleep(&pause, NULL);
    }
    return NULL;
}

/* ---- all that else happens ---- */

/* Reads up to what ends an answer, and drops it. */
static void read_until(int fd, const char *end)
{
    char text[65536];
    size_t kept = 0;
    const size_t bytes = strlen(end);

    do {
        const ssize_t count = live_read(fd, text + kept, sizeof(text) - kept);
        assert_true(count > 0);
        kept += (size_t)count;
        if (kept >= bytes && memcmp(text + kept - bytes, end, bytes) == 0) {
            return;
        }
        if (kept > bytes) {
            memmove(text, text + kept - bytes, bytes);
            kept = bytes;
        }
    } while (true);
}

static void ask_all(int fd)
{
    static const char *const sections[] = {"",      "settings", "items",       "slabs",
                                           "sizes", "conns",    "detail dump", "zbud"};

    for (unsigned i = 0; i < sizeof(sections) / sizeof(sections[0]); i++) {
        char line[LINE_BYTES];
        (void)snprintf(line, sizeof(line), "stats %s\r\n", sections[i]);
        live_send(fd, line);
        read_until(fd, "END\r\n");
    }
    live_ask(fd, "stats check\r\n", "STAT check ok\r\nEND\r\n");
    live_send(fd, "lru_crawler metadump all\r\n");
    read_until(fd, "END\r\n");
    live_ask(fd, "verbosity 0\r\n", "OK\r\n");
    live_ask(fd, "slabs automove 0\r\n", "OK\r\n");
    live_ask(fd, "mn\r\n", "MN\r\n");
}

/* Comes, leaves something unfinished, goes. */
static void come_and_go(const struct live *live, uint32_t *random)
{
    static const char *const halves[] = {"ge", "set x 0 0 100000\r\nabc", "get w0.1 w1.2\r\n",
                                         "",   "watch mutations\r\n",     "bad command\r\n"};
    const struct linger abort = {.l_onoff = 1, .l_linger = 0};
    const int fd = live_connect(live);

    live_send(fd, halves[draw(random, 6)]);
    if (draw(random, 2) == 0) {
        (void)setsockopt(fd, SOL_SOCKET, SO_LINGER, &abort, sizeof(abort));
    }
    (void)close(fd);
}

/* What the process takes beside what it is asked to keep. */
struct size {
    size_t rss_bytes;
    uint64_t charged_bytes;
};

static struct size size_of(const struct live *live, int fd)
{
    const struct size size = {live_rss_bytes(live),
                              live_stat_over(fd, "zbud", "memory_charged_bytes")};

    if (!INSTRUMENTED && size.rss_bytes > MEMORY_MB * MIB / 100 * 102) {
        fail_msg("RSS %zu is above -m and 2 %%", size.rss_bytes);
    }
    return size;
}

static void print_part(const struct soak *soak, unsigned part, const struct size *size)
{
    const uint64_t requests = atomic_load(&soak->requests[part]);

    print_message(
        "part %u: %lu requests, %.1f us each, RSS %.1f MiB, %.1f charged\n", part + 1,
        (unsigned long)requests,
        requests > 0 ? (double)atomic_load(&soak->latency_ns[part]) / 1e3 / (double)requests : 0.0,
        (double)size->rss_bytes / MIB, (double)size->charged_bytes / MIB);
}

/* Until the time is over. */
static void disturb(struct soak *soak, int fd)
{
    struct size size;
    unsigned part = 0, most_part = 0;
    uint32_t random = 99, round = 0;

    for (uint64_t ns = now_ns(); ns - soak->started_ns < soak->soak_ns; ns = now_ns()) {
        part = part_of(soak, ns);
        if (part != most_part) {
            size = size_of(&soak->live, fd);
            print_part(soak, most_part, &size);
            most_part = part;
        }
        come_and_go(&soak->live, &random);
        if (++round % 32 == 0) {
            ask_all(fd);
        }
        if (round % 499 == 0) {
            live_ask(fd, "flush_all\r\n", "OK\r\n");
        }
        if (round % 67 == 0) {
            live_ask(fd, "cache_memlimit 24\r\n", "OK\r\n");
            live_nap_ms(200);
            live_ask(fd, "cache_memlimit 32\r\n", "OK\r\n");
        }
        (void)size_of(&soak->live, fd);
        live_nap_ms(50);
    }
    size = size_of(&soak->live, fd);
    print_part(soak, PARTS - 1, &size);
}

/* ---- afterwards ---- */

static uint64_t count_dumped(int fd)
{
    char text[65536];
    uint64_t lines = 0;
    char last[5] = "";
    size_t known = 0;

    live_send(fd, "lru_crawler metadump all\r\n");
    do {
        const ssize_t count = live_read(fd, text, sizeof(text));
        assert_true(count > 0);
        for (ssize_t i = 0; i < count; i++) {
            lines += text[i] == '\n';
            memmove(last, last + 1, 4);
            last[4] = text[i];
            known++;
        }
    } while (known < 5 || memcmp(last, "END\r\n", 5) != 0);
    return lines - 2; /* of which the first is "OK" and the last "END" */
}

/* Nobody writes any more. What expires meanwhile goes from both; so until they agree, and they must
 * while nothing does. */
static void check_items(int fd)
{
    uint64_t items = 0, dumped = 1;

    for (unsigned tries = 0; items != dumped; tries++) {
        items = live_stat_over(fd, "", "curr_items");
        dumped = count_dumped(fd);
        if (items != live_stat_over(fd, "", "curr_items")) {
            dumped = items + 1;
        }
        if (tries > LIVE_WAIT_S * 2) {
            fail_msg("curr_items %lu, a dump finds %lu", (unsigned long)items,
                     (unsigned long)dumped);
        }
        live_nap_ms(500);
    }
    print_message("%lu items, as a dump finds\n", (unsigned long)items);
    assert_true(items > 0);
}

/* After a flush nothing counts any more. */
static void check_bytes(int fd)
{
    live_ask(fd, "flush_all\r\n", "OK\r\n");
    for (unsigned tries = 0; live_stat_over(fd, "", "curr_items") > 0; tries++) {
        assert_true(tries < LIVE_WAIT_S * 10);
        live_nap_ms(100);
    }
    assert_int_equal(live_stat_over(fd, "", "bytes"), 0);
    assert_int_equal(live_stat_over(fd, "zbud", "records"), 0);
}

static uint64_t charged_but_dictionaries(int fd)
{
    return live_stat_over(fd, "zbud", "memory_charged_bytes") -
           live_stat_over(fd, "zbud", "dictionary_bytes");
}

/* With the connections gone nothing is left of them, though not at once: what a learning takes is
 * given back when it ends. */
static void check_growth(int fd, uint64_t before)
{
    uint64_t after = charged_but_dictionaries(fd);

    for (unsigned tries = 0; after > before + GROWN_BYTES_MAX; tries++) {
        if (tries > LIVE_WAIT_S * 10) {
            fail_msg("%lu bytes charged, %lu at the start", (unsigned long)after,
                     (unsigned long)before);
        }
        live_nap_ms(100);
        after = charged_but_dictionaries(fd);
    }
    print_message("charged: %.1f MiB, %.1f at the start\n", (double)after / MIB,
                  (double)before / MIB);
}

static unsigned soak_seconds(void)
{
    const char *text = getenv("ZBCACHED_SOAK_S");
    const unsigned long seconds = text != NULL ? strtoul(text, NULL, 10) : SOAK_S;

    return seconds > 0 ? (unsigned)seconds : SOAK_S;
}

static void test_soak(void **state)
{
    struct soak *soak = calloc(1, sizeof(*soak));
    struct writer *writers = calloc(WRITERS, sizeof(*writers));

    (void)state;
    assert(soak != NULL && writers != NULL);
    live_start(&soak->live, "-m 32 -t 4 -D . -o track_sizes");
    const int fd = live_connect(&soak->live);
    const uint64_t charged = charged_but_dictionaries(fd);
    soak->soak_ns = (uint64_t)soak_seconds() * NS_PER_S;
    soak->started_ns = now_ns();
    for (unsigned i = 0; i < WRITERS; i++) {
        writers[i].soak = soak;
        writers[i].number = i;
        writers[i].random = i + 1;
        const int failed = pthread_create(&writers[i].thread, NULL, write_on, &writers[i]);
        assert(!failed);
    }
    disturb(soak, fd);
    atomic_store(&soak->stop, true);
    for (unsigned i = 0; i < WRITERS; i++) {
        const int failed = pthread_join(writers[i].thread, NULL);
        assert(!failed);
        print_message("writer %u: %lu requests, %lu hits, %lu misses\n", i,
                      (unsigned long)writers[i].requests, (unsigned long)writers[i].hits,
                      (unsigned long)writers[i].misses);
        if (writers[i].wrong[0] != '\0') {
            fail_msg("%s", writers[i].wrong);
        }
        assert_true(writers[i].hits > 0);
        (void)fclose(writers[i].in);
    }
    check_items(fd);
    check_bytes(fd);
    check_growth(fd, charged);
    live_ask(fd, "stats check\r\n", "STAT check ok\r\nEND\r\n");
    (void)close(fd);
    assert_int_equal(live_stop(&soak->live, SIGTERM), 0);
    free(writers);
    free(soak);
}

int main(void)
{
    static const struct CMUnitTest tests[] = {cmocka_unit_test(test_soak)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
