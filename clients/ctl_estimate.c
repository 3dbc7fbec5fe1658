/*
 * ctl_estimate.c - what a memcached's items would take in zbcached.
 *
 *   FROM --metadump--> sums by prefix, a sample of keys --mg--> their values
 *        --ms--> a zbcached of zbctl's own, until it has settled them
 *        --metadump, stats zbud--> what they take there: records, pages, index, the process itself
 *
 * It is no model of the server but the server, asked by the protocol: what is learned, compressed,
 * packed is what would be. What a sample cannot show, and how far off it was: clients/README.md.
 */
#include "clients/ctl_child.h"
#include "clients/ctl_commands.h"
#include "clients/ctl_connect.h"
#include "clients/ctl_items.h"
#include "clients/ctl_progress.h"
#include "clients/ctl_sample.h"
#include "clients/ctl_text.h"

#include <inttypes.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#define RATE_DEFAULT   10000.
#define TTL_S_LEAST    3600 /* of the sample, so that it lives until it was looked at */
#define MEMORY_MB_MIN  64u
#define MEMORY_MB_MAX  1024u /* of the child: an index for more is empty with a sample */
#define ITEM_MB_MAX    256u
#define SETTLED_PART   .95 /* of the items; fewer are waited for STUCK_S, as some never are */
#define STUCK_S        60. /* the keeper is niced, and a busy machine leaves it little */
#define SETTLE_S_MAX   900.
#define PREFIXES_SHOWN 20u
#define PAGE_BYTES     4096.

struct estimating {
    struct ctl *ctl;
    struct client *from;
    struct ctl_sample *sample;
    struct ctl_child child;
    struct ctl_store store;
    struct ctl_progress progress;
    uint64_t gone;
    /* of the server that is asked about */
    double items, limit_bytes, hash_bytes, slab_bytes, item_bytes_max;
    char version[64];
    /* of the child */
    double pages, pages_index, charged_bytes, live_bytes, records, settled;
    double overhead_bytes; /* pages for a byte of records */
    double index_bytes;    /* for an item */
};

/* ---- figures ---- */

struct wanted {
    const char *name;
    double *number;
};

/* Those of a section's figures that are wanted; the others stay as they were. */
static enum ctl_exit ask(struct client *client, const char *section, const struct wanted *wanted,
                         size_t count)
{
    enum client_status status = client_stats(client, section);

    while (status == CLIENT_OK) {
        struct client_stat stat;
        char digits[32];

        status = client_read_stat(client, &stat);
        for (size_t i = 0; status == CLIENT_OK && i < count; i++) {
            if (stat.name.bytes != strlen(wanted[i].name) ||
                memcmp(stat.name.data, wanted[i].name, stat.name.bytes) != 0)
                continue;
            (void)snprintf(digits, sizeof(digits), "%.*s", (int)stat.value.bytes,
                           (const char *)stat.value.data);
            *wanted[i].number = strtod(digits, NULL);
        }
    }
    return status == CLIENT_END ? CTL_GOOD : ctl_fail(client, "stats", status);
}

static enum ctl_exit ask_from(struct estimating *run)
{
    const struct wanted general[] = {{"curr_items", &run->items},
                                     {"limit_maxbytes", &run->limit_bytes},
                                     {"hash_bytes", &run->hash_bytes}};
    const struct wanted slabs[] = {{"total_malloced", &run->slab_bytes}};
    const struct wanted settings[] = {{"item_size_max", &run->item_bytes_max}};
    struct client_slice version;
    enum client_status status = client_version(run->from, &version);
    enum ctl_exit code;

    if (status != CLIENT_OK)
        return ctl_fail(run->from, "version", status);
    (void)snprintf(run->version, sizeof(run->version), "%.*s",
                   (int)(version.bytes < 60 ? version.bytes : 60), (const char *)version.data);
    code = ask(run->from, "", general, 3);
    if (code == CTL_GOOD)
        code = ask(run->from, "slabs", slabs, 1);
    if (code == CTL_GOOD)
        code = ask(run->from, "settings", settings, 1);
    return code;
}

/* ---- the sample ---- */

