#include "tests/bench/player.h"

#include "clients/client.h"
#include "tests/bench/bench.h"
#include "tests/bench/bench_server.h"

#include <inttypes.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define TIMEOUT_MS  60000
#define BATCH_COUNT 50u

struct player {
    struct client *client;
    struct player_counts counts;
    unsigned missed_count;
    unsigned missed[BATCH_COUNT]; /* places in the batch */
};

struct batch {
    unsigned count;
    struct stream_request requests[STREAM_BATCH_MAX];
};

_Static_assert(BATCH_COUNT <= STREAM_BATCH_MAX, "a batch holds them all");

static void check(enum client_status status, const char *what)
{
    if (status != CLIENT_OK)
        bench_fail(what, client_status_text(status));
}

struct player *player_new(uint16_t port)
{
    struct player *player = calloc(1, sizeof(*player));

    if (player == NULL || (player->client = client_new()) == NULL)
        bench_fail("player", "no memory");
    check(client_connect_tcp(player->client, "127.0.0.1", port, TIMEOUT_MS), "connect");
    return player;
}

void player_free(struct player *player)
{
    client_free(player->client);
    free(player);
}

struct player_counts player_counts(struct player *player)
{
    struct player_counts counts = player->counts;

    player->counts = (struct player_counts){0};
    return counts;
}

double player_miss_percent(const struct player_counts *counts)
{
    return counts->gets == 0 ? 0 : 100 * (double)counts->misses / (double)counts->gets;
}

static void queue_set(struct player *player, const struct stream_request *request)
{
    const struct corpus_item *item = &request->item;
    char head[64];
    int head_bytes = snprintf(head, sizeof(head), " 0 %" PRIu32 " %zu noreply\r\n", request->ttl_s,
                              item->value_bytes);

    check(client_queue(player->client, "set ", 4), "queue");
    check(client_queue(player->client, item->key, item->key_bytes), "queue");
    check(client_queue(player->client, head, (size_t)head_bytes), "queue");
    check(client_queue(player->client, item->value, item->value_bytes), "queue");
    check(client_queue(player->client, "\r\n", 2), "queue");
}

/* Behind the sets of what was missed before, which are queued already. */
static void send_batch(struct player *player, const struct batch *batch)
{
    struct client_slice keys[BATCH_COUNT];
    size_t keys_count = 0;

    for (unsigned i = 0; i < batch->count; i++) {
        const struct stream_request *request = &batch->requests[i];

        if (request->write)
            queue_set(player, request);
        else
            keys[keys_count++] = (struct client_slice){request->item.key, request->item.key_bytes};
    }
    if (keys_count > 0)
        check(client_get_many(player->client, false, keys, keys_count), "get");
}

static bool is_key(const struct client_value *value, const struct corpus_item *item)
{
    return value->key.bytes == item->key_bytes &&
           memcmp(value->key.data, item->key, item->key_bytes) == 0;
}

/* The next value of a reply; false at its end. */
static bool read_value(struct player *player, struct client_value *value)
{
    enum client_status status = client_read_value(player->client, value);

    if (status != CLIENT_END)
        check(status, "values");
    return status == CLIENT_OK;
}

/* Values come in the order of the keys; what is passed over on the way to one was missed. */
static void receive_batch(struct player *player, const struct batch *batch)
{
    struct client_value value;
    bool more = read_value(player, &value);

    for (unsigned i = 0; i < batch->count; i++) {
        const struct stream_request *request = &batch->requests[i];

        if (request->write)
            continue;
        player->counts.gets++;
        if (more && is_key(&value, &request->item)) {
            more = read_value(player, &value);
            continue;
        }
        player->counts.misses++;
        player->missed[player->missed_count++] = i;
    }
    if (more)
        bench_fail("values", "one that was not asked for");
    /* Queued when all is read: the value's bytes lie in the client's memory until then. */
    for (unsigned i = 0; i < player->missed_count; i++)
        queue_set(player, &batch->requests[player->missed[i]]);
    player->missed_count = 0;
}

static bool has_gets(const struct batch *batch)
{
    for (unsigned i = 0; i < batch->count; i++) {
        if (!batch->requests[i].write)
            return true;
    }
    return false;
}

static void play_batch(struct player *const *players, unsigned count, const struct batch *batch)
{
    for (unsigned i = 0; i < count; i++)
        send_batch(players[i], batch);
    for (unsigned i = 0; i < count && has_gets(batch); i++)
        receive_batch(players[i], batch);
}

/* What is still queued is sent and answered. */
static void finish(struct player *const *players, unsigned count)
{
    struct client_slice version;

    for (unsigned i = 0; i < count; i++)
        check(client_version(players[i]->client, &version), "version");
}

void players_play(struct player *const *players, unsigned count, struct stream *stream,
                  uint64_t requests)
{
    struct batch batch;

    while (requests > 0) {
        batch.count = requests < BATCH_COUNT ? (unsigned)requests : BATCH_COUNT;
        for (unsigned i = 0; i < batch.count; i++)
            stream_next(stream, &batch.requests[i]);
        play_batch(players, count, &batch);
        requests -= batch.count;
    }
    finish(players, count);
}

void players_fill(struct player *const *players, unsigned count, const struct stream *stream,
                  uint32_t keys_count)
{
    struct batch batch;

    for (uint32_t i = 0; i < keys_count; i += batch.count) {
        batch.count = keys_count - i < BATCH_COUNT ? keys_count - i : BATCH_COUNT;
        for (unsigned j = 0; j < batch.count; j++)
            stream_each(stream, i + j, &batch.requests[j]);
        play_batch(players, count, &batch);
        for (unsigned j = 0; j < count; j++)
            check(client_flush(players[j]->client), "flush");
    }
    finish(players, count);
}

uint64_t player_resident_mb(const char *memcached, uint64_t memory_mb, const struct stream *stream)
{
    char options[64];
    struct bench_server *server;
    struct player *player;
    uint64_t resident_mb;

    snprintf(options, sizeof(options), "-t 1 -m %" PRIu64, memory_mb);
    server = bench_server_start(memcached, options, BENCH_ANY_CORE);
    player = player_new(bench_server_port(server));
    players_fill(&player, 1, stream, stream_keys_count(stream));
    resident_mb = bench_server_resident_bytes(server) >> 20;
    player_free(player);
    bench_server_stop(server);
    return resident_mb;
}
