/*
 * engine_crash_test.c - processes that store, delete, touch and flush in a memory file, with their
 * background at work, killed at any moment; then the file is opened by another.
 *
 * ZBCACHED_TEST_CRASHES says how often, ZBCACHED_TEST_SEED what is done; when they are killed
 * follows from nothing. What is asserted holds at each moment. Most die outside of what matters, so
 * others are led to it, and killed after so many single instructions.
 */
#include "tests/cache/check_cache.h"
#include "tests/instrumented.h"
#include "tests/warm/model.h"

#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define WRITERS     2u
#define KEYS        12000u
#define NOW_S       1000u
#define EXPIRY_S    2000u /* of those that expire */
#define FAR_S       900000u
#define FLUSH_EVERY 40000u
/* Few where threads are watched: most of the single instructions are the sanitizer's own then. */
#define CRASHES     (THREADS_WATCHED ? 4u : 12u)
#define BACK_PCT    99u
#define STEPS_MAX   4000u /* a store is some 6,000 instructions, half of them before the lock */
#define STEPPED     (3u * CRASHES)
#define RUN_UP      300u /* requests before the steps */
#define LOST_MAX    512u /* the records of two pages: one that is written, one that is left */

struct rig {
    struct warm_model *model;
    struct cache_config config;
    char path[WARM_PATH_BYTES];
    uint64_t random;
    struct warm_verdict sums;
    char told[CACHE_TOLD_BYTES];
};

struct writer {
    struct rig *rig;
    struct cache_worker *worker;
    struct cache *cache;
    pthread_rwlock_t *flush;
    unsigned id;
    uint64_t random;
    uint8_t entry[WARM_KEY_BYTES_MAX + WARM_VALUE_BYTES_MAX + 100];
};

static uint8_t *place(void *context, const struct cache_item *item)
{
    return (uint8_t *)context + item->key_bytes;
}

static void nap_us(long us)
{
    const struct timespec time = {.tv_nsec = us * 1000};
    (void)nanosleep(&time, NULL);
}

/* ---- what dies ---- */

static void store(struct writer *writer, uint32_t key)
{
    struct warm_model *model = writer->rig->model;
    uint32_t version = warm_begin(model, key, false);
    char *entry = (char *)writer->entry;
    size_t key_bytes = warm_key(key, entry);
    struct cache_store put = {
        .entry = writer->entry,
        .key_bytes = key_bytes,
        .value_bytes = warm_value(key, version, entry + key_bytes),
        .mode = CACHE_SET,
        .flags = warm_flags(version),
        .expiry_s = warm_expires(version) ? EXPIRY_S : CACHE_NEVER,
        .owner = writer,
    };
    enum cache_status status;
    do {
        status = cache_store(writer->worker, &put, NOW_S, NULL);
    } while (status == CACHE_MORE);
    /* A set that fails removes. */
    if (status != CACHE_OK)
        (void)warm_begin(model, key, true);
    warm_done(model, key);
}

static void one_of_all(struct writer *writer)
{
    struct warm_model *model = writer->rig->model;
    uint32_t key = warm_random(&writer->random, KEYS / WRITERS) * WRITERS + writer->id;
    char text[WARM_KEY_BYTES_MAX];
    size_t key_bytes = warm_key(key, text);
    struct cache_item item;
    switch (warm_random(&writer->random, 16)) {
    case 0:
    case 1:
        (void)warm_begin(model, key, true);
        (void)!cache_delete(writer->worker, text, key_bytes, NOW_S);
        warm_done(model, key);
        break;
    case 2:
        if (!warm_expires(atomic_load(&model->keys[key].acked)))
            (void)!cache_touch(writer->worker, text, key_bytes,
                               warm_random(&writer->random, 2) ? FAR_S : CACHE_NEVER, NOW_S);
        break;
    case 3:
    case 4:
    case 5:
        (void)!cache_get(writer->worker, text, key_bytes, NULL, NOW_S, place, writer->entry, &item);
        break;
    default:
        store(writer, key);
        break;
    }
}

static void flush(struct writer *writer)
{
    struct warm_model *model = writer->rig->model;
    pthread_rwlock_wrlock(writer->flush);
    atomic_store(&model->flushing, 1);
    cache_flush_all(writer->cache, NOW_S, NOW_S);
    warm_gone(model);
    atomic_store(&model->flushing, 0);
    pthread_rwlock_unlock(writer->flush);
}

