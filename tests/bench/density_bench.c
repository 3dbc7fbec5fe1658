/*
 * density_bench.c - how much fits into the same memory, ours against memcached.
 *
 * Per corpus: memcached with -m N is filled until it evicts for the first time; what it holds
 * then, and its RSS, are taken. Ours is started with that RSS as its -m, so that it may not take
 * more, and filled until it evicts for the first time; and then with as much again, for what a
 * full cache goes on holding. Nothing is read meanwhile. With --settle it is then left
 * alone until what it compresses in the background is done, and filled until it evicts again, as
 * often as that brings something.
 */
#include "clients/client.h"
#include "tests/bench/bench.h"
#include "tests/bench/bench_server.h"
#include "tests/bench/csv.h"
#include "tests/bench/options.h"
#include "tests/corpus/corpus.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#define STEP_BYTES    ((uint64_t)2 << 20) /* stored between two looks at the evictions */
#define TIMEOUT_MS    30000
#define OPTIONS_BYTES 512u
#define NAMES_MAX     32u

struct bench {
    uint64_t memory_mb;
    uint64_t settle; /* 0 or 1 */
    const char *options;
    const char *folder;
    const char *csv_path;
    struct csv *csv;
    const char *programs[OPTIONS_PROGRAMS];
};

/* What a server held. */
struct held {
    uint64_t items;
    uint64_t raw_bytes; /* keys and values */
    uint64_t resident_bytes;
};

struct filling {
    struct bench_server *server;
    struct client *client;
    struct corpus *corpus;
    uint64_t stored_items;
    uint64_t stored_bytes;
};

static void check(enum client_status status, const char *what)
{
    if (status != CLIENT_OK)
        bench_fail(what, client_status_text(status));
}

/* Stores about @bytes of keys and values, and waits until the server has them. */
static void store(struct filling *filling, uint64_t bytes)
{
    uint64_t until = filling->stored_bytes + bytes;
    struct client_slice version;
    struct corpus_item item;

    while (filling->stored_bytes < until) {
        for (int i = 0; i < 64; i++) {
            char head[64];
            int head_bytes;

            corpus_item(filling->corpus, corpus_draw(filling->corpus), &item);
            head_bytes = snprintf(head, sizeof(head), " 0 0 %zu noreply\r\n", item.value_bytes);
            check(client_queue(filling->client, "set ", 4), "queue");
            check(client_queue(filling->client, item.key, item.key_bytes), "queue");
            check(client_queue(filling->client, head, (size_t)head_bytes), "queue");
            check(client_queue(filling->client, item.value, item.value_bytes), "queue");
            check(client_queue(filling->client, "\r\n", 2), "queue");
            filling->stored_items++;
            filling->stored_bytes += item.key_bytes + item.value_bytes;
        }
        check(client_flush(filling->client), "flush");
    }
    check(client_version(filling->client, &version), "version");
}

static void open_filling(struct filling *filling, struct bench_server *server, const char *folder,
                         const char *name)
{
    char error[CORPUS_ERROR_BYTES_MAX];

    *filling = (struct filling){.server = server, .client = client_new()};
    filling->corpus = corpus_new(folder, name, 1, error);
    if (filling->corpus == NULL || filling->client == NULL)
        bench_fail(name, error);
    check(client_connect_tcp(filling->client, "127.0.0.1", bench_server_port(server), TIMEOUT_MS),
          "connect");
}

static void close_filling(struct filling *filling)
{
    client_free(filling->client);
    corpus_free(filling->corpus);
    bench_server_stop(filling->server);
}

/* Keys that two rounds or two classes share are stored over one another, so the server's count of
 * items holds, and the bytes in proportion. */
static void look(struct filling *filling, struct held *held)
{
    held->items = bench_server_figure(filling->server, "", "curr_items");
    held->raw_bytes = (uint64_t)((double)filling->stored_bytes * (double)held->items /
                                 (double)filling->stored_items);
    held->resident_bytes = bench_server_resident_bytes(filling->server);
}

static void fill_until_eviction(struct filling *filling, struct held *held)
{
    do {
        look(filling, held);
        store(filling, STEP_BYTES);
    } while (bench_server_figure(filling->server, "", "evictions") == 0);
    /* As it was before: what the last step brought may have pushed others out. */
    if (held->items == 0)
        look(filling, held);
}

/* Waits until nothing is compressed again for longer than an item must be old for it. */
static void fill_settled(struct filling *filling, struct held *held)
{
    uint64_t items_before;

    look(filling, held);
    do {
        uint64_t evictions;

        items_before = held->items;
        bench_wait_settled(filling->server);
        evictions = bench_server_figure(filling->server, "", "evictions");
        do {
            look(filling, held);
            store(filling, STEP_BYTES);
        } while (bench_server_figure(filling->server, "", "evictions") == evictions);
    } while (held->items > items_before + items_before / 50);
}

