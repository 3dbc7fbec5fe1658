#include "clients/load_run.h"

#include "clients/client.h"
#include "clients/load_conn.h"
#include "clients/load_worker.h"

#include <assert.h>
#include <errno.h>
#include <inttypes.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>

#define LOOK_NS   20000000 /* between looks at whether the threads have ended */
#define SECOND_NS 1e9
#define ENDLESS_S 1e9

struct thread {
    pthread_t id;
    struct load_worker *worker;
    struct load_phase phase;
    struct run *run;
    bool good;
};

struct run {
    const struct load_plan *plan;
    const struct load_items *items;
    FILE *progress;
    struct load_result *result;
    struct thread threads[LOAD_THREADS_MAX];
    atomic_uint running;
    struct client *client; /* asks for "stats" */
};

static bool fail(struct run *run, const char *what, const char *why)
{
    if (run->result->failure[0] == '\0')
        (void)snprintf(run->result->failure, LOAD_ERROR_BYTES, "%.200s: %.300s", what, why);
    return false;
}

/* ---- CPU time ---- */

static double seconds_of(struct timeval time)
{
    return (double)time.tv_sec + (double)time.tv_usec / 1e6;
}

static struct load_cpu own_cpu(void)
{
    struct rusage usage;
    int answer = getrusage(RUSAGE_SELF, &usage);

    assert(answer == 0);
    (void)answer;
    return (struct load_cpu){seconds_of(usage.ru_utime), seconds_of(usage.ru_stime)};
}

static bool stat_is(const struct client_stat *stat, const char *name)
{
    return stat->name.bytes == strlen(name) && memcmp(stat->name.data, name, stat->name.bytes) == 0;
}

static double stat_number(const struct client_stat *stat)
{
    char digits[32];

    (void)snprintf(digits, sizeof(digits), "%.*s", (int)stat->value.bytes,
                   (const char *)stat->value.data);
    return strtod(digits, NULL);
}

/* False where the server does not say; what is measured does not depend on it. */
static bool server_cpu(struct run *run, struct load_cpu *cpu)
{
    enum client_status status = run->client != NULL ? client_stats(run->client, "") : CLIENT_CLOSED;
    unsigned found = 0;

    while (status == CLIENT_OK) {
        struct client_stat stat;

        status = client_read_stat(run->client, &stat);
        if (status != CLIENT_OK)
            break;
        if (stat_is(&stat, "rusage_user")) {
            cpu->user_s = stat_number(&stat);
            found++;
        } else if (stat_is(&stat, "rusage_system")) {
            cpu->system_s = stat_number(&stat);
            found++;
        }
    }
    return status == CLIENT_END && found == 2;
}

/* The server's name, and that it is there at all. */
static bool greet(struct run *run)
{
    const struct load_plan *plan = run->plan;
    const int timeout_ms = (int)plan->timeout_s * 1000;
    struct client_slice version;
    enum client_status status;

    run->client = client_new();
    if (run->client == NULL)
        return fail(run, "client", "no memory");
    status = plan->socket_path != NULL
                 ? client_connect_unix(run->client, plan->socket_path, timeout_ms)
                 : client_connect_tcp(run->client, plan->host, plan->port, timeout_ms);
    if (status == CLIENT_OK)
        status = client_version(run->client, &version);
    if (status == CLIENT_OK) {
        (void)snprintf(run->result->version, sizeof(run->result->version), "%.*s",
                       (int)(version.bytes < 60 ? version.bytes : 60), (const char *)version.data);
        return true;
    }
    /* A proxy may know of no version; it is loaded all the same. */
    if (status == CLIENT_REFUSED)
        return true;
    return fail(run, plan->socket_path != NULL ? plan->socket_path : plan->host,
                status == CLIENT_SYSTEM ? strerror(errno) : client_status_text(status));
}

/* ---- phases ---- */

static void *run_thread(void *context)
{
    struct thread *thread = context;

    thread->good = load_worker_run(thread->worker, &thread->phase);
    atomic_fetch_sub(&thread->run->running, 1);
    return NULL;
}

static void tell(struct run *run, const char *name, double seconds, struct load_progress *before,
                 double since_s)
{
    struct load_progress now = {0};

    for (uint32_t i = 0; i < run->plan->threads; i++) {
        struct load_progress one = load_worker_progress(run->threads[i].worker);

        now.requests += one.requests;
        now.misses += one.misses;
        now.refused += one.refused;
        now.wrong += one.wrong;
        if (one.latency_ns_max > now.latency_ns_max)
            now.latency_ns_max = one.latency_ns_max;
    }
    fprintf(run->progress,
            "%s %6.0f s  %12" PRIu64 " requests  %9.0f/s  misses %" PRIu64 "  refused %" PRIu64
            "  wrong %" PRIu64 "  max %.3f ms\n",
            name, seconds, now.requests,
            (double)(now.requests - before->requests) / (seconds - since_s), now.misses,
            now.refused, now.wrong, (double)now.latency_ns_max / 1e6);
    (void)fflush(run->progress);
    *before = now;
}

