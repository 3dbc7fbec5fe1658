/* log_test.c - records in logs at both ends of a page, open logs, kill and squeeze. */
#include "tests/zbud/check_zbud.h"
#include "tests/zbud/rig.h"
#include "zbud/log.h"

#include <string.h>

#define KINDS_COUNT 48u /* each has a page of its own */

static struct zbud_handle open_log(struct rig *rig, size_t bytes_max)
{
    struct zbud_handle log = {0};
    assert_int_equal(zbud_log_open(rig->pool, 0, bytes_max, &log), ZBUD_OK);
    zbud_pool_check(rig->pool);
    return log;
}

/* Opens for exactly @bytes and appends; the seed is the record's number and the log's handle. */
static struct zbud_handle append(struct rig *rig, size_t bytes)
{
    struct zbud_handle log = open_log(rig, bytes);
    void *data = NULL;
    unsigned number = zbud_log_append(rig->pool, log, bytes, (unsigned)bytes % 8, &data);
    fill(data, bytes, number * 65536 + log.bits);
    zbud_pool_check(rig->pool);
    return log;
}

static void verify(struct rig *rig, struct zbud_handle log, unsigned number, size_t bytes)
{
    size_t found_bytes = 0;
    unsigned tag = 99;
    uint8_t *data = zbud_log_record(rig->pool, log, number, &found_bytes, &tag);

    assert_non_null(data);
    assert_int_equal(found_bytes, bytes);
    assert_int_equal(tag, bytes % 8);
    expect_filled(data, bytes, number * 65536 + log.bits);
}

static void assert_dead(struct rig *rig, struct zbud_handle log, unsigned number)
{
    size_t bytes = 4711;
    unsigned tag = 99;
    assert_null(zbud_log_record(rig->pool, log, number, &bytes, &tag));
    assert_int_equal(bytes, 4711);
}

static void assert_bytes(struct rig *rig, struct zbud_handle log, size_t live, size_t dead)
{
    size_t live_bytes, dead_bytes;
    zbud_log_bytes(rig->pool, log, &live_bytes, &dead_bytes);
    assert_int_equal(live_bytes, live);
    assert_int_equal(dead_bytes, dead);
}

/* ---- both ends ------------------------------------------------------------------------------ */

/* Puts a plain buddy in the page first where the log is to be its last buddy. */
static struct zbud_handle log_at_end(struct rig *rig, bool last, struct zbud_handle *plain)
{
    struct zbud_handle log;

    plain->bits = 0;
    if (last)
        assert_int_equal(zbud_alloc(rig->pool, 3 * CHUNK, plain), ZBUD_OK);
    log = append(rig, 100);
    assert_int_equal(log.bits & 1, last);
    assert_true(!last || same_page(log, *plain));
    return log;
}

