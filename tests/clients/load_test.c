/*
 * load_test.c - the load generator's parts: histogram, Zipf, reply parser, items.
 */
/* cmocka.h stands on the four before it. */
/* clang-format off */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
/* clang-format on */

#include "clients/load_histogram.h"
#include "clients/load_items.h"
#include "clients/load_random.h"
#include "clients/load_reply.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <zstd.h>

#define SEED          20u
#define VALUES_COUNT  20000u
#define COUNT_OF(all) (sizeof(all) / sizeof((all)[0]))

/* ---- histogram ---- */

static int compare(const void *a, const void *b)
{
    const uint64_t *one = a;
    const uint64_t *other = b;

    return (*one > *other) - (*one < *other);
}

/* Never below the true quantile, and above it by less than 1 part in 128. */
static void quantiles_keep_their_bound(void **state)
{
    const uint32_t ppms[] = {1, 10000, 500000, 900000, 990000, 999000, 999900, 1000000};
    static uint64_t values[VALUES_COUNT];
    struct load_random random = {SEED};

    (void)state;
    for (unsigned most_bits = 1; most_bits <= 64; most_bits++) {
        struct load_histogram *histogram = calloc(1, sizeof(*histogram));

        assert_non_null(histogram);
        for (unsigned i = 0; i < VALUES_COUNT; i++) {
            values[i] = load_random_next(&random) >> (64 - most_bits);
            values[i] >>= load_random_below(&random, most_bits);
            load_histogram_add(histogram, values[i]);
        }
        qsort(values, VALUES_COUNT, sizeof(values[0]), compare);
        for (size_t i = 0; i < COUNT_OF(ppms); i++) {
            uint64_t rank = ((uint64_t)VALUES_COUNT * ppms[i] + 999999) / 1000000;
            uint64_t truth = values[rank - 1];
            uint64_t said = load_histogram_quantile(histogram, ppms[i]);

            assert_true(said >= truth);
            assert_true(said - truth <= truth / 128);
        }
        assert_int_equal(histogram->min, values[0]);
        assert_int_equal(histogram->max, values[VALUES_COUNT - 1]);
        assert_int_equal(load_histogram_quantile(histogram, 1000000), values[VALUES_COUNT - 1]);
        free(histogram);
    }
}

static void what_is_above_is_counted(void **state)
{
    struct load_histogram *histogram = calloc(1, sizeof(*histogram));

    (void)state;
    assert_non_null(histogram);
    for (uint64_t value = 1; value <= VALUES_COUNT; value++)
        load_histogram_add(histogram, value);
    for (uint64_t value = 0; value <= VALUES_COUNT; value++) {
        uint64_t truth = VALUES_COUNT - value;
        uint64_t said = load_histogram_above(histogram, value);

        assert_true(said <= truth);
        assert_true(truth - said <= value / 128);
    }
    assert_int_equal(load_histogram_above(histogram, UINT64_MAX), 0);
    free(histogram);
}

static void edges_of_buckets(void **state)
{
    (void)state;
    for (unsigned bit = 0; bit < 64; bit++) {
        for (int step = -1; step <= 1; step++) {
            struct load_histogram *histogram = calloc(1, sizeof(*histogram));
            uint64_t value = (UINT64_C(1) << bit) + (uint64_t)step;

            assert_non_null(histogram);
            load_histogram_add(histogram, value);
            load_histogram_add(histogram, UINT64_MAX);
            assert_true(load_histogram_quantile(histogram, 500000) >= value);
            assert_true(load_histogram_quantile(histogram, 500000) - value <= value / 128);
            assert_true(load_histogram_quantile(histogram, 1000000) == UINT64_MAX);
            free(histogram);
        }
    }
}

