#include "server/admin/config.h"

#include "server/admin/config_file.h"
#include "server/admin/option.h"

#include <assert.h>
#include <ctype.h>
#include <errno.h>
#include <inttypes.h>
#include <limits.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sysexits.h>
#include <unistd.h>

#define OPTION_ROWS_MAX 256u
#define EXIT_UNKNOWN    1 /* an unknown option, or one without its argument, as memcached */

struct parser {
    struct config *config;
    struct config_report *report;
    char *const *argv;
    int argc;
    int next;                     /* the argument to read next */
    bool in_file;                 /* arguments are a line of a file */
    bool passing;                 /* texts end with the caller: those kept are copied */
    bool warned[OPTION_ROWS_MAX]; /* by row */
};

/* ---- what is told ---- */

__attribute__((format(printf, 3, 4))) static enum config_status fail(struct parser *parser,
                                                                     int exit_code,
                                                                     const char *format, ...)
{
    va_list arguments;

    va_start(arguments, format);
    vsnprintf(parser->report->error, sizeof(parser->report->error), format, arguments);
    va_end(arguments);
    parser->report->exit_code = exit_code;
    return CONFIG_ERROR;
}

__attribute__((format(printf, 2, 3))) static void warn(struct parser *parser, const char *format,
                                                       ...)
{
    struct config_report *report = parser->report;
    va_list arguments;

    if (report->warnings_count == CONFIG_WARNINGS_MAX)
        return;
    va_start(arguments, format);
    vsnprintf(report->warnings[report->warnings_count], sizeof(report->warnings[0]), format,
              arguments);
    va_end(arguments);
    report->warnings_count++;
}

static enum config_status fail_range(struct parser *parser, const struct option_row *row,
                                     const char *text)
{
    char name[OPTION_NAME_BYTES];
    const char *reason = row->why != NULL && row->kind == OPTION_TAKEN ? row->why : NULL;
    const char *before = reason != NULL ? ": " : "";

    option_name(row, name);
    reason = reason != NULL ? reason : "";
    if (row->type == OPTION_OCTAL)
        return fail(parser, EX_USAGE, "%s: \"%s\" is not an octal number from 0 to %" PRIo64 "%s%s",
                    name, text, (uint64_t)row->max, before, reason);
    if (row->type == OPTION_FRACTION)
        return fail(parser, EX_USAGE, "%s: \"%s\" is not a number from %.7g to %.7g%s%s", name,
                    text, (double)row->min / 1e6, (double)row->max / 1e6, before, reason);
    return fail(parser, EX_USAGE, "%s: \"%s\" is not a %s from %" PRId64 " to %" PRId64 "%s%s",
                name, text, row->type == OPTION_SIZE ? "size in bytes (or with k or m)" : "number",
                row->min, row->max, before, reason);
}

/* ---- numbers ---- */

/* A whole string of digits of base 8 or 10, '-' before it where @negative; no blank, no '+'. */
static bool parse_digits(const char *text, bool negative, int base, int64_t *value)
{
    char *end;
    long long parsed;

    if (!isdigit((unsigned char)text[negative && text[0] == '-' ? 1 : 0]))
        return false;
    errno = 0;
    parsed = strtoll(text, &end, base);
    *value = parsed;
    return errno == 0 && *end == '\0';
}

/* Bytes, or with one letter k or m after them. Too large to multiply reads as INT64_MAX. */
static bool parse_size(const char *text, int64_t *value)
{
    char digits[24];
    size_t length = strlen(text);
    unsigned shift = 0;

    if (length == 0 || length >= sizeof(digits))
        return false;
    memcpy(digits, text, length + 1);
    if (strchr("kK", text[length - 1]) != NULL)
        shift = 10;
    if (strchr("mM", text[length - 1]) != NULL)
        shift = 20;
    if (shift != 0)
        digits[length - 1] = '\0';
    if (!parse_digits(digits, false, 10, value))
        return false;
    *value = *value > INT64_MAX >> shift ? INT64_MAX : *value << shift;
    return true;
}

