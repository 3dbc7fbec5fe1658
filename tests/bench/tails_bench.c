/*
 * tails_bench.c - how long the slowest requests take, ours against memcached's and a floor's.
 *
 * A scene is a load, at its times whatever the server does (open loop), on a server in some state,
 * perhaps beside another client. Each round plays it at ours, at memcached and at a server that
 * does nothing (floor.h), the next round begins with the next of them; medians of the rounds are
 * shown. Who runs where, and before whom: tails_load.h.
 */
#include "tests/bench/bench.h"
#include "tests/bench/bench_server.h"
#include "tests/bench/csv.h"
#include "tests/bench/floor.h"
#include "tests/bench/options.h"
#include "tests/bench/tails_load.h"

#include <arpa/inet.h>
#include <errno.h>
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#define COUNT_OF(array)   (sizeof(array) / sizeof((array)[0]))
#define ROUNDS_MAX        99u
#define IDLE_COUNT        10000u
#define DESCRIPTORS_COUNT (IDLE_COUNT + 1000u)
#define NEW_KEYS          1000000000u
#define VALUE_BYTES       300u
#define MULTIGET_KEYS     10000u
/* As large as both servers take with their usual limit of 1 MiB an item. */
#define LARGE_BYTES       1000000u
#define LARGE_COUNT       20u
#define GROW_PER_S        120000.0
#define GROW_LARGE_PER_S \
    50000.0 /* with --grow: 120,000 are all that a core does among 45 million */
#define MILLION         1e6
#define DUMPED_KEYS     10000000u
#define PREFIXES_COUNT  1000000u
#define PREFIXES_A_TIME 1000u

enum {
    OURS = OPTIONS_OURS,
    THEIRS = OPTIONS_THEIRS,
    SERVERS_COUNT = OPTIONS_PROGRAMS,
    FLOOR = SERVERS_COUNT,
    OURS_ALONE, /* in scenes with company: without it */
    MEASURED_COUNT
};

static const char *const NAMES[MEASURED_COUNT] = {"zbcached", "memcached", "floor", "alone"};

enum company_kind {
    ALONE,
    BESIDE_IDLE,      /* connections that ask for nothing */
    BESIDE_GROWTH,    /* tiny new items */
    BESIDE_LEARNING,  /* items of a new kind each round */
    BESIDE_MULTIGETS, /* of MULTIGET_KEYS */
    BESIDE_LARGE_GETS,
    BESIDE_LARGE_SETS,
    BESIDE_WATCHER,  /* that reads nothing */
    BESIDE_DUMP,     /* of DUMPED_KEYS, again and again */
    BESIDE_PREFIXES, /* statistics of PREFIXES_COUNT of them, again and again */
    COMPANY_KINDS_COUNT
};

/* Company without a text is a load. */
static const struct tails_talk TALKS[COMPANY_KINDS_COUNT] = {
    [BESIDE_WATCHER] = {"watch fetchers mutations\r\n", 0},
    [BESIDE_DUMP] = {"lru_crawler metadump all\r\n", 1},
    [BESIDE_PREFIXES] = {"stats detail dump\r\n", 1},
};

struct scene {
    const char *name;
    const char *options;
    double gets, sets;
    double per_s; /* 0: half of what memcached does in a closed loop */
    enum company_kind company;
    double company_per_s;
    bool stores_new; /* what is set was never there before */
    bool evicts;     /* is filled until it does */
};

