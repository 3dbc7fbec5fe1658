#include "server/server.h"

#include "server/admin/auth.h"
#include "server/admin/config.h"
#include "server/admin/control.h"
#include "server/admin/hotkeys.h"
#include "server/admin/http.h"
#include "server/admin/log.h"
#include "server/admin/prefixes.h"
#include "server/admin/stats.h"
#include "server/admin/watch.h"
#include "server/budget.h"
#include "server/cache/cache.h"
#include "server/clock.h"
#include "server/command.h"
#include "server/counters.h"
#include "server/footprint.h"
#include "server/limits.h"
#include "server/maintenance.h"
#include "server/net/net.h"

#include <event2/event.h>

#include <assert.h>
#include <errno.h>
#include <malloc.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <unistd.h>

/* A lock for so many threads waits seldom; a shard takes a few pages of its own. */
#define SHARDS_PER_THREAD  4u
#define SHARD_BYTES_MIN    ((size_t)4 << 20)
#define PORTS_PATH_SETTING "MEMCACHED_PORT_FILENAME"
#define NO_MEMORY          "no memory for what all threads share"

struct server {
    const struct config *config;
    struct clock *clock;
    struct log *log;
    struct event_base *base;
    struct event *signals[4];
    struct cache *cache;
    struct counters_all *counters;
    struct budget *budget;
    struct auth *auth; /* NULL: everybody may speak */
    struct stats *stats;
    struct watch *watch;
    struct control *control;
    struct prefixes *prefixes;
    struct hotkeys *hotkeys;
    _Atomic uint32_t certs_read_s;
    struct command_shared command;
    struct net *net;
    struct http *http; /* NULL: not asked for */
    struct footprint *footprint;
    struct maintenance *maintenance;
};

/* ---- signals ---- */

static void on_stop(evutil_socket_t number, short what, void *context)
{
    struct server *server = context;

    (void)what;
    if (number == SIGUSR1) {
        log_say(server->log, LOG_ALWAYS, "Gracefully stopping");
    } else {
        log_say(server->log, LOG_EVENTS, "stopping on signal %d", (int)number);
    }
    (void)event_base_loopbreak(server->base);
}

static void reload_users(const struct server *server)
{
    char error[AUTH_ERROR_BYTES_MAX + 1];

    if (auth_reload(server->auth, error)) {
        log_say(server->log, LOG_ALWAYS, "SIGHUP: users are read again");
    } else {
        log_say(server->log, LOG_ALWAYS, "SIGHUP: %s; users stay as they were", error);
    }
}

static void note_certs(struct server *server)
{
    atomic_store_explicit(&server->certs_read_s, clock_now_s(server->clock), memory_order_relaxed);
}

/* On SIGHUP, and by the command, from a worker's thread. */
static bool refresh_certs(void *context, char *reason)
{
    struct server *server = context;
    const bool read = net_refresh_certs(server->net, reason);

    static_assert(COMMAND_REASON_BYTES_MAX == NET_ERROR_BYTES_MAX, "one is told as the other");
    if (read) {
        note_certs(server);
        log_say(server->log, LOG_ALWAYS, "certificates are read again");
    } else {
        log_say(server->log, LOG_ALWAYS, "%s; certificates stay as they were", reason);
    }
    return read;
}

static void on_hangup(evutil_socket_t number, short what, void *context)
{
    struct server *server = context;

    (void)number;
    (void)what;
    if (server->auth == NULL && !server->config->tls_enabled) {
        log_say(server->log, LOG_ALWAYS, "SIGHUP: there is nothing to read again");
    }
    if (server->auth != NULL) {
        reload_users(server);
    }
    if (server->config->tls_enabled) {
        char reason[COMMAND_REASON_BYTES_MAX + 1];
        (void)refresh_certs(server, reason); /* it has said what came of it */
    }
}

/* The command "shutdown", from a worker's thread: the way from outside is taken, as there is no
 * other into the main thread's loop. */
static void on_shutdown(bool graceful)
{
    (void)kill(getpid(), graceful ? SIGUSR1 : SIGINT);
}

