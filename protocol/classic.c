#include "protocol/classic.h"

#include "protocol/token.h"

#include <assert.h>
#include <string.h>

#define BAD_EXPTIME "CLIENT_ERROR invalid exptime argument"

/* How a line is cut before its verb's function sees it. */
enum shape {
    SHAPE_REST,   /* what follows the word in one piece */
    SHAPE_TOKENS, /* tokens, the last one perhaps noreply */
};

struct arguments {
    struct protocol_slice rest; /* SHAPE_REST: what follows the word, blanks at both ends cut */
    struct protocol_slice tokens[PROTOCOL_TOKENS_MAX]; /* SHAPE_TOKENS: tokens[0] is the word */
    size_t tokens_count;
};

typedef enum protocol_line read_fn(const struct arguments *arguments,
                                   struct protocol_parsed *parsed);

struct command {
    uint64_t head; /* the first eight bytes of word, see word_head() */
    const char *word;
    uint8_t word_bytes;
    enum protocol_verb verb;
    enum shape shape;
    uint8_t tokens_min;
    uint8_t tokens_max;
    uint8_t noreply_from; /* index of the first token that may be noreply */
    read_fn *read;
};

/* noreply keeps the line back; what follows of the answer stays. */
static enum protocol_line fail(struct protocol_parsed *parsed, const char *error)
{
    parsed->error = parsed->request.noreply ? NULL : error;
    return PROTOCOL_LINE_ERROR;
}

static bool take_key(struct protocol_slice token, struct protocol_parsed *parsed)
{
    parsed->request.key = token;
    return token.bytes <= PROTOCOL_KEY_BYTES_MAX;
}

/* Every key is looked at before the first is answered: a bad one anywhere is the only answer. */
static enum protocol_line read_keys(struct protocol_slice keys, struct protocol_parsed *parsed)
{
    struct protocol_slice left = keys;
    struct protocol_slice key;

    if (keys.bytes == 0) {
        return fail(parsed, PROTOCOL_BAD_LINE);
    }
    while (protocol_next_key(&left, &key)) {
        if (key.bytes > PROTOCOL_KEY_BYTES_MAX) {
            return fail(parsed, PROTOCOL_BAD_LINE);
        }
    }
    parsed->request.keys = keys;
    return PROTOCOL_LINE_REQUEST;
}

/* get, gets <key>+ */
static enum protocol_line read_get(const struct arguments *arguments,
                                   struct protocol_parsed *parsed)
{
    return read_keys(arguments->rest, parsed);
}

/* gat, gats <exptime> <key>+ */
static enum protocol_line read_gat(const struct arguments *arguments,
                                   struct protocol_parsed *parsed)
{
    struct protocol_slice keys = arguments->rest;
    struct protocol_slice exptime;

    if (!protocol_token_next(&keys, &exptime)) {
        return fail(parsed, PROTOCOL_BAD_LINE);
    }
    keys = protocol_token_trim(keys);
    if (keys.bytes == 0) {
        return fail(parsed, PROTOCOL_BAD_LINE);
    }
    if (!protocol_token_int32(exptime, &parsed->request.exptime)) {
        return fail(parsed, BAD_EXPTIME);
    }
    return read_keys(keys, parsed);
}

/* set, add, replace, append, prepend <key> <flags> <exptime> <bytes>; cas has <unique> too. */
static enum protocol_line read_storage(const struct arguments *arguments,
                                       struct protocol_parsed *parsed)
{
    const struct protocol_slice *tokens = arguments->tokens;
    struct protocol_request *request = &parsed->request;
    uint64_t bytes = 0;
    uint64_t flags = 0;

