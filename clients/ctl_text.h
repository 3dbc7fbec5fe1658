/*
 * ctl_text.h - numbers and names as people, and as programs, read them.
 *
 * Threads: as many as like.
 */
#ifndef CLIENTS_CTL_TEXT_H
#define CLIENTS_CTL_TEXT_H

#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

/** ctl_put_bytes() - "1.50 GiB", or "-1.50 GiB", into @text. Returns @text. */
const char *ctl_put_bytes(double bytes, char text[32]);
/** ctl_put_count() - "12,345,678" into @text. Returns @text. */
const char *ctl_put_count(uint64_t count, char text[32]);
/** ctl_put_json() - as a JSON string, quoted. Bytes that are no ASCII are taken for Latin-1. */
void ctl_put_json(FILE *file, const void *bytes, size_t count);
/** ctl_put_key() - what is no visible ASCII, and %, as %XX. */
void ctl_put_key(FILE *file, const void *key, size_t key_bytes);
/**
 * ctl_read_uri() - %XX and what stands for itself, into bytes.
 *
 * Returns their count; 0: empty, over @room, or a % without two hexadecimal digits.
 */
size_t ctl_read_uri(const uint8_t *text, size_t text_bytes, uint8_t *bytes, size_t room);

#endif