static bool catch_signals(struct server *server)
{
    const struct {
        int number;
        event_callback_fn call;
    } caught[] = {{SIGINT, on_stop}, {SIGTERM, on_stop}, {SIGUSR1, on_stop}, {SIGHUP, on_hangup}};

    (void)signal(SIGPIPE, SIG_IGN);
    for (size_t i = 0; i < sizeof(caught) / sizeof(caught[0]); i++) {
        server->signals[i] = evsignal_new(server->base, caught[i].number, caught[i].call, server);
        if (server->signals[i] == NULL || event_add(server->signals[i], NULL) != 0) {
            log_say(server->log, LOG_ALWAYS, "cannot catch signals");
            return false;
        }
    }
    return true;
}

/* ---- setting up ---- */

static size_t system_memory_bytes(void)
{
    const long pages = sysconf(_SC_PHYS_PAGES);
    const long page_bytes = sysconf(_SC_PAGESIZE);
    return pages > 0 && page_bytes > 0 ? (size_t)pages * (size_t)page_bytes : 0;
}

static unsigned cores_count(void)
{
    const long count = sysconf(_SC_NPROCESSORS_ONLN);
    return count > 0 ? (unsigned)count : 1;
}

static unsigned choose_shards(const struct config *config)
{
    unsigned shards = 1;

    while (shards < CACHE_SHARDS_MAX && shards < SHARDS_PER_THREAD * config->threads &&
           2 * shards * SHARD_BYTES_MIN <= config->memory_bytes) {
        shards *= 2;
    }
    return shards;
}

/* Address space for "cache_memlimit" to grow into. Locked memory would all be taken at once. */
static size_t choose_reserve(const struct config *config)
{
    const size_t system_bytes = system_memory_bytes();
    size_t bytes = CACHE_MEMORY_BYTES_MAX;

    static_assert(CONFIG_MEMORY_BYTES_MAX == CACHE_MEMORY_BYTES_MAX, "-m fits the cache");

    if (config->lock_memory) {
        return config->memory_bytes;
    }
    if (config->memory_bytes < CACHE_MEMORY_BYTES_MAX / LIMITS_MEMORY_RAISE_MAX) {
        bytes = config->memory_bytes * LIMITS_MEMORY_RAISE_MAX;
    }
    if (bytes < system_bytes) {
        bytes = system_bytes;
    }
    return bytes < CACHE_MEMORY_BYTES_MAX ? bytes : CACHE_MEMORY_BYTES_MAX;
}

/* ---- evictions, for those who watch ---- */

static bool wants_evicted(void *context)
{
    const struct server *server = context;

    return server->watch != NULL && watch_wants_evictions(server->watch);
}

static void tell_evicted(void *context, const struct cache_evicted *item, uint32_t now_s)
{
    const struct server *server = context;
    const bool expires = item->expiry_s != CACHE_NEVER;
    struct watch_event event = {
        .type = WATCH_EVICTION,
        .fetched = item->fetched,
        .ttl_s = expires ? (int64_t)item->expiry_s - (int64_t)now_s : WATCH_TTL_NONE,
        .age_s = item->age_s,
        .class_id = 1,
        .value_bytes = item->value_bytes,
    };

    watch_say_eviction(server->watch, &event, item->key, item->key_bytes);
}

/* ---- setting up, the parts ---- */

static void tell_log(void *context, const char *text)
{
    const struct server *server = context;

    log_say(server->log, LOG_ALWAYS, "%s", text);
}

