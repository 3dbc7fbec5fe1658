/*
 * datagram_test.c - the frame around datagrams, and what a reply may have.
 */
/* cmocka.h stands on the four before it. */
/* clang-format off */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
/* clang-format on */

#include "protocol/datagram.h"

#define HEADER PROTOCOL_DATAGRAM_HEADER_BYTES

static void frames_test(void **state)
{
    uint8_t bytes[] = {0x12, 0x34, 0, 0, 0, 1, 0, 0, 'x'};
    struct protocol_slice data;
    uint16_t id = 0;

    (void)state;
    assert_true(protocol_datagram_open(bytes, sizeof(bytes), &id, &data));
    assert_int_equal(id, 0x1234);
    assert_ptr_equal(data.data, bytes + HEADER);
    assert_int_equal(data.bytes, 1);
    for (size_t count = 0; count <= HEADER; count++) {
        assert_false(protocol_datagram_open(bytes, count, &id, &data));
    }
    bytes[5] = 2; /* one of two */
    assert_false(protocol_datagram_open(bytes, sizeof(bytes), &id, &data));
    bytes[4] = 1;
    bytes[5] = 1;
    assert_false(protocol_datagram_open(bytes, sizeof(bytes), &id, &data));
    bytes[4] = 0;
    bytes[5] = 0;
    assert_false(protocol_datagram_open(bytes, sizeof(bytes), &id, &data));
}

static void headers_test(void **state)
{
    static const uint8_t EXPECTED[HEADER] = {0xab, 0xcd, 0x01, 0x02, 0x03, 0x04, 0, 0};
    uint8_t header[HEADER];

    (void)state;
    protocol_datagram_header(header, 0xabcd, 0x102, 0x304);
    assert_memory_equal(header, EXPECTED, sizeof(header));
}

/* DATAGRAM-1, for every size of a request and the largest reply it is allowed; a byte more would
 * break it. */
static void room_test(void **state)
{
    (void)state;
    for (size_t count = 0; count < 65536; count++) {
        const size_t room = protocol_datagram_room(count);
        const size_t sent = room + HEADER * protocol_datagram_count(room);
        const size_t more = room + 1 + HEADER * protocol_datagram_count(room + 1);

        assert_true(sent <= PROTOCOL_DATAGRAM_FACTOR * count);
        assert_true(more > PROTOCOL_DATAGRAM_FACTOR * count);
    }
    assert_int_equal(protocol_datagram_count(0), 0);
    assert_int_equal(protocol_datagram_count(1), 1);
    assert_int_equal(protocol_datagram_count(PROTOCOL_DATAGRAM_DATA_BYTES), 1);
    assert_int_equal(protocol_datagram_count(PROTOCOL_DATAGRAM_DATA_BYTES + 1), 2);
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(frames_test),
        cmocka_unit_test(headers_test),
        cmocka_unit_test(room_test),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
