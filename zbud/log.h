/*
 * log.h - a buddy as a log of records.
 *
 *   first buddy (left-justified)                      last buddy (right-justified, mirrored)
 *   +----------+----------+----------+-----------+    +-----------+----------+----------+
 *   | record 0 | record 1 | record 2 | directory |    | directory | record 1 | record 0 |
 *   +----------+----------+----------+-----------+    +-----------+----------+----------+
 *                                     --> slack <--
 *
 * Both grow towards the slack, chunk by chunk. The directory has two bytes a record: 12 bits of
 * offset from the log's own end of the page, a dead bit, and 3 bits of tag that belong to the user.
 * A record's length is the distance to its neighbour's offset and costs nothing. A record keeps its
 * number for life: squeezing moves bytes, not numbers.
 *
 * A pool keeps up to ZBUD_LOGS_OPEN logs open for appending; an open log's page is in no
 * unbuddied list, so its slack is its own until the log is closed.
 *
 * Threads: as pool.h.
 */
#ifndef ZBUD_LOG_H
#define ZBUD_LOG_H

#include "zbud/pool.h"

#define ZBUD_LOGS_OPEN           4u
#define ZBUD_RECORDS_MAX         128u /* numbers in a log, dead ones included */
#define ZBUD_RECORD_BYTES_MAX    (ZBUD_BUDDY_BYTES_MAX - 2u)
#define ZBUD_RECORD_TAG_MAX      7u
#define ZBUD_RECORD_ALONE_CHUNKS 32u /* from here on a record is a buddy of its own */

/**
 * zbud_log_open() - an open log with room for one more record of up to @bytes_max bytes.
 *
 * Best fit among the open logs; else a new log is opened where zbud_alloc() would put @bytes_max, and
 * the open log that was appended to longest ago is closed for it. A record of
 * ZBUD_RECORD_ALONE_CHUNKS or more gets a log for itself. No record's bytes move.
 *
 * Errors: ZBUD_BAD_SIZE, ZBUD_TOO_LARGE (over ZBUD_RECORD_BYTES_MAX), ZBUD_NO_PAGE; nothing changed.
 */
enum zbud_status zbud_log_open(struct zbud_pool *pool, size_t bytes_max, struct zbud_handle *log)
    __attribute__((warn_unused_result));

/** zbud_log_word() - 64 bits of the user's that live with the log; 0 in a log just opened. */
uint64_t zbud_log_word(const struct zbud_pool *pool, struct zbud_handle log);
void zbud_log_set_word(struct zbud_pool *pool, struct zbud_handle log, uint64_t word);

/**
 * zbud_log_append() - write one record into the log that zbud_log_open() just gave.
 * @bytes: 1 to the @bytes_max it was opened for.
 * @tag:   0 to ZBUD_RECORD_TAG_MAX.
 * @data:  set to where the record's bytes go; good until the next call on the pool.
 *
 * Returns the record's number. The page becomes the most recently used. Cannot fail.
 */
unsigned zbud_log_append(struct zbud_pool *pool, struct zbud_handle log, size_t bytes, unsigned tag,
                         void **data);

/** zbud_log_record() - a record's bytes, or NULL where that number is dead or was never given. */
void *zbud_log_record(const struct zbud_pool *pool, struct zbud_handle log, unsigned number,
                      size_t *bytes, unsigned *tag);
/** zbud_log_records() - numbers given so far, dead ones included. */
unsigned zbud_log_records(const struct zbud_pool *pool, struct zbud_handle log);

/**
 * zbud_log_kill() - the record is dead; its bytes wait for a squeeze.
 *
 * Killing the last live record frees the buddy: its handle is gone then.
 * Returns true where it did.
 */
bool zbud_log_kill(struct zbud_pool *pool, struct zbud_handle log, unsigned number);

/** zbud_log_bytes() - live and dead bytes of a log's records, directory not counted. */
void zbud_log_bytes(const struct zbud_pool *pool, struct zbud_handle log, size_t *live_bytes,
                    size_t *dead_bytes);

/**
 * zbud_log_squeeze() - slide the live records towards the log's own end and give the chunks freed to
 * the page's slack. One pass over one buddy. Numbers stay, pointers move. An open log stays open.
 */
void zbud_log_squeeze(struct zbud_pool *pool, struct zbud_handle log);

#endif
