#include "clients/ctl_child.h"

#include "clients/ctl_progress.h"

#include <errno.h>
#include <inttypes.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#define TRIES   250 /* to connect, each after TRY_S: 5 s */
#define TRY_S   .02
#define WAIT_MS 60000

static _Noreturn void become(const struct ctl_child *child, const char *program, uint64_t memory_mb,
                             uint64_t item_mb)
{
    const char *as_root = geteuid() == 0 ? "-u" : NULL;
    char memory[24], item[24];
    sigset_t none;

    (void)snprintf(memory, sizeof(memory), "%" PRIu64, memory_mb);
    (void)snprintf(item, sizeof(item), "%" PRIu64 "m", item_mb);
    (void)sigemptyset(&none);
    (void)signal(SIGINT, SIG_DFL);
    (void)signal(SIGTERM, SIG_DFL);
    (void)sigprocmask(SIG_SETMASK, &none, NULL);
    (void)prctl(PR_SET_PDEATHSIG, SIGTERM);
    (void)execlp(program, program, "-s", child->path, "-m", memory, "-I", item, "-t", "1", "-o",
                 "settle_pct=90", as_root, "root", (char *)NULL);
    fprintf(stderr, "zbctl: %s: %s (--zbcached names the program)\n", program, strerror(errno));
    _exit(127);
}

enum ctl_exit ctl_child_start(struct ctl *ctl, struct ctl_child *child, const char *program,
                              uint64_t memory_mb, uint64_t item_mb)
{
    enum client_status status = CLIENT_UNREACHABLE;
    struct client_slice version;
    int ended;

    *child = (struct ctl_child){.folder = "/tmp/zbctl.XXXXXX", .client = client_new()};
    if (child->client == NULL || mkdtemp(child->folder) == NULL) {
        child->folder[0] = '\0';
        return ctl_complain("folder for a socket");
    }
    (void)snprintf(child->path, sizeof(child->path), "%s/socket", child->folder);
    child->pid = fork();
    if (child->pid == 0)
        become(child, program, memory_mb, item_mb);
    if (child->pid < 0) {
        child->pid = 0;
        return ctl_complain("fork");
    }
    for (int i = 0; i < TRIES && status != CLIENT_OK; i++) {
        if (ctl_interrupted(ctl))
            return CTL_INTERRUPTED;
        if (waitpid(child->pid, &ended, WNOHANG) == child->pid) {
            child->pid = 0;
            break;
        }
        ctl_sleep_s(ctl, TRY_S);
        status = client_connect_unix(child->client, child->path, WAIT_MS);
    }
    if (status == CLIENT_OK)
        status = client_version(child->client, &version);
    return status == CLIENT_OK ? CTL_GOOD : ctl_fail(child->client, program, status);
}

void ctl_child_stop(struct ctl_child *child)
{
    client_free(child->client);
    if (child->pid > 0) {
        (void)kill(child->pid, SIGTERM);
        (void)waitpid(child->pid, NULL, 0);
    }
    if (child->folder[0] != '\0') {
        (void)unlink(child->path);
        (void)rmdir(child->folder);
    }
}
