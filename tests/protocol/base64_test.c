/* base64_test.c - keys as base64: the RFC's vectors, and there and back for every length. */
/* cmocka.h stands on the four before it. */
/* clang-format off */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
/* clang-format on */

#include "protocol/base64.h"

#include <stdlib.h>
#include <string.h>

/* RFC 4648, section 10; and the last two digits of the alphabet. */
static void vectors_test(void **state)
{
    static const struct {
        const char *bytes;
        const char *text;
    } cases[] = {
        {"", ""},
        {"f", "Zg=="},
        {"fo", "Zm8="},
        {"foo", "Zm9v"},
        {"foob", "Zm9vYg=="},
        {"fooba", "Zm9vYmE="},
        {"foobar", "Zm9vYmFy"},
        {"\xfb\xff", "+/8="},
    };

    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        uint8_t out[16];
        const size_t bytes = strlen(cases[i].bytes);
        const size_t text = protocol_base64_encode((const uint8_t *)cases[i].bytes, bytes, out);
        assert_int_equal(text, strlen(cases[i].text));
        assert_memory_equal(out, cases[i].text, text);
    }
}

/* On blocks of exactly the sizes promised. What is not base64 is parse_test's. */
static void there_and_back_test(void **state)
{
    (void)state;
    for (size_t bytes = 1; bytes <= PROTOCOL_BASE64_KEY_BYTES_MAX; bytes++) {
        uint8_t *key = malloc(bytes);
        uint8_t *text = malloc(PROTOCOL_BASE64_TEXT_BYTES(bytes));
        uint8_t back[PROTOCOL_BASE64_KEY_BYTES_MAX];

        assert_true(key != NULL && text != NULL);
        for (size_t i = 0; i < bytes; i++) {
            key[i] = (uint8_t)(bytes * 151 + i * 83);
        }
        const struct protocol_slice sent = {text, protocol_base64_encode(key, bytes, text)};
        assert_int_equal(sent.bytes, PROTOCOL_BASE64_TEXT_BYTES(bytes));
        assert_int_equal(protocol_base64_decode(sent, NULL), bytes);
        assert_int_equal(protocol_base64_decode(sent, back), bytes);
        assert_memory_equal(back, key, bytes);
        free(key);
        free(text);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(vectors_test),
        cmocka_unit_test(there_and_back_test),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
