/*
 * clock.h - the server's clock: whole seconds of unix time that never jump.
 *
 *   now = unix time when the server started + monotonic time since
 *
 * So "expire at this unix time" means what it says, and an administrator who sets the system's
 * clock neither expires nor revives anything.
 *
 * Tests may move it, stop it and let it go on ("debugtime"): every expiry, age and timeout follows.
 *
 * Threads: after clock_init() any number may read, and move it.
 */
#ifndef SERVER_CLOCK_H
#define SERVER_CLOCK_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

struct clock {
    int64_t unix_ns;      /* at start */
    int64_t monotonic_ns; /* at start */
    uint32_t started_s;
    _Atomic int64_t shift_ns;   /* by clock_shift() and pauses; 0 unless tests ask */
    _Atomic int64_t stopped_ns; /* monotonic time at which it stands; 0: it runs */
};

void clock_init(struct clock *clock);
/** clock_now_s() - cheap enough to be read at every event (the kernel's coarse clock, no system
 * call). */
uint32_t clock_now_s(const struct clock *clock);
/**
 * clock_shift() - the clock jumps, forwards or back. False where it would leave 1970 to 2106:
 * nothing has changed.
 */
bool clock_shift(struct clock *clock, int64_t seconds) __attribute__((warn_unused_result));
/** clock_pause() - it stands until clock_resume(), and goes on from where it stood. */
void clock_pause(struct clock *clock);
void clock_resume(struct clock *clock);

/** clock_elapsed_us() - microseconds since the start, fine grained; always runs. */
uint64_t clock_elapsed_us(const struct clock *clock);
/** clock_elapsed_ns() - the same in nanoseconds. */
uint64_t clock_elapsed_ns(const struct clock *clock);

#endif
