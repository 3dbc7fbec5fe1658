/*
 * client.h - a client of the memcached text protocol, one connection each.
 *
 *   client_store(), client_get() ...   one request, one reply: what a program calls
 *        |
 *   client_read_reply(), _value() ...  one reply, whoever asked for it: what a pipeline reads with
 *        |
 *   client_queue(), client_flush(), client_receive_line() ...   bytes: what a test speaks with
 *        |
 *   TCP, with or without TLS, or a unix socket
 *
 * Words: a *slice* is an address and a count of bytes; what a call hands out as a slice stands in
 * the client's memory until the next call that reads. A *reply* is all that answers one request.
 *
 * Every call that waits ends within the client's timeout. A call that gives CLIENT_TIMEOUT,
 * CLIENT_CLOSED, CLIENT_SYSTEM, CLIENT_NO_MEMORY or CLIENT_UNEXPECTED where it waited for a reply
 * has lost its place in the stream, so it closes the connection: connect again. The calls that move
 * bytes only (queue, flush, receive) leave it open, to be tried again.
 *
 * Pipelining: queue any number of requests, flush once, then read the replies in their order. What
 * is on the way at once must fit the sockets' buffers, or both sides wait for each other to read.
 *
 * Invariants:
 *   CLIENT-1  no byte of a key can end the command line: keys are checked before any is queued.
 *   CLIENT-2  what the server sends is hostile: no number in it sizes memory beyond
 *             CLIENT_VALUE_BYTES_MAX, no line is longer than CLIENT_LINE_BYTES_MAX.
 *   CLIENT-3  nothing is unread where a request begins; what is gives CLIENT_UNEXPECTED.
 *
 * Threads: one at a time, but without TLS one thread may queue and flush while another receives.
 * Source: memcached's doc/protocol.txt.
 */
#ifndef CLIENTS_CLIENT_H
#define CLIENTS_CLIENT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define CLIENT_KEY_BYTES_MAX    250u
#define CLIENT_VALUE_BYTES_MAX  ((size_t)1 << 30) /* memcached's -I goes up to 1 GiB */
#define CLIENT_LINE_BYTES_MAX   8192u /* of a reply; "VALUE" with all it has takes 309 */
#define CLIENT_BUFFER_BYTES_MAX (CLIENT_VALUE_BYTES_MAX + ((size_t)1 << 20))
#define CLIENT_TEXT_BYTES_MAX   512u /* of client_text(), its 0 with it */
#define CLIENT_LOGIN_BYTES_MAX  1024u
#define CLIENT_FLAGS_BYTES_MAX  512u /* of a meta command's flags */

struct client;

enum client_status {
    CLIENT_OK = 0,
    CLIENT_END,        /* of a list: no further value or figure */
    CLIENT_NOT_FOUND,  /* the server has no such item */
    CLIENT_NOT_STORED, /* the condition of add, replace, append, prepend does not hold */
    CLIENT_EXISTS,     /* cas: somebody stored since */
    CLIENT_REFUSED,    /* ERROR, CLIENT_ERROR, SERVER_ERROR: client_text() is the line */
    CLIENT_BAD_KEY, /* empty, over 250 bytes, or with a blank or control byte; nothing was sent */
    CLIENT_UNEXPECTED, /* no reply the protocol has for this request; client_text() is the line */
    CLIENT_UNREACHABLE,
    CLIENT_TLS_FAILED, /* files, handshake, or a certificate not trusted: client_text() says */
    CLIENT_TIMEOUT,
    CLIENT_CLOSED,    /* the server closed, or there was no connection */
    CLIENT_NO_MEMORY, /* or over one of the limits above */
    CLIENT_SYSTEM,    /* errno tells which call of the system's failed */
};

/** client_status_text() - a few words for a person; static. */
const char *client_status_text(enum client_status status);

/** client_new() - a client without a connection; NULL where there is no memory. */
struct client *client_new(void);
void client_free(struct client *client);

/* How connections over TCP are to be made secret. Text is borrowed for the call alone. */
struct client_tls_how {
    const char *ca_file; /* PEM, of the authorities that are trusted; NULL: the system's */
    const char *name;    /* what the certificate must be for; NULL: the host connected to */
    const char *certificate_file; /* PEM chain to show; NULL: none */
    const char *key_file;         /* its key; NULL: in certificate_file */
    bool trust_anybody;           /* do not verify: whoever is on the way can read and answer */
};

/**
 * client_use_tls() - every later connection over TCP is one of TLS, 1.2 at least; unix sockets are
 * not. Closes what was open.
 *
 * Errors: CLIENT_TLS_FAILED, a file that cannot be used; later connections are plain then.
 */
enum client_status client_use_tls(struct client *client, const struct client_tls_how *how)
    __attribute__((warn_unused_result));

