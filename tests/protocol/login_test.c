/*
 * login_test.c - what may be said before a user and a password: each answer, cut anywhere, and
 * noise.
 */
/* cmocka.h stands on the four before it. */
/* clang-format off */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
/* clang-format on */

#include "protocol/login.h"
#include "tests/protocol/login_check.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define UNKNOWN      "CLIENT_ERROR unauthenticated"
#define NOISE_RUNS   200000u
#define NOISE_BYTES  40u
#define COUNT_OF(xs) (sizeof(xs) / sizeof((xs)[0]))

static const struct {
    const char *text;
    enum protocol_result result;
    const char *error; /* or "<user> <password>" */
    unsigned left;     /* bytes of text that are not used */
    unsigned swallow;
} CASES[] = {
    {"set a 0 0 3\r\nu p\r\n", PROTOCOL_REQUEST, "u p", 0, 0},
    {"set a 0 0 3\nu p\r\n", PROTOCOL_REQUEST, "u p", 0, 0},
    {"set a b c +3 noreply x\r\nu p\r\nget a\r\n", PROTOCOL_REQUEST, "u p", 7, 0},
    {"  set   a 0 0   8 \r\n  u  p  \r\n", PROTOCOL_REQUEST, "u p", 0, 0},
    {"set a 0 0 9\r\nu:x p:y z\r\n", PROTOCOL_REQUEST, "u:x p:y", 0, 0},
    {"set a 0 0 3\r\n\0 \n\r\n", PROTOCOL_MORE, "", 0, 0},
    {"set a 0 0 1\r\nu\r\n", PROTOCOL_ERROR, "CLIENT_ERROR bad authentication token format", 0, 0},
    {"set a 0 0 0\r\n\r\n", PROTOCOL_ERROR, "CLIENT_ERROR bad authentication token format", 0, 0},
    {"set a 0 0 2\r\n  \r\n", PROTOCOL_ERROR, "CLIENT_ERROR bad authentication token format", 0, 0},
    {"set a 0 0 3\r\nu pq\r\n", PROTOCOL_ERROR, "CLIENT_ERROR bad command line termination", 1, 0},
    {"set a 0 0 16385\r\nu p", PROTOCOL_ERROR, "CLIENT_ERROR auth token too long", 3, 16387},
    {"set a 0 0 2147483646\r\n", PROTOCOL_ERROR, UNKNOWN, 0, 0},
    {"set a 0 0 99999999999999999999\r\n", PROTOCOL_ERROR, UNKNOWN, 0, 0},
    {"set a 0 0 -1\r\n", PROTOCOL_ERROR, UNKNOWN, 0, 0},
    {"set a 0 0 3x\r\n", PROTOCOL_ERROR, UNKNOWN, 0, 0},
    {"set a 0 0\r\n", PROTOCOL_ERROR, UNKNOWN, 0, 0},
    {"SET a 0 0 3\r\n", PROTOCOL_ERROR, UNKNOWN, 0, 0},
    {"setx a 0 0 3\r\n", PROTOCOL_ERROR, UNKNOWN, 0, 0},
    {"get a\r\nget b\r\n", PROTOCOL_ERROR, UNKNOWN, 7, 0},
    {"\r\n", PROTOCOL_ERROR, UNKNOWN, 0, 0},
    {"\n", PROTOCOL_ERROR, UNKNOWN, 0, 0},
    {"GET / HTTP/1.1\r\n", PROTOCOL_ERROR, UNKNOWN, 0, 0},
    {"\x80\x01\n", PROTOCOL_ERROR, UNKNOWN, 0, 0},
    {"set a 0 0 3\r\nu p\r", PROTOCOL_MORE, "", 0, 0},
    {"set a 0 0 3", PROTOCOL_MORE, "", 0, 0},
};

static void check_names(const struct protocol_parsed *parsed, const char *expected)
{
    char names[64];

    (void)snprintf(names, sizeof(names), "%.*s %.*s", (int)parsed->request.key.bytes,
                   (const char *)parsed->request.key.data, (int)parsed->request.value.bytes,
                   (const char *)parsed->request.value.data);
    assert_string_equal(names, expected);
}

