/*
 * random_test.c - random operations on a pool, against a model that just remembers everything.
 *
 * The model is an array indexed by handle: for each live buddy what it should hold, record by
 * record. Contents come from a seed per record and are compared byte by byte. ZBUD_TEST_SEED sets
 * the seed, ZBUD_TEST_OPERATIONS the number of operations.
 */
#include "tests/zbud/check_zbud.h"
#include "zbud/log.h"
#include "zbud/pool.h"

#include <cmocka.h>

#include <inttypes.h>
#include <stdlib.h>
#include <time.h>

#define PAGES      192u
#define POOLS      2u
#define HANDLES    ((PAGES + 1u) * 2u)
#define OPERATIONS 1000000u

struct record {
    bool live;
    uint16_t bytes;
    uint8_t tag;
    uint32_t seed;
};

enum kind {
    NOTHING,
    PLAIN,
    LOG
};

struct buddy {
    enum kind kind;
    const struct zbud_pool *pool;
    uint32_t seed; /* PLAIN */
    size_t bytes;  /* PLAIN */
    uint64_t word;
    unsigned count;
    struct record records[ZBUD_RECORDS_MAX];
};

struct model {
    struct zbud_arena *arena;
    struct zbud_pool *pools[POOLS];
    struct zbud_pool *pool; /* whose turn it is */
    uint64_t random;
    unsigned greed; /* of 1000 operations, how many store */
    uint64_t evicted, visited, rescued, exhausted, trimmed;
    struct buddy buddies[HANDLES];
};

static unsigned below(struct model *model, unsigned bound)
{
    return (unsigned)(next_random(&model->random) >> 33) % bound;
}

static struct buddy *of(struct model *model, struct zbud_handle handle)
{
    assert_true(handle.bits != 0 && handle.bits < HANDLES);
    return &model->buddies[handle.bits];
}

/* Small ones mostly, as in a cache, and now and then the extremes. */
static size_t pick_bytes(struct model *model, size_t bytes_max)
{
    switch (below(model, 16)) {
    case 0:
        return 1 + below(model, (unsigned)bytes_max);
    case 1:
        return bytes_max - below(model, 3);
    case 2:
        return 1;
    case 3:
    case 4:
        return 1 + below(model, 1200);
    default:
        return 1 + below(model, 150);
    }
}

/* A live buddy of that kind in the pool, from a random start; bits 0 where there is none. */
static struct zbud_handle pick(struct model *model, enum kind kind)
{
    struct zbud_handle handle = {0};
    unsigned start = below(model, HANDLES);

    for (unsigned i = 0; i < HANDLES; i++) {
        unsigned bits = (start + i) % HANDLES;
        if (model->buddies[bits].kind == kind && model->buddies[bits].pool == model->pool) {
            handle.bits = bits;
            return handle;
        }
    }
    return handle;
}

/* ---- comparing ------------------------------------------------------------------------------ */

static unsigned live_records(const struct buddy *buddy)
{
    unsigned live = 0;
    for (unsigned number = 0; number < buddy->count; number++)
        live += buddy->records[number].live ? 1u : 0u;
    return live;
}

static void verify_record(struct model *model, struct zbud_handle handle, unsigned number)
{
    const struct record *record = &of(model, handle)->records[number];
    size_t bytes = 0;
    unsigned tag = 99;
    uint8_t *at = zbud_log_record(model->pool, handle, number, &bytes, &tag);

    if (!record->live) {
        assert_null(at);
        return;
    }
    assert_non_null(at);
    assert_int_equal(bytes, record->bytes);
    assert_int_equal(tag, record->tag);
    expect_filled(at, bytes, record->seed);
}

static void verify_buddy(struct model *model, struct zbud_handle handle)
{
    const struct buddy *buddy = of(model, handle);
    size_t live_bytes, dead_bytes, live = 0;

    if (buddy->kind == PLAIN) {
        expect_filled(zbud_map(model->pool, handle), buddy->bytes, buddy->seed);
        zbud_unmap(model->pool, handle);
        return;
    }
    assert_int_equal(zbud_log_records(model->pool, handle), buddy->count);
    assert_true(zbud_log_word(model->pool, handle) == buddy->word);
    for (unsigned number = 0; number < buddy->count; number++) {
        verify_record(model, handle, number);
        live += buddy->records[number].live ? buddy->records[number].bytes : 0u;
    }
    zbud_log_bytes(model->pool, handle, &live_bytes, &dead_bytes);
    assert_int_equal(live_bytes, live);
}

