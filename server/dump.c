#include "server/dump.h"

#include "protocol/base64.h"
#include "server/admin/prefixes.h"
#include "server/admin/watch_event.h"
#include "server/budget.h"
#include "server/cache/cache.h"

#include <assert.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define CLASS "1" /* all items are of one, as "stats items" has it */

/* What is written of an item. */
typedef void item_fn(struct dump *dump, const struct cache_walk_item *item,
                     struct protocol_reply *reply, uint32_t now_s);
/* The next line after all items, or of what has none; false: there are no more. */
typedef bool rest_fn(struct dump *dump, struct protocol_reply *reply);

struct format {
    const char *begin; /* NULL: nothing */
    const char *end;
    item_fn *item; /* NULL: nothing is walked */
    rest_fn *rest; /* NULL: nothing follows */
};

struct dump {
    struct dump_setup setup;
    const struct format *format;
    size_t bytes;
    bool begun;
    bool walked;
    unsigned next;        /* in the walk's items */
    uint64_t items;       /* written */
    size_t written_bytes; /* of cachedump */
    size_t rest;          /* the next bucket or prefix */
    size_t buckets_count; /* sizes */
    struct cache_walk walk;
    uint32_t buckets[]; /* sizes: items by the 32 bytes they take */
};

/* ---- lines ---- */

__attribute__((format(printf, 2, 3))) static void write_line(struct protocol_reply *reply,
                                                             const char *format, ...)
{
    const size_t room = protocol_reply_room(reply);
    va_list arguments;

    va_start(arguments, format);
    const int count = vsnprintf((char *)reply->data + reply->used, room, format, arguments);
    va_end(arguments);
    assert(count >= 0 && (size_t)count < room);
    reply->used += (size_t)count;
}

static void write_bytes(struct protocol_reply *reply, const void *bytes, size_t count)
{
    assert(count <= protocol_reply_room(reply));
    memcpy(reply->data + reply->used, bytes, count);
    reply->used += count;
}

/* A key that was sent as base64, and cannot be sent otherwise. */
static bool is_binary(const struct cache_walk_item *item)
{
    for (size_t i = 0; i < item->key_bytes; i++) {
        if (item->key[i] == ' ' || item->key[i] == '\n' || item->key[i] == '\r') {
            return true;
        }
    }
    return false;
}

/* ---- what is written of an item ---- */

static void write_meta(struct dump *dump, const struct cache_walk_item *item,
                       struct protocol_reply *reply, uint32_t now_s)
{
    char expiry[16] = "-1";

    (void)dump;
    if (item->expiry_s != CACHE_NEVER) {
        (void)snprintf(expiry, sizeof(expiry), "%" PRIu32, item->expiry_s);
    }
    write_bytes(reply, "key=", 4);
    assert(3 * item->key_bytes < protocol_reply_room(reply));
    reply->used += watch_encode_key(item->key, item->key_bytes, (char *)reply->data + reply->used);
    write_line(reply,
               " exp=%s la=%" PRIu32 " cas=%" PRIu64 " fetch=%s cls=" CLASS
               " size=%zu flags=%" PRIu32 " \n",
               expiry, now_s - item->age_s, item->cas, item->fetched ? "yes" : "no",
               item->stored_bytes, item->flags);
}

static void write_mg(struct dump *dump, const struct cache_walk_item *item,
                     struct protocol_reply *reply, uint32_t now_s)
{
    (void)dump;
    (void)now_s;
    write_bytes(reply, "mg ", 3);
    if (is_binary(item)) {
        assert(PROTOCOL_BASE64_TEXT_BYTES(item->key_bytes) <= protocol_reply_room(reply));
        reply->used +=
            protocol_base64_encode(item->key, item->key_bytes, reply->data + reply->used);
        write_bytes(reply, " b\r\n", 4);
    } else {
        write_bytes(reply, item->key, item->key_bytes);
        write_bytes(reply, "\r\n", 2);
    }
}

static void write_cache(struct dump *dump, const struct cache_walk_item *item,
                        struct protocol_reply *reply, uint32_t now_s)
{
    const size_t used = reply->used;

    (void)now_s;
    if (is_binary(item)) {
        return;
    }
    write_bytes(reply, "ITEM ", 5);
    write_bytes(reply, item->key, item->key_bytes);
    write_line(reply, " [%zu b; %" PRIu32 " s]\r\n", item->value_bytes,
               item->expiry_s != CACHE_NEVER ? item->expiry_s : 0);
    dump->items++;
    dump->written_bytes += reply->used - used;
    dump->walked = (dump->setup.items_max > 0 && dump->items == dump->setup.items_max) ||
                   dump->written_bytes > DUMP_CACHE_BYTES_MAX - DUMP_LINE_BYTES_MAX;
}

static void count_size(struct dump *dump, const struct cache_walk_item *item,
                       struct protocol_reply *reply, uint32_t now_s)
{
    const size_t bucket =
        (item->stored_bytes + DUMP_SIZE_BUCKET_BYTES - 1) / DUMP_SIZE_BUCKET_BYTES;

