#include "tests/wire/pattern.h"

#include <assert.h>
#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

void pattern_bytes_add(struct pattern_bytes *bytes, const void *data, size_t count)
{
    if (count == 0)
        return;
    if (bytes->capacity - bytes->used < count) {
        size_t capacity = bytes->capacity < 64 ? 64 : bytes->capacity;
        while (capacity < bytes->used + count)
            capacity *= 2;
        bytes->data = realloc(bytes->data, capacity);
        assert(bytes->data != NULL);
        bytes->capacity = capacity;
    }
    memcpy(bytes->data + bytes->used, data, count);
    bytes->used += count;
}

void pattern_bytes_free(struct pattern_bytes *bytes)
{
    free(bytes->data);
    *bytes = (struct pattern_bytes){0};
}

const char *pattern_name_digits(const struct pattern_names *names, const char *name)
{
    for (size_t i = 0; i < names->count; i++) {
        if (strcmp(names->entries[i].name, name) == 0)
            return names->entries[i].digits;
    }
    return NULL;
}

/* --- reading the notation --- */

/* A cursor over the notation; @repeat is the running number inside \{...}, 0 outside. */
struct reader {
    const char *at;
    const char *end;
    unsigned long repeat;
    struct pattern *pattern;
};

static struct pattern_element *add_element(struct pattern *pattern, enum pattern_kind kind)
{
    size_t bytes = (pattern->count + 1) * sizeof(*pattern->elements);
    pattern->elements = realloc(pattern->elements, bytes);
    assert(pattern->elements != NULL);
    struct pattern_element *element = &pattern->elements[pattern->count++];
    *element = (struct pattern_element){.kind = kind};
    return element;
}

static void add_bytes(struct pattern *pattern, const void *data, size_t bytes)
{
    struct pattern_element *last =
        pattern->count > 0 ? &pattern->elements[pattern->count - 1] : NULL;
    if (last == NULL || last->kind != PATTERN_BYTES)
        last = add_element(pattern, PATTERN_BYTES);
    pattern_bytes_add(&last->bytes, data, bytes);
}

static const char *read_hex(struct reader *reader)
{
    char digits[3] = {0};
    for (int i = 0; i < 2; i++) {
        if (reader->at == reader->end || !isxdigit((unsigned char)*reader->at))
            return "\\x wants two hexadecimal digits";
        digits[i] = *reader->at++;
    }
    uint8_t byte = (uint8_t)strtoul(digits, NULL, 16);
    add_bytes(reader->pattern, &byte, 1);
    return NULL;
}

static const char *read_name(struct reader *reader)
{
    const char *close = memchr(reader->at, ')', (size_t)(reader->end - reader->at));
    if (close == NULL)
        return "\\( has no )";
    size_t bytes = (size_t)(close - reader->at);
    if (bytes == 0 || bytes >= PATTERN_NAME_BYTES_MAX)
        return "a name has 1 to 15 characters";
    struct pattern_element *element = add_element(reader->pattern, PATTERN_NAME);
    memcpy(element->name, reader->at, bytes);
    reader->at = close + 1;
    return NULL;
}

static const char *read_all(struct reader *reader);

/* "250*k}": what stands before was "\{". */
static const char *read_repeat(struct reader *reader)
{
    char *star;
    unsigned long count = strtoul(reader->at, &star, 10);
    if (star == reader->at || *star != '*')
        return "\\{ wants a count and a *";
    const char *body = star + 1;
    const char *close = body;
    while (close < reader->end && *close != '}')
        close += *close == '\\' && close + 1 < reader->end ? 2 : 1;
    if (close >= reader->end)
        return "\\{ has no }";
    if (count > PATTERN_BYTES_MAX / (size_t)(close - body + 1))
        return "more than 256 MiB";

    struct reader inner = {.end = close, .pattern = reader->pattern};
    for (unsigned long i = 1; i <= count; i++) {
        inner.at = body;
        inner.repeat = i;
        const char *wrong = read_all(&inner);
        if (wrong != NULL)
            return wrong;
    }
    reader->at = close + 1;
    return NULL;
}

