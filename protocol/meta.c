#include "protocol/meta.h"

#include "protocol/base64.h"
#include "protocol/classic.h"
#include "protocol/token.h"

#include <assert.h>
#include <string.h>

#define BAD_TOKEN  "CLIENT_ERROR bad token in command line format"
#define TOKENS_MAX 20u

static_assert(TOKENS_MAX - 2 == PROTOCOL_META_FLAGS_MAX, "word, key, flags");
static_assert(PROTOCOL_LINE_BYTES_MAX <= UINT16_MAX, "a place on the line has 16 bits");

/* What has to stand behind a flag's letter. */
enum token_kind {
    TOKEN_UNKNOWN, /* there is no such flag */
    TOKEN_ANY,     /* not looked at */
    TOKEN_KEY,     /* the key is to be decoded */
    TOKEN_OPAQUE,
    TOKEN_MODE,
    TOKEN_TTL,
    TOKEN_NUMBER,
};

struct flag {
    uint8_t kind;
    uint8_t at; /* TOKEN_TTL, TOKEN_NUMBER: which member takes it */
    const char *error;
};

enum number_at {
    AT_CLIENT_FLAGS,
    AT_CAS,
    AT_CAS_NEW,
    AT_INITIAL,
    AT_DELTA,
    AT_EXPTIME,
    AT_VIVIFY,
    AT_RECACHE,
};

/* By letter, A to z. */
#define FLAG(letter) [(letter) - 'A']
static const struct flag flags[] = {
    FLAG('b') = {TOKEN_KEY, 0, "CLIENT_ERROR error decoding key"},
    FLAG('c') = {TOKEN_ANY, 0, NULL},
    FLAG('f') = {TOKEN_ANY, 0, NULL},
    FLAG('h') = {TOKEN_ANY, 0, NULL},
    FLAG('k') = {TOKEN_ANY, 0, NULL},
    FLAG('l') = {TOKEN_ANY, 0, NULL},
    FLAG('q') = {TOKEN_ANY, 0, NULL},
    FLAG('s') = {TOKEN_ANY, 0, NULL},
    FLAG('t') = {TOKEN_ANY, 0, NULL},
    FLAG('u') = {TOKEN_ANY, 0, NULL},
    FLAG('v') = {TOKEN_ANY, 0, NULL},
    FLAG('x') = {TOKEN_ANY, 0, NULL},
    FLAG('I') = {TOKEN_ANY, 0, NULL},
    FLAG('L') = {TOKEN_ANY, 0, NULL},
    FLAG('P') = {TOKEN_ANY, 0, NULL},
    FLAG('C') = {TOKEN_NUMBER, AT_CAS, BAD_TOKEN},
    FLAG('D') = {TOKEN_NUMBER, AT_DELTA, "CLIENT_ERROR invalid numeric delta value"},
    FLAG('E') = {TOKEN_NUMBER, AT_CAS_NEW, BAD_TOKEN},
    FLAG('F') = {TOKEN_NUMBER, AT_CLIENT_FLAGS, PROTOCOL_BAD_LINE},
    FLAG('J') = {TOKEN_NUMBER, AT_INITIAL, "CLIENT_ERROR invalid numeric initial value"},
    FLAG('M') = {TOKEN_MODE, 0, NULL},
    FLAG('N') = {TOKEN_TTL, AT_VIVIFY, BAD_TOKEN},
    FLAG('O') = {TOKEN_OPAQUE, 0, "CLIENT_ERROR opaque token too long"},
    FLAG('R') = {TOKEN_TTL, AT_RECACHE, BAD_TOKEN},
    FLAG('T') = {TOKEN_TTL, AT_EXPTIME, BAD_TOKEN},
};
#define FLAGS_COUNT (sizeof(flags) / sizeof(flags[0]))

static bool is_letter_or_digit(uint8_t byte)
{
    return (byte >= '0' && byte <= '9') || (byte >= 'A' && byte <= 'Z') ||
           (byte >= 'a' && byte <= 'z');
}

static const struct flag *find_flag(uint8_t letter)
{
    static const struct flag unknown = {TOKEN_UNKNOWN, 0, NULL};
    const size_t row = (size_t)letter - 'A';

    return letter >= 'A' && row < FLAGS_COUNT ? &flags[row] : &unknown;
}

static void set_number(struct protocol_request *request, uint8_t at, uint64_t number)
{
    switch ((enum number_at)at) {
    case AT_CLIENT_FLAGS:
        request->flags = (uint32_t)number;
        break;
    case AT_CAS:
        request->cas_unique = number;
        break;
    case AT_CAS_NEW:
        request->meta.cas_new = number;
        break;
    case AT_INITIAL:
        request->meta.initial = number;
        break;
    case AT_DELTA:
        request->delta = number;
        break;
    case AT_EXPTIME:
    case AT_VIVIFY:
    case AT_RECACHE:
        break;
    }
}

