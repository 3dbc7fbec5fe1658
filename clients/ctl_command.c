#include "clients/ctl_commands.h"
#include "clients/ctl_connect.h"

#include <assert.h>
#include <errno.h>
#include <poll.h>
#include <string.h>
#include <sys/signalfd.h>
#include <time.h>
#include <unistd.h>

struct command {
    const char *name;
    const char *arguments;
    int min, max;  /* of arguments */
    bool connects; /* itself */
    bool long_run; /* asks ctl_interrupted() */
    enum ctl_exit (*run)(struct ctl *ctl, char **words, int count);
    const char *help; /* lines parted by \n */
};

static enum ctl_exit help(struct ctl *ctl, char **words, int count)
{
    (void)words;
    (void)count;
    ctl_commands_help(ctl->out);
    return CTL_GOOD;
}

static const struct command COMMANDS[] = {
    {"get", "KEY...", 1, CTL_KEYS_MAX, false, false, ctl_get,
     "the value as it is; of several keys each behind its key and a tab"},
    {"set", "KEY VALUE [TTL [FLAGS]]", 2, 4, false, false, ctl_set,
     "store; VALUE \"-\" is what comes on stdin; TTL in seconds (0: for ever)"},
    {"add", "KEY VALUE [TTL [FLAGS]]", 2, 4, false, false, ctl_add, "store where there is none"},
    {"delete", "KEY...", 1, CTL_KEYS_MAX, false, false, ctl_delete, "remove"},
    {"incr", "KEY [N]", 1, 2, false, false, ctl_incr, "count up by N (1); prints the sum"},
    {"decr", "KEY [N]", 1, 2, false, false, ctl_decr, "count down by N (1), to 0 at least"},
    {"touch", "KEY TTL", 2, 2, false, false, ctl_touch, "a new time to live"},
    {"stats", "[SECTION...]", 0, 3, false, false, ctl_stats,
     "general, settings, items, slabs, sizes, conns, zbud, hotkeys, prefixes; reset"},
    {"top", "", 0, 0, false, true, ctl_top,
     "rates, hits, memory, hottest keys, bytes saved by key prefix: live, each\n"
     "--interval; q ends it; one frame with --once, or where out is no terminal"},
    {"watch", "[KIND...]", 0, 10, false, true, ctl_watch,
     "what happens: fetchers, mutations, evictions, deletions, connevents"},
    {"ping", "", 0, 0, false, true, ctl_ping,
     "how long the server takes to answer; --count of them"},
    {"dump", "", 0, 0, false, true, ctl_dump, "keys, sizes, times to live of all items"},
    {"save", "FILE", 1, 1, false, true, ctl_save, "all items into a file"},
    {"load", "FILE", 1, 1, false, true, ctl_load,
     "the items of such a file; what is there under the same key stays (--overwrite)"},
    {"warm", "FROM TO", 2, 2, true, true, ctl_warm,
     "copy all items from one server to another, --rate a second; what is there\n"
     "under the same key is newer and stays (--overwrite)"},
    {"estimate", "[SERVER]", 0, 1, true, true, ctl_estimate,
     "what the items of a memcached would take in zbcached, which is run here for it\n"
     "with a --sample of them; --rate items a second are read"},
    {"help", "", 0, 0, true, false, help, "this"},
};

#define COMMANDS_COUNT (sizeof(COMMANDS) / sizeof(COMMANDS[0]))

const char *ctl_command_name(size_t number)
{
    return number < COMMANDS_COUNT ? COMMANDS[number].name : NULL;
}

void ctl_command_text(size_t number, const char **arguments, const char **help)
{
    assert(number < COMMANDS_COUNT);
    *arguments = COMMANDS[number].arguments;
    *help = COMMANDS[number].help;
}

void ctl_commands_help(FILE *file)
{
    for (size_t i = 0; i < COMMANDS_COUNT; i++) {
        const struct command *command = &COMMANDS[i];
        char name[48];

        (void)snprintf(name, sizeof(name), "%s %s", command->name, command->arguments);
        fprintf(file, "  %-27s ", name);
        for (const char *at = command->help; *at != '\0'; at++) {
            (void)putc(*at, file);
            if (*at == '\n')
                fprintf(file, "%30s", "");
        }
        (void)putc('\n', file);
    }
}

