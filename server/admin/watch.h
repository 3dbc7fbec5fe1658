/*
 * watch.h - what happens, told to those who watch: the command "watch".
 *
 *   worker 1 --watch_say()--> ring --.                         .--> ring --watcher_take()--> socket
 *   worker 2 --watch_say()--> ring --+--> log thread: a line --+       (by the worker that serves
 *   evictions --------------> ring --'                         '--> ring           the watcher)
 *
 * While nobody watches, an event costs a load and a test. While somebody does, its thread copies
 * it, some 60 bytes and the key, to a ring of its own; a thread that is there for nothing else
 * makes lines of the events and copies them to the ring of each watcher that asked for them.
 * Nobody waits: what finds no room is dropped and counted, and a watcher that was too slow reads
 * "skipped=<n>" where the lines are missing.
 *
 * Words: a *writer* is a thread's end; events that any thread may meet (evictions) share one, under
 * a lock of its own. A *kind* is a word of the command, a bit (watch_event.h).
 *
 * Invariants:
 *   WATCH-1  of N events said, N = written + dropped; each one written is, for each watcher who
 *            asked for its kind before it happened, sent or skipped.
 *   WATCH-2  writers' rings are there from the first watcher on to the end; a watcher's as long as
 *            it is open. All of that is charged to the budget.
 *   WATCH-3  kinds that nobody watches are not said.
 *
 * Threads: a writer belongs to one thread; watcher_take() and watch_close() to that which opened
 * the watcher; the rest is for any. Locks: watch > budget; a shard's lock > that of evictions.
 */
#ifndef SERVER_ADMIN_WATCH_H
#define SERVER_ADMIN_WATCH_H

#include "server/admin/watch_event.h"
#include "server/admin/watch_ring.h"

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define WATCH_WATCHERS_MAX 20u /* memcached's limit */

struct budget;
struct clock;
struct watch;
struct watcher;

/* One thread's end. */
struct watch_writer {
    _Alignas(64) _Atomic uint32_t kinds; /* that somebody watches now */
    int fd;                              /* of the connection that is served; its thread sets it */
    struct watch *watch;
    _Atomic uint64_t written; /* events */
    _Atomic uint64_t dropped; /* events there was no room for */
    struct watch_ring ring;
};

/* All borrowed for as long as the struct watch lives. */
struct watch_setup {
    const struct clock *clock;
    struct budget *budget;
    size_t writers_count; /* threads that will join */
    size_t writer_bytes;  /* -o worker_logbuf_size; less than 2 KiB is taken for that */
    size_t watcher_bytes; /* -o watcher_logbuf_size; the same */
};

/** watch_new() - nobody watches yet. NULL where there is no memory. */
struct watch *watch_new(const struct watch_setup *setup);
/** watch_free() - every watcher is closed, and no writer says anything any more. */
void watch_free(struct watch *watch);

/** watch_join() - a thread's end, for good; at most writers_count times. The watch owns it. */
struct watch_writer *watch_join(struct watch *watch);

/** watch_wants() - does somebody watch one of these kinds? For whom it is work to say something. */
static inline bool watch_wants(const struct watch_writer *writer, uint32_t kinds)
{
    return (atomic_load_explicit(&writer->kinds, memory_order_relaxed) & kinds) != 0;
}

/**
 * watch_say() - an event, if its kind is watched.
 * @event: gid, time, fd and the key's length are filled in.
 */
void watch_say(struct watch_writer *writer, struct watch_event *event, const void *key,
               size_t key_bytes);

/** watch_wants_evictions() - as watch_wants(), from any thread. */
bool watch_wants_evictions(const struct watch *watch);
/** watch_say_eviction() - as watch_say(), from any thread, also under a shard's lock. */
void watch_say_eviction(struct watch *watch, struct watch_event *event, const void *key,
                        size_t key_bytes);

/** watch_wake_fn - lines wait; called by the log thread, until they are taken only once. */
typedef void watch_wake_fn(void *context);

enum watch_open {
    WATCH_OPENED,
    WATCH_TOO_MANY,
    WATCH_FAILED, /* no memory, or no thread */
};

/**
 * watch_open() - watch these kinds from now on.
 * @watcher: set on WATCH_OPENED; ends with watch_close().
 */
enum watch_open watch_open(struct watch *watch, uint32_t kinds, watch_wake_fn *wake, void *context,
                           struct watcher **watcher) __attribute__((warn_unused_result));
/** watch_close() - no wake comes any more when this returns. */
void watch_close(struct watcher *watcher);
/** watcher_take() - what waits of its lines, at most @room bytes of them; how many bytes. */
size_t watcher_take(struct watcher *watcher, uint8_t *out, size_t room);
/** watcher_waiting() - do lines wait? */
bool watcher_waiting(const struct watcher *watcher);

/* memcached's log_... */
struct watch_figures {
    uint64_t worker_dropped;
    uint64_t worker_written;
    uint64_t watcher_skipped;
    uint64_t watcher_sent; /* lines */
    uint64_t watchers;     /* now */
};
void watch_figures(struct watch *watch, struct watch_figures *figures);

#endif
