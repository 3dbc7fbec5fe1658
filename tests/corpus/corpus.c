#include "tests/corpus/corpus.h"

#include "tests/corpus/corpus_records.h"

#include <assert.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define PERMILLE    1000u
#define ROUND_BASE  94u /* printable bytes without the blank */
#define FIRST_PRINT 33u

/* By count: what the project's density figures are given for. documents and fragments are .105 and
 * .045 there, pages and binary .006 and .004. */
const struct corpus_class CORPUS_CLASSES[CORPUS_CLASSES_COUNT] = {
    {"small_json", 420}, {"sessions", 220}, {"tiny", 200}, {"documents", 105},
    {"fragments", 45},   {"pages", 6},      {"binary", 4},
};

/* An id: class, round, and place in the class's order. */
#define ID_PLACE_BITS 32u
#define ID_ROUND_BITS 24u

struct class_stream {
    struct corpus_records records; /* count is 0 where the class is not drawn */
    size_t place;
    uint64_t round;
};

struct corpus {
    uint64_t seed;
    bool mix;
    unsigned only; /* the class, where it is no mix */
    struct class_stream streams[CORPUS_CLASSES_COUNT];
};

uint64_t corpus_random(uint64_t *seed)
{
    uint64_t mixed = *seed += 0x9e3779b97f4a7c15;

    mixed = (mixed ^ (mixed >> 30)) * 0xbf58476d1ce4e5b9;
    mixed = (mixed ^ (mixed >> 27)) * 0x94d049bb133111eb;
    return mixed ^ (mixed >> 31);
}

static void shuffle(struct corpus_records *records, uint64_t seed)
{
    for (size_t i = records->count; i > 1; i--) {
        size_t j = (size_t)(corpus_random(&seed) % i);
        size_t kept = records->starts[i - 1];

        records->starts[i - 1] = records->starts[j];
        records->starts[j] = kept;
    }
}

static bool has_files(const char *folder)
{
    return folder != NULL && folder[0] != '\0';
}

const char *corpus_origin(const char *folder)
{
    return has_files(folder) ? "corpus files" : "files of packages";
}

static bool load_class(struct corpus *corpus, unsigned number, const char *folder,
                       char error[CORPUS_ERROR_BYTES_MAX])
{
    struct corpus_records *records = &corpus->streams[number].records;
    const char *name = CORPUS_CLASSES[number].name;
    bool loaded = has_files(folder) ? corpus_load(records, folder, name, error)
                                    : corpus_make(records, number, corpus->seed, error);

    if (!loaded)
        return false;
    if (records->count == 0) {
        snprintf(error, CORPUS_ERROR_BYTES_MAX, "corpus %s is empty", name);
        return false;
    }
    shuffle(records, corpus->seed + number);
    return true;
}

struct corpus *corpus_new(const char *folder, const char *name, uint64_t seed,
                          char error[CORPUS_ERROR_BYTES_MAX])
{
    struct corpus *corpus = calloc(1, sizeof(*corpus));
    unsigned classes = 0;

    if (corpus == NULL) {
        snprintf(error, CORPUS_ERROR_BYTES_MAX, "no memory");
        return NULL;
    }
    corpus->seed = seed;
    corpus->mix = strcmp(name, "mix") == 0;
    for (unsigned i = 0; i < CORPUS_CLASSES_COUNT; i++) {
        if (!corpus->mix && strcmp(name, CORPUS_CLASSES[i].name) != 0)
            continue;
        corpus->only = i;
        classes++;
        if (!load_class(corpus, i, folder, error)) {
            corpus_free(corpus);
            return NULL;
        }
    }
    if (classes == 0) {
        snprintf(error, CORPUS_ERROR_BYTES_MAX, "no corpus is called \"%.100s\"", name);
        corpus_free(corpus);
        return NULL;
    }
    return corpus;
}

void corpus_free(struct corpus *corpus)
{
    if (corpus == NULL)
        return;
    for (unsigned i = 0; i < CORPUS_CLASSES_COUNT; i++)
        corpus_records_fini(&corpus->streams[i].records);
    free(corpus);
}

static unsigned draw_class(struct corpus *corpus)
{
    unsigned number = 0;
    unsigned left;

    if (!corpus->mix)
        return corpus->only;
    left = (unsigned)(corpus_random(&corpus->seed) % PERMILLE);
    while (left >= CORPUS_CLASSES[number].permille) {
        left -= CORPUS_CLASSES[number].permille;
        number++;
        assert(number < CORPUS_CLASSES_COUNT); /* the permilles add up */
    }
    return number;
}

uint64_t corpus_draw(struct corpus *corpus)
{
    unsigned number = draw_class(corpus);
    struct class_stream *stream = &corpus->streams[number];
    uint64_t id = ((uint64_t)number << ID_ROUND_BITS | stream->round) << ID_PLACE_BITS |
                  (uint64_t)stream->place;

    stream->place++;
    if (stream->place == stream->records.count) {
        stream->place = 0;
        stream->round++;
        assert(stream->round < UINT64_C(1) << ID_ROUND_BITS);
    }
    return id;
}

/* From the second round on the first byte tells the round; where there are more rounds than bytes,
 * so do bytes at the end, as far as the key has room. */
static void mark_round(struct corpus_item *item, uint64_t round)
{
    if (round == 0)
        return;
    item->key[0] = (uint8_t)(FIRST_PRINT + round % ROUND_BASE);
    for (round /= ROUND_BASE; round > 0 && item->key_bytes < CORPUS_KEY_BYTES_MAX;
         round /= ROUND_BASE)
        item->key[item->key_bytes++] = (uint8_t)(FIRST_PRINT + round % ROUND_BASE);
}

void corpus_item(const struct corpus *corpus, uint64_t id, struct corpus_item *item)
{
    size_t place = (size_t)(id & UINT32_MAX);
    uint64_t round = id >> ID_PLACE_BITS & ((UINT64_C(1) << ID_ROUND_BITS) - 1);
    uint64_t number = id >> (ID_PLACE_BITS + ID_ROUND_BITS);
    const struct corpus_records *records;
    const uint8_t *record;
    uint32_t value_bytes;

    assert(number < CORPUS_CLASSES_COUNT);
    records = &corpus->streams[number].records;
    assert(place < records->count);
    record = records->bytes.data + records->starts[place];
    item->key_bytes = (size_t)(record[0] | record[1] << 8);
    memcpy(&value_bytes, record + 2, sizeof(value_bytes));
    item->value_bytes = value_bytes;
    record += CORPUS_RECORD_HEADER_BYTES;
    memcpy(item->key, record, item->key_bytes);
    item->value = record + item->key_bytes;
    mark_round(item, round);
}
