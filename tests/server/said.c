#include "tests/server/said.h"

#include <assert.h>
#include <fcntl.h>
#include <stddef.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

void said_begin(struct said *said)
{
    said->file = memfd_create("stderr", MFD_CLOEXEC);
    said->old_fd = fcntl(STDERR_FILENO, F_DUPFD_CLOEXEC, 3);
    assert(said->file >= 0 && said->old_fd >= 0);
    /* Two processes write to its end. */
    const int flagged = fcntl(said->file, F_SETFL, O_APPEND);
    const int taken = dup2(said->file, STDERR_FILENO);
    assert(flagged == 0 && taken == STDERR_FILENO);
}

char *said_text(const struct said *said)
{
    struct stat status;

    const int failed = fstat(said->file, &status);
    assert(!failed);
    char *text = malloc((size_t)status.st_size + 1);
    assert(text != NULL);
    const ssize_t count = pread(said->file, text, (size_t)status.st_size, 0);
    assert(count == (ssize_t)status.st_size);
    text[count] = '\0';
    return text;
}

char *said_end(struct said *said)
{
    const int restored = dup2(said->old_fd, STDERR_FILENO);
    assert(restored == STDERR_FILENO);
    char *text = said_text(said);
    (void)close(said->file);
    (void)close(said->old_fd);
    return text;
}
