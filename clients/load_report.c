#include "clients/load_report.h"

#include "clients/ctl_text.h"

#include <assert.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#define COUNT_OF(array) (sizeof(array) / sizeof((array)[0]))

static const struct {
    const char *name, *json_name;
    uint32_t ppm;
} QUANTILES[] = {
    {"p50", "p50", 500000},     {"p90", "p90", 900000},       {"p99", "p99", 990000},
    {"p99.9", "p99_9", 999000}, {"p99.99", "p99_99", 999900},
};

static const char *const KIND_NAMES[] = {
    [LOAD_GET] = "get",
    [LOAD_SET] = "set",
    [LOAD_MULTIGET] = "multiget",
    [LOAD_DELETE] = "delete",
};

const char *load_kind_name(enum load_kind kind)
{
    assert((size_t)kind < COUNT_OF(KIND_NAMES));
    return KIND_NAMES[kind];
}

static double per(double number, double of)
{
    return of > 0 ? number / of : 0;
}

static double mean_us(const struct load_histogram *histogram)
{
    return per((double)histogram->sum / 1e3, (double)histogram->count);
}

static double quantile_us(const struct load_histogram *histogram, uint32_t ppm)
{
    return (double)load_histogram_quantile(histogram, ppm) / 1e3;
}

/* ---- for a person ---- */

static void put_row(FILE *file, const char *name, const struct load_histogram *histogram,
                    double seconds)
{
    if (histogram->count == 0)
        return;
    fprintf(file, "%-9s %12" PRIu64 " %10.0f %9.1f", name, histogram->count,
            per((double)histogram->count, seconds), mean_us(histogram));
    for (size_t i = 0; i < COUNT_OF(QUANTILES); i++)
        fprintf(file, " %9.1f", quantile_us(histogram, QUANTILES[i].ppm));
    fprintf(file, " %9.1f\n", (double)histogram->max / 1e3);
}

static void put_latencies(FILE *file, const struct load_result *result)
{
    fprintf(file, "\n%-9s %12s %10s %9s", "us", "requests", "a second", "mean");
    for (size_t i = 0; i < COUNT_OF(QUANTILES); i++)
        fprintf(file, " %9s", QUANTILES[i].name);
    fprintf(file, " %9s\n", "max");
    for (unsigned i = 0; i < LOAD_KINDS_COUNT; i++)
        put_row(file, KIND_NAMES[i], &result->tally.latency_ns[i], result->seconds);
    put_row(file, "sent late", &result->tally.lag_ns, result->seconds);
}

static void put_counts(FILE *file, const struct load_plan *plan, const struct load_tally *tally)
{
    if (tally->keys_asked > 0)
        fprintf(file,
                "keys      %" PRIu64 " asked for, %" PRIu64 " hits, %" PRIu64 " misses (%.3f %%)\n",
                tally->keys_asked, tally->hits, tally->misses,
                per(100.0 * (double)tally->misses, (double)tally->keys_asked));
    if (tally->requests[LOAD_DELETE] > 0)
        fprintf(file, "deletes   %" PRIu64 " of what was not there\n", tally->delete_misses);
    fprintf(file, "refused   %" PRIu64 "%s%s\n", tally->refused, tally->refused > 0 ? ": " : "",
            tally->refused_text);
    if (plan->verify || tally->wrong > 0)
        fprintf(file, "wrong     %" PRIu64 "%s%s\n", tally->wrong, tally->wrong > 0 ? ": " : "",
                tally->wrong_text);
    if (tally->unsent > 0)
        fprintf(file, "unsent    %" PRIu64 " arrivals: the server does not reach this rate\n",
                tally->unsent);
}

static void put_cpu(FILE *file, const char *name, struct load_cpu cpu,
                    const struct load_result *result)
{
    double requests = (double)load_tally_requests(&result->tally);

    fprintf(file, "%-9s %5.1f %% of a core, %.2f us a request = %.2f user + %.2f system\n", name,
            per(100 * (cpu.user_s + cpu.system_s), result->seconds),
            per((cpu.user_s + cpu.system_s) * 1e6, requests), per(cpu.user_s * 1e6, requests),
            per(cpu.system_s * 1e6, requests));
}

