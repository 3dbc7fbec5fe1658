/*
 * options.h - the command line of a benchmark that runs both servers, and its usage, from one
 * table:
 *
 *   NAME_bench [--option ARGUMENT]... OURS MEMCACHED
 *
 * Threads: one.
 */
#ifndef TESTS_BENCH_OPTIONS_H
#define TESTS_BENCH_OPTIONS_H

#include <stdint.h>

/* One of @whole, @number and @text is where the argument goes; what stands there before is the
 * default. */
struct options_row {
    const char *name;
    const char *argument; /* its name in the usage */
    uint64_t *whole;
    double *number;
    const char **text;
    double min, max; /* of a number */
    /* Given several times, arguments go one behind the other, for at most @room of them. */
    unsigned *count; /* NULL: the last one holds */
    unsigned room;
};

enum {
    OPTIONS_OURS,
    OPTIONS_THEIRS,
    OPTIONS_PROGRAMS
};

/**
 * options_read() - the command line of main() into what the rows name, and the paths of both
 * programs.
 * @alone: NULL, or a row's @whole: not 0, the programs are not needed and may be left out.
 *
 * What is wrong is said with the usage, and the program ends with EX_USAGE.
 */
void options_read(const struct options_row *rows, unsigned rows_count, const uint64_t *alone,
                  const char *programs[OPTIONS_PROGRAMS], int argc, char **argv);

#endif
