#include "clients/options.h"

#include <assert.h>
#include <getopt.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#define LONG_ONLY 256 /* the first of the values getopt gives for options without a letter */

void options_help(FILE *file, const struct options_table *table)
{
    for (size_t i = 0; i < table->count; i++) {
        const struct options_row *row = &table->rows[i];
        char name[40];
        char letter[5] = "    ";

        if (row->letter != 0)
            (void)snprintf(letter, sizeof(letter), "-%c, ", row->letter);
        (void)snprintf(name, sizeof(name), "%s%s%s", row->name, row->argument != NULL ? " " : "",
                       row->argument != NULL ? row->argument : "");
        fprintf(file, "  %s--%-19s ", letter, name);
        for (const char *at = row->help; *at != '\0'; at++) {
            (void)putc(*at, file);
            if (*at == '\n')
                fprintf(file, "%28s", "");
        }
        (void)putc('\n', file);
    }
}

void options_complain(const struct options_table *table, const char *name, const char *text,
                      const char *why)
{
    fprintf(stderr, "%s: --%s%s%s: %s (%s --help)\n", table->program, name, text != NULL ? " " : "",
            text != NULL ? text : "", why, table->program);
}

static bool read_number(const struct options_table *table, const struct options_row *row,
                        const char *text, double *number)
{
    char why[96];
    char *end;
    bool whole = row->kind != OPTIONS_NUMBER;

    *number = strtod(text, &end);
    if (end != text && *end == '\0' && *number >= row->min && *number <= row->max &&
        (!whole || strspn(text, "0123456789") == strlen(text)))
        return true;
    (void)snprintf(why, sizeof(why), "not a %snumber from %.15g to %.15g", whole ? "whole " : "",
                   row->min, row->max);
    options_complain(table, row->name, text, why);
    return false;
}

static bool read_row(const struct options_table *table, const struct options_row *row, void *target,
                     const char *text)
{
    uint8_t *member = (uint8_t *)target + row->offset;
    const char *why;
    double number;

    switch (row->kind) {
    case OPTIONS_FLAG:
        *(bool *)member = !*(bool *)member;
        return true;
    case OPTIONS_WHOLE:
        if (!read_number(table, row, text, &number))
            return false;
        *(uint32_t *)(void *)member = (uint32_t)number;
        return true;
    case OPTIONS_LARGE:
        if (!read_number(table, row, text, &number))
            return false;
        *(uint64_t *)(void *)member = strtoull(text, NULL, 10);
        return true;
    case OPTIONS_NUMBER:
        return read_number(table, row, text, (double *)(void *)member);
    case OPTIONS_TEXT:
        *(const char **)(void *)member = text;
        return true;
    case OPTIONS_BY_HAND:
        why = row->read(target, text);
        if (why != NULL)
            options_complain(table, row->name, text, why);
        return why == NULL;
    case OPTIONS_HELP:
        break;
    }
    return true;
}

/* What getopt_long() is told: @longs and @shorts are set. */
static void describe(const struct options_table *table, struct option *longs, char *shorts)
{
    size_t at = 0;

    for (size_t i = 0; i < table->count; i++) {
        const struct options_row *row = &table->rows[i];

        longs[i] = (struct option){row->name, row->argument != NULL, NULL, LONG_ONLY + (int)i};
        if (row->letter != 0)
            shorts[at++] = row->letter;
        if (row->letter != 0 && row->argument != NULL)
            shorts[at++] = ':';
    }
}

enum options_answer options_read(const struct options_table *table, void *target, int argc,
                                 char **argv, int *first)
{
    struct option longs[OPTIONS_ROWS_MAX + 1] = {{0}};
    bool given[OPTIONS_ROWS_MAX] = {false};
    char shorts[2 * OPTIONS_ROWS_MAX + 1] = "";
    int got;

    assert(table->count <= OPTIONS_ROWS_MAX);
    describe(table, longs, shorts);
    while ((got = getopt_long(argc, argv, shorts, longs, NULL)) != -1) {
        size_t i = got >= LONG_ONLY ? (size_t)(got - LONG_ONLY) : 0;

        while (got < LONG_ONLY && i < table->count && table->rows[i].letter != got)
            i++;
        if (i == table->count)
            return OPTIONS_BAD; /* getopt has said why */
        if (table->rows[i].kind == OPTIONS_HELP)
            return OPTIONS_ASK_HELP;
        if (table->rows[i].kind == OPTIONS_FLAG && given[i])
            continue;
        given[i] = true;
        if (!read_row(table, &table->rows[i], target, optarg))
            return OPTIONS_BAD;
    }
    *first = optind;
    return OPTIONS_READ;
}
