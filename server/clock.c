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
    atomic_init(&clock->shift_ns, 0);
    atomic_init(&clock->stopped_ns, 0);
}

static int64_t now_ns(const struct clock *clock)
{
    const int64_t stopped_ns = atomic_load_explicit(&clock->stopped_ns, memory_order_relaxed);
    const int64_t read = stopped_ns != 0 ? stopped_ns : read_ns(CLOCK_MONOTONIC_COARSE);
    return clock->unix_ns + read - clock->monotonic_ns +
           atomic_load_explicit(&clock->shift_ns, memory_order_relaxed);
}

uint32_t clock_now_s(const struct clock *clock)
{
    return (uint32_t)(now_ns(clock) / NS_PER_S);
}

bool clock_shift(struct clock *clock, int64_t seconds)
{
    const int64_t now_s = now_ns(clock) / NS_PER_S;

    if (seconds < -(int64_t)UINT32_MAX || seconds > (int64_t)UINT32_MAX || now_s + seconds < 1 ||
        now_s + seconds > (int64_t)UINT32_MAX - 1) {
        return false;
    }
    (void)atomic_fetch_add(&clock->shift_ns, seconds * NS_PER_S);
    return true;
}

void clock_pause(struct clock *clock)
{
    int64_t running = 0;
    (void)atomic_compare_exchange_strong(&clock->stopped_ns, &running,
                                         read_ns(CLOCK_MONOTONIC_COARSE));
}

void clock_resume(struct clock *clock)
{
    const int64_t stopped_ns = atomic_exchange(&clock->stopped_ns, 0);

    if (stopped_ns != 0) {
        (void)atomic_fetch_sub(&clock->shift_ns, read_ns(CLOCK_MONOTONIC_COARSE) - stopped_ns);
    }
}

uint64_t clock_elapsed_ns(const struct clock *clock)
{
    const int64_t elapsed_ns = read_ns(CLOCK_MONOTONIC) - clock->monotonic_ns;
    return elapsed_ns > 0 ? (uint64_t)elapsed_ns : 0;
}

uint64_t clock_elapsed_us(const struct clock *clock)
{
    return clock_elapsed_ns(clock) / 1000;
}
