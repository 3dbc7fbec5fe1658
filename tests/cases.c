/*
 * cases.c - which cases of a cmocka test run: bazel test --test_filter=PATTERN, as a shell's.
 *
 * //:cmocka has it in front of cmocka's own function, so that no main has to ask for it. A pattern
 * that no case's name matches is a mistake, and fails: a run of nothing would pass.
 */
/* cmocka.h stands on the four before it. */
/* clang-format off */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
/* clang-format on */

#include <fnmatch.h>
#include <stdio.h>
#include <stdlib.h>

/* The names that the linker gives to cmocka's function and to what stands before it. */
int __real__cmocka_run_group_tests(const char *name, const struct CMUnitTest *tests, size_t count,
                                   CMFixtureFunction set_up, CMFixtureFunction tear_down);
int __wrap__cmocka_run_group_tests(const char *name, const struct CMUnitTest *tests, size_t count,
                                   CMFixtureFunction set_up, CMFixtureFunction tear_down);

int __wrap__cmocka_run_group_tests(const char *name, const struct CMUnitTest *tests, size_t count,
                                   CMFixtureFunction set_up, CMFixtureFunction tear_down)
{
    const char *pattern = getenv("TESTBRIDGE_TEST_ONLY");
    struct CMUnitTest *chosen;
    size_t chosen_count = 0;
    int failed;

    if (pattern == NULL)
        return __real__cmocka_run_group_tests(name, tests, count, set_up, tear_down);
    chosen = calloc(count, sizeof(*chosen));
    for (size_t i = 0; chosen != NULL && i < count; i++) {
        if (fnmatch(pattern, tests[i].name, 0) == 0)
            chosen[chosen_count++] = tests[i];
    }
    if (chosen_count == 0) {
        fprintf(stderr, "%s: no case is called \"%s\"\n", name, pattern);
        free(chosen);
        return 1;
    }
    failed = __real__cmocka_run_group_tests(name, chosen, chosen_count, set_up, tear_down);
    free(chosen);
    return failed;
}
