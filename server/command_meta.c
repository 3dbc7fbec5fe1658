/* The meta commands: flags into what the cache is asked for, and its answer into flags. */
#include "protocol/base64.h"
#include "protocol/meta_reply.h"
#include "server/admin/config.h"
#include "server/command_inside.h"

#include <assert.h>
#include <string.h>

static_assert(PROTOCOL_BASE64_KEY_BYTES_MAX <= CACHE_KEY_BYTES_MAX, "a decoded key fits its room");

struct protocol_slice call_meta_key(const struct protocol_request *request,
                                    uint8_t room[CACHE_KEY_BYTES_MAX])
{
    if (!protocol_meta_has(&request->meta, 'b')) {
        return request->key;
    }
    const size_t bytes = protocol_base64_decode(request->key, room);
    assert(bytes > 0); /* the parser has tried */
    return (struct protocol_slice){room, bytes};
}

static bool has(const struct call *call, char flag)
{
    return protocol_meta_has(&call->request->meta, flag);
}

static bool comes_before(const struct protocol_meta *meta, char first, char second)
{
    for (size_t i = 0; i < meta->letters_count; i++) {
        if (meta->letters[i] == (uint8_t)first) {
            return true;
        }
        if (meta->letters[i] == (uint8_t)second) {
            return false;
        }
    }
    return false;
}

static uint32_t touch_expiry(const struct call *call)
{
    return call_expiry(call->request->exptime, call->now_s);
}

/* Of an item that is created N and T decide, as they are sent: the later one counts. */
static uint32_t create_expiry(const struct call *call)
{
    const struct protocol_meta *meta = &call->request->meta;

    return comes_before(meta, 'N', 'T') && has(call, 'T')
               ? touch_expiry(call)
               : call_expiry(meta->vivify_s, call->now_s);
}

static uint64_t shown_cas(const struct call *call, uint64_t cas)
{
    return call->command->shared.config->cas_enabled ? cas : 0;
}

static void put_ttl(struct protocol_meta_reply *line, const char *name, uint32_t expiry_s,
                    uint32_t now_s)
{
    if (expiry_s == CACHE_NEVER) {
        char word[8];
        const size_t bytes = strlen(name);
        memcpy(word, name, bytes);
        memcpy(word + bytes, "-1", 3);
        protocol_meta_put_word(line, word);
    } else {
        protocol_meta_put_number(line, name, expiry_s > now_s ? expiry_s - now_s : 0);
    }
}

/* What an answer repeats of the request, and may say of an item as far as its command knows it.
 * Slices: of the request, or of a copy where the line they stand on is written over. */
struct answer {
    const struct call *call;
    struct protocol_slice key; /* as sent */
    struct protocol_slice opaque;
    struct cache_view view; /* its expiry as far as the flags have come: t shows a T before it */
};

static struct answer answer_to(const struct call *call)
{
    const struct protocol_request *request = call->request;

    return (struct answer){
        .call = call,
        .key = request->key,
        .opaque = {request->key.data + request->meta.opaque_at, request->meta.opaque_bytes},
    };
}

static void put_key(struct protocol_meta_reply *line, struct answer *answer)
{
    protocol_meta_put_key(line, answer->key, has(answer->call, 'b'));
}

static void put_opaque(struct protocol_meta_reply *line, struct answer *answer)
{
    protocol_meta_put(line, answer->opaque);
}

static void put_cas(struct protocol_meta_reply *line, struct answer *answer)
{
    protocol_meta_put_number(line, "c", shown_cas(answer->call, answer->view.item.cas));
}

static void put_flags(struct protocol_meta_reply *line, struct answer *answer)
{
    protocol_meta_put_number(line, "f", answer->view.item.flags);
}

static void put_fetched(struct protocol_meta_reply *line, struct answer *answer)
{
    protocol_meta_put_word(line, answer->view.fetched ? "h1" : "h0");
}

static void put_age(struct protocol_meta_reply *line, struct answer *answer)
{
    protocol_meta_put_number(line, "l", answer->view.age_s);
}

static void put_size(struct protocol_meta_reply *line, struct answer *answer)
{
    protocol_meta_put_number(line, "s", answer->view.item.value_bytes);
}

static void put_expiry(struct protocol_meta_reply *line, struct answer *answer)
{
    put_ttl(line, "t", answer->view.item.expiry_s, answer->call->now_s);
}

static void note_vivify(struct protocol_meta_reply *line, struct answer *answer)
{
    (void)line;
    if (answer->view.created) {
        answer->view.item.expiry_s =
            call_expiry(answer->call->request->meta.vivify_s, answer->call->now_s);
    }
}