static void set_ttl(struct protocol_request *request, uint8_t at, int64_t ttl)
{
    if (at == AT_EXPTIME) {
        request->exptime = ttl;
    } else if (at == AT_VIVIFY) {
        request->meta.vivify_s = (int32_t)ttl;
    } else {
        request->meta.recache_s = (int32_t)ttl;
    }
}

/* One flag. False where what follows its letter is not what it needs. */
static bool read_flag(const struct flag *flag, struct protocol_slice token,
                      struct protocol_request *request)
{
    const struct protocol_slice rest = {token.data + 1, token.bytes - 1};
    struct protocol_meta *meta = &request->meta;
    uint64_t number = 0;
    int64_t ttl = 0;

    switch ((enum token_kind)flag->kind) {
    case TOKEN_KEY:
        return protocol_base64_decode(request->key, NULL) > 0;
    case TOKEN_OPAQUE:
        if (token.bytes > PROTOCOL_OPAQUE_BYTES_MAX) {
            return false;
        }
        meta->opaque_at = (uint16_t)(token.data - request->key.data);
        meta->opaque_bytes = (uint8_t)token.bytes;
        return true;
    case TOKEN_MODE:
        /* A bare M is a mode too, one that neither ms nor ma knows. */
        meta->mode = rest.bytes > 0 ? rest.data[0] : ' ';
        return true;
    case TOKEN_TTL:
        if (!protocol_token_int32(rest, &ttl)) {
            return false;
        }
        set_ttl(request, flag->at, ttl);
        return true;
    case TOKEN_NUMBER:
        if (!protocol_token_unsigned(rest, flag->at == AT_CLIENT_FLAGS ? UINT32_MAX : UINT64_MAX,
                                     &number)) {
            return false;
        }
        set_number(request, flag->at, number);
        return true;
    case TOKEN_ANY:
    case TOKEN_UNKNOWN:
        break;
    }
    return true;
}

/* All flags of a line. NULL, or the error; of several bad tokens the last one's, as memcached, for
 * which F's is none where another was wrong before.
 * @only_error: what is said of bad flags, whatever is wrong with them; NULL where each has its own.
 */
static const char *read_flags(struct protocol_slice line, size_t tokens_before,
                              const char *only_error, struct protocol_request *request)
{
    struct protocol_slice tokens[TOKENS_MAX];
    struct protocol_meta *meta = &request->meta;
    const size_t count = protocol_token_split(line, tokens, TOKENS_MAX);
    const char *error = NULL;

    if (tokens_before + count > TOKENS_MAX) {
        return "CLIENT_ERROR options flags are too long";
    }
    for (size_t i = 0; i < count; i++) {
        const uint8_t letter = tokens[i].data[0];
        const struct flag *flag = find_flag(letter);
        if (flag->kind == TOKEN_UNKNOWN) {
            const char *own =
                is_letter_or_digit(letter) ? "CLIENT_ERROR invalid flag" : PROTOCOL_BAD_LINE;
            return only_error != NULL ? only_error : own;
        }
        if (protocol_meta_has(meta, (char)letter)) {
            return only_error != NULL ? only_error : "CLIENT_ERROR duplicate flag";
        }
        if (!read_flag(flag, tokens[i], request) && (error == NULL || letter != 'F')) {
            const bool own = only_error == NULL || flag->kind == TOKEN_OPAQUE;
            error = own ? flag->error : only_error;
        }
        meta->present |= protocol_meta_bit(letter);
        meta->letters[meta->letters_count++] = letter;
    }
    return error;
}

static enum protocol_line fail(struct protocol_parsed *parsed, const char *error)
{
    parsed->error = error;
    return PROTOCOL_LINE_ERROR;
}

static bool mode_is_one_of(const struct protocol_meta *meta, const char *modes)
{
    return !protocol_meta_has(meta, 'M') || (meta->mode != 0 && strchr(modes, meta->mode) != NULL);
}

/* mg, md <key> <flag>* */
static enum protocol_line read_keyed(struct protocol_slice line, struct protocol_parsed *parsed)
{
    struct protocol_request *request = &parsed->request;

    if (!protocol_token_next(&line, &request->key) || request->key.bytes > PROTOCOL_KEY_BYTES_MAX) {
        return fail(parsed, PROTOCOL_BAD_LINE);
    }
    const char *error = read_flags(line, 2, NULL, request);
    return error != NULL ? fail(parsed, error) : PROTOCOL_LINE_REQUEST;
}

