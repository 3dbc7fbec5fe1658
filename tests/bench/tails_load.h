/*
 * tails_load.h - a load whose latencies are looked at, alone or beside another one.
 *
 *   core 0   the server's worker thread, first in line
 *   core 1   the load, first in line · the server's other threads · what keeps the load company
 *
 * "First in line" is SCHED_FIFO: what else runs on the machine would be most of any tail
 * otherwise. The servers' other threads have it too, one below the load, so that nobody who has
 * nothing to do with the measurement stops them while they hold a lock. Company is a process of its
 * own, in the common class, and sends at a rate that leaves both cores time: a core that real-time
 * threads fill is taken from them for 50 ms a second.
 *
 * Threads: one at a time.
 */
#ifndef TESTS_BENCH_TAILS_LOAD_H
#define TESTS_BENCH_TAILS_LOAD_H

#include "clients/load_plan.h"

#define TAILS_SERVER_CORE 0
#define TAILS_LOAD_CORE   1
#define TAILS_LONG_NS     1000000u

/* Of one run; times in us. */
struct tails_sample {
    uint64_t requests;
    double per_s;
    double p50, p99, p999, max;
    double late_p99;      /* open loop: how late the load itself was */
    double long_per_m;    /* requests over TAILS_LONG_NS, of a million */
    double company_per_s; /* requests the company got answered; lines it read, where it talks */
    double company_p50;   /* 0 where it talks */
};

/* One that asks for long answers, each when the last is there, or has lines come and reads none. */
struct tails_talk {
    const char *text;    /* what it sends */
    unsigned ends_count; /* lines "END" of the whole answer; 0: it sends once and never reads */
};

/* What goes on beside a load: another one, or one that talks. */
struct tails_company {
    const struct load_plan *load; /* NULL: talk */
    struct tails_talk talk;
};

/** tails_plan() - the plan of an open loop of gets: all that a scene does not say. */
struct load_plan tails_plan(uint16_t port);

/** tails_seat() - the server's threads get their cores and priorities; once its worker thread has
 * worked more than the others. False: the system permits no such priority. */
bool tails_seat(long pid);

/** tails_fill() - store each of the plan's keys once. */
void tails_fill(const struct load_plan *plan);
/** tails_ask() - have one answer to it, and drop it. */
void tails_ask(const struct load_plan *plan, const struct tails_talk *talk);
/**
 * tails_run() - measure one load.
 * @company: from before it begins until after it ends; NULL: none.
 *
 * The benchmark ends where either fails, is refused anything or gets a wrong byte.
 */
void tails_run(const struct load_plan *plan, const struct tails_company *company,
               struct tails_sample *sample);

#endif
