/*
 * pattern.h - the notation in which transcripts write bytes, sent or expected.
 *
 *   VALUE key 0 \d \(cas1)\r\n            VALUE key 0 5 1009\r\n
 *   |-- bytes --|n|b| name |b|   matches  and binds cas1 = 1009
 *
 *   \r \n \t \0 \\ \s \xHH   one byte; \s is a space where one would be lost at a line's end
 *   \{250*k}                 a text 250 times; in it \# is the running number from 1, \} a brace
 *   \d                       expected: one or more decimal digits
 *   \*                       expected: whatever comes up to the end of the line
 *   \(name)                  expected: digits, kept under that name, or equal to those kept before;
 *                            sent: those digits
 *
 * Threads: none.
 */
#ifndef TESTS_WIRE_PATTERN_H
#define TESTS_WIRE_PATTERN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define PATTERN_NAME_BYTES_MAX   16u
#define PATTERN_DIGITS_BYTES_MAX 24u
#define PATTERN_NAMES_MAX        32u
#define PATTERN_BYTES_MAX        ((size_t)256 << 20)

/* Bytes that grow. Without memory the test program ends. */
struct pattern_bytes {
    uint8_t *data;
    size_t used;
    size_t capacity;
};

void pattern_bytes_add(struct pattern_bytes *bytes, const void *data, size_t count);
void pattern_bytes_free(struct pattern_bytes *bytes);

enum pattern_kind {
    PATTERN_BYTES,
    PATTERN_NUMBER,
    PATTERN_REST_OF_LINE,
    PATTERN_NAME
};

struct pattern_element {
    enum pattern_kind kind;
    struct pattern_bytes bytes;        /* PATTERN_BYTES */
    char name[PATTERN_NAME_BYTES_MAX]; /* PATTERN_NAME */
};

struct pattern {
    struct pattern_element *elements;
    size_t count;
};

/* What names stand for in one play. Zeroed: none. */
struct pattern_names {
    struct {
        char name[PATTERN_NAME_BYTES_MAX];
        char digits[PATTERN_DIGITS_BYTES_MAX];
    } entries[PATTERN_NAMES_MAX];
    size_t count;
};

/** pattern_name_digits() - what a name stands for, or NULL. */
const char *pattern_name_digits(const struct pattern_names *names, const char *name);

/**
 * pattern_parse() - read one line of notation.
 * @tail: added behind it: "\r\n" or "".
 *
 * Returns NULL, or what is wrong with it; @pattern is to be freed then too.
 */
const char *pattern_parse(const char *text, const char *tail, struct pattern *pattern)
    __attribute__((warn_unused_result));
void pattern_free(struct pattern *pattern);

/** pattern_render() - the bytes to send. False: a name that stands for nothing, or a wildcard. */
bool pattern_render(const struct pattern *pattern, const struct pattern_names *names,
                    struct pattern_bytes *out) __attribute__((warn_unused_result));

enum pattern_result {
    PATTERN_MORE,
    PATTERN_MATCHED,
    PATTERN_DIFFERS
};

/* How far a stream has matched. Zeroed: nothing yet. */
struct pattern_match {
    size_t element;
    size_t offset; /* in the element's bytes, or count of digits */
    char digits[PATTERN_DIGITS_BYTES_MAX];
};

/**
 * pattern_feed() - match the next bytes of a stream.
 * @used: how many of them the pattern took; those behind it are the next pattern's.
 *
 * PATTERN_MATCHED may come with used == 0, and must be asked for before waiting for bytes: a
 * pattern of nothing matches nothing.
 */
enum pattern_result pattern_feed(const struct pattern *pattern, struct pattern_match *match,
                                 struct pattern_names *names, const uint8_t *data, size_t bytes,
                                 size_t *used) __attribute__((warn_unused_result));

/** pattern_print() - bytes for a person: escaped, at most @limit of them, into @out with a NUL. */
void pattern_print(const uint8_t *data, size_t bytes, size_t limit, char *out, size_t out_bytes);

#endif
