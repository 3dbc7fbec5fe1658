#include "tests/protocol/parse_check.h"

#include "protocol/base64.h"
#include "protocol/parse.h"

#include <assert.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* One call: what went in, in a block of its own, and what came out. */
struct attempt {
    uint8_t *bytes;
    size_t count;
    enum protocol_result result;
    struct protocol_parsed parsed;
};

static struct attempt attempt_new(const uint8_t *bytes, size_t count, size_t value_bytes_max)
{
    struct attempt attempt = {.bytes = malloc(count), .count = count};

    assert(attempt.bytes != NULL);
    memcpy(attempt.bytes, bytes, count);
    /* Fields that are not set must not be looked at: let them be nonsense. */
    memset(&attempt.parsed, 0xa5, sizeof(attempt.parsed));
    attempt.result = protocol_parse(attempt.bytes, count, value_bytes_max, &attempt.parsed);
    assert(memcmp(attempt.bytes, bytes, count) == 0);
    return attempt;
}

static void attempt_free(struct attempt *attempt)
{
    free(attempt->bytes);
}

static const char *verb_name(enum protocol_verb verb)
{
    static const char *const names[PROTOCOL_VERBS_COUNT] = {
        [PROTOCOL_GET] = "get",
        [PROTOCOL_GETS] = "gets",
        [PROTOCOL_GAT] = "gat",
        [PROTOCOL_GATS] = "gats",
        [PROTOCOL_SET] = "set",
        [PROTOCOL_ADD] = "add",
        [PROTOCOL_REPLACE] = "replace",
        [PROTOCOL_APPEND] = "append",
        [PROTOCOL_PREPEND] = "prepend",
        [PROTOCOL_CAS] = "cas",
        [PROTOCOL_DELETE] = "delete",
        [PROTOCOL_INCR] = "incr",
        [PROTOCOL_DECR] = "decr",
        [PROTOCOL_TOUCH] = "touch",
        [PROTOCOL_FLUSH_ALL] = "flush_all",
        [PROTOCOL_STATS] = "stats",
        [PROTOCOL_VERSION] = "version",
        [PROTOCOL_VERBOSITY] = "verbosity",
        [PROTOCOL_QUIT] = "quit",
        [PROTOCOL_SHUTDOWN] = "shutdown",
        [PROTOCOL_CACHE_MEMLIMIT] = "cache_memlimit",
        [PROTOCOL_WATCH] = "watch",
        [PROTOCOL_REFRESH_CERTS] = "refresh_certs",
        [PROTOCOL_MG] = "mg",
        [PROTOCOL_MS] = "ms",
        [PROTOCOL_MD] = "md",
        [PROTOCOL_MA] = "ma",
        [PROTOCOL_ME] = "me",
        [PROTOCOL_MN] = "mn",
    };
    assert(verb < PROTOCOL_VERBS_COUNT && names[verb] != NULL);
    return names[verb];
}

struct writer {
    char *text;
    size_t used;
};

__attribute__((format(printf, 2, 3))) static void put(struct writer *writer, const char *format,
                                                      ...)
{
    va_list arguments;
    va_start(arguments, format);
    const size_t room = PARSE_CHECK_TEXT_BYTES - writer->used;
    const int bytes = vsnprintf(writer->text + writer->used, room, format, arguments);
    va_end(arguments);
    assert(bytes >= 0 && (size_t)bytes < room);
    writer->used += (size_t)bytes;
}

static void put_slice(struct writer *writer, const char *name, struct protocol_slice slice)
{
    put(writer, " %s=", name);
    for (size_t i = 0; i < slice.bytes; i++) {
        const uint8_t byte = slice.data[i];
        put(writer, byte < 0x20 || byte >= 0x7f ? "\\x%02x" : "%c", byte);
    }
}

static bool is_meta(enum protocol_verb verb)
{
    return verb >= PROTOCOL_CLASSIC_VERBS_COUNT;
}

