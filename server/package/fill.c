/*
 * fill.c - the manual's pages and the shell's completion, made from templates and the tables that
 * the programs themselves are made from:  fill PROGRAM <template >file
 *
 *   OPTION_ROWS, stats_explain()          --.
 *   CTL_OPTIONS, ctl_command_text()       --+--> what stands for @options@ and its like
 *   LOAD_OPTIONS                          --'
 *
 * Whatever else a template has comes out as it is. Pages are in man(7).
 */
#include "clients/ctl.h"
#include "clients/load_options.h"
#include "clients/options.h"
#include "server/admin/config.h"
#include "server/admin/option.h"
#include "server/admin/stats.h"

#include <ctype.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sysexits.h>

#define LINE_BYTES 4096u

/* ---- man(7) ---- */

/* Text of a paragraph: nothing in it is a request or an escape. Its first letter is a capital where
 * @capital. */
static void put_text(const char *text, bool capital)
{
    static const struct {
        char byte;
        const char *written;
    } ESCAPES[] = {
        {'\\', "\\e"},  {'-', "\\-"},   {'\'', "\\(aq"}, {'`', "\\(ga"},
        {'^', "\\(ha"}, {'~', "\\(ti"}, {'"', "\\(dq"},  {'\n', " "},
    };

    for (const char *at = text; *at != '\0'; at++) {
        const char *written = NULL;

        for (size_t i = 0; i < sizeof(ESCAPES) / sizeof(ESCAPES[0]); i++) {
            if (*at == ESCAPES[i].byte)
                written = ESCAPES[i].written;
        }
        if (written != NULL)
            fputs(written, stdout);
        else
            putchar(at == text && capital ? toupper((unsigned char)*at) : *at);
    }
}

static void put_strong(const char *text)
{
    fputs("\\fB", stdout);
    put_text(text, false);
    fputs("\\fR", stdout);
}

static void put_variable(const char *text)
{
    fputs("\\fI", stdout);
    put_text(text, false);
    fputs("\\fR", stdout);
}

static void put_sentence(const char *text)
{
    const size_t bytes = strlen(text);

    fputs("\\&", stdout);
    put_text(text, true);
    if (bytes > 0 && text[bytes - 1] != '.')
        putchar('.');
}

/* ---- zbcached ---- */

static void put_letter(char letter)
{
    const char text[] = {'-', letter, '\0'};

    put_strong(text);
}

/* "-p, --port=num", "-o idle_timeout=num" */
static void put_form(const struct option_row *row)
{
    char name[OPTION_NAME_BYTES];

    fputs(".TP\n", stdout);
    if (row->letter != 0 && row->name != NULL) {
        put_letter(row->letter);
        fputs(", ", stdout);
        (void)snprintf(name, sizeof(name), "--%s", row->name);
        put_strong(name);
    } else {
        put_strong(option_name(row, name));
    }
    if (row->argument != NULL) {
        fputs(row->argument_may_be ? "[=" : row->name != NULL ? "=" : " ", stdout);
        put_variable(row->argument);
        fputs(row->argument_may_be ? "]" : "", stdout);
    }
    putchar('\n');
}

static void put_default(const struct option_row *row)
{
    if (row->kind != OPTION_TAKEN || row->argument == NULL)
        return;
    if (row->initial != NULL) {
        fputs(" Default: ", stdout);
        put_text(row->initial, false);
        printf("%s%s.", row->unit != NULL ? " " : "", row->unit != NULL ? row->unit : "");
    }
    if (row->type == OPTION_NUMBER && row->max > row->min)
        printf(" From %s%" PRId64 " to %" PRId64 ".", row->min < 0 ? "\\-" : "",
               row->min < 0 ? -row->min : row->min, row->max);
}

static void put_server_options(void)
{
    for (int section = 0; section < SECTIONS_COUNT; section++) {
        fputs(".SS ", stdout);
        put_text(option_section_title((enum option_section)section), false);
        putchar('\n');
        for (size_t i = 0; i < OPTION_ROWS_COUNT; i++) {
            const struct option_row *row = &OPTION_ROWS[i];

            if (row->kind == OPTION_NONE || (int)row->section != section)
                continue;
            put_form(row);
            put_sentence(row->help != NULL ? row->help : row->why);
            put_default(row);
            putchar('\n');
        }
    }
}

