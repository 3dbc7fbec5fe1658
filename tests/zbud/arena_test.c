/* arena_test.c - the limit, the free lists, chains and charges, one thread and several. */
#include "tests/zbud/check_zbud.h"
#include "zbud/arena.h"

#include <fcntl.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#define PAGE               ((size_t)ZBUD_PAGE_BYTES)
#define REGION_PAGES       512u
/* The table has 4 bytes a page and is counted in whole pages, one for 1024. */
#define TABLE_PAGES(pages) (((pages) + 1023) / 1024)
#define LIMIT_FOR(pages)   (((pages) + TABLE_PAGES(pages)) * PAGE)

static struct zbud_arena_figures figures_of(const struct zbud_arena *arena)
{
    struct zbud_arena_figures figures;
    zbud_arena_figures(arena, &figures);
    return figures;
}

static uint64_t counted_bytes(const struct zbud_arena *arena)
{
    struct zbud_arena_figures figures = figures_of(arena);
    return (figures.pages_used + figures.pages_kept) * PAGE + figures.charged_bytes +
           figures.table_bytes;
}

static uint32_t take(struct zbud_arena *arena)
{
    uint32_t page = ZBUD_PAGE_NONE;
    assert_int_equal(zbud_arena_take(arena, &page), ZBUD_OK);
    assert_true(page < figures_of(arena).pages_max);
    return page;
}

/* As many pages as the arena has, at most @count; PAGE_NONE where it has none. */
static uint32_t take_chain(struct zbud_arena *arena, size_t count)
{
    uint32_t first = ZBUD_PAGE_NONE, page;

    for (size_t i = 0; i < count && zbud_arena_take(arena, &page) == ZBUD_OK; i++) {
        zbud_arena_link(arena, page, first);
        first = page;
    }
    return first;
}

static void refuses_no_room_and_too_much(void **state)
{
    (void)state;
    assert_null(zbud_arena_new(0, 0));
    assert_null(zbud_arena_new(PAGE - 1, 0));
    assert_null(zbud_arena_new((size_t)1 << 42, 0)); /* a handle cannot name so many pages */
    zbud_arena_free(NULL);
}

/* available() says exactly how many takes will work, and every page is another one. */
static void hands_out_what_it_said(size_t reserve_pages, size_t limit_bytes)
{
    struct zbud_arena *arena = zbud_arena_new(reserve_pages * PAGE, limit_bytes);
    size_t available = zbud_arena_available(arena), taken = 0;
    uint8_t *seen = calloc(reserve_pages, 1);
    uint32_t page = ZBUD_PAGE_NONE;

    while (zbud_arena_take(arena, &page) == ZBUD_OK) {
        assert_true(page < reserve_pages && !seen[page]);
        seen[page] = 1;
        memset(zbud_arena_page(arena, page), 0x5a, PAGE);
        taken++;
        assert_int_equal(zbud_arena_available(arena), available - taken);
        assert_true(counted_bytes(arena) <= limit_bytes);
    }
    assert_int_equal(taken, available);
    assert_true(taken == reserve_pages || LIMIT_FOR(taken + 1) > limit_bytes);
    assert_int_equal(figures_of(arena).pages_used, taken);
    zbud_arena_check(arena);
    for (page = 0; page < reserve_pages; page++) {
        if (seen[page])
            zbud_arena_give(arena, page);
    }
    assert_int_equal(figures_of(arena).pages_used, 0);
    assert_int_equal(zbud_arena_available(arena), taken);
    zbud_arena_check(arena);
    free(seen);
    zbud_arena_free(arena);
}

static void available_is_exact(void **state)
{
    const size_t pages[] = {1, 2, 511, 512, 513, 1023, 1024, 1025, 1536, 2600};

    (void)state;
    for (size_t i = 0; i < sizeof(pages) / sizeof(pages[0]); i++) {
        hands_out_what_it_said(pages[i], pages[i] * PAGE);
        hands_out_what_it_said(4096, pages[i] * PAGE);
        hands_out_what_it_said(4096, LIMIT_FOR(pages[i]));
        hands_out_what_it_said(4096, LIMIT_FOR(pages[i]) - 1);
    }
    hands_out_what_it_said(8, 0);
    hands_out_what_it_said(8, PAGE); /* goes into the table: no page */
}

static void keeps_the_last_given_for_the_next(void **state)
{
    struct zbud_arena *arena = zbud_arena_new(64 * PAGE, 64 * PAGE);
    uint32_t first, second;

    (void)state;
    first = take(arena);
    second = take(arena);
    zbud_arena_give(arena, first);
    zbud_arena_give(arena, second);
    assert_int_equal(take(arena), second);
    assert_int_equal(take(arena), first);
    zbud_arena_give(arena, first);
    zbud_arena_give(arena, second);
    zbud_arena_free(arena);
}

