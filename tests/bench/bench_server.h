/*
 * bench_server.h - a server that is measured: started, asked for figures, its CPU time read.
 *
 * Threads: one server, one thread.
 */
#ifndef TESTS_BENCH_BENCH_SERVER_H
#define TESTS_BENCH_BENCH_SERVER_H

#include <stddef.h>
#include <stdint.h>

struct bench_server;

#define BENCH_ANY_CORE (-1)

/**
 * bench_server_start() - run @program with @options on one core, or end with a message.
 *
 * The calling thread is bound to @core for the time of the start, which the server inherits, and
 * may run on any afterwards: bench_bind() it.
 */
struct bench_server *bench_server_start(const char *program, const char *options, int core);
void bench_server_stop(struct bench_server *server);

uint16_t bench_server_port(const struct bench_server *server);
size_t bench_server_resident_bytes(const struct bench_server *server);
/** bench_server_figure() - a number of "stats SECTION"; the benchmark ends where there is none. */
uint64_t bench_server_figure(struct bench_server *server, const char *section, const char *name);
long bench_server_pid(const struct bench_server *server);
/** bench_wait_settled() - until nothing was compressed again in the background for 25 s, as items
 * are when they are 10 to 20 s old; at most ten minutes. Ours only. */
void bench_wait_settled(struct bench_server *server);
/** bench_cpu() - user and system time of all threads of a process so far, in seconds. */
void bench_cpu(long pid, double *user_s, double *system_s);
/** bench_threads() - calls @each for the threads of a process; without any the program ends. */
void bench_threads(long pid, void (*each)(void *context, long thread), void *context);
/**
 * bench_seat() - the worker thread of a server that has one gets @core for itself.
 * @others: where all its others run from now on, or BENCH_ANY_CORE.
 *
 * What it does beside requests does not take their core then. The worker is known by its name, as
 * the busiest may be another once a server has learned; where none has that name, it is that one.
 * Returns the thread, for bench_thread_cpu().
 */
long bench_seat(long pid, int core, int others);
/** bench_thread_cpu() - of one thread of a process. */
void bench_thread_cpu(long pid, long thread, double *user_s, double *system_s);

/** bench_bind() - the calling thread runs on that core only, or on any. */
void bench_bind(int core);

#endif
