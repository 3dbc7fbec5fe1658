#include "server/footprint.h"

#include "server/budget.h"
#include "server/cache/cache.h"
#include "server/limits.h"

#include <fcntl.h>
#include <malloc.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

/* A charge is lowered only when it is this much too high, so that it does not follow every
 * buffer. */
#define SLACK_BYTES  (1u << 20)
/* How often malloc's heap is trimmed while the process is larger than it was at the start. */
#define TRIM_EVERY_S 5u

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define INSTRUMENTED 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer)
#define INSTRUMENTED 1
#endif
#endif
/* A sanitizer's shadow of all memory would be charged too, and leave no cache to test: then the
 * process is taken for as large as it is without one. */
#define INSTRUMENTED_BYTES (6u << 20)

struct footprint {
    struct cache *cache;
    struct budget *budget;
    size_t reserve_bytes;
    size_t rest_bytes; /* at the start, without files and malloc's heap */
    size_t charged_bytes;
    size_t charged_bytes_min;
    size_t measured_bytes;
    unsigned seconds; /* since the last trim, of those in which there was reason for one */
};

struct reading {
    size_t rss_bytes;
    size_t files_bytes;  /* of those, what its files have: code, libraries */
    size_t heap_bytes;   /* malloc's, in use or not, without what connections have of it */
    size_t others_bytes; /* what others answer for and have touched for sure */
};

/* From the system, without an allocation. False where it does not tell. */
static bool read_rss(struct reading *reading)
{
    char text[128];
    unsigned long pages, files_pages;
    const size_t page_bytes = (size_t)sysconf(_SC_PAGESIZE);
    const int fd = open("/proc/self/statm", O_RDONLY | O_CLOEXEC);

    if (fd < 0) {
        return false;
    }
    const ssize_t count = read(fd, text, sizeof(text) - 1);
    (void)close(fd);
    if (count <= 0) {
        return false;
    }
    text[count] = '\0';
    if (sscanf(text, "%*u %lu %lu", &pages, &files_pages) != 2) {
        return false;
    }
    reading->rss_bytes = (size_t)pages * page_bytes;
    reading->files_bytes = (size_t)files_pages * page_bytes;
    return true;
}

static size_t min_size(size_t a, size_t b)
{
    return a < b ? a : b;
}

static size_t minus(size_t a, size_t b)
{
    return a > b ? a - b : 0;
}

/* The cache's pages, connections' buffers of the heap, and what the cache charged itself (its
 * threads' memory, dictionaries). Not the mapped buffers of connections: a request that comes has
 * touched half of its one, or less. */
static size_t read_others(const struct footprint *footprint, struct budget_figures *budget)
{
    struct cache_figures cache;

    cache_figures(footprint->cache, &cache);
    budget_figures(footprint->budget, budget);
    const size_t charged_bytes = footprint->charged_bytes + budget->charged_bytes;
    return (size_t)cache.resident_bytes + budget->heap_bytes +
           minus((size_t)cache.charged_bytes, charged_bytes);
}

/* Others are read before and after, and the smaller counts: what they take or give meanwhile makes
 * the footprint larger, never smaller. */
static bool read_all(const struct footprint *footprint, struct reading *reading)
{
    struct budget_figures before, after;
    const size_t others_before_bytes = read_others(footprint, &before);
    const size_t heap_bytes = mallinfo2().arena;

    if (!read_rss(reading)) {
        return false;
    }
    reading->others_bytes = min_size(others_before_bytes, read_others(footprint, &after));
    reading->heap_bytes = minus(heap_bytes, min_size(before.heap_bytes, after.heap_bytes));
    return true;
}

/* Two bounds from above, and the lower of them. What is resident and nobody answers for: it has
 * connections' mapped buffers too, as far as they were touched. And what the start found beside
 * files and heap, with what these have come to: it has the heap's holes that were given back. */
static size_t measure(const struct footprint *footprint)
{
#ifdef INSTRUMENTED
    (void)footprint;
    return INSTRUMENTED_BYTES;
#else
    struct reading reading;

    if (!read_all(footprint, &reading)) {
        return 0;
    }
    return min_size(minus(reading.rss_bytes, reading.others_bytes),
                    footprint->rest_bytes + reading.files_bytes + reading.heap_bytes);
#endif
}

/* What is neither files nor heap is as large as now, for good: stacks have their reserve. */
static void begin(struct footprint *footprint)
{
    struct reading reading;

    footprint->rest_bytes = SIZE_MAX / 2;
    if (read_all(footprint, &reading)) {
        footprint->rest_bytes = minus(minus(reading.rss_bytes, reading.others_bytes),
                                      reading.files_bytes + reading.heap_bytes);
    }
}

struct footprint *footprint_new(struct cache *cache, struct budget *budget, size_t threads,
                                size_t later_bytes)
{
    struct footprint *footprint = malloc(sizeof(*footprint));

    if (footprint == NULL) {
        return NULL;
    }
    *footprint = (struct footprint){
        .cache = cache,
        .budget = budget,
        .reserve_bytes = LIMITS_RESERVE_BYTES + threads * LIMITS_RESERVE_THREAD_BYTES + later_bytes,
    };
    begin(footprint);
    footprint->measured_bytes = measure(footprint);
    footprint->charged_bytes = footprint->measured_bytes + footprint->reserve_bytes;
    footprint->charged_bytes_min = footprint->charged_bytes;
    if (cache_charge(cache, footprint->charged_bytes) != CACHE_OK) {
        free(footprint);
        return NULL;
    }
    return footprint;
}

void footprint_free(struct footprint *footprint)
{
    if (footprint == NULL) {
        return;
    }
    cache_uncharge(footprint->cache, footprint->charged_bytes);
    free(footprint);
}

/* What connections had of malloc's heap lies there in pieces when they are gone. A trim of a few
 * MiB of them takes some 100 us, during which nobody else gets from malloc. */
static size_t measure_trimmed(struct footprint *footprint)
{
    size_t measured_bytes = measure(footprint);

    if (measured_bytes > footprint->charged_bytes_min && ++footprint->seconds >= TRIM_EVERY_S) {
        (void)malloc_trim(0);
        footprint->seconds = 0;
        measured_bytes = measure(footprint);
    }
    return measured_bytes;
}

static void adjust(struct footprint *footprint)
{
    const size_t measured_bytes = measure_trimmed(footprint);
    size_t *charged_bytes = &footprint->charged_bytes;

    footprint->measured_bytes = measured_bytes;
    if (measured_bytes > *charged_bytes) {
        const size_t missing = measured_bytes - *charged_bytes;
        if (cache_charge(footprint->cache, missing) == CACHE_OK) {
            *charged_bytes += missing;
        }
        return;
    }
    size_t enough = measured_bytes + footprint->reserve_bytes;
    if (enough < footprint->charged_bytes_min) {
        enough = footprint->charged_bytes_min;
    }
    if (*charged_bytes > enough + SLACK_BYTES) {
        cache_uncharge(footprint->cache, *charged_bytes - enough);
        *charged_bytes = enough;
    }
}

void footprint_adjust(struct footprint *footprint)
{
    budget_mark(footprint->budget);
    adjust(footprint);
    /* Only now: what connections gave back and malloc still holds has just become a part of the
     * footprint. Were it the cache's at once, both would have it. */
    budget_tidy(footprint->budget);
}

size_t footprint_bytes(const struct footprint *footprint)
{
    return footprint->measured_bytes;
}