static const struct scene SCENES[] = {
    {"GET at half of memcached's peak", "-m 1024", 1, 0, 0, ALONE, 0, false, false},
    {"GET 90 SET 10 at half of its peak", "-m 1024", 90, 10, 0, ALONE, 0, false, false},
    {"SET, memory free", "-m 4096", 0, 1, 30000, ALONE, 0, true, false},
    {"SET, evicting", "-m 100", 0, 1, 30000, ALONE, 0, true, true},
    {"GET, nobody else", "-m 1024", 1, 0, 20000, ALONE, 0, false, false},
    {"GET beside 10,000 idle connections", "-m 1024 -c 12000", 1, 0, 20000, BESIDE_IDLE, 0, false,
     false},
    {"GET beside growth of the index", "-m 6000", 1, 0, 20000, BESIDE_GROWTH, GROW_PER_S, false,
     false},
    {"GET beside learning", "-m 2048", 1, 0, 20000, BESIDE_LEARNING, 30000, false, false},
    {"GET beside multigets of 10,000 keys", "-m 1024", 1, 0, 20000, BESIDE_MULTIGETS, 40, false,
     false},
    {"GET beside gets of 1 MB", "-m 1024", 1, 0, 20000, BESIDE_LARGE_GETS, 200, false, false},
    {"GET beside sets of 1 MB", "-m 1024", 1, 0, 20000, BESIDE_LARGE_SETS, 100, false, false},
    {"GET 90 SET 10 beside a watcher that reads nothing", "-m 1024", 90, 10, 20000, BESIDE_WATCHER,
     0, false, false},
    {"GET beside a metadump of 10 million keys", "-m 2048", 1, 0, 10000, BESIDE_DUMP, 0, false,
     false},
    {"GET beside statistics of a million prefixes", "-m 1024 -D :", 1, 0, 10000, BESIDE_PREFIXES, 0,
     false, false},
};

struct bench {
    uint64_t rounds;
    double seconds;
    uint64_t items;
    double grow_million; /* tiny items that are there before growth goes on */
    const char *only;
    const char *options;
    const char *csv_path;
    struct csv *csv;
    const char *programs[SERVERS_COUNT];
    bool first_in_line; /* whether the system permits it */
    /* of the scene */
    struct bench_server *servers[SERVERS_COUNT];
    struct floor *floor;
    int idle[IDLE_COUNT];
    struct tails_sample samples[MEASURED_COUNT][ROUNDS_MAX];
};

static uint16_t port_of(const struct bench *bench, unsigned which)
{
    if (which == FLOOR)
        return floor_port(bench->floor);
    return bench_server_port(bench->servers[which == OURS_ALONE ? OURS : which]);
}

/* ---- what a scene plays ---- */

static struct load_plan plan_of(const struct bench *bench, const struct scene *scene,
                                unsigned which, unsigned round)
{
    struct load_plan plan = tails_plan(port_of(bench, which));

    plan.keys = scene->stores_new ? NEW_KEYS : bench->items;
    plan.seconds = bench->seconds;
    plan.mix[LOAD_GET] = scene->gets;
    plan.mix[LOAD_SET] = scene->sets;
    plan.must_hit = which != FLOOR && !scene->stores_new;
    plan.verify = which != FLOOR;
    plan.seed = round + 1;
    return plan;
}

static struct load_plan tiny_plan(struct load_plan plan)
{
    plan.items.prefix = "t:";
    plan.items.value_bytes_min = plan.items.value_bytes_max = 8;
    plan.keys = NEW_KEYS;
    plan.mix[LOAD_GET] = 0;
    plan.mix[LOAD_SET] = 1;
    plan.depth = 1000;
    return plan;
}

static struct load_plan large_plan(struct load_plan plan)
{
    plan.items.prefix = "large:";
    plan.items.value_bytes_min = plan.items.value_bytes_max = LARGE_BYTES;
    plan.keys = LARGE_COUNT;
    return plan;
}

/* @prefix: room for one, for as long as the plan is used. */
static struct load_plan company_plan(const struct bench *bench, const struct scene *scene,
                                     struct load_plan plan, unsigned round, char prefix[16])
{
    const bool among_many = scene->company == BESIDE_GROWTH && bench->grow_million > 0;

    plan.connections = 1;
    plan.rate = among_many ? GROW_LARGE_PER_S : scene->company_per_s;
    plan.seed = round + 1001;
    plan.must_hit = false;
    if (scene->company == BESIDE_GROWTH)
        plan = tiny_plan(plan);
    if (scene->company == BESIDE_LARGE_GETS || scene->company == BESIDE_LARGE_SETS)
        plan = large_plan(plan);
    plan.mix[LOAD_GET] = scene->company == BESIDE_LARGE_GETS;
    plan.mix[LOAD_MULTIGET] = scene->company == BESIDE_MULTIGETS;
    plan.mix[LOAD_SET] = plan.mix[LOAD_GET] + plan.mix[LOAD_MULTIGET] == 0;
    plan.multiget_keys = MULTIGET_KEYS;
    if (scene->company == BESIDE_LEARNING) {
        snprintf(prefix, 16, "kind%u:", round);
        plan.items.prefix = prefix;
        plan.items.seed = round + 2;
        plan.keys = NEW_KEYS;
        plan.depth = 1000;
    }
    return plan;
}

