#include "server/process.h"

#include "server/admin/log.h"

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <pwd.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

bool process_allow_files(size_t files, struct log *log)
{
    struct rlimit limit;

    if (getrlimit(RLIMIT_NOFILE, &limit) != 0) {
        log_say(log, LOG_ALWAYS, "cannot read the limit of open files: %s", strerror(errno));
        return false;
    }
    if (limit.rlim_cur >= files) {
        return true;
    }
    limit.rlim_cur = files;
    if (limit.rlim_max < files) {
        limit.rlim_max = files;
    }
    if (setrlimit(RLIMIT_NOFILE, &limit) != 0) {
        log_say(log, LOG_ALWAYS,
                "cannot have %zu open files (%s): start as root or with a smaller -c", files,
                strerror(errno));
        return false;
    }
    return true;
}

bool process_allow_core(struct log *log)
{
    struct rlimit limit = {.rlim_cur = RLIM_INFINITY, .rlim_max = RLIM_INFINITY};

    if (setrlimit(RLIMIT_CORE, &limit) == 0) {
        return true;
    }
    if (getrlimit(RLIMIT_CORE, &limit) == 0 && limit.rlim_max > 0) {
        limit.rlim_cur = limit.rlim_max;
        if (setrlimit(RLIMIT_CORE, &limit) == 0) {
            return true;
        }
    }
    log_say(log, LOG_ALWAYS, "cannot allow core files: %s", strerror(errno));
    return false;
}

bool process_become(const char *user, struct log *log)
{
    errno = 0;
    const struct passwd *entry = getpwnam(user);

    if (entry == NULL) {
        log_say(log, LOG_ALWAYS, "there is no user \"%s\"", user);
        return false;
    }
    /* In a user namespace (a rootless container, a build's sandbox) groups cannot be dropped, and
     * the process has few rights anyway: as memcached, go on. */
    if (setgroups(0, NULL) != 0 && errno != EPERM) {
        log_say(log, LOG_ALWAYS, "cannot drop supplementary groups: %s", strerror(errno));
        return false;
    }
    if (setgid(entry->pw_gid) != 0 || setuid(entry->pw_uid) != 0) {
        log_say(log, LOG_ALWAYS, "cannot become user \"%s\": %s", user, strerror(errno));
        return false;
    }
    return true;
}

/* What the starting process does after the fork: waits for word, and hands it on as its exit
 * code. */
static void await_daemon(int word_fd)
{
    char word;
    const ssize_t count = read(word_fd, &word, 1);
    _exit(count == 1 ? EXIT_SUCCESS : EXIT_FAILURE);
}

bool process_daemonize(int *ready_fd, struct log *log)
{
    int ends[2];

    if (pipe2(ends, O_CLOEXEC) != 0) {
        log_say(log, LOG_ALWAYS, "cannot go into the background: %s", strerror(errno));
        return false;
    }
    const pid_t child = fork();
    if (child < 0) {
        log_say(log, LOG_ALWAYS, "cannot go into the background: %s", strerror(errno));
        return false;
    }
    if (child > 0) {
        (void)close(ends[1]);
        await_daemon(ends[0]);
    }
    (void)close(ends[0]);
    *ready_fd = ends[1];
    if (setsid() < 0 || chdir("/") != 0) {
        log_say(log, LOG_ALWAYS, "cannot go into the background: %s", strerror(errno));
        return false;
    }
    return true;
}

void process_ready(int ready_fd)
{
    const int null_fd = open("/dev/null", O_RDWR | O_CLOEXEC);

    if (null_fd >= 0) {
        for (int fd = STDIN_FILENO; fd <= STDERR_FILENO; fd++) {
            (void)dup2(null_fd, fd);
        }
        (void)close(null_fd);
    }
    const ssize_t count = write(ready_fd, "r", 1);
    (void)count; /* nobody waits any more */
    (void)close(ready_fd);
}

bool process_lock_memory(struct log *log)
{
    /* As it is touched: what is only reserved is not to be filled. */
    if (mlockall(MCL_CURRENT | MCL_FUTURE | MCL_ONFAULT) != 0) {
        log_say(log, LOG_ALWAYS, "cannot lock memory: %s", strerror(errno));
        return false;
    }
    return true;
}

bool process_write_pid(const char *path, struct log *log)
{
    FILE *file = fopen(path, "we");

    if (file == NULL) {
        log_say(log, LOG_ALWAYS, "cannot write the pid file %s: %s", path, strerror(errno));
        return false;
    }
    const bool written = fprintf(file, "%ld\n", (long)getpid()) > 0;
    if (fclose(file) != 0 || !written) {
        log_say(log, LOG_ALWAYS, "cannot write the pid file %s: %s", path, strerror(errno));
        return false;
    }
    return true;
}
