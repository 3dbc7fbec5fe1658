#include "tests/fill/filler.h"

#include <assert.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define BATCH_COUNT           64u
#define BATCH_BYTES           ((size_t)128 << 10)
#define NUMBER_BYTES          17u /* " 0123456789abcdef" behind each value */
#define READ_PERCENT          20u
#define DELETE_PERCENT        5u
#define TTL_PERCENT           10u
#define OVERWRITE_PERCENT     10u /* of the sets */
#define TTL_S_MAX             4u
/* The server's clock has seconds: what expires at the end of one may be seen until the next. */
#define EXPIRY_SLACK_MS       2000u
#define LATE_COUNT            2000u
#define NEVER                 UINT64_MAX
#define ENTRIES_ROOM_AT_START 65536u

enum entry_state {
    ENTRY_LIVE,
    ENTRY_DELETED
};

struct entry {
    uint64_t key_id;    /* the corpus's */
    uint64_t value_id;  /* of the value it has */
    uint64_t number;    /* of the set that gave it */
    uint64_t expiry_ms; /* from here on it must be gone; NEVER */
    enum entry_state state;
};

enum operation_kind {
    OPERATION_SET,
    OPERATION_GET,
    OPERATION_DELETE
};

/* What was sent. The model learns of it when the reply is read, so it is what the server's items
 * are at that point of the stream, whatever else of the batch touches the same key. */
struct operation {
    enum operation_kind kind;
    uint32_t entry;
    uint64_t value_id;
    uint64_t number;
    unsigned ttl_s;
};

struct filler {
    struct filler_setup setup;
    struct client *client;
    uint64_t random;
    struct entry *entries;
    uint32_t entries_count, entries_room;
    uint32_t *slots; /* hash of the key -> entry + 1; a power of two, twice entries_room */
    struct operation batch[BATCH_COUNT];
    unsigned batch_count;
    size_t batch_bytes;
    struct filler_counts counts;
    char error[FILLER_ERROR_BYTES];
};

__attribute__((format(printf, 2, 3))) static bool fail(struct filler *filler, const char *format,
                                                       ...)
{
    va_list arguments;

    va_start(arguments, format);
    vsnprintf(filler->error, sizeof(filler->error), format, arguments);
    va_end(arguments);
    return false;
}

static uint64_t now_ms(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000;
}

static uint32_t random_below(struct filler *filler, uint32_t limit)
{
    return (uint32_t)(corpus_random(&filler->random) % limit);
}

/* ---- the model ---- */

/* The key that goes over the wire: the corpus's, and the filler's own byte. */
static void make_key(const struct filler *filler, uint64_t id, struct corpus_item *item)
{
    corpus_item(filler->setup.corpus, id, item);
    if (item->key_bytes == CORPUS_KEY_BYTES_MAX)
        item->key_bytes--;
    item->key[item->key_bytes++] = (uint8_t)('A' + filler->setup.number);
}

static uint64_t hash_key(const struct corpus_item *item)
{
    uint64_t hash = 0xcbf29ce484222325; /* FNV-1a, finished by a mix */

    for (size_t i = 0; i < item->key_bytes; i++)
        hash = (hash ^ item->key[i]) * 0x100000001b3;
    return corpus_random(&hash);
}

/* The slot where this key is, or would be. */
static uint32_t *find_slot(struct filler *filler, const struct corpus_item *item)
{
    uint32_t mask = 2 * filler->entries_room - 1;
    uint32_t at = (uint32_t)hash_key(item) & mask;
    struct corpus_item other;

    for (;; at = (at + 1) & mask) {
        uint32_t *slot = &filler->slots[at];

        if (*slot == 0)
            return slot;
        make_key(filler, filler->entries[*slot - 1].key_id, &other);
        if (other.key_bytes == item->key_bytes &&
            memcmp(other.key, item->key, item->key_bytes) == 0)
            return slot;
    }
}

static bool grow(struct filler *filler)
{
    uint32_t room = filler->entries_room == 0 ? ENTRIES_ROOM_AT_START : 2 * filler->entries_room;
    struct entry *entries = realloc(filler->entries, room * sizeof(*entries));
    struct corpus_item item;

    if (entries == NULL)
        return fail(filler, "no memory for the model");
    filler->entries = entries;
    free(filler->slots);
    filler->slots = calloc(2 * (size_t)room, sizeof(*filler->slots));
    if (filler->slots == NULL)
        return fail(filler, "no memory for the model");
    filler->entries_room = room;
    for (uint32_t i = 0; i < filler->entries_count; i++) {
        make_key(filler, filler->entries[i].key_id, &item);
        *find_slot(filler, &item) = i + 1;
    }
    return true;
}

