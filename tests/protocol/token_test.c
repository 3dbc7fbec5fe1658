/* token_test.c - splitting on spaces and reading numbers, against the plainest way to do either. */
/* cmocka.h stands on the four before it. */
/* clang-format off */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
/* clang-format on */

#include "protocol/token.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* A slice of exactly its bytes on the heap. */
static struct protocol_slice slice_new(const char *text, size_t bytes)
{
    struct protocol_slice slice = {malloc(bytes), bytes};
    assert_true(slice.data != NULL || bytes == 0);
    if (bytes > 0) {
        memcpy(slice.data, text, bytes);
    }
    return slice;
}

/* Tokens found byte by byte: starts and lengths. */
static size_t split_plainly(const char *text, size_t bytes, size_t (*tokens)[2])
{
    size_t count = 0;
    for (size_t i = 0; i < bytes; i++) {
        if (text[i] == ' ') {
            continue;
        }
        if (i == 0 || text[i - 1] == ' ') {
            tokens[count][0] = i;
            tokens[count++][1] = 0;
        }
        tokens[count - 1][1]++;
    }
    return count;
}

static void check_split(const char *text, size_t bytes)
{
    size_t plain[64][2];
    struct protocol_slice tokens[64];
    assert_true(bytes <= 64);
    struct protocol_slice line = slice_new(text, bytes);
    const size_t count = split_plainly(text, bytes, plain);

    assert_int_equal(protocol_token_split(line, tokens, 64), count);
    for (size_t i = 0; i < count; i++) {
        assert_ptr_equal(tokens[i].data, line.data + plain[i][0]);
        assert_int_equal(tokens[i].bytes, plain[i][1]);
    }
    const struct protocol_slice last = protocol_token_last(line);
    const struct protocol_slice trimmed = protocol_token_trim(line);
    if (count == 0) {
        assert_int_equal(last.bytes, 0);
        assert_int_equal(trimmed.bytes, 0);
    } else {
        assert_ptr_equal(last.data, tokens[count - 1].data);
        assert_int_equal(last.bytes, tokens[count - 1].bytes);
        assert_ptr_equal(trimmed.data, tokens[0].data);
        assert_ptr_equal(trimmed.data + trimmed.bytes, last.data + last.bytes);
    }
    free(line.data);
}

/* Every way to put spaces among 12 bytes, the bytes chosen to be near the space in value. */
static void split_all_test(void **state)
{
    (void)state;
    static const char others[] = {'!', '\0', '\xa0', '\x1f', '\xff'};

    for (unsigned bytes = 0; bytes <= 12; bytes++) {
        for (unsigned mask = 0; mask < 1u << bytes; mask++) {
            char text[12];
            for (unsigned i = 0; i < bytes; i++) {
                text[i] = mask & 1u << i ? ' ' : others[(i + mask) % sizeof(others)];
            }
            check_split(text, bytes);
        }
    }
}

static void split_long_test(void **state)
{
    (void)state;
    for (size_t length = 1; length <= 64; length++) {
        char text[64];
        memset(text, 'k', sizeof(text));
        check_split(text, length);
        for (size_t space = 0; space < length; space++) {
            memset(text, 'k', sizeof(text));
            text[space] = ' ';
            check_split(text, length);
        }
    }
}

static void split_max_test(void **state)
{
    (void)state;
    struct protocol_slice line = slice_new("a b c d", 7);
    struct protocol_slice tokens[2];

    assert_int_equal(protocol_token_split(line, tokens, 2), 2);
    assert_int_equal(protocol_token_split(line, tokens, 0), 0);
    assert_true(protocol_slice_is(tokens[1], "b"));
    assert_false(protocol_slice_is(tokens[1], "bb"));
    assert_false(protocol_slice_is(tokens[1], ""));
    assert_false(protocol_slice_is(tokens[1], "c"));
    free(line.data);
}

static void next_key_test(void **state)
{
    (void)state;
    struct protocol_slice line = slice_new(" a  bcd ", 8);
    struct protocol_slice keys = line;
    struct protocol_slice key;

    assert_true(protocol_next_key(&keys, &key));
    assert_true(protocol_slice_is(key, "a"));
    assert_true(protocol_next_key(&keys, &key));
    assert_true(protocol_slice_is(key, "bcd"));
    assert_false(protocol_next_key(&keys, &key));
    assert_int_equal(keys.bytes, 0);
    assert_false(protocol_next_key(&keys, &key));
    keys = (struct protocol_slice){NULL, 0};
    assert_false(protocol_next_key(&keys, &key));
    free(line.data);
}

enum kind {
    NATURAL,
    UNSIGNED,
    INT32,
    SIGNED,
    KINDS
};

