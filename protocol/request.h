/*
 * request.h - one request of the memcached text protocol, as slices of the bytes it came in.
 *
 *   "set user:17 0 300 5 noreply\r\nhello\r\n"
 *    ^^^ ^^^^^^^ ^ ^^^ ^ ^^^^^^^     ^^^^^
 *    verb  key   | exptime  noreply   value
 *              flags   value.bytes
 *
 * Words are memcached's. Nothing is copied: every slice borrows the buffer that was parsed and is
 * good as long as its bytes stay there.
 *
 * Threads: plain data.
 * Source: memcached doc/protocol.txt, and the behaviour probed on memcached 1.6.45 and 1.6.18.
 */
#ifndef PROTOCOL_REQUEST_H
#define PROTOCOL_REQUEST_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum protocol_verb {
    PROTOCOL_GET,
    PROTOCOL_GETS,
    PROTOCOL_GAT,
    PROTOCOL_GATS,
    PROTOCOL_SET,
    PROTOCOL_ADD,
    PROTOCOL_REPLACE,
    PROTOCOL_APPEND,
    PROTOCOL_PREPEND,
    PROTOCOL_CAS,
    PROTOCOL_DELETE,
    PROTOCOL_INCR,
    PROTOCOL_DECR,
    PROTOCOL_TOUCH,
    PROTOCOL_FLUSH_ALL,
    PROTOCOL_STATS,
    PROTOCOL_VERSION,
    PROTOCOL_VERBOSITY,
    PROTOCOL_QUIT,
    PROTOCOL_SHUTDOWN,
    PROTOCOL_CACHE_MEMLIMIT,
    PROTOCOL_WATCH,
    PROTOCOL_LRU_CRAWLER,
    PROTOCOL_LRU,
    PROTOCOL_SLABS,
    PROTOCOL_DEBUGTIME,
    PROTOCOL_REFRESH_CERTS,
    PROTOCOL_CLASSIC_VERBS_COUNT,
    PROTOCOL_MG = PROTOCOL_CLASSIC_VERBS_COUNT,
    PROTOCOL_MS,
    PROTOCOL_MD,
    PROTOCOL_MA,
    PROTOCOL_ME,
    PROTOCOL_MN,
    PROTOCOL_VERBS_COUNT
};

struct protocol_slice {
    uint8_t *data;
    size_t bytes;
};

/* Of 20 tokens of a meta command's line two at least are its word and key. */
#define PROTOCOL_META_FLAGS_MAX   18u
/* An opaque token, its O included. */
#define PROTOCOL_OPAQUE_BYTES_MAX 32u

/* The flags of a meta command. Those with a number have it here, or in a member of the request that
 * a classic command uses for the same: F flags, T exptime, C cas_unique, D delta. */
struct protocol_meta {
    uint64_t present;   /* by protocol_meta_bit(): which letters were sent */
    uint64_t cas_new;   /* E */
    uint64_t initial;   /* J */
    int32_t vivify_s;   /* N, as sent */
    int32_t recache_s;  /* R, as sent */
    uint16_t opaque_at; /* O: where the token begins, from the key's first byte on */
    uint8_t opaque_bytes;
    uint8_t mode; /* M: its first byte, 0 for none */
    uint8_t letters_count;
    uint8_t letters[PROTOCOL_META_FLAGS_MAX]; /* as sent: answers keep the order */
};

struct protocol_request {
    enum protocol_verb verb;
    bool noreply;
    /* Storage only: the value is over the limit. value is empty, its bytes are swallowed by the
     * parser's caller (struct protocol_parsed), and the verb decides what becomes of the old. */
    bool too_large;
    struct protocol_slice key;   /* of commands with one key */
    struct protocol_slice keys;  /* get, gets, gat, gats: the keys as sent, each already checked;
                                    walk them with protocol_next_key() */
    struct protocol_slice value; /* storage: the data block without its \r\n; writable, and at least
                                    key.bytes writable bytes stand before it (the command line) */
    struct protocol_slice argument; /* stats, shutdown, watch, lru_crawler, lru, slabs, debugtime:
                                       what follows the command word, blanks cut */
    uint32_t flags;
    int64_t exptime;     /* as sent: seconds, unix time or negative; flush_all: the delay */
    uint64_t cas_unique; /* cas */
    uint32_t kinds;      /* watch: what is to be watched, set by the server */
    uint64_t delta;      /* incr, decr; verbosity: the level; cache_memlimit: megabytes */
    /* Meta commands only, for others it is not set. With the flag b the key is base64 that decodes
     * to 1 byte at least. */
    struct protocol_meta meta;
};

/** protocol_slice_is() - whether it is this word, all of it. */
bool protocol_slice_is(struct protocol_slice slice, const char *word);
/** protocol_slice_begins() - whether it is how this word begins, by one byte at least. */
bool protocol_slice_begins(struct protocol_slice slice, const char *word);

/** protocol_meta_bit() - of a letter, A to Z or a to z, in struct protocol_meta's present. */
static inline uint64_t protocol_meta_bit(uint8_t letter)
{
    return UINT64_C(1) << (letter & 0x3f);
}

/** protocol_meta_has() - whether the flag was sent. */
static inline bool protocol_meta_has(const struct protocol_meta *meta, char letter)
{
    return (meta->present & protocol_meta_bit((uint8_t)letter)) != 0;
}

/**
 * protocol_next_key() - the next key of a multi-key request.
 * @keys: what is left of request->keys; moved past the key.
 *
 * Returns false when none is left.
 */
bool protocol_next_key(struct protocol_slice *keys, struct protocol_slice *key);

#endif
