/*
 * seal.h - checksums by which a page in a memory file is believed, or not.
 *
 *   words of the arena, 8 bytes a page      a log's:  |    31 bits of a sum   | 0 |
 *   +-----------------+-----------------+
 *   | first buddy's   | last buddy's    |   a page of a large value:  | 63 bits of a hash | 1 |
 *   +-----------------+-----------------+
 *
 * A log's seal is a sum, so that it follows each change without the rest being read:
 *
 *   seal(log) = h(its word) + sum over its live records of h(number, tag, bytes)
 *
 * where h also takes the log's handle and a secret of the file. Squeezing a log leaves it as it is.
 * No record, live or dead, can be forged, moved, brought back or lost without the sum being another
 * (1 of 2^31), nor can a header or directory say anything else of them. A page of a large value is
 * sealed with its number and the page that follows; it never changes.
 *
 * The bytes change first and the seal next, or the other way round; a process that dies in between
 * leaves a log that is not believed, with all its records. What has changed and been sealed is
 * whole. A free page's word is 0, so nothing that lies in one can come back.
 *
 * Without a file there is no table, and nothing to be done.
 *
 * Threads: a log's is under its shard's lock; a large value's page is its writer's.
 */
#ifndef SERVER_CACHE_SEAL_H
#define SERVER_CACHE_SEAL_H

#include "zbud/log.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct seals {
    uint64_t *words; /* the arena's; NULL: there is no file */
    uint64_t secret;
};

/* A record, by what its directory says and its bytes. */
struct seal_record {
    struct zbud_handle log;
    unsigned number;
    unsigned tag;
    const uint8_t *bytes;
    size_t count;
};

void seal_write(const struct seals *seals, struct zbud_handle log, uint32_t seal);
uint32_t seal_read(const struct seals *seals, struct zbud_handle log);
uint32_t seal_of_word(const struct seals *seals, struct zbud_handle log, uint64_t word);
uint32_t seal_of_record(const struct seals *seals, const struct seal_record *record);
/** seal_log() - what a log's seal should be. */
uint32_t seal_log(const struct seals *seals, const struct zbud_pool *pool, struct zbud_handle log);

/** seal_page() - one page of a large value, in a file. */
void seal_page(const struct seals *seals, const struct zbud_arena *arena, uint32_t page);
/** seal_chain() - a large value's pages, all written; NONE is fine. */
void seal_chain(const struct seals *seals, struct zbud_arena *arena, uint32_t first_page);
/** seal_holds_page() - a page of zbud_arena_recover() is a large value's, as it was sealed. */
bool seal_holds_page(const struct seals *seals, const struct zbud_arena *arena, uint32_t page);
/** seal_is_large() - a word that is not 0: a large value's page, not a pool's. */
static inline bool seal_is_large(uint64_t word)
{
    return (word & 1) != 0;
}

/** seal_begin() - a log has got its word. */
static inline void seal_begin(const struct seals *seals, struct zbud_handle log, uint64_t word)
{
    if (seals->words != NULL)
        seal_write(seals, log, seal_of_word(seals, log, word));
}

/** seal_end() - a log is about to go. */
static inline void seal_end(const struct seals *seals, struct zbud_handle log)
{
    if (seals->words != NULL)
        seal_write(seals, log, 0);
}

/** seal_change_word() - a log's word has become another. */
static inline void seal_change_word(const struct seals *seals, struct zbud_handle log, uint64_t old,
                                    uint64_t word)
{
    if (seals->words != NULL)
        seal_write(seals, log,
                   seal_read(seals, log) - seal_of_word(seals, log, old) +
                       seal_of_word(seals, log, word));
}

/** seal_add() - a record's bytes are there. */
static inline void seal_add(const struct seals *seals, struct zbud_handle log, unsigned number,
                            unsigned tag, const uint8_t *bytes, size_t count)
{
    struct seal_record record = {log, number, tag, bytes, count};
    if (seals->words != NULL)
        seal_write(seals, log, seal_read(seals, log) + seal_of_record(seals, &record));
}

/** seal_remove() - a record is about to die, or its bytes to change. */
static inline void seal_remove(const struct seals *seals, struct zbud_handle log, unsigned number,
                               unsigned tag, const uint8_t *bytes, size_t count)
{
    struct seal_record record = {log, number, tag, bytes, count};
    if (seals->words != NULL)
        seal_write(seals, log, seal_read(seals, log) - seal_of_record(seals, &record));
}

#endif
