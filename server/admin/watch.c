#include "server/admin/watch.h"

#include "server/budget.h"
#include "server/clock.h"
#include "server/limits.h"
#include "server/thread.h"

#include <assert.h>
#include <inttypes.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

#define SKIPPED_BYTES_MAX 40u /* "skipped=", 20 digits, the line's end */
/* A line that may be sent needs so much room. Smaller rings than twice that are not made. */
#define ROOM_BYTES        (SKIPPED_BYTES_MAX + WATCH_LINE_BYTES_MAX)
#define BUFFER_BYTES_MIN  (2 * ROOM_BYTES)

static_assert(sizeof(struct watch_event) + WATCH_KEY_BYTES_MAX <= BUFFER_BYTES_MIN,
              "any ring takes any event");

struct watcher {
    struct watch *watch;
    uint32_t kinds;
    uint64_t first_gid; /* older events were not asked for */
    uint64_t skipped;   /* lines since the last that was sent; the log thread's */
    watch_wake_fn *wake;
    void *context;
    _Atomic bool woken; /* and has taken nothing since */
    uint8_t *memory;
    struct watch_ring ring;
};

struct watch {
    struct watch_setup setup;
    pthread_mutex_t lock; /* of watchers, and of what follows up to running */
    pthread_cond_t change;
    struct watcher *watchers[WATCH_WATCHERS_MAX];
    unsigned watchers_count;
    bool stopping;
    bool running; /* the log thread, and there are rings */
    pthread_t thread;
    uint8_t *memory; /* of the writers' rings */
    _Atomic uint64_t gid;
    _Atomic uint64_t skipped, sent;
    pthread_mutex_t evictions_lock; /* for those who write to the last writer */
    size_t joined_count;
    struct watch_writer writers[]; /* writers_count, and one for evictions */
};

/* ---- writing ---- */

static struct watch_writer *evictions(struct watch *watch)
{
    return &watch->writers[watch->setup.writers_count];
}

static void count(_Atomic uint64_t *counter)
{
    const uint64_t now = atomic_load_explicit(counter, memory_order_relaxed);
    atomic_store_explicit(counter, now + 1, memory_order_relaxed);
}

static void put_event(struct watch_writer *writer, struct watch_event *event, const void *key,
                      size_t key_bytes)
{
    struct watch *watch = writer->watch;
    const struct clock *clock = watch->setup.clock;

    assert(key_bytes <= WATCH_KEY_BYTES_MAX);
    event->key_bytes = (uint8_t)key_bytes;
    event->gid = atomic_fetch_add_explicit(&watch->gid, 1, memory_order_relaxed) + 1;
    event->unix_us = (uint64_t)clock->unix_ns / 1000 + clock_elapsed_us(clock);
    const bool put = watch_ring_put(&writer->ring, event, sizeof(*event), key, key_bytes);
    count(put ? &writer->written : &writer->dropped);
}

void watch_say(struct watch_writer *writer, struct watch_event *event, const void *key,
               size_t key_bytes)
{
    if (watch_wants(writer, watch_event_kind((enum watch_type)event->type))) {
        event->fd = writer->fd;
        put_event(writer, event, key, key_bytes);
    }
}

bool watch_wants_evictions(const struct watch *watch)
{
    return watch_wants(&watch->writers[watch->setup.writers_count], WATCH_EVICTIONS);
}

void watch_say_eviction(struct watch *watch, struct watch_event *event, const void *key,
                        size_t key_bytes)
{
    if (watch_wants_evictions(watch)) {
        pthread_mutex_lock(&watch->evictions_lock);
        put_event(evictions(watch), event, key, key_bytes);
        pthread_mutex_unlock(&watch->evictions_lock);
    }
}

struct watch_writer *watch_join(struct watch *watch)
{
    assert(watch->joined_count < watch->setup.writers_count);
    return &watch->writers[watch->joined_count++];
}

/* ---- the log thread ---- */

static size_t room_of(const struct watcher *watcher)
{
    return watcher->ring.capacity - watch_ring_waiting(&watcher->ring);
}

