#include "server/cache/record.h"

#include <assert.h>
#include <string.h>

#define VARINT_BYTES_MAX 10u
#define DISTANCE_MAX     ((int64_t)1 << 60) /* a sequence has 48 bits */

static size_t varint_encode(uint64_t value, uint8_t *out)
{
    size_t bytes = 0;
    while (value >= 0x80) {
        out[bytes++] = (uint8_t)(value | 0x80);
        value >>= 7;
    }
    out[bytes++] = (uint8_t)value;
    return bytes;
}

/* Returns the bytes used, 0 where the number does not end in @count bytes or 64 bits. */
static size_t varint_decode(const uint8_t *in, size_t count, uint64_t *value)
{
    if (count > 0 && in[0] < 0x80) {
        *value = in[0];
        return 1;
    }
    uint64_t sum = 0;
    for (size_t i = 0; i < count && i < VARINT_BYTES_MAX; i++) {
        sum |= (uint64_t)(in[i] & 0x7f) << (7 * i);
        if (in[i] < 0x80) {
            *value = sum;
            return i + 1;
        }
    }
    return 0;
}

/* A distance as a number without sign. Most records are younger than their log's first, so seven of
 * eight numbers are for distances upwards: a byte holds -16 to 111, two -2,048 to 14,335. */
static uint64_t fold(int64_t distance)
{
    if (distance >= 0)
        return (uint64_t)distance + (uint64_t)distance / 7;
    assert(distance >= -DISTANCE_MAX);
    return ((uint64_t)(-distance - 1) << 3) + 7;
}

static int64_t unfold(uint64_t number)
{
    return number % 8 == 7 ? -(int64_t)(number >> 3) - 1 : (int64_t)(number - number / 8);
}

size_t record_encode_header(struct record *record, uint64_t base, uint8_t *out)
{
    assert(record->key_bytes >= 1 && record->key_bytes <= CACHE_KEY_BYTES_MAX);
    size_t bytes = 0;
    out[bytes++] = (uint8_t)record->key_bytes;
    bytes += varint_encode(record->value_bytes, out + bytes);
    bytes += varint_encode(fold((int64_t)(record->sequence - base)), out + bytes);
    record->tag &= ~RECORD_TAG_EXTRAS;
    if (record->flags != 0 || record->expiry_s != CACHE_NEVER) {
        record->tag |= RECORD_TAG_EXTRAS;
        bytes += varint_encode(record->flags, out + bytes);
        memcpy(out + bytes, &record->expiry_s, sizeof(record->expiry_s));
        bytes += sizeof(record->expiry_s);
    }
    if (record->tag & RECORD_TAG_LARGE) {
        memcpy(out + bytes, &record->first_page, sizeof(record->first_page));
        memcpy(out + bytes + 4, &record->stream_bytes, sizeof(record->stream_bytes));
        bytes += RECORD_LARGE_BYTES;
    }
    return bytes;
}

/* The two numbers of a large record, and whether key and tail are there. */
static bool decode_large(const uint8_t *bytes, size_t count, struct record *record)
{
    if (count < RECORD_LARGE_BYTES + record->key_bytes)
        return false;
    memcpy(&record->first_page, bytes, sizeof(record->first_page));
    memcpy(&record->stream_bytes, bytes + 4, sizeof(record->stream_bytes));
    record->payload = bytes + RECORD_LARGE_BYTES;
    record->payload_bytes = count - RECORD_LARGE_BYTES;
    return record->payload_bytes - record->key_bytes <= record->stream_bytes;
}

static bool decode_payload(const uint8_t *bytes, size_t count, struct record *record)
{
    record->payload = bytes;
    record->payload_bytes = count;
    size_t entry_bytes = record->key_bytes + record->value_bytes;
    if (record->tag & RECORD_TAG_COMPRESSED)
        return count > 0 && entry_bytes <= CODEC_BLOCK_BYTES;
    return count == entry_bytes;
}

bool record_decode(const uint8_t *bytes, size_t count, unsigned tag, uint64_t base,
                   struct record *record)
{
    uint64_t value_bytes, delta, flags;
    if (count < 3 || bytes[0] == 0 || bytes[0] > CACHE_KEY_BYTES_MAX)
        return false;
    size_t at = 1;
    size_t used = varint_decode(bytes + at, count - at, &value_bytes);
    if (used == 0 || value_bytes > CACHE_ITEM_BYTES_MAX)
        return false;
    at += used;
    used = varint_decode(bytes + at, count - at, &delta);
    if (used == 0)
        return false;
    at += used;
    record->key_bytes = bytes[0];
    record->value_bytes = (size_t)value_bytes;
    record->sequence = base + (uint64_t)unfold(delta);
    record->flags = 0;
    record->expiry_s = CACHE_NEVER;
    record->tag = tag;
    record->first_page = ZBUD_PAGE_NONE;
    record->stream_bytes = 0;
    if (tag & RECORD_TAG_EXTRAS) {
        used = varint_decode(bytes + at, count - at, &flags);
        if (used == 0 || flags > UINT32_MAX || count - at - used < sizeof(record->expiry_s))
            return false;
        record->flags = (uint32_t)flags;
        memcpy(&record->expiry_s, bytes + at + used, sizeof(record->expiry_s));
        at += used + sizeof(record->expiry_s);
    }
    if (tag & RECORD_TAG_LARGE)
        return decode_large(bytes + at, count - at, record);
    return decode_payload(bytes + at, count - at, record);
}

void record_set_expiry(uint8_t *bytes, size_t count, uint32_t expiry_s)
{
    uint64_t number;
    size_t at = 1;
    for (int skipped = 0; skipped < 3; skipped++) { /* value bytes, delta, flags */
        size_t used = varint_decode(bytes + at, count - at, &number);
        assert(used > 0);
        at += used;
    }
    assert(count - at >= sizeof(expiry_s));
    memcpy(bytes + at, &expiry_s, sizeof(expiry_s));
}

const uint8_t *record_key(const struct record *record, const struct codec_dictionary *dictionary,
                          uint8_t *scratch)
{
    if (record->tag & RECORD_TAG_LARGE || !(record->tag & RECORD_TAG_COMPRESSED))
        return record->payload;
    if (!codec_decompress_prefix(dictionary, record->payload, record->payload_bytes, scratch,
                                 record->key_bytes))
        return NULL;
    return scratch;
}
