#include "server/net/turn.h"

#include "protocol/login.h"
#include "server/admin/auth.h"
#include "server/admin/log.h"
#include "server/admin/watch.h"
#include "server/budget.h"
#include "server/clock.h"
#include "server/command.h"
#include "server/counters.h"
#include "server/limits.h"
#include "server/net/gather.h"

#include <assert.h>
#include <errno.h>
#include <string.h>
#include <sys/socket.h>

#define NO_MEMORY_READING "SERVER_ERROR out of memory reading request"
#define NOT_TIMED         UINT32_MAX /* spent_ns of what goes on, and began untimed */

static void note_activity(const struct turn *turn)
{
    atomic_store_explicit(&turn->conn->active_s, turn->now_s, memory_order_relaxed);
}

static void note_doing(const struct turn *turn, enum conn_doing doing)
{
    atomic_store_explicit(&turn->conn->doing, (uint8_t)doing, memory_order_relaxed);
}

/* ---- writing ---- */

/* What the socket takes of @bytes; 0 when it takes nothing now, -1 when it is dead. */
static ssize_t send_some(const struct turn *turn, const uint8_t *bytes, size_t count)
{
    const struct conn *conn = turn->conn;
    ssize_t sent;

    do {
        sent = conn->tls == NULL ? send(conn->fd, bytes, count, MSG_NOSIGNAL)
                                 : tls_send(conn->tls, bytes, count);
    } while (sent < 0 && errno == EINTR);
    if (sent < 0) {
        return errno == EAGAIN ? 0 : -1;
    }
    counters_add(turn->host->counters, COUNTER_BYTES_WRITTEN, (uint64_t)sent);
    note_activity(turn);
    return sent;
}

void turn_reset_reply(struct conn_host *host)
{
    host->reply = (struct protocol_reply){.data = host->output + host->output_held,
                                          .capacity = LIMITS_OUTPUT_BYTES - host->output_held};
    if (host->large_output.capacity > LIMITS_LARGE_KEPT_BYTES ||
        (host->large_output.capacity > 0 && budget_is_tight(host->budget))) {
        buffer_free(&host->large_output, host->budget);
    }
}

/* What the socket did not take becomes the connection's. It is copied; but where most of a large
 * reply is left it stays in place, and the connection takes the buffer. False: no memory. */
static bool keep_output(struct turn *turn, size_t sent)
{
    struct conn_host *host = turn->host;
    struct buffer *output = &turn->conn->output;
    const struct protocol_reply *reply = &host->reply;
    const size_t rest = reply->used - sent;
    const bool large = reply->data == host->large_output.data;

    assert(output->capacity == 0);
    if (!large || rest < reply->capacity / 2) {
        if (buffer_copy(output, host->budget, reply->data + sent, rest)) {
            return true;
        }
        if (!large) {
            return false;
        }
    }
    *output = host->large_output;
    output->start = sent;
    output->end = reply->used;
    host->large_output = (struct buffer){0};
    return true;
}

/* Writes what was composed. False: the connection is broken. */
static bool flush(struct turn *turn)
{
    struct protocol_reply *reply = &turn->host->reply;

    assert(turn->conn->output.capacity == 0);
    const ssize_t sent = send_some(turn, reply->data, reply->used);
    bool ok = sent >= 0;
    if (ok && (size_t)sent < reply->used) {
        ok = keep_output(turn, (size_t)sent);
    }
    turn->flushes++;
    turn_reset_reply(turn->host);
    return ok;
}

/* Writes what an earlier turn left. */
static enum progress drain(struct turn *turn)
{
    struct buffer *output = &turn->conn->output;

    if (output->capacity == 0) {
        return PROGRESS_GO_ON;
    }
    const ssize_t sent = send_some(turn, output->data + output->start, buffer_count(output));
    if (sent < 0) {
        return PROGRESS_BROKEN;
    }
    output->start += (size_t)sent;
    if (buffer_count(output) > 0) {
        return PROGRESS_BLOCKED;
    }
    buffer_free(output, turn->host->budget);
    return turn->conn->closing ? PROGRESS_FINISHED : PROGRESS_GO_ON;
}

