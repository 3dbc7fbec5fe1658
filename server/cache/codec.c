#include "server/cache/codec.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

/* Attaching a dictionary to a stream that is reset without being cleared. */
#define LZ4_STATIC_LINKING_ONLY
#define LZ4_HC_STATIC_LINKING_ONLY
#include <lz4.h>
#include <lz4hc.h>

/* Mix, a dictionary a class, ratio and relative time: 3: 2.844, 1; 4: 2.879, 1.15; 5: 2.899, 1.3;
 * 6: 2.909, 1.2 to 1.4; 9: 2.917, 1.7. */
#define HIGH_LEVEL 6

/* A dictionary's table for high blocks. */
struct high_table {
    const struct codec_dictionary *dictionary; /* NULL: the place is free */
    uint64_t used;                             /* the codec's count of uses at the last one */
    LZ4_streamHC_t stream;
};

/* What only a codec for high blocks has. */
struct high {
    LZ4_streamHC_t stream;
    uint64_t uses;
    unsigned tables_count;
    struct high_table tables[];
};

struct codec {
    LZ4_stream_t stream;
    struct high *high; /* NULL in a codec for fast blocks only */
    uint8_t block[CODEC_BLOCK_BYTES];
    uint8_t scratch[CODEC_BLOCK_BYTES];
};

struct codec_dictionary {
    LZ4_stream_t stream;
    size_t count;
    uint8_t bytes[CODEC_DICTIONARY_BYTES];
};

static size_t high_bytes(unsigned tables)
{
    return sizeof(struct high) + tables * sizeof(struct high_table);
}

struct codec *codec_new(unsigned tables)
{
    assert(tables <= CODEC_TABLES_MAX);
    struct codec *codec = malloc(sizeof(*codec));
    if (codec == NULL)
        return NULL;
    LZ4_initStream(&codec->stream, sizeof(codec->stream));
    codec->high = NULL;
    if (tables > 0) {
        codec->high = calloc(1, high_bytes(tables));
        if (codec->high == NULL) {
            free(codec);
            return NULL;
        }
        codec->high->tables_count = tables;
        LZ4_initStreamHC(&codec->high->stream, sizeof(codec->high->stream));
    }
    return codec;
}

void codec_free(struct codec *codec)
{
    if (codec != NULL)
        free(codec->high);
    free(codec);
}

size_t codec_bytes(unsigned tables)
{
    return sizeof(struct codec) + (tables > 0 ? high_bytes(tables) : 0);
}

size_t codec_table_bytes(void)
{
    return sizeof(struct high_table);
}

void codec_forget(struct codec *codec)
{
    for (unsigned i = 0; codec->high != NULL && i < codec->high->tables_count; i++)
        codec->high->tables[i].dictionary = NULL;
}

struct codec_dictionary *codec_dictionary_new(const uint8_t *bytes, size_t count)
{
    assert(count <= CODEC_DICTIONARY_BYTES);
    struct codec_dictionary *dictionary = malloc(sizeof(*dictionary));
    if (dictionary == NULL)
        return NULL;
    memcpy(dictionary->bytes, bytes, count);
    dictionary->count = count;
    LZ4_initStream(&dictionary->stream, sizeof(dictionary->stream));
    LZ4_loadDict(&dictionary->stream, (const char *)dictionary->bytes, (int)count);
    return dictionary;
}

void codec_dictionary_free(struct codec_dictionary *dictionary)
{
    free(dictionary);
}

const uint8_t *codec_dictionary_content(const struct codec_dictionary *dictionary, size_t *count)
{
    *count = dictionary->count;
    return dictionary->bytes;
}

size_t codec_dictionary_bytes(void)
{
    return sizeof(struct codec_dictionary);
}

