#include "clients/load_reply.h"

#include <stdbool.h>
#include <string.h>

#define COUNT_OF(array) (sizeof(array) / sizeof((array)[0]))

static const struct {
    const char *word;
    size_t bytes;
    bool text_follows;
    enum load_reply_kind kind;
} WORDS[] = {
    {"END", 3, false, LOAD_REPLY_END},
    {"STORED", 6, false, LOAD_REPLY_STORED},
    {"NOT_FOUND", 9, false, LOAD_REPLY_NOT_FOUND},
    {"NOT_STORED", 10, false, LOAD_REPLY_NOT_STORED},
    {"DELETED", 7, false, LOAD_REPLY_DELETED},
    {"ERROR", 5, true, LOAD_REPLY_REFUSED},
    {"CLIENT_ERROR", 12, true, LOAD_REPLY_REFUSED},
    {"SERVER_ERROR", 12, true, LOAD_REPLY_REFUSED},
};

/* Digits up to @end or a blank, at most @most; *at is left behind them. */
static bool parse_number(const uint8_t **at, const uint8_t *end, uint64_t most, uint64_t *number)
{
    const uint8_t *digit = *at;
    uint64_t sum = 0;

    for (; digit < end && *digit >= '0' && *digit <= '9'; digit++) {
        sum = sum * 10 + (uint64_t)(*digit - '0');
        if (sum > most)
            return false;
    }
    if (digit == *at || (digit < end && *digit != ' '))
        return false;
    *at = digit;
    *number = sum;
    return true;
}

/* "VALUE key flags bytes [cas]" */
static bool parse_value_line(size_t value_bytes_max, struct load_reply *reply)
{
    const uint8_t *at = reply->line.data + strlen("VALUE ");
    const uint8_t *end = reply->line.data + reply->line.bytes;
    const uint8_t *blank = memchr(at, ' ', (size_t)(end - at));
    uint64_t number;

    if (blank == NULL || blank == at)
        return false;
    reply->key = (struct load_slice){at, (size_t)(blank - at)};
    at = blank + 1;
    if (!parse_number(&at, end, UINT32_MAX, &number) || at == end)
        return false;
    reply->flags = (uint32_t)number;
    at++;
    if (!parse_number(&at, end, value_bytes_max, &number))
        return false;
    reply->value.bytes = (size_t)number;
    /* A cas may follow where it was asked for, which is not done here. */
    return at == end;
}

static enum load_reply_status parse_value(size_t bytes, size_t value_bytes_max,
                                          struct load_reply *reply, size_t *bytes_used)
{
    size_t line_bytes = reply->line.bytes + 2;
    const uint8_t *after;

    if (!parse_value_line(value_bytes_max, reply))
        return LOAD_REPLY_BAD;
    reply->kind = LOAD_REPLY_VALUE;
    reply->value.data = reply->line.data + line_bytes;
    *bytes_used = line_bytes + reply->value.bytes + 2;
    if (bytes < *bytes_used)
        return LOAD_REPLY_MORE;
    after = reply->value.data + reply->value.bytes;
    return after[0] == '\r' && after[1] == '\n' ? LOAD_REPLY_OK : LOAD_REPLY_BAD;
}

static enum load_reply_status parse_word(struct load_reply *reply)
{
    for (size_t i = 0; i < COUNT_OF(WORDS); i++) {
        size_t word_bytes = WORDS[i].bytes;

        if (reply->line.bytes < word_bytes ||
            memcmp(reply->line.data, WORDS[i].word, word_bytes) != 0)
            continue;
        if (reply->line.bytes > word_bytes &&
            (!WORDS[i].text_follows || reply->line.data[word_bytes] != ' '))
            continue;
        reply->kind = WORDS[i].kind;
        return LOAD_REPLY_OK;
    }
    return LOAD_REPLY_BAD;
}

enum load_reply_status load_reply_parse(const uint8_t *data, size_t bytes, size_t value_bytes_max,
                                        struct load_reply *reply, size_t *bytes_used)
{
    size_t searched = bytes < LOAD_REPLY_LINE_BYTES_MAX ? bytes : LOAD_REPLY_LINE_BYTES_MAX;
    const uint8_t *end = searched > 0 ? memchr(data, '\n', searched) : NULL;

    *bytes_used = bytes + 1;
    if (end == NULL)
        return bytes < LOAD_REPLY_LINE_BYTES_MAX ? LOAD_REPLY_MORE : LOAD_REPLY_BAD;
    if (end == data || end[-1] != '\r')
        return LOAD_REPLY_BAD;
    reply->line = (struct load_slice){data, (size_t)(end - data) - 1};
    if (reply->line.bytes >= 6 && memcmp(data, "VALUE ", 6) == 0)
        return parse_value(bytes, value_bytes_max, reply, bytes_used);
    *bytes_used = reply->line.bytes + 2;
    return parse_word(reply);
}
