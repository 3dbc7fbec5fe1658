/*
 * classic.h - the classic text commands, one line at a time: get, set, delete, incr, stats, ...
 *
 * One row of a table per verb: its word, how its line is cut into tokens, and the function that
 * reads the tokens.
 *
 * Threads: a pure function of its inputs.
 * Source: memcached doc/protocol.txt, and the behaviour probed on memcached 1.6.45 and 1.6.18.
 */
#ifndef PROTOCOL_CLASSIC_H
#define PROTOCOL_CLASSIC_H

#include "protocol/line.h"
#include "protocol/parse.h"

/* The largest data block a line can announce: 2^31 - 1 with its \r\n. */
#define PROTOCOL_VALUE_BYTES_MAX 2147483645u

#define PROTOCOL_BAD_LINE        "CLIENT_ERROR bad command line format"

/**
 * protocol_classic_line() - read one command line.
 * @line:   without its \n or \r\n.
 * @parsed: request is set whole; error where the line is refused, and swallow where its data block
 *          is to be dropped. The rest is left as it was.
 */
enum protocol_line protocol_classic_line(struct protocol_slice line, struct protocol_parsed *parsed)
    __attribute__((warn_unused_result));

#endif
