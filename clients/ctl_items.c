#include "clients/ctl_items.h"

#include <inttypes.h>
#include <string.h>
#include <time.h>

/* More seconds than that are a moment to memcached. */
#define RELATIVE_S_MAX (60 * 60 * 24 * 30)
/* An answer that says more is no memcached's, whose moments have 32 bits. */
#define TTL_S_MAX      ((int64_t)UINT32_MAX)

enum ctl_exit ctl_items_read(struct client *client, const struct ctl_known *known, size_t count,
                             ctl_items_each each, void *context, uint64_t *gone)
{
    enum client_status status = CLIENT_OK;

    for (size_t i = 0; i < count && status == CLIENT_OK; i++)
        status = client_queue_meta(client, "mg", known[i].key, known[i].key_bytes, NULL, "v t f u");
    if (status == CLIENT_OK)
        status = client_flush(client);
    for (size_t i = 0; i < count && status == CLIENT_OK; i++) {
        struct client_meta reply;
        int64_t ttl, flags;
        enum ctl_exit code;

        status = client_read_meta(client, &reply);
        if (status == CLIENT_NOT_FOUND) {
            ++*gone;
            status = CLIENT_OK;
            continue;
        }
        if (status != CLIENT_OK)
            break;
        if (strchr(reply.flags, 'X') != NULL || !client_meta_number(&reply, 't', &ttl) ||
            !client_meta_number(&reply, 'f', &flags) || flags > UINT32_MAX || ttl < -1 ||
            ttl > TTL_S_MAX) {
            ++*gone;
            continue;
        }
        code = each(context,
                    &(struct ctl_item){
                        {known[i].key, known[i].key_bytes}, reply.data, (uint32_t)flags, ttl});
        if (code != CTL_GOOD) {
            client_close(client);
            return code;
        }
    }
    if (status == CLIENT_OK)
        return CTL_GOOD;
    return ctl_fail(client, "reading items (the server must know mg, as memcached 1.6)", status);
}

int64_t ctl_items_exptime(int64_t ttl_s)
{
    return ttl_s > RELATIVE_S_MAX ? (int64_t)time(NULL) + ttl_s : ttl_s;
}

enum ctl_exit ctl_items_store(struct ctl_store *store, const struct ctl_item *item)
{
    const int64_t exptime_s = item->ttl_s < 0 ? 0 : ctl_items_exptime(item->ttl_s);
    char flags[64];
    enum client_status status;

    if (item->ttl_s == 0)
        return CTL_GOOD;
    (void)snprintf(flags, sizeof(flags), "F%" PRIu32 " T%" PRId64 " M%c", item->flags, exptime_s,
                   store->overwrite ? 'S' : 'E');
    status = client_queue_meta(store->client, "ms", item->key.data, item->key.bytes, &item->value,
                               flags);
    if (status != CLIENT_OK)
        return ctl_fail(store->client, "storing items", status);
    store->waiting++;
    store->waiting_bytes += item->key.bytes + item->value.bytes;
    return store->waiting < CTL_BATCH_KEYS && store->waiting_bytes < CTL_BATCH_BYTES
               ? CTL_GOOD
               : ctl_items_settle(store);
}

enum ctl_exit ctl_items_settle(struct ctl_store *store)
{
    enum client_status status = CLIENT_OK;

    if (store->waiting > 0)
        status = client_flush(store->client);
    for (; store->waiting > 0 && (status == CLIENT_OK); store->waiting--) {
        struct client_meta reply;

        status = client_read_meta(store->client, &reply);
        if (status == CLIENT_OK) {
            store->stored++;
        } else if (status == CLIENT_NOT_STORED) {
            store->kept++;
            status = CLIENT_OK;
        } else if (status == CLIENT_REFUSED) {
            if (store->refused++ == 0)
                (void)snprintf(store->refusal, sizeof(store->refusal), "%s",
                               client_text(store->client));
            status = CLIENT_OK;
        }
    }
    store->waiting_bytes = 0;
    return status == CLIENT_OK ? CTL_GOOD : ctl_fail(store->client, "storing items", status);
}
