/*
 * meta_reply.h - the line that answers a meta command, put together flag by flag.
 *
 *   "VA 5 t300 kuser:17 Oabc W\r\n"
 *
 * Threads: plain data.
 */
#ifndef PROTOCOL_META_REPLY_H
#define PROTOCOL_META_REPLY_H

#include "protocol/reply.h"
#include "protocol/request.h"

struct protocol_meta_reply {
    size_t used;
    uint8_t text[PROTOCOL_REPLY_BYTES_MAX]; /* more than all flags once, and a number behind them */
};

/** protocol_meta_begin() - @code is HD, EN, NS, EX, NF, ME. */
void protocol_meta_begin(struct protocol_meta_reply *line, const char *code);
/** protocol_meta_begin_value() - "VA <bytes>". */
void protocol_meta_begin_value(struct protocol_meta_reply *line, size_t value_bytes);
/** protocol_meta_put() - a blank and a text as it is. */
void protocol_meta_put(struct protocol_meta_reply *line, struct protocol_slice text);
/** protocol_meta_put_word() - a blank and a word. */
void protocol_meta_put_word(struct protocol_meta_reply *line, const char *word);
/** protocol_meta_put_number() - a blank, @name and a number: "t300", "cas=5". */
void protocol_meta_put_number(struct protocol_meta_reply *line, const char *name, uint64_t number);
/** protocol_meta_put_key() - "k<key>", and "b" where it is base64. */
void protocol_meta_put_key(struct protocol_meta_reply *line, struct protocol_slice key,
                           bool base64);
/** protocol_meta_end() - \r\n. */
void protocol_meta_end(struct protocol_meta_reply *line);
/** protocol_meta_end_number() - \r\n, a number as the value, \r\n. */
void protocol_meta_end_number(struct protocol_meta_reply *line, uint64_t number);

/** protocol_meta_digits() - how many digits a number has. */
size_t protocol_meta_digits(uint64_t number);

#endif
