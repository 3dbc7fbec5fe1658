#include "server/maintenance.h"

#include "server/admin/log.h"
#include "server/cache/cache.h"
#include "server/clock.h"
#include "server/footprint.h"
#include "server/limits.h"
#include "server/thread.h"

#include <assert.h>
#include <errno.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

struct maintenance {
    struct cache *cache;
    struct footprint *footprint;
    const struct clock *clock;
    struct log *log;
    struct cache_keeper *keeper;
    unsigned share_pct;
    uint64_t look_us; /* between two looks for what is to be compressed */
    uint64_t owed_us; /* to be paused before anything is done that can wait */
    bool nice;
    pthread_t thread;
    pthread_mutex_t lock;
    pthread_cond_t wake;
    bool stopping; /* under the lock */
};

/* Waits, or until it is told to stop; then false. */
static bool pause_for(struct maintenance *maintenance, uint64_t pause_us)
{
    struct timespec until;
    int failed = clock_gettime(CLOCK_MONOTONIC, &until);

    assert(!failed);
    until.tv_sec += (time_t)(pause_us / 1000000);
    until.tv_nsec += (long)(pause_us % 1000000) * 1000;
    until.tv_sec += until.tv_nsec / 1000000000;
    until.tv_nsec %= 1000000000;
    pthread_mutex_lock(&maintenance->lock);
    while (!maintenance->stopping && failed != ETIMEDOUT) {
        failed = pthread_cond_timedwait(&maintenance->wake, &maintenance->lock, &until);
    }
    const bool go_on = !maintenance->stopping;
    pthread_mutex_unlock(&maintenance->lock);
    return go_on;
}

/* Steps of the cache's upkeep for a moment; returns how long to pause after them. What took longer
 * than its share, a learning, is made up for by pauses between which only that is done which cannot
 * wait. */
static uint64_t work(struct maintenance *maintenance)
{
    const uint64_t started_us = clock_elapsed_us(maintenance->clock);
    uint64_t worked_us;
    bool more;

    do {
        const uint32_t now_s = clock_now_s(maintenance->clock);
        const bool fresh = cache_prepare_memory(maintenance->cache);
        more = maintenance->owed_us == 0 ? cache_maintain(maintenance->keeper, now_s)
                                         : cache_maintain_briefly(maintenance->keeper, now_s);
        more = more || fresh;
        worked_us = clock_elapsed_us(maintenance->clock) - started_us;
    } while (more && worked_us < LIMITS_MAINTAIN_US);
    if (cache_is_over(maintenance->cache)) {
        return LIMITS_MAINTAIN_OVER_PAUSE_US;
    }
    maintenance->owed_us += worked_us * (100 - maintenance->share_pct) / maintenance->share_pct;
    uint64_t pause_us = maintenance->owed_us;
    if (!more && pause_us < LIMITS_MAINTAIN_ROUND_PAUSE_US) {
        pause_us = LIMITS_MAINTAIN_ROUND_PAUSE_US;
    }
    if (pause_us > LIMITS_MAINTAIN_PAUSE_US_MAX) {
        pause_us = LIMITS_MAINTAIN_PAUSE_US_MAX;
    }
    maintenance->owed_us -= pause_us < maintenance->owed_us ? pause_us : maintenance->owed_us;
    return pause_us;
}

/* A pause of the other work, in which what stores leave uncompressed is compressed: looked for
 * often while there is some, more and more seldom while there is none; and once where the pause is
 * none, as it is with a whole core. False as pause_for(). */
static bool compress_for(struct maintenance *maintenance, uint64_t pause_us)
{
    const uint64_t until_us = clock_elapsed_us(maintenance->clock) + pause_us;
    uint64_t now_us = until_us - pause_us;
    uint64_t wait_us = maintenance->look_us;
    bool go_on;

    do {
        switch (cache_compress(maintenance->keeper, clock_now_s(maintenance->clock))) {
        case CACHE_COMPRESS_MORE:
            wait_us = 0;
            break;
        case CACHE_COMPRESS_ALL:
            wait_us = LIMITS_COMPRESS_PAUSE_US;
            break;
        case CACHE_COMPRESS_NONE:
            wait_us = wait_us > 0 ? 2 * wait_us : LIMITS_COMPRESS_PAUSE_US;
            break;
        }
        if (wait_us > LIMITS_COMPRESS_PAUSE_US_MAX) {
            wait_us = LIMITS_COMPRESS_PAUSE_US_MAX;
        }
        go_on = pause_for(maintenance, wait_us < until_us - now_us ? wait_us : until_us - now_us);
        now_us = clock_elapsed_us(maintenance->clock);
    } while (go_on && now_us < until_us);
    maintenance->look_us = wait_us;
    return go_on;
}

/* Requests go first, once there is a dictionary: as long as there is none, whatever comes in takes
 * half as much room again, and the first learning takes some 100 ms. There is no way back for who
 * has no privileges. A system that knows no priorities of threads does without. */
static void be_nice(struct maintenance *maintenance)
{
    if (!maintenance->nice && !cache_lacks_dictionary(maintenance->cache)) {
        maintenance->nice = true;
        (void)setpriority(PRIO_PROCESS, (id_t)gettid(), LIMITS_MAINTAIN_NICE);
    }
}

static void *run(void *context)
{
    struct maintenance *maintenance = context;
    uint32_t measured_s = 0;
    uint64_t pause_us;

    thread_set_name("zb-maintenance");
    do {
        be_nice(maintenance);
        pause_us = work(maintenance);
        const uint32_t now_s = clock_now_s(maintenance->clock);
        if (now_s != measured_s) {
            footprint_adjust(maintenance->footprint);
            log_tick(maintenance->log);
            measured_s = now_s;
        }
    } while (compress_for(maintenance, pause_us));
    return NULL;
}

struct maintenance *maintenance_new(struct cache *cache, struct footprint *footprint,
                                    const struct clock *clock, struct log *log, unsigned share_pct)
{
    struct maintenance *maintenance = calloc(1, sizeof(*maintenance));
    pthread_condattr_t attributes;

    if (maintenance == NULL) {
        return NULL;
    }
    maintenance->cache = cache;
    maintenance->footprint = footprint;
    maintenance->clock = clock;
    maintenance->log = log;
    maintenance->share_pct = share_pct > 0 ? share_pct : LIMITS_MAINTAIN_PCT;
    maintenance->keeper = cache_keeper_new(cache);
    pthread_mutex_init(&maintenance->lock, NULL);
    pthread_condattr_init(&attributes);
    pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
    pthread_cond_init(&maintenance->wake, &attributes);
    pthread_condattr_destroy(&attributes);
    if (maintenance->keeper == NULL || !thread_start(&maintenance->thread, run, maintenance)) {
        cache_keeper_free(maintenance->keeper);
        pthread_cond_destroy(&maintenance->wake);
        pthread_mutex_destroy(&maintenance->lock);
        free(maintenance);
        return NULL;
    }
    return maintenance;
}

void maintenance_free(struct maintenance *maintenance)
{
    if (maintenance == NULL) {
        return;
    }
    pthread_mutex_lock(&maintenance->lock);
    maintenance->stopping = true;
    pthread_cond_signal(&maintenance->wake);
    pthread_mutex_unlock(&maintenance->lock);
    const int failed = pthread_join(maintenance->thread, NULL);
    assert(!failed);
    cache_keeper_free(maintenance->keeper);
    pthread_cond_destroy(&maintenance->wake);
    pthread_mutex_destroy(&maintenance->lock);
    free(maintenance);
}
