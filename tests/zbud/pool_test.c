/* pool_test.c - room, order of use, reclaim and walk of a pool of plain buddies. */
#include "tests/zbud/check_zbud.h"
#include "tests/zbud/rig.h"
#include "zbud/log.h"
#include "zbud/pool.h"

static struct zbud_handle alloc(struct rig *rig, size_t bytes)
{
    struct zbud_handle handle = {0};
    assert_int_equal(zbud_alloc(rig->pool, bytes, &handle), ZBUD_OK);
    assert_true(handle.bits != 0 && handle.bits >> ZBUD_HANDLE_BITS == 0);
    fill(zbud_map(rig->pool, handle), bytes, handle.bits);
    zbud_unmap(rig->pool, handle);
    zbud_pool_check(rig->pool);
    return handle;
}

static void verify(struct rig *rig, struct zbud_handle handle, size_t bytes)
{
    expect_filled(zbud_map(rig->pool, handle), bytes, handle.bits);
    zbud_unmap(rig->pool, handle);
}

static void evict_by_freeing(void *owner, struct zbud_handle handle)
{
    struct rig *rig = owner;
    rig_remember(rig, handle);
    zbud_free(rig->pool, handle);
}

/* ---- alloc, free, map ----------------------------------------------------------------------- */

static void sizes_at_the_borders(void **state)
{
    struct rig *rig = *state;
    struct zbud_handle handle = {4711};
    const size_t sizes[] = {1,
                            CHUNK - 1,
                            CHUNK,
                            CHUNK + 1,
                            2 * CHUNK,
                            62 * CHUNK,
                            62 * CHUNK + 1,
                            ZBUD_BUDDY_BYTES_MAX - 1,
                            ZBUD_BUDDY_BYTES_MAX};

    assert_int_equal(ZBUD_BUDDY_BYTES_MAX, 4032);
    assert_int_equal(zbud_alloc(rig->pool, 0, &handle), ZBUD_BAD_SIZE);
    assert_int_equal(zbud_alloc(rig->pool, ZBUD_BUDDY_BYTES_MAX + 1, &handle), ZBUD_TOO_LARGE);
    assert_int_equal(zbud_alloc(rig->pool, SIZE_MAX, &handle), ZBUD_TOO_LARGE);
    assert_int_equal(handle.bits, 4711); /* left as it was */
    assert_int_equal(zbud_pool_pages(rig->pool), 0);
    for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
        handle = alloc(rig, sizes[i]);
        assert_int_equal(rig_figures(rig).chunks_used, (sizes[i] + CHUNK - 1) / CHUNK);
        assert_int_equal(rig_figures(rig).slack_bytes,
                         ZBUD_BUDDY_BYTES_MAX - rig_figures(rig).chunks_used * CHUNK);
        verify(rig, handle, sizes[i]);
        zbud_free(rig->pool, handle);
        assert_int_equal(zbud_pool_pages(rig->pool), 0);
    }
}

/* Every split of the 63 chunks between two buddies, each freed first once. */
static void every_pair_fits_one_page(void **state)
{
    struct rig *rig = *state;

    for (size_t chunks = 1; chunks < 63; chunks++) {
        for (unsigned first_goes = 0; first_goes < 2; first_goes++) {
            struct zbud_handle pair[2];
            pair[0] = alloc(rig, chunks * CHUNK);
            pair[1] = alloc(rig, (63 - chunks) * CHUNK);
            assert_true(same_page(pair[0], pair[1]) && pair[0].bits != pair[1].bits);
            assert_int_equal(rig_figures(rig).pages_buddied, 1);
            assert_int_equal(rig_figures(rig).slack_bytes, 0);
            verify(rig, pair[0], chunks * CHUNK);
            verify(rig, pair[1], (63 - chunks) * CHUNK);
            zbud_free(rig->pool, pair[first_goes]);
            zbud_pool_check(rig->pool);
            assert_int_equal(rig_figures(rig).pages_unbuddied, 1);
            /* The freed room and the slack are one again. */
            pair[first_goes] = alloc(rig, (first_goes ? 63 - chunks : chunks) * CHUNK);
            assert_true(same_page(pair[0], pair[1]));
            zbud_free(rig->pool, pair[0]);
            zbud_free(rig->pool, pair[1]);
        }
    }
    assert_int_equal(zbud_pool_pages(rig->pool), 0);
}

