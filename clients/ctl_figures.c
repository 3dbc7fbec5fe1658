#include "clients/ctl_figures.h"

#include <stdlib.h>
#include <string.h>

static bool add_text(struct ctl_figures *figures, struct client_slice slice, size_t *at)
{
    if (figures->text_room - figures->text_bytes < slice.bytes + 1) {
        size_t room = figures->text_room * 2 + slice.bytes + 4096;
        char *grown = room <= CTL_FIGURES_BYTES_MAX ? realloc(figures->text, room) : NULL;

        if (grown == NULL)
            return false;
        figures->text = grown;
        figures->text_room = room;
    }
    *at = figures->text_bytes;
    memcpy(figures->text + *at, slice.data, slice.bytes);
    figures->text[*at + slice.bytes] = '\0';
    figures->text_bytes += slice.bytes + 1;
    return true;
}

static bool add_figure(struct ctl_figures *figures, const struct client_stat *stat)
{
    struct ctl_figure row;

    if (figures->count == figures->room) {
        size_t room = figures->room * 2 + 128;
        struct ctl_figure *grown = realloc(figures->rows, room * sizeof(*grown));

        if (grown == NULL)
            return false;
        figures->rows = grown;
        figures->room = room;
    }
    if (!add_text(figures, stat->name, &row.name) || !add_text(figures, stat->value, &row.value))
        return false;
    figures->rows[figures->count++] = row;
    return true;
}

enum client_status ctl_figures_read(struct client *client, const char *section,
                                    struct ctl_figures *figures)
{
    enum client_status status = client_stats(client, section);

    figures->count = 0;
    figures->text_bytes = 0;
    while (status == CLIENT_OK) {
        struct client_stat stat;

        status = client_read_stat(client, &stat);
        if (status == CLIENT_OK && !add_figure(figures, &stat)) {
            client_close(client);
            status = CLIENT_NO_MEMORY;
        }
    }
    return status;
}

void ctl_figures_free(struct ctl_figures *figures)
{
    free(figures->text);
    free(figures->rows);
    *figures = (struct ctl_figures){0};
}

const char *ctl_figures_name(const struct ctl_figures *figures, size_t row)
{
    return figures->text + figures->rows[row].name;
}

const char *ctl_figures_value(const struct ctl_figures *figures, size_t row)
{
    return figures->text + figures->rows[row].value;
}

const char *ctl_figures_find(const struct ctl_figures *figures, const char *name)
{
    for (size_t i = 0; i < figures->count; i++) {
        if (strcmp(ctl_figures_name(figures, i), name) == 0)
            return ctl_figures_value(figures, i);
    }
    return NULL;
}

double ctl_figures_number(const struct ctl_figures *figures, const char *name)
{
    const char *value = ctl_figures_find(figures, name);

    return value != NULL ? strtod(value, NULL) : 0;
}
