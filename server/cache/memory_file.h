/*
 * memory_file.h - the file a cache's memory lies in, to outlive the process (-e).
 *
 *   0          4 KiB    12 KiB         16 KiB    64 KiB          ~4 MiB            2 MiB * n
 *   +----------+--------+--------------+---------+---------------+-------+-------+-------
 *   | header   | shards | dictionaries'| classes | dictionaries' | links | words | pages
 *   | for good | 2 * 64 | entries      |         | bytes, 64 KiB |       |       |
 *   +----------+--------+--------------+---------+---------------+-------+-------+-------
 *
 * It lies on tmpfs or a DAX mount: what was written is there when the process has died, however it
 * did. Links, words and pages are the arena's (zbud/arena.h); whether a page is what it should be
 * its word says (seal.h). All before is described here.
 *
 * The header is written once, when the file is made, and has a checksum. What changes while the
 * server runs changes seldom, and is written so that a process that dies in the middle leaves the
 * old or the new, and a damaged byte is seen:
 *
 *   a shard's state   twice, one after the other, each with a count and a checksum: the sound one
 *                     with the higher count holds
 *   a dictionary      bytes first, then its entry, with checksums of both
 *   classes           one copy with a checksum: without them new ones are learned
 *
 * The file is as long as the most memory the cache can be given, but has blocks only for what it
 * holds. Nobody else may write to it or shorten it while it is open.
 *
 * Threads: a shard's state is under that shard's lock, dictionaries under theirs, classes are the
 * keeper's.
 */
#ifndef SERVER_CACHE_MEMORY_FILE_H
#define SERVER_CACHE_MEMORY_FILE_H

#include "server/cache/cache.h"
#include "zbud/arena.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define MEMORY_FILE_CLASSES_BYTES_MAX (20u << 10)

struct memory_file;

/* What must be known of a shard to go on with its records. */
struct memory_file_shard {
    uint64_t sequence_reserved; /* none above was given */
    uint64_t flush_sequence;
    uint32_t flush_at_s;
};

/* A dictionary, as its entry says. */
struct memory_file_dictionary {
    const char *label;
    uint32_t added_s;
    const uint8_t *bytes;
    size_t count;
};

/** memory_file_tell() - to config->teller, behind the file's name. */
void memory_file_tell(const struct cache_config *config, const char *format, ...)
    __attribute__((format(printf, 2, 3)));
/**
 * memory_file_open() - the file at config->memory_file, made where there is none.
 * @config: memory_bytes, reserve_bytes, shards and seed are what a new file is made for; of one
 *          that is taken over the last three become what they are there.
 * @found:  set: there is something in it to be recovered.
 *
 * What has to be said of it is told to config->teller. A file that is none of ours, that another
 * process has open or that belongs to another user is left alone. One of ours that cannot be used
 * (another version, a damaged header, made for less memory) is begun anew.
 *
 * Returns NULL where it cannot be had; the teller was told why.
 */
struct memory_file *memory_file_open(struct cache_config *config, bool *found);
/** memory_file_close() - it can be recovered from here on. NULL is fine. */
void memory_file_close(struct memory_file *file);
/** memory_file_was_stopped() - the process before closed it. For people to know: it is not relied
 * on. */
bool memory_file_was_stopped(const struct memory_file *file);
/** memory_file_begin() - all is recovered: from here on the process before is this one. */
void memory_file_begin(struct memory_file *file);

struct zbud_arena_file memory_file_arena(const struct memory_file *file);
/** memory_file_secret() - what seals are made with; drawn when the file was made. */
uint64_t memory_file_secret(const struct memory_file *file);

/** memory_file_shard() - false where it cannot be told. */
bool memory_file_shard(const struct memory_file *file, unsigned id, struct memory_file_shard *shard)
    __attribute__((warn_unused_result));
void memory_file_put_shard(struct memory_file *file, unsigned id,
                           const struct memory_file_shard *shard);

/** memory_file_dictionary() - dictionary @number; false where there is none, or it is damaged. */
bool memory_file_dictionary(struct memory_file *file, unsigned number,
                            struct memory_file_dictionary *dictionary)
    __attribute__((warn_unused_result));
/** memory_file_put_dictionary() - false where the file system has no room. */
bool memory_file_put_dictionary(struct memory_file *file, unsigned number,
                                const struct memory_file_dictionary *dictionary)
    __attribute__((warn_unused_result));
void memory_file_drop_dictionary(struct memory_file *file, unsigned number);

/** memory_file_classes() - how many bytes, to @bytes; 0 where there are none, or damaged ones. */
size_t memory_file_classes(const struct memory_file *file,
                           uint8_t bytes[MEMORY_FILE_CLASSES_BYTES_MAX]);
void memory_file_put_classes(struct memory_file *file, const uint8_t *bytes, size_t count);

#endif
