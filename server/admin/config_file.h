/*
 * config_file.h - a file of options: one a line, as on the command line.
 *
 *   # comment                       a line whose first byte that is no blank is '#'
 *   -m 1024                         option and value, parted by blanks
 *   -vv
 *   --listen=127.0.0.1
 *   -o idle_timeout=60,no_compress
 *
 * As Debian's /etc/memcached.conf has it. There is no quoting: a value goes on to the line's end,
 * blanks around it cut. What the options mean is config.c's.
 *
 * Threads: plain data.
 */
#ifndef SERVER_ADMIN_CONFIG_FILE_H
#define SERVER_ADMIN_CONFIG_FILE_H

#include <stdbool.h>
#include <stddef.h>

/** config_file_read() - the file's text, at most CONFIG_FILE_BYTES_MAX of it and a NUL behind.
 *
 * Owns:   the caller frees it.
 * Errors: NULL - @error, of @error_bytes, says why: it cannot be read, is too long, holds a NUL.
 */
char *config_file_read(const char *path, char *error, size_t error_bytes);

struct config_line {
    unsigned number; /* from 1 on */
    char *word;
    char *value; /* NULL: the word is alone */
};

/**
 * config_file_next() - the next line that is neither empty nor a comment.
 * @text: what is left of the text; moved behind the line, which is cut up by NULs.
 * @line: its number must be 0 before the first call.
 *
 * Returns false when none is left.
 */
bool config_file_next(char **text, struct config_line *line);

#endif