/* ---- the scene's servers ---- */

static void open_idle(struct bench *bench, unsigned which)
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons(port_of(bench, which))};

    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    for (unsigned i = 0; i < IDLE_COUNT; i++) {
        int *fd = &bench->idle[i];

        *fd = socket(AF_INET, SOCK_STREAM, 0);
        if (*fd < 0 || connect(*fd, (struct sockaddr *)&address, sizeof(address)) != 0)
            bench_fail(NAMES[which], "cannot be connected to that often");
    }
}

static void close_idle(const struct bench *bench)
{
    for (unsigned i = 0; i < IDLE_COUNT; i++)
        (void)close(bench->idle[i]);
}

/* Each prefix is asked for once. */
static void fill_prefixes(const struct load_plan *plan)
{
    static char text[PREFIXES_A_TIME * 24];

    for (unsigned first = 0; first < PREFIXES_COUNT; first += PREFIXES_A_TIME) {
        size_t used = 0;

        for (unsigned i = first; i < first + PREFIXES_A_TIME; i++)
            used += (size_t)snprintf(text + used, sizeof(text) - used, "get p%u:x\r\n", i);
        tails_ask(plan, &(struct tails_talk){text, PREFIXES_A_TIME});
    }
}

static void fill(struct bench *bench, const struct scene *scene, unsigned which)
{
    struct load_plan plan = plan_of(bench, scene, which, 0);
    char prefix[32];

    plan.keys = bench->items;
    tails_fill(&plan);
    plan.items.prefix = prefix;
    for (unsigned more = 0;
         scene->evicts && bench_server_figure(bench->servers[which], "", "evictions") == 0;
         more++) {
        snprintf(prefix, sizeof(prefix), "old%u:", more);
        tails_fill(&plan);
    }
    if (scene->company == BESIDE_LARGE_GETS || scene->company == BESIDE_LARGE_SETS) {
        plan = large_plan(plan);
        tails_fill(&plan);
    }
}

/* Tiny items that are there before it begins. */
static uint64_t tiny_before(const struct bench *bench, const struct scene *scene)
{
    if (scene->company == BESIDE_DUMP)
        return DUMPED_KEYS;
    return scene->company == BESIDE_GROWTH ? (uint64_t)(bench->grow_million * MILLION) : 0;
}

/* Once threads have their places: compressing this again is more work than a worker has done. */
static void fill_for_company(const struct bench *bench, const struct scene *scene, unsigned which)
{
    struct load_plan plan = plan_of(bench, scene, which, 0);
    const uint64_t tiny = tiny_before(bench, scene);

    if (tiny > 0) {
        plan = tiny_plan(plan);
        plan.keys = tiny;
        tails_fill(&plan);
    }
    if (scene->company == BESIDE_PREFIXES)
        fill_prefixes(&plan);
}

static void start(struct bench *bench, const struct scene *scene)
{
    bench->first_in_line = true;
    for (unsigned which = 0; which < SERVERS_COUNT; which++) {
        char options[512];

        snprintf(options, sizeof(options), "-t 1 %s %s", scene->options,
                 which == OURS ? bench->options : "");
        bench->servers[which] =
            bench_server_start(bench->programs[which], options, TAILS_SERVER_CORE);
        fill(bench, scene, which);
        if (!tails_seat(bench_server_pid(bench->servers[which])))
            bench->first_in_line = false;
        fill_for_company(bench, scene, which);
    }
    bench->floor = floor_start_text(TAILS_SERVER_CORE, VALUE_BYTES);
    (void)tails_seat(floor_pid(bench->floor));
}

static void stop(struct bench *bench)
{
    for (unsigned which = 0; which < SERVERS_COUNT; which++)
        bench_server_stop(bench->servers[which]);
    floor_stop(bench->floor);
}

