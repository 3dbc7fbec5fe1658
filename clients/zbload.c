/*
 * zbload.c - a load generator for memcached servers: options, the run, and how it ends.
 */
#include "clients/load_report.h"
#include "clients/load_run.h"

#include <assert.h>
#include <errno.h>
#include <getopt.h>
#include <inttypes.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define COUNT_OF(array) (sizeof(array) / sizeof((array)[0]))
#define LONG_ONLY       256 /* the first of the values getopt gives for options without a letter */
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

enum kind {
    FLAG,   /* bool */
    WHOLE,  /* uint32_t */
    LARGE,  /* uint64_t */
    NUMBER, /* double */
    TEXT,   /* const char * */
    READ_BY_HAND,
    HELP,
};

/* Returns NULL, or what is wrong with the text. */
typedef const char *(*read_option)(struct load_plan *plan, const char *text);

struct option_row {
    const char *name;
    char letter; /* 0: none */
    enum kind kind;
    size_t offset; /* in struct load_plan */
    double min, max;
    read_option read;
    const char *argument; /* NULL: none */
    const char *help;
};

/* ---- options that are more than a number ---- */

static const char *read_port(struct load_plan *plan, const char *text)
{
    char *end;
    long port = strtol(text, &end, 10);

    if (end == text || *end != '\0' || port < 1 || port > UINT16_MAX)
        return "not a port from 1 to 65535";
    plan->port = (uint16_t)port;
    return NULL;
}

/* "N" or "N-M" */
static bool read_range(const char *text, uint64_t most, uint64_t *min, uint64_t *max)
{
    char *end;

    if (*text < '0' || *text > '9')
        return false;
    errno = 0;
    *min = *max = strtoull(text, &end, 10);
    if (*end == '-' && end[1] >= '0' && end[1] <= '9')
        *max = strtoull(end + 1, &end, 10);
    return errno == 0 && *end == '\0' && *min <= *max && *max <= most;
}

static const char *read_value_bytes(struct load_plan *plan, const char *text)
{
    uint64_t min, max;

    if (!read_range(text, LOAD_VALUE_BYTES_MAX, &min, &max))
        return "not N or N-M in bytes, at most 67108864";
    plan->items.value_bytes_min = (size_t)min;
    plan->items.value_bytes_max = (size_t)max;
    return NULL;
}

static const char *read_ttl(struct load_plan *plan, const char *text)
{
    uint64_t min, max;

    if (!read_range(text, 60u * 60 * 24 * 30, &min, &max))
        return "not N or N-M in seconds, at most 2592000, 30 days";
    plan->ttl_s_min = (uint32_t)min;
    plan->ttl_s_max = (uint32_t)max;
    return NULL;
}

static const char *read_corpus(struct load_plan *plan, const char *text)
{
    if (plan->items.corpora_count == LOAD_CORPORA_MAX)
        return "more than 32 of them";
    plan->items.corpora[plan->items.corpora_count++] = text;
    return NULL;
}

static const char *read_arrivals(struct load_plan *plan, const char *text)
{
    if (strcmp(text, "poisson") != 0 && strcmp(text, "even") != 0)
        return "neither poisson nor even";
    plan->even_arrivals = text[0] == 'e';
    return NULL;
}

/* One "get=90" of a mix. */
static bool read_share(struct load_plan *plan, const char *text, size_t bytes)
{
    for (unsigned i = 0; i < LOAD_KINDS_COUNT; i++) {
        const char *name = load_kind_name((enum load_kind)i);
        size_t name_bytes = strlen(name);
        char *end;

        if (bytes < name_bytes + 2 || memcmp(text, name, name_bytes) != 0 ||
            text[name_bytes] != '=')
            continue;
        plan->mix[i] = strtod(text + name_bytes + 1, &end);
        return end == text + bytes && plan->mix[i] >= 0 && plan->mix[i] <= 1e9;
    }
    return false;
}

static const char *read_mix(struct load_plan *plan, const char *text)
{
    double sum = 0;

    memset(plan->mix, 0, sizeof(plan->mix));
    for (;;) {
        size_t bytes = strcspn(text, ",");

        if (!read_share(plan, text, bytes))
            return "not a list of get=, set=, multiget=, delete= with weights";
        if (text[bytes] == '\0')
            break;
        text += bytes + 1;
    }
    for (unsigned i = 0; i < LOAD_KINDS_COUNT; i++)
        sum += plan->mix[i];
    return sum > 0 ? NULL : "all weights are 0";
}

