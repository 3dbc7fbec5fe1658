#include "server/admin/auth.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define FILE_BYTES_MAX (AUTH_USERS_MAX * (AUTH_LINE_BYTES_MAX + 2))

/* A name of its length, zeros behind it: compared whole. */
struct name {
    uint32_t length;
    uint8_t bytes[AUTH_LINE_BYTES_MAX + 1];
};

/* Those that are not used have no length that can be sent, and match nothing. */
struct user {
    struct name user;
    struct name password;
};

struct auth {
    const char *path;
    pthread_rwlock_t lock;
    struct user users[AUTH_USERS_MAX]; /* under the lock */
};

__attribute__((format(printf, 2, 3))) static bool fail(char *error, const char *format, ...)
{
    va_list arguments;

    va_start(arguments, format);
    (void)vsnprintf(error, AUTH_ERROR_BYTES_MAX + 1, format, arguments);
    va_end(arguments);
    return false;
}

/* ---- the file ---- */

/* Reads at most @room bytes. Returns how many there are, or -1 with errno. */
static ssize_t read_file(const char *path, char *text, size_t room)
{
    const int fd = open(path, O_RDONLY | O_CLOEXEC);
    size_t used = 0;
    ssize_t count = fd < 0 ? -1 : 1;

    while (fd >= 0 && used < room && count > 0) {
        count = read(fd, text + used, room - used);
        if (count < 0 && errno == EINTR) {
            count = 1;
        } else if (count > 0) {
            used += (size_t)count;
        }
    }
    const int error = errno;
    if (fd >= 0) {
        (void)close(fd);
    }
    errno = error;
    return count < 0 ? -1 : (ssize_t)used;
}

static bool take_name(struct name *name, const char *bytes, size_t count)
{
    if (count == 0 || count > AUTH_LINE_BYTES_MAX || memchr(bytes, ' ', count) != NULL) {
        return false;
    }
    name->length = (uint32_t)count;
    memcpy(name->bytes, bytes, count);
    return true;
}

static bool take_line(struct user *user, const char *line, size_t count)
{
    const char *colon = memchr(line, ':', count);

    if (count > AUTH_LINE_BYTES_MAX || colon == NULL || memchr(line, '\0', count) != NULL) {
        return false;
    }
    const size_t user_bytes = (size_t)(colon - line);
    return take_name(&user->user, line, user_bytes) &&
           take_name(&user->password, colon + 1, count - user_bytes - 1);
}

static bool take_lines(struct user *users, const char *path, const char *text, size_t count,
                       char *error)
{
    const char *const end = text + count;
    unsigned line = 0;

    for (const char *at = text; at < end;) {
        const char *newline = memchr(at, '\n', (size_t)(end - at));
        const char *next = newline != NULL ? newline + 1 : end;
        const char *stop = newline != NULL ? newline : end;

        stop -= stop > at && stop[-1] == '\r' ? 1 : 0;
        line++;
        if (line > AUTH_USERS_MAX) {
            return fail(error, "%s: more than %u lines", path, AUTH_USERS_MAX);
        }
        if (!take_line(&users[line - 1], at, (size_t)(stop - at))) {
            return fail(error, "%s line %u: not user:password of at most %u bytes without a space",
                        path, line, AUTH_LINE_BYTES_MAX);
        }
        at = next;
    }
    return line > 0 || fail(error, "%s: there is no user in it", path);
}

static bool load(const char *path, struct user *users, char *error)
{
    char text[FILE_BYTES_MAX + 1];
    const ssize_t count = read_file(path, text, sizeof(text));
    bool ok = false;

    memset(users, 0, AUTH_USERS_MAX * sizeof(*users));
    if (count < 0) {
        (void)fail(error, "cannot read %s: %s", path, strerror(errno));
    } else if ((size_t)count > FILE_BYTES_MAX) {
        (void)fail(error, "%s: longer than %u bytes", path, FILE_BYTES_MAX);
    } else {
        ok = take_lines(users, path, text, (size_t)count, error);
    }
    explicit_bzero(text, sizeof(text));
    return ok;
}

/* ---- its life ---- */

struct auth *auth_new(const char *path, char *error)
{
    struct auth *auth = calloc(1, sizeof(*auth));

    if (auth == NULL) {
        (void)fail(error, "no memory for %s", path);
        return NULL;
    }
    auth->path = path;
    if (!load(path, auth->users, error)) {
        free(auth);
        return NULL;
    }
    (void)pthread_rwlock_init(&auth->lock, NULL);
    return auth;
}

void auth_free(struct auth *auth)
{
    if (auth == NULL) {
        return;
    }
    (void)pthread_rwlock_destroy(&auth->lock);
    explicit_bzero(auth, sizeof(*auth));
    free(auth);
}

bool auth_reload(struct auth *auth, char *error)
{
    struct user users[AUTH_USERS_MAX];
    const bool ok = load(auth->path, users, error);

    if (ok) {
        (void)pthread_rwlock_wrlock(&auth->lock);
        memcpy(auth->users, users, sizeof(users));
        (void)pthread_rwlock_unlock(&auth->lock);
    }
    explicit_bzero(users, sizeof(users));
    return ok;
}

/* ---- comparing ---- */

/* What was sent, in the shape of what is kept. One too long keeps a length that nothing has. */
static void shape(struct name *name, const void *bytes, size_t count)
{
    const size_t kept = count < AUTH_LINE_BYTES_MAX ? count : AUTH_LINE_BYTES_MAX;

    memset(name, 0, sizeof(*name));
    memcpy(name->bytes, bytes, kept);
    name->length = count <= AUTH_LINE_BYTES_MAX ? (uint32_t)count : UINT32_MAX;
}

/* 0 where they are the same. No branch, and every byte is looked at. */
static uint32_t difference(const struct name *a, const struct name *b)
{
    uint32_t differing = a->length ^ b->length;

    for (size_t i = 0; i < sizeof(a->bytes); i++) {
        differing |= (uint32_t)(a->bytes[i] ^ b->bytes[i]);
    }
    return differing;
}

bool auth_check(struct auth *auth, const void *user, size_t user_bytes, const void *password,
                size_t password_bytes)
{
    struct user sent;
    uint64_t matches = 0;

    shape(&sent.user, user, user_bytes);
    shape(&sent.password, password, password_bytes);
    (void)pthread_rwlock_rdlock(&auth->lock);
    for (size_t i = 0; i < AUTH_USERS_MAX; i++) {
        const uint64_t differing = difference(&sent.user, &auth->users[i].user) |
                                   difference(&sent.password, &auth->users[i].password);
        matches |= (differing - 1) >> 63; /* 1 where differing is 0 */
    }
    (void)pthread_rwlock_unlock(&auth->lock);
    explicit_bzero(&sent, sizeof(sent));
    return matches != 0 && user_bytes > 0 && password_bytes > 0;
}
