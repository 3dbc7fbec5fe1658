/*
 * auth_fuzz.c - any bytes as the file of users: it is refused with a sentence, or what it names may
 * log in and nobody else.
 */
#include "server/admin/auth.h"

#include <assert.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* The first line's names, which were taken, are let in; with a byte more or less they are not. */
static void check_first(struct auth *auth, const char *text, size_t size)
{
    const char *colon = memchr(text, ':', size);
    const char *end = memchr(text, '\n', size);

    end = end != NULL ? end : text + size;
    assert(colon != NULL && colon < end);
    end -= end[-1] == '\r' ? 1 : 0;
    const size_t user_bytes = (size_t)(colon - text);
    const size_t password_bytes = (size_t)(end - colon) - 1;
    assert(auth_check(auth, text, user_bytes, colon + 1, password_bytes));
    assert(!auth_check(auth, text, 0, colon + 1, password_bytes));
    assert(!auth_check(auth, text, user_bytes, colon + 1, 0));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    char path[64], error[AUTH_ERROR_BYTES_MAX + 1] = "";
    const int fd = memfd_create("users", MFD_CLOEXEC);

    assert(fd >= 0);
    const ssize_t written = write(fd, data, size);
    assert(written == (ssize_t)size);
    (void)snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
    struct auth *auth = auth_new(path, error);
    assert((auth == NULL) == (error[0] != '\0'));
    if (auth != NULL) {
        check_first(auth, (const char *)data, size);
        const bool again = auth_reload(auth, error);
        assert(again);
    }
    auth_free(auth);
    (void)close(fd);
    return 0;
}