static void note_touch(struct protocol_meta_reply *line, struct answer *answer)
{
    (void)line;
    answer->view.item.expiry_s = touch_expiry(answer->call);
}

/* Kinds of answers: of mg, ms and ma, and a code that says no more than what it repeats. */
#define OF_MG        1u
#define OF_MS        2u
#define OF_MA        4u
#define OF_CODE      8u
#define OF_EVERY     15u

/* What a flag brings into an answer, and into which; the others bring nothing. */
#define FLAG(letter) [(letter) - 'A']
static const struct {
    unsigned answers;
    void (*put)(struct protocol_meta_reply *line, struct answer *answer);
} shown_flags[] = {
    FLAG('k') = {OF_EVERY, put_key},
    FLAG('O') = {OF_EVERY, put_opaque},
    FLAG('c') = {OF_MG | OF_MS | OF_MA, put_cas},
    FLAG('s') = {OF_MG | OF_MS, put_size},
    FLAG('t') = {OF_MG | OF_MA, put_expiry},
    FLAG('N') = {OF_MG | OF_MA, note_vivify},
    FLAG('T') = {OF_MG | OF_MA, note_touch},
    FLAG('f') = {OF_MG, put_flags},
    FLAG('h') = {OF_MG, put_fetched},
    FLAG('l') = {OF_MG, put_age},
};
#define SHOWN_FLAGS_COUNT (sizeof(shown_flags) / sizeof(shown_flags[0]))

/* What the flags ask for, in the order they were sent. @kind is one of OF_. */
static void put_shown(struct protocol_meta_reply *line, struct answer *answer, unsigned kind)
{
    const struct protocol_meta *meta = &answer->call->request->meta;

    for (size_t i = 0; i < meta->letters_count; i++) {
        const size_t row = (size_t)meta->letters[i] - 'A';
        if (row < SHOWN_FLAGS_COUNT && (shown_flags[row].answers & kind) != 0) {
            shown_flags[row].put(line, answer);
        }
    }
}

static enum command_outcome send_line(const struct call *call,
                                      const struct protocol_meta_reply *line)
{
    struct protocol_reply *reply = call->reply;

    assert(line->used <= protocol_reply_room(reply));
    memcpy(reply->data + reply->used, line->text, line->used);
    reply->used += line->used;
    return COMMAND_DONE;
}

/* A code, and what the request wants repeated. */
static enum command_outcome answer_code(const struct call *call, const char *code)
{
    struct answer answer = answer_to(call);
    struct protocol_meta_reply line;

    protocol_meta_begin(&line, code);
    put_shown(&line, &answer, OF_CODE);
    protocol_meta_end(&line);
    return send_line(call, &line);
}

/* ---- mg ---- */

struct get {
    struct call *call;
    struct cache_view view;
    struct protocol_meta_reply line;
    size_t need_bytes; /* for line and value */
};

/* The line, all but its value. */
static void compose(struct get *get)
{
    const struct cache_view *view = &get->view;
    struct protocol_meta_reply *line = &get->line;
    struct answer answer = answer_to(get->call);

    if (view->read) {
        protocol_meta_begin_value(line, view->item.value_bytes);
    } else {
        protocol_meta_begin(line, "HD");
    }
    answer.view = *view;
    put_shown(line, &answer, OF_MG);
    if (view->given) {
        protocol_meta_put_word(line, "Z");
    }
    if (view->stale) {
        protocol_meta_put_word(line, "X");
    }
    if (view->won) {
        protocol_meta_put_word(line, "W");
    }
    protocol_meta_end(line);
}

/* Where the value goes for now: behind its line, or behind the key where that is longer. */
static size_t value_at(const struct get *get)
{
    const size_t key_bytes = get->view.item.key_bytes;
    return get->line.used > key_bytes ? get->line.used : key_bytes;
}

static uint8_t *place_value(void *context, const struct cache_item *item)
{
    struct get *get = context;
    const struct protocol_reply *reply = get->call->reply;

    compose(get);
    get->need_bytes = value_at(get) + item->value_bytes + 2;
    if (protocol_reply_room(reply) < get->need_bytes) {
        return NULL;
    }
    return reply->data + reply->used + value_at(get);
}

static enum command_outcome answer_view(struct get *get)
{
    struct protocol_reply *reply = get->call->reply;
    const size_t value_bytes = get->view.item.value_bytes;

