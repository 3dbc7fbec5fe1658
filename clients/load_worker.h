/*
 * load_worker.h - one thread of the load: its connections, its event loop, and when it sends.
 *
 *   closed loop:  batch of depth requests --> all answered --> the next batch
 *   open loop:    arrivals at their times --> any connection with room in its ring, in turn; where
 *                 none has room they wait, and their latency counts from their time all the same
 *   storing:      like the closed loop, each of the worker's item numbers once
 *
 * All requests that a connection gets in one turn of the loop are written together.
 *
 * Threads: load_worker_run() in a thread of its own; load_worker_stop() and load_worker_progress()
 * from any at any time; the others only while it does not run.
 */
#ifndef CLIENTS_LOAD_WORKER_H
#define CLIENTS_LOAD_WORKER_H

#include "clients/load_plan.h"
#include "clients/load_tally.h"

struct load_worker;

enum load_phase_kind {
    LOAD_PHASE_STORE,
    LOAD_PHASE_MIX,
};

struct load_phase {
    enum load_phase_kind kind;
    double seconds;
    uint64_t requests; /* of this worker, at most */
};

struct load_progress {
    uint64_t requests, misses, refused, wrong;
    uint64_t latency_ns_max;
};

/** load_worker_new() - connected; NULL where that fails, and @error says why. @number: 0 to threads
 * - 1; connections, items and rate are shared out evenly. */
struct load_worker *load_worker_new(const struct load_plan *plan, const struct load_items *items,
                                    uint32_t number, char error[LOAD_ERROR_BYTES]);
void load_worker_free(struct load_worker *worker);

/** load_worker_run() - one phase, counted from nothing. False: load_worker_failure() says why. */
bool load_worker_run(struct load_worker *worker, const struct load_phase *phase)
    __attribute__((warn_unused_result));
/** load_worker_stop() - the phase that runs, and each later one, ends as if its time were over. */
void load_worker_stop(struct load_worker *worker);
/** load_worker_progress() - of the phase that runs, at most a tenth of a second old. */
struct load_progress load_worker_progress(const struct load_worker *worker);

const struct load_tally *load_worker_tally(const struct load_worker *worker);
const char *load_worker_failure(const struct load_worker *worker);
/** load_worker_times_ns() - when the last phase began and ended. */
void load_worker_times_ns(const struct load_worker *worker, uint64_t *start_ns, uint64_t *end_ns);

#endif
