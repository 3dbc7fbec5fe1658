/*
 * limits.h - the limits of the server's moving parts, all in one place.
 *
 * What a request may look like is protocol/parse.h's, what an item may be server/cache/cache.h's
 * and what the command line may ask for server/admin/config.h's. Here is what one connection, one
 * worker and all connections together may hold.
 *
 *   -m  = cache + LIMITS: baseline of the process | connections (at most their share)
 *
 * Threads: constants.
 */
#ifndef SERVER_LIMITS_H
#define SERVER_LIMITS_H

#include "protocol/parse.h"
#include "protocol/reply.h"

#include <assert.h>

/* A worker's input buffer: what one read() can bring. 64 KiB stay in a core's second level cache
 * together with the output, and hold a batch of 1,000 pipelined requests. */
#define LIMITS_INPUT_BYTES             (64u << 10)
/* A worker's output buffer, and the high-water mark of what is composed before it is written. */
#define LIMITS_OUTPUT_BYTES            (64u << 10)
/* So many connections have their turns side by side: reading them takes some 40 us, and twice as
 * many gain nothing more. No further one is read once there are so many bytes. */
#define LIMITS_GATHER_CONNS            16u
#define LIMITS_GATHER_BYTES            (16u << 10)
/* Answers are held back for those of others while requests are no longer than this, up to so many
 * bytes. */
#define LIMITS_GATHER_SHORT_BYTES      2048u
#define LIMITS_OUTPUT_HELD_BYTES       (16u << 10)
/* A reply that is larger needs a larger buffer, and so does a request. One of each up to this size
 * is kept for a second for the next (the default item limit is 1 MiB), a larger one is given back
 * at once. */
#define LIMITS_LARGE_KEPT_BYTES        (2u << 20)
/* A "stats" section that would be longer is refused: 250 bytes a connection, 100,000 of them. */
#define LIMITS_STATS_BYTES             (32u << 20)

/* Blocks from here on are mappings of their own, and go back to the system when they are freed. */
#define LIMITS_MAPPED_BYTES_MIN        (64u << 10)

/* All connections together hold at most this share of -m: the rest of it stays the cache's. */
#define LIMITS_CONNS_SHARE_DIVISOR     2u
/* Of that share a part is set aside at start, so that a full cache that may not evict (-M) still
 * serves connections: 1 MiB at -m 64, enough for 1,000 idle connections and 10 busy ones. */
#define LIMITS_CONNS_PREPAID_DIVISOR   64u
#define LIMITS_CONNS_PREPAID_BYTES_MAX (4u << 20)
/* Of the share a part is for small buffers alone: when large ones have used up theirs, connections
 * are still accepted and their short requests answered. */
#define LIMITS_CONNS_SMALL_DIVISOR     16u
#define LIMITS_CONNS_SMALL_BYTES       4096u
/* From this part of the share on nothing is kept for later use. */
#define LIMITS_CONNS_TIGHT_DIVISOR     2u
/* Beyond what is set aside the cache is asked for memory in steps, not for every buffer. */
#define LIMITS_CONNS_CHARGE_STEP_BYTES (64u << 10)

/* After -R requests a turn ends if another connection is known to wait and the turn has lasted
 * this long: one cut short costs a copy and a write. After the longer time, or so many full output
 * buffers, it ends anyhow, to look whether another has come to wait. Figures:
 * server/net/README.md. */
#define LIMITS_TURN_US                 200u
#define LIMITS_TURN_US_MAX             1000u
#define LIMITS_TURN_FLUSHES            4u

/* How long a request took is measured for one of so many (a prime, so that no client's pattern
 * falls in with it): twice 25 ns for reading the clock, .8 a request. */
#define LIMITS_TIMED_EVERY             61u

/* The HTTP thread. Connections beyond make the oldest give way; one has so long for its request and
 * its answer. What they hold of malloc's heap (requests of LIMITS_HTTP_HEADERS_BYTES and more, as
 * it is read 4 KiB at a time, and replies) is part of the footprint's reserve. */
#define LIMITS_HTTP_CONNS              16u
#define LIMITS_HTTP_HEADERS_BYTES      (8u << 10)
#define LIMITS_HTTP_REQUEST_S          10u
#define LIMITS_HTTP_TICK_MS            20u /* until the socket of one that is over is closed */
/* The longest is what the dashboard shows: of 16 keys, 32 prefixes, 64 labels each byte may take 6,
 * some 24, 7 and 13 KiB, 20 more for what is around them, and 4 for the map. */
#define LIMITS_HTTP_REPLY_BYTES        (96u << 10)
#define LIMITS_HTTP_BYTES              (LIMITS_HTTP_CONNS * (LIMITS_HTTP_REPLY_BYTES + (24u << 10)))
#define LIMITS_HTTP_SOCKETS_MAX        8u /* listened on: what one name resolves to */
#define LIMITS_HTTP_BACKLOG            64

/* Once a second a worker looks for idle connections. If the last look was longer ago than this, it
 * waits for the next. */
#define LIMITS_TICK_LATE_S             2u

