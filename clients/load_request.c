#include "clients/load_request.h"

#include <assert.h>
#include <string.h>

/* "set ", " 0 ", two numbers of 10 and 20 digits, blanks and line ends. */
#define AROUND_BYTES_MAX 64u

__extension__ typedef unsigned __int128 wide;

static uint64_t divisor_of(uint64_t a, uint64_t b)
{
    while (b != 0) {
        uint64_t rest = a % b;

        a = b;
        b = rest;
    }
    return a;
}

static void set_bounds(struct load_source *source)
{
    const double *mix = source->plan->mix;
    double sum = 0, below = 0;
    unsigned last = 0;

    for (unsigned i = 0; i < LOAD_KINDS_COUNT; i++) {
        sum += mix[i];
        last = mix[i] > 0 ? i : last;
    }
    assert(sum > 0);
    for (unsigned i = 0; i < LOAD_KINDS_COUNT; i++) {
        below += mix[i];
        source->bounds[i] = i >= last ? UINT64_MAX : (uint64_t)(below / sum * 0x1p64);
    }
}

void load_source_init(struct load_source *source, const struct load_plan *plan,
                      const struct load_items *items, uint32_t worker)
{
    *source = (struct load_source){.plan = plan, .items = items};
    source->random.state = load_mix64(plan->seed) + load_mix64((uint64_t)worker + 1);
    if (plan->skew > 0)
        load_zipf_init(&source->zipf, plan->keys, plan->skew);
    /* Near the golden section neighbours end up far from each other; one to one where the two have
     * no common divisor. */
    source->factor = (uint64_t)((double)plan->keys * .6180339887498949) | 1;
    while (divisor_of(source->factor, plan->keys) != 1)
        source->factor += 2;
    source->shift = load_mix64(plan->seed + 2) % plan->keys;
    set_bounds(source);
}

static uint64_t draw_number(struct load_source *source)
{
    uint64_t keys = source->plan->keys;
    uint64_t rank;

    if (source->plan->skew <= 0)
        return load_random_below(&source->random, keys);
    rank = load_zipf_draw(&source->zipf, &source->random) - 1;
    return (uint64_t)(((wide)rank * source->factor + source->shift) % keys);
}

static enum load_kind draw_kind(struct load_source *source)
{
    uint64_t drawn = load_random_next(&source->random);
    unsigned kind = 0;

    while (kind < LOAD_KINDS_COUNT - 1 &&
           (drawn >= source->bounds[kind] || source->plan->mix[kind] <= 0))
        kind++;
    return (enum load_kind)kind;
}

static uint32_t draw_ttl(struct load_source *source)
{
    const struct load_plan *plan = source->plan;

    if (plan->ttl_s_max == plan->ttl_s_min)
        return plan->ttl_s_min;
    return plan->ttl_s_min +
           (uint32_t)load_random_below(&source->random, plan->ttl_s_max - plan->ttl_s_min + 1);
}

static bool make_set(struct load_source *source, struct load_buffer *out, uint64_t number)
{
    struct load_value value;
    size_t value_bytes;
    uint8_t *start, *at;

    load_items_value(source->items, number, &value);
    value_bytes = value.head_bytes + value.body_bytes;
    start = at = load_buffer_room(out, value_bytes + LOAD_KEY_BYTES_MAX + AROUND_BYTES_MAX);
    if (at == NULL)
        return false;
    at = mempcpy(at, "set ", 4);
    at += load_items_key(source->items, number, at);
    at = mempcpy(at, " 0 ", 3);
    at = load_put_decimal(at, draw_ttl(source), 0);
    *at++ = ' ';
    at = load_put_decimal(at, value_bytes, 0);
    at = mempcpy(at, "\r\n", 2);
    at = mempcpy(at, value.head, value.head_bytes);
    at = mempcpy(at, value.body, value.body_bytes);
    at = mempcpy(at, "\r\n", 2);
    out->end += (size_t)(at - start);
    return true;
}

/* "word key key ...\r\n" */
static bool make_keys(struct load_source *source, const char *word, struct load_buffer *out,
                      const struct load_request *request)
{
    size_t most = (size_t)request->keys_count * (LOAD_KEY_BYTES_MAX + 1) + AROUND_BYTES_MAX;
    uint8_t *start = load_buffer_room(out, most);
    uint8_t *at = start;

    if (start == NULL)
        return false;
    at = mempcpy(at, word, strlen(word));
    for (uint32_t i = 0; i < request->keys_count; i++) {
        *at++ = ' ';
        at += load_items_key(source->items, request->keys[i], at);
    }
    at = mempcpy(at, "\r\n", 2);
    out->end += (size_t)(at - start);
    return true;
}

bool load_source_make(struct load_source *source, bool storing, struct load_buffer *out,
                      struct load_request *request)
{
    request->kind = storing ? LOAD_SET : draw_kind(source);
    request->keys_count = request->kind == LOAD_MULTIGET ? source->plan->multiget_keys : 1;
    request->values_count = 0;
    request->next = 0;
    assert(!storing || source->store_next < source->store_end);
    for (uint32_t i = 0; i < request->keys_count; i++)
        request->keys[i] = storing ? source->store_next++ : draw_number(source);
    if (request->kind == LOAD_SET)
        return make_set(source, out, request->keys[0]);
    return make_keys(source, request->kind == LOAD_DELETE ? "delete" : "get", out, request);
}
