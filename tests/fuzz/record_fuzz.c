/*
 * record_fuzz.c - any bytes as a record and as the pages of a large one: it is refused, or all that
 * is read of it lies within its bytes, and what was decoded encodes to the same again.
 *
 *   [0] tag, and which dictionary is used   [1] bytes of the record   [2] bits of the base
 *   the record, then what its chain's pages hold, again and again; or the dictionary
 *
 * That a large record's chain has as many pages as the record says is not in these bytes: the
 * arena's table links them, so a chain of that length is made.
 */
#include "server/cache/codec.h"
#include "server/cache/large.h"
#include "server/cache/record.h"
#include "zbud/arena.h"

#include <assert.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

enum {
    HEAD_BYTES = 3,
    ENTRY_BYTES_MAX = 3 * CODEC_BLOCK_BYTES,
    CHAIN_PAGES_MAX = 64,
    ARENA_BYTES = 1 << 20,
    TAG_DICTIONARY = 1 << 3,
    TAG_OWN_DICTIONARY = 1 << 4
};

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* Made once: none of them remembers an input. */
struct tools {
    struct zbud_arena *arena;
    struct codec *codec;
    struct codec_dictionary *dictionary;
};

static const struct tools *tools(void)
{
    static struct tools made;
    static uint8_t words[CODEC_DICTIONARY_BYTES];

    if (made.arena == NULL) {
        for (size_t i = 0; i < sizeof(words); i++)
            words[i] = (uint8_t)(i * i >> 7 ^ i);
        made.arena = zbud_arena_new(ARENA_BYTES, ARENA_BYTES);
        made.codec = codec_new(0);
        made.dictionary = codec_dictionary_new(words, sizeof(words));
        assert(made.arena != NULL && made.codec != NULL && made.dictionary != NULL);
    }
    return &made;
}

static void check_same(const struct record *one, const struct record *other)
{
    assert(one->key_bytes == other->key_bytes && one->value_bytes == other->value_bytes);
    assert(one->sequence == other->sequence && one->flags == other->flags);
    assert(one->expiry_s == other->expiry_s && one->first_page == other->first_page);
    assert(one->stream_bytes == other->stream_bytes);
    assert(one->payload_bytes == other->payload_bytes);
    assert(memcmp(one->payload, other->payload, one->payload_bytes) == 0);
    if (one->flags & RECORD_CAS)
        assert(one->cas == other->cas);
}

/* RECORD-1, where the sequence is one that a log's record can have. */
static void check_encode(const struct record *record, uint64_t base)
{
    const uint64_t distance = record->sequence - base;
    struct record in = *record, out;

    if (distance >> 48 != 0 && -distance >> 48 != 0)
        return;
    uint8_t *bytes = malloc(RECORD_HEADER_BYTES_MAX + RECORD_LARGE_BYTES + record->payload_bytes);
    assert(bytes != NULL);
    const size_t header = record_encode_header(&in, base, bytes);
    assert(header == record_header_bytes(record, base));
    memcpy(bytes + header, record->payload, record->payload_bytes);
    const bool decoded = record_decode(bytes, header + record->payload_bytes, in.tag, base, &out);
    assert(decoded);
    check_same(record, &out);
    free(bytes);
}

static void check_expiry(const struct record *record, const uint8_t *bytes, size_t count,
                         uint64_t base)
{
    struct record changed, expected = *record;
    uint8_t *copy = malloc(count);

    assert(copy != NULL);
    memcpy(copy, bytes, count);
    record_set_expiry(copy, count, 4711);
    const bool decoded = record_decode(copy, count, record->tag, base, &changed);
    assert(decoded);
    expected.expiry_s = 4711;
    check_same(&expected, &changed);
    free(copy);
}

static void read_large(const struct tools *with, const struct codec_dictionary *dictionary,
                       struct record *record, const uint8_t *content, size_t count)
{
    const size_t entry_bytes = record->key_bytes + record->value_bytes;
    const size_t pages = large_pages(record);
    uint32_t first = ZBUD_PAGE_NONE;

    if (pages > CHAIN_PAGES_MAX || entry_bytes > ENTRY_BYTES_MAX || (pages > 0 && count == 0))
        return;
    for (size_t i = 0; i < pages; i++) {
        uint32_t page;
        const enum zbud_status status = zbud_arena_take(with->arena, &page);
        assert(status == ZBUD_OK);
        uint8_t *bytes = zbud_arena_page(with->arena, page);
        for (size_t at = 0; at < ZBUD_PAGE_BYTES; at++)
            bytes[at] = content[((pages - 1 - i) * ZBUD_PAGE_BYTES + at) % count];
        zbud_arena_link(with->arena, page, first);
        first = page;
    }
    record->first_page = first;
    uint8_t *out = malloc(entry_bytes), *block = malloc(CODEC_BLOCK_BYTES);
    assert(out != NULL && block != NULL);
    (void)!large_read(with->arena, record, dictionary, with->codec, out);
    for (size_t number = 0; number * CODEC_BLOCK_BYTES < entry_bytes; number++) {
        const size_t bytes = large_read_block(with->arena, record, number, block);
        assert(bytes <= CODEC_BLOCK_BYTES);
    }
    free(block);
    free(out);
    if (first != ZBUD_PAGE_NONE)
        zbud_arena_give_chain(with->arena, first);
}

