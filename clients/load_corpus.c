#include "clients/load_corpus.h"

#include "clients/load_file.h"
#include "clients/load_random.h"

#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#define CORPUS_BYTES ((size_t)16 << 30) /* more is a mistake */
#define PATH_BYTES   4096u
#define WEIGHT_UNSET 0.0

/* One file's part of the order, while it is loaded. */
struct part {
    size_t first, count;
    double weight;
};

struct loading {
    struct load_corpus *corpus;
    const struct load_items_plan *plan;
    char *error;
    struct part *parts;
    size_t parts_count;
    struct load_random random;
};

static bool fail(struct loading *loading, const char *path, const char *why)
{
    snprintf(loading->error, LOAD_ERROR_BYTES, "%.300s: %s", path, why);
    return false;
}

/* ---- records ---- */

static uint32_t little_endian(const uint8_t *bytes, unsigned count)
{
    uint32_t number = 0;

    for (unsigned i = 0; i < count; i++)
        number |= (uint32_t)bytes[i] << 8 * i;
    return number;
}

struct load_record load_corpus_record(const struct load_corpus *corpus, size_t start)
{
    const uint8_t *head = corpus->bytes.data + start;
    struct load_record record = {
        .key = head + LOAD_RECORD_HEADER_BYTES,
        .key_bytes = little_endian(head, 2),
        .value_bytes = little_endian(head + 2, 4),
    };

    record.value = record.key + record.key_bytes;
    return record;
}

/* A key that the protocol carries, and that is no other record's in a later round. */
static bool key_is_fit(const struct load_record *record, size_t prefix_bytes)
{
    size_t at = record->key_bytes;

    if (at == 0 || at + prefix_bytes + LOAD_ROUND_BYTES_MAX > LOAD_KEY_BYTES_MAX)
        return false;
    for (size_t i = 0; i < at; i++) {
        if (record->key[i] <= ' ' || record->key[i] == 0x7f)
            return false;
    }
    while (at > 0 && record->key[at - 1] >= '0' && record->key[at - 1] <= '9')
        at--;
    return at == record->key_bytes || at == 0 || record->key[at - 1] != '~';
}

static bool add_start(struct load_corpus *corpus, size_t start)
{
    if (corpus->count == corpus->room) {
        size_t room = corpus->room * 2 + 1024;
        size_t *grown = realloc(corpus->order, room * sizeof(*grown));

        if (grown == NULL)
            return false;
        corpus->order = grown;
        corpus->room = room;
    }
    corpus->order[corpus->count++] = start;
    return true;
}

/* The records of the bytes from @at on. False where they are cut off, or there is no memory. */
static bool add_records(struct loading *loading, size_t at)
{
    struct load_corpus *corpus = loading->corpus;

    while (at < corpus->bytes.end) {
        size_t left = corpus->bytes.end - at;
        struct load_record record;

        if (left < LOAD_RECORD_HEADER_BYTES)
            return false;
        record = load_corpus_record(corpus, at);
        left -= LOAD_RECORD_HEADER_BYTES;
        if (record.value_bytes > LOAD_VALUE_BYTES_MAX ||
            left < record.key_bytes + record.value_bytes)
            return false;
        if (!key_is_fit(&record, strlen(loading->plan->prefix)))
            corpus->left_out_count++;
        else if (!add_start(corpus, at))
            return false;
        at += LOAD_RECORD_HEADER_BYTES + record.key_bytes + record.value_bytes;
    }
    return true;
}

static bool ends_in(const char *name, const char *end)
{
    size_t name_bytes = strlen(name);
    size_t end_bytes = strlen(end);

    return name_bytes > end_bytes && strcmp(name + name_bytes - end_bytes, end) == 0;
}

static bool load_file(struct loading *loading, const char *path, double weight)
{
    struct load_corpus *corpus = loading->corpus;
    size_t start = corpus->bytes.end;
    struct part part = {.first = corpus->count, .weight = weight};
    struct part *parts =
        realloc(loading->parts, (loading->parts_count + 1) * sizeof(*loading->parts));
    FILE *file = fopen(path, "rb");
    bool good;

    if (parts != NULL)
        loading->parts = parts;
    if (file == NULL)
        return fail(loading, path, strerror(errno));
    good = parts != NULL &&
           load_file_append(&corpus->bytes, file, ends_in(path, ".zst"), CORPUS_BYTES) &&
           add_records(loading, start);
    (void)fclose(file);
    part.count = corpus->count - part.first;
    if (!good)
        return fail(loading, path, "damaged, not a corpus, or too large for memory");
    if (part.count == 0)
        return fail(loading, path, "no record whose key can be used");
    loading->parts[loading->parts_count++] = part;
    return true;
}

/* ---- files and folders ---- */

static int is_corpus(const struct dirent *entry)
{
    return ends_in(entry->d_name, ".kv") || ends_in(entry->d_name, ".kv.zst");
}

static bool load_folder(struct loading *loading, const char *path)
{
    struct dirent **names = NULL;
    char file[PATH_BYTES];
    /* By name, so that the same folder gives the same items. */
    int count = scandir(path, &names, is_corpus, alphasort);
    bool good = count > 0;

    if (count <= 0)
        (void)fail(loading, path, count == 0 ? "no *.kv and no *.kv.zst in it" : strerror(errno));
    for (int i = 0; i < count; i++) {
        snprintf(file, sizeof(file), "%.3800s/%.256s", path, names[i]->d_name);
        good = good && load_file(loading, file, WEIGHT_UNSET);
        free(names[i]);
    }
    free(names);
    return good;
}