static void table_test(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT_OF(CASES); i++) {
        const size_t count = strlen(CASES[i].text);
        uint8_t *bytes = malloc(count);
        struct protocol_parsed parsed;

        assert(bytes != NULL);
        memcpy(bytes, CASES[i].text, count);
        const enum protocol_result result = protocol_login(bytes, count, &parsed);
        assert_int_equal(result, CASES[i].result);
        if (result == PROTOCOL_REQUEST) {
            check_names(&parsed, CASES[i].error);
        } else if (result == PROTOCOL_ERROR) {
            assert_string_equal(parsed.error, CASES[i].error);
        }
        if (result != PROTOCOL_MORE) {
            assert_int_equal(parsed.used, count - CASES[i].left);
            assert_int_equal(parsed.swallow, CASES[i].swallow);
        }
        free(bytes);
        login_check(CASES[i].text, count);
    }
}

/* A line may have 2,048 bytes before its end, and no more. */
static void long_line_test(void **state)
{
    uint8_t line[PROTOCOL_LINE_BYTES_MAX + 2];
    struct protocol_parsed parsed;

    (void)state;
    memset(line, 'x', sizeof(line));
    assert_int_equal(protocol_login(line, PROTOCOL_LINE_BYTES_MAX, &parsed), PROTOCOL_MORE);
    assert_int_equal(parsed.wanted, 0);
    assert_int_equal(protocol_login(line, PROTOCOL_LINE_BYTES_MAX + 1, &parsed), PROTOCOL_CLOSE);
    line[PROTOCOL_LINE_BYTES_MAX] = '\n';
    assert_int_equal(protocol_login(line, sizeof(line), &parsed), PROTOCOL_ERROR);
    assert_int_equal(parsed.used, PROTOCOL_LINE_BYTES_MAX + 1);
}

/* The largest block there may be is waited for, and taken. */
static void long_block_test(void **state)
{
    static const char LINE[] = "set a 0 0 16384\r\n";
    const size_t line_bytes = strlen(LINE);
    const size_t count = line_bytes + PROTOCOL_LOGIN_BYTES_MAX + 2;
    char *bytes = malloc(count);
    struct protocol_parsed parsed;

    (void)state;
    assert(bytes != NULL);
    memset(bytes, 'p', count);
    memcpy(bytes, LINE, line_bytes);
    bytes[line_bytes + 1] = ' ';
    memcpy(bytes + count - 2, "\r\n", 2);
    assert_int_equal(protocol_login((uint8_t *)bytes, line_bytes, &parsed), PROTOCOL_MORE);
    assert_int_equal(parsed.wanted, count);
    assert_int_equal(protocol_login((uint8_t *)bytes, count, &parsed), PROTOCOL_REQUEST);
    assert_int_equal(parsed.request.key.bytes, 1);
    assert_int_equal(parsed.request.value.bytes, PROTOCOL_LOGIN_BYTES_MAX - 2);
    free(bytes);
}

static void noise_test(void **state)
{
    static const char PIECES[][8] = {"set ", "a", " ", "0 ", "3", "\r\n", "\n", "u p", "\r", "x"};
    const uint32_t seed = 20260;
    uint32_t random = seed;
    char text[NOISE_BYTES];

    (void)state;
    print_message("seed %u\n", seed);
    for (unsigned run = 0; run < NOISE_RUNS; run++) {
        size_t count = 0;

        for (unsigned piece = 0; piece < 12; piece++) {
            random = random * 1664525 + 1013904223;
            const char *text_of = PIECES[(random >> 16) % COUNT_OF(PIECES)];
            if (count + strlen(text_of) > sizeof(text)) {
                break;
            }
            memcpy(text + count, text_of, strlen(text_of));
            count += strlen(text_of);
        }
        login_check(text, count);
    }
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(table_test),
        cmocka_unit_test(long_line_test),
        cmocka_unit_test(long_block_test),
        cmocka_unit_test(noise_test),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
