#include "server/footprint.h"

#include "server/budget.h"
#include "server/cache/cache.h"
#include "server/limits.h"

#include <fcntl.h>
#include <malloc.h>
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
    size_t charged_bytes;
    size_t charged_bytes_min;
    size_t measured_bytes;
    unsigned seconds; /* since the last trim, of those in which there was reason for one */
};

/* The process's resident set, without an allocation. 0 where the system does not tell. */
static size_t read_rss(void)
{
    char text[128];
    unsigned long pages = 0;
    const int fd = open("/proc/self/statm", O_RDONLY | O_CLOEXEC);

    if (fd < 0) {
        return 0;
    }
    const ssize_t count = read(fd, text, sizeof(text) - 1);
    (void)close(fd);
    if (count <= 0) {
        return 0;
    }
    text[count] = '\0';
    if (sscanf(text, "%*u %lu", &pages) != 1) {
        return 0;
    }
    return (size_t)pages * (size_t)sysconf(_SC_PAGESIZE);
}

/* The resident set is read first: pages that the cache takes between the two readings make the
 * result smaller, never larger. What the cache charged itself (its threads' memory, dictionaries)
 * is not counted a second time. */
static size_t measure(const struct footprint *footprint)
{
    struct cache_figures cache;
    struct budget_figures budget;
    const size_t rss_bytes = read_rss();

#ifdef INSTRUMENTED
    return rss_bytes > 0 ? INSTRUMENTED_BYTES : 0;
#endif
    cache_figures(footprint->cache, &cache);
    budget_figures(footprint->budget, &budget);
    const size_t charged_bytes = footprint->charged_bytes + budget.charged_bytes;
    size_t others_bytes = (size_t)cache.resident_bytes + budget.held_bytes;
    if (cache.charged_bytes > charged_bytes) {
        others_bytes += (size_t)cache.charged_bytes - charged_bytes;
    }
    return rss_bytes > others_bytes ? rss_bytes - others_bytes : 0;
}

struct footprint *footprint_new(struct cache *cache, struct budget *budget, size_t threads)
{
    struct footprint *footprint = malloc(sizeof(*footprint));

    if (footprint == NULL) {
        return NULL;
    }
    *footprint = (struct footprint){
        .cache = cache,
        .budget = budget,
        .reserve_bytes = LIMITS_RESERVE_BYTES + threads * LIMITS_RESERVE_THREAD_BYTES,
    };
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
    adjust(footprint);
    /* Only now: what connections gave back and malloc still holds has just become a part of the
     * footprint. Were it the cache's at once, both would have it. */
    budget_tidy(footprint->budget);
}

size_t footprint_bytes(const struct footprint *footprint)
{
    return footprint->measured_bytes;
}