static void merged_is_the_same_as_one(void **state)
{
    struct load_histogram *parts = calloc(3, sizeof(*parts));
    struct load_random random = {SEED};

    (void)state;
    assert_non_null(parts);
    assert_int_equal(load_histogram_quantile(&parts[0], 500000), 0);
    for (unsigned i = 0; i < VALUES_COUNT; i++) {
        uint64_t value = 1 + load_random_below(&random, 1000000);

        load_histogram_add(&parts[i % 2], value);
        load_histogram_add(&parts[2], value);
    }
    load_histogram_merge(&parts[0], &parts[1]);
    assert_memory_equal(&parts[0], &parts[2], sizeof(parts[0]));
    memset(&parts[1], 0, sizeof(parts[1]));
    load_histogram_merge(&parts[1], &parts[2]);
    assert_memory_equal(&parts[1], &parts[2], sizeof(parts[1]));
    load_histogram_merge(&parts[1], &(struct load_histogram){0});
    assert_memory_equal(&parts[1], &parts[2], sizeof(parts[1]));
    free(parts);
}

/* ---- random ---- */

/* Each of the first ranks, and all behind them together, within six standard deviations of what
 * the law says: with this seed it holds or not, and not now and then. */
static void zipf_follows_its_law(void **state)
{
    const double skews[] = {.2, .8, .99, 1, 1.0000001, 1.2, 2, 5};
    const uint64_t ranks[] = {1, 2, 10, 1000, 100000};
    enum {
        LOOKED_AT = 20,
        DRAWS = 200000
    };

    (void)state;
    for (size_t s = 0; s < COUNT_OF(skews) * COUNT_OF(ranks); s++) {
        double skew = skews[s / COUNT_OF(ranks)];
        uint64_t count = ranks[s % COUNT_OF(ranks)];
        uint64_t seen[LOOKED_AT + 1] = {0};
        struct load_random random = {SEED};
        struct load_zipf zipf;
        double sum = 0, rest = 1;

        for (uint64_t rank = 1; rank <= count; rank++)
            sum += pow((double)rank, -skew);
        load_zipf_init(&zipf, count, skew);
        for (unsigned i = 0; i < DRAWS; i++) {
            uint64_t rank = load_zipf_draw(&zipf, &random);

            assert_in_range(rank, 1, count);
            seen[rank <= LOOKED_AT ? rank - 1 : LOOKED_AT]++;
        }
        for (uint64_t i = 0; i <= LOOKED_AT; i++) {
            double share = i < count ? pow((double)i + 1, -skew) / sum : 0;

            share = i == LOOKED_AT ? (count > LOOKED_AT ? rest : 0) : share;
            rest -= share;
            assert_true(fabs((double)seen[i] - share * DRAWS) <=
                        6 * sqrt(share * (1 - share) * DRAWS) + 1e-6 * DRAWS);
        }
    }
}

static void below_is_even(void **state)
{
    struct load_random random = {SEED};
    unsigned seen[10] = {0};

    (void)state;
    for (unsigned i = 0; i < 100000; i++)
        seen[load_random_below(&random, 10)]++;
    for (unsigned i = 0; i < 10; i++)
        assert_in_range(seen[i], 9400, 10600); /* six standard deviations */
}

static void gaps_have_their_mean(void **state)
{
    struct load_random random = {SEED};
    double sum = 0, squares = 0;
    enum {
        GAPS = 100000
    };

    (void)state;
    for (unsigned i = 0; i < GAPS; i++) {
        double gap = load_random_gap(&random, 50);

        assert_true(gap >= 0);
        sum += gap;
        squares += gap * gap;
    }
    assert_true(fabs(sum / GAPS - 50) < 1);
    /* Of an exponential distribution the variance is the mean's square. */
    assert_true(fabs(squares / GAPS - 5000) < 200);
}

/* ---- replies ---- */

static const char STREAM[] =
    "STORED\r\nVALUE a 0 5\r\nhello\r\nVALUE bb 4294967295 0\r\n\r\nEND\r\nNOT_STORED\r\n"
    "DELETED\r\nNOT_FOUND\r\nERROR\r\nCLIENT_ERROR bad\r\nSERVER_ERROR out of memory\r\n"
    "VALUE c 7 4\r\n\r\nE\n\r\nEND\r\n";

