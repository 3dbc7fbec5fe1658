#include "protocol/parse.h"

#include "protocol/classic.h"
#include "protocol/meta.h"
#include "protocol/token.h"

#include <assert.h>
#include <string.h>

/* The longest line that may start this way. Bytes that have not come cannot matter: the shorter
 * limit is itself longer than what is compared. */
static size_t line_bytes_max(const uint8_t *bytes, size_t count)
{
    const bool get = count >= 5 && memcmp(bytes, "get", 3) == 0 &&
                     (bytes[3] == ' ' || (bytes[3] == 's' && bytes[4] == ' '));
    return get ? PROTOCOL_GET_LINE_BYTES_MAX : PROTOCOL_LINE_BYTES_MAX;
}

static enum protocol_result refuse(struct protocol_parsed *parsed, const char *error)
{
    parsed->error = error;
    return PROTOCOL_ERROR;
}

/* A line whose first word no family knows. */
static enum protocol_result parse_unknown(struct protocol_slice line,
                                          struct protocol_parsed *parsed)
{
    const struct protocol_slice last = protocol_token_last(line);

    if (parsed->used < 4) {
        return refuse(parsed, PROTOCOL_BAD_LINE);
    }
    if (last.bytes >= 5 && memcmp(last.data, "HTTP/", 5) == 0) {
        return PROTOCOL_CLOSE;
    }
    return refuse(parsed, "ERROR");
}

/* The data block that request.value.bytes announces, from the byte after the line on. */
static enum protocol_result parse_data(uint8_t *bytes, size_t count, size_t value_bytes_max,
                                       struct protocol_parsed *parsed)
{
    struct protocol_request *request = &parsed->request;
    const size_t value_bytes = request->value.bytes;

    if (value_bytes > value_bytes_max) {
        request->too_large = true;
        request->value.bytes = 0;
        parsed->swallow = value_bytes + 2;
        return PROTOCOL_REQUEST;
    }
    const size_t whole = parsed->used + value_bytes + 2;
    if (count < whole) {
        parsed->wanted = whole;
        return PROTOCOL_MORE;
    }
    uint8_t *const value = bytes + parsed->used;
    parsed->used = whole;
    parsed->bad_data = value[value_bytes] != '\r' || value[value_bytes + 1] != '\n';
    if (parsed->bad_data) {
        return refuse(parsed, request->noreply ? NULL : "CLIENT_ERROR bad data chunk");
    }
    request->value.data = value;
    return PROTOCOL_REQUEST;
}

enum protocol_result protocol_parse(uint8_t *bytes, size_t count, size_t value_bytes_max,
                                    struct protocol_parsed *parsed)
{
    assert(count > 0);
    const size_t line_max = line_bytes_max(bytes, count);
    const uint8_t *newline = memchr(bytes, '\n', count > line_max ? line_max + 1 : count);

    if (newline == NULL) {
        parsed->wanted = 0;
        return count > line_max ? PROTOCOL_CLOSE : PROTOCOL_MORE;
    }
    struct protocol_slice line = {bytes, (size_t)(newline - bytes)};
    parsed->used = line.bytes + 1;
    parsed->swallow = 0;
    parsed->bad_data = false;
    if (line.bytes > 0 && bytes[line.bytes - 1] == '\r') {
        line.bytes--;
    }

    enum protocol_line kind = protocol_classic_line(line, parsed);
    if (kind == PROTOCOL_LINE_UNKNOWN) {
        kind = protocol_meta_line(line, parsed);
    }
    switch (kind) {
    case PROTOCOL_LINE_REQUEST:
        return PROTOCOL_REQUEST;
    case PROTOCOL_LINE_STORAGE:
        return parse_data(bytes, count, value_bytes_max, parsed);
    case PROTOCOL_LINE_ERROR:
        return PROTOCOL_ERROR;
    case PROTOCOL_LINE_UNKNOWN:
        break;
    }
    return parse_unknown(line, parsed);
}
