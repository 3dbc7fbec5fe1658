/*
 * command_watch.h - what commands tell those who watch ("watch fetchers mutations deletions").
 *
 *   command_look(...)   before the cache is asked: what stands for the key now
 *   cache_...()
 *   command_tell_...()  what has come of it
 *
 * While nobody watches, a look is a load and a test, and so is what is told. As in memcached every
 * command with a key tells of its look-up, not only those that fetch.
 *
 * The item may change between the look and the cache's answer: then what is told is what the look
 * has seen, as memcached's lines of two threads stand in no order either.
 *
 * Threads: the command's.
 */
#ifndef SERVER_COMMAND_WATCH_H
#define SERVER_COMMAND_WATCH_H

#include "server/admin/watch.h"
#include "server/cache/cache.h"

struct command_look {
    struct watch_writer *writer; /* NULL: nobody watches, and nothing else is set */
    const void *key;
    size_t key_bytes;
    uint32_t now_s;
    enum cache_standing standing;
    struct cache_item item; /* unless it is absent */
};

/** command_look_at() - command_look() where somebody watches. */
void command_look_at(struct watch_writer *writer, struct cache_worker *worker, const void *key,
                     size_t key_bytes, uint32_t now_s, struct command_look *look);

/** command_look() - the key is borrowed until it was told of. */
static inline void command_look(struct watch_writer *writer, struct cache_worker *worker,
                                const void *key, size_t key_bytes, uint32_t now_s,
                                struct command_look *look)
{
    look->writer = NULL;
    if (watch_wants(writer, WATCH_FETCHERS | WATCH_MUTATIONS | WATCH_DELETIONS)) {
        command_look_at(writer, worker, key, key_bytes, now_s, look);
    }
}

void command_say_get(const struct command_look *look, const struct cache_item *found);
/** command_tell_get() - the key was looked up. @found: as found since the look, or NULL. */
static inline void command_tell_get(const struct command_look *look, const struct cache_item *found)
{
    if (look->writer != NULL) {
        command_say_get(look, found);
    }
}

void command_say_store(const struct command_look *look, const struct cache_store *store,
                       enum cache_status status);
/** command_tell_store() - what came of a store. @store->entry begins with the key. */
static inline void command_tell_store(const struct command_look *look,
                                      const struct cache_store *store, enum cache_status status)
{
    if (look->writer != NULL) {
        command_say_store(look, store, status);
    }
}

void command_say_delete(const struct command_look *look, const char *cmd, enum cache_status status);
/** command_tell_delete() - what came of a removal. @cmd: "delete" or "md". */
static inline void command_tell_delete(const struct command_look *look, const char *cmd,
                                       enum cache_status status)
{
    if (look->writer != NULL) {
        command_say_delete(look, cmd, status);
    }
}

#endif
