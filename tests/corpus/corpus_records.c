#include "tests/corpus/corpus_records.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <zstd.h>

_Static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "lengths are read as they lie");

void corpus_records_fini(struct corpus_records *records)
{
    free(records->bytes);
    free(records->starts);
    *records = (struct corpus_records){0};
}

uint8_t *corpus_records_room(struct corpus_records *records, size_t bytes)
{
    if (records->bytes_room - records->bytes_used < bytes) {
        size_t room = 2 * records->bytes_room + bytes;
        uint8_t *grown = realloc(records->bytes, room);

        if (grown == NULL)
            return NULL;
        records->bytes = grown;
        records->bytes_room = room;
    }
    return records->bytes + records->bytes_used;
}

static bool add_start(struct corpus_records *records, size_t start)
{
    if (records->count == records->starts_room) {
        size_t room = 2 * records->starts_room + 1024;
        size_t *grown = realloc(records->starts, room * sizeof(*grown));

        if (grown == NULL)
            return false;
        records->starts = grown;
        records->starts_room = room;
    }
    records->starts[records->count++] = start;
    return true;
}

bool corpus_records_add(struct corpus_records *records, const void *key, size_t key_bytes,
                        const void *value, size_t value_bytes)
{
    size_t bytes = CORPUS_RECORD_HEADER_BYTES + key_bytes + value_bytes;
    uint8_t *place = corpus_records_room(records, bytes);
    uint16_t key_length = (uint16_t)key_bytes;
    uint32_t value_length = (uint32_t)value_bytes;

    if (place == NULL || !add_start(records, records->bytes_used))
        return false;
    memcpy(place, &key_length, sizeof(key_length));
    memcpy(place + 2, &value_length, sizeof(value_length));
    memcpy(place + CORPUS_RECORD_HEADER_BYTES, key, key_bytes);
    memcpy(place + CORPUS_RECORD_HEADER_BYTES + key_bytes, value, value_bytes);
    records->bytes_used += bytes;
    return true;
}

bool corpus_records_index(struct corpus_records *records)
{
    size_t at = 0;

    records->count = 0;
    while (at < records->bytes_used) {
        const uint8_t *record = records->bytes + at;
        size_t left = records->bytes_used - at;
        uint16_t key_bytes;
        uint32_t value_bytes;

        if (left < CORPUS_RECORD_HEADER_BYTES)
            return false;
        memcpy(&key_bytes, record, sizeof(key_bytes));
        memcpy(&value_bytes, record + 2, sizeof(value_bytes));
        left -= CORPUS_RECORD_HEADER_BYTES;
        if (key_bytes == 0 || key_bytes > CORPUS_KEY_BYTES_MAX ||
            value_bytes > CORPUS_VALUE_BYTES_MAX || left < (size_t)key_bytes + value_bytes)
            return false;
        for (size_t i = 0; i < key_bytes; i++) {
            if (record[CORPUS_RECORD_HEADER_BYTES + i] <= ' ')
                return false;
        }
        if (!add_start(records, at))
            return false;
        at += CORPUS_RECORD_HEADER_BYTES + key_bytes + value_bytes;
    }
    return true;
}

#define OUT_BYTES ((size_t)1 << 20)

/* Appends what a whole zstd file holds. */
static bool unpack(struct corpus_records *records, FILE *file)
{
    uint8_t packed[1 << 16];
    ZSTD_DStream *stream = ZSTD_createDStream();
    size_t hint = 1;
    bool good = stream != NULL;

    while (good) {
        ZSTD_inBuffer in = {packed, fread(packed, 1, sizeof(packed), file), 0};

        if (in.size == 0)
            break;
        for (bool full = false; good && (in.pos < in.size || (full && hint != 0));) {
            ZSTD_outBuffer out = {corpus_records_room(records, OUT_BYTES), OUT_BYTES, 0};

            if (out.dst == NULL) {
                good = false;
                break;
            }
            hint = ZSTD_decompressStream(stream, &out, &in);
            good = ZSTD_isError(hint) == 0;
            full = out.pos == out.size;
            records->bytes_used += good ? out.pos : 0;
        }
    }
    ZSTD_freeDStream(stream);
    return good && ferror(file) == 0 && hint == 0;
}

bool corpus_load(struct corpus_records *records, const char *folder, const char *name,
                 char error[CORPUS_ERROR_BYTES_MAX])
{
    char path[4096];
    FILE *file;
    bool good;

    snprintf(path, sizeof(path), "%s/%s.kv.zst", folder, name);
    file = fopen(path, "rb");
    if (file == NULL) {
        snprintf(error, CORPUS_ERROR_BYTES_MAX, "%.180s: %s", path, strerror(errno));
        return false;
    }
    good = unpack(records, file) && corpus_records_index(records);
    if (!good)
        snprintf(error, CORPUS_ERROR_BYTES_MAX, "%.180s is damaged, or too large", path);
    fclose(file);
    return good;
}
