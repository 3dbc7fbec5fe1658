/*
 * options.h - a program's options, read as a table declares them; its help comes from the same.
 *
 *   table --options_read()--> struct of the program, a member a row
 *         --options_help()--> "-c, --connections N   of all threads (50)"
 *
 * What the programs here share. A row says where in the program's struct its value belongs.
 *
 * Threads: getopt_long(3) below keeps its place in variables of the C library: one reader at a
 * time.
 */
#ifndef CLIENTS_OPTIONS_H
#define CLIENTS_OPTIONS_H

#include <stddef.h>
#include <stdio.h>

enum options_kind {
    OPTIONS_FLAG,   /* bool; given, it is the other of what it was */
    OPTIONS_WHOLE,  /* uint32_t */
    OPTIONS_LARGE,  /* uint64_t */
    OPTIONS_NUMBER, /* double */
    OPTIONS_TEXT,   /* const char *, borrowed from the command line */
    OPTIONS_BY_HAND,
    OPTIONS_HELP,
};

#define OPTIONS_ROWS_MAX 64u

struct options_row {
    const char *name;
    char letter; /* 0: none */
    enum options_kind kind;
    size_t offset;   /* in the program's struct */
    double min, max; /* of numbers */
    /* OPTIONS_BY_HAND: returns NULL, or what is wrong with the text. */
    const char *(*read)(void *target, const char *text);
    const char *argument; /* NULL: none */
    const char *help;     /* lines parted by \n */
};

struct options_table {
    const char *program; /* its name, in messages */
    const struct options_row *rows;
    size_t count; /* at most OPTIONS_ROWS_MAX */
};

enum options_answer {
    OPTIONS_READ,
    OPTIONS_ASK_HELP, /* an OPTIONS_HELP row was met; what follows it is not read */
    OPTIONS_BAD,      /* a message is on stderr */
};

/**
 * options_read() - options anywhere among @argv, up to "--".
 * @target: the program's struct, with its defaults.
 * @first:  set where the answer is OPTIONS_READ: the first of @argv that is no option; they have
 *          been moved behind the options.
 */
enum options_answer options_read(const struct options_table *table, void *target, int argc,
                                 char **argv, int *first) __attribute__((warn_unused_result));
/** options_help() - a line or more for each row. */
void options_help(FILE *file, const struct options_table *table);
/** options_complain() - what is wrong with an option, on stderr. @text: its argument, or NULL. */
void options_complain(const struct options_table *table, const char *name, const char *text,
                      const char *why);

#endif
