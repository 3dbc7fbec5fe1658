/* One item or a few, and what else is one request. */
#include "clients/ctl_commands.h"
#include "clients/ctl_items.h"
#include "clients/ctl_progress.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#define READ_BYTES    ((size_t)64 << 10)
#define WATCH_LOOK_MS 200 /* between looks at whether a signal has come */
#define PING_GAP_S    .2

/* ---- numbers ---- */

static bool read_number(const char *text, const char *name, int64_t min, uint64_t max,
                        uint64_t *number)
{
    char *end;

    errno = 0;
    *number = text[0] == '-' ? (uint64_t)strtoll(text, &end, 10) : strtoull(text, &end, 10);
    if (errno == 0 && end != text && *end == '\0' && strspn(text, "-0123456789") == strlen(text) &&
        (text[0] == '-' ? (int64_t)*number >= min : *number <= max))
        return true;
    fprintf(stderr, "zbctl: %s \"%.100s\" is no number from %" PRId64 " to %" PRIu64 "\n", name,
            text, min, max);
    return false;
}

/* ---- get ---- */

static enum ctl_exit put_values(struct ctl *ctl, char **words, int count)
{
    struct client_slice keys[CTL_KEYS_MAX];
    enum client_status status;
    int found = 0;

    for (int i = 0; i < count; i++)
        keys[i] = (struct client_slice){(const uint8_t *)words[i], strlen(words[i])};
    status = client_get_many(ctl->client, false, keys, (size_t)count);
    while (status == CLIENT_OK) {
        struct client_value value;

        status = client_read_value(ctl->client, &value);
        if (status != CLIENT_OK)
            break;
        found++;
        (void)fwrite(value.key.data, 1, value.key.bytes, ctl->out);
        (void)putc('\t', ctl->out);
        (void)fwrite(value.data.data, 1, value.data.bytes, ctl->out);
        (void)putc('\n', ctl->out);
    }
    if (status != CLIENT_END)
        return ctl_fail(ctl->client, "get", status);
    if (found == count)
        return CTL_GOOD;
    fprintf(stderr, "zbctl: %d of %d not found\n", count - found, count);
    return CTL_NO;
}

enum ctl_exit ctl_get(struct ctl *ctl, char **words, int count)
{
    struct client_value value;
    enum client_status status;

    if (count > 1)
        return put_values(ctl, words, count);
    status = client_get(ctl->client, words[0], strlen(words[0]), &value);
    if (status != CLIENT_OK)
        return ctl_fail(ctl->client, words[0], status);
    (void)fwrite(value.data.data, 1, value.data.bytes, ctl->out);
    (void)putc('\n', ctl->out);
    return CTL_GOOD;
}

/* ---- set, add ---- */

/* All of stdin; to be freed. NULL: no memory, too much of it, or it cannot be read. */
static char *read_stdin(size_t *bytes)
{
    size_t room = READ_BYTES;
    char *data = malloc(room);
    size_t got = 1;

    *bytes = 0;
    while (data != NULL && got > 0) {
        got = fread(data + *bytes, 1, room - *bytes, stdin);
        *bytes += got;
        if (*bytes == room) {
            char *grown = room < CLIENT_VALUE_BYTES_MAX ? realloc(data, room * 2) : NULL;

            if (grown == NULL)
                break;
            data = grown;
            room *= 2;
        }
    }
    if (data != NULL && got == 0 && ferror(stdin) == 0)
        return data;
    if (got > 0)
        errno = room < CLIENT_VALUE_BYTES_MAX ? ENOMEM : EFBIG;
    free(data);
    return NULL;
}

static enum ctl_exit store(struct ctl *ctl, enum client_mode mode, char **words, int count)
{
    struct client_item item = {
        .key = words[0], .key_bytes = strlen(words[0]), .value_bytes = strlen(words[1])};
    uint64_t ttl = 0, flags = 0;
    char *read = NULL;
    enum client_status status;

    if ((count > 2 && !read_number(words[2], "TTL", INT32_MIN, INT32_MAX, &ttl)) ||
        (count > 3 && !read_number(words[3], "FLAGS", 0, UINT32_MAX, &flags)))
        return CTL_BAD_USAGE;
    item.value = words[1];
    item.exptime_s = ctl_items_exptime((int64_t)ttl);
    item.flags = (uint32_t)flags;
    if (strcmp(words[1], "-") == 0) {
        read = read_stdin(&item.value_bytes);
        if (read == NULL)
            return ctl_complain("stdin");
        item.value = read;
    }
    status = client_store(ctl->client, mode, &item);
    free(read);
    return status == CLIENT_OK ? CTL_GOOD : ctl_fail(ctl->client, words[0], status);
}

enum ctl_exit ctl_set(struct ctl *ctl, char **words, int count)
{
    return store(ctl, CLIENT_SET, words, count);
}

enum ctl_exit ctl_add(struct ctl *ctl, char **words, int count)
{
    return store(ctl, CLIENT_ADD, words, count);
}