/* What the model says of the pool's figures. */
struct expected {
    uint64_t records, live_bytes, buddies, pages;
};

static struct expected verify_buddies(struct model *model)
{
    struct expected expected = {0, 0, 0, 0};
    uint32_t page_before = 0;

    for (uint32_t bits = 0; bits < HANDLES; bits++) {
        const struct buddy *buddy = &model->buddies[bits];
        if (buddy->kind == NOTHING || buddy->pool != model->pool)
            continue;
        verify_buddy(model, (struct zbud_handle){bits});
        expected.buddies++;
        expected.pages += bits >> 1 != page_before;
        page_before = bits >> 1;
        if (buddy->kind == PLAIN)
            continue;
        expected.records += live_records(buddy);
        for (unsigned number = 0; number < buddy->count; number++)
            expected.live_bytes += buddy->records[number].live ? buddy->records[number].bytes : 0u;
    }
    return expected;
}

static void verify_pool(struct model *model)
{
    struct expected expected = verify_buddies(model);
    struct zbud_pool_figures figures;

    zbud_pool_figures(model->pool, &figures);
    assert_int_equal(figures.records, expected.records);
    assert_int_equal(figures.live_bytes, expected.live_bytes);
    assert_int_equal(figures.pages, zbud_pool_pages(model->pool));
    assert_int_equal(figures.pages, figures.pages_buddied + figures.pages_unbuddied);
    /* An opened log that nothing was appended to is a buddy that only the pool knows. */
    assert_in_range(figures.pages, expected.pages, expected.pages + ZBUD_LOGS_OPEN + 1);
    assert_in_range(figures.pages_buddied * 2 + figures.pages_unbuddied, expected.buddies,
                    expected.buddies + ZBUD_LOGS_OPEN + 1);
    assert_int_equal(figures.slack_bytes,
                     figures.pages * ZBUD_BUDDY_BYTES_MAX - figures.chunks_used * 64);
    zbud_pool_check(model->pool);
}

static void verify_all(struct model *model)
{
    struct zbud_arena_figures figures;
    uint64_t pages = 0;

    for (unsigned i = 0; i < POOLS; i++) {
        model->pool = model->pools[i];
        verify_pool(model);
        pages += zbud_pool_pages(model->pool);
    }
    zbud_arena_figures(model->arena, &figures);
    assert_int_equal(figures.pages_used, pages);
    zbud_arena_check(model->arena);
}

/* ---- operations ----------------------------------------------------------------------------- */

static void do_alloc(struct model *model)
{
    size_t bytes = pick_bytes(model, ZBUD_BUDDY_BYTES_MAX);
    struct zbud_handle handle;
    struct buddy *buddy;

    if (zbud_alloc(model->pool, bytes, &handle) != ZBUD_OK) {
        assert_int_equal(zbud_arena_available(model->arena), 0);
        model->exhausted++;
        return;
    }
    buddy = of(model, handle);
    assert_int_equal(buddy->kind, NOTHING);
    buddy->kind = PLAIN;
    buddy->pool = model->pool;
    buddy->bytes = bytes;
    buddy->seed = (uint32_t)next_random(&model->random);
    fill(zbud_map(model->pool, handle), bytes, buddy->seed);
    zbud_unmap(model->pool, handle);
}

static void do_append_record(struct model *model, size_t bytes, unsigned tag, uint32_t seed)
{
    size_t bytes_max = bytes;
    struct zbud_handle handle;
    struct buddy *buddy;
    void *data = NULL;
    unsigned number;

    if (below(model, 4) == 0 && bytes < ZBUD_RECORD_BYTES_MAX)
        bytes_max += below(model, (unsigned)(ZBUD_RECORD_BYTES_MAX - bytes + 1));
    if (zbud_log_open(model->pool, 0, bytes_max, &handle) != ZBUD_OK) {
        assert_int_equal(zbud_arena_available(model->arena), 0);
        model->exhausted++;
        return;
    }
    if (below(model, 50) == 0)
        return; /* changed its mind */
    buddy = of(model, handle);
    if (buddy->kind == NOTHING) {
        assert_true(zbud_log_word(model->pool, handle) == 0);
        assert_int_equal(zbud_log_records(model->pool, handle), 0);
        buddy->kind = LOG;
        buddy->pool = model->pool;
        buddy->count = 0;
        buddy->word = next_random(&model->random);
        zbud_log_set_word(model->pool, handle, buddy->word);
    }
    assert_true(buddy->kind == LOG && buddy->pool == model->pool);
    number = zbud_log_append(model->pool, handle, bytes, tag, &data);
    assert_int_equal(number, buddy->count);
    buddy->records[number] = (struct record){true, (uint16_t)bytes, (uint8_t)tag, seed};
    buddy->count++;
    fill(data, bytes, seed);
}