static bool is_for(const struct watcher *watcher, const struct watch_event *event)
{
    return watcher != NULL &&
           (watcher->kinds & watch_event_kind((enum watch_type)event->type)) != 0 &&
           event->gid >= watcher->first_gid;
}

/* Has one of those who asked room for it? If not, the line need not be made. */
static bool is_wanted(struct watch *watch, const struct watch_event *event)
{
    bool wanted = false;

    pthread_mutex_lock(&watch->lock);
    for (unsigned i = 0; i < WATCH_WATCHERS_MAX; i++) {
        struct watcher *watcher = watch->watchers[i];
        if (!is_for(watcher, event)) {
            continue;
        }
        wanted = wanted || room_of(watcher) >= ROOM_BYTES;
    }
    pthread_mutex_unlock(&watch->lock);
    return wanted;
}

static void send_line(struct watch *watch, struct watcher *watcher, const char *line, size_t bytes)
{
    char skipped[SKIPPED_BYTES_MAX];
    int skipped_bytes = 0;

    if (watcher->skipped > 0) {
        skipped_bytes =
            snprintf(skipped, sizeof(skipped), "skipped=%" PRIu64 "\n", watcher->skipped);
    }
    if (bytes == 0 ||
        !watch_ring_put(&watcher->ring, skipped, (size_t)skipped_bytes, line, bytes)) {
        watcher->skipped++;
        count(&watch->skipped);
        return;
    }
    watcher->skipped = 0;
    count(&watch->sent);
}

/* To all who asked for it; a line of 0 bytes is skipped by all of them. */
static void deliver(struct watch *watch, const struct watch_event *event, const uint8_t *key)
{
    char line[WATCH_LINE_BYTES_MAX];
    const size_t bytes = is_wanted(watch, event) ? watch_event_line(event, key, line) : 0;

    pthread_mutex_lock(&watch->lock);
    for (unsigned i = 0; i < WATCH_WATCHERS_MAX; i++) {
        if (is_for(watch->watchers[i], event)) {
            send_line(watch, watch->watchers[i], line, bytes);
        }
    }
    pthread_mutex_unlock(&watch->lock);
}

static void wake_watchers(struct watch *watch)
{
    pthread_mutex_lock(&watch->lock);
    for (unsigned i = 0; i < WATCH_WATCHERS_MAX; i++) {
        struct watcher *watcher = watch->watchers[i];
        if (watcher != NULL && watcher_waiting(watcher) &&
            !atomic_exchange(&watcher->woken, true)) {
            watcher->wake(watcher->context);
        }
    }
    pthread_mutex_unlock(&watch->lock);
}

/* What waits in a writer's ring, at most one fill of it: others have their turn too. */
static bool empty_ring(struct watch *watch, struct watch_writer *writer)
{
    size_t waiting = watch_ring_waiting(&writer->ring);
    const bool any = waiting > 0;

    while (waiting > 0) {
        struct watch_event event;
        uint8_t key[WATCH_KEY_BYTES_MAX];
        size_t bytes = watch_ring_take(&writer->ring, (uint8_t *)&event, sizeof(event));
        assert(bytes == sizeof(event));
        bytes += watch_ring_take(&writer->ring, key, event.key_bytes);
        assert(bytes == sizeof(event) + event.key_bytes && bytes <= waiting);
        waiting -= bytes;
        deliver(watch, &event, key);
    }
    return any;
}

/* Until somebody watches, then for a while; false where all is over. */
static bool wait_for(struct watch *watch, unsigned pause_us)
{
    struct timespec until;
    const int failed = clock_gettime(CLOCK_MONOTONIC, &until);
    int status = 0;

    assert(!failed);
    until.tv_nsec += (long)pause_us * 1000;
    until.tv_sec += until.tv_nsec / 1000000000;
    until.tv_nsec %= 1000000000;
    pthread_mutex_lock(&watch->lock);
    while (!watch->stopping && watch->watchers_count == 0) {
        (void)pthread_cond_wait(&watch->change, &watch->lock);
    }
    while (!watch->stopping && status == 0) {
        status = pthread_cond_timedwait(&watch->change, &watch->lock, &until);
    }
    const bool go_on = !watch->stopping;
    pthread_mutex_unlock(&watch->lock);
    return go_on;
}

