#include "tests/tls/certs.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/types.h>
#include <sys/wait.h>
#include <unistd.h>

static void run(const char *program, const char *first, const char *second)
{
    int status = -1;
    const pid_t pid = fork();

    assert(pid >= 0);
    if (pid == 0) {
        (void)execlp(program, program, first, second, (char *)NULL);
        perror(program);
        _exit(127);
    }
    const pid_t ended = waitpid(pid, &status, 0);
    assert(ended == pid && status == 0);
}

void certs_make(char folder[CERTS_PATH_BYTES])
{
    (void)snprintf(folder, CERTS_PATH_BYTES, P_tmpdir "/certs.XXXXXX");
    const char *made = mkdtemp(folder);
    assert(made != NULL);
    run("tests/tls/make_certs", folder, NULL);
}

void certs_remove(const char *folder)
{
    run("rm", "-rf", folder);
}
