/*
 * speed_bench.c - requests a second and CPU time a request, ours against memcached.
 *
 * Both servers have one worker thread, alone on core 0, and hold the same items. The load and what
 * the servers do in the background share core 1.
 * Each round runs every workload at one, at the other, and at a server that does nothing (floor.h),
 * so that what else happens on the machine meets all; medians of the rounds are shown. Every get
 * hits: both may use as much memory as memcached needs for all items (an item's header is 56 bytes,
 * and what slabs round up to is up to 1.25 times of it).
 */
#include "tests/bench/bench.h"
#include "tests/bench/bench_server.h"
#include "tests/bench/csv.h"
#include "tests/bench/floor.h"
#include "tests/bench/load.h"
#include "tests/bench/options.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define SERVER_CORE   0
#define LOAD_CORE     1
#define ROUNDS_MAX    99u
#define MEMORY_MB_MIN 1024u

static const struct load_plan PLANS[] = {
    {"GET, one at a time", LOAD_GET, 50, 1, false},
    {"SET, one at a time", LOAD_SET, 50, 1, false},
    {"GET, pipelined 100 deep", LOAD_GET, 50, 100, false},
    {"SET, pipelined 100 deep", LOAD_SET, 50, 100, false},
    {"multiget of 100 keys", LOAD_MULTIGET, 50, 100, false},
};
#define PLANS_COUNT (sizeof(PLANS) / sizeof(PLANS[0]))

enum {
    OURS = OPTIONS_OURS,
    THEIRS = OPTIONS_THEIRS,
    SERVERS_COUNT = OPTIONS_PROGRAMS,
    FLOOR = SERVERS_COUNT, /* not a server to be judged, but measured with them */
    MEASURED_COUNT
};

static const char *const NAMES[MEASURED_COUNT] = {"zbcached", "memcached", "floor"};

struct samples {
    double requests_per_s[ROUNDS_MAX];
    double user_us[ROUNDS_MAX]; /* of the worker thread, a request */
    double system_us[ROUNDS_MAX];
    double other_us[ROUNDS_MAX];     /* of the other threads, user and system */
    double busy_percent[ROUNDS_MAX]; /* of the load */
};

struct bench {
    uint64_t rounds;
    double seconds;
    uint64_t items;
    const char *corpus;
    const char *only; /* workloads whose name has this in it */
    const char *options;
    uint64_t settled; /* 0 or 1: wait until ours is done in the background, after filling */
    const char *csv_path;
    struct csv *csv;
    const char *programs[SERVERS_COUNT];
    struct bench_server *servers[SERVERS_COUNT];
    struct floor *floor;
    long workers[MEASURED_COUNT]; /* their worker threads */
    struct samples samples[PLANS_COUNT][MEASURED_COUNT];
};

static bool is_wanted(const struct bench *bench, size_t plan)
{
    return strstr(PLANS[plan].name, bench->only) != NULL;
}

static bool is_any_wanted(const struct bench *bench)
{
    bool any = false;

    for (size_t plan = 0; plan < PLANS_COUNT; plan++)
        any = any || is_wanted(bench, plan);
    return any;
}

struct cpu {
    double user_s; /* of the worker thread */
    double system_s;
    double other_s;
};

static void read_cpu(const struct bench *bench, unsigned which, struct cpu *cpu)
{
    const long pid =
        which == FLOOR ? floor_pid(bench->floor) : bench_server_pid(bench->servers[which]);
    double user_s;
    double system_s;

    bench_thread_cpu(pid, bench->workers[which], &cpu->user_s, &cpu->system_s);
    bench_cpu(pid, &user_s, &system_s);
    cpu->other_s = user_s + system_s - cpu->user_s - cpu->system_s;
}

static void run_one(struct bench *bench, struct load *load, size_t plan, unsigned which,
                    unsigned round)
{
    struct samples *samples = &bench->samples[plan][which];
    struct load_plan played = PLANS[plan];
    char error[LOAD_ERROR_BYTES];
    struct load_result result = {0};
    struct cpu cpu[2];
    uint16_t port;

    played.floor = which == FLOOR;
    port = played.floor ? floor_port(bench->floor) : bench_server_port(bench->servers[which]);
    read_cpu(bench, which, &cpu[0]);
    if (!load_run(load, port, &played, bench->seconds, &result, error))
        bench_fail(PLANS[plan].name, error);
    read_cpu(bench, which, &cpu[1]);
    const double each_us = 1e6 / (double)result.requests;
    samples->requests_per_s[round] = (double)result.requests / result.seconds;
    samples->user_us[round] = (cpu[1].user_s - cpu[0].user_s) * each_us;
    samples->system_us[round] = (cpu[1].system_s - cpu[0].system_s) * each_us;
    samples->other_us[round] = (cpu[1].other_s - cpu[0].other_s) * each_us;
    samples->busy_percent[round] = result.busy_percent;
}

