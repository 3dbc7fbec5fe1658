/*
 * auth_test.c - the file of users: what is taken, what is refused with which words, who is let in,
 * and reading it again.
 */
/* cmocka.h stands on the four before it. */
/* clang-format off */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
/* clang-format on */

#include "server/admin/auth.h"

#include <assert.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define COUNT_OF(xs) (sizeof(xs) / sizeof((xs)[0]))
#define RELOADS      300u

struct fixture {
    char path[64];
    char error[AUTH_ERROR_BYTES_MAX + 1];
    struct auth *auth;
};

static void write_file(const struct fixture *fixture, const char *text, size_t count)
{
    FILE *file = fopen(fixture->path, "we");

    assert_non_null(file);
    assert_int_equal(fwrite(text, 1, count, file), count);
    assert_int_equal(fclose(file), 0);
}

static bool read_text(struct fixture *fixture, const char *text)
{
    write_file(fixture, text, strlen(text));
    auth_free(fixture->auth);
    fixture->error[0] = '\0';
    fixture->auth = auth_new(fixture->path, fixture->error);
    return fixture->auth != NULL;
}

static bool check(const struct fixture *fixture, const char *user, const char *password)
{
    return auth_check(fixture->auth, user, strlen(user), password, strlen(password));
}

static int set_up(void **state)
{
    struct fixture *fixture = calloc(1, sizeof(*fixture));

    assert(fixture != NULL);
    (void)snprintf(fixture->path, sizeof(fixture->path), P_tmpdir "/auth_test.XXXXXX");
    const int fd = mkstemp(fixture->path);
    assert(fd >= 0);
    (void)close(fd);
    *state = fixture;
    return 0;
}

static int tear_down(void **state)
{
    struct fixture *fixture = *state;

    (void)unlink(fixture->path);
    auth_free(fixture->auth);
    free(fixture);
    return 0;
}

static void test_who_is_let_in(void **state)
{
    struct fixture *fixture = *state;

    assert_true(read_text(fixture, "joe:secret\nann:x:y\r\nj:s\nlast:1"));
    assert_true(check(fixture, "joe", "secret"));
    assert_true(check(fixture, "ann", "x:y"));
    assert_true(check(fixture, "j", "s"));
    assert_true(check(fixture, "last", "1"));
    static const char *const WRONG[][2] = {
        {"joe", "secreT"},  {"joe", "secre"}, {"joe", "secrets"}, {"jo", "secret"},
        {"joee", "secret"}, {"ann", "x"},     {"ann:x", "y"},     {"joe", "1"},
        {"", ""},           {"joe", ""},      {"", "secret"},     {"ann", "x:y\r"},
        {"last", "1\n"},
    };
    for (size_t i = 0; i < COUNT_OF(WRONG); i++) {
        assert_false(check(fixture, WRONG[i][0], WRONG[i][1]));
    }
    assert_false(auth_check(fixture->auth, "joe\0", 4, "secret", 6));
    assert_false(auth_check(fixture->auth, "joe", 3, "secret\0", 7));
}

/* Lengths at which what is kept of a name could be taken for the whole. */
static void test_long_names(void **state)
{
    struct fixture *fixture = *state;
    char text[AUTH_LINE_BYTES_MAX + 2], sent[4096];
    const size_t password_bytes = AUTH_LINE_BYTES_MAX - 2;

    memset(text, 'p', sizeof(text));
    memset(sent, 'p', sizeof(sent));
    memcpy(text, "u:", 2);
    text[AUTH_LINE_BYTES_MAX] = '\0';
    assert_true(read_text(fixture, text));
    for (size_t count = 1; count < sizeof(sent); count++) {
        assert_int_equal(auth_check(fixture->auth, "u", 1, sent, count), count == password_bytes);
        assert_false(auth_check(fixture->auth, sent, count, sent, password_bytes));
    }
    text[AUTH_LINE_BYTES_MAX] = 'p';
    text[AUTH_LINE_BYTES_MAX + 1] = '\0';
    assert_false(read_text(fixture, text));
    assert_non_null(strstr(fixture->error, "line 1"));
}

