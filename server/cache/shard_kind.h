/*
 * shard_kind.h - what all records of a log have in common.
 *
 * A log's word: the sequence its records' distances start from, and the log's kind, which is what
 * all its records have in common.
 *
 *    63      57  56       55         48 47                                   0
 *   +----------+---------+-------------+--------------------------------------+
 *   |    0     | settled | dictionary  | sequence of the log's first record   |
 *   +----------+---------+-------------+--------------------------------------+
 */
#ifndef SERVER_CACHE_SHARD_KIND_H
#define SERVER_CACHE_SHARD_KIND_H

#define KIND_SHIFT   48u
#define KIND_SETTLED 0x100u /* compressed at the high level, or found not to be worth it */

static inline unsigned kind_dictionary(unsigned kind)
{
    return kind & 0xffu;
}

#endif
