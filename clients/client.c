#include "clients/client_inside.h"

#include <assert.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

/* Room for what stands around a key in a command line: words and four numbers of 20 digits. */
#define AROUND_BYTES_MAX 128u

static const struct {
    const char *word;
    enum client_status status;
} REPLY_WORDS[] = {
    {"STORED", CLIENT_OK},     {"NOT_STORED", CLIENT_NOT_STORED},
    {"EXISTS", CLIENT_EXISTS}, {"NOT_FOUND", CLIENT_NOT_FOUND},
    {"DELETED", CLIENT_OK},    {"TOUCHED", CLIENT_OK},
    {"OK", CLIENT_OK},         {"RESET", CLIENT_OK},
};

/* A line is refused where it starts with one of these and then ends or goes on after a blank or a
 * colon. */
static const char *const REFUSALS[] = {"ERROR", "CLIENT_ERROR", "SERVER_ERROR"};

static const char *const MODE_WORDS[] = {
    [CLIENT_SET] = "set",       [CLIENT_ADD] = "add",         [CLIENT_REPLACE] = "replace",
    [CLIENT_APPEND] = "append", [CLIENT_PREPEND] = "prepend", [CLIENT_CAS] = "cas",
};

#define COUNT_OF(array) (sizeof(array) / sizeof((array)[0]))

const char *client_status_text(enum client_status status)
{
    static const char *const TEXTS[] = {
        [CLIENT_OK] = "ok",
        [CLIENT_END] = "end of the list",
        [CLIENT_NOT_FOUND] = "not found",
        [CLIENT_NOT_STORED] = "not stored",
        [CLIENT_EXISTS] = "stored by somebody else since",
        [CLIENT_REFUSED] = "refused by the server",
        [CLIENT_BAD_KEY] = "bad key",
        [CLIENT_UNEXPECTED] = "unexpected reply",
        [CLIENT_UNREACHABLE] = "server not reachable",
        [CLIENT_TLS_FAILED] = "no TLS connection",
        [CLIENT_TIMEOUT] = "timed out",
        [CLIENT_CLOSED] = "connection closed",
        [CLIENT_NO_MEMORY] = "out of memory",
        [CLIENT_SYSTEM] = "system error",
    };
    assert((size_t)status < COUNT_OF(TEXTS));
    return TEXTS[status];
}

/* --- the connection --- */

struct client *client_new(void)
{
    struct client *client = calloc(1, sizeof(*client));
    if (client == NULL)
        return NULL;
    if (client_socket_init(&client->sock)) {
        client->timeout_ms = 1000;
        return client;
    }
    free(client);
    return NULL;
}

void client_free(struct client *client)
{
    if (client == NULL)
        return;
    client_socket_fini(&client->sock);
    client_tls_context_free(client->tls);
    free(client);
}

enum client_status client_use_tls(struct client *client, const struct client_tls_how *how)
{
    client_close(client);
    client_tls_context_free(client->tls);
    client->tls = client_tls_context_new(how, client->text);
    return client->tls != NULL ? CLIENT_OK : CLIENT_TLS_FAILED;
}

enum client_status client_connect_tcp(struct client *client, const char *host, uint16_t port,
                                      int timeout_ms)
{
    client_close(client);
    client_set_timeout(client, timeout_ms);
    struct client_deadline deadline = client_deadline_in(timeout_ms);
    enum client_status status = client_socket_connect_tcp(&client->sock, host, port, deadline);
    if (status == CLIENT_OK && client->tls != NULL)
        status = client_tls_connect(client->tls, client->sock.descriptor, host, deadline,
                                    client->text, &client->sock.tls);
    return client_settle(client, status);
}

enum client_status client_connect_unix(struct client *client, const char *path, int timeout_ms)
{
    client_close(client);
    client_set_timeout(client, timeout_ms);
    return client_socket_connect_unix(&client->sock, path, client_deadline_in(timeout_ms));
}

void client_set_timeout(struct client *client, int timeout_ms)
{
    assert(timeout_ms > 0);
    client->timeout_ms = timeout_ms;
}

void client_close(struct client *client)
{
    client_socket_close(&client->sock);
    client->text[0] = '\0';
}

bool client_connected(const struct client *client)
{
    return client->sock.descriptor >= 0;
}

