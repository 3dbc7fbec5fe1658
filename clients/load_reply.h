/*
 * load_reply.h - one reply at a time out of bytes that have come so far.
 *
 *   "VALUE key 0 5\r\nhello\r\nEND\r\nSTO"   --> value; end; more
 *
 * Nothing is kept between calls: what is not whole yet is looked at again when more has come, and
 * the caller is told how much more it takes, so that a large value is looked at twice and not each
 * time a piece of it arrives. Slices point into the caller's bytes.
 *
 * The bytes are hostile: a line has at most LOAD_REPLY_LINE_BYTES_MAX, a value at most what the
 * caller allows, and what is no reply of the text protocol is said to be none.
 *
 * Source: memcached's doc/protocol.txt.
 */
#ifndef CLIENTS_LOAD_REPLY_H
#define CLIENTS_LOAD_REPLY_H

#include <stddef.h>
#include <stdint.h>

#define LOAD_REPLY_LINE_BYTES_MAX 2048u

enum load_reply_status {
    LOAD_REPLY_OK = 0,
    LOAD_REPLY_MORE, /* not whole yet */
    LOAD_REPLY_BAD,
};

enum load_reply_kind {
    LOAD_REPLY_VALUE,
    LOAD_REPLY_END,
    LOAD_REPLY_STORED,
    LOAD_REPLY_NOT_STORED,
    LOAD_REPLY_DELETED,
    LOAD_REPLY_NOT_FOUND,
    LOAD_REPLY_REFUSED, /* ERROR, CLIENT_ERROR ..., SERVER_ERROR ... */
};

struct load_slice {
    const uint8_t *data;
    size_t bytes;
};

struct load_reply {
    enum load_reply_kind kind;
    struct load_slice line; /* without its end */
    struct load_slice key;  /* of a value, as the three below it */
    struct load_slice value;
    uint32_t flags;
};

/**
 * load_reply_parse() - the reply that @data begins with.
 * @value_bytes_max: a longer value is LOAD_REPLY_BAD.
 * @bytes_used:      LOAD_REPLY_OK: bytes of the reply. LOAD_REPLY_MORE: bytes it takes at least.
 */
enum load_reply_status load_reply_parse(const uint8_t *data, size_t bytes, size_t value_bytes_max,
                                        struct load_reply *reply, size_t *bytes_used)
    __attribute__((warn_unused_result));

#endif