static void one_chunk_too_many_needs_a_page(void **state)
{
    struct rig *rig = *state;
    struct zbud_handle first = alloc(rig, 40 * CHUNK), second = alloc(rig, 24 * CHUNK);

    assert_false(same_page(first, second));
    assert_int_equal(rig_figures(rig).pages_unbuddied, 2);
    assert_int_equal(rig_figures(rig).pages_buddied, 0);
}

static void takes_the_tightest_room(void **state)
{
    struct rig *rig = *state;
    struct zbud_handle large = alloc(rig, 40 * CHUNK);  /* leaves 23 */
    struct zbud_handle larger = alloc(rig, 50 * CHUNK); /* leaves 13 */
    struct zbud_handle small = alloc(rig, 33 * CHUNK);  /* leaves 30 */

    assert_int_equal(zbud_pool_pages(rig->pool), 3);
    assert_true(same_page(alloc(rig, 14 * CHUNK), large));
    assert_true(same_page(alloc(rig, 13 * CHUNK), larger));
    assert_true(same_page(alloc(rig, 2 * CHUNK), small));
    /* 9 and 28 chunks of slack are left, but both pages have two buddies. */
    assert_false(same_page(alloc(rig, CHUNK), large));
    assert_int_equal(zbud_pool_pages(rig->pool), 4);
}

static void a_full_page_alone_is_never_offered(void **state)
{
    struct rig *rig = *state;
    struct zbud_handle whole = alloc(rig, ZBUD_BUDDY_BYTES_MAX), other = alloc(rig, 1);

    assert_false(same_page(whole, other));
    assert_int_equal(rig_figures(rig).pages_unbuddied, 2); /* one buddy each */
}

static void free_pages_go_back_to_the_arena(void **state)
{
    struct rig *rig = *state;
    struct zbud_handle handles[PAGES];
    struct zbud_arena_figures arena;
    size_t available = zbud_arena_available(rig->arena);

    for (size_t i = 0; i < available; i++)
        handles[i] = alloc(rig, 33 * CHUNK);
    assert_int_equal(zbud_alloc(rig->pool, 33 * CHUNK, &handles[0]), ZBUD_NO_PAGE);
    verify(rig, handles[0], 33 * CHUNK); /* left as it was */
    assert_int_equal(zbud_pool_pages(rig->pool), available);
    for (size_t i = 0; i < available; i++)
        zbud_free(rig->pool, handles[i]);
    zbud_arena_figures(rig->arena, &arena);
    assert_int_equal(arena.pages_used, 0);
    assert_int_equal(zbud_arena_available(rig->arena), available);
    (void)alloc(rig, 33 * CHUNK); /* and it goes on */
}

/* ---- order of use, reclaim ------------------------------------------------------------------ */

static void reclaims_the_oldest_page_whole(void **state)
{
    struct rig *rig = *state;
    struct zbud_handle handles[6];

    for (unsigned i = 0; i < 3; i++) {
        handles[2 * i] = alloc(rig, 40 * CHUNK);
        handles[2 * i + 1] = alloc(rig, 23 * CHUNK);
    }
    zbud_touch(rig->pool, handles[1]); /* page 0 is now the youngest */
    for (unsigned i = 0; i < 3; i++) {
        unsigned page = (i + 1) % 3;
        assert_int_equal(zbud_reclaim(rig->pool, evict_by_freeing, rig), ZBUD_OK);
        assert_int_equal(rig->seen_count, 2 * (i + 1));
        assert_int_equal(rig->seen[2 * i].bits, handles[2 * page].bits);
        assert_int_equal(rig->seen[2 * i + 1].bits, handles[2 * page + 1].bits);
        zbud_pool_check(rig->pool);
    }
    assert_int_equal(zbud_reclaim(rig->pool, evict_by_freeing, rig), ZBUD_NO_PAGE);
    assert_int_equal(rig_figures(rig).pages_reclaimed, 3);
    assert_int_equal(zbud_pool_pages(rig->pool), 0);
}

