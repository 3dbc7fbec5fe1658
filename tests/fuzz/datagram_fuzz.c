/*
 * datagram_fuzz.c - any bytes as a datagram: taking its frame off and cutting a reply of any length
 * into frames keep the promises of protocol/datagram.h, and so does what they are cut into when it
 * is taken for a request.
 */
#include "protocol/datagram.h"
#include "protocol/parse.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#define HEADER PROTOCOL_DATAGRAM_HEADER_BYTES

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* A reply's datagrams number themselves, and none of several is taken for a request. */
static void check_reply(uint16_t id, size_t reply_bytes, size_t request_bytes)
{
    const size_t datagrams = protocol_datagram_count(reply_bytes);
    uint8_t bytes[HEADER + 1] = {0};
    struct protocol_slice data;
    uint16_t seen = 0;

    assert(reply_bytes + HEADER * datagrams <= PROTOCOL_DATAGRAM_FACTOR * request_bytes);
    for (size_t i = 0; i < datagrams; i++) {
        protocol_datagram_header(bytes, id, i, datagrams);
        const bool opened = protocol_datagram_open(bytes, sizeof(bytes), &seen, &data);
        assert(opened == (datagrams == 1) && (!opened || seen == id));
        assert((size_t)(bytes[2] << 8 | bytes[3]) == i);
    }
}

/* The commands within, as the server walks over them: each step ends inside. */
static void check_commands(struct protocol_slice data)
{
    while (data.bytes > 0) {
        struct protocol_parsed parsed;
        const enum protocol_result result = protocol_parse(data.data, data.bytes, 100, &parsed);

        if (result != PROTOCOL_REQUEST && result != PROTOCOL_ERROR) {
            return;
        }
        assert(parsed.used > 0 && parsed.used <= data.bytes);
        const size_t rest = data.bytes - parsed.used;
        const size_t gone = parsed.used + (parsed.swallow < rest ? parsed.swallow : rest);
        data.data += gone;
        data.bytes -= gone;
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    uint8_t *bytes = malloc(size > 0 ? size : 1);
    struct protocol_slice commands;
    uint16_t id = 0;

    assert(bytes != NULL);
    memcpy(bytes, data, size);
    const bool opened = protocol_datagram_open(bytes, size, &id, &commands);
    assert(opened == (size > HEADER && bytes[4] == 0 && bytes[5] == 1));
    if (opened) {
        assert(commands.bytes == size - HEADER && commands.data == bytes + HEADER);
        check_commands(commands);
    }
    const size_t room = protocol_datagram_room(size);
    check_reply(id, room, size);
    check_reply(id, size > 0 ? bytes[0] % (room + 1) : 0, size);
    free(bytes);
    return 0;
}