sigset_t ctl_signals(void)
{
    sigset_t signals;

    (void)sigemptyset(&signals);
    (void)sigaddset(&signals, SIGINT);
    (void)sigaddset(&signals, SIGTERM);
    return signals;
}

bool ctl_interrupted(struct ctl *ctl)
{
    struct signalfd_siginfo info;

    while (read(ctl->signals, &info, sizeof(info)) == (ssize_t)sizeof(info))
        ctl->was_interrupted = true;
    return ctl->was_interrupted;
}

void ctl_sleep_s(const struct ctl *ctl, double seconds)
{
    struct pollfd wait = {.fd = ctl->signals, .events = POLLIN};
    const struct timespec time = {(time_t)seconds,
                                  (long)((seconds - (double)(time_t)seconds) * 1e9)};

    (void)ppoll(&wait, 1, &time, NULL);
}

enum ctl_exit ctl_fail(const struct client *client, const char *what, enum client_status status)
{
    const char *text = client_text(client);
    bool told =
        status == CLIENT_REFUSED || status == CLIENT_UNEXPECTED || status == CLIENT_TLS_FAILED;

    fprintf(stderr, "zbctl: %.250s: %s%s%s\n", what,
            status == CLIENT_SYSTEM ? strerror(errno) : client_status_text(status),
            told ? ": " : "", told ? text : "");
    switch (status) {
    case CLIENT_UNREACHABLE:
    case CLIENT_TLS_FAILED:
    case CLIENT_UNEXPECTED:
    case CLIENT_TIMEOUT:
    case CLIENT_CLOSED:
    case CLIENT_NO_MEMORY:
    case CLIENT_SYSTEM:
        return CTL_NO_SERVER;
    case CLIENT_BAD_KEY:
        return CTL_BAD_USAGE;
    case CLIENT_OK:
    case CLIENT_END:
    case CLIENT_NOT_FOUND:
    case CLIENT_NOT_STORED:
    case CLIENT_EXISTS:
    case CLIENT_REFUSED:
        break;
    }
    return CTL_NO;
}

enum ctl_exit ctl_complain(const char *what)
{
    fprintf(stderr, "zbctl: %.500s: %s\n", what, strerror(errno));
    return CTL_NO_FILE;
}

/* Its signals are read by it, and what comes in its last moment is its own, too. */
static enum ctl_exit run_long(const struct command *command, struct ctl *ctl, char **words,
                              int count)
{
    const sigset_t signals = ctl_signals();
    enum ctl_exit code;
    sigset_t before;

    (void)sigprocmask(SIG_BLOCK, &signals, &before);
    code = command->run(ctl, words, count);
    (void)ctl_interrupted(ctl);
    (void)sigprocmask(SIG_SETMASK, &before, NULL);
    return code;
}

enum ctl_exit ctl_run(struct ctl *ctl, char **words, int count)
{
    const struct command *command = COMMANDS;
    enum ctl_exit code = CTL_GOOD;

    while (command < COMMANDS + COMMANDS_COUNT && strcmp(command->name, words[0]) != 0)
        command++;
    if (command == COMMANDS + COMMANDS_COUNT) {
        fprintf(stderr, "zbctl: there is no command \"%.100s\" (zbctl --help)\n", words[0]);
        return CTL_BAD_USAGE;
    }
    if (count - 1 < command->min || count - 1 > command->max) {
        fprintf(stderr, "usage: zbctl %s %s\n", command->name, command->arguments);
        return CTL_BAD_USAGE;
    }
    ctl->was_interrupted = false;
    if (!command->connects && !client_connected(ctl->client))
        code = ctl_connect(ctl->options, ctl->client, ctl->options->server, ctl->options->auth_file,
                           "ZBCTL_AUTH");
    if (code == CTL_GOOD)
        code = command->long_run ? run_long(command, ctl, words + 1, count - 1)
                                 : command->run(ctl, words + 1, count - 1);
    if (fflush(ctl->out) != 0 || ferror(ctl->out) != 0)
        return code == CTL_GOOD ? ctl_complain("output") : code;
    return code;
}