    if (!protocol_token_natural(tokens[4], PROTOCOL_VALUE_BYTES_MAX, &bytes)) {
        /* Where the data block ends is not known: it is read as commands, and as memcached reads
         * no further than this token, a noreply after it is not heeded. */
        request->noreply = false;
        return fail(parsed, PROTOCOL_BAD_LINE);
    }
    bool good = take_key(tokens[1], parsed) &&
                protocol_token_unsigned(tokens[2], UINT32_MAX, &flags) &&
                protocol_token_signed(tokens[3], &request->exptime);
    if (good && request->verb == PROTOCOL_CAS) {
        good = arguments->tokens_count > 5 &&
               protocol_token_unsigned(tokens[5], UINT64_MAX, &request->cas_unique);
    }
    if (!good) {
        parsed->swallow = (size_t)bytes + 2;
        return fail(parsed, PROTOCOL_BAD_LINE);
    }
    request->flags = (uint32_t)flags;
    request->value.bytes = (size_t)bytes;
    return PROTOCOL_LINE_STORAGE;
}

/* delete <key> [0] [noreply]: the 0 is a delay that old clients still send. */
static enum protocol_line read_delete(const struct arguments *arguments,
                                      struct protocol_parsed *parsed)
{
    const struct protocol_slice *tokens = arguments->tokens;
    const size_t extra = arguments->tokens_count - 2 - (parsed->request.noreply ? 1 : 0);

    if (extra > 1 || (extra == 1 && !protocol_slice_is(tokens[2], "0"))) {
        return fail(parsed, PROTOCOL_BAD_LINE ".  Usage: delete <key> [noreply]");
    }
    if (!take_key(tokens[1], parsed)) {
        return fail(parsed, PROTOCOL_BAD_LINE);
    }
    return PROTOCOL_LINE_REQUEST;
}

/* incr, decr <key> <delta> [noreply] */
static enum protocol_line read_arith(const struct arguments *arguments,
                                     struct protocol_parsed *parsed)
{
    if (!take_key(arguments->tokens[1], parsed)) {
        return fail(parsed, PROTOCOL_BAD_LINE);
    }
    if (!protocol_token_unsigned(arguments->tokens[2], UINT64_MAX, &parsed->request.delta)) {
        return fail(parsed, "CLIENT_ERROR invalid numeric delta argument");
    }
    return PROTOCOL_LINE_REQUEST;
}

/* touch <key> <exptime> [noreply] */
static enum protocol_line read_touch(const struct arguments *arguments,
                                     struct protocol_parsed *parsed)
{
    if (!take_key(arguments->tokens[1], parsed)) {
        return fail(parsed, PROTOCOL_BAD_LINE);
    }
    if (!protocol_token_int32(arguments->tokens[2], &parsed->request.exptime)) {
        return fail(parsed, BAD_EXPTIME);
    }
    return PROTOCOL_LINE_REQUEST;
}

/* flush_all [<delay>] [noreply] */
static enum protocol_line read_flush_all(const struct arguments *arguments,
                                         struct protocol_parsed *parsed)
{
    const bool delayed = arguments->tokens_count > (parsed->request.noreply ? 2u : 1u);

    if (delayed && !protocol_token_signed(arguments->tokens[1], &parsed->request.exptime)) {
        return fail(parsed, BAD_EXPTIME);
    }
    return PROTOCOL_LINE_REQUEST;
}

/* verbosity <level> [noreply] */
static enum protocol_line read_verbosity(const struct arguments *arguments,
                                         struct protocol_parsed *parsed)
{
    if (!protocol_token_unsigned(arguments->tokens[1], UINT32_MAX, &parsed->request.delta)) {
        return fail(parsed, PROTOCOL_BAD_LINE);
    }
    return PROTOCOL_LINE_REQUEST;
}

/* cache_memlimit <megabytes> [noreply] */
static enum protocol_line read_cache_memlimit(const struct arguments *arguments,
                                              struct protocol_parsed *parsed)
{
    if (arguments->tokens_count < 2 ||
        !protocol_token_unsigned(arguments->tokens[1], UINT32_MAX, &parsed->request.delta)) {
        return fail(parsed, "ERROR");
    }
    return PROTOCOL_LINE_REQUEST;
}

/* stats, lru_crawler, lru, slabs, debugtime [<argument>...], shutdown [<mode>], watch [<kind>...];
 * version and quit take and ignore any. */
static enum protocol_line read_argument(const struct arguments *arguments,
                                        struct protocol_parsed *parsed)
{
    parsed->request.argument = arguments->rest;
    return PROTOCOL_LINE_REQUEST;
}