    if (!get->view.read || get->view.created) {
        compose(get); /* nobody has asked for a place */
    }
    if (!get->view.read) {
        return send_line(get->call, &get->line);
    }
    uint8_t *const value = reply->data + reply->used + value_at(get);
    (void)send_line(get->call, &get->line);
    uint8_t *const at = reply->data + reply->used;
    if (at != value) {
        memmove(at, value, value_bytes);
    }
    memcpy(at + value_bytes, "\r\n", 2);
    reply->used += value_bytes + 2;
    return COMMAND_DONE;
}

static struct cache_look look_of(const struct call *call)
{
    const struct protocol_request *request = call->request;
    const struct protocol_meta *meta = &request->meta;

    return (struct cache_look){
        .read = has(call, 'v'),
        .skip_same = has(call, 'C'),
        .skip_cas = request->cas_unique,
        .unseen = has(call, 'u'),
        .touch = has(call, 'T'),
        .touch_expiry_s = touch_expiry(call),
        .create = has(call, 'N'),
        .create_expiry_s = create_expiry(call),
        .cas_given = has(call, 'E'),
        .cas = meta->cas_new,
        /* 0 is no time: nothing expires before never. */
        .recache = has(call, 'R') && meta->recache_s != 0,
        .recache_s = call_expiry(meta->recache_s, call->now_s),
        .recache_touched = comes_before(meta, 'T', 'R'),
    };
}

static void count_look(const struct call *call, bool hit)
{
    if (hit && has(call, 'T')) {
        call_count(call, COUNTER_CMD_TOUCH);
        call_count(call, COUNTER_TOUCH_HITS);
        return;
    }
    call_count(call, COUNTER_CMD_GET);
    call_count(call, hit ? COUNTER_GET_HITS : COUNTER_GET_MISSES);
}

enum command_outcome execute_mg(struct call *call)
{
    struct get get;
    uint8_t room[CACHE_KEY_BYTES_MAX];
    const struct protocol_slice key = call_meta_key(call->request, room);
    const struct cache_look look = look_of(call);
    struct command_look before;

    get.call = call;
    call_look(call, key, &before);
    const enum cache_status status = cache_look(call->command->worker, key.data, key.bytes, &look,
                                                call->now_s, place_value, &get, &get.view);
    if (status == CACHE_NO_ROOM) {
        return call_needs_room(call, get.need_bytes);
    }
    if (status == CACHE_NO_MEMORY) {
        return call_answer(call, call->row->refused);
    }
    count_look(call, status == CACHE_OK);
    call_count_key(call, key.data, key.bytes);
    command_tell_get(&before, NULL);
    call_count_prefix(call, key.data, key.bytes, status == CACHE_OK ? PREFIX_HIT : PREFIX_GET);
    if (status == CACHE_OK) {
        return answer_view(&get);
    }
    return has(call, 'q') ? COMMAND_DONE : answer_code(call, "EN");
}

/* ---- ms ---- */

static enum cache_mode store_mode(const struct call *call)
{
    enum cache_mode mode = CACHE_SET;

    switch (call->request->meta.mode) {
    case 'E':
        return CACHE_ADD;
    case 'A':
        return CACHE_APPEND;
    case 'P':
        return CACHE_PREPEND;
    case 'R':
        mode = CACHE_REPLACE;
        break;
    default:
        break;
    }
    if (!has(call, 'C')) {
        return mode;
    }
    return has(call, 'I') ? CACHE_CAS_OR_STALE : CACHE_CAS;
}

/* Moves the key up to the value, over the line: what is repeated of that is copied before. @line:
 * what stood there. */
static struct cache_store store_of(const struct call *call, uint8_t line[CACHE_KEY_BYTES_MAX])
{
    const struct protocol_request *request = call->request;
    uint8_t room[CACHE_KEY_BYTES_MAX];
    const struct protocol_slice key = call_meta_key(request, room);
    const enum cache_mode mode = store_mode(call);
    const bool joins = mode == CACHE_APPEND || mode == CACHE_PREPEND;
    const bool creates = joins && has(call, 'N');
    uint8_t *const entry = request->value.data - key.bytes;

    memcpy(line, entry, key.bytes);
    memmove(entry, key.data, key.bytes);
    return (struct cache_store){
        .entry = entry,
        .key_bytes = key.bytes,
        .value_bytes = request->value.bytes,
        .mode = mode,
        .flags = request->flags,
        .expiry_s = creates ? call_expiry(request->meta.vivify_s, call->now_s) : touch_expiry(call),
        .cas = request->cas_unique,
        .compare = joins && request->cas_unique != 0,
        .create = creates,
        .cas_given = has(call, 'E'),
        .cas_new = request->meta.cas_new,
        .owner = request,
    };
}

