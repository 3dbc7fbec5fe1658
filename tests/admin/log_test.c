/*
 * log_test.c - lines, levels, what is held back and when it is said, with the test's own clock.
 */
/* cmocka.h stands on the four before it. */
/* clang-format off */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
/* clang-format on */

#include "server/admin/log.h"

#include <errno.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define THREADS_COUNT 4
#define THREAD_LINES  2000
#define READ_BYTES    (1 << 20)

struct fixture {
    FILE *file; /* what the log wrote */
    struct log *log;
    uint64_t now_ms;
    char *text;
};

static uint64_t read_clock(void *context)
{
    return ((struct fixture *)context)->now_ms;
}

static int set_up(void **state)
{
    struct fixture *fixture = calloc(1, sizeof(*fixture));

    *state = fixture;
    if (fixture == NULL)
        return -1;
    fixture->file = tmpfile();
    fixture->text = malloc(READ_BYTES);
    if (fixture->file == NULL || fixture->text == NULL)
        return -1;
    fixture->now_ms = 5000000;
    fixture->log = log_new(fileno(fixture->file), 1, read_clock, fixture);
    return fixture->log != NULL ? 0 : -1;
}

static int tear_down(void **state)
{
    struct fixture *fixture = *state;

    log_free(fixture->log);
    fclose(fixture->file);
    free(fixture->text);
    free(fixture);
    return 0;
}

static const char *written(struct fixture *fixture)
{
    ssize_t bytes = pread(fileno(fixture->file), fixture->text, READ_BYTES - 1, 0);

    assert_true(bytes >= 0);
    fixture->text[bytes] = '\0';
    return fixture->text;
}

static unsigned count_lines(struct fixture *fixture)
{
    unsigned lines = 0;

    for (const char *at = strchr(written(fixture), '\n'); at != NULL; at = strchr(at + 1, '\n'))
        lines++;
    return lines;
}

static void test_levels(void **state)
{
    struct fixture *fixture = *state;

    assert_true(log_wants(fixture->log, LOG_EVENTS));
    assert_false(log_wants(fixture->log, LOG_COMMANDS));
    log_say(fixture->log, LOG_ALWAYS, "always %d", 1);
    log_say(fixture->log, LOG_EVENTS, "event %s", "two");
    log_say(fixture->log, LOG_COMMANDS, "command");
    assert_string_equal(written(fixture), "always 1\nevent two\n");
    log_set_verbosity(fixture->log, 2);
    log_say(fixture->log, LOG_COMMANDS, "command");
    assert_string_equal(written(fixture), "always 1\nevent two\ncommand\n");
}

static void test_bytes_are_escaped(void **state)
{
    struct fixture *fixture = *state;
    char large[2 * LOG_LINE_BYTES_MAX];

    log_say(fixture->log, LOG_ALWAYS, "key %s", "a\r\nb\x1b[2J\xff");
    assert_string_equal(written(fixture), "key a\\x0d\\x0ab\\x1b[2J\\xff\n");
    memset(large, '\x01', sizeof(large) - 1);
    large[sizeof(large) - 1] = '\0';
    log_say(fixture->log, LOG_ALWAYS, "%s", large);
    assert_int_equal(count_lines(fixture), 2);
    assert_in_range(strlen(strchr(written(fixture), '\n') + 1), LOG_LINE_BYTES_MAX - 8,
                    LOG_LINE_BYTES_MAX);
}

static void test_repeated_messages(void **state)
{
    struct fixture *fixture = *state;

    for (int i = 0; i < 1000; i++)
        log_say(fixture->log, LOG_ALWAYS, "bad client %d", i);
    assert_string_equal(written(fixture),
                        "bad client 0\nbad client 1\nbad client 2\nbad client 3\n");
    /* Another kind is not held back by it. */
    log_say(fixture->log, LOG_ALWAYS, "other");
    assert_int_equal(count_lines(fixture), LOG_BURST + 1);
    fixture->now_ms += LOG_WINDOW_MS - 1;
    log_tick(fixture->log);
    assert_int_equal(count_lines(fixture), LOG_BURST + 1);
    fixture->now_ms += 1;
    log_tick(fixture->log);
    assert_non_null(strstr(written(fixture), "\nother\n(said 996 more times: bad client 999)\n"));
    log_tick(fixture->log);
    assert_int_equal(count_lines(fixture), LOG_BURST + 2);
    /* A new window. */
    log_say(fixture->log, LOG_ALWAYS, "bad client %d", 7);
    assert_int_equal(count_lines(fixture), LOG_BURST + 3);
}

