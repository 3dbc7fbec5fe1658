#include "tests/corpus/corpus_records.h"

#include "clients/load_file.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

_Static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "lengths are read as they lie");

void corpus_records_fini(struct corpus_records *records)
{
    load_buffer_fini(&records->bytes);
    free(records->starts);
    *records = (struct corpus_records){0};
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
    uint8_t *place = load_buffer_room(&records->bytes, bytes);
    uint16_t key_length = (uint16_t)key_bytes;
    uint32_t value_length = (uint32_t)value_bytes;

    if (place == NULL || !add_start(records, records->bytes.end))
        return false;
    memcpy(place, &key_length, sizeof(key_length));
    memcpy(place + 2, &value_length, sizeof(value_length));
    memcpy(place + CORPUS_RECORD_HEADER_BYTES, key, key_bytes);
    memcpy(place + CORPUS_RECORD_HEADER_BYTES + key_bytes, value, value_bytes);
    records->bytes.end += bytes;
    return true;
}

bool corpus_records_index(struct corpus_records *records)
{
    size_t at = 0;

    records->count = 0;
    while (at < records->bytes.end) {
        const uint8_t *record = records->bytes.data + at;
        size_t left = records->bytes.end - at;
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
    good = load_file_append(&records->bytes, file, true, CORPUS_BYTES_MAX) &&
           corpus_records_index(records);
    if (!good)
        snprintf(error, CORPUS_ERROR_BYTES_MAX, "%.180s is damaged, or too large", path);
    fclose(file);
    return good;
}
