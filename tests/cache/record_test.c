/* Records, blocks and large entries: what is encoded decodes, and damaged bytes are refused. */
#include "server/cache/codec.h"
#include "server/cache/histogram.h"
#include "server/cache/large.h"
#include "server/cache/record.h"
#include "tests/cache/check_cache.h"

#include <stdlib.h>
#include <string.h>

static uint64_t draw(uint64_t *random)
{
    *random = *random * 6364136223846793005u + 1442695040888963407u;
    return *random >> 11;
}

static void noise(uint8_t *out, size_t bytes, uint64_t random)
{
    for (size_t i = 0; i < bytes; i++)
        out[i] = (uint8_t)draw(&random);
}

/* RECORD-1, over random fields. */
static void test_encode_decode(void **state)
{
    (void)state;
    uint64_t random = 3;
    uint8_t bytes[RECORD_HEADER_BYTES_MAX + RECORD_LARGE_BYTES + 4096], payload[4096];
    noise(payload, sizeof(payload), 4);
    for (int i = 0; i < 200000; i++) {
        uint64_t base = draw(&random) >> draw(&random) % 53;
        struct record in = {
            .key_bytes = 1 + draw(&random) % CACHE_KEY_BYTES_MAX,
            .value_bytes = draw(&random) % 3000,
            .sequence = draw(&random) >> draw(&random) % 53,
            .flags = draw(&random) % 2 ? (uint32_t)draw(&random) : 0,
            .cas = draw(&random) << draw(&random) % 32,
            .expiry_s = draw(&random) % 2 ? (uint32_t)draw(&random) : CACHE_NEVER,
            .tag = draw(&random) % 2 ? RECORD_TAG_LARGE : 0,
            .first_page = (uint32_t)draw(&random),
            .stream_bytes = 5000,
        };
        struct record out;
        if (draw(&random) % 4 == 0)
            in.flags |= (draw(&random) % 8) << 32; /* marks */
        size_t header = record_encode_header(&in, base, bytes);
        assert_int_equal(record_header_bytes(&in, base), header);
        bool large = in.tag & RECORD_TAG_LARGE;
        assert_true(header <= RECORD_HEADER_BYTES_MAX + (large ? RECORD_LARGE_BYTES : 0));
        size_t count = in.key_bytes + (large ? 1000 : in.value_bytes);
        memcpy(bytes + header, payload, count);
        assert_true(record_decode(bytes, header + count, in.tag, base, &out));
        assert_int_equal(out.key_bytes, in.key_bytes);
        assert_int_equal(out.value_bytes, in.value_bytes);
        assert_int_equal(out.sequence, in.sequence);
        assert_int_equal(out.flags, in.flags);
        assert_int_equal(out.expiry_s, in.expiry_s);
        if (in.flags & RECORD_CAS)
            assert_int_equal(out.cas, in.cas);
        assert_ptr_equal(out.payload, bytes + header);
        assert_int_equal(out.payload_bytes, count);
        if (large)
            assert_int_equal(out.first_page, in.first_page);
        if (in.tag & RECORD_TAG_EXTRAS) {
            record_set_expiry(bytes, header + count, 4711);
            assert_true(record_decode(bytes, header + count, in.tag, base, &out));
            assert_int_equal(out.expiry_s, 4711);
            assert_int_equal(out.flags, in.flags);
            assert_memory_equal(out.payload, payload, count);
        }
    }
}

/* A value of up to 127 bytes with no flags and no expiry, written soon after its log was opened. */
static void test_small_overhead(void **state)
{
    (void)state;
    uint8_t bytes[RECORD_HEADER_BYTES_MAX];
    struct record record = {
        .key_bytes = 16, .value_bytes = 20, .sequence = 1063, .expiry_s = CACHE_NEVER};
    assert_int_equal(record_encode_header(&record, 1000, bytes), 3);
    record.value_bytes = 300;
    record.sequence = 5000;
    assert_int_equal(record_encode_header(&record, 1000, bytes), 5);
    /* Flags of 32 bits take five bytes, and the marks stand in the same five. */
    record.flags = UINT32_MAX;
    assert_int_equal(record_encode_header(&record, 1000, bytes), 5 + 5 + 4);
    record.flags |= RECORD_STALE | RECORD_WON;
    assert_int_equal(record_encode_header(&record, 1000, bytes), 5 + 5 + 4);
}