static void test_count_is_said_at_the_next_message(void **state)
{
    struct fixture *fixture = *state;

    for (unsigned i = 0; i < LOG_BURST + 1; i++)
        log_say(fixture->log, LOG_EVENTS, "again");
    fixture->now_ms += LOG_WINDOW_MS;
    log_say(fixture->log, LOG_EVENTS, "something else");
    assert_non_null(strstr(written(fixture), "(said 1 more time: again)\nsomething else\n"));
}

static void test_count_is_said_at_the_end(void **state)
{
    struct fixture *fixture = *state;
    struct log *log = log_new(fileno(fixture->file), 0, read_clock, fixture);

    assert_non_null(log);
    for (unsigned i = 0; i < LOG_BURST + 2; i++)
        log_say(log, LOG_ALWAYS, "again");
    log_free(log);
    assert_non_null(strstr(written(fixture), "(said 2 more times: again)\n"));
}

/* More kinds than are counted: none is lost, whatever is forgotten. */
static void test_many_kinds(void **state)
{
    static const char FORMATS[3 * LOG_KINDS_MAX][4]; /* empty texts at addresses of their own */
    struct fixture *fixture = *state;
    const unsigned kinds_count = sizeof(FORMATS) / sizeof(FORMATS[0]);

#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wformat-nonliteral" /* the address is what is tested */
#pragma GCC diagnostic ignored "-Wformat-security"
    for (unsigned i = 0; i < kinds_count; i++) {
        for (unsigned j = 0; j < LOG_BURST + 1; j++)
            log_say(fixture->log, LOG_ALWAYS, FORMATS[i]);
        fixture->now_ms++;
    }
#pragma GCC diagnostic pop
    /* All but the last LOG_KINDS_MAX were forgotten, and their counts said then. */
    assert_int_equal(count_lines(fixture), kinds_count * LOG_BURST + (kinds_count - LOG_KINDS_MAX));
}

static void test_commands_are_not_held_back(void **state)
{
    struct fixture *fixture = *state;

    log_set_verbosity(fixture->log, 3);
    for (int i = 0; i < 100; i++)
        log_say(fixture->log, LOG_COMMANDS, "get %d", i);
    assert_int_equal(count_lines(fixture), 100);
}

static void test_errno_is_kept(void **state)
{
    struct fixture *fixture = *state;
    struct log *log = log_new(-1, 0, read_clock, fixture);

    assert_non_null(log);
    errno = ENOENT;
    log_say(log, LOG_ALWAYS, "nowhere to go");
    assert_int_equal(errno, ENOENT);
    log_free(log);
    log_free(NULL);
}

static void *say_many(void *context)
{
    struct fixture *fixture = context;

    for (int i = 0; i < THREAD_LINES; i++) {
        log_say(fixture->log, LOG_COMMANDS, "0123456789");
        log_say(fixture->log, LOG_ALWAYS, "0123456789.");
        if (i % 100 == 0)
            log_tick(fixture->log);
        log_set_verbosity(fixture->log, 2);
    }
    return NULL;
}

static void test_threads(void **state)
{
    struct fixture *fixture = *state;
    pthread_t threads[THREADS_COUNT];
    unsigned whole = 0;

    log_set_verbosity(fixture->log, 2);
    for (int i = 0; i < THREADS_COUNT; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, say_many, fixture), 0);
    for (int i = 0; i < THREADS_COUNT; i++)
        assert_int_equal(pthread_join(threads[i], NULL), 0);
    fixture->now_ms += LOG_WINDOW_MS;
    log_tick(fixture->log);
    (void)written(fixture);
    for (char *line = strtok(fixture->text, "\n"); line != NULL; line = strtok(NULL, "\n")) {
        bool counted = strcmp(line, "0123456789") == 0;

        whole += counted;
        if (!counted && strcmp(line, "0123456789.") != 0)
            assert_string_equal(line, "(said 7996 more times: 0123456789.)");
    }
    assert_int_equal(whole, THREADS_COUNT * THREAD_LINES);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_levels, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_bytes_are_escaped, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_repeated_messages, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_count_is_said_at_the_next_message, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_count_is_said_at_the_end, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_many_kinds, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_commands_are_not_held_back, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_errno_is_kept, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_threads, set_up, tear_down),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
