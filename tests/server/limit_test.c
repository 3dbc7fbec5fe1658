/*
 * limit_test.c - the memory limit, whatever clients do: RSS stays within -m and 2 % all the while,
 * the others are served, and what was held comes back.
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
#include "tests/warm/model.h"

#include <assert.h>
#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define MIB                ((size_t)1 << 20)
#define PERCENT_OVER       2u
#define SAMPLE_MS          100
#define LINE_BYTES         128u
#define LARGE_BYTES        1000000u /* of a large value: within the default -I */
#define LARGE_COUNT        8u
#define KEYS_A_MULTIGET    10000u
/* Sanitizers make all of it several times slower, and their memory says nothing of the limit. */
#define IDLE_MAX           (INSTRUMENTED ? 1000u : 4000u)
#define MULTIGETS          (INSTRUMENTED ? 30u : 100u)
#define SENDERS            (INSTRUMENTED ? 60u : 400u)
#define READERS            (INSTRUMENTED ? 30u : 100u)
#define SPARE_FILES        200u
/* What stays charged: a heap in pieces, and a mebibyte by which charges are late to fall. */
#define CHARGED_MORE_BYTES (3 * MIB)
#define STORM_LARGE_MB     (INSTRUMENTED ? 64u : 256u)
#define ROUNDS             (INSTRUMENTED ? 3u : 6u) /* each takes a third */
#define ROUND_MS           500

/* ---- RSS, every 100 ms ---- */

struct sampler {
    pid_t pid;
    atomic_bool stop;
    atomic_size_t limit_bytes; /* 0: samples do not count */
    size_t over_bytes_max;     /* above limit and 2 % */
    size_t bytes_max;
    size_t files_bytes; /* of those, code and data of the program's files */
    unsigned samples;
    pthread_t thread;
};

static size_t read_rss(pid_t pid, size_t *files_bytes)
{
    char path[64];
    unsigned long pages = 0, files_pages = 0;

    (void)snprintf(path, sizeof(path), "/proc/%ld/statm", (long)pid);
    FILE *file = fopen(path, "re");
    assert(file != NULL);
    const int found = fscanf(file, "%*u %lu %lu", &pages, &files_pages);
    assert(found == 2);
    (void)fclose(file);
    *files_bytes = files_pages * (size_t)sysconf(_SC_PAGESIZE);
    return pages * (size_t)sysconf(_SC_PAGESIZE);
}

/* The kernel's own high-water mark sees what lay between two samples. */
static size_t read_rss_max(pid_t pid)
{
    char path[64], line[LINE_BYTES];
    unsigned long kib = 0;

    (void)snprintf(path, sizeof(path), "/proc/%ld/status", (long)pid);
    FILE *file = fopen(path, "re");
    assert(file != NULL);
    while (fgets(line, sizeof(line), file) != NULL && sscanf(line, "VmHWM: %lu", &kib) != 1) {
    }
    (void)fclose(file);
    return kib << 10;
}

static void *sample(void *context)
{
    struct sampler *sampler = context;

    while (!atomic_load(&sampler->stop)) {
        const size_t limit_bytes = atomic_load(&sampler->limit_bytes);
        const size_t most_bytes = limit_bytes / 100 * (100 + PERCENT_OVER);
        size_t files_bytes;
        const size_t rss_bytes = read_rss(sampler->pid, &files_bytes);
        /* While the limit moves nothing is said about it. */
        if (limit_bytes != 0 && limit_bytes == atomic_load(&sampler->limit_bytes)) {
            if (rss_bytes > most_bytes && rss_bytes - most_bytes > sampler->over_bytes_max) {
                sampler->over_bytes_max = rss_bytes - most_bytes;
            }
            if (rss_bytes > sampler->bytes_max) {
                sampler->bytes_max = rss_bytes;
                sampler->files_bytes = files_bytes;
            }
            sampler->samples++;
        }
        live_nap_ms(SAMPLE_MS);
    }
    return NULL;
}