/* ---- the others ---- */

enum ctl_exit ctl_delete(struct ctl *ctl, char **words, int count)
{
    enum ctl_exit code = CTL_GOOD;

    for (int i = 0; i < count && code != CTL_NO_SERVER; i++) {
        enum client_status status = client_delete(ctl->client, words[i], strlen(words[i]));

        if (status != CLIENT_OK)
            code = ctl_fail(ctl->client, words[i], status);
    }
    return code;
}

static enum ctl_exit count_by(struct ctl *ctl, bool up, char **words, int count)
{
    uint64_t delta = 1, sum;
    enum client_status status;

    if (count > 1 && !read_number(words[1], "N", 0, UINT64_MAX, &delta))
        return CTL_BAD_USAGE;
    status = (up ? client_incr : client_decr)(ctl->client, words[0], strlen(words[0]), delta, &sum);
    if (status != CLIENT_OK)
        return ctl_fail(ctl->client, words[0], status);
    fprintf(ctl->out, "%" PRIu64 "\n", sum);
    return CTL_GOOD;
}

enum ctl_exit ctl_incr(struct ctl *ctl, char **words, int count)
{
    return count_by(ctl, true, words, count);
}

enum ctl_exit ctl_decr(struct ctl *ctl, char **words, int count)
{
    return count_by(ctl, false, words, count);
}

enum ctl_exit ctl_touch(struct ctl *ctl, char **words, int count)
{
    uint64_t ttl;
    enum client_status status;

    (void)count;
    if (!read_number(words[1], "TTL", INT32_MIN, INT32_MAX, &ttl))
        return CTL_BAD_USAGE;
    status = client_touch(ctl->client, words[0], strlen(words[0]), ctl_items_exptime((int64_t)ttl));
    return status == CLIENT_OK ? CTL_GOOD : ctl_fail(ctl->client, words[0], status);
}

enum ctl_exit ctl_ping(struct ctl *ctl, char **words, int count)
{
    const uint32_t pings = ctl->options->count;
    double min_s = 1e9, max_s = 0, sum_s = 0;
    uint32_t done = 0;

    (void)words;
    (void)count;
    while (done < pings && !ctl_interrupted(ctl)) {
        const double start_s = ctl_now_s();
        struct client_slice version;
        enum client_status status = client_version(ctl->client, &version);
        const double took_s = ctl_now_s() - start_s;

        if (status != CLIENT_OK)
            return ctl_fail(ctl->client, ctl->options->server, status);
        fprintf(ctl->out, "%s: version %.*s, %.3f ms\n", ctl->options->server, (int)version.bytes,
                (const char *)version.data, took_s * 1000);
        (void)fflush(ctl->out);
        min_s = took_s < min_s ? took_s : min_s;
        max_s = took_s > max_s ? took_s : max_s;
        sum_s += took_s;
        if (++done < pings)
            ctl_sleep_s(ctl, PING_GAP_S);
    }
    if (done > 1)
        fprintf(ctl->out,
                "%" PRIu32 " answers in %.3f ms at least, %.3f on average, %.3f at most\n", done,
                min_s * 1000, sum_s / done * 1000, max_s * 1000);
    return done == pings ? CTL_GOOD : CTL_INTERRUPTED;
}

enum ctl_exit ctl_watch(struct ctl *ctl, char **words, int count)
{
    struct client_slice line;
    enum client_status status = client_queue(ctl->client, "watch", 5);

    for (int i = 0; i < count && status == CLIENT_OK; i++) {
        if (strpbrk(words[i], " \r\n") != NULL || strlen(words[i]) > CLIENT_KEY_BYTES_MAX)
            return ctl_fail(ctl->client, words[i], CLIENT_BAD_KEY);
        status = client_queue(ctl->client, " ", 1);
        if (status == CLIENT_OK)
            status = client_queue(ctl->client, words[i], strlen(words[i]));
    }
    if (status == CLIENT_OK)
        status = client_queue(ctl->client, "\r\n", 2);
    if (status == CLIENT_OK)
        status = client_flush(ctl->client);
    if (status == CLIENT_OK)
        status = client_read_reply(ctl->client);
    if (status != CLIENT_OK)
        return ctl_fail(ctl->client, "watch", status);
    client_set_timeout(ctl->client, WATCH_LOOK_MS);
    while ((status == CLIENT_OK || status == CLIENT_TIMEOUT) && !ctl_interrupted(ctl)) {
        status = client_receive_line(ctl->client, &line);
        if (status == CLIENT_OK)
            fprintf(ctl->out, "%.*s\n", (int)line.bytes, (const char *)line.data);
        if (fflush(ctl->out) != 0)
            break;
    }
    /* A connection that watches is good for nothing else. */
    client_close(ctl->client);
    return status == CLIENT_OK || status == CLIENT_TIMEOUT ? CTL_INTERRUPTED
                                                           : ctl_fail(ctl->client, "watch", status);
}