/* ---- the table ---- */

#define AT(member) offsetof(struct load_plan, member)
#define ROW(name, letter, kind, member, min, max, argument, help)      \
    {                                                                  \
        name, letter, kind, AT(member), min, max, NULL, argument, help \
    }
#define BY_HAND(name, letter, read, argument, help)               \
    {                                                             \
        name, letter, READ_BY_HAND, 0, 0, 0, read, argument, help \
    }

static const struct option_row OPTIONS[] = {
    ROW("host", 'H', TEXT, host, 0, 0, "NAME", "the server's (127.0.0.1)"),
    BY_HAND("port", 'p', read_port, "N", "the server's (11211)"),
    ROW("socket", 's', TEXT, socket_path, 0, 0, "PATH", "a unix socket instead"),
    ROW("connections", 'c', WHOLE, connections, 1, LOAD_CONNECTIONS_MAX, "N",
        "of all threads (50)"),
    ROW("depth", 'd', WHOLE, depth, 1, LOAD_DEPTH_MAX, "N",
        "requests sent together on a connection, the next when all are answered (1);\n"
        "open loop: most on the way on a connection"),
    ROW("threads", 'T', WHOLE, threads, 1, LOAD_THREADS_MAX, "N", "that make the load (1)"),
    ROW("rate", 'r', NUMBER, rate, .001, 1e9, "N",
        "open loop: requests a second of all threads, whether answered or not;\n"
        "latency counts from when a request was due (closed loop)"),
    BY_HAND("arrivals", 0, read_arrivals, "KIND", "open loop: poisson or even gaps (poisson)"),
    ROW("spin", 0, FLAG, spin, 0, 0, NULL, "never sleep: sharper times, and a core of its own"),
    ROW("seconds", 't', NUMBER, seconds, 0, 1e8, "N",
        "to measure (10; with --requests: no limit); 0: only --preload"),
    ROW("requests", 'n', LARGE, requests, 1, 1e18, "N", "at most that many"),
    ROW("warmup", 'w', NUMBER, warmup_s, 0, 1e8, "N", "seconds before, not counted (0)"),
    BY_HAND("mix", 'm', read_mix, "MIX", "weights of get, set, multiget, delete (get=90,set=10)"),
    ROW("multiget", 'g', WHOLE, multiget_keys, 1, LOAD_MULTIGET_MAX, "N", "keys of each (100)"),
    ROW("keys", 'k', LARGE, keys, 1, 1e10, "N", "different ones (100000)"),
    ROW("zipf", 'z', NUMBER, skew, 0, 10, "S", "skew of popularity; 0: all alike (0)"),
    ROW("prefix", 0, TEXT, items.prefix, 0, 0, "TEXT", "of keys (key:; of a corpus's: none)"),
    ROW("key-bytes", 0, LARGE, items.key_bytes_min, 1, LOAD_KEY_BYTES_MAX, "N",
        "zeros fill keys up to it (16)"),
    BY_HAND("value-bytes", 'v', read_value_bytes, "N[-M]", "size of values (300)"),
    ROW("random-values", 0, FLAG, items.random_values, 0, 0, NULL,
        "bytes that nothing compresses; else words"),
    BY_HAND("corpus", 'C', read_corpus, "PATH",
            "keys and values of a file NAME.kv or NAME.kv.zst, or of all in a folder;\n"
            "may be repeated; FILE=WEIGHT: that share of the items"),
    BY_HAND("ttl", 'e', read_ttl, "N[-M]", "seconds that items live (0: until evicted)"),
    ROW("preload", 'P', FLAG, preload, 0, 0, NULL, "store every key once before"),
    ROW("no-verify", 0, FLAG, verify, 0, 0, NULL, "do not compare the bytes of values"),
    ROW("must-hit", 0, FLAG, must_hit, 0, 0, NULL, "a miss is an error"),
    ROW("seed", 0, LARGE, seed, 0, 1e18, "N", "of all that is drawn (1)"),
    ROW("timeout", 0, WHOLE, timeout_s, 1, 86400, "N", "seconds without an answer: an error (10)"),
    ROW("progress", 0, WHOLE, progress_s, 0, 86400, "N",
        "seconds between lines on stderr (10); 0: none"),
    ROW("json", 'j', FLAG, json, 0, 0, NULL, "one JSON object instead of the table"),
    {"help", 'h', HELP, 0, 0, 0, NULL, NULL, "this"},
};

