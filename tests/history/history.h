/*
 * history.h - what clients asked and were answered, and whether any order explains it.
 *
 *   client 0   |--set k 1--|            |--get k: 1--|
 *   client 1        |--set k 2--|                        |--get k: 2--|     no order does: one of
 *   time       ------------------------------------------------------->     the gets lies
 *
 * An *event* is one operation on one key, with the times between which it took effect: those at
 * which it was sent and at which its answer was read. A key's events are *linearizable* where they
 * can be put in one order that keeps apart what did not overlap, keeps each client's own order, and
 * in which each answer is the one that a single memory cell would have given. Every value that is
 * written must be written once, so that what is read tells who wrote it.
 *
 * A cache may lose an item at any time where it evicts. What was lost stays lost until somebody
 * stores: so a miss may always be explained by an eviction, a value that comes back never.
 *
 * flush_all is a delete of every key, for each key somewhere between its two times.
 *
 * Beside the order: an item's unique (of gets) belongs to one value, and the value to it.
 *
 * Threads: one.
 * Source: Wing and Gong 1993, with the memory of visited states of Lowe 2017.
 */
#ifndef TESTS_HISTORY_HISTORY_H
#define TESTS_HISTORY_HISTORY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#define HISTORY_CLIENTS_MAX 32u
#define HISTORY_ALL_KEYS    UINT32_MAX

enum history_operation {
    HISTORY_GET,
    HISTORY_TOUCH,
    HISTORY_SET,
    HISTORY_ADD,
    HISTORY_REPLACE,
    HISTORY_APPEND,
    HISTORY_PREPEND,
    HISTORY_CAS,
    HISTORY_DELETE,
    HISTORY_INCR,
    HISTORY_DECR,
    HISTORY_FLUSH, /* its key is HISTORY_ALL_KEYS */
};

enum history_answer {
    HISTORY_DONE,
    HISTORY_MISSED,  /* there was no item */
    HISTORY_REFUSED, /* add: there was one; cas: another unique stood */
    HISTORY_FAILED,  /* a store that the server had no memory for */
};

/* A value made of pieces, by their numbers; or a number, with 0 pieces. */
struct history_value {
    uint64_t bits;
    uint32_t pieces;
};

struct history_event {
    uint64_t sent_ns;
    uint64_t answered_ns;
    /* get: what was read; set, add, replace, cas: what was to be stored; append, prepend: what was
     * to be added; incr, decr: the number that was answered. */
    struct history_value value;
    uint64_t argument; /* get: its unique, 0 without; cas: the unique it named; incr, decr: by */
    uint32_t key;      /* any number, but for HISTORY_ALL_KEYS */
    uint16_t client;   /* below HISTORY_CLIENTS_MAX */
    uint8_t operation;
    uint8_t answer;
};

/* What nothing explains: how far the longest order came, and what could not follow. */
struct history_fault {
    const char *what;
    uint32_t key;
    bool present;
    struct history_value value; /* where present */
    unsigned next_count;
    struct history_event next[HISTORY_CLIENTS_MAX]; /* of each client that had one left */
};

/** history_piece() - a value of one piece; @number is not used for another. */
struct history_value history_piece(uint64_t number);
/** history_join() - @first, then @second. */
struct history_value history_join(struct history_value first, struct history_value second);
/** history_number() - what incr and decr work on. */
struct history_value history_number(uint64_t number);

/**
 * history_check() - whether every key's events are linearizable.
 * @events: reordered; those of a client have different times of sending, in its order.
 * @evicts: an item may be lost at any time.
 * @fault:  set where the answer is false.
 *
 * Time and memory grow with the writes to one key that overlap.
 */
bool history_check(struct history_event *events, size_t count, bool evicts,
                   struct history_fault *fault) __attribute__((warn_unused_result));

/** history_print() - a fault, for a person. */
void history_print(FILE *file, const struct history_fault *fault);

#endif
