/*
 * parse_random_test.c - requests made at random, whose meaning is known because they were made; the
 * same with bytes changed; and plain noise. The seed is printed, and taken from TEST_SEED.
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
#include "tests/protocol/parse_check.h"

#include <inttypes.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define VALUE_BYTES_MAX 600u
#define SAMPLE_BYTES    4096u

static uint64_t random_next(uint64_t *seed)
{
    *seed = *seed * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
    uint64_t mixed = *seed ^ *seed >> 29;
    mixed *= UINT64_C(0x9fb21c651e98df25);
    return mixed ^ mixed >> 32;
}

static size_t random_below(uint64_t *seed, size_t limit)
{
    return (size_t)(random_next(seed) % limit);
}

static bool one_in(uint64_t *seed, size_t odds)
{
    return random_below(seed, odds) == 0;
}

/* A request as sent, and what parse_check_text() must say of it. */
struct sample {
    uint8_t bytes[SAMPLE_BYTES];
    size_t count;
    char answer[PARSE_CHECK_TEXT_BYTES];
};

struct fields {
    const char *verb;
    char key[1300]; /* one, or all of a get */
    bool noreply;
    uint64_t flags, cas, delta;
    int64_t exptime;
    size_t value_bytes;
};

static void put_text(struct sample *sample, const char *text)
{
    const size_t bytes = strlen(text);
    assert_true(sample->count + bytes <= SAMPLE_BYTES);
    memcpy(sample->bytes + sample->count, text, bytes);
    sample->count += bytes;
}

/* One token behind one space or several. */
__attribute__((format(printf, 3, 4))) static void put_token(struct sample *sample, uint64_t *seed,
                                                            const char *format, ...)
{
    char text[1400];
    va_list arguments;
    va_start(arguments, format);
    const int bytes = vsnprintf(text, sizeof(text), format, arguments);
    va_end(arguments);
    assert_true(bytes >= 0 && (size_t)bytes < sizeof(text));
    do {
        put_text(sample, " ");
    } while (one_in(seed, 8));
    put_text(sample, text);
}

static void put_line_end(struct sample *sample, uint64_t *seed)
{
    while (one_in(seed, 16)) {
        put_text(sample, " ");
    }
    put_text(sample, one_in(seed, 4) ? "\n" : "\r\n");
}

/* Printable bytes other than the space, so that the answer shows them as they are. */
static size_t random_key(uint64_t *seed, char *key)
{
    const size_t bytes = 1 + random_below(seed, one_in(seed, 10) ? 250 : 20);
    for (size_t i = 0; i < bytes; i++) {
        key[i] = (char)('!' + random_below(seed, '~' - '!' + 1));
    }
    key[bytes] = '\0';
    return bytes;
}

/* Of any length in bits, so that short and long numbers come alike. */
static uint64_t random_number(uint64_t *seed, unsigned bits_max)
{
    const unsigned bits = (unsigned)random_below(seed, bits_max + 1);
    return bits == 0 ? 0 : random_next(seed) >> (64 - bits);
}

static int64_t random_exptime(uint64_t *seed)
{
    const int64_t size = (int64_t)random_number(seed, 31);
    return one_in(seed, 4) ? -size : size;
}

/* What the answer shows of the fields, in its order; zeros are not shown. */
static void answer_fields(struct sample *sample, size_t used, size_t swallow,
                          const struct fields *fields, bool keys)
{
    char *text = sample->answer;
    text += sprintf(text, "REQUEST %zu", used);
    text += swallow > 0 ? sprintf(text, "+%zu", swallow) : 0;
    text += sprintf(text, " %s%s%s", fields->verb, fields->noreply ? " noreply" : "",
                    swallow > 0 ? " too_large" : "");
    text += sprintf(text, " %s=%s", keys ? "keys" : "key", fields->key);
    text += fields->flags > 0 ? sprintf(text, " flags=%" PRIu64, fields->flags) : 0;
    text += fields->exptime != 0 ? sprintf(text, " exptime=%" PRId64, fields->exptime) : 0;
    text += fields->cas > 0 ? sprintf(text, " cas=%" PRIu64, fields->cas) : 0;
    text += fields->delta > 0 ? sprintf(text, " delta=%" PRIu64, fields->delta) : 0;
    *text = '\0';
}

