/* ages_test.c - what was stored when, against the truth: to the second for what is young, to a
 * sixth for the rest, and never older than it is. */
/* cmocka's header needs these before it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

/* clang-format off */
#include <cmocka.h>
/* clang-format on */

#include "server/cache/ages.h"

#include <stdlib.h>

#define START_S 1000u
#define SECONDS 3000000u /* more than a month */
#define EXACT_S 10u
#define PART    6u
#define CHECKS  4000u

static void check_ages(const struct ages *ages, const uint32_t *stored_s, uint64_t sequence,
                       uint32_t now_s)
{
    for (unsigned i = 1; i < ages->count; i++) { /* AGES-1 */
        assert_true(ages->seconds[i - 1] < ages->seconds[i]);
        assert_true(ages->sequences[i - 1] < ages->sequences[i]);
    }
    for (uint64_t back = 0; back < sequence; back += 1 + back / 16) {
        uint64_t number = sequence - back;
        uint32_t age_s = now_s - stored_s[number], told_s = ages_of(ages, number, now_s);
        assert_true(told_s <= age_s);
        assert_true(age_s - told_s <= (age_s <= EXACT_S ? 0 : age_s / PART));
    }
}

/* A store a second, and a mark after it. */
static void test_month(void **state)
{
    (void)state;
    struct ages ages = {.count = 0};
    uint32_t *stored_s = calloc(SECONDS + 1, sizeof(*stored_s));
    assert_non_null(stored_s);
    for (uint32_t i = 1; i <= SECONDS; i++) {
        stored_s[i] = START_S + i;
        ages_note(&ages, i, START_S + i);
        if (i % (SECONDS / CHECKS) == 0 || i < 300)
            check_ages(&ages, stored_s, i, START_S + i);
    }
    free(stored_s);
}

static void test_edges(void **state)
{
    (void)state;
    struct ages ages = {.count = 0};
    assert_int_equal(ages_of(&ages, 5, 100), 0);
    ages_note(&ages, 5, 100);
    ages_note(&ages, 5, 110); /* nothing was stored */
    ages_note(&ages, 7, 100); /* no time has passed */
    ages_note(&ages, 6, 99);  /* a clock behind */
    assert_int_equal(ages.count, 1);
    assert_int_equal(ages_of(&ages, 5, 130), 30);
    assert_int_equal(ages_of(&ages, 1, 130), 30);
    assert_int_equal(ages_of(&ages, 6, 130), 0);
    assert_int_equal(ages_of(&ages, 5, 99), 0);
    ages_note(&ages, 9, 120);
    assert_int_equal(ages_of(&ages, 6, 130), 10);
    assert_int_equal(ages_of(&ages, 5, 130), 30);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_month),
        cmocka_unit_test(test_edges),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
