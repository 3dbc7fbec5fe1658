#include "tests/history/piece.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
    HEAD_BYTES = 17,
    DIGITS_MAX = 31,
    WORDS = 250,
    WORD_BYTES_MAX = 13
};

static uint64_t next_random(uint64_t *random)
{
    *random = *random * 6364136223846793005u + 1442695040888963407u;
    return *random >> 20;
}

/* One of 250 words, so that there is more to learn from many values than from one. */
static size_t write_word(unsigned word, char *out)
{
    uint64_t random = word + 1;
    const size_t bytes = 6 + next_random(&random) % (WORD_BYTES_MAX - 5);

    for (size_t i = 0; i < bytes; i++) {
        out[i] = (char)('a' + next_random(&random) % 26);
    }
    return bytes;
}

static size_t filling_bytes(enum piece_filling filling, uint64_t *random)
{
    switch (filling) {
    case PIECE_WORDS:
        return 100 + next_random(random) % 400;
    case PIECE_NOISE:
        return 500 + next_random(random) % 1000;
    case PIECE_LONG:
        return 4000 + next_random(random) % 16000;
    case PIECE_HUGE:
        return 100000 + next_random(random) % 180000;
    case PIECE_EMPTY:
    case PIECE_FILLINGS:
        break;
    }
    return 0;
}

size_t piece_write(uint64_t number, char *out)
{
    const enum piece_filling filling = (enum piece_filling)(number % PIECE_FILLINGS);
    uint64_t random = number;
    size_t bytes = (size_t)sprintf(out, "<%016" PRIx64, number);
    const size_t end = bytes + filling_bytes(filling, &random);

    while (bytes < end) {
        const bool noise = filling == PIECE_NOISE || (filling == PIECE_HUGE && bytes % 8192 < 4096);
        if (noise) {
            out[bytes++] = (char)('!' + next_random(&random) % 90);
        } else {
            bytes += write_word((unsigned)(next_random(&random) % WORDS), out + bytes);
        }
    }
    out[bytes++] = '>';
    return bytes;
}

bool piece_read(const void *text, size_t bytes, char *scratch, struct history_value *value)
{
    const char *at = text, *end = at + bytes;

    *value = (struct history_value){0, 0};
    while (at < end) {
        char head[HEAD_BYTES + 1] = "";
        if (end - at < HEAD_BYTES) {
            return false;
        }
        memcpy(head, at, HEAD_BYTES);
        const uint64_t number = strtoull(head + 1, NULL, 16);
        const size_t piece_bytes = piece_write(number, scratch);
        if (piece_bytes > (size_t)(end - at) || memcmp(at, scratch, piece_bytes) != 0) {
            return false;
        }
        *value = history_join(*value, history_piece(number));
        at += piece_bytes;
    }
    return value->pieces > 0;
}

bool piece_read_number(const void *text, size_t bytes, struct history_value *value)
{
    char digits[DIGITS_MAX + 1] = "", *end;

    if (bytes == 0 || bytes > DIGITS_MAX) {
        return false;
    }
    memcpy(digits, text, bytes);
    *value = history_number(strtoull(digits, &end, 10));
    return end != digits && strspn(end, " ") == strlen(end);
}
