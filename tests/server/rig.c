#include "tests/server/rig.h"

/* cmocka.h stands on the four before it. */
/* clang-format off */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
/* clang-format on */

#include "protocol/parse.h"
#include "server/admin/control.h"
#include "server/admin/hotkeys.h"
#include "server/admin/log.h"
#include "server/admin/prefixes.h"
#include "server/admin/stats.h"
#include "server/admin/watch.h"
#include "server/budget.h"
#include "server/cache/cache.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define ARGUMENTS_MAX 32

static uint64_t still(void *context)
{
    (void)context;
    return 0;
}

static void parse_options(struct rig *rig, const char *options)
{
    char name[] = "zbcached";
    char *argv[ARGUMENTS_MAX + 1] = {name};
    int argc = 1;
    char *copy = strdup(options);
    char *rest = copy;
    char *word;
    struct config_report *report = malloc(sizeof(*report));

    assert(copy != NULL && report != NULL);
    while ((word = strsep(&rest, " ")) != NULL) {
        if (word[0] != '\0') {
            assert(argc < ARGUMENTS_MAX);
            argv[argc++] = word;
        }
    }
    const enum config_status status = config_parse(argc, argv, false, &rig->config, report);
    if (status != CONFIG_OK) {
        fail_msg("options \"%s\": %s", options, report->error);
    }
    free(report);
    free(copy); /* no option used here keeps its text */
}

static struct rig *make(const char *options, bool defer)
{
    struct rig *rig = calloc(1, sizeof(*rig));

    assert(rig != NULL);
    parse_options(rig, options);
    clock_init(&rig->clock);
    rig->now_s = RIG_NOW_S;
    const struct cache_config cache = {
        .memory_bytes = rig->config.memory_bytes,
        .reserve_bytes = 4 * rig->config.memory_bytes,
        .item_bytes_max = rig->config.item_bytes_max,
        .shards = 4,
        .evict = rig->config.evict,
        .compress = rig->config.compress,
        .settle = rig->config.compress,
        .defer = defer,
        .seed = 17,
        .now_s = rig->now_s,
    };
    rig->cache = cache_new(&cache);
    rig->counters = counters_new(1);
    assert(rig->cache != NULL && rig->counters != NULL);
    rig->shared = (struct command_shared){
        .config = &rig->config,
        .cache = rig->cache,
        .budget = budget_new(rig->cache, rig->config.memory_bytes),
        .log = log_new(STDERR_FILENO, 0, still, NULL),
        .control = control_new(&rig->config),
        .prefixes =
            prefixes_new(rig->cache, rig->config.memory_bytes, rig->config.prefix_delimiter),
        .hotkeys = hotkeys_new(rig->cache, 1, rig->now_s),
        .clock = &rig->clock,
    };
    const struct watch_setup watch = {
        .clock = &rig->clock,
        .budget = rig->shared.budget,
        .writers_count = 1,
        .writer_bytes = rig->config.worker_logbuf_bytes,
        .watcher_bytes = rig->config.watcher_logbuf_bytes,
    };
    rig->shared.watch = watch_new(&watch);
    assert(rig->shared.watch != NULL);
    assert(rig->shared.control != NULL && rig->shared.prefixes != NULL &&
           rig->shared.hotkeys != NULL);
    const bool switched = prefixes_switch(rig->shared.prefixes, rig->config.detail_enabled);
    assert(switched);
    const struct stats_setup stats = {
        .config = &rig->config,
        .clock = &rig->clock,
        .counters = rig->counters,
        .event_version = "none",
        .cache = rig->cache,
        .budget = rig->shared.budget,
        .watch = rig->shared.watch,
        .control = rig->shared.control,
        .prefixes = rig->shared.prefixes,
        .hotkeys = rig->shared.hotkeys,
    };
    rig->shared.stats = stats_new(&stats);
    rig->command = command_new(&rig->shared, counters_set(rig->counters, 0));
    rig->text = malloc(RIG_TEXT_BYTES);
    rig->reply_bytes = 64 << 10;
    assert(rig->shared.budget != NULL && rig->shared.log != NULL && rig->shared.stats != NULL &&
           rig->command != NULL && rig->text != NULL);
    return rig;
}

struct rig *rig_new(const char *options)
{
    return make(options, false);
}

struct rig *rig_new_deferring(const char *options)
{
    return make(options, true);
}