static bool make_cache(struct server *server)
{
    const struct config *config = server->config;
    struct cache_config cache = {
        .memory_bytes = config->memory_bytes,
        .reserve_bytes = choose_reserve(config),
        .item_bytes_max = config->item_bytes_max,
        .shards = choose_shards(config),
        .evict = config->evict,
        .observer = {wants_evicted, tell_evicted, server},
        .memory_file = config->memory_path,
        .teller = {tell_log, server},
        .threads = cores_count(),
        .compress = config->compress,
        .defer = config->settle_pct > 0,
        .settle = config->settle_pct > 0,
        .now_s = clock_now_s(server->clock),
    };

    if (getrandom(&cache.seed, sizeof(cache.seed), 0) != sizeof(cache.seed)) {
        log_say(server->log, LOG_ALWAYS, "no randomness from the system: %s", strerror(errno));
        return false;
    }
    server->cache = cache_new(&cache);
    if (server->cache == NULL && config->memory_path == NULL) {
        /* Where address space counts (ulimit -v, vm.overcommit_memory 2): what is asked for and no
         * more. */
        cache.reserve_bytes = config->memory_bytes;
        server->cache = cache_new(&cache);
    }
    if (server->cache == NULL) {
        log_say(server->log, LOG_ALWAYS, "no memory for a cache of %zu MB",
                config->memory_bytes >> 20);
    }
    return server->cache != NULL;
}

static bool make_auth(struct server *server)
{
    const char *path = server->config->auth_path;
    char error[AUTH_ERROR_BYTES_MAX + 1];

    if (path == NULL) {
        return true;
    }
    server->auth = auth_new(path, error);
    if (server->auth == NULL) {
        log_say(server->log, LOG_ALWAYS, "-Y, --auth-file: %s", error);
    }
    return server->auth != NULL;
}

static bool make_shared(struct server *server)
{
    const struct config *config = server->config;

    server->counters = counters_new(config->threads + 1);
    server->budget = budget_new(server->cache, config->memory_bytes);
    server->hotkeys = hotkeys_new(server->cache, config->threads, clock_now_s(server->clock));
    if (server->counters == NULL || server->budget == NULL || server->hotkeys == NULL) {
        log_say(server->log, LOG_ALWAYS, "-m is too small");
        return false;
    }
    const struct watch_setup watch = {
        .clock = server->clock,
        .budget = server->budget,
        .writers_count = config->threads,
        .writer_bytes = config->worker_logbuf_bytes,
        .watcher_bytes = config->watcher_logbuf_bytes,
    };
    server->watch = watch_new(&watch);
    server->control = control_new(config);
    server->prefixes = prefixes_new(server->cache, config->memory_bytes, config->prefix_delimiter);
    if (server->watch == NULL || server->control == NULL || server->prefixes == NULL ||
        !prefixes_switch(server->prefixes, config->detail_enabled)) {
        log_say(server->log, LOG_ALWAYS, NO_MEMORY);
        return false;
    }
    const struct stats_setup stats = {
        .config = config,
        .clock = server->clock,
        .counters = server->counters,
        .event_version = event_get_version(),
        .cache = server->cache,
        .budget = server->budget,
        .watch = server->watch,
        .control = server->control,
        .prefixes = server->prefixes,
        .hotkeys = server->hotkeys,
        .certs_read_s = &server->certs_read_s,
    };
    server->stats = stats_new(&stats);
    if (server->stats == NULL) {
        log_say(server->log, LOG_ALWAYS, NO_MEMORY);
        return false;
    }
    server->command = (struct command_shared){
        .config = config,
        .cache = server->cache,
        .stats = server->stats,
        .budget = server->budget,
        .log = server->log,
        .watch = server->watch,
        .control = server->control,
        .prefixes = server->prefixes,
        .hotkeys = server->hotkeys,
        .clock = server->clock,
        .refresh_certs = config->tls_enabled ? refresh_certs : NULL,
        .refresh_context = server,
    };
    note_certs(server);
    return true;
}

static bool make_net(struct server *server)
{
    const struct net_setup net = {
        .config = server->config,
        .clock = server->clock,
        .command = &server->command,
        .counters = server->counters,
        .budget = server->budget,
        .auth = server->auth,
        .log = server->log,
        .base = server->base,
        .on_shutdown = on_shutdown,
    };

    server->net = net_new(&net);
    if (server->net != NULL) {
        stats_set_conns(server->stats, net_emit_conns, server->net);
    }
    return server->net != NULL;
}

