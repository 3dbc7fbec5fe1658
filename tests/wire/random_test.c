/*
 * random_test.c - commands made at random, one after the other, at both servers: they answer alike.
 *
 *   random_test <our server> [seed]
 *
 * What protocol/README.md lists as different is not asked for: the flags h and x, s of a store,
 * numbers from 2^63 on and such that get longer, base64, bad flags of md ... Cas numbers, seconds
 * since the last access and the last digits of a time to live are not compared.
 */
/* cmocka.h stands on the four before it. */
/* clang-format off */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
/* clang-format on */

#include "clients/client.h"
#include "tests/instrumented.h"
#include "tests/wire/peer.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define COMMANDS        (INSTRUMENTED ? 3000u : 15000u)
#define TEXT_BYTES      4096u
#define FLAGS_MAX       5u
/* Both without threads that hold items: a number that one holds is not padded. */
#define OPTIONS         "-t 1 -o no_lru_maintainer,no_lru_crawler"
#define COUNT_OF(array) (sizeof(array) / sizeof((array)[0]))

struct text {
    char bytes[TEXT_BYTES];
    size_t used;
};

struct side {
    struct peer *peer;
    struct client *client;
    struct text answer;
};

struct fixture {
    const char *program;
    uint64_t seed;
    struct side ours, theirs;
};

/* ---- what is asked ---- */

/* A lower-case letter or a blank stands for itself:
 *   K a key, N a number, C client flags, E an exptime, Q "noreply" or nothing, V bytes and a value,
 *   G D A flags of mg, md, ma, S bytes, flags and a value of ms */
static const char *const FORMS[] = {
    "get K",       "get K K K",      "gat E K",         "set K C E V",     "set K C E V",
    "add K C E V", "append K C E V", "replace K C E V", "prepend K C E V", "cas K C E W",
    "incr K NQ",   "decr K NQ",      "delete KQ",       "delete K 0",      "touch K EQ",
    "mg KG",       "mg KG",          "mg KG",           "mg KG",           "ms K S",
    "ms K S",      "ms K S",         "ms K S",          "md KD",           "md KD",
    "ma KA",       "ma KA",          "nothing K N",
};
/* Once in a while. */
static const char *const RARE_FORMS[] = {
    "flush_all",     "flush_all 0Q",        "flush_all -1",     "verbosity 0Q", "slabs automove 1",
    "lru mode flat", "lru_crawler sleep 5", "cache_memlimit 1", "stats detail", "watch nothing",
};

static const char *const NUMBERS[] = {"0", "1", "5", "10", "99", "100", "9000000000", "-1", "1x"};
static const char *const CLIENT_FLAGS[] = {"0", "7", "4294967295"};
static const char *const EXPTIMES[] = {"0", "0", "3050", "6050", "-1", "2592001"};
/* No number gets longer by counting: memcached forgets that an item is stale then. */
static const char *const VALUES[] = {
    "", "x", "hello", "100000000000", "500000000000", "100000000000 ", "7x 7"};

static const char *const FLAGS_OF_MG[] = {
    "c",     "f",     "l",  "q",     "t",     "s",  "u", "v",  "v",  "O12", "O",  "N3050",
    "N6050", "R4050", "R0", "T3050", "T6050", "T0", "k", "P1", "Lx", "z",   "Tx", "Jx"};
static const char *const FLAGS_OF_MD[] = {"I",  "I",  "I",  "q", "O7", "T3050",
                                          "T0", "C1", "C0", "v", "k"};
static const char *const FLAGS_OF_MA[] = {"N0 J500000000000",
                                          "N3050 J100000000000",
                                          "D2",
                                          "D100",
                                          "T6050",
                                          "T0",
                                          "MI",
                                          "MD",
                                          "M+",
                                          "M-",
                                          "q",
                                          "t",
                                          "c",
                                          "v",
                                          "v",
                                          "O1",
                                          "k",
                                          "z",
                                          "Mx"};
static const char *const FLAGS_OF_MS[] = {"c",  "C1", "C0", "F5", "I",     "I",  "k",  "O3",
                                          "q",  "MA", "MP", "MR", "ME",    "MS", "T0", "T3050",
                                          "Mx", "v",  "t",  "z",  "T6050", "Dx"};

