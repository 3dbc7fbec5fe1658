/*
 * fill.c - ten times the memory of a server, with real contents, over the wire.
 *
 *   fill [--memory-mb N] [--times N] [--seed N] SERVER
 *
 * Starts the server with that memory and drives it with several connections at once (filler.h);
 * meanwhile the server's RSS is read every 100 ms. Then the server's counts are held against the
 * fillers', its figures against each other, and it is asked to check its invariants. A second
 * server, full of small values, takes one of 1 MiB.
 *
 * The corpus is the folder in ZBCACHED_CORPORA, or made from packages. Prints what was done and
 * each case, and closes with "N passed, N failed". In a build with sanitizers RSS is mostly
 * theirs, so the two cases about it are no cases there.
 */
#include "tests/fill/filler.h"
#include "tests/instrumented.h"

#include <assert.h>
#include <inttypes.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define FILLERS_COUNT    3u
#define SAMPLE_MS        100u
#define PERCENT_OVER_MAX 2u
#define HIT_PERCENT_MIN  20u /* of the gets, or the test has not tested values */
#define LATE_MIN         1000u
#define FIGURES_MAX      1024u /* "stats zbud" has some for each of 63 dictionaries */
#define LARGE_BYTES      ((size_t)1 << 20)
#define SMALL_BYTES      200u
#define OPTIONS_BYTES    128u

struct test {
    const char *program;
    uint64_t memory_mb;
    uint64_t times;
    uint64_t seed;
    unsigned passed, failed;
};

static void judge(struct test *test, bool good, const char *what)
{
    printf("    %-6s %s\n", good ? "ok" : "FAILED", what);
    test->passed += good;
    test->failed += !good;
}

/* ---- RSS ---- */

struct sampler {
    const struct peer *peer;
    atomic_bool stop;
    size_t bytes_max;
    unsigned samples;
    pthread_t thread;
};

static void *sample(void *context)
{
    struct sampler *sampler = context;
    struct timespec pause = {.tv_nsec = SAMPLE_MS * 1000000};

    while (!atomic_load(&sampler->stop)) {
        size_t bytes = peer_resident_bytes(sampler->peer);

        sampler->bytes_max = bytes > sampler->bytes_max ? bytes : sampler->bytes_max;
        sampler->samples++;
        nanosleep(&pause, NULL);
    }
    return NULL;
}

static void sampler_start(struct sampler *sampler, const struct peer *peer)
{
    *sampler = (struct sampler){.peer = peer};
    assert(pthread_create(&sampler->thread, NULL, sample, sampler) == 0);
}

/* Ends the sampling; the kernel's own high-water mark sees what lay between two samples. */
static void sampler_stop(struct sampler *sampler)
{
    size_t bytes = peer_resident_bytes_max(sampler->peer);

    atomic_store(&sampler->stop, true);
    assert(pthread_join(sampler->thread, NULL) == 0);
    sampler->bytes_max = bytes > sampler->bytes_max ? bytes : sampler->bytes_max;
}

static void judge_rss(struct test *test, const struct sampler *sampler, uint64_t memory_mb)
{
    uint64_t limit = (memory_mb << 20) / 100 * (100 + PERCENT_OVER_MAX);
    char what[128];

    snprintf(what, sizeof(what), "RSS at most %.1f MB, %.1f %% of -m %" PRIu64 " (%u samples)",
             (double)sampler->bytes_max / 1048576,
             (double)sampler->bytes_max / 10485.76 / (double)memory_mb, memory_mb,
             sampler->samples);
    if (!INSTRUMENTED)
        judge(test, sampler->bytes_max > 0 && sampler->bytes_max <= limit, what);
}

/* ---- the server's own figures ---- */

struct figures {
    unsigned count;
    char names[FIGURES_MAX][48];
    uint64_t values[FIGURES_MAX];
};

static bool read_figures(struct client *client, const char *section, struct figures *figures)
{
    struct client_stat stat;
    enum client_status status = client_stats(client, section);

    figures->count = 0;
    if (status == CLIENT_OK)
        status = client_read_stat(client, &stat);
    for (; status == CLIENT_OK && figures->count < FIGURES_MAX;
         status = client_read_stat(client, &stat)) {
        char digits[32];

        snprintf(figures->names[figures->count], sizeof(figures->names[0]), "%.*s",
                 (int)stat.name.bytes, (const char *)stat.name.data);
        snprintf(digits, sizeof(digits), "%.*s", (int)stat.value.bytes,
                 (const char *)stat.value.data);
        figures->values[figures->count++] = strtoull(digits, NULL, 10);
    }
    return status == CLIENT_END;
}

