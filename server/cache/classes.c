#include "server/cache/classes.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

/* A key's words are looked for in so much of it. */
#define KEY_BYTES_MAX    64u
#define VALUE_BYTES      4u
/* A feature counts when so many samples had it, and more where the table would be too full. */
#define VOTES_MIN        4u
#define TABLE_LOG        11u
#define TABLE_SLOTS      (1u << TABLE_LOG)
#define TABLE_SLOTS_USED (TABLE_SLOTS / 2)
/* FNV-1a (Fowler, Noll, Vo), of a few bytes at a time. */
#define HASH_START       2166136261u
#define HASH_PRIME       16777619u

struct slot {
    uint32_t feature; /* 0: free */
    uint8_t label;
    uint8_t sureness;
};

struct classes {
    struct dictionaries *dictionaries;
    unsigned labels_count;
    unsigned numbers[CLASSES_MAX];
    struct slot table[TABLE_SLOTS];
};

static const bool is_delimiter[UINT8_MAX + 1] = {
    [':'] = true, ['/'] = true, ['|'] = true, ['.'] = true,
    ['_'] = true, ['-'] = true, ['#'] = true,
};

/* Sorts of features are told apart by @salt; the multiplier moves what differs to the high bits. */
static uint32_t feature(uint32_t hash, uint32_t salt)
{
    uint32_t mixed = (hash ^ salt << 24) * 0x9e3779b1u;
    return mixed != 0 ? mixed : 1;
}

size_t classes_word_end(const uint8_t *key, size_t key_bytes, size_t at)
{
    while (at < key_bytes && !is_delimiter[key[at]])
        at++;
    return at < key_bytes ? at + 1 : 0;
}

unsigned classes_features(const uint8_t *entry, size_t key_bytes, size_t entry_bytes,
                          uint32_t features[CLASSES_FEATURES_MAX])
{
    uint32_t prefix = HASH_START, word = HASH_START;
    unsigned count = 0, delimiters = 0;
    size_t bytes = key_bytes < KEY_BYTES_MAX ? key_bytes : KEY_BYTES_MAX;
    for (size_t i = 0; i < bytes && delimiters < CLASSES_WORDS_MAX; i++) {
        prefix = (prefix ^ entry[i]) * HASH_PRIME;
        word = (word ^ entry[i]) * HASH_PRIME;
        if (!is_delimiter[entry[i]])
            continue;
        delimiters++;
        features[count++] = feature(prefix, delimiters);
        if (delimiters == 2)
            features[count++] = feature(word, CLASSES_WORDS_MAX + 1);
        word = HASH_START;
    }
    if (entry_bytes - key_bytes >= VALUE_BYTES) {
        uint32_t value;
        memcpy(&value, entry + key_bytes, VALUE_BYTES);
        features[count++] = feature(value * HASH_PRIME, CLASSES_WORDS_MAX + 2);
    }
    return count;
}

static const struct slot *find(const struct classes *classes, uint32_t wanted)
{
    size_t at = wanted >> (32 - TABLE_LOG);
    while (classes->table[at].feature != wanted && classes->table[at].feature != 0)
        at = (at + 1) % TABLE_SLOTS;
    return &classes->table[at];
}

unsigned classes_choose(const struct classes *classes, const uint8_t *entry, size_t key_bytes,
                        size_t entry_bytes)
{
    uint32_t features[CLASSES_FEATURES_MAX];
    unsigned sureness = 0, label = 0;
    if (classes == NULL)
        return 0;
    unsigned count = classes_features(entry, key_bytes, entry_bytes, features);
    for (unsigned i = 0; i < count; i++) {
        const struct slot *slot = find(classes, features[i]);
        if (slot->sureness > sureness) {
            sureness = slot->sureness;
            label = slot->label;
        }
    }
    return classes->numbers[label];
}

/* ---- making one ---- */

static int by_feature(const void *one, const void *other)
{
    const struct classes_vote *a = one, *b = other;
    if (a->feature != b->feature)
        return a->feature < b->feature ? -1 : 1;
    return a->label < b->label ? -1 : a->label > b->label;
}

/* Where the votes for the feature at @at end. */
static size_t votes_end(const struct classes_vote *votes, size_t count, size_t at)
{
    size_t end = at;
    while (end < count && votes[end].feature == votes[at].feature)
        end++;
    return end;
}

/* The least number of votes a feature needs for all such features to fit the table. */
static size_t votes_min(const struct classes_vote *votes, size_t count)
{
    for (size_t min = VOTES_MIN;; min *= 2) {
        size_t features = 0;
        for (size_t at = 0, end; at < count; at = end) {
            end = votes_end(votes, count, at);
            features += end - at >= min;
        }
        if (features <= TABLE_SLOTS_USED)
            return min;
    }
}

/* The label most votes are for. Two votes more against it, so that of two features that never
 * erred the one that was seen more often is the surer. */