/* Digits with at most one point among them; at most six after it count. In millionths. */
static bool parse_fraction(const char *text, int64_t *value)
{
    int64_t sum = 0;
    int decimals = -1; /* none seen yet */
    bool digits = false;

    for (; *text != '\0'; text++) {
        if (*text == '.' && decimals < 0) {
            decimals = 0;
            continue;
        }
        if (!isdigit((unsigned char)*text) || sum > INT64_MAX / 100000000)
            return false;
        digits = true;
        if (decimals == 6)
            continue;
        sum = sum * 10 + (*text - '0');
        decimals += decimals >= 0;
    }
    for (; decimals < 6; decimals++)
        sum *= decimals >= 0 ? 10 : 1;
    if (!digits)
        return false;
    *value = sum;
    return true;
}

static bool parse_number(const struct option_row *row, const char *text, int64_t *value)
{
    switch ((int)row->type) {
    case OPTION_NUMBER:
        return parse_digits(text, row->min < 0, 10, value);
    case OPTION_OCTAL:
        return parse_digits(text, false, 8, value);
    case OPTION_SIZE:
        return parse_size(text, value);
    default:
        assert(row->type == OPTION_FRACTION);
        return parse_fraction(text, value);
    }
}

/* ---- fields ---- */

static void write_field(struct config *config, struct option_field field, int64_t value)
{
    uint8_t *place = (uint8_t *)config + field.offset;
    uint8_t byte = (uint8_t)value;
    uint32_t narrow = (uint32_t)value;
    uint64_t wide = (uint64_t)value;

    switch (field.bytes) {
    case 0:
        break;
    case 1:
        memcpy(place, &byte, sizeof(byte));
        break;
    case 4:
        memcpy(place, &narrow, sizeof(narrow));
        break;
    default:
        assert(field.bytes == 8);
        memcpy(place, &wide, sizeof(wide));
        break;
    }
}

static enum config_status take_number(struct parser *parser, const struct option_row *row,
                                      const char *text)
{
    int64_t value;

    if (!parse_number(row, text, &value) || value < row->min || value > row->max)
        return fail_range(parser, row, text);
    write_field(parser->config, row->field, value * (row->scale != 0 ? row->scale : 1));
    return CONFIG_OK;
}

static enum config_status take_choice(struct parser *parser, const struct option_row *row,
                                      const char *text)
{
    char name[OPTION_NAME_BYTES];
    const char *choice;
    size_t choice_bytes;
    const char *reason = row->kind == OPTION_TAKEN ? row->why : NULL;

    for (size_t i = 0; option_choice(row->choices, i, &choice, &choice_bytes); i++) {
        if (strlen(text) == choice_bytes && memcmp(text, choice, choice_bytes) == 0) {
            write_field(parser->config, row->field, (int64_t)i);
            return CONFIG_OK;
        }
    }
    return fail(parser, EX_USAGE, "%s: \"%s\" is none of %s%s%s", option_name(row, name), text,
                row->choices, reason != NULL ? ": " : "", reason != NULL ? reason : "");
}

static enum config_status keep_text(struct parser *parser, const struct option_row *row,
                                    const char *text)
{
    struct config *config = parser->config;
    char name[OPTION_NAME_BYTES];
    const size_t bytes = strlen(text) + 1;

    if (bytes > sizeof(config->texts) - config->texts_used)
        return fail(parser, EX_USAGE, "%s: no room for more than %u bytes of such text",
                    option_name(row, name), CONFIG_TEXT_BYTES_MAX);
    text = memcpy(config->texts + config->texts_used, text, bytes);
    config->texts_used += (uint32_t)bytes;
    memcpy((uint8_t *)config + row->field.offset, &text, sizeof(text));
    return CONFIG_OK;
}

static enum config_status take_text(struct parser *parser, const struct option_row *row,
                                    const char *text)
{
    if (row->field.bytes == 0)
        return CONFIG_OK;
    assert(row->field.bytes == sizeof(text));
    if (parser->passing)
        return keep_text(parser, row, text);
    memcpy((uint8_t *)parser->config + row->field.offset, &text, sizeof(text));
    return CONFIG_OK;
}

/* ---- -l ---- */

/* memcached's words before an address: what needs the proxy is refused, what asks for the plain
 * text protocol is what happens anyway, and tags only matter to the proxy. */