/* Makes the reply have @bytes of room, by writing what is in it and, where that is not enough,
 * with a larger buffer. Without memory for that the request is marked as refused, and the reply is
 * empty. */
static enum progress make_room(struct turn *turn, size_t bytes)
{
    struct conn_host *host = turn->host;

    if (host->reply.used > 0) {
        if (!flush(turn)) {
            return PROGRESS_BROKEN;
        }
        if (turn->conn->output.capacity > 0) {
            return PROGRESS_BLOCKED;
        }
    }
    if (bytes <= host->reply.capacity) {
        return PROGRESS_GO_ON;
    }
    if (host->output_held > 0) {
        return PROGRESS_CROWDED;
    }
    struct buffer *large = &host->large_output;
    if (large->capacity < bytes) {
        turn_reset_reply(host);
        buffer_free(large, host->budget);
        if (!buffer_resize(large, host->budget, bytes)) {
            counters_add(host->counters, COUNTER_OUTPUT_REFUSED, 1);
            turn->conn->refused = true;
            return PROGRESS_GO_ON;
        }
    }
    host->large_output_used = true;
    host->reply = (struct protocol_reply){.data = large->data, .capacity = large->capacity};
    return PROGRESS_GO_ON;
}

/* ---- keeping what is not finished ---- */

static void rebase(struct protocol_slice *slice, const uint8_t *from, uint8_t *to)
{
    if (slice->data != NULL) {
        slice->data = to + (slice->data - from);
    }
}

/* The connection's input is empty, or copied. The memory of a large request waits for the next one:
 * a page that the system has just given costs more than to read what comes into it. */
static void release_input(struct turn *turn)
{
    struct conn_host *host = turn->host;
    struct buffer *own = &turn->conn->input;

    if (own->capacity > LIMITS_INPUT_BYTES && own->capacity <= LIMITS_LARGE_KEPT_BYTES &&
        own->capacity > host->large_input.capacity && !budget_is_tight(host->budget)) {
        buffer_free(&host->large_input, host->budget);
        host->large_input = (struct buffer){.data = own->data, .capacity = own->capacity};
        host->large_input_used = true;
        *own = (struct buffer){0};
    }
    buffer_free(own, host->budget);
}

/* Memory of its own for what waits, and the bytes. False: no memory. */
static bool copy_input(struct turn *turn, const uint8_t *bytes, size_t count)
{
    struct conn_host *host = turn->host;
    struct buffer *own = &turn->conn->input;

    if (turn->conn->wanted <= LIMITS_INPUT_BYTES ||
        turn->conn->wanted > host->large_input.capacity) {
        return buffer_copy(own, host->budget, bytes, count);
    }
    *own = host->large_input;
    host->large_input = (struct buffer){0};
    memcpy(own->data, bytes, count);
    own->end = count;
    return true;
}

/* Moves what waits in the worker's input to the connection's own, and the request's slices with it.
 * False: no memory. */
static bool keep_input(struct turn *turn)
{
    struct conn *conn = turn->conn;
    struct buffer *own = &conn->input;

    if (turn->from == own) {
        if (buffer_count(own) == 0) {
            release_input(turn);
        }
        return true;
    }
    struct buffer *shared = turn->from;
    const uint8_t *bytes = shared->data + shared->start;
    if (buffer_count(shared) > 0) {
        if (!copy_input(turn, bytes, buffer_count(shared))) {
            return false;
        }
        if ((conn->step == CONN_SWALLOW || conn->step == CONN_ANSWER) && !conn->is_error) {
            struct protocol_request *request = &conn->parsed.request;
            rebase(&request->key, bytes, own->data);
            rebase(&request->keys, bytes, own->data);
            rebase(&request->value, bytes, own->data);
            rebase(&request->argument, bytes, own->data);
        }
    }
    shared->start = 0;
    shared->end = 0;
    turn->from = own;
    return true;
}

