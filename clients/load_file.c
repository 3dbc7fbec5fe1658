#include "clients/load_file.h"

#include <zstd.h>

#define PACKED_BYTES ((size_t)1 << 16)
#define PLAIN_BYTES  ((size_t)1 << 20)

static uint8_t *room_for(struct load_buffer *buffer, size_t bytes_max)
{
    const size_t held = buffer->end - buffer->begin;

    return held <= bytes_max ? load_buffer_room(buffer, PLAIN_BYTES) : NULL;
}

static bool append_plain(struct load_buffer *buffer, FILE *file, size_t bytes_max)
{
    size_t got = 1;

    while (got > 0) {
        uint8_t *at = room_for(buffer, bytes_max);

        if (at == NULL)
            return false;
        got = fread(at, 1, PLAIN_BYTES, file);
        buffer->end += got;
    }
    return ferror(file) == 0;
}

static bool unpack(struct load_buffer *buffer, FILE *file, size_t bytes_max, ZSTD_DStream *stream)
{
    uint8_t packed[PACKED_BYTES];
    size_t hint = 1; /* 0 where a frame has ended */

    for (;;) {
        ZSTD_inBuffer in = {packed, fread(packed, 1, sizeof(packed), file), 0};
        bool full = false;

        if (in.size == 0)
            return ferror(file) == 0 && hint == 0;
        while (in.pos < in.size || (full && hint != 0)) {
            ZSTD_outBuffer out = {room_for(buffer, bytes_max), PLAIN_BYTES, 0};

            if (out.dst == NULL)
                return false;
            hint = ZSTD_decompressStream(stream, &out, &in);
            if (ZSTD_isError(hint) != 0)
                return false;
            full = out.pos == out.size;
            buffer->end += out.pos;
        }
    }
}

bool load_file_append(struct load_buffer *buffer, FILE *file, bool packed, size_t bytes_max)
{
    ZSTD_DStream *stream;
    bool good;

    if (!packed)
        return append_plain(buffer, file, bytes_max);
    stream = ZSTD_createDStream();
    good = stream != NULL && unpack(buffer, file, bytes_max, stream);
    ZSTD_freeDStream(stream);
    return good;
}
