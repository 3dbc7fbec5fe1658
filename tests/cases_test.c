/*
 * cases_test.c - a filter runs the cases that it names, and fails where it names none: this program
 * runs itself with one.
 */
/* cmocka.h stands on the four before it. */
/* clang-format off */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
/* clang-format on */

#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static char own_path[4096];

/* How many cases ran; @good: and the program said that all is well. */
static unsigned run_with(const char *pattern, bool *good)
{
    char line[4200];
    unsigned ran = 0;

    (void)snprintf(line, sizeof(line), "TESTBRIDGE_TEST_ONLY='%s' '%s' 2>&1", pattern, own_path);
    FILE *pipe = popen(line, "r");
    assert_non_null(pipe);
    while (fgets(line, sizeof(line), pipe) != NULL)
        ran += strstr(line, "[ RUN ") != NULL;
    *good = pclose(pipe) == 0;
    return ran;
}

static void first(void **state)
{
    (void)state;
}

static void second(void **state)
{
    (void)state;
}

static void filters(void **state)
{
    bool good;

    (void)state;
    assert_int_equal(run_with("first", &good), 1);
    assert_true(good);
    assert_int_equal(run_with("[fs][ie][rc]*", &good), 2);
    assert_true(good);
    assert_int_equal(run_with("third", &good), 0);
    assert_false(good);
    assert_int_equal(run_with("", &good), 0);
    assert_false(good);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(first),
        cmocka_unit_test(second),
        cmocka_unit_test(filters),
    };
    const ssize_t bytes = readlink("/proc/self/exe", own_path, sizeof(own_path) - 1);

    return bytes > 0 ? cmocka_run_group_tests(tests, NULL, NULL) : EXIT_FAILURE;
}
