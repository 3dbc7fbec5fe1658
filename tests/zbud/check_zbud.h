/*
 * check_zbud.h - what all tests of zbud include first: cmocka with the headers it leaves to its
 * users, and the few helpers that more than one test needs.
 */
#ifndef TESTS_ZBUD_CHECK_ZBUD_H
#define TESTS_ZBUD_CHECK_ZBUD_H

/* cmocka.h names types of these without including them, so they stand before it. */
/* clang-format off */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
/* clang-format on */

/** next_random() - xorshift64; the state must not be 0. */
static inline uint64_t next_random(uint64_t *state)
{
    *state ^= *state << 13;
    *state ^= *state >> 7;
    *state ^= *state << 17;
    return *state;
}

/** fill() - bytes that follow from a seed. */
static inline void fill(uint8_t *bytes_at, size_t bytes, uint32_t seed)
{
    uint32_t state = seed;
    for (size_t i = 0; i < bytes; i++) {
        state = state * 1664525u + 1013904223u;
        bytes_at[i] = (uint8_t)(state >> 24);
    }
}

/** expect_filled() - the bytes that fill() wrote are still there. */
static inline void expect_filled(const uint8_t *bytes_at, size_t bytes, uint32_t seed)
{
    uint32_t state = seed;
    for (size_t i = 0; i < bytes; i++) {
        state = state * 1664525u + 1013904223u;
        if (bytes_at[i] != (uint8_t)(state >> 24))
            fail_msg("byte %zu of %zu is wrong", i, bytes);
    }
}

#endif