static void kill_and_squeeze_at(struct rig *rig, bool last)
{
    const size_t sizes[] = {100, 1, 7, 64, 8, 300, 9, 128};
    struct zbud_handle plain, log = log_at_end(rig, last, &plain);
    uint64_t slack;

    for (unsigned i = 1; i < 8; i++)
        assert_int_equal(append(rig, sizes[i]).bits, log.bits);
    assert_int_equal(zbud_log_records(rig->pool, log), 8);
    for (unsigned i = 0; i < 8; i++)
        verify(rig, log, i, sizes[i]);
    assert_bytes(rig, log, 617, 0);

    assert_false(zbud_log_kill(rig->pool, log, 0));
    assert_false(zbud_log_kill(rig->pool, log, 3));
    assert_false(zbud_log_kill(rig->pool, log, 4));
    assert_false(zbud_log_kill(rig->pool, log, 7));
    assert_int_equal(zbud_log_live(rig->pool, log), 4);
    zbud_pool_check(rig->pool);
    assert_bytes(rig, log, 317, 300);
    assert_int_equal(rig_figures(rig).dead_bytes, 300);
    slack = rig_figures(rig).slack_bytes;

    zbud_log_squeeze(rig->pool, log);
    zbud_pool_check(rig->pool);
    assert_bytes(rig, log, 317, 0);
    assert_int_equal(zbud_log_records(rig->pool, log), 7); /* 7 was the last: its number is free */
    assert_int_equal(rig_figures(rig).slack_bytes, slack + 4 * CHUNK); /* 633 bytes became 331 */
    assert_int_equal(rig_figures(rig).logs_squeezed, 1);
    for (unsigned i = 0; i < 7; i++) {
        if (i == 0 || i == 3 || i == 4)
            assert_dead(rig, log, i);
        else
            verify(rig, log, i, sizes[i]);
    }
    zbud_log_squeeze(rig->pool, log); /* nothing to do, nothing done */
    assert_int_equal(rig_figures(rig).logs_squeezed, 1);

    assert_int_equal(append(rig, 33).bits, log.bits); /* still open; number 7 again */
    verify(rig, log, 7, 33);
    verify(rig, log, 6, 9);
    assert_dead(rig, log, 8);
    if (last)
        zbud_free(rig->pool, plain);
    zbud_pool_check(rig->pool);
    verify(rig, log, 5, 300);
    zbud_free(rig->pool, log); /* an open log may be freed as it is */
    assert_int_equal(zbud_pool_pages(rig->pool), 0);
    assert_int_equal(rig_figures(rig).records, 0);
    assert_int_equal(rig_figures(rig).live_bytes, 0);
}

static void kill_and_squeeze_at_the_first_end(void **state)
{
    kill_and_squeeze_at(*state, false);
}

static void kill_and_squeeze_at_the_last_end(void **state)
{
    kill_and_squeeze_at(*state, true);
}

/* Each subset of 6 records of odd sizes killed and squeezed, in either end. */
static void every_subset_squeezes(void **state)
{
    const size_t sizes[] = {5, 70, 1, 8, 191, 16};
    struct rig *rig = *state;

    for (unsigned round = 0; round < 2 * 63; round++) {
        unsigned victims = round % 63;
        size_t dead = 0;
        struct zbud_handle plain = {0}, log;
        if (round >= 63)
            assert_int_equal(zbud_alloc(rig->pool, 64, &plain), ZBUD_OK);
        for (unsigned i = 0; i < 6; i++)
            log = append(rig, sizes[i]);
        assert_int_equal(log.bits & 1, round >= 63);
        for (unsigned i = 0; i < 6; i++) {
            if ((victims >> i & 1) != 0) {
                assert_false(zbud_log_kill(rig->pool, log, i));
                dead += sizes[i];
            }
        }
        assert_bytes(rig, log, 291 - dead, dead);
        zbud_log_squeeze(rig->pool, log);
        zbud_pool_check(rig->pool);
        for (unsigned i = 0; i < 6; i++) {
            if ((victims >> i & 1) != 0)
                assert_dead(rig, log, i);
            else
                verify(rig, log, i, sizes[i]);
        }
        zbud_free(rig->pool, log);
        if (round >= 63)
            zbud_free(rig->pool, plain);
        assert_int_equal(zbud_pool_pages(rig->pool), 0);
    }
}

/* ---- limits --------------------------------------------------------------------------------- */

static void sizes_at_the_borders(void **state)
{
    struct rig *rig = *state;
    struct zbud_handle log = {4711};
    void *data;

    assert_int_equal(ZBUD_RECORD_BYTES_MAX, 4030);
    assert_int_equal(zbud_log_open(rig->pool, 0, 0, &log), ZBUD_BAD_SIZE);
    assert_int_equal(zbud_log_open(rig->pool, 0, ZBUD_RECORD_BYTES_MAX + 1, &log), ZBUD_TOO_LARGE);
    assert_int_equal(zbud_log_open(rig->pool, 0, SIZE_MAX, &log), ZBUD_TOO_LARGE);
    assert_int_equal(log.bits, 4711);
    assert_int_equal(zbud_pool_pages(rig->pool), 0);

    log = append(rig, ZBUD_RECORD_BYTES_MAX);
    verify(rig, log, 0, ZBUD_RECORD_BYTES_MAX);
    assert_int_equal(rig_figures(rig).slack_bytes, 0);
    assert_true(zbud_log_kill(rig->pool, log, 0));

    log = open_log(rig, ZBUD_RECORD_BYTES_MAX); /* opened for the most, given the least */
    assert_int_equal(zbud_log_append(rig->pool, log, 1, ZBUD_RECORD_TAG_MAX, &data), 0);
    assert_bytes(rig, log, 1, 0);
    assert_int_equal(rig_figures(rig).chunks_used, 1);
}