int client_descriptor(const struct client *client)
{
    return client->sock.descriptor;
}

const char *client_text(const struct client *client)
{
    return client->text;
}

struct client_deadline client_deadline_of(const struct client *client)
{
    return client_deadline_in(client->timeout_ms);
}

/* --- bytes --- */

enum client_status client_queue(struct client *client, const void *data, size_t bytes)
{
    return client_socket_queue(&client->sock, data, bytes);
}

enum client_status client_flush(struct client *client)
{
    return client_socket_flush(&client->sock, client_deadline_of(client));
}

enum client_status client_shutdown_send(struct client *client)
{
    if (!client_connected(client))
        return CLIENT_CLOSED;
    if (client->sock.tls != NULL)
        return client_tls_shutdown(client->sock.tls);
    return shutdown(client->sock.descriptor, SHUT_WR) == 0 ? CLIENT_OK : CLIENT_SYSTEM;
}

enum client_status client_await_line(struct client *client, struct client_deadline deadline,
                                     size_t *line_bytes)
{
    size_t searched = 0;
    for (;;) {
        const uint8_t *unread = client_socket_unread(&client->sock);
        size_t bytes = client_socket_unread_bytes(&client->sock);
        const uint8_t *end = memchr(unread + searched, '\n', bytes - searched);
        if (end != NULL && (size_t)(end - unread) < CLIENT_LINE_BYTES_MAX) {
            *line_bytes = (size_t)(end - unread) + 1;
            return CLIENT_OK;
        }
        if (end != NULL || bytes >= CLIENT_LINE_BYTES_MAX)
            return CLIENT_UNEXPECTED;
        searched = bytes;
        enum client_status status = client_socket_fill(&client->sock, bytes + 1, deadline);
        if (status != CLIENT_OK)
            return status;
    }
}

struct client_slice client_line_slice(const struct client *client, size_t line_bytes)
{
    struct client_slice line = {client_socket_unread(&client->sock), line_bytes - 1};
    if (line.bytes > 0 && line.data[line.bytes - 1] == '\r')
        line.bytes--;
    return line;
}

static enum client_status take_line(struct client *client, struct client_deadline deadline,
                                    struct client_slice *line)
{
    size_t line_bytes;
    enum client_status status = client_await_line(client, deadline, &line_bytes);
    if (status != CLIENT_OK)
        return status;
    *line = client_line_slice(client, line_bytes);
    client_socket_consume(&client->sock, line_bytes);
    return CLIENT_OK;
}

enum client_status client_receive_line(struct client *client, struct client_slice *line)
{
    return take_line(client, client_deadline_of(client), line);
}

enum client_status client_receive_bytes(struct client *client, size_t bytes,
                                        struct client_slice *slice)
{
    if (bytes > CLIENT_VALUE_BYTES_MAX)
        return CLIENT_NO_MEMORY;
    enum client_status status =
        client_socket_fill(&client->sock, bytes, client_deadline_of(client));
    if (status != CLIENT_OK)
        return status;
    *slice = (struct client_slice){client_socket_unread(&client->sock), bytes};
    client_socket_consume(&client->sock, bytes);
    return CLIENT_OK;
}

enum client_status client_receive_some(struct client *client, struct client_slice *slice)
{
    enum client_status status = client_socket_fill(&client->sock, 1, client_deadline_of(client));
    if (status != CLIENT_OK)
        return status;
    *slice = (struct client_slice){client_socket_unread(&client->sock),
                                   client_socket_unread_bytes(&client->sock)};
    return CLIENT_OK;
}

void client_consume(struct client *client, size_t bytes)
{
    client_socket_consume(&client->sock, bytes);
}

/* --- replies --- */

bool client_slice_is(struct client_slice slice, const char *word)
{
    return slice.bytes == strlen(word) && memcmp(slice.data, word, slice.bytes) == 0;
}

static void keep_text(struct client *client, struct client_slice line)
{
    size_t bytes = line.bytes < CLIENT_TEXT_BYTES_MAX ? line.bytes : CLIENT_TEXT_BYTES_MAX - 1;
    memcpy(client->text, line.data, bytes);
    client->text[bytes] = '\0';
}

