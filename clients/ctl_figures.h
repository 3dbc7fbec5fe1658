/*
 * ctl_figures.h - a section of a server's stats, read whole.
 *
 *   "stats <section>" --> STAT name value ... --> figures, in the server's order
 *
 * Threads: one.
 */
#ifndef CLIENTS_CTL_FIGURES_H
#define CLIENTS_CTL_FIGURES_H

#include "clients/client.h"

#define CTL_FIGURES_BYTES_MAX ((size_t)64 << 20) /* of all names and values together */

struct ctl_figure {
    size_t name, value; /* where they begin in the text, each ended by a 0 */
};

/* All zero: none. */
struct ctl_figures {
    char *text;
    size_t text_bytes, text_room;
    struct ctl_figure *rows;
    size_t count, room;
};

/**
 * ctl_figures_read() - what was in @figures is gone; its memory is used again.
 *
 * Errors: client_stats()'s and client_read_stat()'s; what came before is in @figures.
 */
enum client_status ctl_figures_read(struct client *client, const char *section,
                                    struct ctl_figures *figures)
    __attribute__((warn_unused_result));
void ctl_figures_free(struct ctl_figures *figures);

const char *ctl_figures_name(const struct ctl_figures *figures, size_t row);
const char *ctl_figures_value(const struct ctl_figures *figures, size_t row);
/** ctl_figures_find() - the value of that name; NULL: there is none. */
const char *ctl_figures_find(const struct ctl_figures *figures, const char *name);
/** ctl_figures_number() - the same as a number; 0 where there is none. */
double ctl_figures_number(const struct ctl_figures *figures, const char *name);

#endif
