/*
 * corpus_test.c - both sources of items: what is drawn is the same for the same seed, keys keep to
 * the protocol, rounds differ by key, and damaged files are refused.
 */
/* cmocka.h stands on the four before it. */
/* clang-format off */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
/* clang-format on */

#include "tests/corpus/corpus.h"

#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <zstd.h>

#define DRAWS 20000

static struct corpus *open_corpus(const char *folder, const char *name, uint64_t seed)
{
    char error[CORPUS_ERROR_BYTES_MAX];
    struct corpus *corpus = corpus_new(folder, name, seed, error);

    if (corpus == NULL)
        fail_msg("%s", error);
    return corpus;
}

/* Made of the installed packages, which takes seconds: two of one seed, and another. */
struct made {
    struct corpus *one;
    struct corpus *two;
    struct corpus *other;
};

static int make(void **state)
{
    static struct made made;

    made.one = open_corpus(NULL, "mix", 7);
    made.two = open_corpus(NULL, "mix", 7);
    made.other = open_corpus(NULL, "mix", 8);
    *state = &made;
    return 0;
}

static int unmake(void **state)
{
    struct made *made = *state;

    corpus_free(made->one);
    corpus_free(made->two);
    corpus_free(made->other);
    return 0;
}

static void test_same_seed_same_items(void **state)
{
    struct made *made = *state;
    unsigned differ = 0;

    for (int i = 0; i < DRAWS; i++) {
        struct corpus_item item_one;
        struct corpus_item item_two;
        uint64_t id = corpus_draw(made->one);

        assert_true(id == corpus_draw(made->two));
        differ += id != corpus_draw(made->other);
        corpus_item(made->one, id, &item_one);
        corpus_item(made->two, id, &item_two);
        assert_int_equal(item_one.value_bytes, item_two.value_bytes);
        assert_memory_equal(item_one.value, item_two.value, item_one.value_bytes);
    }
    assert_in_range(differ, DRAWS / 2, DRAWS);
}

static void test_items_made_from_packages(void **state)
{
    struct made *made = *state;
    struct corpus_item item;

    for (int i = 0; i < DRAWS; i++) {
        corpus_item(made->one, corpus_draw(made->one), &item);
        assert_in_range(item.key_bytes, 1, CORPUS_KEY_BYTES_MAX);
        assert_in_range(item.value_bytes, 1, 1 << 20);
        for (size_t j = 0; j < item.key_bytes; j++)
            assert_in_range(item.key[j], '!', 0xff);
    }
}

static void test_mix_keeps_its_proportions(void **state)
{
    struct made *made = *state;
    unsigned sum = 0;
    unsigned tiny = 0;

    for (unsigned i = 0; i < CORPUS_CLASSES_COUNT; i++)
        sum += CORPUS_CLASSES[i].permille;
    assert_int_equal(sum, 1000);
    for (int i = 0; i < DRAWS; i++) {
        struct corpus_item item;

        corpus_item(made->other, corpus_draw(made->other), &item);
        tiny += item.value_bytes <= 20;
    }
    assert_in_range(tiny, DRAWS * 18 / 100, DRAWS * 22 / 100);
}

static bool write_file(const char *folder, const char *name, const void *plain, size_t bytes)
{
    char path[4096];
    uint8_t packed[4096];
    size_t packed_bytes = ZSTD_compress(packed, sizeof(packed), plain, bytes, 3);
    FILE *file;

    snprintf(path, sizeof(path), "%s/%s.kv.zst", folder, name);
    file = fopen(path, "wb");
    return file != NULL && fwrite(packed, 1, packed_bytes, file) == packed_bytes &&
           fclose(file) == 0;
}

static void remove_file(const char *folder, const char *name)
{
    char path[4096];

    snprintf(path, sizeof(path), "%s/%s.kv.zst", folder, name);
    assert_int_equal(unlink(path), 0);
}

/* Three records: a=one, bb=two, c= (empty). */
static const uint8_t PLAIN[] = "\1\0\3\0\0\0aone"
                               "\2\0\3\0\0\0bbtwo"
                               "\1\0\0\0\0\0c";
#define PLAIN_BYTES (sizeof(PLAIN) - 1)

static void test_rounds(void **state)
{
    char folder[] = P_tmpdir "/corpus_test.XXXXXX";
    char seen[3 * 100 * 3][CORPUS_KEY_BYTES_MAX + 1];
    struct corpus *corpus;
    unsigned count = 0;

    (void)state;
    assert_non_null(mkdtemp(folder));
    assert_true(write_file(folder, "tiny", PLAIN, PLAIN_BYTES));
    corpus = open_corpus(folder, "tiny", 5);
    /* Past 94 rounds a byte more tells them apart. */
    for (; count < sizeof(seen) / sizeof(seen[0]); count++) {
        struct corpus_item item;

        corpus_item(corpus, corpus_draw(corpus), &item);
        if (item.value_bytes == 0)
            assert_int_equal(item.key_bytes, 1 + (count / 3 >= 94));
        else
            assert_memory_equal(item.value, item.value[0] == 'o' ? "one" : "two", 3);
        snprintf(seen[count], sizeof(seen[0]), "%.*s", (int)item.key_bytes, item.key);
    }
    /* "a" and "c" become the same key from the second round on; "bb" is itself in every round. */
    for (unsigned i = 0; i < count; i++) {
        for (unsigned j = i + 1; j < count; j++)
            assert_true(i / 3 == j / 3 || i / 3 == 0 || strcmp(seen[i], seen[j]) != 0);
    }
    corpus_free(corpus);
    remove_file(folder, "tiny");
    assert_int_equal(rmdir(folder), 0);
}

static void expect_refused(const char *folder, const void *plain, size_t bytes)
{
    char error[CORPUS_ERROR_BYTES_MAX] = "";

    assert_true(write_file(folder, "tiny", plain, bytes));
    assert_null(corpus_new(folder, "tiny", 1, error));
    assert_int_not_equal(error[0], '\0');
}

static void test_damaged_files(void **state)
{
    char folder[] = P_tmpdir "/corpus_test.XXXXXX";
    char error[CORPUS_ERROR_BYTES_MAX] = "";

    (void)state;
    assert_non_null(mkdtemp(folder));
    assert_null(corpus_new(folder, "tiny", 1, error));
    assert_non_null(strstr(error, "tiny.kv.zst"));
    assert_null(corpus_new(folder, "nonsense", 1, error));
    assert_non_null(strstr(error, "nonsense"));
    for (size_t bytes = 0; bytes < PLAIN_BYTES; bytes++) {
        if (bytes != 10 && bytes != 21) /* where records end */
            expect_refused(folder, PLAIN, bytes);
    }
    expect_refused(folder, "\0\0\1\0\0\0v", 7);          /* no key */
    expect_refused(folder, "\1\0\1\0\0\0 v", 8);         /* a blank in it */
    expect_refused(folder, "\1\0\xff\xff\xff\xffkv", 8); /* a value of 4 GiB */
    remove_file(folder, "tiny");
    assert_int_equal(rmdir(folder), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_same_seed_same_items),
        cmocka_unit_test(test_items_made_from_packages),
        cmocka_unit_test(test_mix_keeps_its_proportions),
        cmocka_unit_test(test_rounds),
        cmocka_unit_test(test_damaged_files),
    };

    return cmocka_run_group_tests(tests, make, unmake);
}