static void half_a_page_is_reclaimed_too(void **state)
{
    struct rig *rig = *state;
    struct zbud_handle first = alloc(rig, 40 * CHUNK), last = alloc(rig, 23 * CHUNK);

    zbud_free(rig->pool, first);
    assert_int_equal(zbud_reclaim(rig->pool, evict_by_freeing, rig), ZBUD_OK);
    assert_int_equal(rig->seen_count, 1);
    assert_int_equal(rig->seen[0].bits, last.bits);
}

static void allocating_makes_a_page_young(void **state)
{
    struct rig *rig = *state;
    struct zbud_handle old = alloc(rig, 40 * CHUNK), young = alloc(rig, 50 * CHUNK);

    (void)alloc(rig, 23 * CHUNK); /* into old's page */
    assert_int_equal(zbud_reclaim(rig->pool, evict_by_freeing, rig), ZBUD_OK);
    assert_int_equal(rig->seen[0].bits, young.bits);
    assert_int_equal(zbud_reclaim(rig->pool, evict_by_freeing, rig), ZBUD_OK);
    assert_int_equal(rig->seen[1].bits, old.bits);
}

/* What evict() allocates lands elsewhere: the page being emptied is in no list. */
static void evict_by_moving(void *owner, struct zbud_handle handle)
{
    struct rig *rig = owner;
    struct zbud_handle moved;

    rig_remember(rig, handle);
    zbud_free(rig->pool, handle);
    assert_int_equal(zbud_alloc(rig->pool, 10 * CHUNK, &moved), ZBUD_OK);
    assert_false(same_page(moved, handle));
    fill(zbud_map(rig->pool, moved), 10 * CHUNK, moved.bits);
    rig_remember(rig, moved);
    zbud_touch(rig->pool, moved);
}

static void evict_may_allocate(void **state)
{
    struct rig *rig = *state;

    (void)alloc(rig, 30 * CHUNK);
    (void)alloc(rig, 33 * CHUNK);
    assert_int_equal(zbud_reclaim(rig->pool, evict_by_moving, rig), ZBUD_OK);
    assert_int_equal(rig->seen_count, 4);
    verify(rig, rig->seen[1], 10 * CHUNK);
    verify(rig, rig->seen[3], 10 * CHUNK);
    assert_int_equal(zbud_pool_pages(rig->pool), 1);
}

static void ages_compare_between_pools(void **state)
{
    struct rig *rig = *state;
    struct zbud_pool *other = zbud_pool_create(rig->arena);
    struct zbud_handle mine, theirs;

    assert_true(zbud_pool_oldest(rig->pool) == UINT64_MAX);
    mine = alloc(rig, 10);
    assert_int_equal(zbud_alloc(other, 10, &theirs), ZBUD_OK);
    assert_true(zbud_pool_oldest(rig->pool) < zbud_pool_oldest(other));
    (void)alloc(rig, 4000);
    zbud_touch(rig->pool, mine);
    assert_true(zbud_pool_oldest(rig->pool) > zbud_pool_oldest(other));
    zbud_touch(other, theirs); /* alone in its pool, and still it ages and grows young */
    assert_true(zbud_pool_oldest(rig->pool) <= zbud_pool_oldest(other));
    zbud_pool_check(other);
    zbud_pool_destroy(other);
    zbud_pool_destroy(NULL);
    verify(rig, mine, 10);
}

