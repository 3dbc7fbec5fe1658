#include "tests/bench/tails_load.h"

#include "clients/client.h"
#include "clients/load_run.h"
#include "tests/bench/bench.h"
#include "tests/bench/bench_server.h"

#include <errno.h>
#include <math.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#define SERVER_PRIORITY 1
#define LOAD_PRIORITY   2
#define NICE_COMPANY    (-20)
/* Company is there before the measurement and leaves after it. */
#define AROUND_S        .3
#define TIMEOUT_MS      10000
/* What the system keeps for one that does not read; the rest has to wait in the server. */
#define UNREAD_BYTES    4096

/* What company tells when it leaves. */
struct company_report {
    double per_s;
    double p50_us;
    char failure[LOAD_ERROR_BYTES];
};

struct company {
    pid_t pid;
    int from;
};

struct load_plan tails_plan(uint16_t port)
{
    return (struct load_plan){
        .host = "127.0.0.1",
        .port = port,
        .connections = 50,
        .depth = 1,
        .threads = 1,
        .timeout_s = 10,
        .mix = {[LOAD_GET] = 1},
        .multiget_keys = 1,
        .items = {.prefix = "key:",
                  .key_bytes_min = 16,
                  .value_bytes_min = 300,
                  .value_bytes_max = 300,
                  .seed = 1},
        .seed = 1,
        .verify = true,
    };
}

/* ---- priorities ---- */

/* @thread: 0 for the calling one. @priority: 0 for the common class. */
static bool prefer(long thread, int priority)
{
    const struct sched_param param = {.sched_priority = priority};

    return sched_setscheduler((pid_t)thread, priority > 0 ? SCHED_FIFO : SCHED_OTHER, &param) == 0;
}

static void prefer_to_load(void *good, long thread)
{
    if (!prefer(thread, SERVER_PRIORITY))
        *(bool *)good = false;
}

bool tails_seat(long pid)
{
    bool good = true;

    (void)bench_seat(pid, TAILS_SERVER_CORE, TAILS_LOAD_CORE);
    bench_threads(pid, prefer_to_load, &good);
    return good;
}

/* ---- one load ---- */

static bool play(const struct load_plan *plan, struct load_result *result)
{
    char error[LOAD_ERROR_BYTES];
    struct load_items *items = load_items_new(&plan->items, error);

    if (items == NULL) {
        snprintf(result->failure, sizeof(result->failure), "%s", error);
        return false;
    }
    bool good = load_run(plan, items, stderr, result);
    load_items_free(items);
    const struct load_tally *tallies[] = {&result->stored, &result->tally};
    for (unsigned i = 0; good && i < 2; i++) {
        const char *text =
            tallies[i]->refused > 0 ? tallies[i]->refused_text : tallies[i]->wrong_text;

        good = tallies[i]->refused + tallies[i]->wrong + tallies[i]->unsent == 0 &&
               (!plan->must_hit || tallies[i]->misses == 0);
        if (!good)
            snprintf(result->failure, sizeof(result->failure), "%s",
                     text[0] != '\0'          ? text
                     : tallies[i]->unsent > 0 ? "more a second than the server does"
                                              : "a miss");
    }
    return good && !result->interrupted;
}

static struct load_result *play_or_end(const char *what, const struct load_plan *plan)
{
    struct load_result *result = calloc(1, sizeof(*result));

    if (result == NULL || !play(plan, result))
        bench_fail(what, result != NULL ? result->failure : "no memory");
    return result;
}

void tails_fill(const struct load_plan *plan)
{
    struct load_plan fill = *plan;

    fill.preload = true;
    fill.seconds = 0;
    fill.requests = 0;
    fill.rate = 0;
    fill.connections = 1;
    bench_bind(TAILS_LOAD_CORE);
    free(play_or_end("filling", &fill));
}

static double quantile_us(const struct load_histogram *histogram, uint32_t ppm)
{
    return (double)load_histogram_quantile(histogram, ppm) / 1e3;
}

/* ---- one that talks ---- */

static struct client *call(const struct load_plan *plan)
{
    struct client *client = client_new();

    if (client == NULL ||
        client_connect_tcp(client, plan->host, plan->port, TIMEOUT_MS) != CLIENT_OK)
        bench_fail("one that talks", "cannot connect");
    return client;
}

static void say(struct client *client, const char *text)
{
    if (client_queue(client, text, strlen(text)) != CLIENT_OK || client_flush(client) != CLIENT_OK)
        bench_fail(text, "cannot be sent");
}

/* A dump that is refused, as another is not quite over, is asked for again. */
static bool ends_an_answer(struct client_slice line)
{
    return (line.bytes == 3 && memcmp(line.data, "END", 3) == 0) ||
           (line.bytes > 5 &&
            (memcmp(line.data, "BUSY ", 5) == 0 || memcmp(line.data, "ERROR", 5) == 0));
}

