/* The index: slots come and go, it grows and shrinks by pages, and finds each slot all the while.
 * */
#include "server/cache/hash.h"
#include "server/cache/index.h"
#include "tests/cache/check_cache.h"

#define MIB        (1u << 20)
#define ITEMS_MANY 1000000u

static uint64_t hash_of(uint64_t number)
{
    return hash_key(&number, sizeof(number), 1);
}

static struct index_place place_of(uint64_t number)
{
    struct index_place place = {{(uint32_t)(number >> 5) + 2}, (unsigned)number & 31};
    return place;
}

static void count(void *context, const uint64_t *slot)
{
    (void)slot;
    ++*(size_t *)context;
}

static void expect_items(const struct index *index, size_t items)
{
    size_t counted = 0;
    index_check(index, count, &counted);
    assert_int_equal(counted, items);
    assert_int_equal(index_items(index), items);
}

static void test_slot_bits(void **state)
{
    (void)state;
    struct zbud_arena *arena = zbud_arena_new(MIB, MIB);
    struct index *index = index_new(arena, MIB);
    static const struct index_place PLACES[] = {
        {{1}, 0}, {{(1u << ZBUD_HANDLE_BITS) - 1}, ZBUD_RECORDS_MAX - 1}, {{12345}, 77}};
    for (unsigned i = 0; i < 3; i++) {
        uint64_t *slot = index_insert(index, hash_of(i), PLACES[i]);
        assert_non_null(slot);
        assert_int_equal(index_slot_frequency(slot), 0);
        for (unsigned frequency = 0; frequency <= INDEX_FREQUENCY_MAX; frequency++) {
            index_slot_set_frequency(slot, frequency);
            assert_int_equal(index_slot_frequency(slot), frequency);
            assert_int_equal(index_slot_place(slot).log.bits, PLACES[i].log.bits);
            assert_int_equal(index_slot_place(slot).number, PLACES[i].number);
        }
        index_slot_set_place(slot, place_of(9));
        assert_int_equal(index_slot_frequency(slot), INDEX_FREQUENCY_MAX);
        assert_ptr_equal(index_find(index, hash_of(i), place_of(9)), slot);
        index_remove(index, hash_of(i), slot);
        assert_null(index_find(index, hash_of(i), place_of(9)));
    }
    expect_items(index, 0);
    index_free(index);
    zbud_arena_free(arena);
}

/* One insert of many that goes through every size, splits included; the bytes an item takes are
 * those that README states. */
static void test_grow_and_shrink(void **state)
{
    (void)state;
    struct zbud_arena *arena = zbud_arena_new(64 * MIB, 64 * MIB);
    struct index *index = index_new(arena, 32 * MIB);
    for (uint64_t i = 0; i < ITEMS_MANY; i++) {
        assert_non_null(index_insert(index, hash_of(i), place_of(i)));
        if (i >= ITEMS_MANY / 4 && i % 10007 == 0) {
            double bytes = (double)(index_pages(index) * ZBUD_PAGE_BYTES) / (double)(i + 1);
            assert_true(bytes < 10.5);
        }
    }
    expect_items(index, ITEMS_MANY);
    assert_int_equal(index_lost(index), 0);
    unsigned others = 0;
    for (uint64_t i = 0; i < ITEMS_MANY; i++) {
        uint64_t *slots[INDEX_CANDIDATES_MAX];
        unsigned candidates = index_candidates(index, hash_of(i), slots);
        assert_true(candidates >= 1);
        others += candidates - 1;
        assert_non_null(index_find(index, hash_of(i), place_of(i)));
    }
    assert_true(others < ITEMS_MANY / 100);
    size_t pages_full = index_pages(index);
    for (uint64_t i = 0; i < ITEMS_MANY; i++) {
        if (i % 10 != 0)
            index_remove(index, hash_of(i), index_find(index, hash_of(i), place_of(i)));
    }
    for (unsigned rounds = 0; rounds < 4; rounds++) {
        while (!index_shrink(index)) {
        }
    }
    expect_items(index, ITEMS_MANY / 10);
    assert_true(index_pages(index) < pages_full / 5);
    assert_true(index_pages(index) * ZBUD_PAGE_BYTES < ITEMS_MANY / 10 * 12);
    for (uint64_t i = 0; i < ITEMS_MANY; i += 10)
        assert_non_null(index_find(index, hash_of(i), place_of(i)));
    for (uint64_t i = 0; i < ITEMS_MANY; i += 10)
        index_remove(index, hash_of(i), index_find(index, hash_of(i), place_of(i)));
    while (!index_shrink(index)) {
    }
    assert_int_equal(index_pages(index), 0);
    index_free(index);
    zbud_arena_free(arena);
}