static void make_storage(struct sample *sample, uint64_t *seed)
{
    static const char *const verbs[] = {"set", "add", "replace", "append", "prepend", "cas"};
    struct fields fields = {.verb = verbs[random_below(seed, 6)],
                            .noreply = one_in(seed, 3),
                            .flags = random_number(seed, 32),
                            .exptime = random_exptime(seed),
                            .value_bytes = random_below(seed, VALUE_BYTES_MAX * 9 / 8)};
    const bool cas = strcmp(fields.verb, "cas") == 0;

    (void)random_key(seed, fields.key);
    put_text(sample, fields.verb);
    put_token(sample, seed, "%s", fields.key);
    put_token(sample, seed, "%" PRIu64, fields.flags);
    put_token(sample, seed, "%" PRId64, fields.exptime);
    put_token(sample, seed, "%zu", fields.value_bytes);
    if (cas) {
        fields.cas = random_number(seed, 64);
        put_token(sample, seed, "%" PRIu64, fields.cas);
    }
    if (fields.noreply) {
        put_token(sample, seed, "noreply");
    }
    put_line_end(sample, seed);

    const bool too_large = fields.value_bytes > VALUE_BYTES_MAX;
    const size_t line_bytes = sample->count;
    for (size_t i = 0; i < fields.value_bytes; i++) {
        sample->bytes[sample->count++] = (uint8_t)random_next(seed);
    }
    put_text(sample, "\r\n");
    answer_fields(sample, too_large ? line_bytes : sample->count,
                  too_large ? fields.value_bytes + 2 : 0, &fields, false);
    if (!too_large) {
        char *text = sample->answer + strlen(sample->answer);
        text += sprintf(text, " value=");
        for (size_t i = 0; i < fields.value_bytes; i++) {
            const uint8_t byte = sample->bytes[line_bytes + i];
            text += sprintf(text, byte < 0x20 || byte >= 0x7f ? "\\x%02x" : "%c", byte);
        }
    }
}

static void make_get(struct sample *sample, uint64_t *seed)
{
    static const char *const verbs[] = {"get", "gets", "gat", "gats"};
    const size_t verb = random_below(seed, 4);
    struct fields fields = {.verb = verbs[verb]};
    const size_t keys_count = 1 + random_below(seed, 5);
    char *keys = fields.key;

    put_text(sample, fields.verb);
    if (verb >= 2) {
        fields.exptime = random_exptime(seed);
        put_token(sample, seed, "%" PRId64, fields.exptime);
    }
    for (size_t i = 0; i < keys_count; i++) {
        if (i > 0) {
            *keys++ = ' ';
        }
        keys += random_key(seed, keys);
    }
    put_token(sample, seed, "%s", fields.key);
    put_line_end(sample, seed);
    answer_fields(sample, sample->count, 0, &fields, true);
}

static void make_other(struct sample *sample, uint64_t *seed)
{
    static const char *const verbs[] = {"incr", "decr", "touch", "delete"};
    const size_t verb = random_below(seed, 4);
    struct fields fields = {.verb = verbs[verb], .noreply = one_in(seed, 3)};

    (void)random_key(seed, fields.key);
    put_text(sample, fields.verb);
    put_token(sample, seed, "%s", fields.key);
    if (verb <= 1) {
        fields.delta = random_number(seed, 64);
        put_token(sample, seed, "%" PRIu64, fields.delta);
    } else if (verb == 2) {
        fields.exptime = random_exptime(seed);
        put_token(sample, seed, "%" PRId64, fields.exptime);
    }
    if (fields.noreply) {
        put_token(sample, seed, "noreply");
    }
    put_line_end(sample, seed);
    answer_fields(sample, sample->count, 0, &fields, false);
}

/* A meta command's flags, each once in any order, and what is to be said of them. */
static void put_meta_flags(struct sample *sample, uint64_t *seed, size_t flags_max)
{
    static const char letters[] = "cfhklqstuvxIPLO";
    char order[sizeof(letters)], rest[64] = "";
    size_t count = sizeof(letters) - 1, taken = 0;

    memcpy(order, letters, sizeof(order));
    for (size_t i = 0; i + 1 < count; i++) { /* shuffled */
        const size_t other = i + random_below(seed, count - i);
        const char letter = order[i];
        order[i] = order[other];
        order[other] = letter;
    }
    taken = random_below(seed, (flags_max < count ? flags_max : count) + 1);
    order[taken] = '\0';
    for (size_t i = 0; i < taken; i++) {
        char token[40];
        (void)snprintf(token, sizeof(token), "%c", order[i]);
        if (order[i] == 'O') {
            (void)snprintf(token, sizeof(token), "O%.*s", (int)random_below(seed, 32),
                           "0123456789abcdef0123456789abcdef");
            (void)snprintf(rest, sizeof(rest), " opaque=%s", token);
        }
        put_text(sample, one_in(seed, 4) ? "  " : " ");
        put_text(sample, token);
    }
    put_text(sample, "\r\n");
    const size_t used = strlen(sample->answer);
    (void)snprintf(sample->answer + used, sizeof(sample->answer) - used, " [%s]%s", order, rest);
}