static bool read_number(enum kind kind, struct protocol_slice token, uint64_t max, uint64_t *number)
{
    int64_t value = 0;
    bool good = false;

    switch (kind) {
    case NATURAL:
        return protocol_token_natural(token, max, number);
    case UNSIGNED:
        return protocol_token_unsigned(token, max, number);
    case INT32:
        good = protocol_token_int32(token, &value);
        break;
    case SIGNED:
        good = protocol_token_signed(token, &value);
        break;
    case KINDS:
        fail();
    }
    *number = (uint64_t)value;
    return good;
}

struct number {
    const char *text;
    const char *good; /* which kinds take it: one letter each of "NUIS" */
    uint64_t max;
    int64_t value;
};

static const struct number numbers[] = {
    {"0", "NUIS", 0, 0},
    {"1", "IS", 0, 1},
    {"7", "NUIS", 7, 7},
    {"8", "IS", 7, 8},
    {"007", "NUIS", 7, 7},
    {"", "", 9, 0},
    {"+", "", 9, 0},
    {"-", "", 9, 0},
    {"+5", "US", 9, 5},
    {"-5", "IS", 9, -5},
    {"-0", "IS", 9, 0},
    {"+-5", "", 9, 0},
    {"-+5", "", 9, 0},
    {"--5", "", 9, 0},
    {"++5", "", 9, 0},
    {"5 ", "", 9, 0},
    {" 5", "", 9, 0},
    {"5\t", "", 9, 0},
    {"0x5", "", 9, 0},
    {"5a", "", 9, 0},
    {"a", "", 9, 0},
    {"/", "", 9, 0},
    {":", "", 9, 0},
    {"1e1", "", 99, 0},
    {"1.0", "", 99, 0},
    {"2147483647", "NUIS", UINT64_MAX, INT32_MAX},
    {"2147483648", "NU", UINT64_MAX, 2147483648},
    {"-2147483648", "IS", UINT64_MAX, INT32_MIN},
    {"-2147483649", "", UINT64_MAX, 0},
    {"+2147483647", "US", UINT64_MAX, INT32_MAX},
    {"4294967295", "NU", UINT32_MAX, UINT32_MAX},
    {"4294967296", "", UINT32_MAX, 0},
    {"4294967296", "NU", UINT64_MAX, 4294967296},
    {"9223372036854775808", "NU", UINT64_MAX, INT64_MIN},
    {"18446744073709551615", "NU", UINT64_MAX, -1},
    {"18446744073709551616", "", UINT64_MAX, 0},
    {"18446744073709551620", "", UINT64_MAX, 0},
    {"28446744073709551615", "", UINT64_MAX, 0},
    {"99999999999999999999", "", UINT64_MAX, 0},
    {"184467440737095516150", "", UINT64_MAX, 0},
    {"00000000000000000000000000000000000000018446744073709551615", "NU", UINT64_MAX, -1},
    {"100000000000000000000000000000000000000000", "", UINT64_MAX, 0},
};

static void number_test(void **state)
{
    (void)state;
    static const char letters[KINDS] = {'N', 'U', 'I', 'S'};

    for (size_t i = 0; i < sizeof(numbers) / sizeof(numbers[0]); i++) {
        const struct number *row = &numbers[i];
        struct protocol_slice token = slice_new(row->text, strlen(row->text));
        for (enum kind kind = NATURAL; kind < KINDS; kind++) {
            uint64_t number = 0;
            const bool wanted = strchr(row->good, letters[kind]) != NULL;
            if (read_number(kind, token, row->max, &number) != wanted ||
                (wanted && number != (uint64_t)row->value)) {
                fail_msg("\"%s\" as %c", row->text, letters[kind]);
            }
        }
        free(token.data);
    }
}

static void number_nul_test(void **state)
{
    (void)state;
    struct protocol_slice token = slice_new("5\0", 2);
    uint64_t number = 0;
    int64_t value = 0;

    assert_false(protocol_token_natural(token, 9, &number));
    assert_false(protocol_token_signed(token, &value));
    free(token.data);
}

/* What printf() writes is read back, at the ends of every length and in between. */
static void number_round_trip_test(void **state)
{
    (void)state;
    uint64_t seed = 1;

    for (unsigned i = 0; i < 100000; i++) {
        seed = seed * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
        const uint64_t wanted = seed >> (i % 64);
        char text[24];
        uint64_t number = 0;
        const int bytes = snprintf(text, sizeof(text), "%" PRIu64, wanted);
        const struct protocol_slice token = {(uint8_t *)text, (size_t)bytes};
        assert_true(protocol_token_natural(token, wanted, &number));
        assert_true(number == wanted);
        assert_true(wanted == 0 || !protocol_token_natural(token, wanted - 1, &number));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(split_all_test),
        cmocka_unit_test(split_long_test),
        cmocka_unit_test(split_max_test),
        cmocka_unit_test(next_key_test),
        cmocka_unit_test(number_test),
        cmocka_unit_test(number_nul_test),
        cmocka_unit_test(number_round_trip_test),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