static void put_explained(void *context, const char *name, const char *help)
{
    (void)context;
    fputs(".TP\n", stdout);
    put_strong(name);
    putchar('\n');
    put_sentence(help);
    putchar('\n');
}

static void put_zbud(const struct options_table *table)
{
    (void)table;
    stats_explain(put_explained, NULL);
}

/* ---- zbctl and zbload ---- */

static void put_table(const struct options_table *table)
{
    for (size_t i = 0; i < table->count; i++) {
        const struct options_row *row = &table->rows[i];
        char name[64];

        fputs(".TP\n", stdout);
        if (row->letter != 0) {
            put_letter(row->letter);
            fputs(", ", stdout);
        }
        (void)snprintf(name, sizeof(name), "--%s", row->name);
        put_strong(name);
        if (row->argument != NULL) {
            putchar(' ');
            put_variable(row->argument);
        }
        putchar('\n');
        put_sentence(row->kind == OPTIONS_HELP ? "print a summary and exit" : row->help);
        putchar('\n');
    }
}

static void put_commands(const struct options_table *table)
{
    const char *name;

    (void)table;
    for (size_t i = 0; (name = ctl_command_name(i)) != NULL; i++) {
        const char *arguments, *help;

        ctl_command_text(i, &arguments, &help);
        fputs(".TP\n", stdout);
        put_strong(name);
        if (arguments[0] != '\0') {
            putchar(' ');
            put_variable(arguments);
        }
        putchar('\n');
        put_sentence(strcmp(name, "help") == 0 ? "print a summary" : help);
        putchar('\n');
    }
}

/* ---- completion ---- */

#define NO_WORD "''" /* a pattern that no word is */

/* What may follow an option. */
enum follows {
    FOLLOWS_NOTHING,
    FOLLOWS_FILE,
    FOLLOWS_USER,
    FOLLOWS_SUBOPTION,
    FOLLOWS_TEXT,
};

static enum follows follows(const char *argument, bool extended)
{
    if (argument == NULL)
        return FOLLOWS_NOTHING;
    if (extended)
        return FOLLOWS_SUBOPTION;
    if (strcasecmp(argument, "file") == 0 || strcasecmp(argument, "path") == 0 ||
        strcasecmp(argument, "program") == 0)
        return FOLLOWS_FILE;
    return strcmp(argument, "user") == 0 ? FOLLOWS_USER : FOLLOWS_TEXT;
}

/* One option as its @count-th, the options before it in the same list; what is put between. */
static void put_option(char letter, const char *name, const char *between, unsigned *count)
{
    if (letter != 0)
        printf("%s-%c", (*count)++ > 0 ? between : "", letter);
    if (name != NULL)
        printf("%s--%s", (*count)++ > 0 ? between : "", name);
}

/* The options of a program that @wanted follows, or all of them where @all. */
static void put_options(const struct options_table *table, enum follows wanted, bool all,
                        const char *between)
{
    unsigned count = 0;

    for (size_t i = 0; table != NULL && i < table->count; i++) {
        const struct options_row *row = &table->rows[i];

        if (all || follows(row->argument, false) == wanted)
            put_option(row->letter, row->name, between, &count);
    }
    for (size_t i = 0; table == NULL && i < OPTION_ROWS_COUNT; i++) {
        const struct option_row *row = &OPTION_ROWS[i];
        const bool taken = row->kind == OPTION_TAKEN && !row->extended;

        if (taken && (all || follows(row->argument, row->type == OPTION_EXTENDED) == wanted))
            put_option(row->letter, row->name, between, &count);
    }
    if (count == 0)
        fputs(NO_WORD, stdout);
}

static void put_suboptions(const struct options_table *table)
{
    const char *before = "";

    for (size_t i = 0; table == NULL && i < OPTION_ROWS_COUNT; i++) {
        const struct option_row *row = &OPTION_ROWS[i];

        if (row->kind != OPTION_TAKEN || !row->extended)
            continue;
        printf("%s%s%s", before, row->name, row->argument != NULL ? "=" : "");
        before = " ";
    }
}

static void put_command_names(const struct options_table *table)
{
    const char *name;

    for (size_t i = 0; table == &CTL_OPTIONS && (name = ctl_command_name(i)) != NULL; i++)
        printf("%s%s", i > 0 ? " " : "", name);
}