static const char *store_code(enum cache_status status)
{
    switch (status) {
    case CACHE_OK:
        return "HD";
    case CACHE_EXISTS:
        return "EX";
    case CACHE_NOT_FOUND:
        return "NF";
    case CACHE_NOT_STORED:
        return "NS";
    case CACHE_TOO_LARGE:
    case CACHE_NO_MEMORY:
    case CACHE_NOT_NUMBER:
    case CACHE_NO_ROOM:
    case CACHE_MORE:
        break;
    }
    return NULL;
}

static enum command_outcome answer_store(const struct call *call, struct answer *answer,
                                         enum cache_status status,
                                         const struct cache_stored *stored)
{
    struct protocol_meta_reply line;

    if (status == CACHE_OK && has(call, 'q')) {
        return COMMAND_DONE;
    }
    answer->view.item.cas = stored->cas;
    answer->view.item.value_bytes = stored->value_bytes;
    protocol_meta_begin(&line, store_code(status));
    put_shown(&line, answer, OF_MS);
    protocol_meta_end(&line);
    return send_line(call, &line);
}

enum command_outcome execute_ms(struct call *call)
{
    const struct protocol_request *request = call->request;
    struct answer answer = answer_to(call);
    uint8_t key[CACHE_KEY_BYTES_MAX], opaque[PROTOCOL_OPAQUE_BYTES_MAX], line[CACHE_KEY_BYTES_MAX];

    if (request->too_large) {
        call_refuse_store(call, CACHE_SET, CACHE_TOO_LARGE);
        return call_answer(call, call_store_line(CACHE_TOO_LARGE));
    }
    if (call_store_waits(call, request->key.bytes)) {
        return COMMAND_PAUSE;
    }
    if (has(call, 'k')) {
        memcpy(key, answer.key.data, answer.key.bytes);
        answer.key.data = key;
    }
    memcpy(opaque, answer.opaque.data, answer.opaque.bytes);
    answer.opaque.data = opaque;
    const struct cache_store store = store_of(call, line);
    struct cache_stored stored = {.cas = 0};
    struct command_look look;

    command_look(call->command->writer, call->command->worker, store.entry, store.key_bytes,
                 call->now_s, &look);
    const enum cache_status status =
        cache_store(call->command->worker, &store, call->now_s, &stored);
    if (status == CACHE_MORE) { /* the line as it came, to be read again */
        memcpy(request->value.data - store.key_bytes, line, store.key_bytes);
        return COMMAND_PAUSE;
    }
    call_count_key(call, store.entry, store.key_bytes);
    call_count_prefix(call, store.entry, store.key_bytes, PREFIX_SET);
    call_count_store(call, store.mode, status);
    command_tell_store(&look, &store, status);
    if (store_code(status) == NULL) {
        const enum cache_status ignored =
            cache_delete(call->command->worker, store.entry, store.key_bytes, call->now_s);
        (void)ignored; /* there may have been none, or it is gone already */
        return call_answer(call, call_store_line(status));
    }
    if (status != CACHE_OK) {
        stored = (struct cache_stored){.value_bytes = store.value_bytes};
    }
    return answer_store(call, &answer, status, &stored);
}

/* ---- md ---- */

enum command_outcome execute_md(struct call *call)
{
    const struct protocol_request *request = call->request;
    uint8_t room[CACHE_KEY_BYTES_MAX];
    const struct protocol_slice key = call_meta_key(request, room);
    const struct cache_change change = {
        .compare = has(call, 'C'),
        .cas = request->cas_unique,
        .empty = has(call, 'x'),
        .invalidate = has(call, 'I'),
        .touch = has(call, 'T'),
        .expiry_s = touch_expiry(call),
        .cas_given = has(call, 'E'),
        .cas_new = request->meta.cas_new,
    };
    struct command_look look;

    call_look(call, key, &look);
    const enum cache_status status =
        cache_change(call->command->worker, key.data, key.bytes, &change, call->now_s);
    if (change.empty || change.invalidate) { /* something stays */
        command_tell_get(&look, NULL);
    } else {
        command_tell_delete(&look, "md", status);
    }