/* " [letters]", and after it what else a meta command has beyond a classic one. */
static void put_meta(struct writer *writer, const struct protocol_request *request)
{
    const struct protocol_meta *meta = &request->meta;

    put(writer, " [%.*s]", (int)meta->letters_count, (const char *)meta->letters);
    if (protocol_meta_has(meta, 'M')) {
        put(writer, " mode=%c", meta->mode);
    }
    if (meta->opaque_bytes > 0) {
        const struct protocol_slice opaque = {request->key.data + meta->opaque_at,
                                              meta->opaque_bytes};
        put_slice(writer, "opaque", opaque);
    }
    if (protocol_meta_has(meta, 'N')) {
        put(writer, " vivify=%" PRId32, meta->vivify_s);
    }
    if (protocol_meta_has(meta, 'R')) {
        put(writer, " recache=%" PRId32, meta->recache_s);
    }
    if (protocol_meta_has(meta, 'E')) {
        put(writer, " new=%" PRIu64, meta->cas_new);
    }
    if (protocol_meta_has(meta, 'J')) {
        put(writer, " initial=%" PRIu64, meta->initial);
    }
}

static void put_request(struct writer *writer, const struct protocol_request *request)
{
    put(writer, " %s%s%s", verb_name(request->verb), request->noreply ? " noreply" : "",
        request->too_large ? " too_large" : "");
    if (request->key.bytes > 0) {
        put_slice(writer, "key", request->key);
    }
    if (request->keys.bytes > 0) {
        put_slice(writer, "keys", request->keys);
    }
    if (request->flags != 0) {
        put(writer, " flags=%" PRIu32, request->flags);
    }
    if (request->exptime != 0) {
        put(writer, " exptime=%" PRId64, request->exptime);
    }
    if (request->cas_unique != 0) {
        put(writer, " cas=%" PRIu64, request->cas_unique);
    }
    if (request->delta != 0) {
        put(writer, " delta=%" PRIu64, request->delta);
    }
    if (request->argument.bytes > 0) {
        put_slice(writer, "argument", request->argument);
    }
    if (request->value.data != NULL) {
        put_slice(writer, "value", request->value);
    }
    if (is_meta(request->verb)) {
        put_meta(writer, request);
    }
}

void parse_check_text(const uint8_t *bytes, size_t count, size_t value_bytes_max, char *text)
{
    struct attempt attempt = attempt_new(bytes, count, value_bytes_max);
    const struct protocol_parsed *parsed = &attempt.parsed;
    struct writer writer = {.text = text};

    switch (attempt.result) {
    case PROTOCOL_MORE:
        put(&writer, "MORE %zu", parsed->wanted);
        break;
    case PROTOCOL_CLOSE:
        put(&writer, "CLOSE");
        break;
    case PROTOCOL_REQUEST:
    case PROTOCOL_ERROR:
        put(&writer, "%s %zu", attempt.result == PROTOCOL_ERROR ? "ERROR" : "REQUEST",
            parsed->used);
        if (parsed->swallow > 0) {
            put(&writer, "+%zu", parsed->swallow);
        }
        if (attempt.result == PROTOCOL_ERROR) {
            put(&writer, " %s", parsed->error != NULL ? parsed->error : "(silent)");
        } else {
            put_request(&writer, &parsed->request);
        }
        break;
    }
    attempt_free(&attempt);
}

/* A slice lies in the bytes the request took, or is empty. */
static void check_slice(const struct attempt *attempt, struct protocol_slice slice)
{
    if (slice.bytes > 0) {
        assert(slice.data >= attempt->bytes);
        assert(slice.data + slice.bytes <= attempt->bytes + attempt->parsed.used);
    }
}

static void check_keys(struct protocol_slice keys)
{
    struct protocol_slice key;
    size_t keys_count = 0;

    while (protocol_next_key(&keys, &key)) {
        assert(key.bytes >= 1 && key.bytes <= PROTOCOL_KEY_BYTES_MAX);
        assert(memchr(key.data, ' ', key.bytes) == NULL);
        keys_count++;
    }
    assert(keys_count > 0);
    assert(keys.bytes == 0);
}

static void check_value(const struct attempt *attempt, size_t value_bytes_max)
{
    const struct protocol_request *request = &attempt->parsed.request;
    const struct protocol_slice value = request->value;

    if (request->too_large) {
        assert(value.bytes == 0 && value.data == NULL);
        assert(attempt->parsed.swallow > value_bytes_max + 2);
        return;
    }
    assert(attempt->parsed.swallow == 0);
    assert(value.data != NULL && value.bytes <= value_bytes_max);
    assert(memcmp(value.data + value.bytes, "\r\n", 2) == 0);
    assert(value.data + value.bytes + 2 == attempt->bytes + attempt->parsed.used);
    assert((size_t)(value.data - attempt->bytes) >= request->key.bytes);
}

