#include "server/admin/config_file.h"

#include "server/admin/config.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define BLANKS " \t\r\v\f"

char *config_file_read(const char *path, char *error, size_t error_bytes)
{
    const size_t room = CONFIG_FILE_BYTES_MAX + 1;
    char *text = malloc(room + 1);
    FILE *file = text != NULL ? fopen(path, "re") : NULL;
    const size_t used = file != NULL ? fread(text, 1, room, file) : 0;
    const bool read = file != NULL && ferror(file) == 0;
    const int failure = errno;

    if (file != NULL)
        (void)fclose(file);
    if (!read)
        (void)snprintf(error, error_bytes, "cannot read %.200s: %s", path, strerror(failure));
    else if (used == room)
        (void)snprintf(error, error_bytes, "%.200s is longer than %u bytes", path,
                       CONFIG_FILE_BYTES_MAX);
    else if (memchr(text, '\0', used) != NULL)
        (void)snprintf(error, error_bytes, "%.200s is no text: there is a NUL in it", path);
    else {
        text[used] = '\0';
        return text;
    }
    free(text);
    return NULL;
}

/* The next whole line, blanks at its ends cut. */
static char *next_line(char **text)
{
    char *line = strsep(text, "\n");
    size_t length;

    line += strspn(line, BLANKS);
    length = strlen(line);
    while (length > 0 && strchr(BLANKS, line[length - 1]) != NULL)
        length--;
    line[length] = '\0';
    return line;
}

bool config_file_next(char **text, struct config_line *line)
{
    while (*text != NULL) {
        char *rest = next_line(text);

        line->number++;
        if (*rest == '\0' || *rest == '#')
            continue;
        line->word = strsep(&rest, BLANKS);
        line->value = rest;
        if (rest != NULL)
            line->value += strspn(rest, BLANKS);
        return true;
    }
    return false;
}
