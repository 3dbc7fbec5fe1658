/*
 * line.h - what a command line said, between parse and the families of commands.
 *
 *   parse.c finds the line --> classic.c (or another) reads it --> parse.c takes the data block
 *
 * A family reads one line and never looks beyond it; data blocks are the same for all of them and
 * are parse.c's.
 *
 * Threads: plain data.
 */
#ifndef PROTOCOL_LINE_H
#define PROTOCOL_LINE_H

/* The largest data block a line can announce: 2^31 - 1 with its \r\n. */
#define PROTOCOL_VALUE_BYTES_MAX 2147483645u

#define PROTOCOL_BAD_LINE        "CLIENT_ERROR bad command line format"

enum protocol_line {
    PROTOCOL_LINE_UNKNOWN, /* the command word is not one of this family; nothing was set */
    PROTOCOL_LINE_REQUEST, /* request is whole */
    PROTOCOL_LINE_STORAGE, /* request.value.bytes is set; a data block of that size follows */
    PROTOCOL_LINE_ERROR,   /* error is set, and swallow where a data block follows */
};

#endif