static const struct {
    enum load_reply_kind kind;
    const char *key, *value;
    uint32_t flags;
} EXPECTED[] = {
    {LOAD_REPLY_STORED, NULL, NULL, 0},       {LOAD_REPLY_VALUE, "a", "hello", 0},
    {LOAD_REPLY_VALUE, "bb", "", UINT32_MAX}, {LOAD_REPLY_END, NULL, NULL, 0},
    {LOAD_REPLY_NOT_STORED, NULL, NULL, 0},   {LOAD_REPLY_DELETED, NULL, NULL, 0},
    {LOAD_REPLY_NOT_FOUND, NULL, NULL, 0},    {LOAD_REPLY_REFUSED, NULL, NULL, 0},
    {LOAD_REPLY_REFUSED, NULL, NULL, 0},      {LOAD_REPLY_REFUSED, NULL, NULL, 0},
    {LOAD_REPLY_VALUE, "c", "\r\nE\n", 7},    {LOAD_REPLY_END, NULL, NULL, 0},
};

static void check_reply(const struct load_reply *reply, size_t at)
{
    assert_in_range(at, 0, COUNT_OF(EXPECTED) - 1);
    assert_int_equal(reply->kind, EXPECTED[at].kind);
    if (reply->kind != LOAD_REPLY_VALUE)
        return;
    assert_int_equal(reply->key.bytes, strlen(EXPECTED[at].key));
    assert_memory_equal(reply->key.data, EXPECTED[at].key, reply->key.bytes);
    assert_int_equal(reply->value.bytes, strlen(EXPECTED[at].value));
    assert_memory_equal(reply->value.data, EXPECTED[at].value, reply->value.bytes);
    assert_int_equal(reply->flags, EXPECTED[at].flags);
}

/* Every two cuts of the stream: what is parsed of the pieces, in memory that ends where they do, is
 * what is parsed of the whole. */
static void replies_from_pieces(void **state)
{
    const size_t bytes = strlen(STREAM);

    (void)state;
    for (size_t first = 0; first <= bytes; first++) {
        for (size_t second = first; second <= bytes; second++) {
            const size_t cuts[] = {first, second, bytes};
            size_t at = 0, replies = 0;

            for (size_t i = 0; i < COUNT_OF(cuts); i++) {
                uint8_t *held = malloc(cuts[i] - at + 1);
                size_t used = 0, from = 0;
                struct load_reply reply;

                assert_non_null(held);
                memcpy(held, STREAM + at, cuts[i] - at);
                /* Memory that a look beyond the piece would leave: asan sees it. */
                held = realloc(held, cuts[i] > at ? cuts[i] - at : 1);
                assert_non_null(held);
                while (load_reply_parse(held + from, cuts[i] - at - from, 1000, &reply, &used) ==
                       LOAD_REPLY_OK) {
                    check_reply(&reply, replies++);
                    from += used;
                }
                /* It asks for more than there is, and for no more than it takes. */
                assert_true(used > cuts[i] - at - from);
                at += from;
                assert_true(i + 1 == COUNT_OF(cuts) || at + used <= bytes || at == bytes);
                free(held);
            }
            assert_int_equal(replies, COUNT_OF(EXPECTED));
            assert_int_equal(at, bytes);
        }
    }
}