static struct slot decide(const struct classes_vote *votes, size_t count)
{
    size_t most = 0;
    uint32_t label = 0;
    for (size_t at = 0, end; at < count; at = end) {
        end = at;
        while (end < count && votes[end].label == votes[at].label)
            end++;
        if (end - at > most) {
            most = end - at;
            label = votes[at].label;
        }
    }
    return (struct slot){votes[0].feature, (uint8_t)label,
                         (uint8_t)(most * UINT8_MAX / (count + 2))};
}

struct classes *classes_new(struct dictionaries *dictionaries, const unsigned *numbers,
                            unsigned labels_count, struct classes_vote *votes, size_t votes_count)
{
    assert(labels_count >= 1 && labels_count <= CLASSES_MAX);
    struct classes *classes = calloc(1, sizeof(*classes));
    if (classes == NULL)
        return NULL;
    classes->dictionaries = dictionaries;
    classes->labels_count = labels_count;
    for (unsigned label = 0; label < labels_count; label++) {
        classes->numbers[label] = numbers[label];
        dictionaries_use(dictionaries, numbers[label]);
    }
    if (votes_count > 0)
        qsort(votes, votes_count, sizeof(votes[0]), by_feature);
    size_t min = votes_min(votes, votes_count);
    for (size_t at = 0, end; at < votes_count; at = end) {
        end = votes_end(votes, votes_count, at);
        if (end - at < min)
            continue;
        struct slot decided = decide(votes + at, end - at);
        assert(decided.label < labels_count);
        size_t place = (size_t)(find(classes, decided.feature) - classes->table);
        classes->table[place] = decided;
    }
    return classes;
}

void classes_free(struct classes *classes)
{
    if (classes == NULL)
        return;
    for (unsigned label = 0; label < classes->labels_count; label++)
        dictionaries_release(classes->dictionaries, classes->numbers[label]);
    free(classes);
}

/* Labels' count, their numbers, and the table, one behind the other. */
#define SAVED_BYTES \
    (sizeof(unsigned) + CLASSES_MAX * sizeof(unsigned) + TABLE_SLOTS * sizeof(struct slot))
static_assert(SAVED_BYTES <= CLASSES_SAVED_BYTES_MAX, "all fits");

size_t classes_save(const struct classes *classes, uint8_t out[CLASSES_SAVED_BYTES_MAX])
{
    memcpy(out, &classes->labels_count, sizeof(classes->labels_count));
    out += sizeof(classes->labels_count);
    memcpy(out, classes->numbers, sizeof(classes->numbers));
    memcpy(out + sizeof(classes->numbers), classes->table, sizeof(classes->table));
    return SAVED_BYTES;
}

/* A look for a feature ends at a free slot, and gives a label there is. */
static bool restored_sound(const struct classes *classes)
{
    unsigned used = 0;
    if (classes->labels_count < 1 || classes->labels_count > CLASSES_MAX)
        return false;
    for (unsigned label = 0; label < classes->labels_count; label++) {
        if (!dictionaries_has(classes->dictionaries, classes->numbers[label]))
            return false;
    }
    for (unsigned at = 0; at < TABLE_SLOTS; at++) {
        if (classes->table[at].label >= classes->labels_count)
            return false;
        used += classes->table[at].feature != 0;
    }
    return used <= TABLE_SLOTS_USED;
}

struct classes *classes_restore(struct dictionaries *dictionaries, const uint8_t *bytes,
                                size_t count)
{
    struct classes *classes = calloc(1, sizeof(*classes));
    if (classes == NULL || count != SAVED_BYTES) {
        free(classes);
        return NULL;
    }
    classes->dictionaries = dictionaries;
    memcpy(&classes->labels_count, bytes, sizeof(classes->labels_count));
    bytes += sizeof(classes->labels_count);
    memcpy(classes->numbers, bytes, sizeof(classes->numbers));
    memcpy(classes->table, bytes + sizeof(classes->numbers), sizeof(classes->table));
    if (!restored_sound(classes)) {
        free(classes);
        return NULL;
    }
    for (unsigned label = 0; label < classes->labels_count; label++)
        dictionaries_use(dictionaries, classes->numbers[label]);
    return classes;
}

size_t classes_bytes(void)
{
    return sizeof(struct classes);
}

bool classes_name(const struct classes *classes, unsigned number)
{
    if (classes == NULL)
        return number == 0;
    for (unsigned label = 0; label < classes->labels_count; label++) {
        if (classes->numbers[label] == number)
            return true;
    }
    return false;
}

unsigned classes_number(const struct classes *classes, unsigned label)
{
    return classes != NULL && label < classes->labels_count ? classes->numbers[label] : 0;
}

unsigned classes_count(const struct classes *classes)
{
    return classes != NULL ? classes->labels_count : 0;
}
