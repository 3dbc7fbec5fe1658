/*
 * record.h - the bytes of one item in a zbud log.
 *
 *   +-----------+------------------------------+---------------------+---------------------------+
 *   | key bytes | value bytes, sequence delta  | [flags] [expiry]    | payload                   |
 *   | 1         | 2 or 3 together, seldom more | varint    4, extras | key and value, raw or LZ4 |
 *   +-----------+------------------------------+---------------------+---------------------------+
 *
 *   large:                      ... header ... | first page | stream bytes | key | tail |
 *                                              | 4          | 4            |     |      |
 *
 * The log's directory knows the record's length and three tag bits. An item with no flags, no marks
 * and no expiry has no extras. The *sequence* counts the stores of a shard; an item's cas unique is
 * made from it, and so is flush_all. It stands as the distance to the sequence at which the log was
 * opened (the log's word), one or two bytes.
 *
 * *Marks* are what meta commands leave on an item; they stand above the 32 bits of the client's
 * flags, in the same number, so an item without any pays nothing. One of them says that 8 bytes
 * follow the expiry: a cas unique that a client chose, which the sequence cannot give.
 *
 * A large record's entry does not fit a page: it lies as a stream of blocks in a chain of whole
 * pages, and the stream's last bytes (the tail) in the record. See large.h.
 *
 * Invariants:
 *   RECORD-1  encode then decode gives the same fields.
 *   RECORD-2  decode of any bytes is false or gives slices inside those bytes.
 *
 * Threads: pure functions.
 */
#ifndef SERVER_CACHE_RECORD_H
#define SERVER_CACHE_RECORD_H

#include "server/cache/cache.h"
#include "server/cache/codec.h"
#include "zbud/log.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define RECORD_TAG_COMPRESSED    1u
#define RECORD_TAG_EXTRAS        2u
#define RECORD_TAG_LARGE         4u

/* Marks. */
#define RECORD_STALE             (UINT64_C(1) << 32) /* invalidated, and still readable */
#define RECORD_WON               (UINT64_C(1) << 33) /* a client was told to make it anew */
#define RECORD_CAS               (UINT64_C(1) << 34) /* cas is the item's unique */
#define RECORD_FLAGS_MAX         ((UINT64_C(1) << 35) - 1)

/* Key 1, value 5, delta 10, flags and marks 5, expiry 4, cas 8. */
#define RECORD_HEADER_BYTES_MAX  33u
#define RECORD_LARGE_BYTES       8u
/* In a large record before the tail. */
#define RECORD_NAMES_BYTES_MAX   (RECORD_LARGE_BYTES + CACHE_KEY_BYTES_MAX)
/* The payload that surely fits into a record of its own. */
#define RECORD_PAYLOAD_BYTES_MAX (ZBUD_RECORD_BYTES_MAX - RECORD_HEADER_BYTES_MAX)
#define RECORD_TAIL_BYTES_MAX    (RECORD_PAYLOAD_BYTES_MAX - RECORD_NAMES_BYTES_MAX)

struct record {
    size_t key_bytes;
    size_t value_bytes;
    uint64_t sequence;
    uint64_t flags; /* the client's in the low 32 bits, marks above */
    uint64_t cas;   /* with RECORD_CAS; else not set */
    uint32_t expiry_s;
    unsigned tag;
    /* What stands after the header. Large: key, then tail. */
    const uint8_t *payload;
    size_t payload_bytes;
    /* Large only. */
    uint32_t first_page;   /* ZBUD_PAGE_NONE where the tail is the whole stream */
    uint32_t stream_bytes; /* in pages and tail together */
};

/**
 * record_encode_header() - all that stands before the payload's bytes, for a large record its two
 * numbers too.
 * @base: the log's word.
 * @out:  RECORD_HEADER_BYTES_MAX + RECORD_LARGE_BYTES of room.
 *
 * Sets record->tag's RECORD_TAG_EXTRAS as the fields ask; the other tag bits are the caller's.
 * Returns the header's length.
 */
size_t record_encode_header(struct record *record, uint64_t base, uint8_t *out);

/** record_header_bytes() - the length record_encode_header() would give. */
size_t record_header_bytes(const struct record *record, uint64_t base);

/** record_decode() - false where the bytes are no record. payload borrows @bytes. */
bool record_decode(const uint8_t *bytes, size_t count, unsigned tag, uint64_t base,
                   struct record *record) __attribute__((warn_unused_result));

/** record_set_expiry() - in place, in the bytes of a record with RECORD_TAG_EXTRAS. */
void record_set_expiry(uint8_t *bytes, size_t count, uint32_t expiry_s);

/**
 * record_key() - the item's key.
 * @dictionary: that of the record's log, or NULL.
 * @scratch:    CACHE_KEY_BYTES_MAX of room for a key that has to be decompressed.
 *
 * Returns the key's address, in the record or in @scratch; NULL where the block is damaged.
 */
const uint8_t *record_key(const struct record *record, const struct codec_dictionary *dictionary,
                          uint8_t *scratch);

#endif