static void chains_are_given_whole(void **state)
{
    struct zbud_arena *arena = zbud_arena_new(4096 * PAGE, LIMIT_FOR(100));
    uint32_t first = take_chain(arena, 101), single = 7777;
    size_t length = 0;

    (void)state;
    assert_int_equal(figures_of(arena).pages_used, 100);
    for (uint32_t page = first; page != ZBUD_PAGE_NONE; page = zbud_arena_next(arena, page)) {
        memset(zbud_arena_page(arena, page), 1, PAGE);
        length++;
    }
    assert_int_equal(length, 100);
    assert_int_equal(zbud_arena_take(arena, &single), ZBUD_NO_PAGE);
    assert_int_equal(single, 7777);
    zbud_arena_give_chain(arena, first);
    assert_int_equal(figures_of(arena).pages_used, 0);
    assert_int_equal(figures_of(arena).pages_kept, 100);
    zbud_arena_check(arena);
    single = take(arena);
    assert_int_equal(zbud_arena_next(arena, single), ZBUD_PAGE_NONE);
    zbud_arena_give_chain(arena, single); /* a page is a chain of one */
    assert_int_equal(figures_of(arena).pages_used, 0);
    zbud_arena_free(arena);
}

static void links_make_chains(void **state)
{
    struct zbud_arena *arena = zbud_arena_new(64 * PAGE, 64 * PAGE);
    uint32_t first = take(arena), second = take(arena), third = take(arena);

    (void)state;
    assert_int_equal(zbud_arena_next(arena, first), ZBUD_PAGE_NONE);
    zbud_arena_link(arena, first, third);
    zbud_arena_link(arena, third, second);
    assert_int_equal(zbud_arena_next(arena, first), third);
    assert_int_equal(zbud_arena_next(arena, third), second);
    assert_int_equal(zbud_arena_next(arena, second), ZBUD_PAGE_NONE);
    zbud_arena_link(arena, third, ZBUD_PAGE_NONE);
    zbud_arena_give_chain(arena, first);
    assert_int_equal(figures_of(arena).pages_used, 1);
    zbud_arena_give(arena, second);
    zbud_arena_check(arena);
    zbud_arena_free(arena);
}

static void charges_count_and_push_kept_pages_out(void **state)
{
    struct zbud_arena *arena = zbud_arena_new(4096 * PAGE, LIMIT_FOR(10));
    uint32_t first = take_chain(arena, 10);

    (void)state;
    assert_int_equal(figures_of(arena).pages_used, 10);
    assert_int_equal(zbud_arena_charge(arena, 1), ZBUD_NO_PAGE);
    assert_int_equal(zbud_arena_charge(arena, SIZE_MAX), ZBUD_NO_PAGE);
    zbud_arena_give_chain(arena, first);

    /* One byte costs a kept page; what is left of that page's room is for later charges. */
    assert_int_equal(zbud_arena_charge(arena, 1), ZBUD_OK);
    assert_int_equal(figures_of(arena).pages_kept, 9);
    assert_int_equal(figures_of(arena).pages_returned, 1);
    assert_int_equal(zbud_arena_charge(arena, PAGE - 1), ZBUD_OK);
    assert_int_equal(figures_of(arena).pages_kept, 9);
    assert_int_equal(zbud_arena_available(arena), 9);

    /* More than everything: nothing is given back in vain. */
    assert_int_equal(zbud_arena_charge(arena, 9 * PAGE + 1), ZBUD_NO_PAGE);
    assert_int_equal(figures_of(arena).pages_kept, 9);
    assert_int_equal(zbud_arena_charge(arena, 9 * PAGE), ZBUD_OK);
    assert_int_equal(figures_of(arena).pages_kept, 0);
    assert_int_equal(zbud_arena_available(arena), 0);
    assert_int_equal(zbud_arena_take(arena, &first), ZBUD_NO_PAGE);

    zbud_arena_uncharge(arena, 10 * PAGE);
    assert_int_equal(figures_of(arena).charged_bytes, 0);
    assert_int_equal(zbud_arena_available(arena), 10);
    (void)take_chain(arena, 10);
    assert_int_equal(figures_of(arena).pages_used, 10);
    zbud_arena_check(arena);
    zbud_arena_free(arena);
}