/* A length's further bytes, as long as they are 255. */
static size_t read_length(const uint8_t *block, size_t count, size_t *at)
{
    size_t length = 0;

    while (*at < count) {
        const uint8_t byte = block[(*at)++];
        length += byte;
        if (byte < 255)
            break;
    }
    return length;
}

/* A match at distance 0, which no compressor makes and LZ4 takes, leaves what its reader's memory
 * held: such a block has no bytes of its own there. */
static bool has_distance_0(const uint8_t *block, size_t count)
{
    for (size_t at = 0; at < count;) {
        const unsigned token = block[at++];
        size_t literals = token >> 4;
        if (literals == 15)
            literals += read_length(block, count, &at);
        at += literals;
        if (at + 2 > count)
            return false; /* the last literals */
        if (block[at] == 0 && block[at + 1] == 0)
            return true;
        at += 2;
        if ((token & 15) == 15)
            (void)read_length(block, count, &at);
    }
    return false;
}

static void read_small(const struct codec_dictionary *dictionary, const struct record *record)
{
    const size_t entry_bytes = record->key_bytes + record->value_bytes;
    uint8_t *out = malloc(entry_bytes), *key = malloc(record->key_bytes);

    assert(out != NULL && key != NULL);
    const uint8_t *found = record_key(record, dictionary, key);
    assert(found == NULL || found == key || found == record->payload);
    if (record->tag & RECORD_TAG_COMPRESSED) {
        const bool sound =
            codec_decompress(dictionary, record->payload, record->payload_bytes, out, entry_bytes);
        /* A sound block's beginning is what its whole begins with. */
        if (sound)
            assert(found == key && (has_distance_0(record->payload, record->payload_bytes) ||
                                    memcmp(out, key, record->key_bytes) == 0));
    } else {
        memcpy(out, record->payload, entry_bytes);
    }
    free(key);
    free(out);
}

/* Whatever a dictionary's bytes are, what was compressed with it comes back. */
static void check_dictionary(const struct tools *with, const struct codec_dictionary *dictionary,
                             const uint8_t *bytes, size_t count)
{
    const uint8_t *block;
    const size_t block_bytes =
        count > 0 ? codec_compress(with->codec, CODEC_FAST, dictionary, bytes, count, &block) : 0;

    if (block_bytes == 0)
        return;
    uint8_t *out = malloc(count);
    assert(out != NULL && block_bytes < count);
    const bool sound = codec_decompress(dictionary, block, block_bytes, out, count);
    assert(sound && memcmp(out, bytes, count) == 0);
    free(out);
}

static void check_record(const struct tools *with, const struct codec_dictionary *dictionary,
                         unsigned tag, uint64_t base, const uint8_t *bytes, size_t count,
                         const uint8_t *content, size_t content_bytes)
{
    struct record record;

    if (!record_decode(bytes, count, tag, base, &record))
        return;
    assert(record.payload >= bytes && record.payload <= bytes + count);
    assert(record.payload_bytes == (size_t)(bytes + count - record.payload));
    check_encode(&record, base);
    if (tag & RECORD_TAG_EXTRAS)
        check_expiry(&record, bytes, count, base);
    if (tag & RECORD_TAG_LARGE)
        read_large(with, dictionary, &record, content, content_bytes);
    else
        read_small(dictionary, &record);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    const struct tools *with = tools();
    struct codec_dictionary *own = NULL;

    if (size < HEAD_BYTES)
        return 0;
    const unsigned tag = data[0] % (ZBUD_RECORD_TAG_MAX + 1);
    const uint64_t base = (UINT64_C(1) << data[2] % 48) - 1;
    const uint8_t *rest = data + HEAD_BYTES;
    const size_t rest_bytes = size - HEAD_BYTES;
    const size_t count = data[1] < rest_bytes ? data[1] : rest_bytes;
    const size_t content_bytes = rest_bytes - count;
    uint8_t *bytes = malloc(count > 0 ? count : 1);

    assert(bytes != NULL);
    memcpy(bytes, rest, count);
    if ((data[0] & TAG_OWN_DICTIONARY) && content_bytes <= CODEC_DICTIONARY_BYTES) {
        own = codec_dictionary_new(rest + count, content_bytes);
        assert(own != NULL);
        check_dictionary(with, own, bytes, count);
    }
    const struct codec_dictionary *dictionary =
        own == NULL && (data[0] & TAG_DICTIONARY) ? with->dictionary : own;
    check_record(with, dictionary, tag, base, bytes, count, rest + count, content_bytes);
    codec_dictionary_free(own);
    free(bytes);
    return 0;
}
