#include "tests/bench/stream.h"

#include "clients/load_random.h"

#include <assert.h>
#include <stdlib.h>

#define POPULAR_PART 10u
#define HEADER_BYTES 56u /* memcached's item of 48 and its cas of 8 */

struct stream {
    struct stream_plan plan;
    struct load_random random;
    uint32_t *keys; /* by rank */
    uint32_t *order;
    struct load_zipf zipf;
};

/* 0 to below 1. */
static double random_part(struct load_random *random)
{
    return (double)(load_random_next(random) >> 11) * 0x1p-53;
}

static void shuffle(uint32_t *numbers, uint32_t count, struct load_random *random)
{
    for (uint32_t i = 0; i < count; i++)
        numbers[i] = i;
    for (uint32_t i = count; i > 1; i--) {
        uint32_t j = (uint32_t)(load_random_next(random) % i);
        uint32_t kept = numbers[i - 1];

        numbers[i - 1] = numbers[j];
        numbers[j] = kept;
    }
}

struct stream *stream_new(const struct stream_plan *plan)
{
    struct stream *stream = calloc(1, sizeof(*stream));

    assert(plan->keys_count > POPULAR_PART && plan->skew > 0);
    assert(plan->ttl_part <= 0 || (plan->ttl_s_min > 0 && plan->ttl_s_min <= plan->ttl_s_max));
    if (stream == NULL)
        return NULL;
    stream->plan = *plan;
    stream->random.state = plan->seed;
    stream->keys = calloc(plan->keys_count, sizeof(*stream->keys));
    stream->order = calloc(plan->keys_count, sizeof(*stream->order));
    if (stream->keys == NULL || stream->order == NULL) {
        stream_free(stream);
        return NULL;
    }
    shuffle(stream->keys, plan->keys_count, &stream->random);
    shuffle(stream->order, plan->keys_count, &stream->random);
    load_zipf_init(&stream->zipf, plan->keys_count, plan->skew);
    return stream;
}

void stream_free(struct stream *stream)
{
    if (stream == NULL)
        return;
    free(stream->keys);
    free(stream->order);
    free(stream);
}

/* A key keeps its time to live, or has none. */
static uint32_t ttl_s(const struct stream_plan *plan, uint32_t key)
{
    struct load_random random = {plan->seed + key};

    if (random_part(&random) >= plan->ttl_part)
        return 0;
    return plan->ttl_s_min +
           (uint32_t)(load_random_next(&random) % (plan->ttl_s_max - plan->ttl_s_min + 1));
}

static void fill_in(const struct stream *stream, uint32_t key, struct stream_request *request)
{
    stream->plan.item(stream->plan.context, key, &request->item);
    request->ttl_s = ttl_s(&stream->plan, key);
}

static void churn(struct stream *stream)
{
    uint32_t count = stream->plan.keys_count;
    uint32_t popular = (uint32_t)(load_random_next(&stream->random) % (count / POPULAR_PART));
    uint32_t any = (uint32_t)(load_random_next(&stream->random) % count);
    uint32_t kept = stream->keys[popular];

    stream->keys[popular] = stream->keys[any];
    stream->keys[any] = kept;
}

void stream_next(struct stream *stream, struct stream_request *request)
{
    uint32_t rank = (uint32_t)load_zipf_draw(&stream->zipf, &stream->random) - 1;

    request->write = random_part(&stream->random) < stream->plan.write_part;
    fill_in(stream, stream->keys[rank], request);
    if (random_part(&stream->random) < stream->plan.churn_part)
        churn(stream);
}

void stream_each(const struct stream *stream, uint32_t number, struct stream_request *request)
{
    assert(number < stream->plan.keys_count);
    request->write = true;
    fill_in(stream, stream->order[number], request);
}

uint32_t stream_keys_count(const struct stream *stream)
{
    return stream->plan.keys_count;
}

uint64_t stream_data_bytes(const struct stream *stream)
{
    uint64_t sum = 0;

    for (uint32_t key = 0; key < stream->plan.keys_count; key++) {
        struct corpus_item item;

        stream->plan.item(stream->plan.context, key, &item);
        sum += item.key_bytes + item.value_bytes + HEADER_BYTES;
    }
    return sum;
}