static void a_log_holds_so_many_numbers(void **state)
{
    struct rig *rig = *state;
    struct zbud_handle log = append(rig, 1);
    const unsigned last = ZBUD_RECORDS_MAX - 1;

    for (unsigned i = 1; i <= last; i++)
        assert_int_equal(append(rig, 1).bits, log.bits);
    assert_int_equal(zbud_log_records(rig->pool, log), ZBUD_RECORDS_MAX);
    verify(rig, log, last, 1);
    assert_false(zbud_log_kill(rig->pool, log, 0)); /* dead numbers count as well */
    assert_int_not_equal(append(rig, 1).bits, log.bits);
    for (unsigned i = 1; i < last; i++)
        assert_false(zbud_log_kill(rig->pool, log, i));
    zbud_log_squeeze(rig->pool, log);
    assert_int_equal(zbud_log_records(rig->pool, log), ZBUD_RECORDS_MAX);
    verify(rig, log, last, 1);
    assert_true(zbud_log_kill(rig->pool, log, last));
}

/* Bytes and directory fill a page to the last byte, at any mix of record sizes. */
static void a_page_is_filled_to_the_last_byte(void **state)
{
    struct rig *rig = *state;

    for (size_t bytes = 31; bytes <= 1900; bytes = bytes * 3 / 2) {
        size_t records = ZBUD_BUDDY_BYTES_MAX / (bytes + 2);
        size_t rest = ZBUD_BUDDY_BYTES_MAX - records * (bytes + 2);
        struct zbud_handle log = append(rig, bytes);

        for (size_t i = 1; i < records; i++)
            assert_int_equal(append(rig, bytes).bits, log.bits);
        if (rest > 2) {
            assert_int_equal(append(rig, rest - 2).bits, log.bits);
            assert_int_equal(rig_figures(rig).slack_bytes, 0);
        }
        for (unsigned i = 0; i < records; i++)
            verify(rig, log, i, bytes);
        zbud_free(rig->pool, log);
    }
}

static void words_and_tags_are_the_users(void **state)
{
    struct rig *rig = *state;
    struct zbud_handle log = open_log(rig, 10), other;
    void *data;

    assert_true(zbud_log_word(rig->pool, log) == 0);
    zbud_log_set_word(rig->pool, log, UINT64_MAX);
    for (unsigned tag = 0; tag <= ZBUD_RECORD_TAG_MAX; tag++) {
        size_t bytes;
        unsigned found = 99;
        log = open_log(rig, 10);
        assert_int_equal(zbud_log_append(rig->pool, log, 10, tag, &data), tag);
        assert_non_null(zbud_log_record(rig->pool, log, tag, &bytes, &found));
        assert_int_equal(found, tag);
    }
    assert_true(zbud_log_word(rig->pool, log) == UINT64_MAX);
    zbud_free(rig->pool, log);
    other = open_log(rig, 10);
    assert_true(zbud_log_word(rig->pool, other) == 0);
}

/* ---- open logs ------------------------------------------------------------------------------ */