static void *write_on(void *context)
{
    struct writer *writer = context;
    for (;;) {
        pthread_rwlock_rdlock(writer->flush);
        one_of_all(writer);
        pthread_rwlock_unlock(writer->flush);
        if (writer->id == 0 && warm_random(&writer->random, FLUSH_EVERY) == 0)
            flush(writer);
    }
    return NULL;
}

static _Noreturn void work_until_killed(struct rig *rig)
{
    struct cache *cache = cache_new(&rig->config);
    static struct writer writers[WRITERS];
    pthread_rwlock_t lock;
    (void)prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (cache == NULL)
        _exit(1);
    struct cache_keeper *keeper = cache_keeper_new(cache);
    pthread_rwlock_init(&lock, NULL);
    for (unsigned i = 0; i < WRITERS; i++) {
        pthread_t thread;
        writers[i] = (struct writer){.rig = rig,
                                     .cache = cache,
                                     .worker = cache_worker_new(cache),
                                     .flush = &lock,
                                     .id = i,
                                     .random = rig->random + i};
        if (writers[i].worker == NULL || keeper == NULL ||
            pthread_create(&thread, NULL, write_on, &writers[i]) != 0)
            _exit(1);
    }
    for (;;) {
        (void)cache_prepare_memory(cache);
        bool more = cache_maintain(keeper, NOW_S + 60);
        if (cache_compress(keeper, NOW_S) == CACHE_COMPRESS_NONE && !more)
            nap_us(500);
    }
}

/* One thread, which stops to be led on; its background comes by now and then. */
static _Noreturn void work_step_by_step(struct rig *rig)
{
    struct cache *cache = cache_new(&rig->config);
    static struct writer writer;
    pthread_rwlock_t lock;
    (void)prctl(PR_SET_PDEATHSIG, SIGKILL);
    struct cache_keeper *keeper = cache != NULL ? cache_keeper_new(cache) : NULL;
    if (keeper == NULL || ptrace(PTRACE_TRACEME, 0, NULL, NULL) != 0)
        _exit(1);
    pthread_rwlock_init(&lock, NULL);
    writer = (struct writer){
        .rig = rig, .cache = cache, .flush = &lock, .worker = cache_worker_new(cache)};
    writer.random = rig->random;
    for (unsigned i = 0;; i++) {
        if (i == RUN_UP)
            (void)raise(SIGSTOP);
        one_of_all(&writer);
        if (warm_random(&writer.random, 4) == 0)
            (void)cache_compress(keeper, NOW_S);
        if (warm_random(&writer.random, 4) == 0)
            (void)cache_maintain(keeper, NOW_S + i);
        if (warm_random(&writer.random, 2000) == 0)
            flush(&writer);
    }
}

/* ---- who looks ---- */

static void crash_in_steps(struct rig *rig)
{
    uint32_t steps = warm_random(&rig->random, STEPS_MAX);
    int status = 0;
    (void)fflush(NULL);
    pid_t pid = fork();
    assert_true(pid >= 0);
    if (pid == 0)
        work_step_by_step(rig);
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_true(WIFSTOPPED(status) && WSTOPSIG(status) == SIGSTOP);
    for (uint32_t i = 0; i < steps; i++) {
        assert_int_equal(ptrace(PTRACE_SINGLESTEP, pid, NULL, NULL), 0);
        assert_int_equal(waitpid(pid, &status, 0), pid);
        assert_true(WIFSTOPPED(status));
    }
    assert_int_equal(kill(pid, SIGKILL), 0);
    do {
        assert_int_equal(waitpid(pid, &status, 0), pid);
    } while (!WIFSIGNALED(status));
}

/* Lets it do something, and then ends it. */
static void crash(struct rig *rig)
{
    uint64_t started = atomic_load(&rig->model->requests);
    int status = 0;
    (void)fflush(NULL);
    pid_t pid = fork();
    assert_true(pid >= 0);
    if (pid == 0)
        work_until_killed(rig);
    while (atomic_load(&rig->model->requests) < started + 100) {
        assert_int_equal(waitpid(pid, &status, WNOHANG), 0);
        nap_us(200);
    }
    nap_us(1000 + warm_random(&rig->random, 200000));
    assert_int_equal(kill(pid, SIGKILL), 0);
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_true(WIFSIGNALED(status));
}