#define HEAD(a, b, c, d, e, f, g, h)                                                  \
    ((uint64_t)(a) | (uint64_t)(b) << 8 | (uint64_t)(c) << 16 | (uint64_t)(d) << 24 | \
     (uint64_t)(e) << 32 | (uint64_t)(f) << 40 | (uint64_t)(g) << 48 | (uint64_t)(h) << 56)
#define WORD(verb, text, ...) HEAD(__VA_ARGS__), text, sizeof(text) - 1, PROTOCOL_##verb
#define ANY                   PROTOCOL_TOKENS_MAX

/* The commands, those most often sent first. Of SHAPE_TOKENS: with fewer than tokens_min the line
 * is bad, with more than tokens_max it is an ERROR (memcached ignores the surplus of most
 * commands), and the last token may be noreply from index noreply_from on, as a key may have that
 * name too. */
static const struct command commands[] = {
    {WORD(GET, "get", 'g', 'e', 't', 0, 0, 0, 0, 0), SHAPE_REST, 0, 0, 0, read_get},
    {WORD(SET, "set", 's', 'e', 't', 0, 0, 0, 0, 0), SHAPE_TOKENS, 5, ANY, 5, read_storage},
    {WORD(GETS, "gets", 'g', 'e', 't', 's', 0, 0, 0, 0), SHAPE_REST, 0, 0, 0, read_get},
    {WORD(DELETE, "delete", 'd', 'e', 'l', 'e', 't', 'e', 0, 0), SHAPE_TOKENS, 2, ANY, 2,
     read_delete},
    {WORD(INCR, "incr", 'i', 'n', 'c', 'r', 0, 0, 0, 0), SHAPE_TOKENS, 3, ANY, 2, read_arith},
    {WORD(ADD, "add", 'a', 'd', 'd', 0, 0, 0, 0, 0), SHAPE_TOKENS, 5, ANY, 5, read_storage},
    {WORD(CAS, "cas", 'c', 'a', 's', 0, 0, 0, 0, 0), SHAPE_TOKENS, 5, ANY, 5, read_storage},
    {WORD(TOUCH, "touch", 't', 'o', 'u', 'c', 'h', 0, 0, 0), SHAPE_TOKENS, 3, ANY, 2, read_touch},
    {WORD(DECR, "decr", 'd', 'e', 'c', 'r', 0, 0, 0, 0), SHAPE_TOKENS, 3, ANY, 2, read_arith},
    {WORD(REPLACE, "replace", 'r', 'e', 'p', 'l', 'a', 'c', 'e', 0), SHAPE_TOKENS, 5, ANY, 5,
     read_storage},
    {WORD(APPEND, "append", 'a', 'p', 'p', 'e', 'n', 'd', 0, 0), SHAPE_TOKENS, 5, ANY, 5,
     read_storage},
    {WORD(PREPEND, "prepend", 'p', 'r', 'e', 'p', 'e', 'n', 'd', 0), SHAPE_TOKENS, 5, ANY, 5,
     read_storage},
    {WORD(GAT, "gat", 'g', 'a', 't', 0, 0, 0, 0, 0), SHAPE_REST, 0, 0, 0, read_gat},
    {WORD(GATS, "gats", 'g', 'a', 't', 's', 0, 0, 0, 0), SHAPE_REST, 0, 0, 0, read_gat},
    {WORD(VERSION, "version", 'v', 'e', 'r', 's', 'i', 'o', 'n', 0), SHAPE_REST, 0, 0, 0,
     read_argument},
    {WORD(STATS, "stats", 's', 't', 'a', 't', 's', 0, 0, 0), SHAPE_REST, 0, 0, 0, read_argument},
    {WORD(QUIT, "quit", 'q', 'u', 'i', 't', 0, 0, 0, 0), SHAPE_REST, 0, 0, 0, read_argument},
    {WORD(SHUTDOWN, "shutdown", 's', 'h', 'u', 't', 'd', 'o', 'w', 'n'), SHAPE_REST, 0, 0, 0,
     read_argument},
    {WORD(WATCH, "watch", 'w', 'a', 't', 'c', 'h', 0, 0, 0), SHAPE_REST, 0, 0, 0, read_argument},
    {WORD(FLUSH_ALL, "flush_all", 'f', 'l', 'u', 's', 'h', '_', 'a', 'l'), SHAPE_TOKENS, 1, 3, 1,
     read_flush_all},
    {WORD(VERBOSITY, "verbosity", 'v', 'e', 'r', 'b', 'o', 's', 'i', 't'), SHAPE_TOKENS, 2, ANY, 1,
     read_verbosity},
    {WORD(CACHE_MEMLIMIT, "cache_memlimit", 'c', 'a', 'c', 'h', 'e', '_', 'm', 'e'), SHAPE_TOKENS,
     1, 3, 1, read_cache_memlimit},
    {WORD(LRU_CRAWLER, "lru_crawler", 'l', 'r', 'u', '_', 'c', 'r', 'a', 'w'), SHAPE_REST, 0, 0, 0,
     read_argument},
    {WORD(LRU, "lru", 'l', 'r', 'u', 0, 0, 0, 0, 0), SHAPE_REST, 0, 0, 0, read_argument},
    {WORD(SLABS, "slabs", 's', 'l', 'a', 'b', 's', 0, 0, 0), SHAPE_REST, 0, 0, 0, read_argument},
    {WORD(DEBUGTIME, "debugtime", 'd', 'e', 'b', 'u', 'g', 't', 'i', 'm'), SHAPE_REST, 0, 0, 0,
     read_argument},
    {WORD(REFRESH_CERTS, "refresh_certs", 'r', 'e', 'f', 'r', 'e', 's', 'h', '_'), SHAPE_REST, 0, 0,
     0, read_argument},
};

