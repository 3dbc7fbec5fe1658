/*
 * hitratio_bench.c - misses at equal memory, ours against memcached, or of the engine alone.
 *
 * Over the wire: memcached is given --memory-pct of what it would take to hold all items, and
 * filled, to learn the RSS it reaches; ours gets that as its -m. Then both play the same stream in
 * step, for each skew and share of writes: all keys once, the warm-up, and the requests that are
 * counted. With --rest both are then left alone for so long, warmed up and counted again: what
 * settling in the background is still worth.
 *
 * The engine alone (--engine 1): the same stream at cache.h, with that memory, --maintain steps of
 * upkeep for 1000 requests, of which --rate make a second.
 */
#include "tests/bench/bench.h"
#include "tests/bench/bench_server.h"
#include "tests/bench/csv.h"
#include "tests/bench/engine.h"
#include "tests/bench/options.h"
#include "tests/bench/player.h"
#include "tests/bench/stream.h"
#include "tests/corpus/corpus.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#define POINTS_MAX    8u
#define OPTIONS_BYTES 512u
#define TTL_S_MIN     5u
#define TTL_S_MAX     60u
#define ENGINE_SHARDS 4u /* as many as the server has with one thread */

enum {
    OURS = OPTIONS_OURS,
    THEIRS = OPTIONS_THEIRS,
    SERVERS_COUNT = OPTIONS_PROGRAMS
};

/* What --skew and its like may be given several times with. */
struct choices {
    unsigned count;
    double values[POINTS_MAX];
};

struct bench {
    struct choices skews;
    struct choices writes_percent;
    struct choices memory_percents;
    double churn_permille, ttl_percent;
    uint64_t keys, warm, requests, rest_s;
    uint64_t engine, maintain, rate;
    const char *corpus_name;
    const char *options;
    const char *csv_path;
    struct csv *csv;
    const char *programs[SERVERS_COUNT];
    const char *folder;
    struct corpus *corpus;
    uint64_t *ids;  /* by key */
    double data_mb; /* what all would take in memcached */
    double memory_percent;
    uint64_t memory_mb;
    uint64_t resident_mb; /* that memcached reaches with it */
};

/* ---- the stream ---- */

static void item_of(void *context, uint32_t key, struct corpus_item *item)
{
    const struct bench *bench = context;

    corpus_item(bench->corpus, bench->ids[key], item);
}

static struct stream *open_stream(struct bench *bench, double skew, double writes_percent)
{
    struct stream_plan plan = {
        .seed = 1,
        .keys_count = (uint32_t)bench->keys,
        .skew = skew,
        .write_part = writes_percent / 100,
        .churn_part = bench->churn_permille / 1000,
        .ttl_part = bench->ttl_percent / 100,
        .ttl_s_min = TTL_S_MIN,
        .ttl_s_max = TTL_S_MAX,
        .item = item_of,
        .context = bench,
    };
    struct stream *stream = stream_new(&plan);

    if (stream == NULL)
        bench_fail("stream", "no memory");
    return stream;
}

static void open_items(struct bench *bench)
{
    char error[CORPUS_ERROR_BYTES_MAX];
    uint32_t count = (uint32_t)bench->keys;
    struct stream *stream;

    bench->corpus = corpus_new(bench->folder, bench->corpus_name, 1, error);
    if (bench->corpus == NULL)
        bench_fail(bench->corpus_name, error);
    bench->ids = calloc(count, sizeof(*bench->ids));
    if (bench->ids == NULL)
        bench_fail("keys", "no memory");
    for (uint32_t key = 0; key < count; key++)
        bench->ids[key] = corpus_draw(bench->corpus);
    stream = open_stream(bench, 1, 0);
    bench->data_mb = (double)stream_data_bytes(stream) / 1048576;
    printf("%" PRIu32 " keys of %s (%s), %.0f MB in memcached\n", count, bench->corpus_name,
           corpus_origin(bench->folder), bench->data_mb);
    stream_free(stream);
}

/* ---- the engine alone ---- */

static void print_engine_head(void)
{
    printf("%4s %6s | %6s | %8s %8s %5s %5s %6s | %8s %8s %8s %8s | %6s %6s %7s | %5s\n", "skew",
           "writes", "miss %", "items", "settled", "ratio", "dead%", "slack%", "evicted", "rescued",
           "squeezed", "merged", "p50 us", "p99 us", "max us", "CPU s");
}

static double cpu_s(void)
{
    return (double)clock() / CLOCKS_PER_SEC;
}