static uint64_t figure(const struct figures *figures, const char *name)
{
    for (unsigned i = 0; i < figures->count; i++) {
        if (strcmp(figures->names[i], name) == 0)
            return figures->values[i];
    }
    fprintf(stderr, "the server has no figure \"%s\"\n", name);
    return UINT64_MAX;
}

static void judge_equal(struct test *test, const char *what, uint64_t one, uint64_t other)
{
    char text[160];

    snprintf(text, sizeof(text), "%s: %" PRIu64 "%s%" PRIu64, what, one,
             one == other ? " = " : " is not ", other);
    judge(test, one == other, text);
}

static void judge_counts(struct test *test, const struct figures *general,
                         const struct filler_counts *sum)
{
    judge_equal(test, "cmd_set is what was sent", figure(general, "cmd_set"), sum->sets);
    judge_equal(test, "get_hits is what came", figure(general, "get_hits"), sum->hits);
    judge_equal(test, "get_misses is the rest", figure(general, "get_misses"),
                sum->gets - sum->hits);
    judge_equal(test, "delete_hits", figure(general, "delete_hits"), sum->deleted);
    judge_equal(test, "delete_misses", figure(general, "delete_misses"),
                sum->deletes - sum->deleted);
}

/* What must hold between the figures of a server that nobody uses; chunks and pages as in zbud/. */
static void judge_zbud(struct test *test, const struct figures *zbud, uint64_t items)
{
    uint64_t small_pages = figure(zbud, "pages_buddied") + figure(zbud, "pages_unbuddied");
    uint64_t chunks_bytes = figure(zbud, "chunks_used") * 64;

    judge_equal(test, "pages_total is the sum of its kinds", figure(zbud, "pages_total"),
                figure(zbud, "pages_free") + small_pages + figure(zbud, "pages_large") +
                    figure(zbud, "pages_index") + figure(zbud, "pages_expiry"));
    judge_equal(test, "bytes_used is its chunks", figure(zbud, "bytes_used"), chunks_bytes);
    judge_equal(test, "chunks and slack fill the pages", chunks_bytes + figure(zbud, "slack_bytes"),
                small_pages * 63 * 64);
    judge_equal(test, "records are curr_items", figure(zbud, "records"), items);
    judge(test,
          figure(zbud, "live_bytes") + figure(zbud, "dead_bytes") <=
              chunks_bytes + figure(zbud, "pages_large") * 4096,
          "live and dead bytes lie within the pages");
    judge(test, figure(zbud, "pages_total") <= figure(zbud, "pages_max"), "no page too many");
    judge(test, figure(zbud, "raw_bytes") > figure(zbud, "stored_bytes"), "values got smaller");
    judge(test, figure(zbud, "pages_reclaimed") > 0 && figure(zbud, "records_evicted") > 0,
          "pages were reclaimed");
}

/* Both answers at a time when the crawler takes no expired item between them. */
static bool read_at_rest(struct client *client, struct figures *general, struct figures *zbud)
{
    const struct timespec pause = {.tv_nsec = SAMPLE_MS * 1000000};

    for (unsigned tries = 0; tries < 100; tries++) {
        uint64_t items;

        if (!read_figures(client, "", general))
            return false;
        items = figure(general, "curr_items");
        if (!read_figures(client, "zbud", zbud) || !read_figures(client, "", general))
            return false;
        if (items == figure(general, "curr_items"))
            return true;
        nanosleep(&pause, NULL);
    }
    return false;
}

static bool invariants_hold(struct client *client)
{
    struct client_stat stat;

    return client_stats(client, "check") == CLIENT_OK &&
           client_read_stat(client, &stat) == CLIENT_OK && stat.value.bytes == 2 &&
           memcmp(stat.value.data, "ok", 2) == 0 && client_read_stat(client, &stat) == CLIENT_END;
}

static void judge_figures(struct test *test, const struct peer *peer,
                          const struct filler_counts *sum)
{
    struct client *client = client_new();
    struct figures *general = calloc(1, sizeof(*general));
    struct figures *zbud = calloc(1, sizeof(*zbud));

    assert(client != NULL && general != NULL && zbud != NULL);
    judge(test, peer_connect(peer, client) == CLIENT_OK && read_at_rest(client, general, zbud),
          "the server answers \"stats\" and \"stats zbud\"");
    judge_counts(test, general, sum);
    judge_zbud(test, zbud, figure(general, "curr_items"));
    judge(test, invariants_hold(client), "\"stats check\" finds every invariant kept");
    printf("    %" PRIu64 " records, %" PRIu64 " raw bytes in %" PRIu64 " stored, %" PRIu64
           " evicted, %" PRIu64 " rescued, reclaim p99 %" PRIu64 " us\n",
           figure(zbud, "records"), figure(zbud, "raw_bytes"), figure(zbud, "stored_bytes"),
           figure(zbud, "records_evicted"), figure(zbud, "records_rescued"),
           figure(zbud, "reclaim_us_p99"));
    client_free(client);
    free(general);
    free(zbud);
}