static void print_table(struct bench *bench)
{
    const unsigned rounds = (unsigned)bench->rounds;

    printf("%-24s | %10s %5s %5s %5s | %10s %5s %5s %5s | %10s %5s | %8s %6s %6s | %s\n", "",
           "zbcached/s", "user", "sys", "other", "memcached", "user", "sys", "other", "floor/s",
           "CPU", "requests", "CPU", "floor", "load busy %");
    for (size_t plan = 0; plan < PLANS_COUNT; plan++) {
        double rates[MEASURED_COUNT];
        double user[MEASURED_COUNT];
        double system[MEASURED_COUNT];
        double other[MEASURED_COUNT];
        double busy[MEASURED_COUNT];

        if (!is_wanted(bench, plan))
            continue;
        for (unsigned which = 0; which < MEASURED_COUNT; which++) {
            struct samples *samples = &bench->samples[plan][which];

            rates[which] = bench_median(samples->requests_per_s, rounds);
            user[which] = bench_median(samples->user_us, rounds);
            system[which] = bench_median(samples->system_us, rounds);
            other[which] = bench_median(samples->other_us, rounds);
            busy[which] = bench_median(samples->busy_percent, rounds);
            csv_put(bench->csv, PLANS[plan].name, NAMES[which], "requests_per_s", rates[which]);
            csv_put(bench->csv, PLANS[plan].name, NAMES[which], "worker_us",
                    user[which] + system[which]);
        }
        printf("%-24s | %10.0f %5.2f %5.2f %5.2f | %10.0f %5.2f %5.2f %5.2f | %10.0f %5.2f | %8.3f "
               "%6.3f "
               "%6.3f | %.0f, %.0f, %.0f\n",
               PLANS[plan].name, rates[OURS], user[OURS], system[OURS], other[OURS], rates[THEIRS],
               user[THEIRS], system[THEIRS], other[THEIRS], rates[FLOOR],
               user[FLOOR] + system[FLOOR], rates[OURS] / rates[THEIRS],
               (user[OURS] + system[OURS]) / (user[THEIRS] + system[THEIRS]),
               rates[OURS] / rates[FLOOR], busy[OURS], busy[THEIRS], busy[FLOOR]);
    }
    printf(
        "user, sys: the worker thread's CPU time in us a request (multiget: a key), other: that of "
        "the other threads.\nrequests, CPU (of the worker thread): ratio to memcached; floor: "
        "requests, ratio to a server that does nothing. load busy: share of "
        "its core that the load took; near 100 it is what is "
        "measured.\n");
}

static size_t memory_mb(const struct bench *bench, const struct load *load)
{
    const size_t items_mb = (load_data_bytes(load) + 64 * (size_t)bench->items) * 5 / 4 >> 20;

    return MEMORY_MB_MIN > items_mb ? MEMORY_MB_MIN : items_mb;
}

static void run(struct bench *bench)
{
    char error[CORPUS_ERROR_BYTES_MAX + LOAD_ERROR_BYTES];
    char options[SERVERS_COUNT][512];
    const char *folder = getenv("ZBCACHED_CORPORA");
    struct corpus *corpus = corpus_new(folder, bench->corpus, 1, error);
    struct load *load = corpus != NULL ? load_new(corpus, (uint32_t)bench->items) : NULL;

    if (load == NULL)
        bench_fail("items", corpus == NULL ? error : "no memory");
    snprintf(options[OURS], sizeof(options[0]), "-m %zu -t 1 %s", memory_mb(bench, load),
             bench->options);
    snprintf(options[THEIRS], sizeof(options[0]), "-m %zu -t 1", memory_mb(bench, load));
    for (unsigned which = 0; which < SERVERS_COUNT; which++) {
        bench->servers[which] =
            bench_server_start(bench->programs[which], options[which], SERVER_CORE);
        bench_bind(LOAD_CORE);
        if (!load_fill(load, bench_server_port(bench->servers[which]), error))
            bench_fail("filling", error);
        bench->workers[which] =
            bench_seat(bench_server_pid(bench->servers[which]), SERVER_CORE, LOAD_CORE);
    }
    if (bench->settled != 0)
        bench_wait_settled(bench->servers[OURS]);
    bench->floor = floor_start(SERVER_CORE);
    bench->workers[FLOOR] = floor_pid(bench->floor);
    for (unsigned round = 0; round < bench->rounds; round++) {
        for (size_t plan = 0; plan < PLANS_COUNT; plan++) {
            for (unsigned which = 0; is_wanted(bench, plan) && which < MEASURED_COUNT; which++)
                run_one(bench, load, plan, which, round);
        }
    }
    printf("%" PRIu64 " items of %s (%s)%s, -m %zu, 50 connections, one worker thread, medians of "
           "%" PRIu64 " rounds of %.1f s\n",
           bench->items, bench->corpus, corpus_origin(folder),
           bench->settled != 0 ? ", settled" : "", memory_mb(bench, load), bench->rounds,
           bench->seconds);
    print_table(bench);
    for (unsigned which = 0; which < SERVERS_COUNT; which++)
        bench_server_stop(bench->servers[which]);
    floor_stop(bench->floor);
    load_free(load);
    corpus_free(corpus);
}

int main(int argc, char **argv)
{
    static struct bench bench = {.rounds = 5,
                                 .seconds = 2,
                                 .items = 200000,
                                 .corpus = "mix",
                                 .only = "",
                                 .options = "",
                                 .csv_path = ""};
    const struct options_row rows[] = {
        {"rounds", "N", .whole = &bench.rounds, .min = 1, .max = ROUNDS_MAX},
        {"seconds", "N", .number = &bench.seconds, .min = .01, .max = 3600},
        {"items", "N", .whole = &bench.items, .min = 1, .max = UINT32_MAX},
        {"corpus", "NAME", .text = &bench.corpus},
        {"only", "TEXT", .text = &bench.only},
        {"options", "TEXT", .text = &bench.options},
        {"csv", "FILE", .text = &bench.csv_path},
        {"settled", "0|1", .whole = &bench.settled, .max = 1},
    };

    options_read(rows, sizeof(rows) / sizeof(rows[0]), NULL, bench.programs, argc, argv);
    bench_require(is_any_wanted(&bench), "no workload has that in its name");
    bench.csv = csv_open(bench.csv_path, "speed");
    run(&bench);
    csv_close(bench.csv);
    return EXIT_SUCCESS;
}
