/*
 * hostile_bench.c - contents that compression and learning can do nothing with, or would waste
 * their time on.
 *
 * Per kind of content: memcached with -m N is filled to twice what it holds; ours, with memcached's
 * RSS as its -m, with as many stores; then it is left alone until the background has nothing more
 * to do. Printed are the items both hold, and the CPU time ours took, to the end of the background
 * work, over that of ours without background work (-o settle_pct=0), where all is LZ4 level 1; that
 * is left alone for a while too.
 *
 * With --steady: a server at work for so long. What one client can store a second is found out
 * first; then both of ours get P percent of that (80) at an even rate, with another schema every so
 * many seconds (60), and what their whole processes take for it is compared.
 */
#include "clients/client.h"
#include "tests/bench/bench.h"
#include "tests/bench/bench_server.h"
#include "tests/bench/options.h"

#include <inttypes.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define VALUE_BYTES_MAX 4096u
#define SCHEMA_ITEMS    20000u /* stored before the schema changes */
#define SCHEMA_PAUSES   10u    /* times the stream pauses for a second: learning is by the clock */
#define TIMEOUT_MS      30000
#define OPTIONS_BYTES   128u
/* At a steady rate. */
#define SCHEMA_S        60u
#define LOAD_PCT        80u
#define PROBE_STORES    200000u
#define TICK_NS         10000000u
#define TICKS_A_S       (1000000000u / TICK_NS)

typedef size_t make_fn(uint64_t number, uint64_t schema, uint8_t value[VALUE_BYTES_MAX]);

static uint64_t mix(uint64_t number)
{
    number = (number ^ number >> 31) * 0x9e3779b97f4a7c15u;
    number = (number ^ number >> 29) * 0xbf58476d1ce4e5b9u;
    return number ^ number >> 32;
}

static size_t make_noise(uint64_t number, uint64_t schema, uint8_t value[VALUE_BYTES_MAX])
{
    (void)schema;
    size_t bytes = 100 + mix(number) % 1900;

    for (size_t i = 0; i < bytes; i += sizeof(uint64_t)) {
        uint64_t random = mix(number * VALUE_BYTES_MAX + i);
        memcpy(value + i, &random, sizeof(random));
    }
    return bytes;
}

/* Six bits a byte: a little for an entropy coder, nothing for LZ4. */
static size_t make_base64(uint64_t number, uint64_t schema, uint8_t value[VALUE_BYTES_MAX])
{
    static const char DIGITS[65] =
        "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    size_t bytes = make_noise(number, schema, value);

    for (size_t i = 0; i < bytes; i++)
        value[i] = (uint8_t)DIGITS[value[i] % 64u];
    return bytes;
}

/* Short matches everywhere: a search that looks longer finds more of them, and gains little. */
static size_t make_matches(uint64_t number, uint64_t schema, uint8_t value[VALUE_BYTES_MAX])
{
    (void)schema;
    size_t bytes = 100 + mix(number) % 1900;

    for (size_t i = 0; i < bytes; i += 5) {
        uint64_t random = mix(mix(number * VALUE_BYTES_MAX + i) % 3000u);
        memcpy(value + i, &random, sizeof(random));
    }
    return bytes;
}

/* Noise and runs by turns: level 1 finds all there is, and the high level makes nothing smaller. */
static size_t make_runs(uint64_t number, uint64_t schema, uint8_t value[VALUE_BYTES_MAX])
{
    size_t bytes = make_noise(number, schema, value);

    for (size_t i = 0; i < bytes; i++)
        value[i] = i % 64 < 32 ? value[i] : value[i - i % 32 - 1];
    return bytes;
}

/* Objects whose names nobody has seen before, again and again. */
static size_t make_schema(uint64_t number, uint64_t schema, uint8_t value[VALUE_BYTES_MAX])
{
    size_t used = 0;

    for (unsigned field = 0; field < 8; field++) {
        uint64_t name = mix(schema * 100 + field);
        used += (size_t)snprintf((char *)value + used, VALUE_BYTES_MAX - used,
                                 "\"%012" PRIx64 "_%u\":%u,", name >> 16, field,
                                 (unsigned)(mix(number * 10 + field) % 100000u));
    }
    return used;
}

struct content {
    const char *name;
    make_fn *make;
    bool pauses;
};

static const struct content CONTENTS[] = {
    {"random bytes", make_noise, false},
    {"base64 of random bytes", make_base64, false},
    {"noise and runs", make_runs, false},
    {"short matches everywhere", make_matches, false},
    {"new schema again and again", make_schema, true},
};

struct result {
    uint64_t stores;
    uint64_t items;
    size_t resident_bytes;
    double cpu_s;
};

