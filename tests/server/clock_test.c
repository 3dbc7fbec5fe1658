/*
 * clock_test.c - the server's clock does not follow the system's when that is set.
 */
/* cmocka.h stands on the four before it. */
/* clang-format off */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
/* clang-format on */

#include "server/clock.h"

#include <time.h>

#define NOON_S 1800000000

/* The system's two clocks, as the test sets them. */
static struct {
    int64_t unix_s;
    int64_t monotonic_s;
} system_now;

int __wrap_clock_gettime(clockid_t id, struct timespec *now);

int __wrap_clock_gettime(clockid_t id, struct timespec *now)
{
    const int64_t now_s = id == CLOCK_REALTIME ? system_now.unix_s : system_now.monotonic_s;

    *now = (struct timespec){.tv_sec = (time_t)now_s};
    return 0;
}

static void pass(int64_t seconds)
{
    system_now.unix_s += seconds;
    system_now.monotonic_s += seconds;
}

static void test_clock_is_set(void **state)
{
    struct clock clock;

    (void)state;
    system_now.unix_s = NOON_S;
    system_now.monotonic_s = 500;
    clock_init(&clock);
    assert_int_equal(clock_now_s(&clock), NOON_S);
    pass(10);
    assert_int_equal(clock_now_s(&clock), NOON_S + 10);
    system_now.unix_s -= 86400;
    assert_int_equal(clock_now_s(&clock), NOON_S + 10);
    pass(10);
    assert_int_equal(clock_now_s(&clock), NOON_S + 20);
    system_now.unix_s += (int64_t)365 * 86400;
    assert_int_equal(clock_now_s(&clock), NOON_S + 20);
    pass(10);
    assert_int_equal(clock_now_s(&clock), NOON_S + 30);
    assert_int_equal(clock_elapsed_us(&clock), 30000000);
}

int main(void)
{
    static const struct CMUnitTest tests[] = {cmocka_unit_test(test_clock_is_set)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