static bool add_one(void *context, const struct ctl_known *known)
{
    struct estimating *run = context;

    ctl_sample_add(run->sample, known);
    ctl_progress_add(&run->progress, 1);
    return true;
}

static enum ctl_exit store_one(void *context, const struct ctl_item *item)
{
    struct estimating *run = context;
    struct ctl_item living = *item;

    if (living.ttl_s >= 0 && living.ttl_s < TTL_S_LEAST)
        living.ttl_s = TTL_S_LEAST;
    return ctl_items_store(&run->store, &living);
}

static enum ctl_exit take_sample(struct estimating *run)
{
    const double rate = run->ctl->options->rate;
    enum ctl_exit code;

    run->progress = ctl_progress_begin(run->ctl, "keys", (uint64_t)run->items, 0);
    code = ctl_keys_read(run->ctl, run->from, add_one, run);
    ctl_progress_end(&run->progress);
    if (code != CTL_GOOD)
        return code;
    run->progress =
        ctl_progress_begin(run->ctl, "sample", run->sample->count, rate > 0 ? rate : RATE_DEFAULT);
    /* As they came, so in the order of their age, before they are sorted. */
    for (size_t i = 0; i < run->sample->count && code == CTL_GOOD; i += CTL_BATCH_KEYS) {
        size_t left = run->sample->count - i;
        size_t count = left < CTL_BATCH_KEYS ? left : CTL_BATCH_KEYS;

        code = ctl_items_read(run->from, run->sample->items + i, count, store_one, run, &run->gone);
        ctl_progress_add(&run->progress, count);
        if (ctl_interrupted(run->ctl) && code == CTL_GOOD)
            code = CTL_INTERRUPTED;
    }
    ctl_progress_end(&run->progress);
    if (code == CTL_GOOD)
        code = ctl_items_settle(&run->store);
    ctl_sample_close(run->sample);
    return code;
}

/* ---- what it takes here ---- */

static enum ctl_exit ask_child(struct estimating *run)
{
    double total = 0, free_pages = 0;
    const struct wanted wanted[] = {
        {"pages_total", &total},
        {"pages_free", &free_pages},
        {"pages_index", &run->pages_index},
        {"memory_charged_bytes", &run->charged_bytes},
        {"live_bytes", &run->live_bytes},
        {"records", &run->records},
        {"records_settled", &run->settled},
    };
    enum ctl_exit code = ask(run->child.client, "zbud", wanted, sizeof(wanted) / sizeof(wanted[0]));

    run->pages = total - free_pages;
    return code;
}

/* How long nothing may have been settled for it to be all. */
static double patience_s(const struct estimating *run)
{
    const double asked_s = run->ctl->options->settle_s;

    return asked_s > 0 && run->settled < run->records * SETTLED_PART ? fmax(asked_s, STUCK_S)
                                                                     : asked_s;
}

static enum ctl_exit settle(struct estimating *run)
{
    const double start_s = ctl_now_s();
    double still_s = start_s, before = 0;
    enum ctl_exit code = ask_child(run);

    run->progress = ctl_progress_begin(run->ctl, "settle", run->sample->count, 0);
    while (code == CTL_GOOD && ctl_now_s() - start_s < SETTLE_S_MAX &&
           ctl_now_s() - still_s < patience_s(run)) {
        ctl_sleep_s(run->ctl, .5);
        code = ctl_interrupted(run->ctl) ? CTL_INTERRUPTED : ask_child(run);
        if (run->settled != before)
            still_s = ctl_now_s();
        if (run->settled > before)
            ctl_progress_add(&run->progress, (uint64_t)(run->settled - before));
        before = run->settled;
    }
    ctl_progress_end(&run->progress);
    return code;
}

static bool pair_one(void *context, const struct ctl_known *known)
{
    struct estimating *run = context;

    ctl_sample_pair(run->sample, known);
    return true;
}

static enum ctl_exit weigh(struct estimating *run)
{
    enum ctl_exit code = settle(run);