static void do_append(struct model *model)
{
    size_t bytes = pick_bytes(model, ZBUD_RECORD_BYTES_MAX);
    do_append_record(model, bytes, below(model, ZBUD_RECORD_TAG_MAX + 1),
                     (uint32_t)next_random(&model->random));
}

static void do_kill(struct model *model, struct zbud_handle handle, unsigned number)
{
    struct buddy *buddy = of(model, handle);
    bool last = live_records(buddy) == 1;

    verify_record(model, handle, number);
    assert_true(zbud_log_kill(model->pool, handle, number) == last);
    buddy->records[number].live = false;
    if (last)
        *buddy = (struct buddy){0};
}

static void do_kill_some(struct model *model, struct zbud_handle handle)
{
    struct buddy *buddy = of(model, handle);
    unsigned start = below(model, buddy->count);

    for (unsigned i = 0; i < buddy->count; i++) {
        unsigned number = (start + i) % buddy->count;
        if (buddy->records[number].live) {
            do_kill(model, handle, number);
            return;
        }
    }
    fail_msg("a log without a live record");
}

static void do_free(struct model *model, struct zbud_handle handle)
{
    zbud_free(model->pool, handle);
    *of(model, handle) = (struct buddy){0};
}

static void do_squeeze(struct model *model, struct zbud_handle handle)
{
    struct buddy *buddy = of(model, handle);
    size_t live_bytes, dead_bytes;

    zbud_log_squeeze(model->pool, handle);
    while (!buddy->records[buddy->count - 1].live)
        buddy->count--; /* trailing dead numbers are given again */
    zbud_log_bytes(model->pool, handle, &live_bytes, &dead_bytes);
    assert_int_equal(dead_bytes, 0);
    verify_buddy(model, handle);
}

/* Lets go of a buddy as a cache would: some records move elsewhere, the others die. */
static void evict(void *owner, struct zbud_handle handle)
{
    struct model *model = owner;
    struct buddy *buddy = of(model, handle);

    model->evicted++;
    verify_buddy(model, handle);
    if (buddy->kind == PLAIN || below(model, 4) == 0) {
        do_free(model, handle);
        return;
    }
    for (unsigned number = 0; buddy->kind == LOG; number++) {
        struct record record = buddy->records[number];
        if (!record.live)
            continue;
        if (below(model, 3) == 0) {
            model->rescued++;
            do_append_record(model, record.bytes, record.tag, record.seed);
        }
        do_kill(model, handle, number);
    }
}

static void do_reclaim(struct model *model)
{
    uint64_t oldest = zbud_pool_oldest(model->pool);
    size_t pages = zbud_pool_pages(model->pool);

    if (zbud_reclaim(model->pool, evict, model) == ZBUD_OK)
        assert_true(oldest != UINT64_MAX && oldest <= zbud_arena_age(model->arena));
    else
        assert_true(pages == 0 && oldest == UINT64_MAX);
}

static void visit(void *owner, struct zbud_handle handle)
{
    struct model *model = owner;
    struct buddy *buddy = of(model, handle);

    model->visited++;
    assert_true(buddy->kind != NOTHING);
    verify_buddy(model, handle);
    switch (below(model, 6)) {
    case 0:
        do_free(model, handle);
        break;
    case 1:
        if (buddy->kind == LOG)
            do_kill_some(model, handle);
        break;
    case 2:
        if (buddy->kind == LOG)
            do_squeeze(model, handle);
        break;
    case 3:
        zbud_touch(model->pool, handle);
        break;
    case 4:
        do_append(model);
        break;
    default:
        break;
    }
}

