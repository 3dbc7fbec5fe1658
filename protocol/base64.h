/*
 * base64.h - keys that are sent as base64.
 *
 * Read strictly (RFC 4648, section 4): its alphabet alone, padded to groups of four, no bits left
 * over. So each key has one spelling, and the text that was sent is the text to answer with; and it
 * is the one that is written.
 *
 * Threads: pure functions.
 */
#ifndef PROTOCOL_BASE64_H
#define PROTOCOL_BASE64_H

#include "protocol/parse.h"

/* What the longest key token decodes to: 62 groups of four, and no part of one. */
#define PROTOCOL_BASE64_KEY_BYTES_MAX (PROTOCOL_KEY_BYTES_MAX / 4u * 3u)

/**
 * protocol_base64_decode() - the bytes that a key's text stands for.
 * @text: at most PROTOCOL_KEY_BYTES_MAX bytes.
 * @out:  PROTOCOL_BASE64_KEY_BYTES_MAX of room; NULL to be told the length alone.
 *
 * Returns how many they are; 0 where the text is empty or not base64.
 */
size_t protocol_base64_decode(struct protocol_slice text, uint8_t *out);

/* What so many bytes take as text. */
#define PROTOCOL_BASE64_TEXT_BYTES(count) (((count) + 2u) / 3u * 4u)

/**
 * protocol_base64_encode() - the text that stands for some bytes.
 * @out: PROTOCOL_BASE64_TEXT_BYTES of room, apart from the bytes.
 *
 * Returns how many bytes of text they are.
 */
size_t protocol_base64_encode(const uint8_t *bytes, size_t count, uint8_t *out);

#endif
