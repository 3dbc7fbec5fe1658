/*
 * dictionary.h - the dictionaries records are compressed against: trained, numbered, kept while
 * named.
 *
 *   samples --train--> candidate --adopt--> current (number n)      new records name it
 *                                           older (still named by logs)  --> freed when nobody does
 *
 * A log's word carries the number of the dictionary that all its compressed records need; each such
 * log is a use, and so is each worker that compresses with a dictionary. A dictionary without uses
 * that is not the current one is freed by dictionaries_tidy(), and its number is given again.
 *
 * Invariants:
 *   DICT-1  a number that a log names is in the table, with the very bytes the log was written
 *   with.
 *   DICT-2  uses = logs that name it + workers that hold it.
 *
 * Threads: any thread may use, release and look up; one thread at a time trains, adopts and tidies.
 * Source: the trainer is libzstd's (ZDICT, fastCover); LZ4 takes what it makes as plain bytes.
 */
#ifndef SERVER_CACHE_DICTIONARY_H
#define SERVER_CACHE_DICTIONARY_H

#include "server/cache/codec.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define DICTIONARIES_MAX 16u /* numbers 1 to 15; 0 is no dictionary */

struct dictionaries;

/** dictionaries_new() - none yet. NULL where there is no memory. */
struct dictionaries *dictionaries_new(void);
void dictionaries_free(struct dictionaries *dictionaries);

/** dictionaries_current() - the number new records are to be compressed with; 0 for none. */
unsigned dictionaries_current(const struct dictionaries *dictionaries);
/** dictionaries_get() - by number, which somebody must have a use of; NULL for 0. */
const struct codec_dictionary *dictionaries_get(const struct dictionaries *dictionaries,
                                                unsigned number);
/** dictionaries_use() - one more use of a number that has one already, or is 0. */
void dictionaries_use(struct dictionaries *dictionaries, unsigned number);
/** dictionaries_use_current() - a use of the current one, whose number is returned. */
unsigned dictionaries_use_current(struct dictionaries *dictionaries);
void dictionaries_release(struct dictionaries *dictionaries, unsigned number);
/** dictionaries_uses() - how many logs and workers name it. */
unsigned dictionaries_uses(const struct dictionaries *dictionaries, unsigned number);

/**
 * dictionaries_adopt() - @dictionary becomes the current one and belongs to the set.
 *
 * Returns its number, or 0 where all numbers are taken: nothing has changed.
 */
unsigned dictionaries_adopt(struct dictionaries *dictionaries, struct codec_dictionary *dictionary);
/** dictionaries_tidy() - free what has no uses; how many were. */
unsigned dictionaries_tidy(struct dictionaries *dictionaries);
/** dictionaries_count() - alive ones, the current one included. */
unsigned dictionaries_count(const struct dictionaries *dictionaries);

/**
 * dictionary_train() - a dictionary from samples.
 * @samples: one after another; @sample_bytes has the length of each.
 *
 * Returns NULL where the samples are too few or too alike to learn from, or there is no memory.
 */
struct codec_dictionary *dictionary_train(const uint8_t *samples, const size_t *sample_bytes,
                                          unsigned count) __attribute__((warn_unused_result));
/** dictionary_train_bytes() - memory that training needs beside the samples. */
size_t dictionary_train_bytes(void);

#endif