static void what_is_no_reply(void **state)
{
    static const char *const lines[] = {
        "\n",
        "\r\n",
        "STORED\n",
        "STOREDX\r\n",
        "STORED x\r\n",
        "stored\r\n",
        "ERRORS\r\n",
        "END \r\n",
        "VALUE\r\n",
        "VALUE \r\n",
        "VALUE a\r\n",
        "VALUE a 0\r\n",
        "VALUE a 0 \r\n",
        "VALUE  0 1\r\nx\r\n",
        "VALUE a x 1\r\nx\r\n",
        "VALUE a 0 -1\r\nx\r\n",
        "VALUE a 0 1x\r\nx\r\n",
        "VALUE a 4294967296 1\r\nx\r\n",
        "VALUE a 0 1001\r\nx\r\n",
        "VALUE a 0 18446744073709551617\r\nx\r\n",
        "VALUE a 0 1\r\nxyz",
        "VALUE a 0 1\r\nx\n\r",
        "OK\r\n",
    };
    char line[LOAD_REPLY_LINE_BYTES_MAX];
    struct load_reply reply;
    size_t used;

    (void)state;
    for (size_t i = 0; i < COUNT_OF(lines); i++)
        assert_int_equal(
            load_reply_parse((const uint8_t *)lines[i], strlen(lines[i]), 1000, &reply, &used),
            LOAD_REPLY_BAD);
    memset(line, 'x', sizeof(line));
    assert_int_equal(load_reply_parse((uint8_t *)line, sizeof(line) - 1, 1000, &reply, &used),
                     LOAD_REPLY_MORE);
    assert_int_equal(load_reply_parse((uint8_t *)line, sizeof(line), 1000, &reply, &used),
                     LOAD_REPLY_BAD);
}

/* ---- items ---- */

static void check_made(const struct load_items_plan *plan)
{
    char error[LOAD_ERROR_BYTES];
    struct load_items *items = load_items_new(plan, error);
    size_t least = SIZE_MAX, most = 0;

    assert_non_null(items);
    for (uint64_t number = 0; number < 5000; number++) {
        uint8_t key[LOAD_KEY_BYTES_MAX], bytes[4096];
        struct load_value value;
        char expected[64];
        size_t total, at;

        (void)snprintf(expected, sizeof(expected), "k%011u", (unsigned)number);
        assert_int_equal(load_items_key(items, number, key), 12);
        assert_memory_equal(key, expected, 12);
        load_items_value(items, number, &value);
        total = value.head_bytes + value.body_bytes;
        least = total < least ? total : least;
        most = total > most ? total : most;
        memcpy(bytes, value.head, value.head_bytes);
        memcpy(bytes + value.head_bytes, value.body, value.body_bytes);
        assert_true(load_value_equals(&value, bytes, total, &at));
        if (total == 0)
            continue;
        assert_false(load_value_equals(&value, bytes, total - 1, &at));
        assert_false(load_value_equals(&value, bytes, total + 1, &at));
        bytes[number % total] ^= 1;
        assert_false(load_value_equals(&value, bytes, total, &at));
        assert_int_equal(at, number % total);
        bytes[number % total] ^= 1;
        /* The next item's is another. */
        load_items_value(items, number + 1, &value);
        if (total > 4)
            assert_false(load_value_equals(&value, bytes, total, &at));
    }
    assert_int_equal(least, plan->value_bytes_min);
    assert_int_equal(most, plan->value_bytes_max);
    load_items_free(items);
}

static void made_values_follow_from_keys(void **state)
{
    struct load_items_plan plan = {.prefix = "k", .key_bytes_min = 12, .seed = SEED};

    (void)state;
    plan.value_bytes_max = 40;
    check_made(&plan);
    plan.random_values = true;
    plan.value_bytes_min = plan.value_bytes_max = 3000;
    check_made(&plan);
}

static void put_record(FILE *file, const char *key, const char *value)
{
    uint32_t key_bytes = (uint32_t)strlen(key);
    uint32_t value_bytes = (uint32_t)strlen(value);
    const uint8_t head[] = {(uint8_t)key_bytes,           (uint8_t)(key_bytes >> 8),
                            (uint8_t)value_bytes,         (uint8_t)(value_bytes >> 8),
                            (uint8_t)(value_bytes >> 16), (uint8_t)(value_bytes >> 24)};

    assert_int_equal(fwrite(head, sizeof(head), 1, file), 1);
    assert_int_equal(fwrite(key, 1, key_bytes, file), key_bytes);
    assert_int_equal(fwrite(value, 1, value_bytes, file), value_bytes);
}

