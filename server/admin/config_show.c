#include "server/admin/config.h"
#include "server/admin/option.h"

#include <assert.h>
#include <inttypes.h>
#include <string.h>

#define HELP_COLUMN  36 /* where the text begins */
#define HELP_COLUMNS 100

static const char *or_none(const char *text, const char *none)
{
    if (text != NULL && text[0] != '\0')
        return text;
    return none != NULL ? none : "NULL";
}

static void show(const struct config *config, const struct option_row *row, char *value,
                 size_t value_bytes)
{
    const uint8_t *field = (const uint8_t *)config + row->field.offset;
    int64_t number = row->show == SHOW_CONSTANT || row->show == SHOW_TEXT || row->show == SHOW_ARRAY
                         ? 0
                         : option_read(config, row);
    const char *text = NULL;
    size_t text_bytes = 0;

    switch (row->show) {
    case SHOW_NUMBER:
        snprintf(value, value_bytes, "%" PRId64, number);
        break;
    case SHOW_OCTAL:
        snprintf(value, value_bytes, "%" PRIo64, (uint64_t)number);
        break;
    case SHOW_YES_NO:
        snprintf(value, value_bytes, "%s", number != 0 ? "yes" : "no");
        break;
    case SHOW_ON_OFF:
        snprintf(value, value_bytes, "%s", number != 0 ? "on" : "off");
        break;
    case SHOW_CHAR:
        snprintf(value, value_bytes, "%c", (char)number);
        break;
    case SHOW_TEXT:
        memcpy(&text, field, sizeof(text));
        snprintf(value, value_bytes, "%s", or_none(text, row->none));
        break;
    case SHOW_ARRAY:
        snprintf(value, value_bytes, "%s", or_none((const char *)field, NULL));
        break;
    case SHOW_CENTS:
        snprintf(value, value_bytes, "%.2f", (double)number / 1e6);
        break;
    case SHOW_MILLS:
        snprintf(value, value_bytes, "%.3f", (double)number / 1e6);
        break;
    case SHOW_CHOICE:
        if (option_choice(row->shown, (size_t)number, &text, &text_bytes))
            snprintf(value, value_bytes, "%.*s", (int)text_bytes, text);
        break;
    case SHOW_CONSTANT:
        snprintf(value, value_bytes, "%s", row->shown);
        break;
    case SHOW_NOTHING:
        assert(false);
        break;
    }
}

void config_settings(const struct config *config, config_setting_fn *each, void *context)
{
    char value[CONFIG_LISTEN_BYTES_MAX + 1];

    for (size_t i = 0; i < OPTION_ROWS_COUNT; i++) {
        const struct option_row *row = &OPTION_ROWS[i];

        if (row->setting == NULL)
            continue;
        value[0] = '\0';
        show(config, row, value, sizeof(value));
        each(context, row->setting, value);
    }
}

/* The option as it is typed: "  -p, --port=<num>" or "  -o idle_timeout=<num>". */
static int print_form(FILE *out, const struct option_row *row)
{
    char name[OPTION_NAME_BYTES];
    bool joined = row->extended || row->name != NULL;
    int columns = fprintf(out, "  %s", option_name(row, name));

    if (row->argument == NULL)
        return columns;
    if (row->argument_may_be)
        return columns + fprintf(out, "[=<%s>]", row->argument);
    return columns + fprintf(out, "%s<%s>", joined ? "=" : " ", row->argument);
}

/* @text from HELP_COLUMN on, in lines of at most HELP_COLUMNS. */
static void print_wrapped(FILE *out, const char *text)
{
    size_t used = HELP_COLUMN;

    while (*text != '\0') {
        size_t word_bytes = strcspn(text, " ");

        if (used > HELP_COLUMN && used + 1 + word_bytes > HELP_COLUMNS) {
            fprintf(out, "\n%*s", HELP_COLUMN, "");
            used = HELP_COLUMN;
        }
        used +=
            (size_t)fprintf(out, "%s%.*s", used > HELP_COLUMN ? " " : "", (int)word_bytes, text);
        text += word_bytes;
        text += strspn(text, " ");
    }
    fputc('\n', out);
}

static void print_row(FILE *out, const struct option_row *row)
{
    char text[512];
    const char *unit = row->unit != NULL ? row->unit : "";
    int used = print_form(out, row);

    if (used >= HELP_COLUMN) {
        fputc('\n', out);
        used = 0;
    }
    fprintf(out, "%*s", HELP_COLUMN - used, "");
    if (row->initial != NULL && row->argument != NULL && row->kind == OPTION_TAKEN)
        snprintf(text, sizeof(text), "%s (default: %s%s%s)", row->help, row->initial,
                 row->unit != NULL ? " " : "", unit);
    else
        snprintf(text, sizeof(text), "%s", row->help != NULL ? row->help : row->why);
    print_wrapped(out, text);
}

void config_print_help(FILE *out)
{
    fprintf(out, "%s %s: a memcached server that keeps its values compressed\n", CONFIG_PROGRAM,
            CONFIG_PROGRAM_VERSION);
    for (int section = 0; section < SECTIONS_COUNT; section++) {
        fprintf(out, "\n%s:\n", option_section_title((enum option_section)section));
        for (size_t i = 0; i < OPTION_ROWS_COUNT; i++) {
            if (OPTION_ROWS[i].kind != OPTION_NONE && (int)OPTION_ROWS[i].section == section)
                print_row(out, &OPTION_ROWS[i]);
        }
    }
}

void config_print_license(FILE *out)
{
    fprintf(out,
            "%s is free software under the 3-clause BSD licence.\n"
            "Copyright (c) The zbcached authors.\n\n"
            "It is linked with libevent and zstd (3-clause BSD), LZ4 and xxHash (2-clause BSD), "
            "OpenSSL (Apache 2.0) and libseccomp (LGPL 2.1).\n",
            CONFIG_PROGRAM);
}