static uint64_t roll(struct fixture *fixture, uint64_t sides)
{
    fixture->seed ^= fixture->seed << 13;
    fixture->seed ^= fixture->seed >> 7;
    fixture->seed ^= fixture->seed << 17;
    return (fixture->seed >> 11) % sides;
}

static void add(struct text *text, const char *more)
{
    const size_t bytes = strlen(more);

    assert_true(text->used + bytes < sizeof(text->bytes));
    memcpy(text->bytes + text->used, more, bytes + 1);
    text->used += bytes;
}

#define PICK(fixture, choices) ((choices)[roll(fixture, COUNT_OF(choices))])

/* @twice: a letter may come again. */
static void add_flags(struct fixture *fixture, struct text *text, const char *const *flags,
                      size_t count, bool twice)
{
    uint64_t seen = 0;

    for (uint64_t left = roll(fixture, FLAGS_MAX + 1); left > 0; left--) {
        const char *flag = flags[roll(fixture, count)];
        const uint64_t bit = UINT64_C(1) << (flag[0] - 'A');

        /* What is no flag ends most lines early: seldom. */
        if (((seen & bit) != 0 && !twice) ||
            ((flag[0] == 'z' || flag[1] == 'x') && roll(fixture, 6) != 0))
            continue;
        seen |= bit;
        add(text, " ");
        add(text, flag);
    }
}

static const char *pick_key(struct fixture *fixture)
{
    static const char *const keys[] = {"a", "b", "cc", "\x01\x80\xff", "n"};
    static char longest[251];

    memset(longest, 'k', sizeof(longest) - 1);
    const uint64_t choice = roll(fixture, COUNT_OF(keys) + 1);
    return choice < COUNT_OF(keys) ? keys[choice] : longest;
}

/* "<bytes><behind>\r\n<value>" */
static void add_value(struct fixture *fixture, struct text *text, const char *behind)
{
    const char *value = PICK(fixture, VALUES);
    char bytes[24];

    snprintf(bytes, sizeof(bytes), "%zu", strlen(value));
    add(text, bytes);
    add(text, behind);
    add(text, "\r\n");
    add(text, value);
}

static const char *pick_noreply(struct fixture *fixture)
{
    return roll(fixture, 8) == 0 ? " noreply" : "";
}

static void add_store(struct fixture *fixture, struct text *text)
{
    struct text flags = {.used = 0};

    add_flags(fixture, &flags, FLAGS_OF_MS, COUNT_OF(FLAGS_OF_MS), roll(fixture, 30) == 0);
    add_value(fixture, text, flags.bytes);
}

static void add_part(struct fixture *fixture, struct text *text, char part)
{
    const bool twice = roll(fixture, 30) == 0;
    const char literal[2] = {part, '\0'};

    if (part == 'K')
        add(text, pick_key(fixture));
    else if (part == 'N')
        add(text, PICK(fixture, NUMBERS));
    else if (part == 'C')
        add(text, PICK(fixture, CLIENT_FLAGS));
    else if (part == 'E')
        add(text, PICK(fixture, EXPTIMES));
    else if (part == 'Q')
        add(text, pick_noreply(fixture));
    else if (part == 'V')
        add_value(fixture, text, pick_noreply(fixture));
    else if (part == 'W')
        add_value(fixture, text, roll(fixture, 8) == 0 ? " 1 noreply" : " 1");
    else if (part == 'G')
        add_flags(fixture, text, FLAGS_OF_MG, COUNT_OF(FLAGS_OF_MG), twice);
    else if (part == 'D')
        add_flags(fixture, text, FLAGS_OF_MD, COUNT_OF(FLAGS_OF_MD), false);
    else if (part == 'A')
        add_flags(fixture, text, FLAGS_OF_MA, COUNT_OF(FLAGS_OF_MA), twice);
    else if (part == 'S')
        add_store(fixture, text);
    else
        add(text, literal);
}

static void make_command(struct fixture *fixture, struct text *text)
{
    const char *form = roll(fixture, 50) == 0 ? PICK(fixture, RARE_FORMS) : PICK(fixture, FORMS);

    text->used = 0;
    for (; *form != '\0'; form++)
        add_part(fixture, text, *form);
    add(text, "\r\n");
}

