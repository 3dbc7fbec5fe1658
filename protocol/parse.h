/*
 * parse.h - the door: bytes in, one request out.
 *
 *   bytes of a connection -->  protocol_parse()  --> MORE    wait for more bytes
 *                                                --> REQUEST execute, then drop `used` bytes
 *                                                --> ERROR   answer `error`, then drop `used` bytes
 *                                                --> CLOSE   close without an answer
 *
 * Invariants:
 *   PARSE-1  used <= the bytes given; used > 0 for REQUEST and ERROR.
 *   PARSE-2  a request cut at any byte into two calls gives the same answer as in one.
 *   PARSE-3  nothing is allocated; no byte before the request's end or after the end of the
 *            bytes given is touched.
 *
 * Threads: none; a pure function of its inputs.
 */
#ifndef PROTOCOL_PARSE_H
#define PROTOCOL_PARSE_H

#include "protocol/request.h"

#define PROTOCOL_KEY_BYTES_MAX      250u
#define PROTOCOL_LINE_BYTES_MAX     2048u /* of a command line other than get, gets */
#define PROTOCOL_GET_LINE_BYTES_MAX (4u << 20)
#define PROTOCOL_TOKENS_MAX         24u

enum protocol_result {
    PROTOCOL_MORE,
    PROTOCOL_REQUEST,
    PROTOCOL_ERROR,
    PROTOCOL_CLOSE,
};

struct protocol_parsed {
    struct protocol_request request; /* REQUEST */
    const char *error;               /* ERROR: the line to answer without \r\n, static; NULL where
                                        noreply suppresses it */
    size_t used;                     /* REQUEST, ERROR: bytes of input this took */
    size_t swallow;                  /* REQUEST, ERROR: bytes to drop after `used` that may not have
                                        come yet (the data block of a refused command) */
    size_t wanted;                   /* MORE: bytes the whole request has, where known; else 0 */
};

/**
 * protocol_parse() - look for one request at the start of @bytes.
 * @bytes, @count:   what has come, at least one byte. Not changed.
 * @value_bytes_max: larger values are refused as too_large before their bytes are waited for.
 * @parsed:          the fields that belong to the answer are set.
 */
enum protocol_result protocol_parse(uint8_t *bytes, size_t count, size_t value_bytes_max,
                                    struct protocol_parsed *parsed)
    __attribute__((warn_unused_result));

#endif
