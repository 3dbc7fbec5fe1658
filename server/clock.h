/*
 * clock.h - the server's clock: whole seconds of unix time that never jump.
 *
 *   now = unix time when the server started + monotonic time since
 *
 * So "expire at this unix time" means what it says, and an administrator who sets the system's
 * clock neither expires nor revives anything.
 *
 * Threads: after clock_init() any number may read.
 */
#ifndef SERVER_CLOCK_H
#define SERVER_CLOCK_H

#include <stdint.h>

struct clock {
    int64_t unix_ns;      /* at start */
    int64_t monotonic_ns; /* at start */
    uint32_t started_s;
};

void clock_init(struct clock *clock);
/** clock_now_s() - cheap enough to be read at every event (the kernel's coarse clock, no system
 * call). */
uint32_t clock_now_s(const struct clock *clock);
/** clock_elapsed_us() - microseconds since the start, fine grained. */
uint64_t clock_elapsed_us(const struct clock *clock);

#endif