/* ---- executing ---- */

/* How long the turn has lasted since others were looked for first: short turns never read this
 * clock. */
static uint64_t turn_us(struct turn *turn)
{
    const uint64_t now_us = clock_elapsed_us(turn->host->clock);

    if (turn->looked_us == 0) {
        turn->looked_us = now_us;
    }
    return now_us - turn->looked_us;
}

/* After a request: does the turn go on? */
static enum progress count_request(struct turn *turn)
{
    struct conn_host *host = turn->host;

    turn->quota--;
    if (turn->quota > 0 && turn->flushes < LIMITS_TURN_FLUSHES) {
        return PROGRESS_GO_ON;
    }
    turn->quota = host->requests_max;
    const uint64_t lasted_us = turn_us(turn);
    const bool others = event_base_get_num_events(host->base, EVENT_BASE_COUNT_ACTIVE) > 0 ||
                        !TAILQ_EMPTY(&host->ready) || gather_waiting(host->gather) > 0;
    const bool long_enough =
        lasted_us >= LIMITS_TURN_US_MAX || turn->flushes >= LIMITS_TURN_FLUSHES;
    if ((!others || lasted_us < LIMITS_TURN_US) && !long_enough) {
        return PROGRESS_GO_ON;
    }
    if (buffer_count(turn->from) == 0 || !keep_input(turn)) {
        return PROGRESS_GO_ON;
    }
    if (others) {
        counters_add(host->counters, COUNTER_CONN_YIELDS, 1);
    }
    return PROGRESS_YIELDED;
}

/* After a part of a request that does much: does the turn go on with it? Whether others wait is not
 * known before the loop has looked, so it ends in any case. */
static enum progress count_part(struct turn *turn)
{
    if (turn_us(turn) < LIMITS_TURN_US || !keep_input(turn)) {
        return PROGRESS_GO_ON;
    }
    counters_add(turn->host->counters, COUNTER_CONN_YIELDS, 1);
    return PROGRESS_YIELDED;
}

static void log_request(const struct turn *turn)
{
    const uint8_t *bytes = turn->from->data + turn->from->start;
    size_t count = 0;

    while (count < buffer_count(turn->from) && count < LOG_LINE_BYTES_MAX && bytes[count] != '\n' &&
           bytes[count] != '\r') {
        count++;
    }
    log_say(turn->host->log, LOG_COMMANDS, "<%d %.*s", turn->conn->fd, (int)count,
            (const char *)bytes);
}

/* More has come, but certainly not all: parsing again would only cost, and a client that sends a
 * long line byte by byte could make it cost a lot. */
static bool is_known_unfinished(struct turn *turn)
{
    struct conn *conn = turn->conn;
    const size_t count = buffer_count(turn->from);

    if (conn->wanted > 0) {
        return count < conn->wanted;
    }
    if (conn->scanned <= PROTOCOL_LINE_BYTES_MAX || count > PROTOCOL_GET_LINE_BYTES_MAX) {
        return false;
    }
    const uint8_t *bytes = turn->from->data + turn->from->start;
    if (memchr(bytes + conn->scanned, '\n', count - conn->scanned) != NULL) {
        return false;
    }
    conn->scanned = count;
    return true;
}

struct protocol_slice turn_first_key(const struct protocol_request *request)
{
    struct protocol_slice more = request->keys;
    struct protocol_slice key;

    return more.bytes > 0 && protocol_next_key(&more, &key) ? key : request->key;
}

/* A pipeline's next requests are parsed together, so that their keys are looked for together. What
 * ends the row is parsed again when it is its turn. */
