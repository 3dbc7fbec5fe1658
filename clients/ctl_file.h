/*
 * ctl_file.h - items in a file, as zbctl save writes and zbctl load reads them.
 *
 *   "zbitems1" | record ... | end                 numbers: little endian
 *
 *   record: u8 1 | u8 key bytes | u32 flags | u32 value bytes | i64 expires at
 *           | key | value | u32 CRC
 *   end:    u8 0 | u64 records | u32 CRC
 *
 * "expires at" is unix time, or -1: never. The CRC (CRC-32 as in zip and Ethernet) is of all bytes
 * of its record before it. A file without its end was cut off.
 *
 * What is read is hostile: no number in it sizes memory before as many bytes have been there, a key
 * has 1 to CLIENT_KEY_BYTES_MAX bytes, a value CLIENT_VALUE_BYTES_MAX at most, and a record whose
 * CRC is wrong is not handed out.
 *
 * Threads: one a file.
 */
#ifndef CLIENTS_CTL_FILE_H
#define CLIENTS_CTL_FILE_H

#include "clients/ctl_items.h"

struct ctl_file {
    FILE *file; /* the caller's */
    uint64_t count;
    uint8_t *value;
    size_t value_room;
    uint8_t key[CLIENT_KEY_BYTES_MAX];
};

enum ctl_file_status {
    CTL_FILE_OK,
    CTL_FILE_END,     /* the end is there, and it is the end of the file */
    CTL_FILE_DAMAGED, /* cut off, changed, or never one of these */
    CTL_FILE_NO_MEMORY,
};

/** ctl_file_begin() - writes what a file begins with. False: errno says why. */
bool ctl_file_begin(struct ctl_file *file, FILE *stream);
/** ctl_file_put() - @expires_at_s: unix time, or -1. Instead of item->ttl_s. */
bool ctl_file_put(struct ctl_file *file, const struct ctl_item *item, int64_t expires_at_s);
/** ctl_file_finish() - writes the end. */
bool ctl_file_finish(struct ctl_file *file);

/** ctl_file_open() - reads what a file begins with. */
enum ctl_file_status ctl_file_open(struct ctl_file *file, FILE *stream)
    __attribute__((warn_unused_result));
/** ctl_file_next() - the next item, good until the call after it. */
enum ctl_file_status ctl_file_next(struct ctl_file *file, struct ctl_item *item,
                                   int64_t *expires_at_s) __attribute__((warn_unused_result));
/** ctl_file_fini() - gives the memory back; the stream stays open. */
void ctl_file_fini(struct ctl_file *file);

#endif
