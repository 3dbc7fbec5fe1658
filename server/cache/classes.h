/*
 * classes.h - which dictionary an item is compressed against, told from its key.
 *
 *   wp_cache:user:profile:v2:123
 *
 *   features: "wp_cache:"  "wp_cache:user:"  "wp_cache:user:profile:"
 *             the second word "user:"
 *             the value's first 4 bytes
 *
 * Items whose values have much in common share a *class*, and each class has a dictionary. A class
 * is told by *features* of the key that were seen in samples: its prefixes up to one of the first
 * three delimiters (: / | . _ - #), its second word whatever the first (keys that start with a
 * tenant's name), and how the value begins. Each known feature votes for the class most of its
 * samples belonged to; the surest vote wins, and without one it is the common dictionary.
 *
 * Measured on the mix, keys with 11 different first bytes of which 7 were never in a sample: ratio
 * 2.04 with one dictionary for all, 2.25 told by keys alone, 2.30 with the value's beginning, 2.32
 * if the best of 16 dictionaries were known each time.
 *
 * Words: a *label* is a class's place in the struct classes, 0 the common one.
 *
 * Threads: a struct classes never changes once made; any number of threads may choose with it.
 */
#ifndef SERVER_CACHE_CLASSES_H
#define SERVER_CACHE_CLASSES_H

#include "server/cache/dictionary.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define CLASSES_MAX          24u /* the common one included */
#define CLASSES_FEATURES_MAX 5u  /* of one item */
#define CLASSES_WORDS_MAX    3u  /* of a key, that are looked at */

struct classes;

/** classes_word_end() - the key's length up to the next delimiter behind @at, that one included; 0
 * where there is none. */
size_t classes_word_end(const uint8_t *key, size_t key_bytes, size_t at);

/** classes_features() - an item's features to @features; how many. */
unsigned classes_features(const uint8_t *entry, size_t key_bytes, size_t entry_bytes,
                          uint32_t features[CLASSES_FEATURES_MAX]);

/* A sample's feature, and the label its sample was given. */
struct classes_vote {
    uint32_t feature;
    uint32_t label;
};

/**
 * classes_new() - classes from votes.
 * @numbers: of the dictionaries, by label; each becomes a use.
 * @votes:   sorted in place.
 *
 * Returns NULL where there is no memory.
 */
struct classes *classes_new(struct dictionaries *dictionaries, const unsigned *numbers,
                            unsigned labels_count, struct classes_vote *votes, size_t votes_count);
/** classes_free() - its uses are released. */
void classes_free(struct classes *classes);

/** classes_save() - what classes_restore() makes the same of. */
#define CLASSES_SAVED_BYTES_MAX (20u << 10)
size_t classes_save(const struct classes *classes, uint8_t out[CLASSES_SAVED_BYTES_MAX]);
/** classes_restore() - NULL where the bytes are no classes, one of whose dictionaries is not there,
 * or there is no memory. */
struct classes *classes_restore(struct dictionaries *dictionaries, const uint8_t *bytes,
                                size_t count);

/** classes_bytes() - memory one struct classes holds. */
size_t classes_bytes(void);

/** classes_choose() - the number of the dictionary for an item; 0 where @classes is NULL. */
unsigned classes_choose(const struct classes *classes, const uint8_t *entry, size_t key_bytes,
                        size_t entry_bytes);
/** classes_name() - whether one of the dictionaries is @number; NULL has only number 0. */
bool classes_name(const struct classes *classes, unsigned number);
/** classes_number() - a label's dictionary; 0 from classes_count() on. */
unsigned classes_number(const struct classes *classes, unsigned label);
unsigned classes_count(const struct classes *classes);

#endif