/* RECORD-2: hostile bytes, in a block of exactly their size so that a sanitizer sees a step
 * outside. */
static void test_hostile_bytes(void **state)
{
    (void)state;
    uint64_t random = 5;
    unsigned decoded = 0;
    for (int i = 0; i < 200000; i++) {
        size_t count = draw(&random) % 64;
        uint8_t *bytes = malloc(count > 0 ? count : 1);
        uint8_t scratch[CACHE_KEY_BYTES_MAX];
        noise(bytes, count, random);
        if (count > 0)
            bytes[0] %= 24;
        struct record record;
        if (record_decode(bytes, count, (unsigned)draw(&random) % 8, draw(&random), &record)) {
            decoded++;
            assert_true(record.payload >= bytes);
            assert_true(record.payload + record.payload_bytes <= bytes + count);
            const uint8_t *key = record_key(&record, NULL, scratch);
            assert_true(key == NULL || key == scratch || key == record.payload);
        }
        free(bytes);
    }
    assert_true(decoded > 100);
}

static void test_codec(void **state)
{
    (void)state;
    struct codec *codec = codec_new(1);
    uint8_t *in = malloc(CODEC_BLOCK_BYTES), *out = malloc(CODEC_BLOCK_BYTES);
    const uint8_t *block;
    for (size_t bytes = 1; bytes <= CODEC_BLOCK_BYTES; bytes += 1 + bytes / 3) {
        for (size_t i = 0; i < bytes; i++)
            in[i] = (uint8_t)(i % 19 * (i % 7));
        size_t block_bytes = codec_compress(codec, CODEC_FAST, NULL, in, bytes, &block);
        if (block_bytes == 0)
            continue;
        assert_true(block_bytes < bytes);
        memset(out, 0, bytes);
        assert_true(codec_decompress(NULL, block, block_bytes, out, bytes));
        assert_memory_equal(in, out, bytes);
        assert_false(codec_decompress(NULL, block, block_bytes, out, bytes - 1));
        assert_false(codec_decompress(NULL, block, block_bytes - 1, out, bytes));
        for (size_t prefix = 1; prefix <= bytes && prefix <= 250; prefix += 7) {
            memset(out, 0, prefix);
            assert_true(codec_decompress_prefix(NULL, block, block_bytes, out, prefix));
            assert_memory_equal(in, out, prefix);
        }
    }
    noise(in, 5000, 8);
    assert_int_equal(codec_compress(codec, CODEC_FAST, NULL, in, 5000, &block), 0);
    free(in);
    free(out);
    codec_free(codec);
}

static bool no_room(void *owner)
{
    (void)owner;
    return false;
}

static void large_round(struct zbud_arena *arena, struct codec *codec, size_t entry_bytes,
                        bool compressible)
{
    static struct large_writer writer;
    uint8_t *entry = malloc(entry_bytes), *out = malloc(entry_bytes);
    noise(entry, entry_bytes, entry_bytes);
    for (size_t i = 0; compressible && i < entry_bytes; i++)
        entry[i] &= 3;
    large_begin(&writer, arena, no_room, NULL);
    assert_true(large_put_entry(&writer, codec, entry, entry_bytes, true));
    large_end(&writer);
    uint8_t *payload = malloc(10 + writer.tail_bytes);
    memcpy(payload, entry, 10);
    memcpy(payload + 10, writer.tail, writer.tail_bytes);
    struct record record = {.key_bytes = 10,
                            .value_bytes = entry_bytes - 10,
                            .tag = RECORD_TAG_LARGE,
                            .payload = payload,
                            .payload_bytes = 10 + writer.tail_bytes,
                            .first_page = writer.first_page,
                            .stream_bytes = (uint32_t)writer.stream_bytes};
    struct zbud_arena_figures figures;
    zbud_arena_figures(arena, &figures);
    assert_int_equal(figures.pages_used, large_pages(&record));
    assert_true(large_read(arena, &record, NULL, codec, out));
    assert_memory_equal(entry, out, entry_bytes);
    large_drop(&writer);
    free(payload);
    free(entry);
    free(out);
}

