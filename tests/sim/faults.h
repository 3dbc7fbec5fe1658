/*
 * faults.h - failures of everything the engine can be refused, when a test wants them.
 *
 * A seam at link time: a test that links this has malloc() and its kin, mmap(), madvise(), the
 * arena's pages and charges, the trainer and the dictionaries' numbers called through here
 * (-Wl,--wrap), so the engine itself has no branch and no pointer for it. Only calls from one
 * object file to another are seen, which these are; libraries call their own.
 *
 * Threads: for one thread. One set a process, as there is one malloc().
 */
#ifndef TESTS_SIM_FAULTS_H
#define TESTS_SIM_FAULTS_H

#include <stdint.h>

enum fault {
    FAULT_HEAP,    /* malloc, calloc, realloc, aligned_alloc: NULL */
    FAULT_MAP,     /* mmap: MAP_FAILED */
    FAULT_ADVISE,  /* madvise: -1 */
    FAULT_PAGE,    /* zbud_arena_take: ZBUD_NO_PAGE */
    FAULT_CHARGE,  /* zbud_arena_charge: ZBUD_NO_PAGE */
    FAULT_TRAIN,   /* ZDICT_trainFromBuffer_fastCover: an error */
    FAULT_NUMBERS, /* dictionaries_add: all numbers are taken */
    FAULT_KINDS
};

/** faults_seed() - all that is drawn from then on follows from @seed; nothing fails yet. */
void faults_seed(uint64_t seed);
/** faults_rate() - while armed one call of @one_in fails, by chance; 0: none. */
void faults_rate(enum fault fault, unsigned one_in);
/** faults_fail_at() - the @nth call after the next faults_arm() fails, of whatever kind; 0: none.
 */
void faults_fail_at(uint64_t nth);

void faults_arm(void);
/** faults_disarm() - how many calls failed since faults_arm(). */
uint64_t faults_disarm(void);

/** faults_count() - calls that failed, ever. */
uint64_t faults_count(enum fault fault);
/** faults_blocks() - heap blocks that are alive, and mapped bytes. */
int64_t faults_blocks(void);
int64_t faults_mapped_bytes(void);

#endif
