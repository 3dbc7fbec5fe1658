/*
 * zbctl.c - the command-line tool for memcached servers: options, then a command or the prompt.
 */
#include "clients/ctl.h"

#include <signal.h>
#include <sys/signalfd.h>
#include <unistd.h>

static void print_help(void)
{
    printf(
        "zbctl - look at, fill, copy a memcached server\n\n"
        "usage: zbctl [option]... command [argument]...     a value that begins with -: after --\n"
        "       zbctl [option]...                           a prompt; or commands from stdin\n\n");
    ctl_commands_help(stdout);
    printf("\n");
    options_help(stdout, &CTL_OPTIONS);
    printf("\nExit status: 0 done; 1 not found, not stored, refused; 2 the command line is wrong;\n"
           "3 the server was not reached, not trusted or lost; 4 interrupted; 5 a file on this\n"
           "side cannot be read or written.\n");
}

/* A descriptor for ctl_signals() while a command blocks these; SIGPIPE is an error of writing. */
static int take_signals(void)
{
    const sigset_t signals = ctl_signals();

    (void)signal(SIGPIPE, SIG_IGN);
    return signalfd(-1, &signals, SFD_NONBLOCK | SFD_CLOEXEC);
}

int main(int argc, char **argv)
{
    struct ctl_options options = {
        .server = "127.0.0.1:11211",
        .timeout_s = 10,
        .count = 1,
        .interval_s = 1,
        .sample = 200000,
        .settle_s = 13, /* items are settled when they are 10 s old */
        .zbcached = "zbcached",
    };
    struct ctl ctl = {.options = &options, .client = client_new(), .out = stdout, .signals = -1};
    enum ctl_exit code = CTL_BAD_USAGE;
    int first;

    switch (options_read(&CTL_OPTIONS, &options, argc, argv, &first)) {
    case OPTIONS_ASK_HELP:
        print_help();
        code = CTL_GOOD;
        break;
    case OPTIONS_BAD:
        break;
    case OPTIONS_READ:
        ctl.signals = take_signals();
        if (ctl.client == NULL || ctl.signals < 0)
            code = ctl_complain("start");
        else
            code = first < argc ? ctl_run(&ctl, argv + first, argc - first) : ctl_prompt(&ctl);
        break;
    }
    client_free(ctl.client);
    return (int)code;
}
