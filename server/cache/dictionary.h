/*
 * dictionary.h - the dictionaries records are compressed against: trained, numbered, kept while
 * named.
 *
 *   samples --train--> dictionary --add--> number n --> named by classes and by logs
 *                                                   --> freed when nobody does
 *
 * A log's word carries the number of the dictionary that all its compressed records need; each such
 * log is a use, and so is each struct classes that chooses it. A dictionary without uses is freed
 * by dictionaries_tidy(), and its number is given again.
 *
 * Invariants:
 *   DICT-1  a number that a log names is in the table, with the very bytes the log was written
 *           with.
 *   DICT-2  uses = logs and classes that name it.
 *
 * Threads: any thread may use, release and look up; one thread at a time adds and tidies.
 * Source: the trainer is libzstd's (ZDICT, fastCover); LZ4 takes what it makes as plain bytes.
 */
#ifndef SERVER_CACHE_DICTIONARY_H
#define SERVER_CACHE_DICTIONARY_H

#include "server/cache/codec.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define DICTIONARIES_MAX       64u /* numbers 1 to 63; 0 is no dictionary */
#define DICTIONARY_LABEL_BYTES 32u

struct dictionaries;

/** dictionaries_new() - none yet. NULL where there is no memory. */
struct dictionaries *dictionaries_new(void);
void dictionaries_free(struct dictionaries *dictionaries);

struct memory_file;
/** dictionaries_keep() - those that are added from now on are in @file too. */
void dictionaries_keep(struct dictionaries *dictionaries, struct memory_file *file);
/** dictionaries_recover() - those that are in the file belong to the set, with no use yet; before
 * any other is added. A damaged one is none. */
void dictionaries_recover(struct dictionaries *dictionaries);
/** dictionaries_has() - whether the number is a dictionary's, or 0. */
bool dictionaries_has(const struct dictionaries *dictionaries, unsigned number);

/** dictionaries_get() - by number, which somebody must have a use of; NULL for 0. */
const struct codec_dictionary *dictionaries_get(const struct dictionaries *dictionaries,
                                                unsigned number);
/** dictionaries_use() - one more use of a number that has one already, was just added, or is 0. */
void dictionaries_use(struct dictionaries *dictionaries, unsigned number);
void dictionaries_release(struct dictionaries *dictionaries, unsigned number);
/** dictionaries_uses() - how many logs and classes name it. */
unsigned dictionaries_uses(const struct dictionaries *dictionaries, unsigned number);

/**
 * dictionaries_add() - @dictionary belongs to the set, with no use yet.
 * @label:   what it was trained for, for people; cut to DICTIONARY_LABEL_BYTES - 1.
 * @added_s: when.
 *
 * Returns its number, or 0 where all numbers are taken, or the file has no room: nothing has
 * changed.
 */
unsigned dictionaries_add(struct dictionaries *dictionaries, struct codec_dictionary *dictionary,
                          const char *label, uint32_t added_s);
/** dictionaries_tidy() - free what has no uses; how many were. A load where nothing has changed. */
unsigned dictionaries_tidy(struct dictionaries *dictionaries);
/** dictionaries_count() - alive ones. */
unsigned dictionaries_count(const struct dictionaries *dictionaries);
/**
 * dictionaries_describe() - false where the number is free.
 * @label: DICTIONARY_LABEL_BYTES.
 */
bool dictionaries_describe(struct dictionaries *dictionaries, unsigned number, char *label,
                           uint32_t *added_s);

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
