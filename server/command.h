/*
 * command.h - the room where protocol and cache meet: one request in, one reply out.
 *
 *   struct protocol_request --> row of the verb --> cache_get(), cache_store(), ... --> reply
 *
 * One row of a table per verb. A value found is decompressed straight into the reply, behind the
 * place of its header; a value stored is taken from where it was received, its key moved up to it.
 * So neither is copied. The keys of a multiget are told to the cache some at a time before they are
 * asked for, so that their memory comes at once. Nothing here waits, reads the clock or knows what
 * a socket is.
 *
 * Words: a reply has *room* for what still fits its memory. A request *suspends* when the reply
 * has too little: the caller makes room (writes what is there, or gets a larger reply) and
 * executes the same request again, which goes on with its next key. One that names many keys also
 * suspends after COMMAND_KEYS_MAX of them, and one that stores a large value after each part of it
 * (cache_store()), so that the caller can turn to others in between.
 *
 * Invariants:
 *   COMMAND-1  NEEDS_ROOM, MORE and PAUSE have changed nothing but what was answered already: whole
 *              VALUE blocks of the keys that request->keys no longer holds.
 *   COMMAND-2  with @room_bytes free the same call makes progress.
 *   COMMAND-3  noreply: neither success nor error writes a byte (of verbs that have it).
 *   COMMAND-4  PAUSE has written a byte, or done a bounded piece of work towards one; or it waits
 *              until what the reply has is written, or for another request of the same thread that
 *              said PAUSE. One that is waited for has an empty reply, so it waits for no client.
 *
 * Threads: a struct command belongs to one thread; what it shares is safe for all.
 */
#ifndef SERVER_COMMAND_H
#define SERVER_COMMAND_H

#include "protocol/reply.h"
#include "protocol/request.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define COMMAND_EXPECT_MAX 32u
/* Two batches of look-ups, 40 to 100 us where the values are short. */
#define COMMAND_KEYS_MAX   64u

struct budget;
struct cache;
struct clock;
struct command;
struct config;
struct control;
struct counters;
struct hotkeys;
struct log;
struct prefixes;
struct stats;
struct watch;
struct watch_writer;

#define COMMAND_REASON_BYTES_MAX 479u

/* Reads certificates again. False: @reason, of COMMAND_REASON_BYTES_MAX + 1 bytes, says why not. */
typedef bool command_refresh_fn(void *context, char *reason);

/* What all threads' commands share; borrowed for as long as one of them lives. */
struct command_shared {
    const struct config *config;
    struct cache *cache;
    struct stats *stats;
    struct budget *budget;
    struct log *log;
    struct watch *watch;
    struct control *control;
    struct prefixes *prefixes;
    struct hotkeys *hotkeys;
    struct clock *clock;               /* for debugtime alone: time is a parameter */
    command_refresh_fn *refresh_certs; /* NULL: there are none */
    void *refresh_context;
};

enum command_outcome {
    COMMAND_DONE,
    COMMAND_NEEDS_ROOM,
    COMMAND_MORE,  /* a part is answered: execute it again */
    COMMAND_PAUSE, /* the same, of much: write it and serve others before */
    COMMAND_CLOSE, /* write what is in the reply, then close the connection */
    COMMAND_SHUTDOWN,
    COMMAND_SHUTDOWN_GRACEFUL,
    COMMAND_WATCH, /* nothing is answered yet: let the connection watch request->kinds */
};

/** command_new() - NULL where there is no memory. @counters are the thread's own. */
struct command *command_new(const struct command_shared *shared, struct counters *counters);
void command_free(struct command *command);

/** command_writer() - the thread's end of what watchers are told. */
struct watch_writer *command_writer(const struct command *command);

/**
 * command_execute() - carry out one request.
 * @request:    used up: keys move, the bytes before a value are overwritten.
 * @reply:      appended to.
 * @room_bytes: set with NEEDS_ROOM: how much the reply must have room for; never less than
 *              PROTOCOL_REPLY_BYTES_MAX.
 */
enum command_outcome command_execute(struct command *command, struct protocol_request *request,
                                     struct protocol_reply *reply, uint32_t now_s,
                                     size_t *room_bytes) __attribute__((warn_unused_result));

/**
 * command_expect() - say which keys the next requests will name (cache_expect()).
 * @count: at most COMMAND_EXPECT_MAX.
 */
void command_expect(struct command *command, const struct protocol_slice *keys, unsigned count);

/**
 * command_forget() - a request that said NEEDS_ROOM, MORE or PAUSE will not be executed again.
 *
 * What was kept for it, which is known by its address, is freed. Any other request is fine.
 */
void command_forget(struct command *command, const struct protocol_request *request);

/**
 * command_refuse() - answer a request that there is no memory for, as memcached words it.
 * @reply: has PROTOCOL_REPLY_BYTES_MAX bytes of room.
 *
 * A set that is refused removes the old item, as one that fails for the cache's own lack of memory.
 */
void command_refuse(struct command *command, struct protocol_request *request,
                    struct protocol_reply *reply, uint32_t now_s);

#endif