static void look_ahead(struct turn *turn)
{
    const struct buffer *from = turn->from;
    struct protocol_parsed *ahead = turn->host->ahead;
    struct protocol_slice keys[COMMAND_EXPECT_MAX];
    size_t at = from->start;
    unsigned count = 0;

    while (count < COMMAND_EXPECT_MAX && at < from->end &&
           protocol_parse(from->data + at, from->end - at, turn->host->value_bytes_max,
                          &ahead[count]) == PROTOCOL_REQUEST &&
           ahead[count].swallow == 0) {
        keys[count] = turn_first_key(&ahead[count].request);
        if (keys[count].bytes == 0) {
            break;
        }
        at += ahead[count].used;
        count++;
    }
    if (count > 1) {
        command_expect(turn->host->command, keys, count);
    }
    turn->ahead_next = 0;
    turn->ahead_count = count;
    turn->ahead_at = from->data + from->start;
}

/* What a connection says before it is known who it is. Its answer is a line, whatever it is. */
static enum protocol_result login(const struct turn *turn)
{
    struct conn *conn = turn->conn;
    struct counters *counters = turn->host->counters;
    struct protocol_parsed *parsed = &conn->parsed;
    const struct buffer *from = turn->from;

    const enum protocol_result result =
        protocol_login(from->data + from->start, buffer_count(from), parsed);
    if (result != PROTOCOL_REQUEST) {
        return result;
    }
    const struct protocol_slice user = parsed->request.key;
    const struct protocol_slice password = parsed->request.value;
    conn->authenticated =
        auth_check(turn->host->auth, user.data, user.bytes, password.data, password.bytes);
    explicit_bzero(password.data, password.bytes);
    counters_add(counters, COUNTER_AUTH_CMDS, 1);
    if (!conn->authenticated) {
        counters_add(counters, COUNTER_AUTH_ERRORS, 1);
    }
    parsed->error = conn->authenticated ? "STORED" : "CLIENT_ERROR authentication failure";
    return PROTOCOL_ERROR;
}

/* Parses the next request, if that was not done before: the bytes are still where they were. */
static enum protocol_result parse_next(struct turn *turn)
{
    const struct buffer *from = turn->from;

    if (!turn->conn->authenticated) {
        return login(turn);
    }
    if (turn->ahead_next == turn->ahead_count && !turn->first) {
        look_ahead(turn); /* the first is most often alone */
    }
    turn->first = false;
    if (turn->ahead_next < turn->ahead_count) {
        assert(turn->ahead_at == from->data + from->start);
        turn->conn->parsed = turn->host->ahead[turn->ahead_next++];
        turn->ahead_at += turn->conn->parsed.used;
        return PROTOCOL_REQUEST;
    }
    return protocol_parse(from->data + from->start, buffer_count(from), turn->host->value_bytes_max,
                          &turn->conn->parsed);
}

enum progress turn_parse(struct turn *turn)
{
    struct conn *conn = turn->conn;
    struct buffer *from = turn->from;
    const size_t count = buffer_count(from);

    if (count == 0 || is_known_unfinished(turn)) {
        return PROGRESS_STARVED;
    }
    const enum protocol_result result = parse_next(turn);
    if (result == PROTOCOL_MORE) {
        conn->wanted = conn->parsed.wanted;
        conn->scanned = count;
        return PROGRESS_STARVED;
    }
    conn->wanted = 0;
    conn->scanned = 0;
    if (log_wants(turn->host->log, LOG_COMMANDS)) {
        log_request(turn);
    }
    if (result == PROTOCOL_CLOSE) {
        conn->reason = WATCH_ERROR;
        return PROGRESS_FINISHED;
    }
    conn->is_error = result == PROTOCOL_ERROR;
    if (conn->is_error) {
        from->start += conn->parsed.used; /* an error's line is not needed to answer it */
        conn->parsed.used = 0;
    }
    conn->step = conn->parsed.swallow > 0 ? CONN_SWALLOW : CONN_ANSWER;
    return PROGRESS_GO_ON;
}

