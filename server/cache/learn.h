/*
 * learn.h - from samples of what is stored to classes and their dictionaries.
 *
 *   samples --group--> by the rarest feature that is still frequent
 *           --lead---> a group that no dictionary so far serves well leads with its own samples
 *           --prune--> leaders that save less than a class costs go, their groups to the next best
 *           --train--> each new leader's dictionary, from all its samples; then every sample
 *                      goes to the leader that serves it best, and once more
 *           --judge--> by samples that were not learned from
 *
 * Dictionaries that serve well stay, so that what was compressed with them stays as it is; only
 * what is served badly is learned anew.
 *
 * Threads: none of its own, no lock held; the samples are copies.
 */
#ifndef SERVER_CACHE_LEARN_H
#define SERVER_CACHE_LEARN_H

#include "server/cache/classes.h"
#include "server/cache/codec.h"
#include "server/cache/dictionary.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define SAMPLES_MAX 8192u

/* The first bytes of items drawn at random. */
struct samples {
    size_t data_bytes; /* room in data */
    size_t used;
    unsigned count_max;
    unsigned count;
    size_t bytes[SAMPLES_MAX];
    uint8_t key_bytes[SAMPLES_MAX];
    uint32_t keys[2 * SAMPLES_MAX]; /* hashes of those that are in, 0 where free */
    uint8_t data[];                 /* key and value, one sample after another */
};

struct learn_task {
    struct dictionaries *dictionaries;
    const struct classes *current; /* NULL: none yet */
    struct codec *codec;
    const struct samples *samples;
    uint64_t limit_bytes; /* what the samples stand for when the cache is full */
    size_t price_bytes;   /* what one class more takes */
    unsigned classes_max; /* the common one included */
    uint32_t now_s;
};

void samples_init(struct samples *samples, size_t data_bytes);
/** samples_room() - where the next sample of up to @bytes goes; NULL: there are enough. */
uint8_t *samples_room(struct samples *samples, size_t bytes);
/**
 * samples_add() - what was written there is a sample.
 *
 * Not where its key was drawn before: a sample that is learned from and judges too would make
 * anything look worth learning.
 */
void samples_add(struct samples *samples, size_t bytes, size_t key_bytes);

/**
 * learn() - classes that make the items the samples stand for at least LEARN_BETTER_PCT smaller.
 *
 * New dictionaries are in the table; those that no classes came to name are without use, so
 * dictionaries_tidy() is due in any case.
 * Returns NULL where the current classes are as good, the samples too few, or there is no memory.
 * Owns: the classes are the caller's.
 */
struct classes *learn(const struct learn_task *task) __attribute__((warn_unused_result));
#define LEARN_BETTER_PCT 3u

/**
 * learn_is_promising() - whether some of the samples, as a dictionary, serve others better than the
 * current classes.
 * @current: NULL: none yet.
 *
 * That no dictionary helps, or that contents have changed, is found out so without training one.
 */
bool learn_is_promising(const struct dictionaries *dictionaries, const struct classes *current,
                        const struct samples *samples, struct codec *codec);
/** learn_look_bytes() - memory that takes for a moment, beside the samples. */
size_t learn_look_bytes(void);

/** learn_bytes() - the most memory that learning takes for a moment, beside the samples. */
size_t learn_bytes(size_t data_bytes, unsigned classes_max);

#endif