static void corpus_path(char path[64])
{
    int descriptor;

    (void)snprintf(path, 64, P_tmpdir "/load_test.XXXXXX.kv");
    descriptor = mkstemps(path, 3);
    assert_true(descriptor >= 0);
    (void)close(descriptor);
}

static void corpus_is_read(void **state)
{
    struct load_items_plan plan = {.prefix = "p:", .seed = SEED, .corpora_count = 1};
    char error[LOAD_ERROR_BYTES], path[64], long_key[250];
    struct load_items *items;
    unsigned rounds_seen[2] = {0};
    FILE *file;

    (void)state;
    corpus_path(path);
    file = fopen(path, "wb");
    assert_non_null(file);
    put_record(file, "one", "value one");
    put_record(file, "two", "");
    put_record(file, "has blank", "x");
    put_record(file, "", "x");
    put_record(file, "two", "repeated");
    put_record(file, "one~2", "would be the second round's");
    memset(long_key, 'k', sizeof(long_key) - 1);
    long_key[sizeof(long_key) - 1] = '\0';
    put_record(file, long_key, "x");
    (void)fclose(file);
    plan.corpora[0] = path;
    items = load_items_new(&plan, error);
    assert_non_null(items);
    assert_int_equal(load_items_records_count(items), 2);
    assert_int_equal(load_items_left_out_count(items), 5);
    assert_int_equal(load_items_value_bytes_max(items), 9);
    for (uint64_t number = 0; number < 4; number++) {
        uint8_t key[LOAD_KEY_BYTES_MAX];
        size_t bytes = load_items_key(items, number, key);
        struct load_value value;
        size_t at;

        load_items_value(items, number, &value);
        assert_memory_equal(key, "p:", 2);
        if (memcmp(key + 2, "one", 3) == 0)
            assert_true(load_value_equals(&value, (const uint8_t *)"value one", 9, &at));
        else
            assert_true(memcmp(key + 2, "two", 3) == 0 && value.body_bytes == 0);
        assert_int_equal(bytes, number < 2 ? 5 : 7);
        assert_true(number < 2 || memcmp(key + 5, "~2", 2) == 0);
        rounds_seen[number / 2] += key[2];
    }
    assert_int_equal(rounds_seen[0], 'o' + 't');
    assert_int_equal(rounds_seen[1], 'o' + 't');
    load_items_free(items);
    assert_int_equal(unlink(path), 0);
}

/* More than one round of the decoder's, in both directions. */
static void packed_is_as_plain(void **state)
{
    const size_t packed_bytes_max = (size_t)8 << 20;
    struct load_items_plan plan = {.prefix = "", .seed = SEED, .corpora_count = 1};
    char error[LOAD_ERROR_BYTES], path[64], packed_path[160];
    struct load_random random = {SEED};
    struct load_items *items[2];
    uint8_t *bytes = malloc(packed_bytes_max);
    uint8_t *packed = malloc(packed_bytes_max);
    size_t count;
    FILE *file;

    (void)state;
    assert_true(bytes != NULL && packed != NULL);
    corpus_path(path);
    file = fopen(path, "w+b");
    assert_non_null(file);
    for (unsigned i = 0; i < 1000; i++) {
        char key[16], value[3001] = "";

        (void)snprintf(key, sizeof(key), "%u", i);
        for (size_t j = 0; j < sizeof(value) - 1; j++)
            value[j] = (char)(1 + load_random_below(&random, i % 2 == 0 ? 255 : 4));
        put_record(file, key, value);
    }
    rewind(file);
    count = fread(bytes, 1, packed_bytes_max, file);
    (void)fclose(file);
    count = ZSTD_compress(packed, packed_bytes_max, bytes, count, 1);
    assert_false(ZSTD_isError(count));
    (void)snprintf(packed_path, sizeof(packed_path), "%s.zst", path);
    file = fopen(packed_path, "wb");
    assert_non_null(file);
    assert_int_equal(fwrite(packed, 1, count, file), count);
    (void)fclose(file);
    for (unsigned i = 0; i < 2; i++) {
        plan.corpora[0] = i == 0 ? path : packed_path;
        items[i] = load_items_new(&plan, error);
        assert_non_null(items[i]);
        assert_int_equal(load_items_records_count(items[i]), 1000);
    }
    for (uint64_t number = 0; number < 1000; number++) {
        struct load_value one, other;
        size_t at;

        load_items_value(items[0], number, &one);
        load_items_value(items[1], number, &other);
        assert_true(load_value_equals(&one, other.body, other.body_bytes, &at));
    }
    assert_int_equal(truncate(packed_path, (off_t)count - 1), 0);
    assert_null(load_items_new(&plan, error));
    for (unsigned i = 0; i < 2; i++)
        load_items_free(items[i]);
    assert_int_equal(unlink(path) + unlink(packed_path), 0);
    free(bytes);
    free(packed);
}

