/*
 * play_test.c - the transcripts' notation, and that a play fails where it must.
 *
 * A comparison that always agreed would let every transcript pass, so wrong transcripts are played
 * here at memcached, each with the failure it has to give.
 */
/* cmocka.h stands on the four before it. */
/* clang-format off */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
/* clang-format on */

#include "tests/wire/play.h"

#include <string.h>

#define COUNT_OF(array) (sizeof(array) / sizeof((array)[0]))

static void patterns_match(void **state)
{
    static const struct {
        const char *pattern;
        const char *stream;
        enum pattern_result result;
        size_t used;
    } CASES[] = {
        {"END", "END\r\n", PATTERN_MATCHED, 5},
        {"END", "END\r\nmore", PATTERN_MATCHED, 5},
        {"END", "END\r", PATTERN_MORE, 4},
        {"END", "END\n", PATTERN_DIFFERS, 3},
        {"END", "ERROR\r\n", PATTERN_DIFFERS, 1},
        {"", "\r\n", PATTERN_MATCHED, 2},
        {"a\\d", "a17\r\n", PATTERN_MATCHED, 5},
        {"a\\d", "a17", PATTERN_MORE, 3},
        {"a\\d", "a\r\n", PATTERN_DIFFERS, 1},
        {"a\\d", "a-1\r\n", PATTERN_DIFFERS, 1},
        {"a\\d b", "a1  b\r\n", PATTERN_DIFFERS, 3},
        {"\\d", "123456789012345678901234\r\n", PATTERN_DIFFERS, 0},
        {"v \\*", "v anything 1.2\r\n", PATTERN_MATCHED, 16},
        {"v \\*", "v \r\n", PATTERN_MATCHED, 4},
        {"\\(x) \\(x)", "12 12\r\n", PATTERN_MATCHED, 7},
        {"\\(x) \\(x)", "12 13\r\n", PATTERN_DIFFERS, 5},
        {"\\{3*ab}", "ababab\r\n", PATTERN_MATCHED, 8},
        {"\\{3*ab}", "abababab\r\n", PATTERN_DIFFERS, 6},
        {"\\{3*k\\#.}\\{0*z}", "k1.k2.k3.\r\n", PATTERN_MATCHED, 11},
        {"\\r\\n\\t\\\\\\s\\x7d\\{2*\\}}", "\r\n\t\\ }}}\r\n", PATTERN_MATCHED, 10},
    };
    (void)state;
    for (size_t i = 0; i < COUNT_OF(CASES); i++) {
        struct pattern pattern;
        struct pattern_match match = {0};
        struct pattern_names names = {0};
        size_t used;
        size_t bytes = strlen(CASES[i].stream);
        const uint8_t *stream = (const uint8_t *)CASES[i].stream;
        assert_null(pattern_parse(CASES[i].pattern, "\r\n", &pattern));
        enum pattern_result result = pattern_feed(&pattern, &match, &names, stream, bytes, &used);
        assert_int_equal(result, CASES[i].result);
        if (result != PATTERN_DIFFERS)
            assert_int_equal(used, CASES[i].used);

        /* The same, byte by byte. */
        struct pattern_match again = {0};
        struct pattern_names none = {0};
        size_t total = 0;
        result = PATTERN_MORE;
        for (size_t at = 0; at < bytes && result == PATTERN_MORE; at++) {
            result = pattern_feed(&pattern, &again, &none, stream + at, 1, &used);
            total += used;
        }
        assert_int_equal(result, CASES[i].result);
        if (result != PATTERN_DIFFERS)
            assert_int_equal(total, CASES[i].used);
        pattern_free(&pattern);
    }
}

static void patterns_are_refused(void **state)
{
    static const char *const CASES[] = {
        "\\",
        "\\q",
        "\\x1",
        "\\xgg",
        "\\(",
        "\\()",
        "\\(name",
        "\\{",
        "\\{*x}",
        "\\{3x}",
        "\\#",
        "\\(sixteen_letters_)",
        "\\{2*\\d}",
        "\\{2*\\(x)}",
        "\\{999999999999*x}",
        "\\{2*\\{2*x}}",
        "\\{3*x\\",
    };
    (void)state;
    for (size_t i = 0; i < COUNT_OF(CASES); i++) {
        struct pattern pattern;
        assert_non_null(pattern_parse(CASES[i], "\r\n", &pattern));
        pattern_free(&pattern);
    }
    struct pattern pattern;
    assert_non_null(pattern_parse("open \\d", "", &pattern));
    pattern_free(&pattern);
}