static void sampler_start(struct sampler *sampler, const struct live *live, size_t limit_bytes)
{
    *sampler = (struct sampler){.pid = live->pid, .limit_bytes = limit_bytes};
    const int failed = pthread_create(&sampler->thread, NULL, sample, sampler);
    assert(!failed);
}

/* -m is a promise about the whole process; a sanitizer's own memory is not part of it. */
static void sampler_stop(struct sampler *sampler)
{
    atomic_store(&sampler->stop, true);
    const int failed = pthread_join(sampler->thread, NULL);
    assert(!failed);
    print_message("RSS at most %.1f MiB, %.1f of it files, in %u samples\n",
                  (double)sampler->bytes_max / MIB, (double)sampler->files_bytes / MIB,
                  sampler->samples);
    assert_true(sampler->samples > 0);
    if (!INSTRUMENTED && sampler->over_bytes_max > 0) {
        fail_msg("RSS was %zu KiB above the limit and 2 %%", sampler->over_bytes_max >> 10);
    }
}

/* ---- a client that behaves ---- */

/* Its thread may not use cmocka: what went wrong is said when it is stopped. */
struct modest {
    FILE *in;
    int fd;
    unsigned value_bytes;
    long nap_ms; /* after each store and get */
    atomic_bool stop;
    uint64_t stored, refused, hits, misses;
    char wrong[LINE_BYTES + 64];
    char *value; /* with its \r\n */
    char *got;
    pthread_t thread;
};

/* An answer's line without its end; false where none came. */
static bool read_line(struct modest *modest, char line[LINE_BYTES])
{
    if (fgets(line, LINE_BYTES, modest->in) == NULL) {
        (void)snprintf(modest->wrong, sizeof(modest->wrong), "no answer: %s", strerror(errno));
        return false;
    }
    line[strcspn(line, "\r\n")] = '\0';
    return true;
}

static bool send_all(struct modest *modest, const char *bytes, size_t count)
{
    for (size_t at = 0; at < count;) {
        const ssize_t sent = send(modest->fd, bytes + at, count - at, MSG_NOSIGNAL);
        if (sent <= 0) {
            (void)snprintf(modest->wrong, sizeof(modest->wrong), "send: %s", strerror(errno));
            return false;
        }
        at += (size_t)sent;
    }
    return true;
}

static bool is_refusal(struct modest *modest, const char *line, const char *refusal)
{
    if (strcmp(line, refusal) == 0) {
        modest->refused++;
        return true;
    }
    (void)snprintf(modest->wrong, sizeof(modest->wrong), "unexpected: %s", line);
    return false;
}

static bool set_one(struct modest *modest, uint32_t number)
{
    char line[LINE_BYTES];
    const int bytes = snprintf(line, sizeof(line), "set modest%u.%u 0 0 %u\r\n", number,
                               modest->value_bytes, modest->value_bytes);

    live_fill(modest->value, modest->value_bytes, number);
    memcpy(modest->value + modest->value_bytes, "\r\n", 2);
    if (!send_all(modest, line, (size_t)bytes) ||
        !send_all(modest, modest->value, modest->value_bytes + 2) || !read_line(modest, line)) {
        return false;
    }
    if (strcmp(line, "STORED") == 0) {
        modest->stored++;
        return true;
    }
    return is_refusal(modest, line, "SERVER_ERROR out of memory storing object");
}