/* Four logs of different room; each record goes where it fits tightest. */
static void appends_where_it_fits_tightest(void **state)
{
    struct rig *rig = *state;
    const size_t plain_chunks[] = {35, 40, 45, 50}; /* leave 28, 23, 18, 13 */
    struct zbud_handle logs[4];

    for (unsigned i = 0; i < 4; i++) {
        struct zbud_handle plain;
        assert_int_equal(zbud_alloc(rig->pool, plain_chunks[i] * CHUNK, &plain), ZBUD_OK);
    }
    /* Each is too much for the room of the logs before it. */
    logs[3] = append(rig, 1);          /* 13 chunks less 5 bytes: room for 827 */
    logs[2] = append(rig, 840);        /* 18 chunks less 844: 308 */
    logs[1] = append(rig, 1172);       /* 23 chunks less 1176: 296 */
    logs[0] = append(rig, 23 * CHUNK); /* 28 chunks less 1476: 316 */
    for (unsigned i = 0; i < 4; i++) {
        for (unsigned j = 0; j < i; j++)
            assert_false(same_page(logs[i], logs[j]));
    }
    assert_int_equal(append(rig, 300).bits, logs[2].bits);
    assert_int_equal(append(rig, 310).bits, logs[0].bits);
    assert_int_equal(append(rig, 296).bits, logs[1].bits);
    assert_int_equal(append(rig, 290).bits, logs[3].bits);
    assert_int_equal(rig_figures(rig).pages, 4);
    assert_int_equal(rig_figures(rig).pages_buddied, 4);
}

/* Records of two kinds never share a log, and a kind that comes again finds its log open, unless
 * more kinds than slots share its slots. */
static void kinds_have_logs_of_their_own(void **state)
{
    struct rig *rig = *state;
    struct zbud_handle logs[KINDS_COUNT], again;
    unsigned open = 0, same = 0;
    void *data;

    for (unsigned kind = 0; kind < KINDS_COUNT; kind++) {
        assert_int_equal(zbud_log_open(rig->pool, kind, 20, &logs[kind]), ZBUD_OK);
        (void)zbud_log_append(rig->pool, logs[kind], 20, 0, &data);
        memset(data, 1, 20);
        for (unsigned other = 0; other < kind; other++)
            assert_int_not_equal(logs[kind].bits, logs[other].bits);
    }
    for (unsigned kind = 0; kind < KINDS_COUNT; kind++)
        open += zbud_log_is_open(rig->pool, logs[kind]);
    for (unsigned kind = 0; kind < KINDS_COUNT; kind++) {
        bool was_open = zbud_log_is_open(rig->pool, logs[kind]);
        assert_int_equal(zbud_log_open(rig->pool, kind, 20, &again), ZBUD_OK);
        (void)zbud_log_append(rig->pool, again, 20, 0, &data);
        assert_int_equal(again.bits == logs[kind].bits, was_open);
        same += again.bits == logs[kind].bits;
    }
    assert_in_range(open, KINDS_COUNT / 2, ZBUD_LOGS_OPEN_MAX);
    assert_in_range(same, 1, open);
}

/* Who closes a log says that nothing more comes; an empty one goes. */
static void a_log_is_closed_on_request(void **state)
{
    struct rig *rig = *state;
    struct zbud_handle log = append(rig, 100), empty;

    assert_false(zbud_log_close(rig->pool, log));
    assert_false(zbud_log_is_open(rig->pool, log));
    assert_false(zbud_log_close(rig->pool, log)); /* again: nothing changes */
    assert_int_equal(zbud_log_records(rig->pool, log), 1);
    assert_int_not_equal(append(rig, 100).bits, log.bits);
    assert_int_equal(zbud_log_open(rig->pool, 77, 100, &empty), ZBUD_OK);
    assert_true(zbud_log_close(rig->pool, empty));
    zbud_pool_check(rig->pool);
}

/* One that is gone is gone, whether its page is or not. */
static void an_empty_log_goes_from_beside_a_buddy(void **state)
{
    struct rig *rig = *state;
    struct zbud_handle plain, empty;

    assert_int_equal(zbud_alloc(rig->pool, 3 * CHUNK, &plain), ZBUD_OK);
    assert_int_equal(zbud_log_open(rig->pool, 0, 100, &empty), ZBUD_OK);
    assert_true(same_page(plain, empty));
    assert_true(zbud_log_close(rig->pool, empty));
    zbud_pool_check(rig->pool);
    assert_int_equal(zbud_pool_pages(rig->pool), 1);
    zbud_free(rig->pool, plain);
    assert_int_equal(zbud_pool_pages(rig->pool), 0);
}

