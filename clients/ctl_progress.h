/*
 * ctl_progress.h - how far a long command is, on one line of stderr that is written over.
 *
 *   warm  [########............]  41 %  412,000 of 1,000,000 items  9,998/s  58 s left
 *
 * Also the pace: a rate that is not exceeded, kept by sleeping until a signal comes. Nothing is
 * shown where stderr is no terminal, unless --progress asks for it; then it is a line each.
 *
 * Threads: one.
 */
#ifndef CLIENTS_CTL_PROGRESS_H
#define CLIENTS_CTL_PROGRESS_H

#include "clients/ctl.h"

struct ctl_progress {
    const struct ctl *ctl;
    const char *name;
    FILE *file;     /* NULL: nothing is shown */
    uint64_t total; /* 0: not known */
    uint64_t done;
    double rate; /* at most, a second; 0: as fast as it goes */
    double started_s, shown_s;
    bool over; /* the line can be written over */
};

/** ctl_progress_begin() - @total: items to come, 0 where that is not known. */
struct ctl_progress ctl_progress_begin(const struct ctl *ctl, const char *name, uint64_t total,
                                       double rate);
/** ctl_progress_add() - so many more are done. Sleeps where that was too fast. */
void ctl_progress_add(struct ctl_progress *progress, uint64_t count);
/** ctl_progress_end() - the last state, and a line end. */
void ctl_progress_end(struct ctl_progress *progress);

/** ctl_now_s() - of a clock that goes on evenly. */
double ctl_now_s(void);

#endif