/* What comes is what was stored. */
static bool get_one(struct modest *modest, uint32_t number)
{
    char line[LINE_BYTES], wanted[LINE_BYTES];
    const int bytes =
        snprintf(line, sizeof(line), "get modest%u.%u\r\n", number, modest->value_bytes);

    (void)snprintf(wanted, sizeof(wanted), "VALUE modest%u.%u 0 %u", number, modest->value_bytes,
                   modest->value_bytes);
    if (!send_all(modest, line, (size_t)bytes) || !read_line(modest, line)) {
        return false;
    }
    if (strcmp(line, "END") == 0) {
        modest->misses++;
        return true;
    }
    if (strcmp(line, wanted) != 0) {
        return is_refusal(modest, line, "SERVER_ERROR out of memory writing get response");
    }
    live_fill(modest->value, modest->value_bytes, number);
    if (fread(modest->got, 1, modest->value_bytes + 2, modest->in) != modest->value_bytes + 2 ||
        memcmp(modest->got, modest->value, modest->value_bytes) != 0 || !read_line(modest, line) ||
        strcmp(line, "END") != 0) {
        (void)snprintf(modest->wrong, sizeof(modest->wrong), "a value is not what was stored");
        return false;
    }
    modest->hits++;
    return true;
}

static void *behave(void *context)
{
    struct modest *modest = context;
    bool good = true;

    for (uint32_t number = 0; good && !atomic_load(&modest->stop); number++) {
        good = set_one(modest, number) && get_one(modest, number - number % 7);
        if (modest->nap_ms > 0) {
            live_nap_ms(modest->nap_ms);
        }
    }
    return NULL;
}

static void modest_start(struct modest *modest, const struct live *live, unsigned value_bytes,
                         long nap_ms)
{
    *modest =
        (struct modest){.fd = live_connect(live), .value_bytes = value_bytes, .nap_ms = nap_ms};
    modest->in = fdopen(modest->fd, "r");
    modest->value = malloc(value_bytes + 2);
    modest->got = malloc(value_bytes + 2);
    assert(modest->in != NULL && modest->value != NULL && modest->got != NULL);
    const int failed = pthread_create(&modest->thread, NULL, behave, modest);
    assert(!failed);
}

static void modest_stop(struct modest *modest)
{
    atomic_store(&modest->stop, true);
    const int failed = pthread_join(modest->thread, NULL);
    assert(!failed);
    (void)fclose(modest->in);
    free(modest->value);
    free(modest->got);
    print_message("values of %u: %lu stored, %lu hits, %lu misses, %lu refused\n",
                  modest->value_bytes, (unsigned long)modest->stored, (unsigned long)modest->hits,
                  (unsigned long)modest->misses, (unsigned long)modest->refused);
    if (modest->wrong[0] != '\0') {
        fail_msg("%s", modest->wrong);
    }
    assert_true(modest->stored > 0 && modest->hits > 0);
}

/* ---- clients that do not ---- */

struct text {
    char *bytes;
    size_t count;
};

/* What the hostile send, made once. */
struct storm {
    struct text multigets; /* lines of 10,000 keys, found and not */
    struct text large_gets;
    struct text large_set; /* of a value without its end */
};

struct hostile {
    int fd; /* -1: given up by the server, or not open */
    const struct text *text;
    size_t at;
    size_t stop_at;
};

__attribute__((format(printf, 2, 3))) static void append(struct text *text, const char *format, ...)
{
    va_list values;

    va_start(values, format);
    text->count += (size_t)vsprintf(text->bytes + text->count, format, values);
    va_end(values);
}

static struct storm make_storm(void)
{
    struct storm storm = {{malloc((size_t)KEYS_A_MULTIGET * 30), 0},
                          {malloc((size_t)LARGE_COUNT * 30), 0},
                          {malloc(LARGE_BYTES + LINE_BYTES), 0}};

    assert(storm.multigets.bytes != NULL && storm.large_gets.bytes != NULL &&
           storm.large_set.bytes != NULL);
    for (unsigned line = 0; line < 2; line++) {
        append(&storm.multigets, "get");
        for (unsigned i = 0; i < KEYS_A_MULTIGET; i++) {
            append(&storm.multigets, " small%u", i);
        }
        append(&storm.multigets, "\r\n");
    }
    for (unsigned i = 0; i < LARGE_COUNT; i++) {
        append(&storm.large_gets, "get large%u\r\n", i);
    }
    append(&storm.large_set, "set hostile 0 0 %u\r\n", LARGE_BYTES);
    live_fill(storm.large_set.bytes + storm.large_set.count, LARGE_BYTES, 3);
    storm.large_set.count += LARGE_BYTES;
    return storm;
}

