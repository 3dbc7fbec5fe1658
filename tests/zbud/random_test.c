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
    uint32_t seed; /* PLAIN */
    size_t bytes;  /* PLAIN */
    uint64_t word;
    unsigned count;
    struct record records[ZBUD_RECORDS_MAX];
};

struct model {
    struct zbud_arena *arena;
    struct zbud_pool *pool;
    uint64_t random;
    uint64_t operations;
    unsigned depth;           /* inside how many callbacks */
    struct zbud_handle given; /* the buddy the innermost callback was called for */
    uint64_t evicted, visited, rescued, exhausted;
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

/* A live buddy of that kind, from a random start; bits 0 where there is none. */
static struct zbud_handle pick(struct model *model, enum kind kind)
{
    struct zbud_handle handle = {0};
    unsigned start = below(model, HANDLES);

    for (unsigned i = 0; i < HANDLES; i++) {
        unsigned bits = (start + i) % HANDLES;
        if (model->buddies[bits].kind == kind) {
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

static void verify_all(struct model *model)
{
    struct zbud_pool_figures figures;
    uint64_t records = 0, live_bytes = 0, buddies = 0, pages = 0;

    for (uint32_t bits = 0; bits < HANDLES; bits++) {
        const struct buddy *buddy = &model->buddies[bits];
        if (buddy->kind == NOTHING)
            continue;
        verify_buddy(model, (struct zbud_handle){bits});
        records += buddy->kind == LOG ? live_records(buddy) : 0;
        for (unsigned number = 0; buddy->kind == LOG && number < buddy->count; number++)
            live_bytes += buddy->records[number].live ? buddy->records[number].bytes : 0u;
    }
    for (uint32_t bits = 0; bits < HANDLES; bits += 2) {
        unsigned in_page = (model->buddies[bits].kind != NOTHING ? 1u : 0u) +
                           (model->buddies[bits + 1].kind != NOTHING ? 1u : 0u);
        buddies += in_page;
        pages += in_page != 0;
    }
    zbud_pool_figures(model->pool, &figures);
    assert_int_equal(figures.records, records);
    assert_int_equal(figures.live_bytes, live_bytes);
    /* An opened log that nothing was appended to is a buddy that only the pool knows. */
    assert_true(figures.pages >= pages);
    assert_true(figures.pages_buddied * 2 + figures.pages_unbuddied >= buddies);
    assert_true(figures.pages <= pages + ZBUD_LOGS_OPEN + 1);
    assert_int_equal(figures.pages, zbud_pool_pages(model->pool));
    assert_int_equal(figures.slack_bytes,
                     figures.pages * ZBUD_BUDDY_BYTES_MAX - figures.chunks_used * 64);
    zbud_pool_check(model->pool);
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
    if (zbud_log_open(model->pool, bytes_max, &handle) != ZBUD_OK) {
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
        buddy->count = 0;
        buddy->word = next_random(&model->random);
        zbud_log_set_word(model->pool, handle, buddy->word);
    }
    assert_int_equal(buddy->kind, LOG);
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

static void step(struct model *model)
{
    unsigned dice = below(model, 1000);
    struct zbud_handle log = pick(model, LOG), plain = pick(model, PLAIN);

    if (dice < 500)
        do_append(model);
    else if (dice < 560)
        do_alloc(model);
    else if (dice < 800 && log.bits != 0)
        do_kill_some(model, log);
    else if (dice < 850 && plain.bits != 0)
        do_free(model, plain);
    else if (dice < 855 && log.bits != 0)
        do_free(model, log);
    else if (dice < 900 && log.bits != 0)
        do_squeeze(model, log);
    else if (dice < 930 && log.bits != 0)
        zbud_touch(model->pool, log);
    else if (dice < 980)
        do_reclaim(model);
    else
        (void)zbud_walk(model->pool, below(model, 4), visit, model);
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
    model->pool = zbud_pool_create(model->arena);
    for (uint64_t i = 0; i < operations; i++) {
        step(model);
        if (i % 4096 == 0)
            verify_all(model);
    }
    verify_all(model);
    print_message("evicted %" PRIu64 " visited %" PRIu64 " rescued %" PRIu64 " exhausted %" PRIu64
                  "\n",
                  model->evicted, model->visited, model->rescued, model->exhausted);
    assert_true(model->evicted > 0 && model->visited > 0 && model->rescued > 0);
    zbud_pool_destroy(model->pool);
    zbud_arena_check(model->arena);
    zbud_arena_free(model->arena);
    free(model);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(random_operations),
    };
    cmocka_set_test_filter(getenv("TESTBRIDGE_TEST_ONLY"));
    return cmocka_run_group_tests(tests, NULL, NULL);
}
