/* page_test.c - what is packed unpacks the same, and misuse stops the program. */
#include "tests/zbud/check_zbud.h"
#include "zbud/page.h"
#include "zbud/poison.h"
#include "zbud/pool_inside.h"

#include <signal.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

/* ---- packing -------------------------------------------------------------------------------- */

static void entries_pack_both_ways(void **state)
{
    uint8_t *seen = calloc(1, 1u << 16);

    (void)state;
    for (unsigned offset = 0; offset < ZBUD_PAGE_BYTES; offset++) {
        for (unsigned rest = 0; rest < 16; rest++) {
            struct page_entry entry = {offset, rest >> 1, (rest & 1) != 0}, back;
            uint16_t bits = page_entry_pack(entry);
            assert_false(seen[bits]); /* no two alike */
            seen[bits] = 1;
            back = page_entry_unpack(bits);
            assert_int_equal(back.offset, entry.offset);
            assert_int_equal(back.tag, entry.tag);
            assert_int_equal(back.dead, entry.dead);
        }
    }
    free(seen);
}

static void handles_pack_both_ways(void **state)
{
    (void)state;
    for (unsigned bit = 0; bit < ZBUD_HANDLE_BITS - 1; bit++) {
        for (unsigned last = 0; last < 2; last++) {
            uint32_t pages[] = {UINT32_C(1) << bit, (UINT32_C(1) << bit) - 1};
            for (unsigned i = 0; i < 2; i++) {
                enum page_end end = last ? PAGE_LAST : PAGE_FIRST;
                struct zbud_handle handle = handle_pack(pages[i], end);
                assert_true(handle.bits != 0);
                assert_int_equal(handle_page(handle), pages[i]);
                assert_int_equal(handle_end(handle), end);
            }
        }
    }
}

/* Both ends measure from their own side, and never meet the header or each other. */
static void spans_mirror(void **state)
{
    struct page_header *page = aligned_alloc(ZBUD_PAGE_BYTES, ZBUD_PAGE_BYTES);
    uint8_t *bytes = (uint8_t *)page;

    (void)state;
    assert_ptr_equal(page_span(page, PAGE_FIRST, 0, 1), bytes + 64);
    assert_ptr_equal(page_span(page, PAGE_FIRST, 10, 1), bytes + 74);
    assert_ptr_equal(page_span(page, PAGE_FIRST, 0, ZBUD_BUDDY_BYTES_MAX), bytes + 64);
    assert_ptr_equal(page_span(page, PAGE_LAST, 0, 1), bytes + 4095);
    assert_ptr_equal(page_span(page, PAGE_LAST, 10, 5), bytes + 4096 - 15);
    assert_ptr_equal(page_span(page, PAGE_LAST, 0, ZBUD_BUDDY_BYTES_MAX), bytes + 64);
    free(page);
}

static void chunks_round_up(void **state)
{
    (void)state;
    assert_int_equal(page_chunks(0), 0);
    assert_int_equal(page_chunks(1), 1);
    assert_int_equal(page_chunks(64), 1);
    assert_int_equal(page_chunks(65), 2);
    assert_int_equal(page_chunks(4032), 63);
    assert_int_equal(page_log_chunks(0, 0), 1); /* an empty log has a chunk, or it were none */
    assert_int_equal(page_log_chunks(62, 1), 1);
    assert_int_equal(page_log_chunks(63, 1), 2);
    assert_int_equal(page_log_chunks(ZBUD_RECORD_BYTES_MAX, 1), 63);
}

/* ---- misuse --------------------------------------------------------------------------------- */

struct rig {
    struct zbud_arena *arena;
    struct zbud_pool *pool;
    struct zbud_pool *other;
    struct zbud_handle plain; /* with a neighbour, so that its page stays when it is freed */
    struct zbud_handle large; /* a log of one record */
    struct zbud_handle small; /* a log of two */
};

typedef void misuse_fn(struct rig *rig);

static struct zbud_handle append(struct zbud_pool *pool, size_t bytes)
{
    struct zbud_handle log = {0};
    void *data;
    if (zbud_log_open(pool, 0, bytes, &log) == ZBUD_OK)
        (void)zbud_log_append(pool, log, bytes, 0, &data);
    return log;
}

static void rig_init(struct rig *rig)
{
    struct zbud_handle neighbour;

    rig->arena = zbud_arena_new(64 * ZBUD_PAGE_BYTES, 64 * ZBUD_PAGE_BYTES);
    rig->pool = zbud_pool_create(rig->arena);
    rig->other = zbud_pool_create(rig->arena);
    assert_int_equal(zbud_alloc(rig->pool, 1000, &rig->plain), ZBUD_OK);
    assert_int_equal(zbud_alloc(rig->pool, 2900, &neighbour), ZBUD_OK);
    rig->large = append(rig->pool, 3000);
    rig->small = append(rig->pool, 20);
    (void)append(rig->pool, 30);
    zbud_pool_check(rig->pool);
}

