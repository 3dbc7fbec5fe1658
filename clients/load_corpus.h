/*
 * load_corpus.h - records of corpus files, in an order of their own. Private to load_items.c.
 *
 *   bytes:  [key length, value length, key, value] [...] ...
 *   order:  starts of records, at random
 *
 * Files with weights are taken so that records stand in that ratio by count, with as many as the
 * file that runs out first allows; without weights all records of all files are taken.
 *
 * Threads: only read once it is loaded.
 */
#ifndef CLIENTS_LOAD_CORPUS_H
#define CLIENTS_LOAD_CORPUS_H

#include "clients/load_buffer.h"
#include "clients/load_items.h"

#define LOAD_RECORD_HEADER_BYTES 6u
/* What follows a key from the second round on: '~' and a number. */
#define LOAD_ROUND_BYTES_MAX     12u

struct load_corpus {
    struct load_buffer bytes;
    size_t *order;
    size_t count;
    size_t room;
    size_t left_out_count;
    size_t value_bytes_max; /* of the records' */
};

struct load_record {
    const uint8_t *key;
    size_t key_bytes;
    const uint8_t *value;
    size_t value_bytes;
};

/** load_corpus_load() - all that the plan names; false with @error where something is wrong.
 * @corpus is all zero before, and load_corpus_fini() is called in either case. */
bool load_corpus_load(struct load_corpus *corpus, const struct load_items_plan *plan,
                      char error[LOAD_ERROR_BYTES]) __attribute__((warn_unused_result));
void load_corpus_fini(struct load_corpus *corpus);

struct load_record load_corpus_record(const struct load_corpus *corpus, size_t start);

#endif
