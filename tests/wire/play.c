#include "tests/wire/play.h"

#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#define BYTEWISE_WHOLE_MAX 4096u /* longer sends are not cut in their middle */
#define BYTEWISE_ENDS      512u
#define SHOWN_BYTES_MAX    400u
#define PRINTED_BYTES_MAX  1700u /* of SHOWN_BYTES_MAX, each four characters, and a count */

struct connection {
    struct client *client; /* NULL: never used */
    bool open;
    bool shut;   /* no more is sent */
    bool broken; /* the server closed while something was sent; what it said before is still read */
};

struct stage {
    const struct play *play;
    struct peer *peer;
    struct connection connections[TRANSCRIPT_CONNECTIONS];
    struct pattern_names names;
    unsigned line;
    char *failure;
};

static bool fail(struct stage *stage, const char *what)
{
    (void)snprintf(stage->failure, PLAY_FAILURE_BYTES, "line %u: %s", stage->line, what);
    return false;
}

static bool fail_with(struct stage *stage, const char *what, const char *more)
{
    (void)snprintf(stage->failure, PLAY_FAILURE_BYTES, "line %u: %s: %s", stage->line, what, more);
    return false;
}

static bool open_connection(struct stage *stage, struct connection *connection)
{
    if (connection->open)
        return true;
    if (connection->client == NULL)
        connection->client = client_new();
    assert(connection->client != NULL);
    enum client_status status = peer_connect(stage->peer, connection->client);
    if (status != CLIENT_OK)
        return fail_with(stage, "cannot connect", client_status_text(status));
    connection->open = true;
    connection->shut = false;
    connection->broken = false;
    return true;
}

static void close_connection(struct connection *connection)
{
    client_close(connection->client);
    connection->open = false;
}

static enum client_status send_piece(struct client *client, const uint8_t *data, size_t bytes)
{
    enum client_status status = client_queue(client, data, bytes);
    return status == CLIENT_OK ? client_flush(client) : status;
}

static enum client_status send_bytewise(struct client *client, const uint8_t *data, size_t bytes)
{
    enum client_status status = CLIENT_OK;
    size_t at = 0;
    while (at < bytes && status == CLIENT_OK) {
        bool middle = bytes > BYTEWISE_WHOLE_MAX && at == BYTEWISE_ENDS;
        size_t count = middle ? bytes - 2 * BYTEWISE_ENDS : 1;
        status = send_piece(client, data + at, count);
        at += count;
    }
    return status;
}

static bool play_send(struct stage *stage, const struct transcript_step *step,
                      struct connection *connection)
{
    struct pattern_bytes bytes = {0};
    if (connection->shut)
        return fail(stage, "nothing can be sent any more on this connection");
    if (!pattern_render(&step->pattern, &stage->names, &bytes)) {
        pattern_bytes_free(&bytes);
        return fail(stage, "what is sent has a wildcard or a name without a number");
    }
    enum client_status status = CLIENT_OK;
    if (!connection->broken && bytes.used > 0)
        status = stage->play->bytewise ? send_bytewise(connection->client, bytes.data, bytes.used)
                                       : send_piece(connection->client, bytes.data, bytes.used);
    pattern_bytes_free(&bytes);
    if (status == CLIENT_CLOSED)
        connection->broken = true;
    else if (status != CLIENT_OK)
        return fail_with(stage, "sending failed", client_status_text(status));
    return true;
}

/* The pattern in words, as far as it is bytes. */
static void print_pattern(const struct pattern *pattern, char *out, size_t out_bytes)
{
    size_t used = 0;
    out[0] = '\0';
    for (size_t i = 0; i < pattern->count && used + 32 < out_bytes; i++) {
        const struct pattern_element *element = &pattern->elements[i];
        const char *wildcard = element->kind == PATTERN_NUMBER         ? "\\d"
                               : element->kind == PATTERN_REST_OF_LINE ? "\\*"
                                                                       : element->name;
        if (element->kind == PATTERN_BYTES)
            pattern_print(element->bytes.data, element->bytes.used, SHOWN_BYTES_MAX, out + used,
                          out_bytes - used);
        else
            (void)snprintf(out + used, out_bytes - used, "%s", wildcard);
        used += strlen(out + used);
    }
}

static bool fail_differs(struct stage *stage, const struct transcript_step *step, size_t matched,
                         const struct client_slice *rest, const char *why)
{
    char expected[PRINTED_BYTES_MAX];
    char got[PRINTED_BYTES_MAX];
    print_pattern(&step->pattern, expected, sizeof(expected));
    pattern_print(rest->data, rest->bytes, SHOWN_BYTES_MAX, got, sizeof(got));
    (void)snprintf(stage->failure, PLAY_FAILURE_BYTES,
                   "line %u: %s\n  expected: %s\n  after %zu bytes as expected came: %s",
                   stage->line, why, expected, matched, got);
    return false;
}

