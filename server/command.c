#include "server/command.h"

#include "protocol/parse.h"
#include "server/admin/config.h"
#include "server/admin/control.h"
#include "server/admin/hotkeys.h"
#include "server/admin/log.h"
#include "server/admin/prefixes.h"
#include "server/admin/stats.h"
#include "server/admin/watch.h"
#include "server/budget.h"
#include "server/cache/cache.h"
#include "server/command_admin.h"
#include "server/command_inside.h"
#include "server/counters.h"
#include "server/limits.h"
#include "server/version.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#define END_BYTES              5u /* "END\r\n" */
#define EXPTIME_RELATIVE_S_MAX (60 * 60 * 24 * 30)
#define VERBOSITY_MAX          2u
#define MEMLIMIT_MB_MIN        8u
#define MEMLIMIT_MB_MAX        1000000000u

static_assert(COMMAND_EXPECT_MAX == CACHE_EXPECT_MAX, "what is expected here is expected there");
static_assert(PROTOCOL_KEY_BYTES_MAX == CACHE_KEY_BYTES_MAX, "what may be asked for may be stored");

enum command_outcome call_answer(const struct call *call, const char *line)
{
    if (!call->request->noreply) {
        const bool written = protocol_reply_line(call->reply, line);
        assert(written);
    }
    return COMMAND_DONE;
}

enum command_outcome call_needs_room(struct call *call, size_t bytes)
{
    call->room_bytes = bytes > PROTOCOL_REPLY_BYTES_MAX ? bytes : PROTOCOL_REPLY_BYTES_MAX;
    return COMMAND_NEEDS_ROOM;
}

uint32_t call_expiry(int64_t exptime, uint32_t now_s)
{
    if (exptime == 0) {
        return CACHE_NEVER;
    }
    if (exptime > 0 && exptime <= EXPTIME_RELATIVE_S_MAX) {
        return now_s + (uint32_t)exptime;
    }
    if (exptime <= (int64_t)now_s) {
        return 0;
    }
    return exptime < (int64_t)CACHE_NEVER ? (uint32_t)exptime : CACHE_NEVER - 1;
}

/* ---- get, gets, gat, gats ---- */

struct place {
    const struct protocol_reply *reply;
    size_t need_bytes; /* of the block last asked for, and END behind it */
    bool with_cas;
    bool cas_enabled;
};

static uint64_t shown_cas(const struct place *place, const struct cache_item *item)
{
    return place->cas_enabled ? item->cas : 0;
}

static size_t header_bytes(const struct place *place, const struct cache_item *item)
{
    const uint64_t cas = shown_cas(place, item);
    return protocol_value_header_bytes(item->key_bytes, item->flags, item->value_bytes,
                                       place->with_cas ? &cas : NULL);
}

static uint8_t *place_value(void *context, const struct cache_item *item)
{
    struct place *place = context;
    const size_t header = header_bytes(place, item);

    place->need_bytes = header + item->value_bytes + 2 + END_BYTES;
    if (protocol_reply_room(place->reply) < place->need_bytes) {
        return NULL;
    }
    return place->reply->data + place->reply->used + header;
}

/* The value is in its place already: the header goes before it, over the key that was scratch. */
static void finish_value(const struct place *place, struct protocol_reply *reply,
                         struct protocol_slice key, const struct cache_item *item)
{
    const uint64_t cas = shown_cas(place, item);
    uint8_t *at = reply->data + reply->used;

    at += protocol_value_header(at, key.data, key.bytes, item->flags, item->value_bytes,
                                place->with_cas ? &cas : NULL);
    at += item->value_bytes;
    memcpy(at, "\r\n", 2);
    reply->used = (size_t)(at + 2 - reply->data);
}

static void count_get(const struct call *call, bool hit)
{
    call_count(call, call->row->touches ? COUNTER_CMD_TOUCH : COUNTER_CMD_GET);
    call_count(call, hit ? call->row->hits : call->row->misses);
}