static const char *read_running_number(struct reader *reader)
{
    char digits[PATTERN_DIGITS_BYTES_MAX];
    int bytes = snprintf(digits, sizeof(digits), "%lu", reader->repeat);
    add_bytes(reader->pattern, digits, (size_t)bytes);
    return NULL;
}

/* What follows a backslash. */
static const char *read_escape(struct reader *reader)
{
    static const char LETTERS[] = "rnt0\\s}";
    static const char BYTES[] = {'\r', '\n', '\t', '\0', '\\', ' ', '}'};
    if (reader->at == reader->end)
        return "a \\ at the end";
    char letter = *reader->at++;
    const char *found = strchr(LETTERS, letter);
    if (found != NULL) {
        add_bytes(reader->pattern, &BYTES[found - LETTERS], 1);
        return NULL;
    }
    if (letter == 'x')
        return read_hex(reader);
    if (letter == '#')
        return reader->repeat > 0 ? read_running_number(reader) : "\\# outside of \\{ }";
    if (reader->repeat > 0)
        return "only bytes can be repeated";
    switch (letter) {
    case '{':
        return read_repeat(reader);
    case '(':
        return read_name(reader);
    case 'd':
        (void)add_element(reader->pattern, PATTERN_NUMBER);
        return NULL;
    case '*':
        (void)add_element(reader->pattern, PATTERN_REST_OF_LINE);
        return NULL;
    default:
        return "an escape that is not known";
    }
}

static const char *read_all(struct reader *reader)
{
    while (reader->at < reader->end) {
        const char *wrong = NULL;
        if (*reader->at == '\\') {
            reader->at++;
            wrong = read_escape(reader);
        } else {
            add_bytes(reader->pattern, reader->at++, 1);
        }
        if (wrong != NULL)
            return wrong;
    }
    return NULL;
}

const char *pattern_parse(const char *text, const char *tail, struct pattern *pattern)
{
    *pattern = (struct pattern){0};
    struct reader reader = {.at = text, .end = text + strlen(text), .pattern = pattern};
    const char *wrong = read_all(&reader);
    if (wrong != NULL)
        return wrong;
    if (tail[0] != '\0')
        add_bytes(pattern, tail, strlen(tail));
    if (pattern->count > 0 && pattern->elements[pattern->count - 1].kind != PATTERN_BYTES)
        return "a wildcard ends where the bytes behind it begin: there must be some";
    return NULL;
}

void pattern_free(struct pattern *pattern)
{
    for (size_t i = 0; i < pattern->count; i++)
        pattern_bytes_free(&pattern->elements[i].bytes);
    free(pattern->elements);
    *pattern = (struct pattern){0};
}

/* --- using it --- */

bool pattern_render(const struct pattern *pattern, const struct pattern_names *names,
                    struct pattern_bytes *out)
{
    for (size_t i = 0; i < pattern->count; i++) {
        const struct pattern_element *element = &pattern->elements[i];
        const char *digits = NULL;
        if (element->kind == PATTERN_NAME)
            digits = pattern_name_digits(names, element->name);
        if (element->kind == PATTERN_BYTES)
            pattern_bytes_add(out, element->bytes.data, element->bytes.used);
        else if (digits != NULL)
            pattern_bytes_add(out, digits, strlen(digits));
        else
            return false;
    }
    return true;
}

static bool bind_name(struct pattern_names *names, const char *name, const char *digits)
{
    const char *before = pattern_name_digits(names, name);
    if (before != NULL)
        return strcmp(before, digits) == 0;
    if (names->count == PATTERN_NAMES_MAX)
        return false;
    (void)snprintf(names->entries[names->count].name, PATTERN_NAME_BYTES_MAX, "%s", name);
    (void)snprintf(names->entries[names->count].digits, PATTERN_DIGITS_BYTES_MAX, "%s", digits);
    names->count++;
    return true;
}

