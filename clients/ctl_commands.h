/*
 * ctl_commands.h - the commands that have files of their own; ctl_command.c's table calls them.
 *
 * Each takes its arguments, checked by count, with a connection to options->server; those that say
 * so make their own. Each returns the exit status and has said why on stderr where it is not 0.
 *
 * Threads: one.
 */
#ifndef CLIENTS_CTL_COMMANDS_H
#define CLIENTS_CTL_COMMANDS_H

#include "clients/ctl.h"

/* One item each, or a few (ctl_basic.c). */
enum ctl_exit ctl_get(struct ctl *ctl, char **words, int count);
enum ctl_exit ctl_set(struct ctl *ctl, char **words, int count);
enum ctl_exit ctl_add(struct ctl *ctl, char **words, int count);
enum ctl_exit ctl_delete(struct ctl *ctl, char **words, int count);
enum ctl_exit ctl_incr(struct ctl *ctl, char **words, int count);
enum ctl_exit ctl_decr(struct ctl *ctl, char **words, int count);
enum ctl_exit ctl_touch(struct ctl *ctl, char **words, int count);
enum ctl_exit ctl_ping(struct ctl *ctl, char **words, int count);
enum ctl_exit ctl_watch(struct ctl *ctl, char **words, int count);

/* ctl_stats.c */
enum ctl_exit ctl_stats(struct ctl *ctl, char **words, int count);

/* ctl_top.c */
enum ctl_exit ctl_top(struct ctl *ctl, char **words, int count);

/* All items (ctl_copy.c). ctl_warm() makes its connections itself. */
enum ctl_exit ctl_dump(struct ctl *ctl, char **words, int count);
enum ctl_exit ctl_save(struct ctl *ctl, char **words, int count);
enum ctl_exit ctl_load(struct ctl *ctl, char **words, int count);
enum ctl_exit ctl_warm(struct ctl *ctl, char **words, int count);

/* ctl_estimate.c; it makes its connections itself. */
enum ctl_exit ctl_estimate(struct ctl *ctl, char **words, int count);

#endif
