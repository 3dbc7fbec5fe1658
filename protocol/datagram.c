#include "protocol/datagram.h"

#include <assert.h>

static uint16_t read_number(const uint8_t *bytes)
{
    return (uint16_t)(bytes[0] << 8 | bytes[1]);
}

static void write_number(uint8_t *bytes, size_t number)
{
    bytes[0] = (uint8_t)(number >> 8);
    bytes[1] = (uint8_t)number;
}

bool protocol_datagram_open(uint8_t *bytes, size_t count, uint16_t *id, struct protocol_slice *data)
{
    if (count <= PROTOCOL_DATAGRAM_HEADER_BYTES || read_number(bytes + 4) != 1) {
        return false;
    }
    *id = read_number(bytes);
    data->data = bytes + PROTOCOL_DATAGRAM_HEADER_BYTES;
    data->bytes = count - PROTOCOL_DATAGRAM_HEADER_BYTES;
    return true;
}

size_t protocol_datagram_room(size_t count)
{
    const size_t whole = PROTOCOL_DATAGRAM_HEADER_BYTES + PROTOCOL_DATAGRAM_DATA_BYTES;
    const size_t bytes = PROTOCOL_DATAGRAM_FACTOR * count;
    const size_t rest = bytes % whole;

    return bytes / whole * PROTOCOL_DATAGRAM_DATA_BYTES +
           (rest > PROTOCOL_DATAGRAM_HEADER_BYTES ? rest - PROTOCOL_DATAGRAM_HEADER_BYTES : 0);
}

size_t protocol_datagram_count(size_t reply_bytes)
{
    return (reply_bytes + PROTOCOL_DATAGRAM_DATA_BYTES - 1) / PROTOCOL_DATAGRAM_DATA_BYTES;
}

void protocol_datagram_header(uint8_t out[PROTOCOL_DATAGRAM_HEADER_BYTES], uint16_t id,
                              size_t sequence, size_t datagrams)
{
    assert(sequence < datagrams && datagrams <= UINT16_MAX);
    write_number(out, id);
    write_number(out + 2, sequence);
    write_number(out + 4, datagrams);
    write_number(out + 6, 0);
}
