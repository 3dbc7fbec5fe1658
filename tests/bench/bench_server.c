#include "tests/bench/bench_server.h"

#include "clients/client.h"
#include "tests/bench/bench.h"
#include "tests/wire/peer.h"

#include <dirent.h>
#include <math.h>
#include <sched.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define STILL_S      25u
#define SETTLE_S_MAX 600u

struct bench_server {
    struct peer *peer;
    struct client *client;
    long pid;
    uint16_t port;
};

static void bind_thread(long thread, int core)
{
    cpu_set_t cores;

    CPU_ZERO(&cores);
    for (unsigned i = 0; i < CPU_SETSIZE; i++) {
        if (core == BENCH_ANY_CORE || (unsigned)core == i)
            CPU_SET(i, &cores);
    }
    if (sched_setaffinity((pid_t)thread, sizeof(cores), &cores) != 0)
        bench_fail("cannot be bound to one core", "the machine must have two");
}

void bench_bind(int core)
{
    bind_thread(0, core);
}

struct bench_server *bench_server_start(const char *program, const char *options, int core)
{
    struct bench_server *server = calloc(1, sizeof(*server));
    char error[PEER_ERROR_BYTES];

    if (server == NULL)
        bench_fail(program, "no memory");
    bench_bind(core);
    server->peer = peer_start(program, options, PEER_TCP, error);
    bench_bind(BENCH_ANY_CORE);
    if (server->peer == NULL)
        bench_fail(program, error);
    server->client = client_new();
    if (server->client == NULL || peer_connect(server->peer, server->client) != CLIENT_OK)
        bench_fail(program, "cannot connect");
    server->pid = (long)bench_server_figure(server, "", "pid");
    server->port = (uint16_t)bench_server_figure(server, "settings", "tcpport");
    return server;
}

void bench_server_stop(struct bench_server *server)
{
    client_free(server->client);
    if (!peer_stop(server->peer))
        fprintf(stderr, "a server did not end in good order\n");
    free(server);
}

uint16_t bench_server_port(const struct bench_server *server)
{
    return server->port;
}

size_t bench_server_resident_bytes(const struct bench_server *server)
{
    return peer_resident_bytes(server->peer);
}

uint64_t bench_server_figure(struct bench_server *server, const char *section, const char *name)
{
    struct client_stat stat;
    enum client_status status = client_stats(server->client, section);
    uint64_t value = 0;
    bool found = false;

    while (status == CLIENT_OK) {
        char digits[32];

        status = client_read_stat(server->client, &stat);
        if (status != CLIENT_OK || stat.name.bytes != strlen(name) ||
            memcmp(stat.name.data, name, stat.name.bytes) != 0)
            continue;
        snprintf(digits, sizeof(digits), "%.*s", (int)stat.value.bytes,
                 (const char *)stat.value.data);
        value = strtoull(digits, NULL, 10);
        found = true;
    }
    if (!found)
        bench_fail(name, "the server has no such figure");
    return value;
}

void bench_wait_settled(struct bench_server *server)
{
    const struct timespec second = {.tv_sec = 1};
    uint64_t settled = 0;

    for (unsigned still_s = 0, waited_s = 0; still_s < STILL_S && waited_s < SETTLE_S_MAX;
         still_s++, waited_s++) {
        uint64_t now = bench_server_figure(server, "zbud", "records_settled");

        if (now != settled)
            still_s = 0;
        settled = now;
        nanosleep(&second, NULL);
    }
}

long bench_server_pid(const struct bench_server *server)
{
    return server->pid;
}

static void read_cpu(const char *path, double *user_s, double *system_s)
{
    char text[1024];
    unsigned long user = 0;
    unsigned long system = 0;
    const char *fields;
    FILE *file = fopen(path, "r");

    if (file == NULL || fgets(text, sizeof(text), file) == NULL)
        bench_fail(path, "cannot be read");
    fclose(file);
    /* The name in brackets may hold blanks; behind it utime and stime are the 12th and 13th. */
    fields = strrchr(text, ')');
    if (fields == NULL || sscanf(fields + 2, "%*s %*s %*s %*s %*s %*s %*s %*s %*s %*s %*s %lu %lu",
                                 &user, &system) != 2)
        bench_fail(path, "is not understood");
    *user_s = (double)user / (double)sysconf(_SC_CLK_TCK);
    *system_s = (double)system / (double)sysconf(_SC_CLK_TCK);
}

void bench_cpu(long pid, double *user_s, double *system_s)
{
    char path[48];

    snprintf(path, sizeof(path), "/proc/%ld/stat", pid);
    read_cpu(path, user_s, system_s);
}

void bench_thread_cpu(long pid, long thread, double *user_s, double *system_s)
{
    char path[80];

    snprintf(path, sizeof(path), "/proc/%ld/task/%ld/stat", pid, thread);
    read_cpu(path, user_s, system_s);
}

void bench_threads(long pid, void (*each)(void *context, long thread), void *context)
{
    char path[48];
    const struct dirent *entry;

    snprintf(path, sizeof(path), "/proc/%ld/task", pid);
    DIR *threads = opendir(path);
    if (threads == NULL)
        bench_fail(path, "cannot be read");
    while ((entry = readdir(threads)) != NULL) {
        const long thread = strtol(entry->d_name, NULL, 10);

        if (thread != 0)
            each(context, thread);
    }
    closedir(threads);
}

struct seating {
    long pid;
    int others;
    double most_s;
    long worker;
};

/* "zb-worker", "mc-worker". */
static bool is_worker(long pid, long thread)
{
    char path[80];
    char name[32];
    bool named = false;

    snprintf(path, sizeof(path), "/proc/%ld/task/%ld/comm", pid, thread);
    FILE *file = fopen(path, "r");
    if (file == NULL)
        bench_fail(path, "cannot be read");
    if (fgets(name, sizeof(name), file) != NULL)
        named = strstr(name, "-worker") != NULL;
    (void)fclose(file);
    return named;
}

static void look_at_thread(void *context, long thread)
{
    struct seating *seating = context;
    double user_s;
    double system_s;

    bind_thread(thread, seating->others);
    bench_thread_cpu(seating->pid, thread, &user_s, &system_s);
    if (is_worker(seating->pid, thread))
        user_s = INFINITY;
    if (user_s + system_s > seating->most_s) {
        seating->most_s = user_s + system_s;
        seating->worker = thread;
    }
}

long bench_seat(long pid, int core, int others)
{
    struct seating seating = {.pid = pid, .others = others, .most_s = -1};

    bench_threads(pid, look_at_thread, &seating);
    bind_thread(seating.worker, core);
    return seating.worker;
}
