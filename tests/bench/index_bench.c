/*
 * index_bench.c - bytes an item and nanoseconds an operation of the cache's index, at every fill.
 *
 *   bazel run -c opt //tests/bench:index_bench [-- ITEMS_MILLIONS [MEMORY_MIB]]
 *
 * One index, sized for a limit of MEMORY_MIB (8,192 unless told otherwise), grows to ITEMS_MILLIONS
 * (100) items and shrinks again to the start of the table. A line is printed at every 4 % more, and
 * 8 % less: what the index takes, the worst since the line before, and the median of ten samples of
 * inserts and of finds of random items. The last lines say the worst of all, and the longest single
 * insert, that is, the longest step of growth; it is wall time, and somebody else's turn on the
 * processor is in it.
 */
#include "server/cache/hash.h"
#include "server/cache/index.h"
#include "tests/bench/bench.h"
#include "zbud/arena.h"

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#define FIRST_ITEMS   1000000u
#define STEP_UP       1.04
#define STEP_DOWN     .92
#define SAMPLES       10u
#define SAMPLE_OPS    20000u
#define WORST_EVERY   256u
#define SLOW_NS       200000.0
#define RECORDS_A_LOG 32u

struct bench {
    struct zbud_arena *arena;
    struct index *index;
    uint64_t items; /* numbers 0 to items - 1 are in the index */
    uint64_t random;
    double worst_bytes; /* an item, since the last line */
    double worst_bytes_ever;
    uint64_t worst_items;
    double longest_ns;
    uint64_t slow; /* inserts over SLOW_NS */
    uint64_t candidates;
    uint64_t finds;
};

static uint64_t hash_of(uint64_t number)
{
    return hash_key(&number, sizeof(number), 1);
}

static struct index_place place_of(uint64_t number)
{
    struct index_place place = {{(uint32_t)(number / RECORDS_A_LOG) + 2},
                                (unsigned)(number % RECORDS_A_LOG)};
    return place;
}

static double index_bytes(const struct bench *bench)
{
    return (double)(index_pages(bench->index) * ZBUD_PAGE_BYTES);
}

static void note_worst(struct bench *bench)
{
    const double bytes = index_bytes(bench) / (double)bench->items;

    if (bench->items < FIRST_ITEMS) {
        return;
    }
    if (bytes > bench->worst_bytes) {
        bench->worst_bytes = bytes;
    }
    if (bytes > bench->worst_bytes_ever) {
        bench->worst_bytes_ever = bytes;
        bench->worst_items = bench->items;
    }
}

static void insert_next(struct bench *bench)
{
    const size_t pages = index_pages(bench->index);
    const double start_ns = bench_now_ns();

    bench_require(index_insert(bench->index, hash_of(bench->items), place_of(bench->items)) != NULL,
                  "the arena is too small");
    const double ns = bench_now_ns() - start_ns;
    bench->items++;
    if (index_pages(bench->index) != pages) {
        bench->slow += ns > SLOW_NS;
        if (ns > bench->longest_ns) {
            bench->longest_ns = ns;
        }
    }
    if (bench->items % WORST_EVERY == 0) {
        note_worst(bench);
    }
}

static void remove_last(struct bench *bench)
{
    const uint64_t number = --bench->items;
    const uint64_t hash = hash_of(number);
    uint64_t *slot = index_find(bench->index, hash, place_of(number));

    bench_require(slot != NULL, "an item is lost");
    index_remove(bench->index, hash, slot);
}

static double time_inserts(struct bench *bench)
{
    double samples[SAMPLES];

    for (unsigned i = 0; i < SAMPLES; i++) {
        const double start_ns = bench_now_ns();
        for (unsigned n = 0; n < SAMPLE_OPS; n++) {
            const uint64_t number = bench->items++;
            bench_require(index_insert(bench->index, hash_of(number), place_of(number)) != NULL,
                          "the arena is too small");
        }
        samples[i] = (bench_now_ns() - start_ns) / SAMPLE_OPS;
        note_worst(bench);
    }
    return bench_median(samples, SAMPLES);
}