/* The entry of this key, made where there is none. */
static bool enter(struct filler *filler, uint64_t key_id, uint32_t *entry)
{
    struct corpus_item item;
    uint32_t *slot;

    if (filler->entries_count == filler->entries_room && !grow(filler))
        return false;
    make_key(filler, key_id, &item);
    slot = find_slot(filler, &item);
    if (*slot == 0) {
        filler->entries[filler->entries_count] =
            (struct entry){.key_id = key_id, .state = ENTRY_DELETED};
        *slot = ++filler->entries_count;
    }
    *entry = *slot - 1;
    return true;
}

/* Some key stored before: more often one of the last, as clients ask. */
static uint32_t pick(struct filler *filler)
{
    uint32_t range = filler->entries_count;

    if (random_below(filler, 4) != 0 && range > 16)
        range /= 16;
    return filler->entries_count - 1 - random_below(filler, range);
}

/* ---- requests ---- */

static bool queue(struct filler *filler, const void *bytes, size_t count)
{
    enum client_status status = client_queue(filler->client, bytes, count);

    filler->batch_bytes += count;
    return status == CLIENT_OK || fail(filler, "queue: %s", client_status_text(status));
}

static bool queue_set(struct filler *filler, struct operation *operation)
{
    bool again = filler->entries_count > 0 && random_below(filler, 100) < OVERWRITE_PERCENT;
    struct corpus_item item;
    size_t value_bytes;
    const uint8_t *value;
    char text[128];
    int text_bytes;

    pthread_mutex_lock(filler->setup.corpus_lock);
    operation->value_id = corpus_draw(filler->setup.corpus);
    pthread_mutex_unlock(filler->setup.corpus_lock);
    if (again)
        operation->entry = pick(filler);
    else if (!enter(filler, operation->value_id, &operation->entry))
        return false;
    corpus_item(filler->setup.corpus, operation->value_id, &item);
    value = item.value;
    value_bytes = item.value_bytes;
    make_key(filler, filler->entries[operation->entry].key_id, &item);
    operation->ttl_s =
        random_below(filler, 100) < TTL_PERCENT ? 1 + random_below(filler, TTL_S_MAX) : 0;
    operation->number = ++filler->counts.sets;
    filler->counts.overwrites += again;
    filler->counts.with_ttl += operation->ttl_s > 0;
    filler->counts.bytes_set += item.key_bytes + value_bytes + NUMBER_BYTES;
    text_bytes =
        snprintf(text, sizeof(text), " %" PRIu32 " %u %zu\r\n", (uint32_t)operation->number,
                 operation->ttl_s, value_bytes + NUMBER_BYTES);
    if (!queue(filler, "set ", 4) || !queue(filler, item.key, item.key_bytes) ||
        !queue(filler, text, (size_t)text_bytes) || !queue(filler, value, value_bytes))
        return false;
    text_bytes = snprintf(text, sizeof(text), " %016" PRIx64 "\r\n", operation->number);
    return queue(filler, text, (size_t)text_bytes);
}

static bool queue_key(struct filler *filler, const char *verb, uint32_t entry)
{
    struct corpus_item item;

    make_key(filler, filler->entries[entry].key_id, &item);
    return queue(filler, verb, strlen(verb)) && queue(filler, item.key, item.key_bytes) &&
           queue(filler, "\r\n", 2);
}

static bool queue_operation(struct filler *filler)
{
    struct operation *operation = &filler->batch[filler->batch_count];
    uint32_t draw = random_below(filler, 100);

    *operation = (struct operation){.kind = OPERATION_SET};
    if (filler->entries_count > 0 && draw < READ_PERCENT + DELETE_PERCENT) {
        operation->kind = draw < READ_PERCENT ? OPERATION_GET : OPERATION_DELETE;
        operation->entry = pick(filler);
        if (!queue_key(filler, operation->kind == OPERATION_GET ? "get " : "delete ",
                       operation->entry))
            return false;
    } else if (!queue_set(filler, operation)) {
        return false;
    }
    filler->batch_count++;
    return true;
}

/* ---- replies ---- */

static bool check_value(struct filler *filler, const struct entry *entry, uint64_t sent_ms,
                        const struct client_value *value)
{
    struct corpus_item item;
    char number[NUMBER_BYTES + 1];

    if (entry->state == ENTRY_DELETED)
        return fail(filler, "a deleted item came back");
    if (sent_ms >= entry->expiry_ms)
        return fail(filler, "an item outlived its time");
    make_key(filler, entry->key_id, &item);
    if (value->key.bytes != item.key_bytes ||
        memcmp(value->key.data, item.key, item.key_bytes) != 0)
        return fail(filler, "another key than the one asked for");
    if (value->flags != (uint32_t)entry->number)
        return fail(filler, "flags %" PRIu32 " instead of %" PRIu32, value->flags,
                    (uint32_t)entry->number);
    corpus_item(filler->setup.corpus, entry->value_id, &item);
    snprintf(number, sizeof(number), " %016" PRIx64, entry->number);
    if (value->data.bytes != item.value_bytes + NUMBER_BYTES ||
        memcmp(value->data.data, item.value, item.value_bytes) != 0 ||
        memcmp(value->data.data + item.value_bytes, number, NUMBER_BYTES) != 0)
        return fail(filler, "a value of %zu bytes is not the one stored last", value->data.bytes);
    return true;
}

