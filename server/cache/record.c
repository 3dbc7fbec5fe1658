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

static size_t varint_bytes(uint64_t value)
{
    return (70u - (unsigned)__builtin_clzll(value | 1)) / 7;
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

/*
 * Value bytes and distance together, told apart by the first byte's high bits:
 *
 *   0vvvvvvv varint(d)                   values to 127 bytes
 *   10vvvvvv vvvvvddd dddddddd           to 2,047, distances of 11 bits
 *   110vvvvv vvvvvvvv vddddddd           to 16,383, distances of 7
 *   111vvvvv varint(v >> 5) varint(d)    all others
 *
 * For one value no smaller distance takes more bytes.
 */
#define SMALL_VALUE_BITS   7u
#define MIDDLE_VALUE_BITS  11u
#define MIDDLE_NUMBER_BITS 11u
#define WIDE_VALUE_BITS    14u
#define WIDE_NUMBER_BITS   7u
#define OTHER_VALUE_BITS   5u
#define MIDDLE_MARK        0x80u
#define WIDE_MARK          0xc0u
#define OTHER_MARK         0xe0u

static size_t encode_packed(uint32_t bits, uint8_t *out)
{
    out[0] = (uint8_t)(bits >> 16);
    out[1] = (uint8_t)(bits >> 8);
    out[2] = (uint8_t)bits;
    return 3;
}

static size_t encode_lengths(uint64_t value_bytes, uint64_t number, uint8_t *out)
{
    uint32_t value_bits = (uint32_t)value_bytes, number_bits = (uint32_t)number;
    if (value_bytes >> SMALL_VALUE_BITS == 0) {
        out[0] = (uint8_t)value_bytes;
        return 1 + varint_encode(number, out + 1);
    }
    if (value_bytes >> MIDDLE_VALUE_BITS == 0 && number >> MIDDLE_NUMBER_BITS == 0)
        return encode_packed(MIDDLE_MARK << 16 | value_bits << MIDDLE_NUMBER_BITS | number_bits,
                             out);
    if (value_bytes >> WIDE_VALUE_BITS == 0 && number >> WIDE_NUMBER_BITS == 0)
        return encode_packed(WIDE_MARK << 16 | value_bits << WIDE_NUMBER_BITS | number_bits, out);
    out[0] = (uint8_t)(OTHER_MARK | (value_bits & ((1u << OTHER_VALUE_BITS) - 1)));
    size_t bytes = 1 + varint_encode(value_bytes >> OTHER_VALUE_BITS, out + 1);
    return bytes + varint_encode(number, out + bytes);
}

static size_t lengths_bytes(uint64_t value_bytes, uint64_t number)
{
    if (value_bytes >> SMALL_VALUE_BITS == 0)
        return 1 + varint_bytes(number);
    if ((value_bytes >> MIDDLE_VALUE_BITS == 0 && number >> MIDDLE_NUMBER_BITS == 0) ||
        (value_bytes >> WIDE_VALUE_BITS == 0 && number >> WIDE_NUMBER_BITS == 0))
        return 3;
    return 1 + varint_bytes(value_bytes >> OTHER_VALUE_BITS) + varint_bytes(number);
}

static uint32_t low_bits(uint32_t bits, unsigned count)
{
    return bits & ((1u << count) - 1);
}

/* Returns the bytes used, 0 where they are not there. */
static size_t decode_lengths(const uint8_t *in, size_t count, uint64_t *value_bytes,
                             uint64_t *number)
{
    size_t at = 1, used;
    if (count < 2)
        return 0;
    if (in[0] < MIDDLE_MARK) {
        *value_bytes = in[0];
        used = varint_decode(in + at, count - at, number);
        return used > 0 ? at + used : 0;
    }
    if (in[0] < OTHER_MARK) {
        bool middle = in[0] < WIDE_MARK;
        unsigned number_bits = middle ? MIDDLE_NUMBER_BITS : WIDE_NUMBER_BITS;
        if (count < 3)
            return 0;
        uint32_t bits = (uint32_t)in[0] << 16 | (uint32_t)in[1] << 8 | in[2];
        *number = low_bits(bits, number_bits);
        *value_bytes = low_bits(bits >> number_bits, middle ? MIDDLE_VALUE_BITS : WIDE_VALUE_BITS);
        return 3;
    }
    used = varint_decode(in + at, count - at, value_bytes);
    if (used == 0 || *value_bytes > CACHE_ITEM_BYTES_MAX)
        return 0;
    *value_bytes = *value_bytes << OTHER_VALUE_BITS | low_bits(in[0], OTHER_VALUE_BITS);
    at += used;
    used = varint_decode(in + at, count - at, number);
    return used > 0 ? at + used : 0;
}

size_t record_encode_header(struct record *record, uint64_t base, uint8_t *out)
{
    assert(record->key_bytes >= 1 && record->key_bytes <= CACHE_KEY_BYTES_MAX);
    size_t bytes = 0;
    out[bytes++] = (uint8_t)record->key_bytes;
    bytes +=
        encode_lengths(record->value_bytes, fold((int64_t)(record->sequence - base)), out + bytes);
    record->tag &= ~RECORD_TAG_EXTRAS;
    if (record->flags != 0 || record->expiry_s != CACHE_NEVER) {
        record->tag |= RECORD_TAG_EXTRAS;
        bytes += varint_encode(record->flags, out + bytes);
        memcpy(out + bytes, &record->expiry_s, sizeof(record->expiry_s));
        bytes += sizeof(record->expiry_s);
        if (record->flags & RECORD_CAS) {
            memcpy(out + bytes, &record->cas, sizeof(record->cas));
            bytes += sizeof(record->cas);
        }
    }
    if (record->tag & RECORD_TAG_LARGE) {
        memcpy(out + bytes, &record->first_page, sizeof(record->first_page));
        memcpy(out + bytes + 4, &record->stream_bytes, sizeof(record->stream_bytes));
        bytes += RECORD_LARGE_BYTES;
    }
    return bytes;
}

size_t record_header_bytes(const struct record *record, uint64_t base)
{
    size_t bytes = 1 + lengths_bytes(record->value_bytes, fold((int64_t)(record->sequence - base)));
    if (record->flags != 0 || record->expiry_s != CACHE_NEVER)
        bytes += varint_bytes(record->flags) + sizeof(record->expiry_s) +
                 (record->flags & RECORD_CAS ? sizeof(record->cas) : 0);
    return bytes + (record->tag & RECORD_TAG_LARGE ? RECORD_LARGE_BYTES : 0);
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
    size_t used = decode_lengths(bytes + at, count - at, &value_bytes, &delta);
    if (used == 0 || value_bytes > CACHE_ITEM_BYTES_MAX)
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
        if (used == 0 || flags > RECORD_FLAGS_MAX || count - at - used < sizeof(record->expiry_s))
            return false;
        record->flags = flags;
        memcpy(&record->expiry_s, bytes + at + used, sizeof(record->expiry_s));
        at += used + sizeof(record->expiry_s);
        if (flags & RECORD_CAS) {
            if (count - at < sizeof(record->cas))
                return false;
            memcpy(&record->cas, bytes + at, sizeof(record->cas));
            at += sizeof(record->cas);
        }
    }
    if (tag & RECORD_TAG_LARGE)
        return decode_large(bytes + at, count - at, record);
    return decode_payload(bytes + at, count - at, record);
}

void record_set_expiry(uint8_t *bytes, size_t count, uint32_t expiry_s)
{
    uint64_t value_bytes, number;
    size_t at = 1;
    size_t used = decode_lengths(bytes + at, count - at, &value_bytes, &number);
    assert(used > 0);
    at += used;
    used = varint_decode(bytes + at, count - at, &number); /* flags */
    assert(used > 0);
    at += used;
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
