#include "server/net/conn.h"

#include "server/admin/config.h"
#include "server/admin/log.h"
#include "server/admin/watch.h"
#include "server/budget.h"
#include "server/clock.h"
#include "server/command.h"
#include "server/counters.h"
#include "server/limits.h"
#include "server/net/gather.h"
#include "server/net/turn.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* With what the event library and malloc hold for each descriptor. */
#define CONN_CHARGE_BYTES (sizeof(struct conn) + 96)

struct conn *conn_new(struct budget *budget, int fd, const struct address *peer,
                      const struct address *local, unsigned tls)
{
    if (!budget_take(budget, CONN_CHARGE_BYTES)) {
        return NULL;
    }
    struct conn *conn = calloc(1, sizeof(*conn));
    if (conn == NULL) {
        budget_give(budget, CONN_CHARGE_BYTES);
        return NULL;
    }
    conn->fd = fd;
    conn->reason = WATCH_NORMAL;
    conn->peer = *peer;
    conn->local = *local;
    conn->tls_mode = (uint8_t)tls;
    return conn;
}

void conn_discard(struct conn *conn, struct budget *budget)
{
    (void)close(conn->fd);
    budget_give(budget, CONN_CHARGE_BYTES);
    free(conn);
}

static void on_event(evutil_socket_t fd, short what, void *context)
{
    struct conn *conn = context;

    (void)fd;
    if ((what & EV_READ) != 0) {
        gather_read(conn);
        return;
    }
    gather_serve(conn->host);
    turn_take(conn, false);
}

bool conn_watch(struct conn *conn, short what)
{
    if (conn->watched == what) {
        return true;
    }
    if (conn->watched != 0) {
        (void)event_del(&conn->event);
        conn->watched = 0;
    }
    if (event_assign(&conn->event, conn->host->base, conn->fd, (short)(what | EV_PERSIST), on_event,
                     conn) != 0 ||
        event_add(&conn->event, NULL) != 0) {
        return false;
    }
    conn->watched = what;
    return true;
}

/* For those who watch. */
static void tell(const struct conn *conn, enum watch_type type)
{
    const struct conn_host *host = conn->host;
    const bool local = conn->peer.family == AF_UNIX;
    char text[ADDRESS_TEXT_BYTES_MAX];
    struct watch_event event = {
        .type = (uint8_t)type,
        .outcome = conn->reason,
        .transport = local ? WATCH_LOCAL : WATCH_TCP,
        .port = local ? 0 : conn->peer.port,
    };

    if (watch_wants(host->writer, WATCH_CONNEVENTS)) {
        host->writer->fd = conn->fd;
        address_host(&conn->peer, text);
        watch_say(host->writer, &event, text, strlen(text));
    }
}

void conn_open(struct conn *conn, struct conn_host *host)
{
    conn->host = host;
    conn->authenticated = host->auth == NULL;
    atomic_store_explicit(&conn->active_s, clock_now_s(host->clock), memory_order_relaxed);
    pthread_mutex_lock(&host->roster_lock);
    LIST_INSERT_HEAD(&host->roster, conn, roster);
    pthread_mutex_unlock(&host->roster_lock);

    log_say(host->log, LOG_COMMANDS, "<%d new client connection", conn->fd);
    tell(conn, WATCH_CONN_NEW);
    if (conn->tls_mode != CONFIG_TLS_NONE) {
        conn->tls = tls_accept(&host->tls, conn->fd, conn->tls_mode);
        if (conn->tls == NULL) {
            log_say(host->log, LOG_ALWAYS, "no memory for a new TLS connection: closed");
            conn_close(conn);
            return;
        }
    }
    if (!conn_watch(conn, EV_READ)) {
        log_say(host->log, LOG_ALWAYS, "cannot watch a new connection: closed");
        conn_close(conn);
    }
}

void conn_close(struct conn *conn)
{
    struct conn_host *host = conn->host;

    log_say(host->log, LOG_COMMANDS, "<%d connection closed", conn->fd);
    if (conn->watcher != NULL) {
        watch_close(conn->watcher);
        LIST_REMOVE(conn, watching);
    }
    tell(conn, WATCH_CONN_CLOSE);
    if (conn->watched != 0) {
        (void)event_del(&conn->event);
    }
    if (conn->queued) {
        TAILQ_REMOVE(&host->ready, conn, queue);
    }
    pthread_mutex_lock(&host->roster_lock);
    LIST_REMOVE(conn, roster);
    pthread_mutex_unlock(&host->roster_lock);

    command_forget(host->command, &conn->parsed.request);
    buffer_free(&conn->input, host->budget);
    buffer_free(&conn->output, host->budget);
    tls_close(conn->tls);
    counters_add(host->counters, COUNTER_CONNS_CLOSED, 1);
    conn_discard(conn, host->budget);
}

