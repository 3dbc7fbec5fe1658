/*
 * command_admin.h - the commands of administrators: lru_crawler, lru, slabs, debugtime, and what of
 * "stats" is no table.
 *
 *   request --words--> row of the table {verb, first word, how many} --> control, dump, clock ...
 *
 * Three kinds: dumps, which go on for as long as the cache is large (COMMAND_PAUSE); settings,
 * which "stats settings" shows; and what tunes parts that are not here (slab classes, a segmented
 * LRU): it is checked and shown as memcached does and has no effect.
 *
 * A dump under way is known by the address of its request. So who carries one out must let it be
 * executed again until it is done, or say admin_forget().
 *
 * Threads: a struct admin belongs to one thread; what it shares is safe for all.
 */
#ifndef SERVER_COMMAND_ADMIN_H
#define SERVER_COMMAND_ADMIN_H

#include "server/command.h"

struct admin;

/** admin_new() - @shared is borrowed. NULL: no memory. */
struct admin *admin_new(const struct command_shared *shared);
/** admin_free() - dumps under way are given up. */
void admin_free(struct admin *admin);

/** admin_execute() - as command_execute(), of the verbs above. */
enum command_outcome admin_execute(struct admin *admin, struct protocol_request *request,
                                   struct protocol_reply *reply, uint32_t now_s,
                                   size_t *room_bytes);
/** admin_stats() - the same for "stats" cachedump, detail and, where it is tracked, sizes; false
 * where the request is another. */
bool admin_stats(struct admin *admin, struct protocol_request *request,
                 struct protocol_reply *reply, uint32_t now_s, size_t *room_bytes,
                 enum command_outcome *outcome) __attribute__((warn_unused_result));
/** admin_forget() - the request will not be executed again. */
void admin_forget(struct admin *admin, const struct protocol_request *request);

#endif
