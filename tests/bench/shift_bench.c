/*
 * shift_bench.c - hits while the sizes of values change, ours against memcached.
 *
 * Three phases of --requests each: values of about 100 bytes, of 2 KiB, of 300 bytes, every phase
 * with keys of its own, in number such that --memory-mb is --memory-pct of what memcached would
 * need for all of them. Both servers (ours with the RSS of memcached) play the same stream in step.
 *
 * A cache is calcified when its memory stays divided as the sizes of yesterday asked for. To see
 * that, from the second phase on a *fresh* server of each kind plays along, started empty with the
 * phase: where the old one comes to hit as often as the fresh one, nothing is left of yesterday.
 */
#include "tests/bench/bench.h"
#include "tests/bench/bench_server.h"
#include "tests/bench/options.h"
#include "tests/bench/player.h"
#include "tests/bench/stream.h"
#include "tests/corpus/corpus.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define POINTS_A_PHASE   10u
#define TEXT_BYTES       ((size_t)16 << 20)
#define HEADER_KEY_BYTES 67u /* memcached's header, and a key */
#define CHURN_PART       .002
#define OPTIONS_BYTES    512u

static const size_t PHASES_VALUE_BYTES[] = {100, 2048, 300};
#define PHASES_COUNT (sizeof(PHASES_VALUE_BYTES) / sizeof(PHASES_VALUE_BYTES[0]))

enum {
    OURS = OPTIONS_OURS,
    THEIRS = OPTIONS_THEIRS,
    OURS_FRESH,
    THEIRS_FRESH,
    SERVERS_COUNT
};

struct bench {
    uint64_t memory_mb, requests;
    double memory_percent, skew, writes_percent;
    const char *corpus_name;
    const char *options;
    const char *programs[OPTIONS_PROGRAMS];
    const char *folder;
    uint8_t *text;
    size_t text_bytes;
    unsigned phase;
    uint64_t resident_mb;
    struct bench_server *servers[SERVERS_COUNT];
    struct player *players[SERVERS_COUNT];
};

/* ---- contents ---- */

/* Contents of many items one behind the other; values are cut out of it. */
static void open_text(struct bench *bench)
{
    char error[CORPUS_ERROR_BYTES_MAX];
    struct corpus *corpus = corpus_new(bench->folder, bench->corpus_name, 1, error);
    struct corpus_item item;

    if (corpus == NULL)
        bench_fail(bench->corpus_name, error);
    bench->text = malloc(TEXT_BYTES);
    if (bench->text == NULL)
        bench_fail("text", "no memory");
    corpus_item(corpus, corpus_draw(corpus), &item);
    while (bench->text_bytes + item.value_bytes <= TEXT_BYTES) {
        memcpy(bench->text + bench->text_bytes, item.value, item.value_bytes);
        bench->text_bytes += item.value_bytes;
        corpus_item(corpus, corpus_draw(corpus), &item);
    }
    corpus_free(corpus);
}

/* Three quarters to five quarters of the phase's size, from anywhere in the text. */
static void item_of(void *context, uint32_t key, struct corpus_item *item)
{
    const struct bench *bench = context;
    uint64_t random = (uint64_t)bench->phase << 32 | key;
    size_t mean = PHASES_VALUE_BYTES[bench->phase];

    item->key_bytes = (size_t)snprintf((char *)item->key, sizeof(item->key), "phase%u:%" PRIu32,
                                       bench->phase, key);
    item->value_bytes = mean * 3 / 4 + (size_t)(corpus_random(&random) % (mean / 2));
    item->value =
        bench->text + (size_t)(corpus_random(&random) % (bench->text_bytes - item->value_bytes));
}

static struct stream *open_stream(struct bench *bench, unsigned phase)
{
    double data_bytes = (double)(bench->memory_mb << 20) * 100 / bench->memory_percent;
    struct stream_plan plan = {
        .seed = 1 + phase,
        .keys_count =
            (uint32_t)(data_bytes / (double)(PHASES_VALUE_BYTES[phase] + HEADER_KEY_BYTES)),
        .skew = bench->skew,
        .write_part = bench->writes_percent / 100,
        .churn_part = CHURN_PART,
        .item = item_of,
        .context = bench,
    };
    struct stream *stream = stream_new(&plan);

    if (stream == NULL)
        bench_fail("stream", "no memory");
    bench->phase = phase;
    return stream;
}

/* ---- the servers ---- */

static void start_two(struct bench *bench, unsigned first)
{
    for (unsigned i = 0; i < 2; i++) {
        uint64_t memory_mb = i == OURS ? bench->resident_mb : bench->memory_mb;
        char options[OPTIONS_BYTES];

        snprintf(options, sizeof(options), "-t 1 -m %" PRIu64 " %s", memory_mb,
                 i == OURS ? bench->options : "");
        bench->servers[first + i] = bench_server_start(bench->programs[i], options, BENCH_ANY_CORE);
        bench->players[first + i] = player_new(bench_server_port(bench->servers[first + i]));
    }
}