static const struct {
    const char *word;
    const char *refused; /* NULL: skipped */
    bool bracket;        /* the word goes on up to "]:" */
    enum config_tls tls; /* CONFIG_TLS_DEFAULT: the word says nothing of it */
} LISTEN_WORDS[] = {
    {"notls:", NULL, false, CONFIG_TLS_NONE},
    {"btls:", NULL, false, CONFIG_TLS_BASIC},
    {"mtls:", NULL, false, CONFIG_TLS_MUTUAL},
    {"proto[ascii]:", NULL, false, CONFIG_TLS_DEFAULT},
    {"proto[negotiating]:", NULL, false, CONFIG_TLS_DEFAULT},
    {"proto[", "that protocol is not supported", false, CONFIG_TLS_DEFAULT},
    {"tag[", NULL, true, CONFIG_TLS_DEFAULT},
};

static enum config_status skip_words(struct parser *parser, char **address, uint32_t *tls)
{
    const size_t count = sizeof(LISTEN_WORDS) / sizeof(LISTEN_WORDS[0]);
    size_t i = 0;

    while (i < count) {
        size_t word_bytes = strlen(LISTEN_WORDS[i].word);

        if (strncmp(*address, LISTEN_WORDS[i].word, word_bytes) != 0) {
            i++;
            continue;
        }
        if (LISTEN_WORDS[i].refused != NULL)
            return fail(parser, EX_USAGE, "-l, --listen: \"%s\": %s", *address,
                        LISTEN_WORDS[i].refused);
        if (LISTEN_WORDS[i].tls != CONFIG_TLS_DEFAULT)
            *tls = LISTEN_WORDS[i].tls;
        if (LISTEN_WORDS[i].bracket) {
            char *end = strstr(*address, "]:");

            if (end == NULL)
                return fail(parser, EX_USAGE, "-l, --listen: \"%s\": no \"]:\" ends the tag",
                            *address);
            *address = end + 2;
        } else {
            *address += word_bytes;
        }
        i = 0; /* another word may follow, in any order */
    }
    return CONFIG_OK;
}

/* Parts "host", "host:port", "[v6]", "[v6]:port", a bare v6 address, or "*". */
static bool split_address(char *text, char **host, char **port)
{
    char *colon;

    *host = text;
    *port = NULL;
    if (*text == '[') {
        char *end = strchr(text, ']');

        if (end == NULL || (end[1] != '\0' && end[1] != ':'))
            return false;
        *host = text + 1;
        *port = end[1] == ':' ? end + 2 : NULL;
        *end = '\0';
    } else {
        colon = strchr(text, ':');
        if (colon != NULL && strchr(colon + 1, ':') == NULL) {
            *port = colon + 1;
            *colon = '\0';
        }
    }
    if (strcmp(*host, "*") == 0)
        *host += 1;
    else if (**host == '\0')
        return false;
    return strlen(*host) <= CONFIG_HOST_BYTES_MAX;
}

static enum config_status take_address(struct parser *parser, char *text)
{
    struct config *config = parser->config;
    struct config_address *address;
    char shown[64];
    char *host;
    char *port;
    int64_t number = CONFIG_PORT_UNSET;
    uint32_t tls = CONFIG_TLS_DEFAULT;
    enum config_status status = skip_words(parser, &text, &tls);

    if (status != CONFIG_OK)
        return status;
    snprintf(shown, sizeof(shown), "%s", text); /* text is cut up from here on */
    if (!split_address(text, &host, &port))
        return fail(parser, EX_USAGE, "-l, --listen: \"%s\" is not an address", shown);
    if (port != NULL && (!parse_digits(port, true, 10, &number) || number < CONFIG_PORT_ANY ||
                         number == 0 || number > 65535))
        return fail(parser, EX_USAGE, "-l, --listen: \"%s\": \"%s\" is not a port from 1 to 65535",
                    shown, port);
    if (config->addresses_count == CONFIG_ADDRESSES_MAX)
        return fail(parser, EX_USAGE, "-l, --listen: more than %u addresses", CONFIG_ADDRESSES_MAX);
    address = &config->addresses[config->addresses_count++];
    snprintf(address->host, sizeof(address->host), "%s", host);
    address->port = (int32_t)number;
    address->tls = tls;
    return CONFIG_OK;
}

static enum config_status take_listen(struct parser *parser, const char *text)
{
    struct config *config = parser->config;
    char copy[CONFIG_LISTEN_BYTES_MAX + 1];
    size_t used = strlen(config->listen);
    char *rest = NULL;
    unsigned before = config->addresses_count;