/* ---- the result ---- */

struct summary {
    double p50, p99, p999, max, late, company_per_s, company_p50;
    double best_p99, best_p999; /* of any round: where others' work met it least */
    double long_per_m;
};

static double median_of(const struct bench *bench, unsigned which, size_t offset)
{
    double values[ROUNDS_MAX];

    for (unsigned round = 0; round < bench->rounds; round++)
        memcpy(&values[round], (const char *)&bench->samples[which][round] + offset,
               sizeof(values[0]));
    return bench_median(values, (unsigned)bench->rounds);
}

#define MEDIAN(member) median_of(bench, which, offsetof(struct tails_sample, member))

/* OURS_ALONE is the last. */
static unsigned measured_count(const struct scene *scene)
{
    return scene->company == ALONE ? OURS_ALONE : MEASURED_COUNT;
}

static struct summary summarize(const struct bench *bench, unsigned which)
{
    struct summary summary = {
        .p50 = MEDIAN(p50),
        .p99 = MEDIAN(p99),
        .p999 = MEDIAN(p999),
        .max = MEDIAN(max),
        .late = MEDIAN(late_p99),
        .company_per_s = MEDIAN(company_per_s),
        .company_p50 = MEDIAN(company_p50),
        .best_p99 = bench->samples[which][0].p99,
        .best_p999 = bench->samples[which][0].p999,
    };

    /* Few and far between: of all rounds. */
    for (unsigned round = 0; round < bench->rounds; round++) {
        const struct tails_sample *sample = &bench->samples[which][round];

        summary.best_p99 = fmin(summary.best_p99, sample->p99);
        summary.best_p999 = fmin(summary.best_p999, sample->p999);
        summary.long_per_m += sample->long_per_m / (double)bench->rounds;
    }
    return summary;
}

static void print_ratio(const char *name, const struct summary *ours, const struct summary *base)
{
    printf("  %-10s %8.3f %8.3f %8.3f %9.3f %8.3f %8.3f\n", name, ours->p50 / base->p50,
           ours->p99 / base->p99, ours->p999 / base->p999, ours->max / base->max,
           ours->best_p99 / base->best_p99, ours->best_p999 / base->best_p999);
}

static void put(const struct bench *bench, const struct scene *scene, const char *server,
                const struct summary *summary)
{
    csv_put(bench->csv, scene->name, server, "p50_us", summary->p50);
    csv_put(bench->csv, scene->name, server, "p99_us", summary->p99);
    csv_put(bench->csv, scene->name, server, "p999_us", summary->p999);
    csv_put(bench->csv, scene->name, server, "max_us", summary->max);
}

static void print_scene(const struct bench *bench, const struct scene *scene, double per_s)
{
    struct summary summaries[MEASURED_COUNT];
    const unsigned measured = measured_count(scene);

    printf("%s, %.0f a second%s\n", scene->name, per_s,
           bench->first_in_line ? "" : " (no real-time priority here: others' work is in it)");
    for (unsigned which = 0; which < measured; which++) {
        const struct summary *summary = &summaries[which];

        summaries[which] = summarize(bench, which);
        printf("  %-10s %8.1f %8.1f %8.1f %9.1f %8.1f %8.1f %9.1f %9.1f", NAMES[which],
               summary->p50, summary->p99, summary->p999, summary->max, summary->best_p99,
               summary->best_p999, summary->long_per_m, summary->late);
        if (summary->company_per_s > 0)
            printf(" %9.0f %9.0f", summary->company_per_s, summary->company_p50);
        printf("\n");
        put(bench, scene, NAMES[which], summary);
    }
    print_ratio("ratio", &summaries[OURS], &summaries[THEIRS]);
    if (measured > OURS_ALONE)
        print_ratio("to alone", &summaries[OURS], &summaries[OURS_ALONE]);
    printf("  %-10s %8.1f MB\n", "resident",
           (double)bench_server_resident_bytes(bench->servers[OURS]) / (1 << 20));
    (void)fflush(stdout);
}

/* ---- playing ---- */

static double half_of_peak(const struct bench *bench, const struct scene *scene)
{
    struct load_plan plan = plan_of(bench, scene, THEIRS, 0);
    struct tails_sample sample;

    tails_run(&plan, NULL, &sample);
    return sample.per_s / 2;
}