/* Charges, and a limit that moves: less room to take pages in, and kept pages given back. */
static void do_squeeze_arena(struct model *model)
{
    size_t pages = PAGES - below(model, PAGES / 4);

    zbud_arena_set_limit(model->arena, pages * ZBUD_PAGE_BYTES);
    model->trimmed += zbud_arena_trim(model->arena, zbud_arena_excess(model->arena));
    if (zbud_arena_charge(model->arena, 3 * ZBUD_PAGE_BYTES) == ZBUD_OK)
        zbud_arena_uncharge(model->arena, 3 * ZBUD_PAGE_BYTES);
}

static void step_on(struct model *model)
{
    struct zbud_handle log = pick(model, LOG), plain = pick(model, PLAIN);
    unsigned dice = below(model, 256);

    if (dice < 120 && log.bits != 0)
        do_kill_some(model, log);
    else if (dice < 160 && plain.bits != 0)
        do_free(model, plain);
    else if (dice < 164 && log.bits != 0)
        do_free(model, log);
    else if (dice < 200 && log.bits != 0)
        do_squeeze(model, log);
    else if (dice < 220 && log.bits != 0)
        zbud_touch(model->pool, log);
    else if (dice < 230 && plain.bits != 0)
        zbud_touch(model->pool, plain);
    else if (dice < 244)
        do_reclaim(model);
    else if (dice < 255)
        (void)zbud_walk(model->pool, below(model, 4), visit, model);
    else
        do_squeeze_arena(model);
}

static void step(struct model *model)
{
    unsigned dice = below(model, 1000);

    model->pool = model->pools[below(model, POOLS)];
    if (dice < model->greed / 8)
        do_alloc(model);
    else if (dice < model->greed)
        do_append(model);
    else
        step_on(model);
}

static uint64_t from_environment(const char *name, uint64_t otherwise)
{
    const char *text = getenv(name);
    return text == NULL ? otherwise : strtoull(text, NULL, 0);
}

static void random_operations(void **state)
{
    uint64_t seed = from_environment("ZBUD_TEST_SEED", (uint64_t)time(NULL));
    uint64_t operations = from_environment("ZBUD_TEST_OPERATIONS", OPERATIONS);
    struct model *model = calloc(1, sizeof(*model));

    (void)state;
    print_message("ZBUD_TEST_SEED=%" PRIu64 "\n", seed);
    model->random = seed * UINT64_C(0x9e3779b97f4a7c15) + 1;
    model->arena = zbud_arena_new(PAGES * ZBUD_PAGE_BYTES, PAGES * ZBUD_PAGE_BYTES);
    for (unsigned i = 0; i < POOLS; i++)
        model->pools[i] = zbud_pool_create(model->arena);
    for (uint64_t i = 0; i < operations; i++) {
        if (i % 4096 == 0) {
            verify_all(model);
            model->greed = 100 + below(model, 850); /* fills up and empties, by turns */
        }
        step(model);
    }
    verify_all(model);
    print_message("evicted %" PRIu64 " visited %" PRIu64 " rescued %" PRIu64 " exhausted %" PRIu64
                  " trimmed %" PRIu64 "\n",
                  model->evicted, model->visited, model->rescued, model->exhausted, model->trimmed);
    assert_true(model->evicted > 0 && model->visited > 0 && model->rescued > 0);
    assert_true(model->exhausted > 0 && model->trimmed > 0);
    for (unsigned i = 0; i < POOLS; i++)
        zbud_pool_destroy(model->pools[i]);
    zbud_arena_check(model->arena);
    zbud_arena_free(model->arena);
    free(model);
}

/* ---- placement and order, against the plainest way to do them -------------------------------- */

struct plain_page {
    unsigned chunks[2];
    uint64_t used_at; /* 0: not in the pool */
};

struct plain_model {
    struct zbud_pool *pool;
    uint64_t random;
    uint64_t now;
    uint32_t reclaiming; /* the page expected */
    unsigned evicted;
    struct plain_page pages[PAGES + 1]; /* by handle >> 1 */
};

static unsigned chunks_free(const struct plain_page *page)
{
    return 63 - page->chunks[0] - page->chunks[1];
}

/* The tightest room of all pages with one buddy; 0: none fits. */
static unsigned tightest(const struct plain_model *model, unsigned chunks)
{
    unsigned best = 0;
    for (size_t i = 0; i <= PAGES; i++) {
        const struct plain_page *page = &model->pages[i];
        bool one = (page->chunks[0] != 0) != (page->chunks[1] != 0);
        if (one && chunks_free(page) >= chunks && (best == 0 || chunks_free(page) < best))
            best = chunks_free(page);
    }
    return best;
}

