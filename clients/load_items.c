#include "clients/load_items.h"

#include "clients/load_corpus.h"
#include "clients/load_random.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Where values may begin in the text: more places make values less alike and the cache's lines that
 * the load itself reads more. */
#define PLACES_COUNT   ((size_t)1 << 18)
#define WORDS_COUNT    1024u
#define WORD_BYTES_MAX 12u
#define DECIMALS_MAX   20u

struct load_items {
    uint8_t prefix[LOAD_PREFIX_BYTES_MAX];
    size_t prefix_bytes;
    size_t digits_min;
    size_t value_bytes_min, value_bytes_max;
    uint64_t seed;
    uint8_t *text; /* made items */
    struct load_corpus corpus;
};

uint8_t *load_put_decimal(uint8_t *at, uint64_t number, size_t digits_min)
{
    uint8_t digits[DECIMALS_MAX];
    size_t count = 0;

    do {
        digits[DECIMALS_MAX - ++count] = (uint8_t)('0' + number % 10);
        number /= 10;
    } while (number > 0);
    for (; digits_min > count; digits_min--)
        *at++ = '0';
    return mempcpy(at, digits + DECIMALS_MAX - count, count);
}

/* Words of 2 to 12 letters, the first ones far more often: about as repetitive as text is. */
static void write_text(uint8_t *text, size_t bytes, struct load_random *random)
{
    char words[WORDS_COUNT][WORD_BYTES_MAX];
    size_t lengths[WORDS_COUNT];
    struct load_zipf zipf;
    size_t at = 0;

    load_zipf_init(&zipf, WORDS_COUNT, 1);
    for (size_t i = 0; i < WORDS_COUNT; i++) {
        lengths[i] = 2 + (size_t)load_random_below(random, WORD_BYTES_MAX - 1);
        for (size_t j = 0; j < lengths[i]; j++)
            words[i][j] = (char)('a' + load_random_below(random, 26));
    }
    while (at < bytes) {
        size_t word = (size_t)load_zipf_draw(&zipf, random) - 1;
        size_t taken = lengths[word] < bytes - at ? lengths[word] : bytes - at;

        memcpy(text + at, words[word], taken);
        at += taken;
        if (at < bytes)
            text[at++] = ' ';
    }
}

static void write_noise(uint8_t *text, size_t bytes, struct load_random *random)
{
    for (size_t i = 0; i < bytes; i++)
        text[i] = (uint8_t)load_random_next(random);
}

static bool make_text(struct load_items *items, const struct load_items_plan *plan)
{
    struct load_random random = {plan->seed};
    size_t bytes = PLACES_COUNT + plan->value_bytes_max;

    items->text = malloc(bytes);
    if (items->text == NULL)
        return false;
    (plan->random_values ? write_noise : write_text)(items->text, bytes, &random);
    return true;
}

struct load_items *load_items_new(const struct load_items_plan *plan, char error[LOAD_ERROR_BYTES])
{
    struct load_items *items = calloc(1, sizeof(*items));
    bool good = items != NULL;

    assert(plan->value_bytes_min <= plan->value_bytes_max &&
           plan->value_bytes_max <= LOAD_VALUE_BYTES_MAX);
    assert(strlen(plan->prefix) <= LOAD_PREFIX_BYTES_MAX &&
           plan->key_bytes_min <= LOAD_KEY_BYTES_MAX);
    snprintf(error, LOAD_ERROR_BYTES, "no memory");
    if (!good)
        return NULL;
    items->prefix_bytes = strlen(plan->prefix);
    memcpy(items->prefix, plan->prefix, items->prefix_bytes);
    if (plan->key_bytes_min > items->prefix_bytes)
        items->digits_min = plan->key_bytes_min - items->prefix_bytes;
    items->value_bytes_min = plan->value_bytes_min;
    items->value_bytes_max = plan->value_bytes_max;
    items->seed = load_mix64(plan->seed + 1);
    good = plan->corpora_count > 0 ? load_corpus_load(&items->corpus, plan, error)
                                   : make_text(items, plan);
    if (good)
        return items;
    load_items_free(items);
    return NULL;
}

void load_items_free(struct load_items *items)
{
    if (items == NULL)
        return;
    load_corpus_fini(&items->corpus);
    free(items->text);
    free(items);
}

size_t load_items_records_count(const struct load_items *items)
{
    return items->corpus.count;
}

size_t load_items_left_out_count(const struct load_items *items)
{
    return items->corpus.left_out_count;
}

size_t load_items_value_bytes_max(const struct load_items *items)
{
    return items->corpus.count > 0 ? items->corpus.value_bytes_max : items->value_bytes_max;
}

static struct load_record record_of(const struct load_items *items, uint64_t number)
{
    const struct load_corpus *corpus = &items->corpus;

    return load_corpus_record(corpus, corpus->order[number % corpus->count]);
}

size_t load_items_key(const struct load_items *items, uint64_t number, uint8_t *key)
{
    uint8_t *at = mempcpy(key, items->prefix, items->prefix_bytes);

    if (items->corpus.count > 0) {
        struct load_record record = record_of(items, number);
        uint64_t round = number / items->corpus.count;

        at = mempcpy(at, record.key, record.key_bytes);
        if (round > 0) {
            *at++ = '~';
            at = load_put_decimal(at, round + 1, 0);
        }
    } else {
        at = load_put_decimal(at, number, items->digits_min);
    }
    assert((size_t)(at - key) <= LOAD_KEY_BYTES_MAX);
    return (size_t)(at - key);
}

static void put_hexadecimal(uint8_t *at, uint64_t number)
{
    for (unsigned i = 0; i < 16; i++)
        at[i] = (uint8_t) "0123456789abcdef"[number >> (60 - 4 * i) & 15];
}

void load_items_value(const struct load_items *items, uint64_t number, struct load_value *value)
{
    uint64_t hash, bytes;

    if (items->corpus.count > 0) {
        struct load_record record = record_of(items, number);

        value->head_bytes = 0;
        value->body = record.value;
        value->body_bytes = record.value_bytes;
        return;
    }
    hash = load_mix64(number ^ items->seed);
    bytes = items->value_bytes_min +
            load_mix64(hash) % (items->value_bytes_max - items->value_bytes_min + 1);
    put_hexadecimal(value->head, hash);
    value->head_bytes = bytes < LOAD_HEAD_BYTES ? (size_t)bytes : LOAD_HEAD_BYTES;
    value->body = items->text + (hash & (PLACES_COUNT - 1));
    value->body_bytes = (size_t)bytes - value->head_bytes;
}

static bool piece_equals(const uint8_t *piece, const uint8_t *data, size_t bytes, size_t *at)
{
    if (bytes == 0 || memcmp(piece, data, bytes) == 0)
        return true;
    while (*piece++ == *data++)
        (*at)++;
    return false;
}

bool load_value_equals(const struct load_value *value, const uint8_t *data, size_t bytes,
                       size_t *at)
{
    size_t head_bytes = bytes < value->head_bytes ? bytes : value->head_bytes;
    size_t body_bytes = bytes - head_bytes;

    *at = 0;
    if (!piece_equals(value->head, data, head_bytes, at))
        return false;
    *at = head_bytes;
    body_bytes = body_bytes < value->body_bytes ? body_bytes : value->body_bytes;
    if (!piece_equals(value->body, data + head_bytes, body_bytes, at))
        return false;
    *at = head_bytes + body_bytes;
    return bytes == value->head_bytes + value->body_bytes;
}