/* One pool's pages are the other's room, by way of the arena. */
static void pools_share_an_arena(void **state)
{
    struct rig *rig = *state;
    struct zbud_pool *other = zbud_pool_create(rig->arena);
    size_t available = zbud_arena_available(rig->arena);
    struct zbud_handle handle;

    for (size_t i = 0; i < available; i++)
        (void)alloc(rig, 4000);
    assert_int_equal(zbud_alloc(other, 4000, &handle), ZBUD_NO_PAGE);
    assert_int_equal(zbud_reclaim(other, evict_by_freeing, rig), ZBUD_NO_PAGE);
    assert_int_equal(zbud_reclaim(rig->pool, evict_by_freeing, rig), ZBUD_OK);
    assert_int_equal(zbud_alloc(other, 4000, &handle), ZBUD_OK);
    assert_int_equal(zbud_pool_pages(rig->pool), available - 1);
    assert_int_equal(zbud_pool_pages(other), 1);
    zbud_pool_check(rig->pool);
    zbud_pool_check(other);
    zbud_pool_destroy(other);
    assert_int_equal(zbud_arena_available(rig->arena), 1);
}

/* ---- walk ----------------------------------------------------------------------------------- */

static void walks_from_oldest_to_newest_in_steps(void **state)
{
    struct rig *rig = *state;
    struct zbud_handle handles[5];

    assert_true(zbud_walk(rig->pool, 3, rig_remember, rig));
    assert_int_equal(rig->seen_count, 0);
    for (unsigned i = 0; i < 5; i++)
        handles[i] = alloc(rig, 40 * CHUNK);
    assert_false(zbud_walk(rig->pool, 2, rig_remember, rig));
    assert_int_equal(rig->seen_count, 2);
    assert_false(zbud_walk(rig->pool, 2, rig_remember, rig));
    assert_false(zbud_walk(rig->pool, 0, rig_remember, rig));
    assert_true(zbud_walk(rig->pool, 2, rig_remember, rig));
    assert_int_equal(rig->seen_count, 5);
    for (unsigned i = 0; i < 5; i++)
        assert_int_equal(rig->seen[i].bits, handles[i].bits);
    assert_true(zbud_walk(rig->pool, 5, rig_remember, rig)); /* the next round */
    assert_int_equal(rig->seen_count, 10);
    assert_int_equal(rig->seen[5].bits, handles[0].bits);
}

static void visit_and_touch(void *owner, struct zbud_handle handle)
{
    struct rig *rig = owner;
    rig_remember(rig, handle);
    zbud_touch(rig->pool, handle);
}

static void touching_does_not_make_a_round_endless(void **state)
{
    struct rig *rig = *state;
    unsigned steps = 0;

    for (unsigned i = 0; i < 10; i++)
        (void)alloc(rig, 40 * CHUNK);
    while (!zbud_walk(rig->pool, 3, visit_and_touch, rig)) {
        zbud_pool_check(rig->pool);
        steps++;
        assert_true(steps < 20);
    }
    assert_int_equal(rig->seen_count, 10); /* each once */
}

/* Used between two steps, a page moves behind the others, but is not forgotten. */
static void a_page_used_meanwhile_is_still_visited(void **state)
{
    struct rig *rig = *state;
    struct zbud_handle handles[4];

    for (unsigned i = 0; i < 4; i++)
        handles[i] = alloc(rig, 40 * CHUNK);
    assert_false(zbud_walk(rig->pool, 1, rig_remember, rig));
    zbud_touch(rig->pool, handles[1]); /* the very next */
    zbud_touch(rig->pool, handles[0]); /* visited already */
    (void)alloc(rig, 50 * CHUNK);      /* new: not part of this round */
    zbud_pool_check(rig->pool);
    assert_true(zbud_walk(rig->pool, 10, rig_remember, rig));
    assert_int_equal(rig->seen_count, 4);
    assert_int_equal(rig->seen[1].bits, handles[2].bits);
    assert_int_equal(rig->seen[3].bits, handles[1].bits);
}

static void visit_and_free(void *owner, struct zbud_handle handle)
{
    struct rig *rig = owner;
    rig_remember(rig, handle);
    zbud_free(rig->pool, handle);
}

