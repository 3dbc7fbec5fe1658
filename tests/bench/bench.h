/*
 * bench.h - what benchmarks of all kinds need: a clock, a median, an end with a message.
 *
 * Threads: any.
 */
#ifndef TESTS_BENCH_BENCH_H
#define TESTS_BENCH_BENCH_H

#include <errno.h>
#include <stdbool.h>

/** bench_now_ns() - wall time, from any beginning. */
double bench_now_ns(void);
/** bench_median() - of @count values, which are sorted on the way. */
double bench_median(double *values, unsigned count);
/** bench_fail() - say why and end. */
_Noreturn void bench_fail(const char *what, const char *why);
/** bench_require() - or end, saying @what is the matter otherwise. Here, for what is timed. */
static inline void bench_require(bool holds, const char *what)
{
    if (!holds)
        bench_fail(program_invocation_short_name, what);
}

#endif
