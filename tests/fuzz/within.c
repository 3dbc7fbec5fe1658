#include "tests/fuzz/within.h"

#include "server/cache/cache.h"
#include "server/net/conn.h"
#include "server/net/worker.h"

#include <assert.h>
#include <errno.h>
#include <linux/sockios.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

static void on_shutdown(bool graceful)
{
    (void)graceful;
}

struct within *within_new(const char *options, struct auth *auth, struct tls *tls)
{
    struct within *within = calloc(1, sizeof(*within));

    assert(within != NULL);
    (void)signal(SIGPIPE, SIG_IGN); /* as the program does */
    struct rig *rig = within->rig = rig_new_deferring(options);
    clock_pause(&rig->clock);
    const bool shifted =
        clock_shift(&rig->clock, (int64_t)RIG_NOW_S - (int64_t)clock_now_s(&rig->clock));
    assert(shifted);
    const struct worker_setup setup = {
        .command = rig->command, /* the worker's from now on */
        .counters = counters_set(rig->counters, 0),
        .budget = rig->shared.budget,
        .auth = auth,
        .tls = tls,
        .clock = &rig->clock,
        .log = rig->shared.log,
        .value_bytes_max = rig->config.item_bytes_max,
        .requests_max = rig->config.reqs_per_event,
        .on_shutdown = on_shutdown,
        .watch = rig->shared.watch,
    };
    within->worker = worker_new(&setup);
    rig->command = NULL;
    within->keeper = cache_keeper_new(rig->cache);
    assert(within->worker != NULL && within->keeper != NULL);
    for (unsigned i = 0; i < WITHIN_LINKS_MAX; i++) {
        within->fds[i] = -1;
    }
    return within;
}

void within_free(struct within *within)
{
    for (unsigned i = 0; i < WITHIN_LINKS_MAX; i++) {
        within_hang_up(within, i);
    }
    within_run(within);
    worker_close(within->worker);
    worker_free(within->worker);
    cache_keeper_free(within->keeper);
    rig_free(within->rig);
    free(within);
}

void within_dial(struct within *within, unsigned link, unsigned tls)
{
    const struct address nobody = {.family = AF_UNIX};
    int pair[2];

    assert(within->fds[link] < 0);
    const int failed = socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, pair);
    assert(!failed);
    struct conn *conn = conn_new(within->rig->shared.budget, pair[1], &nobody, &nobody, tls);
    if (conn == NULL) {
        (void)close(pair[1]); /* no memory: as the listener does */
    } else {
        worker_hand(within->worker, conn);
        (void)worker_step(within->worker);
    }
    within->fds[link] = pair[0];
}

void within_hang_up(struct within *within, unsigned link)
{
    if (within->fds[link] >= 0) {
        (void)close(within->fds[link]);
    }
    within->fds[link] = -1;
}

size_t within_send(struct within *within, unsigned link, const void *bytes, size_t count)
{
    const ssize_t sent = send(within->fds[link], bytes, count, MSG_NOSIGNAL);

    assert(sent >= 0 || errno == EAGAIN || errno == EPIPE || errno == ECONNRESET);
    return sent > 0 ? (size_t)sent : 0;
}

size_t within_read(struct within *within, unsigned link, void *bytes, size_t room, bool *closed)
{
    const ssize_t came = recv(within->fds[link], bytes, room, 0);

    assert(came >= 0 || errno == EAGAIN || errno == ECONNRESET);
    *closed = came == 0 || (came < 0 && errno == ECONNRESET);
    return came > 0 ? (size_t)came : 0;
}

/* What lies in sockets: sent and not taken by the server, and sent by it and not read; and what it
 * has taken, as the first counts whole pieces, of which it may have taken a part. */
static void count_bytes(const struct within *within, uint64_t bytes[3])
{
    bytes[0] = bytes[1] = 0;
    bytes[2] = counters_sum(within->rig->counters, COUNTER_BYTES_READ);
    for (unsigned i = 0; i < WITHIN_LINKS_MAX; i++) {
        int out = 0, in = 0;
        if (within->fds[i] < 0) {
            continue;
        }
        (void)ioctl(within->fds[i], SIOCOUTQ, &out);
        (void)ioctl(within->fds[i], FIONREAD, &in);
        bytes[0] += (unsigned)out;
        bytes[1] += (unsigned)in;
    }
}

void within_run(struct within *within)
{
    uint64_t before[3], after[3];
    bool more;

    count_bytes(within, after);
    do {
        memcpy(before, after, sizeof(before));
        more = worker_step(within->worker);
        count_bytes(within, after);
    } while (more || memcmp(before, after, sizeof(before)) != 0);
}

void within_upkeep(struct within *within)
{
    const uint32_t now_s = within_now_s(within);

    (void)cache_compress(within->keeper, now_s);
    (void)cache_maintain(within->keeper, now_s);
}

void within_advance(struct within *within, uint32_t seconds)
{
    const bool shifted = clock_shift(&within->rig->clock, seconds);

    assert(shifted);
    within->rig->now_s = within_now_s(within);
}

uint32_t within_now_s(const struct within *within)
{
    return clock_now_s(&within->rig->clock);
}