static bool load_named(struct loading *loading, const char *name)
{
    char path[PATH_BYTES];
    const char *equals = strrchr(name, '=');
    double weight = WEIGHT_UNSET;
    struct stat stat_of;

    if (strlen(name) >= sizeof(path))
        return fail(loading, name, "too long a path");
    memcpy(path, name, strlen(name) + 1);
    if (equals != NULL) {
        char *end;

        weight = strtod(equals + 1, &end);
        if (end == equals + 1 || *end != '\0' || !(weight > 0) || weight > 1e9)
            return fail(loading, name, "after '=' there is to be a weight above 0");
        path[equals - name] = '\0';
    }
    if (stat(path, &stat_of) != 0)
        return fail(loading, path, strerror(errno));
    if (!S_ISDIR(stat_of.st_mode))
        return load_file(loading, path, weight);
    return equals == NULL ? load_folder(loading, path)
                          : fail(loading, path, "a folder takes no weight, its files do");
}

/* ---- order ---- */

struct seen {
    uint64_t hash;
    size_t start;
};

static int compare_seen(const void *a, const void *b)
{
    const struct seen *one = a;
    const struct seen *other = b;

    if (one->hash != other->hash)
        return one->hash < other->hash ? -1 : 1;
    return one->start < other->start ? -1 : one->start > other->start;
}

static uint64_t hash_key(const struct load_record *record)
{
    uint64_t hash = record->key_bytes;

    for (size_t i = 0; i < record->key_bytes; i++)
        hash = load_mix64(hash * 31 + record->key[i]);
    return hash;
}

/* Of records with the same key one stays: else the value of one were the other's.
 */
static bool drop_repeated(struct load_corpus *corpus)
{
    struct seen *seen = calloc(corpus->count, sizeof(*seen));
    size_t kept = 0;

    if (seen == NULL)
        return false;
    for (size_t i = 0; i < corpus->count; i++) {
        struct load_record record = load_corpus_record(corpus, corpus->order[i]);

        seen[i] = (struct seen){hash_key(&record), corpus->order[i]};
    }
    qsort(seen, corpus->count, sizeof(*seen), compare_seen);
    for (size_t i = 0; i < corpus->count; i++) {
        if (i == 0 || seen[i].hash != seen[kept - 1].hash)
            seen[kept++] = seen[i];
    }
    for (size_t i = 0; i < kept; i++)
        corpus->order[i] = seen[i].start;
    corpus->left_out_count += corpus->count - kept;
    corpus->count = kept;
    free(seen);
    return true;
}

static void shuffle(size_t *order, size_t count, struct load_random *random)
{
    for (size_t i = count; i > 1; i--) {
        size_t other = (size_t)load_random_below(random, i);
        size_t kept = order[i - 1];

        order[i - 1] = order[other];
        order[other] = kept;
    }
}

/* Takes of each file as many as its weight says. */
static bool weigh(struct loading *loading)
{
    struct load_corpus *corpus = loading->corpus;
    double unit = 0; /* records for a weight of 1 */
    size_t kept = 0;

    for (size_t i = 0; i < loading->parts_count; i++) {
        const struct part *part = &loading->parts[i];
        double most;

        if ((part->weight > 0) != (loading->parts[0].weight > 0))
            return fail(loading, "--corpus", "either all files have a weight, or none");
        most = part->weight > 0 ? (double)part->count / part->weight : 0;
        unit = i == 0 || most < unit ? most : unit;
    }
    for (size_t i = 0; unit > 0 && i < loading->parts_count; i++) {
        const struct part *part = &loading->parts[i];
        size_t taken = (size_t)(unit * part->weight);

        shuffle(corpus->order + part->first, part->count, &loading->random);
        taken = taken < part->count ? taken : part->count;
        memmove(corpus->order + kept, corpus->order + part->first, taken * sizeof(*corpus->order));
        kept += taken;
    }
    if (unit > 0)
        corpus->count = kept;
    return corpus->count > 0 || fail(loading, "--corpus", "no record is left");
}

bool load_corpus_load(struct load_corpus *corpus, const struct load_items_plan *plan,
                      char error[LOAD_ERROR_BYTES])
{
    struct loading loading = {
        .corpus = corpus, .plan = plan, .error = error, .random = {plan->seed}};
    bool good = true;

    for (unsigned i = 0; good && i < plan->corpora_count; i++)
        good = load_named(&loading, plan->corpora[i]);
    good = good && weigh(&loading);
    free(loading.parts);
    if (!good)
        return false;
    if (!drop_repeated(corpus))
        return fail(&loading, "--corpus", "no memory");
    shuffle(corpus->order, corpus->count, &loading.random);
    for (size_t i = 0; i < corpus->count; i++) {
        struct load_record record = load_corpus_record(corpus, corpus->order[i]);

        if (record.value_bytes > corpus->value_bytes_max)
            corpus->value_bytes_max = record.value_bytes;
    }
    return true;
}

void load_corpus_fini(struct load_corpus *corpus)
{
    load_buffer_fini(&corpus->bytes);
    free(corpus->order);
}