static void play_one(struct bench *bench, const struct scene *scene, double per_s, unsigned which,
                     unsigned round)
{
    struct load_plan plan = plan_of(bench, scene, which, round);
    char prefix[16];
    const struct load_plan load = company_plan(bench, scene, plan, round, prefix);
    const struct tails_talk talk = TALKS[scene->company];
    const struct tails_company company = {.load = talk.text == NULL ? &load : NULL, .talk = talk};
    const bool idle = scene->company == BESIDE_IDLE && which != OURS_ALONE;
    /* The floor knows no requests but the load's. */
    const bool alone = scene->company == ALONE || scene->company == BESIDE_IDLE || which == FLOOR ||
                       which == OURS_ALONE;

    plan.rate = per_s;
    if (idle)
        open_idle(bench, which);
    tails_run(&plan, alone ? NULL : &company, &bench->samples[which][round]);
    if (idle)
        close_idle(bench);
}

static void play(struct bench *bench, const struct scene *scene)
{
    start(bench, scene);
    const double per_s = scene->per_s > 0 ? scene->per_s : half_of_peak(bench, scene);
    const unsigned measured = measured_count(scene);
    for (unsigned round = 0; round < bench->rounds; round++) {
        for (unsigned turn = 0; turn < measured; turn++)
            play_one(bench, scene, per_s, (round + turn) % measured, round);
    }
    print_scene(bench, scene, per_s);
    stop(bench);
}

static void run(struct bench *bench)
{
    struct rlimit descriptors;

    if (getrlimit(RLIMIT_NOFILE, &descriptors) != 0)
        bench_fail("getrlimit", strerror(errno));
    descriptors.rlim_cur = descriptors.rlim_max;
    if (setrlimit(RLIMIT_NOFILE, &descriptors) != 0 || descriptors.rlim_max < DESCRIPTORS_COUNT)
        fprintf(stderr, "no %u descriptors: 10,000 connections will not be had\n",
                DESCRIPTORS_COUNT);
    printf("%" PRIu64 " items of %u bytes, 50 connections, one worker thread, medians of %" PRIu64
           " rounds "
           "of %.1f s\n",
           bench->items, VALUE_BYTES, bench->rounds, bench->seconds);
    printf("us           %8s %8s %8s %9s %8s %8s %9s %9s %9s %9s\n", "p50", "p99", "p99.9", "max",
           "best p99", "p99.9", "over 1 ms", "late p99", "company/s", "its p50");
    unsigned played = 0;
    for (size_t i = 0; i < COUNT_OF(SCENES); i++) {
        if (strstr(SCENES[i].name, bench->only) == NULL)
            continue;
        play(bench, &SCENES[i]);
        played++;
    }
    bench_require(played > 0, "no scene has that in its name");
    printf(
        "alone: ours, without the company. best: of the round where it was least. over 1 ms: "
        "of a million requests.\nlate: how long after its time the load sent a request. company: "
        "requests a second of the other client, and how\nlong they took, or lines that it read; "
        "the floor has none. resident: our whole process.\n");
}

int main(int argc, char **argv)
{
    static struct bench bench = {
        .rounds = 7, .seconds = 1, .items = 200000, .only = "", .options = "", .csv_path = ""};
    const struct options_row rows[] = {
        {"rounds", "N", .whole = &bench.rounds, .min = 1, .max = ROUNDS_MAX},
        {"seconds", "N", .number = &bench.seconds, .min = .01, .max = 3600},
        {"items", "N", .whole = &bench.items, .min = 1, .max = NEW_KEYS},
        {"grow", "MILLION", .number = &bench.grow_million, .min = 0, .max = 1000},
        {"only", "TEXT", .text = &bench.only},
        {"options", "TEXT", .text = &bench.options},
        {"csv", "FILE", .text = &bench.csv_path},
    };

    options_read(rows, COUNT_OF(rows), NULL, bench.programs, argc, argv);
    bench.csv = csv_open(bench.csv_path, "tails");
    run(&bench);
    csv_close(bench.csv);
    return EXIT_SUCCESS;
}
