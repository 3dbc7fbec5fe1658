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

/**
 * protocol_classic_line() - read one command line.
 * @line:   without its \n or \r\n.
 * @parsed: request is set whole; error where the line is refused, and swallow where its data block
 *          is to be dropped. The rest is left as it was.
 */
enum protocol_line protocol_classic_line(struct protocol_slice line, struct protocol_parsed *parsed)
    __attribute__((warn_unused_result));

#endif