static_assert(sizeof(commands) / sizeof(commands[0]) == PROTOCOL_CLASSIC_VERBS_COUNT,
              "a row per verb");

/* The first eight bytes of a word as a number, its first byte lowest, zeros after a short one. */
static uint64_t word_head(struct protocol_slice word)
{
    const size_t bytes = word.bytes < 8 ? word.bytes : 8;
    uint64_t head = 0;

    for (size_t i = 0; i < bytes; i++) {
        head |= (uint64_t)word.data[i] << (8 * i);
    }
    return head;
}

static const struct command *find_command(struct protocol_slice word)
{
    const uint64_t head = word_head(word);

    for (size_t i = 0; i < PROTOCOL_CLASSIC_VERBS_COUNT; i++) {
        const struct command *command = &commands[i];
        if (command->head == head && command->word_bytes == word.bytes) {
            return memcmp(command->word, word.data, word.bytes) == 0 ? command : NULL;
        }
    }
    return NULL;
}

/* The command word is the first byte's: a line that starts with a space has an empty one. */
static struct protocol_slice first_word(struct protocol_slice line)
{
    struct protocol_slice word = {line.data, 0};

    while (word.bytes < line.bytes && line.data[word.bytes] != ' ') {
        word.bytes++;
    }
    return word;
}

enum protocol_line protocol_classic_line(struct protocol_slice line, struct protocol_parsed *parsed)
{
    const struct protocol_slice word = first_word(line);
    const struct command *command = find_command(word);
    struct arguments arguments;

    if (command == NULL) {
        return PROTOCOL_LINE_UNKNOWN;
    }
    memset(&parsed->request, 0, offsetof(struct protocol_request, meta));
    parsed->request.verb = command->verb;
    if (command->shape == SHAPE_REST) {
        const struct protocol_slice rest = {line.data + word.bytes, line.bytes - word.bytes};
        arguments.rest = protocol_token_trim(rest);
        return command->read(&arguments, parsed);
    }

    const size_t count = protocol_token_split(line, arguments.tokens, PROTOCOL_TOKENS_MAX);
    if (count < command->tokens_min) {
        return fail(parsed, PROTOCOL_BAD_LINE);
    }
    if (count > command->tokens_max) {
        return fail(parsed, "ERROR");
    }
    arguments.tokens_count = count;
    parsed->request.noreply =
        count > command->noreply_from && protocol_slice_is(arguments.tokens[count - 1], "noreply");
    return command->read(&arguments, parsed);
}