static void damaged_corpora(void **state)
{
    struct load_items_plan plan = {.prefix = "", .seed = SEED, .corpora_count = 1};
    char error[LOAD_ERROR_BYTES], path[64], weighed[160];
    FILE *file;

    (void)state;
    corpus_path(path);
    plan.corpora[0] = path;
    assert_null(load_items_new(&plan, error)); /* empty */
    file = fopen(path, "wb");
    assert_non_null(file);
    put_record(file, "key", "value");
    (void)fclose(file);
    for (long cut = 1; cut < 14; cut++) {
        assert_int_equal(truncate(path, 14 - cut), 0);
        assert_null(load_items_new(&plan, error));
        assert_non_null(strstr(error, path));
    }
    (void)snprintf(weighed, sizeof(weighed), "%s=0", path);
    plan.corpora[0] = weighed;
    assert_null(load_items_new(&plan, error));
    assert_int_equal(unlink(path), 0);
    plan.corpora[0] = path;
    assert_null(load_items_new(&plan, error));
}

static void weights_are_kept(void **state)
{
    struct load_items_plan plan = {.prefix = "", .seed = SEED, .corpora_count = 2};
    char error[LOAD_ERROR_BYTES], paths[2][64], weighed[2][160];
    struct load_items *items;
    unsigned seen[2] = {0};

    (void)state;
    for (unsigned i = 0; i < 2; i++) {
        FILE *file;

        corpus_path(paths[i]);
        file = fopen(paths[i], "wb");
        assert_non_null(file);
        for (unsigned record = 0; record < 100; record++) {
            char key[16];

            (void)snprintf(key, sizeof(key), "%u:%u", i, record);
            put_record(file, key, "v");
        }
        (void)fclose(file);
        (void)snprintf(weighed[i], sizeof(weighed[i]), "%s=%u", paths[i], i == 0 ? 1 : 4);
        plan.corpora[i] = weighed[i];
    }
    items = load_items_new(&plan, error);
    assert_non_null(items);
    assert_int_equal(load_items_records_count(items), 125);
    for (uint64_t number = 0; number < 125; number++) {
        uint8_t key[LOAD_KEY_BYTES_MAX];

        (void)load_items_key(items, number, key);
        seen[key[0] - '0']++;
    }
    assert_int_equal(seen[0], 25);
    assert_int_equal(seen[1], 100);
    load_items_free(items);
    for (unsigned i = 0; i < 2; i++)
        assert_int_equal(unlink(paths[i]), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(quantiles_keep_their_bound),
        cmocka_unit_test(edges_of_buckets),
        cmocka_unit_test(what_is_above_is_counted),
        cmocka_unit_test(merged_is_the_same_as_one),
        cmocka_unit_test(zipf_follows_its_law),
        cmocka_unit_test(below_is_even),
        cmocka_unit_test(gaps_have_their_mean),
        cmocka_unit_test(replies_from_pieces),
        cmocka_unit_test(what_is_no_reply),
        cmocka_unit_test(made_values_follow_from_keys),
        cmocka_unit_test(corpus_is_read),
        cmocka_unit_test(packed_is_as_plain),
        cmocka_unit_test(damaged_corpora),
        cmocka_unit_test(weights_are_kept),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
