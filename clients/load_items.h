/*
 * load_items.h - item number n: its key and its value, made or looked up when they are needed.
 *
 *   made:    key = prefix + number with leading zeros
 *            value = 16 hexadecimal digits of the number's hash, then a piece of one long text that
 *            begins where the hash says; its length is by the hash too
 *   corpus:  key = prefix + the record's key (+ "~2" and on, once all records were used)
 *            value = the record's
 *
 * An item takes no memory of its own, so there may be any number. The value follows from the
 * number alone: whoever gets it back knows each of its bytes.
 *
 * Corpus files: records one behind the other, each u16 key length, u32 value length (both little
 * endian), key, value; plain as NAME.kv, or compressed with zstd as NAME.kv.zst. Records whose key
 * the protocol cannot carry, that is too long for the prefix, or that was there before, are left
 * out and counted.
 *
 * Threads: as many as like once it is made; it is only read.
 */
#ifndef CLIENTS_LOAD_ITEMS_H
#define CLIENTS_LOAD_ITEMS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define LOAD_KEY_BYTES_MAX    250u
#define LOAD_PREFIX_BYTES_MAX 128u
#define LOAD_VALUE_BYTES_MAX  ((size_t)64 << 20)
#define LOAD_HEAD_BYTES       16u
#define LOAD_ERROR_BYTES      512u
#define LOAD_CORPORA_MAX      32u

struct load_items;

/* A value in two pieces, either of which may be empty. */
struct load_value {
    uint8_t head[LOAD_HEAD_BYTES];
    size_t head_bytes;
    const uint8_t *body; /* the items' memory */
    size_t body_bytes;
};

struct load_items_plan {
    const char *prefix;
    size_t key_bytes_min; /* made keys: zeros fill them up to this */
    size_t value_bytes_min;
    size_t value_bytes_max;
    bool random_values;                    /* bytes at random, not a text */
    const char *corpora[LOAD_CORPORA_MAX]; /* a file, "FILE=WEIGHT", or a folder */
    unsigned corpora_count;                /* 0: items are made */
    uint64_t seed;
};

/** load_items_new() - NULL where a file cannot be read, or there is no memory; @error says why. */
struct load_items *load_items_new(const struct load_items_plan *plan, char error[LOAD_ERROR_BYTES]);
void load_items_free(struct load_items *items);

/** load_items_records_count() - of the corpora, in one round; 0: items are made. */
size_t load_items_records_count(const struct load_items *items);
/** load_items_left_out_count() - records that were not taken for their keys. */
size_t load_items_left_out_count(const struct load_items *items);
/** load_items_value_bytes_max() - no value is longer. */
size_t load_items_value_bytes_max(const struct load_items *items);
/** load_items_key() - @key has room for LOAD_KEY_BYTES_MAX; returns the bytes used. */
size_t load_items_key(const struct load_items *items, uint64_t number, uint8_t *key);
void load_items_value(const struct load_items *items, uint64_t number, struct load_value *value);
/** load_value_equals() - whether these are the value's bytes. @at: the first that differs. */
bool load_value_equals(const struct load_value *value, const uint8_t *data, size_t bytes,
                       size_t *at);

/** load_put_decimal() - @number in digits, padded with zeros to @digits_min; returns their end. */
uint8_t *load_put_decimal(uint8_t *at, uint64_t number, size_t digits_min);

#endif
