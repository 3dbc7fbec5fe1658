/*
 * ctl_child.h - a zbcached of zbctl's own, to ask how it would hold what another server holds.
 *
 * It listens on a unix socket in a folder that nobody else may enter, may take nine tenths of a
 * core to settle what it is given (-o settle_pct=90), and dies with zbctl.
 *
 * Threads: one.
 */
#ifndef CLIENTS_CTL_CHILD_H
#define CLIENTS_CTL_CHILD_H

#include "clients/ctl.h"

#include <sys/types.h>

struct ctl_child {
    pid_t pid;             /* 0: none */
    char folder[32];       /* "": none */
    char path[48];         /* of its socket */
    struct client *client; /* connected to it */
};

/**
 * ctl_child_start() - and wait until it answers.
 * @program:   a path, or a name that is looked for on PATH.
 * @memory_mb: its -m.
 * @item_mb:   its -I.
 *
 * Returns CTL_GOOD, or what has been said on stderr; ctl_child_stop() in any case.
 */
enum ctl_exit ctl_child_start(struct ctl *ctl, struct ctl_child *child, const char *program,
                              uint64_t memory_mb, uint64_t item_mb);
void ctl_child_stop(struct ctl_child *child);

#endif