/* A region grown whole leaves pages nobody has had: they are kept, and can be given back too. */
static void whole_regions_count_at_once(void **state)
{
    struct zbud_arena *arena = zbud_arena_new(4096 * PAGE, LIMIT_FOR(600));
    uint32_t page = take(arena);

    (void)state;
    assert_int_equal(figures_of(arena).pages_kept, 511);
    assert_int_equal(zbud_arena_available(arena), 599);
    assert_int_equal(zbud_arena_charge(arena, 500 * PAGE), ZBUD_OK);
    assert_int_equal(figures_of(arena).pages_kept, 99);
    assert_int_equal(figures_of(arena).pages_returned, 412);
    assert_int_equal(zbud_arena_available(arena), 99);
    zbud_arena_uncharge(arena, 500 * PAGE);
    assert_int_equal(zbud_arena_available(arena), 599);
    zbud_arena_check(arena);
    zbud_arena_give(arena, page);
    zbud_arena_free(arena);
}

/* Whole regions, counted as kept, in the order in which they lie; never more than fit the limit. */
static void memory_is_ready_before_it_is_asked_for(void **state)
{
    struct zbud_arena *arena = zbud_arena_new((size_t)16 << 20, (size_t)7 << 20);
    struct zbud_arena_figures figures;
    uint32_t page;

    (void)state;
    assert_non_null(arena);
    assert_false(zbud_arena_prepare(arena, 0));
    assert_true(zbud_arena_prepare(arena, 1));
    assert_false(zbud_arena_prepare(arena, REGION_PAGES));
    for (uint32_t i = 0; i < 10; i++) {
        assert_int_equal(zbud_arena_take(arena, &page), ZBUD_OK);
        assert_int_equal(page, i);
    }
    assert_true(zbud_arena_prepare(arena, REGION_PAGES));
    zbud_arena_figures(arena, &figures);
    assert_int_equal(figures.pages_used, 10);
    assert_int_equal(figures.pages_kept, 2 * REGION_PAGES - 10);
    /* What goes back to the system is the last of it, so the next region does not follow on it. */
    assert_int_equal(zbud_arena_trim(arena, 3), 3);
    assert_true(zbud_arena_prepare(arena, SIZE_MAX));
    zbud_arena_check(arena);
    assert_false(zbud_arena_prepare(arena, SIZE_MAX)); /* 7 MiB, and the table: three regions */
    zbud_arena_figures(arena, &figures);
    assert_int_equal(figures.pages_kept, 3 * REGION_PAGES - 10 - 3);
    while (zbud_arena_take(arena, &page) == ZBUD_OK)
        *(uint8_t *)zbud_arena_page(arena, page) = 1;
    zbud_arena_check(arena);
    zbud_arena_free(arena);
}

static void a_lower_limit_is_met_by_trimming(void **state)
{
    struct zbud_arena *arena = zbud_arena_new(4096 * PAGE, LIMIT_FOR(100));
    uint32_t first = take_chain(arena, 100), page;

    (void)state;
    assert_int_equal(figures_of(arena).pages_used, 100);
    assert_int_equal(zbud_arena_excess(arena), 0);
    zbud_arena_set_limit(arena, LIMIT_FOR(60));
    assert_int_equal(zbud_arena_excess(arena), 40);
    assert_int_equal(zbud_arena_available(arena), 0);
    assert_int_equal(zbud_arena_trim(arena, 40), 0); /* none is kept */
    zbud_arena_give_chain(arena, first);
    assert_int_equal(zbud_arena_trim(arena, 15), 15);
    assert_int_equal(zbud_arena_excess(arena), 25);
    assert_int_equal(zbud_arena_charge(arena, 0), ZBUD_OK); /* gives the rest back */
    assert_int_equal(zbud_arena_excess(arena), 0);
    assert_int_equal(zbud_arena_available(arena), 60);
    zbud_arena_set_limit(arena, LIMIT_FOR(60) - 1);
    assert_int_equal(zbud_arena_excess(arena), 1);
    /* A kept page may be had even so: that makes nothing more resident. */
    assert_int_equal(zbud_arena_take(arena, &page), ZBUD_OK);
    zbud_arena_give(arena, page);
    zbud_arena_set_limit(arena, 4096 * PAGE);
    assert_int_equal(zbud_arena_available(arena), 4096 - TABLE_PAGES(4096));
    assert_int_equal(zbud_arena_trim(arena, SIZE_MAX), 60);
    zbud_arena_check(arena);
    zbud_arena_free(arena);
}

