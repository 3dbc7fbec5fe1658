/*
 * login_fuzz.c - any bytes as the first of a connection that must log in: the promises of
 * protocol/login.h hold.
 */
#include "tests/protocol/login_check.h"

#include <stdint.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    enum {
        BYTES_MAX = 512 /* each is cut everywhere */
    };

    login_check((const char *)data, size < BYTES_MAX ? size : BYTES_MAX);
    return 0;
}