static enum cache_status get_one(struct call *call, struct protocol_slice key, struct place *place)
{
    const uint32_t expiry_s =
        call->row->touches ? call_expiry(call->request->exptime, call->now_s) : 0;
    struct command_look look;
    struct cache_item item;

    call_look(call, key, &look);
    const enum cache_status status =
        cache_get(call->command->worker, key.data, key.bytes, call->row->touches ? &expiry_s : NULL,
                  call->now_s, place_value, place, &item);
    if (status == CACHE_OK) {
        finish_value(place, call->reply, key, &item);
    }
    if (status == CACHE_OK || status == CACHE_NOT_FOUND) {
        count_get(call, status == CACHE_OK);
        call_count_key(call, key.data, key.bytes);
        command_tell_get(&look, status == CACHE_OK ? &item : NULL);
        call_count_prefix(call, key.data, key.bytes, status == CACHE_OK ? PREFIX_HIT : PREFIX_GET);
    }
    return status;
}

void command_expect(struct command *command, const struct protocol_slice *keys, unsigned count)
{
    struct cache_key expected[CACHE_EXPECT_MAX];

    assert(count <= CACHE_EXPECT_MAX);
    for (unsigned i = 0; i < count; i++) {
        expected[i] = (struct cache_key){keys[i].data, keys[i].bytes};
    }
    cache_expect(command->worker, expected, count);
}

/* The next keys of a request, looked for together. Returns how many they are. */
static unsigned expect_keys(const struct call *call, struct protocol_slice left)
{
    struct protocol_slice keys[COMMAND_EXPECT_MAX];
    unsigned count = 0;

    while (count < COMMAND_EXPECT_MAX && protocol_next_key(&left, &keys[count])) {
        count++;
    }
    if (count > 1) {
        command_expect(call->command, keys, count);
    }
    return count;
}

static enum command_outcome execute_get(struct call *call)
{
    struct protocol_slice left = call->request->keys;
    struct protocol_slice key;
    unsigned expected = 0;
    unsigned answered = 0;
    struct place place = {
        .reply = call->reply,
        .with_cas = call->row->with_cas,
        .cas_enabled = call->command->shared.config->cas_enabled,
    };

    for (;;) {
        if (expected == 0 && answered < COMMAND_KEYS_MAX) {
            expected = expect_keys(call, left);
        }
        if (!protocol_next_key(&left, &key)) {
            break;
        }
        if (answered == COMMAND_KEYS_MAX) {
            return COMMAND_MORE;
        }
        answered++;
        expected--;
        const enum cache_status status = get_one(call, key, &place);
        if (status == CACHE_NO_ROOM) {
            return call_needs_room(call, place.need_bytes);
        }
        if (status == CACHE_NO_MEMORY) { /* gat: the item is there, its new expiry has no room */
            return protocol_reply_room(call->reply) < PROTOCOL_REPLY_BYTES_MAX
                       ? call_needs_room(call, PROTOCOL_REPLY_BYTES_MAX)
                       : call_answer(call, call->row->refused);
        }
        call->request->keys = left;
    }
    /* Each block left room for it, and there was room for a line before the first. */
    assert(protocol_reply_room(call->reply) >= END_BYTES);
    return call_answer(call, "END");
}

/* ---- set, add, replace, append, prepend, cas ---- */

const char *call_store_line(enum cache_status status)
{
    switch (status) {
    case CACHE_OK:
        return "STORED";
    case CACHE_EXISTS:
        return "EXISTS";
    case CACHE_NOT_FOUND:
        return "NOT_FOUND";
    case CACHE_NOT_STORED:
        return "NOT_STORED";
    case CACHE_TOO_LARGE:
        return "SERVER_ERROR object too large for cache";
    case CACHE_NO_MEMORY:
    case CACHE_NOT_NUMBER:
    case CACHE_NO_ROOM:
    case CACHE_MORE:
        break;
    }
    return "SERVER_ERROR out of memory storing object";
}