static int compress_fast(struct codec *codec, const struct codec_dictionary *dictionary,
                         const uint8_t *in, int in_bytes)
{
    LZ4_resetStream_fast(&codec->stream);
    LZ4_attach_dictionary(&codec->stream, dictionary != NULL ? &dictionary->stream : NULL);
    return LZ4_compress_fast_continue(&codec->stream, (const char *)in, (char *)codec->block,
                                      in_bytes, in_bytes - 1, 1);
}

/* The dictionary's table, made in the place of the one that was used longest ago. */
static const LZ4_streamHC_t *high_table(struct high *high,
                                        const struct codec_dictionary *dictionary)
{
    struct high_table *table = &high->tables[0];
    for (unsigned i = 0; i < high->tables_count; i++) {
        struct high_table *other = &high->tables[i];
        if (other->dictionary == dictionary) {
            other->used = ++high->uses;
            return &other->stream;
        }
        if (other->dictionary == NULL || (table->dictionary != NULL && other->used < table->used))
            table = other;
    }
    LZ4_initStreamHC(&table->stream, sizeof(table->stream));
    LZ4_resetStreamHC_fast(&table->stream, HIGH_LEVEL);
    LZ4_loadDictHC(&table->stream, (const char *)dictionary->bytes, (int)dictionary->count);
    table->dictionary = dictionary;
    table->used = ++high->uses;
    return &table->stream;
}

static int compress_high(struct codec *codec, const struct codec_dictionary *dictionary,
                         const uint8_t *in, int in_bytes)
{
    struct high *high = codec->high;
    LZ4_resetStreamHC_fast(&high->stream, HIGH_LEVEL);
    LZ4_attach_HC_dictionary(&high->stream,
                             dictionary != NULL ? high_table(high, dictionary) : NULL);
    return LZ4_compress_HC_continue(&high->stream, (const char *)in, (char *)codec->block, in_bytes,
                                    in_bytes - 1);
}

size_t codec_compress(struct codec *codec, enum codec_level level,
                      const struct codec_dictionary *dictionary, const uint8_t *in, size_t in_bytes,
                      const uint8_t **out)
{
    assert(in_bytes > 0 && in_bytes <= CODEC_BLOCK_BYTES);
    assert(level != CODEC_HIGH || codec->high != NULL);
    if (level == CODEC_RAW || in_bytes < CODEC_BLOCK_BYTES_MIN)
        return 0;
    int bytes = level == CODEC_FAST ? compress_fast(codec, dictionary, in, (int)in_bytes)
                                    : compress_high(codec, dictionary, in, (int)in_bytes);
    *out = codec->block;
    return bytes > 0 ? (size_t)bytes : 0;
}

bool codec_decompress(const struct codec_dictionary *dictionary, const uint8_t *in, size_t in_bytes,
                      uint8_t *out, size_t out_bytes)
{
    int bytes =
        dictionary != NULL
            ? LZ4_decompress_safe_usingDict((const char *)in, (char *)out, (int)in_bytes,
                                            (int)out_bytes, (const char *)dictionary->bytes,
                                            (int)dictionary->count)
            : LZ4_decompress_safe((const char *)in, (char *)out, (int)in_bytes, (int)out_bytes);
    return bytes >= 0 && (size_t)bytes == out_bytes;
}

bool codec_decompress_prefix(const struct codec_dictionary *dictionary, const uint8_t *in,
                             size_t in_bytes, uint8_t *out, size_t out_bytes)
{
    const char *from = (const char *)in;
    int bytes = dictionary != NULL
                    ? LZ4_decompress_safe_partial_usingDict(
                          from, (char *)out, (int)in_bytes, (int)out_bytes, (int)out_bytes,
                          (const char *)dictionary->bytes, (int)dictionary->count)
                    : LZ4_decompress_safe_partial(from, (char *)out, (int)in_bytes, (int)out_bytes,
                                                  (int)out_bytes);
    return bytes >= 0 && (size_t)bytes == out_bytes;
}

uint8_t *codec_scratch(struct codec *codec)
{
    return codec->scratch;
}
