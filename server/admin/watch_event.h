/*
 * watch_event.h - what happened, as it waits in a ring, and as the line a watcher reads.
 *
 *   struct watch_event, key  -->  "ts=1700000000.000123 gid=7 type=item_get key=a%20b status=found
 *                                  clsid=1 cfd=12 size=3\n"
 *
 * The lines are memcached's, word for word. Two of its slips are not taken over: microseconds have
 * six digits here, so that the time also reads as a fraction, and an item that is gone as soon as
 * it is stored has ttl=-1, not a number near 2^32.
 *
 * Threads: plain data.
 * Source: memcached 1.6.18 as probed, its doc/protocol.txt.
 */
#ifndef SERVER_ADMIN_WATCH_EVENT_H
#define SERVER_ADMIN_WATCH_EVENT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* The words of the command "watch", a bit each. */
enum watch_kind {
    WATCH_RAWCMDS = 1 << 0,
    WATCH_EVICTIONS = 1 << 1,
    WATCH_FETCHERS = 1 << 2,
    WATCH_MUTATIONS = 1 << 3,
    WATCH_SYSEVENTS = 1 << 4,
    WATCH_CONNEVENTS = 1 << 5,
    WATCH_PROXYREQS = 1 << 6,
    WATCH_PROXYEVENTS = 1 << 7,
    WATCH_PROXYUSER = 1 << 8,
    WATCH_DELETIONS = 1 << 9,
};

enum watch_type {
    WATCH_ITEM_GET,
    WATCH_ITEM_STORE,
    WATCH_EVICTION,
    WATCH_DELETED,
    WATCH_CONN_NEW,
    WATCH_CONN_CLOSE,
};

enum watch_found {
    WATCH_NOT_FOUND,
    WATCH_FOUND,
    WATCH_FLUSHED,
    WATCH_EXPIRED,
};

enum watch_stored {
    WATCH_NOT_STORED,
    WATCH_STORED,
    WATCH_STORE_EXISTS,
    WATCH_STORE_NOT_FOUND,
    WATCH_TOO_LARGE,
    WATCH_NO_MEMORY,
};

enum watch_transport {
    WATCH_LOCAL,
    WATCH_TCP,
};

enum watch_reason {
    WATCH_ERROR,
    WATCH_NORMAL,
    WATCH_IDLE_TIMEOUT,
    WATCH_SHUTDOWN,
};

#define WATCH_TTL_NONE       (-1) /* an eviction of an item without an expiry */
#define WATCH_KEY_BYTES_MAX  250u
#define WATCH_CMD_BYTES_MAX  8u
/* "ts= ... size=" without the key: 20 digits at most for each of eight numbers, and the words. */
#define WATCH_LINE_BYTES_MAX (3u * WATCH_KEY_BYTES_MAX + 274u)

/* Members that its type does not show are 0. The key, or the other end's address, lies behind. */
struct watch_event {
    uint64_t gid;
    uint64_t unix_us;
    int64_t ttl_s;
    uint64_t value_bytes;
    int32_t fd;     /* of the connection */
    uint32_t age_s; /* eviction */
    uint16_t port;
    uint8_t type;      /* enum watch_type */
    uint8_t outcome;   /* enum watch_found, watch_stored or watch_reason */
    uint8_t class_id;  /* 0: there is no item */
    uint8_t transport; /* enum watch_transport */
    bool fetched;
    uint8_t key_bytes;
    char cmd[WATCH_CMD_BYTES_MAX]; /* "set", "delete", "md"; a NUL at its end */
};

/** watch_event_kind() - the kind whose watchers are told. */
uint32_t watch_event_kind(enum watch_type type);
/** watch_event_line() - the line, \n and no NUL at its end. Returns its length. */
size_t watch_event_line(const struct watch_event *event, const uint8_t *key,
                        char line[WATCH_LINE_BYTES_MAX]);
/**
 * watch_kinds() - what follows the command word: kinds, parted by blanks; a beginning of one will
 * do, as in memcached. Nothing: fetchers.
 *
 * Returns the bits, 0 where one of the words is none.
 */
uint32_t watch_kinds(const void *words, size_t bytes);

/**
 * watch_encode_key() - a key as in a URI, so that no byte of it ends a line or parts a word; dumps
 * have it so too.
 * @out: 3 * key_bytes + 1 bytes of room; a NUL ends it.
 *
 * Returns its length without the NUL.
 */
size_t watch_encode_key(const uint8_t *key, size_t key_bytes, char *out);

#endif
