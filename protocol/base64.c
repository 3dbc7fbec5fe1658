#include "protocol/base64.h"

#include <assert.h>

#define GROUP_TEXT  4u
#define GROUP_BYTES 3u
#define NO_DIGIT    64u

static unsigned digit_of(uint8_t letter)
{
    if (letter >= 'A' && letter <= 'Z') {
        return letter - 'A';
    }
    if (letter >= 'a' && letter <= 'z') {
        return letter - 'a' + 26u;
    }
    if (letter >= '0' && letter <= '9') {
        return letter - '0' + 52u;
    }
    if (letter == '+') {
        return 62;
    }
    return letter == '/' ? 63 : NO_DIGIT;
}

/* A group's digits as a number, or UINT32_MAX. The last @padding ones are padding. */
static uint32_t group_bits(const uint8_t *text, size_t padding)
{
    uint32_t bits = 0;

    for (size_t i = 0; i < GROUP_TEXT; i++) {
        const bool pads = i >= GROUP_TEXT - padding;
        const unsigned digit = pads ? 0 : digit_of(text[i]);
        if (digit == NO_DIGIT || (pads && text[i] != '=')) {
            return UINT32_MAX;
        }
        bits = bits << 6 | digit;
    }
    /* What padding leaves over is 0, or the same bytes would have several texts. */
    const uint32_t left_over = (UINT32_C(1) << (8 * padding)) - 1;
    return (bits & left_over) == 0 ? bits : UINT32_MAX;
}

static size_t padding_of(struct protocol_slice text)
{
    if (text.data[text.bytes - 1] != '=') {
        return 0;
    }
    return text.data[text.bytes - 2] != '=' ? 1 : 2;
}

size_t protocol_base64_decode(struct protocol_slice text, uint8_t *out)
{
    assert(text.bytes <= PROTOCOL_KEY_BYTES_MAX);
    if (text.bytes == 0 || text.bytes % GROUP_TEXT != 0) {
        return 0;
    }
    const size_t padding_last = padding_of(text);
    size_t bytes = 0;
    for (size_t at = 0; at < text.bytes; at += GROUP_TEXT) {
        const size_t padding = at + GROUP_TEXT == text.bytes ? padding_last : 0;
        const uint32_t bits = group_bits(text.data + at, padding);
        if (bits == UINT32_MAX) {
            return 0;
        }
        for (size_t i = 0; i < GROUP_BYTES - padding; i++) {
            if (out != NULL) {
                out[bytes] = (uint8_t)(bits >> (16 - 8 * i));
            }
            bytes++;
        }
    }
    return bytes;
}

/* The bytes of a group as the top bits of 24; those it lacks are 0. */
static uint32_t bytes_bits(const uint8_t *bytes, size_t count)
{
    uint32_t bits = 0;

    for (size_t i = 0; i < GROUP_BYTES; i++) {
        bits = bits << 8 | (i < count ? bytes[i] : 0);
    }
    return bits;
}

size_t protocol_base64_encode(const uint8_t *bytes, size_t count, uint8_t *out)
{
    static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    size_t text = 0;

    for (size_t at = 0; at < count; at += GROUP_BYTES) {
        const size_t have = count - at < GROUP_BYTES ? count - at : GROUP_BYTES;
        const uint32_t bits = bytes_bits(bytes + at, have);
        for (size_t i = 0; i < GROUP_TEXT; i++) {
            out[text++] = (uint8_t)(i <= have ? digits[bits >> (18 - 6 * i) & 63] : '=');
        }
    }
    return text;
}
