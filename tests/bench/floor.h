/*
 * floor.h - a server that does nothing: what the system alone charges for a request and its answer.
 *
 *   request: | its length, u64 | its answer's length, u64, top bit: a store's | any bytes |
 *   answer:  any bytes, the last five as memcached's would be
 *
 * or, started by floor_start_text(), memcached's protocol as far as a load of single requests needs
 * it: every "get" is a hit with the same value, every "set" is said to be stored.
 *
 * A process of its own, one thread on the event loop the real server uses (libevent), no work in
 * between: one read, one write. What it does in a second is the most any server could.
 *
 * Threads: none; the process ends with its parent.
 */
#ifndef TESTS_BENCH_FLOOR_H
#define TESTS_BENCH_FLOOR_H

#include <stddef.h>
#include <stdint.h>

#define FLOOR_HEADER_BYTES    16u
#define FLOOR_STORE           ((uint64_t)1 << 63)
/* A request that stores one comes in one read. */
#define FLOOR_VALUE_BYTES_MAX 4096u

struct floor;

/** floor_start() - on that core; ends the program where it cannot be. */
struct floor *floor_start(int core);
/** floor_start_text() - the same in memcached's protocol, one request at a time on a connection.
 * @value_bytes: of what a get is answered with, at most FLOOR_VALUE_BYTES_MAX. */
struct floor *floor_start_text(int core, size_t value_bytes);
void floor_stop(struct floor *floor);
uint16_t floor_port(const struct floor *floor);
long floor_pid(const struct floor *floor);

/** floor_header() - over the first FLOOR_HEADER_BYTES of a batch that takes @request_bytes. */
void floor_header(uint8_t *request, uint64_t request_bytes, uint64_t answer_bytes, int store);

#endif
