#include "clients/client_inside.h"

#include <assert.h>
#include <stdio.h>
#include <string.h>

/* " 1073741824 ": how many bytes a value has. */
#define SIZE_BYTES_MAX   32u
/* Bytes of a key whose base64 is as long as the protocol takes keys. */
#define BINARY_BYTES_MAX (CLIENT_KEY_BYTES_MAX / 4 * 3)
#define BASE64_BYTES_MAX (BINARY_BYTES_MAX / 3 * 4)

#define COUNT_OF(array)  (sizeof(array) / sizeof((array)[0]))

/* RFC 4648, padded. Returns the length. */
static size_t to_base64(const uint8_t *bytes, size_t count, char text[BASE64_BYTES_MAX])
{
    static const char DIGITS[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    size_t used = 0;
    assert(count <= BINARY_BYTES_MAX);
    for (size_t i = 0; i < count; i += 3) {
        const size_t left = count - i;
        const uint32_t three = (uint32_t)bytes[i] << 16 |
                               (left > 1 ? (uint32_t)bytes[i + 1] << 8 : 0) |
                               (left > 2 ? (uint32_t)bytes[i + 2] : 0);
        text[used++] = DIGITS[three >> 18];
        text[used++] = DIGITS[three >> 12 & 63];
        text[used++] = left > 1 ? DIGITS[three >> 6 & 63] : '=';
        text[used++] = left > 2 ? DIGITS[three & 63] : '=';
    }
    return used;
}

enum client_status client_queue_meta(struct client *client, const char *word, const void *key,
                                     size_t key_bytes, const struct client_slice *value,
                                     const char *flags)
{
    char text[BASE64_BYTES_MAX];
    char size[SIZE_BYTES_MAX] = " ";
    const char *end = "\r\n";
    if (key_bytes == 0)
        return CLIENT_BAD_KEY;
    if (!client_key_is_good(key, key_bytes)) {
        if (key_bytes > BINARY_BYTES_MAX)
            return CLIENT_BAD_KEY;
        key_bytes = to_base64(key, key_bytes, text);
        key = text;
        end = " b\r\n";
    }
    if (value != NULL && value->bytes > CLIENT_VALUE_BYTES_MAX)
        return CLIENT_NO_MEMORY;
    if (value != NULL)
        (void)snprintf(size, sizeof(size), " %zu ", value->bytes);

    const struct client_slice parts[] = {
        {(const uint8_t *)word, strlen(word)},
        {(const uint8_t *)" ", 1},
        {key, key_bytes},
        {(const uint8_t *)size, strlen(size)},
        {(const uint8_t *)flags, strlen(flags)},
        {(const uint8_t *)end, strlen(end)},
        {value != NULL ? value->data : NULL, value != NULL ? value->bytes : 0},
        {(const uint8_t *)"\r\n", value != NULL ? 2 : 0},
    };
    enum client_status status = CLIENT_OK;
    for (size_t i = 0; i < COUNT_OF(parts) && status == CLIENT_OK; i++)
        status = client_queue(client, parts[i].data, parts[i].bytes);
    return client_settle(client, status);
}

static const struct {
    const char *word;
    enum client_status status;
} META_WORDS[] = {
    {"HD", CLIENT_OK},        {"VA", CLIENT_OK},         {"EN", CLIENT_NOT_FOUND},
    {"NF", CLIENT_NOT_FOUND}, {"NS", CLIENT_NOT_STORED}, {"EX", CLIENT_EXISTS},
};

/* The reply's line; @data_bytes: of the value that follows it, its end with it. */
static enum client_status parse_line(struct client *client, struct client_slice line,
                                     struct client_meta *reply, size_t *data_bytes)
{
    struct client_slice rest = line;
    struct client_slice word = {NULL, 0};
    uint64_t bytes;
    size_t i = 0;
    (void)client_next_word(&rest, &word);
    while (i < COUNT_OF(META_WORDS) && !client_slice_is(word, META_WORDS[i].word))
        i++;
    if (i == COUNT_OF(META_WORDS)) {
        const enum client_status status = client_line_status(client, line);
        return status == CLIENT_REFUSED ? status : CLIENT_UNEXPECTED;
    }
    *data_bytes = 0;
    if (client_slice_is(word, "VA")) {
        if (!client_next_word(&rest, &word) ||
            !client_slice_number(word, CLIENT_VALUE_BYTES_MAX, &bytes))
            return CLIENT_UNEXPECTED;
        *data_bytes = (size_t)bytes + 2;
    }
    if (rest.bytes >= sizeof(reply->flags))
        return CLIENT_UNEXPECTED;
    memcpy(reply->flags, rest.data, rest.bytes);
    reply->flags[rest.bytes] = '\0';
    return META_WORDS[i].status;
}

enum client_status client_read_meta(struct client *client, struct client_meta *reply)
{
    const struct client_deadline deadline = client_deadline_of(client);
    size_t line_bytes;
    size_t data_bytes = 0;
    reply->data = (struct client_slice){NULL, 0};
    enum client_status status = client_await_line(client, deadline, &line_bytes);
    if (status != CLIENT_OK)
        return client_settle(client, status);
    status = parse_line(client, client_line_slice(client, line_bytes), reply, &data_bytes);
    if (status == CLIENT_UNEXPECTED)
        return client_settle(client, status);
    if (data_bytes > 0) {
        status = client_socket_fill(&client->sock, line_bytes + data_bytes, deadline);
        if (status != CLIENT_OK)
            return client_settle(client, status);
        reply->data =
            (struct client_slice){client_socket_unread(&client->sock) + line_bytes, data_bytes - 2};
        if (memcmp(reply->data.data + reply->data.bytes, "\r\n", 2) != 0)
            status = CLIENT_UNEXPECTED;
    }
    client_socket_consume(&client->sock, line_bytes + data_bytes);
    return client_settle(client, status);
}

bool client_meta_number(const struct client_meta *reply, char letter, int64_t *number)
{
    struct client_slice rest = {(const uint8_t *)reply->flags, strlen(reply->flags)};
    struct client_slice word;
    uint64_t size;
    while (client_next_word(&rest, &word)) {
        if (word.data[0] != (uint8_t)letter)
            continue;
        const bool below = word.bytes > 1 && word.data[1] == '-';
        word.data += 1 + below;
        word.bytes -= 1u + below;
        if (!client_slice_number(word, INT64_MAX, &size))
            return false;
        *number = below ? -(int64_t)size : (int64_t)size;
        return true;
    }
    return false;
}