static void test_large(void **state)
{
    (void)state;
    struct zbud_arena *arena = zbud_arena_new(4u << 20, 4u << 20);
    struct codec *codec = codec_new(1);
    for (size_t bytes = 4000; bytes < 3000000; bytes += bytes / 3 + 977) {
        large_round(arena, codec, bytes, false);
        large_round(arena, codec, bytes, true);
    }
    large_round(arena, codec, CODEC_BLOCK_BYTES * 3 - 1, true);
    large_round(arena, codec, CODEC_BLOCK_BYTES * 3, true);
    large_round(arena, codec, CODEC_BLOCK_BYTES * 3 + 1, false);
    codec_free(codec);
    zbud_arena_free(arena);
}

static void test_large_without_pages(void **state)
{
    (void)state;
    struct zbud_arena *arena = zbud_arena_new(1u << 20, 1u << 20);
    struct codec *codec = codec_new(1);
    static struct large_writer writer;
    uint8_t *entry = malloc(2u << 20);
    struct zbud_arena_figures figures;
    noise(entry, 2u << 20, 1);
    large_begin(&writer, arena, no_room, NULL);
    assert_false(large_put_entry(&writer, codec, entry, 2u << 20, true));
    large_drop(&writer);
    zbud_arena_figures(arena, &figures);
    assert_int_equal(figures.pages_used, 0);
    free(entry);
    codec_free(codec);
    zbud_arena_free(arena);
}

/* Every byte of stored blocks damaged in turn: false or other bytes, never a step outside. */
static void test_large_damaged(void **state)
{
    (void)state;
    struct codec *codec = codec_new(1);
    uint8_t payload[300], in[1000], *out = malloc(1000);
    const uint8_t *block;
    for (size_t i = 0; i < sizeof(in); i++)
        in[i] = (uint8_t)(i * i >> 4 & 15);
    size_t block_bytes = codec_compress(codec, CODEC_FAST, NULL, in, sizeof(in), &block);
    assert_true(block_bytes > 0 && block_bytes + 14 <= sizeof(payload));
    uint32_t header = (uint32_t)block_bytes;
    for (size_t at = 10; at < 14 + block_bytes; at++) {
        memcpy(payload, in, 10);
        memcpy(payload + 10, &header, 4);
        memcpy(payload + 14, block, block_bytes);
        payload[at] ^= 0x55;
        struct record record = {.key_bytes = 10,
                                .value_bytes = sizeof(in) - 10,
                                .tag = RECORD_TAG_LARGE,
                                .payload = payload,
                                .payload_bytes = 14 + block_bytes,
                                .first_page = ZBUD_PAGE_NONE,
                                .stream_bytes = (uint32_t)(4 + block_bytes)};
        if (at < 14)
            assert_false(large_read(NULL, &record, NULL, codec, out));
        else
            (void)!large_read(NULL, &record, NULL, codec, out);
    }
    free(out);
    codec_free(codec);
}

static void test_histogram(void **state)
{
    (void)state;
    struct histogram histogram = {.total = 0}, sum = {.total = 0};
    assert_int_equal(histogram_percentile(&histogram, 99), 0);
    for (uint64_t value = 1; value <= 100000; value++)
        histogram_add(&histogram, value);
    histogram_merge(&sum, &histogram);
    static const double PCTS[] = {1, 25, 50, 90, 99, 99.9};
    for (unsigned i = 0; i < 6; i++) {
        double truth = 1000 * PCTS[i], seen = (double)histogram_percentile(&sum, PCTS[i]);
        assert_true(seen >= truth * .99 && seen <= truth * 1.26);
    }
    assert_int_equal(histogram_percentile(&sum, 100), 100000);
    histogram_add(&sum, UINT64_MAX);
    assert_int_equal(sum.max, UINT64_MAX);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_encode_decode), cmocka_unit_test(test_small_overhead),
        cmocka_unit_test(test_hostile_bytes), cmocka_unit_test(test_codec),
        cmocka_unit_test(test_large),         cmocka_unit_test(test_large_without_pages),
        cmocka_unit_test(test_large_damaged), cmocka_unit_test(test_histogram),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