/* What is said of a meta command's flags agrees, and lies on its line. */
static void check_meta(const struct attempt *attempt)
{
    const struct protocol_request *request = &attempt->parsed.request;
    const struct protocol_meta *meta = &request->meta;
    uint64_t present = 0;
    uint8_t key[PROTOCOL_BASE64_KEY_BYTES_MAX];

    assert(meta->letters_count <= PROTOCOL_META_FLAGS_MAX);
    for (size_t i = 0; i < meta->letters_count; i++) {
        assert((present & protocol_meta_bit(meta->letters[i])) == 0);
        present |= protocol_meta_bit(meta->letters[i]);
    }
    assert(present == meta->present || request->verb == PROTOCOL_ME);
    assert((meta->opaque_bytes > 0) == protocol_meta_has(meta, 'O'));
    assert(meta->opaque_bytes <= PROTOCOL_OPAQUE_BYTES_MAX);
    if (meta->opaque_bytes > 0) {
        const struct protocol_slice opaque = {request->key.data + meta->opaque_at,
                                              meta->opaque_bytes};
        check_slice(attempt, opaque);
        assert(opaque.data[0] == 'O' && memchr(opaque.data, ' ', opaque.bytes) == NULL);
    }
    if (protocol_meta_has(meta, 'b')) {
        const size_t bytes = protocol_base64_decode(request->key, key);
        assert(bytes >= 1 && bytes <= sizeof(key) && bytes < request->key.bytes);
    }
}

static void check_request(const struct attempt *attempt, size_t value_bytes_max)
{
    const struct protocol_request *request = &attempt->parsed.request;
    const enum protocol_verb verb = request->verb;
    const bool multi = verb <= PROTOCOL_GATS;
    const bool storage = (verb >= PROTOCOL_SET && verb <= PROTOCOL_CAS) || verb == PROTOCOL_MS;
    const bool keyed =
        (verb >= PROTOCOL_SET && verb <= PROTOCOL_TOUCH) || (is_meta(verb) && verb != PROTOCOL_MN);

    assert(verb < PROTOCOL_VERBS_COUNT);
    check_slice(attempt, request->key);
    check_slice(attempt, request->keys);
    check_slice(attempt, request->value);
    check_slice(attempt, request->argument);
    assert(keyed == (request->key.bytes > 0));
    assert(request->key.bytes <= PROTOCOL_KEY_BYTES_MAX);
    assert(request->exptime >= INT32_MIN && request->exptime <= INT32_MAX);
    if (multi) {
        check_keys(request->keys);
    }
    if (is_meta(verb)) {
        check_meta(attempt);
    }
    if (storage) {
        check_value(attempt, value_bytes_max);
    } else {
        assert(request->value.bytes == 0 && !request->too_large && attempt->parsed.swallow == 0);
    }
}

/* PARSE-1, and what each result promises by itself. */
static void check_result(const struct attempt *attempt, size_t value_bytes_max)
{
    const struct protocol_parsed *parsed = &attempt->parsed;

    switch (attempt->result) {
    case PROTOCOL_MORE:
        assert(parsed->wanted == 0 || parsed->wanted > attempt->count);
        assert((parsed->wanted == 0) == (memchr(attempt->bytes, '\n', attempt->count) == NULL));
        break;
    case PROTOCOL_REQUEST:
        assert(parsed->used > 0 && parsed->used <= attempt->count);
        check_request(attempt, value_bytes_max);
        break;
    case PROTOCOL_ERROR:
        assert(parsed->used > 0 && parsed->used <= attempt->count);
        assert(parsed->error == NULL || strpbrk(parsed->error, "\r\n") == NULL);
        break;
    case PROTOCOL_CLOSE:
        break;
    }
}

static bool same_slice(const struct attempt *a, struct protocol_slice in_a, const struct attempt *b,
                       struct protocol_slice in_b)
{
    if (in_a.bytes != in_b.bytes || (in_a.data == NULL) != (in_b.data == NULL)) {
        return false;
    }
    return in_a.data == NULL || in_a.data - a->bytes == in_b.data - b->bytes;
}

