/*
 * corpus.h - endless items with real contents, for tests that fill a cache and for benchmarks.
 *
 *   NAME.kv.zst --corpus_records.c--.
 *                                    +--> records of a class, shuffled --corpus_draw()--> ids
 *   files of installed packages --'      7 classes                      --corpus_item()--> bytes
 *      corpus_packages.c
 *
 * Words: a *class* is one kind of content (small_json, documents ...), a *mix* draws from all of
 * them by count, in the proportions of CORPUS_CLASSES. An *id* names an item for good: the same id
 * gives the same key and value, so a test remembers 8 bytes instead of the item. When a class has
 * been drawn through, its next *round* begins: the same values, under keys that differ.
 *
 * The order comes from the seed alone.
 *
 * Threads: corpus_item() from any, the rest from one at a time.
 * Source: format and proportions are those of the project's measurements (README.md beside).
 */
#ifndef TESTS_CORPUS_CORPUS_H
#define TESTS_CORPUS_CORPUS_H

#include <stddef.h>
#include <stdint.h>

#define CORPUS_CLASSES_COUNT   7u
#define CORPUS_KEY_BYTES_MAX   250u
#define CORPUS_ERROR_BYTES_MAX 256u

struct corpus;

struct corpus_class {
    const char *name;
    unsigned permille; /* of the items of a mix */
};

extern const struct corpus_class CORPUS_CLASSES[CORPUS_CLASSES_COUNT];

struct corpus_item {
    size_t key_bytes;
    size_t value_bytes;
    const uint8_t *value; /* the corpus's memory, for as long as it lives */
    uint8_t key[CORPUS_KEY_BYTES_MAX];
};

/**
 * corpus_new() - load a class, or all of them for a mix.
 * @folder: where NAME.kv.zst lie; NULL or "": make similar ones from files of installed packages.
 * @name:   a class's name, or "mix".
 * @error:  why, where NULL is returned.
 */
struct corpus *corpus_new(const char *folder, const char *name, uint64_t seed,
                          char error[CORPUS_ERROR_BYTES_MAX]);
/** corpus_origin() - where the contents are from with this @folder, in words. */
const char *corpus_origin(const char *folder);
void corpus_free(struct corpus *corpus);

/** corpus_draw() - the next item's id. */
uint64_t corpus_draw(struct corpus *corpus);
/** corpus_item() - what an id stands for. */
void corpus_item(const struct corpus *corpus, uint64_t id, struct corpus_item *item);

/** corpus_random() - a step of a seeded generator (splitmix64), which tests can use too. */
uint64_t corpus_random(uint64_t *seed);

#endif
