/*
 * dump.h - answers as long as the cache is large, written a bounded piece at a time.
 *
 *   cache_walk() --> some items --> a line each --> reply     lru_crawler metadump, mgdump,
 *   prefixes_at() --------------------^                       stats cachedump, sizes, detail dump
 *
 * A dump is an object that knows how far it is. Each call writes what a step of the walk has given,
 * some 40 us of work, or less where the reply is full; in between others are served, and the
 * client takes what was written. So a dump holds the memory of one step whatever the cache's size
 * and the client's speed.
 *
 * What is guaranteed of its content is cache_walk()'s: a key that is in the cache all the while is
 * listed once, any other once at most.
 *
 * Threads: one at a time.
 */
#ifndef SERVER_DUMP_H
#define SERVER_DUMP_H

#include "protocol/reply.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* "key=" with each of 250 bytes as %XX, and numbers; no other line is longer. */
#define DUMP_LINE_BYTES_MAX    1024u
#define DUMP_CACHE_BYTES_MAX   (2u << 20) /* of "stats cachedump", as memcached has it */
#define DUMP_SIZE_BUCKET_BYTES 32u        /* of "stats sizes", as memcached has it */

struct budget;
struct cache;
struct dump;
struct prefixes;

enum dump_kind {
    DUMP_META,     /* lru_crawler metadump */
    DUMP_MG,       /* lru_crawler mgdump */
    DUMP_CACHE,    /* stats cachedump */
    DUMP_SIZES,    /* stats sizes */
    DUMP_PREFIXES, /* stats detail dump */
    DUMP_KINDS_COUNT
};

/* All borrowed. */
struct dump_setup {
    enum dump_kind kind;
    struct cache *cache;
    struct budget *budget; /* that the dump's memory is taken from */
    struct prefixes *prefixes;
    size_t item_bytes_max; /* no item takes more */
    uint64_t items_max;    /* 0: all */
    bool empty;            /* of classes without items */
};

enum dump_status {
    DUMP_DONE,
    DUMP_MORE,    /* call again when what was written is gone */
    DUMP_NO_ROOM, /* the reply has less than DUMP_LINE_BYTES_MAX of room */
};

/** dump_new() - NULL: no memory. */
struct dump *dump_new(const struct dump_setup *setup);
void dump_free(struct dump *dump);
/** dump_write() - what follows, its last line with DUMP_DONE. */
enum dump_status dump_write(struct dump *dump, struct protocol_reply *reply, uint32_t now_s)
    __attribute__((warn_unused_result));

#endif