static void free_storm(struct storm *storm)
{
    free(storm->multigets.bytes);
    free(storm->large_gets.bytes);
    free(storm->large_set.bytes);
}

static void hostile_close(struct hostile *hostile, bool abruptly)
{
    const struct linger abort = {.l_onoff = 1, .l_linger = 0};

    if (hostile->fd >= 0) {
        if (abruptly) {
            (void)setsockopt(hostile->fd, SOL_SOCKET, SO_LINGER, &abort, sizeof(abort));
        }
        (void)close(hostile->fd);
        hostile->fd = -1;
    }
}

static void hostile_open(struct hostile *hostile, const struct live *live, const struct text *text,
                         size_t stop_at)
{
    *hostile = (struct hostile){.fd = live_connect(live), .text = text, .stop_at = stop_at};
}

/* Sends what the socket takes. */
static void hostile_push(struct hostile *hostile)
{
    while (hostile->fd >= 0 && hostile->at < hostile->stop_at) {
        const ssize_t sent = send(hostile->fd, hostile->text->bytes + hostile->at,
                                  hostile->stop_at - hostile->at, MSG_NOSIGNAL | MSG_DONTWAIT);
        if (sent > 0) {
            hostile->at += (size_t)sent;
        } else if (errno == EAGAIN) {
            return;
        } else {
            hostile_close(hostile, false);
        }
    }
}

static void open_one(struct hostile *hostile, const struct live *live, const struct storm *storm,
                     unsigned number)
{
    if (number < MULTIGETS) {
        hostile_open(hostile, live, &storm->multigets, storm->multigets.count);
    } else if (number < MULTIGETS + READERS) {
        hostile_open(hostile, live, &storm->large_gets, storm->large_gets.count);
    } else {
        /* Whole but for its end; half; a piece that malloc keeps on its heap. */
        const size_t parts[] = {1, 2, 20, 40};
        hostile_open(hostile, live, &storm->large_set, storm->large_set.count / parts[number % 4]);
    }
}

/* All at once, and each round a third of them goes and comes again, in order or with an abort. */
static void rage(const struct live *live, const struct storm *storm)
{
    const unsigned count = MULTIGETS + READERS + SENDERS;
    struct hostile *hostiles = malloc(count * sizeof(*hostiles));

    assert(hostiles != NULL);
    for (unsigned i = 0; i < count; i++) {
        open_one(&hostiles[i], live, storm, i);
    }
    for (unsigned round = 0; round < ROUNDS; round++) {
        for (unsigned step = 0; step < 20; step++) {
            for (unsigned i = 0; i < count; i++) {
                hostile_push(&hostiles[i]);
            }
            live_nap_ms(ROUND_MS / 20);
        }
        for (unsigned i = round % 3; i < count; i += 3) {
            hostile_close(&hostiles[i], i % 2 == 0);
            open_one(&hostiles[i], live, storm, i);
        }
    }
    for (unsigned i = 0; i < count; i++) {
        hostile_close(&hostiles[i], i % 2 == 0);
    }
    free(hostiles);
}

/* ---- many that are idle ---- */

/* As many as there are descriptors for, here and in the server. */
static unsigned idle_count(void)
{
    const unsigned others = MULTIGETS + READERS + SENDERS + SPARE_FILES;
    const unsigned files = live_files(IDLE_MAX + others);

    assert_true(files > 2 * others);
    return files - others;
}

