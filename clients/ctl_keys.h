/*
 * ctl_keys.h - which items a server has: "lru_crawler metadump all", read and kept.
 *
 *   server --metadump--> ctl_keys_read() --each item--> a function of the caller's,
 *                                        or ctl_keys_keep() --> file --> ctl_keys_next()
 *
 * memcached's crawler waits for whoever reads a dump slowly. So what asks for values, which takes
 * long, first takes all keys down into a file that has no name and goes with the program.
 *
 * Threads: one.
 */
#ifndef CLIENTS_CTL_KEYS_H
#define CLIENTS_CTL_KEYS_H

#include "clients/ctl.h"

/* An item as a dump tells of it. */
struct ctl_known {
    uint8_t key[CLIENT_KEY_BYTES_MAX];
    size_t key_bytes;
    int64_t expires_at_s; /* unix time; -1: never */
    uint64_t bytes;       /* what the server says it takes; what that counts differs by server */
};

/** ctl_keys_each - takes one item; false: enough. */
typedef bool (*ctl_keys_each)(void *context, const struct ctl_known *known);

/**
 * ctl_keys_read() - tell of every item.
 *
 * Returns CTL_GOOD, CTL_INTERRUPTED (the connection is closed), or what has been said on stderr. It
 * is CTL_GOOD too where @each had enough; then the connection is closed.
 */
enum ctl_exit ctl_keys_read(struct ctl *ctl, struct client *client, ctl_keys_each each,
                            void *context);

struct ctl_keys {
    FILE *file;
    uint64_t count;
    bool failed; /* a write has; errno says why */
};

/** ctl_keys_init() - an empty file. False: errno says why. */
bool ctl_keys_init(struct ctl_keys *keys);
void ctl_keys_fini(struct ctl_keys *keys);
/** ctl_keys_keep() - a ctl_keys_each; @context: the struct ctl_keys. */
bool ctl_keys_keep(void *context, const struct ctl_known *known);
/** ctl_keys_rewind() - before the first ctl_keys_next(). */
void ctl_keys_rewind(struct ctl_keys *keys);
/** ctl_keys_next() - the next key into @known, nothing but that; false behind the last. */
bool ctl_keys_next(struct ctl_keys *keys, struct ctl_known *known);

/** ctl_keys_gather() - read and keep all, with progress. @client: a connection. */
enum ctl_exit ctl_keys_gather(struct ctl *ctl, struct client *client, struct ctl_keys *keys);

#endif
