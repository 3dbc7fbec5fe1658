/*
 * command_inside.h - what command.c and command_meta.c both know of a request being carried out.
 *
 * Threads: as command.h.
 */
#ifndef SERVER_COMMAND_INSIDE_H
#define SERVER_COMMAND_INSIDE_H

#include "server/admin/hotkeys.h"
#include "server/admin/prefixes.h"
#include "server/cache/cache.h"
#include "server/command.h"
#include "server/command_watch.h"
#include "server/counters.h"

struct command {
    struct command_shared shared;
    struct cache_worker *worker;
    struct counters *counters;
    struct watch_writer *writer;
    struct hotkeys_writer *hotkeys;
    struct admin *admin;
};

/* One call of command_execute(). */
struct call {
    struct command *command;
    const struct row *row;
    struct protocol_request *request;
    struct protocol_reply *reply;
    size_t room_bytes;
    uint32_t now_s;
};

typedef enum command_outcome execute_fn(struct call *call);

struct row {
    execute_fn *execute;
    const char *refused; /* what a request that there is no memory for is answered */
    bool with_cas;       /* get: the cas is shown */
    bool touches;        /* get: the expiry is set */
    bool increments;     /* incr */
    enum cache_mode mode;
    enum counter hits, misses;
};

static inline void call_count(const struct call *call, enum counter counter)
{
    counters_add(call->command->counters, counter, 1);
}

/** call_count_key() - a request for that key, whatever came of it: for "stats hotkeys". */
static inline void call_count_key(const struct call *call, const void *key, size_t key_bytes)
{
    hotkeys_count(call->command->hotkeys, key, key_bytes, call->now_s);
}

/** call_count_prefix() - statistics by prefix, where they are on. */
static inline void call_count_prefix(const struct call *call, const void *key, size_t key_bytes,
                                     enum prefix_event event)
{
    struct prefixes *prefixes = call->command->shared.prefixes;

    if (prefixes_on(prefixes)) {
        prefixes_count(prefixes, key, key_bytes, event);
    }
}

/** call_count_store() - a store of that mode has come to that. */
static inline void call_count_store(const struct call *call, enum cache_mode mode,
                                    enum cache_status status)
{
    if (status == CACHE_TOO_LARGE) {
        call_count(call, COUNTER_STORE_TOO_LARGE);
        return;
    }
    if (status == CACHE_NO_MEMORY) {
        call_count(call, COUNTER_STORE_NO_MEMORY);
        return;
    }
    call_count(call, COUNTER_CMD_SET);
    if (mode != CACHE_CAS && mode != CACHE_CAS_OR_STALE) {
        return;
    }
    if (status == CACHE_OK) {
        call_count(call, COUNTER_CAS_HITS);
    } else if (status == CACHE_EXISTS) {
        call_count(call, COUNTER_CAS_BADVAL);
    } else if (status == CACHE_NOT_FOUND) {
        call_count(call, COUNTER_CAS_MISSES);
    }
}

/** call_look() - before the cache is asked: what watchers will be told of the key. */
static inline void call_look(const struct call *call, struct protocol_slice key,
                             struct command_look *look)
{
    const struct command *command = call->command;

    command_look(command->writer, command->worker, key.data, key.bytes, call->now_s, look);
}

/** call_answer() - a line, unless noreply; any has room, command_execute() has seen to it. */
enum command_outcome call_answer(const struct call *call, const char *line);
/** call_needs_room() - the reply must have @bytes of room, then the same again. */
enum command_outcome call_needs_room(struct call *call, size_t bytes);
/**
 * call_expiry() - a point on the cache's clock from what a client sends: 0 never, up to 30 days
 * from now, beyond that unix time, and gone at once where that is past or the number negative. "At
 * once" is second 0, as another thread's clock may stand a moment behind.
 */
uint32_t call_expiry(int64_t exptime, uint32_t now_s);
/** call_store_line() - what a store that failed is answered. */
const char *call_store_line(enum cache_status status);
/** call_arith_line() - what is answered to arithmetic that met no number, or no memory. */
const char *call_arith_line(enum cache_status status);

/**
 * call_refuse_store() - a store whose value was not taken: counted, told, and where it is a set, or
 * an ms of any mode, the old value removed, as the client takes it for replaced.
 */
void call_refuse_store(const struct call *call, enum cache_mode mode, enum cache_status status);

/**
 * call_store_waits() - a store that goes on in parts begins when all before it is answered: else a
 * client that takes no answers could have the stores of others wait for his.
 */
static inline bool call_store_waits(const struct call *call, size_t key_bytes)
{
    return key_bytes + call->request->value.bytes > CACHE_PART_BYTES && call->reply->used > 0;
}

/** call_meta_key() - the key of a meta command, decoded to @room where it is base64. */
struct protocol_slice call_meta_key(const struct protocol_request *request,
                                    uint8_t room[CACHE_KEY_BYTES_MAX]);
execute_fn execute_mg;
execute_fn execute_ms;
execute_fn execute_md;
execute_fn execute_ma;
execute_fn execute_me;
execute_fn execute_mn;

#endif
