#include "server/net/net.h"

#include "server/admin/config.h"
#include "server/admin/log.h"
#include "server/clock.h"
#include "server/command.h"
#include "server/counters.h"
#include "server/net/listener.h"
#include "server/net/tls.h"
#include "server/net/worker.h"

#include <assert.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

struct net {
    struct net_setup setup;
    struct tls *tls; /* NULL without -Z */
    struct listener *listener;
    size_t workers_count;
    size_t workers_running;
    size_t next; /* worker to be given the next connection */
    struct worker *workers[];
};

static void take_conn(void *context, struct conn *conn)
{
    struct net *net = context;

    worker_hand(net->workers[net->next], conn);
    net->next = (net->next + 1) % net->workers_count;
}

static bool make_workers(struct net *net)
{
    const struct net_setup *setup = &net->setup;
    const struct config *config = setup->config;

    for (size_t i = 0; i < config->threads; i++) {
        struct counters *counters = counters_set(setup->counters, i + 1);
        const struct worker_setup worker = {
            .command = command_new(setup->command, counters),
            .counters = counters,
            .budget = setup->budget,
            .auth = setup->auth,
            .tls = net->tls,
            .clock = setup->clock,
            .log = setup->log,
            .value_bytes_max = config->item_bytes_max,
            .requests_max = config->reqs_per_event,
            .idle_timeout_s = config->idle_timeout_s,
            .on_shutdown = setup->on_shutdown,
            .watch = setup->command->watch,
        };
        net->workers[i] = worker.command != NULL ? worker_new(&worker) : NULL;
        if (net->workers[i] == NULL) {
            log_say(setup->log, LOG_ALWAYS, "no memory for %u worker threads", config->threads);
            return false;
        }
        net->workers_count++;
    }
    return true;
}

static bool make_tls(struct net *net)
{
    const struct net_setup *setup = &net->setup;
    char error[TLS_ERROR_BYTES_MAX + 1];

    if (!setup->config->tls_enabled) {
        return true;
    }
    net->tls = tls_new(setup->config, error);
    if (net->tls == NULL) {
        log_say(setup->log, LOG_ALWAYS, "-Z, --enable-ssl: %s", error);
    }
    return net->tls != NULL;
}

bool net_refresh_certs(struct net *net, char *error)
{
    static_assert(NET_ERROR_BYTES_MAX == TLS_ERROR_BYTES_MAX, "a sentence of TLS is one of ours");
    assert(net->tls != NULL);
    return tls_refresh(net->tls, error);
}

struct net *net_new(const struct net_setup *setup)
{
    const size_t threads = setup->config->threads;
    struct net *net = calloc(1, sizeof(*net) + threads * sizeof(net->workers[0]));

    if (net == NULL) {
        return NULL;
    }
    net->setup = *setup;
    if (make_tls(net) && make_workers(net)) {
        const struct listener_setup listener = {
            .config = setup->config,
            .clock = setup->clock,
            .counters_all = setup->counters,
            .counters = counters_set(setup->counters, 0),
            .budget = setup->budget,
            .log = setup->log,
            .base = setup->base,
            .take = take_conn,
            .take_context = net,
        };
        net->listener = listener_new(&listener);
    }
    if (net->listener == NULL) {
        net_free(net);
        return NULL;
    }
    return net;
}

/* A socket's datagrams are one worker's; several sockets are dealt out. */
static bool deal_udp(struct net *net)
{
    int fd;

    for (size_t n = 0; (fd = listener_udp(net->listener, n)) >= 0; n++) {
        if (!worker_serve_udp(net->workers[n % net->workers_count], fd)) {
            log_say(net->setup.log, LOG_ALWAYS, "no memory to serve UDP");
            return false;
        }
    }
    return true;
}

bool net_start(struct net *net)
{
    if (!deal_udp(net)) {
        return false;
    }
    for (size_t i = 0; i < net->workers_count; i++) {
        if (!worker_start(net->workers[i])) {
            log_say(net->setup.log, LOG_ALWAYS, "cannot start worker thread %zu", i + 1);
            return false;
        }
        net->workers_running++;
    }
    return listener_start(net->listener);
}

bool net_write_ports(const struct net *net, uint16_t http_port, const char *path)
{
    return listener_write_ports(net->listener, http_port, path);
}

void net_free(struct net *net)
{
    if (net == NULL) {
        return;
    }
    /* Workers answer "stats conns", which looks at the listener: it goes last. Nothing is accepted
     * meanwhile, as that is done by this thread. */
    for (size_t i = 0; i < net->workers_running; i++) {
        worker_stop(net->workers[i]);
    }
    listener_free(net->listener);
    for (size_t i = 0; i < net->workers_count; i++) {
        worker_free(net->workers[i]);
    }
    tls_free(net->tls);
    free(net);
}

/* ---- stats conns ---- */

struct conns_emit {
    net_emit_fn *emit;
    void *context;
    const char *unix_path;
    uint32_t now_s;
};

static bool emit_view(void *context, const struct conn_view *view)
{
    const struct conns_emit *conns = context;
    const bool listening = view->peer.family == 0;
    const uint32_t idle_s = conns->now_s > view->active_s ? conns->now_s - view->active_s : 0;
    char name[64];
    char text[ADDRESS_TEXT_BYTES_MAX];

    (void)snprintf(name, sizeof(name), "%d:addr", view->fd);
    address_text(listening ? &view->local : &view->peer, conns->unix_path, text);
    if (!conns->emit(conns->context, name, text)) {
        return false;
    }
    if (!listening) {
        (void)snprintf(name, sizeof(name), "%d:listen_addr", view->fd);
        address_text(&view->local, conns->unix_path, text);
        if (!conns->emit(conns->context, name, text)) {
            return false;
        }
    }
    (void)snprintf(name, sizeof(name), "%d:state", view->fd);
    if (!conns->emit(conns->context, name, view->state)) {
        return false;
    }
    (void)snprintf(name, sizeof(name), "%d:secs_since_last_cmd", view->fd);
    (void)snprintf(text, sizeof(text), "%" PRIu32, idle_s);
    return conns->emit(conns->context, name, text);
}

bool net_emit_conns(void *net_context, uint32_t now_s, net_emit_fn *emit, void *context)
{
    const struct net *net = net_context;
    const char *path = net->setup.config->unix_path;
    struct conns_emit conns = {emit, context, path != NULL ? path : "", now_s};

    bool go_on = listener_each(net->listener, emit_view, &conns);
    for (size_t i = 0; go_on && i < net->workers_count; i++) {
        go_on = worker_each(net->workers[i], emit_view, &conns);
    }
    return go_on;
}