static void make_meta(struct sample *sample, uint64_t *seed)
{
    static const char *const words[] = {"mg", "md", "ma"};
    const char *word = words[random_below(seed, 3)];
    char key[251], line[300], answer[PARSE_CHECK_TEXT_BYTES];
    const size_t key_bytes = 1 + random_below(seed, 250);

    for (size_t i = 0; i < key_bytes; i++) {
        key[i] = (char)('a' + random_below(seed, 26));
    }
    key[key_bytes] = '\0';
    (void)snprintf(line, sizeof(line), "%s %s", word, key);
    put_text(sample, line);
    (void)snprintf(sample->answer, sizeof(sample->answer), " %s key=%s%s", word, key,
                   strcmp(word, "ma") == 0 ? " delta=1" : "");
    put_meta_flags(sample, seed, 18);
    (void)snprintf(answer, sizeof(answer), "REQUEST %zu", sample->count);
    const size_t bytes = strlen(answer);
    memmove(sample->answer + bytes, sample->answer, strlen(sample->answer) + 1);
    memcpy(sample->answer, answer, bytes);
}

static void make_sample(struct sample *sample, uint64_t *seed)
{
    sample->count = 0;
    switch (random_below(seed, 4)) {
    case 3:
        make_meta(sample, seed);
        break;
    case 0:
        make_storage(sample, seed);
        break;
    case 1:
        make_get(sample, seed);
        break;
    default:
        make_other(sample, seed);
        break;
    }
}

/* What was put in comes out, and PARSE-1 to PARSE-3 hold. */
static void made_test(void **state)
{
    uint64_t seed = *(const uint64_t *)*state;
    struct sample sample;
    char text[PARSE_CHECK_TEXT_BYTES];

    for (unsigned i = 0; i < 10000; i++) {
        make_sample(&sample, &seed);
        parse_check_text(sample.bytes, sample.count, VALUE_BYTES_MAX, text);
        assert_string_equal(text, sample.answer);
        parse_check_cuts(sample.bytes, sample.count, VALUE_BYTES_MAX, 24);
    }
}

/* Bytes of a connection that have come and are not parsed yet. */
struct pipe {
    uint8_t bytes[2 * SAMPLE_BYTES];
    size_t count;
    size_t swallow;
};

static void pipe_drop(struct pipe *pipe, size_t bytes)
{
    memmove(pipe->bytes, pipe->bytes + bytes, pipe->count - bytes);
    pipe->count -= bytes;
}

/* Parses what has come; returns how many of the answers it gave, each as expected. */
static size_t pipe_parse(struct pipe *pipe, const struct sample *samples)
{
    size_t answers = 0;

    for (;;) {
        const size_t dropped = pipe->swallow < pipe->count ? pipe->swallow : pipe->count;
        pipe->swallow -= dropped;
        pipe_drop(pipe, dropped);
        if (pipe->count == 0) {
            return answers;
        }
        struct protocol_parsed parsed;
        if (protocol_parse(pipe->bytes, pipe->count, VALUE_BYTES_MAX, &parsed) == PROTOCOL_MORE) {
            return answers;
        }
        char text[PARSE_CHECK_TEXT_BYTES];
        parse_check_text(pipe->bytes, pipe->count, VALUE_BYTES_MAX, text);
        assert_string_equal(text, samples[answers].answer);
        answers++;
        pipe->swallow = parsed.swallow;
        pipe_drop(pipe, parsed.used);
    }
}