enum client_status client_line_status(struct client *client, struct client_slice line)
{
    for (size_t i = 0; i < COUNT_OF(REPLY_WORDS); i++) {
        if (client_slice_is(line, REPLY_WORDS[i].word))
            return REPLY_WORDS[i].status;
    }
    keep_text(client, line);
    for (size_t i = 0; i < COUNT_OF(REFUSALS); i++) {
        size_t bytes = strlen(REFUSALS[i]);
        if (line.bytes < bytes || memcmp(line.data, REFUSALS[i], bytes) != 0)
            continue;
        if (line.bytes == bytes || line.data[bytes] == ' ' || line.data[bytes] == ':')
            return CLIENT_REFUSED;
    }
    return CLIENT_UNEXPECTED;
}

enum client_status client_settle(struct client *client, enum client_status status)
{
    switch (status) {
    case CLIENT_UNEXPECTED:
    case CLIENT_UNREACHABLE:
    case CLIENT_TLS_FAILED:
    case CLIENT_TIMEOUT:
    case CLIENT_CLOSED:
    case CLIENT_NO_MEMORY:
    case CLIENT_SYSTEM:
        client_socket_close(&client->sock);
        break;
    case CLIENT_OK:
    case CLIENT_END:
    case CLIENT_NOT_FOUND:
    case CLIENT_NOT_STORED:
    case CLIENT_EXISTS:
    case CLIENT_REFUSED:
    case CLIENT_BAD_KEY:
        break;
    }
    return status;
}

enum client_status client_read_reply(struct client *client)
{
    struct client_slice line;
    enum client_status status = take_line(client, client_deadline_of(client), &line);
    if (status == CLIENT_OK)
        status = client_line_status(client, line);
    return client_settle(client, status);
}

bool client_next_word(struct client_slice *rest, struct client_slice *word)
{
    while (rest->bytes > 0 && rest->data[0] == ' ') {
        rest->data++;
        rest->bytes--;
    }
    if (rest->bytes == 0)
        return false;
    const uint8_t *blank = memchr(rest->data, ' ', rest->bytes);
    size_t bytes = blank != NULL ? (size_t)(blank - rest->data) : rest->bytes;
    *word = (struct client_slice){rest->data, bytes};
    rest->data += bytes;
    rest->bytes -= bytes;
    return true;
}

bool client_slice_number(struct client_slice slice, uint64_t max, uint64_t *number)
{
    if (slice.bytes == 0)
        return false;
    uint64_t sum = 0;
    for (size_t i = 0; i < slice.bytes; i++) {
        if (slice.data[i] < '0' || slice.data[i] > '9')
            return false;
        uint64_t digit = (uint64_t)(slice.data[i] - '0');
        if (sum > (max - digit) / 10)
            return false;
        sum = sum * 10 + digit;
    }
    *number = sum;
    return true;
}

enum client_status client_read_number(struct client *client, uint64_t *number)
{
    struct client_slice line;
    enum client_status status = take_line(client, client_deadline_of(client), &line);
    if (status != CLIENT_OK)
        return client_settle(client, status);
    if (client_slice_number(line, UINT64_MAX, number))
        return CLIENT_OK;
    status = client_line_status(client, line);
    if (status != CLIENT_NOT_FOUND && status != CLIENT_REFUSED)
        status = CLIENT_UNEXPECTED;
    return client_settle(client, status);
}

/* "VALUE key flags bytes [cas]". */
static bool parse_value_line(struct client_slice line, struct client_value *value,
                             size_t *data_bytes)
{
    struct client_slice rest = line;
    struct client_slice word;
    uint64_t flags;
    uint64_t bytes;
    if (!client_next_word(&rest, &word) || !client_slice_is(word, "VALUE") ||
        !client_next_word(&rest, &value->key) || value->key.bytes > CLIENT_KEY_BYTES_MAX)
        return false;
    if (!client_next_word(&rest, &word) || !client_slice_number(word, UINT32_MAX, &flags))
        return false;
    if (!client_next_word(&rest, &word) ||
        !client_slice_number(word, CLIENT_VALUE_BYTES_MAX, &bytes))
        return false;
    value->cas = 0;
    if (client_next_word(&rest, &word) && !client_slice_number(word, UINT64_MAX, &value->cas))
        return false;
    value->flags = (uint32_t)flags;
    *data_bytes = (size_t)bytes;
    return !client_next_word(&rest, &word);
}