static double time_finds(struct bench *bench)
{
    double samples[SAMPLES];
    uint64_t *slots[INDEX_CANDIDATES_MAX];

    for (unsigned i = 0; i < SAMPLES; i++) {
        const double start_ns = bench_now_ns();
        for (unsigned n = 0; n < SAMPLE_OPS; n++) {
            bench->random = bench->random * 6364136223846793005u + 1442695040888963407u;
            const uint64_t number = (bench->random >> 16) % bench->items;
            bench->candidates += index_candidates(bench->index, hash_of(number), slots);
        }
        bench->finds += SAMPLE_OPS;
        samples[i] = (bench_now_ns() - start_ns) / SAMPLE_OPS;
    }
    return bench_median(samples, SAMPLES);
}

static void print_line(struct bench *bench, double insert_ns)
{
    bench->candidates = 0;
    bench->finds = 0;
    const double find_ns = time_finds(bench);

    bench_require(bench->candidates >= bench->finds, "an item is lost");
    printf("%12lu %9.1f %8.3f %8.3f ", (unsigned long)bench->items, index_bytes(bench) / (1u << 20),
           index_bytes(bench) / (double)bench->items, bench->worst_bytes);
    if (insert_ns > 0) {
        printf("%8.0f ", insert_ns);
    } else {
        printf("%8s ", "-");
    }
    printf("%8.0f %9.4f\n", find_ns, (double)bench->candidates / (double)bench->finds - 1);
    (void)fflush(stdout);
    bench->worst_bytes = 0;
}

static void print_worst(struct bench *bench, const char *what)
{
    printf("%s: at worst %.3f bytes an item, at %lu items\n", what, bench->worst_bytes_ever,
           (unsigned long)bench->worst_items);
    bench->worst_bytes_ever = 0;
}

static void grow(struct bench *bench, uint64_t items)
{
    for (double next = FIRST_ITEMS; bench->items < items; next *= STEP_UP) {
        while ((double)bench->items < next) {
            insert_next(bench);
        }
        print_line(bench, time_inserts(bench));
    }
    print_worst(bench, "growing");
    printf("longest step of growth %.0f us, %lu over %.0f us\n", bench->longest_ns / 1e3,
           (unsigned long)bench->slow, SLOW_NS / 1e3);
}

/* As the crawler does it: a round over the segments now and then. */
static void shrink(struct bench *bench)
{
    for (double next = (double)bench->items * STEP_DOWN; next >= FIRST_ITEMS; next *= STEP_DOWN) {
        const double part = (double)bench->items * .01;
        while ((double)bench->items > next) {
            for (double removed = 0; removed < part; removed++) {
                remove_last(bench);
            }
            while (!index_shrink(bench->index)) {
            }
            note_worst(bench);
        }
        print_line(bench, 0);
    }
    print_worst(bench, "shrinking, the crawler one round behind for each hundredth");
}

int main(int argc, char **argv)
{
    struct bench bench = {.random = 1};
    const double millions = argc > 1 ? strtod(argv[1], NULL) : 100;
    const size_t memory_mb = argc > 2 ? strtoul(argv[2], NULL, 10) : 8192;

    bench_require(millions > 1 && millions <= 2000 && memory_mb > 0 && memory_mb <= 1u << 19,
                  "usage: index_bench [ITEMS_MILLIONS [MEMORY_MIB]]");
    bench.arena = zbud_arena_new(memory_mb << 20, memory_mb << 20);
    bench_require(bench.arena != NULL, "no address space");
    bench.index = index_new(bench.arena, memory_mb << 20);
    bench_require(bench.index != NULL, "no memory");
    printf("%12s %9s %8s %8s %8s %8s %9s\n", "items", "MiB", "B/item", "worst", "ns ins.",
           "ns find", "others");
    grow(&bench, (uint64_t)(millions * 1e6));
    shrink(&bench);
    printf("slots lost: %zu\n", index_lost(bench.index));
    index_free(bench.index);
    zbud_arena_free(bench.arena);
    return 0;
}