/* The key of a store, wherever its line has it. */
static struct protocol_slice store_key(const struct protocol_request *request,
                                       uint8_t room[CACHE_KEY_BYTES_MAX])
{
    return request->verb == PROTOCOL_MS ? call_meta_key(request, room) : request->key;
}

void call_refuse_store(const struct call *call, enum cache_mode mode, enum cache_status status)
{
    const enum protocol_verb verb = call->request->verb;
    uint8_t room[CACHE_KEY_BYTES_MAX];
    const struct protocol_slice key = store_key(call->request, room);
    const struct cache_store store = {
        .entry = key.data,
        .key_bytes = key.bytes,
        .mode = mode,
        .expiry_s = call_expiry(call->request->exptime, call->now_s),
    };
    struct command_look look;

    call_look(call, key, &look);
    if (verb == PROTOCOL_SET || verb == PROTOCOL_MS) {
        const enum cache_status ignored =
            cache_delete(call->command->worker, key.data, key.bytes, call->now_s);
        (void)ignored; /* there may have been none */
    }
    call_count_key(call, key.data, key.bytes);
    call_count_prefix(call, key.data, key.bytes, PREFIX_SET);
    call_count_store(call, mode, status);
    command_tell_store(&look, &store, status);
}

static enum command_outcome execute_store(struct call *call)
{
    struct protocol_request *request = call->request;
    const struct protocol_slice key = request->key;
    struct command_look look;

    if (request->too_large) {
        call_refuse_store(call, call->row->mode, CACHE_TOO_LARGE);
        return call_answer(call, call_store_line(CACHE_TOO_LARGE));
    }
    if (call_store_waits(call, key.bytes)) {
        return COMMAND_PAUSE;
    }
    call_look(call, key, &look);
    /* From here on the command line is gone: the key stands on it, right before the value. */
    uint8_t *const entry = request->value.data - key.bytes;
    memmove(entry, key.data, key.bytes);
    request->key.data = entry;
    const struct cache_store store = {
        .entry = entry,
        .key_bytes = key.bytes,
        .value_bytes = request->value.bytes,
        .mode = call->row->mode,
        .flags = request->flags,
        .expiry_s = call_expiry(request->exptime, call->now_s),
        .cas = request->cas_unique,
        .owner = request,
    };
    const enum cache_status status = cache_store(call->command->worker, &store, call->now_s, NULL);
    if (status == CACHE_MORE) {
        return COMMAND_PAUSE;
    }
    call_count_key(call, entry, key.bytes);
    call_count_prefix(call, entry, key.bytes, PREFIX_SET);
    call_count_store(call, call->row->mode, status);
    command_tell_store(&look, &store, status);
    return call_answer(call, call_store_line(status));
}

/* ---- delete, touch, incr, decr ---- */

static enum command_outcome execute_delete(struct call *call)
{
    const struct protocol_slice key = call->request->key;
    struct command_look look;

    call_look(call, key, &look);
    const enum cache_status status =
        cache_delete(call->command->worker, key.data, key.bytes, call->now_s);
    command_tell_delete(&look, "delete", status);
    call_count(call, status == CACHE_OK ? call->row->hits : call->row->misses);
    call_count_key(call, key.data, key.bytes);
    call_count_prefix(call, key.data, key.bytes, PREFIX_DELETE);
    return call_answer(call, status == CACHE_OK ? "DELETED" : "NOT_FOUND");
}

static enum command_outcome execute_touch(struct call *call)
{
    const struct protocol_slice key = call->request->key;
    const uint32_t expiry_s = call_expiry(call->request->exptime, call->now_s);
    struct command_look look;

    call_look(call, key, &look);
    command_tell_get(&look, NULL);
    const enum cache_status status =
        cache_touch(call->command->worker, key.data, key.bytes, expiry_s, call->now_s);

    call_count_key(call, key.data, key.bytes);
    call_count(call, COUNTER_CMD_TOUCH);
    call_count(call, status == CACHE_OK ? call->row->hits : call->row->misses);
    if (status == CACHE_NO_MEMORY) {
        return call_answer(call, "SERVER_ERROR out of memory");
    }
    return call_answer(call, status == CACHE_OK ? "TOUCHED" : "NOT_FOUND");
}