static void rig_fini(struct rig *rig)
{
    zbud_pool_destroy(rig->other);
    zbud_pool_destroy(rig->pool);
    zbud_arena_free(rig->arena);
}

/* A child does it and must be aborted; its complaint is not for the test's output. */
static void assert_aborts(struct rig *rig, misuse_fn *misuse)
{
    int status = 0;
    pid_t child = fork();

    assert_true(child >= 0);
    if (child == 0) {
        struct rlimit no_core = {0, 0};
        (void)setrlimit(RLIMIT_CORE, &no_core);
        (void)signal(SIGABRT, SIG_DFL);
        (void)close(STDERR_FILENO);
        misuse(rig);
        _exit(0);
    }
    assert_int_equal(waitpid(child, &status, 0), child);
    /* An assert ends by SIGABRT, a sanitizer's finding by a status of its own. */
    assert_true(WIFSIGNALED(status) ? WTERMSIG(status) == SIGABRT : WEXITSTATUS(status) != 0);
}

static void free_twice(struct rig *rig)
{
    zbud_free(rig->pool, rig->plain);
    zbud_free(rig->pool, rig->plain);
}

static void free_nothing(struct rig *rig)
{
    zbud_free(rig->pool, (struct zbud_handle){0});
}

static void free_beyond_the_arena(struct rig *rig)
{
    zbud_free(rig->pool, (struct zbud_handle){UINT32_MAX});
}

static void map_in_another_pool(struct rig *rig)
{
    (void)zbud_map(rig->other, rig->plain);
}

static void use_a_page_given_away(struct rig *rig)
{
    (void)zbud_log_kill(rig->pool, rig->large, 0);
    zbud_free(rig->pool, rig->small);
    zbud_touch(rig->pool, rig->small);
}

static void read_a_plain_buddy_as_a_log(struct rig *rig)
{
    (void)zbud_log_records(rig->pool, rig->plain);
}

static void kill_twice(struct rig *rig)
{
    (void)zbud_log_kill(rig->pool, rig->small, 0);
    (void)zbud_log_kill(rig->pool, rig->small, 0);
}

static void kill_what_never_was(struct rig *rig)
{
    (void)zbud_log_kill(rig->pool, rig->small, 2);
}

static void append_without_opening(struct rig *rig)
{
    void *data;
    (void)zbud_log_append(rig->pool, rig->small, 1, 0, &data);
}

static void append_more_than_opened_for(struct rig *rig)
{
    struct zbud_handle log = {0};
    void *data;
    if (zbud_log_open(rig->pool, 0, 10, &log) == ZBUD_OK)
        (void)zbud_log_append(rig->pool, log, 11, 0, &data);
}

static void append_a_tag_of_four_bits(struct rig *rig)
{
    struct zbud_handle log = {0};
    void *data;
    if (zbud_log_open(rig->pool, 0, 10, &log) == ZBUD_OK)
        (void)zbud_log_append(rig->pool, log, 10, ZBUD_RECORD_TAG_MAX + 1, &data);
}

static void keep_it(void *owner, struct zbud_handle handle)
{
    (void)owner;
    (void)handle;
}

static void evict_without_freeing(struct rig *rig)
{
    if (zbud_reclaim(rig->pool, keep_it, rig) != ZBUD_OK)
        _exit(0);
}

static void walk_again(void *owner, struct zbud_handle handle)
{
    struct rig *rig = owner;
    (void)handle;
    (void)zbud_walk(rig->pool, 1, keep_it, rig);
}

static void walk_within_a_walk(struct rig *rig)
{
    (void)zbud_walk(rig->pool, 1, walk_again, rig);
}

static void give_a_page_twice(struct rig *rig)
{
    uint32_t page;
    if (zbud_arena_take(rig->arena, &page) == ZBUD_OK) {
        zbud_arena_give(rig->arena, page);
        zbud_arena_give(rig->arena, page);
    }
}

static void uncharge_more_than_charged(struct rig *rig)
{
    zbud_arena_uncharge(rig->arena, 1);
}

static void limit_above_the_reserve(struct rig *rig)
{
    zbud_arena_set_limit(rig->arena, 65 * ZBUD_PAGE_BYTES);
}

static void misuse_is_an_assert(void **state)
{
    misuse_fn *const misuses[] = {
        free_twice,
        free_nothing,
        free_beyond_the_arena,
        map_in_another_pool,
        use_a_page_given_away,
        read_a_plain_buddy_as_a_log,
        kill_twice,
        kill_what_never_was,
        append_without_opening,
        append_more_than_opened_for,
        append_a_tag_of_four_bits,
        evict_without_freeing,
        walk_within_a_walk,
        give_a_page_twice,
        uncharge_more_than_charged,
        limit_above_the_reserve,
    };
    struct rig rig;

    (void)state;
    rig_init(&rig);
    for (size_t i = 0; i < sizeof(misuses) / sizeof(misuses[0]); i++) {
        print_message("misuse %zu\n", i);
        assert_aborts(&rig, misuses[i]);
    }
    zbud_pool_check(rig.pool); /* each child spoilt its own copy */
    rig_fini(&rig);
}