static void visits_may_free(void **state)
{
    struct rig *rig = *state;

    for (unsigned i = 0; i < 10; i++)
        (void)alloc(rig, 31 * CHUNK);
    assert_int_equal(zbud_pool_pages(rig->pool), 5);
    assert_false(zbud_walk(rig->pool, 4, visit_and_free, rig));
    assert_int_equal(rig->seen_count, 8);
    zbud_pool_check(rig->pool);
    assert_true(zbud_walk(rig->pool, 4, visit_and_free, rig));
    assert_int_equal(rig->seen_count, 10);
    assert_int_equal(zbud_pool_pages(rig->pool), 0);
}

static void a_page_reclaimed_meanwhile_is_skipped(void **state)
{
    struct rig *rig = *state;
    struct zbud_handle handles[4];

    for (unsigned i = 0; i < 4; i++)
        handles[i] = alloc(rig, 40 * CHUNK);
    assert_false(zbud_walk(rig->pool, 1, rig_remember, rig));
    assert_int_equal(zbud_reclaim(rig->pool, evict_by_freeing, rig), ZBUD_OK); /* visited */
    assert_int_equal(zbud_reclaim(rig->pool, evict_by_freeing, rig), ZBUD_OK); /* the next one */
    zbud_pool_check(rig->pool);
    rig->seen_count = 0;
    assert_true(zbud_walk(rig->pool, 2, rig_remember, rig));
    assert_int_equal(rig->seen_count, 2);
    assert_int_equal(rig->seen[0].bits, handles[2].bits);
}

/* ---- notes ---------------------------------------------------------------------------------- */

/* POOL-5, and what the arena makes of it. */
static void notes_follow_the_buddies(void **state)
{
    struct rig *rig = *state;
    struct zbud_arena_figures figures;
    struct zbud_survey survey;
    struct zbud_handle first = alloc(rig, 10 * CHUNK), second = alloc(rig, 20 * CHUNK);
    uint32_t page = (first.bits >> 1) - 1, large;

    assert_int_equal(zbud_arena_noted(rig->arena, page), ZBUD_NOTE(2u, 30u));
    zbud_free(rig->pool, first);
    assert_int_equal(zbud_arena_noted(rig->arena, page), ZBUD_NOTE(1u, 20u));
    assert_int_equal(zbud_arena_take(rig->arena, &large), ZBUD_OK);
    assert_int_equal(zbud_arena_noted(rig->arena, large), 0);
    zbud_arena_figures(rig->arena, &figures);
    zbud_arena_survey(rig->arena, 0, (uint32_t)figures.pages_touched, 1, &survey);
    assert_int_equal(survey.pages_one, 1);
    assert_int_equal(survey.pages_two, 0);
    assert_int_equal(survey.pages_other, 1);
    assert_int_equal(survey.pages_free, figures.pages_touched - 2);
    assert_int_equal(survey.live_chunks, 20);
    zbud_free(rig->pool, second);
    assert_int_equal(zbud_arena_noted(rig->arena, page), 0);
    zbud_arena_give(rig->arena, large);
}

int main(void)
{
#define CASE(name) cmocka_unit_test_setup_teardown(name, rig_set_up, rig_tear_down)
    const struct CMUnitTest tests[] = {
        CASE(sizes_at_the_borders),
        CASE(every_pair_fits_one_page),
        CASE(one_chunk_too_many_needs_a_page),
        CASE(takes_the_tightest_room),
        CASE(a_full_page_alone_is_never_offered),
        CASE(free_pages_go_back_to_the_arena),
        CASE(reclaims_the_oldest_page_whole),
        CASE(half_a_page_is_reclaimed_too),
        CASE(allocating_makes_a_page_young),
        CASE(evict_may_allocate),
        CASE(ages_compare_between_pools),
        CASE(pools_share_an_arena),
        CASE(walks_from_oldest_to_newest_in_steps),
        CASE(touching_does_not_make_a_round_endless),
        CASE(a_page_used_meanwhile_is_still_visited),
        CASE(visits_may_free),
        CASE(a_page_reclaimed_meanwhile_is_skipped),
        CASE(notes_follow_the_buddies),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
