/*
 * command_watch_test.c - what the command "watch" ends with, and what watchers are told of statuses
 * that take a clock or a lack of memory to come by. The others are pinned by tests/wire.
 */
/* cmocka.h stands on the four before it. */
/* clang-format off */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
/* clang-format on */

#include "protocol/parse.h"
#include "server/admin/watch.h"
#include "server/cache/cache.h"
#include "tests/server/rig.h"

#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define TEXT_BYTES 65536u

static int set_up(void **state)
{
    *state = rig_new("-m 16");
    return 0;
}

static int tear_down(void **state)
{
    rig_free(*state);
    return 0;
}

/* Lines are polled for here. */
static void on_lines(void *context)
{
    (void)context;
}

static struct watcher *open_watcher(struct rig *rig, uint32_t kinds)
{
    struct watcher *watcher = NULL;
    const enum watch_open opened = watch_open(rig->shared.watch, kinds, on_lines, NULL, &watcher);

    assert_int_equal(opened, WATCH_OPENED);
    return watcher;
}

/* The next line is of gid @gid and goes on like that. */
static void expect_line(struct watcher *watcher, unsigned gid, const char *rest)
{
    char line[TEXT_BYTES], expected[TEXT_BYTES];
    size_t count = 0;

    do {
        const size_t came = watcher_take(watcher, (uint8_t *)line + count, 1);
        count += came;
        if (came == 0) {
            (void)sched_yield();
        }
        assert_true(count < sizeof(line) - 1);
    } while (count == 0 || line[count - 1] != '\n');
    line[count - 1] = '\0';
    (void)snprintf(expected, sizeof(expected), "gid=%u %s", gid, rest);
    const char *at = strstr(line, "gid=");
    assert_non_null(at);
    assert_string_equal(at, expected);
}

static void test_outcomes(void **state)
{
    struct rig *rig = *state;

    rig_expect(rig, "watch foo\r\n", "ERROR\r\n");
    assert_int_equal(rig->outcome, COMMAND_DONE);
    rig_expect(rig, "version\r\nwatch\r\n",
               "VERSION 1.6.45\r\nERROR cannot pipeline other commands before watch\r\n");
    assert_int_equal(rig->outcome, COMMAND_DONE);
    rig_expect(rig, "watch\r\n", "");
    assert_int_equal(rig->outcome, COMMAND_WATCH);
    rig_expect(rig, "watch evictions m\r\n", "");
    assert_int_equal(rig->outcome, COMMAND_WATCH);
}

static void test_gone_items(void **state)
{
    struct rig *rig = *state;

    rig_expect(rig, "set old 0 10 1\r\nx\r\nset new 0 0 1\r\nx\r\n", "STORED\r\nSTORED\r\n");
    struct watcher *watcher = open_watcher(rig, WATCH_FETCHERS | WATCH_DELETIONS);
    rig->now_s += 10;
    rig_expect(rig, "get old\r\nget old\r\n", "END\r\nEND\r\n");
    expect_line(watcher, 1, "type=item_get key=old status=expired clsid=0 cfd=0 size=0");
    expect_line(watcher, 2, "type=item_get key=old status=not_found clsid=0 cfd=0 size=0");
    rig_expect(rig, "flush_all\r\ndelete new\r\nmd new\r\n", "OK\r\nNOT_FOUND\r\nNF\r\n");
    expect_line(watcher, 3, "type=item_get key=new status=flushed clsid=0 cfd=0 size=0");
    expect_line(watcher, 4, "type=item_get key=new status=not_found clsid=0 cfd=0 size=0");
    watch_close(watcher);
}

