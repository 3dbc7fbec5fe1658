/*
 * wire_test.c - every transcript, played at our server and at Debian's memcached.
 *
 *   wire_test <our server> <transcript>...
 *
 * Each is a case of its own: <transcript>/<server>, and again with every byte a write of its own,
 * and again, at ours, by clients that log in first, through TLS, and in the
 * sandbox (-o drop_privileges).
 * Where this program is built with a sanitizer, a case is left out that tells it nothing: memcached
 * is the same one, the sandbox is the system's work, and of the ways a client comes only one
 * matters to what threads do.
 * Every case has a server started for it; Bazel's shards play every so many-th of them. memcached
 * is found on PATH; where it is missing, or is not the version whose answers are written down, that
 * is a failed case.
 */
/* cmocka.h stands on the four before it. */
/* clang-format off */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
/* clang-format on */

#include "tests/instrumented.h"
#include "tests/tls/certs.h"
#include "tests/wire/play.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define MEMCACHED         "memcached"
#define MEMCACHED_VERSION "memcached 1.6.18"
#define CASE_NAME_BYTES   160u
#define PLAYS             7u /* of each transcript */

struct wire_case {
    char name[CASE_NAME_BYTES];
    const char *server;
    const char *path;
    enum transcript_for whom;
    bool bytewise;
    enum peer_way way; /* PEER_TCP: as the transcript says */
};

static void play_case(void **state)
{
    const struct wire_case *wire = *state;
    char failure[PLAY_FAILURE_BYTES] = "";
    struct transcript transcript;
    if (!transcript_load(wire->path, &transcript, failure)) {
        transcript_free(&transcript);
        fail_msg("%s", failure);
    }
    struct play play = {.transcript = &transcript, .whom = wire->whom, .bytewise = wire->bytewise};
    bool good = true;
    enum peer_way way = transcript.over_unix ? PEER_UNIX : wire->way;
    struct peer *peer = peer_start(wire->server, transcript.options, way, failure);
    if (peer != NULL)
        good = play_transcript(&play, peer, failure);
    transcript_free(&transcript);
    if (peer == NULL || !good) {
        peer_kill(peer);
        fail_msg("%s", failure);
    }
    /* Only our own server is held to how it ends. */
    if (wire->whom == TRANSCRIPT_FOR_MEMCACHED)
        peer_kill(peer);
    else if (!peer_stop(peer))
        fail_msg("the server does not exit with 0 on SIGTERM");
}

static void memcached_is_the_one(void **state)
{
    (void)state;
    char line[128] = "";
    FILE *answer = popen(MEMCACHED " -V", "r");
    assert_non_null(answer);
    bool answered = fgets(line, sizeof(line), answer) != NULL;
    (void)pclose(answer);
    if (!answered || strncmp(line, MEMCACHED_VERSION, strlen(MEMCACHED_VERSION)) != 0)
        fail_msg("transcripts are for %s on PATH, but there is: %s", MEMCACHED_VERSION, line);
}

static const char *way_name(enum peer_way way)
{
    if (way == PEER_LOGIN)
        return "/login";
    if (way == PEER_SANDBOX)
        return "/sandbox";
    return way == PEER_TLS ? "/tls" : "";
}

/* "tests/wire/get.txt" is the transcript "get". */
static void name_case(struct wire_case *wire)
{
    const char *slash = strrchr(wire->path, '/');
    const char *base = slash != NULL ? slash + 1 : wire->path;
    (void)snprintf(wire->name, sizeof(wire->name), "%.*s/%s%s%s", (int)strcspn(base, "."), base,
                   wire->whom == TRANSCRIPT_FOR_OURS ? "zbcached" : MEMCACHED,
                   wire->bytewise ? "/bytewise" : "", way_name(wire->way));
}

