#include "protocol/meta.h"

#include "protocol/base64.h"
#include "protocol/line.h"
#include "protocol/token.h"

#include <assert.h>
#include <stddef.h>
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
    uint8_t bytes; /* TOKEN_TTL, TOKEN_NUMBER: of the member that takes it, 4 or 8 */
    uint16_t at;   /* its offset in struct protocol_request */
    const char *error;
};

#define BARE              \
    {                     \
        .kind = TOKEN_ANY \
    }
#define SPECIAL(of_kind, bad)             \
    {                                     \
        .kind = (of_kind), .error = (bad) \
    }
#define INTO(of_kind, member, bad)                               \
    {                                                            \
        .kind = (of_kind), .error = (bad),                       \
        .bytes = sizeof(((struct protocol_request *)0)->member), \
        .at = offsetof(struct protocol_request, member)          \
    }
#define NUMBER(member, bad) INTO(TOKEN_NUMBER, member, bad)
#define TTL(member)         INTO(TOKEN_TTL, member, BAD_TOKEN)

/* Every flag there is, by its letter; server/command_meta.c has what it does. */
#define FLAG(letter)        [(letter) - 'A']
static const struct flag flags[] = {
    FLAG('b') = SPECIAL(TOKEN_KEY, "CLIENT_ERROR error decoding key"),
    FLAG('c') = BARE,
    FLAG('f') = BARE,
    FLAG('h') = BARE,
    FLAG('k') = BARE,
    FLAG('l') = BARE,
    FLAG('q') = BARE,
    FLAG('s') = BARE,
    FLAG('t') = BARE,
    FLAG('u') = BARE,
    FLAG('v') = BARE,
    FLAG('x') = BARE,
    FLAG('I') = BARE,
    FLAG('L') = BARE,
    FLAG('P') = BARE,
    FLAG('C') = NUMBER(cas_unique, BAD_TOKEN),
    FLAG('D') = NUMBER(delta, "CLIENT_ERROR invalid numeric delta value"),
    FLAG('E') = NUMBER(meta.cas_new, BAD_TOKEN),
    FLAG('F') = NUMBER(flags, PROTOCOL_BAD_LINE),
    FLAG('J') = NUMBER(meta.initial, "CLIENT_ERROR invalid numeric initial value"),
    FLAG('M') = SPECIAL(TOKEN_MODE, NULL),
    FLAG('N') = TTL(meta.vivify_s),
    FLAG('O') = SPECIAL(TOKEN_OPAQUE, "CLIENT_ERROR opaque token too long"),
    FLAG('R') = TTL(meta.recache_s),
    FLAG('T') = TTL(exptime),
};
#define FLAGS_COUNT (sizeof(flags) / sizeof(flags[0]))

static bool is_letter_or_digit(uint8_t byte)
{
    return (byte >= '0' && byte <= '9') || (byte >= 'A' && byte <= 'Z') ||
           (byte >= 'a' && byte <= 'z');
}

static const struct flag *find_flag(uint8_t letter)
{
    static const struct flag unknown = {.kind = TOKEN_UNKNOWN};
    const size_t row = (size_t)letter - 'A';

    return letter >= 'A' && row < FLAGS_COUNT ? &flags[row] : &unknown;
}

/* Of a member of 4 bytes the low ones: what was read fits. */
static void set_member(struct protocol_request *request, const struct flag *flag, uint64_t value)
{
    uint8_t *const member = (uint8_t *)request + flag->at;
    const uint32_t narrow = (uint32_t)value;

    if (flag->bytes == sizeof(narrow)) {
        memcpy(member, &narrow, sizeof(narrow));
    } else {
        assert(flag->bytes == sizeof(value));
        memcpy(member, &value, sizeof(value));
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
        set_member(request, flag, (uint64_t)ttl);
        return true;
    case TOKEN_NUMBER:
        if (!protocol_token_unsigned(rest, flag->bytes == 4 ? UINT32_MAX : UINT64_MAX, &number)) {
            return false;
        }
        set_member(request, flag, number);
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
    if (protocol_token_next(&line, &token) && protocol_slice_is(token, "b")) {
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
