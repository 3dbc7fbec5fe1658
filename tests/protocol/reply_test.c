/* reply_test.c - replies, byte for byte as printf() writes them, in exactly the room they need. */
/* cmocka.h stands on the four before it. */
/* clang-format off */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
/* clang-format on */

#include "protocol/meta_reply.h"
#include "protocol/reply.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static struct protocol_reply reply_new(size_t capacity)
{
    struct protocol_reply reply = {.data = malloc(capacity), .capacity = capacity};
    assert_true(reply.data != NULL || capacity == 0);
    return reply;
}

static void assert_text(const struct protocol_reply *reply, const char *text)
{
    assert_int_equal(reply->used, strlen(text));
    assert_memory_equal(reply->data, text, reply->used);
}

static void check_number(uint64_t number)
{
    char text[32];
    const int bytes = snprintf(text, sizeof(text), "%" PRIu64 "\r\n", number);
    struct protocol_reply reply = reply_new((size_t)bytes);

    assert_true(protocol_reply_number(&reply, number));
    assert_text(&reply, text);
    assert_int_equal(protocol_reply_room(&reply), 0);
    reply.used = 1;
    assert_false(protocol_reply_number(&reply, number));
    assert_int_equal(reply.used, 1);
    free(reply.data);
}

/* Around every power of ten and of two, and 0 to 100,000. */
static void number_test(void **state)
{
    (void)state;
    for (uint64_t ten = 1; ten <= UINT64_MAX / 10; ten *= 10) {
        check_number(ten * 10 - 1);
        check_number(ten * 10);
        check_number(ten * 10 + 1);
    }
    for (unsigned bit = 0; bit < 64; bit++) {
        check_number((UINT64_C(1) << bit) - 1);
        check_number(UINT64_C(1) << bit);
    }
    for (uint64_t number = 0; number <= 100000; number++) {
        check_number(number);
    }
    check_number(UINT64_MAX);
}

static void number_random_test(void **state)
{
    (void)state;
    uint64_t seed = 7;
    for (unsigned i = 0; i < 100000; i++) {
        seed = seed * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
        check_number(seed >> (i % 64));
    }
}

static void line_test(void **state)
{
    (void)state;
    struct protocol_reply reply = reply_new(13);

    assert_true(protocol_reply_line(&reply, "STORED"));
    assert_text(&reply, "STORED\r\n");
    assert_int_equal(protocol_reply_room(&reply), 5);
    assert_false(protocol_reply_line(&reply, "LONG"));
    assert_text(&reply, "STORED\r\n");
    assert_true(protocol_reply_line(&reply, "END"));
    assert_text(&reply, "STORED\r\nEND\r\n");
    assert_false(protocol_reply_line(&reply, ""));
    free(reply.data);
}

static void stat_test(void **state)
{
    (void)state;
    static const char text[] = "STAT curr_items 12\r\n";
    struct protocol_reply reply = reply_new(sizeof(text) - 1);

    reply.capacity--;
    assert_false(protocol_reply_stat(&reply, "curr_items", "12"));
    assert_int_equal(reply.used, 0);
    reply.capacity++;
    assert_true(protocol_reply_stat(&reply, "curr_items", "12"));
    assert_text(&reply, text);
    free(reply.data);
}

static void check_header(const char *key, size_t key_bytes, uint32_t flags, size_t value_bytes,
                         const uint64_t *cas)
{
    char text[2 * PROTOCOL_VALUE_HEADER_BYTES_MAX];
    memcpy(text, "VALUE ", 6);
    memcpy(text + 6, key, key_bytes);
    size_t used = 6 + key_bytes;
    used +=
        (size_t)snprintf(text + used, sizeof(text) - used, " %" PRIu32 " %zu", flags, value_bytes);
    if (cas != NULL) {
        used += (size_t)snprintf(text + used, sizeof(text) - used, " %" PRIu64, *cas);
    }
    memcpy(text + used, "\r\n", 2);
    used += 2;

    assert_int_equal(protocol_value_header_bytes(key_bytes, flags, value_bytes, cas), used);
    assert_true(used > key_bytes && used <= PROTOCOL_VALUE_HEADER_BYTES_MAX);
    uint8_t *out = malloc(used);
    assert_non_null(out);
    assert_int_equal(protocol_value_header(out, key, key_bytes, flags, value_bytes, cas), used);
    assert_memory_equal(out, text, used);
    free(out);
}

