#include "server/net/gather.h"

#include "server/clock.h"
#include "server/command.h"
#include "server/limits.h"
#include "server/net/turn.h"

#include <assert.h>
#include <stdlib.h>

struct gathered {
    struct turn turn;
    enum progress progress;
    struct protocol_reply reply; /* held */
};

struct gather {
    unsigned count;
    unsigned begun;     /* of them, whose requests were executed or are being so */
    unsigned held_from; /* of those begun, whose answers are held: from here */
    unsigned held_to;
    size_t input_bytes;
    uint32_t now_s;
    struct gathered turns[LIMITS_GATHER_CONNS];
};

static_assert(LIMITS_GATHER_CONNS <= COMMAND_EXPECT_MAX, "their keys are looked for together");

struct gather *gather_new(void)
{
    return calloc(1, sizeof(struct gather));
}

void gather_free(struct gather *gather)
{
    free(gather);
}

unsigned gather_waiting(const struct gather *gather)
{
    return gather->count - gather->begun;
}

/* Writes the answers that are held, and ends those turns. */
static void send_held(struct conn_host *host)
{
    struct gather *gather = host->gather;

    for (; gather->held_from < gather->held_to; gather->held_from++) {
        struct gathered *gathered = &gather->turns[gather->held_from];
        host->reply = gathered->reply;
        turn_finish(&gathered->turn, gathered->progress);
    }
    host->output_held = 0;
    turn_reset_reply(host);
}

/* All that were gathered have their first request parsed, and its key looked for. */
static void parse_all(struct conn_host *host)
{
    struct gather *gather = host->gather;
    struct protocol_slice keys[LIMITS_GATHER_CONNS];
    unsigned keys_count = 0;

    for (unsigned i = 0; i < gather->count; i++) {
        struct gathered *gathered = &gather->turns[i];
        const struct conn *conn = gathered->turn.conn;

        gathered->progress = turn_parse(&gathered->turn);
        if (gathered->progress != PROGRESS_GO_ON || conn->step != CONN_ANSWER || conn->is_error) {
            continue;
        }
        keys[keys_count] = turn_first_key(&conn->parsed.request);
        keys_count += keys[keys_count].bytes > 0 ? 1 : 0;
    }
    if (keys_count > 1) {
        command_expect(host->command, keys, keys_count);
    }
}

/* GATHER-3: one request, and not a long one. */
static bool is_short(const struct turn *turn)
{
    const size_t count = buffer_count(&turn->shared);
    return count <= LIMITS_GATHER_SHORT_BYTES && turn->conn->parsed.used >= count;
}

/* Runs a turn. True: its answer is in the reply and can be held. */
static bool run(struct conn_host *host, struct gathered *gathered)
{
    struct turn *turn = &gathered->turn;
    const bool brief = is_short(turn);

    if (!brief) {
        send_held(host);
    }
    if (gathered->progress == PROGRESS_GO_ON) {
        gathered->progress = turn_run(turn);
    }
    if (gathered->progress == PROGRESS_CROWDED) {
        send_held(host);
        gathered->progress = turn_run(turn);
    }
    return brief && gathered->progress != PROGRESS_BROKEN && turn->conn->output.capacity == 0 &&
           host->reply.data == host->output + host->output_held &&
           host->output_held + host->reply.used <= LIMITS_OUTPUT_HELD_BYTES;
}

static void serve_next(struct conn_host *host)
{
    struct gather *gather = host->gather;
    struct gathered *gathered = &gather->turns[gather->begun++];

    if (run(host, gathered)) {
        gathered->reply = host->reply;
        host->output_held += host->reply.used;
        turn_reset_reply(host);
    } else {
        /* Its answer is written from where it is, then those that are held. */
        turn_finish(&gathered->turn, gathered->progress);
        send_held(host);
        gather->held_from = gather->begun;
    }
    gather->held_to = gather->begun;
}

void gather_serve(struct conn_host *host)
{
    struct gather *gather = host->gather;

    if (gather->count == 0) {
        return;
    }
    parse_all(host);
    while (gather_waiting(gather) > 0) {
        serve_next(host);
    }
    send_held(host);
    gather->count = 0;
    gather->begun = 0;
    gather->held_from = 0;
    gather->held_to = 0;
    gather->input_bytes = 0;
}

/* It waits for a new request, and all that belongs to it is in the socket; one that is to take a
 * turn of its own anyway has bytes that the socket knows nothing of. */
static bool is_waiting(const struct conn *conn)
{
    return conn->step == CONN_PARSE && conn->input.capacity == 0 && conn->output.capacity == 0 &&
           !conn->queued;
}

void gather_read(struct conn *conn)
{
    struct conn_host *host = conn->host;
    struct gather *gather = host->gather;

    if (!is_waiting(conn)) {
        gather_serve(host); /* the input and the output are needed */
        turn_take(conn, true);
        return;
    }
    if (gather->count == LIMITS_GATHER_CONNS || gather->input_bytes > LIMITS_GATHER_BYTES) {
        gather_serve(host);
    }
    if (gather->count == 0) {
        gather->now_s = clock_now_s(host->clock);
    }
    struct turn *turn = &gather->turns[gather->count].turn;
    turn_begin(turn, conn, gather->now_s);
    const size_t bytes = turn_receive(turn, host->input + gather->input_bytes,
                                      LIMITS_INPUT_BYTES - gather->input_bytes);
    if (bytes == 0) {
        turn_finish(turn, PROGRESS_STARVED);
        return;
    }
    turn->from = &turn->shared;
    turn->shared.start = gather->input_bytes;
    turn->shared.end = gather->input_bytes + bytes;
    gather->input_bytes += bytes;
    gather->count++;
}