static void check(enum client_status status, const char *what)
{
    if (status != CLIENT_OK)
        bench_fail(what, client_status_text(status));
}

/* @schema_items: so many until the schema changes. */
static void queue(struct client *client, const struct content *content, uint64_t from,
                  uint64_t count, uint64_t schema_items)
{
    uint8_t value[VALUE_BYTES_MAX];

    for (uint64_t number = from; number < from + count; number++) {
        char head[80];
        size_t bytes = content->make(number, number / schema_items, value);
        int head_bytes = snprintf(head, sizeof(head), "set k:%" PRIx64 " 0 0 %zu noreply\r\n",
                                  mix(number), bytes);

        check(client_queue(client, head, (size_t)head_bytes), "queue");
        check(client_queue(client, value, bytes), "queue");
        check(client_queue(client, "\r\n", 2), "queue");
        if (number % 64 == 63)
            check(client_flush(client), "flush");
    }
    check(client_flush(client), "flush");
}

static void store(struct client *client, const struct content *content, uint64_t from,
                  uint64_t count)
{
    struct client_slice version;

    queue(client, content, from, count, SCHEMA_ITEMS);
    check(client_version(client, &version), "version");
}

static void wait_s(unsigned seconds)
{
    const struct timespec time = {.tv_sec = seconds};
    nanosleep(&time, NULL);
}

struct target {
    struct bench_server *server;
    struct client *client;
};

static struct target start(const char *program, const char *options)
{
    struct target target = {bench_server_start(program, options, BENCH_ANY_CORE), client_new()};

    if (target.client == NULL)
        bench_fail("client", "no memory");
    check(client_connect_tcp(target.client, "127.0.0.1", bench_server_port(target.server),
                             TIMEOUT_MS),
          "connect");
    return target;
}

static struct result stop(struct target target, uint64_t stores)
{
    struct result result = {.stores = stores};
    double user_s, system_s;

    result.items = bench_server_figure(target.server, "", "curr_items");
    result.resident_bytes = bench_server_resident_bytes(target.server);
    bench_cpu(bench_server_pid(target.server), &user_s, &system_s);
    result.cpu_s = user_s + system_s;
    client_free(target.client);
    bench_server_stop(target.server);
    return result;
}

/* @stores 0: until the first eviction, and as many again. */
static struct result run(const char *program, const char *options, const struct content *content,
                         uint64_t stores, bool settles)
{
    struct target target = start(program, options);
    uint64_t stored = 0;

    if (stores == 0) {
        for (; bench_server_figure(target.server, "", "evictions") == 0; stored += 2048)
            store(target.client, content, stored, 2048);
        stores = 2 * stored;
    }
    for (uint64_t step = stores / SCHEMA_PAUSES + 1; stored < stores;) {
        uint64_t count = step < stores - stored ? step : stores - stored;
        store(target.client, content, stored, count);
        stored += count;
        if (content->pauses)
            wait_s(1);
    }
    if (settles)
        bench_wait_settled(target.server);
    return stop(target, stores);
}

static void measure(const struct content *content, const char *ours, const char *theirs,
                    uint64_t memory_mb)
{
    char options[OPTIONS_BYTES];
    struct result peer, plain, full;

    snprintf(options, sizeof(options), "-t 1 -m %" PRIu64, memory_mb);
    peer = run(theirs, options, content, 0, false);
    snprintf(options, sizeof(options), "-t 1 -m %zu -o settle_pct=0", peer.resident_bytes >> 20);
    plain = run(ours, options, content, peer.stores, true);
    snprintf(options, sizeof(options), "-t 1 -m %zu", peer.resident_bytes >> 20);
    full = run(ours, options, content, peer.stores, true);
    printf("%-28s | %8" PRIu64 " %6zu | %8" PRIu64 " %6zu | %6.2f | %6.2f %6.2f %6.2f\n",
           content->name, peer.items, peer.resident_bytes >> 20, full.items,
           full.resident_bytes >> 20, (double)full.items / (double)peer.items, plain.cpu_s,
           full.cpu_s, full.cpu_s / plain.cpu_s);
    fflush(stdout);
}

/* Stores a second that one client brings about. */
static uint64_t probe(const char *program, const char *options, const struct content *content)
{
    struct target target = start(program, options);
    double start_ns = bench_now_ns();

    store(target.client, content, 0, PROBE_STORES);
    uint64_t rate = (uint64_t)(PROBE_STORES * 1e9 / (bench_now_ns() - start_ns));
    (void)stop(target, PROBE_STORES);
    return rate;
}

