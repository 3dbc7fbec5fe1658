/*
 * server_crash_test.c - the real server with -e, killed under load at any moment and stopped in
 * every other way, again and again over the same file; what it answered before holds after.
 *
 * ZBCACHED_TEST_CRASHES says how often, ZBCACHED_TEST_SEED what is asked. When it is killed follows
 * from nothing; what is asserted holds at each moment.
 */
/* cmocka.h stands on the four before it. */
/* clang-format off */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
/* clang-format on */

#include "clients/client.h"
#include "tests/server/live.h"
#include "tests/warm/model.h"

#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define CLIENTS     4u
#define KEYS        12000u
#define TTL_S       86400 /* of those that expire: not while this runs */
#define TIMEOUT_MS  60000
#define FLUSH_EVERY 30000u
#define CRASHES     8u
#define BACK_PCT    99u
#define REQUESTS    500u /* at least, before it is ended */

struct rig {
    struct live live;
    struct warm_model *model;
    char path[WARM_PATH_BYTES];
    char options[512];
    uint64_t random;
    pthread_rwlock_t flush;
    struct warm_verdict sums;
};

struct writer {
    struct rig *rig;
    unsigned id;
    uint64_t random;
    pthread_t thread;
    bool failed; /* it was answered what it must not be */
    char value[WARM_VALUE_BYTES_MAX + 100];
};

static struct client *connect_to(const struct rig *rig)
{
    struct client *client = client_new();
    if (client != NULL &&
        client_connect_tcp(client, "127.0.0.1", rig->live.port, TIMEOUT_MS) == CLIENT_OK)
        return client;
    client_free(client);
    return NULL;
}

/* ---- load ---- */

static bool is_over(enum client_status status)
{
    return status == CLIENT_CLOSED || status == CLIENT_SYSTEM || status == CLIENT_UNREACHABLE;
}

static enum client_status store(struct writer *writer, struct client *client, uint32_t key)
{
    struct warm_model *model = writer->rig->model;
    uint32_t version = warm_begin(model, key, false);
    char text[WARM_KEY_BYTES_MAX];
    struct client_item item = {.key = text, .key_bytes = warm_key(key, text)};
    item.value = writer->value;
    item.value_bytes = warm_value(key, version, writer->value);
    item.flags = warm_flags(version);
    item.exptime_s = warm_expires(version) ? TTL_S : 0;
    enum client_status status = client_store(client, CLIENT_SET, &item);
    if (status == CLIENT_OK)
        warm_done(model, key);
    return status;
}

static enum client_status one_of_all(struct writer *writer, struct client *client)
{
    struct warm_model *model = writer->rig->model;
    uint32_t key = warm_random(&writer->random, KEYS / CLIENTS) * CLIENTS + writer->id;
    char text[WARM_KEY_BYTES_MAX];
    size_t key_bytes = warm_key(key, text);
    struct client_value value;
    enum client_status status;
    uint32_t drawn = warm_random(&writer->random, 16);
    if (drawn > 3)
        return store(writer, client, key);
    if (drawn > 1)
        status = client_get(client, text, key_bytes, &value);
    else
        (void)warm_begin(model, key, true);
    if (drawn <= 1)
        status = client_delete(client, text, key_bytes);
    if (drawn <= 1 && (status == CLIENT_OK || status == CLIENT_NOT_FOUND))
        warm_done(model, key);
    return status == CLIENT_NOT_FOUND ? CLIENT_OK : status;
}

static enum client_status flush(struct writer *writer, struct client *client)
{
    struct rig *rig = writer->rig;
    pthread_rwlock_wrlock(&rig->flush);
    atomic_store(&rig->model->flushing, 1);
    enum client_status status = client_flush_all(client, 0);
    if (status == CLIENT_OK) {
        warm_gone(rig->model);
        atomic_store(&rig->model->flushing, 0);
    }
    pthread_rwlock_unlock(&rig->flush);
    return status;
}

static void *write_on(void *context)
{
    struct writer *writer = context;
    struct client *client = connect_to(writer->rig);
    enum client_status status = CLIENT_OK;
    while (client != NULL && status == CLIENT_OK) {
        pthread_rwlock_rdlock(&writer->rig->flush);
        status = one_of_all(writer, client);
        pthread_rwlock_unlock(&writer->rig->flush);
        if (status == CLIENT_OK && warm_random(&writer->random, FLUSH_EVERY) == 0)
            status = flush(writer, client);
    }
    writer->failed = client != NULL && !is_over(status);
    client_free(client);
    return NULL;
}