const char *call_arith_line(enum cache_status status)
{
    return status == CACHE_NOT_NUMBER
               ? "CLIENT_ERROR cannot increment or decrement non-numeric value"
               : "SERVER_ERROR out of memory";
}

static enum command_outcome execute_arith(struct call *call)
{
    const struct protocol_request *request = call->request;
    const struct cache_arith arith = {.increment = call->row->increments, .delta = request->delta};
    struct cache_number number;
    struct command_look look;

    call_count_key(call, request->key.data, request->key.bytes);
    call_look(call, request->key, &look);
    command_tell_get(&look, NULL);
    const enum cache_status status = cache_arith(call->command->worker, request->key.data,
                                                 request->key.bytes, &arith, call->now_s, &number);

    if (status == CACHE_OK) {
        call_count(call, call->row->hits);
        if (!request->noreply) {
            const bool written = protocol_reply_number(call->reply, number.value);
            assert(written);
        }
        return COMMAND_DONE;
    }
    if (status == CACHE_NOT_FOUND) {
        call_count(call, call->row->misses);
        return call_answer(call, "NOT_FOUND");
    }
    return call_answer(call, call_arith_line(status));
}

/* ---- administration ---- */

static enum command_outcome execute_flush_all(struct call *call)
{
    const struct command_shared *shared = &call->command->shared;
    const int64_t delay = call->request->exptime;

    if (!shared->config->flush_enabled) {
        return call_answer(call, "CLIENT_ERROR flush_all not allowed");
    }
    const uint32_t at_s = delay > 0 ? call_expiry(delay, call->now_s) : call->now_s;
    cache_flush_all(shared->cache, at_s, call->now_s);
    call_count(call, COUNTER_CMD_FLUSH);
    return call_answer(call, "OK");
}

static enum command_outcome execute_version(struct call *call)
{
    return call_answer(call, "VERSION " VERSION_MEMCACHED);
}

static enum command_outcome execute_verbosity(struct call *call)
{
    const uint64_t level = call->request->delta;
    struct control *control = call->command->shared.control;
    const uint32_t verbosity = (uint32_t)(level < VERBOSITY_MAX ? level : VERBOSITY_MAX);

    control_open(control)->verbosity = verbosity;
    control_close(control);
    log_set_verbosity(call->command->shared.log, verbosity);
    return call_answer(call, "OK");
}

static enum command_outcome execute_quit(struct call *call)
{
    (void)call;
    return COMMAND_CLOSE;
}

static enum command_outcome execute_shutdown(struct call *call)
{
    if (!call->command->shared.config->shutdown_enabled) {
        return call_answer(call, "SERVER_ERROR: shutdown not enabled");
    }
    if (call->request->argument.bytes == 0) {
        return COMMAND_SHUTDOWN;
    }
    if (protocol_slice_is(call->request->argument, "graceful")) {
        return COMMAND_SHUTDOWN_GRACEFUL;
    }
    return call_answer(call, "CLIENT_ERROR invalid shutdown mode");
}

static enum command_outcome execute_memlimit(struct call *call)
{
    const struct command_shared *shared = &call->command->shared;
    const uint64_t megabytes = call->request->delta;

    if (megabytes < MEMLIMIT_MB_MIN) {
        return call_answer(call, "MEMLIMIT_TOO_SMALL cannot set maxbytes to less than 8m");
    }
    if (megabytes > MEMLIMIT_MB_MAX) {
        return call_answer(call, "MEMLIMIT_ADJUST_FAILED input value is megabytes not bytes");
    }
    if (!budget_set_memory(shared->budget, (size_t)megabytes << 20)) {
        return call_answer(call, "MEMLIMIT_ADJUST_FAILED out of bounds or unable to adjust");
    }
    return call_answer(call, "OK");
}

