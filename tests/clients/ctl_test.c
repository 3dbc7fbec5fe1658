/*
 * ctl_test.c - zbctl's parts one by one: addresses, numbers, and files of items that were changed
 * in every bit and cut off at every byte.
 */
/* cmocka.h stands on the four before it. */
/* clang-format off */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
/* clang-format on */

#include "clients/ctl_connect.h"
#include "clients/ctl_file.h"
#include "clients/ctl_sample.h"
#include "clients/ctl_text.h"
#include "clients/load_random.h"

#include <stdlib.h>
#include <string.h>

#define COUNT_OF(array) (sizeof(array) / sizeof((array)[0]))
#define FILE_BYTES      4096u

static void addresses(void **state)
{
    static const struct {
        const char *text, *host;
        uint16_t port;
        bool tls;
    } GOOD[] = {
        {"localhost", "localhost", 11211, false},
        {"host:1", "host", 1, false},
        {"1.2.3.4:65535", "1.2.3.4", 65535, false},
        {"[::1]:11212", "::1", 11212, false},
        {"[::1]", "::1", 11211, false},
        {"::1", "::1", 11211, false},
        {"/a/b.sock", "/a/b.sock", 0, false},
        {"tls:host:5", "host", 5, true},
        {"tls:[fe80::1]:5", "fe80::1", 5, true},
    };
    static const char *const BAD[] = {"",       ":1",    "host:",   "host:0",  "host:65536",
                                      "host:x", "[::1",  "[::1]x",  "[::1]:",  "[]:1",
                                      "tls:",   "tls:[", "host:+1", "host: 1", "[::1]1"};
    char longest[CTL_HOST_BYTES + 1];
    struct ctl_address address;

    (void)state;
    for (size_t i = 0; i < COUNT_OF(GOOD); i++) {
        assert_true(ctl_address_read(GOOD[i].text, &address));
        assert_string_equal(address.host, GOOD[i].host);
        assert_int_equal(address.port, GOOD[i].port);
        assert_int_equal(address.tls, GOOD[i].tls);
    }
    for (size_t i = 0; i < COUNT_OF(BAD); i++) {
        if (ctl_address_read(BAD[i], &address))
            fail_msg("\"%s\" was taken for an address", BAD[i]);
    }
    memset(longest, 'h', CTL_HOST_BYTES);
    longest[CTL_HOST_BYTES] = '\0';
    assert_false(ctl_address_read(longest, &address));
    longest[CTL_HOST_BYTES - 1] = '\0';
    assert_true(ctl_address_read(longest, &address));
}

static void numbers_for_people(void **state)
{
    char text[32];

    (void)state;
    assert_string_equal(ctl_put_count(0, text), "0");
    assert_string_equal(ctl_put_count(999, text), "999");
    assert_string_equal(ctl_put_count(1000, text), "1,000");
    assert_string_equal(ctl_put_count(UINT64_MAX, text), "18,446,744,073,709,551,615");
    assert_string_equal(ctl_put_bytes(1023, text), "1023 B");
    assert_string_equal(ctl_put_bytes(1024, text), "1.00 KiB");
    assert_string_equal(ctl_put_bytes(64 << 20, text), "64.0 MiB");
    assert_string_equal(ctl_put_bytes(1.5e15, text), "1364 TiB");
}

static size_t read_uri(const char *text, uint8_t *bytes, size_t room)
{
    return ctl_read_uri((const uint8_t *)text, strlen(text), bytes, room);
}

static void keys_of_dumps(void **state)
{
    static const char *const BAD[] = {"", "%", "%4", "%4g", "a%", "abcde", "%20%20%20%20%20"};
    uint8_t bytes[4];

    (void)state;
    assert_int_equal(read_uri("a%20%fF", bytes, sizeof(bytes)), 3);
    assert_memory_equal(bytes, "a \xff", 3);
    assert_int_equal(read_uri("%00%25", bytes, sizeof(bytes)), 2);
    assert_memory_equal(bytes, "\0%", 2);
    for (size_t i = 0; i < COUNT_OF(BAD); i++)
        assert_int_equal(read_uri(BAD[i], bytes, sizeof(bytes)), 0);
}

/* ---- files ---- */