/* Lines that were read. @until_ns: no longer than that. */
static uint64_t take_answer(struct client *client, const struct tails_talk *talk, double until_ns)
{
    uint64_t lines = 0;

    for (unsigned ends = 0; ends < talk->ends_count; lines++) {
        struct client_slice line;

        if (client_receive_line(client, &line) != CLIENT_OK)
            bench_fail(talk->text, "is not answered");
        ends += ends_an_answer(line);
        if (lines % 1024 == 0 && bench_now_ns() > until_ns)
            break;
    }
    return lines;
}

/* The lines it read, a second. */
static double keep_talking(const struct load_plan *plan, const struct tails_talk *talk)
{
    const double until_ns = bench_now_ns() + plan->seconds * 1e9;
    const int unread_bytes = UNREAD_BYTES;
    struct client *client = call(plan);
    uint64_t lines = 0;

    if (talk->ends_count == 0) {
        (void)setsockopt(client_descriptor(client), SOL_SOCKET, SO_RCVBUF, &unread_bytes,
                         sizeof(unread_bytes));
        say(client, talk->text);
        (void)usleep((useconds_t)(plan->seconds * 1e6));
    }
    while (talk->ends_count > 0 && bench_now_ns() < until_ns) {
        say(client, talk->text);
        lines += take_answer(client, talk, until_ns);
    }
    client_free(client);
    return (double)lines / plan->seconds;
}

void tails_ask(const struct load_plan *plan, const struct tails_talk *talk)
{
    struct client *client = call(plan);

    say(client, talk->text);
    (void)take_answer(client, talk, INFINITY);
    client_free(client);
}

/* ---- company ---- */

/* The load's requests, a second and their median. */
static void keep_loading(const struct load_plan *plan, struct company_report *report)
{
    struct load_result *result = calloc(1, sizeof(*result));

    if (result == NULL || !play(plan, result)) {
        snprintf(report->failure, sizeof(report->failure), "%s",
                 result != NULL ? result->failure : "no memory");
    } else {
        struct load_histogram *all = &result->tally.latency_ns[0];

        for (unsigned i = 1; i < LOAD_KINDS_COUNT; i++)
            load_histogram_merge(all, &result->tally.latency_ns[i]);
        report->per_s = (double)load_tally_requests(&result->tally) / result->seconds;
        report->p50_us = quantile_us(all, 500000);
    }
    free(result);
}

/* @plan: where, and for how long. */
static _Noreturn void keep_company(const struct tails_company *company, struct load_plan plan,
                                   int to)
{
    struct company_report report = {0};

    (void)setpriority(PRIO_PROCESS, 0, NICE_COMPANY);
    plan.seconds += 2 * AROUND_S;
    if (company->load != NULL)
        keep_loading(&plan, &report);
    else
        report.per_s = keep_talking(&plan, &company->talk);
    _exit(write(to, &report, sizeof(report)) == (ssize_t)sizeof(report) ? 0 : 1);
}

static struct company invite(const struct tails_company *guest, const struct load_plan *plan)
{
    struct company company;
    int ends[2];

    if (pipe(ends) != 0)
        bench_fail("company", strerror(errno));
    company.pid = fork();
    if (company.pid < 0)
        bench_fail("company", strerror(errno));
    if (company.pid == 0)
        keep_company(guest, guest->load != NULL ? *guest->load : *plan, ends[1]);
    (void)close(ends[1]);
    company.from = ends[0];
    (void)usleep((useconds_t)(AROUND_S * 1e6));
    return company;
}

static void see_off(struct company company, struct tails_sample *sample)
{
    struct company_report report;

    if (read(company.from, &report, sizeof(report)) != (ssize_t)sizeof(report))
        bench_fail("company", "has ended without a word");
    (void)close(company.from);
    (void)waitpid(company.pid, NULL, 0);
    if (report.failure[0] != '\0')
        bench_fail("company", report.failure);
    sample->company_per_s = report.per_s;
    sample->company_p50 = report.p50_us;
}

/* ---- measuring ---- */

void tails_run(const struct load_plan *plan, const struct tails_company *company,
               struct tails_sample *sample)
{
    struct company guest = {0};

    bench_bind(TAILS_LOAD_CORE);
    if (company != NULL)
        guest = invite(company, plan);
    (void)prefer(0, LOAD_PRIORITY);
    struct load_result *result = play_or_end("measuring", plan);
    (void)prefer(0, 0);
    struct load_histogram *all = &result->tally.latency_ns[0];
    for (unsigned i = 1; i < LOAD_KINDS_COUNT; i++)
        load_histogram_merge(all, &result->tally.latency_ns[i]);
    *sample = (struct tails_sample){
        .requests = all->count,
        .per_s = (double)all->count / result->seconds,
        .p50 = quantile_us(all, 500000),
        .p99 = quantile_us(all, 990000),
        .p999 = quantile_us(all, 999000),
        .max = (double)all->max / 1e3,
        .late_p99 = quantile_us(&result->tally.lag_ns, 990000),
        .long_per_m = 1e6 * (double)load_histogram_above(all, TAILS_LONG_NS) / (double)all->count,
    };
    free(result);
    if (company != NULL)
        see_off(guest, sample);
}