    if (code == CTL_GOOD)
        code = ctl_keys_read(run->ctl, run->child.client, pair_one, run);
    if (code != CTL_GOOD)
        return code;
    if (run->records < 1 || run->live_bytes < 1) {
        fprintf(stderr, "zbctl: there is nothing to estimate from\n");
        return CTL_NO;
    }
    run->overhead_bytes = (run->pages - run->pages_index) * PAGE_BYTES / run->live_bytes;
    run->index_bytes = run->pages_index * PAGE_BYTES / run->records;
    return CTL_GOOD;
}

/* ---- telling ---- */

/* What records of a prefix come to with the pages around them and the index. */
static double with_pages(const struct estimating *run, double bytes, uint64_t items)
{
    return bytes * run->overhead_bytes + (double)items * run->index_bytes;
}

static int by_size(const void *a, const void *b)
{
    const struct ctl_prefix *one = a;
    const struct ctl_prefix *other = b;

    return (one->there_bytes < other->there_bytes) - (one->there_bytes > other->there_bytes);
}

/* The largest first; those that are not shown apart are one row. */
static unsigned order_prefixes(struct ctl_prefix *prefixes)
{
    unsigned shown = 0;

    qsort(prefixes, CTL_PREFIXES_MAX, sizeof(*prefixes), by_size);
    while (shown < PREFIXES_SHOWN && prefixes[shown].items > 0)
        shown++;
    for (unsigned i = shown; i < CTL_PREFIXES_MAX; i++) {
        struct ctl_prefix *rest = &prefixes[PREFIXES_SHOWN];

        if (i == shown) {
            (void)snprintf(rest->name, sizeof(rest->name), "%s", CTL_SAMPLE_OTHERS);
            continue;
        }
        rest->items += prefixes[i].items;
        rest->there_bytes += prefixes[i].there_bytes;
        rest->pairs += prefixes[i].pairs;
        rest->here += prefixes[i].here;
        rest->there += prefixes[i].there;
        rest->here_here += prefixes[i].here_here;
        rest->here_there += prefixes[i].here_there;
        rest->there_there += prefixes[i].there_there;
    }
    return shown < PREFIXES_SHOWN || prefixes[shown].items == 0 ? shown : shown + 1;
}

struct answer {
    double there_bytes, here_bytes, error, fits; /* items that would fit in there_bytes */
};

static void put_prefixes(const struct estimating *run, const struct answer *answer, unsigned rows,
                         double ratio)
{
    const double scale = answer->there_bytes / (double)run->sample->there_bytes;
    FILE *out = run->ctl->out;
    char items[32], there[32], here[32];

    fprintf(out, "\n%-24s %14s %10s %10s %6s %6s\n", "prefix", "items", "there", "here", "times",
            "+- %");
    for (unsigned i = 0; i < rows; i++) {
        const struct ctl_prefix *prefix = &run->sample->prefixes[i];
        const struct ctl_estimate estimate = ctl_sample_estimate(prefix, ratio);
        const double bytes = with_pages(run, estimate.bytes, prefix->items);
        const double before = (double)prefix->there_bytes * scale;

        fprintf(out, "%-24s %14s %10s %10s %6.2f %6.1f\n", prefix->name,
                ctl_put_count(prefix->items, items), ctl_put_bytes(before, there),
                ctl_put_bytes(bytes, here), before / bytes, estimate.error * 100);
    }
}

static void put_table(const struct estimating *run, const struct answer *answer, unsigned rows,
                      double ratio)
{
    FILE *out = run->ctl->out;
    char items[32], there[32], here[32], fits[32], limit[32], own[32];

    fprintf(out, "There, version %s: %s items in %s of slabs and hash table (limit %s).\n",
            run->version, ctl_put_count(run->sample->seen, items),
            ctl_put_bytes(answer->there_bytes, there), ctl_put_bytes(run->limit_bytes, limit));
    fprintf(out,
            "Here they would take %s in all, +-%.1f %% by the sample: %.2f of that; %s of it are"
            " the\nprocess's own.\n",
            ctl_put_bytes(answer->here_bytes, here), answer->error * 100,
            answer->here_bytes / answer->there_bytes, ctl_put_bytes(run->charged_bytes, own));
    if (answer->fits > 0)
        fprintf(out, "In %s there would be room here for %s items, %.2f times as many.\n", there,
                ctl_put_count((uint64_t)answer->fits, fits),
                answer->fits / (double)run->sample->seen);
    put_prefixes(run, answer, rows, ratio);
    fprintf(out, "\n%s items were sampled, %.1f %%; %s times one was settled.\n",
            ctl_put_count(run->sample->count, items),
            100 * (double)run->sample->count / (double)run->sample->seen,
            ctl_put_count((uint64_t)run->settled, fits));
}