/* A fifth log closes the one appended to longest ago, and its page's room is offered again. */
static void a_fifth_log_closes_one(void **state)
{
    const size_t half = 31 * CHUNK - 2; /* two fill all but a chunk of a page */
    struct rig *rig = *state;
    struct zbud_handle plain, logs[5];

    for (unsigned i = 0; i < 4; i++) {
        logs[i] = append(rig, half);
        assert_int_equal(append(rig, half).bits, logs[i].bits);
    }
    assert_int_equal(append(rig, 50).bits, logs[0].bits); /* fits all: the first one */
    logs[4] = append(rig, half);                          /* closes 1 */
    assert_int_equal(rig_figures(rig).pages, 5);
    assert_int_equal(zbud_alloc(rig->pool, CHUNK, &plain), ZBUD_OK);
    assert_true(same_page(plain, logs[1]));
    assert_int_equal(append(rig, half).bits, logs[4].bits);
    (void)append(rig, half); /* closes 2 */
    assert_int_equal(zbud_alloc(rig->pool, CHUNK, &plain), ZBUD_OK);
    assert_true(same_page(plain, logs[2]));
    verify(rig, logs[1], 0, half);
    verify(rig, logs[2], 1, half);
}

static void an_open_logs_slack_is_its_own(void **state)
{
    struct rig *rig = *state;
    struct zbud_handle log = append(rig, 10), plain;

    assert_int_equal(zbud_alloc(rig->pool, CHUNK, &plain), ZBUD_OK);
    assert_false(same_page(log, plain));
}

static void large_records_live_alone(void **state)
{
    struct rig *rig = *state;
    size_t alone = (ZBUD_RECORD_ALONE_CHUNKS - 1) * CHUNK - 1; /* + 2 is a byte into chunk 32 */
    struct zbud_handle small = append(rig, 10), large = append(rig, alone), plain;

    assert_false(same_page(small, large));
    verify(rig, large, 0, alone);
    /* Closed behind it: the rest of the page is anybody's. */
    assert_int_equal(zbud_alloc(rig->pool, 31 * CHUNK, &plain), ZBUD_OK);
    assert_true(same_page(plain, large));
    assert_int_equal(append(rig, alone - 1).bits, small.bits); /* just too small to be alone */
    assert_true(zbud_log_kill(rig->pool, large, 0));
    verify(rig, small, 0, 10);
}

/* The neighbour's room of a large record goes to a log. */
static void a_log_opens_beside_a_large_record(void **state)
{
    struct rig *rig = *state;
    struct zbud_handle large = append(rig, 40 * CHUNK), small = append(rig, 20 * CHUNK);

    assert_true(same_page(large, small));
    assert_int_equal(small.bits & 1, 1);
    verify(rig, large, 0, 40 * CHUNK);
    verify(rig, small, 0, 20 * CHUNK);
}

static void a_changed_mind_costs_no_page(void **state)
{
    struct rig *rig = *state;
    struct zbud_handle log, again;

    log = open_log(rig, 100);
    again = open_log(rig, 100);
    assert_int_equal(log.bits, again.bits);
    assert_int_equal(zbud_log_records(rig->pool, again), 0);
    for (unsigned i = 0; i < 100; i++)
        (void)open_log(rig, 2500 + i * 10); /* each for a log of its own */
    assert_int_equal(zbud_pool_pages(rig->pool), 2);
    assert_int_equal(rig_figures(rig).records, 0);
}

static void a_word_of_a_changed_mind_is_forgotten(void **state)
{
    struct rig *rig = *state;
    struct zbud_handle log = open_log(rig, 3000);

    zbud_log_set_word(rig->pool, log, 77);
    log = open_log(rig, 2900);
    assert_true(zbud_log_word(rig->pool, log) == 0);
}

