#include "clients/ctl_keys.h"

#include "clients/ctl_progress.h"
#include "clients/ctl_text.h"

#include <stdlib.h>
#include <string.h>

/* ---- reading a dump ---- */

static bool starts_with(struct client_slice slice, const char *text)
{
    size_t bytes = strlen(text);

    return slice.bytes >= bytes && memcmp(slice.data, text, bytes) == 0;
}

/* The text behind "name=" in a line of words; false where there is none. */
static bool find_field(struct client_slice line, const char *name, char *text, size_t room)
{
    size_t name_bytes = strlen(name);

    for (size_t i = 0; i + name_bytes < line.bytes; i++) {
        size_t end = i + name_bytes;

        if ((i > 0 && line.data[i - 1] != ' ') || memcmp(line.data + i, name, name_bytes) != 0)
            continue;
        while (end < line.bytes && line.data[end] != ' ')
            end++;
        end -= i + name_bytes;
        if (end >= room)
            return false;
        memcpy(text, line.data + i + name_bytes, end);
        text[end] = '\0';
        return true;
    }
    return false;
}

/* "key=<uri> exp=<unix or -1> la=... size=<n> ..." */
static bool read_known(struct client_slice line, struct ctl_known *known)
{
    char key[3 * CLIENT_KEY_BYTES_MAX + 1];
    char number[24];

    if (!find_field(line, "key=", key, sizeof(key)))
        return false;
    known->key_bytes =
        ctl_read_uri((const uint8_t *)key, strlen(key), known->key, sizeof(known->key));
    known->expires_at_s =
        find_field(line, "exp=", number, sizeof(number)) ? strtoll(number, NULL, 10) : -1;
    known->bytes =
        find_field(line, "size=", number, sizeof(number)) ? strtoull(number, NULL, 10) : 0;
    return known->key_bytes > 0;
}

enum ctl_exit ctl_keys_read(struct ctl *ctl, struct client *client, ctl_keys_each each,
                            void *context)
{
    static const char ASK[] = "lru_crawler metadump all\r\n";
    enum client_status status = client_queue(client, ASK, sizeof(ASK) - 1);
    struct client_slice line;
    struct ctl_known known;

    if (status == CLIENT_OK)
        status = client_flush(client);
    while (status == CLIENT_OK && !ctl_interrupted(ctl)) {
        status = client_receive_line(client, &line);
        if (status != CLIENT_OK)
            break;
        if (starts_with(line, "key=")) {
            if (!read_known(line, &known)) {
                fprintf(stderr, "zbctl: a line of the dump is none: %.*s\n", (int)line.bytes,
                        (const char *)line.data);
                client_close(client);
                return CTL_NO_SERVER;
            }
            if (!each(context, &known)) {
                client_close(client);
                return CTL_GOOD;
            }
        } else if (starts_with(line, "END")) {
            return CTL_GOOD;
        } else if (!starts_with(line, "OK")) {
            /* BUSY, "ERROR metadump not allowed", "CLIENT_ERROR lru crawler disabled" ... */
            fprintf(stderr, "zbctl: the server gives no list of its items: %.*s\n", (int)line.bytes,
                    (const char *)line.data);
            return CTL_NO;
        }
    }
    client_close(client);
    return status == CLIENT_OK ? CTL_INTERRUPTED : ctl_fail(client, "list of items", status);
}

/* ---- keeping keys ---- */

bool ctl_keys_init(struct ctl_keys *keys)
{
    *keys = (struct ctl_keys){.file = tmpfile()};
    return keys->file != NULL;
}

void ctl_keys_fini(struct ctl_keys *keys)
{
    if (keys->file != NULL)
        (void)fclose(keys->file);
}

bool ctl_keys_keep(void *context, const struct ctl_known *known)
{
    struct ctl_keys *keys = context;

    if (putc((int)known->key_bytes, keys->file) == EOF ||
        fwrite(known->key, 1, known->key_bytes, keys->file) != known->key_bytes) {
        keys->failed = true;
        return false;
    }
    keys->count++;
    return true;
}

void ctl_keys_rewind(struct ctl_keys *keys)
{
    rewind(keys->file);
}

bool ctl_keys_next(struct ctl_keys *keys, struct ctl_known *known)
{
    int bytes = getc(keys->file);

    *known = (struct ctl_known){.key_bytes = bytes > 0 ? (size_t)bytes : 0};
    return bytes > 0 && fread(known->key, 1, known->key_bytes, keys->file) == known->key_bytes;
}

struct gathering {
    struct ctl_keys *keys;
    struct ctl_progress progress;
};

static bool gather_one(void *context, const struct ctl_known *known)
{
    struct gathering *gathering = context;

    ctl_progress_add(&gathering->progress, 1);
    return ctl_keys_keep(gathering->keys, known);
}

enum ctl_exit ctl_keys_gather(struct ctl *ctl, struct client *client, struct ctl_keys *keys)
{
    struct gathering gathering = {keys, ctl_progress_begin(ctl, "keys", 0, 0)};
    enum ctl_exit code = ctl_keys_read(ctl, client, gather_one, &gathering);

    ctl_progress_end(&gathering.progress);
    if (code == CTL_GOOD && (keys->failed || fflush(keys->file) != 0))
        return ctl_complain("temporary file of keys");
    ctl_keys_rewind(keys);
    return code;
}