static void test_times(void **state)
{
    struct rig *rig = *state;
    struct watcher *watcher = open_watcher(rig, WATCH_MUTATIONS);

    rig_expect(rig, "set a 0 100 2\r\nab\r\n", "STORED\r\n");
    expect_line(watcher, 1,
                "type=item_store key=a status=stored cmd=set ttl=100 clsid=1 cfd=0 size=2");
    rig->now_s += 40;
    rig_expect(rig, "append a 0 0 1\r\nc\r\n", "STORED\r\n"); /* the expiry stays */
    expect_line(watcher, 2,
                "type=item_store key=a status=stored cmd=append ttl=60 clsid=1 cfd=0 size=3");
    rig_expect(rig, "set a 0 1 1\r\nx\r\n", "STORED\r\n");
    expect_line(watcher, 3,
                "type=item_store key=a status=stored cmd=set ttl=1 clsid=1 cfd=0 size=1");
    rig_expect(rig, "ms a 1 T-1\r\nx\r\n", "HD\r\n");
    expect_line(watcher, 4,
                "type=item_store key=a status=stored cmd=set ttl=-1 clsid=1 cfd=0 size=1");
    watch_close(watcher);
}

/* The store is told first, then, where it was a set, the look-up of what it removes. */
static void test_refused_stores(void **state)
{
    struct rig *rig = *state;
    struct watcher *watcher = open_watcher(rig, WATCH_FETCHERS | WATCH_MUTATIONS);
    struct protocol_reply reply = {.data = malloc(1024), .capacity = 1024};
    uint8_t key[] = "added";
    struct protocol_request request = {.verb = PROTOCOL_ADD, .key = {key, sizeof(key) - 1}};

    rig_expect(rig, "set big 0 0 2000000\r\n", "SERVER_ERROR object too large for cache\r\n");
    expect_line(watcher, 1,
                "type=item_store key=big status=too_large cmd=set ttl=0 clsid=0 cfd=0 size=0");
    expect_line(watcher, 2, "type=item_get key=big status=not_found clsid=0 cfd=0 size=0");
    rig_expect(rig, "ms big 2000000 T5\r\n", "SERVER_ERROR object too large for cache\r\n");
    expect_line(watcher, 3,
                "type=item_store key=big status=too_large cmd=set ttl=5 clsid=0 cfd=0 size=0");
    expect_line(watcher, 4, "type=item_get key=big status=not_found clsid=0 cfd=0 size=0");
    command_refuse(rig->command, &request, &reply, rig->now_s);
    expect_line(watcher, 5,
                "type=item_store key=added status=no_memory cmd=add ttl=0 clsid=0 cfd=0 size=0");
    request.verb = PROTOCOL_GET;
    command_refuse(rig->command, &request, &reply, rig->now_s);
    rig_expect(rig, "get end\r\n", "END\r\n");
    expect_line(watcher, 6, "type=item_get key=end status=not_found clsid=0 cfd=0 size=0");
    free(reply.data);
    watch_close(watcher);
}

/* A get that stops for want of room, and goes on, tells of each key once. */
static void test_keys_are_told_once(void **state)
{
    struct rig *rig = *state;
    char value[3000];

    rig->reply_bytes = 4096;
    memset(value, 'v', sizeof(value) - 1);
    value[sizeof(value) - 1] = '\0';
    (void)snprintf(rig->text, RIG_TEXT_BYTES, "set a 0 0 2999\r\n%s\r\n", value);
    char *set = strdup(rig->text);
    assert_non_null(set);
    rig_expect(rig, set, "STORED\r\n");
    free(set);
    struct watcher *watcher = open_watcher(rig, WATCH_FETCHERS);
    (void)rig_ask(rig, "get a a b a\r\n");
    assert_true(rig->flushes > 0);
    expect_line(watcher, 1, "type=item_get key=a status=found clsid=1 cfd=0 size=2999");
    expect_line(watcher, 2, "type=item_get key=a status=found clsid=1 cfd=0 size=2999");
    expect_line(watcher, 3, "type=item_get key=b status=not_found clsid=0 cfd=0 size=0");
    expect_line(watcher, 4, "type=item_get key=a status=found clsid=1 cfd=0 size=2999");
    (void)rig_ask(rig, "mg a v\r\n");
    expect_line(watcher, 5, "type=item_get key=a status=found clsid=1 cfd=0 size=2999");
    watch_close(watcher);
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_outcomes, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_gone_items, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_times, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_refused_stores, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_keys_are_told_once, set_up, tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
