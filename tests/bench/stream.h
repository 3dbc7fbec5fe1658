/*
 * stream.h - a seeded stream of requests, as a cache in front of something slower meets them.
 *
 *   rank, drawn by Zipf --> key of that rank --> get, or a write for a part of them
 *                            ^
 *                            '-- now and then a popular key changes places with any other
 *
 * Keys are numbers; what a number stands for, key and value, is the plan's to say. The cache is
 * read through: who plays the stream stores what he did not find.
 *
 * Words: a key's *rank* is its place by popularity, 0 is asked for most; the key of rank r is drawn
 * with a probability in proportion to (r + 1)^-skew. *Churn*: the share of requests upon which one
 * key of the most popular tenth and one of all keys change ranks.
 *
 * The seed alone decides the stream.
 *
 * Threads: one stream, one thread.
 * Source: Hoermann and Derflinger, Rejection-inversion to generate variates from monotone discrete
 * distributions (1996).
 */
#ifndef TESTS_BENCH_STREAM_H
#define TESTS_BENCH_STREAM_H

#include "tests/corpus/corpus.h"

#include <stdbool.h>
#include <stdint.h>

#define STREAM_BATCH_MAX 64u

struct stream;

/** stream_item_fn - what a key stands for. The same each time, as long as the plan says nothing
 * else. */
typedef void stream_item_fn(void *context, uint32_t key, struct corpus_item *item);

struct stream_plan {
    uint64_t seed;
    uint32_t keys_count;
    double skew;       /* of Zipf's law, above 0 */
    double write_part; /* of the requests */
    double churn_part; /* of the requests */
    double ttl_part;   /* of the keys have a time to live, and from ttl_s_min to ttl_s_max */
    uint32_t ttl_s_min;
    uint32_t ttl_s_max;
    stream_item_fn *item;
    void *context;
};

struct stream_request {
    struct corpus_item item;
    uint32_t ttl_s; /* 0: none */
    bool write;
};

/** stream_new() - NULL: no memory. */
struct stream *stream_new(const struct stream_plan *plan);
void stream_free(struct stream *stream);

/** stream_next() - the next request. */
void stream_next(struct stream *stream, struct stream_request *request);
/** stream_each() - a write for every key once, in an order that has nothing to do with its rank.
 * @number: 0 to keys_count - 1. */
void stream_each(const struct stream *stream, uint32_t number, struct stream_request *request);
uint32_t stream_keys_count(const struct stream *stream);
/**
 * stream_data_bytes() - the memory all items would take in memcached without its rounding up: keys,
 * values, and 56 bytes of header each.
 */
uint64_t stream_data_bytes(const struct stream *stream);

#endif
