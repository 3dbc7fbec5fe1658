/*
 * codec.h - LZ4, its dictionaries, and one thread's memory for it.
 *
 * A block is at most CODEC_BLOCK_BYTES before compression; what is larger is cut into blocks by
 * large.h. Only LZ4's bounds-checked decoders are used: a damaged block gives false, never a write
 * outside the output.
 *
 * A block is compressed against a dictionary or against none (NULL), at one of two levels: fast is
 * what a request pays, high (LZ4HC) what the background pays. Both give the same format, and
 * whoever decompresses needs the same dictionary.
 *
 * Threads: a struct codec belongs to one thread. A struct codec_dictionary never changes once made
 * and may be used by all. Decompression needs no codec.
 * Source: liblz4 1.9.4.
 */
#ifndef SERVER_CACHE_CODEC_H
#define SERVER_CACHE_CODEC_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define CODEC_BLOCK_BYTES      (64u << 10)
/* LZ4 finds nothing in less: its format ends every block with 5 literals and starts no match in the
 * last 12 bytes. */
#define CODEC_BLOCK_BYTES_MIN  16u

/* LZ4 looks back no further. */
#define CODEC_DICTIONARY_BYTES (64u << 10)

struct codec;
struct codec_dictionary;
/* LZ4HC's table for a dictionary takes 256 KiB and .2 ms to make. A codec for high blocks keeps
 * those of the dictionaries it used last. */
#define CODEC_TABLES_MAX 32u

enum codec_level {
    CODEC_RAW,  /* not at all */
    CODEC_FAST, /* LZ4 level 1 */
    CODEC_HIGH, /* LZ4HC level 6: a quarter smaller for seven times the time */
};

/**
 * codec_new() - NULL where there is no memory.
 * @tables: dictionaries whose tables it keeps for high blocks, 1 to CODEC_TABLES_MAX; 0: a codec
 *          for fast blocks only.
 */
struct codec *codec_new(unsigned tables);
void codec_free(struct codec *codec);
/** codec_bytes() - memory one codec holds. */
size_t codec_bytes(unsigned tables);
/** codec_table_bytes() - memory that each table adds. */
size_t codec_table_bytes(void);
/** codec_forget() - drop the tables; to be called when a dictionary it used was freed. */
void codec_forget(struct codec *codec);

/**
 * codec_dictionary_new() - a dictionary, ready for fast blocks.
 * @bytes: copied; at most CODEC_DICTIONARY_BYTES.
 *
 * Returns NULL where there is no memory.
 */
struct codec_dictionary *codec_dictionary_new(const uint8_t *bytes, size_t count);
void codec_dictionary_free(struct codec_dictionary *dictionary);
/** codec_dictionary_content() - the bytes it was made of; borrowed. */
const uint8_t *codec_dictionary_content(const struct codec_dictionary *dictionary, size_t *count);
/** codec_dictionary_bytes() - memory one dictionary holds. */
size_t codec_dictionary_bytes(void);

/**
 * codec_compress() - one block.
 * @in_bytes: 1 to CODEC_BLOCK_BYTES.
 *
 * Returns the block's length, always less than @in_bytes, and points @out at it, good until the
 * codec's next call; or 0 where compression does not pay.
 */
size_t codec_compress(struct codec *codec, enum codec_level level,
                      const struct codec_dictionary *dictionary, const uint8_t *in, size_t in_bytes,
                      const uint8_t **out);

/** codec_decompress() - false unless the block is sound and gives exactly @out_bytes. */
bool codec_decompress(const struct codec_dictionary *dictionary, const uint8_t *in, size_t in_bytes,
                      uint8_t *out, size_t out_bytes) __attribute__((warn_unused_result));

/** codec_decompress_prefix() - only the first @out_bytes of a block. */
bool codec_decompress_prefix(const struct codec_dictionary *dictionary, const uint8_t *in,
                             size_t in_bytes, uint8_t *out, size_t out_bytes)
    __attribute__((warn_unused_result));

/** codec_scratch() - CODEC_BLOCK_BYTES of the codec's memory for its owner, apart from @out. */
uint8_t *codec_scratch(struct codec *codec);

#endif
