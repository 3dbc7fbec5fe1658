/*
 * zbud_bench.c - nanoseconds per operation of the allocator.
 *
 *   bazel run -c opt //tests/bench:zbud_bench [-- MEBIBYTES]
 *
 * Each line is the fastest of 5 rounds on one thread, over an arena of 256 MiB unless told another
 * size. "Cold" means records picked at random over all of it, so that nearly each is a cache miss.
 */
#include "tests/bench/bench.h"
#include "zbud/log.h"
#include "zbud/pool.h"

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define ROUNDS  5u
#define LOOKUPS 1000000u

struct bench {
    size_t arena_bytes;
    struct zbud_arena *arena;
    struct zbud_pool *pool;
    uint64_t random;
    struct place *places; /* live records or buddies */
    size_t places_count;
    size_t places_max;
    uint64_t sum; /* of what was read, so that reading is not left out */
};

struct place {
    struct zbud_handle handle;
    unsigned number;
};

/* What one round measured. */
struct measure {
    const char *name;
    double ns;
    uint64_t operations;
};

static uint64_t next_random(struct bench *bench)
{
    bench->random ^= bench->random << 13;
    bench->random ^= bench->random >> 7;
    bench->random ^= bench->random << 17;
    return bench->random;
}

static void bench_begin(struct bench *bench)
{
    bench->arena = zbud_arena_new(bench->arena_bytes, bench->arena_bytes);
    bench_require(bench->arena != NULL, "no address space");
    bench->pool = zbud_pool_create(bench->arena);
    bench->random = 88172645463325252u;
    bench->places_max = bench->arena_bytes / 32; /* the smallest record here has 36 bytes */
    bench->places = malloc(bench->places_max * sizeof(*bench->places));
    bench_require(bench->pool != NULL && bench->places != NULL, "no memory");
    bench->places_count = 0;
}

static void bench_end(struct bench *bench)
{
    zbud_pool_destroy(bench->pool);
    zbud_arena_free(bench->arena);
    free(bench->places);
}

static void shuffle(struct bench *bench)
{
    for (size_t i = bench->places_count; i > 1; i--) {
        size_t other = next_random(bench) % i;
        struct place place = bench->places[i - 1];
        bench->places[i - 1] = bench->places[other];
        bench->places[other] = place;
    }
}

static void print_line(const char *name, double ns_best, uint64_t operations)
{
    printf("%-52s %9.1f ns %10llu\n", name, ns_best / (double)operations,
           (unsigned long long)operations);
}

/* ---- arena ---------------------------------------------------------------------------------- */

/* Takes every page there is, writes the first @bytes of each and gives all back: what comes after
 * then meets no page faults of fresh memory. */
static void touch_arena(struct bench *bench, size_t bytes)
{
    uint32_t first = ZBUD_PAGE_NONE, page;

    while (zbud_arena_take(bench->arena, &page) == ZBUD_OK) {
        memset(zbud_arena_page(bench->arena, page), 0, bytes);
        zbud_arena_link(bench->arena, page, first);
        first = page;
    }
    zbud_arena_give_chain(bench->arena, first);
}

static struct measure take_and_touch(struct bench *bench)
{
    double start_ns = bench_now_ns();
    uint32_t page, pages = 0;

    while (zbud_arena_take(bench->arena, &page) == ZBUD_OK) {
        memset(zbud_arena_page(bench->arena, page), 1, ZBUD_PAGE_BYTES);
        pages++;
    }
    return (struct measure){"arena: take a page never used and fill it", bench_now_ns() - start_ns,
                            pages};
}

static struct measure take_and_give(struct bench *bench)
{
    double start_ns = bench_now_ns();

    for (unsigned i = 0; i < LOOKUPS; i++) {
        uint32_t page;
        bench_require(zbud_arena_take(bench->arena, &page) == ZBUD_OK, "no page");
        zbud_arena_give(bench->arena, page);
    }
    return (struct measure){"arena: take and give a kept page", bench_now_ns() - start_ns, LOOKUPS};
}

static struct measure trim_all(struct bench *bench)
{
    size_t pages;
    double start_ns;

    touch_arena(bench, 1);
    start_ns = bench_now_ns();
    pages = zbud_arena_trim(bench->arena, SIZE_MAX);
    return (struct measure){"arena: give a kept page back to the system", bench_now_ns() - start_ns,
                            pages};
}

static struct measure next_age(struct bench *bench)
{
    double start_ns = bench_now_ns();
    for (unsigned i = 0; i < LOOKUPS; i++)
        bench->sum += zbud_arena_next_age(bench->arena);
    return (struct measure){"arena: count a page use", bench_now_ns() - start_ns, LOOKUPS};
}

