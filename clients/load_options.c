#include "clients/load_options.h"

#include "clients/load_plan.h"
#include "clients/load_report.h"

#include <errno.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

/* ---- options that are more than a number ---- */

static const char *read_port(void *target, const char *text)
{
    struct load_plan *plan = target;
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

static const char *read_value_bytes(void *target, const char *text)
{
    struct load_plan *plan = target;
    uint64_t min, max;

    if (!read_range(text, LOAD_VALUE_BYTES_MAX, &min, &max))
        return "not N or N-M in bytes, at most 67108864";
    plan->items.value_bytes_min = (size_t)min;
    plan->items.value_bytes_max = (size_t)max;
    return NULL;
}

static const char *read_ttl(void *target, const char *text)
{
    struct load_plan *plan = target;
    uint64_t min, max;

    if (!read_range(text, 60u * 60 * 24 * 30, &min, &max))
        return "not N or N-M in seconds, at most 2592000, 30 days";
    plan->ttl_s_min = (uint32_t)min;
    plan->ttl_s_max = (uint32_t)max;
    return NULL;
}

static const char *read_corpus(void *target, const char *text)
{
    struct load_plan *plan = target;
    if (plan->items.corpora_count == LOAD_CORPORA_MAX)
        return "more than 32 of them";
    plan->items.corpora[plan->items.corpora_count++] = text;
    return NULL;
}

static const char *read_arrivals(void *target, const char *text)
{
    struct load_plan *plan = target;
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

static const char *read_mix(void *target, const char *text)
{
    struct load_plan *plan = target;
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
#define BY_HAND(name, letter, read, argument, help)                  \
    {                                                                \
        name, letter, OPTIONS_BY_HAND, 0, 0, 0, read, argument, help \
    }

static const struct options_row ROWS[] = {
    ROW("host", 'H', OPTIONS_TEXT, host, 0, 0, "NAME", "the server's (127.0.0.1)"),
    BY_HAND("port", 'p', read_port, "N", "the server's (11211)"),
    ROW("socket", 's', OPTIONS_TEXT, socket_path, 0, 0, "PATH", "a unix socket instead"),
    ROW("connections", 'c', OPTIONS_WHOLE, connections, 1, LOAD_CONNECTIONS_MAX, "N",
        "of all threads (50)"),
    ROW("depth", 'd', OPTIONS_WHOLE, depth, 1, LOAD_DEPTH_MAX, "N",
        "requests sent together on a connection, the next when all are answered (1);\n"
        "open loop: most on the way on a connection"),
    ROW("threads", 'T', OPTIONS_WHOLE, threads, 1, LOAD_THREADS_MAX, "N", "that make the load (1)"),
    ROW("rate", 'r', OPTIONS_NUMBER, rate, .001, 1e9, "N",
        "open loop: requests a second of all threads, whether answered or not;\n"
        "latency counts from when a request was due (closed loop)"),
    BY_HAND("arrivals", 0, read_arrivals, "KIND", "open loop: poisson or even gaps (poisson)"),
    ROW("spin", 0, OPTIONS_FLAG, spin, 0, 0, NULL,
        "never sleep: sharper times, and a core of its own"),
    ROW("seconds", 't', OPTIONS_NUMBER, seconds, 0, 1e8, "N",
        "to measure (10; with --requests: no limit); 0: only --preload"),
    ROW("requests", 'n', OPTIONS_LARGE, requests, 1, 1e18, "N", "at most that many"),
    ROW("warmup", 'w', OPTIONS_NUMBER, warmup_s, 0, 1e8, "N", "seconds before, not counted (0)"),
    BY_HAND("mix", 'm', read_mix, "MIX", "weights of get, set, multiget, delete (get=90,set=10)"),
    ROW("multiget", 'g', OPTIONS_WHOLE, multiget_keys, 1, LOAD_MULTIGET_MAX, "N",
        "keys of each (100)"),
    ROW("keys", 'k', OPTIONS_LARGE, keys, 1, 1e10, "N", "different ones (100000)"),
    ROW("zipf", 'z', OPTIONS_NUMBER, skew, 0, 10, "S", "skew of popularity; 0: all alike (0)"),
    ROW("prefix", 0, OPTIONS_TEXT, items.prefix, 0, 0, "TEXT",
        "of keys (key:; of a corpus's: none)"),
    ROW("key-bytes", 0, OPTIONS_LARGE, items.key_bytes_min, 1, LOAD_KEY_BYTES_MAX, "N",
        "zeros fill keys up to it (16)"),
    BY_HAND("value-bytes", 'v', read_value_bytes, "N[-M]", "size of values (300)"),
    ROW("random-values", 0, OPTIONS_FLAG, items.random_values, 0, 0, NULL,
        "bytes that nothing compresses; else words"),
    BY_HAND("corpus", 'C', read_corpus, "PATH",
            "keys and values of a file NAME.kv or NAME.kv.zst, or of all in a folder;\n"
            "may be repeated; FILE=WEIGHT: that share of the items"),
    BY_HAND("ttl", 'e', read_ttl, "N[-M]", "seconds that items live (0: until evicted)"),
    ROW("preload", 'P', OPTIONS_FLAG, preload, 0, 0, NULL, "store every key once before"),
    ROW("no-verify", 0, OPTIONS_FLAG, verify, 0, 0, NULL, "do not compare the bytes of values"),
    ROW("must-hit", 0, OPTIONS_FLAG, must_hit, 0, 0, NULL, "a miss is an error"),
    ROW("seed", 0, OPTIONS_LARGE, seed, 0, 1e18, "N", "of all that is drawn (1)"),
    ROW("timeout", 0, OPTIONS_WHOLE, timeout_s, 1, 86400, "N",
        "seconds without an answer: an error (10)"),
    ROW("progress", 0, OPTIONS_WHOLE, progress_s, 0, 86400, "N",
        "seconds between lines on stderr (10); 0: none"),
    ROW("json", 'j', OPTIONS_FLAG, json, 0, 0, NULL, "one JSON object instead of the table"),
    {"help", 'h', OPTIONS_HELP, 0, 0, 0, NULL, NULL, "this"},
};

const struct options_table LOAD_OPTIONS = {"zbload", ROWS, sizeof(ROWS) / sizeof(ROWS[0])};