/**
 * client_connect_tcp() - connect, closing what was open before.
 * @host:       name or address; a name is looked up by the C library, outside of the timeout.
 * @timeout_ms: of this call and of every later one; more than 0.
 *
 * Errors: CLIENT_UNREACHABLE, CLIENT_TIMEOUT, CLIENT_SYSTEM; with TLS also CLIENT_TLS_FAILED,
 * CLIENT_CLOSED, CLIENT_NO_MEMORY; not connected then.
 */
enum client_status client_connect_tcp(struct client *client, const char *host, uint16_t port,
                                      int timeout_ms) __attribute__((warn_unused_result));
/** client_connect_unix() - the same over a unix socket; a path over 107 bytes is unreachable. */
enum client_status client_connect_unix(struct client *client, const char *path, int timeout_ms)
    __attribute__((warn_unused_result));
void client_set_timeout(struct client *client, int timeout_ms);
void client_close(struct client *client);
bool client_connected(const struct client *client);
/** client_descriptor() - to poll or to set socket options on; -1 without a connection. */
int client_descriptor(const struct client *client);
/** client_text() - the last line that was CLIENT_REFUSED or CLIENT_UNEXPECTED, or why TLS failed;
 * else "". */
const char *client_text(const struct client *client);

/*
 * One request, one reply. Besides the errors named, each can give CLIENT_REFUSED, CLIENT_TIMEOUT,
 * CLIENT_UNEXPECTED, CLIENT_CLOSED, CLIENT_NO_MEMORY and CLIENT_SYSTEM, and with a key
 * CLIENT_BAD_KEY.
 */

/**
 * client_login() - user and password, for a server that asks for them (memcached's -Y).
 *
 * Errors: CLIENT_REFUSED; over CLIENT_LOGIN_BYTES_MAX together: CLIENT_NO_MEMORY, nothing was sent.
 */
enum client_status client_login(struct client *client, const char *user, const char *password)
    __attribute__((warn_unused_result));

enum client_mode {
    CLIENT_SET,
    CLIENT_ADD,
    CLIENT_REPLACE,
    CLIENT_APPEND,
    CLIENT_PREPEND,
    CLIENT_CAS,
};

struct client_item {
    const void *key;
    size_t key_bytes;
    const void *value;
    size_t value_bytes;
    uint32_t flags;    /* append, prepend: the server keeps the old ones */
    int64_t exptime_s; /* 0 never; up to 30 days from now; above: unix time; negative: at once */
    uint64_t cas;      /* CLIENT_CAS: what client_gets() gave */
};

/**
 * client_store() - set, add, replace, append, prepend or cas.
 *
 * Errors: CLIENT_NOT_STORED; CLIENT_EXISTS, CLIENT_NOT_FOUND (cas).
 */
enum client_status client_store(struct client *client, enum client_mode mode,
                                const struct client_item *item) __attribute__((warn_unused_result));

struct client_slice {
    const uint8_t *data;
    size_t bytes;
};

struct client_value {
    struct client_slice key;
    struct client_slice data;
    uint32_t flags;
    uint64_t cas; /* 0 where the server did not say */
};

/** client_get() - one item. Errors: CLIENT_NOT_FOUND. */
enum client_status client_get(struct client *client, const void *key, size_t key_bytes,
                              struct client_value *value) __attribute__((warn_unused_result));
/** client_gets() - one item with its cas. Errors: CLIENT_NOT_FOUND. */
enum client_status client_gets(struct client *client, const void *key, size_t key_bytes,
                               struct client_value *value) __attribute__((warn_unused_result));
/** client_gat() - get and set a new expiry. Errors: CLIENT_NOT_FOUND. */
enum client_status client_gat(struct client *client, const void *key, size_t key_bytes,
                              int64_t exptime_s, struct client_value *value)
    __attribute__((warn_unused_result));

/**
 * client_get_many() - ask for several items; take them with client_read_value() until CLIENT_END.
 * @with_cas: gets instead of get.
 */
enum client_status client_get_many(struct client *client, bool with_cas,
                                   const struct client_slice *keys, size_t keys_count)
    __attribute__((warn_unused_result));

/** client_delete() - Errors: CLIENT_NOT_FOUND. */
enum client_status client_delete(struct client *client, const void *key, size_t key_bytes)
    __attribute__((warn_unused_result));
/** client_touch() - a new expiry. Errors: CLIENT_NOT_FOUND. */
enum client_status client_touch(struct client *client, const void *key, size_t key_bytes,
                                int64_t exptime_s) __attribute__((warn_unused_result));
/** client_incr() - @value: the sum, modulo 2^64. Errors: CLIENT_NOT_FOUND; no number: _REFUSED. */
enum client_status client_incr(struct client *client, const void *key, size_t key_bytes,
                               uint64_t delta, uint64_t *value) __attribute__((warn_unused_result));
/** client_decr() - @value: the difference, not below 0. Errors: as client_incr(). */
enum client_status client_decr(struct client *client, const void *key, size_t key_bytes,
                               uint64_t delta, uint64_t *value) __attribute__((warn_unused_result));
