#include "tests/bench/options.h"

#include <assert.h>
#include <errno.h>
#include <getopt.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sysexits.h>

#define ROWS_MAX      32u
#define USAGE_COLUMNS 80

static _Noreturn void end_with_usage(const struct options_row *rows, unsigned rows_count)
{
    int column = fprintf(stderr, "usage: %s", program_invocation_short_name);

    for (unsigned i = 0; i < rows_count; i++) {
        char word[64];
        int bytes = snprintf(word, sizeof(word), " [--%s %s]%s", rows[i].name, rows[i].argument,
                             rows[i].count != NULL ? "..." : "");

        if (column + bytes > USAGE_COLUMNS)
            column = fprintf(stderr, "\n          ") - 1;
        column += fprintf(stderr, "%s", word);
    }
    fprintf(stderr, " OURS MEMCACHED\n");
    exit(EX_USAGE);
}

static bool take(const struct options_row *row, const char *text)
{
    unsigned at = row->count != NULL ? *row->count : 0;
    char *end = NULL;

    if (row->count != NULL && at == row->room) {
        fprintf(stderr, "--%s: at most %u of them\n", row->name, row->room);
        return false;
    }
    if (row->text != NULL) {
        row->text[at] = text;
    } else {
        double number = strtod(text, &end);

        if (strspn(text, row->whole != NULL ? "0123456789" : ".0123456789") != strlen(text) ||
            end == text || *end != '\0' || number < row->min || number > row->max) {
            fprintf(stderr, "--%s %s: not a %snumber from %.15g to %.15g\n", row->name, text,
                    row->whole != NULL ? "whole " : "", row->min, row->max);
            return false;
        }
        if (row->whole != NULL)
            row->whole[at] = (uint64_t)number;
        else
            row->number[at] = number;
    }
    if (row->count != NULL)
        ++*row->count;
    return true;
}

void options_read(const struct options_row *rows, unsigned rows_count, const uint64_t *alone,
                  const char *programs[OPTIONS_PROGRAMS], int argc, char **argv)
{
    struct option longs[ROWS_MAX + 1] = {{0}};
    int got;

    assert(rows_count <= ROWS_MAX);
    for (unsigned i = 0; i < rows_count; i++)
        longs[i] = (struct option){rows[i].name, required_argument, NULL, (int)i};
    while ((got = getopt_long(argc, argv, "", longs, NULL)) != -1) {
        if (got == '?' || !take(&rows[got], optarg)) /* getopt has said what is wrong */
            end_with_usage(rows, rows_count);
    }
    if (argc - optind != OPTIONS_PROGRAMS && (alone == NULL || *alone == 0 || optind != argc)) {
        fprintf(stderr, "two programs are needed, %d are there\n", argc - optind);
        end_with_usage(rows, rows_count);
    }
    for (int i = 0; i < argc - optind; i++)
        programs[i] = argv[optind + i];
}
