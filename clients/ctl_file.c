#include "clients/ctl_file.h"

#include <stdlib.h>
#include <string.h>

#define HEAD_BYTES  18u /* of a record, its kind with it */
#define CRC_BYTES   4u
#define COUNT_BYTES 8u
#define PIECE_BYTES ((size_t)1 << 20) /* memory grows by it as bytes come */
#define CRC_START   UINT32_MAX

static const char MAGIC[8] = {'z', 'b', 'i', 't', 'e', 'm', 's', '1'};

/* CRC-32, polynomial EDB88320 (reflected), half a byte at a time. */
static uint32_t crc_of(uint32_t crc, const uint8_t *bytes, size_t count)
{
    static const uint32_t TABLE[16] = {
        0x00000000, 0x1db71064, 0x3b6e20c8, 0x26d930ac, 0x76dc4190, 0x6b6b51f4,
        0x4db26158, 0x5005713c, 0xedb88320, 0xf00f9344, 0xd6d6a3e8, 0xcb61b38c,
        0x9b64c2b0, 0x86d3d2d4, 0xa00ae278, 0xbdbdf21c,
    };

    for (size_t i = 0; i < count; i++) {
        crc = crc >> 4 ^ TABLE[(crc ^ bytes[i]) & 15];
        crc = crc >> 4 ^ TABLE[(crc ^ (uint32_t)bytes[i] >> 4) & 15];
    }
    return crc;
}

static void put_number(uint8_t *at, uint64_t number, unsigned bytes)
{
    for (unsigned i = 0; i < bytes; i++)
        at[i] = (uint8_t)(number >> 8 * i);
}

static uint64_t get_number(const uint8_t *at, unsigned bytes)
{
    uint64_t number = 0;

    for (unsigned i = 0; i < bytes; i++)
        number |= (uint64_t)at[i] << 8 * i;
    return number;
}

/* ---- writing ---- */

static bool put(struct ctl_file *file, const void *bytes, size_t count)
{
    return fwrite(bytes, 1, count, file->file) == count;
}

static bool put_crc(struct ctl_file *file, uint32_t crc)
{
    uint8_t bytes[CRC_BYTES];

    put_number(bytes, ~crc, CRC_BYTES);
    return put(file, bytes, sizeof(bytes));
}

bool ctl_file_begin(struct ctl_file *file, FILE *stream)
{
    *file = (struct ctl_file){.file = stream};
    return put(file, MAGIC, sizeof(MAGIC));
}

bool ctl_file_put(struct ctl_file *file, const struct ctl_item *item, int64_t expires_at_s)
{
    uint8_t head[HEAD_BYTES] = {1, (uint8_t)item->key.bytes};
    uint32_t crc;

    put_number(head + 2, item->flags, 4);
    put_number(head + 6, item->value.bytes, 4);
    put_number(head + 10, (uint64_t)expires_at_s, 8);
    crc = crc_of(CRC_START, head, sizeof(head));
    crc = crc_of(crc, item->key.data, item->key.bytes);
    crc = crc_of(crc, item->value.data, item->value.bytes);
    file->count++;
    return put(file, head, sizeof(head)) && put(file, item->key.data, item->key.bytes) &&
           put(file, item->value.data, item->value.bytes) && put_crc(file, crc);
}

bool ctl_file_finish(struct ctl_file *file)
{
    uint8_t end[1 + COUNT_BYTES] = {0};

    put_number(end + 1, file->count, COUNT_BYTES);
    return put(file, end, sizeof(end)) && put_crc(file, crc_of(CRC_START, end, sizeof(end)));
}

/* ---- reading ---- */

static bool get(struct ctl_file *file, void *bytes, size_t count)
{
    return fread(bytes, 1, count, file->file) == count;
}

static bool crc_is(struct ctl_file *file, uint32_t crc)
{
    uint8_t bytes[CRC_BYTES];

    return get(file, bytes, sizeof(bytes)) && get_number(bytes, CRC_BYTES) == (uint32_t)~crc;
}

enum ctl_file_status ctl_file_open(struct ctl_file *file, FILE *stream)
{
    char magic[sizeof(MAGIC)];

    *file = (struct ctl_file){.file = stream};
    return get(file, magic, sizeof(magic)) && memcmp(magic, MAGIC, sizeof(MAGIC)) == 0
               ? CTL_FILE_OK
               : CTL_FILE_DAMAGED;
}

static enum ctl_file_status read_end(struct ctl_file *file, uint8_t *head)
{
    if (!get(file, head + 1, COUNT_BYTES) ||
        !crc_is(file, crc_of(CRC_START, head, 1 + COUNT_BYTES)) ||
        get_number(head + 1, COUNT_BYTES) != file->count || getc(file->file) != EOF)
        return CTL_FILE_DAMAGED;
    return CTL_FILE_END;
}

/* Memory grows as bytes come, whatever the record says of its length. */
static enum ctl_file_status read_value(struct ctl_file *file, size_t bytes)
{
    size_t got = 0;

    while (got < bytes) {
        size_t piece = bytes - got < PIECE_BYTES ? bytes - got : PIECE_BYTES;

        if (file->value_room < got + piece) {
            size_t room = file->value_room * 2 + PIECE_BYTES;
            uint8_t *grown = realloc(file->value, room);

            if (grown == NULL)
                return CTL_FILE_NO_MEMORY;
            file->value = grown;
            file->value_room = room;
        }
        if (!get(file, file->value + got, piece))
            return CTL_FILE_DAMAGED;
        got += piece;
    }
    return CTL_FILE_OK;
}

enum ctl_file_status ctl_file_next(struct ctl_file *file, struct ctl_item *item,
                                   int64_t *expires_at_s)
{
    uint8_t head[HEAD_BYTES];
    enum ctl_file_status status;
    size_t key_bytes, value_bytes;
    uint32_t crc;

    if (!get(file, head, 1) || head[0] > 1)
        return CTL_FILE_DAMAGED;
    if (head[0] == 0)
        return read_end(file, head);
    if (!get(file, head + 1, HEAD_BYTES - 1))
        return CTL_FILE_DAMAGED;
    key_bytes = head[1];
    value_bytes = (size_t)get_number(head + 6, 4);
    *expires_at_s = (int64_t)get_number(head + 10, 8);
    if (key_bytes == 0 || key_bytes > CLIENT_KEY_BYTES_MAX ||
        value_bytes > CLIENT_VALUE_BYTES_MAX || *expires_at_s < -1 ||
        !get(file, file->key, key_bytes))
        return CTL_FILE_DAMAGED;
    status = read_value(file, value_bytes);
    if (status != CTL_FILE_OK)
        return status;
    crc = crc_of(CRC_START, head, sizeof(head));
    crc = crc_of(crc, file->key, key_bytes);
    crc = crc_of(crc, file->value, value_bytes);
    if (!crc_is(file, crc))
        return CTL_FILE_DAMAGED;
    file->count++;
    *item = (struct ctl_item){.key = {file->key, key_bytes},
                              .value = {file->value, value_bytes},
                              .flags = (uint32_t)get_number(head + 2, 4)};
    return CTL_FILE_OK;
}

void ctl_file_fini(struct ctl_file *file)
{
    free(file->value);
}
