#include "server/net/udp.h"

#include "protocol/datagram.h"
#include "protocol/parse.h"
#include "server/clock.h"
#include "server/command.h"
#include "server/counters.h"
#include "server/limits.h"
#include "server/net/gather.h"

#include <event2/event.h>

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/uio.h>

#define TOO_LARGE "SERVER_ERROR reply too large"

struct udp {
    struct conn_host *host;
    struct event *event;
};

/* One datagram being answered. */
struct task {
    struct conn_host *host;
    struct protocol_reply reply;
    uint32_t now_s;
    bool too_large;
};

/* A line that answers what is not carried out here. False: there is no room for it. */
static bool refuse(struct task *task, const char *error)
{
    task->too_large = error != NULL && !protocol_reply_line(&task->reply, error);
    return !task->too_large;
}

/* False: what follows in the datagram is not looked at. */
static bool execute(struct task *task, struct protocol_request *request)
{
    size_t room_bytes = 0;
    enum command_outcome outcome = COMMAND_MORE;

    while (outcome == COMMAND_MORE) {
        outcome =
            command_execute(task->host->command, request, &task->reply, task->now_s, &room_bytes);
    }
    switch (outcome) {
    case COMMAND_DONE:
        return true;
    case COMMAND_NEEDS_ROOM:
    case COMMAND_PAUSE:
        command_forget(task->host->command, request);
        task->too_large = true;
        break;
    case COMMAND_SHUTDOWN:
        task->host->on_shutdown(false);
        break;
    case COMMAND_SHUTDOWN_GRACEFUL:
        task->host->on_shutdown(true);
        break;
    case COMMAND_WATCH:
        return refuse(task, "ERROR"); /* there is no connection to be told over */
    case COMMAND_MORE:
    case COMMAND_CLOSE:
        break;
    }
    return false;
}

/* Carries out all commands of a datagram; one that is not whole is none. */
static void run(struct task *task, struct protocol_slice data)
{
    bool first = true, go_on = true;

    while (go_on && data.bytes > 0) {
        struct protocol_parsed parsed;
        const enum protocol_result result =
            protocol_parse(data.data, data.bytes, task->host->value_bytes_max, &parsed);
        if (result == PROTOCOL_REQUEST) {
            go_on = execute(task, &parsed.request);
        } else {
            go_on = result == PROTOCOL_ERROR && !first && refuse(task, parsed.error);
        }
        if (go_on) {
            const size_t rest = data.bytes - parsed.used;
            const size_t gone = parsed.used + (parsed.swallow < rest ? parsed.swallow : rest);
            data.data += gone;
            data.bytes -= gone;
        }
        first = false;
    }
}

static void send_reply(const struct task *task, int fd, uint16_t id, struct sockaddr_storage *to,
                       socklen_t to_bytes)
{
    const size_t datagrams = protocol_datagram_count(task->reply.used);

    for (size_t i = 0; i < datagrams; i++) {
        const size_t at = i * PROTOCOL_DATAGRAM_DATA_BYTES;
        const size_t rest = task->reply.used - at;
        uint8_t header[PROTOCOL_DATAGRAM_HEADER_BYTES];
        struct iovec parts[2] = {
            {header, sizeof(header)},
            {task->reply.data + at,
             rest < PROTOCOL_DATAGRAM_DATA_BYTES ? rest : PROTOCOL_DATAGRAM_DATA_BYTES},
        };
        const struct msghdr message = {
            .msg_name = to, .msg_namelen = to_bytes, .msg_iov = parts, .msg_iovlen = 2};
        protocol_datagram_header(header, id, i, datagrams);
        const ssize_t sent = sendmsg(fd, &message, MSG_NOSIGNAL | MSG_DONTWAIT);
        if (sent < 0) {
            return;
        }
        counters_add(task->host->counters, COUNTER_BYTES_WRITTEN, (uint64_t)sent);
    }
}

static void answer(struct conn_host *host, int fd, size_t count, struct sockaddr_storage *from,
                   socklen_t from_bytes)
{
    const size_t room = protocol_datagram_room(count);
    struct protocol_slice data;
    struct task task = {
        .host = host,
        .reply = {.data = host->output, .capacity = LIMITS_OUTPUT_BYTES},
        .now_s = clock_now_s(host->clock),
    };
    uint16_t id;

    assert(host->reply.used == 0);
    if (!protocol_datagram_open(host->input, count, &id, &data)) {
        return;
    }
    run(&task, data);
    if (task.too_large || task.reply.used > room) {
        task.reply.used = 0;
        const bool written = protocol_reply_line(&task.reply, TOO_LARGE);
        assert(written);
    }
    if (task.reply.used <= room) {
        send_reply(&task, fd, id, from, from_bytes);
    }
}

static void on_datagrams(evutil_socket_t fd, short what, void *context)
{
    const struct udp *udp = context;
    struct conn_host *host = udp->host;

    (void)what;
    gather_serve(host); /* the input and the output are needed */
    for (unsigned i = 0; i < LIMITS_DATAGRAMS_PER_EVENT; i++) {
        struct sockaddr_storage from = {0};
        socklen_t from_bytes = sizeof(from);
        const ssize_t count = recvfrom(fd, host->input, LIMITS_INPUT_BYTES, MSG_DONTWAIT,
                                       (struct sockaddr *)&from, &from_bytes);
        if (count < 0) {
            return; /* none is left; or one of ours had come to nobody, which is no matter */
        }
        counters_add(host->counters, COUNTER_BYTES_READ, (uint64_t)count);
        answer(host, fd, (size_t)count, &from, from_bytes);
    }
}

struct udp *udp_new(struct conn_host *host, int fd)
{
    struct udp *udp = calloc(1, sizeof(*udp));

    if (udp == NULL) {
        return NULL;
    }
    udp->host = host;
    udp->event = event_new(host->base, fd, EV_READ | EV_PERSIST, on_datagrams, udp);
    if (udp->event == NULL || event_add(udp->event, NULL) != 0) {
        udp_free(udp);
        return NULL;
    }
    return udp;
}

void udp_free(struct udp *udp)
{
    if (udp == NULL) {
        return;
    }
    if (udp->event != NULL) {
        event_free(udp->event);
    }
    free(udp);
}
