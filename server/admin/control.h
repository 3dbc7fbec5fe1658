/*
 * control.h - what administrators change while the server runs.
 *
 *   struct config --copied at the start--> control --> "stats settings"
 *                                             ^
 *             "verbosity", "lru_crawler sleep", "slabs automove", "lru tune", "stats detail" ...
 *
 * The command line's config stays as it was parsed. What a command changes is changed in the copy,
 * which is what "stats settings" shows; of what has an effect here, whoever has it is told too.
 * Beside it: whether somebody crawls, as there is one crawl at a time.
 *
 * Invariants:
 *   CONTROL-1  a crawl that began is under way until it is ended, and no other begins meanwhile.
 *
 * Threads: any. The lock is taken last: nothing is locked inside.
 */
#ifndef SERVER_ADMIN_CONTROL_H
#define SERVER_ADMIN_CONTROL_H

#include <stdbool.h>
#include <stdint.h>

struct config;
struct control;

/** control_new() - @config is copied, its texts are borrowed. NULL: no memory. */
struct control *control_new(const struct config *config);
void control_free(struct control *control);

/** control_open() - take the lock; the settings of now, to be read or changed. */
struct config *control_open(struct control *control);
void control_close(struct control *control);

/** control_crawl_begin() - false where one is under way. */
bool control_crawl_begin(struct control *control) __attribute__((warn_unused_result));
void control_crawl_end(struct control *control);
/** control_crawl_running() - 1 while one is, and @starts: how many began. */
uint64_t control_crawl_running(struct control *control, uint64_t *starts);

#endif