/* ---- one life of the server ---- */

/* All that may come: true where everything has to be back. */
static bool end_under_load(struct rig *rig, unsigned round)
{
    static struct writer writers[CLIENTS];
    static const int signals[] = {SIGKILL, SIGKILL, SIGKILL, SIGTERM,
                                  SIGKILL, SIGKILL, SIGKILL, SIGUSR1};
    int number = signals[round % (sizeof(signals) / sizeof(signals[0]))];
    uint64_t started = atomic_load(&rig->model->requests);
    for (unsigned i = 0; i < CLIENTS; i++) {
        writers[i] = (struct writer){.rig = rig, .id = i, .random = rig->random + i + 1};
        assert_int_equal(pthread_create(&writers[i].thread, NULL, write_on, &writers[i]), 0);
    }
    while (atomic_load(&rig->model->requests) < started + REQUESTS)
        live_nap_ms(1);
    live_nap_ms((long)warm_random(&rig->random, 300));
    assert_int_equal(live_stop(&rig->live, number), number == SIGKILL ? -SIGKILL : 0);
    for (unsigned i = 0; i < CLIENTS; i++) {
        assert_int_equal(pthread_join(writers[i].thread, NULL), 0);
        assert_false(writers[i].failed);
    }
    return number != SIGKILL;
}

static void look(struct rig *rig, bool all)
{
    struct warm_verdict verdict = {.items = 0};
    struct client *client = connect_to(rig);
    assert_non_null(client);
    for (uint32_t key = 0; key < KEYS; key++) {
        char text[WARM_KEY_BYTES_MAX];
        struct client_value value = {.flags = 0};
        enum client_status status = client_get(client, text, warm_key(key, text), &value);
        assert_true(status == CLIENT_OK || status == CLIENT_NOT_FOUND);
        warm_judge(rig->model, key, status == CLIENT_OK ? value.data.data : NULL, value.data.bytes,
                   value.flags, false, &verdict);
    }
    client_free(client);
    atomic_store(&rig->model->flushing, 0);
    assert_int_equal(verdict.wrong, 0);
    assert_int_equal(verdict.resurrected, 0);
    if (all)
        assert_int_equal(verdict.back, verdict.items);
    rig->sums.items += verdict.items;
    rig->sums.back += verdict.back;
}

static unsigned number_from(const char *name, unsigned otherwise)
{
    const char *text = getenv(name);
    return text != NULL ? (unsigned)strtoul(text, NULL, 10) : otherwise;
}

static void test_killed_under_load(void **state)
{
    static struct rig rig;
    unsigned crashes = number_from("ZBCACHED_TEST_CRASHES", CRASHES);
    (void)state;
    rig.model = warm_new(KEYS);
    rig.random = number_from("ZBCACHED_TEST_SEED", 1);
    assert_int_equal(pthread_rwlock_init(&rig.flush, NULL), 0);
    warm_path(rig.path);
    (void)snprintf(rig.options, sizeof(rig.options), "-m 192 -t 2 -e %s", rig.path);
    live_start(&rig.live, rig.options);
    for (unsigned round = 0; round < crashes; round++) {
        bool all = end_under_load(&rig, round);
        live_start(&rig.live, rig.options);
        look(&rig, all);
    }
    int fd = live_connect(&rig.live);
    live_ask(fd, "stats check\r\n", "STAT check ok\r\nEND\r\n");
    assert_int_equal(close(fd), 0);
    assert_int_equal(live_stop(&rig.live, SIGTERM), 0);
    assert_int_equal(unlink(rig.path), 0);
    print_message("%u ends, %llu requests: %llu of %llu items back\n", crashes,
                  (unsigned long long)atomic_load(&rig.model->requests),
                  (unsigned long long)rig.sums.back, (unsigned long long)rig.sums.items);
    assert_true(rig.sums.back * 100 >= rig.sums.items * BACK_PCT);
    warm_free(rig.model);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_killed_under_load),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