/* Drops the data block behind a refused line, as far as it has come. The line itself stays. */
static enum progress swallow(struct turn *turn)
{
    struct protocol_parsed *parsed = &turn->conn->parsed;
    const size_t behind = buffer_count(turn->from) - parsed->used;

    if (behind < parsed->swallow) {
        turn->from->end -= behind;
        parsed->swallow -= behind;
        return PROGRESS_STARVED;
    }
    parsed->used += parsed->swallow;
    parsed->swallow = 0;
    turn->conn->step = CONN_ANSWER;
    return PROGRESS_GO_ON;
}

static void start_watching(struct turn *turn)
{
    struct conn *conn = turn->conn;
    const char *answer = conn_watch_start(conn, conn->parsed.request.kinds);
    const bool written = protocol_reply_line(&turn->host->reply, answer);

    assert(written);
}

static bool is_suspended(enum command_outcome outcome)
{
    return outcome == COMMAND_NEEDS_ROOM || outcome == COMMAND_MORE || outcome == COMMAND_PAUSE;
}

static void count_time(struct conn_host *host, enum protocol_verb verb, uint64_t ns)
{
    static_assert(PROTOCOL_GET == 0 && PROTOCOL_GATS < PROTOCOL_SET, "gets come first");
    if (verb <= PROTOCOL_GATS || verb == PROTOCOL_MG) {
        counters_add_time(host->counters, COUNTER_GET_TIMES, ns);
    } else if ((verb >= PROTOCOL_SET && verb <= PROTOCOL_CAS) || verb == PROTOCOL_MS) {
        counters_add_time(host->counters, COUNTER_STORE_TIMES, ns);
    }
}

/* A request that is timed, or one that goes on. Its time is that of all its parts, without what
 * others were served in between. */
static enum command_outcome execute_timed(struct turn *turn, size_t *room_bytes)
{
    struct conn_host *host = turn->host;
    struct conn *conn = turn->conn;
    const bool timed = conn->spent_ns != NOT_TIMED;
    const uint64_t began_ns = clock_elapsed_ns(host->clock);
    const enum command_outcome outcome = command_execute(host->command, &conn->parsed.request,
                                                         &host->reply, turn->now_s, room_bytes);
    const uint64_t spent_ns = conn->spent_ns + (clock_elapsed_ns(host->clock) - began_ns);

    if (conn->spent_ns == 0) {
        host->untimed = LIMITS_TIMED_EVERY - 1;
    }
    if (!is_suspended(outcome)) {
        conn->spent_ns = 0;
    } else if (timed) {
        conn->spent_ns = spent_ns < NOT_TIMED - 1 ? (uint32_t)spent_ns + 1 : NOT_TIMED - 1;
    }
    if (outcome == COMMAND_DONE && timed) {
        count_time(host, conn->parsed.request.verb, spent_ns);
    }
    return outcome;
}

/* The clock is read for one request of many. */
static enum command_outcome execute_one(struct turn *turn, size_t *room_bytes)
{
    struct conn_host *host = turn->host;

    if (host->untimed == 0 || turn->conn->spent_ns > 0) {
        return execute_timed(turn, room_bytes);
    }
    host->untimed--;
    return command_execute(host->command, &turn->conn->parsed.request, &host->reply, turn->now_s,
                           room_bytes);
}

/* What was not timed from its beginning is not timed. */
static void note_part(const struct turn *turn)
{
    if (turn->conn->spent_ns == 0) {
        turn->conn->spent_ns = NOT_TIMED;
    }
}

static enum progress execute(struct turn *turn)
{
    struct conn_host *host = turn->host;
    size_t room_bytes = 0;

    switch (execute_one(turn, &room_bytes)) {
    case COMMAND_DONE:
        return PROGRESS_ANSWERED;
    case COMMAND_NEEDS_ROOM:
        note_part(turn);
        return make_room(turn, room_bytes);
    case COMMAND_MORE:
        note_part(turn);
        return count_part(turn);
    case COMMAND_PAUSE:
        note_part(turn);
        return PROGRESS_YIELDED;
    case COMMAND_SHUTDOWN:
        host->on_shutdown(false);
        break;
    case COMMAND_SHUTDOWN_GRACEFUL:
        host->on_shutdown(true);
        break;
    case COMMAND_WATCH:
        start_watching(turn);
        return PROGRESS_ANSWERED;
    case COMMAND_CLOSE:
        break;
    }
    return PROGRESS_FINISHED;
}

