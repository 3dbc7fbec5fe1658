#include "clients/load_worker.h"

#include "clients/client_dial.h"
#include "clients/load_conn.h"

#include <event2/event.h>

#include <assert.h>
#include <errno.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/timerfd.h>
#include <unistd.h>

#define SECOND_NS       1000000000u
#define TICK_US         100000
/* While items are stored: enough on the way to keep a server busy, no more than sockets hold. */
#define STORE_DEPTH     64u
#define STORE_BYTES_MAX ((size_t)128 << 10)

struct published {
    atomic_uint_least64_t requests, misses, refused, wrong, latency_ns_max;
};

struct load_worker {
    const struct load_plan *plan;
    uint32_t number;
    struct load_conn_owner owner;
    struct load_tally tally;
    struct load_source source;
    struct load_conn **conns;
    uint32_t conns_count;
    struct event *tick, *due;
    uint64_t armed_ns; /* what the timer is set to; 0: not at all */
    int timer;         /* open loop: readable when the next arrival is due */

    /* of the phase */
    bool storing, open;
    uint32_t depth;
    uint64_t start_ns, end_ns, finished_ns;
    uint64_t requests_left;
    uint64_t added;  /* requests so far */
    uint32_t active; /* closed loop: connections that have not come to their end */

    /* open loop */
    double gap_ns, next_ns;     /* doubles: a gap need not be whole */
    uint32_t turn;              /* the connection that is asked first */
    struct load_conn **touched; /* room for one pointer each; used within pump() */

    atomic_bool stop;
    struct published published;
    bool failed;
    char failure[LOAD_TEXT_BYTES];
};

static bool going(const struct load_worker *worker, uint64_t now_ns)
{
    if (worker->storing)
        return worker->source.store_next < worker->source.store_end;
    return worker->requests_left > 0 && now_ns < worker->end_ns;
}

static void finish(struct load_worker *worker)
{
    worker->finished_ns = load_now_ns();
    (void)event_base_loopbreak(worker->owner.base);
}

static void on_failed(void *context, const char *why)
{
    struct load_worker *worker = context;

    if (!worker->failed)
        (void)snprintf(worker->failure, sizeof(worker->failure), "%s", why);
    worker->failed = true;
    finish(worker);
}

static bool add(struct load_worker *worker, struct load_conn *conn, uint64_t since_ns)
{
    if (!load_conn_add(conn, &worker->source, worker->storing, since_ns)) {
        on_failed(worker, "no memory");
        return false;
    }
    worker->added++;
    worker->requests_left--;
    return true;
}

/* ---- closed loop ---- */

/* The next batch, or the connection's end. */
static void next_batch(struct load_worker *worker, struct load_conn *conn, uint64_t now_ns)
{
    uint32_t count = 0;

    while (count < worker->depth && going(worker, now_ns) &&
           (!worker->storing || load_conn_unwritten_bytes(conn) < STORE_BYTES_MAX)) {
        if (!add(worker, conn, 0))
            return;
        count++;
    }
    if (count > 0) {
        load_conn_write(conn);
        return;
    }
    worker->active--;
    if (worker->active == 0)
        finish(worker);
}

/* ---- open loop ---- */

static uint64_t on_way(const struct load_worker *worker)
{
    return worker->added - load_tally_requests(&worker->tally);
}

static bool has_room(const struct load_worker *worker)
{
    return on_way(worker) < (uint64_t)worker->conns_count * worker->depth;
}

static bool arrivals_left(const struct load_worker *worker)
{
    return worker->requests_left > 0 && worker->next_ns < (double)worker->end_ns;
}

static void next_arrival(struct load_worker *worker)
{
    worker->next_ns += worker->plan->even_arrivals
                           ? worker->gap_ns
                           : load_random_gap(&worker->source.random, worker->gap_ns);
}

