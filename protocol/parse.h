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
 *   PARSE-3  nothing is allocated; no byte is changed, and none outside the bytes given is read.
 *
 * A call reads from the first byte again: what came before is looked through for the line's end, no
 * more. MORE with wanted 0 says that there is none among the bytes given. A caller with a long get
 * line coming in small pieces may therefore keep quiet until one with a '\n' has come, or until
 * more than PROTOCOL_GET_LINE_BYTES_MAX bytes lie there.
 *
 * Threads: none; a pure function of its inputs.
 * Source: memcached doc/protocol.txt, and the behaviour probed on memcached 1.6.45 and 1.6.18; the
 * rules by number, and where they part from either, are in README.md.
 */
#ifndef PROTOCOL_PARSE_H
#define PROTOCOL_PARSE_H

#include "protocol/request.h"

#define PROTOCOL_KEY_BYTES_MAX      250u
#define PROTOCOL_LINE_BYTES_MAX     2048u /* before the \n of a line other than get, gets */
#define PROTOCOL_GET_LINE_BYTES_MAX (4u << 20)
#define PROTOCOL_TOKENS_MAX         24u /* of a line, its word included; more are not seen */

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
    bool bad_data;                   /* ERROR: of a storage command whose data block was wrong */
    size_t used;                     /* REQUEST, ERROR: bytes of input this took */
    size_t swallow;                  /* REQUEST, ERROR: bytes to drop after `used` that may not have
                                        come yet (the data block of a refused command) */
    size_t wanted;                   /* MORE: bytes the whole request has, always more than were
                                        given; 0 while the end of its line has not come */
};

/**
 * protocol_parse() - look for one request at the start of @bytes.
 * @bytes, @count:   what has come, at least one byte. Not changed, but slices of it are handed
 *                   out that the caller may write to.
 * @value_bytes_max: larger values are refused as too_large before their bytes are waited for.
 * @parsed:          the fields that belong to the answer are set.
 */
enum protocol_result protocol_parse(uint8_t *bytes, size_t count, size_t value_bytes_max,
                                    struct protocol_parsed *parsed)
    __attribute__((warn_unused_result));

#endif
