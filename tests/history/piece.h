/*
 * piece.h - what values are made of, for histories: pieces whose bytes follow from their numbers.
 *
 *   <00010000000004a1tnwqhzkkqpvdzwjuvm ... >   a number, a filling that it determines, an end
 *
 * So whoever reads a value knows which pieces it was joined of, and that no byte is wrong.
 *
 * Threads: pure functions.
 */
#ifndef TESTS_HISTORY_PIECE_H
#define TESTS_HISTORY_PIECE_H

#include "tests/history/history.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define PIECE_BYTES_MAX ((size_t)300 << 10)

/* How long a piece is, and of what: the number's lowest bits. */
enum piece_filling {
    PIECE_EMPTY,
    PIECE_WORDS, /* 100 to 500 bytes */
    PIECE_NOISE, /* 500 to 1,500 */
    PIECE_LONG,  /* words, 4,000 to 20,000 */
    PIECE_HUGE,  /* words and noise, 100,000 to 280,000 */
    PIECE_FILLINGS = 8
};

/** piece_write() - to @out, which has PIECE_BYTES_MAX of room. Returns its length. */
size_t piece_write(uint64_t number, char *out);

/**
 * piece_read() - what a value is made of.
 * @scratch: PIECE_BYTES_MAX.
 *
 * False where its bytes are not those of pieces.
 */
bool piece_read(const void *text, size_t bytes, char *scratch, struct history_value *value);

/** piece_read_number() - of a counter, which may be padded with blanks. */
bool piece_read_number(const void *text, size_t bytes, struct history_value *value);

#endif