static struct ctl_item make_item(const char *key, const char *value, uint32_t flags)
{
    return (struct ctl_item){.key = {(const uint8_t *)key, strlen(key)},
                             .value = {(const uint8_t *)value, strlen(value)},
                             .flags = flags};
}

/* Three items; returns the file's bytes. */
static size_t write_file(uint8_t *bytes)
{
    const struct ctl_item items[] = {make_item("a", "", 0), make_item("key:2", "value\r\n", 7),
                                     make_item("b", "x", UINT32_MAX)};
    const int64_t ends[] = {-1, 1800000000, 0};
    FILE *stream = fmemopen(bytes, FILE_BYTES, "w");
    struct ctl_file file;
    long count;

    assert_true(ctl_file_begin(&file, stream));
    for (size_t i = 0; i < COUNT_OF(items); i++)
        assert_true(ctl_file_put(&file, &items[i], ends[i]));
    assert_true(ctl_file_finish(&file));
    count = ftell(stream);
    assert_int_equal(fclose(stream), 0);
    assert_true(count > 0);
    return (size_t)count;
}

/* Reads what is there; how it ended. @items: how many came before. Each must be one of the three.
 */
static enum ctl_file_status read_file(const uint8_t *bytes, size_t count, uint64_t *items)
{
    uint8_t *copy = malloc(count);
    FILE *stream;
    struct ctl_file file;
    enum ctl_file_status status;

    assert_non_null(copy);
    memcpy(copy, bytes, count);
    stream = fmemopen(copy, count, "r");
    assert_non_null(stream);
    status = ctl_file_open(&file, stream);
    while (status == CTL_FILE_OK) {
        struct ctl_item item;
        int64_t expires_at_s;

        status = ctl_file_next(&file, &item, &expires_at_s);
        if (status != CTL_FILE_OK)
            break;
        switch (file.count) {
        case 1:
            assert_true(item.value.bytes == 0 && item.flags == 0 && expires_at_s == -1);
            break;
        case 2:
            assert_true(item.key.bytes == 5 && memcmp(item.value.data, "value\r\n", 7) == 0);
            assert_true(item.flags == 7 && expires_at_s == 1800000000);
            break;
        default:
            assert_true(file.count == 3 && item.flags == UINT32_MAX && expires_at_s == 0);
        }
    }
    *items = file.count;
    ctl_file_fini(&file);
    (void)fclose(stream);
    free(copy);
    return status;
}

static void files_come_back(void **state)
{
    uint8_t bytes[FILE_BYTES];
    uint64_t items;

    (void)state;
    assert_int_equal(read_file(bytes, write_file(bytes), &items), CTL_FILE_END);
    assert_true(items == 3);
}

static void files_cut_off(void **state)
{
    uint8_t bytes[FILE_BYTES];
    size_t count = write_file(bytes);
    uint64_t items;

    (void)state;
    for (size_t i = 1; i < count; i++)
        assert_int_equal(read_file(bytes, i, &items), CTL_FILE_DAMAGED);
    bytes[count] = 0;
    assert_int_equal(read_file(bytes, count + 1, &items), CTL_FILE_DAMAGED);
}

static void files_with_a_bit_changed(void **state)
{
    uint8_t bytes[FILE_BYTES];
    size_t count = write_file(bytes);
    uint64_t items;

    (void)state;
    for (size_t i = 0; i < count * 8; i++) {
        bytes[i / 8] ^= (uint8_t)(1u << i % 8);
        assert_int_equal(read_file(bytes, count, &items), CTL_FILE_DAMAGED);
        bytes[i / 8] ^= (uint8_t)(1u << i % 8);
    }
}

/* Lengths that are lies size no memory: under the sanitizers' limit of 2 GiB, and quick. */
static void files_that_lie(void **state)
{
    uint8_t bytes[FILE_BYTES] = "zbitems1\1\1";
    uint64_t items;

    (void)state;
    memset(bytes + 10, 0xff, 12);
    assert_int_equal(read_file(bytes, FILE_BYTES, &items), CTL_FILE_DAMAGED);
    memcpy(bytes + 14, "\0\0\0\x40", 4); /* 1 GiB, the most there can be */
    assert_int_equal(read_file(bytes, FILE_BYTES, &items), CTL_FILE_DAMAGED);
    bytes[9] = 0;
    assert_int_equal(read_file(bytes, FILE_BYTES, &items), CTL_FILE_DAMAGED);
    bytes[9] = 251;
    assert_int_equal(read_file(bytes, FILE_BYTES, &items), CTL_FILE_DAMAGED);
    assert_true(items == 0);
}

