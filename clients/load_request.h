/*
 * load_request.h - which requests are made, and their bytes.
 *
 *   mix --> kind;  Zipf or even --> rank --> item number --> "get key\r\n" into a buffer
 *
 * Ranks are spread over the item numbers by a multiplication modulo their count, so that the
 * popular items are not those stored first. While items are stored at first each number comes once.
 *
 * Threads: one source, one thread.
 */
#ifndef CLIENTS_LOAD_REQUEST_H
#define CLIENTS_LOAD_REQUEST_H

#include "clients/load_buffer.h"
#include "clients/load_plan.h"
#include "clients/load_random.h"

/* A request on its way. */
struct load_request {
    uint64_t since_ns; /* what its latency counts from */
    enum load_kind kind;
    uint32_t keys_count;
    uint32_t values_count; /* come so far */
    uint32_t next;         /* of its keys: where the next value is looked for */
    uint64_t *keys;        /* item numbers; the connection's memory */
};

struct load_source {
    const struct load_plan *plan;
    const struct load_items *items;
    struct load_random random;
    struct load_zipf zipf;
    uint64_t factor, shift;            /* rank to number */
    uint64_t bounds[LOAD_KINDS_COUNT]; /* of 64 random bits, by kind */
    uint64_t store_next, store_end;    /* numbers still to be stored first */
};

/** load_source_init() - @worker: its number, for a sequence of its own. */
void load_source_init(struct load_source *source, const struct load_plan *plan,
                      const struct load_items *items, uint32_t worker);
/**
 * load_source_make() - the next request's bytes go to the end of @out.
 * @storing: the next of the numbers to be stored, of which there is one left; else as the mix says.
 * @request: its keys have room; all but since_ns is set.
 *
 * False: no memory.
 */
bool load_source_make(struct load_source *source, bool storing, struct load_buffer *out,
                      struct load_request *request) __attribute__((warn_unused_result));

#endif