void load_report_table(FILE *file, const struct load_plan *plan, const struct load_result *result)
{
    const struct load_tally *tally = &result->tally;

    if (result->version[0] != '\0')
        fprintf(file, "server    version %s\n", result->version);
    if (plan->preload) {
        fprintf(file, "stored    %" PRIu64 " items in %.2f s, %" PRIu64 " refused%s%s\n",
                result->stored.requests[LOAD_SET], result->stored_s, result->stored.refused,
                result->stored.refused > 0 ? ": " : "", result->stored.refused_text);
    }
    if (load_tally_requests(tally) + tally->unsent == 0)
        return;
    if (plan->rate > 0)
        fprintf(file, "open loop %.0f requests a second, %s gaps, %.2f s\n", plan->rate,
                plan->even_arrivals ? "even" : "Poisson", result->seconds);
    else
        fprintf(file, "closed    %u connections, %u deep, %.2f s\n", plan->connections, plan->depth,
                result->seconds);
    fprintf(file, "requests  %" PRIu64 ", %.0f a second; %.1f MB/s out, %.1f MB/s in\n",
            load_tally_requests(tally), per((double)load_tally_requests(tally), result->seconds),
            per((double)tally->bytes_sent / 1e6, result->seconds),
            per((double)tally->bytes_received / 1e6, result->seconds));
    put_counts(file, plan, tally);
    put_cpu(file, "zbload", result->own, result);
    if (result->server_cpu_known)
        put_cpu(file, "server", result->server, result);
    put_latencies(file, result);
}

/* ---- for a program ---- */

static void put_json_text(FILE *file, const char *name, const char *text)
{
    fprintf(file, "\"%s\":", name);
    ctl_put_json(file, text, strlen(text));
}

static void put_json_histogram(FILE *file, const char *name, const struct load_histogram *histogram)
{
    fprintf(file, "\"%s\":{\"count\":%" PRIu64 ",\"mean\":%.1f", name, histogram->count,
            mean_us(histogram));
    for (size_t i = 0; i < COUNT_OF(QUANTILES); i++)
        fprintf(file, ",\"%s\":%.1f", QUANTILES[i].json_name,
                quantile_us(histogram, QUANTILES[i].ppm));
    fprintf(file, ",\"max\":%.1f}", (double)histogram->max / 1e3);
}

static void put_json_counts(FILE *file, const struct load_tally *tally)
{
    const struct {
        const char *name;
        uint64_t count;
    } counts[] = {
        {"requests", load_tally_requests(tally)},
        {"keys_asked", tally->keys_asked},
        {"hits", tally->hits},
        {"misses", tally->misses},
        {"delete_misses", tally->delete_misses},
        {"refused", tally->refused},
        {"wrong", tally->wrong},
        {"unsent", tally->unsent},
        {"bytes_sent", tally->bytes_sent},
        {"bytes_received", tally->bytes_received},
    };

    for (size_t i = 0; i < COUNT_OF(counts); i++)
        fprintf(file, "\"%s\":%" PRIu64 ",", counts[i].name, counts[i].count);
}

void load_report_json(FILE *file, const struct load_plan *plan, const struct load_result *result)
{
    const struct load_tally *tally = &result->tally;

    fprintf(file, "{");
    put_json_text(file, "version", result->version);
    fprintf(file, ",\"connections\":%u,\"depth\":%u,\"threads\":%u,\"rate\":%.1f,",
            plan->connections, plan->depth, plan->threads, plan->rate);
    fprintf(file, "\"stored\":%" PRIu64 ",\"stored_s\":%.6f,\"stored_refused\":%" PRIu64 ",",
            result->stored.requests[LOAD_SET], result->stored_s, result->stored.refused);
    fprintf(file, "\"seconds\":%.6f,\"requests_per_s\":%.1f,", result->seconds,
            per((double)load_tally_requests(tally), result->seconds));
    put_json_counts(file, tally);
    fprintf(file, "\"cpu_user_s\":%.6f,\"cpu_system_s\":%.6f,", result->own.user_s,
            result->own.system_s);
    if (result->server_cpu_known)
        fprintf(file, "\"server_cpu_user_s\":%.6f,\"server_cpu_system_s\":%.6f,",
                result->server.user_s, result->server.system_s);
    fprintf(file, "\"interrupted\":%s,", result->interrupted ? "true" : "false");
    put_json_text(file, "failure", result->failure);
    fprintf(file, ",");
    put_json_text(file, "refused_text", tally->refused_text);
    fprintf(file, ",");
    put_json_text(file, "wrong_text", tally->wrong_text);
    fprintf(file, ",\"latency_us\":{");
    for (unsigned i = 0; i < LOAD_KINDS_COUNT; i++) {
        put_json_histogram(file, KIND_NAMES[i], &tally->latency_ns[i]);
        fprintf(file, ",");
    }
    put_json_histogram(file, "sent_late", &tally->lag_ns);
    fprintf(file, "}}\n");
}
