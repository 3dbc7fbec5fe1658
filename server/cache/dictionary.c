#include "server/cache/dictionary.h"

#include "server/cache/memory_file.h"
#include "zbud/lock.h"

#include <assert.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#define ZDICT_STATIC_LINKING_ONLY
#include <zdict.h>

/* Measured on the mix of real cache contents, ratio at level 1 / HC 3 with k 1000, d 8:
 *
 *   samples   f 16            f 17            f 18            the library's own search of k and d
 *   0.5 MiB   2.008 / 2.517   2.034 / 2.530   2.037 / 2.531
 *   1.0 MiB   2.018 / 2.501   2.020 / 2.520   2.044 / 2.537
 *   6.4 MiB                                   2.064 / 2.585   2.073 / 2.586, in .49 s for .11 s
 *
 * f costs 6 bytes times 2^f while training, which a full cache has to evict for: 17 is 768 KiB. */
#define TRAIN_SEGMENT_BYTES 1000u /* k */
#define TRAIN_MATCH_BYTES   8u    /* d */
#define TRAIN_TABLE_LOG     17u   /* f */

struct description {
    char label[DICTIONARY_LABEL_BYTES];
    uint32_t added_s;
};

struct dictionaries {
    struct memory_file *file; /* NULL: none */
    struct zbud_lock lock;    /* changes of the table, and descriptions */
    struct codec_dictionary *_Atomic table[DICTIONARIES_MAX];
    _Atomic unsigned uses[DICTIONARIES_MAX];
    _Atomic unsigned count;
    /* Since the last tidying some dictionary was added or lost its last use. */
    _Atomic bool untidy;
    struct description descriptions[DICTIONARIES_MAX];
};

struct dictionaries *dictionaries_new(void)
{
    struct dictionaries *dictionaries = calloc(1, sizeof(*dictionaries));
    if (dictionaries != NULL)
        lock_init(&dictionaries->lock);
    return dictionaries;
}

void dictionaries_free(struct dictionaries *dictionaries)
{
    if (dictionaries == NULL)
        return;
    for (unsigned number = 1; number < DICTIONARIES_MAX; number++)
        codec_dictionary_free(atomic_load(&dictionaries->table[number]));
    lock_fini(&dictionaries->lock);
    free(dictionaries);
}

void dictionaries_keep(struct dictionaries *dictionaries, struct memory_file *file)
{
    dictionaries->file = file;
}

static void take_number(struct dictionaries *dictionaries, unsigned number,
                        struct codec_dictionary *dictionary, const char *label, uint32_t added_s)
{
    struct description *description = &dictionaries->descriptions[number];
    memset(description, 0, sizeof(*description));
    strncpy(description->label, label, DICTIONARY_LABEL_BYTES - 1);
    description->added_s = added_s;
    atomic_store_explicit(&dictionaries->table[number], dictionary, memory_order_release);
    atomic_fetch_add_explicit(&dictionaries->count, 1, memory_order_relaxed);
    atomic_store_explicit(&dictionaries->untidy, true, memory_order_release);
}

void dictionaries_recover(struct dictionaries *dictionaries)
{
    struct memory_file_dictionary found;
    lock_take(&dictionaries->lock);
    for (unsigned number = 1; number < DICTIONARIES_MAX; number++) {
        if (!memory_file_dictionary(dictionaries->file, number, &found))
            continue;
        struct codec_dictionary *dictionary = codec_dictionary_new(found.bytes, found.count);
        if (dictionary != NULL)
            take_number(dictionaries, number, dictionary, found.label, found.added_s);
    }
    lock_give(&dictionaries->lock);
}

bool dictionaries_has(const struct dictionaries *dictionaries, unsigned number)
{
    return number == 0 ||
           (number < DICTIONARIES_MAX &&
            atomic_load_explicit(&dictionaries->table[number], memory_order_acquire) != NULL);
}

static bool put_in_file(const struct dictionaries *dictionaries, unsigned number,
                        const struct codec_dictionary *dictionary, const char *label,
                        uint32_t added_s)
{
    struct memory_file_dictionary put = {.label = label, .added_s = added_s};
    put.bytes = codec_dictionary_content(dictionary, &put.count);
    return dictionaries->file == NULL ||
           memory_file_put_dictionary(dictionaries->file, number, &put);
}

const struct codec_dictionary *dictionaries_get(const struct dictionaries *dictionaries,
                                                unsigned number)
{
    assert(number < DICTIONARIES_MAX);
    const struct codec_dictionary *dictionary =
        atomic_load_explicit(&dictionaries->table[number], memory_order_acquire);
    assert(number == 0 || dictionary != NULL);
    return dictionary;
}