static enum progress answer(struct turn *turn)
{
    struct conn *conn = turn->conn;
    struct protocol_reply *reply = &turn->host->reply;

    if (protocol_reply_room(reply) < PROTOCOL_REPLY_BYTES_MAX) {
        return make_room(turn, PROTOCOL_REPLY_BYTES_MAX);
    }
    if (conn->is_error) {
        const char *error = conn->parsed.error;
        if (conn->parsed.bad_data) { /* a store that was tried, as memcached counts */
            counters_add(turn->host->counters, COUNTER_CMD_SET, 1);
        }
        const bool written = error == NULL || protocol_reply_line(reply, error);
        assert(written);
    } else if (conn->refused) {
        command_refuse(turn->host->command, &conn->parsed.request, reply, turn->now_s);
        conn->spent_ns = 0;
    } else {
        const enum progress progress = execute(turn);
        if (progress != PROGRESS_ANSWERED) {
            return progress;
        }
    }
    turn->from->start += conn->parsed.used;
    conn->step = conn->watcher != NULL ? CONN_WATCH : CONN_PARSE;
    conn->refused = false;
    return count_request(turn);
}

/* Sends what there is for a watcher, and drops what it has sent. */
static enum progress send_watched(struct turn *turn)
{
    struct protocol_reply *reply = &turn->host->reply;

    turn->from->start = turn->from->end;
    if (turn->conn->output.capacity > 0) {
        return PROGRESS_BLOCKED;
    }
    reply->used +=
        watcher_take(turn->conn->watcher, reply->data + reply->used, protocol_reply_room(reply));
    if (reply->used == 0) {
        return PROGRESS_STARVED;
    }
    if (!flush(turn)) {
        return PROGRESS_BROKEN;
    }
    return turn->flushes < LIMITS_TURN_FLUSHES ? PROGRESS_GO_ON : PROGRESS_YIELDED;
}

enum progress turn_run(struct turn *turn)
{
    enum progress progress = PROGRESS_GO_ON;

    turn->host->writer->fd = turn->conn->fd;
    while (progress == PROGRESS_GO_ON) {
        switch (turn->conn->step) {
        case CONN_PARSE:
            progress = turn_parse(turn);
            break;
        case CONN_SWALLOW:
            progress = swallow(turn);
            break;
        case CONN_ANSWER:
            progress = answer(turn);
            break;
        case CONN_WATCH:
            progress = send_watched(turn);
            break;
        }
    }
    return progress;
}

/* ---- reading ---- */

/* There is no memory for the rest of a request. Of a storage command only the line is kept: its
 * data block is dropped as it comes, and the answer says why. False where that cannot be: of a
 * line nothing can be dropped, and what came behind a whole request is not known to be one. */
static bool drop_value(struct turn *turn)
{
    struct conn *conn = turn->conn;
    struct buffer *from = turn->from;

    counters_add(turn->host->counters, COUNTER_INPUT_REFUSED, 1);
    if (conn->step != CONN_PARSE || conn->wanted == 0 || !conn->authenticated) {
        return false;
    }
    const size_t count = buffer_count(from);
    const uint8_t *newline = memchr(from->data + from->start, '\n', count);
    assert(newline != NULL); /* how much is wanted stands in the line */
    const size_t line_bytes = (size_t)(newline + 1 - from->data) - from->start;
    if (conn->wanted == line_bytes + 2) {
        return false; /* an empty value, which is never too large to be dropped */
    }
    from->end = from->start + line_bytes;
    if (from == &conn->input) {
        const bool smaller = buffer_resize(from, turn->host->budget, line_bytes);
        (void)smaller; /* else it is only larger than it need be */
    }
    const enum protocol_result result =
        protocol_parse(from->data + from->start, line_bytes, 0, &conn->parsed);
    assert(result == PROTOCOL_REQUEST && conn->parsed.swallow > count - line_bytes);
    conn->parsed.swallow -= count - line_bytes;
    conn->is_error = false;
    conn->refused = true;
    conn->wanted = 0;
    conn->scanned = 0;
    conn->step = CONN_SWALLOW;
    return true;
}