static void *run(void *context)
{
    struct watch *watch = context;
    unsigned pause_us = LIMITS_WATCH_PAUSE_US;

    thread_set_name("zb-watch");
    /* Requests go first. A system that knows no priorities of threads does without. */
    (void)setpriority(PRIO_PROCESS, (id_t)gettid(), LIMITS_WATCH_NICE);
    while (wait_for(watch, pause_us)) {
        bool any = false;
        for (size_t i = 0; i <= watch->setup.writers_count; i++) {
            any = empty_ring(watch, &watch->writers[i]) || any;
        }
        wake_watchers(watch);
        pause_us = any ? LIMITS_WATCH_PAUSE_US : 2 * pause_us;
        if (pause_us > LIMITS_WATCH_PAUSE_US_MAX) {
            pause_us = LIMITS_WATCH_PAUSE_US_MAX;
        }
    }
    return NULL;
}

/* ---- watchers ---- */

static void set_kinds(struct watch *watch)
{
    uint32_t kinds = 0;

    for (unsigned i = 0; i < WATCH_WATCHERS_MAX; i++) {
        kinds |= watch->watchers[i] != NULL ? watch->watchers[i]->kinds : 0;
    }
    for (size_t i = 0; i <= watch->setup.writers_count; i++) {
        atomic_store_explicit(&watch->writers[i].kinds, kinds, memory_order_relaxed);
    }
}

static size_t rings_bytes(const struct watch *watch)
{
    return (watch->setup.writers_count + 1) * watch->setup.writer_bytes;
}

/* What the first watcher brings into being. */
static bool start(struct watch *watch)
{
    const size_t bytes = watch->setup.writer_bytes;

    if (watch->running) {
        return true;
    }
    if (!budget_take(watch->setup.budget, rings_bytes(watch))) {
        return false;
    }
    watch->memory = malloc(rings_bytes(watch));
    if (watch->memory == NULL || !thread_start(&watch->thread, run, watch)) {
        free(watch->memory);
        watch->memory = NULL;
        budget_give(watch->setup.budget, rings_bytes(watch));
        return false;
    }
    for (size_t i = 0; i <= watch->setup.writers_count; i++) {
        watch_ring_give(&watch->writers[i].ring, watch->memory + i * bytes, bytes);
    }
    watch->running = true;
    return true;
}

static size_t watcher_bytes(const struct watch *watch)
{
    return sizeof(struct watcher) + watch->setup.watcher_bytes;
}

static void free_watcher(struct watch *watch, struct watcher *watcher)
{
    free(watcher->memory);
    free(watcher);
    budget_give(watch->setup.budget, watcher_bytes(watch));
}

static struct watcher *new_watcher(struct watch *watch)
{
    if (!budget_take(watch->setup.budget, watcher_bytes(watch))) {
        return NULL;
    }
    struct watcher *watcher = aligned_alloc(_Alignof(struct watcher), sizeof(*watcher));
    uint8_t *memory = malloc(watch->setup.watcher_bytes);
    if (watcher == NULL || memory == NULL) {
        free(watcher);
        free(memory);
        budget_give(watch->setup.budget, watcher_bytes(watch));
        return NULL;
    }
    memset(watcher, 0, sizeof(*watcher));
    watcher->watch = watch;
    watcher->memory = memory;
    watch_ring_give(&watcher->ring, memory, watch->setup.watcher_bytes);
    return watcher;
}

/* Under the lock, with a place left. */
static enum watch_open insert(struct watch *watch, struct watcher *watcher)
{
    if (watch->watchers_count == WATCH_WATCHERS_MAX) {
        return WATCH_TOO_MANY;
    }
    if (!start(watch)) {
        return WATCH_FAILED;
    }
    unsigned place = 0;
    while (watch->watchers[place] != NULL) {
        place++;
    }
    watcher->first_gid = atomic_load_explicit(&watch->gid, memory_order_relaxed) + 1;
    watch->watchers[place] = watcher;
    watch->watchers_count++;
    set_kinds(watch);
    pthread_cond_signal(&watch->change);
    return WATCH_OPENED;
}

enum watch_open watch_open(struct watch *watch, uint32_t kinds, watch_wake_fn *wake, void *context,
                           struct watcher **watcher)
{
    struct watcher *fresh = new_watcher(watch);