static void measure_engine(struct bench *bench, double skew, double writes_percent)
{
    struct engine_plan plan = {
        .memory_bytes = (size_t)bench->memory_mb << 20,
        .shards = ENGINE_SHARDS,
        .requests_per_s = (uint32_t)bench->rate,
        .maintain_per_mille = (uint32_t)bench->maintain,
    };
    struct stream *stream = open_stream(bench, skew, writes_percent);
    struct engine *engine = engine_new(&plan);
    struct cache_figures figures;
    struct player_counts counts;
    double start_s;

    engine_fill(engine, stream);
    (void)engine_play(engine, stream, bench->warm);
    engine_figures_reset(engine);
    start_s = cpu_s();
    counts = engine_play(engine, stream, bench->requests);
    engine_figures(engine, &figures);
    printf("%4.1f %5.0f%% | %6.2f | %8" PRIu64 " %8" PRIu64 " %5.2f %5.1f %6.1f | %8" PRIu64
           " %8" PRIu64 " %8" PRIu64 " %8" PRIu64 " | %6.1f %6.1f %7.1f | %5.1f\n",
           skew, writes_percent, player_miss_percent(&counts), figures.items, figures.settled,
           (double)figures.raw_bytes / (double)figures.stored_bytes,
           100 * (double)figures.dead_bytes / (double)(figures.dead_bytes + figures.live_bytes),
           100 * (double)figures.slack_bytes / (double)(figures.memory_bytes), figures.evicted,
           figures.rescued, figures.squeezed, figures.pages_merged,
           (double)figures.reclaim_ns_p50 / 1e3, (double)figures.reclaim_ns_p99 / 1e3,
           (double)figures.reclaim_ns_max / 1e3, cpu_s() - start_s);
    fflush(stdout);
    engine_free(engine);
    stream_free(stream);
}

/* ---- over the wire ---- */

static void learn_resident(struct bench *bench)
{
    struct stream *stream = open_stream(bench, 1, 0);

    bench->resident_mb = player_resident_mb(bench->programs[THEIRS], bench->memory_mb, stream);
    stream_free(stream);
}

static void print_wire_head(const struct bench *bench)
{
    printf("memcached -m %" PRIu64 ", zbcached -m %" PRIu64 "; %" PRIu64 " requests counted\n",
           bench->memory_mb, bench->resident_mb, bench->requests);
    printf("%4s %6s | %9s %8s | %9s %8s | %6s %6s | %8s %8s | %s\n", "skew", "writes", "theirs %",
           "ours %", "items", "ours", "RSS MB", "ours", "CPU s", "ours", "ratio of misses");
}

static void count_misses(struct bench *bench, struct player *const *players, struct stream *stream,
                         uint64_t warm, double miss_percent[SERVERS_COUNT])
{
    players_play(players, SERVERS_COUNT, stream, warm);
    for (unsigned i = 0; i < SERVERS_COUNT; i++)
        (void)player_counts(players[i]);
    players_play(players, SERVERS_COUNT, stream, bench->requests);
    for (unsigned i = 0; i < SERVERS_COUNT; i++) {
        struct player_counts counts = player_counts(players[i]);

        miss_percent[i] = player_miss_percent(&counts);
    }
}

static double server_cpu_s(const struct bench_server *server)
{
    double user_s;
    double system_s;

    bench_cpu(bench_server_pid(server), &user_s, &system_s);
    return user_s + system_s;
}

static void put_point(const struct bench *bench, double skew, double writes_percent,
                      struct bench_server *const *servers, const double miss_percent[SERVERS_COUNT])
{
    static const char *const names[SERVERS_COUNT] = {[OURS] = "zbcached", [THEIRS] = "memcached"};
    char what[80];

    snprintf(what, sizeof(what), "Zipf %.1f, %.0f %% writes, memory for %.0f %%", skew,
             writes_percent, bench->memory_percent);
    for (unsigned i = 0; i < SERVERS_COUNT; i++) {
        csv_put(bench->csv, what, names[i], "memory_percent", bench->memory_percent);
        csv_put(bench->csv, what, names[i], "miss_percent", miss_percent[i]);
        csv_put(bench->csv, what, names[i], "resident_bytes",
                (double)bench_server_resident_bytes(servers[i]));
    }
}

static void print_point(const struct bench *bench, double skew, double writes_percent,
                        struct bench_server *const *servers,
                        const double miss_percent[SERVERS_COUNT])
{
    printf("%4.1f %5.0f%% | %9.2f %8.2f | %9" PRIu64 " %8" PRIu64 " | %6.0f %6.0f | %8.1f %8.1f"
           " | %5.3f",
           skew, writes_percent, miss_percent[THEIRS], miss_percent[OURS],
           bench_server_figure(servers[THEIRS], "", "curr_items"),
           bench_server_figure(servers[OURS], "", "curr_items"),
           (double)bench_server_resident_bytes(servers[THEIRS]) / 1048576,
           (double)bench_server_resident_bytes(servers[OURS]) / 1048576,
           server_cpu_s(servers[THEIRS]), server_cpu_s(servers[OURS]),
           miss_percent[OURS] / miss_percent[THEIRS]);
    fflush(stdout);
    put_point(bench, skew, writes_percent, servers, miss_percent);
}

