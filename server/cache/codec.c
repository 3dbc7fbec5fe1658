#include "server/cache/codec.h"

#include <assert.h>
#include <stdlib.h>

/* LZ4_compress_fast_extState_fastReset: a block's compression starts without clearing 16 KiB. */
#define LZ4_STATIC_LINKING_ONLY
#include <lz4.h>

struct codec {
    LZ4_stream_t stream;
    uint8_t block[CODEC_BLOCK_BYTES];
    uint8_t scratch[CODEC_BLOCK_BYTES];
};

struct codec *codec_new(void)
{
    struct codec *codec = malloc(sizeof(*codec));
    if (codec != NULL)
        LZ4_initStream(&codec->stream, sizeof(codec->stream));
    return codec;
}

void codec_free(struct codec *codec)
{
    free(codec);
}

size_t codec_bytes(void)
{
    return sizeof(struct codec);
}

size_t codec_compress(struct codec *codec, const uint8_t *in, size_t in_bytes, const uint8_t **out)
{
    assert(in_bytes > 0 && in_bytes <= CODEC_BLOCK_BYTES);
    if (in_bytes < CODEC_BLOCK_BYTES_MIN)
        return 0;
    int bytes =
        LZ4_compress_fast_extState_fastReset(&codec->stream, (const char *)in, (char *)codec->block,
                                             (int)in_bytes, (int)in_bytes - 1, 1);
    *out = codec->block;
    return bytes > 0 ? (size_t)bytes : 0;
}

bool codec_decompress(const uint8_t *in, size_t in_bytes, uint8_t *out, size_t out_bytes)
{
    int bytes = LZ4_decompress_safe((const char *)in, (char *)out, (int)in_bytes, (int)out_bytes);
    return bytes >= 0 && (size_t)bytes == out_bytes;
}

bool codec_decompress_prefix(const uint8_t *in, size_t in_bytes, uint8_t *out, size_t out_bytes)
{
    int bytes = LZ4_decompress_safe_partial((const char *)in, (char *)out, (int)in_bytes,
                                            (int)out_bytes, (int)out_bytes);
    return bytes >= 0 && (size_t)bytes == out_bytes;
}

uint8_t *codec_scratch(struct codec *codec)
{
    return codec->scratch;
}