/* ---- filling ---- */

static void *run_filler(void *context)
{
    struct filler *filler = context;

    return filler_run(filler) ? filler : NULL;
}

static void add_counts(struct filler_counts *sum, const struct filler_counts *counts)
{
    sum->sets += counts->sets;
    sum->overwrites += counts->overwrites;
    sum->gets += counts->gets;
    sum->hits += counts->hits;
    sum->deletes += counts->deletes;
    sum->deleted += counts->deleted;
    sum->bytes_set += counts->bytes_set;
    sum->with_ttl += counts->with_ttl;
    sum->gets_late += counts->gets_late;
}

static bool run_fillers(struct filler *const fillers[FILLERS_COUNT], struct filler_counts *sum)
{
    pthread_t threads[FILLERS_COUNT];
    bool good = true;

    for (unsigned i = 0; i < FILLERS_COUNT; i++)
        assert(pthread_create(&threads[i], NULL, run_filler, fillers[i]) == 0);
    for (unsigned i = 0; i < FILLERS_COUNT; i++) {
        struct filler_counts counts;
        void *result;

        assert(pthread_join(threads[i], &result) == 0);
        if (result == NULL)
            printf("    filler %u: %s\n", i, filler_error(fillers[i]));
        good = good && result != NULL;
        filler_counts(fillers[i], &counts);
        add_counts(sum, &counts);
    }
    return good;
}

static void fill(struct test *test, struct peer *peer, struct corpus *corpus)
{
    pthread_mutex_t corpus_lock = PTHREAD_MUTEX_INITIALIZER;
    struct filler *fillers[FILLERS_COUNT];
    struct filler_counts sum = {0};
    struct sampler sampler;
    bool good;

    for (unsigned i = 0; i < FILLERS_COUNT; i++)
        fillers[i] = filler_new(
            &(struct filler_setup){.peer = peer,
                                   .corpus = corpus,
                                   .corpus_lock = &corpus_lock,
                                   .seed = test->seed,
                                   .bytes = (test->memory_mb << 20) * test->times / FILLERS_COUNT,
                                   .number = i});
    sampler_start(&sampler, peer);
    good = run_fillers(fillers, &sum);
    sampler_stop(&sampler);
    printf("    %" PRIu64 " sets (%.0f MB, %" PRIu64 " of a key again, %" PRIu64
           " with a TTL), %" PRIu64 " gets (%" PRIu64 " hits), %" PRIu64 " deletes\n",
           sum.sets, (double)sum.bytes_set / 1048576, sum.overwrites, sum.with_ttl, sum.gets,
           sum.hits, sum.deletes);
    judge(test, good, "every get gave the exact bytes stored last, or nothing");
    judge(test, sum.hits * 100 >= sum.gets * HIT_PERCENT_MIN, "gets found something to compare");
    judge(test, sum.gets_late >= LATE_MIN, "gets asked for items whose time was over");
    judge_rss(test, &sampler, test->memory_mb);
    judge_figures(test, peer, &sum);
    for (unsigned i = 0; i < FILLERS_COUNT; i++)
        filler_free(fillers[i]);
}

static void test_fill(struct test *test)
{
    char error[PEER_ERROR_BYTES];
    char options[OPTIONS_BYTES];
    struct corpus *corpus = corpus_new(getenv("ZBCACHED_CORPORA"), "mix", test->seed, error);
    struct peer *peer;

    snprintf(options, sizeof(options), "-m %" PRIu64 " -t 2", test->memory_mb);
    peer = corpus != NULL ? peer_start(test->program, options, PEER_TCP, error) : NULL;
    if (peer == NULL) {
        judge(test, false, error);
    } else {
        fill(test, peer, corpus);
        judge(test, peer_stop(peer), "the server ends in good order");
    }
    corpus_free(corpus);
}

/* ---- a large value into a cache full of small ones ---- */