/* Two empty logs whose room is too little make way, with their pages or without. */
static void empty_logs_make_way(void **state)
{
    struct rig *rig = *state;
    struct zbud_handle plain[2];

    assert_int_equal(zbud_alloc(rig->pool, 20 * CHUNK, &plain[0]), ZBUD_OK);
    (void)open_log(rig, 40 * CHUNK); /* alone, behind plain[0] */
    assert_int_equal(zbud_pool_pages(rig->pool), 1);
    (void)open_log(rig, 60 * CHUNK); /* needs a page, and frees that end */
    assert_int_equal(zbud_pool_pages(rig->pool), 2);
    assert_int_equal(zbud_alloc(rig->pool, 43 * CHUNK, &plain[1]), ZBUD_OK);
    assert_true(same_page(plain[0], plain[1]));
}

static void killing_the_last_record_frees_the_log(void **state)
{
    struct rig *rig = *state;
    struct zbud_handle log = append(rig, 10), plain;

    assert_int_equal(append(rig, 20).bits, log.bits);
    assert_false(zbud_log_kill(rig->pool, log, 1));
    assert_true(zbud_log_kill(rig->pool, log, 0)); /* open as it is */
    assert_int_equal(zbud_pool_pages(rig->pool), 0);
    assert_int_equal(rig_figures(rig).dead_bytes, 0);

    log = append(rig, 3000); /* closed, and with a neighbour */
    assert_int_equal(zbud_alloc(rig->pool, 500, &plain), ZBUD_OK);
    assert_true(same_page(plain, log));
    assert_true(zbud_log_kill(rig->pool, log, 0));
    assert_int_equal(zbud_pool_pages(rig->pool), 1);
    assert_int_equal(rig_figures(rig).slack_bytes, 55 * CHUNK);
}

/* The slack that a neighbour leaves goes to the open log at once. */
static void a_neighbours_room_goes_to_the_open_log(void **state)
{
    struct rig *rig = *state;
    struct zbud_handle plain, log;

    assert_int_equal(zbud_alloc(rig->pool, 40 * CHUNK, &plain), ZBUD_OK);
    log = append(rig, 20 * CHUNK);
    assert_true(same_page(plain, log));
    zbud_free(rig->pool, plain);
    assert_int_equal(append(rig, 31 * CHUNK - 2).bits, log.bits);
    assert_int_equal(zbud_pool_pages(rig->pool), 1);
    verify(rig, log, 0, 20 * CHUNK);
    verify(rig, log, 1, 31 * CHUNK - 2);
}

static void failing_changes_nothing(void **state)
{
    struct rig *rig = *state;
    size_t available = zbud_arena_available(rig->arena);
    struct zbud_handle log = {4711}, whole;
    struct zbud_pool_figures before, after;

    for (size_t i = 1; i < available; i++)
        assert_int_equal(zbud_alloc(rig->pool, ZBUD_BUDDY_BYTES_MAX, &whole), ZBUD_OK);
    (void)append(rig, 30 * CHUNK);
    before = rig_figures(rig);
    assert_int_equal(zbud_log_open(rig->pool, 0, 3000, &log), ZBUD_NO_PAGE);
    assert_int_equal(log.bits, 4711);
    (void)append(rig, 20 * CHUNK);
    assert_int_equal(zbud_log_open(rig->pool, 0, 20 * CHUNK, &log), ZBUD_NO_PAGE);
    assert_int_equal(log.bits, 4711);
    after = rig_figures(rig);
    assert_int_equal(after.pages, before.pages);
    (void)append(rig, 10 * CHUNK); /* the open log is open still */
    zbud_free(rig->pool, whole);
    (void)append(rig, 3000);
}

/* ---- reclaim and walk ----------------------------------------------------------------------- */

static void evict_by_killing(void *owner, struct zbud_handle log)
{
    struct rig *rig = owner;
    size_t bytes;
    unsigned tag, live = 0;

    rig_remember(rig, log);
    for (unsigned number = 0; number < zbud_log_records(rig->pool, log); number++)
        live += zbud_log_record(rig->pool, log, number, &bytes, &tag) != NULL;
    for (unsigned number = 0; live != 0; number++) {
        if (zbud_log_record(rig->pool, log, number, &bytes, &tag) == NULL)
            continue;
        live--;
        assert_true(zbud_log_kill(rig->pool, log, number) == (live == 0));
    }
}