static void stop_two(struct bench *bench, unsigned first)
{
    for (unsigned i = first; i < first + 2; i++) {
        player_free(bench->players[i]);
        bench_server_stop(bench->servers[i]);
    }
}

static double resident_mb(const struct bench_server *server)
{
    return (double)bench_server_resident_bytes(server) / 1048576;
}

/* ---- one phase ---- */

static void play_point(struct bench *bench, struct stream *stream, unsigned point, unsigned count)
{
    double hit_percent[SERVERS_COUNT] = {0};

    players_play(bench->players, count, stream, bench->requests / POINTS_A_PHASE);
    for (unsigned i = 0; i < count; i++) {
        struct player_counts counts = player_counts(bench->players[i]);

        hit_percent[i] = 100 - player_miss_percent(&counts);
    }
    printf("%7zu %5u | %9.2f %8.2f | %8" PRIu64 " %8" PRIu64 " | %6.0f %6.0f | %6.3f",
           PHASES_VALUE_BYTES[bench->phase], point + 1, hit_percent[THEIRS], hit_percent[OURS],
           bench_server_figure(bench->servers[THEIRS], "", "curr_items"),
           bench_server_figure(bench->servers[OURS], "", "curr_items"),
           resident_mb(bench->servers[THEIRS]), resident_mb(bench->servers[OURS]),
           (100 - hit_percent[OURS]) / (100 - hit_percent[THEIRS]));
    if (count == SERVERS_COUNT)
        printf(" | %6.2f %6.2f", hit_percent[THEIRS] - hit_percent[THEIRS_FRESH],
               hit_percent[OURS] - hit_percent[OURS_FRESH]);
    printf("\n");
    fflush(stdout);
}

static void play_phase(struct bench *bench, unsigned phase)
{
    struct stream *stream = open_stream(bench, phase);
    unsigned count = phase == 0 ? OURS_FRESH : SERVERS_COUNT;

    if (count == SERVERS_COUNT)
        start_two(bench, OURS_FRESH);
    for (unsigned point = 0; point < POINTS_A_PHASE; point++)
        play_point(bench, stream, point, count);
    if (count == SERVERS_COUNT)
        stop_two(bench, OURS_FRESH);
    stream_free(stream);
}

static void run(struct bench *bench)
{
    struct stream *stream;

    open_text(bench);
    stream = open_stream(bench, 0);
    bench->resident_mb = player_resident_mb(bench->programs[THEIRS], bench->memory_mb, stream);
    stream_free(stream);
    printf("memcached -m %" PRIu64 ", zbcached -m %" PRIu64 "; values out of %s (%s); %" PRIu64
           " requests a phase\n",
           bench->memory_mb, bench->resident_mb, bench->corpus_name, corpus_origin(bench->folder),
           bench->requests);
    printf("%7s %5s | %-18s | %-17s | %-13s | %6s | %s\n", "values", "", "hits %", "items",
           "RSS MB", "misses", "hits less a fresh one's");
    printf("%7s %5s | %9s %8s | %8s %8s | %6s %6s | %6s | %6s %6s\n", "bytes", "tenth", "memcached",
           "zbcached", "theirs", "ours", "theirs", "ours", "ratio", "theirs", "ours");
    start_two(bench, OURS);
    for (unsigned phase = 0; phase < PHASES_COUNT; phase++)
        play_phase(bench, phase);
    stop_two(bench, OURS);
    free(bench->text);
}

int main(int argc, char **argv)
{
    struct bench bench = {
        .memory_mb = 64,
        .memory_percent = 15,
        .requests = 3000000,
        .skew = 1,
        .writes_percent = 5,
        .corpus_name = "documents",
        .options = "",
        .folder = getenv("ZBCACHED_CORPORA"),
    };

    /* At most 2.6 thousand million keys are to be had with these. */
    const struct options_row rows[] = {
        {"memory-mb", "N", .whole = &bench.memory_mb, .min = 1, .max = 4096},
        {"memory-pct", "P", .number = &bench.memory_percent, .min = 1, .max = 100},
        {"requests", "N", .whole = &bench.requests, .min = POINTS_A_PHASE, .max = 1e15},
        {"skew", "S", .number = &bench.skew, .min = .01, .max = 10},
        {"writes", "PERCENT", .number = &bench.writes_percent, .max = 100},
        {"corpus", "NAME", .text = &bench.corpus_name},
        {"options", "TEXT", .text = &bench.options},
    };

    options_read(rows, sizeof(rows) / sizeof(rows[0]), NULL, bench.programs, argc, argv);
    run(&bench);
    return EXIT_SUCCESS;
}