void rig_free(struct rig *rig)
{
    command_free(rig->command);
    watch_free(rig->shared.watch);
    stats_free(rig->shared.stats);
    hotkeys_free(rig->shared.hotkeys);
    prefixes_free(rig->shared.prefixes);
    control_free(rig->shared.control);
    budget_free(rig->shared.budget);
    log_free(rig->shared.log);
    counters_free(rig->counters);
    cache_free(rig->cache);
    free(rig->text);
    free(rig);
}

/* Takes the reply away, as a socket would. */
static void take(struct rig *rig, struct protocol_reply *reply)
{
    assert(rig->text_bytes + reply->used < RIG_TEXT_BYTES);
    memcpy(rig->text + rig->text_bytes, reply->data, reply->used);
    rig->text_bytes += reply->used;
    rig->text[rig->text_bytes] = '\0';
    reply->used = 0;
}

/* What a connection does where a reply has no room: first empty it, then get a larger one. */
static void make_room(struct rig *rig, struct protocol_reply *reply, size_t room_bytes)
{
    assert_true(room_bytes >= PROTOCOL_REPLY_BYTES_MAX);
    assert_true(room_bytes > protocol_reply_room(reply));
    if (reply->used > 0) {
        take(rig, reply);
        rig->flushes++;
    }
    if (reply->capacity < room_bytes) {
        reply->data = realloc(reply->data, room_bytes);
        reply->capacity = room_bytes;
        assert(reply->data != NULL);
    }
}

static void execute(struct rig *rig, struct protocol_request *request, struct protocol_reply *reply)
{
    size_t room_bytes = 0;

    for (;;) {
        rig->outcome = command_execute(rig->command, request, reply, rig->now_s, &room_bytes);
        if (rig->outcome == COMMAND_NEEDS_ROOM) {
            make_room(rig, reply, room_bytes);
        } else if (rig->outcome == COMMAND_MORE) {
            rig->parts++;
        } else if (rig->outcome == COMMAND_PAUSE) {
            take(rig, reply);
            rig->pieces++;
        } else {
            return;
        }
    }
}

const char *rig_ask_bytes(struct rig *rig, const void *bytes, size_t count)
{
    /* Exactly as large as what is asked: a byte beyond it is a sanitizer's finding. */
    uint8_t *input = malloc(count);
    struct protocol_reply reply = {.data = malloc(rig->reply_bytes), .capacity = rig->reply_bytes};
    size_t at = 0;

    assert(input != NULL && reply.data != NULL);
    memcpy(input, bytes, count);
    rig->text_bytes = 0;
    rig->text[0] = '\0';
    while (at < count) {
        struct protocol_parsed parsed = {.used = 0};
        switch (protocol_parse(input + at, count - at, rig->config.item_bytes_max, &parsed)) {
        case PROTOCOL_REQUEST:
            execute(rig, &parsed.request, &reply);
            break;
        case PROTOCOL_ERROR:
            if (parsed.error != NULL) {
                make_room(rig, &reply, protocol_reply_room(&reply) + 1);
                assert_true(protocol_reply_line(&reply, parsed.error));
            }
            break;
        case PROTOCOL_MORE:
            fail_msg("not a whole request: %s", (const char *)bytes);
            break;
        case PROTOCOL_CLOSE:
            fail_msg("would be closed: %s", (const char *)bytes);
            break;
        }
        at += parsed.used + parsed.swallow;
    }
    take(rig, &reply);
    free(reply.data);
    free(input);
    return rig->text;
}

const char *rig_ask(struct rig *rig, const char *text)
{
    return rig_ask_bytes(rig, text, strlen(text));
}

void rig_expect(struct rig *rig, const char *request, const char *answer)
{
    const char *got = rig_ask(rig, request);

    if (strcmp(got, answer) != 0) {
        fail_msg("asked:\n%sgot:\n%sexpected:\n%s", request, got, answer);
    }
}

uint64_t rig_stat(struct rig *rig, const char *section, const char *name)
{
    char line[256];

    (void)snprintf(line, sizeof(line), "stats %s\r\n", section);
    const char *text = rig_ask(rig, line);
    (void)snprintf(line, sizeof(line), "STAT %s ", name);
    const char *at = strstr(text, line);
    if (at == NULL) {
        fail_msg("stats %s has no %s", section, name);
        return 0;
    }
    return strtoull(at + strlen(line), NULL, 10);
}
