/*
 * ctl_items.h - whole items, from a server and to a server, many at a time.
 *
 *   keys --ctl_items_read()--> "mg key v t f u" --> struct ctl_item --ctl_items_store()--> "ms"
 *
 * The meta commands (memcached 1.6 and later) give value, flags and time to live in one answer, and
 * with u leave no trace in the server's order of use. An item that is stale (marked so by md with
 * I) is left out, as a copy would be fresh.
 *
 * Threads: one.
 */
#ifndef CLIENTS_CTL_ITEMS_H
#define CLIENTS_CTL_ITEMS_H

#include "clients/ctl.h"
#include "clients/ctl_keys.h"

#define CTL_BATCH_KEYS  64u               /* asked for together */
#define CTL_BATCH_BYTES ((size_t)1 << 20) /* of values stored together, or one larger */

struct ctl_item {
    struct client_slice key;
    struct client_slice value;
    uint32_t flags;
    int64_t ttl_s; /* -1: for ever; 0: it ends now */
};

/** ctl_items_each - takes one item, whose bytes are good until it returns. CTL_GOOD, or what it has
 * said on stderr. */
typedef enum ctl_exit (*ctl_items_each)(void *context, const struct ctl_item *item);

/**
 * ctl_items_read() - values, flags and times to live of some keys.
 * @count: at most CTL_BATCH_KEYS.
 * @gone:  increased by those that are not there any more, or stale.
 *
 * Returns CTL_GOOD, or what has been said on stderr: @each's answer where that failed.
 */
enum ctl_exit ctl_items_read(struct client *client, const struct ctl_known *known, size_t count,
                             ctl_items_each each, void *context, uint64_t *gone);

/** ctl_items_exptime() - seconds to live as the protocol writes them: over 30 days as a moment.
 * 0: for ever. */
int64_t ctl_items_exptime(int64_t ttl_s);

/* Where items are stored, and what became of them. */
struct ctl_store {
    struct client *client;
    bool overwrite; /* also what is there; otherwise that stays, as it is newer */
    size_t waiting, waiting_bytes;
    uint64_t stored, kept, refused;
    char refusal[CLIENT_TEXT_BYTES_MAX]; /* of the first that was refused */
};

/** ctl_items_store() - send one on. Answers are read when a batch is full; CTL_GOOD or what has
 * been said. What the server refuses is counted and is no failure. */
enum ctl_exit ctl_items_store(struct ctl_store *store, const struct ctl_item *item);
/** ctl_items_settle() - read the answers that are still to come. */
enum ctl_exit ctl_items_settle(struct ctl_store *store);

#endif