static bool play_expect(struct stage *stage, const struct transcript_step *step,
                        struct connection *connection)
{
    struct pattern_match match = {0};
    struct client_slice slice = {(const uint8_t *)"", 0};
    size_t matched = 0;
    for (;;) {
        size_t used;
        enum pattern_result result =
            pattern_feed(&step->pattern, &match, &stage->names, slice.data, slice.bytes, &used);
        if (used > 0)
            client_consume(connection->client, used);
        matched += used;
        slice.data += used;
        slice.bytes -= used;
        if (result == PATTERN_MATCHED)
            return true;
        if (result == PATTERN_DIFFERS)
            return fail_differs(stage, step, matched, &slice, "the answer differs");
        enum client_status status = client_receive_some(connection->client, &slice);
        if (status != CLIENT_OK) {
            slice = (struct client_slice){(const uint8_t *)"", 0};
            return fail_differs(stage, step, matched, &slice, client_status_text(status));
        }
    }
}

static bool play_closes(struct stage *stage, struct connection *connection)
{
    struct client_slice slice;
    enum client_status status = client_receive_some(connection->client, &slice);
    char got[PRINTED_BYTES_MAX];
    if (status == CLIENT_OK) {
        pattern_print(slice.data, slice.bytes, SHOWN_BYTES_MAX, got, sizeof(got));
        return fail_with(stage, "the connection should be closed, but there came", got);
    }
    if (status != CLIENT_CLOSED)
        return fail_with(stage, "the connection should be closed", client_status_text(status));
    close_connection(connection);
    return true;
}

static bool play_differ(struct stage *stage, const struct transcript_step *step)
{
    const char *one = pattern_name_digits(&stage->names, step->names[0]);
    const char *other = pattern_name_digits(&stage->names, step->names[1]);
    if (one == NULL || other == NULL)
        return fail(stage, "a name without a number");
    return strcmp(one, other) != 0 ? true : fail_with(stage, "both are", one);
}

static void pause_ms(unsigned ms)
{
    struct timespec pause = {.tv_sec = ms / 1000, .tv_nsec = (long)(ms % 1000) * 1000000};
    while (nanosleep(&pause, &pause) < 0 && errno == EINTR) {
    }
}

static bool play_step(struct stage *stage, const struct transcript_step *step)
{
    struct connection *connection = &stage->connections[step->connection];
    stage->line = step->line;
    switch (step->action) {
    case TRANSCRIPT_SLEEP:
        pause_ms(step->sleep_ms);
        return true;
    case TRANSCRIPT_DIFFER:
        return play_differ(stage, step);
    case TRANSCRIPT_SEND:
        return open_connection(stage, connection) && play_send(stage, step, connection);
    case TRANSCRIPT_EXPECT:
        return open_connection(stage, connection) && play_expect(stage, step, connection);
    case TRANSCRIPT_CLOSES:
        return open_connection(stage, connection) && play_closes(stage, connection);
    case TRANSCRIPT_SHUTS_DOWN:
        connection->shut = true;
        return open_connection(stage, connection) &&
               (client_shutdown_send(connection->client) == CLIENT_OK ||
                fail(stage, "shutdown failed"));
    case TRANSCRIPT_SERVER_ENDS:
        return peer_await_end(stage->peer) || fail(stage, "the server should have ended, with 0");
    case TRANSCRIPT_HANGS_UP:
        if (connection->open)
            close_connection(connection);
        return true;
    }
    return fail(stage, "an action that is not known");
}

/* A connection that is still open has nothing more to say, and answers. */
static bool nothing_is_left(struct stage *stage, struct connection *connection, char letter)
{
    char where[] = "connection A at the end";
    where[strlen("connection ")] = letter;
    if (connection->shut || connection->broken)
        return fail_with(stage, where, "it should have been expected to close");
    struct client_slice line = {(const uint8_t *)"", 0};
    enum client_status status = send_piece(connection->client, (const uint8_t *)"version\r\n", 9);
    if (status == CLIENT_OK)
        status = client_receive_line(connection->client, &line);
    char got[PRINTED_BYTES_MAX];
    pattern_print(line.data, line.bytes, SHOWN_BYTES_MAX, got, sizeof(got));
    if (status != CLIENT_OK)
        return fail_with(stage, where, client_status_text(status));
    if (line.bytes < 8 || memcmp(line.data, "VERSION ", 8) != 0)
        return fail_with(stage, where, got);
    return true;
}

bool play_transcript(const struct play *play, struct peer *peer, char *failure)
{
    struct stage stage = {.play = play, .peer = peer, .failure = failure};
    bool good = true;
    for (size_t i = 0; i < play->transcript->steps_count && good; i++) {
        const struct transcript_step *step = &play->transcript->steps[i];
        if (step->whom == TRANSCRIPT_FOR_BOTH || step->whom == play->whom)
            good = play_step(&stage, step);
    }
    for (size_t i = 0; i < TRANSCRIPT_CONNECTIONS; i++) {
        if (good && stage.connections[i].open)
            good = nothing_is_left(&stage, &stage.connections[i], (char)('A' + (int)i));
        client_free(stage.connections[i].client);
    }
    return good;
}
