/*
 * filler.h - one connection that stores, reads and deletes, and knows what it must get back.
 *
 *   corpus --> sets --.                        .--> replies --> compared with the model
 *                      +-- batch, one write --+
 *   model --> gets ---'                        '--> model: key -> value, flags, expiry
 *
 * The model is a naive cache without a limit: what a get returns must be the model's value to the
 * last byte, with its flags, or nothing. Nothing at all may be returned for a key that was deleted
 * or whose time is over. Keys of one filler end in a byte of its own, so several do not touch each
 * other's.
 *
 * Every value is followed by its number (an overwrite of a key with the value it had before would
 * not show otherwise), and the flags are that number too.
 *
 * Threads: one filler, one thread; the corpus is shared under a lock.
 */
#ifndef TESTS_FILL_FILLER_H
#define TESTS_FILL_FILLER_H

#include "tests/corpus/corpus.h"
#include "tests/wire/peer.h"

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>

#define FILLER_ERROR_BYTES 256u

struct filler;

struct filler_setup {
    const struct peer *peer;
    struct corpus *corpus;
    pthread_mutex_t *corpus_lock;
    uint64_t seed;
    uint64_t bytes; /* of keys and values to store */
    unsigned number;
};

struct filler_counts {
    uint64_t sets, overwrites, gets, hits, deletes, deleted, bytes_set;
    uint64_t with_ttl, gets_late; /* stored with a TTL; asked for when it was over */
};

struct filler *filler_new(const struct filler_setup *setup);
void filler_free(struct filler *filler);

/** filler_run() - until the bytes are stored. False: filler_error() tells what went wrong. */
bool filler_run(struct filler *filler) __attribute__((warn_unused_result));
const char *filler_error(const struct filler *filler);
void filler_counts(const struct filler *filler, struct filler_counts *counts);

#endif