/* Only appends keep an open log's page young. */
static void an_idle_open_log_goes_with_its_page(void **state)
{
    struct rig *rig = *state;
    struct zbud_handle open = append(rig, 100), closed = append(rig, 4000), after;

    assert_int_equal(append(rig, 200).bits, open.bits);
    assert_int_equal(zbud_reclaim(rig->pool, evict_by_killing, rig), ZBUD_OK);
    assert_int_equal(rig->seen[0].bits, closed.bits);
    closed = append(rig, 4000);
    assert_int_equal(zbud_reclaim(rig->pool, evict_by_killing, rig), ZBUD_OK);
    assert_int_equal(rig->seen[1].bits, open.bits);
    assert_int_equal(rig->seen_count, 2);
    verify(rig, closed, 0, 4000);
    after = append(rig, 100);
    verify(rig, after, 0, 100);
}

static void an_empty_open_log_is_reclaimed_without_a_call(void **state)
{
    struct rig *rig = *state;

    (void)open_log(rig, 100);
    assert_true(zbud_pool_oldest(rig->pool) != UINT64_MAX);
    assert_int_equal(zbud_reclaim(rig->pool, evict_by_killing, rig), ZBUD_OK);
    assert_int_equal(rig->seen_count, 0);
    assert_int_equal(zbud_pool_pages(rig->pool), 0);
    assert_int_equal(zbud_reclaim(rig->pool, evict_by_killing, rig), ZBUD_NO_PAGE);
}

static void an_empty_open_log_leaves_its_neighbour_to_evict(void **state)
{
    struct rig *rig = *state;
    struct zbud_handle large = append(rig, 3000);

    assert_true(same_page(open_log(rig, 100), large));
    assert_int_equal(zbud_reclaim(rig->pool, evict_by_killing, rig), ZBUD_OK);
    assert_int_equal(rig->seen_count, 1);
    assert_int_equal(rig->seen[0].bits, large.bits);
    assert_int_equal(zbud_pool_pages(rig->pool), 0);
}

static void a_walk_skips_logs_just_opened(void **state)
{
    struct rig *rig = *state;
    struct zbud_handle large = append(rig, 3000);

    (void)open_log(rig, 100);
    (void)open_log(rig, 4000);
    assert_int_equal(zbud_pool_pages(rig->pool), 2);
    assert_true(zbud_walk(rig->pool, 10, rig_remember, rig));
    assert_int_equal(rig->seen_count, 1);
    assert_int_equal(rig->seen[0].bits, large.bits);
}

/* What a visit stores may land in the end it has just freed; the other end is visited still. */
static void visit_and_replace_first(void *owner, struct zbud_handle log)
{
    struct rig *rig = owner;
    rig_remember(rig, log);
    if ((log.bits & 1) != 0)
        return;
    zbud_free(rig->pool, log);
    assert_int_equal(append(rig, 100).bits, log.bits);
}

static void visits_may_append(void **state)
{
    struct rig *rig = *state;
    struct zbud_handle first, last;

    assert_int_equal(zbud_alloc(rig->pool, 20 * CHUNK, &first), ZBUD_OK);
    assert_int_equal(zbud_alloc(rig->pool, 30 * CHUNK, &last), ZBUD_OK);
    assert_true(zbud_walk(rig->pool, 1, rig_remember, rig));
    rig->seen_count = 0;
    zbud_free(rig->pool, first);
    assert_true(zbud_walk(rig->pool, 1, rig_remember, rig));
    assert_int_equal(rig->seen_count, 1);
    assert_int_equal(rig->seen[0].bits, last.bits);
    assert_int_equal(zbud_alloc(rig->pool, 20 * CHUNK, &first), ZBUD_OK);
    rig->seen_count = 0;
    assert_true(zbud_walk(rig->pool, 1, visit_and_replace_first, rig));
    assert_int_equal(rig->seen_count, 2);
    assert_int_equal(rig->seen[0].bits, first.bits);
    assert_int_equal(rig->seen[1].bits, last.bits);
}

