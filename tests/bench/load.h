/*
 * load.h - a closed loop of requests on many connections, from one thread.
 *
 *   items --> prepared requests --> batches of @depth, one write each --> server
 *                                     ^                                    |
 *                                     '-- the next, when all of the reply --'
 *
 * Requests are made before the clock starts, and how long each reply must be is known from then on:
 * while it runs the load only copies, counts bytes and looks at the last five of each batch. That
 * keeps it cheaper than any server, which load_result says in figures (busy_percent).
 *
 * Every get must hit, for a miss makes the reply shorter: the run ends with an error then.
 *
 * Threads: one load, one thread.
 */
#ifndef TESTS_BENCH_LOAD_H
#define TESTS_BENCH_LOAD_H

#include "tests/corpus/corpus.h"

#include <stdbool.h>
#include <stdint.h>

#define LOAD_CONNECTIONS_MAX 1024u
#define LOAD_ERROR_BYTES     128u

enum load_kind {
    LOAD_GET,
    LOAD_SET,
    LOAD_MULTIGET
};

struct load_plan {
    const char *name;
    enum load_kind kind;
    unsigned connections;
    unsigned depth; /* requests in a batch; of LOAD_MULTIGET: keys in one request */
    bool floor;     /* batches as floor.h wants them, of the same lengths */
};

struct load_result {
    uint64_t requests; /* of LOAD_MULTIGET: keys */
    double seconds;
    double busy_percent; /* of its core that the load itself took */
};

struct load;

/** load_new() - prepare requests for @items_count items drawn from @corpus, each with a key of its
 * own. NULL: no memory. */
struct load *load_new(struct corpus *corpus, uint32_t items_count);
void load_free(struct load *load);
/** load_data_bytes() - of all keys and values, each item's once more for its key. */
size_t load_data_bytes(const struct load *load);

/** load_fill() - store every item once at the server on that port. */
bool load_fill(struct load *load, uint16_t port, char error[LOAD_ERROR_BYTES])
    __attribute__((warn_unused_result));
/** load_run() - requests for items at random, for about @seconds. */
bool load_run(struct load *load, uint16_t port, const struct load_plan *plan, double seconds,
              struct load_result *result, char error[LOAD_ERROR_BYTES])
    __attribute__((warn_unused_result));

#endif