/* ms <key> <bytes> <flag>* */
static enum protocol_line read_set(struct protocol_slice line, struct protocol_parsed *parsed)
{
    struct protocol_request *request = &parsed->request;
    struct protocol_slice bytes;
    uint64_t value_bytes = 0;
    const char *error;

    if (!protocol_token_next(&line, &request->key) || !protocol_token_next(&line, &bytes) ||
        !protocol_token_natural(bytes, PROTOCOL_VALUE_BYTES_MAX, &value_bytes)) {
        return fail(parsed, PROTOCOL_BAD_LINE);
    }
    if (request->key.bytes > PROTOCOL_KEY_BYTES_MAX) {
        error = PROTOCOL_BAD_LINE;
    } else {
        error = read_flags(line, 3, NULL, request);
    }
    if (error == NULL && !mode_is_one_of(&request->meta, "EAPRS")) {
        error = "CLIENT_ERROR invalid mode for ms M token";
    }
    if (error != NULL) {
        parsed->swallow = (size_t)value_bytes + 2;
        return fail(parsed, error);
    }
    request->value.bytes = (size_t)value_bytes;
    return PROTOCOL_LINE_STORAGE;
}

/* ma <key> <flag>*: whatever is wrong with its flags, it says the same. */
static enum protocol_line read_arith(struct protocol_slice line, struct protocol_parsed *parsed)
{
    struct protocol_request *request = &parsed->request;

    request->delta = 1;
    if (!protocol_token_next(&line, &request->key) || request->key.bytes > PROTOCOL_KEY_BYTES_MAX) {
        return fail(parsed, PROTOCOL_BAD_LINE);
    }
    const char *error = read_flags(line, 2, "CLIENT_ERROR invalid or duplicate flag", request);
    if (error != NULL) {
        return fail(parsed, error);
    }
    if (!mode_is_one_of(&request->meta, "I+D-")) {
        return fail(parsed, "CLIENT_ERROR invalid mode for ma M token");
    }
    return PROTOCOL_LINE_REQUEST;
}

/* me <key> [b]: nothing else is looked at. */
static enum protocol_line read_debug(struct protocol_slice line, struct protocol_parsed *parsed)
{
    struct protocol_request *request = &parsed->request;
    struct protocol_slice token;

    if (!protocol_token_next(&line, &request->key) || request->key.bytes > PROTOCOL_KEY_BYTES_MAX) {
        return fail(parsed, PROTOCOL_BAD_LINE);
    }
    if (protocol_token_next(&line, &token) && protocol_token_is(token, "b")) {
        if (protocol_base64_decode(request->key, NULL) == 0) {
            return fail(parsed, PROTOCOL_BAD_LINE);
        }
        request->meta.present = protocol_meta_bit('b');
    }
    return PROTOCOL_LINE_REQUEST;
}

/* mn: anything behind it is ignored. */
static enum protocol_line read_nothing(struct protocol_slice line, struct protocol_parsed *parsed)
{
    (void)line;
    (void)parsed;
    return PROTOCOL_LINE_REQUEST;
}

typedef enum protocol_line read_fn(struct protocol_slice line, struct protocol_parsed *parsed);

struct command {
    char letter; /* behind the m */
    enum protocol_verb verb;
    read_fn *read;
};

static const struct command commands[] = {
    {'g', PROTOCOL_MG, read_keyed},   {'s', PROTOCOL_MS, read_set},
    {'d', PROTOCOL_MD, read_keyed},   {'a', PROTOCOL_MA, read_arith},
    {'n', PROTOCOL_MN, read_nothing}, {'e', PROTOCOL_ME, read_debug},
};

static_assert(sizeof(commands) / sizeof(commands[0]) ==
                  PROTOCOL_VERBS_COUNT - PROTOCOL_CLASSIC_VERBS_COUNT,
              "a row per verb");

enum protocol_line protocol_meta_line(struct protocol_slice line, struct protocol_parsed *parsed)
{
    if (line.bytes < 2 || line.data[0] != 'm' || (line.bytes > 2 && line.data[2] != ' ')) {
        return PROTOCOL_LINE_UNKNOWN;
    }
    for (size_t i = 0; i < sizeof(commands) / sizeof(commands[0]); i++) {
        if ((uint8_t)commands[i].letter == line.data[1]) {
            const struct protocol_slice rest = {line.data + 2, line.bytes - 2};
            parsed->request = (struct protocol_request){.verb = commands[i].verb};
            return commands[i].read(rest, parsed);
        }
    }
    return PROTOCOL_LINE_UNKNOWN;
}