    if (used + 1 + strlen(text) > CONFIG_LISTEN_BYTES_MAX)
        return fail(parser, EX_USAGE, "-l, --listen: longer than %u bytes",
                    CONFIG_LISTEN_BYTES_MAX);
    snprintf(copy, sizeof(copy), "%s", text);
    snprintf(config->listen + used, sizeof(config->listen) - used, "%s%s", used > 0 ? "," : "",
             text);
    for (char *part = strtok_r(copy, ";,", &rest); part != NULL;
         part = strtok_r(NULL, ";,", &rest)) {
        enum config_status status = take_address(parser, part);

        if (status != CONFIG_OK)
            return status;
    }
    if (config->addresses_count == before)
        return fail(parser, EX_USAGE, "-l, --listen: \"%s\" names no address", text);
    return CONFIG_OK;
}

/* ---- --http ---- */

static enum config_status take_one_address(struct parser *parser, const struct option_row *row,
                                           const char *text)
{
    struct config_address address = {.host = CONFIG_HTTP_HOST, .tls = CONFIG_TLS_NONE};
    char name[OPTION_NAME_BYTES];
    char copy[CONFIG_HOST_BYTES_MAX + 16];
    const char *alone = text[0] == ':' ? text + 1 : text;
    char *host = copy;
    char *port;
    int64_t number;

    if ((size_t)snprintf(copy, sizeof(copy), "%s", text) >= sizeof(copy))
        return fail(parser, EX_USAGE, "%s: the address is too long", option_name(row, name));
    if (!parse_digits(alone, true, 10, &number)) {
        if (!split_address(copy, &host, &port) || port == NULL ||
            !parse_digits(port, true, 10, &number))
            return fail(parser, EX_USAGE, "%s: \"%.64s\" is not an address and a port, or a port",
                        option_name(row, name), text);
        snprintf(address.host, sizeof(address.host), "%s", host);
    }
    if (number < row->min || number > row->max)
        return fail_range(parser, row, text);
    address.port = (int32_t)number;
    assert(row->field.bytes == sizeof(address));
    memcpy((uint8_t *)parser->config + row->field.offset, &address, sizeof(address));
    return CONFIG_OK;
}

/* ---- options ---- */

static enum config_status take_extended(struct parser *parser, const char *text);
static enum config_status take_file(struct parser *parser, const char *path);

static enum config_status take_argument(struct parser *parser, const struct option_row *row,
                                        const char *text)
{
    switch (row->type) {
    case OPTION_FLAG:
        write_field(parser->config, row->field, row->set);
        return CONFIG_OK;
    case OPTION_COUNT:
        if (option_read(parser->config, row) < row->max)
            write_field(parser->config, row->field, option_read(parser->config, row) + 1);
        return CONFIG_OK;
    case OPTION_ASK:
        return (enum config_status)row->set;
    case OPTION_NUMBER:
    case OPTION_SIZE:
    case OPTION_OCTAL:
    case OPTION_FRACTION:
        return take_number(parser, row, text);
    case OPTION_CHAR:
        write_field(parser->config, row->field, (unsigned char)text[0]);
        return CONFIG_OK;
    case OPTION_CHOICE:
        return take_choice(parser, row, text);
    case OPTION_TEXT:
    case OPTION_PATH:
        return take_text(parser, row, text);
    case OPTION_LISTEN:
        return take_listen(parser, text);
    case OPTION_ADDRESS:
        return take_one_address(parser, row, text);
    case OPTION_EXTENDED:
        return take_extended(parser, text);
    case OPTION_FILE:
        return take_file(parser, text);
    }
    assert(false);
    return CONFIG_ERROR;
}

/* @text: the argument, or NULL where the option has none or it was left out. */
static enum config_status take(struct parser *parser, const struct option_row *row,
                               const char *text)
{
    char name[OPTION_NAME_BYTES];
    size_t number = (size_t)(row - OPTION_ROWS);

    option_name(row, name);
    if (row->kind == OPTION_REFUSED)
        return fail(parser, EX_USAGE, "%s: %s", name, row->why);
    if (row->argument != NULL && text != NULL && text[0] == '\0')
        return fail(parser, EX_USAGE, "%s: its argument is empty", name);
    if (row->kind == OPTION_INERT && !parser->warned[number])
        warn(parser, "%s has no effect: %s", name, row->why);
    if (row->argument == NULL && text != NULL && !parser->warned[number])
        warn(parser, "%s takes no value, \"%.64s\" is ignored", name, text);
    parser->warned[number] = true;
    write_field(parser->config, row->also, true);
    if (row->argument != NULL && text == NULL) {
        assert(row->argument_may_be);
        write_field(parser->config, row->field, row->set);
        return CONFIG_OK;
    }
    return take_argument(parser, row, text);
}