static enum pattern_result feed_bytes(const struct pattern_element *element,
                                      struct pattern_match *match, const uint8_t *data,
                                      size_t bytes, size_t *used)
{
    size_t wanted = element->bytes.used - match->offset;
    size_t count = bytes < wanted ? bytes : wanted;
    size_t same = 0;
    const uint8_t *expected = element->bytes.data + match->offset;
    if (count > 0 && memcmp(expected, data, count) == 0)
        same = count;
    while (same < count && expected[same] == data[same])
        same++;
    match->offset += same;
    *used = same;
    if (same < count)
        return PATTERN_DIFFERS;
    return same == wanted ? PATTERN_MATCHED : PATTERN_MORE;
}

static enum pattern_result feed_digits(const struct pattern_element *element,
                                       struct pattern_match *match, struct pattern_names *names,
                                       const uint8_t *data, size_t bytes, size_t *used)
{
    size_t count = 0;
    while (count < bytes && isdigit(data[count])) {
        if (match->offset + 1 == PATTERN_DIGITS_BYTES_MAX)
            return PATTERN_DIFFERS;
        match->digits[match->offset++] = (char)data[count++];
    }
    *used = count;
    if (count == bytes)
        return PATTERN_MORE;
    match->digits[match->offset] = '\0';
    if (match->offset == 0)
        return PATTERN_DIFFERS;
    if (element->kind == PATTERN_NAME && !bind_name(names, element->name, match->digits))
        return PATTERN_DIFFERS;
    return PATTERN_MATCHED;
}

static enum pattern_result feed_rest_of_line(const uint8_t *data, size_t bytes, size_t *used)
{
    size_t count = 0;
    while (count < bytes && data[count] != '\r' && data[count] != '\n')
        count++;
    *used = count;
    return count == bytes ? PATTERN_MORE : PATTERN_MATCHED;
}

enum pattern_result pattern_feed(const struct pattern *pattern, struct pattern_match *match,
                                 struct pattern_names *names, const uint8_t *data, size_t bytes,
                                 size_t *used)
{
    *used = 0;
    while (match->element < pattern->count) {
        const struct pattern_element *element = &pattern->elements[match->element];
        size_t more = 0;
        enum pattern_result result = PATTERN_DIFFERS;
        const uint8_t *rest = bytes > *used ? data + *used : data;
        switch (element->kind) {
        case PATTERN_BYTES:
            result = feed_bytes(element, match, rest, bytes - *used, &more);
            break;
        case PATTERN_NUMBER:
        case PATTERN_NAME:
            result = feed_digits(element, match, names, rest, bytes - *used, &more);
            break;
        case PATTERN_REST_OF_LINE:
            result = feed_rest_of_line(rest, bytes - *used, &more);
            break;
        }
        *used += more;
        if (result != PATTERN_MATCHED)
            return result;
        match->element++;
        match->offset = 0;
    }
    return PATTERN_MATCHED;
}

void pattern_print(const uint8_t *data, size_t bytes, size_t limit, char *out, size_t out_bytes)
{
    size_t used = 0;
    size_t shown = bytes < limit ? bytes : limit;
    out[0] = '\0';
    for (size_t i = 0; i < shown && used + 8 < out_bytes; i++) {
        if (data[i] == '\r')
            used += (size_t)snprintf(out + used, out_bytes - used, "\\r");
        else if (data[i] == '\n')
            used += (size_t)snprintf(out + used, out_bytes - used, "\\n");
        else if (isprint(data[i]) && data[i] != '\\')
            used += (size_t)snprintf(out + used, out_bytes - used, "%c", data[i]);
        else
            used += (size_t)snprintf(out + used, out_bytes - used, "\\x%02x", data[i]);
    }
    if (shown < bytes && used + 24 < out_bytes)
        (void)snprintf(out + used, out_bytes - used, "... (%zu bytes)", bytes);
}