static void put_json(const struct estimating *run, const struct answer *answer, unsigned rows,
                     double ratio)
{
    FILE *out = run->ctl->out;

    fprintf(out,
            "{\"items\": %" PRIu64 ", \"there_bytes\": %.0f, \"here_bytes\": %.0f, "
            "\"error\": %.4f, \"fits_items\": %.0f, \"sampled\": %zu, \"prefixes\": [",
            run->sample->seen, answer->there_bytes, answer->here_bytes, answer->error, answer->fits,
            run->sample->count);
    for (unsigned i = 0; i < rows; i++) {
        const struct ctl_prefix *prefix = &run->sample->prefixes[i];
        const struct ctl_estimate estimate = ctl_sample_estimate(prefix, ratio);

        fprintf(out, "%s{\"prefix\": ", i > 0 ? ", " : "");
        ctl_put_json(out, prefix->name, strlen(prefix->name));
        fprintf(out, ", \"items\": %" PRIu64 ", \"here_bytes\": %.0f, \"error\": %.4f}",
                prefix->items, with_pages(run, estimate.bytes, prefix->items), estimate.error);
    }
    fprintf(out, "]}\n");
}

static void tell(const struct estimating *run)
{
    double ratio;
    const struct ctl_estimate total = ctl_sample_total(run->sample, &ratio);
    const double records = with_pages(run, total.bytes, run->sample->seen);
    struct answer answer = {
        .there_bytes = run->slab_bytes + run->hash_bytes,
        .here_bytes = records + run->charged_bytes,
    };
    const double room = answer.there_bytes - run->charged_bytes;
    const unsigned rows = order_prefixes(run->sample->prefixes);

    answer.error = total.error * total.bytes * run->overhead_bytes / answer.here_bytes;
    answer.fits = room > 0 ? (double)run->sample->seen * room / records : 0;
    (run->ctl->options->json ? put_json : put_table)(run, &answer, rows, ratio);
}

static enum ctl_exit estimate(struct estimating *run, const char *address)
{
    const struct ctl_options *options = run->ctl->options;
    uint64_t memory_mb, item_mb;
    enum ctl_exit code = ctl_connect(options, run->from, address, options->auth_file, "ZBCTL_AUTH");

    if (code == CTL_GOOD)
        code = ask_from(run);
    if (code != CTL_GOOD)
        return code;
    memory_mb = (uint64_t)fmin(fmax(run->limit_bytes / (1 << 20), MEMORY_MB_MIN), MEMORY_MB_MAX);
    item_mb = (uint64_t)fmin(fmax(run->item_bytes_max / (1 << 20), 1), ITEM_MB_MAX);
    if (memory_mb < 2 * item_mb)
        memory_mb = 2 * item_mb;
    code = ctl_child_start(run->ctl, &run->child, options->zbcached, memory_mb, item_mb);
    run->store = (struct ctl_store){.client = run->child.client};
    if (code == CTL_GOOD)
        code = take_sample(run);
    if (code == CTL_GOOD)
        code = weigh(run);
    if (code == CTL_GOOD)
        tell(run);
    return code;
}

enum ctl_exit ctl_estimate(struct ctl *ctl, char **words, int count)
{
    struct estimating *run = calloc(1, sizeof(*run));
    enum ctl_exit code;

    if (run == NULL)
        return ctl_complain("estimate");
    run->ctl = ctl;
    run->from = client_new();
    run->sample = ctl_sample_new(ctl->options->sample);
    code = run->from != NULL && run->sample != NULL
               ? estimate(run, count > 0 ? words[0] : ctl->options->server)
               : ctl_complain("estimate");
    ctl_child_stop(&run->child);
    ctl_sample_free(run->sample);
    client_free(run->from);
    free(run);
    return code;
}
