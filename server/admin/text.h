/*
 * text.h - an answer composed in memory of fixed size.
 *
 *   text_start(&text, memory, bytes);  text_put(&text, "a %u\n", 1);  ...  if (text.whole) send it
 *
 * What has no room is left out, and all that would follow: the text says so, and never overflows.
 *
 * Threads: plain data.
 */
#ifndef SERVER_ADMIN_TEXT_H
#define SERVER_ADMIN_TEXT_H

#include <stdbool.h>
#include <stddef.h>

struct text {
    char *bytes;
    size_t room; /* of all of it */
    size_t used;
    bool whole; /* nothing was left out */
};

/** text_start() - an empty one; @bytes is borrowed. */
void text_start(struct text *text, char *bytes, size_t room);
void text_put(struct text *text, const char *format, ...) __attribute__((format(printf, 2, 3)));
/** text_put_json() - as a JSON string, quotes and all; bytes that are no ASCII become U+FFFD. */
void text_put_json(struct text *text, const void *bytes, size_t count);

#endif