static bool needs_argument(const struct option_row *row)
{
    return row->argument != NULL && !row->argument_may_be;
}

/* Is @given @name, or its first @given_bytes bytes? '-' and '_' are the same. */
static bool name_begins(const char *name, const char *given, size_t given_bytes)
{
    for (size_t i = 0; i < given_bytes; i++) {
        char wanted = name[i] == '_' ? '-' : name[i];

        if (wanted == '\0' || wanted != (given[i] == '_' ? '-' : given[i]))
            return false;
    }
    return true;
}

/* A long option by its name or the unique beginning of one; a suboption by its whole name. */
static const struct option_row *find_name(const char *given, size_t given_bytes, bool extended)
{
    const struct option_row *found = NULL;
    unsigned found_count = 0;

    for (size_t i = 0; i < OPTION_ROWS_COUNT; i++) {
        const struct option_row *row = &OPTION_ROWS[i];

        if (row->name == NULL || row->extended != extended || given_bytes == 0 ||
            !name_begins(row->name, given, given_bytes))
            continue;
        if (row->name[given_bytes] == '\0')
            return row;
        found = row;
        found_count++;
    }
    return found_count == 1 && !extended ? found : NULL;
}

static const struct option_row *find_letter(char letter)
{
    for (size_t i = 0; i < OPTION_ROWS_COUNT; i++) {
        if (OPTION_ROWS[i].letter == letter)
            return &OPTION_ROWS[i];
    }
    return NULL;
}

static enum config_status take_suboption(struct parser *parser, char *part)
{
    char name[OPTION_NAME_BYTES];
    char *equals = strchr(part, '=');
    const char *value = equals != NULL ? equals + 1 : NULL;
    const struct option_row *row = find_name(part, strcspn(part, "="), true);

    if (row == NULL)
        return fail(parser, EXIT_UNKNOWN, "Illegal suboption \"%.128s\" (see --help)", part);
    if (needs_argument(row) && value == NULL && row->kind != OPTION_REFUSED)
        return fail(parser, EXIT_UNKNOWN, "%s: its argument is missing", option_name(row, name));
    return take(parser, row, value);
}

static enum config_status take_extended(struct parser *parser, const char *text)
{
    char copy[CONFIG_LISTEN_BYTES_MAX + 1];
    char *rest = copy;
    const bool passing = parser->passing;
    enum config_status status = CONFIG_OK;

    if (strlen(text) > CONFIG_LISTEN_BYTES_MAX)
        return fail(parser, EX_USAGE, "-o, --extended: longer than %u bytes",
                    CONFIG_LISTEN_BYTES_MAX);
    snprintf(copy, sizeof(copy), "%s", text);
    parser->passing = true;
    while (status == CONFIG_OK && rest != NULL && *rest != '\0')
        status = take_suboption(parser, strsep(&rest, ","));
    parser->passing = passing;
    return status;
}

static enum config_status take_long(struct parser *parser, const char *argument)
{
    char name[OPTION_NAME_BYTES];
    const char *equals = strchr(argument, '=');
    const char *value = equals != NULL ? equals + 1 : NULL;
    const struct option_row *row = find_name(argument, strcspn(argument, "="), false);

    if (row == NULL)
        return fail(parser, EXIT_UNKNOWN, "Illegal argument \"--%.128s\" (see --help)", argument);
    if (needs_argument(row) && value == NULL && row->kind != OPTION_REFUSED) {
        if (parser->next == parser->argc)
            return fail(parser, EXIT_UNKNOWN, "%s: its argument is missing",
                        option_name(row, name));
        value = parser->argv[parser->next++];
    }
    return take(parser, row, value);
}

/* One argument of letters: "-v", "-vvv", "-dp11211", "-p 11211". */
static enum config_status take_letters(struct parser *parser, const char *letters)
{
    char name[OPTION_NAME_BYTES];

