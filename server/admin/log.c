#include "server/admin/log.h"

#include <errno.h>
#include <inttypes.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

struct kind {
    const char *format; /* NULL: free */
    uint64_t window_ms; /* when its window began */
    uint64_t held_back; /* messages counted instead of written */
    unsigned written;   /* in this window */
    char last[LOG_LINE_BYTES_MAX / 4];
};

struct log {
    int fd;
    atomic_uint verbosity;
    log_clock_fn *clock_ms;
    void *clock_context;
    pthread_mutex_t lock; /* of what follows, and of the descriptor */
    struct kind kinds[LOG_KINDS_MAX];
};

struct log *log_new(int fd, unsigned verbosity, log_clock_fn *clock_ms, void *clock_context)
{
    struct log *log = calloc(1, sizeof(*log));

    if (log == NULL)
        return NULL;
    log->fd = fd;
    atomic_init(&log->verbosity, verbosity);
    log->clock_ms = clock_ms;
    log->clock_context = clock_context;
    pthread_mutex_init(&log->lock, NULL);
    return log;
}

bool log_wants(const struct log *log, enum log_level level)
{
    return (unsigned)level <= atomic_load_explicit(&log->verbosity, memory_order_relaxed);
}

void log_set_verbosity(struct log *log, unsigned verbosity)
{
    atomic_store_explicit(&log->verbosity, verbosity, memory_order_relaxed);
}

/* One line, unprintable bytes escaped, cut where it gets too long. */
static void write_line(const struct log *log, const char *text)
{
    char line[LOG_LINE_BYTES_MAX];
    size_t used = 0;

    for (; *text != '\0' && used + 5 < sizeof(line); text++) {
        unsigned char byte = (unsigned char)*text;

        if (byte >= ' ' && byte < 0x7f)
            line[used++] = *text;
        else
            used += (size_t)snprintf(line + used, sizeof(line) - used, "\\x%02x", byte);
    }
    line[used++] = '\n';
    while (write(log->fd, line, used) < 0 && errno == EINTR)
        ;
}

static void say_held_back(const struct log *log, struct kind *kind)
{
    char text[LOG_LINE_BYTES_MAX];

    if (kind->held_back == 0)
        return;
    snprintf(text, sizeof(text), "(said %" PRIu64 " more time%s: %s)", kind->held_back,
             kind->held_back == 1 ? "" : "s", kind->last);
    write_line(log, text);
    kind->held_back = 0;
}

/* Says and forgets every kind whose window is over. The lock is held. */
static void close_windows(struct log *log, uint64_t now_ms)
{
    for (unsigned i = 0; i < LOG_KINDS_MAX; i++) {
        struct kind *kind = &log->kinds[i];

        if (kind->format != NULL && now_ms - kind->window_ms >= LOG_WINDOW_MS) {
            say_held_back(log, kind);
            kind->format = NULL;
        }
    }
}

/* The kind's place, else a free one, else the one longest in use. The lock is held. */
static struct kind *find_kind(struct log *log, const char *format, uint64_t now_ms)
{
    struct kind *best = &log->kinds[0];

    for (unsigned i = 0; i < LOG_KINDS_MAX; i++) {
        struct kind *kind = &log->kinds[i];

        if (kind->format == format)
            return kind;
        if (best->format != NULL && (kind->format == NULL || kind->window_ms < best->window_ms))
            best = kind;
    }
    if (best->format != NULL)
        say_held_back(log, best);
    *best = (struct kind){.format = format, .window_ms = now_ms};
    return best;
}

static void say_limited(struct log *log, const char *format, const char *text)
{
    uint64_t now_ms = log->clock_ms(log->clock_context);
    struct kind *kind;

    close_windows(log, now_ms);
    kind = find_kind(log, format, now_ms);
    if (kind->written < LOG_BURST) {
        kind->written++;
        write_line(log, text);
        return;
    }
    kind->held_back++;
    snprintf(kind->last, sizeof(kind->last), "%.*s", (int)sizeof(kind->last) - 1, text);
}

void log_say(struct log *log, enum log_level level, const char *format, ...)
{
    char text[LOG_LINE_BYTES_MAX];
    int saved_errno = errno;
    va_list arguments;

    if (!log_wants(log, level))
        return;
    va_start(arguments, format);
    vsnprintf(text, sizeof(text), format, arguments);
    va_end(arguments);
    pthread_mutex_lock(&log->lock);
    if (level >= LOG_COMMANDS)
        write_line(log, text);
    else
        say_limited(log, format, text);
    pthread_mutex_unlock(&log->lock);
    errno = saved_errno;
}

void log_tick(struct log *log)
{
    pthread_mutex_lock(&log->lock);
    close_windows(log, log->clock_ms(log->clock_context));
    pthread_mutex_unlock(&log->lock);
}

void log_free(struct log *log)
{
    if (log == NULL)
        return;
    for (unsigned i = 0; i < LOG_KINDS_MAX; i++)
        say_held_back(log, &log->kinds[i]);
    pthread_mutex_destroy(&log->lock);
    free(log);
}