static void ages_and_pool_numbers_only_grow(void **state)
{
    struct zbud_arena *arena = zbud_arena_new(PAGE, PAGE);
    uint64_t age = zbud_arena_age(arena);

    (void)state;
    assert_true(zbud_arena_next_age(arena) == age + 1);
    assert_true(zbud_arena_next_age(arena) == age + 2);
    assert_true(zbud_arena_age(arena) == age + 2);
    assert_int_equal(zbud_arena_enroll(arena), 1);
    for (unsigned number = 2; number <= UINT16_MAX; number++)
        assert_int_equal(zbud_arena_enroll(arena), number);
    assert_int_equal(zbud_arena_enroll(arena), 1); /* 0 is nobody's */
    zbud_arena_free(arena);
}

/* ---- threads -------------------------------------------------------------------------------- */

#define THREADS        4u
#define STEPS          20000u
#define THREAD_PAGES   1400u
#define PAGES_A_THREAD 600u

struct worker {
    struct zbud_arena *arena;
    uint64_t random;
    _Atomic bool *stop;
    uint64_t wrong; /* the main thread asserts */
    uint64_t taken, refused;
    uint32_t pages[PAGES_A_THREAD];
    size_t pages_count;
    size_t charged_bytes;
};

/* A page is the thread's alone: its first bytes must still say what the thread wrote. */
static void mark_page(struct worker *worker, uint32_t page)
{
    uint64_t *words = zbud_arena_page(worker->arena, page);
    words[0] = (uintptr_t)worker;
    words[511] = page;
}

static void check_mark(struct worker *worker, uint32_t page)
{
    const uint64_t *words = zbud_arena_page(worker->arena, page);
    worker->wrong += words[0] != (uintptr_t)worker;
    worker->wrong += words[511] != page;
}

static void worker_step(struct worker *worker)
{
    unsigned dice = (unsigned)(next_random(&worker->random) >> 40) % 16;
    size_t bytes = (next_random(&worker->random) >> 40) % (64 * PAGE);

    if (dice < 8 && worker->pages_count < PAGES_A_THREAD) {
        uint32_t page;
        if (zbud_arena_take(worker->arena, &page) != ZBUD_OK) {
            worker->refused++;
            return;
        }
        worker->taken++;
        mark_page(worker, page);
        worker->pages[worker->pages_count++] = page;
    } else if (dice < 13 && worker->pages_count != 0) {
        uint32_t page = worker->pages[--worker->pages_count];
        check_mark(worker, page);
        zbud_arena_give(worker->arena, page);
    } else if (dice == 13 && worker->charged_bytes == 0) {
        if (zbud_arena_charge(worker->arena, bytes) == ZBUD_OK)
            worker->charged_bytes = bytes;
    } else if (dice == 14) {
        zbud_arena_uncharge(worker->arena, worker->charged_bytes);
        worker->charged_bytes = 0;
    } else if (dice == 15) {
        uint32_t first = take_chain(worker->arena, 20);
        if (first != ZBUD_PAGE_NONE) {
            mark_page(worker, first);
            check_mark(worker, first);
            zbud_arena_give_chain(worker->arena, first);
        }
    }
}

static void *work(void *context)
{
    struct worker *worker = context;

    for (unsigned i = 0; i < STEPS; i++) {
        worker_step(worker);
        if (i % 16 == 0)
            zbud_arena_check(worker->arena); /* pages on their way to the system included */
    }
    while (worker->pages_count != 0) {
        uint32_t page = worker->pages[--worker->pages_count];
        check_mark(worker, page);
        zbud_arena_give(worker->arena, page);
    }
    zbud_arena_uncharge(worker->arena, worker->charged_bytes);
    return NULL;
}

/* Moves the limit about while the others work, and looks at the figures. */
static void *govern(void *context)
{
    struct worker *worker = context;

    while (!atomic_load(worker->stop)) {
        size_t pages = THREAD_PAGES / 2 + (next_random(&worker->random) >> 40) % THREAD_PAGES;
        struct zbud_arena_figures figures;

        zbud_arena_set_limit(worker->arena, LIMIT_FOR(pages));
        (void)zbud_arena_trim(worker->arena, zbud_arena_excess(worker->arena));
        (void)zbud_arena_prepare(worker->arena, REGION_PAGES / 4);
        zbud_arena_figures(worker->arena, &figures);
        worker->wrong += figures.pages_used + figures.pages_kept > figures.pages_max;
        (void)zbud_arena_available(worker->arena);
    }
    return NULL;
}

