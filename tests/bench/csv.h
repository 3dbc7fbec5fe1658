/*
 * csv.h - a benchmark's figures for other programs: one line each, appended to a file, so that
 * several runs can go into one.
 *
 *   bench,what,server,figure,value
 *   density,mix,memcached,items,386944
 *   speed,"SET, one at a time",zbcached,requests_per_s,75453
 *
 * Threads: one.
 */
#ifndef TESTS_BENCH_CSV_H
#define TESTS_BENCH_CSV_H

struct csv;

/**
 * csv_open() - the file to append to; its first line is written where it is empty.
 * @path: "" for none; then nothing is written, and NULL is what stands for it.
 * @bench: as it shall be called in each line; kept.
 *
 * A file that cannot be written ends the program with a message. csv_close() ends the use.
 */
struct csv *csv_open(const char *path, const char *bench);
/** csv_put() - a line; @what was measured at which @server, in the unit that @figure ends with. */
void csv_put(struct csv *csv, const char *what, const char *server, const char *figure,
             double value);
/** csv_close() - likewise ends the program where what was put could not be written. */
void csv_close(struct csv *csv);

#endif
