/*
 * codec.h - LZ4, and one thread's memory for it.
 *
 * A block is at most CODEC_BLOCK_BYTES before compression; what is larger is cut into blocks by
 * large.h. Only LZ4's bounds-checked decoders are used: a damaged block gives false, never a write
 * outside the output.
 *
 * Threads: a struct codec belongs to one thread. Decompression needs none.
 * Source: liblz4 1.9.4.
 */
#ifndef SERVER_CACHE_CODEC_H
#define SERVER_CACHE_CODEC_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define CODEC_BLOCK_BYTES     (64u << 10)
/* LZ4 finds nothing in less: its format ends every block with 5 literals and starts no match in the
 * last 12 bytes. */
#define CODEC_BLOCK_BYTES_MIN 16u

struct codec;

/** codec_new() - NULL where there is no memory. */
struct codec *codec_new(void);
void codec_free(struct codec *codec);
/** codec_bytes() - memory one codec holds. */
size_t codec_bytes(void);

/**
 * codec_compress() - one block.
 * @in_bytes: 1 to CODEC_BLOCK_BYTES.
 *
 * Returns the block's length, always less than @in_bytes, and points @out at it, good until the
 * codec's next call; or 0 where compression does not pay.
 */
size_t codec_compress(struct codec *codec, const uint8_t *in, size_t in_bytes, const uint8_t **out);

/** codec_decompress() - false unless the block is sound and gives exactly @out_bytes. */
bool codec_decompress(const uint8_t *in, size_t in_bytes, uint8_t *out, size_t out_bytes)
    __attribute__((warn_unused_result));

/** codec_decompress_prefix() - only the first @out_bytes of a block. */
bool codec_decompress_prefix(const uint8_t *in, size_t in_bytes, uint8_t *out, size_t out_bytes)
    __attribute__((warn_unused_result));

/** codec_scratch() - CODEC_BLOCK_BYTES of the codec's memory for its owner, apart from @out above. */
uint8_t *codec_scratch(struct codec *codec);

#endif