/* A page with two closed logs is a pair, from either of them; not while more can be put there. */
static void closed_logs_of_a_page_are_a_pair(void **state)
{
    struct rig *rig = *state;
    struct zbud_handle pair[2] = {{0}, {0}}, one, other;

    one = append(rig, 1000);
    assert_int_equal(zbud_log_page(rig->pool, one, pair), 0); /* open */
    zbud_log_close(rig->pool, one);
    assert_int_equal(zbud_log_page(rig->pool, one, pair), 1); /* a new log can still be put there */
    assert_int_equal(pair[0].bits, one.bits);
    other = append(rig, 800);
    assert_true(same_page(one, other));
    assert_int_equal(zbud_log_page(rig->pool, one, pair), 0); /* the other is open */
    zbud_log_close(rig->pool, other);
    assert_int_equal(zbud_log_page(rig->pool, one, pair), 2);
    assert_true(pair[0].bits + pair[1].bits == one.bits + other.bits);
    assert_int_equal(zbud_log_page(rig->pool, other, pair), 2);
    assert_true(pair[0].bits != pair[1].bits && same_page(pair[0], pair[1]));
    zbud_free(rig->pool, one);
    assert_int_equal(zbud_log_page(rig->pool, other, pair), 1);
    zbud_free(rig->pool, other);
}

/* What lives beside a large record, or beside a plain buddy, is no pair. */
static void only_logs_of_small_records_are_a_pair(void **state)
{
    struct rig *rig = *state;
    struct zbud_handle pair[2], large = append(rig, 2100), small = append(rig, 1000), plain;

    assert_true(same_page(large, small));
    zbud_log_close(rig->pool, small);
    assert_int_equal(zbud_log_page(rig->pool, large, pair), 0);
    assert_int_equal(zbud_log_page(rig->pool, small, pair), 0);
    zbud_free(rig->pool, large);
    assert_int_equal(zbud_alloc(rig->pool, 2100, &plain), ZBUD_OK);
    assert_true(same_page(plain, small));
    assert_int_equal(zbud_log_page(rig->pool, small, pair), 0);
    zbud_free(rig->pool, plain);
    zbud_free(rig->pool, small);
}

int main(void)
{
#define CASE(name) cmocka_unit_test_setup_teardown(name, rig_set_up, rig_tear_down)
    const struct CMUnitTest tests[] = {
        CASE(kill_and_squeeze_at_the_first_end),
        CASE(kill_and_squeeze_at_the_last_end),
        CASE(every_subset_squeezes),
        CASE(sizes_at_the_borders),
        CASE(a_log_holds_so_many_numbers),
        CASE(a_page_is_filled_to_the_last_byte),
        CASE(words_and_tags_are_the_users),
        CASE(appends_where_it_fits_tightest),
        CASE(kinds_have_logs_of_their_own),
        CASE(a_log_is_closed_on_request),
        CASE(an_empty_log_goes_from_beside_a_buddy),
        CASE(closed_logs_of_a_page_are_a_pair),
        CASE(only_logs_of_small_records_are_a_pair),
        CASE(a_fifth_log_closes_one),
        CASE(an_open_logs_slack_is_its_own),
        CASE(large_records_live_alone),
        CASE(a_log_opens_beside_a_large_record),
        CASE(a_changed_mind_costs_no_page),
        CASE(a_word_of_a_changed_mind_is_forgotten),
        CASE(empty_logs_make_way),
        CASE(killing_the_last_record_frees_the_log),
        CASE(a_neighbours_room_goes_to_the_open_log),
        CASE(failing_changes_nothing),
        CASE(an_idle_open_log_goes_with_its_page),
        CASE(an_empty_open_log_is_reclaimed_without_a_call),
        CASE(an_empty_open_log_leaves_its_neighbour_to_evict),
        CASE(a_walk_skips_logs_just_opened),
        CASE(visits_may_append),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
