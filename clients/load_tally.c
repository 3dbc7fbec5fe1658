#include "clients/load_tally.h"

#include <string.h>

static void merge_text(char *into, const char *from)
{
    if (into[0] == '\0')
        memcpy(into, from, LOAD_TEXT_BYTES);
}

void load_tally_merge(struct load_tally *into, const struct load_tally *from)
{
    for (unsigned i = 0; i < LOAD_KINDS_COUNT; i++) {
        load_histogram_merge(&into->latency_ns[i], &from->latency_ns[i]);
        into->requests[i] += from->requests[i];
    }
    load_histogram_merge(&into->lag_ns, &from->lag_ns);
    into->keys_asked += from->keys_asked;
    into->hits += from->hits;
    into->misses += from->misses;
    into->delete_misses += from->delete_misses;
    into->refused += from->refused;
    into->wrong += from->wrong;
    into->unsent += from->unsent;
    into->bytes_sent += from->bytes_sent;
    into->bytes_received += from->bytes_received;
    merge_text(into->refused_text, from->refused_text);
    merge_text(into->wrong_text, from->wrong_text);
}

uint64_t load_tally_requests(const struct load_tally *tally)
{
    uint64_t sum = 0;

    for (unsigned i = 0; i < LOAD_KINDS_COUNT; i++)
        sum += tally->requests[i];
    return sum;
}