static struct result run_steady(const char *program, const char *options,
                                const struct content *content, uint64_t rate, uint64_t seconds,
                                uint64_t schema_s)
{
    struct target target = start(program, options);
    uint64_t stored = 0;
    double start_ns = bench_now_ns();

    for (uint64_t tick = 1; tick <= seconds * TICKS_A_S; tick++) {
        uint64_t due = rate * tick / TICKS_A_S;
        queue(target.client, content, stored, due - stored, rate * schema_s);
        stored = due;
        double early_ns = start_ns + (double)(tick * TICK_NS) - bench_now_ns();
        const struct timespec pause = {.tv_nsec = (long)early_ns};
        if (early_ns > 0)
            nanosleep(&pause, NULL);
    }
    store(target.client, content, stored, 1); /* answered when all others are done */
    return stop(target, stored + 1);
}

struct plan {
    uint64_t memory_mb;
    uint64_t steady_s; /* 0: filled, and left alone */
    uint64_t schema_s;
    uint64_t load_pct;
    const char *only; /* contents that have this in their names */
    const char *ours;
    const char *theirs;
};

static void measure_steady(const struct content *content, const struct plan *plan)
{
    char plain_options[OPTIONS_BYTES], options[OPTIONS_BYTES];
    struct result plain, full;

    snprintf(plain_options, sizeof(plain_options), "-t 1 -m %" PRIu64 " -o settle_pct=0",
             plan->memory_mb);
    snprintf(options, sizeof(options), "-t 1 -m %" PRIu64, plan->memory_mb);
    uint64_t rate = probe(plan->ours, plain_options, content) * plan->load_pct / 100;
    plain = run_steady(plan->ours, plain_options, content, rate, plan->steady_s, plan->schema_s);
    full = run_steady(plan->ours, options, content, rate, plan->steady_s, plan->schema_s);
    printf("%-28s | %9" PRIu64 " | %8" PRIu64 " %8" PRIu64 " %6.2f | %6.2f %6.2f %6.2f\n",
           content->name, rate, plain.items, full.items, (double)full.items / (double)plain.items,
           plain.cpu_s, full.cpu_s, full.cpu_s / plain.cpu_s);
    fflush(stdout);
}

static void print_head(const struct plan *plan)
{
    if (plan->steady_s > 0)
        printf("zbcached -m %" PRIu64 ", %" PRIu64
               " s at a steady rate, another schema every %" PRIu64
               " s\n%-28s | %9s | %8s %8s %6s | %6s %6s %6s\n",
               plan->memory_mb, plan->steady_s, plan->schema_s, "content", "stores/s", "items",
               "+high", "ratio", "CPU s", "+high", "ratio");
    else
        printf("memcached -m %" PRIu64 ", zbcached in its RSS, twice what memcached holds stored\n"
               "%-28s | %8s %6s | %8s %6s | %6s | %s\n"
               "%-28s | %8s %6s | %8s %6s | %6s | %6s %6s %6s\n",
               plan->memory_mb, "", "memcd", "", "zbcd", "", "items", "CPU s of zbcached",
               "content", "items", "RSS MB", "items", "RSS MB", "ratio", "fast", "+high", "ratio");
}

int main(int argc, char **argv)
{
    struct plan plan = {.memory_mb = 128, .schema_s = SCHEMA_S, .load_pct = LOAD_PCT, .only = ""};
    const char *programs[OPTIONS_PROGRAMS];
    const struct options_row rows[] = {
        {"memory-mb", "N", .whole = &plan.memory_mb, .min = 1, .max = 1 << 20},
        {"only", "TEXT", .text = &plan.only},
        {"steady", "SECONDS", .whole = &plan.steady_s, .min = 1, .max = 86400},
        {"schema", "SECONDS", .whole = &plan.schema_s, .min = 1, .max = 86400},
        {"load-pct", "PERCENT", .whole = &plan.load_pct, .min = 1, .max = 100},
    };

    options_read(rows, sizeof(rows) / sizeof(rows[0]), NULL, programs, argc, argv);
    plan.ours = programs[OPTIONS_OURS];
    plan.theirs = programs[OPTIONS_THEIRS];
    print_head(&plan);
    unsigned measured = 0;
    for (size_t i = 0; i < sizeof(CONTENTS) / sizeof(CONTENTS[0]); i++) {
        if (strstr(CONTENTS[i].name, plan.only) == NULL)
            continue;
        measured++;
        if (plan.steady_s > 0)
            measure_steady(&CONTENTS[i], &plan);
        else
            measure(&CONTENTS[i], plan.ours, plan.theirs, plan.memory_mb);
    }
    bench_require(measured > 0, "no content has that in its name");
    return EXIT_SUCCESS;
}