static void look(struct rig *rig, bool expired)
{
    static uint8_t out[WARM_KEY_BYTES_MAX + WARM_VALUE_BYTES_MAX + 100];
    struct warm_verdict verdict = {.items = 0};
    struct engine engine;

    rig->config.now_s = expired ? EXPIRY_S : NOW_S;
    engine_open(&engine, &rig->config);
    rig->config.now_s = NOW_S;
    cache_check(engine.cache);
    for (uint32_t key = 0; key < KEYS; key++) {
        char text[WARM_KEY_BYTES_MAX];
        size_t key_bytes = warm_key(key, text);
        struct cache_item item = {.flags = 0};
        enum cache_status status = cache_get(engine.worker, text, key_bytes, NULL,
                                             expired ? EXPIRY_S : NOW_S, place, out, &item);
        warm_judge(rig->model, key, status == CACHE_OK ? out + key_bytes : NULL, item.value_bytes,
                   item.flags, expired, &verdict);
    }
    atomic_store(&rig->model->flushing, 0);
    engine_close(&engine);
    assert_int_equal(verdict.wrong, 0);
    assert_int_equal(verdict.resurrected, 0);
    if (!rig->config.evict && verdict.back + LOST_MAX < verdict.items)
        fail_msg("%llu of %llu items back: %s", (unsigned long long)verdict.back,
                 (unsigned long long)verdict.items, rig->told);
    rig->sums.items += verdict.items;
    rig->sums.back += verdict.back;
}

static void tell(void *context, const char *text)
{
    struct rig *rig = context;
    (void)snprintf(rig->told, sizeof(rig->told), "%s", text);
    if (getenv("ZBCACHED_TEST_VERBOSE") != NULL)
        (void)fprintf(stderr, "%s\n", text);
}

static unsigned number_from(const char *name, unsigned otherwise)
{
    const char *text = getenv(name);
    return text != NULL ? (unsigned)strtoul(text, NULL, 10) : otherwise;
}

static void crash_often(size_t memory_bytes, bool evict, void (*crash_once)(struct rig *rig),
                        unsigned crashes)
{
    struct rig rig = {
        .model = warm_new(KEYS),
        .random = number_from("ZBCACHED_TEST_SEED", 1),
        .config = {.memory_bytes = memory_bytes,
                   .reserve_bytes = 4 * memory_bytes,
                   .item_bytes_max = 1u << 20,
                   .shards = 4,
                   .evict = evict,
                   .compress = true,
                   .defer = true,
                   .settle = true,
                   .seed = 7,
                   .threads = 2,
                   .teller = {tell, NULL},
                   .now_s = NOW_S},
    };
    crashes = number_from("ZBCACHED_TEST_CRASHES", crashes);
    warm_path(rig.path);
    rig.config.memory_file = rig.path;
    rig.config.teller.context = &rig;
    for (unsigned i = 0; i < crashes; i++) {
        crash_once(&rig);
        look(&rig, i % 4 == 3);
    }
    print_message("%u crashes, %llu requests: %llu of %llu items back\n", crashes,
                  (unsigned long long)atomic_load(&rig.model->requests),
                  (unsigned long long)rig.sums.back, (unsigned long long)rig.sums.items);
    assert_int_equal(unlink(rig.path), 0);
    warm_free(rig.model);
    if (!evict)
        assert_true(rig.sums.back * 100 >= rig.sums.items * BACK_PCT);
}

static void test_all_come_back(void **state)
{
    (void)state;
    crash_often((size_t)128 << 20, false, crash, CRASHES);
}

static void test_while_it_evicts(void **state)
{
    (void)state;
    crash_often((size_t)26 << 20, true, crash, CRASHES);
}

static void test_at_any_instruction(void **state)
{
    (void)state;
    crash_often((size_t)128 << 20, false, crash_in_steps, STEPPED);
}

static void test_at_any_instruction_while_it_evicts(void **state)
{
    (void)state;
    crash_often((size_t)10 << 20, true, crash_in_steps, STEPPED);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_all_come_back),
        cmocka_unit_test(test_while_it_evicts),
        cmocka_unit_test(test_at_any_instruction),
        cmocka_unit_test(test_at_any_instruction_while_it_evicts),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
