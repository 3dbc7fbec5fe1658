#include "protocol/login.h"

#include "protocol/line.h"
#include "protocol/token.h"

#include <assert.h>
#include <string.h>

#define TOKENS_MIN 5u /* set, key, flags, exptime, bytes */

static enum protocol_result refuse(struct protocol_parsed *parsed, const char *error)
{
    parsed->error = error;
    return PROTOCOL_ERROR;
}

/* "<user> <password>"; what follows is not looked at, as memcached does not. */
static enum protocol_result read_names(struct protocol_slice block, struct protocol_parsed *parsed)
{
    struct protocol_slice tokens[2];

    if (protocol_token_split(block, tokens, 2) < 2) {
        return refuse(parsed, "CLIENT_ERROR bad authentication token format");
    }
    parsed->request.key = tokens[0];
    parsed->request.value = tokens[1];
    return PROTOCOL_REQUEST;
}

enum protocol_result protocol_login(uint8_t *bytes, size_t count, struct protocol_parsed *parsed)
{
    struct protocol_slice tokens[TOKENS_MIN];
    uint64_t block_bytes = 0;

    assert(count > 0);
    const size_t looked = count > PROTOCOL_LINE_BYTES_MAX ? PROTOCOL_LINE_BYTES_MAX + 1 : count;
    const uint8_t *newline = memchr(bytes, '\n', looked);
    parsed->wanted = 0;
    if (newline == NULL) {
        return count > PROTOCOL_LINE_BYTES_MAX ? PROTOCOL_CLOSE : PROTOCOL_MORE;
    }
    struct protocol_slice line = {bytes, (size_t)(newline - bytes)};
    parsed->used = line.bytes + 1;
    parsed->swallow = 0;
    parsed->bad_data = false; /* it is no store, however it goes on */
    if (line.bytes > 0 && bytes[line.bytes - 1] == '\r') {
        line.bytes--;
    }
    if (protocol_token_split(line, tokens, TOKENS_MIN) < TOKENS_MIN ||
        !protocol_slice_is(tokens[0], "set") ||
        !protocol_token_unsigned(tokens[4], PROTOCOL_VALUE_BYTES_MAX, &block_bytes)) {
        return refuse(parsed, "CLIENT_ERROR unauthenticated");
    }
    if (block_bytes > PROTOCOL_LOGIN_BYTES_MAX) {
        parsed->swallow = (size_t)block_bytes + 2;
        return refuse(parsed, "CLIENT_ERROR auth token too long");
    }
    const struct protocol_slice block = {bytes + parsed->used, (size_t)block_bytes};
    if (count - parsed->used < block.bytes + 2) {
        parsed->wanted = parsed->used + block.bytes + 2;
        return PROTOCOL_MORE;
    }
    parsed->used += block.bytes + 2;
    if (memcmp(block.data + block.bytes, "\r\n", 2) != 0) {
        return refuse(parsed, "CLIENT_ERROR bad command line termination");
    }
    return read_names(block, parsed);
}
