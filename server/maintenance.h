/*
 * maintenance.h - the background thread: the cache's upkeep, the footprint, the log's counts.
 *
 *   |work|----------- pause -----------|work|---- ...      at most a set share of a core, niced
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

/**
 * maintenance_new() - the thread runs. NULL where the system gives no thread or memory.
 * @share_pct: of a core, 1 to 100; 0: LIMITS_MAINTAIN_PCT.
 */
struct maintenance *maintenance_new(struct cache *cache, struct footprint *footprint,
                                    const struct clock *clock, struct log *log, unsigned share_pct);
/** maintenance_free() - ends the thread and waits for it. */
void maintenance_free(struct maintenance *maintenance);

#endif
