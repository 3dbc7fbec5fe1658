/*
 * load_run.h - a whole run: threads, phases, progress, interruption, and the server's own figures.
 *
 *   connect --> store (--preload) --> warm up (not counted) --> measure --> result
 *
 * SIGINT and SIGTERM end the phase that runs; what was measured so far is the result.
 *
 * Threads: one run at a time in a process, for the signals are the process's.
 */
#ifndef CLIENTS_LOAD_RUN_H
#define CLIENTS_LOAD_RUN_H

#include "clients/load_plan.h"
#include "clients/load_tally.h"

#include <stdio.h>

struct load_cpu {
    double user_s, system_s;
};

struct load_result {
    struct load_tally stored; /* of the preload */
    double stored_s;
    struct load_tally tally;
    double seconds;
    struct load_cpu own;    /* while it was measured: this process's */
    struct load_cpu server; /* by the server's "stats" */
    bool server_cpu_known;
    char version[64]; /* of the server; "" where it does not say */
    bool interrupted;
    char failure[LOAD_ERROR_BYTES]; /* "" where there was none */
};

/**
 * load_run() - do what the plan says.
 * @progress: told where the run is, each plan->progress_s.
 * @result:   all zero before. Where it fails it holds what was measured until then.
 *
 * False: result->failure says why.
 */
bool load_run(const struct load_plan *plan, const struct load_items *items, FILE *progress,
              struct load_result *result) __attribute__((warn_unused_result));

#endif