/** client_flush_all() - all items are gone, @delay_s from now. */
enum client_status client_flush_all(struct client *client, uint32_t delay_s)
    __attribute__((warn_unused_result));
/** client_version() - @version: the slice behind "VERSION ". */
enum client_status client_version(struct client *client, struct client_slice *version)
    __attribute__((warn_unused_result));

/**
 * client_stats() - ask for figures; take them with client_read_stat() until CLIENT_END.
 * @section: "" for the general ones, or "settings", "items", "reset" and what else the server has;
 *           over 100 bytes or with a line end in it: CLIENT_BAD_KEY.
 */
enum client_status client_stats(struct client *client, const char *section)
    __attribute__((warn_unused_result));

/*
 * Parts of a pipeline: requests that are queued, to be sent by client_flush(), and one reply each.
 * The connection is closed on every error that loses the place in the stream (above).
 */

/** client_queue_store() - as client_store(), but for the reply: client_read_reply(). */
enum client_status client_queue_store(struct client *client, enum client_mode mode,
                                      const struct client_item *item)
    __attribute__((warn_unused_result));

/**
 * client_queue_meta() - a meta command; its reply: client_read_meta().
 * @word:  "mg", "ms", "md" or "ma".
 * @value: what ms stores; otherwise NULL.
 * @flags: as the protocol writes them, with blanks between: "v t f". Not b and not q.
 *
 * A key that no command line can carry, for its blanks or control bytes, is sent as base64.
 * Errors: CLIENT_BAD_KEY (empty, or over 250 bytes as it is sent), CLIENT_NO_MEMORY.
 */
enum client_status client_queue_meta(struct client *client, const char *word, const void *key,
                                     size_t key_bytes, const struct client_slice *value,
                                     const char *flags) __attribute__((warn_unused_result));

struct client_meta {
    struct client_slice data;           /* of VA; else empty */
    char flags[CLIENT_FLAGS_BYTES_MAX]; /* with blanks between, as they came */
};

/** client_read_meta() - HD, VA: CLIENT_OK; EN, NF: CLIENT_NOT_FOUND; NS: CLIENT_NOT_STORED; EX:
 * CLIENT_EXISTS. A server before 1.6, which has no meta commands: CLIENT_REFUSED. */
enum client_status client_read_meta(struct client *client, struct client_meta *reply)
    __attribute__((warn_unused_result));
/** client_meta_number() - what stands behind a flag's letter; false where there is no number. */
bool client_meta_number(const struct client_meta *reply, char letter, int64_t *number);

/** client_read_reply() - STORED, OK, DELETED, TOUCHED, RESET are CLIENT_OK; the rest by name. */
enum client_status client_read_reply(struct client *client) __attribute__((warn_unused_result));
/** client_read_number() - the reply to incr, decr. */
enum client_status client_read_number(struct client *client, uint64_t *number)
    __attribute__((warn_unused_result));
/** client_read_value() - the next value of get, gets, gat, gats; CLIENT_END after the last. */
enum client_status client_read_value(struct client *client, struct client_value *value)
    __attribute__((warn_unused_result));

struct client_stat {
    struct client_slice name;
    struct client_slice value; /* all that follows the name, blanks in it included */
};

/** client_read_stat() - the next figure that stats gave; CLIENT_END after the last, or on RESET. */
enum client_status client_read_stat(struct client *client, struct client_stat *stat)
    __attribute__((warn_unused_result));

/*
 * Bytes. None of these closes the connection; after an error the same call can be made again.
 */

/** client_queue() - copy bytes behind what is queued; nothing is sent. Errors: CLIENT_NO_MEMORY. */
enum client_status client_queue(struct client *client, const void *data, size_t bytes)
    __attribute__((warn_unused_result));
/** client_flush() - send what is queued. After CLIENT_TIMEOUT the rest is still queued. */
enum client_status client_flush(struct client *client) __attribute__((warn_unused_result));
/** client_shutdown_send() - the server sees the end of the stream; replies can still be read. */
enum client_status client_shutdown_send(struct client *client) __attribute__((warn_unused_result));

/** client_receive_line() - one line; the slice is without its \r\n or \n. Longer than
 * CLIENT_LINE_BYTES_MAX: CLIENT_UNEXPECTED. */
enum client_status client_receive_line(struct client *client, struct client_slice *line)
    __attribute__((warn_unused_result));
/** client_receive_bytes() - exactly @bytes of them, at most CLIENT_VALUE_BYTES_MAX. */
enum client_status client_receive_bytes(struct client *client, size_t bytes,
                                        struct client_slice *slice)
    __attribute__((warn_unused_result));
/** client_receive_some() - all that has come, at least one byte; unread until client_consume(). */
enum client_status client_receive_some(struct client *client, struct client_slice *slice)
    __attribute__((warn_unused_result));
/** client_consume() - @bytes of what client_receive_some() gave are read. */
void client_consume(struct client *client, size_t bytes);

#endif