static void patterns_are_rendered(void **state)
{
    struct pattern pattern;
    struct pattern_names names = {.entries = {{"cas", "77"}}, .count = 1};
    struct pattern_bytes out = {0};
    (void)state;
    assert_null(pattern_parse("cas k \\(cas) \\0\\xfe\\{2*ab}", "\r\n", &pattern));
    assert_true(pattern_render(&pattern, &names, &out));
    assert_int_equal(out.used, 17);
    assert_memory_equal(out.data,
                        "cas k 77 \0\xfe"
                        "abab\r\n",
                        17);
    names.count = 0;
    assert_false(pattern_render(&pattern, &names, &out));
    pattern_free(&pattern);
    assert_null(pattern_parse("\\d", "\r\n", &pattern));
    assert_false(pattern_render(&pattern, &names, &out));
    pattern_free(&pattern);
    pattern_bytes_free(&out);
}

static void transcripts_are_refused(void **state)
{
    static const struct {
        const char *text;
        const char *error;
    } CASES[] = {
        {"", "line 1: no steps"},
        {"# only a comment\n", "no steps"},
        {"> a\nnonsense\n", "line 2: not a step"},
        {">a\n", "a space belongs"},
        {"> a\n< \\q\n", "line 2: an escape"},
        {"> a\nserver: -m 8\n", "belongs before the first step"},
        {"sleep 20\n", "sleep wants seconds"},
        {"sleep -1\n", "sleep wants seconds"},
        {"sleep\n", "not a step"},
        {"differ one\n", "differ wants two names"},
        {"  < END\n", "only a difference is indented"},
        {"> a\n  memcached 1.6.18 answers differently: some long reason\n", "stands behind"},
        {"> a\n< b\n  memcached 1.6.18 answers differently: \n", "wants a reason"},
        {"> a\n< b\n  memcached 1.6.18 answers differently: some long reason\n  > c\n",
         "only what is expected"},
        {"a > b\n", "not a step"},
    };
    (void)state;
    for (size_t i = 0; i < COUNT_OF(CASES); i++) {
        struct transcript transcript;
        char error[TRANSCRIPT_ERROR_BYTES];
        assert_false(transcript_parse(CASES[i].text, &transcript, error));
        if (strstr(error, CASES[i].error) == NULL)
            fail_msg("%s: %s", CASES[i].text, error);
        transcript_free(&transcript);
    }
}

static void differences_are_taken_apart(void **state)
{
    static const char TEXT[] = "server: -m 8 -c 9\nover: unix\nwhole: for a reason\n"
                               "> one\n"
                               "< same\n"
                               "\n"
                               "B< ours\n"
                               "B closes\n"
                               "  memcached 1.6.18 answers differently: it is another program\n"
                               "  B< theirs\n"
                               "  # and a comment\n"
                               "< same again\n"
                               "sleep 0.5\n";
    static const enum transcript_for WHOM[] = {
        TRANSCRIPT_FOR_BOTH,      TRANSCRIPT_FOR_BOTH, TRANSCRIPT_FOR_OURS, TRANSCRIPT_FOR_OURS,
        TRANSCRIPT_FOR_MEMCACHED, TRANSCRIPT_FOR_BOTH, TRANSCRIPT_FOR_BOTH,
    };
    struct transcript transcript;
    char error[TRANSCRIPT_ERROR_BYTES];
    (void)state;
    assert_true(transcript_parse(TEXT, &transcript, error));
    assert_string_equal(transcript.options, "-m 8 -c 9");
    assert_true(transcript.over_unix && transcript.whole);
    assert_int_equal(transcript.steps_count, COUNT_OF(WHOM));
    for (size_t i = 0; i < COUNT_OF(WHOM); i++)
        assert_int_equal(transcript.steps[i].whom, WHOM[i]);
    assert_int_equal(transcript.steps[4].connection, 1);
    assert_int_equal(transcript.steps[4].line, 10);
    assert_int_equal(transcript.steps[6].sleep_ms, 500);
    transcript_free(&transcript);
}