/* Watching is done by whoever has the connection. */
static enum command_outcome execute_watch(struct call *call)
{
    struct protocol_request *request = call->request;

    if (!call->command->shared.config->watch_enabled) {
        return call_answer(call, "CLIENT_ERROR watch commands not allowed");
    }
    if (call->reply->used > 0) {
        return call_answer(call, "ERROR cannot pipeline other commands before watch");
    }
    request->kinds = watch_kinds(request->argument.data, request->argument.bytes);
    return request->kinds != 0 ? COMMAND_WATCH : call_answer(call, "ERROR");
}

static enum command_outcome execute_admin(struct call *call)
{
    return admin_execute(call->command->admin, call->request, call->reply, call->now_s,
                         &call->room_bytes);
}

static enum command_outcome execute_refresh_certs(struct call *call)
{
    const struct command_shared *shared = &call->command->shared;
    char line[sizeof("SERVER_ERROR ") + COMMAND_REASON_BYTES_MAX] = "SERVER_ERROR ";

    static_assert(sizeof(line) + 2 <= PROTOCOL_REPLY_BYTES_MAX, "a reason fits a reply");
    if (shared->refresh_certs == NULL) {
        return call_answer(call, "ERROR");
    }
    const bool read = shared->refresh_certs(shared->refresh_context, line + strlen(line));
    return call_answer(call, read ? "OK" : line);
}

/* ---- stats ---- */

struct stats_word {
    const char *word;
    bool by_prefix; /* any beginning of the word will do, as in memcached */
    enum stats_section section;
    const char *refused; /* with -X, as it lists keys; NULL: it does not */
};

/* Searched in this order, which decides what a prefix means. */
static const struct stats_word stats_words[] = {
    {"settings", true, STATS_SETTINGS, NULL},
    {"conns", true, STATS_CONNS, NULL},
    {"extstore", true, STATS_EXTSTORE, NULL},
    {"items", false, STATS_ITEMS, NULL},
    {"slabs", false, STATS_SLABS, NULL},
    {"sizes", false, STATS_SIZES, NULL},
    {"zbud", false, STATS_ZBUD, NULL},
    {"hotkeys", false, STATS_HOTKEYS, "CLIENT_ERROR stats hotkeys not allowed"},
    {"prefixes", false, STATS_PREFIXES, "CLIENT_ERROR stats prefixes not allowed"},
};

/* NULL: there is none. */
static const struct stats_word *find_section(struct protocol_slice word)
{
    static const struct stats_word general = {"", false, STATS_GENERAL, NULL};

    if (word.bytes == 0) {
        return &general;
    }
    for (size_t i = 0; i < sizeof(stats_words) / sizeof(stats_words[0]); i++) {
        const struct stats_word *row = &stats_words[i];
        if (row->by_prefix ? protocol_slice_begins(word, row->word)
                           : protocol_slice_is(word, row->word)) {
            return row;
        }
    }
    return NULL;
}

static bool emit_stat(void *context, const char *name, const char *value)
{
    return protocol_reply_stat(context, name, value);
}

/* A section is answered whole or not at all: it is made anew in a larger reply until it fits. */
static enum command_outcome answer_section(struct call *call, enum stats_section section)
{
    struct protocol_reply *reply = call->reply;
    const size_t used_before = reply->used;

    if (stats_emit(call->command->shared.stats, section, call->now_s, emit_stat, reply) &&
        protocol_reply_line(reply, "END")) {
        return COMMAND_DONE;
    }
    reply->used = used_before;
    const size_t bytes = used_before > 0 ? reply->capacity : 2 * reply->capacity;
    if (bytes > LIMITS_STATS_BYTES) {
        return call_answer(call, call->row->refused);
    }
    return call_needs_room(call, bytes);
}

static enum command_outcome execute_stats(struct call *call)
{
    const struct command_shared *shared = &call->command->shared;
    struct protocol_slice left = call->request->argument;
    struct protocol_slice word = {0};
    enum command_outcome outcome;

