/*
 * zbload.c - a load generator for memcached servers: what is asked for, the run, how it ends.
 */
#include "clients/load_options.h"
#include "clients/load_report.h"
#include "clients/load_run.h"

#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#define PIPELINE_KEYS   10000000u
#define PROGRESS_S      10u
#define SECONDS_DEFAULT 10

enum exit_code {
    EXIT_GOOD = 0,
    EXIT_WRONG = 1, /* wrong bytes, refusals; misses where there must be none */
    EXIT_BAD_USAGE = 2,
    EXIT_NO_SERVER = 3, /* not reached, lost, out of step, or no answer in time */
    EXIT_INTERRUPTED = 4,
};

static void print_help(void)
{
    printf("zbload - load for a memcached server, and how long it takes to answer\n\n"
           "usage: zbload [option]...\n\n");
    options_help(stdout, &LOAD_OPTIONS);
    printf("\nValues follow from their keys: every byte that comes back is compared. Quantiles of\n"
           "latency are at most .8 %% too high, never too low; the largest is exact.\n\n"
           "Exit status: 0 all is well; 1 wrong bytes or a refusal (with --must-hit also a miss);\n"
           "2 the options are wrong; 3 the server was not reached or lost; 4 interrupted.\n");
}

/* ---- reading ---- */

static _Noreturn void bad_usage(const char *name, const char *text, const char *why)
{
    options_complain(&LOAD_OPTIONS, name, text, why);
    exit(EXIT_BAD_USAGE);
}

static void read_arguments(struct load_plan *plan, int argc, char **argv)
{
    int first;

    switch (options_read(&LOAD_OPTIONS, plan, argc, argv, &first)) {
    case OPTIONS_ASK_HELP:
        print_help();
        exit(EXIT_GOOD);
    case OPTIONS_BAD:
        exit(EXIT_BAD_USAGE);
    case OPTIONS_READ:
        break;
    }
    if (first < argc) {
        fprintf(stderr, "zbload: \"%s\" is no option (zbload --help)\n", argv[first]);
        exit(EXIT_BAD_USAGE);
    }
}

/* What no option says by itself. */
static void settle(struct load_plan *plan)
{
    struct load_items_plan *items = &plan->items;

    plan->items.seed = plan->seed;
    if (items->prefix == NULL)
        items->prefix = items->corpora_count > 0 ? "" : "key:";
    if (plan->seconds < 0)
        plan->seconds = plan->requests > 0 ? 0 : SECONDS_DEFAULT;
    if (strlen(items->prefix) > LOAD_PREFIX_BYTES_MAX ||
        strpbrk(items->prefix, " \t\r\n\v\f") != NULL)
        bad_usage("prefix", items->prefix, "no blanks, and at most 128 bytes");
    if (plan->threads > plan->connections)
        bad_usage("threads", NULL, "more threads than connections");
    if (plan->mix[LOAD_MULTIGET] > 0 &&
        (uint64_t)plan->connections * plan->depth * plan->multiget_keys > PIPELINE_KEYS)
        bad_usage("multiget", NULL, "connections, depth and keys multiply to over 10000000");
    if ((uint64_t)plan->connections * plan->depth > PIPELINE_KEYS)
        bad_usage("depth", NULL, "connections and depth multiply to over 10000000");
    if (plan->seconds <= 0 && plan->requests == 0 && !plan->preload)
        bad_usage("seconds", "0", "nothing to do without --preload");
}

static enum exit_code judge(const struct load_plan *plan, const struct load_result *result)
{
    const struct load_tally *tally = &result->tally;

    if (tally->wrong + result->stored.wrong > 0 || tally->refused + result->stored.refused > 0 ||
        (plan->must_hit && tally->misses > 0))
        return EXIT_WRONG;
    return result->interrupted ? EXIT_INTERRUPTED : EXIT_GOOD;
}

static enum exit_code run(const struct load_plan *plan, struct load_result *result)
{
    char error[LOAD_ERROR_BYTES];
    struct load_items *items = load_items_new(&plan->items, error);
    bool ran;

    if (items == NULL) {
        fprintf(stderr, "zbload: %s\n", error);
        return EXIT_BAD_USAGE;
    }
    if (load_items_left_out_count(items) > 0)
        fprintf(stderr, "zbload: %zu records of the corpus left out for their keys\n",
                load_items_left_out_count(items));
    ran = load_run(plan, items, stderr, result);
    (plan->json ? load_report_json : load_report_table)(stdout, plan, result);
    (void)fflush(stdout);
    load_items_free(items);
    if (!ran)
        fprintf(stderr, "zbload: %s\n", result->failure);
    return ran ? judge(plan, result) : EXIT_NO_SERVER;
}

int main(int argc, char **argv)
{
    struct load_plan plan = {
        .host = "127.0.0.1",
        .port = 11211,
        .connections = 50,
        .depth = 1,
        .threads = 1,
        .timeout_s = 10,
        .seconds = -1, /* not said */
        .progress_s = PROGRESS_S,
        .mix = {[LOAD_GET] = 90, [LOAD_SET] = 10},
        .multiget_keys = 100,
        .keys = 100000,
        .items = {.key_bytes_min = 16, .value_bytes_min = 300, .value_bytes_max = 300},
        .seed = 1,
        .verify = true,
    };
    struct load_result *result = calloc(1, sizeof(*result));
    enum exit_code code;

    if (result == NULL)
        return EXIT_BAD_USAGE;
    read_arguments(&plan, argc, argv);
    settle(&plan);
    code = run(&plan, result);
    free(result);
    return (int)code;
}
