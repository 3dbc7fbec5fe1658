#include "server/process.h"

#include "server/admin/log.h"

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <pwd.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/un.h>
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
    if (setresgid(entry->pw_gid, entry->pw_gid, entry->pw_gid) != 0 ||
        setresuid(entry->pw_uid, entry->pw_uid, entry->pw_uid) != 0) {
        log_say(log, LOG_ALWAYS, "cannot become user \"%s\": %s", user, strerror(errno));
        return false;
    }
    /* Root's capabilities go with the user, unless whoever started this has arranged otherwise. */
    if (entry->pw_uid != 0 && setuid(0) == 0) {
        log_say(log, LOG_ALWAYS, "user \"%s\" can become root again", user);
        return false;
    }
    return true;
}

bool process_set_dumpable(bool dumpable, struct log *log)
{
    /* The limit alone does not hold where the system pipes core files to a program. */
    const struct rlimit none = {0};

    if ((dumpable || setrlimit(RLIMIT_CORE, &none) == 0) &&
        prctl(PR_SET_DUMPABLE, dumpable ? 1L : 0L, 0L, 0L, 0L) == 0) {
        return true;
    }
    log_say(log, LOG_ALWAYS, "cannot %s core files: %s", dumpable ? "allow" : "forbid",
            strerror(errno));
    return false;
}

/* What the starting process does after the fork: waits for word, and hands it on as its exit
 * code. */
static void await_daemon(int word_fd)
{
    char word;
    const ssize_t count = read(word_fd, &word, 1);
    _exit(count == 1 ? EXIT_SUCCESS : EXIT_FAILURE);
}

bool process_daemonize(struct process_daemon *daemon, struct log *log)
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
    daemon->ready_fd = ends[1];
    daemon->null_fd = open("/dev/null", O_RDWR | O_CLOEXEC);
    if (daemon->null_fd < 0 || setsid() < 0 || chdir("/") != 0) {
        log_say(log, LOG_ALWAYS, "cannot go into the background: %s", strerror(errno));
        return false;
    }
    return true;
}

void process_ready(const struct process_daemon *daemon)
{
    for (int fd = STDIN_FILENO; fd <= STDERR_FILENO; fd++) {
        (void)dup2(daemon->null_fd, fd);
    }
    (void)close(daemon->null_fd);
    const ssize_t count = write(daemon->ready_fd, "r", 1);
    (void)count; /* nobody waits any more */
    (void)close(daemon->ready_fd);
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

/* ---- systemd's two protocols, sd_listen_fds(3) and sd_notify(3), without its library ---- */

/* The number in an environment's variable; -1 where it is none. */
static long environment_number(const char *name)
{
    const char *text = getenv(name);
    char *end;

    if (text == NULL || *text < '0' || *text > '9') {
        return -1;
    }
    errno = 0;
    const long number = strtol(text, &end, 10);
    return errno == 0 && *end == '\0' ? number : -1;
}

bool process_take_sockets(uint32_t *count, struct log *log)
{
    const bool ours = environment_number("LISTEN_PID") == (long)getpid();
    const long given = environment_number("LISTEN_FDS");

    *count = 0;
    if (!ours || given == 0) {
        return true;
    }
    (void)unsetenv("LISTEN_PID");
    (void)unsetenv("LISTEN_FDS");
    (void)unsetenv("LISTEN_FDNAMES");
    if (given < 0 || given > PROCESS_SOCKETS_MAX) {
        log_say(log, LOG_ALWAYS, "LISTEN_FDS is not a number from 0 to %u", PROCESS_SOCKETS_MAX);
        return false;
    }
    for (long i = 0; i < given; i++) {
        const int fd = PROCESS_SOCKETS_FIRST + (int)i;
        if (fcntl(fd, F_SETFD, FD_CLOEXEC) != 0) {
            log_say(log, LOG_ALWAYS, "LISTEN_FDS: descriptor %d: %s", fd, strerror(errno));
            return false;
        }
    }
    *count = (uint32_t)given;
    return true;
}

void process_notify(const char *state, struct log *log)
{
    const char *path = getenv("NOTIFY_SOCKET");
    struct sockaddr_un address = {.sun_family = AF_UNIX};

    if (path == NULL || (path[0] != '/' && path[0] != '@')) {
        return;
    }
    const size_t length = strlen(path);
    if (length >= sizeof(address.sun_path)) {
        log_say(log, LOG_ALWAYS, "NOTIFY_SOCKET is longer than a socket's name");
        return;
    }
    memcpy(address.sun_path, path, length);
    if (path[0] == '@') {
        address.sun_path[0] = '\0'; /* of Linux's abstract names */
    }
    const socklen_t bytes = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + length);
    const int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    if (fd < 0 ||
        sendto(fd, state, strlen(state), MSG_NOSIGNAL, (struct sockaddr *)&address, bytes) < 0) {
        log_say(log, LOG_ALWAYS, "cannot notify %s: %s", path, strerror(errno));
    }
    if (fd >= 0) {
        (void)close(fd);
    }
}