static bool read_get(struct filler *filler, const struct operation *operation, uint64_t sent_ms)
{
    const struct entry *entry = &filler->entries[operation->entry];
    struct client_value value;
    enum client_status status = client_read_value(filler->client, &value);

    filler->counts.gets++;
    filler->counts.gets_late += entry->state == ENTRY_LIVE && sent_ms >= entry->expiry_ms;
    if (status == CLIENT_END)
        return true;
    if (status != CLIENT_OK)
        return fail(filler, "get: %s %s", client_status_text(status), client_text(filler->client));
    filler->counts.hits++;
    return check_value(filler, entry, sent_ms, &value) &&
           (client_read_value(filler->client, &value) == CLIENT_END || fail(filler, "get: no END"));
}

static bool read_set(struct filler *filler, const struct operation *operation)
{
    enum client_status status = client_read_reply(filler->client);
    struct entry *entry = &filler->entries[operation->entry];

    if (status != CLIENT_OK)
        return fail(filler, "set: %s %s", client_status_text(status), client_text(filler->client));
    entry->state = ENTRY_LIVE;
    entry->value_id = operation->value_id;
    entry->number = operation->number;
    entry->expiry_ms = operation->ttl_s == 0
                           ? NEVER
                           : now_ms() + operation->ttl_s * UINT64_C(1000) + EXPIRY_SLACK_MS;
    return true;
}

static bool read_delete(struct filler *filler, const struct operation *operation)
{
    enum client_status status = client_read_reply(filler->client);

    if (status != CLIENT_OK && status != CLIENT_NOT_FOUND)
        return fail(filler, "delete: %s", client_status_text(status));
    filler->counts.deletes++;
    filler->counts.deleted += status == CLIENT_OK;
    filler->entries[operation->entry].state = ENTRY_DELETED;
    return true;
}

static bool play_batch(struct filler *filler)
{
    uint64_t sent_ms = now_ms();
    enum client_status status = client_flush(filler->client);
    bool good = status == CLIENT_OK || fail(filler, "send: %s", client_status_text(status));

    for (unsigned i = 0; good && i < filler->batch_count; i++) {
        const struct operation *operation = &filler->batch[i];

        if (operation->kind == OPERATION_GET)
            good = read_get(filler, operation, sent_ms);
        else if (operation->kind == OPERATION_SET)
            good = read_set(filler, operation);
        else
            good = read_delete(filler, operation);
    }
    filler->batch_count = 0;
    filler->batch_bytes = 0;
    return good;
}

/* ---- the whole ---- */

struct filler *filler_new(const struct filler_setup *setup)
{
    struct filler *filler = calloc(1, sizeof(*filler));

    assert(filler != NULL);
    filler->setup = *setup;
    filler->random = setup->seed + setup->number;
    filler->client = client_new();
    assert(filler->client != NULL);
    return filler;
}

void filler_free(struct filler *filler)
{
    if (filler == NULL)
        return;
    client_free(filler->client);
    free(filler->entries);
    free(filler->slots);
    free(filler);
}

/* When every TTL is over, asks for the last that had one. */
static bool ask_late(struct filler *filler)
{
    const struct timespec pause = {.tv_sec = TTL_S_MAX + EXPIRY_SLACK_MS / 1000 + 1};
    unsigned asked = 0;
    bool good = true;

    nanosleep(&pause, NULL);
    for (uint32_t i = filler->entries_count; good && i > 0 && asked < LATE_COUNT; i--) {
        const struct entry *entry = &filler->entries[i - 1];

        if (entry->state != ENTRY_LIVE || entry->expiry_ms == NEVER)
            continue;
        filler->batch[filler->batch_count++] =
            (struct operation){.kind = OPERATION_GET, .entry = i - 1};
        asked++;
        good = queue_key(filler, "get ", i - 1);
        if (good && filler->batch_count == BATCH_COUNT)
            good = play_batch(filler);
    }
    return good && play_batch(filler);
}

bool filler_run(struct filler *filler)
{
    enum client_status status = peer_connect(filler->setup.peer, filler->client);
    bool good = status == CLIENT_OK || fail(filler, "connect: %s", client_status_text(status));

    while (good && filler->counts.bytes_set < filler->setup.bytes) {
        while (good && filler->batch_count < BATCH_COUNT && filler->batch_bytes < BATCH_BYTES)
            good = queue_operation(filler);
        good = good && play_batch(filler);
    }
    good = good && ask_late(filler);
    client_close(filler->client);
    return good;
}

const char *filler_error(const struct filler *filler)
{
    return filler->error;
}

void filler_counts(const struct filler *filler, struct filler_counts *counts)
{
    *counts = filler->counts;
}