    call_count_key(call, key.data, key.bytes);
    call_count_prefix(call, key.data, key.bytes, PREFIX_DELETE);
    if (status == CACHE_NO_MEMORY) {
        return call_answer(call, "SERVER_ERROR out of memory");
    }
    if (status != CACHE_OK) {
        call_count(call, COUNTER_DELETE_MISSES);
        return answer_code(call, status == CACHE_EXISTS ? "EX" : "NF");
    }
    if (!change.invalidate) {
        call_count(call, COUNTER_DELETE_HITS);
    }
    return has(call, 'q') ? COMMAND_DONE : answer_code(call, "HD");
}

/* ---- ma ---- */

static enum command_outcome answer_number(const struct call *call,
                                          const struct cache_number *number)
{
    struct answer answer = answer_to(call);
    struct protocol_meta_reply line;

    answer.view.item.cas = number->cas;
    answer.view.item.expiry_s = number->expiry_s;
    answer.view.created = number->created;
    if (has(call, 'v')) {
        protocol_meta_begin_value(&line, protocol_meta_digits(number->value));
    } else {
        protocol_meta_begin(&line, "HD");
    }
    put_shown(&line, &answer, OF_MA);
    if (has(call, 'v')) {
        protocol_meta_end_number(&line, number->value);
    } else {
        protocol_meta_end(&line);
    }
    return send_line(call, &line);
}

static enum command_outcome arith_failed(const struct call *call, bool increments,
                                         enum cache_status status)
{
    if (status == CACHE_NOT_FOUND) {
        call_count(call, increments ? COUNTER_INCR_MISSES : COUNTER_DECR_MISSES);
        return answer_code(call, "NF");
    }
    if (status == CACHE_EXISTS) {
        return answer_code(call, "EX");
    }
    return call_answer(call, call_arith_line(status));
}

enum command_outcome execute_ma(struct call *call)
{
    const struct protocol_request *request = call->request;
    const struct protocol_meta *meta = &request->meta;
    uint8_t room[CACHE_KEY_BYTES_MAX];
    const struct protocol_slice key = call_meta_key(request, room);
    const bool increments = meta->mode != 'D' && meta->mode != '-';
    const struct cache_arith arith = {
        .increment = increments,
        .compare = request->cas_unique != 0,
        .touch = has(call, 'T'),
        .create = has(call, 'N'),
        .cas_given = has(call, 'E'),
        .touch_expiry_s = touch_expiry(call),
        .create_expiry_s = create_expiry(call),
        .delta = request->delta,
        .initial = meta->initial,
        .cas = request->cas_unique,
        .cas_new = meta->cas_new,
    };
    struct cache_number number;
    struct command_look look;

    call_count_key(call, key.data, key.bytes);
    call_look(call, key, &look);
    command_tell_get(&look, NULL);
    const enum cache_status status =
        cache_arith(call->command->worker, key.data, key.bytes, &arith, call->now_s, &number);

    if (status != CACHE_OK) {
        return arith_failed(call, increments, status);
    }
    if (number.created) {
        return answer_number(call, &number); /* with q too, as memcached */
    }
    call_count(call, increments ? COUNTER_INCR_HITS : COUNTER_DECR_HITS);
    return has(call, 'q') ? COMMAND_DONE : answer_number(call, &number);
}

/* ---- me, mn ---- */

enum command_outcome execute_me(struct call *call)
{
    static const struct cache_look look = {.unseen = true};
    uint8_t room[CACHE_KEY_BYTES_MAX];
    const struct protocol_slice key = call_meta_key(call->request, room);
    struct protocol_meta_reply line;
    struct command_look before;
    struct cache_view view;

    call_look(call, key, &before);
    command_tell_get(&before, NULL);
    const enum cache_status status = cache_look(call->command->worker, key.data, key.bytes, &look,
                                                call->now_s, NULL, NULL, &view);
    call_count(call, COUNTER_CMD_META);
    if (status != CACHE_OK) {
        return call_answer(call, "EN");
    }
    protocol_meta_begin(&line, "ME");
    protocol_meta_put(&line, call->request->key);
    put_ttl(&line, "exp=", view.item.expiry_s, call->now_s);
    protocol_meta_put_number(&line, "la=", view.age_s);
    protocol_meta_put_number(&line, "cas=", shown_cas(call, view.item.cas));
    protocol_meta_put_word(&line, view.fetched ? "fetch=yes" : "fetch=no");
    protocol_meta_put_word(&line, "cls=1");
    protocol_meta_put_number(&line, "size=", view.stored_bytes);
    protocol_meta_end(&line);
    return send_line(call, &line);
}

enum command_outcome execute_mn(struct call *call)
{
    return call_answer(call, "MN");
}
