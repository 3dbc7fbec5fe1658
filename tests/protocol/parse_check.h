/*
 * parse_check.h - the promises of protocol/parse.h as checks, for unit tests and fuzzers.
 *
 * Every call of protocol_parse() made here is given a heap block of exactly the bytes it may touch,
 * so AddressSanitizer sees a byte too far.
 *
 * Threads: none.
 */
#ifndef TESTS_PROTOCOL_PARSE_CHECK_H
#define TESTS_PROTOCOL_PARSE_CHECK_H

#include <stddef.h>
#include <stdint.h>

#define PARSE_CHECK_TEXT_BYTES 8192u

/**
 * parse_check_text() - parse the first request of @bytes and write down all that came out.
 * @text: PARSE_CHECK_TEXT_BYTES of room, ends in NUL. "REQUEST 20 set key=k flags=1 value=hello":
 *        result, bytes used, "+" and the bytes to swallow, then what is not zero or empty.
 */
void parse_check_text(const uint8_t *bytes, size_t count, size_t value_bytes_max, char *text);

/**
 * parse_check_cuts() - PARSE-1, PARSE-2 and PARSE-3 of the first request of @bytes, or abort.
 * @cuts_max: at most this many places to cut at, spread over the request.
 */
void parse_check_cuts(const uint8_t *bytes, size_t count, size_t value_bytes_max, size_t cuts_max);

/** parse_check_stream() - parse_check_cuts() of request after request until none is left. */
void parse_check_stream(const uint8_t *bytes, size_t count, size_t value_bytes_max,
                        size_t cuts_max);

#endif