/* ---- what is answered ---- */

/* Of a number all digits but the first @kept become one #. */
static char *mask_digits(char *at, size_t kept)
{
    const size_t digits = strspn(at, "0123456789");

    if (digits <= kept)
        return at + digits;
    at[kept] = '#';
    memmove(at + kept + 1, at + digits, strlen(at + digits) + 1);
    return at + kept + 1;
}

static void mask(char *line)
{
    for (char *at = strchr(line, ' '); at != NULL; at = strchr(at, ' ')) {
        const char letter = at[1];

        at++;
        /* A cas of 0 says that nothing was stored. */
        if ((letter == 'c' && at[1] != '0') || letter == 'l')
            at = mask_digits(at + 1, 0);
        else if (letter == 't')
            at = mask_digits(at + 1, 2);
    }
}

/* mn closes each command's answer. */
static void ask(struct side *side, const struct text *command)
{
    struct client_slice line;

    side->answer.used = 0;
    side->answer.bytes[0] = '\0';
    assert_int_equal(client_queue(side->client, command->bytes, command->used), CLIENT_OK);
    assert_int_equal(client_queue(side->client, "mn\r\n", 4), CLIENT_OK);
    assert_int_equal(client_flush(side->client), CLIENT_OK);
    while (true) {
        char text[1024];

        const enum client_status status = client_receive_line(side->client, &line);
        if (status != CLIENT_OK)
            fail_msg("%s: %s", command->bytes, client_status_text(status));
        if (line.bytes == 2 && memcmp(line.data, "MN", 2) == 0)
            return;
        snprintf(text, sizeof(text), "%.*s", (int)line.bytes, (const char *)line.data);
        mask(text);
        add(&side->answer, text);
        add(&side->answer, "\n");
    }
}

static void answer_alike(void **state)
{
    struct fixture *fixture = *state;
    struct text command;

    print_message("seed %llu\n", (unsigned long long)fixture->seed);
    for (unsigned i = 0; i < COMMANDS; i++) {
        make_command(fixture, &command);
        ask(&fixture->ours, &command);
        ask(&fixture->theirs, &command);
        if (strcmp(fixture->ours.answer.bytes, fixture->theirs.answer.bytes) != 0)
            fail_msg("command %u, %s ours:\n%s memcached:\n%s", i, command.bytes,
                     fixture->ours.answer.bytes, fixture->theirs.answer.bytes);
    }
}

/* ---- the servers ---- */

static void start(struct side *side, const char *program)
{
    /* So that no item has a cas that is asked for. */
    const struct text first = {
        .bytes = "set warm 0 0 0\r\n\r\nset warm 0 0 0\r\n\r\nset warm 0 0 0\r\n\r\n", .used = 54};
    char error[PEER_ERROR_BYTES];

    side->peer = peer_start(program, OPTIONS, PEER_TCP, error);
    if (side->peer == NULL)
        fail_msg("%s", error);
    side->client = client_new();
    assert_non_null(side->client);
    assert_int_equal(peer_connect(side->peer, side->client), CLIENT_OK);
    ask(side, &first);
}

static int set_up(void **state)
{
    struct fixture *fixture = *state;

    start(&fixture->ours, fixture->program);
    start(&fixture->theirs, "memcached");
    return 0;
}

static int tear_down(void **state)
{
    struct fixture *fixture = *state;

    client_free(fixture->ours.client);
    client_free(fixture->theirs.client);
    peer_kill(fixture->theirs.peer);
    return fixture->ours.peer != NULL && peer_stop(fixture->ours.peer) ? 0 : -1;
}

int main(int arguments_count, char **arguments)
{
    static struct fixture fixture;
    const struct CMUnitTest tests[] = {
        {"answer_alike", answer_alike, set_up, tear_down, &fixture},
    };

    if (arguments_count < 2) {
        fprintf(stderr, "usage: %s <server> [seed]\n", arguments[0]);
        return 2;
    }
    fixture.program = arguments[1];
    fixture.seed = arguments_count > 2 ? strtoull(arguments[2], NULL, 10) | 1 : 1;
    return cmocka_run_group_tests(tests, NULL, NULL);
}