static void test_files_that_are_refused(void **state)
{
    static const struct {
        const char *text;
        const char *error;
    } CASES[] = {
        {"", "no user"},
        {"\n", "line 1"},
        {"joe\n", "line 1"},
        {"joe:secret\nann\n", "line 2"},
        {"joe:secret\n\nann:x\n", "line 2"},
        {":secret\n", "line 1"},
        {"joe:\n", "line 1"},
        {"joe:\r\n", "line 1"},
        {"jo e:secret\n", "line 1"},
        {"joe:sec ret\n", "line 1"},
        {"1:1\n2:2\n3:3\n4:4\n5:5\n6:6\n7:7\n8:8\n9:9\n", "more than 8 lines"},
    };
    struct fixture *fixture = *state;
    char *large = calloc(1, 1 << 20);

    for (size_t i = 0; i < COUNT_OF(CASES); i++) {
        assert_false(read_text(fixture, CASES[i].text));
        assert_non_null(strstr(fixture->error, CASES[i].error));
        assert_non_null(strstr(fixture->error, fixture->path));
        assert_null(strstr(fixture->error, "secret"));
    }
    assert(large != NULL);
    memset(large, 'x', (1 << 20) - 1);
    assert_false(read_text(fixture, large));
    assert_non_null(strstr(fixture->error, "longer than"));
    free(large);
    write_file(fixture, "a:b\0c\n", 6);
    assert_null(auth_new(fixture->path, fixture->error));
    assert_null(auth_new("/nonexistent/users", fixture->error));
    assert_non_null(strstr(fixture->error, "No such file"));
    assert_null(auth_new(P_tmpdir, fixture->error));
    assert_true(read_text(fixture, "1:1\n2:2\n3:3\n4:4\n5:5\n6:6\n7:7\n8:8\n"));
    assert_true(check(fixture, "8", "8"));
}

static void test_reload(void **state)
{
    struct fixture *fixture = *state;

    assert_true(read_text(fixture, "a:1\nb:2\n"));
    write_file(fixture, "c:3\n", 4);
    assert_true(auth_reload(fixture->auth, fixture->error));
    assert_true(check(fixture, "c", "3"));
    assert_false(check(fixture, "a", "1") || check(fixture, "b", "2"));
    write_file(fixture, "d:4\nbroken\n", 11);
    assert_false(auth_reload(fixture->auth, fixture->error));
    assert_non_null(strstr(fixture->error, "line 2"));
    assert_true(check(fixture, "c", "3") && !check(fixture, "d", "4"));
    assert_int_equal(unlink(fixture->path), 0);
    assert_false(auth_reload(fixture->auth, fixture->error));
    assert_true(check(fixture, "c", "3"));
}

struct checker {
    const struct fixture *fixture;
    _Atomic bool stop;
    unsigned long wrong;
};

static void *run_checker(void *context)
{
    struct checker *checker = context;

    while (!atomic_load(&checker->stop)) {
        checker->wrong += !check(checker->fixture, "always", "there");
        checker->wrong += check(checker->fixture, "never", "there");
    }
    return NULL;
}

/* While the file is read again who stays in it is always let in. */
static void test_reload_under_load(void **state)
{
    struct fixture *fixture = *state;
    struct checker checker = {.fixture = fixture};
    pthread_t thread;

    assert_true(read_text(fixture, "always:there\n"));
    assert_int_equal(pthread_create(&thread, NULL, run_checker, &checker), 0);
    for (unsigned i = 0; i < RELOADS; i++) {
        const char *text = i % 2 == 0 ? "x:y\nnever:1\nalways:there\n" : "always:there\n";
        write_file(fixture, text, strlen(text));
        assert_true(auth_reload(fixture->auth, fixture->error));
    }
    atomic_store(&checker.stop, true);
    assert_int_equal(pthread_join(thread, NULL), 0);
    assert_int_equal(checker.wrong, 0);
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_who_is_let_in, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_long_names, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_files_that_are_refused, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_reload, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_reload_under_load, set_up, tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