static void arm_timer(struct load_worker *worker)
{
    struct itimerspec when = {.it_value = {0, 0}}; /* not at all */
    uint64_t at_ns = arrivals_left(worker) && has_room(worker) ? (uint64_t)worker->next_ns : 0;

    if (worker->plan->spin || at_ns == worker->armed_ns)
        return;
    worker->armed_ns = at_ns;
    when.it_value.tv_sec = (time_t)(at_ns / SECOND_NS);
    when.it_value.tv_nsec = (long)(at_ns % SECOND_NS);
    if (timerfd_settime(worker->timer, TFD_TIMER_ABSTIME, &when, NULL) != 0)
        on_failed(worker, strerror(errno));
}

/* The next connection, in turn, that has room; there is one. */
static struct load_conn *conn_in_turn(struct load_worker *worker)
{
    struct load_conn *conn;

    do {
        conn = worker->conns[worker->turn];
        worker->turn = worker->turn + 1 < worker->conns_count ? worker->turn + 1 : 0;
    } while (load_conn_pending(conn) == worker->depth);
    return conn;
}

/* Sends what is due. */
static void pump(struct load_worker *worker)
{
    double now_ns = (double)load_now_ns();
    uint32_t touched_count = 0;

    if (worker->failed)
        return;
    while (worker->next_ns <= now_ns && arrivals_left(worker) && has_room(worker)) {
        struct load_conn *conn = conn_in_turn(worker);

        if (!load_conn_unsent(conn))
            worker->touched[touched_count++] = conn;
        if (!add(worker, conn, (uint64_t)worker->next_ns))
            return;
        next_arrival(worker);
    }
    for (uint32_t i = 0; i < touched_count; i++)
        load_conn_write(worker->touched[i]);
    if (!arrivals_left(worker) && on_way(worker) == 0)
        finish(worker);
    else
        arm_timer(worker);
}

static void on_due(evutil_socket_t descriptor, short what, void *context)
{
    struct load_worker *worker = context;

    /* What has expired is not read: the event is for the edge, and setting it anew clears it. */
    (void)descriptor;
    (void)what;
    worker->armed_ns = 0;
    pump(worker);
}

/* The phase's time is over, and the server has not kept up: what is due and still here stays. */
static void give_up_arrivals(struct load_worker *worker)
{
    while (arrivals_left(worker)) {
        worker->tally.unsent++;
        worker->requests_left--;
        next_arrival(worker);
    }
}

/* ---- both ---- */

static void on_replies(void *context, struct load_conn *conn)
{
    struct load_worker *worker = context;

    if (worker->open)
        pump(worker);
    else if (load_conn_pending(conn) == 0)
        next_batch(worker, conn, load_conn_quiet_since_ns(conn));
}

static void publish(struct load_worker *worker)
{
    struct published *published = &worker->published;
    const struct load_tally *tally = &worker->tally;
    uint64_t max_ns = 0;

    for (unsigned i = 0; i < LOAD_KINDS_COUNT; i++)
        max_ns = tally->latency_ns[i].max > max_ns ? tally->latency_ns[i].max : max_ns;
    atomic_store_explicit(&published->requests, load_tally_requests(tally), memory_order_relaxed);
    atomic_store_explicit(&published->misses, tally->misses, memory_order_relaxed);
    atomic_store_explicit(&published->refused, tally->refused, memory_order_relaxed);
    atomic_store_explicit(&published->wrong, tally->wrong, memory_order_relaxed);
    atomic_store_explicit(&published->latency_ns_max, max_ns, memory_order_relaxed);
}

static void check_timeouts(struct load_worker *worker, uint64_t now_ns)
{
    uint64_t timeout_ns = (uint64_t)worker->plan->timeout_s * SECOND_NS;
    char why[LOAD_TEXT_BYTES];

    for (uint32_t i = 0; i < worker->conns_count; i++) {
        const struct load_conn *conn = worker->conns[i];

        if (load_conn_pending(conn) == 0 || now_ns < load_conn_quiet_since_ns(conn) + timeout_ns)
            continue;
        (void)snprintf(why, sizeof(why), "no answer for %u s", worker->plan->timeout_s);
        on_failed(worker, why);
        return;
    }
}

