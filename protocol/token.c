#include "protocol/token.h"

#include <endian.h>
#include <string.h>

#define STEPS 2u /* of eight bytes */

/* Eight bytes as a number, the first one lowest. */
static uint64_t load8(const uint8_t *bytes)
{
    uint64_t word;
    memcpy(&word, bytes, sizeof(word));
    return le64toh(word);
}

/* The lowest byte of @word that is a space has its top bit set in the result; bytes above it may
 * have theirs too, others not. */
static uint64_t mark_spaces(uint64_t word)
{
    const uint64_t ones = UINT64_C(0x0101010101010101);
    const uint64_t apart = word ^ (ones * ' ');
    return (apart - ones) & ~apart & (ones << 7);
}

/* The first space at or after @at, or @end. @line: where bytes that may be read begin. Tokens are
 * short: most are found in the first steps, where a call of memchr() would cost more than the
 * search. */
static uint8_t *find_space(const uint8_t *line, uint8_t *at, uint8_t *end)
{
    for (unsigned step = 0; step < STEPS && end - at >= 8; step++, at += 8) {
        const uint64_t found = mark_spaces(load8(at));
        if (found != 0) {
            return at + __builtin_ctzll(found) / 8;
        }
    }
    if (end - at >= 8) {
        uint8_t *const space = memchr(at, ' ', (size_t)(end - at));
        return space != NULL ? space : end;
    }
    if (at < end && end - line >= 8) {
        /* The last eight bytes, without those before @at; zeros come in behind them. */
        const uint64_t found = mark_spaces(load8(end - 8) >> (64 - 8 * (end - at)));
        return found != 0 ? at + __builtin_ctzll(found) / 8 : end;
    }
    while (at < end && *at != ' ') {
        at++;
    }
    return at;
}

bool protocol_token_next(struct protocol_slice *line, struct protocol_slice *token)
{
    if (line->bytes == 0) {
        return false; /* data may be NULL here */
    }
    uint8_t *at = line->data;
    uint8_t *const end = at + line->bytes;

    while (at < end && *at == ' ') {
        at++;
    }
    uint8_t *const stop = find_space(line->data, at, end);
    *line = (struct protocol_slice){stop, (size_t)(end - stop)};
    if (stop == at) {
        return false;
    }
    *token = (struct protocol_slice){at, (size_t)(stop - at)};
    return true;
}

size_t protocol_token_split(struct protocol_slice line, struct protocol_slice *tokens,
                            size_t tokens_max)
{
    size_t count = 0;
    while (count < tokens_max && protocol_token_next(&line, &tokens[count])) {
        count++;
    }
    return count;
}

struct protocol_slice protocol_token_trim(struct protocol_slice line)
{
    while (line.bytes > 0 && line.data[0] == ' ') {
        line.data++;
        line.bytes--;
    }
    while (line.bytes > 0 && line.data[line.bytes - 1] == ' ') {
        line.bytes--;
    }
    return line;
}

struct protocol_slice protocol_token_last(struct protocol_slice line)
{
    line = protocol_token_trim(line);
    size_t start = line.bytes;
    while (start > 0 && line.data[start - 1] != ' ') {
        start--;
    }
    return (struct protocol_slice){line.data + start, line.bytes - start};
}

bool protocol_token_natural(struct protocol_slice token, uint64_t max, uint64_t *number)
{
    uint64_t sum = 0;

    if (token.bytes == 0) {
        return false;
    }
    for (size_t i = 0; i < token.bytes; i++) {
        const unsigned digit = (unsigned)token.data[i] - '0';
        if (digit > 9 || __builtin_mul_overflow(sum, 10, &sum) ||
            __builtin_add_overflow(sum, digit, &sum)) {
            return false;
        }
    }
    if (sum > max) {
        return false;
    }
    *number = sum;
    return true;
}

/* Takes one byte off the front of a token, where it is that byte. */
static bool skip_byte(struct protocol_slice *token, uint8_t byte)
{
    if (token->bytes == 0 || token->data[0] != byte) {
        return false;
    }
    token->data++;
    token->bytes--;
    return true;
}

bool protocol_token_unsigned(struct protocol_slice token, uint64_t max, uint64_t *number)
{
    (void)skip_byte(&token, '+');
    return protocol_token_natural(token, max, number);
}

bool protocol_token_int32(struct protocol_slice token, int64_t *number)
{
    const bool negative = skip_byte(&token, '-');
    const uint64_t max = (uint64_t)INT32_MAX + (negative ? 1 : 0);
    uint64_t size = 0;

    if (!protocol_token_natural(token, max, &size)) {
        return false;
    }
    *number = negative ? -(int64_t)size : (int64_t)size;
    return true;
}

bool protocol_token_signed(struct protocol_slice token, int64_t *number)
{
    if (skip_byte(&token, '+') && token.bytes > 0 && token.data[0] == '-') {
        return false;
    }
    return protocol_token_int32(token, number);
}
