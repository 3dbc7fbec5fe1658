/*
 * option.h - the table of options: each declared once, for parser, --help and "stats settings".
 *
 *   letter  name        argument   kind   type    field, range, default      setting
 *   'm'     memory-limit  <num>    taken  number  memory_bytes, 1.. , "64"   maxbytes
 *
 * A row's order is that of "stats settings" among the rows that have a setting, and that of --help
 * within its section. To add an option: a member in struct config, a row here; nothing else.
 *
 * Threads: constant data.
 */
#ifndef SERVER_ADMIN_OPTION_H
#define SERVER_ADMIN_OPTION_H

#include "server/admin/config.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum option_kind {
    OPTION_TAKEN,
    OPTION_INERT,
    OPTION_REFUSED,
    OPTION_NONE, /* no option at all, only a line of "stats settings" */
};

enum option_type {
    OPTION_FLAG,     /* no argument: the field becomes @set */
    OPTION_COUNT,    /* no argument: the field grows by one */
    OPTION_ASK,      /* no argument: parsing ends with status @set */
    OPTION_NUMBER,   /* decimal; the field holds it times @scale */
    OPTION_SIZE,     /* decimal with k or m after it */
    OPTION_OCTAL,    /* mode bits, as chmod writes them */
    OPTION_FRACTION, /* decimal with a point; the field holds millionths */
    OPTION_CHAR,     /* the first byte */
    OPTION_CHOICE,   /* one of @choices; the field holds which */
    OPTION_TEXT,     /* as given */
    OPTION_PATH,     /* text; absolute where a daemon leaves the folder it was started in */
    OPTION_LISTEN,   /* addresses, added to the list */
    OPTION_ADDRESS,  /* one address and its port, or the port alone for loopback */
    OPTION_EXTENDED, /* -o: options below */
    OPTION_FILE,     /* --config: options in it */
};

enum option_show {
    SHOW_NOTHING, /* no line of "stats settings" */
    SHOW_NUMBER,
    SHOW_OCTAL,
    SHOW_YES_NO,
    SHOW_ON_OFF,
    SHOW_CHAR,
    SHOW_TEXT,     /* a const char * field, or @none */
    SHOW_ARRAY,    /* a char[] field; NULL where empty */
    SHOW_CENTS,    /* fraction with 2 digits */
    SHOW_MILLS,    /* fraction with 3 digits */
    SHOW_CHOICE,   /* one of @shown */
    SHOW_CONSTANT, /* @shown itself */
};

enum option_section {
    SECTION_NETWORK,
    SECTION_TLS,
    SECTION_MEMORY,
    SECTION_PROCESS,
    SECTION_PROTOCOL,
    SECTION_ABOUT,
    SECTION_INERT,
    SECTION_REFUSED,
    SECTIONS_COUNT,
};

struct option_field {
    uint16_t offset; /* in struct config */
    uint16_t bytes;  /* 0: none */
};

struct option_row {
    enum option_kind kind;
    enum option_type type;
    enum option_show show;
    enum option_section section;
    char letter;          /* 0: none */
    bool extended;        /* a suboption of -o */
    bool argument_may_be; /* the argument can be left out; the field becomes @set then */
    const char *name;     /* long name, or the suboption's; NULL: none */
    const char *argument; /* its name in --help; NULL where the type has none */
    struct option_field field;
    struct option_field also; /* a bool that becomes true when the option is given */
    int64_t set;
    int64_t min; /* as written on the command line, before @scale; fractions in millionths */
    int64_t max;
    int64_t scale;
    const char *initial; /* the default, as it would be written; NULL: all bits zero */
    const char *unit;    /* said after the default in --help */
    const char *choices; /* parted by '|' */
    const char *help;
    const char *why;     /* inert and refused: the reason; else what to add to a range error */
    const char *setting; /* the name in "stats settings" */
    const char *none;    /* SHOW_TEXT: what is shown where it was not given; NULL: "NULL" */
    const char *shown;   /* SHOW_CONSTANT: the value; SHOW_CHOICE: the names, parted by '|' */
};

extern const struct option_row OPTION_ROWS[];
extern const size_t OPTION_ROWS_COUNT;

/** option_read() - the field as a number, sign kept. */
int64_t option_read(const struct config *config, const struct option_row *row);
/** option_choice() - the @n-th of names parted by '|', as a slice; false where there are fewer. */
bool option_choice(const char *choices, size_t n, const char **name, size_t *name_bytes);

/** option_section_title() - over the section's options in --help. */
const char *option_section_title(enum option_section section);

/** option_name() - how messages and --help call it: "-t, --threads", "-D", "--config" or
 * "-o idle_timeout". */
#define OPTION_NAME_BYTES 64u
const char *option_name(const struct option_row *row, char name[OPTION_NAME_BYTES]);

#endif
