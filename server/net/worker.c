#include "server/net/worker.h"

#include "server/admin/log.h"
#include "server/clock.h"
#include "server/command.h"
#include "server/limits.h"
#include "server/net/conn_state.h"
#include "server/net/gather.h"
#include "server/net/udp.h"
#include "server/thread.h"

#include <event2/event.h>

#include <assert.h>
#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

struct worker {
    struct conn_host host;
    uint32_t idle_timeout_s;
    uint32_t ticked_s; /* when it last looked for idle connections */
    pthread_t thread;
    struct event *wake;
    struct event *tick;

    int wake_fd;
    _Atomic bool stopping;
    pthread_mutex_t mailbox_lock;
    struct conn_queue mailbox; /* under its lock */

    size_t udps_count;
    struct udp *udps[LIMITS_SOCKETS_MAX];
};

/* ---- what happens on the worker's thread ---- */

static void take_mail(struct worker *worker)
{
    struct conn_queue mail = TAILQ_HEAD_INITIALIZER(mail);
    struct conn *conn;

    pthread_mutex_lock(&worker->mailbox_lock);
    TAILQ_CONCAT(&mail, &worker->mailbox, queue);
    pthread_mutex_unlock(&worker->mailbox_lock);

    while ((conn = TAILQ_FIRST(&mail)) != NULL) {
        TAILQ_REMOVE(&mail, conn, queue);
        conn_open(conn, &worker->host);
    }
}

static void on_wake(evutil_socket_t fd, short what, void *context)
{
    struct worker *worker = context;
    uint64_t ignored;

    (void)what;
    /* Emptied before the mailbox is: a connection that comes in between wakes us again. */
    const ssize_t count = read(fd, &ignored, sizeof(ignored));
    assert(count == sizeof(ignored) || errno == EAGAIN || errno == EINTR);
    take_mail(worker);
    conn_send_watched(&worker->host);
}

static void on_tick(evutil_socket_t fd, short what, void *context)
{
    struct worker *worker = context;

    (void)fd;
    (void)what;
    gather_serve(&worker->host); /* a connection that is gathered must not be closed */
    conn_host_tidy(&worker->host);
    const uint32_t now_s = clock_now_s(worker->host.clock);
    /* Who was stopped (SIGSTOP, a machine that slept) has not read what came meanwhile: nobody is
     * idle for that. */
    const bool stood_still = now_s - worker->ticked_s > LIMITS_TICK_LATE_S;
    worker->ticked_s = now_s;
    if (stood_still) {
        return;
    }
    if (worker->host.tls.tls != NULL) {
        conn_close_unshaken(&worker->host, now_s);
    }
    if (worker->idle_timeout_s > 0) {
        conn_close_idle(&worker->host, worker->idle_timeout_s, now_s);
    }
}

/* A turn for each that has yielded; those that yield again wait for the next round. */
static void run_ready(struct conn_host *host)
{
    struct conn *last = TAILQ_LAST(&host->ready, conn_queue);
    struct conn *conn = NULL;

    while (conn != last) {
        conn = TAILQ_FIRST(&host->ready);
        conn_go_on(conn); /* leaves the queue's head, and may be gone */
    }
}

static void serve(struct worker *worker, bool wait)
{
    struct conn_host *host = &worker->host;

    if (event_base_loop(host->base, EVLOOP_ONCE | (wait ? 0 : EVLOOP_NONBLOCK)) < 0) {
        log_say(host->log, LOG_ALWAYS, "event loop failed: %s", strerror(errno));
    }
    gather_serve(host);
    if (!TAILQ_EMPTY(&host->ready)) {
        run_ready(host);
    }
}

void worker_close(struct worker *worker)
{
    take_mail(worker);
    conn_close_all(&worker->host);
}

static void *run_worker(void *context)
{
    struct worker *worker = context;

    thread_set_name("zb-worker");
    while (!atomic_load(&worker->stopping)) {
        serve(worker, TAILQ_EMPTY(&worker->host.ready));
    }
    worker_close(worker);
    return NULL;
}

bool worker_step(struct worker *worker)
{
    serve(worker, false);
    return !TAILQ_EMPTY(&worker->host.ready);
}

/* ---- making and ending one ---- */

/* Touched at once, so that what they take is seen when the process is measured (footprint.h). */
static uint8_t *new_touched(size_t bytes)
{
    uint8_t *memory = malloc(bytes);

    if (memory != NULL) {
        memset(memory, 0, bytes);
    }
    return memory;
}