static void test_no_page(void **state)
{
    (void)state;
    struct zbud_arena *arena = zbud_arena_new(4 * MIB, 4 * MIB);
    struct index *index = index_new(arena, 4 * MIB);
    uint64_t stored = 0;
    while (index_insert(index, hash_of(stored), place_of(stored)) != NULL)
        stored++;
    assert_true(stored > 400000);
    expect_items(index, stored);
    for (uint64_t i = 0; i < stored; i++)
        assert_non_null(index_find(index, hash_of(i), place_of(i)));
    index_free(index);
    zbud_arena_free(arena);
}

/* As many as expected are taken without a page more, each way the sizes of segments can come. */
static void test_expected(void **state)
{
    (void)state;
    static const size_t COUNTS[] = {4000, 6500, 7500, 13500, 100000};
    for (unsigned i = 0; i < sizeof(COUNTS) / sizeof(COUNTS[0]); i++) {
        struct zbud_arena *arena = zbud_arena_new(16 * MIB, 16 * MIB);
        struct index *index = index_new(arena, 32 * MIB);
        index_expect(index, COUNTS[i]);
        expect_items(index, 0);
        size_t pages = index_pages(index);
        assert_true(pages * ZBUD_PAGE_BYTES <= COUNTS[i] * INDEX_ITEM_BYTES_MAX + ZBUD_PAGE_BYTES);
        for (uint64_t n = 0; n < COUNTS[i]; n++)
            assert_non_null(index_insert(index, hash_of(n), place_of(n)));
        assert_int_equal(index_pages(index), pages);
        expect_items(index, COUNTS[i]);
        for (uint64_t n = 0; n < COUNTS[i]; n++)
            assert_non_null(index_find(index, hash_of(n), place_of(n)));
        index_free(index);
        zbud_arena_free(arena);
    }
}

/* With fewer pages than that it goes on as any other. */
static void test_expected_no_page(void **state)
{
    (void)state;
    struct zbud_arena *arena = zbud_arena_new(MIB, MIB);
    struct index *index = index_new(arena, 32 * MIB);
    uint64_t stored = 0;
    index_expect(index, ITEMS_MANY);
    expect_items(index, 0);
    while (index_insert(index, hash_of(stored), place_of(stored)) != NULL)
        stored++;
    assert_true(stored > 0);
    expect_items(index, stored);
    for (uint64_t i = 0; i < stored; i++)
        assert_non_null(index_find(index, hash_of(i), place_of(i)));
    index_free(index);
    zbud_arena_free(arena);
}

/* What was expected and did not come is given back. */
static void test_expected_too_many(void **state)
{
    (void)state;
    struct zbud_arena *arena = zbud_arena_new(16 * MIB, 16 * MIB);
    struct index *index = index_new(arena, 32 * MIB);
    index_expect(index, ITEMS_MANY);
    for (uint64_t i = 0; i < 1000; i++)
        assert_non_null(index_insert(index, hash_of(i), place_of(i)));
    while (index_pages(index) > 4) {
        size_t before = index_pages(index);
        while (!index_shrink(index)) {
        }
        assert_true(index_pages(index) < before);
    }
    expect_items(index, 1000);
    for (uint64_t i = 0; i < 1000; i++)
        assert_non_null(index_find(index, hash_of(i), place_of(i)));
    index_free(index);
    zbud_arena_free(arena);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_slot_bits),        cmocka_unit_test(test_grow_and_shrink),
        cmocka_unit_test(test_no_page),          cmocka_unit_test(test_expected),
        cmocka_unit_test(test_expected_no_page), cmocka_unit_test(test_expected_too_many),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
