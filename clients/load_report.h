/*
 * load_report.h - what a run has found, for a person or for a program.
 *
 * Latencies in microseconds; quantiles are at most .8 % too high (load_histogram.h).
 *
 * Threads: none of its own.
 */
#ifndef CLIENTS_LOAD_REPORT_H
#define CLIENTS_LOAD_REPORT_H

#include "clients/load_run.h"

/** load_report_table() - lines for a person. */
void load_report_table(FILE *file, const struct load_plan *plan, const struct load_result *result);
/** load_report_json() - one object on one line. */
void load_report_json(FILE *file, const struct load_plan *plan, const struct load_result *result);
/** load_kind_name() - "get", "set", "multiget", "delete"; static. */
const char *load_kind_name(enum load_kind kind);

#endif
