/*
 * shard_kind.h - what all records of a log have in common.
 *
 * A log's word: the sequence its records' distances start from, and the log's kind, which is what
 * all its records have in common.
 *
 *    63 62  61      60     59     57   56     55        48 47                              0
 *   +-----+-------+-------+---------+---------+------------+---------------------------------+
 *   |  0  | moved | fresh | expiry  | settled | dictionary | sequence of log's first record  |
 *   +-----+-------+-------+---------+---------+------------+---------------------------------+
 *
 * Expiry is the class (expiry.h): 0 where no record of the log expires, else how long they had to
 * live when they were stored, so that records of like expiry leave like pages together. Moved are
 * records that were rescued or merged: they are older than others, but of like age among each
 * other, so that their distances to the log's sequence are short.
 */
#ifndef SERVER_CACHE_SHARD_KIND_H
#define SERVER_CACHE_SHARD_KIND_H

#define KIND_SHIFT        48u
#define KIND_SETTLED      0x100u /* compressed at the high level, or found not to be worth it */
#define KIND_EXPIRY_SHIFT 9u
#define KIND_EXPIRY       0xe00u
#define KIND_FRESH        0x1000u /* stored uncompressed, to be compressed soon */
#define KIND_MOVED        0x2000u

static inline unsigned kind_dictionary(unsigned kind)
{
    return kind & 0xffu;
}

static inline unsigned kind_expiry(unsigned kind)
{
    return (kind & KIND_EXPIRY) >> KIND_EXPIRY_SHIFT;
}

/* @kind, but of that class. */
static inline unsigned kind_with_expiry(unsigned kind, unsigned expiry_class)
{
    return (kind & ~KIND_EXPIRY) | expiry_class << KIND_EXPIRY_SHIFT;
}

#endif
