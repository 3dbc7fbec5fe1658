/*
 * expiry.h - which logs hold something that expires, and when somebody has to look.
 *
 *   wheel, one a shard                         table, one a cache: 8 bytes a log
 *                                                63  56 55      28 27       0
 *   level 0  [ ][ ][*][ ] ..  64 x 1 s           +------+----------+----------+
 *   level 1  [ ][ ][ ][ ] ..  64 x 64 s          |bucket| previous | next log |
 *   level 2  [*][ ][ ][ ] ..  64 x 68 min        +------+----------+----------+
 *   level 3  [ ][ ][ ][ ] ..  64 x 3 days           '---> the ring of a bucket's logs
 *
 * A log stands in the bucket of its earliest expiry, by the level whose reach that is. A bucket is
 * due from its first second on: on level 0 that is the very second, higher up it may be too early;
 * who looks then finds nothing gone and notes the log again, now nearer. So a log is looked at once
 * for each second in which something in it expires and at most three times more, and never because
 * others are there. The wheel's clock jumps from one occupied bucket to the next.
 *
 * Log handles are dense, so the rings lie in a table by handle. Its pages are the arena's, one for
 * the logs of each MiB of the arena, and there only while a log that expires lives in that MiB: 8
 * bytes of 2 KiB, .4 %, where all logs expire, nothing where none does.
 *
 * Words: a log is *claimed* from its first record that expires until it goes; *noted* while it
 * stands in a bucket. A log's *class* says how long its records had to live when they were stored,
 * so that those of like expiry meet in like pages.
 *
 * Invariants:
 *   EXPIRY-1  every log with a live record that expires is noted in a bucket that is due at or
 *             before that record's expiry, or at once where that is past.
 *   EXPIRY-2  a log's class is 0 iff its records never expire; it is claimed iff its class is not.
 *   EXPIRY-3  bucket(b) of level l begins at a multiple of 64^l seconds, no sooner than the wheel's
 *             clock and at most 64 of its steps after; occupied = the buckets whose ring is not
 *             empty.
 *
 * Threads: a wheel is under its shard's lock. Claims of all shards meet in the table, which has a
 * lock of its own, taken inside a shard's; the arena's leaf lock is taken inside that. A link of
 * the table is only touched by the shard whose log it belongs to.
 * Source: Varghese and Lauck, Hashed and hierarchical timing wheels (1987).
 */
#ifndef SERVER_CACHE_EXPIRY_H
#define SERVER_CACHE_EXPIRY_H

#include "zbud/pool.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define EXPIRY_CLASSES 8u

struct expiry_table;
struct expiry_wheel;

/** expiry_class() - 0: never; 1 to 7: how long there is to live. */
unsigned expiry_class(uint32_t expiry_s, uint32_t now_s);

/** expiry_table_new() - for all logs in @arena. NULL where there is no memory. */
struct expiry_table *expiry_table_new(struct zbud_arena *arena);
/** expiry_table_free() - after the wheels and before the arena, which has its pages still. */
void expiry_table_free(struct expiry_table *table);
/** expiry_table_pages() - pages of the arena it holds. */
size_t expiry_table_pages(struct expiry_table *table);

/** expiry_wheel_new() - an empty wheel whose clock stands at @now_s. NULL: no memory. */
struct expiry_wheel *expiry_wheel_new(struct expiry_table *table, uint32_t now_s);
/** expiry_wheel_free() - its logs stay claimed: they go with their arena. */
void expiry_wheel_free(struct expiry_wheel *wheel);

/**
 * expiry_claim() - records that expire are about to be put into @log, which was not claimed.
 *
 * Returns false where the table had to grow and the arena gave no page: nothing has changed.
 */
bool expiry_claim(struct expiry_wheel *wheel, struct zbud_handle log)
    __attribute__((warn_unused_result));
/** expiry_drop() - a claimed log is about to go: it is noted and claimed no more. */
void expiry_drop(struct expiry_wheel *wheel, struct zbud_handle log);

/** expiry_note() - a record of a claimed log expires at @expiry_s. O(1). */
void expiry_note(struct expiry_wheel *wheel, struct zbud_handle log, uint32_t expiry_s);
/**
 * expiry_take_due() - a log that has to be looked at; it is noted no more.
 * @log: set where the answer is true.
 *
 * The caller notes it again with the earliest expiry left in it. O(1).
 */
bool expiry_take_due(struct expiry_wheel *wheel, uint32_t now_s, struct zbud_handle *log);

/** expiry_is_noted() - EXPIRY-1 for one record of a claimed log. */
bool expiry_is_noted(const struct expiry_wheel *wheel, struct zbud_handle log, uint32_t expiry_s);
/** expiry_visit_fn - @log of a check is noted. */
typedef void expiry_visit_fn(void *context, struct zbud_handle log);
/** expiry_check() - EXPIRY-3 and the rings, or abort. */
void expiry_check(const struct expiry_wheel *wheel, expiry_visit_fn *visit, void *context);

#endif