    (void)protocol_next_key(&left, &word);
    if (admin_stats(call->command->admin, call->request, call->reply, call->now_s,
                    &call->room_bytes, &outcome)) {
        return outcome;
    }
    if (protocol_slice_begins(word, "reset")) {
        stats_reset(shared->stats);
        prefixes_clear(shared->prefixes);
        return call_answer(call, "RESET");
    }
    if (protocol_slice_is(word, "check")) {
        /* Walks the whole cache, as the dumps do that -X forbids. */
        if (!shared->config->dump_enabled) {
            return call_answer(call, "CLIENT_ERROR stats check not allowed");
        }
        cache_check(shared->cache);
        const bool written = protocol_reply_stat(call->reply, "check", "ok") &&
                             protocol_reply_line(call->reply, "END");
        assert(written);
        return COMMAND_DONE;
    }
    const struct stats_word *row = find_section(word);
    if (row == NULL) {
        return call_answer(call, "ERROR");
    }
    if (row->refused != NULL && !shared->config->dump_enabled) {
        return call_answer(call, row->refused);
    }
    return answer_section(call, row->section);
}

/* ---- the table ---- */

#define GET_REFUSED   "SERVER_ERROR out of memory writing get response"
#define STORE_REFUSED "SERVER_ERROR out of memory storing object"
#define STATS_REFUSED "SERVER_ERROR out of memory writing stats"
#define READ_REFUSED  "SERVER_ERROR out of memory reading request"

#define GET(cas)                                                           \
    {                                                                      \
        .execute = execute_get, .refused = GET_REFUSED, .with_cas = (cas), \
        .hits = COUNTER_GET_HITS, .misses = COUNTER_GET_MISSES             \
    }
#define GAT(cas)                                                                            \
    {                                                                                       \
        .execute = execute_get, .refused = GET_REFUSED, .with_cas = (cas), .touches = true, \
        .hits = COUNTER_TOUCH_HITS, .misses = COUNTER_TOUCH_MISSES                          \
    }
#define STORE(cache_mode)                                                        \
    {                                                                            \
        .execute = execute_store, .refused = STORE_REFUSED, .mode = (cache_mode) \
    }
#define KEYED(function, name)                                                          \
    {                                                                                  \
        .execute = (function), .refused = READ_REFUSED, .hits = COUNTER_##name##_HITS, \
        .misses = COUNTER_##name##_MISSES                                              \
    }
#define ARITH(up, name)                                                        \
    {                                                                          \
        .execute = execute_arith, .refused = READ_REFUSED, .increments = (up), \
        .hits = COUNTER_##name##_HITS, .misses = COUNTER_##name##_MISSES       \
    }
#define ADMIN(function)                                \
    {                                                  \
        .execute = (function), .refused = READ_REFUSED \
    }