/* Half of them stop in the middle of a command. */
static int *open_idle(const struct live *live, unsigned count)
{
    int *fds = malloc(count * sizeof(*fds));

    assert(fds != NULL);
    for (unsigned i = 0; i < count; i++) {
        fds[i] = live_connect(live);
        if (i % 2 == 0) {
            live_send(fds[i], "ge");
        }
    }
    return fds;
}

/* They are all still there, and go on where they stopped. */
static void close_idle(int *fds, unsigned count)
{
    for (unsigned i = 0; i < count; i++) {
        live_ask(fds[i], i % 2 == 0 ? "t none\r\n" : "get none\r\n", "END\r\n");
        (void)close(fds[i]);
    }
    free(fds);
}

/* ---- the cache ---- */

static void set_quietly(int fd, const char *name, unsigned number, const char *value, size_t bytes)
{
    char line[LINE_BYTES];

    (void)snprintf(line, sizeof(line), "set %s%u 0 0 %zu noreply\r\n", name, number, bytes);
    live_send(fd, line);
    live_send_bytes(fd, value, bytes);
    live_send(fd, "\r\n");
}

/* Until it is full and more: what cannot be compressed, and what the hostile ask for. Says how many
 * items there are then. */
static uint64_t fill(const struct live *live, unsigned memory_mb)
{
    const size_t bytes = 20000;
    char *value = malloc(LARGE_BYTES);
    const int fd = live_connect(live);

    assert(value != NULL);
    live_fill(value, LARGE_BYTES, 8);
    for (unsigned i = 0; i < memory_mb * 63; i++) {
        set_quietly(fd, "fill", i, value + i % 1000 * 7, bytes);
    }
    for (unsigned i = 0; i < KEYS_A_MULTIGET; i += 2) {
        set_quietly(fd, "small", i, value + i, 100);
    }
    for (unsigned i = 0; i < LARGE_COUNT; i++) {
        set_quietly(fd, "large", i, value, LARGE_BYTES);
    }
    live_ask(fd, "version\r\n", "VERSION 1.6.45\r\n");
    const uint64_t items = live_stat_over(fd, "", "curr_items");
    assert_true(live_stat_over(fd, "", "evictions") > 0);
    (void)close(fd);
    free(value);
    return items;
}

static void test_storm(unsigned memory_mb, const char *more)
{
    struct live live;
    struct sampler sampler;
    struct modest small, middle;
    char options[4 * LINE_BYTES];
    const unsigned idle = idle_count();
    struct storm storm = make_storm();

    (void)snprintf(options, sizeof(options), "-m %u -t 4 -c 10000 -o no_compress %s", memory_mb,
                   more);
    live_start(&live, options);
    sampler_start(&sampler, &live, memory_mb * MIB);
    const uint64_t items = fill(&live, memory_mb);
    const uint64_t conns_bytes = live_stat(&live, "zbud", "connections_charged_bytes");
    const uint64_t charged_bytes = live_stat(&live, "zbud", "memory_charged_bytes");
    modest_start(&small, &live, 100, 0);
    modest_start(&middle, &live, 100000, 0);
    int *fds = open_idle(&live, idle);
    rage(&live, &storm);
    const uint64_t held_bytes = live_stat(&live, "zbud", "connections_held_bytes");
    close_idle(fds, idle);
    modest_stop(&small);
    modest_stop(&middle);
    print_message("%u idle; held %lu right after the storm\n", idle, (unsigned long)held_bytes);
    assert_int_equal(small.refused, 0);
    live_await_at_most(&live, "", "curr_connections", 1);
    live_await_at_most(&live, "zbud", "connections_held_bytes", 1024);
    live_await_at_most(&live, "zbud", "connections_charged_bytes", conns_bytes);
    live_await_at_most(&live, "zbud", "memory_charged_bytes", charged_bytes + CHARGED_MORE_BYTES);
    const uint64_t items_again = fill(&live, memory_mb);
    const uint64_t charged_again_bytes = live_stat(&live, "zbud", "memory_charged_bytes");
    print_message("%lu items, %lu again; charged %lu, %lu\n", (unsigned long)items,
                  (unsigned long)items_again, (unsigned long)charged_bytes,
                  (unsigned long)charged_again_bytes);
    /* Of what the memory that is not charged would hold. */
    assert_true(items_again * (memory_mb * MIB - charged_bytes) >=
                items * (memory_mb * MIB - charged_again_bytes) / 100 * 95);
    sampler_stop(&sampler);
    const size_t rss_max_bytes = read_rss_max(live.pid);
    print_message("and never above %.1f MiB\n", (double)rss_max_bytes / MIB);
    assert_true(INSTRUMENTED || rss_max_bytes <= memory_mb * MIB / 100 * (100 + PERCENT_OVER));
    const int fd = live_connect(&live);
    live_ask(fd, "stats check\r\n", "STAT check ok\r\nEND\r\n");
    (void)close(fd);
    assert_int_equal(live_stop(&live, SIGTERM), 0);
    free_storm(&storm);
}

