#include "protocol/reply.h"

#include "protocol/meta_reply.h"
#include "protocol/parse.h"

#include <assert.h>
#include <string.h>

static_assert(PROTOCOL_VALUE_HEADER_BYTES_MAX ==
                  6 + PROTOCOL_KEY_BYTES_MAX + 1 + 10 + 1 + 20 + 1 + 20 + 2,
              "the longest value header has the longest key");

/* Decimal digits of a number; 20 for the largest. */
static size_t digits_count(uint64_t number)
{
    size_t count = 1;

    while (number >= 10000) {
        number /= 10000;
        count += 4;
    }
    return count + (number >= 10 ? 1 : 0) + (number >= 100 ? 1 : 0) + (number >= 1000 ? 1 : 0);
}

/* Writes a number's @count digits at @out, the last two at a time: half the divisions. */
static uint8_t *put_digits(uint8_t *out, uint64_t number, size_t count)
{
    static const char pairs[] = "00010203040506070809101112131415161718192021222324"
                                "25262728293031323334353637383940414243444546474849"
                                "50515253545556575859606162636465666768697071727374"
                                "75767778798081828384858687888990919293949596979899";
    uint8_t *at = out + count;

    while (number >= 100) {
        at -= 2;
        memcpy(at, pairs + 2 * (number % 100), 2);
        number /= 100;
    }
    if (number >= 10) {
        memcpy(at - 2, pairs + 2 * number, 2);
    } else {
        at[-1] = (uint8_t)('0' + number);
    }
    return out + count;
}

static uint8_t *put_bytes(uint8_t *out, const void *bytes, size_t count)
{
    memcpy(out, bytes, count);
    return out + count;
}

static uint8_t *put_number(uint8_t *out, uint64_t number)
{
    return put_digits(out, number, digits_count(number));
}

size_t protocol_reply_room(const struct protocol_reply *reply)
{
    assert(reply->used <= reply->capacity);
    return reply->capacity - reply->used;
}

bool protocol_reply_line(struct protocol_reply *reply, const char *line)
{
    const size_t bytes = strlen(line);

    if (protocol_reply_room(reply) < bytes + 2) {
        return false;
    }
    uint8_t *out = put_bytes(reply->data + reply->used, line, bytes);
    (void)put_bytes(out, "\r\n", 2);
    reply->used += bytes + 2;
    return true;
}

bool protocol_reply_number(struct protocol_reply *reply, uint64_t number)
{
    const size_t count = digits_count(number);

    if (protocol_reply_room(reply) < count + 2) {
        return false;
    }
    uint8_t *out = put_digits(reply->data + reply->used, number, count);
    (void)put_bytes(out, "\r\n", 2);
    reply->used += count + 2;
    return true;
}

bool protocol_reply_stat(struct protocol_reply *reply, const char *name, const char *value)
{
    const size_t name_bytes = strlen(name);
    const size_t value_bytes = strlen(value);
    const size_t bytes = 5 + name_bytes + 1 + value_bytes + 2;

    if (protocol_reply_room(reply) < bytes) {
        return false;
    }
    uint8_t *out = put_bytes(reply->data + reply->used, "STAT ", 5);
    out = put_bytes(out, name, name_bytes);
    *out++ = ' ';
    out = put_bytes(out, value, value_bytes);
    (void)put_bytes(out, "\r\n", 2);
    reply->used += bytes;
    return true;
}

size_t protocol_value_header_bytes(size_t key_bytes, uint32_t flags, size_t value_bytes,
                                   const uint64_t *cas)
{
    assert(key_bytes <= PROTOCOL_KEY_BYTES_MAX);
    return 6 + key_bytes + 1 + digits_count(flags) + 1 + digits_count(value_bytes) +
           (cas != NULL ? 1 + digits_count(*cas) : 0) + 2;
}

size_t protocol_value_header(uint8_t *out, const void *key, size_t key_bytes, uint32_t flags,
                             size_t value_bytes, const uint64_t *cas)
{
    assert(key_bytes <= PROTOCOL_KEY_BYTES_MAX);
    uint8_t *at = put_bytes(out, "VALUE ", 6);

    at = put_bytes(at, key, key_bytes);
    *at++ = ' ';
    at = put_number(at, flags);
    *at++ = ' ';
    at = put_number(at, value_bytes);
    if (cas != NULL) {
        *at++ = ' ';
        at = put_number(at, *cas);
    }
    at = put_bytes(at, "\r\n", 2);
    return (size_t)(at - out);
}

/* ---- meta commands ---- */

static_assert(PROTOCOL_REPLY_BYTES_MAX >=
                  sizeof("VA 2147483645 k b s2147483645 t4294967295 c18446744073709551615 "
                         "f4294967295 h1 l4294967295 Z X W\r\n18446744073709551615\r\n") +
                      PROTOCOL_KEY_BYTES_MAX + 1 + PROTOCOL_OPAQUE_BYTES_MAX,
              "a line with all there is");

static uint8_t *meta_room(struct protocol_meta_reply *line, size_t bytes)
{
    uint8_t *out = line->text + line->used;

    assert(bytes <= sizeof(line->text) - line->used);
    line->used += bytes;
    return out;
}

static void meta_bytes(struct protocol_meta_reply *line, const void *bytes, size_t count)
{
    (void)put_bytes(meta_room(line, count), bytes, count);
}

static void meta_number(struct protocol_meta_reply *line, uint64_t number)
{
    const size_t count = digits_count(number);

    (void)put_digits(meta_room(line, count), number, count);
}

void protocol_meta_begin(struct protocol_meta_reply *line, const char *code)
{
    line->used = 0;
    meta_bytes(line, code, 2);
}

void protocol_meta_begin_value(struct protocol_meta_reply *line, size_t value_bytes)
{
    line->used = 0;
    meta_bytes(line, "VA ", 3);
    meta_number(line, value_bytes);
}

void protocol_meta_put(struct protocol_meta_reply *line, struct protocol_slice text)
{
    *meta_room(line, 1) = ' ';
    meta_bytes(line, text.data, text.bytes);
}

void protocol_meta_put_word(struct protocol_meta_reply *line, const char *word)
{
    *meta_room(line, 1) = ' ';
    meta_bytes(line, word, strlen(word));
}

void protocol_meta_put_number(struct protocol_meta_reply *line, const char *name, uint64_t number)
{
    protocol_meta_put_word(line, name);
    meta_number(line, number);
}

void protocol_meta_put_key(struct protocol_meta_reply *line, struct protocol_slice key, bool base64)
{
    protocol_meta_put_word(line, "k");
    meta_bytes(line, key.data, key.bytes);
    if (base64) {
        protocol_meta_put_word(line, "b");
    }
}

void protocol_meta_end(struct protocol_meta_reply *line)
{
    meta_bytes(line, "\r\n", 2);
}

void protocol_meta_end_number(struct protocol_meta_reply *line, uint64_t number)
{
    protocol_meta_end(line);
    meta_number(line, number);
    protocol_meta_end(line);
}

size_t protocol_meta_digits(uint64_t number)
{
    return digits_count(number);
}