static const struct row rows[PROTOCOL_VERBS_COUNT] = {
    [PROTOCOL_GET] = GET(false),
    [PROTOCOL_GETS] = GET(true),
    [PROTOCOL_GAT] = GAT(false),
    [PROTOCOL_GATS] = GAT(true),
    [PROTOCOL_SET] = STORE(CACHE_SET),
    [PROTOCOL_ADD] = STORE(CACHE_ADD),
    [PROTOCOL_REPLACE] = STORE(CACHE_REPLACE),
    [PROTOCOL_APPEND] = STORE(CACHE_APPEND),
    [PROTOCOL_PREPEND] = STORE(CACHE_PREPEND),
    [PROTOCOL_CAS] = STORE(CACHE_CAS),
    [PROTOCOL_DELETE] = KEYED(execute_delete, DELETE),
    [PROTOCOL_TOUCH] = KEYED(execute_touch, TOUCH),
    [PROTOCOL_INCR] = ARITH(true, INCR),
    [PROTOCOL_DECR] = ARITH(false, DECR),
    [PROTOCOL_FLUSH_ALL] = ADMIN(execute_flush_all),
    [PROTOCOL_STATS] = {.execute = execute_stats, .refused = STATS_REFUSED},
    [PROTOCOL_VERSION] = ADMIN(execute_version),
    [PROTOCOL_VERBOSITY] = ADMIN(execute_verbosity),
    [PROTOCOL_QUIT] = ADMIN(execute_quit),
    [PROTOCOL_SHUTDOWN] = ADMIN(execute_shutdown),
    [PROTOCOL_CACHE_MEMLIMIT] = ADMIN(execute_memlimit),
    [PROTOCOL_WATCH] = ADMIN(execute_watch),
    [PROTOCOL_LRU_CRAWLER] = {.execute = execute_admin, .refused = STATS_REFUSED},
    [PROTOCOL_LRU] = ADMIN(execute_admin),
    [PROTOCOL_SLABS] = ADMIN(execute_admin),
    [PROTOCOL_DEBUGTIME] = ADMIN(execute_admin),
    [PROTOCOL_REFRESH_CERTS] = ADMIN(execute_refresh_certs),
    [PROTOCOL_MG] = {.execute = execute_mg, .refused = GET_REFUSED},
    [PROTOCOL_MS] = {.execute = execute_ms, .refused = STORE_REFUSED},
    [PROTOCOL_MD] = {.execute = execute_md, .refused = READ_REFUSED},
    [PROTOCOL_MA] = {.execute = execute_ma, .refused = READ_REFUSED},
    [PROTOCOL_ME] = {.execute = execute_me, .refused = READ_REFUSED},
    [PROTOCOL_MN] = {.execute = execute_mn, .refused = READ_REFUSED},
};

enum command_outcome command_execute(struct command *command, struct protocol_request *request,
                                     struct protocol_reply *reply, uint32_t now_s,
                                     size_t *room_bytes)
{
    assert((unsigned)request->verb < PROTOCOL_VERBS_COUNT);
    if (protocol_reply_room(reply) < PROTOCOL_REPLY_BYTES_MAX) {
        *room_bytes = PROTOCOL_REPLY_BYTES_MAX;
        return COMMAND_NEEDS_ROOM;
    }
    struct call call = {
        .command = command,
        .row = &rows[request->verb],
        .request = request,
        .reply = reply,
        .now_s = now_s,
    };
    const enum command_outcome outcome = call.row->execute(&call);
    if (outcome == COMMAND_NEEDS_ROOM) {
        *room_bytes = call.room_bytes;
    }
    return outcome;
}

void command_forget(struct command *command, const struct protocol_request *request)
{
    admin_forget(command->admin, request);
    cache_store_forget(command->worker, request);
}

void command_refuse(struct command *command, struct protocol_request *request,
                    struct protocol_reply *reply, uint32_t now_s)
{
    assert((unsigned)request->verb < PROTOCOL_VERBS_COUNT);
    const struct call call = {
        .command = command,
        .row = &rows[request->verb],
        .request = request,
        .reply = reply,
        .now_s = now_s,
    };
    command_forget(command, request);
    if (call.row->execute == execute_store || call.row->execute == execute_ms) {
        call_refuse_store(&call, call.row->mode, CACHE_NO_MEMORY);
    }
    const enum command_outcome done = call_answer(&call, call.row->refused);
    (void)done;
}

struct command *command_new(const struct command_shared *shared, struct counters *counters)
{
    struct command *command = malloc(sizeof(*command));

    if (command == NULL) {
        return NULL;
    }
    *command = (struct command){
        .shared = *shared,
        .worker = cache_worker_new(shared->cache),
        .counters = counters,
        .writer = watch_join(shared->watch),
        .hotkeys = hotkeys_join(shared->hotkeys),
    };
    command->admin = admin_new(&command->shared);
    if (command->worker == NULL || command->admin == NULL) {
        command_free(command);
        return NULL;
    }
    return command;
}

struct watch_writer *command_writer(const struct command *command)
{
    return command->writer;
}

void command_free(struct command *command)
{
    if (command == NULL) {
        return;
    }
    admin_free(command->admin);
    cache_worker_free(command->worker);
    free(command);
}