/*
 * One value, or CLIENT_END, and where @closing the END line that must follow a value. All of it is
 * awaited before any slice is made, since awaiting moves bytes.
 */
static enum client_status take_value(struct client *client, bool closing,
                                     struct client_value *value)
{
    static const char END_LINE[] = "\r\nEND\r\n"; /* with the \r\n that ends the data */
    struct client_deadline deadline = client_deadline_of(client);
    size_t line_bytes;
    enum client_status status = client_await_line(client, deadline, &line_bytes);
    if (status != CLIENT_OK)
        return status;

    size_t data_bytes;
    struct client_slice line = client_line_slice(client, line_bytes);
    if (!parse_value_line(line, value, &data_bytes)) {
        status = client_slice_is(line, "END") ? CLIENT_END : client_line_status(client, line);
        client_socket_consume(&client->sock, line_bytes);
        return status == CLIENT_END || status == CLIENT_REFUSED ? status : CLIENT_UNEXPECTED;
    }
    size_t key_at = (size_t)(value->key.data - line.data);
    size_t tail_bytes = closing ? strlen(END_LINE) : 2;
    status = client_socket_fill(&client->sock, line_bytes + data_bytes + tail_bytes, deadline);
    if (status != CLIENT_OK)
        return status;

    const uint8_t *unread = client_socket_unread(&client->sock);
    if (memcmp(unread + line_bytes + data_bytes, END_LINE, tail_bytes) != 0)
        return CLIENT_UNEXPECTED;
    value->data = (struct client_slice){unread + line_bytes, data_bytes};
    value->key.data = unread + key_at;
    client_socket_consume(&client->sock, line_bytes + data_bytes + tail_bytes);
    return CLIENT_OK;
}

enum client_status client_read_value(struct client *client, struct client_value *value)
{
    return client_settle(client, take_value(client, false, value));
}

enum client_status client_read_stat(struct client *client, struct client_stat *stat)
{
    struct client_slice line;
    enum client_status status = take_line(client, client_deadline_of(client), &line);
    if (status != CLIENT_OK)
        return client_settle(client, status);
    struct client_slice rest = line;
    struct client_slice word;
    if (client_next_word(&rest, &word) && client_slice_is(word, "STAT") &&
        client_next_word(&rest, &stat->name)) {
        bool blank = rest.bytes > 0;
        stat->value = (struct client_slice){rest.data + blank, rest.bytes - blank};
        return CLIENT_OK;
    }
    bool over = client_slice_is(line, "END") || client_slice_is(line, "RESET");
    status = over ? CLIENT_END : client_line_status(client, line);
    if (status != CLIENT_END && status != CLIENT_REFUSED)
        status = CLIENT_UNEXPECTED;
    return client_settle(client, status);
}

/* --- requests --- */

bool client_key_is_good(const void *key, size_t key_bytes)
{
    const uint8_t *byte = key;
    if (key_bytes == 0 || key_bytes > CLIENT_KEY_BYTES_MAX)
        return false;
    for (size_t i = 0; i < key_bytes; i++) {
        if (byte[i] <= ' ' || byte[i] == 0x7f)
            return false;
    }
    return true;
}

/* A reply nobody has read would be taken for the one to come. */
static enum client_status begin_request(struct client *client)
{
    client->text[0] = '\0';
    if (!client_connected(client))
        return CLIENT_CLOSED;
    return client_socket_unread_bytes(&client->sock) == 0
               ? CLIENT_OK
               : client_settle(client, CLIENT_UNEXPECTED);
}

/* Queues "<before> <key><after>". */
static enum client_status queue_line(struct client *client, const char *before, const void *key,
                                     size_t key_bytes, const char *after)
{
    enum client_status status = client_queue(client, before, strlen(before));
    if (status == CLIENT_OK)
        status = client_queue(client, " ", 1);
    if (status == CLIENT_OK)
        status = client_queue(client, key, key_bytes);
    if (status == CLIENT_OK)
        status = client_queue(client, after, strlen(after));
    return status;
}

