/*
 * ctl.h - what zbctl's parts share: the options, a connection, where results go, how it ends.
 *
 *   zbctl.c: options --> ctl_run(): a command of the table --> client.h --> server
 *                          ^
 *   ctl_prompt.c: lines ---+
 *
 * Results go to `out`, whatever else is to be said to stderr. A command answers with its exit
 * status. Those that take long ask ctl_interrupted() and end in order; SIGINT and SIGTERM end the
 * others as they end any program.
 *
 * Threads: one.
 */
#ifndef CLIENTS_CTL_H
#define CLIENTS_CTL_H

#include "clients/client.h"
#include "clients/options.h"

#include <signal.h>
#include <stdio.h>

#define CTL_RATE_MAX 1e9
#define CTL_KEYS_MAX 1000u /* of one get */

enum ctl_exit {
    CTL_GOOD = 0,
    CTL_NO = 1, /* not found, not stored, refused */
    CTL_BAD_USAGE = 2,
    CTL_NO_SERVER = 3, /* not reached, not trusted, lost, out of step, or no answer in time */
    CTL_INTERRUPTED = 4,
    CTL_NO_FILE = 5, /* of what was to be read or written on this side */
};

struct ctl_options {
    const char *server; /* an address, as ctl_connect.h reads it */
    const char *auth_file;
    const char *to_auth_file;
    struct client_tls_how tls_how;
    double rate; /* of items a second; 0: the command's own */
    double timeout_s;
    uint32_t count;       /* of pings */
    double settle_s;      /* estimate: how long nothing may have changed */
    uint32_t sample;      /* items that estimate reads */
    const char *zbcached; /* the program that it starts */
    bool tls;
    bool json;
    bool overwrite;
    bool progress;     /* also where stderr is no terminal */
    double interval_s; /* of top, between two frames */
    bool once;         /* one frame of it */
};

/* They fill in a struct ctl_options. */
extern const struct options_table CTL_OPTIONS;

struct ctl {
    const struct ctl_options *options;
    struct client *client; /* of options->server */
    FILE *out;
    int signals; /* a descriptor that SIGINT and SIGTERM can be read from where they are blocked */
    bool was_interrupted;
};

/** ctl_signals() - SIGINT and SIGTERM: blocked while a command runs that ends in order on them. */
sigset_t ctl_signals(void);
/** ctl_interrupted() - a signal has come. It stays so until the next command. */
bool ctl_interrupted(struct ctl *ctl);
/** ctl_sleep_s() - so long, or until a signal comes. */
void ctl_sleep_s(const struct ctl *ctl, double seconds);

/** ctl_fail() - "zbctl: <what>: <why>" on stderr; the exit status for it. @client: whose answer
 * @status is. */
enum ctl_exit ctl_fail(const struct client *client, const char *what, enum client_status status);
/** ctl_complain() - the same about this side; errno says why. */
enum ctl_exit ctl_complain(const char *what);

/**
 * ctl_run() - one command line.
 * @words: the command and its arguments, @count of them, at least 1.
 *
 * Connects where there is no connection. Returns the exit status.
 */
enum ctl_exit ctl_run(struct ctl *ctl, char **words, int count);
/** ctl_command_name() - the names of all commands, by number from 0; NULL behind the last. */
const char *ctl_command_name(size_t number);
/** ctl_command_text() - the arguments and the help of one of them, as its table has them. */
void ctl_command_text(size_t number, const char **arguments, const char **help);
/** ctl_commands_help() - a line or more for each. */
void ctl_commands_help(FILE *file);

/** ctl_prompt() - commands from stdin, with history and completion where it is a terminal. Returns
 * the last one's exit status. */
enum ctl_exit ctl_prompt(struct ctl *ctl);

#endif
