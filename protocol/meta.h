/*
 * meta.h - the meta commands, one line at a time: mg, ms, md, ma, me, mn.
 *
 *   "ms user:17 5 T300 c Oabc\r\nhello\r\n"
 *    ^^ ^^^^^^^ ^ ^^^^ ^ ^^^^    ^^^^^
 *   verb  key   | flags: a letter, perhaps a token   value
 *          value.bytes
 *
 * Every command takes the whole alphabet of flags; those that mean nothing to it change nothing.
 * One row of a table per flag: its letter, and what its token has to be.
 *
 * Threads: pure functions of their inputs.
 * Source: memcached doc/protocol.txt, and the behaviour probed on memcached 1.6.45 and 1.6.18.
 */
#ifndef PROTOCOL_META_H
#define PROTOCOL_META_H

#include "protocol/line.h"
#include "protocol/parse.h"

/** protocol_meta_line() - as protocol_classic_line(); request->meta is set too. */
enum protocol_line protocol_meta_line(struct protocol_slice line, struct protocol_parsed *parsed)
    __attribute__((warn_unused_result));

#endif
