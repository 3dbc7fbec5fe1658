#include "server/admin/watch_event.h"

#include <assert.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

static const char *const found_words[] = {
    [WATCH_NOT_FOUND] = "not_found",
    [WATCH_FOUND] = "found",
    [WATCH_FLUSHED] = "flushed",
    [WATCH_EXPIRED] = "expired",
};
static const char *const stored_words[] = {
    [WATCH_NOT_STORED] = "not_stored", [WATCH_STORED] = "stored",
    [WATCH_STORE_EXISTS] = "exists",   [WATCH_STORE_NOT_FOUND] = "not_found",
    [WATCH_TOO_LARGE] = "too_large",   [WATCH_NO_MEMORY] = "no_memory",
};
static const char *const transport_words[] = {
    [WATCH_LOCAL] = "local",
    [WATCH_TCP] = "tcp",
};
static const char *const reason_words[] = {
    [WATCH_ERROR] = "error",
    [WATCH_NORMAL] = "normal",
    [WATCH_IDLE_TIMEOUT] = "idle_timeout",
    [WATCH_SHUTDOWN] = "shutdown",
};

/* In memcached's order, which decides what a beginning stands for. */
static const struct {
    const char *word;
    uint32_t kind;
} kind_words[] = {
    {"rawcmds", WATCH_RAWCMDS},     {"evictions", WATCH_EVICTIONS},
    {"fetchers", WATCH_FETCHERS},   {"mutations", WATCH_MUTATIONS},
    {"sysevents", WATCH_SYSEVENTS}, {"connevents", WATCH_CONNEVENTS},
    {"proxyreqs", WATCH_PROXYREQS}, {"proxyevents", WATCH_PROXYEVENTS},
    {"proxyuser", WATCH_PROXYUSER}, {"deletions", WATCH_DELETIONS},
};

uint32_t watch_event_kind(enum watch_type type)
{
    switch (type) {
    case WATCH_ITEM_GET:
        return WATCH_FETCHERS;
    case WATCH_ITEM_STORE:
        return WATCH_MUTATIONS;
    case WATCH_EVICTION:
        return WATCH_EVICTIONS;
    case WATCH_DELETED:
        return WATCH_DELETIONS;
    case WATCH_CONN_NEW:
    case WATCH_CONN_CLOSE:
        break;
    }
    return WATCH_CONNEVENTS;
}

static bool stands_for_itself(uint8_t byte)
{
    return (byte >= '0' && byte <= '9') || (byte >= 'A' && byte <= 'Z') ||
           (byte >= 'a' && byte <= 'z') || (byte != '\0' && strchr("-._~", byte) != NULL);
}

size_t watch_encode_key(const uint8_t *key, size_t key_bytes, char *out)
{
    static const char digits[] = "0123456789ABCDEF";
    const char *const begin = out;

    for (size_t i = 0; i < key_bytes; i++) {
        if (stands_for_itself(key[i])) {
            *out++ = (char)key[i];
            continue;
        }
        *out++ = '%';
        *out++ = digits[key[i] >> 4];
        *out++ = digits[key[i] & 15];
    }
    *out = '\0';
    return (size_t)(out - begin);
}

/* What stands between the time and the end of the line. */
static int print_item(const struct watch_event *event, const char *key, char *out, size_t room)
{
    switch ((enum watch_type)event->type) {
    case WATCH_ITEM_GET:
        return snprintf(
            out, room, "item_get key=%s status=%s clsid=%u cfd=%" PRId32 " size=%" PRIu64, key,
            found_words[event->outcome], event->class_id, event->fd, event->value_bytes);
    case WATCH_ITEM_STORE:
        return snprintf(out, room,
                        "item_store key=%s status=%s cmd=%s ttl=%" PRId64 " clsid=%u cfd=%" PRId32
                        " size=%" PRIu64,
                        key, stored_words[event->outcome], event->cmd, event->ttl_s,
                        event->class_id, event->fd, event->value_bytes);
    case WATCH_EVICTION:
        return snprintf(out, room,
                        "eviction key=%s fetch=%s ttl=%" PRId64 " la=%" PRIu32
                        " clsid=%u size=%" PRIu64,
                        key, event->fetched ? "yes" : "no", event->ttl_s, event->age_s,
                        event->class_id, event->value_bytes);
    case WATCH_DELETED:
        return snprintf(out, room, "deleted key=%s cmd=%s clsid=%u size=%" PRIu64, key, event->cmd,
                        event->class_id, event->value_bytes);
    case WATCH_CONN_NEW:
    case WATCH_CONN_CLOSE:
        break;
    }
    assert(false);
    return -1;
}

static int print_conn(const struct watch_event *event, const uint8_t *address, char *out,
                      size_t room)
{
    const int bytes = event->key_bytes;
    const char *text = (const char *)address;
    const char *transport = transport_words[event->transport];

    if (event->type == WATCH_CONN_NEW) {
        return snprintf(out, room, "conn_new rip=%.*s rport=%u transport=%s cfd=%" PRId32, bytes,
                        text, event->port, transport, event->fd);
    }
    return snprintf(out, room, "conn_close rip=%.*s rport=%u transport=%s reason=%s cfd=%" PRId32,
                    bytes, text, event->port, transport, reason_words[event->outcome], event->fd);
}

size_t watch_event_line(const struct watch_event *event, const uint8_t *key,
                        char line[WATCH_LINE_BYTES_MAX])
{
    char encoded[3 * WATCH_KEY_BYTES_MAX + 1];
    const int head =
        snprintf(line, WATCH_LINE_BYTES_MAX,
                 "ts=%" PRIu64 ".%06" PRIu64 " gid=%" PRIu64 " type=", event->unix_us / 1000000,
                 event->unix_us % 1000000, event->gid);
    assert(head > 0 && head < (int)WATCH_LINE_BYTES_MAX);
    const size_t room = WATCH_LINE_BYTES_MAX - (size_t)head;
    int rest;

    assert(event->key_bytes <= WATCH_KEY_BYTES_MAX);
    if (event->type == WATCH_CONN_NEW || event->type == WATCH_CONN_CLOSE) {
        rest = print_conn(event, key, line + head, room);
    } else {
        (void)watch_encode_key(key, event->key_bytes, encoded);
        rest = print_item(event, encoded, line + head, room);
    }
    assert(rest > 0 && (size_t)rest < room); /* over the NUL comes the \n */
    line[head + rest] = '\n';
    return (size_t)(head + rest) + 1;
}

static uint32_t kind_of(const char *word, size_t bytes)
{
    for (size_t i = 0; i < COUNT(kind_words); i++) {
        if (bytes <= strlen(kind_words[i].word) && memcmp(word, kind_words[i].word, bytes) == 0) {
            return kind_words[i].kind;
        }
    }
    return 0;
}

uint32_t watch_kinds(const void *words, size_t bytes)
{
    const char *at = words;
    const char *end = at + bytes;
    uint32_t kinds = 0;

    while (at < end) {
        const char *space = memchr(at, ' ', (size_t)(end - at));
        const char *word_end = space != NULL ? space : end;
        if (word_end > at) {
            const uint32_t kind = kind_of(at, (size_t)(word_end - at));
            if (kind == 0) {
                return 0;
            }
            kinds |= kind;
        }
        at = space != NULL ? space + 1 : end;
    }
    return kinds != 0 ? kinds : WATCH_FETCHERS;
}