/* ---- samples ---- */

static struct ctl_known make_known(const char *prefix, unsigned number, uint64_t bytes)
{
    struct ctl_known known = {.expires_at_s = -1, .bytes = bytes};
    int count = snprintf((char *)known.key, sizeof(known.key), "%s%u", prefix, number);

    known.key_bytes = (size_t)count;
    return known;
}

/* Two prefixes of 20,000 items: here "a:" takes a half, "b:" a fifth; sizes differ tenfold. A part
 * is sampled, and what it says of all of them is true within its own error. */
static void samples_estimate(void **state)
{
    struct ctl_sample *sample = ctl_sample_new(2000);
    double truth = 0, ratio;
    struct ctl_estimate total;

    (void)state;
    assert_non_null(sample);
    for (unsigned i = 0; i < 40000; i++) {
        struct ctl_known known = make_known(i % 2 ? "a:" : "b:", i, 100 + load_mix64(i) % 900);

        ctl_sample_add(sample, &known);
        truth += (double)known.bytes / (i % 2 ? 2 : 5) + (double)(load_mix64(~(uint64_t)i) % 20);
    }
    ctl_sample_close(sample);
    assert_int_equal(sample->count, 2000);
    assert_int_equal(sample->seen, 40000);
    for (unsigned i = 0; i < 40000; i++) {
        struct ctl_known known = make_known(i % 2 ? "a:" : "b:", i, 100 + load_mix64(i) % 900);

        known.bytes = known.bytes / (i % 2 ? 2 : 5) + load_mix64(~(uint64_t)i) % 20;
        ctl_sample_pair(sample, &known);
    }
    total = ctl_sample_total(sample, &ratio);
    assert_true(ratio > .34 && ratio < .39);
    assert_true(total.error > 0 && total.error < .02);
    assert_true(total.bytes > truth * (1 - 2 * total.error));
    assert_true(total.bytes < truth * (1 + 2 * total.error));
    ctl_sample_free(sample);
}

/* More prefixes than are kept apart, keys without one, and a sample of all items. */
static void samples_have_limits(void **state)
{
    struct ctl_sample *sample = ctl_sample_new(5000);
    uint64_t items = 0, without = 0, others = 0;
    unsigned names = 0;

    (void)state;
    assert_non_null(sample);
    for (unsigned i = 0; i < 3000; i++) {
        char prefix[64];
        struct ctl_known known;

        (void)snprintf(prefix, sizeof(prefix), i % 3 ? "prefix-%u:" : "none-%u-", i);
        known = make_known(prefix, i, 100);
        ctl_sample_add(sample, &known);
    }
    ctl_sample_close(sample);
    assert_int_equal(sample->count, 3000);
    for (unsigned i = 0; i < CTL_PREFIXES_MAX; i++) {
        const struct ctl_prefix *prefix = &sample->prefixes[i];

        names += prefix->name[0] != '\0';
        items += prefix->items;
        without += strcmp(prefix->name, CTL_SAMPLE_WITHOUT) == 0 ? prefix->items : 0;
        others += strcmp(prefix->name, CTL_SAMPLE_OTHERS) == 0 ? prefix->items : 0;
        assert_true(prefix->name[0] != '\0' || prefix->items == 0);
    }
    assert_true(items == 3000 && names < CTL_PREFIXES_MAX);
    assert_true(without == 1000 && others > 1000);
    ctl_sample_free(sample);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(addresses),           cmocka_unit_test(numbers_for_people),
        cmocka_unit_test(keys_of_dumps),       cmocka_unit_test(files_come_back),
        cmocka_unit_test(files_cut_off),       cmocka_unit_test(files_with_a_bit_changed),
        cmocka_unit_test(files_that_lie),      cmocka_unit_test(samples_estimate),
        cmocka_unit_test(samples_have_limits),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
