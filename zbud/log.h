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
 * A dead record's number is not given again while a later one lives. Squeezing takes its bytes but
 * leaves its entry, of length 0; entries behind the last live record are dropped, and their numbers
 * may be given to new records. So whoever kills a record forgets its number.
 *
 * Logs are of kinds, which the user numbers as it likes: what must not share a log is of two kinds.
 * A pool keeps logs open for appending in ZBUD_LOGS_OPEN_MAX slots. A kind may use ZBUD_LOGS_OPEN
 * of them, which it may share with other kinds, as a cache's sets are shared: to find a log for a
 * record means to look at so many slots, however many kinds there are. An open log's page is in no
 * unbuddied list, so its slack is its own until the log is closed.
 *
 * Words: a *live* record has been appended and not killed. A log is *open* while zbud_log_open()
 * may still answer it; *closed* for good when it is full, when another takes its place, or when its
 * page is reclaimed.
 *
 * Invariants:
 *   LOG-1  used_bytes = live_bytes + dead_bytes, each the sum of its records' lengths.
 *   LOG-2  0 = offset(0) <= offset(1) <= .. <= used_bytes; length(n) = offset(n + 1) - offset(n).
 *   LOG-3  length(live) >= 1, length(dead) >= 0, length(last) >= 1.
 *   LOG-4  1 <= live <= count <= ZBUD_RECORDS_MAX; only a log just opened has live = count = 0.
 *   LOG-5  Open logs stand in the slots of their kind, and one more in a slot of its own between
 *          the open and the append of a record that lives alone. Each has room for one byte more at
 *          least.
 *
 * Threads: as pool.h.
 * Source: the idea of appending to a segment and sliding the live together is the log-structured
 * file system's (Rosenblum and Ousterhout 1991), here within one page.
 */
#ifndef ZBUD_LOG_H
#define ZBUD_LOG_H

#include "zbud/pool.h"

#define ZBUD_LOGS_OPEN           4u   /* of one kind */
#define ZBUD_LOGS_OPEN_MAX       128u /* of all kinds; a power of two */
/* A kind opens a log beside those it has only while no more than ZBUD_LOGS_OPEN are open in all, or
 * one page in so many: what is open holds slack that nobody else can use. */
#define ZBUD_LOGS_OPEN_PART      64u
#define ZBUD_RECORDS_MAX         128u /* numbers in a log, dead ones included */
#define ZBUD_RECORD_ENTRY_BYTES  2u   /* of the directory, beside the record's bytes */
#define ZBUD_RECORD_BYTES_MAX    (ZBUD_BUDDY_BYTES_MAX - ZBUD_RECORD_ENTRY_BYTES)
#define ZBUD_RECORD_TAG_MAX      7u
#define ZBUD_RECORD_ALONE_CHUNKS 32u /* from here on a record is a buddy of its own */

/**
 * zbud_log_open() - an open log of @kind with room for one more record of up to @bytes_max bytes.
 * @bytes_max: 1 to ZBUD_RECORD_BYTES_MAX.
 * @log:       set where the answer is ZBUD_OK; otherwise left as it was.
 *
 * Best fit among the open logs of that kind; else a new log is opened where zbud_alloc() would put
 * @bytes_max, and where no slot is free the log that was appended to longest ago is closed for it.
 * A record of ZBUD_RECORD_ALONE_CHUNKS or more gets a log for itself. No record's bytes move. Who
 * changes his mind and appends nothing leaves an empty log, which a later open takes or frees.
 *
 * Owns:   the pool owns the log. Append to it before anything that opens, frees or reclaims.
 * Errors: ZBUD_BAD_SIZE - 0 bytes.
 *         ZBUD_TOO_LARGE - over ZBUD_RECORD_BYTES_MAX.
 *         ZBUD_NO_PAGE - no page has that much room and the arena has none. Reclaim, try again.
 *         No record and no log with records has changed.
 */
enum zbud_status zbud_log_open(struct zbud_pool *pool, unsigned kind, size_t bytes_max,
                               struct zbud_handle *log) __attribute__((warn_unused_result));