static void on_tick(evutil_socket_t descriptor, short what, void *context)
{
    struct load_worker *worker = context;
    uint64_t now_ns = load_now_ns();

    (void)descriptor;
    (void)what;
    publish(worker);
    if (atomic_load_explicit(&worker->stop, memory_order_relaxed)) {
        worker->end_ns = now_ns < worker->end_ns ? now_ns : worker->end_ns;
        worker->source.store_end = worker->source.store_next;
    }
    check_timeouts(worker, now_ns);
    if (!worker->open)
        return;
    if (now_ns > worker->end_ns &&
        now_ns - worker->end_ns > (uint64_t)worker->plan->timeout_s * SECOND_NS)
        give_up_arrivals(worker);
    pump(worker);
}

/* ---- phases ---- */

static void begin_phase(struct load_worker *worker, const struct load_phase *phase)
{
    uint64_t keys = worker->plan->keys;
    uint32_t threads = worker->plan->threads;

    memset(&worker->tally, 0, sizeof(worker->tally));
    publish(worker);
    worker->storing = phase->kind == LOAD_PHASE_STORE;
    worker->open = !worker->storing && worker->plan->rate > 0;
    worker->depth = worker->storing ? STORE_DEPTH : worker->plan->depth;
    worker->source.store_next = keys / threads * worker->number;
    worker->source.store_end =
        worker->number + 1 == threads ? keys : keys / threads * (worker->number + 1);
    worker->requests_left = phase->requests;
    worker->added = 0;
    worker->start_ns = load_now_ns();
    worker->end_ns = worker->start_ns + (uint64_t)(phase->seconds * SECOND_NS);
    worker->finished_ns = worker->start_ns;
    worker->active = worker->conns_count;
    /* Workers take turns with their arrivals. */
    worker->gap_ns = worker->open ? (double)SECOND_NS * threads / worker->plan->rate : 0;
    worker->next_ns = (double)worker->start_ns + worker->gap_ns * worker->number / threads;
}

static void loop(struct load_worker *worker)
{
    struct event_base *base = worker->owner.base;

    if (!worker->plan->spin) {
        (void)event_base_loop(base, 0);
        return;
    }
    for (;;) {
        if (event_base_loop(base, EVLOOP_NONBLOCK) != 0 || event_base_got_break(base))
            return;
        if (!worker->open)
            continue;
        pump(worker);
        /* Outside of the loop a break is forgotten. */
        if (worker->failed || (!arrivals_left(worker) && on_way(worker) == 0))
            return;
    }
}

bool load_worker_run(struct load_worker *worker, const struct load_phase *phase)
{
    begin_phase(worker, phase);
    if (worker->open) {
        pump(worker);
    } else {
        for (uint32_t i = 0; i < worker->conns_count && !worker->failed; i++)
            next_batch(worker, worker->conns[i], worker->start_ns);
    }
    /* It may be over already: nothing to store, or no time. */
    if (!worker->failed && (worker->open || worker->active > 0))
        loop(worker);
    publish(worker);
    return !worker->failed;
}

/* ---- from outside ---- */

static bool connect_all(struct load_worker *worker, char error[LOAD_ERROR_BYTES])
{
    const struct load_plan *plan = worker->plan;
    uint32_t count = plan->connections / plan->threads +
                     (worker->number < plan->connections % plan->threads ? 1 : 0);

    worker->conns = calloc(count, sizeof(struct load_conn *));
    worker->touched = calloc(count, sizeof(struct load_conn *));
    for (; worker->conns != NULL && worker->conns_count < count; worker->conns_count++) {
        struct client_deadline deadline = client_deadline_in((int)plan->timeout_s * 1000);
        struct load_conn *conn;
        int descriptor = -1;
        enum client_status status =
            plan->socket_path != NULL
                ? client_dial_unix(plan->socket_path, deadline, &descriptor)
                : client_dial_tcp(plan->host, plan->port, deadline, &descriptor);

        if (status != CLIENT_OK) {
            (void)snprintf(error, LOAD_ERROR_BYTES, "connection %u of %u: %s",
                           worker->conns_count + 1, count,
                           status == CLIENT_SYSTEM ? strerror(errno) : client_status_text(status));
            return false;
        }
        conn = load_conn_new(&worker->owner, descriptor);
        if (conn == NULL)
            break;
        worker->conns[worker->conns_count] = conn;
    }
    (void)snprintf(error, LOAD_ERROR_BYTES, "no memory");
    return worker->conns_count == count && worker->touched != NULL;
}

