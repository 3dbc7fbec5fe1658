/*
 * maintenance.h - the background thread: the cache's upkeep, the footprint, the log's counts.
 *
 *   |work|----------- pause -----------|work|---- ...      at most a tenth of a core
 *
 * Nothing that a request waits for is done here: what a request needs it does itself (a full cache
 * evicts a page when one is wanted).
 *
 * Threads: start and stop from one thread; it is a second one.
 */
#ifndef SERVER_MAINTENANCE_H
#define SERVER_MAINTENANCE_H

struct cache;
struct clock;
struct footprint;
struct log;
struct maintenance;

/** maintenance_new() - the thread runs. NULL where the system gives no thread or memory. */
struct maintenance *maintenance_new(struct cache *cache, struct footprint *footprint,
                                    const struct clock *clock, struct log *log);
/** maintenance_free() - ends the thread and waits for it. */
void maintenance_free(struct maintenance *maintenance);

#endif