    for (; *letters != '\0'; letters++) {
        const struct option_row *row = find_letter(*letters);
        const char *value = NULL;
        enum config_status status;

        if (row == NULL)
            return fail(parser, EXIT_UNKNOWN, "Illegal argument \"-%c\" (see --help)", *letters);
        if (needs_argument(row) && row->kind != OPTION_REFUSED) {
            if (letters[1] != '\0')
                value = letters + 1;
            else if (parser->next < parser->argc)
                value = parser->argv[parser->next++];
            else
                return fail(parser, EXIT_UNKNOWN, "%s: its argument is missing",
                            option_name(row, name));
        }
        status = take(parser, row, value);
        if (status != CONFIG_OK || value != NULL)
            return status;
    }
    return CONFIG_OK;
}

/* ---- --config ---- */

/* A line of a file is an option and perhaps its value, and nothing besides. */
static enum config_status take_line(struct parser *parser, const struct config_line *line)
{
    const bool is_long = strncmp(line->word, "--", 2) == 0;
    char *const argv[] = {line->word, line->value};
    enum config_status status;

    /* In Debian's file, where the script that starts memcached reads it. */
    if (strcmp(line->word, "logfile") == 0) {
        warn(parser, "logfile has no effect: the log goes to the standard error");
        return CONFIG_OK;
    }
    if (line->word[0] != '-' || line->word[is_long ? 2 : 1] == '\0')
        return fail(parser, EX_USAGE, "\"%.64s\" is no option", line->word);
    parser->argv = argv;
    parser->argc = line->value != NULL ? 2 : 1;
    parser->next = 1;
    status = is_long ? take_long(parser, line->word + 2) : take_letters(parser, line->word + 1);
    if (status == CONFIG_OK && parser->next < parser->argc)
        return fail(parser, EX_USAGE, "%.64s takes no value, but \"%.64s\" follows", line->word,
                    line->value);
    if (status != CONFIG_OK && status != CONFIG_ERROR)
        return fail(parser, EX_USAGE, "%.64s belongs on the command line", line->word);
    return status;
}

static void say_where(struct parser *parser, const char *path, unsigned line)
{
    char error[sizeof(parser->report->error)];

    memcpy(error, parser->report->error, sizeof(error));
    (void)fail(parser, parser->report->exit_code, "%.200s line %u: %.250s", path, line, error);
}

static enum config_status take_file(struct parser *parser, const char *path)
{
    const struct parser before = *parser;
    struct config_line line = {.number = 0};
    enum config_status status = CONFIG_OK;
    char error[CONFIG_ERROR_BYTES_MAX + 1];

    if (parser->in_file)
        return fail(parser, EX_USAGE, "--config: not within a file");
    char *text = config_file_read(path, error, sizeof(error));
    char *rest = text;

    if (text == NULL)
        return fail(parser, EX_USAGE, "--config: %.300s", error);
    parser->in_file = true;
    parser->passing = true;
    while (status == CONFIG_OK && config_file_next(&rest, &line))
        status = take_line(parser, &line);
    if (status != CONFIG_OK)
        say_where(parser, path, line.number);
    free(text);
    parser->argv = before.argv;
    parser->argc = before.argc;
    parser->next = before.next;
    parser->in_file = false;
    parser->passing = false;
    return status;
}

/* ---- the whole ---- */

static enum config_status take_all(struct parser *parser)
{
    bool options = true; /* until "--" */

    while (parser->next < parser->argc) {
        const char *argument = parser->argv[parser->next++];
        enum config_status status = CONFIG_OK;

        if (options && strcmp(argument, "--") == 0)
            options = false;
        else if (options && strncmp(argument, "--", 2) == 0)
            status = take_long(parser, argument + 2);
        else if (options && argument[0] == '-' && argument[1] != '\0')
            status = take_letters(parser, argument + 1);
        else
            warn(parser, "\"%.64s\" is no option and is ignored", argument);
        if (status != CONFIG_OK)
            return status;
    }
    return CONFIG_OK;
}

