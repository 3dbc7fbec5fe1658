/*
 * floor.h - a server that does nothing: what the system alone charges for a request and its answer.
 *
 *   request: | its length, u64 | its answer's length, u64, top bit: a store's | any bytes |
 *   answer:  any bytes, the last five as memcached's would be
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

#define FLOOR_HEADER_BYTES 16u
#define FLOOR_STORE        ((uint64_t)1 << 63)

struct floor;

/** floor_start() - on that core; ends the program where it cannot be. */
struct floor *floor_start(int core);
void floor_stop(struct floor *floor);
uint16_t floor_port(const struct floor *floor);
long floor_pid(const struct floor *floor);

/** floor_header() - over the first FLOOR_HEADER_BYTES of a batch that takes @request_bytes. */
void floor_header(uint8_t *request, uint64_t request_bytes, uint64_t answer_bytes, int store);

#endif