/* ---- the check finds what is broken --------------------------------------------------------- */

static struct page_header *page_of(struct rig *rig, struct zbud_handle handle)
{
    return pool_page(rig->pool, handle_page(handle));
}

static void break_and_check(struct rig *rig, uint8_t *byte, uint8_t flip)
{
    *byte ^= flip;
    zbud_pool_check(rig->pool);
}

/* Flips each bit of a header's links, chunks and counts: no flip goes unnoticed. */
static void the_check_finds_every_flip(void **state)
{
    struct rig rig;
    struct page_header *page;
    const size_t user[] = {offsetof(struct page_header, buddies[0].word),
                           offsetof(struct page_header, buddies[1].word)};

    (void)state;
    rig_init(&rig);
    page = page_of(&rig, rig.large); /* an open log beside a closed one */
    assert_int_equal(page->state, PAGE_OPEN);
    for (size_t at = sizeof(page->age); at < sizeof(*page); at++) {
        int status = 0;
        pid_t child;

        if ((at >= user[0] && at < user[0] + 8) || (at >= user[1] && at < user[1] + 8))
            continue; /* any word is a good one */
        if (at >= offsetof(struct page_header, list_before) &&
            at < offsetof(struct page_header, buddies))
            continue; /* not in a list */
        child = fork();
        assert_true(child >= 0);
        if (child == 0) {
            struct rlimit no_core = {0, 0};
            (void)setrlimit(RLIMIT_CORE, &no_core);
            (void)signal(SIGSEGV, SIG_DFL);
            (void)close(STDERR_FILENO);
            break_and_check(&rig, (uint8_t *)page + at, 1);
            _exit(0);
        }
        assert_int_equal(waitpid(child, &status, 0), child);
        if (!WIFSIGNALED(status) && WEXITSTATUS(status) == 0)
            fail_msg("byte %zu of the header may be anything", at);
    }
    zbud_pool_check(rig.pool);
    rig_fini(&rig);
}

/* ---- poison --------------------------------------------------------------------------------- */

#if ZBUD_POISONS
static bool refused(const void *at)
{
    return __asan_address_is_poisoned(at) != 0;
}
#else
/* Without the sanitizer there is no poison to ask for, and the test is one of the layout. */
static bool refused(const void *at)
{
    (void)at;
    return true;
}
#endif

static void free_bytes_are_poisoned(void **state)
{
    struct rig rig;
    uint8_t *plain, *bytes;
    size_t record_bytes;
    uint32_t page;
    unsigned tag;

    (void)state;
    rig_init(&rig);
    plain = zbud_map(rig.pool, rig.plain);
    plain[0] = plain[999] = 1; /* would stop the program */
    assert_true(refused(plain + 1000));
    assert_true(refused(plain + 1023));
    assert_true(refused(plain + 1024)); /* slack */
    zbud_free(rig.pool, rig.plain);
    assert_true(refused(plain) && refused(plain + 999));

    /* The open log is a last buddy: record 0 of 20 bytes at the page's end, 1 of 30 before it. */
    bytes = zbud_log_record(rig.pool, rig.small, 0, &record_bytes, &tag);
    assert_ptr_equal(bytes + 20, (uint8_t *)page_of(&rig, rig.small) + ZBUD_PAGE_BYTES);
    (void)zbud_log_kill(rig.pool, rig.small, 0);
    assert_true(refused(bytes + 4) && refused(bytes + 19)); /* from the next granule of 8 on */
    bytes = zbud_log_record(rig.pool, rig.small, 1, &record_bytes, &tag);
    bytes[0] = bytes[29] = 1;
    assert_true(refused(bytes - 4 - 8)); /* before the directory's two entries */
    zbud_log_squeeze(rig.pool, rig.small);
    bytes = zbud_log_record(rig.pool, rig.small, 1, &record_bytes, &tag);
    assert_ptr_equal(bytes + 30, (uint8_t *)page_of(&rig, rig.small) + ZBUD_PAGE_BYTES);
    bytes[0] = bytes[29] = 1;
    assert_true(refused(bytes - 4 - 8));
    zbud_pool_check(rig.pool);

    assert_int_equal(zbud_arena_take(rig.arena, &page), ZBUD_OK);
    bytes = zbud_arena_page(rig.arena, page);
    bytes[0] = bytes[4095] = 1;
    zbud_arena_give(rig.arena, page);
    assert_true(refused(bytes) && refused(bytes + 4095));
    rig_fini(&rig);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(entries_pack_both_ways),
        cmocka_unit_test(handles_pack_both_ways),
        cmocka_unit_test(spans_mirror),
        cmocka_unit_test(chunks_round_up),
        cmocka_unit_test(misuse_is_an_assert),
        cmocka_unit_test(the_check_finds_every_flip),
        cmocka_unit_test(free_bytes_are_poisoned),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