/* Chooses where the next bytes go: the worker's input, with what there is of a request copied in
 * front of them, unless that is much or is going to be. False: no memory. */
static bool aim(struct turn *turn)
{
    struct conn *conn = turn->conn;
    struct buffer *own = &conn->input;
    struct buffer *shared = &turn->shared;
    const size_t count = buffer_count(own);

    if (count <= LIMITS_INPUT_BYTES / 2 && conn->wanted <= LIMITS_INPUT_BYTES) {
        shared->start = 0;
        shared->end = count;
        if (count > 0) {
            memcpy(shared->data, own->data + own->start, count);
        }
        release_input(turn);
        turn->from = shared;
        return true;
    }
    turn->from = own;
    if (own->end < own->capacity && own->start == 0) {
        return true;
    }
    size_t capacity = 2 * count;
    if (conn->wanted > 0 && capacity > conn->wanted) {
        capacity = conn->wanted;
    }
    return buffer_resize(own, turn->host->budget, capacity);
}

/* How much is read in one go: of a large request no more than others can wait for, and nothing
 * behind it, which is read into the worker's input. */
static size_t room_to_read(const struct turn *turn)
{
    const struct buffer *from = turn->from;
    const size_t count = buffer_count(from), wanted = turn->conn->wanted;
    size_t room = from->capacity - from->end;

    if (from == &turn->conn->input && wanted > count && room > wanted - count) {
        room = wanted - count;
    }
    return room < LIMITS_INPUT_BYTES ? room : LIMITS_INPUT_BYTES;
}

size_t turn_receive(struct turn *turn, uint8_t *bytes, size_t room)
{
    struct conn *conn = turn->conn;
    ssize_t count;

    assert(room > 0);
    do {
        count = conn->tls == NULL ? recv(conn->fd, bytes, room, 0)
                                  : tls_receive(conn->tls, bytes, room);
    } while (count < 0 && errno == EINTR);
    if (count > 0) {
        counters_add(turn->host->counters, COUNTER_BYTES_READ, (uint64_t)count);
        note_activity(turn);
        return (size_t)count;
    }
    if (count == 0 || errno != EAGAIN) {
        conn->eof = true;
        conn->reason = count == 0 ? WATCH_NORMAL : WATCH_ERROR;
    }
    return 0;
}

static enum progress read_and_run(struct turn *turn)
{
    struct conn *conn = turn->conn;

    if (conn->step == CONN_SWALLOW) {
        struct buffer *shared = &turn->shared;
        const size_t swallow_bytes = conn->parsed.swallow;
        conn->parsed.swallow -=
            turn_receive(turn, shared->data,
                         swallow_bytes < shared->capacity ? swallow_bytes : shared->capacity);
        return turn_run(turn);
    }
    if (!aim(turn)) {
        if (drop_value(turn)) {
            return PROGRESS_STARVED;
        }
        (void)protocol_reply_line(&turn->host->reply, NO_MEMORY_READING);
        return PROGRESS_FINISHED;
    }
    struct buffer *from = turn->from;
    from->end += turn_receive(turn, from->data + from->end, room_to_read(turn));
    return turn_run(turn);
}

/* ---- the turn ---- */

