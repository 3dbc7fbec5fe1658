#include "tests/protocol/login_check.h"

#include "protocol/login.h"

#include <assert.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

/* One call, on a block of exactly these bytes. */
static enum protocol_result attempt(const char *text, size_t count, struct protocol_parsed *parsed)
{
    uint8_t *bytes = malloc(count);

    assert(bytes != NULL);
    memcpy(bytes, text, count);
    memset(parsed, 0xa5, sizeof(*parsed));
    parsed->bad_data = true;
    const enum protocol_result result = protocol_login(bytes, count, parsed);
    assert(memcmp(bytes, text, count) == 0);
    if (result == PROTOCOL_REQUEST || result == PROTOCOL_ERROR) {
        assert(!parsed->bad_data);
    }
    if (result == PROTOCOL_REQUEST) {
        const struct protocol_slice user = parsed->request.key;
        const struct protocol_slice password = parsed->request.value;
        assert(user.bytes > 0 && user.data > bytes);
        assert(password.bytes > 0 && password.data > user.data + user.bytes);
        assert(password.data + password.bytes <= bytes + parsed->used - 2);
    }
    free(bytes);
    return result;
}

static void check_cuts(const char *text, size_t count, enum protocol_result whole,
                       const struct protocol_parsed *parsed)
{
    for (size_t cut = 1; cut < count; cut++) {
        struct protocol_parsed part;
        const enum protocol_result result = attempt(text, cut, &part);

        if (result == PROTOCOL_MORE) {
            assert(part.wanted == 0 || part.wanted > cut);
            assert(part.wanted == 0 || whole == PROTOCOL_MORE || part.wanted == parsed->used);
        } else {
            assert(result == whole);
            assert(result == PROTOCOL_CLOSE || part.used == parsed->used);
        }
    }
}

void login_check(const char *text, size_t count)
{
    while (count > 0) {
        struct protocol_parsed parsed;
        const enum protocol_result result = attempt(text, count, &parsed);

        check_cuts(text, count, result, &parsed);
        if (result == PROTOCOL_MORE || result == PROTOCOL_CLOSE) {
            return;
        }
        assert(parsed.used > 0 && parsed.used <= count);
        const size_t rest = count - parsed.used;
        const size_t swallow =
            result == PROTOCOL_ERROR && parsed.swallow < rest ? parsed.swallow : 0;
        text += parsed.used + swallow;
        count = rest - swallow;
    }
}