static bool make_http(struct server *server)
{
    const struct metrics_sources sources = {
        .config = server->config,
        .clock = server->clock,
        .counters = server->counters,
        .cache = server->cache,
        .budget = server->budget,
        .hotkeys = server->hotkeys,
    };

    if (server->config->http.port == 0) {
        return true;
    }
    server->http = http_new(&sources, server->log);
    return server->http != NULL;
}

static bool write_ports(const struct server *server)
{
    const char *path = server->config->port_path;

    if (path == NULL) {
        path = getenv(PORTS_PATH_SETTING);
    }
    if (path != NULL &&
        !net_write_ports(server->net, server->http != NULL ? http_port(server->http) : 0, path)) {
        log_say(server->log, LOG_ALWAYS, "cannot write %s: %s", path, strerror(errno));
        return false;
    }
    return true;
}

/* Signals are the main thread's alone. */
static bool start_threads(struct server *server)
{
    sigset_t all, before;

    (void)sigfillset(&all);
    (void)pthread_sigmask(SIG_BLOCK, &all, &before);
    bool started = net_start(server->net);
    if (started) {
        server->maintenance = maintenance_new(server->cache, server->footprint, server->clock,
                                              server->log, server->config->settle_pct);
        started = server->maintenance != NULL;
        if (!started) {
            log_say(server->log, LOG_ALWAYS, "cannot start the maintenance thread");
        }
    }
    if (started && server->http != NULL && !http_start(server->http)) {
        log_say(server->log, LOG_ALWAYS, "cannot start the thread of --http");
        started = false;
    }
    (void)pthread_sigmask(SIG_SETMASK, &before, NULL);
    return started;
}

static bool set_up(struct server *server)
{
    server->base = event_base_new();
    if (server->base == NULL) {
        log_say(server->log, LOG_ALWAYS, "cannot make an event base");
        return false;
    }
    if (!make_auth(server) || !make_cache(server) || !make_shared(server) || !make_net(server) ||
        !make_http(server)) {
        return false;
    }
    const bool serves_http = server->http != NULL;
    server->footprint =
        footprint_new(server->cache, server->budget, server->config->threads + 1 + serves_http,
                      serves_http ? LIMITS_HTTP_BYTES : 0);
    if (server->footprint == NULL) {
        log_say(server->log, LOG_ALWAYS, "-m %zu is too small: the process alone takes more",
                server->config->memory_bytes >> 20);
        return false;
    }
    return start_threads(server) && catch_signals(server) && write_ports(server);
}

struct server *server_new(const struct config *config, struct clock *clock, struct log *log)
{
    struct server *server = calloc(1, sizeof(*server));

    if (server == NULL) {
        log_say(log, LOG_ALWAYS, NO_MEMORY);
        return NULL;
    }
    /* One heap for all threads: what one frees another can use, and little is held in vain. */
    (void)mallopt(M_ARENA_MAX, 1);
    (void)mallopt(M_MMAP_THRESHOLD, (int)LIMITS_MAPPED_BYTES_MIN);
    server->config = config;
    server->clock = clock;
    server->log = log;
    if (!set_up(server)) {
        server_free(server);
        return NULL;
    }
    return server;
}

bool server_run(struct server *server)
{
    return event_base_dispatch(server->base) >= 0;
}

void server_free(struct server *server)
{
    if (server == NULL) {
        return;
    }
    maintenance_free(server->maintenance);
    http_free(server->http);
    net_free(server->net);
    watch_free(server->watch);
    server->watch = NULL; /* what is evicted from here on is nobody's business */
    auth_free(server->auth);
    footprint_free(server->footprint);
    stats_free(server->stats);
    hotkeys_free(server->hotkeys);
    prefixes_free(server->prefixes);
    control_free(server->control);
    budget_free(server->budget);
    counters_free(server->counters);
    cache_free(server->cache);
    /* Last, so that a second signal while all this stops does not kill. */
    for (size_t i = 0; i < sizeof(server->signals) / sizeof(server->signals[0]); i++) {
        if (server->signals[i] != NULL) {
            event_free(server->signals[i]);
        }
    }
    if (server->base != NULL) {
        event_base_free(server->base);
    }
    free(server);
}
