/*
 * parse_fuzz.c - any bytes as a connection's: the promises of protocol/parse.h hold.
 *
 * Under --config=fuzz this is a libFuzzer target; with replay.c it plays the corpus as a test.
 */
#include "tests/protocol/parse_check.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* A small limit so that values of both sides of it come up, and few cuts so that runs are fast. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    enum {
        VALUE_BYTES_MAX = 24,
        CUTS_MAX = 12
    };

    parse_check_stream(data, size, VALUE_BYTES_MAX, CUTS_MAX);
    return 0;
}