/* The ways a transcript is played. */
static const struct {
    enum transcript_for whom;
    bool bytewise;
    enum peer_way way;
} WAYS[PLAYS] = {
    {TRANSCRIPT_FOR_OURS, false, PEER_TCP},     {TRANSCRIPT_FOR_MEMCACHED, false, PEER_TCP},
    {TRANSCRIPT_FOR_OURS, true, PEER_TCP},      {TRANSCRIPT_FOR_MEMCACHED, true, PEER_TCP},
    {TRANSCRIPT_FOR_OURS, false, PEER_LOGIN},   {TRANSCRIPT_FOR_OURS, false, PEER_TLS},
    {TRANSCRIPT_FOR_OURS, false, PEER_SANDBOX},
};

/* To a sanitizer. */
static bool tells_nothing(unsigned play)
{
    if (WAYS[play].whom == TRANSCRIPT_FOR_MEMCACHED || WAYS[play].way == PEER_SANDBOX)
        return true;
    return THREADS_WATCHED && (WAYS[play].bytewise || WAYS[play].way != PEER_TCP);
}

/* One that cannot be read fails in each case. */
static size_t make_cases(const char *server, const char *path, struct wire_case *cases)
{
    char error[TRANSCRIPT_ERROR_BYTES];
    struct transcript transcript;
    size_t count = 0;
    bool known = transcript_load(path, &transcript, error);
    for (unsigned play = 0; play < PLAYS; play++) {
        if (INSTRUMENTED && tells_nothing(play))
            continue;
        bool plain = transcript.plain || transcript.over_unix;
        if (known &&
            ((transcript.whole && WAYS[play].bytewise) || (plain && WAYS[play].way != PEER_TCP)))
            continue;
        cases[count] = (struct wire_case){
            .server = WAYS[play].whom == TRANSCRIPT_FOR_OURS ? server : MEMCACHED,
            .path = path,
            .whom = WAYS[play].whom,
            .bytewise = WAYS[play].bytewise,
            .way = WAYS[play].way,
        };
        name_case(&cases[count++]);
    }
    transcript_free(&transcript);
    return count;
}

/* Of the cases those that this shard plays (Bazel's protocol: three variables and a file). */
static size_t take_shard(struct wire_case *cases, size_t count)
{
    const char *total = getenv("TEST_TOTAL_SHARDS"), *index = getenv("TEST_SHARD_INDEX");
    const char *told = getenv("TEST_SHARD_STATUS_FILE");
    if (total == NULL || index == NULL || told == NULL)
        return count;
    FILE *file = fopen(told, "we");
    assert(file != NULL);
    (void)fclose(file);

    size_t taken = 0;
    const size_t step = strtoul(total, NULL, 10);
    assert(step > 0);
    for (size_t i = strtoul(index, NULL, 10); i < count; i += step)
        cases[taken++] = cases[i];
    return taken;
}

int main(int arguments_count, char **arguments)
{
    if (arguments_count < 3) {
        fprintf(stderr, "usage: %s <server> <transcript>...\n", arguments[0]);
        return 2;
    }
    size_t paths_count = (size_t)arguments_count - 2;
    struct wire_case *cases = calloc(paths_count * PLAYS, sizeof(*cases));
    struct CMUnitTest *tests = calloc(paths_count * PLAYS + 1, sizeof(*tests));
    assert(cases != NULL && tests != NULL);

    size_t count = 0;
    for (size_t i = 0; i < paths_count; i++)
        count += make_cases(arguments[1], arguments[i + 2], cases + count);
    count = take_shard(cases, count);
    tests[0] =
        (struct CMUnitTest){.name = "memcached_is_the_one", .test_func = memcached_is_the_one};
    for (size_t i = 0; i < count; i++)
        tests[i + 1] = (struct CMUnitTest){
            .name = cases[i].name, .test_func = play_case, .initial_state = &cases[i]};

    char certs[CERTS_PATH_BYTES];
    certs_make(certs);
    (void)setenv(PEER_CERTS, certs, 1);
    int failed = _cmocka_run_group_tests("wire", tests, count + 1, NULL, NULL);
    certs_remove(certs);
    free(tests);
    free(cases);
    return failed == 0 ? 0 : 1;
}
