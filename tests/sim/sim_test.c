/*
 * Simulates a cache whose clock, randomness, memory and failures are all made up from a seed, and
 * holds every answer against a naive model (sim.h).
 *
 * ZBCACHED_TEST_SEED: the first seed, the time by default. ZBCACHED_TEST_SEEDS: how many, one after
 * the other. ZBCACHED_TEST_OPERATIONS: for each. A failure names its seed and the command that
 * replays it.
 */
#include "tests/instrumented.h"
#include "tests/sim/faults.h"
#include "tests/sim/sim.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define SEEDS       8u
#define OPERATIONS  (INSTRUMENTED ? 8000u : 40000u)
#define AUDIT_EVERY 8000u

static struct sim *sim; /* for the signal's handler */

static uint64_t from_environment(const char *name, uint64_t otherwise)
{
    const char *text = getenv(name);
    return text != NULL ? strtoull(text, NULL, 10) : otherwise;
}

/* The engine's own asserts say where, but not in which world. */
static void say_seed(int signal_number)
{
    (void)signal_number;
    char text[160];
    int bytes = snprintf(text, sizeof(text), "seed %llu, operation %llu of %llu\n",
                         (unsigned long long)sim->seed, (unsigned long long)sim->operation,
                         (unsigned long long)sim->operations);
    (void)!write(STDERR_FILENO, text, (size_t)bytes);
}

/* Small and evicting, raw, refusing (-M), large enough for dictionaries: each in turn. */
static void configure(void)
{
    static const uint32_t STARTS_S[] = {2, 1000, 1800000000};
    unsigned world = (unsigned)(sim->seed % 5);
    bool large = world == 3 || world == 4;
    size_t memory_bytes = large ? (size_t)26 << 20 : (size_t)(2 + sim_draw(sim, 4)) << 20;
    if (world == 2)
        memory_bytes = (size_t)12 << 20;
    sim->keys = large ? SIM_KEYS_MAX : 3000;
    sim->now_s = STARTS_S[sim_draw(sim, 3)];
    sim->memory_bytes = memory_bytes;
    sim->config = (struct cache_config){
        .memory_bytes = memory_bytes,
        .reserve_bytes = memory_bytes + ((size_t)sim_draw(sim, 8) << 20),
        .item_bytes_max = sim_draw(sim, 2) ? SIM_ITEM_MAX : 64u << 10,
        .shards = 1u << sim_draw(sim, 4),
        .evict = world != 2,
        .compress = world != 1,
        .defer = sim_draw(sim, 2),
        .settle = !sim_chance(sim, 3),
        .observer = {sim_wants_evicted, sim_evicted, sim},
        .seed = ((uint64_t)sim_draw(sim, UINT32_MAX) << 32) | sim_draw(sim, UINT32_MAX),
        .now_s = sim->now_s,
    };
}

static void stop_cache(void)
{
    cache_keeper_free(sim->keeper);
    cache_worker_free(sim->workers[1]);
    cache_worker_free(sim->workers[0]);
    cache_free(sim->cache);
    sim->keeper = NULL;
    sim->workers[0] = sim->workers[1] = NULL;
    sim->cache = NULL;
}

static bool start_cache(void)
{
    sim->cache = cache_new(&sim->config);
    if (sim->cache == NULL)
        return false;
    sim->workers[0] = cache_worker_new(sim->cache);
    sim->workers[1] = cache_worker_new(sim->cache);
    sim->keeper = cache_keeper_new(sim->cache);
    return sim->workers[0] != NULL && sim->workers[1] != NULL && sim->keeper != NULL;
}

/* Each point of a start fails once, by itself: no start, and nothing left behind. Advice is advice:
 * a start does without. */
static void start_at_last(void)
{
    int64_t blocks = faults_blocks(), mapped_bytes = faults_mapped_bytes();
    for (uint64_t nth = 1;; nth++) {
        uint64_t advised = faults_count(FAULT_ADVISE);
        faults_fail_at(nth);
        faults_arm();
        bool started = start_cache();
        bool failed = faults_disarm() > 0;
        faults_fail_at(0);
        if (!failed) {
            CHECK(sim, started);
            return;
        }
        CHECK(sim, started == (faults_count(FAULT_ADVISE) > advised));
        stop_cache();
        CHECK(sim, faults_blocks() == blocks && faults_mapped_bytes() == mapped_bytes);
    }
}

static void begin(uint64_t seed, uint64_t operations)
{
    memset(sim, 0, sizeof(*sim));
    sim->seed = seed;
    sim->operations = operations;
    sim->random = seed * 0x9e3779b97f4a7c15u;
    faults_seed(sim->random + 1);
    configure();
    start_at_last();
}

static void end(void)
{
    sim->parts_worker = NULL; /* what is under way goes with its worker */
    for (unsigned i = 0; i < sim->keys; i++)
        sim_remove(&sim->known[i]);
    stop_cache();
}

static void run(uint64_t seed, uint64_t operations)
{
    int64_t blocks = faults_blocks(), mapped_bytes = faults_mapped_bytes();
    begin(seed, operations);
    for (sim->operation = 1; sim->operation <= operations; sim->operation++) {
        sim_operate(sim);
        if (sim->operation % 64 == 0)
            sim_audit_figures(sim);
        if (sim->operation % AUDIT_EVERY == 0)
            sim_audit(sim);
    }
    sim_audit(sim);
    printf("seed %llu: %llu hits, %llu misses, %llu evicted, %llu without memory, %llu learned, "
           "%llu stored in parts\n",
           (unsigned long long)seed, (unsigned long long)sim->hits, (unsigned long long)sim->misses,
           (unsigned long long)sim->evicted, (unsigned long long)sim->out_of_memory,
           (unsigned long long)sim->learned, (unsigned long long)sim->in_parts);
    fflush(stdout);
    end();
    CHECK(sim, faults_blocks() == blocks && faults_mapped_bytes() == mapped_bytes);
}

int main(void)
{
    static const char *const NAMES[FAULT_KINDS] = {"heap",   "map",   "advice", "pages",
                                                   "charge", "train", "numbers"};
    uint64_t first = from_environment("ZBCACHED_TEST_SEED", (uint64_t)time(NULL));
    uint64_t seeds = from_environment("ZBCACHED_TEST_SEEDS", SEEDS);
    uint64_t operations = from_environment("ZBCACHED_TEST_OPERATIONS", OPERATIONS);
    sim = calloc(1, sizeof(*sim));
    if (sim == NULL)
        return EXIT_FAILURE;
    signal(SIGABRT, say_seed);
    for (uint64_t i = 0; i < seeds; i++)
        run(first + i, operations);
    printf("%llu operations over %llu seeds: no disagreement. Made to fail:",
           (unsigned long long)(seeds * operations), (unsigned long long)seeds);
    for (unsigned i = 0; i < FAULT_KINDS; i++)
        printf(" %s %llu", NAMES[i], (unsigned long long)faults_count((enum fault)i));
    printf("\n");
    free(sim);
    return EXIT_SUCCESS;
}