/* Waits for the threads' end; hands on what the signals ask for. */
static void supervise(struct run *run, const char *name)
{
    const struct timespec look = {0, LOOK_NS};
    const double start_ns = (double)load_now_ns();
    struct load_progress before = {0};
    double told_s = 0;
    sigset_t signals;

    (void)sigemptyset(&signals);
    (void)sigaddset(&signals, SIGINT);
    (void)sigaddset(&signals, SIGTERM);
    while (atomic_load(&run->running) > 0) {
        double seconds = ((double)load_now_ns() - start_ns) / SECOND_NS;

        if (run->plan->progress_s > 0 && seconds - told_s >= run->plan->progress_s) {
            tell(run, name, seconds, &before, told_s);
            told_s = seconds;
        }
        if (sigtimedwait(&signals, NULL, &look) < 0)
            continue;
        run->result->interrupted = true;
        for (uint32_t i = 0; i < run->plan->threads; i++)
            load_worker_stop(run->threads[i].worker);
    }
}

static bool run_phase(struct run *run, const char *name, struct load_phase phase)
{
    uint64_t requests = phase.requests;
    uint32_t threads = run->plan->threads;
    uint32_t started = 0;
    bool good = true;

    atomic_store(&run->running, threads);
    for (; started < threads; started++) {
        struct thread *thread = &run->threads[started];

        thread->run = run;
        thread->phase = phase;
        /* 0 is no limit to the plan; to a thread it may be its share of few. */
        if (requests > 0)
            thread->phase.requests = requests / threads + (started < requests % threads ? 1 : 0);
        else
            thread->phase.requests = UINT64_MAX;
        if (pthread_create(&thread->id, NULL, run_thread, thread) != 0)
            break;
    }
    if (started < threads) {
        atomic_fetch_sub(&run->running, threads - started);
        for (uint32_t i = 0; i < started; i++)
            load_worker_stop(run->threads[i].worker);
        good = fail(run, "threads", "cannot be started");
    }
    supervise(run, name);
    for (uint32_t i = 0; i < started; i++) {
        (void)pthread_join(run->threads[i].id, NULL);
        if (!run->threads[i].good)
            good = fail(run, name, load_worker_failure(run->threads[i].worker));
    }
    return good;
}

static void gather(struct run *run, struct load_tally *tally, double *seconds)
{
    uint64_t first_ns = UINT64_MAX, last_ns = 0;

    for (uint32_t i = 0; i < run->plan->threads; i++) {
        uint64_t start_ns, end_ns;

        load_tally_merge(tally, load_worker_tally(run->threads[i].worker));
        load_worker_times_ns(run->threads[i].worker, &start_ns, &end_ns);
        first_ns = start_ns < first_ns ? start_ns : first_ns;
        last_ns = end_ns > last_ns ? end_ns : last_ns;
    }
    *seconds = last_ns > first_ns ? (double)(last_ns - first_ns) / SECOND_NS : 0;
}

static bool measure(struct run *run)
{
    const struct load_plan *plan = run->plan;
    struct load_result *result = run->result;
    struct load_phase phase = {.kind = LOAD_PHASE_MIX,
                               .seconds = plan->seconds > 0 ? plan->seconds : ENDLESS_S,
                               .requests = plan->requests};
    struct load_cpu own = own_cpu(), server = {0};
    bool known = server_cpu(run, &server);
    bool good = run_phase(run, "measuring", phase);

    result->own = own_cpu();
    result->own.user_s -= own.user_s;
    result->own.system_s -= own.system_s;
    result->server_cpu_known = known && server_cpu(run, &result->server);
    result->server.user_s -= server.user_s;
    result->server.system_s -= server.system_s;
    gather(run, &result->tally, &result->seconds);
    return good;
}

static bool run_phases(struct run *run)
{
    const struct load_plan *plan = run->plan;
    struct load_phase store = {.kind = LOAD_PHASE_STORE};
    struct load_phase warmup = {.kind = LOAD_PHASE_MIX, .seconds = plan->warmup_s};

    if (plan->preload) {
        bool good = run_phase(run, "storing", store);

        gather(run, &run->result->stored, &run->result->stored_s);
        if (!good)
            return false;
    }
    if (plan->warmup_s > 0 && !run->result->interrupted && !run_phase(run, "warming up", warmup))
        return false;
    if ((plan->seconds <= 0 && plan->requests == 0) || run->result->interrupted)
        return true;
    return measure(run);
}

static bool make_workers(struct run *run)
{
    for (uint32_t i = 0; i < run->plan->threads; i++) {
        char error[LOAD_ERROR_BYTES];

        run->threads[i].worker = load_worker_new(run->plan, run->items, i, error);
        if (run->threads[i].worker == NULL)
            return fail(run, "connecting", error);
    }
    return true;
}

bool load_run(const struct load_plan *plan, const struct load_items *items, FILE *progress,
              struct load_result *result)
{
    struct run *run = calloc(1, sizeof(*run));
    sigset_t signals, before;
    bool good;

    if (run == NULL) {
        (void)snprintf(result->failure, LOAD_ERROR_BYTES, "no memory");
        return false;
    }
    *run = (struct run){.plan = plan, .items = items, .progress = progress, .result = result};
    (void)sigemptyset(&signals);
    (void)sigaddset(&signals, SIGINT);
    (void)sigaddset(&signals, SIGTERM);
    /* The threads inherit it, so that only supervise() takes them. */
    (void)pthread_sigmask(SIG_BLOCK, &signals, &before);
    good = greet(run) && make_workers(run) && run_phases(run);
    for (uint32_t i = 0; i < plan->threads; i++)
        load_worker_free(run->threads[i].worker);
    client_free(run->client);
    (void)pthread_sigmask(SIG_SETMASK, &before, NULL);
    free(run);
    return good;
}