static enum conn_doing doing_of(const struct conn *conn)
{
    if (conn->step == CONN_SWALLOW) {
        return CONN_IS_SWALLOWING;
    }
    if (conn->step == CONN_WATCH) {
        return CONN_IS_WATCHING;
    }
    return buffer_count(&conn->input) > 0 ? CONN_IS_READING : CONN_IS_WAITING;
}

/* May there be something to read that the socket knows nothing of? */
static bool goes_on(const struct conn *conn)
{
    return conn->tls != NULL && (tls_has_more(conn->tls) || tls_wants_to_write(conn->tls));
}

static bool watch_input(struct conn *conn)
{
    const bool to_write = conn->tls != NULL && tls_wants_to_write(conn->tls);
    return conn_watch(conn, to_write ? EV_WRITE : EV_READ);
}

void turn_finish(struct turn *turn, enum progress progress)
{
    struct conn *conn = turn->conn;
    struct conn_host *host = turn->host;

    if (progress != PROGRESS_BROKEN && progress != PROGRESS_FINISHED && !keep_input(turn) &&
        !(drop_value(turn) && keep_input(turn))) {
        if (conn->output.capacity == 0) { /* else it could only be said in the middle of that */
            (void)protocol_reply_line(&host->reply, NO_MEMORY_READING);
        }
        progress = PROGRESS_FINISHED;
    }
    note_doing(turn, doing_of(conn)); /* before the client can see an answer and ask */
    if (progress == PROGRESS_BROKEN) {
        turn_reset_reply(host);
    } else if (host->reply.used > 0 && conn->output.capacity == 0 && !flush(turn)) {
        progress = PROGRESS_BROKEN;
    }
    if (conn->tls != NULL && progress != PROGRESS_BROKEN && !tls_settle(conn->tls)) {
        log_say(host->log, LOG_ALWAYS, "no memory for a TLS connection: closed");
        progress = PROGRESS_BROKEN;
    }
    assert(progress == PROGRESS_BROKEN || host->reply.used == 0);

    if (progress != PROGRESS_BROKEN && conn->output.capacity > 0) {
        conn->closing = conn->closing || progress == PROGRESS_FINISHED;
        note_doing(turn, CONN_IS_WRITING);
        if (conn_watch(conn, EV_WRITE)) {
            return;
        }
        progress = PROGRESS_BROKEN;
    }
    if (progress == PROGRESS_BROKEN) {
        conn->reason = WATCH_ERROR;
    }
    const bool over = progress == PROGRESS_BROKEN || progress == PROGRESS_FINISHED ||
                      (progress == PROGRESS_STARVED && conn->eof);
    if (over || !watch_input(conn)) {
        conn_close(conn);
        return;
    }
    if (progress == PROGRESS_YIELDED || (conn->tls != NULL && tls_has_more(conn->tls))) {
        TAILQ_INSERT_TAIL(&host->ready, conn, queue);
        conn->queued = true;
    }
}

void turn_begin(struct turn *turn, struct conn *conn, uint32_t now_s)
{
    struct conn_host *host = conn->host;

    *turn = (struct turn){
        .conn = conn,
        .host = host,
        .from = &conn->input,
        .shared = {.data = host->input, .capacity = LIMITS_INPUT_BYTES},
        .now_s = now_s,
        .quota = host->requests_max,
        .first = true,
    };
    note_doing(turn, CONN_IS_WORKING);
}

void turn_take(struct conn *conn, bool readable)
{
    struct conn_host *host = conn->host;
    struct turn turn;

    assert(host->reply.used == 0 && gather_waiting(host->gather) == 0);
    turn_begin(&turn, conn, clock_now_s(host->clock));
    if (conn->queued) {
        TAILQ_REMOVE(&host->ready, conn, queue);
        conn->queued = false;
    }
    enum progress progress = drain(&turn);
    if (progress == PROGRESS_GO_ON) {
        progress = turn_run(&turn);
    }
    if (progress == PROGRESS_STARVED && (readable || goes_on(conn)) && !conn->eof) {
        progress = read_and_run(&turn);
    }
    turn_finish(&turn, progress);
}