/* ---- plain buddies -------------------------------------------------------------------------- */

static void fill_plain(struct bench *bench)
{
    struct place place = {{0}, 0};
    while (zbud_alloc(bench->pool, 100 + next_random(bench) % 3000, &place.handle) == ZBUD_OK)
        bench->places[bench->places_count++] = place;
}

static struct measure alloc_until_full(struct bench *bench)
{
    double start_ns;

    fill_plain(bench);
    while (bench->places_count != 0)
        zbud_free(bench->pool, bench->places[--bench->places_count].handle);
    start_ns = bench_now_ns();
    fill_plain(bench);
    return (struct measure){"pool: alloc 100-3100 bytes until full", bench_now_ns() - start_ns,
                            bench->places_count};
}

static struct measure free_at_random(struct bench *bench)
{
    double start_ns;
    uint64_t count;

    fill_plain(bench);
    count = bench->places_count;
    shuffle(bench);
    start_ns = bench_now_ns();
    while (bench->places_count != 0)
        zbud_free(bench->pool, bench->places[--bench->places_count].handle);
    return (struct measure){"pool: free, in random order (cold)", bench_now_ns() - start_ns, count};
}

static struct measure churn(struct bench *bench)
{
    double start_ns;

    fill_plain(bench);
    start_ns = bench_now_ns();
    for (unsigned i = 0; i < LOOKUPS; i++) {
        struct place *place = &bench->places[next_random(bench) % bench->places_count];
        zbud_free(bench->pool, place->handle);
        while (zbud_alloc(bench->pool, 100 + next_random(bench) % 3000, &place->handle) !=
               ZBUD_OK) {
            *place = bench->places[--bench->places_count];
            place = &bench->places[next_random(bench) % bench->places_count];
            zbud_free(bench->pool, place->handle);
        }
    }
    return (struct measure){"pool: free one, alloc one, at random (cold)",
                            bench_now_ns() - start_ns, LOOKUPS};
}

static void evict_by_freeing(void *owner, struct zbud_handle buddy)
{
    struct bench *bench = owner;
    zbud_free(bench->pool, buddy);
}

static struct measure reclaim_all(struct bench *bench)
{
    double start_ns;
    uint64_t pages;

    fill_plain(bench);
    pages = zbud_pool_pages(bench->pool);
    start_ns = bench_now_ns();
    while (zbud_reclaim(bench->pool, evict_by_freeing, bench) == ZBUD_OK) {
    }
    return (struct measure){"pool: reclaim a page of two buddies", bench_now_ns() - start_ns,
                            pages};
}

static void visit(void *owner, struct zbud_handle buddy)
{
    struct bench *bench = owner;
    bench->sum += buddy.bits;
}

static struct measure walk_all(struct bench *bench)
{
    double start_ns;

    fill_plain(bench);
    start_ns = bench_now_ns();
    while (!zbud_walk(bench->pool, 32, visit, bench)) {
    }
    return (struct measure){"pool: walk, a page", bench_now_ns() - start_ns,
                            zbud_pool_pages(bench->pool)};
}

/* ---- logs ----------------------------------------------------------------------------------- */

static uint8_t record_source[4096];

static bool append(struct bench *bench, size_t bytes)
{
    struct place *place = &bench->places[bench->places_count];
    void *data;

    if (zbud_log_open(bench->pool, 0, bytes, &place->handle) != ZBUD_OK)
        return false;
    place->number = zbud_log_append(bench->pool, place->handle, bytes, 0, &data);
    memcpy(data, record_source, bytes);
    bench->places_count++;
    return true;
}

static struct measure append_until_full(struct bench *bench, size_t bytes, const char *name)
{
    double start_ns;

    touch_arena(bench, ZBUD_PAGE_BYTES);
    start_ns = bench_now_ns();
    while (append(bench, bytes)) {
    }
    return (struct measure){name, bench_now_ns() - start_ns, bench->places_count};
}

static struct measure append_36(struct bench *bench)
{
    return append_until_full(bench, 36, "log: append 36 bytes until full");
}

static struct measure append_200(struct bench *bench)
{
    return append_until_full(bench, 200, "log: append 200 bytes until full");
}

static struct measure append_1500(struct bench *bench)
{
    return append_until_full(bench, 1500, "log: append 1500 bytes until full");
}

static void evict_records(void *owner, struct zbud_handle log)
{
    struct bench *bench = owner;
    for (unsigned number = 0; !zbud_log_kill(bench->pool, log, number); number++) {
    }
}

/* A full cache's steady state: each page that is filled has been reclaimed before. */
static struct measure append_when_full(struct bench *bench)
{
    double start_ns;