#define LIMITS_SOCKETS_MAX             256u /* listened on: 64 addresses, each of a few numbers */
#define LIMITS_ACCEPTS_PER_EVENT       32u
#define LIMITS_DATAGRAMS_PER_EVENT     32u
/* How often a listener that cannot accept (limit reached, no descriptors left) looks again. */
#define LIMITS_ACCEPT_RETRY_MS         10u

/* A TLS session of OpenSSL 3.0, counted by its own allocator (2048-bit keys): before the first byte
 * 9.0 KB; while the handshake waits for the client 45 to 56.5 KB, 107 KB at the most within a call;
 * then 14.9 KB, 20.3 KB with a client's certificate; 16.7 KB more with an unfinished record read,
 * and with one written. All below what is a mapping of its own. */
#define LIMITS_TLS_NEW_BYTES           (10u << 10)
#define LIMITS_TLS_HANDSHAKE_BYTES     (60u << 10)
#define LIMITS_TLS_OPEN_BYTES          (22u << 10)
#define LIMITS_TLS_BUFFER_BYTES        (17u << 10)
#define LIMITS_TLS_CLIENT_CERT_BYTES   (16u << 10) /* of a client's chain; others are refused */
#define LIMITS_TLS_HANDSHAKE_S         10u         /* then one that is not done is closed */

/* The cache's upkeep: so long at a stretch, then a pause that leaves it its share of a core
 * (without settling, LIMITS_MAINTAIN_PCT); and one after each round. A learning takes up to .3 s in
 * one piece: the pause behind it is cut into several, for the limit is kept by the same thread. */
#define LIMITS_MAINTAIN_US             1000u
#define LIMITS_MAINTAIN_PCT            10u
#define LIMITS_MAINTAIN_PAUSE_US_MAX   200000u
#define LIMITS_MAINTAIN_ROUND_PAUSE_US 100000u
/* Between two looks for what stores left uncompressed: while there is some, and at most. */
#define LIMITS_COMPRESS_PAUSE_US       2000u
#define LIMITS_COMPRESS_PAUSE_US_MAX   100000u
#define LIMITS_MAINTAIN_NICE           10
/* While there is more than a lowered limit allows: most of a core. Tiny items take .9 us each to
 * evict, 20 s for 750 MiB of them. */
#define LIMITS_MAINTAIN_OVER_PAUSE_US  250u

/* The thread that makes lines for watchers looks for events so often while there are some, and more
 * and more seldom while there are none. A writer's ring of 64 KiB holds some 600: more than that in
 * a pause are dropped. */
#define LIMITS_WATCH_PAUSE_US          1000u
#define LIMITS_WATCH_PAUSE_US_MAX      50000u
#define LIMITS_WATCH_NICE              10

/* What a lowered limit must leave to items: below that the new limit is refused. */
#define LIMITS_CACHE_BYTES_MIN         ((size_t)512 << 10)
#define LIMITS_CACHE_DIVISOR_MIN       16u
/* Address space that the limit can be raised into: so many times -m, or all the system's memory. */
#define LIMITS_MEMORY_RAISE_MAX        4u

/* A thread's stack and its thread-local memory: 8 to 20 KiB were touched under load and by every
 * section of "stats"; a sanitizer takes several times that. */
#define LIMITS_STACK_BYTES             (256u << 10)
/* The process's own memory that is touched only after the start: code paged in later, stacks,
 * malloc's slack. What it really comes to is measured again every second and charged
 * (footprint.h). */
#define LIMITS_RESERVE_BYTES           (1u << 20)
#define LIMITS_RESERVE_THREAD_BYTES    (48u << 10)

static_assert(LIMITS_TLS_HANDSHAKE_BYTES < LIMITS_MAPPED_BYTES_MIN &&
                  LIMITS_TLS_OPEN_BYTES + 2 * LIMITS_TLS_BUFFER_BYTES < LIMITS_MAPPED_BYTES_MIN,
              "what OpenSSL allocates in small pieces is counted as the heap's");
static_assert(LIMITS_INPUT_BYTES >= 4 * PROTOCOL_LINE_BYTES_MAX,
              "a line fits the input many times");
static_assert(LIMITS_INPUT_BYTES >= 2 * LIMITS_GATHER_BYTES, "a read has room behind others");
static_assert(LIMITS_OUTPUT_BYTES - LIMITS_OUTPUT_HELD_BYTES >= 2 * PROTOCOL_REPLY_BYTES_MAX,
              "an empty output takes a reply");
static_assert(LIMITS_OUTPUT_BYTES - LIMITS_OUTPUT_HELD_BYTES >=
                  PROTOCOL_VALUE_HEADER_BYTES_MAX + PROTOCOL_REPLY_BYTES_MAX,
              "an empty output takes the header of any value");
static_assert(LIMITS_TURN_US_MAX >= LIMITS_TURN_US, "others known to wait end a turn sooner");
static_assert(LIMITS_LARGE_KEPT_BYTES >= LIMITS_OUTPUT_BYTES, "the standard buffer is kept");
static_assert(LIMITS_CONNS_PREPAID_DIVISOR > LIMITS_CONNS_SHARE_DIVISOR,
              "what is set aside is within the share");

#endif
