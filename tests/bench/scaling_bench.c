/*
 * scaling_bench.c - gets and sets of the engine alone, by 1, 2, 4 .. threads at once.
 *
 *   scaling_bench [threads_max] [items] [seconds]
 *
 * A cache with as many shards as the server takes for so many threads is filled with items of the
 * mix; then each thread gets, or sets, items at random. Printed are operations a second, how many
 * times those of one thread that is, CPU time an operation, and how often a thread had to wait
 * for another (its voluntary switches: it does nothing else that waits).
 */
#include "server/cache/cache.h"
#include "tests/bench/bench.h"
#include "tests/corpus/corpus.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>

#define MIB               ((size_t)1 << 20)
#define THREADS_MAX       16u
#define SHARDS_PER_THREAD 4u /* as the server's */
#define ENTRY_BYTES       (2 * MIB)
#define NOW_S             1000u

struct bench {
    struct cache *cache;
    struct corpus *corpus;
    uint64_t *ids;
    unsigned items;
    unsigned threads;
    bool sets;
    _Atomic bool stop;
};

struct thread {
    struct bench *bench;
    pthread_t id;
    struct cache_worker *worker;
    uint8_t *entry;
    uint64_t random;
    uint64_t operations;
    uint64_t waits;
    double cpu_s;
};

static uint8_t *place(void *context, const struct cache_item *item)
{
    struct thread *thread = context;
    return thread->entry + item->key_bytes;
}

static void set(struct thread *thread, const struct corpus_item *item)
{
    struct cache_store store = {.entry = thread->entry,
                                .key_bytes = item->key_bytes,
                                .value_bytes = item->value_bytes,
                                .mode = CACHE_SET,
                                .expiry_s = CACHE_NEVER};
    memcpy(thread->entry, item->key, item->key_bytes);
    memcpy(thread->entry + item->key_bytes, item->value, item->value_bytes);
    bench_require(cache_store(thread->worker, &store, NOW_S, NULL) == CACHE_OK, "a store failed");
}

static void get(struct thread *thread, const struct corpus_item *item)
{
    struct cache_item got;
    bench_require(cache_get(thread->worker, item->key, item->key_bytes, NULL, NOW_S, place, thread,
                            &got) == CACHE_OK,
                  "an item is not there");
}

static void *run(void *context)
{
    struct thread *thread = context;
    struct bench *bench = thread->bench;
    struct rusage before, after;
    struct timespec cpu_before, cpu_after;

    getrusage(RUSAGE_THREAD, &before);
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &cpu_before);
    while (!atomic_load_explicit(&bench->stop, memory_order_relaxed)) {
        struct corpus_item item;
        corpus_item(bench->corpus, bench->ids[corpus_random(&thread->random) % bench->items],
                    &item);
        (bench->sets ? set : get)(thread, &item);
        thread->operations++;
    }
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &cpu_after);
    getrusage(RUSAGE_THREAD, &after);
    thread->waits = (uint64_t)(after.ru_nvcsw - before.ru_nvcsw);
    thread->cpu_s = (double)(cpu_after.tv_sec - cpu_before.tv_sec) +
                    (double)(cpu_after.tv_nsec - cpu_before.tv_nsec) * 1e-9;
    return NULL;
}

/* Operations a second of all threads. */
static double measure(struct bench *bench, struct thread *threads, unsigned seconds, double one)
{
    const struct timespec time = {.tv_sec = seconds};
    uint64_t operations = 0, waits = 0;
    double cpu_s = 0;

    atomic_store(&bench->stop, false);
    for (unsigned i = 0; i < bench->threads; i++) {
        threads[i].operations = 0;
        bench_require(pthread_create(&threads[i].id, NULL, run, &threads[i]) == 0, "no thread");
    }
    nanosleep(&time, NULL);
    atomic_store(&bench->stop, true);
    for (unsigned i = 0; i < bench->threads; i++) {
        pthread_join(threads[i].id, NULL);
        operations += threads[i].operations;
        waits += threads[i].waits;
        cpu_s += threads[i].cpu_s;
    }
    double rate = (double)operations / seconds;
    printf("%-4s %7u | %10.0f %6.2f | %7.2f | %8.1f\n", bench->sets ? "set" : "get", bench->threads,
           rate, one > 0 ? rate / one : 1.0, cpu_s * 1e6 / (double)operations,
           (double)waits * 1e6 / (double)operations);
    fflush(stdout);
    return rate;
}

static void prepare(struct bench *bench, struct thread *threads, unsigned threads_max)
{
    char error[CORPUS_ERROR_BYTES_MAX];
    size_t memory_bytes = 256 * MIB + bench->items * (size_t)1024;
    struct cache_config config = {.memory_bytes = memory_bytes,
                                  .reserve_bytes = memory_bytes,
                                  .item_bytes_max = MIB,
                                  .shards = 1,
                                  .evict = true,
                                  .compress = true,
                                  .seed = 1,
                                  .now_s = NOW_S};

    while (config.shards < SHARDS_PER_THREAD * threads_max)
        config.shards *= 2;
    bench->cache = cache_new(&config);
    bench->corpus = corpus_new(getenv("ZBCACHED_CORPORA"), "mix", 1, error);
    bench->ids = malloc(bench->items * sizeof(*bench->ids));
    bench_require(bench->cache != NULL && bench->corpus != NULL && bench->ids != NULL,
                  "no memory or no contents");
    for (unsigned i = 0; i < threads_max; i++) {
        threads[i] = (struct thread){.bench = bench,
                                     .random = i + 1,
                                     .worker = cache_worker_new(bench->cache),
                                     .entry = malloc(ENTRY_BYTES)};
        bench_require(threads[i].worker != NULL && threads[i].entry != NULL, "no memory");
    }
    struct cache_keeper *keeper = cache_keeper_new(bench->cache);
    for (unsigned i = 0; i < bench->items; i++) {
        struct corpus_item item;
        bench->ids[i] = corpus_draw(bench->corpus);
        corpus_item(bench->corpus, bench->ids[i], &item);
        set(&threads[0], &item);
        if (keeper != NULL && i % 1000 == 0)
            (void)cache_maintain(keeper, NOW_S + i / 20000);
    }
    cache_keeper_free(keeper);
}

int main(int argc, char **argv)
{
    unsigned threads_max = argc > 1 ? (unsigned)strtoul(argv[1], NULL, 10) : 2;
    unsigned seconds = argc > 3 ? (unsigned)strtoul(argv[3], NULL, 10) : 3;
    struct bench bench = {.items = argc > 2 ? (unsigned)strtoul(argv[2], NULL, 10) : 300000};
    struct thread threads[THREADS_MAX];

    bench_require(threads_max != 0 && threads_max <= THREADS_MAX && bench.items != 0 &&
                      seconds != 0,
                  "usage: scaling_bench [threads_max, at most 16] [items] [seconds]");
    prepare(&bench, threads, threads_max);
    printf("%-4s %7s | %10s %6s | %7s | %8s\n", "", "threads", "a second", "times", "CPU us",
           "waits/M");
    for (int sets = 0; sets < 2; sets++) {
        double one = 0;
        bench.sets = sets != 0;
        for (bench.threads = 1; bench.threads <= threads_max; bench.threads *= 2) {
            double rate = measure(&bench, threads, seconds, one);
            one = bench.threads == 1 ? rate : one;
        }
    }
    return EXIT_SUCCESS;
}