static void put_file_commands(const struct options_table *table)
{
    const char *name, *arguments, *help;
    unsigned count = 0;

    for (size_t i = 0; table == &CTL_OPTIONS && (name = ctl_command_name(i)) != NULL; i++) {
        ctl_command_text(i, &arguments, &help);
        if (strcmp(arguments, "FILE") == 0)
            printf("%s%s", count++ > 0 ? "|" : "", name);
    }
    if (count == 0)
        fputs(NO_WORD, stdout);
}

/* ---- templates ---- */

static void put_version(const struct options_table *table)
{
    (void)table;
    fputs(CONFIG_PROGRAM_VERSION, stdout);
}

static void put_program(const struct options_table *table)
{
    fputs(table != NULL ? table->program : CONFIG_PROGRAM, stdout);
}

static void put_all_options(const struct options_table *table)
{
    if (table != NULL)
        put_table(table);
    else
        put_server_options();
}

/* What stands for @name@; @table is the program's, NULL for the server's OPTION_ROWS. */
static const struct {
    const char *name;
    void (*put)(const struct options_table *table);
} WORDS[] = {
    {"version", put_version},
    {"program", put_program},
    {"options", put_all_options},
    {"zbud", put_zbud},
    {"commands", put_commands},
    {"suboptions", put_suboptions},
    {"command_names", put_command_names},
    {"file_commands", put_file_commands},
};

/* The same for lists of options. */
static const struct {
    const char *name;
    enum follows follows;
    bool all;
    const char *between;
} LISTS[] = {
    {"option_names", FOLLOWS_NOTHING, true, " "},
    {"before_file", FOLLOWS_FILE, false, "|"},
    {"before_user", FOLLOWS_USER, false, "|"},
    {"before_suboption", FOLLOWS_SUBOPTION, false, "|"},
    {"before_text", FOLLOWS_TEXT, false, "|"},
};

/* False where there is no such word. */
static bool put_word(const struct options_table *table, const char *name)
{
    for (size_t i = 0; i < sizeof(WORDS) / sizeof(WORDS[0]); i++) {
        if (strcmp(WORDS[i].name, name) == 0) {
            WORDS[i].put(table);
            return true;
        }
    }
    for (size_t i = 0; i < sizeof(LISTS) / sizeof(LISTS[0]); i++) {
        if (strcmp(LISTS[i].name, name) == 0) {
            put_options(table, LISTS[i].follows, LISTS[i].all, LISTS[i].between);
            return true;
        }
    }
    return false;
}

/* One line, its @words@ replaced; one that is a word alone comes out without an end of its own. */
static bool put_line(const struct options_table *table, char *line)
{
    char *at = line;
    char *open;

    while ((open = strchr(at, '@')) != NULL) {
        char *close = strchr(open + 1, '@');

        if (close == NULL)
            break;
        *open = *close = '\0';
        fputs(at, stdout);
        if (!put_word(table, open + 1)) {
            fprintf(stderr, "fill: there is nothing called \"@%s@\"\n", open + 1);
            return false;
        }
        at = close + 1;
        if (open == line && strcmp(at, "\n") == 0)
            return true;
    }
    fputs(at, stdout);
    return true;
}

/* @table is the program's, NULL for the server's OPTION_ROWS. */
static bool find_program(const char *name, const struct options_table **table)
{
    static const struct options_table *const TABLES[] = {&CTL_OPTIONS, &LOAD_OPTIONS};

    *table = NULL;
    for (size_t i = 0; i < sizeof(TABLES) / sizeof(TABLES[0]); i++) {
        if (strcmp(TABLES[i]->program, name) == 0)
            *table = TABLES[i];
    }
    return *table != NULL || strcmp(name, CONFIG_PROGRAM) == 0;
}

int main(int argc, char **argv)
{
    const struct options_table *table;
    char line[LINE_BYTES];

    if (argc != 2 || !find_program(argv[1], &table)) {
        fprintf(stderr, "usage: fill zbcached|zbctl|zbload <template >file\n");
        return EX_USAGE;
    }
    while (fgets(line, sizeof(line), stdin) != NULL) {
        if (!put_line(table, line))
            return EX_DATAERR;
    }
    return ferror(stdin) != 0 || fflush(stdout) != 0 ? EX_IOERR : EXIT_SUCCESS;
}