    if (fresh == NULL) {
        return WATCH_FAILED;
    }
    fresh->kinds = kinds;
    fresh->wake = wake;
    fresh->context = context;
    pthread_mutex_lock(&watch->lock);
    const enum watch_open opened = insert(watch, fresh);
    pthread_mutex_unlock(&watch->lock);
    if (opened != WATCH_OPENED) {
        free_watcher(watch, fresh);
        return opened;
    }
    *watcher = fresh;
    return WATCH_OPENED;
}

void watch_close(struct watcher *watcher)
{
    struct watch *watch = watcher->watch;

    pthread_mutex_lock(&watch->lock);
    for (unsigned i = 0; i < WATCH_WATCHERS_MAX; i++) {
        if (watch->watchers[i] == watcher) {
            watch->watchers[i] = NULL;
            watch->watchers_count--;
        }
    }
    set_kinds(watch);
    pthread_mutex_unlock(&watch->lock);
    free_watcher(watch, watcher);
}

size_t watcher_take(struct watcher *watcher, uint8_t *out, size_t room)
{
    /* First: lines that come meanwhile wake again. */
    atomic_store(&watcher->woken, false);
    return watch_ring_take(&watcher->ring, out, room);
}

bool watcher_waiting(const struct watcher *watcher)
{
    return watch_ring_waiting(&watcher->ring) > 0;
}

/* ---- its life ---- */

static size_t at_least(size_t bytes, size_t least)
{
    return bytes > least ? bytes : least;
}

struct watch *watch_new(const struct watch_setup *setup)
{
    const size_t writers_count = setup->writers_count + 1;
    const size_t bytes = sizeof(struct watch) + writers_count * sizeof(struct watch_writer);
    struct watch *watch = aligned_alloc(_Alignof(struct watch), bytes);
    pthread_condattr_t attributes;

    if (watch == NULL) {
        return NULL;
    }
    memset(watch, 0, bytes);
    watch->setup = *setup;
    watch->setup.writer_bytes = at_least(setup->writer_bytes, BUFFER_BYTES_MIN);
    watch->setup.watcher_bytes = at_least(setup->watcher_bytes, BUFFER_BYTES_MIN);
    for (size_t i = 0; i < writers_count; i++) {
        watch->writers[i].watch = watch;
    }
    pthread_mutex_init(&watch->lock, NULL);
    pthread_mutex_init(&watch->evictions_lock, NULL);
    pthread_condattr_init(&attributes);
    pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
    pthread_cond_init(&watch->change, &attributes);
    pthread_condattr_destroy(&attributes);
    return watch;
}

void watch_free(struct watch *watch)
{
    if (watch == NULL) {
        return;
    }
    assert(watch->watchers_count == 0);
    if (watch->running) {
        pthread_mutex_lock(&watch->lock);
        watch->stopping = true;
        pthread_cond_signal(&watch->change);
        pthread_mutex_unlock(&watch->lock);
        const int failed = pthread_join(watch->thread, NULL);
        assert(!failed);
        free(watch->memory);
        budget_give(watch->setup.budget, rings_bytes(watch));
    }
    pthread_cond_destroy(&watch->change);
    pthread_mutex_destroy(&watch->evictions_lock);
    pthread_mutex_destroy(&watch->lock);
    free(watch);
}

void watch_figures(struct watch *watch, struct watch_figures *figures)
{
    *figures = (struct watch_figures){
        .watcher_skipped = atomic_load_explicit(&watch->skipped, memory_order_relaxed),
        .watcher_sent = atomic_load_explicit(&watch->sent, memory_order_relaxed),
    };
    for (size_t i = 0; i <= watch->setup.writers_count; i++) {
        const struct watch_writer *writer = &watch->writers[i];
        figures->worker_written += atomic_load_explicit(&writer->written, memory_order_relaxed);
        figures->worker_dropped += atomic_load_explicit(&writer->dropped, memory_order_relaxed);
    }
    pthread_mutex_lock(&watch->lock);
    figures->watchers = watch->watchers_count;
    pthread_mutex_unlock(&watch->lock);
}