static bool set_up(struct worker *worker)
{
    const struct timeval second = {.tv_sec = 1};
    struct conn_host *host = &worker->host;

    /* Without locks: nobody calls evthread_use_pthreads(), as a base belongs to one thread. */
    host->base = event_base_new();
    host->input = new_touched(LIMITS_INPUT_BYTES);
    host->output = new_touched(LIMITS_OUTPUT_BYTES);
    host->reply = (struct protocol_reply){.data = host->output, .capacity = LIMITS_OUTPUT_BYTES};
    host->ahead = calloc(COMMAND_EXPECT_MAX, sizeof(*host->ahead));
    host->gather = gather_new();
    worker->wake_fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
    if (host->base == NULL || host->input == NULL || host->output == NULL || host->ahead == NULL ||
        host->gather == NULL || worker->wake_fd < 0) {
        return false;
    }
    worker->wake = event_new(host->base, worker->wake_fd, EV_READ | EV_PERSIST, on_wake, worker);
    worker->tick = event_new(host->base, -1, EV_PERSIST, on_tick, worker);
    return worker->wake != NULL && worker->tick != NULL && event_add(worker->wake, NULL) == 0 &&
           event_add(worker->tick, &second) == 0;
}

static void wake(void *context)
{
    const struct worker *worker = context;
    const uint64_t one = 1;
    const ssize_t count = write(worker->wake_fd, &one, sizeof(one));
    /* EAGAIN: its counter is full of wake-ups already. */
    assert(count == sizeof(one) || errno == EAGAIN || errno == EINTR);
}

struct worker *worker_new(const struct worker_setup *setup)
{
    struct worker *worker = calloc(1, sizeof(*worker));

    if (worker == NULL) {
        command_free(setup->command);
        return NULL;
    }
    worker->host = (struct conn_host){
        .command = setup->command,
        .counters = setup->counters,
        .budget = setup->budget,
        .auth = setup->auth,
        .tls = {setup->tls, setup->budget, setup->counters, setup->log},
        .clock = setup->clock,
        .log = setup->log,
        .value_bytes_max = setup->value_bytes_max,
        .requests_max = setup->requests_max,
        .on_shutdown = setup->on_shutdown,
        .watch = setup->watch,
        .writer = command_writer(setup->command),
        .wake = wake,
        .wake_context = worker,
    };
    worker->idle_timeout_s = setup->idle_timeout_s;
    worker->wake_fd = -1;
    TAILQ_INIT(&worker->host.ready);
    LIST_INIT(&worker->host.roster);
    LIST_INIT(&worker->host.watching);
    TAILQ_INIT(&worker->mailbox);
    pthread_mutex_init(&worker->host.roster_lock, NULL);
    pthread_mutex_init(&worker->mailbox_lock, NULL);
    if (!set_up(worker)) {
        worker_free(worker);
        return NULL;
    }
    return worker;
}

bool worker_serve_udp(struct worker *worker, int fd)
{
    if (worker->udps_count == LIMITS_SOCKETS_MAX) {
        return false;
    }
    struct udp *udp = udp_new(&worker->host, fd);
    if (udp == NULL) {
        return false;
    }
    worker->udps[worker->udps_count++] = udp;
    return true;
}

bool worker_start(struct worker *worker)
{
    return thread_start(&worker->thread, run_worker, worker);
}

void worker_stop(struct worker *worker)
{
    atomic_store(&worker->stopping, true);
    wake(worker);
    const int failed = pthread_join(worker->thread, NULL);
    assert(!failed);
}

void worker_free(struct worker *worker)
{
    struct conn_host *host = &worker->host;

    assert(LIST_EMPTY(&host->roster) && TAILQ_EMPTY(&worker->mailbox));
    for (size_t i = 0; i < worker->udps_count; i++) {
        udp_free(worker->udps[i]);
    }
    if (worker->tick != NULL) {
        event_free(worker->tick);
    }
    if (worker->wake != NULL) {
        event_free(worker->wake);
    }
    if (worker->wake_fd >= 0) {
        (void)close(worker->wake_fd);
    }
    if (host->base != NULL) {
        event_base_free(host->base);
    }
    buffer_free(&host->large_output, host->budget);
    buffer_free(&host->large_input, host->budget);
    gather_free(host->gather);
    free(host->ahead);
    free(host->input);
    free(host->output);
    command_free(host->command);
    pthread_mutex_destroy(&host->roster_lock);
    pthread_mutex_destroy(&worker->mailbox_lock);
    free(worker);
}

void worker_hand(struct worker *worker, struct conn *conn)
{
    pthread_mutex_lock(&worker->mailbox_lock);
    const bool was_empty = TAILQ_EMPTY(&worker->mailbox);
    TAILQ_INSERT_TAIL(&worker->mailbox, conn, queue);
    pthread_mutex_unlock(&worker->mailbox_lock);
    if (was_empty) {
        wake(worker);
    }
}

bool worker_each(struct worker *worker, conn_view_fn *visit, void *context)
{
    return conn_each(&worker->host, visit, context);
}
