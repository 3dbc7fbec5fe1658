/*
 * corpus_records.h - the records of one class in memory; inside of tests/corpus.
 *
 *   bytes:   | key length 16 | value length 32 | key | value | key length ...
 *   starts:  [0]  [1]  ...    where each record begins, in any order
 *
 * The lengths are little endian and unaligned: the bytes are those of a NAME.kv file.
 *
 * Threads: the caller's.
 */
#ifndef TESTS_CORPUS_CORPUS_RECORDS_H
#define TESTS_CORPUS_CORPUS_RECORDS_H

#include "clients/load_buffer.h"
#include "tests/corpus/corpus.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define CORPUS_RECORD_HEADER_BYTES 6u
#define CORPUS_VALUE_BYTES_MAX     (1u << 20)
#define CORPUS_BYTES_MAX           ((size_t)4 << 30) /* of a class's file, unpacked */

struct corpus_records {
    struct load_buffer bytes;
    size_t *starts;
    size_t count;
    size_t starts_room;
};

void corpus_records_fini(struct corpus_records *records);

/** corpus_records_add() - one more record, copied. False: no memory. */
bool corpus_records_add(struct corpus_records *records, const void *key, size_t key_bytes,
                        const void *value, size_t value_bytes);
/** corpus_records_index() - find the records in bytes that were loaded. False: they are damaged. */
bool corpus_records_index(struct corpus_records *records);

/** corpus_load() - @folder/@name.kv.zst. */
bool corpus_load(struct corpus_records *records, const char *folder, const char *name,
                 char error[CORPUS_ERROR_BYTES_MAX]);
/** corpus_make() - records like those of class @number, out of files of installed packages. */
bool corpus_make(struct corpus_records *records, unsigned number, uint64_t seed,
                 char error[CORPUS_ERROR_BYTES_MAX]);

#endif
