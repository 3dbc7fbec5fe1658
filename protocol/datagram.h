/*
 * datagram.h - the frame around commands and replies that come by UDP.
 *
 *   0            2            4            6          8
 *   +------------+------------+------------+----------+--------- ... ---+
 *   | request id | sequence   | datagrams  | reserved | commands, reply |
 *   +------------+------------+------------+----------+--------- ... ---+
 *
 * Numbers are 16 bits, the high byte first. A request is one datagram; a reply bears its id and is
 * cut into as many as it needs, numbered from 0 on.
 *
 * Invariants:
 *   DATAGRAM-1  all datagrams of a reply together have at most PROTOCOL_DATAGRAM_FACTOR times the
 *               bytes of the request's, whoever it says it is from.
 *
 * Threads: none; pure functions of their inputs.
 * Source: memcached doc/protocol.txt, "UDP protocol"; the factor: README.md.
 */
#ifndef PROTOCOL_DATAGRAM_H
#define PROTOCOL_DATAGRAM_H

#include "protocol/request.h"

#define PROTOCOL_DATAGRAM_HEADER_BYTES 8u
#define PROTOCOL_DATAGRAM_DATA_BYTES   1392u /* in one datagram of a reply, as memcached */
#define PROTOCOL_DATAGRAM_FACTOR       3u    /* RFC 9000, 8.1 */

/**
 * protocol_datagram_open() - take the frame off.
 * @id:   set on true.
 * @data: set on true; at least one byte.
 *
 * Returns false for what is to be dropped without an answer: too short, or one of several.
 */
bool protocol_datagram_open(uint8_t *bytes, size_t count, uint16_t *id, struct protocol_slice *data)
    __attribute__((warn_unused_result));

/** protocol_datagram_room() - bytes of reply that a request's datagram of @count bytes allows. */
size_t protocol_datagram_room(size_t count);
/** protocol_datagram_count() - datagrams that a reply is cut into; 0 for an empty one. */
size_t protocol_datagram_count(size_t reply_bytes);

/** protocol_datagram_header() - the frame of one of a reply's datagrams. */
void protocol_datagram_header(uint8_t out[PROTOCOL_DATAGRAM_HEADER_BYTES], uint16_t id,
                              size_t sequence, size_t datagrams);

#endif
