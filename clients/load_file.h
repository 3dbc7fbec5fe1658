/*
 * load_file.h - what a file holds, into memory: as it is, or unpacked from the frames of zstd.
 *
 * The file is not trusted: memory grows by a mebibyte, and twice as far again, as bytes come.
 *
 * Threads: one buffer, one thread.
 */
#ifndef CLIENTS_LOAD_FILE_H
#define CLIENTS_LOAD_FILE_H

#include "clients/load_buffer.h"

#include <stdbool.h>
#include <stdio.h>

/** load_file_append() - all of @file, put in at the end. False where the buffer would hold more
 * than @bytes_max, where a frame is damaged or cut off, the file cannot be read, or there is no
 * memory; what came before stays in it. */
bool load_file_append(struct load_buffer *buffer, FILE *file, bool packed, size_t bytes_max)
    __attribute__((warn_unused_result));

#endif