static void measure_wire(struct bench *bench, double skew, double writes_percent)
{
    struct stream *stream = open_stream(bench, skew, writes_percent);
    uint64_t memory_mb[SERVERS_COUNT] = {bench->resident_mb, bench->memory_mb};
    const char *more[SERVERS_COUNT] = {bench->options, ""};
    struct bench_server *servers[SERVERS_COUNT];
    struct player *players[SERVERS_COUNT];
    double miss_percent[SERVERS_COUNT];

    for (unsigned i = 0; i < SERVERS_COUNT; i++) {
        char options[OPTIONS_BYTES];

        snprintf(options, sizeof(options), "-t 1 -m %" PRIu64 " %s", memory_mb[i], more[i]);
        servers[i] = bench_server_start(bench->programs[i], options, BENCH_ANY_CORE);
        players[i] = player_new(bench_server_port(servers[i]));
    }
    players_fill(players, SERVERS_COUNT, stream, stream_keys_count(stream));
    count_misses(bench, players, stream, bench->warm, miss_percent);
    print_point(bench, skew, writes_percent, servers, miss_percent);
    if (bench->rest_s > 0) {
        const struct timespec rest = {.tv_sec = (time_t)bench->rest_s};

        nanosleep(&rest, NULL);
        count_misses(bench, players, stream, stream_keys_count(stream), miss_percent);
        printf(", rested %.3f", miss_percent[OURS] / miss_percent[THEIRS]);
    }
    printf("\n");
    for (unsigned i = 0; i < SERVERS_COUNT; i++) {
        player_free(players[i]);
        bench_server_stop(servers[i]);
    }
    stream_free(stream);
}

/* All skews and shares of writes, with so much memory. */
static void measure_all(struct bench *bench, double memory_percent)
{
    bench->memory_percent = memory_percent;
    bench->memory_mb = (uint64_t)(bench->data_mb * memory_percent / 100);
    printf("memory %.0f %%: %" PRIu64 " MB\n", memory_percent, bench->memory_mb);
    if (bench->engine != 0) {
        print_engine_head();
    } else {
        learn_resident(bench);
        print_wire_head(bench);
    }
    for (unsigned i = 0; i < bench->skews.count; i++) {
        for (unsigned j = 0; j < bench->writes_percent.count; j++)
            (bench->engine != 0 ? measure_engine : measure_wire)(bench, bench->skews.values[i],
                                                                 bench->writes_percent.values[j]);
    }
}

int main(int argc, char **argv)
{
    struct bench bench = {
        .keys = 1000000,
        .churn_permille = 2,
        .ttl_percent = 10,
        .maintain = 20,
        .rate = 200000,
        .corpus_name = "mix",
        .options = "",
        .csv_path = "",
        .folder = getenv("ZBCACHED_CORPORA"),
    };
    struct choices *skews = &bench.skews, *writes = &bench.writes_percent;
    struct choices *memories = &bench.memory_percents;
    const struct options_row rows[] = {
        {"skew", "S", .number = skews->values, .min = .01, .max = 10, .count = &skews->count,
         .room = POINTS_MAX},
        {"writes", "PERCENT", .number = writes->values, .max = 100, .count = &writes->count,
         .room = POINTS_MAX},
        {"keys", "N", .whole = &bench.keys, .min = 1000, .max = UINT32_MAX - 1},
        {"memory-pct", "P", .number = memories->values, .min = .1, .max = 1000,
         .count = &memories->count, .room = POINTS_MAX},
        {"corpus", "NAME", .text = &bench.corpus_name},
        {"churn", "PERMILLE", .number = &bench.churn_permille, .max = 1000},
        {"ttl-pct", "P", .number = &bench.ttl_percent, .max = 100},
        {"warm", "N", .whole = &bench.warm, .max = 1e15},
        {"requests", "N", .whole = &bench.requests, .max = 1e15},
        {"rest", "SECONDS", .whole = &bench.rest_s, .max = 86400},
        {"options", "TEXT", .text = &bench.options},
        {"csv", "FILE", .text = &bench.csv_path},
        {"engine", "1", .whole = &bench.engine, .max = 1},
        {"maintain", "N", .whole = &bench.maintain, .max = 1e6},
        {"rate", "N", .whole = &bench.rate, .min = 1, .max = UINT32_MAX},
    };

    options_read(rows, sizeof(rows) / sizeof(rows[0]), &bench.engine, bench.programs, argc, argv);
    if (skews->count == 0)
        *skews = (struct choices){3, {.8, 1, 1.2}};
    if (writes->count == 0)
        *writes = (struct choices){2, {5, 30}};
    if (memories->count == 0)
        *memories = (struct choices){1, {15}};
    if (bench.warm == 0)
        bench.warm = 2 * bench.keys;
    if (bench.requests == 0)
        bench.requests = 2 * bench.keys;
    open_items(&bench);
    bench.csv = csv_open(bench.csv_path, "hitratio");
    for (unsigned i = 0; i < memories->count; i++)
        measure_all(&bench, memories->values[i]);
    csv_close(bench.csv);
    corpus_free(bench.corpus);
    free(bench.ids);
    return EXIT_SUCCESS;
}
