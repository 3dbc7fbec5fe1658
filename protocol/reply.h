/*
 * reply.h - replies of the memcached text protocol, written into the caller's memory.
 *
 * Threads: plain data.
 */
#ifndef PROTOCOL_REPLY_H
#define PROTOCOL_REPLY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* "VALUE " key " " flags " " bytes " " cas "\r\n": no value header is longer. */
#define PROTOCOL_VALUE_HEADER_BYTES_MAX (6u + 250u + 1u + 10u + 1u + 20u + 1u + 20u + 2u)
/* No reply other than a value or a stats section is longer. */
#define PROTOCOL_REPLY_BYTES_MAX        512u

/* A stretch of memory that replies are appended to: data[0..used), room up to capacity. */
struct protocol_reply {
    uint8_t *data;
    size_t used;
    size_t capacity;
};

size_t protocol_reply_room(const struct protocol_reply *reply);

/** protocol_reply_line() - @line and \r\n. False, and nothing written, where there is no room. */
bool protocol_reply_line(struct protocol_reply *reply, const char *line);
/** protocol_reply_number() - an unsigned decimal and \r\n. */
bool protocol_reply_number(struct protocol_reply *reply, uint64_t number);
/** protocol_reply_stat() - "STAT name value\r\n". */
bool protocol_reply_stat(struct protocol_reply *reply, const char *name, const char *value);

/**
 * protocol_value_header() - "VALUE <key> <flags> <bytes>[ <cas>]\r\n" at @out.
 * @out: PROTOCOL_VALUE_HEADER_BYTES_MAX bytes of room.
 * @cas: NULL for get, gat.
 *
 * Returns its length; always more than key_bytes, so a value decompressed as key and value in one
 * piece can be put so that the value stands right behind the header.
 */
size_t protocol_value_header(uint8_t *out, const void *key, size_t key_bytes, uint32_t flags,
                             size_t value_bytes, const uint64_t *cas);
/** protocol_value_header_bytes() - the length protocol_value_header() would give. */
size_t protocol_value_header_bytes(size_t key_bytes, uint32_t flags, size_t value_bytes,
                                   const uint64_t *cas);

#endif