static void set_defaults(struct parser *parser)
{
    memset(parser->config, 0, sizeof(*parser->config));
    for (size_t i = 0; i < OPTION_ROWS_COUNT; i++) {
        const struct option_row *row = &OPTION_ROWS[i];
        enum config_status status = CONFIG_OK;

        if (row->initial == NULL)
            continue;
        if (row->type == OPTION_FLAG)
            write_field(parser->config, row->field, row->initial[0] == '1');
        else
            status = take_argument(parser, row, row->initial);
        assert(status == CONFIG_OK); /* the table's own default is in the table's own range */
    }
}

/* TLS as a whole, with a server's certificate, and with authorities where clients need one. */
static enum config_status check_tls(struct parser *parser)
{
    struct config *config = parser->config;
    bool verifies = config->tls_verify_mode > 0;

    for (uint32_t i = 0; i < config->addresses_count; i++) {
        struct config_address *address = &config->addresses[i];

        if (!config->tls_enabled && address->tls > CONFIG_TLS_DEFAULT)
            return fail(parser, EX_USAGE, "-l, --listen: btls: and mtls: need TLS (-Z)");
        if (!config->tls_enabled)
            address->tls = CONFIG_TLS_NONE;
        verifies = verifies || address->tls == CONFIG_TLS_MUTUAL;
    }
    if (config->tls_enabled && config->tls_chain_cert == NULL)
        return fail(parser, EX_USAGE, "-Z, --enable-ssl: needs -o ssl_chain_cert=<file>");
    if (config->tls_enabled && verifies && config->tls_ca_cert == NULL)
        return fail(parser, EX_USAGE,
                    "-Z, --enable-ssl: clients' certificates cannot be verified "
                    "without -o ssl_ca_cert=<file>");
    return CONFIG_OK;
}

/* A daemon's folder is the root. */
static enum config_status make_absolute(struct parser *parser)
{
    enum config_status status = CONFIG_OK;
    char folder[PATH_MAX], path[2 * PATH_MAX], name[OPTION_NAME_BYTES];

    for (size_t i = 0; status == CONFIG_OK && i < OPTION_ROWS_COUNT; i++) {
        const struct option_row *row = &OPTION_ROWS[i];
        const char *given = NULL;

        if (row->type == OPTION_PATH && row->field.bytes != 0)
            memcpy(&given, (const uint8_t *)parser->config + row->field.offset, sizeof(given));
        if (given == NULL || given[0] == '/')
            continue;
        if (getcwd(folder, sizeof(folder)) == NULL || strlen(given) >= PATH_MAX)
            return fail(parser, EX_USAGE, "%s: cannot be told from the root",
                        option_name(row, name));
        (void)snprintf(path, sizeof(path), "%s/%s", folder, given);
        status = keep_text(parser, row, path);
    }
    return status;
}

/* What no option can tell alone. */
static enum config_status check_whole(struct parser *parser, bool as_root)
{
    struct config *config = parser->config;

    if (config->udp_port != 0 && (config->auth_path != NULL || config->tls_enabled))
        return fail(parser, EX_USAGE, "-U, --udp-port: neither users (-Y) nor TLS (-Z) hold there");
    if (config->udp_port != 0 && !config->port_given)
        config->port = config->udp_port;
    if (config->auth_path != NULL)
        config->protocol = CONFIG_PROTOCOL_ASCII;
    if (config->item_bytes_max > config->memory_bytes / 2)
        return fail(parser, EX_USAGE,
                    "-I, --max-item-size: %zu bytes are more than half of the memory (-m)",
                    config->item_bytes_max);
    if (as_root && (config->user == NULL || config->user[0] == '\0'))
        return fail(parser, EX_USAGE, "must add '-u root' to start as root");
    if (config->threads > CONFIG_THREADS_WARN)
        warn(parser, "-t, --threads: more threads than processors make the server slower");
    const enum config_status status = check_tls(parser);
    return status == CONFIG_OK && config->daemonize ? make_absolute(parser) : status;
}

enum config_status config_parse(int argc, char *const argv[], bool as_root, struct config *config,
                                struct config_report *report)
{
    struct parser parser = {
        .config = config, .report = report, .argv = argv, .argc = argc, .next = 1};
    enum config_status status;

    assert(OPTION_ROWS_COUNT <= OPTION_ROWS_MAX);
    memset(report, 0, sizeof(*report));
    set_defaults(&parser);
    status = take_all(&parser);
    config->inert.lru_segmented = config->inert.lru_maintainer;
    return status != CONFIG_OK ? status : check_whole(&parser, as_root);
}