static void threads_share_it(void **state)
{
    struct zbud_arena *arena = zbud_arena_new(LIMIT_FOR(2 * THREAD_PAGES), LIMIT_FOR(THREAD_PAGES));
    struct worker *workers = calloc(THREADS + 1, sizeof(*workers));
    _Atomic bool stop = false;
    pthread_t threads[THREADS + 1];
    uint64_t taken = 0, refused = 0;

    (void)state;
    for (unsigned i = 0; i <= THREADS; i++) {
        workers[i].arena = arena;
        workers[i].random = 88172645463325252u + i;
        workers[i].stop = &stop;
        assert_int_equal(
            pthread_create(&threads[i], NULL, i < THREADS ? work : govern, &workers[i]), 0);
    }
    for (unsigned i = 0; i < THREADS; i++)
        pthread_join(threads[i], NULL);
    atomic_store(&stop, true);
    pthread_join(threads[THREADS], NULL);
    for (unsigned i = 0; i <= THREADS; i++) {
        assert_int_equal(workers[i].wrong, 0);
        taken += workers[i].taken;
        refused += workers[i].refused;
    }
    print_message("%llu pages taken, %llu refused\n", (unsigned long long)taken,
                  (unsigned long long)refused);
    assert_true(taken > 0);
    assert_int_equal(figures_of(arena).pages_used, 0);
    assert_int_equal(figures_of(arena).charged_bytes, 0);
    zbud_arena_check(arena);
    (void)zbud_arena_trim(arena, SIZE_MAX);
    assert_int_equal(figures_of(arena).pages_kept, 0);
    free(workers);
    zbud_arena_free(arena);
}

/* A file of three regions: of the first each page has a block, of the second one has none. */
static void recovers_what_has_words_and_keeps_whole_regions(void **state)
{
    (void)state;
    enum {
        REGIONS = 3
    };
    const size_t reserve = REGIONS * REGION_PAGES * PAGE;
    const uint64_t region_bytes = REGION_PAGES * PAGE;
    struct zbud_arena_file file = {.fd = memfd_create("arena_test", MFD_CLOEXEC)};
    file.words_at = zbud_arena_links_bytes(REGIONS * REGION_PAGES);
    file.pages_at = region_bytes;
    uint32_t pages;

    assert_true(file.fd >= 0);
    assert_int_equal(ftruncate(file.fd, (off_t)(region_bytes + reserve)), 0);
    struct zbud_arena *arena = zbud_arena_new_in(&file, reserve, reserve);
    for (uint32_t page = 0; page < 2 * REGION_PAGES; page++) {
        assert_int_equal(take(arena), page);
        memset(zbud_arena_page(arena, page), (int)(page % 251), PAGE);
        zbud_arena_words(arena)[page] = page % 10 == 0 ? 0 : page;
    }
    zbud_arena_free(arena);
    assert_int_equal(fallocate(file.fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE,
                               (off_t)(file.pages_at + (REGION_PAGES + 7) * PAGE), (off_t)PAGE),
                     0);

    arena = zbud_arena_new_in(&file, reserve, reserve);
    assert_true(zbud_arena_recover(arena, &pages));
    zbud_arena_check(arena);
    assert_int_equal(pages, 2 * REGION_PAGES);
    uint64_t used = 0, free_first = 0;
    for (uint32_t page = 0; page < pages; page++) {
        bool holds = page % 10 != 0 && page != REGION_PAGES + 7;
        assert_int_equal(zbud_arena_words(arena)[page], holds ? page : 0);
        used += holds;
        free_first += !holds && page < REGION_PAGES;
        if (holds)
            assert_int_equal(*(uint8_t *)zbud_arena_page(arena, page), page % 251);
    }
    assert_int_equal(figures_of(arena).pages_used, used);
    assert_int_equal(figures_of(arena).pages_kept, free_first);
    for (uint64_t i = 0; i < free_first; i++)
        assert_true(take(arena) < REGION_PAGES);
    assert_true(take(arena) >= REGION_PAGES);
    zbud_arena_check(arena);
    zbud_arena_free(arena);
    (void)close(file.fd);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(refuses_no_room_and_too_much),
        cmocka_unit_test(available_is_exact),
        cmocka_unit_test(keeps_the_last_given_for_the_next),
        cmocka_unit_test(chains_are_given_whole),
        cmocka_unit_test(links_make_chains),
        cmocka_unit_test(charges_count_and_push_kept_pages_out),
        cmocka_unit_test(whole_regions_count_at_once),
        cmocka_unit_test(memory_is_ready_before_it_is_asked_for),
        cmocka_unit_test(a_lower_limit_is_met_by_trimming),
        cmocka_unit_test(ages_and_pool_numbers_only_grow),
        cmocka_unit_test(threads_share_it),
        cmocka_unit_test(recovers_what_has_words_and_keeps_whole_regions),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