static bool set_up(struct load_worker *worker, char error[LOAD_ERROR_BYTES])
{
    const struct timeval tick = {0, TICK_US};

    (void)snprintf(error, LOAD_ERROR_BYTES, "no event loop, or no memory for one");
    worker->owner.base = event_base_new();
    worker->timer = timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK | TFD_CLOEXEC);
    if (worker->owner.base == NULL || worker->timer < 0)
        return false;
    worker->tick = event_new(worker->owner.base, -1, EV_PERSIST, on_tick, worker);
    worker->due =
        event_new(worker->owner.base, worker->timer, EV_READ | EV_ET | EV_PERSIST, on_due, worker);
    return worker->tick != NULL && worker->due != NULL && event_add(worker->tick, &tick) == 0 &&
           event_add(worker->due, NULL) == 0 && connect_all(worker, error);
}

struct load_worker *load_worker_new(const struct load_plan *plan, const struct load_items *items,
                                    uint32_t number, char error[LOAD_ERROR_BYTES])
{
    struct load_worker *worker = calloc(1, sizeof(*worker));

    assert(number < plan->threads && plan->threads <= plan->connections);
    if (worker == NULL) {
        (void)snprintf(error, LOAD_ERROR_BYTES, "no memory");
        return NULL;
    }
    worker->plan = plan;
    worker->number = number;
    worker->timer = -1;
    worker->owner = (struct load_conn_owner){
        .plan = plan,
        .items = items,
        .tally = &worker->tally,
        .depth = plan->preload && plan->depth < STORE_DEPTH ? STORE_DEPTH : plan->depth,
        .context = worker,
        .replies = on_replies,
        .failed = on_failed,
    };
    load_source_init(&worker->source, plan, items, number);
    if (set_up(worker, error))
        return worker;
    load_worker_free(worker);
    return NULL;
}

void load_worker_free(struct load_worker *worker)
{
    if (worker == NULL)
        return;
    for (uint32_t i = 0; i < worker->conns_count; i++)
        load_conn_free(worker->conns[i]);
    free(worker->conns);
    free(worker->touched);
    if (worker->tick != NULL)
        event_free(worker->tick);
    if (worker->due != NULL)
        event_free(worker->due);
    if (worker->owner.base != NULL)
        event_base_free(worker->owner.base);
    if (worker->timer >= 0)
        (void)close(worker->timer);
    free(worker);
}

void load_worker_stop(struct load_worker *worker)
{
    atomic_store_explicit(&worker->stop, true, memory_order_relaxed);
}

struct load_progress load_worker_progress(const struct load_worker *worker)
{
    const struct published *published = &worker->published;

    return (struct load_progress){
        .requests = atomic_load_explicit(&published->requests, memory_order_relaxed),
        .misses = atomic_load_explicit(&published->misses, memory_order_relaxed),
        .refused = atomic_load_explicit(&published->refused, memory_order_relaxed),
        .wrong = atomic_load_explicit(&published->wrong, memory_order_relaxed),
        .latency_ns_max = atomic_load_explicit(&published->latency_ns_max, memory_order_relaxed),
    };
}

const struct load_tally *load_worker_tally(const struct load_worker *worker)
{
    return &worker->tally;
}

const char *load_worker_failure(const struct load_worker *worker)
{
    return worker->failure;
}

void load_worker_times_ns(const struct load_worker *worker, uint64_t *start_ns, uint64_t *end_ns)
{
    *start_ns = worker->start_ns;
    *end_ns = worker->finished_ns;
}