static uint32_t oldest_page(const struct plain_model *model)
{
    uint32_t oldest = 0;
    for (uint32_t i = 0; i <= PAGES; i++) {
        if (model->pages[i].used_at != 0 &&
            (oldest == 0 || model->pages[i].used_at < model->pages[oldest].used_at))
            oldest = i;
    }
    return oldest;
}

static void forget(struct plain_model *model, struct zbud_handle handle)
{
    struct plain_page *page = &model->pages[handle.bits >> 1];
    assert_true(page->chunks[handle.bits & 1] != 0);
    page->chunks[handle.bits & 1] = 0;
    if (chunks_free(page) == 63)
        page->used_at = 0;
}

static void evict_expected(void *owner, struct zbud_handle handle)
{
    struct plain_model *model = owner;
    assert_int_equal(handle.bits >> 1, model->reclaiming);
    zbud_free(model->pool, handle);
    forget(model, handle);
    model->evicted++;
}

static void plain_reclaim(struct plain_model *model)
{
    unsigned buddies;

    model->reclaiming = oldest_page(model);
    buddies = (model->pages[model->reclaiming].chunks[0] != 0 ? 1u : 0u) +
              (model->pages[model->reclaiming].chunks[1] != 0 ? 1u : 0u);
    model->evicted = 0;
    assert_int_equal(zbud_reclaim(model->pool, evict_expected, model),
                     model->reclaiming != 0 ? ZBUD_OK : ZBUD_NO_PAGE);
    assert_int_equal(model->evicted, buddies);
}

static void plain_alloc(struct plain_model *model, size_t bytes)
{
    unsigned chunks = (unsigned)((bytes + 63) / 64), best = tightest(model, chunks);
    struct zbud_handle handle;
    struct plain_page *page;

    if (zbud_alloc(model->pool, bytes, &handle) != ZBUD_OK) {
        assert_int_equal(best, 0);
        plain_reclaim(model);
        return;
    }
    page = &model->pages[handle.bits >> 1];
    assert_int_equal(page->chunks[handle.bits & 1], 0);
    if (best == 0)
        assert_true(page->used_at == 0); /* a new page only where no other fits */
    else
        assert_int_equal(chunks_free(page), best);
    page->chunks[handle.bits & 1] = chunks;
    page->used_at = ++model->now;
}

static void plain_step(struct plain_model *model)
{
    unsigned dice = (unsigned)(next_random(&model->random) >> 40) % 16;
    size_t bytes = 1 + (next_random(&model->random) >> 40) % (dice % 4 == 0 ? 4032 : 2016);
    struct zbud_handle handle = {(uint32_t)(2 + (next_random(&model->random) >> 40) % (2 * PAGES))};
    struct plain_page *page = &model->pages[handle.bits >> 1];

    if (dice < 8) {
        plain_alloc(model, bytes);
    } else if (dice < 15 && page->chunks[handle.bits & 1] != 0) {
        if (dice < 13) {
            zbud_free(model->pool, handle);
            forget(model, handle);
        } else {
            zbud_touch(model->pool, handle);
            page->used_at = ++model->now;
        }
    } else if (dice == 15) {
        plain_reclaim(model);
    }
}

static void placement_and_order(void **state)
{
    uint64_t seed = from_environment("ZBUD_TEST_SEED", (uint64_t)time(NULL));
    struct zbud_arena *arena = zbud_arena_new(PAGES * ZBUD_PAGE_BYTES, PAGES * ZBUD_PAGE_BYTES);
    struct plain_model *model = calloc(1, sizeof(*model));

    (void)state;
    print_message("ZBUD_TEST_SEED=%" PRIu64 "\n", seed);
    model->random = seed * UINT64_C(0x9e3779b97f4a7c15) + 1;
    model->pool = zbud_pool_create(arena);
    for (unsigned i = 0; i < OPERATIONS / 4; i++) {
        plain_step(model);
        if (i % 8192 == 0)
            zbud_pool_check(model->pool);
    }
    zbud_pool_check(model->pool);
    zbud_pool_destroy(model->pool);
    zbud_arena_free(arena);
    free(model);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(random_operations),
        cmocka_unit_test(placement_and_order),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
