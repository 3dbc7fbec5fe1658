/*
 * ages.h - when something was stored, told from its sequence.
 *
 *   sequence   0 ... 81,034 ... 90,112 ... 90,730 ... 90,731     marks, oldest first
 *   second     0        3,600      3,950      3,999      4,000
 *
 * No item has its own time. Once a second at most the shard's sequence is marked with it, and what
 * was stored up to a mark was stored by then. When all marks are taken, the one goes whose loss is
 * smallest beside its age: so what is young (10 s) is known to the second, and older things to a
 * sixth of their age, a month and more back.
 *
 * Invariants:
 *   AGES-1  marks grow, in sequence and second.
 *
 * Threads: none of its own; the shard's lock.
 */
#ifndef SERVER_CACHE_AGES_H
#define SERVER_CACHE_AGES_H

#include <stdint.h>

#define AGES_MARKS 128u

struct ages {
    unsigned count;
    uint32_t seconds[AGES_MARKS];
    uint64_t sequences[AGES_MARKS];
};

/** ages_note() - @sequence is the last one at @now_s. Nothing where that is no news. */
void ages_note(struct ages *ages, uint64_t sequence, uint32_t now_s);

/**
 * ages_of() - seconds since that sequence was given, never more than they are.
 *
 * What was stored since the last mark is 0 s old.
 */
uint32_t ages_of(const struct ages *ages, uint64_t sequence, uint32_t now_s);

#endif