/* Half of a value repeats itself, as values do. */
static void make_small(uint64_t *seed, char value[SMALL_BYTES + 1])
{
    for (unsigned i = 0; i < SMALL_BYTES / 20; i++)
        sprintf(value + (size_t)20 * i, "%010" PRIu64 "name=value",
                corpus_random(seed) % UINT64_C(10000000000));
}

static bool fill_small(struct client *client, uint64_t bytes)
{
    uint64_t seed = 1;
    enum client_status status = CLIENT_OK;

    for (uint64_t i = 0; status == CLIENT_OK && i * SMALL_BYTES < bytes; i++) {
        char value[SMALL_BYTES + 1];
        char text[SMALL_BYTES + 80];
        int text_bytes;

        make_small(&seed, value);
        text_bytes =
            sprintf(text, "set small:%" PRIu64 " 0 0 %u noreply\r\n%s\r\n", i, SMALL_BYTES, value);
        status = client_queue(client, text, (size_t)text_bytes);
        if (status == CLIENT_OK && i % 100 == 0)
            status = client_flush(client);
    }
    return status == CLIENT_OK && client_flush(client) == CLIENT_OK;
}

static bool large_value_survives(struct client *client)
{
    uint8_t *bytes = malloc(LARGE_BYTES);
    uint64_t seed = 2;
    struct client_value value;
    bool good;

    assert(bytes != NULL);
    for (size_t i = 0; i < LARGE_BYTES; i++)
        bytes[i] = (uint8_t)corpus_random(&seed);
    good = client_store(client, CLIENT_SET,
                        &(struct client_item){.key = "large",
                                              .key_bytes = 5,
                                              .value = bytes,
                                              .value_bytes = LARGE_BYTES}) == CLIENT_OK &&
           client_get(client, "large", 5, &value) == CLIENT_OK && value.data.bytes == LARGE_BYTES &&
           memcmp(value.data.data, bytes, LARGE_BYTES) == 0;
    free(bytes);
    return good;
}

static void test_large_value(struct test *test)
{
    const uint64_t memory_mb = 64;
    char error[PEER_ERROR_BYTES];
    struct peer *peer = peer_start(test->program, "-m 64 -I 2m -t 2", PEER_TCP, error);
    struct client *client = client_new();
    struct figures *zbud = calloc(1, sizeof(*zbud));
    struct sampler sampler;

    assert(client != NULL && zbud != NULL);
    if (peer == NULL) {
        judge(test, false, error);
    } else {
        sampler_start(&sampler, peer);
        judge(test,
              peer_connect(peer, client) == CLIENT_OK &&
                  fill_small(client, (memory_mb << 20) * 2) && read_figures(client, "zbud", zbud) &&
                  figure(zbud, "records_evicted") > 0,
              "-m 64 is full of values of 200 bytes");
        judge(test, large_value_survives(client), "a value of 1 MiB is stored and read back");
        judge(test, invariants_hold(client), "\"stats check\" finds every invariant kept");
        sampler_stop(&sampler);
        judge_rss(test, &sampler, memory_mb);
        judge(test, peer_stop(peer), "the server ends in good order");
    }
    client_free(client);
    free(zbud);
}

/* ---- the command line ---- */

static bool take_number(const char *text, uint64_t *number)
{
    char *end;

    if (text == NULL)
        return false;
    *number = strtoull(text, &end, 10);
    return *end == '\0' && *number > 0;
}

static bool read_arguments(struct test *test, int argc, char **argv)
{
    bool good = true;

    for (int i = 1; good && i < argc; i++) {
        if (strcmp(argv[i], "--memory-mb") == 0)
            good = take_number(argv[++i], &test->memory_mb);
        else if (strcmp(argv[i], "--times") == 0)
            good = take_number(argv[++i], &test->times);
        else if (strcmp(argv[i], "--seed") == 0)
            good = take_number(argv[++i], &test->seed);
        else
            test->program = argv[i];
    }
    return good && test->program != NULL;
}

int main(int argc, char **argv)
{
    struct test test = {.memory_mb = 256, .times = 10, .seed = 20261122};
    const char *folder = getenv("ZBCACHED_CORPORA");

    if (!read_arguments(&test, argc, argv)) {
        fprintf(stderr, "usage: fill [--memory-mb N] [--times N] [--seed N] SERVER\n");
        return EXIT_FAILURE;
    }
    printf("  -m %" PRIu64 ", filled %" PRIu64 " times with %s, seed %" PRIu64 "\n", test.memory_mb,
           test.times, corpus_origin(folder), test.seed);
    test_fill(&test);
    printf("  a large value into a full cache\n");
    test_large_value(&test);
    printf("%u passed, %u failed\n", test.passed, test.failed);
    return test.failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
