/*
 * token.h - the words of a command line: split on spaces, compared, read as numbers.
 *
 *   "incr  user:17 5 noreply"
 *    ^^^^  ^^^^^^^ ^ ^^^^^^^     four tokens; a run of spaces counts as one space
 *
 * A token is a run of bytes other than the space. Tab, NUL and high bytes are bytes like any other.
 * Nothing is copied and nothing outside the slice given is read.
 *
 * Numbers are decimal and whole: every byte of the token belongs to the number, or it is none. One
 * beyond its range is refused and never wrapped.
 *
 * Threads: pure functions of their inputs.
 */
#ifndef PROTOCOL_TOKEN_H
#define PROTOCOL_TOKEN_H

#include "protocol/request.h"

/**
 * protocol_token_next() - the first token of a line.
 * @line:  what is left of the line; moved past the token, or to its end where there is none.
 * @token: set on true.
 */
bool protocol_token_next(struct protocol_slice *line, struct protocol_slice *token);

/**
 * protocol_token_split() - the first tokens of a line.
 * @tokens_max: room in @tokens; tokens beyond it are left out.
 *
 * Returns how many were set.
 */
size_t protocol_token_split(struct protocol_slice line, struct protocol_slice *tokens,
                            size_t tokens_max);

/** protocol_token_last() - the last token of a line; empty where the line has none. */
struct protocol_slice protocol_token_last(struct protocol_slice line);

/** protocol_token_trim() - a line without the spaces before its first and after its last token. */
struct protocol_slice protocol_token_trim(struct protocol_slice line);

/** protocol_token_natural() - digits alone, 0 to @max. @number is set on true. */
bool protocol_token_natural(struct protocol_slice token, uint64_t max, uint64_t *number);

/** protocol_token_unsigned() - as protocol_token_natural(), with one "+" allowed in front. */
bool protocol_token_unsigned(struct protocol_slice token, uint64_t max, uint64_t *number);

/** protocol_token_int32() - digits, one "-" allowed in front, -2^31 to 2^31 - 1. */
bool protocol_token_int32(struct protocol_slice token, int64_t *number);

/** protocol_token_signed() - as protocol_token_int32(), with one "+" or "-" allowed in front. */
bool protocol_token_signed(struct protocol_slice token, int64_t *number);

#endif