/* Sends a request of one line that has one key. */
static enum client_status send_line(struct client *client, const char *before, const void *key,
                                    size_t key_bytes, const char *after)
{
    if (!client_key_is_good(key, key_bytes))
        return CLIENT_BAD_KEY;
    enum client_status status = begin_request(client);
    if (status == CLIENT_OK)
        status = client_settle(client, queue_line(client, before, key, key_bytes, after));
    if (status == CLIENT_OK)
        status = client_settle(client, client_flush(client));
    return status;
}

/* Sends a request of one line without a key. */
static enum client_status send_words(struct client *client, const char *words)
{
    enum client_status status = begin_request(client);
    if (status == CLIENT_OK)
        status = client_settle(client, client_queue(client, words, strlen(words)));
    if (status == CLIENT_OK)
        status = client_settle(client, client_flush(client));
    return status;
}

enum client_status client_queue_store(struct client *client, enum client_mode mode,
                                      const struct client_item *item)
{
    assert((size_t)mode < COUNT_OF(MODE_WORDS));
    if (!client_key_is_good(item->key, item->key_bytes))
        return CLIENT_BAD_KEY;
    if (item->value_bytes > CLIENT_VALUE_BYTES_MAX)
        return CLIENT_NO_MEMORY;

    char after[AROUND_BYTES_MAX];
    int used = snprintf(after, sizeof(after), " %" PRIu32 " %" PRId64 " %zu", item->flags,
                        item->exptime_s, item->value_bytes);
    assert(used > 0 && (size_t)used < sizeof(after));
    if (mode == CLIENT_CAS)
        (void)snprintf(after + used, sizeof(after) - (size_t)used, " %" PRIu64 "\r\n", item->cas);
    else
        (void)snprintf(after + used, sizeof(after) - (size_t)used, "\r\n");

    enum client_status status =
        queue_line(client, MODE_WORDS[mode], item->key, item->key_bytes, after);
    if (status == CLIENT_OK)
        status = client_queue(client, item->value, item->value_bytes);
    if (status == CLIENT_OK)
        status = client_queue(client, "\r\n", 2);
    return client_settle(client, status);
}

enum client_status client_store(struct client *client, enum client_mode mode,
                                const struct client_item *item)
{
    if (!client_key_is_good(item->key, item->key_bytes))
        return CLIENT_BAD_KEY;
    enum client_status status = begin_request(client);
    if (status == CLIENT_OK)
        status = client_queue_store(client, mode, item);
    if (status == CLIENT_OK)
        status = client_settle(client, client_flush(client));
    return status == CLIENT_OK ? client_read_reply(client) : status;
}

enum client_status client_login(struct client *client, const char *user, const char *password)
{
    char line[CLIENT_LOGIN_BYTES_MAX];
    int bytes = snprintf(line, sizeof(line), "%s %s", user, password);
    if (bytes < 0 || (size_t)bytes >= sizeof(line))
        return CLIENT_NO_MEMORY;
    /* A server without passwords takes it for an item: expired at once, it is not kept. */
    struct client_item item = {
        .key = "login",
        .key_bytes = 5,
        .value = line,
        .value_bytes = (size_t)bytes,
        .exptime_s = -1,
    };
    return client_store(client, CLIENT_SET, &item);
}

/* The reply to a request for one item. */
static enum client_status read_one_value(struct client *client, struct client_value *value)
{
    enum client_status status = take_value(client, true, value);
    return status == CLIENT_END ? CLIENT_NOT_FOUND : client_settle(client, status);
}

enum client_status client_get(struct client *client, const void *key, size_t key_bytes,
                              struct client_value *value)
{
    enum client_status status = send_line(client, "get", key, key_bytes, "\r\n");
    return status == CLIENT_OK ? read_one_value(client, value) : status;
}

enum client_status client_gets(struct client *client, const void *key, size_t key_bytes,
                               struct client_value *value)
{
    enum client_status status = send_line(client, "gets", key, key_bytes, "\r\n");
    return status == CLIENT_OK ? read_one_value(client, value) : status;
}