static void measure_theirs(const struct bench *bench, const char *name, struct held *held)
{
    char options[OPTIONS_BYTES];
    struct filling filling;

    snprintf(options, sizeof(options), "-t 1 -m %" PRIu64, bench->memory_mb);
    open_filling(&filling,
                 bench_server_start(bench->programs[OPTIONS_THEIRS], options, BENCH_ANY_CORE),
                 bench->folder, name);
    fill_until_eviction(&filling, held);
    close_filling(&filling);
}

static void measure_ours(const struct bench *bench, const char *name, uint64_t memory_bytes,
                         struct held *first, struct held *later, struct held *settled)
{
    char options[OPTIONS_BYTES];
    struct filling filling;

    snprintf(options, sizeof(options), "-t 1 -m %" PRIu64 " %s", memory_bytes >> 20,
             bench->options);
    open_filling(&filling,
                 bench_server_start(bench->programs[OPTIONS_OURS], options, BENCH_ANY_CORE),
                 bench->folder, name);
    fill_until_eviction(&filling, first);
    store(&filling, filling.stored_bytes);
    look(&filling, later);
    if (bench->settle != 0)
        fill_settled(&filling, settled);
    close_filling(&filling);
}

static void put(const struct bench *bench, const char *name, const char *server,
                const struct held *held)
{
    csv_put(bench->csv, name, server, "items", (double)held->items);
    csv_put(bench->csv, name, server, "raw_bytes", (double)held->raw_bytes);
    csv_put(bench->csv, name, server, "resident_bytes", (double)held->resident_bytes);
}

static void measure(const struct bench *bench, const char *name)
{
    struct held theirs;
    struct held first;
    struct held later;
    struct held settled = {0};

    measure_theirs(bench, name, &theirs);
    measure_ours(bench, name, theirs.resident_bytes, &first, &later, &settled);
    printf("%-11s | %9" PRIu64 " %7.0f %6.0f | %9" PRIu64 " %7.0f %6.0f | %9" PRIu64
           " %6.0f | %6.2f %6.2f",
           name, theirs.items, (double)theirs.raw_bytes / 1048576,
           (double)theirs.resident_bytes / 1048576, first.items, (double)first.raw_bytes / 1048576,
           (double)first.resident_bytes / 1048576, later.items,
           (double)later.resident_bytes / 1048576, (double)first.items / (double)theirs.items,
           (double)later.items / (double)theirs.items);
    put(bench, name, "memcached", &theirs);
    put(bench, name, "zbcached loaded", &first);
    put(bench, name, "zbcached later", &later);
    if (bench->settle != 0)
        put(bench, name, "zbcached settled", &settled);
    if (bench->settle != 0)
        printf(" | settled %9" PRIu64 " %6.0f %6.2f", settled.items,
               (double)settled.resident_bytes / 1048576,
               (double)settled.items / (double)theirs.items);
    printf("\n");
    fflush(stdout);
}

static void print_head(const struct bench *bench)
{
    printf("memcached -m %" PRIu64 " until it evicts, zbcached in the same RSS; contents of %s\n",
           bench->memory_mb, corpus_origin(bench->folder));
    printf("%-11s | %-24s | %-24s | %-16s | %s\n", "", "memcached", "zbcached, first eviction",
           "filled on, twice", "ratio of items");
    printf("%-11s | %9s %7s %6s | %9s %7s %6s | %9s %6s | %6s %6s\n", "corpus", "items", "raw MB",
           "RSS MB", "items", "raw MB", "RSS MB", "items", "RSS MB", "first", "later");
}

int main(int argc, char **argv)
{
    struct bench bench = {
        .memory_mb = 1024, .options = "", .csv_path = "", .folder = getenv("ZBCACHED_CORPORA")};
    const char *names[NAMES_MAX];
    unsigned names_count = 0;
    const struct options_row rows[] = {
        {"memory-mb", "N", .whole = &bench.memory_mb, .min = 1, .max = 1 << 20},
        {"options", "TEXT", .text = &bench.options},
        {"settle", "1", .whole = &bench.settle, .max = 1},
        {"csv", "FILE", .text = &bench.csv_path},
        {"corpus", "NAME", .text = names, .count = &names_count, .room = NAMES_MAX},
    };

    options_read(rows, sizeof(rows) / sizeof(rows[0]), NULL, bench.programs, argc, argv);
    if (names_count == 0) {
        names[names_count++] = "mix";
        for (unsigned i = 0; i < CORPUS_CLASSES_COUNT; i++)
            names[names_count++] = CORPUS_CLASSES[i].name;
    }
    bench.csv = csv_open(bench.csv_path, "density");
    print_head(&bench);
    for (unsigned i = 0; i < names_count; i++)
        measure(&bench, names[i]);
    csv_close(bench.csv);
    return EXIT_SUCCESS;
}
