/*
 * meta_fuzz.c - any bytes behind a meta command's word: the promises of protocol/parse.h hold, and
 * a key is decoded to the bytes that the parser saw.
 *
 * The first byte says which command it is, so that every input is one.
 *
 * Under --config=fuzz this is a libFuzzer target; with replay.c it plays the corpus as a test.
 */
#include "tests/protocol/parse_check.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const char words[] = "mg ms md ma me mn ";
    enum {
        VALUE_BYTES_MAX = 24,
        CUTS_MAX = 16,
        WORD_BYTES = 3,
        WORDS_COUNT = (sizeof(words) - 1) / WORD_BYTES
    };

    if (size == 0) {
        return 0;
    }
    /* Letters choose so that a corpus can be read: the g of mg, the s of ms ... */
    size_t word = data[0] % WORDS_COUNT;
    for (size_t i = 0; i < WORDS_COUNT; i++) {
        word = words[i * WORD_BYTES + 1] == (char)data[0] ? i : word;
    }
    uint8_t *bytes = malloc(WORD_BYTES + size - 1);
    if (bytes == NULL) {
        return 0;
    }
    memcpy(bytes, words + word * WORD_BYTES, WORD_BYTES);
    memcpy(bytes + WORD_BYTES, data + 1, size - 1);
    parse_check_stream(bytes, WORD_BYTES + size - 1, VALUE_BYTES_MAX, CUTS_MAX);
    free(bytes);
    return 0;
}