enum client_status client_gat(struct client *client, const void *key, size_t key_bytes,
                              int64_t exptime_s, struct client_value *value)
{
    char before[AROUND_BYTES_MAX];
    (void)snprintf(before, sizeof(before), "gat %" PRId64, exptime_s);
    enum client_status status = send_line(client, before, key, key_bytes, "\r\n");
    return status == CLIENT_OK ? read_one_value(client, value) : status;
}

enum client_status client_get_many(struct client *client, bool with_cas,
                                   const struct client_slice *keys, size_t keys_count)
{
    assert(keys_count > 0);
    for (size_t i = 0; i < keys_count; i++) {
        if (!client_key_is_good(keys[i].data, keys[i].bytes))
            return CLIENT_BAD_KEY;
    }
    enum client_status status = begin_request(client);
    if (status != CLIENT_OK)
        return status;
    const char *verb = with_cas ? "gets" : "get";
    status = client_queue(client, verb, strlen(verb));
    for (size_t i = 0; i < keys_count && status == CLIENT_OK; i++)
        status = queue_line(client, "", keys[i].data, keys[i].bytes, "");
    if (status == CLIENT_OK)
        status = client_queue(client, "\r\n", 2);
    if (status == CLIENT_OK)
        status = client_flush(client);
    return client_settle(client, status);
}

enum client_status client_delete(struct client *client, const void *key, size_t key_bytes)
{
    enum client_status status = send_line(client, "delete", key, key_bytes, "\r\n");
    return status == CLIENT_OK ? client_read_reply(client) : status;
}

enum client_status client_touch(struct client *client, const void *key, size_t key_bytes,
                                int64_t exptime_s)
{
    char after[AROUND_BYTES_MAX];
    (void)snprintf(after, sizeof(after), " %" PRId64 "\r\n", exptime_s);
    enum client_status status = send_line(client, "touch", key, key_bytes, after);
    return status == CLIENT_OK ? client_read_reply(client) : status;
}

static enum client_status arith(struct client *client, const char *verb, const void *key,
                                size_t key_bytes, uint64_t delta, uint64_t *value)
{
    char after[AROUND_BYTES_MAX];
    (void)snprintf(after, sizeof(after), " %" PRIu64 "\r\n", delta);
    enum client_status status = send_line(client, verb, key, key_bytes, after);
    return status == CLIENT_OK ? client_read_number(client, value) : status;
}

enum client_status client_incr(struct client *client, const void *key, size_t key_bytes,
                               uint64_t delta, uint64_t *value)
{
    return arith(client, "incr", key, key_bytes, delta, value);
}

enum client_status client_decr(struct client *client, const void *key, size_t key_bytes,
                               uint64_t delta, uint64_t *value)
{
    return arith(client, "decr", key, key_bytes, delta, value);
}

enum client_status client_flush_all(struct client *client, uint32_t delay_s)
{
    char words[AROUND_BYTES_MAX];
    (void)snprintf(words, sizeof(words), "flush_all %" PRIu32 "\r\n", delay_s);
    enum client_status status = send_words(client, words);
    return status == CLIENT_OK ? client_read_reply(client) : status;
}

enum client_status client_version(struct client *client, struct client_slice *version)
{
    static const char BEFORE[] = "VERSION ";
    size_t before_bytes = strlen(BEFORE);
    enum client_status status = send_words(client, "version\r\n");
    if (status != CLIENT_OK)
        return status;
    struct client_slice line;
    status = take_line(client, client_deadline_of(client), &line);
    if (status != CLIENT_OK)
        return client_settle(client, status);
    if (line.bytes > before_bytes && memcmp(line.data, BEFORE, before_bytes) == 0) {
        *version = (struct client_slice){line.data + before_bytes, line.bytes - before_bytes};
        return CLIENT_OK;
    }
    status = client_line_status(client, line);
    return client_settle(client, status == CLIENT_REFUSED ? status : CLIENT_UNEXPECTED);
}

enum client_status client_stats(struct client *client, const char *section)
{
    char words[AROUND_BYTES_MAX];
    const char *blank = section[0] != '\0' ? " " : "";
    int bytes = snprintf(words, sizeof(words), "stats%s%s\r\n", blank, section);
    assert(bytes > 0);
    if ((size_t)bytes >= sizeof(words) || strpbrk(section, "\r\n") != NULL)
        return CLIENT_BAD_KEY;
    return send_words(client, words);
}