void dictionaries_use(struct dictionaries *dictionaries, unsigned number)
{
    assert(number < DICTIONARIES_MAX);
    if (number != 0)
        atomic_fetch_add_explicit(&dictionaries->uses[number], 1, memory_order_relaxed);
}

void dictionaries_release(struct dictionaries *dictionaries, unsigned number)
{
    if (number == 0)
        return;
    unsigned uses = atomic_fetch_sub_explicit(&dictionaries->uses[number], 1, memory_order_release);
    assert(uses > 0);
    if (uses == 1)
        atomic_store_explicit(&dictionaries->untidy, true, memory_order_release);
}

unsigned dictionaries_uses(const struct dictionaries *dictionaries, unsigned number)
{
    return atomic_load_explicit(&dictionaries->uses[number], memory_order_acquire);
}

unsigned dictionaries_add(struct dictionaries *dictionaries, struct codec_dictionary *dictionary,
                          const char *label, uint32_t added_s)
{
    unsigned number = 1;
    lock_take(&dictionaries->lock);
    while (number < DICTIONARIES_MAX && atomic_load(&dictionaries->table[number]) != NULL)
        number++;
    if (number == DICTIONARIES_MAX ||
        !put_in_file(dictionaries, number, dictionary, label, added_s))
        number = 0;
    else
        take_number(dictionaries, number, dictionary, label, added_s);
    lock_give(&dictionaries->lock);
    return number;
}

unsigned dictionaries_tidy(struct dictionaries *dictionaries)
{
    unsigned freed = 0;
    if (!atomic_load_explicit(&dictionaries->untidy, memory_order_relaxed))
        return 0;
    lock_take(&dictionaries->lock);
    /* Before looking: what loses its last use meanwhile is seen now, or says so again. */
    (void)atomic_exchange(&dictionaries->untidy, false);
    for (unsigned number = 1; number < DICTIONARIES_MAX; number++) {
        struct codec_dictionary *dictionary = atomic_load(&dictionaries->table[number]);
        /* Uses are only made from other uses: without any there will be none. */
        if (dictionary == NULL || dictionaries_uses(dictionaries, number) > 0)
            continue;
        atomic_store(&dictionaries->table[number], NULL);
        if (dictionaries->file != NULL)
            memory_file_drop_dictionary(dictionaries->file, number);
        codec_dictionary_free(dictionary);
        freed++;
    }
    atomic_fetch_sub_explicit(&dictionaries->count, freed, memory_order_relaxed);
    lock_give(&dictionaries->lock);
    return freed;
}

unsigned dictionaries_count(const struct dictionaries *dictionaries)
{
    return atomic_load_explicit(&dictionaries->count, memory_order_relaxed);
}

bool dictionaries_describe(struct dictionaries *dictionaries, unsigned number, char *label,
                           uint32_t *added_s)
{
    assert(number < DICTIONARIES_MAX);
    lock_take(&dictionaries->lock);
    bool taken = atomic_load(&dictionaries->table[number]) != NULL;
    memcpy(label, dictionaries->descriptions[number].label, DICTIONARY_LABEL_BYTES);
    *added_s = dictionaries->descriptions[number].added_s;
    lock_give(&dictionaries->lock);
    return taken;
}

struct codec_dictionary *dictionary_train(const uint8_t *samples, const size_t *sample_bytes,
                                          unsigned count)
{
    uint8_t *bytes = malloc(CODEC_DICTIONARY_BYTES);
    if (bytes == NULL)
        return NULL;
    ZDICT_fastCover_params_t parameters = {
        .k = TRAIN_SEGMENT_BYTES,
        .d = TRAIN_MATCH_BYTES,
        .f = TRAIN_TABLE_LOG,
        .accel = 1,
        .nbThreads = 1,
    };
    struct codec_dictionary *dictionary = NULL;
    size_t trained = ZDICT_trainFromBuffer_fastCover(bytes, CODEC_DICTIONARY_BYTES, samples,
                                                     sample_bytes, count, parameters);
    if (!ZDICT_isError(trained))
        dictionary = codec_dictionary_new(bytes, trained);
    free(bytes);
    return dictionary;
}

size_t dictionary_train_bytes(void)
{
    /* The table of counts, the entropy stage's work space, and the result. */
    return ((size_t)6 << TRAIN_TABLE_LOG) + (512u << 10) + CODEC_DICTIONARY_BYTES;
}