/* Requests behind one another arrive in pieces of any size; each is answered once, in order. */
static void pieces_test(void **state)
{
    uint64_t seed = *(const uint64_t *)*state;
    enum {
        ROUNDS = 100,
        REQUESTS = 40
    };
    struct sample *samples = malloc(REQUESTS * sizeof(*samples));
    struct pipe *pipe = malloc(sizeof(*pipe));
    assert_non_null(samples);
    assert_non_null(pipe);

    for (unsigned round = 0; round < ROUNDS; round++) {
        for (size_t i = 0; i < REQUESTS; i++) {
            make_sample(&samples[i], &seed);
        }
        *pipe = (struct pipe){.count = 0};
        size_t answered = 0;
        for (size_t i = 0; i < REQUESTS; i++) {
            for (size_t sent = 0; sent < samples[i].count;) {
                size_t piece = 1 + random_below(&seed, one_in(&seed, 2) ? 8 : 1500);
                const size_t left = samples[i].count - sent;
                piece = piece < left ? piece : left;
                memcpy(pipe->bytes + pipe->count, samples[i].bytes + sent, piece);
                pipe->count += piece;
                sent += piece;
                /* Not after each piece: sometimes two requests lie there. */
                if (!one_in(&seed, 3) || pipe->count > SAMPLE_BYTES / 2) {
                    answered += pipe_parse(pipe, samples + answered);
                }
            }
        }
        answered += pipe_parse(pipe, samples + answered);
        assert_int_equal(answered, REQUESTS);
        assert_int_equal(pipe->count, 0);
        assert_int_equal(pipe->swallow, 0);
    }
    free(pipe);
    free(samples);
}

/* Changes a byte, puts one in, takes one out, or doubles a stretch. */
static void mutate(struct sample *sample, uint64_t *seed)
{
    static const char likely[] = " \r\n\0+-09k\xff";
    const size_t at = random_below(seed, sample->count);
    const size_t behind = sample->count - at;
    const uint8_t byte = one_in(seed, 3) ? (uint8_t)random_next(seed)
                                         : (uint8_t)likely[random_below(seed, sizeof(likely) - 1)];

    switch (random_below(seed, 4)) {
    case 0:
        sample->bytes[at] = byte;
        break;
    case 1:
        if (sample->count < SAMPLE_BYTES) {
            memmove(sample->bytes + at + 1, sample->bytes + at, behind);
            sample->bytes[at] = byte;
            sample->count++;
        }
        break;
    case 2:
        if (sample->count > 1) {
            memmove(sample->bytes + at, sample->bytes + at + 1, behind - 1);
            sample->count--;
        }
        break;
    default:
        if (sample->count + behind <= SAMPLE_BYTES) {
            memcpy(sample->bytes + sample->count, sample->bytes + at, behind);
            sample->count += behind;
        }
        break;
    }
}

static void mutated_test(void **state)
{
    uint64_t seed = *(const uint64_t *)*state;
    struct sample sample;

    for (unsigned i = 0; i < 20000; i++) {
        make_sample(&sample, &seed);
        for (size_t changes = 1 + random_below(&seed, 4); changes > 0; changes--) {
            /* Mostly in the line, where the meaning is. */
            struct sample *whole = &sample;
            const size_t count = whole->count;
            if (count > 40 && !one_in(&seed, 4)) {
                struct sample head = sample;
                head.count = 40;
                mutate(&head, &seed);
                const size_t tail = count - 40;
                if (head.count + tail <= SAMPLE_BYTES) {
                    memcpy(head.bytes + head.count, sample.bytes + 40, tail);
                    head.count += tail;
                    sample = head;
                }
            } else {
                mutate(whole, &seed);
            }
        }
        parse_check_stream(sample.bytes, sample.count, VALUE_BYTES_MAX, 12);
    }
}

/* Any bytes, and bytes of which many are spaces, digits and line ends. */
static void noise_test(void **state)
{
    uint64_t seed = *(const uint64_t *)*state;
    static const char words[] = "get set cas mg ms md ma 0 1 9 T N b O noreply \r\n\n k";

    for (unsigned i = 0; i < 30000; i++) {
        uint8_t bytes[300];
        const size_t count = 1 + random_below(&seed, sizeof(bytes));
        const bool any = one_in(&seed, 2);
        for (size_t at = 0; at < count; at++) {
            bytes[at] = any ? (uint8_t)random_next(&seed)
                            : (uint8_t)words[random_below(&seed, sizeof(words) - 1)];
        }
        parse_check_stream(bytes, count, VALUE_BYTES_MAX, 8);
    }
}

int main(void)
{
    const char *given = getenv("TEST_SEED");
    static uint64_t seed = 20261122;
    if (given != NULL) {
        seed = strtoull(given, NULL, 10);
    }
    print_message("TEST_SEED=%" PRIu64 "\n", seed);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_prestate(made_test, &seed),
        cmocka_unit_test_prestate(pieces_test, &seed),
        cmocka_unit_test_prestate(mutated_test, &seed),
        cmocka_unit_test_prestate(noise_test, &seed),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