    (void)reply;
    (void)now_s;
    dump->buckets[bucket < dump->buckets_count ? bucket : dump->buckets_count - 1]++;
}

/* ---- what follows ---- */

static bool write_size(struct dump *dump, struct protocol_reply *reply)
{
    while (dump->rest < dump->buckets_count && dump->buckets[dump->rest] == 0) {
        dump->rest++;
    }
    if (dump->rest == dump->buckets_count) {
        return false;
    }
    write_line(reply, "STAT %zu %" PRIu32 "\r\n", dump->rest * DUMP_SIZE_BUCKET_BYTES,
               dump->buckets[dump->rest]);
    dump->rest++;
    return true;
}

static bool write_prefix(struct dump *dump, struct protocol_reply *reply)
{
    struct prefix_counts prefix;

    if (!prefixes_at(dump->setup.prefixes, dump->rest, &prefix)) {
        return false;
    }
    write_bytes(reply, "PREFIX ", 7);
    write_bytes(reply, prefix.text, prefix.text_bytes);
    write_line(reply, " get %" PRIu64 " hit %" PRIu64 " set %" PRIu64 " del %" PRIu64 "\r\n",
               prefix.counts[PREFIX_GET], prefix.counts[PREFIX_HIT], prefix.counts[PREFIX_SET],
               prefix.counts[PREFIX_DELETE]);
    dump->rest++;
    return true;
}

static const struct format formats[DUMP_KINDS_COUNT] = {
    [DUMP_META] = {.begin = "OK", .end = "END", .item = write_meta},
    [DUMP_MG] = {.begin = "OK", .end = "EN", .item = write_mg},
    [DUMP_CACHE] = {.end = "END", .item = write_cache},
    [DUMP_SIZES] = {.end = "END", .item = count_size, .rest = write_size},
    [DUMP_PREFIXES] = {.end = "END", .rest = write_prefix},
};

/* ---- the machinery ---- */

/* Of raw items, what their records take beside key and value, and more. */
#define RECORD_BYTES_MAX ((size_t)4096)

struct dump *dump_new(const struct dump_setup *setup)
{
    const size_t buckets =
        setup->kind == DUMP_SIZES
            ? (setup->item_bytes_max + RECORD_BYTES_MAX) / DUMP_SIZE_BUCKET_BYTES + 1
            : 0;
    const size_t bytes = sizeof(struct dump) + buckets * sizeof(uint32_t);

    if (!budget_take(setup->budget, bytes)) {
        return NULL;
    }
    struct dump *dump = calloc(1, bytes);
    if (dump == NULL) {
        budget_give(setup->budget, bytes);
        return NULL;
    }
    dump->setup = *setup;
    dump->format = &formats[setup->kind];
    dump->bytes = bytes;
    dump->buckets_count = buckets;
    dump->walked = setup->empty || dump->format->item == NULL;
    return dump;
}

void dump_free(struct dump *dump)
{
    if (dump == NULL) {
        return;
    }
    budget_give(dump->setup.budget, dump->bytes);
    free(dump);
}

static bool has_room(const struct protocol_reply *reply)
{
    return protocol_reply_room(reply) >= DUMP_LINE_BYTES_MAX;
}

/* Writes what is left of the walk's last step; false: the reply is full. */
static bool write_items(struct dump *dump, struct protocol_reply *reply, uint32_t now_s)
{
    for (; dump->next < dump->walk.count && !dump->walked; dump->next++) {
        if (!has_room(reply)) {
            return false;
        }
        dump->format->item(dump, &dump->walk.items[dump->next], reply, now_s);
    }
    return true;
}

/* DUMP_DONE: all items are written. What a step gives is written by the next call. */
static enum dump_status walk(struct dump *dump, struct protocol_reply *reply, uint32_t now_s)
{
    if (!write_items(dump, reply, now_s)) {
        return DUMP_MORE;
    }
    if (dump->walked) {
        return DUMP_DONE;
    }
    dump->walked = !cache_walk(dump->setup.cache, &dump->walk, now_s);
    dump->next = 0;
    return DUMP_MORE;
}

enum dump_status dump_write(struct dump *dump, struct protocol_reply *reply, uint32_t now_s)
{
    if (!has_room(reply)) {
        return DUMP_NO_ROOM;
    }
    if (!dump->begun && dump->format->begin != NULL) {
        write_line(reply, "%s\r\n", dump->format->begin);
    }
    dump->begun = true;
    if (walk(dump, reply, now_s) == DUMP_MORE) {
        return DUMP_MORE;
    }
    do {
        if (!has_room(reply)) {
            return DUMP_MORE;
        }
    } while (dump->format->rest != NULL && dump->format->rest(dump, reply));
    write_line(reply, "%s\r\n", dump->format->end);
    return DUMP_DONE;
}
