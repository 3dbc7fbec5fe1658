#include "server/command_watch.h"

#include <assert.h>
#include <stdio.h>

/* "stats items" shows all items in one class. */
#define CLASS_ID 1u

static_assert(WATCH_KEY_BYTES_MAX == CACHE_KEY_BYTES_MAX, "what may be stored may be told");

void command_look_at(struct watch_writer *writer, struct cache_worker *worker, const void *key,
                     size_t key_bytes, uint32_t now_s, struct command_look *look)
{
    look->writer = writer;
    look->key = key;
    look->key_bytes = key_bytes;
    look->now_s = now_s;
    look->standing = cache_inspect(worker, key, key_bytes, now_s, &look->item);
}

static enum watch_found found_of(enum cache_standing standing)
{
    switch (standing) {
    case CACHE_ALIVE:
        return WATCH_FOUND;
    case CACHE_FLUSHED:
        return WATCH_FLUSHED;
    case CACHE_EXPIRED:
        return WATCH_EXPIRED;
    case CACHE_ABSENT:
        break;
    }
    return WATCH_NOT_FOUND;
}

static void say_get(const struct command_look *look, const void *key,
                    const struct cache_item *found)
{
    struct watch_event event = {.type = WATCH_ITEM_GET,
                                .outcome = (uint8_t)found_of(look->standing)};

    if (found == NULL && look->standing == CACHE_ALIVE) {
        found = &look->item;
    }
    if (found != NULL) {
        event.outcome = WATCH_FOUND;
        event.class_id = CLASS_ID;
        event.value_bytes = found->value_bytes;
    }
    watch_say(look->writer, &event, key, look->key_bytes);
}

void command_say_get(const struct command_look *look, const struct cache_item *found)
{
    say_get(look, look->key, found);
}

static const char *mode_word(enum cache_mode mode)
{
    switch (mode) {
    case CACHE_SET:
        return "set";
    case CACHE_ADD:
        return "add";
    case CACHE_REPLACE:
        return "replace";
    case CACHE_APPEND:
        return "append";
    case CACHE_PREPEND:
        return "prepend";
    case CACHE_CAS:
    case CACHE_CAS_OR_STALE:
        break;
    }
    return "cas";
}

static enum watch_stored stored_of(enum cache_status status)
{
    switch (status) {
    case CACHE_OK:
        return WATCH_STORED;
    case CACHE_EXISTS:
        return WATCH_STORE_EXISTS;
    case CACHE_NOT_FOUND:
        return WATCH_STORE_NOT_FOUND;
    case CACHE_TOO_LARGE:
        return WATCH_TOO_LARGE;
    case CACHE_NO_MEMORY:
        return WATCH_NO_MEMORY;
    case CACHE_NOT_STORED:
    case CACHE_NOT_NUMBER:
    case CACHE_NO_ROOM:
    case CACHE_MORE:
        break;
    }
    return WATCH_NOT_STORED;
}

static int64_t ttl_of(uint32_t expiry_s, uint32_t now_s)
{
    if (expiry_s == CACHE_NEVER) {
        return 0;
    }
    return expiry_s > now_s ? (int64_t)(expiry_s - now_s) : -1;
}

static void say_store(const struct command_look *look, const struct cache_store *store,
                      enum cache_status status)
{
    const bool joins = store->mode == CACHE_APPEND || store->mode == CACHE_PREPEND;
    const bool failed = status == CACHE_TOO_LARGE || status == CACHE_NO_MEMORY;
    struct watch_event event = {
        .type = WATCH_ITEM_STORE,
        .outcome = (uint8_t)stored_of(status),
        .class_id = failed ? 0 : CLASS_ID,
        .ttl_s = ttl_of(store->expiry_s, look->now_s),
        .value_bytes = store->value_bytes,
    };

    if (joins && status == CACHE_OK && look->standing == CACHE_ALIVE) {
        event.ttl_s = ttl_of(look->item.expiry_s, look->now_s);
        event.value_bytes += look->item.value_bytes;
    }
    (void)snprintf(event.cmd, sizeof(event.cmd), "%s", mode_word(store->mode));
    watch_say(look->writer, &event, store->entry, store->key_bytes);
}

/* The command line that the look's key stood on may be gone: the entry's key is the same. For a
 * value that was refused memcached looks afterwards, and only where a set is to remove the old. */
void command_say_store(const struct command_look *look, const struct cache_store *store,
                       enum cache_status status)
{
    const bool refused = status == CACHE_TOO_LARGE || status == CACHE_NO_MEMORY;

    if (refused) {
        say_store(look, store, status);
    }
    if (!refused || store->mode == CACHE_SET) {
        say_get(look, store->entry, NULL);
    }
    if (!refused) {
        say_store(look, store, status);
    }
}

void command_say_delete(const struct command_look *look, const char *cmd, enum cache_status status)
{
    struct watch_event event = {.type = WATCH_DELETED, .class_id = CLASS_ID};

    command_say_get(look, NULL);
    if (status != CACHE_OK || look->standing != CACHE_ALIVE) {
        return;
    }
    event.value_bytes = look->item.value_bytes;
    (void)snprintf(event.cmd, sizeof(event.cmd), "%s", cmd);
    watch_say(look->writer, &event, look->key, look->key_bytes);
}
