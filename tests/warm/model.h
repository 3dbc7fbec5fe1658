/*
 * model.h - what is known of each key while somebody may be killed at any moment.
 *
 *   writer:  warm_begin(key, version) ── request ── answer ── warm_done(key)
 *   after the kill:  the key has the version that was acknowledged, or the one that was under way
 *
 * A key has at most one writer at a time. What it is about to store it says first, in memory that
 * outlives it, and says when that was acknowledged. A value tells its key and version, and every
 * byte, the flags and the expiry follow from them. Version 0 is no item.
 *
 * Threads: each key's writer; judging when all writers are dead.
 */
#ifndef TESTS_WARM_MODEL_H
#define TESTS_WARM_MODEL_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define WARM_KEYS_MAX        40000u
#define WARM_KEY_BYTES_MAX   64u
#define WARM_VALUE_BYTES_MAX 200000u
#define WARM_PATH_BYTES      128u

struct warm_key {
    _Atomic uint32_t acked;
    _Atomic uint32_t under_way; /* the same as acked: nothing is */
};

/* Shared with those who die. */
struct warm_model {
    uint32_t keys_count;
    _Atomic uint32_t flushing; /* all keys may be gone */
    _Atomic uint64_t requests; /* acknowledged */
    struct warm_key keys[WARM_KEYS_MAX];
};

struct warm_verdict {
    uint64_t items;       /* that should be there */
    uint64_t back;        /* that are */
    uint64_t wrong;       /* bytes or flags that were never stored */
    uint64_t resurrected; /* versions that were deleted, overwritten or flushed */
};

struct warm_model *warm_new(uint32_t keys_count);
void warm_free(struct warm_model *model);

/** warm_random() - from a state of the caller's; below @below. */
uint32_t warm_random(uint64_t *state, uint32_t below);
/** warm_key() - its length. */
size_t warm_key(uint32_t key, char out[WARM_KEY_BYTES_MAX]);
/** warm_value() - its length, at most WARM_VALUE_BYTES_MAX. Few are large. */
size_t warm_value(uint32_t key, uint32_t version, char *out);
uint32_t warm_flags(uint32_t version);
/** warm_expires() - whether that version was stored to expire at the agreed time. */
bool warm_expires(uint32_t version);

/** warm_begin() - the next version of the key, or 0 for none, is about to be asked for. */
uint32_t warm_begin(struct warm_model *model, uint32_t key, bool removal);
void warm_done(struct warm_model *model, uint32_t key);
/** warm_gone() - all are. */
void warm_gone(struct warm_model *model);

/**
 * warm_judge() - what was found for a key; it is what is known from here on.
 * @value:   NULL: nothing.
 * @expired: the agreed time has come.
 */
void warm_judge(struct warm_model *model, uint32_t key, const void *value, size_t bytes,
                uint32_t flags, bool expired, struct warm_verdict *verdict);

/** warm_path() - a new name for a file on tmpfs, if there is one. */
void warm_path(char path[WARM_PATH_BYTES]);

#endif