static void value_header_test(void **state)
{
    (void)state;
    static const uint32_t flags[] = {0, 9, 10, 99, 100, 65535, UINT32_MAX};
    static const size_t values[] = {0, 9, 10, 999, 1000, 1048576, 134217728, SIZE_MAX};
    static const uint64_t cas[] = {1, 10, 12345678901234, UINT64_MAX};
    static const size_t keys[] = {1, 2, 7, 8, 9, 249, 250};
    char key[250];

    for (size_t i = 0; i < sizeof(key); i++) {
        key[i] = (char)(i % 7 == 3 ? 0 : i);
    }
    for (size_t k = 0; k < sizeof(keys) / sizeof(keys[0]); k++) {
        for (size_t f = 0; f < sizeof(flags) / sizeof(flags[0]); f++) {
            for (size_t v = 0; v < sizeof(values) / sizeof(values[0]); v++) {
                check_header(key, keys[k], flags[f], values[v], NULL);
                for (size_t c = 0; c < sizeof(cas) / sizeof(cas[0]); c++) {
                    check_header(key, keys[k], flags[f], values[v], &cas[c]);
                }
            }
        }
    }
    /* The longest there is reaches the maximum. */
    assert_int_equal(protocol_value_header_bytes(250, UINT32_MAX, SIZE_MAX, &cas[3]),
                     PROTOCOL_VALUE_HEADER_BYTES_MAX);
}

/* A meta answer, flag by flag; the longest there is fits. */
static void meta_test(void **state)
{
    (void)state;
    static uint8_t key[250], opaque[PROTOCOL_OPAQUE_BYTES_MAX];
    uint8_t base64[] = "QQ==", token[] = "O1", letter[] = "n";
    struct protocol_meta_reply line;

    protocol_meta_begin(&line, "HD");
    protocol_meta_put_number(&line, "t", 30);
    protocol_meta_put_key(&line, (struct protocol_slice){base64, 4}, true);
    protocol_meta_put(&line, (struct protocol_slice){token, 2});
    protocol_meta_put_word(&line, "W");
    protocol_meta_end(&line);
    assert_int_equal(line.used, sizeof("HD t30 kQQ== b O1 W\r\n") - 1);
    assert_memory_equal(line.text, "HD t30 kQQ== b O1 W\r\n", line.used);

    protocol_meta_begin_value(&line, 3);
    protocol_meta_put_key(&line, (struct protocol_slice){letter, 1}, false);
    protocol_meta_end_number(&line, 100);
    assert_int_equal(line.used, sizeof("VA 3 kn\r\n100\r\n") - 1);
    assert_memory_equal(line.text, "VA 3 kn\r\n100\r\n", line.used);
    assert_int_equal(protocol_meta_digits(UINT64_MAX), 20);
    assert_int_equal(protocol_meta_digits(0), 1);

    protocol_meta_begin_value(&line, UINT32_MAX);
    protocol_meta_put_key(&line, (struct protocol_slice){key, sizeof(key)}, true);
    protocol_meta_put(&line, (struct protocol_slice){opaque, sizeof(opaque)});
    protocol_meta_put_number(&line, "c", UINT64_MAX);
    for (const char *name = "stfhlZXW"; *name != '\0'; name++) {
        protocol_meta_put_number(&line, (char[]){*name, '\0'}, UINT32_MAX);
    }
    protocol_meta_end_number(&line, UINT64_MAX);
    assert_true(line.used > 400 && line.used <= sizeof(line.text));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(number_test),       cmocka_unit_test(number_random_test),
        cmocka_unit_test(line_test),         cmocka_unit_test(stat_test),
        cmocka_unit_test(value_header_test), cmocka_unit_test(meta_test),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