static void print_help(void)
{
    printf("zbload - load for a memcached server, and how long it takes to answer\n\n"
           "usage: zbload [option]...\n\n");
    for (size_t i = 0; i < COUNT_OF(OPTIONS); i++) {
        const struct option_row *row = &OPTIONS[i];
        char name[40];
        char letter[5] = "    ";

        if (row->letter != 0)
            (void)snprintf(letter, sizeof(letter), "-%c, ", row->letter);
        (void)snprintf(name, sizeof(name), "%s%s%s", row->name, row->argument != NULL ? " " : "",
                       row->argument != NULL ? row->argument : "");
        printf("  %s--%-19s ", letter, name);
        for (const char *at = row->help; *at != '\0'; at++) {
            (void)putchar(*at);
            if (*at == '\n')
                printf("%28s", "");
        }
        (void)putchar('\n');
    }
    printf("\nValues follow from their keys: every byte that comes back is compared. Quantiles of\n"
           "latency are at most .8 %% too high, never too low; the largest is exact.\n\n"
           "Exit status: 0 all is well; 1 wrong bytes or a refusal (with --must-hit also a miss);\n"
           "2 the options are wrong; 3 the server was not reached or lost; 4 interrupted.\n");
}

/* ---- reading ---- */

static _Noreturn void bad_usage(const char *name, const char *text, const char *why)
{
    fprintf(stderr, "zbload: --%s%s%s: %s (zbload --help)\n", name, text != NULL ? " " : "",
            text != NULL ? text : "", why);
    exit(EXIT_BAD_USAGE);
}

static double read_number(const struct option_row *row, const char *text)
{
    char why[96];
    char *end;
    double number = strtod(text, &end);
    bool whole = row->kind != NUMBER;

    if (end != text && *end == '\0' && number >= row->min && number <= row->max &&
        (!whole || strspn(text, "0123456789") == strlen(text)))
        return number;
    (void)snprintf(why, sizeof(why), "not a %snumber from %.15g to %.15g", whole ? "whole " : "",
                   row->min, row->max);
    bad_usage(row->name, text, why);
}

static void read_row(struct load_plan *plan, const struct option_row *row, const char *text)
{
    uint8_t *member = (uint8_t *)plan + row->offset;
    const char *why;

    switch (row->kind) {
    case FLAG:
        /* Of those that are on from the start the option says "no". */
        *(bool *)member = !*(bool *)member;
        return;
    case WHOLE:
        *(uint32_t *)(void *)member = (uint32_t)read_number(row, text);
        return;
    case LARGE:
        (void)read_number(row, text);
        *(uint64_t *)(void *)member = strtoull(text, NULL, 10);
        return;
    case NUMBER:
        *(double *)(void *)member = read_number(row, text);
        return;
    case TEXT:
        *(const char **)(void *)member = text;
        return;
    case READ_BY_HAND:
        why = row->read(plan, text);
        if (why != NULL)
            bad_usage(row->name, text, why);
        return;
    case HELP:
        print_help();
        exit(EXIT_GOOD);
    }
}

static void read_arguments(struct load_plan *plan, int argc, char **argv)
{
    struct option longs[COUNT_OF(OPTIONS) + 1] = {{0}};
    bool given[COUNT_OF(OPTIONS)] = {false};
    char shorts[2 * COUNT_OF(OPTIONS) + 1] = "";
    size_t at = 0;
    int got;

    for (size_t i = 0; i < COUNT_OF(OPTIONS); i++) {
        const struct option_row *row = &OPTIONS[i];

        longs[i] = (struct option){row->name, row->argument != NULL, NULL, LONG_ONLY + (int)i};
        if (row->letter != 0)
            shorts[at++] = row->letter;
        if (row->letter != 0 && row->argument != NULL)
            shorts[at++] = ':';
    }
    while ((got = getopt_long(argc, argv, shorts, longs, NULL)) != -1) {
        size_t i = got >= LONG_ONLY ? (size_t)(got - LONG_ONLY) : 0;

        while (got < LONG_ONLY && i < COUNT_OF(OPTIONS) && OPTIONS[i].letter != got)
            i++;
        if (i == COUNT_OF(OPTIONS))
            exit(EXIT_BAD_USAGE); /* getopt has said why */
        if (OPTIONS[i].kind == FLAG && given[i])
            continue;
        given[i] = true;
        read_row(plan, &OPTIONS[i], optarg);
    }
    if (optind < argc) {
        fprintf(stderr, "zbload: \"%s\" is no option (zbload --help)\n", argv[optind]);
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