    while (append(bench, 120)) {
    }
    start_ns = bench_now_ns();
    for (unsigned i = 0; i < LOOKUPS; i++) {
        bench->places_count = 0;
        while (!append(bench, 120))
            bench_require(zbud_reclaim(bench->pool, evict_records, bench) == ZBUD_OK, "no page");
    }
    return (struct measure){"log: append 120 bytes when full, reclaim included",
                            bench_now_ns() - start_ns, LOOKUPS};
}

static void look_up(struct bench *bench, size_t among)
{
    for (unsigned i = 0; i < LOOKUPS; i++) {
        const struct place *place = &bench->places[next_random(bench) % among];
        size_t bytes;
        unsigned tag;
        uint8_t *data = zbud_log_record(bench->pool, place->handle, place->number, &bytes, &tag);
        bench->sum += data[0] + bytes;
    }
}

static struct measure look_up_hot(struct bench *bench)
{
    double start_ns;
    while (append(bench, 200)) {
    }
    start_ns = bench_now_ns();
    look_up(bench, 1000);
    return (struct measure){"log: find a record and read a byte (hot)", bench_now_ns() - start_ns,
                            LOOKUPS};
}

static struct measure look_up_cold(struct bench *bench)
{
    double start_ns;
    while (append(bench, 200)) {
    }
    start_ns = bench_now_ns();
    look_up(bench, bench->places_count);
    return (struct measure){"log: the same, cold", bench_now_ns() - start_ns, LOOKUPS};
}

/* Every region has had a page given back, so none may be huge any more. */
static struct measure look_up_cold_small_pages(struct bench *bench)
{
    double start_ns;
    touch_arena(bench, ZBUD_PAGE_BYTES);
    (void)zbud_arena_trim(bench->arena, SIZE_MAX);
    while (append(bench, 200)) {
    }
    start_ns = bench_now_ns();
    look_up(bench, bench->places_count);
    return (struct measure){"log: the same, cold, no huge pages", bench_now_ns() - start_ns,
                            LOOKUPS};
}

static struct measure kill_at_random(struct bench *bench)
{
    double start_ns;
    uint64_t count;

    while (append(bench, 200)) {
    }
    shuffle(bench);
    count = bench->places_count;
    start_ns = bench_now_ns();
    while (bench->places_count != 0) {
        struct place place = bench->places[--bench->places_count];
        (void)zbud_log_kill(bench->pool, place.handle, place.number);
    }
    return (struct measure){"log: kill, in random order (cold)", bench_now_ns() - start_ns, count};
}

static void squeeze_one(void *owner, struct zbud_handle log)
{
    struct bench *bench = owner;
    zbud_log_squeeze(bench->pool, log);
}

static struct measure squeeze_half(struct bench *bench)
{
    double start_ns;
    size_t kept = 0;

    while (append(bench, 200)) {
    }
    for (size_t i = 0; i < bench->places_count; i++) {
        if (i % 2 == 0)
            (void)zbud_log_kill(bench->pool, bench->places[i].handle, bench->places[i].number);
        else
            bench->places[kept++] = bench->places[i];
    }
    start_ns = bench_now_ns();
    while (!zbud_walk(bench->pool, 32, squeeze_one, bench)) {
    }
    return (struct measure){"log: squeeze a page of 20 records, every other dead",
                            bench_now_ns() - start_ns, zbud_pool_pages(bench->pool)};
}

int main(int argc, char **argv)
{
    static struct measure (*const rounds[])(struct bench *) = {
        take_and_touch,   take_and_give,  trim_all,     next_age,
        alloc_until_full, free_at_random, churn,        reclaim_all,
        walk_all,         append_36,      append_200,   append_1500,
        append_when_full, look_up_hot,    look_up_cold, look_up_cold_small_pages,
        kill_at_random,   squeeze_half,
    };
    size_t mebibytes = argc > 1 ? strtoul(argv[1], NULL, 10) : 256;
    struct bench bench = {0};

    bench_require(mebibytes >= 4 && mebibytes <= (size_t)1 << 20, "MEBIBYTES is 4 to 1048576");
    bench.arena_bytes = mebibytes << 20;
    printf("%-52s %12s %10s\n", "", "each", "operations");
    for (size_t i = 0; i < sizeof(rounds) / sizeof(rounds[0]); i++) {
        struct measure best = {0};
        for (unsigned round = 0; round < ROUNDS; round++) {
            struct measure measure;
            bench_begin(&bench);
            measure = rounds[i](&bench);
            bench_end(&bench);
            if (round == 0 || measure.ns < best.ns)
                best = measure;
        }
        print_line(best.name, best.ns, best.operations);
    }
    return bench.sum == 0; /* never: something was read */
}
