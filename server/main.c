/*
 * main.c - the program: options, what the process is to the system, and then the server.
 */
#include "server/admin/config.h"
#include "server/admin/log.h"
#include "server/clock.h"
#include "server/process.h"
#include "server/sandbox.h"
#include "server/server.h"
#include "server/version.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <sysexits.h>
#include <unistd.h>

static_assert(PROCESS_SOCKETS_FIRST == CONFIG_SOCKETS_FIRST, "counted from one descriptor on");

/* Descriptors beside connections: sockets listened on, three a thread, and a few. */
#define FILES_BESIDE     320u
#define FILES_PER_THREAD 3u

static uint64_t clock_ms(void *context)
{
    return clock_elapsed_us(context) / 1000;
}

/* What is asked for instead of a server, or why there is none. */
static int say_instead(enum config_status status, const struct config_report *report)
{
    switch (status) {
    case CONFIG_ASKS_HELP:
        config_print_help(stdout);
        return EXIT_SUCCESS;
    case CONFIG_ASKS_VERSION:
        printf("%s %s (memcached %s)\n", CONFIG_PROGRAM, CONFIG_PROGRAM_VERSION, VERSION_MEMCACHED);
        return EXIT_SUCCESS;
    case CONFIG_ASKS_LICENSE:
        config_print_license(stdout);
        return EXIT_SUCCESS;
    case CONFIG_OK:
    case CONFIG_ERROR:
        break;
    }
    fprintf(stderr, "%s: %s\n", CONFIG_PROGRAM, report->error);
    return report->exit_code;
}

static void print_setting(void *context, const char *name, const char *value)
{
    (void)fprintf(context, "%s %s\n", name, value);
}

static bool prepare_process(const struct config *config, struct log *log)
{
    const size_t files = config->conns_max + FILES_BESIDE + FILES_PER_THREAD * config->threads;

    return (!config->coredumps || process_allow_core(log)) && process_allow_files(files, log) &&
           (geteuid() != 0 || config->user == NULL || process_become(config->user, log)) &&
           process_set_dumpable(config->coredumps, log);
}

static int serve(struct config *config, struct clock *clock, struct log *log)
{
    struct process_daemon daemon;

    if (!process_take_sockets(&config->sockets_given, log) || !prepare_process(config, log) ||
        (config->daemonize && !process_daemonize(&daemon, log)) ||
        (config->lock_memory && !process_lock_memory(log))) {
        return EX_OSERR;
    }
    struct server *server = server_new(config, clock, log);
    if (server == NULL || (config->pid_path != NULL && !process_write_pid(config->pid_path, log)) ||
        (config->drop_privileges && !sandbox_enter(config->pid_path, log))) {
        server_free(server);
        return EX_OSERR;
    }
    if (config->daemonize) {
        process_ready(&daemon);
    }
    process_notify("READY=1", log);
    const bool ran = server_run(server);
    process_notify("STOPPING=1", log);
    if (config->pid_path != NULL) {
        (void)unlink(config->pid_path);
    }
    server_free(server);
    return ran ? EXIT_SUCCESS : EXIT_FAILURE;
}

/* The server that was asked for, with what is to be said before. */
static int start(struct config *config, const struct config_report *report)
{
    struct clock clock;

    clock_init(&clock);
    struct log *log = log_new(STDERR_FILENO, config->verbosity, clock_ms, &clock);
    if (log == NULL) {
        return EX_OSERR;
    }
    for (uint32_t i = 0; i < report->warnings_count; i++) {
        log_say(log, LOG_ALWAYS, "%s", report->warnings[i]);
    }
    int code = EXIT_SUCCESS;
    if (config->settings_asked) {
        config_settings(config, print_setting, stdout);
    } else {
        code = serve(config, &clock, log);
    }
    log_free(log);
    return code;
}

int main(int argc, char *argv[])
{
    struct config *config = malloc(sizeof(*config));
    struct config_report *report = malloc(sizeof(*report));
    int code = EX_OSERR;

    if (config != NULL && report != NULL) {
        const enum config_status status = config_parse(argc, argv, geteuid() == 0, config, report);
        code = status == CONFIG_OK ? start(config, report) : say_instead(status, report);
    }
    free(report);
    free(config);
    return code;
}
