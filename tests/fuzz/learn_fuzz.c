/*
 * learn_fuzz.c - any bytes as samples of what is stored: whatever is learned from them, items
 * compressed with the dictionary chosen for them come back the same, hostile blocks are refused
 * within their room, and every dictionary goes when nobody names it.
 *
 *   runs of samples:  [0] how many, in eights   [1] key bytes   [2, 3] value bytes   [4] step
 *   Contents are taken from the input itself, a step further on for each sample, with its number
 *   here and there; so few bytes give many samples, alike or not.
 *
 * The second half of the runs is learned from when the first has given classes and dictionaries.
 */
#include "server/cache/learn.h"

#include <assert.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

enum {
    RUN_BYTES = 5,
    RUNS_MAX = 8,
    SAMPLES_BYTES = 80 << 10,
    SAMPLE_BYTES_MAX = 2048,
    NUMBER_EVERY = 13,
    TRIES_MAX = 32 /* items compressed after each learning */
};

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void add_run(struct samples *samples, const uint8_t *run, const uint8_t *data, size_t size)
{
    const unsigned count = 8u * (run[0] + 1u);
    const size_t key_bytes = 1 + run[1] % 250u;
    const size_t bytes = key_bytes + (run[2] | (size_t)run[3] << 8) % SAMPLE_BYTES_MAX;
    size_t at = 0;

    for (unsigned i = 0; i < count; i++) {
        uint8_t *out = samples_room(samples, bytes);
        if (out == NULL)
            return;
        for (size_t j = 0; j < bytes; j++) {
            out[j] = data[(at + j) % size];
            if (j % NUMBER_EVERY == 0) {
                out[j] = (uint8_t)(i >> j / NUMBER_EVERY % 2 * 8);
            }
        }
        samples_add(samples, bytes, key_bytes);
        at += run[4];
    }
}

/* The same bytes come back from either level, and a damaged block stays in its room. */
static void try_item(const struct dictionaries *dictionaries, const struct classes *classes,
                     struct codec *codec, const uint8_t *entry, size_t key_bytes, size_t bytes)
{
    const unsigned number = classes_choose(classes, entry, key_bytes, bytes);
    const struct codec_dictionary *dictionary = dictionaries_get(dictionaries, number);
    uint8_t *out = malloc(bytes), *damaged = malloc(bytes);

    assert(out != NULL && damaged != NULL && classes_name(classes, number));
    for (enum codec_level level = CODEC_FAST; level <= CODEC_HIGH; level++) {
        const uint8_t *block;
        const size_t block_bytes = codec_compress(codec, level, dictionary, entry, bytes, &block);
        assert(block_bytes < bytes);
        if (block_bytes == 0)
            continue;
        const bool sound = codec_decompress(dictionary, block, block_bytes, out, bytes);
        assert(sound && memcmp(out, entry, bytes) == 0);
        memcpy(damaged, block, block_bytes);
        damaged[bytes % block_bytes] ^= 0x41;
        (void)!codec_decompress(dictionary, damaged, block_bytes, out, bytes);
        (void)!codec_decompress_prefix(dictionary, damaged, block_bytes, out, key_bytes);
    }
    /* As it is, as a block. */
    (void)!codec_decompress(dictionary, entry, bytes, damaged, bytes);
    free(damaged);
    free(out);
}

static void try_items(const struct dictionaries *dictionaries, const struct classes *classes,
                      struct codec *codec, const struct samples *samples)
{
    const unsigned step = 1 + samples->count / TRIES_MAX;
    size_t at = 0;

    for (unsigned i = 0; i < samples->count; at += samples->bytes[i++]) {
        if (i % step == 0)
            try_item(dictionaries, classes, codec, samples->data + at, samples->key_bytes[i],
                     samples->bytes[i]);
    }
}

/* Learns from one half of the runs; the classes that hold from then on. */
static struct classes *learn_half(struct dictionaries *dictionaries, struct classes *current,
                                  struct codec *codec, struct samples *samples,
                                  unsigned classes_max)
{
    const struct learn_task task = {
        .dictionaries = dictionaries,
        .current = current,
        .codec = codec,
        .samples = samples,
        .limit_bytes = (uint64_t)1 << 30,
        .price_bytes = 256 << 10,
        .classes_max = classes_max,
        .now_s = 1,
    };

    (void)learn_is_promising(dictionaries, current, samples, codec);
    struct classes *learned = learn(&task);
    if (learned != NULL) {
        classes_free(current);
        current = learned;
    }
    if (dictionaries_tidy(dictionaries) > 0)
        codec_forget(codec);
    try_items(dictionaries, current, codec, samples);
    return current;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size <= RUN_BYTES)
        return 0;
    const size_t runs_room = (size - 1) / RUN_BYTES;
    const size_t runs = runs_room < RUNS_MAX ? runs_room : RUNS_MAX;
    const unsigned classes_max = 1u + data[0] % CLASSES_MAX;
    struct dictionaries *dictionaries = dictionaries_new();
    struct codec *codec = codec_new(2);
    struct samples *samples = malloc(sizeof(*samples) + SAMPLES_BYTES);
    struct classes *classes = NULL;

    assert(dictionaries != NULL && codec != NULL && samples != NULL);
    for (unsigned half = 0; half < 2; half++) {
        samples_init(samples, SAMPLES_BYTES);
        for (size_t i = half; i < runs; i += 2)
            add_run(samples, data + 1 + i * RUN_BYTES, data, size);
        classes = learn_half(dictionaries, classes, codec, samples, classes_max);
    }
    assert(dictionaries_count(dictionaries) <= classes_max || classes == NULL);
    classes_free(classes);
    (void)dictionaries_tidy(dictionaries);
    assert(dictionaries_count(dictionaries) == 0);
    free(samples);
    codec_free(codec);
    dictionaries_free(dictionaries);
    return 0;
}
