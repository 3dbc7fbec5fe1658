/*
 * player.h - plays a stream of requests at servers over the wire, all in step.
 *
 *   stream --> batch --+--> player --> server     1. sets of what was missed in the batch before
 *                      |                          2. the batch's writes
 *                      '--> player --> server     3. one get of all its other keys
 *
 * Every server is sent a batch before any reply is waited for, and the next batch when all have
 * answered: what happens on the machine, and the time that items have to expire, is the same for
 * all. A key that was not in the reply is a miss; it is stored with the next batch.
 *
 * What goes wrong ends the program with a message.
 *
 * Threads: one for all players.
 */
#ifndef TESTS_BENCH_PLAYER_H
#define TESTS_BENCH_PLAYER_H

#include "tests/bench/stream.h"

#include <stdint.h>

struct player;

struct player_counts {
    uint64_t gets;
    uint64_t misses;
};

struct player *player_new(uint16_t port);
void player_free(struct player *player);

/** player_counts() - since the last call. */
struct player_counts player_counts(struct player *player);

/** players_play() - the next @requests of the stream at each of the @count players. */
void players_play(struct player *const *players, unsigned count, struct stream *stream,
                  uint64_t requests);
/** players_fill() - the stream's first @keys_count keys of stream_each(), stored at each. */
void players_fill(struct player *const *players, unsigned count, const struct stream *stream,
                  uint32_t keys_count);

/**
 * player_resident_mb() - what memcached with that -m takes when it was filled with all keys of a
 * stream: the memory that ours may have.
 */
uint64_t player_resident_mb(const char *memcached, uint64_t memory_mb, const struct stream *stream);

/** player_miss_percent() - of the gets. */
double player_miss_percent(const struct player_counts *counts);

#endif