static void plays_fail_where_they_must(void **state)
{
    static const struct {
        const char *text;
        const char *failure; /* "" where the play is right */
    } CASES[] = {
        {"> get a\n< END\n", ""},
        {"> get a\n< END\n> get b\n< ERROR\n", "line 4: the answer differs"},
        {"> get a\n< EN\n", "line 2: the answer differs"},
        {"> get a\n", "connection A at the end: END"},
        {"B> get a\nB<| END\\r\n", "connection B at the end"},
        {"> set a 0 0 1\n> 1\n< STORED\n> get a\n< VALUE a 0 \\d\n< 2\n< END\n",
         "line 6: the answer"},
        {"> get a\ncloses\n", "line 2: the connection should be closed, but there came: END"},
        {"> quit\n< END\n", "line 2: connection closed"},
        {"> quit\ncloses\n", ""},
        {"> quit\ncloses\n> get a\n< END\n", ""},
        {"> quit\n", "connection A at the end"},
        {"> get a\nshuts down\n> get b\n", "line 3: nothing can be sent"},
        {"> get a\nhangs up\n", ""},
        {"> set a 0 0 1\n> 1\n< STORED\n> gets a\n< VALUE a 0 1 \\(x)\n< 1\n< END\n"
         "> gets a\n< VALUE a 0 1 \\(y)\n< 1\n< END\ndiffer x y\n",
         "line 12: both are"},
        {"> set a 0 0 1\n> 1\n< STORED\n> gets a\n< VALUE a 0 1 \\(x)\n< 1\n< END\n"
         "> set a 0 0 1\n> 1\n< STORED\n> gets a\n< VALUE a 0 1 \\(x)\n< 1\n< END\n",
         "line 12: the answer differs"},
        {"differ x y\n", "line 1: a name without"},
        {"> cas a 0 0 1 \\(x)\n", "line 1: what is sent"},
        {"> get a\n< ERROR\n  memcached 1.6.18 answers differently: it finds nothing\n  < END\n",
         ""},
        {"> get a\n< END\n  memcached 1.6.18 answers differently: so it is said\n  < ERROR\n",
         "line 4: the answer differs"},
    };
    const bool *bytewise = *state;
    char failure[PLAY_FAILURE_BYTES];
    struct peer *peer = peer_start("memcached", "-m 64", PEER_TCP, failure);
    assert_non_null(peer);
    struct client *client = client_new();
    assert_non_null(client);
    assert_int_equal(peer_connect(peer, client), CLIENT_OK);
    for (size_t i = 0; i < COUNT_OF(CASES); i++) {
        struct transcript transcript;
        assert_true(transcript_parse(CASES[i].text, &transcript, failure));
        struct play play = {
            .transcript = &transcript, .whom = TRANSCRIPT_FOR_MEMCACHED, .bytewise = *bytewise};
        assert_int_equal(client_flush_all(client, 0), CLIENT_OK);
        failure[0] = '\0';
        bool good = play_transcript(&play, peer, failure);
        assert_int_equal(good, CASES[i].failure[0] == '\0');
        if (strstr(failure, CASES[i].failure) == NULL)
            fail_msg("%s: %s", CASES[i].text, failure);
        transcript_free(&transcript);
    }
    client_free(client);
    assert_true(peer_running(peer));
    assert_true(peer_resident_bytes(peer) > 0);
    assert_true(peer_resident_bytes_max(peer) >= peer_resident_bytes(peer));
    assert_true(peer_stop(peer));
}

static void peers_that_do_not_start(void **state)
{
    char error[PEER_ERROR_BYTES] = "";
    (void)state;
    assert_null(peer_start("/nonexistent/server", "", PEER_TCP, error));
    assert_non_null(strstr(error, "/nonexistent/server"));
    assert_null(peer_start("memcached", "--no-such-option", PEER_UNIX, error));
    assert_non_null(strstr(error, "--no-such-option"));
}

int main(void)
{
    static bool whole = false;
    static bool bytewise = true;
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(patterns_match),
        cmocka_unit_test(patterns_are_refused),
        cmocka_unit_test(patterns_are_rendered),
        cmocka_unit_test(transcripts_are_refused),
        cmocka_unit_test(differences_are_taken_apart),
        cmocka_unit_test_prestate(plays_fail_where_they_must, &whole),
        {"plays_fail_where_they_must/bytewise", plays_fail_where_they_must, NULL, NULL, &bytewise},
        cmocka_unit_test(peers_that_do_not_start),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