/**
 * zbud_log_close() - an open log is appended to no more; any other is left as it is.
 *
 * Returns true where the log was empty, and is gone.
 */
bool zbud_log_close(struct zbud_pool *pool, struct zbud_handle log);

/** zbud_log_word() - 64 bits of the user's that live with the log; 0 in a log just opened. */
uint64_t zbud_log_word(const struct zbud_pool *pool, struct zbud_handle log);
/** zbud_log_set_word() - any value; it goes with the log's last record. */
void zbud_log_set_word(struct zbud_pool *pool, struct zbud_handle log, uint64_t word);

/**
 * zbud_log_append() - write one record into the log that zbud_log_open() just gave.
 * @bytes: 1 to the @bytes_max it was opened for.
 * @tag:   0 to ZBUD_RECORD_TAG_MAX.
 * @data:  set to where the record's bytes go; good until the next call on the pool.
 *
 * Returns the record's number. The page becomes the most recently used. Cannot fail. What other
 * pointers into the pool point to has not moved.
 */
unsigned zbud_log_append(struct zbud_pool *pool, struct zbud_handle log, size_t bytes, unsigned tag,
                         void **data);

/**
 * zbud_log_record() - a record's bytes, or NULL where that number is dead or was never given.
 * @bytes: set to its length, and
 * @tag:   to its tag, where the answer is not NULL.
 *
 * The pointer is good until the record is killed or its log squeezed.
 */
void *zbud_log_record(const struct zbud_pool *pool, struct zbud_handle log, unsigned number,
                      size_t *bytes, unsigned *tag);
/** zbud_log_fetch() - ask for the head of the log's page, without waiting for it: a hint only. */
void zbud_log_fetch(const struct zbud_pool *pool, struct zbud_handle log);
/** zbud_log_fetch_record() - the same for where the record lies; reads the head. */
void zbud_log_fetch_record(const struct zbud_pool *pool, struct zbud_handle log, unsigned number);
/** zbud_log_is_open() - whether records may still be appended to it. */
bool zbud_log_is_open(struct zbud_pool *pool, struct zbud_handle log);
/** zbud_log_records() - numbers given so far, dead ones included. */
unsigned zbud_log_records(const struct zbud_pool *pool, struct zbud_handle log);
/** zbud_log_live() - how many of them are live; with the last one the log goes. */
unsigned zbud_log_live(const struct zbud_pool *pool, struct zbud_handle log);

/**
 * zbud_log_kill() - the record is dead; its bytes wait for a squeeze.
 *
 * @number: of a live record.
 *
 * Killing the last live record frees the buddy, open or not: its handle is gone then.
 * Returns true where it did. O(1).
 */
bool zbud_log_kill(struct zbud_pool *pool, struct zbud_handle log, unsigned number);

/** zbud_log_bytes() - live and dead bytes of a log's records, directory not counted. */
void zbud_log_bytes(const struct zbud_pool *pool, struct zbud_handle log, size_t *live_bytes,
                    size_t *dead_bytes);

/**
 * zbud_log_page() - the logs of a page that will not be appended to any more, for who would rather
 * move what little lives there and have the page.
 * @logs: set to them, in no particular order.
 *
 * The slack between two closed logs is lost until one of them goes; that beside a lone one can
 * still be used.
 *
 * Returns how many, 1 or 2; 0 where one is open, where the other buddy is no log, and where one of
 * two is a single record of about half a page or more: such a page is never packed well, and would
 * not be anywhere else.
 */
unsigned zbud_log_page(const struct zbud_pool *pool, struct zbud_handle log,
                       struct zbud_handle logs[2]);

/**
 * zbud_log_squeeze() - slide the live records towards the log's own end and give the chunks freed
 * to the page's slack.
 *
 * One pass over one buddy, at most 4032 bytes moved. Numbers stay, pointers move. An open log stays
 * open. The page is not used by it, in the order's sense. Without dead bytes there is nothing to
 * do.
 */
void zbud_log_squeeze(struct zbud_pool *pool, struct zbud_handle log);

#endif