void conn_go_on(struct conn *conn)
{
    turn_take(conn, false);
}

const char *conn_watch_start(struct conn *conn, uint32_t kinds)
{
    struct conn_host *host = conn->host;

    switch (watch_open(host->watch, kinds, host->wake, host->wake_context, &conn->watcher)) {
    case WATCH_OPENED:
        break;
    case WATCH_TOO_MANY:
        return "WATCHER_TOO_MANY log watcher limit reached";
    case WATCH_FAILED:
        return "WATCHER_FAILED failed to add log watcher";
    }
    LIST_INSERT_HEAD(&host->watching, conn, watching);
    return "OK";
}

void conn_send_watched(struct conn_host *host)
{
    struct conn *next;

    if (!LIST_EMPTY(&host->watching)) {
        gather_serve(host); /* the output is needed */
    }
    for (struct conn *conn = LIST_FIRST(&host->watching); conn != NULL; conn = next) {
        next = LIST_NEXT(conn, watching); /* this one may be gone afterwards */
        if (conn->watched == EV_READ && !conn->queued && watcher_waiting(conn->watcher)) {
            turn_take(conn, false);
        }
    }
}

void conn_close_idle(struct conn_host *host, uint32_t timeout_s, uint32_t now_s)
{
    struct conn *next;

    for (struct conn *conn = LIST_FIRST(&host->roster); conn != NULL; conn = next) {
        next = LIST_NEXT(conn, roster);
        const uint32_t active_s = atomic_load_explicit(&conn->active_s, memory_order_relaxed);
        if (conn->watcher == NULL && now_s > active_s && now_s - active_s > timeout_s) {
            counters_add(host->counters, COUNTER_IDLE_KICKS, 1);
            conn->reason = WATCH_IDLE_TIMEOUT;
            conn_close(conn);
        }
    }
}

void conn_close_unshaken(struct conn_host *host, uint32_t now_s)
{
    struct conn *next;

    for (struct conn *conn = LIST_FIRST(&host->roster); conn != NULL; conn = next) {
        next = LIST_NEXT(conn, roster);
        /* Set when it was opened: a handshake moves no byte that counts. */
        const uint32_t opened_s = atomic_load_explicit(&conn->active_s, memory_order_relaxed);
        if (conn->tls != NULL && !tls_is_open(conn->tls) && now_s > opened_s &&
            now_s - opened_s > LIMITS_TLS_HANDSHAKE_S) {
            counters_add(host->counters, COUNTER_TLS_HANDSHAKE_ERRORS, 1);
            conn_close(conn);
        }
    }
}

void conn_close_all(struct conn_host *host)
{
    while (!LIST_EMPTY(&host->roster)) {
        LIST_FIRST(&host->roster)->reason = WATCH_SHUTDOWN;
        conn_close(LIST_FIRST(&host->roster));
    }
}

/* What nothing large has needed since the last time. */
static void tidy(struct buffer *large, bool *used, struct budget *budget)
{
    if (!*used) {
        buffer_free(large, budget);
    }
    *used = false;
}

void conn_host_tidy(struct conn_host *host)
{
    assert(host->reply.used == 0);
    tidy(&host->large_output, &host->large_output_used, host->budget);
    tidy(&host->large_input, &host->large_input_used, host->budget);
}

static const char *doing_name(enum conn_doing doing)
{
    switch (doing) {
    case CONN_IS_NEW:
        return "conn_new_cmd";
    case CONN_IS_WAITING:
        return "conn_waiting";
    case CONN_IS_READING:
        return "conn_nread";
    case CONN_IS_WORKING:
        return "conn_parse_cmd";
    case CONN_IS_SWALLOWING:
        return "conn_swallow";
    case CONN_IS_WATCHING:
        return "conn_watch";
    case CONN_IS_WRITING:
        break;
    }
    return "conn_mwrite";
}

bool conn_each(struct conn_host *host, conn_view_fn *visit, void *context)
{
    const struct conn *conn;
    bool go_on = true;

    pthread_mutex_lock(&host->roster_lock);
    LIST_FOREACH(conn, &host->roster, roster)
    {
        const uint8_t doing = atomic_load_explicit(&conn->doing, memory_order_relaxed);
        const struct conn_view view = {
            .fd = conn->fd,
            .state = doing_name((enum conn_doing)doing),
            .active_s = atomic_load_explicit(&conn->active_s, memory_order_relaxed),
            .peer = conn->peer,
            .local = conn->local,
        };
        go_on = visit(context, &view);
        if (!go_on) {
            break;
        }
    }
    pthread_mutex_unlock(&host->roster_lock);
    return go_on;
}
