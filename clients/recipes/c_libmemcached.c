/*
 * libmemcached:  cc c_libmemcached.c -lmemcached -o recipe && ./recipe HOST PORT
 * Debian: libmemcached-dev
 *
 * What memcached_get() and memcached_fetch_result() give is the caller's to free.
 */
#include <libmemcached/memcached.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define STRING_BYTES 256

/* What a call of cached() computes a value with. */
struct source {
    void (*compute)(memcached_st *client, struct source *source, char value[STRING_BYTES]);
    const char *value;        /* what is computed */
    char other[STRING_BYTES]; /* what somebody else was given meanwhile */
};

static void expect(memcached_st *client, memcached_return_t status)
{
    if (memcached_failed(status)) {
        fprintf(stderr, "%s\n", memcached_last_error_message(client));
        exit(1);
    }
}

static memcached_st *connect_to(const char *host, in_port_t port)
{
    memcached_st *client = memcached_create(NULL);

    /* In ms; poll's is how long a server may say nothing. For more than one server: README.md. */
    memcached_behavior_set(client, MEMCACHED_BEHAVIOR_SUPPORT_CAS, 1);
    memcached_behavior_set(client, MEMCACHED_BEHAVIOR_TCP_NODELAY, 1);
    memcached_behavior_set(client, MEMCACHED_BEHAVIOR_CONNECT_TIMEOUT, 1000);
    memcached_behavior_set(client, MEMCACHED_BEHAVIOR_POLL_TIMEOUT, 2000);
    memcached_callback_set(client, MEMCACHED_CALLBACK_PREFIX_KEY, "c:");
    expect(client, memcached_server_add(client, host, port));
    return client;
}

static void set(memcached_st *client, const char *key, const char *value, time_t ttl_s)
{
    expect(client, memcached_set(client, key, strlen(key), value, strlen(value), ttl_s, 0));
}

/* False where there is nothing under this key. */
static bool get(memcached_st *client, const char *key, char value[STRING_BYTES])
{
    size_t bytes;
    uint32_t flags;
    memcached_return_t status;
    char *found = memcached_get(client, key, strlen(key), &bytes, &flags, &status);

    if (status == MEMCACHED_NOTFOUND)
        return false;
    expect(client, status);
    snprintf(value, STRING_BYTES, "%.*s", (int)bytes, found);
    free(found);
    return true;
}

static void multi_get(memcached_st *client)
{
    const char *keys[] = {"apple", "banana", "cherry"};
    const size_t bytes[] = {5, 6, 6};
    memcached_result_st *item;
    memcached_return_t status;

    printf("multi-get:");
    expect(client, memcached_mget(client, keys, bytes, 3));
    while ((item = memcached_fetch_result(client, NULL, &status)) != NULL) {
        printf(" %s=%.*s", memcached_result_key_value(item), (int)memcached_result_length(item),
               memcached_result_value(item));
        memcached_result_free(item);
    }
    printf("\n");
}

/* Adds ",c" to a list, to no other than the one it was read from; gives the number of tries. */
static int update(memcached_st *client, const char *key)
{
    size_t key_bytes = strlen(key);
    memcached_return_t status = MEMCACHED_DATA_EXISTS;
    int tries = 0;

    while (status == MEMCACHED_DATA_EXISTS) {
        char value[STRING_BYTES];
        memcached_result_st *item;
        uint64_t cas;

        expect(client, memcached_mget(client, &key, &key_bytes, 1));
        item = memcached_fetch_result(client, NULL, &status);
        expect(client, status);
        cas = memcached_result_cas(item);
        snprintf(value, sizeof(value), "%.*s,c", (int)memcached_result_length(item),
                 memcached_result_value(item));
        memcached_result_free(item);
        if (memcached_fetch_result(client, NULL, &status) != NULL)
            abort(); /* one key, one item; this reads the END behind it */
        if (tries++ == 0)
            set(client, key, "a,b", 60); /* the first time, somebody else is faster */
        status = memcached_cas(client, key, key_bytes, value, strlen(value), 60, 0, cas);
    }
    expect(client, status);
    return tries;
}

/* What is older than fresh_s is computed anew by one reader; the others get the old meanwhile. */
static void cached(memcached_st *client, const char *key, int fresh_s, int stale_s,
                   struct source *source, char value[STRING_BYTES])
{
    char entry[STRING_BYTES], lock[STRING_BYTES], stored[STRING_BYTES + 24];
    long long fresh_until;

    snprintf(lock, sizeof(lock), "%s:refresh", key);
    if (get(client, key, entry) && sscanf(entry, "%lld %255[^\n]", &fresh_until, value) == 2) {
        memcached_return_t status;

        if (time(NULL) < fresh_until)
            return;
        status = memcached_add(client, lock, strlen(lock), "1", 1, 10, 0);
        if (status == MEMCACHED_NOTSTORED)
            return;
        expect(client, status);
    }
    source->compute(client, source, value);
    snprintf(stored, sizeof(stored), "%lld %s", (long long)time(NULL) + fresh_s, value);
    set(client, key, stored, fresh_s + stale_s);
    memcached_delete(client, lock, strlen(lock), 0);
}

static void constant(memcached_st *client, struct source *source, char value[STRING_BYTES])
{
    (void)client;
    snprintf(value, STRING_BYTES, "%s", source->value);
}

/* Meanwhile another reader asks. */
static void interrupted(memcached_st *client, struct source *source, char value[STRING_BYTES])
{
    struct source second = {.compute = constant, .value = "too many"};

    cached(client, "page", 60, 60, &second, source->other);
    constant(client, source, value);
}

int main(int argc, char **argv)
{
    struct source first = {.compute = constant, .value = "old"};
    struct source refresh = {.compute = interrupted, .value = "new"};
    const struct timespec pause = {.tv_nsec = 100000000};
    char value[STRING_BYTES];
    memcached_st *client;
    uint64_t visits;
    int tries;

    if (argc != 3)
        return 2;
    client = connect_to(argv[1], (in_port_t)atoi(argv[2]));

    set(client, "greeting", "hello", 60);
    printf("get: %s\n", get(client, "greeting", value) ? value : "nothing");

    set(client, "apple", "1", 60);
    set(client, "banana", "2", 60);
    multi_get(client);

    set(client, "list", "a", 60);
    tries = update(client, "list");
    printf("cas loop: %s after %d tries\n", get(client, "list", value) ? value : "nothing", tries);

    set(client, "visits", "0", 60);
    expect(client, memcached_increment(client, "visits", 6, 10, &visits));
    expect(client, memcached_increment(client, "visits", 6, 5, &visits));
    printf("counter: %llu\n", (unsigned long long)visits);

    set(client, "short", "lived", 1);
    while (get(client, "short", value))
        nanosleep(&pause, NULL);
    printf("ttl: gone\n");

    cached(client, "page", 0, 60, &first, value);
    cached(client, "page", 60, 60, &refresh, value);
    printf("stale: %s meanwhile, then %s\n", refresh.other, value);
    memcached_free(client);
    return 0;
}