static bool same_meta(const struct protocol_meta *one, const struct protocol_meta *two)
{
    return one->present == two->present && one->letters_count == two->letters_count &&
           memcmp(one->letters, two->letters, one->letters_count) == 0 &&
           one->cas_new == two->cas_new && one->initial == two->initial &&
           one->vivify_s == two->vivify_s && one->recache_s == two->recache_s &&
           one->opaque_at == two->opaque_at && one->opaque_bytes == two->opaque_bytes &&
           one->mode == two->mode;
}

static bool same_request(const struct attempt *a, const struct attempt *b)
{
    const struct protocol_request *one = &a->parsed.request;
    const struct protocol_request *two = &b->parsed.request;

    if (is_meta(one->verb) && !same_meta(&one->meta, &two->meta)) {
        return false;
    }
    return one->verb == two->verb && one->noreply == two->noreply &&
           one->too_large == two->too_large && one->flags == two->flags &&
           one->exptime == two->exptime && one->cas_unique == two->cas_unique &&
           one->delta == two->delta && same_slice(a, one->key, b, two->key) &&
           same_slice(a, one->keys, b, two->keys) && same_slice(a, one->value, b, two->value) &&
           same_slice(a, one->argument, b, two->argument);
}

/* PARSE-2: the first bytes alone say "more", or what all of them say. */
static void check_cut(const struct attempt *whole, const struct attempt *part)
{
    const struct protocol_parsed *all = &whole->parsed;
    const bool done = whole->result == PROTOCOL_REQUEST || whole->result == PROTOCOL_ERROR;

    if (part->result == PROTOCOL_MORE) {
        assert(!done || part->count < all->used);
        if (part->parsed.wanted != 0) {
            assert(whole->result == PROTOCOL_MORE ? part->parsed.wanted == all->wanted
                                                  : done && part->parsed.wanted == all->used);
        }
        return;
    }
    assert(part->result == whole->result);
    if (done) {
        assert(part->parsed.used == all->used && part->parsed.swallow == all->swallow);
    }
    if (whole->result == PROTOCOL_ERROR) {
        assert(part->parsed.error == all->error);
    } else if (whole->result == PROTOCOL_REQUEST) {
        assert(same_request(whole, part));
    }
}

static void check_cuts_of(const struct attempt *whole, size_t value_bytes_max, size_t cuts_max)
{
    /* Bytes behind the request can tell nothing new: one place there is enough. */
    const bool done = whole->result == PROTOCOL_REQUEST || whole->result == PROTOCOL_ERROR;
    const size_t places =
        done && whole->parsed.used < whole->count ? whole->parsed.used + 1 : whole->count;
    const size_t step = places / (cuts_max + 1) + 1;

    for (size_t cut = 1; cut < places; cut += step) {
        struct attempt part = attempt_new(whole->bytes, cut, value_bytes_max);
        check_result(&part, value_bytes_max);
        check_cut(whole, &part);
        attempt_free(&part);
    }
    if (done) {
        struct attempt exact = attempt_new(whole->bytes, whole->parsed.used, value_bytes_max);
        assert(exact.result == whole->result);
        check_cut(whole, &exact);
        attempt_free(&exact);
    }
}

void parse_check_cuts(const uint8_t *bytes, size_t count, size_t value_bytes_max, size_t cuts_max)
{
    struct attempt whole = attempt_new(bytes, count, value_bytes_max);

    check_result(&whole, value_bytes_max);
    check_cuts_of(&whole, value_bytes_max, cuts_max);
    attempt_free(&whole);
}

void parse_check_stream(const uint8_t *bytes, size_t count, size_t value_bytes_max, size_t cuts_max)
{
    while (count > 0) {
        struct attempt whole = attempt_new(bytes, count, value_bytes_max);
        check_result(&whole, value_bytes_max);
        check_cuts_of(&whole, value_bytes_max, cuts_max);
        size_t taken = count;
        if (whole.result == PROTOCOL_REQUEST || whole.result == PROTOCOL_ERROR) {
            const size_t left = count - whole.parsed.used;
            const size_t swallow = whole.parsed.swallow;
            taken = whole.parsed.used + (swallow < left ? swallow : left);
        }
        attempt_free(&whole);
        bytes += taken;
        count -= taken;
    }
}
