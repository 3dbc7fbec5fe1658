#include "server/clock.h"

#include <assert.h>
#include <time.h>

#define NS_PER_S INT64_C(1000000000)

static int64_t read_ns(clockid_t id)
{
    struct timespec now;
    const int failed = clock_gettime(id, &now);

    assert(!failed);
    return (int64_t)now.tv_sec * NS_PER_S + now.tv_nsec;
}

void clock_init(struct clock *clock)
{
    clock->unix_ns = read_ns(CLOCK_REALTIME);
    clock->monotonic_ns = read_ns(CLOCK_MONOTONIC_COARSE);
    clock->started_s = (uint32_t)(clock->unix_ns / NS_PER_S);
}

uint32_t clock_now_s(const struct clock *clock)
{
    const int64_t elapsed_ns = read_ns(CLOCK_MONOTONIC_COARSE) - clock->monotonic_ns;
    return (uint32_t)((clock->unix_ns + elapsed_ns) / NS_PER_S);
}

uint64_t clock_elapsed_us(const struct clock *clock)
{
    const int64_t elapsed_ns = read_ns(CLOCK_MONOTONIC) - clock->monotonic_ns;
    return elapsed_ns > 0 ? (uint64_t)elapsed_ns / 1000 : 0;
}