static void test_storm_small(void **state)
{
    (void)state;
    test_storm(64, "");
}

/* A file's pages count as they do without: those that are mapped are resident. */
static void test_storm_large_in_a_file(void **state)
{
    char path[WARM_PATH_BYTES], options[LINE_BYTES + WARM_PATH_BYTES];

    (void)state;
    warm_path(path);
    (void)snprintf(options, sizeof(options), "-e %s", path);
    test_storm(STORM_LARGE_MB, options);
    (void)unlink(path);
}

/* ---- a limit that moves ---- */

/* Down and up while two clients store and read: RSS follows within the time a test waits, stays
 * there, and what is shown is the new limit. */
static void test_limit_moves(void **state)
{
    static const unsigned limits_mb[] = {64, 160, 48, 96, 24};
    struct live live;
    struct sampler sampler;
    struct modest small, middle;
    char line[LINE_BYTES];

    (void)state;
    live_start(&live, "-m 128 -t 2 -o no_compress");
    sampler_start(&sampler, &live, 128 * MIB);
    (void)fill(&live, 128);
    modest_start(&small, &live, 100, 1); /* 100 MB a second are enough */
    modest_start(&middle, &live, 100000, 1);
    const int fd = live_connect(&live);
    for (unsigned i = 0; i < sizeof(limits_mb) / sizeof(limits_mb[0]); i++) {
        const size_t limit_bytes = limits_mb[i] * MIB;
        const size_t most_bytes = limit_bytes / 100 * (100 + PERCENT_OVER);
        atomic_store(&sampler.limit_bytes, 0);
        (void)snprintf(line, sizeof(line), "cache_memlimit %u\r\n", limits_mb[i]);
        live_ask(fd, line, "OK\r\n");
        assert_int_equal(live_stat_over(fd, "", "limit_maxbytes"), limit_bytes);
        assert_int_equal(live_stat_over(fd, "settings", "maxbytes"), limit_bytes);
        for (unsigned tries = 0; !INSTRUMENTED && live_rss_bytes(&live) > most_bytes; tries++) {
            assert_true(tries < LIVE_WAIT_S * 100);
            live_nap_ms(10);
        }
        atomic_store(&sampler.limit_bytes, limit_bytes);
        live_nap_ms(1000);
        if (limits_mb[i] > 150) {
            /* What was granted is used. */
            live_await_stat(&live, "zbud", "memory_resident_bytes", limit_bytes / 100 * 80);
        }
    }
    modest_stop(&small);
    modest_stop(&middle);
    sampler_stop(&sampler);
    assert_int_equal(small.refused + middle.refused, 0);
    live_ask(fd, "stats check\r\n", "STAT check ok\r\nEND\r\n");
    (void)close(fd);
    assert_int_equal(live_stop(&live, SIGTERM), 0);
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_limit_moves),
        cmocka_unit_test(test_storm_small),
        cmocka_unit_test(test_storm_large_in_a_file),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
